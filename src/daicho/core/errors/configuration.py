"""A setting cannot be used."""

from daicho.core.errors.root import DaichoError

__all__ = [
    "BadUrl",
    "ConfigurationError",
    "MissingExtra",
    "MissingProgram",
    "UnknownTopology",
    "UnsafeConsole",
    "UnsafeServer",
    "WrongPersistence",
]


class ConfigurationError(DaichoError):
    """A setting cannot be used."""

    code = "D130"


class UnsafeServer(ConfigurationError):
    """A server was to listen to other machines without asking who calls."""

    code = "D725"


class UnsafeConsole(UnsafeServer):
    """The console was to be served to other machines without asking who looks and acts. `--insecure` does not help."""

    code = "D860"


class UnknownTopology(ConfigurationError):
    """A topology was asked for that there is not, or that cannot be: `name`."""

    code = "D820"


class MissingProgram(ConfigurationError):
    """A server that a topology needs is not installed: `program`, and the Debian `package` that has it."""

    code = "D821"


class BadUrl(ConfigurationError):
    """A store, bus or view URL cannot be understood."""

    code = "D131"


class WrongPersistence(ConfigurationError):
    """The store keeps the state of an aggregate in rows and the code says `persistence="events"`, or the other way
    round. `daicho move` takes it from one to the other."""

    code = "D843"


class MissingExtra(ConfigurationError):
    """An optional library is not installed; the message holds the command that installs it."""

    code = "D132"
