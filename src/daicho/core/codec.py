"""Bytes from messages and back. The one place that knows msgspec's encoders."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias, TypeVar

import msgspec

from daicho.core.errors import InvalidMessage

__all__ = ["CodecName", "convert", "decode_json", "decoder_for", "encode_json", "encoder_for", "is_json", "to_builtins"]

CodecName: TypeAlias = Literal["json", "msgpack"]
T = TypeVar("T")

encode_json = msgspec.json.Encoder(order="deterministic").encode
_json, _msgpack = msgspec.json.Encoder(), msgspec.msgpack.Encoder()


def encoder_for(codec: CodecName) -> Callable[[Any], bytes]:
    return _json.encode if codec == "json" else _msgpack.encode


def is_json(data: bytes) -> bool:
    """JSON objects begin with `{`, which no MessagePack map does: stored data says itself what it is."""
    return data[:1] == b"{"


def plain_decoder(cls: type[T], codec: CodecName) -> Callable[[bytes], T]:
    """The decoder for one encoding, with nothing of ours around it."""
    return msgspec.json.Decoder(cls).decode if codec == "json" else msgspec.msgpack.Decoder(cls).decode


def decoder_for(cls: type[T]) -> Callable[[bytes], T]:
    """A decoder for either encoding. Raises msgspec.DecodeError or msgspec.ValidationError."""
    from_json, from_msgpack = msgspec.json.Decoder(cls).decode, msgspec.msgpack.Decoder(cls).decode

    def decode(data: bytes) -> T:
        return from_json(data) if data[:1] == b"{" else from_msgpack(data)

    return decode


decode_builtins = decoder_for(dict[str, Any])
decode_metadata = msgspec.json.Decoder(dict[str, str]).decode


def to_builtins(value: Any) -> Any:
    """What JSON can hold: the same text forms of dates, decimals and ids that are stored."""
    return msgspec.to_builtins(value)


def convert(data: Any, cls: type[T]) -> T:
    return msgspec.convert(data, cls)


def decode_json(data: bytes | str, cls: type[T], what: str) -> T:
    """Decodes outside input into a message. Raises InvalidMessage that names the field."""
    try:
        return msgspec.json.decode(data, type=cls)
    except msgspec.ValidationError as error:
        raise invalid(what, error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidMessage(f"{what} is not JSON: {error}", do="send one JSON object", path="$") from error


def invalid(what: str, error: Exception) -> InvalidMessage:
    text, _, path = str(error).partition(" - at ")
    path = path.strip("`") or "$"
    return InvalidMessage(
        f"{what} is not valid: {text} at {path}",
        do="correct the field; `daicho describe NAME` prints the message's schema",
        path=path,
    )
