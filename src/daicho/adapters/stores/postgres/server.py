"""What kind of server it is, and whether it is one for us."""

from daicho.adapters.stores.postgres.lines import Connection
from daicho.adapters.stores.postgres.location import Location
from daicho.core.errors import StoreFailed, StoreReadOnly

__all__ = ["checked_version", "is_pooled"]

_OLDEST = 13


async def checked_version(connection: Connection, location: Location, *, standby: bool = False) -> int:
    """The server's version, as 150018 for 15.18. Raises StoreFailed or StoreReadOnly if it will not do. `standby`: a
    standby will do."""
    version = connection.info.server_version
    if version < _OLDEST * 10000:
        raise StoreFailed(f"{location.url} is PostgreSQL {version // 10000}", do=f"use version {_OLDEST} or later")
    cursor = await connection.execute("select pg_is_in_recovery(), current_setting('server_encoding')")
    [(follows, encoding)] = await cursor.fetchall()
    if follows and not standby:
        raise StoreReadOnly(
            f"{location.url} is a standby",
            why="it can be read, but how far its log is complete only the primary knows",
            do="name the primary, or several hosts and ?target_session_attrs=read-write; read_from= takes standbys",
        )
    if encoding != "UTF8":
        raise StoreFailed(
            f"the database of {location.url} is encoded in {encoding}",
            why="texts of other languages could not be stored in it",
            do="create one with ENCODING 'UTF8'",
        )
    return version


async def is_pooled(connection: Connection, location: Location) -> bool:
    """Whether a pooler sits in between: then the process that answers is not the one that was connected to."""
    if location.pooler != "auto":
        return location.pooler == "transaction"
    cursor = await connection.execute("select pg_backend_pid()")
    [(pid,)] = await cursor.fetchall()
    return bool(pid != connection.info.backend_pid)
