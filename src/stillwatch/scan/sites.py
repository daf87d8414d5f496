"""Accounts that openly sit together: in an office, a class, at an event.

A pool that hides gives each account an address of its own. One that does not hide is visible to the owner.
"""

from functools import lru_cache
from importlib.resources import files

import numpy as np

from stillwatch.actors import AccountFacts
from stillwatch.exchanges.log import ExchangeLog
from stillwatch.units import DAY_US

LEAST_AT_SITE = 3  # accounts of a log that send most from one network
LEAST_MEMBERS = 3  # of a group at sites or at an event; fewer may be chance
EVENT_US = 3 * DAY_US  # from the first request to the last of a hackathon, a workshop, a weekend
FAR = np.iinfo(np.int64).max


def main_networks(log: ExchangeLog) -> np.ndarray:
    """(accounts,) int64: the network from which each account sends most, -1 if unknown."""
    rows = np.flatnonzero((log["net"] >= 0) & (log["account"] >= 0))
    networks = int(log["net"][rows].max(initial=0)) + 1
    who = log["account"][rows].astype(np.int64)
    pairs, count = np.unique(who * networks + log["net"][rows], return_counts=True)
    main = np.full(len(log.accounts), -1, np.int64)
    order = np.argsort(count, kind="stable")  # the last write stays
    main[pairs[order] // networks] = pairs[order] % networks
    return main


@lru_cache(maxsize=1)
def hosting_networks() -> np.ndarray:
    """(n,) int64: sorted numbers of autonomous systems whose addresses are rented servers.

    Source: https://github.com/brianhama/bad-asn-list, and large clouds missing there.
    """
    text = files("stillwatch.scan").joinpath("hosting_networks.txt").read_text("utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return np.array(sorted(int(word) for line in lines for word in line.split()), np.int64)


def sites(log: ExchangeLog, network: np.ndarray) -> np.ndarray:
    """(accounts,) int64: the network of each account that sits at a site, else -1.

    A site is the main network of three accounts or more whose autonomous system is known and is no hosting
    company's: one address of a cloud serves strangers, or a pool's own server. A network belongs to one
    system; if the log has several for it, they are ignored. No number, and 0, mean unknown and contradict
    nothing: exchanges may be older than the table of networks.

    network: as `main_networks`.
    """
    rows = (log["account"] >= 0) & (log["net"] == network[log["account"]]) & (log["asn"] > 0)
    system = np.full(len(network), -1, np.int64)
    system[log["account"][rows]] = log["asn"][rows]  # with several writes the last stays
    _, place = np.unique(network, return_inverse=True)
    has_system = system > 0
    accounts_per_place = np.bincount(place[has_system], minlength=len(network))
    least, most = np.full(len(accounts_per_place), FAR), np.full(len(accounts_per_place), -1)
    np.minimum.at(least, place[has_system], system[has_system])
    np.maximum.at(most, place[has_system], system[has_system])
    is_site = (accounts_per_place >= LEAST_AT_SITE) & (least == most) & ~np.isin(most, hosting_networks())
    return np.where((network >= 0) & is_site[place], network, -1)


def site_members(site: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """Return those of some accounts that sit at a site with another of them. site: as `sites`."""
    return _beside_others(site, accounts)


def event_members(
    known: AccountFacts | None,
    network: np.ndarray,
    accounts: np.ndarray,
    first_us: np.ndarray,
    last_us: np.ndarray,
) -> np.ndarray:
    """Return those of some accounts that look like people at one event: a hackathon, a workshop.

    They pay nothing, each sends most from a network that another of them uses, as a team at its table does,
    and all their requests ever are within the same three days. A pool that looks like this gets only what is
    free, for that long. If it pays, moves or continues, it is judged like any other.

    network: as `main_networks`; first_us, last_us: (accounts of the log,) int64, of each.
    """
    if known is None or not any(known.payment):  # no payment facts are known
        return accounts[:0]
    unpaid = [a for a in accounts.tolist() if network[a] >= 0 and not known.payment[a]]
    who = np.array(unpaid, accounts.dtype)
    who = who[last_us[who] - first_us[who] <= EVENT_US]
    begin, end = np.sort(first_us[who]), np.sort(last_us[who])
    # those that began before the window have ended by its end, since none stays longer
    present = np.searchsorted(end, begin + EVENT_US, side="right") - np.searchsorted(begin, begin)
    if not len(present) or present.max() < LEAST_MEMBERS:
        return accounts[:0]
    opens = begin[np.argmax(present)]
    return _beside_others(network, who[(first_us[who] >= opens) & (last_us[who] <= opens + EVENT_US)])


def _beside_others(place: np.ndarray, accounts: np.ndarray) -> np.ndarray:
    """Return those of some accounts whose place another has too; none for a pair. place: -1 if unknown."""
    who = accounts[place[accounts] >= 0]
    _, at, together = np.unique(place[who], return_inverse=True, return_counts=True)
    who = who[together[at] > 1]
    return who if len(who) >= LEAST_MEMBERS else who[:0]
