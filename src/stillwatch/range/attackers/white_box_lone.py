"""The white box with patience: one account, below every threshold, for as long as it takes.

Knows, does and cannot: as `white_box`, which needs fewer days where this needs the fewest accounts.
"""

from stillwatch.range.attackers import Evasion

NAME = "white_box_lone"
MEANS = Evasion(accounts=1, per_account_day=50, hours="human", words="own", spread_settings=True)
