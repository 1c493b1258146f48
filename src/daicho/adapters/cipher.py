"""AES-256-GCM (NIST SP 800-38D): keys, what they encipher, and the master key that keys are wrapped in."""

import base64
import binascii
import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash

from daicho.core.errors import ConfigurationError, KeyLost

__all__ = ["Damaged", "Master", "decipher", "encipher", "master_of", "new_key", "unwrapped"]

_NONCE = 12
_KEY = 32
_WRAPPED = b"w1"
_FILE, _VALUE = "DAICHO_MASTER_KEY_FILE", "DAICHO_MASTER_KEY"


class Damaged(Exception):
    """What was enciphered is not what comes out: it was changed, or belongs elsewhere."""


def new_key() -> bytes:
    return AESGCM.generate_key(bit_length=256)


def encipher(key: bytes, plain: bytes, bound: bytes) -> bytes:
    """`bound` is authenticated with it, and must be given again. The nonce is random: good for 2^32 texts a key."""
    nonce = os.urandom(_NONCE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def decipher(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Raises Damaged."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], bound)
    except (InvalidTag, ValueError) as error:
        raise Damaged(str(error) or "it does not authenticate") from error


class Master:
    """Wraps the keys of subjects before they are stored: whoever has the key store alone has nothing."""

    def __init__(self, key: bytes) -> None:
        """Raises ConfigurationError."""
        if len(key) != _KEY:
            raise ConfigurationError(
                f"the master key has {len(key)} bytes",
                why=f"AES-256 takes {_KEY}",
                do=f"make one: head -c {_KEY} /dev/urandom | base64 > master.key",
            )
        self._key = key
        digest = Hash(SHA256())
        digest.update(b"daicho master " + key)
        self.mark = _WRAPPED + digest.finalize()[:6]
        """In front of what it wrapped, so that another master key is told from damage."""

    def wrap(self, name: str, key: bytes) -> bytes:
        return self.mark + encipher(self._key, key, name.encode())

    def unwrap(self, name: str, kept: bytes) -> bytes:
        """Raises KeyLost."""
        if not kept.startswith(self.mark):
            raise _lost(name, "it was wrapped in another master key, or in none")
        try:
            return decipher(self._key, kept[len(self.mark) :], name.encode())
        except Damaged as error:
            raise _lost(name, "it is damaged") from error


def unwrapped(master: Master | None, name: str, kept: bytes) -> bytes:
    """The key as it can be used. Raises KeyLost. Keys that were made before there was a master key stay as they are."""
    if len(kept) == _KEY:
        return kept
    if master is None:
        raise _lost(name, f"it is wrapped, and neither {_FILE} nor {_VALUE} is set")
    return master.unwrap(name, kept)


def _lost(name: str, why: str) -> KeyLost:
    return KeyLost(f"the key {name!r} cannot be used", why=why, do=f"set {_FILE} to the file it was wrapped with")


def master_of(environment: Mapping[str, str]) -> Master | None:
    """From `DAICHO_MASTER_KEY_FILE`, or `DAICHO_MASTER_KEY`: 32 bytes in base64. Raises ConfigurationError."""
    text = environment.get(_VALUE)
    if name := environment.get(_FILE):
        try:
            text = Path(name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"the master key in {name} cannot be read: {error}", do="mend the file") from error
    if not text:
        return None
    try:
        return Master(base64.b64decode(text.strip(), validate=True))
    except binascii.Error as error:
        raise ConfigurationError(
            f"the master key is not base64: {error}", do="head -c 32 /dev/urandom | base64 > master.key"
        ) from error
