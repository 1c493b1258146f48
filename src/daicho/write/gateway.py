"""The command gateway: one door for all commands, synchronous or durable and asynchronous, by choice."""

from collections.abc import Awaitable, Mapping
from datetime import datetime
from typing import cast

from daicho.core.conditions import Expected, check_expected
from daicho.core.errors import InvalidMessage
from daicho.core.ids import is_uuid, keyed_command_id
from daicho.core.messages import Command, Receipt
from daicho.core.times import to_text
from daicho.ports.clock import Clock
from daicho.ports.command_log import CommandLog
from daicho.ports.command_sender import Envelope, pack
from daicho.ports.event_store import CommandOutcome
from daicho.write.middleware.idempotency import check_content, fingerprint_of
from daicho.write.pipeline import Handler

__all__ = ["Gateway"]


def _check_texts(given: Mapping[str, object], path: str = "{}") -> None:
    """Raises InvalidMessage for a value that is neither a text nor None: it could not be stored as it is."""
    for name, value in given.items():
        if value is not None and not isinstance(value, str):
            where = path.format(name)
            raise InvalidMessage(f"{where} is {value!r}, and no text", do=f"give a str: {str(value)!r}", path=where)


class Gateway:
    """Makes envelopes and hands them to the pipeline (`send`), or to the log for later (`post`)."""

    def __init__(
        self,
        handler: Handler,
        check: Handler,
        log: CommandLog,
        clock: Clock,
        service: str = "app",
        remote: Mapping[type[Command], str] | None = None,
    ) -> None:
        """`remote`: which commands are for other services than `service`, this one, and for which."""
        self._handler, self._check, self._log, self._clock = handler, check, log, clock
        self._service, self._remote = service, remote or {}

    def envelope(
        self,
        command: Command,
        *,
        actor: str | None = None,
        tenant: str | None = None,
        key: str | None = None,
        expected: Expected | None = None,
        occurred_at: datetime | None = None,
        metadata: Mapping[str, str] | None = None,
        command_id: str | None = None,
        correlation_id: str | None = None,
    ) -> Envelope:
        """Raises InvalidMessage for a naive time, an id that is no UUID, both an id and a key, or what is no text."""
        if not isinstance(cast("object", command), Command):
            raise InvalidMessage(f"{command!r} is not a command", do="send an instance of a class derived from Command")
        if occurred_at is not None:
            to_text(occurred_at)
        check_expected(expected)
        name = type(command).__message_name__
        if actor is not None or tenant is not None or key is not None:
            _check_texts({"actor": actor, "tenant": tenant, "key": key})
        if metadata:
            _check_texts(metadata, "metadata.{}")
        if key is not None:
            if command_id is not None:
                raise InvalidMessage("a command has either a key or a command id", do="leave one of them out")
            command_id = keyed_command_id(name, tenant, key)
        repeat = command_id is not None
        for given in (command_id, correlation_id):
            if given is not None and not is_uuid(given):
                raise InvalidMessage(
                    f"{given!r} is not a UUID in canonical form", do="use str(uuid.uuid4()), or `key=` for names"
                )
        command_id = command_id or self._clock.new_id()
        return Envelope(
            command=command,
            command_id=command_id,
            correlation_id=correlation_id or command_id,
            name=name,
            actor=actor,
            tenant=tenant,
            key=key,
            expected=expected,
            occurred_at=occurred_at,
            metadata=metadata or {},
            may_repeat=repeat,
        )

    def send(self, envelope: Envelope) -> Awaitable[Receipt]:
        """Handles the command now. See App.send."""
        return self._handler(envelope)

    async def check(self, envelope: Envelope) -> None:
        """Whether it could be handled, as far as can be told before it is. Raises what `post` raises for that."""
        await self._check(envelope)

    async def post(self, envelope: Envelope) -> str:
        """Checks the command, makes it durable as pending and returns its id. Posting it again changes nothing."""
        await self._check(envelope)
        expected = envelope.expected
        if expected is not None and not isinstance(expected, int):
            raise InvalidMessage("a posted command can expect a version only as a number", do="leave `expected` out")
        log = self._log if envelope.within is None else envelope.within
        stands = await log.record(
            CommandOutcome(
                command_id=envelope.command_id,
                name=envelope.name,
                state="pending",
                key=envelope.key,
                fingerprint=fingerprint_of(envelope),
                actor=envelope.actor,
                tenant=envelope.tenant,
                correlation_id=envelope.correlation_id,
                cause=envelope.cause,
                handler=envelope.handler,
                received_at=to_text(self._clock.now()),
                payload=pack(envelope, self._remote.get(type(envelope.command), self._service)),
            ),
            replace=False,
        )
        check_content(envelope, stands)
        return envelope.command_id
