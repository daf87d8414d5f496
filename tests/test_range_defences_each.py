"""Each defence catches what it is for, is silent on calm days, and agrees with an independent calculation."""

import random
from collections import Counter
from collections.abc import Callable
from functools import cache

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scan_world import START, Crowd, habits, honest, log_of, pool, scene, sentence
from stillwatch.actors.spread import KINDS, spread
from stillwatch.range.defences import LogJudgement, LogToJudge, limits, mmd_window, prada, prefix
from stillwatch.range.defences.calibration import level
from stillwatch.range.defences.embedding import embed
from stillwatch.range.defences.forest import grow, usual_depth
from stillwatch.range.defences.registry import defence
from stillwatch.units import DAY_US

START_US = int(START.timestamp()) * 1_000_000
CLEAN_US = START_US + 6 * DAY_US
DIAL = 30.0  # the worlds are small: so it allows them about one case in the clean days


def people(seed: int, many: int = 60) -> Crowd:
    """Honest days: each account sends ten to twenty texts a day, in working hours, in its own style."""
    crowd = Crowd(seed)
    rng = random.Random(seed)
    for k in range(many):
        usual, length = rng.uniform(10, 20), rng.randint(8, 16)
        columns = {**habits(rng), "output_tokens": rng.randint(50, 500), "turn": rng.randint(1, 3)}
        for day in range(10):
            for _ in range(max(1, round(rng.gauss(usual, 2)))):
                crowd.says(f"user-{k:02}", 24 * day + rng.uniform(8, 18), sentence(rng, length), **columns)
    return crowd


@cache
def calm() -> pa.Table:
    return people(1).table()


def with_more(add: Callable[[Crowd, random.Random], None]) -> pa.Table:
    crowd = people(1)
    add(crowd, random.Random(2))
    return crowd.table()


def burst(crowd: Crowd, rng: random.Random) -> None:
    for k in range(900):
        crowd.says("user-07", 24 * 7 + 9 + k / 450)


def mutants(crowd: Crowd, rng: random.Random) -> None:
    """Queries made from a few seeds by one changed word, which PRADA is designed to detect."""
    seeds = [sentence(rng, 12).split() for _ in range(10)]
    for k in range(250):
        words = list(seeds[k % 10])
        if k >= 10:
            words[rng.randrange(12)] = sentence(rng, 1)
        crowd.says("maker", 24 * 7 + k / 60, " ".join(words))


def another_subject(crowd: Crowd, rng: random.Random) -> None:
    """Thirty accounts ask for one thing, each in other words."""
    few = sentence(rng, 25).split()
    for k in range(1500):
        crowd.says(f"pool-{k % 30:02}", 24 * 7 + k / 60, " ".join(rng.choice(few) for _ in range(14)))


def odd_one(crowd: Crowd, rng: random.Random) -> None:
    """Some are outliers in one feature each, one in all of them. Cuts are made within the observed range."""
    far = {
        "max_tokens": 32_000, "temperature": 1.9, "output_tokens": 31_000, "turn": 60, "tools": 9,
        "response_format": "json", "input_tokens": 90_000, "stream": True, "system": "s",
    }  # fmt: skip
    for k, (column, value) in enumerate(far.items()):
        for day in range(10):
            for n in range(12):
                crowd.says(f"far-{k}", 24 * day + 8 + n, **{column: value})
    for n in range(600):
        crowd.says("odd", 24 * 7 + n / 30, sentence(rng, 60), **far)


def one_frame(crowd: Crowd, rng: random.Random) -> None:
    for k in range(0, 24, 2):  # the threshold is what two honest people share
        shared = sentence(rng, 20)
        for n in range(6):
            crowd.says(f"user-{k + n % 2:02}", 24 * 4 + 10 + n, f"{shared} {sentence(rng, 10)}")
    frame = sentence(rng, 20)
    for k in range(300):
        crowd.says(f"pool-{k % 30:02}", 24 * 7 + k / 60, f"{frame} {sentence(rng, 10)}")


POOL = {f"pool-{k:02}" for k in range(30)}
CATCHES = {  # name -> what is added, who did it, how many others may be named too
    "volume": (burst, {"user-07"}, 2),
    "prada": (mutants, {"maker"}, 0),
    "mmd_window": (another_subject, POOL, 50),  # the test sees windows: it can only guess the accounts
    "isolation_forest": (odd_one, {"odd"}, 0),
    "prefix": (one_frame, POOL, 0),
}


def named(judged: LogJudgement) -> set[str]:
    return {account for case in judged.cases for account in case.named_at_us}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worlds are small; PRADA's calm streams contain 60 to 120 queries in the clean days."""
    monkeypatch.setattr(mmd_window, "WINDOW", 300)
    monkeypatch.setattr(prada, "LEAST", 50)


@pytest.mark.slow
@pytest.mark.parametrize("name", CATCHES)
def test_it_catches_what_it_is_for(name: str) -> None:
    add, who, beside = CATCHES[name]
    found = named(defence(name, DIAL).judge(LogToJudge(with_more(add), None, CLEAN_US, 1)))
    assert len(found & who) >= 0.9 * len(who)
    assert len(found - who) <= beside


@pytest.mark.slow
@pytest.mark.parametrize("name", [*CATCHES, "limits", "stillwatch"])
def test_it_is_silent_on_calm_days(name: str) -> None:
    judged = defence(name, 1.0).judge(LogToJudge(calm(), None, CLEAN_US, 1))
    assert (judged.cases, judged.refused) == ((), frozenset())


# --- limits -------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_limits_refuse_what_is_above_them_and_no_more() -> None:
    table = with_more(burst)
    watch = limits.open_watch(None, CLEAN_US, 1, DIAL)
    watch.step(table, CLEAN_US)
    minute, day = watch.set_limits()[""]
    assert 1 <= minute < 15
    assert 20 <= day < 100
    judged = defence("limits", DIAL).judge(LogToJudge(table, None, CLEAN_US, 1))
    got: Counter[tuple[str, str, int]] = Counter()
    for row in table.sort_by("time").to_pylist():
        at = int(row["time"].timestamp() * 1e6)
        if at >= CLEAN_US and row["exchange_id"] not in judged.refused:
            got["minute", row["account"], at // 60_000_000] += 1
            got["day", row["account"], at // DAY_US] += 1
    fullest = {kind: max(n for (k, _, _), n in got.items() if k == kind) for kind in ("minute", "day")}
    assert fullest == {"minute": minute, "day": day}
    who = Counter(r["account"] for r in table.to_pylist() if r["exchange_id"] in judged.refused)
    assert who.keys() == {"user-07"}
    assert who["user-07"] > 800


@pytest.mark.slow
def test_a_tier_has_limits_of_its_own_and_new_accounts_are_enrolled() -> None:
    crowd = people(1)
    for k in range(20):
        for day in range(10):
            for n in range(300):
                crowd.says(f"big-{k:02}", 24 * day + 8 + n / 40)
    tiers = [{"account": f"big-{k:02}", "tier": "scale"} for k in range(20)]
    accounts = pa.Table.from_pylist(tiers)
    watch = limits.open_watch(accounts, CLEAN_US, 1, DIAL)
    watch.step(crowd.table(), CLEAN_US)
    watch.enrol(pa.Table.from_pylist([*tiers, {"account": "new", "tier": "scale"}]))
    least = watch.set_limits()
    assert least["scale"][1] == 300

    def lets_through(account: str) -> int:
        return sum(not watch.refuses(account, CLEAN_US + k * 60_000_000) for k in range(1000))

    assert lets_through("new") == 300
    assert lets_through("unknown") == least[""][1]


# --- the oracles --------------------------------------------------------------------------------------------


def test_a_level_is_passed_as_often_as_the_budget_allows() -> None:
    rng = np.random.default_rng(3)
    for allowed in (0.3, 1.0, 5.0, 40.0):
        passed = [
            (rng.exponential(2.0, 500) > level(rng.exponential(2.0, 500), allowed)).sum() for _ in range(600)
        ]
        assert 0.6 * allowed < np.mean(passed) < 1.15 * allowed, allowed


@given(st.lists(st.floats(-1e6, 1e6), min_size=5, max_size=200), st.floats(0.01, 300))
def test_no_more_clean_units_pass_a_level_than_are_allowed(scores: list[float], allowed: float) -> None:
    assert (np.array(scores) > level(np.array(scores), allowed)).sum() <= allowed


def test_where_hardly_anything_is_known_no_level_is_passed() -> None:
    assert level(np.array([1.0, 2.0]), 1) == level(np.zeros(0), 1) == level(np.arange(9.0), 0) == np.inf


def plain_embedding(text: str, width: int) -> np.ndarray:
    """The same by the definition, a word at a time."""
    mask, out = (1 << 64) - 1, np.zeros(width)

    def add(h: int) -> None:
        h = ((h ^ (h >> 29)) * 0xBF58476D1CE4E5B9) & mask
        h ^= h >> 32
        out[h % width] += 1 if h >> 40 & 1 else -1

    before = 0
    words: list[bytes] = []
    kind = 0
    for c in text.encode():
        now = 2 if 48 <= c <= 57 else 1 if 65 <= c <= 90 or 97 <= c <= 122 or c >= 128 else 0
        if now and now == kind:
            words[-1] += bytes([c])
        elif now:
            words.append(bytes([c]))
        kind = now
    for word in words:
        h = 0xCBF29CE484222325
        if not 48 <= word[0] <= 57:
            for c in word:
                h = ((h ^ (c + 32 if 65 <= c <= 90 else c)) * 0x100000001B3) & mask
        add(h)
        if before:
            add((before * 0x9E3779B97F4A7C15 & mask) ^ h)
        before = h
    out = np.sign(out) * np.sqrt(np.abs(out))
    return out / np.linalg.norm(out) if out.any() else out


@pytest.mark.slow
@given(st.lists(st.text(max_size=40) | st.sampled_from(["A b 12 c", "a B 7 C", "", "ÄÖ x"]), max_size=6))
def test_an_embedding_is_what_the_book_says(texts: list[str]) -> None:
    clean = [text.encode("utf-8", "ignore").decode() for text in texts]
    vectors = embed(pa.array(clean, pa.string()), 32)
    assert vectors.shape == (len(clean), 32)
    for text, vector in zip(clean, vectors, strict=True):
        assert np.allclose(vector, plain_embedding(text, 32), atol=1e-6)


def test_an_embedding_of_a_slice_and_of_nothing() -> None:
    texts = pa.array(["one two", None, "three four five", "x"])
    assert np.array_equal(embed(texts.slice(2)), embed(texts)[2:])
    assert not embed(texts)[1].any()


def test_mmd_is_the_mean_over_pairs() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(7, 3)), rng.normal(1, 1, size=(9, 3))
    gamma = 0.4

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.exp(-gamma * ((a - b) ** 2).sum()))

    within_x = np.mean([k(x[i], x[j]) for i in range(7) for j in range(7) if i != j])
    within_y = np.mean([k(y[i], y[j]) for i in range(9) for j in range(9) if i != j])
    across = np.mean([k(a, b) for a in x for b in y])
    score, witness = mmd_window.mmd2(x, y, gamma)
    assert score == pytest.approx(within_x + within_y - 2 * across)
    assert witness.mean() == pytest.approx(within_x - across)


def plain_prada(vectors: np.ndarray) -> list[float]:
    """Algorithm 3 of Juuti et al. for one class, as published: every query's least distance."""
    grown, of_set, threshold, every = [vectors[0]], [], 0.0, []
    for x in vectors[1:]:
        nearest = min(float(np.linalg.norm(x - y)) for y in grown)
        every.append(nearest)
        if nearest > threshold:
            grown.append(x)
            of_set.append(nearest)
            threshold = max(threshold, float(np.mean(of_set) - np.std(of_set)))
    return every


def test_prada_takes_the_distances_of_the_paper() -> None:
    rng = random.Random(5)
    texts = [sentence(rng, rng.randint(3, 9)) for _ in range(40)]
    vectors = embed(pa.array([rng.choice(texts) + " " + sentence(rng, 2) for _ in range(100)]), 64)
    stream = prada.ClientStream()
    for vector in vectors:
        stream.add(vector)
    assert np.allclose(stream.distances, plain_prada(vectors.astype(float)), atol=2e-3)


def test_normal_distances_have_a_w_near_one_and_others_have_not() -> None:
    rng = np.random.default_rng(1)
    normal = rng.normal(1, 0.1, 400)
    assert prada.normality(normal) > 0.98
    assert prada.normality(np.r_[normal, 50.0]) > 0.98  # an outlier is dropped
    assert prada.normality(np.r_[np.zeros(200), np.ones(200)]) < 0.7
    assert prada.normality(np.ones(100)) == 0.0


def expected_depth(points: list[float], x: float, least: int = 1) -> float:
    """Exactly: the mean depth of x in a tree of uniform cuts over all sorted, different points of a line."""
    if len(points) <= least:
        return 0.0
    span = points[-1] - points[0]
    total = 1.0
    for i in range(1, len(points)):
        side = points[:i] if x < points[i] else points[i:]
        total += (points[i] - points[i - 1]) / span * expected_depth(side, x)
    return total


def test_a_forest_has_the_depths_that_are_expected() -> None:
    line = [0.0, 1.0, 1.2, 1.5, 7.0]
    forest = grow(np.array(line)[:, None], seed=1, trees=4000)
    # trees are cut at depth 3; a leaf of two there counts one more, for its further growth
    for x, depth in zip(line, forest.depths(np.array(line)[:, None]), strict=True):
        assert depth == pytest.approx(expected_depth(line, x), abs=0.05)
    assert forest.depths(np.array([[7.0]]))[0] < forest.depths(np.array([[1.2]]))[0]


def test_usual_depths_are_those_of_the_paper() -> None:
    # an unsuccessful search in a binary search tree: 2 H(n-1) - 2 (n-1) / n
    for n in (50, 256, 5000):
        harmonic = sum(1 / k for k in range(1, n))
        assert usual_depth(n) == pytest.approx(2 * harmonic - 2 * (n - 1) / n, abs=0.03)
    assert [usual_depth(n) for n in (0, 1, 2)] == [0, 0, 1]


def test_a_forest_survives_equal_and_few_points() -> None:
    assert np.isfinite(grow(np.ones((50, 3)), 1).scores(np.ones((2, 3)))).all()
    assert np.isfinite(grow(np.ones((1, 3)), 1).scores(np.zeros((2, 3)))).all()


def test_prefix_keys_are_heads_and_system_texts() -> None:
    table = pa.table({
        "prompt": ["  Task 12: " + "a" * 70, "task 7: " + "A" * 90, "short", None],
        "system": ["You are X 1", None, "you are x 22", ""],
    })  # fmt: skip
    numbers, keys = prefix.keys_of(table)
    assert keys == ["p:task 0: " + "a" * 56, "s:you are x 0"]
    assert numbers.tolist() == [[0, 1], [0, -1], [-1, 1], [-1, -1]]


# --- stillwatch with parts left out -------------------------------------------------------------------------


def test_a_kind_alone_follows_its_own_markers_and_no_others() -> None:
    log = log_of(scene(1, people=150, novelties=6).table)
    whole = spread(log, log["account"])
    kinds_seen = set()
    for number, kind in enumerate(KINDS):
        alone = spread(log, log["account"], kinds={kind})
        assert sorted(alone.fingerprint_value) == sorted(
            whole.fingerprint_value[whole.fingerprint_kind == number]
        )
        assert set(alone.fingerprint_kind.tolist()) <= {number}
        kinds_seen |= set(alone.fingerprint_kind.tolist())
    assert len(kinds_seen) >= 3
    assert len(spread(log, log["account"], kinds=()).fingerprint_value) == 0


@cache
def pooled() -> tuple[pa.Table, pa.Table, frozenset[str]]:
    """One pool behind shared templates: it shares wording, openings and endings, but no question."""
    crowd = Crowd(0)
    honest(crowd, 250, 9.0, 5)
    return crowd_with(crowd, pool(crowd, "p", begin_day=5.5, each=16))


def crowd_with(crowd: Crowd, planted: tuple[str, ...]) -> tuple[pa.Table, pa.Table, frozenset[str]]:
    return crowd.table(), crowd.accounts(), frozenset(planted)


FOUND = ("stillwatch", "stillwatch/only:wording", "stillwatch/only:model", "stillwatch/without:max_tokens")
MISSED = ("stillwatch/only:questions", "stillwatch/only:system", "stillwatch/only:lone_harvest")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*FOUND, *MISSED])
def test_a_part_finds_what_it_is_for(name: str) -> None:
    table, accounts, planted = pooled()
    found = named(defence(name).judge(LogToJudge(table, accounts, 0, 1)))
    assert (len(found & planted) >= 30) == (name in FOUND)
    assert len(found - planted) <= 1


@pytest.mark.slow
def test_without_a_setting_or_any_kind_of_wording_there_is_no_group() -> None:
    from stillwatch.range.defences.stillwatch import ScanDefence
    from stillwatch.scan.parts import SHARED, TESTED

    table, accounts, _ = pooled()
    for parts in (frozenset(SHARED), frozenset(TESTED), frozenset[str]()):
        assert ScanDefence("x", parts, False, 1.0).judge(LogToJudge(table, accounts, 0, 1)).cases == ()


@pytest.mark.slow
def test_steps_and_one_scan_name_the_same_accounts_at_the_same_hours() -> None:
    table, accounts, planted = pooled()
    table = table.sort_by("time")
    once = defence("stillwatch").judge(LogToJudge(table, accounts, 0, 1))
    watch = defence("stillwatch").open_watch(accounts, 0, 1)
    times = table["time"].cast(pa.int64()).to_numpy()
    at: dict[str, int] = {}
    for until in range(START_US + 5 * DAY_US, START_US + 9 * DAY_US + 1, DAY_US // 24):
        a, b = np.searchsorted(
            times, [until - DAY_US // 24 if at or until > START_US + 5 * DAY_US else 0, until]
        )
        for case in watch.step(table.slice(a, b - a), until):
            for account, when in case.named_at_us.items():
                at.setdefault(account, when)
    expected = {account: when for case in once.cases for account, when in case.named_at_us.items()}
    assert len(planted & at.keys()) >= 30
    assert at.keys() >= expected.keys()
    assert len(at.keys() - expected.keys()) <= 2  # named for a short time
    assert all(at[account] <= when for account, when in expected.items())


@pytest.mark.slow
def test_firm_accounts_are_some_of_those_that_are_named() -> None:
    crowd = Crowd(0)
    honest(crowd, 250, 9.0, 5)
    planted = frozenset(pool(crowd, "p", begin_day=5.5, each=16))
    for row in crowd.rows:  # four behind one network: wording and settings alone make no account firm
        if row["account"] in planted:
            row["client_ip"] = f"198.51.{int(row['client_ip'].split('.')[2]) // 4}.9"
    table, accounts = crowd.table(), crowd.accounts()
    judged = defence("stillwatch/firm").judge(LogToJudge(table, accounts, 0, 1))
    firm = named(judged)
    assert firm <= named(defence("stillwatch").judge(LogToJudge(table, accounts, 0, 1)))
    assert len(firm & planted) >= 20
    assert len({case.case for case in judged.cases}) == len(judged.cases)
    assert all(case.at_us % (DAY_US // 2) == 0 for case in judged.cases)
