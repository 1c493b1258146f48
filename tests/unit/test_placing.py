"""Where rows are is said at deployment: by the App's code, or by whoever runs it."""

from collections.abc import Callable

import pytest
import redis

from daicho import BadUrl
from tests.letters_app import WriteLetter, office


def test_an_edge_or_a_place_that_is_none_is_refused() -> None:
    app = office("memory:", tenancy=False)
    with pytest.raises(BadUrl):
        app.place(views="paper://desk")
    with pytest.raises(BadUrl):
        app.place(edge="paper://wall")


async def test_rows_go_where_the_deployment_says(read_store_url: Callable[[str], str]) -> None:
    url = read_store_url("redis")
    app = office("memory:", tenancy=False)
    app.place(views=url)
    async with app:
        receipt = await app.send(WriteLetter(letter_id="l1", box="in"))
        await app.settled(receipt)
        place, _, prefix = url.partition("?prefix=")
        client = redis.Redis.from_url(place)
        try:
            assert list(client.scan_iter(match=f"*{prefix}*letters*"))
        finally:
            client.close()
