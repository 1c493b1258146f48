"""Parts that do not fit together are found before anything runs, by an error that says what, why and what to do."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from daicho import (
    Aggregate,
    App,
    BadUrl,
    CannotApply,
    Command,
    ConfigurationError,
    Context,
    Crud,
    CyclicWiring,
    DaichoError,
    Decider,
    Event,
    InvalidMessage,
    MisplacedAsync,
    MissingApply,
    MissingCollaborator,
    MissingHandler,
    Query,
    RecordedEvent,
    Rejected,
    Route,
    Row,
    State,
    TwoHandlers,
    UnknownMessage,
    UnknownView,
    Views,
    WiringError,
    apply,
    event_handler,
    handle,
    projection,
    query_handler,
)
from daicho.core.behaviour import behaviour_of
from daicho.core.projection import Fold
from daicho.core.registry import Registry
from daicho.testing import given


class Do(Command):
    id: str


class Redo(Command):
    id: str


class Done(Event):
    id: str


class Redone(Event):
    id: str


class Thing(Aggregate, category="thing", key="id"):
    @handle
    def do(self, command: Do) -> Iterator[Done]:
        yield Done(id=command.id)

    @apply
    def done(self, _: Done) -> None: ...


class ThingRow(Row):
    id: str


@projection("things", key=lambda event: event.id)
def things(row: ThingRow | None, event: Done) -> ThingRow | None:
    return ThingRow(id=event.id)


def app(*parts: Any, **options: Any) -> App:
    return App(*parts, store="memory:", **options)


def refused(kind: type[DaichoError], match: str, *parts: Any, **options: Any) -> DaichoError:
    with pytest.raises(kind, match=match) as caught:
        app(*parts, **options)
    assert type(caught.value) is kind
    assert caught.value.what
    assert caught.value.do
    return caught.value


def test_parts_that_fit_are_accepted_and_nothing_is_touched() -> None:
    assert app(Thing, things).model.message("Do") is Do


# -- not a part ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [Do, Done, ThingRow, lambda e: None, "Thing", None, 3, Thing()])
def test_what_is_no_part_is_refused_with_a_hint_at_the_decorator(part: Any) -> None:
    error = refused(WiringError, "is not a part of an App", part)
    assert "decorator" in error.do


# -- two of one kind ----------------------------------------------------------------------------------------------


def test_a_command_has_one_handler() -> None:
    class Other(Aggregate, category="other", key="id"):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

        @apply
        def done(self, _: Done) -> None: ...

    error = refused(TwoHandlers, "Do is handled by Thing and Other", Thing, Other)
    assert error.data == {"command": "Do"}


def test_a_category_belongs_to_one_part() -> None:
    refused(TwoHandlers, "category 'thing' is used by Thing and Thing", Thing, Thing)


def test_an_aggregate_handles_a_command_in_one_method() -> None:
    class Twice(Aggregate, category="twice", key="id"):
        @handle
        def one(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

        @handle
        def two(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

        @apply
        def done(self, _: Done) -> None: ...

    refused(WiringError, "both take Do", Twice)


def test_two_event_handlers_may_not_share_the_name_of_their_checkpoint() -> None:
    def one() -> Any:
        @event_handler
        async def notify(event: Done) -> None: ...

        return notify

    refused(TwoHandlers, "two event handlers are called 'notify'", Thing, one(), one())


def test_two_views_may_not_share_a_name() -> None:
    refused(TwoHandlers, "two views are called 'things'", things, Crud(ThingRow, name="things"))


def test_two_commands_may_not_share_a_name() -> None:
    class Again(Command, name="Do"):
        id: str

    class Other(Aggregate, category="other", key="id"):
        @handle
        def do(self, command: Again) -> Iterator[Done]:
            yield Done(id=command.id)

        @apply
        def done(self, _: Done) -> None: ...

    refused(TwoHandlers, "two commands are called 'Do'", Thing, Other)


def test_a_query_is_answered_once() -> None:
    class Ask(Query[int]):
        pass

    def answer() -> Any:
        @query_handler
        async def answerer(query: Ask, views: Views) -> int:
            return 1

        return answerer

    refused(TwoHandlers, "Ask is answered twice", answer(), answer())


# -- something is missing -----------------------------------------------------------------------------------------


def test_an_event_handler_may_send_only_what_something_handles() -> None:
    @event_handler
    def again(event: Done) -> Iterator[Redo]:
        yield Redo(id=event.id)

    refused(MissingHandler, "sends Redo, which nothing handles", Thing, again)


def test_a_route_leads_to_a_message_that_is_handled() -> None:
    refused(MissingHandler, "Redo", Thing, Route("POST", "/redo", Redo))


def test_an_aggregate_applies_what_it_records() -> None:
    class Forgetful(Aggregate, category="forgetful", key="id"):
        @handle
        def do(self, command: Do) -> Iterator[Done | Redone]:
            yield Done(id=command.id)

        @apply
        def done(self, _: Done) -> None: ...

    error = refused(MissingApply, "Forgetful records Redone but has no @apply", Forgetful)
    assert error.data == {"events": ["Redone"]}


def test_evolve_takes_what_decide_records() -> None:
    def decide(command: Do, state: int) -> list[Done | Redone]:
        return []

    def evolve(state: int, event: Done) -> int:
        return state

    refused(
        WiringError,
        "may record Redone, which evolve does not take",
        Decider("thing", initial=0, decide=decide, evolve=evolve, identify=lambda c: c.id),
    )


class Pricing:
    def price(self) -> int:
        return 7


class Priced(Aggregate, category="thing", key="id"):
    @handle
    def do(self, command: Do, pricing: Pricing, context: Context) -> Iterator[Done]:
        yield Done(id=f"{command.id} {pricing.price()} {context.actor}")

    @apply
    def done(self, _: Done) -> None: ...


@pytest.mark.parametrize("provide", [[], [Thing], [Pricing(), Pricing()], ["Pricing"]])
def test_a_collaborator_that_is_asked_for_must_be_provided_exactly_once(provide: list[Any]) -> None:
    refused(MissingCollaborator, r"Priced \(Do\) asks for 'pricing': Pricing", Priced, provide=provide)


async def test_a_collaborator_and_the_context_are_found_by_annotation() -> None:
    async with app(Priced, provide=[Pricing(), 3, "text"]) as running:
        receipt = await running.send(Do(id="x"), actor="ann")
    assert receipt.events == (Done(id="x 7 ann"),)


def test_a_projection_may_ask_for_nothing_but_the_record_and_the_key() -> None:
    @projection("priced", key=lambda event: event.id)
    def priced(row: ThingRow | None, event: Done, pricing: Pricing) -> ThingRow | None:
        return None

    refused(MissingCollaborator, "asks for 'pricing'", priced)


# -- async in the wrong place -------------------------------------------------------------------------------------


def _aggregate_handles_async() -> Any:
    class Late(Aggregate, category="late", key="id"):
        @handle  # type: ignore[arg-type]
        async def do(self, command: Do) -> Any:
            yield Done(id=command.id)

    return Late


def _aggregate_applies_async() -> Any:
    class Late(Aggregate, category="late", key="id"):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

        @apply  # type: ignore[arg-type]
        async def done(self, _: Done) -> None: ...

    return Late


def _decides_async() -> Any:
    async def decide(command: Do, state: int) -> list[Done]:
        return []

    def evolve(state: int, event: Done) -> int:
        return state

    return Decider("late", initial=0, decide=decide, evolve=evolve, identify=lambda c: c.id)  # type: ignore[arg-type,type-var]


def _evolves_async() -> Any:
    def decide(command: Do, state: int) -> list[Done]:
        return []

    async def evolve(state: int, event: Done) -> int:
        return state

    return Decider("late", initial=0, decide=decide, evolve=evolve, identify=lambda c: c.id)  # type: ignore[arg-type]


def _projects_async() -> Any:
    @projection("late", key=lambda event: event.id)  # type: ignore[arg-type]
    async def late(row: ThingRow | None, event: Done) -> ThingRow | None:
        return None

    return late


def _yields_commands_async() -> Any:
    @event_handler
    async def late(event: Done) -> Any:
        yield Do(id="x")

    return late


def _answers_synchronously() -> Any:
    class Ask(Query[int]):
        pass

    @query_handler  # type: ignore[arg-type]
    def answer(query: Ask, views: Views) -> int:
        return 1

    return answer


@pytest.mark.parametrize(
    "make",
    [
        _aggregate_handles_async,
        _aggregate_applies_async,
        _decides_async,
        _evolves_async,
        _projects_async,
        _yields_commands_async,
        _answers_synchronously,
    ],
)
def test_a_function_that_would_never_run_is_refused_instead_of_ignored(make: Callable[[], Any]) -> None:
    with pytest.raises(MisplacedAsync, match=r"async.*\.py:\d+|\.py:\d+.*async"):
        app(make())


# -- circles ------------------------------------------------------------------------------------------------------


class Loop(Aggregate, category="loop", key="id"):
    @handle
    def redo(self, command: Redo) -> Iterator[Redone]:
        yield Redone(id=command.id)

    @apply
    def redone(self, _: Redone) -> None: ...


@event_handler
def forth(event: Done) -> Iterator[Redo]:
    yield Redo(id=event.id)


def _back(circular: bool) -> Any:
    @event_handler(name="back", circular=circular)
    def back(event: Redone) -> Iterator[Do]:
        yield Do(id=event.id)

    return back


def test_events_and_commands_that_chase_each_other_are_refused_with_the_way_they_go() -> None:
    error = refused(CyclicWiring, "round in a circle", Thing, Loop, forth, _back(circular=False))
    assert "Done (forth -> Redo)" in error.what
    assert "Redone (back -> Do)" in error.what


def test_a_circle_that_is_meant_is_said_to_be() -> None:
    app(Thing, Loop, forth, _back(circular=True))


def test_a_chain_is_no_circle() -> None:
    app(Thing, Loop, forth)


# -- annotations --------------------------------------------------------------------------------------------------


def _no_annotation() -> Any:
    @projection("bad", key=lambda event: event.id)
    def bad(row: ThingRow | None, event) -> ThingRow | None:  # type: ignore[no-untyped-def]
        return None

    return bad


def _unknown_name() -> Any:
    @event_handler
    async def bad(event: "NowhereDefined") -> None: ...  # type: ignore[name-defined] # noqa: F821

    return bad


def _not_an_event() -> Any:
    @event_handler
    async def bad(event: Do) -> None: ...

    return bad


def _not_a_class() -> Any:
    @event_handler
    async def bad(event: list[Done]) -> None: ...

    return bad


def _too_few_parameters() -> Any:
    @event_handler
    async def bad() -> None: ...

    return bad


def _gives_nothing() -> Any:
    @event_handler  # type: ignore[call-overload]
    def bad(event: Done):  # type: ignore[no-untyped-def]
        yield Do(id="x")

    return bad


def _row_of_no_class() -> Any:
    @projection("bad", key=lambda event: event.id)
    def bad(row: dict[str, int] | None, event: Done) -> dict[str, int] | None:  # type: ignore[type-var]
        return None

    return bad


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (_no_annotation, "parameter 'event' of .* has no annotation"),
        (_unknown_name, "cannot be resolved: name 'NowhereDefined' is not defined"),
        (_not_an_event, "names Do, which is not a Event"),
        (_not_a_class, r"is annotated list\["),
        (_too_few_parameters, "takes 0 parameters, and needs at least 1"),
        (_gives_nothing, "does not say what it gives"),
        (_row_of_no_class, "folds events into rows|returns"),
    ],
)
def test_an_annotation_that_does_not_say_enough_is_refused_with_file_and_line(
    make: Callable[[], Any], match: str
) -> None:
    with pytest.raises(WiringError, match=match) as caught:
        app(Thing, make())
    assert "test_core_wiring.py:" in str(caught.value)


M = TypeVar("M", Done, Redone)


def test_a_type_variable_stands_for_its_members() -> None:
    @projection("generic", key=lambda event: event.id)
    def generic(row: ThingRow | None, event: M) -> ThingRow | None:
        return None

    assert Fold(generic).events == (Done, Redone)


def test_a_query_handler_gives_what_the_query_promises() -> None:
    class Ask(Query[list[ThingRow]]):
        pass

    @query_handler
    async def answer(query: Ask, views: Views) -> dict[str, int]:
        return {}

    refused(WiringError, r"returns dict\[str, int\], but Ask promises list", answer)


# -- the shape of aggregates --------------------------------------------------------------------------------------


def test_an_aggregate_has_a_category_and_a_key() -> None:
    class Bare(Aggregate):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

    refused(WiringError, "Bare has no category or no key", Bare)


def test_an_aggregate_handles_something() -> None:
    class Idle(Aggregate, category="idle", key="id"):
        pass

    refused(WiringError, "Idle handles no command", Idle)


def test_the_key_is_a_field_of_every_command() -> None:
    class Astray(Aggregate, category="astray", key="order_id"):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            yield Done(id=command.id)

        @apply
        def done(self, _: Done) -> None: ...

    refused(WiringError, "Do has no field 'order_id', the key of Astray", Astray)


def test_a_handle_method_is_a_generator() -> None:
    class Returns(Aggregate, category="returns", key="id"):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            return iter([Done(id=command.id)])

        @apply
        def done(self, _: Done) -> None: ...

    refused(WiringError, "has no `yield`", Returns)


@pytest.mark.parametrize("category", ["with-dash", "", "1st"])
def test_a_category_that_could_not_be_read_back_is_refused(category: str) -> None:
    with pytest.raises(InvalidMessage, match="cannot name a category"):
        type("Odd", (Aggregate,), {}, category=category, key="id")


def test_a_crud_part_is_kept_by_a_field_it_has() -> None:
    with pytest.raises(WiringError, match="ThingRow has no field 'sku'"):
        Crud(ThingRow, key="sku")
    assert (Crud(ThingRow).key, Crud(ThingRow).name) == ("id", "thingrow")


@pytest.mark.parametrize("model", [dict, Done, "ThingRow"])
def test_a_crud_table_is_of_rows(model: Any) -> None:
    with pytest.raises(WiringError, match="Crud keeps rows"):
        Crud(model)


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"name": 5}, "would be stored as 5"),
        ({"version": 0}, "has schema version 0"),
        ({"version": "2"}, "has schema version '2'"),
    ],
)
def test_an_event_is_stored_by_a_text_and_a_number(said: dict[str, Any], error: str) -> None:
    class Odd(Event, **said):
        id: str

    with pytest.raises(WiringError, match=error):
        Registry([Odd])


# -- messages by name, URLs ---------------------------------------------------------------------------------------


def test_a_message_by_an_almost_right_name_is_unknown_with_a_suggestion() -> None:
    with pytest.raises(UnknownMessage, match="did you mean Do") as caught:
        app(Thing).model.message("Doo")
    assert caught.value.data == {"message": "Doo", "similar": ["Do"]}


@pytest.mark.parametrize("url", ["", "shop.db", "mysql://x", "sqlite", ":memory:", "/tmp/shop.db"])
def test_a_store_url_that_means_nothing_is_refused_with_those_that_do(url: str) -> None:
    with pytest.raises(BadUrl, match="memory:, sqlite:") as caught:
        App(Thing, store=url)
    assert isinstance(caught.value, ConfigurationError)


@pytest.mark.parametrize("url", [None, 5, Path("shop.db")])
def test_what_is_no_text_is_no_store_url(url: Any) -> None:
    """Such as a variable of the environment that is not set."""
    with pytest.raises(BadUrl, match="is not the URL of a store"):
        App(Thing, store=url)


def test_a_codec_that_there_is_not_is_refused_and_not_taken_for_another() -> None:
    with pytest.raises(ConfigurationError, match="no codec 'pickle'") as caught:
        App(Thing, store="memory:", codec="pickle")  # type: ignore[arg-type]
    assert caught.value.do == "give one of 'json', 'msgpack'"


def test_what_cannot_stand_around_a_command_is_no_middleware() -> None:
    with pytest.raises(WiringError, match="'timing' cannot stand around a command"):
        App(Thing, store="memory:", middleware=["timing"])  # type: ignore[list-item]


def test_a_view_is_placed_by_itself_and_not_by_its_name() -> None:
    with pytest.raises(UnknownView, match="'things' is no projection"):
        App(Thing, store="memory:", views={"things": "redis://localhost"})  # type: ignore[dict-item]


# -- deciders, purely ---------------------------------------------------------------------------------------------


class Seats(State):
    taken: frozenset[str] = frozenset()


def _decide(command: Do, state: Seats) -> Iterable[Done]:
    if command.id in state.taken:
        raise Rejected("taken", seat=command.id)
    return [Done(id=command.id)]


def _evolve(state: Seats, event: Done) -> Seats:
    return Seats(taken=state.taken | {event.id})


SEATS = Decider("seats", initial=Seats(), decide=_decide, evolve=_evolve, identify=lambda _: "all")


def test_a_decider_decides_and_evolves() -> None:
    given(SEATS, Done(id="1A")).when(Do(id="1B")).then(Done(id="1B"))
    given(SEATS, Done(id="1A")).when(Do(id="1A")).then_rejected("taken")


def test_both_forms_compile_to_the_same_behaviour() -> None:
    for part in (SEATS, Thing):
        behaviour = behaviour_of(part)
        events: list[Event] = []
        behaviour.decide(behaviour.fresh(), Do(id="1A"), (), events)
        assert events == [Done(id="1A")]
        assert behaviour.events == (Done,)
        assert behaviour.effects == {Do: (Done,)}
    assert behaviour_of(SEATS).stream_of(Do(id="1A")) == "seats-all"
    assert behaviour_of(Thing).stream_of(Do(id="1A")) == "thing-1A"


def test_the_initial_state_is_never_changed_by_a_decision() -> None:
    behaviour = behaviour_of(SEATS)
    events: list[Event] = []
    assert behaviour.decide(behaviour.fresh(), Do(id="1A"), (), events) == Seats(taken=frozenset({"1A"}))
    assert behaviour.fresh() == Seats()


def test_an_event_is_applied_before_the_generator_goes_on() -> None:
    class Counter(Aggregate, category="counter", key="id"):
        count: int = 0

        @handle
        def do(self, command: Do) -> Iterator[Done]:
            for _ in range(3):
                yield Done(id=f"{command.id}{self.count}")

        @apply
        def done(self, _: Done) -> None:
            self.count += 1

    given(Counter).when(Do(id="n")).then(Done(id="n0"), Done(id="n1"), Done(id="n2"))


def test_recording_what_is_not_applied_is_an_error_when_it_happens() -> None:
    class Liar(Aggregate, category="liar", key="id"):
        @handle
        def do(self, command: Do) -> Iterator[Done]:
            yield Redone(id=command.id)  # type: ignore[misc]

        @apply
        def done(self, _: Done) -> None: ...

    with pytest.raises(WiringError, match="recorded Redone, which Liar does not apply"):
        given(Liar).when(Do(id="x"))


def test_a_key_that_is_no_text_is_refused() -> None:
    numbers = Decider("n", initial=Seats(), decide=_decide, evolve=_evolve, identify=lambda _: 7)  # type: ignore[arg-type,return-value]
    with pytest.raises(InvalidMessage, match="Do identifies its n by 7"):
        behaviour_of(numbers).stream_of(Do(id="x"))


def test_a_history_that_evolve_cannot_take_is_an_error_that_names_event_and_stream() -> None:
    def fails(state: Seats, event: Done) -> Seats:
        raise KeyError("seat")

    broken = Decider("seats", initial=Seats(), decide=_decide, evolve=fails, identify=lambda _: "all")
    with pytest.raises(CannotApply, match=r"seats cannot apply Done of seats-all: KeyError\('seat'\)"):
        behaviour_of(broken).fold(Seats(), [Done(id="x")], "seats-all")


# -- folds, purely ------------------------------------------------------------------------------------------------


def test_a_key_is_one_text_or_several_or_none_each_once() -> None:
    def fold_of(key: Any) -> Fold[ThingRow]:
        @projection("p", key=key)
        def p(row: ThingRow | None, event: Done) -> ThingRow | None:
            return None

        return Fold(p)

    done = Done(id="x")
    assert fold_of(lambda e: e.id).keys(done) == ("x",)
    assert fold_of(lambda e: [e.id, "all", e.id]).keys(done) == ("x", "all")
    assert fold_of(lambda e: []).keys(done) == ()
    assert fold_of(lambda e: None).keys(done) == ()
    with pytest.raises(TypeError, match="the key of 'p' for Done is 7, not a text"):
        fold_of(lambda e: [7]).keys(done)


def test_a_fold_gets_the_record_and_the_key_it_runs_for_in_the_order_it_asks() -> None:
    seen: list[tuple[str, str, int]] = []

    @projection("p", key=lambda event, record: [event.id, record.stream])
    def p(row: ThingRow | None, event: Done, key: str, record: RecordedEvent[Any]) -> ThingRow | None:
        seen.append((key, record.stream, record.version))
        return row

    given(p, Done(id="x"))
    assert seen == [("x", "given-1", 1), ("given-1", "given-1", 1)]
