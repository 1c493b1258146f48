"""Every error Daicho raises.

    DaichoError
    ├── Rejected                    the business said no
    │   ├── SubjectForgotten        an event would hold personal data of somebody who was forgotten
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
    │   ├── UnkeepableState         a state that is to be kept cannot be written as JSON
    │   └── CyclicWiring            events and commands chase each other for ever
    ├── ConfigurationError
    │   ├── UnsafeServer            a server would be open to everybody
    │   │   └── UnsafeConsole       the console would be
    │   ├── UnknownTopology         there is no topology of that name, or with so many parts
    │   ├── MissingProgram          a server that a topology needs is not installed
    │   ├── BadUrl                  a store, bus or view URL cannot be understood
    │   ├── WrongPersistence        the store keeps an aggregate in the other way than the code
    │   └── MissingExtra            an optional library is not installed
    ├── StoreError
    │   ├── ConcurrencyError        an expected version or an append condition failed
    │   ├── DuplicateEventId        an event id was used before, for another event
    │   ├── StoreClosed  StoreBusy  StoreFull  StoreReadOnly  StoreCorrupt  ForeignStore  UnsafeSqlite
    │   ├── StoreFailed             the database refused for another reason
    │   │   └── NoSuchTable         the table of that generation was dropped, or never opened
    │   ├── StoreUnavailable        the database server cannot be reached
    │   │   └── StaleServer         another server has been promoted in the place of this one
    │   ├── CannotPromote           a standby is not promoted: it is none, or the old primary may still take writes
    │   ├── KeyLost                 the key of personal data is not there, although nobody was forgotten
    │   ├── StoreOutdated           the database has to be migrated first
    │   ├── NotAReplica             a URL to read from leads to another database than a replica of the store
    │   ├── NoReplica               no replica is near enough to answer, and the primary cannot or may not
    │   └── OutcomeUnknown          the answer was lost: retry with the same ids
    ├── HistoryError
    │   ├── UnknownEventType        a stored event's type or version is not registered
    │   ├── UnreadableEvent         a stored event's data does not fit its class
    │   ├── UnreadableState         a kept state does not fit its class
    │   ├── HistoryPruned           events that an answer would need are not kept any more
    │   └── CannotApply             evolving a state with a stored event raised
    ├── ReadError
    │   ├── StaleAnswer             a view did not catch up within the deadline; carries the lag and the answer
    │   ├── UnknownView             a query asked for a view that is not part of the App
    │   ├── NoSuchField             a query filters or orders by a field that the row does not have
    │   ├── NotSearchable           a query searches rows that cannot be searched
    │   ├── NotBuilt                a generation to switch to, compare with or go back to is not there
    │   ├── BeingBuilt              another process builds this view
    │   ├── Rebuilding              a view is being built anew and has no complete answer yet
    │   ├── OrphanedPosition        what happened at that position was lost in a failover
    │   ├── OrphanedView            rows have seen events that were lost in a failover, and are built anew
    │   ├── NoPast                  a question about the past reads what keeps none
    │   ├── PastIncomplete          the present code cannot fold all of the past; carries the answer without the rest
    │   ├── SqlRefused              SQL typed by a person does not only read, or reads too much
    │   ├── SqlFailed               ... is wrong
    │   └── SqlTooLong              ... was not done in time
    ├── AccessError                 at the door of a server, or on the way to it
    │   ├── NotAuthenticated        no credential, or one that is not good (any more)
    │   ├── TooManyRequests         more than this caller may ask in that time
    │   ├── Overloaded              the server has more to do than it can, and did not begin
    │   ├── ServerUnreachable       a client got no answer
    │   ├── ServerFailed            a client got an answer that says the server has a fault
    │   └── EdgeUnavailable         an edge cache did not take a purge
    ├── PartFailed                  a part of a topology did not start, or ended by itself
    ├── AdviceError                 the advisor has nothing to go by
    │   ├── BadAnswers              a file of answers, capacities or measured times cannot be understood
    │   ├── NothingMeasured         no request, statement or event could be counted
    │   └── MeterUnavailable        what should be measured does not answer, or does not measure
    ├── SubjectHeld                 a legal hold stands against forgetting
    ├── NotFound                    a tool was asked about something that is not there
    ├── BusError
    │   ├── BusUnavailable          the broker cannot be reached, or did not answer
    │   ├── BusRefused              the broker answered no
    │   ├── BusClosed               the bus was closed
    │   └── BusGap                  messages are missing between two that came
    ├── RequestError                a request to the HTTP face cannot be taken as it is
    │   ├── NotJson                 the body is no JSON, or JSON that says two things at once
    │   ├── UnknownMedia            the body is of another media type than JSON
    │   ├── TooLarge                the body is over the limit
    │   ├── BadHeader               a header cannot be understood
    │   ├── NoSuchResource          there is nothing at that address
    │   ├── WrongMethod             the address does not take the method
    │   ├── VersionRequired         the command must say which version it has seen
    │   ├── NotAcceptable           the answer is not to be had in that media type
    │   └── TooSlow                 the body did not arrive in time

    └── FlowError
        ├── ProjectionFailed        an inline projection raised: the append it belongs to was not written
        ├── Unsettled               something that was waited for got parked
        ├── TooManyHops             a command-event-command chain is longer than the limit
        ├── LostLease               another process took over this processor
        ├── NotParked               there is no such dead letter
        ├── NotRunning              the App has not been entered, or was left
        ├── CannotTry               a dead letter cannot be tried without doing it
        ├── OutcomeTimeout          what became of a command was not known in time; carries what is
        └── ProcessError            a process manager did what it may not
            ├── UnknownDeadline     it set a deadline that no method of it is for
            ├── PastPivot           it would compensate what there is no way back from
            └── MissingMigration    an instance is of a version that this code cannot read

Each carries `what` happened, `why`, what to `do`, and its data as `data`. Codes are stable: `daicho explain D120`.
"""

from datetime import datetime
from typing import Any, ClassVar

__all__ = [
    "AccessError",
    "AdviceError",
    "BadAnswers",
    "BadHeader",
    "BadUrl",
    "BeingBuilt",
    "BusClosed",
    "BusError",
    "BusGap",
    "BusRefused",
    "BusUnavailable",
    "CannotApply",
    "CannotPromote",
    "CannotTry",
    "ConcurrencyError",
    "ConfigurationError",
    "CyclicWiring",
    "DaichoError",
    "DuplicateEventId",
    "EdgeUnavailable",
    "EventTooLarge",
    "FlowError",
    "ForeignStore",
    "Full",
    "HistoryError",
    "HistoryPruned",
    "InvalidMessage",
    "KeyLost",
    "KeyReused",
    "LostLease",
    "MessageError",
    "MeterUnavailable",
    "MisplacedAsync",
    "MissingApply",
    "MissingCollaborator",
    "MissingExtra",
    "MissingHandler",
    "MissingMigration",
    "MissingProgram",
    "NoPast",
    "NoReplica",
    "NoSuchField",
    "NoSuchResource",
    "NoSuchTable",
    "NotAReplica",
    "NotAcceptable",
    "NotAuthenticated",
    "NotAuthorised",
    "NotBuilt",
    "NotFound",
    "NotJson",
    "NotParked",
    "NotRunning",
    "NotSearchable",
    "NothingMeasured",
    "OrphanedPosition",
    "OrphanedView",
    "OutcomeTimeout",
    "OutcomeUnknown",
    "Overloaded",
    "PartFailed",
    "PastIncomplete",
    "PastPivot",
    "ProcessError",
    "ProjectionFailed",
    "ReadError",
    "Rebuilding",
    "Rejected",
    "RequestError",
    "ServerFailed",
    "ServerUnreachable",
    "SqlFailed",
    "SqlRefused",
    "SqlTooLong",
    "StaleAnswer",
    "StaleServer",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreOutdated",
    "StoreReadOnly",
    "StoreUnavailable",
    "SubjectForgotten",
    "SubjectHeld",
    "Taken",
    "TooLarge",
    "TooManyHops",
    "TooManyRequests",
    "TooSlow",
    "TwoHandlers",
    "UnkeepableState",
    "UnknownDeadline",
    "UnknownEventType",
    "UnknownMedia",
    "UnknownMessage",
    "UnknownTopology",
    "UnknownView",
    "UnreadableEvent",
    "UnreadableState",
    "UnsafeConsole",
    "UnsafeServer",
    "UnsafeSqlite",
    "Unsettled",
    "VersionRequired",
    "WiringError",
    "WrongMethod",
    "WrongPersistence",
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


class NoSuchTable(StoreFailed):
    """There is no table for rows of that generation: it was dropped, or never opened. Raised instead of an answer."""

    code = "D214"


class OutcomeUnknown(StoreError):
    """The connection broke after the commit was sent. Retry with the same ids: it cannot double."""

    code = "D211"


class StoreUnavailable(StoreError):
    """The database server cannot be reached, refuses connections, or is shutting down."""

    code = "D212"


class StaleServer(StoreUnavailable):
    """The server that answers has been replaced by another one, which was promoted: it must not take any writes."""

    code = "D810"


class CannotPromote(StoreError):
    """A standby was not promoted, and nothing was changed."""

    code = "D813"


class StoreOutdated(StoreError):
    """The database lacks tables that this Daicho needs, and creating them was not allowed (`?migrate=never`)."""

    code = "D213"


class NotAReplica(StoreError):
    """What a `read_from` URL leads to holds other data than the store: it is no replica of it."""

    code = "D800"


class NoReplica(StoreError):
    """No replica is near enough to the primary to answer, and the primary does not answer, or has enough to do."""

    code = "D801"


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


class UnreadableState(HistoryError):
    """The row that keeps the state of an aggregate with `persistence="state"` does not fit its class. Nothing is
    decided on a state of which a part would be lost."""

    code = "D840"


class HistoryPruned(HistoryError):
    """The answer needs events that were pruned (`daicho prune`). The present state does not depend on them."""

    code = "D841"


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


class OrphanedPosition(ReadError):
    """The position is of an event that was lost in a failover; `data`: position, survived, epoch."""

    code = "D811"


class OrphanedView(ReadError):
    """The view has seen events that were lost in a failover. It is being built anew."""

    code = "D812"


class Rebuilding(ReadError):
    """A view is being built for the first time in its present shape and has no complete answer yet."""

    code = "D304"


class NotSearchable(ReadError):
    """A query searches rows whose class names no `search` fields, or whose words the store cannot keep."""

    code = "D305"


class NotBuilt(ReadError):
    """There is no generation of the view to switch to, to compare with, or to roll back to."""

    code = "D306"


class BeingBuilt(ReadError):
    """Another process builds this view, and nobody else may meanwhile; `data`: view, owner, since."""

    code = "D309"


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


class ProcessError(FlowError):
    """A process manager did what it may not. The message it was about is parked; nothing of the step was done."""

    code = "D630"


class UnknownDeadline(ProcessError):
    """A process manager set a deadline of a name that no `@deadline` method of it is for."""

    code = "D631"


class PastPivot(ProcessError):
    """A process manager would compensate after its pivot: there is no way back from there, only forward."""

    code = "D632"


class MissingMigration(ProcessError):
    """An instance of a process manager is of a version that this code cannot read."""

    code = "D633"


class NotFound(DaichoError):
    """A tool was asked about a stream, event, command, projection or type that is not there."""

    code = "D500"


class AdviceError(DaichoError):
    """The advisor or the simulation has nothing, or nothing sound, to go by."""

    code = "D830"


class BadAnswers(AdviceError):
    """A file of answers, capacities or measured times cannot be read or understood; the message names the field."""

    code = "D831"


class NothingMeasured(AdviceError):
    """Nothing could be counted: no line of the log is a request, no statement or event belongs to an entity."""

    code = "D832"


class MeterUnavailable(AdviceError):
    """The service or database that should be measured does not answer, or does not keep the figures."""

    code = "D833"


class BusError(DaichoError):
    """Something between this service and the broker. Nothing is lost by it: events wait in the register."""

    code = "D600"


class BusUnavailable(BusError):
    """The broker cannot be reached, or did not answer in time. What was being sent may or may not have been taken."""

    code = "D601"


class BusRefused(BusError):
    """The broker answered no: a message is too large, a channel is of another kind, the password is wrong."""

    code = "D602"


class BusClosed(BusError):
    """The bus, or the subscription, was closed."""

    code = "D603"


class RequestError(DaichoError):
    """A request to the HTTP face cannot be taken as it is. Nothing was done."""

    code = "D700"


class NotJson(RequestError):
    """The body is not one JSON value in UTF-8, names a key twice, or is nested too deeply."""

    code = "D701"


class UnknownMedia(RequestError):
    """The body is of a media type, or in an encoding, that is not understood; `accepted` lists those that are."""

    code = "D702"


class TooLarge(RequestError):
    """The body is over the limit. No more of it was read."""

    code = "D703"


class BadHeader(RequestError):
    """A header or a parameter of the address cannot be understood; `name` says which."""

    code = "D704"


class NoSuchResource(RequestError):
    """There is nothing at that address, or nothing that the caller may know of."""

    code = "D705"


class WrongMethod(RequestError):
    """There is something at that address, but it does not take that method; `allowed` lists those that it takes."""

    code = "D706"


class VersionRequired(RequestError):
    """The command is only taken with `If-Match` or `If-None-Match`, so that nobody overwrites what he has not seen."""

    code = "D707"


class NotAcceptable(RequestError):
    """The answer cannot be given in any of the media types that `Accept` names."""

    code = "D708"


class TooSlow(RequestError):
    """The body did not arrive in time. Nothing was done."""

    code = "D709"


class BusGap(BusError):
    """Messages of another service are missing on the bus, and did not come again in time. Nothing behind them is taken
    in until they come, or somebody accepts that they are lost: `daicho bus accept-gap`."""

    code = "D615"


class OutcomeTimeout(FlowError):
    """What became of a command was not known in time. It is not lost: it stays in the command log until it is.

    `outcome` is what is known: that it is pending, or None if nobody has heard of it.
    """

    code = "D616"

    def __init__(self, what: str, *, outcome: Any, **data: Any) -> None:
        super().__init__(
            what,
            why="whoever handles it has not answered: it is slow, away, or not there",
            do="ask again later, with `status` or `outcome`; `daicho bus status` shows what waits on the bus",
            outcome=outcome,
            **data,
        )
        self.outcome = outcome


class AccessError(DaichoError):
    """Something at the door of a server, or on the way to it. The request was not carried out."""

    code = "D720"


class NotAuthenticated(AccessError):
    """No credential came with the request, or one that is forged, expired, revoked, or for somebody else."""

    code = "D721"


class TooManyRequests(AccessError):
    """A caller asked more than it may in that time. `retry_after` says after how many seconds there is room again."""

    code = "D722"

    def __init__(self, what: str, *, retry_after: float, **data: Any) -> None:
        super().__init__(
            what,
            why="each credential, tenant or address may ask so much and no more",
            do=f"wait {retry_after:.0f} s",
            retry_after=retry_after,
            **data,
        )
        self.retry_after = retry_after


class Overloaded(AccessError):
    """The server has more to do than it can, and turned the request away before it began. Reads go first."""

    code = "D723"

    def __init__(self, what: str, *, retry_after: float, **data: Any) -> None:
        super().__init__(
            what, why="it would have waited too long", do="try again a little later", retry_after=retry_after, **data
        )
        self.retry_after = retry_after


class UnsafeServer(ConfigurationError):
    """A server was to listen to other machines without asking who calls."""

    code = "D725"


class UnsafeConsole(UnsafeServer):
    """The console was to be served to other machines without asking who looks and acts. `--insecure` does not help."""

    code = "D860"


class EdgeUnavailable(AccessError):
    """An edge cache did not take a purge. It is tried again; until then the cache may show what it has."""

    code = "D726"


class ServerUnreachable(AccessError):
    """A client got no answer, although it tried again. A command may or may not have been carried out; sent again with
    the same key it counts once."""

    code = "D727"


class ServerFailed(AccessError):
    """A server answered that it has a fault, or with something that is no answer of Daicho's."""

    code = "D728"


class UnknownTopology(ConfigurationError):
    """A topology was asked for that there is not, or that cannot be: `name`."""

    code = "D820"


class MissingProgram(ConfigurationError):
    """A server that a topology needs is not installed: `program`, and the Debian `package` that has it."""

    code = "D821"


class PartFailed(DaichoError):
    """A part of a topology did not start in time, or ended by itself: `part`, and the end of its `log`."""

    code = "D822"


class UnkeepableState(WiringError):
    """A state of an aggregate with `persistence="state"` would not come back equal from JSON. The command that led to
    it recorded nothing."""

    code = "D842"


class WrongPersistence(ConfigurationError):
    """The store keeps the state of an aggregate in rows and the code says `persistence="events"`, or the other way
    round. `daicho move` takes it from one to the other."""

    code = "D843"


class SqlRefused(ReadError):
    """SQL that somebody typed is not one statement that reads, or a table that it names is too large to be copied.
    Nothing was run."""

    code = "D875"


class SqlFailed(ReadError):
    """SQL that somebody typed is wrong: its syntax, a name in it, or a value that it met."""

    code = "D876"


class SqlTooLong(ReadError):
    """SQL that somebody typed was not done in time, and was ended. `within` is how many seconds it had."""

    code = "D877"


class SubjectForgotten(Rejected):
    """An event would hold personal data of a subject that was forgotten. Nothing was recorded."""

    code = "D850"


class KeyLost(StoreError):
    """A key under which personal data is enciphered cannot be had, although its subject was not forgotten: another key
    store than the one that made it, an older copy of it, or another master key. Nothing is shown in place of the data,
    for that would be a wrong history."""

    code = "D851"


class SubjectHeld(DaichoError):
    """A legal hold stands against forgetting the subject. Nothing was destroyed."""

    code = "D852"

    @classmethod
    def by(cls, subject: str, reason: str, held_by: str) -> "SubjectHeld":
        return cls(
            f"{subject} must not be forgotten",
            why=f"held by {held_by}: {reason}",
            do=f"once that is over: `daicho personal release {subject}`",
            subject=subject,
            reason=reason,
            held_by=held_by,
        )
