"""The public surface: what `daicho` offers is listed, re-homed and importable."""

import importlib
import pkgutil
import types
from collections.abc import Iterator
from typing import Any

import daicho
import daicho.testing
from daicho.core import errors


def classes(root: type[Any]) -> Iterator[type[Any]]:
    yield root
    for child in root.__subclasses__():
        yield from classes(child)


def test_everything_that_is_listed_is_there_once() -> None:
    assert len(daicho.__all__) == len(set(daicho.__all__))
    assert all(hasattr(daicho, name) for name in daicho.__all__)


def test_everything_that_is_there_is_listed() -> None:
    public = {
        name
        for name, thing in vars(daicho).items()
        if not name.startswith("_") and not isinstance(thing, types.ModuleType)
    }
    assert public == set(daicho.__all__)


def test_the_lists_are_sorted() -> None:
    assert daicho.__all__ == sorted(daicho.__all__)
    assert errors.__all__ == sorted(errors.__all__)


def test_a_traceback_says_daicho_and_not_where_the_class_lives() -> None:
    strangers = [
        name
        for name in daicho.__all__
        if isinstance(getattr(daicho, name), type) and getattr(daicho, name).__module__ != "daicho"
    ]
    # aliases of types keep the home of what they stand for
    assert [name for name in strangers if getattr(daicho, name).__module__.startswith("daicho.")] == []


def test_every_error_is_public_has_a_code_of_its_own_and_says_when_it_is_raised() -> None:
    found = [cls for cls in classes(daicho.DaichoError) if cls.__module__ == "daicho"]
    assert {cls.__name__ for cls in found} == set(errors.__all__)
    assert len({cls.code for cls in found}) == len(found)
    for cls in found:
        assert cls.__doc__
        assert cls.__name__ in (errors.__doc__ or ""), f"{cls.__name__} is missing from the tree in core/errors"


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    parents: dict[str, str] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        if not line.strip() or not (line.startswith("    ") and ("──" in line or "DaichoError" in line)):
            continue
        depth = len(line) - len(line.lstrip(" │├└─"))
        names = []
        for word in line[depth:].split():
            if not word[0].isupper() or not hasattr(daicho, word):
                break
            names.append(word)
        while above and above[-1][0] >= depth:
            above.pop()
        parents.update(dict.fromkeys(names, above[-1][1] if above else "Exception"))
        above.append((depth, names[0]))
    assert parents == {name: getattr(daicho, name).__base__.__name__ for name in errors.__all__}


def test_an_error_is_in_the_file_of_its_family() -> None:
    homes = {
        name: file.name
        for file in pkgutil.iter_modules(errors.__path__)
        for name in importlib.import_module(f"{errors.__name__}.{file.name}").__all__
    }
    assert homes == {name: home(getattr(daicho, name)) for name in errors.__all__}


def home(error: type[daicho.DaichoError]) -> str:
    """A family is what stands right below the root, and has others below it."""
    family = next((base for base in error.__mro__ if base.__base__ is daicho.DaichoError), None)
    return family.__name__.removesuffix("Error").lower() if family and family.__subclasses__() else "root"


def test_an_error_says_what_happened_why_and_what_to_do_and_carries_data() -> None:
    error = daicho.StoreFull("the disk is full", why="0 bytes left", do="make room", free=0)
    assert str(error) == "the disk is full\nWhy: 0 bytes left\nDo: make room"
    assert (error.what, error.why, error.do, error.data, error.code) == (
        "the disk is full",
        "0 bytes left",
        "make room",
        {"free": 0},
        "D205",
    )
    assert str(daicho.Rejected("no")) == "no"


def test_the_testing_tools_are_listed() -> None:
    assert set(daicho.testing.__all__) >= {"Crash", "VirtualClock", "crash_at", "given", "scenario"}
    assert all(hasattr(daicho.testing, name) for name in daicho.testing.__all__)
