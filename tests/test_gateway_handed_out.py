"""Addresses in the head of an upstream's reply: clients continue at the gateway, not around it.

The upstream stores Google's resumable uploads and names its own address. The requests are those of
google-genai 3.6.1, which sends no key with an upload and keeps the content type of the first request.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import permutations
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from msgspec.structs import replace

from gateway_world import UPSTREAM_KEY, Running, gateway, request, until
from scripted_upstream import Asked, scripted
from scripted_upstream import ask as ask_any
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.path.handed_out import ElsewhereError, holder_of, on_this_gateway
from stillwatch.gateway.path.server import Request
from stillwatch.gateway.path.upstream import Target
from stillwatch.gateway.record.entries import ExchangeOutcome, Intent
from stillwatch.gateway.record.upload_pieces import UploadPieces
from stillwatch.terms.load import default_text
from test_documents import docx

WORDS = " ".join(f"drained{n}" for n in range(150))
ELSEWHERE = "https://storage.example.net/upload?upload_id=7"
KEEPS_TEXT = default_text().replace("text_days = 0", "text_days = 1")


@dataclass
class Uploads:
    """The objects stored at the upstream, and the requests that reached it."""

    url: str = ""
    parts: dict[str, bytes] = field(default_factory=dict)  # of uploads under way
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    uploads: Uploads

    def do_POST(self) -> None:
        store, head = self.uploads, {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(head.get("content-length") or 0))
        store.seen.append((self.command, self.path, head))
        split = urlsplit(self.path)
        query, place = parse_qs(split.query), split.path
        session = (query.get("upload_id") or [""])[0]
        command = head.get("x-goog-upload-command", "")
        if head.get("x-send-to"):
            return self.say(int(head["x-status"]), {}, location=head["x-send-to"])
        if command == "start" or (query.get("uploadType") == ["resumable"] and not session):
            session = f"AFiumC{len(store.parts)}"
            store.parts[session] = b""
            own = f"{store.url}{place}?key={UPSTREAM_KEY}&upload_id={session}&upload_protocol=resumable"
            if command:
                more = {"x-goog-upload-status": "active", "x-goog-upload-control-url": own}
                return self.say(200, None, **more, x_goog_upload_url=head.get("x-own", own))
            return self.say(200, None, location=own)
        if session not in store.parts:
            if place.rpartition("/")[2] in store.files:
                return self.say(200, {"name": f"files/{place.rpartition('/')[2]}"})
            return self.say(404, {"error": {"code": 404}})
        if command == "query":
            return self.say(200, None, x_goog_upload_size_received=str(len(store.parts[session])))
        store.parts[session] += body
        if "finalize" not in command and self.command != "PUT":
            return self.say(200, None, x_goog_upload_status="active")
        name = f"f{len(store.files)}"
        store.files[name] = store.parts[session]
        uri = f"https://generativelanguage.googleapis.com/v1beta/files/{name}"
        return self.say(200, {"file": {"name": f"files/{name}", "uri": uri}}, x_goog_upload_status="final")

    do_PUT = do_GET = do_POST

    def say(self, status: int, reply: object, **headers: str) -> None:
        data = b"" if reply is None else json.dumps(reply).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json" if data else "text/plain")
        self.send_header("content-length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None: ...


@contextmanager
def uploading() -> Iterator[Uploads]:
    store = Uploads()
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"uploads": store})) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        store.url = f"http://127.0.0.1:{server.server_port}"
        yield store
        server.shutdown()


def ask(
    address: str, body: bytes = b"", key: str = "", method: str = "POST", **head: str
) -> tuple[int, dict[str, str], Any]:
    """Send one request to an address of any account."""
    split = urlsplit(address)
    named = {name.replace("_", "-"): value for name, value in head.items()}
    named |= {"x-goog-api-key": key} if key else {}
    assert split.port is not None
    reply = request(split.port, method, f"{split.path}?{split.query}".removesuffix("?"), body, named)
    return reply.status, reply.headers, reply.json()


JSON = {"content_type": "application/json", "x_goog_upload_protocol": "resumable"}


def start(gate: Running, key: str, at: str = "/upload/v1/files", **more: str) -> tuple[int, str]:
    """Start an upload; return the status, and the address for the next request."""
    head = JSON | {"x_goog_upload_command": "start", "x_goog_upload_header_content_type": "application/pdf"}
    status, headers, _ = ask(gate.url + at, b'{"file": {"displayName": "x"}}', key, **head, **more)
    return status, headers.get("x-goog-upload-url", "")


def put(address: str, data: bytes, offset: int = 0, last: bool = True, **more: Any) -> tuple[int, Any]:
    command = "upload, finalize" if last else "upload"
    head = JSON | {"x_goog_upload_command": command, "x_goog_upload_offset": str(offset)}
    status, _, said = ask(address, data, **head, **more)
    return status, said


@pytest.fixture(scope="module")
def upstream() -> Iterator[Uploads]:
    with uploading() as store:
        yield store


@pytest.fixture(scope="module")
def gate(upstream: Uploads) -> Iterator[Running]:
    with gateway(upstream.url, KEEPS_TEXT) as running:
        yield running


def second_key(gate: Running, account: str = "acct_b") -> str:
    with ControlState(gate.folder.state, gate.folder.secret()) as state:
        key = state.issue(account, now_us=time.time_ns() // 1000)
    until(lambda: ask(gate.url + "/v1beta/files/none", method="GET", key=key)[0] != 401, what="the key")
    return key


@pytest.mark.slow
def test_a_resumable_upload_goes_on_at_the_gateway_and_its_document_is_captured(
    upstream: Uploads, gate: Running
) -> None:
    other = second_key(gate)
    status, address = start(gate, gate.key)
    assert (status, urlsplit(address).netloc) == (200, f"127.0.0.1:{gate.port}")
    assert UPSTREAM_KEY not in address
    assert gate.key not in address
    assert put(address, b"x", key=other)[0] == 404, "another account's upload"
    assert put(address.replace("AFiumC", "AFiumD"), b"x")[0] == 401, "the seal is of another address"
    assert put(address[:-1] + "z", b"x")[0] == 401
    assert put(address.partition("&stillwatch")[0], b"x")[0] == 401, "no seal and no key"
    document = docx(WORDS)
    _, said = put(address, document)
    name = said["file"]["name"]
    assert upstream.files[name.rpartition("/")[2]] == document
    _, path, head = upstream.seen[-1]
    assert "stillwatch" not in path
    assert "upload_id=AFiumC0" in path
    assert head.keys().isdisjoint(("x-goog-api-key", "authorization")), "the address is the key"
    assert ask(f"{gate.url}/v1beta/{name}", method="GET", key=gate.key)[0] == 200
    assert ask(f"{gate.url}/v1beta/{name}", method="GET", key=other)[0] == 404
    at = f"/upload/v1/fileSearchStores/{other[6:14]}:uploadToFileSearchStore"
    assert start(gate, gate.key, at)[0] == 404, "a store of nobody"
    gate.own(other[6:14])
    assert start(gate, gate.key, at)[0] == 200
    assert ask(address, x_goog_upload_command="query")[1]["x-goog-upload-size-received"]
    found = until(lambda: [row for row in gate.rows() if "drained149" in (row["prompt"] or "")], what="it")
    assert found[0]["account"] == "acct_test"
    assert WORDS in " ".join(found[0]["prompt"].split())


@pytest.mark.slow
def test_pieces_are_carried_and_what_they_make_begins_no_batch(upstream: Uploads, gate: Running) -> None:
    line = json.dumps({"custom_id": "a", "url": "/v1/chat/completions", "body": {"model": "g"}}).encode()
    names, whole = [], line + b"\n" + line
    for cut in (0, len(line) + 1):
        _, address = start(gate, gate.key)
        if cut:
            assert put(address, whole[:cut], last=False) == (200, None)
        status, said = put(address, whole[cut:], offset=cut)
        assert status == 200
        assert upstream.files[said["file"]["name"][6:]] == whole
        names.append(said["file"]["name"])
    batch = [
        ask(gate.url + "/v1/batches", json.dumps({"input_file_id": name}).encode(), gate.key,
            content_type="application/json")[2]
        for name in names
    ]  # fmt: skip
    assert [one["error"]["code"] for one in batch] == [404, "bad_batch"]


@pytest.mark.slow
def test_a_document_in_pieces_is_captured_as_a_whole(upstream: Uploads, gate: Running) -> None:
    document = docx(WORDS.replace("drained", "dripped"))
    _, address = start(gate, gate.key)
    for at in range(0, len(document), 300):
        status, said = put(address, document[at : at + 300], at, last=at + 300 >= len(document))
        assert status == 200
    assert upstream.files[said["file"]["name"][6:]] == document
    found = until(lambda: [row for row in gate.rows() if "dripped149" in (row["prompt"] or "")], what="it")
    assert len(found) == 1
    assert " ".join(found[0]["prompt"].split()).count("dripped") == 150


def upload_intent(offset: int, last: bool, upload: str = "u", account: str = "a") -> Intent:
    target = f"/upload/v1/files?upload_id={upload}"
    return Intent(
        1, account, "k", None, None, "other", target, None, None, None, "allowed", piece=(offset, last)
    )


def test_what_is_put_together_is_a_document_in_order_and_accepted() -> None:
    pieces = UploadPieces()
    head, rest = b"%PDF-1.7 a", b" b"
    assert pieces.read_body(upload_intent(0, True), head, True) == head, "alone"
    assert pieces.read_body(upload_intent(0, False, "text"), b"words", True) == b"words", (
        "is read as it comes"
    )
    assert pieces.read_body(upload_intent(5, True, "text"), b" more", True) == b" more"
    assert pieces.read_body(upload_intent(0, False), head, True) == b""
    assert pieces.read_body(upload_intent(0, False, account="b"), head + b"2", True) == b"", (
        "another's of that name"
    )
    assert pieces.read_body(upload_intent(10, False), b"x", False) == b"x", "which the upstream refused"
    assert pieces.read_body(upload_intent(9, False), b"x", True) == b"", "out of order"
    assert pieces.read_body(upload_intent(10, False), rest, True) == b""
    assert pieces.read_body(upload_intent(12, True), b"", True) == head + rest, (
        "ended by a request of its own"
    )
    assert pieces.read_body(upload_intent(12, True), rest, True) == rest, "nothing is held any more"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_pieces_that_two_workers_took_are_put_together_in_any_order(order: tuple[int, ...]) -> None:
    cut = [(0, False, b"%PDF-1.7 a"), (10, False, b" b"), (12, True, b" c")]
    pieces = UploadPieces()
    read = [pieces.read_body(upload_intent(cut[k][0], cut[k][1]), cut[k][2], True) for k in order]
    assert read[-1] == b"%PDF-1.7 a b c"
    assert pieces.read_body(upload_intent(14, True), b"x", True) == b"x", "nothing is held any more"


def test_a_piece_that_comes_after_a_bare_end_is_read_with_the_others() -> None:
    pieces = UploadPieces()
    assert pieces.read_body(upload_intent(0, False), b"%PDF-1", True) == b""
    assert pieces.read_body(upload_intent(0, True), b"", True) == b"%PDF-1", "nobody says where it ends"
    assert pieces.read_body(upload_intent(6, False), b" b", True) == b"%PDF-1 b"
    assert pieces.read_body(upload_intent(4, False), b"-1 b c", True) == b"%PDF-1 b c", "sent again"
    late = UploadPieces()
    assert late.read_body(upload_intent(5, True), b"more", True) == b"more"
    assert late.read_body(upload_intent(0, False), b"words", True) == b"words", "no document: as they come"
    assert late.read_body(upload_intent(9, True), b"end", True) == b"end"
    assert late.held_bytes == 0


def part_form(data: bytes, more: bytes = b"") -> bytes:
    head = b'--b\r\nContent-Disposition: form-data; name="data"; filename="p"\r\n\r\n'
    return more + head + data + b"\r\n--b--\r\n"


def openai_part(pieces: UploadPieces, data: bytes, name: str, upload: str = "u", status: int = 200) -> bytes:
    intent = replace(upload_intent(0, True, account="a"), target=f"/v1/uploads/{upload}/parts", piece=None)
    return pieces.read(intent, part_form(data), ExchangeOutcome(2, "complete", status, 0, 0, part=name))[1]


def complete(pieces: UploadPieces, *names: str) -> tuple[str, bytes]:
    intent = replace(
        upload_intent(0, True, account="a"), target="/v1/uploads/u/complete", piece=None, kind="json"
    )
    body = json.dumps({"part_ids": names}).encode()
    found, read = pieces.read(intent, body, ExchangeOutcome(2, "complete", 200, 0, 0))
    return found.kind, b"" if read == body else read


def test_parts_are_put_in_the_order_in_which_they_are_completed() -> None:
    pieces = UploadPieces()
    assert openai_part(pieces, b" b\0", "p2") == b"", "nothing that can be read"
    assert openai_part(pieces, b"junk\0", "p9", status=500) == part_form(b"junk\0"), "the upstream refused it"
    assert openai_part(pieces, b"%PDF-1.7", "p1") == b""
    assert complete(pieces, "p1", "p2") == ("", b"%PDF-1.7 b\0")
    assert complete(pieces, "p1", "p2")[1] == b"", "nothing is held any more"
    words = UploadPieces()
    assert openai_part(words, b"Why is the", "p1") == part_form(b"Why is the"), "read as it comes, too"
    openai_part(words, b" sky blue?", "p2")
    assert complete(words, "p2", "p1", "p2") == ("", b" sky blue?Why is the sky blue?")


def test_a_part_that_another_worker_took_is_waited_for() -> None:
    pieces = UploadPieces()
    openai_part(pieces, b"%PDF-1.7", "p1")
    assert complete(pieces, "p1", "p2") == ("json", b"")
    assert openai_part(pieces, b" b", "p2", upload="other") == part_form(b" b")
    assert openai_part(pieces, b" b", "p2") == b"%PDF-1.7 b"


def test_what_is_held_of_parts_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.gateway.record.upload_pieces.MOST_BYTES", 100)
    monkeypatch.setattr("stillwatch.gateway.record.upload_pieces.MOST_HELD", 150)
    pieces = UploadPieces()
    for n in range(5):
        openai_part(pieces, b"%PDF-" + bytes(60), f"p{n}")
    assert complete(pieces, "p0", "p4") == ("", b"%PDF-"), "too large: it counts as damaged"
    openai_part(pieces, b"%PDF-" + bytes(60), "p0")
    for n in range(3):
        openai_part(pieces, bytes(80), f"p{n}", upload=f"u{n}")
    assert complete(pieces, "p0") == ("", b"%PDF-"), "let go for others"
    assert pieces.held_bytes <= 150


def test_what_is_held_of_pieces_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.gateway.record.upload_pieces.MOST_BYTES", 100)
    monkeypatch.setattr("stillwatch.gateway.record.upload_pieces.MOST_HELD", 290)
    pieces, first = UploadPieces(), b"%PDF-" + bytes(85)
    for n in range(3):
        pieces.read_body(upload_intent(0, False, f"u{n}"), first, True)
    for n in range(20):
        pieces.read_body(upload_intent(90 + 90 * n, False, "u1"), bytes(90), True)
    assert len(pieces.read_body(upload_intent(1_890, True, "u1"), b"x", True)) == 180, (
        "no more than tells its size"
    )
    assert pieces.read_body(upload_intent(90, True, "u0"), b"x", True) == b"%PDF-", (
        "the oldest: it counts as damaged"
    )
    assert pieces.read_body(upload_intent(90, True, "u2"), b"x", True) == first + b"x"


@pytest.mark.slow
def test_a_document_in_parts_is_captured_through_two_workers() -> None:
    """OpenAI's parts arrive on any connection, in any order; their names arrive in the replies."""
    document, names = docx(WORDS.replace("drained", "dropped")), iter("qrst")

    def answer(asked: Asked) -> Any:
        if asked.path.endswith("/parts"):
            return {"id": f"part_{next(names)}", "object": "upload.part"}
        return {
            "id": "upload_1",
            "object": "upload",
            "file": {"id": "file-1"} if "complete" in asked.path else None,
        }

    with scripted(answer) as up, gateway(up.url, KEEPS_TEXT, workers=2) as gate:
        ask_any(
            gate, "POST", "/v1/uploads", {"purpose": "user_data", "filename": "q", "bytes": len(document)}
        )
        kind, third = "multipart/form-data; boundary=b", len(document) // 3
        cut = {k: document[k * third : None if k == 2 else (k + 1) * third] for k in (1, 2, 0)}
        ids = {
            k: ask_any(gate, "POST", "/v1/uploads/upload_1/parts", part_form(data), content__type=kind)[1][
                "id"
            ]
            for k, data in cut.items()
        }
        body = {"part_ids": [ids[k] for k in range(3)]}
        assert ask_any(gate, "POST", "/v1/uploads/upload_1/complete", body)[0] == 200
        found = until(
            lambda: [row for row in gate.rows() if "dropped149" in (row["prompt"] or "")], what="it"
        )
        assert " ".join(found[0]["prompt"].split()).count("dropped") == 150


@pytest.mark.slow
def test_uploads_of_the_elder_kind_and_addresses_of_jobs_come_back_too(
    upstream: Uploads, gate: Running
) -> None:
    there = ask(gate.url + "/upload/v1beta/files?uploadType=resumable", b"{}", gate.key, **JSON)[1][
        "location"
    ]
    assert urlsplit(there).port == gate.port
    assert ask(there, docx(WORDS), method="PUT", content_type="application/octet-stream")[0] == 200
    for status in ("201", "307"):
        said = ask(
            gate.url + "/v1/files", b"{}", gate.key, **JSON, x_status=status, host="api.example.com",
            x_send_to=upstream.url + "/openai/operations/op-7?v=1", x_forwarded_proto="https",
        )  # fmt: skip
        assert said[1]["location"] == "https://api.example.com/openai/operations/op-7?v=1"
    assert ask(gate.url + "/v1/files", b"{}", gate.key, **JSON, x_status="302", x_send_to=ELSEWHERE)[0] == 502
    assert start(gate, gate.key, x_own=ELSEWHERE)[0] == 502
    far = ask(
        gate.url + "/v1/files", b"{}", gate.key, **JSON, x_status="201", x_send_to="https://example.net/7"
    )
    assert (far[0], far[1]["location"]) == (201, "https://example.net/7"), "nobody goes there by himself"


@pytest.mark.slow
def test_limits_hold_for_uploads_and_a_revoked_key_ends_them(upstream: Uploads) -> None:
    own = '[capture]\nmax_body_bytes = 65536\n[[operation]]\nmethod = "POST"\npath = "/v1/jobs"\n'
    terms = "version = 1\n[limits]\nrequests_per_minute = 4\n" + own + 'does = "creates"\n'
    with gateway(upstream.url, terms, recorder=False) as gate:
        _, address = start(gate, gate.key)
        assert put(address, bytes(65_537))[0] == 413
        statuses = [put(address, b"x", last=False)[0] for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        free = second_key(gate)
        head = {"x_status": "302", "x_send_to": ELSEWHERE}
        assert ask(gate.url + "/v1/jobs", b"{}", free, **JSON, **head)[0] == 302, "the owner's own line"
        _, address = start(gate, free)
        assert put(address, b"x", last=False)[0] == 200
        with ControlState(gate.folder.state, gate.folder.secret()) as state:
            state.revoke(free[6:14], now_us=time.time_ns() // 1000)
        until(lambda: put(address, b"x", last=False)[0] == 401, what="the revoked key")


@pytest.mark.slow
def test_with_keys_of_the_upstream_an_upload_is_its_account_s(upstream: Uploads) -> None:
    terms = KEEPS_TEXT.replace('keys = "issued"', 'keys = "upstream"')
    with gateway(upstream.url, terms) as gate:
        _, address = start(gate, "AIza-own")
        assert put(address, docx(WORDS))[0] == 200
        rows = gate.rows(2)
        assert len({row["account"] for row in rows}) == 1
        assert rows[0]["account"].startswith("key_")


HERE = Request("POST", "/x", [(b"Host", b"gw:8080")], [], b"", True, True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("location: https://API.example.com/v1/x?y=https://a.b/c", "http://gw:8080/v1/x?y=https://a.b/c"),
        ("location: //api.example.com:443/v1/x", "http://gw:8080/v1/x"),
        ("operation-location: https://api.example.com", "http://gw:8080/"),
        ("link: <https://api.example.com/f?a=2>; rel=next, <https://z.y/>; rel=x",
         "<http://gw:8080/f?a=2>; rel=next, <https://z.y/>; rel=x"),
        ("report-to: https://api.example.com.evil.net/r", "https://api.example.com.evil.net/r"),
        ("x: https://api.example.com:8443/r", "https://api.example.com:8443/r"),
        ("location: https://api.example.com@evil.net/r", None),
        ("location: https://[evil/r", None),
        ("x-goog-upload-url: https://evil.net/r", None),
        ("content-location: https://evil.net/r?upload_id=1", None),
    ],
)  # fmt: skip
def test_addresses_of_the_upstream_and_no_others_are_turned(header: str, expected: str | None) -> None:
    name, _, value = header.partition(": ")
    target = Target("https://api.example.com/v1")
    given = (name.encode(), value.encode()), 302, HERE, target, "k1", b"s" * 32
    if expected is None:
        with pytest.raises(ElsewhereError):
            on_this_gateway(*given)
    else:
        assert on_this_gateway(*given) == ((name.encode(), expected.encode()), [])


def test_a_seal_is_of_one_address_one_holder_and_one_gateway() -> None:
    value = b"https://api.example.com/upload/v1beta/files?upload_id=u%2F1&key=AIza&access_token=t"
    target = Target("https://api.example.com")
    (_, turned), uploads = on_this_gateway((b"X-Goog-Upload-URL", value), 200, HERE, target, "k1", b"s" * 32)
    path = turned.decode().removeprefix("http://gw:8080")
    assert uploads == ["u/1"]
    assert path.startswith("/upload/v1beta/files?upload_id=u%2F1&stillwatch-upload=k1.")
    assert holder_of(path, b"s" * 32) == "k1"
    for wrong in (path.replace("k1.", "k2."), path.replace("u%2F1", "u%2F2"), path + "&x=1", path[:-1]):
        assert holder_of(wrong, b"s" * 32) is None
    assert holder_of(path, b"t" * 32) is None
