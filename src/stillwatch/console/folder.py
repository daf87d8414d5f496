"""A folder of reports and cases without a gateway: read-only towards accounts."""

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pyarrow as pa

from stillwatch.cases.store import Store
from stillwatch.console import (
    CapturedExchange,
    ComponentHealth,
    Lost,
    Unavailable,
)
from stillwatch.console.recorded import Recorded
from stillwatch.errors import InputError, StillwatchError
from stillwatch.report.findings import FINDINGS, load
from stillwatch.scan import AccountVerdict, ScanResult
from stillwatch.scan.seen_window import window_sentences
from stillwatch.units import us

NO_GATEWAY = "no gateway stands behind this folder; `stillwatch serve` shows the console on its admin port"


class ReportFolder:
    """The deployment of `stillwatch console FOLDER`."""

    def __init__(self, path: Path, store: Store) -> None:
        self.path, self._store = path, store
        self.name = f"folder {path.name or path}"
        self._result: ScanResult | None = None
        self._sign: tuple[int, int] | None = None

    @property
    def acts(self) -> str | None:
        return NO_GATEWAY

    def _no(self, *_: object, **__: object) -> NoReturn:
        raise Unavailable(NO_GATEWAY)

    standings = reach = act = undo = proposals = approve = dismiss = terms = _no

    def in_force(self) -> bool:
        return True  # no actions are taken here

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        raise Unavailable(
            "a report holds sketches and no texts; name the log that was scanned with --log, or ask "
            "a gateway whose terms keep texts"
        )

    def _report(self) -> ScanResult | None:
        """Return the report in the folder, read again only if it was replaced."""
        try:
            file_stat = (self.path / FINDINGS).stat()
        except OSError:
            return None
        sign = (file_stat.st_mtime_ns, file_stat.st_size)
        if sign != self._sign:
            self._result, self._sign = load(self.path), sign
        return self._result

    def verdict(self, account: str) -> AccountVerdict | None:
        result = self._report()
        if result is None:
            raise Unavailable(f"{self.path} holds no report; scan with --out {self.path}")
        return next((a for a in result.accounts if a.account == account), None)

    def not_seen(self, now_us: int) -> Sequence[str]:
        try:
            result = self._report()
        except InputError as why:
            return (str(why),)
        return window_sentences(result.window if result else None)

    def health(self, now_us: int) -> Sequence[ComponentHealth]:
        parts = []
        try:
            number = self._store.revision()
            parts.append(ComponentHealth("cases", "ok", f"{self._store.name}, at revision {number:,}"))
        except StillwatchError as why:
            parts.append(ComponentHealth("cases", "failing", str(why)))
        try:
            result = self._report()
        except InputError as why:
            parts.append(ComponentHealth("report", "degraded", str(why)))
            return parts
        if result is None:
            parts.append(ComponentHealth("report", "ok", "none in this folder"))
            return parts
        s = result.scanned
        until = "" if s.last is None else f", until {s.last:%Y-%m-%d %H:%M} UTC"
        lines = f"; {s.rejected:,} lines were rejected" if s.rejected else ""
        status = "degraded" if s.rejected else "ok"
        parts.append(
            ComponentHealth(
                "report", status, f"{s.exchanges:,} exchanges of {s.accounts:,} accounts{until}{lines}"
            )
        )
        if s.last is not None:
            days = (now_us - us(s.last)) / 86_400_000_000
            parts.append(
                ComponentHealth("lag", "degraded" if days > 2 else "ok", f"the log ends {days:,.1f} days ago")
            )
        parts.append(ComponentHealth("gateway", "ok", "none: this is a folder of reports"))
        return parts

    def gaps(self) -> Sequence[Lost]:
        try:
            result = self._report()
        except InputError:
            return ()
        return [Lost(us(g.start), us(g.end), None, g.text) for g in reversed(result.gaps)] if result else ()


class LoggedFolder(ReportFolder):
    """The same with Parquet files of exchanges beside it, and perhaps the accounts table."""

    def __init__(
        self, path: Path, store: Store, logs: Sequence[Path], accounts: pa.Table | None = None
    ) -> None:
        super().__init__(path, store)
        self._logs, self._accounts = tuple(logs), accounts

    def captured_files(self) -> Sequence[Path]:
        return self._logs

    def accounts_table(self) -> pa.Table | None:
        return self._accounts

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        return Recorded(self._logs).texts(account, limit)
