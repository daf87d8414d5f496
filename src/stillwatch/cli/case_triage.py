"""`stillwatch case triage`: one thing done to several cases, each by an act of its own."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

import typer

from stillwatch.cases import Case, CaseState, Json, Verdict, handling, reading, triage
from stillwatch.cases.reading import Filter, find
from stillwatch.cases.store import Store
from stillwatch.cases.triage import DISMISSALS, MOST_AT_ONCE, PickedCase, TriageOutcome
from stillwatch.cli.case_changing import Why, plain
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
    """The options that say which cases of the queue are meant."""

    state: Annotated[list[CaseState] | None, typer.Option(help="Only cases in this state.")] = None
    owner: Annotated[str | None, typer.Option(help="Only this person's; none for nobody's.")] = None
    account: Annotated[str | None, typer.Option(help="Only cases that this account is in.")] = None
    text: Annotated[str | None, typer.Option(help="Only with these letters in title or id.")] = None
    note: Annotated[str | None, typer.Option(help="Only with these letters in a note or a reason.")] = None

    def queue_filter(self, limit: int, verdict: Verdict | None = None, every: bool = False) -> Filter:
        """Give the filter; closed and suppressed cases are in it where `every` says so."""
        open_ones = () if every else (CaseState.NEW, CaseState.OPEN)
        return Filter(
            states=tuple(self.state) if self.state else open_ones,
            verdict=verdict,
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
    to: Annotated[str | None, typer.Option(help="To assign: whose they are; none: nobody's.")] = None,
    after: Annotated[str | None, typer.Option(help="Due: so long from now, as 4h or 2d.")] = None,
    approver: Annotated[
        str | None, typer.Option(help="A second person, where many are dismissed within a day.")
    ] = None,
    why: Why = "",
    limit: Annotated[
        int | None, typer.Option(help="Of those that match: so many, due first.", min=1, max=MOST_AT_ONCE)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Change nothing; say what it would be.")] = False,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Do one thing to several cases, named or chosen as in `case list`. Each keeps a record of its own.

    A case that cannot be changed keeps none of the others back: it says why, and the exit code is 2.

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
        TriageVerb.assign: lambda store, one: handling.assign(
            store, one.id, None if to == reading.NOBODY else to, if_revision=one.revision, **by
        ),
        TriageVerb.due: lambda store, one: handling.set_due(
            store, one.id, due_us, if_revision=one.revision, **by
        ),
        TriageVerb.dismiss: lambda store, one: handling.close(
            store, one.id, verdict, if_revision=one.revision, **by, **second
        ),
    }
    into, alone = None, None
    with place.open() as store:
        picked = _picked_cases(store, named or [], choice, limit)
        if dry_run:
            done = [TriageOutcome(one.id, store.case(one.id, accounts=False)) for one in picked]
            if what is TriageVerb.dismiss and not approver:
                alone = handling.dismissals_left(store, whoami(), by["now_us"])
        elif what is TriageVerb.merge:
            into, done = triage.merge_all(store, picked, **by, **second)
        else:
            done = triage.change_each(picked, lambda one: acts[what](store, one))
    if as_json:
        print_json(_as_json(what, done, into, alone, dry_run))
    else:
        _print_outcomes(what, done, into, alone, dry_run)
    if any(one.refusal for one in done):
        raise typer.Exit(CANNOT)


def _picked_cases(store: Store, named: list[str], choice: QueueChoice, limit: int | None) -> list[PickedCase]:
    """Give the cases that were named, or those that match. Raises: InputError, CaseError."""
    if named:
        if choice != WHOLE_QUEUE or limit is not None:
            raise InputError(
                "name cases, or choose them with --state, --owner, --account, --text, --note: not both"
            )
        found: dict[str, int] = {}
        for text in named:
            name, _, revision = text.partition(":")
            if revision and not (revision.isascii() and revision.isdigit() and len(revision) < 19):
                raise InputError(f"{text!a}: give CASE or CASE:REVISION")
            case = find(store, name)
            found[case] = int(revision) if revision else store.case(case, accounts=False).revision
        if len(found) > MOST_AT_ONCE:
            raise InputError(f"{len(found):,} cases at once; give at most {MOST_AT_ONCE}")
        return [PickedCase(case, revision) for case, revision in found.items()]
    if choice == WHOLE_QUEUE:
        raise InputError("name cases, or choose them with --state, --owner, --account, --text or --note")
    queue = reading.queue(store, choice.queue_filter(limit or MOST_AT_ONCE), utc_us())
    if not queue.cases:
        raise InputError("no case matches; `stillwatch case list` with the same options shows them")
    if limit is None and queue.total > MOST_AT_ONCE:
        raise InputError(
            f"{queue.how_many()} cases match, {MOST_AT_ONCE} at once are done: narrow them, or give --limit"
        )
    return [PickedCase(one.id, one.revision) for one in queue.cases]


def _as_json(
    what: TriageVerb, done: list[TriageOutcome], into: str | None, alone: int | None, dry_run: bool
) -> Json:
    rows = [
        {
            "case": one.case,
            "refusal": one.refusal,
            "needs_approver": one.needs_second,
            "now": None if one.now is None else plain(one.now),
        }
        for one in done
    ]
    changed = 0 if dry_run else sum(one.refusal is None for one in done)
    return {
        "do": what, "dry_run": dry_run, "into": into, "changed": changed, "may_dismiss_alone": alone,
        "cases": rows,
    }  # fmt: skip


def _print_outcomes(
    what: TriageVerb, done: list[TriageOutcome], into: str | None, alone: int | None, dry_run: bool
) -> None:
    rows = [
        (
            one.case,
            one.refusal or (f"would be {DONE[what]}" if dry_run else DONE[what]),
            f"{one.now.exchanges:,}" if one.now else "",
            one.now.title if one.now else "",
        )
        for one in done
    ]
    table(("case", "outcome", "exchanges", "what"), rows, "nothing")
    if dry_run:
        print(f"{plural(len(done), 'case')} would be {DONE[what]}; nothing was changed")
        if alone is not None and alone < len(done):
            print(f"you may dismiss {alone} more alone today: the others need --approver, a second person")
        return
    changed = sum(one.refusal is None for one in done)
    where = one_line(f", into {into}") if into else ""
    print(f"{changed} of {plural(len(done), 'case')} {DONE[what]}{where}")
