"""What Redis and the way to it may say, as Daicho's errors."""

from redis import exceptions as said

from daicho.core.errors import MessageError, StoreError, StoreFailed, StoreFull, StoreReadOnly, StoreUnavailable

__all__ = ["is_passing", "translated"]

_LOST = (said.ConnectionError, said.TimeoutError, OSError, TimeoutError)
_KEPT_OUT = (said.AuthenticationError, said.AuthorizationError, said.NoPermissionError)
_ELSEWHERE = (said.ReadOnlyError, said.ClusterDownError, said.TryAgainError)
_SOON = ("BUSY ", "NOREPLICAS", "UNBLOCKED")


def is_passing(error: BaseException) -> bool:
    """Whether it may be another in a moment: the connection is gone, the server loads its files, or is being replaced.
    Nobody knows then what became of the command under way."""
    if isinstance(error, _KEPT_OUT):
        return False
    return isinstance(error, (*_LOST, *_ELSEWHERE)) or str(error).startswith(_SOON)


def translated(error: BaseException, url: str) -> StoreError | MessageError:
    """The error to raise instead; the given one should be its cause."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, _KEPT_OUT) or text.startswith(("NOAUTH", "WRONGPASS", "NOPERM")):
        return StoreFailed(f"{url} does not let us in", why=text, do="check user and password, and the user's ACL")
    if isinstance(error, said.ReadOnlyError):
        return StoreReadOnly(f"{url} takes no writes", why=text, do="name the primary: this server is a replica")
    if isinstance(error, _ELSEWHERE) or text.startswith(_SOON):
        return StoreUnavailable(f"{url} cannot serve now", why=text, do="wait, or look at the server's log")
    if isinstance(error, _LOST):
        return StoreUnavailable(f"{url} does not answer", why=text, do="check that the server runs and can be reached")
    if isinstance(error, said.OutOfMemoryError) or text.startswith(("OOM", "MISCONF")):
        return StoreFull(
            f"{url} has no room left", why=text, do="raise maxmemory, or free space on the server's disk; or write less"
        )
    return StoreFailed(f"{url} refused", why=text, do="look into the server's log")
