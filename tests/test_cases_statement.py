"""The statement of reasons: an account's own evidence and error rate, and nothing about any other account."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cases_world import NETWORK, NOW_US, RAISED, WORDED, campaign, names, only, result, store_with
from stillwatch.cases import CaseError, Verdict, handling
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.fold import fold
from stillwatch.cases.statement import StatementTerms, state_reasons, write_statement
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.report.rivals import rival
from stillwatch.scan import BenignAlternative, Link, OwnTie

GROUP_P = 0.000123456
GIVEN = StatementTerms("20,000 tokens an hour until 1 May", "section 4", "appeals@example.com")
MEMBERS = names(0, 12)
MINE = MEMBERS[3]


def twelve(store: Store, folder: Path) -> None:
    """A case of twelve accounts, each with its own tie; some links name the other account in their text."""
    group = campaign("sw-1", MEMBERS, reasons=[RAISED, WORDED, NETWORK])
    links = [
        Link(a, "sw-1", "shared_wording", 9.0, f"carries {k} of the 40 phrases", "client")
        for k, a in enumerate(MEMBERS)
    ]
    links += [Link(MINE, MEMBERS[5], "shared_network", 7.5, f"the same network as {MEMBERS[5]}", "provider")]
    told = replace(
        group,
        p_value=GROUP_P,
        links=tuple(links),
        own_ties={a: OwnTie(10, 11, k + 1, k, 500) for k, a in enumerate(MEMBERS)},
        benign_alternatives=(
            BenignAlternative("one program with its defaults", "not checked: one vendor | sends the same"),
            BenignAlternative("one organisation", "not checked: no accounts table was given (--accounts)"),
            BenignAlternative("a new public template", "no wording of its own is shared: does not apply"),
        ),
    )
    attach(store, folder / "audit.key")
    fold(store, result(told), NOW_US, "scan")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with store_with(twelve, tmp_path) as made:
        attach(made, tmp_path / "audit.key")
        yield made


def reasons(store: Store, account: str = MINE, given: StatementTerms = GIVEN) -> str:
    made = state_reasons(store, only(store), account, given, who="ann", now_us=NOW_US)
    json.dumps(made.as_json())
    return write_statement(made)


def test_it_says_the_accounts_own_evidence_and_never_the_groups_p(store: Store) -> None:
    text = reasons(store)
    assert "3 of 500 accounts that no finding names are tied at least as strongly" in text
    assert "carries 3 of the 40 phrases" in text
    assert "Level:" in text
    assert "0.000123" not in text
    assert "1.2e-04" not in text
    assert "0.00012" not in text
    assert "p-value is the group's" not in text
    for given in (GIVEN.measure, GIVEN.ground, GIVEN.contact, "within 183 days", "Article 21"):
        assert given in text


def test_it_names_no_other_account(store: Store) -> None:
    text = reasons(store)
    assert MINE in text
    assert not [name for name in MEMBERS if name != MINE and name in text]


def test_rival_explanations_are_a_matrix_in_which_open_and_not_checkable_are_answers(store: Store) -> None:
    rows = [line for line in reasons(store).splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[1] for row in rows] == ["not checkable", "open", "does not apply"]
    assert all(row.count(" | ") == 3 for row in rows)
    assert "one vendor \\| sends" in rows[0]
    assert rival("something new", "looked at it").would_change


@pytest.mark.slow
def test_what_only_the_owner_knows_is_a_blank_and_a_verdict_is_said(store: Store) -> None:
    made = state_reasons(store, only(store), MINE, StatementTerms(), who="ann", now_us=NOW_US)
    assert made.blanks == ("measure", "ground", "contact")
    assert write_statement(made).count("[TO FILL IN: ") == 3
    assert not made.judged
    assert "No person has judged it yet" in write_statement(made)
    said = {"who": "bo", "why": "seen", "now_us": NOW_US}
    handling.judge_accounts(store, only(store), [MINE], Verdict.TRUE, **said)  # type: ignore[arg-type]
    assert "A person judged it on" in reasons(store)
    assert "claimed: a person judged so" in reasons(store)
    assert "No person has judged it yet" in reasons(store, MEMBERS[0])  # another account of the case


@pytest.mark.slow
def test_who_is_not_accused_gets_none(store: Store) -> None:
    said = {"who": "bo", "why": "seen", "now_us": NOW_US}
    handling.judge_accounts(store, only(store), [MINE], Verdict.VICTIM, **said)  # type: ignore[arg-type]
    handling.judge_accounts(store, only(store), [MEMBERS[1]], Verdict.FALSE, **said)  # type: ignore[arg-type]
    for account, why in ((MINE, "victim"), (MEMBERS[1], "cleared"), ("acct-else", "does not name")):
        with pytest.raises(CaseError, match=why):
            reasons(store, account)


def test_that_it_was_made_is_on_record_and_the_account_can_be_erased(store: Store) -> None:
    reasons(store)
    with store.reading() as db:
        newest = read(db, limit=1, opened=True)[0]
    assert (newest.who, newest.what, newest.subject) == ("ann", "statement of reasons made", only(store))
    assert MINE not in str(newest.detail)
    assert newest.personal[0]["account"] == MINE


@pytest.mark.slow
def test_the_command_writes_it_and_says_what_is_missing(store: Store, tmp_path: Path) -> None:
    place = ["--cases", store.url.render_as_string(), "--audit-key", str(tmp_path / "audit.key")]
    out = tmp_path / "statement.md"
    done = CliRunner().invoke(app, ["case", "statement", only(store), MINE, "--out", str(out), *place])
    assert done.exit_code == 0, done.output
    assert out.read_text("utf-8").startswith(f"# Statement of reasons: account {MINE}")
    assert "not ready to send" in done.stderr
    told = CliRunner().invoke(app, ["case", "statement", only(store), MINE, "--json", *place])
    assert json.loads(told.stdout)["format"] == "stillwatch.statement/1"
    lost = tmp_path / "no" / "s.md"
    failed = CliRunner().invoke(app, ["case", "statement", only(store), MINE, "--out", str(lost), *place])
    assert failed.exit_code != 0


@pytest.mark.slow
def test_a_case_that_was_cleared_gives_no_reasons(store: Store) -> None:
    said = {"who": "bo", "why": "seen", "now_us": NOW_US}
    for verdict in (Verdict.FALSE, Verdict.PERMITTED):
        handling.judge(store, only(store), verdict, **said)  # type: ignore[arg-type]
        with pytest.raises(CaseError, match=f"judged {verdict}"):
            reasons(store)
    handling.judge(store, only(store), Verdict.TRUE, **said)  # type: ignore[arg-type]
    assert "A person judged it on" in reasons(store)


def test_names_and_wording_of_clients_do_nothing_where_the_statement_is_shown(tmp_path: Path) -> None:
    hostile = "a`<img src=x onerror=alert(1)>`[pay](https://evil.example) *now* | &lt; \x1b[31m\n# x\ud800"
    who = [hostile, *names(1, 12)]
    text = "used ![m](//evil.example/p) `<script>` | x"
    links = tuple(Link(a, "sw-1", "pivot", 9.0, text, "client") for a in who)
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as made:
        attach(made, tmp_path / "audit.key")
        told = replace(campaign("sw-1", who, reasons=[RAISED, WORDED, NETWORK]), links=links)
        fold(made, result(told), NOW_US, "scan")
        written = reasons(made, hostile)
    assert "\x1b" not in written
    assert written.encode()
    assert "\n# x" not in written
    shown = re.sub(r"\\.", "", "".join(line for line in written.splitlines() if not line.startswith("|")))
    assert not [mark for mark in "<`[*&|" if mark in shown]
    assert "evil.example" in shown
