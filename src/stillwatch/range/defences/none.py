"""No defence: everything is answered, nobody is accused. What the others are measured against.

Null: none.
Blind to: everything.
Fooled by: nothing.
Source: none.
"""

import pyarrow as pa

from stillwatch.range.defences import DefenceWatch
from stillwatch.range.defences.hours import Hourly

NAME = "none"


def open_watch(accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float) -> DefenceWatch:
    """Begin again; `dial` is the budget in false cases per 10,000 account-days."""
    return Hourly(lambda hour: ())
