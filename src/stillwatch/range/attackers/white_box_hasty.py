"""The white box in a hurry: where an account is refused it buys more of them rather than wait.

Knows, does and cannot: as `white_box`, which is cheaper in accounts where this is cheaper in days.
"""

from functools import partial

from stillwatch.range.attackers.white_box import WhiteBox

NAME = "white_box_hasty"
begin = partial(WhiteBox, hasty=True)
