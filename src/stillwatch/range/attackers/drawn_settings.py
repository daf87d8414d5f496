"""A pool without common settings: each account draws an honest account's model, limit and temperature.

Knows: that a group is tested on model, limit and temperature, and found by shared wording. Does: the same as
a published pool in a day's sixteen waking hours; every request is worded differently. Cannot: use the answers
of other models than the wanted one, or what a drawn limit cuts off: it pays for both.
Source: campaigns in worlds by other authors, 2026 (docs/benchmarks.md); docs/evidence.md, "An
    adversary who reads this".
"""

from stillwatch.range.attackers import Evasion

NAME = "drawn_settings"
MEANS = Evasion(accounts=60, per_account_day=25.6, hours="human", words="reworded", spread_model=True)
