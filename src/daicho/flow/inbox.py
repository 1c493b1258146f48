"""Bus -> store: the events of other services that somebody here reads are recorded here."""

import asyncio
import logging
from collections.abc import Collection, Sequence

from daicho.core.errors import BusGap, DuplicateEventId, InvalidMessage
from daicho.core.segments import Segment
from daicho.flow.chain import Chain
from daicho.flow.hearing import Ear, Heard
from daicho.flow.wire import write_of
from daicho.ports.checkpoint_store import Advance, Checkpoint, CheckpointStore
from daicho.ports.dead_letter_store import DeadLetterStore, ParkedEvent
from daicho.ports.event_bus import Channel, Delivery
from daicho.ports.event_store import AppendRequest, EventStore
from daicho.ports.probe import Probe

__all__ = ["GAP", "INBOX", "Inbox"]

_log = logging.getLogger("daicho")
INBOX = "inbox:"
"""Before the name of a service: how far its events were taken in; the position is its own."""
GAP = "gap:"
"""Before the same: messages up to that number are missing."""
_ASK_AGAIN = 0.5
_BEGIN_AFTER = 1.0
_GIVE_UP_AFTER = 30.0


class Inbox(Ear):
    """Records one partition of the events of another service, each once.

    An event keeps its id, its type, its times and all that is known about it; its stream gets the name of the service
    in front. Appending is idempotent by event id, so whatever comes again, or was taken in before a crash, changes
    nothing. The stored checkpoint is the number of the last message that was dealt with.
    """

    def __init__(
        self,
        source: str,
        channel: Channel,
        segment: Segment,
        types: Collection[str],
        store: EventStore,
        checkpoints: CheckpointStore,
        letters: DeadLetterStore,
        probe: Probe,
        largest: int,
        give_up_after: float | None = None,
    ) -> None:
        """
        types          stored names of what somebody here reads; the others are passed over
        largest        bytes of an event
        give_up_after  seconds after which a hole is told; it is waited for even then
        """
        super().__init__(INBOX + source, channel, segment, checkpoints)
        self._source, self._types, self._store, self._letters = source, frozenset(types), store, letters
        self._probe, self._largest, self._give_up_after = probe, largest, give_up_after or _GIVE_UP_AFTER
        self._gap = segment.name(GAP + source)
        self._chain = Chain(0)
        self._hole: tuple[int, float] | None = None
        """Behind which number something is missing, and since when it is looked for."""
        self._asked_again = 0.0
        self._done = list[Delivery]()
        """What need not come again, once nothing is held."""
        self._may_have_told = True

    async def begin(self, checkpoint: Checkpoint) -> int:
        self._chain = Chain(checkpoint.position)
        if self._hole is not None and self._hole[0] != checkpoint.position:
            self._hole, self.trouble = None, ""
        return checkpoint.position

    def after(self, keeps: bool) -> int:
        self._chain.drop()
        self._done.clear()
        return self._chain.at if keeps else -1

    async def take(self, deliveries: Sequence[Delivery], token: int, position: int) -> Heard:
        sound = [delivery for delivery in deliveries if self._is_of_the_chain(delivery)]
        strays = [delivery for delivery in deliveries if not self._is_of_the_chain(delivery)]
        accepted, repeated = self._chain.take(sound)
        return await self._record(accepted, [*repeated, *strays], strays, token, position)

    def _is_of_the_chain(self, delivery: Delivery) -> bool:
        message = delivery.message
        return message.source == self._source and 0 <= message.previous < message.number

    async def _record(
        self,
        accepted: Sequence[Delivery],
        done: Sequence[Delivery],
        strays: Sequence[Delivery],
        token: int,
        position: int,
    ) -> Heard:
        trouble = [self._parked(stray, InvalidMessage("this is no event of the channel")) for stray in strays]
        wanted, requests = list[Delivery](), list[AppendRequest]()
        for delivery in accepted:
            if delivery.message.type not in self._types:
                continue
            try:
                write = write_of(delivery.message, self._source, self._largest)
            except InvalidMessage as error:
                trouble.append(self._parked(delivery, error))
                continue
            wanted.append(delivery)
            requests.append(AppendRequest(writes=(write,)))
        if requests:
            self._probe("inbox.before")
            for delivery, answer in zip(wanted, await self._store.append(requests), strict=True):
                if isinstance(answer, DuplicateEventId):
                    trouble.append(self._parked(delivery, answer))
                elif isinstance(answer, Exception):
                    raise answer
            self._probe("inbox.recorded")
        at = self._chain.at if accepted else position
        if trouble:
            await self._letters.park(self.name, token, position, at, trouble)
        elif at != position:
            await self.checkpoints.advance(Advance(processor=self.name, token=token, old=position, new=at))
        self._probe("inbox.noted")
        await self._look_at_hole(is_new=at != position)
        self._done += [*accepted, *done]
        if self._chain.missing is not None:
            return Heard(at, ())  # acknowledging one acknowledges what came before it, and of that some is only held
        dealt_with, self._done = self._done, []
        return Heard(at, dealt_with)

    def _parked(self, delivery: Delivery, error: Exception) -> ParkedEvent:
        """It cannot be recorded, so all that is left of it stands in the letter."""
        message = delivery.message
        _log.error("%s put a message aside: %r %r: %s", self.name, message.id[:80], message.type[:80], error)
        return ParkedEvent(
            key=_printable(message.subject) or "?",
            position=message.number if 0 < message.number < 2**62 else 0,
            event_id=_printable(message.id) or "?",
            type=_printable(message.type) or "?",
            stream=_printable(f"{self._source}.{message.subject}"),
            correlation_id=_printable(message.extensions.get("correlationid", "")),
            error=f"{type(error).__name__}: {error}",
            trace=f"source {message.source[:200]!r}, data {message.data[:2000]!r}",
        )

    async def retry(self, token: int, position: int) -> None:
        letters = await self._letters.letters(self.name, states=("retry",))
        if letters:
            why = "it would be malformed again; once its sender is mended, skip it"
            await self._letters.retried(self.name, [letter.number for letter in letters], error=why)

    # -- holes ----------------------------------------------------------------------------------------------------

    def patience(self) -> float | None:
        if self._hole is None:
            return None
        at, since = self._hole
        waited = _now() - since
        goals = [_ASK_AGAIN - (_now() - self._asked_again), self._give_up_after - waited]
        if at == 0:
            goals.append(_BEGIN_AFTER - waited)
        return max(0.0, min([goal for goal in goals if goal > 0], default=_ASK_AGAIN))

    async def _look_at_hole(self, *, is_new: bool) -> None:
        if is_new and self._may_have_told:
            await self.checkpoints.forget(self._gap)
            self._may_have_told = False
        if is_new:
            self.trouble = ""
        if self._chain.missing is None:
            self._hole = None if is_new else self._hole
        elif self._hole is None or self._hole[0] != self._chain.at:
            self._hole, self._asked_again = (self._chain.at, _now()), _now()

    async def grow_impatient(self, token: int, position: int, keeps: bool) -> Heard | None:
        """What is missing is asked for again and again, where the broker keeps it; after a while, it is told."""
        missing, hole = self._chain.missing, self._hole
        if hole is None:
            return Heard(position, ())
        waited = _now() - hole[1]
        if hole[0] == 0 and missing is not None and waited >= _BEGIN_AFTER:
            _log.warning("%s begins behind %s: what came before is not kept any more", self.name, missing)
            accepted, repeated = self._chain.begin()
            return await self._record(accepted, repeated, (), token, position)
        if missing is not None and waited >= self._give_up_after and not self.trouble:
            await self._tell(hole[0], missing)
        if _now() - self._asked_again < _ASK_AGAIN and not self._chain.is_full:
            return Heard(position, ())
        self._asked_again = _now()
        return None if keeps or self._chain.is_full else Heard(position, ())

    async def _tell(self, at: int, missing: int) -> None:
        """So that everybody sees it, and somebody can accept it."""
        error = BusGap(
            f"messages of {self._source} behind {at}, up to {missing}, are missing in partition {self.segment.index}",
            why="the broker lost them, or did not keep them for as long as this service was away",
            do=f"start {self._source}, which sends again what its broker lost; or accept that they are lost: "
            f"`daicho bus accept-gap {self._source}`",
            source=self._source,
            partition=self.segment.index,
            after=at,
            up_to=missing,
        )
        _log.error("%s: %s", self.name, error)
        noted = await self.checkpoints.register(self._gap, position=missing)
        if noted.position != missing:
            await self.checkpoints.rewind(self._gap, missing)
        self.trouble, self._may_have_told = f"{type(error).__name__}: {error}", True


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text[:255])


def _now() -> float:
    return asyncio.get_running_loop().time()
