"""Who may see and do what. Each role's list is written out: nothing follows from anything else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from daicho.core.errors import NotAuthorised
from daicho.http.principal import Principal
from daicho.http.security.credentials import Authenticator
from daicho.http.security.permission import PII
from daicho.schemas import LOCK

__all__ = ["LOCAL", "RIGHTS", "ROLES", "ConsoleSettings", "Payloads", "Right", "Role", "Viewer", "viewer_of"]

Role: TypeAlias = Literal["viewer", "auditor", "operator", "admin"]
Right: TypeAlias = Literal["look", "audit", "act", "send", "personal", "admin"]
"""look: every figure, structure and history; audit: who did what, tamper checks; act: retry, pause, rebuild, ...;
send: commands; personal: search for and forget persons; admin: keys, tenants, configuration."""
Payloads: TypeAlias = Literal["none", "masked", "full"]
"""What is shown of the content of messages, rows and states: nothing; without what is marked `Personal`; all of it."""

ROLES: tuple[Role, ...] = get_args(Role)
RIGHTS: Mapping[Role, frozenset[Right]] = {
    "viewer": frozenset({"look"}),
    "auditor": frozenset({"look", "audit"}),
    "operator": frozenset({"look", "audit", "act", "send"}),
    "admin": frozenset({"look", "audit", "act", "send", "personal", "admin"}),
}
_LEVELS: tuple[Payloads, ...] = ("none", "masked", "full")


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """`Console(app, ConsoleSettings(authenticators=[...]))`."""

    authenticators: Sequence[Authenticator] = ()
    """The server's. Without any, whoever is on this very machine is its admin, and nobody else gets in."""
    payloads: Payloads = "full"
    """The most that anybody is shown."""
    lock: Path = Path(LOCK)
    """The released shapes of events, which the code is compared with: what `daicho schema lock` wrote."""
    idle: float = 3600.0
    """Seconds after which a session that nobody uses ends."""
    longest: float = 12 * 3600.0
    """Seconds after which any session ends."""


@dataclass(frozen=True, kw_only=True)
class Viewer:
    """Somebody in front of the console."""

    actor: str
    role: Role
    payloads: Payloads

    def may(self, right: Right) -> bool:
        return right in RIGHTS[self.role]

    def demand(self, right: Right) -> None:
        """Raises NotAuthorised."""
        if not self.may(right):
            raise NotAuthorised(
                f"the role {self.role!r} may not do this",
                why=f"it needs the right {right!r}",
                do="ask somebody who may; `daicho key create NAME --scope console:operator` makes such a key",
                scope=f"console:{right}",
            )


LOCAL = Principal(actor="local", scopes=frozenset({"console:admin", PII}))
"""Whoever is on this machine, where nothing authenticates."""


def viewer_of(principal: Principal, settings: ConsoleSettings) -> Viewer:
    """By the scopes `console:ROLE`, the last in the order of ROLES counts. Raises NotAuthorised for who has none, and
    for callers of a tenant: the console shows the whole store."""
    found: list[Role] = [role for role in ROLES if f"console:{role}" in principal.scopes]
    if principal.tenant is not None:
        raise NotAuthorised(
            "this key belongs to a tenant",
            why="the console shows the events of all tenants",
            do="use a key without a tenant",
            scope="console:viewer",
        )
    if not found:
        raise NotAuthorised(
            "this key does not open the console",
            why=f"it has none of the scopes {', '.join(f'console:{role}' for role in ROLES)}",
            do="daicho key create NAME --scope console:viewer",
            scope="console:viewer",
        )
    own: Payloads = "full" if PII in principal.scopes else "masked"
    level = _LEVELS[min(_LEVELS.index(own), _LEVELS.index(settings.payloads))]
    return Viewer(actor=principal.actor or "unknown", role=found[-1], payloads=level)
