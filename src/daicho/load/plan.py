"""What is asked, and what is written."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from daicho.core.errors import ConfigurationError

__all__ = ["SHOP", "Plan", "Ratio", "Request"]

_RATIO = re.compile(r"(\d+)(?::(\d+))?\Z")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A template: `{key}` stands for one of the keys, the same in path and body."""

    method: str
    path: str
    body: str = ""

    @classmethod
    def of(cls, text: str) -> "Request":
        """`GET /stock/{key}`, `POST /stock/{key}/deliveries {"quantity": 1}`. Raises ConfigurationError."""
        method, _, rest = text.strip().partition(" ")
        path, _, body = rest.strip().partition(" ")
        if not method.isalpha() or not path.startswith("/"):
            raise ConfigurationError(
                f"{text!r} is no request",
                do='write `GET /stock/{key}` or `POST /stock/{key}/deliveries {"quantity": 1}`',
            )
        return cls(method=method.upper(), path=path, body=body)

    def raw(self, host: str, key: str, headers: str = "") -> bytes:
        """As it goes over the wire."""
        path = self.path.replace("{key}", key)
        body = self.body.replace("{key}", key).encode()
        about = "Content-Type: application/json\r\n" if body else ""
        if body or self.method not in ("GET", "HEAD"):
            about += f"Content-Length: {len(body)}\r\n"
        head = f"{self.method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\n{about}{headers}\r\n"
        return head.encode() + body


class Ratio(msgspec.Struct, frozen=True, kw_only=True):
    """Reads to writes."""

    reads: int
    writes: int

    @classmethod
    def of(cls, text: str) -> "Ratio":
        """`100:1`, or `100`. Raises ConfigurationError."""
        found = _RATIO.match(text)
        if found is None or int(found[1]) + int(found[2] or 1) == 0:
            raise ConfigurationError(f"{text!r} is no ratio", do="write 100:1")
        return cls(reads=int(found[1]), writes=int(found[2] or 1))


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The load of one run."""

    reads: Sequence[Request]
    writes: Sequence[Request]
    keys: int = 1000
    """So many things are looked at and written; the first ones oftener than the last ones."""
    counts: str | None = None
    """Field of the answer to the first read that counts how often its key was written: by it, an answer that is older
    than the token that it was asked with is found out whatever its headers say."""
    every: int = 1
    """One of so many reads of a key that this caller has written carries the token of that write."""

    def told(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)  # type: ignore[no-any-return]


SHOP = Plan(
    reads=[Request(method="GET", path="/stock/{key}")],
    writes=[Request(method="POST", path="/stock/{key}/deliveries", body='{"quantity": 1}')],
    counts="received",
)
"""The shop of the examples: how much there is of a product, and deliveries."""
