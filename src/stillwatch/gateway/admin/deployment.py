"""The console's deployment while a gateway serves: answers from `state` and the files of the folder."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.console import (
    CapturedExchange,
    ComponentHealth,
    ConsoleError,
    InForce,
    Lost,
    Proposed,
    StepImpact,
)
from stillwatch.errors import InputError
from stillwatch.exchanges.parquet import DAMAGED
from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.control import actions, proposals
from stillwatch.gateway.control.affected import reach
from stillwatch.gateway.control.migrations import StateError
from stillwatch.gateway.control.people import ACCOUNTS_FILE
from stillwatch.gateway.health import OK, detector_process, health
from stillwatch.gateway.instance import terms_history
from stillwatch.gateway.latest import gaps
from stillwatch.gateway.record.segments import all_segments
from stillwatch.scan import AccountVerdict
from stillwatch.scan.seen_window import window_sentences
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.history import TermsHistory
from stillwatch.units import us

MOST_PROPOSALS = 1_000
MOST_GAPS = 200
_SAID = ["time", "exchange_id", "account", "model", "user_agent", "prompt", "completion"]


@contextmanager
def _as_console_error() -> Iterator[None]:
    try:
        yield
    except StateError as refused:
        raise ConsoleError(str(refused)) from refused


class Gateway:
    """The deployment of `stillwatch serve`. Raises ConsoleError with the reason if `state` refuses."""

    acts: str | None = None  # steps can be taken here

    def __init__(self, desk: Desk) -> None:
        self._desk, self._state = desk, desk.state
        self.name = f"gateway in front of {desk.settings.upstream}"
        self._verdicts: tuple[tuple[int, ...], dict[str, AccountVerdict]] = ((), {})

    def standings(self, accounts: Collection[str]) -> Mapping[str, EnforcementStatus]:
        return actions.standings(self._state, accounts)

    def step_authors(self, accounts: Collection[str]) -> Mapping[str, str]:
        return actions.authors(self._state, accounts)

    def reach(self, accounts: Sequence[str], step: Step, now_us: int) -> StepImpact:
        return reach(self._state, self._desk.folder, accounts, step, now_us, self._desk.findings)

    def act(
        self, accounts: Sequence[str], standing: EnforcementStatus, who: str, why: str, now_us: int
    ) -> int:
        changes = [(account, standing) for account in accounts]
        with _as_console_error():
            return actions.act(self._state, changes, who=who, why=why, now_us=now_us)

    def undo(self, action: int, who: str, why: str, now_us: int) -> int:
        with _as_console_error():
            return actions.undo(self._state, action, who=who, why=why, now_us=now_us)

    def proposals(self, accounts: Collection[str] | None = None) -> Sequence[Proposed]:
        wanted = None if accounts is None else set(accounts)
        return [
            Proposed(
                p.proposal,
                p.at_us,
                p.wanted.campaign,
                p.wanted.step,
                p.wanted.rule,
                p.wanted.why,
                p.wanted.accounts,
                p.wanted.due_us,
            )
            for p in proposals.proposals(self._state, "open", limit=MOST_PROPOSALS)
            if wanted is None or not wanted.isdisjoint(p.wanted.accounts)
        ]

    def approve(self, proposal: int, who: str, why: str, now_us: int) -> int | None:
        with _as_console_error():
            return proposals.apply(self._state, proposal, who=who, why=why, now_us=now_us)

    def dismiss(self, proposal: int, who: str, why: str, now_us: int) -> None:
        with _as_console_error():
            proposals.dismiss(self._state, proposal, who=who, why=why, now_us=now_us)

    def in_force(self) -> bool:
        return self._desk.takes_effect()

    def terms(self) -> InForce:
        watched = self._desk.watched
        entries = TermsHistory(terms_history(self._desk.folder)).entries
        return InForce(watched.terms, watched.sha256, watched.error, tuple(reversed(entries)))

    def health(self, now_us: int) -> Sequence[ComponentHealth]:
        refuses = self._desk.watched.terms.capture.on_failure == "refuse"
        report = health(self._desk.folder, self._desk.settings, now_us, refuses, self._state)
        return [ComponentHealth(p.name, p.status, p.text) for p in report.parts]

    def not_seen(self, now_us: int) -> Sequence[str]:
        try:
            result = self._desk.findings.current().result
        except InputError as why:
            return (str(why),)
        supervisor = heartbeat.read(self._desk.folder.run / "supervisor.json")
        part = detector_process(self._desk.folder, now_us, supervisor)
        late = [] if part.status == OK else [f"The detector {part.text}."]
        return (*late, *window_sentences(result.window if result else None))

    def gaps(self) -> Sequence[Lost]:
        gaps_found = gaps(self._desk.folder.gaps, limit=MOST_GAPS)
        return [Lost(g.from_us, g.until_us, g.exchanges, g.reason) for g in gaps_found]

    def verdict(self, account: str) -> AccountVerdict | None:
        handed = self._desk.findings.current()
        if handed.sign != self._verdicts[0]:
            known = handed.result.accounts if handed.result else ()
            self._verdicts = (handed.sign, {a.account: a for a in known})
        return self._verdicts[1].get(account)

    def captured_files(self) -> Sequence[Path]:
        """Return the Parquet files of captured exchanges, oldest first."""
        return [segment.path for segment in all_segments(self._desk.folder)]

    def accounts_table(self) -> pa.Table | None:
        """Return the detector's table of accounts, from the owner's keys and permissions."""
        try:
            return pq.read_table(self._desk.folder.detector / ACCOUNTS_FILE)
        except FileNotFoundError:
            return None
        except (OSError, *DAMAGED) as why:
            raise InputError(f"{ACCOUNTS_FILE}: cannot be read: {why}") from why

    def captured_texts(self, account: str, limit: int) -> Sequence[CapturedExchange]:
        """Return the newest texts of an account, if `retention.text_days` keeps any."""
        texts: list[CapturedExchange] = []
        for table in self._newest_first(account):
            order = pc.sort_indices(table, [("time", "descending")])
            texts += [_captured_exchange(row) for row in table.take(order[: limit - len(texts)]).to_pylist()]
            if len(texts) >= limit:
                break
        return texts

    def _newest_first(self, account: str) -> Iterator[pa.Table]:
        of_account = (pc.field("account") == account) & pc.field("prompt").is_valid()
        for segment in reversed(all_segments(self._desk.folder)):
            try:
                yield pq.read_table(segment.path, columns=_SAID, filters=of_account)
            except FileNotFoundError:
                continue  # merged or deleted just now
            except (OSError, *DAMAGED) as why:
                raise InputError(f"{segment.path}: cannot be read: {why}") from why


def _captured_exchange(row: Mapping[str, Any]) -> CapturedExchange:
    text = [str(row[name] or "") for name in ("exchange_id", "model", "user_agent", "prompt", "completion")]
    return CapturedExchange(us(row["time"]), *text)
