"""Fields that a row class names as indexed are found without looking at every row."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import apsw
import pytest

from daicho import Row, WiringError, projection
from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.ports.view_store import TableSpec, ViewChange
from tests.unit.shapes import Seen


class Placed(Row, index=("status",)):
    order_id: str
    status: str


class Misspelt(Row, index=("state",)):
    order_id: str


async def filled(path: Path) -> list[Placed]:
    store = SqliteStorage(f"sqlite:///{path}", now=lambda: datetime.now(UTC))
    table = TableSpec("placed", 1, Placed)
    await store.open()
    await store.open_table(table)
    await store.open_table(table)  # again at every start
    rows = {str(n): Placed(order_id=str(n), status="new" if n % 3 else "sent") for n in range(9)}
    await store.commit(ViewChange(table=table, upserts=rows, deletes=[]))
    found: list[Placed] = await store.find(table, {"status": "sent"})
    await store.close()
    return found


def test_an_indexed_field_is_searched_by_its_index(tmp_path: Path) -> None:
    path = tmp_path / "app.db"
    assert [row.order_id for row in asyncio.run(filled(path))] == ["0", "3", "6"]
    connection = apsw.Connection(str(path))
    plan = connection.execute("explain query plan select * from placed__1 where status is 'sent'").fetchall()
    connection.close()
    assert "USING INDEX placed__1_status" in plan[0][3]


def test_an_index_on_a_field_that_is_not_there_is_refused_where_it_is_written() -> None:
    with pytest.raises(WiringError, match="Misspelt has no field 'state'"):

        @projection("misspelt", key=lambda event: event.name)
        def misspelt(row: Misspelt | None, event: Seen) -> Misspelt | None:
            return row
