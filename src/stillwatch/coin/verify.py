"""Reads a ledger and checks it: chain, numbers, coins, and the answers that can be opened.

It stops at the first wrong record and names it. Whether the ledger is the one shown to a witness is checked
with the published heads (`against`).
"""

import base64
import itertools
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from stillwatch.coin import Answer, CoinError, LedgerRecord, Pair, Throw, Unpaired
from stillwatch.coin.chain import START, parse_line, salted_hash
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.ledger import files, place_of, worker_of
from stillwatch.coin.openings import commitment, leaf_hash, leaf_of, root, tag_of
from stillwatch.coin.sealing import unseal
from stillwatch.errors import refuse_os_errors

LONGEST_LINE = 64 << 20


@dataclass(frozen=True)
class Head:
    """The state of a ledger's file at some time, which is published."""

    ledger: str
    records: int  # lines up to the head
    hash: str
    root: str = field(default="", compare=False)  # of the tree over all its lines, including the head's


@dataclass(frozen=True)
class Verified:
    """A ledger that passed all checks."""

    heads: tuple[Head, ...]
    commitments: tuple[str, ...]  # of the keys with which it was written
    pairs: int
    ties: int
    unpaired: int
    lost: int  # coins whose record was lost in a kill
    torn: tuple[str, ...]  # files that end in half a line after a kill
    first_slot: int  # pairs in which the first answer was served


@dataclass
class _Count:
    pairs: int = 0
    ties: int = 0
    unpaired: int = 0
    lost: int = 0
    first_slot: int = 0


Keys = Mapping[str, EpochKey]


def verify(folder: Path, keys: Keys, reading: X25519PrivateKey | None = None) -> Verified:
    """Check a whole ledger. Raises: CoinError that names the first wrong record."""
    count = _Count()
    heads: list[Head] = []
    torn: list[str] = []
    commitments: dict[str, None] = {}
    for record in read(folder, keys, reading, opened=reading is not None):
        if isinstance(record, Pair):
            count.pairs += 1
            count.ties += record.tie if reading is not None else 0
            count.first_slot += record.served == 0
        elif isinstance(record, Unpaired):
            count.unpaired += 1
        elif isinstance(record, _Closed):
            heads.append(record.head)
            count.lost += record.lost
            count.ties += record.ties if reading is None else 0
            commitments[record.commitment] = None
            if record.torn:
                torn.append(record.head.ledger)
    return Verified(
        tuple(heads), tuple(commitments), count.pairs, count.ties, count.unpaired, count.lost, tuple(torn),
        count.first_slot,
    )  # fmt: skip


def coins(folder: Path, keys: Keys, reading: X25519PrivateKey | None = None) -> Iterator[Throw | Pair]:
    """Yield every coin's throw and every pair, with accounts and texts, checked. Raises: CoinError."""
    for record in read(folder, keys, reading, opened=True):
        if isinstance(record, Throw | Pair):
            yield record


def pairs(folder: Path, keys: Keys, reading: X25519PrivateKey | None = None) -> Iterator[Pair]:
    """Yield every pair of a ledger with its texts, checked while reading. Raises: CoinError."""
    return (record for record in coins(folder, keys, reading) if isinstance(record, Pair))


def against(heads: tuple[Head, ...], published: tuple[Head, ...], folder: Path) -> None:
    """Check that every published head is in the ledger. Raises: CoinError naming one that is not."""
    by_name = {path.stem: path for path in files(folder)}
    for head in published:
        path = by_name.get(head.ledger)
        if path is None:
            raise CoinError(f"{folder}: the published head of {head.ledger} has no file here: it was removed")
        with path.open("rb") as file:
            for at, line in enumerate(file):
                if at == head.records:
                    if parse_line(line, f"{path}:{at + 1}")["hash"] != head.hash:
                        raise CoinError(f"{path}:{at + 1}: is another record than the one that was published")
                    break
            else:
                raise CoinError(f"{path}: ends before record {head.records} that was published: it was cut")


def trees(folder: Path) -> dict[str, list[bytes]]:
    """Return the leaves of every ledger in a folder, in order, as hashes. Raises: CoinError."""
    heads = {}
    for path in files(folder):
        with path.open("rb") as file:
            lines = [line for line in file if line.endswith(b"\n")]
        heads[path.stem] = [
            leaf_hash(leaf_of(parse_line(line, f"{path}:{k}"))) for k, line in enumerate(lines, 1)
        ]
    return heads


def line_at(folder: Path, ledger: str, index: int) -> LedgerRecord:
    """Return one line of a ledger as its leaf, without a key. Raises: CoinError."""
    for path in files(folder):
        if path.stem == ledger:
            with path.open("rb") as file:
                for line in itertools.islice(file, index, index + 1):
                    leaf = leaf_of(parse_line(line, f"{path}:{index + 1}"))
                    return LedgerRecord(ledger, -1, 0, "", leaf=leaf, index=index)
    raise CoinError(f"{folder}: {ledger} has no line {index + 1}: it was removed or cut")


def coins_by_tag(folder: Path, sizes: Mapping[str, int]) -> tuple[dict[str, int], int]:
    """Count the coins of each account's tag in the first lines of each ledger, and those without a tag.

    It needs no key: anyone with the ledger can count again. Raises: CoinError.
    """
    found: Counter[str] = Counter()
    untagged = 0
    for path in files(folder):
        with path.open("rb") as file:
            for k, line in enumerate(itertools.islice(file, sizes.get(path.stem, 0)), 1):
                record = parse_line(line, f"{path}:{k}")
                if record["kind"] == "throw":
                    found.update([record["tag"]] if "tag" in record else ())
                    untagged += "tag" not in record
    return dict(found), untagged


@dataclass(frozen=True)
class _Closed:
    head: Head
    commitment: str
    lost: int
    ties: int
    torn: bool


def read(
    folder: Path, keys: Keys, reading: X25519PrivateKey | None, *, opened: bool
) -> Iterator[Throw | Pair | Unpaired | _Closed]:
    """Yield every record, checked. Raises: CoinError."""
    paths = files(folder)
    if not paths:
        raise CoinError(f"{folder}: there is no ledger here: files w0-000001.jsonl and so on are looked for")
    before: dict[int, str | None] = {}
    whole = folder.is_dir()
    for path in paths:
        worker = worker_of(path)
        file = _File(path, keys, reading, opened)
        if whole and file.head["before"] != before.get(worker):
            raise CoinError(
                f"{path}:1: does not go on from the ledger before it: a file between them is missing, or its "
                "end was cut"
            )
        yield from file.records()
        before[worker] = file.prev


class _File:
    """One file of a ledger during reading."""

    def __init__(self, path: Path, keys: Keys, reading: X25519PrivateKey | None, opened: bool) -> None:
        self.path, self._reading, self._opened = path, reading, opened
        self.prev = START
        self._lines = self._whole_lines()
        self.torn = False
        first = next(self._lines, None)
        if first is None:
            raise CoinError(f"{path}: is empty: a ledger begins with its head")
        self._hashes: list[bytes] = []
        self.head = self._follow(first, 1)
        if self.head["kind"] != "head" or not {"ledger", "epoch", "commitment", "before"} <= self.head.keys():
            raise CoinError(f"{path}:1: a ledger begins with its head; this is a {self.head['kind']}")
        self.name = str(self.head["ledger"])
        commitment = str(self.head["commitment"])
        if commitment not in keys:
            had = ", ".join(f"{key.epoch} ({c[:12]}…)" for c, key in keys.items()) or "none"
            raise CoinError(
                f"{path}:1: written with the key of epoch {self.head['epoch']} (commitment "
                f"{commitment[:12]}…); given: {had}. Give the key of that epoch"
            )
        self._key = keys[commitment]

    def _whole_lines(self) -> Iterator[bytes]:
        with refuse_os_errors(CoinError, f"{self.path}: cannot be read"), self.path.open("rb") as file:
            while line := file.readline(LONGEST_LINE):
                if not line.endswith(b"\n"):
                    if len(line) == LONGEST_LINE:
                        raise CoinError(f"{self.path}: has a line of more than {LONGEST_LINE >> 20} MiB")
                    self.torn = True
                    return
                yield line

    def _follow(self, line: bytes, at: int) -> dict[str, Any]:
        found = parse_line(line, f"{self.path}:{at}")
        if found["prev"] != self.prev:
            raise CoinError(
                f"{self.path}:{at}: does not follow the record before it: one was taken out, put in or moved"
            )
        self.prev = str(found["hash"])
        self._hashes.append(leaf_hash(leaf_of(found)))
        return found

    def records(self) -> Iterator[Throw | Pair | Unpaired | _Closed]:
        numbers: set[int] = set()
        thrown: dict[int, str] = {}  # the account of each coin
        tries: Counter[tuple[str, str | None]] = Counter()
        end, ties, closed = 0, 0, False
        for at, line in enumerate(self._lines, 2):
            found, place = self._follow(line, at), f"{self.path}:{at}"
            if closed:
                raise CoinError(f"{place}: follows the end of its ledger")
            end = at - 1
            if found["kind"] == "close":
                closed = True
                missing = [n for n in range(int(found["next"])) if n not in numbers]
                if missing[:1000] != found["lost"]:
                    raise CoinError(
                        f"{place}: says that {len(found['lost'])} coins were lost, not {len(missing)}"
                    )
                continue
            try:
                record = self._record(found, place, at - 1)
            except (KeyError, TypeError, ValueError, IndexError) as why:
                raise CoinError(f"{place}: is no record of a coin: {type(why).__name__}: {why}") from None
            known = thrown if isinstance(record, Throw) else numbers
            if record.number in known or record.number in numbers or record.number < 0:
                raise CoinError(f"{place}: coin {record.number} has a record already")
            if isinstance(record, Throw):
                thrown[record.number] = record.account
                whose = record.account, record.campaign
                if self._opened and record.before != tries[whose]:
                    raise CoinError(f"{place}: is coin {record.before} of its account, not {tries[whose]}")
                tries[whose] += 1
                yield record
                continue
            account = thrown.get(record.number)
            if isinstance(record, Pair) and account and record.account not in ("", account):
                raise CoinError(f"{place}: is of another account than the one that its coin was thrown for")
            numbers.add(record.number)
            ties += found.get("tie") is True
            yield record
        lost = max(numbers | thrown.keys(), default=-1) + 1 - len(numbers)
        if closed:
            lost = int(found["next"]) - len(numbers)
        yield _Closed(
            Head(self.name, end, self.prev, root(self._hashes)), self._key.commitment, lost, ties, self.torn
        )

    def _record(self, found: dict[str, Any], place: str, index: int) -> Throw | Pair | Unpaired:
        number, at_us = int(found["n"]), round(datetime.fromisoformat(found["at"]).timestamp() * 1e6)
        if found["kind"] == "unpaired":
            return Unpaired(self.name, number, at_us, str(found["why"]))
        if found["kind"] == "throw":
            return self._throw(found, number, at_us, place, index)
        if found["kind"] != "pair":
            raise CoinError(f"{place}: a ledger holds no {found['kind']!r}")
        if found["served"] != self._key.coin(self.name, number):
            raise CoinError(
                f"{place}: coin {number} fell {1 - found['served']} by the key, the record serves "
                f"{found['served']}: another key, or the record was changed before it was written"
            )
        opening = self._opening(found, number, place)
        if opening is None:
            none = Answer(""), Answer("")
            return Pair(self.name, number, at_us, "", None, (), none, found["served"])
        within = opening if isinstance(opening, dict) else json.loads(opening)
        self._bound(found, opening, within, number, place)
        if found["tie"] != (within["answers"][0]["text"] == within["answers"][1]["text"]):
            raise CoinError(
                f"{place}: says {'a tie' if found['tie'] else 'no tie'}; its answers say otherwise"
            )
        one, other = (
            Answer(a["text"], tokens, a.get("finish_reason"))
            for a, tokens in zip(within["answers"], found["tokens"], strict=True)
        )
        return Pair(
            self.name, number, at_us, within["account"], within["model"], tuple(within["messages"]),
            (one, other), found["served"], within["campaign"], within["operation"],
            opening=opening if isinstance(opening, str) else "", leaf=leaf_of(found), index=index,
        )  # fmt: skip

    def _throw(self, found: dict[str, Any], number: int, at_us: int, place: str, index: int) -> Throw:
        opening = self._opening(found, number, place)
        if opening is None:
            return Throw(self.name, number, at_us, "")
        if commitment(str(opening)) != found["commit"]:
            raise CoinError(f"{place}: its account is not the one that the record commits to")
        within = json.loads(str(opening))
        tag = found.get("tag")  # absent in ledgers before 2026-12
        if tag not in (None, tag_of(self._key.secret_of_account(within["account"]))):
            raise CoinError(f"{place}: bears the tag of another account than its own")
        return Throw(
            self.name, number, at_us, within["account"], within["campaign"], int(within["before"]),
            opening=str(opening), leaf=leaf_of(found), index=index,
        )  # fmt: skip

    def _bound(
        self, found: dict[str, Any], opening: Any, within: dict[str, Any], number: int, place: str
    ) -> None:
        """Check that a record's texts match its commitments. Raises: CoinError."""
        if isinstance(opening, str) and commitment(opening) != found["commit"]:
            raise CoinError(f"{place}: its answers are not those that the record commits to")
        if isinstance(opening, str) and within["secret"] != self._key.secret_of(self.name, number).hex():
            raise CoinError(f"{place}: its secret is not the key's")
        if isinstance(opening, dict):  # written before openings existed
            salt = bytes.fromhex(within["salt"])
            for slot, (answer, digest) in enumerate(zip(within["answers"], found["answers"], strict=True)):
                if salted_hash(salt, slot, answer["text"]) != digest:
                    raise CoinError(f"{place}: answer {slot} is not the one that the record commits to")

    def _opening(self, found: dict[str, Any], number: int, place: str) -> str | dict[str, Any] | None:
        """Return a record's opening; for a ledger of format 1, its substitute."""
        if "open" in found:
            return str(found["open"]) if self.head["format"] == 2 else dict(found["open"])
        if not self._opened:
            return None
        if self._reading is None:
            raise CoinError(
                f"{place}: its answers are sealed; give the reading key that they were sealed for"
            )
        try:
            box = base64.b64decode(found["sealed"])
            text = unseal(self._reading, box, place_of(self.name, number)).decode("ascii")
            return text if self.head["format"] == 2 else json.loads(text)
        except CoinError as why:
            raise CoinError(f"{place}: {why}") from why
