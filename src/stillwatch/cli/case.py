"""`stillwatch case`: the queue, one case, its accounts and history, and the precision of detectors."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.api.exchanges import gateways
from stillwatch.cases import DetectorState, Verdict, feedback, leads, reading
from stillwatch.cases.alert import TokenPrices, alert
from stillwatch.cases.bundle.gather import ScannedLog
from stillwatch.cases.exports import Form
from stillwatch.cases.exports.sums import describe_leaving
from stillwatch.cases.exports.write import prepare, release
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import find
from stillwatch.cli.case_bundle import bundle
from stillwatch.cli.case_changing import CaseId, Why, add_verbs, case_as_json
from stillwatch.cli.case_filing import filing_command
from stillwatch.cli.case_opening import CASES, CASES_HERE, HERE, KEY, CasePlace, CasesAt, new_cases
from stillwatch.cli.case_text import alert_lines, event_row, lead_lines, lead_row, print_targets, words_of
from stillwatch.cli.case_triage import WHOLE_QUEUE, QueueChoice, triage_command
from stillwatch.cli.folder import AsJson, iso_time, table, whoami
from stillwatch.cli.main import print_json
from stillwatch.cli.options import (
    AS_CALLED,
    ConsoleUrl,
    EventSource,
    NameOptions,
    StampCa,
    StampUrl,
    Yes,
    may_leave,
    named_authority,
    sketch_key,
)
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.gateway.control.holds import schedules_in
from stillwatch.report.findings import load
from stillwatch.report.leads import NO_ACTION
from stillwatch.units import utc_us

app = group("Cases: show, judge, undo.")
add_verbs(app)
verb(app, "triage")(triage_command)
verb(app, "filing")(filing_command)


class Which(StrEnum):
    """The accounts of a case to show."""

    actor = "actor"
    victim = "victim"
    cleared = "cleared"
    moved = "moved"
    provisional = "provisional"
    unnamed = "unnamed"


class CaseExportShape(StrEnum):
    """The export format of a case: another program's, or evidence with its own checker."""

    ocsf = "ocsf"
    incident = "incident"
    cef = "cef"
    cloudevent = "cloudevent"
    stix = "stix"
    bundle = "bundle"


@verb(app, "list")
def list_command(
    choice: QueueChoice = WHOLE_QUEUE,
    verdict: Annotated[Verdict | None, typer.Option(help="Only cases with this verdict.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Include closed and suppressed cases.")] = False,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 100,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Show the queue: first by due date, then by size of harvest.

    $ stillwatch case list
    $ stillwatch case list --owner none --state new --json | jq -r '.cases[].id'
    $ stillwatch case list --all --account acct_1234
    """
    with place.reading() as store:
        queue = reading.queue(store, choice.queue_filter(limit, verdict, every), utc_us())
    if as_json:
        totals = {"total": queue.total, "more": queue.more, "counts": queue.counts}
        print_json(totals | {"cases": [case_as_json(c) for c in queue.cases]})
        return
    rows = [
        (c.id, c.state, c.verdict, c.owner, iso_time(c.due_us), f"{c.members:,}", f"{c.exchanges:,}", c.title)
        for c in queue.cases
    ]
    heads = ("case", "state", "verdict", "owner", "due", "accounts", "exchanges", "what")
    table(heads, rows, "no case waits for anybody")
    if queue.more or queue.total > len(rows):
        print(f"{len(rows):,} of {queue.how_many()}; --limit shows more")
    if not every and queue.counts["suppressed"]:
        print(f"{queue.counts['suppressed']:,} suppressed; --all shows them too")


@verb(app, "show")
def show_command(
    case: CaseId,
    price: Annotated[
        float | None, typer.Option(help="What a million output tokens cost them, in dollars.", min=0)
    ] = None,
    cost: Annotated[float | None, typer.Option(help="What they cost you, in dollars.", min=0)] = None,
    place: CasesAt = CASES_HERE,
    console: ConsoleUrl = "",
    as_json: AsJson = False,
) -> None:
    """Show one case: reasons, honest explanations, amount taken, confidence, next steps.

    $ stillwatch case show case-7f3a
    $ stillwatch case show case-7f3a --json > alert.json     (the whole alert: docs/cases.md)
    """
    with place.reading() as store:
        case_id = find(store, case)
        opened_from = leads.lead_of_case(store, case_id)
        if opened_from is not None and store.case(case_id, accounts=False).rests_on_lead:
            told_lead = {"case": case_id, "lead": opened_from.as_json()}
            print_json(told_lead) if as_json else print("\n".join(lead_lines(opened_from)))
            return
        report = alert(store, case_id, utc_us(), console, TokenPrices(cost, price))
    print_json(report.as_json()) if as_json else print("\n".join(alert_lines(report)))


@verb(app, "accounts")
def accounts_command(
    case: CaseId,
    targets: Annotated[
        bool, typer.Option("--targets", help="List accounts that an action may affect, one per line.")
    ] = False,
    weak: Annotated[
        bool, typer.Option("--weak", help="With --targets: those tied too weakly to the actor.")
    ] = False,
    which: Annotated[Which | None, typer.Option(help="Only accounts with this role in the case.")] = None,
    starts: Annotated[str, typer.Option(help="Only names with this prefix.")] = "",
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=1_000_000)] = 100,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Show the accounts of a case, or print those that an action may affect.

    $ stillwatch case accounts case-7f3a
    $ stillwatch case accounts case-7f3a --targets > them.txt
    $ stillwatch standing set --accounts-file them.txt --step throttle --why case-7f3a --dry-run
    """
    with place.reading() as store:
        case_id = find(store, case)
        if targets:
            print_targets(reading.targets(store, case_id), weak, as_json)
            return
        members, total = reading.members_of(store, case_id, which=which, starts=starts, limit=limit)
    if as_json:
        print_json({"total": total, "accounts": [asdict(m) for m in members]})
        return
    rows = [
        (
            m.account,
            iso_time(m.since_us),
            f"{m.exchanges:,}",
            m.verdict,
            f"moved to {m.moved_to}" if m.moved_to else "" if m.actor else "not the actor's",
            "provisional" if m.provisional else "" if m.named else "not named lately",
        )
        for m in members
    ]
    table(("account", "since", "exchanges", "verdict", "", ""), rows, "no such account")
    if total > len(members):
        print(f"{total - len(members):,} more; --limit shows more")


@verb(app, "leads")
def leads_command(
    lead: Annotated[str | None, typer.Argument(help="One lead, or the beginning of its id.")] = None,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=10_000)] = 100,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Show the leads of the latest scans, or one of them. No action may rest on a lead.

    $ stillwatch case leads
    $ stillwatch case leads lead-5b0c
    """
    with place.reading() as store:
        if lead is not None:
            chosen = leads.find_lead(store, lead)
        else:
            page, total = leads.leads(store, limit=limit)
    if lead is not None:
        print_json(chosen.as_json()) if as_json else print("\n".join(lead_lines(chosen)))
    elif as_json:
        print_json({"total": total, "note": NO_ACTION, "leads": [stored.as_json() for stored in page]})
    else:
        heads = ("lead", "accounts", "exchanges", "answer tokens", "since", "case", "why it is no finding")
        table(heads, [lead_row(stored) for stored in page], "the latest scans have no leads")
        if page:
            print(NO_ACTION)
        if total > len(page):
            print(f"{total - len(page):,} more; --limit shows more")


@verb(app, "open")
def open_command(
    lead: Annotated[str, typer.Argument(metavar="LEAD", help="A lead, or the beginning of its id.")],
    why: Why = "",
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Open a case from a lead by hand, so that people can work on it. No action may rest on it.

    $ stillwatch case open lead-5b0c --why "their support asks about bulk export"
    """
    with place.open() as store:
        stored = leads.find_lead(store, lead)
        case = leads.open_case(store, stored.lead.id, who=whoami(), why=why, now_us=utc_us())
    if as_json:
        print_json(case_as_json(case))
    else:
        print(f"{case.id} is open: {case.members:,} accounts. {NO_ACTION}")


@verb(app, "log")
def log_command(
    case: CaseId,
    limit: Annotated[int, typer.Option(help="How many to show, newest first.", min=1, max=100_000)] = 50,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Show the history of a case: findings and people's acts, with the numbers that undo takes.

    $ stillwatch case log case-7f3a --limit 20
    """
    with place.reading() as store:
        events = reading.timeline(store, find(store, case), limit=limit)
    if as_json:
        print_json([asdict(event) for event in events])
        return
    table(("at", "act", "who", "what", "why"), [event_row(event) for event in events], "nothing has happened")


@verb(app, "fold")
def fold_command(
    report: Annotated[Path, typer.Argument(help="Folder that `stillwatch scan` wrote.")],
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Add the findings of a report to cases. Repeating it changes nothing.

    $ stillwatch case fold stillwatch-report --folder stillwatch-serve
    """
    result = load(report)
    with new_cases(
        place.cases or f"sqlite:///{place.folder / CASES}",
        place.audit_key or place.folder / KEY,
        place.audit_witness,
    ) as store:
        folded = fold(store, result, utc_us(), f"report {report.name}")
    if as_json:
        print_json(asdict(folded))
        return
    print(words_of(folded))
    print(f"In {store.name}. A console opened on a report keeps cases of its own in that report's folder.")
    if place.cases is None:
        print(f"Next: stillwatch console {place.folder}")


@verb(app, "detectors")
def detectors_command(
    months: Annotated[bool, typer.Option("--months", help="Month by month.")] = False,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Show how often each detector was right, by people's verdicts, and what its alarms may do.

    $ stillwatch case detectors
    $ stillwatch case detectors --months --json
    """
    with place.reading() as store:
        standing = feedback.states(store)
        record = {} if months else feedback.measure_all(store, utc_us())
        records = (
            feedback.by_month(store)
            if months
            else [record.get(name) or feedback.nothing_said(name) for name in standing]
        )
    if as_json:
        rows = [asdict(entry) | {"state": str(standing[entry.detector].state)} for entry in records]
        print_json(rows)
        return
    table(
        (
            "detector",
            "month",
            "state",
            "right",
            "judged",
            "95 % interval",
            "permitted",
            "undecided",
            "judges",
        ),
        [
            (
                entry.detector + ("" if not standing[entry.detector].raises else " (raises)"),
                entry.month or "180 days",
                standing[entry.detector].state,
                entry.right,
                entry.judged,
                "" if entry.low is None or entry.high is None else f"{entry.low:.0%} to {entry.high:.0%}",
                entry.permitted,
                entry.undecided,
                entry.judges,
            )
            for entry in records
        ],
        "no detector has spoken of a case yet",
    )


@verb(app, "detector")
def detector_command(
    detector: Annotated[str, typer.Argument(help="Its name.")],
    state: Annotated[DetectorState, typer.Argument(help="What its alarms may do.")],
    why: Why = "",
    place: CasePlace = HERE,
) -> None:
    """Change what a detector's alarms may do: less at any time, more only with evidence.

    $ stillwatch case detector lone_harvest shadow --why "three false cases this week"
    $ stillwatch case detector coordinated_harvest act --why "24 of 24 right, by three of us"
    """
    with place.open() as store:
        now = feedback.set_state(store, detector, state, who=whoami(), why=why, now_us=utc_us())
    print(f"{now.detector} is on {now.state}")


@verb(app, "export")
def export_command(
    case: CaseId,
    form: Annotated[CaseExportShape, typer.Option(help="Format; bundle: evidence.")] = CaseExportShape.ocsf,
    out: Annotated[Path | None, typer.Option(help="Output file; default: standard output.")] = None,
    log: Annotated[
        list[Path] | None, typer.Option(help="For a bundle: the log that was scanned; may be given again.")
    ] = None,
    accounts: Annotated[
        Path | None, typer.Option(help="For a bundle: the accounts that were scanned with it.")
    ] = None,
    key_file: Annotated[
        Path | None, typer.Option(help="For a bundle: the key of the log's sketches, as in scan.")
    ] = None,
    assume_utc: Annotated[bool, typer.Option("--assume-utc", help="For a bundle: as in scan.")] = False,
    names: NameOptions = AS_CALLED,
    with_set_aside: Annotated[
        bool, typer.Option("--with-set-aside", help="In a bundle: name honest accounts that were set aside.")
    ] = False,
    stamp: StampUrl = None,
    stamp_ca: StampCa = None,
    yes: Yes = False,
    place: CasePlace = HERE,
    console: ConsoleUrl = "",
    source: EventSource = "",
) -> None:
    """Export one case in another program's format, or as evidence. The export names accounts.

    $ stillwatch case export case-7f3a --form ocsf --out finding.json
    $ stillwatch case export case-7f3a --form bundle --log logs/may.parquet --accounts a.csv --out evidence
    $ stillwatch case export case-7f3a --form bundle --out e.zip --stamp http://tsa.example --stamp-ca tsa.pem

    Lists what leaves and asks before exporting; --yes answers in advance. For another provider use
    `stillwatch indicators export`, which names no accounts.
    """
    now_us, stamped_by = utc_us(), named_authority(stamp, stamp_ca)
    if stamped_by is not None and form is not CaseExportShape.bundle:
        raise InputError("--stamp: only a bundle is stamped (--form bundle)")
    if with_set_aside and form is not CaseExportShape.bundle:
        raise InputError("--with-set-aside: only a bundle can name whom a finding set aside (--form bundle)")
    with place.open() as store:
        if form is CaseExportShape.bundle:
            key, paths = sketch_key(log or [], key_file), log or []
            holds = tuple(hold for folder in gateways(paths) for hold in schedules_in(folder.state))
            scanned = ScannedLog(paths, accounts, key, assume_utc, names.columns, holds)
            log_given = scanned if paths else None
            aside = with_set_aside
            bundle(store, case, out, log_given, aside, yes=yes, now_us=now_us, stamped_by=stamped_by)
            return
        export_form, case_id = Form(form.value), find(store, case)
        ready = prepare(store, case_id, export_form, now_us=now_us, base_url=console, source=source)
        may_leave(describe_leaving(ready.leaving), str(out or "standard output"), yes)
        release(store, ready, out, who=whoami(), now_us=now_us)
    if out is None:
        typer.get_binary_stream("stdout").write(ready.data)
