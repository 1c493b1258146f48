"""How every durable reader of a store stands, from the store alone."""

from datetime import UTC, datetime

import msgspec

from daicho.cli.opening import Look
from daicho.core.segments import root_of
from daicho.core.streams import apart
from daicho.ports.checkpoint_store import CUT, PAUSED, Checkpoint
from daicho.ports.event_store import Selection

__all__ = ["STANDING_COLUMNS", "Standing", "standings"]

STANDING_COLUMNS = (
    "processor",
    "live",
    "state",
    "position",
    "events_behind",
    "seconds_behind",
    "parked",
    "code",
    "owner",
)


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    processor: str
    kind: str
    """`projection` or `reaction`."""
    name: str
    live: bool | None
    """Whether readers see this build; None for what is no projection."""
    state: str
    """`live`, `catching up`, `paused`, or `stopped`: no process runs it now."""
    position: int
    events_behind: int
    seconds_behind: float
    parked: int
    code: str | None
    """`same` or `changed` since the rows were built; `unknown` to this app; None without an app."""
    owner: str | None
    updated_at: str


async def standings(look: Look) -> list[Standing]:
    storage = look.storage
    head = await storage.head()
    parked = await storage.parked_counts()
    found: list[Standing] = []
    for checkpoint in await storage.checkpoints():
        kind, _, rest = root_of(checkpoint.processor).partition(":")
        name, _, generation = rest.partition("@")
        if kind not in ("projection", "reaction") or checkpoint.owner == CUT:  # no readers of the log
            continue
        live = await storage.live_generation(name) == int(generation) if generation.isdecimal() else None
        behind = apart(checkpoint.position, head)
        found.append(
            Standing(
                processor=checkpoint.processor,
                kind=kind,
                name=name,
                live=live,
                state=_state(checkpoint, behind),
                position=checkpoint.position,
                events_behind=behind,
                seconds_behind=await _age(look, checkpoint.position) if behind else 0.0,
                parked=parked.get(checkpoint.processor, 0),
                code=_code(look, kind, name, checkpoint),
                owner=checkpoint.owner if checkpoint.runs else None,
                updated_at=checkpoint.updated_at,
            )
        )
    return found


def _state(checkpoint: Checkpoint, behind: int) -> str:
    if not checkpoint.runs:
        return "paused" if checkpoint.owner == PAUSED else "stopped"
    return "catching up" if behind else "live"


def _code(look: Look, kind: str, name: str, checkpoint: Checkpoint) -> str | None:
    if look.app is None:
        return None
    if kind == "reaction":
        return None if any(reaction.name == name for reaction in look.app.model.reactions) else "unknown"
    fold = next((fold for fold in look.app.model.folds if fold.name == name), None)
    if fold is None:
        return "unknown"
    return "same" if checkpoint.fold == fold.code else "changed"


async def _age(look: Look, position: int) -> float:
    """Seconds since the first event behind `position` was recorded."""
    following = await look.storage.read(Selection(after=position), limit=1)
    if not following:
        return 0.0
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(following[0].recorded_at)).total_seconds())
