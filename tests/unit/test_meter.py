"""Look-to-Book: counted where it happens, and what the ratio calls for."""

import pytest

from daicho import Meter, Rejected
from daicho.core.meter import MOST_TENANTS, recommended
from tests.letters_app import AllLetters, LetterOf, WriteLetter, office


@pytest.mark.parametrize(
    ("reads", "writes", "called_for"),
    [
        (0, 0, "unknown"),
        (0, 5, "simple CRUD"),
        (3, 1, "simple CRUD"),
        (4, 1, "simple CRUD"),
        (5, 1, "staged CQRS"),
        (10, 1, "full CQRS"),
        (99, 1, "full CQRS"),
        (100_000, 1_000, "CQRS + CDN/cache"),
        (1, 0, "CQRS + CDN/cache"),
    ],
)
def test_the_ratio_calls_for_a_topology(reads: int, writes: int, called_for: str) -> None:
    assert recommended(reads, writes)[0] == called_for


async def test_reads_and_writes_are_counted_per_query_aggregate_and_tenant() -> None:
    async with office() as app:
        await app.send(WriteLetter(letter_id="a", box="in"), tenant="red")
        await app.send(WriteLetter(letter_id="b", box="in"), tenant="blue")
        with pytest.raises(Rejected):
            await app.send(WriteLetter(letter_id="a", box="in"), tenant="red")
        await app.settle()
        for _ in range(20):
            await app.ask(AllLetters(), tenant="red")
        await app.ask(LetterOf(letter_id="a"))
        assert app.meter.reads == {("AllLetters", "red"): 20, ("LetterOf", ""): 1}
        assert app.meter.writes == {("letter", "WriteLetter", "red"): 1, ("letter", "WriteLetter", "blue"): 1}
        (all_,) = app.meter.ratios(["letter"])
        assert (all_.reads, all_.writes, all_.ratio, all_.recommended) == (21, 2, 10.5, "full CQRS")
        (red,) = app.meter.ratios(["letter"], "red")
        assert (red.reads, red.writes) == (20, 1)


async def test_a_command_that_was_handled_before_is_no_second_write() -> None:
    async with office() as app:
        for _ in range(3):
            await app.send(WriteLetter(letter_id="a", box="in"), key="once")
        assert sum(app.meter.writes.values()) == 1


def test_whoever_makes_up_tenants_does_not_fill_the_memory() -> None:
    meter = Meter()
    for number in range(MOST_TENANTS + 500):
        meter.read("q", [], f"t{number}")
    assert len(meter.reads) == MOST_TENANTS + 1
    assert meter.reads["q", "other"] == 500
