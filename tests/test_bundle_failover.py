"""A bundle of a finding by refused work: moved texts are counted again from the events."""

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from bundle_world import NOW_US, export, scan_crowd
from scan_world import Crowd
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.bundle import recompute
from stillwatch.cases.bundle.claimed import claims
from stillwatch.cases.bundle.gather import ScannedLog
from stillwatch.cases.evidence import inputs_of
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter, queue
from stillwatch.cases.store import Store
from test_bundle import document, each, lines, resigned
from test_failover import refuse
from test_source_leads import crowd_of, users_of_new_wording

pytestmark = pytest.mark.slow


def exported(crowd: Crowd, folder: Path) -> Path:
    crowd.rows.sort(key=lambda row: row["time"])
    log, accounts, result = scan_crowd(crowd, folder)
    out = folder / "evidence"
    with Store(f"sqlite:///{folder}/cases.db") as store:
        attach(store, folder / "audit.key")
        fold(store, result, NOW_US, "scan", inputs=inputs_of([log, accounts]))
        case = queue(store, Filter(), NOW_US).cases[0].id
        export(store, case, out, who="ann", now_us=NOW_US + 1, log=ScannedLog([log], accounts))
    return out


@pytest.fixture(scope="module", params=["a lead", "nothing but refused work"])
def bundle(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    if request.param == "a lead":
        crowd = crowd_of(41)
        refuse(crowd, users_of_new_wording(crowd, own_subjects=False), 16, 0.8)
    else:
        crowd = crowd_of(43)
        refuse(crowd, set(sorted({row["account"] for row in crowd.rows})[::13][:14]), 40, 0.9)
    return exported(crowd, tmp_path_factory.mktemp("failover"))


def test_what_each_account_was_refused_and_took_over_is_counted_again(bundle: Path) -> None:
    stated = {claim["name"]: claim for claim in lines(bundle, "claims.ndjson")}
    own = {name: claim for name, claim in stated.items() if name.startswith("reaction.")}
    assert len(own) > 4 * 5
    assert all(claim["why_not"] is None for claim in own.values()), own
    moved = stated["reason.failover.moved_here"]["stated"]
    assert moved == sum(c["stated"] for name, c in own.items() if name.endswith(".repeated"))
    assert moved == sum(c["stated"] for name, c in own.items() if name.endswith(".taken_over"))
    assert moved >= 8
    assert stated["reason.failover.refused_here"]["stated"] <= stated["reason.failover.n"]["stated"]
    assert stated["reason.failover.p_here"]["stated"] < 1e-6


def without_rate(finding: dict[str, Any]) -> None:
    """Make the finding one of a scan that did not state how often other texts move."""
    campaign = finding["campaign"]
    for reason, numbers in zip(campaign["finding"]["reasons"], campaign["evidence"]["reasons"], strict=True):
        if reason["detector"] == "failover":
            numbers["baseline"] = None


def test_a_finding_that_states_no_rate_is_taken_as_stated(bundle: Path) -> None:
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.glob("*.*json")}
    document("finding.json", without_rate)(files)
    own = {claim["name"]: claim for claim in claims(files) if claim["name"].startswith("reaction.")}
    assert own
    assert all(claim["by"] == "finding" and claim["why_not"] for claim in own.values())


def of_a_larger_group(finding: dict[str, Any]) -> None:
    """Make the finding one whose test of refused work included one account that it does not name."""
    campaign = finding["campaign"]
    for reason, numbers in zip(campaign["finding"]["reasons"], campaign["evidence"]["reasons"], strict=True):
        if reason["detector"] == "failover":
            numbers["n"] += 1


def test_what_moved_in_a_larger_group_is_taken_as_stated(bundle: Path) -> None:
    """Such an honest bundle was once rejected."""
    files = {path.relative_to(bundle).as_posix(): path.read_bytes() for path in bundle.glob("*.*json")}
    document("finding.json", of_a_larger_group)(files)
    own = defaultdict(set)
    for claim in claims(files):
        if claim["name"].startswith("reaction."):
            own[claim["name"].rpartition(".")[2]].add(claim["why_not"])
    assert own["refused"] == {None}
    assert own["repeated"] == own["taken_over"] == {recompute.WHY_NOT["reaction"]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("events.ndjson", lambda row: {"s": 200} if row["t"] % 3 == 0 else {}), "claim reaction."),
        (
            ("events.ndjson", lambda row: {"s": 429} if row["t"] % 3 == 0 else {}),
            "claim reason.failover.refused_here",
        ),
        (("accounts.ndjson", lambda row: {"customer": 0}), "claim reason.failover.moved_here"),
    ],
)
def test_refusals_and_customers_that_are_changed_are_named(
    bundle: Path, tmp_path: Path, change: tuple, expected: str
) -> None:
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    found = resigned(copy, each(*change))
    assert any(sentence.startswith(expected) for sentence in found), found
