"""A trial of dead letters, as lines for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from daicho.cli.output import text_of
from daicho.core.plain import plain
from daicho.core.state_fields import changes
from daicho.read.trial import CommandTrial, RowChange, Trial

__all__ = ["trial_lines"]


def trial_lines(trial: Trial) -> Iterator[str]:
    for step in trial.steps:
        yield f"{step.number}  {step.type} at position {step.position}"
        for row in step.rows:
            yield from _row(row)
        for command in step.commands:
            yield from _command(command)
        if trial.shows == "acceptance" and step.error is None:
            yield "  the database takes the statements; which rows they change is not shown"
        if step.error is not None:
            yield f"  it raises {step.error}"
    if trial.error is None:
        yield "all of it would go through; nothing was changed"
    else:
        yield "it would stay parked, with what is behind it; nothing was changed"


def _row(row: RowChange) -> Iterator[str]:
    if row.after is None:
        yield f"  row {row.key}: " + ("there is none, and there would be none" if row.before is None else "deleted")
        return
    differences = changes(_fields(row.before), _fields(row.after))
    yield f"  row {row.key}" + (": new" if row.before is None else "" if differences else ": unchanged")
    for each in differences:
        before = "" if row.before is None else f"{text_of(each['before'])} -> "
        yield f"    {each['field']}: {before}{text_of(each['after'])}"


def _command(trial: CommandTrial) -> Iterator[str]:
    yield f"  {type(trial.command).__message_name__} {_told(_fields(trial.command))}"
    if trial.error is not None:
        yield f"    raises {trial.error}"
    elif trial.refused is not None:
        yield f"    refused: {trial.refused}"
    elif trial.duplicate:
        yield f"    handled before, on {trial.stream}"
    elif not trial.events:
        yield f"    nothing happens to {trial.stream}"
    for event in trial.events:
        yield f"    {type(event).__message_name__} on {trial.stream} {_told(_fields(event))}"


def _fields(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = {} if value is None else plain(value)
    return found


def _told(fields: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={text_of(value)}" for name, value in fields.items())
