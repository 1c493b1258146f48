"""URLs: `mongodb://user:password@host:27017/database?reconnect_within=10`, and any of MongoDB's own parameters."""

import re
from typing import Any
from urllib.parse import parse_qsl, quote, unquote_plus, urlencode

import msgspec
from pymongo.errors import PyMongoError
from pymongo.uri_parser import parse_uri

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_OURS = "reconnect_within"
_PARTS = re.compile(r"(?P<scheme>mongodb(?:\+srv)?)://(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?\Z")
_SECRET = {"tlscertificatekeyfilepassword", "sslkeyfilepassword", "authmechanismproperties"}
_SOLID = {"w": "majority", "journal": "true"}
_PRIMARY = {"primary"}


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a URL says."""

    url: str
    """As it may be shown: without the password."""
    target: str
    """For pymongo."""
    database: str = "daicho"
    options: dict[str, Any] = {}
    """For pymongo, besides: what the URL says nothing about."""
    reconnect_within: float = 10.0
    """Seconds that a lost server is tried again before an error is told."""
    majority: bool = True
    """Whether writes are on the disks of most members of the replica set before they count. The URL may say less."""


def _bad(shown: str, why: str, do: str = "write mongodb://user@host:27017/database") -> BadUrl:
    return BadUrl(f"{shown!r} does not name a MongoDB", why=why, do=do, url=shown)


def _without_password(hosts: str) -> str:
    user, at, rest = hosts.rpartition("@")
    return f"{user.partition(':')[0]}{':***' if ':' in user else ''}{at}{rest}"


def _query(pairs: list[tuple[str, str]]) -> str:
    return urlencode(pairs, safe="*/:,", quote_via=quote)


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    parts = _PARTS.match(url)
    if parts is None:
        raise _bad(url.partition("://")[0], "it is not of the form mongodb://host/database")
    scheme, hosts, database, query = parts.group("scheme", "hosts", "database", "query")
    given = parse_qsl(query or "", keep_blank_values=True)
    visible = [(name, "***" if name.lower() in _SECRET else value) for name, value in given]
    path = f"{scheme}://{_without_password(hosts)}/{database or ''}"
    shown = f"{path}?{_query(visible)}" if given else path
    ours = [value for name, value in given if name == _OURS]
    if len(ours) > 1:
        raise _bad(shown, f"option {_OURS!r} is given twice", "give it once")
    theirs = [(name, value) for name, value in given if name != _OURS]
    target = f"{scheme}://{hosts}/{database or ''}" + (f"?{_query(theirs)}" if theirs else "")
    named = {name.lower(): value for name, value in theirs}
    if named.get("readpreference", "primary") not in _PRIMARY:
        raise _bad(shown, "rows are read where they were written", "leave readPreference out")
    if named.get("w") == "0":
        raise _bad(shown, "with w=0 nobody knows whether anything was written", "leave w out")
    try:
        # what stands behind +srv is looked up when the store is opened
        parse_uri(target.replace("+srv://", "://", 1) if not any(name.startswith("srv") for name in named) else target)
    except (PyMongoError, ValueError) as error:
        raise _bad(shown, str(error).replace(hosts, _without_password(hosts))) from None
    within = _seconds(shown, ours[0]) if ours else 10.0
    usual = {
        "w": "majority",
        "journal": True,
        "appname": "daicho",
        "connectTimeoutMS": 3000,
        "socketTimeoutMS": 30_000,
        "heartbeatFrequencyMS": 2000,
        "serverSelectionTimeoutMS": max(1000, round(within * 1000)),
    }
    return Location(
        url=shown,
        target=target,
        database=unquote_plus(database) if database else "daicho",
        options={name: value for name, value in usual.items() if name.lower() not in named},
        reconnect_within=within,
        majority=all(named.get(name, solid).lower() == solid for name, solid in _SOLID.items()),
    )


def _seconds(shown: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 600:
        raise _bad(shown, f"{_OURS}={text} is not a number from 0 to 600", f"write {_OURS}=10")
    return number
