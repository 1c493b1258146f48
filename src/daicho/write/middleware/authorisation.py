"""Who may send what: a hook, so that the policy stays the application's."""

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from daicho.core.errors import NotAuthorised
from daicho.core.messages import Receipt
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

__all__ = ["Authorisation", "Permit"]

Permit: TypeAlias = Callable[[Envelope], bool | Awaitable[bool | None] | None]


class Authorisation:
    """Asks `permit(envelope)` for every command from outside; False, or raising NotAuthorised, refuses it.

    Commands sent by event handlers are part of something that was permitted, and are not asked about; but those of
    another service's handlers are.
    """

    def __init__(self, permit: Permit) -> None:
        self._permit = permit

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        if envelope.cause is None or envelope.source:
            answer = self._permit(envelope)
            if inspect.isawaitable(answer):
                answer = await answer
            if answer is False:
                raise NotAuthorised(
                    f"{envelope.actor or 'nobody'} may not send {envelope.name}",
                    why="the authorisation hook refused",
                    do="send it as another actor, or change the hook given to App(authorise=...)",
                    actor=envelope.actor,
                    command=envelope.name,
                )
        return await proceed(envelope)
