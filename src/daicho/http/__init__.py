"""The HTTP face of an App, made from its messages: `create(app)` is an ASGI application."""

from importlib.util import find_spec

from daicho.core.errors import MissingExtra

if find_spec("starlette") is None:
    raise MissingExtra(
        "the HTTP face needs an extra", why="starlette is not installed", do='pip install "daicho[http]"', extra="http"
    )

from daicho.http.app import create, lifespan_of
from daicho.http.principal import ANONYMOUS, Principal, set_principal
from daicho.http.settings import HttpSettings

__all__ = ["ANONYMOUS", "HttpSettings", "Principal", "asgi", "create", "lifespan_of", "set_principal"]

asgi = create
