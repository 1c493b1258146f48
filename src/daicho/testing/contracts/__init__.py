"""What every storage adapter must do, as tests that anyone can run on theirs.

    class TestMyStorage(StorageContract):
        capabilities = Capabilities(durable=True, cross_process=False)

        def make(self, tmp_path, now):
            return MyStorage(f"my:///{tmp_path}/db", now=now)

That is all: the plugin that comes with Daicho runs the coroutines. Derive from a single port's contract to be held
to that port alone.
"""

from daicho.testing.contracts.base import Capabilities, Contract
from daicho.testing.contracts.checkpoint_store import CheckpointStoreContract
from daicho.testing.contracts.command_log import CommandLogContract
from daicho.testing.contracts.dead_letter_store import DeadLetterStoreContract
from daicho.testing.contracts.event_bus import EventBusContract
from daicho.testing.contracts.event_store import EventStoreContract
from daicho.testing.contracts.key_store import KeyStoreContract
from daicho.testing.contracts.read_store import ReadStoreContract
from daicho.testing.contracts.rows import RowsContract
from daicho.testing.contracts.scheduler import SchedulerContract
from daicho.testing.contracts.snapshot_store import SnapshotStoreContract
from daicho.testing.contracts.sql_views import SqlViewsContract
from daicho.testing.contracts.state_store import StateStoreContract
from daicho.testing.contracts.storage import StorageContract
from daicho.testing.contracts.view_store import ViewStoreContract

__all__ = [
    "Capabilities",
    "CheckpointStoreContract",
    "CommandLogContract",
    "Contract",
    "DeadLetterStoreContract",
    "EventBusContract",
    "EventStoreContract",
    "KeyStoreContract",
    "ReadStoreContract",
    "RowsContract",
    "SchedulerContract",
    "SnapshotStoreContract",
    "SqlViewsContract",
    "StateStoreContract",
    "StorageContract",
    "ViewStoreContract",
]
