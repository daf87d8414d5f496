"""A day that slides: the running block of four hours and the five before it, in UTC.

A calendar's day begins anew at midnight: who asks around it takes two days' tokens within an hour. Here
tokens come back with the block in which they were used, twenty hours after it has ended. Six numbers say
what an account used of such a day; the gateway, its fleet, the range and `terms allowance` count by them.
"""

from collections.abc import Mapping, Sequence

from stillwatch.units import HOUR_US

BLOCK_US = 4 * HOUR_US
BLOCKS = 6  # of a day


def until_room(blocks: Sequence[int], room: int, now_us: int) -> int | None:
    """Whole seconds until a day's blocks hold so few tokens if nothing more comes; None: never.

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
    """Give the most tokens of any sliding day, of tokens by the number of the block.

    >>> busiest({0: 5, 5: 4, 6: 3, 40: 8})
    9
    """
    return max((sum(tokens.get(block - k, 0) for k in range(BLOCKS)) for block in tokens), default=0)
