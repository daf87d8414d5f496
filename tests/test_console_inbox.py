"""Notifications of mentions and overdue cases: who gets them, how often, and by which channel."""

import json
import random
import time
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from cases_world import url_of
from console_world import NOW, PASSWORD, World, world
from stillwatch.cases import CaseError, handling
from stillwatch.cases.audit import VerifiedTrail
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.audit.verify import verify
from stillwatch.cases.exports.deliver import work_off
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.targets import read_targets
from stillwatch.cases.store import Store
from stillwatch.cases.tables import cases
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import (
    ConsoleError,
    UserRole,
    escalation,
    identities,
    inbox,
    people,
    second_factor,
    tokens,
)
from stillwatch.console.identities import BoundIdentity
from stillwatch.console.migrations import notices
from stillwatch.console.settings import EscalationStage, load_settings
from stillwatch.errors import InputError, StillwatchError
from stillwatch.gateway.alerts import Alerts
from stillwatch.gateway.folder import Folder
from stillwatch.gateway.settings import GatewaySettings
from test_console_second_factor import enrol
from test_exports_email import mail_server
from test_report_world import result

HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
ROOM = """
[[slack]]
name = "room"
url = "https://hooks.slack.com/services/T0/B0/x"

[[webhook]]
name = "siem"
url = "https://siem.example.com/x"
keys = ["x.key"]
"""
MAIL = """
[[email]]
name = "post"
url = "smtp://mail.example.com"
from = "stillwatch@example.com"
to = "desk@example.com"
"""
HOSTILE = "x\r\nBcc: all@example.com\r\n\r\n.\r\nQUIT"


def one_case(of: World, at: int = 0) -> str:
    return list(of.cases.values())[at]


def notices_of(of: World, name: str) -> list[tuple[str, str, str]]:
    return [(one.kind, one.case, one.who) for one in inbox.of_user(of.store, name)]


# --- mentions ---


@pytest.mark.slow
def test_who_is_mentioned_finds_it_on_the_start_page_and_marks_it_read(mine: World) -> None:
    anna, ben, case = mine.client("anna"), mine.client("ben"), one_case(mine)
    text = "@ben please look, @Rita. too; not @nobody, @anna or mail@paul, <b>@pia</b> @ben"
    anna.submit(f"/case/{case}/note", f"/case/{case}", text=text)
    assert (
        notices_of(mine, "ben")
        == notices_of(mine, "rita")
        == notices_of(mine, "pia")
        == [("mention", case, "anna")]
    )
    assert notices_of(mine, "paul") == notices_of(mine, "anna") == []
    assert "1 notice for you" in ben.get("/queue").text
    assert f'href="/case/{case}"' in ben.get("/me").text
    assert "@nobody, @anna or mail@paul, &lt;b&gt;" in ben.get(f"/case/{case}").text  # shown as text
    assert ben.get("/me.json").json()["notices"][0]["read"] is False
    until = inbox.of_user(mine.store, "ben")[0].number
    anna.submit(f"/case/{case}/note", f"/case/{case}", text="@ben again")
    assert ben.submit("/me/notices/read", "/me", until=until) == (303, "/me?done=read")
    assert inbox.count_unread(mine.store, "ben") == 1  # later notices are unread
    assert inbox.count_unread(mine.store, "rita") == 1  # nor are another person's read


def test_who_may_not_log_in_is_told_nothing(mine: World) -> None:
    case = one_case(mine)
    people.disable(mine.store, "ben", who="t", now_us=NOW)
    who = BoundIdentity("https://id.example", "c")
    identities.bind(mine.store, "cleo", UserRole.READER, who, who="t", now_us=NOW - people.AWAY_US - 1)
    inbox.note(mine.store, case, "@ben @cleo @rita", who="anna", now_us=NOW)
    assert notices_of(mine, "ben") == notices_of(mine, "cleo") == []
    assert len(notices_of(mine, "rita")) == 1


def test_a_note_that_fails_tells_nobody_and_one_taken_back_is_gone(mine: World) -> None:
    case = one_case(mine)
    with pytest.raises(CaseError):
        inbox.note(mine.store, case, "@rita " + "x" * 20_000, who="anna", now_us=NOW)
    with pytest.raises(CaseError):
        inbox.note(mine.store, case, "@rita", who="anna", now_us=NOW, if_revision=-1)
    assert notices_of(mine, "rita") == []
    many = " ".join(f"@nobody{k}" for k in range(inbox.MOST_NAMED))
    inbox.note(mine.store, case, f"{many} @rita", who="anna", now_us=NOW)
    assert notices_of(mine, "rita") == []  # the limit


@pytest.mark.slow
def test_a_note_from_the_command_line_mentions_too(mine: World, tmp_path: Path) -> None:
    case = one_case(mine)
    words = ["case", "note", case, "@rita have a look", "--folder", str(tmp_path)]
    assert CliRunner().invoke(app_of_verbs, words).exit_code == 0
    assert [kind for kind, _, _ in notices_of(mine, "rita")] == ["mention"]


# --- mail ---


def targets(folder: Path, text: str) -> Path:
    path = folder / "alerts.toml"
    path.write_text(text)
    return path


def mailed(of: World, folder: Path, text: str = MAIL) -> list[dict[str, str]]:
    outbox = Outbox(folder / "outbox")
    found = read_targets(targets(folder, text))
    inbox.mail(outbox, found, of.store, of.clock[0], "https://desk.example")
    return [json.loads(letter.body) for letter in outbox.waiting()]


@pytest.mark.slow
def test_mail_goes_once_to_the_address_that_a_person_has_given(mine: World, tmp_path: Path) -> None:
    case, rita = one_case(mine), mine.client("rita")
    assert rita.submit("/me/address", "/me", address="rita@example.com", current=PASSWORD) == (
        303,
        "/me?done=address",
    )
    inbox.note(mine.store, case, "@rita @ben secret-word", who="anna", now_us=NOW)
    assert mailed(mine, tmp_path, ROOM) == []
    letters = mailed(mine, tmp_path)
    assert [letter["to"] for letter in letters] == ["rita@example.com"]
    assert f"https://desk.example/cases/{case}" in letters[0]["text"]
    assert "secret-word" not in letters[0]["text"]
    inbox.note(mine.store, case, "@rita and @rita", who="anna", now_us=NOW)
    assert len(mailed(mine, tmp_path)) == 1  # a flood of notices makes one mail per interval
    mine.clock[0] += inbox.APART_US + 1
    assert len(mailed(mine, tmp_path)) == 2
    assert len(mailed(mine, tmp_path)) == 2
    rita.submit("/me/address", "/me", address="")
    inbox.note(mine.store, case, "@rita again", who="anna", now_us=NOW)
    rita.submit("/me/address", "/me", address="rita@example.com", current=PASSWORD)
    mine.clock[0] += inbox.APART_US + 1
    assert len(mailed(mine, tmp_path)) == 2  # notices from before the mail address was set are not sent later
    thief = mine.client("rita")
    assert thief.submit("/me/address", "/me", address="thief@example.com")[0] == 409
    assert people.address(mine.store, "rita") == "rita@example.com"
    for wrong in (
        "x",
        "a@b@c",
        "a b@c.d",
        HOSTILE,
        "a@b\n",
        "a,b@c.d",
        "<a@b.c>",
        "x" * 250 + "@c.de",
        "ä@b.c",
    ):
        if wrong.strip() != "a@b":
            assert rita.submit("/me/address", "/me", address=wrong, current=PASSWORD)[0] == 409, wrong
    assert mine.client("ben").get("/me.json").json()["address"] is None


def test_a_title_adds_no_header_to_a_mail_that_a_server_takes(mine: World, tmp_path: Path) -> None:
    case = one_case(mine)
    with mine.store.engine.connect().execution_options(writes=True) as db, db.begin():
        db.execute(update(cases).where(cases.c.id == case).values(title=HOSTILE))
    people.set_address(mine.store, "rita", "rita@example.com", NOW)
    inbox.note(mine.store, case, "@rita", who="anna", now_us=NOW)
    with mail_server(tmp_path, "smtps") as (box, port):
        there = f'smtps://localhost:{port}"\nallow = ["localhost:{port}"]\nca = "cert.pem'
        assert len(mailed(mine, tmp_path, MAIL.replace("smtp://mail.example.com", there))) == 1
        outbox, found = Outbox(tmp_path / "outbox"), read_targets(tmp_path / "alerts.toml")
        done = work_off(outbox, found, lambda: NOW, random.Random(1))
        assert (done.sent, done.refusals) == (1, [])
    envelope, _ = box.taken[0]
    assert envelope.rcpt_tos == ["rita@example.com"]
    letter = message_from_bytes(envelope.content, policy=policy.SMTP)
    assert (letter["To"], letter["Bcc"]) == ("rita@example.com", None)
    assert "\\r\\nBcc" in letter.get_content()


# --- overdue ---

STAGES = (
    EscalationStage(0, ("owner",)),
    EscalationStage(4, ("paul",), ("room",)),
    EscalationStage(24, ("pia",)),
)


def leave_due(of: World, *ids: str) -> None:
    """Remove the due dates of all cases except these."""
    with of.store.engine.connect().execution_options(writes=True) as db, db.begin():
        db.execute(update(cases).where(cases.c.id.not_in(ids)).values(due_us=None))


def escalate(of: World, folder: Path) -> list[dict[str, str]]:
    outbox = Outbox(folder / "outbox")
    found = read_targets(targets(folder, ROOM))
    before = {letter.name for letter in outbox.waiting()}
    escalation.escalate(outbox, found, of.store, STAGES, of.clock[0], "https://desk.example")
    return [json.loads(letter.body) for letter in outbox.waiting() if letter.name not in before]


@pytest.mark.slow
def test_a_case_that_is_overdue_is_escalated_once_a_stage_on_the_record(mine: World, tmp_path: Path) -> None:
    case, other = one_case(mine), one_case(mine, 1)
    leave_due(mine, case, other)
    mine.clock[0] += HOUR_US
    for one in (case, other):
        handling.assign(mine.store, one, "ben", due_us=NOW + 2 * HOUR_US, who="anna", now_us=NOW)
    assert escalate(mine, tmp_path) == []
    assert notices_of(mine, "ben") == []
    mine.clock[0] = NOW + 3 * HOUR_US
    handling.close(
        mine.store, other, who="anna", why="judged", verdict=handling.Verdict.TRUE, now_us=mine.clock[0]
    )
    for _ in range(3):
        assert escalate(mine, tmp_path) == []
    assert notices_of(mine, "ben") == [("overdue", case, "stillwatch")]
    assert notices_of(mine, "paul") == []
    mine.clock[0] = NOW + 6 * HOUR_US
    letters = escalate(mine, tmp_path) + escalate(mine, tmp_path)
    assert len(letters) == 1
    assert case in json.dumps(letters[0])
    assert other not in json.dumps(letters[0])
    assert [notices_of(mine, name) for name in ("paul", "pia")] == [[("overdue", case, "stillwatch")], []]
    with mine.store.reading() as db:
        trail = [r.detail for r in read(db, limit=20) if r.what == "case overdue"]
        assert [(d["after_hours"], d["people"], d["targets"]) for d in trail] == [
            (4, ["paul"], ["room"]),
            (0, ["ben"], []),
        ]
        assert isinstance(verify(db), VerifiedTrail)
    handling.set_due(mine.store, case, NOW + 30 * HOUR_US, why="more time", who="ben", now_us=mine.clock[0])
    mine.clock[0] = NOW + 31 * HOUR_US
    escalate(mine, tmp_path)
    assert len(notices_of(mine, "ben")) == 2  # another date starts again
    until = mine.clock[0] + DAY_US
    handling.suppress(
        mine.store, case, owner="ben", until_us=until, why="a holiday", who="ben", now_us=mine.clock[0]
    )
    mine.clock[0] = NOW + 40 * HOUR_US
    escalate(mine, tmp_path)
    assert len(notices_of(mine, "paul")) == 1


@pytest.mark.slow
def test_what_a_clock_that_stood_ahead_told_is_told_again_when_it_is_time(
    mine: World, tmp_path: Path
) -> None:
    """A clock ten days ahead for a minute once used up every stage, and delayed mail by ten days."""
    case = one_case(mine)
    leave_due(mine, case)
    handling.assign(mine.store, case, "ben", due_us=NOW + 50 * HOUR_US, who="anna", now_us=NOW)
    people.set_address(mine.store, "ben", "ben@example.com", NOW)
    mine.clock[0] = NOW + 10 * DAY_US
    assert len(escalate(mine, tmp_path)) == 1
    assert len(mailed(mine, tmp_path)) == 2
    outbox = Outbox(tmp_path / "outbox")
    for letter in outbox.waiting():
        outbox.sent(letter)
    mine.clock[0] = NOW + 49 * HOUR_US
    assert escalate(mine, tmp_path) == []
    mine.clock[0] = NOW + 55 * HOUR_US
    letters = escalate(mine, tmp_path) + escalate(mine, tmp_path)
    assert len(letters) == 1
    assert notices_of(mine, "ben") == [("overdue", case, "stillwatch")] * 2
    assert len(mailed(mine, tmp_path)) == 2
    mine.clock[0] = NOW
    assert all(letter.is_due(NOW) for letter in outbox.waiting())  # they had been set 55 hours ahead


def test_an_overdue_case_of_which_nobody_would_hear_is_told_to_who_approves(
    mine: World, tmp_path: Path
) -> None:
    case = one_case(mine)
    leave_due(mine, case)
    handling.assign(mine.store, case, "ben", due_us=NOW + 1, who="anna", now_us=NOW)
    people.disable(mine.store, "ben", who="tests", now_us=NOW)
    mine.clock[0] = NOW + HOUR_US
    with mine.store.reading() as db:
        (planned,) = escalation.plan(mine.store, STAGES, mine.clock[0])
        assert escalation.recipients(db, planned, mine.clock[0]) == ([], ["paul", "pia"])
    escalate(mine, tmp_path)
    everybody = people.everybody(mine.store)
    told = {one.name for one in everybody if notices_of(mine, one.name)}
    assert told == {one.name for one in everybody if one.role is UserRole.APPROVER and not one.disabled_us}
    assert told


def test_a_stage_whose_letter_cannot_be_kept_is_told_later(mine: World, tmp_path: Path) -> None:
    case = one_case(mine)
    leave_due(mine, case)
    handling.assign(mine.store, case, "ben", due_us=NOW + 1, who="anna", now_us=NOW)
    mine.clock[0] = NOW + 5 * HOUR_US
    outbox = Outbox(tmp_path / "outbox")

    def full(*_: object) -> bool:
        raise ConsoleError("full")

    outbox.put = full  # type: ignore[method-assign]
    with pytest.raises(ConsoleError):
        escalation.escalate(outbox, read_targets(targets(tmp_path, ROOM)), mine.store, STAGES, mine.clock[0])
    assert notices_of(mine, "paul") == []
    assert len(escalate(mine, tmp_path)) == 1


def test_two_processes_escalate_once(mine: World, tmp_path: Path) -> None:
    case = one_case(mine)
    leave_due(mine, case)
    handling.assign(mine.store, case, "ben", due_us=NOW + 1, who="anna", now_us=NOW)
    mine.clock[0] = NOW + 5 * HOUR_US
    plan = escalation.plan(mine.store, STAGES, mine.clock[0])
    assert [(one.stage.after_hours, one.people) for one in plan] == [(0, ["ben"]), (4, ["paul"])]
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as store:
        attach(store, tmp_path / "audit.key")
        found = read_targets(targets(tmp_path, ROOM))
        escalation.escalate(Outbox(tmp_path / "other"), found, store, STAGES, mine.clock[0])
    assert escalate(mine, tmp_path) == []
    assert (len(notices_of(mine, "ben")), len(notices_of(mine, "paul"))) == (1, 1)


@pytest.mark.parametrize(
    "text",
    ["after_hours = -1\npeople = ['a']", "after_hours = 1", "people = ['a']", "after_hours = 1\nto = 'a'"],
)
def test_stages_that_cannot_work_are_sentences(tmp_path: Path, text: str) -> None:
    (tmp_path / "console.toml").write_text(f"[[escalation]]\n{text}\n")
    with pytest.raises(InputError, match=r"console\.toml"):
        load_settings(tmp_path)


@pytest.mark.slow
def test_the_command_line_shows_and_the_alerts_process_does_it(mine: World, tmp_path: Path) -> None:
    def stages(words: str) -> None:
        (tmp_path / "console.toml").write_text(f"[[escalation]]\nafter_hours = 1\n{words}\n")

    def overdue() -> list[dict[str, object]]:
        words = ["alerts", "overdue", "--folder", str(tmp_path), "--json"]
        got = CliRunner().invoke(app_of_verbs, words)
        return json.loads(got.stdout) if got.exit_code == 0 else [{"refused": got.output}]

    case, now_us = one_case(mine), time.time_ns() // 1000
    leave_due(mine, case)
    handling.assign(mine.store, case, "ben", due_us=now_us - DAY_US, who="anna", now_us=now_us - 2 * DAY_US)
    targets(tmp_path, ROOM)
    for words, refused in (
        ("targets = ['nowhere']", "does not have"),
        ("targets = ['siem']", "no person reads"),
    ):
        stages(words)
        assert refused in str(overdue()[0]["refused"]).replace("\n", " ")
    stages("people = ['owner', 'gone']\ntargets = ['room']")
    for _ in range(2):  # viewing notifies nobody
        row = overdue()[0]
        assert (row["case"], row["people"], row["not_reached"], row["targets"]) == (
            case,
            ["ben"],
            ["gone"],
            ["room"],
        )
        assert row["approvers_instead"] == []
    stages("people = ['gone']")
    row = overdue()[0]
    assert (row["people"], row["not_reached"], row["approvers_instead"]) == ([], ["gone"], ["paul", "pia"])
    shown = CliRunner().invoke(app_of_verbs, ["alerts", "overdue", "--folder", str(tmp_path)])
    assert "paul pia" in shown.stdout
    settings = GatewaySettings(upstream="http://127.0.0.1:1", cases=f"sqlite:///{tmp_path / 'cases.db'}")
    stages("people = ['owner']")
    targets(tmp_path, "")
    Alerts(Folder(tmp_path), settings).step()
    assert notices_of(mine, "ben") == [("overdue", case, "stillwatch")]
    assert overdue() == []


def test_what_is_wrong_with_stages_holds_no_alert_up(mine: World, tmp_path: Path) -> None:
    """A room missing from alerts.toml but named in console.toml once stopped the notices of all cases."""
    targets(tmp_path, "")
    settings = GatewaySettings(upstream="http://127.0.0.1:1", cases=f"sqlite:///{tmp_path / 'cases.db'}")
    words = ["alerts", "deliver", "--folder", str(tmp_path)]
    for k, text in enumerate(("[[escalation]]\nafter_hours = 0\ntargets = ['nowhere']\n", "no TOML")):
        (tmp_path / "console.toml").write_text(text)
        Outbox(tmp_path / "outbox").put("gone", f"sw_{k}", "case", "{}", NOW)
        with pytest.raises(StillwatchError):
            Alerts(Folder(tmp_path), settings).step()
        assert len(Outbox(tmp_path / "outbox").dead()) == 2 * k + 1
        Outbox(tmp_path / "outbox").put("gone", f"sw_{k}b", "case", "{}", NOW)
        assert CliRunner().invoke(app_of_verbs, words).exit_code == 2
        assert len(Outbox(tmp_path / "outbox").dead()) == 2 * k + 2


@pytest.mark.slow
def test_somebody_whom_a_program_mentions_without_end_is_mailed_once(mine: World, tmp_path: Path) -> None:
    case = one_case(mine)
    for name in ("rita", "ben"):
        people.set_address(mine.store, name, f"{name}@example.com", NOW)
    inbox.note(mine.store, case, "@ben @rita", who="anna", now_us=NOW)
    row = {"person": "rita", "kind": "mention", "case_id": case, "who": "anna", "at_us": NOW}
    with mine.store.writing(NOW) as tx:
        tx.db.execute(notices.insert(), [row | {"number": 100 + k} for k in range(33_000)])
        tx.changed = True
    letters = mailed(mine, tmp_path)
    assert sorted(letter["to"] for letter in letters) == ["ben@example.com", "rita@example.com"]
    assert all(len(letter["text"]) < 20_000 for letter in letters)
    mine.clock[0] += inbox.APART_US + 1
    assert len(mailed(mine, tmp_path)) == 2


@pytest.mark.slow
def test_tokens_second_factors_and_notices_work_on_postgresql(tmp_path: Path) -> None:
    mine = world(tmp_path, result(60), url_of("postgres", tmp_path))
    case = one_case(mine)
    leave_due(mine, case)
    people.set_address(mine.store, "rita", "rita@example.com", NOW)
    inbox.note(mine.store, case, "@rita", who="anna", now_us=NOW)
    assert len(mailed(mine, tmp_path)) == len(mailed(mine, tmp_path)) == 1
    inbox.mark_read(mine.store, "rita", inbox.of_user(mine.store, "rita")[0].number, NOW)
    assert inbox.count_unread(mine.store, "rita") == 0
    handling.assign(mine.store, case, "ben", due_us=NOW + 1, who="anna", now_us=NOW)
    mine.clock[0] = NOW + 5 * HOUR_US
    assert (len(escalate(mine, tmp_path)), len(escalate(mine, tmp_path))) == (1, 0)
    assert notices_of(mine, "ben") == [("overdue", case, "stillwatch")]
    secret = tokens.make(mine.store, "anna", "x", tokens.TokenScope.READ, 1, who="t", now_us=mine.clock[0])
    assert tokens.find(mine.store, secret, mine.clock[0]) is not None
    tokens.revoke(mine.store, "anna", "x", who="t", now_us=mine.clock[0])
    assert tokens.find(mine.store, secret, mine.clock[0]) is None
    codes = enrol(mine)[1]
    halves = [second_factor.begin_half(mine.store, "anna", mine.clock[0]) for _ in range(2)]
    got = [second_factor.enter(mine.store, half, codes[0], mine.clock[0], address="") for half in halves]
    assert [isinstance(one, second_factor.CodeRefused) for one in got] == [False, True]
    mine.store.close()
