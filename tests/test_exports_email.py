"""Mail about a case, to a real mail server: only over TLS, and to nobody else."""

import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Envelope

from exports_world import alert, certificate
from gateway_world import free_port
from stillwatch.cases.exports import Activity, ExportError, deliver
from stillwatch.cases.exports.deliver import send
from stillwatch.cases.exports.messages import TRIAL, case_message
from stillwatch.cases.exports.outbox import Letter
from stillwatch.cases.exports.places import addresses, place
from stillwatch.cases.exports.sinks import ExportTarget, email
from stillwatch.cases.exports.targets import read_targets

NOW_US = 1_773_500_000_000_000
HOSTILE = "<b>x</b>\r\nBcc: all@example.com\r\n\r\n. QUIT"


class Mailbox:
    """The mail that the server accepted, and the users that logged in."""

    def __init__(self) -> None:
        self.taken: list[tuple[Envelope, bool]] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        self.taken.append((envelope, bool(session.authenticated)))
        return "250 taken"

    def login(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"sw", b"let:me in"), handled=False)


@contextmanager
def mail_server(folder: Path, scheme: str, tls: bool = True) -> Iterator[tuple[Mailbox, int]]:
    box, place = Mailbox(), certificate(folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(place / "cert.pem", place / "key.pem")
    how: dict[str, Any] = {"ssl_context" if scheme == "smtps" else "tls_context": context} if tls else {}
    port = free_port()
    server = Controller(
        box, "127.0.0.1", port, authenticator=box.login, auth_require_tls=scheme == "smtp", **how
    )
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


def target(folder: Path, port: int, scheme: str, *keys: Path) -> ExportTarget:
    where = place(f"{scheme}://localhost:{port}", email.SCHEMES)
    sides = {"from": "stillwatch@example.com", "to": "desk@example.com"}
    return ExportTarget("email", "desk", where, keys, "alert", ("localhost",), folder / "cert.pem", sides)


def letter(title: str = "Case") -> Letter:
    told = case_message(alert(title=title), Activity.OPENED, "urn:stillwatch:1")
    return Letter("x", "desk", "sw_1", "case-1", email.write(told), NOW_US)


@pytest.mark.parametrize("scheme", email.SCHEMES)
def test_a_mail_reaches_the_server_over_tls_and_says_what_a_room_is_told(tmp_path: Path, scheme: str) -> None:
    key = tmp_path / "login"
    key.write_text("sw:let:me in\n")
    key.chmod(0o600)
    with mail_server(tmp_path, scheme) as (box, port):
        send(target(tmp_path, port, scheme, key), letter(HOSTILE), NOW_US)
        send(target(tmp_path, port, scheme), letter(), NOW_US)
    (first, known), (_, unknown) = box.taken
    assert (known, unknown) == (True, False)
    assert first.rcpt_tos == ["desk@example.com"]
    mail = message_from_bytes(first.content, policy=default)
    assert mail["bcc"] is None
    assert mail["message-id"] == "<sw_1@example.com>"
    assert mail["auto-submitted"] == "auto-generated"
    assert "1,204 exchanges" in mail.get_content()
    assert "https://console.example/case/case-7f3a" in mail.get_content()


def test_nothing_is_said_to_a_server_that_is_not_who_it_should_be(tmp_path: Path) -> None:
    key = tmp_path / "login"
    key.write_text("sw:wrong\n")
    key.chmod(0o600)
    with (
        mail_server(tmp_path, "smtp", tls=False) as (plain, port),
        pytest.raises(ExportError, match="SMTPNotSupportedError"),
    ):
        send(target(tmp_path, port, "smtp"), letter(), NOW_US)
    assert not plain.taken
    other = tmp_path / "other"
    other.mkdir()
    with mail_server(other, "smtps") as (box, port):
        with pytest.raises(ExportError, match="SSLCertVerificationError"):
            send(target(tmp_path, port, "smtps"), letter(), NOW_US)
        with pytest.raises(ExportError, match="SMTPAuthenticationError 535"):
            send(target(other, port, "smtps", key), letter(), NOW_US)
    assert not box.taken


def test_every_address_is_tried_and_a_talk_ends_whatever_the_server_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mail_server(tmp_path, "smtps") as (box, port):
        where = target(tmp_path, port, "smtps")
        both = partial(addresses, resolve=lambda host, at: ["127.0.0.9", "127.0.0.1"])
        monkeypatch.setattr(deliver, "addresses", both)
        send(where, letter(), NOW_US)
    assert len(box.taken) == 1
    monkeypatch.setattr(email, "LONGEST_TALK_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as slow, ThreadPoolExecutor(1) as pool:
        pool.submit(drip, slow)
        began = time.monotonic()
        with pytest.raises(ExportError, match="takes no mail"):
            send(target(tmp_path, slow.getsockname()[1], "smtp"), letter(), NOW_US)
        assert time.monotonic() - began < 60


def drip(server: socket.socket) -> None:
    """Greet a client with one byte each tenth of a second, without end."""
    line, _ = server.accept()
    with line, suppress(OSError):
        while True:
            line.sendall(b"2")
            time.sleep(0.1)


def test_its_table_needs_two_addresses_and_may_have_a_login(tmp_path: Path) -> None:
    path = tmp_path / "alerts.toml"
    begin = '[[email]]\nname = "desk"\nurl = "smtps://mail.example.com"\n'
    path.write_text(f'{begin}from = "a@b.c"\nto = "d@e.f"\n')
    (read,) = read_targets(path)
    assert (read.where.port, read.options, read.keys) == (465, {"from": "a@b.c", "to": "d@e.f"}, ())
    path.write_text(begin)
    with pytest.raises(ExportError, match="`from` is missing"):
        read_targets(path)
    key = tmp_path / "login"
    key.write_text("no password\n")
    key.chmod(0o600)
    with pytest.raises(ExportError, match="USER:PASSWORD"):
        email.read_key(key)
    assert "Nothing happened" in email.write(TRIAL)
