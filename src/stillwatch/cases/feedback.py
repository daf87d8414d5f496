"""How often each detector was right, by people's verdicts, and what its alarms may do accordingly.

Null: a judged case is one trial; the interval is Clopper and Pearson's exact one, at 95 %.
Blind to: campaigns that no detector found (no verdict says what was missed), and cases nobody has judged.
Fooled by: judges who agree with the machine because it is the machine; one judge who dismisses everything,
    which is why promotion requires several.
Source: Clopper and Pearson 1934, Biometrika 26(4).

The verdicts never affect a scan: baselines, thresholds and detectors' own numbers do not move with
dismissals.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, insert, or_, select

from stillwatch.cases import CaseError, DetectorState, Verdict
from stillwatch.cases.acts import GRANTED
from stillwatch.cases.claims import CLASSES
from stillwatch.cases.detector_changes import newest_changes
from stillwatch.cases.store import Store
from stillwatch.cases.tables import acts, among, cases, detector_states, spoken
from stillwatch.scan.assemble import clues, detectors
from stillwatch.scan.parts import RAISING
from stillwatch.stats.intervals import clopper_pearson
from stillwatch.units import DAY_US, time_of

LEVEL = 0.95
EVIDENCE_US = 180 * DAY_US  # older verdicts are not used
MOST_OF_ONE_JUDGE = 0.8  # of the verdicts that a promotion rests on
# Requirements of a promotion: cases judged, judges, and the lower end of the interval.
NEEDED: dict[DetectorState, tuple[int, int, float]] = {
    DetectorState.ALERT: (5, 1, 0.2),
    DetectorState.ACT: (20, 2, 0.9),
}
_ORDER = list(DetectorState)
JUDGING = ("judge", "close", GRANTED)  # acts that state what a case is


@dataclass(frozen=True)
class Measured:
    """How often a detector was right, over cases that were judged true or false."""

    detector: str
    month: str | None  # YYYY-MM in which it first raised the case; None: all that counts now
    right: int
    judged: int
    low: float | None  # 95 % interval of the share that was right; None if nothing was judged
    high: float | None
    permitted: int  # judged as permitted: right about the harvest, but not a case
    undecided: int  # suspicious, or not judged yet
    judges: int  # how many people judged them
    by_one: float | None  # the largest share of verdicts by one person

    @property
    def share(self) -> float | None:
        return self.right / self.judged if self.judged else None


@dataclass(frozen=True)
class DetectorStanding:
    """What a detector's alarms may do now."""

    detector: str
    state: DetectorState
    since_us: int | None  # None: as shipped
    who: str | None
    why: str | None
    raises: bool  # it can open cases alone


@dataclass(frozen=True)
class _JudgedCase:
    detector: str
    first_us: int  # when the detector first raised it
    verdict: str
    judge: str | None


def by_month(store: Store) -> list[Measured]:
    """Return each detector's record month by month, sorted by detector and month."""
    with store.reading() as db:
        by_key: dict[tuple[str, str], list[_JudgedCase]] = {}
        for case in _judged_cases(db, 0):
            by_key.setdefault((case.detector, _month(case.first_us)), []).append(case)
        day = spoken.c.first_us // DAY_US  # in whole days, as there are far fewer than hours
        open_: dict[tuple[str, str], int] = {}
        for detector, first_day, n in _count_unjudged(db, 0, day):
            month = (detector, _month(first_day * DAY_US))
            open_[month] = open_.get(month, 0) + n
    keys = sorted(k for k in {*by_key, *open_} if by_key.get(k) or open_.get(k))
    return [_measure(*key, by_key.get(key, []), open_.get(key, 0)) for key in keys]


def measure_all(store: Store, now_us: int) -> dict[str, Measured]:
    """Return the record over the last half year of every detector that raised a case within it."""
    since = now_us - EVIDENCE_US
    with store.reading() as db:
        cases_by_detector: dict[str, list[_JudgedCase]] = {}
        for judged_case in _judged_cases(db, since):
            cases_by_detector.setdefault(judged_case.detector, []).append(judged_case)
        open_ = dict(_count_unjudged(db, since))
    names = {*cases_by_detector, *open_}
    return {name: _measure(name, None, cases_by_detector.get(name, []), open_.get(name, 0)) for name in names}


def nothing_said(detector: str) -> Measured:
    """Return the record of a detector that raised no case."""
    return _measure(detector, None, (), 0)


def measured_in(db: Connection, detector: str, now_us: int) -> Measured:
    """Return a detector's record over the last half year: what a promotion is decided on."""
    since = now_us - EVIDENCE_US
    open_ = sum(n for _, n in _count_unjudged(db, since, detector=detector))
    return _measure(detector, None, _judged_cases(db, since, detector), open_)


def _judged_cases(db: Connection, since_us: int, detector: str | None = None) -> list[_JudgedCase]:
    """Return every case with a verdict that a detector raised, with the verdict and its author."""
    s, c = spoken.c, cases.c
    judged = {row.id: row.verdict for row in db.execute(
        select(c.id, c.verdict).where(c.verdict.is_not(None), c.merged_into.is_(None))
    )}  # fmt: skip
    if not judged:
        return []
    query = select(s.detector, s.first_us, s.case_id).where(s.last_us >= since_us)
    query = query.where(among(db, s.case_id, judged))
    if detector is not None:
        query = query.where(s.detector == detector)
    judges = _judges(db)
    return [
        _JudgedCase(row.detector, row.first_us, judged[row.case_id], judges.get(row.case_id))
        for row in db.execute(query)
    ]


def _count_unjudged(
    db: Connection, since_us: int, *by: ColumnElement[int], detector: str | None = None
) -> list[Any]:
    """Count the cases without a verdict that each detector raised: rows of detector, `by`, number.

    Computed as all cases minus those judged or merged into another, since an index alone counts the former.
    """
    s, c = spoken.c, cases.c
    judged_or_merged = select(c.id).where(or_(c.verdict.is_not(None), c.merged_into.is_not(None)))
    counts: dict[Any, int] = {}
    for sign, conditions in ((1, ()), (-1, (s.case_id.in_(judged_or_merged),))):
        query = select(s.detector, *by, func.count()).where(s.last_us >= since_us, *conditions)
        if detector is not None:
            query = query.where(s.detector == detector)
        for *key, n in db.execute(query.group_by(s.detector, *by)):
            counts[tuple(key)] = counts.get(tuple(key), 0) + sign * n
    return [(*key, n) for key, n in counts.items() if n]


def _judges(db: Connection) -> dict[str, str]:
    """Return who last judged each case."""
    query = select(acts.c.case_id, acts.c.who, acts.c.sets).where(
        acts.c.in_force == 1, acts.c.verb.in_(JUDGING)
    )
    verdict_acts = db.execute(query.order_by(acts.c.act))
    return {row.case_id: row.who for row in verdict_acts if json.loads(row.sets).get("verdict") is not None}


def _month(at_us: int) -> str:
    return time_of(at_us).strftime("%Y-%m")


def _measure(detector: str, month: str | None, judged: Sequence[_JudgedCase], open_cases: int) -> Measured:
    right = sum(case.verdict == Verdict.TRUE for case in judged)
    wrong = sum(case.verdict == Verdict.FALSE for case in judged)
    permitted = sum(case.verdict == Verdict.PERMITTED for case in judged)
    judges = [case.judge for case in judged if case.verdict in (Verdict.TRUE, Verdict.FALSE)]
    low, high = interval(right, right + wrong)
    return Measured(
        detector,
        month,
        right,
        right + wrong,
        low,
        high,
        permitted,
        len(judged) - right - wrong - permitted + open_cases,
        len(set(judges)),
        max((judges.count(judge) for judge in set(judges)), default=0) / len(judges) if judges else None,
    )


def interval(right: int, judged: int) -> tuple[float | None, float | None]:
    """Return the exact 95 % interval of a share; (None, None) if nothing was judged.

    >>> [round(x, 3) for x in interval(8, 10)]
    [0.444, 0.975]
    """
    if judged == 0:
        return None, None
    return clopper_pearson(right, judged, LEVEL)


# --- what a detector may do ---


def states(store: Store, spoke: Collection[str] | None = None) -> dict[str, DetectorStanding]:
    """Return the state of every detector and clue: those shipped, and those that raised a case.

    spoke: the latter, if the caller knows them.
    """
    with store.reading() as db:
        return standings_of(db, _names(db, spoke))


def _names(db: Connection, spoke: Collection[str] | None = None) -> set[str]:
    shipped = {module.NAME for module in detectors()} | {clue.NAME for clue in clues()}
    if spoke is None:
        spoke = db.execute(select(spoken.c.detector).distinct()).scalars().all()
    changed = db.execute(select(detector_states.c.detector).distinct()).scalars()
    return {*RAISING, *CLASSES, *shipped, *spoke, *changed}


def standings_of(db: Connection, names: Collection[str]) -> dict[str, DetectorStanding]:
    """Return the states of these detectors, as a transaction sees them."""
    changed = newest_changes(db)
    return {name: _standing(name, changed.get(name)) for name in sorted(names)}


def _standing(name: str, row: Any) -> DetectorStanding:
    raises = name in RAISING
    if row is None:
        return DetectorStanding(name, DetectorState.ALERT, None, None, None, raises)
    return DetectorStanding(name, DetectorState(row["state"]), row["at_us"], row["who"], row["text"], raises)


def set_state(
    store: Store, detector: str, state: DetectorState, *, who: str, why: str, now_us: int
) -> DetectorStanding:
    """Change what a detector's alarms may do. Less at any time; more only one step at a time and with
    evidence.

    Raises: CaseError with what is missing.
    """
    if not why.strip() or not who.strip():
        raise CaseError("who does it, or why, is missing: the next reader has nothing else")
    with store.writing(now_us) as tx:
        if detector not in _names(tx.db):
            raise CaseError(f"{detector!a} is no detector; `stillwatch case detectors` shows them")
        now = standings_of(tx.db, [detector])[detector].state
        record = measured_in(tx.db, detector, now_us)
        if _ORDER.index(state) > _ORDER.index(now):
            lacking = obstacles(record, now, state)
            if lacking:
                raise CaseError(f"{detector} stays on {now}: {'; '.join(lacking)}")
        if state != now:
            last = tx.db.execute(select(func.max(detector_states.c.change))).scalar() or 0
            row = {"change": int(last) + 1, "detector": detector, "at_us": now_us, "who": who, "text": why}
            words = json.dumps(asdict(record), sort_keys=True)
            tx.db.execute(insert(detector_states).values(row | {"state": str(state), "measured": words}))
            detail = {"from": str(now), "to": str(state), "measured": asdict(record)}
            tx.audit(who, "detector.state", detector, detail, {detector: {"why": why}})
        return standings_of(tx.db, [detector])[detector]


def obstacles(record: Measured, now: DetectorState, wanted: DetectorState) -> list[str]:
    """Return what a promotion lacks; empty if it may go ahead."""
    if _ORDER.index(wanted) - _ORDER.index(now) > 1:
        return [f"one step at a time: first {_ORDER[_ORDER.index(now) + 1]}"]
    judged, judges, lowest_bound = NEEDED[wanted]
    sentences: list[str] = []
    if record.judged < judged:
        sentences.append(
            f"{record.judged} cases were judged true or false in the last 180 days, not {judged}"
        )
    elif record.low is not None and record.low < lowest_bound:
        surely = f"{record.low:.0%} of such at least, not {lowest_bound:.0%}"
        sentences.append(f"{record.right} of {record.judged} were right: {surely}")
    if record.judges < judges:
        sentences.append(f"{_people(record.judges)} judged them, not {judges}")
    elif judges > 1 and record.by_one is not None and record.by_one > MOST_OF_ONE_JUDGE:
        sentences.append(
            f"one person gave {record.by_one:.0%} of the verdicts, not {MOST_OF_ONE_JUDGE:.0%} at most"
        )
    return sentences


def _people(n: int) -> str:
    return "nobody" if n == 0 else "1 person" if n == 1 else f"{n} people"
