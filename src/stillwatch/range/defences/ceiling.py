"""A ceiling: output tokens a day for everybody, three times the busiest clean day of any account.

`stillwatch terms allowance --flat` writes it. It refuses next to nobody who is honest. It slows whoever
takes everything through one account, and nobody who has many.

Null: no honest account has a day three times as busy as the busiest clean one of all.
Blind to: a harvest over several accounts.
Fooled by: an evaluation larger than any before; one account that buys itself a busy clean day raises it.
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
    """A ceiling at work."""

    def calibrate(self, other: Any) -> None:
        """Take the ceiling from other people's clean days."""
        self.allowances = Allowances.flat(other.busiest())

    def _settle_allowances(self) -> Allowances:
        if self.allowances is None:
            self.allowances = Allowances.flat(self.busiest())
        return self.allowances


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> CeilingWatch:
    """Begin again. The budget of false cases does not move it: it makes no case."""
    return CeilingWatch(clean_until_us)
