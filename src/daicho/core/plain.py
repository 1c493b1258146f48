"""Any value as builtins that JSON can hold, and as JSON."""

from typing import Any

import msgspec

__all__ = ["json_text", "plain"]


def plain(value: Any) -> Any:
    """Builtins that JSON can hold, whatever it is."""
    return msgspec.to_builtins(value, str_keys=True, enc_hook=_last_resort)


def _last_resort(value: Any) -> Any:
    fields = getattr(value, "__dict__", None)
    return dict(fields) if fields else str(value)


def json_text(value: Any, *, indent: bool = False) -> str:
    data = msgspec.json.encode(plain(value))
    return (msgspec.json.format(data, indent=2) if indent else data).decode()
