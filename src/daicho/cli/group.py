"""The root command: verbs imported when they are named, global options on either side, errors as answers."""

import importlib
import logging
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, cast

import click

import daicho
from daicho.cli.failure import exit_code, tell, wants_json
from daicho.settings import Settings

__all__ = ["Family", "FreeVerb", "Root", "Verb"]

_SETTINGS = {
    "app": "module:attribute of the App, or of a function that returns one.",
    "store": "URL of the store, e.g. sqlite:///shop.db; instead of the app's own.",
    "read-from": "URLs of replicas of a PostgreSQL store that answer queries, separated by commas.",
    "views": "URL for rows that the app has not placed, e.g. redis://localhost/0.",
    "search": "URL for those among them that are searched, e.g. opensearch://localhost.",
    "edge": "URL of an edge cache that is told which rows changed, e.g. varnish://localhost.",
}


def _note(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    if value not in (None, False):
        context.ensure_object(Settings).give(str(parameter.name).replace("_", "-"), value)


def _global_options() -> list[click.Parameter]:
    options: list[click.Parameter] = [
        click.Option([f"--{name}"], metavar="TEXT", help=text, expose_value=False, callback=_note)
        for name, text in _SETTINGS.items()
    ]
    debug = "Show the traceback of an error."
    options.append(click.Option(["--debug"], is_flag=True, help=debug, expose_value=False, callback=_note))
    return options


class Verb(click.Command):
    """A command that takes the global options too, so that they may stand before or behind the verb."""

    needs_settings = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params.extend(_global_options())

    def invoke(self, ctx: click.Context) -> Any:
        if self.needs_settings:
            ctx.ensure_object(Settings).check()
        return super().invoke(ctx)


class FreeVerb(Verb):
    """Works where the settings are wrong: it tells what they are, or what an error means."""

    needs_settings = False


class Family(click.Group):
    """Verbs with a name in common: `daicho dlq list`."""

    command_class = Verb

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            known = self.list_commands(ctx)
            similar = get_close_matches(args[0], known, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(similar)}?" if similar else f"there are {', '.join(known)}"
            raise click.UsageError(f"there is no verb {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)


class Root(Family):
    """`daicho` itself."""

    def __init__(self, sections: Mapping[str, Mapping[str, tuple[str, str]]]) -> None:
        """`sections`: heading -> verb -> (module:attribute, one line of help)."""
        super().__init__(
            name="daicho",
            help="Daicho: CQRS and event sourcing. Verbs that look need only --store; with --app they show decoded "
            "events and states.",
            epilog='Completion: eval "$(_DAICHO_COMPLETE=bash_source daicho)" (or zsh_source, fish_source).',
            params=_global_options(),
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        )
        click.version_option(daicho.__version__, message="daicho %(version)s")(self)
        self._sections = sections
        self._verbs = {name: verb for verbs in sections.values() for name, verb in verbs.items()}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._verbs:
            return None
        module, _, attribute = self._verbs[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), attribute))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for heading, verbs in self._sections.items():
            with formatter.section(heading):
                formatter.write_dl([(name, text) for name, (_, text) in verbs.items()])

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["daicho.json"] = wants_json(args)
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        settings = ctx.ensure_object(Settings)
        as_json = bool(ctx.meta["daicho.json"])
        try:
            _quiet_log(settings)
            return super().invoke(ctx)
        except (click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            raise click.exceptions.Exit(130) from None
        except Exception as error:
            if isinstance(error, click.ClickException) and not as_json:
                raise
            tell(error, as_json=as_json, debug=settings.debug)
            raise click.exceptions.Exit(exit_code(type(error))) from None


def _quiet_log(settings: Settings) -> None:
    """What the engine logs is told by the verbs themselves; with --debug it appears as it is."""
    log = logging.getLogger("daicho")
    if not settings.debug and not log.handlers:
        log.addHandler(logging.NullHandler())
