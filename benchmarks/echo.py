"""Who is linked by answers that reappear: honest crowds and pools of tests/echo_world.py, by group.

    python benchmarks/echo.py [--runs 30] [--page docs/figures/evidence.md] [--cost]

The texts are invented; the rules were fixed before the first run. Give and take: an account quotes another's
answer, and its own is quoted. With `--cost`: the cost on 100,000 exchanges, in CPU time.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from echo_world import Exchanges, classroom, honest, pool  # noqa: E402 - the tests' own world
from pages import put  # noqa: E402
from scan_world import SKETCHER  # noqa: E402
from stillwatch.actors.clues.echo import echo_evidence  # noqa: E402
from stillwatch.actors.echo import echoes  # noqa: E402
from stillwatch.exchanges.log import build  # noqa: E402

LEVELS = (0.001, 0.01)
POOLS = {
    "pool of 20, 30 % of answers cleaned": {},
    "pool of 20, 5 % cleaned": {"cleaned": 0.05},
    "pool of 10, 30 % cleaned": {"many": 10},
    "pool of 5, 30 % cleaned": {"many": 5},
    "pool of 20, half of each answer": {"how": "truncated"},
    "pool of 20, every fifth word another": {"how": "reworded"},
}
CLASSES = {"class, 10 % of answers passed on": 0.1, "class, 2 % passed on": 0.02, "class, none": 0.0}


def groups(seed: int) -> dict[str, tuple[float, int, int]]:
    """Return each group's p-value, its pairs, and how many of its accounts give and take."""
    found = {}
    world, named = honest(seed)
    log = world.log()
    tenant = world.tenant(log)
    at = echoes(log, tenant)
    for name in ("strangers", "vendor", "companies"):
        found[name] = _of(echo_evidence(log, named[name], tenant, at))
    for name, share in CLASSES.items():
        world = Exchanges(seed)
        world.people("person", 60)
        members = classroom(world, passed_on=share)
        found[name] = _of(echo_evidence(world.log(), members))
    for name, settings in POOLS.items():
        world = Exchanges(seed)
        world.people("person", 60)
        members = pool(world, **settings)
        found[name] = _of(echo_evidence(world.log(), members))
    return found


def _of(evidence) -> tuple[float, int, int]:
    return (1.0, 0, 0) if evidence is None else (evidence.p_value, evidence.pairs, len(evidence.tied))


def table(runs: int) -> list[str]:
    """Return the table's lines."""
    seen: dict[str, list[tuple[float, int, int]]] = {}
    for seed in range(100, 100 + runs):
        for name, one in groups(seed).items():
            seen.setdefault(name, []).append(one)
    head = "| group | p ≤ .001 | p ≤ .01 | pairs, median | give and take, median |"
    lines = [head, "|---|---|---|---|---|"]
    for name, many in seen.items():
        p_value, pairs, tied = (np.array(of) for of in zip(*many, strict=True))
        levels = " | ".join(f"{int((p_value <= level).sum())} of {runs}" for level in LEVELS)
        lines.append(f"| {name} | {levels} | {np.median(pairs):.0f} | {np.median(tied):.0f} |")
    return lines


def _renamed(table: pa.Table, copy: int) -> pa.Table:
    """Return the same exchanges with other words, ids and accounts: copies share nothing."""
    for name in ("prompt", "completion", "earlier"):
        words = pc.replace_substring_regex(table[name], r"\b([a-z])", rf"x{copy}\1")
        table = table.set_column(table.schema.get_field_index(name), name, words)
    for name in ("exchange_id", "account"):
        named = pc.binary_join_element_wise(table[name], str(copy), "-")
        table = table.set_column(table.schema.get_field_index(name), name, named)
    return table


def cost(exchanges: int = 100_000) -> list[str]:
    """Measure the cost of passages and echoes, as lines."""
    world = Exchanges(1)
    world.people("person", 400, 25)
    pool(world, 40, 25)
    one = world.table()
    copies = -(-exchanges // len(one))
    log = pa.concat_tables([_renamed(one, copy) for copy in range(copies)]).slice(0, exchanges)
    bare = log
    for name in ("completion", "earlier"):
        nothing = pa.nulls(len(log), pa.string())
        bare = bare.set_column(bare.schema.get_field_index(name), name, nothing)
    spent = {}
    for _ in range(2):  # the first compiles
        for name, table in (("without", bare), ("with", log)):
            begun = time.process_time()
            built = build(table.to_batches(65_536), SKETCHER, threads=1)
            spent[name] = time.process_time() - begun
        begun = time.process_time()
        found = echoes(built, np.arange(len(built.accounts), dtype=np.int32))
        spent["echoes"] = time.process_time() - begun
    bytes_each = (built.answered.nbytes + built.brought.nbytes) / exchanges
    text = sum(pc.sum(pc.binary_length(log[name])).as_py() for name in ("prompt", "completion", "earlier"))
    each = {name: seconds / exchanges * 1e6 for name, seconds in spent.items()}
    kilobytes = text / exchanges / 1e3
    return [
        f"{exchanges:,} exchanges of {kilobytes:.1f} KB: sketches {each['without']:.1f} us each, "
        f"passages {each['with'] - each['without']:.1f} us more, echoes {each['echoes']:.1f} us; "
        f"{bytes_each:.0f} bytes each, {len(found):,} echoes"
    ]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--runs", type=int, default=30)
    given.add_argument("--page", type=Path, help="a page with the table between two marks")
    given.add_argument("--cost", action="store_true", help="what it costs, instead of whom it ties")
    told = given.parse_args()
    made = cost() if told.cost else table(told.runs)
    if told.page is None:
        print("\n".join(made))
    else:
        put(told.page, "<!-- echo -->", "<!-- /echo -->", made)


if __name__ == "__main__":
    main()
