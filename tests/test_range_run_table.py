"""Intervals compared with independent figures; the table's sums with sums by hand."""

import math
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from range_run_world import write_scene
from stillwatch.range import words
from stillwatch.range.clusters import clusters, means
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.interval import Interval, of_multiples, of_rate, of_share, over_seeds
from stillwatch.range.ledger import read_ledger
from stillwatch.range.measure import measure
from stillwatch.range.outcome import SceneOutcome, ScoredPeople
from stillwatch.range.table import ALL, ResultRow, line, lines
from stillwatch.scan.curve import curve


def test_students_interval_is_scipys() -> None:
    draw = random.Random(1)
    for n in (2, 3, 5, 20):
        values = [draw.gauss(10, 3) for _ in range(n)]
        right = stats.ttest_1samp(values, 0).confidence_interval(0.95)
        got = over_seeds(values)
        assert got is not None
        assert (got.low, got.high) == pytest.approx((right.low, right.high))
        assert got.n == n


def test_exact_bounds_are_scipys_and_hold_at_the_ends() -> None:
    for k, n in ((0, 12), (3, 12), (12, 12), (1, 1)):
        right = stats.binomtest(k, n).proportion_ci(0.95, method="exact")
        got = of_share([k], [n])
        assert got is not None
        assert (got.low, got.high) == pytest.approx((right.low, right.high))
    for k in (0, 1, 7):
        got = of_rate([k], [2000], 10_000)
        assert got is not None
        assert got.high is not None
        assert stats.poisson.cdf(k, got.high / 5) == pytest.approx(0.025)
        assert got.low is not None
        assert k == 0 or stats.poisson.sf(k - 1, got.low / 5) == pytest.approx(0.025)


def test_seeds_that_disagree_widen_an_exact_interval() -> None:
    same, apart = of_share([50, 50, 50], [100, 100, 100]), of_share([10, 50, 90], [100, 100, 100])
    assert same is not None
    assert apart is not None
    assert apart.mean == same.mean
    assert same.low > apart.low
    assert same.high < apart.high


def test_one_seed_says_nothing_of_another() -> None:
    assert over_seeds([3.0]) == Interval(3.0, None, None, 1)
    assert over_seeds([]) is None
    assert of_share([0], [0]) is None
    assert of_rate([0], [0], 1) is None


@pytest.mark.slow
def test_intervals_cover_about_as_often_as_they_say() -> None:
    draw = np.random.default_rng(7)
    hit = 0
    for _ in range(2000):
        got = over_seeds(draw.normal(5, 2, 3).tolist())
        assert got is not None
        hit += got.low <= 5 <= got.high
    assert 0.93 <= hit / 2000 <= 0.97


def test_multiples_are_averaged_as_multiples() -> None:
    got = of_multiples([1.0, 100.0])
    assert got is not None
    assert got.mean == pytest.approx(10)
    assert got.low < 1 < 100 < got.high


def outcomes(tmp_path: Path, named: bool, scene: str = "s") -> list[SceneOutcome]:
    told = []
    for seed in (1, 2, 3):
        ledger = read_ledger(write_scene(tmp_path / f"{scene}{seed}", seed))
        who = [a for a in ledger.accounts if a.startswith("c")] if named else []
        case = Accusation("one", ledger.begin_us, dict.fromkeys(who, ledger.begin_us))
        judged = LogJudgement((case,) if named else ())
        told.append(measure(ledger, judged, AttackPrices(), 7, scene=scene, seed=seed, defence="d"))
    return told


def test_a_defence_that_stops_everybody_at_once_and_one_that_stops_nobody(tmp_path: Path) -> None:
    all_stopped = line("s", "d", [(o,) for o in outcomes(tmp_path, True)])
    none = line("s", "d", [(o,) for o in outcomes(tmp_path, False)])
    assert (all_stopped.caught.mean, none.caught.mean) == (1, 0)
    assert all_stopped.caught.low < 1  # nine campaigns prove no certainty
    assert (all_stopped.out_share.mean, none.out_share.mean) == (0, 1)
    assert all_stopped.student.mean == pytest.approx(curve().guessing)
    assert none.student == none.student_undefended
    assert (none.cost_multiple.mean, none.cost_multiple.at_least) == (pytest.approx(1), False)
    assert all_stopped.cost_multiple.at_least
    assert all_stopped.honest_per_denied.mean == 0
    assert none.honest_per_denied is None  # nothing was denied
    assert none.false_cases.mean == 0
    assert none.false_cases.high > 0  # a few quiet days prove no zero


def test_a_students_bounds_hold_the_curves_own_spread(tmp_path: Path) -> None:
    some = [
        replace(o, campaigns=tuple(replace(f, examples=300) for f in o.campaigns))
        for o in outcomes(tmp_path, False)
    ]
    got = line("s", "d", [(o,) for o in some]).student
    each = curve().each(300)
    half = stats.t.ppf(0.975, 2) * np.std(each, ddof=1) / math.sqrt(3)
    assert got.mean == pytest.approx(np.mean(each))
    assert (got.low, got.high) == pytest.approx((np.mean(each) - half, np.mean(each) + half))


def test_trained_students_take_the_curves_place(tmp_path: Path) -> None:
    some = outcomes(tmp_path, False)
    got = line("s", "d", [(o,) for o in some], lambda examples, seed: 0.1 * seed)
    assert got.student.mean == pytest.approx(0.2)
    assert got.student.n == 3


def test_scenes_are_pooled_seed_by_seed(tmp_path: Path) -> None:
    told = lines([*outcomes(tmp_path, True, "a"), *outcomes(tmp_path, False, "b")])
    assert [(x.scene, x.defence) for x in told] == [("a", "d"), ("b", "d"), (ALL, "d")]
    assert told[2].campaigns == told[0].campaigns + told[1].campaigns
    assert told[2].seeds == 3
    assert told[2].exposed == told[0].exposed
    assert all(isinstance(x, ResultRow) for x in told)
    kinds = {k.kind: k for k in told[2].kinds}
    assert kinds["chat"].accounts == sum(k.accounts for x in told[:2] for k in x.kinds if k.kind == "chat")


def test_logs_on_which_a_defence_cannot_fire_are_left_out_of_its_means(tmp_path: Path) -> None:
    some = outcomes(tmp_path, True)
    silent = [replace(some[0], cannot_fire="too few"), *some[1:]]
    got, rest = line("s", "d", [(o,) for o in silent]), line("s", "d", [(o,) for o in some[1:]])
    assert (got.cannot_fire, got.logs, got.seeds) == (1, 3, 2)
    assert replace(got, cannot_fire=0, logs=2, why="") == rest
    assert words.silent(got) == "d cannot fire on 1 of 3 logs, which count for nothing: too few."
    nothing = line("s", "d", [(replace(o, cannot_fire="too few"),) for o in some])
    assert words.row(nothing)[1] == ("cannot fire", "")
    assert nothing.silent


def on(o: SceneOutcome, low: float, high: float) -> SceneOutcome:
    """Return the outcome as one on a part of some base's people."""
    return replace(o, people=ScoredPeople("base", low, high))


def test_the_same_people_with_every_seed_are_counted_once(tmp_path: Path) -> None:
    some = outcomes(tmp_path, False)
    same = line("s", "d", [(on(some[0], 0, 0.5),)] * 3)
    once = line("s", "d", [(on(some[0], 0, 0.5),)])
    assert (same.seeds, same.populations, same.campaigns) == (3, 1, 3 * once.campaigns)
    assert same.false_cases == once.false_cases
    assert same.caught == once.caught
    assert same.out == once.out  # one population gives no information about another
    assert [k.named for k in same.kinds] == [k.named for k in once.kinds]
    assert same.false_cases.high == pytest.approx(stats.chi2.ppf(0.975, 2) / 2 / some[0].account_days * 1e4)


def test_disjoint_people_add_up_and_overlapping_ones_do_not(tmp_path: Path) -> None:
    some = outcomes(tmp_path, False)
    days = [o.account_days for o in some]
    apart = line("s", "d", [(on(o, n / 3, (n + 1) / 3),) for n, o in enumerate(some)])
    assert apart.populations == 3
    assert apart.false_cases.high == pytest.approx(stats.chi2.ppf(0.975, 2) / 2 / sum(days) * 1e4)
    partly = line("s", "d", [(on(o, n / 4, n / 4 + 0.3),) for n, o in enumerate(some)])
    assert partly.populations == 1
    assert partly.false_cases.high == pytest.approx(apart.false_cases.high * 3)


def test_scenes_with_the_same_people_do_not_add_account_days(tmp_path: Path) -> None:
    two = [
        on(replace(o, scene=scene), 0, 0.5) if o.seed == 1 else on(replace(o, scene=scene), 0.5, 1)
        for scene in ("a", "b")
        for o in outcomes(tmp_path, False, scene)[:2]
    ]
    two = [replace(o, account_days=50) for o in two]
    every = lines(two)[-1]
    assert (every.scene, every.seeds, every.populations) == (ALL, 2, 2)
    assert every.false_cases.high == pytest.approx(stats.chi2.ppf(0.975, 2) / 2 / 100 * 1e4)


def test_clusters_hang_together_by_any_overlap() -> None:
    people = [ScoredPeople("x", n / 10, (n + width) / 10) for n, width in ((0, 1), (5, 1), (1, 4.5), (8, 1))]
    assert clusters([[p] for p in people]) == [0, 1, 1, 2]
    assert clusters([[people[0], people[3]], [people[1]], [people[3]]]) == [0, 1, 0]
    assert means([3, None, 5, None], [0, 1, 0, 2]) == [4.0]


def test_honest_accounts_named_are_set_against_all_of_them(tmp_path: Path) -> None:
    honest = ("h0", "h1", "h2", "h3")
    scored = []
    for seed in (1, 2, 3):
        ledger = read_ledger(write_scene(tmp_path / str(seed), seed))
        case = Accusation("one", ledger.begin_us, dict.fromkeys(honest, ledger.begin_us))
        outcome = measure(ledger, LogJudgement((case,)), AttackPrices(), 7, scene="s", seed=seed, defence="d")
        scored.append(on(outcome, 0, 0.5) if seed < 3 else on(outcome, 0.5, 1))
    got = line("s", "d", [(o,) for o in scored])
    assert got.honest_accounts == 24  # twelve of each population
    assert got.honest_share.mean == pytest.approx(4 / 12)
    assert sum(k.false_cases for k in got.kinds) == 3
    heads = dict(zip(words.HEADS, words.row(got), strict=True))
    assert heads["of all honest accounts"][0] == "33 %"
    assert "chat 50 % (3 false cases)" in words.hurt(got)
