"""Any cache that takes purges by HTTP: `https://cache.example/purge`, with `?token_file=...` for a bearer token.

POST /purge
Surrogate-Key: orders orders/o-1
{"surrogate_keys": ["orders", "orders/o-1"]}
"""

import json
from collections.abc import Collection
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from daicho.adapters.purging import Sender
from daicho.core.errors import BadUrl

__all__ = ["HttpPurger"]


class HttpPurger:
    """One POST with the keys both in `Surrogate-Key` and in the body."""

    def __init__(self, url: str) -> None:
        """Raises BadUrl."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        token_file = options.pop("token_file", None)
        self._headers = {"Content-Type": "application/json"}
        if token_file is not None:
            try:
                self._headers["Authorization"] = f"Bearer {Path(token_file).read_text(encoding='utf-8').strip()}"
            except OSError as error:
                raise BadUrl(f"the token in {token_file} cannot be read: {error}", do="mend `token_file`") from error
        self._path = urlunsplit(("", "", parts.path or "/", urlencode(options), ""))
        self._sender = Sender(f"{parts.scheme}://{parts.netloc}")

    async def purge(self, keys: Collection[str]) -> None:
        body = json.dumps({"surrogate_keys": list(keys)}).encode()
        await self._sender.send("POST", self._path, {**self._headers, "Surrogate-Key": " ".join(keys)}, body)

    async def close(self) -> None:
        await self._sender.close()
