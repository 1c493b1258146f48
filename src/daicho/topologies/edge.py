"""The edge cache's configuration: Varnish keeps what answers allow, and drops what a projection says has changed."""

from collections.abc import Sequence

__all__ = ["vcl"]

_VCL = """\
# Varnish in front of the services: keeps what the answers allow, drops what a projection says has changed.
# Needs the modules xkey and var (Debian: varnish-modules).{further}
vcl 4.1;
import std;
import var;
import xkey;

backend app {{ .host = "{host}"; .port = "{port}"; }}
{acl}
sub vcl_recv {{
    if (req.method == "PURGE" || req.method == "SOFTPURGE") {{
        if ({stranger}) {{ return (synth(403)); }}
        var.global_set("purged", "" + std.time2real(now, 0.0));
        if (req.method == "PURGE") {{ set req.http.n = xkey.purge(req.http.xkey-purge); }}
        else {{ set req.http.n = xkey.softpurge(req.http.xkey-purge); }}
        return (synth(200, "Purged " + req.http.n));
    }}
    if (req.method != "GET" && req.method != "HEAD") {{ return (pass); }}
    # what comes with a credential is for one caller alone; streams never end
    if (req.http.Authorization || req.http.X-API-Key || req.http.Accept ~ "text/event-stream") {{ return (pass); }}
    # what a service says of itself is of one moment
    if (req.url ~ "^/(livez|readyz|startupz|metrics|look-to-book|status/)") {{ return (pass); }}
    return (hash);
}}

sub vcl_hit {{
    # read your writes: an answer that is older than what the caller has seen will not do. A number with more digits
    # than are understood here counts as newer than everything
    if (req.http.Min-Position &&
        std.integer(req.http.Min-Position, 999999999999999) > std.integer(obj.http.Daicho-Position, 0)) {{
        return (pass);
    }}
}}

sub vcl_backend_fetch {{ var.set_real("begun", std.time2real(now, 0.0)); }}

sub vcl_backend_response {{
    if (beresp.http.Surrogate-Key) {{ set beresp.http.xkey = beresp.http.Surrogate-Key; }}
    set beresp.grace = 0s;
    if (beresp.http.Cache-Control ~ "(no-store|no-cache|private)" || !beresp.http.Cache-Control) {{
        # remembered for a minute, so that those who ask for the same do not queue up behind each other
        set beresp.uncacheable = true;
        set beresp.ttl = 60s;
    }} else if (beresp.http.Cache-Control ~ "stale-while-revalidate=") {{
        set beresp.grace = std.duration(
            regsub(beresp.http.Cache-Control, ".*stale-while-revalidate=([0-9]+).*", "\\1") + "s", 0s);
    }}
    # something was purged while this was on its way: it may be of the time before, and nobody will purge it again
    if (!beresp.uncacheable &&
        std.real(var.global_get("purged"), 0.0) >= var.get_real("begun") - 0.002 && beresp.ttl > 1s) {{
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
    }}
}}

sub vcl_deliver {{
    unset resp.http.xkey;
    # the caches behind this one are told of nothing: they get what is meant for them
    if (resp.http.Cache-Control) {{
        set resp.http.Cache-Control = regsub(resp.http.Cache-Control, ", *s-maxage=[0-9]+", "");
    }}
    if (obj.hits > 0) {{ set resp.http.X-Cache = "HIT"; }} else {{ set resp.http.X-Cache = "MISS"; }}
}}
"""


def vcl(host: str, port: str | int, *, purgers: Sequence[str] = ()) -> str:
    """For a Varnish in front of host and port. `purgers`: addresses that may purge; without any, everybody may who
    reaches the listener named `purge` (`varnishd -a purge=...`), which then is for the inside alone."""
    acl = " ".join(f'"{each}";' for each in purgers)
    return _VCL.format(
        host=host,
        port=port,
        further=""
        if purgers
        else "\n# Purges come by a listener of their own: varnishd -a public=:6081 -a purge=:6082",
        acl=f"\n# who may purge: the machines that run projections\nacl purgers {{ {acl} }}\n" if purgers else "",
        stranger="client.ip !~ purgers" if purgers else 'local.socket != "purge"',
    )
