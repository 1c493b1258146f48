"""`daicho run` and `daicho key`, as processes and people use them."""

import json
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from daicho.cli import main
from tests.serving import served

ORDER = {"order_id": "o-1", "sku": "pen", "quantity": 1}


def said(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(main, list(words))
    return done.exit_code, done.output + (done.stderr or "")


def client(url: str) -> httpx.Client:
    return httpx.Client(base_url=url, trust_env=False, timeout=20)


@pytest.mark.slow
def test_three_roles_on_one_store_are_one_application(tmp_path: Path) -> None:
    store = ("--store", f"sqlite:///{tmp_path / 'shop.db'}")
    with ExitStack() as stack:
        # commands first: what reacts to them is there later, and misses nothing
        command = stack.enter_context(served("command", *store))
        writing = stack.enter_context(client(command.url))
        created = writing.post("/orders", json=ORDER)
        assert created.status_code == 201
        projector, query = (stack.enter_context(served(role, *store)) for role in ("projector", "query"))
        reading, looking = (stack.enter_context(client(each.url)) for each in (query, projector))
        for _ in range(100):
            rows = reading.get("/orders?status=rejected", headers={"Min-Position": "3", "Prefer": "wait=5"})
            if rows.status_code == 200:
                break
        assert [row["order_id"] for row in rows.json()] == ["o-1"]
        # each does what it is for, and says so
        assert writing.get("/orders?status=rejected").json()["code"] == "D705"
        assert reading.post("/orders", json=ORDER).json()["code"] == "D705"
        assert looking.get("/orders?status=rejected").status_code == 404
        for each in (writing, reading, looking):
            assert each.get("/readyz").status_code == 200
            assert each.get("/startupz").json() == {"status": "ok"}
        assert "daicho_store_up 1.0" in looking.get("/metrics").text
        assert [server.terminate() for server in (command, projector, query)] == [0, 0, 0]


@pytest.mark.slow
def test_a_connection_that_sends_its_headers_byte_by_byte_is_closed(tmp_path: Path) -> None:
    with served("--store", f"sqlite:///{tmp_path / 'shop.db'}", "--headers-within", "0.3") as server:
        host, port = server.url.removeprefix("http://").split(":")
        with closing(socket.create_connection((host, int(port)), timeout=10)) as slow:
            slow.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-")
            answer = b""
            while chunk := slow.recv(4096):
                answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert len(body) == int(dict(line.split(b": ") for line in head.split(b"\r\n")[1:])[b"content-length"])
        assert json.loads(body)["status"] == 408
        with closing(socket.create_connection((host, int(port)), timeout=10)) as silent:
            assert silent.recv(4096).startswith(b"HTTP/1.1 408 ")
        with client(server.url) as patient:
            assert patient.get("/livez").status_code == 200


@pytest.mark.slow
def test_a_socket_file_serves_this_machine_and_is_gone_afterwards(tmp_path: Path) -> None:
    place = tmp_path / "s"
    with served("--store", f"sqlite:///{tmp_path / 'shop.db'}", "--uds", str(place)) as server:
        with httpx.Client(transport=httpx.HTTPTransport(uds=str(place)), base_url="http://x") as local:
            assert local.get("/livez").json() == {"status": "ok"}
        assert server.terminate() == 0
    assert not place.exists()


@pytest.mark.slow
def test_keys_made_on_the_command_line_open_the_door_until_they_are_revoked(tmp_path: Path) -> None:
    keys = tmp_path / "keys.json"
    made = json.loads(_run("key", "create", "robot", "--keys", keys, "--scope", "letters:write", "-o", "json"))
    key, prefix = made["data"]["key"], made["data"]["prefix"]
    with (
        served(
            *("--host", "0.0.0.0", "--keys", str(keys), "--store", _at(tmp_path)), app="tests.letters_app:office"
        ) as server,
        client(server.url.replace("0.0.0.0", "127.0.0.1")) as caller,
    ):
        letter = {"letter_id": "l1", "box": "in"}
        assert caller.post("/letters", json=letter).status_code == 401
        assert caller.post("/letters", json=letter, headers={"X-API-Key": key}).status_code == 201
        _run("key", "revoke", prefix, "--keys", keys)
        refused = caller.post("/letters", json=letter, headers={"X-API-Key": key})
        assert (refused.status_code, refused.json()["detail"]) == (401, "the key was revoked")
    (listed,) = json.loads(_run("key", "list", "--keys", keys, "-o", "json"))["data"]
    assert (listed["name"], listed["state"]) == ("robot", "revoked")
    assert key not in keys.read_text()


def _at(folder: Path) -> str:
    return f"sqlite:///{folder / 'office.db'}"


def _run(*words: Any) -> str:
    code, output = said(*map(str, words))
    assert code == 0, output
    return output


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["--host", "0.0.0.0"], 2, "D725"),
        (["--port", "many"], 2, "D130"),
        (["--keys", "/nowhere/keys.json"], 2, "there are no keys"),
        (["--uds", "/nowhere/socket"], 2, "cannot listen"),
        (["boss"], 2, "boss"),
    ],
)
def test_what_cannot_be_served_is_told_before_anything_begins(words: Sequence[str], code: int, told: str) -> None:
    ended, output = said("--app", "examples.quickstart:shop", "run", *words)
    assert ended == code, output
    assert told in output


def test_settings_of_the_server_come_from_file_environment_and_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("daicho.toml").write_text('port = 9000\nworkers = 3\ninsecure = true\nrate = "50/s"\n')
    monkeypatch.setenv("DAICHO_PORT", "9001")
    told = CliRunner().invoke(main, ["config", "--origin", "-o", "json"]).stdout  # what it does not know is on stderr
    rows = {row["setting"]: row for row in json.loads(told)["data"]}
    assert (rows["port"]["value"], rows["port"]["origin"]) == ("9001", "environment (DAICHO_PORT)")
    assert (rows["workers"]["value"], rows["workers"]["origin"]) == ("3", "file (daicho.toml)")
    assert (rows["insecure"]["value"], rows["rate"]["value"]) == ("true", "50/s")


@pytest.mark.parametrize("span", ["90", "d", "90y", "-1d"])
def test_a_span_that_is_none_makes_no_key(span: str, tmp_path: Path) -> None:
    code, output = said("key", "create", "robot", "--keys", str(tmp_path / "k.json"), "--expires", span)
    assert code == 2
    assert "no span" in output or "No such option" in output
    assert not (tmp_path / "k.json").exists()
