"""Stillwatch scanning a log: as a whole, with a part left out, or with one part alone.

A watch evaluates every full hour (`scan.live`). A whole log is judged with one scan: alarms are in the same
hours, since a scan looks back only. Of the accounts those count that the case holds at the log's end, each
from the hour in which it was named. A case that a permission suppresses accuses nobody.

Null: of `scan`, which takes the same budget and needs no clean days.
Blind to: see docs/detectors.md; without a part, what that part detects.
Fooled by: the same.
Source: `scan.parts`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import pyarrow as pa

from stillwatch.exchanges import ACCOUNTS
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.range.defences import Accusation, LogJudgement, LogToJudge
from stillwatch.range.defences.hours import in_order, merge_accusations, record
from stillwatch.scan import Campaign, ScanResult
from stillwatch.scan.live import Keep, LiveScan
from stillwatch.scan.parts import FAILOVER, FOLLOW, LONE_HARVEST, NEW_SETTINGS, PARTS, SHARED, TESTED
from stillwatch.scan.pipeline import Options, scan_log
from stillwatch.units import HOUR_US, us

NAME, FIRM = "stillwatch", "stillwatch/firm"
KEEP = Keep(days=60.0, exchanges=40_000_000)  # a scene is kept whole
BATCH_ROWS = 16_384
FIRM_EVERY_US = 12 * HOUR_US  # between two scans of a judged log for high-confidence accounts


def ablations() -> dict[str, frozenset[str]]:
    """Name -> the active parts: each that can raise an alarm, alone with what it needs, and each left out.

    A kind of wording alone is tested on every setting; a setting alone tests groups of every kind of wording.
    Following known signatures raises no alarm, and refused work none without a lead: neither has a row.
    """
    wording, settings = frozenset(SHARED), frozenset(TESTED)
    alone = {part: frozenset({part}) | settings for part in SHARED}
    alone |= {part: wording | frozenset({part}) for part in TESTED}
    alone |= {part: frozenset({part}) for part in (NEW_SETTINGS, LONE_HARVEST)}
    parts = [*SHARED, *TESTED, FOLLOW, NEW_SETTINGS, FAILOVER, LONE_HARVEST]
    return {f"{NAME}/only:{part}": kept for part, kept in alone.items()} | {
        f"{NAME}/without:{part}": PARTS - {part} for part in parts
    }


@dataclass
class ScanWatch:
    """A live scan, and its reports so far."""

    scan: LiveScan
    firm_alone: bool = False  # accuse an account only once it is high-confidence
    _said: dict[str, set[str]] = field(default_factory=dict)
    _case_at: dict[str, int] = field(default_factory=dict)
    _case_of: dict[str, str] = field(default_factory=dict)  # account named alone between full hours -> case

    def enrol(self, accounts: pa.Table) -> None:
        """Replace the accounts table."""
        self.scan.accounts = accounts_in_schema(accounts)

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Evaluate every full hour that is over by now; in between name followers and loud accounts."""
        if exchanges.num_rows:
            self.scan.add(batches(exchanges))
        if self.scan.exchanges == 0:
            return ()
        looked_us = self.scan.evaluated_until_us
        result = self.scan.tick(until_us, until_us)
        self.act_on(result, until_us)
        accusations = []
        for campaign in result.campaigns:
            fresh = self._fresh(campaign, looked_us)
            if fresh is not None:
                accusations.append(fresh)
        return accusations + self._followers(result) + self._lone_accusations(result)

    def act_on(self, result: ScanResult, until_us: int) -> None:
        """Act on a result, besides accusing: nothing here."""

    def _fresh(self, campaign: Campaign, looked_us: int) -> Accusation | None:
        """Return accounts that a case names for the first time, from the first hour evaluated now."""
        if campaign.suppressed_by is not None:
            return None
        case = self._case_of.get(campaign.accounts[0]) or self.scan.stable_id(campaign.id)
        accused = self._said.setdefault(case, set())
        fresh = [a for a in (campaign.firm if self.firm_alone else campaign.accounts) if a not in accused]
        if not fresh:
            return None
        accused.update(fresh)
        least = self.scan.evaluated_until_us if self.firm_alone or looked_us == 0 else looked_us + HOUR_US
        least = min(least, self.scan.evaluated_until_us)
        named = {account: max(hour_of(campaign.named_at[account]), least) for account in fresh}
        return Accusation(case, self._case_at.setdefault(case, min(named.values())), named)

    def _followers(self, result: ScanResult) -> list[Accusation]:
        accusations = []
        suppressed = {c.id for c in result.campaigns if c.suppressed_by is not None}
        for follower in result.followers if not self.firm_alone else ():
            case = self.scan.stable_id(follower.campaign)
            accused = self._said.setdefault(case, set())
            if follower.account not in accused and follower.campaign not in suppressed:
                accused.add(follower.account)
                at = us(follower.named_at)
                accusations.append(
                    Accusation(case, self._case_at.setdefault(case, at), {follower.account: at})
                )
        return accusations

    def _lone_accusations(self, result: ScanResult) -> list[Accusation]:
        accusations = []
        for lone in result.alone:
            if lone.account not in self._case_of:
                case, at = f"alone-{lone.account}", us(lone.named_at)
                self._case_of[lone.account] = case
                self._said[case] = {lone.account}
                self._case_at[case] = at
                accusations.append(Accusation(case, at, {lone.account: at}))
        return accusations

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        """Return False: there is no limit."""
        return False


@dataclass(frozen=True)
class ScanDefence:
    """One configuration of a scan, as a defence."""

    NAME: str
    parts: frozenset[str]
    firm_alone: bool
    dial: float

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> ScanWatch:
        """Start a watch. It uses neither clean days nor random numbers."""
        return ScanWatch(
            LiveScan(self._options(), keep=KEEP, accounts=accounts_in_schema(accounts)), self.firm_alone
        )

    def judge(self, log: LogToJudge) -> LogJudgement:
        """Judge a log with one scan; if only high-confidence accounts count, with one every half day.

        Nothing is set on clean days, so `calibration` is not used.
        """
        sketched = build(batches(log.exchanges), Sketcher())
        if len(sketched) == 0:
            return LogJudgement(())
        if self.firm_alone:
            return self._by_half_days(log, sketched)
        accounts = accounts_in_schema(log.accounts)
        return LogJudgement(cases_of(scan_log(sketched, accounts, options=self._options())))

    def _by_half_days(self, log: LogToJudge, sketched: ExchangeLog) -> LogJudgement:
        watch = self.open_watch(log.accounts, 0, 0)
        accusations: list[Accusation] = []
        given, ts = in_order(record(log.exchanges)), sketched["ts_us"]
        at = given["time"].cast(pa.int64()).to_numpy()
        looks = np.arange(ts[0] // FIRM_EVERY_US + 1, ts[-1] // FIRM_EVERY_US + 2) * FIRM_EVERY_US
        lo = 0
        for until in looks.tolist():
            hi = int(np.searchsorted(at, until))
            accusations += watch.step(given.slice(lo, hi - lo), until)
            lo = hi
        return LogJudgement(merge_accusations(accusations))

    def _options(self) -> Options:
        return Options(false_cases_per_10k_account_days=self.dial, parts=self.parts, every_account=False)


def defences(dial: float) -> dict[str, ScanDefence]:
    """Return Stillwatch by name: whole, on high-confidence accounts alone, and every ablation."""
    defences = {NAME: ScanDefence(NAME, PARTS, False, dial), FIRM: ScanDefence(FIRM, PARTS, True, dial)}
    return defences | {name: ScanDefence(name, parts, False, dial) for name, parts in ablations().items()}


def cases_of(result: ScanResult) -> tuple[Accusation, ...]:
    """Return a scan's open cases; accounts named within an hour count from its end."""
    return tuple(
        Accusation(
            campaign.id,
            hour_of(campaign.alarm_at),
            {name: max(hour_of(at), hour_of(campaign.alarm_at)) for name, at in campaign.named_at.items()},
        )
        for campaign in result.campaigns
        if campaign.suppressed_by is None
    )


def hour_of(moment: datetime) -> int:
    """Return the first full hour after a time."""
    return -(-us(moment) // HOUR_US) * HOUR_US


def batches(exchanges: pa.Table) -> list[pa.RecordBatch]:
    batches: list[pa.RecordBatch] = record(exchanges).to_batches(max_chunksize=BATCH_ROWS)
    return batches


def accounts_in_schema(accounts: pa.Table | None) -> pa.Table | None:
    """Return an accounts table in the columns of `exchanges.ACCOUNTS`; None if it names no account."""
    if accounts is None or "account" not in accounts.column_names:
        return None
    columns = [
        accounts[f.name].cast(f.type) if f.name in accounts.column_names else pa.nulls(len(accounts), f.type)
        for f in ACCOUNTS
    ]
    return pa.table(columns, schema=ACCOUNTS)
