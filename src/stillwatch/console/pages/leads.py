"""Leads: groups that are not findings, apart from the queue of cases. No action starts here."""

from typing import Any

from starlette.responses import RedirectResponse, Response

from stillwatch.cases import leads
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.observables import cases_of
from stillwatch.report.amounts import plural
from stillwatch.report.leads import NO_ACTION, formed_by, rests_on, would_make_it_a_finding

PAGE = 50
ACCOUNTS = 200


def show(request: PageRequest) -> Shown:
    """Show one page of the leads, those with the longest answers first."""
    offset = request.query_number("offset", 10_000_000)
    page_of_leads, total = leads.leads(request.store, offset=offset, limit=PAGE)
    rows = [_lead_row(stored, request) for stored in page_of_leads]
    data = {"total": total, "offset": offset, "actionable": False, "note": NO_ACTION, "leads": rows}
    view = {
        "leads": page_of_leads, "total": total, "offset": offset, "page": PAGE, "note": NO_ACTION,
        "not_seen": request.deployment.not_seen(request.now_us),
    }  # fmt: skip
    return Shown("leads.html.j2", "Leads", data, rows, view)


def _lead_row(stored: leads.StoredLead, request: PageRequest) -> dict[str, object]:
    lead = stored.lead
    return {
        "lead": lead.id, "accounts": len(lead.accounts), "exchanges": lead.exchanges,
        "answer_tokens": lead.answer_tokens, "since": lead.since,
        "p_value": lead.p_value, "content": lead.hands, "text": lead.text, "source": stored.source,
        "folded": iso_us(stored.at_us), "case": stored.case, "actionable": False,
        "href": request.url(f"/lead/{lead.id}"),
    }  # fmt: skip


def show_lead(request: PageRequest) -> Shown:
    """Show one lead: what it rests on, why it is no finding, what would make it one, its accounts."""
    stored = leads.find_lead(request.store, request.part("lead"))
    rows = [{"account": account, "lead": stored.lead.id} for account in stored.lead.accounts]
    title = f"Lead: {plural(len(stored.lead.accounts), 'account')} that act alike"
    view = lead_view(stored)
    view["cases_of"] = cases_of(request, view["lead_accounts"])
    return Shown("lead.html.j2", title, stored.as_json(), rows, view)


def lead_view(stored: leads.StoredLead) -> dict[str, Any]:
    """Return the data for a lead's template."""
    return {
        "one": stored, "note": NO_ACTION, "formed": formed_by(stored.lead), "rests_on": rests_on(stored.lead),
        "wanting": would_make_it_a_finding(stored.lead), "lead_accounts": stored.lead.accounts[:ACCOUNTS],
    }  # fmt: skip


def open_case(request: PageRequest) -> Response:
    """Open a case from a lead, with a reason."""
    lead = request.part("lead")
    case = leads.open_case(
        request.store, lead, who=request.user.name, why=request.why(), now_us=request.now_us
    )
    return RedirectResponse(request.url(f"/case/{case.id}", done="opened"), 303)
