"""What an App with `personal=` has between itself and its store. Needs the extra `personal`."""

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from daicho.adapters.cipher import master_of
from daicho.adapters.keys.memory import MemoryKeys
from daicho.adapters.sealing import Curtain
from daicho.adapters.vault import Vault
from daicho.core.errors import ConfigurationError
from daicho.core.personal import PersonalShape
from daicho.ports.key_store import KeyStore
from daicho.ports.storage import Storage

__all__ = ["hang"]


def hang(
    storage: Storage,
    store_url: str,
    keys: KeyStore,
    shapes: Mapping[str, PersonalShape],
    categories: Collection[str],
) -> Curtain:
    """Raises ConfigurationError for keys that do not last as long as the events, or that lie with them."""
    lasts = not store_url.startswith("memory:")
    if lasts and isinstance(keys, MemoryKeys):
        raise ConfigurationError(
            "keys in memory end with the process, and the events do not",
            why="with the keys gone, nobody could read their personal data any more",
            do='name a place that lasts: App(..., personal="sqlite:///shop-keys.db")',
        )
    path = getattr(keys, "path", None)
    if path is not None and store_url.startswith("sqlite:") and Path(path) == _file(store_url):
        raise ConfigurationError(
            f"the keys are in the file of the events, {path}",
            why="its backups would hold both, and bring back who was forgotten since",
            do='give them a file of their own: App(..., personal="sqlite:///shop-keys.db")',
        )
    return Curtain(storage, Vault(keys, master_of(os.environ)), shapes, categories)


def _file(store_url: str) -> Path:
    return Path(os.path.abspath(unquote(urlsplit(store_url).path)[1:]))
