"""A client of an App that is served over HTTP, with the App's own words: `send`, `post`, `ask`, `watch`."""

from daicho.client.asynchronous import Client
from daicho.client.synchronous import SyncClient

__all__ = ["Client", "SyncClient"]
