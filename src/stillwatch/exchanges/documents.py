"""The text of documents in requests, read by a helper process and cached.

The helper starts with the first document and ends with this process. No document can block or exhaust the
caller. `document_process.py` says what is read and how much it may cost.
"""

import atexit
import os
import select
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar
from hashlib import blake2b
from pathlib import Path
from threading import Lock, Thread, current_thread
from typing import IO, NamedTuple

import msgspec

from stillwatch.exchanges.document_process import (
    ARCHIVES,
    DAMAGED,
    ENCRYPTED,
    LENGTH,
    MOST_CPU_S,
    MOST_S,
    NO_TEXT,
    OLD_OFFICE,
    OTHER_KIND,
    PDF,
    PDF_WITHIN,
    TAR,
    TAR_AT,
    TOO_LARGE,
    ZIP,
)
from stillwatch.exchanges.links import LINK

BUSY = "busy"  # documents have used their share of time for now
UNPAID = "budget"  # its account, or all together, have used up the budget of reading this log
FAILED = "failed"  # the process that reads them ended twice
MOST_BYTES = 32 << 20  # of a document
STUCK_S = MOST_S + 15.0  # wall time, for a machine that is suspended
REMEMBERED = 32 << 20  # characters of cached texts: a conversation repeats its documents with each turn
A_RECORD = 200  # characters that an entry without text counts as
DOCUMENTS_SHARE = 0.25  # of a gateway's time: hostile documents must not delay all other exchanges
BURST_S = 20.0  # what documents may use at once, if they have a share
DOCUMENTS_CPU_S = 3_600.0  # for one read of logs: over 100,000 documents at 0.03 s each
FIRST_COME = 0.5  # of a budget, first come, first served
OF_WHAT_IS_LEFT = 1 / 32  # beyond that, the most that one account may have had


class DocumentText(NamedTuple):
    """The text of a document."""

    text: str
    unread: str  # why not all of it was read; empty if it was


class DocumentBudget:
    """CPU time for documents, divided so that one account's leave some for the others.

    Half of it is first come, first served. After that, an account's documents are read while it has had less
    than a 32nd of what is left. So the budget is never used up: whoever took the first half gets no more, and
    after 50 accounts that take all they may, the next one still has 0.3 % of the whole.
    """

    def __init__(self, cpu_s: float = DOCUMENTS_CPU_S) -> None:
        self.cpu_s, self.spent_s = cpu_s, 0.0
        self._had_s: dict[str, float] = {}

    def may(self, account: str) -> bool:
        """Return whether one more document of an account is read. It may overrun by ten seconds."""
        left = self.cpu_s - self.spent_s
        first = self.spent_s < FIRST_COME * self.cpu_s
        return first or self._had_s.get(account, 0.0) < OF_WHAT_IS_LEFT * left

    def pay(self, account: str, cpu_s: float) -> None:
        self.spent_s += cpu_s
        self._had_s[account] = self._had_s.get(account, 0.0) + cpu_s


class DocumentPayer:
    """The account that pays for the current documents. Without a budget they are only counted."""

    def __init__(
        self, budget: DocumentBudget | None = None, accounts: Callable[[], list[str]] | None = None
    ) -> None:
        self.budget = budget
        self.documents = 0  # so far
        self._find = accounts
        self._accounts: list[str] = []

    @property
    def account(self) -> str:
        """The account of the last document; "" if its row does not name one before it is read."""
        if self._find is not None:
            self._accounts, self._find = self._find(), None
        return self._accounts[self.documents - 1] if self.documents <= len(self._accounts) else ""


PAYER: ContextVar[DocumentPayer | None] = ContextVar("PAYER", default=None)


class _DocumentReply(msgspec.Struct):
    bytes: int
    why: str
    cpu_s: float


_WORDS = {
    ENCRYPTED: "encrypted", NO_TEXT: "without text: pictures of pages", DAMAGED: "damaged, or not all of it",
    TOO_LARGE: "beyond what is read of one", OTHER_KIND: "of a kind that is not read (archives, old Office)",
    FAILED: "because the process that reads them ended",
    UNPAID: "beyond the CPU time for documents, or for those of their account",
    BUSY: "while others took all the time they may",
    LINK: "behind a link, which only the upstream follows",
}  # fmt: skip


def unread_text(counts: Mapping[str, int]) -> str:
    """Return how many documents in requests were not read as a whole, and why."""
    why = ", ".join(f"{count:,} {_WORDS.get(name, name)}" for name, count in sorted(counts.items()))
    return f"Documents in requests that were not read as a whole: {why}."


def is_document(raw: bytes) -> bool:
    """Return whether bytes are a file of a kind that is read here, or of an older version of one."""
    starts = raw.startswith((ZIP, OLD_OFFICE, *ARCHIVES)) or raw.startswith(TAR, TAR_AT)
    return starts or PDF in raw[:PDF_WITHIN]


class DocumentReader:
    """Reads documents one after another. Threads may share it."""

    def __init__(self) -> None:
        self.still_here: Callable[[], None] = lambda: None  # called every second while a document is read
        self.share: float | None = None  # of the time, spent on documents at most; None: no limit
        self.spared: Thread | None = None  # a thread that must not wait, and so reads no documents
        self.cpu_s = 0.0  # spent so far
        self._left_s, self._at = BURST_S, time.monotonic()
        self._known: dict[bytes, DocumentText] = {}
        self._size = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0  # the process that started it: a fork starts its own
        self._lock = Lock()
        atexit.register(self.close)

    def read(self, raw: bytes) -> DocumentText:
        """Return the text of a document. Never raises: `unread` says what could not be read."""
        payer = PAYER.get()
        if payer is not None:
            payer.documents += 1
            if payer.budget is None:
                return DocumentText("", BUSY)
        if len(raw) > MOST_BYTES:
            return DocumentText("", TOO_LARGE)
        name = blake2b(raw, digest_size=16).digest()
        with self._lock:
            text = self._known.pop(name, None)
            if text is None:
                if current_thread() is self.spared or not self._may():
                    return DocumentText("", BUSY)
                budget = payer.budget if payer is not None else None
                account = payer.account if payer is not None else ""
                if budget is not None and not budget.may(account):
                    return DocumentText("", UNPAID)
                begun, spent_s = time.monotonic(), self.cpu_s
                text = self._ask(raw)
                took_s = time.monotonic() - begun
                self._left_s -= took_s  # time that others had to wait
                if budget is not None:  # without an answer the CPU time is unknown
                    budget.pay(account, self.cpu_s - spent_s or min(took_s, MOST_CPU_S))
                if text.unread == FAILED:
                    return text  # it may be read the next time it occurs
                self._size += len(text.text) + A_RECORD
            self._known[name] = text  # now the most recently used
            while self._size > REMEMBERED:
                oldest = self._known.pop(next(iter(self._known)))
                self._size -= len(oldest.text) + A_RECORD
            return text

    def close(self) -> None:
        """End the helper process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid() and process.stdin and process.stdout:
            process.kill()
            process.wait()
            process.stdout.close()
            with suppress(OSError):  # what was being sent to it
                process.stdin.close()

    def _may(self) -> bool:
        if self.share is None:
            return True
        now = time.monotonic()
        self._left_s = min(BURST_S, self._left_s + self.share * (now - self._at))
        self._at = now
        return self._left_s > 0

    def _ask(self, raw: bytes) -> DocumentText:
        for _ in range(2):  # it may have been killed since the last document
            try:
                stdin, stdout = self._pipes()
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
            self.cpu_s += min(answer.cpu_s, MOST_CPU_S)  # a machine that was suspended counts that time too
            return DocumentText(text, answer.why)
        return DocumentText("", FAILED)

    def _wait(self, stdout: IO[bytes]) -> bool:
        end = time.monotonic() + STUCK_S
        answers = select.poll()  # select() takes no descriptor above 1,023, and a gateway has more
        answers.register(stdout, select.POLLIN)
        while not answers.poll(1000):
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


READER = DocumentReader()  # one per process is enough
