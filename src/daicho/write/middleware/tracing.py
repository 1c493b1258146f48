"""OpenTelemetry spans around commands, if the application has OpenTelemetry."""

from typing import Any

from daicho.core.messages import Receipt
from daicho.ports.command_sender import Envelope
from daicho.write.pipeline import Handler

try:
    from opentelemetry import trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ImportError:  # the `otel` extra is not installed: no spans, no cost
    trace, TraceContextTextMapPropagator = None, None  # type: ignore[assignment, misc]

__all__ = ["Tracing", "is_traced"]


def is_traced() -> bool:
    """Whether the application has set up a tracer provider; the API alone, without one, is not worth a layer."""
    return trace is not None and not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


class Tracing:
    """One span a command, named `process CreateOrder`, with the attributes of the messaging conventions.

    Its `traceparent` stands in the metadata of the command's events, and goes with them to other services; what follows
    from them, here or there, is a span of its own that is linked to this one.
    """

    def __init__(self, system: str) -> None:
        self._system = system
        self._tracer: Any = trace.get_tracer("daicho") if trace is not None else None
        self._propagator: Any = TraceContextTextMapPropagator() if TraceContextTextMapPropagator is not None else None
        self._trace: Any = trace

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
            links=self._links(envelope),
        ) as span:
            carrier: dict[str, str] = {}
            self._propagator.inject(carrier)
            if parent := carrier.get("traceparent"):
                envelope.metadata = {**envelope.metadata, "traceparent": parent}
            receipt = await proceed(envelope)
            span.set_attribute("daicho.stream", receipt.stream)
            span.set_attribute("daicho.position", int(receipt.position))
            return receipt

    def _links(self, envelope: Envelope) -> list[Any]:
        """To the span of the command whose event led to this one, or that sent it."""
        parent = envelope.metadata.get("traceparent")
        if parent is None:
            return []
        there = self._propagator.extract({"traceparent": parent})
        before = self._trace.get_current_span(there).get_span_context()
        return [self._trace.Link(before)] if before.is_valid else []
