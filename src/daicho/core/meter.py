"""Look-to-Book: how often is looked, how often booked. Counted per query, view, aggregate and tenant."""

from collections import Counter
from collections.abc import Collection, Mapping

import msgspec

__all__ = ["Meter", "Ratio", "recommended"]

MOST_TENANTS = 1000
"""Beyond so many they are counted together, as `other`: whoever names tenants at will shall not fill the memory."""


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """How one aggregate is used."""

    aggregate: str
    reads: int
    """Answers that were made from views of its events."""
    writes: int
    """Commands to it that recorded something."""
    ratio: float | None
    """Reads per write. None: nothing was written."""
    recommended: str
    why: str


class Meter:
    """Counts since the App was made. Costs two additions a message."""

    def __init__(self, sources: Mapping[str, Collection[str]] | None = None) -> None:
        """`sources`: by view, the categories whose events it is made of."""
        self._sources = sources or {}
        self.reads: Counter[tuple[str, str]] = Counter()
        """By query and tenant."""
        self.views: Counter[tuple[str, str]] = Counter()
        """By view and tenant."""
        self.writes: Counter[tuple[str, str, str]] = Counter()
        """By category, command and tenant."""
        self._tenants: set[str] = set()

    def read(self, query: str, views: Collection[str], tenant: str | None = None) -> None:
        known = self._known(tenant)
        self.reads[query, known] += 1
        for view in views:
            self.views[view, known] += 1

    def wrote(self, category: str, command: str, tenant: str | None = None) -> None:
        self.writes[category, command, self._known(tenant)] += 1

    def _known(self, tenant: str | None) -> str:
        if tenant is None or tenant in self._tenants:
            return tenant or ""
        if len(self._tenants) >= MOST_TENANTS:
            return "other"
        self._tenants.add(tenant)
        return tenant

    def ratios(self, categories: Collection[str], tenant: str | None = None) -> list[Ratio]:
        """Of each aggregate; of one tenant alone if it is named."""
        reads: Counter[str] = Counter()
        writes: Counter[str] = Counter()
        for (view, whose), count in self.views.items():
            if tenant is None or whose == tenant:
                for category in self._sources.get(view, ()):
                    reads[category] += count
        for (category, _, whose), count in self.writes.items():
            if tenant is None or whose == tenant:
                writes[category] += count
        return [_ratio(category, reads[category], writes[category]) for category in sorted(categories)]


def _ratio(aggregate: str, reads: int, writes: int) -> Ratio:
    ratio = reads / writes if writes else None
    what, why = recommended(reads, writes)
    rounded = None if ratio is None else round(ratio, 2)
    return Ratio(aggregate=aggregate, reads=reads, writes=writes, ratio=rounded, recommended=what, why=why)


def recommended(reads: int, writes: int) -> tuple[str, str]:
    """What such a ratio calls for, and why."""
    if not reads and not writes:
        return "unknown", "nothing was asked of it and nothing done to it yet"
    ratio = reads / writes if writes else float("inf")
    if ratio >= 100:
        return "CQRS + CDN/cache", "cache reads at the edge, writes centralised"
    if ratio >= 10:
        return "full CQRS", "complete separation, several read models"
    if ratio >= 5:
        return "staged CQRS", "separate only the read views, writes as before"
    if ratio > 3:
        return "simple CRUD", "the rule is silent from 3:1 to 5:1: the other criteria decide, see `daicho advise`"
    return "simple CRUD", "CQRS is excessive; read replicas suffice"
