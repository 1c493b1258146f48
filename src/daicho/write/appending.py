"""Group commit: whatever was decided while the last commit was on its way to the disk goes into the next one."""

import asyncio
from collections import deque
from collections.abc import Generator, Sequence
from contextlib import suppress
from math import inf
from typing import Any

from daicho.core.errors import ConcurrencyError, NotRunning
from daicho.ports.event_store import Appended, AppendRequest, Beginning, EventStore, StreamWrite

__all__ = ["Appender", "Submission"]

_LONE = 3
_MANY = 8
"""Requests of a group whose callers are worth being told in two halves."""
_MOST_REQUESTS = 512
_MOST_EVENTS = 2000


class Submission:
    """One append on its way. Its caller may give up waiting; `outcome` then still tells what became of it.

    What is waited for is a plain future: the event loop is quicker with those than with one that knows more.
    """

    __slots__ = ("after", "alone", "future", "outcome", "request", "weight")

    def __init__(self, request: AppendRequest, after: "Submission | None", future: asyncio.Future[Appended]) -> None:
        self.request, self.after, self.future = request, after, future
        self.outcome: Appended | Exception | None = None
        writes = request.writes
        if len(writes) == 1:
            self.alone = request.outcome is not None or request.condition is not None
            self.weight = len(writes[0].events)
        else:
            self.alone = True
            self.weight = sum([len(write.events) for write in writes])

    def __await__(self) -> Generator[Any, None, Appended]:
        return self.future.__await__()

    @property
    def stands(self) -> bool:
        """Whether it was appended, and not before."""
        return isinstance(self.outcome, Appended) and not self.outcome.duplicate

    def done(self) -> bool:
        return self.future.done()

    def cancel(self) -> bool:
        """Gives up waiting. The append goes on."""
        return self.future.cancel()

    def result(self) -> Appended:
        return self.future.result()

    def tell(self, outcome: Appended | Exception) -> None:
        self.outcome, self.after = outcome, None
        future = self.future
        if future.done():
            return  # its caller was cancelled: the outcome stands, nobody waits for it
        if isinstance(outcome, Exception):
            future.set_exception(outcome)
            future.exception()  # mark as seen: a pipelined caller may have gone
        else:
            future.set_result(outcome)

    def tell_overtaken(self) -> None:
        write = self.request.writes[0]
        what = f"the append to {write.stream} that this one was decided on top of was not written"
        self.tell(ConcurrencyError(what, expected=write.expected, actual=None))


class Appender:
    """Hands requests to the store in the order they came, as many at a time as are waiting.

    There is no delay timer: the commit in flight is the timer. Who has been alone for a while need not wait for others
    who might come in the same turn of the event loop: where the store can do it, what is submitted is sent at once.

    Callers who are told at once come back at once, with their next append. If that is soon, whoever came in between
    waits for them, and a commit is saved. If they have much to do first, store and callers would wait for each other
    by turns: then it is better that one half of them is under way while the other half is at work.

    A command may be decided on top of another that is not durable yet. That the stream has the version it expects is
    then not enough: another process may have written that version. So appends that build on each other go into one
    request, which happens as a whole or not at all, or else one waits until what became of the other is known.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._begin = store.begin if isinstance(store, Beginning) else None
        self._waiting: deque[Submission] = deque()
        self._drain: asyncio.Future[None] | None = None
        """Done when nothing is under way any more."""
        self._lone = 0
        """How many groups of one came after one another, with nobody waiting behind them."""
        self._told, self._latest = inf, 0.0
        """When callers were told last, and when somebody submitted something last; by the event loop's clock."""
        self._closed = False

    def submit(self, request: AppendRequest, after: Submission | None = None) -> Submission:
        """Queues the request; `after` is the one whose effect the decision took for granted. Requests of one event
        loop that write the same stream are executed in the order of their submission."""
        if self._closed:
            raise NotRunning("the App is closing and takes no more commands", do="send before leaving `async with`")
        loop = asyncio.get_running_loop()
        submission = Submission(request, after, loop.create_future())
        self._latest = loop.time()
        if self._drain is None and not self._waiting:
            if self._lone >= _LONE and self._begun(submission, loop):
                return submission
            self._drain = loop.create_task(self._run(), name="daicho-appender")
        self._waiting.append(submission)
        return submission

    def _begun(self, submission: Submission, loop: asyncio.AbstractEventLoop) -> bool:
        """Sends it at once, where that can be done and there is nobody to wait for."""
        after = submission.after
        if self._begin is None or (after is not None and not after.stands):
            return False
        ended = loop.create_future()

        def told(outcome: Appended | Exception) -> None:
            submission.tell(outcome)
            self._drain = None
            if self._waiting:
                self._lone = 0
                self._drain = loop.create_task(self._run(), name="daicho-appender")
            if not ended.done():
                ended.set_result(None)

        if not self._begin(submission.request, told):
            return False
        self._drain = ended
        return True

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
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                group = self._take()
                self._lone = self._lone + 1 if len(group) == 1 and not self._waiting else 0
                if not group:
                    continue
                began = loop.time()
                try:
                    results = await self._store.append(
                        [chain[0].request if len(chain) == 1 else _joined(chain) for chain in group]
                    )
                except Exception as error:  # noqa: BLE001 - handed on to every caller of the group
                    for submission in (each for chain in group for each in chain):
                        submission.tell(error)
                    continue
                took, away = loop.time() - began, self._latest - self._told
                self._told = began + took
                answers = list(zip(group, results, strict=True))
                if 2 * away < took:
                    self._tell_all(answers)
                    if len(group) == 1 and not self._waiting:
                        continue
                elif self._waiting or len(group) < _MANY or 4 * away < 3 * took:
                    self._tell_all(answers)
                    continue
                else:
                    half = len(answers) // 2  # told before this goes on: one of them may have to be tried again
                    loop.call_soon(self._tell_all, answers[half:])
                    self._tell_all(answers[:half])
                await asyncio.sleep(0)  # those who were told may come back
        finally:
            self._drain = None

    def _tell_all(self, answers: Sequence[tuple[list[Submission], Appended | Exception]]) -> None:
        for chain, result in answers:
            if len(chain) == 1:
                chain[0].tell(result)
            else:
                self._tell(chain, result)

    def _take(self) -> list[list[Submission]]:
        """Chains of submissions, each for one request."""
        group: list[list[Submission]] = []
        chains: dict[Submission, list[Submission]] | None = None
        later: list[Submission] = []
        waiting, events = self._waiting, 0
        while waiting and len(group) < _MOST_REQUESTS and events < _MOST_EVENTS:
            item = waiting.popleft()
            after = item.after
            if after is None or after.stands:
                chain = [item]
                group.append(chain)
            elif after.outcome is not None:
                item.tell_overtaken()
                continue
            else:
                if chains is None:  # up to here nothing was built on anything under way
                    chains = {chain[0]: chain for chain in group}
                if item.alone or after.alone or after not in chains:
                    later.append(item)
                    continue
                chain = chains[after]
                chain.append(item)
            if chains is not None:
                chains[item] = chain
            events += item.weight
        waiting.extendleft(reversed(later))
        return group

    def _tell(self, chain: list[Submission], result: Appended | Exception) -> None:
        """The same for several that went as one request."""
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
    [write] = request.writes
    events = tuple(event for submission in chain for event in submission.request.writes[0].events)
    state = chain[-1].request.writes[0].state  # of the last one, which was decided on top of all others
    joined = StreamWrite(stream=write.stream, events=events, expected=write.expected, state=state)
    return AppendRequest(writes=(joined,), inline=request.inline, epoch=request.epoch)
