"""RabbitMQ with its streams. It takes some five seconds to start: share it as long as you can."""

import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

from tests.services.find import Unavailable, program
from tests.services.running import Host, Running, as_user, free_port

SETTINGS = {
    "loopback_users.guest": "true",
    "log.file": "false",
    "log.console": "true",
    "log.console.level": "warning",
    "vm_memory_high_watermark.absolute": "1GB",
    "disk_free_limit.absolute": "10MB",
    "collect_statistics_interval": "60000",
    "queue_master_locator": "client-local",
    "max_message_size": str(2**20),
}


class Names(Running):
    """epmd, by which Erlang's programs find each other. Ours, so that the broker leaves none behind."""

    name = "epmd"
    users = ("rabbitmq", "nobody")

    def __init__(self, host: Host) -> None:
        self._program = program("epmd", package="rabbitmq-server")
        super().__init__(host)

    @property
    def url(self) -> str:
        return f"epmd://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [str(self._program), "-port", str(self.port), "-address", "127.0.0.1"]

    def is_ready(self) -> bool:
        return _is_open(self.port)


class RabbitMQ(Running):
    """What it confirmed survives kill -9 in streams and quorum queues alike; a loss of power only in quorum queues."""

    name = "rabbitmq"
    users = ("rabbitmq", "nobody")
    drops_at = signal.SIGTERM
    """Its script passes this on to the Erlang machine, which would survive a kill -9 of the script."""

    def __init__(self, host: Host, settings: Mapping[str, str]) -> None:
        program("rabbitmq-server", package="rabbitmq-server")
        homes = sorted(Path("/usr/lib/rabbitmq/lib").glob("rabbitmq_server-*"))
        if not homes:
            raise Unavailable("RabbitMQ is not where Debian puts it, in /usr/lib/rabbitmq/lib")
        self._home = homes[-1]
        self._names = Names(host).start()
        self._began = time.monotonic()
        super().__init__(host)
        self.node = f"t{self.port}@localhost"
        self.streams_port = free_port()
        all_settings = {
            "listeners.tcp.1": f"127.0.0.1:{self.port}",
            "stream.listeners.tcp.1": f"127.0.0.1:{self.streams_port}",
            **settings,
        }
        self._cookie = secrets.token_hex(20)
        files = {
            "rabbitmq.conf": "".join(f"{name} = {value}\n" for name, value in all_settings.items()),
            "enabled_plugins": "[rabbitmq_stream].\n",
            ".erlang.cookie": self._cookie,
        }
        for name, text in files.items():
            path = self.folder / name
            path.write_text(text)
            path.chmod(0o400 if name == ".erlang.cookie" else 0o644)
            if self.user:
                shutil.chown(path, self.user, self.user)

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/"

    def command(self) -> list[str]:
        """Settings of this server's own go by its environment."""
        variables = {
            **self._erlang(),
            "RABBITMQ_MNESIA_BASE": self.folder / "mnesia",
            "RABBITMQ_LOG_BASE": self.folder / "logs",
            "RABBITMQ_CONFIG_FILE": self.folder / "rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self.folder / "enabled_plugins",
            "RABBITMQ_PID_FILE": self.folder / "pid",
            "RABBITMQ_DIST_PORT": free_port(),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 2:2 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_MAX_PORTS": 4096,
        }
        told = [f"{name}={value}" for name, value in variables.items()]
        return ["env", *told, str(self._home / "sbin/rabbitmq-server")]

    def is_ready(self) -> bool:
        return _is_open(self.port) and _is_open(self.streams_port)

    def control(self, *words: str) -> str:
        """What `rabbitmqctl` says. It takes a second or two."""
        variables = [f"{name}={value}" for name, value in self._erlang().items()]
        asked = ["env", *variables, str(self._home / "sbin/rabbitmqctl"), "-q", "-n", self.node, *words]
        return subprocess.run(
            as_user(self.user, *asked), cwd=self.folder, check=True, capture_output=True, text=True, timeout=60
        ).stdout

    def settle(self) -> None:
        """Writes down what a broker keeps in memory for the first seconds after it made its very first stream: under
        which name streams are governed. Killed without it, it finds none again."""
        if time.monotonic() - self._began < 30:
            self.control("eval", "[dets:sync(Table) || Table <- dets:all()].")

    def _erlang(self) -> dict[str, object]:
        return {
            "HOME": self.folder,
            "ERL_EPMD_PORT": self._names.port,
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self.node,
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        }


def rabbitmq(host: Host, **settings: str) -> RabbitMQ:
    """A new broker, ready and empty. Any of RabbitMQ's settings by name, with double underscores for dots."""
    given = {name.replace("__", "."): value for name, value in settings.items()}
    return RabbitMQ(host, SETTINGS | given).start(within=120)


def _is_open(port: int) -> bool:
    with socket.socket() as trial:
        trial.settimeout(1)
        return trial.connect_ex(("127.0.0.1", port)) == 0
