"""When data of one shape can be read by another, each case from what a reader of JSON would refuse."""

from typing import Any, Literal

import msgspec
import pytest

from daicho import Event, Record
from daicho.schemas.narrowing import narrowings, same_shape
from daicho.schemas.shapes import schema_of


class Place(Record):
    city: str


class PlaceAndStreet(Record):
    city: str
    street: str


class Node(Record):
    name: str
    below: "list[Node]" = []


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
