"""Every error Daicho raises.

    DaichoError
    ├── Rejected                    the business said no
    │   ├── Taken                   `unique`: another stream holds the value
    │   └── Full                    `capacity`: as many streams as may hold the value do
    ├── MessageError
    │   ├── InvalidMessage          a field is missing, unknown, of the wrong type or out of its bounds
    │   ├── UnknownMessage          no part of this application handles it
    │   ├── KeyReused               an idempotency key came back with another body
    │   ├── NotAuthorised           the authorisation hook said no
    │   └── EventTooLarge           one event is over the limit
    ├── WiringError                 the parts of the App do not fit together (found at start-up)
    │   ├── TwoHandlers  MissingHandler  MissingApply  MisplacedAsync  MissingCollaborator
    │   └── CyclicWiring            events and commands chase each other for ever
    ├── ConfigurationError
    │   ├── BadUrl                  a store, bus or view URL cannot be understood
    │   └── MissingExtra            an optional library is not installed
    ├── StoreError
    │   ├── ConcurrencyError        an expected version or an append condition failed
    │   ├── DuplicateEventId        an event id was used before, for another event
    │   ├── StoreClosed  StoreBusy  StoreFull  StoreReadOnly  StoreCorrupt  ForeignStore  UnsafeSqlite
    │   ├── StoreFailed             the database refused for another reason
    │   ├── StoreUnavailable        the database server cannot be reached
    │   ├── StoreOutdated           the database has to be migrated first
    │   └── OutcomeUnknown          the answer was lost: retry with the same ids
    ├── HistoryError
    │   ├── UnknownEventType        a stored event's type or version is not registered
    │   ├── UnreadableEvent         a stored event's data does not fit its class
    │   └── CannotApply             evolving a state with a stored event raised
    ├── ReadError
    │   ├── StaleAnswer             a view did not catch up within the deadline; carries the lag and the answer
    │   ├── UnknownView             a query asked for a view that is not part of the App
    │   ├── NoSuchField             a query filters or orders by a field that the row does not have
    │   ├── NotSearchable           a query searches rows that cannot be searched
    │   ├── NotBuilt                a generation to switch to, compare with or go back to is not there
    │   ├── Rebuilding              a view is being built anew and has no complete answer yet
    │   ├── NoPast                  a question about the past reads what keeps none
    │   └── PastIncomplete          the present code cannot fold all of the past; carries the answer without the rest
    ├── NotFound                    a tool was asked about something that is not there
    └── FlowError
        ├── ProjectionFailed        an inline projection raised: the append it belongs to was not written
        ├── Unsettled               something that was waited for got parked
        ├── TooManyHops             a command-event-command chain is longer than the limit
        ├── LostLease               another process took over this processor
        ├── NotParked               there is no such dead letter
        ├── NotRunning              the App has not been entered, or was left
        └── CannotTry               a dead letter cannot be tried without doing it

Each carries `what` happened, `why`, what to `do`, and its data as `data`. Codes are stable: `daicho explain D120`.
"""

from datetime import datetime
from typing import Any, ClassVar

__all__ = [
    "BadUrl",
    "CannotApply",
    "CannotTry",
    "ConcurrencyError",
    "ConfigurationError",
    "CyclicWiring",
    "DaichoError",
    "DuplicateEventId",
    "EventTooLarge",
    "FlowError",
    "ForeignStore",
    "Full",
    "HistoryError",
    "InvalidMessage",
    "KeyReused",
    "LostLease",
    "MessageError",
    "MisplacedAsync",
    "MissingApply",
    "MissingCollaborator",
    "MissingExtra",
    "MissingHandler",
    "NoPast",
    "NoSuchField",
    "NotAuthorised",
    "NotBuilt",
    "NotFound",
    "NotParked",
    "NotRunning",
    "NotSearchable",
    "OutcomeUnknown",
    "PastIncomplete",
    "ProjectionFailed",
    "ReadError",
    "Rebuilding",
    "Rejected",
    "StaleAnswer",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreOutdated",
    "StoreReadOnly",
    "StoreUnavailable",
    "Taken",
    "TooManyHops",
    "TwoHandlers",
    "UnknownEventType",
    "UnknownMessage",
    "UnknownView",
    "UnreadableEvent",
    "UnsafeSqlite",
    "Unsettled",
    "WiringError",
]


class DaichoError(Exception):
    """The root. Catch it to catch everything that Daicho itself raises."""

    code: ClassVar[str] = "D000"

    def __init__(self, what: str, *, why: str = "", do: str = "", **data: Any) -> None:
        self.what, self.why, self.do, self.data = what, why, do, data
        super().__init__("\n".join(part for part in (what, why and f"Why: {why}", do and f"Do: {do}") if part))


class Rejected(DaichoError):
    """The business refused a command. Raise it in `decide` or a `@handle` method.

    It is an answer, not a bug: nothing is recorded, nothing is retried, and `str(error)` is the reason as you wrote it.
    Further keyword arguments travel along as `data`, for the caller to show.
    """

    code = "D100"


class Taken(Rejected):
    """A rule `unique(field)` refused a command: the stream `by` holds `value`, since `since`.

    With `until`, it gave the value up at `since` and may have it back until then; nobody else may.
    """

    code = "D101"

    def __init__(self, *, field: str, value: Any, by: str, since: datetime, until: datetime | None = None) -> None:
        what = f"{field} {value!r} is taken by {by}"
        if until is not None:
            what = f"{field} {value!r} is kept for {by} until {until.isoformat(timespec='seconds')}"
        super().__init__(what, field=field, value=value, by=by, since=since, until=until)
        self.field, self.value, self.by, self.since, self.until = field, value, by, since, until


class Full(Rejected):
    """A rule `capacity(field, limit=...)` refused a command: `taken` streams hold `value`, and `limit` may."""

    code = "D102"

    def __init__(self, *, field: str, value: Any, limit: int, taken: int) -> None:
        super().__init__(
            f"{field} {value!r} is full: {taken} of {limit} are taken",
            field=field,
            value=value,
            limit=limit,
            taken=taken,
        )
        self.field, self.value, self.limit, self.taken = field, value, limit, taken


class MessageError(DaichoError):
    """A message cannot be accepted as it is; sending it again unchanged gives the same answer."""

    code = "D110"


class InvalidMessage(MessageError):
    """A field is missing, unknown, of the wrong type or out of its declared bounds. `data["path"]` names it."""

    code = "D111"


class UnknownMessage(MessageError):
    """No part of this application handles the message; `data["similar"]` lists names that look alike."""

    code = "D112"


class KeyReused(MessageError):
    """An idempotency key was sent again with a different command; the first one stands."""

    code = "D113"


class NotAuthorised(MessageError):
    """The authorisation hook refused the actor. Raise it from the hook."""

    code = "D114"


class EventTooLarge(MessageError):
    """One encoded event is over the limit (1 MiB unless the App says otherwise). Nothing was written."""

    code = "D115"


class WiringError(DaichoError):
    """The parts given to App do not fit together. Raised before anything runs."""

    code = "D120"


class TwoHandlers(WiringError):
    """Two parts handle the same command or query, or share a name that must be unique."""

    code = "D121"


class MissingHandler(WiringError):
    """A Route or an event handler names a message that nothing handles."""

    code = "D122"


class MissingApply(WiringError):
    """An aggregate records an event that it has no `@apply` method for."""

    code = "D123"


class MisplacedAsync(WiringError):
    """A function is `async` where Daicho calls it synchronously (it would never run), or the other way round."""

    code = "D124"


class MissingCollaborator(WiringError):
    """A handler asks, by annotation, for something that `App(provide=[...])` does not hold."""

    code = "D125"


class CyclicWiring(WiringError):
    """Event handlers and commands form a circle in which nothing ever comes to rest."""

    code = "D126"


class ConfigurationError(DaichoError):
    """A setting cannot be used."""

    code = "D130"


class BadUrl(ConfigurationError):
    """A store, bus or view URL cannot be understood."""

    code = "D131"


class MissingExtra(ConfigurationError):
    """An optional library is not installed; the message holds the command that installs it."""

    code = "D132"


class StoreError(DaichoError):
    """The event store did not do what was asked. Unless the class says otherwise, nothing was written."""

    code = "D200"


class ConcurrencyError(StoreError):
    """Somebody else was faster: the expected version or the append condition no longer holds.

    `expected` is what the append asked for, `actual` the stream's version now, `events` the events in the way
    (recorded ones, as far as the store could name them). Nothing was written; load again and decide again.
    """

    code = "D201"

    def __init__(self, what: str, *, expected: object, actual: int | None, events: tuple[Any, ...] = ()) -> None:
        super().__init__(
            what,
            why="another writer recorded events there first",
            do="load the current state and decide again; `send` does this by itself a few times",
            expected=expected,
            actual=actual,
            events=events,
        )
        self.expected, self.actual, self.events = expected, actual, events


class DuplicateEventId(StoreError):
    """An event id was used before, for another event. Appending the very same events again is fine."""

    code = "D202"


class StoreClosed(StoreError):
    """The store is not open (any more)."""

    code = "D203"


class StoreBusy(StoreError):
    """Another process held the database's write lock for longer than the time-out."""

    code = "D204"


class StoreFull(StoreError):
    """The disk is full, or the database reached its size limit."""

    code = "D205"


class StoreReadOnly(StoreError):
    """The database, its folder or its file system does not allow writing."""

    code = "D206"


class StoreCorrupt(StoreError):
    """The database file is damaged. Nothing is served from it; restore a backup."""

    code = "D207"


class ForeignStore(StoreError):
    """The file or database belongs to something else, or to a newer Daicho."""

    code = "D208"


class UnsafeSqlite(StoreError):
    """This SQLite library can corrupt a database that two processes write to, and another process has it open."""

    code = "D209"


class StoreFailed(StoreError):
    """The database refused for a reason that has no class of its own; `__cause__` holds the driver's error."""

    code = "D210"


class OutcomeUnknown(StoreError):
    """The connection broke after the commit was sent. Retry with the same ids: it cannot double."""

    code = "D211"


class StoreUnavailable(StoreError):
    """The database server cannot be reached, refuses connections, or is shutting down."""

    code = "D212"


class StoreOutdated(StoreError):
    """The database lacks tables that this Daicho needs, and creating them was not allowed (`?migrate=never`)."""

    code = "D213"


class HistoryError(DaichoError):
    """What is stored cannot be understood by the code that is running."""

    code = "D220"


class UnknownEventType(HistoryError):
    """A stored event's type, or its version, is not registered with this App."""

    code = "D221"


class UnreadableEvent(HistoryError):
    """A stored event's data does not fit the class registered for it."""

    code = "D222"


class CannotApply(HistoryError):
    """`evolve` or an `@apply` method raised while a state was being restored."""

    code = "D223"


class ReadError(DaichoError):
    """The read side cannot answer as asked."""

    code = "D300"


class StaleAnswer(ReadError):
    """The views a query reads did not reach the position asked for in time.

    `answer` is what they hold now, `lag` how many positions they were behind.
    """

    code = "D301"

    def __init__(self, what: str, *, answer: Any, lag: int, **data: Any) -> None:
        super().__init__(
            what,
            why="the projection is behind, paused or parked",
            do="show `answer` as provisional, raise `within`, or look at `daicho projection list`",
            answer=answer,
            lag=lag,
            **data,
        )
        self.answer, self.lag = answer, lag


class UnknownView(ReadError):
    """A query asked for a view that is not part of the App."""

    code = "D302"


class NoSuchField(ReadError):
    """A query filters or orders by a field that the row does not have."""

    code = "D303"


class Rebuilding(ReadError):
    """A view is being built for the first time in its present shape and has no complete answer yet."""

    code = "D304"


class NotSearchable(ReadError):
    """A query searches rows whose class names no `search` fields, or whose words the store cannot keep."""

    code = "D305"


class NotBuilt(ReadError):
    """There is no generation of the view to switch to, to compare with, or to roll back to."""

    code = "D306"


class NoPast(ReadError):
    """A question about the past reads what cannot tell it: a Crud table, a join, or a projection in SQL."""

    code = "D307"


class PastIncomplete(ReadError):
    """A question about the past met events that a projection's present code raises on, or that cannot be read.

    They were left out, with what follows them of the same key. `answer` is what there is without them; `broken` says
    for each view which keys (or whole streams, where the key cannot be told) are wrong, since where, and why.
    """

    code = "D308"

    def __init__(self, *, answer: Any, broken: dict[str, dict[str, str]]) -> None:
        views = ", ".join(sorted(broken))
        key, error = next((key, error) for keys in broken.values() for key, error in keys.items())
        super().__init__(
            f"{views} as of then: {sum(map(len, broken.values()))} keys cannot be told whole",
            why=f"{key!r}: {error}",
            do="mend the projection, or use `answer`; what is skipped in the live view is left out here without a word",
            answer=answer,
            broken=broken,
        )
        self.answer, self.broken = answer, broken


class FlowError(DaichoError):
    """Something between the write side and the read side stopped."""

    code = "D400"


class ProjectionFailed(FlowError):
    """An inline projection raised. It shares the append's transaction, so the append was not written either."""

    code = "D401"


class Unsettled(FlowError):
    """What was waited for cannot settle: at least one event it caused was parked. `letters` holds them."""

    code = "D402"

    def __init__(self, what: str, *, letters: tuple[Any, ...]) -> None:
        super().__init__(
            what,
            why="a handler raised, so the event and its followers of the same key were parked",
            do="`daicho dlq list`, mend the handler, `daicho dlq retry --all`",
            letters=letters,
        )
        self.letters = letters


class TooManyHops(FlowError):
    """A command-event-command chain went through more steps than the limit (64): most likely a circle."""

    code = "D403"


class LostLease(FlowError):
    """Another process took over this processor; this one stopped before writing anything."""

    code = "D404"


class NotParked(FlowError):
    """There is no dead letter with that number, or it has been dealt with."""

    code = "D405"


class NotRunning(FlowError):
    """The App is not running: use it inside `async with app:` or `with app.sync() as app:`."""

    code = "D406"


class CannotTry(FlowError):
    """A dead letter cannot be tried without doing it: its handler has side effects, or is no part of this App."""

    code = "D407"


class NotFound(DaichoError):
    """A tool was asked about a stream, event, command, projection or type that is not there."""

    code = "D500"
