"""A continuous scan: exchanges are added as they arrive, and every full hour is evaluated once.

The evaluations at full hours are those of `scan.watch` over the exchanges in memory, so that a log replayed
in pieces gives the same campaigns as one scan of all of it. In between, a provisional evaluation names
accounts that take up a known campaign's signature, and loud accounts that harvest alone.
"""

import errno
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import msgspec
import numpy as np
import pyarrow as pa

import stillwatch
from stillwatch.errors import InputError, StillwatchError
from stillwatch.exchanges.column_file import IN_MEMORY_ROWS, NoRoomError
from stillwatch.exchanges.kept import KeptLog, batches_of
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.exchanges.row_files import DAMAGED_ARRAYS, write_arrays
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.scan import LoneHarvester, ScanResult, ScanTotals, SeenWindow
from stillwatch.scan.carried import CarriedScan
from stillwatch.scan.lone_harvesters import LoneHarvesters
from stillwatch.scan.newcomers import KnownAccounts, Newcomers, known_accounts, known_signatures
from stillwatch.scan.parts import FOLLOW, LONE_HARVEST
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.scan.seen_window import needed_days, window_sentences
from stillwatch.units import DAY_US, HOUR_US, time_of

# evaluations are repeated for late exchanges at most this often between full hours
LATE_EVERY_US = 600_000_000
BACK_US = 2 * HOUR_US  # hours this far ahead were evaluated because of a wrong clock
FORGET_STEP_US = DAY_US  # forgetting copies everything in memory, so it works in steps of a day
WAITING = 16  # the share of exchanges in memory that may wait to be sorted is one in this many
FORM = 1  # version of a state in one file
FORM_OF_ROWS = 2  # version of one whose rows are in files beside it
ROWS = ".rows"  # suffix of their folder
REFUSALS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)  # never due to damage


class StateUnreadable(StillwatchError):
    """A saved state may be intact, but cannot be read at the moment."""


@dataclass(frozen=True)
class Keep:
    """How much is kept. Memory is bounded by the number of exchanges.

    A quarter of them is wholly in memory; of the rest, rarely read columns are in temporary files.
    """

    # Links and lone payers need 5 days, and new wording needs an earlier period of at least that length for
    # comparison (with less the result says so: scan.seen_window). Older campaigns and harvests are no longer
    # seen.
    days: float = 28.0
    # If there are more, the oldest hours are released; at once if an hour brings a quarter more.
    exchanges: int = 4_000_000
    late_hours: int = 24  # how far back evaluations are repeated for late exchanges


class LiveScan:
    """State of one continuous scan. Deterministic: the same exchanges and ticks give the same results.

    `accounts`, `uncaptured` and `unread_segments` (known losses, see `SeenWindow`) may be set at any time;
    `also` is carried through `save` and `load` for the caller.
    """

    def __init__(
        self, options: Options | None = None, *, keep: Keep | None = None, accounts: pa.Table | None = None
    ) -> None:
        self.options = options or Options()
        self.keep = keep or Keep()
        self.accounts = accounts
        self._known: tuple[pa.Table | None, KnownAccounts] = (None, KnownAccounts())
        self.also: dict[str, object] = {}
        self.too_late = 0  # exchanges that came too late for a repeated evaluation
        self.uncaptured = self.unread_segments = 0
        self._late_hours: Counter[int] = Counter()  # the same, by the hour of their own time
        self._unevaluated: list[tuple[int, int]] = []  # spans released before their evaluation
        self._kept = KeptLog(Sketcher(self.options.key), min(IN_MEMORY_ROWS, self.keep.exchanges // 4))
        # after evaluations, oldest first; the last is the current one
        self._states: list[CarriedScan] = [CarriedScan()]
        self._evaluated_us = 0
        self._late_us: int | None = None  # the earliest exchange missing in the evaluation of its hour
        self._last_evaluation_us = 0  # on the caller's clock
        self._result: ScanResult | None = None
        self._newcomers = Newcomers(())
        self._lone = LoneHarvesters()
        self._ids: dict[str, tuple[str, ...]] = {}

    # --- read access -------------------------------------------------------------------------------------

    @property
    def evaluated_until_us(self) -> int:
        """The hour up to which full evaluations were made; `save` after it changes."""
        return self._evaluated_us

    @property
    def exchanges(self) -> int:
        """Number of exchanges in memory."""
        return len(self._kept)

    @property
    def duplicates(self) -> int:
        """Exchanges that came more than once and were kept once."""
        return self._kept.duplicates

    def stable_id(self, campaign: str) -> str:
        """Return the id that a campaign of the last result had when first seen; its own id changes with its
        accounts."""
        return next((first for first, now in self._ids.items() if now and now[0] == campaign), campaign)

    # --- input -------------------------------------------------------------------------------------------

    def add(self, exchanges: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]) -> None:
        """Add exchanges, in any order, sketched or with their texts; duplicates are dropped.

        Raises: InputError for sketches under another key than the options'.
        """
        for batch in batches_of(exchanges):
            if batch.num_rows == 0:
                continue
            part = self._kept.add(batch)
            if len(part["ts_us"]) == 0:
                continue
            self._newcomers.see(part)
            self._lone.see(part, list(self._kept.codes["account"].index))
            first = int(part["ts_us"].min())
            if first < self._evaluated_us:
                late_us = part["ts_us"][part["ts_us"] < self._states[0].until_us]
                self.too_late += len(late_us)
                self._late_hours.update((late_us // HOUR_US).tolist())
                self._late_us = first if self._late_us is None else min(first, self._late_us)
            if len(self._kept) > self.keep.exchanges + self.keep.exchanges // 4:
                self._make_room()
            elif self._kept.waiting > self.keep.exchanges // WAITING:
                names = list(self._kept.codes["account"].index)
                self._whole_log()
                self._recode(names)

    def _whole_log(self) -> ExchangeLog:
        """Return everything in memory. If the disk was full, record what was never evaluated."""
        log, forgotten_us = self._kept.log, self._kept.forgotten_us
        first_us = int(log["ts_us"][0]) if len(log) else self._kept.forgotten_us
        del log
        log = self._kept.merged()
        if self._kept.forgotten_us > forgotten_us:
            self._note_unevaluated(first_us, self._kept.forgotten_us)
        return log

    def _make_room(self) -> None:
        """Release the oldest exchanges at once: an hour may bring more than memory holds."""
        names = list(self._kept.codes["account"].index)
        times = self._whole_log()["ts_us"]
        if len(times) > self.keep.exchanges:
            self._let_go(int(times[len(times) - self.keep.exchanges]))
        self._recode(names)

    def _let_go(self, before_us: int) -> None:
        """Forget everything before a moment, and record what of it was never evaluated."""
        times = self._whole_log()["ts_us"]
        self._note_unevaluated(int(times[0]) if len(times) else before_us, before_us)
        self._kept.forget(before_us)

    def _note_unevaluated(self, from_us: int, before_us: int) -> None:
        from_us = max(self._evaluated_us, from_us)
        if from_us < before_us:
            if self._unevaluated and from_us - self._unevaluated[-1][1] < HOUR_US:
                from_us = self._unevaluated.pop()[0]
            self._unevaluated.append((from_us, before_us))

    def _recode(self, names: list[str]) -> None:
        """Update account codes after a merge; names: by the old codes."""
        codes = {name: k for k, name in enumerate(self._kept.codes["account"].index)}
        self._newcomers.recode(names, codes)

    def tick(self, now_us: int, complete_until_us: int) -> ScanResult:
        """Return the last full evaluation's result, and followers seen since.

        complete_until_us: all earlier exchanges have been added. Each full hour before it is evaluated once,
        and again if an exchange came late, at most `Keep.late_hours` back. If it is before the last
        evaluation, the clock was ahead, and evaluations of future hours are withdrawn.
        """
        hour = complete_until_us // HOUR_US * HOUR_US
        if hour < max(self._evaluated_us, self._kept.forgotten_us) - BACK_US:
            self._go_back(hour)
        late = self._late_us is not None and now_us >= self._last_evaluation_us + LATE_EVERY_US
        if self._result is None or hour > self._evaluated_us or late:
            self._evaluate(max(hour, self._evaluated_us))
            self._last_evaluation_us = now_us
        assert self._result is not None
        if self._known[0] is not self.accounts:
            self._known = (self.accounts, known_accounts(self.accounts))
        followers = self._newcomers.find_followers(self._kept, self._known[1], now_us, self.options.window_us)
        return replace(
            self._result,
            followers=followers,
            alone=self._lone_harvesters(now_us),
            **self._what_is_not_seen(self._result),
        )

    def _go_back(self, hour: int) -> None:
        """Drop the evaluations after an hour; forgotten exchanges stay forgotten."""
        self._states = [state for state in self._states if state.until_us <= hour] or [CarriedScan()]
        self._evaluated_us, self._result = min(hour, self._evaluated_us), None
        self._kept.forgotten_us = min(self._kept.forgotten_us, hour)
        named_at = {name: at for name, at in self._newcomers.named_at.items() if at <= hour}
        self._newcomers = Newcomers((), named_at)

    @property
    def whole(self) -> bool:
        """Return whether memory is complete: not after its sorting was interrupted."""
        return self._kept.whole

    @property
    def short_of_disk(self) -> bool:
        """Return whether it reaches back less far because the disk for temporary files is full."""
        return self._kept.short_of_disk

    @property
    def window(self) -> SeenWindow:
        """Describe the window of the last full evaluation, and its gaps."""
        needed = needed_days(self.options)
        since_us = self._evaluated_us - int(needed * DAY_US)
        gone_us = self._kept.forgotten_us
        return SeenWindow(
            self.options.window_days,
            needed,
            round(max(0, self._evaluated_us - gone_us) / DAY_US, 3) if gone_us else None,
            time_of(gone_us) if gone_us else None,
            _count_since(self._late_hours, since_us),
            _count_since(self._kept.dropped, since_us),
            tuple((time_of(a), time_of(b)) for a, b in self._unevaluated if b > since_us),
            self.uncaptured,
            self.unread_segments,
        )

    def _what_is_not_seen(self, result: ScanResult) -> dict[str, Any]:
        """Return the fields of a result on missing data: empty if everything arrived in time."""
        window = self.window
        if window.whole:
            return {}
        return {"window": window, "cannot_claim": (*window_sentences(window), *result.cannot_claim)}

    def _lone_harvesters(self, now_us: int) -> tuple[LoneHarvester, ...]:
        if LONE_HARVEST in self.options.parts and self._lone.due(now_us):
            assert self._result is not None
            names = list(self._kept.codes["account"].index)
            log = self._whole_log()
            self._recode(names)
            in_campaigns = {a for campaign in self._result.campaigns for a in campaign.accounts}
            self._lone.ask(log, self.accounts, in_campaigns, self._evaluated_us, now_us, self.options)
        return tuple(self._lone.named[name] for name in sorted(self._lone.named))

    def _evaluate(self, hour: int) -> None:
        self._forget(hour)
        log = self._whole_log()
        if len(log) == 0:
            self._result = ScanResult(stillwatch.__version__, ScanTotals(0, 0, None, None, 0, 0.0), (), ())
            return
        if self._late_us is not None:
            good = [state for state in self._states if state.until_us <= self._late_us]
            self._states = good or self._states[:1]
            self._late_us = None
        oldest = hour - self.keep.late_hours * HOUR_US

        def remember(state: CarriedScan) -> None:
            self._states.append(state)
            while len(self._states) > 1 and self._states[1].until_us <= oldest:
                self._states.pop(0)

        try:
            result = scan_log(
                log,
                self.accounts,
                options=self.options,
                carried=self._states[-1],
                until_us=hour,
                forgotten_us=self._kept.forgotten_us,
                keep=remember,
            )
        except NoRoomError:  # with fewer exchanges, an evaluation needs less disk beside the log
            times = log["ts_us"]
            self._let_go(max(int(times[len(times) // 4]), int(times[0]) + 1))
            self._kept.no_room_us = self._kept.forgotten_us
            self._evaluate(hour)
            return
        self._evaluated_us = hour
        self._result = result
        self._follow_ids(result)
        follows = FOLLOW in self.options.parts
        signatures = (
            known_signatures(self._states[-1], result, self._kept, self.options.window_us) if follows else ()
        )
        lately = {name: at for name, at in self._newcomers.named_at.items() if at > hour - DAY_US}
        self._newcomers = Newcomers(signatures, lately)
        self._lone = LoneHarvesters()

    def _forget(self, hour: int) -> None:
        before = hour - int(self.keep.days * DAY_US)
        if len(self._kept) > self.keep.exchanges:
            ts = self._whole_log()["ts_us"]
            if len(ts) > self.keep.exchanges:
                before = max(before, int(ts[len(ts) - self.keep.exchanges]) // HOUR_US * HOUR_US)
        log = self._kept.log
        first = int(log["ts_us"][0]) if len(log) else before
        if before >= first + FORGET_STEP_US or len(self._kept) > self.keep.exchanges:
            self._let_go(before)
        oldest = hour - int(needed_days(self.options) * DAY_US)
        for counted in (self._late_hours, self._kept.dropped):
            for old in [hour_number for hour_number in counted if hour_number * HOUR_US < oldest]:
                del counted[old]
        self._unevaluated = [span for span in self._unevaluated if span[1] > oldest]

    def _follow_ids(self, result: ScanResult) -> None:
        """Give each campaign the id of the earlier one with which it shares most accounts."""
        earlier = {first: set(now[1:]) for first, now in self._ids.items()}
        ids: dict[str, tuple[str, ...]] = {}
        for campaign in result.campaigns:
            shared = {
                first: len(accounts.intersection(campaign.accounts))
                for first, accounts in earlier.items()
                if first not in ids
            }
            best = min(shared, key=lambda first: (-shared[first], first), default="")
            ids[best if shared.get(best) else campaign.id] = (campaign.id, *campaign.accounts)
        self._ids = ids

    # --- persistence ---------------------------------------------------------------------------------------

    def save(self, path: Path, *, rows_apart: bool = False) -> None:
        """Write everything into one file, atomically. It holds sketches, so a private key is required.

        rows_apart: store the exchanges in files of a folder beside it, each written once, so that saving
        costs only what is new. If it is interrupted, the previous state stays.

        Raises: InputError for the public key, or if the file cannot be written.
        """
        if self._kept.sketcher.public:
            raise InputError(f"{path}: sketches under the public key are not stored; give a key of your own")
        try:
            arrays = self._kept.store(path.with_suffix(ROWS)) if rows_apart else self._kept.arrays()
            saved = _Saved(
                FORM_OF_ROWS if rows_apart else FORM,
                self._states,
                self._evaluated_us,
                self._late_us,
                self.too_late,
                self._ids,
                self._newcomers.named_at,
                self.also,
                sorted(self._late_hours.items()),
                self._unevaluated,
            )
            arrays["live"] = np.frombuffer(msgspec.json.encode(saved), np.uint8)
            write_arrays(path, arrays)
            if rows_apart:
                self._kept.clean()
        except OSError as error:
            raise InputError(f"{path}: cannot hold the live scan's state: {error.strerror}") from error

    @classmethod
    def load(
        cls,
        path: Path,
        options: Options | None = None,
        *,
        keep: Keep | None = None,
        accounts: pa.Table | None = None,
    ) -> "LiveScan":
        """Continue from a saved state, under the key with which it was saved.

        Raises: InputError if there is none, it is damaged, or was written under another key; StateUnreadable
        if it may be intact but cannot be read now.
        """
        live = cls(options, keep=keep, accounts=accounts)
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            saved = msgspec.json.decode(arrays.pop("live").tobytes(), type=_Saved)
            if saved.form in (FORM, FORM_OF_ROWS):
                live._restore(arrays, saved, path)
                return live
        except InputError:
            raise
        except FileNotFoundError as error:
            if path.exists():
                raise InputError(
                    f"{path}: its exchanges are not there ({error.filename}); begin anew from the log"
                ) from None
            raise InputError(f"{path}: there is no saved live scan") from None
        except (*DAMAGED_ARRAYS, msgspec.MsgspecError) as error:
            if _may_be_whole(path, error):
                raise StateUnreadable(f"{path}: cannot be read now: {error}; try again") from None
            raise InputError(
                f"{path}: is no whole saved live scan ({error}); begin anew from the log"
            ) from None
        raise InputError(
            f"{path}: is of form {saved.form}, this program writes {FORM} or {FORM_OF_ROWS}; begin anew from "
            "the log"
        )

    def _restore(self, arrays: dict[str, np.ndarray], saved: "_Saved", path: Path) -> None:
        self._kept.restore(arrays, str(path), path.with_suffix(ROWS))
        self._states, self._evaluated_us, self._late_us = saved.states, saved.looked_us, saved.late_us
        self.too_late, self._ids, self.also = saved.too_late, saved.ids, saved.also
        self._newcomers = Newcomers((), saved.named_at)
        self._late_hours, self._unevaluated = Counter(dict(saved.late_hours)), saved.unevaluated


class _Saved(msgspec.Struct):
    form: int
    states: list[CarriedScan]
    looked_us: int
    late_us: int | None
    too_late: int
    ids: dict[str, tuple[str, ...]]
    named_at: dict[str, int]
    also: dict[str, object]
    late_hours: list[tuple[int, int]] = []
    unevaluated: list[tuple[int, int]] = []


def _count_since(by_hour: Counter[int], since_us: int) -> int:
    return sum(count for hour, count in by_hour.items() if hour * HOUR_US >= since_us)


def _may_be_whole(path: Path, error: Exception) -> bool:
    """Return whether a state may be intact although it could not be read."""
    if not isinstance(error, MemoryError):
        return isinstance(error, OSError) and error.errno in REFUSALS
    try:  # a damaged file may ask for more memory than there is
        with ZipFile(path) as file:
            return file.testzip() is None
    except (BadZipFile, OSError, ValueError):
        return False
