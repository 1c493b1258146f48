"""Where to read from, as it is written down."""

import re
from collections.abc import Sequence
from urllib.parse import parse_qsl, urlsplit

from daicho.core.errors import BadUrl, ConfigurationError

__all__ = ["check_read_from", "name_of", "read_from_text"]

_POSTGRES = ("postgresql", "postgres")
_BETWEEN = re.compile(r"[,\s]+(?=postgres(?:ql)?://)")


def check_read_from(store: str, read_from: Sequence[str]) -> None:
    """Raises ConfigurationError for a store that has no replicas, and BadUrl."""
    if not read_from:
        return
    if urlsplit(store).scheme not in _POSTGRES:
        raise ConfigurationError(
            "`read_from=` needs a PostgreSQL store",
            why=f"a store of the kind `{urlsplit(store).scheme}:` has no streaming replicas",
            do="give App a postgresql:// store, or leave `read_from` out",
        )
    for url in read_from:
        if urlsplit(url).scheme not in _POSTGRES:
            shown = f"{urlsplit(url).scheme}:"
            raise BadUrl(
                f"a URL of the kind `{shown}` is none to read from",
                why="a replica of a PostgreSQL store is a PostgreSQL server",
                do="write postgresql://user@host:5432/database for each replica",
            )
    if len({name_of(url) for url in read_from}) != len(read_from):
        raise ConfigurationError("`read_from=` names the same replica twice", do="name each once")


def name_of(url: str) -> str:
    """Hosts, ports and database: what it may be called in public."""
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    hosts = parts.netloc.rpartition("@")[2] or ":".join(filter(None, (query.get("host"), query.get("port"))))
    schema = f"?schema={query['schema']}" if "schema" in query else ""
    return f"{hosts or 'localhost'}{parts.path}{schema}"


def read_from_text(text: str) -> list[str]:
    """URLs in one text, separated by commas or blanks. A comma between two hosts of one URL separates nothing."""
    return [url for url in _BETWEEN.split(text.strip()) if url]
