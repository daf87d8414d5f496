"""Reads cases for pages and tables: the queue, a case's accounts, its events."""

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
FEW = 1_000  # cases: sorting so few is faster than an ordered scan; a search counts no further


@dataclass(frozen=True)
class Filter:
    """Criteria for cases; None or empty means no restriction."""

    states: tuple[CaseState, ...] = ()
    verdicts: tuple[Verdict | None, ...] = ()  # None: not judged
    owner: str | None = None  # NOBODY: those without an owner
    account: str | None = None  # in the case, in any role
    text: str | None = None  # in the title, the id, or the campaign's id
    note: str | None = None  # in a text by a person: a note, the reason of an act, an appeal
    suppressed: bool | None = None  # by a person or a permission
    appealed: bool | None = None
    detector: str | None = None  # that raised the case
    first_spoken_us: tuple[int, int] | None = None  # when it first did, from (inclusive) and to (exclusive)
    last_spoken_us: int | None = None  # it last did so then or later
    offset: int = 0
    limit: int = PAGE


@dataclass(frozen=True)
class Queue:
    """One page of the queue, with counts of all cases."""

    cases: tuple[Case, ...]  # without accounts: by due date, then largest harvest
    total: int  # matching the filter
    counts: dict[str, int]  # over all cases: by state, and suppressed, appealed, one's own, "unowned"
    more: bool = False  # more than `total` match: a search counts no further than FEW

    def how_many(self) -> str:
        """Return how many cases match, for people: a count, or a lower bound."""
        return f"more than {self.total:,}" if self.more else f"{self.total:,}"


@dataclass(frozen=True)
class AccountIn:
    """An account in one case."""

    case: Case
    member: Member


@dataclass(frozen=True)
class CaseEvent:
    """An event of a case: a finding or an act."""

    at_us: int
    finding: Finding | None = None
    act: Act | None = None


@dataclass(frozen=True)
class Targets:
    """The accounts that an action on a case may affect; never a victim or a cleared account."""

    accounts: tuple[str, ...]
    weak: tuple[str, ...]  # named, but tied too weakly: only once a person has judged them
    left_out: dict[str, int] = field(default_factory=dict)  # reason -> how many accounts, weak ones included


def queue(store: Store, wanted: Filter, now_us: int, counts: Mapping[str, int] | None = None) -> Queue:
    """Return one page of the matching cases, by due date, then largest harvest.

    counts: the result of `counts` for this state, if the caller has it.
    """
    c = cases.c
    conditions = _conditions(wanted, now_us, store.engine.dialect.name)
    due_time: ColumnElement[int] = func.coalesce(c.due_us, literal_column(str(NEVER)))
    order = (due_time, c.exchanges.desc(), c.opened_us, c.id)
    # no index serves it: few matches are sorted, otherwise an ordered scan would be slower
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
        if more and listed and wanted.offset + len(listed) > FEW:  # so many are counted by now
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
    """Return the query for cases that match a search, unordered, and its conditions on `cases` alone."""
    c, a = cases.c, all_acts.c
    if not note:
        return select(c.id).where(*conditions), conditions
    written = _contains(a.text, note, dialect)
    # not by the index of acts: it goes from case to case, and their texts are all over the file
    noted = select(func.coalesce(a.case_id, "")).distinct()
    fits = noted.where(written, c.id == a.case_id, *conditions)
    return fits, [*conditions, select(a.act).where(written, a.case_id == c.id).exists()]


def counts(store: Store, now_us: int) -> dict[str, int]:
    """Return how many cases there are by state, and how many wait, are overdue, suppressed or appealed."""
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
    """Return the query for cases that a detector raised at the given times."""
    s = spoken.c
    cases_of_it = select(s.case_id).where(s.detector == detector)
    if wanted.first_spoken_us is not None:
        from_us, before_us = wanted.first_spoken_us
        cases_of_it = cases_of_it.where(s.first_us >= from_us, s.first_us < before_us)
    if wanted.last_spoken_us is not None:
        cases_of_it = cases_of_it.where(s.last_us >= wanted.last_spoken_us)
    return cases_of_it


def _contains(column: Column[Any], text: str, dialect: str) -> ColumnElement[bool]:
    """Return the condition that a column contains a text, ignoring case."""
    # SQLite's LIKE ignores case by itself, in half the time
    like = column.like if dialect == "sqlite" else column.ilike
    return like(f"%{_plain(text)}%", escape="\\")


def _plain(text: str) -> str:
    """Escape LIKE's wildcards."""
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
    """Return the owners of cases that are not closed."""
    c = cases.c
    query = select(c.owner).where(
        c.owner.is_not(None), c.state != str(CaseState.CLOSED), c.merged_into.is_(None)
    )
    with store.reading() as db:
        return sorted(set(db.execute(query).scalars()))


def find(store: Store, beginning: str) -> str:
    """Return the one case with this id or prefix. Raises: RecordNotFound, with examples if several match."""
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
    """Return the condition that a text has a prefix."""
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
    """Return a page of a case's accounts by name, and their total.

    which: actor, victim, cleared, moved, provisional, or unnamed (by the latest finding); starts: prefix of
    the name. Raises: RecordNotFound.
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
    """Return, for cases whose accounts are at home in other cases, how many are in which, most first."""
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
    """Return the finding that determines a case's present state, even if an older scan is added later."""
    e = evidence.c
    return int(db.execute(select(func.max(e.finding)).where(e.case_id == case_id)).scalar() or 0)


def _member(row: Mapping[Any, Any], newest: int) -> Member:
    return record_of(
        Member,
        row,
        named=row["finding"] >= max(newest, 1),  # 0: not by a finding here, but by an older scan's or a lead
        actor=row["home"] is not None,
        tied=bool(row["tied"]),
        provisional=bool(row["provisional"]),
    )


def acts(store: Store, case_id: str) -> list[Act]:
    """Return the acts on a case, oldest first. Raises: RecordNotFound."""
    with store.reading() as db:
        case_in(db, case_id, accounts=False)
        return acts_of(db, case_id)


def findings_of(store: Store, case_id: str, *, limit: int = PAGE) -> list[Finding]:
    """Return a case's latest findings, newest first. Raises: RecordNotFound."""
    f = findings.c
    with store.reading() as db:
        case_in(db, case_id, accounts=False)
        query = select(findings).where(f.case_id == case_id).order_by(f.finding.desc()).limit(limit)
        return [finding_of(row) for row in db.execute(query).mappings()]


def hours_of(store: Store, case_id: str) -> list[tuple[int, int, int]]:
    """Return (hour in UTC microseconds, exchanges, output tokens) of a case's harvest, in order."""
    h = hours.c
    query = select(h.hour_us, h.exchanges, h.output_tokens).where(h.case_id == case_id).order_by(h.hour_us)
    with store.reading() as db:
        return [(row.hour_us, row.exchanges, row.output_tokens) for row in db.execute(query)]


def timeline(store: Store, case_id: str, *, limit: int = PAGE) -> list[CaseEvent]:
    """Return the events of a case, newest first: findings and acts."""
    finding_events = [CaseEvent(f.at_us, finding=f) for f in findings_of(store, case_id, limit=limit)]
    act_events = [CaseEvent(a.at_us, act=a) for a in acts(store, case_id)]
    return sorted(finding_events + act_events, key=_newest_first)[:limit]


def _newest_first(event: CaseEvent) -> tuple[int, int, int]:
    number = event.act.id if event.act is not None else event.finding.id if event.finding is not None else 0
    return -event.at_us, -int(event.act is not None), -number


def account(store: Store, name: str) -> list[AccountIn]:
    """Return every case that an account is or was in."""
    m = members.c
    with store.reading() as db:
        rows = db.execute(select(members).where(m.key == key_of(name)).order_by(m.since_us)).mappings().all()
        return [
            AccountIn(case_in(db, row["case_id"], accounts=False), _member(row, _newest(db, row["case_id"])))
            for row in rows
        ]


def targets(store: Store, case_id: str) -> Targets:
    """Return the accounts that an action on a case may affect: those that its latest finding names as the
    actor's, and that are tied strongly (Campaign.firm) or that a person judged true individually. Never
    accounts that only a lead names.

    Excluded are victims (also those of other cases), cleared accounts, and accounts that the latest finding
    no longer names. Raises: RecordNotFound.
    """
    with store.reading() as db:
        return targets_in(db, case_id)


def judged_true(store: Store, besides: str) -> frozenset[str]:
    """Return the actor's accounts in cases judged true, except one case."""
    c, m = cases.c, members.c
    query = select(m.account).join(cases, c.id == m.case_id).where(c.verdict == str(Verdict.TRUE))
    with store.reading() as db:
        return frozenset(db.execute(query.where(m.home.is_not(None), m.case_id != besides)).scalars())


def targets_in(db: Connection, case_id: str) -> Targets:
    """Return `targets` as a transaction sees them."""
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
