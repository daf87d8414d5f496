"""The white box in a hurry: where an account is refused it buys more of them instead of waiting.

Knows, does and cannot: as `white_box`, which needs fewer accounts where this needs fewer days.
"""

from functools import partial

from stillwatch.range.attackers.white_box import WhiteBox

NAME = "white_box_hasty"
begin = partial(WhiteBox, hasty=True)
