"""Runs a projection that is SQL: a page of events is one transaction in the database, and never comes here."""

import logging
from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.core.errors import ConfigurationError
from daicho.core.registry import Registry
from daicho.core.sql_projection import SqlFold
from daicho.core.stored import StoredEvent
from daicho.ports.checkpoint_store import Advance, Checkpoint
from daicho.ports.dead_letter_store import DeadLetter, ParkedEvent
from daicho.ports.event_store import Selection
from daicho.ports.probe import Probe
from daicho.ports.sql_views import SetStep, SqlViews, StepRefused, Stretch
from daicho.ports.storage import Storage
from daicho.ports.view_store import TableSpec
from daicho.read.build import Build
from daicho.read.mended import ask_if_mended
from daicho.read.processor import Processor, parked

__all__ = ["Place", "SetProcessor", "SetProjector"]

_log = logging.getLogger("daicho")
_PAGE = 10_000


class Place(msgspec.Struct, frozen=True):
    """How far it has come."""

    stored: int
    """The checkpoint."""
    position: int
    """Where it stands; what lies between the two is not for it."""
    events: int = 0
    """Dealt with in the step that led here."""
    more: bool = True
    """Whether there may be more behind it."""


class SetProjector(Build[SqlFold[Any]]):
    """One build of one projection that is SQL.

    A page that the database refuses is given to it in smaller and smaller pieces, until it is clear which event is the
    reason: that one is parked with everything after it of the same stream; all other streams go on.
    """

    def __init__(
        self, fold: SqlFold[Any], table: TableSpec, storage: Storage, registry: Registry, probe: Probe
    ) -> None:
        """Raises ConfigurationError if the store cannot run it."""
        super().__init__(fold, table, storage, registry, storage)
        self._sets = _able(storage, fold.name)
        self._statements = fold.statements(self._sets.dialect)
        if registry.codec != "json":
            raise ConfigurationError(
                f"the projection {fold.name!r} is SQL, and this App stores events as {registry.codec}",
                why="SQL can only read JSON",
                do="leave out `codec=`, or make the projection a function with `@projection`",
                projection=fold.name,
            )
        self._storage, self._probe = storage, probe
        self._types = tuple(sorted(self.types))
        self._parked: set[str] = set()

    async def check(self) -> None:
        await self._sets.rehearse(self.table, self._statements)

    async def begin(self, checkpoint: Checkpoint) -> int:
        await ask_if_mended(self._storage, self.name, self.fold.code)
        self._parked = await self._storage.parked_keys(self.name)
        self.changes.tell(self.table.name)  # whatever others did to it meanwhile
        return checkpoint.position

    async def step(self, token: int, at: Place, head: int) -> Place:
        """Deals with what lies behind `at` and not beyond `head`, as far as one page goes, durably."""
        stretch = await self._stretch(at.position, head)
        if stretch.followers:  # unless somebody has given up what they follow
            self._parked = await self._storage.parked_keys(self.name)
            stretch = await self._stretch(at.position, head)
        last, events = stretch.last, stretch.events + stretch.followers
        if not events:
            return Place(at.stored, last, 0, stretch.full)
        self._probe("projection.before")
        whole = self._step(token, at, last, weight=events)
        if stretch.followers or stretch.hidden or await self._refusal(whole) is not None:
            await self._piecewise(token, at, last)
        self._probe("projection.after")
        return Place(last, last, events, stretch.full)

    async def _stretch(self, position: int, head: int) -> Stretch:
        return await self._sets.stretch(self._types, tuple(self._parked), after=position, up_to=head, limit=_PAGE)

    def _step(self, token: int, at: Place, last: int, **more: Any) -> SetStep:
        given: dict[str, Any] = {"statements": self._statements, "types": self._types, **more}
        advance = Advance(processor=self.name, token=token, old=at.stored, new=last)
        return SetStep(table=self.table, after=at.position, up_to=last, advance=advance, **given)

    async def _refusal(self, step: SetStep) -> StepRefused | None:
        try:
            await self._sets.apply_set(step)
        except StepRefused as error:
            return error
        if step.statements:
            self.changes.tell(self.table.name)
        return None

    async def _piecewise(self, token: int, at: Place, last: int) -> None:
        """Halves what is refused, in order, down to the single event."""
        wanted = Selection(after=at.position, up_to=last, types=self._types)
        pieces = [await self._storage.read(wanted, limit=_PAGE)]
        refusal: StepRefused | None = None
        blamed = False
        while pieces:
            piece = pieces.pop()
            end = piece[-1].position if pieces else last
            error = await self._piece(token, at, end, piece)
            if error is not None and len(piece) > 1:
                refusal, half = error, len(piece) // 2
                pieces += [piece[half:], piece[:half]]
                continue
            if error is not None:
                await self.check()  # raises if nothing at all would go through: then no event is to blame
                await self._park(token, at, end, piece[0], error)
                blamed = True
            at = Place(end, end)
        if refusal is not None and not blamed:
            _log.warning("%s: refused together, what went through in pieces: %s", self.name, refusal)

    async def _piece(self, token: int, at: Place, end: int, piece: Sequence[StoredEvent]) -> StepRefused | None:
        followers = [parked(event, event.stream, None) for event in piece if event.stream in self._parked]
        step = self._step(
            token,
            at,
            end,
            statements=self._statements if len(followers) < len(piece) else (),
            without=tuple({letter.stream for letter in followers}),
            careful=True,
            weight=len(piece),
            parked=followers,
        )
        return await self._refusal(step)

    async def _park(self, token: int, at: Place, end: int, event: StoredEvent, error: StepRefused) -> None:
        letters: list[ParkedEvent] = [parked(event, event.stream, error, code=self.fold.code)]
        await self._sets.apply_set(self._step(token, at, end, statements=(), parked=letters))
        self._parked.add(event.stream)
        _log.error("%s parked %s at position %s: %s", self.name, event.stream, event.position, error)

    async def retry(self, token: int, position: int) -> None:
        """Runs the statements for each letter by itself, in order; stops a stream at its first failure."""
        letters = await self._storage.letters(self.name, states=("retry",))
        failed: dict[str, StepRefused] = {}
        done: set[int] = set()
        for letter in letters:
            if letter.key in failed:
                continue
            fence = Advance(processor=self.name, token=token, old=position, new=position)
            error = await self._refusal(self._step_for(letter, fence))
            if error is None:
                done.add(letter.number)
            else:
                failed[letter.key] = error
        for key, error in failed.items():
            numbers = [letter.number for letter in letters if letter.key == key and letter.number not in done]
            await self._storage.retried(
                self.name, numbers, error=f"{type(error).__name__}: {error}", code=self.fold.code
            )
        self._parked = await self._storage.parked_keys(self.name)

    async def rehearse(self, letters: Sequence[DeadLetter]) -> tuple[int, StepRefused | None]:
        """Runs the statements for the letters, one after another, and takes everything back. How many went through,
        and why the next did not."""
        nowhere = Advance(processor=self.name, token=0, old=0, new=0)
        return await self._sets.try_set([self._step_for(letter, nowhere) for letter in letters])

    def _step_for(self, letter: DeadLetter, fence: Advance) -> SetStep:
        """One letter by itself."""
        return SetStep(
            table=self.table,
            statements=self._statements if letter.type in self.types else (),
            types=(letter.type,),
            after=letter.position - 1,
            up_to=letter.position,
            careful=True,
            advance=fence,
            retried=(letter.number,),
        )


class SetProcessor(Processor[SetProjector]):
    """Lets it go from place to place by itself."""

    async def _step(self, position: int) -> int:
        place = await self.consumer.step(self._token, Place(self._stored, position), self._feed.head)
        self._stored = place.stored
        return place.position


def _able(storage: Storage, name: str) -> SqlViews:
    if not isinstance(storage, SqlViews):
        raise ConfigurationError(
            f"the projection {name!r} is SQL, which {storage.url} does not run",
            why="it has no database in it",
            do="give App a postgresql:// or sqlite:/// store, or make the projection a function with `@projection`",
            projection=name,
        )
    return storage
