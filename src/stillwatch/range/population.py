"""The honest side of a composed scene: a scene's own population, re-drawn.

Accounts are dropped or kept as a whole, so that an honest account's behaviour stays as composed.
"""

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.identity import Donor, donor_of

DONOR_KINDS = ("chat", "small_dev", "longform", "public_template")


@dataclass(frozen=True)
class HonestPopulation:
    """Exchanges, accounts and truth of honest accounts, with the scene's calendar."""

    exchanges: pa.Table
    accounts: pa.Table
    truth: pa.Table
    begin: datetime
    new_model_day: float

    def only(self, accounts: pa.Array) -> "HonestPopulation":
        """Return the part of these accounts."""
        exchanges, about, truth = (rows_of(t, accounts) for t in (self.exchanges, self.accounts, self.truth))
        return HonestPopulation(exchanges, about, truth, self.begin, self.new_model_day)


def rows_of(table: pa.Table, accounts: pa.Array) -> pa.Table:
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
    exchanges = rows_of(pq.read_table(folder / "exchanges.parquet"), honest)
    accounts = rows_of(pq.read_table(folder / "accounts.parquet"), honest)
    return HonestPopulation(exchanges, accounts, truth, begin, scene["new_model_day"])


def honest_accounts(folder: Path) -> int:
    """Count a scene's honest accounts."""
    return int(pq.read_table(folder / "truth.parquet", columns=["campaign"])["campaign"].null_count)


def donors_of(people: HonestPopulation) -> list[Donor]:
    """List the traits of ordinary honest accounts, one exchange each."""
    kind = pc.is_in(people.truth["kind"], value_set=pa.array(DONOR_KINDS))
    plain = people.truth.filter(kind)["account"].combine_chunks()
    first: dict[str, dict[str, Any]] = {}
    for row in rows_of(people.exchanges, plain).to_pylist():
        if row["max_tokens"] is None or row["max_tokens"] >= 4096:
            first.setdefault(row["account"], row)
    about = {row["account"]: row for row in people.accounts.to_pylist()}
    return [donor_of(about[account], first[account], people.begin) for account in sorted(first)]
