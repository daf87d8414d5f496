"""The undefended attacker: one account at full speed, one template. The reference for the others.

Knows: nothing. Does: sends everything at once; buys another account when it is stopped. Cannot: hide.
Source: a pipeline as published, run by one person (self-instruct and its successors).
"""

from stillwatch.range.attackers import Evasion

NAME = "loud"
MEANS = Evasion(accounts=1, per_account_day=600 * 24, words="template", hours="flat")
