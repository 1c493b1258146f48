"""The advisor has nothing, or nothing sound, to go by."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "AdviceError",
    "BadAnswers",
    "MeterUnavailable",
    "NothingMeasured",
]


class AdviceError(DaichoError):
    """The advisor or the simulation has nothing, or nothing sound, to go by."""

    code = "D830"


class BadAnswers(AdviceError):
    """A file of answers, capacities or measured times cannot be read or understood; the message names the field."""

    code = "D831"


class NothingMeasured(AdviceError):
    """Nothing could be counted: no line of the log is a request, no statement or event belongs to an entity."""

    code = "D832"


class MeterUnavailable(AdviceError):
    """The service or database that should be measured does not answer, or does not keep the figures."""

    code = "D833"
