"""A case: why, when, how much, what ties the accounts, honest explanations, what was done."""

from collections.abc import Mapping, Sequence
from typing import Any

from stillwatch.cases import Case, RecordNotFound, Verdict, handling, leads, reading
from stillwatch.cases.alert import Alert
from stillwatch.console import Proposed, Unavailable, requested_steps
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.leads import lead_view
from stillwatch.console.pages.queue import row
from stillwatch.errors import StillwatchError
from stillwatch.report import amounts
from stillwatch.report.leads import NO_ACTION
from stillwatch.report.rivals import rival
from stillwatch.terms import EnforcementStatus, Step

ACCOUNTS, LINKS, TOP_LINKS, STORY = 25, 100, 12, 60
FOR = ((3_600, "1 hour"), (86_400, "1 day"), (604_800, "7 days"), (2_592_000, "30 days"))
STEPS = tuple(step for step in Step if step is not Step.CLEAR)
WHICH = ("", "actor", "victim", "cleared", "moved", "provisional", "unnamed")


def show(request: PageRequest) -> Shown:
    """Show the whole case, with the first accounts and links."""
    case = request.store.case(request.part("case"), accounts=False)
    try:
        facts = request.desk.looks.case_alert(case.id, request.now_us, base(request))
    except RecordNotFound:
        return _page_without_evidence(request, case)
    report = facts.alert
    view = _beside(request, case, facts.targets) | {
        "alert": report, "drawn": request.desk.looks.drawn(case), "links": report.links[:TOP_LINKS],
        "rivals": [rival(explanation.kind, explanation.check) for explanation in report.benign],
        "advised": report.action.text, "step": report.action.step,
    }  # fmt: skip
    data = {**report.as_json(), "accounts_href": request.url(f"/case/{case.id}/accounts.json")}
    return Shown("case.html.j2", case.title, data, claims(report), view)


def _page_without_evidence(request: PageRequest, case: Case) -> Shown:
    """Show a case that no finding names: it was split off, or merged into another."""
    targets = reading.targets(request.store, case.id)
    view = _beside(request, case, targets) | {"advised": "No finding names this case by itself.", "step": ""}
    document = row(case, request) | {"merged_into": case.merged_into, "split_from": case.split_from}
    opened_from = leads.lead_of_case(request.store, case.id)
    view["one"] = opened_from
    if opened_from is not None:
        view |= {**lead_view(opened_from), "advised": NO_ACTION}
        document |= {"lead": opened_from.as_json(), "actionable": False}
    return Shown("case_bare.html.j2", case.title, document, [document], view)


def _beside(request: PageRequest, case: Case, targets: reading.Targets) -> dict[str, Any]:
    """Return what a case's page shows besides its evidence."""
    return {
        "case": case, **_account_table(request, case), "targets": targets,
        "appeals": handling.appeals(request.store, case.id),
        "story": reading.timeline(request.store, case.id, limit=STORY),
        "asks": requested_steps.of_case(request.store, case.id),
        "proposals": _proposals(request, targets.accounts),
        "elsewhere": reading.elsewhere(request.store, [case.id]).get(case.id, {}),
        "owners": reading.owners(request.store), "big": request.desk.settings.big_accounts,
    }  # fmt: skip


def base(request: PageRequest) -> str:
    """Return the beginning of permalinks."""
    return str(request.http.base_url).rstrip("/")


def claims(report: Alert) -> list[dict[str, Any]]:
    """Return the alert's claims as rows."""
    names = (
        "detector", "text", "actual", "baseline", "peer_p95", "effect", "bits", "p_value", "n", "query",
        "input_sha256",
    )  # fmt: skip
    return [{name: getattr(claim, name) for name in names} for claim in report.why]


def _proposals(request: PageRequest, accounts: Sequence[str]) -> Sequence[Proposed]:
    try:
        return request.deployment.proposals(accounts)
    except Unavailable:
        return ()


def standings(request: PageRequest, accounts: Sequence[str]) -> Mapping[str, EnforcementStatus] | None:
    """Return the enforcement statuses of some accounts; None if they are unknown."""
    try:
        return request.deployment.standings(accounts)
    except StillwatchError:
        return None


def _account_table(request: PageRequest, case: Case) -> dict[str, Any]:
    chosen = request.query("which")
    chosen = chosen if chosen in WHICH else ""
    offset = request.query_number("offset", 10_000_000)
    starts = request.query("starts")
    members, total = reading.members_of(
        request.store, case.id, which=chosen or None, starts=starts, offset=offset, limit=ACCOUNTS
    )
    statuses = standings(request, [m.account for m in members])
    return {
        "members": members, "members_total": total, "offset": offset, "starts": starts, "which": chosen,
        "standings": statuses, "page": ACCOUNTS, "steps": STEPS, "spans": FOR,
    }  # fmt: skip


def accounts(request: PageRequest) -> Shown:
    """Show one page of the case's accounts; JSON and CSV have all, a page at a time."""
    case = request.store.case(request.part("case"), accounts=False)
    table = _account_table(request, case)
    statuses = table["standings"] or {}
    rows = [
        {
            "account": m.account,
            "named": iso_us(m.since_us),
            "last_named": iso_us(m.last_us),
            "exchanges": m.exchanges,
            "verdict": m.verdict,
            "actor": m.actor,
            "tied": m.tied,
            "moved_to": m.moved_to,
            "standing": statuses[m.account].step if m.account in statuses else None,
        }
        for m in table["members"]
    ]
    data = {"case": case.id, "total": table["members_total"], "offset": table["offset"], "accounts": rows}
    view = {"case": case, **table, "verdicts": list(Verdict)}
    return Shown("accounts.html.j2", f"Accounts of {case.id}", data, rows, view)


def links(request: PageRequest) -> Shown:
    """Show the case's single links, ranked, a page at a time."""
    case = request.store.case(request.part("case"), accounts=False)
    all_links = request.desk.looks.links(case.id)
    offset = request.query_number("offset", 10_000_000)
    page_of_links = all_links[offset : offset + LINKS]
    rows = [
        {"a": k.a, "b": k.b, "clue": k.clue, "bits": k.bits, "control": k.control, "text": k.text}
        for k in page_of_links
    ]
    data = {"case": case.id, "total": len(all_links), "offset": offset, "links": rows}
    view = {
        "case": case, "links": page_of_links, "total": len(all_links), "offset": offset, "page": LINKS,
        "accounts": {k.a for k in all_links},  # the other end of most links is the campaign
    }  # fmt: skip
    return Shown("links.html.j2", f"Links of {case.id}", data, rows, view)


def alert_page(request: PageRequest) -> Shown:
    """Show the alert as it is exported."""
    case = request.store.case(request.part("case"), accounts=False)
    report = request.desk.looks.case_alert(case.id, request.now_us, base(request)).alert
    return Shown(
        "alert.html.j2",
        f"Alert of {case.id}",
        report.as_json(),
        claims(report),
        {"case": case, "alert": report},
    )


def actor(request: PageRequest) -> Shown:
    """Show the actor: its groups of accounts, what they share, their enforcement statuses, its past."""
    case = request.store.case(request.part("case"), accounts=False)
    try:
        drawn = request.desk.looks.drawn(case)
    except RecordNotFound:
        raise RecordNotFound(
            f"no finding names {case.id} by itself yet; its case page says where it is from"
        ) from None
    accounts = request.store.case(case.id).accounts
    statuses = standings(request, accounts)
    steps: dict[str, int] = {}
    for standing in (statuses or {}).values():
        steps[standing.step.name.lower()] = steps.get(standing.step.name.lower(), 0) + 1
    findings = reading.findings_of(request.store, case.id)
    rows = [
        {"accounts": g.accounts, "shares": " ".join(g.letters), "mixed": g.mixed, "example": g.example}
        for g in drawn.folded.groups
    ]
    data = {
        "actor": row(case, request), "groups": rows, "shared": drawn.folded.shared, "standings": steps,
        "findings": findings, "merged_into": case.merged_into, "split_from": case.split_from,
    }  # fmt: skip
    view = {
        "case": case, "drawn": drawn, "steps": steps, "known": statuses is not None, "findings": findings,
        "clear": len(accounts) - sum(steps.values()),
    }  # fmt: skip
    return Shown("actor.html.j2", f"Actor of {amounts.plural(case.members, 'account')}", data, rows, view)
