"""One detector for all gateways of a fleet: its input, and the host that runs it."""

import os
import shutil
import signal
import time
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from fleet_world import FleetServed, cut, fleet, folder, member, url_of
from gateway_world import until
from scan_world import START
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.exchanges.sources import find
from stillwatch.gateway.detector import FolderScan
from stillwatch.gateway.fleet import lease
from stillwatch.gateway.fleet.lease import LEASE_S, Lease, holds
from stillwatch.gateway.fleet.storage import use_own, use_shared
from stillwatch.gateway.folder import Folder, FolderError, derive, open_folder
from stillwatch.gateway.record import segments
from stillwatch.gateway.record.recorder import Recorder
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.report.findings import load
from stillwatch.units import HOUR_US
from test_live import with_followers
from upstream import Upstream

FAILOVER_S = 30.0


def gateways(place: Path, many: int) -> list[Folder]:
    """Folders of a fleet with one shared folder and one secret: another secret would change the sketches."""
    made: list[Folder] = []
    (place / "0").mkdir(mode=0o700)
    Folder(place / "0").secret_file.write_bytes(bytes(range(32)))
    Folder(place / "0").secret_file.chmod(0o600)
    for k in range(many):
        made.append(folder(place / str(k), made[0] if made else None))
        use_shared(made[-1], place / "shared", f"gw-{k}")
    return made


def deal(folders: list[Folder], table: pa.Table) -> None:
    """Write a world into the segments of several gateways, request by request; each numbers from 1."""
    table = table.sort_by("time").combine_chunks()
    sketcher = Sketcher(derive(folders[0].secret(), PURPOSE))
    size = -(-len(table) // 12)
    for number in range(12):
        part = table.slice(number * size, size)
        for k, one in enumerate(folders):
            mine = part.take(pa.array(range(k, len(part), len(folders)))).combine_chunks()
            batch = sketch_batch(mine.to_batches()[0], sketcher)
            segments.write(one, number + 1, batch, b"", batch.column("time")[0].as_py().astimezone(UTC))


def lease_to(one: Folder) -> None:
    one.run.joinpath("lease").write_text(f"{lease.now_s() + 3_600} 1\n")


def names_of(one: Folder) -> list[tuple[str, ...]]:
    return sorted(c.accounts for c in load(one.detector).campaigns)


@pytest.mark.slow
def test_a_log_dealt_over_gateways_gives_the_findings_of_one(tmp_path: Path) -> None:
    world, _, _ = with_followers()
    end_us = int(pc.max(world.table["time"]).cast(pa.int64()).as_py())
    found = {}
    for many in (1, 2, 4):
        (place := tmp_path / str(many)).mkdir()
        folders = gateways(place, many)
        for one in folders:
            one.terms.write_text("version = 1\n", encoding="utf-8")
        deal(folders, world.table)
        scan = FolderScan(folders[-1], GatewaySettings(upstream="http://127.0.0.1:1"), lambda: end_us)
        with pytest.raises(Exception, match="another gateway"):
            scan.step()
        lease_to(folders[-1])
        scan.step()
        assert scan.read == len(world.table)
        found[many] = names_of(folders[0])  # all gateways get one detector's findings
        scan.save()
        again = FolderScan(folders[0], GatewaySettings(upstream="http://127.0.0.1:1"), lambda: end_us)
        assert again.seen == scan.seen
        assert len(again.seen) == many
        lease_to(folders[0])
        again.step()
        assert again.read == 0
        assert len(find([folders[0].path])) == 12 * many  # a scan of one folder reads all
    assert found[1]
    assert found[2] == found[1]
    assert found[4] == found[1]


def test_each_gateway_merges_and_forgets_its_own_segments_alone(tmp_path: Path) -> None:
    a, b = gateways(tmp_path, 2)
    row = pa.record_batch({"time": pa.array([START], pa.timestamp("us", "UTC")), "x": [1]})
    hour = datetime(2026, 1, 1, 1, tzinfo=UTC)
    for number in (1, 2, 3):
        for one in (a, b):
            segments.write(one, number, row, f"{one.path.name}-{number}".encode(), hour)
    assert segments.last_checkpoint(a) == (3, b"0-3")
    seen: set[str] = set()
    assert sum(len(t) for t in segments.read_new(a, seen)) == 6
    assert seen == {f"gw-{k}/0000000001-0000000003.parquet" for k in (0, 1)}
    assert segments.merge(a, datetime(2026, 1, 2, tzinfo=UTC)) == 3
    assert [len(list(one.own_segments.glob("*/*.parquet"))) for one in (a, b)] == [1, 3]
    assert list(segments.read_new(b, seen)) == []
    segments.write(b, 4, row, b"", hour)
    assert sum(len(t) for t in segments.read_new(a, seen)) == 1
    segments.forget(a, datetime(2027, 1, 1, tzinfo=UTC), 0, 1)
    assert len(segments.all_segments(b)) == 5
    segments.sweep(a)
    assert len(list(b.own_segments.glob("*/*.parquet"))) == 4


def test_a_shared_folder_is_one_fleets_and_a_name_one_gateways(tmp_path: Path) -> None:
    a, b = gateways(tmp_path, 2)
    with pytest.raises(FolderError, match="is written by"):
        use_shared(b, tmp_path / "shared", "gw-0")
    stranger = folder(tmp_path / "x")
    with pytest.raises(FolderError, match="another fleet's"):
        use_shared(stranger, tmp_path / "shared", "gw-9")
    early = folder(tmp_path / "early", a)
    (early.segments / "2026-01-01T00").mkdir()
    with pytest.raises(FolderError, match="mv "):
        use_shared(early, tmp_path / "shared", "gw-8")
    assert not early.segments.is_symlink()
    use_own(a)
    assert a.segments.is_dir()
    assert not a.segments.is_symlink()
    assert a.own_segments == a.segments


def test_an_empty_mount_point_is_not_begun_anew(tmp_path: Path) -> None:
    """Segments written there would be hidden, and their numbers reused, once the mount is back."""
    a, _b = gateways(tmp_path, 2)
    shared = tmp_path / "shared"
    shared.rename(tmp_path / "elsewhere")
    shared.mkdir()
    warning = use_shared(a, shared, "gw-0")
    assert warning is not None
    assert "not mounted" in warning
    assert list(shared.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        Recorder(a, lambda: START)
    shared.rmdir()
    (tmp_path / "elsewhere").rename(shared)
    assert use_shared(a, shared, "gw-0") is None
    assert a.own_segments.is_dir()


def test_the_name_of_a_lost_folder_is_not_taken_by_an_empty_one(tmp_path: Path) -> None:
    """It would number its exchanges from 1 again, and use the lost one's checkpoint as its own."""
    a, _ = gateways(tmp_path, 2)
    row = pa.record_batch({"time": pa.array([START], pa.timestamp("us", "UTC")), "x": [1]})
    segments.write(a, 1, row, b"0-1", datetime(2026, 1, 1, 1, tzinfo=UTC))
    secret = a.secret()
    shutil.rmtree(a.path)
    a.path.mkdir(mode=0o700)
    a.secret_file.write_bytes(secret)
    again = open_folder(a.path)
    with pytest.raises(FolderError, match="another --gateway NAME"):
        use_shared(again, tmp_path / "shared", "gw-0")
    assert use_shared(again, tmp_path / "shared", "gw-2") is None
    assert segments.last_checkpoint(again) == (0, b"")


@pytest.mark.slow
def test_an_hour_waits_for_rows_of_hosts_whose_clocks_are_behind(tmp_path: Path) -> None:
    world, _, _ = with_followers()
    folders = gateways(tmp_path, 2)
    folders[0].terms.write_text("version = 1\n", encoding="utf-8")
    hour_us = (int(pc.max(world.table["time"]).cast(pa.int64()).as_py()) // HOUR_US - 1) * HOUR_US
    deal(folders, world.table.filter(pc.less(world.table["time"].cast(pa.int64()), hour_us)))
    now = [hour_us + 6_000_000]
    scan = FolderScan(folders[0], GatewaySettings(upstream="http://127.0.0.1:1"), lambda: now[0])
    lease_to(folders[0])
    scan.step()
    assert scan.says()["looked_until_us"] < hour_us  # requests from before the hour may still arrive
    now[0] = hour_us + 16_000_000
    scan.step()
    assert scan.says()["looked_until_us"] == hour_us


@pytest.mark.slow
def test_one_lease_one_holder(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    folders = gateways(tmp_path, 2)
    for one in folders:
        member(one, url).close()
    a, b = (Lease(one, url, f"gw-{k}", f"life-{k}", print) for k, one in enumerate(folders))
    with psycopg.connect(url, autocommit=True, options="-c search_path=stillwatch_gateway") as db:
        a.step(db)
        b.step(db)
        assert (a.is_held(), b.is_held(), b.holder) == (True, False, "gw-0")
        assert holds(folders[0].run)
        assert not holds(folders[1].run)
        db.execute("UPDATE leases SET until = clock_timestamp() - interval '1 ms'")
        b.step(db)
        a.step(db)
        assert (a.is_held(), b.is_held(), a.holder) == (False, True, "gw-1")
        assert not holds(folders[0].run)
        b.end(db)
        a.step(db)
        assert a.is_held()
        assert not holds(folders[1].run)
        a._until_s = lease.now_s() - 0.001  # by its own clock it ends sooner than in the database
        assert not a.is_held()


def detectors(gateways: list[FleetServed]) -> list[str]:
    return [one.name for one in gateways if one.pids("detector")]


@pytest.mark.slow
def test_the_standby_takes_over_when_the_leader_dies(tmp_path: Path, server: str) -> None:
    url = url_of(server)
    with Upstream() as up, fleet(tmp_path, up.url, url, "a", "b") as gateways:
        a, b = gateways
        until(lambda: detectors(gateways) == ["a"], what="the detector at a")
        until(lambda: b.part("detector") == "runs at gateway a", what="what b says")
        key = a.issue("acct_1")
        for one in gateways:
            assert one.status(key) == 200
        rows = until(lambda: _rows(tmp_path / "shared", 2), what="both rows")
        ids = rows.column("exchange_id").to_pylist()
        assert {name.partition(".")[0] for name in ids} == {"a", "b"}
        assert a.process is not None
        killed_s = time.monotonic()
        a.process.kill()
        a.process.wait(30)
        until(lambda: b.pids("detector"), FAILOVER_S + 15, "the detector at b")
        took_s = time.monotonic() - killed_s
        print(f"failover: {took_s:.1f} s (lease {LEASE_S:.0f} s)")
        assert took_s < FAILOVER_S
        a.start()  # comes back as the standby
        assert detectors(gateways) == ["b"]
        cut(url)
        time.sleep(3)
        assert detectors(gateways) == ["b"]
        assert b.process is not None
        stopped_s = time.monotonic()
        os.kill(b.process.pid, signal.SIGTERM)  # in good order: at once
        b.process.wait(60)
        until(lambda: a.pids("detector"), FAILOVER_S, "the detector at a")
        print(f"hand-over: {time.monotonic() - stopped_s:.1f} s")


def _rows(shared: Path, least: int) -> pa.Table | None:
    paths = sorted(shared.glob("segments/*/*/*.parquet"))
    tables = [pq.read_table(path, columns=["exchange_id", "account"]) for path in paths]
    table = pa.concat_tables(tables) if tables else pa.table({})
    return table if table.num_rows >= least else None
