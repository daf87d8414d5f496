"""The console: log-in, permissions, and that nothing is done or shown in any other way."""

import csv
import hashlib
import html
import io
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from console_world import BANG, COOKIE, HERE, HOSTILE, NOW, PASSWORD, USERS, Visitor, World, csrf_in, world
from stillwatch.cases import CaseError, DatabaseUnreachable, Verdict, handling, reading
from stillwatch.cases.audit import Broken, VerifiedTrail
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.migrations import migrate
from stillwatch.cases.store import Store
from stillwatch.cases.tables import key_of
from stillwatch.console import (
    AffectedEndUser,
    ConsoleError,
    NearbyAccount,
    UserRole,
    password_rules,
    people,
    requested_steps,
    saved_views,
    sessions,
)
from stillwatch.console.app import DEEDS, PAGES
from stillwatch.console.migrations import MIGRATIONS, PART
from stillwatch.console.page_context import in_form
from stillwatch.console.throttle import LEFT, OF_ADDRESS, OF_ALL, OF_NAME, OF_PAIR, WINDOW_S, Throttle
from stillwatch.console.trail_checks import TrailChecks
from stillwatch.terms import Step

MINUTE_US = 60_000_000
BIG = "c-7f3a19"


def hostile(of: World) -> str:
    """Return the case whose accounts, title and links are all attacks."""
    return next(
        case for campaign, case in of.cases.items() if BANG in of.store.case(case, accounts=False).title
    )


def addresses(of: World) -> dict[str, str]:
    """Return every page by its route, with parameters filled in."""
    case = hostile(of)
    account = next(a for a in of.store.case(case).accounts if "onerror" in a)
    words = Visitor(of.app).build_request("GET", "/", params={"name": account}).url.query.decode()
    known = {path: f"{path}?{words}" for path in ("/account", "/account/days")}
    return {
        p.path: known.get(
            p.path, p.path.replace("{case}", case).replace("{ask:number}", "1").replace("{lead}", "lead-0001")
        )
        for p in PAGES
    }


# --- permissions ---


@pytest.mark.slow
def test_nobody_sees_anything_without_logging_in(still: World) -> None:
    nobody = still.client()
    for address in addresses(still).values():
        got = nobody.get(address)
        assert got.status_code == 303, address
        assert got.headers["location"].startswith("/login?next=%2F"), address
        path, _, words = address.partition("?")
        for form in ("json", "csv"):
            assert nobody.get(f"{path}.{form}?{words}").status_code == 401
            assert nobody.get(path, params={"format": form}).status_code == 401
    for deed in DEEDS:
        path = (
            deed.path.replace("{case}", hostile(still))
            .replace("{ask:number}", "1")
            .replace("{proposal:number}", "1")
            .replace("{dismissal:number}", "1")
            .replace("{lead}", "lead-0001")
        )
        assert nobody.post(path, data={"csrf": "0" * 64}).headers["location"] == "/login"
        assert nobody.get(path).status_code in (303, 404, 405)  # 303: a page of that name


@pytest.mark.parametrize("number", ["9" * 19, "9" * 5_000])
def test_a_number_that_no_page_has_is_not_found(still: World, number: str) -> None:
    for visitor in (still.client(), still.client("rita")):
        assert visitor.get(f"/ask/{number}").status_code == 404
        assert visitor.post(f"/proposal/{number}/approve", data={"csrf": "0"}).status_code == 404


def test_a_deed_while_the_cases_cannot_be_read_is_a_sentence(
    still: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise DatabaseUnreachable("cases.db: cannot be reached")

    monkeypatch.setattr(sessions, "find", away)
    visitor = still.client("anna")
    for answer in (visitor.get("/queue"), visitor.post("/me/sessions", data={"csrf": "0" * 64})):
        assert (answer.status_code, answer.text) == (503, "cases.db: cannot be reached\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rita", "anna", "paul"])
def test_each_role_opens_its_pages_and_no_others(still: World, name: str) -> None:
    visitor = still.client(name)
    for page in PAGES:
        got = visitor.get(addresses(still)[page.path])
        if USERS[name] < page.least:
            assert got.status_code == 403, page.path
        else:
            assert got.status_code == (404 if page.path.startswith("/ask/") else 200), (page.path, got.text)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["rita", "anna", "paul"])
def test_each_role_does_its_deeds_and_no_others(mine: World, name: str) -> None:
    visitor = mine.client(name)
    token = csrf_in(visitor.get("/queue").text)
    for deed in DEEDS:
        path = (
            deed.path.replace("{case}", hostile(mine))
            .replace("{ask:number}", "1")
            .replace("{proposal:number}", "1")
            .replace("{dismissal:number}", "1")
            .replace("{lead}", "lead-0001")
        )
        got = visitor.post(path, data={"csrf": token})
        assert (got.status_code == 403) == (USERS[name] < deed.least), (deed.path, got.status_code)
        assert got.status_code != 500, (deed.path, got.text)


@pytest.mark.parametrize("page", ["queue", "leads"])
def test_an_empty_looking_page_says_what_the_detector_could_not_see(still: World, page: str) -> None:
    rita = still.client("rita")
    text = rita.get(f"/{page}").text
    assert "What cannot be seen now" in text
    assert "Memory reaches back 1.0 days." in text
    assert rita.get("/queue.json").json()["not_seen"][0].startswith("Memory reaches back 1.0 days.")


@pytest.mark.slow
def test_counts_of_accounts_and_exchanges_lead_to_their_rows(still: World) -> None:
    rita, case = still.client("rita"), hostile(still)
    leading = 0
    for address in (f"/case/{case}", f"/actor/{case}", "/lead/lead-0001"):
        page = rita.get(address).text
        for label, shown in re.findall(r"<dt>([^<]*)</dt><dd>(.*?)</dd>", page):
            if not re.search("account|victim|cleared|taken|came back|clear to", label, re.I):
                continue
            (href,) = re.findall('<a href="([^"]+)"', shown)[:1]
            path, _, anchor = html.unescape(href).partition("#")
            target = page if not path else rita.get(path).text
            assert not anchor or f'id="{anchor}"' in target, (address, label)
            leading += 1
    assert leading >= 9


def test_a_form_counts_only_from_our_page_in_the_session_it_was_made_for(mine: World) -> None:
    anna, ben = mine.client("anna"), mine.client("ben")
    case, token = hostile(mine), csrf_in(anna.get("/queue").text)
    path, form = f"/case/{case}/note", {"csrf": token, "text": "hello"}
    before = len(mine.store.case(case).title), mine.store.revision()
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": HERE.replace("8090", "8091")},
        {"origin": HERE, "sec-fetch-site": "cross-site"},
        {"origin": HERE, "sec-fetch-site": "same-site"},
    ):
        assert anna.post(path, data=form, headers=headers).status_code == 403, headers
    del anna.headers["origin"]
    assert anna.post(path, data=form).status_code == 403
    assert anna.post(path, data=form, headers={"sec-fetch-site": "none"}).status_code == 403
    anna.headers["origin"] = HERE
    for wrong in ("", "0" * 64, csrf_in(ben.get("/queue").text), token[:-1], token + "0", "\ud7ff"):
        assert anna.post(path, data=form | {"csrf": wrong}).status_code == 403, wrong
    assert before == (len(mine.store.case(case).title), mine.store.revision())
    assert anna.post(path, data=form).status_code == 303


def test_requests_that_no_browser_sends_are_turned_away(still: World) -> None:
    anna = still.client("anna")
    token = csrf_in(anna.get("/queue").text)
    path = f"/case/{hostile(still)}/note"
    assert anna.post(path, json={"csrf": token}).status_code == 415
    assert anna.post(path, data={"csrf": token}, files={"a": b"b"}).status_code == 415
    assert anna.post(path, data={"csrf": token, "text": "x" * (1 << 21)}).status_code == 413
    kind = {"content-type": "application/x-www-form-urlencoded"}
    assert anna.post(path, content=b"csrf=" + b"&a=" * 5_000, headers=kind).status_code == 400
    assert anna.post(path, content=b"csrf=\xff\xfe", headers=kind).status_code == 400
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert anna.request(method, "/queue").status_code == 405
    for host in ("evil.example", "127.0.0.1.evil.example", "127.0.0.2:8090", ""):
        assert anna.get("/queue", headers={"host": host}).status_code in (400, 421), host


# --- headers and markup of every answer ---


@pytest.mark.slow
def test_every_answer_forbids_what_a_page_does_not_need(still: World) -> None:
    paul = still.client("paul")
    for address in [*addresses(still).values(), "/login", "/nowhere", "/static/console.css", "/queue.json"]:
        got = paul.get(address)
        policy = got.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), address
        assert "unsafe" not in policy
        assert "http" not in policy
        assert got.headers["x-content-type-options"] == "nosniff"
        assert got.headers["x-frame-options"] == "DENY"
        assert got.headers["cache-control"] in ("no-store", "public, max-age=31536000, immutable")
        assert "strict-transport-security" not in got.headers
        assert "server" not in got.headers


class Tags(HTMLParser):
    """The tags of a page, as a browser parses them."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))


@pytest.mark.slow
def test_no_page_holds_a_script_a_style_or_an_address_of_its_own(still: World) -> None:
    paul = still.client("paul")
    for address in addresses(still).values():
        for tag, has in Tags(paul.get(address).text).found:
            assert not [n for n in has if n.startswith("on") or n in ("style", "srcdoc", "formtarget")], (
                address,
                tag,
                has,
            )
            assert tag not in ("img", "iframe", "object", "embed", "base", "style", "video", "audio"), address
            if tag == "script":
                assert re.fullmatch(r"/static/[a-z.]+js\?[0-9a-f]{12}", has["src"]), has
            for name in ("href", "src", "action", "formaction", "hx-get", "data-open"):
                assert re.match(r"(/(?!/)|#)", has.get(name, "/")), (address, tag, has)


@pytest.mark.slow
def test_every_page_has_its_twins_and_no_cell_is_a_formula(still: World) -> None:
    paul = still.client("paul")
    for route, address in addresses(still).items():
        if route.startswith("/ask/"):
            continue
        path, _, words = address.partition("?")
        got = paul.get(f"{path}.json?{words}")
        assert got.headers["content-type"] == "application/json"
        assert got.content.isascii()
        assert paul.get(f"{path}?{words}&format=json").json().keys() == got.json().keys()
        sheet = paul.get(f"{path}.csv?{words}")
        assert sheet.headers["content-disposition"].startswith("attachment; ")
        for cells in csv.reader(io.StringIO(sheet.text)):
            assert not [c for c in cells if c[:1] in "=+@\t\r|%" and c and not _is_number(c)], route
            assert all(c.isprintable() for c in cells)
    assert paul.get("/queue?format=xml").status_code == 400


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.slow
def test_odd_addresses_are_sentences_and_never_tracebacks(still: World) -> None:
    paul = still.client("paul")
    for address, status in (
        ("/queue?offset=-1", 409),
        ("/queue?offset=99999999999999999999999", 409),
        ("/queue?state=<script>", 409),
        ("/queue?verdict=victims", 409),
        ("/queue?account=%00%ff%f0", 200),
        ("/queue?text=%25%27;DROP TABLE cases--", 200),
        ("/queue?owner=" + "a" * 5_000, 200),
        ("/account?name=nobody", 404),
        ("/account?key=%1a%00", 404),
        ("/case/..%2f..%2fetc", 404),
        ("/case/case-'%20OR%201=1", 404),
        ("/ask/99999999999999999999", 404),
        ("/static/../app.py", 404),
        ("/static/%2e%2e%2fapp.py", 404),
        ("/audit?subject=%00&who=%27", 200),
        ("/audit?before=abc", 409),
        ("/terms?against=zz", 409),
        (f"/case/{hostile(still)}/links?offset=100000", 200),
        (f"/case/{hostile(still)}/accounts?which=%3Cb%3E&starts=%00", 200),
    ):
        got = paul.get(address)
        assert got.status_code == status, (address, got.status_code, got.text[-600:])
        assert "Traceback" not in got.text
        assert "<script>" not in got.text


@pytest.mark.slow
def test_a_group_is_walked_from_account_to_account(still: World) -> None:
    rita, case = still.client("rita"), hostile(still)
    named = set(still.store.case(case).accounts)
    page = html_unescape(rita.get(f"/case/{case}/links").text)
    for link in set(re.findall(r'href="(/account[^"]+)"', page)):
        assert rita.get(link).status_code == 200, link  # a campaign is not linked as if it were an account
    new, seen = [rita.get(f"/case/{case}/links.json").json()["links"][0]["a"]], set()
    while new and len(seen) < 8:
        at = new.pop()
        seen.add(at)
        near = rita.get(account_json(at)).json()["nearest"]
        assert [len(one["clues"]) for one in near] == sorted(
            (len(one["clues"]) for one in near), reverse=True
        )
        page = rita.get(account_json(at).replace(".json", "")).text
        opens = {html_unescape(link) for link in re.findall(r'<tr data-open="(/account[^"]*)"', page)}
        there = {rita.get(link.replace("/account", "/account.json", 1)).json()["account"] for link in opens}
        assert there == {one["account"] for one in near}
        new += sorted(there - seen)
    assert seen <= named
    assert len(seen) > 2


def account_json(account: str) -> str:
    return "/account.json?" + urlencode({"key": key_of(account)}, errors="surrogatepass")


@pytest.mark.slow
def test_every_account_can_be_opened_whatever_its_name(still: World) -> None:
    anna = still.client("anna")
    page = anna.get(f"/case/{hostile(still)}/accounts").text
    links = {html_unescape(link) for link in re.findall(r'href="(/account(?:\?[^"]+)?)"', page)}
    named = still.store.case(hostile(still)).accounts
    assert len(links) == len(named)
    for link in links:
        got = anna.get(link)
        assert got.status_code == 200, link
    shown = {anna.get(link.replace("/account", "/account.json", 1)).json()["account"] for link in links}
    assert shown == set(named)


@pytest.mark.slow
def test_accounts_of_any_name_can_be_picked_and_judged(mine: World) -> None:
    anna, case = mine.client("anna"), hostile(mine)
    found = Tags(anna.get(f"/case/{case}").text).found
    picks = [has for tag, has in found if tag == "input" and has.get("type") == "checkbox"]
    values = [has["value"] for has in picks if has.get("name") == "account"]
    assert all(value.isascii() and value.isprintable() for value in values)  # browsers change none of these
    named = set(mine.store.case(case).accounts)
    assert len(values) == len(named)
    done = anna.submit(
        f"/case/{case}/accounts", f"/case/{case}", verdict="victim", account=values, why="stolen keys"
    )
    assert done[0] == 303
    assert mine.store.case(case).victims == len(named)
    for link in re.findall(r'href="(/account(?:\?[^"]+)?)"', anna.get(f"/case/{case}/accounts").text):
        page = anna.get(html_unescape(link))
        (value,) = [has["value"] for _, has in Tags(page.text).found if has.get("name") == "account"]
        assert anna.submit("/prompts", account=value, why="an appeal came in")[0] == 200
    assert {one.removeprefix("said ") for one in mine.gateway.asked} == named


def html_unescape(text_: str) -> str:
    return text_.replace("&amp;", "&").replace("&#39;", "'").replace("&#34;", '"')


# --- log-in and log-out ---


@pytest.mark.slow
def test_a_session_begins_with_a_cookie_nobody_has_seen(mine: World) -> None:
    visitor = mine.client()
    planted = "A" * 43
    visitor.cookies.set(COOKIE, planted, domain="127.0.0.1")
    token = csrf_in(visitor.get("/login").text)
    got = visitor.post(
        "/login", data={"name": " Anna ", "password": PASSWORD, "csrf": token, "next": "/health?x=1"}
    )
    assert (got.status_code, got.headers["location"]) == (303, "/health?x=1")
    set_cookies = got.headers.get_list("set-cookie")
    session = next(c for c in set_cookies if c.startswith(f"{COOKIE}="))
    assert "HttpOnly" in session
    assert "SameSite=strict" in session
    assert "Secure" not in session
    assert planted not in session
    assert sessions.find(mine.store, planted, NOW) is None
    first = re.match(rf"{COOKIE}=([^;]+)", session)[1]  # type: ignore[index]
    assert visitor.log_in("anna") == 303  # again: this browser's old session ends
    assert sessions.find(mine.store, first, NOW) is None
    kept = mine.store.engine.connect().execute(text("SELECT digest FROM console_sessions")).scalars().all()
    assert first not in kept


@pytest.mark.slow
@pytest.mark.parametrize(
    "target",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/a\r\nset-cookie: b=c",
        "",
    ],
)
def test_logging_in_leads_nowhere_else(mine: World, target: str) -> None:
    visitor = mine.client()
    page = visitor.get("/login", params={"next": target}).text
    assert 'name="next" value="/queue"' in page
    data = {"name": "anna", "password": PASSWORD, "csrf": csrf_in(page), "next": target}
    assert visitor.post("/login", data=data).headers["location"] == "/queue"


@pytest.mark.slow
def test_cookies_are_for_tls_alone_where_there_is_tls(tmp_path: Path) -> None:
    made = world(tmp_path)
    from stillwatch.console.app import make

    app = make(made.store, made.gateway, secure=True, now_us=lambda: NOW)
    visitor = Visitor(app)
    visitor.base_url = "https://127.0.0.1:8090"
    visitor.headers["origin"] = "https://127.0.0.1:8090"
    page = visitor.get("/login")
    assert page.headers["set-cookie"].startswith("__Host-stillwatch-door-8090=")
    assert "Secure" in page.headers["set-cookie"]
    assert page.headers["strict-transport-security"].startswith("max-age=")
    assert visitor.log_in("anna") == 303
    assert visitor.get("/queue").status_code == 200
    made.close()


@pytest.mark.slow
def test_a_wrong_password_and_an_unknown_name_look_alike_and_wait_in_the_end(mine: World) -> None:
    visitor = mine.client()
    answers = []
    for name in ("anna", "nobody", "<script>alert(1)</script>"):
        token = csrf_in(visitor.get("/login").text)
        got = visitor.post("/login", data={"name": name, "password": "wrong", "csrf": token, "next": ""})
        answers.append((got.status_code, re.sub(r'value="[^"]*"', "", got.text)))
    assert answers[0] == answers[1] == answers[2]
    assert answers[0][0] == 401
    for _ in range(OF_PAIR - 1):
        assert visitor.log_in("anna", "wrong") == 401
    assert visitor.log_in("anna") == 429  # the right password, too late
    assert visitor.log_in("ben") == 303  # a colleague from the same address


def test_the_throttle_counts_tries_by_name_by_address_and_for_a_while() -> None:
    throttle = Throttle()
    for k in range(OF_PAIR):
        assert throttle.wait_s("anna", "a", now_s=0.0) == 0, k
        throttle.begun("anna", "a", now_s=0.0)
    assert throttle.wait_s("anna", "a", now_s=1.0) == int(WINDOW_S)
    assert throttle.wait_s("anna", "b", now_s=1.0) == 0  # other addresses are not locked out
    assert throttle.wait_s("anna", "a", now_s=WINDOW_S + 1) == 0
    for k in range(OF_NAME):
        throttle.begun("ben", f"address-{k}", now_s=4_000.0)
    assert throttle.wait_s("ben", "new", now_s=4_000.0) > 0
    throttle.begun("paul", "z", now_s=8_000.0)
    throttle.record_success("paul", "z")
    assert throttle.wait_s("paul", "z", now_s=8_000.0) == 0


@pytest.mark.slow
def test_strangers_that_fail_at_one_address_leave_each_name_a_few_tries_from_there() -> None:
    throttle = Throttle()
    for k in range(3 * OF_ADDRESS):
        throttle.begun(f"name-{k}", "proxy", now_s=0.0)
    for k in range(LEFT["address"]):  # slower than if nobody else were guessing there
        assert throttle.wait_s("anna", "proxy", now_s=1.0) == 0, k
        throttle.begun("anna", "proxy", now_s=1.0)
    assert throttle.wait_s("anna", "proxy", now_s=2.0) > 0
    for k in range(OF_ALL):
        throttle.begun(f"other-{k}", f"address-{k}", now_s=3.0)
    assert throttle.wait_s("ben", "elsewhere", now_s=4.0) == 0
    throttle.begun("ben", "elsewhere", now_s=4.0)
    assert throttle.wait_s("ben", "elsewhere", now_s=5.0) > 0


def test_many_addresses_that_guess_at_one_name_keep_out_neither_its_browser_nor_its_own_address() -> None:
    throttle = Throttle()
    throttle.begun("anna", "office", now_s=0.0)
    throttle.record_success("anna", "office")
    for k in range(2 * OF_NAME):
        throttle.begun("anna", f"bot-{k}", now_s=1.0)
    assert throttle.wait_s("anna", "bot-new", now_s=2.0) > 0
    assert throttle.wait_s("anna", "office", now_s=2.0) == 0
    for _ in range(OF_PAIR):
        throttle.begun("anna", "office", now_s=2.0)
    assert throttle.wait_s("anna", "office", now_s=3.0) > 0  # also for a stranger at her own address
    assert throttle.wait_s("anna", "office", "browser-1", now_s=3.0) == 0
    for _ in range(OF_PAIR):
        throttle.begun("anna", "office", "browser-1", now_s=3.0)
    assert throttle.wait_s("anna", "office", "browser-1", now_s=4.0) > 0  # a stolen cookie guesses no faster


@pytest.mark.slow
def test_a_known_browser_enters_while_strangers_guess_at_its_owner_from_the_same_address(mine: World) -> None:
    known, stranger = mine.client(), mine.client()
    assert known.log_in("anna") == 303
    assert known.submit("/logout")[0] == 303
    for _ in range(OF_PAIR):
        assert stranger.log_in("anna", "wrong") == 401
    assert stranger.log_in("anna") == 429
    name, cookie = next((n, c) for n, c in known.cookies.items() if "browser" in n)
    for forged in (cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), "x" * len(cookie), ""):
        stranger.cookies.set(name, forged, domain="127.0.0.1")
        assert stranger.log_in("anna") == 429
    assert people.known_browser(mine.store, "ben", cookie) == ""  # only anna's
    assert known.log_in("anna") == 303
    people.add(mine.store, "anna", UserRole.ANALYST, "another password", who="tests", now_us=NOW)
    assert people.known_browser(mine.store, "anna", cookie) == ""


@pytest.mark.slow
def test_a_session_ends_by_itself_by_logging_out_and_with_its_user(mine: World) -> None:
    anna = mine.client("anna")
    assert anna.get("/queue").status_code == 200
    mine.clock[0] += 59 * MINUTE_US
    assert anna.get("/queue").status_code == 200
    mine.clock[0] += 59 * MINUTE_US
    assert anna.get("/queue").status_code == 200  # each view extends the session
    mine.clock[0] += 61 * MINUTE_US
    assert anna.get("/queue").status_code == 303
    ben = mine.client("ben")
    for _ in range(13):
        mine.clock[0] += 55 * MINUTE_US
        ben.get("/queue")
    assert ben.get("/queue").status_code == 200
    mine.clock[0] += 55 * MINUTE_US  # past twelve hours
    assert ben.get("/queue").status_code == 303

    paul = mine.client("paul")
    kept = paul.cookies.get(COOKIE)
    assert paul.submit("/logout") == (303, "/login")
    assert sessions.find(mine.store, kept or "", mine.clock[0]) is None

    pia = mine.client("pia")
    people.disable(mine.store, "pia", who="tests", now_us=mine.clock[0])
    assert pia.get("/queue").status_code == 303
    assert Visitor(mine.app).log_in("pia") == 401


def test_a_session_of_a_clock_that_was_put_back_ends(mine: World) -> None:
    anna = mine.client("anna")
    mine.clock[0] -= 60_000_000
    assert anna.get("/queue").status_code == 200
    mine.clock[0] -= 86_400_000_000
    assert anna.get("/queue").status_code == 303


def test_a_database_that_does_not_answer_is_a_503(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    anna = mine.client("anna")

    def gone(*_: object) -> object:
        raise OperationalError("SELECT 'acct_secret'", {}, sqlite3.OperationalError("disk I/O error"))

    with monkeypatch.context() as down:
        down.setattr(reading, "queue", lambda store, *_: store_refuses(store, gone))
        got = anna.get("/queue")
    assert (got.status_code, "acct_secret" in got.text, "disk I/O error" in got.text) == (503, False, True)
    assert anna.get("/queue").status_code == 200


def store_refuses(store: Store, gone: Callable[..., object]) -> object:
    with store.reading():
        return gone()


@pytest.mark.slow
def test_a_role_counts_at_once_and_a_new_password_ends_sessions(mine: World) -> None:
    anna = mine.client("anna")
    with mine.store.writing(NOW) as tx:
        tx.db.execute(text("UPDATE console_users SET role = 1 WHERE name = 'anna'"))
        tx.changed = True
    assert anna.get("/sql").status_code == 403
    people.add(mine.store, "anna", UserRole.ANALYST, "another password", who="tests", now_us=NOW)
    assert anna.get("/queue").status_code == 303


@pytest.mark.slow
def test_people_change_their_own_password_and_end_their_sessions(mine: World) -> None:
    anna, phone, ben = mine.client("anna"), mine.client("anna"), mine.client("ben")
    fresh = "another horse battery"

    def change(current: str, new: str, again: str | None = None) -> tuple[int, str]:
        words = {"current": current, "new": new, "again": new if again is None else again}
        return anna.submit("/me/password", "/me", **words)

    assert [one["this"] for one in anna.get("/me.json").json()["sessions"]].count(True) == 1
    assert len(anna.get("/me.json").json()["sessions"]) == 2
    for current, new, again, told in (
        ("wrong password", fresh, fresh, "not the password you have"),
        (PASSWORD, "short", "short", "give 12 to"),
        (PASSWORD, "TrustNo1TrustNo1", "TrustNo1TrustNo1", "unrelated words"),
        (PASSWORD, fresh, fresh + "x", "typed alike twice"),
        (PASSWORD, PASSWORD, PASSWORD, "give another"),
    ):
        status, page = change(current, new, again)
        assert (status, told in page) == (409, True), told
    assert phone.get("/queue").status_code == 200
    assert change(PASSWORD, fresh) == (303, "/me?done=password")
    assert (anna.get("/queue").status_code, phone.get("/queue").status_code) == (200, 303)
    assert ben.get("/queue").status_code == 200
    assert people.check(mine.store, "anna", PASSWORD) is None
    assert people.check(mine.store, "anna", fresh) is not None
    tablet = mine.client("anna")
    assert anna.submit("/me/sessions", "/me") == (303, "/me?done=ended")
    assert (anna.get("/queue").status_code, tablet.get("/queue").status_code) == (200, 303)
    with mine.store.reading() as db:
        told = [r.what for r in read(db, who="anna") if "password" in r.what or "sessions" in r.what]
    assert told == ["other sessions ended", "password changed", "password not changed"]
    for _ in range(OF_PAIR):  # a stolen session cannot guess a password
        change("wrong password", fresh)
    assert "too many tries" in change(fresh, PASSWORD)[1]
    other = Visitor(mine.app)
    assert other.log_in("anna", fresh) == 303  # and locks nobody out


def test_names_and_passwords_that_will_not_do_are_refused(mine: World) -> None:
    for name in ("", "Anna", "a b", "<b>", "x" * 65, "\x00", "-a", *people.TAKEN):
        with pytest.raises(ConsoleError):
            people.add(mine.store, name, UserRole.READER, PASSWORD, who="tests", now_us=NOW)
    for password in (
        "", "short", "x" * 2_000, "aaaaaaaaaaaa", "abababcababa", "hunter2hunter2", "123456789012",
        "210987654321",
        "qwertyuiopas", "ABCDEFGHIJKLM", "new-password-1", "Stillwatch2026!", "newnew123456!",
        "1qaz2wsx3edc", "Liverpool2026!", "xXfinalfantasyXx", "St1llw@tch-2026", "P4ssw0rt-2026",
        "Dragon!2026!", "football football!", "abcdefghijk1!", "00000000001234", "20261129202611",
        "correcthorsebatterystaple", "ChangeMeChangeMe2026!", "Umbrella-Corp-26", "umbr3ll@2026",
    ):  # fmt: skip
        with pytest.raises(ConsoleError):
            people.add(
                mine.store, "new", UserRole.READER, password, who="tests", now_us=NOW, words=["Umbrella Corp"]
            )
    assert len(password_rules.common_passwords()) > 3_000
    for word in sorted(password_rules.common_passwords())[::97]:
        assert password_rules.guessable(f"{word.upper()}2026!", "anna") is not None, word
    assert password_rules.guessable("berg-berg-2026!", "anna.berg@corp.example") is not None
    assert len(password_rules.breached_digests()) > 1_000_000
    for fine in ("correct horse battery", "three liverpool words", "anna-pass-12345"):
        assert password_rules.guessable(fine, "anna") is None, fine
    assert password_rules.guessable("n", "anna") is not None
    assert people.first_way_in(mine.store, who="tests", now_us=NOW) is None


@pytest.mark.slow
def test_no_password_and_no_cookie_is_kept(mine: World, tmp_path: Path) -> None:
    visitor = mine.client()
    assert visitor.log_in("anna") == 303
    cookie = visitor.cookies.get(COOKIE)
    assert cookie
    for file in tmp_path.iterdir():
        held = file.read_bytes()
        assert PASSWORD.encode() not in held, file
        assert cookie.encode() not in held, file


# --- prompts ---


@pytest.mark.slow
def test_prompts_are_shown_to_who_asks_with_a_reason_and_that_is_on_record(mine: World) -> None:
    anna, case = mine.client("anna"), hostile(mine)
    account = next(a for a in mine.store.case(case).accounts if "onerror" in a)
    page = anna.get("/account", params={"name": account})
    assert "evil.example/3" not in page.text  # none of its texts
    assert mine.gateway.asked == []
    for why in ("", "   ", "because"):
        assert anna.submit("/prompts", account=account, why=why)[0] == 409
    assert mine.gateway.asked == []
    status, said = anna.submit("/prompts", account=account, why="appeal 12 says it is a class")
    assert status == 200
    assert "evil.example/3" in said
    assert mine.gateway.asked == [f"said {account}"]
    with mine.store.reading() as db:
        newest = read(db, limit=1, opened=True)[0]
    assert (newest.who, newest.what, newest.subject) == ("anna", "prompts looked at", case)
    assert account not in json.dumps(newest.detail)
    assert anna.submit("/prompts", account="of nobody", why="curious about it")[0] == 404
    assert mine.client("rita").submit("/prompts", account=account, why="curious about it")[0] == 403


def test_prompts_stay_hidden_where_the_record_cannot_be_written(
    mine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, case = mine.client("anna"), hostile(mine)
    account = mine.store.case(case).accounts[-1]

    def full(*_: object, **__: object) -> None:
        raise CaseError("cases.db: cannot be written: disk full; make room")

    monkeypatch.setattr(mine.store, "look", full)
    status, said = anna.submit("/prompts", account=account, why="a reason that counts")
    assert status == 409
    assert "make room" in said
    assert mine.gateway.asked == []


# --- actions on accounts ---


def may(of: World, case: str) -> tuple[str, ...]:
    """Return the accounts of a case that an action may affect."""
    found = reading.targets(of.store, case).accounts
    assert len(found) > 100
    return found


def dry_page(visitor: Visitor, case: str, **form: object) -> str:
    """Request a dry run and return its page."""
    token = csrf_in(visitor.get(f"/case/{case}").text)
    got = visitor.post(f"/case/{case}/dry", data={"csrf": token, "why": "the why", **form})
    assert got.status_code == 200, got.text
    assert "Nothing is done yet" in got.text
    return got.text


def dry(visitor: Visitor, case: str, **form: object) -> dict[str, str]:
    """Request a dry run and return the fields of the form that would take the action."""
    page = dry_page(visitor, case, **form)
    fields = re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', page)
    return {name: html_unescape(value) for name, value in fields if name not in ("account",)}


@pytest.mark.slow
def test_a_dry_run_names_who_else_is_hit_and_does_nothing(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    token = csrf_in(anna.get(f"/case/{case}").text)
    form = {"csrf": token, "why": "w", "step": "throttle", "for_s": "3600"}
    said = anna.post(f"/case/{case}/dry", data=form).text
    assert (
        f"A second person must agree, because it hits {len(may(mine, case))} accounts, more than 10." in said
    )
    assert "Others of their organisations, not touched" in said
    assert mine.gateway.actions == []
    assert mine.gateway.asked == [f"reach THROTTLE {len(may(mine, case))}"]
    assert "Left out: 6 tied by too little" in said
    for wrong in (
        {"step": "clear"},
        {"step": "explode"},
        {"why": ""},
        {"for_s": "-1"},
        {"for_s": "1e9"},
        {"account": "not its own"},
    ):
        assert anna.post(f"/case/{case}/dry", data=form | wrong).status_code == 409, wrong


@pytest.mark.slow
def test_a_small_step_is_taken_at_once_and_undone_exactly(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    one = may(mine, case)[0]
    before = dict(mine.gateway.standings(mine.store.case(case).accounts))
    fields = dry(anna, case, step="throttle", for_s="3600", budget="30000", account=one)
    got = anna.post(f"/case/{case}/act", data={**fields, "account": one})
    assert got.headers["location"] == f"/case/{case}?done=acted"
    stands = mine.gateway.standings(mine.store.case(case).accounts)
    assert list(stands) == [one]
    assert (stands[one].output_tokens_per_hour, stands[one].until_us) == (30_000, NOW + 3_600_000_000)
    assert "throttle" in anna.get(f"/account?name={one}").text
    assert anna.submit("/ask/1/undo", why="")[0] == 409
    assert anna.submit("/ask/1/undo", why="it was a mistake")[0] == 303
    assert dict(mine.gateway.standings(mine.store.case(case).accounts)) == before
    assert anna.submit("/ask/1/undo", why="again")[0] == 409


@pytest.mark.slow
def test_an_appeal_that_is_granted_ends_the_steps_of_who_appealed_and_no_more(mine: World) -> None:
    anna, paul, case = mine.client("anna"), mine.client("paul"), mine.cases[BIG]
    one, other = may(mine, case)[:2]
    for account in (one, other):
        fields = dry(anna, case, step="throttle", for_s="3600", account=account)
        assert anna.post(f"/case/{case}/act", data={**fields, "account": account}).status_code == 303
    here = f"/case/{case}"
    assert anna.submit(f"{here}/appeal", account="not its own", text="not us")[0] == 404
    assert anna.submit(f"{here}/appeal", account=in_form(one), text="not us: an old customer")[0] == 303
    assert f"<bdi>{one}</bdi></code> is cleared and every step on it ends" in paul.get(here).text
    assert paul.submit(f"{here}/decide", granted="yes", why="it is")[1] == f"{here}?done=lifted"
    stands = mine.gateway.standings(mine.store.case(case).accounts)
    assert (stands[other].step, len(mine.gateway.actions)) == (Step.THROTTLE, 3)
    ended, _ = mine.gateway.actions[-1]
    assert [(account, status.step) for account, status in ended.items()] == [(one, Step.CLEAR)]
    assert (mine.store.case(case).cleared, mine.store.case(case).verdict) == (1, None)
    assert anna.submit(f"{here}/appeal", account="", text="it is all one class")[0] == 303
    assert "the whole case is judged false" in paul.get(here).text
    assert paul.submit(f"{here}/decide", granted="no", why="no such school")[1] == f"{here}?done=decided"
    assert len(mine.gateway.actions) == 3


@pytest.mark.slow
def test_leads_stand_apart_and_no_step_can_rest_on_one(mine: World) -> None:
    rita, anna, paul = mine.client("rita"), mine.client("anna"), mine.client("paul")
    before = rita.get("/queue.json").json()["total"]
    listed = rita.get("/leads.json").json()
    assert (listed["total"], listed["actionable"], len(listed["leads"])) == (60, False, 50)
    assert {row["actionable"] for row in listed["leads"]} == {False}
    assert "lead-0000" in rita.get("/leads?offset=50").text
    page, told = rita.get("/lead/lead-0001").text, rita.get("/lead/lead-0001.json").json()
    for words in ("no step on an account may rest on it", "What it rests on", "Randomised holds"):
        assert words in page
    assert (told["actionable"], len(told["rests_on"]), len(told["would_make_it_a_finding"])) == (False, 3, 2)
    assert rita.submit("/lead/lead-0001/open", why="x")[0] == 403
    assert anna.submit("/lead/lead-0001/open", why="")[0] == 409
    status, where = anna.submit("/lead/lead-0001/open", why="support heard of an export")
    assert (status, where.endswith("?done=opened")) == (303, True)
    case = where.split("/")[-1].split("?")[0]
    assert anna.submit("/lead/lead-0001/open", why="again")[0] == 409
    assert rita.get("/queue.json").json()["total"] == before + 1
    assert "lead, no finding" in rita.get("/queue").text
    shown = paul.get(f"/case/{case}").text
    assert "no step on an account may rest on it" in shown
    assert '<span class="tag">no longer named' not in shown  # they are in no finding
    assert "Taken, as far as is known" not in shown
    accounts = mine.store.case(case).accounts
    handling.judge_accounts(mine.store, case, accounts, Verdict.TRUE, who="ben", why="sure", now_us=NOW)
    for form in ({}, {"account": in_form(accounts[0])}):
        status, said = paul.submit(f"/case/{case}/dry", step="watch", why="x", for_s="3600", **form)
        assert (status, "may be acted on" in said) == (409, True)
    assert mine.gateway.actions == []
    with mine.store.reading() as db:
        opened = next(r for r in read(db, subject=case) if r.what == "case.opened")
    assert (opened.who, opened.detail["lead"]) == ("anna", "lead-0001")
    assert mine.client("anna").submit(f"/case/{case}/appeal", account="", text="not us")[0] == 303
    assert anna.submit(f"/case/{case}/decide", granted="no", why="x")[0] == 403
    with pytest.raises(CaseError, match="'anna' opened it"):
        handling.decide(mine.store, case, False, who="anna", why="x", now_us=NOW)


@pytest.mark.slow
def test_who_asked_for_a_step_or_approved_it_decides_no_appeal_against_it(mine: World) -> None:
    anna, paul, pia, case = mine.client("anna"), mine.client("paul"), mine.client("pia"), mine.cases[BIG]
    fields, here = dry(paul, case, step="block", for_s="86400"), f"/case/{case}"
    assert paul.post(f"{here}/act", data=fields).headers["location"] == f"{here}?done=asked"
    assert pia.submit("/ask/1/approve", why="seen the dry run")[0] == 303
    for account in may(mine, case)[:2]:  # two accounts of one group, each separately
        assert anna.submit(f"{here}/appeal", account=in_form(account), text="not us")[0] == 303
    first, second = handling.appeals(mine.store, case)
    page = paul.get(here).text
    assert f"Decide appeal {first.number}" in page
    assert f"Decide appeal {second.number}" in page
    for visitor, did in ((paul, "asked for step 1"), (pia, "approved step 1")):
        status, said = visitor.submit(f"{here}/decide", appeal=first.number, granted="no", why="it stands")
        assert (status, did in said, "somebody else decides" in said) == (409, True, True)
    people.add(mine.store, "petra", UserRole.APPROVER, PASSWORD, who="x", now_us=NOW)
    petra = mine.client()
    assert petra.log_in("petra") == 303
    assert petra.submit(f"{here}/decide", granted="yes", why="looked")[0] == 409  # not clear which of the two
    form = {"appeal": second.number, "granted": "yes", "why": "looked"}
    assert petra.submit(f"{here}/decide", **form)[1] == f"{here}?done=lifted"
    assert list(mine.gateway.actions[-1][0]) == [second.account]
    assert [one.number for one in handling.appeals(mine.store, case)] == [first.number]


@pytest.mark.slow
def test_a_big_step_waits_for_another_person(mine: World) -> None:
    anna, paul, pia, case = mine.client("anna"), mine.client("paul"), mine.client("pia"), mine.cases[BIG]
    fields = dry(anna, case, step="block", for_s="86400")
    assert anna.post(f"/case/{case}/act", data=fields).headers["location"] == f"/case/{case}?done=asked"
    assert mine.gateway.actions == []
    assert anna.submit("/ask/1/approve", why="I say so")[0] == 403
    assert "block" in paul.get("/approvals").text
    assert paul.submit("/ask/1/approve", why="")[0] == 409
    assert mine.gateway.actions == []
    assert paul.submit("/ask/1/approve", why="seen the dry run")[0] == 303
    assert len(mine.gateway.actions[0][0]) == len(may(mine, case))
    assert pia.submit("/ask/1/approve", why="me too")[0] == 409  # already approved
    assert len(mine.gateway.actions) == 1
    with mine.store.reading() as db:
        told = [(r.who, r.what) for r in read(db, subject=case, limit=3)]
    assert told[:2] == [("paul", "step taken"), ("anna", "step asked for")]
    assert isinstance(verify(mine.store), VerifiedTrail)


@pytest.mark.slow
def test_small_helpings_and_hidden_refusals_are_big_steps(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    accounts = may(mine, case)

    def step(**form: object) -> str:
        fields = dry(anna, case, **{"step": "throttle", "for_s": "3600", **form})
        answer = anna.post(f"/case/{case}/act", data={**fields, "account": form["account"]})
        return answer.headers["location"].rpartition("=")[2]

    assert step(account=accounts[:1], budget="0") == "asked"  # a throttle to zero refuses everything
    assert step(account=accounts[:1], for_s="315360000") == "asked"  # an end in ten years
    assert step(account=accounts[:6]) == "acted"
    assert step(account=accounts[6:12]) == "asked"  # twelve within a day
    assert step(account=accounts[:6], step="watch") == "acted"
    watched = dry_page(anna, case, step="watch", account=accounts[7])
    assert "This loosens" not in watched
    paul = mine.client("paul")
    assert paul.submit("/ask/1/approve", why="yes")[0] == 303
    assert "This is milder than the current status: 1 account on throttle" in dry_page(
        anna, case, step="watch", account=accounts[0]
    )
    mine.clock[0] += 86_400_000_001
    later = mine.client("anna")
    assert "A second person" not in dry_page(later, case, step="throttle", for_s="60", account=accounts[6:12])


@pytest.mark.slow
def test_two_small_steps_in_one_moment_are_a_big_one(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    accounts = may(mine, case)
    fields = dry(anna, case, step="throttle", for_s="60", account=accounts[:6])
    act = mine.gateway.act

    def meanwhile(*words: Any) -> int:
        mine.gateway.act = act  # type: ignore[method-assign]
        form = dry(anna, case, step="throttle", for_s="60", account=accounts[6:12])
        answer = anna.post(f"/case/{case}/act", data={**form, "account": accounts[6:12]})
        assert answer.headers["location"].endswith("done=asked")
        return act(*words)

    mine.gateway.act = meanwhile  # type: ignore[method-assign]
    answer = anna.post(f"/case/{case}/act", data={**fields, "account": accounts[:6]})
    assert answer.headers["location"].endswith("done=acted")
    assert len(mine.gateway.actions) == 1


@pytest.mark.slow
def test_a_step_whose_taking_was_cut_off_can_be_closed(mine: World) -> None:
    anna, paul, case = mine.client("anna"), mine.client("paul"), mine.cases[BIG]
    anna.post(f"/case/{case}/act", data=dry(anna, case, step="block", for_s="60"))

    requested_steps.begin(mine.store, 1, "paul", NOW)  # the process ends here
    assert "its end is not on record" in anna.get("/approvals").text
    assert "Close it" in paul.get("/ask/1").text
    assert paul.submit("/ask/1/approve", why="again")[0] == 409
    assert paul.submit("/ask/1/refuse", why="no account is blocked")[0] == 303
    assert requested_steps.read_request(mine.store, 1).state == "refused"
    assert isinstance(verify(mine.store), VerifiedTrail)


def test_a_dry_run_names_who_stands_near_with_what_is_known(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    one = may(mine, case)[0]
    near = NearbyAccount(
        "acct<b>near", "uni", "clear", "classroom", None, 41, 900, 12, ("address", "organisation")
    )
    mine.gateway.named = (NearbyAccount(one, exchanges=7),), (near,), (AffectedEndUser(one, HOSTILE[0], 3),)
    said = dry_page(anna, case, step="throttle", for_s="60", account=one)
    for words in ("Near them, not touched", "acct&lt;b&gt;near", "classroom", "address, organisation"):
        assert words in said
    assert HOSTILE[0] not in said


@pytest.mark.slow
def test_nobody_approves_what_they_asked_for_themselves(mine: World) -> None:
    paul, pia, case = mine.client("paul"), mine.client("pia"), mine.cases[BIG]
    fields = dry(paul, case, step="verify", for_s="")
    paul.post(f"/case/{case}/act", data=fields)
    status, said = paul.submit("/ask/1/approve", why="I agree with myself")
    assert status == 409
    assert "another person" in said
    assert mine.gateway.actions == []
    assert pia.submit("/ask/1/refuse", why="a university")[0] == 303
    assert pia.submit("/ask/1/approve", why="after all")[0] == 409
    assert mine.gateway.actions == []


@pytest.mark.slow
def test_victims_and_cleared_accounts_are_never_hit(mine: World) -> None:
    anna, paul, case = mine.client("anna"), mine.client("paul"), mine.cases[BIG]
    accounts = may(mine, case)
    victim, cleared, late = accounts[0], accounts[1], accounts[2]
    handling.judge_accounts(mine.store, case, [victim], Verdict.VICTIM, who="x", why="stolen key", now_us=NOW)
    handling.judge_accounts(mine.store, case, [cleared], Verdict.FALSE, who="x", why="a class", now_us=NOW)
    form = {"why": "w", "step": "throttle", "for_s": "60"}
    token = csrf_in(anna.get("/queue").text)
    assert anna.post(f"/case/{case}/dry", data={**form, "csrf": token, "account": victim}).status_code == 409
    fields = dry(anna, case, step="block", for_s="60")
    anna.post(f"/case/{case}/act", data=fields)
    handling.judge_accounts(mine.store, case, [late], Verdict.VICTIM, who="x", why="that one too", now_us=NOW)
    assert "1 account of these may not be acted on any more" in paul.get("/ask/1").text
    assert paul.submit("/ask/1/approve", why="yes")[0] == 303
    assert {victim, cleared, late}.isdisjoint(mine.gateway.actions[0][0])
    assert len(mine.gateway.actions[0][0]) == len(accounts) - 3


def test_a_step_needs_the_dry_run_of_the_same_accounts(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    fields = dry(anna, case, step="watch", for_s="")
    assert anna.post(f"/case/{case}/act", data={**fields, "digest": "0" * 64}).status_code == 409
    account = may(mine, case)[0]
    handling.judge_accounts(mine.store, case, [account], Verdict.VICTIM, who="x", why="stolen", now_us=NOW)
    got = anna.post(f"/case/{case}/act", data=fields)
    assert got.status_code == 409
    assert "look again" in got.text
    assert mine.gateway.actions == []


def test_where_no_gateway_is_the_page_says_so(mine: World) -> None:
    mine.gateway.why_not = "no gateway stands behind this folder"
    anna, case = mine.client("anna"), mine.cases[BIG]
    assert "Steps cannot be taken here: <bdi>no gateway" in anna.get(f"/case/{case}").text
    assert anna.submit(f"/case/{case}/dry", step="watch", why="w")[0] == 503


# --- working on a case ---


@pytest.mark.slow
def test_a_case_is_worked_on_from_its_page(mine: World) -> None:
    anna, paul, case = mine.client("anna"), mine.client("paul"), hostile(mine)
    here = f"/case/{case}"
    at = mine.store.case(case).revision

    def do(verb: str, by: Visitor = anna, **form: object) -> str:
        status, where = by.submit(f"{here}/{verb}", revision=mine.store.case(case).revision, **form)
        assert status == 303, (verb, where)
        assert by.get(where).status_code == 200
        return where

    do("take")
    assert mine.store.case(case).owner == "anna"
    do("note", text=f"<script>{BANG}</script>\r\nsecond line")
    do("judge", verdict="suspicious", why="let us see")
    do("accounts", verdict="victim", account=mine.store.case(case).accounts[0], why="stolen key")
    assert mine.store.case(case).victims == 1
    do("assign", owner="ben", why="holiday")
    do("suppress", days=3, owner="ben", why="known test")
    do("unsuppress", why="the test is over")
    do("appeal", text=f'"><img src=x onerror="{BANG}">')
    do("decide", by=paul, granted="no", why="no")
    do("judge", verdict="true", why="a harvest", close="yes")
    assert str(mine.store.case(case).state) == "closed"
    do("reopen", why="again")
    do("close", why="once more")
    status, said = anna.submit(f"{here}/note", text="")
    assert status == 409
    status, said = anna.submit(f"{here}/judge", verdict="false", why="stale", revision=at)
    assert status == 409
    assert "look again" in said
    page = anna.get(here).text
    act = re.findall(r'name="act" value="(\d+)"', page)[0]
    do("undo", act=act, why="was wrong")
    assert str(mine.store.case(case).state) != "closed"
    assert f"<script>{BANG}" not in page
    assert "onerror=" in page  # as text
    assert anna.get(f"{here}?done=<script>").text.count("<script>") == 0


@pytest.mark.slow
def test_several_cases_are_worked_on_at_once_from_the_queue(mine: World) -> None:
    anna, ben = mine.client("anna"), mine.client("ben")

    def picked(by: Visitor) -> list[str]:
        return re.findall(
            r'name="case" value="([^"]+)" form="triage"', by.get("/queue?state=all&suppressed=all").text
        )

    def do(what: str, cases: list[str], by: Visitor = anna, **form: object) -> tuple[int, str]:
        return by.submit("/queue/triage", do=what, case=cases, **({"why": "one course"} | form))

    boxes = picked(anna)
    ids = [box.rpartition(":")[0] for box in boxes]
    assert sorted(ids) == sorted(mine.cases.values())
    assert 'name="case"' not in mine.client("rita").get("/queue").text
    handling.note(mine.store, ids[1], "mine", who="ben", now_us=NOW)
    status, page = do("assign", boxes, owner="ben", back="state=all&text=%22%3E%3Cscript%3E&x=1")
    assert status == 200
    assert f"{len(ids) - 1} of {len(ids)} cases assigned" in page
    assert page.index(f"{ids[1]} was seen at revision") < page.index(f"/case/{ids[0]}")
    assert 'href="/queue?state=all&amp;text=%22%3E%3Cscript%3E"' in page
    assert [mine.store.case(case).owner for case in ids] == ["ben", None, *["ben"] * (len(ids) - 2)]
    with mine.store.reading() as db:
        assert len([r for r in read(db) if r.what == "case.assign"]) == len(ids) - 1
    assert f"0 of {len(ids)} cases assigned" in do("assign", boxes, owner="ben")[1]  # page sent again
    assert f"{len(ids)} of {len(ids)} cases given a due date" in do("due", picked(ben), ben, hours=4)[1]
    assert {mine.store.case(case).due_us for case in ids} == {NOW + 4 * 60 * MINUTE_US}
    assert "2 of 2 cases dismissed" in do("dismiss", picked(anna)[:2], verdict="permitted")[1]
    some = picked(anna)[:3]
    status, page = do("merge", some, why=f"<script>{BANG}</script>")
    assert "2 of 2 cases merged" in page
    assert f"<script>{BANG}" not in page
    assert len(picked(anna)) == len(ids) - 2
    for what, cases, form in (
        ("assign", [], {}),
        ("assign", picked(anna), {"why": " "}),
        ("due", picked(anna), {"hours": 0}),
        ("due", picked(anna), {"hours": 10_000}),
        ("dismiss", picked(anna), {"verdict": "true"}),
        ("merge", picked(anna)[:1], {}),
        ("burn", picked(anna), {}),
        ("assign", ["case-1"], {}),
        ("assign", ["case-1:x"], {}),
        ("assign", [f"case-{k}:1" for k in range(201)], {}),
    ):
        assert do(what, cases, **form)[0] == 409, (what, form)
    assert do("assign", picked(anna), mine.client("rita"))[0] == 403


@pytest.mark.slow
def test_a_case_is_split_and_exported_from_its_page(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    here = f"/case/{case}"
    picked = list(mine.store.case(case).accounts[:3])
    form = {"why": "another card", "revision": mine.store.case(case).revision}
    assert anna.submit(f"{here}/split", here, **form)[0] == 409
    status, to = anna.submit(f"{here}/split", here, account=list(map(in_form, picked)), **form)
    assert (status, to.endswith("?done=split")) == (303, True)
    made = to.removeprefix("/case/").partition("?")[0]
    assert (sorted(mine.store.case(made).accounts), made != case) == (sorted(picked), True)
    assert not set(picked) & set(mine.store.case(case).accounts)
    assert "was seen at revision" in html.unescape(
        anna.submit(f"{here}/split", here, account=in_form(mine.store.case(case).accounts[0]), **form)[1]
    )

    for name, start in (("ocsf", "{"), ("incident", "{"), ("cloudevent", "{"), ("cef", "CEF:0|")):
        data = {"csrf": csrf_in(anna.get(here).text), "form": name, "why": "the SIEM was down"}
        got = anna.post(f"{here}/export", data=data)
        assert (got.status_code, got.text.startswith(start)) == (200, True), got.text[:200]
        assert got.headers["content-disposition"].startswith(f'attachment; filename="{case}-{name}.')
        assert got.headers["x-content-type-options"] == "nosniff"
        act = reading.acts(mine.store, case)[-1]
        assert (act.who, act.verb, act.sets["export"]["format"]) == ("anna", "export", name)
        assert act.sets["export"]["sha256"] == hashlib.sha256(got.content).hexdigest()
    for wrong in ({"form": "stix"}, {"form": ""}, {"form": "ocsf", "why": " "}):
        assert anna.submit(f"{here}/export", here, **({"why": "x"} | wrong))[0] == 409
    assert mine.client("rita").submit(f"{here}/export", here, form="ocsf", why="x")[0] == 403
    assert 'action="/case/' + case + '/export"' not in mine.client("rita").get(here).text


@pytest.mark.slow
def test_a_filter_is_kept_by_name_for_who_kept_it(mine: World) -> None:
    rita, anna = mine.client("rita"), mine.client("anna")
    name = f'"><script>{BANG}</script>\u202ea\x00'
    words = {"state": "all", "text": '<"&=', "owner": "me"}
    page = rita.get("/queue", params=words | {"offset": "0", "nothing": "1"}).text
    back = html.unescape(re.findall(r'name="back" value="([^"]*)"', page)[-1])
    status, where = rita.submit("/queue/views", name=name, back=back)
    assert (status, where) == (
        303,
        f"/queue?{urlencode({'state': 'all', 'owner': 'me', 'text': words['text']})}&done=view",
    )
    page = rita.get(where).text
    assert "The view is kept." in page
    assert f"<script>{BANG}" not in page
    assert '"><script>' not in page
    assert "\u202e" not in page
    kept = rita.get("/queue.json").json()["views"]
    assert [one["name"] for one in kept] == [name]
    link = re.findall(r'<a class="button" href="(/queue[^"]*)"', page)[0]
    shown = anna.get(html.unescape(link))  # the link can be shared; only its owner sees the view
    assert shown.status_code == 200
    assert 'aria-label="Your views"' not in shown.text
    assert anna.submit("/queue/views/delete", name=name)[0] == 409
    assert rita.submit("/queue/views", name=name, back="state=new&x=<b>")[0] == 303  # replaces the first
    kept = rita.get("/queue.json").json()["views"]
    assert [one["words"] for one in kept] == ["state=new"]
    for form in (
        {"name": "", "back": "state=all"},
        {"name": "x" * 81, "back": "state=all"},
        {"name": "none", "back": ""},
        {"name": "none", "back": "offset=50"},
        {"name": "none", "back": "state=burning"},
        {"name": "long", "back": "text=" + "x" * 20_000},
    ):
        assert rita.submit("/queue/views", **form)[0] == 409, form
    with mine.store.reading() as db:
        saved = [r for r in read(db, opened=True) if r.what == "view saved"]
    assert {(r.who, json.dumps(r.detail), r.personal[0]["view"]) for r in saved} == {("rita", "{}", name)}
    status, where = rita.submit("/queue/views/delete", name=in_form(name))  # as the page's own form sends it
    assert (status, where) == (303, "/queue?done=unview")
    assert rita.get("/queue.json").json()["views"] == []


@pytest.mark.slow
def test_a_person_keeps_so_many_views_and_a_store_of_an_older_console_gets_them(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'cases.db'}"
    with Store(url) as store:
        migrate(store.engine, PART, MIGRATIONS[:1])
        people.add(store, "anna", UserRole.ANALYST, PASSWORD, who="tests", now_us=NOW)
        people.prepare(store)
        people.prepare(store)
        for k in range(saved_views.MOST):
            saved_views.save(store, "anna", f"view {k}", "state=new", NOW)
        saved_views.save(store, "anna", "view 3", "state=all", NOW)
        with pytest.raises(ConsoleError, match="delete one first"):
            saved_views.save(store, "anna", "one more", "state=all", NOW)
        assert len(saved_views.views_of(store, "anna")) == saved_views.MOST
        assert saved_views.views_of(store, "ben") == []


def test_no_more_cases_are_dismissed_from_the_queue_than_one_by_one(
    mine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 2)
    anna = mine.client("anna")
    boxes = re.findall(
        r'name="case" value="([^"]+)" form="triage"', anna.get("/queue?state=all&suppressed=all").text
    )
    form: dict[str, object] = {"do": "dismiss", "verdict": "false", "why": "a course", "case": boxes[:3]}
    status, page = anna.submit("/queue/triage", **form)
    assert (status, "2 of 3 cases dismissed" in page) == (200, True)
    assert "has dismissed 2 cases within a day; another one needs an approver" in html.unescape(page)
    for box in boxes[2:]:
        assert "0 of 1 case dismissed" in anna.submit("/queue/triage", **(form | {"case": box}))[1]


@pytest.mark.slow
def test_a_dismissal_over_the_limit_waits_for_another_person(
    mine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 1)
    anna, ben, paul, pia = map(mine.client, ("anna", "ben", "paul", "pia"))
    boxes = re.findall(
        r'name="case" value="([^"]+)" form="triage"', anna.get("/queue?state=all&suppressed=all").text
    )
    ids = [box.rpartition(":")[0] for box in boxes]
    why = f"a course <script>{BANG}</script>"
    form: dict[str, object] = {"do": "dismiss", "verdict": "false", "why": why, "case": boxes[:4]}
    page = anna.submit("/queue/triage", **form)[1]
    assert "1 of 4 cases dismissed" in page
    assert "3 cases wait for a second person, as dismissal 1" in page
    assert [mine.store.case(case).verdict for case in ids[:4]] == [Verdict.FALSE, None, None, None]

    def approve(by: Visitor, number: int = 1, verb: str = "approve") -> tuple[int, str]:
        return by.submit(f"/dismissal/{number}/{verb}", why="seen")

    shown = paul.get("/approvals").text
    assert "Dismissal 1: close as false, 3 cases" in shown
    assert f"<script>{BANG}" not in shown
    assert all(f'href="/case/{case}"' in shown for case in ids[1:4])
    assert [one["number"] for one in paul.get("/approvals.json").json()["dismissals"]] == [1]
    assert "/dismissal/1/approve" not in anna.get("/approvals").text
    assert approve(anna)[0] == approve(ben)[0] == 403  # no approvers
    assert approve(ben, verb="refuse")[0] == 409  # nor its author
    handling.note(mine.store, ids[2], "wait, look at the cards", who="ben", now_us=NOW)
    status, page = approve(paul)
    assert (status, "2 of 3 cases dismissed" in page, "look again" in page) == (200, True, True)
    assert [mine.store.case(case).verdict for case in ids[1:4]] == [Verdict.FALSE, None, Verdict.FALSE]
    act = reading.acts(mine.store, ids[1])[-1]
    assert (act.who, act.sets["approver"], act.text) == ("anna", "paul", why)
    assert approve(pia)[0] == 409  # already approved
    with mine.store.reading() as db:
        told = [(r.who, r.what) for r in read(db) if r.what.startswith("dismissal")]
    assert told == [("paul", "dismissal approved"), ("anna", "dismissal asked for")]

    here = f"/case/{ids[2]}"
    revision = mine.store.case(ids[2]).revision
    judged = anna.submit(f"{here}/judge", here, why="a class", verdict="permitted", revision=revision)
    assert judged == (303, f"{here}?done=waits")
    shut = anna.submit(f"{here}/suppress", here, why="a class", days=3, owner="anna", revision=revision)
    assert shut == (303, f"{here}?done=waits")
    assert "waits for a second person" in anna.get(judged[1]).text
    assert approve(anna, 2, "refuse")[0] == 303  # its author withdraws it
    assert (approve(paul, 2)[0], mine.store.case(ids[2]).verdict) == (409, None)
    assert "1 of 1 case dismissed" in approve(pia, 3)[1]
    assert (mine.store.case(ids[2]).suppressed_until_us or 0) > NOW
    assert approve(paul, 9)[0] == 404


@pytest.mark.slow
def test_an_approver_approves_no_dismissal_of_their_own(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 0)
    monkeypatch.setattr(handling, "DISMISSED_ACCOUNTS_A_DAY", 1)
    paul, case = mine.client("paul"), mine.cases[BIG]
    accounts = list(mine.store.case(case).accounts[:3])
    for form in (
        {"verdict": "false", "close": "yes", "path": "judge"},
        {"verdict": "false", "account": list(map(in_form, accounts)), "path": "accounts"},
    ):
        path = form.pop("path")
        revision = mine.store.case(case).revision
        done = paul.submit(f"/case/{case}/{path}", f"/case/{case}", why="x", revision=revision, **form)
        assert done == (303, f"/case/{case}?done=waits")
    for number in (1, 2):
        status, page = paul.submit(f"/dismissal/{number}/approve", why="me")
        assert (status, "another person must approve it" in page) == (409, True)
    assert "1 of 1 case dismissed" in mine.client("pia").submit("/dismissal/2/approve", why="seen")[1]
    assert mine.store.case(case).cleared == 3


@pytest.mark.slow
def test_cases_that_were_split_off_or_merged_can_be_opened(mine: World) -> None:
    anna, case = mine.client("anna"), mine.cases[BIG]
    some = mine.store.case(case).accounts[:5]
    new = handling.split(mine.store, case, some, who="anna", why="others", now_us=NOW).id
    page = anna.get(f"/case/{new}")
    assert page.status_code == 200
    assert f'split from <a href="/case/{case}">' in page.text
    assert anna.get(f"/case/{new}.json").json()["split_from"] == case
    assert anna.get(f"/account?name={some[0]}").status_code == 200
    assert anna.get(f"/case/{new}/links").status_code == 200
    assert anna.get(f"/actor/{new}").status_code == 404
    assert anna.submit(f"/case/{new}/note", f"/case/{new}", text="a note")[0] == 303
    handling.merge(mine.store, new, case, who="anna", why="one after all", now_us=NOW)
    page = anna.get(f"/case/{new}")
    assert f'goes on as <a href="/case/{case}">' in page.text
    assert anna.submit(f"/case/{new}/note", f"/case/{new}", text="too late")[0] == 409
    assert anna.get(f"/case/{case}").status_code == 200


def test_two_people_at_once_do_not_undo_each_other(mine: World) -> None:
    anna, ben, case = mine.client("anna"), mine.client("ben"), hostile(mine)
    revision = mine.store.case(case).revision
    assert anna.submit(f"/case/{case}/take", revision=revision)[0] == 303
    status, said = ben.submit(f"/case/{case}/take", revision=revision)
    assert status == 409
    assert "look again" in said
    assert mine.store.case(case).owner == "anna"


def verified(visitor: Visitor, **form: object) -> str:
    """Verify the trail, and return the page with the result."""
    page = visitor.submit("/audit/verify", **form)[1]
    while "being verified" in page:
        time.sleep(0.05)
        page = visitor.get("/audit").text
    return page


def test_a_record_written_anew_with_another_key_does_not_pass(mine: World, tmp_path: Path) -> None:
    rita = mine.client("rita")
    assert "Sound: " in verified(rita)
    with Store(mine.store.url.render_as_string(hide_password=False)) as other:
        with other.engine.begin() as db:
            for table in ("audit_records", "audit_checkpoints", "audit_person_keys"):
                db.execute(text(f"DELETE FROM {table}"))
            begun = f"seq = 0, seal = '{'0' * 64}', key = '', checkpoint_seq = 0, checkpoint_us = 0"
            db.execute(text(f"UPDATE audit_head SET {begun}"))
        attach(other, tmp_path / "another.key")
        other.look("mallory", "nothing happened", "case-1", {}, NOW)
        assert isinstance(verify(other), VerifiedTrail)  # valid in itself
    said = verified(rita)
    assert "Not sound: other key" in re.sub("<[^>]*>", "", said)


def test_a_check_of_what_came_since_walks_only_that_and_sees_a_trail_that_was_replaced(mine: World) -> None:
    checks = TrailChecks(mine.store, lambda: NOW)
    checks.start(whole=False, wait_s=60)
    first = checks.state()
    assert first.whole  # no earlier check
    assert isinstance(first.outcome, VerifiedTrail)
    with mine.store.writing(NOW) as tx:
        for number in range(5):
            tx.audit("tests", "more", str(number), {})
    checks.start(whole=False, wait_s=60)
    second = checks.state()
    assert not second.whole
    assert isinstance(second.outcome, VerifiedTrail)
    assert second.outcome == verify(mine.store, trusted=(second.outcome.keys[0].key,))
    assert second.outcome.records == first.outcome.records + 5
    last = second.outcome.records

    def set_hash(to: str) -> str:
        with mine.store.writing(NOW) as tx:
            old = tx.db.execute(text(f"SELECT hash FROM audit_records WHERE seq = {last}")).scalar_one()
            tx.db.execute(text(f"UPDATE audit_records SET hash = '{to}' WHERE seq = {last}"))
            tx.changed = True
        return str(old)

    old = set_hash("0" * 64)  # of the last record in the previous check
    checks.start(whole=False, wait_s=60)
    found = checks.state().outcome
    assert isinstance(found, Broken)
    assert found.seq == last
    set_hash(old)
    checks.start(whole=False, wait_s=60)
    assert isinstance(checks.state().outcome, VerifiedTrail)
    with mine.store.writing(NOW) as tx:
        tx.audit("tests", "more", "x", {})
        tx.db.execute(text(f"UPDATE audit_records SET what = 'less' WHERE seq = {last + 1}"))
    checks.start(whole=False, wait_s=60)
    found = checks.state().outcome
    assert isinstance(found, Broken)
    assert found.seq == last + 1


def test_the_record_is_shown_verified_and_found_broken(mine: World) -> None:
    rita = mine.client("rita")
    assert "Sound: " in verified(rita)
    with mine.store.writing(NOW) as tx:
        tx.db.execute(text("UPDATE audit_records SET who = 'somebody' WHERE seq = 3"))
        tx.audit("tests", "tampered", "x", {})
    said = verified(rita)
    assert "Not sound" in said
    assert "record 3" in said


def test_a_check_whose_store_was_taken_away_ends_and_says_so(mine: World) -> None:
    checks = TrailChecks(mine.store, lambda: NOW)
    checks.start(whole=True, wait_s=60)
    mine.store.engine.dispose()
    place = Path(str(mine.store.url.database))
    for beside in place.parent.glob(f"{place.name}*"):
        beside.rename(beside.with_name(f"kept-{beside.name}"))
    place.mkdir()
    threads = [threading.Thread(target=checks.start, args=(whole, 60)) for whole in (True, False)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    state = checks.state()
    assert not state.running
    assert state.outcome is None
    assert "cannot be read" in str(state.trouble)
    mine.store.engine.dispose()
    place.rmdir()
    for kept in place.parent.glob("kept-*"):
        kept.rename(kept.with_name(kept.name.removeprefix("kept-")))
    checks.start(whole=True, wait_s=60)
    assert isinstance(checks.state().outcome, VerifiedTrail)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["anna\x00", "\ud800", "anna'--", "x" * 5_000, "ANNA "])
def test_a_forged_browser_cookie_opens_nothing_under_any_name(mine: World, name: str) -> None:
    visitor = mine.client()
    for cookie in ("0" * 32 + "." + "f" * 64, "\\377" * 40, "." * 97):
        visitor.cookies.set("stillwatch-browser-8090", cookie, domain="127.0.0.1")
        csrf = csrf_in(visitor.get("/login").text)
        body = urlencode(
            {"name": name, "password": "x" * 20, "csrf": csrf, "next": ""}, errors="surrogatepass"
        )
        head = {"content-type": "application/x-www-form-urlencoded"}
        assert visitor.post("/login", content=body, headers=head).status_code in (401, 429)


# --- counts link to what they count ---


@pytest.mark.slow
def test_each_count_of_a_detector_leads_to_as_many_cases(mine: World) -> None:
    ids = [case.id for case in reading.queue(mine.store, reading.Filter(), NOW).cases]
    verdicts = (Verdict.TRUE, Verdict.PERMITTED, Verdict.SUSPICIOUS, Verdict.FALSE)
    for case, verdict in zip(ids, verdicts, strict=False):
        handling.judge(mine.store, case, verdict, who="anna", why="x", now_us=NOW)
    anna = mine.client("anna")
    page = anna.get("/detectors").text
    links = re.findall(r'<a href="([^"]*/queue\?detector=[^"]*)">([\d,]+)</a>', page)
    assert {verdict for href, _ in links for verdict in re.findall(r"verdict=(\w+)", href)} >= {
        "true", "judged", "permitted", "undecided"
    }  # fmt: skip
    for href, count in links:
        rows = anna.get(html.unescape(href).replace("/queue?", "/queue.json?")).json()
        assert rows["total"] == int(count.replace(",", "")), href
    shown = anna.get(html.unescape(links[0][0])).text
    assert "Of any detector" in shown
    for wrong in ("2026-13", "x", "0000-01"):
        assert anna.get(f"/queue?detector=x&spoke={wrong}").status_code == 409
