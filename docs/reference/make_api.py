"""Writes api.md from the docstrings: `python docs/reference/make_api.py`."""

import ast
import inspect
import sys
import textwrap
from itertools import zip_longest
from pathlib import Path
from typing import Any, get_overloads

import daicho
from daicho import testing

PAGE = Path(__file__).with_name("api.md")
GROUPS: dict[str, tuple[str, list[str]]] = {
    "The App": (
        "Parts in, a running system out.",
        ["App", "SyncApp", "Route"],
    ),
    "Messages": (
        "All are frozen, keyword-only [msgspec](https://jcristharif.com/msgspec/) structs, compared by value.",
        ["Command", "Event", "Query", "Message", "Record", "RecordedEvent", "Receipt", "Context", "replace"],
    ),
    "Write side": (
        "Decisions.",
        [
            "Aggregate", "handle", "apply", "Decider", "State", "Handles", "unique", "sequence", "capacity", "Rule",
            "ExpectedVersion", "ANY", "ABSENT", "EXISTS",
            "Criteria", "AppendCondition", "Envelope", "Handler", "Middleware", "CommandOutcome", "Upcaster", "upcast",
        ],
    ),
    "Flow": (
        "Events in, commands or side effects out.",
        [
            "event_handler", "EventHandler", "Process", "start", "on", "deadline", "refused", "compensate", "migrate",
            "Deadline", "Schedule", "Done", "Compensate", "Pivot", "Scheduled",
        ],
    ),
    "Read side": (
        "Rows and answers.",
        [
            "projection", "Projection", "sql_projection", "SqlProjection", "join", "Join", "Row", "Crud",
            "query_handler", "QueryHandler", "Cache", "Views", "View", "PageOf", "Change",
        ],
    ),
    "Who may do what": (
        "Said by messages, fields and the App; asked for at the door. See [security](../howto/security.md).",
        ["requires", "Personal", "Tenancy"],
    ),
    "People": (
        "Personal data, and how it goes. See [forget a person](../howto/personal.md).",
        ["FORGOTTEN", "PersonFound", "Certificate", "Hold", "Forgetting"],
    ),
    "Running": (
        "How it goes, and what does not.",
        ["Lag", "Health", "Problem", "Meter", "Ratio", "Trial", "TrialStep", "RowChange", "CommandTrial"],
    ),
    "Replicas": (
        "Where queries are answered: `App(read_from=...)`, `app.replicas`. See [replicas](../howto/replicas.md).",
        ["ReplicaPolicy", "ReplicaState", "PrimaryReads"],
    ),
    "Failover": (
        "Another PostgreSQL server in the place of the primary: `app.failover`. See [failover](../howto/failover.md).",
        ["FailoverCheck", "ServerState", "Promotion", "LostEvent", "Orphan"],
    ),
    "History": ("The log, read by people.", ["Position", "Trace", "TraceNode", "Lineage", "LineageStep", "Unplaced"]),
}  # fmt: skip
NOTES = {
    "FORGOTTEN": '`"[forgotten]"`: what stands in a text about a person who was forgotten.',
    "ANY": "`ExpectedVersion.ANY`: the stream may be at any version.",
    "ABSENT": "`ExpectedVersion.ABSENT`: the stream must not exist yet.",
    "EXISTS": "`ExpectedVersion.EXISTS`: the stream must have at least one event.",
    "Handles": "Whatever handles commands: a `Decider`, or an `Aggregate` class.",
    "Rule": "What `rules=[...]` of an aggregate or decider holds.",
    "Handler": "`async (envelope) -> Receipt`: the rest of the chain, as middleware sees it.",
    "Middleware": "`async (envelope, proceed) -> Receipt`: wraps every command; calls `await proceed(envelope)`.",
    "replace": "`replace(row, field=value)`: a copy with some fields changed; typed `T -> T`.",
}
RESULTS = {  # what App and SyncApp hand out, by attribute
    "App.dead_letters": "daicho.read.dead_letters:DeadLetters",
    "App.processes": "daicho.flow.process_admin:Processes",
    "App.processors": "daicho.read.processors:Processors",
    "App.projections": "daicho.read.projections:Projections",
    "App.crud": "daicho.read.crud:CrudTable",
    "App.personal": "daicho.flow.forgetting:Forgetting",
}
SENTENCES = {  # what `given` hands out
    "`given(Order, ...)`": "daicho.testing.given:GivenHandler",
    "`given(orders, ...)`": "daicho.testing.given:GivenProjection",
    "`given(Fulfilment, ...)`": "daicho.testing.given_process:GivenProcess",
    "`given(Fulfilment, ...).when(...)`": "daicho.testing.given_process:ProcessOutcome",
    "`given(...).when(...)` of a handler or reaction": "daicho.testing.given:Outcome",
}


def main() -> None:
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    parts = [
        "# API",
        "<!-- written by make_api.py from the docstrings: change those, and run it again -->",
        "Everything here is imported from `daicho`, unless it says otherwise. Errors are on [a page of their own]"
        "(errors.md).",
    ]
    for title, (about, names) in GROUPS.items():
        parts += [f"## {title}", about]
        parts += [entry(name, getattr(daicho, name)) for name in names]
    parts += ["## daicho.testing", (inspect.getdoc(testing) or "").partition("\n")[0]]
    parts += [entry(name, getattr(testing, name)) for name in testing.__all__]
    for title, place in SENTENCES.items():
        parts += [f"#### {title}", methods(place)]
    parts += ["## daicho.testing.contracts", "See [own adapters](../howto/adapter.md)."]
    return "\n\n".join(part for part in parts if part) + "\n"


def entry(name: str, thing: Any) -> str:
    if name in NOTES:
        return f"### `{name}`\n\n{NOTES[name]}"
    if not isinstance(thing, type):
        heads = "\n\n".join(code(name, each) for each in get_overloads(thing)) or code(name, thing)
        return f"### `{name}`\n\n{heads}\n\n{prose(thing)}"
    parts = [f"### `{name}`", prose(thing)]
    fields = fields_of(thing)
    if fields:
        parts.append("\n".join(["| Field | Type | Meaning |", "| --- | --- | --- |", *fields]))
    elif "__init__" in vars(thing) and name in {"App", "Crud", "Decider", "VirtualClock"}:
        own = thing.__init__.__doc__ and not thing.__init__.__doc__.startswith("Initialize self")
        parts += [code(name, thing.__init__), prose(thing.__init__) if own else ""]
    parts += [member(name, key, value) for key, value in vars(thing).items() if not key.startswith("_")]
    return "\n\n".join(part for part in parts if part)


def member(owner: str, name: str, thing: Any) -> str:
    """One method or property; those that say nothing of themselves are left out, except where App says it."""
    handed = RESULTS.get(f"{owner}.{name}")
    if isinstance(thing, (classmethod, staticmethod)):
        thing = thing.__func__
    text = prose(thing) if inspect.isfunction(thing) or isinstance(thing, property) else ""
    if not text and owner == "SyncApp":
        text = f"See `App.{name}`."
    elif not text and owner != "View":
        return ""
    head = code(name, thing) if inspect.isfunction(thing) else ""
    parts = [f"#### `{owner}.{name}`", head, text, methods(handed) if handed else ""]
    return "\n\n".join(part for part in parts if part)


def methods(place: str) -> str:
    """The methods of an object that a user meets but never names."""
    module, _, name = place.partition(":")
    cls = getattr(__import__(module, fromlist=[name]), name)
    lines = ["| Method | |", "| --- | --- |"]
    for key, value in vars(cls).items():
        if inspect.isfunction(value) and not key.startswith("_") and key not in {"start", "stop"}:
            about = " ".join((inspect.getdoc(value) or "").split())
            lines.append(f"| `{key}{brief(value)}` | {about} |")
    return "\n".join(lines)


def brief(function: Any) -> str:
    names = [
        f"{p.name}=..." if p.kind is p.KEYWORD_ONLY else f"**{p.name}" if p.kind is p.VAR_KEYWORD
        else f"*{p.name}" if p.kind is p.VAR_POSITIONAL else p.name
        for p in inspect.signature(function).parameters.values() if p.name != "self"
    ]  # fmt: skip
    return f"({', '.join(names)})"


def code(name: str, function: Any) -> str:
    """The head of the definition, as it is written."""
    if not inspect.isfunction(function):
        return ""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function))).body[0]
    assert isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef))
    arguments = tree.args
    arguments.args = [a for a in arguments.args if a.arg not in {"self", "cls"}]
    listed = [ast.unparse(a) for a in arguments.posonlyargs + arguments.args]
    for i, default in enumerate(reversed(arguments.defaults), 1):
        listed[-i] += f" = {ast.unparse(default)}" if ":" in listed[-i] else f"={ast.unparse(default)}"
    if arguments.vararg:
        listed.append(f"*{ast.unparse(arguments.vararg)}")
    elif arguments.kwonlyargs:
        listed.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        listed.append(ast.unparse(argument) + (f" = {ast.unparse(default)}" if default else ""))
    if arguments.kwarg:
        listed.append(f"**{ast.unparse(arguments.kwarg)}")
    kind = "async " if isinstance(tree, ast.AsyncFunctionDef) else ""
    returns = f" -> {ast.unparse(tree.returns)}" if tree.returns and tree.name != "__init__" else ""
    head = f"{kind}{name}({', '.join(listed)}){returns}"
    if len(head) > 100:
        head = f"{kind}{name}(\n    " + ",\n    ".join(listed) + f",\n){returns}"
    return f"<!-- not run: a signature -->\n```python\n{head}\n```"


def body_of(cls: type) -> list[ast.stmt]:
    """The class body as it is written. Public classes say that they live in `daicho`, so it is looked for."""
    for name, module in sorted(sys.modules.items()):
        if name.startswith("daicho.") and vars(module).get(cls.__name__) is cls:
            for node in ast.parse(inspect.getsource(module)).body:
                if isinstance(node, ast.ClassDef) and node.name == cls.__name__:
                    return node.body
    return []


def fields_of(cls: type) -> list[str]:
    """Annotated public attributes of the class body, with the texts below them."""
    body = body_of(cls) if hasattr(cls, "__struct_fields__") else []
    found: list[str] = []
    for node, following in zip_longest(body, body[1:]):
        if not isinstance(node, ast.AnnAssign) or not isinstance(node.target, ast.Name) or node.target.id[0] == "_":
            continue
        if "ClassVar" in ast.unparse(node.annotation):
            continue
        about = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            about = " ".join(str(following.value.value).split())
        default = f" = {ast.unparse(node.value)}" if node.value else ""
        hint = ast.unparse(node.annotation).strip("'").replace("|", "\\|")
        found.append(f"| `{node.target.id}` | `{hint}{default}` | {about} |")
    return found


def prose(thing: Any) -> str:
    """The docstring as Markdown: indented blocks become code, lists of parameters become tables."""
    text = inspect.getdoc(thing) if not isinstance(thing, type) or "__doc__" in vars(thing) else ""
    parts: list[str] = []
    for paragraph in (text or "").split("\n\n"):
        lines = paragraph.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            parts.append(f"<!-- not run: a sketch -->\n```python\n{textwrap.dedent(paragraph)}\n```")
        elif table := parameters(lines):
            parts.append(table)
        else:
            parts.append(" ".join(line.strip() for line in lines))
    return "\n\n".join(parts)


def parameters(lines: list[str]) -> str:
    """`name   what it means` lines as a table; further lines of the paragraph follow as text."""
    rows: list[list[str]] = []
    rest: list[str] = []
    for line in lines:
        name, gap, about = line.partition("  ")
        if gap and name.isidentifier() and about.strip() and not rest:
            rows.append([name, about.strip()])
        elif rows and line.startswith("   ") and not rest:
            rows[-1][1] += " " + line.strip()
        else:
            rest.append(line.strip())
    if not rows:
        return ""
    table = "\n".join(["| Parameter | Meaning |", "| --- | --- |", *(f"| `{n}` | {about} |" for n, about in rows)])
    return table + ("\n\n" + " ".join(rest) if rest else "")


if __name__ == "__main__":
    main()
