"""A stream belongs to the tenant of its first event. To others it does not exist."""

from collections import OrderedDict
from collections.abc import Mapping

from daicho.core.behaviour import Behaviour
from daicho.core.conditions import ABSENT, ANY
from daicho.core.errors import ConcurrencyError, NotFound
from daicho.core.messages import Command, Receipt
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import EventStore, Selection
from daicho.write.pipeline import Handler

__all__ = ["Isolation"]

_MOST_KNOWN = 100_000


class Isolation:
    """Refuses a tenant's command to a stream of somebody else, with NotFound: it shall not learn that it exists.

    Whose a stream is never changes, so it is looked up once. Of two tenants that begin the same stream at once, one is
    first and the other is refused, because the command of a new stream expects it to be absent. Commands that event
    handlers send are part of something that was permitted, and carry the tenant of what they came of.
    """

    def __init__(self, behaviours: Mapping[type[Command], Behaviour], store: EventStore) -> None:
        self._behaviours, self._store = behaviours, store
        self._owners: OrderedDict[str, str | None] = OrderedDict()

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        behaviour = self._behaviours.get(type(envelope.command))
        if envelope.tenant is None or behaviour is None or behaviour.boundary is not None or envelope.cause:
            return await proceed(envelope)
        stream = behaviour.stream_of(envelope.command)
        while True:
            if await self._exists(stream, envelope.tenant):
                return await proceed(envelope)
            asked = envelope.expected
            if asked in (ABSENT, 0):
                return await proceed(envelope)
            if asked not in (None, ANY):
                raise ConcurrencyError(f"{stream} is at version 0, not {asked}", expected=asked, actual=0)
            envelope.expected = ABSENT
            try:
                return await proceed(envelope)
            except ConcurrencyError:
                if not await self._exists(stream, envelope.tenant):
                    raise
            finally:
                envelope.expected = asked

    async def _exists(self, stream: str, tenant: str) -> bool:
        """Raises NotFound if it is another's."""
        if stream not in self._owners:
            first = await self._store.read(Selection(stream=stream, up_to_version=1, beyond_head=True), limit=1)
            if not first:
                return False
            self._owners[stream] = first[0].tenant
            if len(self._owners) > _MOST_KNOWN:
                self._owners.popitem(last=False)
        if self._owners[stream] != tenant:
            raise NotFound(f"there is no {stream}", do="check the id")
        return True
