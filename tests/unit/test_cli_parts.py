"""The pieces of the command line that need no store."""

import gzip
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from click.testing import CliRunner

from daicho import Command, ConfigurationError, InvalidMessage
from daicho.cli import main
from daicho.cli.exporting import _target
from daicho.cli.failure import exit_code, wants_json
from daicho.cli.mermaid import sequence_diagram
from daicho.cli.moments import moment, point
from daicho.cli.output import aligned, text_of
from daicho.cli.trace import tree_lines
from daicho.cli.typed import message_from
from daicho.core import errors
from daicho.core.plain import plain
from daicho.core.state_fields import changes, state_fields
from daicho.core.stored import StoredEvent
from daicho.leaving.exchange import Format, line_reader, line_writer
from daicho.read.history import Trace, TraceNode
from daicho.schemas.shapes import example, fields_of
from daicho.settings import Settings
from tests.cli_app import Order, PlaceOrder

ID = "018f4c9e-7a34-7cc1-8f2e-5d1b0a9c6e11"


def test_a_time_without_an_offset_is_utc_and_an_age_counts_back() -> None:
    assert moment("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)
    assert moment("2026-01-31T12:00+09:00") == datetime(2026, 1, 31, 3, tzinfo=UTC)
    assert timedelta(minutes=89) < datetime.now(UTC) - moment("1.5h") < timedelta(minutes=91)
    assert point("17") == 17
    for wrong in ("yesterday", "99999999999999w", "12:00"):
        with pytest.raises(click.BadParameter, match="is not a time"):
            moment(wrong)


def test_later_settings_win_and_say_where_they_came_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DAICHO_APP", raising=False)
    assert Settings().origin("app") == (None, "not set")
    Path("pyproject.toml").write_text('[tool.daicho]\napp = "a:b"\n[tool.other]\nx = 1\n')
    assert Settings().origin("app") == ("a:b", "file (pyproject.toml [tool.daicho])")
    Path("daicho.toml").write_text('app = "c:d"\nstore = "sqlite:///c.db"\n')
    assert Settings().origin("app") == ("c:d", "file (daicho.toml)")
    monkeypatch.setenv("DAICHO_APP", "e:f")
    settings = Settings()
    assert settings.origin("app") == ("e:f", "environment (DAICHO_APP)")
    settings.give("app", "")
    assert settings.origin("app") == ("", "command line (--app)")
    assert settings.get("app") is None, "an empty one does without"


@pytest.mark.parametrize("text", ["app = 3", "app = ", b"\xff\xfe"])
def test_a_broken_settings_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | bytes) -> None:
    monkeypatch.chdir(tmp_path)
    Path("daicho.toml").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ConfigurationError, match=r"daicho\.toml"):
        Settings().get("store")


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("daicho.toml", 'stor = "memory:"', "did you mean `store`?"),
        ("daicho.toml", 'read_from = "x"', "did you mean `read-from`?"),
        ("daicho.toml", "[server]\nport = 1", "take it out; there are app, store"),
        ("pyproject.toml", '[tool.daicho]\nstor = "memory:"', "did you mean `store`?"),
    ],
)
def test_a_setting_that_there_is_not_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str, text: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).write_text(text)
    with pytest.raises(ConfigurationError, match=file.replace(".", r"\.")) as refused:
        Settings().check()
    assert says in refused.value.do


def test_variables_that_begin_as_ours_do_are_told_and_not_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DAICHO_")]:
        monkeypatch.delenv(name)
    for name in ("DAICHO_STOR", "DAICHO_SERVICE_HOST", "DAICHO_MASTER_KEY", "DAICHO_READ_FROM"):
        monkeypatch.setenv(name, "x")
    Settings().check()
    assert [(each.name, each.meant) for each in Settings().unknown_in_environment()] == [
        ("DAICHO_SERVICE_HOST", ""),
        ("DAICHO_STOR", "DAICHO_STORE"),
    ]


def test_fields_come_from_data_and_from_set_as_their_types_want_them() -> None:
    found = message_from(
        PlaceOrder,
        '{"order_id": "o-1", "sku": "pen"}',
        ("quantity=3", "sku=007", "price=9.90", "ship_to.city=Kyoto", 'notes=["a","b"]'),
    )
    assert (found.sku, found.quantity, found.price, found.notes) == ("007", 3, Decimal("9.90"), ("a", "b"))
    assert found.ship_to is not None
    assert found.ship_to.city == "Kyoto"


@pytest.mark.parametrize(
    ("data", "given", "path"),
    [
        ('{"order_id": 1, "sku": "x", "quantity": 1}', (), "$.order_id"),
        ('{"order_id": "o", "sku": "x", "quantity": 0}', (), "$.quantity"),
        ('{"order_id": "o", "sku": "x"}', (), "$"),
        ('{"order_id": "o", "sku": "x", "quantity": 1, "colour": "red"}', (), "$"),
        (None, ("quantity=many",), "$.quantity"),
        (None, ("quantity",), "quantity"),
        ('{"sku": "x"}', ("sku.size=3",), "$.sku.size"),
        (None, ("order_id=o", "sku=x", "quantity=1", "colour=red"), "$"),
        ("[1]", ("sku=x",), "$"),
        ("not json", (), "$"),
        ("@/nowhere/at/all.json", (), None),
    ],
)
def test_a_wrong_field_is_named(data: str | None, given: tuple[str, ...], path: str | None) -> None:
    with pytest.raises(InvalidMessage) as caught:
        message_from(PlaceOrder, data, given)
    assert caught.value.data.get("path") == path


def test_data_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "order.json"
    file.write_text('{"order_id": "o-1", "sku": "pen", "quantity": 2}')
    assert message_from(PlaceOrder, f"@{file}", ()).quantity == 2


def test_fields_are_told_in_words_and_the_example_is_accepted() -> None:
    told = {field["field"]: (field["type"], field["default"]) for field in fields_of(PlaceOrder)}
    assert told == {
        "order_id": ("text", "(required)"),
        "sku": ("text", "(required)"),
        "quantity": ("integer > 0", "(required)"),
        "price": ("decimal", '"1.50"'),
        "ship_to": ("Address | null", "null"),
        "notes": ("list of text", "[]"),
    }
    assert msgspec.convert(example(PlaceOrder), PlaceOrder).quantity == 1


def test_the_example_of_any_shape_is_accepted() -> None:
    class Odd(Command):
        at: datetime
        ratio: float
        pairs: dict[str, int]
        deep: list[list[int]]
        choice: int | str
        seen: list[datetime | None]
        nothing: None = None

    assert isinstance(msgspec.convert(example(Odd), Odd).at, datetime)


def test_a_state_shows_every_field_and_a_difference_every_leaf() -> None:
    order = Order()
    assert state_fields(order) == {"status": "absent", "lines": []}
    before = {"status": "placed", "lines": [{"sku": "pen", "quantity": 1}]}
    after = {"status": "placed", "lines": [{"sku": "pen", "quantity": 2}, {"sku": "ink"}], "by": None}
    assert changes(before, after) == [
        {"field": "lines[0].quantity", "before": 1, "after": 2},
        {"field": "lines[1].sku", "before": None, "after": "ink"},
        {"field": "by", "before": None, "after": None},
    ]


def _stored(data: bytes, **changed: Any) -> StoredEvent:
    values: dict[str, Any] = {
        "position": 7,
        "stream": "order-ö 1",
        "version": 2,
        "type": "order.placed",
        "schema_version": 3,
        "event_id": ID,
        "occurred_at": "2011-12-09T12:50:00.000000+00:00",
        "recorded_at": "2026-01-31T12:00:00.000001+00:00",
        "actor": "ada",
        "tenant": None,
        "correlation_id": ID,
        "causation_id": ID,
        "tags": ("sku:pen", 'sku:"q"'),
        "metadata": b'{"command":"Place\\u00e9"}',
        "data": data,
    }
    return StoredEvent(**{**values, **changed})


@pytest.mark.parametrize("form", ["jsonl", "cloudevents"])
@pytest.mark.parametrize("data", [b'{"a":  1.50,"b":"\\u00e9"}', b"{}", b"\x81\xa1a\x01", b'{\n"a": 1}'])
def test_an_event_comes_back_byte_by_byte(form: Format, data: bytes) -> None:
    stored = _stored(data)
    line = line_writer(form)(stored)
    assert b"\n" not in line
    placed = line_reader(1, line)
    event = placed.event
    assert (placed.stream, placed.version) == (stored.stream, stored.version)
    for name in event.__struct_fields__:
        assert getattr(event, name) == getattr(stored, name), name


def test_a_cloud_event_has_only_attributes_that_cloud_events_allow() -> None:
    attributes = msgspec.json.decode(line_writer("cloudevents")(_stored(b"{}")))
    assert attributes["specversion"] == "1.0"
    for name, value in attributes.items():
        if name not in ("data", "data_base64"):
            assert name.isalnum()
            assert name == name.lower()
            assert isinstance(value, str | int)


@pytest.mark.parametrize(
    "change",
    [
        {"event_id": "no"},
        {"version": 0},
        {"stream": ""},
        {"occurred_at": "2011-12-09T12:50:00"},
        {"occurred_at": "then"},
        {"data": [1]},
        {"metadata": [1], "data_base64": "!"},
    ],
)
def test_a_damaged_line_is_named(change: dict[str, Any]) -> None:
    line = {**msgspec.json.decode(line_writer("jsonl")(_stored(b"{}"))), **change}
    if "data_base64" in change:
        del line["data"]
    with pytest.raises(InvalidMessage):
        line_reader(12, msgspec.json.encode(line))


def _flow() -> Trace:
    def at(ms: int) -> str:
        return f"2026-01-31T12:00:00.{ms:03}000+00:00"

    refused = TraceNode(
        kind="command", name="Reserve", id="c", at=at(9), handler="keep", outcome="rejected", reason="no; never #1"
    )
    event = TraceNode(
        kind="event", name="order.placed", id="b", stream="order-1", version=1, position=4, at=at(2), children=[refused]
    )
    root = TraceNode(kind="command", name="Place", id="a", stream="order-1", actor="ada", at=at(1), children=[event])
    return Trace(correlation_id="a", roots=[root], events=1, commands=2, seconds=0.001)


def test_a_trace_is_a_tree_with_times() -> None:
    assert tree_lines(_flow()) == [
        "flow a  2 commands, 1 event, 1.0 ms",
        "     +0.0 ms  Place  by ada",
        "     +1.0 ms  └─ order.placed  order-1 v1 @4",
        "     +8.0 ms     └─ ✗ Reserve  (keep)  rejected: no; never #1",
    ]


def test_a_trace_is_a_sequence_diagram() -> None:
    assert sequence_diagram(_flow()).splitlines() == [
        "sequenceDiagram",
        "    actor a0 as ada",
        "    participant p1 as order-1",
        "    participant p2 as keep",
        "    participant p3 as (refused)",
        "    a0->>p1: Place",
        "    Note over p1: order.placed v1",
        "    p1-->>p2: order.placed",
        "    p2->>p3: Reserve",
        "    p3--xp2: rejected: no#59; never #35;1",
    ]


def test_cells() -> None:
    assert text_of("2026-01-31T12:00:00Z") == "2026-01-31 12:00:00Z", "a deadline"
    assert [text_of(v) for v in (None, True, 0, 1.5, ["a", "b"], {"a": 1}, [], "2026-01-31T12:00:00.123456+00:00")] == [
        "", "yes", "0", "1.500", "a, b", '{"a":1}', "", "2026-01-31 12:00:00.123Z",
    ]  # fmt: skip
    assert aligned([["a", "bb"], ["ccc", "d"]]) == ["a    bb", "ccc  d"]
    assert plain({1: Decimal("1.5"), "o": Order()}) == {"1": "1.5", "o": {"lines": []}}


def test_every_error_has_a_place_in_the_exit_codes() -> None:
    expected = {
        "Rejected": 1, "InvalidMessage": 2, "UnknownMessage": 2, "BadUrl": 2, "WiringError": 2, "ConcurrencyError": 4,
        "StoreCorrupt": 3, "ForeignStore": 3, "UnknownEventType": 3, "NotParked": 1, "StaleAnswer": 1,
    }  # fmt: skip
    assert {name: exit_code(getattr(errors, name)) for name in expected} == expected


def test_json_is_recognised_before_anything_is_parsed() -> None:
    assert all(map(wants_json, (["-o", "json"], ["-ojsonl"], ["--output=json"], ["x", "--output", "jsonl"])))
    assert not any(map(wants_json, ([], ["-o"], ["-o", "csv"], ["json"], ["--other", "json"])))


@pytest.mark.parametrize("error", sorted(errors.__all__))
def test_every_error_is_explained(error: str) -> None:
    result = CliRunner().invoke(main, ["explain", getattr(errors, error).code])
    assert result.exit_code == 0
    assert error in result.stdout


def test_explain_knows_names_lists_all_and_suggests() -> None:
    assert "D120" in CliRunner().invoke(main, ["explain", "wiringerror"]).stdout
    assert len(CliRunner().invoke(main, ["explain"]).stdout.splitlines()) > len(errors.__all__)
    wrong = CliRunner().invoke(main, ["explain", "D12O"])
    assert wrong.exit_code == 1
    assert "did you mean D" in wrong.stderr


@pytest.mark.parametrize("verb", main.list_commands(click.Context(main)))
def test_every_verb_has_help(verb: str) -> None:
    result = CliRunner().invoke(main, [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("Usage: daicho") or "Usage:" in result.stdout
    command = main.get_command(click.Context(main), verb)
    assert command is not None
    assert command.help


DOCUMENTS = {"openapi", "asyncapi", "migrate sql"}
UNTIL_ENDED = {"run", "dev", "shell"}


def verbs(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    if not isinstance(command, click.Group):
        yield " ".join(path), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        within = command.get_command(context, name)
        assert within is not None
        yield from verbs(within, (*path, name))


def test_every_verb_prints_for_people_and_for_programs() -> None:
    """But for those that print a document as it is, or serve until they are ended."""
    only_for_people = {
        name
        for name, verb in verbs(main)
        if not any(param.name == "output" and "--output" in param.opts for param in verb.params)
    }
    assert only_for_people == DOCUMENTS | UNTIL_ENDED


def test_gzip_is_written_the_same_every_time(tmp_path: Path) -> None:
    """No name and no time inside: two exports of one history are one file."""
    for name in ("a.gz", "b.gz"):
        with _target(str(tmp_path / name)) as out:
            out.write(b"x\n")
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert gzip.decompress((tmp_path / "a.gz").read_bytes()) == b"x\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.gz", "b.gz"]
