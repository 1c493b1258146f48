"""Pictures that are drawn as text, without a browser."""

from xml.etree import ElementTree

from daicho.console.parts.boxes import Box, Line, boxes_svg
from daicho.console.screens.parked import cause_of
from daicho.console.screens.processes import state_diagram
from daicho.console.screens.projections import Rates, address_of
from daicho.flow.process_admin import ProcessCount
from daicho.read.progress import Lag
from tests.console.plant import make

NAMES = {status: status.upper() for status in ("waiting", "running", "compensating", "compensated", "done")}


def test_a_process_is_drawn_with_how_many_are_in_each_state() -> None:
    [definition] = make("memory:").model.processes
    drawn = state_diagram(definition, ProcessCount(process="booking", running=1200, done=3), NAMES).splitlines()
    assert '  running(["RUNNING: 1,200"])' in drawn
    assert '  done(["DONE: 3"])' in drawn
    assert '  begin -->|"trip.booked"| running' in drawn
    assert '  running -.->|"payment"| running' in drawn


def test_boxes_stand_in_columns_and_names_stay_text() -> None:
    evil = "<script>alert(1)</script>"
    svg = boxes_svg(
        [Box(name="a", title=evil, lines=["x & y"]), Box(name="b", title="b", column=1, target="/b?x=1&y=2")],
        [Line(start="a", end="b", label='"2" < 3'), Line(start="a", end="nowhere")],
    )
    root = ElementTree.fromstring(svg)
    texts = [element.text for element in root.iter("text")]
    assert "x & y" in texts
    assert '"2" < 3' in texts
    assert [element.tag for element in root.iter()].count("script") == 0
    assert [element.get("href") for element in root.iter("a")] == ["/b?x=1&y=2"]
    assert len([1 for element in root.iter("path")]) == 1  # a line to what is not there is not drawn
    left, right = (float(r.get("x", "0")) for r in root.iter("rect") if r.get("width") == "208")
    assert left < right


def test_errors_that_differ_in_numbers_and_names_alone_have_one_cause() -> None:
    assert cause_of("KeyError: 'o-1'") == cause_of("KeyError: 'o-2'") != cause_of("ValueError: 'o-2'")
    assert cause_of("RuntimeError: row 12 of 40 is odd\nmore") == cause_of("RuntimeError: row 7 of 1,000 is odd")
    assert cause_of(None) == ""


def test_the_rate_of_a_reader_is_what_it_did_since_the_last_look() -> None:
    def lag(position: int, behind: int) -> Lag:
        return Lag(
            processor="projection:x@1",
            position=position,
            events_behind=behind,
            seconds_behind=0,
            parked=0,
            state="live",
        )

    rates = Rates()
    assert rates.of(lag(100, 900), 10.0) == (None, "")
    assert rates.of(lag(300, 700), 12.0) == (100.0, "↗")
    assert rates.of(lag(300, 800), 14.0) == (0.0, "!")
    assert rates.of(lag(1100, 0), 18.0) == (200.0, "=")


def test_a_view_keeps_its_address_in_every_generation() -> None:
    assert address_of("projection:orders@1") == address_of("projection:orders@12") == "projection:orders"
    assert address_of("reaction:thank") == "reaction:thank"
