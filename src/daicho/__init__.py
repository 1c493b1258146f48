"""Daicho (台帳, "the register"): CQRS and event sourcing for Python, whole."""

from daicho.core.aggregate import Aggregate, apply, handle
from daicho.core.conditions import ABSENT, ANY, EXISTS, AppendCondition, Criteria, ExpectedVersion
from daicho.core.decider import Decider
from daicho.core.handlers import Route, event_handler, query_handler
from daicho.core.messages import (
    Command,
    Context,
    Event,
    Query,
    Receipt,
    RecordedEvent,
    Row,
    State,
    replace,
)
from daicho.core.errors import ConcurrencyError, DaichoError, Rejected
from daicho.core.projection import Crud, projection
from daicho.core.upcasting import upcast
