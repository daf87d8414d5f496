"""Honest agents that read the same public files: does a scan that sees tool results name them?

In a world without campaigns, the exchanges of people's agents are written as two: the person's request, and a
tool's result. The result is a passage of a public file (here: the sources of the Python that runs this). Many
unrelated agents read one file, most often one that is new these days. The strictest form, `--instead`, leaves
only the tool's result in such an exchange, as in agents' later turns.

    python benchmarks/public_files.py WORLD [--share 0.6] [--files 40] [--instead]
"""

import argparse
import random
import sysconfig
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.range.placing import PlaceCapture
from stillwatch.scan.pipeline import run

AGENTS = (
    "agent_client",
    "ci_bot",
    "tool_app",
    "commit_hook",
    "shell_helper",
    "fim_completion",
    "incident_bot",
)
LINES = 120  # of a file, as in a tool's result
DAYS = 14


def passages(count: int, rng: random.Random) -> list[list[str]]:
    """Return, for so many files, the passages that tools return."""
    found = []
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    for file in rng.sample(files, count):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        found.append(["\n".join(lines[k : k + LINES]) for k in range(0, max(len(lines), 1), LINES)])
    return found


def put(world: Path, given: argparse.Namespace) -> tuple[pa.Table, set[str]]:
    """Return the world's exchanges with tool results in them, and the accounts that have any."""
    rng, draw = random.Random(given.seed), np.random.default_rng(given.seed)
    files = passages(given.files, rng)
    begins = [rng.uniform(-DAYS / 2, DAYS) for _ in files]  # the first day on which a file is read
    truth = pq.read_table(world / "truth.parquet")
    agents = set(truth.filter(pc.is_in(truth["kind"], pa.array(AGENTS)))["account"].to_pylist())
    log = pq.read_table(world / "exchanges.parquet").sort_by("time")
    rows = log.select(["account", "time", "system", "prompt", "output_tokens"]).to_pylist()
    first, captured, used = rows[0]["time"], PlaceCapture(), set()
    for row in rows:
        if row["account"] not in agents or rng.random() >= given.share:
            continue
        day = (row["time"] - first).total_seconds() / 86_400
        open_now = [n for n, begin in enumerate(begins) if begin <= day]
        newest_first = sorted(open_now, key=lambda n: -begins[n])
        file = files[newest_first[min(int(draw.geometric(0.15)) - 1, len(newest_first) - 1)]]
        text = file[min(int(draw.geometric(0.5)) - 1, len(file) - 1)]
        if given.instead:
            row["prompt"], used = text, used | {row["account"]}
            captured.put(row, "message")
        else:
            row["prompt"] = f"{row['prompt'] or ''}\n{text}"
            used.add(row["account"])
    at = log.schema.get_field_index("prompt")
    prompts = pa.array([row["prompt"] for row in rows], pa.string())
    return log.set_column(at, log.schema.field(at), prompts), used


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("world", type=Path)
    parser.add_argument("--share", type=float, default=0.6, help="of an agent's exchanges")
    parser.add_argument("--files", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--instead", action="store_true", help="the tool's result alone")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log, readers = put(given.world, given)
        pq.write_table(log, f"{folder}/log.parquet")
        result = run([f"{folder}/log.parquet"], accounts=given.world / "accounts.parquet")
    named = {account for c in result.campaigns for account in c.accounts}
    leads = {account for lead in result.leads for account in lead.accounts}
    print(f"{given.world.name}: {len(readers)} agents read {given.files} public files; accounts named: "
          f"{len(named)}, of them {len(named & readers)} readers; {len(result.leads)} leads of {len(leads)} "
          f"accounts, {len(leads & readers)} readers")  # fmt: skip


if __name__ == "__main__":
    main()
