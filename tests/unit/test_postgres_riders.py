"""Writes that nobody waits for: together, in time, again if need be, and never lost without a word."""

import asyncio
import logging
from collections.abc import Sequence

import pytest

from daicho.adapters.stores.postgres import riders
from daicho.adapters.stores.postgres.riders import Riders
from daicho.core.errors import InvalidMessage, StoreUnavailable


class Sink:
    """What was written, batch by batch; refuses while `errors` last, and always what says `bad`."""

    def __init__(self, *errors: Exception) -> None:
        self.batches: list[list[str]] = []
        self.written = asyncio.Event()
        self.errors = list(errors)

    async def write(self, batch: Sequence[str]) -> None:
        await asyncio.sleep(0)
        if self.errors:
            raise self.errors.pop(0)
        if "bad" in batch:
            raise InvalidMessage("bad")
        self.batches.append(list(batch))
        self.written.set()


async def test_what_comes_at_about_the_same_time_is_written_together() -> None:
    sink = Sink()
    notes = Riders(sink.write, what="notes")
    for key, text in (("a", "1"), ("b", "2"), ("a", "3")):
        await notes.add(key, text)
    assert sink.batches == []
    await notes.settle()
    assert sink.batches == [["3", "2"]]
    await notes.settle()
    await notes.close()
    assert len(sink.batches) == 1


async def test_what_nobody_asks_for_is_written_as_well() -> None:
    sink = Sink()
    notes = Riders(sink.write, what="notes")
    await notes.add("a", "1")
    await asyncio.wait_for(sink.written.wait(), 5)
    await notes.add("a", "2")
    await notes.close()
    assert sink.batches == [["1"], ["2"]]


async def test_who_asks_is_told_what_went_wrong_and_it_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(StoreUnavailable("away"))
    notes = Riders(sink.write, what="notes", merge=max)
    await notes.add("a", "2")
    with pytest.raises(StoreUnavailable):
        await notes.settle()
    await notes.add("a", "1")
    await notes.add("b", "1")
    await notes.settle()
    assert sink.batches == [["2", "1"]]
    assert "1 notes are not written yet: away" in caplog.text


async def test_one_that_cannot_be_stored_does_not_keep_the_others(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink()
    notes = Riders(sink.write, what="notes")
    for text in ("1", "bad", "2"):
        await notes.add(text, text)
    await notes.settle()
    assert sink.batches == [["1"], ["2"]]
    assert "cannot be stored and is given up: {'bad': 'bad'}" in caplog.text
    assert caplog.records[-1].levelno == logging.ERROR


async def test_closing_gives_up_what_cannot_be_written_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    sink = Sink(StoreUnavailable("away"))
    notes = Riders(sink.write, what="notes")
    await notes.add("a", "1")
    await notes.close()
    assert sink.batches == []
    assert "1 notes were given up at closing" in caplog.text


async def test_very_many_that_cannot_be_written_are_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(riders, "_MOST", 2)
    sink = Sink(StoreUnavailable("away"))
    notes = Riders(sink.write, what="notes")
    await notes.add("a", "1")
    await notes.add("b", "1")
    with pytest.raises(StoreUnavailable):
        await notes.add("c", "1")
    await notes.add("c", "1")
    await notes.close()
    assert sink.batches == [["1", "1"], ["1"]]
