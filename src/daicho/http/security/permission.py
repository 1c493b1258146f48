"""Whether somebody may send a command or ask a query."""

from collections.abc import Collection, Hashable, Sequence
from typing import Any

from daicho.core.access import scopes_of
from daicho.core.errors import NotAuthenticated, NotAuthorised
from daicho.core.messages import Message
from daicho.core.personal import personal_fields
from daicho.http.principal import ANONYMOUS, Principal

__all__ = ["MASK", "PII", "mask", "permit", "permit_scopes"]

PII = "pii:read"
MASK = "***"


def permit(principal: Principal, message: type[Message]) -> None:
    """Raises NotAuthorised unless the principal has every scope that `@requires` names; NotAuthenticated for nobody."""
    permit_scopes(principal, scopes_of(message), message.__message_name__)


def permit_scopes(principal: Principal, scopes: Collection[str], name: str) -> None:
    """The same for something else of that name."""
    missing = set(scopes) - principal.scopes
    if not missing:
        return
    if principal == ANONYMOUS:
        raise NotAuthenticated(f"{name} needs a credential", do="send `Authorization: Bearer` with a token or a key")
    raise NotAuthorised(
        f"{principal.actor or 'you'} may not send {name}",
        why=f"it needs the scope {', '.join(sorted(missing))}",
        do="use a credential that has it",
        scope=sorted(missing),
    )


def mask(data: Any, tags: Sequence[str], record: Hashable | None) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The fields and tags of an event as those may see them who have not the scope `pii:read`: without what is marked
    `Personal`. Of an event whose class is not known, nothing is known either, so all of its values are hidden."""
    if record is None:
        return dict.fromkeys(data, MASK), ()
    hidden = personal_fields(record)
    if not hidden:
        return data, tuple(tags)
    shown = {name: MASK if name in hidden and value is not None else value for name, value in data.items()}
    return shown, tuple(tag for tag in tags if tag.partition(":")[0] not in hidden)
