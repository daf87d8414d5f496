#!/usr/bin/env python3
"""What a sliding day refuses the honest, beside a calendar day: `python benchmarks/sliding_day.py dev-a`.

Allowances are set on the first week of other people, and on each account's own, once by calendar days and
once by sliding ones. Each of the two is applied to the second week by each kind of day. Nobody asks again.
Bases other than shipped scenes need STILLWATCH_RANGE. There is no attacker, but

    python benchmarks/sliding_day.py --contests --seeds 1,2 --goals 1000 --out build/same-limits.jsonl

runs the contests of `benchmarks/attackers.py`, whose options follow, with the limits of calendar days and
sliding days: the value of a sliding day with the same daily tokens.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass, replace
from unittest.mock import patch

import attackers
from arguments import parser_of
from attackers import field_for, scene_of
from stillwatch.gateway.path.budgets import Budgets
from stillwatch.range.defences.allowance import AllowanceWatch
from stillwatch.range.defences.hours import before, refused_ids
from stillwatch.range.honest_background import HonestBackground
from stillwatch.terms import AccountUsage
from stillwatch.terms.allowance import Allowances
from stillwatch.terms.window import BLOCKS


class CalendarBudgets(Budgets):
    """Counts days from midnight to midnight, whatever the request."""

    def spent(self, place: int, now_us: int, *, sliding: bool = False) -> AccountUsage:
        return super().spent(place, now_us)


@dataclass
class CalendarWatch(AllowanceWatch):
    """An allowance whose days end at midnight."""

    def __post_init__(self) -> None:
        self._budgets = CalendarBudgets(None)

    def busiest(self) -> dict[str, int]:
        found = {}
        for account, blocks in self._clean.items():
            days: Counter[int] = Counter()
            for block, tokens in blocks.items():
                days[block // BLOCKS] += tokens
            found[account] = max(days.values())
        return found


WATCHES = {"calendar": CalendarWatch, "sliding": AllowanceWatch}


def allowances(field: HonestBackground, watch: type[AllowanceWatch]) -> Allowances:
    """Set allowances by other people's clean days and each account's own."""
    other, own = watch(field.clean_until_us), watch(field.clean_until_us)
    assert field.calibration is not None
    other.step(field.calibration.exchanges, field.clean_until_us)
    own.step(before(field.exchanges, field.clean_until_us), field.clean_until_us)
    own.calibrate(other)
    own.cannot_fire()  # settles them
    assert own.allowances is not None
    return own.allowances


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("bases", nargs="*", help="a world of $STILLWATCH_RANGE, a shipped scene")
    parser.add_argument("--seeds", default="1,2")
    parser.add_argument("--contests", nargs=argparse.REMAINDER, help="the options of attackers.py")
    options = parser.parse_args()
    if options.contests is not None:
        sys.argv[1:] = options.contests
        with patch.object(AllowanceWatch, "busiest", CalendarWatch.busiest):
            attackers.main()
        return
    hours = [f"{4 * k:02} to {4 * k + 4:02}" for k in range(BLOCKS)]
    head = ["people", "seed", "limits read off", "tokens a day", "day", "requests refused", *hours]
    print("| " + " | ".join(head) + " |\n|" + "---|" * len(head))
    for base in options.bases:
        for seed in map(int, options.seeds.split(",")):
            field = field_for(scene_of(base), seed, 1_000)
            clean = before(field.exchanges, field.clean_until_us).num_rows
            asked = field.exchanges.num_rows - clean
            ids, times = (field.exchanges[name].to_pylist() for name in ("exchange_id", "time"))
            hour_of = {key: time.hour for key, time in zip(ids, times, strict=True)}
            for read_off, learner in WATCHES.items():
                plan = allowances(field, learner)
                for day, kind in WATCHES.items():
                    watch = kind(field.clean_until_us)
                    watch.allowances = replace(plan)
                    refused = refused_ids(watch, field.exchanges)
                    blocks = Counter(hour_of[key] // 4 for key in refused)
                    share = f"{len(refused):,} of {asked:,} ({len(refused) / asked:.2%})"
                    cells = [base, seed, read_off, f"{plan.usual:,}", day, share]
                    print("| " + " | ".join(map(str, [*cells, *(blocks[k] for k in range(BLOCKS))])) + " |")


if __name__ == "__main__":
    main()
