"""`daicho shell`: Python, with the app at hand."""

import code
import importlib
import sys
from typing import Any

import click

import daicho
from daicho.cli.group import Verb
from daicho.cli.opening import load_app
from daicho.settings import Settings

__all__ = ["shell"]


@click.command(cls=Verb)
@click.option("-c", "--command", metavar="CODE", help="Run this, print the value if it is an expression, and end.")
@click.pass_obj
def shell(settings: Settings, command: str | None) -> None:
    """A Python prompt with the running app as `app`, in its synchronous form: `app.send(...)`, `app.ask(...)`,
    `list(app.events())`. The app's messages, and what `daicho` exports, are there by their names. Code that comes
    through a pipe is run as it is. What is sent is recorded, and handled, as if a program had sent it.
    """
    app = load_app(settings)
    with app.sync() as running:
        names: dict[str, Any] = {name: getattr(daicho, name) for name in daicho.__all__}
        model = app.model
        messages = (*model.behaviours, *model.queries, *app.registry.classes.values())
        names |= {cls.__name__: cls for cls in messages}
        names |= {each.part.__name__: each.part for each in model.categories.values() if isinstance(each.part, type)}
        names |= {"app": running, "__name__": "__console__", "__doc__": None}
        if command is not None:
            _run(command, names, "<command>")
        elif not sys.stdin.isatty():
            exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)  # noqa: S102 - that is what a shell is for
        else:
            _prompt(names, f"daicho {daicho.__version__}, Python {sys.version.split()[0]}: `app` is running")


def _run(text: str, names: dict[str, Any], where: str) -> None:
    try:
        value = eval(compile(text, where, "eval"), names)  # noqa: S307 - see above
    except SyntaxError:
        exec(compile(text, where, "exec"), names)  # noqa: S102 - see above
    else:
        if value is not None:
            click.echo(repr(value))


def _prompt(names: dict[str, Any], banner: str) -> None:
    try:
        importlib.import_module("readline").set_completer(
            importlib.import_module("rlcompleter").Completer(names).complete
        )
        importlib.import_module("readline").parse_and_bind("tab: complete")
    except ImportError:
        banner += " (no line editing: this Python has no readline)"
    code.interact(banner=banner, local=names, exitmsg="")
