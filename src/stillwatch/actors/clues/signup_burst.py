"""Accounts that signed up in one burst.

Null: the actor's accounts signed up as the log's others did, except for a correlation within groups: people
    bring friends, courses come together (beta-binomial tail for the densest two days).
Blind to: aged and bought accounts.
Fooled by: a course, a hackathon, a campaign of the provider's own marketing.
Source: docs/field.md, signal 15.
"""

import math

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, Tie, evidence_bits
from stillwatch.signals import BundleEvidence, Signal
from stillwatch.stats.groups import concentration_tail
from stillwatch.units import DAY_US

NAME = "signup_burst"
CONTROL = "provider"
CLASS = "sign-up"
SIGNAL = Signal(atlas=("AML.T0021", "Establish Accounts", "accounts signed up in one burst"))
BURST_US = 2 * DAY_US
LEAST_ACCOUNTS = 4
LEAST_OTHERS = 20  # with fewer, their share in any two days is no measure
CORRELATION = 0.1  # allowed for honest groups, about as for their settings (scan/watch.py)


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the members' sign-ups in their densest two days with the population's share in them."""
    if context.known is None:
        return None
    created = context.known.created_us
    codes = actor.accounts[created[actor.accounts] > 0]
    if len(codes) < LEAST_ACCOUNTS:
        return None
    times = np.sort(created[codes])
    within = np.searchsorted(times, times + BURST_US, side="right") - np.arange(len(times))
    k = int(np.argmax(within))
    begin, count = times[k], int(within[k])
    others = np.delete(created, actor.accounts)
    others = others[others > 0]
    if len(others) < LEAST_OTHERS:
        return None
    inside = ((others >= begin) & (others <= begin + BURST_US)).sum()
    baseline = float((inside + 0.5) / (len(others) + 1))
    p_value = min(1.0, len(times) * concentration_tail(count, len(times), round(baseline, 6), CORRELATION))
    if count < LEAST_ACCOUNTS or p_value > 0.001:
        return None
    bits = evidence_bits(p_value)
    members = codes[(created[codes] >= begin) & (created[codes] <= begin + BURST_US)]
    return ClueWeight(
        bits,
        f"{count:,} of {len(times):,} accounts signed up within two days of each other; of the others "
        f"{baseline:.1%} signed up then",
        count / len(times),
        baseline,
        None,
        len(times),
        tuple(
            Tie(int(a), float(min(6.0, np.log2(1 / baseline))), "signed up in the campaign's burst")
            for a in members
        ),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute shares and bits again from a bundle."""
    return evidence.signups()


def recompute_ties(evidence: BundleEvidence) -> list[float]:
    """Compute again which accounts it ties, and by how many bits."""
    signups = evidence.signups()
    if not signups["n"]:
        return []
    return [min(6.0, math.log2(1 / signups["baseline"]))] * round(signups["actual"] * signups["n"])
