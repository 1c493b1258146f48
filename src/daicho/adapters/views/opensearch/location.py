"""Store URLs: `opensearch://user:password@host:9200?prefix=daicho&tls=true`, or `elasticsearch://`."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_SCHEMES = ("opensearch", "elasticsearch")
_PREFIX = re.compile(r"[a-z][a-z0-9_-]{0,49}\Z")
_SECONDS: Mapping[str, tuple[float, float, str]] = {
    "reconnect_within": (0, 600, "10"),
    "timeout": (1, 600, "30"),
}
_OPTIONS = ("prefix", "tls", "ca", *_SECONDS)


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a store URL says."""

    url: str
    """As it may be shown: without the password."""
    scheme: str
    address: str
    """`http://host:9200` or `https://host:9200`."""
    user: str = ""
    password: str = ""
    prefix: str = "daicho"
    """Every index begins with it."""
    ca: str = ""
    """A file with the certificates to trust, if they are not the system's."""
    reconnect_within: float = 10.0
    """Seconds that a request is repeated which got no answer, before an error is told."""
    timeout: float = 30.0
    """Seconds that an answer is waited for."""


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 9200
    except ValueError as error:
        raise _bad("the URL", str(error)) from None
    shown = urlunsplit(parts._replace(netloc=re.sub(r":.*@", ":***@", parts.netloc)))
    if parts.scheme not in _SCHEMES:
        raise _bad(shown, f"it does not begin with {'://, or '.join(_SCHEMES)}://")
    if not host:
        raise _bad(shown, "it names no host")
    if parts.path.strip("/") or parts.fragment:
        raise _bad(shown, f"{parts.path or parts.fragment!r} means nothing here", "write ?prefix= to tell stores apart")
    given: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _OPTIONS or name in given:
            raise _bad(shown, f"option {name!r} is unknown or given twice", f"use {', '.join(_OPTIONS)}")
        given[name] = value
    prefix, tls = given.get("prefix", "daicho"), given.get("tls", "false")
    if not _PREFIX.match(prefix):
        raise _bad(
            shown, f"prefix={prefix} is not possible", "write small letters, digits, _ and -, at most 50 of them"
        )
    if tls not in ("true", "false"):
        raise _bad(shown, f"tls={tls} is not possible", "write tls=true or tls=false")
    named = f"[{host}]" if ":" in host else host
    return Location(
        url=shown,
        scheme=parts.scheme,
        address=f"{'https' if tls == 'true' else 'http'}://{named}:{port}",
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        prefix=prefix,
        ca=given.get("ca", ""),
        reconnect_within=_seconds(shown, given, "reconnect_within"),
        timeout=_seconds(shown, given, "timeout"),
    )


def _seconds(shown: str, given: Mapping[str, str], name: str) -> float:
    least, most, usual = _SECONDS[name]
    text = given.get(name, usual)
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise _bad(shown, f"{name}={text} is not a number from {least:g} to {most:g}", f"write {name}={usual}")
    return number


def _bad(shown: str, why: str, do: str = "write opensearch://user:password@host:9200?tls=true") -> BadUrl:
    return BadUrl(f"{shown!r} does not name a search engine", why=why, do=do, url=shown)
