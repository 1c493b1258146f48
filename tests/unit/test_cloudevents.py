"""CloudEvents as headers: what the bindings say, and what hostile headers come to."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daicho.adapters.cloudevents import AMQP, KAFKA, NATS, Binding, headers_of, message_from, stranger
from daicho.core.errors import BusRefused
from daicho.ports.event_bus import BusMessage
from daicho.testing.contracts.event_bus import loose

SENT = BusMessage(
    id="1234",
    source="orders",
    type="order.created",
    subject='Euro € 😀 100% "x"',
    time="2026-01-02T03:04:05Z",
    data=b"{}",
    number=9,
    previous=7,
    extensions={"traceparent": "00-1-2"},
)


def test_each_binding_writes_what_its_document_says() -> None:
    assert headers_of(SENT, KAFKA) == {
        "ce_specversion": "1.0",
        "ce_id": "1234",
        "ce_source": "orders",
        "ce_type": "order.created",
        "ce_subject": 'Euro € 😀 100% "x"',
        "ce_time": "2026-01-02T03:04:05Z",
        "ce_chainnumber": "9",
        "ce_chainprevious": "7",
        "ce_traceparent": "00-1-2",
        "content-type": "application/json",
    }
    assert headers_of(SENT, NATS)["ce-subject"] == "Euro%20%E2%82%AC%20%F0%9F%98%80%20100%25%20%22x%22"
    assert headers_of(SENT, NATS)["ce-datacontenttype"] == "application/json"
    assert headers_of(SENT, AMQP)["cloudEvents_id"] == "1234"
    assert not [name for name in headers_of(SENT, AMQP) if "content" in name.lower()]


@pytest.mark.parametrize("binding", [KAFKA, NATS, AMQP], ids=["kafka", "nats", "amqp"])
def test_what_was_written_is_read(binding: Binding) -> None:
    assert message_from(headers_of(SENT, binding), SENT.data, binding, content_type="application/json") == SENT
    as_bytes = {name: value.encode() for name, value in headers_of(SENT, binding).items()}
    assert message_from(as_bytes, SENT.data, binding, content_type="application/json") == SENT


ATTRIBUTE = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(ATTRIBUTE, ATTRIBUTE, ATTRIBUTE, ATTRIBUTE, st.sampled_from([KAFKA, NATS, AMQP]))
def test_any_text_comes_back(id: str, source: str, type: str, subject: str, binding: Binding) -> None:
    sent = loose(type, id=id, source=source, subject=subject, extensions={"note": subject})
    headers = headers_of(sent, binding)
    assert message_from(headers, sent.data, binding) == sent
    if binding is NATS:
        assert all(value.isascii() and value.isprintable() and " " not in value for value in headers.values())


def test_what_others_may_write_is_read_too() -> None:
    headers = headers_of(SENT, AMQP)
    by_colon = {name.replace("_", ":"): value for name, value in headers.items()}
    assert message_from(by_colon, b"{}", AMQP, content_type="application/json") == SENT
    assert message_from(headers | {"cloudEvents_chainnumber": 9}, b"{}", AMQP) == SENT
    nats = {name.title(): value for name, value in headers_of(SENT, NATS).items()}
    assert message_from(nats, b"{}", NATS) == SENT
    assert message_from(headers_of(SENT, NATS) | {"ce-subject": '"a \\"b\\""'}, b"", NATS).subject == 'a "b"'
    assert message_from(headers_of(SENT, KAFKA) | {"other": b"\xff", "Nats-Msg-Id": "x"}, b"{}", KAFKA) == SENT


HOSTILE: dict[str, dict[str, Any]] = {
    "nothing": {"ce_specversion": ""},
    "another version": {"ce_specversion": "0.3"},
    "no id": {"ce_id": ""},
    "no time": {"ce_time": ""},
    "a time that is none": {"ce_time": "2026-01-02"},
    "a number that is none": {"ce_chainnumber": "nine"},
    "a number with a sign": {"ce_chainnumber": "+9"},
    "a number in other digits": {"ce_chainnumber": "９"},
    "a number that is too large": {"ce_chainnumber": "9223372036854775808"},
    "a number of a million digits": {"ce_chainnumber": "9" * 1_000_000},
    "a circle": {"ce_chainprevious": "9"},
    "a number below its predecessor": {"ce_chainprevious": "11"},
    "a predecessor alone": {"ce_chainnumber": "0"},
    "an extension with a strange name": {"ce_a b": "x"},
    "bytes that are no text": {"ce_subject": b"\xff"},
    "half a character": {"ce_subject": "\ud800"},
    "a list": {"ce_subject": ["x"]},
    "none": {"ce_subject": None},
    "a huge integer": {"ce_subject": 10**5000},
    "a huge text": {"ce_note": "x" * 40_000},
    "a crowd": {f"ce_x{n}": "x" for n in range(200)},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_headers_are_those_of_a_stranger(case: str) -> None:
    assert message_from(headers_of(SENT, KAFKA) | HOSTILE[case], b"body", KAFKA) == stranger(b"body")


@pytest.mark.parametrize("value", ["%", "%4", "%zz", "%C0%A0", "%ff", "\ud800"])
def test_a_value_that_is_not_percent_encoded_as_it_should_is_a_strangers(value: str) -> None:
    assert message_from(headers_of(SENT, NATS) | {"ce-subject": value}, b"", NATS).type == ""


def test_an_attribute_that_comes_twice_is_a_strangers() -> None:
    assert message_from(headers_of(SENT, AMQP) | {"cloudEvents:id": "other"}, b"", AMQP).type == ""


VALUE = st.one_of(st.text(max_size=30), st.binary(max_size=30), st.integers(), st.none(), st.booleans(), st.floats())
NAME = st.one_of(st.sampled_from([*headers_of(SENT, KAFKA), *headers_of(SENT, NATS)]), st.text(max_size=20))


@settings(max_examples=200)
@given(st.dictionaries(NAME, VALUE), st.binary(max_size=20), st.sampled_from([KAFKA, NATS, AMQP]))
def test_no_headers_whatever_raise(headers: dict[str, Any], data: bytes, binding: Binding) -> None:
    assert message_from(headers_of(SENT, binding) | headers, data, binding).data == data
    assert message_from(headers, data, binding).data == data


@pytest.mark.parametrize("name", ["", "a_b", "A", "id", "data", "chainnumber", "x" * 31, "é", "specversion"])
def test_an_extension_that_others_would_not_understand_is_refused(name: str) -> None:
    with pytest.raises(BusRefused):
        headers_of(loose(extensions={name: "x"}), KAFKA)


def test_an_attribute_that_is_no_text_is_refused() -> None:
    with pytest.raises(BusRefused, match="UTF-8"):
        headers_of(loose(subject="\ud800"), KAFKA)
