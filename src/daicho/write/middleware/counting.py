"""How often is booked: the writing half of Look-to-Book."""

from collections.abc import Mapping

from daicho.core.behaviour import Behaviour
from daicho.core.errors import ConcurrencyError
from daicho.core.journal import Journal
from daicho.core.messages import Command, Receipt
from daicho.core.meter import Meter
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

__all__ = ["Counting"]


class Counting:
    """Counts every command that recorded something, once."""

    def __init__(
        self, meter: Meter, behaviours: Mapping[type[Command], Behaviour], journal: Journal | None = None
    ) -> None:
        """`journal`: also told of each conflict, the ones that are tried again included."""
        self._meter, self._behaviours, self._journal = meter, behaviours, journal or Journal()

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        try:
            receipt = await proceed(envelope)
        except ConcurrencyError:
            self._journal.conflicted(envelope.command_id)
            raise
        if receipt.events and not receipt.duplicate:
            self._meter.wrote(self._behaviours[type(envelope.command)].category, envelope.name, envelope.tenant)
        return receipt
