"""What all purges by HTTP have in common: one client, a deadline, and errors of one kind."""

from collections.abc import Mapping

import httpx

from daicho.core.errors import EdgeUnavailable

__all__ = ["Sender"]


class Sender:
    """Sends one request and wants a 2xx. Raises EdgeUnavailable."""

    def __init__(self, base: str, seconds: float = 5.0) -> None:
        self._client = httpx.AsyncClient(base_url=base, timeout=seconds, follow_redirects=False, trust_env=False)

    async def send(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        try:
            answer = await self._client.request(method, path, headers=dict(headers), content=body)
        except httpx.HTTPError as error:
            raise EdgeUnavailable(
                "the edge cache cannot be reached", why=f"{type(error).__name__}: {error}", do="look at the cache"
            ) from error
        if not answer.is_success:
            raise EdgeUnavailable(
                f"the edge cache answered {answer.status_code} to a purge",
                do="see whether this machine may purge, and whether the cache knows how to",
            )

    async def close(self) -> None:
        await self._client.aclose()
