"""A scan that goes on: exchanges are added as they arrive, and every full hour is evaluated once.

The evaluations at full hours are those of `scan.watch` over the exchanges that are kept, so that a log
replayed in pieces gives the campaigns of one scan of all of it. Between them a provisional evaluation names
who takes up a known campaign's signature, and who harvests alone and loudly.
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
BACK_US = 2 * HOUR_US  # hours so far ahead were evaluated by a clock that was wrong
FORGET_STEP_US = DAY_US  # forgetting copies all that is kept: a day at a time
WAITING = 16  # of the exchanges that are kept, one in so many may wait to be put in order: in memory, whole
FORM = 1  # of a state in one file
FORM_OF_ROWS = 2  # of one whose rows lie in files beside it
ROWS = ".rows"  # of their folder's name
REFUSALS = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM)  # which damage never is


class StateUnreadable(StillwatchError):
    """A saved state may be whole: the machine does not let it be read now."""


@dataclass(frozen=True)
class Keep:
    """What is remembered. Memory is bounded by the exchanges.

    A quarter of them is in memory whole; of more, what is seldom read lies in temporary files.
    """

    # Links and lone payers need 5 days, and what is new can only be told from what was there before: beyond
    # the window as long again and more (with less the result says so: scan.seen_window). Campaigns and
    # harvests that lie further back are not seen any more.
    days: float = 28.0
    # The oldest hours go when there are more; a quarter more within an hour, and the oldest go at once.
    exchanges: int = 4_000_000
    late_hours: int = 24  # how far back evaluations are repeated for exchanges that come late


class LiveScan:
    """State of one live scan. Deterministic: of the same exchanges and the same ticks the same results.

    `accounts`, `uncaptured` and `unread_segments` (what the owner knows to be missing, see `SeenWindow`)
    may be set at any time; `also` is carried through `save` and `load` for the owner.
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
        self._unevaluated: list[tuple[int, int]] = []  # spans that were let go before their evaluation
        self._kept = KeptLog(Sketcher(self.options.key), min(IN_MEMORY_ROWS, self.keep.exchanges // 4))
        # after evaluations, oldest first; the last is the present one
        self._states: list[CarriedScan] = [CarriedScan()]
        self._evaluated_us = 0
        self._late_us: int | None = None  # the earliest exchange that an hour was evaluated without
        self._last_evaluation_us = 0  # on the caller's clock
        self._result: ScanResult | None = None
        self._newcomers = Newcomers(())
        self._lone = LoneHarvesters()
        self._ids: dict[str, tuple[str, ...]] = {}

    # --- what has been ----------------------------------------------------------------------------------

    @property
    def evaluated_until_us(self) -> int:
        """The hour up to which full evaluations were made: `save` when it has moved."""
        return self._evaluated_us

    @property
    def exchanges(self) -> int:
        """How many exchanges are kept."""
        return len(self._kept)

    @property
    def duplicates(self) -> int:
        """Exchanges that came more than once and were kept once."""
        return self._kept.duplicates

    def stable_id(self, campaign: str) -> str:
        """The id that a campaign of the last result had when it was first seen; its own one changes with its
        accounts."""
        return next((first for first, now in self._ids.items() if now and now[0] == campaign), campaign)

    # --- what comes -------------------------------------------------------------------------------------

    def add(self, exchanges: pa.Table | pa.RecordBatch | Iterable[pa.RecordBatch]) -> None:
        """Take exchanges in, in any order, sketched or with their texts; what is held already is dropped.

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
        """All that is kept. Where the disk had no room for it, note what was let go before its evaluation."""
        log, forgotten_us = self._kept.log, self._kept.forgotten_us
        first_us = int(log["ts_us"][0]) if len(log) else self._kept.forgotten_us
        del log
        log = self._kept.merged()
        if self._kept.forgotten_us > forgotten_us:
            self._note_unevaluated(first_us, self._kept.forgotten_us)
        return log

    def _make_room(self) -> None:
        """Let the oldest go at once: an hour may bring more than memory holds."""
        names = list(self._kept.codes["account"].index)
        times = self._whole_log()["ts_us"]
        if len(times) > self.keep.exchanges:
            self._let_go(int(times[len(times) - self.keep.exchanges]))
        self._recode(names)

    def _let_go(self, before_us: int) -> None:
        """Forget what was before a moment, and note what of it was never evaluated."""
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
        """Follow accounts to the codes of what was merged since; names: by the codes of before."""
        codes = {name: k for k, name in enumerate(self._kept.codes["account"].index)}
        self._newcomers.recode(names, codes)

    def tick(self, now_us: int, complete_until_us: int) -> ScanResult:
        """What is known now: the last full evaluation's result, and followers seen since.

        complete_until_us: every exchange before it has been added. Each full hour before it is evaluated
        once, and again where an exchange came late, `Keep.late_hours` back at most. Where it lies before the
        last evaluation, the clock was ahead: evaluations of hours that have not come are taken back.
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
        """Drop the evaluations after an hour; what was forgotten meanwhile stays forgotten."""
        self._states = [state for state in self._states if state.until_us <= hour] or [CarriedScan()]
        self._evaluated_us, self._result = min(hour, self._evaluated_us), None
        self._kept.forgotten_us = min(self._kept.forgotten_us, hour)
        named_at = {name: at for name, at in self._newcomers.named_at.items() if at <= hour}
        self._newcomers = Newcomers((), named_at)

    @property
    def whole(self) -> bool:
        """Return whether all that is kept is there: not after putting it in order was broken off."""
        return self._kept.whole

    @property
    def short_of_disk(self) -> bool:
        """Return whether it reaches back less far because the disk for temporary files has no room."""
        return self._kept.short_of_disk

    @property
    def window(self) -> SeenWindow:
        """How far back was seen at the last full evaluation, and what was not."""
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
        """Return the fields of a result that say it: nothing where everything was there in time."""
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
        except (
            NoRoomError
        ):  # what an evaluation writes beside the log needs less of a disk where there are fewer
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
        """Each campaign goes on under the id of the earlier one that it shares most accounts with."""
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

    # --- stored -----------------------------------------------------------------------------------------

    def save(self, path: Path, *, rows_apart: bool = False) -> None:
        """Write everything into one file, whole or not at all. It holds sketches: it needs a key of its own.

        rows_apart: have the exchanges lie in files of a folder beside it, each written once, so that it costs
        what is new. Whatever breaks it off leaves the state of before.

        Raises: InputError for the key that is public, or where the file cannot be written.
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
        """Go on from a saved state, under the key that it was saved under.

        Raises: InputError if there is none, it is damaged, or was written under another key; StateUnreadable
        where it may be whole and the machine does not let it be read.
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
    """Return whether a state could not be read for another reason than damage."""
    if not isinstance(error, MemoryError):
        return isinstance(error, OSError) and error.errno in REFUSALS
    try:  # a damaged file may ask for more memory than there is
        with ZipFile(path) as file:
            return file.testzip() is None
    except (BadZipFile, OSError, ValueError):
        return False
