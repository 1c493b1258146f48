"""Every key store keeps the contract; SQLite's keeps no copy of what it destroyed."""

from pathlib import Path
from uuid import uuid4

import pytest

from daicho.adapters.keys.memory import MemoryKeys
from daicho.adapters.keys.postgres import PostgresKeys
from daicho.adapters.keys.sqlite import SqliteKeys
from daicho.core.errors import BadUrl, StoreFailed, StoreUnavailable
from daicho.ports.key_store import KeyStore
from daicho.testing.contracts import KeyStoreContract
from daicho.testing.contracts.key_store import certificate


def holds(folder: Path, text: bytes) -> bool:
    return any(text in file.read_bytes() for file in folder.iterdir())


class TestMemoryKeys(KeyStoreContract):
    lasts = False

    def make(self, tmp_path: Path) -> KeyStore:
        return MemoryKeys()


class TestSqliteKeys(KeyStoreContract):
    def make(self, tmp_path: Path) -> KeyStore:
        return SqliteKeys(f"sqlite:///{tmp_path}/keys.db")

    async def test_no_byte_of_a_destroyed_key_stays_in_its_folder(self, tmp_path: Path) -> None:
        secret = b"this-is-the-key-that-has-to-go!!"
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": secret, "b": b"x" * 32})
            assert holds(tmp_path, secret)
            await keys.destroy(["a"], certificate())
            assert not holds(tmp_path, secret)

    async def test_only_the_owner_may_read_the_file(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path):
            assert (tmp_path / "keys.db").stat().st_mode & 0o077 == 0

    async def test_what_is_no_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "keys.db").write_text("these are not keys, but a letter of some length")
        with pytest.raises(StoreFailed):
            await self.make(tmp_path).open()

    @pytest.mark.parametrize("url", ["sqlite:///", "sqlite://keys.db", "sqlite:///:memory:", "sqlite:///k.db?x=1"])
    def test_a_url_that_names_no_file_is_refused(self, url: str) -> None:
        with pytest.raises(BadUrl):
            SqliteKeys(url)


class TestPostgresKeys(KeyStoreContract):
    @pytest.fixture(autouse=True)
    def place(self, empty_postgres_url: str) -> None:
        self.url = f"{empty_postgres_url}?schema=keys_{uuid4().hex[:12]}"

    def make(self, tmp_path: Path) -> KeyStore:
        return PostgresKeys(self.url)

    async def test_a_lost_connection_is_made_again(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": b"x" * 32})
            connection = keys._connection  # type: ignore[attr-defined]
            await connection.close()
            assert await keys.find(["a"]) == {"a": b"x" * 32}

    async def test_a_server_that_is_not_there_is_told(self) -> None:
        with pytest.raises(StoreUnavailable):
            await PostgresKeys("postgresql://127.0.0.1:1/nothing").open()

    def test_a_schema_that_is_none_is_refused(self) -> None:
        with pytest.raises(BadUrl):
            PostgresKeys("postgresql://host/db?schema=a;b")
