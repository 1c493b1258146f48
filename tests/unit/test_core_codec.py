"""Stored events: encoded, decoded, upcast, refused. What is stored must be readable for ever."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal

import msgspec
import pytest
from msgspec import Meta

from daicho import (
    Command,
    Event,
    EventTooLarge,
    InvalidMessage,
    Record,
    TwoHandlers,
    UnknownEventType,
    UnreadableEvent,
    WiringError,
    upcast,
)
from daicho.core.codec import CodecName, decode_json
from daicho.core.registry import Registry


class Line(Record):
    sku: str
    price: Decimal


class Ordered(Event, name="order.placed", version=3, tags=("customer",)):
    customer: str
    lines: list[Line]
    at: datetime
    note: str | None = None


EVENT = Ordered(
    customer="c-1",
    lines=[Line(sku="pen", price=Decimal("24.50"))],
    at=datetime(2011, 12, 9, 12, 50, tzinfo=UTC),
)
JSON = b'{"customer":"c-1","lines":[{"sku":"pen","price":"24.50"}],"at":"2011-12-09T12:50:00Z","note":null}'


def test_an_event_is_stored_as_json_that_anybody_can_read() -> None:
    assert Registry([Ordered]).encode(EVENT) == JSON


def test_an_event_is_read_back_from_the_bytes_of_another_year() -> None:
    assert Registry([Ordered]).decode("order.placed", 3, JSON) == EVENT


@pytest.mark.parametrize("written", ["json", "msgpack"])
@pytest.mark.parametrize("reading", ["json", "msgpack"])
def test_either_encoding_is_read_whichever_is_written(written: CodecName, reading: CodecName) -> None:
    data = Registry([Ordered], codec=written).encode(EVENT)
    assert Registry([Ordered], codec=reading).decode("order.placed", 3, data) == EVENT


def test_msgpack_is_what_the_specification_of_msgpack_says() -> None:
    class Small(Event):
        a: int

    # fixmap of one pair, fixstr of one character "a", positive fixint 7
    assert Registry([Small], codec="msgpack").encode(Small(a=7)) == bytes([0x81, 0xA1, 0x61, 0x07])


def test_a_field_that_a_newer_program_added_does_not_stop_an_older_one() -> None:
    more = JSON[:-1] + b',"channel":"web"}'
    assert Registry([Ordered]).decode("order.placed", 3, more) == EVENT


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"{}",
        b'{"customer":1,"lines":[],"at":"2011-12-09T12:50:00Z"}',
        b'{"customer":"c","lines":[],"at":"yesterday"}',
        b'{"customer":"\xff","lines":[],"at":"2011-12-09T12:50:00Z"}',
        JSON[:-5],
        b"\x80",
        b"\xff\xff",
    ],
)
def test_malformed_data_is_an_error_that_names_the_event_and_the_place(data: bytes) -> None:
    with pytest.raises(UnreadableEvent, match=r"stored order\.placed version 3 at order-1 version 7 cannot") as caught:
        Registry([Ordered]).decode("order.placed", 3, data, "order-1 version 7")
    assert caught.value.data == {"type": "order.placed", "version": 3}


@pytest.mark.parametrize(
    ("name", "version", "why"),
    [
        ("order.paid", 1, "no part of this App names an event stored as 'order.paid'"),
        ("order.placed", 4, "up to version 3: the event is from a newer release"),
        ("order.placed", 2, "no upcaster from version 2"),
    ],
)
def test_an_event_of_unknown_type_or_version_says_which_of_the_three_reasons_it_is(
    name: str, version: int, why: str
) -> None:
    with pytest.raises(UnknownEventType) as caught:
        Registry([Ordered]).decode(name, version, JSON)
    assert why in caught.value.why


# -- what may not be stored ---------------------------------------------------------------------------------------


class Bounded(Event):
    quantity: Annotated[int, Meta(gt=0)]
    kind: Literal["a", "b"] = "a"


@pytest.mark.parametrize("wrong", [Bounded(quantity=0), Bounded(quantity="3"), Bounded(quantity=1, kind="c")])  # type: ignore[arg-type]
def test_an_event_that_could_not_be_read_back_is_never_stored(wrong: Bounded) -> None:
    with pytest.raises(InvalidMessage, match="event Bounded is not valid") as caught:
        Registry([Bounded]).encode(wrong)
    assert caught.value.data["path"] in ("$.quantity", "$.kind")


class Holder(Event):
    value: Any


@pytest.mark.parametrize("value", [object(), 2**80, {1: object()}])
def test_a_value_without_an_encoding_is_refused(value: Any) -> None:
    with pytest.raises(InvalidMessage):
        Registry([Holder], codec="msgpack").encode(Holder(value=value))


def test_a_value_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(InvalidMessage):
        Registry([Holder]).encode(Holder(value=loop))


def test_an_event_over_the_limit_is_refused_with_both_sizes_and_one_at_the_limit_is_not() -> None:
    registry = Registry([Holder], largest=100)
    assert len(registry.encode(Holder(value="x" * 88))) == 100
    with pytest.raises(EventTooLarge, match="takes 101 bytes; the limit is 100") as caught:
        registry.encode(Holder(value="x" * 89))
    assert caught.value.data == {"size": 101, "limit": 100}


def test_an_event_that_no_part_names_is_refused() -> None:
    with pytest.raises(UnknownEventType, match="Bounded is not an event of this App"):
        Registry([Holder]).encode(Bounded(quantity=1))


# -- upcasting ----------------------------------------------------------------------------------------------------

Data = dict[str, Any]


@upcast("order.placed", 1)
def _one(data: Data) -> Data:
    return {**data, "lines": [{"sku": data.pop("sku"), "price": "1"}]}


@upcast("order.placed", 2)
def _two(data: Data) -> Data:
    return {**data, "at": "2020-01-01T00:00:00Z"}


@upcast("OrderCreatedEvent", 1, to=("order.placed", 2))
def _renamed(data: Data) -> Data:
    return {"customer": data["user"], "lines": []}


def test_an_old_event_goes_through_every_step_up_to_its_present_class() -> None:
    registry = Registry([Ordered], [_two, _one])  # in whatever order they are given
    found = registry.decode("order.placed", 1, b'{"customer":"c","sku":"pen"}')
    assert found == Ordered(
        customer="c", lines=[Line(sku="pen", price=Decimal(1))], at=datetime(2020, 1, 1, tzinfo=UTC)
    )
    assert registry.decode("order.placed", 3, JSON) == EVENT  # present ones go straight


def test_an_old_event_in_msgpack_is_upcast_too() -> None:
    data = msgspec.msgpack.encode({"customer": "c", "sku": "pen"})
    found = Registry([Ordered], [_one, _two]).decode("order.placed", 1, data)
    assert isinstance(found, Ordered)
    assert found.lines[0].sku == "pen"


def test_a_renamed_event_joins_the_chain_of_its_new_name() -> None:
    registry = Registry([Ordered], [_renamed, _two])
    found = registry.decode("OrderCreatedEvent", 1, b'{"user":"c-9"}')
    assert found == Ordered(customer="c-9", lines=[], at=datetime(2020, 1, 1, tzinfo=UTC))
    assert registry.names_of([Ordered]) == ("OrderCreatedEvent", "order.placed")
    assert registry.knows("OrderCreatedEvent", 1)
    assert not registry.knows("OrderCreatedEvent", 2)


def test_an_upcaster_that_raises_or_gives_the_wrong_shape_is_an_unreadable_event() -> None:
    @upcast("order.placed", 2)
    def wrong(data: Data) -> Data:
        return {"lines": data["nothing like it"]}

    with pytest.raises(UnreadableEvent, match="nothing like it"):
        Registry([Ordered], [wrong]).decode("order.placed", 2, b"{}")


def test_two_upcasters_from_one_version_are_refused() -> None:
    @upcast("order.placed", 2)
    def other(data: Data) -> Data:
        return data

    with pytest.raises(WiringError, match=r"two upcasters start at 'order\.placed' version 2"):
        Registry([Ordered], [_two, other])


def test_upcasters_in_a_circle_are_refused() -> None:
    @upcast("b", 1, to=("order.placed", 2))
    def back(data: Data) -> Data:
        return data

    @upcast("order.placed", 2, to=("b", 1))
    def forth(data: Data) -> Data:
        return data

    with pytest.raises(WiringError, match="back to where they were"):
        Registry([Ordered], [back, forth])


@pytest.mark.parametrize("to", [("order.placed", 2), ("order.placed", 4), ("order.gone", 3)])
def test_an_upcaster_that_leads_nowhere_is_refused(to: tuple[str, int]) -> None:
    @upcast("old", 1, to=to)
    def astray(data: Data) -> Data:
        return data

    with pytest.raises(WiringError, match=f"leads to '{to[0]}' version {to[1]}, which no event class"):
        Registry([Ordered], [astray])


def test_an_async_upcaster_is_refused() -> None:
    with pytest.raises(WiringError, match="is async"):

        @upcast("order.placed", 2)  # type: ignore[arg-type]
        async def never_runs(data: Data) -> Data:
            return data


def test_two_classes_may_not_share_a_stored_name() -> None:
    class Other(Event, name="order.placed"):
        pass

    with pytest.raises(TwoHandlers, match=r"are both stored as 'order\.placed'"):
        Registry([Ordered, Other])


def test_versions_begin_at_1() -> None:
    class Zero(Event, version=0):
        pass

    with pytest.raises(WiringError, match="Zero has schema version 0"):
        Registry([Zero])


# -- commands from outside ----------------------------------------------------------------------------------------


class Place(Command):
    customer: str
    quantity: Annotated[int, Meta(gt=0, le=99)]
    lines: list[Line] = []


@pytest.mark.parametrize(
    ("text", "path"),
    [
        (b'{"customer":"c"}', "$"),
        (b'{"customer":"c","quantity":"3"}', "$.quantity"),
        (b'{"customer":"c","quantity":0}', "$.quantity"),
        (b'{"customer":"c","quantity":3,"color":"red"}', "$"),
        (b'{"customer":"c","quantity":3,"lines":[{"sku":"pen","price":"x"}]}', "$.lines[0].price"),
        (b"[1]", "$"),
        (b"not json", "$"),
        (b"\xff\xfe", "$"),
        (b"", "$"),
    ],
)
def test_outside_input_is_refused_with_the_path_of_the_wrong_field(text: bytes, path: str) -> None:
    with pytest.raises(InvalidMessage) as caught:
        decode_json(text, Place, "command Place")
    assert caught.value.data["path"] == path


def test_outside_input_nested_without_end_is_refused() -> None:
    with pytest.raises(InvalidMessage):
        decode_json(b'{"customer":' + b"[" * 100_000, Place, "command Place")


def test_outside_input_that_fits_is_the_message() -> None:
    assert decode_json('{"quantity":3,"customer":"注文"}', Place, "it") == Place(customer="注文", quantity=3)


# -- messages as values -------------------------------------------------------------------------------------------


def test_messages_are_frozen_keyword_only_and_compared_by_value() -> None:
    place = Place(customer="c", quantity=1)
    assert place == Place(quantity=1, customer="c")
    with pytest.raises(AttributeError):
        place.quantity = 2  # type: ignore[misc]
    with pytest.raises(TypeError):
        Place("c", 1)  # type: ignore[misc]


def test_the_stored_name_does_not_depend_on_the_class_or_its_module() -> None:
    assert (Ordered.__message_name__, Ordered.__schema_version__) == ("order.placed", 3)
    assert (Bounded.__message_name__, Bounded.__schema_version__) == ("Bounded", 1)
