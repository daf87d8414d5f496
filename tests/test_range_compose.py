"""Composing: every shape keeps to its plan, scenes are the same bytes again, and their truth is right."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.range.campaigns import Plan, accounts_of
from stillwatch.range.campaigns.shapes import requests_of, shape, shapes
from stillwatch.range.compose import compose, compose_scene
from stillwatch.range.population import World
from stillwatch.range.scenes import Scene, parse_scene
from stillwatch.range.score import score
from stillwatch.range.stock import Corpora, Item

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
    plan = Plan("c", style, 24, 300, 7.5, 4.0, ("own",), 2, **more)
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
    plan = Plan("c", style, accounts, exchanges, 7.5, 2.0, ("own",), 1)
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


@pytest.mark.skipif(not (SHARED / "corpora").exists(), reason="the corpora are not at hand")
def test_a_composed_world_is_deterministic_and_its_truth_is_right(tmp_path: Path) -> None:
    plans = (
        Plan("x", "wrapped_pool", 12, 120, 7.5, 4.0, ("orca_flan",), 2, language="de"),
        Plan("y", "slow_relay", 6, 40, 8.0, 3.0, ("evolve",), 2, cover=0.6),
        Plan("z", "loud_single", 2, 60, 9.0, 1.0, ("backtranslate",), 0),
    )
    world = World("w", "sample", 3, plans, keep_accounts=0.5, drop_kinds=("hackathon",))
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
