"""The honest side of a composed scene: a scene's own population, re-drawn. It makes no campaign.

Accounts are dropped, kept or taken over whole, so that what an honest account does stays as it was composed.
"""

import json
import tomllib
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.campaigns import CampaignPlan
from stillwatch.range.identity import Donor

DONOR_KINDS = ("chat", "small_dev", "longform", "public_template")


@dataclass(frozen=True)
class WorldSettings:
    """One scene to be composed."""

    name: str
    base: str  # the scene whose honest population is used
    seed: int
    campaigns: tuple[CampaignPlan, ...] = ()
    keep_accounts: float = 1.0  # share of honest accounts that stay
    drop_kinds: tuple[str, ...] = ()
    drop_corpora: tuple[str, ...] = ()  # honest accounts that mostly send these corpora's prompts go
    borrow_kinds: tuple[str, ...] = ()  # honest kinds taken over from `lender`, moved to this fortnight
    lender: str = ""


@dataclass(frozen=True)
class HonestPopulation:
    """Exchanges, accounts and truth of honest accounts, with the scene's calendar."""

    exchanges: pa.Table
    accounts: pa.Table
    truth: pa.Table
    begin: datetime
    new_model_day: float

    def only(self, accounts: pa.Array) -> "HonestPopulation":
        """Give these accounts' part of it."""
        exchanges, about, truth = (_of(t, accounts) for t in (self.exchanges, self.accounts, self.truth))
        return HonestPopulation(exchanges, about, truth, self.begin, self.new_model_day)


def _of(table: pa.Table, accounts: pa.Array) -> pa.Table:
    return table.filter(pc.is_in(table["account"], value_set=accounts))


def read_population(folder: Path) -> HonestPopulation:
    """Read the honest part of a scene."""
    if not (folder / "scene.toml").exists():
        raise InputError(f"{folder} is no scene: it has no scene.toml")
    scene = tomllib.loads((folder / "scene.toml").read_text())
    truth = pq.read_table(folder / "truth.parquet")
    truth = truth.filter(pc.is_null(truth["campaign"]))
    honest = truth["account"].combine_chunks()
    begin = datetime.fromisoformat(scene["begin"]).replace(tzinfo=UTC)
    exchanges = _of(pq.read_table(folder / "exchanges.parquet"), honest)
    accounts = _of(pq.read_table(folder / "accounts.parquet"), honest)
    return HonestPopulation(exchanges, accounts, truth, begin, scene["new_model_day"])


def honest_accounts(folder: Path) -> int:
    """Count a scene's honest accounts."""
    return int(pq.read_table(folder / "truth.parquet", columns=["campaign"])["campaign"].null_count)


def redraw(
    people: HonestPopulation, world: WorldSettings, shared: Path, rng: np.random.Generator
) -> HonestPopulation:
    """Drop and keep accounts as the world says, then take over the borrowed kinds."""
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
    tables = [_of(t, pa.array(kept, pa.string())) for t in (people.exchanges, people.accounts, people.truth)]
    if world.borrow_kinds:
        lender = read_population(shared / world.lender)
        wanted = pc.is_in(lender.truth["kind"], value_set=pa.array(world.borrow_kinds))
        extra = lender.truth.filter(wanted)["account"].combine_chunks()
        shift = pa.scalar(people.begin - lender.begin, pa.duration("us"))
        sent = _of(lender.exchanges, extra)
        known = pc.is_in(sent["prompt"], value_set=tables[0]["prompt"].combine_chunks())
        sent = sent.filter(pc.invert(known))
        sent = sent.set_column(sent.column_names.index("time"), "time", pc.add(sent["time"], shift))
        day = pc.divide(pc.subtract(sent["time"], people.begin).cast(pa.int64()), 86_400_000_000)
        early = pc.and_(pc.equal(sent["model"], "mira-think-2"), pc.less(day, int(people.new_model_day)))
        model = pc.if_else(early, "mira-think", sent["model"])
        sent = sent.set_column(sent.column_names.index("model"), "model", model)
        extra = sent["account"].unique()
        rows = _of(lender.accounts, extra)
        rows = rows.set_column(rows.column_names.index("created"), "created", pc.add(rows["created"], shift))
        tables = [
            pa.concat_tables(pair)
            for pair in zip(tables, (sent, rows, _of(lender.truth, extra)), strict=True)
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


def donors_of(people: HonestPopulation) -> list[Donor]:
    """List the traits of ordinary honest accounts, one exchange each."""
    kind = pc.is_in(people.truth["kind"], value_set=pa.array(DONOR_KINDS))
    plain = people.truth.filter(kind)["account"].combine_chunks()
    first: dict[str, dict[str, Any]] = {}
    for row in _of(people.exchanges, plain).to_pylist():
        if row["max_tokens"] is None or row["max_tokens"] >= 4096:
            first.setdefault(row["account"], row)
    about = {row["account"]: row for row in people.accounts.to_pylist()}
    names = [f.name for f in fields(Donor)]
    donors = []
    for account in sorted(first):
        row = {**about[account], **first[account]}
        row["age"] = people.begin - row["created"]
        row["conversations"] = row["conversation"] is not None
        donors.append(Donor(**{name: row[name] for name in names}))
    return donors
