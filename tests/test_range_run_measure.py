"""A run's measurements: compared with the scorer on random cases, or by hand without such a figure."""

import random
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from range_run_world import BEGIN, write_scene
from stillwatch.errors import InputError
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.ledger import TruthLedger, read_ledger
from stillwatch.range.measure import join_accusations, measure
from stillwatch.range.outcome import SceneOutcome
from stillwatch.range.score import score
from stillwatch.units import DAY_US

BEGIN_US = int(BEGIN.timestamp()) * 1_000_000


def measured(ledger: TruthLedger, *cases: Accusation, refused: frozenset[str] = frozenset()) -> SceneOutcome:
    return measure(ledger, LogJudgement(cases, refused), AttackPrices(), 7, scene="s", seed=1, defence="d")


def random_cases(draw: random.Random, accounts: tuple[str, ...]) -> list[Accusation]:
    cases = []
    free = list(accounts)
    draw.shuffle(free)
    for n in range(
        draw.randrange(4)
    ):  # an account in one case: the scorer and we choose differently between two
        some = [free.pop() for _ in range(min(len(free), draw.randrange(1, 7)))]
        at = BEGIN_US + draw.randrange(14 * DAY_US)
        named = {a: at + draw.choice([0, draw.randrange(DAY_US)]) for a in some}
        cases.append(Accusation(f"case{n}", at, named))
    return cases


def as_findings(cases: list[Accusation]) -> tuple[dict[str, Any], dict[str, Any]]:
    def iso(us: int) -> str:
        return (BEGIN + timedelta(microseconds=us - BEGIN_US)).isoformat()

    found = [{"id": c.case, "alarm_at": iso(c.at_us), "accounts": list(c.named_at_us)} for c in cases]
    more = [{"id": c.case, "named_at": {a: iso(t) for a, t in c.named_at_us.items()}} for c in cases]
    return {"campaigns": found}, {"campaigns": more}


@pytest.mark.parametrize("seed", range(40))
def test_what_the_scorer_measures_too_is_the_same(tmp_path: Path, seed: int) -> None:
    folder = write_scene(tmp_path / "scene", seed)
    draw = random.Random(1000 + seed)
    ledger = read_ledger(folder)
    cases = random_cases(draw, ledger.accounts)
    findings, evidence = as_findings(cases)
    right, got = score(findings, folder, evidence=evidence), measured(ledger, *cases)
    assert [f.campaign for f in got.campaigns] == [r.campaign for r in right.rows]
    for f, r in zip(got.campaigns, right.rows, strict=True):
        assert (f.accounts, f.exchanges, f.touched, f.named) == (r.accounts, r.n, r.caught, r.named)
        assert (f.before_alarm, f.before_alarm_tokens) == (r.harvest, r.harvest_tokens)
        assert f.is_exposed == r.is_exposed
    assert (got.false_cases, got.false_cases_permitted) == (
        right.false_cases,
        right.false_cases_permitted_synthetic,
    )
    assert got.account_days + got.account_days_clean == right.benign_active_account_days
    assert got.linked.bcubed_f1 == pytest.approx(right.bcubed_f1)
    assert got.linked.pair_recall == right.pair_recall
    named = {k.kind: k.named for k in got.kinds if k.named}
    assert named == right.benign_named_by_kind
    false = {k.kind: k.false_cases for k in got.kinds if k.false_cases}
    assert false == {kind: found.cases for kind, found in right.false_by_kind.items()}


@pytest.mark.parametrize("seed", range(20))
def test_containment_by_a_slow_and_plain_count(tmp_path: Path, seed: int) -> None:
    folder = write_scene(tmp_path / "scene", seed)
    draw = random.Random(2000 + seed)
    ledger = read_ledger(folder)
    cases = random_cases(draw, ledger.accounts)
    rows = pq.read_table(folder / "exchanges.parquet").to_pylist()
    whose = {
        m["exchange_id"]: m["campaign"] for m in pq.read_table(folder / "truth_exchanges.parquet").to_pylist()
    }
    refused = frozenset(r["exchange_id"] for r in rows if draw.random() < 0.2)
    stop: dict[str, int] = {}
    for c in cases:
        for a, at in c.named_at_us.items():
            stop[a] = min(stop.get(a, at), at)

    def passes(r: dict[str, Any]) -> bool:
        us = (r["time"] - BEGIN) // timedelta(microseconds=1) + BEGIN_US
        return r["exchange_id"] not in refused and us < stop.get(r["account"], us + 1)

    got = measured(ledger, *cases, refused=refused)
    for f in got.campaigns:
        own = [r for r in rows if whose.get(r["exchange_id"]) == f.campaign and r["status"] == 200]
        out = [r for r in own if passes(r)]
        assert f.out == len(out)
        assert f.out_tokens == sum(r["output_tokens"] or 0 for r in out)
        learnt = {r["prompt"] for r in out if r["finish_reason"] in ("stop", None)}
        assert f.examples == len(learnt)
        assert f.examples <= f.examples_undefended
        assert f.usd <= f.usd_undefended
    truth = {t["account"]: t for t in pq.read_table(folder / "truth.parquet").to_pylist()}
    for k in got.kinds:
        own = [r for r in rows if r["status"] == 200 and truth[r["account"]]["kind"] == k.kind]
        lost = [r for r in own if not passes(r)]
        assert (k.exchanges, k.refused) == (len(own), len(lost))
        assert k.refused_tokens == sum(r["output_tokens"] or 0 for r in lost)


def test_an_attacker_that_does_not_react_pays_for_all_its_accounts_and_for_what_got_out(
    tmp_path: Path,
) -> None:
    ledger = read_ledger(write_scene(tmp_path / "scene", 1, pools=(4, 3, 5)))
    prices = AttackPrices(
        account_usd=7, aged_account_usd=70, input_usd_per_mtok=0, output_usd_per_mtok=0, proxy_usd_per_gb=0
    )
    every = Accusation("all", 0, {a: 0 for a in ledger.accounts if a.startswith("c")})
    got = measure(ledger, LogJudgement((every,)), prices, 7, scene="s", seed=1, defence="d")
    assert [f.usd for f in got.campaigns] == [28, 21, 350]  # tradecraft 0, 1, 2
    assert [f.out for f in got.campaigns] == [0, 0, 0]
    rows = pq.read_table(ledger.folder / "exchanges.parquet").to_pylist()
    whose = {
        m["exchange_id"]: m["campaign"]
        for m in pq.read_table(ledger.folder / "truth_exchanges.parquet").to_pylist()
    }
    want = sum(
        r["output_tokens"] * (0.2 if r["model"] == "mira-mini" else 1)
        for r in rows
        if whose.get(r["exchange_id"]) == "k0" and r["status"] == 200 and r["output_tokens"]
    )
    dear = AttackPrices(account_usd=0, input_usd_per_mtok=0, output_usd_per_mtok=1e6, proxy_usd_per_gb=0)
    nobody = measure(ledger, LogJudgement(()), dear, 7, scene="s", seed=1, defence="d")
    assert nobody.campaigns[0].usd == pytest.approx(want)


def test_steps_of_one_case_are_one_case_and_nobody_is_named_before_it(tmp_path: Path) -> None:
    ledger = read_ledger(write_scene(tmp_path / "scene", 2))
    cases = join_accusations(
        ledger,
        [
            Accusation("a", 500, {"c0-0": 400, "nobody known": 1}),
            Accusation("a", 900, {"c0-0": 950, "c0-1": 900}),
            Accusation("empty", 100, {}),
        ],
    )
    assert [c.name for c in cases] == ["a"]
    codes = ledger.codes
    assert cases[0].named_us == {codes["c0-0"]: 500, codes["c0-1"]: 900}


def test_a_case_before_the_clean_days_are_over_counts_and_is_told(tmp_path: Path) -> None:
    ledger = read_ledger(write_scene(tmp_path / "scene", 3))
    early = Accusation("early", BEGIN_US + DAY_US, {"h0": BEGIN_US + DAY_US})
    late = Accusation("late", BEGIN_US + 8 * DAY_US, {"h1": BEGIN_US + 8 * DAY_US})
    got = measured(ledger, early, late)
    assert (got.cases, got.false_cases, got.false_cases_clean) == (2, 2, 1)


def test_an_outcome_comes_back_from_json_as_it_was(tmp_path: Path) -> None:
    got = measured(read_ledger(write_scene(tmp_path / "scene", 4)))
    assert msgspec.convert(asdict(got), SceneOutcome) == got


def test_a_folder_that_is_no_scene_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"truth\.parquet"):
        read_ledger(tmp_path)
    folder = write_scene(tmp_path / "scene", 5)
    log = pq.read_table(folder / "exchanges.parquet")
    pq.write_table(log.drop_columns(["finish_reason"]), folder / "exchanges.parquet")
    with pytest.raises(InputError, match="finish_reason"):
        read_ledger(folder)
    pq.write_table(log, folder / "exchanges.parquet")
    pq.write_table(pq.read_table(folder / "truth.parquet").slice(1), folder / "truth.parquet")
    with pytest.raises(InputError, match="h0 is in the log"):
        read_ledger(folder)
