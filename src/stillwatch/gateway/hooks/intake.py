"""Makes other gateways' reports of exchanges durable; invalid ones go to the dead letters.

A repeated row is written once while it is remembered; the scan keeps one row per id in any case.
"""

import asyncio
import hashlib
import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from stillwatch.exchanges.formats import Refused, Row
from stillwatch.exchanges.values import Clock, as_time
from stillwatch.gateway.counters import PLACE
from stillwatch.gateway.hooks import WORKER
from stillwatch.gateway.hooks.held_answers import HeldAnswers
from stillwatch.gateway.path.gate import Gate
from stillwatch.gateway.path.request import BadRequest
from stillwatch.gateway.record.entries import UncapturedSpan
from stillwatch.gateway.record.rows import BODY
from stillwatch.gateway.record.wal import GAP, ROW, frame
from stillwatch.units import HOUR_US, time_of

REMEMBERED = 200_000  # ids of rows that were kept
LONGEST_TEXT = 512  # of a name: account, model, agent
ANSWER = "answer"  # of a row: the ticket of the answer that it reports
TEXTS = frozenset(("system", "prompt", "completion", "earlier"))
WHOLE = TEXTS | {ANSWER, BODY}  # of a row: never cut
DEAD_BYTES = 16 << 20  # of the dead-letter file; one older file is kept
CHARGED_US = HOUR_US  # tokens of an older exchange count against no running limit
_CAPTURED, _UNCAPTURED = PLACE["captured"], PLACE["uncaptured"]


class NotKept(Exception):
    """The log could not be written: the sender should try again."""


@dataclass
class Tally:
    """The counts of this process."""

    decisions: int = 0
    refused: int = 0
    unauthorised: int = 0
    rows: dict[str, int] = field(default_factory=dict)  # by source
    duplicates: int = 0
    dead: int = 0
    gaps_told: int = 0
    failed: int = 0  # requests that an error of ours ended
    error: str | None = None


class _FrameBatch:
    """Frames being written to the disk, and the future of their sender."""

    __slots__ = ("done", "gate", "rows")

    def __init__(self, gate: Gate, rows: int) -> None:
        self.gate, self.rows = gate, rows
        self.done: asyncio.Future[bool] = gate.loop.create_future()

    def on_durable(self) -> None:
        self.gate.counters[_CAPTURED] += self.rows - 1  # the gate counted the batch as one
        if not self.done.done():
            self.done.set_result(True)

    def on_not_durable(self) -> None:
        self.gate.uncaptured(self.rows - 1, self.gate.capture_error or "the log cannot be written")
        if not self.done.done():
            self.done.set_result(False)


class HookIntake:
    """Accepts rows. One for the process."""

    def __init__(self, gate: Gate, dead_letters: Path, tally: Tally, held: HeldAnswers) -> None:
        self.gate, self.tally, self._held = gate, tally, held
        self._dead = dead_letters
        self._recent: dict[bytes, None] = {}
        self.numbers: dict[str, int] = {}  # account -> its place in the budgets, if registered here

    async def keep(self, rows: Iterable[Row], source: str) -> int:
        """Make rows durable and count their tokens; return how many were new.

        Raises: NotKept if the log cannot be written.
        """
        gate = self.gate
        fresh: dict[bytes, Row] = {}
        frames: list[bytes] = []
        tickets: list[str] = []
        now_us = gate.now_us()
        keep_text = gate.terms.retention.text_days > 0
        for row in rows:
            key = _key(row)
            if key in self._recent or key in fresh:
                self.tally.duplicates += 1
                continue
            if (ticket := row.pop(ANSWER, None)) is not None:
                tickets.append(str(ticket))
            row = self._whole(row, keep_text, now_us)
            try:
                frames.append(frame(ROW, gate.number(), msgspec.json.encode(row)))
            except (OverflowError, ValueError, TypeError) as why:  # a number beyond 64 bits, half a surrogate
                self.dead(source, f"cannot be written down: {type(why).__name__}", repr(row).encode())
                continue
            fresh[key] = row
        if not fresh:
            return 0
        if gate.overloaded():
            gate.uncaptured(len(fresh), "more waits for the disk than may")
            raise NotKept(gate.capture_error)
        batch = _FrameBatch(gate, len(fresh))
        gate.log.append(b"".join(frames), batch)
        if not await batch.done:
            raise NotKept(gate.capture_error)
        self._charge(fresh.values(), now_us)
        for ticket in tickets:  # its row has charged it
            with suppress(BadRequest):
                self._held.let_go(ticket)
        self.tally.rows[source] = self.tally.rows.get(source, 0) + len(fresh)
        self._recent.update(dict.fromkeys(fresh))
        while len(self._recent) > REMEMBERED:
            del self._recent[next(iter(self._recent))]
        return len(fresh)

    def _whole(self, row: Row, keep_text: bool, now_us: int) -> Row:
        row = {name: value for name, value in row.items() if value is not None}
        row["received"] = now_us
        row["keep_text"] = keep_text
        model = row.get("model")
        if "family" not in row and isinstance(model, str):
            verdict = self.gate.verdict(model, str(row["account"]), None, now_us)
            row["family"] = verdict.family
        if not (keep_text or self.gate.terms.retention.sketch_answers):
            row.pop("completion", None)
        return row

    def _charge(self, rows: Iterable[Row], now_us: int) -> None:
        """Count tokens against the account's limits, from the time of the report."""
        budgets = self.gate.budgets
        for row in rows:
            tokens, account, time = row.get("output_tokens"), str(row["account"]), row["time"]
            if not isinstance(time, int) or now_us - time >= CHARGED_US:
                continue
            if isinstance(tokens, int) and 0 < tokens < 1 << 40:
                model = row.get("served_model") or row.get("model")
                model_set = self.gate.set_of(model if isinstance(model, str) else None)
                budgets.add(budgets.place(account, self.numbers.get(account)), now_us, 0, tokens, model_set)

    async def gap(self, from_us: int, until_us: int, exchanges: int, reason: str) -> None:
        """Record a gap that a sender reports. Raises: NotKept."""
        batch = _FrameBatch(self.gate, 1)
        gap = UncapturedSpan(WORKER, from_us, until_us, exchanges, reason)
        self.gate.log.append(frame(GAP, 0, msgspec.json.encode(gap)), batch)
        if not await batch.done:
            raise NotKept(self.gate.capture_error)
        self.gate.counters[_CAPTURED] -= 1
        self.gate.counters[_UNCAPTURED] += exchanges
        self.tally.gaps_told += 1

    def dead(self, source: str, why: str, raw: bytes) -> None:
        """Record an invalid report, with its reason but never its content."""
        self.tally.dead += 1
        line = {
            "at": time_of(self.gate.now_us()).isoformat(timespec="seconds"),
            "source": source,
            "reason": why[:400],
            "bytes": len(raw),
            "digest": hashlib.blake2b(raw, key=self.gate.secret, digest_size=8).hexdigest(),
        }
        try:
            if self._dead.exists() and self._dead.stat().st_size > DEAD_BYTES:
                os.replace(self._dead, self._dead.with_suffix(".jsonl.1"))
            with open(self._dead, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:  # counting continues
            self.tally.error = f"{self._dead}: {error.strerror}"


def check_row(row: Row, now_us: int) -> Row:
    """Check that a row's time, account and names are usable. Raises: Refused."""
    row["time"] = as_time(row.get("time"), Clock(time_of(now_us)))
    account = row.get("account")
    if isinstance(account, int) and not isinstance(account, bool):
        account = row["account"] = str(account)
    if not isinstance(account, str) or not account or len(account) > LONGEST_TEXT:
        raise Refused(f"has no account that can be used: a text of 1 to {LONGEST_TEXT} characters")
    for name, value in row.items():
        if isinstance(value, str) and name not in WHOLE and len(value) > LONGEST_TEXT:
            row[name] = value[:LONGEST_TEXT]
    return row


def digest_id(prefix: str, record: object) -> str:
    """Compute an id from a record's content: the same if sent again, and not chosen by a client."""
    raw = msgspec.json.encode(record, order="deterministic")
    return f"{prefix}-{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


def _key(row: Row) -> bytes:
    own_id = row.get("exchange_id")
    raw = own_id.encode() if isinstance(own_id, str) else msgspec.json.encode(row, order="deterministic")
    return hashlib.blake2b(raw, digest_size=12).digest()
