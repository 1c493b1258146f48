"""Bus URLs: `amqp://user:password@host:5672/vhost?prefix=daicho`, `amqps://` for TLS, and a few options."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_NUMBERS: Mapping[str, tuple[float, float, str]] = {
    "answer_within": (0.1, 600, "10"),
    "max_bytes": (1_000_000, 2**50, "10000000000"),
}
_TLS = ("cafile", "certfile", "keyfile")
_PREFIX = re.compile(r"(?!amq\b)[A-Za-z0-9_-]{1,40}\Z")
_AGE = re.compile(r"[1-9][0-9]{0,6}[YMDhms]\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus URL says."""

    url: str
    """As it may be shown: without the password."""
    address: str
    """For the client library: with the password, without the options that are ours."""
    prefix: str = "daicho"
    """Of the names of exchanges and queues. Applications that talk to each other have the same one."""
    answer_within: float = 10.0
    """Seconds in which the broker has to answer."""
    max_age: str | None = None
    """For how long messages are kept, as RabbitMQ writes it: 30D. None: for ever."""
    max_bytes: int | None = None
    """How much a partition keeps. None: everything."""


def _bad(url: str, why: str, do: str = "write amqp://user:password@host:5672/") -> BadUrl:
    return BadUrl(f"{url!r} does not name a RabbitMQ", why=why, do=do, url=url)


def _number(shown: str, name: str, text: str) -> float:
    least, most, example = _NUMBERS[name]
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise _bad(shown, f"{name}={text} is not a number from {least:g} to {most:g}", f"write {name}={example}")
    return number


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=re.sub(r":[^@]*@", ":***@", parts.netloc)))
    if parts.scheme not in {"amqp", "amqps"}:
        raise _bad(shown, "it does not begin with amqp:// or amqps://")
    tls = parts.scheme == "amqps"
    try:
        port = parts.port or (5671 if tls else 5672)
    except ValueError:
        raise _bad(shown, "its port is not a number from 1 to 65535") from None
    path = parts.path.removeprefix("/")
    if "/" in path:
        raise _bad(shown, f"{path!r} is not the name of a virtual host", "write a slash in its name as %2F")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in (*_NUMBERS, *_TLS, "prefix", "max_age"):
            known = ", ".join(["prefix", "max_age", *_NUMBERS, *_TLS])
            raise _bad(shown, f"there is no option {name!r}", f"use some of {known}")
        if name in options:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        options[name] = value
    files = {name: options[name] for name in _TLS if name in options}
    if files and not tls:
        raise _bad(shown, f"{', '.join(files)} mean nothing without TLS", "write amqps://")
    prefix = options.get("prefix", "daicho")
    if not _PREFIX.match(prefix):
        raise _bad(shown, f"prefix={prefix} is not possible", "write letters, digits, _ and -, at most 40 of them")
    age = options.get("max_age")
    if age is not None and not _AGE.match(age):
        raise _bad(shown, f"max_age={age} is not a length of time", "write max_age=30D, 12h, ...")
    user = quote(unquote(parts.username or "guest"), safe="")
    password = quote(unquote(parts.password or "guest"), safe="")
    host = parts.hostname or "localhost"
    place = f"{user}:{password}@{f'[{host}]' if ':' in host else host}:{port}"
    query = urlencode({"heartbeat": "10", "name": "daicho", **files})
    return Location(
        url=shown,
        address=urlunsplit((parts.scheme, place, f"/{path}", query, "")),
        prefix=prefix,
        answer_within=_number(shown, "answer_within", options.get("answer_within", "10")),
        max_age=age,
        max_bytes=int(_number(shown, "max_bytes", options["max_bytes"])) if "max_bytes" in options else None,
    )
