"""API tokens: a program may do less than its user, never more, and each of its acts is recorded as such."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from typer.testing import CliRunner

from console_world import COOKIE, HERE, NOW, PASSWORD, USERS, World
from stillwatch.cases import Verdict, handling
from stillwatch.cases.audit import VerifiedTrail
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.verify import verify
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import ConsoleError, UserRole, identities, people, requested_dismissals, tokens
from stillwatch.console.app import DEEDS, PAGES, make
from stillwatch.console.identities import BoundIdentity
from stillwatch.console.openid import LoginAttempt, ProvenIdentity
from stillwatch.console.settings import ConsoleSettings
from stillwatch.console.throttle import RECORDED
from stillwatch.console.tokens import TokenScope
from test_console_second_factor import enrol

DAY_US = 86_400_000_000


class Program(TestClient):
    """A client that sends a token and nothing that a browser sends."""

    def __init__(self, of: World, secret: str) -> None:
        headers = {"authorization": f"Bearer {secret}"}
        super().__init__(of.app, base_url=HERE, headers=headers, follow_redirects=False)

    def do(self, path: str, **fields: Any) -> tuple[int, dict[str, Any]]:
        got = self.post(path, json=fields)
        return got.status_code, got.json()


def program(of: World, name: str = "anna", scope: TokenScope = TokenScope.TRIAGE, days: int = 90) -> Program:
    secret = tokens.make(of.store, name, f"{scope}-{days}", scope, days, who="tests", now_us=of.clock[0])
    return Program(of, secret)


def first_case(of: World) -> str:
    return next(iter(of.cases.values()))


def filled(path: str, of: World) -> str:
    for word, value in (
        ("{case}", first_case(of)), ("{ask:number}", "1"), ("{proposal:number}", "1"),
        ("{dismissal:number}", "1"), ("{lead}", "lead-0001"),
    ):  # fmt: skip
        path = path.replace(word, value)
    return path


@pytest.mark.slow
def test_cases_are_listed_read_noted_assigned_and_closed_by_a_token(mine: World) -> None:
    bot = program(mine)
    found = bot.get("/queue.json", params={"state": "new", "owner": "none"}).json()
    assert found["total"] == len(found["cases"]) > 0
    case = found["cases"][0]["case"]
    assert bot.get(f"/case/{case}.json").json()["case"] == case
    status, told = bot.do(f"/case/{case}/note", text="seen by the nightly job")
    assert (status, told["done"], told["case"]["state"]) == (200, "noted", "new")
    status, told = bot.do(
        f"/case/{case}/assign", owner="ben", why="on duty", revision=told["case"]["revision"]
    )
    assert (status, told["case"]["owner"], told["case"]["state"]) == (200, "ben", "open")
    assert bot.do(f"/case/{case}/assign", owner="anna", why="late", revision=1)[0] == 409  # as on the page
    form = {"verdict": "true", "why": "known actor", "close": "yes"}
    assert bot.post(f"/case/{case}/judge", data=form).json()["case"]["state"] == "closed"  # a form works too
    assert bot.do(f"/case/{case}/reopen", why="more came")[1]["case"]["state"] == "open"
    seen = [f"{c}:{mine.store.case(c, accounts=False).revision}" for c in list(mine.cases.values())[:2]]
    status, told = bot.do("/queue/triage", case=seen, do="due", hours=4, why="a round")
    assert (status, [one["refusal"] for one in told["cases"]]) == (200, [None, None])


@pytest.mark.slow
def test_every_act_of_a_token_is_on_a_sound_record_with_its_user_and_its_name(mine: World) -> None:
    bot, case = program(mine, "anna"), first_case(mine)
    bot.do(f"/case/{case}/note", text="by a program")
    mine.client("anna").submit(f"/case/{case}/note", f"/case/{case}", text="by a person")
    with mine.store.reading() as db:
        newest = [r for r in read(db, limit=3) if r.what == "case.note"]
        assert [(r.who, r.what, r.detail.get("api_token")) for r in newest] == [
            ("anna", "case.note", None),
            ("anna", "case.note", "triage-90"),
        ]
        assert isinstance(verify(db), VerifiedTrail)


@pytest.mark.slow
def test_a_token_that_reads_does_nothing_and_one_that_works_approves_nothing(mine: World) -> None:
    reads, works = program(mine, "paul", TokenScope.READ), program(mine, "paul")
    before = [mine.store.case(one) for one in mine.cases.values()]
    for deed in DEEDS:
        got = reads.post(filled(deed.path, mine), json={"why": "because", "text": "x", "owner": "paul"})
        assert got.status_code == 403, deed.path
        assert got.json()["error"]["status"] == 403
    assert [mine.store.case(one) for one in mine.cases.values()] == before
    with mine.store.reading() as db:
        refused = [r for r in read(db, limit=200) if r.what == "refused"]
    assert len(refused) == len(DEEDS)
    assert {(r.who, r.detail["api_token"], r.detail["method"]) for r in refused} == {
        ("paul", "read-90", "POST")
    }
    may = {deed.path for deed in DEEDS if works.post(filled(deed.path, mine), json={}).status_code != 403}
    assert may == {
        "/queue/triage", "/case/{case}/take", "/case/{case}/assign", "/case/{case}/note",
        "/case/{case}/judge", "/case/{case}/close", "/case/{case}/reopen",
    }  # fmt: skip
    for page in PAGES:
        path = filled(page.path, mine)
        allowed = page.least is UserRole.READER and page.path != "/me"
        for form in ("json", "csv"):
            got = works.get(f"{path}.{form}")
            assert (got.status_code == 403) != allowed, (page.path, got.status_code)
        assert works.get(path).status_code == 406


@pytest.mark.slow
def test_who_is_refused_again_and_again_does_not_fill_the_record(mine: World) -> None:
    reads, case = program(mine, "rita", TokenScope.READ), first_case(mine)
    for _ in range(RECORDED + 20):
        assert reads.do(f"/case/{case}/note", text="x")[0] == 403
    with mine.store.reading() as db:
        assert sum(r.what == "refused" for r in read(db, limit=500)) == RECORDED
    mine.clock[0] += 1_000_000_000
    assert reads.do(f"/case/{case}/note", text="x")[0] == 403
    with mine.store.reading() as db:
        assert sum(r.what == "refused" for r in read(db, limit=500)) == RECORDED + 1


def test_a_token_is_no_session_and_a_session_is_no_token(mine: World) -> None:
    bot, anna, case = program(mine), mine.client("anna"), first_case(mine)
    cookie, secret = anna.cookies[COOKIE], bot.headers["authorization"].split()[1]
    as_cookie = mine.client()
    as_cookie.cookies.set(COOKIE, secret, domain="127.0.0.1")
    assert as_cookie.get("/queue.json").status_code == 401
    assert Program(mine, cookie).get("/queue.json").status_code == 401
    unknown = Program(mine, "stw_" + cookie).get("/queue.json")
    assert (unknown.status_code, unknown.headers["www-authenticate"]) == (401, "Bearer")
    # a session does not make a wrong token valid, nor a form without its own token
    anna.headers["authorization"] = "Bearer stw_" + "x" * 43
    assert anna.get("/queue.json").status_code == 401
    assert anna.post(f"/case/{case}/note", json={"text": "x"}).status_code == 401
    del anna.headers["authorization"]
    assert anna.post(f"/case/{case}/note", json={"text": "x"}).status_code == 415
    assert anna.post(f"/case/{case}/note", data={"text": "x"}).status_code == 403
    anna.headers["authorization"] = "Basic dXNlcjp4"  # from a proxy in front
    assert anna.get("/queue").status_code == 200
    anna.headers["authorization"] = "Bearer eyJhbGciOi"
    assert anna.get("/queue").status_code == 200
    two = [("authorization", f"Bearer {secret}"), ("authorization", "Bearer x")]
    assert mine.client().get("/queue.json", headers=two).status_code == 400  # type: ignore[arg-type]
    assert bot.request("OPTIONS", "/queue.json").status_code == 405  # no other site may send one


def test_bodies_that_are_no_fields_are_refused(mine: World) -> None:
    bot, case = program(mine), first_case(mine)
    for body in (
        b"[]",
        b"{",
        b"\xff",
        b'{"text": {"a": 1}}',
        b'{"text": [[1]]}',
        b'{"text": 1.5}',
        b"[" * 99_999,
    ):
        got = bot.post(f"/case/{case}/note", content=body, headers={"content-type": "application/json"})
        assert got.status_code == 400, body[:20]
    big = json.dumps({"case": ["x"] * 2_000}).encode()
    assert (
        bot.post("/queue/triage", content=big, headers={"content-type": "application/json"}).status_code
        == 400
    )
    assert bot.do(f"/case/{case}/note", text="x" * 30_000)[0] == 409
    assert bot.do("/case/case-none/note", text="x")[0] == 404
    assert (
        bot.post(f"/case/{case}/note", content=b"x", headers={"content-type": "text/xml"}).status_code == 415
    )


@pytest.mark.slow
def test_a_token_ends_with_its_time_its_user_and_at_once_when_revoked(mine: World) -> None:
    week, long = program(mine, days=7), program(mine, days=366)
    assert week.get("/queue.json").status_code == 200
    mine.clock[0] += 7 * DAY_US
    assert (week.get("/queue.json").status_code, long.get("/queue.json").status_code) == (401, 200)
    tokens.revoke(mine.store, "anna", "triage-366", who="anna", now_us=mine.clock[0])
    assert long.get("/queue.json").status_code == 401
    gone = program(mine, "ben")
    people.disable(mine.store, "ben", who="tests", now_us=mine.clock[0])
    assert gone.get("/queue.json").status_code == 401
    people.add(mine.store, "ben", UserRole.APPROVER, "another horse battery", who="t", now_us=mine.clock[0])
    assert gone.get("/queue.json").status_code == 401  # a user who returns makes new ones
    early = program(mine, "anna", days=2)  # made by an intruder with the stolen password
    enrol(mine, "anna")
    assert early.get("/queue.json").status_code == 401
    with pytest.raises(ConsoleError, match="may not log in"):
        tokens.make(mine.store, "nobody", "x", TokenScope.READ, 1, who="t", now_us=NOW)


def test_a_token_of_a_demoted_user_does_what_the_user_still_may(mine: World) -> None:
    bot, case = program(mine, "anna"), first_case(mine)
    with mine.store.writing(NOW) as tx:  # as a log-in at a provider does
        tx.db.execute(people.users.update().where(people.users.c.name == "anna").values(role=1))
        tx.audit("tests", "console user changed", "anna", {})
    assert bot.do(f"/case/{case}/note", text="still here")[0] == 403
    assert bot.get("/queue.json").status_code == 200


def test_a_token_of_who_logs_in_at_a_provider_rests_when_they_come_no_more(mine: World) -> None:
    who = BoundIdentity("https://id.example", "c")
    identities.bind(mine.store, "cleo", UserRole.ANALYST, who, who="t", now_us=NOW)
    bot = program(mine, "cleo", days=366)
    mine.clock[0] += people.AWAY_US + 1
    assert bot.get("/queue.json").status_code == 401
    proven = ProvenIdentity(who.issuer, who.subject, "cleo", UserRole.ANALYST)
    identities.enter(mine.store, proven, LoginAttempt.begin("", mine.clock[0]), mine.clock[0])
    assert bot.get("/queue.json").status_code == 200


def test_a_token_of_who_has_to_have_a_second_factor_waits_for_it_too(mine: World) -> None:
    settings = ConsoleSettings(second_factor=("analyst",))
    mine.app = make(
        mine.store, mine.gateway, hosts={"127.0.0.1"}, settings=settings, now_us=lambda: mine.clock[0]
    )
    assert program(mine, "anna").get("/queue.json").status_code == 403
    assert program(mine, "paul").get("/queue.json").status_code == 200


def test_a_dismissal_over_the_limit_that_a_token_asks_for_is_its_users_own(
    mine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 0)
    bot, case = program(mine, "paul"), first_case(mine)
    status, told = bot.do(f"/case/{case}/judge", verdict="false", why="a course", close="yes")
    assert (status, told["done"], told["case"]["verdict"]) == (200, "waits", None)
    waiting = requested_dismissals.waiting(mine.store)
    assert [one.who for one, *_ in waiting] == ["paul"]
    approve = f"/dismissal/{waiting[0][0].number}/approve"
    assert bot.do(approve, why="fine")[0] == 403
    assert (
        mine.client("paul").submit(approve, "/approvals", why="fine")[0] == 409
    )  # the token's user is not another person
    assert mine.store.case(case).verdict is not Verdict.FALSE


@pytest.mark.slow
def test_people_make_list_and_revoke_their_own_on_their_page(mine: World, tmp_path: Path) -> None:
    anna = mine.client("anna")
    words = {"name": "nightly", "scope": "read", "days": "30"}
    assert anna.submit("/me/tokens", "/me", **words, current="wrong password")[0] == 409
    status, page = anna.submit("/me/tokens", "/me", **words, current=PASSWORD)
    shown = re.search(r"<code>(stw_[\w-]{43})</code>", page)
    assert (status, shown is not None) == (200, True)
    assert shown
    bot = Program(mine, shown[1])
    assert bot.get("/queue.json").status_code == 200
    row = anna.get("/me.json").json()["tokens"][0]
    assert (row["name"], row["state"], row["last_used"] is not None) == ("nightly", "works", True)
    assert shown[1] not in anna.get("/me").text
    assert shown[1].encode() not in b"".join(file.read_bytes() for file in tmp_path.iterdir())
    for wrong in (
        {"scope": "approve"},
        {"name": "A b"},
        {"days": "0"},
        {"days": "9999"},
        {"name": "nightly"},
    ):
        assert anna.submit("/me/tokens", "/me", **{**words, **wrong}, current=PASSWORD)[0] == 409, wrong
    assert mine.client("ben").submit("/me/tokens/revoke", "/me", name="nightly")[0] == 409  # anna's
    assert anna.submit("/me/tokens/revoke", "/me", name="nightly") == (303, "/me?done=revoked")
    assert bot.get("/queue.json").status_code == 401
    assert anna.get("/me.json").json()["tokens"][0]["state"] == "revoked"
    for k in range(tokens.MOST):
        tokens.make(mine.store, "anna", f"t{k}", TokenScope.READ, 1, who="t", now_us=NOW)
    with pytest.raises(ConsoleError, match="revoke one first"):
        tokens.make(mine.store, "anna", "more", TokenScope.READ, 1, who="t", now_us=NOW)


@pytest.mark.slow
def test_tokens_are_made_listed_and_revoked_from_the_command_line(mine: World, tmp_path: Path) -> None:
    def cli(*words: str) -> Any:
        got = CliRunner().invoke(
            app_of_verbs, ["console", "token", *words, "--folder", str(tmp_path), "--json"]
        )
        return json.loads(got.stdout) if got.exit_code == 0 else (got.exit_code, got.output)

    made = cli("add", "rita", "export", "--days", "10")
    mine.clock[0] = time.time_ns() // 1000
    bot = Program(mine, made["token"])
    assert (made["scope"], bot.get("/queue.json").status_code) == ("read", 200)
    listed = cli("list")
    assert [(row["user"], row["name"], row["state"]) for row in listed] == [("rita", "export", "works")]
    assert cli("add", "rita", "other", "--scope", "approve")[0] == 2
    assert cli("revoke", "rita", "export")["revoked"] is True
    assert bot.get("/queue.json").status_code == 401
    assert cli("revoke", "rita", "export")[0] == 2
    assert USERS["rita"] is UserRole.READER


def test_fields_that_nobody_asked_for_change_nothing(mine: World) -> None:
    bot, case = program(mine), first_case(mine)
    more = {"who": "paul", "verdict": "true", "state": "closed", "role": "approver", "now_us": 1, "act": 1}
    status, told = bot.do(
        f"/case/{case}/assign?owner=paul&who=paul", owner=["anna", "ben"], why="on duty", **more
    )
    assert status == 200
    now = mine.store.case(case, accounts=False)
    assert (now.owner, now.verdict, str(now.state)) == ("ben", None, "open")  # the last value, from the body
    assert told["case"]["owner"] == "ben"
    with mine.store.reading() as db:
        assert read(db, limit=1)[0].who == "anna"
