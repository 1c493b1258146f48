"""PostgreSQL keeps every contract: directly, behind a pooler in transaction mode, and in a schema of another name.

Every day all of it directly, and all of it with both differences at once; `make campaign` has each difference alone.
What only a direct connection does (appends that are begun at once, as one statement) is in the other schema daily, too.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daicho.adapters.stores.postgres import PostgresStorage
from daicho.core.errors import StoreFailed
from daicho.ports.storage import Storage
from daicho.testing.contracts import Capabilities, StorageContract
from daicho.testing.contracts.appending import AppendingContract
from daicho.testing.contracts.base import Contract
from daicho.testing.contracts.idempotency import IdempotencyContract
from daicho.testing.contracts.inline import InlineContract
from tests.services.pgbouncer import PgBouncer
from tests.services.postgres import Postgres, drop_database, fresh_store
from tests.services.running import through


class OnServer(Contract):
    capabilities = Capabilities(sql=True)
    schema = "daicho"
    url: str

    @pytest.fixture(autouse=True)
    def place(self, postgres: Postgres) -> Iterator[None]:
        type(self).url = url = fresh_store(postgres, schema=self.schema)
        yield
        drop_database(postgres, url)

    def make(self, tmp_path: Path, now: Callable[[], datetime]) -> Storage:
        return PostgresStorage(f"{self.url}?schema={self.schema}", now=now)


class Whole(OnServer, StorageContract):
    async def test_a_backup_is_refused_with_advice(self, store: Storage, tmp_path: Path) -> None:
        with pytest.raises(StoreFailed, match="pg_dump"):
            async for _ in store.backup(tmp_path / "copy.db"):
                pass


class BehindAPooler(Whole):
    @pytest.fixture(autouse=True)
    def pooled(self, place: None, pgbouncer: PgBouncer) -> None:
        type(self).url = through(self.url, pgbouncer.port)

    async def test_it_is_found_out_that_there_is_a_pooler(self, store: Storage) -> None:
        assert store.describe()["pooler"] == "transaction"


class TestPostgres(Whole):
    pass


class TestPostgresInAnotherSchemaBehindAPooler(BehindAPooler):
    schema = "accounting"


class TestPostgresAppendsInAnotherSchema(OnServer, AppendingContract, IdempotencyContract, InlineContract):
    schema = "accounting"


@pytest.mark.campaign
class TestPostgresBehindAPooler(BehindAPooler):
    pass


@pytest.mark.campaign
class TestPostgresInAnotherSchema(Whole):
    schema = "accounting"
