"""Counters in a mapped file of int64s: one process writes, any may read. No locks, no system calls.

Only its owner writes a counter; a reader may see it a moment late, never torn (8 aligned bytes).
"""

import mmap
import os
import struct
from pathlib import Path

NAMES = (
    "requests", "answered", "refused_key", "refused_terms", "refused_body", "refused_capture", "streams",
    "chunks", "bytes_in", "bytes_out", "output_tokens", "input_tokens", "client_left", "upstream_errors",
    "upstream_connects", "upstream_reused", "cut_budget", "cut_model", "captured", "uncaptured", "gaps",
    "commits", "commit_us", "wal_bytes", "open_clients", "open_upstreams", "in_flight", "reloads_terms",
    "reloads_tables", "stripped", "marked", "model_mismatch", "gap_since_us", "gap_exchanges",
    "coins", "coin_pairs", "coin_unpaired", "coin_lost", "coin_tokens", "shed_clients", "refused_address",
)  # fmt: skip
GAUGES = frozenset({"open_clients", "open_upstreams", "in_flight"})
PLACE = {name: k for k, name in enumerate(NAMES)}
PAGE = 4096
SIZE = 8 * len(NAMES)


class Counters:
    """One process's counters. `values` is a memoryview of int64: `values[PLACE["requests"]] += 1`."""

    def __init__(self, path: Path) -> None:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            os.posix_fallocate(file, 0, PAGE)  # allocate now, so that a full disk cannot fault a write later
            self._map = mmap.mmap(file, PAGE)
        finally:
            os.close(file)
        self.values = memoryview(self._map).cast("q")
        for name in GAUGES:  # whatever was open when the last process died is closed
            self.values[PLACE[name]] = 0


def read_all(run: Path) -> dict[str, int]:
    """Return the sums over all processes' files in a run folder; `gap_since_us` is the latest."""
    total = dict.fromkeys(NAMES, 0)
    for path in sorted(run.glob("*.counters")):
        raw = path.read_bytes()[:SIZE]
        if len(raw) == SIZE:
            for name, value in zip(NAMES, struct.unpack(f"<{len(NAMES)}q", raw), strict=True):
                total[name] = max(total[name], value) if name == "gap_since_us" else total[name] + value
    return total
