"""Bus URLs: `axon://:token@host:8124/context`, several hosts with commas between them, `axons://` for TLS, options."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

PORT = 8124
_NUMBERS: Mapping[str, tuple[float, float, float]] = {
    "within": (0.1, 600, 10),
    "largest": (1024, 2**30, 4 * 2**20),
}
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?\Z")
_CONTEXT = re.compile(r"[A-Za-z0-9_.-]{1,200}\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus URL says."""

    url: str
    """As it may be shown: without the token."""
    servers: tuple[str, ...]
    """`host:port` of the nodes that may be asked for the one to use."""
    context: str = "default"
    token: str | None = None
    tls: bool = False
    ca_file: str | None = None
    """Of the authority that signed the servers' certificates, if it is none that everybody knows."""
    within: float = 10.0
    """Seconds that an answer may take."""
    largest: int = 4 * 2**20
    """Bytes of a message; the server's `axoniq.axonserver.max-message-size`."""


def _bad(url: str, why: str, do: str = "write axon://host:8124/context") -> BadUrl:
    return BadUrl(f"{url!r} does not name an Axon Server", why=why, do=do, url=url)


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=re.sub(r":[^@]*@", ":***@", parts.netloc)))
    if parts.scheme not in {"axon", "axons"}:
        raise _bad(shown, "it does not begin with axon:// or axons://")
    login, _, hosts = parts.netloc.rpartition("@")
    user, _, token = login.partition(":")
    if user:
        raise _bad(shown, "Axon Server knows no users, only tokens", "write axon://:token@host:8124/context")
    context = parts.path.strip("/") or "default"
    if not _CONTEXT.match(context):
        raise _bad(shown, f"{context!r} cannot be the name of a context")
    options = _options(shown, parts.query)
    if "ca_file" in options and parts.scheme == "axon":
        raise _bad(shown, "ca_file means nothing without TLS", "write axons://")
    return Location(
        url=shown,
        servers=tuple(_server(shown, host) for host in (hosts or "localhost").split(",")),
        context=context,
        token=unquote(token) or None,
        tls=parts.scheme == "axons",
        ca_file=options.get("ca_file"),
        within=_number(shown, options, "within"),
        largest=int(_number(shown, options, "largest")),
    )


def _server(shown: str, text: str) -> str:
    found = _HOST.match(text)
    port = int((found and found["port"]) or PORT)
    if not found or not 1 <= port <= 65535:
        raise _bad(shown, f"{text!r} is not a host with a port from 1 to 65535")
    return f"{found['host']}:{port}"


def _options(shown: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in (*_NUMBERS, "ca_file"):
            raise _bad(shown, f"there is no option {name!r}", f"use some of {', '.join([*_NUMBERS, 'ca_file'])}")
        if name in options:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        options[name] = value
    return options


def _number(shown: str, options: Mapping[str, str], name: str) -> float:
    least, most, usual = _NUMBERS[name]
    text = options.get(name)
    if text is None:
        return usual
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise _bad(shown, f"{name}={text} is not a number from {least:g} to {most:g}", f"write {name}={usual:g}")
    return number
