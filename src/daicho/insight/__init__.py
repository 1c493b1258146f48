"""What history tells about the business: the process as it ran, funnels, cohorts, and SQL.

`daicho.insight.workbench` needs the extra `[insight]`; everything else is arithmetic.
"""

from daicho.insight.cohorts import Cohort, Period, cohorts
from daicho.insight.funnel import Funnel, FunnelStep, funnel
from daicho.insight.happenings import Happening, happenings
from daicho.insight.process_map import Edge, ProcessMap, Variant, process_map
from daicho.insight.spread import Spread, buckets, spread_of

__all__ = [
    "Cohort",
    "Edge",
    "Funnel",
    "FunnelStep",
    "Happening",
    "Period",
    "ProcessMap",
    "Spread",
    "Variant",
    "buckets",
    "cohorts",
    "funnel",
    "happenings",
    "process_map",
    "spread_of",
]
