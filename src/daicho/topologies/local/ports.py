"""Ports that nobody uses."""

import random
import socket

__all__ = ["free_port"]


def free_port(taken: set[int]) -> int:
    """Below those that Linux gives to outgoing connections; noted in `taken`."""
    while True:
        port = random.randrange(20_000, 32_000)  # noqa: S311 - nothing secret
        if port in taken:
            continue
        with socket.socket() as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        taken.add(port)
        return port
