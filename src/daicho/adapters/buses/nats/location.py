"""Bus URLs: `nats://user:password@host:4222,other:4222?prefix=daicho&replicas=3`, `tls://`, and a few options."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_NUMBERS: Mapping[str, tuple[float, float, str]] = {
    "replicas": (1, 5, "3"),
    "keep_messages": (0, 10**12, "1000000"),
    "keep_bytes": (0, 10**15, "1000000000"),
    "reconnect_within": (0, 600, "5"),
    "answer_within": (0.05, 600, "5"),
}
_WHOLE = ("replicas", "keep_messages", "keep_bytes")
_FILES = ("ca", "cert", "key")
_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,50}\Z")
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:([0-9]{1,5}))?\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What the URL of a bus on NATS says."""

    url: str
    """As it may be shown: without the password."""
    servers: tuple[str, ...]
    """For the client, without the password."""
    user: str | None = None
    password: str | None = None
    token: str | None = None
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    prefix: str = "daicho"
    """Of all streams and subjects. Applications that share an account and shall not hear each other need another."""
    replicas: int = 1
    """Of each stream, on as many servers of a cluster."""
    keep_messages: int = 0
    """The most messages of a partition that are kept; 0: all."""
    keep_bytes: int = 0
    reconnect_within: float = 5.0
    """Seconds that a lost connection is tried again before an error is told."""
    answer_within: float = 5.0
    """Seconds that an answer of the server may take."""


def _bad(url: str, why: str, do: str = "write nats://host:4222") -> BadUrl:
    return BadUrl(f"{url!r} does not name a bus on NATS", why=why, do=do, url=url)


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
    scheme, _, rest = url.partition("://")
    login, at, _ = rest.partition("?")[0].rpartition("@")
    user, colon, secret = login.partition(":")
    shown = url.replace(f"{login}@", f"{user}:***@" if colon else "***@", 1) if at else url
    if scheme not in {"nats", "tls"}:
        raise _bad(shown, "it does not begin with nats:// or tls://")
    parts = urlsplit(f"//{rest.rpartition('@')[2] if at else rest}")
    if parts.path.strip("/"):
        raise _bad(shown, f"it leads to {parts.path!r}, and there are no paths")
    servers: list[str] = []
    for host in (parts.netloc or "localhost").split(","):
        matched = _HOST.match(host)
        if not matched or not 1 <= int(matched[3] or 4222) <= 65535:
            raise _bad(shown, f"{host!r} is no host, or its port no number from 1 to 65535")
        servers.append(f"{scheme}://{matched[1]}:{matched[3] or 4222}")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in (*_NUMBERS, *_FILES, "prefix"):
            known = ", ".join(["prefix", *_NUMBERS, *_FILES])
            raise _bad(shown, f"there is no option {name!r}", f"use some of {known}")
        if name in options:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        options[name] = value
    files = {name: options[name] for name in _FILES if name in options}
    if files and scheme == "nats":
        raise _bad(shown, f"{', '.join(files)} mean nothing without TLS", "write tls://")
    if ("cert" in files) != ("key" in files):
        raise _bad(shown, "a certificate of the client needs its key, and the key the certificate", "give both")
    prefix = options.get("prefix", "daicho")
    if not _PREFIX.match(prefix):
        raise _bad(shown, f"prefix={prefix} is not possible", "write letters, digits, _ and -, at most 50 of them")
    return Location(
        url=shown,
        servers=tuple(servers),
        user=unquote(user) if colon else None,
        password=unquote(secret) if colon else None,
        token=unquote(user) if at and not colon else None,
        prefix=prefix,
        replicas=int(_number(shown, "replicas", options.get("replicas", "1"))),
        keep_messages=int(_number(shown, "keep_messages", options.get("keep_messages", "0"))),
        keep_bytes=int(_number(shown, "keep_bytes", options.get("keep_bytes", "0"))),
        reconnect_within=_number(shown, "reconnect_within", options.get("reconnect_within", "5")),
        answer_within=_number(shown, "answer_within", options.get("answer_within", "5")),
        **files,
    )
