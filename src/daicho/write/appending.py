"""Group commit: whatever was decided while the last commit was on its way to the disk goes into the next one."""

import asyncio
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from daicho.core.errors import ConcurrencyError, NotRunning
from daicho.ports.event_store import Appended, AppendRequest, EventStore, StreamWrite

__all__ = ["Appender", "Submission"]

_MOST_REQUESTS = 512
_MOST_EVENTS = 2000


class Submission(asyncio.Future[Appended]):
    """One append on its way. Its caller may give up waiting; `outcome` then still tells what became of it."""

    def __init__(self, request: AppendRequest, after: "Submission | None", loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.request, self.after = request, after
        self.outcome: Appended | Exception | None = None
        self.alone = request.outcome is not None or request.condition is not None or len(request.writes) != 1
        self.weight = sum([len(write.events) for write in request.writes])

    def tell(self, outcome: Appended | Exception) -> None:
        self.outcome, self.after = outcome, None
        if self.done():
            return  # its caller was cancelled: the outcome stands, nobody waits for it
        if isinstance(outcome, Exception):
            self.set_exception(outcome)
            self.exception()  # mark as seen: a pipelined caller may have gone
        else:
            self.set_result(outcome)

    def tell_overtaken(self) -> None:
        write = self.request.writes[0]
        what = f"the append to {write.stream} that this one was decided on top of was not written"
        self.tell(ConcurrencyError(what, expected=write.expected, actual=None))


class Appender:
    """Hands requests to the store in the order they came, as many at a time as are waiting.

    There is no delay timer: the commit in flight is the timer.

    A command may be decided on top of another that is not durable yet. That the stream has the version it expects is
    then not enough: another process may have written that version. So appends that build on each other go into one
    request, which happens as a whole or not at all, or else one waits until what became of the other is known.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._waiting: deque[Submission] = deque()
        self._drain: asyncio.Task[None] | None = None
        self._closed = False

    def submit(self, request: AppendRequest, after: Submission | None = None) -> Submission:
        """Queues the request; `after` is the one whose effect the decision took for granted. Requests of one event
        loop that write the same stream are executed in the order of their submission."""
        if self._closed:
            raise NotRunning("the App is closing and takes no more commands", do="send before leaving `async with`")
        loop = asyncio.get_running_loop()
        submission = Submission(request, after, loop)
        self._waiting.append(submission)
        if self._drain is None:
            self._drain = loop.create_task(self._run(), name="daicho-appender")
        return submission

    async def close(self) -> None:
        """Finishes what was submitted."""
        self._closed = True
        while (drain := self._drain) is not None:
            await asyncio.wait([drain])
            if self._drain is drain:
                return  # cancelled before it had begun

    async def leave(self) -> None:
        """Gives up what is under way, and returns when nothing is."""
        self._closed = True
        if (drain := self._drain) is not None:
            drain.cancel()
            while not drain.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([drain])

    async def _run(self) -> None:
        try:
            while self._waiting:
                group = self._take()
                if not group:
                    continue
                try:
                    results = await self._store.append([_joined(chain) for chain in group])
                except Exception as error:  # noqa: BLE001 - handed on to every caller of the group
                    for submission in (each for chain in group for each in chain):
                        submission.tell(error)
                    continue
                for chain, result in zip(group, results, strict=True):
                    self._tell(chain, result)
        finally:
            self._drain = None

    def _take(self) -> list[list[Submission]]:
        """Chains of submissions, each for one request."""
        group: list[list[Submission]] = []
        chains: dict[Submission, list[Submission]] = {}
        later: list[Submission] = []
        waiting, events = self._waiting, 0
        while waiting and len(group) < _MOST_REQUESTS and events < _MOST_EVENTS:
            item = waiting.popleft()
            after = item.after
            if after is None or (isinstance(after.outcome, Appended) and not after.outcome.duplicate):
                chain = [item]
                group.append(chain)
            elif after.outcome is not None:
                item.tell_overtaken()
                continue
            elif item.alone or after.alone or after not in chains:
                later.append(item)
                continue
            else:
                chain = chains[after]
                chain.append(item)
            chains[item] = chain
            events += item.weight
        waiting.extendleft(reversed(later))
        return group

    def _tell(self, chain: list[Submission], result: Appended | Exception) -> None:
        if len(chain) == 1:
            chain[0].tell(result)
            return
        first, *rest = chain
        if isinstance(result, Appended) and not result.duplicate:
            end = result.versions[0] - len(result.positions)
            start = 0
            for submission in chain:
                count = len(submission.request.writes[0].events)
                end += count
                submission.tell(Appended(positions=result.positions[start : start + count], versions=(end,)))
                start += count
            return
        if isinstance(result, ConcurrencyError):
            first.tell(result)
        else:  # one of them is the cause, and only alone can the first tell whether it was
            first.alone = True
            self._waiting.appendleft(first)
        for submission in rest:
            submission.tell_overtaken()


def _joined(chain: Sequence[Submission]) -> AppendRequest:
    request = chain[0].request
    if len(chain) == 1:
        return request
    [write] = request.writes
    events = tuple(event for submission in chain for event in submission.request.writes[0].events)
    joined = StreamWrite(stream=write.stream, events=events, expected=write.expected)
    return AppendRequest(writes=(joined,), inline=request.inline)
