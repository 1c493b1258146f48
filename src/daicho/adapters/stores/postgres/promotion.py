"""Promoting a standby by hand, over SQL alone.

look ──> fence the old primary ──> wait for the standby ──> pg_promote() ──> begin an epoch ──> write and read
          (down, or read-only)      (what it has not got                     (opening the store
           else refused              would be lost)                           there does that)
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import uuid4

import msgspec

from daicho.adapters.stores.postgres.location import parse_url
from daicho.adapters.stores.postgres.servers import Server
from daicho.adapters.stores.postgres.storage import PostgresStorage
from daicho.core.errors import CannotPromote, StoreError
from daicho.core.times import to_text
from daicho.ports.epochs import Epoch
from daicho.ports.event_store import AppendRequest, CommandOutcome, Selection
from daicho.ports.failover import FailoverCheck, Fencing, LostEvent, Promotion, ServerState, SlotState

__all__ = ["PostgresFailover"]

_NEAR = 10_000
"""Positions before the newest that a standby has, among which it may lack some: commits are not in their order."""
_PAGE = 1000
_WORST: Sequence[Fencing] = ("impossible", "unknown", "possible", "done", "down")


class PostgresFailover:
    """Fulfils `daicho.ports.failover.Failover`."""

    def __init__(self, url: str, standbys: Sequence[str] = (), *, now: Callable[[], datetime]) -> None:
        """`standbys`: those that are known without being named."""
        parse_url(url)
        self._url, self._standbys, self._now = url, list(standbys), now

    # -- before ---------------------------------------------------------------------------------------------------

    async def check(self, standbys: Sequence[str] = ()) -> FailoverCheck:
        servers, states = await self._look(standbys)
        primary = _primary(servers, states)
        found: list[ServerState] = []
        slots: list[SlotState] = []
        is_synchronous: bool | None = None
        told: list[ServerState] = []
        if primary is not None:
            slots, is_synchronous, told = await primary.slots(), await primary.is_synchronous(), await primary.told_of()
        for server, state in zip(servers, states, strict=True):
            if state.role == "standby":
                found.append(await self._compared(server, state, primary, states[servers.index(primary)], told)
                             if primary is not None else state)  # fmt: skip
        names = {each.name for each in found}
        found += [each for each in told if each.name not in names]
        best = _best(found)
        fencing, detail = await self._fencing(servers, states)
        problems = _problems(primary, found, best, is_synchronous, fencing, detail, slots)
        return FailoverCheck(
            primary=None if primary is None else states[servers.index(primary)],
            standbys=tuple(found),
            best=None if best is None else best.url,
            is_synchronous=is_synchronous,
            events_at_risk=None if best is None else best.events_behind,
            bytes_at_risk=None if best is None else best.bytes_behind,
            fencing=fencing,
            fencing_detail=detail,
            slots=tuple(slots),
            problems=tuple(problems),
        )

    async def _look(self, standbys: Sequence[str]) -> tuple[list[Server], list[ServerState]]:
        servers = {
            server.where: server for url in (self._url, *self._standbys, *standbys) for server in Server.all_of(url)
        }
        found = list(servers.values())
        return found, list(await asyncio.gather(*[server.state() for server in found]))

    async def _compared(
        self, server: Server, state: ServerState, primary: Server, its: ServerState, told: Sequence[ServerState]
    ) -> ServerState:
        """A standby next to its primary."""
        near = max(0, state.position - _NEAR)
        events = await primary.count_behind(near) - await server.count_behind(near)
        name = await server.name_of()
        sync = next((each.sync for each in told if each.name == name), "")
        return msgspec.structs.replace(
            state,
            name=name,
            sync=sync,
            events_behind=max(0, events),
            bytes_behind=max(0, await primary.bytes_between(its.replayed, state.replayed)) if state.replayed else None,
        )

    async def _fencing(self, servers: Sequence[Server], states: Sequence[ServerState]) -> tuple[Fencing, str]:
        """Of whatever is no standby: the worst."""
        rest = [server for server, state in zip(servers, states, strict=True) if state.role != "standby"]
        found = [await server.fencing() for server in rest]
        return min(found, key=lambda each: _WORST.index(each[0]), default=("unknown", "no primary was named"))

    # -- and after ------------------------------------------------------------------------------------------------

    async def promote(
        self, standby: str | None = None, *, standbys: Sequence[str] = (), force: bool = False, within: float = 60.0
    ) -> Promotion:
        check = await self.check([*([standby] if standby else []), *standbys])
        server = self._chosen(check, standby, standbys)
        if check.fencing in ("impossible", "unknown") and not force:
            raise CannotPromote(
                "the old primary may still take writes",
                why=check.fencing_detail,
                do="shut it down, or cut it off, then try again; --force promotes all the same: what it takes is lost",
                fencing=check.fencing,
            )
        began = time.monotonic()
        fencing, lost = check.fencing, check.events_at_risk if check.primary is not None else None
        if fencing == "possible":
            lost = await self._fence(server, check, force=force, within=within)
            fencing = "done"
        if not await server.promote(within):
            raise CannotPromote(f"{server.url} was not promoted within {within:g} s", do="look into its log")
        epoch = await self._verified(server, within)
        return Promotion(
            url=server.url,
            fencing=fencing,
            epoch=epoch.epoch,
            survived=epoch.survived,
            events_lost=lost,
            seconds=time.monotonic() - began,
        )

    def _chosen(self, check: FailoverCheck, standby: str | None, standbys: Sequence[str]) -> Server:
        servers = [
            server
            for url in (self._url, *self._standbys, *standbys, *([standby] if standby else ()))
            for server in Server.all_of(url)
        ]
        wanted = Server.all_of(standby)[0].url if standby else check.best
        if wanted is None:
            raise CannotPromote(
                "there is no standby to promote",
                why="none of the URLs leads to one that answers",
                do="name it: daicho failover promote --standby postgresql://host/db",
            )
        if not any(each.url == wanted and each.role == "standby" for each in check.standbys):
            raise CannotPromote(
                f"{wanted} is no standby", why="it is a primary, or does not answer", do="name another one"
            )
        return next(server for server in reversed(servers) if server.url == wanted)

    async def _fence(self, server: Server, check: FailoverCheck, *, force: bool, within: float) -> int | None:
        """Returns how many events are lost."""
        assert check.primary is not None
        old = next(each for each in Server.all_of(self._url) if each.url == check.primary.url)
        place = await old.fence()
        deadline = time.monotonic() + within / 2
        while not await server.has_replayed(place):
            if time.monotonic() > deadline:
                if force:
                    near = max(0, (await server.state()).position - _NEAR)
                    return await old.count_behind(near) - await server.count_behind(near)
                await old.unfence()
                raise CannotPromote(
                    f"{server.url} does not come to where the primary is within {within / 2:g} s",
                    why="what it has not got would be lost; the primary takes writes again",
                    do="see why it lags; or --force",
                )
            await asyncio.sleep(0.02)
        return 0

    async def _verified(self, server: Server, within: float) -> Epoch:
        """Opens the store there, which begins an epoch, writes to it, and reads."""
        store = PostgresStorage(server.full_url, now=self._now)
        await store.open()
        try:
            epoch = (await store.epochs())[-1]
            note = CommandOutcome(
                command_id=str(uuid4()),
                name="daicho.failover",
                state="done",
                position=epoch.survived,
                reason=f"epoch {epoch.epoch} began on {server.url}",
                received_at=to_text(self._now()),
                finished_at=to_text(self._now()),
            )
            try:
                async with asyncio.timeout(within):
                    [answer] = await store.append([AppendRequest(outcome=note)])
            except TimeoutError:
                raise StoreError(
                    f"{server.url} was promoted, and a write does not come back",
                    why="synchronous_standby_names probably names standbys that are gone",
                    do="alter system reset synchronous_standby_names; select pg_reload_conf();",
                ) from None
            if isinstance(answer, Exception):
                raise answer
            await store.read(Selection(newest_first=True), limit=1)
            return epoch
        finally:
            await store.close()

    async def lost(self, old: str) -> list[LostEvent]:
        store = PostgresStorage(self._url, now=self._now)
        await store.open()
        try:
            epochs = await store.epochs()
            survived = min((each.survived for each in epochs if each.epoch), default=None)
        finally:
            await store.close()
        if survived is None:
            return []
        return await self._only_there(Server.all_of(old)[0], max(0, survived - _NEAR))

    async def _only_there(self, old: Server, after: int) -> list[LostEvent]:
        found: list[LostEvent] = []
        here = PostgresStorage(self._url, now=self._now)
        await here.open()
        try:
            while rows := await old.events(after, _PAGE):
                present = set(await here.present([row[4] for row in rows]))
                found += [
                    LostEvent(
                        position=row[0], stream=row[1], version=row[2], type=row[3], event_id=row[4],
                        recorded_at=row[5], data=bytes(row[6]),
                    )
                    for row in rows
                    if row[4] not in present
                ]  # fmt: skip
                after = rows[-1][0]
        finally:
            await here.close()
        return found


def _primary(servers: Sequence[Server], states: Sequence[ServerState]) -> Server | None:
    """The newest, if there are several."""
    found = [
        (state.epoch, state.timeline, server)
        for server, state in zip(servers, states, strict=True)
        if state.role == "primary"
    ]
    return max(found, key=lambda each: each[:2])[2] if found else None


def _best(standbys: Sequence[ServerState]) -> ServerState | None:
    named = [each for each in standbys if each.role == "standby"]
    return max(named, key=lambda each: (_place(each.received or each.replayed), each.position), default=None)


def _place(text: str) -> int:
    """A place in the log as a number."""
    high, _, low = text.partition("/")
    return (int(high, 16) << 32) | int(low, 16) if high and low else 0


def _problems(
    primary: Server | None,
    standbys: Sequence[ServerState],
    best: ServerState | None,
    is_synchronous: bool | None,
    fencing: Fencing,
    detail: str,
    slots: Sequence[SlotState],
) -> list[str]:
    found: list[str] = []
    if best is None:
        found.append("no standby that could be promoted answers: name it with --standby")
    if primary is not None and not standbys:
        found.append("no standby is connected to the primary: what it acknowledges is in one place only")
    if is_synchronous is False:
        found.append("replication is asynchronous: what was acknowledged last would be lost with the primary")
    if fencing in ("impossible", "unknown"):
        found.append(detail)
    if best is not None and best.events_behind:
        found.append(f"{best.url} lacks {best.events_behind} events that were acknowledged")
    found += [f"the slot {slot.name} is not in use, and keeps {slot.retained_bytes} bytes of the log"
              for slot in slots if not slot.is_active]  # fmt: skip
    return found
