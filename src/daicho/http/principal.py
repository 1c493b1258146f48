"""Who asks. Put into the request by whatever authenticates; nothing that the caller writes himself counts."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, cast

import msgspec

from daicho.core.errors import NotAuthorised

__all__ = ["ANONYMOUS", "Principal", "demand", "may", "principal_of", "set_principal"]

_KEY = "principal"


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody, as the credentials say."""

    actor: str | None = None
    """Stands in every event."""
    tenant: str | None = None
    """Whose events and commands may be seen and made; None: there are no tenants."""
    scopes: frozenset[str] = frozenset()


ANONYMOUS = Principal()


def set_principal(scope: Any, principal: Principal) -> None:
    """For the middleware that authenticates: who this request is from. `ANONYMOUS` for somebody without credentials."""
    state: dict[str, Any] = scope.setdefault("state", {})
    state[_KEY] = principal


def principal_of(scope: Mapping[str, Any]) -> Principal:
    """Whoever was found, else ANONYMOUS."""
    return _found(scope) or ANONYMOUS


def demand(scope: Mapping[str, Any], needed: str) -> Principal:
    """The principal, if it has the scope `needed`; raises NotAuthorised.

    If nothing authenticates at all, callers on this very machine have every scope, and nobody else has any.
    """
    principal = _found(scope)
    if principal is None and _is_here(scope):
        return ANONYMOUS
    if principal is None or needed not in principal.scopes:
        raise NotAuthorised(
            f"this needs the scope {needed!r}",
            why="nothing here authenticates callers" if principal is None else "the credentials do not have it",
            do="put a middleware that authenticates in front" if principal is None else "use others",
            scope=needed,
        )
    return principal


def may(scope: Mapping[str, Any], needed: str) -> bool:
    """Whether `demand` would not raise."""
    principal = _found(scope)
    return _is_here(scope) if principal is None else needed in principal.scopes


def _found(scope: Mapping[str, Any]) -> Principal | None:
    return cast("Principal | None", scope.get("state", {}).get(_KEY))


def _is_here(scope: Mapping[str, Any]) -> bool:
    """Whether the caller is on this machine: by loopback, a socket file, or in the same process."""
    client: tuple[str, int] | None = scope.get("client")
    if client is None or not client[0]:
        return True
    try:
        return ip_address(client[0]).is_loopback
    except ValueError:
        return True  # no address of a network
