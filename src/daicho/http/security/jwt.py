"""JSON Web Tokens (RFC 7519), checked against pinned algorithms and published keys (RFC 7517)."""

import asyncio
import json
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import jwt

from daicho.core.errors import ConfigurationError, NotAuthenticated
from daicho.http.principal import Principal

__all__ = ["Jwks", "Jwt"]

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_SECRET = ("HS256", "HS384", "HS512")
_LARGEST = 1024 * 1024
_SHORTEST_SECRET = 32


class Jwks:
    """Published keys, by URL or file. Kept for `lifetime` seconds; a token that names a key which is not among them
    lets them be fetched again, so that keys may be exchanged at any time, but not more often than every `pause`
    seconds, so that forged names cannot make us knock at the issuer's door. If it does not answer, the keys known so
    far stand."""

    def __init__(
        self,
        location: str,
        *,
        lifetime: float = 300.0,
        pause: float = 10.0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        parts = urlsplit(location)
        local = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if parts.scheme not in ("https", "http", "file", "") or (parts.scheme == "http" and not local):
            raise ConfigurationError(
                f"keys cannot be taken from {location!r}",
                why="whoever can change them on the way can let anybody in",
                do="give an https URL or a file",
            )
        self._location, self._lifetime, self._pause, self._now = location, lifetime, pause, now
        self._keys: dict[str | None, Any] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._turn = asyncio.Lock()

    async def key(self, kid: str | None) -> Any:
        """Raises NotAuthenticated if no published key has that name."""
        if not self._is_fresh() or (kid not in self._keys and self._may_try()):
            async with self._turn:
                if not self._is_fresh() or (kid not in self._keys and self._may_try()):
                    await self._fetch()
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        found = self._keys.get(kid)
        if found is None:
            raise _refused("no published key has the name that the token gives")
        return found

    def _is_fresh(self) -> bool:
        if self._fetched_at is not None and self._now() - self._fetched_at < self._lifetime:
            return True
        return not self._may_try()

    def _may_try(self) -> bool:
        return self._tried_at is None or self._now() - self._tried_at >= self._pause

    async def _fetch(self) -> None:
        self._tried_at = self._now()
        try:
            text = await asyncio.to_thread(_read, self._location)
            published = jwt.PyJWKSet.from_dict(json.loads(text))
        except (OSError, ValueError, jwt.PyJWTError) as error:
            if not self._keys:
                raise _refused(f"the keys of the issuer cannot be had: {type(error).__name__}") from error
            return
        self._keys = {each.key_id: each for each in published.keys if each.public_key_use in (None, "sig")}
        self._fetched_at = self._now()


def _read(location: str) -> bytes:
    parts = urlsplit(location)
    if parts.scheme in ("", "file"):
        return Path(parts.path).read_bytes()
    with urllib.request.urlopen(location, timeout=5) as answer:  # noqa: S310 - the scheme was checked
        return cast("bytes", answer.read(_LARGEST))


class Jwt:
    """Tokens as `Authorization: Bearer`. `exp` must be there, as must `aud` and `iss`, and be right.

    The algorithm is never the token's choice: only those in `algorithms` are taken, and only with keys of their kind.
    """

    scheme = "Bearer"

    def __init__(
        self,
        *,
        issuer: str,
        audience: str,
        keys: Jwks | None = None,
        secret: str | None = None,
        algorithms: Sequence[str] | None = None,
        tenant_claim: str = "tenant",
        leeway: float = 30.0,
    ) -> None:
        """`keys`: of the issuer; or `secret`: shared with it. Raises ConfigurationError."""
        if (keys is None) == (secret is None):
            raise ConfigurationError(
                "tokens are checked either by published keys or by a secret", do="give one of them"
            )
        allowed = ALGORITHMS if secret is None else _SECRET
        self._algorithms = list(algorithms or (allowed if secret is None else ("HS256",)))
        if unfit := [name for name in self._algorithms if name not in allowed]:
            raise ConfigurationError(
                f"the algorithm {unfit[0]!r} is not to be trusted here",
                why="a public key must never be taken for a shared secret, and `none` signs nothing",
                do=f"choose among {', '.join(allowed)}",
            )
        if secret is not None and len(secret.encode()) < _SHORTEST_SECRET:
            raise ConfigurationError(f"the secret has less than {_SHORTEST_SECRET} bytes", do="make a random one")
        self._issuer, self._audience, self._keys, self._secret = issuer, audience, keys, secret
        self._tenant_claim, self._leeway = tenant_claim, leeway

    def takes(self, credential: str) -> bool:
        return credential.count(".") == 2

    async def authenticate(self, credential: str) -> Principal:
        try:
            header = jwt.get_unverified_header(credential)
            if header.get("alg") not in self._algorithms:
                raise _refused("it is signed in a way that is not taken here")
            key: Any = self._secret if self._keys is None else await self._keys.key(header.get("kid"))
            claims = jwt.decode(
                credential,
                key,
                algorithms=self._algorithms,
                audience=self._audience,
                issuer=self._issuer,
                leeway=self._leeway,
                options={"require": ["exp", "aud", "iss", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refused("the token has expired") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refused(_told(error)) from error
        return self._principal(claims)

    def _principal(self, claims: Mapping[str, Any]) -> Principal:
        tenant = claims.get(self._tenant_claim)
        if tenant is not None and not (isinstance(tenant, str) and tenant):
            raise _refused(f"the claim {self._tenant_claim!r} names no tenant")
        return Principal(actor=str(claims["sub"]), tenant=tenant, scopes=_scopes(claims))


def _scopes(claims: Mapping[str, Any]) -> frozenset[str]:
    """`scope` as text (RFC 8693) or `scp` as a list."""
    found: set[str] = set()
    for name in ("scope", "scp"):
        value: Any = claims.get(name, ())
        found.update(value.split() if isinstance(value, str) else (v for v in value if isinstance(v, str)))
    return frozenset(found)


def _told(error: BaseException) -> str:
    """What was wrong, without anything of the token."""
    kinds = {
        jwt.InvalidAudienceError: "the token is for another audience",
        jwt.InvalidIssuerError: "the token is from another issuer",
        jwt.ImmatureSignatureError: "the token is not valid yet",
        jwt.InvalidSignatureError: "the signature is not the issuer's",
        jwt.MissingRequiredClaimError: "the token lacks a claim that must be there: exp, aud, iss, sub",
    }
    return next((text for kind, text in kinds.items() if isinstance(error, kind)), "it is no token that can be read")


def _refused(why: str) -> NotAuthenticated:
    return NotAuthenticated("the token was not accepted", why=why, do="get a new one from the issuer")
