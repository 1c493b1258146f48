"""What messages, fields and rows say about who may see them, and tenants that know nothing of each other."""

import asyncio
from typing import Annotated

import pytest

from daicho import (
    App,
    Command,
    ConcurrencyError,
    Event,
    NotFound,
    Personal,
    Rejected,
    Row,
    Tenancy,
    WiringError,
    projection,
    requires,
)
from daicho.core.access import scopes_of
from daicho.core.personal import personal_fields
from tests.letters_app import (
    PARTS,
    AllLetters,
    LetterOf,
    LettersIn,
    LetterWritten,
    MoveLetter,
    WriteLetter,
    letters,
    office,
)


def test_a_message_requires_what_it_says_and_what_its_base_says() -> None:
    @requires("a:b")
    class One(Command):
        pass

    @requires("c:d", "e:f")
    class Two(One):
        pass

    assert scopes_of(One) == {"a:b"}
    assert scopes_of(Two) == {"a:b", "c:d", "e:f"}
    assert scopes_of(Command) == frozenset()


@pytest.mark.parametrize("scopes", [(), ("",), ("two words",)])
def test_a_scope_is_a_word(scopes: tuple[str, ...]) -> None:
    with pytest.raises(WiringError, match="names no scope"):
        requires(*scopes)(type("Thing", (Command,), {}))


def test_an_event_can_require_nothing() -> None:
    with pytest.raises(WiringError, match="cannot require scopes"):
        requires("a:b")(LetterWritten)


def test_personal_fields_are_found_however_they_are_written() -> None:
    class Registered(Event):
        name: Annotated[str, Personal]
        email: Annotated[str | None, Personal()] = None
        phones: list[Annotated[str, Personal]] = []
        country: str = ""

    assert personal_fields(Registered) == {"name", "email", "phones"}
    assert personal_fields(LetterWritten) == {"sender"}


async def test_a_tenant_sees_its_own_rows_alone_and_your_own_code_sees_all() -> None:
    async with office() as app:
        for number, tenant in enumerate(["red", "red", "blue", None]):
            await app.send(WriteLetter(letter_id=f"l{number}", box="in"), tenant=tenant)
        await app.settle()

        async def seen(tenant: str | None) -> list[str]:
            return [row.letter_id for row in await app.ask(AllLetters(), tenant=tenant)]

        assert await seen("red") == ["l0", "l1"]
        assert await seen("blue") == ["l2"]
        assert await seen("green") == []
        assert await seen(None) == ["l0", "l1", "l2", "l3"]
        assert await app.ask(LetterOf(letter_id="l2"), tenant="red") is None
        assert await app.ask(LetterOf(letter_id="l2"), tenant="blue") is not None
        changes = app.watch(LettersIn(box="in"), tenant="blue")
        assert [row.letter_id for row in (await anext(changes)).answer] == ["l2"]


def test_synchronous_code_asks_as_a_tenant_too() -> None:
    with office().sync() as app:
        for number, tenant in enumerate(["red", "blue"]):
            app.settled(app.send(WriteLetter(letter_id=f"l{number}", box="in"), tenant=tenant))
        assert [row.letter_id for row in app.ask(AllLetters(), tenant="red")] == ["l0"]
        assert [row.letter_id for row in next(app.watch(LettersIn(box="in"), tenant="blue")).answer] == ["l1"]


async def test_a_filter_for_another_tenant_finds_nobody() -> None:
    async with office() as app:
        reading = app._now.read.queries._views.reading(_reading("red"))
        with pytest.raises(NotFound):
            await reading[letters].find(tenant="blue")
        assert await reading[letters].count(tenant="red") == 0


def _reading(tenant: str) -> object:
    from daicho.read.queries import Reading

    return Reading(tenant=tenant)


async def test_the_past_is_no_way_round() -> None:
    async with office() as app:
        first = await app.send(WriteLetter(letter_id="l1", box="in"), tenant="red")
        await app.settle()
        assert await app.ask(LetterOf(letter_id="l1"), tenant="blue", as_of=first) is None
        assert await app.ask(AllLetters(), tenant="blue", as_of=first) == []
        assert len(await app.ask(AllLetters(), tenant="red", as_of=first)) == 1


async def test_a_stream_of_another_tenant_does_not_exist(url: str) -> None:
    async with office(url) as app:
        await app.send(WriteLetter(letter_id="l1", box="in"), tenant="red")
        for command in (MoveLetter(letter_id="l1", box="out"), WriteLetter(letter_id="l1", box="in")):
            with pytest.raises(NotFound):
                await app.send(command, tenant="blue")
        with pytest.raises(NotFound):
            await app.post(MoveLetter(letter_id="l1", box="out"), tenant="blue")
        await app.send(MoveLetter(letter_id="l1", box="out"), tenant="red")
        assert [event.version async for event in app.events(stream="letter-l1")] == [1, 2]


async def test_of_two_tenants_that_begin_a_stream_at_once_one_has_it() -> None:
    async with office() as app:
        for number in range(50):
            command = WriteLetter(letter_id=f"l{number}", box="in")
            outcomes = await asyncio.gather(
                *(app.send(command, tenant=tenant) for tenant in ("red", "blue")), return_exceptions=True
            )
            assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1
            tenants = {event.tenant async for event in app.events(stream=f"letter-l{number}")}
            assert len(tenants) == 1


async def test_of_two_callers_of_one_tenant_the_second_hears_what_the_business_says() -> None:
    async with office() as app:
        command = WriteLetter(letter_id="l1", box="in")
        outcomes = await asyncio.gather(*(app.send(command, tenant="red") for _ in range(2)), return_exceptions=True)
        assert [type(outcome) for outcome in outcomes if isinstance(outcome, Exception)] == [Rejected]


async def test_expecting_a_version_of_what_is_not_there_is_a_conflict() -> None:
    async with office() as app:
        with pytest.raises(ConcurrencyError):
            await app.send(WriteLetter(letter_id="l1", box="in"), tenant="red", expected=3)
        await app.send(WriteLetter(letter_id="l1", box="in"), tenant="red", expected=0)


def test_a_view_must_say_whose_its_rows_are_or_that_they_are_everybodys() -> None:
    class Total(Row):
        count: int

    @projection("totals", key=lambda _: "all")
    def totals(row: Total | None, event: LetterWritten) -> Total | None:
        return Total(count=(row.count if row else 0) + 1)

    with pytest.raises(WiringError, match="do not say whose they are"):
        App(*PARTS, totals, tenancy=Tenancy())
    App(*PARTS, totals, tenancy=Tenancy(shared=[totals]))
