"""Who runs a processor, and how far it has come."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from daicho.adapters.owner import is_gone
from daicho.adapters.stores.sqlite.base import Part
from daicho.adapters.stores.sqlite.queries import statement
from daicho.adapters.stores.sqlite.writer import Transaction
from daicho.core.errors import LostLease
from daicho.core.segments import root_of
from daicho.ports.checkpoint_store import CUT, NOBODY, PAUSED, Advance, Checkpoint

__all__ = ["SqliteCheckpoints", "move_checkpoint"]

LEASE_SECONDS = 10.0
_FOR_EVER = 1e12
"""Seconds since 1970."""

_REGISTER, _ONE, _ALL, _LEASE = (statement(n) for n in ("register", "checkpoint", "checkpoints", "lease"))
_PROLONG, _TAKE, _RENEW, _RELEASE = (statement(n) for n in ("prolong", "take", "renew", "release"))
_ADVANCE, _REWIND, _PAUSE, _RECUT = (statement(n) for n in ("advance", "rewind", "pause", "recut"))
_UNSEAT = statement("unseat")
_FORGET = (statement("forget_checkpoint"), statement("forget_letters"))


def move_checkpoint(transaction: Transaction, move: Advance) -> None:
    """Raises LostLease unless the token and the old position are the present ones."""
    connection = transaction.connection
    connection.execute(_ADVANCE, (move.new, transaction.now, move.processor, move.token, move.old))
    if not connection.changes():
        raise LostLease(
            f"{move.processor} is no longer run from here",
            why="another process took it over, or its checkpoint was put elsewhere by hand",
            do="nothing: its present owner goes on from the checkpoint",
            processor=move.processor,
        )


def _checkpoint(row: tuple[Any, ...]) -> Checkpoint:
    processor, position, token, owner, updated_at, fold, until = row
    return Checkpoint(
        processor=processor,
        position=position,
        token=token,
        owner=owner,
        updated_at=updated_at,
        fold=fold,
        runs=owner is not None and owner not in NOBODY and until > time.time() and not is_gone(owner),
    )


class SqliteCheckpoints(Part):
    """An owner lives until it releases, until its process is seen to be gone (on the same host), or for ten seconds
    after it was last heard of."""

    async def register(self, processor: str, *, position: int, fold: str | None = None) -> Checkpoint:
        def work(transaction: Transaction) -> Checkpoint:
            connection = transaction.connection
            connection.execute(_REGISTER, (processor, position, transaction.now, fold))
            return _checkpoint(connection.execute(_ONE, (processor,))[0])

        return await self._write(work)

    async def claim(self, processor: str, owner: str) -> Checkpoint | None:
        if self._is_taken(await self._here(lambda connection: connection.execute(_LEASE, (processor,))), owner):
            return None  # asked for again and again while another process is at it: not worth a commit

        def work(transaction: Transaction) -> Checkpoint | None:
            connection = transaction.connection
            lease = connection.execute(_LEASE, (processor,))
            if self._is_taken(lease, owner):
                return None
            until = time.time() + LEASE_SECONDS
            if lease[0][0] == owner:
                connection.execute(_PROLONG, (until, processor))
            else:
                connection.execute(_TAKE, (owner, until, processor))
            return _checkpoint(connection.execute(_ONE, (processor,))[0])

        return await self._write(work)

    @staticmethod
    def _is_taken(lease: Sequence[tuple[Any, ...]], owner: str) -> bool:
        if not lease:
            return True  # never registered: nothing to run
        [(present, until)] = lease
        return present is not None and present != owner and until > time.time() and not is_gone(present)

    async def renew(self, owner: str) -> None:
        until = time.time() + LEASE_SECONDS
        await self._write(lambda transaction: transaction.connection.execute(_RENEW, (until, owner)))

    async def release(self, owner: str, processor: str | None = None) -> None:
        await self._write(lambda transaction: transaction.connection.execute(_RELEASE, (owner, processor, processor)))

    async def pause(self, processor: str) -> None:
        await self._write(lambda transaction: transaction.connection.execute(_PAUSE, (PAUSED, _FOR_EVER, processor)))

    async def recut(self, owner: str, old: Sequence[Checkpoint], new: Mapping[str, int]) -> bool:
        def work(transaction: Transaction) -> bool:
            connection = transaction.connection
            for each in old:
                present = connection.execute(_ONE, (each.processor,))
                if not present or _checkpoint(present[0]).position != each.position:
                    return False
                if self._is_taken(connection.execute(_LEASE, (each.processor,)), owner):
                    return False
            token, fold = max(each.token for each in old) + 1, old[0].fold
            for each in old:
                if each.processor == root_of(each.processor):
                    connection.execute(_PAUSE, (CUT, _FOR_EVER, each.processor))
                else:
                    connection.execute(_FORGET[0], (each.processor,))
            for name, position in new.items():
                connection.execute(_RECUT, (name, position, token, transaction.now, fold))
            return True

        return await self._write(work)

    async def advance(self, move: Advance) -> None:
        await self._write(lambda transaction: move_checkpoint(transaction, move))

    async def rewind(self, processor: str, position: int) -> None:
        await self._write(
            lambda transaction: transaction.connection.execute(_REWIND, (position, transaction.now, processor))
        )

    async def unseat(self, processor: str) -> None:
        await self._write(lambda transaction: transaction.connection.execute(_UNSEAT, (processor,)))

    async def forget(self, processor: str) -> None:
        def work(transaction: Transaction) -> None:
            for text in _FORGET:
                transaction.connection.execute(text, (processor,))

        await self._write(work)

    async def checkpoints(self) -> Sequence[Checkpoint]:
        return [_checkpoint(row) for row in await self._here(lambda connection: connection.execute(_ALL))]
