"""`daicho failover`: what it prints, and what it does."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from daicho import App
from daicho.cli import main
from tests.faults.failing import PARTS, Pair, Pay
from tests.services.find import needed
from tests.services.running import Host


@pytest.fixture
def pair(host: Host) -> Iterator[Pair]:
    with needed():
        pair = Pair(host)
    yield pair
    pair.end()


def daicho(*arguments: str, says: int = 0) -> str:
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == says, (done.output, done.exception)
    return done.stdout


def data(text: str) -> Any:
    return json.loads(text)["data"]


def test_a_standby_is_looked_at_promoted_and_the_old_primary_is_left_read_only(pair: Pair) -> None:
    with App(*PARTS, store=pair.primary.url).sync() as app:
        app.send(Pay(account="ann", amount=1))
        app.settle()
    old, new = pair.primary.url, pair.standby.url
    shown = daicho("--store", old, "failover", "check", "--standby", new, says=1)
    assert "asynchronous" in shown
    assert "can be made read-only" in shown
    found = data(daicho("--store", old, "failover", "check", "--standby", new, "-o", "json", says=1))
    assert (found["primary"]["role"], found["standbys"][0]["role"]) == ("primary", "standby")
    assert found["best"] == found["standbys"][0]["url"]

    refused = CliRunner().invoke(main, ("--store", old, "failover", "promote", "--standby", new), input="n\n")
    assert refused.exit_code == 1
    done = data(daicho("--store", old, "failover", "promote", "--standby", new, "--yes", "-o", "json"))

    assert (done["epoch"], done["events_lost"], done["fencing"]) == (1, 0, "done")
    with psycopg.connect(old) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create table anything ()")
    daicho("--store", new, "failover", "orphans")
    again = CliRunner().invoke(main, ("--store", old, "failover", "promote", "--standby", new, "--yes"))
    assert again.exit_code != 0
    assert "D813" in again.stderr
    assert "is no standby" in again.stderr
    assert data(daicho("--store", old, "failover", "lost", "--old", old, "-o", "json")) == []
