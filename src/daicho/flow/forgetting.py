"""A person is forgotten: their key is destroyed, and what was made of their data is made anew without it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, Protocol
from uuid import uuid4

import msgspec

from daicho.core.errors import ConfigurationError, DaichoError, NotFound
from daicho.core.messages import Event, RecordedEvent
from daicho.core.model import Model
from daicho.core.personal import PersonalShape, person, personal_fields, personal_shapes, snapshot_of, subjects_in
from daicho.core.registry import Registry
from daicho.core.stored import StoredEvent, recorded
from daicho.core.times import text_of
from daicho.ports.clock import Clock
from daicho.ports.event_store import Selection
from daicho.ports.key_store import Certificate, Hold, Shredder, ViewTold
from daicho.ports.storage import Storage
from daicho.read.projections import Projections

__all__ = ["Forgetting", "PersonFound", "people_of", "refuse_without_keys"]

_PAGE = 1000
_LETTERS = 10_000


class PersonFound(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a subject, and what forgetting it would do."""

    subject: str
    state: str
    """`known` (there is a key), `forgotten`, `plain` (only what was recorded without encryption), or `unknown`."""
    events: int
    """Enciphered events that hold personal data of theirs."""
    plain: int
    """Events that hold it in plain text, recorded before encryption was configured. Forgetting does not reach them."""
    streams: tuple[str, ...]
    types: Mapping[str, int]
    views: tuple[str, ...]
    """Those that may hold rows made of it, and would be rebuilt."""
    letters: tuple[int, ...]
    """Parked events of theirs."""
    hold: Hold | None


class _Scan:
    """Where a subject was met."""

    def __init__(self) -> None:
        self.events, self.plain, self.up_to = 0, 0, 0
        self.streams: dict[str, None] = {}
        self.types: dict[str, int] = {}
        self.ids: list[str] = []

    def add(self, event: StoredEvent, is_sealed: bool) -> None:
        self.events += is_sealed
        self.plain += not is_sealed
        self.streams[event.stream] = None
        self.types[event.type] = self.types.get(event.type, 0) + 1
        self.ids.append(event.event_id)


class _Reading(Protocol):
    def __call__(self, selection: Selection, *, limit: int) -> Awaitable[Sequence[StoredEvent]]: ...


def people_of(model: Model) -> tuple[dict[str, PersonalShape], set[str]]:
    """The event classes with personal fields, by stored name, and the categories whose states may hold what is in
    them. Raises WiringError."""
    shapes = personal_shapes(cls for cls in model.events if personal_fields(cls))
    return shapes, {
        category
        for category, behaviour in model.categories.items()
        if any(cls.__message_name__ in shapes for cls in behaviour.events)
    }


def refuse_without_keys() -> ConfigurationError:
    return ConfigurationError(
        "nobody can be forgotten: personal data is not enciphered here",
        why="the App has no key store",
        do='give it one: App(..., personal="sqlite:///shop-keys.db")',
    )


class Forgetting:
    """`app.personal`: who is known, who was forgotten, and who must not be."""

    def __init__(
        self,
        model: Model,
        storage: Storage,
        beneath: _Reading,
        vault: Shredder,
        registry: Registry,
        projections: Projections,
        clock: Clock,
    ) -> None:
        """`beneath`: reads events as they are stored, with what is enciphered in them."""
        self._model, self._storage, self._beneath, self._vault = model, storage, beneath, vault
        self._registry, self._projections, self._clock = registry, projections, clock
        self._shapes, self._categories = people_of(model)
        self._classes = {cls for cls in model.events if cls.__message_name__ in self._shapes}

    # -- looking --------------------------------------------------------------------------------------------------

    async def find(self, subject: str) -> PersonFound:
        """What is known of the subject. Reads every event of a class with personal fields."""
        scan = await self._scan(subject)
        known = await self._vault.keys.find([person(subject)])
        state = "known" if scan.events else "plain" if scan.plain else "unknown"
        if person(subject) in known:
            state = "forgotten" if known[person(subject)] is None else "known"
        return PersonFound(
            subject=subject,
            state=state,
            events=scan.events,
            plain=scan.plain,
            streams=tuple(scan.streams),
            types=scan.types,
            views=tuple(self._views()),
            letters=await self._letters(scan.ids),
            hold=next((hold for hold in await self.holds() if hold.subject == subject), None),
        )

    async def whoami(self, subject: str) -> AsyncIterator[RecordedEvent[Event]]:
        """Every event that holds personal data of the subject, as it can be read now: the right of access (GDPR,
        article 15)."""
        async for stored, _ in self._of(subject, 0):
            for event in await self._storage.read(Selection(event_id=stored.event_id), limit=1):
                yield recorded(event, self._registry)

    async def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        """Newest first."""
        return await self._vault.keys.certificates(subject)

    # -- holds ----------------------------------------------------------------------------------------------------

    async def hold(self, subject: str, *, reason: str, by: str) -> Hold:
        """Nobody forgets the subject until it is released. Raises NotFound if they were forgotten."""
        if (await self._vault.keys.find([person(subject)])).get(person(subject), b"") is None:
            raise NotFound(f"{subject} was forgotten already", do=f"daicho personal certificates {subject}")
        hold = Hold(subject=subject, reason=reason, held_by=by, held_at=text_of(self._clock.now()))
        await self._vault.keys.hold(hold)
        return hold

    async def release(self, subject: str) -> None:
        """Raises NotFound if there is no hold."""
        if not await self._vault.keys.release(subject):
            raise NotFound(f"{subject} is not held", do="daicho personal holds")

    async def holds(self) -> Sequence[Hold]:
        return await self._vault.keys.holds()

    # -- forgetting -----------------------------------------------------------------------------------------------

    async def forget(
        self,
        subject: str,
        *,
        by: str,
        reason: str = "",
        rebuild: bool = True,
        progress: Callable[[str], None] = lambda _: None,
    ) -> Certificate:
        """Destroys the subject's key, so that nobody can read their personal data in any event any more, and makes
        anew what was made of it: states in memory are dropped, snapshots too, and each projection that reads such
        events is rebuilt from what is left (`rebuild=False` leaves that to you).

        Done again, it finishes what was interrupted, or returns the certificate there is. Raises NotFound for somebody
        of whom nothing is known, SubjectHeld, StoreError.
        """
        kept = next(iter(await self.certificates(subject)), None)
        progress("looking for events")
        scan = await self._scan(subject)
        known = await self._vault.keys.find([person(subject)])
        if kept is not None and kept.complete and known.get(person(subject), b"") is None:
            return kept
        if not (scan.ids or known):
            raise NotFound(
                f"nothing is known of {subject!r}",
                why="no event holds personal data of a subject of that id",
                do="check the id: it is what follows the first dash of the stream's name, or what the field says that "
                "Personal(subject=...) names",
            )
        certificate = kept or Certificate(
            certificate_id=str(uuid4()),
            subject=subject,
            forgotten_at=text_of(self._clock.now()),
            forgotten_by=by,
            reason=reason,
        )
        progress("destroying keys")
        keys = certificate.keys + await self._vault.destroy(self._names(subject, scan), certificate)
        seen = set(scan.streams)
        await self._scan(subject, scan)  # what was recorded meanwhile
        if set(scan.streams) - seen:
            keys += await self._vault.destroy(self._names(subject, scan), certificate)
        snapshots = sum([await self._storage.drop_snapshots(stream) for stream in scan.streams])
        views = [await self._made_anew(name, rebuild, progress) for name in self._views()]
        certificate = msgspec.structs.replace(
            certificate,
            keys=keys,
            events=scan.events,
            plain=scan.plain,
            streams=tuple(scan.streams),
            types=scan.types,
            snapshots=certificate.snapshots + snapshots,
            views=tuple(views),
            letters=await self._letters(scan.ids),
            notes=tuple(self._notes(scan)),
            complete=True,
        )
        await self._vault.keys.certify(certificate)
        return certificate

    @staticmethod
    def _names(subject: str, scan: _Scan) -> list[str]:
        return [person(subject), *map(snapshot_of, scan.streams)]

    async def _made_anew(self, name: str, rebuild: bool, progress: Callable[[str], None]) -> ViewTold:
        by_hand = f"`daicho projection rebuild {name}`, and its former rows have to go as well"
        if not rebuild:
            return ViewTold(name=name, state="left", why=f"as asked; {by_hand}")
        progress(f"rebuilding {name}")
        try:
            steps = self._projections.rebuild(name, afresh=True)  # what was begun before has seen it
            async with aclosing(steps):  # type: ignore[type-var]
                async for _ in steps:
                    pass
            await self._projections.forget_former(name, newer=True)
        except DaichoError as error:
            return ViewTold(name=name, state="left", why=f"{error.what}; {by_hand}")
        return ViewTold(name=name, state="rebuilt")

    def _notes(self, scan: _Scan) -> list[str]:
        notes: list[str] = []
        if scan.plain:
            notes.append(
                f"{scan.plain} events were recorded before personal data was enciphered and still show it; export and "
                "import into a new store enciphers them"
            )
        if cruds := [crud.name for crud in self._model.cruds if _has_personal(crud.row_type)]:
            notes.append(f"rows of {', '.join(cruds)} are not made of events: delete or change them")
        if processes := [p.name for p in self._model.processes if self._classes & set(p.events)]:
            notes.append(f"states of {', '.join(processes)} may repeat what they read, and are not enciphered")
        if self._storage.url.startswith("sqlite"):
            notes.append("rows of views that were dropped lie in free pages of the file until `VACUUM`")
        notes.append("files exported before, messages sent to a bus before, and backups of the keys are outside")
        return notes

    # -- how ------------------------------------------------------------------------------------------------------

    def _views(self) -> list[str]:
        return [fold.name for fold in self._model.folds if self._classes & set(fold.events)]

    async def _letters(self, ids: Sequence[str]) -> tuple[int, ...]:
        known = set(ids)
        letters = await self._storage.letters(limit=_LETTERS) if known else ()
        return tuple(letter.number for letter in letters if letter.event_id in known)

    async def _scan(self, subject: str, scan: _Scan | None = None) -> _Scan:
        """Goes on where `scan` ended."""
        scan = scan or _Scan()
        async for event, is_sealed in self._of(subject, scan.up_to):
            scan.add(event, is_sealed)
            scan.up_to = event.position
        return scan

    async def _of(self, subject: str, after: int) -> AsyncIterator[tuple[StoredEvent, bool]]:
        """Events with personal data of the subject, as they are stored, and whether it is enciphered."""
        types = self._registry.names_of(self._classes)
        while types:
            page = await self._beneath(Selection(types=types, after=after), limit=_PAGE)
            for event in page:
                subjects, is_sealed = _subjects(event, self._shapes.get(event.type))
                if subject in subjects:
                    yield event, is_sealed
            if len(page) < _PAGE:
                return
            after = page[-1].position


def _has_personal(record: Any) -> bool:
    return bool(personal_fields(record))


def _subjects(event: StoredEvent, shape: PersonalShape | None) -> tuple[Any, bool]:
    try:
        return subjects_in(event.data, event.stream, shape)
    except msgspec.MsgspecError:
        return (), False  # it is damaged: there is nothing to be read in it
