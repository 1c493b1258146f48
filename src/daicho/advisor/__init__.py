"""Which entity needs what: CRUD, staged or full CQRS, an edge cache; events or the current state.

    advise({"product": Answers(reads=100_000, writes=1_000)}).entities[0].approach     # "edge"

Pure functions: what was measured comes in, advice goes out. `daicho advise` asks and measures.
"""

from daicho.advisor.advice import Advice, EntityAdvice, Reason
from daicho.advisor.advising import advise
from daicho.advisor.answers import Answers
from daicho.advisor.capacity import MEASURED, Capacity, capacity_of
from daicho.advisor.sizing import Sizing

__all__ = ["MEASURED", "Advice", "Answers", "Capacity", "EntityAdvice", "Reason", "Sizing", "advise", "capacity_of"]
