"""Topologies as a Helm chart: its templates are the same for all of them, its values are what a topology says."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, get_args

from daicho.topologies.description import PORTS, Ratio, Topology
from daicho.topologies.edge import vcl
from daicho.topologies.haproxy import haproxy
from daicho.topologies.images import IMAGES, PRIMARY, PRIMARY_RIGHTS, PURGES, REPLICA
from daicho.topologies.shapes import shape
from daicho.topologies.yaml import yaml

__all__ = ["helm", "values"]

_RELEASE = "{{ .Release.Name }}"
_ROOM = 50
"""So many services of a kind does the load balancer have room for."""
_HEAD = """\
# {what} Written by `daicho up --topology {ratio} --write helm DIR`.
#
#   helm install shop DIR{more} --set image.repository=...
#
# The image has the code of the app, and `daicho` as its entrypoint.

"""
_REDIS = 'exec redis-server --appendonly yes --maxmemory-policy noeviction --requirepass "$REDIS_PASSWORD"'


def helm(topology: Topology) -> dict[str, str]:
    """By path within the chart, the text: `values.yaml` is the topology, `values-1-1.yaml` and the like are the others,
    to be given with `-f`."""
    chart = files("daicho.topologies") / "chart"
    found = {"Chart.yaml": (chart / "Chart.yaml").read_text(encoding="utf-8")}
    for template in sorted((chart / "templates").iterdir(), key=lambda path: path.name):
        found[f"templates/{template.name}"] = template.read_text(encoding="utf-8")
    what = f"The topology {topology.ratio}."
    found["values.yaml"] = _HEAD.format(what=what, ratio=topology.ratio, more="") + yaml(values(topology))
    for ratio in get_args(Ratio):
        name = f"values-{ratio.replace(':', '-')}.yaml"
        head = _HEAD.format(what=f"The topology {ratio}.", ratio=topology.ratio, more=f" -f DIR/{name}")
        other = topology if ratio == topology.ratio else shape(ratio)
        found[name] = head + yaml(values(other))
    return found


def values(topology: Topology) -> dict[str, Any]:
    """What differs between topologies. Each names every part, so that one may be given over another."""
    counts = topology.counts
    addresses = {part.name: f"{_RELEASE}-{part.name}:{PORTS[part.kind]}" for part in topology.parts}
    # the load balancer asks the name server itself, which knows whole names only
    whole = "{{ .Release.Namespace }}.svc.{{ .Values.clusterDomain }}"
    by_kind: dict[str, str] = {kind: f"{_RELEASE}-{kind}.{whole}:{PORTS[kind]}" for kind in counts}
    inside = addresses | {"varnish": f"{_RELEASE}-purge:{PURGES}"}
    return {
        "topology": topology.ratio,
        "app": topology.app,
        "image": {"repository": "daicho-app", "tag": "latest", "pullPolicy": "IfNotPresent"},
        # of a secret with the key `password`; without it, one is made
        "existingSecret": "",
        "clusterDomain": "cluster.local",
        "entrance": {
            "part": topology.entrance,
            "port": PORTS[topology.part(topology.entrance).kind],
            "type": "ClusterIP",
        },
        "services": {
            kind: {"replicas": counts.get(kind, 0), "env": _environment(topology, kind, inside), "resources": {}}
            for kind in ("all", "command", "projector", "query")
        },
        "primary": {
            "replicas": 1,
            "image": IMAGES["primary"],
            "storage": "10Gi",
            "args": list(PRIMARY),
            "rights": PRIMARY_RIGHTS,
            "resources": {},
        },
        "replica": {
            "replicas": counts.get("replica", 0),
            "image": IMAGES["replica"],
            "storage": "10Gi",
            # a slot is named like its pod
            "follow": "SLOT=$(echo \"$POD\" | tr '-' '_')\nexport SLOT\n" + REPLICA,
            "resources": {},
        },
        "stores": _stores(counts),
        "haproxy": {
            "replicas": 2,
            "image": IMAGES["haproxy"],
            "folder": "/usr/local/etc/haproxy",
            "file": "haproxy.cfg",
            "command": [],
            "ports": {"http": PORTS["haproxy"]},
            "config": haproxy(
                topology, by_kind, bind=f":{PORTS['haproxy']}", resolvers=("parse-resolv-conf",), room=_ROOM
            ),
            "resources": {},
        },
        "varnish": {
            # one, because a purge has to come to each that there is
            "replicas": counts.get("varnish", 0),
            "image": IMAGES["varnish"],
            "folder": "/etc/varnish",
            "file": "daicho.vcl",
            "command": [
                *("varnishd", "-F", "-f", "/etc/varnish/daicho.vcl", "-s", "malloc,256m"),
                *("-a", f"public=:{PORTS['varnish']}", "-a", f"purge=:{PURGES}"),
            ],
            "ports": {"http": PORTS["varnish"], "purge": PURGES},
            "config": vcl(f"{_RELEASE}-haproxy", PORTS["haproxy"]),
            "resources": {},
        },
    }


def _environment(topology: Topology, kind: Any, inside: Mapping[str, str]) -> dict[str, str]:
    """Without the replicas: there, each query service has them all, and takes those that are near."""
    parts = topology.of(kind)
    names = {**inside, "login": "daicho:$(DAICHO_PASSWORD)", "password": "$(DAICHO_PASSWORD)"}
    told: Mapping[str, str] = parts[0].settings if parts else {}
    settings = {name: text for name, text in told.items() if name != "read-from"}
    return {f"DAICHO_{name.upper().replace('-', '_')}": text.format_map(names) for name, text in settings.items()}


def _stores(counts: Mapping[Any, int]) -> dict[str, Any]:
    def store(kind: Any, path: str, group: int, *, command: list[str], env: Mapping[str, str]) -> dict[str, Any]:
        return {
            "replicas": counts.get(kind, 0),
            "image": IMAGES[kind],
            "port": PORTS[kind],
            "path": path,
            "group": group,
            "storage": "10Gi",
            "command": command,
            "env": dict(env),
            "resources": {},
        }

    security = {"discovery.type": "single-node", "DISABLE_SECURITY_PLUGIN": "true"}
    return {
        "redis": store("redis", "/data", 999, command=["sh", "-c", _REDIS], env={}),
        "mongodb": store("mongodb", "/data/db", 999, command=[], env={}),
        "opensearch": store("opensearch", "/usr/share/opensearch/data", 1000, command=[], env=security),
    }
