"""Daicho (台帳, "the register"): CQRS and event sourcing for Python, whole."""

from daicho.app import App
from daicho.core.aggregate import Aggregate, apply, handle
from daicho.core.behaviour import Handles
from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, ExpectedVersion
from daicho.core.decider import Decider
from daicho.core.errors import (
    BadUrl,
    CannotApply,
    CannotTry,
    ConcurrencyError,
    ConfigurationError,
    CyclicWiring,
    DaichoError,
    DuplicateEventId,
    EventTooLarge,
    FlowError,
    ForeignStore,
    Full,
    HistoryError,
    InvalidMessage,
    KeyReused,
    LostLease,
    MessageError,
    MisplacedAsync,
    MissingApply,
    MissingCollaborator,
    MissingExtra,
    MissingHandler,
    NoSuchField,
    NotAuthorised,
    NotBuilt,
    NotFound,
    NotParked,
    NotRunning,
    NotSearchable,
    OutcomeUnknown,
    ProjectionFailed,
    ReadError,
    Rebuilding,
    Rejected,
    StaleAnswer,
    StoreBusy,
    StoreClosed,
    StoreCorrupt,
    StoreError,
    StoreFailed,
    StoreFull,
    StoreOutdated,
    StoreReadOnly,
    StoreUnavailable,
    Taken,
    TooManyHops,
    TwoHandlers,
    UnknownEventType,
    UnknownMessage,
    UnknownView,
    UnreadableEvent,
    UnsafeSqlite,
    Unsettled,
    WiringError,
)
from daicho.core.handlers import EventHandler, QueryHandler, Route, event_handler, query_handler
from daicho.core.join import Join, join
from daicho.core.messages import (
    Command,
    Context,
    Event,
    Message,
    Query,
    Receipt,
    Record,
    RecordedEvent,
    Row,
    State,
    replace,
)
from daicho.core.projection import Crud, Projection, projection
from daicho.core.rules import Rule, capacity, sequence, unique
from daicho.core.sql_projection import SqlProjection, sql_projection
from daicho.core.streams import Position
from daicho.core.upcasting import Upcaster, upcast
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome
from daicho.read.health import Health, Problem
from daicho.read.history import Trace, TraceNode
from daicho.read.live import Change
from daicho.read.progress import Lag
from daicho.read.queries import PageOf, View, Views
from daicho.read.trial import CommandTrial, RowChange, Trial, TrialStep
from daicho.sync import SyncApp
from daicho.write.pipeline import Handler, Middleware

__version__ = "0.1.0"

__all__ = [
    "ABSENT",
    "ANY",
    "Aggregate",
    "App",
    "AppendCondition",
    "BadUrl",
    "CannotApply",
    "CannotTry",
    "Change",
    "Command",
    "CommandOutcome",
    "CommandTrial",
    "ConcurrencyError",
    "ConfigurationError",
    "Context",
    "Criteria",
    "Crud",
    "CyclicWiring",
    "DaichoError",
    "Decider",
    "DuplicateEventId",
    "EXISTS",
    "Envelope",
    "Event",
    "EventHandler",
    "EventTooLarge",
    "ExpectedVersion",
    "FlowError",
    "ForeignStore",
    "Full",
    "Handler",
    "Handles",
    "Health",
    "HistoryError",
    "InvalidMessage",
    "Join",
    "KeyReused",
    "Lag",
    "LostLease",
    "Message",
    "MessageError",
    "Middleware",
    "MisplacedAsync",
    "MissingApply",
    "MissingCollaborator",
    "MissingExtra",
    "MissingHandler",
    "NoSuchField",
    "NotAuthorised",
    "NotBuilt",
    "NotFound",
    "NotParked",
    "NotRunning",
    "NotSearchable",
    "OutcomeUnknown",
    "PageOf",
    "Position",
    "Problem",
    "Projection",
    "ProjectionFailed",
    "Query",
    "QueryHandler",
    "ReadError",
    "Rebuilding",
    "Receipt",
    "Record",
    "RecordedEvent",
    "Rejected",
    "Route",
    "Row",
    "RowChange",
    "Rule",
    "SqlProjection",
    "StaleAnswer",
    "State",
    "StoreBusy",
    "StoreClosed",
    "StoreCorrupt",
    "StoreError",
    "StoreFailed",
    "StoreFull",
    "StoreOutdated",
    "StoreReadOnly",
    "StoreUnavailable",
    "SyncApp",
    "Taken",
    "TooManyHops",
    "Trace",
    "TraceNode",
    "Trial",
    "TrialStep",
    "TwoHandlers",
    "UnknownEventType",
    "UnknownMessage",
    "UnknownView",
    "UnreadableEvent",
    "UnsafeSqlite",
    "Unsettled",
    "Upcaster",
    "View",
    "Views",
    "WiringError",
    "apply",
    "capacity",
    "event_handler",
    "handle",
    "join",
    "projection",
    "query_handler",
    "replace",
    "sequence",
    "sql_projection",
    "unique",
    "upcast",
]


def _come_home() -> None:
    """A traceback shall say daicho.Rejected, not daicho.core.errors.Rejected."""
    for name in __all__:
        thing = globals()[name]
        if isinstance(thing, type) and thing.__module__.startswith("daicho."):
            thing.__module__ = "daicho"


_come_home()
