"""What the gateway's processes log to standard error, by `logging`: text, or one JSON object a line.

Loggers: `stillwatch.gateway` (events of a process), `stillwatch.gateway.requests` (one line per request, at
INFO; upstream failures at WARNING). No line contains text of an exchange or a key. A slow or missing reader
delays nothing: lines wait in a queue, and are dropped and counted when it is full.
"""

import json
import logging
import logging.handlers
import os
import queue
import random
import re
import sys
from contextlib import suppress
from datetime import UTC, datetime

LEVELS = ("debug", "info", "warning", "error")
FORMATS = ("text", "json")
WAITING = 10_000  # lines
LONGEST = 200  # characters of a value that a client chose
process = logging.getLogger("stillwatch.gateway")
requests = logging.getLogger("stillwatch.gateway.requests")
_TRACEPARENT = re.compile(rb"00-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})")
_random = random.SystemRandom()
_numbers = random.Random(_random.getrandbits(256))  # no secrets: the system's generator is ten times slower
# different in each worker
os.register_at_fork(after_in_child=lambda: _numbers.seed(_random.getrandbits(256)))


def configure(form: str, level: str, name: str) -> None:
    """Start logging in this process. `name` is the process's."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Json(name) if form == "json" else _TextFormatter())
    lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING)
    listener = logging.handlers.QueueListener(lines, out)
    process.handlers = [_Dropping(lines)]
    process.setLevel(level.upper())
    process.propagate = False
    logging.raiseExceptions = False  # a closed standard error is harmless
    listener.start()


class _Dropping(logging.handlers.QueueHandler):
    """A queue of lines; those for which there is no space are counted, and reported with the next one."""

    dropped = 0

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # it stays in this process

    def enqueue(self, record: logging.LogRecord) -> None:
        record.dropped = self.dropped
        try:
            self.queue.put_nowait(record)
            self.dropped = 0
        except queue.Full:
            self.dropped += 1


class _Json(logging.Formatter):
    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": self._name,
            "message": record.getMessage(),
        }
        if dropped := getattr(record, "dropped", 0):
            fields["dropped_lines"] = dropped
        fields |= getattr(record, "fields", {})
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


class _TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "fields", {})
        more = "".join(f" {name}={json.dumps(value)}" for name, value in fields.items())
        line = f"stillwatch serve: {record.getMessage()}{more}"
        return line if not record.exc_info else f"{line}\n{self.formatException(record.exc_info)}"


def tell(text: str) -> None:
    """Log an event of a process of the gateway."""
    with suppress(OSError, ValueError):
        process.warning("%s", text)


def request(level: int, message: str, **fields: object) -> None:
    """Log one request; None values are left out, and what a client chose is cut short."""
    log_fields = {
        name: value[:LONGEST] if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }
    requests.log(level, "%s", message, extra={"fields": log_fields})


def traceparent(header: bytes | None) -> str:
    """Return a `traceparent` (W3C) for the gateway's own work: the client's trace, and a new span."""
    digits, flags = f"{_numbers.getrandbits(192) | 1 << 64 | 1:048x}", "00"  # neither may be all zeros
    trace = digits[:32]
    if header and (matched := _TRACEPARENT.fullmatch(header)):
        trace, flags = matched[1].decode(), matched[2].decode()
    return f"00-{trace}-{digits[32:]}-{flags}"
