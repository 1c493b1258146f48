"""Who has logged in: cookies, kept in memory, which end with the process, by themselves, or with the key."""

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from daicho.console.access import LOCAL, ConsoleSettings, Viewer, viewer_of
from daicho.core.errors import NotAuthenticated, TooManyRequests
from daicho.http.principal import Principal

__all__ = ["Session", "Sessions"]

_MOST = 10_000
_TRIES, _A_WHILE = 10, 60.0


@dataclass
class Session:
    id: str
    """A digest of the cookie: the cookie itself is nowhere kept."""
    credential: str | None
    """Asked again at each action, so that a revoked key ends its sessions. None: local."""
    began: float
    seen: float
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    """What forms of this session carry."""


class Sessions:
    def __init__(self, settings: ConsoleSettings, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings, self._clock = settings, clock
        self._all: dict[str, Session] = {}
        self._local = Session("local", None, 0.0, 0.0)
        self._wrong: dict[str, deque[float]] = {}
        """By address, when the last keys came from it that were not good."""

    @property
    def is_local(self) -> bool:
        return not self._settings.authenticators

    async def begin(self, credential: str, address: str = "") -> str:
        """The cookie of a new session. Raises NotAuthenticated, NotAuthorised, and TooManyRequests where many wrong
        keys came from one address."""
        self._count(address)
        viewer_of(await self._principal(credential), self._settings)
        self._wrong.pop(address, None)
        cookie, now = secrets.token_urlsafe(32), self._clock()
        if len(self._all) >= _MOST:
            self._sweep(now)
        session = Session(_digest(cookie), credential, now, now)
        self._all[session.id] = session
        return cookie

    def find(self, cookie: str | None) -> Session | None:
        """The session of a cookie, if it is still good."""
        if self.is_local:
            return self._local
        session = self._all.get(_digest(cookie)) if cookie else None
        if session is None:
            return None
        now = self._clock()
        if not self._is_good(session, now):
            self.end(session)
            return None
        session.seen = now
        return session

    async def viewer(self, session: Session) -> Viewer:
        """Who it is, asked anew. Raises NotAuthenticated for a session that is over or whose key was revoked, and
        NotAuthorised."""
        if session.credential is None:
            return viewer_of(LOCAL, self._settings)
        if session.id not in self._all or not self._is_good(session, self._clock()):
            raise NotAuthenticated("the session is over", do="log in again")
        try:
            return viewer_of(await self._principal(session.credential), self._settings)
        except NotAuthenticated:
            self.end(session)
            raise

    def end(self, session: Session) -> None:
        self._all.pop(session.id, None)

    def _count(self, address: str) -> None:
        now = self._clock()
        if address not in self._wrong and len(self._wrong) >= _MOST:
            self._wrong.clear()
        tries = self._wrong.setdefault(address, deque(maxlen=_TRIES))
        if len(tries) == _TRIES and now - tries[0] < _A_WHILE:
            wait = _A_WHILE - (now - tries[0])
            raise TooManyRequests("too many keys from this address were not good", retry_after=wait)
        tries.append(now)

    async def _principal(self, credential: str) -> Principal:
        for authenticator in self._settings.authenticators:
            if authenticator.takes(credential):
                return await authenticator.authenticate(credential)
        raise NotAuthenticated("the credential was not accepted", why="it is of no kind that is taken here")

    def _is_good(self, session: Session, now: float) -> bool:
        return now - session.seen <= self._settings.idle and now - session.began <= self._settings.longest

    def _sweep(self, now: float) -> None:
        for session in [each for each in self._all.values() if not self._is_good(each, now)]:
            self.end(session)
        while len(self._all) >= _MOST:
            self._all.pop(next(iter(self._all)))


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "replace")).hexdigest()
