"""The honest side of a contest: whose traffic goes by, what may be asked, whose traits may be copied.

It is re-drawn for each seed from a scene: a share of the honest accounts stays, the talk of those that are
left out is an attacker's cover. Past its end the log goes on with its last week again, under new exchange
ids: new honest fashions then come no more, which makes a long contest easier for a defence than life.
"""

from dataclasses import dataclass, fields
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.identity import Donor
from stillwatch.range.population import donors_of, read_population

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
BARE = ("bare_partition", "loud_single")  # styles of shipped scenes whose prompts carry no wrapper
LONGEST_TALK = 4000  # characters: cover is talk, not documents


@dataclass(frozen=True)
class Field:
    """One seed's honest log, and what an attacker finds on it."""

    exchanges: pa.Table  # in order of time
    accounts: pa.Table
    begin: datetime
    clean_until_us: int
    items: tuple[str, ...]
    talks: tuple[tuple[str, ...], ...]
    donors: tuple[Donor, ...]
    owners: tuple[tuple[str, Donor], ...]  # honest accounts whose keys may be stolen

    @property
    def begin_us(self) -> int:
        return int(self.begin.timestamp() * 1_000_000)


def read_field(scene: Path, seed: int, *, keep: float = 0.8, clean_days: float = 7.0) -> Field:
    """Draw the honest side from a folder with a scene in it.

    The questions are those of the scene's own campaigns (which are not part of the honest log) that carry no
    template, so that nothing else than the scene is needed.

    Raises: InputError where the folder is no scene or its campaigns ask too little.
    """
    rng = np.random.default_rng([seed, 20261126])
    people = read_population(scene)
    names = people.truth["account"].to_pylist()
    stays = rng.random(len(names)) < keep
    kept = pa.array([n for n, s in zip(names, stays, strict=True) if s], pa.string())
    mine = people.exchanges.filter(pc.is_in(people.exchanges["account"], value_set=kept))
    others = people.exchanges.filter(pc.invert(pc.is_in(people.exchanges["account"], value_set=kept)))
    donors = [d for d in donors_of(people) if d.max_tokens is None or d.max_tokens >= 8192]
    accounts = people.accounts.filter(pc.is_in(people.accounts["account"], value_set=kept))
    keys = [("time", "ascending"), ("exchange_id", "ascending")]
    return Field(
        mine.sort_by(keys),
        accounts,
        people.begin,
        int(people.begin.timestamp() * 1_000_000 + clean_days * DAY_US),
        _items(scene, rng),
        _talks(others.sort_by(keys)),
        tuple(donors),
        _owners(mine, accounts, people.begin),
    )


def _items(scene: Path, rng: np.random.Generator) -> tuple[str, ...]:
    truth = pq.read_table(scene / "truth.parquet", columns=["account", "style"])
    theirs = truth.filter(pc.is_in(truth["style"], value_set=pa.array(BARE)))["account"].combine_chunks()
    marks = pq.read_table(scene / "truth_exchanges.parquet", columns=["exchange_id"])["exchange_id"]
    rows = pq.read_table(scene / "exchanges.parquet", columns=["exchange_id", "account", "prompt"])
    rows = rows.filter(pc.is_in(rows["account"], value_set=theirs))
    rows = rows.filter(pc.is_in(rows["exchange_id"], value_set=marks.combine_chunks()))
    texts = sorted({p for p in rows["prompt"].to_pylist() if p})
    if not texts:
        raise InputError(
            f"{scene}: no campaign of this scene asks bare questions; give questions of your own"
        )
    return tuple(texts[i] for i in rng.permutation(len(texts)))


def _talks(others: pa.Table) -> tuple[tuple[str, ...], ...]:
    chosen = others.select(["account", "conversation", "prompt", "turn"]).to_pylist()
    talks: dict[str, list[str]] = {}
    for n, row in enumerate(chosen):
        if row["prompt"] and len(row["prompt"]) <= LONGEST_TALK:
            talks.setdefault(row["conversation"] or f"alone {n}", []).append(row["prompt"])
    return tuple(tuple(talk) for talk in talks.values())


def _owners(mine: pa.Table, accounts: pa.Table, begin: datetime) -> tuple[tuple[str, Donor], ...]:
    """Accounts with enough traffic that a thief might have found their key, with their own traits."""
    about = {row["account"]: row for row in accounts.to_pylist()}
    first: dict[str, dict[str, object]] = {}
    count: dict[str, int] = {}
    for row in mine.to_pylist():
        name = row["account"]
        first.setdefault(name, row)
        count[name] = count.get(name, 0) + 1
    names = [f.name for f in fields(Donor)]
    owners = []
    for name in sorted(first):
        if count[name] < 20 or name not in about:
            continue
        row = {**about[name], **first[name]}
        row["age"] = begin - row["created"]
        row["conversations"] = row["conversation"] is not None
        owners.append((name, Donor(**{n: row[n] for n in names})))
    return tuple(owners)


class Passing:
    """The honest log as it goes by, for as long as it is asked for."""

    def __init__(self, field: Field) -> None:
        self._table = field.exchanges
        self._ts = self._table["time"].cast(pa.int64()).to_numpy()
        days = -(-(int(self._ts[-1]) + 1 - field.begin_us) // DAY_US)
        self._end = field.begin_us + int(days) * DAY_US
        self._week = 7 * DAY_US

    def between(self, since_us: int, until_us: int) -> pa.Table:
        """The exchanges of a stretch that lies on one side of the log's end, and in one turn of its week."""
        turn = 0 if since_us < self._end else (since_us - self._end) // self._week + 1
        shift = turn * self._week
        lo, hi = np.searchsorted(self._ts, [since_us - shift, until_us - shift])
        piece = self._table.slice(lo, hi - lo)
        if turn == 0 or len(piece) == 0:
            return piece
        time = pc.add(piece["time"], pa.scalar(shift, pa.duration("us")))
        ids = pc.binary_join_element_wise(piece["exchange_id"], f"again{turn}", "-")
        piece = piece.set_column(piece.schema.get_field_index("time"), "time", time)
        return piece.set_column(piece.schema.get_field_index("exchange_id"), "exchange_id", ids)
