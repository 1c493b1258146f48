"""Tools for testing what is built with Daicho: given / when / then, a virtual clock, crashes on demand, contracts."""

from daicho.testing.clock import VirtualClock
from daicho.testing.faults import Crash, CrashPlan, crash_at
from daicho.testing.given import given
from daicho.testing.resting import at_rest
from daicho.testing.scenario import Scenario, scenario
from daicho.testing.unruly import UnrulyBus

__all__ = [
    "Crash",
    "CrashPlan",
    "Scenario",
    "UnrulyBus",
    "VirtualClock",
    "at_rest",
    "crash_at",
    "given",
    "scenario",
]
