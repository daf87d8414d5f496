"""The gateway's updates of cases: findings added, events on the trail, catching up after a lost database."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from typer.testing import CliRunner

from console_world import csrf_in
from exports_world import receiver
from stillwatch.cases import CaseError, Verdict, handling
from stillwatch.cases.audit import VerifiedTrail
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.tables import records
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.exports.signing import new_key
from stillwatch.cases.reading import Filter, acts, queue
from stillwatch.cli.main import app as cli
from stillwatch.console import StepRecord, UserRole, people
from stillwatch.gateway import heartbeat
from stillwatch.gateway.admin import Desk
from stillwatch.gateway.admin.app import create_app
from stillwatch.gateway.admin.deployment import Gateway
from stillwatch.gateway.alerts import Alerts
from stillwatch.gateway.control import actions
from stillwatch.gateway.control.case_sync import AGAIN_US, Casework
from stillwatch.gateway.control.enforce import Enforcer
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.gateway.instance import open_terms
from stillwatch.gateway.latest import Findings
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.setup_check import look
from stillwatch.report.findings import load, write
from stillwatch.scan import AccountVerdict
from stillwatch.terms import EnforcementStatus, Step
from stillwatch.terms.load import default_text
from test_gateway_detector import ACTS, hand_over

NOW = 1_795_600_000_000_000
SECOND = 1_000_000
HERE = "http://127.0.0.1:8081"


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    found = open_folder(tmp_path / "serve")
    found.terms.write_text(default_text(), encoding="utf-8")
    return found


@pytest.fixture
def state(folder: Folder) -> Iterator[ControlState]:
    with ControlState(folder.state) as found:
        yield found


@pytest.fixture
def casework(folder: Folder, state: ControlState) -> Iterator[Casework]:
    found = Casework(folder, None, state, lambda _: None)
    yield found
    found.store(NOW).close()


@pytest.fixture
def desk(folder: Folder, state: ControlState) -> Desk:
    watched = open_terms(folder, keeps_history=True)
    return Desk(folder, GatewaySettings("http://127.0.0.1:9"), state, watched, Findings(folder))


def test_another_table_of_networks_is_written_on_the_trail_once(
    folder: Folder, state: ControlState, casework: Casework
) -> None:
    """The table behind `asn` decides which accounts are in an office, so every change of it is recorded."""

    def in_use(*digests: str) -> None:
        files = [{"name": "ip2asn.tsv", "sha256": digest} for digest in digests]
        heartbeat.beat(folder.run / "recorder.json", NOW, networks={"files": files} if files else {})

    def tables_on_trail() -> list[Any]:
        with casework.store(NOW).reading() as db:
            rows = db.execute(select(records.c.detail).where(records.c.what == "networks table"))
            return [json.loads(row.detail)["networks"] for row in rows]

    casework.step(NOW)  # no heartbeat of a recorder yet
    in_use()
    casework.step(NOW)  # no table was named
    assert tables_on_trail() == []
    for digests in (["a"], ["a"], ["b"], []):
        in_use(*digests)
        casework.step(NOW)
        again = Casework(folder, None, state, lambda _: None)
        again.step(NOW)  # another process knows what the previous one wrote
        again.store(NOW).close()
    assert tables_on_trail() == [[["ip2asn.tsv", "a"]], [["ip2asn.tsv", "b"]], []]


def block(state: ControlState, *accounts: str, now_us: int = NOW) -> int:
    standing = EnforcementStatus(Step.BLOCK, now_us, "seen")
    return actions.act(state, [(a, standing) for a in accounts], who="ana", why="they are one", now_us=now_us)


def recorded(casework: Casework) -> list[tuple[str, str, str]]:
    with casework.store(NOW).reading() as db:
        found = read(db, limit=1_000)
    return [(r.who, r.what, r.subject) for r in reversed(found) if "gateway_event" in r.detail]


@pytest.mark.slow
def test_findings_become_a_case_and_the_same_findings_change_nothing(casework: Casework) -> None:
    hand_over(casework.folder, "a", "b")
    casework.step(NOW)
    store = casework.store(NOW)
    (case,) = queue(store, Filter(), NOW).cases
    assert case.members == 2
    revision = store.revision()
    casework.step(NOW + SECOND)
    again = Casework(casework.folder, None, casework.state, lambda _: None)
    again.step(NOW + 2 * SECOND)  # a restart
    assert store.revision() == revision
    hand_over(casework.folder, "a", "b", "c")
    casework.step(NOW + 3 * SECOND)
    (grown,) = queue(store, Filter(), NOW).cases
    assert (grown.id, grown.members) == (case.id, 3)


@pytest.mark.slow
def test_who_set_a_step_at_the_gateway_decides_no_appeal_against_it(casework: Casework, desk: Desk) -> None:
    hand_over(casework.folder, "acct_1", "acct_2")
    casework.step(NOW)
    block(casework.state, "acct_1")
    clear = EnforcementStatus(Step.CLEAR, NOW, "heard")
    actions.act(casework.state, [("acct_1", clear)], who="bo", why="heard", now_us=NOW)
    assert Gateway(desk).step_authors(["acct_1", "x"]) == {"ana": "set action 1"}
    assert Gateway(desk).step_authors(["acct_2"]) == {}
    assert isinstance(Gateway(desk), StepRecord)
    (case,) = queue(casework.store(NOW), Filter(), NOW).cases
    at = ("--folder", str(casework.folder.path))
    for account in ("acct_1", "acct_2"):
        handling.appeal(casework.store(NOW), case.id, "not us", account=account, who="ana", now_us=NOW)
    mine, other = (str(one.number) for one in handling.appeals(casework.store(NOW), case.id))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("stillwatch.cli.case_changing.whoami", lambda: "ana")
        words = ("case", "decide", case.id, "--refuse", "--why", "it stands", *at)
        refused = CliRunner().invoke(cli, [*words, "--appeal", mine])
        assert (refused.exit_code, "'ana' set action 1" in refused.stderr) == (2, True)
        assert "say which one" in CliRunner().invoke(cli, words).stderr
        assert CliRunner().invoke(cli, [*words, "--appeal", other]).exit_code == 0


def test_what_was_done_is_on_the_trail_once_and_in_order(casework: Casework) -> None:
    action = block(casework.state, "acct_1", "acct_2")
    actions.undo(casework.state, action, who="bo", why="not they", now_us=NOW + SECOND)
    casework.step(NOW + 2 * SECOND)
    again = Casework(casework.folder, None, casework.state, lambda _: None)
    again.step(NOW + 3 * SECOND)
    wanted = [("ana", "standings set", str(action)), ("bo", "action undone", str(action))]
    assert recorded(casework) == wanted
    found = verify(casework.store(NOW))
    assert isinstance(found, VerifiedTrail)


def test_more_events_than_one_transaction_takes(casework: Casework, monkeypatch: Any) -> None:
    monkeypatch.setattr("stillwatch.gateway.control.case_sync.EVENTS", 10)
    for k in range(23):
        casework.state.event("ana", "noted", str(k), {}, now_us=NOW + k)
    casework.step(NOW + SECOND)
    assert [int(subject) for _, _, subject in recorded(casework)] == list(range(23))


def test_names_and_words_can_be_erased_and_the_rest_stays(casework: Casework) -> None:
    casework.state.issue("acct_gone", now_us=NOW, who="ana")
    casework.step(NOW)
    with casework.store(NOW).reading() as db:
        (record,) = (r for r in read(db, opened=True) if r.what == "key issued")
    assert record.personal
    assert "acct_gone" not in repr(record.detail)


def test_a_database_that_cannot_be_had_is_told_everything_later(folder: Folder, state: ControlState) -> None:
    said: list[str] = []
    block(state, "acct_1")
    (folder.path / "apart").mkdir()
    (folder.path / "apart" / "c.db").mkdir()  # a folder in the file's place
    casework = Casework(folder, f"sqlite:///{folder.path}/apart/c.db", state, said.append)
    with pytest.raises(CaseError):
        casework.step(NOW)
    (folder.path / "apart" / "c.db").rmdir()
    with pytest.raises(CaseError):
        casework.step(NOW + SECOND)  # it is not retried at every step
    hand_over(folder, "a", "b")
    casework.step(NOW + AGAIN_US)
    assert [what for _, what, _ in recorded(casework)] == ["standings set"]
    assert queue(casework.store(NOW), Filter(), NOW).total == 1


@pytest.mark.slow
def test_the_admin_port_shows_the_console(desk: Desk, casework: Casework) -> None:
    client = TestClient(create_app(desk, casework), base_url="http://127.0.0.1:8081")
    for way in ("/", "/console"):
        assert client.get(way, follow_redirects=False).headers["location"] == "/console/"
    page = client.get("/console/queue")
    assert page.url.path == "/console/login"
    assert "script-src 'self'" in page.headers["content-security-policy"]
    assert client.get("/console/login", headers={"host": "evil.example"}).status_code == 421


@pytest.mark.slow
def test_without_its_database_the_console_says_so_and_the_rest_answers(
    desk: Desk, state: ControlState
) -> None:
    lost = Casework(desk.folder, "sqlite:////nowhere/at/all.db", state, lambda _: None)
    client = TestClient(create_app(desk, lost), base_url="http://127.0.0.1:8081")
    assert client.get("/console/").status_code == 503
    assert client.get("/health").status_code in (200, 503)
    assert "parts" in client.get("/health").json()


def test_the_deployment_acts_and_takes_back_exactly(desk: Desk) -> None:
    gateway = Gateway(desk)
    standing = EnforcementStatus(Step.THROTTLE, NOW, "campaign", "sw-1")
    hit = gateway.reach(["a", "b"], Step.THROTTLE, NOW)
    assert hit.accounts == ("a", "b")
    action = gateway.act(["a", "b"], standing, "ana", "seen", NOW)
    assert gateway.standings(["a", "b", "c"]) == dict.fromkeys("ab", standing)
    gateway.undo(action, "ana", "mistaken", NOW + SECOND)
    assert gateway.standings(["a", "b", "c"]) == {}
    assert gateway.terms().texts[0].version == 1
    assert gateway.captured_texts("a", 10) == []
    assert gateway.verdict("a") is None
    names = [part.name for part in gateway.health(NOW)]
    assert "cases" in names


def test_the_verdict_of_an_account_is_the_newest_findings(desk: Desk) -> None:
    gateway = Gateway(desk)
    assert gateway.verdict("a") is None
    hand_over(desk.folder, "a", "b")
    told = load(desk.folder.detector)
    said = AccountVerdict("a", 1e-6, "sw-2", None, 500)
    write(replace(told, accounts=(said,)), desk.folder.detector)
    assert gateway.verdict("a") == said
    assert gateway.verdict("zz") is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://u:hunter2@h/d", "holds a password"),
        ("postgresql://u@h:port/d", "is no database URL"),
        ("postgresql://[", ""),
        ("mysql://h/d", "cannot be kept in 'mysql'"),
        ("foo", "is no database URL"),
    ],
)
def test_a_place_that_cannot_hold_cases_is_told_before_a_start(folder: Folder, url: str, told: str) -> None:
    looked = {one.what: one for one in look(folder, GatewaySettings("http://127.0.0.1:9", cases=url), None)}
    assert (looked["cases"].verdict == "error") == bool(told)
    assert told in looked["cases"].text
    assert "hunter2" not in looked["cases"].text


@pytest.mark.slow
def test_the_ladder_goes_by_what_people_said(casework: Casework) -> None:
    """A victim is not the thief; a dismissed case requires no action; after an undo both count again."""
    casework.folder.terms.write_text(ACTS.format(1, "throttle"), encoding="utf-8")
    watched = open_terms(casework.folder, keeps_history=True)
    enforcer = Enforcer(casework.folder, casework.state, watched, lambda _: None, lambda: casework.said)
    hand_over(casework.folder, "a", "b", "c")
    casework.step(NOW)
    store = casework.store(NOW)
    (case,) = queue(store, Filter(), NOW).cases
    handling.judge_accounts(store, case.id, ["b"], Verdict.VICTIM, who="ana", why="stolen", now_us=NOW)
    casework.step(NOW + SECOND)
    enforcer.step(NOW + SECOND)
    assert sorted(actions.standings(casework.state)) == ["a", "c"]
    handling.judge(store, case.id, Verdict.FALSE, who="ana", why="a class", now_us=NOW + 2 * SECOND)
    hand_over(casework.folder, "a", "b", "c", "d")
    casework.step(NOW + 3 * SECOND)
    enforcer.step(NOW + 3 * SECOND)
    assert sorted(actions.standings(casework.state)) == ["a", "c"]
    (act,) = [a for a in acts(store, case.id) if a.sets.get("verdict") == "false"]
    handling.undo(store, case.id, act.id, who="ana", why="no class", now_us=NOW + 4 * SECOND)
    casework.step(NOW + 5 * SECOND)
    enforcer.step(NOW + 5 * SECOND)
    assert sorted(actions.standings(casework.state)) == ["a", "c", "d"]


@pytest.mark.slow
def test_who_is_on_the_list_is_told_of_new_cases(casework: Casework) -> None:
    folder = casework.folder
    hand_over(folder, "a", "b")
    casework.step(NOW)
    alerts = Alerts(folder, GatewaySettings("http://127.0.0.1:9"))
    new_key(folder.path / "k.key", "hmac")
    with receiver() as there:
        listed = f'name = "on-call"\nurl = "{there.url}"\nkeys = ["k.key"]\nallow = ["localhost"]\n'
        (folder.path / "alerts.toml").write_text(f"[[webhook]]\n{listed}")
        alerts.step()
        (event,) = [json.loads(body) for body in there.bodies()]
        alerts.step()
        assert len(there.bodies()) == 1
        (case,) = queue(casework.store(NOW), Filter(), NOW).cases
        assert case.id in json.dumps(event)
        assert (alerts.error, alerts.says()["sent"]) == (None, 1)
        hand_over(folder, "a", "b", "c")
        casework.step(NOW + SECOND)
        there.answer = b"HTTP/1.1 503 Later\r\n\r\n"
        alerts.step()
        assert alerts.says() | {"rss": 0, "error": ""} == {
            "rss": 0,
            "error": "",
            "sent": 1,
            "waiting": 1,
            "dead": 0,
        }
        assert "503" in (alerts.error or "")


@pytest.mark.slow
def test_a_step_is_asked_for_approved_and_taken_back_through_the_console(
    desk: Desk, casework: Casework
) -> None:
    now_us = time.time_ns() // 1000
    hand_over(desk.folder, "a", "b")
    casework.step(now_us)
    store = casework.store(now_us)
    (case,) = queue(store, Filter(), now_us).cases
    app = create_app(desk, casework)
    people.prepare(store)
    visitors = {}
    for name, role in (("anna", UserRole.ANALYST), ("paul", UserRole.APPROVER)):
        people.add(store, name, role, "correct horse battery", who="tests", now_us=now_us)
        visitors[name] = client = TestClient(app, base_url=HERE, headers={"origin": HERE})
        form = {"name": name, "password": "correct horse battery", "next": ""}
        csrf = csrf_in(client.get("/console/login").text)
        assert client.post("/console/login", data=form | {"csrf": csrf}).url.path == "/console/queue"
    anna, paul = visitors["anna"], visitors["paul"]
    page = f"/console/case/{case.id}"
    step = {"csrf": csrf_in(anna.get(page).text), "step": "block", "for_s": "86400", "why": "one hand"}
    told = anna.post(f"{page}/dry", data=step)
    assert "Nothing is done yet" in told.text
    hidden = dict(re.findall(r'type="hidden" name="([a-z_]+)" value="([^"]*)"', told.text))
    assert anna.post(f"{page}/act", data=hidden).status_code == 200
    assert actions.standings(desk.state) == {}  # a block waits for a second person
    csrf = csrf_in(paul.get("/console/queue").text)
    assert paul.post("/console/ask/1/approve", data={"csrf": csrf, "why": "seen"}).status_code == 200
    assert {a: s.step for a, s in actions.standings(desk.state).items()} == dict.fromkeys("ab", Step.BLOCK)
    assert paul.post("/console/ask/1/undo", data={"csrf": csrf, "why": "mistaken"}).status_code == 200
    assert actions.standings(desk.state) == {}
    casework.step(now_us + SECOND)
    assert [what for _, what, _ in recorded(casework)] == ["standings set", "action undone"]
    assert isinstance(verify(store), VerifiedTrail)
