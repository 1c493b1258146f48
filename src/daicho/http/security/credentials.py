"""What a way of authenticating has to do."""

from typing import Protocol

from daicho.http.principal import Principal

__all__ = ["Authenticator"]


class Authenticator(Protocol):
    scheme: str
    """What `WWW-Authenticate` names."""

    def takes(self, credential: str) -> bool:
        """Whether it looks like one of its own, so that no other has to be asked."""
        ...

    async def authenticate(self, credential: str) -> Principal:
        """Raises NotAuthenticated for a credential that is not good, saying no more of it than its owner may know."""
        ...
