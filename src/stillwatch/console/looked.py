"""What is worked out of a case's evidence for its page, kept while it stands. It draws nothing."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from stillwatch.cases import Case, Finding, evidence, reading
from stillwatch.cases.store import Store
from stillwatch.report.folded import Folded, fold
from stillwatch.report.meter import Meter, meter
from stillwatch.report.timeline import Timeline, timeline
from stillwatch.scan import Campaign, Gap, Hour, Link, Scanned

KEPT = 32  # cases; a large one's evidence is some 20 MB
US = 1_000_000


@dataclass(frozen=True)
class Looked:
    """One finding of a case, as it is drawn."""

    finding: Finding
    campaign: Campaign
    meter: Meter
    timeline: Timeline
    folded: Folded
    links: tuple[Link, ...]  # most bits first
    of_account: dict[str, tuple[int, ...]]  # account -> its links, as places in `links`


class Looks:
    """The looks kept. Safe to share between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int, int | None], Looked] = OrderedDict()

    def at(self, store: Store, case: Case) -> Looked:
        """Give the look at a case's latest finding. Raises: Missing where there is no evidence."""
        newest = reading.findings_of(store, case.id, limit=1)
        key = (case.id, newest[0].id if newest else 0, case.last_us)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = look(store, case)
        with self._lock:
            self._kept[key] = made
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return made


def look(store: Store, case: Case) -> Looked:
    """Work it out. Raises: Missing."""
    found = evidence.latest(store, case.id)
    hours = reading.hours_of(store, case.id)
    campaign = found.campaign
    if hours:
        campaign = replace(campaign, timeline=tuple(Hour(_at(at), n, tokens) for at, n, tokens in hours))
    links = tuple(sorted(campaign.links, key=lambda k: (-k.bits, k.clue, k.a, k.b)))
    of_account: dict[str, list[int]] = {}
    for place, link in enumerate(links):
        for name in {link.a, link.b}:
            of_account.setdefault(name, []).append(place)
    return Looked(
        found.finding,
        campaign,
        meter(case.exchanges, min(campaign.harvest_at_alarm.exchanges, case.exchanges)),
        timeline(campaign, _scanned(found), _gaps(found)),
        fold(campaign),
        links,
        {name: tuple(places) for name, places in of_account.items()},
    )


def _at(at_us: int) -> datetime:
    return datetime.fromtimestamp(at_us // US, UTC)


def _scanned(found: evidence.Evidence) -> Scanned:
    said = found.context.get("scanned", {})
    first, last = (datetime.fromisoformat(t) if t else None for t in (said.get("first"), said.get("last")))
    return Scanned(
        said.get("exchanges", 0), said.get("accounts", 0), first, last, said.get("rejected", 0), 0.0
    )


def _gaps(found: evidence.Evidence) -> tuple[Gap, ...]:
    at = datetime.fromisoformat
    return tuple(Gap(at(g["start"]), at(g["end"]), g["text"]) for g in found.context.get("gaps", ()))
