"""Bus URLs: `redis://user:password@host:6379/0?prefix=daicho`, `rediss://` for TLS, and a few options."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_NUMBERS: Mapping[str, tuple[float, float, str]] = {
    "keep_messages": (0, 10**12, "1000000"),
    "largest": (1024, 256 * 2**20, "1048576"),
    "reconnect_within": (0, 600, "5"),
    "answer_within": (0.05, 600, "5"),
}
_WHOLE = ("keep_messages", "largest")
_TLS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_PREFIX = re.compile(r"[A-Za-z0-9_.-]{1,50}\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL of a bus on Redis says."""

    url: str
    """As it may be shown: without the password."""
    host: str = "localhost"
    port: int = 6379
    database: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    tls_files: Mapping[str, str] = {}
    """Of certificates and keys, by redis-py's names for them."""
    prefix: str = "daicho"
    """Of all keys. Applications that share a server and shall not hear each other need another."""
    keep_messages: int = 0
    """When a partition has more, what every group has acknowledged is thrown away; 0: never."""
    largest: int = 1024 * 1024
    """Bytes of a message's data that are taken."""
    reconnect_within: float = 5.0
    """Seconds that a lost connection is tried again before an error is told."""
    answer_within: float = 5.0
    """Seconds that an answer of the server may take."""


def _bad(url: str, why: str, do: str = "write redis://host:6379/0") -> BadUrl:
    return BadUrl(f"{url!r} does not name a bus on Redis", why=why, do=do, url=url)


def _number(shown: str, name: str, text: str) -> float:
    least, most, example = _NUMBERS[name]
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most or (name in _WHOLE and not number.is_integer()):
        raise _bad(shown, f"{name}={text} is not a number from {least:g} to {most:g}", f"write {name}={example}")
    return number


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=re.sub(r":[^@]*@", ":***@", parts.netloc)))
    if parts.scheme not in {"redis", "rediss"}:
        raise _bad(shown, "it does not begin with redis:// or rediss://")
    try:
        port = parts.port or 6379
    except ValueError:
        raise _bad(shown, "its port is not a number from 1 to 65535") from None
    path = parts.path.strip("/")
    if path and not (path.isascii() and path.isdecimal()):
        raise _bad(shown, f"{path!r} is not the number of a database", "write redis://host:6379/0")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in (*_NUMBERS, *_TLS, "prefix"):
            known = ", ".join(["prefix", *_NUMBERS, *_TLS])
            raise _bad(shown, f"there is no option {name!r}", f"use some of {known}")
        if name in options:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        options[name] = value
    files = {name: options[name] for name in _TLS if name in options}
    if files and parts.scheme == "redis":
        raise _bad(shown, f"{', '.join(files)} mean nothing without TLS", "write rediss://")
    prefix = options.get("prefix", "daicho")
    if not _PREFIX.match(prefix):
        raise _bad(shown, f"prefix={prefix} is not possible", "write letters, digits, _, . and -, at most 50 of them")
    return Location(
        url=shown,
        host=parts.hostname or "localhost",
        port=port,
        database=int(path or 0),
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        tls=parts.scheme == "rediss",
        tls_files=files,
        prefix=prefix,
        keep_messages=int(_number(shown, "keep_messages", options.get("keep_messages", "0"))),
        largest=int(_number(shown, "largest", options.get("largest", "1048576"))),
        reconnect_within=_number(shown, "reconnect_within", options.get("reconnect_within", "5")),
        answer_within=_number(shown, "answer_within", options.get("answer_within", "5")),
    )
