"""The canary test: compared with manual counts over all draws, on suspects with and without a lean."""

import itertools
import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from coin_world import KEY, write
from stillwatch.cases.audit.signing import new_signer
from stillwatch.coin import Pair
from stillwatch.coin.verify import Head, Verified, verify
from stillwatch.prove import Evidence, Grade, Outcome, ProveError, evidence_json, outcome
from stillwatch.prove.coin import OTHERS
from stillwatch.prove.coin.actors import by_account, by_file, by_ledger
from stillwatch.prove.coin.betting import fortunes
from stillwatch.prove.coin.choosing import choose
from stillwatch.prove.coin.judge import fair_coin_p
from stillwatch.prove.coin.leaning import TextSampling, foretold, lean, overlap
from stillwatch.prove.coin.randomise import LEVELS, all_coins, count_leans, levels, thrown_again
from stillwatch.prove.coin.run import (
    EVIDENCE,
    LEANS,
    PROTOCOL,
    CoinRunRequest,
    ask,
    judge,
    plan,
    published_checks,
)
from stillwatch.prove.suspect import AnswerLikelihood, Question, Tell, Told, silent

KEYS = {KEY.commitment: KEY}
NOT_PUBLISHED = published_checks((), frozenset(), Verified((), (KEY.commitment,), 0, 0, 0, 0, (), 0))
NOW = "2026-11-26T00:00:00Z"


class Leaner:
    """A suspect that has learned some of the answers that were served to some accounts."""

    offers = frozenset({"answers", "likelihood", "top"})

    def __init__(
        self, pairs: Sequence[Pair], accounts: tuple[str, ...], effect: float, seed: int = 1
    ) -> None:
        self.name, self.effect = "leaner", effect
        self.learnt = {p.answers[p.served].text for p in pairs if p.account in accounts}
        self.by_prompt = {
            p.messages[-1]["content"]: p.answers[p.served].text for p in pairs if p.account in accounts
        }
        self.weighed = 0

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        return {
            q.id: [self.by_prompt.get(q.messages[-1]["content"], "it is not known to me")] * n
            for q in questions
        }

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        found = {}
        for one in told:
            self.weighed += 1
            noise = random.Random(one.answer).gauss(0, 0.5)
            lean = self.effect if one.answer in self.learnt else 0.0
            found[one.id] = AnswerLikelihood((noise + lean) * 10, 10, 5)
        return found


class Mute(Leaner):
    offers = frozenset({"answers"})


def put_to(tmp_path: Path, accounts: dict[str, int], learnt: tuple[str, ...], effect: float, **test: object):
    pairs = write(tmp_path / "ledger", accounts)
    suspect = Leaner(pairs, learnt, effect)
    planned = plan(
        pairs, verify(tmp_path / "ledger", KEYS), by_account, suspect, None,
        CoinRunRequest(**{"draws": 99_999, **test}), new_signer(), tmp_path / "out", NOW,
    )  # fmt: skip
    found, early = ask(planned, suspect, None, silent)
    return judge(planned, found, suspect, None, stopped=early, checks=NOT_PUBLISHED), suspect, planned


# --- the arithmetic, compared with all draws --------------------------------------------------------------


@pytest.mark.slow
@example([1.0, 2.2e-313, 2.2e-313])  # one of the sizes exceeds all numbers beside the median
@given(st.lists(st.floats(-5, 5, allow_nan=False), min_size=1, max_size=11))
@settings(max_examples=60, deadline=None)
def test_all_coins_is_the_count_of_all_coins(leans: list[float]) -> None:
    values = np.array(leans)
    sizes = levels(values)
    counts, towards = count_leans(values)
    sums = [
        sum(s for s, c in zip(sizes, coins, strict=True) if c)
        for coins in itertools.product((0, 1), repeat=len(leans))
    ]
    expected = sum(one >= towards for one in sums) / len(sums)
    assert all_coins(counts, towards) == pytest.approx(expected, rel=1e-9)
    p, far, draws = thrown_again(counts, towards, 1, 20_000)
    assert p == (1 + far) / (1 + draws)
    assert abs(p - expected) < 6 * math.sqrt(expected / draws) + 1e-3


def test_levels_hang_on_sizes_alone() -> None:
    random_ = np.random.default_rng(1)
    leans = random_.normal(size=500)
    flipped = leans * random_.choice([-1, 1], 500)
    assert (levels(leans) == levels(flipped)).all()
    assert levels(leans).max() == LEVELS
    assert levels(np.array([0.0, 1e-300, 5.0])).tolist() == [0, 1, 6]
    assert levels(np.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.slow
def test_small_tails_are_exact() -> None:
    for n in (50, 300, 3_000):
        counts = np.zeros(LEVELS, dtype=np.int64)
        counts[0] = n
        assert all_coins(counts, n) == pytest.approx(max(2.0**-n, 1e-300), rel=1e-6)
    counts = np.full(LEVELS, 5_000)
    assert all_coins(counts, 0) == 1.0
    assert 0.45 < all_coins(counts, int((counts * np.arange(1, LEVELS + 1)).sum() // 2)) < 0.55


@pytest.mark.slow
def test_p_is_uniform_where_nothing_was_learnt() -> None:
    random_ = np.random.default_rng(3)
    sizes = np.abs(random_.standard_t(2, size=40))  # heavy tails
    p_values = []
    for seed in range(400):
        counts, towards = count_leans(sizes * random_.choice([-1.0, 1.0], 40))
        p_values.append(thrown_again(counts, towards, seed, 999)[0])
    for alpha in (0.02, 0.05, 0.1, 0.25, 0.5):
        share = sum(p <= alpha for p in p_values) / 400
        assert share <= alpha + 3 * math.sqrt(alpha * (1 - alpha) / 400)
    assert sum(p <= 0.5 for p in p_values) / 400 > 0.4


@pytest.mark.slow
def test_a_second_look_is_made_only_where_it_can_matter() -> None:
    counts, towards = count_leans(np.random.default_rng(1).normal(0, 1, 100))
    assert thrown_again(counts, towards, 1)[2] == 99_999
    counts, towards = count_leans(np.random.default_rng(1).normal(1, 1, 60))
    p, far, draws = thrown_again(counts, towards, 1, 999_999)
    assert draws == 999_999
    assert p == (1 + far) / 1_000_000
    assert all_coins(counts, towards) < 1e-6


@pytest.mark.slow
def test_a_fortune_grows_on_a_lean_and_seldom_without() -> None:
    random_ = random.Random(1)
    assert max(fortunes(random_.gauss(1, 1) for _ in range(200))) > 1e6
    rich = sum(max(fortunes(random_.gauss(0, 1) for _ in range(300))) >= 20 for _ in range(400))
    assert rich / 400 <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)
    assert list(fortunes([])) == []
    assert all(f > 0 for f in fortunes([-1.0, 5.0, -3.0] * 100))


def test_overlap_changes_its_sign_with_the_answers() -> None:
    draw = random.Random(5)
    for _ in range(50):
        text, one, other = (
            " ".join(draw.choice("abcde") for _ in range(draw.randint(0, 9))) for _ in range(3)
        )
        assert overlap(text, one, other) == pytest.approx(-overlap(text, other, one))
        assert -1 <= overlap(text, one, other) <= 1
    assert overlap("x y z", "x y z", "x q z") > 0.9


# --- end to end ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_actor_whose_answers_were_learnt_is_found_and_no_other(tmp_path: Path) -> None:
    done, _, planned = put_to(tmp_path, {"rogue": 60, "other": 60, "honest": 60}, ("rogue",), 1.0)
    rows = {row.name: row for row in done.evidence.rows}
    assert rows["rogue"].p_adjusted == pytest.approx(3e-5)
    assert rows["rogue"].effect > 0.8
    assert min(rows["other"].p_value, rows["honest"].p_value) > 0.01
    assert not done.evidence.found()  # 3e-5 is above 1e-5: with so few draws p cannot be smaller
    by_all = {one.actor: one for one in done.fallen}
    assert by_all["rogue"].p_all < 1e-9
    assert by_all["rogue"].e_value > 1e4
    assert done.evidence.grade is Grade.COIN
    assert done.evidence.protocol_sha256 == planned.signed.sha256
    assert evidence_json.read(tmp_path / "out" / EVIDENCE) == done.evidence


@pytest.mark.slow
def test_enough_draws_give_a_verdict(tmp_path: Path) -> None:
    done, _, _ = put_to(tmp_path, {"rogue": 80, "other": 80}, ("rogue",), 1.0, draws=2_000_000)
    assert outcome((done.evidence,)) is Outcome.OWNER_WORD  # nothing was sealed
    assert [row.name for row in done.evidence.found()] == ["rogue"]


@pytest.mark.slow
def test_a_suspect_that_learnt_nothing_is_not_shown_where_the_test_had_the_power(tmp_path: Path) -> None:
    done, _, _ = put_to(tmp_path, {"a": 400, "b": 400}, (), 0.0, alpha=1e-3)
    assert outcome((done.evidence,)) is Outcome.NOT_SHOWN
    done, _, _ = put_to(tmp_path / "few", {"a": 12, "b": 12}, (), 0.0, alpha=1e-3)
    assert outcome((done.evidence,)) is Outcome.INDETERMINATE


def test_the_protocol_is_there_before_anything_is_asked_and_is_not_changed(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"a": 20})
    suspect = Leaner(pairs, (), 0.0)
    ledger = verify(tmp_path / "ledger", KEYS)
    signer = new_signer()

    def planned(**test: object):
        return plan(
            pairs, ledger, by_account, suspect, None, CoinRunRequest(**test), signer, tmp_path / "out", NOW
        )

    first = planned()
    assert suspect.weighed == 0
    assert (tmp_path / "out" / PROTOCOL).exists()
    assert planned().signed.sha256 == first.signed.sha256
    with pytest.raises(ProveError, match=r"another test \(its alpha differ\)"):
        planned(alpha=0.01)
    told = first.signed.protocol
    assert told.commitments == (
        f"coin key {KEY.commitment}",
        *(f"ledger {h.ledger} {h.records} {h.hash}" for h in ledger.heads),
    )
    assert told.units == ("a",)
    assert told.prompts == 20


@pytest.mark.slow
def test_a_test_that_was_stopped_goes_on(tmp_path: Path) -> None:
    done, suspect, planned = put_to(tmp_path, {"a": 150}, ("a",), 0.5)
    path = tmp_path / "out" / LEANS
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:71]) + '["w0-0000')  # a kill in the middle of a line
    again = Leaner([], (), 0.0)
    again.learnt, again.effect = suspect.learnt, suspect.effect
    found, _ = ask(planned, again, None, silent)
    assert again.weighed == 2 * 80
    assert judge(planned, found, again, None, checks=NOT_PUBLISHED).evidence == done.evidence
    path.write_text("{}\n")
    with pytest.raises(ProveError, match="what another suspect"):
        ask(planned, again, None, silent)


@pytest.mark.slow
def test_sequential_looks_stop_when_the_fortune_is_made(tmp_path: Path) -> None:
    done, suspect, _ = put_to(tmp_path, {"a": 400, "b": 400}, ("a",), 1.5, sequential=True, alpha=1e-4)
    assert done.stopped_early
    assert done.asked < 800
    assert suspect.weighed == 2 * done.asked
    assert [row.name for row in done.evidence.found()] == ["a"]
    quiet, _, _ = put_to(tmp_path / "quiet", {"a": 60}, (), 0.0, sequential=True)
    assert not quiet.stopped_early
    assert quiet.evidence.rows[0].p_value == pytest.approx(1.0, abs=0.9)


@pytest.mark.slow
def test_free_text_is_compared_where_nothing_else_is_offered(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"rogue": 60, "other": 40})
    suspect = Mute(pairs, ("rogue",), 1.0)
    planned = plan(
        pairs, verify(tmp_path / "ledger", KEYS), by_account, suspect, None, CoinRunRequest(draws=999_999),
        new_signer(), tmp_path / "out", NOW,
    )  # fmt: skip
    assert planned.statistic == "overlap"
    found, _ = ask(planned, suspect, None, silent)
    done = judge(planned, found, suspect, None)
    rows = {row.name: row for row in done.evidence.rows}
    assert rows["rogue"].p_value == 1e-6
    assert "other" not in rows or rows["other"].p_value > 0.01
    with pytest.raises(ProveError, match="offers no likelihood; it can be tested by overlap"):
        plan(
            pairs, verify(tmp_path / "ledger", KEYS), by_account, suspect, None,
            CoinRunRequest(statistic="likelihood"), new_signer(), tmp_path / "no", NOW,
        )  # fmt: skip


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.booleans()), min_size=1, max_size=40),
)
def test_what_a_base_foretells_knows_no_order_of_the_answers(leans: list[tuple[float, float, bool]]) -> None:
    plain = [(suspect, base) for suspect, base, _ in leans]
    turned = [(-suspect, -base) if turn else (suspect, base) for suspect, base, turn in leans]
    assert foretold(turned) == foretold(plain)  # so each remaining lean only changes its sign: exact


def test_what_a_base_foretells_is_least_squares() -> None:
    rng = np.random.default_rng(3)
    base = rng.normal(size=200)
    suspect = 0.4 * base + rng.normal(size=200) * 0.1
    (expected,) = np.linalg.lstsq(base[:, None], suspect, rcond=None)[0]
    assert foretold(list(zip(suspect, base, strict=True))) == pytest.approx(expected)
    assert foretold([]) == foretold([(1.0, 0.0)]) == 0.0
    assert foretold([(1.0, -1.0)]) == 0.0  # a lean in the other direction predicts nothing


def test_a_base_that_is_the_suspect_is_refused(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"a": 20})
    suspect = Leaner(pairs, ("a",), 1.0)
    planned = plan(
        pairs, verify(tmp_path / "ledger", KEYS), by_account, suspect, suspect, CoinRunRequest(),
        new_signer(), tmp_path / "out", NOW,
    )  # fmt: skip
    found, _ = ask(planned, suspect, suspect, silent)
    with pytest.raises(ProveError, match="is the base that is taken off the suspect itself"):
        judge(planned, found, suspect, suspect)


def test_who_is_an_actor(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"a": 10, "b": 10, "c": 3})
    assert {by_ledger(p) for p in pairs} == {OTHERS}
    table = tmp_path / "actors.csv"
    table.write_text("account,actor\na,one\nb,one\n")
    chosen = choose(pairs, by_file(table), 15, 1)
    assert chosen.actors == ("one",)
    assert chosen.left_out == {"one": 5}
    assert chosen.too_few == {OTHERS: 3}
    findings = tmp_path / "findings.json"
    findings.write_text(json.dumps({"campaigns": [{"id": "c-1", "accounts": ["a"]}]}))
    assert choose(pairs, by_file(findings), 400, 1).actors == ("c-1", OTHERS)
    for text, told in (
        ("account,actor\na,one\na,two\n", "belongs to 'one' and to 'two'"),
        ("name,actor\n", "found: name, actor"),
        ("[1]", "is no list of actors"),
        ("{}", "names no account"),
        ('{"a": 1}', "are names"),
    ):
        table.write_text(text)
        with pytest.raises(ProveError, match=told):
            by_file(table)
    with pytest.raises(ProveError, match="cannot be read"):
        by_file(tmp_path / "none")


def test_what_cannot_be_tested_is_said(tmp_path: Path) -> None:
    with pytest.raises(ProveError, match="holds no pairs"):
        choose([], by_account, 10, 1)
    pairs = write(tmp_path, {"a": 5})
    with pytest.raises(ProveError, match=r"too few pairs to test anybody \(a 5\)"):
        choose(pairs, by_account, 10, 1)
    with pytest.raises(ProveError, match="'z' is no actor"):
        choose(pairs, by_account, 10, 1, ("z",))


def test_the_order_and_the_choice_do_not_hang_on_the_coins(tmp_path: Path) -> None:
    one = choose(write(tmp_path / "1", {"a": 30}), by_account, 10, 1)
    other = choose(write(tmp_path / "2", {"a": 30}, seed=9), by_account, 10, 1)
    assert [p.id for p in one.puts] == [p.id for p in other.puts]
    assert len({p.pair.served for p in one.puts}) == 2


def test_an_even_coin() -> None:
    assert fair_coin_p(5, 10) == 1.0
    assert fair_coin_p(10, 10) == pytest.approx(2 / 1024)
    assert fair_coin_p(0, 0) == 1.0


def test_refusals_and_other_languages_are_seen_as_nothing_in_common(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"rogue": 60, "other": 90})
    suspect = Mute(pairs, ("rogue",), 1.0)
    suspect.by_prompt = dict(list(suspect.by_prompt.items())[:20])
    planned = plan(
        pairs, verify(tmp_path / "ledger", KEYS), by_account, suspect, None, CoinRunRequest(draws=999),
        new_signer(), tmp_path / "out", NOW,
    )  # fmt: skip
    done = judge(planned, ask(planned, suspect, None, silent)[0], suspect, None)
    checks = {one.what: one for one in done.evidence.confounds}
    assert "130 of 150" in checks["answers that have nothing of either"].found
    assert not checks["answers that have nothing of either"].clear
    assert "actors without a lean" in checks


@pytest.mark.slow
def test_leans_that_were_damaged_are_refused_with_their_line(tmp_path: Path) -> None:
    _, suspect, planned = put_to(tmp_path, {"a": 20}, (), 0.0)
    path = tmp_path / "out" / LEANS
    path.write_text(path.read_text() + "no\n[]\n")
    with pytest.raises(ProveError, match=r"leans.jsonl:22: is no lean"):
        ask(planned, suspect, None, silent)


def test_what_was_published_binds_key_and_records() -> None:
    heads = (Head("w0-000001", 3, "a"), Head("w0-000002", 9, "b"))
    verified = Verified(heads, ("key 1",), 9, 0, 0, 0, (), 4)
    key, records = published_checks(heads, frozenset({"key 1", "key 0"}), verified)
    assert key.clear
    assert records.clear
    key, records = published_checks(heads[:1], frozenset({"key 0"}), verified)
    assert not key.clear
    assert "1 files came after" in records.found
    assert not records.clear


@pytest.mark.slow
def test_evidence_says_what_it_does_not_mean(tmp_path: Path) -> None:
    done, _, _ = put_to(tmp_path, {"a": 30}, (), 0.0)
    said: Evidence = done.evidence
    assert "p_value" not in said.claim
    assert any("bought" in one for one in said.means_not)
    checks = {one.what: one for one in said.confounds}
    assert not checks["other actors' prompts"].clear  # there is no control
    assert not checks["the ledger against published heads"].clear
    assert checks["the coins themselves"].clear


class Overflowing(Leaner):
    """Half-precision floats that overflow: the likelihood of some answers is no number."""

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        found = super().weigh(told, tell)
        for name, odd in zip(sorted(found)[:3], (math.nan, math.inf, -math.inf), strict=True):
            found[name] = AnswerLikelihood(odd, 10, 5)
        return found


def test_a_likelihood_that_is_no_number_is_no_lean_and_spoils_no_other(tmp_path: Path) -> None:
    pairs = write(tmp_path / "ledger", {"a": 20})
    puts = choose(pairs, by_account, 400, 1).puts
    leans = lean(
        puts,
        "likelihood",
        Overflowing(pairs, ("a",), 1.0),
        Overflowing(pairs, (), 0.0),
        TextSampling(),
        silent,
    )
    assert 2 <= sum(value is None for value in leans.values()) <= 3
    assert all(value is None or math.isfinite(value) for value in leans.values())
