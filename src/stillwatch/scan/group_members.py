"""Selects the accounts that an alarm names, and their exchanges that show what they share."""

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.signature import NEEDED
from stillwatch.scan.alarms import Alarm
from stillwatch.stats.dealing import distinct

FEW_FINGERPRINTS = 20  # own fingerprints below which accounts need not carry any
FEW_CARRIED = 6  # nor if the median account carries fewer than this


def marked_rows(context: ActorContext, alarm: Alarm) -> np.ndarray:
    """(exchanges,) bool: those that show what an alarm's accounts share.

    Their settings; else at least two of their own fingerprints, or of any if they have none.
    """
    log = context.log
    if alarm.settings is not None:
        limit, temperature = alarm.settings
        return (log["max_tokens"] == limit) & (log["temperature_milli"] == temperature)
    own = alarm.own_fingerprints()
    if not len(own):
        marked_by_any: np.ndarray = context.once(_rows_marked_by_any, of_uses=True)
        return marked_by_any
    rows, carried = np.unique(context.use_row[context.uses_of(own)], return_counts=True)
    marked = np.zeros(len(log), bool)
    marked[rows[carried >= NEEDED]] = True
    return marked


def _rows_marked_by_any(context: ActorContext) -> np.ndarray:
    """(exchanges,) bool: those that carry at least two fingerprints of any group."""
    marked: np.ndarray = np.bincount(context.use_row, minlength=len(context.log)) >= NEEDED
    return marked


def accounts_of(
    named: dict[int, int], tenant: np.ndarray, excused: set[int]
) -> tuple[np.ndarray, dict[int, int]]:
    """Return the accounts of named tenants, without those whose use is permitted, and when each was named."""
    named_at = {
        int(code): named[int(p)]
        for code, p in enumerate(tenant)
        if int(p) in named and int(code) not in excused
    }
    return np.array(sorted(named_at), np.int32), named_at


def last_us_of_tenants(context: ActorContext) -> np.ndarray:
    """(tenants,) int64: when each sent its last exchange."""
    sender, ts = context.log["account"], context.log["ts_us"]
    last_us = np.zeros(int(context.tenants.max(initial=0)) + 1, np.int64)
    named = sender >= 0
    last_us[context.tenants[sender[named]]] = ts[named]  # the last write stays: rows are in time order
    return last_us


def who_took_part(
    sender: np.ndarray, tenant: np.ndarray, accounts: np.ndarray, marked: np.ndarray
) -> np.ndarray:
    """Return those of some accounts with an exchange that shows what the group shares.

    An account is not named for what a colleague sent. If no account of a tenant has such an exchange, all
    stay: other evidence tied the tenant.

    sender: (exchanges,) account of each; tenant: (accounts of the log,) tenant of each; marked: (exchanges,)
    bool: those that show it.
    """
    took_part = np.isin(accounts, sender[marked])
    return accounts[took_part | ~np.isin(tenant[accounts], tenant[accounts[took_part]])]


def matching_accounts(context: ActorContext, accounts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """Return the accounts that carry at least three of the fingerprints, and a tenth of the median account's.

    An actor with hardly any fingerprints of its own sets no such condition.
    """
    if len(own) < FEW_FINGERPRINTS or len(accounts) == 0:
        return accounts
    log = context.log
    fingerprints = len(context.fingerprint_kind)
    use = context.uses_of(own)
    pairs = distinct(
        log["account"][context.use_row[use]].astype(np.int64) * fingerprints + context.use_fingerprint[use]
    )
    carried = np.bincount(pairs // fingerprints, minlength=len(log.accounts))[accounts]
    usual = float(np.median(carried))
    return accounts[carried >= least_carried(len(own), usual)]


def least_carried(own: int, usual: float) -> float:
    """Return how many of its actor's fingerprints an account must carry; the median one carries `usual`."""
    return max(3.0, 0.1 * usual) if own >= FEW_FINGERPRINTS and usual >= FEW_CARRIED else 0.0


def rows_since(context: ActorContext, accounts: np.ndarray, marked: np.ndarray, since_us: int) -> np.ndarray:
    """Return every exchange of the accounts since each first showed what they share (`marked`).

    since_us: the beginning of the window that raised the alarm; earlier exchanges are left out.
    """
    log = context.log
    own_rows = context.rows_of(accounts)
    rows = own_rows[marked[own_rows] & (log["ts_us"][own_rows] >= since_us)]
    first = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    return own_rows[own_rows >= first[log["account"][own_rows]]]
