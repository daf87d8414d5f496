"""What accounts share, and with which others: values, templates, texts. Hidden until a reason is recorded.

The record comes first. If it cannot be written, nothing is shown.
"""

from collections.abc import Collection, Mapping

from sqlalchemy import select

from stillwatch.cases import RecordNotFound, leads, reading
from stillwatch.cases.tables import among, key_of, members
from stillwatch.console import ConsoleError
from stillwatch.console.page_context import LARGEST, PageRequest
from stillwatch.console.page_forms import Shown
from stillwatch.console.pages.prompts import SHORTEST_WHY
from stillwatch.console.recorded import KINDS


def of_case(request: PageRequest) -> Shown:
    """Record who asks and why, then show what a case's accounts share."""
    case = request.store.case(request.part("case"), accounts=False)
    why, accounts = _reason(request), _claimed_accounts(request, case.id)
    request.store.look(
        request.user.name, "observables looked at", case.id, {"accounts": len(accounts)}, request.now_us,
        personal={case.id: {"why": why}},
    )  # fmt: skip
    return _observables_page(request, accounts, case.id, None, why)


def _claimed_accounts(request: PageRequest, case: str) -> list[str]:
    """Return the accounts of a case's claims, even if first in another case, without those split off."""
    members_found, _ = reading.members_of(request.store, case, limit=LARGEST)
    others = {m.moved_to for m in members_found if m.moved_to}
    split = {other for other in others if request.store.case(other, accounts=False).split_from == case}
    return [m.account for m in members_found if m.actor or (m.moved_to and m.moved_to not in split)]


def of_lead(request: PageRequest) -> Shown:
    """Record who asks and why, then show what a lead's accounts share. No case is needed."""
    lead = leads.find_lead(request.store, request.part("lead")).lead
    why = _reason(request)
    request.store.look(
        request.user.name, "observables looked at", lead.id, {"accounts": len(lead.accounts)}, request.now_us,
        personal={lead.id: {"why": why}},
    )  # fmt: skip
    return _observables_page(request, lead.accounts, None, None, why, lead.id)


def of_account(request: PageRequest) -> Shown:
    """Record who asks and why, then show what an account has in common with others."""
    account = (request.accounts() or [""])[-1]
    why = _reason(request)
    inside = reading.account(request.store, account)
    if not inside:
        raise RecordNotFound("no case names this account, so nobody may see what it shares")
    case = inside[0].case.id
    request.store.look(
        request.user.name, "observables looked at", case, {"accounts": 1}, request.now_us,
        personal={account: {"account": account, "why": why}},
    )  # fmt: skip
    return _observables_page(request, [account], case, account, why)


def _reason(request: PageRequest) -> str:
    why = request.why()
    if len(why) < SHORTEST_WHY:
        raise ConsoleError("say in a few words why you need to see them")
    return why


def _observables_page(
    request: PageRequest,
    accounts: Collection[str],
    case: str | None,
    account: str | None,
    why: str,
    lead: str | None = None,
) -> Shown:
    observables = request.recorded_exchanges().observables(accounts)
    groups = [
        (kind, values) for kind in KINDS if (values := [v for v in observables.values if v.kind == kind])
    ]
    named = {name for value in observables.values for name in value.others} | {
        row.account for row in observables.rows
    }
    view = {
        "case": case, "lead": lead, "account": account, "found": observables, "groups": groups, "why": why,
        "cases_of": cases_of(request, named),
    }  # fmt: skip
    return Shown("observables.html.j2", "What they share", {}, (), view)


def cases_of(request: PageRequest, accounts: Collection[str]) -> Mapping[str, str]:
    """Return the case that each of some accounts is in, for those that are in one."""
    names = {key_of(name): name for name in accounts}
    if not names:
        return {}
    m = members.c
    with request.store.reading() as db:
        memberships = select(m.key, m.case_id).where(among(db, m.key, names), m.moved_to.is_(None))
        return {names[row.key]: row.case_id for row in db.execute(memberships)}
