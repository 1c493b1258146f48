"""Where the command line of this installation is."""

import sys
from pathlib import Path

__all__ = ["tool"]


def tool() -> Path:
    """The `daicho` beside the Python that runs, as one would type it from here."""
    path = Path(sys.executable).with_name("daicho")
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
