"""When data of one shape can be read by another, each case from what a reader of JSON would refuse."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

import msgspec
import pytest

from daicho import App, Command, Decider, Event, Record
from daicho.schemas import examined, locked
from daicho.schemas.narrowing import narrowings, same_shape
from daicho.schemas.shapes import schema_of, untyped
from examples.shop.app import app as shop


class Place(Record):
    city: str


class PlaceAndStreet(Record):
    city: str
    street: str


class Node(Record):
    name: str
    below: "list[Node]" = []


class Parcel(Event):
    parcel_id: str
    data: str
    anything: Any
    several: list[Any]
    by_name: dict[str, dict[str, Any]] | None = None
    place: Place | None = None
    note: str = ""


def test_fields_that_hold_whatever_there_is_are_found() -> None:
    assert untyped(Parcel) == ["data", "anything", "several", "by_name"]
    assert [name for name, cls in shop.registry.classes.items() if untyped(cls)] == []


def told(old: Any, new: Any) -> list[str]:
    """What `field: new` refuses of `field: old`."""
    classes = [type("E", (Event,), {"__annotations__": {"field": hint}, "__module__": __name__}) for hint in (old, new)]
    return narrowings(*map(schema_of, classes))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (str, str),
        (str, str | None),
        (int, float),
        (int, int | str),
        (Literal["a"], Literal["a", "b"]),
        (Literal["a"], str),
        (list[int], list[float]),
        (dict[str, int], dict[str, int | None]),
        (Place, Place | None),
        (PlaceAndStreet | None, PlaceAndStreet | None),
        (str, Any),
    ],
)
def test_what_takes_more_refuses_nothing(old: Any, new: Any) -> None:
    assert told(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "refusal"),
    [
        (str, int, "field: integer, was string"),
        (float, int, "field: integer, was number"),
        (str | None, str, "field: null is taken no more"),
        (Literal["a", "b"], Literal["a"], "field: 'b' is taken no more"),
        (str, Literal["a"], "field: others is taken no more"),
        (list[str], list[int], "field[]: integer, was string"),
        (dict[str, str], dict[str, int], "field{}: integer, was string"),
        (Place, PlaceAndStreet, "field: the field street is new and has no default"),
        (PlaceAndStreet, Place, "field: the field street is gone"),
        (Any, str, "field: string, was anything"),
    ],
)
def test_what_takes_less_says_what(old: Any, new: Any, refusal: str) -> None:
    assert told(old, new) == [refusal]


def test_limits_may_widen_and_not_narrow() -> None:
    def schema(**limits: Any) -> dict[str, Any]:
        return {"type": "object", "properties": {"n": {"type": "integer", **limits}}}

    assert narrowings(schema(minimum=1, maximum=9), schema(minimum=0, maximum=10)) == []
    assert narrowings(schema(minimum=1), schema()) == []
    assert narrowings(schema(minimum=1), schema(minimum=2)) == ["n: minimum is 2, was 1"]
    assert narrowings(schema(), schema(maximum=9)) == ["n: maximum is 9, was any"]


def test_a_shape_that_holds_itself_comes_to_an_end() -> None:
    schema = msgspec.json.schema(Node)
    assert narrowings(schema, schema) == []


def test_words_are_no_part_of_the_shape() -> None:
    assert same_shape({"type": "string", "title": "A"}, {"type": "string", "description": "what it is"})
    assert not same_shape({"type": "string"}, {"type": "integer"})
    title = {"type": "object", "properties": {"title": {"type": "string"}}}
    assert not same_shape(title, {"type": "object", "properties": {}})


# -- the lock ---------------------------------------------------------------------------------------------------------


class Seal(Command):
    document: str


class Signed(Event, name="signed"):
    person: str
    email: Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+$")]
    country: Annotated[str, msgspec.Meta(min_length=2, max_length=2)]
    code: Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$")]
    password_hash: Annotated[str, msgspec.Meta(min_length=40)]


class Sealed(Event, name="sealed"):
    document: str
    seal: Annotated[str, msgspec.Meta(pattern="^nobody would guess this$")]


def note(state: None, event: Signed | Sealed) -> None: ...


def decide(command: Seal, state: None) -> Iterator[Signed | Sealed]:
    yield from ()


offices = Decider("office", initial=None, decide=decide, evolve=note, identify=lambda command: command.document)


def test_what_has_just_been_locked_is_well_whatever_limits_its_fields_have() -> None:
    app = App(offices, store="memory:")
    lock = locked(app)
    assert [found for found in examined(app, lock) if not found.ok] == []
    [sample] = lock.events["signed"]["1"].samples
    assert msgspec.json.decode(msgspec.json.encode(sample), type=Signed)
    assert lock.events["sealed"]["1"].samples == []
    [told] = [found.detail for found in examined(app, lock) if found.what == "sealed version 1"]
    assert "write a sample" in told


def test_a_sample_that_somebody_wrote_is_tried() -> None:
    app = App(offices, store="memory:")
    lock = locked(app)
    lock.events["sealed"]["1"].samples.append({"document": "d", "seal": "broken"})
    assert [found.what for found in examined(app, lock) if not found.ok] == ["sealed version 1"]


def test_the_shop_is_well_when_it_has_just_been_locked() -> None:
    assert [found for found in examined(shop, locked(shop)) if not found.ok] == []
