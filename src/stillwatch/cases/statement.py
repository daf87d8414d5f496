"""A statement of reasons to one customer: the decision on the account, its own facts, and how to appeal.
After Article 17(3) of the Digital Services Act; it gives no legal advice.

It holds the account's own evidence and error rates, never the group's p-value, and names no other account.
What only the owner knows (the measure, the ground in its terms, the contact) is an argument, or left blank.

Blind to: what the account did outside the scanned log, and what a person knows but did not record.
"""

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime

from stillwatch.cases import Act, Case, CaseError, Json, Member, Verdict, evidence, reading
from stillwatch.cases.alert import alert
from stillwatch.cases.claims import NEVER_CLAIMED
from stillwatch.cases.store import Store
from stillwatch.cases.tables import key_of
from stillwatch.report.amounts import moment, moment_us, plural
from stillwatch.report.amounts import p_value as shown_p
from stillwatch.report.explain import is_lone, own_evidence
from stillwatch.report.rivals import Rival, rival
from stillwatch.report.visible import visible
from stillwatch.scan import Campaign
from stillwatch.scan.parts import claim_of

FORMAT = "stillwatch.statement/1"
APPEAL_DAYS = 183  # six months at least: Digital Services Act, Article 20(1)
REDRESS = (
    "The courts stay open to you, and so does a certified body for out-of-court settlement where the Digital "
    "Services Act applies to us (Article 21)."
)
LINKS = 20
MEASURED_ON = (
    "These worlds and scenes are simulated logs: on real ones such evidence may be wrong more often."
)
_ACTS_IN_MARKDOWN = re.compile(r"[\[\]<>&`*|]")
NOT_OF_ACCOUNT = "That this account takes part is shown by no more than its own evidence above."
_FOR_THE_CUSTOMER = {
    NEVER_CLAIMED[1]: NOT_OF_ACCOUNT,
    NEVER_CLAIMED[2]: "That a model was trained on these answers is not shown.",
}


@dataclass(frozen=True)
class StatementTerms:
    """What only the owner knows. Empty: a blank to fill in."""

    measure: str = ""  # the measure against the account, where, and until when
    ground: str = ""  # the clause of the terms, or the law
    contact: str = ""  # where an appeal goes
    appeal_days: int = APPEAL_DAYS


@dataclass(frozen=True)
class StatementOfReasons:
    """The content of the statement. Sentences are for people."""

    case: str
    account: str
    made_us: int
    measure: str
    ground: str
    facts: tuple[str, ...]
    own_evidence: tuple[str, ...]
    error_rates: tuple[str, ...]
    rivals: tuple[Rival, ...]
    attribution: tuple[tuple[str, str], ...]  # (level, claimed or not)
    automated: tuple[str, ...]
    not_claimed: tuple[str, ...]
    appeal: tuple[str, ...]
    blanks: tuple[str, ...]  # to be filled in before it is sent
    judged: bool  # whether a person has judged the account or its case

    def as_json(self) -> Json:
        """Return it as JSON values."""
        return {"format": FORMAT} | asdict(self)


def state_reasons(
    store: Store, case_id: str, account: str, terms: StatementTerms, *, who: str, now_us: int
) -> StatementOfReasons:
    """Write the statement to an account of a case, and record that it was made.

    Raises: CaseError for a case that was cleared, and for an account that it does not accuse.
    """
    case = store.case(case_id, accounts=False)
    if case.verdict in (Verdict.FALSE, Verdict.PERMITTED):
        raise CaseError(f"case {case.id} was judged {case.verdict}: no measure that rests on it has a reason")
    member = _accused_member(store, case, account)
    campaign = evidence.latest(store, case_id).campaign
    case_report = alert(store, case_id, now_us)
    judgement = _judgement(reading.acts(store, case_id), key_of(account))
    blanks = {"measure": terms.measure, "ground": terms.ground, "contact": terms.contact}
    contact = terms.contact or _blank("contact")
    own_reasons, rates = _evidence_of(case, campaign, account)
    if case_report.confidence.judged is not None:  # this deployment's own record
        rates = (*rates, case_report.confidence.sentence)
    statement = StatementOfReasons(
        case=case.id,
        account=account,
        made_us=now_us,
        measure=terms.measure or _blank("measure"),
        ground=terms.ground or _blank("ground"),
        facts=_facts(case, member, campaign, case_report.scanned),
        own_evidence=(*own_reasons, *_ties(campaign, account)),
        error_rates=(*rates, MEASURED_ON),
        rivals=tuple(rival(item.kind, item.check) for item in case_report.benign),
        attribution=_attribution(campaign, judgement),
        automated=_say_automation(judgement),
        not_claimed=tuple(_FOR_THE_CUSTOMER.get(item, item) for item in case_report.cannot_claim),
        appeal=(
            f"Write to {contact} within {terms.appeal_days} days, free of charge. Say what the account "
            "is used for, and show what applies of the table's last column.",
            "A person who has not judged this case decides on it; a program does not. Until then the case "
            "stays open.",
            REDRESS,
        ),
        blanks=tuple(name for name, text in blanks.items() if not text),
        judged=judgement is not None,
    )
    detail = {"blanks": list(statement.blanks), "judged": statement.judged}
    store.look(who, "statement of reasons made", case.id, detail, now_us, {account: {"account": account}})
    return statement


def _blank(name: str) -> str:
    label = {
        "measure": "what is done to the account, in which services, from when and until when",
        "ground": "the clause of the terms or the law that it rests on, and why it applies",
        "contact": "where an appeal goes",
    }
    return f"[TO FILL IN: {label[name]}]"


def _accused_member(store: Store, case: Case, account: str) -> Member:
    memberships = [entry.member for entry in reading.account(store, account) if entry.case.id == case.id]
    if not memberships or memberships[0].moved_to is not None:
        raise CaseError(
            f"case {case.id} does not name {account!a}; "
            f"`stillwatch case accounts {case.id}` lists its accounts"
        )
    member = memberships[0]
    if member.verdict is Verdict.VICTIM:
        raise CaseError(
            f"{account!a} is a victim: replace its key and tell the customer; it is accused of nothing"
        )
    if member.verdict in (Verdict.FALSE, Verdict.PERMITTED):
        raise CaseError(f"{account!a} was cleared ({member.verdict}): no measure on it has a reason")
    return member


def _judgement(acts: list[Act], key: str) -> Act | None:
    """Return the last act in force by which a person judged the account true, else the case."""
    of_case = None
    for act in reversed(acts):
        if not act.in_force:
            continue
        for group in act.sets.get("accounts") or ():
            if key in group["keys"] and group["verdict"] == Verdict.TRUE:
                return act
        if of_case is None and act.sets.get("verdict") == Verdict.TRUE:
            of_case = act
    return of_case


def _facts(case: Case, member: Member, campaign: Campaign, scanned: Json) -> tuple[str, ...]:
    first = campaign.since.get(member.account)
    of_group = (
        "The finding is about the payer of this account."
        if is_lone(campaign)
        else f"The finding is about a group of {plural(len(campaign.accounts), 'account')}, "
        "not about this one alone."
    )
    return (
        f"The log examined covers {_when(scanned['first'])} to {_when(scanned['last'])} (UTC). "
        f"In it the account sent {plural(member.exchanges, 'request')}.",
        f"We suspect that answers are collected to train another model. {of_group}",
        (f"Its first request that is counted was at {moment(first)}. " if first else "")
        + f"It was named at {moment_us(member.since_us)}.",
    )


def _when(at: str | None) -> str:
    return moment(datetime.fromisoformat(at)) if at else "unknown"


def _evidence_of(case: Case, campaign: Campaign, account: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is shown of the account itself, and how often such evidence is wrong."""
    if is_lone(campaign):
        rank = (
            f"The payer's own p-value is {shown_p(campaign.p_value, plain=True)}: how often a payer's use "
            "ranks as high among all payers of the log by chance."
        )
        return tuple(reason.text for reason in campaign.reasons), (rank,)
    own_links = [link for link in campaign.links if account in (link.a, link.b)]
    *reasons_shown, level = own_evidence(account, campaign, own_links)
    return tuple(reasons_shown), (level,)


def _ties(campaign: Campaign, account: str) -> tuple[str, ...]:
    """Return what ties the account, without text that names another account."""
    others = set(campaign.accounts) - {account}
    ties: dict[str, None] = {}
    for link in sorted(campaign.links, key=lambda link: -link.bits):
        if account not in (link.a, link.b) or any(name in link.text for name in others):
            continue
        control = "observed by us" if link.control == "provider" else "chosen by the client"
        ties.setdefault(f"{link.clue.replace('_', ' ')} ({control}): {link.text}")
    return tuple(ties)[:LINKS]


def _attribution(campaign: Campaign, judgement: Act | None) -> tuple[tuple[str, str], ...]:
    alike = "claimed" if is_lone(campaign) else "claimed of the group; this account's own part is above"
    operator = "claimed: a person judged so" if judgement is not None else "not claimed: nobody has judged it"
    return (
        (claim_of({reason.detector for reason in campaign.reasons}), alike),
        ("one operator is behind them", operator),
        ("a named person or organisation is behind them", "not claimed: a log does not say it"),
    )


def _say_automation(judgement: Act | None) -> tuple[str, ...]:
    sentence = "A program found this in records of requests, on our own initiative and not after a notice."
    if judgement is None:
        return (sentence, "No person has judged it yet. Whatever is done until then can be taken back.")
    text = f"A person judged it on {moment_us(judgement.at_us)} and gave a reason, which is on record."
    return (sentence, text)


def write_statement(s: StatementOfReasons) -> str:
    """Return the statement as Markdown, with nothing that can act in a terminal or a browser."""
    lines = [
        f"# Statement of reasons: account {plain_markdown(s.account, 200)}",
        f"Reference {s.case}, {moment_us(s.made_us)}.",
        "## What was decided",
        s.measure,
        "## What it rests on",
        s.ground,
        "## Facts",
        sentence_list(s.facts),
        "## What is shown of this account itself",
        sentence_list(s.own_evidence),
        "## How often this is wrong",
        sentence_list(s.error_rates),
        "## Honest explanations",
        rivals_table(s.rivals),
        "## How far it is attributed",
        sentence_list(tuple(f"{level}: {claimed}" for level, claimed in s.attribution)),
        "## What is not claimed",
        sentence_list(s.not_claimed),
        "## Automated means",
        sentence_list(s.automated),
        "## How to appeal",
        sentence_list(s.appeal),
    ]
    return "\n\n".join(lines) + "\n"


def rivals_table(rivals: tuple[Rival, ...]) -> str:
    """Return honest explanations as a table."""
    rows = [
        "| " + " | ".join(plain_markdown(x, 400) for x in (r.kind, r.state, r.result, r.would_change)) + " |"
        for r in rivals
    ]
    return "\n".join(
        ["| explanation | checked? | result | what would change our mind |", "|---|---|---|---|", *rows]
    )


def sentence_list(sentences: Iterable[str]) -> str:
    """Return sentences as a list."""
    return "\n".join(f"- {plain_markdown(sentence, 1_000)}" for sentence in sentences)


def plain_markdown(text: str, limit: int) -> str:
    """Return text in which Markdown sees no link, code, cell or HTML: names and wording are a client's."""
    return _ACTS_IN_MARKDOWN.sub(r"\\\g<0>", visible(text, limit))
