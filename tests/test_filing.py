"""A report to a body in which providers share incidents: its content, what it omits, and its release."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cases_world import NETWORK, NOW_US, RAISED, WORDED, campaign, names, only, result
from stillwatch.cases import Verdict, handling
from stillwatch.cases.audit.reading import read
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.filing import FilingTerms, prepare_filing
from stillwatch.cases.exports.marking import Tlp
from stillwatch.cases.fold import fold
from stillwatch.cases.store import Store
from stillwatch.cli.main import app
from stillwatch.scan import BenignAlternative

MEMBERS = names(0, 12)
HOSTILE = "60 phrases <script>alert(1)</script> [a](https://evil.example) | `x`"
GIVEN = FilingTerms(
    "Alpha Inc., provider", "vesper-3 over its API", "abuse@alpha.example", "blocked on 3 May"
)
SAID: dict[str, Any] = {"who": "bo", "why": "seen", "now_us": NOW_US}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A case of twelve accounts; one reason names an account, one contains active content for a page."""
    reasons = [RAISED, replace(WORDED, text=HOSTILE), replace(NETWORK, text=f"shared with {MEMBERS[3]}")]
    group = campaign("sw-1", MEMBERS, reasons=reasons)
    told = replace(
        group, benign_alternatives=(BenignAlternative("one organisation", "not checked: no table"),)
    )
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as made:
        attach(made, tmp_path / "audit.key")
        fold(made, result(told), NOW_US, "scan")
        yield made


def report(store: Store, given: FilingTerms = GIVEN, **more: Any) -> str:
    ready, _ = prepare_filing(store, only(store), given, Tlp.AMBER, now_us=NOW_US, **more)
    assert ready.leaving.marking == "amber"
    assert not ready.leaving.names_accounts
    return ready.data.decode()


@pytest.mark.slow
def test_only_what_was_judged_true_leaves_or_for_a_reason_on_the_trail(store: Store) -> None:
    with pytest.raises(ExportError, match="nobody has judged"):
        report(store)
    assert "Nobody has judged the case" in report(store, unjudged="counsel asks")
    handling.judge(store, only(store), Verdict.TRUE, **SAID)
    assert "A person judged the case true" in report(store)
    handling.judge(store, only(store), Verdict.FALSE, **SAID)
    with pytest.raises(ExportError, match="judged false"):
        report(store, unjudged="counsel asks")


def test_it_says_what_was_asked_for_how_it_is_known_and_how_often_that_is_wrong(store: Store) -> None:
    handling.judge(store, only(store), Verdict.TRUE, **SAID)
    text = report(store)
    for part in (
        *vars(GIVEN).values(),
        "12 accounts suspected",
        "AML.T0024.002",
        "not claimed, a log does not",
    ):
        assert part in text
    for heading in ("How often such evidence is wrong", "Honest explanations", "What is not claimed"):
        assert f"## {heading}" in text
    told = json.loads(report(store, as_json=True))
    assert told["format"] == "stillwatch.filing/1"
    assert told["principals"] == {"suspected": 12, "victims": 0, "cleared": 0}
    assert told["volume"]["exchanges"] > 0


@pytest.mark.slow
def test_it_names_no_account_and_nothing_in_it_acts(store: Store) -> None:
    handling.judge(store, only(store), Verdict.TRUE, **SAID)
    for text in (report(store), report(store, as_json=True)):
        assert not [name for name in MEMBERS if name in text]
    shown = re.sub(r"\\.", "", "".join(li for li in report(store).splitlines() if not li.startswith("|")))
    assert "script" in shown
    assert not set("<`[|") & set(shown.replace("**", ""))


def test_a_reason_that_names_an_account_is_counted_and_none_is_lost_to_short_names(tmp_path: Path) -> None:
    """Accounts named 12 or e occur in every sentence: that must not empty a report."""
    members = ("12", "e", "acct-secret", *names(3, 12))
    reasons = [
        RAISED,
        replace(WORDED, text="12 of 12 accounts share a phrase"),
        replace(NETWORK, text="of acct-secret"),
    ]
    with Store(f"sqlite:///{tmp_path / 'cases.db'}") as made:
        attach(made, tmp_path / "audit.key")
        fold(made, result(campaign("sw-1", members, reasons=reasons)), NOW_US, "scan")
        text = report(made, unjudged="counsel asks")
    assert "12 of 12 accounts share a phrase" in text
    assert "acct-secret" not in text
    assert "Left out, as they name accounts: 1 reason." in text


@pytest.mark.slow
def test_the_command_asks_writes_records_and_names_the_blanks(store: Store, tmp_path: Path) -> None:
    place = ["--cases", store.url.render_as_string(), "--audit-key", str(tmp_path / "audit.key")]
    out = tmp_path / "report.md"
    words = ["case", "filing", only(store), "--out", str(out), "--unjudged", "counsel asks", *place]
    asked = CliRunner().invoke(app, words)
    assert (asked.exit_code, out.exists()) == (2, False)  # nobody is there to say yes
    done = CliRunner().invoke(app, [*words, "--reporter", "Alpha Inc.", "--yes"])
    assert done.exit_code == 0, done.output
    assert "give --target --contact --response" in done.stderr
    assert out.read_text("utf-8").startswith("# Incident report")
    assert CliRunner().invoke(app, [*words, "--tlp", "red", "--yes"]).exit_code == 2
    with store.reading() as db:
        newest = read(db, limit=1, opened=True)[0]
    assert '"filing"' in json.dumps(newest.detail)
