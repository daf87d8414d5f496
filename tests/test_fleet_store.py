"""A fleet whose gateways share an object store: what is uploaded, downloaded, and left alone."""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from exports_world import certificate
from fleet_world import FleetServed, fleet, folder, url_of
from gateway_world import until
from s3_server import S3Server, serving
from scan_world import START
from stillwatch.gateway.detector import FolderScan
from stillwatch.gateway.fleet import lease
from stillwatch.gateway.fleet.mirror import Mirror
from stillwatch.gateway.fleet.storage import COPY, enter_store, use_shared
from stillwatch.gateway.fleet.store import ObjectStore, StoreAway, StoreError, store_address
from stillwatch.gateway.folder import Folder, FolderError, open_folder
from stillwatch.gateway.health import DEGRADED, OK, health
from stillwatch.gateway.heartbeat import beat
from stillwatch.gateway.metrics import metrics
from stillwatch.gateway.record import segments
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.report.findings import load
from stillwatch.units import utc_us
from test_fleet_detector import deal, detectors, gateways, lease_to, names_of
from test_live import with_followers
from upstream import Upstream

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings(
        "ignore::DeprecationWarning"
    ),  # of the S3 server's libraries, on newer Pythons
]
HOUR = datetime(2026, 1, 1, 1, tzinfo=UTC)
SOON_S = 240.0  # longest wait on a busy machine: a mirror looks again after up to a minute
TERMS = "version = 1\n[retention]\ntext_days = 2\nsketch_days = 30\n"


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    with serving() as server:
        yield server


class Now:
    """A clock that the test sets."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at


def settings(address: str, name: str) -> GatewaySettings:
    return GatewaySettings(
        upstream="http://127.0.0.1:1", state="postgresql://h/d", shared=address, gateway=name
    )


def member(place: Path, address: str, name: str, like: Folder | None = None) -> Folder:
    """A gateway's folder with its copy of the store."""
    made = folder(place / name, like)
    made.terms.write_text(TERMS, encoding="utf-8")
    use_shared(made, made.path / COPY, name)
    settings(address, name).save(made.settings)
    return made


def pair(place: Path, address: str, now: Now) -> tuple[Folder, Folder, Mirror, Mirror]:
    a = member(place, address, "gw-a")
    b = member(place, address, "gw-b", a)
    return a, b, *(Mirror(one, settings(address, one.path.name), now) for one in (a, b))  # type: ignore[return-value]


def look(mirror: Mirror, everything: bool = False) -> None:
    """Make one step that looks for what others wrote."""
    mirror.listed_s = mirror.others_s = float("-inf")
    if everything:
        mirror.everything_s = float("-inf")
    mirror.step()


def write(one: Folder, number: int, at: datetime = HOUR, rows: int = 3) -> None:
    """Write one segment, whose rows can be identified by their ids, with a text each."""
    batch = pa.record_batch(
        {
            "exchange_id": [f"{one.path.name}.{number}.{row}" for row in range(rows)],
            "time": pa.array([START] * rows, pa.timestamp("us", "UTC")),
            "prompt": [f"text {number} {row} " * 20 for row in range(rows)],
        }
    )
    segments.write(one, number, batch, f"{number}".encode(), at)


def rows_hash(one: Folder) -> str:
    """Read one gateway's folder: every row once, for any order of files."""
    tables = list(segments.read_new(one, set()))
    ids = sorted(id for table in tables for id in table["exchange_id"].to_pylist())
    return hashlib.sha256("\n".join(ids).encode()).hexdigest()


def test_what_one_writes_is_at_the_other_and_merges_follow(tmp_path: Path, s3: S3Server) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    for number in range(1, 6):
        write(a, number)
        write(b, number)
        look(up)
        look(down)
    look(up)
    assert rows_hash(a) == rows_hash(b)
    assert len(segments.all_segments(b)) == 10
    assert (up.waiting, down.waiting, up.put, down.taken) == (0, 0, 5, 5)
    now.at += timedelta(hours=1, minutes=6)
    before = rows_hash(a)
    assert segments.merge(a, now.at) == 5
    look(up)
    assert len(s3.names(address, "segments/gw-a")) == 1
    look(down)
    assert segments.all_segments(b)[0].path.name == "0000000001-0000000005.parquet"
    assert len(list((b.segments / "gw-a").glob("*/*"))) == 1
    assert rows_hash(b) == before


def test_a_bucket_with_versions_serves_as_well(tmp_path: Path, s3: S3Server) -> None:
    """A deletion there leaves a marker, which is no object."""
    address, now = s3.bucket(versions=True), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    for number in (1, 2):
        write(a, number)
    look(up)
    look(down)
    assert segments.merge(a, now.at + timedelta(hours=1, minutes=6)) == 2
    look(up)
    look(down)
    assert len(s3.names(address, "segments/gw-a")) == 1
    assert len(list((b.segments / "gw-a").glob("*/*"))) == 1
    assert rows_hash(b) == rows_hash(a)


def test_more_objects_than_an_answer_lists_are_all_seen(tmp_path: Path, s3: S3Server) -> None:
    address, client = s3.bucket(), s3.client()
    bucket, _, prefix = address.removeprefix("s3://").partition("?")[0].partition("/")
    names = [f"segments/gw-a/h{k % 3}/{k}" for k in range(1_050)]  # a page of results has a thousand
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda name: client.put_object(Bucket=bucket, Key=f"{prefix}/{name}", Body=b""), names))
    store = ObjectStore(address, open_folder(tmp_path / "gw").secret())
    assert sorted(one.name for one in store.objects("segments")) == sorted(names)
    assert store.folders("segments/gw-a") == ["h0", "h1", "h2"]


@pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE"])
def test_a_busy_store_is_tried_again(tmp_path: Path, s3: S3Server, method: str) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    write(a, 1)
    look(up)
    write(a, 2)
    segments.merge(a, now.at + timedelta(hours=2))
    s3.refuse = {method: ("503 Slow Down", "SlowDown")}
    try:
        with pytest.raises(StoreAway, match="asks to come again later"):
            look(up, everything=True)
    finally:
        s3.refuse = {}
    look(up)
    look(down)
    assert rows_hash(b) == rows_hash(a)
    assert len(s3.names(address, "segments/gw-a")) == 1


def test_a_store_with_a_certificate_of_its_own(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = certificate(tmp_path / "certificate")
    address = s3.bucket()
    door = s3.another((str(made / "cert.pem"), str(made / "key.pem")))
    door.start()
    secret = open_folder(tmp_path / "gw").secret()
    try:
        over_tls = address.replace(s3.endpoint, door.endpoint)
        with pytest.raises(StoreAway, match="cannot be reached"):
            ObjectStore(over_tls, secret).check()
        monkeypatch.setenv("AWS_CA_BUNDLE", str(made / "cert.pem"))
        ObjectStore(over_tls, secret).check()
    finally:
        door.stop()
    assert s3.names(address) == []


def test_a_file_half_taken_is_swept_away(tmp_path: Path, s3: S3Server) -> None:
    _, b, _, down = pair(tmp_path, s3.bucket(), Now(HOUR))
    half = b.path / COPY / "segments" / "gw-a" / "2026-01-01T01" / ".0000000001-0000000001.parquet.7.taken"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"PAR1")
    look(down)
    assert not half.exists()


def test_retention_takes_texts_and_rows_away_everywhere(tmp_path: Path, s3: S3Server) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    write(a, 1)
    write(a, 2, HOUR + timedelta(days=20))
    look(up)
    look(down, everything=True)
    now.at = HOUR + timedelta(days=10)
    assert segments.forget(a, now.at, 2, 30) == 1
    look(up)
    assert len(s3.names(address, "segments/gw-a")) == 2  # the one with texts was deleted
    look(down, everything=True)
    first = next(segments.read_new(b, set()))
    assert first["prompt"].null_count == 3
    now.at = HOUR + timedelta(days=31)
    assert segments.forget(a, now.at, 2, 30) == 2
    look(up, everything=True)
    look(down, everything=True)
    assert len(s3.names(address, "segments/gw-a")) == 1
    assert [one.first for one in segments.all_segments(b)] == [2]
    now.at = HOUR + timedelta(days=60)
    a.terms.write_text("nonsense", encoding="utf-8")
    look(up, everything=True)
    assert len(s3.names(address, "segments/gw-a")) == 1  # without a readable policy nothing is deleted


def test_while_the_store_is_away_exchanges_wait_and_nothing_is_lost_or_doubled(
    tmp_path: Path, s3: S3Server
) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    write(a, 1)
    look(up)
    s3.stop()
    try:
        for number in (2, 3):
            write(a, number)
            with pytest.raises(StoreAway, match="cannot be reached"):
                up.step()
        up.count_waiting()
        assert up.waiting == 2
        assert up.waiting_bytes > 0
        _health_says(a, up, DEGRADED, "2 segments wait", "cannot be reached")
        assert "stillwatch_store_waiting_segments 2" in _metrics_of(a)
        again = Mirror(a, settings(address, "gw-a"), now)  # what waits follows from the files
    finally:
        s3.start()
    look(down)
    now.at += timedelta(hours=5)  # hours that are not checked each time
    look(again)
    assert (again.waiting, again.put) == (0, 2)
    again.error = None
    _health_says(a, again, OK, "behind")
    look(down)
    assert rows_hash(a) == rows_hash(b)


def _health_says(one: Folder, mirror: Mirror, status: str, *words: str) -> None:
    if status == DEGRADED:
        mirror.error = "s3://…: cannot be reached"
    beat(one.run / "store.json", utc_us(), **mirror.says())
    used = GatewaySettings.load(one.settings)
    part = next(p for p in health(one, used, utc_us()).parts if p.name == "store")
    assert part.status == status, part.text
    for word in words:
        assert word in part.text


def _metrics_of(one: Folder) -> str:
    used = GatewaySettings.load(one.settings)
    return metrics(one, used, health(one, used, utc_us()), {})


def test_foreign_and_damaged_objects_are_named_and_left_alone(tmp_path: Path, s3: S3Server) -> None:
    """Others may write to the bucket: what they add, change or move is not accepted as ours."""
    address, now = s3.bucket(), Now(HOUR)
    _, b, up, down = pair(tmp_path, address, now)
    a = up.folder
    for number in (1, 2, 3):
        write(a, number)
    look(up)
    files = s3.files()
    one, two, three = s3.names(address, "segments/gw-a")
    with files.open_output_stream(one) as out:
        out.write(b"PAR1 nothing")
    files.copy_file(two, two.replace("gw-a", "gw-c"))  # a whole one, under another gateway's name
    files.copy_file(two, two.replace("0000000002-0000000002", "0000000007-0000000007"))
    with files.open_output_stream(f"{one.rpartition('/')[0]}/README") as out:
        out.write(b"not ours")
    look(down, everything=True)
    assert [s.first for s in segments.all_segments(b)] == [2, 3]
    says = down.says()
    assert says["strange"] == 4
    assert any("README" in text for text in says["strange_named"])
    down.error = None
    look(down, everything=True)
    assert down.says()["strange"] == 4
    assert len(s3.names(address, "segments")) == 6  # all are still there
    assert three in s3.names(address, "segments")


def test_a_light_look_asks_as_much_after_a_year_as_after_an_hour(tmp_path: Path, s3: S3Server) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, _, up, down = pair(tmp_path, address, now)
    counts = []
    for hours in (1, 9):
        for _ in range(hours):
            write(a, len(segments.all_segments(a)) + 1, now.at)
            now.at += timedelta(hours=1)
            look(up)
        look(down, everything=True)
        s3.requests.clear()
        look(down)
        counts.append(len(s3.requests))
    assert counts[0] == counts[1]
    s3.requests.clear()
    down.listed_s = float("-inf")
    down.step()  # now the others, and news of earlier hours, are known
    assert not any("news" in one.url or one.url.endswith("segments%2F") for one in s3.requests)
    assert any("segments%2Fgw-a%2F" in one.url for one in s3.requests)


def test_a_place_in_the_store_is_one_fleets_and_one_gateways(tmp_path: Path, s3: S3Server) -> None:
    address = s3.bucket()
    a = member(tmp_path, address, "gw-a")
    store = ObjectStore(address, a.secret())
    enter_store(a, store, "gw-a")
    enter_store(a, store, "gw-a")
    (tmp_path / "x").mkdir()
    same_name = member(tmp_path / "x", address, "gw-a", a)
    with pytest.raises(FolderError, match="another --gateway NAME"):
        enter_store(same_name, store, "gw-a")
    stranger = open_folder(tmp_path / "stranger")
    with pytest.raises(FolderError, match="another fleet's"):
        enter_store(stranger, ObjectStore(address, stranger.secret()), "gw-z")


def test_a_folder_that_went_back_does_not_number_again(tmp_path: Path, s3: S3Server) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, _, up, _ = pair(tmp_path, address, now)
    for number in (1, 2):
        write(a, number)
    look(up)
    newest = segments.all_segments(a)[-1].path
    newest.unlink()
    with pytest.raises(FolderError, match="older than what it has put"):
        look(Mirror(a, settings(address, "gw-a"), now))


def test_an_own_segment_that_was_lost_comes_back(tmp_path: Path, s3: S3Server) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, _, up, _ = pair(tmp_path, address, now)
    for number in (1, 2):
        write(a, number)
    look(up)
    before = rows_hash(a)
    segments.all_segments(a)[0].path.unlink()
    look(up)
    look(up)
    assert rows_hash(a) == before
    assert len(s3.names(address, "segments/gw-a")) == 2


def _have_all(mirrors: list[Mirror]) -> bool:
    """Let each mirror look once; return whether all of them have what all of them wrote."""
    for one in mirrors:
        look(one, everything=True)  # a laden machine puts up a part
    return len({len(segments.all_segments(one.folder)) for one in mirrors}) == 1 and not any(
        one.waiting for one in mirrors
    )


def _lease(one: Folder, number: int) -> None:
    one.run.joinpath("lease").write_text(f"{lease.now_s() + 3_600} {number}\n")


def test_findings_follow_the_lease_and_a_replaced_holder_changes_nothing(
    tmp_path: Path, s3: S3Server
) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    _lease(a, 100)
    look(up)
    assert up.findings.lease == 100
    (a.detector / "findings.json").write_text("of a")
    (a.detector / "live.rows").mkdir()
    (a.detector / "live.rows" / "1.npz").write_bytes(b"rows")
    (a.detector / "live.npz").write_bytes(b"state 1")
    (a.detector / ".live.npz.12").write_bytes(b"half")
    up.step()
    look(down)
    assert (b.detector / "findings.json").read_text() == "of a"
    assert (b.detector / "live.npz").read_bytes() == b"state 1"
    assert not (b.detector / ".live.npz.12").exists()
    _lease(b, 200)  # the other takes over
    look(down)
    assert down.findings.lease == 200
    (b.detector / "findings.json").write_text("of b")
    (b.detector / "live.rows" / "1.npz").unlink()
    down.step()
    (a.detector / "findings.json").write_text("late, of a")  # it does not know yet
    up.step()
    assert (b.detector / "findings.json").read_text() == "of b"
    look(down)
    assert (b.detector / "findings.json").read_text() == "of b"
    a.run.joinpath("lease").write_text("0 100\n")
    look(up)
    assert (a.detector / "findings.json").read_text() == "of b"
    assert not (a.detector / "live.rows" / "1.npz").exists()
    for text in ("b 2", "b 3", "b 4"):
        (b.detector / "findings.json").write_text(text)
        down.step()
    left = s3.names(address, "detector")
    assert not any("/0000000000000100/" in name for name in left)
    assert sum(name.endswith(".json") and "/files/" not in name for name in left) == 2
    look(up)
    assert (a.detector / "findings.json").read_text() == "b 4"


def test_planted_segments_stop_neither_their_gateway_nor_the_others(tmp_path: Path, s3: S3Server) -> None:
    """Their names sort after all others, claim to contain all others, or sort before the real one."""
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    write(a, 1)
    look(up)
    (real,) = s3.names(address, "segments/gw-a")
    for planted in ("0000000001-9999999999", "0000000002-0000000002", "0000009999-0000009999"):
        s3.files().copy_file(real, real.replace("0000000001-0000000001", planted))
    again = Mirror(a, settings(address, "gw-a"), now)  # it starts all the same
    write(a, 2, rows=5)
    write(a, 3)
    for _ in range(3):
        look(again)
    look(down, everything=True)
    assert rows_hash(b) == rows_hash(a)
    assert again.waiting == 0
    # the older of two with one name need not be read; if written in one second, either may come first
    assert down.says()["strange"] in (2, 3)
    assert len(segments.all_segments(a)) == 3


def test_a_planted_publication_is_passed_over(tmp_path: Path, s3: S3Server) -> None:
    """An account that can write to the bucket gives it the highest number. The previous one is used."""
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    _lease(a, 100)
    (a.detector / "findings.json").write_text("of a")
    look(up)
    listed = next(
        name for name in s3.names(address, "detector") if name.endswith(".json") and "/files/" not in name
    )
    files = s3.files()
    files.copy_file(listed, listed.replace("/0000000000000100/", "/9999999999999999/"))
    look(down)
    assert (b.detector / "findings.json").read_text() == "of a"
    assert down.says()["strange"] == 1
    _lease(b, 200)
    look(down)
    assert down.findings.lease == 200


def test_a_full_disk_takes_nothing_of_the_others_and_puts_up_its_own(
    tmp_path: Path, s3: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, now = s3.bucket(), Now(HOUR)
    a, b, up, down = pair(tmp_path, address, now)
    write(a, 1)
    write(b, 1)
    look(up)
    usage = type(shutil.disk_usage("/"))
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage(10 << 40, 10 << 40, 1 << 20))
    look(down)
    assert (down.put, down.taken) == (1, 0)
    assert "too little room" in str(down.error)
    monkeypatch.undo()
    look(down, everything=True)
    assert (down.taken, down.error) == (1, None)


@pytest.mark.parametrize(
    "address",
    [
        "s3://", "s3://UPPER/x", "s3://bucket/../x", "s3://me:pw@bucket/x", "s3://bucket/x?access_key=K",
        "s3://bucket/x?endpoint=ftp://h", "s3://bucket/x?endpoint=http://u:p@h", "s3://bucket/x?endpoint=http://h/p",
        "s3://bucket/x#y",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(StoreError) as why:
        store_address(address)
    assert "pw" not in str(why.value)


def test_a_log_dealt_over_a_store_gives_the_findings_of_a_folder(tmp_path: Path, s3: S3Server) -> None:
    """The gateway that takes over the detector continues where the other stopped."""
    world, _, _ = with_followers()
    end_us = int(pc.max(world.table["time"]).cast(pa.int64()).as_py())
    (tmp_path / "folder").mkdir()
    over_folder = gateways(tmp_path / "folder", 2)
    address = s3.bucket()
    now = Now(datetime.fromtimestamp(end_us / 1e6, UTC))
    a, b, _, _ = pair(tmp_path, address, now)
    a.secret_file.write_bytes(over_folder[0].secret())
    b.secret_file.write_bytes(over_folder[0].secret())
    mirrors = [Mirror(one, settings(address, one.path.name), now) for one in (a, b)]
    plain = GatewaySettings(upstream="http://127.0.0.1:1")
    for one in (*over_folder, a, b):
        one.terms.write_text("version = 1\n[retention]\nsketch_days = 3650\n", encoding="utf-8")
    deal(over_folder, world.table)
    lease_to(over_folder[0])
    FolderScan(over_folder[0], plain, lambda: end_us).step()
    deal([a, b], world.table)
    _lease(a, 1)
    until(lambda: _have_all(mirrors), SOON_S, "all segments at both")
    scan = FolderScan(a, plain, lambda: end_us)
    scan.step()
    assert scan.read == len(world.table)
    scan.save()
    mirrors[0].step()
    look(mirrors[1])
    assert names_of(b) == names_of(a) == names_of(over_folder[0])
    a.run.joinpath("lease").unlink()
    _lease(b, 2)
    look(mirrors[1], everything=True)
    again = FolderScan(b, plain, lambda: end_us)
    again.step()
    assert again.read == 0  # it continues where the other stopped
    assert load(b.detector).campaigns
    assert [c.id for c in load(b.detector).campaigns] == [c.id for c in load(a.detector).campaigns]


def test_a_mirror_killed_at_any_moment_loses_and_doubles_nothing(tmp_path: Path, s3: S3Server) -> None:
    address = s3.bucket()
    a = member(tmp_path, address, "gw-a")
    b = member(tmp_path, address, "gw-b", a)
    chance = random.Random(7)
    now = datetime.now(UTC)
    number, kills = 0, 0
    while kills < 8:
        running = [_mirror(one) for one in (a, b)]
        for _ in range(4):
            number += 1
            write(a, number, now - timedelta(hours=3), rows=2_000)
            time.sleep(chance.random() * 0.4)
        if kills % 4 == 3:
            segments.merge(a, now)
        time.sleep(chance.random() * 2)
        for one in running:
            os.kill(one.pid, signal.SIGKILL)
            one.wait()
        kills += 1
    running = [_mirror(one) for one in (a, b)]
    try:
        until(
            lambda: (  # the rows are equal before what a merged has come
                rows_hash(b) == rows_hash(a)
                and len(segments.all_segments(b)) == len(segments.all_segments(a))
            ),
            SOON_S,
            "the same rows and segments at both",
        )
    finally:
        for one in running:
            one.terminate()
            one.wait(SOON_S)
    ids = [id for table in segments.read_new(b, set()) for id in table["exchange_id"].to_pylist()]
    assert len(ids) == len(set(ids)) == number * 2_000
    assert not list(b.path.rglob("*.taken"))


def _mirror(one: Folder) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "stillwatch.gateway.child", "store", str(one.path), str(os.getpid())]
    )


def _serve(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-c",
        "from stillwatch.cli.main import run; run()",
        "serve",
        "--folder",
        str(place),
    ]
    command += ["--upstream", "http://127.0.0.1:9", "--state", "postgresql://nobody@127.0.0.1:9/x", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_bucket_that_cannot_be_used_is_said_at_the_start(tmp_path: Path, s3: S3Server) -> None:
    address = s3.bucket()
    cases = {
        f"s3://no-such-bucket/x?endpoint={s3.endpoint}": "there is no such bucket",
        address: "do not give the right",
        "s3://bucket/x?endpoint=http://127.0.0.1:9": "cannot be reached",
        "s3://bucket/x?access_key=K": "credentials come by",
    }
    for given, words in cases.items():
        s3.refuse = {"PUT": ("403 Forbidden", "AccessDenied")} if given == address else {}
        try:
            done = _serve(tmp_path / "gw", "--shared", given)
        finally:
            s3.refuse = {}
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
        assert s3.secret not in done.stdout + done.stderr


def _ids(one: Folder, many: int) -> list[str] | None:
    """Return what a reader finds, once it has that many rows."""
    tables = segments.read_new(one, set())
    found = sorted(id for table in tables for id in table["exchange_id"].to_pylist())
    return found if len(found) == many else None


def _knows(one: FleetServed, kind: str, secret: str) -> bool:
    return any(secret.encode() in Path(f"/proc/{pid}/environ").read_bytes() for pid in one.pids(kind))


def test_a_served_fleet_fails_over_and_outlives_its_store(tmp_path: Path, server: str, s3: S3Server) -> None:
    address = s3.bucket()
    with Upstream() as up, fleet(tmp_path, up.url, url_of(server), "a", "b", shared=address) as served:
        until(lambda: detectors(served), SOON_S, "the detector")
        a, b = sorted(served, key=lambda one: detectors(served) != [one.name])
        key = a.issue("acct_1")
        for one in served:
            assert one.status(key) == 200
        for one in served:
            until(partial(_ids, one.folder, 2), SOON_S, f"both rows at {one.name}")
        until(lambda: (b.folder.detector / "findings.json").exists(), SOON_S, "findings at b")
        assert a.process is not None
        killed_s = time.monotonic()
        a.process.kill()
        a.process.wait(SOON_S)
        until(lambda: b.pids("detector"), SOON_S, "the detector at b")
        print(f"failover: {time.monotonic() - killed_s:.1f} s")
        assert _knows(b, "store", s3.secret)
        for kind in ("worker-", "recorder", "detector"):
            assert not _knows(b, kind, s3.secret)
        s3.stop()
        assert b.status(key) == 200
        until(lambda: "cannot be reached" in b.part("store"), SOON_S, "what b says of the store")
        a.start()  # a member begins without the store
        assert a.status(key) == 200
        until(lambda: "segments wait" in b.part("store"), SOON_S, "what b says of what waits")
        s3.start()
        found = [until(partial(_ids, one.folder, 4), SOON_S, f"all rows at {one.name}") for one in (a, b)]
        assert found[0] == found[1]
        assert len(set(found[0])) == 4
        for one in served:
            written = one.folder.settings.read_text() + one.log()
            assert s3.secret not in written
            assert s3.key not in written
