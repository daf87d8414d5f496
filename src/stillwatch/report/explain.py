"""Why an account, a campaign or a lead is in the report, with the numbers.

Blind to: anything the scan did not keep. Evidence is repeated and p-values ranked; nothing is weighed anew.
"""

import bisect
import difflib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from stillwatch.errors import InputError
from stillwatch.report import amounts
from stillwatch.report.findings import FINDINGS
from stillwatch.report.folded import fold
from stillwatch.report.leads import answers_text, formed_by, rests_on, would_make_it_a_finding
from stillwatch.report.meter import split_milestone
from stillwatch.report.terminal import plain_table, print_list, safe
from stillwatch.report.visible import visible
from stillwatch.scan import AccountVerdict, Campaign, Echo, Lead, Link, Reason, ScanResult, failover, holds
from stillwatch.scan.assemble import clues
from stillwatch.scan.measured import FIRM, LOOSE, MEASURED, TITLE
from stillwatch.scan.parts import GROUP_TESTS
from stillwatch.scan.real_student import cite_curve

NEAR = 5  # names suggested if a subject is not found
LINKS = 15  # individual links printed
NO_LINK = "No link of its own is recorded: it was named with the campaign as a whole."
LEAD_ACCOUNTS = 200  # accounts of a lead printed
Sort = Literal["campaign", "lead", "account"]
SORTS: tuple[Sort, ...] = ("campaign", "lead", "account")
CONTROL = {"provider": "observed by us", "client": "chosen by the client"}


@dataclass(frozen=True)
class Explanation:
    """Everything that the report holds on one subject."""

    subject: str
    sort: Sort
    campaign: Campaign | None  # the campaign itself, or the one the account is named in
    verdict: AccountVerdict | None  # of an account
    named_at: datetime | None
    reasons: tuple[Reason, ...]  # most bits first
    links: tuple[Link, ...]  # all links of a campaign, an account's own; most bits first
    compared_with: tuple[str, ...]  # sentences: the meaning of the account's own p-value, and its ties
    cannot_claim: tuple[str, ...]
    leads: tuple[Lead, ...] = ()  # the lead itself, or those that contain the account


def _nearest_names(name: str, names: Iterable[str]) -> list[str]:
    pool = sorted(names)
    stem = name[: max(3, len(name) // 2)]
    candidates = [n for n in pool if stem and n.startswith(stem)][:2000]
    return difflib.get_close_matches(name, candidates or pool[:20_000], n=NEAR, cutoff=0.5)


def _find_subject(result: ScanResult, subject: str) -> tuple[Sort, str]:
    """Find a subject by exact name, by its name as shown, or by a prefix that only one name has.

    Raises: InputError, with near names, if there is none or more than one.
    """
    name, sorts = subject, set(SORTS)
    names: list[tuple[Sort, str]] = [("campaign", c.id) for c in result.campaigns]
    names += [("lead", lead.id) for lead in result.leads]
    names += [("account", a.account) for a in result.accounts]
    for sort in SORTS:
        if subject.startswith(f"{sort}:") and ("account", subject) not in names:
            name, sorts = subject.removeprefix(f"{sort}:"), {sort}
    names = [n for n in names if n[0] in sorts]
    exact = [n for n in names if n[1] == name] or [n for n in names if visible(n[1], 10_000) == name]
    matches = exact or [n for n in names if name and n[1].startswith(name)]
    matches = matches or [n for n in names if name and visible(n[1], 10_000).startswith(name)]
    if len(matches) == 1:
        return matches[0]
    shown = visible(subject, 80)
    if matches and exact:
        sorts_found = [sort for sort in SORTS if any(sort == sort_found for sort_found, _ in matches)]
        forms = " or ".join(f"{sort}:NAME" for sort in sorts_found)
        raise InputError(f"{shown}: more than one has this name ({', '.join(sorts_found)}); write {forms}")
    if matches:
        examples = ", ".join(visible(n, 80) for _, n in sorted(matches)[:NEAR])
        raise InputError(
            f"{shown}: {len(matches):,} subjects begin so ({examples}{', ...' * (len(matches) > NEAR)})"
        )
    nearest = _nearest_names(name, (n for _, n in names))
    hint = f"near it: {', '.join(visible(n, 80) for n in nearest)}" if nearest else "no name is near it"
    raise InputError(f"{shown}: no such account, campaign or lead in this report; {hint}")


def _rank(p: float, among: list[float], whom: str) -> str:
    if len(among) == 1:
        return f"It is the only one among the {whom}."
    smaller = bisect.bisect_left(sorted(among), p)
    equal = sum(x == p for x in among) - 1
    same = f" ({equal:,} others have the same)" if equal > 0 else ""
    verb = "is" if smaller == 1 else "are"
    return f"Of {len(among):,} p-values of {whom}, {smaller:,} {verb} smaller{same}."


def _compared_with(result: ScanResult, verdict: AccountVerdict) -> tuple[str, ...]:
    if verdict.p_value is None:
        return ("It has no p-value: the log holds too little of it, or nothing to compare it with.",)
    p_values = [
        (a.kind_of_use, a.p_value) for a in result.accounts if a.p_value is not None and a.campaign is None
    ]
    lines = [_rank(verdict.p_value, [p for _, p in p_values], "accounts in no campaign")]
    if verdict.kind_of_use is not None:
        of_kind = [p for kind, p in p_values if kind == verdict.kind_of_use]
        lines.append(_rank(verdict.p_value, of_kind, f"accounts of its kind ({verdict.kind_of_use})"))
    worst = max((c.p_value for c in result.campaigns), default=None)
    if worst is not None:
        lines.append(f"The weakest campaign here has p = {amounts.p_value(worst, plain=True)}.")
    return tuple(lines)


def is_lone(campaign: Campaign) -> bool:
    """Return whether a finding is about one payer, and no group."""
    return not {r.detector for r in campaign.reasons} & GROUP_TESTS


def own_evidence(account: str, campaign: Campaign, links: Iterable[Link]) -> tuple[str, ...]:
    """Return sentences on this account alone: its p-value's meaning, its evidence, who controls it."""
    if is_lone(campaign):
        return ("It is a lone payer's account: the p-value of the finding below is its payer's rank.",)
    tie, reaction = campaign.own_ties.get(account), campaign.own_reactions.get(account)
    if reaction is not None:
        if any(reason.detector == failover.NAME for reason in campaign.reasons):
            lines = [f"What refusals in the log show of this account: {failover.own_text(reaction)}."]
        else:
            lines = [f"What randomised holds show of this account: {holds.own_text(reaction)}."]
    elif tie is None or tie.p_value is None:
        lines = ["It has no p-value of its own: no wording that others of the group share ties it."]
    else:
        lines = [
            f"The p-value is its own: {tie.as_strong:,} of {tie.unnamed:,} accounts that no finding names "
            "are tied at least as strongly. Null: it is one more of these accounts. It was picked for this "
            "wording, so a small p-value is to be expected, of an honest user of the same software too.",
            f"{tie.carrying:,} of the {amounts.plural(tie.sent, 'exchange')} that it sent since it took up "
            f"the group's wording carry that wording ({amounts.plural(tie.markers, 'piece')} of it).",
        ]
    classes = {clue.NAME: clue.CLASS for clue in clues()}
    evidence = sorted({(classes.get(k.clue, k.clue), CONTROL.get(k.control, k.control)) for k in links})
    classes_tied = len({name for name, _ in evidence})
    kinds = "1 class" if classes_tied == 1 else f"{classes_tied} classes"
    ties = "; ".join(f"{name} ({control})" for name, control in evidence)
    lines.append(f"Tied by {kinds} of evidence: {ties}." if evidence else NO_LINK)
    return (*lines, FIRM if account in campaign.firm else LOOSE)


def explain(result: ScanResult, subject: str) -> Explanation:
    """Gather the evidence about an account or a campaign, named in full or by a unique prefix.

    Raises: InputError if no subject, or more than one, has that name.
    """
    sort, name = _find_subject(result, subject)
    campaigns = {c.id: c for c in result.campaigns}
    verdict = next((a for a in result.accounts if a.account == name), None) if sort == "account" else None
    campaign_id = name if sort == "campaign" else verdict.campaign if verdict else None
    campaign = campaigns.get(campaign_id) if campaign_id is not None else None
    links: tuple[Link, ...] = campaign.links if campaign else ()
    if sort == "account":
        links = tuple(k for k in links if name in (k.a, k.b))
    return Explanation(
        subject=name,
        sort=sort,
        campaign=campaign,
        verdict=verdict,
        named_at=campaign.named_at.get(name) if campaign and sort == "account" else None,
        reasons=tuple(sorted(campaign.reasons, key=lambda r: (-r.bits, r.detector))) if campaign else (),
        links=tuple(sorted(links, key=lambda k: (-k.bits, k.clue, k.a, k.b))),
        compared_with=(
            ()
            if verdict is None
            else own_evidence(name, campaign, links)
            if campaign is not None
            else _compared_with(result, verdict)
        ),
        cannot_claim=result.cannot_claim,
        leads=tuple(
            lead
            for lead in result.leads
            if (sort == "lead" and lead.id == name) or (sort == "account" and name in lead.accounts)
        ),
    )


def explanation_json(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON. One of an account names only other accounts that its links tie."""
    campaign, leads = explanation.campaign, []
    for lead in explanation.leads:
        row = asdict(lead) | {"since": amounts.iso(lead.since), "accounts": len(lead.accounts)}
        leads.append(
            {k: row[k] for k in ("id", "since", "p_value", "accounts", "exchanges", "hands", "text")}
        )
    return {
        "subject": explanation.subject,
        "sort": explanation.sort,
        "campaign": None if campaign is None else campaign.id,
        "alarm_at": None if campaign is None else amounts.iso(campaign.alarm_at),
        "named_at": None if explanation.named_at is None else amounts.iso(explanation.named_at),
        "account": None if explanation.verdict is None else asdict(explanation.verdict),
        "firm": None
        if explanation.verdict is None or campaign is None
        else explanation.subject in campaign.firm,
        "reasons": [asdict(item) for item in explanation.reasons],
        "links": [asdict(item) for item in explanation.links],
        "compared_with": list(explanation.compared_with),
        "leads": leads,
        "cannot_claim": list(explanation.cannot_claim),
    }


def _print_reasons(explanation: Explanation, console: Console) -> None:
    console.print(Text("\nWhy the campaign was found", style="bold"))
    table = plain_table(console)
    for name in ("bits", "here", "median", "p95", "n"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reason", overflow="fold", ratio=1)
    for reason in explanation.reasons:
        sentence = (
            safe(reason.text, console, 400) + Text(" (") + safe(reason.detector, console, 60) + Text(")")
        )
        numbers = (
            amounts.number(x)
            for x in (reason.bits, reason.actual, reason.baseline, reason.population_p95, reason.n)
        )
        table.add_row(*numbers, sentence)
    console.print(table)


def _print_shared(campaign: Campaign, console: Console) -> None:
    console.print(Text("\nWhat links the accounts", style="bold"))
    table = plain_table(console)
    for name in ("accounts", "bits each", "in all"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("clue", no_wrap=True)
    table.add_column("who chooses it", overflow="fold")
    table.add_column("evidence", overflow="fold", ratio=1)
    for s in fold(campaign).shared:
        numbers = (amounts.count(s.accounts), amounts.number(s.bits), amounts.short(s.total_bits))
        control = safe(CONTROL.get(s.control, s.control), console, 40)
        table.add_row(*numbers, safe(s.clue, console, 60), control, safe(s.text, console, 400))
    console.print(table)


def _print_links(explanation: Explanation, console: Console) -> None:
    console.print(Text(f"\n{amounts.plural(len(explanation.links), 'link')}, strongest first", style="bold"))
    table = plain_table(console)
    table.add_column("bits", justify="right", no_wrap=True)
    table.add_column("clue", no_wrap=True)
    table.add_column("who chooses it", overflow="fold")
    table.add_column("with", overflow="fold")
    table.add_column("evidence", overflow="fold", ratio=1)
    for k in explanation.links[:LINKS]:
        ends = " - ".join(x for x in (k.a, k.b) if x != explanation.subject)
        control = safe(CONTROL.get(k.control, k.control), console, 40)
        cells = safe(k.clue, console, 60), control, safe(ends, console, 60), safe(k.text, console, 400)
        table.add_row(amounts.number(k.bits), *cells)
    console.print(table)
    if len(explanation.links) > LINKS:
        console.print(Text(f"... and {len(explanation.links) - LINKS:,} weaker ones in evidence.json"))


def _print_account(explanation: Explanation, verdict: AccountVerdict, console: Console) -> None:
    console.print(Text("Account ", style="bold") + safe(explanation.subject, console, 200, "bold"))
    kind = verdict.kind_of_use or "not recognised"
    line = Text(f"  {amounts.plural(verdict.exchanges, 'exchange')}; kind of use: ") + safe(kind, console, 60)
    console.print(
        line
        + (
            Text("; evidence: ") + safe(verdict.kind_evidence, console, 400)
            if verdict.kind_evidence
            else Text("")
        )
    )
    console.print(Text(f"  p-value {amounts.p_value(verdict.p_value, plain=True)}"))
    for sentence in explanation.compared_with:
        console.print(Text("  ") + safe(sentence, console, 400))
    for lead in explanation.leads:
        console.print(Text("  It is in lead ") + safe(lead.id, console, 60) + Text(", which accuses nobody."))
        own_echoes = [echo for echo in lead.echoes if explanation.subject in (echo.answered, echo.quoted_by)]
        _print_echoes(own_echoes, console)
    if explanation.campaign is None:
        console.print(Text("  It is in no campaign."))
        return
    at = f", at {amounts.iso(explanation.named_at)}" if explanation.named_at else ""
    console.print(Text("  Named in campaign ") + safe(explanation.campaign.id, console, 60) + Text(at))


def _print_echoes(echoes: Sequence[Echo], console: Console) -> None:
    """Print answers that came back in requests of the lead's other accounts, or nothing."""
    shown = [
        f"{echo.quoted_by} sent at {amounts.iso(echo.quoted_at)} what {echo.answered} asked for at "
        f"{amounts.iso(echo.answered_at)} ({echo.passages} passages of the answer)"
        for echo in echoes[:LINKS]
    ]
    more = [f"and {len(echoes) - LINKS:,} more pairs in {FINDINGS}"] if len(echoes) > LINKS else []
    print_list("Answers that came back in requests of another account", shown + more, console)


def _print_campaign(campaign: Campaign, console: Console) -> None:
    console.print(Text("\nCampaign ", style="bold") + safe(campaign.id, console, 60, "bold"))
    if campaign.title:
        console.print(Text("  ") + safe(campaign.title, console, 400))
    taken, at_alarm = campaign.harvest, campaign.harvest_at_alarm
    whose_p_value = "the payer's" if is_lone(campaign) else "the group's, not any account's"
    console.print(
        Text(
            f"  {amounts.plural(len(campaign.accounts), 'account')}; "
            f"alarm at {amounts.iso(campaign.alarm_at)}; {taken.exchanges:,} exchanges taken "
            f"({amounts.short(taken.output_tokens)} output tokens), "
            f"{at_alarm.exchanges:,} of them before the alarm; {amounts.number(campaign.score_bits)} bits, "
            f"p = {amounts.p_value(campaign.p_value, plain=True)} ({whose_p_value})"
        )
    )
    console.print(Text(f"  {answers_text(campaign)}"))
    if campaign.suppressed_by is not None:
        console.print(Text("  Suppressed by: ") + safe(campaign.suppressed_by, console, 300))
    if next_size := split_milestone(campaign.next_milestone):
        console.print(Text("  ") + safe(next_size, console, 200))
    console.print(Text("  ") + safe(cite_curve(campaign.harvest.exchanges), console, 400))


def _print_lead(lead: Lead, console: Console) -> None:
    console.print(
        Text("Lead ", style="bold") + safe(lead.id, console, 60, "bold") + Text(": it accuses nobody")
    )
    sizes = f"{amounts.plural(len(lead.accounts), 'account')}, {amounts.plural(lead.exchanges, 'exchange')}"
    console.print(Text(f"  {sizes} {formed_by(lead)}, since {amounts.iso(lead.since)}"))
    for sentence in rests_on(lead):
        console.print(Text(f"  {sentence}"))
    print_list("Why it is no finding", [lead.text], console)
    print_list("What could turn it into a finding", would_make_it_a_finding(lead), console)
    _print_echoes(lead.echoes, console)
    names = list(lead.accounts[:LEAD_ACCOUNTS])
    more = len(lead.accounts) - len(names)
    print_list("Accounts", names + ([f"and {more:,} more in findings.json"] if more else []), console)


def print_explanation(explanation: Explanation, console: Console) -> None:
    """Print an explanation: the subject, reasons and links with their numbers, counter-evidence."""
    e = explanation
    if e.sort == "lead":
        for lead in e.leads:
            _print_lead(lead, console)
    if e.verdict is not None:
        _print_account(e, e.verdict, console)
    if e.campaign is not None:
        _print_campaign(e.campaign, console)
        if e.reasons:
            _print_reasons(e, console)
        if e.links:
            if e.sort == "campaign":
                _print_shared(e.campaign, console)
            _print_links(e, console)
        elif e.sort == "account":
            console.print(Text(f"\n{NO_LINK}"))
        honest = [f"{b.kind}: {b.text}" for b in e.campaign.benign_alternatives]
        print_list("What would make it honest", honest, console)
        print_list(TITLE, MEASURED, console)
    print_list("What this scan cannot claim", e.cannot_claim, console)
