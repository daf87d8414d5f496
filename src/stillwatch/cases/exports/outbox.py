"""Letters on disk until they are sent: one file per event and target, dead letters beside them.

Adding a letter is writing and renaming a file, so the code that raises an alert never waits for a receiver.
After a crash a file is complete or absent. One process at a time delivers; others may add.
"""

import fcntl
import hashlib
import json
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from stillwatch.cases.exports import ExportError
from stillwatch.errors import refuse_os_errors
from stillwatch.new_file import replace_file, sync_folder
from stillwatch.units import SECOND_US

WAITING, DEAD = "waiting", "dead"
MOST = 10_000  # waiting events; with more, a receiver is gone for good, and the disk is needed elsewhere
# seconds before each further attempt: Standard Webhooks 1.0.0, "Retry schedule"; then the letter is dead
BACK_OFF_S = (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
# share by which a wait is lengthened at random, so that retries do not come together
JITTER = 0.2
LONGEST_WAIT_S = 86_400
_REASON = 300  # characters of a refusal that are kept


@dataclass(frozen=True)
class Letter:
    """One event for one target."""

    name: str  # of its file, the same for the same event and target
    target: str
    event_id: str
    case: str
    body: str  # exactly what is signed and sent
    created_us: int
    attempts: int = 0
    next_us: int = 0
    last_error: str = ""

    def is_due(self, now_us: int) -> bool:
        """Return whether it is due; also if a clock that was ahead would delay it too long."""
        return not now_us < self.next_us <= now_us + LONGEST_WAIT_S * (1 + JITTER) * SECOND_US


class Outbox:
    """The letters of one deployment, in a folder that is created if needed.

    Raises: ExportError if it cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with refuse_os_errors(ExportError, f"{folder}: cannot hold an outbox"):
            for below in (WAITING, DEAD):
                (folder / below).mkdir(parents=True, exist_ok=True, mode=0o700)

    def put(self, target: str, event_id: str, case: str, body: str, now_us: int) -> bool:
        """Add an event for a target; False if it is waiting already. Durable on return.

        Raises: ExportError if the disk refuses, or too many wait.
        """
        name = hashlib.sha256(f"{target}\0{event_id}".encode("utf-8", "surrogatepass")).hexdigest()[:40]
        if any((self.folder / where / f"{name}.json").exists() for where in (WAITING, DEAD)):
            return False
        if sum(1 for _ in self._files(WAITING)) >= MOST:
            raise ExportError(f"{self.folder}: {MOST:,} alerts wait already; see `stillwatch alerts list`")
        self._write(WAITING, Letter(name, target, event_id, case, body, now_us, next_us=now_us))
        return True

    def waiting(self) -> list[Letter]:
        """List the waiting letters, oldest first."""
        return self._read(WAITING)

    def dead(self) -> list[Letter]:
        """List the letters that were given up, oldest first."""
        return self._read(DEAD)

    def sent(self, letter: Letter) -> None:
        """Remove a letter that was delivered."""
        self._path(WAITING, letter).unlink(missing_ok=True)

    def put_back(
        self, letter: Letter, why: str, now_us: int, rng: random.Random, after_s: int | None = None
    ) -> Letter | None:
        """Schedule a letter for later and return it; None if this was its last attempt.

        after_s: the wait that the receiver requested, at most a day.
        """
        tried = replace(letter, attempts=letter.attempts + 1, last_error=why[:_REASON])
        if letter.attempts >= len(BACK_OFF_S):
            self.bury(tried)
            return None
        wait_s = BACK_OFF_S[letter.attempts] * (1 + JITTER * rng.random())
        wait_s = min(max(wait_s, after_s or 0), LONGEST_WAIT_S * (1 + JITTER))
        again = replace(tried, next_us=now_us + int(wait_s * 1_000_000))
        self._write(WAITING, again)
        return again

    def bury(self, letter: Letter) -> None:
        """Give a letter up: it is kept among the dead letters."""
        self._write(DEAD, letter)
        self._path(WAITING, letter).unlink(missing_ok=True)

    def revive(self, letter: Letter, now_us: int) -> None:
        """Send a dead letter again, starting with the first attempt."""
        self._write(WAITING, replace(letter, attempts=0, next_us=now_us))
        self._path(DEAD, letter).unlink(missing_ok=True)

    @contextmanager
    def hold_outbox(self) -> Iterator[bool]:
        """Lock the outbox for delivery; yield False if another process has it."""
        with refuse_os_errors(ExportError, f"{self.folder}: cannot be written"):
            opened = (self.folder / "lock").open("a")
        with opened as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    # --- files ---

    def _files(self, where: str) -> Iterator[Path]:
        return (self.folder / where).glob("*.json")

    def _path(self, where: str, letter: Letter) -> Path:
        return self.folder / where / f"{letter.name}.json"

    def _read(self, where: str) -> list[Letter]:
        letters = []
        for path in self._files(where):
            with suppress(FileNotFoundError):  # sent at this moment
                if (letter := _letter(path)) is not None:
                    letters.append(letter)
                else:
                    # one unreadable letter must not delay the others
                    path.rename(self.folder / DEAD / f"{path.stem}.unreadable")
        return sorted(letters, key=lambda letter: (letter.created_us, letter.name))

    def _write(self, where: str, letter: Letter) -> None:
        path = self._path(where, letter)
        with refuse_os_errors(ExportError, f"{path.parent}: cannot keep what is to be sent"):
            replace_file(path, [json.dumps(asdict(letter)).encode("ascii")])
            sync_folder(path.parent)


def _letter(path: Path) -> Letter | None:
    """Read one letter; None for a file that is not one. Raises: FileNotFoundError; ExportError."""
    try:
        return Letter(**json.loads(path.read_bytes()))
    except (ValueError, TypeError):
        return None
    except FileNotFoundError:
        raise
    except OSError as why:
        raise ExportError(f"{path}: cannot be read: {why.strerror}") from why
