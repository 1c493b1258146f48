"""The contract of `daicho.ports.key_store.KeyStore`."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

from daicho.core.errors import StoreClosed, SubjectHeld
from daicho.ports.key_store import Certificate, Hold, KeyStore
from daicho.testing.contracts.base import HOSTILE

__all__ = ["KeyStoreContract"]

K1, K2 = b"1" * 32, b"2" * 32


def certificate(subject: str = "c-1", number: int = 1) -> Certificate:
    return Certificate(
        certificate_id=f"00000000-0000-4000-8000-{number:012}",
        subject=subject,
        forgotten_at=f"2026-01-01T00:00:{number:02}.000000+00:00",
        forgotten_by="ann",
        types={"customer.registered": 2},
        streams=("customer-c-1",),
    )


class KeyStoreContract:
    """Derive from it and say how one is made:

    class TestMyKeys(KeyStoreContract):
        def make(self, tmp_path):
            return MyKeys(f"my:///{tmp_path}/keys")
    """

    lasts: ClassVar[bool] = True
    """Whether another one of the same place has the same keys."""

    def make(self, tmp_path: Path) -> KeyStore:
        raise NotImplementedError

    @asynccontextmanager
    async def opened(self, tmp_path: Path) -> AsyncGenerator[KeyStore]:
        keys = self.make(tmp_path)
        await keys.open()
        try:
            yield keys
        finally:
            await keys.close()

    async def test_what_nobody_made_is_not_found(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            assert await keys.find(["a"]) == {}
            assert await keys.find([]) == {}
            assert await keys.destroyed(0) == (0, [])
            assert (list(await keys.certificates()), list(await keys.holds())) == ([], [])

    async def test_keys_come_back_as_they_were_made_whatever_their_names(self, tmp_path: Path) -> None:
        made = {name: bytes([n]) * 61 for n, name in enumerate(HOSTILE)}
        async with self.opened(tmp_path) as keys:
            assert await keys.make(made) == made
            assert await keys.find([*HOSTILE, "other"]) == made

    async def test_more_keys_than_fit_one_statement_are_found_at_once(self, tmp_path: Path) -> None:
        made = {f"person:{n}": n.to_bytes(32, "big") for n in range(1200)}
        async with self.opened(tmp_path) as keys:
            await keys.make(made)
            assert await keys.find(list(made)) == made

    async def test_the_first_key_of_a_name_stays(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": K1})
            assert await keys.make({"a": K2, "b": K2}) == {"a": K1, "b": K2}

    async def test_of_many_that_make_a_key_at_once_all_get_the_same(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            tries = [keys.make({"a": bytes([n]) * 32, f"own-{n}": K1}) for n in range(8)]
            assert len({found["a"] for found in await asyncio.gather(*tries)}) == 1

    async def test_a_destroyed_key_is_known_as_destroyed_and_never_made_again(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": K1, "b": K1})
            assert await keys.destroy(["a", "never-made", "a"], certificate()) == 1
            assert await keys.find(["a", "b", "never-made"]) == {"a": None, "b": K1, "never-made": None}
            assert await keys.make({"a": K2, "never-made": K2}) == {"a": None, "never-made": None}

    async def test_destroying_again_changes_nothing(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": K1})
            await keys.destroy(["a"], certificate())
            told = await keys.destroyed(0)
            assert await keys.destroy(["a"], certificate()) == 0
            assert await keys.destroyed(0) == told

    async def test_what_was_destroyed_since_is_told_in_order(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.destroy(["b", "a"], certificate())
            seen, names = await keys.destroyed(0)
            assert list(names) == ["b", "a"]
            await keys.destroy(["c"], certificate(number=2))
            later, names = await keys.destroyed(seen)
            assert (list(names), list((await keys.destroyed(later))[1])) == (["c"], [])

    async def test_a_certificate_is_kept_with_the_deed_and_may_be_completed(self, tmp_path: Path) -> None:
        async with self.opened(tmp_path) as keys:
            await keys.destroy(["a"], certificate())
            await keys.destroy(["b"], certificate("c-2", 2))
            whole = msgspec.structs.replace(certificate(), events=7, complete=True)
            await keys.certify(whole)
            assert list(await keys.certificates()) == [certificate("c-2", 2), whole]
            assert list(await keys.certificates("c-1")) == [whole]

    async def test_a_held_subject_is_not_forgotten_until_it_is_released(self, tmp_path: Path) -> None:
        hold = Hold(subject="c-1", reason="lawsuit", held_by="legal", held_at="2026-01-01T00:00:00.000000+00:00")
        async with self.opened(tmp_path) as keys:
            await keys.make({"a": K1})
            await keys.hold(msgspec.structs.replace(hold, reason="earlier"))
            await keys.hold(hold)
            assert list(await keys.holds()) == [hold]
            with pytest.raises(SubjectHeld, match="lawsuit"):
                await keys.destroy(["a"], certificate())
            assert (await keys.find(["a"]), list(await keys.certificates())) == ({"a": K1}, [])
            assert [await keys.release("c-1"), await keys.release("c-1")] == [True, False]
            assert await keys.destroy(["a"], certificate()) == 1

    async def test_another_one_of_the_same_place_has_the_same_keys(self, tmp_path: Path) -> None:
        if not self.lasts:
            return
        async with self.opened(tmp_path) as one, self.opened(tmp_path) as other:
            await one.make({"a": K1, "b": K2})
            await one.destroy(["a"], certificate())
            assert await other.find(["a", "b"]) == {"a": None, "b": K2}
            assert list((await other.destroyed(0))[1]) == ["a"]

    async def test_a_closed_one_says_so(self, tmp_path: Path) -> None:
        if not self.lasts:
            return
        async with self.opened(tmp_path) as keys:
            await keys.close()
            with pytest.raises(StoreClosed):
                await keys.find(["a"])
