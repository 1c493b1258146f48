"""Where in a log, that can be read from any offset, everything behind a number begins."""

from collections.abc import Awaitable, Callable

__all__ = ["behind"]


async def behind(
    number: int, first: int, end: int, numbered: Callable[[int], Awaitable[tuple[int, int] | None]]
) -> int:
    """The offset from which one hears every message of the chain with a greater number; `end` if there is none.

    `numbered` tells offset and number of the first message of a chain at or behind an offset; None if there is none
    before `end`. Asks it for about twenty offsets of a million. Numbers ascend, but a stretch may have been sent again:
    then any place where a number up to the given one is followed by a greater one will do, for whatever is behind it in
    the chain was sent behind it.
    """
    while first < end:
        middle = (first + end) // 2
        found = await numbered(middle)
        if found is None or found[1] > number:
            end = middle
        else:
            first = found[0] + 1
    return first
