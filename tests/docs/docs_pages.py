"""The pages of the documentation, and the code in them.

A fenced block stands for something that works:

    python    runs; all blocks of a page run in order, in one folder and one module, `await` is allowed anywhere.
              If its first line is `# name.py`, it is written to that file instead (`# name.py, continued`: added).
    toml      the same, for `# name.toml`
    text      right behind a python block: what that block prints, line for line, `...` for anything
    console   `$ python|daicho|pytest ...` is executed in that folder; the lines behind it must come out in order,
              `...` for anything, blanks count as one; `# exit 4` behind the command says how it ends
    sql       runs on library.db in that folder

`<!-- not run: reason -->` in the line before excuses a block. Every page finds the files of the tutorial in its folder.

A Japanese page names the English one that it tells again, right behind its heading. Code that both show runs once.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import os
import re
import shlex
import sqlite3
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "DOCS",
    "ROOT",
    "TUTORIAL",
    "Block",
    "Run",
    "blocks_of",
    "code_of",
    "english_of",
    "headings_of",
    "names_of",
    "pages",
]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial" / "index.md"
RUNNING = {"python", "console", "sql"}
RESTING = {"text", "mermaid", "toml", "json", "ini"}

_FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
_REASON = re.compile(r"<!-- not run: (.+?) -->\s*\Z", re.DOTALL)
_FILE = re.compile(r"# ([\w/]+\.(?:py|toml|ini))(, continued)?\n")
_ENGLISH = re.compile(r"^\*\[English\]\(([^)]+)\)\*$", re.MULTILINE)
_EXIT = re.compile(r"\s+# exit (\d+)\s*\Z")


def pages() -> list[Path]:
    return [ROOT / "README.md", ROOT / "README.ja.md", ROOT / "CHANGELOG.md", *sorted(DOCS.rglob("*.md"))]


@dataclass(frozen=True)
class Block:
    page: Path
    line: int
    language: str
    text: str
    excuse: str = ""

    @property
    def place(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    for match in _FENCE.finditer(text):
        reason = _REASON.search(text[: match.start()])
        body = "".join(line.removeprefix(match[1]) for line in match[3].splitlines(keepends=True))
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(page, line, match[2], body, reason[1] if reason else ""))
    return found


def english_of(page: Path) -> Path | None:
    """The page that a Japanese one tells again."""
    named = _ENGLISH.search(page.read_text(encoding="utf-8"))
    return (page.parent / named[1]).resolve() if named else None


def code_of(page: Path) -> list[tuple[str, str]]:
    """What of a page runs, and what must come of it."""
    return [(b.language, b.text) for b in blocks_of(page) if not b.excuse and b.language in RUNNING | {"text", "toml"}]


def names_of(page: Path) -> set[str]:
    """Whatever the text of a page gives as code: options, methods, settings, codes of errors."""
    text = _FENCE.sub("", page.read_text(encoding="utf-8"))
    return {" ".join(name.split()) for name in re.findall(r"`([^`]+)`", text)}


def headings_of(page: Path) -> list[str]:
    """`["#", "##", ...]`: in which language they are written does not matter."""
    return re.findall(r"^(#+) ", _FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)


class Run:
    """One page, run from top to bottom in `folder`."""

    def __init__(self, page: Path, folder: Path) -> None:
        self.page, self.folder = page, folder
        self._module = types.ModuleType(f"page_{page.stem}")
        self._runner: asyncio.Runner | None = None

    def __call__(self) -> None:
        home, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
        os.chdir(self.folder)
        sys.path.insert(0, str(self.folder))
        sys.modules[self._module.__name__] = self._module
        try:
            with asyncio.Runner() as self._runner:
                self._blocks()
        finally:
            os.chdir(home)
            sys.path[:] = path
            for name in set(sys.modules) - modules:
                if str(self.folder) in (getattr(sys.modules[name], "__file__", None) or ""):
                    del sys.modules[name]
            sys.modules.pop(self._module.__name__, None)

    def _blocks(self) -> None:
        if self.page.name != "tutorial.md" and self.page != TUTORIAL:
            for block in blocks_of(TUTORIAL):
                self._write(block)
        printed = None
        for block in blocks_of(self.page):
            if block.excuse:
                continue
            match block.language:
                case "toml":
                    self._write(block)
                    printed = None
                case "python":
                    printed = self._python(block)
                case "text":
                    if printed is not None:
                        compare(block.place, printed, block.text.splitlines())
                    printed = None
                case "console":
                    self._console(block)
                    printed = None
                case "sql":
                    self._sql(block)
                    printed = None
                case _:
                    printed = None

    def _write(self, block: Block) -> bool:
        """Whether the block was for a file."""
        named = _FILE.match(block.text) if block.language in {"python", "toml"} else None
        if named is None:
            return False
        target, body = self.folder / named[1], block.text[named.end() :]
        if named[2]:
            body = target.read_text(encoding="utf-8").rstrip("\n") + "\n\n\n" + body.lstrip("\n")
        target.write_text(body, encoding="utf-8")
        return True

    def _python(self, block: Block) -> str | None:
        if self._write(block):
            return None
        code = compile("\n" * block.line + block.text, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            if code.co_flags & inspect.CO_COROUTINE:
                assert self._runner is not None
                self._runner.run(eval(code, self._module.__dict__))
            else:
                exec(code, self._module.__dict__)
        return out.getvalue()

    def _console(self, block: Block) -> None:
        for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            command, *expected = part.splitlines()
            status = 0
            if ends := _EXIT.search(command):
                command, status = command[: ends.start()], int(ends[1])
            words = shlex.split(command)
            assert words[0] in {"python", "daicho", "pytest"}, f"{block.place}: $ {command} cannot be run here"
            environment = {
                **{k: v for k, v in os.environ.items() if not k.startswith(("DAICHO_", "PYTEST_"))},
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
                "PYTHONPATH": str(self.folder),
                "COLUMNS": "120",
                "NO_COLOR": "1",
                "TERM": "dumb",
            }
            done = subprocess.run(
                words, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=180, check=False
            )
            said = done.stdout + done.stderr
            assert done.returncode == status, f"{block.place}: $ {command} ended with {done.returncode}:\n{said}"
            compare(f"{block.place}: $ {command}", said, expected)

    def _sql(self, block: Block) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{self.folder / 'library.db'}?mode=ro", uri=True)) as database:
            for statement in block.text.split(";"):
                if statement.strip():
                    rows = database.execute(statement).fetchall()
                    assert rows, f"{block.place}: no rows from {statement}"


def compare(place: str, said: str, expected: list[str]) -> None:
    """Every expected line must come out, in order. A line `...` stands for any number of lines."""
    lines = iter([" ".join(line.split()) for line in said.splitlines()])
    for wanted in expected:
        wanted = " ".join(wanted.split())
        if wanted in {"", "..."}:
            continue
        pattern = ".*".join(re.escape(part.strip()) for part in wanted.split("..."))
        assert any(re.search(pattern, line) for line in lines), f"{place}: no line {wanted!r} (in order) in:\n{said}"
