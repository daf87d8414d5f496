"""`stillwatch indicators`: share a campaign's indicators with a partner, search for theirs, and reply."""

import os
import re
import sys
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Annotated, TextIO

import typer
from rich.console import Console

from stillwatch.cases import Case, reading
from stillwatch.cases.exports import Form
from stillwatch.cases.exports.marking import Tlp, mark
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.sums import describe_leaving
from stillwatch.cases.exports.taxii import objects_of, open_collection, pull_objects, push_objects
from stillwatch.cases.exports.write import (
    VALID_DAYS,
    ReadyExport,
    ToPartner,
    campaigns,
    check_verdict,
    prepare,
    release,
    under_key,
    write_file,
)
from stillwatch.cases.handling import note
from stillwatch.cases.indicators import Hits, Indicator, IndicatorKind, Partner
from stillwatch.cases.indicators.collection import (
    exported_cases,
    files_in,
    for_collection,
    missing_ids,
    read_export,
)
from stillwatch.cases.indicators.gather import DEFAULT, gather
from stillwatch.cases.indicators.keys import IndicatorKey, create, own_key, read_exchange
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.cases.indicators.partner import read_partners
from stillwatch.cases.indicators.plain_values import PlainIndicator, PlainKind, gather_plain
from stillwatch.cases.indicators.search import search
from stillwatch.cases.indicators.shelf import place_key, shelf_of
from stillwatch.cases.indicators.sighting import read_sightings, sentence, sighting_bundle
from stillwatch.cases.reading import acts, find
from stillwatch.cases.store import Store
from stillwatch.cli.case_changing import CaseId
from stillwatch.cli.case_opening import CASES_HERE, HERE, CasePlace, CasesAt
from stillwatch.cli.folder import FOLDER, AsJson, AtFolder, whoami
from stillwatch.cli.hits import show_hits, show_partners
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import NameOptions, Unjudged, Yes, may_leave, sketch_key
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.exchanges.read import read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.exchanges.sources import is_gateway
from stillwatch.report.amounts import plural
from stillwatch.report.terminal import progress
from stillwatch.units import us, utc_us

app = group("Share a campaign's indicators with partners; search for theirs.")

REJECTED = 3
PROFILE_FILES = ("profile.json", "vectors.json", "matcher.py", "misp-object.json")

Logs = Annotated[list[str], typer.Argument(metavar="LOG...", help="Files, folders or globs, as for scan.")]
MaybeLogs = Annotated[
    list[str] | None, typer.Argument(metavar="[LOG...]", help="Your history: files, folders, globs.")
]
PartnerFile = Annotated[Path, typer.Argument(metavar="FILE", help="What the partner sent: a STIX bundle.")]
ExchangeKey = Annotated[
    Path,
    typer.Option(
        "--exchange-key", help="The key shared with this partner.", envvar="STILLWATCH_EXCHANGE_KEY"
    ),
]
Sender = Annotated[
    str, typer.Option(help="Your organisation's name, as it goes out.", envvar="STILLWATCH_SENDER")
]
Kinds = Annotated[
    list[IndicatorKind] | None,
    typer.Option("--kind", help="Kind of indicator; repeatable. Else all of wording."),
]
AccountsFile = Annotated[
    Path | None, typer.Option("--accounts", help="Accounts table: for payment and email-domain.")
]
KeyFile = Annotated[
    Path | None,
    typer.Option(help="Key of logs that hold sketches instead of texts.", envvar="STILLWATCH_KEY_FILE"),
]
Since = Annotated[str | None, typer.Option(help="Only exchanges from this day or time (UTC) on.")]
Until = Annotated[str | None, typer.Option(help="Only exchanges before this day or time (UTC).")]
AssumeUtc = Annotated[bool, typer.Option(help="Treat times without a zone as UTC.")]


@dataclass(frozen=True)
class HistoryOptions(NameOptions):
    """The options by which a log is read here, as in scan."""

    accounts: AccountsFile = None
    key_file: KeyFile = None
    assume_utc: AssumeUtc = False


AS_IN_SCAN = HistoryOptions()
CollectionUrl = Annotated[
    str,
    typer.Option(
        help="URL of the collection: https://HOST/ROOT/collections/ID/.", envvar="STILLWATCH_TAXII_COLLECTION"
    ),
]
CollectionCa = Annotated[
    Path | None, typer.Option("--ca", help="PEM file of certificates to trust instead of the system's.")
]
Unsealed = Annotated[
    bool, typer.Option("--unsealed", help="Accept a missing or broken seal: the origin is unproven.")
]


@verb(app, "keygen")
def keygen_command(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="File for the new key; an existing one is not overwritten.")
    ],
) -> None:
    """Create an exchange key for one partner, and print its fingerprint, which both sides may compare.

    $ stillwatch indicators keygen partner-b.key

    Give it only to this partner, over a trusted channel: anyone who has it can test guesses.
    """
    print(f"{file}: key {create(file).fingerprint}")


@verb(app, "profile")
def profile_command(
    out: Annotated[Path, typer.Option(help="Folder for the files; created if needed.")],
) -> None:
    """Write what a partner without Stillwatch needs: profile, test vectors, matcher, MISP template.

    $ stillwatch indicators profile --out for-partner

    The partner validates a file with profile.json (JSON Schema), tests an own implementation with
    vectors.json, and searches a log with matcher.py, which needs only Python.
    """
    with refuse_os_errors(InputError, f"{out}: cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
        for name in PROFILE_FILES:
            (out / name).write_bytes(files("stillwatch.cases.exchange").joinpath(name).read_bytes())
            print(out / name)


@verb(app, "share")
def share_command(
    file: Annotated[Path, typer.Argument(metavar="KEY", help="The exchange key of a partner.")],
    folder: AtFolder = FOLDER,
) -> None:
    """Let a gateway also sketch its traffic under a partner's key, for later searches.

    $ stillwatch indicators share partner-a.key --folder stillwatch-serve

    A gateway keeps no prompts, and its own sketches are useless to a partner. This stores additional ones,
    for as long as the policy keeps sketches. Remove the file in the folder's partners/ to stop.
    """
    if not is_gateway(folder):
        raise InputError(f"{folder}: is no gateway's folder; `stillwatch serve` makes one, --folder names it")
    key = place_key(folder, file).fingerprint
    print(f"from now on what {folder} serves can be compared under key {key}, not what it served before")


@verb(app, "export")
def export_command(
    case: CaseId,
    logs: Logs,
    exchange_key: ExchangeKey,
    sender: Sender,
    tlp: Annotated[str, typer.Option(help="clear, green, amber or amber+strict.")],
    kind: Kinds = None,
    plain: Annotated[
        list[PlainKind] | None,
        typer.Option(
            "--plain",
            help="Also in plain text, for programs without the key; repeatable. TLP amber at least.",
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output file; default: standard output.")] = None,
    valid_days: Annotated[
        int, typer.Option(help="Days for which an indicator is valid.", min=1, max=3650)
    ] = (VALID_DAYS),
    hashed_accounts: Annotated[
        bool, typer.Option(help="Also keyed hashes of account names: a partner can test guesses.")
    ] = False,
    misp: Annotated[
        bool, typer.Option("--misp", help="In MISP's dialect: not for `import` or the matcher.")
    ] = False,
    unjudged: Unjudged = "",
    yes: Yes = False,
    options: HistoryOptions = AS_IN_SCAN,
    place: CasePlace = HERE,
) -> None:
    """Export a case for a partner: STIX 2.1 with keyed indicators of what its accounts share.

    No prompt, no name. --plain adds networks, autonomous systems, mail domains or, with TLP amber+strict,
    names of accounts that may be acted on. The case must have been judged true, unless --unjudged.

    $ stillwatch indicators export case-7f3a logs/ --exchange-key b.key --sender Al --tlp amber --out a.json
    $ stillwatch indicators export case-7f3a logs/ --exchange-key b.key --sender Al --tlp green --kind network

    Lists what leaves and asks before exporting; --yes answers in advance. TLP:RED is refused.
    """
    chosen = mark(tlp)
    key = read_exchange(exchange_key)
    history, rejects = _history(logs, key, options), Rejects()
    now_us = utc_us()
    with place.open() as store:
        subject = store.case(find(store, case))
        check_verdict(subject, unjudged)
        judged = reading.judged_true(store, subject.id)
        marks = _gather(history, subject.accounts, kind, rejects, judged)
        values = _gather_plain(history, store, subject, plain or ())
        partner = ToPartner(key, sender, chosen, marks, valid_days, hashed_accounts, values, unjudged, misp)
        ready = prepare(store, subject.id, Form.STIX, now_us=now_us, partner=partner)
        may_leave(describe_leaving(ready.leaving), str(out or "standard output"), yes)
        release(store, ready, out, who=whoami(), now_us=now_us)
    if out is None:
        typer.get_binary_stream("stdout").write(ready.data)
    _say_rejected(rejects)


@verb(app, "import")
def import_command(
    file: PartnerFile,
    exchange_key: ExchangeKey,
    logs: MaybeLogs = None,
    since: Since = None,
    until: Until = None,
    answer: Annotated[Path | None, typer.Option(help="Write a sighting for the partner here.")] = None,
    sender: Annotated[
        str, typer.Option(help="With --answer: your organisation's name.", envvar="STILLWATCH_SENDER")
    ] = "",
    yes: Yes = False,
    noted: Annotated[
        bool, typer.Option("--note", help="Add a note to each of your cases with matching accounts.")
    ] = False,
    unsealed: Unsealed = False,
    options: HistoryOptions = AS_IN_SCAN,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Import a partner's indicators: check them, search your log for them, and reply with a sighting.

    $ stillwatch indicators import a.json logs/ --exchange-key a.key --since 2026-05-01
    $ stillwatch indicators import a.json logs/ --exchange-key a.key --answer to-a.json --sender "Beta GmbH"
    $ stillwatch indicators import a.json logs/ --exchange-key a.key --note --folder stillwatch-serve

    Without a log, only the file's content is shown. The reply names nobody: counts, first and last by the
    hour.
    """
    key, now_us = read_exchange(exchange_key), utc_us()
    if (answer is not None or noted) and not logs:
        raise InputError(f"{'--note' if noted else '--answer'} needs a log to look in")
    received = read_partners(file, key, now_us, unsealed)
    if not logs:
        show_partners(received.partners, received.sealed, as_json)
        return
    history, rejects = _history(logs, key, options), Rejects()
    hits = [_search(history, partner, since, until, rejects) for partner in received.partners]
    show_hits(hits, (), as_json)
    if noted:
        _note_on_cases(hits, place, now_us, sys.stderr if as_json else sys.stdout)
    if answer is not None:
        _answer(hits, key, sender, answer, yes, now_us)
    _say_rejected(rejects)


@verb(app, "search")
def search_command(
    case: CaseId,
    logs: Logs,
    since: Since = None,
    until: Until = None,
    kind: Kinds = None,
    options: HistoryOptions = AS_IN_SCAN,
    place: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Search your own log for what a case's accounts share: which others sent it, and since when.

    $ stillwatch indicators search case-7f3a logs/ --since 2026-05-01     who else sent this?
    $ stillwatch indicators search case-7f3a stillwatch-serve --kind wording --json
    """
    key = _own_key(logs, options.key_file)
    history, rejects = _history(logs, key, options), Rejects()
    with place.reading() as store:
        case_found = store.case(find(store, case))
    marks = _gather(history, case_found.accounts, kind, rejects)
    partner = _as_partner(case_found, marks)
    show_hits([_search(history, partner, since, until, rejects, own=True)], case_found.accounts, as_json)
    _say_rejected(rejects)


@verb(app, "sightings")
def sightings_command(
    file: PartnerFile,
    exchange_key: ExchangeKey,
    sender: Sender,
    unsealed: Unsealed = False,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Import a partner's reply: each sighting becomes a note on its case.

    $ stillwatch indicators sightings from-b.json --exchange-key b.key --sender "Alpha Inc."

    Give the same --sender as in the export.
    """
    key = read_exchange(exchange_key)
    answers = read_sightings(file, key, utc_us(), unsealed)
    with place.open() as store:
        own_campaigns = campaigns(store, sender)
        rows = []
        for answer in answers:
            of = own_campaigns.get(answer.of)
            if of is not None and not _went_to(store, of, key):
                of = None
            if of is not None and not _is_noted(store, of, sentence(answer)):
                note(store, of, sentence(answer), who=whoami(), now_us=utc_us())
            rows.append(asdict(answer) | {"case": of})
    if as_json:
        print_json(rows)
    else:
        for answer, row in zip(answers, rows, strict=True):
            print(f"{row['case'] or 'no case of yours'}: {one_line(sentence(answer))}")
    if all(row["case"] is None for row in rows):
        raise InputError(
            f"{file}: answers no case of yours that left under key {key.fingerprint}; was it exported from "
            f"these cases, with --sender {sender!a}?"
        )


@verb(app, "push")
def push_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `export` or `import --answer` wrote.")],
    collection: CollectionUrl,
    ca: CollectionCa = None,
    unjudged: Unjudged = "",
    yes: Yes = False,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Upload an export or a reply to a collection of a TAXII 2.1 server.

    $ stillwatch indicators push to-b.json --collection https://taxii.example/api1/collections/91a7b528/

    Name and password are read from STILLWATCH_TAXII_USER and STILLWATCH_TAXII_PASSWORD, or a token from
    STILLWATCH_TAXII_TOKEN. The rules of `export` apply: the case must be judged true now, or --unjudged says
    why, and the destination is recorded. Everyone who reads the collection gets it.
    """
    to = open_collection(collection, os.environ, ca)
    raw, objects, left_out = read_export(file)
    if left_out.names_accounts:
        raise InputError(f"{file}: names accounts, who stay with one partner: give him the file itself")
    lines = [*describe_leaving(left_out), "readers: everybody who may read the collection"]
    now_us = utc_us()
    if any(stix_object["type"] == "campaign" for stix_object in objects):
        with place.open() as store:
            of = exported_cases(store, raw)
            if not of:
                raise InputError(
                    f"{file}: no case has it on record as its export: `stillwatch indicators export` does"
                )
            ready = ReadyExport(of[-1], raw, left_out, check_verdict(store.case(of[-1]), unjudged), to.name)
            may_leave(lines, to.name, yes)
            release(store, ready, None, who=whoami(), now_us=now_us)
    else:
        may_leave(lines, to.name, yes)
    for_partner = for_collection(objects)
    requests = push_objects(to, for_partner)
    if as_json:
        print_json(
            {
                "collection": to.name,
                "objects": len(for_partner),
                "requests": requests,
                "sha256": left_out.sha256,
            }
        )
    else:
        print(f"{to.name}: took {plural(len(for_partner), 'object')}")


@verb(app, "pull")
def pull_command(
    collection: CollectionUrl,
    out: Annotated[Path, typer.Option(help="Folder that gets a file for each campaign and each answer.")],
    added_after: Annotated[
        str | None, typer.Option(help="Only objects added after this time, as printed by the last pull.")
    ] = None,
    ca: CollectionCa = None,
    exchange_key: Annotated[
        Path | None,
        typer.Option("--exchange-key", help="Only files sealed under this key, the newest of each."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Download campaigns and replies from a collection of a TAXII 2.1 server, each into its own file.

    $ stillwatch indicators pull --collection https://taxii.example/api1/collections/91a7b528/ --out from-b
    $ stillwatch indicators import from-b/campaign--40fb9fe2….json logs/ --exchange-key a.key

    Credentials as for push. Nothing is trusted yet: `import` and `sightings` check the seal. If others may
    write to the collection too, give the key; otherwise their version of a campaign may be the newest.
    """
    key = None if exchange_key is None else read_exchange(exchange_key)
    of = open_collection(collection, os.environ, ca)
    page = pull_objects(of, added_after)
    files, others = files_in([*page.objects, *objects_of(of, missing_ids(page.objects))], key)
    with refuse_os_errors(InputError, f"{out}: cannot be written"):
        out.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, document in sorted(files.items()):
        write_file(out / f"{name}.json", to_bytes(document, indent=1) + b"\n")
    paths = [str(out / f"{name}.json") for name in sorted(files)]
    if as_json:
        print_json(
            {"files": paths, "objects": len(page.objects), "others": others, "added_last": page.added_last}
        )
        return
    for path in paths:
        print(one_line(path))
    print(f"{plural(len(page.objects), 'object')}, {others:,} of them in no campaign or answer")
    if page.added_last:
        print(f"next time: --added-after {one_line(page.added_last)}")


# --- parts ---


def _history(logs: Sequence[str], key: IndicatorKey, options: HistoryOptions) -> LogHistory:
    account_table = None
    if options.accounts is not None:
        account_table = read_accounts(options.accounts, rejects=Rejects(), assume_utc=options.assume_utc)
    raw = _stored_key(logs, options.key_file)
    shelves = {log: shelf_of(Path(log), key) for log in logs if is_gateway(Path(log))}
    if all(shelves.get(log) for log in logs):
        raw = None  # stored partner sketches are under this key
    elif any(shelves.values()):
        raise InputError(
            f"{', '.join(logs)}: give a gateway's folder alone: what it shares is under another key"
        )
    logs = [str(shelves.get(log) or log) for log in logs]
    return LogHistory(
        logs, key, None if raw is None else Sketcher(raw), account_table, options.assume_utc, options.columns
    )


def _stored_key(logs: Sequence[str], key_file: Path | None) -> bytes | None:
    """Return the key of the logs' sketches: the one given, or that of a gateway's folder."""
    raw = sketch_key([Path(log) for log in logs], key_file)
    return None if raw == DEFAULT_KEY else raw


def _own_key(logs: Sequence[str], key_file: Path | None) -> IndicatorKey:
    """Return the logs' own key if they have one; for plain logs any key will do, since nothing leaves."""
    return own_key(_stored_key(logs, key_file) or b"of this search alone, nothing of it is kept")


def _gather(
    history: LogHistory,
    members: Sequence[str],
    kinds: list[IndicatorKind] | None,
    rejects: Rejects,
    judged: Collection[str] = (),
) -> tuple[Indicator, ...]:
    with progress(Console(stderr=True), quiet=False) as tell:
        return gather(
            history,
            members,
            kinds or DEFAULT,
            rejects,
            lambda done, total: tell("gathering", done, total),
            judged,
        )


def _gather_plain(
    history: LogHistory, store: Store, case: Case, kinds: Sequence[PlainKind]
) -> tuple[PlainIndicator, ...]:
    """Collect what the accounts share, in plain text; names only of accounts that may be acted on."""
    values: tuple[PlainIndicator, ...] = ()
    for kind in dict.fromkeys(kinds):
        accounts = reading.targets(store, case.id).accounts if kind is PlainKind.ACCOUNT else case.accounts
        values += gather_plain(history, accounts, [kind], Rejects())
    return values


def _search(
    history: LogHistory,
    partner: Partner,
    since: str | None,
    until: str | None,
    rejects: Rejects,
    own: bool = False,
) -> Hits:
    with progress(Console(stderr=True), quiet=False) as tell:
        return search(
            history,
            partner,
            since_us=_time_us(since, "--since"),
            until_us=_time_us(until, "--until"),
            rejects=rejects,
            progress=lambda done, total: tell("searching", done, total),
            own=own,
        )


def _say_rejected(rejects: Rejects) -> None:
    """Report lines that could not be read, and exit with the code for that."""
    if rejects.count:
        rejected_text = f"{plural(rejects.count, 'line')} rejected, as in {rejects.examples[0]}"
        print(f"stillwatch: {one_line(rejected_text)}", file=sys.stderr)
        raise typer.Exit(REJECTED)


def _as_partner(case: Case, indicators: tuple[Indicator, ...]) -> Partner:
    """Turn one of our own cases into a partner's campaign, to search for it."""
    pairs = tuple((f"{indicator.kind}:{indicator.value}", indicator) for indicator in indicators)
    return Partner(case.id, "this case", case.id, Tlp.AMBER.value, case.opened_us, case.updated_us, pairs)


def _went_to(store: Store, case: str, key: IndicatorKey) -> bool:
    """Return whether a case was exported under a key: nobody may reply to what another partner received.

    Exports before 2026-12 do not record the key.
    """
    exports = [act.sets["export"] for act in acts(store, case) if act.verb == "export"]
    return any(export.get("to", under_key(key)) == under_key(key) for export in exports)


def _is_noted(store: Store, case: str, text: str) -> bool:
    """Return whether a reply was noted on the case before."""
    return any(act.verb == "note" and act.text == text for act in acts(store, case))


def _note_on_cases(hits: list[Hits], place: CasePlace, now_us: int, to: TextIO) -> None:
    """Record, in each case with accounts that match a partner's indicators, how many match."""
    with place.open() as store:
        for partner_hits in hits:
            inside: dict[str, int] = {}
            for match in partner_hits.accounts:
                for case_of_account in reading.account(store, match.account):
                    if case_of_account.member.moved_to is None:
                        inside[case_of_account.case.id] = inside.get(case_of_account.case.id, 0) + 1
            for case, hit_count in sorted(inside.items()):
                of = plural(store.case(case, accounts=False).members, "account")
                who = f"{partner_hits.partner.sender} (TLP:{partner_hits.partner.tlp.upper()})"
                partner_name = partner_hits.partner.name or partner_hits.partner.id
                text = f"{who} tells of {partner_name}: {hit_count:,} of the {of} here carry its marks."
                if not _is_noted(store, case, text):
                    note(store, case, text, who=whoami(), now_us=now_us)
                print(f"{case}: {one_line(text)}", file=to)
            if not inside:
                where = "`stillwatch scan LOG... --cases URL` opens cases of what it finds"
                print(f"no case of yours holds one of these accounts: {where}", file=to)


def _answer(hits: list[Hits], key: IndicatorKey, sender: str, out: Path, yes: bool, now_us: int) -> None:
    if any(found.fitting for found in hits):
        raise InputError(
            "marks that fit over a fifth of your accounts are not searched for and get no answer"
        )
    if len(hits) > 1:
        raise InputError(f"the file reports {len(hits)} campaigns; to answer, ask for a file with one")
    data, leaving = sighting_bundle(hits[0], key, sender=sender, now_us=now_us)
    may_leave(describe_leaving(leaving), str(out), yes)
    write_file(out, data)


def _time_us(text: str | None, option: str) -> int | None:
    """Parse a day or a time, in UTC. Raises: InputError."""
    if text is None:
        return None
    try:
        if not re.fullmatch(r"[0-9T:.+Z -]{8,40}", text):
            raise ValueError
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InputError(
            f"{option} is {text!a}; give a day or a time, as in 2026-05-01 or 2026-05-01T12:00"
        ) from None
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return us(aware)
