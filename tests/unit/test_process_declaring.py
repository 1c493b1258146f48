"""Process managers as they are declared and tried: what fits, what does not, and what each step leads to."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from daicho import (
    App,
    Command,
    Compensate,
    Deadline,
    Done,
    Event,
    InvalidMessage,
    MissingHandler,
    PastPivot,
    Pivot,
    Process,
    Schedule,
    TwoHandlers,
    UnknownDeadline,
    WiringError,
    compensate,
    deadline,
    migrate,
    on,
    refused,
    start,
)
from daicho.core.process_definition import Definition
from daicho.testing import given
from examples.fulfilment import (
    CancelPurchase,
    ConfirmPurchase,
    DeductItems,
    Fulfilment,
    ItemsReserved,
    Payment,
    PaymentReceived,
    Purchase,
    PurchaseConfirmed,
    PurchasePlaced,
    ReleaseItems,
    RequestPayment,
    ReserveItems,
    Shelf,
)

PLACED = PurchasePlaced(order_id="o-1", sku="pen", quantity=2, cents=500)
RESERVED = ItemsReserved(order_id="o-1", sku="pen", quantity=2)
PAID = PaymentReceived(order_id="o-1", cents=500)
RESERVE = ReserveItems(order_id="o-1", sku="pen", quantity=2)
RELEASE = ReleaseItems(order_id="o-1", sku="pen")
IN_TIME = Deadline.set("payment", after=timedelta(seconds=30))


# -- what a step leads to ---------------------------------------------------------------------------------------------


def test_the_first_event_starts_it() -> None:
    given(Fulfilment).when(PLACED).then(RESERVE)


def test_each_event_leads_on() -> None:
    given(Fulfilment, PLACED).when(RESERVED).then(RequestPayment(order_id="o-1", cents=500), IN_TIME)
    given(Fulfilment, PLACED, RESERVED).when(PAID).then(
        Deadline.cancel("payment"), Pivot(), DeductItems(order_id="o-1", sku="pen"), ConfirmPurchase(order_id="o-1")
    )
    given(Fulfilment, PLACED, RESERVED, PAID).when(PurchaseConfirmed(order_id="o-1")).then(Done())


def test_a_deadline_that_passes_undoes_what_was_done() -> None:
    outcome = given(Fulfilment, PLACED, RESERVED).when_deadline("payment")
    outcome.then(CancelPurchase(order_id="o-1", reason="not paid in time"), Compensate("not paid in time"), RELEASE)
    outcome.then_status("compensated")


def test_a_deadline_that_was_cancelled_does_not_pass() -> None:
    with pytest.raises(AssertionError, match="no deadline 'payment' is set; there are: none"):
        given(Fulfilment, PLACED, RESERVED, PAID).when_deadline("payment")


def test_a_refusal_goes_to_the_method_for_it() -> None:
    outcome = given(Fulfilment, PLACED).when_refused(RESERVE, "only 1 left")
    outcome.then(CancelPurchase(order_id="o-1", reason="only 1 left"), Compensate("only 1 left"))
    outcome.then_status("compensated")


def test_what_comes_before_the_start_waits_for_it_and_then_counts() -> None:
    given(Fulfilment).when(PAID).then_nothing()
    outcome = given(Fulfilment, PAID).when(PLACED)
    outcome.then(RESERVE)
    outcome.then_fields(paid=True, sku="pen")


def test_what_comes_after_the_end_is_noted_and_nothing_else() -> None:
    given(Fulfilment, PLACED, RESERVED, PAID, PurchaseConfirmed(order_id="o-1")).when(RESERVED).then_nothing()


def test_a_second_start_changes_nothing() -> None:
    given(Fulfilment, PLACED).when(PLACED).then_nothing()


# -- a process of many steps ------------------------------------------------------------------------------------------


class Step(Command):
    key: str
    n: int = 0


class Undo(Command):
    key: str
    n: int


class Other(Command):
    key: str


class Begun(Event, name="test.begun"):
    key: str


class Went(Event, name="test.went"):
    key: str
    what: str = ""


class Journey(Process, category="journey", key="key"):
    went: tuple[str, ...] = ()

    @start
    def begin(self, event: Begun) -> Iterator[Step]:
        for n in range(3):
            yield Step(key=event.key, n=n)

    @on
    def go(self, event: Went) -> Iterator[Step | Other | Pivot | Compensate | Deadline | Schedule | Done]:
        self.went = (*self.went, event.what)
        match event.what:
            case "pivot":
                yield Pivot()
            case "back":
                yield Compensate("told to")
            case "unknown":
                yield Deadline.set("nobody", after=timedelta(1))
            case "later":
                yield Schedule(Other(key=event.key), after=timedelta(days=3))
            case "done":
                yield Done()
            case _:
                pass

    @deadline("never")
    def never(self) -> None: ...

    @compensate
    def undo(self, command: Step) -> Undo | None:
        return None if command.n == 1 else Undo(key=command.key, n=command.n)


def test_steps_are_undone_from_the_last_to_the_first_and_without_what_needs_no_undoing() -> None:
    outcome = given(Journey, Begun(key="k")).when(Went(key="k", what="back"))
    outcome.then(Compensate("told to"), Undo(key="k", n=2), Undo(key="k", n=0))
    outcome.then_status("compensated")


def test_a_refusal_without_a_method_undoes_what_was_done_and_not_what_was_refused() -> None:
    given(Journey, Begun(key="k")).when_refused(Step(key="k", n=2), "no").then(Undo(key="k", n=0))


def test_after_the_pivot_there_is_no_way_back() -> None:
    journey = given(Journey, Begun(key="k"), Went(key="k", what="pivot"))
    with pytest.raises(PastPivot, match="journey-k would compensate after its pivot: told to"):
        journey.when(Went(key="k", what="back"))


def test_a_refusal_after_the_pivot_is_tried_again_instead() -> None:
    outcome = given(Journey, Begun(key="k"), Went(key="k", what="pivot")).when_refused(Step(key="k", n=1), "no")
    outcome.then_nothing()
    assert [timer.kind for timer in outcome.instance.timers.values()] == ["retry"]
    outcome.then_status("running")


def test_a_deadline_that_no_method_is_for_is_refused() -> None:
    with pytest.raises(UnknownDeadline, match="no method for the deadline 'nobody'"):
        given(Journey, Begun(key="k")).when(Went(key="k", what="unknown"))


def test_a_command_is_sent_later_unless_it_goes_back_before() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    outcome = given(Journey, Begun(key="k"), now=now).when(Went(key="k", what="later"))
    [timer] = outcome.instance.timers.values()
    assert (timer.kind, timer.name, timer.due[:10]) == ("send", "Other", "2026-01-04")
    past = (Begun(key="k"), Went(key="k", what="later"))
    assert given(Journey, *past).when(Went(key="k", what="back")).instance.timers == {}


def test_events_of_another_instance_are_not_taken() -> None:
    with pytest.raises(AssertionError, match="another instance"):
        given(Journey, Begun(key="k")).when(Went(key="other"))


# -- what does not fit ------------------------------------------------------------------------------------------------


def test_a_time_is_said_one_way() -> None:
    for wrong in ({}, {"after": timedelta(1), "at": datetime(2026, 1, 1, tzinfo=UTC)}, {"at": datetime(2026, 1, 1)}):
        with pytest.raises(InvalidMessage, match="does not say when"):
            Deadline.set("x", **wrong)


def test_a_process_needs_a_category_a_start_and_a_key() -> None:
    class Nameless(Process):
        @start
        def begin(self, event: Begun) -> None: ...

    class Endless(Process, category="endless", key="key"):
        @on
        def go(self, event: Went) -> None: ...

    class Keyless(Process, category="keyless"):
        @start
        def begin(self, event: Begun) -> None: ...

    class Wrong(Process, category="wrong", key="order_id"):
        @start
        def begin(self, event: Begun) -> None: ...

    for part, says in (
        (Nameless, "no category"),
        (Endless, "never starts"),
        (Keyless, "does not tell which instance"),
        (Wrong, "no field 'order_id'"),
    ):
        with pytest.raises(WiringError, match=says):
            Definition(part)


def test_a_method_says_what_it_yields() -> None:
    class Silent(Process, category="silent", key="key"):
        @start
        def begin(self, event: Begun) -> Iterator[Step]:
            return iter(())

    class Stranger(Process, category="stranger", key="key"):
        @start
        def begin(self, event: Begun) -> Iterator[Went]:
            yield Went(key=event.key)

    class Loose(Process, category="loose", key="key"):
        @start
        def begin(self, event: Begun) -> Iterator[Step]:
            yield Other(key=event.key)  # type: ignore[misc]

    with pytest.raises(WiringError, match="has no `yield`"):
        Definition(Silent)
    with pytest.raises(WiringError, match="Went, which is not a Command"):
        Definition(Stranger)
    with pytest.raises(TypeError, match="which its annotation does not name"):
        given(Loose).when(Begun(key="k"))


def test_only_commands_that_are_sent_can_be_refused_or_undone() -> None:
    class Refusing(Process, category="refusing", key="key"):
        @start
        def begin(self, event: Begun) -> None: ...

        @refused
        def no(self, command: Step, reason: str) -> None: ...

    with pytest.raises(WiringError, match="@refused for Step, which it never sends"):
        Definition(Refusing)


def test_fields_have_to_be_such_that_they_can_be_kept() -> None:
    class Odd(Process, category="odd", key="key"):
        thing: Any = object()

        @start
        def begin(self, event: Begun) -> None: ...

    class Shared(Process, category="shared", key="key"):
        things: list[str] = []

        @start
        def begin(self, event: Begun) -> None: ...

    with pytest.raises(WiringError, match="cannot be kept"):
        Definition(Odd)
    with pytest.raises(WiringError, match="mutable default"):
        Definition(Shared)


def test_a_migration_may_not_be_missing_in_the_middle() -> None:
    class Old(Process, category="old", key="key", version=4):
        @start
        def begin(self, event: Begun) -> None: ...

        @migrate(2)
        def up(self, fields: dict[str, Any]) -> dict[str, Any]:
            return fields

    with pytest.raises(WiringError, match=r"no @migrate\(3\)"):
        Definition(Old)


def test_an_app_knows_who_handles_what_a_process_sends() -> None:
    with pytest.raises(MissingHandler, match="sends ReserveItems, which nothing handles"):
        App(Purchase, Payment, Fulfilment, store="memory:")
    with pytest.raises(TwoHandlers, match="two processes have the category 'fulfilment'"):
        App(Purchase, Payment, Shelf, Fulfilment, Fulfilment, store="memory:")

    class Twin(Process, category="purchase", key="order_id"):
        @start
        def begin(self, event: PurchasePlaced) -> None: ...

    with pytest.raises(TwoHandlers, match="'purchase' is used by Purchase and Twin"):
        App(Purchase, Twin, store="memory:")
