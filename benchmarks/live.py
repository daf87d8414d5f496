"""The cost of a live scan: `python benchmarks/live.py`, or with `--sizes 0.1,1`.

Each size is a log of speed_log.py, sketched, and replayed in a process of its own: all but the last hours are
added and scanned at once, as after a long stop, then hour by hour, the last hour in pieces of five seconds
with a provisional scan after each. In that hour new accounts take up the stock of a known campaign: the
seconds from a follower's first exchange to its name are event time, those of a tick are wall time. `--scene`
replays a whole scene hour by hour instead, and compares it with one scan.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import speed_log
from stillwatch.exchanges.read import Rejects, read, read_accounts
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.report.findings import evidence_json
from stillwatch.scan.live import HOUR_US, Keep, LiveScan
from stillwatch.scan.pipeline import Options, run

SECRET = b"benchmarks/live.py: not a secret"
OPTIONS = Options(key=SECRET)
PIECE_US = 5_000_000
HOURS = 4  # scanned one by one, before the one that is scanned in pieces
FOLLOWERS, EACH, APART_US = 20, 6, 20_000_000  # accounts, exchanges, between one's exchanges


def sketched(log: Path) -> pa.Table:
    """Return the sketches, in order of time."""
    sketcher = Sketcher(SECRET)
    batches = read([log], rejects=Rejects())
    return pa.Table.from_batches([sketch_batch(b, sketcher) for b in batches]).sort_by("time")


def between(table: pa.Table, ts: np.ndarray, since: int, until: int) -> pa.Table:
    lo, hi = np.searchsorted(ts, [since, until])
    return table.slice(lo, hi - lo)


def with_followers(piece: pa.Table, past: pa.Table, named: set[str], since: int) -> pa.Table:
    """Return an hour with additional new accounts that send what a campaign's accounts sent before."""
    theirs = past.filter(pc.is_in(past["account"], pa.array(sorted(named))))
    rng = np.random.default_rng(1)
    rows = theirs.take(pa.array(rng.choice(len(theirs), FOLLOWERS * EACH)))
    who = np.repeat(np.arange(FOLLOWERS), EACH)
    begin = since + rng.integers(0, HOUR_US // 2, FOLLOWERS)
    at = begin[who] + np.tile(np.arange(EACH), FOLLOWERS) * APART_US
    for name, values in (
        ("account", pa.array([f"follower-{k}" for k in who])),
        ("exchange_id", pa.array([f"follower-{k}" for k in range(len(rows))])),
        ("time", pa.array(at, pa.int64()).cast(rows.schema.field("time").type)),
    ):
        index = rows.schema.get_field_index(name)
        rows = rows.set_column(index, rows.schema.field(index), values)
    return pa.concat_tables([piece, rows]).sort_by("time")


def _sent(past: pa.Table, accounts: tuple[str, ...]) -> int:
    return int(pc.sum(pc.is_in(past["account"], pa.array(accounts))).as_py() or 0)


def measure(log: Path, accounts: Path, folder: Path) -> dict:
    """Measure one size, in this process."""
    table = sketched(log)
    ts = table["time"].cast(pa.int64()).to_numpy()
    known = read_accounts(accounts, rejects=Rejects())
    last = int(ts[-1]) // HOUR_US * HOUR_US  # the last hour begins here
    live = LiveScan(OPTIONS, keep=Keep(exchanges=len(table) + 10_000), accounts=known)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6

    def timed(act, *args):
        begun, cpu = time.perf_counter(), time.process_time()
        given = act(*args)
        return given, time.perf_counter() - begun, time.process_time() - cpu

    _, adding, _ = timed(live.add, between(table, ts, 0, last - HOURS * HOUR_US))
    added = live.exchanges
    _, first, _ = timed(live.tick, last - HOURS * HOUR_US, last - HOURS * HOUR_US)
    full = []
    for h in range(HOURS - 1, -1, -1):
        until = last - h * HOUR_US
        live.add(between(table, ts, until - HOUR_US, until))
        result, wall, cpu = timed(live.tick, until, until)
        full.append((wall, cpu))
    past = between(table, ts, last - 96 * HOUR_US, last)
    campaign = max(result.campaigns, key=lambda c: _sent(past, c.accounts) if len(c.accounts) > 4 else 0)
    hour = with_followers(between(table, ts, last, last + HOUR_US), past, set(campaign.accounts), last)
    at = hour["time"].cast(pa.int64()).to_numpy()
    between_looks, lag = [], {}
    for until in range(last + PIECE_US, last + HOUR_US + 1, PIECE_US):
        begun = time.perf_counter()
        live.add(between(hour, at, until - PIECE_US, until))
        result = live.tick(until, last)
        between_looks.append(time.perf_counter() - begun)
        for f in result.followers:
            lag.setdefault(f.account, until / 1e6 - f.first.timestamp())
    _, saving, _ = timed(live.save, folder / "live.npz")
    _, loading, _ = timed(LiveScan.load, folder / "live.npz", OPTIONS)
    mine = [name for name in lag if name.startswith("follower-")]
    return {
        "exchanges": len(table),
        "added_a_second": added / adding,
        "catching_up_s": first,
        "full_look_ms": 1000 * float(np.mean([wall for wall, _ in full])),
        "full_look_cpu_ms": 1000 * float(np.mean([cpu for _, cpu in full])),
        "between_looks_ms": 1000 * float(np.median(between_looks)),
        "between_looks_ms_worst": 1000 * max(between_looks),
        "followers_named": len(mine),
        "others_named": len(lag) - len(mine),
        "follower_s": float(np.median([lag[name] for name in mine])) if mine else None,
        "follower_s_worst": max((lag[name] for name in mine), default=None),
        "save_s": saving,
        "load_s": loading,
        "state_mb": (folder / "live.npz").stat().st_size / 1e6,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "of_it_before_gb": memory,
    }


def replay(scene: Path, every: int) -> dict:
    """Replay a scene hour by hour; also return whether it gives the evidence of one scan."""
    table = sketched(scene / "exchanges.parquet")
    ts = table["time"].cast(pa.int64()).to_numpy()
    live = LiveScan(OPTIONS, accounts=read_accounts(scene / "accounts.parquet", rejects=Rejects()))
    first, end = int(ts[0]) // HOUR_US + 1, int(ts[-1]) // HOUR_US + 1
    begun, since = time.perf_counter(), 0
    for hour in [*range(first, end, every), end]:
        live.add(between(table, ts, since, hour * HOUR_US))
        since = hour * HOUR_US
        result = live.tick(since, since)
    seconds = time.perf_counter() - begun
    whole = run([scene / "exchanges.parquet"], accounts=scene / "accounts.parquet", options=OPTIONS)
    a, b = evidence_json(result), evidence_json(whole)
    a.pop("findings_digest"), b.pop("findings_digest")  # includes the seconds of a scan
    return {
        "scene": scene.name,
        "exchanges": len(table),
        "looks": (end - first) // every + 1,
        "seconds": seconds,
        "exchanges_a_second": len(table) / seconds,
        "same_evidence_as_one_scan": a == b,
    }


def apart(*args: str) -> dict:
    """Run in a process of its own, so that sizes do not share memory."""
    done = subprocess.run([sys.executable, __file__, *args], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", default="0.1,1", help="millions of exchanges, comma between")
    parser.add_argument("--scene", action="append", default=[], help="replay this scene hour by hour")
    parser.add_argument("--every", type=int, default=1, help="hours between two looks of a replay")
    parser.add_argument(
        "--shared", type=Path, default=Path(__file__).parent.parent.parent / "shared" / "range"
    )
    parser.add_argument("--measure", nargs=2, metavar=("LOG", "ACCOUNTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stillwatch-live-") as temporary:
        if options.measure:
            print(json.dumps(measure(Path(options.measure[0]), Path(options.measure[1]), Path(temporary))))
            return
        if options.scene:
            print(
                json.dumps([replay(options.shared / name, options.every) for name in options.scene], indent=1)
            )
            return
        scene = options.shared / "dev-a"
        scene = scene if scene.exists() else Path(__file__).parent.parent / "sample"
        rows = pq.ParquetFile(scene / "exchanges.parquet").metadata.num_rows
        found = []
        for millions in (float(size) for size in options.sizes.split(",") if size):
            log, accounts = speed_log.make(scene, Path(temporary), max(1, round(millions * 1e6 / rows)))
            found.append(apart("--measure", str(log), str(accounts)))
            log.unlink()
        print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "sizes": found}, indent=1))


if __name__ == "__main__":
    main()
