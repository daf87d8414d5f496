"""One request over one connection to a checked address: bounded in size and time, never redirected.

Of a response to an alert only the status is kept, since a receiver may send anything.
"""

import re
import socket
import ssl
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.places import ReceiverAddress

TIMEOUT_S = 15.0  # for all of it; Standard Webhooks: 15 to 30 s
HEAD_BYTES = 16_384  # of a response; larger ones are refused
PIECE = 65_536
INTERIM = 5  # interim responses allowed before the final one: 100 and 103
BODY_BYTES = 20 << 20
_END = re.compile(rb"\r?\n\r?\n")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n]*)?\r?\n")
_RETRY = re.compile(rb"\nretry-after:[ \t]*([0-9]{1,6})[ \t]*\r?\n", re.IGNORECASE)
_LENGTH = re.compile(rb"\ncontent-length:[ \t]*([0-9]{1,12})[ \t]*\r?\n", re.IGNORECASE)
_HEADER = re.compile(rb"\n([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n]*?)[ \t]*(?=\r?\n)")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[ -~]*")


@dataclass(frozen=True)
class ReceiverReply:
    """A receiver's response."""

    status: int
    retry_after_s: int | None
    size: int = 0  # bytes of its body, if it is read
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)  # names in lower case; the last wins


def tls_context(ca_file: str | None = None) -> ssl.SSLContext:
    """Return a context that checks certificates against the system's, or one file. Raises: ExportError."""
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as why:
        raise ExportError(f"{ca_file}: holds no certificates that can be read: {why}") from why
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def post(
    where: ReceiverAddress,
    found: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    context: ssl.SSLContext | None,
    timeout_s: float = TIMEOUT_S,
) -> ReceiverReply:
    """Send one request to one of the checked addresses, and return the response's status.

    Raises: ExportError if there was none in time.
    """
    request = _request(where, headers, body)
    with _TimedConnection(where, found, context, timeout_s) as line:
        line.send(request)
        for _ in range(INTERIM):
            answer = _answer(where, line.receive_head())
            if answer.status >= 200:
                return answer
    raise ExportError(f"{where.at}: what answers is no HTTP")


def fetch(
    where: ReceiverAddress,
    found: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    context: ssl.SSLContext | None,
    most: int,
    timeout_s: float = TIMEOUT_S,
    method: str = "POST",
) -> tuple[ReceiverReply, bytes]:
    """Send one request and return the response's head and complete body, of limited size.

    It uses HTTP/1.0, so that the response is not chunked. Raises: ExportError.
    """
    request = _request(where, headers, body, "1.0", method)
    with _TimedConnection(where, found, context, timeout_s) as line:
        line.send(request)
        head = line.receive_head()
        content = line.receive_body(head, most)
        return replace(_answer(where, head), size=len(content)), content


def push(where: ReceiverAddress, found: Sequence[str], data: bytes, context: ssl.SSLContext | None) -> None:
    """Send bytes over TCP or TLS to a receiver that never responds. Raises: ExportError."""
    with _TimedConnection(where, found, context, TIMEOUT_S) as line:
        line.send(data)
        line.finish()


def drop(where: ReceiverAddress, found: Sequence[str], datagrams: Sequence[bytes]) -> None:
    """Send datagrams over UDP, without confirmation of arrival. Raises: ExportError."""
    address = found[0]
    try:
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as out:
            for datagram in datagrams:
                out.sendto(datagram, (address, where.port))
    except OSError as why:
        raise ExportError(f"{where.at}: cannot be sent to: {why.strerror or why}") from why


def _request(
    where: ReceiverAddress,
    headers: Mapping[str, str],
    body: bytes,
    version: str = "1.1",
    method: str = "POST",
) -> bytes:
    if len(body) > BODY_BYTES:
        raise ExportError(f"{where.at}: {len(body):,} bytes; at most {BODY_BYTES:,} are sent in one request")
    lines = [f"{method} {where.path} HTTP/{version}", f"host: {where.at}"]
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ExportError(f"{where.at}: a header {name!a} that is no header")
        lines.append(f"{name}: {value}")
    lines += [f"content-length: {len(body)}", "user-agent: stillwatch", "connection: close", "", ""]
    return "\r\n".join(lines).encode("ascii") + body


def _answer(where: ReceiverAddress, head: bytes) -> ReceiverReply:
    status = _STATUS.match(head)
    if status is None:
        raise ExportError(f"{where.at}: what answers is no HTTP")
    wait = _RETRY.search(head)
    headers = {name.lower().decode("ascii"): value.decode("latin-1") for name, value in _HEADER.findall(head)}
    return ReceiverReply(int(status[1]), int(wait[1]) if wait else None, headers=headers)


class _TimedConnection:
    """A connection that is closed after its time limit, whatever the other side does."""

    def __init__(
        self, where: ReceiverAddress, found: Sequence[str], context: ssl.SSLContext | None, timeout_s: float
    ) -> None:
        if context is None and where.scheme in ("https", "tls"):
            raise ValueError(f"{where.scheme} without a context would be sent in the clear")
        self._where = where
        self._until = time.monotonic() + timeout_s
        self._over = False
        self._rest = b""
        self._received = 0
        self._socket = self._connect_to_one(found)
        self._watch = threading.Timer(max(self._seconds_left(), 0.001), self._cut)
        self._watch.daemon = True
        self._watch.start()
        if context is not None:
            try:
                self._socket = context.wrap_socket(self._socket, server_hostname=where.host)
            except (OSError, ValueError) as why:
                self.__exit__()
                raise self._refusal(why) from why

    def __enter__(self) -> "_TimedConnection":
        return self

    def __exit__(self, *_: object) -> None:
        self._watch.cancel()
        self._socket.close()

    def send(self, data: bytes) -> None:
        try:
            for offset in range(0, len(data), PIECE):
                self._socket.settimeout(max(self._seconds_left(), 0.001))
                self._socket.sendall(data[offset : offset + PIECE])
        except OSError as why:
            raise self._refusal(why) from why

    def receive_head(self) -> bytes:
        """Read up to the next empty line; all heads together are bounded."""
        head = self._rest
        try:
            while not (end := _END.search(head)):
                self._socket.settimeout(max(self._seconds_left(), 0.001))
                piece = self._socket.recv(PIECE)
                if not piece and self._over:
                    raise TimeoutError
                if not piece:
                    return head
                self._received += len(piece)
                head += piece
                if self._received > HEAD_BYTES and not _END.search(head[:HEAD_BYTES]):
                    raise ExportError(f"{self._where.at}: answers with over {HEAD_BYTES:,} bytes of headers")
        except OSError as why:
            raise self._refusal(why) from why
        self._rest = head[end.end() :]
        return head[: end.end()]

    def receive_body(self, head: bytes, most: int) -> bytes:
        """Read the body: as many bytes as the head says, else until the other side closes."""
        length_line = _LENGTH.search(head)
        length = None if length_line is None else int(length_line[1])
        parts, size = [self._rest], len(self._rest)
        try:
            while size <= most and (length is None or size < length):
                self._socket.settimeout(max(self._seconds_left(), 0.001))
                piece = self._socket.recv(PIECE)
                if not piece:
                    break
                parts.append(piece)
                size += len(piece)
        except OSError as why:
            raise self._refusal(why) from why
        if self._over:
            raise self._refusal(TimeoutError())
        if size > most or (length or 0) > most:
            raise ExportError(f"{self._where.at}: answers with over {most:,} bytes")
        if length is not None and size < length:
            raise ExportError(f"{self._where.at}: the answer ends after {size:,} of {length:,} bytes")
        return b"".join(parts)[:length]

    def finish(self) -> None:
        """Signal the end of data, so that what was sent is not lost with the connection."""
        try:
            with suppress(ssl.SSLError):
                if isinstance(self._socket, ssl.SSLSocket):
                    self._socket.settimeout(1.0)
                    self._socket = self._socket.unwrap()
            with suppress(OSError):  # the other side closed first
                self._socket.shutdown(socket.SHUT_WR)
        except OSError as why:
            raise self._refusal(why) from why

    def _connect_to_one(self, found: Sequence[str]) -> socket.socket:
        last: OSError | None = None
        for address in found:
            try:
                return socket.create_connection((address, self._where.port), max(self._seconds_left(), 0.001))
            except OSError as why:
                last = why
        assert last is not None
        raise self._refusal(last) from last

    def _seconds_left(self) -> float:
        return self._until - time.monotonic()

    def _cut(self) -> None:
        self._over = True
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _refusal(self, why: Exception) -> ExportError:
        if self._over or isinstance(why, TimeoutError):
            return ExportError(f"{self._where.at}: took longer than it may")
        if isinstance(why, ssl.SSLCertVerificationError):
            return ExportError(
                f"{self._where.at}: its certificate is not to be trusted: {why.verify_message}"
            )
        return ExportError(f"{self._where.at}: {getattr(why, 'strerror', None) or why}")
