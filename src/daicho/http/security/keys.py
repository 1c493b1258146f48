"""API keys: made at random, shown once, kept as salted hashes."""

import asyncio
import contextlib
import fcntl
import hashlib
import hmac
import os
import re
import secrets
import tempfile
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from daicho.core.errors import ConfigurationError, NotAuthenticated, NotFound
from daicho.http.principal import Principal

__all__ = ["KEY_FILE", "ApiKey", "ApiKeys", "KeyFile", "key_row", "span"]

KEY_FILE = "daicho-keys.json"
"""Where keys are kept, unless something else is said."""

_SHAPE = re.compile(r"dk_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")
_COST: dict[str, Any] = {"n": 2**14, "r": 8, "p": 1, "dklen": 32}
_AT_ONCE = 2
"""Keys that are hashed at the same time: each takes a processor for some 40 ms."""
_REMEMBERED = 60.0
"""Seconds that a key which was good need not be hashed again. A revoked one is forgotten at once."""
_MOST = 10_000
_SPAN = re.compile(r"(\d+)([dhm])")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of a key: nothing that it could be made from again."""

    prefix: str
    """The public part, by which it is listed and revoked."""
    name: str
    """Whose it is; stands as the actor in every event."""
    salt: str
    hash: str
    created_at: datetime
    tenant: str | None = None
    scopes: tuple[str, ...] = ()
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def state(self, now: datetime) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "valid"


class KeyFile:
    """Keys in a JSON file that only its owner may read. Replaced in one step, so that a reader sees all of it or none;
    several writers take turns."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def read(self) -> dict[str, ApiKey]:
        """By prefix. Raises ConfigurationError if it cannot be understood. A file that is not there holds none."""
        try:
            content = self.path.read_bytes()
            found = msgspec.json.decode(content, type=list[ApiKey])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as error:
            raise ConfigurationError(f"the keys in {self.path} cannot be read: {error}", do="mend the file") from error
        return {key.prefix: key for key in found}

    def stamp(self) -> tuple[int, int, int] | None:
        """Differs when the file was changed."""
        try:
            stat = self.path.stat()
        except OSError:
            return None
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def create(
        self,
        name: str,
        *,
        now: datetime,
        tenant: str | None = None,
        scopes: tuple[str, ...] = (),
        expires_at: datetime | None = None,
    ) -> tuple[str, ApiKey]:
        """The key itself, which is nowhere kept, and what is kept of it."""
        prefix = "".join(secrets.choice("abcdefghijkmnpqrstuvwxyz23456789") for _ in range(8))
        key = f"dk_{prefix}_{secrets.token_urlsafe(32)}"
        salt = secrets.token_bytes(16)
        kept = ApiKey(
            prefix=prefix,
            name=name,
            salt=salt.hex(),
            hash=_hash(key, salt).hex(),
            created_at=now,
            tenant=tenant,
            scopes=scopes,
            expires_at=expires_at,
        )
        with self._writing() as keys:
            keys[prefix] = kept
        return key, kept

    def revoke(self, prefix: str, now: datetime) -> ApiKey:
        """Raises NotFound."""
        with self._writing() as keys:
            if prefix not in keys:
                raise NotFound(f"there is no key {prefix!r}", do="daicho key list")
            if keys[prefix].revoked_at is None:
                keys[prefix] = msgspec.structs.replace(keys[prefix], revoked_at=now)
            return keys[prefix]

    @contextlib.contextmanager
    def _writing(self) -> Generator[dict[str, ApiKey], None, None]:
        folder = self.path.parent
        try:
            with open(folder / f".{self.path.name}.lock", "w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                keys = self.read()
                yield keys
                handle, name = tempfile.mkstemp(dir=folder, prefix=f".{self.path.name}.")  # readable by its owner alone
                with open(handle, "wb") as file:
                    file.write(msgspec.json.format(msgspec.json.encode(list(keys.values())), indent=2))
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(name, self.path)
        except OSError as error:
            raise ConfigurationError(f"the keys in {self.path} cannot be written: {error}", do="mend that") from error


class ApiKeys:
    """Keys as `Authorization: Bearer dk_...` or `X-API-Key: dk_...`."""

    scheme = "Bearer"

    def __init__(
        self,
        file: KeyFile,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ConfigurationError if the file cannot be understood."""
        self._file, self._now, self._monotonic = file, now, monotonic
        self._stamp = file.stamp()
        self._keys = file.read()
        self._good: dict[bytes, tuple[str, float]] = {}
        """By a digest of a key that was good: its prefix, and until when that need not be found out again."""
        self._turn = asyncio.Semaphore(_AT_ONCE)

    @property
    def file(self) -> KeyFile:
        """Where they are kept."""
        return self._file

    def takes(self, credential: str) -> bool:
        return credential.startswith("dk_")

    async def authenticate(self, credential: str) -> Principal:
        shape = _SHAPE.fullmatch(credential)
        if shape is None:
            raise _refused()
        self._look()
        kept = self._keys.get(shape[1])
        if kept is None:
            raise _refused()  # prefixes are no secret
        digest = hashlib.sha256(credential.encode()).digest()
        prefix, until = self._good.get(digest, ("", 0.0))
        if prefix != kept.prefix or until < self._monotonic():
            async with self._turn:
                found = await asyncio.to_thread(_hash, credential, bytes.fromhex(kept.salt))
            if not hmac.compare_digest(found, bytes.fromhex(kept.hash)):
                raise _refused()
            if len(self._good) >= _MOST:
                self._good.clear()
            self._good[digest] = (kept.prefix, self._monotonic() + _REMEMBERED)
        match kept.state(self._now()):
            case "revoked":
                raise NotAuthenticated("the key was revoked", do="ask for a new one")
            case "expired":
                raise NotAuthenticated("the key has expired", do="ask for a new one")
            case _:
                return Principal(actor=kept.name, tenant=kept.tenant, scopes=frozenset(kept.scopes))

    def _look(self) -> None:
        """Whether keys were made or revoked since: one look at the file's date."""
        stamp = self._file.stamp()
        if stamp != self._stamp:
            self._keys = self._file.read()
            self._stamp = stamp
            self._good.clear()


def _hash(key: str, salt: bytes) -> bytes:
    return hashlib.scrypt(key.encode(), salt=salt, maxmem=64 * 1024 * 1024, **_COST)


def _refused() -> NotAuthenticated:
    return NotAuthenticated("the key was not accepted", why="there is no such key", do="check it, or ask for a new one")


def key_row(kept: ApiKey, now: datetime) -> dict[str, Any]:
    """What may be shown of a key."""
    return {
        "prefix": kept.prefix,
        "name": kept.name,
        "tenant": kept.tenant,
        "scopes": " ".join(kept.scopes),
        "state": kept.state(now),
        "expires_at": None if kept.expires_at is None else kept.expires_at.isoformat(timespec="seconds"),
    }


def span(text: str) -> timedelta:
    """For how long, as people write it. Raises ConfigurationError."""
    match = _SPAN.fullmatch(text)
    if match is None:
        raise ConfigurationError(f"{text!r} is no span of time", do="write for instance 90d, 12h or 30m")
    return timedelta(**{{"d": "days", "h": "hours", "m": "minutes"}[match[2]]: int(match[1])})
