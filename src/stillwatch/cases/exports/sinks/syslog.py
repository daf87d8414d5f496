"""CEF records over syslog: the header of RFC 5424, and the framing of records.

Source: RFC 5424 (message), RFC 6587 section 3.4.1 and RFC 5425 (octet counting on TCP and TLS), RFC 5426
(UDP).
"""

import re
import socket
import ssl
from collections.abc import Sequence

from stillwatch.cases.exports import Form
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.post import drop, push
from stillwatch.cases.exports.sinks import ExportTarget
from stillwatch.units import iso

NAME, SCHEMES, FORM = "syslog", ("tls", "tcp", "udp"), Form.CEF
SEVERITY = 6  # of CEF: the record itself states its severity

FACILITY = 13  # log audit
DATAGRAM = 65_000  # bytes: what UDP over IPv4 carries, with room for headers
_NOT_PRINTED = re.compile(r"[^!-~]+")


def severity_of(cef_severity: int) -> int:
    """Syslog's severity for CEF's: 2 critical, 3 error, 4 warning, 5 notice, 6 informational.

    >>> [severity_of(s) for s in (0, 3, 5, 8, 10)]
    [6, 5, 4, 3, 2]
    """
    return (
        2
        if cef_severity >= 9
        else 3
        if cef_severity >= 7
        else 4
        if cef_severity >= 4
        else 5
        if cef_severity
        else 6
    )


def message(record: str, cef_severity: int, at_us: int, host: str, app: str = "stillwatch") -> bytes:
    """Put the header before one record, which contains no line break.

    Raises: ValueError for a record of more than one line, a bug of the caller.
    """
    if any(end in record for end in "\r\n\x00"):
        raise ValueError("a record for syslog is one line")
    priority = 8 * FACILITY + severity_of(cef_severity)
    when = iso(at_us, "milliseconds")
    # MSGID names the format; the BOM announces UTF-8
    head = f"<{priority}>1 {when} {_token(host, 255)} {_token(app, 48)} - CEF - "
    return head.encode("ascii") + b"\xef\xbb\xbf" + record.encode("utf-8")


def _token(text: str, longest: int) -> str:
    """Return a header field: printable ASCII without blanks, or the dash for none."""
    return _NOT_PRINTED.sub("_", text)[:longest] or "-"


def frame(message: bytes) -> bytes:
    """Frame a message for TCP or TLS: its length comes first, so that no byte in it can end it.

    >>> frame(b"<1>1 x")
    b'6 <1>1 x'
    """
    return b"%d %s" % (len(message), message)


def send(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Send each record; nothing confirms that it was accepted. Raises: ExportError."""
    host = socket.gethostname()
    messages = [message(line, SEVERITY, letter.created_us, host) for line in letter.body.split("\n")]
    if target.where.scheme == "udp":
        drop(target.where, found, [line for line in messages if len(line) <= DATAGRAM])
    else:
        push(target.where, found, b"".join(map(frame, messages)), context)
