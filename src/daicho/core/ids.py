"""Ids that follow from other ids, so that doing something again gives the same ids again."""

from hashlib import blake2b, sha1

from daicho.core.errors import InvalidMessage

__all__ = ["derived_id", "event_id", "event_ids", "is_uuid", "keyed_command_id", "uuid_bytes"]

_KEYS = bytes.fromhex("5f0c7a6e9d1b4e0c8a55d0a7b3c4e821")  # namespace of idempotency keys; fixed for ever
_HEX = frozenset("0123456789abcdef")
_VARIANT = {digit: "89ab"[int(digit, 16) & 3] for digit in _HEX}
"""The digit that says so, out of two random bits and two more (RFC 9562, section 4.1)."""


def uuid_bytes(text: str) -> bytes:
    return bytes.fromhex(text.replace("-", ""))


def is_uuid(text: str) -> bool:
    """Canonical lower-case UUID text (RFC 9562, section 4)."""
    return (
        len(text) == 36
        and text[8] == text[13] == text[18] == text[23] == "-"
        and _HEX.issuperset(text.replace("-", ""))
    )


def _text(digest: bytes, version: int) -> str:
    h = digest.hex()
    variant = "89ab"[digest[8] >> 4 & 3]
    return f"{h[:8]}-{h[8:12]}-{version}{h[13:16]}-{variant}{h[17:20]}-{h[20:32]}"


def derived_id(base: str, name: str) -> str:
    """uuid5(base, name): RFC 9562, version 5. A reaction's command id is `derived_id(event_id, "handler:n")`."""
    return _text(sha1(uuid_bytes(base) + name.encode(), usedforsecurity=False).digest(), 5)


def keyed_command_id(command_name: str, tenant: str | None, key: str) -> str:
    """The command id that an idempotency key stands for, within one tenant and kind of command."""
    if not key or len(key) > 255:
        raise InvalidMessage(
            "an idempotency key has 1 to 255 characters", do="send a UUID or a name of your own", path="key"
        )
    return _text(sha1(_KEYS + f"{tenant or ''}\0{command_name}\0{key}".encode(), usedforsecurity=False).digest(), 5)


def event_id(correlation_id: str, command_id: str, n: int) -> str:
    """The id of the n-th event that a command records (version 8: custom).

    The first 48 bits are the correlation id's, which for ids of our own making is the time: ids of one flow lie side
    by side in an index. The rest is a hash of the command id and `n`, so that a retry gives the same ids.
    """
    digest = blake2b(f"{command_id}:{n}".encode(), digest_size=10).hexdigest()
    return f"{correlation_id[:13]}-8{digest[:3]}-{_VARIANT[digest[3]]}{digest[4:7]}-{digest[7:19]}"


def event_ids(correlation_id: str, command_id: str, count: int) -> list[str]:
    """The ids of the first `count` events that a command records."""
    start, named = f"{correlation_id[:13]}-8", command_id.encode()
    digests = [blake2b(b"%b:%d" % (named, n), digest_size=10).hexdigest() for n in range(count)]
    return [f"{start}{d[:3]}-{_VARIANT[d[3]]}{d[4:7]}-{d[7:19]}" for d in digests]
