"""Writes a ledger: append-only lines, each naming the one before.

A file belongs to one run of one worker and is never reopened: a line torn by a kill stays as it is, and the
next file continues from the last whole line.
"""

import base64
import os
import re
import secrets
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stillwatch.coin import CoinError, Pair, Throw, Unpaired
from stillwatch.coin.chain import START, canonical, make_line, parse_line
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.openings import commitment, tag_of
from stillwatch.coin.sealing import seal
from stillwatch.new_file import sync_folder
from stillwatch.units import iso

ROTATE_BYTES = 256 << 20  # a file is closed at this size
_NAME = re.compile(r"w(\d+)-(\d{6,})\.jsonl")


def files(folder: Path) -> list[Path]:
    """Return a folder's ledgers, by worker and then by age; or the one file that is named."""
    if folder.is_file():
        return [folder]
    return sorted((path for path in folder.glob("w*-*.jsonl") if _NAME.fullmatch(path.name)), key=_place)


def _place(path: Path) -> tuple[int, int]:
    """Return the worker and the number in a ledger's name; 0 and 0 for a file with another name."""
    match = _NAME.fullmatch(path.name)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def worker_of(path: Path) -> int:
    """Return the worker in a ledger's name; 0 for a file with another name."""
    return _place(path)[0]


class Ledger:
    """One worker's ledger, open for writing. `number` returns the next coin's number, `add` writes its
    record.

    `reader`: the public reading key for which texts are sealed; None: they stay plain.
    """

    def __init__(self, folder: Path, worker: int, key: EpochKey, reader: bytes | None, at_us: int) -> None:
        """Raises: CoinError if the folder or its last file cannot be used; OSError from the disk."""
        self._folder, self._worker, self.key, self.reader = folder, worker, key, reader
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = -1
        self._open(at_us)

    def _open(self, at_us: int) -> None:
        own_files = [path for path in files(self._folder) if worker_of(path) == self._worker]
        before = last_hash(own_files[-1]) if own_files else None
        sequence = _place(own_files[-1])[1] + 1 if own_files else 1
        self.name = f"w{self._worker}-{sequence:06d}"
        self.path = self._folder / f"{self.name}.jsonl"
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        self._next = 0
        self._size = 0
        self._prev = START
        self._open_numbers: set[int] = set()
        self._thrown: Counter[tuple[str, str | None]] = Counter()  # by account and campaign
        head = {
            "kind": "head", "format": 2, "ledger": self.name, "epoch": self.key.epoch,
            "commitment": self.key.commitment, "before": before, "at": iso(at_us, "microseconds"),
            "reader": self.reader.hex() if self.reader else None,
        }  # fmt: skip
        self._write([head])
        sync_folder(self._folder)

    def number(self) -> int:
        """Return the next coin its number."""
        self._next += 1
        self._open_numbers.add(self._next - 1)
        return self._next - 1

    def coin(self, number: int) -> int:
        return self.key.coin(self.name, number)

    def add(self, records: Iterable[Throw | Pair | Unpaired], at_us: int) -> None:
        """Write records; they are on disk when this returns. Records of an older file of this worker are
        rejected.

        A coin is pending from its number to its `Pair` or `Unpaired`, after its `Throw`.

        Raises: OSError; the next call then begins a new file.
        """
        records = list(records)
        for record in records:
            if record.ledger != self.name:
                raise CoinError(
                    f"record {record.ledger}/{record.number} belongs to another ledger than {self.name}"
                )
        if self._handle < 0:
            raise CoinError(f"{self.path}: the ledger is closed")
        self._write([self._line(record) for record in records])
        self._open_numbers -= {record.number for record in records if not isinstance(record, Throw)}

    @property
    def full(self) -> bool:
        return self._size > ROTATE_BYTES

    @property
    def closed(self) -> bool:
        """Whether the file accepts no more lines, because it was closed or the disk failed."""
        return self._handle < 0

    @property
    def under_way(self) -> int:
        """Coins without a record yet."""
        return len(self._open_numbers)

    def close(self, at_us: int) -> None:
        """Close the file with a last line: nothing after it is ours."""
        if self._handle >= 0:
            lost = sorted(self._open_numbers)
            self._write(
                [{"kind": "close", "at": iso(at_us, "microseconds"), "next": self._next, "lost": lost[:1000]}]
            )
            self.abandon()

    def abandon(self) -> None:
        """Stop writing to the file: the disk failed, or the process ends."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _line(self, record: Throw | Pair | Unpaired) -> dict[str, Any]:
        line: dict[str, Any] = {
            "kind": "unpaired",
            "n": record.number,
            "at": iso(record.at_us, "microseconds"),
        }
        if isinstance(record, Unpaired):
            return line | {"why": record.why[:300]}
        if isinstance(record, Throw):
            whose = record.account, record.campaign
            before = self._thrown[whose]
            self._thrown[whose] += 1
            within: dict[str, Any] = {"salt": secrets.token_hex(16), "account": record.account}
            tag = tag_of(self.key.secret_of_account(record.account))
            return self._with_opening(
                line | {"kind": "throw", "tag": tag},
                within | {"campaign": record.campaign, "before": before},
            )
        within = {
            "salt": secrets.token_hex(16), "secret": self.key.secret_of(self.name, record.number).hex(),
            "served": record.served, "account": record.account, "campaign": record.campaign,
            "model": record.model, "operation": record.operation, "messages": list(record.messages),
            "answers": [{"text": a.text, "finish_reason": a.finish_reason} for a in record.answers],
        }  # fmt: skip
        facts = {
            "served": record.served,
            "tie": record.tie,
            "tokens": [a.output_tokens for a in record.answers],
        }
        return self._with_opening(line | {"kind": "pair"} | facts, within)

    def _with_opening(self, line: dict[str, Any], within: dict[str, Any]) -> dict[str, Any]:
        """Return a line with its opening: committed to, and sealed if there is a reading key."""
        opening = canonical(within).decode("ascii")
        line["commit"] = commitment(opening)
        if self.reader is None:
            return line | {"open": opening}
        box = seal(self.reader, opening.encode("ascii"), place_of(self.name, line["n"]))
        return line | {"sealed": base64.b64encode(box).decode("ascii")}

    def _write(self, contents: list[dict[str, Any]]) -> None:
        prev, parts = self._prev, []
        for content in contents:
            line = make_line(content, prev)
            prev = line["hash"]
            parts.append(canonical(line) + b"\n")
        data = b"".join(parts)
        self._size += len(data)
        try:
            while data:
                data = data[os.write(self._handle, data) :]
            os.fdatasync(self._handle)
        except OSError:
            self.abandon()
            raise
        self._prev = prev


def place_of(ledger: str, number: int) -> bytes:
    """Return the context to which a sealed box is bound."""
    return f"{ledger}/{number}".encode()


def last_hash(path: Path) -> str | None:
    """Return the hash of the last whole line; None if there is none. Raises: CoinError for a damaged one."""
    data = path.read_bytes() if path.stat().st_size < 1 << 20 else _tail(path)
    whole = data[: data.rfind(b"\n") + 1].rstrip(b"\n")
    if not whole:
        return None
    return str(parse_line(whole[whole.rfind(b"\n") + 1 :], f"{path}: last line")["hash"])


def _tail(path: Path) -> bytes:
    """Return the end of a file, with at least one whole line in it."""
    size, step = path.stat().st_size, 1 << 20
    with path.open("rb") as file:
        while True:
            file.seek(max(0, size - step))
            data = file.read()
            if data.count(b"\n") > 1 or step >= size:
                return data
            step *= 4
