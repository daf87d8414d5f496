"""Reads cases for pages and tables: the queue, a case's accounts, its events. It changes nothing."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Select, and_, func, literal_column, or_, select

from stillwatch.cases import Act, Case, CaseError, CaseState, Finding, Member, RecordNotFound, Verdict
from stillwatch.cases.acts import acts_of
from stillwatch.cases.evidence import finding_of
from stillwatch.cases.store import CASE_FIELDS, PAGE, Store, case_in, case_of_row
from stillwatch.cases.tables import acts as all_acts
from stillwatch.cases.tables import (
    among,
    cases,
    evidence,
    findings,
    hours,
    key_of,
    members,
    record_of,
    spoken,
)

NOBODY = "none"
NEVER = 1 << 62
FEW = 1_000  # cases: sorting them is quicker than going through all in their order; a search counts no more


@dataclass(frozen=True)
class Filter:
    """Which cases are wanted; what is None or empty asks for nothing."""

    states: tuple[CaseState, ...] = ()
    verdicts: tuple[Verdict | None, ...] = ()  # None: not judged
    owner: str | None = None  # NOBODY: those of nobody
    account: str | None = None  # named in the case, whatever it is there
    text: str | None = None  # in the title, the id, or the campaign's id
    note: str | None = None  # in what somebody wrote: a note, the reason of an act, an appeal
    suppressed: bool | None = None  # by a person or a permission
    appealed: bool | None = None
    detector: str | None = None  # that spoke of the case
    first_spoken_us: tuple[int, int] | None = None  # it did so first from then, and before then
    last_spoken_us: int | None = None  # it did so last then or later
    offset: int = 0
    limit: int = PAGE


@dataclass(frozen=True)
class Queue:
    """One page of the queue, and how many cases there are beside it."""

    cases: tuple[Case, ...]  # without their accounts: due first, then the largest harvest
    total: int  # that the filter asks for
    counts: dict[str, int]  # over all cases: by state, and suppressed, appealed, mine nobody's ("unowned")
    more: bool = False  # than `total` cases fit: a search counts no further than FEW

    def how_many(self) -> str:
        """Write how many cases fit, for people: a count, or what it is above."""
        return f"more than {self.total:,}" if self.more else f"{self.total:,}"


@dataclass(frozen=True)
class AccountIn:
    """An account in one case."""

    case: Case
    member: Member


@dataclass(frozen=True)
class CaseEvent:
    """Something that happened to a case: a finding or an act."""

    at_us: int
    finding: Finding | None = None
    act: Act | None = None


@dataclass(frozen=True)
class Targets:
    """Whom an action on a case may touch. Never a victim, never an account that was cleared."""

    accounts: tuple[str, ...]
    weak: tuple[str, ...]  # named, but tied by too little: only once a person has judged them
    left_out: dict[str, int] = field(default_factory=dict)  # why -> how many accounts, the weak ones too


def queue(store: Store, wanted: Filter, now_us: int, counts: Mapping[str, int] | None = None) -> Queue:
    """Give one page of the cases that are wanted, those due first, then the largest harvest.

    counts: what `counts` gave for this state, from whoever has it already.
    """
    c = cases.c
    conditions = _conditions(wanted, now_us, store.engine.dialect.name)
    due_time: ColumnElement[int] = func.coalesce(c.due_us, literal_column(str(NEVER)))
    order = (due_time, c.exchanges.desc(), c.opened_us, c.id)
    # no index serves it: what fits few is sorted, else going through all in their order would be slower
    sorted_order = (due_time + literal_column("0"), *order[1:])
    with store.reading() as db:
        more = False
        if wanted.text or wanted.note:
            matching, walked = _search_notes(wanted.note, conditions, store.engine.dialect.name)
            matching_ids = db.execute(matching.limit(FEW + 1)).scalars().all()
            total, more = min(len(matching_ids), FEW), len(matching_ids) > FEW
            conditions = walked if more else [among(db, c.id, matching_ids)]
            order = order if more and wanted.offset <= FEW else sorted_order
        else:
            total = db.execute(select(func.count()).select_from(cases).where(*conditions)).scalar_one()
            order = sorted_order if wanted.owner else order
        ids = select(c.id).where(*conditions).order_by(*order).offset(wanted.offset).limit(wanted.limit + 1)
        listed = db.execute(ids).scalars().all()
        if more and listed and wanted.offset + len(listed) > FEW:  # this far they have been counted now
            more = len(listed) > wanted.limit
            total = wanted.offset + min(len(listed), wanted.limit)
        page = among(db, c.id, listed[: wanted.limit])
        rows = db.execute(select(*(c[name] for name in CASE_FIELDS)).where(page).order_by(*order)).mappings()
        cases_shown = tuple(case_of_row(row, ()) for row in rows)
        counts_known = dict(counts) if counts is not None else _queue_counts(db, now_us)
        return Queue(cases_shown, int(total), counts_known, more)


def _search_notes(
    note: str | None, conditions: list[ColumnElement[bool]], dialect: str
) -> tuple[Select[str], list[ColumnElement[bool]]]:
    """Give the query of the cases that fit a search, in no order, and its conditions on `cases` alone."""
    c, a = cases.c, all_acts.c
    if not note:
        return select(c.id).where(*conditions), conditions
    written = _contains(a.text, note, dialect)
    # not by the index of acts: it leads from case to case, and their texts lie all over the file
    noted = select(func.coalesce(a.case_id, "")).distinct()
    fits = noted.where(written, c.id == a.case_id, *conditions)
    return fits, [*conditions, select(a.act).where(written, a.case_id == c.id).exists()]


def counts(store: Store, now_us: int) -> dict[str, int]:
    """Give how many cases there are by state, and how many wait, are overdue, suppressed or appealed."""
    with store.reading() as db:
        return _queue_counts(db, now_us)


def _conditions(wanted: Filter, now_us: int, dialect: str) -> list[ColumnElement[bool]]:
    c, m = cases.c, members.c
    terms: list[ColumnElement[bool]] = [c.merged_into.is_(None)]
    if wanted.states:
        # not by the index of states: most cases have one of few, and the order has an index of its own
        terms.append(func.coalesce(c.state, "").in_([str(state) for state in wanted.states]))
    if wanted.verdicts:
        judged = c.verdict.in_([str(verdict) for verdict in wanted.verdicts if verdict is not None])
        terms.append(or_(judged, c.verdict.is_(None)) if None in wanted.verdicts else judged)
    if wanted.owner:
        terms.append(c.owner.is_(None) if wanted.owner == NOBODY else c.owner == wanted.owner)
    if wanted.account:
        member_cases = select(m.case_id).where(m.key == key_of(wanted.account), m.moved_to.is_(None))
        terms.append(c.id.in_(member_cases))
    if wanted.text:
        terms.append(or_(*(_contains(x, wanted.text, dialect) for x in (c.title, c.id, c.campaign))))
    if wanted.suppressed is not None:
        terms.append(_is_suppressed(now_us) if wanted.suppressed else ~_is_suppressed(now_us))
    if wanted.appealed is not None:
        terms.append(c.appeal.is_not(None) if wanted.appealed else c.appeal.is_(None))
    if wanted.detector:
        terms.append(c.id.in_(_spoken_of_by(wanted.detector, wanted)))
    return terms


def _spoken_of_by(detector: str, wanted: Filter) -> Select[str]:
    """Give the query of the cases that a detector spoke of at the times that are wanted."""
    s = spoken.c
    cases_of_it = select(s.case_id).where(s.detector == detector)
    if wanted.first_spoken_us is not None:
        from_us, before_us = wanted.first_spoken_us
        cases_of_it = cases_of_it.where(s.first_us >= from_us, s.first_us < before_us)
    if wanted.last_spoken_us is not None:
        cases_of_it = cases_of_it.where(s.last_us >= wanted.last_spoken_us)
    return cases_of_it


def _contains(column: Column[Any], text: str, dialect: str) -> ColumnElement[bool]:
    """Give the condition that a column contains a text, in capital letters or small ones."""
    # SQLite's LIKE takes capital letters for small ones by itself, in half the time
    like = column.like if dialect == "sqlite" else column.ilike
    return like(f"%{_plain(text)}%", escape="\\")


def _plain(text: str) -> str:
    """Take LIKE's own signs for letters."""
    for sign in ("\\", "%", "_"):
        text = text.replace(sign, f"\\{sign}")
    return text


def _is_suppressed(now_us: int) -> ColumnElement[bool]:
    c = cases.c
    return or_(func.coalesce(c.suppressed_until_us, 0) > now_us, c.permission.is_not(None))


def _queue_counts(db: Connection, now_us: int) -> dict[str, int]:
    c = cases.c
    waiting = and_(c.state != str(CaseState.CLOSED), ~_is_suppressed(now_us))
    columns = {str(state): func.count().filter(c.state == str(state)) for state in CaseState}
    columns |= {
        "suppressed": func.count().filter(_is_suppressed(now_us)),
        "appealed": func.count().filter(c.appeal.is_not(None)),
        "waiting": func.count().filter(waiting),
        "unowned": func.count().filter(and_(waiting, c.owner.is_(None))),
        "overdue": func.count().filter(and_(waiting, c.due_us < now_us)),
    }
    query = select(*(column.label(name) for name, column in columns.items()))
    row = db.execute(query.where(c.merged_into.is_(None))).mappings().one()
    return {name: int(row[name]) for name in columns}


def owners(store: Store) -> list[str]:
    """Give who owns cases that are not closed."""
    c = cases.c
    query = select(c.owner).where(
        c.owner.is_not(None), c.state != str(CaseState.CLOSED), c.merged_into.is_(None)
    )
    with store.reading() as db:
        return sorted(set(db.execute(query).scalars()))


def find(store: Store, beginning: str) -> str:
    """Give the one case whose id is so or begins so. Raises: RecordNotFound, with some where several do."""
    c = cases.c
    id_begins = beginning if beginning.startswith("case-") else f"case-{beginning}"
    with store.reading() as db:
        begins = select(c.id).where(begins_with(c.id, id_begins)).order_by(c.id)
        ids = list(db.execute(begins.limit(4)).scalars())
    if id_begins in ids:
        return id_begins
    if len(ids) == 1:
        return str(ids[0])
    if ids:
        raise RecordNotFound(f"{beginning!a}: several cases begin so ({', '.join(ids[:3])}, ...)")
    raise RecordNotFound(f"there is no case {beginning!a}; `stillwatch case list` shows them")


def begins_with(column: ColumnElement[Any], beginning: str) -> ColumnElement[bool]:
    """Give the condition that a text begins so."""
    return column.like(f"{_plain(beginning)}%", escape="\\")


# --- one case ---


def members_of(
    store: Store,
    case_id: str,
    *,
    which: str | None = None,
    starts: str = "",
    offset: int = 0,
    limit: int = PAGE,
) -> tuple[list[Member], int]:
    """Give a page of a case's accounts by name, and how many there are in all.

    which: actor, victim, cleared, moved, provisional, or unnamed (by the latest finding); starts: how the
    name begins. Raises: RecordNotFound.
    """
    with store.reading() as db:
        case = case_in(db, case_id, accounts=False)
        m = members.c
        newest = _newest(db, case.id)
        conditions = [m.case_id == case_id, *_member_conditions(which, newest)]
        if starts:
            begins = key_of(starts)
            conditions.append(func.substr(m.key, 1, len(begins)) == begins)
        total = db.execute(select(func.count()).select_from(members).where(*conditions)).scalar_one()
        query = select(members).where(*conditions).order_by(m.key).offset(offset).limit(limit)
        return [_member(row, newest) for row in db.execute(query).mappings()], int(total)


def elsewhere(store: Store, case_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """Give, of cases whose accounts are at home in other cases, how many are in which, most first."""
    m = members.c
    query = (
        select(m.case_id, m.moved_to, func.count().label("n"))
        .where(m.case_id.in_(list(case_ids)), m.moved_to.is_not(None))
        .group_by(m.case_id, m.moved_to)
        .order_by(func.count().desc(), m.moved_to)
    )
    found: dict[str, dict[str, int]] = {}
    with store.reading() as db:
        for row in db.execute(query):
            found.setdefault(row.case_id, {})[row.moved_to] = row.n
    return found


def _member_conditions(membership: str | None, newest: int) -> list[ColumnElement[bool]]:
    m = members.c
    if membership is None:
        return []
    is_member = m.moved_to.is_(None)
    conditions: dict[str, list[ColumnElement[bool]]] = {
        "actor": [m.home.is_not(None)],
        "victim": [is_member, m.verdict == str(Verdict.VICTIM)],
        "cleared": [is_member, m.verdict.in_([str(Verdict.FALSE), str(Verdict.PERMITTED)])],
        "moved": [m.moved_to.is_not(None)],
        "provisional": [is_member, m.provisional == 1],
        "unnamed": [m.home.is_not(None), m.finding < newest],
    }
    if membership not in conditions:
        raise CaseError(f"{membership!a} is no kind of account; give one of {', '.join(conditions)}")
    return conditions[membership]


def _newest(db: Connection, case_id: str) -> int:
    """Give the finding that says what a case is now: an older scan that is folded in later does not count."""
    e = evidence.c
    return int(db.execute(select(func.max(e.finding)).where(e.case_id == case_id)).scalar() or 0)


def _member(row: Mapping[Any, Any], newest: int) -> Member:
    return record_of(
        Member,
        row,
        named=row["finding"] >= max(newest, 1),  # 0: by no finding, but an older scan's or a lead
        actor=row["home"] is not None,
        tied=bool(row["tied"]),
        provisional=bool(row["provisional"]),
    )


def acts(store: Store, case_id: str) -> list[Act]:
    """Give what was done to a case, oldest first. Raises: RecordNotFound."""
    with store.reading() as db:
        case_in(db, case_id, accounts=False)
        return acts_of(db, case_id)


def findings_of(store: Store, case_id: str, *, limit: int = PAGE) -> list[Finding]:
    """Give a case's latest findings, newest first. Raises: RecordNotFound."""
    f = findings.c
    with store.reading() as db:
        case_in(db, case_id, accounts=False)
        query = select(findings).where(f.case_id == case_id).order_by(f.finding.desc()).limit(limit)
        return [finding_of(row) for row in db.execute(query).mappings()]


def hours_of(store: Store, case_id: str) -> list[tuple[int, int, int]]:
    """Give (hour in UTC microseconds, exchanges, output tokens) of a case's harvest, in order."""
    h = hours.c
    query = select(h.hour_us, h.exchanges, h.output_tokens).where(h.case_id == case_id).order_by(h.hour_us)
    with store.reading() as db:
        return [(row.hour_us, row.exchanges, row.output_tokens) for row in db.execute(query)]


def timeline(store: Store, case_id: str, *, limit: int = PAGE) -> list[CaseEvent]:
    """Give what happened to a case, newest first: findings and acts."""
    finding_events = [CaseEvent(f.at_us, finding=f) for f in findings_of(store, case_id, limit=limit)]
    act_events = [CaseEvent(a.at_us, act=a) for a in acts(store, case_id)]
    return sorted(finding_events + act_events, key=_newest_first)[:limit]


def _newest_first(event: CaseEvent) -> tuple[int, int, int]:
    number = event.act.id if event.act is not None else event.finding.id if event.finding is not None else 0
    return -event.at_us, -int(event.act is not None), -number


def account(store: Store, name: str) -> list[AccountIn]:
    """Give every case that an account is or was in."""
    m = members.c
    with store.reading() as db:
        rows = db.execute(select(members).where(m.key == key_of(name)).order_by(m.since_us)).mappings().all()
        return [
            AccountIn(case_in(db, row["case_id"], accounts=False), _member(row, _newest(db, row["case_id"])))
            for row in rows
        ]


def targets(store: Store, case_id: str) -> Targets:
    """Give whom an action on a case may touch: accounts that its latest finding names as the actor's, and
    that enough ties to him (Campaign.firm) or a person judged true one by one. Nobody that only a lead names.

    Left out are victims (also those of other cases), accounts that were cleared, and accounts that the latest
    finding does not name any more. Raises: RecordNotFound.
    """
    with store.reading() as db:
        return targets_in(db, case_id)


def judged_true(store: Store, besides: str) -> frozenset[str]:
    """Give the accounts that are the actor's in cases judged true, a case itself left out."""
    c, m = cases.c, members.c
    query = select(m.account).join(cases, c.id == m.case_id).where(c.verdict == str(Verdict.TRUE))
    with store.reading() as db:
        return frozenset(db.execute(query.where(m.home.is_not(None), m.case_id != besides)).scalars())


def targets_in(db: Connection, case_id: str) -> Targets:
    """Give `targets` as a transaction sees them."""
    case = case_in(db, case_id, accounts=False)
    m = members.c
    newest = _newest(db, case_id)
    columns = (m.account, m.key, m.finding, m.tied, m.verdict)
    own: Select[Any] = select(*columns).where(m.case_id == case_id, m.home.is_not(None)).order_by(m.key)
    rows = db.execute(own).all()
    stolen = select(m.key).where(m.verdict == literal_column("'victim'"), m.case_id != case_id)
    victims = {row.key for row in rows} & set(db.execute(stolen).scalars())
    named_rows = [row for row in rows if row.finding >= max(newest, 1) and row.key not in victims]
    sure = [row.account for row in named_rows if row.tied or row.verdict == Verdict.TRUE]
    weak = [row.account for row in named_rows if not row.tied and row.verdict != Verdict.TRUE]
    unnamed = "named by a lead only" if case.rests_on_lead else "not named by the latest finding"
    left_out = {
        "victim": case.victims,
        "cleared": case.cleared,
        "victim in another case": len(victims),
        unnamed: len(rows) - len(victims) - len(named_rows),
        "tied by too little": len(weak),
    }
    return Targets(tuple(sure), tuple(weak), {why: n for why, n in left_out.items() if n})
