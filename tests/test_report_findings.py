"""findings.json: its schema's guarantees, and the refusal of an incomplete one."""

import dataclasses
import io
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from rich.console import Console

from stillwatch.errors import InputError
from stillwatch.report.findings import evidence_json, findings_json, load, schema, to_text, write
from stillwatch.report.page import render
from stillwatch.report.terminal import print_result
from stillwatch.scan import SeenWindow
from stillwatch.scan.seen_window import window_sentences
from test_report_world import HOSTILE, empty, leads, result

KEYS = {
    "": ["stillwatch", "scanned", "judged", "campaigns", "accounts", "leads"],
    "scanned": ["exchanges", "accounts", "first", "last", "rejected", "seconds"],
    "campaign": [
        "id",
        "alarm_at",
        "p_value",
        "score_bits",
        "accounts",
        "harvest",
        "harvest_at_alarm",
        "reasons",
        "benign_alternatives",
        "suppressed_by",
    ],
    "account": ["account", "p_value", "campaign", "kind_of_use"],
    "lead": ["id", "since", "p_value", "accounts", "exchanges", "hands", "text", "answer_tokens"],
}


@pytest.mark.slow
@pytest.mark.parametrize("made", [result(300), empty()], ids=["full", "empty"])
def test_findings_have_exactly_the_keys_of_the_contract_in_its_order(made) -> None:
    document = findings_json(made)
    assert list(document) == KEYS[""]
    assert list(document["scanned"]) == KEYS["scanned"]
    for c in document["campaigns"]:
        assert list(c) == KEYS["campaign"]
        assert list(c["harvest"]) == list(c["harvest_at_alarm"]) == ["exchanges", "output_tokens"]
        assert all(list(r) == ["detector", "text", "bits"] for r in c["reasons"])
        assert all(list(b) == ["kind", "text"] for b in c["benign_alternatives"])
    assert all(list(a) == KEYS["account"] for a in document["accounts"])
    Draft202012Validator.check_schema(schema())
    Draft202012Validator(schema()).validate(json.loads(to_text(document)))


@pytest.mark.parametrize("extra", ["", "scanned", "campaign", "harvest", "reason", "account"])
def test_the_schema_refuses_a_key_more(extra: str) -> None:
    document = findings_json(result(300))
    places = {
        "": document,
        "scanned": document["scanned"],
        "campaign": document["campaigns"][0],
        "harvest": document["campaigns"][0]["harvest"],
        "reason": document["campaigns"][0]["reasons"][0],
        "account": document["accounts"][0],
    }
    places[extra]["more"] = 1
    assert not Draft202012Validator(schema()).is_valid(document)


def test_the_files_are_ascii_without_nan_and_the_order_of_what_came_in_does_not_matter(
    tmp_path: Path,
) -> None:
    made, rng = result(300), random.Random(1)
    shuffled = dataclasses.replace(
        made,
        campaigns=tuple(
            dataclasses.replace(
                c,
                accounts=tuple(rng.sample(c.accounts, len(c.accounts))),
                links=tuple(rng.sample(c.links, len(c.links))),
                reasons=c.reasons[::-1],
                timeline=c.timeline[::-1],
                named_at=dict(rng.sample(sorted(c.named_at.items()), len(c.named_at))),
            )
            for c in made.campaigns[::-1]
        ),
        accounts=made.accounts[::-1],
        scanned=dataclasses.replace(made.scanned, seconds=99.0),
    )
    write(made, tmp_path / "a")
    write(shuffled, tmp_path / "b")
    one, two = (tmp_path / x / "findings.json" for x in "ab")
    assert one.read_text("ascii").replace("12.346", "99.0") == two.read_text("ascii")
    evidence = (tmp_path / "a/evidence.json").read_text("ascii")
    assert evidence == (tmp_path / "b/evidence.json").read_text("ascii")
    assert "NaN" not in evidence
    assert "\x1b" not in evidence


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    made = result(300)
    paths = write(made, tmp_path / "deep" / "report")
    again = load(tmp_path / "deep" / "report")
    assert findings_json(again) == findings_json(made)
    assert evidence_json(again) == evidence_json(made)
    assert {a.account for a in again.accounts} >= set(HOSTILE)
    by_id = {c.id: c for c in again.campaigns}
    for c in made.campaigns:
        assert by_id[c.id].named_at == c.named_at
        assert by_id[c.id].timeline == c.timeline
        assert by_id[c.id].tested == c.tested
        assert set(by_id[c.id].links) == set(c.links)
    assert sorted(p.name for p in paths.findings.parent.iterdir()) == ["evidence.json", "findings.json"]


@pytest.mark.slow
def test_leads_are_read_back(tmp_path: Path) -> None:
    made = dataclasses.replace(result(300), leads=leads(4))
    Draft202012Validator(schema()).validate(findings_json(made))
    assert [list(lead) for lead in findings_json(made)["leads"]] == [KEYS["lead"]] * 4
    write(made, tmp_path)
    assert load(tmp_path).leads == made.leads


def test_what_a_live_scan_could_not_see_is_a_key_of_its_own_and_on_the_page_and_read_back(
    tmp_path: Path,
) -> None:
    at = datetime(2026, 5, 1, 4, tzinfo=UTC)
    window = SeenWindow(5.0, 10.0, 1.0, at, 3, 4, ((at, at + timedelta(minutes=30)),), 5, 6)
    said = window_sentences(window)
    made = dataclasses.replace(empty(), window=window, cannot_claim=said)
    document = findings_json(made)
    Draft202012Validator(schema()).validate(json.loads(to_text(document)))
    assert list(document) == [*KEYS[""], "window"]
    assert document["window"]["text"] == list(said)
    assert len(said) == 6
    write(made, tmp_path)
    assert load(tmp_path).window == window
    console = Console(file=io.StringIO(), width=2000)
    print_result(made, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for text in (render(made), printed):
        assert (
            "No campaign found in 0 exchanges of 0 accounts. Memory reaches back 1.0 of the 10 days" in text
        )
        assert all(one in text for one in said)


def test_floats_are_cut_to_digits_that_survive_another_order_of_summing() -> None:
    made = result(300)
    nearly = dataclasses.replace(
        made,
        campaigns=tuple(dataclasses.replace(c, score_bits=c.score_bits + 1e-12) for c in made.campaigns),
    )
    assert findings_json(nearly) == findings_json(made)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_a_finding_without_a_finite_number_is_refused_and_nothing_is_written(value, tmp_path: Path) -> None:
    made = result(300)
    broken = dataclasses.replace(made.campaigns[0], p_value=value)
    with pytest.raises(ValueError, match="must carry a finite number"):
        write(dataclasses.replace(made, campaigns=(broken,)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_time_without_a_zone_is_refused() -> None:
    broken = dataclasses.replace(result(300).campaigns[0], alarm_at=datetime(2026, 3, 1))  # noqa: DTZ001 - the fault under test
    with pytest.raises(ValueError, match="no zone"):
        findings_json(dataclasses.replace(empty(), campaigns=(broken,)))
    assert datetime.fromisoformat(findings_json(result(300))["scanned"]["first"]).tzinfo == UTC


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("findings.json", None, "no such file; run `stillwatch scan"),
        ("evidence.json", None, "no such file"),
        ("findings.json", "{", "not a report that can be read"),
        ("findings.json", "[]", "not written by stillwatch scan"),
        ("evidence.json", '{"stillwatch": "0.1.0"}', "not a whole report"),
    ],
)
def test_a_report_that_is_not_whole_is_refused_with_its_place(name, text, says, tmp_path: Path) -> None:
    write(result(300), tmp_path)
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=says) as refused:
        load(tmp_path)
    assert str(tmp_path) in str(refused.value)


@pytest.mark.slow
def test_two_files_of_two_scans_are_noticed(tmp_path: Path) -> None:
    write(result(300), tmp_path)
    write(result(301), tmp_path / "other")
    (tmp_path / "other/findings.json").replace(tmp_path / "findings.json")
    with pytest.raises(InputError, match="not of one scan"):
        load(tmp_path)
