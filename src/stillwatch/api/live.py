"""A continuous scan: batches in, alarms out, as in the gateway's detector. Its state can be saved."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.api import Log, Path, Table
from stillwatch.api.exchanges import aware, key_of, logs_of, table_of
from stillwatch.api.result import ScanReport
from stillwatch.api.scanning import options_of
from stillwatch.errors import InputError
from stillwatch.exchanges import mapping
from stillwatch.exchanges.networks import NetworkTable, read_networks
from stillwatch.exchanges.read import NothingUsableError, read, read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.tables import InMemoryLog
from stillwatch.scan import ScanResult, live
from stillwatch.scan.parts import PARTS
from stillwatch.scan.settings import DetectionSettings
from stillwatch.units import HOUR_US, time_of


@dataclass(frozen=True)
class LiveAlarm:
    """Accounts that are named for the first time."""

    campaign: str  # id of the first finding; it stays when the finding grows
    accounts: tuple[str, ...]  # those that no earlier alarm of this campaign named
    at: datetime  # event time, UTC
    text: str
    provisional: bool  # raised between full hours; the next full evaluation confirms or withdraws it


class LiveScanner:
    """State of one live scan. The same batches and the same calls of `look` yield the same alarms.

    A log fed in pieces yields the findings of one scan of the whole, as far back as `keep` reaches. To find
    campaigns that were already running when the log begins, `scan` the whole log.
    """

    def __init__(
        self,
        accounts: Path | Table | None = None,
        *,
        columns: Mapping[str, str] | None = None,
        settings: DetectionSettings | None = None,
        key: bytes | None = None,
        assume_utc: bool = False,
        threads: int | None = None,
        keep: live.Keep | None = None,
        networks: Sequence[Path] = (),
    ) -> None:
        """Start with an empty state.

        Arguments:
            accounts, columns, settings, assume_utc, threads, networks: As for `scan`.
            key: Secret for the sketches, at least 16 bytes. Without it the state cannot be saved.
            keep: How many days and exchanges to keep: 28 days and 4 million by default.

            Raises: InputError for an invalid argument.
        """
        options_given: dict[str, Any] = {"threads": threads, "key": key_of([], key), "assume_utc": assume_utc}
        options = options_of(settings, **options_given, networks=_table_of(networks))
        self._begin(live.LiveScan(options, keep=keep), columns)
        self.set_accounts(accounts)

    def _begin(self, core: live.LiveScan, columns: Mapping[str, str] | None) -> None:
        self._core = core
        self._columns = mapping.from_names(columns)
        self._rejects = Rejects()
        self._newest_us = 0
        self._result: ScanResult | None = None
        self._named: dict[str, set[str]] = {}  # campaign -> accounts that an alarm named
        self._provisional: dict[str, set[str]] = {}

    @property
    def settings(self) -> DetectionSettings:
        """The settings that this scan was started with."""
        return DetectionSettings(
            **{
                setting.name: getattr(self._core.options, setting.name)
                for setting in fields(DetectionSettings)
            }
        )

    @property
    def exchanges(self) -> int:
        """How many exchanges are held."""
        return self._core.exchanges

    def set_accounts(self, accounts: Path | Table | None) -> None:
        """Replace the accounts table, from the next `look` on.

        Raises: InputError if no account can be read.
        """
        table = None
        if accounts is not None:
            path, assume_utc = table_of(accounts, "accounts table"), self._core.options.assume_utc
            table = read_accounts(path, rejects=self._rejects, assume_utc=assume_utc)
        self._core.accounts = table

    def add(self, exchanges: Log) -> int:
        """Add exchanges in any order and return how many are new. Exchanges already held are dropped.

        Arguments:
            exchanges: As for `scan`. A table without rows is accepted. Rows that cannot be used are counted
                in the result's `warnings`.

        Raises: InputError if the input is not a log, such as a table without accounts.
        """
        if getattr(exchanges, "num_rows", None) == 0:
            return 0
        logs = logs_of(exchanges, "batch")
        before, refused = self._core.exchanges, self._rejects.files
        batches = read(
            logs,
            rejects=self._rejects,
            mapping=self._columns,
            assume_utc=self._core.options.assume_utc,
            sketcher=Sketcher(self._core.options.key),
            needs_texts=not isinstance(logs, InMemoryLog),
        )
        if (table := self._core.options.networks) is not None:
            batches = map(table.fill, batches)
        try:
            for batch in batches:
                self._core.add(batch)
                self._newest_us = max(self._newest_us, _newest_us(batch))
        except NothingUsableError:  # any other InputError means that exchanges are lost
            if self._rejects.files > refused or not self._rejects.count:
                raise
        return self._core.exchanges - before

    def look(
        self, *, now: datetime | None = None, complete_until: datetime | None = None
    ) -> tuple[LiveAlarm, ...]:
        """Evaluate the exchanges added so far and return the accounts that are named for the first time.

        Each full hour is evaluated once. Between full hours, accounts are named provisionally if they start
        to use a known campaign's wording, or are clear cases of single-account extraction.

        Arguments:
            now: The caller's clock. Default: the newest exchange's time.
            complete_until: All exchanges before it have been added. Default: the newest exchange's time. An
                hour is full once this has passed its end.

        Raises: InputError for a time without a zone.
        """
        complete_us = self._newest_us if complete_until is None else _us(complete_until, "complete_until")
        now_us = max(complete_us, self._newest_us) if now is None else _us(now, "now")
        if self._core.exchanges == 0:
            return ()
        self._result = self._core.tick(now_us, complete_us)
        return self._alarms(self._result)

    def finish(self) -> tuple[LiveAlarm, ...]:
        """Evaluate everything, including the last, unfinished hour. Call it after the last exchange."""
        return self.look(complete_until=time_of(self._newest_us + HOUR_US)) if self._newest_us else ()

    @property
    def result(self) -> ScanReport:
        """The findings as of the last `look`, in the form that a scan of the same exchanges returns.

        Raises: InputError before the first `look`.
        """
        if self._result is None:
            raise InputError("nothing was evaluated yet; add exchanges and call look() first")
        return ScanReport(self._result, self.settings, self._rejects)

    def _alarms(self, result: ScanResult) -> tuple[LiveAlarm, ...]:
        alarms = []
        first_id = self._core.stable_id
        for campaign in result.campaigns:
            if campaign.suppressed_by is None:
                named = self._named.setdefault(first_id(campaign.id), set())
                fresh = tuple(sorted(set(campaign.accounts) - named))
                named.update(fresh)
                if fresh:
                    at = max(
                        (campaign.named_at[a] for a in fresh if a in campaign.named_at),
                        default=campaign.alarm_at,
                    )
                    alarms.append(LiveAlarm(first_id(campaign.id), fresh, at, campaign.title, False))
        for follower in result.followers:
            text = f"{follower.exchanges} exchanges with the campaign's wording since {follower.first:%H:%M}"
            alarms += self._provisional_alarm(
                first_id(follower.campaign), follower.account, follower.named_at, text
            )
        for lone in result.alone:
            alarms += self._provisional_alarm(lone.campaign, lone.account, lone.named_at, lone.text)
        return tuple(alarms)

    def _provisional_alarm(
        self, campaign: str, account: str, at: datetime, text: str
    ) -> tuple[LiveAlarm, ...]:
        known = self._provisional.setdefault(campaign, set())
        if account in known or account in self._named.get(campaign, ()):
            return ()
        known.add(account)
        return (LiveAlarm(campaign, (account,), at, text, True),)

    # --- stored -----------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the whole state to one file; if that fails, an existing file stays as it was. It holds no
        texts.

        Raises: InputError if no key was given, or if the file cannot be written.
        """
        changed = self.settings.changes()
        if "parts" in changed:
            changed["parts"] = sorted(self.settings.parts)
        self._core.also = {
            "newest_us": self._newest_us,
            "named": {name: sorted(accounts) for name, accounts in self._named.items()},
            "provisional": {name: sorted(accounts) for name, accounts in self._provisional.items()},
            "settings": changed,
        }
        self._core.save(FilePath(os.fspath(path)))

    @classmethod
    def load(
        cls,
        path: Path,
        accounts: Path | Table | None = None,
        *,
        key: bytes,
        columns: Mapping[str, str] | None = None,
        assume_utc: bool = False,
        threads: int | None = None,
        keep: live.Keep | None = None,
        networks: Sequence[Path] = (),
    ) -> Self:
        """Continue from a saved state, under the settings it was saved with.

        Arguments:
            path: A file that `save` wrote.
            key: The key that it was saved under.
            accounts, columns, assume_utc, threads, keep, networks: As for a new live scan; they are not
                saved.

        Raises: InputError if the file is missing, damaged, or was written under another key.
        """
        file = FilePath(os.fspath(path))
        options_given: dict[str, Any] = {"threads": threads, "key": key_of([], key), "assume_utc": assume_utc}
        options_given["networks"] = _table_of(networks)
        core = live.LiveScan.load(file, options_of(None, **options_given), keep=keep)
        try:
            settings: Any = core.also["settings"]
            parts = frozenset(settings.get("parts", PARTS))
            lists = {
                name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
            }
            core.options = options_of(DetectionSettings(**(lists | {"parts": parts})), **options_given)
            scan = cls.__new__(cls)
            scan._begin(core, columns)
            scan._newest_us = int(str(core.also["newest_us"]))
            scan._named = _sets(core.also["named"])
            scan._provisional = _sets(core.also["provisional"])
        except (KeyError, TypeError, ValueError, AttributeError) as why:
            raise InputError(f"{file}: was not saved by LiveScan.save ({why!r}); begin anew") from None
        scan.set_accounts(accounts)
        return scan


def _table_of(networks: Sequence[Path]) -> NetworkTable | None:
    return read_networks(networks) if networks else None


def _sets(named: Any) -> dict[str, set[str]]:
    return {name: set(accounts) for name, accounts in named.items()}


def _newest_us(batch: pa.RecordBatch) -> int:
    return int(pc.max(batch.column("time").cast(pa.int64())).as_py() or 0)


def _us(at: datetime, what: str) -> int:
    return round((aware(at, what) - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1_000_000)
