"""Contests: what is counted, what stops, what is refused. Defences are a few lines that keep all they saw."""

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from stillwatch.errors import InputError
from stillwatch.range.attackers import Evasion
from stillwatch.range.attackers.registry import attacker, names
from stillwatch.range.attackers.repeated import FixedMeans
from stillwatch.range.client_programs import ClientProgram
from stillwatch.range.contest import ERRORS, Contest, Rules, contest, contest_of
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import Accusation, LogToJudge
from stillwatch.range.defences.allowance import TOKENS_A_S, AllowanceWatch, judge, refused_ids
from stillwatch.range.defences.holds import LOG_STANDS, HoldingWatch, HoldsDefence, HoldsInForce
from stillwatch.range.defences.reasoning_allowance import ReasoningAllowanceWatch
from stillwatch.range.defences.registry import defence as defence_of
from stillwatch.range.honest_background import HonestBackground, Passing, field_of
from stillwatch.range.people.software import DEFAULTS
from stillwatch.range.scenes import read_scene, shipped_scenes
from stillwatch.scan.parts import PARTS
from stillwatch.terms import Holds, Terms
from stillwatch.terms.allowance import CEILING, Allowances
from stillwatch.terms.holds import plan
from stillwatch.terms.load import load
from stillwatch.toml.reading import Mistakes, TableReader
from stillwatch.units import DAY_US, HOUR_US

RULES = Rules(goal=60, max_days=8)
AGENT = replace(DEFAULTS["coding_agent"], name="Ratchet", model="mira-think", max_tokens=None)
CALLS = {"top_p": None, "stream": True, "response_format": None, "conversations": True}
SETTINGS = {"model": "mira-think", "max_tokens": None, "temperature": 0.5}
PROGRAM = ClientProgram("Quill", "You are Quill.", 3, SETTINGS, ({"user_agent": "Quill/1.0", **CALLS},))
CROWDED = replace(read_scene(shipped_scenes()["calm"]), crowds=(AGENT,))
POOL = FixedMeans(Evasion(accounts=12, per_account_day=24), "pool")


@pytest.fixture(scope="module")
def people() -> HonestBackground:
    whole = field_of(read_scene(shipped_scenes()["calm"]), 1)
    kept = pa.array(sorted(set(whole.accounts["account"].to_pylist()))[:60])  # enough for bookkeeping
    mine = whole.exchanges.filter(pc.is_in(whole.exchanges["account"], value_set=kept))
    # so few people give no threshold, and have no program in common
    return replace(whole, exchanges=mine, calibration=None, programs=(PROGRAM,))


@dataclass
class Eyes:
    """Keeps what it saw; names every attacker's account after this many of its exchanges, if asked to."""

    honest: set[str]
    after: int | None = None
    a_day: int | None = None
    also: str | None = None  # an honest account that is named together with the first
    rows: list[dict[str, Any]] = field(default_factory=list)
    until: list[int] = field(default_factory=list)
    named: dict[str, int] = field(default_factory=dict)
    made: Counter = field(default_factory=Counter)
    pauses: bool = False  # each account is refused in the first half of each hour, and learns until when

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        rows = exchanges.to_pylist()
        times = [int(r["time"].timestamp() * 1_000_000) for r in rows]
        assert times == sorted(times)
        assert all((self.until[-1] if self.until else 0) <= t < until_us for t in times)
        self.rows += rows
        self.until.append(until_us)
        if self.after is None:
            return ()
        seen = Counter(r["account"] for r in self.rows if r["account"] not in self.honest)
        fresh = [name for name, n in sorted(seen.items()) if n >= self.after and name not in self.named]
        if fresh and self.also and self.also not in self.named:
            fresh.append(self.also)
        self.named.update(dict.fromkeys(fresh, until_us))
        return [Accusation("case", until_us, dict.fromkeys(fresh, until_us))] if fresh else ()

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        if self.pauses:
            return at_us % HOUR_US < HOUR_US // 2
        if self.a_day is None:
            return False
        self.made[account, at_us // DAY_US] += 1
        return self.made[account, at_us // DAY_US] > self.a_day


class PausingEyes(Eyes):
    """States until when it refuses, as a gateway does."""

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        return at_us - at_us % HOUR_US + HOUR_US // 2 if self.refuses(account, at_us) else None


class Watcher:
    """A defence whose watches all share one observer."""

    NAME = "eyes"

    def __init__(self, people: HonestBackground, **kinds: Any) -> None:
        self.eyes = (PausingEyes if "pauses" in kinds else Eyes)(
            set(people.accounts["account"].to_pylist()), **kinds
        )

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> Eyes:
        return self.eyes

    def theirs(self) -> list[dict[str, Any]]:
        return [row for row in self.eyes.rows if row["account"] not in self.eyes.honest]


def fight(
    people: HonestBackground, who: Any = POOL, seed: int = 1, rules: Rules = RULES, **kinds: Any
) -> tuple:
    watcher = Watcher(people, **kinds)
    return contest(people, watcher, who, seed, rules, AttackPrices()), watcher  # type: ignore[arg-type]


# --- bookkeeping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names())
def test_what_is_counted_is_what_the_log_holds(people: HonestBackground, name: str) -> None:
    told, watcher = fight(people, attacker(name))
    rows = watcher.theirs()
    wanted = [r for r in rows if r["model"].startswith("mira-think")]  # a chorus sends others beside them
    good = [r for r in wanted if r["status"] == 200 and r["finish_reason"] not in ("refusal", "length")]
    assert told.reached
    assert told.out == 60 == len(good)
    assert told.requests == len(rows)
    prices = AttackPrices()
    traffic = sum(prices.exchange(r["model"], r["input_tokens"], r["output_tokens"]) for r in rows)
    assert told.usd == pytest.approx(traffic + told.accounts * 5, abs=0.02)
    assert told.accounts >= len({r["account"] for r in rows})
    assert told.output_tokens == sum(r["output_tokens"] for r in good)
    last, first = max(r["time"] for r in good), min(r["time"] for r in rows)
    assert told.days == pytest.approx((last - first).total_seconds() / 86400, abs=1e-6)
    assert [h.out for h in told.history] == sorted(h.out for h in told.history)
    assert told.history[-1].out == 60
    assert told.honest_stopped == told.stopped == 0


@pytest.mark.slow
def test_a_contest_is_the_same_again_and_another_on_another_seed(people: HonestBackground) -> None:
    once, again, other = (asdict(fight(people, seed=seed, after=5)[0]) for seed in (1, 1, 2))
    assert once == again
    assert once != other
    json.dumps(once)


def test_the_attackers_draws_do_not_move_with_the_defence(people: HonestBackground) -> None:
    """Two defences that do nothing see the same requests, whatever they draw for themselves."""
    seen = [[(r["account"], r["prompt"]) for r in fight(people)[1].theirs()] for _ in range(2)]
    assert seen[0] == seen[1]


# --- actions against an attacker ----------------------------------------------------------------------------


@pytest.mark.slow
def test_a_named_account_is_stopped_after_the_delay(people: HonestBackground) -> None:
    for delay in (0.0, 1800.0):
        told, watcher = fight(people, rules=replace(RULES, stop_delay_s=delay), after=4)
        late = defaultdict(list)
        for row in watcher.theirs():
            named = watcher.eyes.named.get(row["account"])
            if named is not None:
                late[row["account"]].append(row["time"].timestamp() - named / 1e6)
        assert all(after <= 1.5 * delay for times in late.values() for after in times if after > 0)
        assert told.stopped >= 1
        assert told.first_stop_days is not None
        assert told.accounts > 12  # the pool buys new ones


def test_between_full_hours_it_is_looked_once_there_is_a_case(people: HonestBackground) -> None:
    _, watcher = fight(people, after=2)
    begun = watcher.eyes.named[min(watcher.eyes.named, key=watcher.eyes.named.__getitem__)]
    steps = {b - a for a, b in zip(watcher.eyes.until, watcher.eyes.until[1:], strict=False) if a >= begun}
    assert min(steps) == 300_000_000
    assert all(b - a >= HOUR_US for a, b in zip(watcher.eyes.until, watcher.eyes.until[1:], strict=False)
               if b <= begun)  # fmt: skip


def test_stripped_answers_are_paid_and_worth_nothing(people: HonestBackground) -> None:
    never = FixedMeans(Evasion(accounts=4, per_account_day=240, replace=False), "never")
    told, watcher = fight(people, never, rules=replace(RULES, act="strip", stop_delay_s=0.0), after=3)
    assert not told.reached
    assert told.ended == "given up"
    assert told.out < sum(r["status"] == 200 for r in watcher.theirs())


def test_an_honest_account_that_is_named_is_stopped_too(people: HonestBackground) -> None:
    counts = Counter(people.exchanges["account"].to_pylist())
    busy = max(counts, key=counts.__getitem__)
    told, watcher = fight(people, after=2, also=busy)
    assert told.honest_stopped == 1
    named = watcher.eyes.named[busy] / 1e6
    assert not any(r["account"] == busy and r["time"].timestamp() > named for r in watcher.eyes.rows)


@pytest.mark.slow
def test_a_limit_refuses_everybody(people: HonestBackground) -> None:
    told, watcher = fight(people, FixedMeans(Evasion(accounts=2, per_account_day=480), "two"), a_day=10)
    answered = Counter((r["account"], r["time"].date()) for r in watcher.theirs() if r["status"] == 200)
    assert max(answered.values()) <= 10
    assert told.days > 2
    honest = Counter(
        (r["account"], r["time"].date())
        for r in watcher.eyes.rows
        if r["account"] in watcher.eyes.honest and r["time"].timestamp() * 1e6 >= people.clean_until_us
    )
    assert max(honest.values()) == 10
    assert told.honest_refused > 0


def test_a_client_that_is_refused_backs_off(people: HonestBackground) -> None:
    fast = FixedMeans(Evasion(accounts=1, per_account_day=24 * 600), "fast")
    told, watcher = fight(people, fast, a_day=5, rules=replace(RULES, max_days=1))
    refusals = [r for r in watcher.theirs() if r["status"] == 429]
    assert told.ended == "time"
    assert len(refusals) < 24 * 6 + 10
    assert told.out <= 10


# --- where refused work moves -------------------------------------------------------------------------------


def refused_rows(rows: list[dict[str, Any]]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Return each refused row, and the later requests with the same text."""
    by_text = defaultdict(list)
    for row in sorted(rows, key=lambda r: r["time"]):
        by_text[row["prompt"]].append(row)
    return [
        (row, same[k + 1 :])
        for same in by_text.values()
        for k, row in enumerate(same)
        if row["status"] == 429
    ]


BARE = Evasion(accounts=12, per_account_day=24, words="bare")


@pytest.mark.slow
def test_a_queue_moves_refused_work_at_once_word_for_word(people: HonestBackground) -> None:
    told, watcher = fight(people, FixedMeans(BARE, "moves", "next"), a_day=4)
    refused = refused_rows(watcher.theirs())
    moved = [(row, later[0]) for row, later in refused if later]
    assert told.reached
    assert len(moved) > 20
    others = [row["account"] != then["account"] for row, then in moved]
    assert np.mean(others) > 0.9  # its planned account may be refused meanwhile
    waits = [(then["time"] - row["time"]).total_seconds() for row, then in moved]
    assert np.median(waits) < 300
    assert all(wait > 5 for wait in waits)


@pytest.mark.slow
def test_a_queue_for_each_account_waits_until_it_is_served(people: HonestBackground) -> None:
    told, watcher = fight(people, FixedMeans(BARE, "waits", "own"), pauses=True)
    refused = refused_rows(watcher.theirs())
    assert told.reached
    assert len(refused) > 10
    for row, later in refused:
        assert {row["account"]} >= {one["account"] for one in later}
        if at_us(row) % HOUR_US < HOUR_US // 2:
            assert all(at_us(one) % HOUR_US >= HOUR_US // 2 for one in later)
    # it does not use an account that it knows to be refused
    per_hour = Counter((row["account"], at_us(row) // HOUR_US) for row, _ in refused)
    assert np.mean([many == 1 for many in per_hour.values()]) > 0.9


def test_a_queue_is_one_of_three() -> None:
    assert attacker("naive:queue=own").NAME == "naive:queue=own"
    chorus = attacker("chorus:accounts=9:queue=next")
    assert (chorus.queue, chorus.settings.accounts) == ("next", 9)  # type: ignore[attr-defined]
    for name in ("naive:queue=mine", "naive:queue=", "chorus:queue=own:queue=own"):
        with pytest.raises(InputError, match="give one queue of end, next, own"):
            attacker(name)


@pytest.mark.slow
def test_honest_clients_try_again_as_docs_holds_says(people: HonestBackground) -> None:
    """Their SDK retries twice; they try once more after the hold. Every refusal is a row, as at a gateway."""
    told, watcher = fight(people, POOL, pauses=True, rules=replace(RULES, goal=300, max_days=6))
    rows = [r for r in watcher.eyes.rows if r["account"] in watcher.eyes.honest and "@" in r["exchange_id"]]
    tries = defaultdict(list)
    for row in rows:
        tries[row["exchange_id"].partition("@")[0]].append(row)
    first = [sorted(some, key=lambda r: r["time"]) for some in tries.values()]
    assert told.honest_refused == len(first) > 30
    seconds = [[(r["time"] - some[0]["time"]).total_seconds() for r in some] for some in first]
    assert all(some[1] < 0.6 and some[2] < 1.7 for some in seconds if len(some) > 2)
    assert np.mean([len(some) >= 3 for some in seconds]) > 0.9  # not exactly at the half hour
    later = [some[3] for some in first if len(some) > 3]
    assert 0.2 < len(later) / len(first) < 0.7  # 35 % after the hold, 10 % by hand
    assert all((r["status"] == 429) == (at_us(r) % HOUR_US < HOUR_US // 2) for r in rows)
    whole = sum(people.clean_until_us <= at_us(r) for r in people.exchanges.to_pylist())
    assert told.honest_requests < whole  # some leave for an hour


@dataclass(frozen=True)
class KeptHolds(HoldsDefence):
    """Holds whose state can be read afterwards."""

    watches: list[HoldingWatch] = field(default_factory=list)

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> HoldingWatch:
        self.watches.append(super().open_watch(accounts, clean_until_us, seed))
        return self.watches[-1]


@pytest.mark.slow
@pytest.mark.parametrize("queue", ["next", "own"])
def test_holds_find_a_queue_that_moves_and_none_that_waits(people: HonestBackground, queue: str) -> None:
    """Eight accounts without common wording. They are most of so few people's traffic, hence the share.

    Evidence from refusals in the log is excluded: it finds such a pool as well.
    """
    terms = Terms(1, holds=Holds(mode="on", refused_share_at_most=0.25))
    holds = KeptHolds("holds", PARTS - {"failover"}, False, 1.0, terms)
    pool = Evasion(accounts=8, per_account_day=48, words="bare", spread_settings=True, replace=False)
    told = contest(people, holds, FixedMeans(pool, "pool", queue), 1, Rules(max_days=2.2), AttackPrices())
    scan = holds.watches[0].scan
    found = scan.tick(scan.evaluated_until_us, scan.evaluated_until_us).campaigns
    assert len(holds.watches[0].schedules) == 1  # the same lead is held either way
    assert told.stopped == (8 if queue == "next" else 0)
    assert [one.reasons[0].detector for one in found] == (["holds"] if queue == "next" else [])
    assert told.honest_stopped == 0


def test_holds_judge_no_log_and_keep_their_budget(people: HonestBackground) -> None:
    judged = defence_of("stillwatch/holds").judge(LogToJudge(people.exchanges, people.accounts, 0, 1))
    assert (judged.cases, judged.cannot_fire) == ((), LOG_STANDS)
    force = HoldsInForce(Holds(mode="on", refused_minutes_per_day=6))
    schedule = plan(Holds(one_block_in=4), "lead-1", ["a"], 0, bytes(32))
    assert force.renew([schedule, replace(schedule, ended_us=1)], 5) == [schedule]
    refused = [at for at in range(0, DAY_US, 20_000_000) if force.refused_until_us("a", at) is not None]
    assert len({at // 60_000_000 for at in refused}) == 6
    assert len(refused) == 18  # a retry within the minute uses no more of it
    assert force.refused_until_us("b", 10**9) is None


# --- how it ends --------------------------------------------------------------------------------------------


def test_it_ends_when_the_money_does(people: HonestBackground) -> None:
    told = contest(people, Watcher(people), POOL, 1, RULES, AttackPrices(usd=61))  # type: ignore[arg-type]
    assert told.ended == "money"
    poor = contest(people, Watcher(people), POOL, 1, RULES, AttackPrices(usd=1))  # type: ignore[arg-type]
    assert (poor.ended, poor.accounts, len(poor.history)) == ("money", 0, 1)
    assert not told.reached
    assert told.accounts == 12
    assert told.usd == pytest.approx(61, abs=0.5)


def test_it_ends_when_the_time_does(people: HonestBackground) -> None:
    slow = FixedMeans(Evasion(accounts=2, per_account_day=4), "slow")
    told, _ = fight(people, slow, rules=replace(RULES, max_days=2))
    assert (told.ended, told.reached, told.days) == ("time", False, pytest.approx(2, abs=0.5))


def test_a_goal_beyond_the_stock_is_refused(people: HonestBackground) -> None:
    with pytest.raises(InputError, match="questions, the goal is"):
        fight(people, rules=Rules(goal=10**6))


@pytest.mark.parametrize(
    ("told", "says"),
    [({"goal": 0}, "goal: is 0; give 1 or more"), ({"goals": 3}, "goals: unknown key; did you mean `goal`"),
     ({"act": "warn"}, 'act: is .warn.; give "stop" or "strip"'), ({"goal": 2.5}, "give a whole number"),
     ({"max_days": "60"}, "'60' is text; give a number"), ({"goal": True}, "true is a boolean"),
     ({"max_days": float("inf")}, "inf is not finite"), ({"max_days": 4000}, "give more than 0, up to 3,650"),
     ({"stop_delay_s": float("nan")}, "nan is not finite")],
)  # fmt: skip
def test_bad_rules_are_refused(told: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        Rules.of(TableReader(told, ("contest",), Mistakes("s.toml", None)))


# --- stolen keys --------------------------------------------------------------------------------------------


def test_a_thief_pays_no_tokens_and_the_owner_goes_on(people: HonestBackground) -> None:
    thief = FixedMeans(Evasion(accounts=3, per_account_day=240, kind="stolen"), "thief")
    told, watcher = fight(people, thief)
    assert told.stolen == told.accounts == 3
    assert told.usd == pytest.approx(90, abs=1)
    mixed = [r for r in watcher.eyes.rows if r["client_ip"].startswith("45.86.")]
    taken = {r["account"] for r in mixed}
    assert len(taken) == 3
    assert taken <= watcher.eyes.honest


# --- the honest log goes by ---------------------------------------------------------------------------------


def test_past_its_end_the_log_goes_on_with_its_last_week(people: HonestBackground) -> None:
    passing = Passing(people)
    hours = [people.begin_us + h * HOUR_US for h in range(35 * 24)]
    pieces = [passing.exchanges_between(h, h + HOUR_US) for h in hours]
    weeks = [sum(map(len, pieces[w * 168 : w * 168 + 168])) for w in range(5)]
    assert sum(weeks[:2]) == len(people.exchanges)
    assert weeks[1] == weeks[2] == weeks[3] == weeks[4] > 0
    ids = [key for piece in pieces for key in piece["exchange_id"].to_pylist()]
    assert len(set(ids)) == len(ids)
    for h, piece in zip(hours, pieces, strict=True):
        times = piece["time"].cast(pa.int64()).to_pylist()
        assert all(h <= t < h + HOUR_US for t in times)
    assert pieces[200]["prompt"].to_pylist() == pieces[200 + 168]["prompt"].to_pylist()


# --- an allowance, and defences together --------------------------------------------------------------------


def at_us(row: dict[str, Any]) -> int:
    return round(row["time"].timestamp() * 1e6)


def oracle(
    rows: list[dict[str, Any]], clean_us: int, share: float, growth: float, free: Sequence[str] = ()
) -> set[str]:
    """Reckon account by account, with all data. free: models that do not count.

    Until an answer has come, at TOKENS_A_S, it reserves the tokens of the longest clean one; it counts in the
    four hours in which it came. A day is six such blocks.
    """
    block_us = DAY_US // 6
    counted = [row for row in rows if row["model"] not in free]
    clean_day = clean_us // DAY_US
    accounts = {row["account"] for row in rows}
    busiest = dict.fromkeys((row["account"] for row in rows if at_us(row) // DAY_US < clean_day), 0)
    spent: Counter[tuple[str, int]] = Counter()
    for row in counted:
        if at_us(row) // DAY_US < clean_day:
            spent[row["account"], at_us(row) // block_us] += row["output_tokens"] or 0
    for account, block in list(spent):
        day = sum(spent[account, k] for k in range(block - 5, block + 1))
        busiest[account] = max(busiest[account], day)
    longest = max(row["output_tokens"] or 0 for row in counted if at_us(row) < clean_us)
    order = sorted(busiest.values())
    usual = order[int(np.ceil(share * (len(order) - 1)))]
    gone = set()
    for account in accounts:
        most = max(usual, min(growth * busiest.get(account, 0), CEILING * usual))
        let_in: list[tuple[int, int]] = []  # when each one arrived, and its tokens
        theirs = [row for row in counted if row["account"] == account and at_us(row) >= clean_us]
        for row in sorted(theirs, key=lambda r: (r["time"], r["exchange_id"])):
            now = at_us(row)
            used = sum(t for end, t in let_in if end <= now and end // block_us > now // block_us - 6)
            held = sum(max(longest, t) for end, t in let_in if end > now)
            if used + held >= most:
                gone.add(row["exchange_id"])
            else:
                tokens = row["output_tokens"] or 0
                let_in.append((now + tokens * 1_000_000 // TOKENS_A_S, tokens))
    return gone


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_an_allowance_refuses_what_an_oracle_does(people: HonestBackground, share: float) -> None:
    found = refused_ids(AllowanceWatch(people.clean_until_us, share), people.exchanges)
    assert set(found) == oracle(people.exchanges.to_pylist(), people.clean_until_us, share, 2.0)
    assert found or share > 0.9
    shuffled = people.exchanges.take(np.random.default_rng(1).permutation(len(people.exchanges)))
    assert set(refused_ids(AllowanceWatch(people.clean_until_us, share), shuffled)) == set(found)


@pytest.mark.parametrize("share", [0.8, 0.95])
def test_an_allowance_of_reasoning_leaves_other_models_alone(people: HonestBackground, share: float) -> None:
    rows = people.exchanges.to_pylist()
    clean = [r for r in rows if r["time"].timestamp() * 1e6 < people.clean_until_us]
    free = {r["model"] for r in clean} - {r["model"] for r in clean if r["reasoning_tokens"]}
    watch = ReasoningAllowanceWatch(people.clean_until_us, share)
    found = set(refused_ids(watch, people.exchanges))
    assert free
    assert found == oracle(rows, people.clean_until_us, share, 2.0, sorted(free)) != set()
    assert watch.counts("a model that came later")


def test_an_allowance_of_nothing() -> None:
    empty = pa.table({"exchange_id": pa.array([], pa.string())})
    assert judge(AllowanceWatch(0), empty).refused == frozenset()
    assert Allowances.of({}).usual > 2**60


def test_an_allowance_is_what_terms_can_say(people: HonestBackground, tmp_path: Any) -> None:
    watch = AllowanceWatch(people.clean_until_us)
    refused_ids(watch, people.exchanges)
    assert watch.allowances is not None
    file = tmp_path / "terms.toml"
    file.write_text("version = 1\n" + watch.allowances.terms())
    limits = load(file).limits
    assert limits.output_tokens_per_day == watch.allowances.usual
    got = {name: own["output_tokens_per_day"] for name, own in limits.accounts.items()}
    assert got == watch.allowances.more


@pytest.mark.parametrize(("name", "days"), [("white_box_midnight", 2), ("white_box_midnights", 3)])
def test_a_days_end_is_used(people: HonestBackground, name: str, days: int) -> None:
    """Ten a day and account: sixty take two accounts for three days, or three accounts for two."""
    told, watcher = fight(people, attacker(name), a_day=10)
    out = Counter((r["account"], r["time"].day) for r in watcher.theirs() if r["status"] == 200)
    assert told.reached
    assert max(out.values()) == 10
    assert len({day for _, day in out}) == days
    assert 60 / 10 / days <= told.accounts <= 60 / 10 / days + 1
    assert told.days < days - 0.8


@pytest.mark.slow
def test_a_sliding_day_gives_two_days_allowances_a_day_apart(people: HonestBackground) -> None:
    """An attacker that knows midnight buys for one day. One that knows blocks needs the next, 21 hours on."""
    days = {name: contest(people, defence_of("allowance"), attacker(name), 1, RULES).days
            for name in ("white_box_midnight", "white_box_blocks")}  # fmt: skip
    assert days["white_box_midnight"] < 20 / 24 < days["white_box_blocks"]


@pytest.mark.slow
def test_a_contest_against_an_allowance(people: HonestBackground) -> None:
    told = contest(people, defence_of("allowance"), attacker("white_box"), 1, RULES)
    plain = contest(people, defence_of("none"), attacker("white_box"), 1, RULES)
    assert told.reached
    assert told.days > 5 * plain.days
    assert plain.honest_refused == 0


def test_defences_together_refuse_and_name_as_each(people: HonestBackground) -> None:
    both = defence_of("limits+allowance")
    assert both.NAME == "limits+allowance"
    judged = both.judge(LogToJudge(people.exchanges, people.accounts, people.clean_until_us, 1))
    each = [
        defence_of(n).judge(LogToJudge(people.exchanges, people.accounts, people.clean_until_us, 1))
        for n in ("limits", "allowance")
    ]
    assert judged.refused == each[0].refused | each[1].refused
    with pytest.raises(InputError, match="no defence"):
        defence_of("none+magic")


# --- complete contests --------------------------------------------------------------------------------------


def test_a_chorus_sends_so_many_cheap_requests_in_its_own_wrappers(people: HonestBackground) -> None:
    masked, watcher = fight(people, attacker("chorus:accounts=6:per_account_day=100:mask=2"))
    rows = watcher.theirs()
    by_account: dict[str, set[str]] = {}
    for row in rows:
        by_account.setdefault(row["account"], set()).add(row["model"])
    assert all(len(models - {"mira-think", "mira-think-2"}) == 1 for models in by_account.values())
    wanted = sum(row["model"].startswith("mira-think") for row in rows)
    assert (len(rows) - wanted) / wanted == pytest.approx(2, abs=0.5)
    pairs = {(row["account"], row["temperature"]) for row in rows}
    assert max(Counter(account for account, _ in pairs).values()) == 2
    bare, plain = fight(people, attacker("chorus:accounts=6:per_account_day=100:mask=0"))
    assert {row["model"] for row in plain.theirs()} <= {"mira-think", "mira-think-2"}
    assert masked.attacker == "chorus:accounts=6:per_account_day=100:mask=2"
    assert masked.usd > bare.usd


def test_a_salvo_is_over_in_a_second(people: HonestBackground) -> None:
    _, watcher = fight(people, attacker("salvo:each=20"))
    rows = watcher.theirs()
    seconds = {int(row["time"].timestamp()) % 3600 for row in rows}
    assert seconds == {1}
    assert {row["temperature"] for row in rows} == {0.0}
    first = min(row["time"] for row in rows)
    assert (
        max(Counter(row["account"] for row in rows if row["time"] < first + timedelta(seconds=1)).values())
        == 20
    )
    over, watcher = fight(people, attacker("salvo:each=20:nights=1"))
    assert {row["time"].hour for row in watcher.theirs()} <= {23, 0}
    assert over.reached


def test_one_loud_account_asks_bare_questions(people: HonestBackground) -> None:
    for name, zero in (("loud_bare", False), ("loud_zero", True), ("loud_bare:temperature=0", True)):
        fought, watcher = fight(people, attacker(name))
        rows = watcher.theirs()
        assert fought.accounts == 1
        assert {row["prompt"] for row in rows} <= set(people.items)
        assert ({row["temperature"] for row in rows} == {0.0}) == zero


@pytest.mark.slow
def test_a_copied_client_stands_in_the_log_as_its_users_do() -> None:
    crowded = field_of(CROWDED, 1)
    _, watcher = fight(crowded, attacker("copied_client"), rules=replace(RULES, goal=200))
    program, rows = crowded.programs[0], watcher.theirs()
    honest = [r for r in watcher.eyes.rows if r["account"] in watcher.eyes.honest]
    users = [r for r in honest if (r["user_agent"], r["system"]) in {
        (user["user_agent"], program.system) for user in program.users}]  # fmt: skip
    assert len({r["account"] for r in users}) > 20

    def sent(rows: list[dict[str, Any]], *columns: str) -> set[tuple[Any, ...]]:
        return {tuple(row[column] for column in columns) for row in rows}

    alike = ("user_agent", "system", "tools", "operation", "top_p", "n", "stream", "response_format")
    assert sent(rows, *alike) == sent(users, *alike)
    settings = ("model", "max_tokens", "temperature")
    assert sent(rows, *settings) <= sent(users, *settings) | {("mira-think-2", None, 0.0)}
    assert all(row["conversation"] for row in rows)
    assert {row["turn"] for row in rows} == {1}  # what it cannot copy
    assert max(row["turn"] for row in users) > 1


@pytest.mark.slow
def test_stillwatch_makes_a_pool_pay_and_a_small_burst_not() -> None:
    """The two extremes, as described in docs/range-attackers.md; each contest within two CPU-minutes."""
    scene = read_scene(shipped_scenes()["calm"])
    fought: dict[tuple[str, str], Contest] = {
        (who, against): contest_of(scene, 1, defence_of(against), attacker(who))
        for who in ("naive", "white_box")
        for against in ("none", "stillwatch")
    }
    times = fought["naive", "stillwatch"].cost.times(fought["naive", "none"].cost)
    assert times.accounts > 4
    assert fought["naive", "stillwatch"].honest_stopped <= 2
    assert fought["white_box", "stillwatch"].cost.times(fought["white_box", "none"].cost).most < 1.5
    assert ERRORS < 0.01
