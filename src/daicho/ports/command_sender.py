"""How the flow between the sides sends commands without knowing the command side."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import Protocol

import msgspec

from daicho.core.codec import encoder_for
from daicho.core.conditions import Expected
from daicho.core.messages import Command, Receipt
from daicho.core.times import from_text, to_text
from daicho.ports.event_store import CommandOutcome
from daicho.ports.storage import Joined

__all__ = ["CommandSender", "Envelope", "Packed", "pack", "packed", "unpack"]


class Envelope(msgspec.Struct, kw_only=True, gc=False):
    """A command on its way, with everything that is known about it. Middleware may read and amend it."""

    command: Command
    command_id: str
    correlation_id: str
    name: str
    actor: str | None = None
    tenant: str | None = None
    key: str | None = None
    """Idempotency key, as the caller gave it."""
    expected: Expected | None = None
    """Version the caller saw of the stream."""
    occurred_at: datetime | None = None
    """Business time, if the caller gave one."""
    cause: str | None = None
    """Id of the event whose handler sent it; None from outside."""
    handler: str | None = None
    hops: int = 0
    """Commands between this one and the outside."""
    metadata: Mapping[str, str] = {}
    may_repeat: bool = False
    """True if it may have been handled before: look before deciding."""
    trusted: bool = False
    """True if it was made by this application's own code or decoded from checked input."""
    received_at: str = ""
    """When it was posted; empty for a command that is handled as it comes."""
    posted: bool = False
    """True if it is in the command log as pending, and its outcome belongs there."""
    source: str = ""
    """The service that sent it over the bus; empty if it did not come that way."""
    within: Joined | None = None
    """The caller's transaction, if it is to be part of one."""

    @property
    def is_remembered(self) -> bool:
        """Whether its outcome is kept: it came with a key or an id of the caller's own, or was posted."""
        return self.key is not None or self.posted or (self.may_repeat and self.cause is None)


class CommandSender(Protocol):
    def __call__(self, envelope: Envelope, /) -> Awaitable[Receipt]:
        """Handles the command and returns its receipt. Raises Rejected, MessageError, StoreError, or what the
        user's code raised."""
        ...


class Packed(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A posted command as the command log keeps it."""

    command: msgspec.Raw
    occurred_at: str | None = None
    expected: int | None = None
    metadata: dict[str, str] = {}
    hops: int = 0
    to: str | None = None
    """The service that it is for."""


_encode = encoder_for("json")


def pack(envelope: Envelope, to: str | None = None) -> bytes:
    """What the command log keeps of a posted command, so that it can run later, elsewhere."""
    expected = envelope.expected if isinstance(envelope.expected, int) else None
    return _encode(
        Packed(
            command=msgspec.Raw(_encode(envelope.command)),
            occurred_at=to_text(envelope.occurred_at) if envelope.occurred_at else None,
            expected=expected,
            metadata=dict(envelope.metadata),
            hops=envelope.hops,
            to=to,
        )
    )


def packed(outcome: CommandOutcome) -> Packed:
    """What `pack` made. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(outcome.payload or b"", type=Packed)


def unpack(outcome: CommandOutcome, cls: type[Command]) -> Envelope:
    """The envelope of a posted command. Raises msgspec.ValidationError if the class no longer fits."""
    kept = packed(outcome)
    return Envelope(
        command=msgspec.json.decode(kept.command, type=cls),
        command_id=outcome.command_id,
        correlation_id=outcome.correlation_id or outcome.command_id,
        name=outcome.name,
        actor=outcome.actor,
        tenant=outcome.tenant,
        key=outcome.key,
        expected=kept.expected,
        occurred_at=from_text(kept.occurred_at) if kept.occurred_at else None,
        cause=outcome.cause,
        handler=outcome.handler,
        hops=kept.hops,
        metadata=kept.metadata,
        received_at=outcome.received_at,
        may_repeat=True,
        trusted=True,
        posted=True,
    )
