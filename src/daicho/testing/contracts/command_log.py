"""The contract of `daicho.ports.command_log.CommandLog`."""

import asyncio
from typing import Any

from daicho.ports.event_store import CommandOutcome
from daicho.ports.storage import Storage
from daicho.testing.contracts.base import HOSTILE, Contract, eventually, fresh_id

__all__ = ["CommandLogContract"]


def outcome(state: str = "done", *, at: int = 0, **fields: Any) -> CommandOutcome:
    """Received `at` so many seconds past the minute."""
    received = f"2026-01-02T03:04:{at:02}.000001+00:00"
    given: dict[str, Any] = {"command_id": fresh_id(), "name": "Test", "received_at": received}
    return CommandOutcome(state=state, **{**given, **fields})


class CommandLogContract(Contract):
    async def test_an_unknown_command_has_no_outcome(self, store: Storage) -> None:
        assert await store.outcome(fresh_id()) is None

    async def test_an_outcome_comes_back_as_it_was_recorded(self, store: Storage) -> None:
        full = outcome(
            "rejected",
            key="k-1",
            fingerprint="0123456789abcdef",
            stream="order-1",
            version=3,
            position=17,
            reason="no stock",
            actor="ann",
            tenant="north",
            correlation_id=fresh_id(),
            cause=fresh_id(),
            finished_at="2026-01-02T03:05:00.000001+00:00",
            payload=bytes(range(256)),
        )
        assert await store.record(full) == full
        assert await store.outcome(full.command_id) == full

    async def test_what_an_outcome_does_not_say_stays_none(self, store: Storage) -> None:
        bare = outcome()
        await store.record(bare)
        assert await store.outcome(bare.command_id) == bare

    async def test_recording_replaces_the_earlier_outcome(self, store: Storage) -> None:
        first = outcome("failed", reason="no", payload=b"x", stream="order-1", version=1, position=1)
        second = outcome("done", command_id=first.command_id)
        await store.record(first)
        assert await store.record(second) == second
        assert await store.outcome(first.command_id) == second

    async def test_without_replacing_the_first_outcome_stands(self, store: Storage) -> None:
        first = outcome("done")
        second = outcome("failed", command_id=first.command_id)
        assert await store.record(first, replace=False) == first
        assert await store.record(second, replace=False) == first
        assert await store.outcome(first.command_id) == first

    async def test_of_racing_records_without_replacing_all_get_the_same_answer(self, store: Storage) -> None:
        command = fresh_id()
        every = [outcome(command_id=command, reason=f"writer {n}") for n in range(10)]
        answers = await asyncio.gather(*(store.record(each, replace=False) for each in every))
        assert len({answer.reason for answer in answers}) == 1
        assert await store.outcome(command) == answers[0]

    async def test_a_noted_outcome_is_there_soon(self, store: Storage) -> None:
        noted = outcome("rejected", reason="no")
        await store.note(noted)
        assert await eventually(lambda: store.outcome(noted.command_id), lambda found: found is not None) == noted

    async def test_many_noted_outcomes_are_all_there_soon(self, store: Storage) -> None:
        every = [outcome(at=n) for n in range(50)]
        for each in every:
            await store.note(each)
        found = await eventually(lambda: store.outcomes(limit=100), lambda found: len(found) == 50)
        assert list(found) == every[::-1]

    async def test_pending_commands_come_oldest_first_and_can_be_limited(self, store: Storage) -> None:
        every = [outcome("pending", at=n, payload=b"%d" % n) for n in range(6)]
        for each in every:
            await store.record(each)
        await store.record(outcome("done", at=1))
        await store.record(outcome("rejected", at=2))
        assert list(await store.pending(limit=100)) == every
        assert list(await store.pending(limit=2)) == every[:2]

    async def test_pending_commands_can_be_asked_for_by_name(self, store: Storage) -> None:
        every = [outcome("pending", at=n, name=name) for n, name in enumerate(["Pay", "Ship", "Pay", *HOSTILE])]
        for each in every:
            await store.record(each)
        assert list(await store.pending(limit=2, names=["Pay", "Other"])) == [every[0], every[2]]
        for each in every[3:]:
            assert list(await store.pending(limit=9, names=[each.name])) == [each]
        assert list(await store.pending(limit=9, names=[])) == []

    async def test_a_command_that_was_handled_is_no_longer_pending(self, store: Storage) -> None:
        one, two = outcome("pending", at=1, payload=b"1"), outcome("pending", at=2, payload=b"2")
        await store.record(one)
        await store.record(two)
        await store.record(outcome("done", at=1, command_id=one.command_id))
        assert list(await store.pending(limit=10)) == [two]

    async def test_outcomes_come_newest_first_and_can_be_limited(self, store: Storage) -> None:
        every = [outcome(at=n) for n in range(6)]
        for each in every:
            await store.record(each)
        assert list(await store.outcomes()) == every[::-1]
        assert list(await store.outcomes(limit=2)) == [every[5], every[4]]

    async def test_outcomes_can_be_asked_for_by_state(self, store: Storage) -> None:
        every = [outcome(("done", "rejected", "failed")[n % 3], at=n) for n in range(9)]
        for each in every:
            await store.record(each)
        assert list(await store.outcomes(state="rejected")) == [every[7], every[4], every[1]]
        assert list(await store.outcomes(state="pending")) == []

    async def test_outcomes_of_one_correlation_come_oldest_first(self, store: Storage) -> None:
        flow = fresh_id()
        every = [outcome("rejected" if n > 3 else "done", at=n, correlation_id=flow) for n in range(6)]
        for each in every:
            await store.record(each)
            await store.record(outcome(correlation_id=fresh_id()))
        assert list(await store.outcomes(correlation_id=flow)) == every
        assert list(await store.outcomes(correlation_id=flow, limit=2)) == every[:2]
        assert list(await store.outcomes(correlation_id=flow, state="rejected")) == every[4:]

    async def test_hostile_texts_in_outcomes_come_back(self, store: Storage) -> None:
        for text in HOSTILE:
            kept = outcome(name=text, key=text, stream=f"order-{text}", reason=text, actor=text, tenant=text)
            await store.record(kept)
            assert await store.outcome(kept.command_id) == kept
