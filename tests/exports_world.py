"""An adjustable alert for tests of exports, and real receivers."""

import datetime as dt
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from stillwatch.cases.alert import Alert, Confidence, Exposure, RecommendedAction, SignalSource
from stillwatch.cases.claims import Benign, Claim, LinkRow, SharedRow

NOW_US = 1_773_500_000_000_000
CLAIM = Claim(
    "accounts on one model",
    "one_model",
    "56 of 59 accounts mostly use the model mira-think; of the log's other accounts 39% do",
    0.949,
    0.39,
    0.61,
    2.43,
    31.2,
    5.6e-5,
    59,
    "accounts choose models independently",
    "SELECT 1",
    "ab" * 32,
)


def alert(name: str = "acct-1", **other: Any) -> Alert:
    """Return an alert in which every text that an attacker may choose is `name`."""
    fields: dict[str, Any] = {
        "case": "case-7f3a",
        "revision": 4,
        "title": f"2 accounts have taken 1,204 exchanges, first {name}",
        "state": "open",
        "verdict": None,
        "owner": None,
        "campaign": "sw-cafbe62725",
        "finding": 3,
        "found_us": NOW_US - 60_000_000,
        "alarm_us": NOW_US - 3_600_000_000,
        "p_value": 5.6e-5,
        "score_bits": 41.0,
        "members": 2,
        "victims": 0,
        "cleared": 0,
        "accounts": (name, "acct-2"),
        "accounts_sha256": "cd" * 32,
        "why": (CLAIM, Claim(name, "lone", name, None, None, None, None, 3.0, 0.01, None, "", "", "")),
        "benign": (Benign("classroom", f"no class: {name}", True),),
        "links": (LinkRow(name, "acct-2", "shared_payment", 12.0, f"{name} pays", "provider", "payment"),),
        "links_total": 1,
        "shared": (SharedRow("shared_payment", name, "provider", "payment", 2, 1, 12.0, 12.0),),
        "independent_classes": ("payment", "wording"),
        "seen_by_provider": ("payment",),
        "exposure": Exposure(
            1204, 2_300_000, 1e6, 1100, 324, 600_000, NOW_US - 10**12, NOW_US - 10**9, ("maths",),
            "past 1,000 (LIMA)", None, None, None, 0, 0,
        ),
        "confidence": Confidence("nothing was judged yet", "none", None, None, None, None, "evidence.md"),
        "detectors": (
            SignalSource("one_model", "1", "ef" * 32, True, "alert", "another model", "a migration"),
        ),
        "gaps": ({"start": "2026-03-01T00:00:00Z", "end": "2026-03-01T02:00:00Z", "text": "no exchange"},),
        "cannot_claim": ("no accounts table",),
        "atlas": ({"id": "AML.T0024.002", "name": "Extract AI Model", "why": "it is what it is"},
                  {"id": "AML.T0040", "name": "AI Model Inference API Access", "why": "through the API"}),
        "action": RecommendedAction(
            "throttle", "Throttle them.", 2, {}, 0, "none", f"stillwatch standing set {name}"
        ),
        "inputs": ({"name": "log.parquet", "sha256": "01" * 32, "bytes": 99},),
        "scanned": {"exchanges": 29957},
        "source": "scan",
        "stillwatch": "0.1.0",
        "permalink": "https://console.example/case/case-7f3a",
        "json_twin": "https://console.example/case/case-7f3a.json",
        "bundle_sha256": None,
    }  # fmt: skip
    return Alert(**fields | other)


# --- receivers ---


@dataclass
class Receiver:
    """A server that stores what it receives, byte for byte, and answers as configured."""

    url: str = ""
    port: int = 0
    requests: list[bytes] = field(default_factory=list)
    answer: Callable[[socket.socket], None] | bytes = b"HTTP/1.1 204 No Content\r\n\r\n"

    def bodies(self) -> list[bytes]:
        return [raw.partition(b"\r\n\r\n")[2] for raw in self.requests]

    def headers(self, k: int = -1) -> dict[str, str]:
        lines = self.requests[k].partition(b"\r\n\r\n")[0].decode("ascii").split("\r\n")[1:]
        return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


@contextmanager
def receiver(tls: Path | None = None, framed: bool = True) -> Iterator[Receiver]:
    """Provide a real TCP or TLS server on loopback. tls: folder with cert.pem and key.pem; framed: HTTP."""
    listening = socket.create_server(("127.0.0.1", 0))
    found = Receiver(port=listening.getsockname()[1])
    found.url = f"{'https' if tls else 'http'}://localhost:{found.port}/hook?x=1"
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls / "cert.pem", tls / "key.pem")

    def serve() -> None:
        while True:
            try:
                one, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=_take, args=(one, context, found, framed), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield found
    finally:  # after a mere close, accept() waits on a number that the next socket may get
        listening.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        listening.close()


def _take(one: socket.socket, context: ssl.SSLContext | None, found: Receiver, framed: bool) -> None:
    with one, suppress(OSError), context.wrap_socket(one, server_side=True) if context else one as line:
        line.settimeout(10)
        raw = b""
        while not framed or b"\r\n\r\n" not in raw:
            more = line.recv(65_536)
            if not more:
                break
            raw += more
        if framed:
            head, _, body = raw.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            while len(body) < length:
                body += line.recv(65_536)
            raw = head + b"\r\n\r\n" + body
        found.requests.append(raw)
        if framed:
            found.answer(line) if callable(found.answer) else line.sendall(found.answer)


def certificate(folder: Path, host: str = "localhost") -> Path:
    """Write cert.pem and key.pem of a host to a folder."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(exist_ok=True)
    (folder / "cert.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return folder


def until(done: Callable[[], Any], seconds: float = 60.0) -> Any:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.01)
    return found
