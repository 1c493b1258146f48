"""The keys at hand: few enough to hold in memory, and never longer than they exist.

Each process asks the key store once a second which keys were destroyed, and drops them. One that could not ask for
`BOUND` seconds uses none of its keys until it has: no longer than that does a key live on that others destroyed.
"""

import asyncio
import base64
import binascii
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

import msgspec

from daicho.adapters.cipher import Damaged, Master, decipher, encipher, new_key, unwrapped
from daicho.core.errors import DaichoError, KeyLost
from daicho.core.personal import opened, person, seals_of, snapshot_of
from daicho.ports.key_store import Certificate, KeyStore

__all__ = ["BOUND", "Vault"]

BOUND = 5.0
"""Seconds that a key which was destroyed by one process may still be used by another."""
_LOOK_EVERY = 1.0
_MOST = 10_000
_log = logging.getLogger("daicho")


class Vault:
    """Enciphers and deciphers. Raises what the key store raises, and KeyLost."""

    def __init__(
        self, keys: KeyStore, master: Master | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.keys, self._master, self._monotonic = keys, master, monotonic
        self._held: OrderedDict[str, bytes | None] = OrderedDict()
        """By name; None: it was destroyed."""
        self._destroyed = 0
        self._looked = float("-inf")
        self._watch: asyncio.Task[None] | None = None
        self._listeners: list[Callable[[str], None]] = []

    def listen(self, listener: Callable[[str], None]) -> None:
        """Is told the name of each key that was destroyed, here or elsewhere."""
        self._listeners.append(listener)

    async def open(self) -> None:
        await self.keys.open()
        self._destroyed, _ = await self.keys.destroyed(0)
        self._looked = self._monotonic()
        self._watch = asyncio.create_task(self._watching(), name="daicho-keys")

    async def close(self) -> None:
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            await asyncio.wait([watch])
        self._held.clear()
        await self.keys.close()

    # -- destroyed keys -------------------------------------------------------------------------------------------

    async def _watching(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            try:
                await self.look()
            except DaichoError as error:
                _log.warning("the key store could not be asked which keys were destroyed: %s", error.what)
                if self._is_late:
                    self._held.clear()

    @property
    def _is_late(self) -> bool:
        return self._monotonic() - self._looked > BOUND

    async def look(self) -> None:
        """Drops what was destroyed since the last look."""
        asked = self._monotonic()
        number, names = await self.keys.destroyed(self._destroyed)
        self._destroyed, self._looked = max(number, self._destroyed), max(asked, self._looked)
        for name in names:
            self._drop(name)

    def _drop(self, name: str) -> None:
        self._held[name] = None
        for listener in self._listeners:
            listener(name)

    async def destroy(self, names: Iterable[str], certificate: Certificate) -> int:
        """See KeyStore. Afterwards this process has forgotten them too."""
        names = list(names)
        count = await self.keys.destroy(names, certificate)
        for name in names:
            self._drop(name)
        return count

    # -- keys at hand ---------------------------------------------------------------------------------------------

    def at_hand(self, names: Iterable[str]) -> bool:
        """Whether all of these can be used at once."""
        return not self._is_late and all(self._held.get(name) is not None for name in names)

    def is_destroyed(self, name: str) -> bool:
        """Of one that was fetched."""
        return name in self._held and self._held[name] is None

    async def fetch(self, names: Iterable[str], *, make: bool = False) -> None:
        """Gets keys from the store, many at once; with `make`, makes those that are not known."""
        if self._is_late:
            await self.look()
        held, wanted, absent = self._held, list(dict.fromkeys(names)), set[str]()
        while missing := [name for name in wanted if name not in held and name not in absent]:
            found = await self.keys.find(missing)
            if make and (new := [name for name in missing if name not in found]):
                found.update(await self.keys.make({name: self._wrapped(name, new_key()) for name in new}))
            absent.update(name for name in missing if name not in found)
            for name, kept in found.items():
                if not self.is_destroyed(name):  # it may have been, while this was on its way
                    held[name] = None if kept is None else unwrapped(self._master, name, kept)
            while len(held) > max(_MOST, 2 * len(wanted)):
                held.popitem(last=False)
        for name in wanted:
            if name in held:
                held.move_to_end(name)

    def _wrapped(self, name: str, key: bytes) -> bytes:
        return key if self._master is None else self._master.wrap(name, key)

    def _key(self, name: str) -> bytes | None:
        try:
            return self._held[name]
        except KeyError:
            raise KeyLost(
                f"there is no key {name!r}, nor a note that it was destroyed",
                why="personal data was enciphered with a key that this key store has never had, or has lost",
                do="put the right key store back; if it is lost for good, `daicho forget` the subject",
                key=name,
            ) from None

    # -- texts ----------------------------------------------------------------------------------------------------

    def seal(self, subject: str, plain: bytes, bound: bytes) -> str:
        """With a key that is at hand."""
        key = self._key(person(subject))
        assert key is not None, "whoever seals has seen that it was not destroyed"
        return base64.b64encode(encipher(key, plain, bound)).decode()

    def open_event(self, data: bytes, bound: bytes) -> bytes:
        """With keys that were fetched. What was changed by somebody comes out as data that no class can be read from,
        and is treated as every unreadable event is."""
        try:
            return opened(data, [self._opened(subject, text, bound) for subject, text in seals_of(data)])
        except (Damaged, binascii.Error, msgspec.MsgspecError) as error:
            return f"the personal data of this event was changed since it was recorded: {error}".encode()

    def _opened(self, subject: str, text: str, bound: bytes) -> bytes | None:
        key = self._key(person(subject))
        return None if key is None else decipher(key, base64.b64decode(text, validate=True), bound)

    def seal_state(self, stream: str, state: bytes) -> bytes | None:
        key = self._key(snapshot_of(stream))
        return None if key is None else encipher(key, state, stream.encode())

    def open_state(self, stream: str, sealed: bytes) -> bytes | None:
        """None if it cannot be read (any more): then the state is folded from its events."""
        key = self._held.get(snapshot_of(stream))
        try:
            return None if key is None else decipher(key, sealed, stream.encode())
        except Damaged:
            return None
