"""Computes what a case's page shows, once for each change of the case: alert, targets, pictures, links.

A case of 25,000 accounts has 10 MB of links, so only requests for links wait for them.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import func, select

from stillwatch.cases import Case, Finding, RecordNotFound, evidence, feedback, reading, tables
from stillwatch.cases.alert import Alert, alert
from stillwatch.cases.feedback import Measured
from stillwatch.cases.reading import Targets
from stillwatch.cases.store import Store
from stillwatch.conversion import convert
from stillwatch.report.folded import LinkPicture, fold
from stillwatch.report.meter import Meter, meter
from stillwatch.report.timeline import Timeline, timeline
from stillwatch.scan import Campaign, Gap, Harvest, Hour, Link, ScanTotals
from stillwatch.units import HOUR_US, MINUTE_US

KEPT = 64  # alerts and pictures
KEPT_LINKS = 8  # cases; a large one's links are some 30 MB
US = 1_000_000
QUICK_S = 0.1  # slower counts run in the background
T = TypeVar("T")


@dataclass(frozen=True)
class CaseAlert:
    """The present alert and targets of a case."""

    alert: Alert
    targets: Targets


@dataclass(frozen=True)
class CasePictures:
    """The pictures of a case."""

    finding: Finding
    campaign: Campaign  # times and sums only: no accounts, no links
    meter: Meter
    timeline: Timeline
    folded: LinkPicture


class LatestCache(Generic[T]):
    """A cache of the newest values. Thread-safe; two threads may compute the same value."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, T] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            self._kept[key] = value
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return value


@dataclass(frozen=True)
class DetectorRecords:
    """People's verdicts on every detector's findings, and when they were counted."""

    months: Sequence[Measured]
    now: Mapping[str, Measured]
    at_us: int
    current: bool = True  # nothing has changed since


class DetectorCounts:
    """Counts how often detectors were right, in the background if it is slow. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._key: Hashable = None
        self._kept: DetectorRecords | None = None
        self._took_s = 0.0
        self._counting: threading.Thread | None = None

    def get(self, now_us: int) -> DetectorRecords:
        """Return the newest counts, and whether they are up to date."""
        key = (now_us // HOUR_US, state_of(self._store))
        with self._lock:
            counts = self._kept
            if counts is not None and key == self._key:
                return counts
            if counts is not None and self._took_s > QUICK_S:
                if self._counting is None or not self._counting.is_alive():
                    self._counting = threading.Thread(target=self._count, args=(key, now_us), daemon=True)
                    self._counting.start()
                return replace(counts, current=False)
        return self._count(key, now_us)

    def _count(self, key: Hashable, now_us: int) -> DetectorRecords:
        started_s = time.perf_counter()
        months, now = feedback.by_month(self._store), feedback.measure_all(self._store, now_us)
        records = DetectorRecords(months, now, now_us)
        with self._lock:
            self._kept, self._key, self._took_s = records, key, time.perf_counter() - started_s
        return records


class Looks:
    """Computed views of one store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.detectors = DetectorCounts(store)
        self._counts: LatestCache[dict[str, int]] = LatestCache(KEPT)
        self._told: LatestCache[CaseAlert] = LatestCache(KEPT)
        self._drawn: LatestCache[CasePictures] = LatestCache(KEPT)
        self._links: LatestCache[tuple[Link, ...]] = LatestCache(KEPT_LINKS)

    def case_alert(self, case: str, now_us: int, base_url: str) -> CaseAlert:
        """Return a case's alert and targets. Raises: RecordNotFound."""

        def make() -> CaseAlert:
            report = alert(self._store, case, now_us, base_url=base_url)
            return CaseAlert(report, reading.targets(self._store, case))

        return self._told.get((case, base_url, now_us // HOUR_US, state_of(self._store)), make)

    def counts(self, now_us: int) -> dict[str, int]:
        """Return how many cases there are of each kind; due dates may be a minute late."""
        key = (now_us // MINUTE_US, state_of(self._store))
        return self._counts.get(key, lambda: reading.counts(self._store, now_us))

    def drawn(self, case: Case) -> CasePictures:
        """Return the pictures of a case's latest finding. Raises: RecordNotFound if there is no evidence."""
        with self._store.reading() as db:
            finding, context = evidence.context_in(db, case.id)
        key = (case.id, finding.id, case.first_us, case.last_us, case.exchanges)
        return self._drawn.get(key, lambda: draw(self._store, case, finding, context))

    def links(self, case: str) -> tuple[Link, ...]:
        """Return the links of a case's latest finding, most bits first; none if no finding names it."""
        try:
            with self._store.reading() as db:
                finding, _ = evidence.context_in(db, case)
        except RecordNotFound:
            return ()

        def make() -> tuple[Link, ...]:
            all_links = evidence.latest(self._store, case).campaign.links
            return tuple(sorted(all_links, key=lambda k: (-k.bits, k.clue, k.a, k.b)))

        return self._links.get((case, finding.id), make)


def state_of(store: Store) -> tuple[int, ...]:
    """Return a value that changes with any case, finding or detector state, but not with views."""
    newest = (tables.cases.c.revision, tables.findings.c.finding, tables.detector_states.c.change)
    with store.reading() as db:
        return tuple(int(db.execute(select(func.max(column))).scalar() or 0) for column in newest)


def draw(store: Store, case: Case, finding: Finding, context: Mapping[str, Any]) -> CasePictures:
    """Compute the pictures."""
    hours = reading.hours_of(store, case.id)
    campaign = Campaign(
        id=finding.campaign,
        alarm_at=_at(finding.alarm_us),
        p_value=case.p_value,
        score_bits=case.score_bits,
        accounts=(),
        harvest=Harvest(case.exchanges, case.output_tokens),
        harvest_at_alarm=Harvest(context["exchanges_at_alarm"], context["output_tokens_at_alarm"]),
        reasons=(),
        benign_alternatives=(),
        timeline=tuple(Hour(_at(hour_us), exchanges, tokens) for hour_us, exchanges, tokens in hours),
    )
    scanned = convert({**context["scanned"], "seconds": 0.0}, ScanTotals)
    return CasePictures(
        finding,
        campaign,
        meter(case.exchanges, min(context["exchanges_at_alarm"], case.exchanges)),
        timeline(campaign, scanned, convert(context["gaps"], tuple[Gap, ...])),
        _link_picture(context) or fold(evidence.latest(store, case.id).campaign),
    )


def _link_picture(context: Mapping[str, Any]) -> LinkPicture | None:
    """Return the picture stored with the finding, if any."""
    picture = context.get("picture")
    if picture is None:
        return None
    pairs = zip(picture["letters"], context["shared"], strict=True)
    shared = [{"letter": letter} | trait for letter, trait in pairs]
    return convert(picture | {"shared": shared}, LinkPicture)


def _at(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // US, UTC)
