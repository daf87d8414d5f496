"""One account at full speed that asks bare questions at temperature 0, as an evaluation harness does.

Knows: as `loud_bare`; that a fixed temperature of 0 is an honest default. Does: `loud_bare` with it. Cannot:
as `loud_bare`.
Source: an independent attack on this project, 2026.
"""

from functools import partial

from stillwatch.range.attackers import loud_bare

NAME = "loud_zero"
begin = partial(loud_bare.LoudBare, settings=loud_bare.Settings(temperature=0.0))
