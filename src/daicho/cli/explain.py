"""`daicho explain`: error codes."""

import inspect
from collections.abc import Iterator
from difflib import get_close_matches

import click

from daicho.cli.failure import exit_code
from daicho.cli.group import FreeVerb
from daicho.cli.output import Rows, output_option, print_record
from daicho.core.errors import DaichoError, NotFound

__all__ = ["explain"]


@click.command(cls=FreeVerb)
@click.argument("code", required=False)
@output_option
def explain(code: str | None, output: str) -> None:
    """What an error CODE (D120) or name (WiringError) means. Without one: all of them."""
    known = {error.code: error for error in _tree(DaichoError)}
    if code is None:
        rows = Rows(output, ("code", "name", "meaning"))
        for number, error in sorted(known.items()):
            rows.add({"code": number, "name": error.__name__, "meaning": _text(error).splitlines()[0]})
        rows.end()
        return
    names = {error.__name__.lower(): error for error in known.values()}
    found = known.get(code.upper()) or names.get(code.lower())
    if found is None:
        similar = get_close_matches(code.upper(), known, n=3) + get_close_matches(code.lower(), names, n=3)
        raise NotFound(
            f"there is no error {code!r}",
            do=f"did you mean {' or '.join(similar)}?" if similar else "`daicho explain` lists all of them",
        )
    family = [base.__name__ for base in reversed(found.__mro__) if issubclass(base, DaichoError)]
    record = {
        "code": found.code,
        "name": found.__name__,
        "family": " > ".join(family),
        "exit_code": exit_code(found),
        "meaning": _text(found),
    }
    print_record(output, record)


def _tree(error: type[DaichoError]) -> Iterator[type[DaichoError]]:
    yield error
    for below in error.__subclasses__():
        if below.__module__.startswith("daicho"):
            yield from _tree(below)


def _text(error: type[DaichoError]) -> str:
    return inspect.getdoc(error) or ""
