"""Where everything behind a number begins, in a log with stretches that were sent again and messages of no chain."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from daicho.adapters.searching import behind


@st.composite
def logs(draw: st.DrawFn) -> list[int]:
    """Numbers as a relay writes them: ascending by gaps, now and then beginning again further back; 0 is no number."""
    log, chain = list[int](), sorted(draw(st.sets(st.integers(1, 60), min_size=1)))
    at = 0
    for choice in draw(st.lists(st.integers(0, 9), max_size=80)):
        if choice == 0:
            log.append(0)
        elif choice == 1:
            at = draw(st.integers(0, at))
        elif at < len(chain):
            log.append(chain[at])
            at += 1
    return [*log, *chain[at:]]


@given(logs(), st.integers(1, 61), st.integers(0, 5))
def test_everything_behind_the_number_is_heard_from_there_on_and_no_more_than_needed(
    log: list[int], number: int, first: int
) -> None:
    async def numbered(offset: int) -> tuple[int, int] | None:
        return next(((at, log[at - first]) for at in range(offset, first + len(log)) if log[at - first]), None)

    start = asyncio.run(behind(number, first, first + len(log), numbered))
    heard = log[start - first :]
    assert {each for each in log if each > number} <= set(heard)
    news = [each for each in heard if each]
    assert not news or news[0] > number, "it begins with news"
