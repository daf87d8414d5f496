"""Rare questions sent word for word by several of the actor's accounts: one item sampled many times.

A question is the actor's own if more of its accounts sent it than accounts outside did.

Null: independent accounts send the same longer prompt as often as the rest of the log's accounts do.
Blind to: repeats that are paraphrased, and k samples asked for in one request.
Fooled by: a public benchmark run by several tenants, a class's assignment, a viral prompt.
Source: docs/field.md, signal 8 (OpenThoughts: 16 samples a question).
"""

from collections import defaultdict

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.actors.prompts import LEAST_WORDS, OtherPrompts, prompts, prompts_elsewhere
from stillwatch.signals import BundleEvidence, Signal
from stillwatch.stats.dealing import distinct

NAME = "repeated_question"
CONTROL = "client"
CLASS = "wording"
SIGNAL = Signal(title="asking the same questions again and again", order=10)
LEAST_SHARE = 0.2


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Return the share of the actor's exchanges whose prompt more accounts sent inside than outside."""
    log = context.log
    long = log["words"] >= LEAST_WORDS
    rows = actor.rows[long[actor.rows]]
    if len(rows) == 0:
        return None
    account = log["account"][rows]
    others = prompts_elsewhere(actor.accounts, context)
    number = context.once(prompts).number[rows]
    senders = _senders(number, account)
    shared = (senders >= 2) & (senders > others.senders[np.searchsorted(others.prompt, number)])
    actual = float(shared.mean())
    baseline = _baseline(others, context)
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
    return ClueWeight(
        bits,
        f"{actual:.0%} of the campaign's prompts were sent, word for word, by another of its accounts too "
        f"and by fewer outside; elsewhere {baseline:.1%} are shared",
        actual,
        baseline,
        None,
        len(rows),
        ties,
    )


def _senders(number: np.ndarray, account: np.ndarray) -> np.ndarray:
    """Return how many accounts sent each row's prompt."""
    prompt, at = np.unique(number, return_inverse=True)
    pairs = distinct(at.astype(np.int64) << 32 | account)
    return np.bincount(pairs >> 32, minlength=len(prompt))[at]


def _baseline(others: OtherPrompts, context: ActorContext) -> float:
    """Return the share of the exchanges outside whose prompt two accounts outside sent."""
    log_prompts = context.once(prompts)
    rows, shared = context.once(_count_shared)
    long = log_prompts.long[others.prompt]
    own_rows = log_prompts.rows[others.prompt]
    outside_rows = rows - int((own_rows - others.rows)[long].sum())
    shared -= int(own_rows[long & (log_prompts.senders[others.prompt] >= 2)].sum())
    shared += int(others.rows[long & (others.senders >= 2)].sum())
    return shared / outside_rows if outside_rows else 0.0


def _count_shared(context: ActorContext) -> tuple[int, int]:
    """Count the log's exchanges with long prompts, and those whose prompt two accounts sent."""
    log_prompts = context.once(prompts)
    return int(log_prompts.rows[log_prompts.long].sum()), int(
        log_prompts.rows[log_prompts.long & (log_prompts.senders >= 2)].sum()
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the share again from a bundle."""
    long = [exchange for exchange in evidence.harvest if exchange["w"] >= 6]
    senders: dict[str, set[int]] = defaultdict(set)
    for exchange in long:
        senders[exchange["q"]].add(exchange["a"])
    outside = evidence.others["prompts"]
    shared = sum(
        len(senders[exchange["q"]]) >= 2 and len(senders[exchange["q"]]) > outside.get(exchange["q"], 0)
        for exchange in long
    )
    return {"actual": shared / len(long), "n": len(long)} if long else {"n": 0}
