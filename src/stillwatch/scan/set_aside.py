"""Whom a scan sets aside from a group before it judges the rest, by which rule, on what facts.

It accuses nobody. What is known of payment, systems and mail domains is the owner's word: whoever keeps it
wrong sets aside whom he likes. So each account that was set aside is written down with the facts, and a
bundle's checker counts again what its events show.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.spread import Spread
from stillwatch.features.kinds import KindOfUse
from stillwatch.scan import SetAside
from stillwatch.scan.alarms import NEVER
from stillwatch.scan.explanations import Products, class_members, share_instruments
from stillwatch.scan.harvest import moment
from stillwatch.scan.sites import event_members, main_networks, site_members, sites

COPIED_AFTER_US = 43_200_000_000  # half a day in which nobody else used a fingerprint
COPIED_LEAST = 8  # fingerprints
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
Aside = dict[
    int, SetAside
]  # account code -> what is written down; its network is the log's code until `list_set_aside`


def users_of_software(world: ActorContext, accounts: np.ndarray) -> Aside:
    """Of some accounts the users of a product that they use far more than the log does."""
    log = world.log
    used = world.once(_products).users(log["account"], accounts.tolist(), 0, len(log))
    users = np.array(sorted(used), np.int32)
    tenant = np.arange(len(log.accounts)) if world.tenant is None else world.tenant
    return {} if share_instruments(world.known, users, tenant) else by_product(world, used)


def by_product(world: ActorContext, used: Mapping[int, str]) -> Aside:
    """Write down users of products (account code -> its product), with the last request that named it."""
    last = world.once(_last_named)
    found = {}
    for account, name in sorted(used.items()):
        at_us = last.get((account, name))
        if at_us is not None:
            found[account] = SetAside(world.log.accounts[account], PRODUCT, product=name, last=moment(at_us))
    return found


def openly_together(world: ActorContext, accounts: np.ndarray) -> Aside:
    """Of some accounts those that were at one event, or sit at one site."""
    network, (first, last) = world.once(_networks), world.once(_seen_us)
    found: Aside = {}
    for account in event_members(world.known, network, accounts, first, last).tolist():
        seen = moment(int(first[account])), moment(int(last[account]))
        name, net = world.log.accounts[account], int(network[account])
        found[account] = SetAside(name, EVENT, network=net, first=seen[0], last=seen[1])
    at_site = site_members(world.once(_sites), accounts).tolist()
    there, system = world.once(_accounts_there), world.once(_systems)
    for account in at_site:
        net = int(network[account])
        one = SetAside(
            world.log.accounts[account], SITE, network=net, asn=system[net], accounts_there=there[net]
        )
        found.setdefault(account, one)
    return found


def students(world: ActorContext, accounts: np.ndarray) -> Aside:
    """Of some accounts those of teaching institutions, where they are far more than in the table."""
    known, names = world.known, world.log.accounts
    members = class_members(known, accounts).tolist()
    return {a: SetAside(names[a], CLASS, mail_domain=known.email_domain[a].lower()) for a in members if known}


def copied_from(spread: Spread, own: np.ndarray) -> dict[int, tuple[int, int]]:
    """Tenants that used most of the fingerprints they carry long before anybody else: the pool copied them.

    Whoever would frame a bystander by copying his wording finds him left out. A pool's own first account is
    left out too where it tried the wording alone for so long. Of each: fingerprints that it used so, and
    carries.
    """
    mine = np.isin(spread.entry_fingerprint, own)
    fingerprint, who, at = spread.entry_fingerprint[mine], spread.entry_tenant[mine], spread.entry_us[mine]
    # entries are in time order, so each fingerprint's stay in it
    order = np.argsort(fingerprint, kind="stable")
    fingerprint, who, at = fingerprint[order], who[order], at[order]
    first = (
        np.flatnonzero(np.r_[True, fingerprint[1:] != fingerprint[:-1]])
        if len(fingerprint)
        else np.zeros(0, np.int64)
    )
    first = first[np.diff(np.r_[first, len(fingerprint)]) >= 2]
    alone = at[first + 1] - at[first] >= COPIED_AFTER_US
    tenants = int(who.max()) + 1 if len(who) else 0
    carried = np.bincount(who, minlength=tenants)
    led = np.bincount(who[first[alone]], minlength=tenants)
    copied = np.flatnonzero((led >= COPIED_LEAST) & (led >= 0.5 * carried)).tolist()
    return {p: (int(led[p]), int(carried[p])) for p in copied}


def before_the_alarm(
    world: ActorContext, tenant: np.ndarray, marked: np.ndarray, aside: Mapping[int, str]
) -> Aside:
    """Write down the accounts of tenants that an alarm's judgement set aside (`Judgement.aside`).

    marked: (exchanges,) bool, those that show what the alarm's accounts share: only who sent some is meant.
    """
    if not aside:
        return {}
    shown = np.unique(world.log["account"][marked]).tolist()
    of = {a: aside[int(tenant[a])] for a in shown if a >= 0 and int(tenant[a]) in aside}
    others = {a: SetAside(world.log.accounts[a], OTHER) for a, product in of.items() if not product}
    return others | by_product(world, {a: product for a, product in of.items() if product})


def bystanders(
    world: ActorContext,
    accounts: Iterable[int],
    tenant: np.ndarray,
    copied: Mapping[int, tuple[int, int]],
    kinds: Mapping[int, KindOfUse],
) -> Aside:
    """Of some accounts those whose wording was copied, and those whose use is permitted."""
    found: Aside = {}
    for account in accounts:
        name = world.log.accounts[account]
        if (fingerprints := copied.get(int(tenant[account]))) is not None:
            found[account] = SetAside(name, COPIED, ahead=fingerprints[0], carried=fingerprints[1])
        elif (kind := kinds.get(account)) is not None and kind.excuses == "case":
            found[account] = SetAside(name, PERMISSION, kind_of_use=kind.kind)
    return found


def of_other_alarms(world: ActorContext, accounts: Iterable[int]) -> Aside:
    """Write down accounts that another finding has already."""
    return {int(a): SetAside(world.log.accounts[a], OTHER) for a in accounts}


def list_set_aside(
    aside: Aside, accused: Collection[int], finding_of: Mapping[str, str]
) -> tuple[SetAside, ...]:
    """Give what is written down of a finding, in order of account, without whom it accuses after all.

    Networks are numbered anew, so that a number says nothing of an address. finding_of: account -> finding.
    """
    number: dict[int, int] = {}
    out = []
    for one in sorted((one for a, one in aside.items() if a not in accused), key=lambda one: one.account):
        net = None if one.network is None else number.setdefault(one.network, len(number) + 1)
        finding = finding_of.get(one.account) if one.rule == OTHER else None
        out.append(replace(one, network=net, finding=finding))
    return tuple(out)


def by_rule(set_aside: Iterable[SetAside]) -> dict[str, int]:
    """How many accounts each rule set aside."""
    return dict(sorted(Counter(one.rule for one in set_aside).items()))


def aside_text(counts: Mapping[str, int]) -> str:
    """Say in one line how many accounts were set aside, and why; "" where none was.

    >>> aside_text({"site": 9, "product": 1})
    '10 accounts that look alike were set aside: 9 sit at one site, 1 run one vendor\\'s product'
    """
    many = sum(counts.values())
    if not many:
        return ""
    each = ", ".join(
        f"{n:,} {RULES.get(rule, rule)}"
        for rule, n in sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    )
    noun = "account that looks alike was" if many == 1 else "accounts that look alike were"
    return f"{many:,} {noun} set aside: {each}"


def _last_named(world: ActorContext) -> dict[tuple[int, str], int]:
    """When each account last sent a request whose user agent named each product."""
    log = world.log
    number = world.once(_products).of_rows()
    rows = np.flatnonzero((number >= 0) & (log["account"] >= 0))
    names = world.once(_products).names
    many = max(len(names), 1)
    pairs = log["account"][rows].astype(np.int64) * many + number[rows]
    found, place = np.unique(pairs[::-1], return_index=True)  # rows are in time order: the last comes first
    at_us = log["ts_us"][rows[::-1][place]]
    return {(int(p // many), names[int(p % many)]): int(t) for p, t in zip(found, at_us, strict=True)}


def _products(world: ActorContext) -> Products:
    return Products(world.log)


def _networks(world: ActorContext) -> np.ndarray:
    return main_networks(world.log)


def _sites(world: ActorContext) -> np.ndarray:
    return sites(world.log, world.once(_networks))


def _accounts_there(world: ActorContext) -> dict[int, int]:
    """Of each network how many accounts send most from it."""
    network, counts = np.unique(world.once(_networks), return_counts=True)
    return dict(zip(network.tolist(), counts.tolist(), strict=True))


def _systems(world: ActorContext) -> dict[int, int]:
    """The autonomous system of each network in which anybody sits at a site; it has one only."""
    log, site = world.log, world.once(_sites)
    rows = np.flatnonzero((log["account"] >= 0) & (log["net"] == site[log["account"]]) & (log["asn"] > 0))
    return dict(zip(log["net"][rows].tolist(), log["asn"][rows].tolist(), strict=True))


def _seen_us(world: ActorContext) -> tuple[np.ndarray, np.ndarray]:
    """(accounts,) int64 twice: when each was seen first and last."""
    whose, at_us = world.log["account"], world.log["ts_us"]
    first, last = np.full(len(world.log.accounts), NEVER), np.zeros(len(world.log.accounts), np.int64)
    np.minimum.at(first, whose, at_us)
    np.maximum.at(last, whose, at_us)
    return first, last
