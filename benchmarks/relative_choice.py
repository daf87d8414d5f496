"""How often an innocent is convicted by an owner who has a relative of the suspect.

Simulated leans: in each pair the relative's lean is a normal value, and the suspect's is a correlated one
(`--correlation`). Neither learned anything; each coin is fair. The owner sees the relative's leans and the
coins, never the suspect's, and does what its seals permit:

  coins before the seal   for each of 400 accounts it keeps the coins up to where the relative leans most to
                          the served answers, and seals them (with `pairs`, which sufficed until 2026-12)
  named before            it names that account's actor and tosses new coins; of ten actors and eight ends
                          it chooses those at which the relative leans most
  named, steered          the same, and the relative's leans so far decide which requests get a coin: those
                          with large leans or those with small ones
  one actor, steered      only the steering, over all coins of one actor, with p unadjusted

The p-value is the checker's (`leans.tail`), multiplied by what the seals allow. Null: both
models are innocent.

    python benchmarks/relative_choice.py --runs 400
"""

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from stillwatch.coin.openings import ENDS, end_of, share_of_alpha
from stillwatch.prove.coin.leans import tail

ACCOUNTS, EACH, ACTORS, MOST = 400, 8, 10, 96
LEVELS = (1e-5, 1e-3, 0.05)
Lean = tuple[float, float]  # towards what was served: the relative's, the suspect's


def pair(draw: random.Random, correlation: float, size: float = 1.0) -> Lean:
    """Draw one pair of two innocents: their leans are independent of the coin and correlated."""
    relative = draw.gauss(0, size)
    own = draw.gauss(0, size)
    suspect = correlation * relative + (1 - correlation**2) ** 0.5 * own
    side = draw.choice((-1, 1))
    return side * relative, side * suspect


def p_before_the_seal(draw: random.Random, correlation: float) -> float:
    """Return the adjusted p of coins tossed before their actor was sealed."""
    kept: list[Lean] = []
    for _ in range(ACCOUNTS):
        mine, best, total = [pair(draw, correlation) for _ in range(EACH)], (0.0, 0), 0.0
        for k, (relative, _) in enumerate(mine, 1):
            total += relative
            best = max(best, (total, k))
        kept += mine[: best[1]]
    draw.shuffle(kept)
    return tail([suspect for _, suspect in kept[:400]])[2] / share_of_alpha(1)


def p_of_named_actors(
    draw: random.Random, correlation: float, *, steered: bool, actors: int = ACTORS
) -> float:
    """Return the adjusted p of coins tossed after so many actors were named; of one, unadjusted."""
    found = []
    for _ in range(actors):
        coins: list[Lean] = []
        ahead = 0.0
        for _ in range(MOST):
            size = (0.2 if ahead > 0 else 3.0) if steered else 1.0
            coins.append(pair(draw, correlation, size))
            ahead += coins[-1][0]
        for k in range(1, ENDS + 1):
            some = coins[: end_of(MOST * k // ENDS, MOST)]
            by_relative = tail([relative for relative, _ in some])[2]
            found.append((by_relative, [suspect for _, suspect in some]))
    chosen = found[-1][1] if actors == 1 else min(found, key=lambda one: one[0])[1]
    return tail(chosen)[2] * (1 if actors == 1 else actors * ENDS / share_of_alpha(2))


def main() -> None:
    """Print the share of runs at or below each level."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--correlation", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.3, 0.5, 0.9])
    parser.add_argument("--seed", type=int, default=13)
    asked = parser.parse_args()
    ways: dict[str, Callable[[random.Random, float], float]] = {
        "coins before the seal": p_before_the_seal,
        "named before": lambda draw, c: p_of_named_actors(draw, c, steered=False),
        "one actor, steered": lambda draw, c: p_of_named_actors(draw, c, steered=True, actors=1),
        "named, steered": lambda draw, c: p_of_named_actors(draw, c, steered=True),
    }
    print(f"{asked.runs} runs; share of innocents with an adjusted p of at most", *LEVELS)
    for name, way in ways.items():
        for correlation in asked.correlation:
            draw = random.Random(f"{asked.seed} {name} {correlation}")
            p = [way(draw, correlation) for _ in range(asked.runs * (10 if name.startswith("one") else 1))]
            shares = (f"{sum(one <= level for one in p) / len(p):.4f}" for level in LEVELS)
            print(f"{name:24} correlation {correlation:.1f}", *shares, f"least {min(p):.1e}", flush=True)


if __name__ == "__main__":
    main()
