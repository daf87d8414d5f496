"""How many of the accounts that group findings name are honest, at each level, where the truth is known.

    python benchmarks/levels.py ../shared/range/dev-c-quiet ../shared/range/dev-c ../shared/range/dev-d

A world is a folder with exchanges.parquet, accounts.parquet and truth.parquet (account, campaign). Levels are
those of `explain ACCOUNT`: firm, where two independent classes of evidence tie the account, and named.
"""

import sys
from collections import Counter
from pathlib import Path
from statistics import median

import pyarrow.parquet as pq

from stillwatch.scan.assemble import TEST_NAME
from stillwatch.scan.pipeline import run


def counted(world: Path) -> tuple[Counter[tuple[str, bool]], dict[bool, list[float | None]]]:
    """Named accounts by level and by whether they are honest, and their own p-values by the latter."""
    truth = pq.read_table(world / "truth.parquet", columns=["account", "campaign"]).to_pylist()
    honest = {row["account"]: not row["campaign"] for row in truth}
    found = run([world / "exchanges.parquet"], accounts=world / "accounts.parquet")
    levels: Counter[tuple[str, bool]] = Counter()
    own: dict[bool, list[float | None]] = {True: [], False: []}
    for campaign in found.campaigns:
        if not any(reason.detector == TEST_NAME for reason in campaign.reasons):
            continue
        firm = set(campaign.firm)
        for account in campaign.accounts:
            levels["firm" if account in firm else "named", honest[account]] += 1
            own[honest[account]].append(campaign.own_ties[account].p_value)
    return levels, own


def main() -> None:
    """Print a row for each world and level."""
    total: Counter[tuple[str, bool]] = Counter()
    print("| world | level | named in group findings | honest among them |\n|---|---|---|---|")
    for world in map(Path, sys.argv[1:]):
        levels, own = counted(world)
        total += levels
        _rows(world.name, levels)
        for honest, whom in ((True, "honest"), (False, "campaign")):
            some = [p for p in own[honest] if p is not None]
            if some:
                print(
                    f"{world.name}: own p-value of {whom} accounts: "
                    f"{len(own[honest]) - len(some)} have none; median of the others {median(some):.2g}",
                    file=sys.stderr,
                )
    _rows("all", total)


def _rows(world: str, levels: Counter[tuple[str, bool]]) -> None:
    for level in ("firm", "named"):
        of = levels[level, True] + levels[level, False]
        print(f"| {world} | {level} | {of:,} | {levels[level, True]:,} |", flush=True)


if __name__ == "__main__":
    main()
