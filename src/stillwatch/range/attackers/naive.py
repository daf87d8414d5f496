"""An attacker that does not adapt: a published pool, and the same again when accounts are stopped.

Knows: nothing of the defence. Does: 60 fresh accounts at 25.6 requests a day each, round the clock, one
template in every request; buys a new account for every stopped one. Cannot: change anything.
Source: pace of the Alibaba campaign as reported in June 2026 (28.8 M exchanges, about 25,000 accounts, 45
days), one fixed prompt in every request and pools that take over as reported in September 2026.
"""

from stillwatch.range.attackers import Evasion

NAME = "naive"
MEANS = Evasion(accounts=60, per_account_day=25.6, words="template")
