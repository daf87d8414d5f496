"""The accounts that a scan sets aside from a group before it judges the rest, by which rule, on what facts.

Payment, networks and mail domains come from the owner's own records: a wrong record sets aside the wrong
account. Each account that was set aside is therefore recorded with the facts, and a bundle's checker recounts
what its events show.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.signature import LEAST_IN
from stillwatch.actors.spread import Spread
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import SetAside
from stillwatch.scan.alarms import NEVER
from stillwatch.scan.explanations import Products, class_members, share_instruments
from stillwatch.scan.sites import event_members, main_networks, site_members, sites
from stillwatch.stats.dealing import run_starts
from stillwatch.units import time_of

COPIED_AFTER_US = 43_200_000_000  # half a day in which no other account used a fingerprint
COPIED_LEAST = 8  # fingerprints
KEPT_SIGNATURE = 0.5  # of a group's own fingerprints, after some of its accounts were set aside
PRODUCT, SITE, EVENT, CLASS = "product", "site", "event", "class"
COPIED, PERMISSION, OTHER = "copied_from", "permission", "other_alarm"
RULES: Mapping[str, str] = {
    PRODUCT: "run one vendor's product",
    SITE: "sit at one site",
    EVENT: "were at one event",
    CLASS: "are of teaching institutions",
    COPIED: "had the wording before it was copied",
    PERMISSION: "have a permission for such use",
    OTHER: "belong to another alarm",
}
# account code -> its record; its network is the log's code until `list_set_aside`
Aside = dict[int, SetAside]


def users_of_software(context: ActorContext, accounts: np.ndarray, marked: np.ndarray) -> Aside:
    """Return those of some accounts that use a product which they use far more than the log does.

    marked: (exchanges,) bool: those that show what the accounts share.
    """
    log = context.log
    rows = context.rows_of(accounts)
    used = context.once(_products).users(log["account"], accounts.tolist(), rows[marked[rows]], 0, len(log))
    users = np.array(sorted(used), np.int32)
    # an existing program with old wording explains it, whoever pays
    if not context.established and share_instruments(context.known, users, context.tenants):
        return {}
    return by_product(context, used)


def by_product(context: ActorContext, used: Mapping[int, str]) -> Aside:
    """Record users of products (account code -> its product), with the last request that named it."""
    last = context.once(_last_named)
    asides = {}
    for account, name in sorted(used.items()):
        at_us = last.get((account, name))
        if at_us is not None:
            asides[account] = SetAside(
                context.log.accounts[account], PRODUCT, product=name, last=time_of(at_us)
            )
    return asides


def openly_together(context: ActorContext, accounts: np.ndarray) -> Aside:
    """Return those of some accounts that were at one event, or sit at one site."""
    network, (first, last) = context.once(_networks), context.once(_first_and_last_us)
    asides: Aside = {}
    for account in event_members(context.known, network, accounts, first, last).tolist():
        seen = time_of(int(first[account])), time_of(int(last[account]))
        name, net = context.log.accounts[account], int(network[account])
        asides[account] = SetAside(name, EVENT, network=net, first=seen[0], last=seen[1])
    at_site = site_members(context.once(_sites), accounts).tolist()
    account_count, system = context.once(_accounts_per_network), context.once(_system_of_network)
    for account in at_site:
        net = int(network[account])
        aside = SetAside(
            context.log.accounts[account],
            SITE,
            network=net,
            asn=system[net],
            accounts_there=account_count[net],
        )
        asides.setdefault(account, aside)
    return asides


def students(context: ActorContext, accounts: np.ndarray) -> Aside:
    """Return those of some accounts at teaching institutions, if they are far more than in the table."""
    known, names = context.known, context.log.accounts
    members = class_members(known, accounts).tolist()
    return {a: SetAside(names[a], CLASS, mail_domain=known.email_domain[a].lower()) for a in members if known}


def keep_signature(spread: Spread, own: np.ndarray, tenants: np.ndarray) -> bool:
    """Return whether several of the remaining tenants took up half of a group's own fingerprints.

    Otherwise the wording was that of the accounts set aside, and the rest are no group by it. A group without
    fingerprints of its own passes. own: (n,) indices, ascending.
    """
    if not len(own):
        return True
    entries = np.isin(spread.entry_fingerprint, own) & np.isin(spread.entry_tenant, tenants)
    entered = np.bincount(np.searchsorted(own, spread.entry_fingerprint[entries]), minlength=len(own))
    return bool(np.mean(entered >= LEAST_IN) >= KEPT_SIGNATURE)


def copied_from(spread: Spread, own: np.ndarray) -> dict[int, tuple[int, int]]:
    """Return tenants that used most of their fingerprints long before any other: the pool copied them.

    Framing a bystander by copying his wording therefore fails. A pool's own first account is left out too if
    it tried the wording alone for that long. For each: fingerprints used that early, and carried.
    """
    is_own = np.flatnonzero(np.isin(spread.entry_fingerprint, own))
    fingerprint, who, at = (
        spread.entry_fingerprint[is_own],
        spread.entry_tenant[is_own],
        spread.entry_us(is_own),
    )
    # entries are in time order, so those of each fingerprint stay so
    order = np.argsort(fingerprint, kind="stable")
    fingerprint, who, at = fingerprint[order], who[order], at[order]
    first = np.flatnonzero(run_starts(fingerprint))
    first = first[np.diff(first, append=len(fingerprint)) >= 2]
    led_alone = at[first + 1] - at[first] >= COPIED_AFTER_US
    tenants = int(who.max()) + 1 if len(who) else 0
    carried = np.bincount(who, minlength=tenants)
    led = np.bincount(who[first[led_alone]], minlength=tenants)
    copied = np.flatnonzero((led >= COPIED_LEAST) & (led >= 0.5 * carried)).tolist()
    return {p: (int(led[p]), int(carried[p])) for p in copied}


def before_the_alarm(context: ActorContext, marked: np.ndarray, aside: Mapping[int, str]) -> Aside:
    """Record the accounts of tenants that an alarm's judgement set aside (`Judgement.aside`).

    marked: (exchanges,) bool, those that show what the alarm's accounts share: only senders count.
    """
    if not aside:
        return {}
    senders, tenant = np.unique(context.log["account"][marked]).tolist(), context.tenants
    products = {a: aside[int(tenant[a])] for a in senders if a >= 0 and int(tenant[a]) in aside}
    others = {a: SetAside(context.log.accounts[a], OTHER) for a, product in products.items() if not product}
    return others | by_product(context, {a: product for a, product in products.items() if product})


def bystanders(
    context: ActorContext,
    accounts: Iterable[int],
    copied: Mapping[int, tuple[int, int]],
    kinds: Mapping[int, KindOfUse],
) -> Aside:
    """Return those of some accounts whose wording was copied, and those whose use is permitted."""
    asides: Aside = {}
    tenant = context.tenants
    for account in accounts:
        name = context.log.accounts[account]
        if (counts := copied.get(int(tenant[account]))) is not None:
            asides[account] = SetAside(name, COPIED, ahead=counts[0], carried=counts[1])
        elif (kind := kinds.get(account)) is not None and kind.excuses == "case":
            asides[account] = SetAside(name, PERMISSION, kind_of_use=kind.kind)
    return asides


def of_other_alarms(context: ActorContext, accounts: Iterable[int]) -> Aside:
    """Record accounts that another finding has already."""
    return {int(a): SetAside(context.log.accounts[a], OTHER) for a in accounts}


def list_set_aside(
    aside: Aside, accused: Collection[int], finding_of: Mapping[str, str]
) -> tuple[SetAside, ...]:
    """Return the records of a finding, in order of account, without accounts that it accuses after all.

    Networks are renumbered, so that a number reveals nothing of an address. finding_of: account -> finding.
    """
    number: dict[int, int] = {}
    listed = []
    for entry in sorted(
        (entry for a, entry in aside.items() if a not in accused), key=lambda entry: entry.account
    ):
        net = None if entry.network is None else number.setdefault(entry.network, len(number) + 1)
        finding = finding_of.get(entry.account) if entry.rule == OTHER else None
        listed.append(replace(entry, network=net, finding=finding))
    return tuple(listed)


def by_rule(set_aside: Iterable[SetAside]) -> dict[str, int]:
    """Count the accounts that each rule set aside."""
    return dict(sorted(Counter(entry.rule for entry in set_aside).items()))


def aside_text(counts: Mapping[str, int]) -> str:
    """State in one line how many accounts were set aside, and why; "" if none was.

    >>> aside_text({"site": 9, "product": 1})
    "10 accounts that look alike were set aside: 9 sit at one site, 1 run one vendor's product"
    """
    total = sum(counts.values())
    if not total:
        return ""
    each = ", ".join(
        f"{n:,} {RULES.get(rule, rule)}"
        for rule, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    noun = "account that looks alike was" if total == 1 else "accounts that look alike were"
    return f"{total:,} {noun} set aside: {each}"


def _last_named(context: ActorContext) -> dict[tuple[int, str], int]:
    """Return when each account last sent a request whose user agent named each product."""
    log = context.log
    number = context.once(_products).of_rows()
    rows = np.flatnonzero((number >= 0) & (log["account"] >= 0))
    names = context.once(_products).names
    products = max(len(names), 1)
    pairs = log["account"][rows].astype(np.int64) * products + number[rows]
    # rows are in time order: reversed, the last comes first
    distinct_pairs, place = np.unique(pairs[::-1], return_index=True)
    at_us = log["ts_us"][rows[::-1][place]]
    return {
        (int(p // products), names[int(p % products)]): int(t)
        for p, t in zip(distinct_pairs, at_us, strict=True)
    }


def _products(context: ActorContext) -> Products:
    return Products(context.log)


def _networks(context: ActorContext) -> np.ndarray:
    return main_networks(context.log)


def _sites(context: ActorContext) -> np.ndarray:
    return sites(context.log, context.once(_networks))


def _accounts_per_network(context: ActorContext) -> dict[int, int]:
    """Return for each network how many accounts send most from it."""
    network, counts = np.unique(context.once(_networks), return_counts=True)
    return dict(zip(network.tolist(), counts.tolist(), strict=True))


def _system_of_network(context: ActorContext) -> dict[int, int]:
    """Return the autonomous system of each network with a site; it has one only."""
    log, site = context.log, context.once(_sites)
    rows = np.flatnonzero((log["account"] >= 0) & (log["net"] == site[log["account"]]) & (log["asn"] > 0))
    return dict(zip(log["net"][rows].tolist(), log["asn"][rows].tolist(), strict=True))


def _first_and_last_us(context: ActorContext) -> tuple[np.ndarray, np.ndarray]:
    """(accounts,) int64 twice: when each was seen first and last."""
    account, at_us = context.log["account"], context.log["ts_us"]
    first, last = np.full(len(context.log.accounts), NEVER), np.zeros(len(context.log.accounts), np.int64)
    np.minimum.at(first, account, at_us)
    np.maximum.at(last, account, at_us)
    return first, last
