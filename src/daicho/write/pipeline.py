"""The chain that every command goes through."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeAlias

from daicho.core.messages import Receipt
from daicho.ports.command_sender import Envelope

__all__ = ["Handler", "Middleware", "compose"]

Handler: TypeAlias = Callable[[Envelope], Awaitable[Receipt]]
Middleware: TypeAlias = Callable[[Envelope, Handler], Awaitable[Receipt]]
"""`async def my_middleware(envelope, proceed): ...; return await proceed(envelope)`

One that only looks at the envelope before it proceeds may be a plain function that ends with
`return proceed(envelope)`: a coroutine is resumed through every layer that waits, so those that need not wait do not.
"""


def compose(middleware: Sequence[Middleware], innermost: Handler) -> Handler:
    """The first middleware is the outermost. Composed once: a call costs one coroutine per layer that waits."""
    handler = innermost
    for layer in reversed(middleware):
        handler = _around(layer, handler)
    return handler


def _around(layer: Middleware, inner: Handler) -> Handler:
    def handler(envelope: Envelope) -> Awaitable[Receipt]:
        return layer(envelope, inner)

    return handler
