"""One human with several names: no rule that requires another person can be met by that human alone."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sqlalchemy import select, text
from typer.testing import CliRunner

from cases_world import campaign, names, url_of
from cases_world import result as small_result
from console_world import COOKIE, NOW, PASSWORD, Visitor, World, world
from stillwatch.cases import CaseError, CaseState, SecondPersonNeeded, Verdict, handling
from stillwatch.cases.audit import AuditError
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import Audit, attach
from stillwatch.cases.persons import (
    APPEAL_US,
    IdentityMark,
    PersonLink,
    Persons,
    link,
    mark_digest,
    mark_key,
    remember,
)
from stillwatch.cases.store import Store
from stillwatch.cases.tables import identity_marks
from stillwatch.cli.folder import whoami
from stillwatch.cli.main import app as app_of_verbs
from stillwatch.console import (
    ConsoleError,
    User,
    UserRole,
    identities,
    people,
    requested_steps,
    sessions,
    tokens,
)
from stillwatch.console.identities import BoundIdentity
from stillwatch.console.migrations import MIGRATIONS, PART, m009_identity_marks
from stillwatch.console.openid import LoginAttempt, ProvenIdentity
from stillwatch.terms import Step
from stillwatch.units import DAY_US

ISSUER = "https://login.corp.example"
BY: dict[str, Any] = {"who": "root", "now_us": NOW}
WHY = {"why": "her badge"}


def sso(of: World, name: str, subject: str = "s-1", address: str = "", at_us: int = NOW) -> User:
    """A person logs in from the provider, which assigns the highest role."""
    proven = ProvenIdentity(ISSUER, subject, name, UserRole.APPROVER, address)
    return identities.enter(of.store, proven, LoginAttempt.begin("", at_us), at_us)[0]


def visit(of: World, user: User) -> Visitor:
    visitor = Visitor(of.app)
    visitor.cookies.set(COOKIE, sessions.begin(of.store, user, of.clock[0]), domain="127.0.0.1")
    return visitor


def a_case(of: World) -> str:
    return next(iter(of.cases.values()))


def asked_step(of: World, who: str, at_us: int = NOW) -> int:
    case = of.store.case(a_case(of))
    want = requested_steps.StepRequest(
        0, case.id, at_us, who, Step.BLOCK, None, 3_600, "a harvest", case.accounts[:2], "waiting"
    )
    return requested_steps.put(of.store, want, None)


def refused(of: World, number: int, user: User) -> bool:
    """Return whether an approver is refused an action on the page."""
    status, said = visit(of, user).submit(f"/ask/{number}/approve", why="seen")
    assert status in (303, 409), said
    assert (status == 409) == ("another person must approve it" in said)
    return status == 409


# --- attacks: one human approves their own requests ---


def test_by_their_single_sign_on_user_of_the_same_name(mine: World) -> None:
    number = asked_step(mine, "paul")
    own = sso(mine, "paul@corp.example")
    page = visit(mine, own).get(f"/ask/{number}").text
    assert "You count as the same person as who asked for this" in page
    assert "Approve: take the step now" not in page
    assert refused(mine, number, own)
    assert not refused(mine, number, sso(mine, "pia.other@corp.example", "s-2"))


@pytest.mark.slow
def test_by_a_user_with_the_same_address_who_changes_it_before(mine: World) -> None:
    people.set_address(mine.store, "paul", "Paul+alerts@Corp.example", NOW)
    own = sso(mine, "p.smith", address="paul@corp.example")
    number = asked_step(mine, "paul")
    people.set_address(mine.store, "paul", "elsewhere@corp.example", NOW)
    people.set_address(mine.store, "p.smith", "else@corp.example", NOW)
    sso(mine, "p.smith", address="new@corp.example")
    assert refused(mine, number, own)
    with mine.store.reading() as db:
        told = [r for r in read(db) if r.what == "names count as one person"]
    assert [(r.who, r.subject) for r in told] == [("stillwatch", "p.smith")]


def test_by_an_address_that_is_the_name_of_the_other(mine: World) -> None:
    people.set_address(mine.store, "paul", "p.smith@corp.example", NOW)
    assert refused(mine, asked_step(mine, "paul"), sso(mine, "p.smith@corp.example"))


@pytest.mark.slow
def test_by_a_new_name_at_the_provider_after_the_old_one_got_a_password(mine: World) -> None:
    sso(mine, "ida")
    number = asked_step(mine, "ida")
    people.add(mine.store, "ida", UserRole.APPROVER, PASSWORD, **BY)
    assert refused(mine, number, sso(mine, "i.jones"))  # the same subject


@pytest.mark.slow
def test_by_an_api_token(mine: World) -> None:
    own, case = sso(mine, "paul@corp.example"), a_case(mine)
    number = asked_step(mine, "paul")
    secret = tokens.make(mine.store, own.name, "x", tokens.TokenScope.TRIAGE, 1, **BY)
    program = Visitor(mine.app)
    bearer = {"authorization": f"Bearer {secret}"}
    assert program.post(f"/ask/{number}/approve", json={"why": "x"}, headers=bearer).status_code == 403
    said = {"verdict": "true", "why": "x"}
    assert program.post(f"/case/{case}/judge", json=said, headers=bearer).status_code == 200
    handling.appeal(mine.store, case, "not us", who="anna", now_us=NOW)
    with pytest.raises(CaseError, match=r"'paul@corp.example' judged .*the same person as 'paul'"):
        handling.decide(mine.store, case, False, who="paul", why="x", now_us=NOW)


@pytest.mark.slow
def test_by_unlinking_just_before(mine: World) -> None:
    own = sso(mine, "p.smith")
    link(mine.store, ["paul", "p.smith"], True, **BY, **WHY)
    number = asked_step(mine, "paul", NOW + 1)
    link(mine.store, ["paul", "p.smith"], False, who="root", why="no", now_us=NOW + 2)
    assert refused(mine, number, own)
    assert not refused(mine, asked_step(mine, "paul", NOW + 3), own)  # on record, and requested after it


def test_nobody_says_of_themselves_that_they_are_two(mine: World) -> None:
    link(mine.store, ["root", "paul"], True, **BY, **WHY)
    for whom in (["paul", "p.smith"], ["root", "p.smith"], ["paul@x.example", "pia"]):
        with pytest.raises(CaseError, match="another administrator"):
            link(mine.store, whom, False, **BY, **WHY)


def test_by_the_names_of_the_command_line(mine: World) -> None:
    link(mine.store, ["root", "paul"], True, **BY, **WHY)
    handling.judge(mine.store, a_case(mine), Verdict.TRUE, who="root", why="x", now_us=NOW)
    handling.appeal(mine.store, a_case(mine), "not us", who="anna", now_us=NOW)
    with pytest.raises(CaseError, match="somebody else decides"):
        handling.decide(mine.store, a_case(mine), False, who="paul", why="x", now_us=NOW)
    for name in ("Paul", "CORP\\paul", "paul@corp.example", " paul"):
        with pytest.raises(CaseError, match="the approver is somebody else"):
            handling.judge(
                mine.store, a_case(mine), Verdict.FALSE, who="root", why="x", now_us=NOW, approver=name
            )


def test_steps_that_were_taken_by_another_name_keep_from_deciding(mine: World) -> None:
    link(mine.store, ["root", "pia"], True, **BY, **WHY)
    handling.appeal(mine.store, a_case(mine), "not us", who="anna", now_us=NOW)
    decide: dict[str, Any] = {"why": "x", "now_us": NOW, "sanctioned": {"root": "set action 3"}}
    with pytest.raises(CaseError, match=r"'root' set action 3 .*the same person as 'pia'"):
        handling.decide(mine.store, a_case(mine), False, who="pia", **decide)
    assert handling.decide(mine.store, a_case(mine), False, who="paul", **decide).appeal is None


def test_two_names_have_one_allowance(mine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 1)
    first, second = list(mine.cases.values())[:2]
    handling.judge(mine.store, first, Verdict.FALSE, who="paul", why="x", now_us=NOW)
    assert handling.dismissals_left(mine.store, "paul@corp.example", NOW) == 0
    with pytest.raises(SecondPersonNeeded):
        handling.judge(mine.store, second, Verdict.FALSE, who="paul@corp.example", why="x", now_us=NOW)
    handling.judge(mine.store, second, Verdict.FALSE, who="ben", why="x", now_us=NOW)


def test_small_steps_by_two_names_add_up(mine: World) -> None:
    accounts = mine.store.case(a_case(mine)).accounts
    for who, some in (("anna", accounts[:2]), ("anna@corp.example", accounts[2:5]), ("ben", accounts[5:9])):
        want = requested_steps.StepRequest(
            0, a_case(mine), NOW, who, Step.THROTTLE, None, 60, "x", some, "taking"
        )
        requested_steps.put(mine.store, want, None)
    assert requested_steps.accounts_hit_alone(mine.store, "anna", NOW) == set(accounts[:5])


# --- honest people ---


def test_a_false_address_parts_and_joins_nobody_else(mine: World) -> None:
    for name in ("paul", "pia"):
        people.set_address(mine.store, name, f"{name}@corp.example", NOW)
        people.set_address(mine.store, "anna", f"{name}@corp.example", NOW)
    with mine.store.reading() as db:
        persons = Persons.read(db)
    assert persons.why_one("paul", "anna", NOW)
    assert persons.why_one("pia", "anna", NOW)
    assert persons.why_one("paul", "pia", NOW) is None


def test_a_desk_that_shares_a_mailbox_is_parted_by_an_administrator(mine: World) -> None:
    number = asked_step(mine, "paul")
    for name in ("anna", "paul", "pia"):
        people.set_address(mine.store, name, "desk@corp.example", NOW)
    with pytest.raises(ConsoleError, match=r"paul, who counts .* one mail address"):
        requested_steps.check_another(mine.store, "pia", "paul", "asked for step 1", NOW)
    link(mine.store, ["anna", "paul", "pia"], False, **BY, **WHY)
    people.set_address(mine.store, "pia", "desk@corp.example", NOW)
    assert requested_steps.begin(mine.store, number, "pia", NOW).who == "paul"


def test_who_is_linked_brings_their_other_names(mine: World) -> None:
    two = frozenset
    links = [PersonLink(1, two("ab"), True), PersonLink(2, two("bc"), True), PersonLink(9, two("bc"), False)]
    identity, address = IdentityMark.IDENTITY, IdentityMark.ADDRESS
    marks = [("c", identity, "x"), ("d", identity, "x"), ("e", address, "y"), ("d", address, "y")]
    persons = Persons(links, marks)
    assert [name for name in "abcde" if persons.why_one("a", name, 5)] == ["a", "b", "c", "d", "e"]
    assert [name for name in "abcde" if persons.why_one("a", name, 9)] == ["a", "b"]
    assert [name for name in "abcde" if persons.why_one(name, "d", 9)] == ["c", "d", "e"]


@pytest.mark.parametrize(
    "who", [["paul"], ["paul", "paul"], ["paul", ""], ["paul", "stillwatch"], ["a" * 201, "b"]]
)
def test_what_is_no_link_is_a_sentence(mine: World, who: list[str]) -> None:
    with pytest.raises(CaseError):
        link(mine.store, who, True, **BY, **WHY)
    with pytest.raises(CaseError, match="why is missing"):
        link(mine.store, ["paul", "pia"], True, **BY, why=" ")


def test_who_is_held_together_by_a_third_name_is_not_said_to_be_parted(mine: World) -> None:
    link(mine.store, ["paul", "p.smith"], True, **BY, **WHY)
    link(mine.store, ["p.smith", "backup"], True, **BY, **WHY)
    with pytest.raises(CaseError, match="by way of other names"):
        link(mine.store, ["paul", "backup"], False, **BY, **WHY)
    link(mine.store, ["paul", "p.smith", "backup"], False, **BY, **WHY)


# --- the command line, older databases ---


def cli(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app_of_verbs, ["console", "user", *words, "--folder", str(folder)])


@pytest.mark.slow
def test_an_administrator_links_and_unlinks_on_record(mine: World, tmp_path: Path) -> None:
    done = cli(tmp_path, "link", "paul", "pia", "--why", "one badge")
    assert (done.exit_code, done.stdout) == (0, "paul, pia count as one person\n")
    listed = json.loads(cli(tmp_path, "list", "--json").stdout)
    assert {row["name"]: row["one_person_with"] for row in listed if row["one_person_with"]} == {
        "paul": ["pia"], "pia": ["paul"],
    }  # fmt: skip
    assert "pia" in cli(tmp_path, "list").stdout
    own = json.loads(cli(tmp_path, "unlink", "paul", "pia", "--why", "twins", "--json").stdout)
    assert own == {"names": ["paul", "pia"], "one_person": False, "pairs": 1}
    assert "'backup' is no user here" in cli(tmp_path, "link", "paul", "backup", "--why", "x").stderr
    for words in (("link", "paul"), ("unlink", "paul", whoami(), "--why", "x"), ("link", "paul", "pia")):
        wrong = cli(tmp_path, *words)
        assert (wrong.exit_code, "Traceback" in wrong.output) == (2, False)
    with mine.store.reading() as db:
        told = [(r.who, r.what) for r in read(db, subject="paul") if r.what.startswith("names")]
    assert told == [(whoami(), "names parted as different people"), (whoami(), "names linked as one person")]


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_stolen_table_cannot_be_tried_with_a_list_of_addresses(tmp_path: Path, engine: str) -> None:
    with at_engine(tmp_path, engine) as made:
        plain = mark_digest(IdentityMark.ADDRESS, "paul@corp.example")
        put_plain(made.store, "paul", "paul@corp.example")
        put_plain(made.store, "gone", "else@corp.example")
        people.set_address(made.store, "pia", "P.Aul@corp.example", NOW)  # another person's
        assert rows_of(made.store)["gone"] != [], "marks of before are kept"
        with made.store.writing(NOW) as tx:
            remember(tx, "x.y", IdentityMark.ADDRESS, "Paul@corp.example")
            tx.audit("tests", "seen", "x.y", {})
        rows = rows_of(made.store)
        assert plain not in rows["paul"], "his plain mark went when the address was seen again"
        assert rows["paul"] == rows["x.y"] != rows["pia"]
        assert all(one.startswith("hmac:") for one in (*rows["paul"], *rows["pia"]))
        assert _why(made.store, "paul", "x.y") == "they have one mail address"
        assert _why(made.store, "gone", "else@corp.example") == "they have one mail address"
        with made.store.writing(NOW) as tx:
            remember(tx, "new", IdentityMark.ADDRESS, "Else+1@corp.example")
            tx.audit("tests", "seen", "new", {})
        assert _why(made.store, "new", "else@corp.example") == "they have one mail address"
        assert _why(made.store, "gone", "new") == "they have one mail address"
        with made.store.reading() as db:
            sealed = db.execute(text("SELECT sealed FROM identity_keys")).scalar_one()
            key = mark_key(db)
        assert key is not None
        assert key.hex() not in sealed
        trail = made.store.trail
        assert isinstance(trail, Audit)
        with made.store.writing(NOW) as tx:  # another audit key is used, and the marks stay comparable
            trail.hand_over(tx.db, "root", "yearly", NOW)
            tx.changed = True
        trail.take_over()
        with made.store.reading() as db:
            assert mark_key(db) == key
            assert db.execute(text("SELECT sealed FROM identity_keys")).scalar_one() != sealed
        with Store(made.store.url.render_as_string(hide_password=False)) as stolen:
            with stolen.reading() as db, pytest.raises(CaseError, match="audit key"):
                Persons.read(db)
            attach(stolen, tmp_path / "another.key")
            with stolen.reading() as db, pytest.raises(AuditError):
                Persons.read(db)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_marks_of_an_older_version_are_keyed_when_the_console_starts(tmp_path: Path, engine: str) -> None:
    with at_engine(tmp_path, engine) as made:
        people.set_address(made.store, "paul", "paul@corp.example", NOW)
        identities.bind(made.store, "x.y", UserRole.READER, BoundIdentity(ISSUER, "s-1"), **BY)
        with made.store.writing(NOW) as tx:
            tx.db.execute(text("DELETE FROM identity_marks"))
            tx.audit("tests", "older", "x.y", {})
        put_plain(made.store, "paul", "paul@corp.example")
        put_plain(made.store, "gone", "else@corp.example")
        people.key_marks(made.store, NOW)
        rows = rows_of(made.store)
        assert [rows[name][0].startswith("hmac:") for name in ("paul", "gone")] == [True, False]
        with made.store.reading() as db:
            told = [r.detail for r in read(db) if r.what == "identity marks keyed"]
        assert told == [{"marks": 1, "left": 1}]
        people.key_marks(made.store, NOW)
        with made.store.reading() as db:
            assert len([r for r in read(db) if r.what == "identity marks keyed"]) == 1


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_who_has_left_is_forgotten_once_nobody_can_appeal(tmp_path: Path, engine: str) -> None:
    with at_engine(tmp_path, engine) as made:
        people.set_address(made.store, "paul", "paul@corp.example", NOW)
        case = made.store.case(a_case(made))
        handling.judge(made.store, case.id, Verdict.TRUE, who="paul", why="a harvest", now_us=NOW)

        def forget(at_us: int) -> int:
            return people.forget(made.store, "paul", who="root", why="left", now_us=at_us)

        later = NOW + APPEAL_US + DAY_US
        with pytest.raises(ConsoleError, match="disable them first"):
            forget(later)
        people.disable(made.store, "paul", **BY)
        with pytest.raises(CaseError, match="may appeal"):
            forget(NOW + DAY_US)
        if made.store.case(case.id).state is not CaseState.CLOSED:
            with pytest.raises(CaseError, match="which is open"):
                forget(later)
            handling.close(made.store, case.id, who="pia", why="done", now_us=NOW)
        number = asked_step(made, "paul")
        with pytest.raises(ConsoleError, match="of theirs waits"):
            forget(later)
        requested_steps.refuse(made.store, number, "pia", "no", NOW)
        assert "paul" in rows_of(made.store)
        with made.store.writing(NOW) as tx:  # the name on the machine, which he uses from now on
            remember(tx, "p.k", IdentityMark.ADDRESS, "paul@corp.example")
        handling.note(made.store, case.id, "seen again", who="p.k", now_us=later)
        with pytest.raises(CaseError, match=r"p\.k. had a part"):
            forget(later)
        later += APPEAL_US + 1
        assert forget(later) == 1
        assert "paul" not in rows_of(made.store)
        assert people.address(made.store, "paul") == ""
        assert people.check(made.store, "paul", PASSWORD) is None
        with made.store.reading() as db:
            assert next(iter(read(db, subject="paul"))).detail == {"why": "left", "marks": 1}
            kept = select(people.users.c.password).where(people.users.c.name == "paul")
            assert db.execute(kept).scalar_one() == ""


@contextmanager
def at_engine(tmp_path: Path, engine: str) -> Iterator[World]:
    url = url_of("postgres", tmp_path) if engine == "postgres" else None
    made = world(tmp_path, small_result(campaign("a", names(0, 4))), url)
    yield made
    made.close()


def put_plain(store: Store, name: str, address: str) -> None:
    """Store a mark as an older version did."""
    kind = IdentityMark.ADDRESS
    row = {"name": name, "kind": str(kind), "digest": mark_digest(kind, address), "since_us": NOW}
    with store.writing(NOW) as tx:
        tx.db.execute(identity_marks.insert().values(**row))
        tx.audit("tests", "older", name, {})


def rows_of(store: Store) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    with store.reading() as db:
        for row in db.execute(select(identity_marks).order_by(identity_marks.c.digest)):
            found.setdefault(row.name, []).append(row.digest)
    return found


def _why(store: Store, name: str, other: str) -> str | None:
    with store.reading() as db:
        return Persons.read(db).why_one(name, other, NOW)


def _older(store: Store) -> None:
    """Turn the database into an older one, with the content of that version."""
    with store.engine.connect().execution_options(writes=True) as db, db.begin():
        db.execute(text("DELETE FROM identity_marks"))
        number = MIGRATIONS.index(m009_identity_marks)
        db.execute(text(f"UPDATE shapes SET version = {number} WHERE part = '{PART}'"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_an_older_database_knows_its_persons(tmp_path: Path, engine: str) -> None:
    url = url_of("postgres", tmp_path) if engine == "postgres" else None
    made = world(tmp_path, small_result(campaign("a", names(0, 4))), url)
    people.set_address(made.store, "paul", "paul@corp.example", NOW)
    identities.bind(made.store, "x.y", UserRole.READER, BoundIdentity(ISSUER, "s-1"), **BY)
    people.set_address(made.store, "x.y", "Paul@corp.example", NOW)
    people.set_address(made.store, "x.y", "", NOW)
    with made.store.writing(NOW) as tx:
        remember(tx, "ben", IdentityMark.ADDRESS, "b@corp.example")
    _older(made.store)
    people.set_address(made.store, "x.y", "Paul@corp.example", NOW)
    _older(made.store)
    people.prepare(made.store)
    with made.store.reading() as db:
        persons = Persons.read(db)
    assert persons.why_one("paul", "x.y", NOW)
    people.add(made.store, "x.y", UserRole.READER, PASSWORD, **BY)
    with made.store.writing(NOW) as tx:
        remember(tx, "x.z", IdentityMark.IDENTITY, f"{ISSUER}\0s-1")
    link(made.store, ["x.z", "pia"], True, **BY, **WHY)
    with made.store.reading() as db:
        assert Persons.read(db).why_one("x.y", "pia", NOW)
    made.store.close()
