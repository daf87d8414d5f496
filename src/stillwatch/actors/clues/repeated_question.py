"""Rare questions sent word for word by several of the actor's accounts: one item sampled many times.

Null: independent accounts send the same longer prompt as often as the rest of the log's accounts do.
Blind to: repeats that are paraphrased, and k samples asked for in one request.
Fooled by: a public benchmark run by several parties, a class's assignment, a viral prompt.
Source: FIELD.md signal 8 (OpenThoughts: 16 samples a question).
"""

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, Tie, Weighed, World

NAME = "repeated_question"
CONTROL = "client"
LEAST_SHARE = 0.2
LEAST_WORDS = 6


def weigh(actor: Actor, world: World) -> Weighed | None:
    """Share of the actor's exchanges whose exact prompt another of its accounts sent too, beside the population's."""
    log = world.log
    long = log["words"] >= LEAST_WORDS
    rows = actor.rows[long[actor.rows]]
    if len(rows) == 0:
        return None
    exact, account = log["exact"][rows], log["account"][rows]
    shared = _sent_by_two(exact, account)
    actual = float(shared.mean())
    every = np.flatnonzero(long)
    outside = every[~np.isin(log["account"][every], actor.accounts)]
    baseline = (
        float(_sent_by_two(log["exact"][outside], log["account"][outside]).mean()) if len(outside) else 0.0
    )
    if actual < LEAST_SHARE:
        return None
    per_account = {
        int(a): int(n) for a, n in zip(*np.unique(account[shared], return_counts=True), strict=True)
    }
    bits = float(min(MOST_BITS, max(0.0, 4 * np.log2((actual + 0.01) / (baseline + 0.01)))))
    if bits <= 0:
        return None
    ties = tuple(
        Tie(a, bits, f"sent {n} prompts that other accounts of the campaign sent too")
        for a, n in per_account.items()
    )
    return Weighed(
        bits,
        f"{actual:.0%} of the campaign's prompts were sent, word for word, by another of its accounts too; "
        f"elsewhere {baseline:.1%}",
        actual,
        baseline,
        None,
        len(rows),
        ties,
    )


def _sent_by_two(exact: np.ndarray, account: np.ndarray) -> np.ndarray:
    """(rows,) bool: whether the prompt came from at least two accounts."""
    prompts, at = np.unique(exact, return_inverse=True)
    pairs = np.unique(at.astype(np.int64) << 32 | account)
    senders = np.bincount(pairs >> 32, minlength=len(prompts))
    return senders[at] >= 2
