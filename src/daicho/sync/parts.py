"""What the synchronous App hands out: each does what its asynchronous twin does, and blocks meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from daicho.core.messages import RecordedEvent, Row
from daicho.core.projection import Table
from daicho.flow.forgetting import Forgetting, PersonFound
from daicho.flow.process_admin import InstanceLine, ProcessCount, Processes, ProcessStory
from daicho.ports.key_store import Certificate, Hold
from daicho.read.crud import CrudTable
from daicho.read.diff import Diff
from daicho.read.generations import Generation
from daicho.read.projections import Projections, ProjectionState
from daicho.read.queries import PageOf, View, Views
from daicho.read.rebuild import RebuildStep
from daicho.sync.loop import Loop

__all__ = ["SyncCrud", "SyncForgetting", "SyncProcesses", "SyncProjections", "SyncView", "SyncViews"]

RowT = TypeVar("RowT", bound=Row)


class SyncCrud(Generic[RowT]):
    """A Crud table for synchronous code."""

    def __init__(self, loop: Loop, table: CrudTable[RowT]) -> None:
        self._loop, self._table = loop, table

    def put(self, *rows: RowT) -> None:
        self._loop.run(self._table.put(*rows))

    def delete(self, *keys: str) -> None:
        self._loop.run(self._table.delete(*keys))

    def get(self, key: str) -> RowT | None:
        return self._loop.run(self._table.get(key))

    def find(
        self, *, order_by: str | None = None, descending: bool = False, limit: int | None = None, **equals: object
    ) -> list[RowT]:
        return self._loop.run(self._table.find(order_by=order_by, descending=descending, limit=limit, **equals))


class SyncProcesses:
    """Instances of process managers for synchronous code: see App.processes."""

    def __init__(self, loop: Loop, processes: Processes) -> None:
        self._loop, self._processes = loop, processes

    def list(self) -> Sequence[ProcessCount]:
        return self._loop.run(self._processes.list())

    def instances(self, process: str, *, status: str | None = None, limit: int = 100) -> Sequence[InstanceLine]:
        return self._loop.run(self._processes.instances(process, status=status, limit=limit))

    def stuck(self, *, older: timedelta = timedelta(hours=1)) -> Sequence[InstanceLine]:
        return self._loop.run(self._processes.stuck(older=older))

    def show(self, process: str, key: str) -> ProcessStory:
        return self._loop.run(self._processes.show(process, key))

    def nudge(self, process: str, key: str) -> bool:
        return self._loop.run(self._processes.nudge(process, key))

    def compensate(self, process: str, key: str, reason: str) -> bool:
        return self._loop.run(self._processes.compensate(process, key, reason))


class SyncProjections:
    """The generations of views for synchronous code: see App.projections. Generators must be used up."""

    def __init__(self, loop: Loop, projections: Projections) -> None:
        self._loop, self._projections = loop, projections

    def rebuild(
        self, name: str, *, switch: bool = True, at_most: float | None = None, afresh: bool = False
    ) -> Iterator[RebuildStep]:
        return self._loop.each(self._projections.rebuild(name, switch=switch, at_most=at_most, afresh=afresh))

    def deploy(self, name: str, *, at_most: float | None = None) -> Iterator[RebuildStep]:
        return self._loop.each(self._projections.deploy(name, at_most=at_most))

    def diff(self, name: str, *, within: float = 10.0) -> Diff:
        return self._loop.run(self._projections.diff(name, within=within))

    def verify(self, name: str, *, at_most: float | None = None, within: float = 10.0) -> Diff:
        return self._loop.run(self._projections.verify(name, at_most=at_most, within=within))

    def switch(self, name: str) -> Generation:
        return self._loop.run(self._projections.switch(name))

    def rollback(self, name: str) -> Generation:
        return self._loop.run(self._projections.rollback(name))

    def list(self) -> list[ProjectionState]:
        return self._loop.run(self._projections.list())


class SyncForgetting:
    """People and their data for synchronous code: see App.personal."""

    def __init__(self, loop: Loop, forgetting: Forgetting) -> None:
        self._loop, self._forgetting = loop, forgetting

    def find(self, subject: str) -> PersonFound:
        return self._loop.run(self._forgetting.find(subject))

    def whoami(self, subject: str) -> Iterator[RecordedEvent[Any]]:
        return self._loop.batched(self._forgetting.whoami(subject))

    def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        return self._loop.run(self._forgetting.certificates(subject))

    def hold(self, subject: str, *, reason: str, by: str) -> Hold:
        return self._loop.run(self._forgetting.hold(subject, reason=reason, by=by))

    def release(self, subject: str) -> None:
        self._loop.run(self._forgetting.release(subject))

    def holds(self) -> Sequence[Hold]:
        return self._loop.run(self._forgetting.holds())


class SyncViews:
    """All views for synchronous code."""

    def __init__(self, loop: Loop, views: Views) -> None:
        self._loop, self._views = loop, views

    def __getitem__(self, table: Table[RowT]) -> SyncView[RowT]:
        return SyncView(self._loop, self._views[table])

    def as_of(self, moment: int | datetime) -> SyncViews:
        """The same views as they were then. See Views.as_of."""
        return SyncViews(self._loop, self._views.as_of(moment))


class SyncView(Generic[RowT]):
    """One view for synchronous code."""

    def __init__(self, loop: Loop, view: View[RowT]) -> None:
        self._loop, self._view = loop, view

    def get(self, key: str) -> RowT | None:
        return self._loop.run(self._view.get(key))

    def get_many(self, keys: Sequence[str]) -> dict[str, RowT]:
        return self._loop.run(self._view.get_many(keys))

    def find(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        offset: int = 0,
        **equals: object,
    ) -> list[RowT]:
        return self._loop.run(
            self._view.find(order_by=order_by, descending=descending, limit=limit, offset=offset, **equals)
        )

    def page(
        self,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int = 50,
        cursor: str | None = None,
        **equals: object,
    ) -> PageOf[RowT]:
        return self._loop.run(
            self._view.page(order_by=order_by, descending=descending, limit=limit, cursor=cursor, **equals)
        )

    def search(self, text: str, /, *, limit: int = 50, offset: int = 0, **equals: object) -> list[RowT]:
        return self._loop.run(self._view.search(text, limit=limit, offset=offset, **equals))

    def count(self, **equals: object) -> int:
        return self._loop.run(self._view.count(**equals))
