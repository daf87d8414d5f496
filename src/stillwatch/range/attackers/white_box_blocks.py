"""The white box that knows a sliding day's blocks: a day's allowance is taken at the end of one, and again.

Knows: as `white_box`; and that tokens come back with the block of four hours in which they were used. Does:
as `white_box_midnight`, but takes the second day's allowance when the block of the first is out of the day:
twenty hours after its end, twenty-one after the first sending.
Cannot: as `white_box`; nor take two days' allowances sooner.
Source: docs/terms.md says what a sliding day is.
"""

from functools import partial

from stillwatch.range.attackers.white_box_midnight import Midnight

NAME = "white_box_blocks"
begin = partial(Midnight, wait_hours=21)
