"""The questions of `daicho advise`, for somebody at a terminal."""

from typing import Any

import click

from daicho.advisor.answers import CRITERIA, USE_CASES, Answers
from daicho.advisor.words import Language, say
from daicho.core.errors import NothingMeasured

__all__ = ["ask"]


def ask(language: Language) -> dict[str, Answers]:
    """One entity after another, until a name is left empty. Enter leaves a question open.

    Raises NothingMeasured if nobody is there to be asked.
    """
    found: dict[str, Answers] = {}
    try:
        while name := _prompt(say(language, "ask entity" if not found else "ask next entity")):
            found[name] = _about(name, language)
    except click.Abort:  # the end of the input
        if not found:
            raise _nobody() from None
    if not found:
        raise _nobody()
    return found


def _nobody() -> NothingMeasured:
    return NothingMeasured(
        "there is nothing to give advice on",
        why="no entity was named, no file of answers, and nothing to measure",
        do="answer the questions, or see `daicho advise --help` for --answers, --url, --log, --statements",
    )


def _about(name: str, language: Language) -> Answers:
    fields: dict[str, Any] = {
        "reads": _number(say(language, "ask reads", entity=name)),
        "writes": _number(say(language, "ask writes", entity=name)),
    }
    for criterion, choices in CRITERIA.items():
        fields[criterion] = _choice(say(language, f"ask {criterion}"), choices)
    fields["use_case"] = _choice(say(language, "ask use case"), USE_CASES)
    return Answers(**fields)


def _prompt(text: str) -> str:
    answer: str = click.prompt(text, default="", show_default=False, err=True)
    return answer.strip()


def _number(text: str) -> float | None:
    while answer := _prompt(text):
        try:
            number = float(answer.replace(",", "").replace("_", ""))
        except ValueError:
            number = -1
        if 0 <= number < float("inf"):
            return number
        click.echo(f"{answer!r}: 0 ...", err=True)
    return None


def _choice(text: str, choices: tuple[str, ...]) -> str | None:
    """By number, by name, or by its beginning."""
    shown = "  ".join(f"{n}) {choice}" for n, choice in enumerate(choices, 1))
    while answer := _prompt(f"{text}\n  {shown}").lower():
        if answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
        fitting = [choice for choice in choices if choice.startswith(answer)]
        if len(fitting) == 1 or answer in fitting:
            return answer if answer in fitting else fitting[0]
        click.echo(f"{answer!r}: 1 - {len(choices)}", err=True)
    return None
