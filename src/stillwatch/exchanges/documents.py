"""The text of documents that come in requests, read by a process beside this one and remembered.

That process is started for the first document. It ends with this one, and nothing that a document holds can
stop or fill the one who asks. `document_process.py` says what is read and how much it may cost.
"""

import atexit
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from select import select
from threading import Lock, Thread, current_thread
from typing import IO, NamedTuple

import msgspec

from stillwatch.exchanges.document_process import (
    DAMAGED,
    ENCRYPTED,
    LENGTH,
    NO_TEXT,
    OLD_OFFICE,
    OTHER_KIND,
    PDF,
    PDF_WITHIN,
    TOO_LARGE,
    ZIP,
)

BUSY = "busy"  # documents have taken as much time as they may for now
FAILED = "failed"  # the process that reads them ended, and ended again
MOST_BYTES = 32 << 20  # of a document
MOST_S = 60.0  # by the clock, for a machine that is stopped: CPU time is bounded where it is spent
REMEMBERED = 32 << 20  # characters of texts: a conversation brings its documents again with each turn
A_RECORD = 200  # characters that one without text counts as
DOCUMENTS_SHARE = 0.25  # of a gateway's time: hostile documents must not hold up all other exchanges
BURST_S = 20.0  # that documents may take at once, where they have a share


class DocumentText(NamedTuple):
    """What a document says."""

    text: str
    unread: str  # why not all of it was read; empty: it was


class _DocumentReply(msgspec.Struct):
    bytes: int
    why: str
    cpu_s: float


_WORDS = {
    ENCRYPTED: "encrypted", NO_TEXT: "without text: pictures of pages", DAMAGED: "damaged, or not all of it",
    TOO_LARGE: "beyond what is read of one", OTHER_KIND: "of a kind that is not read (archives, old Office)",
    FAILED: "because the process that reads them ended", BUSY: "while others took all the time they may",
}  # fmt: skip


def unread_text(counts: Mapping[str, int]) -> str:
    """Say how many documents in requests were not read as a whole, and why."""
    why = ", ".join(f"{count:,} {_WORDS.get(name, name)}" for name, count in sorted(counts.items()))
    return f"Documents in requests that were not read as a whole: {why}."


def is_document(raw: bytes) -> bool:
    """Whether some bytes are a file of the kinds that are read here, or of their elder relatives."""
    return raw.startswith((ZIP, OLD_OFFICE)) or PDF in raw[:PDF_WITHIN]


class DocumentReader:
    """Reads documents one after another. Threads may share it."""

    def __init__(self) -> None:
        self.still_here: Callable[[], None] = lambda: None  # called each second that one takes
        self.share: float | None = None  # of the time, spent on documents at most; None: no bound
        self.spared: Thread | None = None  # a thread that must not wait, and so reads none
        self.cpu_s = 0.0  # spent so far
        self._left_s, self._at = BURST_S, time.monotonic()
        self._known: dict[bytes, DocumentText] = {}
        self._size = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # who started it: a fork of that one starts its own
        self._lock = Lock()
        atexit.register(self.close)

    def read(self, raw: bytes) -> DocumentText:
        """The text of a document. It raises nothing: what cannot be read is said."""
        if len(raw) > MOST_BYTES:
            return DocumentText("", TOO_LARGE)
        name = blake2b(raw, digest_size=16).digest()
        with self._lock:
            text = self._known.pop(name, None)
            if text is None:
                if current_thread() is self.spared or not self._may():
                    return DocumentText("", BUSY)
                begun = time.monotonic()
                text = self._ask(raw)
                self._left_s -= time.monotonic() - begun  # what others had to wait
                self._size += len(text.text) + A_RECORD
            self._known[name] = text  # last in the order
            while self._size > REMEMBERED:
                oldest = self._known.pop(next(iter(self._known)))
                self._size -= len(oldest.text) + A_RECORD
            return text

    def close(self) -> None:
        """End the process beside this one."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid() and process.stdin and process.stdout:
            process.kill()
            process.wait()
            process.stdout.close()
            with suppress(OSError):  # what it was being told
                process.stdin.close()

    def _may(self) -> bool:
        if self.share is None:
            return True
        now = time.monotonic()
        self._left_s = min(BURST_S, self._left_s + self.share * (now - self._at))
        self._at = now
        return self._left_s > 0

    def _ask(self, raw: bytes) -> DocumentText:
        for _ in range(2):  # it may have been killed since it was last asked
            stdin, stdout = self._pipes()
            try:
                stdin.write(LENGTH.pack(len(raw)) + raw)
                stdin.flush()
                if not self._wait(stdout):
                    self.close()
                    return DocumentText("", TOO_LARGE)
                answer = msgspec.json.decode(stdout.readline(), type=_DocumentReply)
                text = stdout.read(answer.bytes).decode("utf-8", "replace").strip()
            except (OSError, msgspec.MsgspecError):
                self.close()
                continue
            self.cpu_s += answer.cpu_s
            return DocumentText(text, answer.why)
        return DocumentText("", FAILED)

    def _wait(self, stdout: IO[bytes]) -> bool:
        end = time.monotonic() + MOST_S
        while not select([stdout], [], [], 1.0)[0]:
            self.still_here()
            if time.monotonic() > end:
                return False
        return True

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None or self._owner != os.getpid():
            self._owner = os.getpid()
            script = Path(__file__).with_name("document_process.py")
            self._process = subprocess.Popen(
                [sys.executable, "-P", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL, close_fds=True,
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout


READER = DocumentReader()  # of this process: one beside it is enough
