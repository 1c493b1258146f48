"""How a process is to be run."""

from ipaddress import ip_address
from typing import Annotated, Literal, TypeAlias

import msgspec

from daicho.core.errors import ConfigurationError, UnsafeConsole, UnsafeServer
from daicho.http.security.rates import Rate

__all__ = ["Role", "ServerSettings"]

Role: TypeAlias = Literal["all", "command", "query", "projector", "console"]

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0)]


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Checked as a whole when it is made by `of`."""

    role: Role = "all"
    host: str = "127.0.0.1"
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 8000
    uds: str | None = None
    workers: _Count = 1
    insecure: bool = False
    """Listen to other machines without asking who calls."""
    keys: str | None = None
    """File of API keys."""
    jwt_issuer: str | None = None
    jwt_audience: str | None = None
    jwt_keys: str | None = None
    """URL or file of the issuer's published keys."""
    jwt_secret_file: str | None = None
    jwt_algorithms: str | None = None
    """Names, separated by commas."""
    jwt_tenant_claim: str = "tenant"
    rate: str | None = None
    """Of one credential, as `50/s` or `50/s:200`."""
    rate_tenant: str | None = None
    rate_address: str | None = None
    most_under_way: _Count = 1000
    origins: str | None = None
    """Origins whose pages may call, separated by commas."""
    drain_within: _Seconds = 30.0
    """Seconds that requests under way get when the process is to end."""
    keep_alive: _Seconds = 5.0
    """Seconds that a connection may be idle between two requests."""
    headers_within: _Seconds = 10.0
    """Seconds in which the headers of a request must have come."""
    console: Literal["auto", "on", "off"] = "auto"
    """At /console. `auto`: where it is installed, safe, and one process serves all; nothing of it is loaded before
    somebody looks."""
    console_payloads: Literal["none", "masked", "full"] = "full"
    """The most that anybody is shown there of the content of messages, rows and states."""
    schema_lock: str | None = None
    """File of the released shapes of events that the console compares with."""
    late: _Seconds = 60.0
    """Seconds that a reader may be behind before health says so."""

    @classmethod
    def of(cls, given: dict[str, str]) -> "ServerSettings":
        """From texts, as they come from files, the environment and the command line. Raises ConfigurationError."""
        try:
            settings = msgspec.convert(given, cls, strict=False)
        except msgspec.ValidationError as error:
            raise ConfigurationError(f"a setting of the server cannot be used: {error}", do="mend it") from error
        for rate in (settings.rate, settings.rate_tenant, settings.rate_address):
            if rate is not None:
                Rate.of(rate)
        settings.check()
        return settings

    @property
    def authenticates(self) -> bool:
        return self.keys is not None or self.jwt_issuer is not None

    @property
    def is_open(self) -> bool:
        """Whether other machines could come in unasked."""
        return self.uds is None and not self.authenticates and not _is_loopback(self.host)

    @property
    def has_console(self) -> bool:
        """Whether the console is to be there, if it is installed."""
        if self.console == "auto":
            return self.role == "console" or (self.role == "all" and self.workers == 1 and not self.is_open)
        return self.console == "on"

    def check(self) -> None:
        """Raises UnsafeServer and ConfigurationError."""
        tokens = (self.jwt_issuer, self.jwt_audience, self.jwt_keys or self.jwt_secret_file)
        if any(tokens) and not all(tokens):
            raise ConfigurationError(
                "tokens need an issuer, an audience, and keys or a secret",
                why="a token for somebody else must not open this door",
                do="set jwt-issuer, jwt-audience and jwt-keys (or jwt-secret-file)",
            )
        if self.has_console and self.is_open:
            raise UnsafeConsole(
                f"a console on {self.host} would let everybody act who can reach it",
                why="neither keys nor tokens are configured, and --insecure is not for the console",
                do="`daicho key create NAME --scope console:admin` and --keys FILE, or --jwt-issuer ...",
            )
        if self.has_console and self.workers > 1:
            raise ConfigurationError(
                f"the console cannot be served by {self.workers} workers",
                why="a page is kept by the process that made it",
                do="leave it out with --console off, and run `daicho run console` beside",
            )
        if self.is_open and not self.insecure:
            raise UnsafeServer(
                f"a server on {self.host} would let everybody in who can reach it",
                why="neither keys nor tokens are configured",
                do="`daicho key create NAME` and --keys FILE, or --jwt-issuer ...; or --insecure, if that is wanted",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
