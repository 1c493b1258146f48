"""pgbouncer in transaction mode, as it stands in front of PostgreSQL in most companies."""

import signal
from typing import ClassVar

from tests.services.find import program
from tests.services.postgres import Postgres, answers
from tests.services.running import Running, through

CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={behind}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users
admin_users = postgres
pool_mode = transaction
default_pool_size = {pool_size}
max_client_conn = 500
ignore_startup_parameters = extra_float_digits, options, search_path
server_login_retry = 0.1
"""


class PgBouncer(Running):
    """Each transaction gets one of `pool_size` connections to the cluster; nothing outlives it: no prepared
    statement, no LISTEN, no session lock, no SET."""

    name = "pgbouncer"
    users: ClassVar[tuple[str, ...]] = ("postgres", "nobody")
    stops_at = signal.SIGINT

    def __init__(self, cluster: Postgres, *, pool_size: int, behind: int) -> None:
        self._program = program("pgbouncer", package="pgbouncer")
        super().__init__(cluster.host)
        self.cluster = cluster
        (self.folder / "users").write_text('"postgres" ""\n')
        (self.folder / "ini").write_text(
            CONFIGURATION.format(behind=behind, port=self.port, folder=self.folder, pool_size=pool_size)
        )

    @property
    def url(self) -> str:
        """The cluster's own database through the pool; `through(url, pool.port)` leads to any other."""
        return through(self.cluster.url, self.port)

    def command(self) -> list[str]:
        return [str(self._program), str(self.folder / "ini")]

    def is_ready(self) -> bool:
        return answers(f"postgresql://postgres@127.0.0.1:{self.port}/pgbouncer")


def pgbouncer(cluster: Postgres, *, pool_size: int = 20, behind: int | None = None) -> PgBouncer:
    """A pool in front of the cluster, ready. `behind` is another port to reach the cluster by: a proxy's."""
    return PgBouncer(cluster, pool_size=pool_size, behind=behind or cluster.port).start()
