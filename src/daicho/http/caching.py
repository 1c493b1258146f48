"""What caches between us and the caller are told about an answer (RFC 9111, RFC 5861, RFC 9875)."""

from daicho.core.caching import Cache
from daicho.http.principal import ANONYMOUS, Principal
from daicho.read.answers import Answered

__all__ = ["caching"]


def caching(cache: Cache | None, answered: Answered[object], principal: Principal, *, isolated: bool) -> dict[str, str]:
    """`isolated`: whether tenants are kept apart, so that one's answer is never another's."""
    anonymous = principal == ANONYMOUS
    headers: dict[str, str] = {"Vary": "Accept"}
    if answered.position:
        headers["Daicho-Position"] = str(answered.position)
    if cache is None:
        headers["Cache-Control"] = "no-cache" if anonymous else "private, no-cache"
        return headers
    is_public = anonymous or (cache.shared and not (isolated and principal.tenant is not None))
    told = ["public" if is_public else "private", f"max-age={cache.seconds:.0f}"]
    if is_public and cache.edge is not None:
        told.append(f"s-maxage={cache.edge:.0f}")
    if cache.stale:
        told.append(f"stale-while-revalidate={cache.stale:.0f}")
    headers["Cache-Control"] = ", ".join(told)
    vary = ["Accept", *(() if is_public else ("Authorization", "X-API-Key")), *cache.vary]
    headers["Vary"] = ", ".join(vary)
    headers["Surrogate-Key"] = " ".join(answered.surrogate_keys)
    headers["Cache-Groups"] = ", ".join(f'"{key}"' for key in answered.surrogate_keys)
    return headers
