"""How settings clues speak: the commonest value of a setting among an actor's accounts, and its rarity.

Not a clue itself. It does not know which setting it is asked about.
"""

from collections.abc import Callable

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.stats.dealing import encode


def common_value(
    actor: Actor, world: ActorContext, column: str, name: str, shown: Callable[[int], str]
) -> ClueWeight | None:
    """Weigh the concentration of a setting: bits are minus log2 of the p-value the alarm's test gave it.

    shown: value code -> text for people.
    """
    p_value = actor.p_settings.get(column)
    if p_value is None or p_value > 0.05:
        return None
    log = world.log
    values, account = log[column][actor.rows], log["account"][actor.rows]
    own = _mostly(values, account)
    value, count = max(
        zip(*np.unique(list(own.values()), return_counts=True), strict=True), key=lambda x: (x[1], -x[0])
    )
    everyone, theirs = world.once(_commonest_values, column)
    others = theirs[~np.isin(everyone, actor.accounts)]
    baseline = float(np.mean(others == value)) if len(others) else 0.0
    bits = float(min(MOST_BITS, -np.log2(p_value)))
    actual = count / len(own)
    ties = tuple(
        Tie(
            a,
            float(min(MOST_BITS, np.log2(1 / max(baseline, 0.02)))),
            f"mostly uses {name} {shown(value)}, like the rest",
        )
        for a, v in own.items()
        if v == value
    )
    return ClueWeight(
        bits,
        f"{count:,} of {len(own):,} accounts mostly use {name} {shown(value)}; of the log's other "
        f"accounts {baseline:.0%} do",
        float(actual),
        baseline,
        None,
        len(own),
        ties,
    )


def _commonest_values(world: ActorContext, column: str) -> tuple[np.ndarray, np.ndarray]:
    """The log's accounts and the commonest value of each."""
    found = _mostly(world.log[column], world.log["account"])
    return np.array(list(found)), np.array(list(found.values()))


def _mostly(values: np.ndarray, account: np.ndarray) -> dict[int, int]:
    """Each account's commonest value; ties to the smaller."""
    levels, code = encode(values)
    pairs, n = np.unique(account.astype(np.int64) * len(levels) + code, return_counts=True)
    who, what = pairs // len(levels), pairs % len(levels)
    order = np.lexsort((what, -n, who))
    first = np.r_[True, who[order][1:] != who[order][:-1]] if len(who) else np.zeros(0, bool)
    return {int(a): int(levels[w]) for a, w in zip(who[order][first], what[order][first], strict=True)}
