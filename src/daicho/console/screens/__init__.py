"""All screens. A new one is a file of its own here, and a line in this list; see docs/howto/console-screens.md."""

from daicho.console.screen import Screen
from daicho.console.screens.audit_search import SCREEN as AUDIT
from daicho.console.screens.buses import SCREEN as BUSES
from daicho.console.screens.commands import CHOICE as COMMAND_CHOICE
from daicho.console.screens.commands import KEPT as COMMANDS_KEPT
from daicho.console.screens.commands import ONE as COMMAND
from daicho.console.screens.commands import SCREEN as COMMANDS
from daicho.console.screens.configuration import SCREEN as CONFIGURATION
from daicho.console.screens.event import SCREEN as EVENT
from daicho.console.screens.events import SCREEN as EVENTS
from daicho.console.screens.flow import ONE as FLOW
from daicho.console.screens.flow import SCREEN as FLOWS
from daicho.console.screens.insight import COHORTS, FUNNEL
from daicho.console.screens.insight import SCREEN as INSIGHT
from daicho.console.screens.keys import SCREEN as KEYS
from daicho.console.screens.look_to_book import SCREEN as LOOK_TO_BOOK
from daicho.console.screens.operators import SCREEN as OPERATORS
from daicho.console.screens.overview import SCREEN as OVERVIEW
from daicho.console.screens.parked import DETAIL as PARKED_EVENT
from daicho.console.screens.parked import SCREEN as PARKED
from daicho.console.screens.people import CERTIFICATE
from daicho.console.screens.people import SCREEN as PEOPLE
from daicho.console.screens.processes import INSTANCE, PROCESS
from daicho.console.screens.processes import SCREEN as PROCESSES
from daicho.console.screens.projections import DETAIL as PROJECTION
from daicho.console.screens.projections import SCREEN as PROJECTIONS
from daicho.console.screens.queries import ONE as QUERY
from daicho.console.screens.queries import SCREEN as QUERIES
from daicho.console.screens.replication import SCREEN as REPLICATION
from daicho.console.screens.schemas import DETAIL as SCHEMA
from daicho.console.screens.schemas import SCREEN as SCHEMAS
from daicho.console.screens.search import SCREEN as SEARCH
from daicho.console.screens.sql import SCREEN as SQL
from daicho.console.screens.streams import ONE as STREAM
from daicho.console.screens.streams import SCREEN as STREAMS
from daicho.console.screens.tail import SCREEN as TAIL
from daicho.console.screens.tenants import SCREEN as TENANTS
from daicho.console.screens.topology import SCREEN as TOPOLOGY
from daicho.console.screens.travel import ONE as TRAVEL
from daicho.console.screens.travel import SCREEN as TRAVELS

__all__ = ["SCREENS"]

SCREENS: tuple[Screen, ...] = (
    OVERVIEW,
    LOOK_TO_BOOK,
    SEARCH,
    INSIGHT,
    FUNNEL,
    COHORTS,
    SQL,
    PROJECTIONS,
    PROJECTION,
    PARKED,
    PARKED_EVENT,
    PROCESSES,
    INSTANCE,
    PROCESS,
    BUSES,
    TOPOLOGY,
    REPLICATION,
    STREAMS,
    STREAM,
    EVENTS,
    EVENT,
    TAIL,
    FLOWS,
    FLOW,
    TRAVELS,
    TRAVEL,
    COMMANDS,
    COMMANDS_KEPT,
    COMMAND_CHOICE,
    COMMAND,
    QUERIES,
    QUERY,
    SCHEMAS,
    SCHEMA,
    AUDIT,
    PEOPLE,
    CERTIFICATE,
    TENANTS,
    KEYS,
    CONFIGURATION,
    OPERATORS,
)
"""In the order of the side navigation, within their groups. A path that is spelled out stands before one in braces."""
