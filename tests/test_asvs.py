"""The checklist of docs/figures/asvs.md: the tests in its rows exist; and checks that no other test makes."""

import ast
import re
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from html.parser import HTMLParser
from pathlib import Path

import httpx2 as httpx
import pytest
import uvicorn
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from console_world import NOW, Visitor, World, csrf_in, world
from exports_world import certificate
from gateway_world import free_port, until
from served import COMMAND
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.signing import new_signer
from stillwatch.cases.store import Store
from stillwatch.console import UserRole, factor_seal, people, second_factor, sessions
from stillwatch.console.app import PAGES
from stillwatch.console.factor_seal import FactorSeal
from stillwatch.console.guard import HSTS
from test_console import addresses

ROOT = Path(__file__).parents[1]
CONSOLE = ROOT / "src/stillwatch/console"
TABLE = ROOT / "docs/figures/asvs.md"
STATES = ("met", "not met", "not applicable")
REQUIREMENTS = 253  # of levels 1 and 2 in ASVS 5.0.0
EVALUATING = {"eval", "exec", "compile", "system", "popen", "from_string"}
MODULES = {"pickle", "marshal", "shelve", "yaml", "xml", "lxml", "ctypes"}


def rows() -> list[tuple[str, ...]]:
    """Return (id, level, text, state, tests or reason) of each requirement."""
    lines = [line for line in TABLE.read_text().splitlines() if re.match(r"\| \d", line)]
    return [tuple(cell.strip() for cell in line.strip("|").split(" | ")) for line in lines]


def named_tests() -> set[str]:
    return {test for *_, walked in rows() for test in re.findall(r"`(test_\w+\.py::\w+)`", walked)}


def test_every_requirement_stands_once_with_its_state_and_what_walks_it() -> None:
    found = rows()
    numbers = [tuple(map(int, row[0].split("."))) for row in found]
    assert len(found) == REQUIREMENTS
    assert all(len(number) == 3 for number in numbers)
    assert numbers == sorted(set(numbers))
    for row in found:
        assert len(row) == 5, row
        _, level, text, state, walked = row
        assert (level in "12", state in STATES, bool(text)) == (True, True, True), row
        tests = re.findall(r"`test_\w+\.py::test_\w+`", walked)
        assert walked == "<br>".join(tests) if state == "met" else walked and not tests, row


def test_the_page_counts_what_the_table_has() -> None:
    page = (ROOT / "docs/asvs.md").read_text()
    for state in STATES:
        assert f"| {state} | {sum(row[3] == state for row in rows())} |" in page


def test_every_test_that_is_named_is_written() -> None:
    for file in {test.partition("::")[0] for test in named_tests()}:
        written = set(re.findall(r"^def (test_\w+)\(", (ROOT / "tests" / file).read_text(), re.MULTILINE))
        wanted = {test.partition("::")[2] for test in named_tests() if test.startswith(f"{file}::")}
        assert wanted <= written, (file, wanted - written)


@pytest.mark.slow
def test_every_test_that_is_named_is_collected() -> None:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "--collect-only",
        "-q",
        "--no-header",
        "-p",
        "no:cacheprovider",
    ]
    files = sorted({test.partition("::")[0] for test in named_tests()})
    got = subprocess.run([*command, *files], cwd=ROOT / "tests", capture_output=True, text=True)
    collected = set(re.findall(r"(test_\w+\.py::test_\w+)", got.stdout))
    assert named_tests() - collected == set(), got.stdout[-2_000:]


# --- checks that no other test makes ---


def calls() -> Iterator[tuple[Path, ast.Call, str]]:
    """Return every call in the console, with the last part of the called name."""
    for path in sorted(CONSOLE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func
                name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
                yield path, node, name


@pytest.mark.slow
def test_the_console_runs_no_shell_and_evaluates_nothing() -> None:
    for path, call, name in calls():
        of_re = isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "re"
        assert name not in EVALUATING or of_re, (path, call.lineno)
        assert not any(word.arg == "shell" for word in call.keywords), (path, call.lineno)
    for path in CONSOLE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            modules = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not MODULES & {module.split(".")[0] for module in modules}, path


def test_patterns_are_never_made_of_a_request() -> None:
    for path, call, _ in calls():
        if isinstance(call.func, ast.Attribute) and getattr(call.func.value, "id", "") == "re":
            assert isinstance(call.args[0], ast.Constant), (path, call.lineno)


def test_no_file_is_opened_by_a_name_of_a_request(still: World) -> None:
    paul = still.client("paul")
    for name in ("..%2fapp.py", "%2e%2e/app.py", "....//app.py", "console.css%00", "/etc/passwd", "app.py"):
        got = paul.get(f"/static/{name}")
        assert (got.status_code, "import" in got.text) == (404, False), name
    for case in ("..%2f..%2fetc%2fpasswd", "%00", "cases.db"):
        assert paul.get(f"/case/{case}.json").status_code == 404


def test_no_folder_is_listed_and_no_trace_is_answered(still: World) -> None:
    paul = still.client("paul")
    assert [paul.get(path).status_code for path in ("/static", "/static/", "/.git/config")] == [404, 404, 404]
    assert paul.request("TRACE", "/queue").status_code == 405


def test_headers_are_those_that_the_standard_wants(still: World) -> None:
    for visitor, path in (
        (still.client("paul"), "/queue"),
        (still.client(), "/login"),
        (still.client(), "/x"),
    ):
        headers = visitor.get(path).headers
        policy = dict(
            part.strip().partition(" ")[::2] for part in headers["content-security-policy"].split(";")
        )
        assert [policy[name] for name in ("default-src", "base-uri", "frame-ancestors")] == ["'none'"] * 3
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
    assert "max-age=31536000" in HSTS[1]


@pytest.mark.slow
def test_every_answer_says_its_type_and_characters(still: World) -> None:
    paul = still.client("paul")
    forms = {"": "text/html; charset=utf-8", ".json": "application/json", ".csv": "text/csv; charset=utf-8"}
    for page in PAGES:
        path, _, words = addresses(still)[page.path].partition("?")
        for ending, kind in forms.items():
            got = paul.get(f"{path}{ending}?{words}")
            if got.status_code == 200:
                assert got.headers["content-type"] == kind, (path, ending)
            got.content.decode("utf-8")


@pytest.mark.slow
def test_every_page_offers_to_log_out(still: World) -> None:
    paul = still.client("paul")
    for path in addresses(still).values():
        assert '<form method="post" action="/logout"' in paul.get(path).text, path


def test_nothing_redirects_to_tls(still: World) -> None:
    for path in ("/", "/queue", "/queue.json", "/login"):
        assert not still.client().get(path).headers.get("location", "").startswith("http"), path


class _Fields(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "input":
            self.found.append(dict(attrs))


def test_fields_for_passwords_hide_them_and_take_what_a_manager_gives(still: World) -> None:
    shown = (
        _Fields(still.client("anna").get("/me").text).found + _Fields(still.client().get("/login").text).found
    )
    secret = [one for one in shown if "password" in str(one.get("autocomplete"))]
    assert len(secret) >= 5
    assert {one["type"] for one in secret} == {"password"}
    assert {one["type"] for one in shown if one.get("name") in ("password", "current", "new", "again")} == {
        "password"
    }
    assert not any("paste" in str(one) or "hint" in str(one) or "maxlength" in one for one in secret)


@pytest.mark.slow
def test_a_password_counts_as_it_was_typed_whatever_it_is_made_of(tmp_path: Path) -> None:
    mine = world(tmp_path)
    for password in (
        "  two blanks around  ",
        "ALL CAPITALS HERE",
        "x" * 40 + "Пароль🙂" * 20,
        "only small letters",
    ):
        people.add(mine.store, "anna", UserRole.READER, password, who="t", now_us=NOW)
        assert people.check(mine.store, "anna", password) is not None
        for other in (password.strip() + "!", password.swapcase(), password[:-1], password + " "):
            assert people.check(mine.store, "anna", other) is None
    mine.clock[0] += 10 * 365 * 86_400_000_000
    assert Visitor(mine.app).log_in("anna", "only small letters") == 303  # it does not expire
    mine.store.close()


def test_the_script_keeps_nothing_in_the_browser() -> None:
    own = (CONSOLE / "static/console.js").read_text()
    for word in (
        "localStorage",
        "sessionStorage",
        "indexedDB",
        "document.cookie",
        "__proto__",
        "innerHTML",
        "eval(",
    ):
        assert word not in own, word


def test_cryptography_is_from_libraries_and_strong_enough() -> None:
    assert (people.N, people.R, people.P) == (1 << 15, 8, 3)  # OWASP, Password Storage Cheat Sheet
    assert len(bytes.fromhex(sessions.digest_of("x"))) == 32
    assert len(bytes.fromhex(new_signer().key)) == 32  # Ed25519
    assert second_factor.SECRET_BYTES == 20
    seal = FactorSeal(bytes(32), Path("key"))
    assert isinstance(factor_seal.ChaCha20Poly1305(seal.key), ChaCha20Poly1305)  # appendix C: approved
    assert len({seal.seal("GEZDGNBVGY3TQOJQ", "anna") for _ in range(8)}) == 8
    for path in CONSOLE.rglob("*.py"):
        assert not re.search(r"\bimport random\b|\bmd5\b|\bECB\b", path.read_text()), path


def test_tls_begins_at_1_2(tmp_path: Path) -> None:
    place = certificate(tmp_path)
    config = uvicorn.Config(
        lambda: None, ssl_certfile=place / "cert.pem", ssl_keyfile=place / "key.pem", log_config=None
    )
    config.load()
    assert config.ssl is not None
    assert config.ssl.minimum_version >= ssl.TLSVersion.TLSv1_2
    names = [one["name"] for one in config.ssl.get_ciphers()]
    assert names
    assert not [name for name in names if re.search("RC4|3DES|DES-CBC|NULL|EXPORT|MD5|anon", name)]


@pytest.mark.parametrize(
    ("page", "wanted"),
    [
        ("console.md", "Failures are counted over 15 minutes"),  # 6.1.1
        ("console.md", "never keep it out"),
        ("console.md", "After five wrong codes in a row"),
        ("console.md", "Passwords that attackers try first are refused"),  # 6.1.2
        ("console.md", "## Single sign-on"),  # 6.1.3, 7.1.3
        ("console.md", "## Second factor"),
        ("console.md", "## API tokens"),
        ("console.md", "A session ends after an hour without use, after twelve hours"),  # 7.1.1
        ("console.md", "A person may have any number"),  # 7.1.2
        ("console.md", "## Roles"),  # 8.1.1
        ("console.md", "see every page but prompts and SQL"),  # 8.1.2
        ("console.md", "A step is big if"),  # 2.1.3
        ("console.md", "1,000 ms, 1,000 rows"),  # 15.1.3
        ("exports.md", "alerts.toml"),  # 13.1.1
        ("audit.md", "every action on a case, every look at content"),  # 16.1.1, 16.2.3
    ],
)
def test_the_documents_say_what_the_standard_wants_written(page: str, wanted: str) -> None:
    assert wanted in (ROOT / "docs" / page).read_text()


# --- a console that is really served ---


@contextmanager
def console(folder: Path, *words: str) -> Iterator[int]:
    port = free_port()
    with subprocess.Popen(
        [*COMMAND, "console", str(folder), "--port", str(port), *words], stdout=subprocess.PIPE, text=True
    ) as serving:
        assert serving.stdout is not None
        assert "Console:" in serving.stdout.readline()
        until(lambda: _answers(port), 60, "the console")
        try:
            yield port
        finally:
            serving.terminate()


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.mark.slow
@pytest.mark.parametrize(("words", "address"), [((), "127.0.0.1"), (("--behind-tls",), "203.0.113.7")])
def test_a_header_of_a_proxy_counts_where_the_owner_says_there_is_one(
    tmp_path: Path, words: tuple[str, ...], address: str
) -> None:
    world(tmp_path).store.close()
    with console(tmp_path, *words) as port:
        here = f"http://127.0.0.1:{port}"
        with httpx.Client(
            base_url=here, headers={"x-forwarded-for": "203.0.113.7", "origin": here}
        ) as visitor:
            page = visitor.get("/login")
            cookies = "; ".join(cookie.partition(";")[0] for cookie in page.headers.get_list("set-cookie"))
            form = {"name": "anna", "password": "wrong", "csrf": csrf_in(page.text), "next": ""}
            assert visitor.post("/login", data=form, headers={"cookie": cookies}).status_code == 401
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store, store.reading() as db:
        assert read(db, limit=1)[0].detail == {"address": address}


@pytest.mark.slow
def test_an_offer_of_another_protocol_makes_no_request_of_a_body(tmp_path: Path) -> None:
    world(tmp_path).store.close()
    hidden = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
    head = b"GET /login HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: h2c\r\n"
    with console(tmp_path) as port, socket.create_connection(("127.0.0.1", port), 10) as line:
        line.sendall(head + b"Content-Length: %d\r\n\r\n" % len(hidden))
        time.sleep(0.2)
        line.sendall(hidden)
        line.settimeout(60)
        answers = line.recv(4096)
        line.settimeout(2)  # for one that should not come
        with suppress(TimeoutError):
            while data := line.recv(4096):
                answers += data
    assert answers.count(b"HTTP/1.1 ") == 1


@pytest.mark.slow
def test_a_message_with_two_lengths_is_refused(tmp_path: Path) -> None:
    world(tmp_path).store.close()
    hidden = b"0\r\n\r\nGET /queue HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with console(tmp_path) as port:
        for lengths in (
            b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 6\r\nContent-Length: 60\r\n",
            b"Transfer-Encoding: chunked, identity\r\n",
        ):
            with socket.create_connection(("127.0.0.1", port), 10) as line:
                head = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"
                kind = b"Content-Type: application/x-www-form-urlencoded\r\n"
                line.sendall(head + kind + lengths + b"\r\n" + hidden)
                line.shutdown(socket.SHUT_WR)
                answer = b"".join(iter(lambda line=line: line.recv(65_536), b""))
            assert answer.count(b"HTTP/1.1 ") == 1, (lengths, answer)
            assert answer.startswith(b"HTTP/1.1 400"), (lengths, answer[:200])
