"""Echoes: an answer to one tenant that comes back in a request of another.

The provider knows what it answered, to whom and when. A passage that it answered to only one tenant, and that
no request contained before, can only come from that answer or from a text that both have. A log without
completions has no echoes.

Null: the passages in a request were not taken from the answer. They are then from a text that both have,
    which comes as often before the answer as after it (`Echoes.forward` is false for those). Three passages
    must agree, so that one phrase makes no echo.
Blind to: answers that are reworded, translated or shorter than some sixty words; a quarter or less of a long
    answer; an answer inside a request of many thousand words; exchanges whose completion is not in the log.
Fooled by: a text that the model recites to one customer and another has already; answers that people pass on.
Source: docs/evidence.md, "Answers that come back".
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.column_file import ROWS_AT_ONCE, let_go
from stillwatch.exchanges.log import ExchangeLog

LEAST_PASSAGES = 3  # of one answer in one request: then at least 26 words are equal, and usually over 40
MOST_QUOTING = 2  # tenants besides the answered one: what more of them quote is public
# of one passage: the answered tenant and each quoting one may both answer and send it
MOST_ENTRIES = 2 + 2 * MOST_QUOTING
BROUGHT, ANSWERED = 0, 1


@dataclass(frozen=True)
class Echoes:
    """Pairs of an answer and a request of another tenant that share passages, one per row, in no order.

    forward: the answer came first, and no request had contained the passages before. Otherwise the request
    came first: a text that both have, which shows how often that happens.
    """

    answer: np.ndarray  # (n,) row of the log
    request: np.ndarray  # (n,) row of the log
    passages: np.ndarray  # (n,) that they share
    forward: np.ndarray  # (n,) bool

    def __len__(self) -> int:
        return len(self.answer)


_NO_ROWS = np.zeros(0, np.int64)
NONE = Echoes(_NO_ROWS, _NO_ROWS, _NO_ROWS, np.zeros(0, bool))


def echoes_in(context: ActorContext) -> Echoes:
    """Return the log's echoes, for `ActorContext.once`."""
    return echoes(context.log, context.tenants)


def answered_us(log: ExchangeLog) -> np.ndarray:
    """(exchanges,) when an answer was complete: it cannot have been copied before."""
    taken: np.ndarray = log["ts_us"] + np.maximum(log["latency_ms"].astype(np.int64), 0) * 1000
    return taken


def echoes(log: ExchangeLog, tenant: np.ndarray) -> Echoes:
    """Find every echo between tenants. Time grows with the log's passages, n log n of those that return."""
    if not len(log.answered) or not len(log.brought):
        return NONE
    row, kind, passage = _returning(log)
    if not len(row):
        return NONE
    who = tenant[log["account"][row]]
    when = np.where(kind == ANSWERED, answered_us(log)[row], log["ts_us"][row])
    order = np.lexsort((row, when, kind, who, passage))
    row, kind, passage, who, when = (column[order] for column in (row, kind, passage, who, when))
    same = (passage[1:] == passage[:-1]) & (who[1:] == who[:-1]) & (kind[1:] == kind[:-1])
    row, kind, passage, who, when = (  # a tenant's first of each kind
        column[np.r_[True, ~same]] for column in (row, kind, passage, who, when)
    )
    # (answer, request, forward) of each passage answered to one tenant and quoted by few; an answer that
    # repeats its own request does not count
    answer, request, forward = (np.empty(MOST_QUOTING * len(row), np.int64) for _ in range(3))
    n = kernels.echo_pairs(
        *(passage, who.astype(np.int32, copy=False), kind, when, row, len(row), MOST_QUOTING, MOST_ENTRIES),
        *(answer, request, forward),
    )
    key = (answer[:n] << 32 | request[:n]) << 1 | forward[:n]
    pairs, count = np.unique(key, return_counts=True)
    pairs, count = pairs[count >= LEAST_PASSAGES], count[count >= LEAST_PASSAGES]
    return Echoes(pairs >> 33, pairs >> 1 & 0xFFFFFFFF, count, (pairs & 1).astype(bool))


def _returning(log: ExchangeLog) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(row, kind, passage) of every passage that is in both an answer and a request."""
    size = 1 << min(28, max(16, (8 * len(log) - 1).bit_length()))
    seen = np.zeros(size, np.uint8)
    kernels.mark_passages(log.answered, log.answered.size, seen, size, 1)
    kernels.mark_passages(log.brought, log.brought.size, seen, size, 2)
    rows, kinds, values = [], [], []
    for kind, passages in ((BROUGHT, log.brought), (ANSWERED, log.answered)):
        for first in range(0, len(passages), ROWS_AT_ONCE):  # all at once would take several copies in memory
            block = passages[first : first + ROWS_AT_ONCE]
            at = np.nonzero((seen[block & (size - 1)] == 3) & (block != 0))
            rows.append(at[0] + first)
            kinds.append(np.full(len(at[0]), kind, np.int8))
            values.append(block[at])
        let_go((passages,))
    return np.concatenate(rows), np.concatenate(kinds), np.concatenate(values)
