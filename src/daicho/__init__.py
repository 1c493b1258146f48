"""Daicho (台帳, "the register"): CQRS and event sourcing for Python, whole."""

from daicho.app import App
from daicho.core.aggregate import Aggregate, apply, handle
from daicho.core.behaviour import Handles
from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, ExpectedVersion
from daicho.core.decider import Decider
from daicho.core.errors import *  # noqa: F403 - the error tree is public as a whole
from daicho.core.errors import __all__ as _errors
from daicho.core.handlers import EventHandler, QueryHandler, Route, event_handler, query_handler
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
from daicho.core.streams import Position
from daicho.core.upcasting import Upcaster, upcast
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import CommandOutcome
from daicho.read.history import Trace, TraceNode
from daicho.read.progress import Lag
from daicho.read.queries import View, Views
from daicho.sync import SyncApp
from daicho.write.pipeline import Handler, Middleware

__version__ = "0.1.0"

__all__ = [
    "ABSENT",
    "ANY",
    "EXISTS",
    "Aggregate",
    "App",
    "AppendCondition",
    "Command",
    "CommandOutcome",
    "Context",
    "Criteria",
    "Crud",
    "Decider",
    "Envelope",
    "Event",
    "EventHandler",
    "ExpectedVersion",
    "Handler",
    "Handles",
    "Lag",
    "Message",
    "Middleware",
    "Position",
    "Projection",
    "Query",
    "QueryHandler",
    "Receipt",
    "Record",
    "RecordedEvent",
    "Route",
    "Row",
    "State",
    "SyncApp",
    "Trace",
    "TraceNode",
    "Upcaster",
    "View",
    "Views",
    "apply",
    "event_handler",
    "handle",
    "projection",
    "query_handler",
    "replace",
    "upcast",
    *_errors,
]

# a traceback shall say daicho.Rejected, not daicho.core.errors.Rejected
for _name in __all__:
    _thing = globals()[_name]
    if isinstance(_thing, type) and _thing.__module__.startswith("daicho."):
        try:
            _thing.__module__ = "daicho"
        except (AttributeError, TypeError):
            pass
del _name, _thing
