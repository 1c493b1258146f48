"""Between a service and its broker."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "BusClosed",
    "BusError",
    "BusGap",
    "BusRefused",
    "BusUnavailable",
]


class BusError(DaichoError):
    """Something between this service and the broker. Nothing is lost by it: events wait in the register."""

    code = "D600"


class BusUnavailable(BusError):
    """The broker cannot be reached, or did not answer in time. What was being sent may or may not have been taken."""

    code = "D601"


class BusRefused(BusError):
    """The broker answered no: a message is too large, a channel is of another kind, the password is wrong."""

    code = "D602"


class BusClosed(BusError):
    """The bus, or the subscription, was closed."""

    code = "D603"


class BusGap(BusError):
    """Messages of another service are missing on the bus, and did not come again in time. Nothing behind them is taken
    in until they come, or somebody accepts that they are lost: `daicho bus accept-gap`."""

    code = "D615"
