"""The process that synchronises a gateway's folder with its fleet's object store, if there is one.

It uploads what this gateway wrote, downloads what the others did, and carries the findings from the gateway
that holds the lease to the rest. Everything else works as with a shared folder: `segments` and `detector` are
links into `shared/`, a copy on this gateway's disk. Killed at any moment it loses and duplicates nothing:
what to do follows from the files on both sides.
"""

import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from stillwatch.errors import StillwatchError
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.fleet.findings_copy import FindingsCopy
from stillwatch.gateway.fleet.lease import held_number
from stillwatch.gateway.fleet.storage import COPY, enter_store
from stillwatch.gateway.fleet.store import (
    CODE,
    HALF,
    PROCESS,
    DamagedObject,
    ObjectGone,
    ObjectStore,
    StoredObject,
    StoreError,
)
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.health import LOW_DISK_BYTES, LOW_DISK_SHARE
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.record.segments import Segment, segment, whole
from stillwatch.gateway.settings import GATEWAY_NAME, GatewaySettings
from stillwatch.gateway.wake import Wake
from stillwatch.terms import Retention
from stillwatch.units import utc_us

ENDING = ".parquet"
PERIOD_S = 1.0
LISTS_S = 2.0  # between two listings of others' current hour, where the detector runs
STANDBY_LISTS_S = 10.0  # elsewhere, and for gateways and earlier hours: a list costs as much as a write
EVERYTHING_S = 600.0  # between two listings of all hours
LATE = timedelta(minutes=10)  # after its end, an hour is still listed each time; it is merged after five
AHEAD = timedelta(minutes=1)  # of other hosts' clocks
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0  # between two attempts while the store is away
PUT_S = 10.0  # of uploads before anything else is done
LAST_S = 8.0  # wait for recorder and detector at the end
HANGS_S = 180.0  # no byte moved in the middle of a step: the process is restarted
SETTLED_NS = 2_000_000_000  # a folder's time may not change for so long while something is written
MOST_NAMED = 10
_OBJECT = re.compile(
    rf"segments/({GATEWAY_NAME})/(\d{{4}}-\d\d-\d\dT\d\d)/(\d{{10}}-\d{{10}})\.{CODE}\.parquet", re.ASCII
)
_HOUR = "%Y-%m-%dT%H"


@dataclass(frozen=True)
class LocalSegment:
    """A segment on this gateway's disk. stem: HOUR/FIRST-LAST."""

    segment: Segment
    stem: str
    bytes: int
    at_ns: int


@dataclass
class LocalSegments:
    """The segments below one folder. Unchanged hours are not read again."""

    root: Path
    _hours: dict[str, tuple[int, list[LocalSegment]]] = field(default_factory=dict)

    def look(self) -> dict[str, LocalSegment]:
        """Return all that are whole, by stem, in order of their numbers."""
        now_ns, hours = time.time_ns(), {}
        for entry in sorted(self.root.iterdir()) if self.root.is_dir() else ():
            if not _is_hour(entry.name):
                continue
            moved_ns = entry.stat().st_mtime_ns
            known = self._hours.get(entry.name)
            if known is None or known[0] != moved_ns:
                known = (moved_ns if now_ns - moved_ns > SETTLED_NS else -1, list(_segments_of(entry)))
            hours[entry.name] = known
        self._hours = hours
        local_segments = {local.segment.path: local for _, hour in hours.values() for local in hour}
        return {
            local_segments[segment_file.path].stem: local_segments[segment_file.path]
            for segment_file in whole(s.segment for s in local_segments.values())
        }


def _segments_of(hour: Path) -> Iterator[LocalSegment]:
    for path in hour.glob(f"*{ENDING}"):
        named = segment(path)
        if named is None:
            continue
        with suppress(FileNotFoundError):  # merged just now
            file_stat = path.stat()
            yield LocalSegment(named, f"{hour.name}/{path.stem}", file_stat.st_size, file_stat.st_mtime_ns)


def _is_hour(text: str) -> bool:
    try:
        return datetime.strptime(text, _HOUR).replace(tzinfo=UTC).strftime(_HOUR) == text
    except ValueError:
        return False


Listing = dict[str, list[StoredObject]]  # by stem; several of one stem only during a replacement


class Mirror:
    """One gateway's traffic with the store. `step` does what is due; nothing is lost between two steps."""

    def __init__(
        self, folder: Folder, settings: GatewaySettings, now: Callable[[], datetime] = clock.now
    ) -> None:
        assert settings.shared is not None
        assert settings.gateway is not None
        self.folder, self.gateway, self._now = folder, settings.gateway, now
        self.moved_s = time.monotonic()
        self.store = ObjectStore(settings.shared, folder.secret(), moved=self.note_move)
        self.put = self.taken = self.waiting = self.waiting_bytes = 0
        self.lag_s = 0.0
        self.error: str | None = "has not reached the object store yet"
        self._is_short = False  # of disk
        self._damaged: dict[str, str] = {}  # objects that were ignored -> why
        self._foreign: set[str] = set()
        self._lost: set[str] = set()  # own segments that are only in the store: seen once
        self._roots: dict[str, LocalSegments] = {}
        self._stored: Listing | None = None  # own segments
        self.everything_s = self.listed_s = self.others_s = float("-inf")
        self._is_late = False  # something changed in an hour that others do not list each time
        self._others: dict[str, str] = {}  # the other gateways -> their newest notice of such a change
        self._news: dict[str, str] = {}  # the same, as this gateway has processed it
        self._retention: Retention | None = None
        self.findings = FindingsCopy(folder, self.store)

    def note_move(self) -> None:
        self.moved_s = time.monotonic()

    def step(self) -> None:
        """Do what is due. Raises: StoreError, StoreAway, OSError; the next call starts afresh."""
        number = held_number(self.folder.run)
        everything = self._stored is None or time.monotonic() - self.everything_s > EVERYTHING_S
        if everything:
            if self._stored is None:
                self._is_late = True  # it may have been killed before it reported this
                for half in (self.folder.path / COPY).rglob(f"*{HALF}"):  # or during a download
                    half.unlink()
            enter_store(self.folder, self.store, self.gateway)
            self._foreign.clear()
            self._damaged.clear()
            self._stored = self._list(f"segments/{self.gateway}")
            self._retention = _retention(self.folder)
        self._put_own()
        self._take_away()
        self._say_what_is_late()
        every_s = STANDBY_LISTS_S if number is None else LISTS_S
        if everything or time.monotonic() - self.listed_s > every_s:
            self.listed_s = time.monotonic()
            self._is_short = False
            self._take_others(everything)
            self.findings.follow(number)
        if everything:
            self.everything_s = time.monotonic()
        self.findings.publish(number)
        short = f"{self.folder.path}: too little room to take down what other gateways wrote"
        self.error = short if self._is_short else None

    # --- what this gateway wrote ---

    def _local(self, gateway: str) -> LocalSegments:
        root = self.folder.path / COPY / "segments" / gateway
        return self._roots.setdefault(gateway, LocalSegments(root))

    def _put_own(self) -> None:
        """Upload what is not in the store, oldest first."""
        assert self._stored is not None
        began_s = time.monotonic()
        waiting = [local for local in self._local(self.gateway).look().values() if self._is_to_put(local)]
        self._count(waiting)
        while waiting and time.monotonic() - began_s < PUT_S:
            oldest = waiting[0]
            before = self._stored.get(oldest.stem, [])
            if before and not self._is_rewritten(oldest) and self.store.first_whole(before, ENDING):
                raise StoreError(
                    f"segments/{self.gateway}/{oldest.stem}: the store holds another segment of these "
                    "numbers; nothing more is put up. Start this gateway with another --gateway NAME"
                )
            with suppress(FileNotFoundError):  # merged or deleted just now
                new = self.store.put_file(
                    f"segments/{self.gateway}/{oldest.stem}", oldest.segment.path, ENDING
                )
                self._note_hour(oldest.stem)
                self._stored[oldest.stem] = [new]
                self.put += 1
                for old in before if self._is_rewritten(oldest) else ():
                    if old.name != new.name:
                        self.store.delete(old.name)
            waiting.pop(0)
            self._count(waiting)

    def _count(self, waiting: list[LocalSegment]) -> None:
        self.waiting, self.waiting_bytes = len(waiting), sum(local.bytes for local in waiting)
        oldest_ns = min((local.at_ns for local in waiting), default=time.time_ns())
        self.lag_s = max(0.0, (time.time_ns() - oldest_ns) / 1e9)

    def count_waiting(self) -> None:
        """Count what waits for upload, while the store is away."""
        if self._stored is not None:
            self._count(
                [local for local in self._local(self.gateway).look().values() if self._is_to_put(local)]
            )

    def _is_to_put(self, local: LocalSegment) -> bool:
        """Return whether the store lacks it in its present form. A file without its texts is smaller."""
        assert self._stored is not None
        return all(stored.bytes != local.bytes for stored in self._stored.get(local.stem, []))

    def _age(self, stem: str) -> timedelta:
        hour = datetime.strptime(stem.partition("/")[0], _HOUR).replace(tzinfo=UTC)
        return self._now() - hour - timedelta(hours=1)

    def _is_rewritten(self, local: LocalSegment) -> bool:
        """Return whether the recorder may have rewritten it without its texts or rows."""
        retention = self._retention
        return retention is not None and self._age(local.stem) > timedelta(
            days=min(retention.text_days, retention.sketch_days)
        )

    def _is_over(self, stem: str) -> bool:
        return self._retention is not None and self._age(stem) > timedelta(days=self._retention.sketch_days)

    def _take_away(self) -> None:
        """Delete in the store what was merged, and what retention no longer allows.

        A segment that is missing here for neither reason is downloaded again.
        """
        assert self._stored is not None
        local = self._local(self.gateway).look()
        spans = [own.segment for own in local.values() if not self._is_to_put(own)]
        lost: set[str] = set()
        hours: set[str] = set()
        for stem in [stem for stem in self._stored if stem not in local]:
            if _is_covered(stem, spans) or self._is_over(stem):
                for stored in self._stored[stem]:
                    self.store.delete(stored.name)
                del self._stored[stem]
                self._note_hour(stem)
                hours.add(stem.partition("/")[0])
            elif not (usable := self._usable(self._stored[stem])):
                continue
            elif stem in self._lost:  # in two steps: no merge lies between them
                newest = max(usable, key=lambda stored: stored.at_ns)
                self._take(newest, self._local(self.gateway).root / f"{stem}{ENDING}")
            else:
                lost.add(stem)
        self._lost = lost
        left = {stem.partition("/")[0] for stem in self._stored}
        for hour in hours - left:
            below = f"segments/{self.gateway}/{hour}"
            if not any(name.startswith(f"{below}/") for name in self._foreign):
                self.store.delete_below(below)

    def _note_hour(self, stem: str) -> None:
        self._is_late |= stem.partition("/")[0] not in self._recent_hours()

    def _say_what_is_late(self) -> None:
        """Make the others list every hour of this gateway, as an earlier one has changed."""
        if not self._is_late:
            return
        before = list(self.store.objects(f"news/{self.gateway}"))
        self.store.put_bytes(f"news/{self.gateway}/{time.time_ns():020d}", b"")
        self._is_late = False
        for stored in before:
            self.store.delete(stored.name)

    # --- what others wrote ---

    def _list(self, below: str) -> Listing:
        """Return the stored segments, by stem. The names of other objects are remembered."""
        listing: Listing = {}
        for stored in self.store.objects(below):
            if (named := _OBJECT.fullmatch(stored.name)) and _is_hour(named[2]):
                listing.setdefault(f"{named[2]}/{named[3]}", []).append(stored)
            else:
                self._foreign.add(stored.name)
        return listing

    def _take_others(self, everything: bool) -> None:
        if everything or time.monotonic() - self.others_s > STANDBY_LISTS_S:
            names = self.store.folders("segments")
            self._foreign.update(
                f"segments/{name}/" for name in names if not re.fullmatch(GATEWAY_NAME, name)
            )
            news = {
                stored.name.split("/")[1]: stored.name
                for stored in self.store.objects("news")
                if "/" in stored.name
            }
            others = [name for name in names if re.fullmatch(GATEWAY_NAME, name) and name != self.gateway]
            self._others = {name: news.get(name, "") for name in others}
            self.others_s = time.monotonic()
        for gateway, news_here in self._others.items():
            below = f"segments/{gateway}"
            every_hour = everything or news_here != self._news.get(gateway)
            if every_hour:
                listing = self._list(below)
            else:
                hours = [self._list(f"{below}/{hour}") for hour in self._recent_hours()]
                listing = {stem: files for hour in hours for stem, files in hour.items()}
            self._take_from(gateway, listing, every_hour)
            self._news[gateway] = news_here

    def _recent_hours(self) -> list[str]:
        now = self._now()
        return sorted({at.strftime(_HOUR) for at in (now - LATE, now, now + AHEAD)})

    def _take_from(self, gateway: str, listing: Listing, everything: bool) -> None:
        copies = self._local(gateway)
        local = copies.look()
        spans = [copied.segment for copied in local.values()]
        damaged = -1
        # an object of another fleet must not cover this fleet's own
        while damaged != len(self._damaged):
            damaged = len(self._damaged)
            usable = {stem: self._usable(files) for stem, files in listing.items() if self._usable(files)}
            named = {copies.root / f"{stem}{ENDING}": stem for stem in usable}
            for segment_file in whole(s for s in map(segment, named) if s is not None):
                stem = named[segment_file.path]
                newest = max(usable[stem], key=lambda stored: stored.at_ns)
                known = local.get(stem)
                here_already = known.bytes == newest.bytes if known else _is_covered(stem, spans)
                if not here_already and not self._is_over(stem):
                    self._take(newest, segment_file.path)
            local = copies.look()
        for hour in copies.root.iterdir() if copies.root.is_dir() else ():
            if not _is_hour(hour.name):
                continue
            for path in hour.glob(f"*{ENDING}"):
                stem = f"{hour.name}/{path.stem}"
                if segment(path) is not None and (stem not in local or (everything and self._is_over(stem))):
                    path.unlink()  # merged into another, or past retention
            if everything and not any(hour.iterdir()):
                hour.rmdir()

    def _usable(self, files: list[StoredObject]) -> list[StoredObject]:
        return [stored for stored in files if stored.name not in self._damaged]

    def _take(self, stored: StoredObject, path: Path) -> None:
        disk = shutil.disk_usage(self.folder.path)
        if disk.free - stored.bytes < max(LOW_DISK_BYTES, int(disk.total * LOW_DISK_SHARE)):
            self._is_short = True  # the remaining space is for what this gateway captures
            return
        try:
            self.store.take(stored.name, path, ENDING)
            self.taken += 1
        except DamagedObject as why:
            self._damaged[stored.name] = str(why)
        except ObjectGone:
            return  # merged meanwhile: the merged one is downloaded next time

    # --- its heartbeat ---

    def says(self) -> dict[str, Any]:
        """Return the contents of its heartbeat. Called from another thread."""
        foreign = [f"{name}: not of this fleet" for name in list(self._foreign)]
        strange = [*list(self._damaged.values()), *self.findings.damaged, *foreign]
        return {
            "rss": heartbeat.rss_bytes(),
            "lag_s": round(self.lag_s, 1),
            "waiting": self.waiting,
            "waiting_bytes": self.waiting_bytes,
            "put": self.put,
            "taken": self.taken,
            "strange": len(strange),
            "strange_named": sorted(strange)[:MOST_NAMED],
            "findings_of": self.findings.lease,
            "error": self.error,
        }


def _is_covered(stem: str, spans: list[Segment]) -> bool:
    """Return whether its numbers lie in one of the segments."""
    first, _, last = stem.partition("/")[2].partition("-")
    return any(span.first <= int(first) and int(last) <= span.last for span in spans)


def _retention(folder: Folder) -> Retention | None:
    """Return the policy's retention; None if it cannot be read, so that nothing is deleted."""
    try:
        return open_terms(folder, keeps_history=False).terms.retention
    except StillwatchError:
        return None


class _TransferPulse(threading.Thread):
    """Sends heartbeats while a step runs, and ends the process if no byte moves for long."""

    def __init__(self, mirror: Mirror) -> None:
        super().__init__(name="pulse", daemon=True)
        self.mirror, self.works = mirror, threading.Event()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(clock.pause_s(1.0)):
            self.beat()
            if self.works.is_set() and time.monotonic() - self.mirror.moved_s > HANGS_S:
                print(
                    f"{PROCESS}: nothing moved for {HANGS_S:.0f} s; it is ended", file=sys.stderr, flush=True
                )
                os.kill(os.getpid(), signal.SIGKILL)

    def beat(self) -> None:
        with suppress(OSError):  # the missing heartbeat shows it
            heartbeat.beat(self.mirror.folder.run / f"{PROCESS}.json", utc_us(), **self.mirror.says())


def _lives(folder: Folder, process: str) -> bool:
    pid = heartbeat.read(folder.run / f"{process}.json").get("pid")
    return isinstance(pid, int) and Path(f"/proc/{pid}").exists()


def main(folder: str) -> None:
    """Run the mirror of the gateway in a folder."""
    stop = Wake.at_the_end()
    place = Folder(Path(folder))
    mirror = Mirror(place, GatewaySettings.load(place.settings))
    pulse = _TransferPulse(mirror)
    pulse.beat()
    pulse.start()
    pause_s = FIRST_PAUSE_S
    while not stop.is_set():
        try:
            mirror.note_move()
            pulse.works.set()
            mirror.step()
            pause_s = FIRST_PAUSE_S
        except (StillwatchError, OSError) as why:
            mirror.error = str(why)
            with suppress(OSError):
                mirror.count_waiting()
            pulse.works.clear()
            pulse.beat()
            stop.wait(clock.pause_s(pause_s))
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
        pulse.works.clear()
        pulse.beat()
        stop.wait(clock.pause_s(PERIOD_S))
    until_s = time.monotonic() + LAST_S
    while time.monotonic() < until_s and any(_lives(place, name) for name in ("recorder", "detector")):
        time.sleep(0.1)
    with suppress(StillwatchError, OSError):  # what they wrote at their end; else it waits for the next start
        mirror.step()


if __name__ == "__main__":
    main(sys.argv[1])
