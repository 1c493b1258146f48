"""Which entity a request is about, and whether it reads or writes."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast
from urllib.parse import unquote, urlsplit

from daicho.app import App
from daicho.core.errors import BadAnswers
from daicho.core.handlers import Route
from daicho.core.messages import Command, Message

__all__ = ["Kind", "Paths", "Rule", "of_app", "rule_of"]

Kind: TypeAlias = Literal["read", "write"]

_KINDS: dict[str, Kind | None] = {"": None, "read": "read", "write": "write"}
READING = frozenset({"GET", "HEAD", "QUERY"})
WRITING = frozenset({"POST", "PUT", "PATCH", "DELETE"})

_PROBES = frozenset(
    {"livez", "readyz", "startupz", "healthz", "health", "metrics", "look-to-book", "docs", "openapi.json"}
    | {"asyncapi.json", "favicon.ico", "robots.txt", "static", "assets", "console", "append", "read", "events"}
)
_ASSET = re.compile(r"\.(?:css|js|mjs|map|png|jpe?g|gif|svg|ico|webp|avif|woff2?|ttf|txt|xml)\Z", re.IGNORECASE)
_NAME = re.compile(r"[\w.\-]{1,64}\Z")
_PREFIX = re.compile(r"(?:api|rest|v\d{1,3})\Z", re.IGNORECASE)
_PARAMETER = re.compile(r"\{\w+\}|\*\*?")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """`GET /orders/{id}=order`: requests to such paths are of that entity. `*` and `{name}` stand for one part of the
    path, `**` for all that follows; without a method it is for every one; `:read` or `:write` behind the entity says
    what the method does not."""

    method: str | None
    pattern: "re.Pattern[str]"
    entity: str | None
    """None: of no entity."""
    kind: Kind | None = None


def rule_of(text: str) -> Rule:
    """Raises BadAnswers."""
    left, equals, entity = text.rpartition("=")
    *methods, path = left.split() or [""]
    entity, _, kind = entity.strip().partition(":")
    if not equals or len(methods) > 1 or not path.startswith("/") or kind not in _KINDS:
        raise BadAnswers(
            f"{text!r} is no rule", do="write `/orders/**=order`, `POST /search=product:read`, or `/x/**=-`"
        )
    if entity != "-" and not _NAME.match(entity):
        raise BadAnswers(f"{text!r}: {entity!r} is no name of an entity", do="letters, digits, `-`, `_` and `.`")
    return Rule(
        method=methods[0].upper() if methods else None,
        pattern=_pattern(path),
        entity=None if entity == "-" else entity,
        kind=_KINDS[kind],
    )


def _pattern(path: str) -> "re.Pattern[str]":
    parts, at = list[str](), 0
    for match in _PARAMETER.finditer(path):
        parts += [re.escape(path[at : match.start()]), ".*" if match[0] == "**" else "[^/]+"]
        at = match.end()
    text = "".join([*parts, re.escape(path[at:])])
    if text.endswith("/.*"):  # `/orders/**` is also `/orders`
        text = f"{text.removesuffix('/.*')}(?:/.*)?"
    return re.compile(f"{text}/?\\Z")


class Paths:
    """First rules, then the App's routes, then the first part of the path that is no version."""

    def __init__(self, rules: Iterable[Rule] = (), app: App | None = None) -> None:
        self._rules = [*rules, *(of_app(app) if app is not None else ())]
        self._names = _messages(app) if app is not None else {}

    def of(self, method: str, target: str) -> tuple[str, Kind, str] | None:
        """Entity, kind, and the path as the key of what was read. None: of no entity."""
        try:
            path = unquote(urlsplit(target).path if "://" in target else target.partition("?")[0].partition("#")[0])
        except ValueError:
            return None
        if not path.startswith("/"):
            return None
        for rule in self._rules:
            if rule.method in (None, method) and rule.pattern.match(path):
                kind = rule.kind or _kind(method)
                return None if rule.entity is None or kind is None else (rule.entity, kind, path)
        kind, entity = _kind(method), self._named(path)
        return None if kind is None or entity is None else (entity, kind, path)

    def _named(self, path: str) -> str | None:
        parts = [part for part in path.split("/") if part]
        while parts and _PREFIX.match(parts[0]):
            parts = parts[1:]
        if not parts or parts[0] in _PROBES or _ASSET.search(parts[-1]):
            return None
        if parts[0] in ("commands", "queries") and len(parts) > 1:
            return self._names.get(parts[1], parts[1] if _NAME.match(parts[1]) else None)
        return parts[0] if _NAME.match(parts[0]) else None


def _kind(method: str) -> Kind | None:
    return "read" if method in READING else "write" if method in WRITING else None


def of_app(app: App) -> list[Rule]:
    """The App's routes as rules; those without parameters first: `/sales/days` before `/sales/{day}`."""
    found: list[Rule] = []
    for route, entity in sorted(_routed(app), key=lambda each: each[0].path.count("{")):
        kind: Kind = "write" if issubclass(route.message, Command) else "read"
        methods = ("GET", "HEAD") if route.method == "GET" else (route.method,)
        found += [Rule(method=m, pattern=_pattern(route.path), entity=entity, kind=kind) for m in methods]
    return found


def _routed(app: App) -> list[tuple[Route, str]]:
    """Each route with its entity: a command belongs to the aggregate that handles it; a query to that of commands
    whose path begins with the same word, or else to that word."""
    words = {route: route.path.strip("/").partition("/")[0] for route in app.model.routes}
    owners = {words[route]: owner for route in app.model.routes if (owner := _owner(app, route.message))}
    return [(route, _owner(app, route.message) or owners.get(word) or word) for route, word in words.items()]


def _owner(app: App, message: type[Message]) -> str | None:
    behaviour = app.model.behaviours.get(cast("type[Command]", message))
    return None if behaviour is None else behaviour.category


def _messages(app: App) -> dict[str, str]:
    """Entities by the names of messages, for `/commands/{Name}` and `/queries/{Name}`."""
    found = {command.__message_name__: each.category for command, each in app.model.behaviours.items()}
    return found | {route.message.__message_name__: entity for route, entity in _routed(app)}
