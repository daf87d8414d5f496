"""Documents that are uploaded in several requests, put together until they are whole. It reads none.

Blind to: pieces that came before the recorder began, and those of an upload that two workers serve.
"""

from stillwatch.exchanges.documents import MOST_BYTES, is_document
from stillwatch.gateway.record.entries import Intent

MOST_HELD = 128 << 20  # bytes of all; the oldest go first
MOST_UPLOADS = 10_000
LOST = b"%PDF-"  # read in the place of what is held no more, it counts as damaged


class UploadPieces:
    """What has come of each upload whose first piece begins as a document does."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bytes] = {}
        self._size = 0

    def read_body(self, intent: Intent, body: bytes, accepted: bool) -> bytes:
        """What to read for a request's body: with a document's last piece the whole, with others nothing."""
        if intent.piece is None or not accepted:
            return body
        offset, last = intent.piece
        upload = (intent.account, intent.target)
        held = self._take(upload)
        if offset == 0 and body and not last and is_document(body):
            held = body
        elif held is None:
            return body
        elif len(held) <= MOST_BYTES and offset == len(held):
            held += body  # beyond that it is too large, and no more is held of it
        if last:
            return held
        self._held[upload] = held
        self._size += len(held)
        self._make_room()
        return b""

    def _take(self, upload: tuple[str, str]) -> bytes | None:
        held = self._held.pop(upload, None)
        self._size -= len(held or b"")
        return held

    def _make_room(self) -> None:
        while len(self._held) > MOST_UPLOADS:
            self._take(next(iter(self._held)))
        for upload, held in self._held.items():
            if self._size <= MOST_HELD:
                return
            self._held[upload] = LOST
            self._size -= len(held) - len(LOST)
