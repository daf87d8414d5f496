"""What the alarm is worth on worlds by other authors, for the report, `explain` and the alert of a case.

At the default dial; replaced when measured again. Source: docs/benchmarks.md,
`benchmarks/other_worlds.py` and `benchmarks/levels.py`.
"""

EXPOSED = (
    "On twelve worlds by other authors that were judged unseen (fifth to sixteenth) it exposed 56 of 206 "
    "campaigns. On three that were looked at while it was built (dev-c, dev-d, fourth) it exposes "
    "22 of 32. Most that it misses are small, copy a client, draw settings for each account, or run "
    "already when the log begins."
)
INNOCENTS = (
    "On the unseen worlds it named 707 of 66,849 honest accounts, most in twenty findings: a public course, "
    "a contest, hackathons, a bureau of translators, clients of agencies, donors of keys, exam markers, a "
    "firm's batch jobs, viewers of a show, a relief desk. In the fourteenth it named 214 of 6,715, without "
    "its campaigns 95; in the last two, which were asked to be representative, 12 of 13,613, and none "
    "without campaigns. On those that were looked at it names none of 18,897, and on the first author's "
    "scenes 4 of 4,420. At commit 671234a it named a quarter to two thirds there."
)
WRONG = (
    "Of the accounts that group findings named on nine worlds by other authors, each judged once and unseen, "
    "640 of 2,242 (29 %) were honest."
)
ALONE = f"{WRONG} A group finding is a reason to look. Nobody may be banned on a group finding alone."
MEASURED = (EXPOSED, INNOCENTS, ALONE)
TITLE = "How far to trust a finding"
# `Campaign.firm` says which accounts are firm.
FIRM = (
    "Level: firm. Two classes of evidence tie it, one of which its client does not choose. Of the accounts "
    "that group findings named at this level, 236 of 814 were honest on the nine worlds that were judged "
    "unseen since this is the rule: members of hackathons, donors of keys, exam markers, viewers of a show. "
    "On the first author's scenes 0 of 222."
)
LOOSE = (
    "Level: named, not firm. Only what its client chooses ties it, or one class of evidence. Of the accounts "
    "that group findings named at this level, 404 of 1,428 were honest on the nine worlds that were judged "
    "unseen since this is the rule, and 6 of 799 on the first author's scenes."
)
