"""The pages name everything there is, and nothing that is not."""

import gc
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import unquote

import click
import pytest
from docs_pages import DOCS, ROOT, pages

import daicho
from daicho import testing
from daicho.cli import main
from daicho.core import errors
from daicho.core.errors import DaichoError
from daicho.settings import SETTINGS

REFERENCE = DOCS / "reference"
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"```.*?^\s*```|`[^`\n]*`", re.DOTALL | re.MULTILINE)


def reference(name: str) -> str:
    return (REFERENCE / name).read_text(encoding="utf-8")


# -- links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """What GitHub makes of the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost: list[str] = []
    for link in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if link.startswith(("https://", "mailto:")):
            continue
        place, _, anchor = unquote(link).partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_page_is_linked_from_another() -> None:
    linked = {DOCS / "index.md"}
    for page in pages():
        for link in _LINK.findall(page.read_text(encoding="utf-8")):
            linked.add((page.parent / link.partition("#")[0]).resolve())
    assert [str(page) for page in pages() if page not in linked and page.parent != ROOT] == []


# -- API --------------------------------------------------------------------------------------------------------------


def maker(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_api_page_is_what_the_docstrings_say() -> None:
    gc.collect()
    gc.disable()  # the parser of Python 3.11 breaks if what another test left is told with a traceback meanwhile
    try:
        page = maker("make_api").page()
    finally:
        gc.enable()
    assert reference("api.md") == page, "run `python docs/reference/make_api.py`"


def test_every_public_name_has_its_place() -> None:
    told = {name for _, names in maker("make_api").GROUPS.values() for name in names}
    assert told == set(daicho.__all__) - set(errors.__all__)


def test_every_tool_for_tests_has_its_place() -> None:
    assert [name for name in testing.__all__ if f"### `{name}`" not in reference("api.md")] == []


def test_every_parameter_of_app_is_a_setting() -> None:
    told = re.findall(r"^\| `(\w+)` \|", reference("settings.md").partition("## App parameters")[2], re.MULTILINE)
    code = daicho.App.__init__.__code__
    parameters = code.co_varnames[1 : 1 + code.co_kwonlyargcount]
    assert set(parameters) <= set(told)


# -- errors -----------------------------------------------------------------------------------------------------------


def tree(cls: type[DaichoError] = DaichoError) -> Iterator[type[DaichoError]]:
    yield cls
    for child in cls.__subclasses__():
        if child.__module__ == "daicho":
            yield from tree(child)


def test_every_error_is_explained() -> None:
    told = dict(re.findall(r"^\| (D\d+) \| `(\w+)` \|", reference("errors.md"), re.MULTILINE))
    assert told == {cls.code: cls.__name__ for cls in tree()}
    assert set(told.values()) == set(errors.__all__)


# -- guarantees -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [REFERENCE / "guarantees.md", DOCS / "ja" / "guarantees.md"], ids=["en", "ja"])
def test_every_guarantee_names_tests_that_exist(page: Path) -> None:
    rows = [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("| ") and "::" in line]
    assert len(rows) > 10
    for row in rows:
        for path, name in re.findall(r"`([\w/]+\.py)::(\w+)`", row):
            assert re.search(rf"def {name}\(", (ROOT / path).read_text(encoding="utf-8")), f"{path}::{name}"


def test_both_languages_name_the_same_tests() -> None:
    english, japanese = (
        re.findall(r"`([\w/]+\.py::\w+)`", page.read_text(encoding="utf-8"))
        for page in (REFERENCE / "guarantees.md", DOCS / "ja" / "guarantees.md")
    )
    assert english == japanese


# -- command line -----------------------------------------------------------------------------------------------------


def commands(command: click.Command, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, (*path, name))


def test_the_page_of_the_command_line_is_what_the_commands_say() -> None:
    assert reference("cli.md") == maker("make_cli").page(), "run `python docs/reference/make_cli.py`"


def test_every_command_and_option_is_in_the_reference() -> None:
    text = reference("cli.md")
    everywhere = text.partition("## `daicho`\n")[2].partition("\n## ")[0]
    missing: list[str] = []
    for path, command in commands(main, ("daicho",)):
        _, found, behind = text.partition(f"# `{' '.join(path)}`\n")
        section = behind.partition("\n#")[0] + everywhere
        names = [name for p in command.params for name in (p.opts if isinstance(p, click.Option) else [])]
        missing += [f"{' '.join(path)} {name}" for name in names if f"`{name}`" not in section]
        if not found:
            missing.append(" ".join(path))
    assert missing == []


def test_every_setting_is_in_the_reference() -> None:
    text = reference("settings.md") + reference("cli.md")
    assert [name for name in SETTINGS.values() if f"`{name}`" not in text] == []


# -- README -----------------------------------------------------------------------------------------------------------


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = ROOT / "Makefile"
    if not makefile.exists():
        pytest.skip("there is no Makefile yet")
    targets = set(re.findall(r"^([\w-]+):", makefile.read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for page in pages() for name in re.findall(r"^make (\w+)", page.read_text(encoding="utf-8"), re.M)}
    assert named <= targets


@pytest.mark.slow
def test_the_quickstart_runs() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples" / "quickstart.py"], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "o-1 was pending and is confirmed" in done.stdout
