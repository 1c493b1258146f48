"""What Kafka and the way to it may say, as Daicho's errors."""

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TypeVar

from confluent_kafka import KafkaError, KafkaException

from daicho.core.errors import BusError, BusRefused, BusUnavailable

__all__ = ["error_of", "patiently", "telling", "translated"]

T = TypeVar("T")

_KEPT_OUT = {
    KafkaError._AUTHENTICATION,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError._SSL,
}
_GONE = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION}
_REFUSED = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_MSG,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.INVALID_CONFIG,
    KafkaError.INVALID_REPLICATION_FACTOR,
    KafkaError.INVALID_PARTITIONS,
    KafkaError.TOPIC_EXCEPTION,
    KafkaError.POLICY_VIOLATION,
    KafkaError.UNSUPPORTED_VERSION,
    KafkaError._INVALID_ARG,
}
_SOON = {
    KafkaError.NOT_COORDINATOR,
    KafkaError.COORDINATOR_NOT_AVAILABLE,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_LEADER_FOR_PARTITION,
    KafkaError.LEADER_NOT_AVAILABLE,
    KafkaError._WAIT_COORD,
    KafkaError._WAIT_CACHE,
}


def error_of(error: BaseException) -> KafkaError | None:
    """What the library means by its exception."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, KafkaError) else None


def translated(error: KafkaError | BaseException, url: str) -> BusError:
    """The error to raise instead; a given exception should be its cause."""
    said = error if isinstance(error, KafkaError) else error_of(error)
    if said is None:
        return BusUnavailable(f"{url} does not answer", why=str(error), do="check that the brokers run")
    code, text = said.code(), said.str()
    if code in _KEPT_OUT:
        return BusRefused(f"{url} does not let us in", why=text, do="check user, password, TLS, and the user's ACL")
    if code in _GONE:
        return BusRefused(f"{url} does not have it", why=text, do="declare the channel (again)")
    if code in _REFUSED:
        return BusRefused(f"{url} refused", why=text, do="the broker's words say what it is about")
    return BusUnavailable(f"{url} does not answer", why=text, do="check that the brokers run and can be reached")


def patiently(ask: Callable[[], T], within: float, *, is_new: bool = False) -> T:
    """Asks again while the cluster chooses a leader or a coordinator, or has not told all its nodes of a topic that is
    new. Waits: call it in a thread."""
    deadline, pause = time.monotonic() + within, 0.02
    while True:
        try:
            return ask()
        except KafkaException as error:
            said = error_of(error)
            is_passing = said is not None and said.code() in (_SOON | _GONE if is_new else _SOON)
            if not is_passing or time.monotonic() + pause > deadline:
                raise
        time.sleep(pause)
        pause = min(pause * 1.5, 0.5)


@contextmanager
def telling(url: str) -> Generator[None, None, None]:
    """What fails in here is told as a BusError."""
    try:
        yield
    except (KafkaException, RuntimeError) as error:  # of a client that is closed, RuntimeError
        raise translated(error, url) from error
