"""Rules for every defence: it uses the past only, is reproducible, and survives sparse and odd logs."""

import random
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from scan_world import START, Crowd, Scene, honest, pool, scene, sentence
from stillwatch.errors import InputError
from stillwatch.range.defences import (
    Accusation,
    Calibrated,
    CalibrationLog,
    LogJudgement,
    LogToJudge,
    mmd_window,
)
from stillwatch.range.defences.hours import Hourly, before, merge_accusations, record, set_thresholds
from stillwatch.range.defences.registry import DIAL, ablations, defence, expand_names, has_threshold, names
from stillwatch.range.defences.stillwatch import accounts_in_schema
from stillwatch.scan.live import LiveScan
from stillwatch.scan.parts import PARTS
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.units import DAY_US, HOUR_US

START_US = int(START.timestamp()) * 1_000_000
CLEAN_US = START_US + 6 * DAY_US
REFUSING = ("limits", "allowance", "reasoning_allowance")  # these accuse nobody
# not included: a scan every half day, and those that cannot judge a log
EVERY = tuple(name for name in names() if name not in ("stillwatch/firm", "stillwatch/holds"))
SET_ON_CLEAN_DAYS = tuple(name for name in EVERY if has_threshold(name))
BASELINES = tuple(name for name in EVERY if name != "stillwatch")
LOOSE = 2000.0  # a budget at which every defence has cases

Said = tuple[tuple[int, tuple[tuple[str, int], ...]], ...]


def said(cases: Sequence[Accusation]) -> Said:
    """Return cases without their names, which are not guaranteed."""
    return tuple(sorted((c.at_us, tuple(sorted(c.named_at_us.items()))) for c in cases))


@cache
def world() -> Scene:
    """People, a pool, a burst, steady users and a row of repeats: a case for every defence."""
    crowd = Crowd(7)
    honest(crowd, 120, 10.0, 4, 1)
    planted = {"p": pool(crowd, "p", begin_day=6.5, each=15)}
    rng = random.Random(3)
    busy = sentence(rng, 30)
    for k in range(700):
        crowd.says("busy", 24 * 6.2 + k / 40, busy if k % 3 else None, model="mira-large", output_tokens=9)
    for k in range(12 * 240):
        crowd.says(f"steady-{k % 12}", k / 12, model="mira-small")
    for k in range(46):  # of a model that reasons: once a day at first
        hour = 24 * (k + 0.5) if k < 6 else 24 * 6.4 + k / 20
        crowd.says("thinker", hour, model="mira-think", output_tokens=900, reasoning_tokens=700)
    for k in range(0, 12, 2):  # texts that two share while days are clean
        shared = sentence(rng, 20)
        for n in range(4):
            crowd.says(f"steady-{k + n % 2}", 24 * 4 + n, f"{shared} {sentence(rng, 5)}")
    return Scene(crowd.table(), crowd.accounts(), planted, crowd)


@cache
def whole(name: str) -> LogJudgement:
    return defence(name, LOOSE).judge(LogToJudge(world().table, world().accounts, CLEAN_US, 5))


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a small window for the small worlds of these tests."""
    monkeypatch.setattr(mmd_window, "WINDOW", 120)


@pytest.mark.slow
def test_everybody_but_none_has_something_to_say() -> None:
    for name in EVERY[1:]:
        judged = whole(name)
        if name == "ceiling":  # three times any account's busiest day: nobody here exceeds it
            assert not judged.refused
        else:
            assert judged.refused if name in REFUSING else judged.cases, name


def bare(table: pa.Table) -> pa.Table:
    return table.select(["time", "account", "prompt"])


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_the_same_log_gives_the_same_cases_in_any_order(name: str) -> None:
    table = world().table
    order = np.random.default_rng(1).permutation(len(table))
    again = defence(name, LOOSE).judge(LogToJudge(table.take(pa.array(order)), world().accounts, CLEAN_US, 5))
    assert whole(name) == again


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_equal_times_have_no_order(name: str) -> None:
    table = record(bare(world().table))
    whole_minutes = pa.array(table["time"].cast(pa.int64()).to_numpy() // 60_000_000 * 60_000_000)
    table = table.set_column(1, "time", whole_minutes.cast(pa.timestamp("us", "UTC")))
    judge = defence(name, LOOSE).judge
    back = table.take(pa.array(np.arange(len(table))[::-1].copy()))
    assert judge(LogToJudge(table, None, CLEAN_US, 5)) == judge(LogToJudge(back, None, CLEAN_US, 5))


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_what_is_said_does_not_depend_on_what_comes_after_nor_on_the_pieces(name: str) -> None:
    table, accounts = world().table.sort_by("time"), world().accounts
    times = table["time"].cast(pa.int64()).to_numpy()
    chosen = defence(name, LOOSE)
    watch = chosen.open_watch(accounts, CLEAN_US, 5)
    pieces: list[Accusation] = []
    cuts = [START_US + k * 5 * HOUR_US // 2 for k in range(1, 110)]  # now and then within an hour
    for lo, hi in zip([0, *cuts], cuts, strict=False):
        a, b = np.searchsorted(times, [lo, hi])
        pieces += watch.step(table.slice(a, b - a), hi)
        assert all(each.at_us <= hi for each in pieces)
    if name not in REFUSING:
        assert said(merge_accusations(pieces)) == said(whole(name).cases)
    until = START_US + 8 * DAY_US
    before = chosen.judge(
        LogToJudge(table.slice(0, int(np.searchsorted(times, until))), accounts, CLEAN_US, 5)
    )
    said_by_then = (
        (at, tuple((a, t) for a, t in named if t <= until)) for at, named in said(whole(name).cases)
    )
    assert list(said(before.cases)) == sorted((at, named) for at, named in said_by_then if at <= until)
    ids = table["exchange_id"].to_pylist()
    assert before.refused == whole(name).refused & set(ids[: int(np.searchsorted(times, until))])


@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_time_account_and_prompt_suffice(name: str) -> None:
    judged = defence(name, LOOSE).judge(LogToJudge(bare(world().table), None, CLEAN_US, 1))
    accounts = set(world().table["account"].to_pylist())
    assert all(set(c.named_at_us) <= accounts and c.named_at_us for c in judged.cases)


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_nobody_is_accused_or_refused_while_days_are_clean(name: str) -> None:
    judged = whole(name)
    for case in judged.cases:
        assert case.at_us > CLEAN_US
        assert case.at_us == min(case.named_at_us.values())
    refused = [row for row in world().crowd.rows if row["exchange_id"] in judged.refused]
    assert all(int(row["time"].timestamp() * 1e6) >= CLEAN_US for row in refused)


def tiny(many: int, prompt: str | None = "a b c") -> pa.Table:
    crowd = Crowd(1)
    for k in range(many):
        crowd.says("only", k * 240 / max(many, 1), prompt)
    return crowd.table()


ODD = {
    "empty": tiny(0),
    "one exchange": tiny(1),
    "one account": tiny(400, None),
    "one prompt": tiny(400),
    "no text": tiny(200).set_column(12, "prompt", pa.nulls(200, pa.string())),
    "no columns": tiny(0).select(["time", "account", "prompt"]),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("name", EVERY)
def test_odd_logs_are_survived(name: str, odd: str) -> None:
    chosen = defence(name)
    assert chosen.judge(LogToJudge(ODD[odd], None, CLEAN_US, 1)).cases in ((),) or odd.startswith("one")
    watch = chosen.open_watch(None, CLEAN_US, 1)
    for until in (0, CLEAN_US, CLEAN_US + 1, CLEAN_US + HOUR_US):
        assert list(watch.step(ODD["empty"], until)) == []
    assert watch.refuses("nobody", CLEAN_US + HOUR_US) is False


@pytest.mark.slow
def test_no_clean_days_at_all_and_nobody_is_accused_by_what_needs_them() -> None:
    for name in BASELINES:
        judged = defence(name, LOOSE).judge(LogToJudge(world().table, world().accounts, 0, 1))
        assert (judged.cases, judged.refused) == ((), frozenset()), name


# --- hours --------------------------------------------------------------------------------------------------


def test_what_comes_late_belongs_to_the_hour_that_is_open() -> None:
    seen: list[tuple[int, int]] = []

    def see(hour: object) -> Sequence[Accusation]:
        seen.append((hour.until_us, len(hour.ts_us)))  # type: ignore[attr-defined]
        return ()

    crowd = Crowd(1)
    for hour in (0.1, 0.2, 1.5, 2.5):
        crowd.says("a", hour, "x")
    table = crowd.table()
    watch = Hourly(see)
    watch.step(table.slice(2, 1), START_US + 2 * HOUR_US)
    watch.step(table.slice(0, 2), START_US + 2 * HOUR_US + 5)
    watch.step(table.slice(3, 1), START_US + 3 * HOUR_US)
    assert seen == [(START_US + 2 * HOUR_US, 1), (START_US + 3 * HOUR_US, 3)]


def test_a_table_that_cannot_be_a_log_is_refused() -> None:
    with pytest.raises(InputError, match="without account, prompt"):
        record(pa.table({"time": [1]}))
    with pytest.raises(InputError, match="time is of type string"):
        record(pa.table({"time": ["noon"], "account": ["a"], "prompt": ["b"]}))


# --- the registry -------------------------------------------------------------------------------------------


def test_names_are_found_by_place_and_every_part_is_left_out_once() -> None:
    assert names()[:4] == ("none", "limits", "allowance", "reasoning_allowance")
    assert {n.partition("without:")[2] for n in ablations() if "without:" in n} == PARTS
    assert {n.partition("only:")[2] for n in ablations() if "only:" in n} == PARTS - {"follow", "failover"}
    assert all(name == defence(name).NAME for name in (*names(), *ablations()))
    assert expand_names(["none", "all", "none"]) == names()
    assert expand_names(["ablations"]) == ("stillwatch", *ablations())


def test_every_defence_says_what_it_assumes() -> None:
    from importlib import import_module

    for name in (*BASELINES, "stillwatch"):
        doc = import_module(f"stillwatch.range.defences.{name}").__doc__ or ""
        for word in ("Null:", "Blind to:", "Fooled by:", "Source:"):
            assert word in doc, (name, word)


OWN = '''
"""Accuses whoever speaks after the clean days."""
from stillwatch.range.defences import Accusation, Calibrated, CalibrationLog, LogJudgement, mmd_window
from stillwatch.range.defences.hours import Hourly
NAME = "mine"
def open_watch(accounts, clean_until_us, seed, dial):
    def see(hour):
        if hour.until_us <= clean_until_us:
            return ()
        here, at = {hour.names[a] for a in hour.account}, hour.until_us
        return [Accusation(name, at, {name: at}) for name in here]
    return Hourly(see)
'''


def test_a_researchers_own_defence_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    mine = defence(str(path))
    assert mine.NAME == "mine"
    late = {r["account"] for r in world().crowd.rows if int(r["time"].timestamp() * 1e6) >= CLEAN_US}
    assert {c.case for c in mine.judge(LogToJudge(world().table, None, CLEAN_US, 1)).cases} == late


@pytest.mark.parametrize(
    ("text", "why"),
    [("NAME = 'x'", "no open_watch"), ("1 / 0", "ZeroDivisionError"), ("def", "SyntaxError")],
)
def test_a_file_that_is_no_defence_says_why(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        defence(str(path))


@pytest.mark.slow
def test_defences_stand_together() -> None:
    table, accounts = world().table, world().accounts
    both = defence("volume + allowance", LOOSE)
    judged = both.judge(LogToJudge(table, accounts, CLEAN_US, 1))
    assert judged.cases == defence("volume", LOOSE).judge(LogToJudge(table, accounts, CLEAN_US, 1)).cases
    assert judged.refused == defence("allowance").judge(LogToJudge(table, accounts, CLEAN_US, 1)).refused
    watch = both.open_watch(accounts, CLEAN_US, 1)
    assert watch.step(table, CLEAN_US + DAY_US)
    watch.enrol(accounts)  # type: ignore[attr-defined]
    watch.answered("busy", CLEAN_US + 5, 10**9)  # type: ignore[attr-defined]
    assert watch.refuses("busy", CLEAN_US + 6)
    assert not watch.refuses("other", CLEAN_US + 6)
    with pytest.raises(InputError, match="twice"):
        defence("none+none")


def test_unknown_names_and_budgets_are_refused() -> None:
    for name in ("snake-oil", "stillwatch/only:follow", "", "stillwatch/without:", "nowhere.py"):
        with pytest.raises(InputError, match="is no"):
            defence(name)
    for dial in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="above 0"):
            defence("none", dial)


def test_an_unknown_part_is_refused() -> None:
    log = scene(0, people=3, pools=0).crowd.log()
    with pytest.raises(InputError, match="'ears' is no part of the detection: endings"):
        scan_log(log, options=Options(parts=frozenset({"ears"})))


@pytest.mark.slow
def test_the_dial_moves_the_level() -> None:
    for name in ("volume", "prefix", "isolation_forest"):
        many = [
            sum(
                len(c.named_at_us)
                for c in defence(name, dial).judge(LogToJudge(world().table, None, CLEAN_US, 1)).cases
            )
            for dial in (DIAL, LOOSE)
        ]
        assert many[0] <= many[1] > 0, name


@pytest.mark.slow
def test_a_look_without_verdicts_finds_what_one_with_them_does() -> None:
    """Step by step, over a pool that is named, with and without the accounts table."""
    table = record(world().table.sort_by("time"))
    at = table["time"].cast(pa.int64()).to_numpy()
    for accounts in (world().accounts, None):
        scans = [
            LiveScan(Options(every_account=v), accounts=accounts_in_schema(accounts)) for v in (True, False)
        ]
        said, lo = [], 0
        for until in range(CLEAN_US, int(at[-1]) + DAY_US, DAY_US):
            hi = int(np.searchsorted(at, until))
            for scan in scans:
                scan.add(table.slice(lo, hi - lo))
            full, quick = (scan.tick(until, until) for scan in scans)
            assert quick.campaigns == full.campaigns
            assert (quick.followers, quick.alone) == (full.followers, full.alone)
            assert quick.leads == full.leads
            found = full.campaigns or full.leads
            assert len(quick.accounts) == (len(full.accounts) if found else 0)
            said.append(len(full.campaigns if accounts is not None else full.leads))
            lo = hi
        assert said[0] == 0 < said[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", SET_ON_CLEAN_DAYS)
def test_the_logs_own_clean_days_as_calibration_change_nothing(name: str) -> None:
    table, accounts = world().table, world().accounts
    own = CalibrationLog(table, accounts)
    chosen = defence(name, LOOSE)
    judged = chosen.judge(LogToJudge(table, accounts, CLEAN_US, 5))
    assert chosen.judge(LogToJudge(table, accounts, CLEAN_US, 5, own)) == judged
    assert not judged.cannot_fire


@pytest.mark.slow
@pytest.mark.parametrize("name", SET_ON_CLEAN_DAYS)
def test_people_without_a_clean_day_leave_a_defence_that_cannot_fire(name: str) -> None:
    table, accounts = world().table, world().accounts
    nobody = CalibrationLog(before(table, 0), accounts)
    chosen = defence(name, LOOSE)
    judged = chosen.judge(LogToJudge(table, accounts, CLEAN_US, 5, nobody))
    assert judged.cannot_fire
    assert not judged.cases
    if name not in REFUSING:
        assert (
            defence(f"none+{name}", LOOSE).judge(LogToJudge(table, accounts, CLEAN_US, 5, nobody)).cannot_fire
        )


def test_the_level_comes_from_the_other_people_alone() -> None:
    table, accounts = world().table, world().accounts
    chosen = defence("volume", LOOSE)
    some = CalibrationLog(table.filter(table["account"].cast("string").to_numpy() < "p"), accounts)
    watch, other = (chosen.open_watch(accounts, CLEAN_US, 5) for _ in range(2))
    watch.step(table, CLEAN_US)
    other.step(before(some.exchanges, CLEAN_US), CLEAN_US)
    assert isinstance(watch, Calibrated)
    set_thresholds(chosen, watch, some, CLEAN_US, 5)
    assert watch.state.clean.level() == other.state.clean.level()
    assert watch.state.before  # its histories stay its own
