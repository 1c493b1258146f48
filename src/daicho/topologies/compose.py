"""A topology as one file for Docker Compose (https://compose-spec.io), with all configuration in it.

docker compose -f 10-1.yaml up
"""

from collections.abc import Mapping
from typing import Any

from daicho.topologies.description import DAICHO, PORTS, Part, Topology
from daicho.topologies.edge import vcl
from daicho.topologies.haproxy import haproxy
from daicho.topologies.images import DOCKERFILE, IMAGES, PRIMARY, PRIMARY_RIGHTS, PURGES, REPLICA
from daicho.topologies.yaml import Raw, yaml

__all__ = ["compose"]

_HEAD = """\
# The topology {ratio}. Written by `daicho up --topology {ratio} --write compose DIR`; change it there, not here.
#
#   DAICHO_PASSWORD=... docker compose -f {file} up --build
#
# DAICHO_PASSWORD  of the database and the views, inside; a word without signs that mean something in a URL
# DAICHO_PORT      where clients call on this machine (8080)
# DAICHO_CONTEXT   folder with the code of the app, from this file's (.)
# DAICHO_APP       module:attribute ({app})
#
# Services trust whoever reaches them, and only the entrance can be reached from outside. Give them keys
# (DAICHO_KEYS, DAICHO_JWT_...) before strangers may call.

"""
_PASSWORD = "${DAICHO_PASSWORD:?set DAICHO_PASSWORD}"  # noqa: S105 - where it comes from
_HEALTH: Mapping[str, list[str]] = {
    "primary": ["CMD", "pg_isready", "-U", "daicho", "-d", "daicho", "-h", "127.0.0.1"],
    "replica": ["CMD", "pg_isready", "-U", "daicho", "-d", "daicho", "-h", "127.0.0.1"],
    "redis": ["CMD-SHELL", 'redis-cli -a "$$REDIS_PASSWORD" --no-auth-warning ping | grep -q PONG'],
    "mongodb": ["CMD", "mongosh", "--quiet", "--eval", "db.adminCommand('ping').ok"],
    "opensearch": ["CMD-SHELL", "curl -fs 'http://127.0.0.1:9200/_cluster/health?wait_for_status=yellow&timeout=1s'"],
    "daicho": [
        *("CMD", "python", "-c"),
        "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=3)",
    ],
}


def compose(topology: Topology) -> str:
    """The file. Raises nothing: what cannot be is refused by `shape`."""
    addresses = {part.name: f"{part.name}:{PORTS[part.kind]}" for part in topology.parts}
    inside = addresses | {part.name: f"{part.name}:{PURGES}" for part in topology.of("varnish")}
    file = f"{topology.ratio.replace(':', '-')}.yaml"
    volumes = [part.name for part in topology.of("primary", "replica", "redis", "mongodb", "opensearch")]
    build = {"context": "${DAICHO_CONTEXT:-.}", "dockerfile_inline": DOCKERFILE.replace("$", "$$")}
    content: dict[str, Any] = {
        "name": f"daicho-{topology.ratio.replace(':', '-')}",
        "services": {part.name: _service(part, topology, inside) for part in topology.parts},
        "configs": _configs(topology, addresses),
        "volumes": {name: {} for name in volumes},
    }
    return (
        _HEAD.format(ratio=topology.ratio, file=file, app=topology.app)
        + f"x-build: &build\n{yaml(build, 2)}\n{yaml(content)}"
    )


def _service(part: Part, topology: Topology, inside: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = _daicho(part, topology, inside) if part.kind in DAICHO else _server(part)
    if part.name == topology.entrance:
        found["ports"] = [f"${{DAICHO_PORT:-8080}}:{PORTS[part.kind]}"]
    if part.talks_to:
        # a cache that is not there yet is told again; so who purges does not wait for it
        found["depends_on"] = {
            name: {"condition": "service_healthy" if _has_health(topology.part(name)) else "service_started"}
            for name in part.talks_to
            if topology.part(name).kind != "varnish"
        }
    found["restart"] = "unless-stopped"
    return found


def _has_health(part: Part) -> bool:
    return part.kind in DAICHO or part.kind in _HEALTH


def _health(name: str) -> dict[str, Any]:
    return {"test": _HEALTH[name], "interval": "2s", "timeout": "5s", "retries": 60}


def _daicho(part: Part, topology: Topology, inside: Mapping[str, str]) -> dict[str, Any]:
    names = {**inside, "login": f"daicho:{_PASSWORD}", "password": _PASSWORD}
    settings = {
        f"DAICHO_{name.upper().replace('-', '_')}": text.format_map(names) for name, text in part.settings.items()
    }
    return {
        "build": Raw("*build"),
        "image": "${DAICHO_IMAGE:-daicho-app}",
        "command": ["run", part.kind],
        "environment": {
            "DAICHO_APP": f"${{DAICHO_APP:-{topology.app}}}",
            "DAICHO_HOST": "0.0.0.0",  # noqa: S104 - of the container, which publishes nothing
            "DAICHO_INSECURE": "true",
            **settings,
        },
        # requests under way get 30 seconds to end
        "stop_grace_period": "40s",
        "healthcheck": _health("daicho"),
    }


def _server(part: Part) -> dict[str, Any]:
    found: dict[str, Any] = {"image": IMAGES[part.kind]}
    match part.kind:
        case "primary":
            found |= {
                "command": ["postgres", *PRIMARY],
                "environment": {"POSTGRES_USER": "daicho", "POSTGRES_DB": "daicho", "POSTGRES_PASSWORD": _PASSWORD},
                "configs": [{"source": "replication", "target": "/docker-entrypoint-initdb.d/replication.sh"}],
                "volumes": [f"{part.name}:/var/lib/postgresql"],
                "stop_signal": "SIGINT",
            }
        case "replica":
            found |= {
                "user": "postgres",
                "command": ["sh", "-c", REPLICA.replace("$", "$$")],
                "environment": {"PGPASSWORD": _PASSWORD, "PRIMARY": "primary", "SLOT": part.name.replace("-", "_")},
                "volumes": [f"{part.name}:/var/lib/postgresql"],
                "stop_signal": "SIGINT",
            }
        case "redis":
            line = 'exec redis-server --appendonly yes --maxmemory-policy noeviction --requirepass "$$REDIS_PASSWORD"'
            found |= {
                "command": ["sh", "-c", line],
                "environment": {"REDIS_PASSWORD": _PASSWORD},
                "volumes": [f"{part.name}:/data"],
            }
        case "mongodb":
            found |= {"volumes": [f"{part.name}:/data/db"]}
        case "opensearch":
            found |= {
                "environment": {"discovery.type": "single-node", "DISABLE_SECURITY_PLUGIN": "true"},
                "volumes": [f"{part.name}:/usr/share/opensearch/data"],
            }
        case "varnish":
            found |= {
                "command": [
                    *("varnishd", "-F", "-f", "/etc/varnish/daicho.vcl", "-s", "malloc,256m"),
                    *("-a", f"public=:{PORTS['varnish']}", "-a", f"purge=:{PURGES}"),
                ],
                "configs": [{"source": "vcl", "target": "/etc/varnish/daicho.vcl"}],
            }
        case _:
            found |= {
                "configs": [{"source": "haproxy", "target": "/usr/local/etc/haproxy/haproxy.cfg"}],
                "stop_signal": "SIGUSR1",
                "stop_grace_period": "40s",
            }
    if part.kind in _HEALTH:
        found["healthcheck"] = _health(part.kind)
    return found


def _configs(topology: Topology, addresses: Mapping[str, str]) -> dict[str, Any]:
    balancer = haproxy(topology, addresses, bind=f":{PORTS['haproxy']}", resolvers=("parse-resolv-conf",))
    found: dict[str, Any] = {
        "replication": {"content": PRIMARY_RIGHTS.replace("$", "$$")},
        "haproxy": {"content": balancer.replace("$", "$$")},
    }
    if topology.has("varnish"):
        found["vcl"] = {"content": vcl("haproxy", PORTS["haproxy"]).replace("$", "$$")}
    return found
