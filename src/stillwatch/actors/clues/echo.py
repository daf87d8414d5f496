"""Answers given to one account of the group that come back in requests of another: one operation.

It needs no randomised hold, and it cannot tie an account that never got an answer.

Null: two, and both must be rejected; the larger p-value counts. (1) Which tenants' requests quote an answer
    given to the group is unrelated to the group: of the tenants whose requests contained passages on that
    day, each is as likely, or likely by how many it sent, whichever favours the group more. A tenant is
    counted once as quoting and once as answered, so that no customer who quotes many (a judge, a collector)
    can carry the test. (2) The group's accounts merely share texts that both have. Then the request is as
    likely before the answer as the times of the two accounts' exchanges imply; each pair counts once.
Blind to: answers that are reworded, translated or shorter than some sixty words; one account that handles the
    answers of all the others; exchanges whose completion is not in the log.
Fooled by: people who pass answers on to each other, such as a class or a team of annotators: it shows that
    answers pass, not that one operator passes them. It therefore makes no account high-confidence.
Source: docs/evidence.md, "Answers that come back"; the exact tail of independent, unequal trials (Poisson
    binomial).
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, Tie, evidence_bits
from stillwatch.actors.echo import Echoes, answered_us, echoes, echoes_in
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.units import DAY_US, HOUR_US

NAME = "echo"
CONTROL = "provider"  # clients do not choose who gets which answer, though they choose what to quote
CLASS = "answers"
ECHO_P_VALUE = 1e-2  # at most, for a lead or a finding to quote it
PAIR_BITS = 6.0  # of one pair, at most: a single answer may have been passed on


@dataclass(frozen=True)
class AnswerEcho:
    """An answer that came back: evidence that a person can check."""

    answered: int  # the account's code
    answered_us: int  # when it asked
    quoted_by: int
    quoted_us: int
    passages: int  # passages of the answer in the request


@dataclass(frozen=True)
class EchoEvidence:
    """How often answers to a group's accounts come back in requests of its other accounts."""

    p_value: float
    pairs: int  # directed pairs of an answered and a quoting account of the group, each once
    quoting: int  # accounts, inside or outside, that quote answers given to it, as the test counts them
    inside: int  # of these, accounts of the group
    expected: float  # of these, if quoting were unrelated to the group
    earlier: int  # pairs of the group in which the request came before the answer
    tied: tuple[int, ...]  # codes of accounts that quote another's answer and whose answer another quotes
    text: str
    echoes: tuple[AnswerEcho, ...] = ()  # the first of each pair, by time


def echo_evidence(
    log: ExchangeLog,
    accounts: Iterable[str],
    tenant: np.ndarray | None = None,
    log_echoes: Echoes | None = None,
) -> EchoEvidence | None:
    """Test whether answers given to a group come back in the group; None if none does.

    tenant: (accounts,) tenant of each, by default each account; log_echoes: the log's echoes by tenant, if
    already known. The nulls are described in the module.
    """
    tenant = np.arange(len(log.accounts), dtype=np.int32) if tenant is None else tenant
    log_echoes = echoes(log, tenant) if log_echoes is None else log_echoes
    if not len(log_echoes):
        return None
    names = set(accounts)
    code = {name: k for k, name in enumerate(log.accounts)}
    members = np.zeros(len(log.accounts), bool)
    members[[code[name] for name in names if name in code]] = True
    in_group = np.zeros(len(log.accounts), bool)  # by tenant
    in_group[tenant[members]] = True
    giver = tenant[log["account"][log_echoes.answer]]
    taker = tenant[log["account"][log_echoes.request]]
    given = np.flatnonzero(in_group[giver])
    within = given[in_group[taker[given]]]
    forward = within[log_echoes.forward[within]]
    if not len(forward):
        return None
    quoting, inside, chances = _who_quotes(
        log, tenant, in_group, log_echoes, given[log_echoes.forward[given]]
    )
    by_group = _tail(chances, inside)
    after, orders = _which_first(log, tenant, log_echoes, within)
    p_value = max(by_group, _tail(orders, after))
    first = _first_of_each_pair(log, giver, taker, log_echoes, forward)
    tied_tenants = np.intersect1d(giver[forward], taker[forward])
    both = np.isin(tenant, tied_tenants) & members
    tied = tuple(np.flatnonzero(both).tolist())
    pair = giver.astype(np.int64) << 32 | taker
    earlier = len(np.unique(pair[within[~log_echoes.forward[within]]]))
    text = (
        f"In {len(first):,} directed pairs of its accounts an answer to one came back in a request of the "
        f"other, and nobody else was answered or had brought it; of {quoting:,} accounts that quote its "
        f"answers {inside:,} are its own, {chances.sum():.1f} by chance; {earlier:,} pairs had the text "
        f"before (p = {p_value:.2g}). People who pass answers on look the same."
    )
    return EchoEvidence(
        p_value, len(first), quoting, inside, float(chances.sum()), earlier, tied, text, first
    )


def group_evidence(context: ActorContext, accounts: np.ndarray) -> EchoEvidence | None:
    """Return the evidence of some accounts, by code; None if what came back may be chance."""
    log = context.log
    names = [log.accounts[a] for a in accounts]
    evidence = echo_evidence(log, names, context.tenants, context.once(echoes_in))
    return evidence if evidence is not None and evidence.p_value <= ECHO_P_VALUE else None


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Count the actor's accounts whose requests contain answers to others of them, compared with chance."""
    evidence = group_evidence(context, actor.accounts)
    if evidence is None:
        return None
    bits = evidence_bits(evidence.p_value, 1e-300)
    each = min(PAIR_BITS, bits)
    return ClueWeight(
        bits,
        evidence.text,
        evidence.inside / evidence.quoting,
        evidence.expected / evidence.quoting,
        None,
        evidence.quoting,
        tuple(Tie(e.quoted_by, each, _pair_text(e), e.answered, firm=False) for e in evidence.echoes),
    )


def _pair_text(echo: AnswerEcho) -> str:
    hours = (echo.quoted_us - echo.answered_us) / HOUR_US
    return f"{echo.passages} passages of an answer to one came {hours:.1f} hours later in the other's request"


def _who_quotes(
    log: ExchangeLog, tenant: np.ndarray, in_group: np.ndarray, log_echoes: Echoes, given: np.ndarray
) -> tuple[int, int, np.ndarray]:
    """Return accounts that quote the group's answers, those inside it, and each one's chance to be inside."""
    day = log["ts_us"] // DAY_US
    who = tenant[log["account"]]
    brought = np.count_nonzero(log.brought, axis=1)
    order = given[np.lexsort((log_echoes.answer[given], log["ts_us"][log_echoes.request[given]]))]
    givers: set[int] = set()
    takers: set[int] = set()
    requests: set[int] = set()
    chances, inside = [], 0
    for k in order.tolist():
        a, b = int(who[log_echoes.answer[k]]), int(who[log_echoes.request[k]])
        if a in givers or b in takers or int(log_echoes.request[k]) in requests:
            continue
        low, high = np.searchsorted(day, [day[log_echoes.request[k]], day[log_echoes.request[k]] + 1])
        passages = np.bincount(who[low:high], brought[low:high], minlength=len(in_group))
        passages[[a, *takers]] = 0.0
        active = passages > 0
        by_number = (active & in_group).sum() / max(1, active.sum())
        by_amount = passages[in_group].sum() / max(1.0, passages.sum())
        chances.append(max(by_number, by_amount))
        inside += bool(in_group[b])
        givers.add(a)
        takers.add(b)
        requests.add(int(log_echoes.request[k]))
    return len(chances), inside, np.array(chances)


def _which_first(
    log: ExchangeLog, tenant: np.ndarray, log_echoes: Echoes, within: np.ndarray
) -> tuple[int, np.ndarray]:
    """Return in how many pairs of the group the answer came first, and each pair's chance of that."""
    who = tenant[log["account"]]
    answer_us = answered_us(log)
    times = {True: answer_us, False: log["ts_us"]}
    begun = np.minimum(answer_us[log_echoes.answer[within]], log["ts_us"][log_echoes.request[within]])
    rows = {
        True: np.flatnonzero(np.any(log.answered, axis=1)),
        False: np.flatnonzero(np.any(log.brought, axis=1)),
    }
    times_of: dict[tuple[int, bool], np.ndarray] = {}
    for kind, own in rows.items():
        own = own[np.isin(who[own], who[np.r_[log_echoes.answer[within], log_echoes.request[within]]])]
        for code in np.unique(who[own]).tolist():
            times_of[code, kind] = np.sort(times[kind][own[who[own] == code]])
    givers: set[int] = set()
    takers: set[int] = set()
    pairs: set[frozenset[int]] = set()
    chances, after = [], 0
    for k in within[np.lexsort((log_echoes.answer[within], begun))].tolist():
        a, b = int(who[log_echoes.answer[k]]), int(who[log_echoes.request[k]])
        if a in givers or b in takers or frozenset((a, b)) in pairs:
            continue
        givers.add(a)
        takers.add(b)
        pairs.add(frozenset((a, b)))
        later = len(times_of[a, True]) and np.searchsorted(times_of[a, True], times_of[b, False], side="left")
        chances.append(float(np.mean(later)) / len(times_of[a, True]))
        after += bool(log_echoes.forward[k])
    return after, np.array(chances)


def _tail(chances: np.ndarray, seen: int) -> float:
    """P(at least `seen` of independent trials with these chances)."""
    sums = np.ones(1)
    for chance in chances:
        sums = np.convolve(sums, (1.0 - chance, chance))
    return float(min(1.0, sums[seen:].sum()))


def _first_of_each_pair(
    log: ExchangeLog, giver: np.ndarray, taker: np.ndarray, log_echoes: Echoes, forward: np.ndarray
) -> tuple[AnswerEcho, ...]:
    order = forward[
        np.lexsort((log_echoes.answer[forward], log_echoes.request[forward]))
    ]  # rows are in order of time
    seen: set[tuple[int, int]] = set()
    first = []
    account, ts = log["account"], log["ts_us"]
    for k in order.tolist():
        if (pair := (int(giver[k]), int(taker[k]))) in seen:
            continue
        seen.add(pair)
        a, b = int(log_echoes.answer[k]), int(log_echoes.request[k])
        passages = int(log_echoes.passages[k])
        first.append(AnswerEcho(int(account[a]), int(ts[a]), int(account[b]), int(ts[b]), passages))
    return tuple(first)
