"""Who may do what in the console, and what is written down of it; without a browser."""

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, Any, cast

import pytest

from daicho import Aggregate, App, Command, Event, NotAuthenticated, NotAuthorised, Personal, Rejected, apply, handle
from daicho.console.access import RIGHTS, ROLES, ConsoleSettings, Right, Role, Viewer, viewer_of
from daicho.console.audit import audited, recent
from daicho.console.parts.diff import diff_markup
from daicho.console.parts.table import as_csv
from daicho.console.screen import Place
from daicho.console.screens.overview import _line
from daicho.console.sessions import Sessions
from daicho.core.errors import ConfigurationError, TooManyRequests, UnsafeConsole
from daicho.core.journal import Journal, _part
from daicho.http.principal import Principal
from daicho.server import ServerSettings

ALL: tuple[Right, ...] = ("look", "audit", "act", "send", "personal", "admin")
MAY = {
    "viewer": "y.....",
    "auditor": "yy....",
    "operator": "yyyy..",
    "admin": "yyyyyy",
}
"""Written out once more, by hand: a right that is given by mistake is seen here."""


@pytest.mark.parametrize("role", ROLES)
def test_each_role_may_exactly_what_its_list_says(role: Role) -> None:
    viewer = Viewer(actor="a", role=role, payloads="full")
    assert "".join("y" if viewer.may(right) else "." for right in ALL) == MAY[role]
    for right in ALL:
        if not viewer.may(right):
            with pytest.raises(NotAuthorised):
                viewer.demand(right)


def test_there_is_no_right_without_a_role() -> None:
    assert set(ALL) == set().union(*RIGHTS.values())


@pytest.mark.parametrize(
    ("scopes", "role", "payloads"),
    [
        ({"console:viewer"}, "viewer", "masked"),
        ({"console:viewer", "console:admin"}, "admin", "masked"),
        ({"console:auditor", "pii:read"}, "auditor", "full"),
        ({"console:operator", "orders:write"}, "operator", "masked"),
    ],
)
def test_scopes_of_a_key_say_its_role(scopes: set[str], role: Role, payloads: str) -> None:
    viewer = viewer_of(Principal(actor="k", scopes=frozenset(scopes)), ConsoleSettings())
    assert (viewer.role, viewer.payloads) == (role, payloads)


def test_a_setting_is_the_most_that_anybody_sees() -> None:
    everything = Principal(actor="k", scopes=frozenset({"console:admin", "pii:read"}))
    assert viewer_of(everything, ConsoleSettings(payloads="none")).payloads == "none"
    assert viewer_of(everything, ConsoleSettings(payloads="masked")).payloads == "masked"


@pytest.mark.parametrize("principal", [Principal(), Principal(scopes=frozenset({"orders:write"}))])
def test_a_key_for_something_else_opens_nothing(principal: Principal) -> None:
    with pytest.raises(NotAuthorised):
        viewer_of(principal, ConsoleSettings())


def test_a_tenant_is_not_shown_the_house() -> None:
    with pytest.raises(NotAuthorised, match="tenant"):
        viewer_of(Principal(tenant="acme", scopes=frozenset({"console:admin"})), ConsoleSettings())


@pytest.mark.parametrize("given", [{"console": "on"}, {"console": "on", "insecure": "true"}, {"role": "console"}])
def test_it_is_not_served_to_other_machines_unprotected(given: dict[str, str]) -> None:
    with pytest.raises(UnsafeConsole):
        ServerSettings.of({"host": "0.0.0.0", **given})
    assert ServerSettings.of({"host": "0.0.0.0", "keys": "k.json", **given}).has_console
    assert not ServerSettings.of({"host": "0.0.0.0", "insecure": "true"}).has_console


def test_it_is_served_by_one_process() -> None:
    with pytest.raises(ConfigurationError, match="workers"):
        ServerSettings.of({"console": "on", "workers": "2"})
    assert not ServerSettings.of({"workers": "2"}).has_console


# -- sessions ---------------------------------------------------------------------------------------------------------


class OneKey:
    scheme = "Bearer"

    def __init__(self) -> None:
        self.good = True

    def takes(self, credential: str) -> bool:
        return True

    async def authenticate(self, credential: str) -> Principal:
        if credential != "sesame" or not self.good:
            raise NotAuthenticated("the key was not accepted")
        return Principal(actor="ali", scopes=frozenset({"console:operator"}))


class Hand:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_session_ends_by_itself_and_with_its_key() -> None:
    key, hand = OneKey(), Hand()
    sessions = Sessions(ConsoleSettings(authenticators=[key], idle=60, longest=100), hand)
    cookie = await sessions.begin("sesame")
    session = sessions.find(cookie)
    assert session is not None
    assert (await sessions.viewer(session)).actor == "ali"
    hand.now += 59
    assert sessions.find(cookie) is session
    hand.now += 42  # not idle, but old
    assert sessions.find(cookie) is None
    with pytest.raises(NotAuthenticated):
        await sessions.viewer(session)

    session = sessions.find(await sessions.begin("sesame"))
    assert session is not None
    key.good = False
    with pytest.raises(NotAuthenticated):
        await sessions.viewer(session)


async def test_keys_are_not_guessed_at_leisure() -> None:
    hand = Hand()
    sessions = Sessions(ConsoleSettings(authenticators=[OneKey()]), hand)
    for _ in range(10):
        with pytest.raises(NotAuthenticated):
            await sessions.begin("open", "10.0.0.1")
    with pytest.raises(TooManyRequests):
        await sessions.begin("sesame", "10.0.0.1")
    assert await sessions.begin("sesame", "10.0.0.2")
    hand.now += 61
    assert await sessions.begin("sesame", "10.0.0.1")


# -- the operator audit, and what is hidden ---------------------------------------------------------------------------


class Join(Command):
    member_id: str
    name: str


class Joined(Event, name="joined"):
    member_id: str
    name: Annotated[str, Personal]


class Member(Aggregate, category="member", key="member_id"):
    name: str = ""

    @handle
    def join(self, command: Join) -> Iterator[Joined]:
        if self.name:
            raise Rejected("joined before")
        yield Joined(member_id=command.member_id, name=command.name)

    @apply
    def joined(self, event: Joined) -> None:
        self.name = event.name


OPERATOR = Viewer(actor="Ann / ops", role="operator", payloads="masked")


async def test_an_action_stands_in_the_register_before_and_after_it() -> None:
    async with App(Member, store="memory:") as app:
        seen: list[str] = []

        async def run() -> str:
            seen.extend(event.event.outcome for event in await recent(app))
            return "two were tried again"

        await audited(app, OPERATOR, action="parked.retry", target="k", verb="daicho dlq retry k", run=run, reason="ok")
        assert seen == ["begun"]
        done, begun = await recent(app)
        assert (begun.event.outcome, done.event.outcome) == ("begun", "done")
        assert done.event.detail == "two were tried again"
        assert begun.event.verb == "daicho dlq retry k"
        assert {begun.actor, done.actor} == {"Ann / ops"}
        assert [event.type async for event in app.events(category="daicho.operator")] == ["daicho.operator.acted"] * 2


async def test_an_action_that_fails_says_so_in_the_register() -> None:
    async with App(Member, store="memory:") as app:

        async def run() -> str:
            raise Rejected("no")

        with pytest.raises(Rejected):
            await audited(app, OPERATOR, action="a", target="t", verb="v", run=run)
        assert [event.event.outcome for event in await recent(app)] == ["failed", "begun"]
        assert "no" in (await recent(app))[0].event.detail


def place_of(app: App, viewer: Viewer) -> Place:
    unused = cast("Any", None)
    return Place(
        app=app, console=unused, viewer=viewer, session=unused, sessions=unused, screen=_NoScreen, screens=(),
        root="/console", params={}, query={},
    )  # fmt: skip


class _NoScreen:
    path = "/"
    words: dict[str, tuple[str, str]] = {}


@pytest.mark.parametrize(
    ("payloads", "shown"),
    [
        ("full", {"member_id": "m-1", "name": "Aya"}),
        ("masked", {"member_id": "m-1", "name": "***"}),
        ("none", {"…": "hidden from this role"}),
    ],
)
async def test_contents_are_shown_as_far_as_the_viewer_may_see_them(payloads: Any, shown: dict[str, str]) -> None:
    async with App(Member, store="memory:") as app:
        place = place_of(app, Viewer(actor="a", role="viewer", payloads=payloads))
        assert place.shown({"member_id": "m-1", "name": "Aya"}, Joined) == shown
        if payloads == "masked":  # of what has no class, nothing is known
            assert "Aya" not in str(place.shown({"name": "Aya"}))


async def test_links_of_the_console_are_quoted() -> None:
    async with App(Member, store="memory:") as app:
        place = place_of(app, OPERATOR)
        assert (
            place.link("/streams/{stream}", stream="a/../b?c#d", page=2) == "/console/streams/a%2F..%2Fb%3Fc%23d?page=2"
        )
        assert place.link("/events", type="<x>", actor=None) == "/console/events?type=%3Cx%3E"


def test_a_text_from_data_stays_a_text() -> None:
    place = cast("Place", _Words())
    assert "<script>" not in diff_markup(place, {"a": "<script>"}, {"a": "</div><img onerror=x>"})
    content = as_csv(["a", "b"], [{"a": "=cmd()", "b": -3}, {"a": "plain", "b": None}]).decode("utf-8-sig")
    assert content == "a,b\r\n'=cmd(),-3\r\nplain,\r\n"


class _Words:
    def t(self, key: str) -> str:
        return key


# -- the journal ------------------------------------------------------------------------------------------------------


async def test_the_journal_notes_what_became_of_each_command() -> None:
    app = App(Member, store="memory:")
    async with app:
        await app.send(Join(member_id="m-0", name="Eve"))
        assert not app.journal.commands, "closed"
        app.journal.open(1.0)
        await app.send(Join(member_id="m-1", name="Aya"), key="k", actor="ann")
        await app.send(Join(member_id="m-1", name="Aya"), key="k", actor="ann")
        with pytest.raises(Rejected):
            await app.send(Join(member_id="m-1", name="Bo"))
        assert [(note.outcome, note.stream, note.actor) for note in app.journal.commands] == [
            ("accepted", "member-m-1", "ann"),
            ("duplicate", "member-m-1", "ann"),
            ("rejected", "", None),
        ]
        assert app.journal.commands[2].reason == "joined before"
        assert sum(app.journal.beats.values(), Counter[str]()) == {"accepted": 1, "duplicate": 1, "rejected": 1}


def test_a_line_begins_where_something_is_known() -> None:
    moments = [100.0, 95.0, 71.0]
    assert _line(moments, 100.0, 1000) == [*[0.0] * 27, 1.0, 0.0, 2.0]
    assert _line(moments, 100.0, 3) == [0.0, 2.0]  # of the third ten seconds, only a part is known
    assert _line([], 100.0, 1000) == [0.0] * 30


async def test_what_would_come_of_a_command_is_told_and_not_kept() -> None:
    async with App(Member, store="memory:") as app:
        receipt = await app.imagine(Join(member_id="m-1", name="Aya"))
        assert receipt.events == (Joined(member_id="m-1", name="Aya"),)
        assert await app.storage.head() == 0
        assert (await app.load(Member, "m-1")).name == ""
        await app.send(Join(member_id="m-1", name="Aya"))
        with pytest.raises(Rejected):
            await app.imagine(Join(member_id="m-1", name="Bo"))


def test_the_journal_is_bounded() -> None:
    journal = Journal()
    journal.open(0.0)
    for quarter in range(500):
        journal.conflicted(f"c-{quarter}")
        assert journal.retries_of(f"c-{quarter}") == 1
        journal._slot(quarter * 900.0)["query", "Q"] += 1
        _part(journal.beats, quarter, 30)["accepted"] += 1
    assert sorted(journal.beats) == list(range(470, 500))
    assert len(journal.slots) == 96
    assert min(journal.slots) == 404
