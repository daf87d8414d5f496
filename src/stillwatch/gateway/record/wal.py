"""A worker's write-ahead log: frames, sealed in groups, durable in order.

A file is a head (magic, boot, salt) and groups (length, checksum, ciphertext). A group is sealed with AES-GCM
under a key of its file, so no text of an exchange is readable on the disk, and torn or changed data does not
open. A torn tail is the end of a file, never an error; acknowledged frames precede it.
"""

import fcntl
import os
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from stillwatch.gateway.folder import FolderError, derive
from stillwatch.gateway.slices import ask_for_short_slices
from stillwatch.new_file import sync_folder

MAGIC = b"SWWAL1\r\n"
SALT = 16
_HEAD = struct.Struct(f"<8sQ{SALT}s")  # magic, boot, salt
HEAD = _HEAD.size
GROUP = struct.Struct("<II")  # length of the ciphertext, CRC-32 of its tag (in older files of all of it)
TAG = 16  # bytes at the end of a ciphertext: the cipher's own authentication tag
FRAME = struct.Struct("<BQI")  # kind, exchange number, length
INTENT, PART, OUTCOME, GAP, ROW = 1, 2, 3, 4, 5
ROOM = 16 << 20  # disk blocks are allocated in such steps, so that a commit writes no metadata
ROTATE = 64 << 20  # a file is closed at this size
GROUP_LIMIT = 1 << 30  # no longer group is ever written


class Frame(NamedTuple):
    kind: int
    number: int  # the exchange
    payload: memoryview
    at: int  # offset of its group


def frame(kind: int, number: int, *payload: bytes) -> bytes:
    size = sum(map(len, payload))
    return b"".join((FRAME.pack(kind, number, size), *payload))


def name_of(worker: int, sequence: int) -> str:
    return f"w{worker}-{sequence:08d}.log"


def parts_of(path: Path) -> tuple[int, int]:
    """Return (worker, sequence) in a file's name. Raises: ValueError for another name."""
    worker, _, sequence = path.stem.partition("-")
    if not worker.startswith("w") or path.suffix != ".log":
        raise ValueError(f"{path.name} is no log file of a worker")
    return int(worker[1:]), int(sequence)


def files(folder: Path) -> list[Path]:
    """Return every log file in a folder, by worker and sequence."""
    return sorted(folder.glob("w*-*.log"), key=parts_of)


def _sealer(secret: bytes, head: bytes) -> AESGCM:
    """Return a cipher whose key depends on the whole head: a changed boot makes every group unreadable."""
    return AESGCM(derive(derive(secret, b"wal") + head, b"wal file"))


def _nonce(at: int) -> bytes:
    """Return a nonce from a group's offset: under the file's own key no nonce repeats."""
    return at.to_bytes(12, "little")


@dataclass(slots=True)
class _CommitGroup:
    """Frames that the event loop hands to the thread."""

    frames: list[bytes]
    asked: list[bytes]
    tokens: list[object]

    def add(self, more: "_CommitGroup") -> None:
        self.frames += more.frames
        self.asked += more.asked
        self.tokens += more.tokens


class Writer:
    """One worker's log. The event loop calls `append`; a thread commits all waiting frames as one group.

    `durable(tokens, size)` and `failed(tokens, why)` are called on that thread: pass them to the loop. A
    frame without a token must not be lost: if the disk refuses it, it goes into the next group. `soon` defers
    the hand-over to the end of the loop's round, so that everything from that round shares a commit.
    """

    def __init__(
        self,
        folder: Path,
        worker: int,
        secret: bytes,
        *,
        durable: Callable[[list[object], int], None],
        failed: Callable[[list[object], OSError], None],
        soon: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self._folder, self._worker, self._secret = folder, worker, secret
        self._durable, self._failed, self._soon = durable, failed, soon
        self._frames: list[bytes] = []  # without a token
        self._asked: list[bytes] = []  # with a token
        self._tokens: list[object] = []
        self._appended = self._committed = 0
        self.commit_us = 0  # spent in commits so far
        self._queue: SimpleQueue[_CommitGroup | None] = SimpleQueue()  # the fastest way to wake a thread
        self._due = False  # the hand-over is scheduled
        self._again: list[bytes] = []  # used by the thread only: frames that the disk has refused
        self._file, self._at, self._room = -1, HEAD, 0
        self._lock_file = _lock_folder(folder, worker)
        self._seal: AESGCM
        own_files = [parts_of(p)[1] for p in files(folder) if parts_of(p)[0] == worker]
        self.sequence = max([*own_files, _last(folder, worker)])
        self.boot = self.sequence + 1  # never used before: (boot, ordinal) identifies an exchange permanently
        with suppress(OSError):  # a full disk: retried for the first group
            for left in folder.glob(f"w{worker}-*.new"):
                left.unlink()
            self._open()
        self._thread = threading.Thread(target=self._run, name="wal", daemon=True)
        self._thread.start()

    def append(self, data: bytes, token: object = None) -> None:
        """Queue a frame: with a token it is committed soon, and the token returned; else with the next."""
        self._appended += len(data)
        if token is None:
            self._frames.append(data)
            return
        self._asked.append(data)
        self._tokens.append(token)
        if self._due:
            return
        if self._soon is None:
            self._hand_over()
        else:
            self._due = True
            self._soon(self._hand_over)

    def flush(self) -> None:
        """Commit waiting frames."""
        if self._frames or self._again:
            self._hand_over()

    def _hand_over(self) -> None:
        self._due = False
        group = _CommitGroup(self._frames, self._asked, self._tokens)
        self._frames, self._asked, self._tokens = [], [], []
        self._queue.put(group)

    @property
    def waiting_bytes(self) -> int:
        return self._appended - self._committed

    def close(self) -> None:
        """Commit waiting frames, truncate the file to its length and close it."""
        self._hand_over()
        self._queue.put(None)
        self._thread.join()
        self._let_go()
        os.close(self._lock_file)

    def _run(self) -> None:
        ask_for_short_slices()  # requests wait for this thread, which mostly waits for the disk
        while (group := self._queue.get()) is not None:
            while not self._queue.empty():  # queued during the last commit
                more = self._queue.get()
                if more is None:
                    self._commit(group)
                    return
                group.add(more)
            self._commit(group)

    def _commit(self, group: "_CommitGroup") -> None:
        """Commit a group, and with it what was refused before."""
        frames = self._again + group.frames
        if not frames and not group.asked:
            return
        began = time.monotonic_ns()
        try:
            if self._file < 0:
                self._open()
            plain = b"".join((*frames, *group.asked))
            written = self._write(plain)
            self.commit_us += (time.monotonic_ns() - began) // 1000
        except Exception as why:  # noqa: BLE001 - nobody may wait forever, and capture must not end
            self._let_go()  # a group may be half written: the rest goes into a new file
            self._again = frames
            self._committed += sum(map(len, group.asked))
            self._failed(
                group.tokens, why if isinstance(why, OSError) else OSError(0, f"{type(why).__name__}: {why}")
            )
            return
        self._again = []
        self._committed += len(plain)
        self._durable(group.tokens, written)
        if self._at >= ROTATE:
            self._let_go()

    def _write(self, plain: bytes) -> int:
        sealed = self._seal.encrypt(_nonce(self._at), plain, None)
        group = GROUP.pack(len(sealed), zlib.crc32(sealed[-TAG:])) + sealed
        if self._at + len(group) > self._room:
            self._room = self._at + len(group) + ROOM
            with suppress(OSError):  # nearly full: the write itself reports whether there is room
                os.posix_fallocate(self._file, 0, self._room)
        done = 0
        while done < len(group):  # a disk that fills up accepts a part first
            done += os.pwrite(self._file, group[done:] if done else group, self._at + done)
        os.fdatasync(self._file)
        self._at += len(group)
        return len(group)

    def _open(self) -> None:
        """Create a new file, whose head is written before it gets its name."""
        head = _HEAD.pack(MAGIC, self.boot, os.urandom(SALT))
        self.sequence += 1  # also if this fails: a name is used for one file only
        path = self._folder / name_of(self._worker, self.sequence)
        temporary = path.with_suffix(".new")
        file = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.pwrite(file, head, 0)
            os.fsync(file)
            temporary.rename(path)
            sync_folder(self._folder)
        except OSError:
            os.close(file)
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        self._file, self._at, self._room = file, HEAD, 0
        self._seal = _sealer(self._secret, head)

    def _let_go(self) -> None:
        """Truncate the file to its length and close it."""
        if self._file < 0:
            return
        with suppress(OSError):  # else the file ends in zeros, which a reader takes for the end
            os.ftruncate(self._file, self._at)
            os.fsync(self._file)
        os.close(self._file)
        self._file = -1


def _lock_of(folder: Path, worker: int) -> int:
    return os.open(folder / f"w{worker}.lock", os.O_RDWR | os.O_CREAT, 0o600)


def _lock_folder(folder: Path, worker: int) -> int:
    """Lock the folder for this writer. The kernel releases the lock however the writer ends."""
    file = _lock_of(folder, worker)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def writer_lives(folder: Path, worker: int) -> bool:
    """Return whether a process has this worker's log open for writing."""
    file = _lock_of(folder, worker)
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _last(folder: Path, worker: int) -> int:
    """Return the highest sequence a worker ever used, also if its files are deleted: numbers never repeat."""
    path = folder / f"w{worker}.last"
    try:
        return int(path.read_text("ascii"))
    except FileNotFoundError:
        return 0
    except (OSError, ValueError) as why:  # a repeated number would count as already recorded
        raise FolderError(
            f"{path}: cannot be read: {why}; put the last back-up in its place, or write a number into it "
            "that is higher than any this worker has used"
        ) from why


def remember(folder: Path, worker: int, sequence: int) -> None:
    """Record that a file is used up, before it is deleted."""
    if sequence <= _last(folder, worker):
        return
    temporary = folder / f"w{worker}.last.new"
    with open(temporary, "w") as file:
        file.write(str(sequence))
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(folder / f"w{worker}.last")
    sync_folder(folder)


class Reader:
    """Reads the whole groups of one file from an offset; can continue as the file grows."""

    def __init__(self, path: Path, secret: bytes, at: int = HEAD) -> None:
        self.path, self.at = path, max(at, HEAD)
        self.worker, self.sequence = parts_of(path)
        self.handle = os.open(path, os.O_RDONLY)
        head = os.pread(self.handle, HEAD, 0)
        self.boot = 0
        self._seal: AESGCM | None = None
        if len(head) == HEAD and head.startswith(MAGIC):
            self.boot = _HEAD.unpack(head)[1]
            self._seal = _sealer(secret, head)

    def groups(self, at: int | None = None, limit: int = 1 << 62) -> Iterator[list[Frame]]:
        """Yield each whole group's frames from `at` (or where the last call stopped), until `limit` bytes.

        Without `at`, `self.at` is advanced past a group before it is yielded.
        """
        place = self.at if at is None else at
        end = place + limit
        while self._seal is not None and place < end:
            group = self._group(place)
            if group is None:
                return
            plain, after = group
            frames = _frames(plain, place)
            place = after
            if at is None:
                self.at = place
            yield frames

    def damaged(self) -> bool:
        """Return whether bytes follow that are no whole group: a torn tail, or damage, in a finished file."""
        rest = os.pread(self.handle, 4096, self.at)
        return self._seal is None or any(rest)

    def _group(self, at: int) -> tuple[bytes, int] | None:
        head = os.pread(self.handle, GROUP.size, at)
        if len(head) < GROUP.size:
            return None
        size, crc = GROUP.unpack(head)
        if not TAG < size <= GROUP_LIMIT:
            return None
        sealed = os.pread(self.handle, size, at + GROUP.size)
        if len(sealed) < size or self._seal is None:
            return None
        if crc != zlib.crc32(sealed[-TAG:]) and crc != zlib.crc32(sealed):
            return None
        try:
            return self._seal.decrypt(_nonce(at), sealed, None), at + GROUP.size + size
        except InvalidTag:
            return None

    def close(self) -> None:
        os.close(self.handle)


def _frames(plain: bytes, at: int) -> list[Frame]:
    """Return the frames of a group. Their payloads are views that keep the whole group in memory."""
    frames, view, place, last = [], memoryview(plain), 0, len(plain) - FRAME.size
    while place <= last:
        kind, number, size = FRAME.unpack_from(plain, place)
        place += FRAME.size
        frames.append(Frame(kind, number, view[place : place + size], at))
        place += size
    return frames
