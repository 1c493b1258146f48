"""`daicho forget`, `whoami` and `personal`, as they are typed."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from daicho.cli import main
from tests.people_app import Customer, Register, people

Run = Callable[..., Result]


@pytest.fixture
def place(tmp_path: Path) -> tuple[str, str]:
    return f"sqlite:///{tmp_path}/people.db?durability=relaxed", f"sqlite:///{tmp_path}/keys.db"


@pytest.fixture
def run(place: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """On a store with two customers."""
    monkeypatch.setenv("PEOPLE_KEYS", place[1])

    async def fill() -> None:
        async with people(*place) as app:
            await app.send(Register(customer_id="c-1", name="Ann Archer", email="ann@archer.example"))
            await app.send(Register(customer_id="c-2", name="Bob Baker", email="bob@baker.example"))
            await app.settle()

    asyncio.run(fill())
    options = ["--app", "tests.people_app:office", "--store", place[0]]
    return lambda *words, **more: CliRunner().invoke(main, [*options, *words], **more)


def data(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["data"]


def name_of(place: tuple[str, str], customer: str) -> str:
    async def look() -> str:
        async with people(*place) as app:
            return (await app.load(Customer, customer)).name

    return asyncio.run(look())


def test_forgetting_is_looked_at_asked_for_and_certified(run: Run, place: tuple[str, str]) -> None:
    looked = data(run("forget", "c-1", "--dry-run", "-o", "json"))
    assert (looked["state"], looked["events"], looked["streams"]) == ("known", 1, ["customer-c-1"])
    refused = run("forget", "c-1", input="n\n")
    assert refused.exit_code == 1
    assert "1 event of 1 stream will" in refused.output
    assert name_of(place, "c-1") == "Ann Archer"
    done = run("forget", "c-1", "--reason", "she asked", "--by", "eve", "-o", "json", input="y\n")
    assert done.exit_code == 0, done.output
    certificate = json.loads(done.stdout[done.stdout.index('{"version"') :])["data"]
    assert (certificate["subject"], certificate["forgotten_by"], certificate["complete"]) == ("c-1", "eve", True)
    assert name_of(place, "c-1") == "[forgotten]"
    assert name_of(place, "c-2") == "Bob Baker"
    (kept,) = data(run("personal", "certificates", "-o", "json"))
    assert kept == certificate


def test_whoami_prints_what_is_stored_or_who_the_user_is(run: Run, place: tuple[str, str]) -> None:
    (event,) = data(run("whoami", "c-2", "-o", "json"))
    assert (event["type"], event["data"]["name"]) == ("customer.registered", "Bob Baker")
    assert "nothing is stored about c-9" in run("whoami", "c-9").output
    told = data(run("whoami", "-o", "json"))
    assert (told["store"], told["keys_for_personal_data"]) == (place[0], "yes")


def test_a_hold_refuses_and_somebody_unknown_is_not_forgotten(run: Run) -> None:
    data(run("personal", "hold", "c-1", "--reason", "lawsuit", "--by", "legal", "-o", "json"))
    assert [hold["subject"] for hold in data(run("personal", "holds", "-o", "json"))] == ["c-1"]
    refused = run("forget", "c-1", "--yes")
    assert refused.exit_code == 1
    assert "held by legal: lawsuit" in refused.output
    assert run("personal", "release", "c-1").exit_code == 0
    unknown = run("forget", "c-9", "--yes")
    assert unknown.exit_code == 1
    assert "nothing is known of 'c-9'" in unknown.output


def test_looking_with_the_app_shows_the_data_and_without_it_the_placeholders(run: Run, place: tuple[str, str]) -> None:
    with_app = run("get", "events", "--stream", "customer-c-2", "-o", "json")
    assert "Bob Baker" in with_app.stdout
    without = CliRunner().invoke(main, ["--store", place[0], "get", "events", "--stream", "customer-c-2", "-o", "json"])
    assert without.exit_code == 0
    assert "Bob Baker" not in without.stdout
    assert "[forgotten]" in without.stdout
