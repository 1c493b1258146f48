"""Findings, as `doctor`, `check` and `schema` print them."""

from collections.abc import Sequence

import click

from daicho.cli.output import Rows, envelope, paint
from daicho.core.plain import plain
from daicho.ports.storage import Finding

__all__ = ["print_findings"]


def print_findings(findings: Sequence[Finding], output: str) -> bool:
    """Each with what to do about it, and how many problems there are. Returns whether there are none."""
    problems = sum(not found.ok for found in findings)
    if output == "json":
        envelope({"problems": problems, "findings": plain(findings)})
    elif output == "table":
        for found in findings:
            mark = paint("ok     ", fg="green") if found.ok else paint("PROBLEM", fg="red")
            click.echo(f"{mark}  {found.what}: {found.detail}")
            if found.do and not found.ok:
                click.echo(f"         do: {found.do}")
        click.echo(f"{problems} problems" if problems != 1 else "1 problem")
    else:
        rows = Rows(output, ())
        for found in findings:
            rows.add(plain(found))
    return not problems
