"""Set rules at work: what other streams hold, and under which condition a decision about it still holds.

Every read of a decision is made after its head was taken, and what it finds beyond that head is noted: the append then
fails exactly if something came that the decision did not know.
"""

import asyncio
import logging
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Iterable, Mapping
from copy import copy
from datetime import datetime
from typing import Generic, NamedTuple, TypeVar

from daicho.core.conditions import AppendCondition, Criteria
from daicho.core.errors import Full, Taken
from daicho.core.messages import Event, replace
from daicho.core.registry import Registry
from daicho.core.rules import Capacity, Change, Gapless, Holdings, Rules, Unique
from daicho.core.times import from_text
from daicho.ports.event_store import EventStore, Selection, StoredEvent

__all__ = ["Look", "Rulebook"]

_PAGE = 1000
_KEPT = 10_000
_log = logging.getLogger("daicho")

V = TypeVar("V")


class _Recent(Generic[V]):
    """The values asked for last, so many at most."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: OrderedDict[str, V] = OrderedDict()

    def get(self, key: str, otherwise: V) -> V:
        if key not in self._values:
            return otherwise
        self._values.move_to_end(key)
        return self._values[key]

    def keep(self, key: str, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)


class _Last(NamedTuple):
    """The last that happened to a value."""

    stream: str
    at: str
    is_taken: bool
    """By `stream`; else it was given up by it."""


class _Inherited(NamedTuple):
    """What was held under rules before they were declared: those events have no tag of a rule."""

    last: Mapping[str, _Last]
    counts: Mapping[str, int]


class Rulebook:
    """What this process knows of what streams hold. Everything in it can be forgotten, and is, but for what was there
    before a rule was: that is read once, when the rule is used first."""

    def __init__(self, store: EventStore, registry: Registry) -> None:
        self.store, self.registry = store, registry
        self._held: _Recent[tuple[int, Holdings]] = _Recent(_KEPT)
        self.counts: _Recent[tuple[int, int] | None] = _Recent(_KEPT)
        """By tag: how many streams held the value up to a position."""
        self._inherited: dict[str, _Inherited] = {}
        self._reading = asyncio.Lock()

    def through(self, store: EventStore) -> "Rulebook":
        """For one decision on what `store` sees, which may never come to be. Counts are of what lies before the head,
        so of what has come to be, and are shared; what single streams hold is not."""
        other = copy(self)
        other.store, other._held = store, _Recent(_KEPT)
        return other

    def forget(self) -> None:
        """All of it: events that it was learnt from may be gone."""
        self._held, self._inherited = _Recent(_KEPT), {}
        self.counts = _Recent(_KEPT)

    def decode(self, event: StoredEvent) -> Event:
        return self.registry.decode(event.type, event.schema_version, event.data, event.position)

    async def held_by(self, rules: Rules, stream: str, version: int) -> Holdings:
        """What the stream holds at `version`: yours to change."""
        known, held = self._held.get(stream, (0, {}))
        if known > version:
            known, held = 0, {}
        held = dict(held)
        names = self.registry.names_of(rules.holding_events)
        while names and known < version:
            rest = Selection(stream=stream, types=names, after_version=known, up_to_version=version, beyond_head=True)
            page = await self.store.read(rest, limit=_PAGE)
            for event in page:
                rules.changes(held, self.decode(event))
            known = page[-1].version if len(page) == _PAGE else version
        return held

    def keep(self, stream: str, version: int, held: Holdings) -> None:
        """Remembers what the stream holds, now that it is recorded."""
        self._held.keep(stream, (version, held))

    async def inherited(self, rules: Rules) -> _Inherited:
        category = rules.category
        if category not in self._inherited:
            async with self._reading:
                if category not in self._inherited:
                    self._inherited[category] = await self._inherit(rules)
        return self._inherited[category]

    async def _inherit(self, rules: Rules) -> _Inherited:
        last: dict[str, _Last] = {}
        count: Counter[str] = Counter()
        open_rules = set(rules.holding)
        names = self.registry.names_of(rules.holding_events)
        held: dict[str, Holdings] = defaultdict(dict)
        after, limit = 0, 1  # the first event shows, in a store that had its rules from the beginning
        if not await self.store.streams(rules.category, limit=1):
            open_rules.clear()
        while open_rules and (
            page := await self.store.read(Selection(category=rules.category, types=names, after=after), limit=limit)
        ):
            for event in page:
                for change in rules.changes(held[event.stream], self.decode(event)):
                    if not set(change.tags).isdisjoint(event.tags):
                        open_rules.discard(change.rule)  # from here on, every change has its tag
                    elif change.rule in open_rules:
                        for tag in change.tags:
                            last[tag] = _Last(event.stream, event.occurred_at, is_taken=tag == change.taken)
                            count[tag] += 1 if tag == change.taken else -1
                            if count[tag] > 1 and isinstance(change.rule, Unique):
                                _log.warning("%s was held by several streams before the rule; of %s", tag, event.stream)
            after, limit = page[-1].position, _PAGE
        return _Inherited(last, count)


class Look:
    """One decision's look at what is stored."""

    def __init__(self, book: Rulebook, rules: Rules) -> None:
        self._book, self._rules = book, rules
        self._head: int | None = None
        self._beyond: dict[str, dict[int, tuple[str, ...]]] = {}
        """By tag that was looked for: position and tags of what was found beyond the head."""

    async def coming(self, sequences: Mapping[str, Gapless]) -> dict[str, int]:
        """The next number of each field."""
        numbers: dict[str, int] = {}
        for tag, rule in sequences.items():
            last = await self._newest(tag)
            if last is None:  # the first under the rule; there may be numbers from before it
                numbers[rule.field] = max(rule.start, 1 + await self._last_before(rule, rule.start - 1))
            else:
                numbers[rule.field] = 1 + getattr(self._book.decode(last), rule.field)
        return numbers

    async def check(self, stream: str, changes: Iterable[Change], now: datetime) -> None:
        """Raises Taken or Full if `stream` may not have what it takes."""
        more: Counter[str] = Counter()
        for change in changes:
            if change.left is not None:
                more[change.left] -= 1
            if change.taken is not None:
                if isinstance(change.rule, Unique):
                    await self._check_unique(change.rule, stream, change, change.taken, now)
                else:
                    await self._check_capacity(change.rule, change, change.taken, more[change.taken])
                more[change.taken] += 1

    def condition(self, tags: Iterable[str]) -> AppendCondition | None:
        """That nothing came with one of `tags` that was not found when that tag was looked for."""
        looked = {tag: self._beyond[tag] for tag in dict.fromkeys(tags)}
        if not looked or self._head is None:
            return None
        seen = {
            position
            for found in looked.values()
            for position, tagged in found.items()
            if all(position in looked[tag] for tag in tagged if tag in looked)
        }
        first, *others = (Criteria(tags=[tag]) for tag in looked)
        criteria = first
        for other in others:
            criteria = criteria | other
        return AppendCondition(criteria, after=self._head, seen=tuple(sorted(seen)))

    # -- reading --------------------------------------------------------------------------------------------------

    async def _marker(self, tag: str) -> tuple[int, dict[int, tuple[str, ...]]]:
        if self._head is None:
            self._head = await self._book.store.head()
        return self._head, self._beyond.setdefault(tag, {})

    async def _newest(self, tag: str) -> StoredEvent | None:
        """The last event with the tag, and beyond the head all of them."""
        head, beyond = await self._marker(tag)
        newest: StoredEvent | None = None
        wanted, limit = Selection(criteria=Criteria(tags=[tag]), newest_first=True, beyond_head=True), 1
        while page := await self._book.store.read(wanted, limit=limit):
            newest = newest or page[0]
            beyond.update((event.position, event.tags) for event in page if event.position > head)
            if page[-1].position <= head:
                break
            wanted, limit = replace(wanted, up_to=page[-1].position - 1), 100
        return newest

    async def _last_before(self, rule: Gapless, otherwise: int) -> int:
        names = self._book.registry.names_of(self._rules.numbered(rule))
        page = await self._book.store.read(
            Selection(category=self._rules.category, types=names, newest_first=True), limit=1
        )
        number: int = getattr(self._book.decode(page[0]), rule.field) if page else otherwise
        return number

    async def _check_unique(self, rule: Unique, stream: str, change: Change, tag: str, now: datetime) -> None:
        newest = await self._newest(tag)
        if newest is None:
            last = (await self._book.inherited(self._rules)).last.get(tag)
        else:
            is_taken = self._rules.takes(rule, self._book.decode(newest), tag)
            last = _Last(newest.stream, newest.occurred_at, is_taken)
        if last is None or last.stream == stream:
            return
        since = from_text(last.at)
        if last.is_taken:
            raise Taken(field=rule.field, value=change.value, by=last.stream, since=since)
        if rule.hold is not None and now < (until := since + rule.hold):
            raise Taken(field=rule.field, value=change.value, by=last.stream, since=since, until=until)

    async def _check_capacity(self, rule: Capacity, change: Change, tag: str, more: int) -> None:
        limit = rule.limit if isinstance(rule.limit, int) else rule.limit(change.event)
        taken = await self._count(rule, tag) + more
        if taken >= limit:
            raise Full(field=rule.field, value=change.value, limit=limit, taken=taken)

    async def _count(self, rule: Capacity, tag: str) -> int:
        """How many streams hold the value. What was counted before is not read again."""
        head, beyond = await self._marker(tag)
        known = self._book.counts.get(tag, None)
        counted, count = known or (0, (await self._book.inherited(self._rules)).counts.get(tag, 0))
        settled, after = count, min(counted, head)
        wanted = Selection(criteria=Criteria(tags=[tag]), beyond_head=True)
        while page := await self._book.store.read(replace(wanted, after=after), limit=_PAGE):
            for event in page:
                if event.position > counted:
                    count += 1 if self._rules.takes(rule, self._book.decode(event), tag) else -1
                if event.position > head:
                    beyond[event.position] = event.tags
                else:
                    settled = count
            if len(page) < _PAGE:
                break
            after = page[-1].position
        self._book.counts.keep(tag, (max(counted, head), settled))
        return count
