"""A message by mail, only over TLS. It lists no accounts.

Source: RFC 5321, RFC 8314 (implicit TLS on port 465), RFC 3207 (STARTTLS), RFC 3834 (Auto-Submitted).
"""

import json
import smtplib
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from email.errors import MessageError
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from threading import Timer
from typing import Any

from stillwatch.cases.exports import ExportError, Form
from stillwatch.cases.exports.messages import LONGEST, LONGEST_SUMMARY, CaseMessage, message_text
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.owned import read_owned
from stillwatch.cases.exports.places import ReceiverAddress
from stillwatch.cases.exports.post import TIMEOUT_S
from stillwatch.cases.exports.sinks import DeliveryRefused, ExportTarget

NAME, SCHEMES, FORM = "email", ("smtps", "smtp"), Form.MESSAGE
KEYS = "name one file, which holds USER:PASSWORD for the mail server"
KEYS_OPTIONAL = True  # an own relay may accept mail without
OPTIONS = {"from": 'as in from = "stillwatch@example.com"', "to": "the address that reads it"}
LONGEST_TALK_S = 4 * TIMEOUT_S  # with a server that answers slowly
OWN_NAME = "[127.0.0.1]"  # reveals nothing of this machine, and avoids looking up its name


class _MailServer(smtplib.SMTP):
    """A session with a server at checked addresses, over TLS from the first byte or by STARTTLS.

    It is closed after its time limit, whatever the server does.
    """

    def __init__(self, where: ReceiverAddress, found: Sequence[str], context: ssl.SSLContext) -> None:
        self._scheme, self._found, self._tls = where.scheme, found, context
        self._watch = Timer(LONGEST_TALK_S, self._cut)
        self._watch.daemon = True
        self._watch.start()
        try:
            super().__init__(where.host, where.port, OWN_NAME, TIMEOUT_S)
            if where.scheme == "smtp":
                self.starttls(context=context)  # raises if the server has none
        except (OSError, smtplib.SMTPException):
            self.close()
            raise

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        *others, last = self._found
        for address in others:
            with suppress(OSError):
                return self._begin(address, host, port, timeout)
        return self._begin(last, host, port, timeout)

    def _begin(self, address: str, host: str, port: int, timeout: float) -> socket.socket:
        line = socket.create_connection((address, port), timeout)
        return self._tls.wrap_socket(line, server_hostname=host) if self._scheme == "smtps" else line

    def _cut(self) -> None:
        if self.sock is not None:
            with suppress(OSError):
                self.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._watch.cancel()
        super().close()


def read_key(path: Path) -> tuple[str, str]:
    """Read the mail server's user name and password. Raises: ExportError."""
    user, colon, password = read_owned(path, "a mail login").strip().partition(":")
    if not user or not colon or not password:
        raise ExportError(f"{path}: holds no USER:PASSWORD")
    return user, password


def write(message: CaseMessage) -> str:
    """Return subject and text."""
    text = "\n\n".join([*message.body, *([message.link] if message.link else []), f"From {message.source}"])
    return message_text({"subject": message.head[:LONGEST_SUMMARY], "text": text[:LONGEST]})


def send(
    target: ExportTarget, letter: Letter, found: Sequence[str], context: ssl.SSLContext | None, now_us: int
) -> None:
    """Send it to the mail server. Raises: ExportError."""
    login = [read_key(path) for path in target.keys]
    if context is None:
        raise ValueError("mail without a context would be sent in the clear")
    try:
        server = _MailServer(target.where, found, context)
        try:
            for user, password in login:
                server.login(user, password)
            server.send_message(_mail(target, letter))
        finally:
            with suppress(OSError, smtplib.SMTPException):
                server.quit()
            server.close()
    except (OSError, smtplib.SMTPException, MessageError, ValueError) as why:
        raise DeliveryRefused(f"{target.where.at}: takes no mail: {_reason(why)}") from None


def _mail(target: ExportTarget, letter: Letter) -> EmailMessage:
    content: dict[str, Any] = json.loads(letter.body)
    mail = EmailMessage(SMTP)
    to = content.get("to", target.options["to"])  # a letter may be for one person
    mail["From"], mail["To"], mail["Subject"] = target.options["from"], to, content["subject"]
    mail["Message-ID"] = f"<{letter.event_id}@{target.options['from'].rpartition('@')[2] or 'stillwatch'}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(content["text"])
    return mail


def _reason(why: Exception) -> str:
    """Return what went wrong without quoting the server, which may send anything."""
    code = getattr(why, "smtp_code", None)
    return f"{type(why).__name__}{f' {code}' if code else ''}"
