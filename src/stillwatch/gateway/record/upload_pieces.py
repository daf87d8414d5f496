"""Joins files that are uploaded in several requests.

Google's pieces state their offset in the file; the request that completes OpenAI's upload states the order of
its parts. Workers write separate logs, so pieces arrive here in any order.

Blind to: pieces that came before the recorder began.
"""

import re
from dataclasses import dataclass, field

import msgspec

from stillwatch.exchanges.documents import MOST_BYTES, is_document
from stillwatch.exchanges.operations import OPERATIONS
from stillwatch.gateway.path.batch import is_batch
from stillwatch.gateway.path.request import BadRequest, inflate
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent

MOST_HELD = 128 << 20  # bytes of all uploads; the oldest are dropped first
MOST_UPLOADS = 10_000
LOST = b"%PDF-"  # read in place of dropped pieces, counts as a damaged document
PART, COMPLETE = "/uploads/{upload}/parts", "/uploads/{upload}/complete"
_DATA = re.compile(rb"""[;\s]name=(?:"data"|data(?=[;\s]|$))""", re.IGNORECASE)
ANY_END = -1  # of a file that ends with the pieces received


@dataclass
class _Upload:
    """The pieces received of one upload."""

    pieces: dict[int | str, bytes] = field(default_factory=dict)  # by place in the file, or by part
    size: int = 0
    end: int | None = None  # of the file, once known
    order: tuple[str, ...] = ()  # of its parts, once known
    plain: bool = False  # not a document: each piece is read as it comes
    lost: bool = False  # its pieces were dropped

    def joined(self) -> bytes:
        """Return the pieces from the beginning of the file up to the first gap."""
        whole = bytearray()
        places = sorted(place for place in self.pieces if isinstance(place, int))
        for place in places:
            if place > len(whole):
                break
            whole += self.pieces[place][len(whole) - place :]
        return bytes(whole)


class _Complete(msgspec.Struct):
    """The body of the request that completes an upload."""

    part_ids: list[str] = []


class UploadPieces:
    """The pieces received of each upload."""

    def __init__(self) -> None:
        self._uploads: dict[tuple[str, str], _Upload] = {}
        self.held_bytes = 0

    def read(self, intent: Intent, body: bytes, ended: ExchangeOutcome) -> tuple[Intent, bytes]:
        """Return the body to read for a request, and its intent: with the last piece, the whole upload."""
        accepted = ended.status // 100 == 2
        if intent.piece is None and intent.operation == "other" and accepted and body:
            found = OPERATIONS.find("POST", intent.target)
            if found is not None and found.line.path in (PART, COMPLETE):
                part = None if found.line.path == COMPLETE else ended.part or ""
                return self._read_part(intent, body, found.ids[0][1], part)
        return intent, self.read_body(intent, body, accepted)

    def read_body(self, intent: Intent, body: bytes, accepted: bool) -> bytes:
        """Return what to read for one of Google's pieces: with the last, the whole document, else nothing."""
        if intent.piece is None or not accepted:
            return body
        offset, last = intent.piece
        key = (intent.account, intent.target)
        if key not in self._uploads and offset == 0 and last:
            return body
        upload = self._take(key)
        if offset == 0 and body and 0 not in upload.pieces and not is_document(body):
            self.held_bytes -= upload.size
            upload = _Upload(plain=True)
        if upload.plain:
            if not last:
                self._keep(key, upload)
            return body
        self._add(upload, offset, body)
        if last:
            upload.end = offset + len(body) if offset or body else ANY_END
        if upload.lost:
            return self._end(key, upload, LOST, last)
        if 0 not in upload.pieces:
            return self._end(key, upload, body, False)
        whole = upload.joined() if upload.end is not None else b""
        is_whole = upload.end is not None and len(whole) >= upload.end
        if is_whole or (last and upload.size > MOST_BYTES):
            return self._end(key, upload, whole, upload.end != ANY_END)
        return self._end(key, upload, b"", False)

    def _read_part(self, intent: Intent, body: bytes, name: str, part: str | None) -> tuple[Intent, bytes]:
        """Return what to read for one of OpenAI's parts, or (None) for the request that orders them.

        The last of these returns the whole. A text part is also read as it comes, in case others never come.
        """
        key = (intent.account, name)
        upload = self._take(key)
        as_it_came = intent, body
        if part is None:
            upload.order = _order_in(_opened(intent, body))
        else:
            data = _file_in(_opened(intent, body))
            self._add(upload, part, data)
            if is_document(data) or b"\0" in data:
                as_it_came = intent, b""
        given_up = upload.lost or upload.size > MOST_BYTES
        if not upload.order or not (given_up or upload.pieces.keys() >= set(upload.order)):
            self._keep(key, upload)
            return as_it_came
        self.held_bytes -= upload.size
        first = upload.pieces.get(upload.order[0], b"")
        if given_up:
            whole = LOST if upload.lost or is_document(first) else b""
        else:
            whole = b"".join(upload.pieces[part] for part in upload.order)
        if not whole or is_batch(whole) or (len(upload.order) == 1 and not is_document(whole)):
            return as_it_came
        return msgspec.structs.replace(intent, kind="", coding=""), whole

    def _add(self, upload: _Upload, place: int | str, body: bytes) -> None:
        """Hold a piece. Beyond a document's largest size, only enough to show that it is too large."""
        before = upload.pieces.get(place, b"")
        if not upload.lost and len(body) > len(before) and upload.size <= MOST_BYTES:
            upload.pieces[place] = body
            upload.size += len(body) - len(before)
            self.held_bytes += len(body) - len(before)

    def _end(self, key: tuple[str, str], upload: _Upload, body: bytes, over: bool) -> bytes:
        if over:
            self.held_bytes -= upload.size
        else:
            self._keep(key, upload)
        return body

    def _take(self, key: tuple[str, str]) -> _Upload:
        return self._uploads.pop(key, None) or _Upload()

    def _keep(self, key: tuple[str, str], upload: _Upload) -> None:
        """Hold an upload as the newest, and drop the oldest to make room."""
        self._uploads[key] = upload
        while len(self._uploads) > MOST_UPLOADS:
            self.held_bytes -= self._uploads.pop(next(iter(self._uploads))).size
        for held in self._uploads.values():
            if self.held_bytes <= MOST_HELD:
                return
            if held.size:
                self.held_bytes -= held.size
                held.pieces, held.size, held.lost = {}, 0, True


def _order_in(body: bytes) -> tuple[str, ...]:
    try:
        return tuple(msgspec.json.decode(body, type=_Complete).part_ids)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ()


def _opened(intent: Intent, body: bytes) -> bytes:
    if not intent.coding:
        return body
    try:
        return inflate(body, intent.coding, MOST_BYTES)
    except BadRequest:
        return body


def _file_in(form: bytes) -> bytes:
    """Return the file in a form: its field `data`, or the longest of all."""
    border = form.partition(b"\r\n")[0]
    if not border.startswith(b"--"):
        return form
    parts = [part.partition(b"\r\n\r\n") for part in form.split(border)]
    named = [part for part in parts if _DATA.search(part[0])]
    return max((value for _, _, value in named or parts), key=len).removesuffix(b"\r\n")
