"""The white box over two midnights: three days' allowances in twenty-six hours.

Knows, does and cannot: as `white_box_midnight`, with a third fewer accounts and one more day.
"""

from functools import partial

from stillwatch.range.attackers.white_box_midnight import Midnight

NAME = "white_box_midnights"
begin = partial(Midnight, nights=2)
