"""A time-stamping authority for tests: `openssl ts` behind a socket, with its own root."""

import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SETTINGS = """
[ req ]
distinguished_name = dn
[ dn ]
[ v3_ca ]
basicConstraints = critical,CA:true
keyUsage = critical,keyCertSign
[ v3_tsa ]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
[ tsa ]
default_tsa = one
[ one ]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.3.6.1.4.1.99999.1
digests = sha256,sha384,sha512
accuracy = secs:1
ordering = no
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
"""


def openssl(*words: str) -> None:
    subprocess.run(["openssl", *words], check=True, capture_output=True, timeout=60)


def make(folder: Path, name: str = "Clock of the tests") -> Path:
    """Create an authority's keys and return the file of its root."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "openssl.cnf"
    settings.write_text(SETTINGS.format(folder=folder))
    (folder / "serial").write_text("01\n")
    config, root, asked = str(settings), folder / "root.pem", folder / "tsa.csr"
    new = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", config]
    openssl(*new, "-x509", "-extensions", "v3_ca", "-days", "3650", "-subj", f"/CN={name} root", "-keyout",
            str(folder / "root.key"), "-out", str(root))  # fmt: skip
    openssl(*new, "-subj", f"/CN={name}", "-keyout", str(folder / "tsa.key"), "-out", str(asked))
    openssl("x509", "-req", "-in", str(asked), "-CA", str(root), "-CAkey", str(folder / "root.key"), "-days",
            "3650", "-set_serial", "7", "-extfile", config, "-extensions", "v3_tsa",
            "-out", str(folder / "tsa.pem"))  # fmt: skip
    return root


@dataclass
class Clock:
    """An authority that answers. `instead`: its answer in place of a stamp, (status, body)."""

    folder: Path
    root: Path
    url: str = ""
    asked: list[bytes] = field(default_factory=list)
    instead: tuple[int, bytes] | None = None

    def stamp(self, query: bytes) -> bytes:
        """Answer one query as `openssl ts -reply` does."""
        (self.folder / "query.tsq").write_bytes(query)
        openssl("ts", "-reply", "-config", str(self.folder / "openssl.cnf"), "-queryfile",
                str(self.folder / "query.tsq"), "-out", str(self.folder / "answer.tsr"))  # fmt: skip
        return (self.folder / "answer.tsr").read_bytes()


@contextmanager
def answering(folder: Path) -> Iterator[Clock]:
    """Run an authority on a port of this machine."""
    clock = Clock(folder, make(folder))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            query = self.rfile.read(int(self.headers["content-length"]))
            clock.asked.append(query)
            status, body = clock.instead or (200, clock.stamp(query))
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("location", clock.url + "/elsewhere")
            self.send_header("content-type", "application/timestamp-reply")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    clock.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield clock
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
