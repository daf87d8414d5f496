"""`[holds]`: its settings, its decisions, the accounts that it never affects, and the dry run."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.report.findings import write
from stillwatch.scan import Campaign, Harvest, ScanResult, ScanTotals
from stillwatch.terms import (
    AccountUsage,
    Decision,
    EnforcementStatus,
    Hold,
    Holds,
    Permission,
    RequestFacts,
    Step,
    Terms,
    TermsError,
)
from stillwatch.terms.decide import decide, model_verdict
from stillwatch.terms.diff import difference
from stillwatch.terms.holds import (
    HoldCandidate,
    HoldSchedule,
    choose,
    draw_longer,
    join,
    joining,
    plan,
    why_over,
)
from stillwatch.terms.load import check, loads
from stillwatch.units import DAY_US, HOUR_US

NOW = 1_796_000_000_000_000
HOLD = Hold("sw-1", NOW + 90_500_000)
ON = Terms(1, holds=Holds(mode="on"))


def decided(terms: Terms = ON, hold: Hold | None = HOLD, **more: object) -> Decision:
    told = {"account": "a", "end_user": None, "operation": "chat", "model": "m", "org": None} | more
    standing, spent = told.pop("standing", None), told.pop("spent", AccountUsage())
    ask = RequestFacts(**told)  # type: ignore[arg-type]
    verdict = model_verdict(terms, ask.model, ask.account, NOW, ask.org)
    return decide(terms, standing, ask, verdict, spent, NOW, hold)  # type: ignore[arg-type]


def test_a_hold_is_a_429_that_says_when_it_ends_and_which_candidate_it_is_of() -> None:
    found = decided()
    assert (found.allow, found.status, found.code, found.rule) == (False, 429, "rate_limited", "holds:sw-1")
    assert found.retry_after_s == 91  # not before it is over
    assert "sw-1" not in found.message
    assert decided(hold=None).allow


@pytest.mark.parametrize(
    "more",
    [
        {"terms": Terms(1)},  # off by default
        {"terms": Terms(1, holds=Holds(mode="dry_run"))},
        {"hold": Hold("sw-1", NOW)},  # over
        {"operation": "models", "model": None},
        {"operation": "embeddings"},
        {"spent": AccountUsage(held_minutes_day=6)},
        {"terms": Terms(1, holds=Holds(mode="on", exempt_accounts=("a",)))},
        {"terms": Terms(1, holds=Holds(mode="on", exempt_orgs=("lab",))), "org": "lab"},
        {"terms": Terms(1, holds=Holds(mode="on", exempt_orgs=("*",))), "org": "lab"},
        {"terms": replace(ON, permissions=(Permission("resell", "cio", NOW + 1, account="a"),))},
        {"standing": EnforcementStatus(Step.THROTTLE, 0)},  # an action is already in force
    ],
    ids=str,
)
def test_who_is_served_all_the_same(more: dict[str, object]) -> None:
    assert decided(**more).allow  # type: ignore[arg-type]


def test_a_minute_with_a_refusal_may_have_more_of_them() -> None:
    assert not decided(spent=AccountUsage(held_minutes_day=5)).allow
    assert not decided(spent=AccountUsage(held_minutes_day=6, held_this_minute=True)).allow


def test_what_is_refused_anyway_is_refused_for_its_own_reason() -> None:
    assert decided(standing=EnforcementStatus(Step.BLOCK, 0)).rule == "standing.block"
    assert decided(replace(ON, limits=replace(ON.limits, max_n=1)), n=2).rule == "limits.max_n"
    assert decided(standing=EnforcementStatus(Step.WATCH, 0)).rule == "holds:sw-1"


def test_the_table_is_read_and_every_problem_has_its_line() -> None:
    terms = loads('version = 1\n[holds]\nmode = "on"\ndays = 3\nexempt_orgs = ["x"]\nblock_minutes = 60\n')
    assert terms.holds == Holds(mode="on", days=3, exempt_orgs=("x",), block_minutes=60)
    assert loads("version = 1").holds.mode == "off"
    text = "version = 1\n[holds]\nmode = 'yes'\ndays = 0\none_block_in = 4\nday = 1\n"
    with pytest.raises(TermsError) as caught:
        loads(text, "t.toml")
    assert [problem.partition(": ")[0] for problem in caught.value.problems] == [
        "t.toml:3",
        "t.toml:4",
        "t.toml:5",
        "t.toml:6",
    ]
    # the key of version 0.1: half of the accounts were held, in one block of each window
    assert loads("version = 1\n[holds]\nblocks_per_window = 12").holds.one_block_in == 24
    with pytest.raises(TermsError, match="one_block_in replaces this key"):
        loads("version = 1\n[holds]\nblocks_per_window = 12\none_block_in = 16")
    with pytest.raises(TermsError, match="accounts_at_most"):
        loads("version = 1\n[holds]\naccounts_at_least = 6\naccounts_at_most = 5")


def test_what_the_owner_may_have_overlooked() -> None:
    assert "[[permission]] are exempt" in check("version = 1\n[holds]\nmode = 'on'", now_us=NOW).warnings[0]
    assert not check("version = 1\n[holds]\nmode = 'on'\nexempt_orgs = ['*']", now_us=NOW).warnings
    assert "no account is held" in check("version = 1\n[holds]\nmode = 'dry_run'", now_us=NOW).warnings[0]


def test_a_difference_says_which_way_it_goes() -> None:
    old = loads("version = 1\n[holds]\nmode = 'dry_run'\nexempt_orgs = ['x']")
    new = loads("version = 2\n[holds]\nmode = 'on'\none_block_in = 32\nrefused_minutes_per_day = 9")
    told = {change.where: change.direction for change in difference(old, new, NOW)}
    assert told["holds.mode"] == told["holds.exempt_orgs"] == "stricter"
    assert told["holds.refused_minutes_per_day"] == "stricter"
    assert told["holds.one_block_in"] == "looser"
    back = {change.where: change.direction for change in difference(new, old, NOW)}
    assert back["holds.mode"] == back["holds.exempt_orgs"] == "looser"


def lead(name: str, many: int, p_value: float = 0.01, first: int = 0) -> HoldCandidate:
    return HoldCandidate(name, p_value, tuple(f"a{k:03}" for k in range(first, first + many)), rank=0)


def test_candidates_by_refusals_leave_others_their_places() -> None:
    """Pairs of accounts occur by the dozen. In a replay they took all places, and no lead was ever held."""
    pairs = [lead(f"refusals-{k}", 2, first=2 * k) for k in range(8)]
    leads = [replace(lead(f"lead-{k}", 9, first=100 + 20 * k), rank=1) for k in range(8)]
    for most in (1, 6):
        found = choose(Holds(candidates_at_once=most), [*pairs, *leads], {}, (), NOW)
        held = [choice.candidate.candidate for choice in found if choice.why_not is None]
        half = (most + 1) // 2
        assert held == [f"refusals-{k}" for k in range(half)] + [f"lead-{k}" for k in range(most - half)]
    running = [plan(Holds(), one.candidate, one.accounts, NOW, b"k" * 32) for one in pairs[:3]]
    found = choose(Holds(candidates_at_once=6), [*pairs[3:], *leads], {}, (), NOW, running)
    assert [c.candidate.candidate for c in found if c.why_not is None] == [f"lead-{k}" for k in range(3)]


def test_the_terms_choose_whom_to_hold() -> None:
    terms = Holds(
        accounts_at_least=4,
        accounts_at_most=20,
        candidates_at_once=4,
        p_value_at_most=0.05,
        exempt_orgs=("x",),
    )
    orgs = {"a000": "x", "a100": "y"}
    leads = [
        lead("few", 3), lead("many", 21, first=20), lead("weak", 9, 0.06, 50), lead("one", 9, 0.001),
        lead("overlaps", 9, 0.002, 4), lead("two", 9, 0.02, 100), lead("late", 9, 0.03, 200),
    ]  # fmt: skip
    found = {choice.candidate.candidate: choice for choice in choose(terms, leads, orgs, (), NOW)}
    assert [name for name, choice in found.items() if choice.why_not is None] == ["one", "two"]
    assert found["one"].exempt == ("a000",)
    assert found["one"].candidate.accounts == tuple(f"a{k:03}" for k in range(1, 9))
    for name, why in (
        ("few", "accounts_at_least"),
        ("many", "accounts_at_most"),
        ("weak", "p-value"),
        ("late", "at_once"),
    ):
        assert why in (found[name].why_not or ""), name
    assert "another candidate" in (found["overlaps"].why_not or "")
    touching = choose(terms, [leads[3], lead("touches", 9, 0.002, 6)], orgs, (), NOW)[1]
    assert touching.why_not is None  # three of its nine are already held: the others are held on their own
    assert touching.candidate.accounts == tuple(f"a{k:03}" for k in range(9, 15))
    running = [plan(terms, "old", [f"a{k:03}" for k in range(100, 110)], NOW, b"k" * 32)]
    again = choose(terms, leads, orgs, (), NOW, running)
    assert [c.candidate.candidate for c in again if c.why_not is None] == ["one"]


def test_all_holds_together_refuse_no_more_than_the_terms_say() -> None:
    terms = Holds(refused_share_at_most=0.001)  # a sixteenth of a candidate
    alike = ("one", "two", "three", "four", "five")
    told = (("big", 1e-9, 0.005), ("tiny", 1e-4, 0.001), *((name, 1e-6, 0.0033) for name in alike))
    groups = [
        HoldCandidate(f"refusals-{name}", p, tuple(f"{name}{k}" for k in range(9)), share, rank=0)
        for name, p, share in told
    ]
    chosen = choose(terms, groups, {}, (), NOW)
    held = [c.candidate.candidate for c in chosen if c.why_not is None]
    assert len(held) == 5
    assert held[0] == "refusals-tiny"
    assert "with it" in (chosen[-2].why_not or "")
    assert chosen[-1].candidate.candidate == "refusals-big"
    assert "its holds alone" in (chosen[-1].why_not or "")
    assert all("refused_share_at_most = 0.001" in (c.why_not or "") for c in chosen[-2:])
    # half is reserved for candidates by refusals, which become known one by one
    leads = [replace(one, candidate=one.candidate.removeprefix("refusals-"), rank=1) for one in groups]
    assert sum(c.why_not is None for c in choose(terms, leads, {}, (), NOW)) == 3
    # running holds are counted
    running = [plan(terms, "refusals-one", groups[2].accounts, NOW, b"k" * 32)]
    again = choose(terms, groups, {}, (), NOW, running)
    assert sum(c.why_not is None for c in again) == 4


def undecided(schedule: HoldSchedule, moved_p: float = 1.0) -> HoldCandidate:
    return HoldCandidate(schedule.candidate, 1.0, schedule.accounts, moved_p=moved_p, undecided=True)


def test_undecided_schedules_go_on_once_and_only_from_the_last_of_their_first_days() -> None:
    terms = Holds(mode="on")
    one = plan(terms, "lead-1", ("a", "b"), NOW, b"k" * 32)
    shown = [undecided(one)]
    week_us = one.start_us + 7 * DAY_US
    for now_us in (NOW, week_us - DAY_US - 1, week_us - one.block_us, week_us, week_us + DAY_US):
        assert draw_longer(terms, [one], shown, now_us) == [], now_us
    (longer,) = draw_longer(terms, [one], shown, week_us - DAY_US)
    assert longer == replace(one, days=28)
    blocks = range(one.start_us // one.block_us, week_us // one.block_us)
    assert [longer.draw("a", b) for b in blocks] == [one.draw("a", b) for b in blocks]
    assert one.draw("a", blocks.stop) is None is not longer.draw("a", blocks.stop)
    again_us = one.start_us + 28 * DAY_US - DAY_US
    assert draw_longer(terms, [longer], shown, again_us) == []  # no further
    assert draw_longer(replace(terms, days_at_most=7), [one], shown, week_us - DAY_US) == []
    decided = [replace(shown[0], undecided=False)]
    assert draw_longer(terms, [one], decided, week_us - DAY_US) == []
    # it ends when it is decided, but not before accounts that joined late have had their days
    assert why_over(terms, longer, shown, week_us + DAY_US) is None
    assert why_over(terms, longer, decided, week_us - 1) is None
    assert why_over(terms, longer, decided, week_us) == "its last day has passed"
    late = join(longer, ("c",), week_us - 3 * DAY_US)
    assert why_over(terms, late, decided, week_us + DAY_US) is None
    assert why_over(terms, longer, shown, again_us + DAY_US) == "its last day has passed"
    assert (
        why_over(replace(terms, days_at_most=14), longer, shown, NOW) == "the terms have changed the schedule"
    )


def test_what_goes_on_takes_a_quarter_of_the_places_at_most_those_that_gained_first() -> None:
    """Decoys with almost no requests would occupy all places for a month."""
    terms = Holds(mode="on", candidates_at_once=8)
    running = [plan(terms, f"refusals-{k}", (f"a{k}", f"b{k}"), NOW, b"k" * 32) for k in range(8)]
    shown = [undecided(one, 0.2 if k == 7 else 1.0) for k, one in enumerate(running)]
    now_us = running[0].start_us + 7 * DAY_US - HOUR_US
    longer = draw_longer(terms, running, shown, now_us)
    assert [one.candidate for one in longer] == ["refusals-7", "refusals-0"]
    rest = [one for one in running if one.candidate not in {other.candidate for other in longer}]
    assert draw_longer(terms, [*longer, *rest], shown, now_us) == []


def test_terms_that_end_sooner_than_they_begin_are_refused() -> None:
    told = "version = 1\n[holds]\ndays = 14\ndays_at_most = {}\n"
    assert loads(told.format(14)).holds.days_at_most == 14
    with pytest.raises(TermsError, match="less than days"):
        loads(told.format(13))


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """A report that names ten accounts of a log of four days, two of them with an organisation."""
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    names = [f"a{k}" for k in range(10)]
    minutes = range(0, 4 * 1_440, 5)
    rows = [
        {"time": begin + timedelta(minutes=k), "account": names[k // 5 % 10], "prompt": "?"} for k in minutes
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "log.parquet")
    (tmp_path / "accounts.jsonl").write_text('{"account": "a0", "org": "x"}\n{"account": "a1", "org": "y"}\n')
    taken = Harvest(10, 100)
    campaign = Campaign("sw-1", begin, 1e-3, 9.0, tuple(names), taken, taken, (), ())
    write(
        ScanResult("test", ScanTotals(1_152, 10, begin, begin, 0, 0.0), (campaign,), ()), tmp_path / "report"
    )
    return tmp_path


def run(world: Path, terms: str, *words: str) -> tuple[int, str]:
    (world / "terms.toml").write_text(f"version = 1\n[holds]\n{terms}")
    told = ["terms", "holds", world / "terms.toml", world / "log.parquet", "--report", world / "report"]
    told += ["--accounts", world / "accounts.jsonl", *words]
    done = CliRunner().invoke(app, [str(word) for word in told])
    return done.exit_code, done.stdout


@pytest.mark.slow
def test_a_dry_run_says_who_how_often_and_how_much(world: Path) -> None:
    code, told = run(world, 'mode = "dry_run"\nexempt_orgs = ["x"]\n', "--json")
    found = json.loads(told)
    assert (code, found["mode"], found["held_minutes_per_day"]) == (0, "dry_run", 90)
    (one,) = found["candidates"]
    assert one["held"]
    assert one["exempt"] == ["a0"]
    assert len(one["accounts"]) == 9
    cost = one["cost"]
    # 259 requests a day, in a sixteenth of the day, less for two blocks in succession
    assert cost["requests_per_day"] == pytest.approx(0.9 * 288, rel=0.02)
    assert 0.6 < cost["refused_per_day"] / (0.9 * 288 / 16) < 1.1
    assert cost["most_per_account_day"] <= 6
    code, told = run(world, "accounts_at_least = 11\n")
    assert code == 0
    assert "accounts_at_least = 11" in " ".join(told.split())
    assert "holds are off" in " ".join(told.split())


@pytest.mark.slow
def test_a_budget_bounds_what_a_dry_run_foresees(world: Path) -> None:
    refused = [
        json.loads(run(world, f"refused_minutes_per_day = {many}\n", "--json")[1])["candidates"][0]["cost"]
        for many in (1, 6)
    ]
    assert refused[0]["refused_per_day"] <= 10 < refused[1]["refused_per_day"]
    assert refused[0]["most_per_account_day"] <= 1


@pytest.mark.parametrize(
    ("share", "joins"),
    [(0.015, 4), (0.017, 0), (0.063, 0)],
    ids=["within its quarter", "a little beyond", "as much as all holds may refuse"],
)
def test_one_candidate_has_a_quarter_of_the_budget_also_when_accounts_join(share: float, joins: int) -> None:
    """A small group begins, and heavy accounts join it: one back end's few would take all places."""
    terms = Holds(mode="on")  # one block in sixteen: a quarter of refused_share_at_most is 1.6 % of requests
    begun = tuple(f"a-{k}" for k in range(4))
    schedule = plan(terms, "lead-1", begun, NOW, b"k" * 32)
    grown = HoldCandidate("lead-1", 0.0, (*begun, *(f"b-{k}" for k in range(4))), share)
    new, cost = joining(terms, schedule, grown, {}, (), NOW, begun, 0.0)
    assert len(new) == joins
    assert cost == pytest.approx(share / 16 / 2 if joins else 0.0)
    (alone,) = choose(terms, [grown], {}, (), NOW)  # the same request as at a schedule's start
    assert (alone.why_not is None) is bool(joins)
