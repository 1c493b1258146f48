"""Runs a projection: folds a page of events in memory, writes rows and checkpoint together."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, NamedTuple

from daicho.core.collecting import uncollected
from daicho.core.errors import HistoryError, InvalidMessage, StoreError
from daicho.core.fingerprint import fingerprint
from daicho.core.messages import Event, RecordedEvent, Row, replace
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.core.segments import WHOLE, Segment
from daicho.core.stored import StoredEvent, recorded
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.dead_letter_store import DeadLetter, DeadLetterStore, ParkedEvent
from daicho.ports.event_store import EventStore, Narrow, Selection
from daicho.ports.probe import Probe
from daicho.ports.view_store import TableSpec, ViewChange, ViewStore
from daicho.read.build import Build
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Page
from daicho.read.mended import ask_if_mended
from daicho.read.processor import parked, storable

__all__ = ["Projector", "Refolded"]

_log = logging.getLogger("daicho")
_ROWS_KEPT = 50_000


class Refolded(NamedTuple):
    """A dead letter that went through, and the rows before and after it."""

    letter: DeadLetter
    record: RecordedEvent[Any]
    before: dict[str, Row | None]
    after: dict[str, Row | None]


class Projector(Build[Fold[Any]]):
    """One build of one projection that is a function.

    A page of events is one transaction: the rows it changed, the checkpoint, and what had to be parked. An event that
    the fold raises on is parked with everything after it of the same key; all other keys go on.
    """

    def __init__(
        self,
        fold: Fold[Any],
        table: TableSpec,
        views: ViewStore,
        letters: DeadLetterStore,
        store: EventStore,
        checkpoints: CheckpointStore,
        registry: Registry,
        probe: Probe,
        segment: Segment = WHOLE,
    ) -> None:
        super().__init__(fold, table, views, registry, checkpoints, segment)
        self.store, self.registry, self._letters, self._probe = store, registry, letters, probe
        self._code = fingerprint(fold.code, registry.code_of(fold.events))
        self._rows: OrderedDict[str, Row | None] = OrderedDict()
        self._seen: dict[str, int] = {}
        """For rows elsewhere: the position of the last event that each of `_rows` has seen."""
        self._elsewhere = views if isinstance(views, Elsewhere) else None
        self._parked: set[str] = set()
        self._gathered: dict[str, Row | None] = {}
        self._being_written: dict[str, Row | None] = {}
        self._whole = False
        """Whether `_rows` holds every row of the table: those that are not in it do not exist."""

    async def _go(self, generation: int, live: int) -> None:
        if not (self._follows and self.fold.part.inline and generation > self.table.generation):
            await super()._go(generation, live)
            return
        # appends have kept the old rows up to the moment: who saw them there shall not miss them in the new ones
        self.moving = asyncio.get_running_loop().create_future()
        try:
            await super()._go(generation, live)
            if not self.refused:
                self.complete_at = await self.store.head()
        finally:
            self.moving.set_result(None)
            self.moving = None

    async def begin(self, checkpoint: Checkpoint) -> int:
        self.forget()
        await ask_if_mended(self._letters, self.name, self._code)
        self._parked = await self._letters.parked_keys(self.name)
        self.changes.tell(self.table.name)  # whatever others did to it meanwhile
        if self._elsewhere is None:
            # nothing was folded yet, so there is no row; and from now on none comes about but by us
            self._whole = checkpoint.position == 0 and not self.fold.part.inline
            return checkpoint.position
        return await self._elsewhere.resume(checkpoint, self.table)

    def _forget_rows(self) -> None:
        self._whole = False
        self._rows.clear()
        self._seen.clear()

    def _mine(self, keys: tuple[str, ...]) -> Sequence[str]:
        segment = self.segment
        return keys if segment.of == 1 else [key for key in keys if segment.holds(key)]

    def _has_seen(self, key: str, position: int) -> bool:
        """Whether the row knows the event already: rows elsewhere may be ahead of their checkpoint."""
        return self._elsewhere is not None and position <= self._seen.get(key, 0)

    async def consume(self, page: Page, indexes: list[int], token: int, position: int) -> int:
        move = Advance(processor=self.name, token=token, old=position, new=page.last)
        return await self._consume(page, indexes, move)

    async def _consume(self, page: Page, indexes: list[int], advance: Advance) -> int:
        """If they make a row that the store cannot hold, by halves, until it is known which of them does."""
        parked_before = set(self._parked)
        try:
            return await self._consume_together(page, indexes, advance)
        except InvalidMessage as error:
            self._parked = parked_before
            if len(indexes) < 2:
                if not indexes:
                    raise
                return await self._park_alone(page, indexes[0], advance, error)
        half = len(indexes) // 2
        between = int(page.events[indexes[half - 1]].position)
        position = await self._consume(page, indexes[:half], replace(advance, new=between))
        return await self._consume(page, indexes[half:], replace(advance, old=position))

    async def _park_alone(self, page: Page, index: int, advance: Advance, error: InvalidMessage) -> int:
        """Under its keys, or under its stream, if they are what cannot be held."""
        stored, record = page.events[index], page.record(index)
        keys = self._mine(self.fold.keys(record.event, record)) if isinstance(record, RecordedEvent) else ()
        for under in (keys, (stored.stream,)):
            parked_before, trouble = set(self._parked), list[ParkedEvent]()
            for key in under:
                self._park(trouble, stored, key, error)
            try:
                await self._write({}, advance, trouble)
            except InvalidMessage:
                self._parked = parked_before
                if under is not keys:
                    raise
            else:
                break
        return advance.new

    async def _consume_together(self, page: Page, indexes: list[int], advance: Advance) -> int:
        """Raises InvalidMessage, and has written nothing, if the store cannot hold one of the rows."""
        work: list[tuple[StoredEvent, RecordedEvent[Any], Sequence[str]]] = []
        trouble: list[ParkedEvent] = []
        fold = self.fold
        for index in indexes:
            stored, record = page.events[index], page.record(index)
            if stored.stream in self._parked:
                trouble.append(parked(stored, stored.stream, None))
                continue
            if isinstance(record, HistoryError):
                self._park(trouble, stored, stored.stream, record)
                continue
            try:
                keys = self._mine(fold.keys(record.event, record))
            except Exception as error:  # noqa: BLE001 - the user's code: parked and told
                self._park(trouble, stored, stored.stream, error)
                continue
            if keys:
                work.append((stored, record, keys))
        if not work and not trouble and self.segment.of > 1:
            return advance.old  # of no concern here: that we have come this far can be noted later
        if fold.part.inline:
            self._forget_rows()  # appends of this and other processes change rows beside us
        needed = {key for _, _, keys in work for key in keys}
        await self._fetch(needed)
        rows, changed = self._rows, dict[str, Row | None]()
        before = {key: rows[key] for key in needed} if self.changes.is_heard else {}
        for stored, record, keys in work:
            for key in keys:
                if key in self._parked:
                    trouble.append(parked(stored, key, None))
                    continue
                if self._has_seen(key, stored.position):
                    continue
                try:
                    row = fold.step(rows[key], record.event, key, record)
                except Exception as error:  # noqa: BLE001 - the user's code: parked and told
                    self._park(trouble, stored, key, error)
                    continue
                rows[key] = changed[key] = row
                self._saw(key, stored.position)
        self._probe("projection.before")
        try:
            await self._write(changed, advance, trouble)
            self.changes.tell(self.table.name, changed, before)
        except BaseException:
            self._forget_rows()
            raise
        self._probe("projection.after")
        self._trim()
        return advance.new

    @property
    def can_gather(self) -> bool:
        """Whether `gather` can do anything at all for it, at present."""
        return not (self.fold.needs_record or self._parked or self.segment.of > 1)

    async def gather(self, events: Sequence[Narrow]) -> bool:
        """Folds events of which nothing but the content is needed, for `write_gathered`: faster, and all or nothing.

        False, with nothing done, if anything about them is out of the ordinary; `consume` knows what to do then.
        """
        if not self.can_gather:
            return False
        fold = self.fold
        try:
            with uncollected():
                pairs = fold.pairs(decoded := self.registry.decode_all(events))
            await self._fetch({key for _, key in pairs})
            with uncollected():
                if self._elsewhere is None:
                    changed: dict[str, Row | None] = fold.run(pairs, self._rows)
                else:
                    changed = self._run_elsewhere(events, decoded)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - told by `consume`, event by event
            return False
        self._rows.update(changed)
        self._gathered.update(changed)
        return True

    @property
    def gathered(self) -> int:
        """How many rows changed that are not being written yet."""
        return len(self._gathered)

    async def write_gathered(self, token: int, position: int, last: int) -> int:
        """Writes the rows that changed since the checkpoint's `position`, and `last` as the new one; returns it."""
        changed, self._gathered = self._gathered, {}
        self._being_written = changed
        self._probe("projection.before")
        try:
            await self._write(changed, Advance(processor=self.name, token=token, old=position, new=last), ())
        except BaseException:
            self.forget()
            raise
        self.changes.tell(self.table.name)
        self._probe("projection.after")
        self._being_written = {}
        self._trim()
        return last

    def forget(self) -> None:
        """The rows in memory, and what was gathered: the next ones come from the store."""
        self._forget_rows()
        self._gathered, self._being_written = {}, {}

    def _run_elsewhere(self, events: Sequence[Narrow], decoded: Sequence[Event]) -> dict[str, Row | None]:
        """`Fold.run`, without what the rows have seen already."""
        fold, rows, changed, seen = self.fold, self._rows, dict[str, Row | None](), dict(self._seen)
        for (position, *_), event in zip(events, decoded, strict=True):
            for key in fold.keys(event):
                if position > seen.get(key, 0):
                    changed[key] = fold.step(changed[key] if key in changed else rows[key], event, key)
                    seen[key] = position
        self._seen = seen
        return changed

    def _saw(self, key: str, position: int) -> None:
        if self._elsewhere is not None:
            self._seen[key] = int(position)  # not a Position, which no store knows

    def _trim(self) -> None:
        while len(self._rows) > _ROWS_KEPT:
            key = next(iter(self._rows))
            if key in self._gathered or key in self._being_written:
                break  # the store does not know it yet
            self._whole = False
            del self._rows[key]
            self._seen.pop(key, None)

    def _park(self, trouble: list[ParkedEvent], stored: StoredEvent, key: str, error: BaseException) -> None:
        first = key not in self._parked
        self._parked.add(key)
        trouble.append(parked(stored, key, error if first else None, code=self._code))
        if first:
            _log.error("%s parked key %r at position %s: %r", self.name, key, stored.position, error)

    async def _fetch(self, keys: set[str]) -> None:
        rows = self._rows
        missing = [key for key in keys if key not in rows]
        for key in keys:
            if key in rows:
                rows.move_to_end(key)
        if not missing:
            return
        if self._whole:
            rows.update(dict.fromkeys(missing))
            return
        if self._elsewhere is None:
            found = await self.views.get_many(self.table, missing)
            for key in missing:
                rows[key] = found.get(key)
            return
        placed = await self._elsewhere.get_placed(self.table, missing)
        for key in missing:
            there = placed.get(key)
            rows[key], self._seen[key] = (None, 0) if there is None else (there.row, there.position)

    async def _write(
        self,
        changed: dict[str, Row | None],
        advance: Advance | None,
        trouble: Sequence[ParkedEvent],
        retried: Sequence[int] = (),
    ) -> None:
        await self.views.commit(
            ViewChange(
                table=self.table,
                upserts={key: row for key, row in changed.items() if row is not None},
                deletes=[key for key, row in changed.items() if row is None],
                advance=advance,
                parked=trouble,
                retried=retried,
                seen={} if self._elsewhere is None else {key: self._seen[key] for key in changed},
            )
        )

    async def retry(self, token: int, position: int) -> None:
        """Runs the letters of each key in order on the row as it is; stops a key at its first failure."""
        letters = await self._letters.letters(self.name, states=("retry",))
        by_key: dict[str, list[DeadLetter]] = {}
        for letter in letters:
            by_key.setdefault(letter.key, []).append(letter)
        for key, group in by_key.items():
            await self._retry_key(key, group, Advance(processor=self.name, token=token, old=position, new=position))
        self._parked = await self._letters.parked_keys(self.name)

    async def _retry_key(self, key: str, letters: list[DeadLetter], fence: Advance) -> None:
        steps, failure = await self.refold(letters)
        done = [step.letter.number for step in steps]
        if done:
            changed = {each: row for step in steps for each, row in step.after.items()}
            try:
                await self._write(changed, fence, (), done)
            except InvalidMessage as unfit:  # a row that the store cannot hold: all of them stay
                done, failure = [], unfit
            else:
                self.changes.tell(self.table.name, changed)
        self._forget_rows()
        if failure is not None:
            left = [x.number for x in letters if x.number not in done]
            error = storable(f"{type(failure).__name__}: {failure}")
            await self._letters.retried(self.name, left, error=error, code=self._code)

    async def refold(self, letters: Sequence[DeadLetter]) -> tuple[list[Refolded], Exception | None]:
        """What the letters make of the rows as they are, one on top of the other, up to the first that raises, and
        what that raised. Writes nothing. Raises StoreError."""
        self._forget_rows()
        steps: list[Refolded] = []
        for letter in letters:
            try:
                record = await self._reread(letter)
                keys = self._mine(self.fold.keys(record.event, record))
                keys = [each for each in keys if letter.key in (each, record.stream)]
                await self._fetch(set(keys))
                before = {each: self._rows[each] for each in keys if not self._has_seen(each, record.position)}
                after = {each: self.fold.step(row, record.event, each, record) for each, row in before.items()}
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - the user's code: stays parked and is told
                return steps, error
            for each, row in after.items():
                self._rows[each] = row
                self._saw(each, record.position)
            steps.append(Refolded(letter, record, before, after))
        return steps, None

    async def _reread(self, letter: DeadLetter) -> RecordedEvent[Any]:
        found = await self.store.read(Selection(event_id=letter.event_id), limit=1)
        return recorded(found[0], self.registry)
