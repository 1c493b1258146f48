"""Which tables a statement of PostgreSQL reads and writes. No parser of SQL: it knows the words before a table."""

import re
from collections.abc import Iterator

from daicho.advisor.paths import Kind

__all__ = ["touched"]

_SKIPPED = re.compile(
    r"""
    --[^\n]* | /\*.*?(?:\*/|\Z)              # comments
    | \$(?P<tag>[A-Za-z_]*)\$.*?\$(?P=tag)\$ # dollar quotes
    | [eE]?'(?:[^'\\]|''|\\.)*'              # texts
    """,
    re.VERBOSE | re.DOTALL,
)
_WORD = re.compile(r'"(?:[^"]|"")*"|[A-Za-z_\x80-\uffff][\w$\x80-\uffff]*|[(),.]')
_STATEMENTS = frozenset(
    {"select", "insert", "update", "delete", "merge", "truncate", "copy", "with", "table", "values"}
)
_WRITING = frozenset({("into", "insert"), ("into", "merge"), ("from", "delete")})
_FROM_OF_NO_TABLE = frozenset({"extract", "substring", "trim", "overlay"})
_NO_TABLE = frozenset({"select", "lateral", "values", "rows", "stdin", "stdout"})
_SYSTEM = frozenset({"pg_catalog", "information_schema", "pg_toast"})
_ENDS_A_LIST = frozenset({"where", "group", "order", "limit", "having", "set", "returning", "on", "union", "window"})


def touched(query: str) -> list[tuple[str, Kind]]:
    """Tables, without their schema, each once. One that is written is not read as well: an UPDATE that looks for its
    rows is no look. Statements that touch no table (BEGIN, SELECT 1, a function, DDL) give none."""
    words = [_plain(word) for word in _WORD.findall(_SKIPPED.sub(" ", query))]
    while words[:1] == ["("]:
        words = words[1:]
    if not words or words[0] not in _STATEMENTS:
        return []
    defined = set(_defined(words))
    found: dict[Kind, dict[str, None]] = {"write": {}, "read": {}}
    for kind, at in _places(words):
        if (name := _table(words, at, kind)) and name not in defined:
            found[kind][name] = None
    reads: list[tuple[str, Kind]] = [(name, "read") for name in found["read"] if name not in found["write"]]
    return [*((name, "write") for name in found["write"]), *reads]


def _plain(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word.lower()


def _defined(words: list[str]) -> Iterator[str]:
    """Names that WITH gives: `x AS (`, `x (a, b) AS (`."""
    if "with" not in words:
        return
    for n, word in enumerate(words):
        if word != "as" or n == 0 or words[n + 1 : n + 2] not in (["("], ["materialized"], ["not"]):
            continue
        at = n - 1
        if words[at] == ")":
            while at > 0 and words[at] != "(":
                at -= 1
            at -= 1
        yield words[max(at, 0)]


def _places(words: list[str]) -> Iterator[tuple[Kind, int]]:
    """Where the name of a table is to come, and what is done to it."""
    around = [""]  # by depth of parentheses: the word before the one that opened it
    listing = [False]  # by depth: whether a comma is one between tables
    for n, word in enumerate(words):
        before = words[n - 1] if n else ""
        if word == "(":
            around.append(before)
            listing.append(False)
        elif word == ")" and len(around) > 1:
            around.pop()
            listing.pop()
        elif (word, before) in _WRITING or (word == "update" and before in ("", "(", ")")):
            yield "write", n + 1
        elif word == "truncate" and n == 0:
            yield "write", n + 2 if words[1:2] == ["table"] else n + 1
        elif word == "copy" and n == 0:
            yield "write" if "from" in words[2:] else "read", n + 1
        elif (
            word == "from"
            and (words[0] != "copy" or len(around) > 1)
            and before != "distinct"
            and around[-1] not in _FROM_OF_NO_TABLE
        ):
            listing[-1] = True
            yield "read", n + 1
        elif word in ("join", "using"):
            yield "read", n + 1
        elif word in _ENDS_A_LIST:
            listing[-1] = word == "on" and listing[-1]  # FROM a JOIN b ON ..., c
        elif word == "," and listing[-1]:
            yield "read", n + 1


def _table(words: list[str], at: int, kind: Kind) -> str | None:
    """The name at this place. None if it is a function, a subquery or a table of the system."""
    while words[at : at + 1] == ["only"]:
        at += 1
    if at >= len(words) or words[at] in _NO_TABLE or not (words[at][:1].isalpha() or words[at][:1] == "_"):
        return None
    name, schema = words[at], ""
    while words[at + 1 : at + 2] == ["."] and at + 2 < len(words):
        schema, name, at = name, words[at + 2], at + 2
    is_function = kind == "read" and words[at + 1 : at + 2] == ["("]
    return None if is_function or schema in _SYSTEM or name.startswith("pg_") else name
