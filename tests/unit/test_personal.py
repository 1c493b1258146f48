"""Personal data is stored enciphered, and a person who is forgotten is gone from all of history."""

import base64
from collections.abc import Iterator
from contextlib import aclosing
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest

from daicho import (
    FORGOTTEN,
    Aggregate,
    App,
    Command,
    ConfigurationError,
    Event,
    KeyLost,
    NotFound,
    Personal,
    Rejected,
    SubjectForgotten,
    SubjectHeld,
    UnreadableEvent,
    WiringError,
    apply,
    handle,
)
from daicho.adapters.cipher import Master
from daicho.adapters.keys.memory import MemoryKeys
from daicho.adapters.keys.sqlite import SqliteKeys
from daicho.adapters.vault import BOUND, Vault
from daicho.core.errors import StoreUnavailable
from daicho.core.personal import is_sealed, person, personal_shapes, seals_of
from daicho.core.stored import NewEvent
from daicho.ports.event_store import AppendRequest, Selection, StreamWrite
from daicho.wiring.urls import open_storage
from tests.people_app import (
    PARTS,
    Address,
    Bought,
    Buy,
    Contact,
    Customer,
    CustomerRegistered,
    Order,
    Purchase,
    Register,
    contacts,
    notes,
    people,
    purchases,
)

ANN = Register(
    customer_id="c-1", name="Ann Archer", email="ann@archer.example", address=Address(street="Elm 1", floor=2)
)
BOB = Register(customer_id="c-2", name="Bob Baker", email="bob@baker.example")


def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where events are, and where keys are."""
    if request.param == "memory":
        return "memory:", "memory:"
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/app.db?durability=relaxed", f"sqlite:///{tmp_path}/keys.db"
    url = request.getfixturevalue("postgres_url")
    return url, url


@pytest.fixture(params=["sqlite", "postgres"])
def lasting(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    return places(request, tmp_path)


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    return places(request, tmp_path)


async def events(app: App, **which: Any) -> list[Any]:
    return [record.event async for record in app.events(**which)]


async def stored(app: App) -> list[bytes]:
    return [event.data for event in await app.personal._beneath(Selection(), limit=100)]


# -- as long as nobody is forgotten -----------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_what_is_read_is_what_was_recorded_and_what_is_stored_hides_it(codec: Any) -> None:
    async with people(codec=codec) as app:
        await app.send(ANN)
        await app.send(Buy(order_id="o-1", customer_id="c-1", gift_for="c-2", note="ring twice"))
        read = await events(app)
        (registered, bought) = await stored(app)
    assert read == [
        CustomerRegistered(
            customer_id="c-1", name="Ann Archer", email="ann@archer.example", address=Address(street="Elm 1", floor=2)
        ),
        Bought(order_id="o-1", customer_id="c-1", note="ring twice", gift_for="c-2", greeting="From c-1"),
    ]
    assert not any(text in registered for text in (b"Archer", b"archer", b"Elm"))
    assert not any(text in bought for text in (b"ring twice", b"From c-1"))
    assert {subject for subject, _ in seals_of(registered)} == {"c-1"}
    assert {subject for subject, _ in seals_of(bought)} == {"c-1", "c-2"}


async def test_stored_events_are_whole_without_a_key() -> None:
    async with people() as app:
        await app.send(ANN)
        (data,) = await stored(app)
    assert msgspec.json.decode(data, type=CustomerRegistered) == CustomerRegistered(
        customer_id="c-1",
        name=FORGOTTEN,
        email="forgotten@forgotten.invalid",
        address=Address(street=FORGOTTEN, floor=0),
    )


async def test_an_app_without_keys_reads_the_same_store_and_shows_placeholders(lasting: tuple[str, str]) -> None:
    async with people(*lasting) as app:
        await app.send(ANN)
    async with App(*PARTS, store=lasting[0]) as bare:
        assert (await bare.load(Customer, "c-1")).name == FORGOTTEN
        await bare.send(BOB)
    async with people(*lasting) as app:
        assert [each.name for each in await events(app)] == ["Ann Archer", "Bob Baker"]


async def test_events_that_were_recorded_before_there_were_keys_stay_readable_and_are_counted(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/app.db?durability=relaxed"
    async with App(*PARTS, store=store) as bare:
        await bare.send(ANN)
    async with people(store, f"sqlite:///{tmp_path}/keys.db") as app:
        await app.send(msgspec.structs.replace(ANN, name="Ann Abbot"))
        assert [each.name for each in await events(app)] == ["Ann Archer", "Ann Abbot"]
        certificate = await app.forget("c-1", by="me")
        assert [each.name for each in await events(app)] == ["Ann Archer", FORGOTTEN]
    assert (certificate.events, certificate.plain) == (1, 1)
    assert "before personal data was enciphered" in certificate.notes[0]


async def test_events_that_say_nothing_personal_are_stored_as_they_are() -> None:
    async with people() as app:
        await app.send(Buy(order_id="o-1", customer_id="c-1", note="x"))
        (data,) = await stored(app)
        plain = NewEvent(
            event_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11",
            type="weather.changed",
            schema_version=1,
            data=b'{"degrees":21}',
            occurred_at="2026-01-01T00:00:00.000000+00:00",
            correlation_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e12",
            causation_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e12",
        )
        await app.storage.append([AppendRequest(writes=(StreamWrite(stream="weather-1", events=(plain,)),))])
        assert is_sealed(data)
        assert (await stored(app))[-1] == b'{"degrees":21}'


async def test_inline_projections_and_time_travel_see_what_was_recorded(place: tuple[str, str]) -> None:
    async with people(*place) as app:
        receipt = await app.send(Buy(order_id="o-1", customer_id="c-1", note="ring twice"))
        await app.send(Buy(order_id="o-1", customer_id="c-1", note="ring once"))
        assert await app.views[purchases].get("o-1") == Purchase(order_id="o-1", note="ring once")
        assert (await app.load(Order, "o-1", at=receipt.version)).note == "ring twice"
        await app.settle()
        assert await app.views[notes].get("o-1") == Purchase(order_id="o-1", note="ring once")


async def test_a_command_sent_again_is_answered_with_what_it_recorded(place: tuple[str, str]) -> None:
    async with people(*place) as app:
        first = await app.send(ANN, key="k")
        again = await app.send(ANN, key="k")
    assert again.duplicate
    assert again.events == first.events
    assert first.events[0].name == "Ann Archer"  # type: ignore[attr-defined]


async def test_old_versions_are_read_through_their_upcasters() -> None:
    async with people() as app:
        old = NewEvent(
            event_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11",
            type="customer.registered",
            schema_version=1,
            data=b'{"customer_id":"c-1","name":"Ann Archer"}',
            occurred_at="2026-01-01T00:00:00.000000+00:00",
            correlation_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e12",
            causation_id="018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e12",
        )
        await app.storage.append([AppendRequest(writes=(StreamWrite(stream="customer-c-1", events=(old,)),))])
        assert [(e.name, e.email) for e in await events(app)] == [("Ann Archer", "unknown@example.org")]
        assert b"Archer" not in (await stored(app))[0]
        await app.forget("c-1", by="me")
        assert [(e.name, e.email) for e in await events(app)] == [(FORGOTTEN, "unknown@example.org")]


# -- forgetting -------------------------------------------------------------------------------------------------------


async def test_a_forgotten_person_is_gone_from_everything_and_nobody_else(place: tuple[str, str]) -> None:
    async with people(*place, snapshot_after=1) as app:
        for command in (ANN, ANN, ANN, BOB):
            await app.send(command)
        await app.send(Buy(order_id="o-1", customer_id="c-1", gift_for="c-2", note="ring twice"))
        await app.settle()
        found = await app.personal.find("c-1")
        certificate = await app.forget("c-1", by="eve", reason="she asked")
        assert {e.name for e in await events(app, stream="customer-c-1")} == {FORGOTTEN}
        assert [e.name for e in await events(app, stream="customer-c-2")] == ["Bob Baker"]
        (bought,) = await events(app, stream="order-o-1")
        ann = await app.load(Customer, "c-1")
        assert (ann.name, ann.changes) == (FORGOTTEN, 3)
        assert await app.views[contacts].find(order_by="customer_id") == [
            Contact(customer_id="c-1", name=FORGOTTEN, email="forgotten@forgotten.invalid"),
            Contact(customer_id="c-2", name="Bob Baker", email="bob@baker.example"),
        ]
        assert await app.views[purchases].get("o-1") == Purchase(order_id="o-1", note="-")
        assert await app.views[notes].get("o-1") == Purchase(order_id="o-1", note="-")
    assert (bought.note, bought.greeting) == ("-", "From c-1")
    assert (found.state, found.events, found.types) == ("known", 4, {"customer.registered": 3, "order.bought": 1})
    assert (certificate.subject, certificate.forgotten_by, certificate.reason) == ("c-1", "eve", "she asked")
    assert (certificate.events, certificate.plain, certificate.complete) == (4, 0, True)
    assert certificate.streams == ("customer-c-1", "order-o-1")
    assert {view.name: view.state for view in certificate.views} == dict.fromkeys(
        ("contacts", "purchases", "notes"), "rebuilt"
    )


async def test_a_build_that_was_begun_before_is_not_gone_on_with(
    place: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has rows that show who is forgotten by now."""
    monkeypatch.setattr("daicho.read.stride._PAGE", 1)
    async with people(*place) as app:
        await app.send(ANN)
        await app.send(BOB)
        await app.settle()
        steps = app.projections.rebuild("contacts")
        async with aclosing(steps):  # type: ignore[type-var]
            assert not (await anext(steps)).switched
        certificate = await app.forget("c-1", by="eve")
        assert {view.name: view.state for view in certificate.views}["contacts"] == "rebuilt"
        shown = await app.views[contacts].get("c-1")
        assert shown is not None
        assert shown.name == FORGOTTEN


async def test_forgetting_lasts_and_is_done_once(lasting: tuple[str, str]) -> None:
    async with people(*lasting) as app:
        await app.send(ANN)
        first = await app.forget("c-1", by="eve")
    async with people(*lasting) as app:
        assert (await app.load(Customer, "c-1")).name == FORGOTTEN
        assert await app.forget("c-1", by="mallory") == first
        assert list(await app.personal.certificates()) == [first]
        assert (await app.personal.find("c-1")).state == "forgotten"


async def test_nothing_personal_is_recorded_about_a_forgotten_person_any_more(place: tuple[str, str]) -> None:
    async with people(*place) as app:
        await app.send(ANN)
        await app.forget("c-1", by="eve")
        with pytest.raises(SubjectForgotten):
            await app.send(ANN)
        await app.send(BOB)
        with pytest.raises(SubjectForgotten):
            await app.send(Buy(order_id="o-1", customer_id="c-2", gift_for="c-1", note="x"))
        assert len(await events(app)) == 2
        with pytest.raises(Rejected, match="has a name"):  # and the state in memory is still right
            await app.send(msgspec.structs.replace(ANN, name="nobody"))


async def test_somebody_unknown_cannot_be_forgotten_by_mistake() -> None:
    async with people() as app:
        await app.send(ANN)
        with pytest.raises(NotFound):
            await app.forget("c-7", by="eve")
        assert (await app.personal.find("c-7")).state == "unknown"


async def test_a_legal_hold_stands_against_it_until_it_is_released() -> None:
    async with people() as app:
        await app.send(ANN)
        await app.personal.hold("c-1", reason="lawsuit 7", by="legal")
        with pytest.raises(SubjectHeld, match="lawsuit 7"):
            await app.forget("c-1", by="eve")
        assert (await app.load(Customer, "c-1")).name == "Ann Archer"
        assert (await app.personal.find("c-1")).hold is not None
        await app.personal.release("c-1")
        await app.forget("c-1", by="eve")
        with pytest.raises(NotFound):
            await app.personal.release("c-1")
        with pytest.raises(NotFound, match="forgotten already"):
            await app.personal.hold("c-1", reason="too late", by="legal")


async def test_who_asks_what_is_stored_is_shown_all_of_it() -> None:
    async with people() as app:
        await app.send(ANN)
        await app.send(BOB)
        await app.send(Buy(order_id="o-1", customer_id="c-2", gift_for="c-1", note="x"))
        shown = [record.event async for record in app.personal.whoami("c-1")]
    assert [type(event) for event in shown] == [CustomerRegistered, Bought]
    assert [event.name for event in shown if isinstance(event, CustomerRegistered)] == ["Ann Archer"]


async def test_a_parked_event_is_read_as_forgotten_when_it_is_tried_again() -> None:
    async with people() as app:
        await app.send(Buy(order_id="o-1", customer_id="c-1", note="choke"))
        await app.settle()
        certificate = await app.personal.forget("c-1", by="eve", rebuild=False)
        (number,) = certificate.letters
        trial = await app.dead_letters.try_(number)
    assert trial.error is None
    assert "choke" not in repr(trial)
    assert {view.state for view in certificate.views} == {"left"}


async def test_whoever_forgets_is_not_stopped_by_a_view_that_cannot_be_rebuilt() -> None:
    async with people() as app:
        await app.send(ANN)
        await app.settle()
        app.personal._projections._folds.pop("contacts")
        certificate = await app.forget("c-1", by="eve")
    told = {view.name: view for view in certificate.views}
    assert told["contacts"].state == "left"
    assert "daicho projection rebuild contacts" in told["contacts"].why
    assert certificate.complete


async def test_no_plain_text_reaches_the_files_of_the_store(tmp_path: Path) -> None:
    app = App(
        Customer,
        Order,
        store=f"sqlite:///{tmp_path}/app.db",
        personal=f"sqlite:///{tmp_path}/keys.db",
        snapshot_after=1,
    )

    def found() -> set[bytes]:
        texts = (b"Ann Archer", b"ann@archer.example", b"Elm 1", b"ring twice")
        files = [file.read_bytes() for file in tmp_path.iterdir() if file.is_file()]
        return {text for text in texts if any(text in content for content in files)}

    async with app:
        for _ in range(3):
            await app.send(ANN)
        await app.send(Buy(order_id="o-1", customer_id="c-1", note="ring twice"))
        snapshot = await app.storage.load_snapshot("customer-c-1")
        assert snapshot is not None
        assert b"Ann Archer" in snapshot.state, "it is deciphered on its way out"
        assert found() == set()
    assert found() == set()


async def test_a_backup_made_before_shows_nothing_after(tmp_path: Path) -> None:
    keys = f"sqlite:///{tmp_path}/keys.db"
    async with people(f"sqlite:///{tmp_path}/app.db", keys) as app:
        await app.send(ANN)
        async for _ in app.storage.backup(tmp_path / "copy.db"):
            pass
        await app.forget("c-1", by="eve")
    async with people(f"sqlite:///{tmp_path}/copy.db", keys) as old:
        assert (await old.load(Customer, "c-1")).name == FORGOTTEN


# -- several processes ------------------------------------------------------------------------------------------------


async def test_a_key_that_another_process_destroyed_is_let_go_with_the_next_look(tmp_path: Path) -> None:
    store, keys = f"sqlite:///{tmp_path}/app.db?durability=relaxed", f"sqlite:///{tmp_path}/keys.db"
    async with people(store, keys) as one, people(store, keys) as other:
        await one.send(ANN)
        assert (await other.load(Customer, "c-1")).name == "Ann Archer"
        with pytest.raises(Rejected, match="has a name"):  # other holds the state in memory now
            await other.send(msgspec.structs.replace(ANN, name="nobody"))
        running = other._now
        assert running.write.repository.held("customer-c-1") is not None
        await one.personal.forget("c-1", by="eve", rebuild=False)
        assert running._vault is not None
        await running._vault.look()
        assert running.write.repository.held("customer-c-1") is None
        assert (await other.load(Customer, "c-1")).name == FORGOTTEN
        with pytest.raises(SubjectForgotten):
            await other.send(ANN)


class Unreachable(MemoryKeys):
    """A key store whose server may go away."""

    away = False

    async def destroyed(self, after: int) -> tuple[int, Any]:
        if self.away:
            raise StoreUnavailable("away")
        return await super().destroyed(after)


async def test_a_process_that_cannot_ask_which_keys_were_destroyed_uses_none_beyond_the_bound() -> None:
    keys, now = Unreachable(), 0.0
    vault = Vault(keys, monotonic=lambda: now)
    await vault.open()
    try:
        await vault.fetch([person("c-1")], make=True)
        keys.away = True
        now = BOUND
        assert vault.at_hand([person("c-1")])
        now = BOUND + 0.1
        assert not vault.at_hand([person("c-1")])
        with pytest.raises(StoreUnavailable):
            await vault.fetch([person("c-1")])
        keys.away = False
        await vault.fetch([person("c-1")])
        assert vault.at_hand([person("c-1")])
    finally:
        await vault.close()


# -- what must not pass for forgotten ---------------------------------------------------------------------------------


async def test_a_lost_key_is_an_error_and_not_a_forgotten_person(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/app.db?durability=relaxed"
    async with people(store, f"sqlite:///{tmp_path}/keys.db") as app:
        await app.send(ANN)
    async with people(store, f"sqlite:///{tmp_path}/empty.db") as app:
        with pytest.raises(KeyLost, match="person:c-1"):
            await app.load(Customer, "c-1")
        await app.forget("c-1", by="eve")  # if it is lost for good
        assert (await app.load(Customer, "c-1")).name == FORGOTTEN


async def test_a_changed_text_makes_its_event_unreadable_and_no_other() -> None:
    async with people() as app:
        await app.send(ANN)
        await app.send(BOB)
        (ann, bob) = await stored(app)
        (_, of_bob) = seals_of(bob)[0]
        (_, of_ann) = seals_of(ann)[0]
        forged = ann.replace(of_ann.encode(), of_bob.encode())
        curtain: Any = app._now._vault  # type: ignore[union-attr]
        data = curtain.open_event(forged, b"customer.registered\x002")
        with pytest.raises(UnreadableEvent, match="cannot be read"):
            app.registry.decode("customer.registered", 2, data)
        whole = curtain.open_event(ann, b"customer.registered\x002")
        assert b"Ann Archer" in whole
        moved = curtain.open_event(ann, b"customer.renamed\x001")
        assert b"Ann Archer" not in moved


# -- the master key ---------------------------------------------------------------------------------------------------


async def test_keys_are_wrapped_in_a_master_key_and_another_one_does_not_open_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"sqlite:///{tmp_path}/app.db?durability=relaxed", f"sqlite:///{tmp_path}/keys.db"
    right, wrong = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
    (tmp_path / "master.key").write_text(right + "\n")
    monkeypatch.setenv("DAICHO_MASTER_KEY_FILE", str(tmp_path / "master.key"))
    async with people(*place) as app:
        await app.send(ANN)
    keys = SqliteKeys(place[1])
    await keys.open()
    (kept,) = (await keys.find([person("c-1")])).values()
    await keys.close()
    assert kept is not None
    assert kept.startswith(Master(bytes([1]) * 32).mark)
    monkeypatch.delenv("DAICHO_MASTER_KEY_FILE")
    for given in ("", wrong):
        monkeypatch.setenv("DAICHO_MASTER_KEY", given)
        async with people(*place) as app:
            with pytest.raises(KeyLost, match=r"master key|MASTER_KEY"):
                await app.load(Customer, "c-1")
    monkeypatch.setenv("DAICHO_MASTER_KEY", right)
    async with people(*place) as app:
        assert (await app.load(Customer, "c-1")).name == "Ann Archer"


@pytest.mark.parametrize("text", ["short", base64.b64encode(b"too short").decode(), "§"])
async def test_a_master_key_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAICHO_MASTER_KEY", text)
    with pytest.raises((ConfigurationError, ValueError)):
        await people().start()


# -- wiring -----------------------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Everything(Event):
    thing_id: str
    text: Annotated[str, Personal]
    perhaps: Annotated[str | None, Personal]
    number: Annotated[int, Personal]
    price: Annotated[Decimal, Personal]
    at: Annotated[datetime, Personal]
    naive: Annotated[datetime, msgspec.Meta(tz=False), Personal]
    day: Annotated[date, Personal]
    key: Annotated[UUID, Personal]
    old: Annotated[int, msgspec.Meta(ge=18), Personal(forgotten=18)]
    colour: Annotated[Colour, Personal] = Colour.RED
    kind: Annotated[Literal["a", "b"], Personal(forgotten="b")]
    texts: list[Annotated[str, Personal]]
    by_name: Annotated[dict[str, int], Personal]
    address: Annotated[Address, Personal]


def test_a_placeholder_is_found_for_every_usual_type_and_fits_it() -> None:
    shape = personal_shapes([Everything])["Everything"]
    assert shape.placeholders == {
        "text": FORGOTTEN,
        "perhaps": FORGOTTEN,
        "number": 0,
        "price": "0",
        "at": "1900-01-01T00:00:00Z",
        "naive": "1900-01-01T00:00:00",
        "day": "1900-01-01",
        "key": "00000000-0000-0000-0000-000000000000",
        "old": 18,
        "colour": "red",
        "kind": "b",
        "texts": [],
        "by_name": {},
        "address": {"street": FORGOTTEN, "floor": 0},
    }
    msgspec.convert({"thing_id": "t", **shape.placeholders}, Everything, strict=False)


def event_class(annotation: Any, tags: tuple[str, ...] = ()) -> type[Event]:
    fields = {"__annotations__": {"thing_id": str, "secret": annotation}, "__module__": __name__}
    meta: Any = type(Event)
    made: type[Event] = meta("Odd", (Event,), fields, tags=tags)
    return made


@pytest.mark.parametrize(
    ("annotation", "tags", "complaint"),
    [
        (Annotated[Colour, Personal], (), "nothing is known that could stand in Odd.secret"),
        (Annotated[Colour, Personal(forgotten="blue")], (), "nothing is known that could stand in Odd.secret"),
        (Annotated[str, Personal], ("secret",), "its value would stand in a tag"),
        (Annotated[str, Personal(subject="whose")], (), "which is no field"),
        (Annotated[str, Personal(subject="secret")], (), "which is personal itself"),
    ],
)
def test_what_could_not_be_forgotten_is_refused_at_the_start(
    annotation: Any, tags: tuple[str, ...], complaint: str
) -> None:
    with pytest.raises(WiringError, match=complaint):
        personal_shapes([event_class(annotation, tags)])


class Rename(Command):
    thing_id: str


class Odd(Event, tags=("secret",)):
    thing_id: str
    secret: Annotated[str, Personal]


class Thing(Aggregate, category="thing", key="thing_id"):
    @handle
    def rename(self, command: Rename) -> Iterator[Odd]:
        yield Odd(thing_id=command.thing_id, secret="x")

    @apply
    def odd(self, event: Odd) -> None:
        pass


def test_an_app_asks_that_only_of_those_who_encipher() -> None:
    App(Thing, store="memory:")
    with pytest.raises(WiringError, match="stand in a tag"):
        App(Thing, store="memory:", personal="memory:")


def test_keys_do_not_lie_with_the_events_nor_end_before_them(tmp_path: Path) -> None:
    for keys in ("memory:", f"sqlite:///{tmp_path}/app.db"):
        app = people(f"sqlite:///{tmp_path}/app.db", keys)
        with pytest.raises(ConfigurationError):
            app.curtain(open_storage("memory:", app.clock))
    with pytest.raises(ConfigurationError, match="is not the URL of a key store"):
        people("memory:", "redis://host")


async def test_without_keys_nobody_can_be_forgotten() -> None:
    async with App(*PARTS, store="memory:") as app:
        with pytest.raises(ConfigurationError, match="no key store"):
            await app.forget("c-1")


def test_the_same_works_for_synchronous_code() -> None:
    with people().sync() as app:
        app.send(ANN)
        app.personal.hold("c-1", reason="wait", by="legal")
        assert [hold.subject for hold in app.personal.holds()] == ["c-1"]
        app.personal.release("c-1")
        assert len(list(app.personal.whoami("c-1"))) == 1
        certificate = app.forget("c-1", by="eve")
        assert app.personal.certificates("c-1") == [certificate]
        assert app.personal.find("c-1").state == "forgotten"
