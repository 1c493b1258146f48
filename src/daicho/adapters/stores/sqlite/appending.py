"""One append: checks first, then inserts, all inside the writer's transaction."""

from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.adapters.stores.sqlite.commands import outcome_values
from daicho.adapters.stores.sqlite.criteria import positions_after
from daicho.adapters.stores.sqlite.driver import Connection, ConstraintFailed
from daicho.adapters.stores.sqlite.inline import SqliteInline
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.reading import events_at, events_of_stream
from daicho.adapters.stores.sqlite.states import keep_state
from daicho.adapters.stores.sqlite.writer import FATAL, Shortcut, Transaction
from daicho.core.conditions import ANY, holds
from daicho.core.errors import ConcurrencyError, DuplicateEventId, InvalidMessage
from daicho.ports.event_store import Appended, AppendRequest, NewEvent, StoredEvent, StreamWrite

__all__ = ["append_all", "append_alone"]

_INSERT_EVENT = statement("insert_event")
_VERSION_EXISTS = statement("version_exists")
_INSERT_TAG = statement("insert_tag")
_STREAM_VERSION = statement("stream_version")
_PLACE = statement("place_of_event")
_RECORD = statement("record_command")
_NAMED_AT_MOST = 20  # events in the way that an error carries

_tags_text = msgspec.json.Encoder().encode


def append_alone(requests: Sequence[AppendRequest]) -> Shortcut[list[Appended | Exception]] | None:
    """One untagged event on an expected version, by itself: a plain insert that commits by itself.

    The unique key refuses a version that is there already; that the one before is there needs a look, which cannot
    grow old, because the last event of a stream is never deleted. None if that is not what is asked for, or if anything
    is in the way: `append_all` then says what.
    """
    if len(requests) != 1:
        return None
    [request] = requests
    if len(request.writes) != 1 or request.condition or request.outcome or request.inline:
        return None
    [write] = request.writes
    expected = write.expected
    if len(write.events) != 1 or write.events[0].tags or write.state or not isinstance(expected, int):
        return None

    def insert(connection: Connection, now: str) -> tuple[list[Appended | Exception], int] | None:
        if expected and not connection.execute(_VERSION_EXISTS, (write.stream, expected)):
            return None
        try:
            connection.execute(_INSERT_EVENT, _row(None, write.stream, expected + 1, now, write.events[0]))
        except (ConstraintFailed, UnicodeError):
            return None
        position = connection.last_row()
        return [Appended(positions=(position,), versions=(expected + 1,))], position

    return insert


def append_all(transaction: Transaction, requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
    """Executes the requests in order. One that fails leaves no trace.

    In company, a taken event id escapes: the writer then undoes everything and calls again, alone, and only then each
    request pays for a savepoint. With inline work it always does.
    """
    return [
        _isolated(transaction, request)
        if transaction.alone or request.inline is not None
        else _append(transaction, request)
        for request in requests
    ]


def _isolated(transaction: Transaction, request: AppendRequest) -> Appended | Exception:
    connection, head, moved = transaction.connection, transaction.head, transaction.moved
    connection.execute("savepoint request")
    try:
        result = _append(transaction, request)
    except Exception as error:  # errors are answers here, one for each request
        if isinstance(error, FATAL) or not connection.in_transaction():
            raise  # nothing of the transaction is left
        connection.execute("rollback to request")
        transaction.back_to(head, moved=moved)
        result = error
        if isinstance(error, ConstraintFailed):
            result = _placed_before(connection, request) or error
    connection.execute("release request")
    return result


def _append(transaction: Transaction, request: AppendRequest) -> Appended | Exception:
    try:
        return _checked_and_inserted(transaction, request)
    except UnicodeError as error:
        raise InvalidMessage(
            f"an event holds text that is not Unicode: {error}",
            why="lone surrogates and bytes that are not UTF-8 cannot be stored as text",
            do="check the stream, actor, tags and metadata",
        ) from error


def _checked_and_inserted(transaction: Transaction, request: AppendRequest) -> Appended | Exception:
    connection, writes = transaction.connection, request.writes
    if len(writes) > 1 and len({write.stream for write in writes}) < len(writes):
        return InvalidMessage(
            "one append names a stream twice", do="put all events of a stream into one write", path="writes"
        )
    versions: list[int] = []
    for write in writes:
        version = connection.execute(_STREAM_VERSION, (write.stream,))[0][0] or 0
        if write.expected != version and write.expected is not ANY and not holds(write.expected, version):
            return _placed_before(connection, request) or _other_version(connection, write, version)
        versions.append(version)
    condition = request.condition
    if condition is not None:
        found = positions_after(connection, condition.criteria, condition.after, _NAMED_AT_MOST, condition.seen)
        if found:
            return _placed_before(connection, request) or ConcurrencyError(
                f"events that meet the condition were recorded after position {condition.after}",
                expected=condition,
                actual=None,
                events=tuple(events_at(connection, found)),
            )
    first = position = transaction.head
    rows: list[tuple[Any, ...]] = []
    tags: list[tuple[str, int, str]] = []
    now = transaction.now
    for n, write in enumerate(writes):
        stream, version = write.stream, versions[n]
        for event in write.events:
            position += 1
            version += 1
            rows.append(_row(position, stream, version, now, event))
            if event.tags:
                tags += [(tag, position, event.type) for tag in dict.fromkeys(event.tags)]
        versions[n] = version
        if write.state is not None:
            keep_state(connection, write, version, position if write.events else None, now)
    if rows:
        if len(rows) == 1:
            connection.execute(_INSERT_EVENT, rows[0])
        else:
            connection.executemany(_INSERT_EVENT, rows)
        if tags:
            connection.executemany(_INSERT_TAG, tags)
        transaction.append_up_to(position)
    if request.outcome is not None:
        target, version = (writes[0].stream, versions[0]) if writes else (None, 0)
        connection.execute(_RECORD, outcome_values(request.outcome, target, version, position))
    if request.inline is not None:
        request.inline(SqliteInline(connection, now), _stored(request, rows))
    return Appended(positions=tuple(range(first + 1, position + 1)), versions=tuple(versions))


def _row(position: int | None, stream: str, version: int, now: str, event: NewEvent) -> tuple[Any, ...]:
    data: bytes | str = event.data
    if event.data[:1] == b"{":  # JSON is kept as text, for whoever opens the file in a shell
        try:
            data = event.data.decode()
        except UnicodeDecodeError:
            data = event.data
    return (
        position,
        stream,
        version,
        event.type,
        event.schema_version,
        event.event_id,
        event.occurred_at,
        now,
        event.actor,
        event.tenant,
        event.correlation_id,
        event.causation_id,
        _tags_text(event.tags).decode() if event.tags else None,
        event.metadata.decode(),
        data,
    )


def _stored(request: AppendRequest, rows: Sequence[tuple[Any, ...]]) -> list[StoredEvent]:
    stored: list[StoredEvent] = []
    events = (event for write in request.writes for event in write.events)
    for row, event in zip(rows, events, strict=True):
        values: list[Any] = [*row[:12], event.tags, event.metadata, event.data]
        stored.append(StoredEvent(*values))
    return stored


def _placed_before(connection: Connection, request: AppendRequest) -> Appended | DuplicateEventId | None:
    """The places that these very events got before; None if none of the ids is in use."""
    positions: list[int] = []
    versions: list[int] = []
    wanted = used = 0
    same = True
    for write in request.writes:
        last = 0
        for event in write.events:
            wanted += 1
            found = connection.execute(_PLACE, (event.event_id,))
            if not found:
                continue
            [(stream, version, position)] = found
            used += 1
            same = same and stream == write.stream and version > last and (not positions or position > positions[-1])
            last = version
            positions.append(position)
        versions.append(last or connection.execute(_STREAM_VERSION, (write.stream,))[0][0] or 0)
    ids = {event.event_id for write in request.writes for event in write.events}
    if not used and len(ids) == wanted:
        return None
    if same and used == wanted:
        return Appended(positions=tuple(positions), versions=tuple(versions), duplicate=True)
    return DuplicateEventId(
        "an event id of this append is in use already",
        why=f"{used} of its {wanted} events are in the store, not all of them in these places"
        if used
        else "it names one id twice",
        do="append the same events in the same order again, or use fresh ids",
        positions=tuple(positions),
    )


def _other_version(connection: Connection, write: StreamWrite, version: int) -> ConcurrencyError:
    seen = write.expected if isinstance(write.expected, int) else 0
    return ConcurrencyError(
        f"{write.stream} is at version {version}, not {write.expected!r}",
        expected=write.expected,
        actual=version,
        events=tuple(events_of_stream(connection, write.stream, seen, _NAMED_AT_MOST)),
    )
