"""Whom an alarm names, and which of their exchanges show what they share. It judges nobody."""

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.signature import NEEDED
from stillwatch.scan.alarms import Alarm
from stillwatch.stats.dealing import distinct

FEW_FINGERPRINTS = 20  # own fingerprints below which nothing is asked of an account
FEW_CARRIED = 6  # nor where the median account carries fewer than this


def marked_rows(context: ActorContext, alarm: Alarm) -> np.ndarray:
    """(exchanges,) bool: those that show what an alarm's accounts share.

    Their settings; else at least two of their own fingerprints, or of any where they have none.
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
    """(exchanges,) bool: those that carry at least two fingerprints of anybody."""
    marked: np.ndarray = np.bincount(context.use_row, minlength=len(context.log)) >= NEEDED
    return marked


def accounts_of(
    named: dict[int, int], tenant: np.ndarray, excused: set[int]
) -> tuple[np.ndarray, dict[int, int]]:
    """The accounts of named tenants, less those whose use is permitted, and when each was named."""
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
    last_us[context.tenants[sender[named]]] = ts[named]  # of several the last stays: rows are in time order
    return last_us


def who_took_part(
    sender: np.ndarray, tenant: np.ndarray, accounts: np.ndarray, marked: np.ndarray
) -> np.ndarray:
    """Of some accounts those with an exchange that shows what the group shares.

    A colleague is not named for what another one sent. All stay of a tenant none of whose accounts has such
    an exchange: something else tied it.

    sender: (exchanges,) whose each is; tenant: (accounts of the log,) who counts as one; marked: (exchanges,)
    bool: those that show it.
    """
    took_part = np.isin(accounts, sender[marked])
    return accounts[took_part | ~np.isin(tenant[accounts], tenant[accounts[took_part]])]


def matching_accounts(context: ActorContext, accounts: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The accounts that carry a tenth of the fingerprints that the median one carries, and three at least.

    Where an actor has hardly any fingerprints of its own, nothing can be asked of its accounts.
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
    """How many of its actor's own fingerprints an account must carry; the median account carries `usual`."""
    return max(3.0, 0.1 * usual) if own >= FEW_FINGERPRINTS and usual >= FEW_CARRIED else 0.0


def rows_since(context: ActorContext, accounts: np.ndarray, marked: np.ndarray, since_us: int) -> np.ndarray:
    """Every exchange of the accounts since each first showed what they share (`marked`).

    since_us: the beginning of the window that raised the alarm; what lies further back is left out.
    """
    log = context.log
    own_rows = context.rows_of(accounts)
    rows = own_rows[marked[own_rows] & (log["ts_us"][own_rows] >= since_us)]
    first = np.full(len(log.accounts), len(log), np.int64)
    np.minimum.at(first, log["account"][rows], rows)
    return own_rows[own_rows >= first[log["account"][own_rows]]]
