"""Finds further accounts that send a finding's wording with its settings.

Some ways to a finding see only a part of a pool: refused work names the accounts that took part in it, and
communities cut a large pool into pieces. What the named accounts share is learned from them: fingerprints
that several of them carry and hardly any other account does, and one output limit and temperature.

Null: only the finding's own operator sends its rare wording with its limit and its temperature.
Blind to: a pool that draws its settings at random, or leaves one of the two at the client's default.
Fooled by: an account that takes up a finding's texts and both settings after it is named with it. An account
that sent them half a day before any of the finding's accounts is not named, since a pool may copy the wording
of many.
Source: docs/scan.md, "Raising, naming, following, splitting"; measured on worlds by other authors
(docs/figures/worlds.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillwatch.actors import ActorContext
from stillwatch.actors.behaviour import EmergingRows, most_used, settings_of
from stillwatch.actors.fingerprints import carried_values
from stillwatch.actors.signature import Signature
from stillwatch.scan.alarms import NEVER
from stillwatch.scan.follow import LEAST_SIGNATURE, followers, marked_columns, signature_of
from stillwatch.scan.set_aside import COPIED_AFTER_US
from stillwatch.stats.dealing import begins, deal_rows, distinct

COMMON = 0.6  # of a finding's tenants have its limit, and its temperature
SHARE = 0.3  # of a tenant's exchanges carry the wording: a pool may hide its harvest among other requests
LEAST_CARRIERS = 3  # of a finding's tenants carry a fingerprint


@dataclass(frozen=True)
class KnownGroup:
    """A finding's accounts and the exchanges on which it rests."""

    accounts: np.ndarray  # (n,) int32 codes
    rows: np.ndarray  # (m,) int64 exchanges


@dataclass(frozen=True)
class MoreAccounts:
    """Tenants outside a group that send its rare wording, and which of them use its settings."""

    tenants: np.ndarray  # (n,) int32, ascending
    alike: np.ndarray  # (n,) bool: mostly uses the group's limit and temperature
    later: np.ndarray  # (n,) bool: did not send it long before the group
    marked: np.ndarray  # (exchanges,) bool: those that carry it
    fingerprints: np.ndarray  # (k,) int64 positions in `signature`
    signature: Signature


def more_accounts(context: ActorContext, groups: Sequence[KnownGroup]) -> list[MoreAccounts | None]:
    """Return for each group the tenants outside it that send its wording; None if it has none of its own."""
    log, tenant = context.log, context.tenants
    known = [_common_settings(context, group) for group in groups]
    carried = [
        _shared_values(context, group) if settings else np.zeros(0, np.uint32)
        for group, settings in zip(groups, known, strict=True)
    ]
    values = distinct(np.concatenate([np.zeros(0, np.uint32), *carried]))
    if not len(values):
        return [None] * len(groups)
    row_tenant = tenant[log["account"]]
    signature, every = signature_of(log, row_tenant, len(log.accounts), values)
    return [
        None if settings is None else _alike(context, group, settings, signature, every, row_tenant)
        for group, settings in zip(groups, known, strict=True)
    ]


def _common_settings(context: ActorContext, group: KnownGroup) -> tuple[int, int] | None:
    """Return the limit and temperature that most of a group's tenants set; None if they set none."""
    dealt = deal_rows(group.rows, context.tenants[context.log["account"]])
    common = []
    for used in _settings(context, dealt[1], dealt[2]):
        value, count = np.unique(used, return_counts=True)
        best = int(np.argmax(count)) if len(value) else 0
        if not len(value) or value[best] < 0 or count[best] < COMMON * len(used):
            return None
        common.append(int(value[best]))
    return common[0], common[1]


def _settings(context: ActorContext, begin: np.ndarray, rows: np.ndarray) -> list[np.ndarray]:
    """Return each tenant's most used limit and temperature. begin: (tenants + 1,) into rows."""
    settings, values = settings_of([context.log[name][rows] for name in ("max_tokens", "temperature_milli")])
    every = np.arange(len(rows), dtype=np.int32)
    used, _ = most_used(begin, every, settings, np.ones_like(every))
    return [value[code] for value, code in zip(values, used, strict=True)]


def _shared_values(context: ActorContext, group: KnownGroup) -> np.ndarray:
    """Return the fingerprints that several of a group's tenants carry, ascending."""
    log = context.log
    value, place = carried_values(tuple(column[group.rows] for column in marked_columns(log)))
    who = context.tenants[log["account"][group.rows]][place]
    pairs = distinct(value.astype(np.uint64) << np.uint64(32) | who.astype(np.uint64))
    carried, tenants = np.unique(pairs >> np.uint64(32), return_counts=True)
    return carried[tenants >= LEAST_CARRIERS].astype(np.uint32)


def _alike(
    context: ActorContext,
    group: KnownGroup,
    settings: tuple[int, int],
    signature: Signature,
    every: EmergingRows,
    row_tenant: np.ndarray,
) -> MoreAccounts | None:
    members = distinct(context.tenants[group.accounts]).astype(np.int32)
    own = signature.rare(members, int(np.count_nonzero(np.diff(every.begin))))
    if len(own) < LEAST_SIGNATURE:
        return None
    rows = (0, len(context.log))
    found = followers(own, signature, every, row_tenant, rows, 0, NEVER, share=SHARE)
    marked = np.zeros(len(context.log), bool)
    marked[signature.matching_rows(own, *rows)] = True
    beyond = ~np.isin(found.tenant, members)
    tenants, first = found.tenant[beyond], found.first_row[beyond]
    if not len(tenants):
        return None
    begin, end = every.begin[tenants], every.begin[tenants + 1]
    sent = [every.row[a:b] for a, b in zip(begin, end, strict=True)]
    since = [rows_of[rows_of >= row] for rows_of, row in zip(sent, first.tolist(), strict=True)]
    starts = begins(np.array([len(rows_of) for rows_of in since]))
    limit, temperature = _settings(context, starts, np.concatenate(since))
    alike = (limit == settings[0]) & (temperature == settings[1])
    ts, sent_by_group = context.log["ts_us"], context.rows_of(group.accounts)
    later = ts[first] > ts[sent_by_group[marked[sent_by_group]][0]] - COPIED_AFTER_US
    return MoreAccounts(tenants, alike, later, marked, own, signature)
