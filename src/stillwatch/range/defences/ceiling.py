"""A ceiling: output tokens per day for everybody, three times the busiest clean day of any account.

`stillwatch terms allowance --flat` writes it. It refuses hardly any honest account. It slows a harvest
through one account, but none through many.

Null: no honest account has a day three times as busy as the busiest clean one of all.
Blind to: a harvest over several accounts.
Fooled by: an evaluation larger than any before; one account that creates a busy clean day raises it.
Source: own; the factor was chosen on the first author's worlds (sample, dev-a, dev-b) and judged on others'.
"""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from stillwatch.range.defences.allowance import AllowanceWatch, judge
from stillwatch.terms.allowance import Allowances

__all__ = ["NAME", "CeilingWatch", "judge", "open_watch"]

NAME = "ceiling"


@dataclass
class CeilingWatch(AllowanceWatch):
    """A running ceiling."""

    def calibrate(self, other: Any) -> None:
        """Take the ceiling from other people's clean days."""
        self.allowances = Allowances.flat(other.busiest())

    def _settle_allowances(self) -> Allowances:
        if self.allowances is None:
            self.allowances = Allowances.flat(self.busiest())
        return self.allowances


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> CeilingWatch:
    """Start a watch. The false-positive budget does not matter, since it makes no case."""
    return CeilingWatch(clean_until_us)
