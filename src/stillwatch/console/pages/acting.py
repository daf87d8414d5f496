"""Actions on accounts: first the dry run, then the action, or a request for a second person's approval."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from starlette.responses import RedirectResponse, Response

from stillwatch.cases import StaleRevision, reading
from stillwatch.console import ConsoleError, Unavailable, UserRole, requested_dismissals, requested_steps
from stillwatch.console.page_context import PageRequest
from stillwatch.console.page_forms import Shown, iso_us
from stillwatch.console.pages.case import standings
from stillwatch.console.pages.triage import outcome_page
from stillwatch.errors import StillwatchError
from stillwatch.terms import Step

LONGEST_S = 315_360_000  # ten years
NAMED = 100


def _asked_for(request: PageRequest, state: str) -> requested_steps.StepRequest:
    """Read the form: the action, and those of the accounts that may be acted on now."""
    case = request.part("case")
    name = request.form("step", 40)
    if name.upper() not in Step.__members__ or name.upper() == "CLEAR":
        raise ConsoleError(f"step is {name!a}; give one of {', '.join(s.name.lower() for s in Step if s)}")
    for_s = request.form_number("for_s")
    if for_s is not None and not 0 < for_s <= LONGEST_S:
        raise ConsoleError("for_s: give up to ten years, or nothing for no end")
    budget = request.form_number("budget")
    picked = request.accounts()
    targets = reading.targets(request.store, case)
    accounts = requested_steps.choose_accounts(targets.accounts, picked)
    if not accounts:
        why = ", ".join(f"{n:,} {reason}" for reason, n in targets.left_out.items())
        raise ConsoleError(
            f"no account of this case may be acted on ({why}); judge accounts one by one first"
        )
    return requested_steps.StepRequest(
        0,
        case,
        request.now_us,
        request.user.name,
        Step[name.upper()],
        budget,
        for_s,
        request.why(),
        tuple(accounts),
        state,
    )


def _why_big(request: PageRequest, want: requested_steps.StepRequest) -> str | None:
    """Return why the action needs a second person, given how many its author has taken alone today."""
    reached = requested_steps.accounts_hit_alone(request.store, want.who, request.now_us) | set(want.accounts)
    usual = (
        0 if want.budget is None else request.deployment.terms().terms.ladder.throttle_output_tokens_per_hour
    )
    return requested_steps.why_big(
        want.step, len(want.accounts), request.desk.settings.big_accounts, want.for_s,
        in_all=len(reached), budget=want.budget, usual=usual,
    )  # fmt: skip


def _count_loosened(request: PageRequest, accounts: Sequence[str], step: Step) -> dict[str, int]:
    """Count the accounts whose present, stricter status this action would replace."""
    counts: dict[str, int] = {}
    for standing in (standings(request, accounts) or {}).values():
        if standing.step > step:
            name = standing.step.name.lower()
            counts[name] = counts.get(name, 0) + 1
    return counts


def dry_run(request: PageRequest) -> Shown:
    """Show what an action would affect, and who must agree, without taking it."""
    want = _asked_for(request, "waiting")
    if request.deployment.acts is not None:
        raise Unavailable(request.deployment.acts)
    hits = request.deployment.reach(want.accounts, want.step, request.now_us)
    case = request.store.case(want.case, accounts=False)
    targets = reading.targets(request.store, want.case)
    big = _why_big(request, want)
    view = {
        "case": case, "want": want, "reach": hits, "big": big,
        "digest": requested_steps.digest(want.accounts),
        "picked": want.accounts if len(want.accounts) < len(targets.accounts) else (), "named": NAMED,
        "left_out": targets.left_out, "revision": request.revision(),
        "loosened": _count_loosened(request, want.accounts, want.step),
    }  # fmt: skip
    return Shown("dry.html.j2", f"Dry run: {want.step.name.lower()}", {}, (), view)


def act(request: PageRequest) -> Response:
    """Take a small action, or submit a big one for a second person's approval."""
    want = _asked_for(request, "taking")
    if request.deployment.acts is not None:
        raise Unavailable(request.deployment.acts)
    if requested_steps.digest(want.accounts) != request.form("digest", 100):
        raise StaleRevision("the accounts have changed since the dry run: look again at whom it would hit")
    big = _why_big(request, want)
    if big is not None:
        requested_steps.put(request.store, replace(want, state="waiting"), request.revision())
        return to_case(request, want.case, "asked")
    number = requested_steps.put(request.store, want, request.revision())
    if _why_big(request, want) is not None:  # the same person submitted another at the same moment
        requested_steps.hold(request.store, number, request.now_us)
        return to_case(request, want.case, "asked")
    requested_steps.take(
        request.store,
        request.deployment,
        requested_steps.read_request(request.store, number),
        request.user.name,
        want.why,
        request.now_us,
    )
    return to_case(request, want.case, _once_in_force(request, "acted"))


def _once_in_force(request: PageRequest, message: str) -> str:
    """Return the message once every worker has adopted the action."""
    return message if request.deployment.in_force() else "late"


def to_case(request: PageRequest, case: str, message: str) -> Response:
    """Redirect to the case, which shows the message."""
    return RedirectResponse(request.url(f"/case/{case}", done=message), 303)


def _row(ask: requested_steps.StepRequest, request: PageRequest) -> dict[str, Any]:
    return {
        "ask": ask.id, "case": ask.case, "asked": iso_us(ask.at_us), "by": ask.who, "step": ask.step,
        "accounts": len(ask.accounts), "for_s": ask.for_s, "budget": ask.budget, "why": ask.why,
        "state": ask.state, "decided": iso_us(ask.decided_us), "decided_by": ask.decided_by,
        "decided_why": ask.decided_why, "action": ask.action, "href": request.url(f"/ask/{ask.id}"),
    }  # fmt: skip


def approvals(request: PageRequest) -> Shown:
    """Show what waits for a person: colleagues' actions and dismissals, and the ladder's proposals."""
    wait, dismissals = requested_steps.waiting(request.store), requested_dismissals.waiting(request.store)
    try:
        proposed, why_not = list(request.deployment.proposals()), None
    except Unavailable as why:
        proposed, why_not = [], str(why)
    rows = [_row(ask, request) for ask in wait]
    data = {
        "asks": rows, "proposals": proposed, "unavailable": why_not,
        "dismissals": [dismissal for dismissal, _ in dismissals],
    }  # fmt: skip
    view = {"waiting": wait, "proposals": proposed, "why_not": why_not, "dismissals": dismissals}
    return Shown("approvals.html.j2", "Approvals", data, rows, view)


def ask_page(request: PageRequest) -> Shown:
    """Show one requested action, with what it would affect now."""
    ask = requested_steps.read_request(request.store, request.number_in_path("ask"))
    case = request.store.case(ask.case, accounts=False)
    may = set(reading.targets(request.store, ask.case).accounts)
    accounts = [a for a in ask.accounts if a in may]
    hits, trouble = None, request.deployment.acts
    if ask.state == "waiting" and trouble is None and accounts:
        try:
            hits = request.deployment.reach(accounts, ask.step, request.now_us)
        except StillwatchError as why:
            trouble = str(why)
    data = {**_row(ask, request), "names": ask.accounts, "reach": hits}
    rows = [{"account": a, "left_out": a not in may} for a in ask.accounts]
    view = {
        "ask": ask, "case": case, "reach": hits, "trouble": trouble, "named": NAMED,
        "gone": len(ask.accounts) - len(accounts), "own": ask.who == request.user.name,
        "why_own": requested_steps.why_own(request.store, request.user.name, ask.who, ask.at_us),
        "loosened": _count_loosened(request, accounts, ask.step) if ask.state == "waiting" else {},
    }  # fmt: skip
    return Shown("ask.html.j2", f"Step {ask.id}: {ask.step.name.lower()}", data, rows, view)


def approve(request: PageRequest) -> Response:
    """Take an action that another person requested."""
    why = request.why()
    if request.deployment.acts is not None:
        raise Unavailable(request.deployment.acts)
    ask = requested_steps.begin(
        request.store, request.number_in_path("ask"), request.user.name, request.now_us
    )
    requested_steps.take(request.store, request.deployment, ask, request.user.name, why, request.now_us)
    return to_case(request, ask.case, _once_in_force(request, "acted"))


def refuse(request: PageRequest) -> Response:
    """Close a waiting action: by an approver, or by its author."""
    ask = requested_steps.read_request(request.store, request.number_in_path("ask"))
    _may_close(request, ask.who)
    requested_steps.refuse(request.store, ask.id, request.user.name, request.why(), request.now_us)
    return to_case(request, ask.case, "refused")


def undo(request: PageRequest) -> Response:
    """Undo an action."""
    number = request.number_in_path("ask")
    ask = requested_steps.undo(
        request.store, request.deployment, number, request.user.name, request.why(), request.now_us
    )
    return to_case(request, ask.case, _once_in_force(request, "undone"))


def approve_dismissal(request: PageRequest) -> Shown:
    """Dismiss what another person requested to dismiss."""
    number = request.number_in_path("dismissal")
    outcome = requested_dismissals.approve(
        request.store, number, request.user.name, request.why(), request.now_us
    )
    return outcome_page(request, "dismissed", outcome)


def refuse_dismissal(request: PageRequest) -> Response:
    """Close a waiting dismissal: by an approver, or by its author."""
    number = request.number_in_path("dismissal")
    _may_close(request, requested_dismissals.read_dismissal(request.store, number).who)
    requested_dismissals.refuse(request.store, number, request.user.name, request.why(), request.now_us)
    return RedirectResponse(request.url("/approvals", done="refused"), 303)


def _may_close(request: PageRequest, author: str) -> None:
    if author != request.user.name and not request.may(UserRole.APPROVER):
        raise ConsoleError("only an approver, or who asked for it, can close it")


def _case_of(request: PageRequest) -> str:
    return request.form("case", 200)


def approve_proposal(request: PageRequest) -> Response:
    """Take an action that the ladder proposes."""
    number, why = request.number_in_path("proposal"), request.why()
    action = request.deployment.approve(number, request.user.name, why, request.now_us)
    detail = {"proposal": number, "action": action}
    request.store.look(request.user.name, "proposal approved", str(number), detail, request.now_us)
    return _back_to_approvals(request, _once_in_force(request, "acted"))


def dismiss_proposal(request: PageRequest) -> Response:
    """Close a proposal of the ladder."""
    number, why = request.number_in_path("proposal"), request.why()
    request.deployment.dismiss(number, request.user.name, why, request.now_us)
    request.store.look(
        request.user.name, "proposal dismissed", str(number), {"proposal": number}, request.now_us
    )
    return _back_to_approvals(request, "dismissed")


def _back_to_approvals(request: PageRequest, message: str) -> Response:
    case = _case_of(request)
    return (
        to_case(request, case, message)
        if case
        else RedirectResponse(request.url("/approvals", done=message), 303)
    )
