"""A topology on paper: queues, fed with measured times, for as many machines as nobody has at hand."""

from daicho.advisor.simulation.model import Counts, Load
from daicho.advisor.simulation.predicting import Prediction, StationLoad, predict, simulate
from daicho.advisor.simulation.times import MEASURED_TIMES, Times, times_of

__all__ = [
    "MEASURED_TIMES",
    "Counts",
    "Load",
    "Prediction",
    "StationLoad",
    "Times",
    "predict",
    "simulate",
    "times_of",
]
