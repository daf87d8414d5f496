"""Who sends items of known pools in development worlds, by kind, and which findings and leads use one.

    stillwatch pool train.jsonl --training --out pools/train.pool
    python benchmarks/known_pools.py --pools pools ../shared/range/dev-a ../shared/range/dev-c
    python benchmarks/known_pools.py --pools pools --hide 9 ../shared/range/dev-a

--hide gives every campaign account the settings, client and age of a random honest account, and its own card.
Sketch pools from their publishers' files: a world's own prompts would match themselves.
"""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import stillwatch as sw
from arguments import parser_of
from stillwatch.exchanges.known_pool import read_pool
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.scan import PoolCover

COPIED = ("model", "max_tokens", "temperature", "top_p", "user_agent", "response_format", "stream")


def hidden(log: pa.Table, known: pa.Table, truth: list[dict], seed: int) -> tuple[pa.Table, pa.Table]:
    """Return the world with its campaign accounts behind honest accounts' settings, clients and ages."""
    rng = np.random.default_rng(seed)
    honest = [row["account"] for row in truth if not row["campaign"]]
    behind = {row["account"]: str(rng.choice(honest)) for row in truth if row["campaign"]}
    account = log["account"].to_pylist()
    first: dict[str, int] = {}
    for at, name in enumerate(account):
        first.setdefault(name, at)
    source = pa.array([first[behind[name]] if name in behind else at for at, name in enumerate(account)])
    for name in COPIED:
        log = log.set_column(log.schema.get_field_index(name), name, log[name].take(source))
    rows = {row["account"]: row for row in known.to_pylist()}
    for name, other in behind.items():
        own = {"created": rows[other]["created"], "payment": f"own-{name}", "email_domain": None, "org": None}
        rows[name] = rows[name] | own
    return log, pa.Table.from_pylist(list(rows.values()), known.schema)


def _text(one: PoolCover) -> str:
    chance = f"{one.expected:.1f} by chance, p {one.p_value:.1g}"
    return f"{one.pool}: {one.covered} items, {one.repeated} again, {chance}"


def figures(world: Path, paths: list[Path], seed: int | None) -> dict[str, object]:
    """Compute one world's figures."""
    log, known = (pq.read_table(world / f"{name}.parquet") for name in ("exchanges", "accounts"))
    truth = pq.read_table(world / "truth.parquet").to_pylist()
    if seed is not None:
        log, known = hidden(log, known, truth, seed)
    kind = {row["account"]: row["campaign"] or row["kind"] for row in truth}
    campaigns = {row["campaign"] for row in truth if row["campaign"]}
    sketcher = Sketcher()
    pools = [read_pool(path, sketcher) for path in paths]
    phrases = sketcher(log["prompt"].combine_chunks(), content=0).phrases
    who = [kind[name] for name in log["account"].to_pylist()]
    matched = {
        pool.name: dict(Counter(who[at] for at in np.flatnonzero(pool.items_of(phrases) >= 0)).most_common())
        for pool in pools
    }
    result = sw.scan(log, known, settings=sw.Settings(known_pools=tuple(map(str, paths))))
    groups = [
        ("finding", one.accounts, [r.text for r in one.reasons if r.detector == "known_pool"])
        for one in result.campaigns
    ]
    groups += [("lead", one.accounts, [_text(p) for p in one.pools]) for one in result.leads]
    made = [one for one in result.leads if "as one queue dealt" in one.text]
    return {
        "world": world.name,
        "hidden": seed is not None,
        "campaigns": len(campaigns),
        "honest accounts": sum(not row["campaign"] for row in truth),
        "matched": matched,
        "users": [vars(one) for one in result.scan.pools],
        "findings": len(result.campaigns),
        "leads": len(result.leads),
        "made by a pool": [dict(Counter(kind[a] for a in one.accounts)) for one in made],
        "with a pool": [
            {"sort": sort, "who": dict(Counter(kind[a] for a in accounts)), "text": texts}
            for sort, accounts, texts in groups
            if texts
        ],
    }  # fmt: skip


def main() -> None:
    """Print one JSON object per world."""
    parser = parser_of(__doc__)
    parser.add_argument("worlds", nargs="+", type=Path)
    parser.add_argument("--pools", type=Path, required=True, help="folder with *.pool")
    parser.add_argument("--hide", type=int, help="seed of what campaign accounts are given")
    given = parser.parse_args()
    for world in given.worlds:
        print(json.dumps(figures(world, sorted(given.pools.glob("*.pool")), given.hide)), flush=True)


if __name__ == "__main__":
    main()
