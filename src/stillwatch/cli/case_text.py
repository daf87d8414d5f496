"""Lines and table rows that verbs on cases print."""

import sys
from dataclasses import asdict

from stillwatch.cases import reading
from stillwatch.cases.alert import Alert
from stillwatch.cases.claims import Claim
from stillwatch.cases.fold import FoldResult
from stillwatch.cases.leads import StoredLead
from stillwatch.cli.folder import iso_time
from stillwatch.cli.main import one_line, print_json
from stillwatch.report import amounts
from stillwatch.report.leads import NO_ACTION, formed_by, rests_on, would_make_it_a_finding
from stillwatch.scan.set_aside import aside_text

LINKS_PRINTED = 8
ACCOUNTS_PRINTED = 25


def words_of(folded: FoldResult) -> str:
    """Return what happened to a scan's findings, in words."""
    parts = [
        (len(folded.opened), "opened", folded.opened),
        (len(folded.came_back), "came back", folded.came_back),
        (len(folded.updated), "updated", folded.updated),
        (len(folded.suppressed), "updated in silence (suppressed)", folded.suppressed),
        (len(folded.merged), "merged", [f"{a} into {b}" for a, b in folded.merged]),
    ]
    sentences = [f"{n:,} {label}: {', '.join(names[:5])}{', …' * (n > 5)}" for n, label, names in parts if n]
    return "cases: " + ("; ".join(sentences) if sentences else "nothing new")


def print_targets(targets: reading.Targets, weak: bool, as_json: bool) -> None:
    """Print the accounts that an action may affect, one per line; on standard error those left out."""
    if as_json:
        print_json(asdict(targets))
        return
    names = targets.weak if weak else targets.accounts
    odd = [name for name in names if one_line(name) != name or not name]
    for name in names:
        if name not in odd:
            print(name)
    for why, n in targets.left_out.items():
        print(f"left out: {n:,}, {why}", file=sys.stderr)
    if odd:
        print(f"left out: {len(odd):,} whose names are no lines of text; --json has them", file=sys.stderr)


def event_row(event: reading.CaseEvent) -> tuple[str, ...]:
    """Return an event as a row: when, the act's number, who, what, why."""
    time_text = iso_time(event.at_us) or ""
    if event.finding is not None:
        f = event.finding
        text = f"{f.accounts:,} accounts, {f.exchanges:,} exchanges, p = {f.p_value:.2g} ({f.campaign})"
        return time_text, "", "finding", text, f.source
    if event.act is None:
        return time_text, "", "", "", ""
    taken_back = "" if event.act.in_force else " (taken back)"
    undoes = f" {event.act.undoes}" if event.act.undoes is not None else ""
    return time_text, str(event.act.id), event.act.who, event.act.verb + undoes + taken_back, event.act.text


def lead_row(stored: StoredLead) -> tuple[str, ...]:
    """Return a lead as a row: id, accounts, exchanges, answers' length, since when, case, why no finding."""
    lead = stored.lead
    sizes = (f"{count:,}" for count in (len(lead.accounts), lead.exchanges, lead.answer_tokens))
    return lead.id, *sizes, amounts.iso(lead.since), stored.case or "", lead.text


def lead_lines(stored: StoredLead) -> list[str]:
    """Return a lead in full: what it rests on, why it is no finding, what would make it one."""
    lead = stored.lead
    size = f"{amounts.plural(len(lead.accounts), 'account')}, {amounts.plural(lead.exchanges, 'exchange')}"
    note = "" if stored.latest else "; its latest scan no longer reports it"
    lines = [
        f"{lead.id}: {NO_ACTION}",
        f"{size} {formed_by(lead)}, since {amounts.iso(lead.since)}; of {stored.source}{note}",
        *rests_on(lead),
        f"Why it is no finding: {lead.text}",
        "What could turn it into a finding:",
        *(f"  - {way}" for way in would_make_it_a_finding(lead)),
        f"Case: {stored.case}" if stored.case else f'Open a case: stillwatch case open {lead.id} --why "..."',
        "Accounts:",
        *(f"  {name}" for name in lead.accounts[:ACCOUNTS_PRINTED]),
    ]
    if len(lead.accounts) > ACCOUNTS_PRINTED:
        lines.append(f"  and {len(lead.accounts) - ACCOUNTS_PRINTED:,} more; --json has them")
    return [("  " if line.startswith("  ") else "") + one_line(line) for line in lines]


def alert_lines(a: Alert) -> list[str]:
    """Return the alert as lines for a terminal."""
    x = a.exposure
    p = amounts.p_value(a.p_value, plain=True)
    verdict = f", {a.verdict}" if a.verdict else ""
    ours = ", ".join(a.seen_by_provider) or "nothing; all of it could be copied"
    lines = [
        a.title,
        f"{a.case}: {a.state}{verdict}, {a.owner or 'nobody'}'s; revision {a.revision}",
        f"  p = {p}, {a.score_bits:.1f} bits, alarm at {iso_time(a.alarm_us)}",
        f"  {amounts.plural(a.members, 'account')}, {a.victims:,} victims, {a.cleared:,} cleared",
        "",
        "Why",
        *(_claim(claim) for claim in a.why),
        "",
        "What would make it honest",
        *(f"  {b.kind}: {b.check}" for b in a.benign),
        *([f"  {aside_text(a.set_aside)}"] if a.set_aside else []),
        "",
        f"Links: {a.links_total:,}, by {', '.join(a.independent_classes) or 'nothing'}",
        *(
            f"  {s.accounts:,} accounts, {s.bits:.1f} bits each, {s.clue} (the {s.control}'s): {s.text}"
            for s in a.shared[:LINKS_PRINTED]
        ),
        f"  not of the client's choosing: {ours}",
        "",
        "What has left",
        f"  {x.exchanges:,} exchanges, {amounts.short(x.output_tokens)} output tokens;"
        f" {x.exchanges_at_alarm:,} exchanges before the alarm. {x.milestones}",
    ]
    if a.merged_into is not None:
        lines.insert(1, f"Merged into {a.merged_into}: look there for what goes on.")
    if x.capabilities:
        lines.append(f"  asked for: {', '.join(x.capabilities)}")
    if x.unique_prompts is not None:
        lines.append(f"  {x.unique_prompts:,} different prompts in the latest finding")
    costs = (("them", x.cost_to_them_usd), ("you", x.cost_to_us_usd))
    lines += [f"  cost {whom} about ${usd:,.2f}" for whom, usd in costs if usd is not None]
    sure = a.confidence
    lines += [
        "",
        "How sure",
        f"  {sure.sentence}",
        f"  measured: {sure.measured_on}",
        f"  {sure.calibration}",
    ]
    lines += [f"  gap in the log: {g['start']} to {g['end']}: {g['text']}" for g in a.gaps]
    lines += [f"  cannot claim: {sentence}" for sentence in a.cannot_claim]
    lines += ["", "What to do", f"  {a.action.text}"]
    left_out = [f"{n:,} {why}" for why, n in a.action.left_out.items()]
    if left_out:
        lines.append(f"  left out: {', '.join(left_out)}")
    lines += [f"  {a.action.command}"] if a.action.command else []
    lines += ["", f"ATLAS: {', '.join(technique['id'] for technique in a.atlas)}"]
    return [line[: len(line) - len(line.lstrip())] + one_line(line) for line in lines]


def _claim(claim: Claim) -> str:
    beside = f"; median {amounts.number(claim.baseline)}" if claim.baseline is not None else ""
    return f"  {claim.bits:5.1f} bits  {claim.text} ({claim.detector}{beside})"
