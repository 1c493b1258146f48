"""The App for synchronous code."""

from daicho.sync.app import SyncApp

__all__ = ["SyncApp"]
