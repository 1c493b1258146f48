"""A real edge cache in front of a real server: right after a write, and untouched where nothing was written."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest

from daicho import App, EdgeUnavailable
from daicho.adapters.edge.http import HttpPurger
from daicho.core.surrogates import changed_keys, read_keys
from tests.letters_app import LetterRow, MoveLetter, WriteLetter, office
from tests.services.find import needed
from tests.services.running import Host, free_port
from tests.services.varnish import Varnish
from tests.serving import served

_JSON = {"Accept": "application/json"}
BOXES = ("in", "out", "spam")


def edged() -> App:
    """What is served: the purger's URL comes by the environment of the test, as a file beside the store."""
    place = Path(os.environ["OFFICE_EDGE"])
    return office("sqlite:///office.db", tenancy=False, edge=place.read_text())


@contextmanager
def edge(host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[httpx.Client, httpx.Client]]:
    """The cache, and the server behind it."""
    port = free_port()
    with needed():
        varnish = Varnish(host, port)
    varnish.start()
    (folder / "edge").write_text(varnish.url.replace("http://", "varnish://"))
    monkeypatch.setenv("OFFICE_EDGE", str(folder / "edge"))
    store = ("--store", f"sqlite:///{folder / 'office.db'}")
    try:
        with (
            served("--port", str(port), *store, app="tests.acceptance.test_edge:edged") as server,
            httpx.Client(base_url=varnish.url, trust_env=False, timeout=20) as near,
            httpx.Client(base_url=server.url, trust_env=False, timeout=20) as origin,
        ):
            yield near, origin
    finally:
        varnish.stop()


def met(condition: Callable[[], Any], seconds: float = 15) -> Any:
    """What it comes to, as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


@pytest.mark.slow
def test_after_a_write_its_answers_are_fresh_and_the_others_stay(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with edge(host, tmp_path, monkeypatch) as (near, origin):

        def ask(path: str, **headers: str) -> tuple[str, Any]:
            answer = near.get(path, headers={"Accept": "application/json", **headers})
            assert answer.status_code == 200, answer.text
            return answer.headers["x-cache"], answer.json()

        def told() -> bool:
            text = origin.get("/metrics").text
            return "daicho_edge_keys_waiting 0.0" in text and "daicho_edge_keys_purged_total 0.0" not in text

        def send(command: WriteLetter | MoveLetter) -> str:
            return asyncio.run(sent(f"sqlite:///{tmp_path / 'office.db'}", command))

        for n, box in enumerate(BOXES):
            position = send(WriteLetter(letter_id=f"l{n}", box=box))
        ask("/letters/l0", **{"Min-Position": position})
        met(told)
        paths = [*(f"/queries/LettersIn?box={box}" for box in BOXES), "/letters/l0", "/letters/l1", "/letters/l2"]
        # kept for long: what was on its way while something was purged is kept for a second only
        met(lambda: min(int(near.get(path, headers=_JSON).headers["age"]) for path in paths) >= 2)
        assert [ask(path)[0] for path in paths] == ["HIT"] * len(paths)

        position = send(MoveLetter(letter_id="l0", box="out"))
        # whoever wrote sees it at once, whatever the cache has
        assert [row["letter_id"] for row in ask(paths[1], **{"Min-Position": position})[1]] == ["l0", "l1"]
        # all others as soon as the purge has come; what it does not concern was not fetched again
        met(lambda: ask(paths[1])[1] != [{"letter_id": "l1", "box": "out", "tenant": None}])
        met(lambda: ask("/letters/l0")[1]["box"] == "out")
        assert ask(paths[0])[1] == []
        assert [ask(path)[0] for path in (paths[2], "/letters/l1", "/letters/l2")] == ["HIT"] * 3


async def sent(store: str, command: WriteLetter | MoveLetter) -> str:
    """Written by another process, as far as the server can tell; the position."""
    app = office(store, tenancy=False)
    await app.start(processors=False)
    try:
        return str(int((await app.send(command)).position))
    finally:
        await app.stop()


ROW = LetterRow(letter_id="l1", box="in")


@pytest.mark.parametrize(
    ("keys", "equals", "is_purged"),
    [
        (None, None, True),
        (None, {"box": "in"}, True),
        (None, {"box": "out"}, True),
        (None, {"box": "spam"}, False),
        (None, {"tenant": "red"}, True),  # no index: it depends on all
        (["l1"], None, True),
        (["l2"], None, False),
        (["l2", "l1"], None, True),
        ([f"x{n}" for n in range(100)], None, True),  # too many to name
    ],
)
def test_an_answer_carries_a_key_that_a_change_purges_if_the_change_concerns_it(
    keys: list[str] | None, equals: dict[str, object] | None, is_purged: bool
) -> None:
    carried = read_keys("letters", ("box",), keys, equals)
    moved = changed_keys("letters", ("box",), "l1", ROW, LetterRow(letter_id="l1", box="out"))
    assert bool(carried & moved) is is_purged


def test_keys_fit_into_a_header_whatever_rows_are_called() -> None:
    for name in ("a b", "a,b", 'a"b', "a\r\nSet-Cookie: x", "雨", "x" * 5000, ""):
        for key in changed_keys("letters", ("box",), name, LetterRow(letter_id=name, box=name)):
            assert key.isascii()
            assert key.isprintable()
            assert not set(key) & set(' ,"')
            assert len(key) < 100


class Refusing:
    """A cache that is away for a while."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.taken, self.is_closed = failures, error, list[str](), False

    async def purge(self, keys: Any) -> None:
        if self.failures:
            self.failures -= 1
            raise self.error
        self.taken += keys

    async def close(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("error", [EdgeUnavailable("away"), RuntimeError("a mistake of whoever wrote the cache")])
async def test_a_purge_that_fails_is_tried_again_and_told(error: Exception) -> None:
    cache = Refusing(failures=2, error=error)
    app = office(tenancy=False, edge=cache)
    async with app:
        await app.send(WriteLetter(letter_id="l1", box="in"))
        await app.settle()
        lag = app.purge_lag()
        assert lag is not None
        assert lag.waiting > 0 or lag.purged > 0
    assert {"letters", "letters/l1", "letters?box=in"} <= set(cache.taken)
    assert cache.is_closed
    assert cache.failures == 0


async def test_a_cache_that_cannot_be_reached_raises_what_it_should() -> None:
    purger = HttpPurger(f"http://127.0.0.1:{free_port()}/purge")
    with pytest.raises(EdgeUnavailable, match="cannot be reached"):
        await purger.purge(["letters"])
    await purger.close()


class Origin:
    """Answers each address with how often it was asked, and the first time not before it may."""

    def __init__(self) -> None:
        self.asked, self.reached, self.may = dict[str, int](), threading.Event(), threading.Event()
        origin = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                body = str(origin.ask(self.path)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Cache-Control", "public, s-maxage=3600")
                self.send_header("Surrogate-Key", self.path.strip("/"))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self._serving = threading.Thread(target=self.server.serve_forever, daemon=True)
        self._serving.start()

    def ask(self, path: str) -> int:
        self.asked[path] = count = self.asked.get(path, 0) + 1
        if path == "/slow" and count == 1:
            self.reached.set()
            assert self.may.wait(60)
        return count

    def close(self) -> None:
        self.server.shutdown()
        self._serving.join()
        self.server.server_close()


@pytest.mark.slow
def test_an_answer_that_was_on_its_way_while_something_was_purged_is_not_kept(host: Host) -> None:
    origin = Origin()
    with needed():
        varnish = Varnish(host, origin.server.server_port)
    varnish.start()
    try:
        with httpx.Client(base_url=varnish.url, trust_env=False, timeout=60) as near:
            answers = list[str]()
            caller = threading.Thread(target=lambda: answers.append(httpx.get(f"{varnish.url}/slow", timeout=60).text))
            caller.start()
            assert origin.reached.wait(60)
            # what it is made of changes now, and its key is purged before it is there
            assert near.request("PURGE", "/", headers={"xkey-purge": "slow"}).status_code == 200
            origin.may.set()
            caller.join()
            assert answers == ["1"]
            assert met(lambda: near.get("/slow").text == "2", 60)
            assert [near.get("/calm").text for _ in range(3)] == ["1"] * 3
            assert near.get("/calm").headers["x-cache"] == "HIT"
    finally:
        varnish.stop()
        origin.close()
