"""Load for a system that serves: so many reads to a write, as fast or as often as asked, and each answer checked."""

from daicho.load.figures import Figures
from daicho.load.plan import SHOP, Plan

__all__ = ["SHOP", "Figures", "Plan"]
