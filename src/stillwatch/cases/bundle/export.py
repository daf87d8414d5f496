"""Makes the evidence bundle of a case: `prepare` reports what a release would disclose, `release` writes it.

Before a claim is signed, the checker in the bundle computes it once more. `claims.ndjson` marks the claims
that cannot be computed from the bundle, and those whose value differs in the given log.
"""

import hashlib
import json
import secrets
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path, PurePath

from sqlalchemy import Connection, select

import stillwatch
from stillwatch.cases import Json
from stillwatch.cases.alert import alert
from stillwatch.cases.audit import Broken
from stillwatch.cases.audit.signing import TrailSigner
from stillwatch.cases.audit.tables import records
from stillwatch.cases.audit.trail import Audit
from stillwatch.cases.audit.verify import verify as verify_trail
from stillwatch.cases.bundle import BundleError, Exported, Prepared, documents, verify
from stillwatch.cases.bundle.claimed import claims
from stillwatch.cases.bundle.contradictions import clock_words
from stillwatch.cases.bundle.gather import Gathered, ScannedLog, gather, ndjson, read_log
from stillwatch.cases.bundle.leaving import leaving, whether_scanned
from stillwatch.cases.bundle.signed import folder_beside, json_file, sign_manifest, write_files
from stillwatch.cases.evidence import SALT, FindingEvidence, latest, set_aside_of, without_set_aside
from stillwatch.cases.handling import record_export
from stillwatch.cases.membership import hours_of
from stillwatch.cases.reading import acts
from stillwatch.cases.stamping import Authority, Stamp, stamp
from stillwatch.cases.store import Store
from stillwatch.cases.tables import members, to_stored
from stillwatch.scan import Campaign, holds
from stillwatch.terms.holds import HoldSchedule
from stillwatch.units import iso

KEPT = "token key of a bundle kept"
PLAIN = {"state", "verdict", "owner", "due_us", "suppressed_until_us", "known", "export"}  # safe to export
ADVICE = ("action", "permalink", "json_twin", "bundle_sha256", "revision")  # for an alert's owner


def prepare(
    store: Store,
    case_id: str,
    *,
    who: str,
    now_us: int,
    log: ScannedLog | None = None,
    with_set_aside: bool = False,
) -> Prepared:
    """Put a bundle together in memory; nothing is disclosed.

    log: the log behind the finding. Without it there are no events to compute claims from; with_set_aside:
        name the accounts that the finding set aside, with facts and events. They belong to honest people: by
        default the bundle contains only their number.

    Raises: RecordNotFound, BundleError, InputError.
    """
    evidence = _evidence_of(alert(store, case_id, now_us).as_json())
    finding_found = latest(store, case_id)
    token_key = secrets.token_bytes(32)
    gathered = None
    aside = _set_aside(finding_found) if with_set_aside else None
    if log is not None:
        exchanges, account_facts = read_log(log)
        verdicts = _verdicts(store, case_id)
        set_aside_names = [] if aside is None else [item["account"] for item in aside["accounts"]]
        gathered = gather(
            exchanges,
            account_facts,
            finding_found.campaign,
            [*evidence["accounts"], *verdicts],
            verdicts,
            token_key,
            set_aside_names,
        )
    exported_at = iso(now_us)
    files = _files(store, case_id, evidence, finding_found, gathered, who, now_us, exported_at)
    if aside is not None:
        files["set_aside.json"] = json_file(
            aside | {"products": {} if gathered is None else gathered.products}
        )
    if log is not None and (schedule := schedule_of(finding_found.campaign, log.held)) is not None:
        files["holds.json"] = json_file(_draws(store, finding_found.campaign, schedule, now_us))
    files["claims.ndjson"] = ndjson(claims(files))
    predicate = {
        "case": case_id,
        "title": evidence["title"],
        "finding": finding_found.finding.id,
        "exported_at": exported_at,
        "exported_by": who,
        "stillwatch": stillwatch.__version__,
        "texts": "none",
    }
    lines = leaving(evidence, files, gathered, who) + whether_scanned(
        scanned_logs(finding_found.context), [] if log is None else log.files
    )
    return Prepared(case_id, evidence["title"], lines, files, predicate, token_key)


def schedule_of(c: Campaign, held: Iterable[HoldSchedule]) -> HoldSchedule | None:
    """Return the hold schedule behind a finding: the one with most of its accounts; None if there is none."""
    if not any(reason.detector == holds.NAME for reason in c.reasons):
        return None
    own_accounts = c.own_reactions.keys()
    return max(held, key=lambda schedule: len(own_accounts & schedule.begin_us.keys()), default=None)


def _draws(store: Store, c: Campaign, held: HoldSchedule, now_us: int) -> Json:
    """Return how a finding's accounts were drawn, with the trail's records; the key only at the end.

    Other accounts of the schedule are not named.
    """
    with store.reading() as db:
        rows = [
            dict(row) for row in db.execute(select(records).where(records.c.what.like("holds %"))).mappings()
        ]
    of = {row["subject"] for row in rows if json.loads(row["detail"]).get("commitment") == held.commitment}
    drawn_by = (
        "start_us", "end_us", "days", "block_minutes", "one_block_in", "denser_one_block_in",
        "denser_from_us",
    )  # fmt: skip
    return {
        "key": held.key.hex() if held.end_us <= now_us else None,
        "begin_us": {name: held.begin_us[name] for name in sorted(c.accounts) if name in held.begin_us},
        **{name: getattr(held, name) for name in drawn_by},
        "records": [row for row in rows if row["subject"] in of],
    }


def scanned_logs(context: Json) -> list[Json]:
    """Return the scanned files without tables of networks, which an export does not use."""
    tables = {PurePath(name).name for name in context["settings"].get("networks", ())}
    return [item for item in context["inputs"] if item["name"] not in tables]


def _set_aside(evidence: FindingEvidence) -> Json:
    """Return the accounts set aside, with the salt of the trail's digest. Raises: BundleError."""
    if SALT not in evidence.context:
        raise BundleError("whom the finding set aside was not kept when it was made; scan again")
    return {"salt": evidence.context[SALT], "accounts": set_aside_of(evidence.campaign)}


def _evidence_of(evidence: Json) -> Json:
    """Return the alert without advice to its owner and without comparisons: neither is evidence."""
    evidence = {name: value for name, value in evidence.items() if name not in ADVICE}
    evidence["exposure"] = {
        name: value for name, value in evidence["exposure"].items() if name != "milestones"
    }
    evidence["detectors"] = [
        {k: v for k, v in detector.items() if k != "state"} for detector in evidence["detectors"]
    ]
    return evidence


def release(
    store: Store, ready: Prepared, out: Path, *, who: str, now_us: int, stamped_by: Authority | None = None
) -> Exported:
    """Write a bundle, a folder or a `.zip`, completely or not at all. The audit trail records it first.

    stamped_by: sets a time stamp on the manifest, which lists all other files.

    Raises: BundleError if `out` exists or cannot be written; AuditError without a trail; StampError.
    """
    if not isinstance(store.trail, Audit):
        raise BundleError("a bundle is signed with the audit trail's key; open the cases with their trail")
    if out.exists():
        raise BundleError(f"{out}: is there already; name another place")
    manifest = signed_manifest(ready, store.trail.signer)
    digest = hashlib.sha256(manifest).hexdigest()
    files = ready.files | {verify.MANIFEST: manifest}
    stamped = None if stamped_by is None else stamp(manifest, stamped_by)
    if stamped is not None:
        files[verify.STAMP] = stamped.answer
    with folder_beside(out, BundleError) as beside:
        path_written = _written(beside, files, out)
        with store.writing(now_us) as tx:
            tx.audit(
                who,
                KEPT,
                ready.case,
                {"bundle": digest} | _of(stamped),
                {ready.case: {"token_key": ready.token_key.hex()}},
            )
        record_export(store, ready.case, {"format": "bundle", "sha256": digest}, who=who, now_us=now_us)
        path_written.rename(out)
    size = sum(map(len, files.values()))
    made_by = store.trail.signer.key
    if stamped is None:
        return Exported(out, digest, len(files), size, made_by)
    return Exported(out, digest, len(files), size, made_by, stamped.at, stamped.authority)


def _of(stamped: Stamp | None) -> dict[str, str]:
    """Return the audit trail's detail for a time stamp."""
    if stamped is None:
        return {}
    return {"stamped": stamped.at.isoformat(), "stamp_sha256": hashlib.sha256(stamped.answer).hexdigest()}


def _written(beside: Path, files: Mapping[str, bytes], out: Path) -> Path:
    """Write the files into a folder or a zip beside their final path."""
    if out.suffix == ".zip":
        target = beside / out.name
        with zipfile.ZipFile(target, "x", zipfile.ZIP_DEFLATED) as packed:
            for name in sorted(files):
                packed.writestr(zipfile.ZipInfo(f"{out.stem}/{name}"), files[name], zipfile.ZIP_DEFLATED)
        target.chmod(0o600)
        return target
    target = beside / "bundle"
    target.mkdir(mode=0o700)
    return write_files(target, files)


def signed_manifest(ready: Prepared, signer: TrailSigner) -> bytes:
    """List every file with its SHA-256, except the draft, which a person completes."""
    files = {name: data for name, data in ready.files.items() if name != verify.DRAFT}
    return sign_manifest(files, verify.PREDICATE, ready.predicate, signer)


def _files(
    store: Store,
    case_id: str,
    evidence: Json,
    found: FindingEvidence,
    gathered: Gathered | None,
    who: str,
    now_us: int,
    exported_at: str,
) -> dict[str, bytes]:
    environment = documents.environment(now_us)
    words = {
        "case": case_id,
        "title": evidence["title"],
        "exported_at": exported_at,
        "exported_by": who,
        "version": stillwatch.__version__,
        "clock": clock_words(environment["clock"]),
    }
    finding = {
        "id": found.finding.id,
        "digest": found.finding.digest,
        "campaign": without_set_aside(found.campaign),
    }
    settings = {name: found.context.get(name) for name in ("settings", "inputs", "scanned", "gaps", "source")}
    rows, head = _trail(store, case_id, now_us)
    measured = {
        "case": case_id,
        "state": evidence["state"],
        "verdict": evidence["verdict"],
        "owner": evidence["owner"],
    }
    case = measured | _acts(store, case_id) | {"records": len(rows), "hours": _hours(store, case_id)}
    files = {
        "README.txt": documents.readme(words),
        "alert.json": json_file(evidence),
        "case.json": json_file(case),
        "finding.json": json_file(finding),
        "audit.ndjson": ndjson(rows),
        "audit_head.json": json_file(head),
        "queries.sql": documents.queries(evidence["why"]),
        "settings.json": json_file(settings),
        "environment.json": json_file(environment),
        verify.DRAFT: documents.certificate(words, evidence["inputs"], evidence["gaps"]),
    }
    files |= documents.checker()
    files |= documents.sources(reason.detector for reason in found.campaign.reasons)
    if gathered is not None:
        files["accounts.ndjson"] = ndjson(gathered.accounts)
        files["events.ndjson"] = ndjson(gathered.events)
        files["population.json"] = json_file(gathered.population)
    return files


def _verdicts(store: Store, case_id: str) -> dict[str, str]:
    """Return people's verdicts on single accounts; victims and cleared accounts are in the finding too."""
    m = members.c
    query = select(m.account, m.verdict).where(m.case_id == case_id, m.verdict.is_not(None))
    with store.reading() as db:
        return {row.account: row.verdict for row in db.execute(query)}


def _hours(store: Store, case_id: str) -> list[list[int]]:
    """Return the harvest by hour, over all findings of the case."""
    with store.reading() as db:
        return [[hour, *sums] for hour, sums in sorted(hours_of(db, case_id).items())]


def _acts(store: Store, case_id: str) -> Json:
    """Return the case's acts, with the SHA-256 of each written text. `sets`: None for texts or names."""
    rows: list[Json] = [
        {
            "act": act.id,
            "at_us": act.at_us,
            "who": act.who,
            "verb": act.verb,
            "in_force": act.in_force,
            "text_sha256": hashlib.sha256(act.text.encode("utf-8", "surrogatepass")).hexdigest(),
            "sets_sha256": hashlib.sha256(json.dumps(act.sets, sort_keys=True).encode()).hexdigest(),
            "sets": act.sets if set(act.sets) <= PLAIN else None,
            "facets": {k: v for k, v in act.sets.items() if k in PLAIN},
        }
        for act in acts(store, case_id)
    ]
    return {"acts": rows}


def _trail(store: Store, case_id: str, now_us: int) -> tuple[list[Json], Json]:
    """Return the case's records of the trail, and its signed end. Raises: BundleError for a broken trail."""
    if not isinstance(store.trail, Audit):
        raise BundleError("a bundle holds an extract of the audit trail; open the cases with their trail")
    verified = verify_trail(store)
    if isinstance(verified, Broken):
        raise BundleError(
            f"the audit trail is not what was written, from record {verified.seq} on ({verified.why}); "
            "nothing is signed with its key before that is cleared up: see `stillwatch audit verify`"
        )
    with store.reading() as db:
        rows = _records(db, case_id)
        head = store.trail.signed_head(db, now_us)
    keys = [asdict(span) for span in verified.keys]
    keys[-1]["last"] = max(keys[-1]["last"], head.seq)  # other processes may have written since
    signed = {name: getattr(head, name) for name in ("chain", "seq", "seal", "at_us", "key", "signature")}
    return rows, signed | {"keys": keys}


def _records(db: Connection, case_id: str) -> list[Json]:
    query = select(records).where(records.c.subject == to_stored(case_id)).order_by(records.c.seq)
    return [dict(row) for row in db.execute(query).mappings()]
