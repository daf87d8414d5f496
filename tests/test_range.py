"""The scorer compared with hand-worked figures and the reference; the composer with its guarantees."""

import importlib.util
import json
import math
import random
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.range.linkage import linkage
from stillwatch.range.score import score

SHARED = Path("/work/shared/range")
TINY = json.loads((Path(__file__).parent / "data" / "range" / "tiny.json").read_text())
EXCHANGES = pa.schema(
    [
        ("exchange_id", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("account", pa.string()),
        ("output_tokens", pa.int32()),
        ("status", pa.int16()),
    ]
)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """The hand-made scene as the Parquet files of a scene."""
    truth = [dict(zip(("account", "kind", "campaign", "style"), row, strict=True)) for row in TINY["truth"]]
    rows = [
        {
            "exchange_id": key,
            "account": account,
            "time": datetime.fromisoformat(time),
            "output_tokens": tokens,
            "status": status,
        }
        for key, account, time, tokens, status, _ in TINY["exchanges"]
    ]
    marks = [{"exchange_id": row[0], "campaign": row[5]} for row in TINY["exchanges"] if row[5]]
    pq.write_table(pa.Table.from_pylist(truth), tmp_path / "truth.parquet")
    pq.write_table(pa.Table.from_pylist(rows, EXCHANGES), tmp_path / "exchanges.parquet")
    pq.write_table(pa.Table.from_pylist(marks), tmp_path / "truth_exchanges.parquet")
    return tmp_path


def test_the_hand_made_scene_scores_as_worked_out(tiny: Path) -> None:
    got = score(TINY["findings"], tiny, evidence=TINY["evidence"])
    k, campaign_l = got.rows
    # seven of k's eight exchanges were answered; two were before F1, both from p
    assert (k.n, k.harvest, k.harvest_tokens, k.harvest_share) == (7, 2, 20, 0.2857)
    assert (k.alarm_at, k.named, k.named_share, k.lost_share) == ("2026-01-12T02:00:00+00:00", 3, 1.0, 0.2857)
    assert (campaign_l.n, campaign_l.caught, campaign_l.harvest, campaign_l.lost_share) == (2, False, 2, 1.0)
    assert got.by_style == {"drip": "1/1", "loud_single": "0/1"}
    assert got.total_share_lost == pytest.approx(4 / 9)
    # p stops at F2's alarm (03:30; F1 named it only at 04:00), q immediately, r when F2 named it
    assert got.lost_if_stopped_when_named == pytest.approx((4 + 0 + 1 + 2) / 9)
    assert (got.half_named, got.named_accounts, got.campaign_accounts) == (1, 3, 4)
    assert (got.findings, got.false_cases, got.false_cases_permitted_synthetic) == (4, 1, 1)
    assert (got.benign_active_account_days, got.account_days_of_existence) == (4, 42)
    assert got.false_per_10k_active_account_days == 2500.0
    assert got.false_per_10k_week2_active_account_days == 5000.0
    assert got.false_per_10k_account_days_of_existence == 238.1
    assert {k: asdict(v) for k, v in got.false_by_kind.items()} == {"rag": {"cases": 1, "per_10k": 10000.0}}
    assert got.benign_named_by_kind == {"chat": 1, "rag": 1, "synthetic_permitted": 1}
    assert (got.benign_named, got.permitted_named, got.honest_in_true_findings) == (2, 1, 1)
    assert (got.pair_precision, got.pair_recall) == (1 / 2, 1 / 3)
    assert got.bcubed_precision == pytest.approx(6 / 7)
    assert got.bcubed_recall == pytest.approx(17 / 21)
    assert got.bcubed_f1 == pytest.approx(612 / 735)
    assert got.harvest_exchanges_all == got.harvest_exchanges_caught
    assert (got.big, got.exposed_big) == (0, 0)


def test_without_findings_everything_is_lost(tiny: Path) -> None:
    got = score({"campaigns": []}, tiny)
    assert (got.caught, got.total_share_lost, got.lost_if_named_accounts_are_stopped) == (0, 1.0, 1.0)
    assert got.harvest_exchanges_caught is None
    assert "never" in got.table()


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    if not (SHARED / "score.py").exists():
        pytest.skip("the reference scorer is not at hand")
    spec = importlib.util.spec_from_file_location("reference_score", SHARED / "score.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def agrees(ours: Any, theirs: Any) -> bool:
    """Equal, with NaN for None and a tolerance for the last digit of sums."""
    if isinstance(theirs, dict):
        return bool(ours.keys() == theirs.keys()) and all(agrees(ours[key], theirs[key]) for key in theirs)
    if theirs is None or (isinstance(theirs, float) and math.isnan(theirs)):
        return ours is None
    if isinstance(theirs, float):
        return ours is not None and math.isclose(ours, theirs, rel_tol=1e-12, abs_tol=1e-12)
    return bool(ours == theirs)


def some_findings(truth: list[dict[str, Any]], seed: int) -> dict[str, Any]:
    """Findings with campaigns, honest accounts, permitted ones, and unknown accounts."""
    draw = random.Random(seed)
    everyone = [row["account"] for row in truth]
    campaigns = sorted({row["campaign"] for row in truth if row["campaign"]})
    permitted = [row["account"] for row in truth if row["kind"] == "synthetic_permitted"]
    listed = []
    for i in range(draw.choice([0, 1, 6, 25])):
        accounts: list[str] = []
        if campaigns and draw.random() < 0.6:
            one = draw.choice(campaigns)
            members = [row["account"] for row in truth if row["campaign"] == one]
            accounts += draw.sample(members, draw.randint(0, len(members)))
        if draw.random() < 0.6:
            accounts += draw.sample(everyone, draw.randint(1, min(25, len(everyone))))
        if draw.random() < 0.2:
            accounts = permitted + accounts[:1]
        accounts += accounts[:1] + (["nobody"] if draw.random() < 0.3 else [])
        zone = draw.choice(["", "Z", "+05:30"])
        when = f"2026-03-{draw.randint(2, 15):02}T{draw.randrange(24):02}:15:00{zone}"
        listed.append(
            {"id": str(i), "alarm_at": when, "accounts": accounts, "score": draw.choice([None, 1, 2.5, 9])}
        )
    return {"campaigns": listed}


def assert_agreement(reference: ModuleType, findings: dict[str, Any], scene: Path) -> None:
    theirs, table = reference.score(findings, scene, scene / "exchanges.parquet")
    ours = score(findings, scene)
    figures = ours.as_dict()
    assert list(figures) == list(theirs)
    assert {k: (figures[k], theirs[k]) for k in theirs if not agrees(figures[k], theirs[k])} == {}
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    assert len(rows) == len(ours.rows)
    assert all(agrees(asdict(row), want) for row, want in zip(ours.rows, rows, strict=True))


def test_agrees_with_the_reference_on_the_hand_made_scene(reference: ModuleType, tiny: Path) -> None:
    assert_agreement(reference, TINY["findings"], tiny)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_agrees_with_the_reference_on_random_findings(reference: ModuleType, seed: int) -> None:
    scene = SHARED / "sample"
    truth = pq.read_table(scene / "truth.parquet").to_pylist()
    assert_agreement(reference, some_findings(truth, seed), scene)


groupings = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=30)


@pytest.mark.slow
@given(groupings)
def test_linkage_equals_its_definition_pair_by_pair(labels: list[tuple[int, int]]) -> None:
    got = linkage([f for f, _ in labels], [t for _, t in labels])
    n = range(len(labels))
    together = [(i, j) for i in n for j in n if i < j and labels[i][0] == labels[j][0]]
    belonging = [(i, j) for i in n for j in n if i < j and labels[i][1] == labels[j][1]]
    both = len(set(together) & set(belonging))
    assert got.pair_precision == (both / len(together) if together else None)
    assert got.pair_recall == (both / len(belonging) if belonging else None)
    precision = [
        np.mean([labels[j][1] == labels[i][1] for j in n if labels[j][0] == labels[i][0]]) for i in n
    ]
    assert got.bcubed_precision == pytest.approx(np.mean(precision))


# --- the command


def test_the_command_prints_the_table_and_json(tiny: Path) -> None:
    out = tiny / "report"
    out.mkdir()
    (out / "findings.json").write_text(json.dumps(TINY["findings"]))
    (out / "evidence.json").write_text(json.dumps(TINY["evidence"]))
    shown = CliRunner().invoke(app, ["range", "score", str(out), str(tiny)])
    assert shown.exit_code == 0
    assert "exposed" in shown.output
    printed = json.loads(CliRunner().invoke(app, ["range", "score", str(out), str(tiny), "--json"]).output)
    assert printed["bcubed_f1"] == pytest.approx(612 / 735)
    assert printed["beyond"]["lost_if_stopped_when_named"] == pytest.approx(7 / 9)
    assert [row["campaign"] for row in printed["rows"]] == ["k", "l"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("{", "not JSON"),
        ("[]", "no JSON object"),
        ('{"campaigns": 3}', "no list"),
        ('{"campaigns": [{"alarm_at": "2026-01-12"}]}', "no list of account names"),
        ('{"campaigns": [{"accounts": ["p"]}]}', "no alarm_at"),
        ('{"campaigns": [{"accounts": ["p"], "alarm_at": "noon"}]}', "no ISO time"),
        ('{"campaigns": [{"accounts": ["p"], "alarm_at": "2026-01-12", "score": "x"}]}', "no number"),
    ],
)
def test_bad_findings_are_refused_with_a_reason(tiny: Path, content: str, complaint: str) -> None:
    file = tiny / "findings.json"
    file.write_text(content)
    shown = CliRunner().invoke(app, ["range", "score", str(file), str(tiny)])
    assert shown.exit_code == 2
    assert complaint in shown.output


def test_a_scene_that_is_none_is_refused(tiny: Path) -> None:
    (tiny / "truth.parquet").write_text("no parquet")
    with pytest.raises(InputError, match=r"truth\.parquet is no Parquet file"):
        score({"campaigns": []}, tiny)
    with pytest.raises(InputError, match="does not exist"):
        score({"campaigns": []}, tiny / "nowhere")
