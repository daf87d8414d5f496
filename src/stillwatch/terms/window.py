"""A sliding day: the running block of four hours and the five before it, in UTC.

A calendar day restarts at midnight, so an account can use two days' tokens within an hour around it. In a
sliding day the tokens of a block return twenty hours after the block ends. Six numbers record an account's
use of such a day; the gateway, its fleet, the range and `terms allowance` all count by them.
"""

from collections.abc import Mapping, Sequence

from stillwatch.units import HOUR_US

BLOCK_US = 4 * HOUR_US
BLOCKS = 6  # of a day


def until_room(blocks: Sequence[int], room: int, now_us: int) -> int | None:
    """Return whole seconds until a day's blocks hold so few tokens if nothing is added; None: never.

    blocks: tokens of each, the running one last.

    >>> until_room((0, 70, 0, 0, 0, 30), 40, 6 * BLOCK_US) / 3600
    8.0
    """
    left = sum(blocks)
    if left <= room:
        return 0
    for passed, tokens in enumerate(blocks, 1):
        left -= tokens
        if left <= room:
            end_us = (now_us // BLOCK_US + passed) * BLOCK_US
            return -(-(end_us - now_us) // 1_000_000)
    return None


def busiest(tokens: Mapping[int, int]) -> int:
    """Return the highest token count of any sliding day, given tokens by block number.

    >>> busiest({0: 5, 5: 4, 6: 3, 40: 8})
    9
    """
    return max((sum(tokens.get(block - k, 0) for k in range(BLOCKS)) for block in tokens), default=0)
