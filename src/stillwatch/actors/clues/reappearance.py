"""Accounts stop and new ones take up their work within hours: a ban, and the replacement accounts.

Null: when a member stops, as many accounts take the actor's wording up in the next hours as at other times
    (Poisson over the campaign's span).
Blind to: a pool that pauses for longer than the window after a ban.
Fooled by: shift work: a team whose members hand over every morning.
Source: docs/field.md, signal 14 (GTG-16005: a second pool took over after a ban).
"""

import numpy as np

from stillwatch.actors import Actor, ActorContext, ClueWeight, Tie, evidence_bits
from stillwatch.signals import Signal
from stillwatch.stats.tails import poisson_tail
from stillwatch.units import HOUR_US

NAME = "reappearance"
CONTROL = "provider"
CLASS = "timing"
SIGNAL = Signal(atlas=("AML.T0021", "Establish Accounts", "fresh accounts took over from silenced ones"))
WITHIN_US = 12 * HOUR_US
SILENT_US = 24 * HOUR_US  # an account without exchanges for this long before the log ends has stopped
LEAST_STOPPED = 4


def weigh(actor: Actor, context: ActorContext) -> ClueWeight | None:
    """Compare the accounts that start within twelve hours after a wave of stops with the usual rate."""
    log = context.log
    account, ts = log["account"][actor.rows], log["ts_us"][actor.rows]
    names, at = np.unique(account, return_inverse=True)
    first = np.full(len(names), np.iinfo(np.int64).max)
    last = np.zeros(len(names), np.int64)
    np.minimum.at(first, at, ts)
    np.maximum.at(last, at, ts)
    # the campaign must continue after a stop: its own last day shows nothing
    stops = np.sort(last[last < min(int(log["ts_us"][-1]), int(ts.max())) - SILENT_US])
    if len(stops) < LEAST_STOPPED:
        return None
    ends = np.searchsorted(stops, stops + 6 * HOUR_US)
    waves = ends - np.arange(len(stops))
    k = int(np.argmax(waves))
    if waves[k] < LEAST_STOPPED:
        return None
    moment = int(stops[min(ends[k], len(stops)) - 1])
    fresh = (first > moment) & (first <= moment + WITHIN_US)
    begun = first > first.min() + WITHIN_US
    span = max(int(ts.max() - ts.min()), WITHIN_US)
    expected = max(begun.sum() * WITHIN_US / span, 0.5)
    p_value = poisson_tail(int(fresh.sum()), float(expected))
    if fresh.sum() < LEAST_STOPPED or p_value > 0.001:
        return None
    bits = evidence_bits(p_value)
    return ClueWeight(
        bits,
        f"{int(waves[k])} accounts fell silent within six hours, and {int(fresh.sum())} fresh ones took the "
        f"work up within twelve; {expected:.1f} were to be expected",
        float(fresh.sum()),
        float(expected),
        None,
        len(names),
        tuple(
            Tie(int(a), float(min(6.0, bits)), "took the work up after others were silenced")
            for a in names[fresh]
        ),
    )
