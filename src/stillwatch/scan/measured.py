"""What the alarm was worth on worlds by other authors, for the report, `explain` and the alert of a case.

The figures are those of commit 671234a at the default dial. They are replaced when they are measured again.
Source: README.md, "How good".
"""

EXPOSED = (
    "On worlds by other authors (commit 671234a) the alarm found 30 of 58 campaigns at 0.9 % of the traffic "
    "and 3 of 42 at 0.1 % (second author), and 13 of 40 (third author)."
)
INNOCENTS = (
    "There it made 1.9 to 5.9 false cases per 10,000 account-days, and named a fifth to a third of the "
    "honest accounts. Most of these use one vendor's software with its defaults: coding agents, plug-ins, "
    "CI bots, test harnesses, classes."
)
ALONE = "A group finding is a reason to look. Nobody may be banned on a group finding alone."
MEASURED = (EXPOSED, INNOCENTS, ALONE)
TITLE = "How far to trust a finding"
# `Campaign.firm` says which accounts are firm. Elsewhere: benchmarks/levels.py on the second author's worlds
# dev-c-quiet, dev-c and dev-d; in development: docs/actors.md.
FIRM = (
    "Level: firm. Two independent classes of evidence tie it. Of the accounts that group findings named at "
    "this level, 2,376 of 2,444 were honest on a second author's worlds, and 0 of 1,084 in development."
)
LOOSE = (
    "Level: named, not firm. Fewer than two independent classes of evidence tie it. Of the accounts that "
    "group findings named at this level, 743 of 758 were honest on a second author's worlds, and 10 of 93 in "
    "development."
)
