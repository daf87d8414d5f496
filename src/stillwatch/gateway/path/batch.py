"""The tokens that a batch may produce, and did produce: a file of questions could evade any limit.

A batch is counted when it starts, by the limits in its questions. The content of a file is noted when it is
uploaded, because a batch names only the upstream's file id.
"""

import hashlib
import re
import sqlite3
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from stillwatch.exchanges.messages import dig
from stillwatch.exchanges.operations import plain
from stillwatch.gateway.path.amounts import (
    MOST_N,
    MOST_TOKENS,
    Amounts,
    amounts,
    count_of,
    prompts_in,
    wants_logprobs,
)
from stillwatch.sqlite_file import use_wal
from stillwatch.units import DAY_US

MOST = ("max_completion_tokens", "max_tokens")  # fields that limit the tokens of an answer
MOST_OF_RESPONSE = ("max_output_tokens",)
SOURCE_KEYS = ("inputConfig", "input_config")  # Google's
# Sources of questions that never passed through this gateway: Azure's, Vertex's, Fireworks'
ELSEWHERE = frozenset(
    ("inputblob", "gcssource", "bigquerysource", "vertexmultimodaldatasetsource", "inputdatasetid")
)
MOST_LINES = 100_000  # of one batch; OpenAI takes 50,000 and Anthropic 100,000
KEPT_US = 40 * DAY_US  # notes on uploaded files are kept longer than upstreams keep such files
MOST_FILES = 100_000  # notes kept
TIDY = 1_000  # after so many notes old ones are deleted
FETCHED = 10_000  # fetched answers that are remembered, so that a second fetch is not charged
WAIT_S = 0.05  # for another worker's note
# A question's own field, whose letters may be written as escapes: OpenAI's and Anthropic's; Google's
_QUESTION_FIELDS = re.compile(
    b"|".join(
        b'"' + b"".join(b"(?:%c|\\\\u00%02x)" % (letter, letter) for letter in name) + b'"' + rest
        for name, rest in ((b"custom_id", b""), (b"request", rb"\s*:\s*\{"))
    ),
    re.IGNORECASE,
)
_GOOGLE = re.compile(rb'"request"\s*:\s*\{')
# Ends of lines for some readers (Python's text files: \r, its splitlines: more); none occurs within JSON
_LINE = re.compile(
    rb"(?:\A|(?<=[\n\r\x0b\x0c\x1c-\x1e]))"
    rb"(?:[ \t]|\xef\xbb\xbf|\xc2[\x85\xa0]|\xe2\x80[\x8b\xa8\xa9])*+"
    rb"(\{[^\n\r\x0b\x0c\x1c-\x1e]*+)"
)
_TABLES = (
    """CREATE TABLE IF NOT EXISTS files (name BLOB PRIMARY KEY, questions INTEGER, said INTEGER,
    unsaid INTEGER, at_us INTEGER) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS models (name BLOB PRIMARY KEY, models TEXT, at_us INTEGER) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS answers (name BLOB PRIMARY KEY, tokens INTEGER, model TEXT,
    at_us INTEGER) WITHOUT ROWID""",
)


class BatchRequest(msgspec.Struct, frozen=True, gc=False):
    """What a request uploads or starts."""

    questions: int = 0
    said: int = 0  # output tokens that their limits allow
    unsaid: int = 0  # answers without a limit
    n: int = 1  # answers to one question, the maximum
    logprobs: bool = False  # some question asks for them
    begins: bool = False  # it starts a batch: otherwise it only uploads
    files: tuple[str, ...] = ()  # that contain the questions, by the upstream's ids
    untold: bool = False  # it starts a batch whose questions are not visible


class _Asks(msgspec.Struct):
    max_completion_tokens: object = None
    max_output_tokens: object = None
    max_tokens: object = None
    n: object = None
    best_of: object = None
    logprobs: object = None
    top_logprobs: object = None
    messages: object = None
    prompt: object = None


class _BatchQuestion(msgspec.Struct):
    """A line of an uploaded batch (`body`), or a request of an inline one (`params`, `request`)."""

    custom_id: object = None
    url: object = None
    body: _Asks | None = None
    params: _Asks | None = None
    request: _Asks | None = None


class _BatchUsage(msgspec.Struct):
    completion_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens: int | None = None
    input_tokens: int | None = None


class _BatchAnswerBody(msgspec.Struct):
    usage: _BatchUsage | None = None


class _GoogleUsage(msgspec.Struct):
    promptTokenCount: int | None = None
    candidatesTokenCount: int | None = None
    thoughtsTokenCount: int | None = None


class _Response(msgspec.Struct):
    body: _BatchAnswerBody | None = None
    usageMetadata: _GoogleUsage | None = None


class _Result(msgspec.Struct):
    message: _BatchAnswerBody | None = None


class _BatchAnswer(msgspec.Struct):
    """A line of a batch's answers: OpenAI's `response`, Anthropic's `result`."""

    response: _Response | None = None
    result: _Result | None = None


_QUESTION = msgspec.json.Decoder(_BatchQuestion)
_ANSWER = msgspec.json.Decoder(_BatchAnswer)
_UNREAD = _BatchQuestion(custom_id="", body=_Asks())  # its answer may have any length


class LaterAnswer(NamedTuple):
    """What was charged for an answer that is fetched later."""

    tokens: int  # below 0: it was fetched, and its tokens are charged
    model: str  # the requested one
    at_us: int


class TooMany(ValueError):
    """More lines than a batch may have."""


def is_batch(body: bytes) -> bool:
    """Return whether a body may contain questions: each has a `custom_id`, or is Google's."""
    if b"custom_id" in body or _GOOGLE.search(body):
        return True
    return b"\\u00" in body and _QUESTION_FIELDS.search(body) is not None


def google_question(line: object) -> dict[str, object] | None:
    """Return the question in a line of Google's batch, or in an element of an inline one."""
    question = line.get("request") if isinstance(line, dict) else None
    return question if isinstance(question, dict) and "contents" in question else None


def google_questions(request: object) -> list[dict[str, object]]:
    """Return the questions in a request that starts Google's batch."""
    sources = _sources(request) if isinstance(request, dict) else []
    entries = [entry for source in sources for entry in _list(dig(source, "requests", "requests"))]
    return [question if isinstance(question := dig(entry, "request"), dict) else {} for entry in entries]


def lines_of(body: bytes) -> Iterator[bytes]:
    """Return the lines of a body that may be JSON objects."""
    return (matched[1] for matched in _LINE.finditer(body))


def uploaded_batch(body: bytes) -> BatchRequest | None:
    """Count the questions in a body of lines, alone or within a form; None if there are none.

    Raises: TooMany, because each is parsed while other clients wait, and becomes a row.
    """
    if not is_batch(body):
        return None
    entries, google = [], []
    for number, line in enumerate(lines_of(body)):
        if number >= MOST_LINES:
            raise TooMany
        try:
            entry = _QUESTION.decode(line)
            if entry.request is not None and (question := google_question(msgspec.json.decode(line))):
                google.append(amounts("generate_content", question))
            elif entry.custom_id is not None:
                entries.append(entry)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            if is_batch(line):  # another reader may still take it for a question
                entries += [_UNREAD] * max(line.count(b"custom_id"), 1)
    return _add_google(_count_questions(entries) or BatchRequest(), google) if entries or google else None


def _add_google(counted: BatchRequest, google: list[Amounts]) -> BatchRequest:
    """Add what Google's questions ask for."""
    return msgspec.structs.replace(
        counted,
        questions=counted.questions + len(google),
        said=counted.said + sum(ask.answers * ask.most for ask in google if ask.most is not None),
        unsaid=counted.unsaid + sum(ask.answers for ask in google if ask.most is None),
        n=max(counted.n, *(ask.n for ask in google), 1),
        logprobs=counted.logprobs or any(ask.logprobs for ask in google),
    )


def begun(request: object) -> BatchRequest:
    """Return the batch that a request with this JSON body starts.

    Questions that it names in several ways all count: it is unknown which ones the upstream uses.
    """
    if not isinstance(request, dict):
        return BatchRequest(begins=True, untold=True)
    questions = []
    for entry in _list(request.get("requests")):
        try:
            questions.append(msgspec.convert(entry, _BatchQuestion))
        except msgspec.ValidationError:
            questions.append(_UNREAD)
    google = [amounts("generate_content", question) for question in google_questions(request)]
    sources = _sources(request)
    named = [request.get("input_file_id"), *_list(request.get("input_files"))]
    named += [source.get(key) for source in sources for key in ("fileName", "file_name")]
    files = tuple(name for name in named if isinstance(name, str))
    elsewhere = any(_lies_elsewhere(source) for source in (request, *sources))
    return msgspec.structs.replace(
        _add_google(_count_questions(questions) or BatchRequest(), google),
        begins=True,
        files=files,
        untold=elsewhere or not (questions or google or files),
    )


def _sources(request: dict[str, object]) -> list[dict[str, object]]:
    """Return the objects of Google's batch that name the source of its questions."""
    named_sources = [dig(holder, key) for holder in (request, request.get("batch")) for key in SOURCE_KEYS]
    return [source for source in named_sources if isinstance(source, dict)]


def _lies_elsewhere(source: dict[str, object]) -> bool:
    return any(value and key.lower().replace("_", "") in ELSEWHERE for key, value in source.items())


def _count_questions(questions: list[_BatchQuestion]) -> BatchRequest | None:
    declared = unsaid = 0
    most_n, logprobs = 1, False
    for question in questions:
        path = plain(question.url) if isinstance(question.url, str) else ""
        bodies = [asks for asks in (question.body, question.params, question.request) if asks is not None]
        for asks in bodies or (_Asks(),):
            if path.endswith("/embeddings") and asks.messages is None and asks.prompt is None:
                continue
            n = max(count_of(asks.n), count_of(asks.best_of))
            most_n = max(most_n, n)
            n = min(n * prompts_in(asks.prompt), MOST_N)
            names = MOST_OF_RESPONSE if path.endswith("/responses") else MOST
            said = [most for name in names if isinstance(most := getattr(asks, name), int | float)]
            limits = [most for most in said if most > 0]
            if limits:
                declared += int(min(max(limits), MOST_TOKENS)) * n
            else:
                unsaid += n
            logprobs = logprobs or wants_logprobs(asks.logprobs) or asks.top_logprobs is not None
    return BatchRequest(len(questions), declared, unsaid, most_n, logprobs) if questions else None


def batch_tokens(lines: bytes) -> tuple[int, int]:
    """Return the (input, output) tokens that lines of a batch's answers report."""
    read = written = 0
    for line in lines.split(b"\n"):
        if b'"usage"' not in line and b'"usageMetadata"' not in line:
            continue
        try:
            answer = _ANSWER.decode(line)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            continue
        body = answer.response.body if answer.response else answer.result.message if answer.result else None
        usage = body.usage if body else None
        google = answer.response.usageMetadata if answer.response else None
        if google is not None:
            count = (google.candidatesTokenCount or 0) + (google.thoughtsTokenCount or 0)
            usage = _BatchUsage(output_tokens=count, input_tokens=google.promptTokenCount)
        if usage is not None:
            written += min(max(usage.completion_tokens or usage.output_tokens or 0, 0), MOST_TOKENS)
            read += min(max(usage.prompt_tokens or usage.input_tokens or 0, 0), MOST_TOKENS)
    return read, written


class Notes:
    """What each uploaded file may produce, for all workers and across restarts; and what was fetched here.

    Written without waiting for the disk: if a note is lost, its file counts as unknown.
    """

    def __init__(self, run: Path | None) -> None:
        self._path = None if run is None else run / "batches.db"
        self._db: sqlite3.Connection | None = None
        self._noted = 0
        self._fetched: set[bytes] = set()
        self._order: deque[bytes] = deque()

    def note(
        self, account: str, file: str, batch: BatchRequest, now_us: int, models: tuple[str, ...] = ()
    ) -> None:
        """Note what a file may produce, and which models its questions name."""
        with suppress(sqlite3.Error), self._open() as db:
            declared, unsaid = min(batch.said, MOST_TOKENS), min(batch.unsaid, MOST_TOKENS)
            row = (_name(account, _file_id(file)), batch.questions, declared, unsaid, now_us)
            names = msgspec.json.encode(models).decode()
            # first, so that a known file never lacks its models, whose limits would not count it
            db.execute("INSERT OR REPLACE INTO models VALUES (?, ?, ?)", (row[0], names, now_us))
            db.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
            self._tidy(db, now_us)

    def _tidy(self, db: sqlite3.Connection, now_us: int) -> None:
        self._noted += 1
        if self._noted % TIDY == 1:
            for table in ("files", "models", "answers"):
                newest = f"SELECT at_us FROM {table} ORDER BY at_us DESC LIMIT 1 OFFSET ?"
                db.execute(f"DELETE FROM {table} WHERE at_us < ?", (now_us - KEPT_US,))
                db.execute(f"DELETE FROM {table} WHERE at_us <= ({newest})", (MOST_FILES,))

    def note_answer(self, account: str, answer: str, charged: LaterAnswer) -> None:
        """Note the charge for an answer that comes later; charges for its continuation are added."""
        with suppress(sqlite3.Error), self._open() as db:
            row = (_name(account, answer), min(charged.tokens, MOST_TOKENS), charged.model, charged.at_us)
            db.execute(
                "INSERT INTO answers VALUES (?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
                " tokens = max(tokens, 0) + excluded.tokens, at_us = excluded.at_us",
                row,
            )
            self._tidy(db, charged.at_us)

    def answer(self, account: str, answer: str) -> LaterAnswer | None:
        """Return the charge for an answer that comes later; None if unknown."""
        with suppress(sqlite3.Error), self._open() as db:
            query = "SELECT tokens, model, at_us FROM answers WHERE name = ?"
            row = db.execute(query, (_name(account, answer),)).fetchone()
            return LaterAnswer(*row) if row else None
        return None

    def settle_answer(self, account: str, answer: str) -> bool:
        """Note that an answer's tokens are charged; return False if another worker did so first."""
        with suppress(sqlite3.Error), self._open() as db:
            settled = "UPDATE answers SET tokens = -1 WHERE name = ? AND tokens >= 0"
            return db.execute(settled, (_name(account, answer),)).rowcount > 0
        return False

    def tokens(self, account: str, batch: BatchRequest, each: int) -> int | None:
        """Return the output tokens that a batch may produce, `each` per unlimited answer; None if unknown."""
        if batch.untold:
            return None
        declared, unsaid = batch.said, batch.unsaid
        for file in batch.files:
            row: Any = None
            with suppress(sqlite3.Error), self._open() as db:
                row = db.execute(
                    "SELECT said, unsaid FROM files WHERE name = ?", (_name(account, _file_id(file)),)
                ).fetchone()
            if row is None:
                return None
            declared, unsaid = declared + row[0], unsaid + row[1]
        return min(declared + unsaid * each, MOST_TOKENS)

    def models(self, account: str, batch: BatchRequest) -> tuple[str, ...]:
        """Return the models that the questions in a batch's files name, as far as noted."""
        names: list[str] = []
        for file in batch.files:
            with suppress(sqlite3.Error), self._open() as db:
                query = "SELECT models FROM models WHERE name = ?"
                row = db.execute(query, (_name(account, _file_id(file)),)).fetchone()
                names += msgspec.json.decode(row[0], type=list[str]) if row else []
        return tuple(dict.fromkeys(names))

    def is_new(self, account: str, target: str) -> bool:
        """Return whether an answer is fetched for the first time, as far as remembered."""
        name = _name(account, target)
        if name in self._fetched:
            return False
        if len(self._order) >= FETCHED:
            self._fetched.discard(self._order.popleft())
        self._fetched.add(name)
        self._order.append(name)
        return True

    def _open(self) -> sqlite3.Connection:
        if self._db is None:
            if self._path is None:
                raise sqlite3.OperationalError("nothing is noted here")
            try:
                self._db = _open_database(self._path)
            except sqlite3.OperationalError:
                raise  # locked, or no space: the next attempt may succeed
            except sqlite3.DatabaseError:  # not a database any more: its notes are lost
                self._path.unlink(missing_ok=True)
                self._db = _open_database(self._path)
        return self._db


def _open_database(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None)
    try:
        use_wal(db, WAIT_S)
        db.execute("PRAGMA synchronous = OFF")
        for table in _TABLES:
            db.execute(table)
    except sqlite3.Error:
        db.close()
        raise
    return db


def _name(account: str, file: str) -> bytes:
    label = f"{account}\0{file}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(label, digest_size=16).digest()


def _file_id(name: str) -> str:
    """Return a file's id; Google writes files/ID."""
    return name.rpartition("/")[2]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
