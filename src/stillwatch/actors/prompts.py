"""Counts a log's prompts: how often each was sent and by how many accounts, with or without some accounts.

A prompt is identified by its exact sketch alone.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.stats.dealing import distinct, run_starts

LEAST_WORDS = 6  # a shorter prompt carries little information about its sender


@dataclass(frozen=True)
class Prompts:
    """One entry per distinct prompt, except `number`: the prompt of each exchange of the log."""

    number: np.ndarray  # (exchanges,) int32
    rows: np.ndarray  # (prompts,) int64
    senders: np.ndarray  # (prompts,) int32
    long: np.ndarray  # (prompts,) bool


@dataclass(frozen=True)
class OtherPrompts:
    """The prompts that some accounts sent, in order, with their counts among all other accounts."""

    prompt: np.ndarray  # (their prompts,) indices
    rows: np.ndarray  # (their prompts,) int64
    senders: np.ndarray  # (their prompts,) int32


def prompts(context: ActorContext) -> Prompts:
    """Count a log's prompts; call it as `context.once(prompts)`."""
    log = context.log
    order = np.argsort(log["exact"], kind="stable").astype(np.int32)
    exact = log["exact"][order]
    new = run_starts(exact)
    begin = np.flatnonzero(new)
    first, rows = order[begin], np.diff(begin, append=len(exact))
    number = np.empty(len(exact), np.int32)
    number[order] = np.cumsum(new, dtype=np.int32) - np.int32(1)
    del order, exact, new  # as much memory as ten columns of the log
    pairs = number.astype(np.int64)  # modified in place from here on
    pairs <<= 32
    pairs |= log["account"]
    pairs.sort()
    pairs = pairs[run_starts(pairs)] >> 32
    senders = np.bincount(pairs, minlength=len(rows)).astype(np.int32)
    return Prompts(number, rows, senders, log["words"][first] >= LEAST_WORDS)


def prompts_elsewhere(accounts: np.ndarray, context: ActorContext) -> OtherPrompts:
    """Return the counts of these accounts' prompts among all other accounts."""
    log_prompts = context.once(prompts)
    rows = context.rows_of(accounts)
    prompt, at, sent = np.unique(log_prompts.number[rows], return_inverse=True, return_counts=True)
    pairs = distinct(at.astype(np.int64) << 32 | context.log["account"][rows])
    senders = np.bincount(pairs >> 32, minlength=len(prompt))
    return OtherPrompts(prompt, log_prompts.rows[prompt] - sent, log_prompts.senders[prompt] - senders)
