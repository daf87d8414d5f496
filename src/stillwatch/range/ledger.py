"""A composed log with its truth, as arrays: who sent what, and what of it was taken."""

import tomllib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.costs import AccountKind
from stillwatch.units import DAY_US

WHOLE = ("stop", "tool_calls")  # finish reasons of an answer from which a student can learn


@dataclass(frozen=True)
class TrueCampaign:
    """A campaign, as in the truth."""

    name: str
    style: str
    accounts: int
    account: AccountKind  # kind of its accounts; at tradecraft 2 created long before
    stolen: float = 0.0  # share of them that are keys of honest customers


@dataclass(frozen=True)
class TruthLedger:
    """Arrays over accounts (by code) and over exchanges in the log's order."""

    folder: Path
    accounts: tuple[str, ...]
    campaigns: tuple[TrueCampaign, ...]
    kinds: tuple[str, ...]
    campaign: np.ndarray  # account -> index in `campaigns`, -1 for an honest one
    kind: np.ndarray  # account -> index in `kinds`
    time_us: np.ndarray
    sender: np.ndarray  # exchange -> account
    answered: np.ndarray  # bool
    input_tokens: np.ndarray
    output_tokens: np.ndarray
    taken: np.ndarray  # exchange -> index in `campaigns` of the campaign that harvested it, or -1
    text: np.ndarray  # exchange -> a number for its prompt, -1 if not a campaign's
    models: tuple[str, ...]
    model: np.ndarray  # exchange -> index in `models`
    whole: np.ndarray  # bool: answered, neither truncated nor refused
    begin_us: int  # the first midnight

    @cached_property
    def codes(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.accounts)}

    def rows_of(self, exchange_ids: frozenset[str]) -> np.ndarray:
        """Mark the exchanges with these ids."""
        if not exchange_ids:
            return np.zeros(len(self.time_us), bool)
        ids = pq.read_table(self.folder / "exchanges.parquet", columns=["exchange_id"])["exchange_id"]
        return pc.is_in(ids, value_set=pa.array(sorted(exchange_ids))).to_numpy()


def _read(path: Path, columns: list[str]) -> pa.Table:
    try:
        return pq.read_table(path, columns=columns)
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise InputError(f"{path} cannot be read as part of a scene: {error}") from error


def read_ledger(folder: Path) -> TruthLedger:
    """Read a folder in the layout of the shipped scenes.

    Raises:
        InputError: a file or a column is missing.
    """
    truth = _read(folder / "truth.parquet", ["account", "kind", "campaign", "style"]).to_pylist()
    log = _read(
        folder / "exchanges.parquet",
        ["time", "account", "model", "input_tokens", "output_tokens", "status", "finish_reason"],
    )
    names = [r["account"] for r in truth]
    twice = [name for name, n in Counter(names).items() if n > 1]
    if twice:
        raise InputError(f"{folder}/truth.parquet: account {twice[0]} stands there twice")
    sizes = Counter(r["campaign"] for r in truth if r["campaign"] is not None)
    plans = _plans(folder)
    styles = {r["campaign"]: r["style"] for r in reversed(truth)}
    campaigns = tuple(
        TrueCampaign(name, styles[name] or "", sizes[name], *plans.get(name, ("fresh", 0.0)))
        for name in sorted(sizes)
    )
    place = {c.name: i for i, c in enumerate(campaigns)}
    kinds = tuple(sorted({r["kind"] for r in truth}))
    coded = pc.index_in(log["account"], value_set=pa.array(names)).combine_chunks()
    if coded.null_count:
        stranger = log["account"].filter(pc.is_null(coded))[0]
        raise InputError(f"{folder}: account {stranger} is in the log and not in truth.parquet")
    models = pc.fill_null(log["model"], "").combine_chunks().dictionary_encode()
    answered = pc.fill_null(pc.equal(log["status"], 200), False).to_numpy()
    finish = log["finish_reason"]
    whole = pc.or_kleene(pc.is_null(finish), pc.is_in(finish, value_set=pa.array(WHOLE))).to_numpy()
    taken, text = _read_taken(folder, place, log.num_rows)
    time_us = log["time"].cast(pa.timestamp("us", "UTC"), safe=False).cast(pa.int64()).to_numpy()
    return TruthLedger(
        folder,
        tuple(names),
        campaigns,
        kinds,
        np.array([-1 if r["campaign"] is None else place[r["campaign"]] for r in truth], np.int64),
        np.array([kinds.index(r["kind"]) for r in truth], np.int64),
        time_us,
        coded.to_numpy().astype(np.int64),
        answered,
        pc.fill_null(log["input_tokens"], 0).to_numpy().astype(np.int64),
        pc.fill_null(log["output_tokens"], 0).to_numpy().astype(np.int64),
        taken,
        text,
        tuple(models.dictionary.to_pylist()),
        models.indices.to_numpy(),
        answered & whole,
        _begin_us(folder, time_us),
    )


def _read_taken(folder: Path, place: dict[str, int], rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return for each exchange whose harvest it is, and a number for its prompt."""
    taken, text = np.full(rows, -1, np.int64), np.full(rows, -1, np.int64)
    marks = _read(folder / "truth_exchanges.parquet", ["exchange_id", "campaign"])
    if not marks.num_rows:
        return taken, text
    ids = _read(folder / "exchanges.parquet", ["exchange_id"])["exchange_id"]
    at = pc.index_in(ids, value_set=marks["exchange_id"].combine_chunks()).combine_chunks()
    hit = np.flatnonzero(pc.is_valid(at).to_numpy(zero_copy_only=False))
    whose = np.array([place[c] for c in marks["campaign"].to_pylist()], np.int64)
    taken[hit] = whose[pc.drop_null(at).to_numpy()]
    words = _read(folder / "exchanges.parquet", ["system", "prompt"]).take(pa.array(hit))
    both = pc.binary_join_element_wise(
        pc.fill_null(words["system"], ""), pc.fill_null(words["prompt"], ""), "\0"
    )
    text[hit] = both.combine_chunks().dictionary_encode().indices.to_numpy()
    return taken, text


def _read_description(folder: Path) -> dict[str, object]:
    try:
        return tomllib.loads((folder / "scene.toml").read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"{folder}/scene.toml cannot be read: {error}") from error


def _plans(folder: Path) -> dict[str, tuple[AccountKind, float]]:
    """Return for each campaign the kind of its accounts, and the share of them that is stolen."""
    listed = _read_description(folder).get("campaign", [])
    assert isinstance(listed, list)
    return {
        str(c["name"]): ("aged" if int(c.get("tradecraft", 0)) >= 2 else "fresh", float(c.get("stolen", 0)))
        for c in listed
    }


def _begin_us(folder: Path, time_us: np.ndarray) -> int:
    begin = _read_description(folder).get("begin")
    if isinstance(begin, str):
        return (
            datetime.fromisoformat(begin).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        ) // timedelta(microseconds=1)
    return int(time_us.min()) // DAY_US * DAY_US if len(time_us) else 0
