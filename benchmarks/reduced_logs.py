#!/usr/bin/env python3
"""A scan's findings on logs that lack the model, the settings, the accounts table, or all of them.

    python benchmarks/reduced_logs.py [WORLD ...] [--fourth FOLDER] [--page docs/figures/evidence.md]
    python benchmarks/reduced_logs.py dev-c --lacking "nothing;model"   # two rows of one world

Each world of `other_worlds.py` is rewritten without columns and scanned by a process of its own, at the
default dial. The same scorer judges. The headline is the start of the scan's first sentence; exit code 4
means that the scan could not judge.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from other_worlds import (
    CLI,
    ROOT,
    SCANNED,
    Outcome,
    World,
    chosen,
    code_here,
    outcome,
    places_of,
    world_options,
    worlds_in,
)
from pages import around, put

BEGIN, END = "<!-- reduced-logs -->", "<!-- /reduced-logs -->"
SETTINGS = ("max_tokens", "temperature")
ACCOUNTS = "accounts"  # the accounts table, beside the log's columns
LACKING = {
    "nothing": (),
    "model": ("model",),
    "settings": SETTINGS,
    "model, settings": ("model", *SETTINGS),
    "accounts table": (ACCOUNTS,),
    "all three": ("model", *SETTINGS, ACCOUNTS),
}
HEADS = (
    "world", "lacks", "campaigns exposed", "false cases", "honest accounts named",
    "leads (accounts)", "of them with a campaign", "campaigns in a lead or a finding", "exit", "headline",
)  # fmt: skip
NOTES = (
    "*Of them with a campaign*: leads of whose accounts at least half are of campaigns. *In a lead or a",
    "finding*: campaigns of which half of the accounts stand in one lead or in findings. Leads accuse",
    "nobody. Exit 4: could not judge.",
)


@dataclass(frozen=True)
class Reduced:
    """A world scanned without some of its columns."""

    lacks: str
    outcome: Outcome
    true_leads: int
    seen: int  # campaigns with half of their accounts in leads or findings
    exit_code: int
    headline: str


def write_reduced(world: World, lacks: Sequence[str], folder: Path) -> tuple[Path, Path | None]:
    """Write a world's log without columns. Return it and the accounts table, None if that is lacking."""
    log = folder / "exchanges.parquet"
    table = pq.read_table(world.folder / "exchanges.parquet")
    pq.write_table(table.drop_columns([name for name in lacks if name != ACCOUNTS]), log)
    return log, None if ACCOUNTS in lacks else world.folder / "accounts.parquet"


def scanned(world: World, lacks: str) -> Reduced:
    """Scan and score a world without some columns. Raises: SystemExit if the scan was not made."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        log, accounts = write_reduced(world, LACKING[lacks], folder)
        command = [sys.executable, "-c", CLI, "scan", str(log), "--out", str(folder / "report")]
        command += ["--accounts", str(accounts.resolve())] if accounts else []
        environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        done = subprocess.run(
            command, env=environment, cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode not in SCANNED:
            raise SystemExit(f"{world.name}: the scan gave {done.returncode}: {done.stderr.strip()[-500:]}")
        findings = json.loads((folder / "report" / "findings.json").read_text("utf-8"))
    one = outcome(world, findings)
    true_leads, seen = campaigns_seen(world, findings)
    return Reduced(lacks, one, true_leads, seen, done.returncode, headline_of(done.stdout))


def headline_of(printed: str) -> str:
    """Return the start of a scan's first sentence: its statement, without amounts.

    >>> headline_of("Could not judge groups: the log names no model. No lone payer found.")
    'Could not judge groups'
    """
    first = " ".join(printed.split("\n\n", 1)[0].split())
    return re.split(r": | in | have | has ", first, maxsplit=1)[0]


def campaigns_seen(world: World, findings: dict) -> tuple[int, int]:
    """Count leads mostly of campaigns, and campaigns with half of their accounts in a lead or in findings."""
    truth = pq.read_table(world.folder / "truth.parquet", columns=["account", "campaign"]).to_pylist()
    of = {row["account"]: row["campaign"] for row in truth if row["campaign"] is not None}
    members = {name: {a for a, c in of.items() if c == name} for name in set(of.values())}
    leads = [set(lead["accounts"]) for lead in findings.get("leads") or ()]
    named = {a for case in findings["campaigns"] if case["suppressed_by"] is None for a in case["accounts"]}
    true = sum(2 * sum(a in of for a in lead) >= len(lead) for lead in leads)
    seen = sum(any(2 * len(who & some) >= len(who) for some in (*leads, named)) for who in members.values())
    return true, seen


def row(one: Reduced) -> tuple[str, ...]:
    """Format a reduced world as one line of the table."""
    s, leads = one.outcome.score, one.outcome.leads or ()
    return (
        one.outcome.world.name,
        one.lacks,
        f"{s.half_named} of {s.campaigns}" if s.campaigns else "none in it",
        str(s.false_cases),
        f"{s.benign_named:,} of {one.outcome.honest:,}",
        f"{len(leads)} ({sum(leads):,})",
        str(one.true_leads) if s.campaigns else "",
        f"{one.seen} of {s.campaigns}" if s.campaigns else "",
        str(one.exit_code),
        one.headline,
    )


def parser() -> argparse.ArgumentParser:
    top = world_options(__doc__)
    top.add_argument("--lacking", default=";".join(LACKING), help="of these, between semicolons; else all")
    top.add_argument("--page", type=Path, help=f"put the table there between {BEGIN} and {END}")
    return top


def main() -> None:
    """Reduce, scan, score, print; write the table to a page."""
    options = parser().parse_args()
    if options.page:
        around(options.page, BEGIN, END)
    worlds = chosen(
        worlds_in(options.shared, places_of(options)),
        options.worlds,
    )
    wanted = options.lacking.split(";")
    if unknown := [name for name in wanted if name not in LACKING]:
        raise SystemExit(f"--lacking {'; '.join(unknown)}: known are {'; '.join(LACKING)}")
    code = code_here()
    measured = f"commit {code.commit}" + ("" if code.tree else " with changes")
    rows = []
    for world in worlds:
        for lacks in wanted:
            rows.append(row(scanned(world, lacks)))
            print("  ".join(rows[-1]), file=sys.stderr, flush=True)
    lines = ["| " + " | ".join(cells) + " |" for cells in (HEADS, ("---",) * len(HEADS), *rows)]
    lines += ["", *NOTES, f"Measured at {measured}, default dial: `python benchmarks/reduced_logs.py`."]
    print("\n".join(lines))
    if options.page:
        put(options.page, BEGIN, END, lines)


if __name__ == "__main__":
    main()
