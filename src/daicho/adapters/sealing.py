"""A curtain before a store: personal data is enciphered on its way in and deciphered on its way out.

Everything that reads or writes events goes through a few doors of the store. They are hung with the curtain on the
store itself, and not on something around it: whatever else the store can do (transactions of its callers, SQL views,
appends that begin at once) it goes on doing. Events without personal fields pass with one look.
"""

import binascii
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, cast

import msgspec

from daicho.adapters.vault import Vault
from daicho.core.errors import SubjectForgotten
from daicho.core.personal import PersonalShape, is_sealed, person, seals_of, snapshot_of, subjects_in
from daicho.core.streams import category_of
from daicho.ports.event_store import (
    Appended,
    AppendRequest,
    Beginning,
    EventStore,
    InlineTransaction,
    Narrow,
    Selection,
    StoredEvent,
    StreamWrite,
)
from daicho.ports.snapshot_store import Snapshot
from daicho.ports.storage import Joinable, Joined, Storage

__all__ = ["Curtain"]

_SEALED_STATE = b"\0personal\0"
_TOLD = Callable[[Appended | Exception], None]


def _bound(type_: str, version: int) -> bytes:
    """What a sealed text is bound to: moved into an event of another type, it does not open."""
    return f"{type_}\0{version}".encode()


class Curtain:
    def __init__(
        self, storage: Storage, vault: Vault, shapes: Mapping[str, PersonalShape], categories: Collection[str]
    ) -> None:
        """Hangs before `storage`, opened or not. `shapes` by stored name; `categories` whose states may hold personal
        data."""
        self.vault = self._vault = vault
        self._shapes, self._categories = shapes, frozenset(categories)
        self.beneath = storage.read
        """`read` of the store as it was without the curtain."""
        self.hang(storage)

    def hang(self, storage: Storage) -> None:
        """Also before another store, a replica of it."""
        self._hang_events(storage)
        load, save = storage.load_snapshot, storage.save_snapshot

        async def load_snapshot(stream: str) -> Snapshot | None:
            snapshot = await load(stream)
            return snapshot and await self._opened_state(snapshot)

        async def save_snapshot(snapshot: Snapshot) -> None:
            sealed = await self._sealed_state(snapshot)
            if sealed is not None:
                await save(sealed)

        _put(storage, load_snapshot, save_snapshot)
        if isinstance(storage, Beginning):
            self._hang_begin(storage)
        if isinstance(storage, Joinable):
            join_ = storage.join

            async def join(connection: object) -> Joined:
                return cast("Joined", self._hang_events(await join_(connection)))

            _put(storage, join)

    def _hang_events(self, store: EventStore) -> EventStore:
        append_, read_, narrow_, load_ = store.append, store.read, store.read_narrow, store.load

        async def append(requests: Sequence[AppendRequest]) -> list[Appended | Exception]:
            subjects = {subject for request in requests for subject in self._subjects(request)}
            if not subjects:
                return await append_(requests)
            await self._vault.fetch(map(person, subjects), make=True)
            sealed = [self._sealed(request) for request in requests]
            answers = iter(await append_([each for each in sealed if isinstance(each, AppendRequest)]))
            return [each if isinstance(each, SubjectForgotten) else next(answers) for each in sealed]

        async def read(selection: Selection, *, limit: int) -> list[StoredEvent]:
            page = await read_(selection, limit=limit)
            if not any(is_sealed(event.data) for event in page):
                return page
            await self._fetch_for(event.data for event in page)
            return [self._opened(event) for event in page]

        async def read_narrow(selection: Selection, *, limit: int) -> list[Narrow]:
            return await self._opened_page(await narrow_(selection, limit=limit))

        async def load(stream: str, fold: str, *, limit: int) -> tuple[Snapshot | None, list[Narrow]]:
            snapshot, page = await load_(stream, fold, limit=limit)
            return snapshot and await self._opened_state(snapshot), await self._opened_page(page)

        _put(store, append, read, read_narrow, load)
        return store

    def _hang_begin(self, storage: Beginning) -> None:
        begin_ = storage.begin

        def begin(request: AppendRequest, told: _TOLD, /) -> bool:
            subjects = self._subjects(request)
            if not subjects:
                return begin_(request, told)
            if not self._vault.at_hand(map(person, subjects)):
                return False
            sealed = self._sealed(request)
            return isinstance(sealed, AppendRequest) and begin_(sealed, told)

        _put(storage, begin)

    # -- on the way in --------------------------------------------------------------------------------------------

    def _subjects(self, request: AppendRequest) -> set[str]:
        shapes, found = self._shapes, set[str]()
        for write in request.writes:
            for event in write.events:
                if event.type in shapes and not is_sealed(event.data):
                    found |= subjects_in(event.data, write.stream, shapes[event.type])[0]
        return found

    def _sealed(self, request: AppendRequest) -> AppendRequest | SubjectForgotten:
        for subject in self._subjects(request):
            if self._vault.is_destroyed(person(subject)):
                return SubjectForgotten(
                    f"{subject} was forgotten, and nothing personal is recorded about them any more",
                    why="a new key would begin a new record of somebody who asked to be forgotten",
                    do="if they are back, give them a new id",
                    subject=subject,
                )
        plain = dict[str, bytes]()
        writes = [self._sealed_write(write, plain) for write in request.writes]
        if not plain:
            return request
        inline = request.inline
        if inline is not None:
            inline = _with_plain(inline, plain)
        return msgspec.structs.replace(request, writes=tuple(writes), inline=inline)

    def _sealed_write(self, write: StreamWrite, plain: dict[str, bytes]) -> StreamWrite:
        if not any(event.type in self._shapes for event in write.events):
            return write
        events = list(write.events)
        for n, event in enumerate(events):
            shape = self._shapes.get(event.type)
            if shape is None:
                continue
            data = shape.seal(event.data, write.stream, _bound(event.type, event.schema_version), self._vault.seal)
            if data is not event.data:
                plain[event.event_id] = event.data
                events[n] = msgspec.structs.replace(event, data=data)
        return msgspec.structs.replace(write, events=tuple(events))

    async def _sealed_state(self, snapshot: Snapshot) -> Snapshot | None:
        """None: the stream is about somebody who was forgotten, so no more snapshots of it are kept."""
        if category_of(snapshot.stream) not in self._categories:
            return snapshot
        await self._vault.fetch([snapshot_of(snapshot.stream)], make=True)
        sealed = self._vault.seal_state(snapshot.stream, snapshot.state)
        return None if sealed is None else msgspec.structs.replace(snapshot, state=_SEALED_STATE + sealed)

    # -- on the way out -------------------------------------------------------------------------------------------

    async def _fetch_for(self, data: Iterable[bytes]) -> None:
        names: set[str] = set()
        for each in data:
            if is_sealed(each):
                try:
                    names.update(person(subject) for subject, _ in seals_of(each))
                except (msgspec.MsgspecError, binascii.Error):
                    continue  # it was changed, and comes out as unreadable
        await self._vault.fetch(names)

    def _opened(self, event: StoredEvent) -> StoredEvent:
        if not is_sealed(event.data):
            return event
        data = self._vault.open_event(event.data, _bound(event.type, event.schema_version))
        return msgspec.structs.replace(event, data=data)

    async def _opened_page(self, page: list[Narrow]) -> list[Narrow]:
        if not any(is_sealed(each[4]) for each in page):
            return page
        await self._fetch_for(each[4] for each in page)
        open_event = self._vault.open_event
        return [
            (at, version, type_, schema, open_event(data, _bound(type_, schema)) if is_sealed(data) else data)
            for at, version, type_, schema, data in page
        ]

    async def _opened_state(self, snapshot: Snapshot) -> Snapshot:
        """One that cannot be opened is left as it is, which no state can be read from."""
        if not snapshot.state.startswith(_SEALED_STATE):
            return snapshot
        await self._vault.fetch([snapshot_of(snapshot.stream)])
        state = self._vault.open_state(snapshot.stream, snapshot.state[len(_SEALED_STATE) :])
        return snapshot if state is None else msgspec.structs.replace(snapshot, state=state)


def _put(store: object, *doors: Callable[..., Any]) -> None:
    for door in doors:
        setattr(store, door.__name__, door)


def _with_plain(
    inline: Callable[[InlineTransaction, Sequence[StoredEvent]], None], plain: Mapping[str, bytes]
) -> Callable[[InlineTransaction, Sequence[StoredEvent]], None]:
    """Inline projections see events as they were recorded."""

    def run(transaction: InlineTransaction, events: Sequence[StoredEvent]) -> None:
        replace = msgspec.structs.replace
        inline(transaction, [replace(e, data=plain[e.event_id]) if e.event_id in plain else e for e in events])

    return run
