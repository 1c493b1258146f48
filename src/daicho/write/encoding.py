"""Events on their way into the store: what is known about them beside themselves."""

from collections.abc import Iterable, Sequence
from typing import Any, cast

from daicho.core.behaviour import Behaviour
from daicho.core.codec import encoder_for
from daicho.core.errors import WiringError
from daicho.core.ids import event_ids
from daicho.core.messages import Event
from daicho.core.registry import Registry
from daicho.core.times import text_of, to_text
from daicho.ports.clock import Clock
from daicho.ports.command_sender import Envelope
from daicho.ports.event_store import NewEvent

__all__ = ["Encoding", "tags_of"]

_encode_metadata = encoder_for("json")


class Encoding:
    """Makes NewEvents of what a command led to."""

    def __init__(self, registry: Registry, clock: Clock) -> None:
        self._registry, self._clock = registry, clock
        self._everyday: dict[str, bytes] = {}
        """By the command's name, the metadata of one of which there is nothing else to say."""

    def __call__(
        self,
        envelope: Envelope,
        behaviour: Behaviour,
        events: Sequence[Event],
        more_tags: Sequence[tuple[str, ...]] | None = None,
    ) -> tuple[NewEvent, ...]:
        """`more_tags`, one for each event, stand behind those that its class asks for."""
        allowed = behaviour.effects[type(envelope.command)]
        encode = self._registry.encode
        given, command_id, correlation_id = envelope.occurred_at, envelope.command_id, envelope.correlation_id
        occurred_at = text_of(self._clock.now()) if given is None else to_text(given)
        metadata = self._metadata(envelope)
        ids = event_ids(correlation_id, command_id, len(events))
        new: list[NewEvent] = []
        for n, event in enumerate(events):
            cls = type(event)
            if cls not in allowed:
                raise WiringError(
                    f"{behaviour.name} recorded {cls.__name__} for {envelope.name}, which its annotation does not name",
                    why="what a command may lead to is declared, so that it can be checked and drawn",
                    do=f"add {cls.__name__} to the return annotation",
                )
            tags = tags_of(event) if cls.__tag_fields__ else ()
            if more_tags is not None:
                tags = tuple(dict.fromkeys((*tags, *more_tags[n])))
            new.append(
                NewEvent(
                    event_id=ids[n],
                    type=cls.__message_name__,
                    schema_version=cls.__schema_version__,
                    data=encode(event),
                    occurred_at=occurred_at,
                    correlation_id=correlation_id,
                    causation_id=command_id,
                    actor=envelope.actor,
                    tenant=envelope.tenant,
                    tags=tags,
                    metadata=metadata,
                )
            )
        return tuple(new)

    def _metadata(self, envelope: Envelope) -> bytes:
        if envelope.metadata or envelope.cause is not None or envelope.occurred_at is not None:
            return metadata_of(envelope)
        found = self._everyday.get(envelope.name)
        if found is None:
            found = self._everyday[envelope.name] = metadata_of(envelope)
        return found


def metadata_of(envelope: Envelope) -> bytes:
    found: dict[str, str] = {**envelope.metadata, "command": envelope.name}
    if envelope.cause is not None:
        found["cause"] = envelope.cause
        found["handler"] = envelope.handler or ""
        found["hops"] = str(envelope.hops)
    if envelope.occurred_at is not None:
        found["occurred"] = "given"
    return _encode_metadata(found)


def tags_of(event: Event) -> tuple[str, ...]:
    """`field:value` for each tag field that has a value; a list gives one tag for each item."""
    found: list[str] = []
    for name in type(event).__tag_fields__:
        value: Any = getattr(event, name)
        many = isinstance(value, (list, tuple, set, frozenset))
        items = cast("Iterable[Any]", value) if many else (value,)
        found.extend(f"{name}:{item}" for item in items if item is not None)
    return tuple(dict.fromkeys(found))
