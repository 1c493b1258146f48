"""Running an App as a process: roles, probes, metrics, and an end in good order."""

from daicho.server.asgi import application
from daicho.server.serving import serve
from daicho.server.settings import Role, ServerSettings

__all__ = ["Role", "ServerSettings", "application", "serve"]
