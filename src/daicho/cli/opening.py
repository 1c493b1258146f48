"""Apps and stores, opened for a verb.

A verb that looks opens the store alone, and uses of the app only its model: it registers no checkpoint, makes no table
and runs nothing, whatever version of the app is at hand. A verb that acts starts the app.
"""

import importlib
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from daicho.adapters.clock import SystemClock
from daicho.app import App
from daicho.core.errors import ConfigurationError, DaichoError, StoreError
from daicho.core.registry import Registry
from daicho.core.streams import category_of
from daicho.ports.storage import Storage
from daicho.read.history import History
from daicho.read.replicas.urls import read_from_text
from daicho.settings import Settings, told_settings
from daicho.wiring.urls import open_storage
from daicho.write.repository import Repository

__all__ = ["Look", "load_app", "looking", "must_exist", "opened", "running", "try_app"]


@dataclass
class Look:
    """An opened store, and the app if one was named."""

    storage: Storage
    app: App | None

    @property
    def registry(self) -> Registry | None:
        return self.app.registry if self.app else None

    @property
    def history(self) -> History:
        return History(self.storage, self.storage, self.registry or Registry(()))

    async def state(self, stream: str, at: Any) -> Any:
        """The state of an aggregate. None if the app has no part for its category."""
        behaviour = self.app.model.categories.get(category_of(stream)) if self.app else None
        if self.app is None or behaviour is None:
            return None
        return await Repository(self.storage, self.storage, self.app.registry, self.storage).at(behaviour, stream, at)


@asynccontextmanager
async def looking(settings: Settings) -> AsyncGenerator[Look, None]:
    """Opens the store of the settings, or of the app. Never creates one."""
    app = try_app(settings)
    url = settings.get("store") or (app.url if app else None)
    if url is None:
        raise ConfigurationError(
            "no store was named",
            why="neither --store nor --app is set, here, in the environment, or in daicho.toml",
            do="daicho --store sqlite:///shop.db ..., or --app module:attribute",
        )
    must_exist(url)
    async with opened(url, app) as storage:
        yield Look(storage, app)


@asynccontextmanager
async def opened(url: str, app: App | None) -> AsyncGenerator[Storage, None]:
    """The store, through which personal data is seen and recorded as the app would."""
    storage = open_storage(url, app.clock if app else SystemClock())
    curtain = app.curtain(storage) if app else None
    try:
        await storage.open()
        if curtain is not None:
            await curtain.vault.open()
        yield storage
    finally:
        if curtain is not None:
            await curtain.vault.close()
        await storage.close()


@asynccontextmanager
async def running(settings: Settings, *, processors: bool = False, create: bool = False) -> AsyncGenerator[App, None]:
    """Starts the app; with `processors`, also what reacts and projects."""
    app = load_app(settings)
    if not create:
        must_exist(app.url)
    await app.start(processors=processors)
    try:
        yield app
    finally:
        await app.stop()


def try_app(settings: Settings) -> App | None:
    return load_app(settings) if settings.get("app") else None


def load_app(settings: Settings) -> App:
    """The app of the settings, with the store of the settings. Raises ConfigurationError, WiringError."""
    target, origin = settings.origin("app")
    if not target:
        raise ConfigurationError(
            "no app was named",
            why="this verb needs the code of the application",
            do='daicho --app module:attribute ..., DAICHO_APP, or `app = "module:attribute"` in daicho.toml',
        )
    app = _imported(target, origin)
    if url := settings.get("store"):
        app.url = url
    if (read_from := settings.get("read-from")) is not None:
        app.read_from = read_from_text(read_from)
    app.place(views=settings.get("views"), search=settings.get("search"), edge=settings.get("edge"))
    app.told = told_settings(settings)
    return app


def _imported(target: str, origin: str) -> App:
    name, _, attribute = target.partition(":")
    attribute = attribute or "app"
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    do = f"check --app {target}: it is written module:attribute, seen from {here}"
    try:
        module = importlib.import_module(name)
    except DaichoError:
        raise
    except ModuleNotFoundError as error:
        why = f"{error}; asked for by the {origin}"
        raise ConfigurationError(f"there is no module {error.name!r}", why=why, do=do) from error
    except (Exception, SystemExit) as error:
        raise ConfigurationError(
            f"the module {name!r} cannot be imported",
            why=f"{type(error).__name__}: {error}",
            do="mend the module; --debug shows the traceback",
        ) from error
    found: Any = module
    for part in attribute.split("."):
        if not hasattr(found, part):
            apps = [key for key, value in vars(module).items() if isinstance(value, App)]
            why = f"it has the Apps {', '.join(apps)}" if apps else "it has no App at module level"
            raise ConfigurationError(f"the module {name!r} has no {attribute!r}", why=why, do=do)
        found = getattr(found, part)
    if callable(found) and not isinstance(found, App):
        try:
            found = found()
        except TypeError as error:
            raise ConfigurationError(f"{target} cannot be called without arguments", why=str(error), do=do) from error
    if not isinstance(found, App):
        raise ConfigurationError(f"{target} is a {type(found).__name__}, not an App", do=do)
    return found


def must_exist(url: str) -> None:
    """A look at a store that is not there shall not make one."""
    scheme = urlsplit(url).scheme
    if scheme == "memory":
        raise ConfigurationError(
            "a `memory:` store cannot be looked at from outside",
            why="it lives and ends with the process that opened it",
            do="name a store that lasts: --store sqlite:///shop.db",
        )
    if scheme != "sqlite":
        return
    parse_url = importlib.import_module("daicho.adapters.stores.sqlite").parse_url
    path = Path(parse_url(url).path)
    if path.parent.is_dir() and not path.exists():
        raise StoreError(
            f"there is no store at {url}",
            why=f"the file {path} does not exist",
            do="check --store; `daicho send` and `daicho import` create a store",
        )
