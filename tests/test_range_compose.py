"""Composition: every shape follows its plan, scenes are reproducible, and their truth is right."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.range.campaigns import CampaignPlan, accounts_of
from stillwatch.range.campaigns.shapes import requests_of, shape, shapes
from stillwatch.range.compose import compose_scene
from stillwatch.range.endless import ENDLESS, _distinct
from stillwatch.range.people import KINDS
from stillwatch.range.people.population_tables import concat_populations, crowd
from stillwatch.range.scenes import Scene, parse_scene, read_scene
from stillwatch.range.score import score
from stillwatch.range.stock import Corpora, Item
from worlds import WorldSettings, compose

SHARED = Path("/work/shared/range")
FILES = ("exchanges.parquet", "accounts.parquet", "truth.parquet", "truth_exchanges.parquet", "scene.toml")


@pytest.fixture(scope="module")
def stock() -> Callable[[], Corpora]:
    def fresh() -> Corpora:
        pairs = tuple(Item(f"why does thing {i} do that, exactly?", f"answer {i} " * 30) for i in range(400))
        items = tuple(Item(f"task {i}", "", "published system text") for i in range(400))
        talks = tuple((f"hello {i}", f"and then {i}?") for i in range(400))
        return Corpora({"own": items}, pairs, pairs, pairs, talks)

    return fresh


@pytest.mark.parametrize("style", sorted(shapes()))
def test_every_shape_keeps_to_its_plan(style: str, stock: Callable[[], Corpora]) -> None:
    usual = shape(style).defaults
    more = {"bans": (0.5,)} if usual.get("bans") else {}
    plan = CampaignPlan("c", style, 24, 300, 7.5, 4.0, ("own",), 2, **more)
    sent = requests_of(plan, stock(), np.random.default_rng(1), 9.0)
    assert len(sent) == 300
    assert {r.account for r in sent} == set(range(accounts_of(plan)))
    assert all(plan.start <= r.day < plan.start + plan.days + 0.02 and r.covert for r in sent)
    assert sent == requests_of(plan, stock(), np.random.default_rng(1), 9.0)


@pytest.mark.parametrize("style", sorted(shapes()))
@pytest.mark.parametrize(("accounts", "exchanges"), [(1, 1), (1, 7), (5, 5), (40, 41)])
def test_every_shape_takes_the_smallest_plans(
    style: str, accounts: int, exchanges: int, stock: Callable[[], Corpora]
) -> None:
    plan = CampaignPlan("c", style, accounts, exchanges, 7.5, 2.0, ("own",), 1)
    sent = requests_of(plan, stock(), np.random.default_rng(3), 9.0)
    assert len(sent) == exchanges
    assert {r.account for r in sent} <= set(range(accounts))


@pytest.mark.parametrize("style", sorted(shapes()))
def test_every_shape_says_what_is_published_and_what_is_made_up(style: str) -> None:
    about = shapes()[style].about
    assert "Published:" in about
    assert "Made up:" in about


def test_no_two_campaigns_draw_the_same_item(stock: Callable[[], Corpora]) -> None:
    corpora, rng = stock(), np.random.default_rng(2)
    first = corpora.draw(("own",), 250, rng)
    assert not set(first) & set(corpora.draw(("own",), 150, rng))
    with pytest.raises(InputError, match="hold 0 unused prompts"):
        corpora.draw(("own",), 1, rng)
    with pytest.raises(InputError, match="unknown; known are"):
        corpora.draw(("nobody's",), 1, rng)


@pytest.mark.slow
@pytest.mark.skipif(not (SHARED / "corpora").exists(), reason="the corpora are not at hand")
def test_a_composed_world_is_deterministic_and_its_truth_is_right(tmp_path: Path) -> None:
    plans = (
        CampaignPlan("x", "wrapped_pool", 12, 120, 7.5, 4.0, ("orca_flan",), 2, language="de"),
        CampaignPlan("y", "slow_relay", 6, 40, 8.0, 3.0, ("evolve",), 2, cover=0.6),
        CampaignPlan("z", "loud_single", 2, 60, 9.0, 1.0, ("backtranslate",), 0),
    )
    world = WorldSettings("w", "sample", 3, plans, keep_accounts=0.5, drop_kinds=("hackathon",))
    folder = compose(world, SHARED, tmp_path / "one")
    again = compose(world, SHARED, tmp_path / "two")
    names = (
        "exchanges.parquet",
        "accounts.parquet",
        "truth.parquet",
        "truth_exchanges.parquet",
        "scene.toml",
    )
    assert all((folder / n).read_bytes() == (again / n).read_bytes() for n in names)
    log = pq.read_table(folder / "exchanges.parquet")
    truth = pq.read_table(folder / "truth.parquet")
    assert log.schema == pq.read_schema(SHARED / "sample" / "exchanges.parquet")
    assert set(log["account"].to_pylist()) <= set(truth["account"].to_pylist())
    assert "hackathon" not in set(truth["kind"].to_pylist())
    members: dict[str, list[str]] = {}
    for row in truth.to_pylist():
        if row["campaign"]:
            members.setdefault(row["campaign"], []).append(row["account"])
    found = [{"id": c, "alarm_at": "2026-01-01T00:00:00Z", "accounts": a} for c, a in members.items()]
    perfect = score({"campaigns": found}, folder)
    assert (perfect.half_named, perfect.bcubed_f1, perfect.false_cases) == (3, 1.0, 0)
    assert perfect.lost_if_named_accounts_are_stopped == 0.0
    relay = [r["covert_share"] for r in truth.to_pylist() if r["campaign"] == "y"]
    assert 0.2 < sum(relay) / len(relay) < 0.6
    with pytest.raises(InputError, match="is no scene"):
        compose(replace(world, base="nowhere"), SHARED, tmp_path)


def scene_of_all(exchanges: int = 40) -> Scene:
    """Every shape once, small, on the sample that ships."""
    text = 'name = "all"\n[population]\nbase = "sample"\nkeep_accounts = 0.85\n'
    for style in sorted(shapes()):
        text += f'[[campaign]]\nname = "{style}"\nshape = "{style}"\naccounts = 8\nexchanges = {exchanges}\n'
        text += "start = 8.0\ndays = 4.0\ncover = 0.2\n"
        text += (
            "" if shape(style).defaults.get("pipelines") else 'pipelines = ["orca_flan", "word_problems"]\n'
        )
    return parse_scene(text)


@pytest.mark.slow
def test_all_shapes_together_share_no_item_and_are_the_same_again(tmp_path: Path) -> None:
    scene = scene_of_all()
    folder = compose_scene(scene, 7, tmp_path / "one")
    again = compose_scene(scene, 7, tmp_path / "two")
    assert all((folder / n).read_bytes() == (again / n).read_bytes() for n in FILES)
    log = pq.read_table(folder / "exchanges.parquet", columns=["exchange_id", "account", "prompt", "turn"])
    campaign_of = {
        r["exchange_id"]: r["campaign"] for r in pq.read_table(folder / "truth_exchanges.parquet").to_pylist()
    }
    askers: dict[str, set[str | None]] = {}
    counts: dict[str, int] = {}
    for row in log.to_pylist():
        campaign = campaign_of.get(row["exchange_id"])
        if campaign:
            counts[campaign] = counts.get(campaign, 0) + 1
        if row["turn"] == 1:
            askers.setdefault(row["prompt"], set()).add(campaign)
    assert counts == dict.fromkeys(shapes(), 40)
    own = {prompt: who for prompt, who in askers.items() if who != {None}}
    assert {prompt: who for prompt, who in own.items() if len(who) > 1} == {}
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    assert len({r["account"] for r in truth}) == len(truth)
    assert {r["account"] for r in truth} == set(
        pq.read_table(folder / "accounts.parquet")["account"].to_pylist()
    )
    assert set(log["account"].to_pylist()) <= {r["account"] for r in truth}
    stolen = [r for r in truth if r["campaign"] == "stolen_keys"]
    assert len(stolen) == 8
    assert all(0 < r["covert_share"] < 1 for r in stolen)
    mine = {r["account"] for r in stolen}
    owner = [r for r in log.to_pylist() if r["account"] in mine and r["exchange_id"] not in campaign_of]
    assert {r["account"] for r in owner} == mine
    other = compose_scene(scene, 8, tmp_path / "one")
    assert (other / "exchanges.parquet").read_bytes() != (folder / "exchanges.parquet").read_bytes()


def test_made_stocks_run_long_and_never_hang() -> None:
    rng = np.random.default_rng(4)
    for name in ENDLESS:
        assert len(set(ENDLESS[name](2000, rng))) == 2000
    few = _distinct(lambda r: f"one of {r.integers(5)}")
    assert len(few(50, rng)) == 5


# --- a shape of one's own, as the documentation has it

DOC = Path(__file__).parents[1] / "docs" / "range-scenes.md"


def block(language: str, mark: str) -> str:
    """The documentation's block in a language that can carry a mark."""
    parts = DOC.read_text().split("```")
    return next(p.partition("\n")[2] for p in parts if p.startswith(language + "\n") and mark in p)


def own_scene(folder: Path, code: str) -> Scene:
    folder.mkdir(exist_ok=True)
    (folder / "two_voices.py").write_text(code)
    (folder / "mine.toml").write_text(block("toml", "two_voices.py"))
    return read_scene(folder / "mine.toml")


@pytest.mark.slow
def test_the_documented_shape_composes(tmp_path: Path) -> None:
    scene = own_scene(tmp_path, block("python", "def requests"))
    assert scene.plans[0].pipelines == ("reasoning_sft_code",)
    folder = compose_scene(scene, 1, tmp_path)
    marks = pq.read_table(folder / "truth_exchanges.parquet")
    assert len(marks) == 600
    truth = [r for r in pq.read_table(folder / "truth.parquet").to_pylist() if r["campaign"]]
    assert {r["style"] for r in truth} == {"two_voices"}
    log = pq.read_table(folder / "exchanges.parquet").to_pylist()
    mine = set(marks["exchange_id"].to_pylist())
    asked = [r["prompt"] for r in log if r["exchange_id"] in mine]
    assert sum(text.endswith(" Show all of it.") for text in asked) == 300


def test_the_documented_scene_file_reads(tmp_path: Path) -> None:
    scene = parse_scene(block("toml", "keep_accounts"))
    assert (scene.name, scene.plans[0].style, scene.plans[0].accounts) == ("pool-of-60", "wrapped_pool", 60)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("return 3", "int is no list of PlannedRequest"),
        ("return []", "gave no request"),
        ("return [PlannedRequest(30, 8.0, 'x')]", "request 0 is of account 30; 0 to 29 there are"),
        ("return [PlannedRequest(0, 8.0, 'x'), PlannedRequest(0, 2.0, 'x')]", "request 1 is on day 2.0"),
        ("return [PlannedRequest(0, 8.0, '')]", "request 0 has no text"),
        ("return [1 / 0]", r"\./two_voices.py: line 3: ZeroDivisionError"),
        ("return corpora.draw(('nobody',), 1, rng)", "pipeline 'nobody' is unknown"),
    ],
)
def test_what_a_shape_of_ones_own_gives_is_checked(tmp_path: Path, code: str, complaint: str) -> None:
    head = "from stillwatch.range.campaigns import PlannedRequest\n"
    scene = own_scene(tmp_path, f"{head}def requests(plan, corpora, rng, new_model_day):\n    {code}\n")
    with pytest.raises(InputError, match=complaint) as caught:
        compose_scene(scene, 1, tmp_path)
    assert "mine.toml:7: " in str(caught.value)


# --- people from scratch


@pytest.mark.slow
def test_people_from_scratch_have_every_kind_and_the_shipped_layout(tmp_path: Path) -> None:
    text = (
        'name = "s"\n[population]\naccounts = 700\nexchanges = 6_000\n[[campaign]]\nshape = "wrapped_pool"\n'
    )
    scene = parse_scene(text + "accounts = 12\nexchanges = 200\n")
    folder = compose_scene(scene, 1, tmp_path / "one")
    again = compose_scene(scene, 1, tmp_path / "two")
    assert all((folder / n).read_bytes() == (again / n).read_bytes() for n in FILES)
    log = pq.read_table(folder / "exchanges.parquet")
    sample = Path(__file__).parents[1] / "sample"
    for name in FILES[:3]:
        assert pq.read_schema(folder / name) == pq.read_schema(sample / name)
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    assert {r["kind"] for r in truth} == {*KINDS, "campaign"}
    assert 5_500 < len(log) < 8_000
    created = dict(
        zip(
            *(pq.read_table(folder / "accounts.parquet")[c].to_pylist() for c in ("account", "created")),
            strict=True,
        )
    )
    first: dict[str, Any] = {}
    for row in log.sort_by("time").to_pylist():
        first.setdefault(row["account"], row["time"])
        assert row["prompt"]
        assert row["reasoning_tokens"] <= row["output_tokens"]
    late = [a for a, t in first.items() if t < created[a] - timedelta(minutes=1)]
    assert late == []
    assert len(first) == len(truth)
    kind_of = {r["account"]: r["kind"] for r in truth}
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    new = [row for row in log.to_pylist() if kind_of[row["account"]] == "new_template"]
    assert min(row["time"] for row in new) > begin + timedelta(days=7)


@pytest.mark.slow
def test_rare_kinds_come_in_populations_of_many_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stillwatch.range.people.population_tables.PART", 100)
    shares = "chat = 0.97, longform = 0.02, drift_monitor = 0.01"
    scene = parse_scene(
        f'name = "s"\n[population]\naccounts = 500\nexchanges = 600\nkinds = {{ {shares} }}\n'
    )
    parts = list(crowd(scene, 1))
    assert [len(p.truth) for p in parts] == [100] * 5
    kinds = concat_populations(iter(parts)).truth["kind"].value_counts().to_pylist()
    assert {k["values"]: k["counts"] for k in kinds} == {"chat": 485, "longform": 10, "drift_monitor": 5}


@pytest.mark.slow
def test_strangers_from_scratch_share_no_wording_but_what_is_public(tmp_path: Path) -> None:
    """Two people who chat never have the same conversation, in one part or in two."""
    scene = parse_scene(
        'name = "s"\n[population]\naccounts = 1400\nexchanges = 3_000\nkinds = { chat = 1.0 }\n'
    )
    people = concat_populations(crowd(scene, 1))
    askers: dict[str, set[str]] = {}
    for row in people.exchanges.select(["account", "prompt"]).to_pylist():
        if len(row["prompt"]) > 60:
            askers.setdefault(row["prompt"], set()).add(row["account"])
    assert max(map(len, askers.values())) == 1


@pytest.mark.slow
def test_a_large_scene_is_the_same_scene_in_order_of_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (
        'name = "s"\n[population]\naccounts = 120\nexchanges = 3_000\n[[campaign]]\nshape = "stolen_keys"\n'
    )
    scene = parse_scene(text + 'accounts = 6\nexchanges = 300\npipelines = ["word_problems"]\n')
    whole = compose_scene(scene, 1, tmp_path / "whole")
    monkeypatch.setattr("stillwatch.range.compose.LARGE", 1000)
    monkeypatch.setattr("stillwatch.range.compose.DIVISION", 100)
    monkeypatch.setattr("stillwatch.range.sorted_log.KEEP_ROWS", 700)
    told: list[tuple[str, int, int | None]] = []
    parts = compose_scene(scene, 1, tmp_path / "parts", lambda *heard: told.append(heard))
    assert {phase for phase, _, _ in told} == {"composing", "writing"}
    assert told[-1][1] == told[-1][2] == pq.read_metadata(parts / "exchanges.parquet").num_rows
    assert sorted(f.name for f in parts.iterdir()) == sorted(FILES)
    logs = [pq.read_table(f / "exchanges.parquet") for f in (whole, parts)]
    marks = [
        set(pq.read_table(f / "truth_exchanges.parquet")["exchange_id"].to_pylist()) for f in (whole, parts)
    ]
    honest = [
        log.filter(pc.invert(pc.is_in(log["exchange_id"], pa.array(sorted(m)))))
        for log, m in zip(logs, marks, strict=True)
    ]
    assert honest[0].equals(honest[1])  # people do not depend on how the scene is written
    assert len(marks[0]) == len(marks[1]) == 300
    assert logs[1]["time"].to_pylist() == sorted(logs[1]["time"].to_pylist())
    truth = [r for r in pq.read_table(parts / "truth.parquet").to_pylist() if r["campaign"]]
    assert len(truth) == 6
    assert all(0 < r["covert_share"] < 1 for r in truth)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("people", "campaign", "complaint"),
    [
        ("accounts = 10\nkinds = { rag = 1.0 }", 'shape = "drip"\naccounts = 3', "old enough to be copied"),
        ('base = "sample"', 'shape = "drip"\nexchanges = 5000', r"s:4: reasoning_sft_math hold \d+ unused"),
        ("accounts = 20", 'shape = "stolen_keys"\nexchanges = 50', "40 keys are to be stolen"),
        ('base = "sample"\nkeep_accounts = 0.0', 'shape = "drip"', "nobody is left of the base"),
    ],
)
def test_what_cannot_be_composed_is_said(tmp_path: Path, people: str, campaign: str, complaint: str) -> None:
    scene = parse_scene(f'name = "s"\n[population]\n{people}\n[[campaign]]\n{campaign}\n')
    with pytest.raises(InputError, match=complaint):
        compose_scene(scene, 1, tmp_path)


def test_a_stock_that_is_none_is_said_with_its_line(tmp_path: Path) -> None:
    scene = parse_scene('name = "s"\nstock = "nowhere"\n[population]\nbase = "sample"\n')
    with pytest.raises(InputError, match=r"s:2: nowhere holds no benign\.parquet"):
        compose_scene(scene, 1, tmp_path)


@pytest.mark.parametrize(("days", "clean"), [(2, 1), (35, 10)])
def test_a_scene_from_scratch_may_be_short_or_long(tmp_path: Path, days: int, clean: int) -> None:
    text = f'name = "s"\ndays = {days}\nclean_days = {clean}\n[population]\naccounts = 40\nexchanges = 800\n'
    more = '[[campaign]]\nshape = "wrapped_pool"\naccounts = 5\nexchanges = 60\ndays = 0.4\n'
    folder = compose_scene(parse_scene(text + more), 1, tmp_path)
    time = pq.read_table(folder / "exchanges.parquet", columns=["time"])["time"].to_pylist()
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    assert begin <= min(time) <= max(time) < begin + timedelta(days=days)
    assert max(time) > begin + timedelta(days=0.9 * days)
