"""Finds out who asks, from the request's credentials and from nothing else."""

from collections.abc import Iterable, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from daicho.core.errors import NotAuthenticated
from daicho.http.principal import ANONYMOUS, Principal, set_principal
from daicho.http.security.credentials import Authenticator

__all__ = ["OPEN", "Authentication"]

OPEN = frozenset({"/livez", "/readyz", "/startupz"})
"""What probes may ask without a credential. It tells nothing but whether the server is well."""


class Authentication:
    """Everybody needs a credential, and one that is good. A credential that is not is refused even where none is
    needed: whoever shows one means it.

    With no authenticator at all, everybody is anonymous, and who may listen is the runner's business.
    """

    def __init__(
        self, app: ASGIApp, authenticators: Sequence[Authenticator], *, anonymous: Iterable[str] = OPEN
    ) -> None:
        """`anonymous`: paths that need no credential."""
        self.app, self._authenticators, self._anonymous = app, authenticators, frozenset(anonymous)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self._authenticators:
            credential = _credential(scope)
            if credential is not None:
                set_principal(scope, await self._principal(credential))
            elif scope["path"] in self._anonymous:
                set_principal(scope, ANONYMOUS)
            else:
                raise NotAuthenticated(
                    "this needs a credential",
                    why="the request has neither an Authorization nor an X-API-Key header",
                    do="send `Authorization: Bearer` with a token or a key",
                )
        await self.app(scope, receive, send)

    async def _principal(self, credential: str) -> Principal:
        for authenticator in self._authenticators:
            if authenticator.takes(credential):
                return await authenticator.authenticate(credential)
        raise NotAuthenticated("the credential was not accepted", why="it is of no kind that is taken here")


def _credential(scope: Scope) -> str | None:
    """Raises NotAuthenticated if there is more than one: which of them counts must not be a matter of taste."""
    found: list[str] = []
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.append(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, rest = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() != "bearer":
                raise NotAuthenticated(
                    "the credential was not accepted", why="its scheme is not Bearer", do="send `Authorization: Bearer`"
                )
            found.append(rest.strip())
    if len(found) > 1:
        raise NotAuthenticated("the request has more than one credential", do="send one")
    return found[0] if found else None
