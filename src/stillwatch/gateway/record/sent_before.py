"""What each account has sent before, to separate a request's new text from what it repeats.

Chat APIs keep no state: every request repeats the conversation. A message counts as sent before if the
account sent it after the same text: the message and what precedes it, 256 characters in all. So a word in
many small messages is new whenever its context is.

A message in the model's voice is accepted as the model's only if it follows text that was sent before and is
no longer than the answer given there. Otherwise the client made it up, and it is new like the rest. So a
question cannot hide before, or in, an answer that was never given.

"Continue" is no question of its own: if the new text is so short, the text before it is included.

Only keyed hashes are held, in a table of fixed size that overwrites the oldest. After a restart it is empty:
the first request of each conversation then counts as entirely new, once.
"""

import hashlib
import re
import struct
from collections.abc import Iterator
from itertools import islice
from mmap import mmap

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from msgspec.structs import replace

from stillwatch.actors.fingerprints import LEAST_WORDS
from stillwatch.exchanges.apis import MODEL, SYSTEM, TOOL, USER, Voice
from stillwatch.exchanges.request_text import (
    BESIDE,
    RequestPiece,
    RequestText,
    put_together,
    since_last_answer,
)

SLOTS = 1 << 21  # of 8 bytes
CONTEXT = 256  # characters that identify a message, including what precedes it
ROOM_BITS = 24  # of a slot: characters of the answers given to the message; the bits above identify it
MOST_ROOM = (1 << ROOM_BITS) - 1
CHARACTERS_A_TOKEN = 8  # at most, in answers; 4 is usual
GROWTH = 4  # characters per byte of a reply, which may be compressed
SLACK = 200  # characters that the client's history may add to an answer
MOST_LINES = 10_000  # of a system text; the rest counts as one
_LINES = re.compile(r"[^\n.!?]+[\n.!?]*|[\n.!?]+")
_WIDE = re.compile("[\u2e80-\U0010ffff]")  # of scripts without spaces
_NONCE = bytes(12)
_VOICES = {voice: voice.encode() + b"\0" for voice in (USER, TOOL, MODEL, SYSTEM)}
_first_word = struct.Struct("<Q").unpack_from


class SentBefore:
    """The memory of one recorder. Bounded; `slots` must be a power of two."""

    def __init__(self, key: bytes, slots: int = SLOTS) -> None:
        # A keyed universal hash (GHASH, NIST SP 800-38D 6.4). One nonce for all is safe here: no tag is ever
        # published, so nobody learns which texts collide. A tenth of BLAKE2's time on a long text.
        self._hash = AESGCM(hashlib.blake2b(key[:64], digest_size=16).digest()).encrypt
        self._mask = slots - 1
        self._shift = slots.bit_length() - 1
        self._slots = memoryview(mmap(-1, 8 * slots)).cast("Q")  # memory is used as slots are

    def text(self, account: str, request_text: RequestText, answered: int) -> RequestText:
        """Divide a request into new and earlier text; `answered`: the most characters its answer can have."""
        who = account.encode("utf-8", "surrogatepass")
        who = b"%d\0%b\0" % (len(who), who)
        pieces = _merge_pieces(request_text.pieces)
        is_new = [False] * len(pieces)
        spoken = len(pieces) - 1
        while spoken >= 0 and pieces[spoken].voice not in (USER, TOOL):
            spoken -= 1
        slots = self._slots
        before, known, anchor, last = "", False, None, None
        for n, (voice, text, turn) in enumerate(pieces):
            if not text or voice == SYSTEM or turn == BESIDE:
                continue
            at, tag = last = self._place(who, voice, before, text)
            before = text[-CONTEXT:] if len(text) >= CONTEXT else (before + text)[-CONTEXT:]
            if slots[at] ^ tag <= MOST_ROOM:
                known, anchor = True, anchor if voice == MODEL and anchor is not None else last
                continue
            answer = voice == MODEL and known and n < spoken
            if answer and anchor is not None and self._take(anchor, len(text)):
                slots[at] = tag
                continue
            is_new[n], known = True, False
            slots[at] = tag
        if last is not None:
            self._give(last, answered)
        if True not in is_new:  # an exact repetition: as without a memory
            is_new = since_last_answer(pieces)
        _reach_back(pieces, is_new)
        parted = put_together(pieces, is_new, request_text.api)
        new_lines = None if parted.system is None else self._new_lines(who, parted.system)
        if new_lines:  # new instructions of the application count as new text
            parted = replace(parted, new=new_lines if parted.new is None else f"{new_lines}\n{parted.new}")
        return parted

    def _new_lines(self, who: bytes, system: str) -> str | None:
        """Return a system text's sentences that the account has not sent before; none for its first."""
        slots = self._slots
        at, tag = self._place(who, SYSTEM, "", system)
        if slots[at] ^ tag <= MOST_ROOM:
            return None
        first, first_tag = self._place(who, SYSTEM, "", "")
        begins = slots[first] ^ first_tag > MOST_ROOM
        slots[first] = first_tag
        slots[at] = tag
        before, lines = "", []
        for line in _lines(system):
            at, tag = self._place(who, SYSTEM, before, line)
            before = (before + line)[-CONTEXT:]
            if slots[at] ^ tag > MOST_ROOM:
                lines.append(line)
                slots[at] = tag
        return None if begins else "\n".join(lines).strip() or None

    def _place(self, who: bytes, voice: Voice, before: str, text: str) -> tuple[int, int]:
        """Return the slot of a message, and its content (without the room) if the message was sent before."""
        short = CONTEXT - len(text)
        in_context = before[-short:] + text if short > 0 and before else text
        raw = who + _VOICES[voice] + in_context.encode("utf-8", "surrogatepass")
        name: int = _first_word(self._hash(_NONCE, b"", raw))[0]
        tag = (name >> self._shift << ROOM_BITS) & 0xFFFFFFFFFFFFFFFF or 1 << ROOM_BITS
        return name & self._mask, tag

    def _give(self, place: tuple[int, int], characters: int) -> None:
        at, tag = place
        held = self._slots[at] ^ tag  # the room, if the slot is still this message's
        room = held if held <= MOST_ROOM else 0
        self._slots[at] = tag | min(room + characters, MOST_ROOM)

    def _take(self, place: tuple[int, int], characters: int) -> bool:
        at, tag = place
        if not characters <= self._slots[at] ^ tag <= MOST_ROOM:
            return False
        self._slots[at] -= characters
        return True


def _reach_back(pieces: tuple[RequestPiece, ...], is_new: list[bool]) -> None:
    """If the new text is too short to be a question, count the text before it as new as well."""
    words = 0
    for n, new in enumerate(is_new):
        if new:
            words += _words(pieces[n].text)
            if words >= LEAST_WORDS:
                return
    for n in range(len(pieces) - 1, -1, -1):
        if words >= LEAST_WORDS:
            return
        if not is_new[n] and pieces[n].voice in (USER, TOOL) and pieces[n].turn != BESIDE:
            is_new[n] = True
            words += _words(pieces[n].text)


def _words(text: str) -> int:
    """Return about how many words, up to `LEAST_WORDS`; without spaces two characters count as one."""
    head = text[:CONTEXT]
    return len(head.split(None, LEAST_WORDS)) + (0 if head.isascii() else len(_WIDE.findall(head)) // 2)


def _lines(text: str) -> Iterator[str]:
    """Yield the sentences and lines of a text."""
    end = 0
    for match in islice(_LINES.finditer(text), MOST_LINES):
        end = match.end()
        yield match[0].strip()
    if end < len(text):
        yield text[end:]


def room_of(output_tokens: int | None, delivered_bytes: int) -> int:
    """Return the most characters that an answer can have had."""
    if not delivered_bytes:
        return 0
    most = GROWTH * delivered_bytes if output_tokens is None else CHARACTERS_A_TOKEN * output_tokens
    return most + SLACK


def _merge_pieces(pieces: tuple[RequestPiece, ...]) -> tuple[RequestPiece, ...]:
    """Join adjacent parts of a message that have the same voice."""
    voice, turn = None, None
    for piece in pieces:
        if piece[2] == turn and piece[0] == voice:
            break
        voice, _, turn = piece
    else:
        return pieces
    merged: list[RequestPiece] = []
    parts: list[str] = []

    def close() -> None:
        if parts:
            merged.append(merged.pop()._replace(text="\n".join(parts)))
            parts.clear()

    for piece in pieces:
        if not merged or merged[-1].voice != piece.voice or merged[-1].turn != piece.turn:
            close()
            merged.append(piece)
        if piece.text:
            parts.append(piece.text)
    close()
    return tuple(merged)
