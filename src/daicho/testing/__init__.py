"""Tools for testing what is built with Daicho: given / when / then, a virtual clock, crashes on demand, contracts."""

from daicho.testing.clock import VirtualClock
from daicho.testing.faults import Crash, CrashPlan, crash_at
from daicho.testing.given import given
from daicho.testing.scenario import Scenario, scenario

__all__ = ["Crash", "CrashPlan", "Scenario", "VirtualClock", "crash_at", "given", "scenario"]
