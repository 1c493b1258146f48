"""The simulation of queues, held against what is known of them exactly, and its predictions against what must be so."""

import json
from pathlib import Path
from random import Random
from statistics import mean
from typing import Any

import pytest
from click.testing import CliRunner

from daicho import BadAnswers, MeterUnavailable
from daicho.advisor.simulation import Counts, Load, Times, predict, simulate, times_of
from daicho.advisor.simulation.formulas import (
    erlang_c,
    mg1_wait,
    mm1_percentile,
    mmc_percentile_of_wait,
    mmc_wait,
)
from daicho.advisor.simulation.measuring import times_from
from daicho.advisor.simulation.model import misses
from daicho.advisor.simulation.stations import Mixture, Service, gathering, least, queue
from daicho.cli import main
from daicho.load.figures import Figures

SPEC = Load(reads=100_000, writes=1_000)
COUNT = 60_000
"""Customers; seeded, so that what is asserted is the same each time."""


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


# -- formulas, by values from books ---------------------------------------------------------------------------------


def test_the_formulas_give_the_values_of_tables() -> None:
    assert erlang_c(8, 1, 10) == pytest.approx(0.4092, abs=1e-4)  # Erlang C, 8 erlangs, 10 servers
    assert erlang_c(0.5, 1, 1) == pytest.approx(0.5)  # with one server: whether it is busy
    assert erlang_c(1, 1, 2) == pytest.approx(1 / 3)
    assert mmc_wait(0.5, 1, 1) == pytest.approx(1.0)
    assert mg1_wait(0.8, 1, 1) == pytest.approx(4.0)
    assert mg1_wait(0.8, 1, 0) == pytest.approx(2.0)  # constant service: half the wait
    assert mm1_percentile(0.5, 1, 0.5) == pytest.approx(1.3863, abs=1e-4)
    assert mmc_percentile_of_wait(0.5, 1, 1, 0.4) == 0


# -- stations, by formulas ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_one_server_with_exponential_service_is_m_m_1(busy: float) -> None:
    served = queue(busy * 100, Service(0.01), 1, COUNT, Random(3))
    assert served.utilisation == pytest.approx(busy)
    assert mean(served.waits) == pytest.approx(mg1_wait(busy * 100, 0.01, 1), rel=0.08)
    assert percentile(served.stays, 0.5) == pytest.approx(mm1_percentile(busy * 100, 0.01, 0.5), rel=0.06)
    assert percentile(served.stays, 0.99) == pytest.approx(mm1_percentile(busy * 100, 0.01, 0.99), rel=0.12)


@pytest.mark.parametrize(("servers", "busy"), [(2, 0.7), (4, 0.8), (16, 0.9)])
def test_several_servers_are_m_m_c(servers: int, busy: float) -> None:
    rate = busy * servers * 100
    served = queue(rate, Service(0.01), servers, COUNT, Random(5))
    assert sum(wait > 0 for wait in served.waits) / len(served.waits) == pytest.approx(
        erlang_c(rate, 0.01, servers), rel=0.06
    )
    assert mean(served.waits) == pytest.approx(mmc_wait(rate, 0.01, servers), rel=0.12)
    assert percentile(served.waits, 0.99) == pytest.approx(mmc_percentile_of_wait(rate, 0.01, servers, 0.99), rel=0.15)


@pytest.mark.parametrize("variation", [0.0, 0.5, 1.0, 2.0])
def test_any_service_waits_as_pollaczek_and_khinchine_say(variation: float) -> None:
    served = queue(60, Service(0.01, variation), 1, COUNT, Random(7))
    assert mean(served.waits) == pytest.approx(mg1_wait(60, 0.01, variation), rel=0.1)
    assert mean(stay - wait for stay, wait in zip(served.stays, served.waits, strict=True)) == pytest.approx(
        0.01, rel=0.03
    )


def test_a_mixture_waits_by_its_second_moment() -> None:
    mixture = Mixture(((0.9, Service(0.005, 0)), (0.1, Service(0.055, 0))))
    second = 0.9 * 0.005**2 + 0.1 * 0.055**2
    served = queue(50, mixture, 1, COUNT, Random(9))
    assert served.utilisation == pytest.approx(0.5)
    assert mean(served.waits) == pytest.approx(50 * second / 2 / (1 - 0.5), rel=0.08)


def test_dealing_out_in_turn_waits_less_than_chance() -> None:
    """Constant arrivals and service never wait; every tenth of a Poisson stream is near to that."""
    dealt = queue(60, Service(0.01, 0), 1, COUNT, Random(11), dealt=10)
    assert mean(dealt.waits) < mg1_wait(60, 0.01, 0) / 4
    assert mean(queue(60, Service(0.01), 1, COUNT, Random(11), dealt=1).waits) == pytest.approx(0.015, rel=0.1)


def test_the_shortest_queue_is_between_chance_and_one_queue_for_all() -> None:
    """As it must be (Winston 1977). With one instance, and with very many, it is M/M/1 and M/M/c."""
    apart = least(140, Service(0.01), 2, COUNT, Random(15))
    assert apart.utilisation == pytest.approx(0.7)
    assert mmc_wait(140, 0.01, 2) < mean(apart.waits) < mg1_wait(70, 0.01, 1) * 0.75
    assert mean(least(60, Service(0.01), 1, COUNT, Random(15)).waits) == pytest.approx(mg1_wait(60, 0.01, 1), rel=0.1)
    many = least(2700, Service(0.01), 30, COUNT, Random(15))
    assert mean(many.waits) == pytest.approx(mmc_wait(2700, 0.01, 30), rel=0.2)


def test_who_gathers_is_stable_beyond_one_by_one_and_serves_more_at_once() -> None:
    idle = gathering(1, Service(0.01, 0), 0.0001, 2_000, Random(13))
    assert idle.batch == pytest.approx(1, abs=0.05)
    assert percentile(idle.stays, 0.5) == pytest.approx(0.0101, rel=0.01)
    full = gathering(5_000, Service(0.01, 0), 0.0001, COUNT, Random(13))  # one by one: 100 a second
    # a turn of n lasts 10 ms + n * 0.1 ms, in which 5,000 a second come: n = 50 + n / 2
    assert full.batch == pytest.approx(100, rel=0.05)
    # each waits on average half a turn of 20 ms, and then its own
    assert mean(full.stays) == pytest.approx(0.03, rel=0.05)
    assert full.utilisation == pytest.approx(0.5, abs=1e-3)


def test_more_than_can_be_done_is_never_stable() -> None:
    assert queue(101, Service(0.01), 1, 10, Random(1)).stays == []
    assert gathering(1001, Service(0.01), 0.001, 10, Random(1)).utilisation > 1
    assert queue(0, Service(0.01), 1, 10, Random(1)).utilisation == 0


# -- predictions ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_figures_and_another_one_not_quite() -> None:
    one, again, other = (simulate(SPEC, seed=seed, samples=2_000) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert one[3].read_p50_ms == pytest.approx(other[3].read_p50_ms, rel=0.1)


def test_every_topology_answers_the_load_of_the_specification_within_100_ms() -> None:
    found = {each.topology: each for each in simulate(SPEC, samples=4_000)}
    assert list(found) == ["crud", "1:1", "10:1", "100:1"]
    for each in found.values():
        assert each.fast_enough
        assert each.read_p99_ms is not None
        assert each.read_p99_ms < 100
        assert all(station.utilisation <= 0.6 for station in each.stations if station.name != "primary")
    assert found["crud"].staleness_p99_ms is None
    assert found["100:1"].hit_ratio == pytest.approx(0.99, abs=0.01)  # at best one miss for each write
    assert (found["100:1"].read_p50_ms or 0) < (found["10:1"].read_p50_ms or 0)


def test_a_thousand_times_more_needs_an_edge_that_fetches_once_for_all() -> None:
    load = Load(reads=100_000_000, writes=1_000_000)
    plain = predict("1:1", load, samples=2_000)
    assert (plain.stable, plain.fast_enough, plain.bottleneck) == (False, False, "primary, reading")
    replicated = predict("10:1", load, samples=2_000)
    assert (replicated.stable, replicated.bottleneck) == (False, "primary, sending")
    edge = predict("100:1", load, samples=2_000)
    shielded = predict("100:1", Load(reads=load.reads, writes=load.writes, shield=True), samples=2_000)
    assert edge.fast_enough
    assert shielded.fast_enough
    assert shielded.counts.query_services < edge.counts.query_services / 10


def test_utilisation_is_that_of_the_law_of_utilisation() -> None:
    """Arrivals a second times seconds of service, over instances."""
    times = Times(query=1_000, view=500, cores=2)
    found = predict("10:1", Load(reads=60_000, writes=60), times=times, counts=Counts(query_services=4, replicas=2))
    busy = {station.name: station.utilisation for station in found.stations}
    assert busy["query service"] == pytest.approx(0.25)
    assert busy["replica"] == pytest.approx(0.125)
    assert found.grows_to == pytest.approx(4)


def test_more_instances_are_taken_until_reads_are_fast_enough() -> None:
    slow = Times(query=30_000)
    found = predict("10:1", Load(reads=6_000, writes=60), times=slow, within_ms=160, utilisation=0.9, samples=4_000)
    fewer = predict(
        "10:1",
        Load(reads=6_000, writes=60),
        times=slow,
        within_ms=160,
        counts=Counts(query_services=4, replicas=4, command_services=1),
        samples=4_000,
    )
    assert found.fast_enough
    assert found.counts.query_services > 4
    assert not fewer.fast_enough


def test_a_write_is_fetched_once_by_every_edge_and_with_a_shield_once() -> None:
    load = Load(reads=6_000_000, writes=600, keys=1)
    one, _ = misses(load, 1)
    ten, _ = misses(load, 10)
    _, shielded = misses(Load(reads=6_000_000, writes=600, keys=1, shield=True), 10)
    assert one == pytest.approx(10, rel=0.02)  # 10 writes a second
    assert ten == pytest.approx(100, rel=0.02)
    assert shielded == pytest.approx(10, rel=0.15)


# -- times, and the command line ------------------------------------------------------------------------------------


def figures(**given: Any) -> Figures:
    nothing = dict.fromkeys(Figures.__struct_fields__, 0) | {"errors": {}}
    return Figures(**{**nothing, **given})


def test_times_are_worked_out_from_a_lone_caller_and_from_full_load() -> None:
    lone = figures(reads=100, read_p50=1.572, write_p50=3.0)
    reading = figures(reads=5_000, reads_per_second=2_000.0)  # two services: 1 ms each
    mixed = figures(reads=500, writes=500, reads_per_second=500.0, writes_per_second=500.0)
    found = times_from(lone, reading, mixed, services=2, source="here")
    assert found.query == 1000
    assert found.command == pytest.approx(1500)  # half a second of work for 500 reads of two services; the rest
    assert found.network == pytest.approx((1572 - 1000 - found.view - found.balancer) / 6, abs=0.1)
    for wrong in (figures(reads=1, failed=1, errors={"OSError": 1}), figures(), figures(reads=1, hit_rate=0.5)):
        with pytest.raises(MeterUnavailable):
            times_from(wrong, reading, mixed, services=1, source="here")


@pytest.mark.parametrize(
    "text", ['{"query": -1}', '{"query": "x"}', '{"quarry": 1}', "[]", "{", '{"cores": 0}', '{"edge": 1e99}']
)
def test_a_file_of_times_that_cannot_be_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "times.json").write_text(text)
    with pytest.raises(BadAnswers):
        times_of(tmp_path / "times.json")


def test_the_table_stands_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "times.toml").write_text("query = 500\n")
    shown = CliRunner().invoke(main, ["simulate", "--scale", "1", "--scale", "1000", "--samples", "500"])
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert len(lines) == 9
    assert lines[1].split()[:3] == ["100,000", "1,000", "crud"]
    one = ["simulate", "--topology", "10:1", "--samples", "500", "--instances", "query_services=2,replicas=2"]
    result = CliRunner().invoke(main, [*one, "--times", "times.toml", "-o", "json"])
    answer = json.loads(result.stdout)
    assert answer["times"]["query"] == 500
    busy = {each["name"]: each["utilisation"] for each in answer["data"][0]["stations"]}
    assert busy["query service"] == pytest.approx(100_000 / 60 * 500e-6 / 2, abs=1e-3)
    for wrong in (
        ["--instances", "x=1"],
        ["--instances", "a"],
        ["--scale", "0"],
        ["--utilisation", "1"],
        ["--ttl", "nan"],
    ):
        assert CliRunner().invoke(main, ["simulate", *wrong]).exit_code == 2
