"""Checkpoints outside the database: they reveal a cut tail or a rewritten history.

A witness is a file of heads, as trustworthy as its location: another machine, a printout, or a partner who
signs each head (`vouch`) and keeps it from everyone who could change it.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from stillwatch.cases.audit import AuditError, TrailHead
from stillwatch.cases.audit.chain import canonical, signed_of_head
from stillwatch.cases.audit.signing import TrailSigner, is_signed
from stillwatch.errors import refuse_os_errors

STAMP_MARK = b"stillwatch.audit.stamp.1\n"
VOUCH_MARK = b"stillwatch.audit.vouch.1\n"
_FIELDS = ("chain", "seq", "seal", "at_us", "key", "signature")


@dataclass(frozen=True)
class WitnessedHead:
    """A head as a witness keeps it."""

    head: TrailHead
    place: str  # file:line
    witness: str | None = None  # the partner's key, if one confirms it
    seen_us: int | None = None  # by the partner's clock
    vouched: str | None = None  # the partner's signature
    stamp: str | None = None  # a time stamp over `stamped_bytes`, base64


class Witness:
    """One file of heads, a JSON object a line, oldest first, append-only."""

    def __init__(self, path: Path) -> None:
        """Raises: AuditError if the file exists and cannot be read."""
        self.path = path
        self._last: dict[str, int] = {}
        for line in read_heads(path) if path.exists() else []:
            if isinstance(line, WitnessedHead):
                self._last[line.head.chain] = max(line.head.seq, self._last.get(line.head.chain, 0))

    def last_seq(self, chain: str) -> int:
        """Return the last record of a chain that it knows of, 0 for none."""
        return self._last.get(chain, 0)

    def add(self, heads: Iterable[TrailHead | WitnessedHead]) -> None:
        """Append heads durably. Raises: OSError if that fails."""
        heads = list(heads)
        data = "".join(line_of(head) + "\n" for head in heads).encode("ascii")
        handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            end = os.fstat(handle).st_size
            if end and os.pread(handle, 1, end - 1) != b"\n":
                data = b"\n" + data  # a line cut short by a full disk stays a bad line of its own
            while data:
                data = data[os.write(handle, data) :]
            os.fsync(handle)
        finally:
            os.close(handle)
        for witnessed in heads:
            head = witnessed.head if isinstance(witnessed, WitnessedHead) else witnessed
            self._last[head.chain] = max(head.seq, self._last.get(head.chain, 0))


def line_of(head: TrailHead | WitnessedHead) -> str:
    """Return a head as one line."""
    if isinstance(head, TrailHead):
        return json.dumps(asdict(head), sort_keys=True)
    optional = {
        "witness": head.witness, "seen_us": head.seen_us, "vouched": head.vouched, "stamp": head.stamp,
    }  # fmt: skip
    stated = {name: value for name, value in optional.items() if value is not None}
    return json.dumps(asdict(head.head) | stated, sort_keys=True)


def read_heads(path: Path) -> list[WitnessedHead | str]:
    """Read a witness: heads, and for each line that is not one, why.

    Raises: AuditError if there is no such file.
    """
    with refuse_os_errors(AuditError, f"{path}: the witness cannot be read"):
        lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    return [_parse_line(line, f"{path}:{k}") for k, line in enumerate(lines, 1) if line.strip()]


def _parse_line(line: str, place: str) -> WitnessedHead | str:
    no_head = f"{place}: is no checkpoint"
    try:
        read = json.loads(line)
        head = TrailHead(*(read[name] for name in _FIELDS))
        vouched = tuple(read.get(name) for name in ("witness", "seen_us", "vouched"))
        stamp = read.get("stamp")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return no_head
    texts = (head.chain, head.seal, head.key, head.signature)
    if (
        not all(isinstance(text, str) for text in texts)
        or type(head.seq) is not int
        or type(head.at_us) is not int
    ):
        return no_head
    if not isinstance(stamp, str | None):
        return no_head
    if vouched == (None, None, None):
        return WitnessedHead(head, place, stamp=stamp)
    witness, seen_us, signature = vouched
    if not (isinstance(witness, str) and type(seen_us) is int and isinstance(signature, str)):
        return no_head
    return WitnessedHead(head, place, witness, seen_us, signature, stamp)


def vouch(
    seen: Iterable[WitnessedHead | str], keep: Witness, signer: TrailSigner, now_us: int
) -> tuple[list[WitnessedHead], list[str]]:
    """Keep a partner's heads and sign each: return the signed ones, and a sentence for each refusal.

    A head is refused if it is not signed by the key it names, or if it contradicts an earlier one, which is
    the alarm that a witness is for.
    """
    before = [
        line
        for line in (read_heads(keep.path) if keep.path.exists() else [])
        if isinstance(line, WitnessedHead)
    ]
    heads_before = {(line.head.chain, line.head.seq): line.head for line in before}
    accepted, refused = [], []
    for line in seen:
        if isinstance(line, str):
            refused.append(line)
            continue
        head = line.head
        head_before = heads_before.get((head.chain, head.seq))
        if not is_signed(head.key, head.signature, signed_of_head(head)):
            refused.append(f"{line.place}: record {head.seq} is not signed by the key it names")
        elif head_before is not None and head_before.seal != head.seal:
            refused.append(
                f"{line.place}: record {head.seq} of trail {head.chain} was {head_before.seal[:16]}… when "
                f"it was shown before, it is {head.seal[:16]}… now: that trail was rewritten"
            )
        elif head_before is None:
            signed = signer.sign(_vouched_bytes(head, signer.key, now_us))
            accepted.append(WitnessedHead(head, line.place, signer.key, now_us, signed, line.stamp))
            heads_before[(head.chain, head.seq)] = head
    keep.add(accepted)
    return accepted, refused


def stamped_bytes(head: TrailHead) -> bytes:
    """Return what a time stamp of a head covers: the head with its signature."""
    return STAMP_MARK + canonical(asdict(head)).encode("ascii")


def is_vouched(seen: WitnessedHead) -> bool:
    """Return whether the partner named in it signed it."""
    if seen.witness is None or seen.seen_us is None or seen.vouched is None:
        return False
    return is_signed(seen.witness, seen.vouched, _vouched_bytes(seen.head, seen.witness, seen.seen_us))


def _vouched_bytes(head: TrailHead, witness: str, seen_us: int) -> bytes:
    vouched = {"head": asdict(head), "seen_us": seen_us, "witness": witness}
    return VOUCH_MARK + canonical(vouched).encode("ascii")
