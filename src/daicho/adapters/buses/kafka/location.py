"""Bus URLs: `kafka://user:password@host:9092,host2:9092?prefix=shop`, and a few options."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

import msgspec

from daicho.core.errors import BadUrl

__all__ = ["Location", "parse_url"]

_NUMBERS: Mapping[str, tuple[float, float, str]] = {
    "answer_within": (0.5, 600, "10"),
    "replication": (1, 100, "3"),
    "max_age": (60, 10**10, "2592000"),
}
_TLS = ("cafile", "certfile", "keyfile")
_OTHERS = ("prefix", "tls", "sasl")
_SASL = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
_PREFIX = re.compile(r"[A-Za-z0-9-]{1,40}\Z")
_SERVER = re.compile(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:]+\])(:[0-9]{1,5})?\Z")


class Location(msgspec.Struct, frozen=True, kw_only=True):
    """What a bus URL says."""

    url: str
    """As it may be shown: without the password."""
    client: Mapping[str, str]
    """How the client library reaches the cluster: servers, TLS, user and password."""
    prefix: str = ""
    """Of topics and groups. Applications that talk to each other have the same one."""
    answer_within: float = 10.0
    """Seconds in which the cluster has to answer."""
    replication: int | None = None
    """Copies of a topic that is made. None: as the cluster sees fit."""
    max_age: int | None = None
    """Seconds for which messages of a topic that is made are kept. None: for ever."""


def _bad(url: str, why: str, do: str = "write kafka://host:9092") -> BadUrl:
    return BadUrl(f"{url!r} does not name a Kafka", why=why, do=do, url=url)


def _number(shown: str, name: str, text: str) -> float:
    least, most, example = _NUMBERS[name]
    try:
        number = float(text)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise _bad(shown, f"{name}={text} is not a number from {least:g} to {most:g}", f"write {name}={example}")
    return number


def parse_url(url: str) -> Location:
    """Understands the URL without connecting. Raises BadUrl that says what is allowed."""
    parts = urlsplit(url)
    shown = urlunsplit(parts._replace(netloc=re.sub(r":[^@]*@", ":***@", parts.netloc)))
    if parts.scheme != "kafka":
        raise _bad(shown, "it does not begin with kafka://")
    if parts.path.strip("/"):
        raise _bad(shown, f"{parts.path!r} means nothing to Kafka", "write prefix=... to share a cluster")
    options: dict[str, str] = {}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in (*_NUMBERS, *_TLS, *_OTHERS):
            raise _bad(shown, f"there is no option {name!r}", f"use some of {', '.join((*_OTHERS, *_NUMBERS, *_TLS))}")
        if name in options:
            raise _bad(shown, f"option {name!r} is given twice", "give it once")
        options[name] = value
    prefix = options.get("prefix", "")
    if prefix and not _PREFIX.match(prefix):
        raise _bad(shown, f"prefix={prefix} is not possible", "write letters, digits and -, at most 40 of them")
    return Location(
        url=shown,
        client=_client(shown, parts.netloc, options),
        prefix=prefix,
        answer_within=_number(shown, "answer_within", options.get("answer_within", "10")),
        replication=int(_number(shown, "replication", options["replication"])) if "replication" in options else None,
        max_age=int(_number(shown, "max_age", options["max_age"])) if "max_age" in options else None,
    )


def _client(shown: str, place: str, options: Mapping[str, str]) -> dict[str, str]:
    identity, _, servers = place.rpartition("@")
    named = (servers or "localhost:9092").split(",")
    if not all(_SERVER.match(server) for server in named):
        raise _bad(shown, f"{servers!r} is not a list of servers", "write kafka://host:9092,host2:9092")
    tls = options.get("tls", "yes" if any(name in options for name in _TLS) else "no")
    if tls not in ("yes", "no"):
        raise _bad(shown, f"tls={tls} is neither yes nor no", "write tls=yes")
    if tls == "no" and (files := [name for name in _TLS if name in options]):
        raise _bad(shown, f"{', '.join(files)} mean nothing without TLS", "write tls=yes")
    sasl = options.get("sasl", "PLAIN" if identity else "")
    if sasl and (sasl not in _SASL or not identity):
        raise _bad(shown, f"sasl={sasl} is none of {', '.join(_SASL)}, or there is no user", "write sasl=SCRAM-SHA-512")
    names = {"cafile": "ssl.ca.location", "certfile": "ssl.certificate.location", "keyfile": "ssl.key.location"}
    found = {
        "bootstrap.servers": ",".join(server if _has_port(server) else f"{server}:9092" for server in named),
        "security.protocol": f"{'SASL_' if sasl else ''}{'SSL' if tls == 'yes' else 'PLAINTEXT'}",
        **{theirs: options[ours] for ours, theirs in names.items() if ours in options},
    }
    if sasl:
        user, _, password = identity.partition(":")
        found |= {"sasl.mechanism": sasl, "sasl.username": unquote(user), "sasl.password": unquote(password)}
    return found


def _has_port(server: str) -> bool:
    return re.search(r":[0-9]+\Z", server) is not None
