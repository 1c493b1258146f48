"""Making a file ours, or finding that it is not."""

import random
import time

from daicho.adapters.stores.sqlite.driver import Connection
from daicho.adapters.stores.sqlite.location import Location
from daicho.adapters.stores.sqlite.queries import SCHEMA
from daicho.core.errors import ForeignStore, StoreBusy, StoreFailed

__all__ = ["APPLICATION_ID", "SCHEMA_VERSION", "prepare_reader", "prepare_writer"]

APPLICATION_ID = 0x44414943  # "DAIC"
SCHEMA_VERSION = 4
_STEPS = {
    2: ("alter table daicho_dead_letters add column code text",),
    3: tuple(text for text in SCHEMA if "daicho_timers" in text),
    4: tuple(text for text in SCHEMA if "daicho_states" in text or "daicho_standings" in text),
}
"""What each version added to the one before it. Additions only: a process that knows the older one can go on."""
_COMMON = (
    "pragma foreign_keys = on",
    "pragma trusted_schema = off",
    "pragma cell_size_check = on",
    "pragma temp_store = memory",
    "pragma mmap_size = 0",
)


def prepare_writer(connection: Connection, location: Location) -> None:
    """Checks the file, gives an empty one the schema, and sets what a writer needs.

    Safe when several processes open a new file at the same instant. A file that is not ours is left untouched.
    Raises ForeignStore, StoreCorrupt, StoreReadOnly, StoreBusy.
    """
    connection.wait_for_locks(location.busy_timeout)
    is_new = not _is_ours(connection, location)
    for pragma in _COMMON:
        connection.execute(pragma)
    _switch_to_wal(connection, location)
    connection.execute(f"pragma synchronous = {'full' if location.durability == 'full' else 'normal'}")
    connection.checkpoint_by_hand()
    if is_new:
        _create(connection, location)
    elif _version(connection) < SCHEMA_VERSION:
        _bring_up(connection)
    # Also proves that the file can be written, before anybody relies on it.
    connection.execute("begin immediate")
    connection.execute("rollback")


def prepare_reader(connection: Connection, location: Location) -> None:
    connection.wait_for_locks(location.busy_timeout)
    for pragma in _COMMON:
        connection.execute(pragma)


def _is_ours(connection: Connection, location: Location) -> bool:
    """True: ours. False: empty. Raises ForeignStore."""
    # tables first: another process may create them, together with the id, at any moment, and then the id tells
    tables = [name for (name,) in connection.execute("select name from sqlite_schema where type = 'table' limit 5")]
    [(application,)] = connection.execute("pragma application_id")
    version = _version(connection)
    if application == APPLICATION_ID:
        if version > SCHEMA_VERSION:
            raise ForeignStore(
                f"{location.path} was written by a newer Daicho",
                why=f"its schema is version {version}, this Daicho knows version {SCHEMA_VERSION}",
                do="pip install --upgrade daicho",
                file=location.path,
                version=version,
            )
        return True
    if application == 0 and not tables:
        return False
    raise ForeignStore(
        f"{location.path} belongs to another program",
        why=f"it holds the tables {', '.join(tables)}" if tables else f"its application id is {application:#x}",
        do="name a file of its own in the store URL; nothing in this one was touched",
        file=location.path,
        application_id=application,
        tables=tables,
    )


def _version(connection: Connection) -> int:
    [(version,)] = connection.execute("pragma user_version")
    return int(version)


def _switch_to_wal(connection: Connection, location: Location) -> None:
    deadline = time.monotonic() + max(location.busy_timeout, 0.1)
    while True:
        try:
            [(mode,)] = connection.execute("pragma journal_mode = wal")
        except StoreBusy:  # SQLite does not wait for this lock by itself: another process is doing the same
            if time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311
            continue
        if mode != "wal":
            raise StoreFailed(
                f"{location.path} cannot have a write-ahead log",
                why=f"SQLite stayed in journal mode {mode!r}: the file system has no shared memory",
                do="put the file on a local disk, not on a network share",
                file=location.path,
            )
        return


def _create(connection: Connection, location: Location) -> None:
    connection.execute("begin immediate")
    try:
        if not _is_ours(connection, location):  # else another process was faster
            for text in SCHEMA:
                connection.execute(text)
            connection.execute(f"pragma application_id = {APPLICATION_ID}")
            connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
        connection.execute("commit")
    finally:
        if connection.in_transaction():
            connection.execute("rollback")


def _bring_up(connection: Connection) -> None:
    """Adds what versions since the file's have added, all or nothing."""
    connection.execute("begin immediate")
    try:
        for version in range(_version(connection) + 1, SCHEMA_VERSION + 1):  # another process may have been faster
            for text in _STEPS[version]:
                connection.execute(text)
        connection.execute(f"pragma user_version = {SCHEMA_VERSION}")
        connection.execute("commit")
    finally:
        if connection.in_transaction():
            connection.execute("rollback")
