"""Advice, printed."""

from collections.abc import Iterator, Sequence
from typing import Any

import click
import msgspec

from daicho.advisor import Advice, EntityAdvice, Sizing
from daicho.advisor.usage import Usage
from daicho.advisor.words import Language, say
from daicho.cli.output import Rows, aligned, envelope, paint
from daicho.core.plain import plain

__all__ = ["print_advice"]


def print_advice(output: str, advice: Advice, usages: Sequence[Usage]) -> None:
    if output == "json":
        envelope(plain(advice), measured=plain(list(usages)))
    elif output == "table":
        click.echo("\n".join(_lines(advice, usages)))
    else:
        rows = Rows(output, ())
        for each in advice.entities:
            rows.add(_row(each))
        rows.end()


def _row(each: EntityAdvice) -> dict[str, Any]:
    return {
        "entity": each.entity,
        "reads": each.answers.reads,
        "writes": each.answers.writes,
        "ratio": each.ratio,
        "approach": each.approach,
        "topology": each.topology,
        "event_sourcing": each.event_sourcing,
        "do": list(each.do),
    }


def _lines(advice: Advice, usages: Sequence[Usage]) -> Iterator[str]:
    language = advice.language
    for usage in usages:
        yield paint(_measured(usage, language), dim=True)
    for each in advice.entities:
        yield from _entity(each, language)
        yield ""
    if len(advice.entities) > 1:
        yield f"{paint(say(language, 'whole'), bold=True)}: {advice.approach_name}{_must(advice.must, language)}"
    yield say(language, "told topology", topology=advice.topology, name=advice.topology_name)
    if advice.sizing:
        yield f"  {say(language, 'told needs')}: {_sizing(advice.sizing, language)}"
    yield from (f"  {note}" for note in advice.notes)


def _measured(usage: Usage, language: Language) -> str:
    reads = sum(count or 0 for count in usage.reads.values())
    writes = sum(count or 0 for count in usage.writes.values())
    text = say(language, "told measured", source=usage.source, reads=reads, writes=writes)
    left = [
        say(language, f"told {name}", count=count)
        for name in ("refused", "ignored", "unreadable")
        if (count := getattr(usage, name))
    ]
    return "; ".join([text, *left])


def _must(must: bool, language: Language) -> str:
    return f" ({say(language, 'told must')})" if must else ""


def _entity(each: EntityAdvice, language: Language) -> Iterator[str]:
    events = f"{say(language, 'name events')}: {each.event_sourcing_name}"
    topology = f"{say(language, 'told shape')} {each.topology}"
    yield f"{paint(each.entity, bold=True)}: {each.approach_name}{_must(each.must, language)}; {topology}; {events}"
    yield f"  {say(language, 'told why')}"
    cells = [[reason.criterion, reason.figure, reason.speaks_for, reason.text] for reason in each.reasons]
    yield from (f"    {line}" for line in aligned(cells))
    yield f"  {say(language, 'told do')}"
    yield from (f"    {line}" for line in each.do)
    if each.would_change:
        yield f"  {say(language, 'told would change')}"
        yield from (f"    {line}" for line in each.would_change)


_PARTS = ("edge_caches", "query_services", "replicas", "command_services", "app_servers", "primaries")


def _sizing(sizing: Sizing, language: Language) -> str:
    counts = msgspec.structs.asdict(sizing)
    told = [say(language, f"told {part}", count=counts[part]) for part in _PARTS if counts[part]]
    if sizing.hit_ratio is not None:
        told.append(say(language, "told hits", share=sizing.hit_ratio))
    if sizing.edge_seconds is not None:
        told.append(say(language, "told ttl", edge=sizing.edge_seconds, seconds=sizing.cache_seconds))
    told.append(say(language, "told primary", share=sizing.primary_utilisation))
    return ", ".join(told)
