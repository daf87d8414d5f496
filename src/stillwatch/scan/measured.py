"""What the alarm is worth on worlds by other authors, for the report, `explain` and the alert of a case.

At the default dial; replaced when measured again. Source: docs/benchmarks.md,
`benchmarks/other_worlds.py` and `benchmarks/levels.py`.
"""

EXPOSED = (
    "On worlds by other authors the alarm exposes 17 of 32 campaigns (dev-c, dev-d, fourth). The ones "
    "that it misses are mostly small, or share neither new wording nor new settings. These worlds were "
    "looked at while it was built. On a world that was not (fifth) it exposes 2 of 10."
)
INNOCENTS = (
    "There it named none of 18,897 honest accounts, without and beside campaigns; on the first author's "
    "scenes 4 of 4,420. Before it asked whether content clings to accounts (commit 671234a) it named a "
    "quarter to two thirds there. On the unseen world it named none of 4,126."
)
ALONE = "A group finding is a reason to look. Nobody may be banned on a group finding alone."
MEASURED = (EXPOSED, INNOCENTS, ALONE)
TITLE = "How far to trust a finding"
# `Campaign.firm` says which accounts are firm.
FIRM = (
    "Level: firm. Two independent classes of evidence tie it. Of the accounts that group findings named at "
    "this level, 3 of 154 were honest on worlds by other authors, and 0 of 947 on the first author's scenes."
)
LOOSE = (
    "Level: named, not firm. Fewer than two independent classes of evidence tie it. Of the accounts that "
    "group findings named at this level, 0 of 213 were honest on worlds by other authors, and 4 of 68 on the "
    "first author's scenes."
)
