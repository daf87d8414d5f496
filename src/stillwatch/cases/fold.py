"""Adds findings to cases: one case for each actor over time.

Adding the same findings twice changes nothing, and an older scan added after a newer one contributes what it
knows without setting times back. All findings of one scan are added in one transaction, or none is.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from stillwatch.cases import MACHINE, CaseError, CaseState, Json, Verdict
from stillwatch.cases.acts import CAME_BACK, acts_of, counts, put
from stillwatch.cases.bundle.contradictions import context_digest, sha256_of
from stillwatch.cases.evidence import SALT, Input, digest, keep, set_aside_of, without_set_aside
from stillwatch.cases.joining import create, kept_apart, merge, merge_act, part, split
from stillwatch.cases.leads import keep_leads, leads_changed
from stillwatch.cases.matching import MatchPlan, overlaps, plan
from stillwatch.cases.membership import NamedAccount, add, drop_provisional, hours_of, name_again, set_hours
from stillwatch.cases.store import Store, Transaction, case_in
from stillwatch.cases.tables import cases, findings, key_of, members, spoken
from stillwatch.scan import Campaign, ScanResult
from stillwatch.scan.milestones import SKY_T1
from stillwatch.scan.parts import RAISING
from stillwatch.units import HOUR_US, us

GROWN = 2.0  # a dismissed case reopens when its harvest is this many times the size at dismissal
GROWN_ACCOUNTS = 0.25  # or has this share of accounts more, and at least LEAST_NEW
LEAST_NEW = 5
DUE_US = 24 * HOUR_US  # deadline for looking at new cases
DUE_LARGE_US = 4 * HOUR_US  # and at a harvest at least this large
LARGE = SKY_T1.exchanges


@dataclass
class FoldResult:
    """What happened to the findings of one scan: ids of cases."""

    opened: list[str] = field(default_factory=list)
    came_back: list[str] = field(default_factory=list)
    updated: list[str] = field(default_factory=list)  # with something new to see, without suppressed ones
    suppressed: list[str] = field(default_factory=list)  # updated, but nobody is notified
    merged: list[tuple[str, str]] = field(default_factory=list)  # (case, the one that continues with it)
    unchanged: int = 0  # findings already known


@dataclass(frozen=True)
class _CampaignToFold:
    """One campaign, ready to be added."""

    campaign: Campaign
    digest: str
    named: dict[str, NamedAccount]
    hours: dict[int, tuple[int, int]]

    @property
    def last_us(self) -> int:
        return max(self.hours, default=us(self.campaign.alarm_at))


def fold(
    store: Store,
    result: ScanResult,
    now_us: int,
    source: str,
    *,
    inputs: Sequence[Input] = (),
    settings: Mapping[str, Any] | None = None,
    returning: Mapping[str, str] | None = None,
) -> FoldResult:
    """Add a scan's findings to cases.

    source: the scan, in words, or "serve"; inputs: the files that were scanned; settings: the scan's
    settings, such as its false-positive budget; returning: campaign id -> the case to which something
    other than accounts ties it. Raises: CaseError if the cases cannot be read or written; RecordNotFound
    for an unknown case in `returning`.
    """
    exchanges = {a.account: a.exchanges for a in result.accounts}
    to_fold = [
        _campaign_to_fold(c, exchanges)
        for c in sorted(result.campaigns, key=lambda c: (-len(c.accounts), c.alarm_at, c.id))
    ]
    folded = FoldResult()
    with store.reading() as db:
        is_known = all(_is_known(db, campaign) for campaign in to_fold) and not result.followers
        if is_known and not leads_changed(db, result, source):
            folded.unchanged = len(to_fold)
            return folded
    with store.writing(now_us) as tx:
        keep_leads(tx, result, source)
        placed = _place_campaigns(tx, to_fold, returning or {}, folded)
        of_case: dict[str, list[int]] = {}
        for i, case_id in placed.items():
            of_case.setdefault(case_id, []).append(i)
        for case_id, numbers in of_case.items():
            # Imported here: this loads every detector's code, 60 MB that a gateway without cases saves.
            from stillwatch.cases.claims import context

            details = context(result, to_fold[numbers[0]].campaign, source, inputs, settings or {})
            _fold_into(tx, case_id, [to_fold[i] for i in numbers], source, details, folded)
        _fold_followers(
            tx, result, {to_fold[i].campaign.id: case_id for i, case_id in placed.items()}, folded
        )
    return folded


def _campaign_to_fold(c: Campaign, exchanges: Mapping[str, int]) -> _CampaignToFold:
    named_accounts, enough = {}, frozenset(c.firm)
    for account in c.accounts:
        key = key_of(account)
        since = us(c.named_at.get(account, c.alarm_at))
        named_accounts[key] = NamedAccount(key, account, since, exchanges.get(account, 0), account in enough)
    hours = {us(h.start): (int(h.exchanges), int(h.output_tokens)) for h in c.timeline}
    return _CampaignToFold(c, digest(c), named_accounts, hours)


def _is_known(db: Connection, campaign: _CampaignToFold) -> bool:
    f = findings.c
    query = select(f.finding).where(f.campaign == campaign.campaign.id, f.digest == campaign.digest)
    return db.execute(query.limit(1)).first() is not None


# --- assignment of campaigns to cases ---


def _place_campaigns(
    tx: Transaction, campaigns: Sequence[_CampaignToFold], returning: Mapping[str, str], folded: FoldResult
) -> dict[int, str]:
    """Return the case of each campaign with news, creating, merging and splitting as needed."""
    of_each = [overlaps(tx.db, list(campaign.named)) for campaign in campaigns]
    again = {
        i: _goes_on(tx.db, returning[campaign.campaign.id])
        for i, campaign in enumerate(campaigns)
        if campaign.campaign.id in returning
    }
    planned = plan(of_each, again, lambda a, b: kept_apart(tx.db, a, b))
    news = {i for i, campaign in enumerate(campaigns) if not _is_known(tx.db, campaign)}
    folded.unchanged += len(campaigns) - len(news)
    targets = {planned.place[i] for i in news}
    for case_id, target in planned.joins:
        if target in targets:
            merge(tx, case_id, target, MACHINE, "one scan names the accounts of both as one actor's")
            folded.merged.append((case_id, target))
    return {i: _case_for(tx, i, campaigns[i], planned, folded) for i in sorted(news)}


def _case_for(
    tx: Transaction, i: int, campaign: _CampaignToFold, planned: MatchPlan, folded: FoldResult
) -> str:
    old = planned.split_from.get(i)
    place = planned.place[i]
    if i in planned.revive and old is not None:
        place = planned.revive[i] if _revive(tx, planned.revive[i], old) else None
    if place is not None:
        return place
    c = campaign.campaign
    case_id = create(tx, c.id, _case_row(c))
    folded.opened.append(case_id)
    if old is None:
        put(tx, case_id, MACHINE, "opened", "", {"due_us": _due(tx.now_us, c.harvest.exchanges)})
    else:
        why = "one scan tells its accounts apart as two actors'"
        split(tx, old, list(campaign.named), case_id, MACHINE, why, campaign.hours)
    return case_id


def _revive(tx: Transaction, case_id: str, into: str) -> bool:
    """Undo a merge, unless its accounts have been judged or moved since."""
    act = merge_act(tx.db, case_id, into)
    if act is None:
        return True
    try:
        part(tx, act, MACHINE, "a scan tells the two apart again")
    except CaseError:  # raised before anything is written
        return False
    return True


def _due(now_us: int, exchanges: int) -> int:
    return now_us + (DUE_LARGE_US if exchanges >= LARGE else DUE_US)


def _case_row(c: Campaign) -> Json:
    """Return the columns of a case that a finding sets."""
    raised = [r.detector for r in c.reasons if r.detector in RAISING]
    return {
        "campaign": c.id,
        "title": c.title or f"{len(c.accounts):,} accounts took {c.harvest.exchanges:,} answers.",
        "p_value": c.p_value,
        "score_bits": c.score_bits,
        "permission": c.suppressed_by,
        "raised_by": raised[0] if raised else "",
    }


# --- one case ---


def _fold_into(
    tx: Transaction,
    case_id: str,
    campaigns: Sequence[_CampaignToFold],
    source: str,
    details: Json,
    folded: FoldResult,
) -> None:
    """Add one scan's findings of one actor to its case."""
    had = tx.db.execute(select(cases).where(cases.c.id == case_id)).mappings().one()
    m = members.c
    rows = select(m.key, m.provisional, m.tied).where(m.case_id == case_id)
    before = {row.key: (bool(row.provisional), bool(row.tied)) for row in tx.db.execute(rows)}
    named_accounts = {
        key: named_account for f in reversed(campaigns) for key, named_account in f.named.items()
    }
    new = [named_account for key, named_account in named_accounts.items() if key not in before]
    hours = _grown_hours(tx.db, case_id, campaigns)
    last_us = max(f.last_us for f in campaigns)
    older = had["last_us"] is not None and last_us < had["last_us"]
    newest = _case_row(campaigns[0].campaign)
    is_same = (newest["permission"], newest["raised_by"]) == (had["permission"], had["raised_by"])
    # confirmed, or with more or fewer ties than before
    moved = any(
        before[key] != (False, named_account.tied)
        for key, named_account in named_accounts.items()
        if key in before
    )
    first = tx.db.execute(select(findings.c.finding).where(findings.c.case_id == case_id)).first() is None
    weaker = older or (is_same and not moved and newest["p_value"] >= had["p_value"])
    if not (first or new or hours) and weaker:
        folded.unchanged += len(campaigns)
        return
    numbers, salt = [_finding(tx, case_id, f, source) for f in campaigns], secrets.token_hex(16)
    add(tx, case_id, new, 0 if older else numbers[0], provisional=False)
    set_hours(tx.db, case_id, hours)
    if not older:
        name_again(
            tx,
            case_id,
            {key: named_account for key, named_account in named_accounts.items() if key in before},
            numbers[0],
        )
        drop_provisional(tx, case_id, list(named_accounts))
        tx.db.execute(update(cases).where(cases.c.id == case_id).values(newest))
        keep(tx.db, case_id, numbers[0], details | {SALT: salt}, campaigns[0].campaign)
    _note_detectors(tx, case_id, campaigns, older)
    member_counts = counts(tx.db, case_id)
    row = member_counts | {"updated_us": tx.now_us, "revision": tx.revision}
    tx.db.execute(update(cases).where(cases.c.id == case_id).values(row))
    detail = {
        "finding": numbers[0], "digest": campaigns[0].digest, "new_accounts": len(new),
        "context": context_digest(details), "evidence": sha256_of(without_set_aside(campaigns[0].campaign)),
        "set_aside": sha256_of([salt, set_aside_of(campaigns[0].campaign)]),
    }  # fmt: skip
    tx.audit(MACHINE, "case.finding", case_id, detail | member_counts)
    _record_fold(tx, case_id, had["state"], had["verdict"], last_us, folded)


def _grown_hours(
    db: Connection, case_id: str, campaigns: Sequence[_CampaignToFold]
) -> dict[int, tuple[int, int]]:
    """Return the hours in which these findings know more than the case does, with their new values."""
    theirs: dict[int, tuple[int, int]] = {}
    for f in campaigns:
        for hour, (n, tokens) in f.hours.items():
            had = theirs.get(hour, (0, 0))
            theirs[hour] = (had[0] + n, had[1] + tokens)
    own_hours = hours_of(db, case_id)
    grown = {}
    for hour, (n, tokens) in theirs.items():
        had = own_hours.get(hour, (0, 0))
        most_exchanges = max(n, had[0]), max(tokens, had[1])
        if most_exchanges != had:
            grown[hour] = most_exchanges
    return grown


def _finding(tx: Transaction, case_id: str, f: _CampaignToFold, source: str) -> int:
    c = f.campaign
    number = int(tx.db.execute(select(func.coalesce(func.max(findings.c.finding), 0))).scalar_one()) + 1
    tx.db.execute(
        insert(findings).values(
            finding=number,
            case_id=case_id,
            at_us=tx.now_us,
            source=source,
            campaign=c.id,
            digest=f.digest,
            alarm_us=us(c.alarm_at),
            p_value=c.p_value,
            exchanges=c.harvest.exchanges,
            output_tokens=c.harvest.output_tokens,
            accounts=len(f.named),
        )
    )
    return number


def _note_detectors(tx: Transaction, case_id: str, campaigns: Sequence[_CampaignToFold], older: bool) -> None:
    """Record which detectors and clues raised the case: their record depends on its outcome."""
    s = spoken.c
    had = set(tx.db.execute(select(s.detector).where(s.case_id == case_id)).scalars())
    bits_of = {r.detector: r.bits for f in campaigns for r in f.campaign.reasons}
    at_us = max(us(f.campaign.alarm_at) for f in campaigns)
    for detector, bits in sorted(bits_of.items()):
        row = {"last_us": at_us, "bits": bits}
        if detector in had and older:
            continue
        if detector in had:
            own_row = (s.case_id == case_id) & (s.detector == detector)
            tx.db.execute(update(spoken).where(own_row).values(row))
        else:
            first_row = {"case_id": case_id, "detector": detector, "first_us": at_us}
            tx.db.execute(insert(spoken).values(row | first_row | {"raised": int(detector in RAISING)}))


# --- returning actors ---


def _record_fold(
    tx: Transaction, case_id: str, state: str, verdict: str | None, last_us: int, folded: FoldResult
) -> None:
    """Re-open a closed case whose actor has returned, and note who is to be notified."""
    now = tx.db.execute(select(cases).where(cases.c.id == case_id)).mappings().one()
    suppressed = (now["suppressed_until_us"] or 0) > tx.now_us or now["permission"] is not None
    if state == CaseState.CLOSED and not suppressed:
        why = _came_back(tx.db, case_id, verdict, now, last_us)
        if why is not None:
            due_us = _due(tx.now_us, now["exchanges"])
            sets: Json = {"state": CaseState.OPEN.value, "due_us": due_us}
            if verdict in (Verdict.FALSE, Verdict.PERMITTED):
                sets["verdict"] = None  # dismissed at another size: must be judged again
            put(tx, case_id, MACHINE, CAME_BACK, why, sets)
            folded.came_back.append(case_id)
            return
    if case_id in folded.opened:
        return
    (folded.suppressed if suppressed else folded.updated).append(case_id)


def _came_back(
    db: Connection, case_id: str, verdict: str | None, now: Mapping[Any, Any], last_us: int
) -> str | None:
    """Return what is new since a case was closed; None if nothing is."""
    closed = [act for act in acts_of(db, case_id, in_force=True) if "known" in act.sets]
    if not closed:
        return None
    counts_then = closed[-1].sets["known"]
    m = members.c
    rows = select(func.count()).where(m.case_id == case_id, m.moved_to.is_(None))
    new = int(db.execute(rows).scalar_one()) - counts_then["rows"]
    taken_since = now["exchanges"] - counts_then["exchanges"]
    if verdict in (Verdict.FALSE, Verdict.PERMITTED):
        grown = now["exchanges"] >= GROWN * max(1, counts_then["exchanges"])
        joined = new >= max(LEAST_NEW, GROWN_ACCOUNTS * counts_then["members"])
        if not grown and not joined:
            return None
    elif new <= 0 and last_us <= counts_then["until_us"]:
        return None
    return f"{max(0, new):,} accounts and {max(0, taken_since):,} exchanges more than when it was closed"


# --- between two full evaluations ---


def _fold_followers(
    tx: Transaction, result: ScanResult, case_of: Mapping[str, str], folded: FoldResult
) -> None:
    """Add accounts that started to use a known campaign's wording since the last full evaluation."""
    by_case: dict[str, dict[str, NamedAccount]] = {}
    for f in result.followers:
        case_id = case_of.get(f.campaign) or _case_of_campaign(tx.db, f.campaign)
        if case_id is not None:
            key = key_of(f.account)
            named_account = NamedAccount(key, f.account, us(f.named_at), f.exchanges)
            by_case.setdefault(case_id, {})[key] = named_account
    for case_id, named_accounts in by_case.items():
        had = set(tx.db.execute(select(members.c.key).where(members.c.case_id == case_id)).scalars())
        new = [named_account for key, named_account in named_accounts.items() if key not in had]
        if not new:
            continue
        newest = select(func.max(findings.c.finding)).where(findings.c.case_id == case_id)
        add(tx, case_id, new, int(tx.db.execute(newest).scalar() or 0), provisional=True)
        member_counts = counts(tx.db, case_id)
        row = member_counts | {"updated_us": tx.now_us, "revision": tx.revision}
        tx.db.execute(update(cases).where(cases.c.id == case_id).values(row))
        tx.audit(MACHINE, "case.followed", case_id, {"new_accounts": len(new)} | member_counts)
        now = tx.db.execute(select(cases).where(cases.c.id == case_id)).mappings().one()
        _record_fold(tx, case_id, now["state"], now["verdict"], 0, folded)


def _case_of_campaign(db: Connection, campaign: str) -> str | None:
    """Return the case of a campaign's latest finding, or the one it was merged into."""
    f = findings.c
    query = select(f.case_id).where(f.campaign == campaign).order_by(f.finding.desc()).limit(1)
    case_id: str | None = db.execute(query).scalar()
    return None if case_id is None else _goes_on(db, case_id)


def _goes_on(db: Connection, case_id: str) -> str:
    """Return a case, or the one that it was merged into. Raises: RecordNotFound."""
    into = case_in(db, case_id, accounts=False).merged_into
    return case_id if into is None else _goes_on(db, into)
