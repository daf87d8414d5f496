"""The table of benchmarks/other_worlds.py: its worlds, its figures, and its places in pages."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import other_worlds as other
import pages
from other_worlds import World

BEGIN = datetime(2026, 8, 3, tzinfo=UTC)
HONEST = [(f"h{k}", "plugin" if k < 6 else "chat") for k in range(10)]
POOL = [f"p{k}" for k in range(4)]


def written(folder: Path, *, campaign: bool = True) -> Path:
    """A world of ten honest accounts, one with a permission, and a campaign of four; one request a day."""
    folder.mkdir(parents=True)
    truth = [{"account": a, "kind": kind, "campaign": None, "style": None} for a, kind in HONEST]
    truth.append({"account": "m", "kind": "synthetic_permitted", "campaign": None, "style": None})
    if campaign:
        truth += [{"account": a, "kind": "campaign", "campaign": "c1", "style": "pool"} for a in POOL]
    exchanges = [
        {
            "exchange_id": f"{one['account']}-{day}",
            "time": BEGIN + timedelta(days=day),
            "account": one["account"],
            "output_tokens": 10,
            "status": 200,
            "campaign": one["campaign"],
        }
        for day in range(14)
        for one in truth
    ]
    text = pa.string()
    marks = pa.schema([("exchange_id", text), ("campaign", text)])
    log = pa.schema(
        [
            ("exchange_id", text),
            ("time", pa.timestamp("us", "UTC")),
            ("account", text),
            ("output_tokens", pa.int32()),
            ("status", pa.int16()),
        ]
    )
    whom = pa.schema([("account", text), ("kind", text), ("campaign", text), ("style", text)])
    pq.write_table(pa.Table.from_pylist(truth, whom), folder / "truth.parquet")
    pq.write_table(pa.Table.from_pylist(exchanges, marks), folder / "truth_exchanges.parquet")
    pq.write_table(pa.Table.from_pylist(exchanges, log), folder / "exchanges.parquet")
    return folder


def finding(name: str, accounts: list[str], day: int, suppressed_by: str | None = None) -> dict:
    return {
        "id": name,
        "alarm_at": (BEGIN + timedelta(days=day)).isoformat(),
        "score_bits": 20.0,
        "accounts": accounts,
        "suppressed_by": suppressed_by,
    }


FINDINGS = {
    "campaigns": [
        finding("true", ["p0", "p1", "p2", "h9"], 5),
        finding("false", ["h0", "h1", "h2", "h8"], 3),
        finding("permitted", ["h3", "h4"], 3, suppressed_by="evaluation"),
    ],
    "leads": [{"accounts": ["h5", "h6"]}, {"accounts": ["p3"]}],
}


def cells(one: other.Outcome) -> dict[str, str]:
    return dict(zip(other.HEADS, other.row(one), strict=True))


def test_a_row_has_the_figures_of_the_scorer_by_accounts_and_days(tmp_path: Path) -> None:
    world = World("dev-c", "second", written(tmp_path / "dev-c"))
    found = cells(other.outcome(world, FINDINGS))
    assert found["campaigns exposed"] == "1 of 1"
    assert found["of ≥ 1,000 exchanges"] == "0 of 0"
    # one false case over 11 accounts outside campaigns and 14 days; what a permission suppresses is none
    assert found["false cases (per 10,000 account-days)"] == f"1 ({1e4 / (11 * 14):.2f})"
    # h0, h1, h2, h8 and, in the true finding, h9; of ten, as the one that may make data is left out
    assert found["honest accounts named"] == "5 of 10 (50.00%)"
    assert found["false cases by kind"] == "plugin 1"
    assert found["leads (accounts)"] == "2 (3)"
    assert found["harvest before the alarm, median"] == "20"  # four accounts, five days
    assert found["lost"] == f"{(3 * 5 + 14) / (4 * 14):.0%}"  # the fourth account is never named


def test_a_world_without_campaigns_has_no_figures_of_campaigns(tmp_path: Path) -> None:
    world = World("fourth-quiet", "fourth", written(tmp_path / "fourth-quiet", campaign=False))
    found = cells(other.outcome(world, {"campaigns": [finding("false", ["h0", "h1"], 3)]}, "at 671234a"))
    assert found["world"] == "fourth-quiet, at 671234a"
    assert found["author"] == "fourth"
    assert found["campaigns exposed"] == "none in it"
    assert found["leads (accounts)"] == "-"  # this code had none
    assert {found["B-cubed F1"], found["lost"], found["of ≥ 1,000 exchanges"]} == {""}


def test_rows_of_one_world_stand_together_and_development_is_marked(tmp_path: Path) -> None:
    worlds = [
        World(name, other.AUTHORS[name], written(tmp_path / name, campaign=False))
        for name in ("dev-c", "dev-a")
    ]
    outcomes = [other.outcome(world, {"campaigns": []}) for world in worlds]
    outcomes.append(other.outcome(worlds[0], {"campaigns": []}, "at 671234a"))
    lines = other.table(outcomes)
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| dev-c", "| dev-c, at 671234a", "| dev-a"]
    assert "| second, development |" in lines[2]
    assert {line.count(" | ") for line in lines} == {len(other.HEADS) - 1}


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("dev-c-quiet-people", "dev-c-quiet"),
        ("dev-c-people", "dev-c"),
        ("dev-a-sticky5", "dev-a"),
        ("w1", None),
    ],
)
def test_a_variant_belongs_to_the_world_it_was_made_from(name: str, base: str | None) -> None:
    assert other.base_of(name) == base


def test_worlds_are_found_where_they_lie_and_variants_come_last(tmp_path: Path) -> None:
    for name in ("dev-a", "dev-c", "dev-c-quiet"):
        written(tmp_path / "range" / name)
    for name in ("fourth", "fifth-quiet", "dev-a-people", "dev-c-people", "strange"):
        written(tmp_path / "made" / name)
    made = tmp_path / "made"
    assert "fifth-quiet" not in [
        world.name for world in other.worlds_in(tmp_path / "range", {"fourth": made}, made)
    ]
    found = other.worlds_in(tmp_path / "range", {"fourth": made, "fifth": made}, made)
    names = ["dev-c-quiet", "dev-c", "fourth", "fifth-quiet", "dev-a", "dev-c-people", "dev-a-people"]
    assert [world.name for world in found] == names
    assert found[-1].author == "first"
    assert [world.name for world in other.chosen(found, ["dev-a", "dev-c"])] == ["dev-a", "dev-c"]
    with pytest.raises(SystemExit, match=r"dev-x: no such world here"):
        other.chosen(found, ["dev-x"])


def test_a_report_of_the_same_code_and_world_is_not_made_again(tmp_path: Path) -> None:
    world = World("dev-c", "second", written(tmp_path / "dev-c"))
    (world.folder / "accounts.parquet").write_bytes(b"a table")
    report = tmp_path / "0123456789ab" / f"dev-c-{other.digest_of(world)}" / "findings.json"
    report.parent.mkdir(parents=True)
    report.write_text(json.dumps(FINDINGS))
    code = other.Code(tmp_path / "no code", "0123456", "0123456789ab")
    assert other.scanned(code, world, tmp_path) == FINDINGS
    before = other.digest_of(world)
    (world.folder / "accounts.parquet").write_bytes(b"another table")
    assert other.digest_of(world) != before


def test_a_table_takes_the_place_between_the_marks_and_a_page_without_both_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{other.BEGIN}\nold\n{other.END}\nafter\n")
    pages.put(page, other.BEGIN, other.END, ["new", "lines"])
    assert page.read_text() == f"before\n{other.BEGIN}\nnew\nlines\n{other.END}\nafter\n"
    for text in ("no mark", f"{other.BEGIN} only", f"{other.END} only"):
        page.write_text(text)
        with pytest.raises(SystemExit, match="has no place for the table"):
            pages.put(page, other.BEGIN, other.END, ["new"])
        assert page.read_text() == text
