"""A pool without settings in common: each account draws an honest account's model, limit and temperature.

Knows: that a group is tested on model, limit and temperature, and found by shared wording. Does: what a
published pool does in a day's sixteen waking hours; every request is worded again. Cannot: use what other
models than the wanted one answer, nor what a drawn limit cuts off: it pays for both.
Source: campaigns in worlds by other authors, 2026 (docs/benchmarks.md); docs/evidence.md, "An
    adversary who reads this".
"""

from stillwatch.range.attackers import Evasion

NAME = "drawn_settings"
MEANS = Evasion(accounts=60, per_account_day=25.6, hours="human", words="reworded", spread_model=True)
