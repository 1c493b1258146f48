"""Imports point one way: core <- ports <- {write, flow, read} <- the composition root <- delivery; adapters beside."""

import ast
import gc
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "daicho"

ENGINE = {"core", "ports", "write", "read", "flow", "adapters"}
ROOT = {"wiring": ENGINE, "sync": {*ENGINE, "wiring"}, "app": {*ENGINE, "wiring", "sync"}}
"""The composition root: knows every room of the engine, and adapters."""
BELOW = {
    "core": {"core"},
    "ports": {"core", "ports"},
    "write": {"core", "ports", "write"},
    "read": {"core", "ports", "read"},
    "flow": {"core", "ports", "flow", "read"},
    "adapters": {"core", "ports", "adapters"},
    **{name: {name, *others} for name, others in ROOT.items()},
}
DELIVERY: dict[str, set[str]] = {
    **{
        name: set()
        for name in ("client", "http", "insight", "leaving", "load", "schemas", "settings", "testing", "topologies")
    },
    "server": {"http"},
    "advisor": {"load"},
    "leaving": {"insight"},
    "console": {"advisor", "http", "insight", "schemas", "settings"},
    "cli": {"advisor", "http", "insight", "leaving", "load", "schemas", "settings", "topologies"},
}
"""What each way in may use of the others. They may all use what is below."""
MAY_USE = BELOW | {name: {"__init__", name, *ENGINE, *ROOT, *others} for name, others in DELIVERY.items()}
Import: TypeAlias = tuple[int, str, bool]
IMPURE = {"asyncio", "time", "random", "os", "logging", "socket", "threading"}


def parsed(text: str) -> ast.Module:
    """Without collecting garbage in the middle: CPython 3.11 fails if that runs code of others meanwhile."""
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def imports(text: str) -> Iterator[Import]:
    """Line, what is imported, and whether inside a function. Imports for type checkers alone do not count."""
    for node, inside in statements(parsed(text).body):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"relative import in line {node.lineno}"
            yield node.lineno, node.module or "", inside


def statements(body: Iterable[ast.AST], inside: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    """Each, at any depth, and whether inside a function. No expression is looked at: none can import."""
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node, inside
        within = inside or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        for branch in ("body", "handlers", "orelse", "finalbody", "cases"):
            yield from statements(getattr(node, branch, ()), within)


def room(path: Path) -> str:
    return path.parts[0].removesuffix(".py")


def family(name: str) -> str:
    """`adapters/stores/sqlite/...` -> `stores.sqlite`: what an adapter may use of the adapters."""
    parts = name.split(".")
    return ".".join(parts[2:4])


def all_imports(source: Path) -> dict[Path, list[Import]]:
    return {path.relative_to(source): list(imports(path.read_text())) for path in sorted(source.rglob("*.py"))}


def dotted(path: Path) -> str:
    return ".".join(("daicho", *path.with_suffix("").parts)).removesuffix(".__init__")


def complaints(found: dict[Path, list[Import]]) -> list[str]:
    """One for each import that points the wrong way, as `file:line imports what, and why not`."""
    each = [
        f"{path}:{line} imports {name}{why}"
        for path, lines in found.items()
        for line, name, inside in lines
        for why in objections(path, name, inside)
    ]
    uses = {dotted(path): {name for _, name, _ in lines} for path, lines in found.items()}
    return each + [f"cycle: {' -> '.join(cycle)}" for cycle in cycles(uses)]


def objections(path: Path, name: str, inside: bool) -> Iterator[str]:
    top, *rest = name.split(".")
    here = room(path)
    if inside:
        yield " inside a function"
    if top == "daicho":
        target = rest[0] if rest else "__init__"
        if here in MAY_USE and target not in MAY_USE[here]:
            yield f", which is not below {here}"
        own = family(dotted(path))
        if here == "adapters" == target and "." in own and "." in family(name) and family(name) != own:
            yield ", another adapter"
    elif top not in sys.stdlib_module_names:
        traced = top == "opentelemetry" and str(path) == "write/middleware/tracing.py"
        if here in BELOW and here != "adapters" and top != "msgspec" and not traced:
            yield ", a third party"
    elif here == "core" and top in IMPURE:
        yield ", which is not pure"


def cycles(uses: dict[str, set[str]]) -> list[list[str]]:
    """Circles of modules. A package's `__init__` re-exports its modules and is not part of any."""
    found: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, path: list[str]) -> None:
        if name in path:
            found.append([*path[path.index(name) :], name])
        elif name not in done:
            for other in sorted(uses.get(name, ())):
                if other in uses and other != "daicho":
                    visit(other, [*path, name])
            done.add(name)

    for name in sorted(uses):
        visit(name, [])
    return found


Imported: TypeAlias = dict[Path, list[Import]]


@pytest.fixture(scope="module")
def imported() -> Imported:
    return all_imports(SOURCE)


def test_imports_point_one_way(imported: Imported) -> None:
    assert complaints(imported) == []


@pytest.mark.parametrize(
    ("file", "line", "complaint"),
    [
        ("core/ids.py", "import asyncio", "core/ids.py:1 imports asyncio, which is not pure"),
        ("core/ids.py", "import daicho.ports.clock", "which is not below core"),
        ("ports/clock.py", "from daicho.read.feed import Feed", "which is not below ports"),
        ("write/gateway.py", "from daicho.read.feed import Feed", "which is not below write"),
        ("read/feed.py", "from daicho.write.gateway import Gateway", "which is not below read"),
        ("flow/posted.py", "from daicho.write.gateway import Gateway", "which is not below flow"),
        ("flow/posted.py", "from daicho.app import App", "which is not below flow"),
        ("write/gateway.py", "import daicho.cli", "which is not below write"),
        ("wiring/setup.py", "from daicho.app import App", "which is not below wiring"),
        ("console/screen.py", "from daicho.cli.output import Rows", "which is not below console"),
        ("http/problems.py", "import daicho.server.asgi", "which is not below http"),
        ("read/feed.py", "import click", "a third party"),
        ("write/gateway.py", "import opentelemetry", "a third party"),
        ("read/feed.py", "def f():\n    import json", "inside a function"),
        ("adapters/clock.py", "from daicho.read.feed import Feed", "which is not below adapters"),
        ("adapters/stores/memory/rows.py", "import daicho.adapters.stores.sqlite", "another adapter"),
        ("core/errors/root.py", "import daicho.core.codec", "cycle: "),
    ],
)
def test_the_rule_goes_red_when_it_is_broken(file: str, line: str, complaint: str, imported: Imported) -> None:
    broken = [*imports(f"{line}\n"), *imported[Path(file)]]
    found = complaints({**imported, Path(file): broken})
    assert [each for each in found if complaint in each and (file in each or each.startswith("cycle"))]


def test_the_rule_reads_the_files_themselves(tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "ids.py").write_text("import os\n\n\ndef f():\n    import time\n")
    assert complaints(all_imports(tmp_path)) == [
        "core/ids.py:1 imports os, which is not pure",
        "core/ids.py:5 imports time inside a function",
        "core/ids.py:5 imports time, which is not pure",
    ]


def test_imports_are_found_wherever_they_may_stand() -> None:
    text = """
if TYPE_CHECKING:
    import for_types
try:
    import a
except ImportError:
    import b
else:
    import c
finally:
    import d
class Class:
    import e
    def method(self):
        with self:
            for each in self:
                match each:
                    case 1:
                        import f
while True:
    import g
if a:
    pass
elif b:
    import h
async def function():
    from i import j
"""
    assert [(name, inside) for _, name, inside in imports(text)] == [
        *((name, False) for name in "abcde"),
        ("f", True),
        ("g", False),
        ("h", False),
        ("i", True),
    ]
