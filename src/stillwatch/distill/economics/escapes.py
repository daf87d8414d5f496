"""How many examples escape a defence, and at what price, by contests of the range. It plays none."""

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean

from stillwatch.errors import InputError

DEFENCES = {
    "none": "undefended",
    "stillwatch": "detection",
    "allowance": "allowance",
    "stillwatch+allowance": "both",
}
NUMBERS = ("goal", "seed", "out", "days", "usd", "accounts_usd", "accounts", "output_tokens", "max_days")


@dataclass(frozen=True)
class Escape:
    """One attacker against one defence: what it got on each seed, and at what price.

    `usd` and `days` are those of one operation. Copies side by side get more in the same days, at the same
    price an example: against limits that is exact, against detection it holds for copies that share nothing.
    """

    defence: str
    attacker: str
    goal: int
    seeds: tuple[int, ...]
    out: tuple[int, ...]
    usd: tuple[float, ...]
    days: tuple[float, ...]
    accounts: tuple[int, ...]
    usd_an_example: float  # mean over seeds
    accounts_usd_an_example: float
    tokens_an_example: float
    reached: bool  # its goal, on every seed
    source: str

    def accounts_for(self, n: float) -> float:
        return n * fmean(a / max(o, 1) for a, o in zip(self.accounts, self.out, strict=True))


def read_escapes(path: Path | None) -> list[Escape]:
    """Read contests, one JSON object a line, as `benchmarks/attackers.py --out` writes them.

    Contests of one goal alone: the smallest that was fought against every defence.
    Raises: InputError with the line.
    """
    if path is None:
        name = "escapes.jsonl"
        content = files("stillwatch.distill.economics").joinpath(name).read_text(encoding="utf-8")
    else:
        name = str(path)
        try:
            content = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as why:
            raise InputError(f"{name}: cannot be read: {why}") from why
    groups: dict[tuple[str, str], list[dict[str, object]]] = defaultdict(list)
    goals: list[float] = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            row = json.loads(line)
            wrong = [key for key in NUMBERS if not isinstance(row[key], int | float)]
            defence, attacker = str(row["defence"]), str(row["asked"])
        except (ValueError, KeyError, TypeError) as why:
            raise InputError(f"{name}:{number}: is no contest of benchmarks/attackers.py: {why}") from why
        if wrong:
            raise InputError(f"{name}:{number}: {', '.join(wrong)}: no number")
        if row.get("cannot_fire") or defence not in DEFENCES:
            continue
        goals.append(row["goal"])
        groups[defence, attacker].append(row)
    if not groups:
        raise InputError(f"{name}: holds no contest against {', '.join(DEFENCES)}")
    least = min(goals)
    kept = [[row for row in rows if row["goal"] == least] for rows in groups.values()]
    return [_escape(rows) for rows in kept if rows]


def _escape(rows: list[dict[str, object]]) -> Escape:
    unique = {row["seed"]: row for row in rows}  # a contest that is there twice counts once
    by_seed = [unique[seed] for seed in sorted(unique, key=str)]
    out = [int(str(row["out"])) for row in by_seed]

    def column(key: str) -> list[float]:
        return [float(str(row[key])) for row in by_seed]

    def each(key: str) -> float:
        return fmean(value / max(n, 1) for value, n in zip(column(key), out, strict=True))

    first = by_seed[0]
    return Escape(
        defence=str(first["defence"]),
        attacker=str(first["asked"]),
        goal=int(str(first["goal"])),
        seeds=tuple(int(n) for n in column("seed")),
        out=tuple(out),
        usd=tuple(column("usd")),
        days=tuple(column("days")),
        accounts=tuple(int(n) for n in column("accounts")),
        usd_an_example=each("usd"),
        accounts_usd_an_example=each("accounts_usd"),
        tokens_an_example=each("output_tokens"),
        reached=all(bool(row["reached"]) for row in by_seed),
        source=f"people of {first.get('base', '?')}, {float(str(first['max_days'])):g} days at most, "
        f"{'commit ' + str(first['commit']) if 'commit' in first else 'your file'}",
    )


def cheapest(escapes: Sequence[Escape], defence: str) -> Escape | None:
    """The trade with the fewest dollars an example, copies side by side allowed."""
    candidates = [escape for escape in escapes if escape.defence == defence and min(escape.out) > 0]
    return min(candidates, key=lambda escape: escape.usd_an_example, default=None)


def fastest(escapes: Sequence[Escape], defence: str) -> Escape | None:
    """The trade that reached its goal in the fewest days."""
    candidates = [escape for escape in escapes if escape.defence == defence and escape.reached]
    return min(candidates, key=lambda escape: fmean(escape.days), default=None)
