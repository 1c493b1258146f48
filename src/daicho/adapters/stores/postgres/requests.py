"""Appends as the JSON that the SQL function `daicho.append` takes, and what can be said of them without asking it."""

import base64
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.core.conditions import ABSENT, ANY, EXISTS, Criteria, Expected
from daicho.core.errors import DuplicateEventId, InvalidMessage
from daicho.core.streams import category_of
from daicho.ports.event_store import AppendRequest, CommandOutcome, NewEvent, StreamWrite
from daicho.ports.state_store import StateWrite

__all__ = ["EVERYTHING", "MOST_KEYS", "Group", "can_be_json", "independent", "number", "single_event"]

_ANY, _EXISTS = -1, -2
MOST_KEYS = 1000
_MOST_REQUESTS, _MOST_EVENTS = 512, 2000
EVERYTHING = "*"
_UNTRANSLATABLE = re.compile(rb"\\u(0000|[dD][89a-fA-F])")
"""Escapes that PostgreSQL does not take in JSON: an event that has one is kept as bytes."""


class _Key(msgspec.Struct):
    k: str
    x: bool


class _Write(msgspec.Struct):
    r: int
    s: str
    x: int


class _Alternative(msgspec.Struct):
    t: tuple[str, ...] | None
    g: tuple[str, ...] | None


class _Condition(msgspec.Struct):
    r: int
    b: int
    s: tuple[int, ...]
    a: list[_Alternative]


class _Event(msgspec.Struct, omit_defaults=True, gc=False):
    r: int
    w: int
    v: int
    s: str
    t: str
    k: int
    i: str
    o: str
    c: str
    u: str
    m: msgspec.Raw
    a: str | None = None
    b: str | None = None
    g: list[str] | None = None
    d: msgspec.Raw = msgspec.Raw(b"")
    p: str | None = None


class _State(msgspec.Struct, omit_defaults=True, gc=False):
    r: int
    w: int
    n: int
    s: str
    c: str
    x: bool
    f: bool
    k: int
    p: int
    e: int | None = None
    d: msgspec.Raw = msgspec.Raw(b"")
    b: str | None = None


_encode = msgspec.json.Encoder().encode
_is_json = msgspec.json.Decoder(msgspec.Raw).decode


def _check(request: AppendRequest) -> None:
    """Raises what is wrong with a request in itself."""
    writes = request.writes
    if len(writes) > 1 and len({write.stream for write in writes}) < len(writes):
        raise InvalidMessage(
            "one append names a stream twice", do="put all events of a stream into one write", path="writes"
        )
    ids = [event.event_id for write in writes for event in write.events]
    if len(ids) > 1 and len(set(ids)) < len(ids):
        raise DuplicateEventId(
            "an event id of this append is in use already",
            why="it names one id twice",
            do="append the same events in the same order again, or use fresh ids",
            positions=(),
        )


def independent(requests: Sequence[AppendRequest]) -> int:
    """How many of the requests, from the first, can be decided side by side: none sees anything of another."""
    if len(requests) == 1 or _are_strangers(requests):
        return len(requests)
    streams: set[str] = set()
    ids: set[str] = set()
    commands: set[str] = set()
    events: list[tuple[str, frozenset[str]]] = []
    inline = requests[0].inline is not None
    for count, request in enumerate(requests):
        condition, outcome = request.condition, request.outcome
        if (
            count == _MOST_REQUESTS
            or (count and len(events) > _MOST_EVENTS)
            or (request.inline is not None) is not inline
            or any(write.stream in streams for write in request.writes)
            or (outcome is not None and outcome.command_id in commands)
            or (condition is not None and any(condition.criteria.matches(type_, tags) for type_, tags in events))
        ):
            return count
        if outcome is not None:
            commands.add(outcome.command_id)
        for write in request.writes:
            streams.add(write.stream)
            for event in write.events:
                if event.event_id in ids:
                    return max(count, 1)  # the first alone, if it names one twice
                ids.add(event.event_id)
                events.append((event.type, frozenset(event.tags)))
    return len(requests)


def _are_strangers(requests: Sequence[AppendRequest]) -> bool:
    """Whether that is plain to see, as it mostly is."""
    if len(requests) > _MOST_REQUESTS or any(r.condition or r.outcome or r.inline for r in requests):
        return False
    writes = [write for request in requests for write in request.writes]
    ids = [event.event_id for write in writes for event in write.events]
    return len(ids) <= _MOST_EVENTS and len({w.stream for w in writes}) == len(writes) and len(set(ids)) == len(ids)


class Group:
    """Independent requests as the parameters of `daicho.append`, or of `daicho.append_states` if one keeps a state.

    Raises InvalidMessage or DuplicateEventId if there is something wrong with one of them in itself.
    """

    types = None

    def __init__(self, requests: Sequence[AppendRequest], now: str) -> None:
        self.requests, self.at = requests, now
        writes: list[_Write] = []
        conditions: list[_Condition] = []
        events: list[_Event] = []
        outcomes: list[dict[str, Any]] = []
        states: list[_State] = []
        shared: set[str] = set()
        alone: set[str] = set()
        self.first_writes: list[int] = []
        """For each request, how many writes come before its own."""
        self.first_events: list[int] = []
        for r, request in enumerate(requests, 1):
            _check(request)
            self.first_writes.append(len(writes))
            self.first_events.append(len(events))
            for write in request.writes:
                writes.append(_Write(r, write.stream, number(write.expected)))
                for v, event in enumerate(write.events, 1):
                    events.append(_event(r, len(writes), v, write.stream, event))
                    shared.add(f"type {event.type}")
                    if event.tags:
                        shared.update([f"tag {tag}" for tag in event.tags])
                if write.state is not None:
                    states.append(_state(r, len(writes), write, write.state, len(events)))
            condition = request.condition
            if condition is not None:
                conditions.append(_Condition(r, condition.after, condition.seen, _alternatives(condition.criteria)))
                alone.update(_keys(condition.criteria))
            if request.outcome is not None:
                outcomes.append(_outcome(r, request, request.outcome, self.first_writes[-1] + 1, len(events)))
        if events:
            shared.add(EVERYTHING)
        if len(shared) + len(alone) > MOST_KEYS:  # rather one lock that keeps everybody out than a full lock table
            shared, alone = set(), {EVERYTHING}
        keys = [*(_Key(key, True) for key in alone), *(_Key(key, False) for key in shared - alone)]
        self.parameters: tuple[str | None, ...] = (
            now,
            _text(keys),
            _text(writes),
            _text(conditions) if conditions else None,
            _text(events) if events else None,
            _text(outcomes) if outcomes else None,
        )
        self.name = "append_states" if states else "append"
        if states:
            self.parameters = (*self.parameters, _text(states))
        self.size = sum([len(each) for each in self.parameters if each is not None])


def single_event(request: AppendRequest) -> tuple[Any, ...] | None:
    """The parameters of `append_one` after the time, if the request is as simple as that."""
    if len(request.writes) != 1 or request.condition is not None or request.outcome is not None or request.inline:
        return None
    [write] = request.writes
    if len(write.events) != 1 or write.expected is ANY or write.expected is EXISTS or write.state is not None:
        return None
    [event] = write.events
    expected, data = number(write.expected), event.data
    if event.tags or not 0 <= expected < 2**31 - 1 or not can_be_json(data):
        return None
    try:
        metadata, text = event.metadata.decode(), data.decode()
    except UnicodeError:
        return None
    return (
        write.stream, expected, event.type, event.schema_version, event.event_id, event.occurred_at, event.actor,
        event.tenant, event.correlation_id, event.causation_id, metadata, text,
    )  # fmt: skip


def can_be_json(data: bytes) -> bool:
    """Whether PostgreSQL takes it as JSON, if it is JSON at all."""
    return data[:1] in b"{[" and not (b"\\u" in data and _UNTRANSLATABLE.search(data))


def _text(value: Any) -> str:
    try:
        return _encode(value).decode()
    except (UnicodeError, msgspec.MsgspecError) as error:
        raise InvalidMessage(
            f"an event holds text that is not Unicode: {error}",
            why="lone surrogates and bytes that are not UTF-8 cannot be stored as text",
            do="check the stream, actor, tags and metadata",
        ) from error


def number(expected: Expected) -> int:
    if expected is ANY:
        return _ANY
    if expected is EXISTS:
        return _EXISTS
    if expected is ABSENT:
        return 0
    assert isinstance(expected, int)
    return min(expected, 2**31 - 1)


def _event(r: int, w: int, v: int, stream: str, event: NewEvent) -> _Event:
    made = _Event(
        r, w, v, stream, event.type, event.schema_version, event.event_id, event.occurred_at, event.correlation_id,
        event.causation_id, _raw(event.metadata, "metadata"), event.actor, event.tenant,
    )  # fmt: skip
    if event.tags:
        made.g = list(dict.fromkeys(event.tags))
    if can_be_json(event.data):
        made.d = _raw(event.data, "data")
    else:
        made.p = base64.b64encode(event.data).decode()
    return made


def _state(r: int, w: int, write: StreamWrite, state: StateWrite, last_event: int) -> _State:
    n, category = len(write.events), category_of(write.stream)
    made = _State(
        r, w, n, write.stream, category, state.data is None, state.fenced, state.schema_version, state.position,
        last_event if n else None,
    )  # fmt: skip
    if state.data is not None and can_be_kept(state.data):
        made.d = _raw(state.data, "state")
    elif state.data is not None:
        made.b = base64.b64encode(state.data).decode()
    return made


def can_be_kept(state: bytes) -> bool:
    """Whether PostgreSQL takes a state, which is any JSON, as JSON. It would take `null` for nothing at all."""
    return state.strip() != b"null" and not (b"\\u" in state and _UNTRANSLATABLE.search(state))


def _raw(data: bytes, what: str) -> msgspec.Raw:
    """The bytes as they are, if they are one whole JSON value: anything else would spill into its surroundings."""
    try:
        _is_json(data)
    except msgspec.MsgspecError as error:
        raise InvalidMessage(
            f"the {what} of an event is not JSON: {error}", do="encode it with the App's codec", path=what
        ) from error
    return msgspec.Raw(data)


def _alternatives(criteria: Criteria) -> list[_Alternative]:
    return [_Alternative(item.types or None, item.tags or None) for item in criteria.items] or [
        _Alternative(None, None)
    ]


def _keys(criteria: Criteria) -> set[str]:
    """What to lock so that no event that meets the criteria can be on its way: every event locks all of its tags, its
    type, and everything; one tag of an alternative is enough, or else each of its types."""
    keys: set[str] = set()
    for item in criteria.items:
        if item.tags:
            keys.add(f"tag {item.tags[0]}")
        elif item.types:
            keys.update(f"type {type_}" for type_ in item.types)
        else:
            keys.add(EVERYTHING)
    return keys or {EVERYTHING}


def _outcome(
    r: int, request: AppendRequest, outcome: CommandOutcome, first_write: int, last_event: int
) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.structs.asdict(outcome)
    payload: bytes | None = outcome.payload
    said["payload"] = None if payload is None else base64.b64encode(payload).decode()
    said["r"] = r
    if request.writes:
        write = request.writes[0]
        said["stream"], said["w"], said["n"], said["e"] = write.stream, first_write, len(write.events), last_event
    return said
