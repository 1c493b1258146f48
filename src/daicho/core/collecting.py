"""The cyclic garbage collector, out of the way while many acyclic objects are made at once."""

import gc

__all__ = ["uncollected"]


class _Uncollected:
    """`with uncollected(): ...` around the decoding of one page, never around anything that waits.

    Decoding makes thousands of objects that stay alive and cannot form cycles; without this the collector walks them
    again and again, which is the largest single cost of reading.
    """

    __slots__ = ("_was_on",)

    def __enter__(self) -> None:
        self._was_on = gc.isenabled()
        gc.disable()

    def __exit__(self, *_: object) -> None:
        if self._was_on:
            gc.enable()


uncollected = _Uncollected
