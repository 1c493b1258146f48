"""Events in SQLite, rows in a server of the bench's own."""

import os
from collections.abc import Callable
from typing import Generic, TypeVar

from bench.sqlite import Sqlite
from tests.services.running import Host, Running

S = TypeVar("S", bound=Running)


class Elsewhere(Generic[S]):
    share = 1.0

    def __init__(self, start: Callable[[Host], S]) -> None:
        """Its files are on disk: what is written through costs what it costs. Raises Unavailable."""
        os.environ["DAICHO_SERVICES_SHM"] = "0"
        self._host = Host()
        try:
            self.server = start(self._host)
        except BaseException:
            self._host.close()
            raise
        self._store = Sqlite()
        self.events = self._store.fresh()

    def close(self) -> None:
        self._host.close()
        self._store.close()
