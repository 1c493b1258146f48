"""A small post office, for tests of the door: letters of several tenants, scopes, personal fields, cached answers."""

from collections.abc import Iterator
from typing import Annotated

from daicho import (
    Aggregate,
    App,
    Cache,
    Command,
    Event,
    Personal,
    Query,
    RecordedEvent,
    Rejected,
    Route,
    Row,
    Tenancy,
    Views,
    apply,
    handle,
    projection,
    query_handler,
    requires,
)


@requires("letters:write")
class WriteLetter(Command):
    letter_id: str
    box: str
    sender: str = ""


@requires("letters:write")
class MoveLetter(Command):
    letter_id: str
    box: str


class LetterWritten(Event, name="letter.written"):
    letter_id: str
    box: str
    sender: Annotated[str, Personal] = ""


class LetterMoved(Event, name="letter.moved"):
    letter_id: str
    box: str


class Letter(Aggregate, category="letter", key="letter_id"):
    box: str = ""

    @handle
    def write(self, command: WriteLetter) -> Iterator[LetterWritten]:
        if self.box:
            raise Rejected("written already")
        yield LetterWritten(letter_id=command.letter_id, box=command.box, sender=command.sender)

    @handle
    def move(self, command: MoveLetter) -> Iterator[LetterMoved]:
        if not self.box:
            raise Rejected("not written yet")
        yield LetterMoved(letter_id=command.letter_id, box=command.box)

    @apply
    def written(self, event: LetterWritten) -> None:
        self.box = event.box

    @apply
    def moved(self, event: LetterMoved) -> None:
        self.box = event.box


class LetterRow(Row, index=("box",)):
    letter_id: str
    box: str
    tenant: str | None = None


@projection("letters", key=lambda event: event.letter_id)
def letters(row: LetterRow | None, event: LetterWritten | LetterMoved, record: RecordedEvent) -> LetterRow | None:  # type: ignore[type-arg]
    return LetterRow(letter_id=event.letter_id, box=event.box, tenant=record.tenant)


class LettersIn(Query[list[LetterRow]]):
    box: str


class LetterOf(Query[LetterRow | None]):
    letter_id: str


@requires("letters:read")
class AllLetters(Query[list[LetterRow]]):
    pass


@query_handler(cache=Cache(seconds=60, stale=30))
async def letters_in(query: LettersIn, views: Views) -> list[LetterRow]:
    return await views[letters].find(box=query.box)


@query_handler(cache=Cache(seconds=60, edge=3600))
async def letter_of(query: LetterOf, views: Views) -> LetterRow | None:
    return await views[letters].get(query.letter_id)


@query_handler
async def all_letters(query: AllLetters, views: Views) -> list[LetterRow]:
    return await views[letters].find()


PARTS = (
    *(Letter, letters, letters_in, letter_of, all_letters),
    *(Route("POST", "/letters", WriteLetter), Route("GET", "/letters/{letter_id}", LetterOf)),
)


def office(store: str = "memory:", *, tenancy: bool = True, edge: object = None) -> App:
    return App(*PARTS, store=store, tenancy=Tenancy() if tenancy else None, edge=edge, name="office")  # type: ignore[arg-type]
