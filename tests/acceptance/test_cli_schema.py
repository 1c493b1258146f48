"""`daicho schema`: a release is held to what others have stored."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from daicho.cli import main

Run = Callable[..., Result]

APP = """
from collections.abc import Iterator
from daicho import Aggregate, App, Command, Event, apply, handle, upcast

class Join(Command):
    member: str
    name: str = "Ada Lovelace"

class Joined(Event, name="member.joined"{version}):
    member: str
    {fields}

class Member(Aggregate, category="member", key="member"):
    @handle
    def join(self, command: Join) -> Iterator[Joined]:
        yield Joined(member=command.member, {values})

    @apply
    def joined(self, event: Joined) -> None: ...

@upcast("member.joined", 1)
def split_name(data):
    first, last = data.pop("name").split(" ")
    return {{**data, "first": first, "last": last}}

app = App(Member, {more}store="sqlite:///members.db")
"""
FIRST = {"version": "", "fields": "name: str", "values": "name=command.name", "more": ""}
SECOND = {
    "version": ", version=2",
    "fields": "first: str\n    last: str",
    "values": "first='a', last='b'",
    "more": "split_name, ",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a verb on an app whose code may differ each time."""
    monkeypatch.chdir(tmp_path)
    count = 0

    def go(code: dict[str, str], *args: str, exit_code: int = 0) -> Result:
        nonlocal count
        count += 1
        name = f"members_{tmp_path.name.replace('-', '_')}_{count}"
        (tmp_path / f"{name}.py").write_text(APP.format(**code))
        result = CliRunner().invoke(main, ["--app", f"{name}:app", *args])
        assert result.exit_code == exit_code, (result.output, result.exception)
        return result

    return go


def test_what_is_locked_and_unchanged_is_well(run: Run, tmp_path: Path) -> None:
    assert "1 event types, 1 versions" in run(FIRST, "schema", "lock").stdout
    assert json.loads((tmp_path / "events.lock.json").read_text())["events"]["member.joined"]["1"]["samples"]
    assert "0 problems" in run(FIRST, "schema", "check").stdout
    before = (tmp_path / "events.lock.json").read_bytes()
    assert "nothing has changed" in run(FIRST, "schema", "lock").stdout
    assert (tmp_path / "events.lock.json").read_bytes() == before


def test_a_field_with_a_default_is_to_be_locked_and_nothing_else(run: Run) -> None:
    run(FIRST, "schema", "lock")
    wider = {**FIRST, "fields": "name: str\n    city: str = ''"}
    told = run(wider, "schema", "check", exit_code=1).stdout
    assert "old events can be read" in told
    assert "do: daicho schema lock" in told
    run(wider, "schema", "lock")
    assert "0 problems" in run(wider, "schema", "check").stdout


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ("name: int", "name: integer, was string"),
        ("pass", "the field name is gone"),
        ("name: str\n    city: str", "the field city is new and has no default"),
    ],
)
def test_a_released_version_does_not_change_its_shape(run: Run, tmp_path: Path, fields: str, told: str) -> None:
    run(FIRST, "schema", "lock")
    before = (tmp_path / "events.lock.json").read_bytes()
    changed = {**FIRST, "fields": fields}
    assert told in run(changed, "schema", "check", exit_code=1).stdout
    refused = run(changed, "schema", "lock", exit_code=1).stdout
    assert 'version=2`, and the app `@upcast("member.joined", 1)`' in refused
    assert (tmp_path / "events.lock.json").read_bytes() == before
    run(changed, "schema", "lock", "--force")
    assert "0 problems" in run(changed, "schema", "check").stdout


def test_an_old_version_must_come_through_its_upcasters(run: Run, tmp_path: Path) -> None:
    lock = tmp_path / "events.lock.json"
    run(FIRST, "schema", "lock")
    assert "cannot read it" in run({**SECOND, "more": ""}, "schema", "check", exit_code=1).stdout
    told = run(SECOND, "schema", "check", exit_code=1).stdout
    assert "sample 1 cannot be read: not enough values to unpack" in told  # "name-1" is no name and surname
    kept = json.loads(lock.read_text())
    kept["events"]["member.joined"]["1"]["samples"] = [{"member": "m-1", "name": "Natsume Soseki"}]
    lock.write_text(json.dumps(kept))
    run(SECOND, "schema", "lock")
    assert (
        "member.joined version 1: 1 samples read as Joined, through upcasters" in run(SECOND, "schema", "check").stdout
    )
    kept = json.loads(lock.read_text())["events"]["member.joined"]
    assert kept["1"]["samples"] == [{"member": "m-1", "name": "Natsume Soseki"}]
    assert set(kept) == {"1", "2"}


def test_what_is_stored_is_read_before_it_is_deployed(run: Run) -> None:
    for member, name in (("m-1", "Natsume Soseki"), ("m-2", "Plato")):
        run(FIRST, "send", "Join", "--set", f"member={member}", "--set", f"name={name}")
    assert "member.joined version 1: 2 read" in run(FIRST, "schema", "verify").stdout
    told = run(SECOND, "schema", "verify", "-o", "json", exit_code=1).stdout
    [found] = json.loads(told)["data"]["findings"]
    assert found["detail"].startswith(
        "1 of 2 cannot be read; the first: the stored member.joined version 1 at position 2"
    )
    assert "1 of 1 cannot be read" in run(SECOND, "schema", "verify", "--sample", "1", exit_code=1).stdout


def test_a_lock_that_is_none_is_named(run: Run, tmp_path: Path) -> None:
    assert "daicho schema lock" in run(FIRST, "schema", "check", exit_code=2).stderr
    (tmp_path / "events.lock.json").write_text("[]")
    assert "is not a lock of event schemas" in run(FIRST, "schema", "check", exit_code=2).stderr


def test_the_lock_is_where_the_settings_say(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAICHO_SCHEMA_LOCK", "shapes.json")
    assert "shapes.json: 1 event types" in run(FIRST, "schema", "lock").stdout
    assert not (tmp_path / "events.lock.json").exists()
    changed = {**FIRST, "fields": "pass"}
    assert "the field name is gone" in run(changed, "schema", "check", exit_code=1).stdout
    assert "the field name is gone" in run(changed, "check", exit_code=1).stdout
    assert "there is no lock at other.json" in run(FIRST, "schema", "check", "--file", "other.json", exit_code=2).stderr
