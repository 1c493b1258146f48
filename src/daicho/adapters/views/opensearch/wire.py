"""Requests to the engine, repeated while it does not answer."""

import asyncio
import ssl
from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from daicho.adapters.views.opensearch.failures import is_passing, refusal_in, translated
from daicho.adapters.views.opensearch.location import Location
from daicho.core.errors import BadUrl, StoreClosed, StoreFailed, StoreUnavailable

__all__ = ["Answer", "Patience", "Wire"]

_JSON = {"content-type": "application/json"}
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0


class Answer(msgspec.Struct, frozen=True):
    status: int
    data: bytes
    repeated: bool
    """An earlier try got no answer: the request may have been carried out before."""


class Patience:
    """How long something is tried again, with pauses that grow."""

    def __init__(self, seconds: float) -> None:
        self._until = asyncio.get_running_loop().time() + seconds
        self._pause = _FIRST_PAUSE

    async def pause(self) -> bool:
        """Waits a little and returns True, or returns False at once if the time is over."""
        left = self._until - asyncio.get_running_loop().time()
        if left <= 0:
            return False
        await asyncio.sleep(min(self._pause, left))
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        return True


class Wire:
    """Everything that goes over it must be harmless to repeat."""

    def __init__(self, location: Location) -> None:
        self.location = location
        self._client: httpx.AsyncClient | None = None
        self._at_work = 0
        self._at_rest: asyncio.Event | None = None
        """While it closes: set when all work is done."""

    def open(self) -> None:
        """Raises BadUrl if the certificates cannot be read."""
        place, self._at_rest = self.location, None
        if self._client is None:
            self._client = httpx.AsyncClient(
                base_url=place.address,
                auth=(place.user, place.password) if place.user else None,
                verify=_trusted(place),
                timeout=httpx.Timeout(place.timeout, connect=min(5.0, place.timeout)),
                limits=httpx.Limits(max_connections=32, max_keepalive_connections=32, keepalive_expiry=30),
                trust_env=False,  # a database is not reached through a web proxy
            )

    @contextmanager
    def at_work(self) -> Generator[None]:
        """Around several requests that belong together, so that closing waits for them. Raises StoreClosed."""
        if self._at_rest is not None:
            raise StoreClosed(f"{self.location.url} is closing", do="use the store between `open()` and `close()`")
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            if self._at_rest is not None and not self._at_work:
                self._at_rest.set()

    async def close(self) -> None:
        """Waits for the work that was begun."""
        self._at_rest = self._at_rest or asyncio.Event()
        if self._at_work:
            await self._at_rest.wait()
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    def patience(self) -> Patience:
        return Patience(self.location.reconnect_within)

    async def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        params: Mapping[str, str | int] | None = None,
        expect: Collection[int] = (),
    ) -> Answer:
        """The answer, if the engine carried the request out or its status is expected. `body` is encoded, unless it is
        bytes already. Raises StoreClosed, StoreUnavailable (it may have been carried out), and what `translated` makes
        of a refusal."""
        content = body if isinstance(body, bytes) or body is None else msgspec.json.encode(body)
        patience, repeated = self.patience(), False
        while True:
            try:
                answer = await self._opened().request(method, path, content=content, params=params, headers=_JSON)
            except httpx.TransportError as error:
                if await patience.pause():
                    repeated = True
                    continue
                raise self._silent(error) from error
            if answer.status_code < 300 or answer.status_code in expect:
                return Answer(answer.status_code, answer.content, repeated)
            refusal = refusal_in(answer.content)
            # a gateway that gave up says nothing of what the engine did
            repeated = repeated or answer.status_code in (502, 504)
            if not is_passing(answer.status_code, refusal) or not await patience.pause():
                raise translated(self.location.url, answer.status_code, refusal)

    def understood(self, answer: Answer, kind: type[Any]) -> Any:
        """The body as `kind`. Raises StoreFailed: it was not the engine that answered."""
        try:
            return msgspec.json.decode(answer.data, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreFailed(
                f"{self.location.url} gave an answer that no search engine gives",
                why=str(error),
                do="check that the URL names OpenSearch or Elasticsearch",
            ) from error

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise StoreClosed(f"{self.location.url} is not open", do="use the store between `open()` and `close()`")
        return self._client

    def _silent(self, error: httpx.TransportError) -> StoreUnavailable:
        return StoreUnavailable(
            f"{self.location.url} does not answer",
            why=str(error) or type(error).__name__,
            do="check that the engine runs and can be reached, and whether it wants ?tls=true",
        )


def _trusted(place: Location) -> ssl.SSLContext | bool:
    if not place.address.startswith("https:"):
        return False  # nothing to check, and httpx need not read all certificates of the system
    try:
        return ssl.create_default_context(cafile=place.ca or None)
    except (OSError, ssl.SSLError) as error:
        raise BadUrl(
            f"{place.url!r}: the certificates to trust cannot be read",
            why=f"{place.ca}: {error}",
            do="name a readable PEM file: ?ca=/path/to/ca.pem",
            url=place.url,
        ) from error
