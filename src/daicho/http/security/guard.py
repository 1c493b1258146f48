"""All of it, in the right order."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from daicho.core.errors import ConfigurationError
from daicho.http.security.admission import Admission
from daicho.http.security.authentication import OPEN, Authentication
from daicho.http.security.credentials import Authenticator
from daicho.http.security.headers import SecurityHeaders
from daicho.http.security.rates import Rate, RateLimit

__all__ = ["Security", "guard"]


@dataclass(frozen=True, kw_only=True)
class Security:
    """What `guard` builds: `create(app, middleware=guard(Security(authenticators=[...])))`."""

    authenticators: Sequence[Authenticator] = ()
    anonymous: frozenset[str] = OPEN
    """Paths that need no credential."""
    per_credential: Rate | None = None
    per_tenant: Rate | None = None
    per_address: Rate | None = None
    most_under_way: int = 1000
    """Requests at once in one process; reads are turned away at four fifths of it."""
    latest: float = 0.2
    """Seconds that a request may wait before anybody looks at it; beyond, reads are turned away."""
    origins: Sequence[str] = field(default=())
    """Whose pages a browser may let call (CORS). None, unless they are named; never `*` where there are credentials."""

    def __post_init__(self) -> None:
        if "*" in self.origins and self.authenticators:
            raise ConfigurationError(
                "every page on the web would be let call with its visitors' credentials", do="name the origins"
            )


def guard(security: Security) -> list[Middleware]:
    """The outermost first. What they raise is told as a problem document by what `create` puts around them."""
    cors = [
        Middleware(
            CORSMiddleware,
            allow_origins=list(security.origins),
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=["*"],
            max_age=600,
        )
    ]
    return [
        *(cors if security.origins else ()),
        Middleware(SecurityHeaders),
        Middleware(RateLimit, address=security.per_address),
        Middleware(Authentication, authenticators=security.authenticators, anonymous=security.anonymous),
        Middleware(RateLimit, credential=security.per_credential, tenant=security.per_tenant),
        Middleware(Admission, most=security.most_under_way, latest=security.latest),
    ]
