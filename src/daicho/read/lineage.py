"""Where a row came from: the events that made it, one by one, and whether they still would."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Generic, TypeVar, cast

import msgspec

from daicho.core.collecting import uncollected
from daicho.core.messages import RecordedEvent, Row
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import root_of, segment_of
from daicho.core.stored import StoredEvent, recorded
from daicho.core.streams import id_of
from daicho.ports.checkpoint_store import CUT
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import EventStore, Narrow, Selection
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewStore
from daicho.read.build import processor_name
from daicho.read.past import pages

__all__ = ["Lineage", "LineageStep", "Unplaced", "lineage"]

RowT = TypeVar("RowT", bound=Row)

_encode = msgspec.msgpack.Encoder(enc_hook=repr).encode


class LineageStep(msgspec.Struct, Generic[RowT], frozen=True, kw_only=True):
    """One event that concerns the row, and what became of it there."""

    event: RecordedEvent[Any]
    row: RowT | None
    """After it, as this App's code folds it. None: there is no row."""
    state: str = "folded"
    """`folded`; `parked` or `skipped` (a dead letter of the live view); `failed` (this App's code raises on it) or
    `behind` (a `failed` one of its key or stream); `waiting` (the view has not come so far)."""
    error: str | None = None
    """Why it failed or was parked, or was skipped."""


class Unplaced(msgspec.Struct, frozen=True, kw_only=True):
    """An event of a stream that made the row, which cannot be read or has no key: nobody knows whether it concerns it.
    What follows it in its stream is `behind`."""

    event: StoredEvent
    error: str


class Lineage(msgspec.Struct, Generic[RowT], frozen=True, kw_only=True):
    """The story of one row."""

    view: str
    key: str
    generation: int | None
    """The build of the view that readers see. None: there is none yet."""
    code: str | None
    """Fingerprint of the code that began this build."""
    same_code: bool
    """Whether that is this App's. If not, newer code may have folded a part of it: a rebuild makes it one again."""
    position: int
    """How far the view had come, at least, when the row was read."""
    row: RowT | None
    """As it is stored."""
    folded: RowT | None
    """What this App's code makes of the events that the view has taken, to the same position."""
    differs: tuple[str, ...]
    """Fields in which the two are not the same: changed by hand, or made by other code. All, if one is not there."""
    steps: list[LineageStep[RowT]]
    """In order of position, up to the head of the register."""
    unplaced: list[Unplaced]


async def lineage(fold: Fold[RowT], key: str, views: ViewStore, storage: Storage, registry: Registry) -> Lineage[RowT]:
    """Looks at every event of the projection's types. `views` holds the rows."""
    found = await _look(fold, key, views, storage)
    while (again := await _look(fold, key, views, storage)).standing != found.standing:
        found = again  # rebuilt, or a dead letter was dealt with: the row may be of before or behind it
    row = cast("RowT | None", found.row)
    records, unplaced = await _concerning(fold, key, storage, registry)
    steps = _folded(fold, key, records, unplaced, found.letters)
    folded, position = _taken(row, steps, found.position)
    return Lineage(
        view=fold.name,
        key=key,
        generation=found.generation,
        code=found.code,
        same_code=found.code == fold.code,
        position=position,
        row=row,
        folded=folded,
        differs=_differing(row, folded),
        steps=[
            msgspec.structs.replace(step, state="waiting") if step.event.position > position else step for step in steps
        ],
        unplaced=unplaced,
    )


class _Look(msgspec.Struct, frozen=True):
    """The live view, as far as it is about one key."""

    generation: int | None
    code: str | None = None
    position: int = 0
    letters: Sequence[DeadLetter] = ()
    """Not gone through: parked, or given up."""
    row: Any = None

    @property
    def standing(self) -> tuple[int | None, list[tuple[int, str]]]:
        return self.generation, [(letter.number, letter.state) for letter in self.letters]


async def _look(fold: Fold[Any], key: str, views: ViewStore, storage: Storage) -> _Look:
    """The position is looked up first: the row has seen at least as much."""
    live = await views.live_generation(fold.name)
    if live is None:
        return _Look(None)
    table = TableSpec(fold.name, live, fold.part.row_type)
    name = processor_name(table)
    checkpoints = [each for each in await storage.checkpoints() if root_of(each.processor) == name]
    code = next((each.fold for each in checkpoints if each.fold is not None), None)
    at_work = [each for each in checkpoints if each.owner != CUT and _has(each.processor, key)]
    position = min((each.position for each in at_work), default=0)
    letters = [
        letter
        for letter in await storage.letters(states=("parked", "retry", "skipped"), limit=2**31)
        if root_of(letter.processor) == name and letter.key in (key, letter.stream) and _has(letter.processor, key)
    ]
    await views.settle(table)
    return _Look(live, code, position, letters, await views.get(table, key))


def _has(processor: str, key: str) -> bool:
    """Whether the key is one of its own; all are, unless it is a segment."""
    return segment_of(processor).holds(key)


async def _concerning(
    fold: Fold[Any], key: str, store: EventStore, registry: Registry
) -> tuple[list[RecordedEvent[Any]], list[Unplaced]]:
    wanted = Selection(types=registry.names_of(fold.events), up_to=await store.head())
    found: list[RecordedEvent[Any]] = []
    strange: list[Unplaced] = []
    async for page in _candidates(fold, key, store, registry, wanted):
        for stored in page:
            try:
                record = recorded(stored, registry)
                if key in fold.keys(record.event, record):
                    found.append(record)
            except Exception as error:  # noqa: BLE001 - the user's code: told
                strange.append(Unplaced(event=stored, error=_text(error)))
    streams = {record.stream for record in found}
    return found, [each for each in strange if each.event.stream in streams or id_of(each.event.stream) == key]


async def _candidates(
    fold: Fold[Any], key: str, store: EventStore, registry: Registry, wanted: Selection
) -> AsyncIterator[list[StoredEvent]]:
    """Pages of events, without those of which the contents alone show that the key is not among theirs."""
    if fold.needs_record:
        async for page in pages(store.read, wanted, lambda event: event.position):
            yield page
        return
    async for narrow in pages(store.read_narrow, wanted, lambda event: event[0]):
        if _may_concern(fold, key, narrow, registry):
            again = msgspec.structs.replace(wanted, after=narrow[0][0] - 1, up_to=narrow[-1][0])
            yield await store.read(again, limit=len(narrow))


def _may_concern(fold: Fold[Any], key: str, events: Sequence[Narrow], registry: Registry) -> bool:
    try:
        with uncollected():
            pairs = fold.pairs(registry.decode_all(events))
    except Exception:  # noqa: BLE001 - looked at one by one, and told there
        return True
    return any(each == key for _, each in pairs)


def _folded(
    fold: Fold[RowT],
    key: str,
    records: Sequence[RecordedEvent[Any]],
    unplaced: Sequence[Unplaced],
    letters: Sequence[DeadLetter],
) -> list[LineageStep[RowT]]:
    by_event = {letter.event_id: letter for letter in letters}
    blocked: dict[str, int] = {}
    for each in unplaced:
        letter = by_event.get(each.event.event_id)
        if letter is None or letter.state != "skipped":
            blocked.setdefault(each.event.stream, each.event.position)
    steps: list[LineageStep[RowT]] = []
    row: RowT | None = None
    failed = False
    for record in records:
        state, error = "folded", None
        if letter := by_event.get(record.event_id):
            is_skipped = letter.state == "skipped"
            state, error = ("skipped", letter.reason) if is_skipped else ("parked", letter.error)
        elif failed or blocked.get(record.stream, record.position) < record.position:
            state = "behind"
        else:
            try:
                row = fold.step(row, record.event, key, record)
            except Exception as raised:  # noqa: BLE001 - the user's code: told
                state, error, failed = "failed", _text(raised), True
        steps.append(LineageStep(event=record, row=row, state=state, error=error))
    return steps


def _taken(row: RowT | None, steps: Sequence[LineageStep[RowT]], position: int) -> tuple[RowT | None, int]:
    """What the view should have made, and how far it had come: to `position`, or further, if it went on before the row
    was read, or if its checkpoint is noted later."""
    folded: RowT | None = None
    later: list[LineageStep[RowT]] = []
    for step in steps:
        if step.event.position <= position:
            folded = step.row
        else:
            later.append(step)
    if _differing(row, folded):
        for step in later:
            if not _differing(row, step.row):
                return step.row, step.event.position
    return folded, position


def _differing(stored: Row | None, folded: Row | None) -> tuple[str, ...]:
    if stored is None or folded is None:
        there = stored or folded
        return there.__struct_fields__ if there is not None else ()
    pairs = ((name, getattr(stored, name), getattr(folded, name)) for name in stored.__struct_fields__)
    # a list that came back as the tuple it was declared as is the same; so is what is never equal to itself
    return tuple(name for name, one, other in pairs if one != other and _encode(one) != _encode(other))


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
