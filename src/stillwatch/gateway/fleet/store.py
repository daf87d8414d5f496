"""The object store that a fleet may use instead of a shared folder: any with the API of S3.

Objects are written once, under names that no other gateway uses, and are accepted only if this fleet made
them: a name ends with a code over name and content, under a key from the fleet's secret. Somebody who can
write to the bucket can remove objects, but not create or exchange any.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import parse_qsl, urlsplit

from stillwatch.errors import StillwatchError
from stillwatch.gateway.folder import derive
from stillwatch.new_file import sync_folder

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, S3FileSystem

SCHEME = "s3://"
PURPOSE = b"store"
PROCESS = "store"  # that moves objects: the name of its heartbeat
CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")  # environment variables
CODE = r"[0-9a-f]{32}"
CHUNK_BYTES = 4 << 20
HALF = ".taken"  # suffix of a file during its download
CONNECT_S, ANSWER_S = 5.0, 20.0
TRIES = 2  # of one request, in succession; after that the caller decides
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_PREFIX = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)*")
_REFUSAL = re.compile(r"AWS Error (?P<name>[A-Z_0-9a-z]+) during (?P<asked>\w+) operation")
_AWAY = re.compile(r"NETWORK_CONNECTION|REQUEST_TIMEOUT")
_BUSY = re.compile(r"SERVICE_UNAVAILABLE|SLOW_DOWN|INTERNAL_FAILURE|HTTP status 50[0234]")
_REASONS = (
    ("NO_SUCH_BUCKET", "there is no such bucket"),
    ("ACCESS_DENIED", "the credentials do not give the right to list, read, write and delete there"),
    ("INVALID_ACCESS_KEY_ID", "the store does not know the access key"),
    ("InvalidAccessKeyId", "the store does not know the access key"),
    ("SIGNATURE_DOES_NOT_MATCH", "the secret key does not fit the access key"),
    ("SignatureDoesNotMatch", "the secret key does not fit the access key"),
    ("AuthorizationHeaderMalformed", "the bucket is in another region: give ?region=NAME or AWS_REGION"),
    ("PermanentRedirect", "the bucket is in another region: give ?region=NAME or AWS_REGION"),
    ("REQUEST_TIME_TOO_SKEWED", "this host's clock and the store's are too far apart"),
    ("x-amz-checksum", "the store does not know the newer checksums: see the settings in docs/fleet.md"),
)  # fmt: skip


class StoreError(StillwatchError):
    """The object store refuses, or its address is invalid."""


class StoreAway(StoreError):
    """The object store does not answer, or asks to retry later."""


class ObjectGone(StoreError):
    """An object no longer exists."""


class DamagedObject(StoreError):
    """An object does not match its name, or is not of this fleet."""


@dataclass(frozen=True)
class StoreAddress:
    """`s3://BUCKET[/PREFIX][?endpoint=URL&region=NAME]`. Credentials are not part of it."""

    bucket: str
    prefix: str
    endpoint: str | None
    region: str | None

    @property
    def root(self) -> str:
        return "/".join(part for part in (self.bucket, self.prefix) if part)


def is_store(shared: str | None) -> bool:
    """Return whether gateways share an object store rather than a folder."""
    return shared is not None and shared.lower().startswith(SCHEME)


def store_address(text: str) -> StoreAddress:
    """Parse an address. Raises: StoreError, which does not repeat possible secrets.

    >>> store_address("s3://logs/fleet?endpoint=http://127.0.0.1:9000").root
    'logs/fleet'
    """
    right = "give s3://BUCKET/PREFIX, with ?endpoint=URL&region=NAME where needed"
    try:
        parts = urlsplit(text)
        more = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    except ValueError as why:
        raise StoreError(f"shared: no address of an object store; {right}") from why
    if "@" in parts.netloc or any(name not in ("endpoint", "region") for name in more) or parts.fragment:
        raise StoreError(
            f"shared: {right}; credentials come by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, from "
            "~/.aws or by the host's role, and are kept nowhere"
        )
    prefix = parts.path.strip("/")
    if not _BUCKET.fullmatch(parts.netloc) or (prefix and not _PREFIX.fullmatch(prefix)):
        raise StoreError(f"shared: {text!r} names no bucket and prefix; {right}")
    endpoint = more.get("endpoint")
    if endpoint is not None:
        _check_endpoint(endpoint)
    return StoreAddress(parts.netloc, prefix, endpoint, more.get("region") or None)


def _check_endpoint(endpoint: str) -> None:
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise StoreError("shared: endpoint is no address; give http://HOST[:PORT] or https://HOST[:PORT]")
    if parts.path.strip("/") or parts.query:
        raise StoreError("shared: endpoint has a path; give http://HOST[:PORT] or https://HOST[:PORT] alone")


@dataclass(frozen=True)
class StoredObject:
    """One object, by its name below the fleet's prefix."""

    name: str
    bytes: int
    at_ns: int  # when it was written, by the store's clock


class ObjectStore:
    """A fleet's part of a bucket. Every method raises StoreError, or StoreAway if it may work later."""

    def __init__(
        self,
        text: str,
        secret: bytes,
        environment: Mapping[str, str] = os.environ,
        moved: Callable[[], None] = lambda: None,
    ) -> None:
        self.address = store_address(text)
        self._key = derive(secret, PURPOSE)
        self._moved = moved  # called as bytes move, which shows that a transfer does not hang
        with self._refusals():
            self._files = _file_system(self.address, environment)

    # --- what is there ---

    def objects(self, below: str, *, recursive: bool = True) -> Iterator[StoredObject]:
        """Yield the objects below a name, in no order."""
        for entry in self._list(below, recursive=recursive):
            if entry.is_file:
                yield StoredObject(self._name(entry.path), entry.size or 0, entry.mtime_ns or 0)

    def folders(self, below: str) -> list[str]:
        """Return the names just below a name that have others below them, in order."""
        return sorted(entry.base_name for entry in self._list(below) if not entry.is_file)

    def _list(self, below: str, *, recursive: bool = False) -> "list[FileInfo]":
        from pyarrow.fs import FileSelector

        self._moved()
        with self._refusals():
            infos = self._files.get_file_info(
                FileSelector(self._path(below), recursive=recursive, allow_not_found=True)
            )
        return list(infos)

    # --- objects ---

    def code(self, name: str, content: Iterator[bytes]) -> str:
        """Return 32 hexadecimal digits that only this fleet can compute for a name and a content."""
        made = hashlib.blake2b(name.encode() + b"\0", key=self._key, digest_size=16)
        for piece in content:
            made.update(piece)
            self._moved()
        return made.hexdigest()

    def put_file(self, name: str, path: Path, ending: str = "") -> StoredObject:
        """Upload a file's present content as NAME.CODE[ENDING]. Raises: OSError if it cannot be read."""
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size  # more may be appended meanwhile
            full = f"{name}.{self.code(name, _pieces(file, size))}{ending}"
            return self._put(full, _pieces(file, size), size)

    def put_bytes(self, name: str, content: bytes, ending: str = "") -> StoredObject:
        """Upload a short text as NAME.CODE[ENDING]."""
        full = f"{name}.{self.code(name, iter([content]))}{ending}"
        return self._put(full, iter([content]), len(content))

    def _put(self, full: str, content: Iterator[bytes], size: int) -> StoredObject:
        with self._refusals():
            out = self._files.open_output_stream(self._path(full))
        try:
            for piece in content:
                with self._refusals():
                    out.write(piece)
                self._moved()
        finally:
            with self._refusals():
                out.close()
        with self._refusals():
            there = self._files.get_file_info(self._path(full))
        if not there.is_file or there.size != size:
            raise StoreAway(f"{self._url(full)}: is not there as it was written")
        return StoredObject(full, size, there.mtime_ns or 0)

    def take(self, full: str, path: Path, ending: str = "") -> None:
        """Download an object into a file, which then exists whole, with the right content, or not at all.

        Raises: DamagedObject if it does not match its name; OSError if the disk refuses.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}{HALF}")
        try:
            with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                self._check_code(full, ending, _write_on(self._read(full), file.write))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)

    def read(self, full: str, ending: str = "") -> bytes:
        """Return the content of a small object. Raises: DamagedObject if it does not match its name."""
        content = b"".join(self._read(full))
        self._check_code(full, ending, iter([content]))
        return content

    def first_whole(self, objects: Iterable[StoredObject], ending: str = "") -> StoredObject | None:
        """Return the first object that matches its name; None if there is none."""
        for stored in objects:
            with suppress(DamagedObject, ObjectGone):
                self._check_code(stored.name, ending, self._read(stored.name))
                return stored
        return None

    def _check_code(self, full: str, ending: str, content: Iterator[bytes]) -> None:
        name, _, code = full.removesuffix(ending).rpartition(".")
        if self.code(name, content) != code:
            raise DamagedObject(f"{self._url(full)}: damaged, or not written by this fleet; it is left alone")

    def _read(self, full: str) -> Iterator[bytes]:
        with self._refusals():
            file = self._files.open_input_stream(self._path(full))
        with file:
            while True:
                with self._refusals():
                    piece = file.read(CHUNK_BYTES)
                if not piece:
                    return
                yield piece

    def delete(self, full: str) -> None:
        """Delete an object; a missing one is no error."""
        with suppress(ObjectGone), self._refusals():
            self._files.delete_file(self._path(full))

    def delete_below(self, below: str) -> None:
        """Delete everything below a name."""
        with suppress(ObjectGone), self._refusals():
            self._files.delete_dir(self._path(below))

    def check(self) -> None:
        """Try every operation that a gateway needs. Raises: StoreError with what fails."""
        below = f"checks/{secrets.token_hex(8)}"
        put = self.put_bytes(f"{below}/one", below.encode())
        try:
            self.read(put.name)
            if put.name not in {stored.name for stored in self.objects("checks")}:
                raise StoreError(f"{self._url(put.name)}: written, and not in the list of objects")
        finally:
            self.delete(put.name)
            self.delete_below(below)

    # --- names and refusals ---

    def _path(self, name: str) -> str:
        return f"{self.address.root}/{name}"

    def _name(self, path: str) -> str:
        return path.removeprefix(f"{self.address.root}/")

    def _url(self, name: str) -> str:
        return f"{SCHEME}{self._path(name)}"

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        """Report a refusal briefly: the library's text is long, and may contain what was sent."""
        where = f"{SCHEME}{self.address.root}"
        try:
            yield
        except FileNotFoundError as why:
            if "NO_SUCH_BUCKET" in str(why):
                raise _refusal(where, str(why)) from None
            raise ObjectGone(f"{where}: the object is gone") from None
        except (OSError, ValueError) as why:  # of a request; of an address or a setting
            raise _refusal(where, str(why)) from None


def _refusal(where: str, text: str) -> StoreError:
    if matched := re.search(r"configured region is '([^']*)' while the bucket is located in '([^']*)'", text):
        return StoreError(
            f"{where}: the bucket is in region {matched[2]}, not {matched[1]}; give ?region={matched[2]}"
        )
    for sign, reason in _REASONS:
        if sign in text:
            return StoreError(f"{where}: {reason}")
    known = _REFUSAL.search(text)
    if _AWAY.search(text):
        return StoreAway(f"{where}: cannot be reached")
    if _BUSY.search(text):
        return StoreAway(f"{where}: asks to come again later")
    if known is None:
        return StoreAway(f"{where}: does not answer as expected")
    return StoreAway(f"{where}: refused {known['asked']}: {known['name']}")


def _pieces(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield the first `size` bytes of a file."""
    file.seek(0)
    while size > 0 and (piece := file.read(min(size, CHUNK_BYTES))):
        size -= len(piece)
        yield piece


def _write_on(pieces: Iterator[bytes], write: Callable[[bytes], object]) -> Iterator[bytes]:
    for piece in pieces:
        write(piece)
        yield piece


def _file_system(address: StoreAddress, environment: Mapping[str, str]) -> "S3FileSystem":
    """Connect, with credentials from where the AWS libraries find them."""
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = address.endpoint or next(
        (environment[name] for name in ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL") if environment.get(name)),
        None,
    )
    where: dict[str, str] = {}
    if endpoint is not None:
        _check_endpoint(endpoint)
        parts = urlsplit(endpoint)
        where = {"scheme": parts.scheme, "endpoint_override": parts.netloc}
    region = address.region or environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if region is not None or endpoint is not None:
        where["region"] = region or "us-east-1"  # other vendors' stores have one region of this name
    return S3FileSystem(
        allow_delayed_open=True,  # a small object is uploaded in one request instead of three
        connect_timeout=CONNECT_S,
        request_timeout=ANSWER_S,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=TRIES),
        tls_ca_file_path=environment.get("AWS_CA_BUNDLE"),
        **where,
    )
