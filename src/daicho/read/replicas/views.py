"""The views of an App, as a replica has them."""

from collections.abc import Mapping, Sequence

from daicho.core.model import Model
from daicho.core.registry import Registry
from daicho.ports.probe import Probe
from daicho.ports.replication import ReplicaStorage
from daicho.ports.view_store import TableSpec
from daicho.read.queries import ViewState
from daicho.read.rebuild import AnyProjector, projector_for
from daicho.read.replicas.replica import KeptThere

__all__ = ["states_on"]


def states_on(
    storage: ReplicaStorage,
    model: Model,
    registry: Registry,
    probe: Probe,
    projectors: Sequence[AnyProjector],
    elsewhere: Mapping[str, object],
) -> dict[str, ViewState]:
    """By name. Rows that are in another store than the events are read there, whoever answers."""
    states: dict[str, ViewState] = {each.table.name: each for each in projectors if each.table.name in elsewhere}
    for fold in model.folds:
        if fold.name not in elsewhere:
            table = TableSpec(fold.name, 1, fold.part.row_type)
            states[fold.name] = projector_for(fold, table, storage, registry, probe)
    for crud in model.cruds:
        states[crud.name] = KeptThere(TableSpec(crud.name, 1, crud.row_type), storage)
    return states
