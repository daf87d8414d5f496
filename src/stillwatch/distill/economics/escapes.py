"""How many examples get past a defence, and at what price, by contests of the range."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean

import msgspec

from stillwatch.errors import InputError

DEFENCES = {
    "none": "undefended",
    "stillwatch": "detection",
    "allowance": "allowance",
    "stillwatch+allowance": "both",
}


class Fought(msgspec.Struct):
    """One contest: a line of the file."""

    defence: str
    asked: str  # the attacker
    goal: int
    seed: int
    out: int
    reached: bool
    days: float
    usd: float
    accounts_usd: float
    accounts: int
    output_tokens: int
    max_days: float
    cannot_fire: str = ""
    base: str = "?"
    commit: str | None = None


@dataclass(frozen=True)
class Escape:
    """Results of one attacker against one defence: examples and price, by seed.

    `usd` and `days` are those of one operation. Several operations get more in the same days, at the same
    price per example. That is exact for limits; for detection it holds if the operations share nothing.
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
    reached: bool  # whether every seed reached the goal
    source: str

    def accounts_for(self, n: float) -> float:
        return n * fmean(a / max(o, 1) for a, o in zip(self.accounts, self.out, strict=True))


def read_escapes(path: Path | None) -> list[Escape]:
    """Read contests, one JSON object per line, as `benchmarks/attackers.py --out` writes them.

    Only contests of one goal are kept: the smallest that was played against every defence.
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
    groups: dict[tuple[str, str], list[Fought]] = defaultdict(list)
    for number, line in enumerate(content.splitlines(), 1):
        try:
            fought = msgspec.json.decode(line, type=Fought)
        except msgspec.DecodeError as why:
            raise InputError(f"{name}:{number}: is no contest of benchmarks/attackers.py: {why}") from why
        if not fought.cannot_fire and fought.defence in DEFENCES:
            groups[fought.defence, fought.asked].append(fought)
    if not groups:
        raise InputError(f"{name}: holds no contest against {', '.join(DEFENCES)}")
    least = min(fought.goal for several in groups.values() for fought in several)
    kept = [[fought for fought in several if fought.goal == least] for several in groups.values()]
    return [_escape(several) for several in kept if several]


def _escape(several: list[Fought]) -> Escape:
    unique = {fought.seed: fought for fought in several}  # a repeated contest counts once
    by_seed = [unique[seed] for seed in sorted(unique, key=str)]

    def each(figure: str) -> float:
        return fmean(getattr(fought, figure) / max(fought.out, 1) for fought in by_seed)

    first = by_seed[0]
    return Escape(
        defence=first.defence,
        attacker=first.asked,
        goal=first.goal,
        seeds=tuple(fought.seed for fought in by_seed),
        out=tuple(fought.out for fought in by_seed),
        usd=tuple(fought.usd for fought in by_seed),
        days=tuple(fought.days for fought in by_seed),
        accounts=tuple(fought.accounts for fought in by_seed),
        usd_an_example=each("usd"),
        accounts_usd_an_example=each("accounts_usd"),
        tokens_an_example=each("output_tokens"),
        reached=all(fought.reached for fought in by_seed),
        source=f"people of {first.base}, {first.max_days:g} days at most, "
        f"{f'commit {first.commit}' if first.commit else 'your file'}",
    )


def cheapest(escapes: Sequence[Escape], defence: str) -> Escape | None:
    """Return the cheapest result per example; several operations are allowed."""
    candidates = [escape for escape in escapes if escape.defence == defence and min(escape.out) > 0]
    return min(candidates, key=lambda escape: escape.usd_an_example, default=None)


def fastest(escapes: Sequence[Escape], defence: str) -> Escape | None:
    """Return the result that reached its goal in the fewest days."""
    candidates = [escape for escape in escapes if escape.defence == defence and escape.reached]
    return min(candidates, key=lambda escape: fmean(escape.days), default=None)
