"""Files of answers: TOML or JSON.

[all]                          # holds for every entity, unless it says otherwise
performance = "under 100 ms"

[entities.order]
reads = 12000                  # a minute
writes = 1000
use_case = "orders"

[paths]                        # for access logs
"/orders/**" = "order"
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from daicho.advisor.answers import Answers
from daicho.advisor.paths import Rule, rule_of
from daicho.core.errors import BadAnswers

__all__ = ["Told", "read_answers"]


class Told(NamedTuple):
    entities: dict[str, Answers]
    all: dict[str, Any]
    """Fields of Answers for entities that are not named, and for what the named ones leave open."""
    rules: list[Rule]

    def fill(self, answers: Answers) -> Answers:
        """With what holds for every entity."""
        open_ = {name: value for name, value in self.all.items() if getattr(answers, name) is None}
        if answers.reads_per_write is not None:
            open_.pop("ratio", None)
        return msgspec.structs.replace(answers, **open_)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    entities: dict[str, Answers] = {}
    all: Answers = Answers()
    paths: dict[str, str] = {}


def read_answers(path: Path) -> Told:
    """Raises BadAnswers; the message names the field."""
    decode: Any = msgspec.toml.decode if path.suffix == ".toml" else msgspec.json.decode
    try:
        found: _File = decode(path.read_bytes(), type=_File)
    except (OSError, UnicodeDecodeError, RecursionError, msgspec.DecodeError) as error:
        raise BadAnswers(
            f"{path} cannot be understood: {error}",
            do="see `daicho advise --help`, and docs/howto/advise.md for the fields",
        ) from error
    given = cast("Mapping[str, Any]", {n: getattr(found.all, n) for n in Answers.__struct_fields__ if n != "peak"})
    return Told(
        found.entities,
        {name: value for name, value in given.items() if value is not None},
        [rule_of(f"{path}={entity}") for path, entity in found.paths.items()],
    )
