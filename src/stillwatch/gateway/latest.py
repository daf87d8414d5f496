"""The findings and gaps that other processes of the gateway have handed over as files."""

import json
import os
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.errors import InputError
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.record.entries import UncapturedSpan
from stillwatch.report.findings import FINDINGS, load
from stillwatch.scan import Campaign, Follower, Harvest, LoneHarvester, Reason, ScanResult
from stillwatch.scan.parts import LONE_HARVEST as LONE
from stillwatch.terms.holds import HoldCandidate
from stillwatch.units import us

HANDOVER = "handover.json"
BLOCK = 1 << 16
LAST_US = us(datetime(9999, 1, 1, tzinfo=UTC))
TRIES, AGAIN_S = 5, 0.05


class CaptureGap(UncapturedSpan):
    """A span as recorded."""

    number: int = 0  # its line in gaps.jsonl


@dataclass(frozen=True)
class FindingsNotice:
    """The detector's findings. `sign` changes when they do."""

    sign: tuple[int, ...] = ()
    result: ScanResult | None = None
    first_ids: dict[str, str] = field(default_factory=dict)  # a campaign's id changes when it grows
    networks: tuple[dict[str, Any], ...] = ()  # files that gave exchanges their `asn`: name, sha256, bytes

    def first_id(self, campaign: str) -> str:
        """Return the id that a campaign had when first seen: enforcement statuses and proposals use it."""
        return self.first_ids.get(campaign, campaign)

    def campaigns(self) -> list[Campaign]:
        """Return the campaigns under their first ids, with the accounts that joined since, and the
        single-account extractions found since the last full evaluation."""
        if self.result is None:
            return []
        known = {account for c in self.result.campaigns for account in c.accounts}
        joined: dict[str, set[str]] = {}
        for follower in self.result.followers:
            joined.setdefault(follower.campaign, set()).add(follower.account)
        return [
            replace(
                c,
                id=self.first_id(c.id),
                accounts=tuple(sorted({*c.accounts, *joined.get(c.id, ())})),
                firm=tuple(sorted({*c.firm, *joined.get(c.id, ())})),
            )
            for c in self.result.campaigns
        ] + _lone_campaigns([lone for lone in self.result.alone if lone.account not in known])


def _lone_campaigns(lone_harvesters: list[LoneHarvester]) -> list[Campaign]:
    """Return lone harvesters found since the last full evaluation, as that evaluation would name them."""
    by_campaign: dict[str, list[LoneHarvester]] = {}
    for lone in lone_harvesters:
        by_campaign.setdefault(lone.campaign, []).append(lone)
    made = []
    for number, theirs in sorted(by_campaign.items()):
        strongest, accounts = theirs[0], tuple(sorted(lone.account for lone in theirs))
        taken = Harvest(strongest.exchanges, strongest.output_tokens)
        reason = Reason(LONE, strongest.text, strongest.bits, n=strongest.exchanges)
        made.append(
            Campaign(
                number, strongest.named_at, strongest.p_value, strongest.bits, accounts, taken, taken,
                (reason,), (),
                named_at=dict.fromkeys(accounts, strongest.named_at), firm=accounts,
            )
        )  # fmt: skip
    return made


def handover_json(
    result: ScanResult, first_ids: dict[str, str], networks: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Return what the supervisor needs besides `findings.json`, whose format is a public contract."""
    followers = [
        asdict(f) | {"named_at": f.named_at.isoformat(), "first": f.first.isoformat()}
        for f in result.followers
    ]
    alone = [asdict(lone) | {"named_at": lone.named_at.isoformat()} for lone in result.alone]
    weak = [asdict(group) for group in result.weak]
    return {
        "first_ids": first_ids,
        "followers": followers,
        "alone": alone,
        "weak": weak,
        "shares": dict(result.shares),
        "networks": list(networks),
    }


class Findings:
    """The detector's findings, read again only after they were replaced. Thread-safe."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._handed = FindingsNotice()

    def current(self) -> FindingsNotice:
        """Return the current findings; no result before the first. Raises: InputError if unreadable."""
        with self._lock:
            try:
                sign = (*self._sign(FINDINGS), *self._sign(HANDOVER))
            except FileNotFoundError:
                return self._handed
            if sign != self._handed.sign:
                self._handed = self._patiently(sign)
            return self._handed

    def _patiently(self, sign: tuple[int, ...]) -> FindingsNotice:
        """Read, with retries: three files are replaced one by one, and differ in between."""
        for _ in range(TRIES):
            try:
                return self._read(sign)
            except InputError:
                time.sleep(AGAIN_S)
                sign = (*self._sign(FINDINGS), *self._sign(HANDOVER))
        return self._read(sign)

    def _sign(self, name: str) -> tuple[int, int, int]:
        file_stat = (self._folder.detector / name).stat()
        return file_stat.st_ino, file_stat.st_mtime_ns, file_stat.st_size

    def _read(self, sign: tuple[int, ...]) -> FindingsNotice:
        path = self._folder.detector / HANDOVER
        result = load(self._folder.detector)
        try:
            document = json.loads(path.read_bytes())
            at = datetime.fromisoformat
            followers = tuple(
                Follower(f["account"], f["campaign"], at(f["named_at"]), at(f["first"]), f["exchanges"])
                for f in document["followers"]
            )
            alone = tuple(
                LoneHarvester(**entry | {"named_at": at(entry["named_at"])})
                for entry in document.get("alone", ())
            )
            weak = tuple(
                HoldCandidate(**entry | {"accounts": tuple(entry["accounts"])})
                for entry in document.get("weak", ())
            )
            shares = {str(name): float(share) for name, share in document.get("shares", {}).items()}
            now = replace(result, followers=followers, alone=alone, weak=weak, shares=shares)
            return FindingsNotice(sign, now, dict(document["first_ids"]), tuple(document.get("networks", ())))
        except (OSError, ValueError, KeyError, TypeError) as why:
            raise InputError(f"{path}: cannot be read: {why}") from why


def gaps(path: Path, before: int | None = None, limit: int = 100) -> list[CaptureGap]:
    """Read the gaps above line `before`, newest first. A line torn by a crash is skipped."""
    gaps_found: list[CaptureGap] = []
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for number in range(min(len(lines), (before or len(lines) + 1) - 1), 0, -1):
        gap = _gap(number, lines[number - 1])
        if gap is not None:
            gaps_found.append(gap)
            if len(gaps_found) == limit:
                break
    return gaps_found


def newest_gap(path: Path) -> CaptureGap | None:
    """Read only the last gap, from the file's end."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - BLOCK))
            return next(_backwards(file.read()), None)
    except FileNotFoundError:
        return None


def _backwards(tail: bytes) -> Iterator[CaptureGap]:
    for line in reversed(tail.split(b"\n")):
        gap = _gap(0, line)
        if gap is not None:
            yield gap


def _gap(number: int, line: bytes) -> CaptureGap | None:
    try:
        gap = msgspec.json.decode(line, type=CaptureGap)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if min(gap.from_us, gap.until_us) < 0 or max(gap.from_us, gap.until_us) >= LAST_US:
        return None  # no calendar date: displaying it would fail, and everything beside it
    gap.number = number
    return gap
