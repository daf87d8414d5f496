"""Write the composed worlds used in development: `python benchmarks/worlds.py [NAME ...]`.

Reads the scenes and corpora in $STILLWATCH_RANGE (default /work/shared/range) and writes to
$STILLWATCH_WORLDS (default /tmp/worlds). Nothing that it writes may be committed: most sources are not
redistributable.
"""

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.range.campaigns import CampaignPlan
from stillwatch.range.compose import generator_of, plans_toml, write_scene
from stillwatch.range.inject import Injection, Side, inject
from stillwatch.range.population import HonestPopulation, donors_of, read_population, rows_of
from stillwatch.range.stock import read_corpora

SHARED = Path(os.environ.get("STILLWATCH_RANGE", "/work/shared/range"))
OUT = Path(os.environ.get("STILLWATCH_WORLDS", "/tmp/worlds"))
RUBRIC = {"visible_tokens": 170.0}
LABELS = {"visible_tokens": 3.0, "reasoning_tokens": 300.0}
LONG = {"visible_tokens": 900.0, "reasoning_tokens": 1800.0}


@dataclass(frozen=True)
class WorldSettings:
    """One scene to compose."""

    name: str
    base: str  # the scene that supplies the honest population
    seed: int
    campaigns: tuple[CampaignPlan, ...] = ()
    keep_accounts: float = 1.0  # share of honest accounts that stay
    drop_kinds: tuple[str, ...] = ()
    drop_corpora: tuple[str, ...] = ()  # honest accounts that mostly send these corpora's prompts are dropped
    borrow_kinds: tuple[str, ...] = ()  # honest kinds borrowed from `lender`, moved to this fortnight
    lender: str = ""


def redraw(
    people: HonestPopulation, world: WorldSettings, shared: Path, rng: np.random.Generator
) -> HonestPopulation:
    """Drop and keep accounts according to the world, then add the borrowed kinds."""
    names = people.truth["account"].to_pylist()
    gone = {
        n for n, kind in zip(names, people.truth["kind"].to_pylist(), strict=True) if kind in world.drop_kinds
    }
    gone |= _senders(people.exchanges, _prompts(shared / "corpora", world.drop_corpora))
    kept = [
        n
        for n, u in zip(names, rng.random(len(names)), strict=True)
        if u < world.keep_accounts and n not in gone
    ]
    tables = [
        rows_of(t, pa.array(kept, pa.string())) for t in (people.exchanges, people.accounts, people.truth)
    ]
    if world.borrow_kinds:
        lender = read_population(shared / world.lender)
        wanted = pc.is_in(lender.truth["kind"], value_set=pa.array(world.borrow_kinds))
        extra = lender.truth.filter(wanted)["account"].combine_chunks()
        shift = pa.scalar(people.begin - lender.begin, pa.duration("us"))
        sent = rows_of(lender.exchanges, extra)
        known = pc.is_in(sent["prompt"], value_set=tables[0]["prompt"].combine_chunks())
        sent = sent.filter(pc.invert(known))
        sent = sent.set_column(sent.column_names.index("time"), "time", pc.add(sent["time"], shift))
        day = pc.divide(pc.subtract(sent["time"], people.begin).cast(pa.int64()), 86_400_000_000)
        early = pc.and_(pc.equal(sent["model"], "mira-think-2"), pc.less(day, int(people.new_model_day)))
        model = pc.if_else(early, "mira-think", sent["model"])
        sent = sent.set_column(sent.column_names.index("model"), "model", model)
        extra = sent["account"].unique()
        rows = rows_of(lender.accounts, extra)
        rows = rows.set_column(rows.column_names.index("created"), "created", pc.add(rows["created"], shift))
        tables = [
            pa.concat_tables(pair)
            for pair in zip(tables, (sent, rows, rows_of(lender.truth, extra)), strict=True)
        ]
    return HonestPopulation(tables[0], tables[1], tables[2], people.begin, people.new_model_day)


def _prompts(folder: Path, corpora: tuple[str, ...]) -> set[str]:
    if not corpora:
        return set()
    rows = pq.read_table(folder / "benign.parquet", columns=["corpus", "messages"]).to_pylist()
    wanted = [json.loads(row["messages"]) for row in rows if row["corpus"] in corpora]
    return {m["content"] for messages in wanted for m in messages if m["role"] == "user"}


def _senders(exchanges: pa.Table, prompts: set[str]) -> set[str]:
    if not prompts:
        return set()
    hit = pc.is_in(exchanges["prompt"], value_set=pa.array(sorted(prompts)))
    each = pa.table({"account": exchanges["account"], "hit": hit.cast(pa.float64())})
    share = each.group_by("account").aggregate([("hit", "mean")])
    return set(share.filter(pc.greater(share["hit_mean"], 0.3))["account"].to_pylist())


def compose(world: WorldSettings, shared: Path, out: Path) -> Path:
    """Write the world to `out`/name, from the scenes and corpora in `shared`; return the folder.

    Raises:
        InputError: a scene, style or pipeline is unknown, or a stock is too small.
    """
    rng = generator_of(world.name, world.seed)
    whole = read_population(shared / world.base)
    people = redraw(whole, world, shared, rng)
    made: list[Injection] = []
    if world.campaigns:
        donors = donors_of(whole)
        corpora = read_corpora(shared / "corpora", set(people.exchanges["prompt"].to_pylist()))
        talks = [corpora.talks[i] for i in rng.permutation(len(corpora.talks))]
        side = Side(people, donors, corpora, talks, [], rng)
        made = [inject(plan, side) for plan in world.campaigns]
    return write_scene(people, made, out / world.name, world_toml(world, people))


def world_toml(world: WorldSettings, people: HonestPopulation) -> str:
    """Describe the composition, in the form of the shipped scenes' scene.toml."""
    early = any(plan.start < 7 for plan in world.campaigns)
    lines = [f'name = "{world.name}"', 'split = "composed"', f'base = "{world.base}"', f"seed = {world.seed}"]
    lines += [f'begin = "{people.begin:%Y-%m-%d}"', f"contaminated = {str(early).lower()}"]
    lines += [f"new_model_day = {people.new_model_day}", f"keep_accounts = {world.keep_accounts}"]
    for name in ("drop_kinds", "drop_corpora", "borrow_kinds"):
        lines.append(f"{name} = {json.dumps(list(getattr(world, name)))}")
    return "\n".join(lines + plans_toml(world.campaigns)) + "\n"


# name, style, accounts, exchanges, start day, days, pipelines, tradecraft
W1 = (
    CampaignPlan("c1", "loud_single", 1, 480, 8.2, 1.5, ("airoboros",), 1, "mira-large"),
    CampaignPlan("c2", "shared_template_pool", 60, 1300, 7.9, 4.5, ("orca_flan",), 2, wording=1),
    CampaignPlan("c3", "wrapped_pool", 45, 1200, 8.4, 4.0, ("reasoning_sft_math",), 2),
    CampaignPlan("c4", "system_rotated", 70, 1100, 9.0, 4.0, ("seeds",), 2, "mira-large",
         visible_tokens=700.0),
    CampaignPlan("c5", "logprob_harvest", 20, 1500, 8.7, 3.0,
         ("meaeq_agnews", "meaeq_hatespeech", "mebert_boolq_wiki"), 1, "mira-mini", **LABELS),
    CampaignPlan("c6", "repeat_sampling", 64, 1440, 7.7, 5.0, ("reasoning_sft_code",), 2, repeats=6),
    CampaignPlan("c7", "recon_then_scale", 50, 1600, 8.1, 4.8, ("backtranslate",), 2, wording=2),
    CampaignPlan("c8", "rubric_grading", 30, 900, 9.6, 3.5, ("pairs",), 2, "mira-large", **RUBRIC),
    CampaignPlan("c9", "drip", 180, 2100, 7.5, 5.5, ("evolve",), 2, language="de", **LONG),
)  # fmt: skip
W2 = (
    CampaignPlan("c1", "bare_partition", 90, 1400, 8.0, 4.5, ("gpteacher_roleplay",), 2, "mira-large"),
    CampaignPlan("c2", "failover", 25, 1450, 7.8, 5.0, ("cot_backfill",), 1, bans=(0.3, 0.6), language="fr"),
    CampaignPlan("c3", "pivot", 40, 1300, 8.6, 4.8, ("passage_qa",), 2),
    CampaignPlan("c4", "slow_relay", 24, 420, 8.2, 5.0, ("evolve",), 2, cover=0.7),
    CampaignPlan("c5", "wrapped_pool", 80, 1050, 9.1, 4.0, ("alpaca_relabel",), 2, language="es"),
    CampaignPlan("c6", "dialogue", 50, 1400, 8.3, 4.0, ("reasoning_sft_math",), 2),
    CampaignPlan("c7", "shared_template_pool", 10, 800, 10.0, 2.5,
         ("anthropic_data_analyst", "tool_calls", "persona_hub"), 0, "mira-large", language="pt"),
    CampaignPlan("c8", "rubric_grading", 60, 1200, 7.6, 5.0, ("pairs",), 2, "mira-large",
         wording=1, **RUBRIC),
    CampaignPlan("c9", "repeat_sampling", 110, 1600, 8.8, 4.5, ("reasoning_sft_math",), 2, repeats=16),
    CampaignPlan("c10", "bare_partition", 40, 480, 9.4, 4.0, ("orca_flan",), 2, "mira-mini"),
)  # fmt: skip
W3 = (
    CampaignPlan("c1", "system_rotated", 150, 2600, 7.4, 6.0, ("seeds",), 2, "mira-large", **LONG),
    CampaignPlan("c2", "shared_template_pool", 120, 1000, 8.0, 5.0, ("reasoning_sft_math",), 2,
         language="zh"),
    CampaignPlan("c3", "recon_then_scale", 30, 700, 8.9, 4.0, ("evolve",), 1, "mira-large"),
    CampaignPlan("c4", "loud_single", 3, 1200, 9.3, 2.0, ("backtranslate",), 0, "mira-mini"),
    CampaignPlan("c5", "failover", 20, 1100, 8.1, 5.0, ("critique",), 2, "mira-large", bans=(0.4,),
         wording=1),
    CampaignPlan("c6", "wrapped_pool", 100, 1500, 8.5, 4.5, ("orca_flan", "airoboros"), 2, wording=0),
    CampaignPlan("c7", "logprob_harvest", 40, 450, 10.0, 3.0, ("mebert_boolq_random",), 2,
         "mira-mini", **LABELS),
    CampaignPlan("c8", "drip", 200, 1800, 7.3, 6.2, ("reasoning_sft_code", "digest"), 2, language="es"),
)  # fmt: skip
W4 = (
    CampaignPlan("c1", "bare_partition", 200, 2900, 7.4, 6.0, ("alpaca_relabel", "gpteacher_roleplay"), 2,
         "mira-large"),
    CampaignPlan("c2", "wrapped_pool", 12, 600, 9.0, 3.0, ("anthropic_data_analyst", "tool_calls"),
         1, "mira-large"),
    CampaignPlan("c3", "repeat_sampling", 48, 1200, 8.3, 4.0, ("persona_hub",), 2, repeats=10, cover=0.2),
    CampaignPlan("c4", "pivot", 80, 1090, 8.8, 4.8, ("reasoning_sft_math",), 2, language="de"),
    CampaignPlan("c5", "slow_relay", 40, 600, 7.8, 5.5, ("critique",), 2, cover=0.6),
    CampaignPlan("c6", "shared_template_pool", 35, 1100, 8.0, 4.0, ("evolve",), 1, language="en", wording=2),
    CampaignPlan("c7", "dialogue", 30, 900, 9.5, 3.5, ("orca_flan",), 2),
    CampaignPlan("c8", "rubric_grading", 20, 700, 8.7, 4.0, ("pairs",), 1, "mira-large", wording=2, **RUBRIC),
    CampaignPlan("c9", "failover", 15, 900, 8.5, 4.5, ("cot_backfill",), 2, bans=(0.25, 0.5, 0.75),
         language="en"),
)  # fmt: skip
W5 = (
    CampaignPlan("c1", "shared_template_pool", 70, 2400, 0.0, 13.9, ("evolve",), 2, "mira-large", **LONG),
    CampaignPlan("c2", "wrapped_pool", 60, 1150, 0.0, 13.9, ("reasoning_sft_math",), 2, language="en"),
    CampaignPlan("c3", "drip", 150, 2600, 0.0, 13.9, ("passage_qa",), 2, "mira-large", language="fr"),
    CampaignPlan("c4", "repeat_sampling", 50, 1500, 1.5, 11.0, ("orca_flan",), 2, repeats=8),
    CampaignPlan("c5", "bare_partition", 40, 1200, 3.0, 10.0, ("alpaca_relabel",), 1, "mira-mini"),
    CampaignPlan("c6", "rubric_grading", 25, 1000, 0.5, 12.0, ("pairs",), 2, "mira-large", **RUBRIC),
    CampaignPlan("c7", "loud_single", 1, 900, 2.0, 8.0, ("backtranslate",), 2, "mira-large"),
    CampaignPlan("c8", "system_rotated", 60, 1200, 6.0, 7.5, ("gpteacher_roleplay",), 2),
)  # fmt: skip
W6 = (
    CampaignPlan("c1", "drip", 700, 5200, 7.3, 6.3, ("passage_qa",), 2, "mira-large", wording=1, **LONG),
    CampaignPlan("c2", "wrapped_pool", 600, 5000, 7.5, 6.0, ("evolve", "reasoning_sft_math", "orca_flan"), 2),
    CampaignPlan("c3", "shared_template_pool", 550, 5100, 7.7, 6.0, ("digest",), 1, "mira-large",
         language="de"),
)  # fmt: skip

WORLDS = (
    WorldSettings("w0-none-a", "dev-a", 90),
    WorldSettings("w0-none-b", "dev-b", 91),
    WorldSettings("w1", "dev-a", 92, W1, keep_accounts=0.7),
    WorldSettings("w2", "dev-b", 93, W2, keep_accounts=0.7, drop_kinds=("llm_judge", "drift_monitor")),
    WorldSettings("w3", "dev-a", 94, W3, 0.7, ("hackathon",), ("gsm8k_test", "alpaca_eval_805"),
          ("new_template", "company"), "dev-b"),
    WorldSettings("w4", "dev-b", 95, W4, 0.7, ("pipeline",), ("banking77",),
          ("classroom", "agent", "viral_prompt"), "dev-a"),
    WorldSettings("w5", "dev-a", 96, W5, keep_accounts=0.7, drop_kinds=("load_test", "migrated")),
    WorldSettings("w6", "dev-b", 97, W6, keep_accounts=0.7),
)  # fmt: skip
NOTE = """Composed worlds (stillwatch: benchmarks/worlds.py). Same layout as /work/shared/range/dev-a.
Score: stillwatch range score FINDINGS /tmp/worlds/W (or the reference score.py with W/exchanges.parquet).
w7 is w1 with only time, account and prompt and no accounts table;
score it with --exchanges /tmp/worlds/w1/exchanges.parquet.
Pipelines passage_qa, digest, evolve, backtranslate, critique, tool_calls, pairs and seeds are our own over
real texts.

"""


def minimal(source: Path, out: Path) -> None:
    """Write w7: the poorest log a scan accepts, with the truth of `source`."""
    out.mkdir(parents=True, exist_ok=True)
    log = pq.read_table(source / "exchanges.parquet", columns=["time", "account", "prompt"])
    pq.write_table(log, out / "exchanges.parquet", compression="zstd")
    for name in ("truth.parquet", "truth_exchanges.parquet", "scene.toml"):
        (out / name).write_bytes((source / name).read_bytes())


def table(folder: Path, world: WorldSettings) -> list[str]:
    """Describe a written world, one line per campaign."""
    exchanges = pq.ParquetFile(folder / "exchanges.parquet").metadata.num_rows
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    marks = pq.read_table(folder / "truth_exchanges.parquet")["campaign"].to_pylist()
    lines = [f"{world.name}: base {world.base}, {exchanges:,} exchanges, {len(truth):,} accounts"]
    for p in world.campaigns:
        own = sum(row["campaign"] == p.name for row in truth)
        lines.append(
            f"  {p.name:4} {p.style:21} n={marks.count(p.name):5} accounts={own:4} tradecraft={p.tradecraft} "
            f"days {p.start:.1f}-{p.start + p.days:.1f} {p.model:11} {p.language} cover={p.cover} "
            f"{'+'.join(p.pipelines)}"
        )
    return lines


def main(wanted: list[str]) -> None:
    """Write the worlds named, or all."""
    for world in WORLDS:
        if not wanted or world.name in wanted:
            folder = compose(world, SHARED, OUT)
            (OUT / f".{world.name}.txt").write_text("\n".join(table(folder, world)) + "\n")
            print(folder, flush=True)
    if not wanted or "w7" in wanted:
        minimal(OUT / "w1", OUT / "w7")
    parts = [OUT / f".{world.name}.txt" for world in WORLDS]
    if all(part.exists() for part in parts):
        (OUT / "README.txt").write_text(NOTE + "\n".join(part.read_text() for part in parts))


if __name__ == "__main__":
    main(sys.argv[1:])
