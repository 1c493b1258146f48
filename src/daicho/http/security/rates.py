"""How much one caller may ask: a token bucket each for credential, tenant and address."""

import math
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from daicho.core.errors import ConfigurationError, TooManyRequests
from daicho.http.principal import principal_of
from daicho.http.security.authentication import OPEN

__all__ = ["Rate", "RateLimit"]

_MOST = 100_000
"""Callers that are remembered. The one who was longest silent is forgotten first, and by then has a full bucket."""


@dataclass(frozen=True)
class Rate:
    """So many requests a second on average, and `burst` of them at once."""

    a_second: float
    burst: int

    def __post_init__(self) -> None:
        if self.a_second <= 0 or self.burst < 1:
            raise ConfigurationError(
                f"{self!r} lets nobody in", do="give more than 0 a second, and a burst of 1 or more"
            )

    @classmethod
    def of(cls, text: str) -> "Rate":
        """`50/s` or `50/s:200`; also /m and /h. Raises ConfigurationError."""
        rate, _, burst = text.partition(":")
        number, _, unit = rate.partition("/")
        try:
            a_second = float(number) / {"s": 1, "m": 60, "h": 3600}[unit or "s"]
            return cls(a_second, int(burst) if burst else max(1, math.ceil(a_second * 2)))
        except (ValueError, KeyError) as error:
            raise ConfigurationError(f"{text!r} is no rate", do="write for instance 50/s, or 50/s:200") from error


class Buckets:
    """One bucket for each caller."""

    def __init__(self, rate: Rate, now: Callable[[], float]) -> None:
        self.rate, self._now = rate, now
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str) -> tuple[bool, float]:
        """Whether there was room, and how many requests are left; if not, how many seconds until there is room."""
        now, rate = self._now(), self.rate
        level, at = self._levels.pop(caller, (float(rate.burst), now))
        level = min(float(rate.burst), level + (now - at) * rate.a_second)
        allowed = level >= 1
        self._levels[caller] = (level - 1 if allowed else level, now)
        if len(self._levels) > _MOST:
            self._levels.popitem(last=False)
        return allowed, level - 1 if allowed else (1 - level) / rate.a_second


class RateLimit:
    """Raises TooManyRequests. Answers say how much is left: `RateLimit-Policy` and `RateLimit`
    (draft-ietf-httpapi-ratelimit-headers-10)."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        credential: Rate | None = None,
        tenant: Rate | None = None,
        address: Rate | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.app = app
        rates = {"credential": credential, "tenant": tenant, "address": address}
        self._buckets = {kind: Buckets(rate, now) for kind, rate in rates.items() if rate is not None}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self._buckets or scope["path"] in OPEN:
            await self.app(scope, receive, send)
            return
        left = self._take(scope)
        if left is None:
            await self.app(scope, receive, send)
            return
        headers = self._headers(*left)

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message["headers"], *headers]}
            await send(message)

        await self.app(scope, receive, told)

    def _take(self, scope: Scope) -> tuple[str, float] | None:
        principal = principal_of(scope)
        client = scope.get("client")
        callers = {
            "credential": principal.actor and f"{principal.tenant}\0{principal.actor}",
            "tenant": principal.tenant,
            "address": client[0] if client else None,
        }
        tightest: tuple[str, float] | None = None
        for kind, buckets in self._buckets.items():
            caller = callers[kind]
            if not caller:
                continue
            allowed, left = buckets.take(caller)
            if not allowed:
                raise TooManyRequests(
                    f"too many requests of one {kind}",
                    retry_after=max(1, math.ceil(left)),
                    limit=kind,
                )
            if tightest is None or left < tightest[1]:
                tightest = (kind, left)
        return tightest

    def _headers(self, kind: str, left: float) -> list[tuple[bytes, bytes]]:
        rate = self._buckets[kind].rate
        window = max(1, math.ceil(rate.burst / rate.a_second))
        refill = max(1, math.ceil((rate.burst - left) / rate.a_second))
        return [
            (b"ratelimit-policy", f'"{kind}";q={rate.burst};w={window}'.encode()),
            (b"ratelimit", f'"{kind}";r={int(left)};t={refill}'.encode()),
        ]
