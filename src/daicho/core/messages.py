"""Messages: commands, events, queries, and the records they are made of.

All are msgspec structs: frozen, keyword-only, compared by value, validated when they come from outside.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, dataclass_transform

import msgspec

from daicho.core.ids import derived_id
from daicho.core.streams import Position

__all__ = [
    "Command",
    "Context",
    "Event",
    "Message",
    "Query",
    "Receipt",
    "Record",
    "RecordedEvent",
    "Row",
    "State",
    "replace",
]

R = TypeVar("R", covariant=True)
E = TypeVar("E", bound="Event")

replace = msgspec.structs.replace


class RecordMeta(msgspec.StructMeta):
    """Frozen and keyword-only by default; keeps the class keywords `name`, `version`, `tags`, `index` and `search`."""

    def __new__(
        mcls,
        class_name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        /,
        *,
        name: str | None = None,
        version: int = 1,
        tags: Sequence[str] = (),
        index: Sequence[str] = (),
        search: Sequence[str] = (),
        **config: Any,
    ) -> "RecordMeta":
        config = {"frozen": True, "kw_only": True, **config}
        cls = super().__new__(mcls, class_name, bases, namespace, **config)
        type.__setattr__(cls, "__message_name__", name or class_name)
        type.__setattr__(cls, "__schema_version__", version)
        type.__setattr__(cls, "__tag_fields__", tuple(tags))
        type.__setattr__(cls, "__index_fields__", tuple(index))
        type.__setattr__(cls, "__search_fields__", tuple(search))
        return cls


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(msgspec.field,))
class Record(msgspec.Struct, metaclass=RecordMeta, frozen=True, kw_only=True):
    """A frozen value with named, typed fields."""


class Message(Record):
    """Whatever travels: a command, an event or a query."""

    __message_name__: ClassVar[str]


class Command(Message, forbid_unknown_fields=True):
    """A request to change something, named in the imperative. It may be refused."""


class Event(Message, gc=False):
    """A fact, named in the past tense.

        class OrderCreated(Event, name="order.created", version=2, tags=("customer_id",)): ...

    `name` and `version` are what is stored (default: the class's own name, and 1), so a class may be renamed or moved
    without touching history. `tags` names the fields whose values the store shall find the event by, as `field:value`.
    """

    __schema_version__: ClassVar[int]
    __tag_fields__: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:

        def __init_subclass__(
            cls, *, name: str = ..., version: int = ..., tags: Sequence[str] = ..., gc: bool = ...
        ) -> None: ...


class Query(Message, Generic[R], forbid_unknown_fields=True):
    """A question, typed by its answer: `class FindOrders(Query[list[OrderRow]])`."""


class State(Record):
    """The state of a functional decider."""


class Row(Record, gc=False):
    """One row of a read model: `class OrderRow(Row, index=("status",), search=("title", "note"))`.

    `index` names the fields that queries filter or order by, so that the store need not look at every row for them.
    `search` names the texts whose words `search` finds rows by. They are part of the row's shape: a view whose row
    class names others is built anew.

    A field holds its declared type: every store refuses a row in which one does not, so that the event which made it
    is parked. For a float an int will do, for a str or an int an enum's member that is one; what is nested is read back
    as declared. An int has 64 bits, a float is not NaN.
    """

    __index_fields__: ClassVar[tuple[str, ...]]
    __search_fields__: ClassVar[tuple[str, ...]]

    if TYPE_CHECKING:

        def __init_subclass__(
            cls, *, index: Sequence[str] = ..., search: Sequence[str] = ..., gc: bool = ...
        ) -> None: ...


class RecordedEvent(Generic[E], msgspec.Struct, frozen=True, gc=False):
    """An event as it stands in the store, with everything that is known about it."""

    event: E
    event_id: str
    """Canonical UUID text; the same event appended again keeps it."""
    type: str
    """Stored name, e.g. `order.created`; never a module path."""
    schema_version: int
    """Version of the class that recorded it, before any upcasting."""
    stream: str
    version: int
    """Place in its stream, from 1, without holes."""
    position: Position
    """Place in the whole store, in commit order."""
    occurred_at: datetime
    """Business time, aware: as given with the command, else when it was handled."""
    recorded_at: datetime
    """When the store wrote it, aware, UTC."""
    actor: str | None
    """Who asked."""
    tenant: str | None
    correlation_id: str
    """The id of the very first command of the flow this event belongs to."""
    causation_id: str
    """The id of the command that recorded it."""
    tags: tuple[str, ...]
    metadata: Mapping[str, str]
    """`command` (the command's name), `cause` (id of the event that led to the command), `handler` (which
    event handler made it), `hops` (its distance from the outside), and whatever `send(metadata=...)` added."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """What `send` returns: proof that the command was accepted and what came of it."""

    command_id: str
    stream: str
    version: int
    """The stream's version after the command."""
    position: Position
    """Position of the last event recorded (or, if none was, of the stream's last one as far as known; else 0)."""
    events: tuple[Event, ...]
    correlation_id: str
    duplicate: bool = False
    """True if the command had been handled before, and this is the outcome of that first time."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler may know beside its message. Ask for it by annotating a further parameter `Context`."""

    now: datetime
    """Business time of the command or event: pure code asks here, not the wall clock."""
    command_id: str
    correlation_id: str
    actor: str | None = None
    tenant: str | None = None
    metadata: Mapping[str, str] = {}

    def id(self, n: int = 0) -> str:
        """The n-th id derived from the command id: the same at every retry of the same command."""
        return derived_id(self.command_id, f"context:{n}")
