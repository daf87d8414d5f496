"""Work on a case: owner, notes, verdicts, suppression, appeals, undo, each through `cases.handling`."""

from collections.abc import Callable, Sequence

from starlette.responses import RedirectResponse, Response

from stillwatch.cases import Json, SecondPersonNeeded, Verdict, handling
from stillwatch.cases.exports import Form
from stillwatch.cases.exports.write import prepare, release
from stillwatch.cases.triage import PickedCase
from stillwatch.console import ConsoleError, StepRecord, inbox, requested_dismissals, requested_steps
from stillwatch.console.page_context import PageRequest
from stillwatch.console.pages.acting import to_case
from stillwatch.console.pages.case import standings
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.units import DAY_US

EXPORTS = {"ocsf": Form.OCSF, "incident": Form.INCIDENT, "cef": Form.CEF, "cloudevent": Form.CLOUDEVENT}
MOST_DAYS = 3_650
MOST_PICKED = 500


def _verdict(request: PageRequest) -> Verdict:
    name = request.form("verdict", 40)
    try:
        return Verdict(name)
    except ValueError:
        raise ConsoleError(f"verdict is {name!a}; give one of {', '.join(Verdict)}") from None


def take(request: PageRequest) -> Response:
    """Make the user the owner."""
    case, me = request.part("case"), request.user.name
    handling.assign(
        request.store, case, me, who=me, why="", now_us=request.now_us, if_revision=request.revision()
    )
    if request.form("back", 20) == "queue":
        return RedirectResponse(request.url("/queue", done="taken"), 303)
    return to_case(request, case, "taken")


def assign(request: PageRequest) -> Response:
    """Change the owner."""
    case, owner = request.part("case"), request.form("owner", 200)
    handling.assign(request.store, case, owner or None, **request.stated())
    return to_case(request, case, "assigned")


def note(request: PageRequest) -> Response:
    """Add a note, and notify people mentioned. It changes no state, so it needs no revision."""
    case, text = request.part("case"), request.form("text")
    if not text:
        raise ConsoleError("the note is empty")
    inbox.note(request.store, case, text, who=request.user.name, now_us=request.now_us)
    return to_case(request, case, "noted")


def _do_or_request(request: PageRequest, act: Json, do: Callable[[], object], message: str) -> Response:
    """Dismiss a case or accounts; if that takes a second person, request approval."""
    case = request.part("case")
    try:
        do()
    except SecondPersonNeeded:
        revision = request.revision()
        revision_seen = request.store.case(case, accounts=False).revision if revision is None else revision
        requested_dismissals.put(
            request.store,
            request.user.name,
            request.why(),
            act,
            [PickedCase(case, revision_seen)],
            request.now_us,
        )
        return to_case(request, case, "waits")
    return to_case(request, case, message)


def judge(request: PageRequest) -> Response:
    """Record a verdict on the case, and close it if requested."""
    case, verdict, stated = request.part("case"), _verdict(request), request.stated()
    closes = request.form("close", 10) == "yes"

    act = {"do": "close" if closes else "judge", "verdict": str(verdict)}
    do = handling.close if closes else handling.judge
    return _do_or_request(request, act, lambda: do(request.store, case, verdict, **stated), "judged")


def judge_accounts(request: PageRequest) -> Response:
    """Record a verdict on the selected accounts."""
    case = request.part("case")
    picked = request.accounts()
    if not picked:
        raise ConsoleError("pick at least one account in the table first")
    if len(picked) > MOST_PICKED:
        raise ConsoleError(f"{len(picked)} accounts at once; pick at most {MOST_PICKED}")
    verdict = _verdict(request)
    act = {"do": "judge accounts", "verdict": str(verdict), "accounts": picked}
    return _do_or_request(
        request,
        act,
        lambda: handling.judge_accounts(request.store, case, picked, verdict, **request.stated()),
        "judged",
    )


def close(request: PageRequest) -> Response:
    """Close the case."""
    case, stated = request.part("case"), request.stated()
    act = {"do": "close", "verdict": request.store.case(case, accounts=False).verdict}
    return _do_or_request(request, act, lambda: handling.close(request.store, case, **stated), "closed")


def reopen(request: PageRequest) -> Response:
    """Open a closed case again."""
    case = request.part("case")
    handling.reopen(request.store, case, **request.stated())
    return to_case(request, case, "reopened")


def suppress(request: PageRequest) -> Response:
    """Hide the case from the queue for some days."""
    case, days = request.part("case"), request.form_number("days", 30) or 0
    if not 0 < days <= MOST_DAYS:
        raise ConsoleError(f"days: give 1 to {MOST_DAYS:,}")
    until_us = request.now_us + days * DAY_US
    owner = request.form("owner", 200) or request.user.name
    return _do_or_request(
        request,
        {"do": "suppress", "owner": owner, "until_us": until_us},
        lambda: handling.suppress(request.store, case, owner=owner, until_us=until_us, **request.stated()),
        "suppressed",
    )


def unsuppress(request: PageRequest) -> Response:
    """End a suppression."""
    case = request.part("case")
    handling.unsuppress(request.store, case, **request.stated())
    return to_case(request, case, "unsuppressed")


def appeal(request: PageRequest) -> Response:
    """Record a customer's appeal."""
    case, text = request.part("case"), request.form("text")
    if not text:
        raise ConsoleError("the appeal is empty")
    account = next((name for name in request.accounts() if name), None)
    handling.appeal(
        request.store, case, text, account=account,
        who=request.user.name, now_us=request.now_us, if_revision=request.revision(),
    )  # fmt: skip
    return to_case(request, case, "appealed")


def decide(request: PageRequest) -> Response:
    """Decide an appeal. If it is granted, actions against the appealing accounts end."""
    case, granted = request.part("case"), request.form("granted", 10) == "yes"
    number = request.form_number("appeal")
    appeals = {
        open_appeal.number: open_appeal.account for open_appeal in handling.appeals(request.store, case)
    }
    if number is None and len(appeals) == 1:
        (number,) = appeals
    account = appeals.get(number or 0)
    accounts = request.store.case(case).accounts if account is None else (account,)
    handling.decide(
        request.store, case, granted, number=number, sanctioned=_sanction_authors(request, case, accounts),
        **request.stated(),
    )  # fmt: skip
    if not granted:
        return to_case(request, case, "decided")
    stand = sorted(standings(request, accounts) or ())
    if not stand or request.deployment.acts is not None:
        return to_case(request, case, "decided")
    why = f"appeal granted, {case}: {request.why()}"
    clear = EnforcementStatus(Step.CLEAR, request.now_us, why)
    action = request.deployment.act(stand, clear, request.user.name, why, request.now_us)
    detail = {"action": action, "accounts": len(stand)}
    request.store.look(request.user.name, "steps ended by an appeal", case, detail, request.now_us)
    return to_case(request, case, "lifted" if request.deployment.in_force() else "late")


def _sanction_authors(request: PageRequest, case: str, accounts: Sequence[str]) -> dict[str, str]:
    """Return who took part in actions on the accounts of an appeal, and in which."""
    deployment = request.deployment
    set_here = dict(deployment.step_authors(accounts)) if isinstance(deployment, StepRecord) else {}
    return set_here | requested_steps.participants(request.store, handling.related_cases(request.store, case))


def split(request: PageRequest) -> Response:
    """Make the selected accounts a case of their own, and redirect to it."""
    picked = request.accounts()
    if not picked:
        raise ConsoleError("pick at least one account in the table first")
    new_case = handling.split(request.store, request.part("case"), picked, **request.stated())
    return to_case(request, new_case.id, "split")


def export(request: PageRequest) -> Response:
    """Return the case in another program's format, after recording the export."""
    case, name = request.part("case"), request.form("form", 40)
    if name not in EXPORTS:
        raise ConsoleError(f"{name!a} is nothing a case leaves as here; give one of {', '.join(EXPORTS)}")
    ready = prepare(request.store, case, EXPORTS[name], now_us=request.now_us)
    release(request.store, ready, None, who=request.user.name, now_us=request.now_us, why=request.why())
    ending = "cef" if name == "cef" else "json"
    headers = {"content-disposition": f'attachment; filename="{case}-{name}.{ending}"'}
    kind = "text/plain; charset=utf-8" if name == "cef" else "application/json"
    return Response(ready.data, 200, headers, media_type=kind)


def undo(request: PageRequest) -> Response:
    """Undo an act."""
    case, act = request.part("case"), request.form_number("act")
    if act is None:
        raise ConsoleError("which act is to be taken back?")
    handling.undo(request.store, case, act, **request.stated())
    return to_case(request, case, "undone")
