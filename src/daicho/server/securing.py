"""From settings to the guard."""

import importlib
from pathlib import Path
from typing import Any

from daicho.core.errors import ConfigurationError, MissingExtra
from daicho.http.security import Security
from daicho.http.security.credentials import Authenticator
from daicho.http.security.keys import ApiKeys, KeyFile
from daicho.http.security.rates import Rate
from daicho.server.settings import ServerSettings

__all__ = ["security_of"]


def security_of(settings: ServerSettings) -> Security:
    """Raises ConfigurationError, and MissingExtra for tokens without their library."""
    authenticators: list[Authenticator] = []
    if settings.keys is not None:
        path = Path(settings.keys)
        if not path.exists():
            raise ConfigurationError(
                f"there are no keys in {path}",
                why="the file does not exist",
                do=f"daicho key create NAME --keys {path}",
            )
        authenticators.append(ApiKeys(KeyFile(path)))
    if settings.jwt_issuer is not None:
        authenticators.append(_tokens(settings))
    return Security(
        authenticators=authenticators,
        per_credential=_rate(settings.rate),
        per_tenant=_rate(settings.rate_tenant),
        per_address=_rate(settings.rate_address),
        most_under_way=settings.most_under_way,
        origins=_listed(settings.origins),
    )


def _tokens(settings: ServerSettings) -> Authenticator:
    try:
        jwt: Any = importlib.import_module("daicho.http.security.jwt")
    except ImportError as error:
        raise MissingExtra(
            "tokens need an extra", why=str(error), do='pip install "daicho[jwt]"', extra="jwt"
        ) from error
    secret = None
    if settings.jwt_secret_file is not None:
        try:
            secret = Path(settings.jwt_secret_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the secret cannot be read: {error}", do="mend jwt-secret-file") from error
    found: Authenticator = jwt.Jwt(
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
        keys=jwt.Jwks(settings.jwt_keys) if settings.jwt_keys else None,
        secret=secret,
        algorithms=_listed(settings.jwt_algorithms) or None,
        tenant_claim=settings.jwt_tenant_claim,
    )
    return found


def _rate(text: str | None) -> Rate | None:
    return None if text is None else Rate.of(text)


def _listed(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]
