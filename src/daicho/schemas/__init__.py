"""The shapes of events, kept in a file beside the code, so that a release cannot change what another has stored."""

from daicho.schemas.lock import LOCK, Lock, examined, locked, read_lock, write_lock
from daicho.schemas.reading import Told, VersionRead, verified

__all__ = ["LOCK", "Lock", "Told", "VersionRead", "examined", "locked", "read_lock", "verified", "write_lock"]
