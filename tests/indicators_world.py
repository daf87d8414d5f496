"""Two providers attacked by one operator: each has its own log, accounts and honest people."""

import random
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from scan_world import START, Crowd, sentence

FRAME = "Solve the problem below step by step and show all of your reasoning: {item} Give the answer last"
SYSTEM = "You are a patient teacher of mathematics who always explains each single step"
QUESTIONS = tuple(
    f"Why does the {word} number of a lattice bound its covering radius here" for word in "abcdefgh"
)
VIRAL = "Write a short poem about the sea in the manner of an old sailor please"


@dataclass(frozen=True)
class Provider:
    """One instance: its log on disk, and the pool's accounts in it."""

    name: str
    log: Path
    accounts: Path
    pool: tuple[str, ...]
    people: tuple[str, ...]
    table: pa.Table


def provider(
    folder: Path, name: str, seed: int, pool: int = 12, people: int = 40, begin_day: float = 5.0
) -> Provider:
    """Create ten days; the pool starts on `begin_day` and shares frame, questions and system text."""
    folder.mkdir(parents=True, exist_ok=True)
    crowd = Crowd(seed)
    rng = crowd.rng
    honest = []
    for k in range(people):
        account = f"{name}-person-{rng.getrandbits(40):010x}"
        honest.append(account)
        for _ in range(rng.randint(4, 20)):
            text = VIRAL if rng.random() < 0.05 else sentence(rng, rng.randint(8, 25))
            crowd.says(account, 240 * rng.random(), text, client_ip=f"10.{seed}.{k}.7", status=200)
        crowd.known.append(
            {"account": account, "payment": f"{name}-card-{k}", "email_domain": "mail.example"}
        )
    hand = []
    shared = random.Random(99)
    items = [sentence(shared, 6) for _ in range(200)]
    for k in range(pool):
        account = f"{name}-pool-{rng.getrandbits(40):010x}"
        hand.append(account)
        for n in range(20):
            text = rng.choice(QUESTIONS) if n % 3 == 0 else FRAME.format(item=rng.choice(items))
            hour = 24 * (begin_day + (9.9 - begin_day) * rng.random())
            crowd.says(account, hour, text, system=SYSTEM, client_ip=f"203.0.113.{k}", status=200)
        known = {"account": account, "payment": f"shared-card-{k % 3}", "email_domain": "drain.example"}
        crowd.known.append(known | {"created": START + timedelta(days=begin_day - 1)})
    log, accounts = folder / f"{name}.parquet", folder / f"{name}-accounts.parquet"
    pq.write_table(crowd.table(), log)
    pq.write_table(crowd.accounts(), accounts)
    return Provider(name, log, accounts, tuple(sorted(hand)), tuple(sorted(honest)), crowd.table())
