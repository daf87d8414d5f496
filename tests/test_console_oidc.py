"""Log-in with an identity provider: a real one admits its users, and a forging one admits nobody else."""

import base64
import hmac
import html
import json
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from click.testing import Result
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from sqlalchemy import text
from typer.testing import CliRunner

from console_world import COOKIE, HERE, NOW, PASSWORD, Visitor, World, csrf_in, world
from gateway_world import free_port
from identity_provider import PASSWORD as THERE
from identity_provider import RealProvider, real_provider
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.store import Store
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import ConsoleError, UserRole, identities, openid, people, sessions
from stillwatch.console.app import make
from stillwatch.console.identities import BoundIdentity
from stillwatch.console.openid import IdentityProvider, ProviderSettings, load_provider
from stillwatch.console.pages.identity_login import BACK
from stillwatch.console.throttle import RECORDED
from stillwatch.errors import InputError, StillwatchError
from stillwatch.gateway.admin.app import Console

TRY = "stillwatch-oidc-8090"


def cli(*words: str) -> Result:
    return CliRunner().invoke(app_of_verbs, list(words), input="")


MINUTE_US = 60_000_000


def with_provider(made: World, provider: IdentityProvider | None) -> World:
    assert provider is not None
    clock = made.clock
    app = make(made.store, made.gateway, hosts={"127.0.0.1"}, provider=provider, now_us=lambda: clock[0])
    return replace(made, app=app)


def who(made: World, visitor: Visitor) -> str | None:
    """Return the owner of a browser's session."""
    cookie = visitor.cookies.get(COOKIE)
    session = sessions.find(made.store, cookie, made.clock[0]) if cookie else None
    return None if session is None else f"{session.user.name}, {session.user.role.name.lower()}"


def on_record(made: World) -> list[tuple[str, str, dict[str, Any]]]:
    """Return the audit trail since the world was made: who, what, detail."""
    with made.store.reading() as db:
        return [(one.who, one.what, dict(one.detail)) for one in reversed(read(db, limit=1_000))]


def refused(made: World) -> list[str]:
    return [detail["refused"] for _, what, detail in on_record(made) if what == "log-in failed"]


# --- a real provider ---


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealProvider]:
    with real_provider(tmp_path_factory.mktemp("provider"), free_port(), HERE + BACK) as provider:
        yield provider


@pytest.fixture
def desk(real: RealProvider, tmp_path: Path) -> Iterator[World]:
    real.settings(tmp_path)
    made = with_provider(world(tmp_path), load_provider(tmp_path))
    yield made
    made.close()


def there(address: str, name: str, answer: str = "allow") -> str:
    """Log in at the provider and agree, as a browser does; return the address that it redirects to."""
    with requests.Session() as browser:
        page = browser.get(address, timeout=20)
        page = browser.post(
            page.url,
            data={**_hidden(page.text), "username": name, "password": THERE},
            headers={"referer": page.url},
            timeout=20,
            allow_redirects=False,
        )
        page = browser.get(requests.compat.urljoin(address, page.headers["location"]), timeout=20)
        form = _hidden(page.text) | ({"allow": "Authorize"} if answer == "allow" else {})
        back = browser.post(
            page.url, data=form, headers={"referer": page.url}, timeout=20, allow_redirects=False
        )
    assert back.status_code == 302, back.text
    return back.headers["location"]


def _hidden(page: str) -> dict[str, str]:
    inputs = re.findall(r"<input[^>]*type=\"hidden\"[^>]*>", page)
    pairs = [(re.search(r'name="([^"]*)"', one), re.search(r'value="([^"]*)"', one)) for one in inputs]
    return {name[1]: html.unescape(value[1]) if value else "" for name, value in pairs if name}


def enter(visitor: Visitor, name: str, target: str = "/terms", answer: str = "allow") -> Any:
    begun = visitor.get("/login/oidc", params={"next": target})
    assert begun.status_code == 303, begun.text
    return visitor.get(there(begun.headers["location"], name, answer))


@pytest.mark.slow
def test_people_log_in_at_a_real_provider_with_the_role_that_their_groups_give(
    desk: World, real: RealProvider
) -> None:
    visitor = desk.client()
    page = visitor.get("/login?next=/terms").text
    assert 'href="/login/oidc?next=%2Fterms">Log in with Example ID</a>' in page
    begun = visitor.get("/login/oidc?next=/terms")
    words = parse_qs(urlsplit(begun.headers["location"]).query)
    assert words["code_challenge_method"] == ["S256"]
    assert words["redirect_uri"] == [HERE + BACK]
    assert begun.headers["set-cookie"].startswith(f"{TRY}=")
    assert "HttpOnly; Max-Age=600; Path=/; SameSite=lax" in begun.headers["set-cookie"]
    done = enter(visitor, "olga")
    assert done.status_code == 200
    assert '<meta http-equiv="refresh" content="0; url=/terms">' in done.text
    session = next(c for c in done.headers.get_list("set-cookie") if c.startswith(f"{COOKIE}="))
    assert "HttpOnly; Path=/; SameSite=strict" in session
    assert (who(desk, visitor), visitor.get("/terms").status_code) == ("olga, analyst", 200)
    assert visitor.cookies.get(TRY) is None

    again, boss = desk.client(), desk.client()
    assert enter(again, "olga").status_code == enter(boss, "otto").status_code == 200
    assert (who(desk, again), who(desk, boss)) == ("olga, analyst", "otto, approver")
    real.set_groups("olga", ["abuse-leads"])
    enter(again, "olga")
    assert (who(desk, again), who(desk, visitor)) == ("olga, approver", "olga, approver")
    real.set_groups("olga", [])
    left = enter(desk.client(), "olga")
    assert (left.status_code, "gives you no role here" in left.text) == (403, True)
    assert (who(desk, again), who(desk, visitor)) == (None, None)
    real.set_groups("olga", ["abuse-desk"])

    issuer = real.issuer
    told = [(a, what, d.get("issuer"), d.get("role")) for a, what, d in on_record(desk) if "olga" in (a,)]
    assert told == [("olga", "logged in", issuer, "analyst")] * 2 + [
        ("olga", "logged in", issuer, "approver")
    ]
    changes = [what for by, what, _ in on_record(desk) if by == identities.WHO]
    assert changes == ["console user added"] * 2 + [
        "console user changed",
        "console user has no role any more",
    ]
    assert refused(desk) == ["no role"]
    assert verify(desk.store).records > 0


@pytest.mark.slow
def test_who_has_no_role_or_anothers_name_or_says_no_is_not_let_in(desk: World, real: RealProvider) -> None:
    for name, answer, told in (
        ("omar", "allow", "which gives you no role here"),
        ("paul", "allow", "There is a user paul here already, who is not known to be you"),
        ("olga", "deny", "The identity provider says access_denied"),
    ):
        visitor = desk.client()
        done = enter(visitor, name, answer=answer)
        assert (done.status_code, who(desk, visitor)) == (403, None)
        assert told in done.text.replace("&#39;", "'"), name
    assert refused(desk) == ["no role", "name taken", "provider"]
    assert people.check(desk.store, "paul", PASSWORD) is not None


@pytest.mark.slow
def test_a_code_is_worth_nothing_in_another_browser_or_a_second_time(desk: World) -> None:
    victim, thief = desk.client(), desk.client()
    back = there(victim.get("/login/oidc").headers["location"], "olga")
    assert thief.get(back).status_code == 403  # without an attempt of its own
    thief.get("/login/oidc")
    assert thief.get(back).status_code == 403  # with an attempt of its own, and another state
    stolen = parse_qs(urlsplit(back).query)["code"][0]
    state = parse_qs(urlsplit(thief.get("/login/oidc").headers["location"]).query)["state"][0]
    iss = parse_qs(urlsplit(back).query)["iss"][0]
    injected = thief.get(BACK, params={"state": state, "code": stolen, "iss": iss})
    assert (injected.status_code, "invalid_grant" in injected.text) == (403, True)  # PKCE: another verifier
    assert who(desk, thief) is None


@pytest.mark.slow
def test_logging_out_says_that_the_provider_still_knows_the_person(desk: World, real: RealProvider) -> None:
    visitor = desk.client()
    enter(visitor, "olga")
    token = csrf_in(visitor.get("/terms").text)
    left = visitor.post("/logout", data={"csrf": token})
    assert left.headers["location"] == "/login?left=1"
    assert who(desk, visitor) is None
    page = visitor.get("/login?left=1").text
    assert f'href="{real.issuer}/logout/?client_id=stillwatch-console">Log out of Example ID as well' in page
    assert "Log out of" not in visitor.get("/login").text
    assert visitor.log_in("anna") == 303  # with a password as before


# --- a provider that forges ---

OWN, STRANGER = (rsa.generate_private_key(65537, 2048) for _ in range(2))


@dataclass
class Forger:
    """A provider whose every answer is set by a test."""

    issuer: str = ""
    key: rsa.RSAPrivateKey = OWN
    kid: str = "k1"
    metadata: dict[str, Any] = field(default_factory=dict)
    keys: list[dict[str, Any]] | None = None
    token: Callable[[dict[str, Any]], str] | None = None
    answer: tuple[int, bytes] | None = None
    nonce: str = ""
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)

    def claims(self, **more: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = {"iss": self.issuer, "sub": "u-1", "aud": "console", "exp": now + 300, "iat": now,
                  "nonce": self.nonce, "preferred_username": "ida", "groups": ["desk"]}  # fmt: skip
        return {name: value for name, value in {**claims, **more}.items() if value is not None}

    def public(self, **more: Any) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        parts = {
            name: coded(n.to_bytes((n.bit_length() + 7) // 8))
            for name, n in (("n", numbers.n), ("e", numbers.e))
        }
        return {"kty": "RSA", "kid": self.kid, "use": "sig", **parts, **more}

    def signed(self, claims: dict[str, Any], key: rsa.RSAPrivateKey | None = None, **head: Any) -> str:
        body = _body({"alg": "RS256", "kid": self.kid, **head}, claims)
        made = (key or self.key).sign(body.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{body}.{coded(made)}"

    def get(self, path: str) -> tuple[int, bytes]:
        if path.endswith("openid-configuration"):
            own = {"issuer": self.issuer, "authorization_endpoint": f"{self.issuer}/authorize",
                   "token_endpoint": f"{self.issuer}/token", "jwks_uri": f"{self.issuer}/keys"}  # fmt: skip
            return 200, json.dumps(own | self.metadata).encode()
        return 200, json.dumps({"keys": [self.public()] if self.keys is None else self.keys}).encode()

    def post(self) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer
        make_token = self.token or self.signed
        return 200, json.dumps({"id_token": make_token(self.claims()), "access_token": "x"}).encode()


def coded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _body(head: dict[str, Any], claims: dict[str, Any]) -> str:
    return ".".join(coded(json.dumps(part).encode()) for part in (head, claims))


@pytest.fixture
def forger() -> Iterator[Forger]:
    made = Forger()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._say(*made.get(self.path))

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"])).decode()
            made.asked.append((self.path, dict(self.headers), content))
            self._say(*made.post())

        def _say(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(content)))
            if status in (301, 302):
                self.send_header("location", f"{made.issuer}/elsewhere")
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        made.issuer = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield made
        server.shutdown()
        thread.join(10)


ROLES = {"analyst": ("desk",), "approver": ("leads",)}


def settings_of(forger: Forger, **more: Any) -> ProviderSettings:
    return ProviderSettings(**{"issuer": forger.issuer, "client_id": "console", "roles": ROLES, **more})


@pytest.fixture
def forged(forger: Forger, tmp_path: Path) -> Iterator[World]:
    made = world(tmp_path, provider=IdentityProvider(settings_of(forger), "s3cret: of&us"))
    yield made
    made.close()


def arrive(visitor: Visitor, forger: Forger, target: str = "", **more: str) -> Any:
    """Return from a provider that agrees to everything."""
    begun = visitor.get("/login/oidc", params={"next": target})
    assert begun.status_code == 303, begun.text
    words = {name: one[0] for name, one in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    forger.nonce = words["nonce"]
    return visitor.get(BACK, params={"state": words["state"], "code": "c", **more})


@pytest.mark.slow
def test_a_sound_token_lets_in_and_the_secret_travels_as_the_provider_wants(
    forged: World, forger: Forger, tmp_path: Path
) -> None:
    visitor = forged.client()
    assert arrive(visitor, forger).status_code == 200
    assert who(forged, visitor) == "ida, analyst"
    path, headers, content = forger.asked[0]
    assert (path, headers["authorization"]) == (
        "/token", "Basic " + base64.b64encode(b"console:s3cret%3A+of%26us").decode(),
    )  # fmt: skip
    form = {name: one[0] for name, one in parse_qs(content).items()}
    assert form["redirect_uri"] == HERE + BACK
    assert len(form["code_verifier"]) == 64
    assert "client_secret" not in form
    forger.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    forger.token = lambda claims: forger.signed(
        {**claims, "groups": ["x", 3, "leads", "desk"], "aud": ["console"]}
    )
    other = with_provider(forged, IdentityProvider(settings_of(forger), "post"))
    assert arrive(visitor, forger).status_code == 200
    visitor = other.client()
    assert arrive(visitor, forger).status_code == 200
    assert who(other, visitor) == "ida, approver"
    assert parse_qs(forger.asked[-1][2])["client_secret"] == ["post"]


def by_secret(key: bytes) -> Callable[[Forger, dict[str, Any]], str]:
    def forge(forger: Forger, claims: dict[str, Any]) -> str:
        public = forger.key.public_key()
        pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        body = _body({"alg": "HS256", "kid": forger.kid}, claims)
        return f"{body}.{coded(hmac.digest(key or pem, body.encode(), 'sha256'))}"

    return forge


def with_claims(**more: Any) -> Callable[[Forger, dict[str, Any]], str]:
    def forge(forger: Forger, claims: dict[str, Any]) -> str:
        return forger.signed({name: v for name, v in {**claims, **more}.items() if v is not None})

    return forge


FORGERIES: dict[str, tuple[str, Callable[[Forger, dict[str, Any]], str]]] = {
    "another nonce": ("nonce", with_claims(nonce="0" * 64)),
    "no nonce": ("nonce", with_claims(nonce=None)),
    "a nonce that is no text": ("nonce", with_claims(nonce=["0"])),
    "for another client": ("audience", with_claims(aud="other")),
    "for others too": ("audience", with_claims(aud=["console", "other"])),
    "for us, given to another": ("audience", with_claims(azp="other")),
    "for nobody": ("token", with_claims(aud=None)),
    "of another issuer": ("issuer", with_claims(iss="https://evil.example")),
    "of nobody": ("token", with_claims(iss=None)),
    "expired": ("expired", with_claims(exp=int(time.time()) - 120)),
    "never expiring": ("token", with_claims(exp=None)),
    "of tomorrow": ("not yet valid", with_claims(iat=int(time.time()) + 86_400)),
    "not yet valid": ("not yet valid", with_claims(nbf=int(time.time()) + 86_400)),
    "naming nobody": ("token", with_claims(sub=None)),
    "naming an empty subject": ("token", with_claims(sub="")),
    "naming a long subject": ("token", with_claims(sub="u" * 256)),
    "naming a number": ("token", with_claims(sub=7)),
    "unsigned": ("algorithm", lambda f, c: _body({"alg": "none"}, c) + "."),
    "unsigned, in capitals": ("algorithm", lambda f, c: _body({"alg": "None", "kid": f.kid}, c) + "."),
    "by the public key": ("algorithm", by_secret(b"")),
    "by the client's secret": ("algorithm", by_secret(b"s3cret: of&us")),
    "by another key": ("signature", lambda f, c: f.signed(c, STRANGER)),
    "by a key that it brings": (
        "signature",
        lambda f, c: f.signed(c, STRANGER, jwk=replace(f, key=STRANGER).public(), jku="https://evil.example"),
    ),
    "by a key of no such name": ("key", lambda f, c: f.signed(c, kid="k2")),
    "by another way than the key's": ("key", lambda f, c: f.signed(c, alg="ES256")),
    "with its end cut off": ("signature", lambda f, c: f.signed(c)[:-6]),
    "changed after signing": (
        "signature",
        lambda f, c: ".".join(
            (
                f.signed(c).split(".")[0],
                coded(json.dumps({**c, "sub": "u-2"}).encode()),
                f.signed(c).split(".")[2],
            )
        ),
    ),
    "with extensions that nobody knows": ("token", lambda f, c: f.signed(c, crit=["exp"], exp=1)),
    "no token": ("token", lambda f, c: "a.b.c"),
    "an empty one": ("token", lambda f, c: ""),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_no_forged_token_lets_anybody_in(forged: World, forger: Forger, forgery: str) -> None:
    code, make_token = FORGERIES[forgery]
    forger.token = lambda claims: make_token(forger, claims)
    visitor = forged.client()
    done = arrive(visitor, forger)
    assert (done.status_code, who(forged, visitor)) == (403, None)
    assert 'role="alert"' in done.text
    assert "Traceback" not in done.text
    assert refused(forged) == [code]
    assert identities.bound(forged.store) == {}


@pytest.mark.parametrize(
    ("status", "content", "shown"),
    [
        (400, b'{"error": "invalid_grant"}', 403),
        (400, b'{"error": "<script>alert(1)</script>"}', 403),
        (200, b"{}", 403),
        (200, b'{"id_token": 7}', 403),
        (302, b"", 403),
        (200, b"[]", 503),
        (200, b"<html>", 503),
        (200, b"x" * 300_000, 503),
        (200, b"[" * 100_000, 503),
        (500, b"\xff", 403),
    ],
)
def test_what_else_a_provider_answers_is_a_sentence(
    forged: World, forger: Forger, status: int, content: bytes, shown: int
) -> None:
    forger.answer = (status, content)
    visitor = forged.client()
    done = arrive(visitor, forger)
    assert (done.status_code, who(forged, visitor)) == (shown, None)
    assert 'role="alert"' in done.text
    assert "<script>alert" not in done.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("metadata", "keys", "told"),
    [
        ({"issuer": "https://evil.example"}, None, "calls itself"),
        ({"token_endpoint": "http://id.example/token"}, None, "in the clear"),
        ({"authorization_endpoint": "javascript:alert(1)"}, None, "authorization_endpoint will not do"),
        ({"authorization_endpoint": None}, None, "authorization_endpoint will not do"),
        ({"jwks_uri": "file:///etc/passwd"}, None, "jwks_uri will not do"),
        ({"code_challenge_methods_supported": ["plain"]}, None, "no PKCE"),
    ],
)
def test_a_provider_that_will_not_do_is_named_and_passwords_go_on(
    forged: World, forger: Forger, metadata: dict[str, Any], keys: Any, told: str
) -> None:
    forger.metadata = metadata
    visitor = forged.client()
    got = visitor.get("/login/oidc")
    assert (got.status_code, told in got.text) == (503, True)
    assert visitor.log_in("anna") == 303


def test_a_secret_among_the_keys_signs_nothing(forged: World, forger: Forger) -> None:
    secret = {"kty": "oct", "kid": "k1", "k": coded(b"s" * 32), "alg": "HS256"}
    forger.keys = [secret, {"kty": "oct", "kid": "k1", "k": coded(b"s" * 32), "alg": "RS256"}]
    forger.token = lambda claims: by_secret(b"s" * 32)(forger, claims)
    assert arrive(forged.client(), forger).status_code == 403
    forger.token = None
    assert arrive(forged.client(), forger).status_code == 403
    assert refused(forged) == ["algorithm", "key"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"n": 5},
        {"n": ""},
        {"n": "%%%"},
        {"e": None},
        {"kty": ["RSA"]},
        {"kid": 7},
        {"x5c": 3, "n": "AQAB", "e": "AA"},
    ],
)
def test_keys_that_are_none_are_a_refusal(forged: World, forger: Forger, wrong: dict[str, Any]) -> None:
    forger.keys = [forger.public() | wrong, 7, "x", None, {}]  # type: ignore[list-item]
    done = arrive(forged.client(), forger)
    assert (done.status_code, "Traceback" in done.text) == (403, False)


@pytest.mark.slow
@pytest.mark.parametrize("odd", [7, None, "client_secret_basic", {"a": 1}, [7, None]])
def test_odd_words_of_a_provider_are_passed_over(forged: World, forger: Forger, odd: Any) -> None:
    forger.metadata = {
        "token_endpoint_auth_methods_supported": odd, "end_session_endpoint": None,
        "code_challenge_methods_supported": odd if odd != [7, None] else ["S256", 7],
        "authorization_response_iss_parameter_supported": "yes",
    }  # fmt: skip
    assert arrive(forged.client(), forger).status_code == 200


def test_a_provider_that_is_down_is_not_asked_by_everybody(forged: World, forger: Forger) -> None:
    asked: list[str] = []
    sound = forger.get
    forger.get = lambda path: (asked.append(path), (500, b"{}"))[1]  # type: ignore[method-assign]
    for _ in range(20):
        assert forged.client().get("/login/oidc").status_code == 503
    assert len(asked) == 1
    forger.get = sound  # type: ignore[method-assign]


@pytest.mark.slow
def test_a_new_key_of_the_provider_is_asked_for(
    forged: World, forger: Forger, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert arrive(forged.client(), forger).status_code == 200
    forger.key, forger.kid = STRANGER, "k2"
    assert arrive(forged.client(), forger).status_code == 403  # not twice within a minute
    monkeypatch.setattr(openid, "AGAIN_S", 0.0)
    assert arrive(forged.client(), forger).status_code == 200


@pytest.mark.slow
def test_a_try_counts_once_in_its_own_browser_and_for_ten_minutes(forged: World, forger: Forger) -> None:
    visitor = forged.client()
    begun = visitor.get("/login/oidc")
    cookie = visitor.cookies[TRY]
    words = {name: one[0] for name, one in parse_qs(urlsplit(begun.headers["location"]).query).items()}
    forger.nonce = words["nonce"]
    good = {"state": words["state"], "code": "c"}
    assert cookie not in begun.headers["location"]
    assert forged.client().get(BACK, params=good).status_code == 403

    def again(kept: str, **more: str) -> int:
        fresh = forged.client()
        fresh.cookies.set(TRY, kept, domain="127.0.0.1")
        return int(fresh.get(BACK, params=good | more).status_code)

    number, *rest = cookie.split(".")
    for planted in ("", "x", ".".join((str(int(number) + 60), *rest)), cookie + "A", cookie[:-1], "." * 60):
        assert again(planted) == 403, planted
    assert again(cookie, state="0" * 64) == again(cookie, state="") == 403
    forged.clock[0] += 11 * MINUTE_US
    assert again(cookie) == 403
    forged.clock[0] -= 12 * MINUTE_US + 30_000_000  # a clock that was set back
    assert again(cookie) == 403
    forged.clock[0] = NOW
    assert again(cookie, code="") == again(cookie, code="c" * 5_000) == 403
    assert not forger.asked
    assert again(cookie) == 200
    assert again(cookie) == 403
    assert refused(forged)[-1] == "replayed"


@pytest.mark.slow
def test_an_answer_of_another_provider_is_refused(forged: World, forger: Forger) -> None:
    assert arrive(forged.client(), forger, iss="https://evil.example").status_code == 403
    assert arrive(forged.client(), forger, iss=forger.issuer).status_code == 200
    forger.metadata = {"authorization_response_iss_parameter_supported": True}
    strict = with_provider(forged, IdentityProvider(settings_of(forger)))
    assert arrive(strict.client(), forger).status_code == 403
    assert refused(forged) == ["sender", "sender"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb",
     "/" + "a" * 1_500, '/"><script>'],
)  # fmt: skip
def test_it_leads_nowhere_else(forged: World, forger: Forger, target: str) -> None:
    visitor = forged.client()
    done = arrive(visitor, forger, target)
    led = re.search(r'content="0; url=([^"]*)"', done.text)
    assert led is not None
    assert led[1] in ("/queue", "/&#34;&gt;&lt;script&gt;")
    number, drawn, _ = visitor.get("/login/oidc").headers["set-cookie"].split("=")[1].split(";")[0].split(".")
    planted = f"{number}.{drawn}.{coded(target.encode())}"  # a foreign cookie: its state differs
    visitor.cookies.set(TRY, planted, domain="127.0.0.1")
    assert visitor.get(BACK, params={"state": "x", "code": "c"}).status_code == 403


@pytest.mark.slow
def test_an_address_binds_nobody_and_counts_only_where_it_was_verified(forged: World, forger: Forger) -> None:
    desk = with_provider(forged, IdentityProvider(settings_of(forger, name_claim="email")))
    mail = "ida@firm.example"

    def come(**claims: Any) -> str | None:
        forger.token = lambda own: forger.signed({**own, "email": mail, **claims})
        visitor = desk.client()
        arrive(visitor, forger)
        return who(desk, visitor)

    assert come(email_verified=False) is come(email_verified="true") is come() is None
    assert come(email_verified=True) == f"{mail}, analyst"
    assert come(sub="u-2", email_verified=True, groups=["leads"]) is None  # another person, the same address
    assert come(sub="u-2", email_verified=False, groups=["leads"]) is None
    assert come(email="else@firm.example", email_verified=False) == f"{mail}, analyst"  # the same person
    assert refused(forged) == ["name"] * 3 + ["name taken", "name"]
    assert identities.bound(forged.store) == {mail: BoundIdentity(forger.issuer, "u-1")}


@pytest.mark.parametrize("name", ["", "none", "gateway", "Ann Lee", "ann\u200b", "-x", "a" * 65, ["ann"]])
def test_names_that_the_record_could_mistake_are_refused(forged: World, forger: Forger, name: Any) -> None:
    forger.token = lambda claims: forger.signed({**claims, "preferred_username": name})
    visitor = forged.client()
    assert (arrive(visitor, forger).status_code, who(forged, visitor)) == (403, None)
    assert refused(forged) == ["name"]


@pytest.mark.slow
def test_a_disabled_user_stays_out_until_an_administrator_says_otherwise(
    forged: World, forger: Forger
) -> None:
    first, by = forged.client(), {"who": "root", "now_us": NOW}
    arrive(first, forger)
    people.disable(forged.store, "ida", **by)
    late = forged.client()
    assert (arrive(late, forger).status_code, who(forged, late), who(forged, first)) == (403, None, None)
    identities.bind(forged.store, "ida", UserRole.READER, BoundIdentity(forger.issuer, "u-1"), **by)
    arrive(late, forger)
    assert who(forged, late) == "ida, analyst"  # the provider states the role
    assert refused(forged) == ["disabled"]


@pytest.mark.slow
def test_each_user_has_one_way_in(forged: World, forger: Forger) -> None:
    by = {"who": "root", "now_us": NOW}
    own = forged.client("anna")
    identities.bind(forged.store, "anna", UserRole.ANALYST, BoundIdentity(forger.issuer, "u-1"), **by)
    assert who(forged, own) is None  # her sessions ended
    assert people.check(forged.store, "anna", PASSWORD) is None
    visitor = forged.client()
    arrive(visitor, forger)
    assert who(forged, visitor) == "anna, analyst"  # whatever the provider states
    for password in ("", PASSWORD):
        assert forged.client().log_in("anna", password) == 401
    forgery = f"{'0' * 32}.{hmac.digest(b'', b'browser ' + b'0' * 32 + b' anna', 'sha256').hex()}"
    assert people.known_browser(forged.store, "anna", forgery) == ""
    with pytest.raises(ConsoleError, match="one person is one user"):
        identities.bind(forged.store, "ben", UserRole.ANALYST, BoundIdentity(forger.issuer, "u-1"), **by)
    people.add(forged.store, "anna", UserRole.ANALYST, PASSWORD, **by)  # back to a password
    assert people.check(forged.store, "anna", PASSWORD) is not None
    assert who(forged, visitor) is None
    assert arrive(forged.client(), forger).status_code == 200  # now she is a new user there
    assert identities.bound(forged.store) == {"ida": BoundIdentity(forger.issuer, "u-1")}
    changed = [d for _, what, d in on_record(forged) if what == "console user changed"]
    marked = [
        d["subject_mark"]
        for _, what, d in on_record(forged)
        if what == "console user added" and "issuer" in d
    ]
    assert changed[0]["subject_mark"] in marked
    assert "u-1" not in changed[0]["subject_mark"]


@pytest.mark.slow
def test_a_way_of_logging_in_can_be_demanded(forged: World, forger: Forger) -> None:
    desk = with_provider(forged, IdentityProvider(settings_of(forger, acr=("mfa", "phr"))))
    location = desk.client().get("/login/oidc").headers["location"]
    assert parse_qs(urlsplit(location).query)["acr_values"] == ["mfa phr"]
    assert arrive(desk.client(), forger).status_code == 403
    forger.token = lambda claims: forger.signed({**claims, "acr": "phr"})
    assert arrive(desk.client(), forger).status_code == 200
    assert refused(forged) == ["strength"]


@pytest.mark.slow
def test_whoever_has_no_login_cannot_fill_the_record(forged: World) -> None:
    visitor = forged.client()
    for _ in range(RECORDED + 20):
        assert visitor.get(BACK, params={"state": "x", "code": "c"}).status_code == 403
    assert refused(forged) == ["state"] * RECORDED
    forged.clock[0] += 16 * MINUTE_US
    visitor.get(BACK)
    assert len(refused(forged)) == RECORDED + 1


@pytest.mark.slow
def test_a_provider_that_is_down_is_a_sentence(forged: World, forger: Forger) -> None:
    gone = replace(settings_of(forger), issuer=f"http://127.0.0.1:{free_port()}")
    desk = with_provider(forged, IdentityProvider(gone))
    visitor = desk.client()
    got = visitor.get("/login/oidc")
    assert (got.status_code, "cannot be asked" in got.text) == (503, True)
    assert visitor.log_in("anna") == 303


# --- settings ---

GOOD = 'issuer = "https://id.example"\nclient_id = "console"\n[roles]\nanalyst = ["desk"]\n'


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (GOOD.replace("https", "http"), "oidc.toml:1: issuer: id.example: would be asked in the clear"),
        (GOOD.replace("id.example", "id.example?a=b"), "issuer has a query"),
        (GOOD.replace("analyst", "king"), "there is no role 'king'; give reader, analyst, approver"),
        (GOOD.replace('["desk"]', "[]"), "nobody could log in"),
        (GOOD.replace('["desk"]', '"desk"'), "oidc.toml:4: roles.analyst:"),
        (GOOD.replace('"console"', '""'), "client_id is empty"),
        (GOOD.replace("client_id", "cleint_id"), "did you mean `client_id`?"),
        ('scopes = ["profile"]\n' + GOOD, '"openid" among them'),
        ('client_secret_file = "none"\n' + GOOD, "none: cannot be read"),
        ('client_secret_file = "oidc.toml"\n' + GOOD, "holds no secret"),
        ('ca_file = "oidc.toml"\n' + GOOD, "holds no certificates"),
        ("issuer", "oidc.toml:1: not TOML"),
    ],
)
def test_mistakes_in_the_settings_are_named_with_their_line(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "oidc.toml").write_text(content)
    with pytest.raises(InputError) as why:
        load_provider(tmp_path)
    assert told in str(why.value)


def test_the_gateways_console_reads_its_folder_and_tries_again(tmp_path: Path) -> None:
    made = world(tmp_path)

    class Cases:
        def store(self, now_us: int) -> Store:
            return made.store

    visitor = Visitor(Console(Cases(), lambda: made.gateway, tmp_path))  # type: ignore[arg-type]
    (tmp_path / "oidc.toml").write_text("issuer")
    broken = visitor.get("/login")
    assert (broken.status_code, "oidc.toml:1: not TOML" in broken.text) == (503, True)
    (tmp_path / "oidc.toml").write_text(GOOD)
    assert "Log in with single sign-on" in visitor.get("/login").text
    made.store.close()


def test_settings_without_the_extra_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_provider(tmp_path) is None
    (tmp_path / "oidc.toml").write_text(GOOD)
    assert load_provider(tmp_path) is not None
    monkeypatch.setitem(sys.modules, "jwt", None)
    with pytest.raises(StillwatchError, match="stillwatch\\[oidc\\]"):
        load_provider(tmp_path)


@pytest.mark.slow
def test_a_user_is_bound_from_the_command_line(tmp_path: Path) -> None:
    made = world(tmp_path)
    made.store.close()
    at = ("--folder", str(tmp_path))
    add = ("console", "user", "add", "cleo", "--role", "analyst", "--subject", "00u1", *at)
    alone = cli(*add)
    assert (alone.exit_code, "oidc.toml: no such file" in alone.stderr) == (2, True)
    (tmp_path / "oidc.toml").write_text(GOOD)
    assert cli(*add, "--generate").exit_code == 2
    done = cli(*add)
    assert (done.exit_code, done.stdout) == (0, "cleo may log in as analyst\n")
    taken = cli("console", "user", "add", "carl", "--subject", "00u1", *at)
    assert (taken.exit_code, "is cleo here already" in taken.stderr) == (2, True)
    listed = {one["name"]: one for one in json.loads(cli("console", "user", "list", "--json", *at).stdout)}
    assert (listed["cleo"]["issuer"], listed["cleo"]["subject"]) == ("https://id.example", "00u1")
    assert listed["anna"]["subject"] is None
    assert "00u1" in cli("console", "user", "list", *at).stdout


@pytest.mark.slow
def test_nothing_of_a_try_or_a_token_is_kept(forged: World, forger: Forger) -> None:
    visitor = forged.client()
    kept: list[str] = []
    forger.token = lambda claims: kept.append(forger.signed(claims)) or kept[0]  # type: ignore[func-returns-value]
    arrive(visitor, forger)
    with forged.store.reading() as db:
        tables = db.execute(text("SELECT name FROM sqlite_master WHERE type = 'table'")).scalars().all()
        rows = repr([db.execute(text(f'SELECT * FROM "{name}"')).all() for name in tables])
    for secret in (kept[0], kept[0].split(".")[2], forger.nonce, str(visitor.cookies[COOKIE])):
        assert secret not in rows
