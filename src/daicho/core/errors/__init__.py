"""Every error Daicho raises. A family is in the file of its name: what is a `StoreError` stands in `store.py`.

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

from daicho.core.errors.access import (
    AccessError,
    EdgeUnavailable,
    NotAuthenticated,
    Overloaded,
    ServerFailed,
    ServerUnreachable,
    TooManyRequests,
)
from daicho.core.errors.advice import AdviceError, BadAnswers, MeterUnavailable, NothingMeasured
from daicho.core.errors.bus import BusClosed, BusError, BusGap, BusRefused, BusUnavailable
from daicho.core.errors.configuration import (
    BadUrl,
    ConfigurationError,
    MissingExtra,
    MissingProgram,
    UnknownTopology,
    UnsafeConsole,
    UnsafeServer,
    WrongPersistence,
)
from daicho.core.errors.flow import (
    CannotTry,
    FlowError,
    LostLease,
    MissingMigration,
    NotParked,
    NotRunning,
    OutcomeTimeout,
    PastPivot,
    ProcessError,
    ProjectionFailed,
    TooManyHops,
    UnknownDeadline,
    Unsettled,
)
from daicho.core.errors.history import (
    CannotApply,
    HistoryError,
    HistoryPruned,
    UnknownEventType,
    UnreadableEvent,
    UnreadableState,
)
from daicho.core.errors.message import (
    EventTooLarge,
    InvalidMessage,
    KeyReused,
    MessageError,
    NotAuthorised,
    UnknownMessage,
)
from daicho.core.errors.read import (
    BeingBuilt,
    NoPast,
    NoSuchField,
    NotBuilt,
    NotSearchable,
    OrphanedPosition,
    OrphanedView,
    PastIncomplete,
    ReadError,
    Rebuilding,
    SqlFailed,
    SqlRefused,
    SqlTooLong,
    StaleAnswer,
    UnknownView,
)
from daicho.core.errors.rejected import Full, Rejected, SubjectForgotten, Taken
from daicho.core.errors.request import (
    BadHeader,
    NoSuchResource,
    NotAcceptable,
    NotJson,
    RequestError,
    TooLarge,
    TooSlow,
    UnknownMedia,
    VersionRequired,
    WrongMethod,
)
from daicho.core.errors.root import DaichoError, NotFound, PartFailed, SubjectHeld
from daicho.core.errors.store import (
    CannotPromote,
    ConcurrencyError,
    DuplicateEventId,
    ForeignStore,
    KeyLost,
    NoReplica,
    NoSuchTable,
    NotAReplica,
    OutcomeUnknown,
    StaleServer,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreOutdated,
    StoreReadOnly,
    StoreUnavailable,
    UnsafeSqlite,
)
from daicho.core.errors.wiring import (
    CyclicWiring,
    MisplacedAsync,
    MissingApply,
    MissingCollaborator,
    MissingHandler,
    TwoHandlers,
    UnkeepableState,
    WiringError,
)

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
