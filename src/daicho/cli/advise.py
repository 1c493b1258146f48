"""`daicho advise`: asks or measures, and says what each entity needs."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from daicho.advisor import MEASURED, Advice, Answers, advise, capacity_of
from daicho.advisor.access_logs import FORMATS, read_logs
from daicho.advisor.answers import CRITERIA, USE_CASES
from daicho.advisor.files import Told, read_answers
from daicho.advisor.live import read_meters, read_register
from daicho.advisor.paths import Paths, rule_of
from daicho.advisor.statements import read_statements
from daicho.advisor.usage import Usage, answers_of
from daicho.advisor.words import LANGUAGES, language_of, say
from daicho.cli.advise_asking import ask
from daicho.cli.advise_printing import print_advice
from daicho.cli.group import Verb
from daicho.cli.opening import looking, try_app
from daicho.cli.output import output_option
from daicho.settings import Settings
from daicho.topologies import Topology, shape
from daicho.topologies.writing import write

__all__ = ["advise_verb"]

_FILE = click.Path(path_type=Path, dir_okay=False)


def _criteria(function: Callable[..., Any]) -> Callable[..., Any]:
    """An option for each of the questions."""
    function = click.option("--use-case", type=click.Choice(USE_CASES), help="What kind of thing it is.")(function)
    texts = {
        "views": "Different views of the same data (dashboard, report, search), or one.",
        "scalability": "Whether reads and writes need different strategies.",
        "performance": "Whether reads must answer in under 100 ms.",
        "tolerance": "Whether eventual consistency is acceptable, or immediate consistency comes first.",
        "domain": "How complex the business logic is.",
        "audit": "Whether the full history of changes is needed.",
    }
    for name in reversed(CRITERIA):
        names = ("--views-needed", "views_needed") if name == "views" else (f"--{name}",)
        function = click.option(*names, type=click.Choice(CRITERIA[name]), help=texts[name])(function)
    return function


@click.command("advise", cls=Verb)
@click.argument("entity", required=False)
@click.option("--answers", type=_FILE, metavar="FILE", help="Answers for many entities, as TOML or JSON.")
@click.option("--reads", type=float, metavar="N", help="Reads a minute of ENTITY.")
@click.option("--writes", type=float, metavar="N", help="Writes a minute of ENTITY.")
@click.option("--ratio", type=float, metavar="N", help="Reads per write of ENTITY, if it is known without the two.")
@_criteria
@click.option("--url", "urls", multiple=True, metavar="URL", help="A running service: its meter is asked.")
@click.option("--for", "seconds", type=float, default=0.0, help="Seconds to measure a service or database for.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="API key or token with the scope metrics:read.",
)
@click.option("--log", "logs", multiple=True, type=click.Path(path_type=Path), help="An access log; `-`: stdin.")
@click.option("--log-format", type=click.Choice(FORMATS), default="auto", show_default=True, help="Of the logs.")
@click.option(
    "--path", "rules", multiple=True, metavar="RULE", help="Which requests belong to which entity: `/orders/**=order`."
)
@click.option("--statements", metavar="URL", help="A PostgreSQL database with pg_stat_statements.")
@click.option("--register", is_flag=True, help="Count the writes in the store of --store or --app.")
@click.option("--capacity", type=_FILE, metavar="FILE", help="What one instance can do, as TOML or JSON.")
@click.option("--language", type=click.Choice(LANGUAGES), help="Of the answer. Default: that of the environment.")
@click.option(
    "--write",
    type=(click.Choice(["compose", "helm"]), click.Path(path_type=Path, file_okay=False)),
    metavar="compose|helm DIR",
    help="Write the advised topology there.",
)
@output_option
@click.pass_obj
def advise_verb(settings: Settings, /, entity: str | None, **given: Any) -> None:
    """Says for each entity whether it needs CRUD, staged CQRS, full CQRS or an edge cache, whether to keep events, and
    why; which topology, how many instances, how long caches may keep answers; and what would change the answer.

    It goes by the ratio of reads to writes, measured in running services (--url), access logs (--log), PostgreSQL
    (--statements) or the store (--register), or told; and by the answers to six questions and the use case. Without any
    of these it asks.
    """
    language = language_of(given["language"])
    told = read_answers(given["answers"]) if given["answers"] else Told({}, {}, [])
    given["views"] = given.pop("views_needed")  # --views is where rows are kept
    fields = {name: given[name] for name in ("reads", "writes", "ratio", "use_case", *CRITERIA)}
    fields = {name: value for name, value in fields.items() if value is not None}
    if entity is None and not fields.keys().isdisjoint(("reads", "writes", "ratio")):
        entity = "application"
    if entity is not None:
        told.entities[entity] = _with(told.entities.get(entity, Answers()), fields)
    else:
        told.all.update(fields)
    usages = asyncio.run(_measured(settings, given, told))
    entities = answers_of(usages, told.entities)
    if not entities and told.all:
        entities["application"] = Answers()
    if not entities:
        entities = ask(language)
    advice = advise(
        {name: told.fill(each) for name, each in entities.items()},
        capacity=capacity_of(given["capacity"]) if given["capacity"] else MEASURED,
        language=language,
        source=", ".join(usage.source for usage in usages) or "answers",
    )
    print_advice(given["output"], advice, usages)
    if given["write"]:
        form, folder = given["write"]
        files = write(_shape(advice, settings.get("app")), form, folder)
        told_files = say(language, "told wrote", folder=folder, files=", ".join(path.name for path in files))
        click.echo(told_files, err=True)


def _with(answers: Answers, fields: dict[str, Any]) -> Answers:
    return Answers(**{**{name: getattr(answers, name) for name in Answers.__struct_fields__}, **fields})


async def _measured(settings: Settings, given: dict[str, Any], told: Told) -> list[Usage]:
    """From every source that was named, in the order of how much each can tell."""
    found: list[Usage] = []
    if given["urls"]:
        token = given["token_file"].read_text().strip() if given["token_file"] else None
        found.append(await read_meters(given["urls"], seconds=given["seconds"], token=token))
    if given["logs"]:
        app = try_app(settings)
        paths = Paths([*map(rule_of, given["rules"]), *told.rules], app)
        found.append(read_logs(given["logs"], paths, given["log_format"]))
    if given["statements"]:
        found.append(await read_statements(given["statements"], seconds=given["seconds"]))
    if given["register"]:
        async with looking(settings) as look:
            found.append(await read_register(look.history, settings.get("store") or "the store of the app"))
    return found


def _shape(advice: Advice, app: str | None) -> Topology:
    sizing = advice.sizing
    separated = advice.topology in ("10:1", "100:1")
    if sizing is None:
        return shape(advice.topology, app=app)
    return shape(
        advice.topology,
        app=app,
        app_servers=max(1, sizing.app_servers),
        command_services=max(1, sizing.command_services),
        query_services=max(1, sizing.query_services) if separated else None,
    )
