"""What the gateway's processes write to standard error, by `logging`: text, or one JSON object a line.

Loggers: `stillwatch.gateway` (what happened to a process), `stillwatch.gateway.requests` (one line a request,
at INFO; what failed upstream at WARNING). No line has a text of an exchange or a key in it. A reader that is
slow or gone holds up nobody: lines wait in a queue, and are dropped and counted when it is full.
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
_numbers = random.Random(_random.getrandbits(256))  # ids, no secrets: the system's are ten times as dear
# no two workers' are alike
os.register_at_fork(after_in_child=lambda: _numbers.seed(_random.getrandbits(256)))


def configure(form: str, level: str, name: str) -> None:
    """Let this process write its lines. `name` is the process's."""
    out = logging.StreamHandler(sys.stderr)
    out.setFormatter(_Json(name) if form == "json" else _TextFormatter())
    lines: queue.Queue[logging.LogRecord] = queue.Queue(WAITING)
    listener = logging.handlers.QueueListener(lines, out)
    process.handlers = [_Dropping(lines)]
    process.setLevel(level.upper())
    process.propagate = False
    logging.raiseExceptions = False  # a closed standard error ends nothing
    listener.start()


class _Dropping(logging.handlers.QueueHandler):
    """Lines on their way; those for which there is no room are counted, and told of with the next one."""

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
    """Say what happened to a process of the gateway."""
    with suppress(OSError, ValueError):
        process.warning("%s", text)


def request(level: int, message: str, **fields: object) -> None:
    """Write one request's line; what is None is left out, and what a client chose is cut short."""
    log_fields = {
        name: value[:LONGEST] if isinstance(value, str) else value
        for name, value in fields.items()
        if value is not None
    }
    requests.log(level, "%s", message, extra={"fields": log_fields})


def traceparent(header: bytes | None) -> str:
    """A `traceparent` (W3C) for what the gateway did: the client's trace, a span of our own."""
    digits, flags = f"{_numbers.getrandbits(192) | 1 << 64 | 1:048x}", "00"  # neither may be all zeros
    trace = digits[:32]
    if header and (matched := _TRACEPARENT.fullmatch(header)):
        trace, flags = matched[1].decode(), matched[2].decode()
    return f"00-{trace}-{digits[32:]}-{flags}"
