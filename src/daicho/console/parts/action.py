"""A button that does something: after a question, in somebody's name, and with the line that does the same."""

from collections.abc import Awaitable, Callable

from nicegui import ui

from daicho.console.access import Right
from daicho.console.parts.banner import problem
from daicho.console.parts.text import code
from daicho.console.screen import Place
from daicho.core.errors import DaichoError

__all__ = ["action"]


def action(
    place: Place,
    label: str,
    *,
    name: str,
    target: str,
    verb: str,
    needs: Right,
    run: Callable[[], Awaitable[str | None]],
    then: Callable[[str], None] | None = None,
    icon: str = "play_arrow",
    is_dangerous: bool = False,
    ask: str = "",
    confirm: bool = True,
    explained: Callable[[str], None] | None = None,
) -> ui.element:
    """name        in the operator audit: `parked.retry`
    target      what it is done to, there
    verb        the line of `daicho` that does the same; shown before it is done
    run         does it, and says in a sentence what came of it
    then        called with that sentence; else the page is loaded again
    ask         what the question says, beside the label
    confirm     False: it is done without a question
    explained   told the reason before it is done, which then has to be given

    The right is checked again, with the session, when it is pressed: a page may be older than a decision.
    """
    button = ui.element("button").classes("d-button d-danger" if is_dangerous else "d-button").props('type="button"')
    button.props["data-action"] = name
    with button:
        ui.icon(icon)
        ui.label(label)
    if not place.may(needs):
        button.props["disabled"] = True
        button.props["title"] = place.t("action.not.allowed", role=place.t(f"shell.role.{place.viewer.role}"))

    async def do(box: ui.element, reason: str) -> bool:
        try:
            outcome = await place.act(name, target=target, verb=verb, needs=needs, run=run, reason=reason)
        except DaichoError as error:
            with box:
                problem(place, error)
            return False
        if then is not None:
            then(outcome)
        else:
            ui.notify(outcome or place.t("action.done"), type="positive")
            ui.navigate.reload()
        return True

    async def pressed() -> None:
        if confirm:
            question()
        else:
            await do(button, "")

    def question() -> None:
        with ui.dialog(value=True) as dialog, ui.element("div").classes("d-dialog"):
            ui.label(label).classes("d-strong")
            if ask:
                ui.label(ask)
            ui.label(place.t("action.same")).classes("d-dim")
            code(verb)
            with ui.element("label").classes("d-field"):
                ui.label(place.t("action.reason"))
                reason = ui.input().props('dense outlined data-reason="1"')
            said = ui.element("div")
            with ui.element("div").classes("d-row"):
                ui.element("span").classes("d-space")
                cancel = ui.element("button").classes("d-button").props('type="button"')
                cancel.on("click", dialog.close)
                with cancel:
                    ui.label(place.t("action.cancel"))
                go = ui.element("button").props('type="button" data-confirm="1"')
                go.classes("d-button d-primary d-danger" if is_dangerous else "d-button d-primary")
                with go:
                    ui.label(place.t("action.confirm"))

            async def confirmed() -> None:
                if explained is not None:
                    given = (reason.value or "").strip()
                    if not given:
                        reason.props("error")
                        return
                    explained(given)
                go.props["disabled"] = True
                said.clear()
                if await do(said, reason.value or ""):
                    dialog.close()
                else:
                    del go.props["disabled"]

            go.on("click", confirmed)
        dialog.on("hide", dialog.delete)

    button.on("click", pressed)
    return button
