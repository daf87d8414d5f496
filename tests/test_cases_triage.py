"""Several cases at once: each with its own record and revision, and never more dismissed than one by one."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cases_world import NOW_US, campaign, names, nothing, result, store_with
from stillwatch.cases import (
    CaseError,
    CaseState,
    DatabaseUnreachable,
    RecordNotFound,
    Verdict,
    handling,
    reading,
)
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter
from stillwatch.cases.store import Store
from stillwatch.cases.triage import PickedCase, change_each, merge_all
from stillwatch.cli import case_triage
from stillwatch.cli.folder import whoami
from stillwatch.cli.main import app

DAY = 86_400_000_000
BY: dict[str, Any] = {"who": "ann", "why": "a course's homework", "now_us": NOW_US}


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Store]:
    with store_with(nothing, tmp_path) as made:
        yield made


def filled(store: Store, n: int) -> list[PickedCase]:
    found = [campaign(f"sw-{i}", names(100 * i, 100 * i + 6)) for i in range(n)]
    fold(store, result(*found), NOW_US, "serve")
    return picks(store)


def picks(store: Store) -> list[PickedCase]:
    return [PickedCase(c.id, c.revision) for c in reading.queue(store, Filter(limit=1_000), NOW_US).cases]


def dismiss(store: Store, picked: list[PickedCase], **more: Any) -> list[bool]:
    done = change_each(
        picked,
        lambda one: handling.close(store, one.id, Verdict.FALSE, if_revision=one.revision, **(BY | more)),
    )
    return [one.now is not None for one in done]


def test_each_case_has_its_own_act_and_record(desk: Store, tmp_path: Path) -> None:
    attach(desk, tmp_path / "audit.key")
    picked = filled(desk, 4)
    stale = PickedCase(picked[1].id, picked[1].revision - 1)
    given = [picked[0], stale, PickedCase("case-0000000000", 1), picked[3]]
    due = NOW_US + 3 * DAY
    told = change_each(given, lambda one: handling.set_due(desk, one.id, due, if_revision=one.revision, **BY))
    assert [one.refusal is None for one in told] == [True, False, False, True]
    assert "look again" in (told[1].refusal or "")
    assert "no case" in (told[2].refusal or "")
    assert [c.due_us == due for c in map(desk.case, (p.id for p in picked))] == [True, False, False, True]
    with desk.reading() as db:
        records = [r for r in read(db) if r.what == "case.due"]
    assert sorted(r.subject for r in records) == sorted((picked[0].id, picked[3].id))
    again = change_each(
        given, lambda one: handling.set_due(desk, one.id, due, if_revision=one.revision, **BY)
    )
    assert not any(one.now for one in again)  # the same form sent twice has no second effect


def test_a_due_date_lies_ahead_and_within_a_year(desk: Store) -> None:
    (one,) = filled(desk, 1)
    for due in (NOW_US, NOW_US + 400 * DAY):
        with pytest.raises(CaseError, match="between now and a year"):
            handling.set_due(desk, one.id, due, **BY)
    assert handling.set_due(desk, one.id, NOW_US + DAY, **BY).state == CaseState.OPEN


def test_a_database_that_is_gone_is_asked_once(desk: Store) -> None:
    asked = []

    def lose_database(one: PickedCase) -> Any:
        asked.append(one)
        raise DatabaseUnreachable("held by another")

    told = change_each([PickedCase(f"case-{k}", 1) for k in range(5)], lose_database)
    assert (len(asked), {one.refusal for one in told}, len(told)) == (1, {"held by another"}, 5)


@pytest.mark.slow
def test_no_more_are_dismissed_at_once_than_one_by_one(
    desk: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In one request, in many small ones, and in several at the same moment."""
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 4)
    picked = filled(desk, 12)
    assert dismiss(desk, picked[:2]) == [True, True]
    with ThreadPoolExecutor(4) as pool:
        done = [*pool.map(lambda k: dismiss(desk, picked[k : k + 2]), range(2, 10, 2))]
    assert sum(map(sum, done)) == 2
    assert dismiss(desk, picks(desk)[-2:]) == [False, False]
    assert dismiss(desk, picks(desk)[-1:], approver="bo") == [True]
    assert dismiss(desk, [p for p in picks(desk) if desk.case(p.id).verdict is None][:1], who="cy") == [True]


@pytest.mark.slow
def test_merging_first_dismisses_no_more(desk: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 4)
    picked = filled(desk, 9)
    into, done = merge_all(desk, picked[:5], **BY)
    assert [one.refusal for one in done] == [None] * 4
    assert {desk.case(one.case).merged_into for one in done} == {into}
    late = BY | {"now_us": NOW_US + 2 * DAY}
    with pytest.raises(CaseError, match="5 more, merged into one, need an approver"):
        handling.judge(desk, into, Verdict.FALSE, **late)
    with pytest.raises(CaseError, match="need an approver"):
        handling.suppress(desk, into, owner="ann", until_us=NOW_US + 3 * DAY, **late)
    handling.close(desk, into, Verdict.FALSE, approver="bo", **BY)
    # nor does merging into a case that was dismissed
    hidden, *others = picked[5:]
    handling.close(desk, hidden.id, Verdict.FALSE, **BY)
    for one in others:
        handling.merge(desk, one.id, hidden.id, **BY)
    assert dismiss(desk, filled(desk, 10)[-1:]) == [False]
    last = [p for p in picks(desk) if desk.case(p.id).verdict is None][-1]
    with pytest.raises(CaseError, match="needs an approver"):
        handling.merge(desk, last.id, hidden.id, **BY)
    assert handling.merge(desk, last.id, hidden.id, approver="bo", **BY).id == hidden.id


def test_taking_back_what_was_taken_back_dismisses_no_more(
    desk: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 1)
    first, second = filled(desk, 2)
    handling.judge(desk, first.id, Verdict.FALSE, **BY)
    judged = reading.acts(desk, first.id)[-1]
    handling.undo(desk, first.id, judged.id, **BY)
    handling.judge(desk, second.id, Verdict.FALSE, **BY)
    undone = reading.acts(desk, first.id)[-1]
    with pytest.raises(CaseError, match="needs an approver"):
        handling.undo(desk, first.id, undone.id, **BY)
    assert desk.case(first.id).verdict is None


@pytest.mark.slow
def test_merging_checks_what_was_seen_of_every_case(desk: Store) -> None:
    picked = filled(desk, 4)
    first, *_, last = sorted(picked, key=lambda one: one.id)  # all were opened at once
    handling.note(desk, last.id, "another one's", who="bo", now_us=NOW_US)
    into, done = merge_all(desk, picked, **BY)
    assert into == first.id
    assert [one.case for one in done if one.refusal] == [last.id]
    assert all(one.refusal for one in merge_all(desk, picked, **BY)[1])  # the form sent twice
    with pytest.raises(CaseError, match="at least two"):
        merge_all(desk, picked[:1], **BY)
    with pytest.raises(RecordNotFound):
        merge_all(desk, [picked[0], PickedCase("case-0000000000", 1)], **BY)


# --- the command line ---


def run(folder: Path, *words: str, code: int = 0) -> Any:
    """Run `case triage`; return its JSON, or its text if there is no JSON."""
    done = CliRunner().invoke(app, ["case", "triage", *words, "--folder", str(folder)])
    assert done.exit_code == code, (done.output, done.exception)
    assert "Traceback" not in done.output
    return json.loads(done.stdout) if "--json" in words and done.stdout else done.output


@pytest.mark.slow
def test_cases_that_match_are_changed_from_the_command_line(desk: Store, tmp_path: Path) -> None:
    picked = filled(desk, 5)
    every = [one.id for one in picked]
    why = ("--why", "one course")
    before = desk.revision()
    told = run(tmp_path, "assign", "--owner", "none", "--to", "ann", "--dry-run", "--json")
    assert (told["dry_run"], told["changed"], len(told["cases"]), desk.revision()) == (True, 0, 5, before)
    assert "5 of 5 cases assigned" in run(tmp_path, "assign", "--owner", "none", "--to", "ann", *why)
    assert {desk.case(case).owner for case in every} == {"ann"}
    stale, fresh = f"{picked[0].id}:{picked[0].revision}", picked[1].id
    told = run(tmp_path, "due", stale, fresh, "--after", "4h", *why, "--json", code=2)
    assert [(one["case"], one["refusal"] is None) for one in told["cases"]] == [
        (picked[0].id, False),
        (fresh, True),
    ]
    assert (told["changed"], "look again" in told["cases"][0]["refusal"]) == (1, True)
    assert "1 of 1 case dismissed" in run(tmp_path, "dismiss", fresh, "--as", "permitted", *why)
    assert (desk.case(fresh).verdict, desk.case(fresh).state) == (Verdict.PERMITTED, CaseState.CLOSED)
    told = run(tmp_path, "merge", *every[2:4], *why, "--json")
    assert (told["into"] in every[2:4], told["changed"]) == (True, 1)
    assert "2 of 2 cases assigned" in run(
        tmp_path, "assign", "--limit", "2", "--state", "open", "--to", "none", *why
    )


@pytest.mark.slow
def test_the_command_line_dismisses_no_more_alone(
    desk: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handling, "DISMISSED_CASES_A_DAY", 2)
    filled(desk, 6)
    words = ("dismiss", "--state", "new", "--why", "a course")
    text = run(tmp_path, *words, "--dry-run")
    assert "6 cases would be dismissed; nothing was changed" in text
    assert "you may dismiss 2 more alone today: the others need --approver" in text
    assert run(tmp_path, *words, "--dry-run", "--json")["may_dismiss_alone"] == 2
    told = run(tmp_path, *words, "--json", code=2)
    assert (told["changed"], [one["needs_approver"] for one in told["cases"]]) == (
        2,
        [False] * 2 + [True] * 4,
    )
    told = run(tmp_path, *words, "--json", code=2)
    assert (told["changed"], len(told["cases"])) == (0, 4)
    assert "somebody else than who does it" in run(tmp_path, *words, "--approver", whoami(), code=2)
    assert "4 of 4 cases dismissed" in run(tmp_path, *words, "--approver", "bo")
    # nor through a merge into a case that was dismissed
    hidden = reading.queue(desk, Filter(states=(CaseState.CLOSED,)), NOW_US).cases[0].id
    fold(desk, result(campaign("sw-new", names(900, 906))), NOW_US, "serve")
    new = picks(desk)
    other = next(one.id for one in new if desk.case(one.id).state == CaseState.NEW)
    told = run(tmp_path, "merge", hidden, other, "--why", "x", "--json", code=2)
    assert (told["changed"], told["cases"][0]["needs_approver"]) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("dismiss", "--why", "x"), "name cases, or choose them"),
        (("dismiss", "--state", "new"), "say why"),
        (("dismiss", "--state", "new", "--why", " "), "say why"),
        (("dismiss", "--state", "new", "--as", "true", "--why", "x"), "dismisses no case"),
        (("dismiss", "--state", "new", "--to", "ann", "--why", "x"), "nothing else takes them"),
        (("assign", "--state", "new", "--why", "x"), "--to NAME"),
        (("due", "--state", "new", "--why", "x"), "--after TIME"),
        (("due", "--state", "new", "--after", "soon", "--why", "x"), "--after"),
        (("due", "--state", "new", "--after", "900d", "--why", "x"), "within a year|between now and a year"),
        (("dismiss", "--text", "nothing like it", "--why", "x"), "no case matches"),
        (("dismiss", "case-00", "--why", "x"), "case-00"),
        (("dismiss", "case-00:x", "--why", "x"), "CASE:REVISION"),
        (("dismiss", "case-00", "--state", "new", "--why", "x"), "not both"),
        (("merge", "--text", "sw-1", "--why", "x"), "at least two"),
        (("burn", "--state", "new", "--why", "x"), "burn"),
    ],
)
def test_what_makes_no_sense_is_a_sentence(
    desk: Store, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    filled(desk, 3)
    before = desk.revision()
    assert re.search(told, run(tmp_path, *words, code=2))
    assert desk.revision() == before


@pytest.mark.slow
def test_more_than_fit_are_not_begun(desk: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(case_triage, "MOST_AT_ONCE", 2)
    picked = filled(desk, 3)
    assert "3 cases match, 2 at once" in run(tmp_path, "dismiss", "--state", "new", "--why", "x", code=2)
    three = [one.id for one in picked]
    assert "3 cases at once; give at most 2" in run(tmp_path, "dismiss", *three, "--why", "x", code=2)
