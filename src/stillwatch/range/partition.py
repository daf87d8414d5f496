"""Which of a base's honest people are scored with which seed, and who is left for setting thresholds.

Seeds of one scene share no people, as far as the base has enough. A base is a ring: each organisation, each
shared card and each single account has a place on it by a keyed hash of its name. A seed has an arc of that
ring, the next seed the next one. After the number of seeds that a base can supply the arcs repeat, and bounds
count their people once (`ScoredPeople.overlaps`).
"""

import hashlib
from dataclasses import dataclass

import pyarrow as pa

from stillwatch.range.outcome import ScoredPeople
from stillwatch.range.population import HonestPopulation
from stillwatch.range.scenes import Scene

KEY = b"stillwatch range: people of a seed"
LEAST_ACCOUNTS = 150  # honest accounts of one seed; fewer make no scene


@dataclass(frozen=True)
class RingArc:
    """An arc of a base's ring, from `low` up to `high`; the ring has room for `seeds` such arcs."""

    low: float
    high: float
    seeds: int = 1


def share_and_seeds(scene: Scene, accounts: int) -> tuple[float, int]:
    """Return the share of a base's honest accounts in one seed, and how many seeds are disjoint.

    If a scene gives no share, it is chosen for the seeds it lists: at least half of the base is left out, so
    that there are people for setting thresholds.

    >>> from stillwatch.range.scenes import People
    >>> share_and_seeds(Scene("s", (1, 2, 3), people=People("sample")), 600)
    (0.3333333333333333, 3)
    """
    share = scene.people.keep_accounts
    if share is None:
        seeds = max(2, min(len(scene.seeds), accounts // LEAST_ACCOUNTS))
        return 1 / seeds, seeds
    return share, max(1, int(1 / share + 1e-9)) if share else 1


def part_of(scene: Scene, seed: int, accounts: int) -> RingArc:
    """Return the arc of a seed: the scene's own seeds in their order, any other by its number."""
    share, seeds = share_and_seeds(scene, accounts)
    place = scene.seeds.index(seed) if seed in scene.seeds else seed
    low = place % seeds * share
    return RingArc(low, low + share, seeds)


def calibration_part(part: RingArc) -> RingArc:
    """Return the arc next to a seed's: the next seed's people, or with one seed all the others."""
    share = part.high - part.low
    if part.seeds == 1:
        return RingArc(part.high, 1.0 + part.low)
    low = part.high if part.high + share <= 1 + 1e-9 else 0.0
    return RingArc(low, low + share, part.seeds)


def scored_people(scene: Scene, seed: int, part: RingArc | None) -> ScoredPeople:
    """Return the people behind a seed's bounds; people from scratch are new with each seed."""
    if part is None:
        return ScoredPeople(f"{scene.name} {seed}")
    return ScoredPeople(scene.people.base or "", part.low, part.high)


def seed_place(scene: Scene, seed: int, calibrates: bool) -> tuple[int, int]:
    """Return a seed's index among the scene's seeds and the calibrating ones, and their number."""
    places = len(scene.seeds) + 1
    if calibrates:
        return len(scene.seeds), places
    return (scene.seeds.index(seed) if seed in scene.seeds else seed % len(scene.seeds)), places


def place_of(unit: str) -> float:
    """Return a unit's place on the ring, in [0, 1): the same for every seed, scene and machine."""
    digest = hashlib.blake2b(unit.encode(), digest_size=8, key=KEY).digest()
    return int.from_bytes(digest) / 2**64


def people_in(people: HonestPopulation, part: RingArc, drop_kinds: tuple[str, ...] = ()) -> HonestPopulation:
    """Return the people of an arc, by whole organisations and classes."""
    unit = {r["account"]: r["org"] or r["payment"] or r["account"] for r in people.accounts.to_pylist()}
    chosen = [
        row["account"]
        for row in people.truth.select(["account", "kind"]).to_pylist()
        if row["kind"] not in drop_kinds
        and part.low <= place_of(unit.get(row["account"], row["account"])) < part.high
    ]
    return people.only(pa.array(chosen, pa.string()))
