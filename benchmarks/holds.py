#!/usr/bin/env python3
"""What randomised holds find, whom they accuse, their cost, and what refusals in logs show.

    python benchmarks/holds.py [--runs 60] [--page docs/figures/holds.md] [--scenes ../shared/range/dev-c …]

Clients are simulated (`tests/holds_world.py`). Every row is `--runs` seeded runs of seven days. Found: the
holds make a finding (`scan.holds.LEVEL`) by then, including half a day for repeats. With `--scenes` each
scene's log is read instead, with each campaign and each honest kind of use as one group: what the refusals in
it show; and, as nobody in it reacts to a hold, how often a random schedule has a p-value of at most .05 and
.01 (`--draws` schedules of seven days). `holds_live.py` plays whole worlds.
"""

import hashlib
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from arguments import parser_of

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from holds_world import WatchedDoor, log_of, people, queue, schedule  # noqa: E402 - the tests' own clients
from pages import put  # noqa: E402
from stillwatch.exchanges.log import ExchangeLog, build  # noqa: E402
from stillwatch.exchanges.read import read  # noqa: E402
from stillwatch.exchanges.rejects import Rejects  # noqa: E402
from stillwatch.exchanges.sketch import Sketcher  # noqa: E402
from stillwatch.scan.failover import failover_evidence  # noqa: E402
from stillwatch.scan.holds import REPEAT_WITHIN_US, holds_evidence  # noqa: E402
from stillwatch.terms import Holds  # noqa: E402
from stillwatch.terms.holds import plan  # noqa: E402
from stillwatch.units import DAY_US  # noqa: E402

DAYS = (2, 4, 7)
HOURS = Holds(block_minutes=60)
CASES = [
    *(("one queue, even", queue, {}, Holds(), n, rate) for n in (4, 6, 13, 20, 31) for rate in (5, 8, 12)),
    ("one queue, even", queue, {}, Holds(), 4, 30),
    ("one queue, day and night", queue, {"night": 0.8}, Holds(), 20, 8),
    ("one queue, bursts", queue, {"night": 0.8, "bursts": 1.0}, Holds(), 20, 8),
    ("one queue, 70 % of it sticks to topics", queue, {"sticky": 0.7}, Holds(), 20, 8),
    ("one queue, work moves after 5 minutes", queue, {"delay_s": 300}, Holds(), 20, 8),
    ("one queue, work moves after 20 minutes", queue, {"delay_s": 1200}, Holds(), 20, 8),
    ("one queue, work moves after an hour", queue, {"delay_s": 3600}, Holds(), 20, 8),
    ("one queue, even, holds of an hour", queue, {}, HOURS, 20, 8),
    ("one queue, bursts, holds of an hour", queue, {"night": 0.8, "bursts": 1.0}, HOURS, 20, 8),
    ("one queue, even, 2 minutes a day", queue, {"budget": 2}, Holds(refused_minutes_per_day=2), 20, 8),
    ("a queue for each account", people, {"patience": 1.0}, Holds(), 20, 8),
    ("people", people, {}, Holds(), 13, 5),
    ("people", people, {}, Holds(), 20, 8),
    ("people", people, {}, Holds(), 31, 12),
    ("people who use it heavily", people, {}, Holds(), 31, 100),
]
LITTLE = [  # clients with too few requests for a week: client, options, accounts, texts a day of each
    *(("one queue", queue, {}, n, rate) for n in (5, 10, 20) for rate in (0.3, 0.6, 1.0)),
    *(
        ("one queue, half of what is refused moves", queue, {"moves": 0.5}, n, rate)
        for n in (5, 10, 20)
        for rate in (0.6, 1.0)
    ),
    *(("people", people, {}, n, rate) for n in (5, 15) for rate in (0.5, 1.0, 8.0)),
]


def measure(client, told: dict, terms: Holds, many: int, rate: float, runs: int) -> list[str]:
    found, named = dict.fromkeys(DAYS, 0), 0
    refused: list[float] = []
    worst = 0.0
    for seed in range(runs):
        drawn = schedule(seed, many, terms)
        door = client(drawn, np.random.default_rng((seed, many)), rate, **told)
        log = log_of(door.rows)
        for day in found:
            evidence = holds_evidence(log, drawn, drawn.start_us + day * DAY_US + REPEAT_WITHIN_US)
            found[day] += evidence.found_us is not None
        named += len(evidence.named_us)
        statuses: dict[str, list[int]] = {account: [] for account in drawn.accounts}
        for _, account, status, _ in door.rows:
            statuses[account].append(status)
        refused.append(np.mean([s == 429 for one in statuses.values() for s in one] or [0]))
        days = [sum(s == 429 for s in one) / drawn.days for one in statuses.values()]
        worst = max(worst, *days)
    shares = [f"{100 * k / runs:.0f} %" for k in found.values()]
    return [*shares, f"{named / runs / many:.0%}", f"{np.mean(refused):.1%}", f"{worst:.1f}"]


def measure_little(client, told: dict, most_days: int, many: int, rate: float, runs: int) -> list[str]:
    """Measure schedules that are checked every twelve hours, and continue for `most_days` while undecided."""
    terms = Holds(mode="on", days_at_most=most_days)
    found = named = refused = 0
    for seed in range(runs):
        drawn = replace(schedule(seed, many, terms), days=most_days)
        client_rng = np.random.default_rng((seed, many))
        door = client(drawn, client_rng, rate, door_of=partial(WatchedDoor, terms=terms), **told)
        evidence = holds_evidence(log_of(door.rows), door.drawn, door.drawn.end_us + REPEAT_WITHIN_US)
        found += evidence.found_us is not None
        named += len(evidence.named_us)
        refused += sum(status == 429 for _, _, status, _ in door.rows)
    return [f"{found / runs:.0%}", f"{named / runs / many:.0%}", f"{refused / runs:.1f}"]


def little(runs: int) -> list[str]:
    """Return the table of clients with few requests: with a week, and with more days while undecided."""
    lines = [
        "| client | accounts | a day each | found in 7 days | of its accounts named | refused of all "
        "| found in up to 28 days | of its accounts named | refused of all |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, client, told, many, rate in LITTLE:
        row = [name, str(many), f"{rate:g}"]
        for most_days in (Holds.days, Holds.days_at_most):
            row += measure_little(client, told, most_days, many, rate, runs)
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    return lines


def null(log: ExchangeLog, accounts: list[str], draws: int) -> np.ndarray:
    """(draws,) p-values of drawn schedules over accounts that were never held."""
    end_us = int(log["ts_us"][-1])
    found = []
    for seed in range(draws):
        key = hashlib.sha256(f"null {seed}".encode()).digest()
        drawn = plan(Holds(), f"null {seed}", accounts, end_us - 7 * DAY_US - REPEAT_WITHIN_US, key)
        found.append(holds_evidence(log, drawn, end_us).p_value)
    return np.array(found)


def scene(folder: Path, draws: int) -> None:
    """Print what refusals and random schedules show of a scene's campaigns and honest kinds of use."""
    with Rejects() as rejects:
        sketcher = Sketcher()
        log = build(read([folder / "exchanges.parquet"], rejects=rejects, sketcher=sketcher), sketcher)
    status, counts = np.unique(log["status"], return_counts=True)
    told = ", ".join(f"{s}: {n:,}" for s, n in zip(status, counts, strict=True))
    print(f"{folder.name}: {len(log):,} exchanges; statuses {told}")
    groups: dict[str, list[str]] = {}
    for row in pq.read_table(folder / "truth.parquet").to_pylist():
        name = f"campaign {row['campaign']}" if row["campaign"] else f"honest {row['kind']}"
        groups.setdefault(name, []).append(row["account"])
    for name, accounts in sorted(groups.items()):
        found = failover_evidence(log, accounts)
        if found.refused and (name.startswith("campaign") or found.repeated):
            print(f"  {name}: {found.repeated} of {found.refused} refused texts; p = {found.p_value:.2g}")
    low = np.zeros(3, int)
    for name, accounts in sorted(groups.items()):
        if len(accounts) >= Holds.accounts_at_least:
            p_values = null(log, accounts, draws)
            here = np.array([(p_values <= 0.05).sum(), (p_values <= 0.01).sum(), draws])
            low += here
            told = (
                f"p <= .05 in {here[0] / draws:.1%}, p <= .01 in {here[1] / draws:.1%} of {draws} schedules"
            )
            print(f"  {name}, {len(accounts)} accounts, never held: {told}", flush=True)
    print(f"  all of these: p <= .05 in {low[0] / low[2]:.2%}, p <= .01 in {low[1] / low[2]:.2%}")
    honest = [
        account for name, accounts in groups.items() if name.startswith("honest") for account in accounts
    ]
    found = failover_evidence(log, honest)
    print(f"  all honest accounts as one group: {found.repeated} of {found.refused}", flush=True)


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--page", type=Path, help="put the table into this page")
    parser.add_argument("--scenes", type=Path, nargs="+", help="folders of scenes")
    parser.add_argument("--draws", type=int, default=200)
    options = parser.parse_args()
    for folder in options.scenes or ():
        scene(folder, options.draws)
    if options.scenes:
        return
    begun = time.process_time()
    lines = [
        "| client | accounts | a day each | found by day 2 | day 4 | day 7 | of its accounts named "
        "| of its requests refused | refusals a day of the account that had most |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, client, told, terms, many, rate in CASES:
        row = [name, str(many), str(rate), *measure(client, told, terms, many, rate, options.runs)]
        lines.append(f"| {' | '.join(row)} |")
        print(lines[-1], flush=True)
    lines.append("")
    lines.append(f"{options.runs} runs a row; {time.process_time() - begun:.0f} s of CPU.")
    print(lines[-1])
    if options.page:
        put(options.page, "<!-- holds -->", "<!-- /holds -->", lines)
    lines = little(options.runs)
    if options.page:
        put(options.page, "<!-- little -->", "<!-- /little -->", lines)


if __name__ == "__main__":
    main()
