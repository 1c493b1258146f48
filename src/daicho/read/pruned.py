"""Views are made of events from the first one on: where events were pruned, they cannot be made again."""

from collections.abc import Collection, Mapping, Sequence

from daicho.core.behaviour import Behaviour
from daicho.core.errors import HistoryPruned
from daicho.core.messages import Event
from daicho.ports.state_store import StateStore

__all__ = ["check_heard", "check_whole"]


async def check_whole(store: StateStore, view: str, sources: Mapping[str, Sequence[str]]) -> None:
    """Raises HistoryPruned if events of a category that the view is made of are gone."""
    standings = await store.standings()
    for category in sources.get(view, ()):
        standing = standings.get(category)
        if standing is not None and standing.pruned_to:
            raise HistoryPruned(
                f"the view {view!r} cannot be built from the beginning",
                why=f"events of {category!r} up to position {standing.pruned_to} were pruned; "
                "its rows would lack what those said",
                do="go on with the rows that there are; for another view, keep rows in a `Crud` part, and fill them "
                "from `app.states(...)`",
                category=category,
                view=view,
            )


async def check_heard(
    store: StateStore, reader: str, events: Collection[type[Event]], categories: Mapping[str, Behaviour]
) -> None:
    """Raises HistoryPruned if a reader that is to begin at the first event would miss some that are gone."""
    for category, standing in (await store.standings()).items():
        behaviour = categories.get(category)
        if standing.pruned_to and behaviour is not None and not set(events).isdisjoint(behaviour.events):
            raise HistoryPruned(
                f"{reader} is to begin with the first event, and cannot",
                why=f"events of {category!r} up to position {standing.pruned_to} were pruned",
                do="take `from_start=True` off it: then it begins with the next event",
                category=category,
                reader=reader,
            )
