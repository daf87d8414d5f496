"""Tests whether accounts signed up together: the provider knows it, and a client cannot change it later.

Used for groups whose wording was in use when a log began. Nothing shows then whether that wording was new, so
a years-old program looks like a campaign of last month. Its users signed up when they came to the provider; a
campaign's accounts were created for it.

Null: a group's accounts signed up when the log's others did, except for a correlation within groups. The gap
    between the first and the k-th of n such times is at most s with the probability that k - 1 of n or more
    are in a given share s of the others' (a spacing of uniform order statistics is a beta variable).
Blind to: aged and bought accounts; a campaign that has run as long as the provider.
Fooled by: a course, an event, a staff, all of whom sign up together; a program that was released lately.
Source: docs/field.md, signal 15.
"""

from dataclasses import dataclass

import numpy as np

from stillwatch.actors import IN_USE
from stillwatch.stats.groups import concentration_tail
from stillwatch.units import DAY_US

MOST = 0.75  # of the accounts: the shortest time in which this share signed up is examined
CORRELATION = 0.03  # allowed for honest groups, as for their model
SIGNED_TOGETHER = 1e-3  # greatest p-value at which accounts count as signed up together
LEAST_TIED = 3
APART = f"its wording was {IN_USE}, and its accounts signed up at times of their own"
LEAST_OTHERS = 20  # with fewer, their share in a time span is no measure


@dataclass(frozen=True)
class SignupSpan:
    """The shortest time in which most of a group signed up."""

    p_value: float
    days: float
    share: float  # of the other accounts, those that signed up then

    @property
    def text(self) -> str:
        """Return it as the end of a sentence."""
        return (
            f"{MOST:.0%} of them signed up within {max(1, round(self.days))} days, as {self.share:.1%} of "
            f"other accounts did (p {self.p_value:.1g})"
        )


NO_SPAN = SignupSpan(1.0, 0.0, 1.0)
ANY_SPAN = SignupSpan(0.0, 0.0, 1.0)  # if it does not matter


class Signups:
    """When the tenants of a log signed up (their first account), among those that have sent something."""

    def __init__(self, created_us: np.ndarray, tenant: np.ndarray, first_sent_us: np.ndarray) -> None:
        """Index a log's accounts.

        created_us: (accounts,) int64, 0 if unknown; tenant: (accounts,) the tenant of each; first_sent_us:
        (tenants,) int64, when each sent its first exchange.
        """
        unknown = np.iinfo(np.int64).max
        first = np.full(len(first_sent_us), unknown)
        np.minimum.at(first, tenant, np.where(created_us > 0, created_us, unknown))
        self._first_us, self._sent_us = np.where(first < unknown, first, 0), first_sent_us
        self._until_us, self._ordered_us = 0, np.zeros(0, np.int64)

    def span(self, members: np.ndarray, until_us: int) -> SignupSpan:
        """Compare a group's sign-up times with those of tenants that sent something before `until_us`.

        members: (n,) tenants, each once.
        """
        if until_us != self._until_us:
            self._until_us = until_us
            self._ordered_us = np.sort(self._first_us[(self._sent_us < until_us) & (self._first_us > 0)])
        times = np.sort(self._first_us[members[self._sent_us[members] < until_us]])
        times = times[times > 0]
        most, others = int(np.ceil(MOST * len(times))), len(self._ordered_us) - len(times)
        if most < LEAST_TIED or len(times) < MOST * len(members) or others < LEAST_OTHERS:
            return NO_SPAN
        spans = times[most - 1 :] - times[: len(times) - most + 1]
        k = int(np.argmin(spans))
        begin, end = times[k], times[k + most - 1]
        everybody, inside = (
            int(np.searchsorted(t, end, side="right") - np.searchsorted(t, begin))
            for t in (self._ordered_us, times)
        )
        share = round((everybody - inside + 0.5) / (others + 1), 6)
        p_value = min(1.0, len(spans) * concentration_tail(most - 1, len(times), share, CORRELATION))
        return SignupSpan(p_value, float(spans[k]) / DAY_US, share)
