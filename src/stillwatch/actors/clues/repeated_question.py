"""Rare questions sent word for word by several of the actor's accounts: one item sampled many times.

A question is the actor's own where more of its accounts sent it than accounts outside did.

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
    """Share of the actor's exchanges whose prompt others of its accounts sent too, and fewer outside."""
    log = world.log
    long = log["words"] >= LEAST_WORDS
    rows = actor.rows[long[actor.rows]]
    if len(rows) == 0:
        return None
    account = log["account"][rows]
    every = np.flatnonzero(long)
    outside = every[~np.isin(log["account"][every], actor.accounts)]
    senders = _senders(log["exact"][rows], account)
    known = _senders(log["exact"][outside], log["account"][outside], log["exact"][rows])
    shared = (senders >= 2) & (senders > known)
    actual = float(shared.mean())
    elsewhere = _senders(log["exact"][outside], log["account"][outside])
    baseline = float((elsewhere >= 2).mean()) if len(outside) else 0.0
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
        f"{actual:.0%} of the campaign's prompts were sent, word for word, by another of its accounts too "
        f"and by fewer outside; elsewhere {baseline:.1%} are shared",
        actual,
        baseline,
        None,
        len(rows),
        ties,
    )


def _senders(exact: np.ndarray, account: np.ndarray, asked: np.ndarray | None = None) -> np.ndarray:
    """How many accounts sent each row's prompt, or each prompt of `asked`."""
    prompts, at = np.unique(exact, return_inverse=True)
    pairs = np.unique(at.astype(np.int64) << 32 | account)
    senders = np.bincount(pairs >> 32, minlength=len(prompts))
    if asked is None:
        return senders[at]
    if len(prompts) == 0:
        return np.zeros(len(asked), np.int64)
    place = np.minimum(np.searchsorted(prompts, asked), len(prompts) - 1)
    return np.where(prompts[place] == asked, senders[place], 0)
