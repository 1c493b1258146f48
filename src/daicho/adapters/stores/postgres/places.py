"""Where events stand already: how a repeated append is recognised."""

from daicho.adapters.stores.postgres.lines import Rows
from daicho.core.errors import DuplicateEventId
from daicho.ports.event_store import Appended, AppendRequest

__all__ = ["Places"]


class Places:
    """Stream, version and position of those events of some requests that are in the store."""

    def __init__(self, rows: Rows) -> None:
        self._found: dict[str, tuple[str, int, int]] = {
            event_id: (stream, version, position) for event_id, stream, version, position in rows
        }

    def of(self, request: AppendRequest, *, first_time: bool) -> Appended | DuplicateEventId | None:
        """The places that these very events got; None if none of the ids is in use.

        `first_time`: it was this very append that put them there, and only its answer was lost.
        """
        positions: list[int] = []
        versions: list[int] = []
        wanted, same = 0, True
        for write in request.writes:
            last = 0
            for event in write.events:
                wanted += 1
                place = self._found.get(event.event_id)
                if place is None:
                    continue
                stream, version, position = place
                same = same and stream == write.stream and version > last
                same = same and (not positions or position > positions[-1])
                last = version
                positions.append(position)
            versions.append(last)
        if not positions:
            return None
        if same and len(positions) == wanted:
            return Appended(positions=tuple(positions), versions=tuple(versions), duplicate=not first_time)
        return DuplicateEventId(
            "an event id of this append is in use already",
            why=f"{len(positions)} of its {wanted} events are in the store, not all of them in these places",
            do="append the same events in the same order again, or use fresh ids",
            positions=tuple(positions),
        )
