"""The detector and the effect of its results: segments in, findings out, standings under the policy."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from scan_world import START, Crowd, Scene, scene
from stillwatch.errors import InputError
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.deployment import Gateway
from stillwatch.gateway.control import actions, proposals
from stillwatch.gateway.control.affected import reach
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.detector import HOUR_US, IDLE_S, STATE, FolderScan
from stillwatch.gateway.folder import Folder, derive, open_folder
from stillwatch.gateway.health import PartHealth, health
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import HANDOVER, Findings, FindingsNotice, handover_json
from stillwatch.gateway.metrics import metrics
from stillwatch.gateway.record import segments
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.thinning import Thinning
from stillwatch.report.findings import to_text, write, write_atomically
from stillwatch.report.page import headline, render
from stillwatch.scan import AccountVerdict, Campaign, Follower, Harvest, LoneHarvester, ScanResult, ScanTotals
from stillwatch.scan.live import StateUnreadable
from stillwatch.scan.pipeline import Options, run
from stillwatch.scan.seen_window import window_headline
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from stillwatch.units import utc_us
from test_scan_lone_harvesters import HOUR, START_US, loud

SETTINGS = GatewaySettings("http://127.0.0.1:9")
NOW = 1_795_600_000_000_000
WHEN = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return made(tmp_path / "serve")


def made(path: Path) -> Folder:
    folder = open_folder(path)
    folder.terms.write_text(default_text(), encoding="utf-8")
    return folder


def put(folder: Folder, number: int, table: pa.Table) -> Path:
    """Write rows as the recorder would."""
    sketcher = Sketcher(derive(folder.secret(), PURPOSE))
    batch = sketch_batch(table.combine_chunks().to_batches()[0], sketcher)
    hour = batch.column("time")[0].as_py().astimezone(UTC)
    return segments.write(folder, number, batch, b"", hour)


def some(many: int = 30, seed: int = 0) -> pa.Table:
    crowd = Crowd(seed)
    for k in range(many):
        crowd.says(f"a{k % 5}", k / 10)
    return crowd.table()


def parts(table: pa.Table, many: int) -> Iterable[pa.Table]:
    size = -(-len(table) // many)
    return (table.slice(k * size, size) for k in range(many) if k * size < len(table))


def detector(folder: Folder, now_us: int = NOW) -> FolderScan:
    return FolderScan(folder, SETTINGS, lambda: now_us)


def idle(found: FolderScan) -> None:
    """Simulate that no segment has arrived for a while."""
    found._rows_at = time.monotonic() - IDLE_S - 1


def named(folder: Folder) -> list[tuple[str, ...]]:
    result = Findings(folder).current().result
    assert result is not None
    return sorted(c.accounts for c in result.campaigns)


@pytest.fixture(scope="module")
def world() -> Scene:
    return scene(0, pools=1)


@pytest.fixture(scope="module")
def watched(world: Scene, tmp_path_factory: pytest.TempPathFactory) -> tuple[Folder, FolderScan]:
    """A scene in twelve segments, with the detector restarted twice on the way."""
    folder = made(tmp_path_factory.mktemp("watched") / "serve")
    found = detector(folder)
    for number, part in enumerate(parts(world.table.sort_by("time"), 12), 1):
        put(folder, number, part)
        if number in (5, 9):
            found.step()
            found.save()
            found = detector(folder)
    idle(found)
    found.step()
    return folder, found


# --- segments in, findings out ---


@pytest.mark.slow
def test_the_campaigns_are_those_of_one_scan_of_the_folder(
    watched: tuple[Folder, FolderScan], tmp_path: Path
) -> None:
    """The gateway has issued no key, so it knows nothing about these accounts."""
    folder, _ = watched
    key = derive(folder.secret(), PURPOSE)
    pq.write_table(pa.table({"account": ["somebody else"]}), tmp_path / "accounts.parquet")
    whole = run(
        [folder.segments], accounts=tmp_path / "accounts.parquet", options=Options(key=key, threads=1)
    )
    assert whole.campaigns
    assert named(folder) == sorted(c.accounts for c in whole.campaigns)


def test_requests_that_ask_nothing_do_not_crowd_the_rest_out() -> None:
    """Millions of model listings or refusals with one key must not empty the detector's memory."""
    thinning = Thinning(most=10)
    at = datetime(2026, 5, 1, tzinfo=UTC)

    def rows(many: int, operation: str, outcome: str, account: str = "flood", hour: int = 0) -> pa.Table:
        times = [at + timedelta(hours=hour, milliseconds=k) for k in range(many)]
        columns = {"account": [account] * many, "operation": [operation] * many, "outcome": [outcome] * many}
        return pa.table({"time": pa.array(times, pa.timestamp("us", tz="UTC")), **columns})

    def kept(table: pa.Table) -> int:
        return int(thinning(table).num_rows)

    assert kept(rows(500, "chat", "complete")) == 500  # requests with a prompt always count
    assert kept(rows(6, "models", "complete")) == 6
    assert kept(rows(400, "chat", "refused")) == 4
    assert kept(rows(100, "other", "complete")) == 0
    assert kept(rows(3, "models", "complete", account="somebody")) == 3
    assert kept(rows(20, "models", "complete", hour=30)) == 10
    assert thinning.left_out == 506
    assert len(thinning._had) == 1


@pytest.mark.slow
def test_what_was_read_is_not_read_again(watched: tuple[Folder, FolderScan], world: Scene) -> None:
    folder, before = watched
    before.save()
    again = detector(folder)
    again.step()
    assert (again.read, again._live.exchanges) == (0, len(world.table))


@pytest.mark.slow
def test_killed_before_it_could_save_it_reads_again_and_finds_the_same(
    watched: tuple[Folder, FolderScan], tmp_path: Path
) -> None:
    copy = Folder(tmp_path / "copy")
    shutil.copytree(watched[0].path, copy.path)
    shutil.rmtree(copy.detector)
    copy.detector.mkdir()
    (copy.detector / STATE).write_bytes(b"half a sta")
    found = detector(copy)
    assert found.error is not None
    assert "begun anew from the segments" in found.error
    idle(found)
    found.step()
    assert named(copy) == named(watched[0])
    assert (copy.detector / STATE).with_suffix(".unreadable").exists()
    (rows,) = (copy.detector / "live.rows").iterdir()
    rows.unlink()  # the state exists, but its exchanges do not
    found = detector(copy)
    assert found.error is not None
    assert f"its exchanges are not there ({rows}); begin anew" in found.error
    found.step()
    assert named(copy) == named(watched[0])


@pytest.mark.slow
def test_a_state_of_before_is_taken_up_and_its_rows_are_stored_apart(
    watched: tuple[Folder, FolderScan], tmp_path: Path
) -> None:
    copy = Folder(tmp_path / "copy")
    shutil.copytree(watched[0].path, copy.path)
    found = detector(copy)
    found._live.also = {"seen": sorted(found.seen), "newest_us": found.newest_us}
    shutil.rmtree(copy.detector)
    copy.detector.mkdir()
    found._live.save(copy.detector / STATE)  # as earlier versions wrote it: one file
    again = detector(copy)
    again.step()
    assert (again.read, again.error) == (0, None)
    assert named(copy) == named(watched[0])
    put(copy, 999, some())
    again.step()
    again.save()
    assert list((copy.detector / "live.rows").iterdir())
    assert detector(copy)._live.exchanges == again._live.exchanges


@pytest.mark.slow
def test_a_full_disk_is_said_and_detection_goes_on_with_less(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.gateway.detector.EXCHANGES_A_MB", 8)
    monkeypatch.setattr("stillwatch.gateway.detector.PROCESS_MB", 0)
    monkeypatch.setattr("stillwatch.gateway.detector.FIGURES_S", 0.0)
    found = FolderScan(folder, replace(SETTINGS, detector_memory_mb=256), lambda: NOW)
    put(folder, 1, of_days(12, 6, NOW - HOUR_US))
    found.step()
    found.save()
    beat(folder, found)
    assert "no room" not in part(folder).text

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    disk = os.statvfs_result((4096, 4096, 1000, 10, 10, 0, 0, 0, 0, 255))
    monkeypatch.setattr("os.fstatvfs", lambda _: disk)
    monkeypatch.setattr("stillwatch.exchanges.row_files.write_arrays", full)
    put(folder, 2, some(seed=2))  # older than all the others
    found.step()
    with pytest.raises(InputError, match="cannot hold the live scan's state: No space left on device"):
        found.save()
    found.step()  # it is retried later, and reported until then
    beat(folder, found)
    assert part(folder).status == "degraded"
    assert "cannot hold the live scan's state" in part(folder).text
    assert f"The disk has no room for more of them: make room below {folder.path}." in part(folder).text
    assert "detector_memory_mb" not in part(folder).text
    assert 512 * 3 // 4 <= found._live.exchanges < 1_000  # what memory holds
    window = json.loads((folder.detector / "findings.json").read_bytes())["window"]
    assert "cannot be found or are half named" in window["text"][0]


@pytest.mark.slow
def test_a_bad_segment_is_passed_over_with_its_reason_and_the_rest_is_used(folder: Folder) -> None:
    put(folder, 1, some(seed=1))
    put(folder, 2, some(seed=2)).write_bytes(b"PAR1 no parquet at all PAR1")
    cut = put(folder, 3, some(seed=3))
    cut.write_bytes(cut.read_bytes()[:-200])
    other = open_folder(folder.path.with_name("other"))  # under another key
    shutil.copy(put(other, 4, some(seed=4)), cut.with_name(f"{4:010d}-{4:010d}.parquet"))
    put(folder, 5, some(seed=5))
    found = detector(folder)
    found.step()
    assert (found.read, found.bad, found.error) == (60, 3, None)
    lines = [json.loads(line) for line in (folder.detector / "bad-segments.jsonl").read_text().splitlines()]
    assert [Path(line["segment"]).name[:10] for line in lines] == ["0000000002", "0000000003", "0000000004"]
    assert all(line["reason"] for line in lines)
    found.step()
    assert found.bad == 3  # reported once


@pytest.mark.slow
def test_a_disk_that_refuses_is_tried_again(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(folder, 1, some())
    found = detector(folder)
    path.chmod(0)
    if os.geteuid() == 0:  # root can read everything: let the opening itself fail

        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(pq, "read_table", refuse)
            found.step()
    else:
        found.step()
    assert found.error is not None
    assert "Permission denied" in found.error
    path.chmod(0o600)
    found.step()
    assert (found.read, found.bad, found.error) == (30, 0, None)


def test_short_memory_is_no_damaged_segment(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    put(folder, 1, some())
    found = detector(folder)

    def refuse(*_: object) -> None:
        raise pa.ArrowMemoryError("malloc of size 82496 failed")

    with monkeypatch.context() as patch:
        patch.setattr(pq, "read_table", refuse)
        with pytest.raises(MemoryError):
            found.step()
    found.step()
    assert (found.read, found.bad, found.error) == (30, 0, None)


@pytest.mark.parametrize(
    "refusal", [MemoryError("Unable to allocate 2 GiB"), OSError(errno.EMFILE, "Too many open files")]
)
def test_a_state_that_the_machine_refuses_is_not_thrown_away(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, refusal: Exception
) -> None:
    put(folder, 1, some())
    found = detector(folder)
    found.step()
    found.save()

    def refuse(*_: object, **__: object) -> None:
        raise refusal

    with monkeypatch.context() as patch:
        patch.setattr("stillwatch.scan.live.np.load", refuse)
        with pytest.raises(StateUnreadable, match="cannot be read now"):
            detector(folder)
    assert detector(folder).exchanges == 30


@pytest.mark.slow
def test_findings_are_written_when_they_changed(folder: Folder) -> None:
    put(folder, 1, some())
    found = detector(folder)
    found.step()
    first = (folder.detector / "findings.json").stat().st_mtime_ns
    found.step()
    assert (folder.detector / "findings.json").stat().st_mtime_ns == first


def test_until_when_all_has_come(folder: Folder) -> None:
    found = detector(folder)
    found.newest_us = NOW - HOUR_US  # exchanges are recent: the wall clock counts
    assert found._complete_until_us(NOW) == NOW - 5_000_000
    found.newest_us = NOW - 10 * HOUR_US  # exchanges are old: their own time counts
    assert found._complete_until_us(NOW) == found.newest_us
    idle(found)
    assert found._complete_until_us(NOW) == found.newest_us + HOUR_US


def test_what_the_owner_knows_of_accounts_is_handed_to_the_scan(folder: Folder) -> None:
    soon = "2027-01-31"
    text = (
        f'version = 1\n[[permission]]\norg = "Lab"\nkind = "red_team"\napproved_by = "x"\nexpires = {soon}\n'
    )
    text += f'[[permission]]\naccount = "c"\nkind = "synthetic-data"\napproved_by = "x"\nexpires = {soon}\n'
    folder.terms.write_text(text, encoding="utf-8")
    with ControlState(folder.state) as state:
        state.issue("a", "Lab", now_us=NOW)
        state.issue("b", now_us=NOW)
    found = detector(folder)
    found.step()
    rows = pq.read_table(folder.detector / "accounts.parquet").to_pylist()
    assert [(r["account"], r["org"], r["permissions"]) for r in rows] == [
        ("a", "Lab", ["red_team"]),
        ("b", None, []),
        ("c", None, ["synthetic-data"]),
    ]
    assert found._live.accounts is not None


@pytest.mark.slow
def test_without_terms_or_state_it_goes_on_and_says_so(folder: Folder) -> None:
    put(folder, 1, some())
    folder.terms.unlink()
    folder.state.write_bytes(b"no database" * 100)
    found = detector(folder)
    found.step()
    assert found.read == 30
    assert (folder.detector / "findings.json").exists()


@pytest.mark.slow
def test_its_heartbeat_says_how_far_behind_it_is(folder: Folder) -> None:
    clock = [NOW]
    found = FolderScan(folder, SETTINGS, lambda: clock[0])
    put(folder, 1, some())
    found.step()
    clock[0] += 7_000_000
    says = found.says()
    assert (says["lag_s"], says["exchanges"], says["bad_segments"]) == (7.0, 30, 0)


# --- what it cannot see is reported in every place ---


def of_days(days: int, an_hour: int, end_us: int) -> pa.Table:
    """Return exchanges of every hour until a time, from a hundred accounts with almost no content."""
    many = days * 24 * an_hour
    times = end_us - (many - np.arange(many)) * (HOUR_US // an_hour)
    return pa.table(
        {
            "exchange_id": [f"x{k}" for k in range(many)],
            "time": pa.array(times, pa.timestamp("us", tz="UTC")),
            "account": [f"a{k % 100}" for k in range(many)],
            "prompt": ["go on"] * many,
            "output_tokens": pa.array([5] * many, pa.int64()),
        }
    )


def beat(folder: Folder, found: FolderScan) -> None:
    heartbeat.beat(folder.run / "detector.json", NOW, **found.says())


def lines(folder: Folder) -> list[str]:
    return metrics(folder, SETTINGS, health(folder, SETTINGS, NOW), {}).splitlines()


def part(folder: Folder, now_us: int = NOW) -> PartHealth:
    return next(p for p in health(folder, SETTINGS, now_us).parts if p.name == "detector")


@pytest.mark.slow
def test_a_short_memory_is_said_in_findings_health_and_metrics(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stillwatch.gateway.detector.EXCHANGES_A_MB", 1)
    monkeypatch.setattr("stillwatch.gateway.detector.PROCESS_MB", 0)
    small = replace(SETTINGS, detector_memory_mb=256)
    found = FolderScan(folder, small, lambda: NOW)
    put(folder, 1, of_days(12, 4, NOW))
    found.step()
    window = json.loads((folder.detector / "findings.json").read_bytes())["window"]
    assert 2 < window["kept_days"] < 5 < window["needed_days"]
    assert "cannot be found or are half named" in window["text"][0]
    assert "were let go before they were evaluated" in window["text"][1]  # it begins with a backlog
    beat(folder, found)
    assert part(folder).status == "degraded"
    assert window["text"][0] in part(folder).text
    with ControlState(folder.state) as state:
        desk = Desk(folder, SETTINGS, state, open_terms(folder, keeps_history=True), Findings(folder))
        assert Gateway(desk).not_seen(NOW) == tuple(window["text"])  # the console's queue and leads
        (late,) = [said for said in Gateway(desk).not_seen(NOW + HOUR_US) if "gives no sign" in said]
        assert late.startswith("The detector gives no sign")
    advised = re.search(r"need detector_memory_mb = (\d+) in serve.json", part(folder).text)
    assert advised
    assert 10 * 24 * 4 <= int(advised[1]) <= 1.1 * 10 * 24 * 4  # what holds ten days at this pace
    missing = next(at for at in lines(folder) if at.startswith("stillwatch_detector_window_missing_seconds "))
    assert float(missing.split()[1]) == pytest.approx((10 - window["kept_days"]) * 86_400, abs=60)


@pytest.mark.slow
def test_a_memory_that_holds_everything_is_not_complained_of(folder: Folder) -> None:
    found = detector(folder)
    put(folder, 1, of_days(2, 4, NOW))
    found.step()
    assert "window" not in json.loads((folder.detector / "findings.json").read_bytes())
    beat(folder, found)
    assert (part(folder).status, part(folder).text) == ("ok", "is 0.0 s behind")
    assert {"stillwatch_detector_exchanges 192", "stillwatch_detector_window_missing_seconds 0"} < set(
        lines(folder)
    )


@pytest.mark.parametrize(
    ("kept", "lag_s", "status"), [(0, 61, "degraded"), (9_000_000, 200, "ok"), (9_000_000, 300, "degraded")]
)
def test_an_hours_evaluation_of_many_is_no_trouble(
    folder: Folder, kept: int, lag_s: int, status: str
) -> None:
    heartbeat.beat(folder.run / "detector.json", NOW, exchanges=kept, lag_s=lag_s)
    assert part(folder).status == status


@pytest.mark.slow
def test_gaps_and_damaged_segments_are_said_in_the_findings_for_ten_days(folder: Folder) -> None:
    def gap(days_ago: int, exchanges: int) -> str:
        at = NOW - days_ago * 24 * HOUR_US
        told = {
            "worker": 0,
            "from_us": at - 10,
            "until_us": at,
            "exchanges": exchanges,
            "reason": "disk full",
        }
        return json.dumps(told) + "\n"

    folder.gaps.write_text(gap(30, 1_000) + gap(3, 12), encoding="utf-8")
    put(folder, 1, of_days(2, 4, NOW))
    put(folder, 2, some()).write_bytes(b"not parquet")
    found = detector(folder)
    found.step()
    result = Findings(folder).current().result
    assert result is not None
    assert result.window is not None
    assert (result.window.uncaptured, result.window.unread_segments) == (12, 1)
    assert (result.window.kept_days, result.window.short) == (None, False)
    assert headline(result).endswith("campaigns may be missing, or half named.")
    beat(folder, found)
    assert "1 segments could not be read" in part(folder).text
    found.save()
    assert detector(folder)._bad_at_us == [NOW]  # also after a restart


@pytest.mark.slow
def test_the_detectors_own_process_says_that_its_memory_is_short(folder: Folder, tmp_path: Path) -> None:
    """The gateway has the least allowed memory, and 13 days of exchanges that exceed it."""
    end_us = utc_us()
    replace(SETTINGS, detector_memory_mb=256).save(folder.settings)
    whole = of_days(13, 1_200, end_us)
    for number, one in enumerate(parts(whole, 13), 1):
        put(folder, number, one)
    with subprocess.Popen([sys.executable, "-m", "stillwatch.gateway.detector", str(folder.path)]) as process:
        try:
            patience = time.monotonic() + 120
            while "text" not in heartbeat.read(folder.run / "detector.json").get("unseen", {}):
                assert time.monotonic() < patience
                time.sleep(0.5)
            now_us = utc_us()
            told = part(folder, now_us)
            assert told.status == "degraded"
            assert "honest groups may be named" in told.text
            result = Findings(folder).current().result
            assert result is not None
            assert result.window is not None
            assert result.window.short
            assert window_headline(result.window) in headline(result)
            assert window_headline(result.window) in render(result)
        finally:
            process.terminate()


# --- findings handed over, standings under the terms ---

ACTS = (
    'version = {}\n[ladder]\nmode = "act"\nact_on_group_findings = true\n'
    '[[ladder.rule]]\nstep = "{}"\nexchanges_at_least = 100\n'
)


def hand_over(folder: Folder, *accounts: str, follower: str | None = None, **more: object) -> None:
    taken = Harvest(1_000, 500_000)
    found = Campaign("sw-2", WHEN, 1e-9, 30.0, accounts, taken, taken, (), (), firm=accounts)
    found = replace(found, **more)  # type: ignore[arg-type]
    joined = () if follower is None else (Follower(follower, "sw-2", WHEN, WHEN, 3),)
    result = ScanResult("0", ScanTotals(1, 1, WHEN, WHEN, 0, 0.0), (found,), (), followers=joined)
    write_atomically(folder.detector / HANDOVER, to_text(handover_json(result, {"sw-2": "sw-1"})))
    write(result, folder.detector)


@pytest.fixture
def enforcing(folder: Folder) -> Iterable[Enforcer]:
    folder.terms.write_text(ACTS.format(1, "throttle"), encoding="utf-8")
    with ControlState(folder.state) as state:
        yield Enforcer(folder, state, open_terms(folder, keeps_history=True), lambda _: None)


def stands(enforcer: Enforcer) -> dict[str, Step]:
    return {account: s.step for account, s in actions.standings(enforcer.state).items()}


def test_a_finding_becomes_a_standing_under_the_campaign_s_first_name(enforcing: Enforcer) -> None:
    enforcing.step(NOW)
    assert (stands(enforcing), enforcing.errors) == ({}, {})
    hand_over(enforcing.folder, "a", "b", follower="c")
    enforcing.step(NOW)
    assert stands(enforcing) == dict.fromkeys("abc", Step.THROTTLE)
    assert {s.campaign for s in actions.standings(enforcing.state).values()} == {"sw-1"}
    (action,) = actions.actions(enforcing.state)
    assert (action.who, action.accounts) == ("ladder", 3)
    revision = enforcing.state.revision()
    for k in range(5):
        enforcing.step(NOW + k * 20_000_000)
    assert enforcing.state.revision() == revision  # the same again writes nothing


def test_who_leads_no_more_stops_in_the_middle(folder: Folder) -> None:
    """The enforcer stood still, and another gateway of the fleet leads now."""
    folder.terms.write_text(ACTS.format(1, "throttle"), encoding="utf-8")
    hand_over(folder, "a", "b")
    with ControlState(folder.state) as state:
        answers = iter([True, True, True])  # the ladder is done by then
        watched = open_terms(folder, keeps_history=True)
        enforcer = Enforcer(folder, state, watched, lambda _: None, leads=lambda: next(answers, False))
        enforcer.step(NOW)
        assert len(proposals.proposals(state, "open")) == 1
        assert stands(enforcer) == {}


@pytest.mark.parametrize("text", [default_text(), ACTS.replace("act_on_group_findings = true\n", "")])
def test_without_the_owner_s_explicit_word_a_group_finding_changes_no_standing(
    folder: Folder, text: str
) -> None:
    folder.terms.write_text(text.format(1, "block") if "{}" in text else text, encoding="utf-8")
    with ControlState(folder.state) as state:
        enforcer = Enforcer(folder, state, open_terms(folder, keeps_history=True), lambda _: None)
        hand_over(folder, "a", "b", follower="c")
        for k in range(5):
            enforcer.step(NOW + k * 3_600_000_000)
        assert (stands(enforcer), enforcer.errors) == ({}, {})
        (proposal,) = proposals.proposals(state, "open")
        assert (proposal.wanted.accounts, proposal.wanted.due_us) == (("a", "b", "c"), None)
        assert "act_on_group_findings" in proposal.wanted.why or "propose" in proposal.wanted.why


def test_what_a_person_took_back_stays_taken_back(enforcing: Enforcer) -> None:
    hand_over(enforcing.folder, "a", "b")
    enforcing.step(NOW)
    actions.undo(enforcing.state, 1, who="ann", why="they called", now_us=NOW)
    hand_over(enforcing.folder, "a", "b", "c")  # it grows, with another id and all
    enforcing.step(NOW + 1)
    assert stands(enforcing) == {"c": Step.THROTTLE}
    assert proposals.proposals(enforcing.state, "open") == []


def test_a_stricter_step_on_whom_a_person_decided_about_is_only_proposed(enforcing: Enforcer) -> None:
    hand_over(enforcing.folder, "a")
    enforcing.step(NOW)
    actions.undo(enforcing.state, 1, who="ann", why="they called", now_us=NOW)
    enforcing.folder.terms.write_text(ACTS.format(2, "block"), encoding="utf-8")
    for k in range(3):
        enforcing.step(NOW + k)
    assert enforcing.watched.terms.version == 2
    assert stands(enforcing) == {}
    (proposal,) = proposals.proposals(enforcing.state, "open")
    assert (proposal.wanted.step, proposal.wanted.due_us) == (Step.BLOCK, None)
    assert "a person has decided" in proposal.wanted.why


def test_a_suppressed_campaign_and_a_permitted_account_are_left_alone(enforcing: Enforcer) -> None:
    hand_over(enforcing.folder, "a", suppressed_by="permission: synthetic-data")
    enforcing.step(NOW)
    assert stands(enforcing) == {}
    text = ACTS.format(2, "throttle")
    text += '[[permission]]\naccount = "a"\nkind = "x"\napproved_by = "y"\nexpires = 2027-01-31\n'
    enforcing.folder.terms.write_text(text, encoding="utf-8")
    for k in range(3):
        enforcing.step(NOW + k)
    hand_over(enforcing.folder, "a", "b")
    enforcing.step(NOW + 4)
    assert stands(enforcing) == {"b": Step.THROTTLE}


def test_a_finding_that_goes_takes_its_proposal_with_it(enforcing: Enforcer) -> None:
    many = [f"a{k:03}" for k in range(60)]  # more than max_accounts: it waits for a person
    hand_over(enforcing.folder, *many)
    enforcing.step(NOW)
    assert [p.state for p in proposals.proposals(enforcing.state)] == ["open"]
    hand_over(enforcing.folder, "zz", harvest=Harvest(1, 1))
    enforcing.step(NOW + 1)
    assert [p.state for p in proposals.proposals(enforcing.state)] == ["superseded"]


def test_a_delayed_step_waits_and_is_then_taken(enforcing: Enforcer) -> None:
    late = ACTS.format(2, "throttle").replace('mode = "act"', 'mode = "act"\ndelay_s = 3600')
    enforcing.folder.terms.write_text(late, encoding="utf-8")
    for k in range(3):
        enforcing.step(NOW + k)
    alarm = datetime.fromtimestamp(NOW / 1e6, UTC)
    hand_over(enforcing.folder, "a", alarm_at=alarm)
    enforcing.step(NOW + 10)
    assert stands(enforcing) == {}
    enforcing.step(NOW + 3_599_000_000)
    assert stands(enforcing) == {}
    enforcing.step(NOW + 3_600_000_000)
    assert stands(enforcing) == {"a": Step.THROTTLE}


def test_what_cannot_be_read_is_said_and_the_rest_goes_on(enforcing: Enforcer) -> None:
    hand_over(enforcing.folder, "a")
    (enforcing.folder.detector / "findings.json").write_text("{", encoding="utf-8")
    from stillwatch.terms import EnforcementStatus

    until = EnforcementStatus(Step.WATCH, NOW, until_us=NOW + 10)
    actions.act(enforcing.state, [("z", until)], who="ann", why="x", now_us=NOW)
    enforcing.step(NOW + 20)
    assert "findings" in enforcing.errors
    assert stands(enforcing) == {}  # the old standing has ended
    hand_over(enforcing.folder, "a")
    enforcing.step(NOW + 30)
    assert (enforcing.errors, stands(enforcing)) == ({}, {"a": Step.THROTTLE})


def test_bad_new_terms_leave_the_last_good_ones_in_force(enforcing: Enforcer) -> None:
    enforcing.folder.terms.write_text("version = 2\n[ladder\n", encoding="utf-8")
    for k in range(3):
        enforcing.step(NOW + k)
    assert "version 1 stays in force" in enforcing.errors["terms"]
    hand_over(enforcing.folder, "a")
    enforcing.step(NOW + 5)
    assert stands(enforcing) == {"a": Step.THROTTLE}


LONE = """version = 1
[ladder]
mode = "act"
[[ladder.rule]]
step = "throttle"
p_value_at_most = 0.001
[[ladder.rule]]
step = "verify"
lone = true
exchanges_at_least = 300
"""


def test_who_harvests_alone_is_handed_over_until_a_campaign_names_him(enforcing: Enforcer) -> None:
    alone = LoneHarvester("a", WHEN, 320, "it harvests alone", "sw-9", 0.03, 12.5, 96_000)
    result = ScanResult("0", ScanTotals(1, 1, WHEN, WHEN, 0, 0.0), (), (), alone=(alone,))
    write_atomically(enforcing.folder.detector / HANDOVER, to_text(handover_json(result, {})))
    write(result, enforcing.folder.detector)
    (lone,) = Findings(enforcing.folder).current().campaigns()
    assert (lone.id, lone.accounts, lone.firm, lone.p_value) == ("sw-9", ("a",), ("a",), 0.03)
    assert (lone.alarm_at, lone.harvest, lone.score_bits) == (WHEN, Harvest(320, 96_000), 12.5)
    enforcing.step(NOW)
    assert stands(enforcing) == {"a": Step.THROTTLE}
    group = Campaign("sw-2", WHEN, 1e-9, 30.0, ("a", "b"), lone.harvest, lone.harvest, (), ())
    assert [c.id for c in FindingsNotice((), replace(result, campaigns=(group,))).campaigns()] == ["sw-2"]


@pytest.mark.slow
def test_a_lone_payer_is_acted_on_before_the_hour_is_over_and_stays_one_finding(folder: Folder) -> None:
    folder.terms.write_text(LONE, encoding="utf-8")
    table = loud().table().sort_by("time")
    begun_us = START_US + HOUR * HOUR_US
    until = [begun_us, begun_us + 40 * 60_000_000, begun_us + HOUR_US + 60_000_000]
    clock, lo, stood = [until[0]], 0, []
    found = FolderScan(folder, SETTINGS, lambda: clock[0])
    with ControlState(folder.state) as state:
        enforcer = Enforcer(folder, state, open_terms(folder, keeps_history=True), lambda _: None)
        for number, at in enumerate(until, 1):
            hi = int(np.searchsorted(table["time"].cast(pa.int64()).to_numpy(), at))
            put(folder, number, table.slice(lo, hi - lo))
            clock[0], lo = at, hi
            found.step()
            enforcer.step(at)
            assert enforcer.errors == {}
            stood.append(actions.standings(state))
    assert stood[0] == {}
    assert {account: s.step for account, s in stood[1].items()} == {"loud": Step.VERIFY}
    assert named(folder) == [("loud",)]
    assert stood[2] == stood[1]  # the full evaluation agrees, under the name it was given
    handed = Findings(folder).current()
    assert [c.id for c in handed.campaigns()] == [stood[1]["loud"].campaign]
    assert handed.result is not None
    assert handed.result.alone == ()


# --- accounts that an action would affect ---


def test_a_reach_counts_end_users_and_who_shares_them_or_an_address(folder: Folder) -> None:
    crowd = Crowd()
    hour = (datetime.now(UTC) - START).total_seconds() / 3600 - 1
    for account, user, address in (
        ("pool", "u1", "192.0.2.1"),
        ("pool", "u2", "192.0.2.1"),
        ("pool", "u2", None),
        ("reseller", "u2", "192.0.2.9"),  # serves one of the same people
        ("campus", "u7", "192.0.2.1"),  # behind the same address
        ("far", None, "198.51.100.1"),
    ):
        crowd.says(account, hour, end_user=user, client_ip=address)
    put(folder, 1, crowd.table())
    with ControlState(folder.state) as state:
        hits = reach(state, folder, ["pool"], Step.BLOCK, utc_us())
    assert (hits.accounts, hits.unknown, hits.keys) == (("pool",), (), 0)
    assert (hits.end_users, hits.same_end_user, hits.same_network) == (2, 1, 1)
    assert [(u.account, u.end_user, u.exchanges) for u in hits.users] == [
        ("pool", "u2", 2),
        ("pool", "u1", 1),
    ]
    (pool,) = hits.hit
    assert (pool.account, pool.exchanges, pool.end_users, pool.step, pool.shares) == (
        "pool",
        3,
        2,
        "clear",
        (),
    )
    assert [(n.account, n.shares) for n in hits.near] == [
        ("campus", ("address",)),
        ("reseller", ("end user",)),
    ]


def test_a_reach_names_bystanders_with_their_kind_of_use_and_standing(folder: Folder) -> None:
    """The details of each account come from the keys, the segments, the detector and the standings."""
    crowd, now = Crowd(), utc_us()
    hour = (datetime.now(UTC) - START).total_seconds() / 3600 - 1
    for account in ("pool", "pool", "sister", "sister", "sister", "old"):
        crowd.says(account, hour, client_ip="192.0.2.1", output_tokens=50)
    put(folder, 1, crowd.table())
    verdicts = (AccountVerdict("sister", 0.5, None, "evaluation"), AccountVerdict("pool", 1e-6, "sw-1", None))
    result = ScanResult("0", ScanTotals(6, 3, WHEN, WHEN, 0, 0.0), (), verdicts)
    write_atomically(folder.detector / HANDOVER, to_text(handover_json(result, {})))
    write(result, folder.detector)
    with ControlState(folder.state) as state:
        for account in ("pool", "sister", "silent"):
            state.issue(account, "Acme", now_us=now)
        watched = EnforcementStatus(Step.WATCH, now)
        actions.act(
            state,
            [("sister", watched), ("old", EnforcementStatus(Step.BLOCK, now))],
            who="t",
            why="t",
            now_us=now,
        )
        hits = reach(state, folder, ["pool", "old"], Step.BLOCK, now + 1)
    assert (hits.accounts, hits.unchanged, hits.same_org) == (("pool",), ("old",), ("silent", "sister"))
    assert [(h.org, h.campaign, h.output_tokens) for h in hits.hit] == [("Acme", "sw-1", 100)]
    sister, silent = hits.near  # an account that is already blocked is no bystander
    assert (sister.kind_of_use, sister.step, sister.exchanges) == ("evaluation", "watch", 3)
    assert sister.shares == ("organisation", "address")
    assert (silent.account, silent.exchanges, silent.shares) == ("silent", 0, ("organisation",))


def test_a_segment_that_cannot_be_read_leaves_a_reach_that_says_so(folder: Folder) -> None:
    crowd = Crowd()
    crowd.says("pool", (datetime.now(UTC) - START).total_seconds() / 3600 - 1)
    put(folder, 1, crowd.table()).write_bytes(b"PAR1 nothing PAR1")
    with ControlState(folder.state) as state:
        hits = reach(state, folder, ["pool"], Step.BLOCK, utc_us())
    assert (hits.end_users, hits.same_network) == (None, None)
    assert "could not be looked at" in hits.notes[1]
