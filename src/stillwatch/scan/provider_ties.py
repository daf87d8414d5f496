"""Tests whether a group that shares new wording is also tied by payment and sign-up.

Used only if the log has no model names, or a single one, so that the strongest test of settings is missing.
It makes leads and never a finding: a class, an event or a reseller is tied in the same way.

Null: wording and payment are independent: a group's payment instruments are a random sample of those of the
    accounts that were active in the window (hypergeometric, times the instruments that could have been the
    most common); sign-ups as in the clue `signup_burst`. The smaller p-value is doubled.
Blind to: one card and one sign-up day for each account.
Fooled by: a class, a hackathon, a reseller, a launch: their users sign up or pay together.
Source: docs/field.md, signal 15 (Anthropic 2026-02: "shared payment methods").
"""

import numpy as np

from stillwatch.actors import AccountFacts
from stillwatch.actors.clues.signup_burst import BURST_US, CORRELATION
from stillwatch.stats.groups import concentration_tail
from stillwatch.stats.subsets import Stratum, subset_tail

LEAST_SHARE = 0.5  # of a group's accounts that one instrument pays for, or that sign up together
LEAST_TIED = 3


class ProviderTies:
    """The provider's facts on a log's accounts, by tenant. An organisation is one tenant: no tie."""

    def __init__(self, known: AccountFacts, tenants: np.ndarray) -> None:
        """tenants: (accounts,) the tenant of each account; a tenant is represented by one of its accounts."""
        single = np.array([not org for org in known.org], bool)
        name = [pays if alone else "" for pays, alone in zip(known.payment, single.tolist(), strict=True)]
        number = {pays: k for k, pays in enumerate(dict.fromkeys(filter(None, name)))}
        self._payment = np.array([number.get(pays, -1) for pays in name], np.int64)
        self._created_us = np.where(single, known.created_us, 0)
        self._instruments = len(number)
        self._last = len(tenants)

    def tail(self, members: np.ndarray, active: np.ndarray) -> tuple[float, str]:
        """Return the p-value of a group's ties, and the stronger tie as a sentence; 1.0 and "" without one.

        members: (n,) tenants; active: (m,) every tenant of the window, members included.
        """
        members = members[members < self._last]
        ties = [self._payment_tie(members, active), self._signup_tie(members, active)]
        p_value, text = min(ties, key=lambda tie: tie[0])
        return min(1.0, len(ties) * p_value), text

    def _payment_tie(self, members: np.ndarray, active: np.ndarray) -> tuple[float, str]:
        own, all_paid = self._payment[members], self._payment[active]
        own, all_paid = own[own >= 0], all_paid[all_paid >= 0]
        if len(own) < LEAST_TIED:
            return 1.0, ""
        inside = np.bincount(own, minlength=self._instruments)
        holders = np.bincount(all_paid, minlength=self._instruments)
        shared = np.flatnonzero(inside >= 2)
        tied = int(inside[shared].sum())
        if tied < max(LEAST_TIED, LEAST_SHARE * len(members)):
            return 1.0, ""
        strata = [Stratum(len(all_paid), int(holders[k]), len(own), int(inside[k])) for k in shared]
        p_value = min(1.0, min(subset_tail([stratum]) for stratum in strata) * int((holders >= 2).sum()))
        instruments = f"{len(shared)} payment instrument{'s' if len(shared) > 1 else ''}"
        return p_value, f"{instruments} pay for {tied:,} of {len(members):,} accounts"

    def _signup_tie(self, members: np.ndarray, active: np.ndarray) -> tuple[float, str]:
        times = np.sort(self._created_us[members])
        times = times[times > 0]
        others = self._created_us[np.setdiff1d(active, members)]
        others = others[others > 0]
        if len(times) < LEAST_TIED or not len(others):
            return 1.0, ""
        within = np.searchsorted(times, times + BURST_US, side="right") - np.arange(len(times))
        k = int(np.argmax(within))
        begin, count = times[k], int(within[k])
        if count < max(LEAST_TIED, LEAST_SHARE * len(members)):
            return 1.0, ""
        inside = int(((others >= begin) & (others <= begin + BURST_US)).sum())
        share = round((inside + 0.5) / (len(others) + 1), 6)
        p_value = min(1.0, len(times) * concentration_tail(count, len(times), share, CORRELATION))
        return p_value, f"{count:,} of {len(members):,} accounts signed up within two days of each other"


def lead_text(tie: str, p_value: float) -> str:
    """Return why a group tied by payment or sign-up is a lead, and no finding."""
    return (
        "the log names no model, so that the strongest test of a group could not be made; its accounts share "
        f"new wording, and {tie} (p {p_value:.2g}): a class, an event or a reseller would be tied so too"
    )
