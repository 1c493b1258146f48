"""Redis keeps the contract of a read store, loses nothing that it acknowledged, and comes back by itself."""

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any, ClassVar

import pytest

from daicho.adapters.views.redis import RedisReadStore, parse_url
from daicho.core.errors import (
    BadUrl,
    InvalidMessage,
    LostLease,
    NoSuchTable,
    StoreFailed,
    StoreFull,
    StoreReadOnly,
    StoreUnavailable,
    WiringError,
)
from daicho.core.messages import Row
from daicho.ports.read_store import Placed
from daicho.ports.view_store import Mark, TableSpec, ViewChange
from daicho.testing.contracts import Capabilities, ReadStoreContract
from daicho.testing.contracts.read_store import PARCELS, PROCESSOR, Parcel, move, rows
from tests.services import redis as servers
from tests.services.find import needed
from tests.services.proxy import Passed, Proxy
from tests.services.redis import Redis
from tests.services.running import Host, free_port

numbers = count(1)


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture(scope="session")
def redis(host: Host) -> Redis:
    """A server that tests share; not to be broken."""
    with needed():
        return servers.redis(host)


@pytest.fixture
def own_redis(host: Host) -> Iterator[Redis]:
    """A server of the test's own, to be broken at will."""
    with needed():
        server = servers.redis(host)
    yield server
    server.kill()


class TestRedis(ReadStoreContract):
    capabilities = Capabilities(search=False)
    one_step = True
    server: ClassVar[Redis]
    prefix: ClassVar[str]

    @pytest.fixture(autouse=True)
    def _fresh(self, redis: Redis) -> None:
        type(self).server, type(self).prefix = redis, f"t{next(numbers)}"

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> RedisReadStore:
        return RedisReadStore(f"{self.server.url}?prefix={self.prefix}", now=now)

    def make_away(self, now: Callable[[], datetime], password: str) -> RedisReadStore:
        return RedisReadStore(f"redis://:{password}@127.0.0.1:{free_port()}/0?reconnect_within=0.2", now=now)


class Opened:
    """A store, opened for the length of a block."""

    def __init__(self, url: str) -> None:
        self.store = RedisReadStore(url, now=now)

    async def __aenter__(self) -> RedisReadStore:
        await self.store.open()
        return self.store

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()


def fresh(server: Redis, **options: object) -> Opened:
    given = "".join(f"&{name}={value}" for name, value in options.items())
    return Opened(f"{server.url}?prefix=t{next(numbers)}{given}")


# values and their order

TOKYO = timezone(timedelta(hours=9))
VALUES: dict[str, list[Any]] = {
    "words": [None, "", "\0", "\0a", "\1", "\2", "a", "a\0b", "a\1", "ab", "b", "z", "ä", "注", "🖋"],
    "whole": [None, -(10**18), -(2**53) - 1, -(2**53), -10, -9, 0, 1, 9, 10, 11, 100, 2**53, 2**53 + 1, 10**18],
    "exact": [
        None,
        *map(Decimal, ("-Infinity", "-1E+20", "-10", "-9.99", "-1.55", "-1.5", "-1", "-0.55", "-1E-20", "0", "1E-20")),
        *map(Decimal, ("0.055", "0.1", "0.55", "1", "1.5", "1.55", "1E+20", "Infinity")),
    ],
    "rough": [None, -1e300, -2.5, -1e-300, 0.0, 5e-324, 0.1, 0.1 + 2**-56, 0.3, 1.0, 1e15, 1e300],
    "moment": [
        None,
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 2, 12, 0, tzinfo=TOKYO),
        datetime(2026, 1, 2, 3, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 1, 2, 12, 0, tzinfo=UTC),
        datetime(9999, 12, 30, tzinfo=UTC),
    ],
    "day": [None, date(1, 1, 1), date(2025, 12, 31), date(2026, 1, 1), date(9999, 12, 31)],
    "span": [None, timedelta(days=-1), timedelta(0), timedelta(microseconds=1), timedelta(days=1)],
    "yes": [None, False, True],
}
"""For each field, values in their order."""


class Unindexed(Row):
    words: str | None = None
    whole: int | None = None
    exact: Decimal | None = None
    rough: float | None = None
    moment: datetime | None = None
    day: date | None = None
    span: timedelta | None = None
    yes: bool | None = None


class Indexed(Unindexed, index=tuple(VALUES)):
    pass


@pytest.mark.parametrize("row_type", [Indexed, Unindexed])
@pytest.mark.parametrize("field", VALUES)
async def test_values_are_ordered_paged_found_and_counted_as_they_are(
    redis: Redis, field: str, row_type: type[Unindexed]
) -> None:
    table, values = TableSpec("values", 1, row_type), VALUES[field]
    stored = {f"{n % 7}-{n}": row_type(**{field: value}) for n, value in enumerate([*values, *values])}
    in_order = sorted(stored, key=lambda key: (values.index(getattr(stored[key], field)), key))
    async with fresh(redis) as store:
        await store.open_table(table)
        await store.commit(rows(1, stored, table=table))
        for descending in (False, True):
            keys = in_order[::-1] if descending else in_order
            how: dict[str, Any] = {"order_by": field, "descending": descending}
            assert await store.find(table, {}, **how) == [stored[key] for key in keys]
            assert await store.find(table, {}, **how, offset=2, limit=3) == [stored[key] for key in keys[2:5]]
            paged: list[str] = []
            mark: Mark | None = None
            while page := await store.page(table, {}, limit=2, after=mark, **how):
                paged += [key for key, _ in page]
                mark = Mark(page[-1][0], getattr(page[-1][1], field))
            assert paged == keys
        for value in values:
            equal = sorted(key for key, row in stored.items() if getattr(row, field) == value)
            assert len(equal) == 2
            assert await store.count(table, {field: value}) == 2
            assert [key for key, _ in await store.page(table, {field: value}, limit=9)] == equal
            assert [key for key, _ in await store.page(table, {field: value}, limit=9, after=Mark(equal[0]))] == [
                equal[1]
            ]


async def test_values_of_other_types_are_found_as_python_compares_them(redis: Redis) -> None:
    table = TableSpec("values", 1, Indexed)
    row = Indexed(words="2026-01-02", whole=1, exact=Decimal("1.50"), moment=datetime(2026, 1, 2, 12, 0))
    async with fresh(redis) as store:
        await store.open_table(table)
        await store.commit(rows(1, {"a": row}, table=table))
        equal = {"whole": [1.0, Decimal("1.00"), True], "exact": [1.5, Decimal("15E-1")], "moment": [row.moment]}
        other = {
            "words": [date(2026, 1, 2), 1, []],
            "whole": ["1", 2],
            "moment": [datetime(2026, 1, 2, 12, tzinfo=UTC)],
        }
        for field, values in equal.items():
            for value in values:
                assert await store.find(table, {field: value}) == [row], f"{field} {value!r}"
        for field, values in other.items():
            for value in values:
                assert await store.find(table, {field: value}) == [], f"{field} {value!r}"


async def test_several_filters_and_orders_agree_with_a_scan(redis: Redis) -> None:
    table = TableSpec("values", 1, Indexed)
    stored = {
        f"k{n:04}": Indexed(words=f"w{n % 3}", whole=n % 50, exact=Decimal(n % 7), yes=n % 2 == 0) for n in range(2300)
    }

    def right(equals: dict[str, object], order_by: str | None) -> list[str]:
        keys = [key for key, row in stored.items() if all(getattr(row, f) == v for f, v in equals.items())]
        return sorted(keys, key=lambda key: (getattr(stored[key], order_by) if order_by else 0, key))

    async with fresh(redis) as store:
        await store.open_table(table)
        await store.commit(rows(1, stored, table=table))
        for equals in ({}, {"words": "w1"}, {"words": "w1", "whole": 7}, {"yes": True, "exact": Decimal(3)}):
            for order_by in (None, "whole", "exact"):
                keys = right(equals, order_by)
                found = await store.find(table, equals, order_by=order_by)
                assert found == [stored[key] for key in keys]
                some = await store.find(table, equals, order_by=order_by, offset=7, limit=40)
                assert some == [stored[key] for key in keys[7:47]]
                mark = Mark(keys[3], getattr(stored[keys[3]], order_by) if order_by else None)
                page = await store.page(table, equals, order_by=order_by, limit=5, after=mark)
                assert [key for key, _ in page] == keys[4:9]
            assert await store.count(table, equals) == len(right(equals, None))


async def test_an_index_is_asked_once_however_many_rows_there_are(own_redis: Redis) -> None:
    table = TableSpec("values", 1, Indexed)
    async with fresh(own_redis) as store:
        await store.open_table(table)
        await store.commit(rows(1, {f"k{n}": Indexed(words=f"w{n % 9}", whole=n) for n in range(3000)}, table=table))
        asked: list[dict[str, Any]] = [
            {"equals": {"words": "w3"}, "limit": 20},
            {"equals": {"words": "w3"}, "limit": 20, "offset": 200},
            {"equals": {}, "order_by": "whole", "descending": True, "limit": 20, "offset": 1500},
            {"equals": {}, "limit": 20},
        ]
        for how in asked:
            own_redis.ask("CONFIG", "RESETSTAT")
            equals = how.pop("equals")
            assert len(await store.find(table, equals, **how)) == 20
            stats = own_redis.ask("INFO", "commandstats")
            assert "cmdstat_evalsha:calls=1," in stats
            assert "cmdstat_hmget:calls=1," in stats
            assert "hscan" not in stats


async def test_keys_may_contain_nul(redis: Redis) -> None:
    table = TableSpec("values", 1, Indexed)
    stored = {key: Indexed(words=key, whole=n) for n, key in enumerate(["\0", "\0\0", "a", "a\0", "a\0b", "ab"])}
    async with fresh(redis) as store:
        await store.open_table(table)
        await store.commit(rows(1, stored, table=table))
        for order_by in (None, "words", "whole"):
            assert await store.page(table, {}, limit=9, order_by=order_by) == list(stored.items())
        for key, row in stored.items():
            assert await store.page(table, {"words": key}, limit=9) == [(key, row)]
        await store.commit(rows(2, {}, *stored, table=table))
        assert await store.page(table, {}, limit=9, order_by="words") == []


async def test_a_store_whose_server_was_emptied_begins_again(own_redis: Redis) -> None:
    async with fresh(own_redis) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}, advance=move(0, 1)))
        own_redis.ask("FLUSHALL")
        with pytest.raises(LostLease):
            await store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2)))
        assert await store.fence(PROCESSOR, 1) is None
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}, advance=move(0, 1)))
        assert await store.fence(PROCESSOR, 1) == 1


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), float("nan")])
async def test_what_json_cannot_hold_is_refused_before_anything_is_written(redis: Redis, value: float) -> None:
    table = TableSpec("values", 1, Indexed)
    async with fresh(redis) as store:
        await store.open_table(table)
        good = {f"k{n}": Indexed() for n in range(1200)}
        with pytest.raises(InvalidMessage, match="rough"):
            await store.commit(rows(1, {**good, "last": Indexed(rough=value)}, table=table))
        assert await store.count(table, {}) == 0


async def test_a_row_without_its_place_is_refused(redis: Redis) -> None:
    async with fresh(redis) as store:
        await store.open_table(PARCELS)
        with pytest.raises(StoreFailed, match="place"):
            await store.commit(ViewChange(table=PARCELS, upserts={"p-1": Parcel(status="sent")}, deletes=()))


async def test_rows_are_plain_json_for_any_other_reader(own_redis: Redis) -> None:
    async with Opened(own_redis.url) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent", weight=2)}))
    assert own_redis.ask("HGET", "{daicho}:table:parcels:1:rows", "p-1") == '{"status":"sent","weight":2,"note":null}'


# tables


async def test_a_table_with_other_indexes_is_not_read_as_if_it_had_these(redis: Redis) -> None:
    before, after = TableSpec("values", 1, Unindexed), TableSpec("values", 1, Indexed)
    async with fresh(redis) as store:
        await store.open_table(before)
        await store.commit(rows(1, {"a": Unindexed(whole=1)}, table=before))
        assert await store.shape_fits(after) is False
        for ask in (store.open_table(after), store.find(after, {"whole": 1}), store.get(after, "a")):
            with pytest.raises(WiringError):
                await ask


async def test_nothing_is_left_of_a_dropped_table_and_a_late_commit_does_not_raise_it(own_redis: Redis) -> None:
    async with fresh(own_redis) as store, fresh(own_redis) as _:
        await store.open_table(PARCELS)
        await store.switch(PARCELS)
        await store.commit(rows(1, {f"p-{n}": Parcel(status="sent", weight=n) for n in range(1500)}, "p-gone"))
        await store.drop_table(PARCELS)
        assert own_redis.ask("DBSIZE") == ":0"
        with pytest.raises(StoreFailed, match="open_table"):
            await store.commit(rows(2, {"p-1": Parcel(status="late")}))
        with pytest.raises(StoreFailed, match="open_table"):
            await store.switch(PARCELS)
        assert own_redis.ask("DBSIZE") == ":0"
        assert await store.live_generation("parcels") is None


@pytest.mark.parametrize("how", [{}, {"order_by": "note"}, {"limit": 30}, {"order_by": "note", "limit": 15}])
async def test_a_table_that_goes_while_it_is_read_gives_no_part_of_an_answer(
    redis: Redis, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    monkeypatch.setattr("daicho.adapters.views.redis.reading._MOST", 10)
    url = f"{redis.url}?prefix=t{next(numbers)}"
    async with Opened(url) as store, Opened(url) as other:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {f"p-{n:02}": Parcel(status="sent", weight=n) for n in range(50)}))
        run = store._wire.run

        async def then_dropped(name: str, *given: Any) -> Any:
            answer = await run(name, *given)
            await other.drop_table(PARCELS)
            return answer

        monkeypatch.setattr(store._wire, "run", then_dropped)
        with pytest.raises(NoSuchTable):
            await store.find(PARCELS, {}, **how)


async def test_of_a_deleted_row_there_is_a_mark_and_of_a_row_that_came_again_none(own_redis: Redis) -> None:
    def left() -> list[str]:
        sets = {"keys": "ZCARD", "gone": "ZCARD", "by:status": "ZCARD", "by:weight": "ZCARD", "rows": "HLEN"}
        return [own_redis.ask(count, f"{{daicho}}:table:parcels:1:{name}") for name, count in sets.items()]

    async with Opened(own_redis.url) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}))
        assert left() == [":1", ":0", ":1", ":1", ":1"]
        await store.commit(rows(2, {}, "p-1"))
        assert left() == [":0", ":1", ":0", ":0", ":0"]
        await store.commit(rows(3, {"p-1": Parcel(status="lost")}))
        assert left() == [":1", ":0", ":1", ":1", ":1"]


async def test_stores_with_other_prefixes_share_nothing(redis: Redis) -> None:
    async with fresh(redis) as one, fresh(redis) as two:
        for store, status in ((one, "one"), (two, "two")):
            await store.open_table(PARCELS)
            await store.fence(PROCESSOR, 5)
            await store.commit(rows(1, {"p-1": Parcel(status=status)}, advance=move(0, 1, 5)))
        await one.forget(PROCESSOR)
        await one.drop_table(PARCELS)
        assert await two.get(PARCELS, "p-1") == Parcel(status="two")
        assert await two.fence(PROCESSOR, 5) == 1


# a server in trouble


async def test_scripts_are_sent_again_to_a_server_that_forgot_them(own_redis: Redis) -> None:
    async with fresh(own_redis) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}))
        own_redis.ask("SCRIPT", "FLUSH")
        await store.commit(rows(2, {"p-1": Parcel(status="lost")}))
        own_redis.ask("SCRIPT", "FLUSH")
        assert await store.find(PARCELS, {"status": "lost"}) == [Parcel(status="lost")]


@pytest.mark.slow
async def test_a_commit_waits_for_a_server_that_starts_again(own_redis: Redis) -> None:
    async with fresh(own_redis) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}, advance=move(0, 1)))
        own_redis.kill()
        waiting = asyncio.create_task(store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2))))
        reading = asyncio.create_task(store.get(PARCELS, "p-1"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        own_redis.start()
        await waiting
        assert await reading in (Parcel(status="sent"), Parcel(status="lost"))
        assert await store.get_placed(PARCELS, ["p-1"]) == {"p-1": Placed(Parcel(status="lost"), 2)}
        assert await store.fence(PROCESSOR, 1) == 2


@pytest.mark.slow
async def test_a_frozen_server_is_told_of_in_time_and_serves_again_when_it_thaws(own_redis: Redis) -> None:
    async with fresh(own_redis, reconnect_within=0.3) as store:
        await store.open_table(PARCELS)
        own_redis.freeze()
        began = time.monotonic()
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.commit(rows(1, {"p-1": Parcel(status="sent")}))
        assert time.monotonic() - began < 3
        own_redis.thaw()
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}))
        assert await store.get(PARCELS, "p-1") == Parcel(status="sent")


class Forgetful(Proxy):
    """Loses the answers to the next few messages that contain the pattern, and their connections."""

    def __init__(self, target_port: int) -> None:
        self.losses, self.pattern = 0, b""
        super().__init__(target_port)

    def conversation(self) -> "Forgetting":
        return Forgetting(self)


class Forgetting:
    def __init__(self, wire: Forgetful) -> None:
        self.wire, self.is_next = wire, False

    def from_client(self, data: bytes) -> Passed:
        self.is_next = bool(self.wire.losses) and self.wire.pattern in data
        return Passed(to_server=data)

    def from_server(self, data: bytes) -> Passed:
        if not self.is_next:
            return Passed(to_client=data)
        self.wire.losses -= 1
        return Passed(cut=lambda: None)


async def test_a_commit_whose_answer_was_lost_is_done_once_and_accepted(own_redis: Redis) -> None:
    with Forgetful(own_redis.port) as wire:
        async with Opened(wire.through(own_redis.url)) as store:
            await store.open_table(PARCELS)
            await store.commit(rows(1, {"p-1": Parcel(status="sent")}, advance=move(0, 1)))
            wire.pattern, wire.losses = PROCESSOR.encode(), 2
            await store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2)))
            assert wire.losses == 0
            assert await store.get_placed(PARCELS, ["p-1"]) == {"p-1": Placed(Parcel(status="lost"), 2)}
            assert await store.fence(PROCESSOR, 1) == 2
            with pytest.raises(LostLease):  # told twice by its owner, it is another commit
                await store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2)))


@pytest.mark.parametrize("token", [2, 1], ids=["a newer owner", "an older one, of whom the server did not know better"])
async def test_a_lost_answer_does_not_make_another_owners_commit_mine(own_redis: Redis, token: int) -> None:
    with Forgetful(own_redis.port) as wire:
        async with Opened(wire.through(own_redis.url)) as mine, Opened(own_redis.url) as theirs:
            await mine.open_table(PARCELS)
            await mine.fence(PROCESSOR, 2 if token == 1 else 1)
            wire.refuse()
            wire.cut()
            advance = move(0, 2, 2 if token == 1 else 1)
            late = asyncio.create_task(mine.commit(rows(2, {"p-1": Parcel(status="mine")}, advance=advance)))
            await asyncio.sleep(0.05)
            await theirs.forget(PROCESSOR)
            await theirs.fence(PROCESSOR, token)
            await theirs.commit(rows(2, {"p-1": Parcel(status="theirs")}, advance=move(0, 2, token)))
            wire.accept()
            with pytest.raises(LostLease):
                await late
            assert await theirs.get(PARCELS, "p-1") == Parcel(status="theirs")


async def test_a_question_that_was_given_up_leaves_its_answer_to_nobody_else(redis: Redis) -> None:
    parcels = {f"p-{n}": Parcel(status="sent", weight=n) for n in range(300)}
    async with fresh(redis, pool=3) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, parcels))
        for turn in range(20):
            asking = [asyncio.create_task(store.get(PARCELS, f"p-{n}")) for n in range(9)]
            for _ in range(turn):
                await asyncio.sleep(0)
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
            assert await asyncio.gather(*(store.get(PARCELS, key) for key in list(parcels)[9:20])) == [
                parcels[key] for key in list(parcels)[9:20]
            ]


async def test_closing_waits_for_what_was_begun(redis: Redis) -> None:
    opened = fresh(redis)
    async with opened as store:
        await store.open_table(PARCELS)
        many = {f"p-{n}": Parcel(status="sent", weight=n) for n in range(1300)}
        commits = [asyncio.create_task(store.commit(rows(n, many))) for n in range(1, 6)]
        await asyncio.sleep(0)
        await store.close()
        await asyncio.gather(*commits)
        await store.open()
        assert {placed.position for placed in (await store.get_placed(PARCELS, list(many))).values()} == {5}


async def test_a_server_without_room_refuses_and_nothing_moves(own_redis: Redis) -> None:
    async with fresh(own_redis) as store:
        await store.open_table(PARCELS)
        await store.commit(rows(1, {"p-1": Parcel(status="sent")}, advance=move(0, 1)))
        own_redis.ask("CONFIG", "SET", "maxmemory", "1")
        with pytest.raises(StoreFull):
            await store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2)))
        assert await store.get(PARCELS, "p-1") == Parcel(status="sent")
        own_redis.ask("CONFIG", "SET", "maxmemory", "0")
        await store.commit(rows(2, {"p-1": Parcel(status="lost")}, advance=move(1, 2)))


async def test_the_examination_tells_of_a_server_that_throws_rows_away(own_redis: Redis) -> None:
    async with fresh(own_redis) as store:
        assert all(finding.ok for finding in await store.examine())
        own_redis.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        [bad] = [finding for finding in await store.examine() if not finding.ok]
        assert bad.what == "eviction"
        assert "noeviction" in bad.do
        [durability] = [finding for finding in await store.examine() if finding.what == "durability"]
        assert "everysec" in durability.detail


async def test_a_wrong_password_is_told_at_once_and_not_repeated(host: Host) -> None:
    with needed():
        server = servers.redis(host, requirepass="opensesame")
    async with Opened(server.url.replace("//", "//:opensesame@")) as store:
        assert await store.generations("orders") == []
    for url in (server.url, server.url.replace("//", "//:swordfish@")):
        began = time.monotonic()
        with pytest.raises(StoreFailed, match="let us in") as raised:
            await RedisReadStore(url, now=now).open()
        assert time.monotonic() - began < 2
        assert "swordfish" not in str(raised.value)
    server.kill()


async def test_a_replica_takes_no_writes(own_redis: Redis) -> None:
    async with fresh(own_redis, reconnect_within=0.1) as store:
        await store.open_table(PARCELS)
        own_redis.ask("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreReadOnly):
            await store.commit(rows(1, {"p-1": Parcel(status="sent")}))


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "redis://:opensesame@localhost/one",
        "redis://:opensesame@localhost:70000",
        "redis://:opensesame@localhost?prefix={x}",
        "redis://:opensesame@localhost?pool=0",
        "redis://:opensesame@localhost?pool=1&pool=2",
        "redis://:opensesame@localhost?colour=red",
        "redis://:opensesame@localhost?ssl_ca_certs=/x",
    ],
)
def test_a_url_that_cannot_be_understood_is_refused_without_the_password(url: str) -> None:
    with pytest.raises(BadUrl) as raised:
        parse_url(url)
    assert "opensesame" not in str(raised.value)


def test_a_url_says_everything_about_the_server() -> None:
    location = parse_url("rediss://ann:p%40ss@db.example:7000/3?prefix=shop&pool=2&ssl_ca_certs=/ca.pem")
    assert (location.host, location.port, location.database, location.tls) == ("db.example", 7000, 3, True)
    assert (location.username, location.password, location.prefix, location.pool) == ("ann", "p@ss", "shop", 2)
    assert location.url == "rediss://ann:***@db.example:7000/3?prefix=shop&pool=2&ssl_ca_certs=/ca.pem"
    assert (parse_url("redis://").host, parse_url("redis://").port) == ("localhost", 6379)


# kill -9

KEYS = 700
STEP = 1100
"""Positions in a commit: three scripts."""


def expected(key: int, position: int) -> int:
    """The last position up to `position` that touches the key; 0 if none does."""
    return max(0, position - (position - key) % KEYS) if position >= key else 0


def step(at: int) -> ViewChange:
    changes = {f"k{number % KEYS}": number for number in range(at + 1, at + STEP + 1)}
    upserts = {key: Parcel(status=f"s{number % 5}", weight=number) for key, number in changes.items()}
    return rows(changes, upserts, advance=move(at, at + STEP))


@pytest.mark.slow
@pytest.mark.parametrize("appendfsync", ["everysec", "always"])
async def test_rows_and_position_agree_after_kill_9_in_the_middle_of_commits(host: Host, appendfsync: str) -> None:
    with needed():
        server = servers.redis(host, appendfsync=appendfsync)
    url = f"{server.url}?reconnect_within=0"
    acknowledged = 0

    async def write(store: RedisReadStore, at: int) -> None:
        nonlocal acknowledged
        while True:
            await store.commit(step(at))
            acknowledged = at = at + STEP

    for n in range(12):
        async with Opened(url) as store:
            await store.open_table(PARCELS)
            writing = asyncio.create_task(write(store, await store.fence(PROCESSOR, 1) or 0))
            before = acknowledged
            while acknowledged <= before + STEP:  # noqa: ASYNC110 - however slow the machine is
                await asyncio.sleep(0.03 + n * 0.0017)
            server.kill()
            with pytest.raises(StoreUnavailable):
                await writing
        server.start()
        async with Opened(url) as store:
            position = await store.fence(PROCESSOR, 1) or 0
            assert position >= acknowledged
            keys = [f"k{key}" for key in range(KEYS)]
            placed = await store.get_placed(PARCELS, keys)
            for key in range(KEYS):
                due = expected(key, position)
                if due or f"k{key}" in placed:
                    found = placed[f"k{key}"]
                    assert found.position >= due
                    assert found.row == Parcel(status=f"s{found.position % 5}", weight=found.position)
            for status in range(5):
                right = {key for key, each in placed.items() if each.position % 5 == status}
                found_keys = [key for key, _ in await store.page(PARCELS, {"status": f"s{status}"}, limit=KEYS)]
                assert found_keys == sorted(right)
    assert acknowledged > 12 * STEP
    server.kill()


# a cluster


@pytest.fixture
def cluster(host: Host) -> Iterator[list[Redis]]:
    """Two nodes, each with half of the slots."""
    with needed():
        buses = [str(free_port()) for _ in range(2)]
        nodes = [servers.redis(host, cluster_enabled="yes", cluster_port=bus) for bus in buses]
    for node, slots in zip(nodes, (("0", "8191"), ("8192", "16383")), strict=True):
        assert node.ask("CLUSTER", "ADDSLOTSRANGE", *slots) == "+OK"
    nodes[0].ask("CLUSTER", "MEET", "127.0.0.1", str(nodes[1].port), buses[1])
    deadline = time.monotonic() + 20
    while not all("cluster_state:ok" in node.ask("CLUSTER", "INFO") for node in nodes):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield nodes
    for node in nodes:
        node.kill()


@pytest.mark.slow
async def test_in_a_cluster_a_store_is_on_the_node_that_has_its_prefix(cluster: list[Redis]) -> None:
    for prefix in ("one", "two", "three", "four", "five"):
        async with Opened(f"{cluster[0].url}?prefix={prefix}") as store:
            await store.open_table(PARCELS)
            await store.switch(PARCELS)
            await store.fence(PROCESSOR, 1)
            parcels = {f"p-{n}": Parcel(status=f"s{n % 3}", weight=n) for n in range(1200)}
            await store.commit(rows(1, parcels, "p-gone", advance=move(0, 1)))
            assert await store.count(PARCELS, {"status": "s1"}) == 400
            assert await store.get_many(PARCELS, ["p-7"]) == {"p-7": parcels["p-7"]}
            assert await store.fence(PROCESSOR, 2) == 1
            await store.drop_table(PARCELS)
            await store.forget(PROCESSOR)
    assert [node.ask("DBSIZE") for node in cluster] == [":0", ":0"]
