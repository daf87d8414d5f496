"""A log with completions: honest crowds whose answers reappear for honest reasons, and a pool.

The rules were written down before the test ran and were not changed for it. Texts are invented words with
Zipf frequencies and a model's stock phrases; nothing in them is real.
"""

import random
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from scan_world import SKETCHER, START, words
from stillwatch.exchanges import RECORD
from stillwatch.exchanges.log import ExchangeLog, build

WORDS = words(5, 6000)
WEIGHTS = list(np.cumsum(1.0 / np.arange(1, len(WORDS) + 1)))
DAYS = 10.0


def prose(rng: random.Random, many: int) -> str:
    return " ".join(rng.choices(WORDS, cum_weights=WEIGHTS, k=many))


_FIXED = random.Random(11)
PHRASES = [prose(_FIXED, _FIXED.randint(6, 14)) for _ in range(200)]  # a model's stock phrases
REFUSALS = [prose(_FIXED, 60) for _ in range(5)]
PUBLIC = [prose(_FIXED, _FIXED.randint(60, 300)) for _ in range(80)]  # licences, poems, manuals
BOILERPLATE = [prose(_FIXED, 50) for _ in range(10)]  # imports and skeletons of code
POPULAR = [(prose(_FIXED, 12), prose(_FIXED, 150)) for _ in range(20)]  # common questions, similar answers


@dataclass
class Exchanges:
    """Rows of a log, and which accounts are one tenant."""

    seed: int
    rows: list[dict[str, Any]] = field(default_factory=list)
    org: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.rng = random.Random(self.seed)

    def answer(self) -> str:
        """Return a model's answer: its own words, stock phrases in between, and sometimes a public text."""
        rng = self.rng
        parts = []
        for _ in range(rng.randint(2, 7)):
            parts += [prose(rng, rng.randint(20, 60)), rng.choice(PHRASES)]
        if rng.random() < 0.05:
            parts.insert(rng.randint(0, len(parts)), rng.choice(PUBLIC))
        if rng.random() < 0.1:
            parts.insert(0, rng.choice(BOILERPLATE))
        return " ".join(parts)

    def ask(self, account: str, hour: float, prompt: str, answer: str | None = None, **more: Any) -> str:
        said = self.answer() if answer is None else answer
        self.rows.append(
            {
                "exchange_id": f"e{self.seed}-{len(self.rows)}",
                "time": START + timedelta(hours=hour, microseconds=len(self.rows)),
                "account": account,
                "prompt": prompt,
                "completion": said,
                "latency_ms": 4000,
                "status": 200,
                **more,
            }
        )
        return said

    def question(self) -> str:
        rng = self.rng
        text = prose(rng, rng.randint(8, 50))
        if rng.random() < 0.05:
            text += " " + rng.choice(PUBLIC)
        if rng.random() < 0.05:
            text += " " + rng.choice(BOILERPLATE)
        return text

    def people(self, prefix: str, many: int, each: float = 10.0) -> list[str]:
        """Add conversations of one to four turns, each with all earlier ones; refusals; common questions."""
        rng = self.rng
        names = [f"{prefix}{k:03}" for k in range(many)]
        for name in names:
            for _ in range(1 + int(rng.expovariate(1 / each))):
                hour, history = rng.uniform(0, 24 * DAYS), ""
                draw = rng.random()
                if draw < 0.05:
                    self.ask(name, hour, self.question(), rng.choice(REFUSALS))
                elif draw < 0.1:
                    self.ask(name, hour, *rng.choice(POPULAR))
                else:
                    for turn in range(rng.randint(1, 4)):
                        asked = self.question()
                        said = self.ask(name, hour + 0.1 * turn, asked, earlier=history or None)
                        history += f"\n{asked}\n{said}"
        return names

    def table(self) -> pa.Table:
        columns = [pa.array([row.get(f.name) for row in self.rows], f.type) for f in RECORD]
        return pa.table(columns, schema=RECORD)

    def log(self) -> ExchangeLog:
        return build(self.table().to_batches(5000), SKETCHER, threads=1)

    def tenant(self, log: ExchangeLog) -> np.ndarray:
        first: dict[str, int] = {}
        return np.array(
            [first.setdefault(self.org.get(name, name), k) for k, name in enumerate(log.accounts)], np.int32
        )


def evaluation_company(world: Exchanges, customers: list[str]) -> list[str]:
    """Add one vendor that judges its customers' answers."""
    rng = world.rng
    theirs = set(customers)
    rows = [row for row in world.rows if row["account"] in theirs]
    for row in rng.sample(rows, min(120, len(rows))):
        hour = (row["time"] - START) / timedelta(hours=1) + rng.uniform(1, 48)
        world.ask("vendor", hour, f"Rate from 1 to 10. {row['prompt']} ANSWER: {row['completion']}", "7")
    return [*customers, "vendor"]


def classroom(world: Exchanges, many: int = 30, passed_on: float = 0.1) -> list[str]:
    """Add exercises with a handout that students paste and the model repeats; answers that friends share."""
    rng = world.rng
    names = [f"student{k:02}" for k in range(many)]
    for _ in range(10):
        day = rng.uniform(0, DAYS - 2)
        handout, exercise = prose(rng, 250), prose(rng, 40)
        for name in names:
            hour = 24 * day + rng.uniform(0, 24)
            pastes, recites = rng.random() < 0.2, rng.random() < 0.2
            said = world.answer() + (f" {handout}" if recites else "")
            world.ask(name, hour, exercise + (f" {handout}" if pastes else ""), said)
            if rng.random() < passed_on:
                friend = rng.choice([other for other in names if other != name])
                world.ask(friend, hour + rng.uniform(0.5, 10), f"is this right? {said}")
    return names


def published(world: Exchanges, names: list[str]) -> None:
    """Add answers that their readers quote: one by many, others by one or two."""
    rng = world.rng
    for times in (12, 6, 2, 1, 1):
        author, *readers = rng.sample(names, times + 1)
        hour = rng.uniform(0, 24 * (DAYS - 3))
        said = world.ask(author, hour, world.question())
        for reader in readers:
            world.ask(reader, hour + rng.uniform(2, 60), f"what do you make of this? {said}")


def companies(world: Exchanges, many: int = 8) -> list[str]:
    """Add companies with two accounts each, one tenant: conversations continue with either key."""
    rng = world.rng
    names = []
    for k in range(many):
        pair = [f"firm{k}-a", f"firm{k}-b"]
        names += pair
        world.org |= dict.fromkeys(pair, f"firm{k}")
        for _ in range(10):
            hour, history = rng.uniform(0, 24 * DAYS), ""
            for turn in range(4):
                asked = world.question()
                said = world.ask(rng.choice(pair), hour + 0.1 * turn, asked, earlier=history or None)
                history += f"\n{asked}\n{said}"
    return names


def pool(
    world: Exchanges, many: int = 20, each: int = 15, cleaned: float = 0.3, how: str = "whole"
) -> list[str]:
    """Add one queue over many accounts: answers are collected, and some cleaned by any free account."""
    rng = world.rng
    names = [f"pool{k:02}" for k in range(many)]
    for _ in range(many * each):
        hour = 24 * rng.uniform(4, 8)
        said = world.ask(rng.choice(names), hour, f"Think step by step. {prose(rng, 40)}")
        if rng.random() < cleaned:
            trace = said
            split = said.split()
            if how == "truncated":
                trace = " ".join(split[: len(split) // 2])
            elif how == "reworded":
                trace = " ".join(word if k % 5 else rng.choice(WORDS) for k, word in enumerate(split))
            order = f"RAW TRACE {rng.randint(1000, 9999)}\n{trace}\n\nRemove loops and end with VALID."
            world.ask(rng.choice(names), hour + rng.uniform(0.1, 5), order, f"{prose(rng, 30)} {trace} VALID")
    return names


def honest(seed: int, people: int = 200) -> tuple[Exchanges, dict[str, list[str]]]:
    """Return every honest crowd in one log, and the groups that somebody might form of them."""
    world = Exchanges(seed)
    names = world.people("person", people)
    published(world, names)
    groups = {
        "strangers": world.rng.sample(names, 30),
        "class": classroom(world),
        "vendor": evaluation_company(world, world.rng.sample(names, 25)),
        "companies": companies(world),
    }
    return world, groups
