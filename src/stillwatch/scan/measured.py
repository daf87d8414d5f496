"""What the alarm is worth on worlds by other authors, for the report, `explain` and the alert of a case.

At the default dial; replaced when measured again. Source: docs/benchmarks.md,
`benchmarks/other_worlds.py` and `benchmarks/levels.py`.
"""

EXPOSED = (
    "On eight worlds by other authors that were judged unseen (fifth to twelfth) it exposed 38 of 125 "
    "campaigns. On three that were looked at while it was built (dev-c, dev-d, fourth) it exposes "
    "24 of 32. Most that it misses are small, copy a client, or draw settings for each account."
)
INNOCENTS = (
    "On the unseen worlds it named 291 of 36,017 honest accounts, in eleven findings: hackathons, a bureau "
    "of translators, clients of agencies, donors of keys, exam markers, a firm's batch jobs, viewers of a "
    "show. In the twelfth it named 69 of 4,796, with and without its campaigns. On those that were looked "
    "at it names none of 18,897, and on the first author's scenes 4 of 4,420. At commit 671234a it named a "
    "quarter to two thirds there."
)
ALONE = "A group finding is a reason to look. Nobody may be banned on a group finding alone."
MEASURED = (EXPOSED, INNOCENTS, ALONE)
TITLE = "How far to trust a finding"
# `Campaign.firm` says which accounts are firm.
FIRM = (
    "Level: firm. Two classes of evidence tie it, one of which its client does not choose. Of the accounts "
    "that group findings named at this level, 172 of 398 were honest on the five worlds that were judged "
    "unseen since this is the rule: members of hackathons, donors of keys, exam markers, viewers of a show. "
    "On the first author's scenes 0 of 432."
)
LOOSE = (
    "Level: named, not firm. Only what its client chooses ties it, or one class of evidence. Of the accounts "
    "that group findings named at this level, 52 of 684 were honest on the five worlds that were judged "
    "unseen since this is the rule, and 7 of 1,562 on the first author's scenes."
)
