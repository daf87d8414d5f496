"""Ten minutes and more of mixed traffic through `stillwatch serve`: `python benchmarks/soak.py --minutes 10`.

Every API, streams, hang-ups, every fault of the tests' upstream. Memory and open files of every process are
sampled and a line is fitted; at the end every request that the upstream saw must be one captured row, with
its tokens. Exit code 1 if a row is missing, doubled or wrong.

Memory is compared over tenths of the run (neighbouring samples are not independent), without its first fifth,
in which caches and compiled kernels fill.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow.parquet as pq
from scipy import stats

from arguments import parser_of
from gateway_bench import contestants as who
from gateway_bench.contestants import Contestant
from gateway_bench.cost import part_of
from gateway_bench.traffic import Traffic
from stillwatch.gateway import heartbeat

TESTS = Path(__file__).parent.parent / "tests"
COLUMNS = ["exchange_id", "user_agent", "outcome", "status", "output_tokens", "stream", "operation"]
BLOCKS = 8  # the line is fitted to the means of so many parts of the run


@dataclass
class Samples:
    """Measurements of each process, by part, with the seconds since the start."""

    at_s: list[float] = field(default_factory=list)
    rss: dict[str, list[int]] = field(default_factory=dict)
    files: dict[str, list[int]] = field(default_factory=dict)
    lag_s: list[float] = field(default_factory=list)
    kept: list[int] = field(default_factory=list)  # exchanges held by the detector

    def take(self, contestant: Contestant, begun: float) -> None:
        rss: dict[str, int] = {}
        files: dict[str, int] = {}
        root = psutil.Process(contestant.pid)
        for process in [root, *root.children(recursive=True)]:
            try:
                part = part_of(process, contestant.parts)
                rss[part] = rss.get(part, 0) + process.memory_info().rss
                files[part] = files.get(part, 0) + process.num_fds()
            except psutil.NoSuchProcess:
                continue
        self.at_s.append(time.monotonic() - begun)
        for into, found in ((self.rss, rss), (self.files, files)):
            for part, value in found.items():
                into.setdefault(part, []).append(value)
        assert contestant.folder is not None
        says = [heartbeat.read(path) for path in (contestant.folder / "run").glob("*.json")]
        self.lag_s.append(max((float(one.get("lag_s") or 0.0) for one in says), default=0.0))
        self.kept.append(max((int(one.get("exchanges") or 0) for one in says), default=0))


def slope(at_s: list[float], values: list[int]) -> tuple[float, float, float]:
    """Return MB per hour with its 95 % interval, by the means of BLOCKS parts after the run's first fifth."""
    keep = len(at_s) // 5
    blocks = min(BLOCKS, len(at_s) - keep)
    if blocks < 3:
        return float("nan"), float("nan"), float("nan")
    hours = [part.mean() / 3600 for part in np.array_split(np.array(at_s[keep:]), blocks)]
    means = [part.mean() / 1e6 for part in np.array_split(np.array(values[keep:], float), blocks)]
    line = stats.linregress(hours, means)
    reach = float(stats.t.ppf(0.975, blocks - 2)) * line.stderr
    return line.slope, line.slope - reach, line.slope + reach


class Upstream:
    """The tests' upstream in its own process, and the requests it saw."""

    def __init__(self) -> None:
        command = [sys.executable, "upstream.py", "--port", "0", "--light"]
        self.process = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        self.seen: dict[int, dict[str, Any]] = {}

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def look(self) -> None:
        """Fetch the requests it has seen so far."""
        with urllib.request.urlopen(f"{self.url}/__seen", timeout=120) as reply:
            for one in json.load(reply)["seen"]:
                headers = {name.lower(): value for name, value in one.pop("headers")}
                self.seen[one["number"]] = {**one, "agent": headers.get("user-agent", "")}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for path in sorted((folder / "segments").rglob("*.parquet")):
        rows += pq.read_table(path, columns=COLUMNS).to_pylist()
    return rows


@dataclass
class Tally:
    """Rows compared with the requests that the upstream saw."""

    sent: int = 0
    forwarded: int = 0
    rows: int = 0
    missing: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)  # rows that claim an upstream request that did not happen
    told_exactly: int = 0
    told_wrong: list[str] = field(default_factory=list)
    estimated: int = 0
    estimated_off: float = 0.0  # relative error of the sum of all estimated tokens

    @property
    def right(self) -> bool:
        return not (self.missing or self.doubled or self.unseen or self.told_wrong)


def tally(traffic: Traffic, seen: dict[int, dict[str, Any]], rows: list[dict[str, Any]]) -> Tally:
    """Compare request by request, by user agent."""
    found = Tally(sent=len(traffic.sent), rows=len(rows))
    by_agent: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_agent.setdefault(str(row["user_agent"]), []).append(row)
    upstream: dict[str, list[dict[str, Any]]] = {}
    for one in seen.values():
        upstream.setdefault(one["agent"], []).append(one)
    found.forwarded = len(upstream)
    counted = true = 0
    for agent, asked in upstream.items():
        mine = by_agent.get(agent, [])
        if not mine:
            found.missing.append(agent)
            continue
        if len(mine) > 1:
            found.doubled.append(agent)
        one, row = traffic.sent[int(agent.partition("/")[2])], mine[0]
        tokens = asked[-1]["output_tokens"]
        if row["outcome"] != "complete" or row["status"] != 200 or one.path == "/v1/embeddings":
            continue
        if one.fault in ("error-event", "bad-json", "gzip"):
            continue  # these have no readable usage
        silent = "completions" in one.path and not one.usage
        if one.stream and (silent or one.fault == "multi-line"):  # no usage, or none on one line
            found.estimated += 1
            counted += row["output_tokens"] or 0
            true += tokens
        elif row["output_tokens"] == tokens:
            found.told_exactly += 1
        else:
            found.told_wrong.append(f"{agent} {one.path} {one.fault}: {row['output_tokens']} of {tokens}")
    found.estimated_off = counted / true - 1 if true else 0.0
    for agent, mine in by_agent.items():
        if agent not in upstream and any(row["outcome"] in ("complete", "client_left") for row in mine):
            found.unseen.append(agent)
    return found


async def drive(traffic: Traffic, contestant: Contestant, given: argparse.Namespace) -> Samples:
    """Run traffic for so long, measured every few seconds."""
    samples, begun = Samples(), time.monotonic()
    until = begun + given.minutes * 60
    running = asyncio.ensure_future(traffic.run(given.connections, until))
    told = begun
    while not running.done():
        await asyncio.wait([running], timeout=given.every)
        samples.take(contestant, begun)
        if time.monotonic() - told > 60:
            told = time.monotonic()
            minutes = (told - begun) / 60
            print(
                f"{minutes:.0f} min: {len(traffic.sent):,} sent, lag {samples.lag_s[-1]:.1f} s",
                file=sys.stderr,
            )
    await running
    return samples


def wait_for_rows(folder: Path, limit_s: float = 60.0) -> list[dict[str, Any]]:
    """Return the rows once their number is stable for three seconds."""
    before, still, until = -1, 0, time.monotonic() + limit_s
    while still < 3 and time.monotonic() < until:
        time.sleep(1)
        now = len(rows_of(folder))
        still = still + 1 if now == before else 0
        before = now
    return rows_of(folder)


def report(found: Tally, samples: Samples, traffic: Traffic, given: argparse.Namespace) -> str:
    lines = [
        f"{given.minutes:g} minutes, {found.sent:,} requests over {given.connections} connections; "
        f"{found.forwarded:,} reached the upstream; {found.rows:,} rows captured.",
        f"- missing {len(found.missing)}, there twice {len(found.doubled)}, never asked {len(found.unseen)}",
        f"- tokens as the upstream told them: {found.told_exactly:,} exact, {len(found.told_wrong)} wrong; "
        f"{found.estimated:,} streams without usage counted: off by {found.estimated_off:+.2%}",
        f"- lag at most {max(samples.lag_s, default=0):.1f} s",
        "- statuses " + ", ".join(f"{code or 'none'}: {n:,}" for code, n in sorted(traffic.statuses.items())),
        "",
        "| process | RSS MB: start, end, most | MB an hour (95 %) | open files: start, end, most |",
        "|---|---|---|---|",
    ]
    for part, rss in samples.rss.items():
        mid, low, high = slope(samples.at_s[-len(rss) :], rss)
        mb = [f"{value / 1e6:,.0f}" for value in (rss[0], rss[-1], max(rss))]
        files = samples.files[part]
        counts = [f"{value}" for value in (files[0], files[-1], max(files))]
        lines.append(
            f"| {part} | {', '.join(mb)} | {mid:+,.1f} ({low:+,.1f} to {high:+,.1f}) | {', '.join(counts)} |"
        )
    if "detector" in samples.rss:  # it grows to a bound with what it holds: benchmarks/soak_detector.py
        first = len(samples.kept) // 5
        more = samples.kept[-1] - samples.kept[first]
        each = (samples.rss["detector"][-1] - samples.rss["detector"][first]) / max(more, 1)
        lines.append(f"\nThe detector kept {more:,} exchanges more: {each:,.0f} bytes each.")
    return "\n".join(lines) + "\n"


def options() -> argparse.Namespace:
    parser = parser_of(__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--per-second", type=float, default=60, help="requests")
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--every", type=float, default=5, help="seconds between samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("gateway-bench"), help="folder of the results")
    return parser.parse_args()


def main() -> None:
    given = options()
    upstream = Upstream()
    try:
        with tempfile.TemporaryDirectory(prefix="stillwatch-soak-", dir="/var/tmp") as made:
            folder = Path(made) / "serve"
            with who.ours(upstream.port, folder, None, given.workers) as contestant:
                traffic = Traffic(contestant.port, contestant.key, given.per_second, given.seed)
                samples = asyncio.run(drive(traffic, contestant, given))
                rows = wait_for_rows(folder)
            upstream.look()
            rows = rows_of(folder)
            gaps = (folder / "gaps.jsonl").read_text() if (folder / "gaps.jsonl").exists() else ""
    finally:
        upstream.process.terminate()
        upstream.process.wait(10)
    found = tally(traffic, upstream.seen, rows)
    page = report(found, samples, traffic, given)
    for name, examples in (
        ("missing", found.missing),
        ("doubled", found.doubled),
        ("wrong", found.told_wrong),
    ):
        for example in examples[:10]:
            print(f"{name}: {example}", file=sys.stderr)
    print(gaps, file=sys.stderr)
    given.out.mkdir(parents=True, exist_ok=True)
    result = {
        "tally": vars(found),
        "samples": vars(samples),
        "minutes": given.minutes,
        "load": os.getloadavg(),
    }
    (given.out / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    (given.out / "soak.md").write_text(page)
    print(page)
    sys.exit(0 if found.right else 1)


if __name__ == "__main__":
    main()
