"""The console: see everything, and act on it. `pip install "daicho[console]"`."""

from daicho.console.access import ConsoleSettings
from daicho.console.door import Console
from daicho.console.hosting import started

__all__ = ["Console", "ConsoleSettings", "started"]
