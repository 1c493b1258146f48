"""PostgreSQL keeps every contract: directly, behind a pooler in transaction mode, and in a schema of another name."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from daicho.adapters.stores.postgres import PostgresStorage
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Storage
from daicho.testing.contracts import Capabilities, StorageContract


class OnServer(StorageContract):
    capabilities = Capabilities(sql=True)
    url: str
    options = ""

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        return PostgresStorage(self.url + self.options, now=now)

    async def test_a_backup_is_refused_with_advice(self, store: Storage, tmp_path: Path) -> None:
        with pytest.raises(StoreFailed, match="pg_dump"):
            async for _ in store.backup(tmp_path / "copy.db"):
                pass


class TestPostgres(OnServer):
    @pytest.fixture(autouse=True)
    def place(self, postgres_url: str) -> None:
        type(self).url = postgres_url


class TestPostgresBehindAPooler(OnServer):
    @pytest.fixture(autouse=True)
    def place(self, pgbouncer_url: str) -> None:
        type(self).url = pgbouncer_url

    async def test_it_is_found_out_that_there_is_a_pooler(self, store: Storage) -> None:
        assert store.describe()["pooler"] == "transaction"


class TestPostgresInAnotherSchema(OnServer):
    options = "?schema=accounting"

    @pytest.fixture(autouse=True)
    def place(self, postgres_url: str) -> None:
        type(self).url = postgres_url
