"""The stand-ins for MongoDB answer, keep what they say they keep, and are told of when they cannot be had."""

from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.services import mongodb
from tests.services.find import Unavailable, wanted
from tests.services.mongodb import FerretDB, JavaServer, MongoServer, drop_database, fresh_database
from tests.services.running import Host


@pytest.fixture(scope="module", params=[pytest.param(FerretDB, marks=pytest.mark.campaign), JavaServer])
def server(host: Host, request: pytest.FixtureRequest) -> MongoServer:
    with wanted():
        server: MongoServer = request.param(host)
        return server.start()


def client(server: MongoServer) -> pymongo.MongoClient[dict[str, Any]]:
    return pymongo.MongoClient(server.url, serverSelectionTimeoutMS=5000)


def test_a_fresh_database_is_empty_and_another_one_each_time(server: MongoServer) -> None:
    one, other = fresh_database(server), fresh_database(server)
    assert one != other
    with pymongo.MongoClient[dict[str, Any]](one) as asking:
        asking.get_default_database()["note"].insert_one({"_id": 1})
        drop_database(one)
        assert asking.get_default_database()["note"].find_one() is None


@pytest.mark.slow
def test_a_server_that_was_stopped_starts_again_with_what_it_acknowledged(server: MongoServer) -> None:
    with client(server) as asking:
        asking.app.note.insert_one({"_id": "stopped"})
    server.stop()
    server.start()
    with client(server) as asking:
        assert asking.app.note.find_one({"_id": "stopped"})


@pytest.mark.slow
def test_ferretdb_keeps_what_it_acknowledged_through_a_kill(server: MongoServer) -> None:
    if not isinstance(server, FerretDB):
        pytest.skip("mongo-java-server writes to its file once a second")
    with client(server) as asking:
        asking.app.note.insert_one({"_id": "killed"})
    server.kill()
    server.start()
    with client(server) as asking:
        assert asking.app.note.find_one({"_id": "killed"})


def test_a_server_that_cannot_be_built_is_told_of_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(folder: Path) -> None:
        mongodb.run(folder, 10, "sh", "-c", "echo no such module >&2; exit 1")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("DAICHO_SERVICES", "auto")
    with pytest.raises(Unavailable, match="failed: no such module"):
        mongodb.built("xyz", "example.org/xyz", broken)
    monkeypatch.setenv("DAICHO_SERVICES", "noinstall")
    with pytest.raises(Unavailable, match="xyz was not built yet"):
        mongodb.built("xyz", "example.org/xyz", broken)
    monkeypatch.setenv("DAICHO_SERVICES", "off")
    with pytest.raises(Unavailable, match="tests use no xyz"):
        mongodb.built("xyz", "example.org/xyz", broken)
    monkeypatch.setenv("DAICHO_SERVICES", "auto")
    mongodb.built("xyz", "example.org/xyz", lambda folder: (folder / "xyz").touch())
    assert (mongodb.built("xyz", "example.org/xyz", broken) / "xyz").exists()
