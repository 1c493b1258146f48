"""One entity: from answers to an approach, without words and without the world."""

from dataclasses import dataclass, field
from typing import Any

import msgspec

from daicho.advisor.answers import CRITERIA, USE_CASES, Answers
from daicho.advisor.rules import (
    APPROACHES,
    EVENTS,
    TOPOLOGIES,
    USE_CASE_EVENTS,
    Approach,
    Band,
    Events,
    Topology,
    band_of,
)

__all__ = ["Change", "Decision", "Finding", "changes", "decide"]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One reason: which criterion, which figure, what it speaks for."""

    criterion: str
    figure: str
    speaks_for: str
    """`CQRS`, `no CQRS`, `events`, `no events`, or empty: for neither."""
    key: str
    """Which sentence tells it."""
    data: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Decision:
    approach: Approach
    events: Events
    band: Band
    must: bool
    """The ratio alone leaves no choice."""
    inline: bool
    """The views have to be committed together with the events."""
    findings: tuple[Finding, ...]

    @property
    def topology(self) -> Topology:
        return TOPOLOGIES[self.approach]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would be answered if one thing were otherwise."""

    criterion: str
    to: str
    approach: Approach
    events: Events


def decide(answers: Answers, *, guessed: bool = False) -> Decision:
    """`guessed`: the use case was guessed from the name; it does not raise the approach, unless events are a must."""
    ratio = answers.reads_per_write
    band = band_of(ratio)
    findings = [_of_ratio(ratio, band)] if ratio is not None else []
    sides = {name: side for name in CRITERIA if (side := speaks_for_cqrs(answers, name)) is not None}
    findings += [_of_criterion(answers, name, speaks) for name, speaks in sides.items()]
    events, why = _events(answers, guessed=guessed)
    needs = [name for name, speaks in sides.items() if speaks and name != "tolerance"]
    immediate = sides.get("tolerance") is False
    level, more = _level(band, needs, tolerant=sides.get("tolerance") is True, immediate=immediate)
    binding = events == "must" or (events == "recommended" and (not guessed or answers.audit == "history"))
    if level == 0 and binding:
        level = 1
        more.append(Finding(criterion="events", figure=events, speaks_for="CQRS", key="events need views"))
    return Decision(
        approach=APPROACHES[level],
        events=events,
        band=band,
        must=band in ("edge", "unwritten"),
        inline=immediate and level > 0,
        findings=(*findings, *more, *why),
    )


def speaks_for_cqrs(answers: Answers, criterion: str) -> bool | None:
    """What one criterion says by itself. None: it was not answered."""
    answer = getattr(answers, criterion)
    if answer is None:
        return None
    if criterion == "views" and isinstance(answer, int):
        return answer > 1
    if criterion == "performance" and isinstance(answer, int):
        return answer <= 100
    return bool(answer == CRITERIA[criterion][0])


def _level(band: Band, needs: list[str], *, tolerant: bool, immediate: bool) -> tuple[int, list[Finding]]:
    told: list[Finding] = []
    apart = "scalability" in needs and len(needs) > 1
    if band in ("edge", "unwritten"):
        if immediate:
            told.append(_finding("tolerance", "immediate", "", "immediate at the edge"))
        return 3, told
    if band == "unknown":
        level = 2 if apart else 1 if needs or (tolerant and not immediate) else 0
        if needs or tolerant:
            told.append(_finding("ratio", "", "", "ratio unknown"))
    elif band == "full":
        level = 2
    elif band == "staged":
        level = 2 if apart else 1
        if apart:
            told.append(_finding("scalability", "separate", "CQRS", "scaling raises"))
    elif band == "between":
        level = 1 if needs else 0
        told.append(_finding("ratio", "3:1 - 5:1", "CQRS" if needs else "no CQRS", "gap between", needs=needs))
    else:
        level = 1 if len(needs) > 1 and not immediate else 0
        if level:
            told.append(_finding("ratio", "", "CQRS", "needs raise", needs=needs))
        elif needs:
            told.append(_finding("ratio", "", "no CQRS", "needs do not suffice", needs=needs))
    if immediate and level > 1:
        level = 1
        told.append(_finding("tolerance", "immediate", "no CQRS", "immediate lowers"))
    elif immediate and level == 1:
        told.append(_finding("tolerance", "immediate", "", "immediate inline"))
    return level, told


def _finding(criterion: str, figure: str, speaks_for: str, key: str, **data: Any) -> Finding:
    return Finding(criterion=criterion, figure=figure, speaks_for=speaks_for, key=key, data=data)


def _of_ratio(ratio: float, band: Band) -> Finding:
    figure = "n:0" if band == "unwritten" else f"{ratio:.3g}:1" if ratio < 100 else f"{ratio:,.0f}:1"
    speaks = "CQRS" if band in ("staged", "full", "edge", "unwritten") else "" if band == "between" else "no CQRS"
    return _finding("ratio", figure, speaks, f"band {band}")


def _of_criterion(answers: Answers, name: str, speaks: bool) -> Finding:
    answer = getattr(answers, name)
    figure = f"{answer} ms" if name == "performance" and isinstance(answer, int) else str(answer)
    return _finding(name, figure, "CQRS" if speaks else "no CQRS", f"{name} {'yes' if speaks else 'no'}")


def _events(answers: Answers, *, guessed: bool) -> tuple[Events, list[Finding]]:
    """Use case first; who needs the whole history has no choice."""
    use_case, audit = answers.use_case, answers.audit
    told: list[Finding] = []
    found: Events
    if use_case is not None:
        found = USE_CASE_EVENTS[use_case]
        told.append(_finding("use case", use_case, _events_side(found), f"use case {use_case}", guessed=guessed))
        if audit == "history" and EVENTS.index(found) < EVENTS.index("recommended"):
            found = "recommended"
            told.append(_finding("audit", audit, "events", "audit raises"))
        elif audit == "current state" and found == "must":
            told.append(_finding("audit", audit, "", "audit does not lower"))
    elif audit == "history":
        found = "must"
        told.append(_finding("audit", audit, "events", "audit alone"))
    elif audit == "current state":
        found = "optional" if answers.domain == "complex" else "not needed"
        told.append(_finding("audit", audit, "no events", "audit not needed"))
    else:
        found = "optional"
        told.append(_finding("use case", "", "", "use case unknown"))
    return found, told


def _events_side(events: Events) -> str:
    return "events" if events in ("must", "recommended") else "no events" if events == "not needed" else ""


def changes(answers: Answers, *, guessed: bool = False) -> list[Change]:
    """Every single answer that would change the advice, found by asking again with it turned round."""
    now = decide(answers, guessed=guessed)
    turned: list[tuple[str, str, Decision]] = []
    for name, (yes, no) in CRITERIA.items():
        speaks = speaks_for_cqrs(answers, name)
        for other in (no,) if speaks else (yes,) if speaks is False else (yes, no):
            then = decide(msgspec.structs.replace(answers, **{name: other}), guessed=guessed)
            turned.append((name, other, then))
    turned += [
        ("use case", use_case, decide(msgspec.structs.replace(answers, use_case=use_case)))
        for use_case in USE_CASES
        if use_case != answers.use_case or guessed
    ]
    return [
        Change(criterion=criterion, to=to, approach=then.approach, events=then.events)
        for criterion, to, then in turned
        if (then.approach, then.events) != (now.approach, now.events)
    ]
