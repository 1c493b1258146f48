"""SQLite keeps every contract, through either driver."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import ClassVar

from daicho.adapters.stores.sqlite import SqliteStorage
from daicho.ports.storage import Storage
from daicho.testing.contracts import Capabilities, StorageContract


class OnDisk(StorageContract):
    capabilities = Capabilities(sql=True)
    driver: ClassVar[str]

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        options = f"driver={self.driver}&allow_affected_sqlite=true&durability=relaxed"
        return SqliteStorage(f"sqlite:///{tmp_path / 'app.db'}?{options}", now=now)


class TestSqliteThroughApsw(OnDisk):
    driver = "apsw"


class TestSqliteThroughTheStandardLibrary(OnDisk):
    driver = "sqlite3"
