"""Sticky pools and retries elsewhere: items dealt by topic, and items that failed and moved."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillwatch.actors.clues.echo import echo_evidence
from stillwatch.errors import InputError
from stillwatch.exchanges.log import build
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.range.campaigns import CampaignPlan, PlannedRequest, dealing
from stillwatch.range.campaigns.dealing import deal, retry, stick, topics_of
from stillwatch.range.campaigns.shapes import requests_of
from stillwatch.range.compose import compose_scene
from stillwatch.range.prompt_pools import shipped_corpora
from stillwatch.range.scenes import parse_scene

SUBJECTS = ("triangle", "fraction", "velocity", "compiler", "recursion", "sonnet", "glacier", "enzyme")
SCENE = """
name = "dealt"
seeds = [1]
[population]
base = "sample"
[[campaign]]
name = "pool"
shape = "wrapped_pool"
accounts = 20
exchanges = 600
start = 8.0
days = 3.0
pipelines = ["reasoning_sft_math"]
"""


def plan(**changes: object) -> CampaignPlan:
    usual = {"accounts": 10, "exchanges": 400, "start": 8.0, "days": 2.0, "pipelines": (), "tradecraft": 2}
    return CampaignPlan("c", "wrapped_pool", **{**usual, **changes})


def requests(count: int = 400, accounts: int = 10) -> list[PlannedRequest]:
    rng = np.random.default_rng(3)
    return [
        PlannedRequest(
            n % accounts,
            8.0 + 2 * n / count,
            f"please number {n} about {SUBJECTS[int(rng.integers(len(SUBJECTS)))]}",
        )
        for n in range(count)
    ]


def with_its_account(sent: list[PlannedRequest]) -> float:
    """Return the share of the items that are at the account with most of their subject."""
    by = Counter((r.prompt.split()[-1], r.account) for r in sent)
    most = {subject: max(n for (s, _), n in by.items() if s == subject) for subject in SUBJECTS}
    return sum(most.values()) / len(sent)


def test_a_topic_is_a_word_that_some_have_and_not_many() -> None:
    prompts = [r.prompt for r in requests()]
    assert set(topics_of(prompts)) == set(SUBJECTS)
    assert topics_of(["one of a kind"] * 2) == ["", ""]


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 1.0])
def test_so_large_a_share_is_dealt_by_topic(share: float) -> None:
    sent = requests(count=400, accounts=8)
    dealt = stick(plan(accounts=8, sticky=share), sent, np.random.default_rng(1))
    random = 0.2  # by chance an account has an eighth of a subject
    assert share * 0.6 + (1 - share) * random * 0.5 < with_its_account(dealt) < share * 0.9 + 0.35


def test_who_sends_how_much_and_when_stays_as_it_was() -> None:
    sent = requests()
    dealt = stick(plan(sticky=0.8), sent, np.random.default_rng(1))
    assert [(r.account, r.day) for r in dealt] == [(r.account, r.day) for r in sent]
    assert Counter(r.prompt for r in dealt) == Counter(r.prompt for r in sent)


def test_turns_of_a_talk_and_pools_after_a_ban_are_kept_apart() -> None:
    talk = [
        PlannedRequest(0, 8.0 + n / 100, f"turn {n} about velocity", turn=n + 1, talk=1) for n in range(4)
    ]
    first = [PlannedRequest(n % 10, 8.0, f"number {n} about {SUBJECTS[n % 4]}") for n in range(100)]
    second = [PlannedRequest(10 + n % 10, 9.0, f"number {n} about {SUBJECTS[4 + n % 4]}") for n in range(100)]
    dealt = stick(plan(sticky=1.0, bans=(0.5,)), talk + first + second, np.random.default_rng(1))
    assert dealt[:4] == talk
    assert {r.prompt.split()[-1] for r in dealt if r.account >= 10} == set(SUBJECTS[4:])


def test_what_failed_is_asked_again_elsewhere_within_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "FAILS", 0.2)
    sent = requests()
    out = retry(plan(retries=1.0), sent, np.random.default_rng(1))
    failed = [n for n, r in enumerate(out) if r.status == 429]
    assert 60 < len(failed) < 140
    followed = [
        (out[n], out[n + 1]) for n in failed if n + 1 < len(out) and out[n + 1].prompt == out[n].prompt
    ]
    assert len(followed) >= 0.98 * len(failed)
    for first, again in followed:
        assert first.account != again.account
        assert 0 < (again.day - first.day) * 1440 <= 8.0
    answered = {r.prompt for r in out if r.status == 200}
    assert len(answered) >= 0.98 * len({r.prompt for r in sent})


def test_half_of_the_failures_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "FAILS", 0.2)
    out = retry(plan(retries=0.5), requests(2000), np.random.default_rng(1))
    again = len(out) - 2000
    failed = sum(r.status == 429 for r in out)
    assert 0.4 < again / failed < 0.6


def test_what_a_shape_has_turned_away_itself_is_left_alone() -> None:
    sent = [PlannedRequest(0, 8.0, "a text", status=429), PlannedRequest(1, 8.001, "a text", status=200)]
    assert retry(plan(retries=1.0), sent, np.random.default_rng(1)) == sent


def test_one_account_asks_again_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "FAILS", 0.5)
    out = retry(plan(accounts=1, retries=1.0), requests(50, 1), np.random.default_rng(1))
    assert {r.account for r in out} == {0}
    assert len(out) > 60


def test_without_either_nothing_is_drawn() -> None:
    rng, same = np.random.default_rng(5), np.random.default_rng(5)
    sent = requests()
    assert deal(plan(), sent, rng) is sent
    assert rng.random() == same.random()


def test_published_questions_have_topics() -> None:
    wanted = CampaignPlan("c", "bare_partition", 20, 600, 8.0, 3.0, ("reasoning_sft_math",), 2)
    sent = requests_of(wanted, shipped_corpora(set()), np.random.default_rng(1), 9.4)
    topics = Counter(topics_of([r.prompt for r in sent]))
    assert topics[""] < 0.15 * len(sent)
    assert len(topics) > 30


@pytest.mark.slow
def test_a_scene_says_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dealing, "FAILS", 0.05)
    scene = parse_scene(SCENE + "sticky = 0.7\nretries = 0.9\n")
    (one,) = scene.plans
    assert (one.sticky, one.retries) == (0.7, 0.9)
    folder = compose_scene(scene, 1, tmp_path)
    log = {row["exchange_id"]: row for row in pq.read_table(folder / "exchanges.parquet").to_pylist()}
    marks = pq.read_table(folder / "truth_exchanges.parquet")["exchange_id"].to_pylist()
    taken = sorted((log[name] for name in marks), key=lambda row: row["time"])
    assert len(taken) >= 600
    failed = [row for row in taken if row["status"] == 429]
    elsewhere = 0
    for row in failed:
        later = (r for r in taken if r["prompt"] == row["prompt"] and r["time"] > row["time"])
        again = next(later, None)
        elsewhere += again is not None and again["account"] != row["account"]
    assert len(failed) > 10
    assert elsewhere > 0.7 * len(failed)
    text = (folder / "scene.toml").read_text()
    assert "sticky = 0.7" in text
    assert "sticky" not in (compose_scene(parse_scene(SCENE), 1, tmp_path / "b") / "scene.toml").read_text()


@pytest.mark.slow
def test_answers_come_back_from_another_account(tmp_path: Path) -> None:
    folder = compose_scene(parse_scene(SCENE + "cleaned = 0.3\n"), 1, tmp_path)
    table = pq.read_table(folder / "exchanges.parquet")
    rows = {row["exchange_id"]: row for row in table.to_pylist()}
    assert all((row["completion"] is None) == (row["status"] != 200) for row in rows.values())
    marks = pq.read_table(folder / "truth_exchanges.parquet")["exchange_id"].to_pylist()
    taken = [rows[name] for name in marks]
    by_answer = {row["completion"]: row for row in taken if row["completion"]}
    cleaning = [row for row in taken if row["prompt"].startswith("RAW TRACE")]
    assert 0.2 * 600 < len(cleaning) < 0.4 * 600
    for row in cleaning:
        of = by_answer[row["prompt"].split("\n")[1]]
        assert of["account"] != row["account"]
        assert of["time"] < row["time"]
    log = build(read([folder / "exchanges.parquet"], rejects=Rejects()), Sketcher(), threads=1)
    pool = sorted({row["account"] for row in taken})
    evidence = echo_evidence(log, pool)
    assert evidence is not None
    assert evidence.p_value < 1e-2
    assert {log.accounts[one.answered] for one in evidence.echoes} <= set(pool)
    plain = compose_scene(parse_scene(SCENE), 1, tmp_path / "b") / "exchanges.parquet"
    assert "completion" not in pq.read_schema(plain).names


@pytest.mark.parametrize("line", ["sticky = 1.5", 'retries = "all"'])
def test_shares_that_will_not_do_are_refused(line: str) -> None:
    with pytest.raises(InputError, match=f"s.toml:14: campaign.{line.split()[0]}"):
        parse_scene(f"{SCENE}{line}\n", "s.toml")
