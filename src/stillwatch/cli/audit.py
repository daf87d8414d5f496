"""`stillwatch audit`: whether the audit trail is intact, its records, and its keys."""

import base64
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.audit import AuditError, AuditRecord, Broken, VerifiedTrail
from stillwatch.cases.audit.dated import check_stamps
from stillwatch.cases.audit.erasure import erase, scrub, sealed_about
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.signing import PUBLIC_SUFFIX, open_signer, read_public
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.audit.witness import Witness, WitnessedHead, line_of, read_heads, stamped_bytes, vouch
from stillwatch.cases.stamping import read_roots
from stillwatch.cases.stamping import stamp as have_stamped
from stillwatch.cases.store import Store
from stillwatch.cli.case_opening import CASES_HERE, HERE, KEY, CasePlace, CasesAt, key_of
from stillwatch.cli.folder import AsJson, DryRun, iso_time, table, whoami
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import StampCa, StampUrl, named_authority
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.report.amounts import plural
from stillwatch.units import utc_us

app = group("Audit trail: verify, show, witness.")

BROKEN = 1  # the exit code for a trail that was changed
Why = Annotated[str, typer.Option(help="Reason; it stays on the trail forever.", show_default=False)]


@verb(app, "verify")
def verify_command(
    key: Annotated[
        list[Path] | None, typer.Option(help="Accepted public key; default: audit.key.pub in the folder.")
    ] = None,
    witness: Annotated[
        list[Path] | None, typer.Option(help="File of checkpoints kept elsewhere; may be given again.")
    ] = None,
    witness_key: Annotated[
        list[Path] | None, typer.Option(help="Public key of a partner: only what it signed counts.")
    ] = None,
    stamp_ca: StampCa = None,
    at: CasesAt = CASES_HERE,
    as_json: AsJson = False,
) -> None:
    """Check whether the trail is unchanged; if not, name the first bad record and why.

    With --stamp-ca the time stamps on the witnesses' lines are checked too.

    Exit codes: 0 unchanged; 1 changed; 2 unreadable.

    $ stillwatch audit verify
    $ stillwatch audit verify --key audit.key.pub --witness /mnt/other/heads.jsonl
    $ stillwatch audit verify --witness from-partner.jsonl --witness-key partner.pub --json
    $ stillwatch audit verify --witness heads.jsonl --stamp-ca tsa.pem
    """
    witnessed = None if witness is None else [head for path in witness for head in read_heads(path)]
    partners = [read_public(path) for path in witness_key or []]
    with at.reading() as store:
        default_key = key_of(store, at.folder).with_name(f"{KEY}{PUBLIC_SUFFIX}")
        keys = [read_public(path) for path in key or ([default_key] if default_key.exists() else [])]
        outcome = verify(store, trusted=keys, witness=witnessed, witness_keys=partners)
    if isinstance(outcome, VerifiedTrail):
        outcome = check_stamps(
            outcome, witnessed or (), None if stamp_ca is None else read_roots(stamp_ca), partners
        )
    if as_json:
        sound = isinstance(outcome, VerifiedTrail)
        print_json({"sound": sound} | asdict(outcome))
    elif isinstance(outcome, VerifiedTrail):
        _print_verified(outcome)
    else:
        _print_broken(outcome)
    if isinstance(outcome, Broken):
        raise typer.Exit(BROKEN)


def _print_verified(trail: VerifiedTrail) -> None:
    print(
        f"sound: {plural(trail.records, 'record')}, {iso_time(trail.first_us)} to {iso_time(trail.last_us)}, "
        f"{plural(trail.checkpoints, 'checkpoint')}"
    )
    print(f"  trail {trail.chain}, ends with {trail.seal}")
    for span in trail.keys:
        span_text = (
            f"records {span.first} to {span.last}" if span.last >= span.first else f"from {span.first} on"
        )
        print(f"  {span_text} signed with key {span.key}")
    if not trail.pinned:
        print("  no key was named that you trust: whoever wrote the whole trail anew would pass (--key)")
    if trail.witnessed is None:
        print("  no witness: a cut or rewritten end would pass (--witness)")
    else:
        print(f"  a witness vouches for records 1 to {trail.witnessed}")
    for stamp in trail.stamps:
        late = f"; the trail's own clock was {stamp.behind_s:+.0f} s off" if abs(stamp.behind_s) > 60 else ""
        print(
            f"  time stamp: records 1 to {stamp.seq} were there on {stamp.at} "
            f"({one_line(stamp.authority)}){late}"
        )
    if trail.sealed:
        print(f"  {plural(trail.sealed, 'detail')} about persons sealed")
    for at_us, count in trail.erased:
        print(f"  erased {iso_time(at_us)}: what {plural(count, 'record')} held about a person")
    for note in trail.notes:
        print(f"  note: {one_line(note)}")


def _print_broken(break_found: Broken) -> None:
    where = f"record {break_found.seq}" + (
        f" to {break_found.until}" if break_found.until not in (None, break_found.seq) else ""
    )
    print(f"NOT sound, from {where} on: {break_found.cause}")
    print(f"  {one_line(break_found.why)}")
    if break_found.seq > 1:
        print(f"  what stands before record {break_found.seq} is what was written")


@verb(app, "show")
def show_command(
    subject: Annotated[str | None, typer.Option(help="Only records of this subject, usually a case.")] = None,
    who: Annotated[str | None, typer.Option(help="Only what this person did.")] = None,
    person: Annotated[str | None, typer.Option(help="Only what is sealed about this person.")] = None,
    before: Annotated[int | None, typer.Option(help="Only records before this number.", min=1)] = None,
    limit: Annotated[int, typer.Option(help="How many to show, newest first.", min=1, max=100_000)] = 50,
    opened: Annotated[bool, typer.Option("--open", help="Open sealed details. This is recorded.")] = False,
    at: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    """Show records, newest first. They are not checked: see verify.

    $ stillwatch audit show
    $ stillwatch audit show --subject CASE --limit 20
    $ stillwatch audit show --person acct_1234 --open
    """

    def find_records(store: Store) -> list[AuditRecord]:
        with store.reading() as db:
            return read(
                db, subject=subject, who=who, person=person, before=before, limit=limit, opened=opened
            )

    if opened:
        with at.open() as store:
            detail = {"limit": limit} | ({} if subject is None else {"subject": subject})
            about = None if person is None else {person: {"looked_at": person}}
            with store.writing(utc_us()) as tx:
                tx.audit(whoami(), "sealed details looked at", "audit trail", detail, about)
            rows = find_records(store)
    else:
        with at.reading() as store:
            rows = find_records(store)
    if as_json:
        print_json([asdict(row) | {"at": iso_time(row.at_us)} for row in rows])
        return
    heads = ("record", "at", "who", "what", "subject", "detail", "about persons")
    table(heads, [_record_row(row) for row in rows], "nothing on the trail is so")


def _record_row(row: AuditRecord) -> tuple[str, ...]:
    personal = [json.dumps(detail_of_person, sort_keys=True) for detail_of_person in row.personal]
    if row.closed:
        personal.append(f"{row.closed} sealed")
    detail = json.dumps(row.detail, sort_keys=True) if row.detail else ""
    return (
        str(row.seq),
        iso_time(row.at_us) or "",
        row.who,
        row.what,
        row.subject,
        detail,
        ", ".join(personal),
    )


@verb(app, "checkpoint")
def checkpoint_command(
    to: Annotated[
        Path | None, typer.Option(help="Add it to this file of checkpoints instead of printing it.")
    ] = None,
    stamp: StampUrl = None,
    stamp_ca: StampCa = None,
    at: CasePlace = HERE,
) -> None:
    """Sign the trail's present end: one line to store elsewhere, send to a partner, or print.

    With --stamp a time-stamping authority signs the time; it sees only a SHA-256.

    $ stillwatch audit checkpoint
    $ stillwatch audit checkpoint --to /mnt/other/heads.jsonl
    $ stillwatch audit checkpoint --to heads.jsonl --stamp http://tsa.example --stamp-ca tsa.pem
    """
    authority = named_authority(stamp, stamp_ca)
    with at.open() as store, store.reading() as db:
        head = _trail_of(store).signed_head(db, utc_us())
    stamped = None if authority is None else have_stamped(stamped_bytes(head), authority)
    text = None if stamped is None else base64.b64encode(stamped.answer).decode("ascii")
    witnessed = WitnessedHead(head, "", stamp=text)
    if to is None:
        print(line_of(witnessed))
        return
    with refuse_os_errors(AuditError, f"{to}: the checkpoint cannot be written"):
        Witness(to).add([witnessed])
    print(f"record {head.seq} is witnessed by {to}")
    if stamped is not None:
        print(f"  stamped {stamped.at:%Y-%m-%dT%H:%M:%SZ} by {one_line(stamped.authority)}")


@verb(app, "witness")
def witness_command(
    files: Annotated[list[Path], typer.Argument(help="Checkpoints of another instance's trail.")],
    keep: Annotated[Path, typer.Option(help="File to keep them in; they are compared with those in it.")],
    signing_key: Annotated[Path, typer.Option(help="Your key that signs them; created at first use.")] = Path(
        "witness.key"
    ),
) -> None:
    """Witness another instance's trail: store its checkpoints, and print them signed, to be sent back.

    Exit codes: 0 all are stored; 1 one contradicts an earlier one, or is invalid.

    $ stillwatch audit witness heads-of-a.jsonl --keep seen-of-a.jsonl --signing-key witness.key > for-a.jsonl
    """
    signer = open_signer(signing_key)
    heads = [head for path in files for head in read_heads(path)]
    with refuse_os_errors(AuditError, f"{keep}: cannot be written"):
        accepted, refused = vouch(heads, Witness(keep), signer, utc_us())
    for head in accepted:
        print(line_of(head))
    for sentence in refused:
        typer.echo(f"refused: {one_line(sentence)}", err=True)
    if refused:
        raise typer.Exit(BROKEN)


@verb(app, "erase")
def erase_command(
    person: Annotated[str, typer.Argument(help="The account, or the case for words about it as a whole.")],
    why: Why = "",
    at: CasePlace = HERE,
    dry_run: DryRun = False,
) -> None:
    """Erase what the trail holds about a person. Records stay, and verify still passes. Irreversible.

    $ stillwatch audit erase acct_1234 --dry-run
    $ stillwatch audit erase acct_1234 --why "request 2026-118"
    """
    if dry_run:
        with at.reading() as store, store.reading() as db:
            key_id, count = sealed_about(db, person)
        if key_id is None:
            raise InputError(f"nothing on the trail is sealed about {one_line(person)}")
        print(f"would erase what {plural(count, 'record')} holds about {one_line(person)}")
        return
    if not why.strip():
        raise InputError("--why is missing: it is what the trail keeps in place of the details")
    with at.open() as store:
        with store.writing(utc_us()) as tx:
            tx.changed = True
            count = erase(_trail_of(store), tx.db, person, whoami(), why, tx.now_us)
        scrub(store.engine)
        with store.reading() as db:
            still_named = sealed_about(db, person)[0] is not None
    if still_named:
        raise AuditError(f"{one_line(person)} was named again meanwhile; erase once more")
    print(f"erased what {plural(count, 'record')} held about {one_line(person)}")
    print("  cases, reports and logs may still name it; back-ups hold the key until they are gone")


@verb(app, "rotate")
def rotate_command(why: Why = "", at: CasePlace = HERE) -> None:
    """Let a new key sign from now on. The old one signs the hand-over and is then deleted.

    $ stillwatch audit rotate --why "yearly"
    """
    if not why.strip():
        raise InputError("--why is missing: the next reader of the trail has nothing else")
    with at.open() as store:
        trail = _trail_of(store)
        with store.writing(utc_us()) as tx:
            tx.changed = True
            new = trail.hand_over(tx.db, whoami(), why, tx.now_us)
        trail.take_over()
    print(f"key {new.key} signs from here on; its public half is in {trail.key_file}{PUBLIC_SUFFIX}")


def _trail_of(store: Store) -> Audit:
    if not isinstance(store.trail, Audit):
        raise AuditError(f"{store.name}: has no audit trail")
    return store.trail
