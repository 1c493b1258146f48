"""Writes cli.md from the commands themselves: `python docs/reference/make_cli.py`."""

from collections.abc import Iterator
from pathlib import Path

import click

from daicho.cli import main as root
from daicho.cli.group import Verb

PAGE = Path(__file__).with_name("cli.md")
HEAD = """# Command line

<!-- written by make_cli.py from the commands: change those, and run it again -->

`daicho` looks into a store and acts on it, while your application runs or while it does not. Verbs that only look need
nothing but `--store`; with `--app` they show decoded events and states.

## `daicho`

These options may stand before or behind any verb.

{options}

`app` and `store` may also stand in a file or in the environment: see [settings](settings.md).

**Output.** `-o table` is for people; `json`, `jsonl` and `csv` are for programs. With JSON, errors are JSON too, on
stderr.

**Exit codes.**

| Code | Meaning |
| --- | --- |
| 0 | all is well |
| 1 | problems were found, or the business refused |
| 2 | wrong usage |
| 3 | the store cannot be reached or read |
| 4 | somebody else was faster |
| 130 | interrupted |

Errors carry the [codes](errors.md) of the library; `D500` is the command line's own: it was asked about a stream,
event, command, projection or type that is not there.
"""


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None and not child.hidden:
                yield from commands(child, (*path, name))


def page() -> str:
    context = click.Context(root, help_option_names=["-h", "--help"])
    parts = [HEAD.format(options=table(root.get_params(context)))]
    for path, command in commands(root, ("daicho",)):
        if command is not root:
            parts.append(section(path, command))
    return "\n".join(parts)


def section(path: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(path))
    everywhere = {p.name for p in root.params} if isinstance(command, Verb) else set[str]()
    options = [p for p in command.params if p.name not in everywhere and not getattr(p, "hidden", False)]
    lines = [f"{'#' * min(4, len(path))} `{' '.join(path)}`", "", prose(command.help or "")]
    if not isinstance(command, click.Group):
        lines += ["", f"`{' '.join([*path, *command.collect_usage_pieces(context)])}`"]
    if options:
        lines += ["", table(options)]
    return "\n".join(lines) + "\n"


def prose(text: str) -> str:
    paragraphs = (" ".join(paragraph.split()) for paragraph in text.replace("\b", "").split("\n\n"))
    return "\n\n".join(paragraphs).replace("*", "\\*")


def table(parameters: list[click.Parameter]) -> str:
    rows = ["| Option | Meaning |", "| --- | --- |"]
    for parameter in parameters:
        if isinstance(parameter, click.Option):
            rows.append(f"| {told(parameter)} | {about(parameter)} |")
        else:
            rows.append(f"| `{parameter.human_readable_name}` | argument{'' if parameter.required else ', optional'} |")
    return "\n".join(rows)


def told(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    if option.is_flag or option.count:
        return names
    metavar = option.make_metavar(click.Context(root)).replace("|", "\\|")
    return f"{names} `{metavar}`"


def about(option: click.Option) -> str:
    text = " ".join((option.help or "").split()).replace("|", "\\|")
    if option.show_default and option.default is not None:
        text += f" Default: `{option.default}`."
    if option.required:
        text += " Required."
    if option.multiple:
        text += " May be repeated." if "repeatable" not in text else ""
    return text.strip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
