"""Events as lines of text, from one store to another: what `daicho export` and `import` do, in Python."""

import pytest

from daicho import InvalidMessage
from daicho.leaving import Imported, imported, line_writer
from daicho.ports.event_store import Selection
from tests.people_app import Buy, people


async def lines_of(form: str = "jsonl") -> list[bytes]:
    """Of three events."""
    write = line_writer("jsonl" if form == "jsonl" else "cloudevents")
    async with people() as app:
        for n in range(3):
            await app.send(Buy(order_id=f"o-{n}", customer_id="c-1"), actor="till")
        return [write(event) + b"\n" async for event in app.history.stored(Selection())]


@pytest.mark.parametrize("form", ["jsonl", "cloudevents"])
async def test_lines_become_the_same_events_in_another_store(form: str) -> None:
    lines = await lines_of(form)
    told: list[int] = []
    async with people() as other:
        assert await imported(other.storage, lines, told.append) == Imported(new=3, there=0)
        write = line_writer("jsonl" if form == "jsonl" else "cloudevents")
        streams = [(event.stream, event.version, event.actor) async for event in other.history.stored(Selection())]
        assert len({write(event) async for event in other.history.stored(Selection())}) == 3
        assert await imported(other.storage, [*lines, b"\n"]) == Imported(new=0, there=3)
    assert told == [3]
    assert streams == [(f"order-o-{n}", 1, "till") for n in range(3)]


async def test_what_came_before_a_line_that_is_none_stays() -> None:
    lines = await lines_of()
    async with people() as other:
        with pytest.raises(InvalidMessage, match="line 2 is not an exported event"):
            await imported(other.storage, [lines[0], b"{}"])
        assert await imported(other.storage, lines) == Imported(new=2, there=1)
