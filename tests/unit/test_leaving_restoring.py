"""A copy takes the place of a store: what `daicho restore` does, in Python."""

import os
from pathlib import Path

import pytest

from daicho import StoreBusy, StoreError
from daicho.leaving import restored
from tests.people_app import Buy, Order, people


async def test_a_copy_takes_the_place_of_the_store_which_is_kept(tmp_path: Path) -> None:
    place, copy = tmp_path / "people.db", tmp_path / "copy.db"
    url, keys = f"sqlite:///{place}?durability=relaxed", f"sqlite:///{tmp_path / 'keys.db'}"
    async with people(url, keys) as app:
        await app.send(Buy(order_id="o-1", customer_id="c-1", note="first"))
        async for _ in app.storage.backup(copy):
            pass
        await app.send(Buy(order_id="o-2", customer_id="c-1", note="second"))
        with pytest.raises(StoreBusy):
            await restored(copy, place)
    found = await restored(copy, place)
    assert (found.head, found.kept) == ("position 1", tmp_path / "people.db.before-restore")
    async with people(url, keys) as app:
        assert [(await app.load(Order, name)).note for name in ("o-1", "o-2")] == ["first", ""]
    assert not [name for name in os.listdir(tmp_path) if "partial" in name]


async def test_what_is_no_backup_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "people.db"
    place.write_bytes(b"here")
    with pytest.raises(StoreError, match="there is no backup"):
        await restored(tmp_path / "copy.db", place)
    (tmp_path / "copy.db").write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError):
        await restored(tmp_path / "copy.db", place)
    assert place.read_bytes() == b"here"
