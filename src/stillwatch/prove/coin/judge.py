"""Turns leans and coins into evidence of grade A: one row per actor, p by new throws, adjusted over actors.

Null: the suspect does not depend on the coins, so each lean falls to the served answer with chance 1/2.
Blind to: who passed the answers on; training on answers that were rewritten beyond recognition.
Fooled by: a ledger written after the suspect was seen (published heads prevent that); a key that the
suspect's makers had; answers that a third party passed on (other actors' rows show a leak of all).
Source: docs/provenance.md; Holm 1979 for the adjustment; Clopper and Pearson 1934 for the interval.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stillwatch.prove import Checked, Counts, Evidence, Grade, Row
from stillwatch.prove.coin import OTHERS, Fallen, Leaning
from stillwatch.prove.coin.betting import fortunes
from stillwatch.prove.coin.randomise import DRAWS, all_coins, count_leans, levels, thrown_again
from stillwatch.prove.exact import binomial_tail, holm
from stillwatch.prove.proof import CLAIM, MEANS_NOT, METHOD, NULL, UNIT
from stillwatch.stats.intervals import clopper_pearson

FAIR = 1e-3  # below it, a check of what should be even fails


def fall(actor: str, leanings: Sequence[Leaning], ties: int, seed: int, draws: int = DRAWS) -> Fallen | None:
    """Combine the coins with the leans of one actor; None if there is no lean at all."""
    towards = np.array([leaning.towards_served for leaning in leanings], dtype=float)
    counted = towards[towards != 0]
    if not len(counted):
        return None
    counts, sum_towards = count_leans(towards)
    p_value, as_far, made = thrown_again(counts, sum_towards, seed, draws)
    n, hits = len(counted), int((counted > 0).sum())
    low, high = clopper_pearson(hits, n)
    sizes = levels(counted)
    effect = float((np.sign(counted) * sizes).sum() / np.sqrt(n * (sizes**2).sum()))
    return Fallen(
        actor, n, ties + len(towards) - n, hits, p_value, as_far, made,
        binomial_tail(hits, n, 0.5), all_coins(counts, sum_towards), hits / n, low, high,
        effect, float(counted.mean()), max(fortunes(towards.tolist())),
    )  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """What the evidence states about how it was made."""

    suspect: str
    base: str | None
    statistic: str
    unit: str
    alpha: float
    power: str  # in words
    powered: bool
    sequential: bool = False
    draws: int = DRAWS
    protocol_sha256: str = ""
    checks: tuple[Checked, ...] = ()  # of the ledger and the answers


def evidence(found: Sequence[Fallen], leanings: Sequence[Leaning], setting: Setting) -> Evidence:
    """Return the result of the coins as evidence, with every known alternative explanation."""
    p_values = [min(1.0, 1 / test.e_value) if setting.sequential else test.p_value for test in found]
    adjusted = holm(p_values)
    rows = tuple(
        Row(
            test.actor, test.n, test.share, test.share_low, test.share_high, p, p_adjusted,
            None if setting.sequential else Counts("rank", test.as_far, test.draws),
        )
        for test, p, p_adjusted in zip(found, p_values, adjusted, strict=True)
    )  # fmt: skip
    over = f", less what {setting.base} foretells" if setting.base else ""
    how = "bets on each coin, looked at as they come" if setting.sequential else "coins thrown again"
    return Evidence(
        grade=Grade.COIN,
        method=f"{METHOD}, by {setting.statistic}{over}; {how}",
        suspect=setting.suspect,
        claim=CLAIM,
        null=NULL,
        alpha=setting.alpha,
        unit=UNIT,
        rows=rows,
        p_floor=None if setting.sequential else 1 / (1 + setting.draws),
        power=setting.power,
        confounds=(*setting.checks, *_checks(found, leanings, setting)),
        means_not=(*MEANS_NOT[:2], MEANS_NOT[-1]),  # the others concern what was sealed
        powered=setting.powered,
        protocol_sha256=setting.protocol_sha256,
    )


def _checks(found: Sequence[Fallen], leanings: Sequence[Leaning], setting: Setting) -> list[Checked]:
    first = sum(leaning.served == 0 for leaning in leanings)
    p_fair = fair_coin_p(first, len(leanings))
    checks = [
        Checked(
            "the owner's own training on coined answers",
            "nothing is sealed of it: if the owner's later models learned from its logs, an innocent who "
            "learns from those models' public answers leans the same way",
            False,
        ),
        Checked(
            "choice after looking",
            "actors and test were not sealed before the suspect was there (`stillwatch coin seal`): they may "
            "have been chosen after it was seen",
            False,
        ),
        Checked(
            "the coins themselves",
            f"{first:,} of {len(leanings):,} served the first answer (two-sided p = {p_fair:.2g})",
            p_fair >= FAIR,
        ),
    ]
    best = min(found, key=lambda test: test.p_value)
    checks.append(
        Checked(
            f"the same by other exact tests ({best.actor})",
            f"sign test {best.hits} of {best.n}: p = {best.p_sign:.2g}; all 2^{best.n} coins counted: "
            f"p = {best.p_all:.2g}; bets: {best.e_value:.3g} times the stake",
            True,
        )
    )
    others = [test for test in found if test.actor != best.actor]
    if others:
        low = [test.actor for test in others if test.p_value < 0.05]
        p_values = "; ".join(f"{test.actor} p = {test.p_value:.2g}" for test in others[:8])
        more = f"; and {len(others) - 8} more" if len(others) > 8 else ""
        leak = " Where all actors are found, what was served has leaked as a whole." if len(low) > 1 else ""
        checks.append(
            Checked("other actors' prompts", f"{p_values}{more}.{leak}", not low or len(low) < len(others))
        )
    else:
        checks.append(
            Checked("other actors' prompts", "none: there is one actor, and no control beside it", False)
        )
    ties = sum(test.ties for test in found)
    checks.append(
        Checked("pairs that lean nowhere, or whose answers are the same", f"{ties:,} left out", True)
    )
    if OTHERS in [test.actor for test in found] and setting.base is None and setting.statistic != "overlap":
        checks.append(
            Checked(
                "what the suspect leaned to before", "no base model was taken off: noisier, as exact", True
            )
        )
    return checks


def fair_coin_p(hits: int, n: int) -> float:
    """Two-sided exact p of a fair coin."""
    return min(1.0, 2 * binomial_tail(max(hits, n - hits), n, 0.5)) if n else 1.0
