"""Varnish with the module xkey, configured by deploy/varnish/daicho.vcl."""

import socket
from pathlib import Path

from tests.services.find import Unavailable, program
from tests.services.running import Host, Running, free_port

VCL = Path(__file__).parents[2] / "deploy" / "varnish" / "daicho.vcl"
MODULES = ("/usr/lib/x86_64-linux-gnu/varnish/vmods", "/usr/lib/aarch64-linux-gnu/varnish/vmods")


class Varnish(Running):
    """In front of one origin on this machine."""

    name = "varnish"
    users = ("vcache", "nobody")

    def __init__(self, host: Host, origin: int) -> None:
        self._program = program("varnishd", package="varnish")
        if not _has_xkey():
            _install_modules()
        program("cc", package="gcc")
        super().__init__(host)
        self._admin = free_port()
        text = VCL.read_text().replace('.port = "8000"', f'.port = "{origin}"')
        (self.folder / "edge.vcl").write_text(text)
        (self.folder / "edge.vcl").chmod(0o644)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        return [
            *(str(self._program), "-j", "none", "-F", "-n", str(self.folder / "work")),
            *("-a", f"127.0.0.1:{self.port}", "-T", f"127.0.0.1:{self._admin}"),
            *("-f", str(self.folder / "edge.vcl"), "-s", "malloc,32m", "-p", "thread_pool_min=10"),
        ]

    def is_ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"BREW / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return connection.recv(8) == b"HTTP/1.1"
        except OSError:
            return False


def _has_xkey() -> bool:
    return any(Path(folder, "libvmod_xkey.so").exists() for folder in MODULES)


def _install_modules() -> None:
    try:
        program("varnish-modules", package="varnish-modules")
    except Unavailable:
        if not _has_xkey():
            raise
