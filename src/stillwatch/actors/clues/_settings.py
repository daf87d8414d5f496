"""Shared by the settings clues: the most common value of a setting among an actor's accounts, and its rarity.

Not a clue itself.
"""

from collections.abc import Callable

import numpy as np

from stillwatch.actors import MOST_BITS, Actor, ActorContext, ClueWeight, Tie
from stillwatch.stats.dealing import encode, run_starts


def common_value(
    actor: Actor, context: ActorContext, column: str, name: str, format_value: Callable[[int], str]
) -> ClueWeight | None:
    """Weigh the concentration of a setting: bits are minus log2 of its p-value in the alarm's test.

    format_value: value code -> text for people.
    """
    p_value = actor.p_settings.get(column)
    if p_value is None or p_value > 0.05:
        return None
    log = context.log
    values, account = log[column][actor.rows], log["account"][actor.rows]
    own_values = _commonest_by_account(values, account)
    value, count = max(
        zip(*np.unique(list(own_values.values()), return_counts=True), strict=True),
        key=lambda x: (x[1], -x[0]),
    )
    accounts, commonest = context.once(_commonest_values, column)
    others = commonest[~np.isin(accounts, actor.accounts)]
    baseline = float(np.mean(others == value)) if len(others) else 0.0
    bits = float(min(MOST_BITS, -np.log2(p_value)))
    actual = count / len(own_values)
    ties = tuple(
        Tie(
            a,
            float(min(MOST_BITS, np.log2(1 / max(baseline, 0.02)))),
            f"mostly uses {name} {format_value(value)}, like the rest",
        )
        for a, v in own_values.items()
        if v == value
    )
    return ClueWeight(
        bits,
        f"{count:,} of {len(own_values):,} accounts mostly use {name} {format_value(value)}; of the log's "
        f"other accounts {baseline:.0%} do",
        float(actual),
        baseline,
        None,
        len(own_values),
        ties,
    )


def _commonest_values(context: ActorContext, column: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the log's accounts and the most common value of each."""
    commonest = _commonest_by_account(context.log[column], context.log["account"])
    return np.array(list(commonest)), np.array(list(commonest.values()))


def _commonest_by_account(values: np.ndarray, account: np.ndarray) -> dict[int, int]:
    """Return each account's most common value; ties go to the smaller."""
    levels, code = encode(values)
    pairs, n = np.unique(account.astype(np.int64) * len(levels) + code, return_counts=True)
    who, what = pairs // len(levels), pairs % len(levels)
    order = np.lexsort((what, -n, who))
    first = order[run_starts(who[order])]
    return dict(zip(who[first].tolist(), levels[what[first]].tolist(), strict=True))
