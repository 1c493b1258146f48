"""Many documents in few requests, each with the version that it may replace."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec

from daicho.adapters.views.opensearch.failures import Refusal, is_passing, translated
from daicho.adapters.views.opensearch.rows import Document
from daicho.adapters.views.opensearch.tables import Table, id_of
from daicho.adapters.views.opensearch.wire import Wire
from daicho.core.errors import StoreUnavailable

__all__ = ["Got", "Line", "fetch", "remove", "write"]

_BODY = 5_000_000
"""Bytes of a request, about."""
_KEYS = 1_000
"""In one request."""

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, frozen=True):
    """A document to be written if what is there is older."""

    key: str
    version: int
    document: bytes


class Got(msgspec.Struct):
    """A document by its id, as it was written last."""

    found: bool = False
    version: int = msgspec.field(default=-1, name="_version")
    document: Document = msgspec.field(default_factory=Document, name="_source")
    error: Refusal | None = None


class _Gotten(msgspec.Struct):
    docs: list[Got]


class _Outcome(msgspec.Struct):
    status: int
    result: str = ""
    error: Refusal | None = None


class _Outcomes(msgspec.Struct):
    errors: bool
    items: list[dict[str, _Outcome]] = msgspec.field(default_factory=list[dict[str, _Outcome]])


async def write(wire: Wire, table: Table, lines: Iterable[Line]) -> None:
    """All of them; a document that is newer stays. Raises MessageError, or a StoreError if some were not written."""
    for part in _cut(lines):
        await _write(wire, table, part)


async def _write(wire: Wire, table: Table, lines: Sequence[Line]) -> None:
    patience = wire.patience()
    while lines:
        body = b"".join(_action("index", line.key, line.version, "external") + line.document + b"\n" for line in lines)
        outcomes = await _bulk(wire, table, body)
        if not outcomes.errors:
            return
        left, conflicts, last = list[Line](), list[Line](), None
        for line, each in zip(lines, outcomes.items, strict=True):
            outcome = each["index"]
            if outcome.error is None:
                continue
            if outcome.status == 409:
                conflicts.append(line)
            elif is_passing(outcome.status, outcome.error):
                left.append(line)
                last = outcome
            else:
                raise translated(wire.location.url, outcome.status, outcome.error)
        lines = left + await _not_there(wire, table, conflicts)
        if lines and not await patience.pause():
            refusal = last.error if last and last.error else Refusal(reason="deleted documents are not forgotten")
            raise translated(wire.location.url, last.status if last else 503, refusal)


async def _not_there(wire: Wire, table: Table, lines: Sequence[Line]) -> list[Line]:
    """Those that were refused though there is nothing newer: the engine remembers for a moment what was swept."""
    there = await fetch(wire, table, [line.key for line in lines], bodies=False)
    return [line for line in lines if line.key not in there]


async def remove(wire: Wire, table: Table, documents: Sequence[tuple[str, int]]) -> int:
    """Removes documents, by id, that still have the given version. Returns how many."""
    lines = (_encode({"delete": {"_id": id, "version": v, "version_type": "external_gte"}}) for id, v in documents)
    outcomes = await _bulk(wire, table, b"\n".join([*lines, b""]), always=True)
    removed = 0
    for each in outcomes.items:
        outcome = each["delete"]
        if outcome.error is not None and outcome.status != 409:
            raise translated(wire.location.url, outcome.status, outcome.error)
        removed += outcome.result == "deleted"
    return removed


async def fetch(wire: Wire, table: Table, keys: Iterable[str], *, bodies: bool = True) -> dict[str, Got]:
    """Those documents that there are, by key, as they were written last."""
    found: dict[str, Got] = {}
    wanted = list(dict.fromkeys(keys))
    for n in range(0, len(wanted), _KEYS):
        part = wanted[n : n + _KEYS]
        gotten = zip(part, await _fetch(wire, table, part, bodies), strict=True)
        found.update((key, got) for key, got in gotten if got.found)
    return found


async def _fetch(wire: Wire, table: Table, keys: Sequence[str], bodies: bool) -> list[Got]:
    patience = wire.patience()
    params = {"_source": "true" if bodies else "false"}
    while True:
        answer = await wire.ask("POST", f"/{table.index}/_mget", {"ids": list(map(id_of, keys))}, params=params)
        gotten: _Gotten = wire.understood(answer, _Gotten)
        error = next((got.error for got in gotten.docs if got.error is not None), None)
        if error is None:
            return gotten.docs
        # the status of one document is not told; a shard that is away comes back
        if error.type == "index_not_found_exception":
            raise translated(wire.location.url, 404, error)
        if not await patience.pause():
            raise StoreUnavailable(
                f"{wire.location.url} cannot read some of the rows", why=str(error), do="look at the cluster's health"
            )


async def _bulk(wire: Wire, table: Table, body: bytes, *, always: bool = False) -> _Outcomes:
    params = {"require_alias": "true"}
    if not always:
        params["filter_path"] = "errors,items.*.status,items.*.error"
    answer = await wire.ask("POST", f"/{table.written}/_bulk", body, params=params)
    outcomes: _Outcomes = wire.understood(answer, _Outcomes)
    return outcomes


def _action(what: str, key: str, version: int, kind: str) -> bytes:
    action: dict[str, Any] = {"_id": id_of(key), "version": version, "version_type": kind}
    return _encode({what: action}) + b"\n"


def _cut(lines: Iterable[Line]) -> Iterator[list[Line]]:
    part, size = list[Line](), 0
    for line in lines:
        if part and size + len(line.document) > _BODY:
            yield part
            part, size = [], 0
        part.append(line)
        size += len(line.document) + 100
    if part:
        yield part
