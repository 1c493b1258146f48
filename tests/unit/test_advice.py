"""The advisor gives the answer of every row of the tables in the specification (docs/explanation/cqrs.md)."""

import itertools
import re
from typing import Any

import pytest

from daicho import BadAnswers
from daicho.advisor import Answers, Capacity, EntityAdvice, advise
from daicho.advisor.deciding import changes, decide
from daicho.advisor.hits import groups_of, hit_ratio, hit_ratio_of_one
from daicho.advisor.words import _TEXTS, language_of, say


def of(language: Any = "en", **answers: Any) -> EntityAdvice:
    (found,) = advise({"thing": Answers(**answers)}, language=language).entities
    return found


@pytest.mark.parametrize(
    ("ratio", "approach", "why"),
    [
        (1, "simple CRUD", "CQRS is excessive; read replicas suffice"),
        (2, "simple CRUD", "CQRS is excessive; read replicas suffice"),
        (3, "simple CRUD", "CQRS is excessive; read replicas suffice"),
        (5, "staged CQRS", "separate only the read views, writes as before"),
        (9.99, "staged CQRS", "separate only the read views, writes as before"),
        (10, "full CQRS", "complete separation, several read models"),
        (99, "full CQRS", "complete separation, several read models"),
        (100, "CQRS + CDN/cache", "cache reads at the edge, writes centralised"),
        (10_000, "CQRS + CDN/cache", "cache reads at the edge, writes centralised"),
    ],
)
def test_look_to_book_recommends(ratio: float, approach: str, why: str) -> None:
    found = of(ratio=ratio)
    assert found.approach_name == approach
    assert found.reasons[0].criterion == "read/write ratio"
    assert why in found.reasons[0].text


def test_the_shop_of_the_specification_needs_cqrs_and_an_edge_cache() -> None:
    advice = advise({"product": Answers(reads=100_000, writes=1_000)}, language="en")
    assert (advice.ratio, advice.must, advice.topology) == (100, True, "100:1")
    (product,) = advice.entities
    assert product.must
    assert product.approach_name == "CQRS + CDN/cache"
    assert product.reasons[0].figure == "100:1"
    assert "must" in product.reasons[0].text
    assert not of(ratio=99).must


@pytest.mark.parametrize(
    ("criterion", "use", "no_need"),
    [
        ("ratio", 10, 1),
        ("views", "several", "one"),
        ("views", 3, 1),
        ("scalability", "separate", "uniform"),
        ("performance", "under 100 ms", "ordinary"),
        ("performance", 50, 800),
        ("tolerance", "eventual", "immediate"),
        ("domain", "complex", "simple"),
        ("audit", "history", "current state"),
    ],
)
def test_each_criterion_by_itself_speaks_for_cqrs_or_against_it(criterion: str, use: Any, no_need: Any) -> None:
    yes, no = of(**{criterion: use}), of(**{criterion: no_need})
    assert yes.approach != "crud"
    assert no.approach == "crud"
    assert yes.reasons[0].speaks_for == "CQRS"
    assert no.reasons[0].speaks_for == "no CQRS"


@pytest.mark.parametrize(
    ("use_case", "events", "do"),
    [
        ("financial", "must", 'persistence="events"'),
        ("orders", "recommended", 'persistence="events"'),
        ("inventory", "recommended", 'persistence="events"'),
        ("authentication", "optional", 'login history: `Aggregate(persistence="events")`; profile: `Crud(Row)`'),
        ("master data", "not needed", "Crud(Row)"),
    ],
)
def test_each_use_case_says_whether_events_are_kept(use_case: Any, events: str, do: str) -> None:
    found = of(use_case=use_case)
    assert found.event_sourcing == events
    assert do in found.do[0]


@pytest.mark.parametrize(
    ("ratio", "topology"), [(1, "crud"), (3, "crud"), (5, "1:1"), (10, "10:1"), (99, "10:1"), (100, "100:1")]
)
def test_a_ratio_has_its_topology(ratio: float, topology: str) -> None:
    assert of(ratio=ratio).topology == topology
    assert advise({"thing": Answers(ratio=ratio)}).topology == topology


@pytest.mark.parametrize("ratio", [3.01, 4, 4.99])
def test_the_gap_of_the_rule_is_told_and_the_other_criteria_decide(ratio: float) -> None:
    alone, needed = of(ratio=ratio), of(ratio=ratio, views="several")
    assert (alone.band, alone.approach) == ("between", "crud")
    assert (needed.band, needed.approach) == ("between", "staged")
    assert "the rule says nothing between 3:1 and 5:1" in alone.reasons[0].text
    assert any("nothing else asks for CQRS" in reason.text for reason in alone.reasons)
    assert any("decided by views" in reason.text for reason in needed.reasons)


def test_what_is_written_more_than_read_is_below_the_rule() -> None:
    assert (of(ratio=0.5).band, of(ratio=0.5).approach) == ("below", "crud")
    assert "the rule begins at 1:1" in of(reads=0, writes=10).reasons[0].text


def test_what_is_never_written_is_for_caches_and_what_is_not_known_is_not_judged() -> None:
    assert (of(reads=10, writes=0).band, of(reads=10, writes=0).approach) == ("unwritten", "edge")
    assert (of(reads=0, writes=0).band, of().band) == ("unknown", "unknown")
    assert of(reads=10, writes=0).ratio is None


def test_one_need_at_few_reads_does_not_make_a_split_and_two_do() -> None:
    assert of(ratio=2, views="several").approach == "crud"
    assert of(ratio=2, views="several", domain="complex").approach == "staged"
    assert of(ratio=7, views="several", scalability="separate").approach == "full"


def test_who_must_see_his_write_at_once_gets_inline_views_instead_of_replicas() -> None:
    found = of(ratio=20, tolerance="immediate")
    assert found.approach == "staged"
    assert any("inline=True" in each for each in found.do)
    edge = of(ratio=200, tolerance="immediate")
    assert edge.approach == "edge"
    assert any("token of his receipt" in reason.text for reason in edge.reasons)


def test_money_keeps_events_whatever_its_ratio_and_so_needs_views() -> None:
    found = of(ratio=1, use_case="financial", audit="current state")
    assert (found.event_sourcing, found.approach) == ("must", "staged")
    assert any("money needs its history" in reason.text for reason in found.reasons)


def test_master_data_whose_history_is_asked_for_keeps_events() -> None:
    assert of(use_case="master data", audit="history").event_sourcing == "recommended"


def test_a_guess_from_the_name_is_told_and_leaves_the_approach_alone() -> None:
    (found,) = advise({"payments": Answers(ratio=1)}, language="en").entities
    assert (found.use_case, found.use_case_guessed, found.event_sourcing) == ("financial", True, "must")
    assert any("guessed from the name" in reason.text for reason in found.reasons)
    (order,) = advise({"order": Answers(ratio=2)}, language="en").entities
    assert (order.event_sourcing, order.approach) == ("recommended", "crud")
    (unguessed,) = advise({"order": Answers(ratio=2)}, guess=False).entities
    assert unguessed.use_case is None


@pytest.mark.parametrize("name", ["thing", "payment", "order", "stock", "login", "country"])
def test_a_guess_does_not_lower_what_an_answer_asks_for(name: str) -> None:
    (found,) = advise({name: Answers(ratio=1, audit="history")}).entities
    assert found.approach == "staged"


def test_whatever_is_said_to_change_the_answer_changes_it_to_just_that() -> None:
    for ratio in (None, 0.5, 2.0, 4.0, 7.0, 50.0, 500.0):
        for audit in (None, "history", "current state"):
            answers = Answers(ratio=ratio, audit=audit, domain="simple")  # type: ignore[arg-type]
            now = decide(answers)
            for change in changes(answers):
                then = decide(_turned(answers, change.criterion, change.to))
                assert (then.approach, then.events) == (change.approach, change.events)
                assert (then.approach, then.events) != (now.approach, now.events)


def _turned(answers: Answers, criterion: str, to: str) -> Answers:
    fields = {name: getattr(answers, name) for name in answers.__struct_fields__}
    return Answers(**{**fields, criterion.replace(" ", "_"): to})


def test_thresholds_are_told_in_reads_a_minute() -> None:
    would = of(reads=4_000, writes=500).would_change  # 8:1
    assert "from 5,000 reads a minute at these writes (10:1): full CQRS" in would
    assert "below 2,500 reads a minute at these writes (5:1): simple CRUD" in would


def test_instances_are_counted_from_capacities() -> None:
    capacity = Capacity(query=100, command=50, replica=1000, primary=1000, edge=1000, utilisation=0.5)
    advice = advise({"thing": Answers(reads=60_000, writes=6_000)}, capacity=capacity)  # 1000/s and 100/s
    sizing = advice.sizing
    assert sizing is not None
    assert (advice.topology, sizing.query_services, sizing.replicas, sizing.command_services) == ("10:1", 20, 20, 4)
    assert sizing.primary_utilisation == 0.1
    assert advise({"thing": Answers(ratio=20)}).sizing is None


def test_the_edge_takes_what_it_can_and_leaves_the_rest_to_query_services() -> None:
    capacity = Capacity(query=10, edge=1000, utilisation=0.5, keys=1000)
    sizing = advise({"thing": Answers(reads=60_000, writes=600)}, capacity=capacity).sizing
    assert sizing is not None
    assert sizing.edge_caches == 2
    assert sizing.hit_ratio is not None
    # purged at each write, at best one miss for each write: 100 reads in 101 of a thing's life are hits
    assert 0.97 < sizing.hit_ratio <= 100 / 101
    assert sizing.reads_behind_edge == pytest.approx(1000 * (1 - sizing.hit_ratio), rel=0.01)
    assert sizing.query_services == -(-sizing.reads_behind_edge // 5)
    assert sizing.edge_seconds is not None
    assert sizing.cache_seconds == 2.0


def test_a_small_load_is_told_to_begin_small() -> None:
    advice = advise({"thing": Answers(reads=1000, writes=10)}, language="en")
    assert (advice.topology, advice.start_with) == ("100:1", "1:1")
    assert "begin there" in advice.notes[-1]
    assert advise({"thing": Answers(reads=30, writes=10)}).start_with == "crud"


def test_the_hit_ratio_is_that_of_renewal_theory() -> None:
    assert hit_ratio_of_one(9, 1, 1e9) == pytest.approx(0.9)  # purged only: reads of all that happens
    assert hit_ratio_of_one(9, 0, 1) == pytest.approx(0.9)  # never changed, kept for 9 reads
    assert hit_ratio_of_one(9, 5, 1, purged=False) == pytest.approx(0.9)
    assert hit_ratio_of_one(1, 1, 0) == 0
    assert hit_ratio(100, 1, 1e9, keys=5000, zipf=1) == pytest.approx(100 / 101)


@pytest.mark.parametrize("zipf", [0.0, 0.7, 1.0, 1.3])
def test_things_in_groups_are_as_many_and_as_popular_as_one_by_one(zipf: float) -> None:
    groups = groups_of(20_000, zipf)
    assert sum(count for _, count in groups) == 20_000
    assert sum(share * count for share, count in groups) == pytest.approx(1)
    whole = sum(rank**-zipf for rank in range(1, 20_001))
    assert groups[0][0] == pytest.approx(1 / whole, rel=0.001)
    each = sum(rank**-zipf / whole * hit_ratio_of_one(1000 * rank**-zipf / whole, 0, 10) for rank in range(1, 20_001))
    assert hit_ratio(1000, 0, 10, keys=20_000, zipf=zipf) == pytest.approx(each, abs=0.002)


@pytest.mark.parametrize("wrong", [{"reads": -1.0}, {"ratio": float("nan")}, {"writes": float("inf")}, {"keys": -5}])
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadAnswers):
        Answers(**wrong)


def test_japanese_says_the_same() -> None:
    found = of("ja", ratio=100, use_case="financial")
    assert (found.approach, found.approach_name) == ("edge", "CQRS + CDN・キャッシュ")
    assert found.event_sourcing_name == "必須"
    for english, japanese in _TEXTS.values():
        assert set(re.findall(r"{\w+", english)) == set(re.findall(r"{\w+", japanese)), english


@pytest.mark.parametrize(
    ("asked", "lang", "language"),
    [(None, "ja_JP.UTF-8", "ja"), (None, "de_DE", "en"), (None, "", "en"), ("en", "ja_JP", "en"), ("ja", "C", "ja")],
)
def test_the_language_is_that_of_the_environment_unless_asked(
    asked: str | None, lang: str, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LANG", lang)
    assert language_of(asked) == language


def test_every_possible_advice_has_words() -> None:
    """Many combinations, so that no sentence is missing."""
    choices = itertools.product(
        (None, 0.5, 2.0, 4.0, 7.0, 50.0, 500.0),
        (None, "several"),
        (None, "eventual", "immediate"),
        (None, "financial", "authentication", "master data"),
        (None, "history", "current state"),
    )
    for ratio, views, tolerance, use_case, audit in choices:
        answers = Answers(  # type: ignore[arg-type]
            ratio=ratio, views=views, tolerance=tolerance, use_case=use_case, audit=audit, scalability="separate"
        )
        for finding in decide(answers).findings:
            assert say("ja", finding.key, **{k: v for k, v in finding.data.items() if k != "guessed"})
