"""The second factor: a user who has one gets in only with a code, however it is guessed at."""

import hashlib
import hmac
import re
import struct
import threading
from base64 import b32decode, b32encode
from pathlib import Path

import pytest
from click.testing import Result
from sqlalchemy import select
from typer.testing import CliRunner

import postgres_server
from console_world import COOKIE, NOW, PASSWORD, Visitor, World, csrf_in, world
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import ConsoleError, UserRole, identities, people, second_factor, sessions
from stillwatch.console.app import make
from stillwatch.console.factor_seal import seal_stored
from stillwatch.console.identities import BoundIdentity
from stillwatch.console.migrations import second_factors
from stillwatch.console.settings import ConsoleSettings, load_settings
from stillwatch.console.throttle import RecordLimit
from stillwatch.errors import InputError
from test_report_world import result

MINUTE_US, DAY_US = 60_000_000, 86_400_000_000
# RFC 6238, appendix B, the rows of SHA-1; an authenticator shows their last six digits
VECTORS = {
    59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924",
    2000000000: "69279037", 20000000000: "65353130",
}  # fmt: skip


def totp(secret: str, at_s: float) -> str:
    """An independent implementation of RFC 4226, section 5.3, and RFC 6238, section 4.2."""
    mac = hmac.digest(b32decode(secret), struct.pack(">Q", int(at_s) // 30), hashlib.sha1)
    at = mac[-1] & 15
    return f"{(int.from_bytes(mac[at : at + 4], 'big') & 0x7FFFFFFF) % 1_000_000:06}"


def enrol(of: World, name: str = "anna") -> tuple[str, list[str]]:
    """Set a second factor up on the page; return the secret and the recovery codes."""
    visitor = of.client(name)
    assert visitor.submit("/me/second-factor", "/me", current=PASSWORD) == (303, "/me?done=begun")
    shown = re.search(r'<p class="secret"><code>([A-Z2-7 ]+)</code>', visitor.get("/me").text)
    assert shown
    secret = shown[1].replace(" ", "")
    code = totp(secret, of.clock[0] / 1e6)
    status, page = visitor.submit("/me/second-factor/confirm", "/me", code=code)
    assert status == 200
    codes = re.findall(r"<code>([A-Z2-7-]{29})</code>", page)
    assert len(set(codes)) == 10
    of.clock[0] += 60_000_000  # this step's code is used
    return secret, codes


def half_way(of: World, name: str = "anna") -> Visitor:
    """Return a visitor who has sent the right password."""
    visitor = of.client()
    assert visitor.log_in(name) == 200
    assert COOKIE not in visitor.cookies
    return visitor


def give(visitor: Visitor, code: str) -> int:
    csrf = csrf_in(visitor.get("/login").text)
    return int(visitor.post("/login/code", data={"csrf": csrf, "code": code, "next": ""}).status_code)


def wrong(secret: str, at_s: float) -> str:
    taken = {totp(secret, at_s + 30 * k) for k in (-1, 0, 1)}
    return next(code for code in ("000000", "111111", "222222", "333333") if code not in taken)


def test_codes_are_those_of_the_standard() -> None:
    secret = b32encode(b"12345678901234567890").decode()
    for at_s, code in VECTORS.items():
        assert second_factor.code_at(secret, at_s // 30) == totp(secret, at_s) == code[-6:]


@pytest.mark.slow
def test_who_has_a_second_factor_gets_in_with_it_and_not_without(mine: World) -> None:
    phone = mine.client("anna")
    secret, codes = enrol(mine)
    assert phone.get("/queue").status_code == 303  # a session that began without it
    visitor = half_way(mine)
    assert visitor.get("/queue").status_code == 303
    assert visitor.get("/queue.json").status_code == 401
    code = totp(secret, mine.clock[0] / 1e6)
    assert give(visitor, wrong(secret, mine.clock[0] / 1e6)) == 401
    assert give(visitor, code) == 303
    assert visitor.get("/queue").status_code == 200
    assert visitor.get("/me.json").json()["second_factor"] is True
    other = half_way(mine)
    assert give(other, code) == 401  # each code works once
    assert give(other, codes[0].lower().replace("-", " ")) == 303
    assert give(half_way(mine), codes[0]) == 401
    with mine.store.reading() as db:
        trail = [(r.what, r.detail.get("second_factor")) for r in read(db, who="anna", limit=50)]
    assert ("logged in", "authenticator") in trail
    assert ("logged in", "recovery code") in trail
    assert ("recovery code used", None) in trail


@pytest.mark.slow
def test_neither_secret_of_a_login_is_in_the_database_or_on_the_trail(mine: World, tmp_path: Path) -> None:
    secret, codes = enrol(mine)
    visitor = half_way(mine)
    half = visitor.cookies.get("stillwatch-half-8090")
    assert half
    held = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for word in (half, *codes):
        assert word.encode() not in held
        assert word.replace("-", "").encode() not in held
    with mine.store.reading() as db:
        trail = repr(read(db, limit=100, opened=True))
    assert secret not in trail
    assert secret.encode() not in held


def written_plain(mine: World, secret: str) -> None:
    """Store anna's secret as earlier versions did, and a few rows before it to fill the database page."""
    row = {"made_us": NOW, "confirmed_us": NOW, "last_step": 0, "failed": 0, "failed_us": 0}
    with mine.store.writing(NOW) as tx:
        tx.db.execute(second_factors.delete())
        for name in ("ben", "anna"):
            tx.db.execute(second_factors.insert().values(name=name, secret=secret, **row))
        tx.db.execute(second_factors.delete().where(second_factors.c.name == "ben"))
        tx.db.execute(second_factors.update().values(failed=3))
        tx.audit("t", "second factor of before", "anna", {})


def files(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir() if file.name.startswith("cases.db"))


@pytest.mark.slow
def test_a_copy_of_the_database_computes_no_code(mine: World, tmp_path: Path) -> None:
    secret, _ = enrol(mine)
    key = tmp_path / "second-factor.key"
    assert (key.stat().st_mode & 0o777, key.stat().st_size) == (0o600, 32)
    held = files(tmp_path)
    for form in (secret.encode(), b32decode(secret), key.read_bytes()):
        assert form not in held
    assert totp(secret, mine.clock[0] / 1e6) != totp(enrol(mine, "ben")[0], mine.clock[0] / 1e6)
    assert key.read_bytes() not in files(tmp_path)


@pytest.mark.slow
def test_secrets_of_an_older_version_are_sealed_and_leave_nothing_behind(mine: World, tmp_path: Path) -> None:
    secret = b32encode(b"12345678901234567890").decode()
    written_plain(mine, secret)
    assert secret.encode() in files(tmp_path)
    mine.app = make(mine.store, mine.gateway, hosts={"127.0.0.1"}, now_us=lambda: mine.clock[0])
    assert secret.encode() not in files(tmp_path)
    with mine.store.reading() as db:
        sealed = db.execute(select(second_factors.c.secret)).scalar_one()
        told = [(r.who, r.detail) for r in read(db, limit=5) if r.what == "second factors sealed"]
    assert told == [("stillwatch", {"users": 1})]
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303
    make(mine.store, mine.gateway)
    with mine.store.reading() as db:
        assert db.execute(select(second_factors.c.secret)).scalar_one() == sealed


@pytest.mark.slow
def test_secrets_of_an_older_version_leave_postgresqls_tables(tmp_path: Path) -> None:
    secret = b32encode(b"12345678901234567890").decode()
    with postgres_server.running() as server:
        if server is None:
            pytest.skip(postgres_server.WHY_NOT)
        url = postgres_server.new_database(server)
        mine = world(tmp_path, result(60), url)

        def tables() -> bytes:
            with mine.store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as db:
                db.exec_driver_sql("CHECKPOINT")
            held = (Path(server) / "data" / "base").rglob("*")
            return b"".join(file.read_bytes() for file in held if file.is_file())

        written_plain(mine, secret)
        assert secret.encode() in tables()
        seal_stored(mine.store, mine.clock[0])
        assert secret.encode() not in tables()
        mine.close()


@pytest.mark.slow
def test_who_may_write_into_the_database_gives_nobody_their_own_authenticator(mine: World) -> None:
    secret, _ = enrol(mine)
    enrol(mine, "ben")
    with mine.store.writing(NOW) as tx:
        sealed = tx.db.execute(
            select(second_factors.c.secret).where(second_factors.c.name == "anna")
        ).scalar()
        tx.db.execute(second_factors.update().where(second_factors.c.name == "ben").values(secret=sealed))
        tx.audit("t", "tampered with", "ben", {})
    assert give(half_way(mine, "ben"), totp(secret, mine.clock[0] / 1e6)) == 503
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303


@pytest.mark.slow
@pytest.mark.parametrize("instead", [None, b"k" * 32, b"short"])
def test_without_its_key_an_authenticator_lets_nobody_in_and_a_recovery_code_does(
    mine: World, tmp_path: Path, instead: bytes | None
) -> None:
    secret, codes = enrol(mine)
    key = tmp_path / "second-factor.key"
    kept = key.read_bytes()
    key.unlink()
    if instead is not None:
        key.write_bytes(instead)
    visitor = half_way(mine)
    assert give(visitor, totp(secret, mine.clock[0] / 1e6)) == 503
    refused = visitor.post(
        "/login/code", data={"csrf": csrf_in(visitor.get("/login").text), "code": "123456", "next": ""}
    )
    assert "second-factor.key" in refused.text
    assert "use a recovery code" in refused.text
    assert give(visitor, codes[0]) == 303
    assert visitor.get("/me").status_code == 200
    if instead is None:  # and no new key is made, which could not decrypt the restored file
        status, _ = mine.client("ben").submit("/me/second-factor", "/me", current=PASSWORD)
        assert (status, key.exists()) == (409, False)
    key.write_bytes(kept)
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303


@pytest.mark.slow
def test_gateways_of_a_fleet_have_one_key_of_second_factors(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "secret").write_bytes(b"s" * 32)
    mine = world(tmp_path / "a")
    secret, _ = enrol(mine)
    assert not (tmp_path / "a/second-factor.key").exists()
    (tmp_path / "b/audit.key").write_bytes((tmp_path / "a/audit.key").read_bytes())
    attach(mine.store, tmp_path / "b/audit.key")
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303
    mine.store.close()


@pytest.mark.slow
def test_a_clock_may_be_one_step_off_and_no_more(mine: World) -> None:
    secret, _ = enrol(mine)
    for off_s, status in ((-60, 401), (60, 401), (-30, 303), (0, 303), (30, 303)):
        assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6 + off_s)) == status, off_s
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 401  # older than a used one


@pytest.mark.slow
def test_guessing_ends_whatever_session_address_or_worker_it_comes_from(mine: World) -> None:
    secret, codes = enrol(mine)
    tried = looked_at = 0
    for _ in range(10):
        worker = make(mine.store, mine.gateway, hosts={"127.0.0.1"}, now_us=lambda: mine.clock[0])
        guesser = Visitor(worker)  # a worker that has counted no attempts yet
        assert guesser.log_in("anna") == 200
        for _ in range(3):
            tried += 1
            looked_at += give(guesser, wrong(secret, mine.clock[0] / 1e6)) == 401
    assert (tried, looked_at) == (30, second_factor.FREE_TRIES)
    right = totp(secret, mine.clock[0] / 1e6)
    assert give(half_way(mine), right) == 429  # even the right code tells the guesser nothing
    assert give(half_way(mine), codes[3]) == 303  # the owner is not locked out
    for days in range(10):  # of patience
        mine.clock[0] += DAY_US + MINUTE_US
        at_s = mine.clock[0] / 1e6
        looked_at += sum(give(half_way(mine), wrong(secret, at_s)) == 401 for _ in range(3))
        assert looked_at <= second_factor.FREE_TRIES + 3 * (days + 1)
    assert looked_at <= second_factor.FREE_TRIES + 10 + 8
    mine.clock[0] += DAY_US + MINUTE_US
    mine.app = make(mine.store, mine.gateway, hosts={"127.0.0.1"}, now_us=lambda: mine.clock[0])
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303


@pytest.mark.slow
def test_codes_that_failed_while_the_clock_stood_ahead_keep_nobody_out(mine: World) -> None:
    secret, _ = enrol(mine)
    right = mine.clock[0]
    mine.clock[0] = right + 3 * DAY_US
    early = half_way(mine)
    assert [give(half_way(mine), totp(secret, right / 1e6)) for _ in range(6)] == [401] * 5 + [429]
    mine.clock[0] = right
    assert give(early, totp(secret, right / 1e6)) == 403  # a log-in attempt of another day
    mine.app = make(mine.store, mine.gateway, hosts={"127.0.0.1"}, now_us=lambda: mine.clock[0])
    assert give(half_way(mine), wrong(secret, right / 1e6)) == 401
    assert give(half_way(mine), wrong(secret, right / 1e6)) == 429  # one attempt, counted as before
    mine.clock[0] += DAY_US
    assert give(half_way(mine), totp(secret, mine.clock[0] / 1e6)) == 303


def test_refusals_go_on_record_again_once_a_clock_is_put_right() -> None:
    limit = RecordLimit(2)
    assert [limit.allows(10 * DAY_US) for _ in range(3)] == [True, True, False]
    assert limit.allows(DAY_US)


@pytest.mark.slow
def test_a_recovery_code_that_two_workers_get_at_once_lets_one_in(mine: World, tmp_path: Path) -> None:
    _, codes = enrol(mine)
    halves = [second_factor.begin_half(mine.store, "anna", mine.clock[0]) for _ in range(4)]
    entered, barrier = [], threading.Barrier(4)

    def worker(half: str) -> None:
        with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store:
            attach(store, tmp_path / "audit.key")
            barrier.wait()
            got = second_factor.enter(store, half, codes[0], mine.clock[0], address="")
            entered.append(not isinstance(got, second_factor.CodeRefused))

    threads = [threading.Thread(target=worker, args=(half,)) for half in halves]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(entered) == [False, False, False, True]


@pytest.mark.slow
def test_a_half_login_ends_with_time_with_its_user_and_with_the_password(mine: World) -> None:
    secret, _ = enrol(mine)
    late = half_way(mine)
    mine.clock[0] += second_factor.HALF_US + 1
    assert give(late, totp(secret, mine.clock[0] / 1e6)) == 403
    renewed = half_way(mine)
    people.add(mine.store, "anna", UserRole.ANALYST, "yet another battery", who="tests", now_us=NOW)
    assert give(renewed, totp(secret, mine.clock[0] / 1e6)) == 403
    gone = mine.client()
    assert gone.log_in("anna", "yet another battery") == 200  # a new password does not remove the factor
    people.disable(mine.store, "anna", who="tests", now_us=NOW)
    assert give(gone, totp(secret, mine.clock[0] / 1e6)) == 403
    stranger = mine.client()
    for cookie in ("", "x" * 43, sessions.csrf_of("x")):
        stranger.cookies.set("stillwatch-half-8090", cookie, domain="127.0.0.1")
        assert give(stranger, totp(secret, mine.clock[0] / 1e6)) == 403


@pytest.mark.slow
def test_setting_up_needs_the_password_and_removing_needs_a_code(mine: World) -> None:
    anna = mine.client("anna")
    assert anna.submit("/me/second-factor", "/me", current="wrong password")[0] == 409
    assert second_factor.of_user(mine.store, "anna") is None
    assert anna.submit("/me/second-factor/confirm", "/me", code="123456")[0] == 409
    assert anna.submit("/me/second-factor", "/me", current=PASSWORD)[0] == 303
    assert half_logs_in(mine) == 303  # an unfinished one locks nobody out
    secret, codes = enrol(mine)
    anna = half_way(mine)
    assert give(anna, totp(secret, mine.clock[0] / 1e6)) == 303
    assert anna.submit("/me/second-factor", "/me", current=PASSWORD)[0] == 409  # no second one replaces it
    assert anna.submit("/me/second-factor/remove", "/me", code=wrong(secret, mine.clock[0] / 1e6))[0] == 409
    assert anna.submit("/me/second-factor/remove", "/me", code=codes[4]) == (303, "/me?done=removed")
    assert half_logs_in(mine) == 303


def half_logs_in(of: World) -> int:
    return of.client().log_in("anna")


@pytest.mark.slow
def test_an_owner_demands_it_by_role_and_every_page_waits(tmp_path: Path) -> None:
    (tmp_path / "console.toml").write_text('second_factor = ["analyst", "approver"]\n')
    mine = world(tmp_path)
    app = make(
        mine.store, mine.gateway, hosts={"127.0.0.1"}, settings=load_settings(tmp_path),
        now_us=lambda: mine.clock[0],
    )  # fmt: skip
    mine.app = app
    anna, rita, case = mine.client("anna"), mine.client("rita"), next(iter(mine.cases.values()))
    assert rita.get("/queue").status_code == 200
    got = anna.get("/queue")
    assert (got.status_code, got.headers["location"]) == (303, "/me")
    assert anna.get("/queue.json").status_code == 403
    assert "needs a second factor" in anna.get("/me").text
    csrf = csrf_in(anna.get("/me").text)
    assert anna.post(f"/case/{case}/note", data={"csrf": csrf, "text": "a note"}).status_code == 403
    secret, _ = enrol(mine)
    anna = half_way(mine)
    assert give(anna, totp(secret, mine.clock[0] / 1e6)) == 303
    assert anna.get("/queue").status_code == 200
    # a user who logs in at a provider has the provider's second factor
    identities.bind(
        mine.store, "cleo", UserRole.ANALYST, BoundIdentity("https://id.example", "c"), who="t", now_us=NOW
    )
    cleo = mine.client()
    user = next(u for u in people.everybody(mine.store) if u.name == "cleo")
    cleo.cookies.set(COOKIE, sessions.begin(mine.store, user, mine.clock[0]), domain="127.0.0.1")
    assert cleo.get("/queue").status_code == 200
    assert cleo.submit("/me/second-factor", "/me", current="")[0] == 409
    mine.close()


def test_a_user_who_is_bound_to_a_provider_leaves_the_factor_behind(mine: World) -> None:
    enrol(mine)
    identities.bind(
        mine.store, "anna", UserRole.ANALYST, BoundIdentity("https://id.example", "a"), who="t", now_us=NOW
    )
    assert second_factor.of_user(mine.store, "anna") is None


@pytest.mark.parametrize(
    "text",
    [
        'second_factor = ["boss"]',
        "second_factor = 1",
        "second = 2",
        "big_accounts = 0",
        'password_words = ["x"]',
    ],
)
def test_settings_that_cannot_work_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "console.toml").write_text(text)
    with pytest.raises(InputError, match=r"console\.toml"):
        load_settings(tmp_path)
    assert load_settings(tmp_path / "none") == ConsoleSettings()


def cli(verb: str, of: World, folder: Path, *words: str) -> Result:
    return CliRunner().invoke(
        app_of_verbs, ["console", "user", verb, *words, "--folder", str(folder), "--json"]
    )


@pytest.mark.slow
def test_an_administrator_resets_a_lost_one_on_the_record(mine: World, tmp_path: Path) -> None:
    secret, _ = enrol(mine)
    anna = half_way(mine)
    assert give(anna, totp(secret, mine.clock[0] / 1e6)) == 303
    shown = cli("list", mine, tmp_path)
    assert shown.stdout.count('"second_factor": true') == 1
    done = cli("reset-second-factor", mine, tmp_path, "anna")
    assert done.exit_code == 0, done.output
    assert anna.get("/queue").status_code == 303
    assert half_logs_in(mine) == 303
    with mine.store.reading() as db:
        assert any(r.what == "second factor reset" and r.subject == "anna" for r in read(db, limit=20))
    again = cli("reset-second-factor", mine, tmp_path, "anna")
    assert (again.exit_code, "has no second factor" in again.output) == (2, True)
    with pytest.raises(ConsoleError, match="no user"):
        second_factor.reset(mine.store, "nobody", who="t", now_us=NOW)


@pytest.mark.slow
def test_codes_and_secrets_are_long_and_never_the_same(mine: World) -> None:
    first, codes = enrol(mine)
    second_factor.reset(mine.store, "anna", who="t", now_us=NOW)
    second, others = enrol(mine)
    assert len(b32decode(first)) == len(b32decode(second)) == 20
    assert first != second
    assert len({*codes, *others}) == 20
    assert {len(code.replace("-", "")) * 5 for code in codes} == {120}  # bits


@pytest.mark.slow
def test_no_secret_stands_in_an_address(mine: World) -> None:
    secret, codes = enrol(mine)
    visitor = half_way(mine)
    csrf = csrf_in(visitor.get("/login").text)
    got = visitor.post("/login/code", data={"csrf": csrf, "code": codes[0], "next": "/me"})
    assert got.headers["location"] == "/me"
    for path in (f"/login?password={PASSWORD}&name=anna", f"/login/code?code={codes[1]}"):
        assert COOKIE not in mine.client().get(path).cookies  # not by the address
    assert secret not in visitor.get("/me").text  # once confirmed it is not shown again
