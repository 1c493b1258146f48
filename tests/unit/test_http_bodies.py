"""What is taken for JSON, and how deep is too deep."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daicho import NotJson
from daicho.http.bodies import check_json
from daicho.http.problems import pointer

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


def depth(value: Any) -> int:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth, inner), default=0)


@given(values)
def test_json_is_taken_exactly_as_far_as_it_may_be_nested(value: Any) -> None:
    body, deep = json.dumps(value).encode(), depth(value)
    check_json(body, max(deep, 1))
    if deep > 1:
        with pytest.raises(NotJson, match=f"more than {deep - 1} deep"):
            check_json(body, deep - 1)


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{", b"nul", b"{'a':1}", b"[1,]", b'{"a":1,}', b"01", b"+1", b".5", b'"\t"']
)
def test_what_only_resembles_json_is_refused(body: bytes) -> None:
    with pytest.raises(NotJson):
        check_json(body, 10)


@pytest.mark.parametrize(
    ("path", "expected"),
    [("$", ""), ("$.a", "/a"), ("$.lines[0].sku", "/lines/0/sku"), ("$[...].a", "/.../a"), ("$.a/b~c", "/a~1b~0c")],
)
def test_paths_become_json_pointers(path: str, expected: str) -> None:
    assert pointer(path) == expected
