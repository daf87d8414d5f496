"""Working on a case: owner, notes, verdicts, suppression, appeals, undo. Each is one of `cases.handling`."""

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


def _verdict(asked: PageRequest) -> Verdict:
    name = asked.form("verdict", 40)
    try:
        return Verdict(name)
    except ValueError:
        raise ConsoleError(f"verdict is {name!a}; give one of {', '.join(Verdict)}") from None


def take(asked: PageRequest) -> Response:
    """Make whoever asks the owner."""
    case, me = asked.part("case"), asked.user.name
    handling.assign(asked.store, case, me, who=me, why="", now_us=asked.now_us, if_revision=asked.revision())
    if asked.form("back", 20) == "queue":
        return RedirectResponse(asked.url("/queue", done="taken"), 303)
    return to_case(asked, case, "taken")


def assign(asked: PageRequest) -> Response:
    """Change the owner."""
    case, owner = asked.part("case"), asked.form("owner", 200)
    handling.assign(asked.store, case, owner or None, **asked.stated())
    return to_case(asked, case, "assigned")


def note(asked: PageRequest) -> Response:
    """Keep a note, and tell whom it mentions. It changes nothing that stands, so it needs no revision."""
    case, text = asked.part("case"), asked.form("text")
    if not text:
        raise ConsoleError("the note is empty")
    inbox.note(asked.store, case, text, who=asked.user.name, now_us=asked.now_us)
    return to_case(asked, case, "noted")


def _or_wait(asked: PageRequest, act: Json, do: Callable[[], object], done: str) -> Response:
    """Do what dismisses a case or accounts; where that takes a second person, let it wait for one."""
    case = asked.part("case")
    try:
        do()
    except SecondPersonNeeded:
        revision = asked.revision()
        seen = asked.store.case(case, accounts=False).revision if revision is None else revision
        requested_dismissals.put(
            asked.store, asked.user.name, asked.why(), act, [PickedCase(case, seen)], asked.now_us
        )
        return to_case(asked, case, "waits")
    return to_case(asked, case, done)


def judge(asked: PageRequest) -> Response:
    """Keep a verdict of the case, and close it where that is asked for too."""
    case, verdict, stated = asked.part("case"), _verdict(asked), asked.stated()
    closes = asked.form("close", 10) == "yes"

    act = {"do": "close" if closes else "judge", "verdict": str(verdict)}
    do = handling.close if closes else handling.judge
    return _or_wait(asked, act, lambda: do(asked.store, case, verdict, **stated), "judged")


def judge_accounts(asked: PageRequest) -> Response:
    """Keep a verdict of the accounts that were picked."""
    case = asked.part("case")
    picked = asked.accounts()
    if not picked:
        raise ConsoleError("pick at least one account in the table first")
    if len(picked) > MOST_PICKED:
        raise ConsoleError(f"{len(picked)} accounts at once; pick at most {MOST_PICKED}")
    verdict = _verdict(asked)
    act = {"do": "judge accounts", "verdict": str(verdict), "accounts": picked}
    return _or_wait(
        asked,
        act,
        lambda: handling.judge_accounts(asked.store, case, picked, verdict, **asked.stated()),
        "judged",
    )


def close(asked: PageRequest) -> Response:
    """Close the case."""
    case, stated = asked.part("case"), asked.stated()
    act = {"do": "close", "verdict": asked.store.case(case, accounts=False).verdict}
    return _or_wait(asked, act, lambda: handling.close(asked.store, case, **stated), "closed")


def reopen(asked: PageRequest) -> Response:
    """Open a closed case again."""
    case = asked.part("case")
    handling.reopen(asked.store, case, **asked.stated())
    return to_case(asked, case, "reopened")


def suppress(asked: PageRequest) -> Response:
    """Keep the case out of the queue for some days."""
    case, days = asked.part("case"), asked.form_number("days", 30) or 0
    if not 0 < days <= MOST_DAYS:
        raise ConsoleError(f"days: give 1 to {MOST_DAYS:,}")
    until_us = asked.now_us + days * DAY_US
    owner = asked.form("owner", 200) or asked.user.name
    return _or_wait(
        asked,
        {"do": "suppress", "owner": owner, "until_us": until_us},
        lambda: handling.suppress(asked.store, case, owner=owner, until_us=until_us, **asked.stated()),
        "suppressed",
    )


def unsuppress(asked: PageRequest) -> Response:
    """End a suppression."""
    case = asked.part("case")
    handling.unsuppress(asked.store, case, **asked.stated())
    return to_case(asked, case, "unsuppressed")


def appeal(asked: PageRequest) -> Response:
    """Keep what a customer says against it."""
    case, text = asked.part("case"), asked.form("text")
    if not text:
        raise ConsoleError("the appeal is empty")
    account = next((name for name in asked.accounts() if name), None)
    handling.appeal(
        asked.store, case, text, account=account,
        who=asked.user.name, now_us=asked.now_us, if_revision=asked.revision(),
    )  # fmt: skip
    return to_case(asked, case, "appealed")


def decide(asked: PageRequest) -> Response:
    """Decide an appeal. Where it is granted, what stands against who appealed ends."""
    case, granted = asked.part("case"), asked.form("granted", 10) == "yes"
    number = asked.form_number("appeal")
    heard = {one.number: one.account for one in handling.appeals(asked.store, case)}
    if number is None and len(heard) == 1:
        (number,) = heard
    account = heard.get(number or 0)
    accounts = asked.store.case(case).accounts if account is None else (account,)
    handling.decide(
        asked.store, case, granted, number=number, sanctioned=_sanctioned(asked, case, accounts),
        **asked.stated(),
    )  # fmt: skip
    if not granted:
        return to_case(asked, case, "decided")
    stand = sorted(standings(asked, accounts) or ())
    if not stand or asked.deployment.acts is not None:
        return to_case(asked, case, "decided")
    why = f"appeal granted, {case}: {asked.why()}"
    clear = EnforcementStatus(Step.CLEAR, asked.now_us, why)
    action = asked.deployment.act(stand, clear, asked.user.name, why, asked.now_us)
    detail = {"action": action, "accounts": len(stand)}
    asked.store.look(asked.user.name, "steps ended by an appeal", case, detail, asked.now_us)
    return to_case(asked, case, "lifted" if asked.deployment.in_force() else "late")


def _sanctioned(asked: PageRequest, case: str, accounts: Sequence[str]) -> dict[str, str]:
    """Give who had a part in steps on the accounts of an appeal, and which."""
    there = asked.deployment
    set_here = dict(there.step_authors(accounts)) if isinstance(there, StepRecord) else {}
    return set_here | requested_steps.participants(asked.store, handling.related_cases(asked.store, case))


def split(asked: PageRequest) -> Response:
    """Make the accounts that were picked a case of their own, and lead on to it."""
    picked = asked.accounts()
    if not picked:
        raise ConsoleError("pick at least one account in the table first")
    made = handling.split(asked.store, asked.part("case"), picked, **asked.stated())
    return to_case(asked, made.id, "split")


def export(asked: PageRequest) -> Response:
    """Give the case in another program's words, once it is on record that it left."""
    case, name = asked.part("case"), asked.form("form", 40)
    if name not in EXPORTS:
        raise ConsoleError(f"{name!a} is nothing a case leaves as here; give one of {', '.join(EXPORTS)}")
    ready = prepare(asked.store, case, EXPORTS[name], now_us=asked.now_us)
    release(asked.store, ready, None, who=asked.user.name, now_us=asked.now_us, why=asked.why())
    ending = "cef" if name == "cef" else "json"
    headers = {"content-disposition": f'attachment; filename="{case}-{name}.{ending}"'}
    kind = "text/plain; charset=utf-8" if name == "cef" else "application/json"
    return Response(ready.data, 200, headers, media_type=kind)


def undo(asked: PageRequest) -> Response:
    """Take an act back."""
    case, act = asked.part("case"), asked.form_number("act")
    if act is None:
        raise ConsoleError("which act is to be taken back?")
    handling.undo(asked.store, case, act, **asked.stated())
    return to_case(asked, case, "undone")
