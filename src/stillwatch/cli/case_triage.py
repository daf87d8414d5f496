"""`stillwatch case triage`: one operation on several cases, recorded for each of them."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from stillwatch.cases import Case, CaseState, Json, Verdict, handling, reading, triage
from stillwatch.cases.reading import Filter, find
from stillwatch.cases.store import Store
from stillwatch.cases.triage import DISMISSALS, MOST_AT_ONCE, PickedCase, TriageOutcome
from stillwatch.cli.case_changing import Approver, Why, case_as_json
from stillwatch.cli.case_opening import HERE, CasePlace
from stillwatch.cli.folder import AsJson, span_s, table, whoami
from stillwatch.cli.main import CANNOT, one_line, print_json
from stillwatch.errors import InputError
from stillwatch.report.amounts import plural
from stillwatch.units import utc_us


class TriageVerb(StrEnum):
    """What can be done to several cases."""

    dismiss = "dismiss"
    assign = "assign"
    due = "due"
    merge = "merge"


DONE = {
    TriageVerb.dismiss: "dismissed",
    TriageVerb.assign: "assigned",
    TriageVerb.due: "given a due date",
    TriageVerb.merge: "merged",
}


@dataclass(frozen=True)
class QueueChoice:
    """The options that select cases of the queue."""

    state: Annotated[list[CaseState] | None, typer.Option(help="Only cases in this state.")] = None
    owner: Annotated[str | None, typer.Option(help="Only of this owner; `none`: without an owner.")] = None
    account: Annotated[str | None, typer.Option(help="Only cases that this account is in.")] = None
    text: Annotated[str | None, typer.Option(help="Only cases with this text in title or id.")] = None
    note: Annotated[str | None, typer.Option(help="Only cases with this text in a note or a reason.")] = None

    def queue_filter(self, limit: int, verdict: Verdict | None = None, every: bool = False) -> Filter:
        """Return the filter; it includes closed and suppressed cases if `every` is true."""
        open_ones = () if every else (CaseState.NEW, CaseState.OPEN)
        return Filter(
            states=tuple(self.state) if self.state else open_ones,
            verdicts=() if verdict is None else (verdict,),
            owner=self.owner,
            account=self.account,
            text=self.text,
            note=self.note,
            suppressed=None if every else False,
            limit=limit,
        )


WHOLE_QUEUE = QueueChoice()


def triage_command(
    what: Annotated[TriageVerb, typer.Argument(metavar="VERB", help="dismiss, assign, due or merge.")],
    named: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CASE]...", help="Cases, or CASE:REVISION: only if nobody has changed it."),
    ] = None,
    choice: QueueChoice = WHOLE_QUEUE,
    verdict: Annotated[
        Verdict, typer.Option("--as", metavar="VERDICT", help="To dismiss: false (no harvest) or permitted.")
    ] = Verdict.FALSE,
    to: Annotated[str | None, typer.Option(help="For assign: the new owner, or `none`.")] = None,
    after: Annotated[str | None, typer.Option(help="Due after this time: 4h, 2d.")] = None,
    approver: Approver = None,
    why: Why = "",
    limit: Annotated[
        int | None, typer.Option(help="At most so many, by due date.", min=1, max=MOST_AT_ONCE)
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Change nothing; show what would be done.")
    ] = False,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Apply one operation to several cases, named or selected as in `case list`. Each gets its own record.

    A case that cannot be changed does not stop the others: its error is printed, and the exit code is 2.

    $ stillwatch case triage dismiss --text homework --state new --why "one course" --dry-run
    $ stillwatch case triage assign --owner none --to ann --why "her week"
    $ stillwatch case triage merge case-9c1e case-7f3a --why "the same card"
    """
    if verdict not in DISMISSALS:
        raise InputError(f"--as {verdict}: dismisses no case; give one of {', '.join(DISMISSALS)}")
    if (what is TriageVerb.assign) == (to is None) or (what is TriageVerb.due) == (after is None):
        raise InputError(
            "assign needs --to NAME (none: nobody), due needs --after TIME; nothing else takes them"
        )
    if not why.strip() and not dry_run:
        raise InputError("say why with --why: it is what the next reader of the record has")
    by: Json = {"who": whoami(), "why": why, "now_us": utc_us()}
    due_us = 0 if after is None else by["now_us"] + 1_000_000 * span_s(after, "--after")
    second: Json = {"approver": approver} if approver else {}
    acts: dict[TriageVerb, Callable[[Store, PickedCase], Case]] = {
        TriageVerb.assign: lambda store, case: handling.assign(
            store,
            case.id,
            None if to == reading.NOBODY else to,
            if_revision=case.revision,
            **by,
        ),
        TriageVerb.due: lambda store, case: handling.set_due(
            store, case.id, due_us, if_revision=case.revision, **by
        ),
        TriageVerb.dismiss: lambda store, case: handling.close(
            store, case.id, verdict, if_revision=case.revision, **by, **second
        ),
    }
    into, alone = None, None
    with place.open() as store:
        picked = _picked_cases(store, named or [], choice, limit)
        if dry_run:
            outcomes = [TriageOutcome(case.id, store.case(case.id, accounts=False)) for case in picked]
            if what is TriageVerb.dismiss and not approver:
                alone = handling.dismissals_left(store, whoami(), by["now_us"])
        elif what is TriageVerb.merge:
            into, outcomes = triage.merge_all(store, picked, **by, **second)
        else:
            outcomes = triage.change_each(picked, lambda case: acts[what](store, case))
    if as_json:
        changed = 0 if dry_run else sum(outcome.refusal is None for outcome in outcomes)
        document = {"do": what, "dry_run": dry_run, "into": into, "changed": changed}
        rows = [_outcome_as_json(outcome) for outcome in outcomes]
        print_json(document | {"may_dismiss_alone": alone, "cases": rows})
    else:
        _print_outcomes(what, outcomes, into, alone, dry_run)
    if any(outcome.refusal for outcome in outcomes):
        raise typer.Exit(CANNOT)


def _picked_cases(store: Store, refs: list[str], choice: QueueChoice, limit: int | None) -> list[PickedCase]:
    """Return the named or matching cases. Raises: InputError, CaseError."""
    if refs:
        if choice != WHOLE_QUEUE or limit is not None:
            raise InputError(
                "name cases, or choose them with --state, --owner, --account, --text, --note: not both"
            )
        revisions: dict[str, int] = {}
        for text in refs:
            name, _, revision = text.partition(":")
            if revision and not (revision.isascii() and revision.isdigit() and len(revision) < 19):
                raise InputError(f"{text!a}: give CASE or CASE:REVISION")
            case = find(store, name)
            revisions[case] = int(revision) if revision else store.case(case, accounts=False).revision
        if len(revisions) > MOST_AT_ONCE:
            raise InputError(f"{len(revisions):,} cases at once; give at most {MOST_AT_ONCE}")
        return [PickedCase(case, revision) for case, revision in revisions.items()]
    if choice == WHOLE_QUEUE:
        raise InputError("name cases, or choose them with --state, --owner, --account, --text or --note")
    queue = reading.queue(store, choice.queue_filter(limit or MOST_AT_ONCE), utc_us())
    if not queue.cases:
        raise InputError("no case matches; `stillwatch case list` with the same options shows them")
    if limit is None and queue.total > MOST_AT_ONCE:
        raise InputError(
            f"{queue.how_many()} cases match, {MOST_AT_ONCE} at once are done: narrow them, or give --limit"
        )
    return [PickedCase(queued.id, queued.revision) for queued in queue.cases]


def _outcome_as_json(outcome: TriageOutcome) -> Json:
    return {
        "case": outcome.case,
        "refusal": outcome.refusal,
        "needs_approver": outcome.needs_second,
        "now": None if outcome.now is None else case_as_json(outcome.now),
    }


def _print_outcomes(
    triage_verb: TriageVerb, outcomes: list[TriageOutcome], into: str | None, alone: int | None, dry_run: bool
) -> None:
    rows = [
        (
            outcome.case,
            outcome.refusal or (f"would be {DONE[triage_verb]}" if dry_run else DONE[triage_verb]),
            f"{outcome.now.exchanges:,}" if outcome.now else "",
            outcome.now.title if outcome.now else "",
        )
        for outcome in outcomes
    ]
    table(("case", "outcome", "exchanges", "what"), rows, "nothing")
    if dry_run:
        print(f"{plural(len(outcomes), 'case')} would be {DONE[triage_verb]}; nothing was changed")
        if alone is not None and alone < len(outcomes):
            print(f"you may dismiss {alone} more alone today: the others need --approver, a second person")
        return
    changed = sum(outcome.refusal is None for outcome in outcomes)
    where = one_line(f", into {into}") if into else ""
    print(f"{changed} of {plural(len(outcomes), 'case')} {DONE[triage_verb]}{where}")
