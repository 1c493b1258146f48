"""OpenTelemetry spans around commands, if the application has OpenTelemetry."""

from typing import Any

from daicho.core.messages import Receipt
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

try:
    from opentelemetry import trace
except ImportError:  # the `otel` extra is not installed: no spans, no cost
    trace = None  # type: ignore[assignment]

__all__ = ["Tracing", "is_traced"]


def is_traced() -> bool:
    """Whether the application has set up a tracer provider; the API alone, without one, is not worth a layer."""
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class Tracing:
    """One span a command, named `process CreateOrder`, with the attributes of the messaging conventions."""

    def __init__(self, system: str) -> None:
        self._system = system
        self._tracer: Any = trace.get_tracer("daicho") if trace is not None else None

    async def __call__(self, envelope: Envelope, proceed: Handler) -> Receipt:
        with self._tracer.start_as_current_span(
            f"process {envelope.name}",
            attributes={
                "messaging.system": "daicho",
                "messaging.operation.type": "process",
                "messaging.destination.name": self._system,
                "messaging.message.id": envelope.command_id,
                "messaging.message.conversation_id": envelope.correlation_id,
            },
        ) as span:
            receipt = await proceed(envelope)
            span.set_attribute("daicho.stream", receipt.stream)
            span.set_attribute("daicho.position", int(receipt.position))
            return receipt
