"""Ids, names, places, times, conditions, fingerprints, frozen states: the small pure things."""

import subprocess
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from daicho import ABSENT, ANY, EXISTS, Criteria, InvalidMessage, Position, Row, State
from daicho.core.conditions import holds
from daicho.core.fingerprint import fingerprint
from daicho.core.freezing import Freezer
from daicho.core.ids import derived_id, event_id, event_ids, is_uuid, keyed_command_id
from daicho.core.streams import apart, category_of, check_category, id_of, stream_name
from daicho.core.times import from_text, to_text

# -- ids ----------------------------------------------------------------------------------------------------------


def test_a_derived_id_is_the_version_5_uuid_of_rfc_9562() -> None:
    # appendix A.4: the DNS namespace and the name "www.example.com"
    namespace = "6ba7b810-9dad-11d1-80b4-00c04fd430c8"
    assert derived_id(namespace, "www.example.com") == "2ed6657d-e927-568b-95e1-2665a8aea6a2"


@pytest.mark.parametrize("name", ["reserve_stock:0", "reserve_stock:17", "注文:0", "", "x" * 500])
def test_a_derived_id_is_what_the_standard_library_calls_uuid5(name: str) -> None:
    base = "0190163d-8694-739b-aea5-966c26f8ad91"
    assert derived_id(base, name) == str(uuid.uuid5(uuid.UUID(base), name))


def test_an_event_id_is_a_version_8_uuid_that_begins_like_its_flow() -> None:
    flow, command = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", "919108f7-52d1-4320-9bac-f847db4148a8"
    ids = [event_id(flow, command, n) for n in range(100)]
    assert len(set(ids)) == 100
    for text in ids:
        parsed = uuid.UUID(text)
        assert (parsed.version, parsed.variant, str(parsed)) == (8, uuid.RFC_4122, text)
        assert text.startswith("017f22e2-79b0-8")
    assert ids == [event_id(flow, command, n) for n in range(100)] == event_ids(flow, command, 100)
    assert event_id(flow, flow, 0) != event_id(flow, command, 0)


def test_a_key_stands_for_one_command_id_within_its_tenant_and_kind_of_command() -> None:
    one = keyed_command_id("CreateOrder", "acme", "k-1")
    assert uuid.UUID(one).version == 5
    assert one == keyed_command_id("CreateOrder", "acme", "k-1")
    others = [("CancelOrder", "acme", "k-1"), ("CreateOrder", "zeta", "k-1"), ("CreateOrder", None, "k-1")]
    assert len({one, *(keyed_command_id(*o) for o in others), keyed_command_id("CreateOrder", "acme", "k-2")}) == 5


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_1_to_255_characters(key: str) -> None:
    with pytest.raises(InvalidMessage, match="1 to 255"):
        keyed_command_id("CreateOrder", None, key)
    assert keyed_command_id("CreateOrder", None, "k" * 255)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("919108f7-52d1-4320-9bac-f847db4148a8", True),
        ("919108F7-52D1-4320-9BAC-F847DB4148A8", False),
        ("919108f752d143209bacf847db4148a8", False),
        ("919108f7-52d1-4320-9bac-f847db4148a", False),
        ("919108f7-52d1-4320-9bac-f847db4148ag", False),
        ("919108f75-2d1-4320-9bac-f847db4148a8", False),
        ("", False),
    ],
)
def test_only_canonical_text_is_a_uuid(text: str, answer: bool) -> None:
    assert is_uuid(text) is answer


# -- streams and positions ----------------------------------------------------------------------------------------


def test_a_stream_is_named_by_its_category_and_its_id_which_may_hold_dashes() -> None:
    assert stream_name("order", "o-1") == "order-o-1"
    assert (category_of("order-o-1"), id_of("order-o-1")) == ("order", "o-1")
    assert stream_name("billing.invoice", "請求-1") == "billing.invoice-請求-1"


@pytest.mark.parametrize("identity", ["", "a\nb", "a\x00", "x" * 250])
def test_an_id_that_cannot_be_read_back_is_refused(identity: str) -> None:
    with pytest.raises(InvalidMessage, match="cannot identify a order"):
        stream_name("order", identity)


def test_the_longest_stream_name_has_255_characters() -> None:
    assert len(stream_name("order", "x" * 249)) == 255


@pytest.mark.parametrize("name", ["order-line", "1st", "", "a..b", "a.", "_a", "a b", "é", "x" * 101])
def test_a_category_with_other_characters_is_refused(name: str) -> None:
    with pytest.raises(InvalidMessage, match="cannot name a category"):
        check_category(name)


def test_a_position_is_one_ordered_number_of_epoch_and_place() -> None:
    assert (Position(7).epoch, Position(7).number) == (0, 7)
    assert Position.of(0, 7) == 7
    later = Position.of(1, 3)
    assert (later.epoch, later.number) == (1, 3)
    assert Position.of(0, 2**48 - 1) < later < Position.of(1, 4) < Position.of(2, 0)


@pytest.mark.parametrize(
    ("position", "head", "between"),
    [
        (0, 0, 0),
        (3, 10, 7),
        (10, 3, 0),
        (Position.of(1, 12), Position.of(1, 15), 3),
        (10, Position.of(1, 12), 2),
        (Position.of(1, 12), 20, 0),
        (15, Position.of(1, 12), 1),  # the one saw events that were lost; something lies behind it all the same
    ],
)
def test_what_lies_between_two_positions_does_not_grow_with_a_new_epoch(position: int, head: int, between: int) -> None:
    assert apart(position, head) == between


# -- times --------------------------------------------------------------------------------------------------------


def test_stored_times_are_utc_with_microseconds_so_that_text_order_is_time_order() -> None:
    assert to_text(datetime(2011, 12, 9, 12, 50, tzinfo=UTC)) == "2011-12-09T12:50:00.000000+00:00"
    assert to_text(datetime.max.replace(tzinfo=UTC)) == "9999-12-31T23:59:59.999999+00:00"
    own_kind = type("Moment", (datetime,), {})
    assert to_text(own_kind(999, 1, 1, 0, 0, 0, 20, tzinfo=UTC)) == "0999-01-01T00:00:00.000020+00:00"
    tokyo = timezone(timedelta(hours=9))
    assert to_text(datetime(2011, 12, 9, 8, 0, 0, 5, tzinfo=tokyo)) == "2011-12-08T23:00:00.000005+00:00"
    assert from_text("2011-12-08T23:00:00.000005+00:00") == datetime(2011, 12, 9, 8, 0, 0, 5, tzinfo=tokyo)


def test_a_time_without_a_zone_is_refused_because_it_could_mean_any_moment() -> None:
    with pytest.raises(InvalidMessage, match="has no time zone") as caught:
        to_text(datetime(2011, 12, 9))
    assert caught.value.data == {"path": "occurred_at"}


# -- conditions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected", "version", "answer"),
    [
        (ANY, 0, True),
        (ANY, 9, True),
        (ABSENT, 0, True),
        (ABSENT, 1, False),
        (EXISTS, 0, False),
        (EXISTS, 1, True),
        (0, 0, True),
        (0, 1, False),
        (3, 3, True),
        (3, 2, False),
        (3, 4, False),
    ],
)
def test_an_expected_version_holds_or_not(expected: Any, version: int, answer: bool) -> None:
    assert holds(expected, version) is answer


def test_criteria_are_alternatives_of_any_type_and_all_tags() -> None:
    criteria = Criteria(types=["Enrolled", "Left"], tags=["course:c1"]) | Criteria(tags=["student:s1", "vip"])
    cases = {
        ("Enrolled", "course:c1"): True,
        ("Left", "course:c1 student:s9"): True,
        ("Moved", "course:c1"): False,
        ("Enrolled", "course:c2"): False,
        ("Moved", "student:s1 vip"): True,
        ("Moved", "student:s1"): False,
        ("Enrolled", ""): False,
    }
    assert {case: criteria.matches(case[0], set(case[1].split())) for case in cases} == cases
    assert Criteria().matches("Anything", set())
    assert Criteria(tags=["b", "a", "b"]) == Criteria(tags=["a", "b"])


# -- fingerprints -------------------------------------------------------------------------------------------------


def _function(source: str) -> Callable[..., Any]:
    namespace: dict[str, Any] = {}
    exec(compile(source, "<test>", "exec"), namespace)
    found: Callable[..., Any] = namespace["f"]
    return found


ORIGINAL = "def f(row, event):\n    return (row or 0) + event.amount * 2\n"


@pytest.mark.parametrize(
    "source",
    [
        "\n\n\n" + ORIGINAL,
        "# moved, commented\ndef f(row, event):\n\n    # twice\n    return ((row or 0)\n        + event.amount * 2)\n",
        "def f(row: int, event: str) -> int:\n    return (row or 0) + event.amount * 2\n",
    ],
)
def test_a_fingerprint_stays_when_code_is_moved_or_reformatted(source: str) -> None:
    assert fingerprint(_function(source)) == fingerprint(_function(ORIGINAL))


@pytest.mark.parametrize(
    "source",
    [
        ORIGINAL.replace("2", "3"),
        ORIGINAL.replace("amount", "price"),
        ORIGINAL.replace(" + ", " - "),
        ORIGINAL.replace("row or 0", "event"),
        "def f(row, event):\n    g = lambda x: x * 2\n    return (row or 0) + g(event.amount)\n",
    ],
)
def test_a_fingerprint_changes_when_the_code_does_something_else(source: str) -> None:
    assert fingerprint(_function(source)) != fingerprint(_function(ORIGINAL))


def test_a_change_inside_an_inner_function_is_seen() -> None:
    outer = "def f(x):\n    def g(y):\n        return y + {}\n    return g(x)\n"
    assert fingerprint(_function(outer.format(1))) != fingerprint(_function(outer.format(2)))


def test_a_fingerprint_sees_the_shape_of_rows_and_the_values_of_states() -> None:
    class One(Row):
        a: int

    class Two(Row):
        a: int
        b: int = 0

    class Three(Row):
        a: str

    assert len({fingerprint(One), fingerprint(Two), fingerprint(Three)}) == 3
    assert fingerprint(One(a=1)) != fingerprint(One(a=2))
    assert fingerprint(One(a=1)) == fingerprint(One(a=1))
    assert fingerprint("x", "y") != fingerprint("xy")
    assert len(fingerprint(One)) == 16
    assert int(fingerprint(One), 16)


def test_a_set_in_the_code_does_not_make_the_fingerprint_differ_between_processes() -> None:
    script = (
        "from daicho.core.fingerprint import fingerprint\n"
        "def f(row, event):\n    return event.kind in {'alpha', 'beta', 'gamma', 'delta'}\n"
        "print(fingerprint(f))"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


# -- freezing -----------------------------------------------------------------------------------------------------


class Money(State):
    amount: Decimal
    since: date


class Kept:
    """An aggregate-like object: partly annotated, partly not."""

    lines: dict[str, Decimal]
    seen: frozenset[int]
    money: Money | None = None

    def __init__(self) -> None:
        self.lines = {}
        self.seen = frozenset()


def test_a_state_comes_back_equal_from_its_frozen_form() -> None:
    value = Money(amount=Decimal("83.30"), since=date(2011, 12, 9))
    freezer = Freezer(value)
    frozen = freezer.freeze(value)
    assert frozen is not None
    assert freezer.thaw(frozen) == value

    state: Any = Kept()
    state.lines = {"pen": Decimal("24.50")}
    state.seen = frozenset({3, 5})
    state.money = value
    state.free = {"list": [1, ("a", None)], (1, 2): {datetime(2026, 1, 1, tzinfo=UTC), b"raw", uuid.UUID(int=7)}}
    freezer = Freezer(Kept())
    frozen = freezer.freeze(state)
    assert frozen is not None, freezer.why_not
    assert vars(freezer.thaw(frozen)) == vars(state)
    assert [type(v) for v in vars(freezer.thaw(frozen)).values()] == [type(v) for v in vars(state).values()]


@pytest.mark.parametrize(
    "value",
    [object(), 2**70, float("nan"), lambda: None, {"deep": [object()]}, (n for n in ())],
    ids=["object", "huge", "nan", "function", "deep", "generator"],
)
def test_a_state_that_would_not_come_back_equal_is_not_frozen_and_says_why(value: Any) -> None:
    state: Any = Kept()
    state.odd = value
    freezer = Freezer(Kept())
    assert freezer.freeze(state) is None
    assert "Kept" in (freezer.why_not or "")


def test_criteria_are_values_and_every_event_or_some_is_every_event() -> None:
    some, others = Criteria(types=["a"], tags=["x:1", "w:2", "x:1"]), Criteria(tags=["y:1"])
    assert some == Criteria(types=["a"], tags=["w:2", "x:1"])
    assert hash(some) == hash(Criteria(types=("a",), tags=("x:1", "w:2")))
    assert some != others
    either = some | others
    assert either.matches("a", {"x:1", "w:2"})
    assert either.matches("b", {"y:1"})
    assert not either.matches("b", {"x:1", "w:2"})
    assert (Criteria() | some).matches("anything", set())
    assert (some | Criteria()).matches("anything", set())


def test_one_text_where_criteria_want_several_is_refused_not_taken_letter_by_letter() -> None:
    with pytest.raises(InvalidMessage, match=r"types='order\.created' is one text"):
        Criteria(types="order.created")
    with pytest.raises(InvalidMessage, match="tags='seat:1' is one text"):
        Criteria(tags="seat:1")
