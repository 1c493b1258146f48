"""A wire to PostgreSQL that is cut at one exact message.

with PostgresProxy(cluster.port) as wire:
    lost = wire.cut_after_commit_before_ack()
    ...  # a client of wire.through(url) commits, and hears of a broken connection instead
    lost.wait()
"""

import struct
import threading
from dataclasses import dataclass, field
from typing import Literal

from tests.services.proxy import Passed, Proxy

WANTS_ENCRYPTION = (80877103, 80877104)
"""First messages that ask for TLS and for GSS."""
CANCELS = 80877102


class Trap:
    """Waits for one message, on whichever connection it comes first, and cuts that connection before or after it."""

    def __init__(self, pattern: bytes, cuts: Literal["before", "after"]) -> None:
        self.pattern = pattern
        self.cuts = cuts
        self.is_set = True
        self._sprung = threading.Event()

    @property
    def sprung(self) -> bool:
        """Whether it has cut."""
        return self._sprung.is_set()

    def spring(self) -> None:
        self._sprung.set()

    def wait(self, seconds: float = 10) -> None:
        assert self._sprung.wait(seconds), f"no message with {self.pattern!r} in {seconds} seconds"


class PostgresProxy(Proxy):
    """The client sees a server without TLS, so that the wire can be read."""

    def __init__(self, target_port: int) -> None:
        self._traps: list[Trap] = []
        super().__init__(target_port)

    def cut_after_commit_before_ack(self, pattern: bytes = b"COMMIT") -> Trap:
        """The next message with the pattern is carried out; its answer is lost, and the connection with it.

        The name holds if the message commits: COMMIT itself, or a statement outside of a transaction.
        """
        return self._set(Trap(pattern, "after"))

    def cut_before(self, pattern: bytes) -> Trap:
        """The next message with the pattern never arrives: its connection is cut, and the server rolls back."""
        return self._set(Trap(pattern, "before"))

    def conversation(self) -> "PostgresConversation":
        return PostgresConversation(self._traps)

    def _set(self, trap: Trap) -> Trap:
        self._traps.append(trap)
        return trap


@dataclass
class PostgresConversation:
    """Enough of the protocol to know which answer belongs to which message.

    The start, every Query, every FunctionCall and every Sync is answered in turn, and each answer ends with
    ReadyForQuery. Traps look where something is carried out: into a Query, and into a Bind together with the text that
    was parsed for it, so that COMMIT is found in a prepared statement too.
    """

    traps: list[Trap]
    _started: bool = False
    _asked: int = 1
    _answered: int = 0
    _sent: bytes = b""
    _heard: bytes = b""
    _statements: dict[bytes, bytes] = field(default_factory=dict[bytes, bytes])
    _caught: Trap | None = None
    _lost: int = 0
    """Number of the answer that is lost."""

    def from_client(self, data: bytes, /) -> Passed:
        messages, self._sent = split(self._sent + data, typed=self._started)
        passed = Passed()
        for message in messages:
            if not self._started:
                self._start(message, passed)
                continue
            trap = None if self._caught else self._walks_into(message)
            if trap:
                trap.is_set = False
                self._caught, self._lost = trap, self._asked + 1
            if trap and trap.cuts == "before":
                passed.cut = trap.spring
                break
            self._asked += message[:1] in (b"Q", b"F", b"S")
            passed.to_server += message
        return passed

    def from_server(self, data: bytes, /) -> Passed:
        messages, self._heard = split(self._heard + data, typed=True)
        passed = Passed()
        for message in messages:
            ends = message[:1] == b"Z"
            if not self._caught or self._answered + 1 < self._lost:
                passed.to_client += message
            elif ends:
                passed.cut = self._caught.spring
                break
            self._answered += ends
        return passed

    def _start(self, message: bytes, passed: Passed) -> None:
        (code,) = struct.unpack_from("!i", message, 4)
        if code in WANTS_ENCRYPTION:
            passed.to_client += b"N"
        else:
            self._started = code != CANCELS
            passed.to_server += message

    def _walks_into(self, message: bytes) -> Trap | None:
        kind, body = message[:1], message[5:]
        if kind == b"P":
            name, text, _ = body.split(b"\0", 2)
            self._statements[name] = text
        if kind == b"B":
            _, name, _ = body.split(b"\0", 2)
            body += self._statements.get(name, b"")
        if kind not in (b"Q", b"B"):
            return None
        return next((trap for trap in self.traps if trap.is_set and trap.pattern in body), None)


def split(data: bytes, *, typed: bool) -> tuple[list[bytes], bytes]:
    """The complete messages, and what is left. A message is a letter, but for a client's first, a length, a body."""
    found: list[bytes] = []
    start = 0
    while start + typed + 4 <= len(data):
        (length,) = struct.unpack_from("!i", data, start + typed)
        end = start + typed + length
        if end > len(data):
            break
        found.append(data[start:end])
        start = end
    return found, data[start:]
