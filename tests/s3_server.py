"""moto's S3 server for tests, in a thread of the test: its objects stay while it is away.

Two things are added. It answers CompleteMultipartUpload with the root element that S3 answers with, and it
can be told to refuse.
"""

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from pyarrow.fs import FileSelector, S3FileSystem
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from gateway_world import free_port

KEY, SECRET = "AKIATESTKEY", "a-secret-key-that-nobody-may-see"
_made = 0


class S3Server:
    """`stop` and `start` it as often as needed."""

    def __init__(self) -> None:
        from moto.server import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        self.port = free_port()
        self.refuse: set[str] = set()  # methods that get 403
        self.asked: list[str] = []  # METHOD /path?query
        self._server: BaseWSGIServer | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        self.asked.append(f"{method} {environ['PATH_INFO']}?{environ['QUERY_STRING']}")
        if method in self.refuse:
            body = b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>"
            start("403 Forbidden", [("content-type", "application/xml"), ("content-length", str(len(body)))])
            return [body]
        begun: list[Any] = []
        body = b"".join(self._app(environ, lambda *told: begun.extend(told)))
        if b"CompleteMultipartUploadResponse" in body:
            body = body.replace(b"CompleteMultipartUploadResponse", b"CompleteMultipartUploadResult")
            begun[1] = [(k, v) for k, v in begun[1] if k.lower() != "content-length"]
            begun[1].append(("content-length", str(len(body))))
        start(begun[0], begun[1])
        return [body]

    def start(self) -> None:
        self._server = make_server(
            "127.0.0.1", self.port, self._answer, threaded=True, request_handler=_Quiet
        )
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def files(self) -> S3FileSystem:
        """The bucket as whoever may write to it sees it."""
        return S3FileSystem(
            access_key=KEY, secret_key=SECRET, region="us-east-1", scheme="http",
            endpoint_override=f"127.0.0.1:{self.port}", allow_bucket_creation=True,
        )  # fmt: skip

    def bucket(self) -> str:
        """Make an empty bucket; give the address of a fleet's part of it."""
        global _made
        _made += 1
        name = f"bucket-{os.getpid()}-{_made}"
        self.files().create_dir(name)
        return f"s3://{name}/fleet?endpoint={self.endpoint}"

    def names(self, address: str, below: str = "") -> list[str]:
        """The objects of a fleet, by their paths in the store."""
        root = address.removeprefix("s3://").partition("?")[0]
        found = self.files().get_file_info(
            FileSelector(f"{root}/{below}", recursive=True, allow_not_found=True)
        )
        return sorted(one.path for one in found if one.is_file)


class _Quiet(WSGIRequestHandler):
    def log(self, *_: object) -> None:
        """Say nothing: a test prints what it wants known."""


@contextmanager
def serving() -> Iterator[S3Server]:
    """Run it, with credentials for it in the environment."""
    server = S3Server()
    server.start()
    ours = {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_EC2_METADATA_DISABLED": "true"}
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
