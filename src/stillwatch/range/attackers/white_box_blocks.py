"""The white box that knows the blocks of a sliding day: it takes a day's allowance at one's end, and again.

Knows: the same as `white_box`; and that tokens come back with the block of four hours in which they were
used. Does: the same as `white_box_midnight`, but takes the second day's allowance when the first one's block
has left the day: twenty hours after its end, twenty-one after the first request. Cannot: as `white_box`; nor
take two days' allowances sooner.
Source: docs/terms.md defines a sliding day.
"""

from functools import partial

from stillwatch.range.attackers.white_box_midnight import Midnight

NAME = "white_box_blocks"
begin = partial(Midnight, wait_hours=21)
