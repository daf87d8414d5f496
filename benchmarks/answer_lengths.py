#!/usr/bin/env python3
"""What answer lengths reveal: in which order to read leads, and which findings are false.

    python benchmarks/answer_lengths.py [WORLD ...] [--fourth FOLDER] ... [--eighteenth FOLDER]

Worlds are those of `other_worlds.py`, scanned at the default dial. The length is `answer_tokens`: half of the
output tokens of a group's accounts are in answers of so many tokens or more. A lead is a campaign's if at
least half of its accounts are. A lead finds a campaign if it has half of the campaign's accounts and the
findings do not expose it. Leads count in logs with campaigns only, findings in all.
"""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from other_worlds import World, chosen, code_here, places_of, report_of, world_options, worlds_in
from stillwatch.report.findings import load
from stillwatch.scan import Campaign, Lead, ScanResult

FIRST = (3, 5, 10)  # leads that somebody reads in each log
BINS = (0, 192, 256, 400, 600)  # tokens
ORDERS: dict[str, Callable[[Lead], tuple[float, str]]] = {
    "longest answers": lambda lead: (-lead.answer_tokens, lead.id),
    "most exchanges": lambda lead: (-lead.exchanges, lead.id),
    "least p-value": lambda lead: (lead.p_value, lead.id),
}


class Truth:
    """Which accounts belong to which campaign in a world, and which of its campaigns the findings expose."""

    def __init__(self, world: World, result: ScanResult) -> None:
        table = pq.read_table(world.folder / "truth.parquet", columns=["account", "campaign"]).to_pylist()
        self.campaign = {row["account"]: row["campaign"] for row in table if row["campaign"] is not None}
        self.size = Counter(self.campaign.values())
        named = {account for case in result.campaigns for account in case.accounts}
        self.exposed = {name for name in self.size if self._has_half(name, named)}

    def _has_half(self, campaign: str, accounts: set[str]) -> bool:
        return 2 * sum(self.campaign.get(a) == campaign for a in accounts) >= self.size[campaign]

    def is_true(self, group: Lead | Campaign) -> bool:
        return 2 * sum(account in self.campaign for account in group.accounts) >= len(group.accounts)

    def found_by(self, leads: list[Lead]) -> set[str]:
        """Return the campaigns that no finding exposes and that one of these leads has."""
        return {
            name
            for name in self.size.keys() - self.exposed
            for lead in leads
            if self.is_true(lead) and self._has_half(name, set(lead.accounts))
        }


def main() -> None:
    """Scan, count, print."""
    top = world_options(__doc__)
    top.add_argument("--reports", type=Path, metavar="FOLDER", help="keep reports; use those that are there")
    options: argparse.Namespace = top.parse_args()
    counts: Counter[tuple[str, int, str]] = Counter()
    lengths: Counter[tuple[int, bool]] = Counter()
    with tempfile.TemporaryDirectory() as temporary:
        reports = (options.reports or Path(temporary)).resolve()
        reports.mkdir(parents=True, exist_ok=True)
        code, logs = code_here(), 0
        for world in chosen(worlds_in(options.shared, places_of(options)), options.worlds):
            print(world.name, file=sys.stderr)
            result = load(report_of(code, world, reports))
            truth = Truth(world, result)
            for case in result.campaigns:
                length = max(least for least in BINS if least <= case.answer_tokens)
                lengths[length, truth.is_true(case)] += 1
            if not truth.size:
                continue
            logs += 1
            for name, order in ORDERS.items():
                for first in FIRST:
                    leads = sorted(result.leads, key=order)[:first]
                    counts[name, first, "read"] += len(leads)
                    counts[name, first, "true"] += sum(map(truth.is_true, leads))
                    counts[name, first, "found"] += len(truth.found_by(leads))
            counts["", 0, "missed"] += len(truth.size) - len(truth.exposed)
            counts["", 0, "whole"] += len(truth.found_by(list(result.leads)))
    print(f"commit {code.commit}{'' if code.tree else ' with changes'}, {logs} logs with campaigns\n")
    print("| leads in order of | " + " | ".join(f"first {first} of each log" for first in FIRST) + " |")
    print("| --- |" + " --- |" * len(FIRST))
    for name in ORDERS:
        cells = [
            f"{counts[name, n, 'true']} of {counts[name, n, 'read']} a campaign's; "
            f"{counts[name, n, 'found']} campaigns more"
            for n in FIRST
        ]
        print(f"| {name} | " + " | ".join(cells) + " |")
    missed, whole = counts["", 0, "missed"], counts["", 0, "whole"]
    print(f"\nOf {missed} campaigns that no finding exposes {whole} stand in leads.\n")
    print("| answers, tokens | findings | false |\n| --- | --- | --- |")
    for least, below in zip(BINS, (*BINS[1:], None), strict=True):
        wrong, right = lengths[least, False], lengths[least, True]
        print(f"| {least} {f'to {below - 1}' if below else 'and more'} | {wrong + right} | {wrong} |")


if __name__ == "__main__":
    main()
