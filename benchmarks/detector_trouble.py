"""How a detector in trouble affects clients: their latencies while it runs, is slowed, is dead.

    python benchmarks/detector_trouble.py [--rounds 5] [--requests 6000] [--connections 32]

One `stillwatch serve` in front of the benchmark's mock upstream; its detector runs freely, is stopped nine
tenths of the time (ten times as slow), or is killed at each start. They take turns; medians of the rounds.
"""

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import gateway
from arguments import parser_of
from gateway_bench import contestants

SLICE_S = 0.01


def pid_of_detector(folder: Path) -> int | None:
    """Return the detector's process id, from the supervisor's heartbeat."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        children = json.loads((folder / "run" / "supervisor.json").read_bytes())["children"]
        return int(children["detector"]["pid"])
    return None


@contextmanager
def troubled(step: Callable[[int], None], folder: Path) -> Iterator[None]:
    """Repeat an act on the detector, and leave it running afterwards."""
    over = threading.Event()

    def trouble() -> None:
        while not over.is_set():
            pid = pid_of_detector(folder)
            if pid is None:
                time.sleep(SLICE_S)
                continue
            with suppress(ProcessLookupError):
                step(pid)

    thread = threading.Thread(target=trouble)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        with suppress(ProcessLookupError):
            if (pid := pid_of_detector(folder)) is not None:
                os.kill(pid, signal.SIGCONT)


def crawl(pid: int) -> None:
    """Let it run one tenth of the time."""
    os.kill(pid, signal.SIGSTOP)
    time.sleep(9 * SLICE_S)
    os.kill(pid, signal.SIGCONT)
    time.sleep(SLICE_S)


def kill(pid: int) -> None:
    """Kill it whenever it is seen."""
    os.kill(pid, signal.SIGKILL)
    time.sleep(SLICE_S)


def alone(pid: int) -> None:
    time.sleep(10 * SLICE_S)


STATES = {"as it runs": alone, "ten times as slow": crawl, "dead": kill}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=6_000)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    seen: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
    mock = subprocess.Popen(
        [sys.executable, "-m", "gateway_bench.mock"], cwd=gateway.HERE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert mock.stdout is not None
        port = int(mock.stdout.readline())
        with (
            tempfile.TemporaryDirectory() as name,
            contestants.ours(port, Path(name) / "s", None, 1) as served,
        ):
            folder = Path(name) / "s"
            gateway.load(served, "small", given.connections, 500, None)
            for _ in range(given.rounds):
                for state, step in STATES.items():
                    with troubled(step, folder):
                        found = gateway.load(served, "small", given.connections, given.requests, None)
                    whole = found["whole_us"]
                    seen[state].append((whole["p50"], whole["p99"], found["wrong"]))
    finally:
        mock.terminate()
    print(
        f"{given.rounds} rounds of {given.requests:,} requests of 1 kB on {given.connections} connections\n"
    )
    print("| detector | p50 ms | p99 ms | wrong answers |")
    print("|---|---|---|---|")
    for state, runs in seen.items():
        cells = []
        for at in (0, 1):
            values = sorted(run[at] / 1000 for run in runs)
            cells.append(f"{statistics.median(values):.1f} ({values[0]:.1f} to {values[-1]:.1f})")
        print(f"| {state} | {cells[0]} | {cells[1]} | {sum(run[2] for run in runs)} |")


if __name__ == "__main__":
    main()
