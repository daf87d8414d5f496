"""A report in a terminal: short, complete, and harmless for any account name."""

import dataclasses
import io
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from stillwatch.errors import InputError
from stillwatch.report.explain import explain, print_explanation
from stillwatch.report.terminal import LEADS, print_result, progress
from stillwatch.report.visible import visible
from test_report_world import HOSTILE, empty, leads, result

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def console(width: int = 110, terminal: bool = False, encoding: str = "utf-8") -> Console:
    raw = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="")
    return Console(file=raw, width=width, force_terminal=terminal, legacy_windows=False, _environ={})


def printed(made: Console) -> str:
    made.file.flush()
    return made.file.buffer.getvalue().decode(made.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", [80, 100, 130, 160])
def test_the_table_fits_and_no_name_acts(width: int, terminal: bool) -> None:
    made = console(width, terminal)
    print_result(result(300), made, None)
    text = COLOUR.sub("", printed(made))
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "\u202e" not in text
    assert all(cell_len(line) <= width for line in text.splitlines())
    text = " ".join(text.split())
    assert "c-7f3a19" in text
    assert "214,000" in text
    assert "3.1e-09" in text
    assert "nobody else" in text
    assert "37 lines could not be read" in text
    assert "What this scan cannot claim" in text
    assert text.index("c-7f3a19") < text.index("c-b20d55") < text.index("Suppressed campaigns")


def test_without_a_terminal_there_is_no_escape_and_ascii_is_enough() -> None:
    made = console(120, encoding="ascii")
    print_result(result(300), made, None)
    assert "\x1b" not in printed(made)
    print_explanation(explain(result(300), HOSTILE[0]), made)


def test_markup_in_names_is_printed_as_it_stands() -> None:
    made = console(160)
    print_explanation(explain(result(300), HOSTILE[11]), made)
    assert "[bold red]rich[/] :skull:" in printed(made)


def test_an_empty_scan_is_said_to_be_one() -> None:
    made = console()
    print_result(empty(), made)
    assert "No campaign found in 0 exchanges of 0 accounts." in printed(made)


@pytest.mark.parametrize("width", [80, 110, 160])
def test_leads_are_a_short_table_that_accuses_nobody(width: int) -> None:
    made = console(width)
    print_result(dataclasses.replace(empty(), leads=leads(LEADS + 3)), made)
    text = printed(made)
    assert all(cell_len(line) <= width for line in text.splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert f"{LEADS + 3} leads (they accuse nobody)" in text.split("Scanned")[0]  # in the headline
    assert text.startswith("No campaign found")
    table = text[text.rindex("leads (they accuse nobody)") :]
    assert table.count("lead-0") == LEADS
    assert "... 3 more in findings.json" in table
    assert table.index("lead-0012") < table.index("lead-0011")  # most exchanges first
    assert "03-04 12:00" in table


def test_beside_campaigns_leads_are_not_in_the_headline(tmp_path) -> None:
    made = console()
    print_result(dataclasses.replace(result(300), leads=leads(1)), made, tmp_path / "index.html")
    text = printed(made)
    assert "lead" not in text.split("Scanned")[0]
    assert "1 lead (it accuses nobody)" in text
    assert text.index("Strongest reason") < text.index("1 lead (it") < text.index("Suppressed campaigns")
    assert "Next: stillwatch explain c-7f3a19" in text
    made = console()
    print_result(dataclasses.replace(empty(), leads=leads(1)), made, tmp_path / "index.html")
    assert "Next: stillwatch explain lead-0000" in printed(made)
    made = console()
    print_result(result(300), made)
    assert "lead" not in printed(made)


def test_the_page_is_named_on_one_line(tmp_path) -> None:
    made = console(80)
    page = tmp_path / ("deep" * 30) / "index.html"
    print_result(empty(), made, page)
    assert f"Page: {page}" in printed(made).splitlines()


@pytest.mark.parametrize(("terminal", "quiet"), [(False, False), (True, True)])
def test_progress_is_silent_when_nobody_watches(terminal: bool, quiet: bool) -> None:
    made = console(terminal=terminal)
    with progress(made, quiet=quiet) as tell:
        tell("read", 1, 10)
    assert printed(made) == ""


def test_progress_shows_each_stage() -> None:
    made = console(terminal=True)
    with progress(made) as tell:
        tell("read", 0, None)
        tell("read", 5, None)
        tell("clues [red]", 3, 10)
        tell("clues [red]", 10, 10)
    text = COLOUR.sub("", printed(made))
    assert "read" in text
    assert "clues [red]" in text
    assert "10/10" in text


# --- explain


def said(subject: str, width: int = 110) -> str:
    made = console(width)
    print_explanation(explain(result(300), subject), made)
    return printed(made)


def test_a_campaign_is_explained_with_numbers_baseline_and_who_controls_each_clue() -> None:
    text = said("c-b20")
    numbers = ("Campaign c-b20d55", "median", "p95", "0.71", "9,457", "Sky-T1")
    control = ("observed by us", "chosen by the client", "What would make it honest")
    for words in numbers + control:
        assert words in text
    e = explain(result(300), "c-b20d55")
    assert e.sort == "campaign"
    assert len(e.links) > 40
    assert [k.bits for k in e.links] == sorted((k.bits for k in e.links), reverse=True)


def test_an_account_in_a_campaign_is_explained_by_its_own_links() -> None:
    e = explain(result(300), "org1-key-05")
    assert e.campaign
    assert e.campaign.id == "c-b20d55"
    assert e.named_at
    assert e.links
    assert all("org1-key-05" in (k.a, k.b) for k in e.links)
    assert "Named in campaign c-b20d55, at 2026-03-0" in said("org1-key-05")


def test_an_honest_account_is_explained_by_its_kind_and_what_it_was_compared_with() -> None:
    v = next(a for a in result(300).accounts if a.kind_of_use == "batch")
    e = explain(result(300), v.account)
    assert e.campaign is None
    assert not e.links
    alike = [a.p_value for a in result(300).accounts if a.kind_of_use == "batch" and a.p_value is not None]
    assert f"Of {len(alike):,} p-values of accounts of its kind (batch), " in e.compared_with[1]
    assert f"{sum(p < v.p_value for p in alike):,} " in e.compared_with[1]
    text = said(v.account)
    assert "It is in no campaign." in text
    assert v.kind_evidence.split(";")[0] in text


def test_an_account_without_a_p_value_is_said_to_have_none() -> None:
    v = next(a for a in result(300).accounts if a.p_value is None)
    assert "It has no p-value" in said(v.account)


@pytest.mark.parametrize("name", [n for n in HOSTILE if n], ids=str)
def test_a_hostile_name_is_found_as_it_is_and_as_it_is_shown(name: str) -> None:
    assert explain(result(300), name).subject == name
    assert explain(result(300), visible(name, 1000)).subject == name
    assert "\x1b" not in said(name)
    assert "\u202e" not in said(name)


@pytest.mark.parametrize(
    ("subject", "says"),
    [
        ("cust-99999", r"no such account, campaign or lead in this report; near it: cust-"),
        ("c-7f3a18", r"near it: .*c-7f3a19"),
        ("zzzzzz", "no name is near it"),
        ("acct_04", r"300 subjects begin so \(acct_040000, "),
        ("bad\x1b[2Jname", r"bad\\x1b\[2Jname: no such"),
        ("campaign:org1-key-05", "no such account, campaign or lead"),
    ],
)
def test_an_unknown_subject_is_refused_with_names_near_it(subject: str, says: str) -> None:
    with pytest.raises(InputError, match=says) as refused:
        explain(result(300), subject)
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    ("number", "content", "wanting"),
    [
        (0, "as it does with people", "no candidates for holds"),
        (1, "as if it came from one source", "Shared payment"),
        (2, "too few sessions", "More sessions"),
    ],
)
def test_a_lead_is_explained(number: int, content: str, wanting: str) -> None:
    with_leads = dataclasses.replace(result(300), leads=leads(3))
    lead = with_leads.leads[number]
    e = explain(with_leads, lead.id)
    assert (e.sort, e.leads, e.campaign) == ("lead", (lead,), None)
    made = console(200)
    print_explanation(e, made)
    text = " ".join(printed(made).split())
    for words in (
        f"Lead {lead.id}: it accuses nobody",
        "since 2026-03-04T",
        "p = 2.0e-05 of its settings alone",
        content,
        "Why it is no finding",
        "What could turn it into a finding",
        wanting,
        visible(lead.accounts[0], 200),
    ):
        assert words in text
    assert ("Randomised holds" in text) == (lead.hands != "many")
    assert "\x1b" not in text


def test_an_account_in_a_lead_is_said_to_be_accused_of_nothing() -> None:
    with_leads = dataclasses.replace(result(300), leads=leads(3))
    made = console()
    print_explanation(explain(with_leads, "cust-0005"), made)
    text = printed(made)
    assert text.count("which accuses nobody") == 1
    assert "It is in lead lead-0001, which accuses nobody." in text
    assert "It is in no campaign." in text
    assert "in lead" not in said("cust-0005")


def test_a_lead_and_an_account_of_one_name_are_told_apart() -> None:
    made = result(300)
    account = dataclasses.replace(made.accounts[0], account="lead-0001", campaign=None)
    shadow = dataclasses.replace(made, accounts=(*made.accounts, account), leads=leads(3))
    with pytest.raises(InputError, match="write lead:NAME or account:NAME"):
        explain(shadow, "lead-0001")
    assert explain(shadow, "lead:lead-0001").sort == "lead"
    assert explain(shadow, "account:lead-0001").sort == "account"


def test_an_account_that_hides_behind_a_campaigns_name_can_be_asked_for() -> None:
    made = result(300)
    first = dataclasses.replace(made.accounts[0], account="c-b20d55", campaign=None)
    shadow = dataclasses.replace(made, accounts=(*made.accounts, first))
    with pytest.raises(InputError, match="write campaign:NAME or account:NAME"):
        explain(shadow, "c-b20d55")
    assert explain(shadow, "account:c-b20d55").sort == "account"
    assert explain(shadow, "campaign:c-b20d55").sort == "campaign"
