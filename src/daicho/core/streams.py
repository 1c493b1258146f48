"""Names and places: streams, categories, positions."""

import re

from daicho.core.errors import InvalidMessage

__all__ = ["Position", "apart", "category_of", "check_category", "check_place", "id_of", "stream_name"]

_CATEGORY = re.compile(r"[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)*\Z")
_LONGEST = 255
_EPOCH_SHIFT = 48


class Position(int):
    """A place in the whole store: the epoch, then the number, in one ordered integer.

    The epoch counts fail-overs that lost a tail; in a store that never had one it is 0, and the position *is* its
    number. Positions are handed out in commit order and never filled in behind a reader. Holes are allowed.
    """

    __slots__ = ()

    @classmethod
    def of(cls, epoch: int, number: int) -> "Position":
        return cls((epoch << _EPOCH_SHIFT) | number)

    @property
    def epoch(self) -> int:
        return self >> _EPOCH_SHIFT

    @property
    def number(self) -> int:
        return self & ((1 << _EPOCH_SHIFT) - 1)


def apart(position: int, head: int) -> int:
    """How many positions lie between the two, at most; 0 if `head` is not behind. Numbers go on in a new epoch."""
    return max(1, Position(head).number - Position(position).number) if head > position else 0


def check_place(place: object, path: str, instead: str = "what an earlier answer held") -> None:
    """Raises InvalidMessage unless it can be a version or a position. `path`: how the caller calls it."""
    if not isinstance(place, int) or place < 0:
        raise InvalidMessage(
            f"{path}={place!r} is no place in history",
            why="versions and positions are numbers: 0 is before everything",
            do=f"give a number, 0 or more, or {instead}",
            path=path,
        )


def check_category(category: str) -> str:
    """Letters, digits, `_` and `.`; no dash, because the first dash of a stream's name ends its category."""
    if not _CATEGORY.match(category) or len(category) > 100:
        raise InvalidMessage(
            f"{category!r} cannot name a category",
            why="a category is up to 100 letters, digits, '_' and '.', beginning with a letter",
            do="choose a name like 'order' or 'billing.invoice'",
        )
    return category


def stream_name(category: str, identity: str) -> str:
    """`order` and `o-1` give `order-o-1`. Refuses identities that are empty, too long or hold control characters."""
    if not identity or len(category) + len(identity) >= _LONGEST or not identity.isprintable():
        raise InvalidMessage(
            f"{identity!r} cannot identify a {category}",
            why=f"a stream's name has at most {_LONGEST} characters, all printable, and its id is not empty",
            do="check the key field of the command",
            path="$",
        )
    return f"{category}-{identity}"


def category_of(stream: str) -> str:
    return stream.partition("-")[0]


def id_of(stream: str) -> str:
    return stream.partition("-")[2]
