"""The meters of several services, asked twice."""

import json
import threading
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from daicho import BadAnswers, MeterUnavailable, NothingMeasured
from daicho.advisor.live import read_meters


@contextmanager
def services(answers: Sequence[Any]) -> Generator[str, None, None]:
    """A service that answers one after another of these: (reads, writes) of an order, a status, or a text."""
    left = list(answers)

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = left.pop(0)
            status = answer if isinstance(answer, int) else 200
            body = answer if isinstance(answer, str) else ""
            if isinstance(answer, tuple):
                reads, writes = answer
                body = json.dumps({"aggregates": [{"aggregate": "order", "reads": reads, "writes": writes}]})
            if self.path != "/look-to-book" or self.headers["Authorization"] != "Bearer key":
                status = 403
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None: ...

    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


async def test_two_looks_give_rates_and_all_processes_are_added_up() -> None:
    with services([(100, 10), (160, 13)]) as one, services([(5, 5), (25, 6)]) as other:
        usage = await read_meters([one, other], seconds=0.01, token="key")
    assert (usage.reads, usage.writes, usage.seconds) == ({"order": 80}, {"order": 4}, 0.01)


async def test_one_look_gives_a_ratio_and_no_rate() -> None:
    with services([(100, 10)]) as one:
        usage = await read_meters([f"{one}/look-to-book"], token="key")
    assert (usage.reads, usage.writes, usage.seconds) == ({"order": 100}, {"order": 10}, None)


@pytest.mark.parametrize(
    ("answers", "seconds", "says"),
    [
        ([(100, 10), (3, 1)], 0.01, "began anew"),
        ([503], 0, "answers 503"),
        (["<html>"], 0, "does not tell"),
        (['{"aggregates": [{"aggregate": 1}]}'], 0, "does not tell"),
    ],
)
async def test_what_cannot_be_measured_is_told(answers: list[Any], seconds: float, says: str) -> None:
    with services(answers) as one, pytest.raises(MeterUnavailable, match=says):
        await read_meters([one], seconds=seconds, token="key")


async def test_without_a_key_nothing_and_of_nothing_no_advice() -> None:
    with services([(1, 1)]) as one, pytest.raises(MeterUnavailable, match="answers 403") as refused:
        await read_meters([one])
    assert "metrics:read" in refused.value.do
    with services([(0, 0)]) as one, pytest.raises(NothingMeasured):
        await read_meters([one], token="key")
    with pytest.raises(BadAnswers):
        await read_meters(["localhost:8000"])
