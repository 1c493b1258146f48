"""Keys that end with the process: for tests, and for `memory:` stores."""

from collections.abc import Mapping, Sequence

from daicho.core.errors import SubjectHeld
from daicho.ports.key_store import Certificate, Hold

__all__ = ["MemoryKeys"]


class MemoryKeys:
    def __init__(self, url: str = "memory:") -> None:
        self.url = url
        self._keys: dict[str, bytes | None] = {}
        self._destroyed: list[str] = []
        self._certificates: dict[str, Certificate] = {}
        self._holds: dict[str, Hold] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    async def find(self, names: Sequence[str]) -> dict[str, bytes | None]:
        return {name: self._keys[name] for name in names if name in self._keys}

    async def make(self, keys: Mapping[str, bytes]) -> dict[str, bytes | None]:
        return {name: self._keys.setdefault(name, key) for name, key in keys.items()}

    async def destroy(self, names: Sequence[str], certificate: Certificate) -> int:
        if hold := self._holds.get(certificate.subject):
            raise SubjectHeld.by(hold.subject, hold.reason, hold.held_by)
        count = 0
        for name in dict.fromkeys(names):
            known = self._keys.get(name)
            count += known is not None
            if known is not None or name not in self._keys:
                self._keys[name] = None
                self._destroyed.append(name)
        self._certificates[certificate.certificate_id] = certificate
        return count

    async def destroyed(self, after: int) -> tuple[int, Sequence[str]]:
        return len(self._destroyed), self._destroyed[after:]

    async def certify(self, certificate: Certificate) -> None:
        self._certificates[certificate.certificate_id] = certificate

    async def certificates(self, subject: str | None = None) -> Sequence[Certificate]:
        found = (each for each in self._certificates.values() if subject in (None, each.subject))
        return sorted(found, key=lambda each: (each.forgotten_at, each.certificate_id), reverse=True)

    async def hold(self, hold: Hold) -> None:
        self._holds[hold.subject] = hold

    async def release(self, subject: str) -> bool:
        return self._holds.pop(subject, None) is not None

    async def holds(self) -> Sequence[Hold]:
        return [self._holds[subject] for subject in sorted(self._holds)]
