"""Other deployments of the console: below a path, on PostgreSQL, by the command line, with a large case."""

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import Result
from starlette.applications import Starlette
from starlette.routing import Mount
from typer.testing import CliRunner

from cases_world import url_of
from console_world import COOKIE, NOW, PASSWORD, USERS, Visitor, World, world
from stillwatch.cases.audit import VerifiedTrail
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.store import Store
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import User, people, requested_steps, sessions
from stillwatch.console.app import make
from stillwatch.console.folder import ReportFolder
from stillwatch.report.findings import write
from stillwatch.terms import Step
from test_report_world import result


def cli(*words: str, given: str = "") -> Result:
    return CliRunner().invoke(app_of_verbs, list(words), input=given)


# --- below a path ---


@pytest.fixture
def below(tmp_path: Path) -> Iterator[tuple[World, Visitor]]:
    made = world(tmp_path)
    app = Starlette(routes=[Mount("/console", app=make(made.store, made.gateway, now_us=lambda: NOW))])
    visitor = Visitor(app)
    cookie = sessions.begin(made.store, User("paul", USERS["paul"], NOW), NOW)
    visitor.cookies.set(COOKIE, cookie, domain="127.0.0.1")
    yield made, visitor
    made.store.close()


@pytest.mark.slow
def test_every_address_stays_below_the_mount(below: tuple[World, Visitor]) -> None:
    made, visitor = below
    case = made.cases["c-7f3a19"]
    assert visitor.get("/console/").headers["location"] == "/console/queue"
    assert visitor.get(f"/console/cases/{case}").headers["location"] == f"/console/case/{case}"
    for path in (
        "/queue",
        f"/case/{case}",
        "/approvals",
        "/detectors",
        "/terms",
        "/audit",
        "/health",
        "/sql",
    ):
        page = visitor.get(f"/console{path}")
        assert page.status_code == 200, path
        links = re.findall(r'\s(?:href|src|action|formaction|hx-get|data-open)="([^"]*)"', page.text)
        assert links
        assert not [link for link in links if not link.startswith(("/console/", "#"))], path
        assert f'href="/console{path}.json"' in page.text
        assert visitor.get(f"/console{path}.json").status_code == 200
    static = re.findall(r'="(/console/static/[^"]+)"', visitor.get("/console/queue").text)
    assert len(static) == 4
    assert all(visitor.get(address).status_code == 200 for address in static)


@pytest.mark.slow
def test_forms_and_the_way_in_stay_below_the_mount(below: tuple[World, Visitor]) -> None:
    made, visitor = below
    case = made.cases["c-7f3a19"]
    done = visitor.submit(f"/console/case/{case}/note", f"/console/case/{case}", text="a note")
    assert done == (303, f"/console/case/{case}?done=noted")
    visitor.cookies.clear()
    got = visitor.get("/console/health?x=1")
    assert got.headers["location"] == "/console/login?next=%2Fconsole%2Fhealth%3Fx%3D1"
    page = visitor.get(got.headers["location"]).text
    assert 'action="/console/login"' in page
    token = re.findall(r'name="csrf" value="([0-9a-f]{64})"', page)[0]
    form = {"name": "anna", "password": PASSWORD, "csrf": token, "next": "/console/health?x=1"}
    assert visitor.post("/console/login", data=form).headers["location"] == "/console/health?x=1"
    form["next"] = "/elsewhere"
    assert (
        visitor.post("/console/login", data=form).status_code == 403
    )  # the form was used: its cookie is removed


# --- a folder without a gateway ---


@pytest.mark.slow
def test_a_folder_of_reports_shows_what_it_has_and_says_what_it_has_not(tmp_path: Path) -> None:
    made = world(tmp_path)
    write(result(300), tmp_path)
    app = make(made.store, ReportFolder(tmp_path, made.store), now_us=lambda: NOW)
    visitor = Visitor(app)
    cookie = sessions.begin(made.store, User("paul", USERS["paul"], NOW), NOW)
    visitor.cookies.set(COOKIE, cookie, domain="127.0.0.1")
    case = made.cases["c-7f3a19"]
    page = visitor.get(f"/case/{case}").text
    assert "no gateway stands behind this folder" in page
    assert "Dry run on" not in page
    assert visitor.submit(f"/case/{case}/dry", step="watch", why="w")[0] == 503
    account = made.store.case(case).accounts[0]
    status, said = visitor.submit("/prompts", account=account, why="an appeal came in")
    assert (status, "a report holds sketches and no texts" in said) == (503, True)
    assert visitor.get(f"/account?name={account}").status_code == 200
    assert visitor.get("/terms").status_code == 200
    parts = {part["part"]: part["status"] for part in visitor.get("/health.json").json()["parts"]}
    assert parts == {"cases": "ok", "report": "degraded", "lag": "degraded", "gateway": "ok"}
    (tmp_path / "findings.json").write_text("{}")
    assert "not written by stillwatch scan" in visitor.get("/health").text
    made.store.close()


# --- two approvers, two processes ---


def test_of_two_approvers_at_once_one_takes_the_step(tmp_path: Path) -> None:
    made = world(tmp_path)
    case = made.cases["c-7f3a19"]
    accounts = made.store.case(case).accounts
    ask = requested_steps.StepRequest(0, case, NOW, "anna", Step.BLOCK, None, 60, "why", accounts, "waiting")
    number = requested_steps.put(made.store, ask, None)
    outcomes: list[str] = []

    def approve(who: str) -> None:
        with Store(made.store.url.render_as_string(), made.store.trail) as store:
            try:
                taken = requested_steps.begin(store, number, who, NOW)
                requested_steps.take(store, made.gateway, taken, who, "yes", NOW)
                outcomes.append("taken")
            except Exception as why:  # noqa: BLE001 - the type is what is looked at below
                outcomes.append(type(why).__name__)

    threads = [threading.Thread(target=approve, args=(who,)) for who in ("paul", "pia")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["StaleRevision", "taken"]
    assert len(made.gateway.actions) == 1
    assert isinstance(verify(made.store), VerifiedTrail)
    made.store.close()


# --- PostgreSQL ---


@pytest.mark.slow
def test_it_works_on_postgresql(tmp_path: Path) -> None:
    made = world(tmp_path, result(300), url_of("postgres", tmp_path))
    paul, anna, case = made.client("paul"), made.client("anna"), made.cases["c-7f3a19"]
    assert made.client().log_in("anna") == 303
    for path in ("/queue", f"/case/{case}", "/audit", "/detectors", "/approvals"):
        assert paul.get(path).status_code == 200, path
    ask = requested_steps.StepRequest(
        0, case, NOW, "anna", Step.BLOCK, None, 60, "w", made.store.case(case).accounts, "waiting"
    )
    number = requested_steps.put(made.store, ask, None)
    assert paul.submit(f"/ask/{number}/approve", why="yes")[0] == 303
    assert len(made.gateway.actions) == 1
    said = anna.submit("/sql", query="SELECT count(*) AS n FROM members WHERE actor_is IS NULL")[1]
    assert "No answer" in said
    assert "1 row" in anna.submit("/sql", query="SELECT count(*) FROM members")[1]
    words = made.store.case(case, accounts=False).title.upper()[:20]
    found = anna.get("/queue.json", params={"text": words, "owner": "none"}).json()["cases"]
    assert case in [one["case"] for one in found]
    assert anna.submit("/queue/views", name="mine", back="owner=me")[0] == 303
    assert anna.get("/queue.json").json()["views"] == [{"name": "mine", "words": "owner=me"}]
    box = f"{case}:{made.store.case(case, accounts=False).revision}"
    told = anna.submit("/queue/triage", do="assign", owner="anna", case=box, why="mine")[1]
    assert "1 of 1 case assigned" in told
    assert [one["case"] for one in anna.get("/queue.json?owner=me").json()["cases"]] == [case]
    made.store.close()


# --- a large case ---


@pytest.mark.slow
def test_a_case_of_25_000_accounts_opens_within_a_second(tmp_path: Path) -> None:
    made = world(tmp_path, result(25_000))
    paul, case = made.client("paul"), made.cases["c-7f3a19"]
    paul.get(f"/case/{next(c for c in made.cases.values() if c != case)}")  # templates are compiled
    took = []
    for _ in range(3):
        begun, cpu = time.perf_counter(), time.process_time()
        page = paul.get(f"/case/{case}")
        took.append(min(time.perf_counter() - begun, time.process_time() - cpu + 0.2))  # busy machine
        assert page.status_code == 200
        assert len(page.content) < 150_000
        made.clock[0] += 3_600_000_000  # results are cached for an hour
        with made.store.writing(made.clock[0]) as tx:
            tx.db.execute(sessions.sessions.update().values(seen_us=made.clock[0]))
            tx.changed = True
    assert min(took) < 1.0, took
    marks = len(re.findall(r"<(circle|rect|line|path)\b", page.text))
    assert marks <= 300
    made.store.close()


# --- the command line ---


@pytest.mark.slow
def test_a_user_can_be_added_before_the_console_was_ever_started(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    at = ("--folder", str(folder))
    missing = cli("console", "user", "add", "anna", *at, given=PASSWORD + "\n")
    assert (missing.exit_code, "is no folder" in missing.stderr) == (2, True)
    folder.mkdir()
    empty = cli("console", "user", "add", "anna", *at, given=PASSWORD + "\n")
    assert (empty.exit_code, list(folder.iterdir())) == (2, [])
    write(result(300), folder)
    added = cli("console", "user", "add", "anna", "--role", "analyst", *at, given=PASSWORD + "\n")
    assert (added.exit_code, added.stdout) == (0, "anna may log in as analyst\n")
    assert "nobody may approve" in added.stderr
    for name, told in (("pia", "one person only"), ("paul", "")):
        more = cli("console", "user", "add", name, "--role", "approver", *at, given=PASSWORD + "\n")
        assert (more.exit_code, told in more.stderr) == (0, True)
    with Store(f"sqlite:///{folder / 'cases.db'}") as store:
        assert people.check(store, "anna", PASSWORD)
        assert people.first_way_in(store, who="x", now_us=NOW) is None


@pytest.mark.slow
def test_users_and_the_first_way_in_from_the_command_line(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write(result(300), folder)
    at = ("--folder", str(folder))
    none = cli("console", "user", "list", *at)
    assert none.exit_code == 2
    assert "holds no cases" in none.stderr
    code = "import sys; from stillwatch.cli.main import run; sys.argv = ['stillwatch', *sys.argv[1:]]; run()"
    with subprocess.Popen(
        [sys.executable, "-c", code, "console", str(folder), "--port", "18097"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        lines = [serving.stdout.readline() for _ in range(4)]
        assert lines[0] == "Console:  http://127.0.0.1:18097/\n"
        assert re.match(r"Cases:    \d+ new, ", lines[1])
        password = re.match(r"Log in:   first   (\S+)   ", lines[2])
        assert password
        added = cli("console", "user", "add", "anna", "--role", "analyst", *at, given=PASSWORD + "\n")
        assert (added.exit_code, added.stdout) == (0, "anna may log in as analyst\n")
        serving.terminate()
    assert cli("console", "user", "add", "ben", *at, given="short\n").exit_code == 2
    assert cli("console", "user", "add", "ben", "--role", "king", *at, given=PASSWORD).exit_code == 2
    made = json.loads(cli("console", "user", "add", "ben", "--generate", "--json", *at).stdout)
    with Store(f"sqlite:///{folder / 'cases.db'}") as store:
        assert people.check(store, "anna", PASSWORD)
        assert people.check(store, "first", password[1])
        assert people.check(store, "ben", made["password"])
    assert cli("console", "user", "disable", "ben", *at).exit_code == 0
    listed = json.loads(cli("console", "user", "list", "--json", *at).stdout)
    assert [(u["name"], u["role"], u["disabled"] is None) for u in listed] == [
        ("anna", "analyst", True),
        ("ben", "reader", False),
        ("first", "approver", True),
    ]
    for words in (["--host", "0.0.0.0"], ["--cert", "/nowhere"], ["--folder", str(tmp_path / "none")]):
        refused = cli("console", str(folder), *words) if words[0] != "--folder" else cli("console", *words)
        assert refused.exit_code == 2, words
        assert "Traceback" not in refused.stderr
