"""A live scan finds what one scan of the whole log finds, in any pieces, through restarts; and followers."""

import copy
import errno
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scan_world import START, Crowd, Scene, habits, honest, pool, scene, sentence
from stillwatch.errors import InputError
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.column_file import NoRoomError
from stillwatch.exchanges.kept import KeptLog
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.row_files import write_arrays
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.report.findings import evidence_json, findings_json
from stillwatch.scan import ScanResult, SettingTest
from stillwatch.scan.alarms import NEVER, Alarm, Alarms
from stillwatch.scan.carried import CarriedScan, Names, SavedAlarm
from stillwatch.scan.live import HOUR_US, Keep, LiveScan
from stillwatch.scan.pipeline import Options, scan_log
from test_scan import release

SAMPLE = Path(__file__).parent.parent / "sample"
SHARED = Path(__file__).parent.parent.parent / "shared" / "range"
SECRET = b"a key for the tests of live scans"
SKETCHER = Sketcher(SECRET)
OPTIONS = Options(key=SECRET)
START_US = int(START.timestamp()) * 1_000_000
DAY_US = 24 * HOUR_US


def sketched(table: pa.Table) -> pa.Table:
    """Return a log's rows in order of time."""
    return pa.Table.from_batches([sketch_batch(b, SKETCHER) for b in table.sort_by("time").to_batches()])


def texts(result: ScanResult) -> tuple[str, str]:
    still = replace(result, scanned=replace(result.scanned, seconds=0.0, rejected=0), rejected_examples=())
    findings, evidence = findings_json(still), evidence_json(still)
    return json.dumps(findings, sort_keys=True), json.dumps(evidence, sort_keys=True)


def times(table: pa.Table) -> np.ndarray:
    return table["time"].cast(pa.int64()).to_numpy()


def between(table: pa.Table, since_us: int, until_us: int) -> pa.Table:
    lo, hi = np.searchsorted(times(table), [since_us, until_us])
    return table.slice(lo, hi - lo)


def once(table: pa.Table, accounts: pa.Table | None) -> ScanResult:
    return scan_log(build(table.to_batches(), SKETCHER), accounts, options=OPTIONS)


def hour_after(table: pa.Table) -> int:
    return int(times(table)[-1] // HOUR_US + 1) * HOUR_US


def replayed(
    table: pa.Table,
    accounts: pa.Table | None,
    hours: Sequence[int],
    *,
    seed: int = 0,
    path: Path | None = None,
) -> tuple[ScanResult, LiveScan]:
    """Scan in pieces that end at these times, each shuffled and dealt in batches; with `path` through
    restarts.

    Rarely read data is in files, and the states' rows in one file or separately.
    """
    rng = np.random.default_rng(seed)
    keep = Keep(exchanges=4_000)
    live = LiveScan(OPTIONS, accounts=accounts, keep=keep)
    live.keep = Keep()  # everything: only what is in memory is bounded
    since, result = 0, None
    for until in hours:
        piece = between(table, since, until)
        since = until
        order = rng.permutation(len(piece))
        for rows in np.array_split(order, 3):
            live.add(piece.take(pa.array(rows)))
        live.add(piece.slice(0, 20))  # again
        result = live.tick(until, until)
        if path is not None and rng.random() < 0.7:
            live.save(path, rows_apart=bool(rng.random() < 0.7))
            live = LiveScan.load(path, OPTIONS, accounts=accounts, keep=keep)
            live.keep = Keep()
    assert result is not None
    return result, live


@pytest.fixture(scope="module")
def world() -> Scene:
    return scene(0, pools=2)


@pytest.fixture(scope="module")
def log(world: Scene) -> pa.Table:
    return sketched(world.table)


@pytest.fixture(scope="module")
def whole(log: pa.Table, world: Scene) -> ScanResult:
    found = once(log, world.accounts)
    assert found.campaigns, "nothing to compare"
    return found


def some_hours(table: pa.Table, many: int, seed: int) -> list[int]:
    """Return ends of pieces of random size, most of them in mid-hour; the last is after all rows."""
    rng = random.Random(seed)
    first, end = int(times(table)[0]), hour_after(table)
    return [*sorted(rng.randrange(first, end) for _ in range(many - 1)), end]


# --- the same as one scan ---------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_pieces_of_any_size_through_restarts_give_one_scans_findings(
    log: pa.Table, world: Scene, whole: ScanResult, seed: int, tmp_path: Path
) -> None:
    result, live = replayed(
        log, world.accounts, some_hours(log, 5, seed), seed=seed, path=tmp_path / "live.npz"
    )
    assert texts(result) == texts(whole)
    assert live.exchanges == len(log)
    assert live.too_late == 0


@pytest.mark.slow
def test_at_every_full_hour_it_knows_what_a_scan_would_know_then(log: pa.Table, world: Scene) -> None:
    hours = [START_US + h * HOUR_US for h in (100, 165)]
    live = LiveScan(OPTIONS, accounts=world.accounts)
    since = 0
    for until in hours:
        live.add(between(log, since, until))
        since = until
        known = live.tick(until, until)
        assert texts(known) == texts(once(between(log, 0, until), world.accounts))


def from_scene(folder: Path) -> tuple[pa.Table, pa.Table]:
    batches = read([folder / "exchanges.parquet"], rejects=Rejects())
    table = pa.Table.from_batches([sketch_batch(b, SKETCHER) for b in batches]).sort_by("time")
    return table, read_accounts(folder / "accounts.parquet", rejects=Rejects())


@pytest.mark.slow
def test_the_sample_in_pieces_is_the_sample(tmp_path: Path) -> None:
    table, accounts = from_scene(SAMPLE)
    result, _ = replayed(table, accounts, some_hours(table, 8, 3), path=tmp_path / "live.npz")
    assert texts(result) == texts(once(table, accounts))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dev-a", "dev-b"])
def test_a_development_scene_in_pieces_is_the_scene(name: str, tmp_path: Path) -> None:
    if not (SHARED / name).exists():
        pytest.skip("the development scenes lie beside the repository")
    table, accounts = from_scene(SHARED / name)
    result, _ = replayed(table, accounts, some_hours(table, 12, 1), path=tmp_path / "live.npz")
    assert texts(result) == texts(once(table, accounts))


@pytest.mark.slow
def test_what_comes_late_is_looked_at_as_if_it_had_come_in_time(
    log: pa.Table, world: Scene, whole: ScanResult
) -> None:
    rng = np.random.default_rng(5)
    late = (rng.random(len(log)) < 0.02) & (times(log) >= START_US + 148 * HOUR_US)
    live = LiveScan(OPTIONS, accounts=world.accounts, keep=Keep(late_hours=96))
    punctual = log.filter(pa.array(~late))
    since = 0
    for hour in (150, 165):
        live.add(between(punctual, since, START_US + hour * HOUR_US))
        since = START_US + hour * HOUR_US
        live.tick(since, since)
    live.add(between(punctual, since, hour_after(log)))
    live.tick(hour_after(log), hour_after(log))
    live.add(log.filter(pa.array(late)))
    known = live.tick(hour_after(log) + 1, hour_after(log))
    assert known.scanned.exchanges < len(log)  # not at once: evaluations are expensive
    known = live.tick(hour_after(log) + HOUR_US, hour_after(log))
    assert live.too_late == 0
    assert texts(known) == texts(whole)


@pytest.mark.slow
def test_what_comes_later_than_looks_are_kept_for_is_kept_and_counted(log: pa.Table, world: Scene) -> None:
    table = between(log, 0, START_US + 100 * HOUR_US)
    early = np.arange(len(table)) % 500 == 7
    live = LiveScan(OPTIONS, accounts=world.accounts, keep=Keep(late_hours=2))
    live.add(table.filter(pa.array(~early)))
    live.tick(START_US + 100 * HOUR_US, START_US + 100 * HOUR_US)
    live.add(table.filter(pa.array(early)))
    known = live.tick(START_US + 101 * HOUR_US, START_US + 101 * HOUR_US)
    assert known.scanned.exchanges == len(table)
    assert 0 < live.too_late <= early.sum()
    assert known.window is not None
    assert known.window.late == live.too_late
    assert "found later, or are half named" in known.cannot_claim[0]


# --- followers --------------------------------------------------------------------------------------------


def with_followers() -> tuple[Scene, list[str], str]:
    """A pool; after its alarm an account of the same operator, a bystander who had the wording first, and an
    honest one that tries the template twice among much else."""
    crowd = Crowd(5)
    honest(crowd, 300, 10.0)
    rng = crowd.rng
    head, tail = sentence(rng, 9), sentence(rng, 7)
    stock = [f"{head} | {tail}"]
    for k in range(12):
        text = f"{head} {sentence(rng, 15)} {tail}"
        crowd.says("bystander", 10 + k, text, model="mira-small", status=200)
    names = pool(crowd, "p", stock=stock, days=2.5)

    def follow(name: str, at: float) -> None:
        text = f"{head} {sentence(rng, 15)} {tail}"
        crowd.says(name, at, text, model="mira-think", temperature=0.7, max_tokens=4096, status=200)

    for k in range(6):
        follow("newcomer", 200.1 + k / 60)
        crowd.says("bystander", 200.2 + k / 60, f"{head} {sentence(rng, 15)} {tail}", model="mira-small")
        crowd.says("tries", 200.1 + k / 100, sentence(rng, 12), **habits(rng))
    for k in range(3):
        follow("tries", 200.1 + k / 40)
        follow("of an org", 200.1 + k / 40)
        crowd.says("its colleague", 200.15 + k / 40, sentence(rng, 12), **habits(rng))
    crowd.known += [{"account": a, "org": "both"} for a in ("of an org", "its colleague")]
    return Scene(crowd.table(), crowd.accounts(), {"p": names}, crowd), stock, "newcomer"


@pytest.fixture(scope="module")
def followed() -> tuple[Scene, pa.Table, LiveScan]:
    planted, _, _ = with_followers()
    table = sketched(planted.table)
    live = LiveScan(OPTIONS, accounts=planted.accounts)
    live.add(between(table, 0, START_US + 200 * HOUR_US))
    known = live.tick(START_US + 200 * HOUR_US, START_US + 200 * HOUR_US)
    assert len(known.campaigns) == 1
    assert known.followers == ()
    return planted, table, live


@pytest.mark.slow
def test_a_follower_is_named_with_its_third_exchange_and_nobody_else_is(
    followed: tuple[Scene, pa.Table, LiveScan], tmp_path: Path
) -> None:
    _, table, live = followed
    live = copy.deepcopy(live)
    rest = between(table, START_US + 200 * HOUR_US, START_US + 201 * HOUR_US)
    seen = None
    for row in range(len(rest)):
        live.add(rest.slice(row, 1))
        now = int(times(rest)[row])
        known = live.tick(now, START_US + 200 * HOUR_US)
        if known.followers and seen is None:
            seen = known.followers[0]
            sent = pc.sum(pc.equal(rest.slice(0, row + 1)["account"], "newcomer")).as_py()
            assert sent == 3
    (follower,) = known.followers
    assert (follower.account, follower.exchanges) == ("newcomer", 6)
    assert (follower.named_at, follower.first) == (seen.named_at, seen.first)
    assert follower.campaign == known.campaigns[0].id
    assert follower.named_at - follower.first < timedelta(minutes=4)
    assert "newcomer" not in known.campaigns[0].accounts  # provisional
    later = START_US + 201 * HOUR_US
    known = live.tick(later, later)
    assert "newcomer" in known.campaigns[0].accounts  # the full evaluation's own rule agrees
    assert not {"bystander", "tries"} & set(known.campaigns[0].accounts)
    assert known.followers == ()


@pytest.mark.slow
def test_the_id_of_a_campaign_outlives_its_growth(log: pa.Table, world: Scene) -> None:
    live = LiveScan(OPTIONS, accounts=world.accounts)
    live.add(between(log, 0, START_US + 158 * HOUR_US))
    early = live.tick(START_US + 158 * HOUR_US, START_US + 158 * HOUR_US)
    live.add(log)
    late = live.tick(hour_after(log), hour_after(log))
    first = early.campaigns[0]
    grown = next(c for c in late.campaigns if set(first.accounts) & set(c.accounts))
    assert grown.id != first.id
    assert live.stable_id(grown.id) == first.id


@pytest.fixture(scope="module")
def customers() -> tuple[set[str], pa.Table, pa.Table]:
    """Customers of one program, a lead from their first days on, among honest people."""
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    theirs = release(crowd, 60, 1.0, "notequiz/1.0", own=False)
    return theirs, sketched(crowd.table()), crowd.accounts()


@pytest.mark.slow
def test_leads_of_pieces_through_restarts_are_those_of_one_scan(
    customers: tuple[set[str], pa.Table, pa.Table], tmp_path: Path
) -> None:
    theirs, table, accounts = customers
    result, _ = replayed(table, accounts, some_hours(table, 5, 1), seed=1, path=tmp_path / "live.npz")
    assert any(set(lead.accounts) & theirs for lead in result.leads)
    assert result.leads == once(table, accounts).leads


@pytest.mark.slow
def test_leads_by_what_the_provider_knows_are_those_of_one_scan(tmp_path: Path) -> None:
    crowd = Crowd(21)
    honest(crowd, 200, 10.0)
    members = set(pool(crowd, "p", many=40))
    for record in crowd.known:
        if record["account"] in members:
            record["payment"] = "card-of-the-pool"
    for row in crowd.rows:
        row["model"] = row["max_tokens"] = row["temperature"] = None
    table, accounts = sketched(crowd.table()), crowd.accounts()
    result, _ = replayed(table, accounts, some_hours(table, 5, 1), seed=1, path=tmp_path / "live.npz")
    assert any(len(set(lead.accounts) & members) >= 36 for lead in result.leads)
    assert result.leads == once(table, accounts).leads


@pytest.mark.slow
def test_the_id_of_a_lead_stays_when_the_accounts_of_its_first_look_are_forgotten(
    customers: tuple[set[str], pa.Table, pa.Table],
) -> None:
    theirs, table, accounts = customers
    live = LiveScan(OPTIONS, accounts=accounts, keep=Keep(days=1))
    since, ids, sizes = 0, set(), []
    for until in range(START_US + 8 * DAY_US, START_US + 15 * DAY_US, DAY_US):
        live.add(between(table, since, until))
        since = until
        found = [lead for lead in live.tick(until, until).leads if set(lead.accounts) & theirs]
        ids.update(lead.id for lead in found)
        sizes += [frozenset(lead.accounts) for lead in found]
    (alarm,) = (a for a in live._states[-1].alarms if a.first_account in theirs)
    assert len(sizes) >= 5
    assert any(alarm.first_account not in names for names in sizes)  # that account left, and the id stays
    assert len(ids) == 1


@pytest.mark.slow
def test_a_follower_is_followed_when_the_oldest_have_to_go(
    followed: tuple[Scene, pa.Table, LiveScan],
) -> None:
    """Accounts then get other numbers; one that had taken up the wording before the cut is still named."""
    _, table, live = followed
    live = copy.deepcopy(live)
    rest = between(table, START_US + 200 * HOUR_US, START_US + 201 * HOUR_US)
    live.add(rest)
    held = live.exchanges
    live.keep = Keep(exchanges=int(0.95 * held))
    live._make_room()
    assert live.exchanges <= 0.95 * held + 1
    (follower,) = live.tick(int(times(rest)[-1]), START_US + 200 * HOUR_US).followers
    assert (follower.account, follower.exchanges) == ("newcomer", 6)


# --- kept and dropped exchanges ---------------------------------------------------------------------------


@pytest.mark.slow
def test_what_is_old_is_forgotten_and_an_alarm_stands(world: Scene, log: pa.Table) -> None:
    accounts = world.accounts
    live = LiveScan(OPTIONS, accounts=accounts, keep=Keep(days=6))
    end = hour_after(log)
    named = {}
    for until in range(START_US + 6 * DAY_US, end + DAY_US, DAY_US):
        live.add(between(log, until - (6 if until == START_US + 6 * DAY_US else 1) * DAY_US, until))
        known = live.tick(until, until)
        for c in known.campaigns:
            named.update(c.named_at)
            assert all(named[a] == at for a, at in c.named_at.items())
    assert known.campaigns
    assert live.exchanges < 0.8 * len(log)
    assert known.scanned.first is not None
    assert known.scanned.first >= START + timedelta(days=3)


@pytest.mark.slow
def test_no_more_exchanges_are_kept_than_told(log: pa.Table, world: Scene) -> None:
    live = LiveScan(OPTIONS, accounts=world.accounts, keep=Keep(exchanges=2000))
    for until in range(START_US + DAY_US, hour_after(log) + DAY_US, 2 * DAY_US):
        live.add(between(log, until - 2 * DAY_US, until))
        live.tick(until, until)
        assert live.exchanges < 2500


@pytest.mark.slow
def test_an_hour_that_brings_more_than_is_kept_does_not_grow_until_it_is_over(
    log: pa.Table, world: Scene
) -> None:
    """It is no reason to stop: followers are still named, and evaluations continue."""
    live = LiveScan(OPTIONS, accounts=world.accounts, keep=Keep(exchanges=2000))
    most = 0
    for batch in log.to_batches(max_chunksize=300):
        live.add(batch)
        most = max(most, live.exchanges)
    assert len(log) > 5000
    assert most <= 2500 + 300
    end = hour_after(log)
    assert live.tick(end, end).scanned.exchanges == live.exchanges <= 2500


def test_a_merge_that_was_broken_off_is_said_and_nothing_is_made_of_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Columns are moved one by one: an interruption must not leave half of the exchanges."""
    kept = KeptLog(SKETCHER)
    (first, second) = (between(STEADY, START_US + k * DAY_US, START_US + (k + 1) * DAY_US) for k in (0, 1))
    for batch in first.to_batches():
        kept.add(batch)
    kept.merged()
    for batch in second.to_batches():
        kept.add(batch)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stillwatch.exchanges.kept.close_log", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept.merged()
    monkeypatch.undo()
    for act in (kept.merged, lambda: kept.add(second.to_batches()[0])):
        with pytest.raises(InputError, match="load the saved state"):
            act()


ROW = st.tuples(
    st.integers(0, 40), st.integers(0, 3 * 24), st.sampled_from("abcde"), st.sampled_from([None, "m", "n"])
)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(ROW, max_size=8), min_size=1, max_size=8), st.integers(0, 60), st.data())
def test_a_kept_log_is_the_log_of_what_it_keeps(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[list[tuple]], forget: int, data: st.DataObject
) -> None:
    in_memory_rows = data.draw(st.sampled_from([0, 5, 1000]))
    kept = KeptLog(SKETCHER, in_memory_rows)
    folder = tmp_path_factory.mktemp("rows")
    first: dict[int, tuple] = {}
    for piece in pieces:
        rows = []
        for k, hour, account, model in piece:
            hour, account, model = first.setdefault(k, (hour, account, model))  # one id, one exchange
            rows.append(
                {
                    "exchange_id": f"x{k}",
                    "time": START + timedelta(hours=hour),
                    "account": f"{account}{k % 3}",
                    "model": model,
                    "prompt": f"the words of {k} are not those of others",
                }
            )
        batch = pa.RecordBatch.from_pylist(rows, RECORD)
        kept.add(batch)
        if data.draw(st.booleans()):
            kept.merged()
        if data.draw(st.booleans()):
            kept.store(folder)  # later data is stored after it
    before = START_US + forget * HOUR_US
    kept.forget(before)
    found = kept.merged()
    restart = data.draw(st.sampled_from(["no", "one file", "rows apart"]))
    if restart != "no":
        again = KeptLog(SKETCHER, in_memory_rows)
        again.restore(kept.arrays() if restart == "one file" else kept.store(folder), "here", folder)
        kept.clean()
        found = again.log
    again = [
        {
            "exchange_id": f"x{k}",
            "time": START + timedelta(hours=hour),
            "account": f"{account}{k % 3}",
            "model": model,
            "prompt": f"the words of {k} are not those of others",
        }
        for k, (hour, account, model) in first.items()
        if hour >= forget
    ]
    expected = build([pa.RecordBatch.from_pylist(again, RECORD)], SKETCHER)
    assert len(found) == len(expected) == len(again)
    if again:
        assert (found.accounts, found.models) == (expected.accounts, expected.models)
        for name in expected.columns:
            np.testing.assert_array_equal(found[name], expected[name], name)
        np.testing.assert_array_equal(found.phrases, expected.phrases)


def test_nothing_yet_is_a_result() -> None:
    live = LiveScan(OPTIONS)
    assert live.tick(START_US, START_US).campaigns == ()
    live.add([])
    assert live.tick(START_US + HOUR_US, START_US + HOUR_US).scanned.exchanges == 0


@pytest.mark.slow
@pytest.mark.parametrize("days_ahead", [1, 10, 60])
def test_a_clock_that_stood_ahead_blinds_nobody_once_it_is_put_right(
    log: pa.Table, world: Scene, whole: ScanResult, days_ahead: int, tmp_path: Path
) -> None:
    """For as many days as it was ahead, all new exchanges were late, or not kept, and nothing was found."""
    live = LiveScan(OPTIONS, accounts=world.accounts)
    wrong, end = START_US + 3 * DAY_US, hour_after(log)
    live.add(between(log, 0, wrong))
    live.tick(wrong, wrong)
    live.tick(wrong + days_ahead * DAY_US, wrong + days_ahead * DAY_US)
    live.save(tmp_path / "live.npz", rows_apart=True)
    live = LiveScan.load(tmp_path / "live.npz", OPTIONS, accounts=world.accounts)
    live.add(between(log, wrong, wrong + HOUR_US))
    live.tick(wrong + HOUR_US, wrong + HOUR_US)
    live.add(between(log, wrong + HOUR_US, end))
    result = live.tick(end, end)
    if days_ahead == 60:  # earlier data is forgotten, and that is reported
        assert live.exchanges == len(between(log, wrong + HOUR_US, end))
        assert result.window is not None
        assert result.window.short
        assert live.window.dropped == len(
            between(log, wrong, wrong + HOUR_US)
        )  # arrived before the clock was corrected
    else:
        assert texts(result) == texts(whole)
    assert live.too_late == 0


# --- stored -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_state_with_any_bits_turned_is_taken_up_or_refused(tmp_path: Path) -> None:
    """Otherwise an exchange that broke the detector broke it at each start, and was never set aside."""
    path, rng = tmp_path / "live.npz", random.Random(7)
    live = in_files(40)
    live.tick(hour_after(STEADY), hour_after(STEADY))
    live.save(path, rows_apart=True)
    files = [path, *(tmp_path / "live.rows").iterdir()]
    whole = {one: one.read_bytes() for one in files}
    refused: list[str] = []
    for _ in range(250):
        one = rng.choice(files)
        data = bytearray(whole[one])
        heads = [at for at in range(len(data)) if data[at : at + 2] == b"PK"]
        at = min(rng.choice(heads) + rng.randrange(180), len(data) - 1)
        data[at] ^= 1 << rng.randrange(8)
        one.write_bytes(data)
        try:
            LiveScan.load(path, OPTIONS, keep=live.keep)
        except InputError as why:
            refused.append(str(why))
        one.write_bytes(whole[one])
    assert len(refused) > 40
    assert all("begin anew" in why for why in refused)


@pytest.mark.slow
def test_a_state_is_whole_or_refused(log: pa.Table, tmp_path: Path) -> None:
    path = tmp_path / "live.npz"
    live = LiveScan(OPTIONS)
    live.add(log.slice(0, 500))
    live.also = {"segments": ["a", "b"]}
    live.save(path)
    assert LiveScan.load(path, OPTIONS).also == {"segments": ["a", "b"]}
    assert [p.name for p in tmp_path.iterdir()] == ["live.npz"]
    with pytest.raises(InputError, match="key"):
        LiveScan.load(path, Options(key=b"quite another key than that"))
    raw = path.read_bytes()
    for damaged in (raw[: len(raw) // 2], b"", b"not a state at all"):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="begin anew"):
            LiveScan.load(path, OPTIONS)
    with pytest.raises(InputError, match="no saved"):
        LiveScan.load(tmp_path / "none", OPTIONS)


def in_files(many: int) -> LiveScan:
    """A scan of some exchanges, three quarters of which do not fit into memory."""
    live = LiveScan(OPTIONS, keep=Keep(exchanges=many))
    live.add(STEADY.slice(0, many))
    return live


def test_a_state_with_its_rows_apart_is_whole_or_refused(tmp_path: Path) -> None:
    path, rows = tmp_path / "live.npz", tmp_path / "live.rows"
    live = in_files(40)
    live.save(path)  # as an earlier version wrote it: it is still read
    live = LiveScan.load(path, OPTIONS, keep=live.keep)
    live.save(path, rows_apart=True)
    (first,) = rows.iterdir()
    live.add(STEADY.slice(40, 4))
    live.save(path, rows_apart=True)
    assert first in list(rows.iterdir())  # stored data is not written again
    assert len(list(rows.iterdir())) == 2
    again = LiveScan.load(path, OPTIONS, keep=live.keep)
    for name, column in live._kept.arrays().items():
        np.testing.assert_array_equal(again._kept.arrays()[name], column, name)
    raw = first.read_bytes()
    first.write_bytes(raw[:-100] + bytes(100))
    with pytest.raises(InputError, match="begin anew"):
        LiveScan.load(path, OPTIONS)
    first.unlink()
    with pytest.raises(InputError, match=f"its exchanges are not there .*{first.name}.*begin anew"):
        LiveScan.load(path, OPTIONS)


@pytest.mark.parametrize("refused", [".npz", "live.npz"])  # each file, or the last one
def test_a_state_that_cannot_be_written_leaves_the_one_before(
    refused: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "live.npz"
    live = in_files(40)
    live.save(path, rows_apart=True)
    live.add(STEADY.slice(40, 400))

    def full(to: Path, arrays: dict[str, np.ndarray]) -> None:
        if to.name.endswith(refused):
            raise OSError(errno.ENOSPC, "No space left on device")
        write_arrays(to, arrays)

    for place in ("stillwatch.exchanges.row_files", "stillwatch.scan.live"):
        monkeypatch.setattr(f"{place}.write_arrays", full)
    for _ in range(3):
        with pytest.raises(InputError, match="cannot hold the live scan's state: No space left on device"):
            live.save(path, rows_apart=True)
        assert LiveScan.load(path, OPTIONS).exchanges == 40
    monkeypatch.undo()
    live.save(path, rows_apart=True)
    assert LiveScan.load(path, OPTIONS).exchanges == live.exchanges
    held = {part.name for part in live._kept._stored}
    assert {one.name for one in (tmp_path / "live.rows").iterdir()} == held  # nothing is left over


SAVES = """
import sys
from pathlib import Path
from test_live import OPTIONS, STEADY, Keep, LiveScan, newest_us
live, at = LiveScan(OPTIONS, keep=Keep(exchanges=400)), 0
while True:
    live.add(STEADY.slice(at % len(STEADY), 20))
    live.save(Path(sys.argv[1]), rows_apart=True)
    at += 20
    print(newest_us(live), flush=True)
"""


def newest_us(live: LiveScan) -> int:
    """Return the time of the last exchange that is kept."""
    return int(live._kept.merged()["ts_us"][-1])


@pytest.mark.slow
def test_killed_in_the_middle_of_writing_it_goes_on_from_the_state_before(tmp_path: Path) -> None:
    path, rng = tmp_path / "live.npz", random.Random(1)
    for _ in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", SAVES, str(path)], cwd=Path(__file__).parent, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.2))
            process.kill()
            told = [int(line) for line in process.stdout.read().split()]
        found = LiveScan.load(path, OPTIONS, keep=Keep(exchanges=400))
        assert newest_us(found) >= max(told, default=0)  # fewer may be kept: the oldest go
        found.save(path, rows_apart=True)
        held = {part.name for part in found._kept._stored}
        assert {one.name for one in (tmp_path / "live.rows").iterdir()} == held


@pytest.mark.slow
def test_where_the_disk_is_full_the_oldest_go_and_it_is_said_until_there_is_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = in_files(400)
    hour = START_US + 400 * HOUR_US  # all of it lies before
    assert live.tick(hour, hour).window is None
    disk = os.statvfs_result((4096, 4096, 1000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr("os.fstatvfs", lambda _: disk)
    live.add(STEADY.slice(400, 80))
    window = live.tick(hour, hour).window
    assert live.short_of_disk
    assert window is not None
    assert window.since is not None
    assert 100 <= live.exchanges < 400
    newest = build(STEADY.slice(0, 480).to_batches(), SKETCHER)["id"][-live.exchanges :]
    np.testing.assert_array_equal(live._kept.log["id"], newest)
    live.add(STEADY.slice(480, 60))  # it continues with what memory holds
    known = live.tick(hour + HOUR_US, hour + HOUR_US)
    assert known.scanned.exchanges == live.exchanges >= 100
    held = live.exchanges
    monkeypatch.undo()
    live.add(STEADY.slice(540, 80))
    assert live.tick(hour + 2 * HOUR_US, hour + 2 * HOUR_US).scanned.exchanges == held + 80
    assert live.short_of_disk  # until the dropped part is older than what is needed


@pytest.mark.slow
def test_where_a_look_finds_no_room_it_looks_at_less(monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveScan(OPTIONS)
    live.add(STEADY)

    def full(log: ExchangeLog, *more: object, **named: object) -> ScanResult:
        if len(log) > 300:
            raise NoRoomError("cannot hold the log's fingerprints: No space left on device")
        return scan_log(log, *more, **named)

    monkeypatch.setattr("stillwatch.scan.live.scan_log", full)
    hour = START_US + 13 * DAY_US
    known = live.tick(hour, hour)
    assert 200 < known.scanned.exchanges == live.exchanges <= 300
    assert live.short_of_disk
    assert known.window is not None
    assert known.window.short


def test_sketches_under_the_public_key_are_never_stored(tmp_path: Path, world: Scene) -> None:
    live = LiveScan()
    live.add(world.table.slice(0, 10))
    with pytest.raises(InputError, match="public"):
        live.save(tmp_path / "live.npz")
    with pytest.raises(InputError, match="public"):
        sketch_batch(world.table.slice(0, 10).to_batches()[0], Sketcher())
    with pytest.raises(InputError, match="was sketched under key"):
        live.add(sketched(world.table.slice(0, 10)))


TEXT = st.text(max_size=5)
ALARM = st.builds(
    Alarm,
    st.sampled_from([NEVER, 5]),
    st.floats(0, 1),
    st.dictionaries(st.integers(0, 4), st.integers(0, 9)),
    st.floats(0, 1),
    st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)),
    st.tuples(st.floats(0, 1)),
    st.just((("model", 0.1),)),
    tested=st.sampled_from([(), (SettingTest("model", "m", 9, 9, 0.1, 3, 0.03),)]),
)


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(st.lists(ALARM, max_size=3), st.sets(TEXT, min_size=5, max_size=5), st.sets(TEXT, max_size=3))
def test_what_is_carried_means_the_same_in_a_log_with_other_codes(
    alarms: list[Alarm], accounts: set[str], more: set[str]
) -> None:
    for alarm in alarms:
        alarm.fingerprints.update([7, 7, 2])

    def names_of(names: Sequence[str], models: tuple[str, ...], values: Sequence[int]) -> Names:
        log = replace(build([], SKETCHER), accounts=tuple(names), models=models)
        codes = [np.arange(len(models)), np.array([-1, 64]), np.array([-1, 700])]
        tenant = np.arange(len(names))
        settings_ = ("model", "max_tokens", "temperature_milli")
        return Names(log, tenant, np.array(values, np.uint32), settings_, codes)

    here = names_of(sorted(accounts), ("", "m", "n"), range(100, 110))
    there = names_of(sorted(accounts | more), ("", "a", "m", "n"), [*range(50), *range(100, 108)])
    told, owner = here.saved(Alarms(alarms, {0: 0, 4: 0}))
    stored = msgspec.json.decode(msgspec.json.encode(CarriedScan(alarms=told, owner=owner)), type=CarriedScan)
    assert stored == CarriedScan(alarms=told, owner=owner)
    again = there.saved(there.alarms(stored.alarms, stored.owner))
    assert again == (told, owner)
    before = json.loads(msgspec.json.encode(told))  # by a version that did not store the tested counts
    for one in before:
        del one["tested"]
    old = msgspec.json.decode(json.dumps(before), type=tuple[SavedAlarm, ...])
    assert old == tuple(replace(one, tested=()) for one in told)


def test_a_segment_that_was_written_can_be_added(tmp_path: Path, log: pa.Table) -> None:
    pq.write_table(log.slice(0, 300), tmp_path / "s.parquet")
    live = LiveScan(OPTIONS)
    live.add(pq.read_table(tmp_path / "s.parquet"))
    live.add(read([tmp_path / "s.parquet"], rejects=Rejects(), sketcher=SKETCHER))
    assert (live.exchanges, live.duplicates) == (300, 300)


# --- what cannot be seen is reported ----------------------------------------------------------------------


def steady(days: int, an_hour: int = 2) -> pa.Table:
    """Exchanges of every hour, from unrelated accounts."""
    crowd = Crowd(7)
    rng = crowd.rng
    for hour in range(days * 24):
        for k in range(an_hour):
            crowd.says(f"a{(hour + k) % 60}", hour + k / an_hour, sentence(rng, 6), **habits(rng))
    return sketched(crowd.table())


STEADY = steady(13)
BRIEF = replace(OPTIONS, every_account=False)


def watched_daily(live: LiveScan, table: pa.Table, days: int, first: int = 1) -> ScanResult:
    """Return the result after this many days, each evaluated at its end."""
    known, since = None, START_US + (first - 1) * DAY_US
    for day in range(first, days + 1):
        until = START_US + day * DAY_US
        live.add(between(table, since, until))
        known, since = live.tick(until, until), until
    assert known is not None
    return known


@pytest.mark.slow
def test_a_memory_that_is_shorter_than_the_window_says_what_cannot_be_seen(tmp_path: Path) -> None:
    live = LiveScan(BRIEF, keep=Keep(exchanges=48))
    known = watched_daily(live, STEADY, 12)
    window = known.window
    assert window is not None
    assert (window.linked_days, window.needed_days) == (5.0, 10.0)
    assert window.kept_days == pytest.approx(1.0, abs=0.1)
    assert window.since is not None
    assert known.scanned.first is not None
    assert window.since <= known.scanned.first < window.since + timedelta(hours=1)
    assert "cannot be found or are half named" in known.cannot_claim[0]
    assert "honest groups may be named" in known.cannot_claim[0]
    live.save(tmp_path / "live.npz")
    later = START_US + 12 * DAY_US
    again = LiveScan.load(tmp_path / "live.npz", BRIEF, keep=Keep(exchanges=48)).tick(later, later)
    assert again.window == window


@pytest.mark.slow
@pytest.mark.parametrize("days", [1, 9, 13])
def test_a_memory_that_holds_what_the_rules_need_says_nothing(days: int) -> None:
    """A new gateway has not seen ten days either, but no exchange of them is missing."""
    known = watched_daily(LiveScan(BRIEF, keep=Keep(days=11)), STEADY, days)
    assert known.window is None
    assert not any("emory" in said for said in known.cannot_claim)


@pytest.mark.slow
def test_between_one_window_and_two_only_what_is_new_is_in_doubt() -> None:
    known = watched_daily(LiveScan(BRIEF, keep=Keep(days=7)), STEADY, 12)
    assert known.window is not None
    assert known.window.kept_days == 7.0
    assert "honest groups may be named" in known.cannot_claim[0]
    assert "cannot be found" not in known.cannot_claim[0]


@pytest.mark.slow
def test_a_flood_that_pushes_the_past_out_is_said_until_memory_has_grown_back() -> None:
    """One hour of it exceeds memory: that hour too was dropped before it was evaluated."""
    crowd = Crowd(8)
    for k in range(1500):
        crowd.says("flood", 2 * 24 + k / 1500, "go")
    live = LiveScan(BRIEF, keep=Keep(exchanges=800))
    watched_daily(live, STEADY, 2)
    live.add(sketched(crowd.table()))
    flooded = START_US + 2 * DAY_US + HOUR_US
    window = live.tick(flooded, flooded).window
    assert window is not None
    assert window.kept_days is not None
    assert window.kept_days < 0.1
    ((start, end),) = window.unevaluated
    assert START + timedelta(days=2) <= start < end <= START + timedelta(days=2, hours=1)
    said = [watched_daily(live, STEADY, days, days - 3).window for days in (6, 10, 13)]
    assert [one is None for one in said] == [False, False, True]


@pytest.mark.slow
def test_what_comes_older_than_memory_is_counted_for_as_long_as_it_matters() -> None:
    early = (times(STEADY) < START_US + DAY_US) & (np.arange(len(STEADY)) % 4 == 0)
    punctual = STEADY.filter(pa.array(~early))
    live = LiveScan(BRIEF, keep=Keep(exchanges=96))
    watched_daily(live, punctual, 5)
    live.add(STEADY.filter(pa.array(early)))
    assert live.window.dropped == early.sum()
    assert "used for nothing" in watched_daily(live, punctual, 6, 6).cannot_claim[1]
    assert live.window.dropped == early.sum()
    watched_daily(live, punctual, 12, 7)
    assert live.window.dropped == 0  # ten days later it is irrelevant


def test_the_owner_says_what_was_never_captured() -> None:
    live = LiveScan(BRIEF)
    live.uncaptured, live.unread_segments = 12, 1
    known = watched_daily(live, STEADY, 2)
    assert known.cannot_claim[0].startswith("12 exchanges were not captured.")
    assert known.cannot_claim[1].startswith("1 segments could not be read")
