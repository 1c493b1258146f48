"""The load balancer's configuration: commands to those who take commands, queries to those who answer them."""

from collections.abc import Mapping, Sequence

from daicho.topologies.description import Topology

__all__ = ["haproxy"]

_HEAD = """\
# Written by `daicho up`, of the topology {ratio}. Change the topology, not this file.
global
  maxconn 8192
  hard-stop-after 30s
{stats}
{resolvers}defaults
  mode http
  option http-keep-alive
  option forwardfor
  option dontlognull
  timeout connect 1s
  timeout client 75s
  timeout server 75s
  timeout http-request 10s
  timeout http-keep-alive 10s
  timeout check 2s
  # with nobody there, callers hear it soon instead of waiting
  timeout queue 1s
  retries 3
  option redispatch 1

frontend entrance
  bind {bind}
"""
_APART = """\
  # what became of a command is asked of those who took it
  acl reads method GET HEAD QUERY
  acl status path_beg /status/
  use_backend queries if reads !status
  default_backend commands
"""
_BACKEND = """
backend {name}
  balance {balance}
  # a query may be asked again; a command is sent again only if nobody can have heard it
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless {{ method GET HEAD QUERY }}
  # not live but ready: a service that drains, or whose store is away, gets no more of them
  option httpchk
  http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host {host}
  http-check expect status 200
  # who is frozen or gone lets go of its connections at once. To take one out in good order, drain it first:
  # `set server {name}/NAME state drain` on the stats socket
  default-server check inter 1s fastinter 500ms downinter 500ms fall 3 rise 1 on-marked-down shutdown-sessions{more}
  # who takes no connection is out at once, before a check says so: otherwise it has the least to do, and gets the most
  default-server observe layer4 error-limit 2 on-error mark-down
  # idle connections end here before they end there: so nothing is sent into one that is being closed
  default-server pool-purge-delay 2s
"""


def haproxy(
    topology: Topology,
    addresses: Mapping[str, str],
    *,
    bind: str,
    stats: str = "",
    resolvers: Sequence[str] = (),
    room: int = 0,
) -> str:
    """`addresses`: host and port of each part, by name. `stats`: where the runtime API listens, as `unix@FILE`.
    `resolvers`: lines of that section, where names are looked up again and again; `parse-resolv-conf` takes those of
    the machine. `room`: for so many servers of a kind, all those that one name stands for; then `addresses` has one by
    kind."""
    behind = [topology.part(name) for name in topology.part("haproxy").talks_to]
    everything, commands, queries = (
        [part for part in behind if part.kind == kind] for kind in ("all", "command", "query")
    )
    more = " init-addr last,libc,none resolvers names" if resolvers else ""
    servers = {
        kind: f"  server-template {kind}- {room} {addresses[kind]}\n" if room and parts else "".join(
            f"  server {part.name} {addresses[part.name]}\n" for part in parts
        )
        for kind, parts in (("all", everything), ("command", commands), ("query", queries))
    }  # fmt: skip
    head = _HEAD.format(
        ratio=topology.ratio,
        bind=bind,
        stats=f"  stats socket {stats} mode 600 level admin\n" if stats else "",
        resolvers="".join(
            [
                "resolvers names\n",
                *(f"  {line}\n" for line in resolvers),
                "  hold valid 2s\n  accepted_payload_size 8192\n\n",
            ]
            if resolvers
            else []
        ),
    )
    if everything:
        return f"{head}  default_backend services\n" + _backend("services", servers["all"], more, "leastconn")
    return (
        head
        + _APART
        + _backend("commands", servers["command"], more, "roundrobin")
        + _backend("queries", servers["query"], more, "leastconn")
    )


def _backend(name: str, servers: str, more: str, balance: str) -> str:
    return _BACKEND.format(name=name, balance=balance, host="daicho", more=more) + servers
