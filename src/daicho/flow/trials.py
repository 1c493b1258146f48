"""Tries dead letters of any processor: folds them in memory, or lets aggregates decide on a register that only seems to
be written."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from daicho.core.errors import CannotTry, HistoryError, NotRunning, Rejected, StoreError
from daicho.core.messages import Command, RecordedEvent
from daicho.core.registry import Registry
from daicho.core.segments import root_of, segment_of
from daicho.core.stored import recorded
from daicho.flow.reactions import Reaction
from daicho.ports.command_sender import CommandSender
from daicho.ports.dead_letter_store import DeadLetter
from daicho.ports.event_store import Selection
from daicho.ports.probe import silent
from daicho.ports.storage import Joined, Storage
from daicho.ports.view_store import TableSpec
from daicho.read.elsewhere import Elsewhere
from daicho.read.join_projector import JoinProjector
from daicho.read.projector import Projector
from daicho.read.rebuild import AnyProjector, projector_for
from daicho.read.trial import CommandTrial, Trial, TrialStep, told, try_acceptance, try_rows

__all__ = ["Trials"]


class Trials:
    """What a retry of letters would do, without any of it."""

    def __init__(
        self,
        storage: Storage,
        registry: Registry,
        projectors: Sequence[AnyProjector],
        reactions: Sequence[Reaction],
        send: CommandSender,
        imagine: Callable[[], Joined],
    ) -> None:
        """
        send     handles a command as it is handled for an event, but for what the App puts around it
        imagine  a register that shows what is stored, and keeps what is appended to itself
        """
        self._storage, self._registry = storage, registry
        self._projectors, self._reactions = projectors, reactions
        self._send, self._imagine = send, imagine

    async def __call__(self, letters: Sequence[DeadLetter]) -> Trial:
        """`letters` of one key, in order. Raises CannotTry, StoreError."""
        processor = letters[0].processor
        for reaction in self._reactions:
            if reaction.name == root_of(processor):
                return await self._commands(reaction, letters)
        kind, _, rest = root_of(processor).partition(":")
        name, _, build = rest.partition("@")
        for projector in self._projectors:
            if kind == "projection" and projector.table.name == name:
                return await self._rows(projector, int(build), letters)
        raise CannotTry(
            f"no part of this App is {processor}",
            why="its code is needed to try what it parked",
            do="name the app that has it, or give the letters up with `daicho dlq skip`",
            processor=processor,
        )

    async def _rows(self, running: AnyProjector, generation: int, letters: Sequence[DeadLetter]) -> Trial:
        table = TableSpec(running.table.name, generation, running.table.row_type)
        if isinstance(running, JoinProjector):
            return await try_acceptance(running.another(table), letters)
        elsewhere = running.views if isinstance(running.views, Elsewhere) else None
        segment = segment_of(letters[0].processor)
        own = projector_for(running.fold, table, self._storage, self._registry, silent, elsewhere, segment)
        if isinstance(own, Projector):
            return await try_rows(own, letters)
        return await try_acceptance(own, letters)

    async def _commands(self, reaction: Reaction, letters: Sequence[DeadLetter]) -> Trial:
        if reaction.part.has_side_effect:
            raise CannotTry(
                f"{reaction.name} has side effects",
                why="what it does outside cannot be taken back, so it cannot be tried without being done",
                do="`daicho dlq retry` does it",
                processor=reaction.name,
            )
        world, steps = self._imagine(), list[TrialStep]()
        for letter in letters:
            steps.append(await self._step(reaction, letter, world))
            if steps[-1].error is not None:
                break
        first = letters[0]
        return Trial(processor=first.processor, key=first.key, shows="commands", steps=steps, error=steps[-1].error)

    async def _step(self, reaction: Reaction, letter: DeadLetter, world: Joined) -> TrialStep:
        step = TrialStep(number=letter.number, type=letter.type, position=letter.position)
        found = await self._storage.read(Selection(event_id=letter.event_id), limit=1)
        try:
            record = recorded(found[0], self._registry)
        except HistoryError as error:
            return msgspec.structs.replace(step, error=told(error))
        step = msgspec.structs.replace(step, event=record.event)
        try:
            commands = reaction.decided(record)
        except Exception as error:  # noqa: BLE001 - the user's code: told
            return msgspec.structs.replace(step, error=told(error))
        tried = [await self._command(reaction, record, n, command, world) for n, command in enumerate(commands)]
        failed = next((each.error for each in tried if each.error is not None), None)
        return msgspec.structs.replace(step, commands=tried, error=failed)

    async def _command(
        self, reaction: Reaction, record: RecordedEvent[Any], n: int, command: Command, world: Joined
    ) -> CommandTrial:
        envelope = reaction.envelope(record, command, n, again=True)
        envelope.within = world
        try:
            receipt = await self._send(envelope)
        except Rejected as refusal:
            return CommandTrial(command=command, refused=refusal.what)
        except (StoreError, NotRunning):
            raise
        except Exception as error:  # noqa: BLE001 - the user's code: told
            return CommandTrial(command=command, error=told(error))
        events = () if receipt.duplicate else receipt.events
        return CommandTrial(command=command, stream=receipt.stream, events=events, duplicate=receipt.duplicate)
