"""Which class stands for which stored event, and how to get from one to the other."""

from collections.abc import Callable, Iterable, Sequence
from typing import cast, get_args

import msgspec

from daicho.core.codec import CodecName, convert, decode_builtins, decoder_for, encoder_for, invalid, plain_decoder
from daicho.core.errors import (
    ConfigurationError,
    EventTooLarge,
    TwoHandlers,
    UnknownEventType,
    UnreadableEvent,
    WiringError,
)
from daicho.core.fingerprint import fingerprint
from daicho.core.founding import FOUNDED, Founded, HasFounding
from daicho.core.messages import Event
from daicho.core.upcasting import Upcaster, Upcasters

__all__ = ["Registry"]

_MIB = 1024 * 1024


class Registry:
    """The event classes of one App. No global: two apps may know different events, or the same by other names."""

    def __init__(
        self,
        events: Iterable[type[Event]],
        upcasters: Iterable[Upcaster] = (),
        *,
        codec: CodecName = "json",
        largest: int = _MIB,
    ) -> None:
        if codec not in get_args(CodecName):
            raise ConfigurationError(
                f"there is no codec {codec!r}", do=f"give one of {', '.join(map(repr, get_args(CodecName)))}"
            )
        self._classes: dict[str, type[Event]] = {}
        self.codec, self._largest = codec, largest
        self._encode = encoder_for(codec)
        self._decoders: dict[tuple[str, int], Callable[[bytes], Event]] = {}
        self._targets: dict[tuple[str, int], type[Event]] = {}
        self._fast: dict[tuple[str, int], Callable[[bytes], Event]] = {}
        """Decoders of the present classes for the encoding in use; everything else goes by `_decoders`."""
        for cls in events:
            name, version = cls.__message_name__, cls.__schema_version__
            other = self._classes.get(name, cls)
            if other is not cls:
                raise TwoHandlers(
                    f"{cls.__module__}.{cls.__qualname__} and {other.__module__}.{other.__qualname__} "
                    f"are both stored as {name!r}",
                    do='give one of them another name: `class X(Event, name="...")`',
                )
            if not isinstance(cast("object", name), str):
                raise WiringError(f"{cls.__name__} would be stored as {name!r}", do='give a text: name="order.created"')
            if not isinstance(cast("object", version), int) or version < 1:
                raise WiringError(f"{cls.__name__} has schema version {version!r}", do="versions begin at 1")
            self._classes[name] = cls
            self._decoders[name, version], self._targets[name, version] = decoder_for(cls), cls
            self._fast[name, version] = plain_decoder(cls, codec)
        # a class of our own, which no part names; not among the fast ones, so that the way of the others stays short
        self._decoders[FOUNDED, 1], self._targets[FOUNDED, 1] = decoder_for(Founded), Founded
        self._check = {cls: self._decoders[name, cls.__schema_version__] for name, cls in self._classes.items()}
        self._check[Founded] = self._decoders[FOUNDED, 1]
        steps = list(upcasters)
        self._steps = [step.function for step in sorted(steps, key=lambda step: (step.type, step.version))]
        chain = Upcasters(steps)
        for start in chain.starts():
            end = chain.end_of(*start)
            target = self._classes.get(end[0])
            if target is None or target.__schema_version__ != end[1]:
                raise WiringError(
                    f"the upcaster of {start[0]!r} version {start[1]} leads to {end[0]!r} version {end[1]}, "
                    "which no event class of this App has",
                    do="mend the upcaster, or the event's `version=`",
                )
            if start not in self._decoders:
                self._decoders[start], self._targets[start] = self._through(chain, start, target), target

    @staticmethod
    def _through(chain: Upcasters, start: tuple[str, int], target: type[Event]) -> Callable[[bytes], Event]:
        def decode(data: bytes) -> Event:
            return convert(chain.run(*start, decode_builtins(data)), target)

        return decode

    @property
    def classes(self) -> dict[str, type[Event]]:
        return dict(self._classes)

    def names_of(self, classes: Iterable[type[Event]]) -> tuple[str, ...]:
        """Every stored name whose events are read as one of `classes`, renamed ones included."""
        wanted = set(classes)
        return tuple(sorted({name for (name, _), cls in self._targets.items() if cls in wanted}))

    def code_of(self, classes: Iterable[type[Event]]) -> str:
        """Fingerprint of the way in which stored events are read as `classes`: changes with a class or an upcaster."""
        return fingerprint(*sorted(classes, key=lambda cls: cls.__message_name__), *self._steps)

    def encode(self, event: Event) -> bytes:
        """The bytes to store. Raises InvalidMessage for a value that could not be read back, EventTooLarge."""
        name = type(event).__message_name__
        try:
            data = self._encode(event)
            self._check[type(event)](data)
        except (msgspec.ValidationError, msgspec.DecodeError) as error:
            raise invalid(f"event {name}", error) from error
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise invalid(f"event {name}", error) from error
        except KeyError:
            raise UnknownEventType(
                f"{name} is not an event of this App", do="name it in the annotations of a part given to App"
            ) from None
        if len(data) > self._largest:
            raise EventTooLarge(
                f"an event {name} takes {len(data):,} bytes; the limit is {self._largest:,}",
                why="events are read far more often than written, and travel whole",
                do="store the bulk elsewhere and its address in the event, or raise App(largest_event=...)",
                size=len(data),
                limit=self._largest,
            )
        return data

    def decode(self, name: str, version: int, data: bytes, where: str | int = "") -> Event:
        """The event that `data` stands for, upcast to its present class. Raises UnknownEventType, UnreadableEvent."""
        try:
            return self._fast[name, version](data)
        except Exception:  # noqa: BLE001 - the other encoding, an old version, or an error: told apart there
            return self._decode(name, version, data, where)

    def _decode(self, name: str, version: int, data: bytes, where: str | int) -> Event:
        place = f" at position {where}" if isinstance(where, int) else where and f" at {where}"
        decoder = self._decoders.get((name, version))
        if decoder is None:
            raise self._unknown(name, version, place)
        try:
            return decoder(data)
        except Exception as error:
            raise UnreadableEvent(
                f"the stored {name} version {version}{place} cannot be read: {error}",
                why="its data does not fit the class that is registered for it",
                do="raise the class's `version` and add an upcaster from the stored one",
                type=name,
                version=version,
            ) from error

    def decode_all(self, events: Sequence[tuple[int, int, str, int, bytes]]) -> list[Event]:
        """Events as position, version, type, schema version and data, decoded. Raises what `decode` raises, and for
        one that cannot be read nothing is told of the others. Raises HasFounding if one of them is a founding one."""
        fast = self._fast
        try:
            return [fast[name, version](data) for _, _, name, version, data in events]
        except Exception:  # noqa: BLE001 - some are in the other encoding, of an old version, or an error
            if any(event[2] == FOUNDED for event in events):
                raise HasFounding from None
            return [self.decode(name, version, data, at) for at, _, name, version, data in events]

    def read_as(self, name: str, version: int) -> type[Event] | None:
        """The class that events stored so are read as; None if they cannot be."""
        return self._targets.get((name, version))

    def knows(self, name: str, version: int) -> bool:
        return (name, version) in self._decoders

    def _unknown(self, name: str, version: int, place: str) -> UnknownEventType:
        cls = self._classes.get(name)
        if cls is None:
            why = f"no part of this App names an event stored as {name!r}"
            do = "give App the part that knows it, or an upcaster that renames it"
        elif version > cls.__schema_version__:
            why = f"this code knows it up to version {cls.__schema_version__}: the event is from a newer release"
            do = "run the newer release"
        else:
            why = f"this code has version {cls.__schema_version__} and no upcaster from version {version}"
            do = f'add `@upcast("{name}", {version})`'
        return UnknownEventType(
            f"stored event {name} version {version}{place} is unknown",
            why=why,
            do=do,
            type=name,
            version=version,
        )
