"""A screen, and the place it is built in."""

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import msgspec

from daicho.app import App
from daicho.console.access import Right, Viewer
from daicho.console.audit import audited
from daicho.console.sessions import Session, Sessions
from daicho.console.words import Words, say
from daicho.core.codec import decode_builtins
from daicho.core.errors import DaichoError
from daicho.core.stored import StoredEvent
from daicho.http.security.permission import mask

if TYPE_CHECKING:
    from daicho.console.door import Console

__all__ = ["GROUPS", "Group", "Place", "Screen"]

Group: TypeAlias = Literal["now", "history", "write", "read", "flow", "system", "govern"]
GROUPS: tuple[Group, ...] = ("now", "history", "write", "read", "flow", "system", "govern")
"""In the order of the side navigation. Their names: `group.now`, ... in `words`."""

Build: TypeAlias = Callable[["Place"], Awaitable[str | None] | str | None]


@dataclass(frozen=True, kw_only=True)
class Screen:
    """One screen, in a file of its own under `screens/`, listed in `screens/__init__.py`."""

    path: str
    """Below the console: `/streams`, `/streams/{stream}`."""
    title: str
    """The key of its name in its words."""
    group: Group
    build: Build
    """Fills the page, or returns a link of the `Place` that the visitor is sent to instead; may be async. What it needs
    from outside comes with the `Place`."""
    words: Words
    """Its texts, as `{"streams.title": ("Streams", "ストリーム")}`: English and Japanese."""
    needs: Right = "look"
    icon: str = "circle"
    """A name of Material Icons."""
    listed: bool = True
    """Whether the side navigation has it; details of something are reached from its list."""
    under: str = ""
    """The path of the screen in the side navigation that it belongs to, if that is not the beginning of its own."""
    keys: str = ""
    """Pressed after `g`, they lead here."""


@dataclass
class Place:
    """What a screen is built with: the App, who looks, and how they want to read."""

    app: App
    console: "Console"
    viewer: Viewer
    session: Session
    sessions: Sessions
    screen: Screen
    screens: Sequence[Screen]
    """All there are."""
    root: str
    """What the addresses of the console begin with: `/console`."""
    params: Mapping[str, str]
    """What the path says: `{stream}`."""
    query: Mapping[str, str]
    """What stands behind the `?`: filters live here, so that they can be linked to."""
    language: str = "en"
    theme: str = "auto"
    zone_name: str = "UTC"

    def t(self, key: str, **values: object) -> str:
        """The text of a key, in the language of whoever looks."""
        return say(key, self.language, self.screen.words, values)

    def word(self, group: str, value: str) -> str:
        """A value that is a word, in the language of whoever looks; one that nobody has translated, as it is."""
        key = f"{group}.{value}"
        said = self.t(key)
        return value if said == key else said

    def has(self, path: str) -> bool:
        """Whether there is a screen at this path."""
        return any(each.path == path for each in self.screens)

    def link(self, path: str, **query: object) -> str:
        """The address of a screen: `link("/streams/{stream}", stream="order-o-1", page=2)`. Values in braces are
        filled in and quoted, the others become the query; None and empty ones are left out."""
        for name in list(query):
            if f"{{{name}}}" in path:
                path = path.replace(f"{{{name}}}", quote(str(query.pop(name)), safe=""))
        asked = urlencode({name: str(value) for name, value in query.items() if value not in (None, "")})
        return f"{self.root}{path}{'?' if asked else ''}{asked}"

    def here(self, **query: object) -> str:
        """The address of this very screen with other filters; None takes one out."""
        path = self.screen.path
        merged: dict[str, object] = {**self.query, **query}
        return self.link(path, **{**self.params, **merged})

    def may(self, right: Right) -> bool:
        return self.viewer.may(right)

    @property
    def zone(self) -> tzinfo:
        with suppress(Exception):  # a name that nobody knows any more
            return ZoneInfo(self.zone_name)
        return UTC

    def time(self, moment: datetime | str | None, *, seconds: bool = True) -> str:
        """A moment in the zone of whoever looks."""
        if not moment:
            return ""
        if isinstance(moment, str):
            moment = datetime.fromisoformat(moment)
        return moment.astimezone(self.zone).strftime("%Y-%m-%d %H:%M:%S" if seconds else "%Y-%m-%d %H:%M")

    # -- contents -------------------------------------------------------------------------------------------------

    def shown(self, data: Any, record: type[Any] | None = None) -> Any:
        """The content of a message, row or state as this viewer may see it. `record`: its class, which says what is
        personal; of what has none, nothing is shown to those who see masked contents."""
        if self.viewer.payloads == "full":
            return data
        if self.viewer.payloads == "none" or not isinstance(data, dict):
            return {"…": self.t("payload.hidden")}
        return mask(data, (), cast("Hashable | None", record))[0]

    def content(self, event: StoredEvent) -> Any:
        """What a stored event says, as it is stored, as far as this viewer may see it."""
        return self.shown(decode_builtins(event.data), self.app.registry.classes.get(event.type))

    def upcast(self, event: StoredEvent) -> Any:
        """The same as the present code reads it. Raises UnknownEventType and UnreadableEvent."""
        found = self.app.registry.decode(event.type, event.schema_version, event.data, event.position)
        return self.shown(msgspec.to_builtins(found), type(found))

    # -- actions --------------------------------------------------------------------------------------------------

    async def act(
        self,
        action: str,
        *,
        target: str,
        verb: str,
        needs: Right,
        run: Callable[[], Awaitable[str | None]],
        reason: str = "",
    ) -> str:
        """Does something in the operator's name: if the session is still good and the role may, and between two entries
        of the operator audit. Returns what came of it. Raises NotAuthenticated, NotAuthorised and what `run` raises.
        """
        viewer = await self.sessions.viewer(self.session)
        try:
            viewer.demand(needs)
        except DaichoError as error:
            await audited(self.app, viewer, action=action, target=target, verb=verb, run=_refusing(error))
            raise
        return await audited(self.app, viewer, action=action, target=target, verb=verb, run=run, reason=reason)


def _refusing(error: DaichoError) -> Callable[[], Awaitable[str | None]]:
    async def run() -> str | None:
        raise error

    return run
