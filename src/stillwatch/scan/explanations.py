"""Honest explanations that equal settings and one source of content leave open, from what the provider sees.

A group that has one of them stays a lead: a person, or the gateway's holds, must tell. It raises no alarm.
"""

from collections import Counter

import numpy as np

from stillwatch.actors import Known
from stillwatch.actors.clients import product, shared_product
from stillwatch.exchanges.log import ExchangeLog

MOST = 0.8  # of a group's accounts
MOST_USERS = 0.5  # of the log's accounts
SHARE_INSTRUMENT = 0.5  # of the accounts of one product that share a payment instrument: no mere customers
ACADEMIC = ("edu", "ac", "school")  # labels that registries give to institutions only


def honest_explanation(log: ExchangeLog, known: Known | None, accounts: np.ndarray, rows: np.ndarray) -> str:
    """Why a group may be honest whatever its settings and content, as a sentence, or "".

    accounts: codes; rows: their exchanges with the group's wording.
    """
    return _one_customer(known, accounts) or _software(log, known, accounts, rows)


def _one_customer(known: Known | None, accounts: np.ndarray) -> str:
    """Institutions' mail domains, or one instrument that pays for all: one customer, and openly so."""
    if known is None:
        return ""
    n = len(accounts)
    taught = Counter(d for a in accounts if _academic(d := known.email_domain[a].lower()))
    if sum(taught.values()) >= MOST * n:
        most = taught.most_common(1)[0][0]
        return f"{sum(taught.values()):,} of {n:,} accounts are of teaching institutions ({most}): a class"
    paid = Counter(known.payment[a] for a in accounts if known.payment[a])
    for _, count in paid.most_common(1):
        if count >= MOST * n:
            return f"one payment instrument pays for {count:,} of {n:,} accounts: an event, a reseller"
    return ""


def _academic(domain: str) -> bool:
    """Whether a domain stands under a label that only institutions get.

    >>> [_academic(d) for d in ("mit.edu", "uni.ac.at", "x.edu.au", "edu-tools.com")]
    [True, True, True, False]
    """
    labels = domain.split(".")
    return labels[-1] in ACADEMIC or (len(labels) > 2 and labels[-2] in ACADEMIC)


def _software(log: ExchangeLog, known: Known | None, accounts: np.ndarray, rows: np.ndarray) -> str:
    """One product's software in nearly all accounts' hands: its defaults make settings equal.

    Where most of the log's accounts use it too, the test's population shares are its defaults already.
    """
    if not log.agents:
        return ""
    account, agent = log["account"][rows], log["agent"][rows]
    agents = []
    for code in accounts.tolist():
        used = agent[(account == code) & (agent >= 0)]
        agents.append(log.agents[int(np.bincount(used).argmax())] if len(used) else "")
    name, count = shared_product(agents)
    if not name or _sharing(known, accounts) >= SHARE_INSTRUMENT:
        return ""
    of_product = np.isin(log["agent"], [k for k, agent in enumerate(log.agents) if product(agent) == name])
    users = len(np.unique(log["account"][of_product]))
    if users >= MOST_USERS * len(log.accounts):
        return ""
    return f"{count:,} of {len(accounts):,} accounts run {name}, whose defaults explain equal settings"


def _sharing(known: Known | None, accounts: np.ndarray) -> float:
    """The share of the accounts that share a payment instrument with another one of them."""
    if known is None:
        return 0.0
    paid = Counter(known.payment[a] for a in accounts if known.payment[a])
    return sum(count for count in paid.values() if count > 1) / max(len(accounts), 1)
