"""The shapes of events, kept in a file beside the code, so that a release cannot change what another has stored."""

from daicho.schemas.lock import Lock, examined, locked, read_lock, write_lock

__all__ = ["Lock", "examined", "locked", "read_lock", "write_lock"]
