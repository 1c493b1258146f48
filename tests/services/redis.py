"""Redis, as it writes to disk or not."""

import socket

from tests.services.find import program
from tests.services.running import Host, Running


class Redis(Running):
    """A server that keeps an append-only file, and what it acknowledged through kill -9. With `appendfsync` `always` it
    would keep it through a loss of power, too."""

    name = "redis"

    def __init__(self, host: Host, settings: dict[str, str]) -> None:
        self._program = program("redis-server", package="redis-server")
        super().__init__(host)
        self._settings = settings

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        settings = [word for name, value in self._settings.items() for word in (f"--{name.replace('_', '-')}", value)]
        return [str(self._program), "--port", str(self.port), "--dir", str(self.folder), *settings]

    def is_ready(self) -> bool:
        """Not while it loads its file."""
        try:
            return self.ask("PING") == "+PONG"
        except OSError:
            return False

    def ask(self, *words: str, within: float = 5) -> str:
        """The answer: a bulk string as it is, of anything else the first line."""
        password = self._settings.get("requirepass")
        asked = ([("AUTH", password)] if password else []) + [words]
        with socket.create_connection(("127.0.0.1", self.port), timeout=within) as connection:
            for each in asked:
                connection.sendall(f"*{len(each)}\r\n".encode() + b"".join(map(_bulk, each)))
            with connection.makefile("rb") as answers:
                for _ in asked:
                    line = answers.readline().decode().rstrip("\r\n")
                return answers.read(int(line[1:])).decode() if line[:1] == "$" and line != "$-1" else line


def _bulk(word: str) -> bytes:
    return f"${len(word.encode())}\r\n{word}\r\n".encode()


SETTINGS = {
    "bind": "127.0.0.1",
    "daemonize": "no",
    "save": "",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "maxmemory-policy": "noeviction",
}


def redis(host: Host, **settings: str) -> Redis:
    """A new server, ready. Any of Redis' settings by name, with underscores for dashes."""
    return Redis(host, SETTINGS | {name.replace("_", "-"): value for name, value in settings.items()}).start()
