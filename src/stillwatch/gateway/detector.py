"""The detector: reads the segments, keeps a live scan of them, and hands over its findings as files.

It never answers a request or changes an enforcement status: the supervisor reads the files in `detector/`.
After a kill it continues from the last saved state; exchanges that it reads twice are dropped by their ids.
"""

import ctypes
import json
import math
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.errors import InputError, StillwatchError
from stillwatch.exchanges.parquet import DAMAGED
from stillwatch.exchanges.sketched import PURPOSE
from stillwatch.gateway import clock, heartbeat
from stillwatch.gateway.control.holds import schedules_in
from stillwatch.gateway.control.people import accounts_table, write_accounts
from stillwatch.gateway.fleet import lease
from stillwatch.gateway.folder import Folder, derive
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import HANDOVER, gaps, handover_json
from stillwatch.gateway.record.segments import name_in, networks_of, new_segments, read_new
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.thinning import Thinning
from stillwatch.gateway.wake import Wake
from stillwatch.report.findings import to_text, write, write_atomically
from stillwatch.scan import ScanResult, SeenWindow
from stillwatch.scan.live import Keep, LiveScan
from stillwatch.scan.pipeline import Options
from stillwatch.scan.seen_window import needed_days, window_sentences
from stillwatch.terms.reload import WatchedTerms
from stillwatch.units import DAY_US, HOUR_US, utc_us

STATE = "live.npz"
BAD = "bad-segments.jsonl"
PERIOD_S = 2.0
SAVE_S = 300.0  # the longest time between saves if rows have arrived
FIGURES_S = 30.0  # how often findings are written if only their figures changed
# A longer step counts as hung. An hour's evaluation takes 7 to 10 µs for each exchange kept.
STEP_LIMIT_S, STEP_LIMIT_US = 900.0, 100
TRIES = 3  # attempts to read a segment despite disk errors
SETTLE_US = 5_000_000  # from an exchange's end to its row in a segment, with a margin
SKEW_US = 10_000_000  # added if hosts' clocks differ: rows carry the time of their own host
M_MMAP_THRESHOLD = -3  # <malloc.h>
MOST_GAPS = 10_000  # only the newest are counted
IDLE_S = 30.0
# Kept exchanges per MiB of memory, beyond the base use of the process and its steps. The process is ended
# above its limit (benchmarks/kept_memory.py, docs/figures/gateway.md).
EXCHANGES_A_MB = 2_500
PROCESS_MB = 450
MOST_EXCHANGES = 130_000_000  # that are evaluated at once: actors.spread takes 134 million


def exchanges_in(memory_mb: int) -> int:
    """Return how many exchanges can be kept in this much memory.

    >>> exchanges_in(4096)
    9115000
    """
    exchanges = max(memory_mb - PROCESS_MB, memory_mb / 8) * EXCHANGES_A_MB
    return min(int(exchanges), MOST_EXCHANGES)


class FolderScan:
    """One folder's live scan. `step` does one round."""

    def __init__(self, folder: Folder, settings: GatewaySettings, now_us: Callable[[], int]) -> None:
        self.folder, self._now_us = folder, now_us
        self._in_fleet = folder.segments.is_symlink()
        secret = folder.secret()
        self._options = Options(
            key=derive(secret, PURPOSE), threads=1, short_answer_tokens=settings.short_answers
        )
        self._keep = Keep(exchanges=exchanges_in(settings.detector_memory_mb))
        self.error: str | None = None
        self._save_error: str | None = None  # of the last attempt; reported until one succeeds
        self.bad = self.read = self.looks = 0
        self.newest_us = 0  # the latest exchange's own time
        self.caught_up_us = now_us()  # everything present at that time has been read and evaluated
        self._thinning = Thinning()
        self._tries: dict[str, int] = {}
        self._written: tuple[ScanResult | None, float] = (None, 0.0)
        self._saved_at, self._saved_until_us, self._unsaved = time.monotonic(), -1, False
        self._rows_at = time.monotonic()
        self._accounts: pa.Table | None = None
        self._gaps_sign: tuple[int, int] | None = None
        self._bad_at_us = _passed_over(folder)
        self._unseen: dict[str, Any] = {}
        self._watched: WatchedTerms | None = None
        self._live = self._begin()
        self.seen: set[str] = set(map(str, self._live.also.get("seen", ())))  # type: ignore[call-overload]
        self.newest_us = int(str(self._live.also.get("newest_us", 0)))
        # SHA-256 of each file that gave rows their `asn` -> its description, and the latest such row's time
        self._tables = msgspec.convert(self._live.also.get("networks", {}), dict[str, dict[str, Any]])

    def _begin(self) -> LiveScan:
        """Continue from the saved state; if it is not readable, start with the first segment."""
        path = self.folder.detector / STATE
        if path.exists():
            try:
                return LiveScan.load(path, self._options, keep=self._keep)
            except InputError as why:
                path.replace(path.with_suffix(".unreadable"))
                self.error = f"{why}; begun anew from the segments"
        return LiveScan(self._options, keep=self._keep)

    @property
    def exchanges(self) -> int:
        """The number of exchanges kept."""
        return self._live.exchanges

    @property
    def usable(self) -> bool:
        """Whether its data are whole: False after a disk error interrupted their reorganisation."""
        return self._live.whole

    # --- one round ---

    def step(self) -> None:
        """Read new rows, evaluate them, hand over the findings."""
        begun_us = self._now_us()
        error = self._read()
        self._know_accounts()
        self._know_holds()
        if self._live.exchanges:
            self._know_what_is_missing()
            result = self._live.tick(self._now_us(), self._complete_until_us(begun_us))
            self._unseen = self._what_is_not_seen(result.window)
            self._hand_over(result)
        self._save_if_due()
        self.error, self.caught_up_us = error or self._save_error, begun_us

    def _read(self) -> str | None:
        """Add every new row, and skip unusable segments. Return the disk's error, if any."""
        while True:
            try:
                for table in read_new(self.folder, self.seen):
                    self._add(table)
                return None
            except OSError as why:
                path, error = self._unread(), f"{why.strerror or why}"
                if path is None or not self._enough(path, error):
                    return f"{path.name if path else self.folder.segments}: {error}"
            except MemoryError:
                raise  # Arrow's too: a lack of memory is not the segment's fault
            except (InputError, KeyError, *DAMAGED) as why:
                path = self._unread()
                if path is None:
                    raise
                self._pass_over(path, f"{type(why).__name__}: {str(why)[:300]}")

    def _unread(self) -> Path | None:
        """Return the segment at which reading stopped."""
        return next(iter(new_segments(self.folder, self.seen)), None)

    def _add(self, table: pa.Table) -> None:
        self._live.add(self._thinning(table))
        newest = pc.max(table.column("time")).cast(pa.int64()).as_py()
        self.newest_us = max(self.newest_us, int(newest or 0))
        for file in networks_of(table.schema):
            until_us = max(int(newest or 0), self._tables.get(file["sha256"], {}).get("until_us", 0))
            self._tables[file["sha256"]] = file | {"until_us": until_us}
        self.read += table.num_rows
        self._rows_at, self._unsaved = time.monotonic(), True

    def _enough(self, path: Path, why: str) -> bool:
        """Count a failed attempt; return whether the segment is skipped now: a disk may recover."""
        self._tries[str(path)] = self._tries.get(str(path), 0) + 1
        if self._tries[str(path)] < TRIES:
            return False
        self._pass_over(path, why)
        return True

    def _pass_over(self, path: Path, why: str) -> None:
        self.bad += 1
        self._bad_at_us.append(self._now_us())
        line = {"at": self._bad_at_us[-1], "segment": str(path.relative_to(self.folder.path)), "reason": why}
        with open(self.folder.detector / BAD, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self.seen.add(name_in(self.folder, path))

    def _know_accounts(self) -> None:
        """Load the owner's data on accounts: organisations from keys, permissions from the policy."""
        try:
            if self._watched is None:
                self._watched = open_terms(self.folder, keeps_history=False)
            self._watched.poll()
            permissions = self._watched.terms.permissions
            table = accounts_table(self.folder.state, permissions, self._now_us())
        except StillwatchError as why:
            self.error = str(why)
            return
        if self._accounts is None or not table.equals(self._accounts):
            self._check_lease()
            write_accounts(table, self.folder.detector)
            self._accounts = table
            self._live.accounts = table

    def _know_holds(self) -> None:
        """Load which accounts the gateway held, and when: a full evaluation uses it as evidence."""
        try:
            held = schedules_in(self.folder.state, self._now_us() - int(self._keep.days + 1) * DAY_US)
        except StillwatchError as why:
            self.error = str(why)
            return
        if held != self._live.options.held:
            self._live.options = replace(self._live.options, held=held)

    def _know_what_is_missing(self) -> None:
        """Count what was not captured, or cannot be read, in the days that the rules need."""
        newest_us = min(self.newest_us, self._now_us())  # rows may come from a clock that was ahead
        since_us = newest_us - int(needed_days(self._options) * DAY_US)
        self._live.unread_segments = sum(at_us >= since_us for at_us in self._bad_at_us)
        try:
            file_stat = self.folder.gaps.stat()
        except FileNotFoundError:
            return
        sign = (file_stat.st_size, since_us // HOUR_US)
        if sign != self._gaps_sign:
            lost = gaps(self.folder.gaps, limit=MOST_GAPS)
            self._live.uncaptured = sum(gap.exchanges for gap in lost if gap.until_us >= since_us)
            self._gaps_sign = sign

    def _what_is_not_seen(self, window: SeenWindow | None) -> dict[str, Any]:
        """Return what health and metrics report of missing data; empty if the rules have all they need."""
        if window is None:
            return {}
        sentences = list(window_sentences(window))
        if window.short and self._live.short_of_disk:
            sentences.append(f"The disk has no room for more of them: make room below {self.folder.path}.")
        elif window.short and window.kept_days:
            needed = self._live.exchanges / window.kept_days * window.needed_days
            memory_mb = math.ceil(needed / EXCHANGES_A_MB + PROCESS_MB)
            days = f"At this pace {window.needed_days:g} days"
            sentences.append(
                f"{days} need detector_memory_mb = {memory_mb} in serve.json."
                if needed <= MOST_EXCHANGES
                else f"{days} are more than the {MOST_EXCHANGES:,} exchanges that are evaluated at once: no "
                "memory holds them."
            )
        missing_days = window.needed_days - (window.kept_days or 0) if window.short else 0
        return {
            "text": " ".join(sentences),
            "blind": bool(window.short or window.unevaluated or window.dropped or window.unread_segments),
            "missing_s": round(missing_days * 86_400),
            "late": window.late + window.dropped,
        }

    def _complete_until_us(self, read_us: int) -> int:
        """Return the time until which every exchange should have arrived. Later arrivals are evaluated again.

        Uses the wall clock if exchanges are recent. Otherwise the gateway's clock differs and their own times
        are used; then the last hour counts as complete when nothing has arrived for a while.
        """
        if self.newest_us > read_us - 2 * HOUR_US:
            settle_us = SETTLE_US + SKEW_US if self._in_fleet else SETTLE_US
            return min(read_us - settle_us, self.newest_us + 2 * HOUR_US)
        idle = time.monotonic() - self._rows_at > IDLE_S
        return self.newest_us + (HOUR_US if idle else 0)

    # --- what it leaves ---

    def _check_lease(self) -> None:
        """Refuse to write files that another gateway's detector writes now. Raises: InputError."""
        if self._in_fleet and not lease.holds(self.folder.run):
            raise InputError("another gateway of the fleet runs the detector now")

    def _hand_over(self, result: ScanResult) -> None:
        """Write the findings if they changed; if only figures changed, every `FIGURES_S`."""
        self._check_lease()
        last, at = self._written
        fresh = replace(result, scanned=replace(result.scanned, seconds=0.0))
        same = last is not None and _who(fresh) == _who(last)
        if fresh == last or (same and time.monotonic() - at < FIGURES_S):
            return
        first_ids = {c.id: self._live.stable_id(c.id) for c in result.campaigns}
        handover = handover_json(result, first_ids, self._networks())
        write_atomically(self.folder.detector / HANDOVER, to_text(handover))
        write(fresh, self.folder.detector)
        self._written = (fresh, time.monotonic())

    def _networks(self) -> list[dict[str, Any]]:
        """Return the tables that gave exchanges their `asn`; a name may have several digests."""
        since_us = self.newest_us - self._keep.days * DAY_US
        self._tables = {
            sha256: table for sha256, table in self._tables.items() if table["until_us"] >= since_us
        }
        files = [{k: v for k, v in table.items() if k != "until_us"} for table in self._tables.values()]
        return sorted(files, key=lambda file: (file["name"], file["sha256"]))

    def _save_if_due(self) -> None:
        moved = self._live.evaluated_until_us != self._saved_until_us
        if self._unsaved and (moved or time.monotonic() - self._saved_at > SAVE_S):
            self.save()

    def save(self) -> None:
        """Save the state, with the names of the segments that it covers."""
        if not self._unsaved or (self._in_fleet and not lease.holds(self.folder.run)):
            return
        self._live.also = {
            "seen": sorted(self.seen), "newest_us": self.newest_us, "networks": self._tables
        }  # fmt: skip
        # set first, so that a failing disk is not tried again at each step
        self._saved_at, self._saved_until_us = time.monotonic(), self._live.evaluated_until_us
        try:
            self._live.save(self.folder.detector / STATE, rows_apart=True)
        except InputError as why:
            self._save_error = str(why)
            raise
        self._unsaved, self._save_error = False, None

    def says(self) -> dict[str, Any]:
        """Return the contents of its heartbeat. Another thread calls it, so it reads only single values."""
        return {
            "rss": heartbeat.rss_bytes(),
            "lag_s": round(max(0, self._now_us() - self.caught_up_us) / 1e6, 1),
            "exchanges": self._live.exchanges,
            "read": self.read,
            "looks": self.looks,
            "too_late": self._live.too_late,
            "unseen": self._unseen,
            "left_out": self._thinning.left_out,
            "bad_segments": self.bad,
            "looked_until_us": self._live.evaluated_until_us,
            "error": self.error,
        }


def _passed_over(folder: Folder) -> list[int]:
    """Return the times at which segments were skipped, as far as recorded."""
    times_us = []
    try:
        for line in (folder.detector / BAD).read_text("utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):  # a line torn by a crash
                times_us.append(int(json.loads(line)["at"]))
    except OSError:
        return times_us
    return times_us


def _who(result: ScanResult) -> tuple[object, ...]:
    """Return whom a result names: if that changes, the result is handed over at once."""
    leads = tuple((lead.id, lead.hands, lead.accounts) for lead in result.leads)
    weak = tuple((group.candidate, group.accounts) for group in result.weak)
    return result.campaigns, result.followers, result.alone, leads, weak


class _Pulse(threading.Thread):
    """Sends heartbeats during a step; ends the process when one takes longer than any step may."""

    def __init__(self, detector: FolderScan) -> None:
        super().__init__(name="pulse", daemon=True)
        self.detector = detector
        self.step_since = time.monotonic()
        self.stop = threading.Event()

    def run(self) -> None:
        while not self.stop.wait(clock.pause_s(1.0)):
            self.beat()
            limit_s = STEP_LIMIT_S + self.detector.exchanges * STEP_LIMIT_US / 1e6
            if time.monotonic() - self.step_since > limit_s:
                print(
                    f"detector: a step took over {limit_s:.0f} s; it is ended",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(1)

    def beat(self) -> None:
        try:
            path = self.detector.folder.run / "detector.json"
            heartbeat.beat(path, utc_us(), **self.detector.says())
        except OSError:
            return  # the supervisor sees the missing heartbeat


def return_freed_memory() -> None:
    """Make glibc return freed arrays of a MiB and more to the system at once: by default it raises that limit
    as it runs. Another C library is unaffected."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 1 << 20)


def main(folder: str) -> None:
    """Run the detector of the gateway in a folder."""
    return_freed_memory()
    stop = Wake.at_the_end()
    place = Folder(Path(folder))
    if "TMPDIR" not in os.environ:  # the system's temporary folder is often in memory
        tempfile.tempdir = str(place.run)
    detector = FolderScan(place, GatewaySettings.load(place.settings), clock.now_us)
    pulse = _Pulse(detector)
    pulse.beat()
    pulse.start()
    while not stop.is_set():
        pulse.step_since = begun = time.monotonic()
        wanted_ticks = clock.looks_asked()
        if wanted_ticks is not None and wanted_ticks == detector.looks:  # a range decides when
            stop.wait(clock.pause_s(0.02))
            continue
        try:
            detector.step()
            detector.looks += 1 if wanted_ticks is None else wanted_ticks - detector.looks
        except (StillwatchError, OSError) as why:
            detector.error = str(why)
            if not detector.usable:
                sys.exit(f"detector: {why}; it goes on from the saved state")
        except MemoryError:
            sys.exit("detector: there is not enough memory; it goes on from the saved state")
        pulse.step_since = time.monotonic()
        stop.wait(max(clock.pause_s(0.2), clock.pause_s(PERIOD_S) - (time.monotonic() - begun)))
    pulse.step_since = time.monotonic()
    detector.save()
    pulse.stop.set()


if __name__ == "__main__":
    main(sys.argv[1])
