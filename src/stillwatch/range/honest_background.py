"""The honest side of a contest: background traffic, questions, and accounts whose traits can be copied.

It is re-drawn for each seed from a scene: a share of the honest accounts stays, and the conversations of the
others are an attacker's cover. After its end the log repeats its last week, under new exchange ids. New
honest fashions then no longer appear, which makes a long contest easier for a defence than reality.
"""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from stillwatch.range.client_programs import ClientProgram, client_programs
from stillwatch.range.compose import calibration_log, honest_side, scored_people_of
from stillwatch.range.defences import CalibrationLog
from stillwatch.range.identity import Donor, donor_of
from stillwatch.range.outcome import ScoredPeople
from stillwatch.range.rows import Row
from stillwatch.range.scenes import Scene
from stillwatch.units import DAY_US, us

ITEMS = ("reasoning_sft_math", "reasoning_sft_code", "orca_flan", "gpteacher_roleplay", "airoboros")
IDENTITY = ("account", "client_ip", "asn", "user_agent", "end_user")  # the columns of a request's account
LONGEST_TALK = 4000  # characters: cover is conversation, not documents


@dataclass(frozen=True)
class HonestBackground:
    """One seed's honest log, with the material that an attacker can use."""

    exchanges: pa.Table  # in order of time
    accounts: pa.Table
    begin: datetime
    new_model_day: float
    clean_until_us: int
    items: tuple[str, ...]
    talks: tuple[tuple[str, ...], ...]
    donors: tuple[Donor, ...]  # ordinary honest accounts
    owners: tuple[tuple[str, Donor], ...]  # honest accounts whose keys may be stolen
    calibration: CalibrationLog | None = None  # clean days of people who are not in it
    people: ScoredPeople | None = None  # whose traffic it is; None: no other contest's
    programs: tuple[ClientProgram, ...] = ()  # of the clean days

    @property
    def begin_us(self) -> int:
        return us(self.begin)


def field_of(scene: Scene, seed: int) -> HonestBackground:
    """Draw the honest side of a scene for one seed, without the scene's own campaigns.

    Raises: InputError if the scene's base or stock is missing.
    """
    side = honest_side(scene, seed)
    people, corpora = side.people, side.corpora
    items = sorted({i.question for name in ITEMS for i in corpora.pipelines.get(name, ())})
    talks = [t for t in side.talks if sum(map(len, t)) <= LONGEST_TALK]
    exchanges = people.exchanges.sort_by([("time", "ascending"), ("exchange_id", "ascending")])
    begin_us = us(people.begin)
    clean_until_us = int(begin_us + scene.clean_days * DAY_US)
    return HonestBackground(
        exchanges,
        people.accounts,
        people.begin,
        people.new_model_day,
        clean_until_us,
        tuple(items[i] for i in side.rng.permutation(len(items))),
        tuple(talks),
        tuple(side.donors),
        _owners(people.exchanges, people.accounts, people.begin),
        calibration_log(scene, seed),
        scored_people_of(scene, seed),
        tuple(client_programs(exchanges.filter(pc.less(exchanges["time"].cast(pa.int64()), clean_until_us)))),
    )


def _owners(mine: pa.Table, accounts: pa.Table, begin: datetime) -> tuple[tuple[str, Donor], ...]:
    """Return accounts with enough traffic for their key to be stolen, with their own traits."""
    about = {row["account"]: row for row in accounts.to_pylist()}
    first: dict[str, dict[str, object]] = {}
    count: dict[str, int] = {}
    for row in mine.to_pylist():
        name = row["account"]
        first.setdefault(name, row)
        count[name] = count.get(name, 0) + 1
    return tuple(
        (name, donor_of(about[name], first[name], begin))
        for name in sorted(first)
        if count[name] >= 20 and name in about
    )


class Passing:
    """The honest log over time, for as long as it is needed."""

    def __init__(self, field: HonestBackground) -> None:
        self._table = field.exchanges
        self._ts = self._table["time"].cast(pa.int64()).to_numpy()
        days = -(-(int(self._ts[-1]) + 1 - field.begin_us) // DAY_US)
        self._end = field.begin_us + int(days) * DAY_US
        self._week = 7 * DAY_US
        self._last_row = {account: n for n, account in enumerate(self._table["account"].to_pylist())}

    def identity(self, account: str) -> Row:
        """Return the identity columns of a request by an account."""
        columns = [name for name in IDENTITY if name in self._table.column_names]
        n = self._last_row.get(account)
        row = {} if n is None else self._table.select(columns).slice(n, 1).to_pylist()[0]
        return row | {"account": account}

    def exchanges_between(self, since_us: int, until_us: int) -> pa.Table:
        """Return the exchanges of a span within the log, or within one repetition of its last week."""
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
