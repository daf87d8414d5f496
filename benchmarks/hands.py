"""The content test on groups whose truth is known: campaigns, and honest users of one program.

Groups are formed by the truth, not by the detector, so that the test's own error rates show: how often a
campaign is taken for many operators, how often honest people of each kind for one source, and whether
p-values are uniform if one queue is dealt. Worlds and their authors: docs/benchmarks.md,
benchmarks/fourth_author.md and benchmarks/selves.py (honest texts by real people).

    python benchmarks/hands.py ../shared/range/dev-c ../shared/range/dev-a
    python benchmarks/hands.py --json WORLD... > hands.json
"""

import json
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.actors.clients import product
from stillwatch.actors.sessions import content_of
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.stats.exchangeability import ContentTest, Hands

LEAST = 5  # accounts of a group, as in the detector
MOST = 60  # larger honest groups are divided into groups of so many, by name
WINDOW_US = 5 * 86_400_000_000


def log_of(world: Path) -> ExchangeLog:
    sketcher = Sketcher()
    return build(read([world / "exchanges.parquet"], sketcher=sketcher, rejects=Rejects()), sketcher)


def groups_of(log: ExchangeLog, world: Path) -> list[tuple[str, np.ndarray]]:
    """(kind, account codes) of each campaign, and of each honest kind by the accounts' program."""
    truth = {row["account"]: row for row in pq.read_table(world / "truth.parquet").to_pylist()}
    agent = np.full(len(log.accounts), -1)
    agent[log["account"]] = log["agent"]
    found = defaultdict(list)
    for code, name in enumerate(log.accounts):
        row = truth[name]
        runs = product(log.agents[agent[code]]) if agent[code] >= 0 else ""
        key = ("campaign", row["campaign"]) if row["campaign"] else (row["kind"], runs)
        found[key].append(code)
    out = []
    for (kind, _), codes in sorted(found.items()):
        whole = kind == "campaign"
        for k in range(0, len(codes), len(codes) if whole else MOST):
            part = codes[k:] if whole else codes[k : k + MOST]
            if len(part) >= LEAST:
                out.append((kind, np.array(part)))
    return out


def tests_of(world: Path) -> list[tuple[str, ContentTest]]:
    """Return the test of each group over the last five days in which it was active."""
    log, out = log_of(world), []
    for kind, codes in groups_of(log, world):
        rows = np.flatnonzero(np.isin(log["account"], codes))
        rows = rows[log["ts_us"][rows] >= log["ts_us"][rows[-1]] - WINDOW_US]
        test = content_of(log, rows, log["account"], codes.tolist(), lambda a: log.accounts[a])
        out.append((kind, test))
    return out


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("worlds", nargs="+", type=Path)
    parser.add_argument("--json", action="store_true", help="every group, instead of the table")
    asked = parser.parse_args()
    found = [(world.name, kind, test) for world in asked.worlds for kind, test in tests_of(world)]
    if asked.json:
        rows = [
            {"world": w, "kind": k, "hands": t.hands, "effect": t.effect, "p": t.p_value, "pairs": t.pairs}
            for w, k, t in found
        ]
        print(json.dumps(rows, indent=1))
        return
    print(
        "| world | groups | | one | open | many | median effect | p ≤ .05, of groups that could be judged |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for world in dict.fromkeys(w for w, _, _ in found):
        kinds = Counter(k for w, k, _ in found if w == world)
        for kind in sorted(kinds, key=lambda k: (k != "campaign", k)):
            tests = [t for w, k, t in found if w == world and k == kind]
            hands = Counter(t.hands for t in tests)
            judged = [t for t in tests if t.pairs >= 20]
            small = f"{sum(t.p_value <= 0.05 for t in judged)} of {len(judged)}"
            effect = f"{np.median([t.effect for t in judged]):.3f}" if judged else "–"
            counts = " | ".join(str(hands[h]) for h in (Hands.ONE, Hands.OPEN, Hands.MANY))
            print(f"| {world} | {kind} | {kinds[kind]} | {counts} | {effect} | {small} |")


if __name__ == "__main__":
    main()
