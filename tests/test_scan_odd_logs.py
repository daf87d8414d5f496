"""Random, inconsistent logs: whatever columns contain, a scan ends with a result, and so does a live one.

Each log is a part of the sample with a few changes, drawn by its seed.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import stillwatch as sw

SAMPLE = Path(__file__).parent.parent / "sample"
AGENTS = np.array(["acme-desk/3", "tool-x/1", "openai-python/1.2", "", "curl/8", "zeta/9"], object)
NEEDED = {"exchange_id", "time", "account"}  # a row without one of these is rejected

Change = Callable[[pa.Table, np.random.Generator], pa.Table]


def put(log: pa.Table, name: str, values: pa.Array | pa.ChunkedArray) -> pa.Table:
    field = log.schema.field(name)
    return log.set_column(log.schema.get_field_index(name), field, values.cast(field.type))


def a_column(log: pa.Table, rng: np.random.Generator) -> str:
    return str(rng.choice([name for name in log.column_names if name not in NEEDED]))


def some(log: pa.Table, rng: np.random.Generator) -> pa.Array:
    return pa.array(rng.random(len(log)) < rng.choice([0.1, 0.5, 1.0]))


def empty(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    name = a_column(log, rng)
    nothing = pa.scalar(None, log.schema.field(name).type)
    return put(log, name, pc.if_else(some(log, rng), nothing, log[name]))


def make_equal(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    name = a_column(log, rng)
    return put(log, name, pc.if_else(some(log, rng), log[name][int(rng.integers(len(log)))], log[name]))


def shuffle(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    name = str(rng.choice([*sorted(set(log.column_names) - NEEDED), "account"]))
    return put(log, name, log[name].take(pa.array(rng.permutation(len(log)))))


def change_programs(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    """From the middle on, let accounts name other programs than before."""
    late = np.arange(len(log)) > len(log) // 2
    names = np.where(late, AGENTS[rng.integers(0, 6, len(log))], AGENTS[rng.integers(0, 2, len(log))])
    return put(log, "user_agent", pc.if_else(some(log, rng), pa.array(names, pa.string()), log["user_agent"]))


def rename_accounts(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Put several people behind one account, or one person behind many."""
    account = log["account"].to_numpy(zero_copy_only=False).astype(object)
    if rng.random() < 0.5:
        suffix = rng.integers(0, 8, len(log)).astype(str).astype(object)
        return put(log, "account", pa.array(account + suffix, pa.string()))
    names, place = np.unique(account, return_inverse=True)
    other = names[rng.integers(0, max(1, len(names) // 9), len(names))]
    return put(log, "account", pa.array(other[place], pa.string()))


def change_times(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    """Move all times to midnight, or stretch the fortnight to minutes, half a day or six weeks."""
    time_us = log["time"].cast(pa.int64()).to_numpy()
    factor = rng.choice([0, 0.001, 0.04, 3])
    moved = time_us.min() + ((time_us - time_us.min()) * factor).astype(np.int64)
    if factor == 0:
        moved = time_us // 86_400_000_000 * 86_400_000_000
    return put(log, "time", pa.array(moved))


def ask_alike(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    text = "Think step by step, explain each step of your reasoning, and put the final answer in a box."
    return put(log, "prompt", pc.if_else(some(log, rng), pa.scalar(text), log["prompt"]))


def put_extremes(log: pa.Table, rng: np.random.Generator) -> pa.Table:
    whole = [field.name for field in log.schema if pa.types.is_integer(field.type)]
    name = str(rng.choice(whole))
    bits = log.schema.field(name).type.bit_width
    value = int(rng.choice([0, -1, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))]))
    return put(
        log, name, pc.if_else(some(log, rng), pa.scalar(value, pa.int64()), log[name].cast(pa.int64()))
    )


CHANGES: list[Change] = [
    empty, make_equal, shuffle, change_programs, rename_accounts, change_times, ask_alike, put_extremes,
]  # fmt: skip


def odd_log(rng: np.random.Generator) -> pa.Table:
    log = pq.read_table(SAMPLE / "exchanges.parquet").sort_by("time")
    log = log.slice(int(rng.integers(0, len(log) - 9_000)), 9_000)
    for change in rng.permutation(np.array(CHANGES, object))[: rng.integers(2, 5)]:
        log = change(log, rng)
    return log.sort_by("time")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_a_scan_of_an_odd_log_ends_with_a_result(seed: int) -> None:
    rng = np.random.default_rng(seed)
    log, accounts = odd_log(rng), pq.read_table(SAMPLE / "accounts.parquet")
    given = [None, accounts, accounts.filter(pa.array(rng.random(len(accounts)) < 0.5))][seed % 3]
    result = sw.scan(log, accounts=given)
    assert result.totals.exchanges + result.totals.rejected == len(log)
    live = sw.LiveScan(given)
    for begin, end in pairwise(np.linspace(0, len(log), 5).astype(int).tolist()):
        live.add(log.slice(begin, end - begin))
        live.look()
