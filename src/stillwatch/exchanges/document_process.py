"""The text in PDF and Office files and ZIP archives. Each is read in its own process, which hostile bytes may
end.

`documents.py` runs this file as a script. It imports nothing of Stillwatch, and a parser only when a file of
its kind arrives. It forks for each document, so the cost and damage of one end with its process.
"""

import io
import json
import os
import re
import signal
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from os import _exit as end_process
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import zipfile

# Why a document or a part of it was not read. A process exits with the index of its reason in this list.
DAMAGED, ENCRYPTED, NO_TEXT = "damaged", "encrypted", "no_text"
TOO_LARGE, OTHER_KIND = "too_large", "other_kind"
REASONS = ("", DAMAGED, ENCRYPTED, NO_TEXT, TOO_LARGE, OTHER_KIND)
PDF, ZIP, OLD_OFFICE = b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0"
ARCHIVES = (  # not opened: gzip, xz, bzip2, zstd, 7z, rar
    b"\x1f\x8b\x08", b"\xfd7zXZ\0", b"BZh91AY&SY", b"\x28\xb5\x2f\xfd", b"7z\xbc\xaf\x27\x1c",
    b"Rar!\x1a\x07",
)  # fmt: skip
TAR, TAR_AT = b"ustar", 257
PDF_WITHIN = 1024  # bytes from the start, as PDF readers allow
MOST_PAGES = 2_000
MOST_TEXT = 4_000_000  # characters
TEXT_A_BYTE = 20  # characters per byte of the file: a small file cannot fill the memory
MOST_XML = 64 << 20  # bytes of an Office file's parts, unpacked
MOST_STREAM = 16 << 20  # bytes of one stream of a PDF, unpacked
MOST_OPERANDS = 500_000  # on one page: a dense page has some 10,000
MOST_MEMORY = 512 << 20  # bytes of address space
LEAST_CPU_S, MOST_CPU_S, BYTES_A_CPU_S = 1.0, 10.0, 100_000  # ten times the cost of a dense text page
MOST_S = 60.0  # wall time, for a loaded machine
LENGTH = struct.Struct("<Q")
SMALL_PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/Resources<</Font<</F 5 0 R>>>>/MediaBox[0 0 9 9]/Contents 4 0 R>>endobj
4 0 obj<</Length 23>>stream
BT /F 9 Tf (a b) Tj ET
endstream endobj 5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
startxref
0
%%EOF"""
# what pypdf raises on a broken page, besides its own errors
BROKEN_PAGE = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_CHUNK = 1 << 16
_OFFICE_PART = re.compile(r"(?:word|xl|ppt)/(?!theme|styles).*\.xml", re.IGNORECASE)
_TEXT_TAGS = frozenset(("t", "delText", "instrText"))
_BREAKING_TAGS = frozenset(("p", "br", "cr", "tab", "si", "c", "tc", "row", "comment"))


class UnreadDocument(Exception):
    """The rest of the document is not read; the argument is one of REASONS."""


def text_of(raw: bytes) -> Iterator[str]:
    """Yield a document's text. Raises: UnreadDocument, and any error that broken bytes cause."""
    has_text = False
    for text in _pdf(raw) if PDF in raw[:PDF_WITHIN] else _office(raw):
        has_text = has_text or bool(text.strip())
        yield text
    if not has_text:
        raise UnreadDocument(NO_TEXT)


def _pdf(raw: bytes) -> Iterator[str]:
    import pypdf
    from pypdf.errors import PyPdfError

    pypdf.overwrite_configuration(
        zlib_maximum_output_length=MOST_STREAM, lzw_maximum_output_length=MOST_STREAM,
        run_length_maximum_output_length=MOST_STREAM, array_based_stream_maximum_output_length=MOST_STREAM,
        stream_parsing_work_maximum_count=MOST_OPERANDS, jbig2dec_binary=None,
    )  # fmt: skip
    reader = pypdf.PdfReader(io.BytesIO(raw))
    if reader.is_encrypted and not reader.decrypt(""):  # many are only locked against changes
        raise UnreadDocument(ENCRYPTED)
    is_broken, empty_pages, number = False, 0, -1
    for number, page in enumerate(reader.pages):
        if number == MOST_PAGES:
            raise UnreadDocument(TOO_LARGE)
        try:
            text = page.extract_text()
            empty_pages += not text.strip()
            yield text + "\n"
            for note in page.get("/Annots") or ():  # comments, and the content of form fields
                note_object = note.get_object()
                yield from (
                    f"{note_object[key]}\n"
                    for key in ("/Contents", "/V")
                    if isinstance(note_object.get(key), str)
                )
        except (PyPdfError, *BROKEN_PAGE):
            is_broken = True  # the next page may be whole
    if is_broken:
        raise UnreadDocument(DAMAGED)
    if 2 * empty_pages > number:  # at least half of the pages are pictures
        raise UnreadDocument(NO_TEXT)


def _office(raw: bytes) -> Iterator[str]:
    if not raw.startswith(ZIP):  # Word before 2007, any encrypted Office file, another archive
        raise UnreadDocument(OTHER_KIND)
    import zipfile

    with zipfile.ZipFile(io.BytesIO(raw)) as archive:
        parts = [part for part in archive.infolist() if _OFFICE_PART.fullmatch(part.filename)]
        if not parts:
            yield from _texts_in(archive)
            return
        bytes_left = MOST_XML
        for part in parts:
            if part.flag_bits & 1:
                raise UnreadDocument(ENCRYPTED)
            with archive.open(part) as file:
                words = _OfficeText()
                while chunk := file.read(_CHUNK):
                    bytes_left -= len(chunk)
                    if bytes_left < 0:
                        raise UnreadDocument(TOO_LARGE)
                    words.parser.Parse(chunk)
                    yield words.take()
            yield "\n"


def _texts_in(archive: "zipfile.ZipFile") -> Iterator[str]:
    """Yield the text files of an archive, such as those of a skill."""
    bytes_left, is_whole = MOST_XML, True
    for part in archive.infolist():
        if part.flag_bits & 1:
            raise UnreadDocument(ENCRYPTED)
        with archive.open(part) as file:
            while chunk := file.read(_CHUNK):
                bytes_left -= len(chunk)
                if bytes_left < 0:
                    raise UnreadDocument(TOO_LARGE)
                if b"\0" in chunk:
                    is_whole = False
                    break
                yield chunk.decode("utf-8", "replace")
        yield "\n"
    if not is_whole:
        raise UnreadDocument(OTHER_KIND)


class _OfficeText:
    """The words in one part of an Office file: the content of text elements at any depth."""

    def __init__(self) -> None:
        from xml.parsers import expat

        self._texts: list[str] = []
        self._inside = self._formula = False
        self.parser = expat.ParserCreate(namespace_separator=" ")
        self.parser.buffer_text = True
        self.parser.EntityDeclHandler = self._refuse  # Office writes none: they only inflate
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._text

    def take(self) -> str:
        text = "".join(self._texts)
        self._texts.clear()
        return text

    def _refuse(self, *_: object) -> None:
        raise UnreadDocument(DAMAGED)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        tag = name.rpartition(" ")[2]
        if tag == "c":
            self._formula = attributes.get("t") == "str"  # a cell whose value is words
        self._inside = tag in _TEXT_TAGS or (tag == "v" and self._formula)

    def _end(self, name: str) -> None:
        self._inside = False
        if name.rpartition(" ")[2] in _BREAKING_TAGS:
            self._texts.append("\n")

    def _text(self, text: str) -> None:
        if self._inside:
            self._texts.append(text)


def read_apart(raw: bytes) -> tuple[bytes, str, float]:
    """Return a document's text in UTF-8, why not all of it was read, and the CPU seconds used."""
    ours, theirs = os.pipe()
    reader = os.fork()
    if not reader:
        code = REASONS.index(DAMAGED)
        try:
            os.close(ours)
            _limit(len(raw))
            _write(raw, theirs)
            code = 0
        except UnreadDocument as reason_number:
            code = REASONS.index(str(reason_number))
        except MemoryError:
            code = REASONS.index(TOO_LARGE)
        finally:  # the fork must not continue, whatever was raised
            end_process(code)
    os.close(theirs)
    with open(ours, "rb") as pipe:
        text = pipe.read()
    _, status, used = os.wait4(reader, 0)
    code = os.waitstatus_to_exitcode(status)  # negative: killed by the kernel at one of its limits
    why = REASONS[code] if 0 <= code < len(REASONS) else TOO_LARGE if code < 0 else DAMAGED
    return text, why, used.ru_utime + used.ru_stime


def _write(raw: bytes, pipe: int) -> None:
    characters_left = min(MOST_TEXT, TEXT_A_BYTE * len(raw))
    with open(pipe, "wb", buffering=0) as file:
        for text in text_of(raw):
            file.write(text[:characters_left].encode("utf-8", "replace"))
            characters_left -= len(text)
            if characters_left < 0:
                raise UnreadDocument(TOO_LARGE)


def _limit(size: int) -> None:
    import resource  # not available on every system

    most_s = min(MOST_CPU_S, LEAST_CPU_S + size / BYTES_A_CPU_S)
    signal.setitimer(signal.ITIMER_PROF, most_s)  # CPU time; ends the process, like the limit below
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_REAL, MOST_S)
    for what, most in (
        (resource.RLIMIT_CPU, int(MOST_CPU_S) + 1), (resource.RLIMIT_AS, MOST_MEMORY),
        (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0),
    ):  # fmt: skip
        with suppress(ValueError, OSError):  # not every system has all of them
            resource.setrlimit(what, (most, most))


def main() -> None:
    """Answer documents one after another until the input ends."""
    source, out, loaded = sys.stdin.buffer, sys.stdout.buffer, False
    while len(head := source.read(LENGTH.size)) == LENGTH.size:
        raw = source.read(LENGTH.unpack(head)[0])
        if PDF in raw[:PDF_WITHIN] and not loaded:
            list(_pdf(SMALL_PDF))  # loads what all forks then share
            loaded = True
        text, why, cpu_s = read_apart(raw)
        line = {"bytes": len(text), "why": why, "cpu_s": cpu_s}
        out.write(json.dumps(line).encode() + b"\n" + text)
        out.flush()


if __name__ == "__main__":
    main()
