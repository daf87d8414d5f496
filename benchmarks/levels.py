#!/usr/bin/env python3
"""How often each level of an accusation is wrong: lead, named, firm; by world and by kind of honest use.

    python benchmarks/levels.py --fourth FOLDER --people FOLDER --page docs/figures/evidence.md
    python benchmarks/levels.py dev-c dev-d

Worlds are those of `other_worlds.py`, scanned at the default dial. A lead or a finding is false if fewer than
half of its accounts are a campaign's. An account is *firm* if two independent classes of evidence tie it,
*named* if a group finding names it with fewer, *lead* if it is only in a lead. Findings of lone payers have
no levels and are counted separately. Bounds are exact (Clopper and Pearson 1934), one-sided, 97.5 %, for
independent accounts. Those of one crowd are not: the number of crowds is shown beside them.
"""

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow.parquet as pq
from scipy.stats import beta

from other_worlds import (
    DEVELOPMENT,
    PERMITTED,
    World,
    chosen,
    code_here,
    places_of,
    report_of,
    world_options,
    worlds_in,
)
from pages import around, put
from stillwatch.report.findings import load
from stillwatch.scan import ScanResult
from stillwatch.scan.parts import GROUP_TESTS

BEGIN, END = "<!-- levels -->", "<!-- /levels -->"
LEVELS = ("lead", "named", "firm", "lone payer")
LEAST_IN_LEADS = 100  # of a kind without named accounts: with fewer in leads it is listed under others


@dataclass
class Counted:
    """Counts over some worlds: false findings and leads, and honest accounts by level and kind."""

    cases: Counter[tuple[str, bool]] = field(default_factory=Counter)  # (what, false)
    accounts: Counter[tuple[str, bool]] = field(default_factory=Counter)  # (level, honest)
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)  # (kind, level) of honest accounts
    there: Counter[str] = field(default_factory=Counter)  # honest accounts of each kind

    def add(self, other: "Counted") -> None:
        for mine, more in zip(vars(self).values(), vars(other).values(), strict=True):
            mine.update(more)


def counted(world: World, result: ScanResult) -> Counted:
    """Count a world's leads and findings against its truth. Permitted synthetic data is left out."""
    truth = pq.read_table(world.folder / "truth.parquet", columns=["account", "kind", "campaign"]).to_pylist()
    kind = {r["account"]: r["kind"] for r in truth if r["campaign"] is None and r["kind"] != PERMITTED}
    taken = {r["account"] for r in truth if r["campaign"] is not None}
    out = Counted(there=Counter(kind.values()))
    level: dict[str, str] = {}
    for lead in result.leads:
        out.cases["leads", 2 * sum(a in taken for a in lead.accounts) < len(lead.accounts)] += 1
        level |= dict.fromkeys(lead.accounts, "lead")
    for case in result.campaigns:
        if case.suppressed_by is not None:
            continue
        group = any(reason.detector in GROUP_TESTS for reason in case.reasons)
        false = 2 * sum(a in taken for a in case.accounts) < len(case.accounts)
        out.cases["group findings" if group else "lone payers", false] += 1
        firm = set(case.firm)
        for account in case.accounts:
            level[account] = "lone payer" if not group else "firm" if account in firm else "named"
    for account, which in level.items():
        if account in taken or account in kind:
            out.accounts[which, account in kind] += 1
            out.kinds[kind.get(account, ""), which] += 1
    return out


def bound(wrong: int, of: int) -> str:
    """Format a count of errors with the highest rate that it allows.

    >>> bound(0, 100)
    '0 of 100 (≤ 3.6 %)'
    """
    most = 1.0 if wrong >= of else float(beta.ppf(0.975, wrong + 1, of - wrong))
    return f"{wrong:,} of {of:,} (≤ {most:.1%})".replace("%)", " %)") if of else "none"


def by_world(rows: list[tuple[str, str, Counted]]) -> list[str]:
    """Return the table of false leads and findings, and of honest accounts at each level."""
    heads = (
        "world", "author", "leads: false", "group findings: false", "lone payers: false",
        "accounts in leads: honest", "named, not firm: honest", "firm: honest",
    )  # fmt: skip
    lines = [heads, ("---",) * len(heads)]
    for name, author, of in rows:
        cases = [
            bound(of.cases[what, True], of.cases[what, True] + of.cases[what, False])
            for what in ("leads", "group findings", "lone payers")
        ]
        levels = [
            bound(of.accounts[which, True], of.accounts[which, True] + of.accounts[which, False])
            for which in ("lead", "named", "firm")
        ]
        lines.append((name, author, *cases, *levels))
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def by_kind(of: Counted) -> list[str]:
    """Return the table of honest accounts of each kind, by the level that they reached."""
    heads = ("kind of honest use", "accounts", *(f"at *{which}*" for which in LEVELS))
    lines = [heads, ("---",) * len(heads)]
    shown = {k for k, w in of.kinds if k and (w != "lead" or of.kinds[k, w] >= LEAST_IN_LEADS)}
    for kind in sorted(of.there, key=lambda k: (-sum(of.kinds[k, w] for w in LEVELS), k)):
        if kind in shown:
            lines.append((kind, f"{of.there[kind]:,}", *(f"{of.kinds[kind, w]:,}" for w in LEVELS)))
    rest = [kind for kind in of.there if kind not in shown]
    reached = (f"{sum(of.kinds[k, w] for k in rest):,}" for w in LEVELS)
    lines.append((f"{len(rest)} other kinds", f"{sum(of.there[k] for k in rest):,}", *reached))
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def parser() -> argparse.ArgumentParser:
    top = world_options(__doc__)
    top.add_argument("--people", type=Path, metavar="FOLDER", help="variants of worlds by selves.py")
    top.add_argument("--page", type=Path, help=f"put the tables there between {BEGIN} and {END}")
    top.add_argument("--reports", type=Path, metavar="FOLDER", help="keep reports; use those that are there")
    return top


def main() -> None:
    """Scan, count, print; put the tables into a page."""
    options = parser().parse_args()
    if options.page:
        around(options.page, BEGIN, END)
    code = code_here()
    rows: list[tuple[str, str, Counted]] = []
    others, first, every = Counted(), Counted(), Counted()
    with tempfile.TemporaryDirectory() as temporary:
        reports = (options.reports or Path(temporary)).resolve()
        reports.mkdir(parents=True, exist_ok=True)
        for world in chosen(
            worlds_in(options.shared, places_of(options), options.people),
            options.worlds,
        ):
            one = counted(world, load(report_of(code, world, reports)))
            seen = ", development" if world.name.startswith(DEVELOPMENT) else ""
            rows.append((world.name, f"{world.author}{seen}", one))
            print("  ".join(by_world(rows[-1:])[-1].split("|")), file=sys.stderr, flush=True)
            (first if world.author == "first" else others).add(one)
            every.add(one)
    findings = every.cases["group findings", True] + every.cases["group findings", False]
    lines = [
        *by_world(
            [*rows, ("**all by other authors**", "", others), ("**all by the first author**", "", first)]
        ),
        "",
        *by_kind(every),
        "",
        f"False among all group findings: {bound(every.cases['group findings', True], findings)}. Variants",
        "of a world share its campaigns and most of its people: these worlds are fewer than they look.",
        f"Measured at commit {code.commit}{'' if code.tree else ' with changes'}, default dial: "
        "`python benchmarks/levels.py`.",
    ]
    print("\n".join(lines))
    if options.page:
        put(options.page, BEGIN, END, lines)


if __name__ == "__main__":
    main()
