"""Several cases of the queue at once: assign, set due, dismiss, merge, each through `cases.handling`."""

from typing import Any

from stillwatch.cases import Verdict, handling, triage
from stillwatch.cases.triage import DISMISSALS, MOST_AT_ONCE, PickedCase, TriageOutcome
from stillwatch.console import ConsoleError, requested_dismissals
from stillwatch.console.page_context import LONGEST_NAME, PageRequest, number
from stillwatch.console.page_forms import Shown
from stillwatch.console.pages.queue import queue_address
from stillwatch.units import HOUR_US

MOST_HOURS = 24 * 365
DONE = {"assign": "assigned", "due": "given a due date", "dismiss": "dismissed", "merge": "merged"}


def change_picked(request: PageRequest) -> Shown:
    """Do one thing to every selected case, and show the result for each."""
    picked, triage_verb = _picked_cases(request), request.form("do", 20)
    change: dict[str, Any] = {"who": request.user.name, "why": request.why(), "now_us": request.now_us}
    store, into, number = request.store, None, None
    if triage_verb == "assign":
        owner = request.form("owner", 200) or None
        outcomes = triage.change_each(
            picked,
            lambda case: handling.assign(store, case.id, owner, if_revision=case.revision, **change),
        )
    elif triage_verb == "due":
        hours = request.form_number("hours", 24) or 0
        if not 0 < hours <= MOST_HOURS:
            raise ConsoleError(f"hours: give 1 to {MOST_HOURS:,}")
        due_us = request.now_us + hours * HOUR_US
        outcomes = triage.change_each(
            picked,
            lambda case: handling.set_due(store, case.id, due_us, if_revision=case.revision, **change),
        )
    elif triage_verb == "dismiss":
        verdict = request.form("verdict", 40)
        if verdict not in DISMISSALS:
            raise ConsoleError(f"{verdict!a} dismisses no case; give one of {', '.join(DISMISSALS)}")
        outcomes = triage.change_each(
            picked,
            lambda case: handling.close(
                store, case.id, Verdict(verdict), if_revision=case.revision, **change
            ),
        )
        late = {outcome.case for outcome in outcomes if outcome.needs_second}
        if wait := [case for case in picked if case.id in late]:
            act = {"do": "close", "verdict": verdict}
            number = requested_dismissals.put(
                store, request.user.name, change["why"], act, wait, request.now_us
            )
    elif triage_verb == "merge":
        into, outcomes = triage.merge_all(store, picked, **change)
    else:
        raise ConsoleError(f"{triage_verb!a} is nothing that is done to several cases; {', '.join(DONE)} are")
    return outcome_page(request, DONE[triage_verb], outcomes, into, number)


def _picked_cases(request: PageRequest) -> list[PickedCase]:
    """Read the ticked boxes: a case and the revision that the page showed, `ID:REVISION`."""
    revisions: dict[str, int] = {}
    for text in request.all_of("case"):
        case, _, revision = text[:300].rpartition(":")
        if not case or not revision:
            raise ConsoleError(f"{text[:40]!a} is no picked case: open the queue anew")
        revisions[case] = number(revision, "revision", 0, 1 << 62)
    if not revisions:
        raise ConsoleError("pick at least one case in the queue first")
    if len(revisions) > MOST_AT_ONCE:
        raise ConsoleError(f"{len(revisions):,} cases at once; pick at most {MOST_AT_ONCE}")
    return [PickedCase(case, revision) for case, revision in revisions.items()]


def outcome_page(
    request: PageRequest,
    message: str,
    outcomes: list[TriageOutcome],
    into: str | None = None,
    number: int | None = None,
) -> Shown:
    """Show the result for each case. number: of a dismissal that waits for a second person."""
    view = {
        "done": message, "told": outcomes, "into": into, "number": number,
        "wait": sum(outcome.needs_second for outcome in outcomes) if number else 0,
        "changed": sum(outcome.refusal is None for outcome in outcomes),
        "back": queue_address(request, request.form("back", LONGEST_NAME)),
    }  # fmt: skip
    cases = [
        {"case": outcome.case, "refusal": outcome.refusal, "needs_second": outcome.needs_second}
        for outcome in outcomes
    ]
    data = {"done": message, "into": into, "waits": number, "cases": cases}
    return Shown("triage.html.j2", f"{len(outcomes)} cases", data, cases, view)
