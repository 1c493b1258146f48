"""The callers of `daicho bench`: what they count, on servers that tell the truth and on others."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from click.testing import CliRunner

from daicho import ConfigurationError
from daicho.cli import main
from daicho.load import SHOP, Figures, Plan
from daicho.load.caller import Orders, call
from daicho.load.figures import Counted
from daicho.load.plan import Ratio, Request
from tests.services.running import free_port


class Shop:
    """Counts deliveries. Reads answer as `how` says: `fresh`, `old rows`, which look new, `old position`, or `busy`."""

    def __init__(self, how: str) -> None:
        self.how, self.position, self.received = how, 0, dict[str, int]()
        self.tokens = list[str]()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                first, *lines = head.split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines if line)
                await reader.readexactly(int(headers.get("content-length", "0")))
                method, path, _ = first.split(" ")
                writer.write(self.answer(method, path.split("/")[2], headers.get("min-position")))
        except asyncio.IncompleteReadError:
            pass
        finally:
            writer.close()

    def answer(self, method: str, sku: str, token: str | None) -> bytes:
        status, position, body = 200, self.position, {"received": self.received.get(sku, 0)}
        if method == "POST":
            self.position += 1
            self.received[sku] = self.received.get(sku, 0) + 1
            status, position = 201, self.position
        elif token is not None:
            self.tokens.append(token)
            match self.how:
                case "old rows":
                    body = {"received": body["received"] - 1}
                case "old position":
                    position = int(token) - 1
                case "busy":
                    status = 503
                case _:
                    pass
        text = json.dumps(body)
        told = f"HTTP/1.1 {status} Told\r\nDaicho-Position: {position}\r\nX-Cache: HIT\r\n"
        return f"{told}Content-Length: {len(text)}\r\n\r\n{text}".encode()


@asynccontextmanager
async def shop(how: str) -> AsyncGenerator[tuple[Shop, str]]:
    found = Shop(how)
    server = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    async with server:
        yield found, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def driven(url: str, **options: Any) -> Counted:
    plan = Plan(reads=SHOP.reads, writes=SHOP.writes, counts=SHOP.counts, keys=3)
    ratio = Ratio(reads=3, writes=1)
    given = {"seconds": 600.0, "most": 200, "connections": 1, "fill": (0, 1), **options}
    return await call(Orders(url=url, plan=plan, ratio=ratio, **given))


async def test_what_is_answered_is_counted() -> None:
    async with shop("fresh") as (there, url):
        counted = await driven(url)
    assert len(counted.reads) + len(counted.writes) == 200
    assert 20 < len(counted.writes) < 80  # one in four, by chance that is the same each time
    assert sum(there.received.values()) == len(counted.writes) + 3, "and each key was written once before"
    assert (counted.stale, counted.refused, counted.failed) == (0, 0, 0)
    assert counted.with_token == len(there.tokens) > 0
    assert counted.hits == len(counted.reads)


@pytest.mark.parametrize("how", ["old rows", "old position"])
async def test_an_answer_that_is_older_than_its_token_is_found_out(how: str) -> None:
    async with shop(how) as (_, url):
        counted = await driven(url)
    assert counted.stale == counted.with_token > 0


async def test_a_server_that_says_that_it_is_not_as_far_is_not_stale_but_failed() -> None:
    async with shop("busy") as (_, url):
        counted = await driven(url)
    assert counted.stale == 0
    assert counted.refused == counted.failed == counted.with_token > 0
    assert counted.errors == {"503": counted.failed}


async def test_nobody_there_is_told() -> None:
    counted = await driven(f"http://127.0.0.1:{free_port()}", fill=None, most=3)
    assert counted.failed == 3
    assert counted.errors == {"ConnectionRefusedError": 3}


def test_figures_are_of_all_processes_together() -> None:
    one = Counted(seconds=2.0, reads=[0.001, 0.003], writes=[0.01], with_token=1, hits=1, failed=1, errors={"503": 1})
    two = Counted(seconds=1.0, reads=[0.002, 0.004], with_token=2, stale=1, errors={"503": 1, "500": 1})
    figures = Figures.of([one, two])
    assert (figures.reads, figures.writes, figures.reads_per_second) == (4, 1, 2.0)
    assert (figures.read_p50, figures.read_p99, figures.write_p99) == (3.0, 4.0, 10.0)
    assert (figures.with_token, figures.stale, figures.failed, figures.hit_rate) == (3, 1, 1, 0.25)
    assert figures.errors == {"503": 2, "500": 1}
    assert Figures.of([]).reads_per_second == 0


def test_requests_go_over_the_wire_as_they_should() -> None:
    read, write = Request.of("GET /stock/{key}"), Request.of('POST /stock/{key}/deliveries {"sku": "{key}"}')
    assert read.raw("h", "pen", "Min-Position: 3\r\n") == (
        b"GET /stock/pen HTTP/1.1\r\nHost: h\r\nAccept: application/json\r\nMin-Position: 3\r\n\r\n"
    )
    assert write.raw("h", "pen").endswith(b'Content-Length: 14\r\n\r\n{"sku": "pen"}')
    assert b"Content-Length: 0\r\n" in Request.of("DELETE /x/{key}").raw("h", "pen")


@pytest.mark.parametrize("text", ["", "a:b", "1:2:3", "0:0", "-1:1"])
def test_what_is_no_ratio_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError):
        Ratio.of(text)


@pytest.mark.parametrize(
    "words", [["--for", "0"], ["--rate", "-1"], ["--read", "GET /x"], ["--read", "x", "--write", "y"], ["--keys", "0"]]
)
def test_orders_that_make_no_sense_are_refused_before_anything_is_asked(words: list[str]) -> None:
    done = CliRunner().invoke(main, ["bench", f"http://127.0.0.1:{free_port()}", *words])
    assert done.exit_code == 2, done.output
