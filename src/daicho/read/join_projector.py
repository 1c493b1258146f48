"""Runs a join: folds both sides, and writes them, the rows that are made of them, and the checkpoint.

A step is a page of events: left rows, right rows, and every row of the view that shows one of them. In SQL it is one
transaction. Elsewhere it is written side rows first, then the view, then the position, and repeating it is harmless:

    what was lost in between     what comes again
    rows of the view             every event of the step; each joins anew all rows that it is about, seen or not
    rows of the sides            the same; those that are there let pass what they have seen

If a right row has more left rows than can be held, the view is written in pieces, in SQL too. They are fenced, like
every commit, but neither the sides nor the checkpoint move before the last one. After a crash between two pieces, the
step is taken again from the same rows of both sides, so the same right rows change, all their left rows are joined
anew, and those that were written are written again. Until then, readers see some of them in the new form.
"""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from daicho.core.collecting import uncollected
from daicho.core.errors import HistoryError, InvalidMessage, StoreError, StoreFailed
from daicho.core.fingerprint import fingerprint
from daicho.core.join import JoinFold
from daicho.core.messages import RecordedEvent, Row, replace
from daicho.core.registry import Registry
from daicho.core.stored import recorded
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent
from daicho.ports.event_store import Narrow, Selection, StoredEvent
from daicho.ports.probe import Probe, silent
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec, ViewChange
from daicho.read.build import Build
from daicho.read.elsewhere import Elsewhere
from daicho.read.feed import Page
from daicho.read.join_step import Refused, Step, Unit
from daicho.read.join_tables import JoinTables
from daicho.read.joining import Joining
from daicho.read.mended import ask_if_mended
from daicho.read.processor import parked, storable

__all__ = ["JoinProjector"]

_log = logging.getLogger("daicho")
_ROOM = 5
"""Bits behind a position, for what is written again at the same one: see `_places`."""


class JoinProjector(Build[JoinFold[Any]]):
    """One build of one join.

    An event that a fold, `on` or the join itself raises on is parked with everything after it of the same key of the
    same side; all other keys go on. The join is asked about rows as they stand at the end of a step, `on` about each.
    """

    divisible = False
    """An event of one side changes rows of many keys of the other: no part of them can be left to another process."""

    def __init__(
        self,
        fold: JoinFold[Any],
        table: TableSpec,
        storage: Storage,
        registry: Registry,
        probe: Probe,
        elsewhere: Elsewhere | None,
    ) -> None:
        super().__init__(fold, table, JoinTables(elsewhere or storage, fold), registry, storage)
        self._storage, self._registry, self._probe, self._elsewhere = storage, registry, probe, elsewhere
        self._code = fingerprint(fold.code, registry.code_of(fold.events))
        self._joining = Joining(fold, self.views, elsewhere, lambda: self.table.generation)
        self._parked: set[str] = set()

    async def begin(self, checkpoint: Checkpoint) -> int:
        self._joining.forget()
        await ask_if_mended(self._storage, self.name, self._code)
        self._parked = await self._storage.parked_keys(self.name)
        self.changes.tell(self.table.name)  # whatever others did to it meanwhile
        elsewhere = self._elsewhere
        if elsewhere is None:
            return checkpoint.position
        sides = self._joining.tables()
        position = await elsewhere.resume(checkpoint, self.table, sides)
        await elsewhere.sweep(self.table, position << _ROOM)
        for table in sides:
            await elsewhere.sweep(table, position)
        return position

    # -- a page of events -----------------------------------------------------------------------------------------

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
        units = self._joining.units(stored.position, record.event, record) if isinstance(record, RecordedEvent) else ()
        keys = list(dict.fromkeys(unit.parked_as for unit in units))
        for under in (keys, [stored.stream]):
            parked_before = set(self._parked)
            letters = [self._letter_under(stored, key, error) for key in under]
            try:
                await self._write(Step(), advance, letters)
            except InvalidMessage:
                self._parked = parked_before
                if under is not keys:
                    raise
            else:
                break
        return advance.new

    def _letter_under(self, stored: StoredEvent, key: str, error: InvalidMessage) -> ParkedEvent:
        """Behind another one, it only waits."""
        if key in self._parked:
            return parked(stored, key, None)
        return self._blamed(parked(stored, key, error, code=self._code))

    async def _consume_together(self, page: Page, indexes: list[int], advance: Advance) -> int:
        """Raises InvalidMessage, and has written nothing, if the store cannot hold one of the rows."""
        letters: list[ParkedEvent] = []
        step = await self._taken(self._work(page, indexes, letters), letters)
        self._probe("projection.before")
        await self._write(step, advance, letters)
        self._probe("projection.after")
        return advance.new

    async def consume_narrow(self, events: Sequence[Narrow], token: int, position: int) -> bool:
        """The same for many events of which nothing but the content is needed: faster, and all or nothing.

        False, with nothing done, if anything about them is out of the ordinary; `consume` knows what to do then.
        """
        if self.fold.needs_record or self._parked:
            return False
        try:
            with uncollected():
                decoded = self._registry.decode_all(events)
                units = [
                    unit
                    for (place, *_), event in zip(events, decoded, strict=True)
                    for unit in self._joining.units(place, event, None)
                ]
            step = await self._joining.extended(Step(), units)
        except StoreError:
            raise
        except Exception:  # noqa: BLE001 - told by `consume`, event by event
            return False
        try:
            await self._write(step, Advance(processor=self.name, token=token, old=position, new=events[-1][0]), ())
        except InvalidMessage:
            return False
        return True

    def _work(self, page: Page, indexes: Iterable[int], letters: list[ParkedEvent]) -> list[list[Unit]]:
        """What each event is about; those that nobody can tell it of are parked."""
        work: list[list[Unit]] = []
        for index in indexes:
            stored, record = page.events[index], page.record(index)
            if stored.stream in self._parked:
                letters.append(parked(stored, stored.stream, None))
            elif isinstance(record, HistoryError):
                letters.append(self._blamed(parked(stored, stored.stream, record, code=self._code)))
            else:
                try:
                    work.append(self._joining.units(stored.position, record.event, record))
                except Exception as error:  # noqa: BLE001 - the user's code: parked and told
                    letters.append(self._blamed(parked(stored, stored.stream, error, code=self._code)))
        return work

    def _blamed(self, letter: ParkedEvent) -> ParkedEvent:
        self._parked.add(letter.key)
        _log.error("%s parked key %r at position %s: %s", self.name, letter.key, letter.position, letter.error)
        return letter

    async def _taken(self, work: Sequence[Sequence[Unit]], letters: list[ParkedEvent]) -> Step:
        """All events at once, if they go through; otherwise in smaller and smaller pieces, until it is clear which one
        does not."""
        step, at, size = Step(), 0, len(work)
        while at < len(work):
            piece = work[at : at + size]
            units = [unit for event in piece for unit in event]
            try:
                extended = await self._joining.extended(
                    step, [unit for unit in units if unit.parked_as not in self._parked]
                )
            except Refused:
                if len(piece) > 1:
                    size = len(piece) // 2
                    continue
                step = await self._one_by_one(step, units, letters)
            else:
                step = extended
                letters += [_letter(unit, None) for unit in units if unit.parked_as in self._parked]
            at, size = at + len(piece), 2 * size
        return step

    async def _one_by_one(self, step: Step, units: Iterable[Unit], letters: list[ParkedEvent]) -> Step:
        for unit in units:
            if unit.parked_as in self._parked:
                letters.append(_letter(unit, None))
                continue
            try:
                step = await self._joining.extended(step, [unit])
            except Refused as refused:
                letters.append(self._blamed(_letter(unit, refused.__cause__, self._code)))
        return step

    # -- writing --------------------------------------------------------------------------------------------------

    async def _write(
        self, step: Step, advance: Advance, letters: Sequence[ParkedEvent], retried: Sequence[int] = ()
    ) -> None:
        try:
            beside = self._joining.changes(step)
            if step.is_large:
                if self._elsewhere is not None:
                    await self._check(self._elsewhere, step, beside, advance)
                    for each in beside:
                        await self.views.commit(each)
                    beside = []
                await self._write_others(step, advance)
            last = await self._shown(step.results, advance, advance)
            await self.views.commit(msgspec.structs.replace(last, beside=beside, parked=letters, retried=retried))
        except InvalidMessage:
            self._joining.forget()
            if step.is_large:
                await self._put_back(step, advance)
            raise
        except BaseException:
            self._joining.forget()
            raise
        self._joining.remember(step)
        if step.is_large:
            self.changes.tell(self.table.name)
        elif step.results:
            self.changes.tell(self.table.name, step.results)

    async def _check(self, elsewhere: Elsewhere, step: Step, beside: Iterable[ViewChange], advance: Advance) -> None:
        """Before the sides are written, which cannot be taken back. Raises InvalidMessage."""
        for each in (*beside, await self._shown(step.results, advance, advance)):
            elsewhere.check(each)
        async for piece in self._joining.others(step, step.dirty):
            elsewhere.check(await self._shown(piece, advance, advance))

    async def _write_others(self, step: Step, advance: Advance) -> None:
        """Fenced by the place from which the checkpoint has not yet moved. What is written here and then interrupted
        is written again with the same events, whatever events come with them then."""
        stay = msgspec.structs.replace(advance, new=advance.old)
        async for piece in self._joining.others(step, step.dirty):
            await self.views.commit(await self._shown(piece, advance, stay))

    async def _put_back(self, step: Step, advance: Advance) -> None:
        """Rows as they were before the first pieces of a step whose last ones cannot be held."""
        if self._elsewhere is not None:
            return  # nothing was written: see `_check`
        stay = msgspec.structs.replace(advance, new=advance.old)
        async for piece in self._joining.as_they_are(step.dirty):
            await self.views.commit(await self._shown(piece, advance, stay))

    async def _shown(self, results: dict[str, Row | None], place: Advance, advance: Advance) -> ViewChange:
        return ViewChange(
            table=self.table,
            upserts={key: row for key, row in results.items() if row is not None},
            deletes=[key for key, row in results.items() if row is None],
            advance=advance,
            seen={} if self._elsewhere is None else await self._places(self._elsewhere, results, place),
        )

    async def _places(self, elsewhere: Elsewhere, keys: Iterable[str], move: Advance) -> dict[str, int]:
        """What rows of the view elsewhere are guarded by: the end of the step that made them, as all sides are up to it
        when they are written. A letter that goes through changes them at the same position once more, so there is
        room behind each position for a count."""
        start = move.new << _ROOM
        if move.new != move.old:
            return dict.fromkeys(keys, start)
        placed, places = await elsewhere.get_placed(self.table, list(keys)), dict[str, int]()
        for key in keys:
            there = max(start, placed[key].position) if key in placed else start
            places[key] = there + 1
            if places[key] >> _ROOM != there >> _ROOM:
                raise StoreFailed(
                    f"the row {key!r} of {self.table.name!r} was retried {(1 << _ROOM) - 1} times at one position",
                    why="a row elsewhere takes only what is newer than itself",
                    do="retry again when another event has been recorded, or rebuild the view",
                    key=key,
                )
        return places

    # -- dead letters ---------------------------------------------------------------------------------------------

    async def retry(self, token: int, position: int) -> None:
        """Runs the letters of each key in order on the rows as they are; stops a key at its first failure."""
        by_key: dict[str, list[DeadLetter]] = {}
        for letter in await self._storage.letters(self.name, states=("retry",)):
            by_key.setdefault(letter.key, []).append(letter)
        for letters in by_key.values():
            await self._retry_key(letters, Advance(processor=self.name, token=token, old=position, new=position))
        self._parked = await self._storage.parked_keys(self.name)

    async def _retry_key(self, letters: Sequence[DeadLetter], stay: Advance) -> None:
        step, done, failure = await self._refolded(letters)
        numbers = [letter.number for letter in letters]
        if done:
            try:
                await self._write(step, stay, (), numbers[:done])
            except InvalidMessage as unfit:  # a row that the store cannot hold: all of them stay
                done, failure = 0, unfit
        if failure is not None:
            told = storable(f"{type(failure).__name__}: {failure}")
            await self._storage.retried(self.name, numbers[done:], error=told, code=self._code)

    async def _refolded(self, letters: Sequence[DeadLetter]) -> tuple[Step, int, Exception | None]:
        """What the letters do to the rows as they are, how many of them go through, and what the next one raises."""
        self._joining.forget()
        step, done, size = Step(), 0, len(letters)
        while done < len(letters):
            some = letters[done : done + size]
            try:
                units = [unit for letter in some for unit in await self._again(letter)]
                step = await self._joining.extended(step, units)
            except (Refused, HistoryError) as error:
                size = len(some) // 2
                if not size:
                    return step, done, error.__cause__ if isinstance(error.__cause__, Exception) else error
            else:
                done += len(some)
        return step, done, None

    async def rehearse(self, letters: Sequence[DeadLetter]) -> tuple[int, Exception | None]:
        """How many letters a retry would take, and what the next one raises. Writes nothing. Raises StoreError."""
        _, done, failure = await self._refolded(letters)
        return done, failure

    def another(self, table: TableSpec) -> "JoinProjector":
        """For itself alone, on the same build or another."""
        return JoinProjector(self.fold, table, self._storage, self._registry, silent, self._elsewhere)

    async def _again(self, letter: DeadLetter) -> list[Unit]:
        """Raises Refused, HistoryError."""
        [stored] = await self._storage.read(Selection(event_id=letter.event_id), limit=1)
        record = recorded(stored, self._registry)
        try:
            units = self._joining.units(record.position, record.event, record)
        except Exception as error:
            raise Refused(f"{type(error).__name__}: {error}") from error
        return [unit for unit in units if letter.key in (unit.parked_as, record.stream)]


def _letter(unit: Unit, error: BaseException | None, code: str | None = None) -> ParkedEvent:
    assert unit.record is not None
    return parked(unit.record, unit.parked_as, error, code=code)
