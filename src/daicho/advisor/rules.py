"""The rules, as tables: Look-to-Book, the seven criteria, and the use cases of event sourcing."""

from typing import Literal, TypeAlias

from daicho.advisor.answers import UseCase

__all__ = ["APPROACHES", "EVENTS", "TOPOLOGIES", "USE_CASE_EVENTS", "Approach", "Band", "Events", "Topology"]
__all__ += ["band_of", "guessed_use_case"]

Approach: TypeAlias = Literal["crud", "staged", "full", "edge"]
Topology: TypeAlias = Literal["crud", "1:1", "10:1", "100:1"]
Events: TypeAlias = Literal["must", "recommended", "optional", "not needed"]
Band: TypeAlias = Literal["below", "crud", "between", "staged", "full", "edge", "unwritten", "unknown"]
"""Where a ratio lies. The rule has two gaps: `below` 1:1, and `between` 3:1 and 5:1. `unwritten`: read and never
written."""

APPROACHES: tuple[Approach, ...] = ("crud", "staged", "full", "edge")
TOPOLOGIES: dict[Approach, Topology] = {"crud": "crud", "staged": "1:1", "full": "10:1", "edge": "100:1"}
EVENTS: tuple[Events, ...] = ("not needed", "optional", "recommended", "must")

USE_CASE_EVENTS: dict[UseCase, Events] = {
    "financial": "must",
    "orders": "recommended",
    "inventory": "recommended",
    "authentication": "optional",
    "master data": "not needed",
}

_NAMES: dict[UseCase, tuple[str, ...]] = {
    "financial": ("payment", "account", "ledger", "invoice", "transaction", "balance", "transfer", "wallet"),
    "orders": ("order", "booking", "reservation", "purchase", "shipment", "cart"),
    "inventory": ("inventory", "stock", "warehouse"),
    "authentication": ("user", "login", "session", "auth", "credential"),
    "master data": ("product", "catalog", "catalogue", "country", "currency", "category", "genre", "price", "tax"),
}


def band_of(ratio: float | None) -> Band:
    """Where reads per write lie. 10:1 ends one row of the rule and begins the next: it counts as the next, as the
    criterion says "10:1 and above"; so does 100:1, after the rule's own example."""
    if ratio is None:
        return "unknown"
    if ratio == float("inf"):
        return "unwritten"
    for band, least in (("edge", 100), ("full", 10), ("staged", 5)):
        if ratio >= least:
            return band  # type: ignore[return-value]
    if ratio > 3:
        return "between"
    return "crud" if ratio >= 1 else "below"


def guessed_use_case(entity: str) -> UseCase | None:
    """What an entity of that name most likely is for. A guess, and told as one."""
    words = entity.lower().replace("-", "_").split("_")
    for use_case, names in _NAMES.items():
        if any(word in names or word.removesuffix("s") in names for word in words):
            return use_case
    return None
