"""Where the shop's data is, and what to type to look at it."""

import re
import shlex
import sys
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["daicho", "file_of", "query", "shown", "store_of"]

SELECT = "select * from"
OURS = "schema|pool|pooler|migrate|reconnect_within"
"""Options of a PostgreSQL URL that psql does not know."""


def store_of(db: str) -> str:
    """The URL of the store that somebody named: by a URL, or as a SQLite file."""
    return db if ":" in db else f"sqlite:///{db}"


def file_of(store: str) -> Path | None:
    """The file of a SQLite store."""
    url = urlsplit(store)
    return Path(url.path.removeprefix("/")) if url.scheme == "sqlite" else None


def shown(store: str) -> str:
    """The store as it may be printed: as a file, or as a URL without the password."""
    return str(file_of(store) or without_password(store))


def daicho(store: str, command: str) -> str:
    """The line to type for a command of `daicho`."""
    path = Path(sys.executable).with_name("daicho")
    tool = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{tool} --app examples.shop.app:app --store {shlex.quote(without_password(store))} {command}"


def query(store: str, view: str) -> str:
    """The line to type for everything that is in a view."""
    if file := file_of(store):
        return f'sqlite3 {shlex.quote(str(file))} "{SELECT} {view}"'
    schema = re.search(r"[?&]schema=([^&]*)", store)
    place = re.sub(rf"(?<=[?&])(?:{OURS})=[^&]*(?:&|$)", "", without_password(store)).rstrip("?&")
    return f'psql {shlex.quote(place)} -c "{SELECT} {schema[1] if schema else "daicho"}.{view}"'


def without_password(store: str) -> str:
    """Whoever types it has theirs in PGPASSWORD or ~/.pgpass."""
    return re.sub(r"(?<=[?&])password=[^&]*(?:&|$)", "", re.sub(r":[^:@/]*@", "@", store)).rstrip("?&")
