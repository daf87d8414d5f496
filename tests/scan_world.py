"""Small worlds for the detection tests: honest people, and a pool among them. Seeded, no real texts.

They imitate no provider and have only what each test needs; texts are invented words.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from stillwatch.actors import AccountFacts, Actor, ActorContext
from stillwatch.actors.spread import spread
from stillwatch.exchanges import ACCOUNTS, RECORD
from stillwatch.exchanges.known_pool import sketch_pool
from stillwatch.exchanges.log import ExchangeLog, build
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.scan.known_pools import pool_uses

START = datetime(2026, 3, 2, tzinfo=UTC)
MODELS = ("mira-large", "mira-small", "mira-think", "mira-mini")
SKETCHER = Sketcher()


def words(seed: int, many: int) -> list[str]:
    """Return invented words, the same for the same seed."""
    rng = random.Random(seed)
    return [
        "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(3)) for _ in range(many)
    ]


WORDS = words(1, 4000)


def sentence(rng: random.Random, many: int = 12) -> str:
    """Return words as `rng.choice(WORDS)` draws them, in half the time, as worlds consist of nothing else."""
    draw, bits, chosen = rng.getrandbits, len(WORDS).bit_length(), []
    while len(chosen) < many:
        if (at := draw(bits)) < len(WORDS):
            chosen.append(WORDS[at])
    return " ".join(chosen)


@dataclass
class Crowd:
    """Rows of a log and of an accounts table, in any order."""

    seed: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    known: list[dict[str, Any]] = field(default_factory=list)
    known_pool: list[str] = field(default_factory=list)  # texts of a public set that a scan is given

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def says(self, account: str, hour: float, prompt: str | None = None, **columns: Any) -> None:
        """Add one exchange, `hour` hours after the start. No two share a microsecond."""
        self.rows.append(
            {
                "exchange_id": f"x{self.seed}-{len(self.rows)}",
                "time": START
                + timedelta(microseconds=int(hour * 3600) * 1_000_000 + len(self.rows) % 1_000_000),
                "account": account,
                "prompt": sentence(self.rng) if prompt is None else prompt,
                **columns,
            }
        )

    def people(
        self,
        prefix: str,
        many: int,
        hours: Callable[[int], Iterable[float]],
        record: Callable[[int], dict[str, Any]] | None = None,
        **columns: Any,
    ) -> list[str]:
        """Add `many` accounts that speak at `hours(k)`. A column may be a value, or a function of the number.

        record: the provider's data about account k.
        """
        names = [f"{prefix}{k:03}" for k in range(many)]
        for k, name in enumerate(names):
            for hour in hours(k):
                self.says(name, hour, **{c: v(k) if callable(v) else v for c, v in columns.items()})
            self.known.append({"account": name, **(record(k) if record else {})})
        return names

    def table(self) -> pa.Table:
        named = set().union(*self.rows)
        columns = [
            pa.array([row.get(f.name) for row in self.rows], f.type)
            if f.name in named
            else pa.nulls(len(self.rows), f.type)
            for f in RECORD
        ]
        return pa.table(columns, schema=RECORD)

    def accounts(self) -> pa.Table:
        return pa.Table.from_pylist(self.known, ACCOUNTS)

    def log(self) -> ExchangeLog:
        return log_of(self.table())


@cache
def _begun(seed: int, fill: Callable[[Crowd], object]) -> Crowd:
    crowd = Crowd(seed)
    fill(crowd)
    return crowd


def begun(seed: int, fill: Callable[[Crowd], object]) -> Crowd:
    """Return a crowd as `fill` leaves a new one, which it does once: the crowds share their rows."""
    same = _begun(seed, fill)
    crowd = Crowd(seed, list(same.rows), list(same.known), list(same.known_pool))
    crowd.rng.setstate(same.rng.getstate())
    return crowd


def log_of(table: pa.Table, threads: int = 1) -> ExchangeLog:
    return build(table.to_batches(max_chunksize=5000), SKETCHER, threads=threads)


def known_of(log: ExchangeLog, accounts: Sequence[dict[str, Any]]) -> AccountFacts:
    """Return the provider's data, in the order of the log's accounts."""
    rows = {row["account"]: row for row in accounts}
    mine = [rows.get(name, {}) for name in log.accounts]
    created = [row.get("created") for row in mine]
    return AccountFacts(
        [row.get("org") or "" for row in mine],
        [row.get("payment") or "" for row in mine],
        np.array([0 if c is None else int(c.timestamp()) * 1_000_000 for c in created], np.int64),
        [row.get("tier") or "" for row in mine],
        [tuple(row.get("permissions") or ()) for row in mine],
        [row.get("email_domain") or "" for row in mine],
    )


def stage(
    crowd: Crowd, members: Sequence[str], p_settings: dict[str, float] | None = None, known: bool = True
) -> tuple[Actor, ActorContext]:
    """Return the members as one actor in the crowd's world; its own fingerprints are only theirs."""
    log = crowd.log()
    code = {name: k for k, name in enumerate(log.accounts)}
    accounts = np.array(sorted(code[m] for m in members), np.int32)
    found = spread(log, log["account"])
    entrants = np.bincount(found.entry_fingerprint, minlength=len(found.emerging_from_us))
    inside = np.bincount(
        found.entry_fingerprint[np.isin(found.entry_tenant, accounts)], minlength=len(found.emerging_from_us)
    )
    actor = Actor(
        accounts,
        np.flatnonzero(np.isin(log["account"], accounts)),
        np.flatnonzero((inside >= 3) & (inside >= 0.6 * entrants)),
        p_settings or {},
    )
    world = ActorContext(
        log,
        known_of(log, crowd.known) if known else None,
        found.row,
        found.fingerprint,
        found.fingerprint_kind,
        entrants,
        pools=pool_uses(log, (sketch_pool(crowd.known_pool, SKETCHER, "set"),)) if crowd.known_pool else (),
    )
    return actor, world


@dataclass(frozen=True)
class Scene:
    """A log, the provider's data, and which accounts are in a pool."""

    table: pa.Table
    accounts: pa.Table
    pools: dict[str, tuple[str, ...]]
    crowd: Crowd


def habits(rng: random.Random) -> dict[str, Any]:
    """Draw the usual settings of one honest account."""
    return {
        "model": rng.choice(MODELS),
        "temperature": rng.choice((None, 0.0, 0.3, 0.7, 1.0)),
        "max_tokens": rng.choice((None, 256, 512, 1024, 4096)),
        "user_agent": rng.choice(("python-requests/2.31", "py/1.3", "node/4", "curl/8")),
    }


def honest(crowd: Crowd, many: int, days: float, novelties: int = 8, organisations: int = 4) -> None:
    """Add people: volumes over two orders of magnitude, own habits, some templates, spreading novelties.

    novelties: new frameworks, each adopted by about one in twenty from some day on.
    """
    rng = crowd.rng
    viral = sentence(rng, 20)
    frameworks = [(sentence(rng, 8), sentence(rng, 8), rng.uniform(0.3, 0.7)) for _ in range(novelties)]
    company = [sentence(rng, 10) for _ in range(organisations)]
    for k in range(many):
        name = f"acct-{rng.getrandbits(40):010x}"
        mine = habits(rng)
        org = k % 25 if k % 25 < organisations else None
        template = sentence(rng, 9) if rng.random() < 0.3 else None
        adopts = rng.choice(frameworks) if rng.random() < 0.05 * novelties else None
        address = f"10.{rng.randrange(250)}.{rng.randrange(250)}.{rng.randrange(250)}"
        for _ in range(max(2, int(rng.lognormvariate(2.6, 0.9)))):
            hour = 24 * days * rng.random()
            text = sentence(rng, rng.randint(4, 30))
            if org is not None and rng.random() < 0.7:
                text = f"{company[org]} {text}"
            elif adopts is not None and hour > 24 * days * adopts[2]:
                text = f"{adopts[0]} {text} {adopts[1]}"
            elif template is not None:
                text = f"{template} {text}"
            columns = mine if rng.random() < 0.85 else habits(rng)
            crowd.says(
                name,
                hour,
                text,
                client_ip=address,
                status=200 if rng.random() < 0.98 else 429,
                output_tokens=rng.randint(20, 900),
                turn=1 + int(rng.random() < 0.3),
                finish_reason="stop",
                **columns,
            )
        if rng.random() < 0.1:
            crowd.says(name, 24 * days * rng.uniform(0.5, 0.6), viral, client_ip=address, status=200, **mine)
        crowd.known.append(
            {
                "account": name,
                "org": None if org is None else f"org-{org}",
                "payment": f"org-card-{org}" if org is not None else f"card-{k}",
                "created": START - timedelta(days=rng.uniform(5, 700)),
                "tier": "pro",
            }
        )


def pool(
    crowd: Crowd,
    name: str,
    many: int = 40,
    begin_day: float = 6.0,
    days: float = 3.0,
    each: int = 20,
    stock: Sequence[str] | None = None,
    **record: Any,
) -> tuple[str, ...]:
    """Add one operator of `many` accounts: wrappers around items dealt out, one model, one limit."""
    rng = crowd.rng
    frames = list(stock) if stock else [f"{sentence(rng, 9)} | {sentence(rng, 7)}" for _ in range(3)]
    names = tuple(f"acct-{rng.getrandbits(40):010x}" for _ in range(many))
    for k, account in enumerate(names):
        for _ in range(each):
            head, _, tail = rng.choice(frames).partition(" | ")
            crowd.says(
                account,
                24 * (begin_day + days * rng.random()),
                f"{head} {sentence(rng, 15)} {tail}",
                client_ip=f"172.{rng.randrange(250)}.{k}.{rng.randrange(250)}",
                model="mira-think",
                temperature=0.7,
                max_tokens=4096,
                status=200,
                turn=1,
                output_tokens=rng.randint(900, 3000),
                user_agent="python-requests/2.31",
                finish_reason="stop",
            )
        crowd.known.append(
            {
                "account": account,
                "payment": f"{name}-card-{k}",
                "created": START + timedelta(days=begin_day - rng.uniform(1, 40)),
                "tier": "free",
                **record,
            }
        )
    return names


def scene(
    seed: int = 0, people: int = 400, days: float = 10.0, pools: int = 1, novelties: int = 8, **more: Any
) -> Scene:
    """Return `people` honest accounts over `days`, and `pools` pools of 40 in the second half."""
    crowd = Crowd(seed)
    honest(crowd, people, days, novelties)
    planted = {f"p{k}": pool(crowd, f"p{k}", begin_day=0.6 * days + 0.5 * k, **more) for k in range(pools)}
    return Scene(crowd.table(), crowd.accounts(), planted, crowd)
