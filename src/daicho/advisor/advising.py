"""From what is known to what to do, in words."""

from collections.abc import Mapping
from typing import Any, Literal, cast

import msgspec

from daicho.advisor.advice import Advice, EntityAdvice, Reason
from daicho.advisor.answers import Answers
from daicho.advisor.capacity import MEASURED, Capacity
from daicho.advisor.deciding import Change, Decision, Finding, changes, decide
from daicho.advisor.rules import APPROACHES, TOPOLOGIES, Approach, band_of, guessed_use_case
from daicho.advisor.sizing import Sizing, least_topology, size
from daicho.advisor.words import Language, language_of, say

__all__ = ["advise"]

_THRESHOLDS = (5.0, 10.0, 100.0)
_RATIOS = {"crud": 1, "staged": 5, "full": 10, "edge": 100}


def advise(
    entities: Mapping[str, Answers],
    *,
    capacity: Capacity = MEASURED,
    language: Language | None = None,
    source: str = "answers",
    guess: bool = True,
) -> Advice:
    """Advice for each entity and for all together.

    `guess`: where no use case was named, take the one that the entity's name suggests. A guess is told as one, and
    decides about event sourcing alone, unless that is a must.
    """
    tongue = language or language_of()
    told = tuple(_entity(name, answers, capacity, tongue, guess=guess) for name, answers in entities.items())
    whole = _whole([each.answers for each in told])
    approach = _approach_of_all(whole, told)
    sizing = size(whole, approach, capacity)
    start = least_topology(whole, capacity)
    topology = TOPOLOGIES[approach]
    notes = _notes(whole, approach, capacity, tongue)
    if start == "crud" and approach != "crud":
        start = "1:1"
    if start is not None and _rank(start) < _rank(topology):
        notes.append(say(tongue, "today", reads=whole.reads, writes=whole.writes, topology=start))
    return Advice(
        entities=told,
        reads=whole.reads,
        writes=whole.writes,
        ratio=_finite(whole.reads_per_write),
        approach=approach,
        approach_name=say(tongue, f"approach {approach}"),
        must=band_of(whole.reads_per_write) in ("edge", "unwritten"),
        topology=topology,
        topology_name=say(tongue, f"topology {topology}"),
        sizing=sizing,
        start_with=start,
        notes=tuple(notes),
        source=source,
        language=tongue,
    )


def _entity(name: str, answers: Answers, capacity: Capacity, tongue: Language, *, guess: bool) -> EntityAdvice:
    guessed = False
    if answers.use_case is None and guess and (use_case := guessed_use_case(name)):
        answers, guessed = msgspec.structs.replace(answers, use_case=use_case), True
    decision = decide(answers, guessed=guessed)
    sizing = size(answers, decision.approach, capacity)
    return EntityAdvice(
        entity=name,
        answers=answers,
        ratio=_finite(answers.reads_per_write),
        band=decision.band,
        approach=decision.approach,
        approach_name=say(tongue, f"approach {decision.approach}"),
        must=decision.must,
        topology=decision.topology,
        event_sourcing=decision.events,
        event_sourcing_name=say(tongue, f"events {decision.events}"),
        use_case=answers.use_case,
        use_case_guessed=guessed,
        do=tuple(_do(answers, decision, sizing, capacity, tongue)),
        reasons=tuple(_reason(finding, tongue) for finding in decision.findings),
        sizing=sizing,
        would_change=tuple(_would_change(answers, decision, tongue, guessed=guessed)),
    )


def _reason(finding: Finding, tongue: Language) -> Reason:
    data = dict(finding.data)
    guessed = data.pop("guessed", False)
    key = finding.key
    if key == "gap between" and not data["needs"]:
        key = "gap between alone"
    text = say(tongue, key, **data)
    if guessed:
        text += f" ({say(tongue, 'guessed')})"
    side = cast("Literal['CQRS', 'no CQRS', 'events', 'no events', '']", finding.speaks_for)
    name = say(tongue, f"name {finding.criterion}")
    return Reason(criterion=name, figure=finding.figure, speaks_for=side, text=text)


def _do(answers: Answers, decision: Decision, sizing: Sizing | None, capacity: Capacity, tongue: Language) -> list[str]:
    if decision.events in ("must", "recommended"):
        told = [say(tongue, "do events")]
    elif answers.use_case == "authentication":
        told = [say(tongue, "do authentication")]
    elif answers.use_case == "master data" or (decision.approach == "crud" and answers.domain != "complex"):
        told = [say(tongue, "do crud")]
    else:
        told = [say(tongue, "do state")]
    if told[0] != say(tongue, "do crud") and decision.approach != "crud":
        told.append(say(tongue, "do inline" if decision.inline and decision.approach == "staged" else "do views"))
    if decision.approach == "full":
        told.append(say(tongue, "do replicas"))
    if decision.approach == "edge":
        edge = sizing.edge_seconds if sizing and sizing.edge_seconds else 3600.0
        told.append(say(tongue, "do edge", seconds=capacity.staleness, edge=edge))
    return told


def _would_change(answers: Answers, decision: Decision, tongue: Language, *, guessed: bool) -> list[str]:
    told = [
        say(
            tongue,
            "change",
            criterion=say(tongue, f"name {change.criterion}"),
            to=change.to,
            what=_what(change, decision, tongue),
        )
        for change in changes(answers, guessed=guessed)
    ]
    return [*_ratio_changes(answers, decision, tongue, guessed=guessed), *told]


def _what(change: Change | Decision, decision: Decision, tongue: Language) -> str:
    told: list[str] = []
    if change.approach != decision.approach:
        told.append(say(tongue, f"approach {change.approach}"))
    if change.events != decision.events:
        told.append(say(tongue, "change events", events=say(tongue, f"events {change.events}")))
    return ("、" if tongue == "ja" else ", ").join(told)


def _ratio_changes(answers: Answers, decision: Decision, tongue: Language, *, guessed: bool) -> list[str]:
    """The nearest thresholds above and below that change the approach."""
    ratio = answers.reads_per_write
    found: list[str] = []
    ups = [limit for limit in _THRESHOLDS if ratio is None or limit > ratio]
    downs = [limit for limit in reversed(_THRESHOLDS) if ratio is not None and limit <= ratio]
    for key, limits, towards in (("change up", ups, 1.0), ("change down", downs, 0.999)):
        for limit in limits:
            then = decide(
                msgspec.structs.replace(answers, ratio=limit * towards, reads=None, writes=None), guessed=guessed
            )
            if then.approach != decision.approach:
                data: dict[str, Any] = {"ratio": f"{limit:g}", "what": _what(then, decision, tongue)}
                if answers.writes:
                    found.append(say(tongue, key, reads=limit * answers.writes, **data))
                elif key == "change up":
                    found.append(say(tongue, "change ratio", **data))
                if ratio is not None:
                    break
    return found


def _whole(each: list[Answers]) -> Answers:
    """All entities as one: what was counted of them. With a ratio alone, nothing can be added up."""
    reads = [a.reads for a in each if a.reads is not None]
    writes = [a.writes for a in each if a.writes is not None]
    if reads and writes:
        keys = sum(a.keys or 0 for a in each)
        peak = max(a.peak for a in each)
        return Answers(reads=sum(reads), writes=sum(writes), keys=keys or None, peak=peak)
    return each[0] if len(each) == 1 else Answers()


def _approach_of_all(whole: Answers, entities: tuple[EntityAdvice, ...]) -> Approach:
    reads = whole.reads or 0.0
    heavy = [e.approach for e in entities if not reads or (e.answers.reads or 0.0) >= reads / 10]
    return max([decide(whole).approach, *heavy], key=APPROACHES.index)


def _notes(whole: Answers, approach: Approach, capacity: Capacity, tongue: Language) -> list[str]:
    if whole.reads is None or whole.writes is None:
        return [say(tongue, "load unknown")]
    told = [say(tongue, "assumed capacity", source=capacity.source)]
    told.append(say(tongue, "assumed utilisation", utilisation=capacity.utilisation))
    if approach == "edge":
        told.append(say(tongue, "assumed keys", keys=whole.keys or capacity.keys, zipf=capacity.zipf))
    return [*(say(tongue, "assumed", what=each) for each in told), say(tongue, "assumed spare")]


def _rank(topology: str) -> int:
    return list(TOPOLOGIES.values()).index(cast("Any", topology))


def _finite(ratio: float | None) -> float | None:
    return None if ratio is None or ratio == float("inf") else round(ratio, 3)
