"""Work on one log cut by key, so that several workers share it and each key stays with one of them."""

import re
from zlib import crc32

import msgspec

__all__ = ["MOST_SEGMENTS", "WHOLE", "Segment", "root_of", "segment_of"]

MOST_SEGMENTS = 1024
_SUFFIX = re.compile(r"/(\d{1,4})\.(\d{1,4})\Z")


class Segment(msgspec.Struct, frozen=True, order=True):
    """One of `of` parts, a power of two: the keys whose hash ends in the bits of `index`."""

    index: int
    of: int

    def holds(self, key: str) -> bool:
        return self.of == 1 or crc32(key.encode("utf-8", "surrogatepass")) & (self.of - 1) == self.index

    def name(self, root: str) -> str:
        """What the processor `root` is called where it runs this part of the work."""
        return root if self.of == 1 else f"{root}/{self.index}.{self.of}"

    def within(self, other: "Segment") -> bool:
        """Whether every key of this one is one of the other's."""
        return self.of >= other.of and self.index & (other.of - 1) == other.index

    @staticmethod
    def all_of(count: int) -> "list[Segment]":
        return [Segment(index, count) for index in range(count)]


WHOLE = Segment(0, 1)


def root_of(processor: str) -> str:
    """`projection:orders@1/0.4` -> `projection:orders@1`."""
    return _SUFFIX.sub("", processor)


def segment_of(processor: str) -> Segment:
    found = _SUFFIX.search(processor)
    return Segment(int(found[1]), int(found[2])) if found else WHOLE
