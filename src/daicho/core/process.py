"""Process managers as the user declares them: events in, commands and deadlines out, over days if it takes days.

    class Fulfilment(Process, category="fulfilment", key="order_id"):
        paid: bool = False

        @start
        def placed(self, event: OrderPlaced) -> Iterator[ReserveStock | Deadline]:
            yield ReserveStock(sku=event.sku, order_id=event.order_id, quantity=event.quantity)
            yield Deadline.set("payment", after=timedelta(seconds=30))

        @on
        def received(self, event: PaymentReceived) -> Iterator[ConfirmOrder | Deadline | Done]: ...

        @deadline("payment")
        def expired(self) -> Iterator[Compensate]:
            yield Compensate("not paid in time")

        @compensate
        def release(self, command: ReserveStock) -> ReleaseStock: ...

Handlers are pure: they read and write `self`, and yield what is to be done. The engine records each step in the
instance's own stream, and only then does it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeAlias, TypeVar, overload

import msgspec

from daicho.core.errors import InvalidMessage, WiringError
from daicho.core.messages import Command
from daicho.core.streams import check_category

__all__ = [
    "Compensate",
    "Deadline",
    "Directive",
    "Done",
    "Key",
    "Pivot",
    "Process",
    "Schedule",
    "compensate",
    "deadline",
    "migrate",
    "on",
    "refused",
    "start",
]

F = TypeVar("F", bound=Callable[..., Any])
Key: TypeAlias = str | Callable[[Any], str]
"""The field of an event, or a function of it, that tells which instance it concerns."""


class Deadline(msgspec.Struct, frozen=True, kw_only=True):
    """Yield `Deadline.set(...)` or `Deadline.cancel(...)`. An instance has one deadline of a name: setting it again
    moves it. It fires once, after its time, unless it was cancelled, moved, or the instance ended before."""

    name: str
    after: timedelta | None = None
    at: datetime | None = None

    @staticmethod
    def set(name: str, *, after: timedelta | None = None, at: datetime | None = None) -> "Deadline":
        """Has the method marked `@deadline(name)` called, `after` this long from now, or `at` this (aware) time."""
        check_time(after, at)
        return Deadline(name=name, after=after, at=at)

    @staticmethod
    def cancel(name: str) -> "Deadline":
        """Does nothing if there is none of that name."""
        return Deadline(name=name)


class Schedule(msgspec.Struct, frozen=True):
    """Yield `Schedule(command, after=timedelta(days=3))`: the command is sent then, unless compensation began."""

    command: Command
    after: timedelta | None = None
    at: datetime | None = None

    def __post_init__(self) -> None:
        check_time(self.after, self.at)


class Done(msgspec.Struct, frozen=True):
    """Yield `Done()`: the instance came to its good end. Deadlines are cancelled; later events are noted, and handled
    only by methods marked `@on(late=True)`."""


class Compensate(msgspec.Struct, frozen=True):
    """Yield `Compensate("why")`: what was done is undone, the last step first."""

    reason: str


class Pivot(msgspec.Struct, frozen=True):
    """Yield `Pivot()`: from here there is no way back. Refused commands are tried again instead of undoing others."""


Directive: TypeAlias = Deadline | Schedule | Done | Compensate | Pivot


def check_time(after: timedelta | None, at: datetime | None) -> None:
    """Raises InvalidMessage unless exactly one is given, and `at` has a time zone."""
    if (after is None) == (at is None) or (at is not None and at.tzinfo is None):
        raise InvalidMessage(
            f"`after={after!r}, at={at!r}` does not say when",
            why="a time is either so long from now, or a moment with a time zone",
            do="give one of them: `after=timedelta(seconds=30)`, or `at=datetime(..., tzinfo=UTC)`",
            path="$",
        )


class Process:
    """A process manager as a class: `class Fulfilment(Process, category="fulfilment", key="order_id")`.

    Its fields are annotated and have defaults; what JSON can hold with those annotations is kept. `key` tells which
    instance an event concerns. `version` is that of the fields: instances of an older one are brought up by `@migrate`
    methods. `from_start` has a process that is added to a store with a history begin at the beginning. A command that
    fails is tried `attempts` times, with longer and longer pauses, before the instance is stuck and health says so.
    """

    category: ClassVar[str]
    key: ClassVar[Key]
    version: ClassVar[int] = 1
    from_start: ClassVar[bool] = False
    attempts: ClassVar[int] = 8

    id: str = ""
    """Which instance it is."""
    status: str = ""
    """`running`, `compensating`, `compensated` or `done`, before the message in hand."""

    def __init_subclass__(
        cls,
        *,
        category: str | None = None,
        key: Key | None = None,
        version: int | None = None,
        from_start: bool | None = None,
        attempts: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if category is not None:
            cls.category = check_category(category)
        if key is not None:
            cls.key = key if isinstance(key, str) else staticmethod(key)
        for name, value, least in (("version", version, 1), ("attempts", attempts, 1)):
            if value is not None:
                if value < least:
                    raise WiringError(f"{cls.__name__} has {name} {value}", do=f"it is at least {least}")
                setattr(cls, name, value)
        if from_start is not None:
            cls.from_start = from_start


def _mark(method: F, role: str, **details: Any) -> F:
    method.__daicho_process__ = (role, details)  # type: ignore[attr-defined]
    return method


@overload
def start(method: F, /) -> F: ...
@overload
def start(*, key: Key | None = None) -> Callable[[F], F]: ...
def start(method: Any = None, /, *, key: Key | None = None) -> Any:
    """Marks the method for an event that starts an instance. Of one that is under way, it changes nothing."""

    def declare(method: F) -> F:
        return _mark(method, "start", key=key)

    return declare if method is None else declare(method)


@overload
def on(method: F, /) -> F: ...
@overload
def on(*, key: Key | None = None, late: bool = False) -> Callable[[F], F]: ...
def on(method: Any = None, /, *, key: Key | None = None, late: bool = False) -> Any:
    """Marks the method for an event that continues an instance. One that comes before the start waits for it. `late`:
    it is also for events after `Done`."""

    def declare(method: F) -> F:
        return _mark(method, "on", key=key, late=late)

    return declare if method is None else declare(method)


def deadline(*names: str) -> Callable[[F], F]:
    """Marks the method for deadlines of these names; it takes nothing but `self`."""
    return lambda method: _mark(method, "deadline", names=names)


def refused(method: F) -> F:
    """Marks the method for a command that the business refused: `def no_stock(self, command: ReserveStock, reason:
    str)`. Without one, a refusal begins compensation."""
    return _mark(method, "refused")


def compensate(method: F) -> F:
    """Marks the method that says which command undoes one that succeeded: `def release(self, command: ReserveStock)
    -> ReleaseStock`. None: nothing is to be undone."""
    return _mark(method, "compensate")


def migrate(version: int) -> Callable[[F], F]:
    """Marks the method that brings fields as `version` had them, as builtins, to those of the next:
    `def add_currency(self, fields: dict[str, Any]) -> dict[str, Any]`."""
    return lambda method: _mark(method, "migrate", version=version)


def marked(member: Any) -> tuple[str, dict[str, Any]] | None:
    return getattr(member, "__daicho_process__", None)


def names_of(classes: Sequence[type]) -> str:
    return ", ".join(sorted(each.__name__ for each in classes))
