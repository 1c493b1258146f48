"""Store URLs: `sqlite:///relative.db`, `sqlite:////absolute/path.db`, and their options."""

import os
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_SCHEME = "sqlite://"
_OPTIONS: Mapping[str, tuple[str, ...] | str] = {
    "driver": ("apsw", "sqlite3"),
    "durability": ("full", "relaxed"),
    "busy_timeout": "a number of seconds from 0 to 3600",
    "allow_affected_sqlite": ("true", "false"),
}


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a store URL says."""

    url: str
    path: str
    """Absolute."""
    driver: str | None = None
    durability: str = "full"
    """`full`: what was acknowledged survives a power cut. `relaxed`: it survives a crash of the process only."""
    busy_timeout: float = 5.0
    allow_affected_sqlite: bool = False


def _allowed() -> str:
    return ", ".join(
        f"{name}={allowed if isinstance(allowed, str) else '|'.join(allowed)}" for name, allowed in _OPTIONS.items()
    )


def _bad(url: str, why: str, do: str = "write sqlite:///shop.db (relative) or sqlite:////var/lib/shop.db") -> BadUrl:
    return BadUrl(f"{url!r} does not name a SQLite store", why=why, do=do, url=url)


def _seconds(url: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 3600:
        raise _bad(url, f"busy_timeout={text} is not {_OPTIONS['busy_timeout']}", "write ?busy_timeout=5")
    return seconds


def parse_url(url: str) -> Location:
    """Understands the URL without touching the disk. Raises BadUrl that says what is allowed."""
    if not url.startswith(_SCHEME):
        raise _bad(url, "it does not begin with sqlite://")
    rest, _, query = url.removeprefix(_SCHEME).partition("?")
    path = unquote(rest[1:])
    if path in {"", ":memory:"}:
        raise _bad(url, "a SQLite store is a file", "write `memory:` for a store that lives in the process only")
    if not rest.startswith("/"):
        raise _bad(url, f"two slashes are followed by a host name, and {rest!r} is none")
    if "\0" in path or path.endswith("/"):
        raise _bad(url, f"{path!r} is not the name of a file")
    given: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        allowed = _OPTIONS.get(name)
        if allowed is None or name in given:
            why = f"option {name!r} is {'not known' if allowed is None else 'given twice'}"
            raise _bad(url, why, f"options are {_allowed()}")
        if isinstance(allowed, tuple) and value not in allowed:
            raise _bad(url, f"{name}={value} is not possible", f"write {name}={' or '.join(allowed)}")
        given[name] = value
    return Location(
        url=url,
        path=os.path.abspath(path),
        driver=given.get("driver"),
        durability=given.get("durability", "full"),
        busy_timeout=_seconds(url, given.get("busy_timeout", "5")),
        allow_affected_sqlite=given.get("allow_affected_sqlite") == "true",
    )
