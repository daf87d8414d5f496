"""What people do with cases: the acts, their refusals, undo, concurrent changes; on both databases."""

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, select, text

import cases_world as world
from cases_world import NOW_US, campaign, everything, later, names, only, result, standing
from stillwatch.cases import (
    CaseError,
    CaseState,
    RecordNotFound,
    StaleRevision,
    Verdict,
    handling,
    reading,
    tables,
)
from stillwatch.cases.acts import FACETS, put
from stillwatch.cases.fold import fold
from stillwatch.cases.migrations import MIGRATIONS, migrate
from stillwatch.cases.reading import Filter
from stillwatch.cases.store import Store

HOUR = world.HOUR_US
DAY = 24 * HOUR
BY: Mapping[str, Any] = {"who": "ann", "why": "looked at it", "now_us": NOW_US}


def march(store: Store, _: Path) -> None:
    """A case of forty accounts."""
    fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with world.store_with(march, tmp_path, request.param) as made:
        yield made


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    with world.store_with(march, tmp_path) as made:
        yield made


# --- verbs ---


@pytest.mark.slow
def test_a_case_goes_from_new_to_open_to_closed(store: Store) -> None:
    case_id = only(store)
    case = handling.assign(store, case_id, "bo", who="ann", due_us=NOW_US + HOUR, now_us=NOW_US)
    assert (case.state, case.owner, case.due_us) == (CaseState.OPEN, "bo", NOW_US + HOUR)
    handling.note(store, case_id, "called them", who="bo", now_us=NOW_US)
    assert handling.judge(store, case_id, Verdict.TRUE, **BY).verdict == Verdict.TRUE
    assert handling.close(store, case_id, **BY).state == CaseState.CLOSED
    assert handling.reopen(store, case_id, **BY).state == CaseState.OPEN
    told = [(a.verb, a.who) for a in reading.acts(store, case_id)]
    assert told == [
        ("opened", "stillwatch"),
        ("assign", "ann"),
        ("note", "bo"),
        ("judge", "ann"),
        ("close", "ann"),
        ("reopen", "ann"),
    ]


def test_a_case_without_a_verdict_is_not_closed(lite: Store) -> None:
    with pytest.raises(CaseError, match="no verdict"):
        handling.close(lite, only(lite), **BY)


def test_a_case_is_no_victim_its_accounts_are(lite: Store) -> None:
    with pytest.raises(CaseError, match="name the accounts"):
        handling.judge(lite, only(lite), Verdict.VICTIM, **BY)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"why": "  "}, "missing"),
        ({"why": "x" * 10_001}, "10,000 at most"),
        ({"who": ""}, "give a name"),
        ({"who": "x" * 201}, "give a name"),
        ({"who": "stillwatch"}, "give a person's name"),
    ],
)
def test_who_and_why_are_asked_for(lite: Store, change: dict[str, str], complaint: str) -> None:
    before = everything(lite)
    with pytest.raises(CaseError, match=complaint):
        handling.judge(lite, only(lite), Verdict.TRUE, **(dict(BY) | change))
    assert everything(lite) == before


def test_what_is_not_there_is_said_to_be_missing(lite: Store) -> None:
    case_id = only(lite)
    with pytest.raises(RecordNotFound):
        handling.note(lite, "case-0000000000", "hello", who="ann", now_us=NOW_US)
    with pytest.raises(RecordNotFound, match="not in case"):
        handling.judge_accounts(lite, case_id, ["acct_00001", "nobody"], Verdict.FALSE, **BY)
    with pytest.raises(RecordNotFound, match="no act 99"):
        handling.undo(lite, case_id, 99, **BY)
    with pytest.raises(RecordNotFound, match="no case"):
        reading.find(lite, "case-f%")


def test_a_suppression_has_an_owner_a_reason_and_an_end(lite: Store) -> None:
    case_id = only(lite)
    for until_us in (NOW_US, NOW_US - 1, NOW_US + 400 * DAY):
        with pytest.raises(CaseError, match="give it an expiry"):
            handling.suppress(lite, case_id, owner="bo", until_us=until_us, **BY)
    with pytest.raises(CaseError, match="give a name"):
        handling.suppress(lite, case_id, owner=" ", until_us=NOW_US + DAY, **BY)
    case = handling.suppress(lite, case_id, owner="bo", until_us=NOW_US + DAY, **BY)
    assert (case.suppressed_by, case.suppressed_why) == ("bo", "looked at it")
    hidden = Filter(suppressed=False)
    assert reading.queue(lite, hidden, NOW_US + DAY - 1).total == 0
    assert reading.queue(lite, hidden, NOW_US + DAY).total == 1  # by itself
    assert handling.unsuppress(lite, case_id, **BY).suppressed_by is None
    assert reading.queue(lite, hidden, NOW_US).total == 1


@pytest.mark.slow
def test_an_appeal_keeps_a_case_open_and_somebody_else_decides_it(store: Store) -> None:
    case_id = only(store)
    handling.close(store, case_id, Verdict.TRUE, **BY)
    case = handling.appeal(store, case_id, "we are a class", account="acct_00003", who="bo", now_us=NOW_US)
    assert (case.state, case.appeal) == (CaseState.OPEN, "acct_00003: we are a class")
    with pytest.raises(CaseError, match="open appeal"):
        handling.close(store, case_id, **BY)
    with pytest.raises(CaseError, match="already"):
        handling.appeal(store, case_id, "again", account="acct_00003", who="bo", now_us=NOW_US)
    with pytest.raises(CaseError, match="somebody else decides"):
        handling.decide(store, case_id, True, accounts=["acct_00003"], **BY)
    case = handling.decide(
        store, case_id, True, accounts=["acct_00003"], who="cy", why="the school confirmed", now_us=NOW_US
    )
    assert (case.appeal, case.cleared, case.verdict) == (None, 1, Verdict.TRUE)
    assert "acct_00003" not in reading.targets(store, case_id).accounts


def test_a_grant_reaches_no_further_than_its_appeal(lite: Store) -> None:
    case_id = only(lite)
    handling.judge(lite, case_id, Verdict.TRUE, **BY)
    with pytest.raises(RecordNotFound, match="acct_99999"):
        handling.appeal(lite, case_id, "not us", account="acct_99999", who="bo", now_us=NOW_US)
    handling.appeal(lite, case_id, "not us", account="acct_00003", who="bo", now_us=NOW_US)
    assert [one.account for one in handling.appeals(lite, case_id)] == ["acct_00003"]
    case = handling.decide(lite, case_id, True, who="cy", why="an old customer", now_us=NOW_US)
    assert (case.verdict, case.cleared, case.appeal) == (Verdict.TRUE, 1, None)
    assert handling.appeals(lite, case_id) == []
    handling.appeal(lite, case_id, "acct_00004: we are all one class", who="bo", now_us=NOW_US)
    (appeal,) = handling.appeals(lite, case_id)
    assert appeal.account is None  # what is written in it names nobody
    case = handling.decide(lite, case_id, True, who="cy", why="the school confirmed", now_us=NOW_US)
    assert (case.verdict, case.cleared) == (Verdict.FALSE, 1)


@pytest.mark.slow
def test_nobody_dismisses_many_cases_alone(lite: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 4)
    many = [campaign(f"sw-{i}", names(100 * i, 100 * i + 6)) for i in range(2, 8)]
    fold(lite, result(*many), NOW_US, "serve")
    ids = [c.id for c in reading.queue(lite, Filter(), NOW_US).cases]
    for case_id in ids[: handling.DISMISSED_CASES_A_DAY]:
        handling.judge(lite, case_id, Verdict.FALSE, **BY)
    last = ids[-1]
    with pytest.raises(CaseError, match="needs an approver"):
        handling.judge(lite, last, Verdict.PERMITTED, **BY)
    with pytest.raises(CaseError, match="needs an approver"):
        handling.suppress(lite, last, owner="ann", until_us=NOW_US + DAY, **BY)
    with pytest.raises(CaseError, match="somebody else"):
        handling.judge(lite, last, Verdict.FALSE, approver="ann", **BY)
    assert handling.judge(lite, last, Verdict.FALSE, approver="bo", **BY).verdict == Verdict.FALSE
    later_on = dict(BY) | {"now_us": NOW_US + DAY + 1}
    assert handling.judge(lite, last, Verdict.FALSE, **later_on).verdict == Verdict.FALSE
    assert handling.judge(lite, last, Verdict.TRUE, **BY).verdict == Verdict.TRUE  # which dismisses nothing


@pytest.mark.slow
def test_nobody_clears_many_accounts_alone(lite: Store) -> None:
    fold(lite, result(campaign("sw-9", names(1_000, 2_200))), NOW_US, "serve")
    case_id = next(c.id for c in reading.queue(lite, Filter(), NOW_US).cases if c.members > 40)
    with pytest.raises(CaseError, match="1,001 accounts"):
        handling.judge_accounts(lite, case_id, names(1_000, 2_001), Verdict.FALSE, **BY)
    # to mark them as victims is no dismissal: nobody acts on them either, and their keys are replaced
    assert handling.judge_accounts(lite, case_id, names(1_000, 2_001), Verdict.VICTIM, **BY).victims == 1_001


def test_an_export_is_on_the_case_and_cannot_be_undone(lite: Store) -> None:
    case_id = only(lite)
    handling.record_export(lite, case_id, {"format": "bundle", "sha256": "ab" * 32}, who="ann", now_us=NOW_US)
    act = reading.acts(lite, case_id)[-1]
    assert act.sets["export"]["sha256"] == "ab" * 32
    with pytest.raises(CaseError, match="has left"):
        handling.undo(lite, case_id, act.id, **BY)
    with pytest.raises(CaseError, match="SHA-256"):
        handling.record_export(
            lite, case_id, {"format": "bundle", "sha256": "../../x"}, who="ann", now_us=NOW_US
        )


# --- undo ---


@pytest.mark.slow
def test_an_undo_can_be_undone(store: Store) -> None:
    case_id = only(store)
    before = standing(store)
    handling.judge_accounts(store, case_id, names(0, 5), Verdict.VICTIM, **BY)
    judged = standing(store)
    act = reading.acts(store, case_id)[-1].id
    assert judged != before
    handling.undo(store, case_id, act, **BY)
    # a case that a person has worked on is new again too
    assert standing(store) == before
    with pytest.raises(CaseError, match="taken back already"):
        handling.undo(store, case_id, act, **BY)
    handling.undo(store, case_id, reading.acts(store, case_id)[-1].id, **BY)
    assert standing(store) == judged


@pytest.mark.slow
def test_a_merge_is_undone_exactly(store: Store) -> None:
    first = only(store)
    fold(store, result(campaign("sw-2", names(100, 130), first_hour=12)), NOW_US, "serve")
    second = next(c.id for c in reading.queue(store, Filter(), NOW_US).cases if c.id != first)
    handling.judge_accounts(store, first, names(0, 2), Verdict.VICTIM, **BY)
    handling.judge_accounts(store, second, names(100, 103), Verdict.FALSE, **BY)
    before = standing(store)
    handling.merge(store, second, first, **BY)
    case = store.case(first)
    assert (case.members, case.victims, case.cleared, case.exchanges) == (65, 2, 3, 800)
    with pytest.raises(CaseError, match="was merged into"):
        handling.note(store, second, "hello", who="ann", now_us=NOW_US)
    act = next(a for a in reading.acts(store, first) if a.verb == "merge")
    handling.undo(store, first, act.id, **BY)
    assert standing(store) == before


@pytest.mark.slow
def test_a_split_is_undone_and_the_new_case_goes_into_the_old_one(store: Store) -> None:
    first = only(store)
    handling.judge_accounts(store, first, names(0, 2), Verdict.VICTIM, **BY)
    before = {name: [r for r in rows if first in r.values()] for name, rows in standing(store).items()}
    made = handling.split(store, first, names(30, 40), **BY)
    assert (made.members, made.split_from) == (10, first)
    assert store.case(first).members == 28
    act = next(a for a in reading.acts(store, first) if a.verb == "split")
    handling.undo(store, first, act.id, **BY)
    now = {name: [r for r in rows if first in r.values()] for name, rows in standing(store).items()}
    now["cases"] = [r for r in now["cases"] if r["id"] == first]
    assert now == before
    assert store.case(made.id).merged_into == first


def test_what_was_judged_after_a_merge_is_undone_first(lite: Store) -> None:
    first = only(lite)
    fold(lite, result(campaign("sw-2", names(100, 130))), NOW_US, "serve")
    second = next(c.id for c in reading.queue(lite, Filter(), NOW_US).cases if c.id != first)
    handling.merge(lite, second, first, **BY)
    act = next(a for a in reading.acts(lite, first) if a.verb == "merge")
    handling.judge_accounts(lite, first, ["acct_00110"], Verdict.VICTIM, **BY)
    with pytest.raises(CaseError, match="undo that first"):
        handling.undo(lite, first, act.id, **BY)


def test_a_split_needs_two_parts(lite: Store) -> None:
    for accounts in ((), names(0, 40)):
        with pytest.raises(CaseError, match="two parts"):
            handling.split(lite, only(lite), accounts, **BY)


@pytest.mark.slow
def test_an_account_that_went_to_another_case_is_not_taken_from_it_by_an_undo(lite: Store) -> None:
    first = only(lite)
    handling.judge_accounts(lite, first, ["acct_00003"], Verdict.FALSE, **BY)
    act = reading.acts(lite, first)[-1].id
    fold(lite, result(campaign("sw-2", ("acct_00003", *names(100, 140)))), NOW_US, "serve")
    with pytest.raises(CaseError, match="by now"):
        handling.undo(lite, first, act, **BY)


def _play(store: Store, case_id: str, step: tuple[int, int, int]) -> bool:
    """Do one of all acts that people can do to a case; return False if it had no effect."""
    verb, a, b = step
    before = len(reading.acts(store, case_id))
    who = ("ann", "bo", "cy")[a % 3]
    common: dict[str, Any] = {"who": who, "why": f"why {a}", "now_us": NOW_US + a}
    verdict = (Verdict.TRUE, Verdict.FALSE, Verdict.SUSPICIOUS, Verdict.PERMITTED)[b % 4]
    some = names(a % 12, a % 12 + 1 + b % 3)
    try:
        match verb:
            case 0:
                handling.assign(store, case_id, (None, "ann", "bo")[b % 3], due_us=NOW_US + a, **common)
            case 1:
                handling.judge(store, case_id, verdict, **common)
            case 2:
                handling.judge_accounts(store, case_id, some, (*Verdict, None)[b % 6], **common)
            case 3:
                handling.close(store, case_id, verdict, **common)
            case 4:
                handling.reopen(store, case_id, **common)
            case 5:
                handling.suppress(store, case_id, owner=who, until_us=NOW_US + DAY + b, **common)
            case 6:
                handling.unsuppress(store, case_id, **common)
            case 7:
                handling.appeal(store, case_id, f"text {b}", who=who, now_us=NOW_US)
            case 8:
                handling.decide(store, case_id, bool(b % 2), accounts=some if b % 3 else (), **common)
            case 9:
                in_force = [x for x in reading.acts(store, case_id) if x.in_force]
                handling.undo(store, case_id, in_force[a % len(in_force)].id, **common)
    except CaseError:
        return False
    return len(reading.acts(store, case_id)) > before


def _oracle(store: Store, case_id: str) -> tuple[dict[str, Any], dict[str, str | None]]:
    """Return the state that follows from the acts: an undo removes its act, its own undo restores it."""
    acts = reading.acts(store, case_id)
    counts = dict.fromkeys((x.id for x in acts), True)
    for x in reversed(acts):
        if x.undoes is not None and counts[x.id]:
            counts[x.undoes] = False
    facets, verdicts = dict(FACETS), dict[str, str | None]()
    for x in acts:
        if counts[x.id]:
            facets |= {name: value for name, value in x.sets.items() if name in FACETS}
            for group in x.sets.get("accounts", ()):
                verdicts |= dict.fromkeys(group["keys"], group["verdict"])
    undecided = {x.id: x.text for x in acts if counts[x.id] and x.verb == "appeal"}
    for x in acts:
        if counts[x.id]:
            undecided.pop(x.sets.get("decides"), None)
    facets["appeal"] = "\n\n".join(undecided.values()) or None
    return facets, {key: verdict for key, verdict in verdicts.items() if verdict is not None}


STEPS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 30), st.integers(0, 30)), max_size=7)


@cache
def one_case() -> Mapping[str, bytes]:
    """Return the files of a store with one case, cached: to make them takes most of an example's time."""
    with world.fast_folder() as folder:
        with Store(f"sqlite:///{folder}/cases.db") as store:
            fold(store, result(campaign("sw-1", names(0, 20))), NOW_US, "march")
        return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.slow
@settings(max_examples=400, deadline=None)
@given(steps=STEPS)
def test_an_act_taken_back_leaves_what_was_before(steps: list[tuple[int, int, int]]) -> None:
    """Do things to a case; undo each, and undo that; compare with the earlier state, and with an oracle."""
    with world.fast_folder() as folder:
        for name, content in one_case().items():
            (folder / name).write_bytes(content)
        acts_taken_back(folder, steps)


def acts_taken_back(folder: Path, steps: list[tuple[int, int, int]]) -> None:
    with Store(f"sqlite:///{folder}/cases.db") as store:
        case_id = only(store)
        for step in steps:
            before = standing(store)
            if not _play(store, case_id, step):
                assert standing(store) == before
                continue
            facets, verdicts = _oracle(store, case_id)
            after = standing(store)
            (row,) = after["cases"]
            assert {name: row[name] for name in FACETS} == facets
            found = {str(r["key"]): r["verdict"] for r in after["members"] if r["verdict"] is not None}
            assert found == verdicts
            assert {r["key"] for r in after["members"] if r["home"] is None} == {
                key for key, verdict in verdicts.items() if verdict in ("false", "permitted", "victim")
            }
            by = BY | {"who": "zoe"}  # had no part in the case
            handling.undo(store, case_id, reading.acts(store, case_id)[-1].id, **by)
            assert standing(store) == before
            handling.undo(store, case_id, reading.acts(store, case_id)[-1].id, **by)
            assert standing(store) == after


def test_an_undo_of_an_undo_of_an_undo_is_an_undo(lite: Store) -> None:
    case_id = only(lite)
    seen = [standing(lite)]
    handling.judge_accounts(lite, case_id, names(0, 5), Verdict.VICTIM, **BY)
    seen.append(standing(lite))
    for n in range(4):
        handling.undo(lite, case_id, reading.acts(lite, case_id)[-1].id, **BY)
        assert standing(lite) == seen[n % 2]


# --- concurrent changes ---


def test_who_saw_an_older_revision_changes_nothing(store: Store) -> None:
    case_id = only(store)
    seen = store.case(case_id).revision
    handling.judge(store, case_id, Verdict.TRUE, if_revision=seen, **BY)
    with pytest.raises(StaleRevision, match="look again"):
        handling.judge(store, case_id, Verdict.FALSE, if_revision=seen, **BY)
    assert store.case(case_id).verdict == Verdict.TRUE


def test_of_threads_that_saw_the_same_revision_one_changes_the_case(store: Store) -> None:
    case_id = only(store)
    seen = store.case(case_id).revision
    start, told = threading.Barrier(6), []

    def judge(verdict: Verdict) -> None:
        start.wait()
        try:
            handling.judge(store, case_id, verdict, if_revision=seen, **BY)
            told.append("done")
        except StaleRevision:
            told.append("stale")

    threads = [threading.Thread(target=judge, args=(v,)) for v in (Verdict.TRUE, Verdict.FALSE) * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == ["done"] + ["stale"] * 5
    assert len([a for a in reading.acts(store, case_id) if a.verb == "judge"]) == 1


NOTES = """
import sys
from stillwatch.cases import handling
from stillwatch.cases.store import Store
with Store(sys.argv[1]) as store:
    for i in range(int(sys.argv[3])):
        handling.note(store, sys.argv[2], f"{sys.argv[4]} {i}", who=sys.argv[4], now_us=i + 1)
"""


@pytest.mark.slow
def test_processes_that_write_at_once_lose_nothing(store: Store) -> None:
    case_id, url = only(store), store.url.render_as_string(hide_password=False)
    writers = [
        subprocess.Popen([sys.executable, "-c", NOTES, url, case_id, "7", name]) for name in ("ann", "bo")
    ]
    for i in range(7):
        handling.note(store, case_id, f"cy {i}", who="cy", now_us=i + 1)
    assert [writer.wait(60) for writer in writers] == [0, 0]
    notes = [a.text for a in reading.acts(store, case_id) if a.verb == "note"]
    assert sorted(notes) == sorted(f"{who} {i}" for who in ("ann", "bo", "cy") for i in range(7))
    revisions = [a.revision for a in reading.acts(store, case_id)]
    assert len(set(revisions)) == len(revisions)


# --- the trail and the store ---


class Recorder:
    """An audit trail that stores records in a list, or fails."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str, Mapping[str, Any], Mapping[str, Any]]] = []
        self.fails = False

    def append(
        self,
        db: Connection,
        who: str,
        what: str,
        subject: str,
        detail: Mapping[str, Any],
        now_us: int,
        personal: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        if self.fails:
            raise RuntimeError("disk full")
        self.kept.append((who, what, subject, detail, personal or {}))


def test_names_and_words_are_on_the_trail_where_they_can_be_erased_only(lite: Store) -> None:
    trail = Recorder()
    lite.trail = trail
    case_id = only(lite)
    handling.judge_accounts(
        lite, case_id, ["acct_00003"], Verdict.VICTIM, who="ann", why="SECRET words", now_us=NOW_US
    )
    handling.note(lite, case_id, "SECRET note", who="ann", now_us=NOW_US)
    assert [what for _, what, _, _, _ in trail.kept] == ["case.judge accounts", "case.note"]
    for _, _, subject, detail, personal in trail.kept:
        assert subject == case_id
        assert "SECRET" not in repr(detail)
        assert "acct_00003" not in repr(detail)
        assert "SECRET" in repr(personal)
    assert trail.kept[0][4]["acct_00003"] == {"verdict": "victim"}


def test_what_cannot_be_put_on_the_trail_does_not_happen(lite: Store) -> None:
    trail = Recorder()
    trail.fails = True
    lite.trail = trail
    before = everything(lite)
    with pytest.raises(RuntimeError):
        handling.judge(lite, only(lite), Verdict.TRUE, **BY)
    assert everything(lite) == before


@pytest.mark.slow
def test_a_look_is_on_the_trail(lite: Store) -> None:
    trail = Recorder()
    lite.trail = trail
    lite.look("ann", "prompts seen", only(lite), {"exchanges": 3}, NOW_US)
    assert [(who, what) for who, what, *_ in trail.kept] == [("ann", "prompts seen")]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "sqlite://",
        "sqlite:///:memory:",
        "mysql://x/y",
        "no url at all",
        "sqlite:////no/such/folder/cases.db",
        "postgresql://nobody@/none?host=/nowhere",
    ],
)
def test_a_store_that_cannot_be_opened_says_why(url: str) -> None:
    with pytest.raises(CaseError):
        Store(url)


def test_the_folder_of_the_first_cases_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "stillwatch-serve" / "cases.db"
    with Store(f"sqlite:///{path}"):
        assert path.exists()
        assert path.parent.stat().st_mode & 0o077 == 0


def test_what_is_no_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "cases.db"
    path.write_bytes(b"not a database, at all" * 100)
    with pytest.raises(CaseError, match="damaged"):
        Store(f"sqlite:///{path}")


def test_a_store_of_a_newer_version_is_refused(lite: Store, tmp_path: Path) -> None:
    with lite.engine.connect() as db, db.begin():
        db.execute(text("UPDATE shapes SET version = 99 WHERE part = 'cases'"))
    with pytest.raises(CaseError, match="newer Stillwatch"):
        Store(f"sqlite:///{tmp_path}/cases.db")


def test_a_database_of_an_older_shape_is_brought_up(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/old.db"
    engine = create_engine(url)
    migrate(engine, "cases", MIGRATIONS[:1])
    engine.dispose()
    with Store(url) as store:
        fold(store, result(campaign("sw-1", names(0, 40))), NOW_US, "march")
        assert store.case(only(store)).members == 40


def test_the_database_file_is_its_owners_only(lite: Store, tmp_path: Path) -> None:
    assert (tmp_path / "cases.db").stat().st_mode & 0o077 == 0


def test_a_password_is_in_no_message() -> None:
    with pytest.raises(CaseError) as told:
        Store("postgresql://ann:hunter2@/none?host=/nowhere")
    assert "hunter2" not in str(told.value)


# --- the queue ---


@pytest.mark.slow
def test_the_queue_is_filtered_and_counted(store: Store) -> None:
    fold(
        store,
        result(
            campaign("sw-2", names(100, 130), hours=9),
            campaign("sw-3", names(200, 210), suppressed_by="permission: synthetic data"),
        ),
        NOW_US,
        "serve",
    )
    by_campaign = {c.campaign: c.id for c in reading.queue(store, Filter(), NOW_US).cases}
    assert [c.campaign for c in reading.queue(store, Filter(suppressed=False), NOW_US).cases] == [
        "sw-2",
        "sw-1",
    ]
    handling.assign(store, by_campaign["sw-1"], "bo", who="ann", due_us=NOW_US + 1, now_us=NOW_US)
    handling.note(store, by_campaign["sw-2"], "a second look, at 100 %", who="bo", now_us=NOW_US)
    handling.close(store, by_campaign["sw-2"], Verdict.TRUE, **BY)
    q = reading.queue(store, Filter(states=(CaseState.OPEN,)), NOW_US + 5)
    assert [c.campaign for c in q.cases] == ["sw-1"]
    assert q.counts == {
        "new": 1,
        "open": 1,
        "closed": 1,
        "suppressed": 1,
        "appealed": 0,
        "waiting": 1,
        "unowned": 0,
        "overdue": 1,
    }
    assert reading.owners(store) == ["bo"]
    for wanted, found in (
        (Filter(owner="bo"), ["sw-1"]),
        (Filter(owner="none"), ["sw-2", "sw-3"]),
        (Filter(verdicts=(Verdict.TRUE,)), ["sw-2"]),
        (Filter(account="acct_00105"), ["sw-2"]),
        (Filter(text="10 ACCOUNTS"), ["sw-3"]),
        (Filter(text="100%"), []),
        (Filter(note="A SECOND look"), ["sw-2"]),
        (Filter(note="second%"), []),
        (Filter(appealed=True), []),
        (Filter(limit=1, offset=3), []),
    ):
        assert sorted(c.campaign for c in reading.queue(store, wanted, NOW_US).cases) == found


@pytest.mark.slow
@pytest.mark.parametrize("few", [0, 1, 3, 5_000])
def test_a_search_finds_the_same_however_many_fit(
    store: Store, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    more = [campaign(f"sw-{k}", names(k * 100, k * 100 + 20 + k), hours=k) for k in range(2, 8)]
    fold(store, result(*more), NOW_US, "serve")
    everything = {c.campaign: c for c in reading.queue(store, Filter(), NOW_US).cases}
    for number, case in enumerate(everything.values()):
        if number % 3:
            handling.note(store, case.id, f"Night shift {number}", who="ann", now_us=NOW_US)
            handling.note(store, case.id, "night shift, again", who="ann", now_us=NOW_US)
        if number % 2:
            handling.close(store, case.id, Verdict.TRUE, **BY)
    monkeypatch.setattr(reading, "FEW", few)
    everything = {c.campaign: c for c in reading.queue(store, Filter(), NOW_US).cases}
    noted = {
        name
        for name, case in everything.items()
        if any(e.act and "night shift" in e.act.text.lower() for e in reading.timeline(store, case.id))
    }
    for note, title, states, owner in itertools.product(
        (None, "NIGHT shift", "nothing"), (None, "accounts", "27"), ((), (CaseState.NEW,)), (None, "none")
    ):
        wanted = Filter(note=note, text=title, states=states, owner=owner)
        fits = [
            name
            for name, case in everything.items()  # in the queue's order
            if (note is None or (note == "NIGHT shift" and name in noted))
            and (title is None or title in case.title)
            and (not states or case.state in states)
        ]
        for offset in (0, 1, 4):
            found = reading.queue(store, replace(wanted, offset=offset, limit=2), NOW_US)
            assert [c.campaign for c in found.cases] == fits[offset : offset + 2], wanted
            searched = note is not None or title is not None
            counted = max(few, offset + len(found.cases)) if found.cases else few
            total = min(len(fits), counted) if searched else len(fits)
            assert (found.total, found.more) == (total, total < len(fits)), wanted


def test_accounts_of_a_case_come_in_pages(store: Store) -> None:
    case_id = only(store)
    handling.judge_accounts(store, case_id, names(0, 3), Verdict.VICTIM, **BY)
    found, total = reading.members_of(store, case_id, offset=10, limit=5)
    assert ([m.account for m in found], total) == (list(names(10, 15)), 40)
    assert reading.members_of(store, case_id, which="victim")[1] == 3
    assert reading.members_of(store, case_id, which="actor", starts="acct_0001")[1] == 10
    assert reading.members_of(store, case_id, starts="acct%")[1] == 0
    with pytest.raises(CaseError, match="give one of"):
        reading.members_of(store, case_id, which="nonsense")


def test_the_line_of_events_has_findings_and_acts(store: Store) -> None:
    case_id = only(store)
    handling.note(store, case_id, "hello", who="ann", now_us=NOW_US + 1)
    fold(store, result(later(campaign("sw-1", names(0, 40)), "sw-2", ["new"])), NOW_US + 2, "serve")
    events = reading.timeline(store, case_id)
    told = [e.finding.campaign if e.finding else e.act.verb if e.act else "" for e in events]
    assert told == ["sw-2", "note", "opened", "sw-1"]
    assert reading.hours_of(store, case_id)[0] == (world.START_US + 10 * HOUR, 100, 50_000)


@pytest.mark.slow
def test_evidence_that_was_judged_upon_is_kept(lite: Store) -> None:
    case_id = only(lite)
    handling.judge(lite, case_id, Verdict.TRUE, **BY)
    for i in range(3):
        grown = later(campaign("sw-1", names(0, 40)), f"sw-{i + 2}", [f"new{i}"])
        fold(lite, result(grown), NOW_US + i, "serve")
    with lite.reading() as db:
        kept = db.execute(select(tables.evidence.c.finding, tables.evidence.c.held)).all()
    assert sorted(tuple(row) for row in kept) == [(1, 1), (4, 0)]


# --- appeals: of several accounts, and decided by nobody who took part in the case ---


def _appeal(store: Store, account: str | None, text: str = "not us") -> int:
    handling.appeal(store, only(store), text, account=account, who="bo", now_us=NOW_US)
    return handling.appeals(store, only(store))[-1].number


@pytest.mark.slow
def test_each_account_of_a_group_can_appeal_by_itself(lite: Store) -> None:
    case_id = only(lite)
    first, second = _appeal(lite, "acct_00003"), _appeal(lite, "acct_00004")
    whole = _appeal(lite, None, "a class")
    assert [one.account for one in handling.appeals(lite, case_id)] == ["acct_00003", "acct_00004", None]
    for account in ("acct_00003", None):
        with pytest.raises(CaseError, match="has an open appeal already"):
            handling.appeal(lite, case_id, "again", account=account, who="bo", now_us=NOW_US)
    by = {"who": "cy", "why": "looked", "now_us": NOW_US}
    with pytest.raises(CaseError, match=f"3 open appeals .{first}, {second}, {whole}.; say which"):
        handling.decide(lite, case_id, True, **by)
    with pytest.raises(CaseError, match=f"no open appeal 99; open: {first}"):
        handling.decide(lite, case_id, True, number=99, **by)
    case = handling.decide(lite, case_id, True, number=second, **by)
    assert (case.cleared, case.appeal) == (1, "acct_00003: not us\n\na class")
    assert "acct_00004" not in case.accounts
    case = handling.decide(lite, case_id, False, number=first, **by)
    assert (case.cleared, case.appeal) == (1, "a class")
    act = reading.acts(lite, case_id)[-1].id
    assert handling.undo(lite, case_id, act, **by).appeal == "acct_00003: not us\n\na class"
    with pytest.raises(CaseError, match="open appeal"):
        handling.close(lite, case_id, Verdict.TRUE, **BY)


def test_a_record_of_one_appeal_at_a_time_is_still_read(lite: Store) -> None:
    case_id = only(lite)
    _appeal(lite, None)
    with lite.writing(NOW_US) as tx:  # as it was written before a decision said which appeal it is of
        put(tx, case_id, "cy", "appeal refused", "no", {"appeal": None})
    assert (lite.case(case_id).appeal, handling.appeals(lite, case_id)) == (None, [])


@pytest.mark.slow
def test_an_appeal_is_not_lost_by_a_merge_or_a_split(lite: Store) -> None:
    one = only(lite)
    fold(lite, result(campaign("sw-2", names(100, 120))), NOW_US, "march")
    (two,) = (c.id for c in reading.queue(lite, Filter(), NOW_US).cases if c.id != one)
    handling.appeal(lite, one, "not us", account="acct_00003", who="bo", now_us=NOW_US)
    handling.close(lite, two, Verdict.TRUE, **BY)
    merged = handling.merge(lite, one, two, **BY)
    assert (merged.appeal, merged.state) == ("acct_00003: not us", CaseState.OPEN)
    (appeal,) = handling.appeals(lite, two)
    made = handling.split(lite, two, ["acct_00003", "acct_00004"], **BY)
    assert (lite.case(two).appeal, made.appeal) == (None, "acct_00003: not us")
    with pytest.raises(CaseError, match="somebody else decides"):  # ann judged the case that it concerns
        handling.decide(lite, made.id, False, **BY)
    case = handling.decide(lite, made.id, True, number=appeal.number, who="cy", why="ok", now_us=NOW_US)
    assert (case.appeal, case.cleared) == (None, 1)


def test_nobody_decides_an_appeal_against_their_own_doing(lite: Store) -> None:
    case_id = only(lite)
    handling.judge(lite, case_id, Verdict.FALSE, approver="dee", **BY)
    handling.judge(lite, case_id, Verdict.TRUE, **(BY | {"who": "eve"}))
    handling.undo(lite, case_id, reading.acts(lite, case_id)[-1].id, **(BY | {"who": "eve"}))
    _appeal(lite, "acct_00003")
    had_a_part = {"ann": "judged", "dee": "approved act", "eve": "judged", "fay": "approved step 3"}
    for who, did in had_a_part.items():
        with pytest.raises(CaseError, match=f"'{who}' {did}.*somebody else decides"):
            handling.decide(
                lite, case_id, False, who=who, why="x", now_us=NOW_US, sanctioned={"fay": "approved step 3"}
            )
    with pytest.raises(CaseError, match="somebody else decides"):  # a withdrawal would decide it
        handling.undo(lite, case_id, reading.acts(lite, case_id)[-1].id, **BY)
    assert handling.decide(lite, case_id, False, who="cy", why="x", now_us=NOW_US).appeal is None
    with pytest.raises(CaseError, match="somebody else decides"):
        handling.undo(lite, case_id, reading.acts(lite, case_id)[-1].id, **BY)
