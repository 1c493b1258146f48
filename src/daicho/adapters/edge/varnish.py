"""Varnish with the module xkey: `varnish://host:6081`, and `?soft=true` to let what was purged be shown once more while
it is fetched anew. The VCL for it is in deploy/varnish/daicho.vcl."""

from collections.abc import Collection
from urllib.parse import parse_qs, urlsplit

from daicho.adapters.purging import Sender
from daicho.core.errors import BadUrl

__all__ = ["Varnish"]


class Varnish:
    """One request `PURGE /` with the keys in the header `xkey-purge`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        options = {name: values[-1] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        soft = options.pop("soft", "false")
        if not parts.hostname or options or soft not in ("true", "false"):
            raise BadUrl(f"{url!r} is not the URL of a Varnish", do="write varnish://host:6081, or with ?soft=true")
        self._method = "SOFTPURGE" if soft == "true" else "PURGE"
        self._sender = Sender(f"http://{parts.netloc}")

    async def purge(self, keys: Collection[str]) -> None:
        await self._sender.send(self._method, "/", {"xkey-purge": " ".join(keys)})

    async def close(self) -> None:
        await self._sender.close()
