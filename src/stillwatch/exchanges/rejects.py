"""The dead-letter file: what could not be read, its place, and why."""

import base64
import json
from collections import Counter
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import IO, Self

RAW_LIMIT = 4096  # bytes of a rejected line that are kept, with keep_text
EXAMPLES = 20
# lines written; further ones are only counted, so that a hostile log cannot fill the disk
DEAD_LETTERS = 1_000_000


class Rejects:
    """Collects rejected lines. `path` is created at the first one; None only counts.

    Without `keep_text`, only length and hash of a line are stored, not its bytes.
    """

    def __init__(self, path: str | Path | None = None, *, keep_text: bool = False) -> None:
        self.path = None if path is None else Path(path)
        self.keep_text = keep_text
        self._begin()

    def _begin(self) -> None:
        self.count = 0  # rejected lines, rows and files
        self.files = 0  # of these: files rejected as a whole
        self.aside = 0  # lines understood that are not an exchange (join rows, pieces, other spans)
        self.rows = 0  # rows read
        self.mended = 0  # rows read without a value that a client had spoilt, or with a repaired character
        self.without_prompt = 0  # rows whose source holds no text: they count for volume and timing only
        self.unread_documents: Counter[str] = Counter()  # documents in requests that were not read, by reason
        self.bodies_elsewhere = 0  # rows whose request or answer is in a file that was not given
        self.without_account = 0  # rows whose source names no account: they count as their service's
        self.named_by_key = 0  # rows whose account was a live API key: named key_ and a hash
        self.conflicts = 0  # rows dropped beside another of one id, account and time: another prompt
        self.talks = 0  # rows whose prompt is a conversation, as JSON or printed by Python
        self.first_note = ""  # of what was repaired
        self.textless = 0  # records, headers and files that lack only a column for the prompt
        self.examples: list[str] = []
        self.unwritten = ""  # why the dead-letter file is incomplete, if it is
        self._out: IO[str] | None = None

    def restart(self) -> None:
        """Reset everything: the same log is read again in another way."""
        path = self.path
        self.close()
        if path is not None:
            path.unlink(missing_ok=True)
        self.path = path
        self._begin()

    @property
    def wants_raw(self) -> bool:
        """Return whether a rejected line's bytes would be written."""
        return self.path is not None and self.count < DEAD_LETTERS

    def bodies_hint(self) -> str:
        """Return what to add if bodies are in files of their own, or nothing."""
        if not self.bodies_elsewhere:
            return ""
        return (
            f"{self.bodies_elsewhere:,} of {self.rows:,} rows keep a request or an answer in a file of its "
            "own that was not given. Copy the folders data/ beside the logs too, and the bucket for large "
            "data where it is another one."
        )

    def talks_hint(self) -> str:
        """Return what to set if most prompts are conversations in a text, or nothing."""
        if not self.talks or self.talks * 2 < self.rows:
            return ""
        return (
            f"{self.talks:,} of {self.rows:,} prompts are conversations written as one text. Name the column "
            "as such, and their system texts and earlier turns are told from what is asked: "
            "--map messages=COLUMN."
        )

    def add(self, place: str, reason: str, raw: bytes | None = None, *, offset: int | None = None) -> None:
        """Record one rejected line at `place` (`file:line`), `offset` bytes into the unpacked file."""
        self._add(place, reason, {} if raw is None else self._line_fields(raw), offset)

    def note(self, place: str, reason: str) -> None:
        """Record that a row was read without one of its values, or with a repaired one."""
        self.mended += 1
        self.first_note = self.first_note or f"{place}: {reason}"
        if self.mended <= DEAD_LETTERS:
            self._write({"place": place, "reason": reason, "kept": True})

    def add_long(self, place: str, reason: str, *, length: int, head: bytes, offset: int) -> None:
        """Record a line that was too long to hold: only its head is available."""
        fields = self._line_fields(head)
        fields["raw_bytes"] = length
        fields.pop("raw_blake2b", None)
        self._add(place, reason, fields, offset)

    def add_file(self, file: str, reason: str) -> None:
        """Record a file that cannot be used as a whole."""
        self.files += 1
        self._add(file, reason, {}, None)

    def _add(self, place: str, reason: str, fields: dict[str, object], offset: int | None) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(f"{place}: {reason}")
        if self.path is None or self.count > DEAD_LETTERS:
            return
        letter: dict[str, object] = {"place": place, "offset": offset, "reason": reason, **fields}
        if self.count == DEAD_LETTERS:
            letter["note"] = (
                f"the file ends here: beyond {DEAD_LETTERS:,} refused lines they are only counted"
            )
        self._write(letter)

    def _write(self, letter: dict[str, object]) -> None:
        if self.path is None:
            return
        try:
            if self._out is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._out = self.path.open("w", encoding="utf-8", errors="backslashreplace")
            self._out.write(json.dumps(letter, ensure_ascii=False) + "\n")
        except OSError as why:
            self._full(why)

    def _full(self, why: OSError) -> None:
        """Count rejections from here on: a full disk must not end the read."""
        self.unwritten = why.strerror or str(why)
        self.close()

    def _line_fields(self, raw: bytes) -> dict[str, object]:
        fields: dict[str, object] = {"raw_bytes": len(raw)}
        if not self.keep_text:
            fields["raw_blake2b"] = blake2b(raw, digest_size=16).hexdigest()
            return fields
        head = raw[:RAW_LIMIT]
        try:
            fields["raw"] = head.decode("utf-8")
        except UnicodeDecodeError:
            fields["raw_base64"] = base64.b64encode(head).decode("ascii")
        return fields

    def close(self) -> None:
        out, self._out = self._out, None
        if out is None and not self.unwritten:
            return
        self.path = None  # closed for good: later rejections are counted and never truncate the file
        try:
            if out is not None:
                out.close()
        except OSError as why:
            self.unwritten = why.strerror or str(why)

    def flush(self) -> None:
        try:
            if self._out is not None:
                self._out.flush()
        except OSError as why:
            self._full(why)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
