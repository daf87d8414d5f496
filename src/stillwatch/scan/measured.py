"""Measured error rates on worlds by other authors, for the report, `explain` and the alert of a case.

They are for the default false-positive budget; replace them when measured again. Source: docs/benchmarks.md,
`benchmarks/other_worlds.py` and `benchmarks/levels.py`.
"""

EXPOSED = (
    "On fifteen worlds by other authors that were judged unseen (fifth to nineteenth) it exposed 88 of 270 "
    "campaigns. On three that were looked at while it was built (dev-c, dev-d, fourth) it exposes "
    "22 of 32. Most that it misses are small, copy a client, draw settings for each account, or run "
    "already when the log begins."
)
INNOCENTS = (
    "On the unseen worlds it named 786 of 90,980 honest accounts, most in 22 findings: a public course, a"
    " contest, start-ups, hackathons, a bureau of translators, clients of agencies, donors of keys, exam "
    "markers, a firm's batch jobs, viewers of a show, a relief desk. In the fourteenth it named 214 of "
    "6,715, without its campaigns 95; in the last five, which were asked to be representative, 91 of "
    "37,744, and without campaigns 59; in the nineteenth, the last, none of 8,210. On those that were "
    "looked at it names none of 18,897, and on the first author's scenes 4 of 4,420. At commit 671234a it"
    " named a quarter to two thirds there."
)
WRONG = (
    "Of the accounts that group findings named on twelve worlds by other authors, each judged once and "
    "unseen, 719 of 3,301 (22 %) were honest."
)
ALONE = f"{WRONG} A group finding is a reason to look. Nobody may be banned on a group finding alone."
ANSWERS = (
    "Long answers speak for a harvest: on 33 simulated logs that were looked at, none of 113 findings was "
    "false whose answers have 600 tokens or more, and five of 66 of the others."
)
MEASURED = (EXPOSED, INNOCENTS, ALONE, ANSWERS)
TITLE = "How far to trust a finding"
# `Campaign.firm` says which accounts are firm.
FIRM = (
    "Level: firm. Two classes of evidence tie it, one of which its client does not choose. Of the accounts "
    "that group findings named at this level, 282 of 1,108 were honest on the twelve worlds that were judged "
    "unseen since this is the rule: members of hackathons, donors of keys, exam markers, viewers of a show, "
    "start-ups. A network or an instrument counts since only where a tenth of the group shares it: on the "
    "two worlds that were judged since, 0 of 193. On the first author's scenes 0 of 222."
)
LEADS_FIRST = (
    "Those with the longest answers come first, because a harvest takes long answers: half of the output "
    "tokens stand in answers of so many tokens or more. In 18 simulated logs that were looked at, of the "
    "first three leads of each 35 of 51 were mostly a campaign's; with the most exchanges first, 6."
)
LOOSE = (
    "Level: named, not firm. Only what its client chooses ties it, or one class of evidence, or a network or "
    "instrument that less than a tenth of its group shares. Of the accounts that group findings named at "
    "this level, 437 of 2,193 were honest on the twelve worlds that were judged unseen, and 6 of 799 on the "
    "first author's scenes."
)
