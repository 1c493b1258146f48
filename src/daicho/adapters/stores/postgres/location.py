"""Store URLs: `postgresql://user@host:5432/database?schema=daicho`, libpq's own parameters, and a few of ours."""

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec
from psycopg import Error as PsycopgError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "pooler": ("auto", "none", "transaction"),
    "migrate": ("auto", "never"),
}
_NUMBERS: Mapping[str, tuple[float, float, str]] = {
    "pool": (1, 200, "8"),
    "reconnect_within": (0, 600, "10"),
}
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,50}\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a store URL says."""

    url: str
    """As it may be shown: without the password."""
    conninfo: str
    """For libpq: hosts, database, user, password, TLS."""
    database: str
    schema: str = "daicho"
    pool: int = 8
    """The most connections that reading and small writes may use at once, besides the writer's and the watcher's."""
    pooler: str = "auto"
    """`transaction`: a pooler such as pgbouncer sits in between, nothing of a session lasts. `auto` finds out."""
    migrate: str = "auto"
    reconnect_within: float = 10.0
    """Seconds that a lost connection is tried again before an error is told."""

    @property
    def hosts(self) -> int:
        """How many hosts there are, one of which is the primary."""
        given = conninfo_to_dict(self.conninfo)
        return max(len(str(given.get(name) or "").split(",")) for name in ("host", "hostaddr"))

    def conninfo_to(self, order: Sequence[int], *, anyhow: bool = False) -> str:
        """The same with these of its hosts, in this order; `anyhow`: whatever they are."""
        given: dict[str, Any] = dict(conninfo_to_dict(self.conninfo))
        for name in ("host", "hostaddr", "port"):
            each = str(given.get(name) or "").split(",")
            if len(each) > 1:
                given[name] = ",".join(each[n] for n in order)
        if anyhow:
            given.pop("target_session_attrs", None)
        return make_conninfo("", **given)


def _bad(url: str, why: str, do: str = "write postgresql://user@host:5432/database") -> BadUrl:
    return BadUrl(f"{url!r} does not name a PostgreSQL store", why=why, do=do, url=url)


def _shown(url: str) -> str:
    """Without the password, wherever it stands."""
    parts = urlsplit(url)
    netloc = re.sub(r":[^:@/]*@", ":***@", parts.netloc)
    query = [(name, "***" if name in {"password", "sslpassword"} else value) for name, value in parse_qsl(parts.query)]
    return urlunsplit(parts._replace(netloc=netloc, query=urlencode(query, safe="*/:,", quote_via=quote)))


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
    if parts.scheme not in {"postgresql", "postgres"}:
        raise _bad(url, "it does not begin with postgresql://")
    shown = _shown(url)
    ours: dict[str, str] = {}
    theirs: list[tuple[str, str]] = []
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in _CHOICES and name not in _NUMBERS and name != "schema":
            theirs.append((name, value))
            continue
        if name in ours:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        if name in _CHOICES and value not in _CHOICES[name]:
            raise _bad(shown, f"{name}={value} is not possible", f"write {name}={' or '.join(_CHOICES[name])}")
        ours[name] = value
    schema = ours.get("schema", "daicho")
    if not _SCHEMA.match(schema) or schema.startswith("pg_"):
        raise _bad(shown, f"schema={schema} is not possible", "write small letters, digits and _, at most 51 of them")
    try:
        given = conninfo_to_dict(urlunsplit(parts._replace(query=urlencode(theirs, quote_via=quote))))
        usual: dict[str, Any] = {"connect_timeout": 5, "application_name": "daicho"}
        conninfo = make_conninfo("", **{**usual, **given, "client_encoding": "utf8"})
    except PsycopgError as error:
        raise _bad(shown, str(error).strip()) from None
    return Location(
        url=shown,
        conninfo=conninfo,
        database=str(given.get("dbname", "")),
        schema=schema,
        pool=int(_number(shown, "pool", ours.get("pool", "8"))),
        pooler=ours.get("pooler", "auto"),
        migrate=ours.get("migrate", "auto"),
        reconnect_within=_number(shown, "reconnect_within", ours.get("reconnect_within", "10")),
    )
