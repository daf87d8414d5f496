"""A natural experiment in the log: is an account's refused text soon asked word for word by another?

No holds are needed: rate limits, bans and outages are in the log already, and clients do not choose whom they
hit. A positive answer turns a lead into a finding.

Null: a refused text is asked again by another customer as rarely as outside the group, and as rarely as the
    group's own answered texts.
Blind to: a queue that waits, continues with the same account, or rewords its text; a log without texts,
    statuses or refusals; a group that is no lead; accounts of one private mail domain or one main network,
    since they may be colleagues.
Fooled by: one honest operator of accounts that nothing shows to be one customer's; an outage in the very
    minutes in which a class asks the same.
Source: docs/evidence.md, refused work; docs/field.md, signal 13.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stillwatch.actors import evidence_bits
from stillwatch.compiled_code.library import kernels
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.scan import OwnReaction, Reason
from stillwatch.signals import BundleEvidence
from stillwatch.stats.dealing import components, distinct
from stillwatch.stats.subsets import Stratum, rate_tail, subset_tail
from stillwatch.units import HOUR_US, MINUTE_US

NEVER = np.iinfo(np.int64).max

NAME = "failover"
LEVEL = 1e-3  # of one lead: one in a thousand without a common queue is expected to pass
BET = 0.5  # least share of its refused texts that a queue passes on: the bet against the nulls
LEAST_CUSTOMERS = 3  # customers that took part: two may be one person with two cards
WITHIN_US = 10 * MINUTE_US
STRATUM_US = 6 * HOUR_US
# share of honest failures that another account repeats, counted on the first author's development worlds
LEAST_RATE = 0.008
HOURS_US = 12 * HOUR_US  # a queue may come back to its failed work the same night
FEW_CUSTOMERS = 3  # customers that ever asked one text: classes and benchmarks have more
NOTHING = "No text of this group was refused: nothing can be said from refusals."


@dataclass(frozen=True)
class Repeat:
    """One refused text that another account asked, for a person to check."""

    refused: str  # the account
    refused_us: int
    repeated_by: str
    repeated_us: int


@dataclass(frozen=True)
class FailoverEvidence:
    """How often a group's refused texts were asked again by another of its accounts."""

    p_value: float
    refused: int  # texts of one account that were refused
    repeated: int  # of these, asked by another account of the group within minutes
    rate_elsewhere: float  # the same rate outside the group; any other account counts
    text: str
    repeats: tuple[Repeat, ...] = ()  # by time; a repeat by one account alone is a coincidence, not a tie


@dataclass(frozen=True)
class FailoverFinding:
    """A group whose refused work continues at its other accounts, and the accounts that took part."""

    found_us: int  # when enough refused texts had moved
    p_value: float  # then
    text: str
    moved: int
    refused: int
    rate: float  # upper bound on the share of other texts that another customer asks as soon
    own: Mapping[int, OwnReaction]  # by code of each account that took part
    named_us: Mapping[int, int]  # when it had taken part, not before `found_us`
    since_us: int  # the first move


@dataclass(frozen=True)
class TextRuns:
    """One row for each run of requests in which an account asks one text."""

    begin_us: np.ndarray
    account: np.ndarray  # (n,) code
    asked_us: np.ndarray  # from when another account may repeat it: the first refusal, or the beginning
    refused: np.ndarray  # (n,) bool
    by: np.ndarray  # (n,) the row that repeats it first, -1: none
    row: np.ndarray  # (n,) the log's row where it begins

    @property
    def repeated(self) -> np.ndarray:
        """(n,) bool: whether another account asks the text soon after."""
        return self.by >= 0


def failover_finding(
    log: ExchangeLog, codes: np.ndarray, customer: np.ndarray, suspects: Iterable[int] = ()
) -> FailoverFinding | None:
    """Return the evidence that a group's refused work continues at its other customers; None without.

    A bet at `BET` on each refused text, against the larger of two rates known at that moment: of refused
    texts outside the group, and of the group's own answered texts. If the rates were exact, its gains would
    reach 1 / `LEVEL` with chance `LEVEL` at most, however often they are read (Ville's inequality). They must
    still be that high at the log's end. Within six hours, which texts were refused must also be associated
    with which were asked again (`subset_tail`); this is tested at each moved text.

    codes: (n,) the group's accounts; customer: (accounts of the log,) the customer of each; suspects:
    accounts of groups that pass work on, excluded from the rate outside.
    Source: Ville 1939; Shafer 2021, J. R. Stat. Soc. A 184:407 (testing by betting).
    """
    inside = np.zeros(len(log.accounts) + 1, bool)
    inside[codes] = True
    has_account = log["account"] >= 0
    rows = inside[log["account"]] & has_account
    runs = _text_runs(log, rows, customer)
    moved = runs.refused & runs.repeated
    if moved.sum() < LEAST_CUSTOMERS:
        return None
    seen_us, settled_us = settling_times(runs)
    end_us = int(log["ts_us"][-1])  # the moved texts must suffice there too
    moves_us = np.append(np.sort(seen_us[moved]), end_us)
    inside[list(suspects)] = True
    outside = _refused_outside(log, inside[log["account"]], customer)
    rate = np.maximum(_rates(outside, outside.refused, moves_us), _rates(runs, ~runs.refused, moves_us))
    rate = np.clip(rate, LEAST_RATE, BET)
    k = np.minimum(np.arange(1, len(moves_us) + 1), len(moves_us) - 1)
    n = np.searchsorted(np.sort(settled_us[runs.refused]), moves_us, side="right")
    gains = k * np.log(BET / rate) + (n - k) * np.log((1 - BET) / (1 - rate))
    if gains[-1] < -np.log(LEVEL) or k[-1] < BET * n[-1]:  # colleagues take over less of a team's work
        return None
    for at in np.flatnonzero(gains >= -np.log(LEVEL)):
        by_now = settled_us <= moves_us[at]
        by_stratum = subset_tail(_strata(runs, by_now))
        parts = _first_parts(runs, moved & by_now)
        if by_stratum <= LEVEL and len(np.unique(customer[list(parts)])) >= LEAST_CUSTOMERS:
            p_value = max(float(np.exp(-gains[at])), by_stratum)
            return _finding(runs, int(moves_us[at]), p_value, rate[-1])
    return None


def _finding(runs: TextRuns, found_us: int, p_value: float, rate: float) -> FailoverFinding:
    moved = runs.refused & runs.repeated
    refused = int(runs.refused.sum())
    parts = _first_parts(runs, moved)
    own = {}
    for code in sorted(parts):
        own_refused = runs.refused & (runs.account == code)
        passed_on, taken_over = (
            int((own_refused & moved).sum()),
            int((moved & (runs.account[runs.by] == code)).sum()),
        )
        tails = (
            rate_tail(passed_on, int(own_refused.sum()), rate),
            rate_tail(taken_over, refused - int(own_refused.sum()), rate),
        )
        own[code] = OwnReaction(
            int(own_refused.sum()), passed_on, taken_over, min(1.0, len(tails) * min(tails))
        )
    text = (
        f"{int(moved.sum()):,} of {refused:,} texts that one of its accounts was refused were asked word for "
        f"word by another customer's account of the group within {WITHIN_US // MINUTE_US} minutes; of other "
        f"texts at most {rate:.1%} are"
    )
    named_us = {code: max(at_us, found_us) for code, at_us in parts.items()}
    return FailoverFinding(
        found_us, p_value, text, int(moved.sum()), refused, float(rate), own, named_us, min(parts.values())
    )


def failover_reason(finding: FailoverFinding) -> Reason:
    """Return the evidence as a finding's reason."""
    bits = round(evidence_bits(finding.p_value, 1e-300), 3)
    return Reason(NAME, finding.text, bits, finding.moved / finding.refused, finding.rate, n=finding.refused)


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Count the refused and moved texts of the finding's accounts again, from a bundle.

    The tested group may have been larger. `p_here`: P(at least this many moved) at the stated rate.
    """
    moved, refused = evidence.moved_texts(), sum(evidence.refused_texts().values())
    rate = evidence.numbers("failover")["baseline"]
    if rate is None:  # absent in older scans
        return {}
    return {
        "moved_here": len(moved),
        "refused_here": refused,
        "customers_here": len({evidence.customer(a) for pair in moved for a in pair}),
        "p_here": evidence.chance_of(len(moved), refused, rate),
    }


def own_text(own: OwnReaction) -> str:
    """Describe one account's own evidence from the refusals of a log."""
    return (
        f"of its {own.refused:,} refused texts {own.repeated:,} were asked by other customers of the group "
        f"within {WITHIN_US // MINUTE_US} minutes; it asked {own.taken_over:,} that others were refused "
        f"(its own p = {own.p_value:.2g})"
    )


def settling_times(texts: TextRuns) -> tuple[np.ndarray, np.ndarray]:
    """(n,) when each text is asked by another, if ever; and when it is known whether it is."""
    seen_us = np.where(texts.repeated, texts.begin_us[texts.by], NEVER)
    return seen_us, np.minimum(seen_us, texts.asked_us + WITHIN_US)


def _rates(texts: TextRuns, chosen: np.ndarray, moments_us: np.ndarray) -> np.ndarray:
    """(moments,) the share of some texts that others ask, by each moment, with one added to both counts."""
    seen_us, settled_us = settling_times(texts)
    so_far = np.searchsorted(np.sort(seen_us[chosen & texts.repeated]), moments_us, side="right")
    settled = np.searchsorted(np.sort(settled_us[chosen]), moments_us, side="right")
    rates: np.ndarray = (so_far + 1) / (settled + 1)
    return rates


def _first_parts(texts: TextRuns, moved: np.ndarray) -> dict[int, int]:
    """Return account code -> when it first took part in a move, by asking or by being refused."""
    first: dict[int, int] = {}
    for k in np.flatnonzero(moved):
        at_us = int(texts.begin_us[texts.by[k]])
        for code in (int(texts.account[k]), int(texts.account[texts.by[k]])):
            first[code] = min(first.get(code, at_us), at_us)
    return first


def failover_evidence(
    log: ExchangeLog, accounts: Iterable[str], customer: np.ndarray | None = None
) -> FailoverEvidence:
    """Test whether a refused text of one account is asked by another account of the group within minutes.

    Refused: status 403, 408, 429, 5xx. An account's repeats of one text count once. Two nulls must both be
    rejected; the larger p-value counts. customer: (accounts of the log,) of each.

    Null: (1) among the group's own texts of the same six hours, which were refused is independent of which
        are asked again by another account: texts that the group shares anyway (a class, a benchmark) are
        asked again as often when they were answered. (2) A refused text is asked again no more often than
        outside the group, where every other account counts, and no more often than `LEAST_RATE`.
    Blind to: a log without refusals, texts or statuses; a queue that waits for the same account; rewording.
    Fooled by: an honest client that continues with another of its own accounts; an outage in which a class
        that asks one question is denser than in the rest of its six hours.
    Source: docs/field.md, signal 13; the rate of honest failovers is that of the development worlds (0.8 %).
    """
    if len(log) == 0:
        return FailoverEvidence(1.0, 0, 0, 0.0, NOTHING)
    names = set(accounts)
    inside = np.array([account in names for account in log.accounts] + [False])[log["account"]]
    runs = _text_runs(log, inside, customer)
    outside = _refused_outside(log, inside, customer)
    refused, repeated = int(runs.refused.sum()), int((runs.refused & runs.repeated).sum())
    elsewhere = int(outside.refused.sum())
    rate = float((outside.refused & outside.repeated).sum() / elsewhere) if elsewhere else 0.0
    by_rate = rate_tail(repeated, refused, max(rate, LEAST_RATE))
    p_value = max(by_rate, subset_tail(_strata(runs, np.ones(len(runs.by), bool)))) if refused else 1.0
    if not refused:
        text = NOTHING
    else:
        text = (
            f"{repeated:,} of {refused:,} refused texts were asked word for word by another account of the "
            f"group within {WITHIN_US // MINUTE_US} minutes; outside the group "
            f"{rate:.1%} are (p = {p_value:.2g})."
        )
    return FailoverEvidence(p_value, refused, repeated, rate, text, _repeats(log, runs))


def failover_least_p_value(log: ExchangeLog, rows: np.ndarray) -> float:
    """Return a lower bound on the p-value of `failover_evidence`, from the group's exchanges alone.

    Most groups show nothing: that spares the count over the rest of the log. rows: all of the group's.
    """
    inside = np.zeros(len(log), bool)
    inside[rows] = True
    runs = _text_runs(log, inside)
    refused, repeated = int(runs.refused.sum()), int((runs.refused & runs.repeated).sum())
    return rate_tail(repeated, refused, LEAST_RATE) if refused else 1.0


def refusal_groups(log: ExchangeLog, payer: np.ndarray) -> list[tuple[float, np.ndarray]]:
    """Return groups of accounts that take over what others are refused: p-value and codes of each.

    Two customers are tied if one asks what the other was refused within `HOURS_US`, in a text that at most
    `FEW_CUSTOMERS` ever asked. Groups are the connected components of these ties. The p-value is that of the
    repeats at the rate `LEAST_RATE`. Since the group was formed from them, it ranks groups and proves
    nothing. payer: (accounts,) the payer of each.
    """
    chosen = np.flatnonzero((log["exact"] != 0) & (log["account"] >= 0))
    failed = _is_failed(log["status"])
    texts = np.unique(log["exact"][chosen[failed[chosen]]])
    rows = chosen[np.isin(log["exact"][chosen], texts)]
    rows = rows[np.lexsort((log["ts_us"][rows], log["exact"][rows]))]
    text, who, at_us = log["exact"][rows], payer[log["account"][rows]], log["ts_us"][rows]
    ties: list[tuple[int, int]] = []
    bounds = [0, *(np.flatnonzero(text[1:] != text[:-1]) + 1).tolist(), len(rows)]
    for low, high in pairwise(bounds):
        customers = who[low:high]
        if not 1 < len(set(customers.tolist())) <= FEW_CUSTOMERS:
            continue
        for k in range(low, high):
            later = np.flatnonzero((customers != who[k]) & (at_us[low:high] > at_us[k]))
            if failed[rows[k]] and len(later) and at_us[low + later[0]] <= at_us[k] + HOURS_US:
                ties.append((int(who[k]), int(customers[later[0]])))
    tied = np.array(ties, np.int64).reshape(-1, 2)
    group = components(tied[:, 0], tied[:, 1], len(payer))
    refused = np.bincount(payer[log["account"][chosen[failed[chosen]]]], minlength=len(payer))
    groups = []
    for number, moved in Counter(group[tied[:, 0]].tolist()).items():
        customers = np.flatnonzero(group == number)
        attempts = int(refused[customers].sum())
        codes = np.flatnonzero(np.isin(payer, customers))
        groups.append((rate_tail(min(moved, attempts), attempts, LEAST_RATE), codes))
    return groups


def _is_failed(status: np.ndarray) -> np.ndarray:
    failed: np.ndarray = (status == 403) | (status == 408) | (status == 429) | (status >= 500)
    return failed


def _refused_outside(log: ExchangeLog, inside: np.ndarray, customer: np.ndarray | None) -> TextRuns:
    """Return only the texts refused outside a group, with all runs of them there."""
    outside = ~inside & (log["account"] >= 0)
    refused = distinct(log["exact"][outside & _is_failed(log["status"])])
    return _text_runs(log, outside & np.isin(log["exact"], refused), customer)


def refused_texts(log: ExchangeLog, customer: np.ndarray, most: int) -> TextRuns:
    """Return all runs of the refused texts that at most this many customers ever asked.

    customer: (accounts of the log,) the customer of each.
    """
    rows = (log["account"] >= 0) & (log["exact"] != 0)
    texts = distinct(log["exact"][rows & _is_failed(log["status"])])
    rows &= np.isin(log["exact"], texts)
    _, text = np.unique(log["exact"][rows], return_inverse=True)
    pairs = distinct(text.astype(np.int64) * len(customer) + customer[log["account"][rows]])
    asked_by = np.bincount(pairs // len(customer), minlength=int(text.max(initial=-1)) + 1)
    rows[np.flatnonzero(rows)[asked_by[text] > most]] = False
    return _text_runs(log, rows, customer)


def _text_runs(log: ExchangeLog, rows: np.ndarray, customer: np.ndarray | None = None) -> TextRuns:
    rows_with_text = np.flatnonzero(rows & (log["exact"] != 0))
    if len(rows_with_text) == 0:
        empty = np.zeros(0, np.int64)
        return TextRuns(empty, empty, empty, empty.astype(bool), empty, empty)
    ts, account, exact = (
        log["ts_us"][rows_with_text],
        log["account"][rows_with_text],
        log["exact"][rows_with_text],
    )
    status = log["status"][rows_with_text]
    failed = _is_failed(status)
    order = np.lexsort((ts, account, exact))
    ts, account, exact, failed = ts[order], account[order], exact[order], failed[order]
    row = rows_with_text[order]
    starts = np.r_[
        True, (exact[1:] != exact[:-1]) | (account[1:] != account[:-1]) | (ts[1:] - ts[:-1] > WITHIN_US)
    ]
    begin = np.flatnonzero(starts)
    run = np.cumsum(starts) - 1
    refused = np.zeros(len(begin), bool)
    refused[run[failed]] = True
    asked_us = ts[begin].copy()
    first_failed = np.flatnonzero(failed)[::-1]
    asked_us[run[first_failed]] = ts[first_failed]
    exact, account, ts = exact[begin], account[begin], ts[begin]
    customers = account if customer is None else customer[account]
    customers = customers.astype(np.int32, copy=False)
    order = np.lexsort((ts, exact))  # runs by text and beginning
    by = np.full(len(exact), -1, np.int64)  # first run of the same text by another soon after, or -1
    kernels.first_other(exact, customers, ts, asked_us, order, len(exact), WITHIN_US, by)
    return TextRuns(ts, account, asked_us, refused, by, row[begin])


def _repeats(log: ExchangeLog, texts: TextRuns) -> tuple[Repeat, ...]:
    repeats = np.flatnonzero(texts.refused & texts.repeated)
    repeats = repeats[np.argsort(texts.asked_us[repeats], kind="stable")]
    return tuple(
        Repeat(
            log.accounts[texts.account[k]],
            int(texts.asked_us[k]),
            log.accounts[texts.account[texts.by[k]]],
            int(texts.begin_us[texts.by[k]]),
        )
        for k in repeats
    )


def _strata(texts: TextRuns, counted: np.ndarray) -> list[Stratum]:
    strata = []
    stratum = texts.begin_us // STRATUM_US
    for span in np.unique(stratum[texts.refused & counted]):
        in_span = counted & (stratum == span)
        refused, repeated = texts.refused[in_span], texts.repeated[in_span]
        strata.append(
            Stratum(
                int(in_span.sum()), int(repeated.sum()), int(refused.sum()), int((refused & repeated).sum())
            )
        )
    return strata
