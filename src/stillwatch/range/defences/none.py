"""No defence: everything is answered, nobody is accused. It is the reference for the others.

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
    """Start a watch; `dial` is the false-positive budget in cases per 10,000 account-days."""
    return Hourly(lambda hour: ())
