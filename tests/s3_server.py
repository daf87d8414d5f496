"""An object store for tests: moto's in a thread of the test, or a real one behind a proxy in that thread.

    pytest -m slow tests/test_fleet_store.py                               # moto's
    STILLWATCH_TEST_S3=radosgw pytest -m slow tests/test_fleet_store.py    # Ceph's, or swift: started for it
    STILLWATCH_TEST_S3=http://127.0.0.1:9000 AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… pytest …

The proxy can be closed and opened: objects stay meanwhile. It refuses requests as told, and counts them.
"""

import http.client
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import boto3
from pyarrow.fs import FileSelector, S3FileSystem
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

import object_stores
from gateway_world import free_port, until
from object_stores import KEY, SECRET

VARIABLE = "STILLWATCH_TEST_S3"
_made = 0
App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@dataclass(frozen=True)
class StoreRequest:
    """One request as it passed the proxy."""

    method: str
    url: str  # path and query
    status: int
    sent_bytes: int  # bodies alone
    got_bytes: int
    at_s: float


class S3Server:
    """`stop` and `start` it as often as needed."""

    def __init__(
        self, app: App, key: str = KEY, secret: str = SECRET, tls: tuple[str, str] | None = None
    ) -> None:
        self._app, self.key, self.secret, self._tls = app, key, secret, tls
        self.port = free_port()
        self.refuse: dict[str, tuple[str, str]] = {}  # method -> status line and error code of its answer
        self.requests: list[StoreRequest] = []
        self._server: BaseWSGIServer | None = None

    def another(self, tls: tuple[str, str] | None = None) -> "S3Server":
        """Another door to the same store. tls: files of a certificate and its key."""
        return S3Server(self._app, self.key, self.secret, tls)

    @property
    def endpoint(self) -> str:
        return f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method, begun = environ["REQUEST_METHOD"], list[Any]()
        sent = _body(environ)
        if method in self.refuse:
            status, code = self.refuse[method]
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            begun = [status, [("content-type", "application/xml"), ("content-length", str(len(body)))]]
        else:
            body = b"".join(self._app(environ, lambda *answer: begun.extend(answer)))
        status = int(begun[0].split()[0])
        self.requests.append(
            StoreRequest(method, environ["REQUEST_URI"], status, len(sent), len(body), time.monotonic())
        )
        start(begun[0], begun[1])
        return [body]

    def start(self) -> None:
        server: BaseWSGIServer = until(
            self._listen, 60, f"port {self.port}"
        )  # a client may have closed its end
        self._server = server
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()

    def _listen(self) -> BaseWSGIServer | None:
        try:
            return make_server(
                "127.0.0.1", self.port, self._answer, threaded=True, request_handler=_Quiet,
                ssl_context=self._tls,
            )  # fmt: skip
        except SystemExit:  # werkzeug exits like this if the port is taken
            return None

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def files(self) -> S3FileSystem:
        """Return the bucket as any account with write access sees it."""
        return S3FileSystem(
            access_key=self.key, secret_key=self.secret, region="us-east-1", scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}", allow_bucket_creation=True,
        )  # fmt: skip

    def client(self) -> Any:
        """Return the store as seen by another library."""
        return boto3.client(
            "s3", endpoint_url=self.endpoint, region_name="us-east-1",
            aws_access_key_id=self.key, aws_secret_access_key=self.secret,
        )  # fmt: skip

    def bucket(self, versions: bool = False) -> str:
        """Create an empty bucket; return the address of a fleet's part. versions: keep deleted objects."""
        global _made
        _made += 1
        name = f"bucket-{os.getpid()}-{_made}"
        self.files().create_dir(name)
        if versions:
            self.client().put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        return f"s3://{name}/fleet?endpoint={self.endpoint}"

    def names(self, address: str, below: str = "") -> list[str]:
        """Return a fleet's objects by their paths in the store."""
        root = address.removeprefix("s3://").partition("?")[0]
        found = self.files().get_file_info(
            FileSelector(f"{root}/{below}", recursive=True, allow_not_found=True)
        )
        return sorted(one.path for one in found if one.is_file)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Print nothing: a test prints what it needs."""


def _body(environ: dict[str, Any]) -> bytes:
    """Read a request's body and put it back, with its length known."""
    of = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    body: bytes = of.read() if environ.pop("HTTP_TRANSFER_ENCODING", "") else of.read(int(length or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    if body or length:
        environ["CONTENT_LENGTH"] = str(len(body))
    return body


def moto() -> App:
    """Return moto's application. CompleteMultipartUpload gets the root element that S3 answers with."""
    from moto.server import DomainDispatcherApplication, create_backend_app

    app = DomainDispatcherApplication(create_backend_app)

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        begun: list[Any] = []
        body = b"".join(app(environ, lambda *answer: begun.extend(answer)))
        if b"CompleteMultipartUploadResponse" in body:
            body = body.replace(b"CompleteMultipartUploadResponse", b"CompleteMultipartUploadResult")
            begun[1] = [(k, v) for k, v in begun[1] if k.lower() != "content-length"]
            begun[1].append(("content-length", str(len(body))))
        start(begun[0], begun[1])
        return [body]

    return answer


def passed_on(endpoint: str) -> App:
    """Return an application that forwards each request to a real store, as it was signed."""
    where = urlsplit(endpoint)
    kind = http.client.HTTPSConnection if where.scheme == "https" else http.client.HTTPConnection

    def answer(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        headers = {
            name[5:].replace("_", "-"): value for name, value in environ.items() if name.startswith("HTTP_")
        }
        headers |= {
            name.replace("_", "-"): environ[name]
            for name in ("CONTENT_TYPE", "CONTENT_LENGTH")
            if environ.get(name)
        }
        headers.pop("EXPECT", None)  # was answered by the proxy
        body = environ["wsgi.input"].read()
        store = kind(where.netloc, timeout=60)
        try:
            store.request(environ["REQUEST_METHOD"], environ["REQUEST_URI"], body or None, headers)
            found = store.getresponse()
            content = found.read()
        finally:
            store.close()
        kept = [(k, v) for k, v in found.getheaders() if k.lower() not in ("connection", "transfer-encoding")]
        start(f"{found.status} {found.reason}", kept)
        return [content]

    return answer


@contextmanager
def serving(named: str = os.environ.get(VARIABLE, "")) -> Iterator[S3Server]:
    """Run a store, `radosgw` or such, or a proxy for a URL's store, with credentials from the environment."""
    if named.startswith("http"):
        key, secret = (os.environ[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
        with _open(S3Server(passed_on(named), key, secret)) as server:
            yield server
    elif named:
        with (
            object_stores.running(named) as store,
            _open(S3Server(passed_on(store.endpoint), store.key, store.secret)) as server,
        ):
            yield server
    else:
        with _open(S3Server(moto())) as server:
            yield server


@contextmanager
def _open(server: S3Server) -> Iterator[S3Server]:
    server.start()
    ours = {
        "AWS_ACCESS_KEY_ID": server.key,
        "AWS_SECRET_ACCESS_KEY": server.secret,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield server
    finally:
        server.stop()
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
