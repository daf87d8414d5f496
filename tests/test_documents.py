"""Text in PDF and Office files is read like any text, and no file can delay its reader or exhaust memory."""

import ast
import base64
import errno
import gzip
import io
import json
import os
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2 as httpx
import pypdf
import pytest

import stillwatch.gateway.hooks
from gateway_world import gateway, until
from hooks_world import hooks
from stillwatch.exchanges import documents
from stillwatch.exchanges.document_process import (
    BYTES_A_CPU_S,
    LEAST_CPU_S,
    MOST_CPU_S,
    MOST_PAGES,
    MOST_TEXT,
    TEXT_A_BYTE,
)
from stillwatch.exchanges.documents import DocumentReader, DocumentText
from stillwatch.exchanges.read import Rejects, read
from stillwatch.exchanges.request_text import RequestText, bytes_text, messages_text, request_text
from stillwatch.gateway.health import health
from stillwatch.gateway.metrics import metrics
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.report.losses import losses
from stillwatch.scan.inspect import inspect
from upstream import Upstream

WORDS = [f"word{chr(97 + i)}{chr(97 + j)}" for i in range(10) for j in range(20)]
W = " ".join(WORDS)
DATA = Path(__file__).parent / "data" / "documents"


def share(text: str | None) -> float:
    found = set((text or "").split())
    return sum(word in found for word in WORDS) / len(WORDS)


def pdf_of(objects: list[bytes]) -> bytes:
    """Return a PDF of numbered objects, the first of which is its catalogue."""
    out, places = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"), []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, table)
    end = b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, len(out))
    return bytes(out) + head + end


def stream(raw: bytes, more: bytes = b"") -> bytes:
    packed = zlib.compress(raw)
    return b"<</Filter/FlateDecode/Length %d%b>>stream\n%b\nendstream" % (len(packed), more, packed)


def pdf(*pages: str) -> bytes:
    """Return a PDF with a text layer: twelve words a line, each page a text."""
    kids = b" ".join(b"%d 0 R" % (4 + 2 * n) for n in range(len(pages)))
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[%b]/Count %d>>" % (kids, len(pages)),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    for n, text in enumerate(pages):
        words = text.split()
        lines = [" ".join(words[k : k + 12]) for k in range(0, len(words), 12)]
        shown = "BT /F1 11 Tf 12 TL 50 750 Td " + " ".join(f"({line}) Tj T*" for line in lines) + " ET"
        objects.append(
            b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 3 0 R>>>>"
            b"/Contents %d 0 R>>" % (5 + 2 * n)
        )
        objects.append(stream(shown.encode("latin-1")))
    return pdf_of(objects)


def locked(user: str, owner: str) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(pdf(W)))
    writer.encrypt(user, owner, algorithm="AES-256")
    out = io.BytesIO()
    writer.write(out)
    return out.getvalue()


def office(**parts: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        for name, text in parts.items():
            archive.writestr(name.replace("__", "/") + ".xml", text)
    return out.getvalue()


def docx(text: str) -> bytes:
    runs = "".join(
        f"<w:r><w:t>{word[:3]}</w:t></w:r><w:r><w:t>{word[3:]} </w:t></w:r>" for word in text.split()
    )
    return office(
        word__document=f'<w:document xmlns:w="urn:w"><w:body><w:p>{runs}</w:p></w:body></w:document>'
    )


def xlsx(text: str) -> bytes:
    words = text.split()
    shared = "".join(f"<si><t>{word}</t></si>" for word in words[:100])
    number = "<c><v>17</v></c>"
    cells = "".join(f'<c t="str"><f>A1</f><v>{word}</v></c>' for word in words[100:150])
    inline = "".join(f'<c t="inlineStr"><is><t>{word}</t></is></c>' for word in words[150:])
    return office(
        xl__sharedStrings=f'<sst xmlns="urn:x">{shared}</sst>',
        xl__worksheets__sheet1=f'<worksheet xmlns="urn:x"><row>{cells}{inline}{number}</row></worksheet>',
    )


def pptx(text: str) -> bytes:
    words = text.split()
    slide = '<p:sld xmlns:p="urn:p" xmlns:a="urn:a"><a:p><a:r><a:t>{}</a:t></a:r></a:p></p:sld>'
    return office(
        ppt__slides__slide1=slide.format(" ".join(words[:120])),
        ppt__notesSlides__notesSlide1=slide.format(" ".join(words[120:])),
    )


def skill(text: str) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("skill/SKILL.md", f"---\nname: skill\n---\n{text}")
    return out.getvalue()


KINDS = {"pdf": pdf(W), "docx": docx(W), "xlsx": xlsx(W), "pptx": pptx(W), "skill": skill(W)}


def user(part: dict[str, object]) -> list[dict[str, object]]:
    return [{"role": "user", "content": [{"type": "text", "text": "Answer."}, part]}]


def bodies(raw: bytes) -> dict[str, tuple[str, dict[str, object]]]:
    """Return a document in the place of each API."""
    data = base64.b64encode(raw).decode()
    link = f"data:application/pdf;base64,{data}"
    return {
        "messages": ("/v1/messages", {"messages": user({"type": "document", "source": {
            "type": "base64", "media_type": "application/pdf", "data": data}})}),
        "chat": ("/v1/chat/completions", {"messages": user({"type": "file", "file": {"file_data": link}})}),
        "chat, bare": ("/v1/chat/completions", {
            "messages": user({"type": "file", "file": {"file_data": data}})}),
        "responses": ("/v1/responses", {
            "input": user({"type": "input_file", "filename": "q", "file_data": link})}),
        "responses, a link": ("/v1/responses", {"input": user({"type": "input_file", "file_url": link})}),
        "Gemini": ("/v1beta/models/g:generateContent", {"contents": [{"parts": [
            {"inlineData": {"mimeType": "application/pdf", "data": data}}]}]}),
        "Converse": ("/model/x/converse", {"messages": [{"role": "user", "content": [
            {"document": {"format": "pdf", "name": "d", "source": {"bytes": data}}}]}]}),
        "a key that no table knows": ("/v9/ponder", {"ponder": {"paper": data}}),
    }  # fmt: skip


@pytest.fixture(autouse=True)
def reader(monkeypatch: pytest.MonkeyPatch) -> Iterator[DocumentReader]:
    """A separate reader for this test."""
    made = DocumentReader()
    monkeypatch.setattr("stillwatch.exchanges.request_text.READER", made)
    yield made
    made.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_document_is_read_in_every_place_of_every_api(kind: str) -> None:
    for place, (path, body) in bodies(KINDS[kind]).items():
        found = request_text(body, path)
        assert share(found.new) >= 0.95, place
        assert (found.unread, share(found.earlier), share(found.system)) == ((), 0, 0), place


@pytest.mark.slow
def test_a_document_in_an_upload_is_read() -> None:
    form = (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="q"\r\n\r\n%b\r\n--b--\r\n'
        % KINDS["pdf"]
    )
    related = b"--b\r\nContent-Type: application/json\r\n\r\n{}\r\n" + form
    for raw, kind in (
        (KINDS["pdf"], "application/pdf"), (KINDS["docx"], "application/octet-stream"),
        (form, "multipart/form-data; boundary=b"), (related, "multipart/related; boundary=b"),
    ):  # fmt: skip
        assert share(bytes_text(raw, kind).new) >= 0.95, kind


@pytest.mark.slow
def test_a_document_of_an_earlier_turn_is_no_new_text() -> None:
    turns = user({"type": "file", "file": {"file_data": base64.b64encode(KINDS["pdf"]).decode()}})
    found = messages_text(
        [*turns, {"role": "assistant", "content": "ok"}, {"role": "user", "content": "go on"}]
    )
    assert (found.new, share(found.earlier)) == ("go on", 1.0)


@pytest.mark.slow
def test_a_pdf_of_another_producer_is_read(reader: DocumentReader) -> None:
    """Printed by Chromium: embedded fonts with a table of characters, ligatures, kerning."""
    found = reader.read((DATA / "chromium.pdf").read_bytes())
    said = (DATA / "chromium.txt").read_text(encoding="utf-8").split()
    assert found.unread == ""
    assert sum(word in found.text.split() for word in said) >= 0.95 * len(said)


@pytest.mark.slow
def test_forms_and_remarks_are_read(reader: DocumentReader) -> None:
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Annots[4 0 R 5 0 R]>>",
        b"<</Type/Annot/Subtype/FreeText/Contents(%b)>>" % " ".join(WORDS[:100]).encode(),
        b"<</Type/Annot/Subtype/Widget/FT/Tx/V(%b)>>" % " ".join(WORDS[100:]).encode(),
    ]  # fmt: skip
    assert share(reader.read(pdf_of(objects)).text) == 1


@pytest.mark.slow
def test_a_file_that_only_begins_like_a_document_is_the_text_it_is() -> None:
    for text in (f"%PDF-1.4 is how a PDF begins. {W}", f"Of files that begin with %PDF-1.4: {W}"):
        body = {
            "messages": user(
                {"type": "document", "source": {"data": base64.b64encode(text.encode()).decode()}}
            )
        }
        found = request_text(body)
        assert (share(found.new), found.unread) == (1, ())


@pytest.mark.slow
@pytest.mark.parametrize("begin", ["UEsDBA", "JVBERi0"])
def test_words_without_blanks_are_not_lost_for_how_they_begin(begin: str) -> None:
    found = request_text({"messages": [{"role": "user", "content": f"{begin}/{'/'.join(WORDS)}"}]})
    assert share((found.new or "").replace("/", " ")) == 1


# --- unreadable documents are reported ---------------------------------------------------------------------

UNREADABLE = {
    "a password": (locked("secret", "owner"), "encrypted"),
    "a picture of a page": (pdf_of([
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>", stream(b"q 9 0 0 9 0 0 cm /I Do Q"),
    ]), "no_text"),
    "no pages": (pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[]/Count 0>>"]), "no_text"),
    "a PDF cut off": (KINDS["pdf"][:400] + b"\0", "damaged"),
    "an archive cut off": (KINDS["docx"][:-40], "damaged"),
    "an archive of something else": (office(mimetype="\0"), "other_kind"),
    "an archive that nobody opens": (gzip.compress(W.encode()), "other_kind"),
    "Word before 2007": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "other_kind"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("raw", "why"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_said(raw: bytes, why: str) -> None:
    for path, body in bodies(raw).values():
        assert request_text(body, path).unread == (why,)
    assert bytes_text(raw, "application/pdf").unread == (why,)


@pytest.mark.slow
def test_a_pdf_that_is_only_locked_against_changes_is_read(reader: DocumentReader) -> None:
    assert reader.read(locked("", "owner")) == reader.read(KINDS["pdf"])


@pytest.mark.slow
def test_a_scan_and_an_inspection_say_it(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    with log.open("w") as file:
        for n, (raw, _) in enumerate([*UNREADABLE.values(), (KINDS["pdf"], "")]):
            request = bodies(raw)["messages"][1] | {"model": "m"}
            line = {"time": f"2026-03-02T09:12:{n:02}Z", "account": "a", "request": request, "response": {}}
            file.write(json.dumps(line) + "\n")
    rejects = Rejects()
    rows = [row for batch in read([log], rejects=rejects) for row in batch.to_pylist()]
    assert [share(row["prompt"]) for row in rows] == [0] * len(UNREADABLE) + [1]
    assert rejects.unread_documents == {"encrypted": 1, "no_text": 2, "damaged": 2, "other_kind": 3}
    assert any("2 damaged" in line for line in losses(rejects, len(rows)))
    assert any("1 encrypted" in note for note in inspect([log]).notes)


@pytest.mark.slow
@pytest.mark.parametrize("start", [b"x" * 256 + b" ustar ", b"BZh91AY&SY ", b"%PDF- ", b"PK\x03\x04 "])
def test_a_text_that_looks_like_an_archive_is_read(start: bytes) -> None:
    text = start + W.encode()
    for name in ("messages", "chat", "Gemini", "Converse"):
        path, body = bodies(text)[name]
        assert share(request_text(body, path).new) == 1
    assert share(bytes_text(text, "text/plain").new) == 1


# --- hostile files -----------------------------------------------------------------------------------------


def page_tree(inner: bytes, *more: bytes) -> bytes:
    return pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", inner, *more])


def one_page(content: bytes, *more: bytes, resources: bytes = b"") -> bytes:
    """Return a PDF of one page, whose content is object 4."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<<%b>>>>" % resources
    return page_tree(b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, content, *more)


def form(n: int, deep: int) -> bytes:
    inside = b"/F Do " * 10 if n < deep else b"BT (lol lol lol lol lol) Tj ET"
    return stream(
        inside, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</F %d 0 R>>>>" % (n + 1)
    )


def zipped(name: str, raw: bytes) -> bytes:
    return office(**{name: raw.decode("latin-1")})


NOUGHTS = 200 << 20  # bytes
HOSTILE: dict[str, Callable[[], bytes]] = {  # made when they are wanted: they take seconds and megabytes
    "a bomb in a page": lambda: one_page(stream(bytes(NOUGHTS))),
    "a bomb of operands": lambda: one_page(stream(b"1 " * (8 << 20))),
    "a bomb in a bomb": lambda: one_page(
        b"<</Filter[/FlateDecode/FlateDecode]/Length %d>>stream\n%b\nendstream"
        % (len(b := zlib.compress(zlib.compress(bytes(NOUGHTS)))), b)
    ),
    "forms in forms": lambda: one_page(
        stream(b"/F Do " * 10), *(form(n, 13) for n in range(5, 14)), resources=b"/XObject<</F 5 0 R>>"
    ),
    "a form in itself": lambda: one_page(
        stream(b"/F Do"), form(4, 9).replace(b"/F 5 0 R", b"/F 4 0 R"), resources=b"/XObject<</F 5 0 R>>"
    ),
    "a tree of pages that holds itself": lambda: page_tree(b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"),
    "one page ten thousand times": lambda: page_tree(
        b"<</Type/Pages/Kids[%b]/Count 10000>>" % (b"3 0 R " * 10_000),
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R>>",
        stream(b"BT /F1 9 Tf (lol) Tj ET"),
    ),
    "lists in lists": lambda: page_tree(
        b"<</Type/Pages/Kids" + b"[" * 50_000 + b"]" * 50_000 + b"/Count 1>>"
    ),
    "a hundred thousand objects": lambda: pdf_of([b"<</Type/Catalog/Pages 2 0 R>>", *[b"[1 0 R]"] * 100_000]),
    "a table that leads to itself": lambda: KINDS["pdf"].replace(b"trailer<<", b"trailer<</Prev 0 "),
    "no table": lambda: KINDS["pdf"][: KINDS["pdf"].index(b"xref")] + b"1 0 obj\n" * 200_000,
    "only openings": lambda: b"%PDF-1.7\n" + b"<<" * 1_000_000,
    "a bomb in Word": lambda: zipped("word__document", b"<w:document><w:t>" + bytes([32]) * (150 << 20)),
    "words in Word": lambda: zipped("word__document", b"<d><t>" + b"lol " * (10 << 20) + b"</t></d>"),
    "entities": lambda: zipped(
        "word__document",
        b'<!DOCTYPE d [<!ENTITY a "lol">'
        + b"".join(b'<!ENTITY %c "%b">' % (98 + n, b"&%c;" % (97 + n) * 10) for n in range(9))
        + b"]><d><t>&j;</t></d>",
    ),
    "a hundred thousand elements deep": lambda: zipped("word__document", b"<t>" * 1_000_000),
    "fifty thousand parts": lambda: office(**{f"word__{n}": "<t>lol</t>" for n in range(50_000)}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_costs_what_it_may_and_no_more(name: str, reader: DocumentReader) -> None:
    raw = HOSTILE[name]()
    found = reader.read(raw)
    assert found.unread or found.text, "what is not read is said"
    assert len(found.text) <= min(MOST_TEXT, TEXT_A_BYTE * len(raw))
    assert reader.cpu_s < min(MOST_CPU_S, LEAST_CPU_S + len(raw) / BYTES_A_CPU_S) + 1.0
    assert reader.read(KINDS["pdf"]).unread == "", "and the next one is read"


@pytest.mark.slow
def test_no_page_beyond_the_bound_is_read(reader: DocumentReader) -> None:
    assert reader.read(pdf(*["lol"] * 40)).text.split() == ["lol"] * 40
    assert MOST_PAGES == 2_000


@pytest.mark.slow
def test_a_broken_page_hides_no_other(reader: DocumentReader) -> None:
    raw = pdf(W, "second").replace(b"/Contents 5 0 R", b"/Contents (no)")
    found = reader.read(raw)
    assert "second" in found.text
    assert found.unread, "and it is said that one is missing"


@pytest.mark.slow
def test_a_reader_that_was_killed_is_started_again(reader: DocumentReader) -> None:
    assert share(reader.read(KINDS["pdf"]).text) == 1
    process = reader._process
    assert process is not None
    process.kill()
    process.wait()
    assert share(reader.read(KINDS["docx"]).text) == 1


# --- what it costs -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_process_with_thousands_of_descriptors_reads_documents(reader: DocumentReader) -> None:
    """As in a gateway or a long scan: select() refuses numbers above 1,023."""
    with ExitStack() as files:
        for _ in range(1_100):
            files.enter_context(open(os.devnull, "rb"))
        assert share(reader.read(KINDS["pdf"]).text) == 1


def test_a_machine_that_starts_no_process_costs_the_document_alone(
    reader: DocumentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    reader.close()
    raw = KINDS["pdf"] + b"\n"  # read by nobody yet
    with monkeypatch.context() as patch:
        patch.setattr(subprocess, "Popen", refuse)
        assert reader.read(raw) == DocumentText("", "failed")
    assert share(reader.read(raw).text) == 1


def test_an_error_of_the_reader_does_not_make_a_document_pass_for_a_picture(
    reader: DocumentReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: bytes) -> DocumentText:
        raise ValueError("filedescriptor out of range")

    monkeypatch.setattr(reader, "_ask", fail)
    with pytest.raises(ValueError, match="out of range"):
        messages_text(user({"type": "file", "file": {"file_data": base64.b64encode(KINDS["pdf"]).decode()}}))


@pytest.mark.slow
def test_a_document_is_paid_for_once(reader: DocumentReader) -> None:
    """A conversation sends a long document again with every turn."""
    _, body = bodies(pdf(*[W] * 20))["messages"]
    request_text(body)
    once = reader.cpu_s
    for n in range(5):
        turn = {"messages": [*body["messages"], {"role": "assistant", "content": f"{n}"}]}  # type: ignore[misc]
        assert request_text(turn).turn == 1
    assert reader.cpu_s == once > 0


def test_what_is_remembered_is_bounded(reader: DocumentReader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "REMEMBERED", 3_000)
    files = [docx(f"{W} {n}") for n in range(4)]
    for raw in files:
        reader.read(raw)
    spent = reader.cpu_s
    reader.read(files[3])
    assert reader.cpu_s == spent
    reader.read(files[0])
    assert reader.cpu_s > spent


@pytest.mark.slow
def test_documents_take_no_more_than_their_share(reader: DocumentReader) -> None:
    reader.share = 1e-9
    while reader.read(locked("secret", f"owner {reader.cpu_s}")).unread == "encrypted":
        reader._left_s -= documents.BURST_S / 3  # as if each had taken long
    assert reader.read(KINDS["docx"]) == DocumentText("", "busy")
    reader.share = 1e9
    assert share(reader.read(KINDS["docx"]).text) == 1, "what was not read is not remembered as unread"
    reader.share, reader._left_s = 1e-9, -1.0
    assert share(reader.read(KINDS["docx"]).text) == 1, "what is known costs nothing"


@pytest.mark.slow
def test_a_worker_and_a_recorder_start_without_the_readers() -> None:
    code = (
        "import sys, stillwatch.gateway.path.worker, stillwatch.gateway.record.recorder as r; "
        "print(*sys.modules); assert r.READER._process is None"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"pypdf", "xml.parsers.expat"} & set(done.stdout.split())


@pytest.mark.slow
def test_a_gateway_captures_documents_and_says_what_it_could_not_read() -> None:
    with Upstream() as up, gateway(up.url) as g, httpx.Client(base_url=g.url, headers=g.auth) as client:
        path, body = bodies(KINDS["pdf"])["messages"]
        unreadable = bodies(locked("secret", "owner"))["messages"][1]["messages"]
        document = body["messages"]
        assert isinstance(unreadable, list)
        assert isinstance(document, list)
        go_on = [
            {"role": "assistant", "content": "ok"},
            {"role": "user", "content": "And what of the rest of it?"},
        ]
        for messages in (document, [*document, *go_on, *unreadable], unreadable):
            asked = {"model": "m", "max_tokens": 9, "messages": messages}
            assert client.post(path, json=asked).status_code == 200
        first, again, unread = g.rows(3)
        assert first["prompt_words"] >= len(WORDS)
        assert again["earlier_words"] >= len(WORDS) > again["prompt_words"], "sent before: it is not new"
        assert unread["prompt_words"] < 6
        says = g.folder.run / "recorder.json"
        until(lambda: json.loads(says.read_text())["unread_documents"] == {"encrypted": 2}, what="the count")
        settings = GatewaySettings.load(g.folder.settings)
        found = health(g.folder, settings, time.time_ns() // 1000)
        assert "2 encrypted" in next(part.text for part in found.parts if part.name == "recorder")
        shown = metrics(g.folder, settings, found, {})
        assert 'stillwatch_unread_documents_total{why="encrypted"} 2\n' in shown


@pytest.mark.slow
def test_a_hook_leaves_documents_to_the_recorder() -> None:
    """Decisions wait for no document: neither in the request nor in the logged exchange."""
    with hooks() as h, httpx.Client(base_url=h.url, headers=h.token | h.auth) as client:
        chat = bodies(KINDS["pdf"])["chat"][1] | {"model": "gpt-4o", "user": "someone"}
        for n in range(20):
            asked = client.post("/decide/envoy;capture=yes/v1/chat/completions", json=chat | {"seed": n})
            assert asked.status_code == 200
        for row in h.rows(20):
            assert (row["prompt_words"] >= len(WORDS), row["end_user"], row["model"]) == (
                True,
                "someone",
                "gpt-4o",
            )
        logged = {
            "id": "1", "call_type": "acompletion", "startTime": time.time(), "endTime": time.time(),
            "status": "success", "model": "gpt-4o", "metadata": {"user_api_key_hash": "h"}, **chat,
        }  # fmt: skip
        assert client.post("/litellm/logs", json=logged).json()["kept"] == 1
        assert h.rows(21)[-1]["prompt_words"] >= len(WORDS)


def test_what_litellm_hands_on_has_documents_and_no_pictures() -> None:
    hook = Path(stillwatch.gateway.hooks.__file__).parent / "files" / "stillwatch_litellm.py"
    wanted = ("_texts", "_is_media", "DOCUMENTS")  # of a file that only LiteLLM can load as a whole
    kept = [
        node
        for node in ast.parse(hook.read_text()).body
        if isinstance(node, ast.FunctionDef | ast.Assign)
        and ast.unparse(node).startswith(wanted, 4 * isinstance(node, ast.FunctionDef))
    ]
    names: dict[str, object] = {"Any": object}
    exec(compile(ast.Module(kept, []), str(hook), "exec"), names)
    texts = names["_texts"]
    assert callable(texts)
    for raw in KINDS.values():
        for place in ("chat", "chat, bare", "messages"):
            messages = bodies(raw)[place][1]["messages"]
            assert texts(messages) == messages
    picture = user({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo"}})
    assert texts(picture)[0]["content"] == picture[0]["content"][:1]  # type: ignore[index]


def test_nothing_unread_marks_nothing() -> None:
    assert RequestText("a", None, None, 1, None).row() == {
        "turn": 1,
        "system": None,
        "prompt": "a",
        "earlier": None,
    }
