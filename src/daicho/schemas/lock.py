"""The lock of event schemas: every released (type, version) with its JSON schema and samples of its data.

A release is held to it in two ways. A version that was released keeps its shape, except for what old data can be read
through: fields with defaults, wider types. And the samples of every version, old ones through their upcasters, must
become events of the present classes. Samples are made from the schema at first; whoever knows better ones writes them
into the file, where they stay.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from daicho.app import App
from daicho.core.errors import ConfigurationError, HistoryError
from daicho.core.messages import Event
from daicho.ports.storage import Finding
from daicho.schemas.narrowing import narrowings, same_shape
from daicho.schemas.shapes import example_of, schema_of

__all__ = ["LOCK", "Lock", "examined", "locked", "read_lock", "write_lock"]

LOCK = "events.lock.json"
"""Where it stands, unless somebody says otherwise: in the working directory."""
_OWN = "daicho."
"""Events of Daicho itself are the business of its releases."""


class Shape(msgspec.Struct):
    schema: dict[str, Any]
    samples: list[dict[str, Any]] = []


class Lock(msgspec.Struct):
    """Type -> version (as text) -> shape."""

    events: dict[str, dict[str, Shape]] = {}
    daicho: int = 1
    """The form of this file."""


def read_lock(path: Path) -> Lock:
    """Raises ConfigurationError if it is not there, or something else."""
    try:
        lock = msgspec.json.decode(path.read_bytes(), type=Lock)
        if all(version.isdecimal() for versions in lock.events.values() for version in versions) and lock.daicho == 1:
            return lock
        why = "a version is no number, or a newer Daicho wrote it"
    except FileNotFoundError:
        raise ConfigurationError(f"there is no lock at {path}", do="daicho schema lock") from None
    except (OSError, msgspec.DecodeError) as error:
        why = str(error)
    raise ConfigurationError(
        f"{path} is not a lock of event schemas", why=why, do="take it from your version control, or lock again"
    )


def write_lock(path: Path, lock: Lock) -> None:
    """With sorted keys, so that a difference in version control is what has changed."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(lock, order="sorted"), indent=2) + b"\n")
    partial.replace(path)


def locked(app: App, before: Lock | None = None) -> Lock:
    """The lock with the present shape of each event of the app in it. What was released before stays."""
    events = {name: dict(versions) for name, versions in (before.events if before else {}).items()}
    for name, cls in app.registry.classes.items():
        if name.startswith(_OWN):
            continue
        version, schema = str(cls.__schema_version__), schema_of(cls)
        known = events.setdefault(name, {}).get(version)
        if known is None or not same_shape(known.schema, schema):
            kept = [] if known is None or narrowings(known.schema, schema) else known.samples
            made = [each for each in _samples(schema) if each not in kept and _is_one(app, cls, each)]
            events[name][version] = Shape(schema, [*kept, *made])
    return Lock(events)


def examined(app: App, lock: Lock) -> list[Finding]:
    """What this app would do to what has been stored in the locked shapes, and what of it is not locked."""
    return [*_released(app, lock), *_present(app, lock)]


def _released(app: App, lock: Lock) -> Iterator[Finding]:
    registry = app.registry
    for name, version, shape in _all(lock):
        what = f"{name} version {version}"
        target = registry.read_as(name, version)
        if target is None:
            do = f'give App the class, or `@upcast("{name}", {version})`'
            yield Finding(what=what, ok=False, detail="was released, and this app cannot read it", do=do)
            continue
        if (target.__message_name__, target.__schema_version__) == (name, version):
            schema = schema_of(target)
            if broken := narrowings(shape.schema, schema):
                do = f'give {target.__name__} `version={version + 1}`, and the app `@upcast("{name}", {version})`'
                yield Finding(what=what, ok=False, detail=f"was released otherwise: {'; '.join(broken)}", do=do)
                continue
            if not same_shape(shape.schema, schema):
                detail = "has fields, or takes values, that the lock does not know; old events can be read"
                yield Finding(what=what, ok=False, detail=detail, do="daicho schema lock")
                continue
        yield _read(app, name, version, shape)


def _read(app: App, name: str, version: int, shape: Shape) -> Finding:
    what = f"{name} version {version}"
    for n, sample in enumerate(shape.samples, 1):
        try:
            app.registry.decode(name, version, msgspec.json.encode(sample))
        except HistoryError as error:
            detail = f"sample {n} cannot be read: {error.__cause__ or error.what}"
            do = "mend its upcaster; or, if no such event was ever stored, the sample in the lock"
            return Finding(what=what, ok=False, detail=detail, do=do)
    target = app.registry.read_as(name, version)
    through = "" if target is None or version == target.__schema_version__ else ", through upcasters"
    if not shape.samples:
        detail = "none could be made that fits its limits: write a sample into the lock, and it is tried each time"
        return Finding(what=what, ok=True, detail=f"no samples; {detail}")
    count = f"{len(shape.samples)} samples read as {target and target.__name__}{through}"
    return Finding(what=what, ok=True, detail=count)


def _present(app: App, lock: Lock) -> Iterator[Finding]:
    for name, cls in sorted(app.registry.classes.items()):
        version = cls.__schema_version__
        if not name.startswith(_OWN) and str(version) not in lock.events.get(name, {}):
            detail = "is not locked yet"
            yield Finding(what=f"{name} version {version}", ok=False, detail=detail, do="daicho schema lock")


def _all(lock: Lock) -> Iterator[tuple[str, int, Shape]]:
    for name, versions in sorted(lock.events.items()):
        for version in sorted(map(int, versions)):
            yield name, version, versions[str(version)]


def _is_one(app: App, cls: type[Event], sample: dict[str, Any]) -> bool:
    """A schema does not say all that a class asks for, and not every pattern is met by a guess."""
    try:
        app.registry.decode(cls.__message_name__, cls.__schema_version__, msgspec.json.encode(sample))
    except HistoryError:
        return False
    return True


def _samples(schema: dict[str, Any]) -> list[dict[str, Any]]:
    """One with every field, one with those alone that must be there."""
    full: dict[str, Any] = example_of(schema)
    struct = schema.get("$defs", {}).get(str(schema.get("$ref", "")).rpartition("/")[2], schema)
    least = {key: value for key, value in full.items() if key in struct.get("required", ())}
    return [full] if full == least else [full, least]
