"""Whether a replica is near enough: what follows from what was seen, second by second."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from daicho import BadUrl, ConfigurationError, ReplicaPolicy
from daicho.ports.replication import Sample
from daicho.read.replicas.judgement import FOREIGN, Standing, is_ahead, strangeness
from daicho.read.replicas.primary import Primary
from daicho.read.replicas.urls import check_read_from, name_of, read_from_text

AT = 1_000_000.0
"""The primary's clock when its event loop's clock is 0."""


class Known(Primary):
    """A primary whose clock stands still until it is set."""

    def __init__(self, storage: Any = None) -> None:
        super().__init__(storage)
        self.time = AT

    def now(self) -> float:
        return self.time

    def beats(self, number: int, at: float) -> None:
        self.note(sample(number, at, standby=False, shown=number * 100), at, at)

    def dies(self) -> None:
        self.answers = False


def sample(
    beat: int, at: float, *, standby: bool = True, arrived: int = 0, shown: int = 0, data: str = "1/2", now: float = AT
) -> Sample:
    return Sample(
        data=data,
        server="a",
        standby=standby,
        beat=beat,
        position=beat,
        beat_at=AT + at,
        now=now,
        arrived=arrived,
        shown=shown,
        follows=True,
    )


@pytest.fixture
def primary() -> Known:
    known = Known()
    for number in range(1, 6):
        known.beats(number, float(number))
    known.time = AT + 10.0
    return known


@pytest.fixture
def standing() -> Standing:
    return Standing(ReplicaPolicy(max_lag=2.0, samples=3))


def test_a_replica_with_the_newest_beat_is_not_behind_however_old_that_is(primary: Known, standing: Standing) -> None:
    primary.time = AT + 3600
    standing.seen(sample(5, 5.0, shown=500), primary)
    assert (standing.in_service, standing.lag_seconds, standing.lag_bytes) == (True, 0.0, 0)


def test_its_lag_is_the_age_of_the_oldest_beat_that_it_lacks_and_the_bytes_that_it_does_not_show(
    primary: Known, standing: Standing
) -> None:
    standing.seen(sample(3, 3.0, shown=310), primary)
    assert (standing.lag_seconds, standing.lag_bytes) == (6.0, 190)  # beat 4 was made 6 s ago


def test_three_looks_in_a_row_take_it_out_and_less_than_half_of_the_limit_takes_it_in(
    primary: Known, standing: Standing
) -> None:
    def looks(lag: float) -> bool:
        primary.time = AT + 5.0 + lag
        standing.seen(sample(4, 4.0), primary)  # it lacks beat 5
        return standing.in_service

    assert [looks(lag) for lag in (1.0, 3.0, 3.0, 1.9, 3.0, 3.0, 3.0)] == [True] * 6 + [False]
    assert [looks(lag) for lag in (1.9, 1.1, 0.9, 1.9)] == [False, False, True, True]
    standing.gone("it does not answer")
    assert (standing.in_service, standing.why) == (False, "it does not answer")
    assert [looks(lag) for lag in (1.1, 0.9)] == [False, True]


def test_while_the_primary_is_down_what_shows_all_it_received_may_be_a_minute_old(standing: Standing) -> None:
    primary = Known(storage=object())
    primary.beats(5, 5.0)
    primary.dies()

    def at(age: float, arrived: int = 500, shown: int = 500) -> bool:
        primary.time = AT + 5.0 + age
        standing.seen(sample(5, 5.0, arrived=arrived, shown=shown), primary)
        return standing.in_service

    assert [at(1.0), at(30.0), at(59.0)] == [True] * 3
    assert "the primary cannot be asked" in standing.why
    assert not at(61.0)
    assert at(30.0)
    assert not at(30.0, shown=499), "what it has received and does not show is known to be missing"


def test_another_database_a_primary_and_a_follower_of_another_primary_are_told_apart(primary: Known) -> None:
    assert strangeness(sample(5, 5.0), primary) == ""
    assert strangeness(sample(6, 6.0), primary) == ""  # looked at a moment later
    assert "another database" in strangeness(sample(5, 5.0, data="1/3"), primary)
    assert "takes writes" in strangeness(sample(5, 5.0, standby=False), primary)
    assert strangeness(sample(5, 5.1), primary) == FOREIGN
    assert is_ahead((sample(9, 4.0), 4.5), primary), "seen before the primary, which has not made it, was looked at"
    assert not is_ahead((sample(9, 6.0), 5.5), primary)
    assert not is_ahead((sample(5, 5.0), 4.5), primary)


def test_after_a_failover_the_beats_of_the_old_primary_prove_nothing(primary: Known) -> None:
    primary.note(replace(sample(5, 7.0, standby=False), server="b"), 7, 7)
    assert strangeness(sample(5, 7.0), primary) == ""
    assert strangeness(sample(5, 5.0), primary) == FOREIGN


def test_what_is_told_of_a_url_is_host_port_database_and_nothing_secret() -> None:
    assert name_of("postgresql://ada:secret@db1:5433/shop?sslpassword=x&schema=sales") == "db1:5433/shop?schema=sales"
    assert name_of("postgresql:///shop?host=db1&port=5&password=secret") == "db1:5/shop"
    text = " postgresql://a,b/shop, postgres://c/shop\n postgresql://d/shop"
    assert read_from_text(text) == ["postgresql://a,b/shop", "postgres://c/shop", "postgresql://d/shop"]
    assert read_from_text("") == []


@pytest.mark.parametrize(
    ("error", "make"),
    [
        (ConfigurationError, lambda: check_read_from("sqlite:///x.db", ["postgresql://host/x"])),
        (ConfigurationError, lambda: check_read_from("memory:", ["postgresql://host/x"])),
        (ConfigurationError, lambda: check_read_from("postgresql://p/x", ["postgresql://a@h/x", "postgresql://b@h/x"])),
        (BadUrl, lambda: check_read_from("postgresql://host/x", ["sqlite:///x.db"])),
        (ConfigurationError, lambda: ReplicaPolicy(max_lag=0)),
        (ConfigurationError, lambda: ReplicaPolicy(samples=0)),
    ],
)
def test_what_makes_no_sense_is_refused(error: type[Exception], make: Callable[[], object]) -> None:
    with pytest.raises(error):
        make()


def test_a_store_without_replicas_is_asked_as_ever() -> None:
    check_read_from("sqlite:///x.db", [])
    primary = Primary(None)
    asyncio.run(primary.look(1.0))
    assert not primary.answers
