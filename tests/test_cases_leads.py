"""Leads are stored apart from findings and opened by a person; no enforcement relies on one."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

import cases_world as world
from cases_world import NOW_US, START, campaign, everything, names, result
from stillwatch.cases import CaseError, CaseState, RecordNotFound, Verdict, handling, leads, reading
from stillwatch.cases.alert import alert
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.exports.outbox import Outbox
from stillwatch.cases.exports.telling import tell
from stillwatch.cases.fold import fold
from stillwatch.cases.statement import StatementTerms, state_reasons
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.gateway.control.case_sync import spared_accounts
from stillwatch.report.findings import write
from stillwatch.scan import Lead, PoolCover, ScanResult

WHY = {"who": "ann", "why": "support heard of an export", "now_us": NOW_US}


def lead(name: str, first: int, last: int, hands: str = "open", exchanges: int = 50) -> Lead:
    text = "its accounts run one program, whose defaults explain equal settings"
    return Lead(name, START, 1e-4, names(first, last), exchanges, hands, text)


def scanned(*found: Lead, hours: int = 336) -> ScanResult:
    told = result(campaign("sw-1", names(0, 40)))
    return replace(told, leads=found, scanned=replace(told.scanned, last=START + timedelta(hours=hours)))


def march(store: Store, folder: Path) -> None:
    attach(store, folder / "audit.key")
    fold(store, scanned(lead("lead-a", 100, 120), lead("lead-b", 200, 205, exchanges=9)), NOW_US, "march")


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    with world.store_with(march, tmp_path, request.param) as made:
        attach(made, tmp_path / "audit.key")
        yield made


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    with world.store_with(march, tmp_path) as made:
        attach(made, tmp_path / "audit.key")
        yield made


def kept_ids(store: Store) -> list[str]:
    return [one.lead.id for one in leads.leads(store)[0]]


@pytest.mark.slow
def test_leads_are_kept_as_the_latest_scan_of_a_source_says_them(store: Store) -> None:
    assert (kept_ids(store), leads.leads(store)[1]) == (["lead-a", "lead-b"], 2)
    before = everything(store)
    fold(store, scanned(lead("lead-a", 100, 120), lead("lead-b", 200, 205, exchanges=9)), NOW_US + 1, "march")
    assert everything(store) == before  # not a row, not a revision
    fold(store, scanned(lead("lead-c", 300, 310, exchanges=70)), NOW_US + 1, "april")
    assert kept_ids(store) == ["lead-c", "lead-a", "lead-b"]  # another source removes none
    fold(store, scanned(lead("lead-a", 100, 130), hours=400), NOW_US + 2, "march")
    assert kept_ids(store) == ["lead-c", "lead-a"]
    assert len(leads.find_lead(store, "lead-a").lead.accounts) == 30
    fold(store, scanned(lead("lead-a", 100, 110), lead("lead-z", 400, 410), hours=300), NOW_US + 3, "march")
    assert kept_ids(store) == ["lead-c", "lead-a", "lead-z"]  # an older scan adds, and sets no time back
    assert len(leads.find_lead(store, "lead-a").lead.accounts) == 30


def test_a_lead_comes_back_as_it_was(lite: Store) -> None:
    cover = PoolCover("p", 10, 5, 40, 9, 3, 7.5, 1e-3)
    odd = replace(lead("lead-odd", 0, 3), accounts=("a\x00", "\ud800", "=1+1"), pools=(cover,))
    fold(lite, scanned(odd), NOW_US, "march")
    assert leads.find_lead(lite, "lead-o").lead == odd
    json.dumps(leads.find_lead(lite, "lead-odd").as_json())
    with pytest.raises(RecordNotFound, match="no such lead"):
        leads.find_lead(lite, "lead-%")


@pytest.mark.slow
def test_a_case_from_a_lead_is_worked_on_and_nobody_is_touched_by_it(lite: Store) -> None:
    for words, match in (({"why": " "}, "why is missing"), ({"who": "stillwatch"}, "a person's name")):
        with pytest.raises(CaseError, match=match):
            leads.open_case(lite, "lead-a", **(WHY | words))
    case = leads.open_case(lite, "lead-a", **WHY)
    assert (case.state, case.members, case.rests_on_lead) == (CaseState.OPEN, 20, True)
    with pytest.raises(CaseError, match=f"is case {case.id} already"):
        leads.open_case(lite, "lead-a", **WHY)
    handling.judge(lite, case.id, Verdict.TRUE, **WHY)
    handling.judge_accounts(lite, case.id, names(100, 105), Verdict.TRUE, **WHY)
    found = reading.targets(lite, case.id)
    assert (found.accounts, found.weak, found.left_out) == ((), (), {"named by a lead only": 20})
    for refused in (
        lambda: alert(lite, case.id, NOW_US),
        lambda: state_reasons(lite, case.id, "acct_00100", StatementTerms(), who="ann", now_us=NOW_US),
    ):
        with pytest.raises(RecordNotFound, match="no evidence"):
            refused()
    made = handling.split(lite, case.id, names(100, 105), **WHY)
    assert reading.targets(lite, made.id).accounts == ()
    handling.judge(lite, case.id, Verdict.FALSE, **WHY)  # but a clearing counts
    assert set(names(105, 120)) <= spared_accounts(lite, NOW_US)


@pytest.mark.slow
def test_a_finding_on_a_leads_accounts_goes_into_its_case_and_names_no_others(lite: Store) -> None:
    case = leads.open_case(lite, "lead-a", **WHY)
    handling.close(lite, case.id, Verdict.FALSE, **WHY)
    fold(lite, result(campaign("sw-2", names(100, 112))), NOW_US + 1, "march")
    now = lite.case(case.id)
    assert (now.rests_on_lead, now.state, now.verdict) == (False, CaseState.OPEN, None)  # to be judged
    assert reading.targets(lite, case.id).accounts == names(100, 112)
    assert alert(lite, case.id, NOW_US).case == case.id
    assert kept_ids(lite) == []
    opened_from = leads.lead_of_case(lite, case.id)
    assert opened_from is not None
    assert (opened_from.lead.id, opened_from.latest) == ("lead-a", False)


def test_accounts_that_are_in_cases_open_no_second_one(lite: Store) -> None:
    fold(lite, scanned(lead("lead-c", 0, 10)), NOW_US, "april")
    with pytest.raises(CaseError, match="are in cases already"):
        leads.open_case(lite, "lead-c", **WHY)


def test_cases_without_evidence_hold_up_no_alert(lite: Store, tmp_path: Path) -> None:
    leads.open_case(lite, "lead-a", **WHY)
    (case,) = (c.id for c in reading.queue(lite, reading.Filter(), NOW_US).cases if not c.rests_on_lead)
    handling.split(lite, case, names(0, 5), **WHY)
    assert tell(Outbox(tmp_path / "outbox"), (), lite, NOW_US) == 1


@pytest.mark.slow
def test_the_command_line_shows_leads_apart_and_opens_one(tmp_path: Path) -> None:
    write(scanned(lead("lead-a", 100, 140), lead("lead-b", 200, 205, hands="many")), tmp_path / "report")

    def run(*words: str, code: int = 0) -> str:
        done = CliRunner().invoke(app, ["case", *words, "--folder", str(tmp_path)])
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    run("fold", str(tmp_path / "report"))
    assert "no step on an account may rest on it" in run("leads")
    told = json.loads(run("leads", "--json"))
    assert (told["total"], {one["actionable"] for one in told["leads"]}) == (2, {False})
    shown = run("leads", "lead-a")
    said = ("What could turn it into a finding", "Randomised holds", "and 15 more", "of its settings alone")
    for words in (*said, "\n  acct_00100\n"):
        assert words in shown
    assert "there is no such lead" in run("leads", "lead-x", code=2)
    assert "why is missing" in run("open", "lead-a", code=2)
    assert "No step" not in run("list")
    opened = json.loads(run("open", "lead-a", "--why", "support heard of an export", "--json"))
    assert "Case: " in run("leads", "lead-a")
    assert "no step on an account may rest on it" in run("show", opened["id"])
    assert json.loads(run("show", opened["id"], "--json"))["lead"]["actionable"] is False
    assert run("accounts", opened["id"], "--targets") == ""
