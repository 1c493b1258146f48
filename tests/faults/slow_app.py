"""A service that is busy for just so long with each query: the loop stands still meanwhile, as with any work of the
process. It needs no processor for it, so that how long it takes does not depend on the machine."""

import time

from daicho import App, Query, Route, Views, query_handler
from tests.letters_app import PARTS

SECONDS = 0.05


class Busy(Query[float]):
    """How long it was busy, in seconds: what is meant to be 50 ms is more on a machine that has other things to do."""


@query_handler
async def busy(query: Busy, views: Views) -> float:
    began = time.perf_counter()
    time.sleep(SECONDS)  # noqa: ASYNC251 - on purpose
    return time.perf_counter() - began


app = App(*PARTS, busy, Route("GET", "/busy", Busy), name="busy", store="memory:")
