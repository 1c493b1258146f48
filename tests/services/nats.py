"""NATS with JetStream, which keeps its streams in files."""

import socket

from tests.services.find import program
from tests.services.running import Host, Running


class Nats(Running):
    """What it acknowledged survives kill -9: it was written, if not yet synchronised."""

    name = "nats"

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        self._program = program("nats-server", package="nats-server")
        super().__init__(host)
        self._settings = settings

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        settings = {"jetstream": f"{{ store_dir: {self.folder}/js }}", **self._settings}
        lines = ["host: 127.0.0.1", f"port: {self.port}", *(f"{name}: {value}" for name, value in settings.items())]
        (self.folder / "nats.conf").write_text("\n".join(lines))
        return [str(self._program), "--config", str(self.folder / "nats.conf")]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4096).startswith(b"INFO ")
        except OSError:
            return False


def nats(host: Host, **settings: str) -> Nats:
    """A new server, ready. Settings as in its file."""
    return Nats(host, settings).start()
