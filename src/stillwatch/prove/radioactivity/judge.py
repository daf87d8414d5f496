"""The suspect's tokens under each actor's key -> evidence of grade A'. It asks nobody anything.

Null: what is scored does not depend on the actor's key: the suspect was not trained on answers marked with
it, nor on text made from them. Then the sum of the scores of the n distinct pairs is Gamma(n, 1), whatever
the suspect's base, style, language and repetitions.
Blind to: answers reworded before training, sampling at temperature 0, low entropy (one way to say it), too
few tokens, another tokenizer's splits.
Fooled by: a suspect that passes questions on to the marked model, or repeats its answers from a store;
somebody who has the key. Both are looked at where it can be.
Source: Sander et al. 2024, arXiv:2402.14904; Holm 1979.
"""

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

from stillwatch.prove import Checked, Counts, Evidence, Grade, Row, exact
from stillwatch.prove.protocol import Signed
from stillwatch.prove.radioactivity import FEWEST, Choice, RadioactivityError, Settings
from stillwatch.watermark import Mark
from stillwatch.watermark.reading import Pair, contexts_in, pairs_in, scored_pairs, scores

METHOD = "watermark radioactivity, Gumbel-max"
UNIT = "nats per scored token above chance"
CLAIM = "What the suspect writes carries the key that marked the answers served to this actor."
NULL = (
    "What the suspect writes does not depend on the actor's key. Then the scores of its distinct pairs of "
    "context and token are independent unit exponentials and their sum is Gamma(n, 1), whatever the "
    "suspect's base, style or repetitions."
)
STATISTIC = {
    Choice.EACH: "sum over distinct pairs (context of {window} tokens, token) of the suspect's answers of "
    "-ln(1 - u(key, context, token)); upper tail of Gamma(n, 1); Holm over actors",
    Choice.OVERUSED: "sum over contexts of {window} tokens in the suspect's answers of -ln(1 - u(key, "
    "context, token)) of the one token that is most above its share in the reference text; upper tail of "
    "Gamma(n, 1); Holm over actors",
}
MEANS_NOT = (
    "It does not say how the answers came to whoever trained the suspect.",
    "It does not say how large a part of the training they were: the effect depends on that and on how they "
    "were used.",
    "A key that is not found clears nobody: rewording, a low temperature or a small share removes the mark.",
)
POWER = 0.8
RANDOM_KEYS, RANDOM_PAIRS = 100, 1_000


@dataclass(frozen=True)
class Judged:
    """The evidence, and the pairs it was computed from: with an actor's key anybody can score them again."""

    evidence: Evidence
    pairs: tuple[Pair, ...]


def smallest_effect(n: int, alpha: float, actors: int) -> float:
    """Give the effect that n scored tokens find with 80 % chance at alpha over all actors (normally)."""
    normal = NormalDist()
    return (normal.inv_cdf(1 - alpha / actors) + normal.inv_cdf(POWER)) / math.sqrt(n)


def tokens_needed(effect: float, alpha: float, actors: int) -> int:
    """How many scored tokens find this effect with 80 % chance.

    >>> tokens_needed(0.05, 1e-5, 20)
    13692
    """
    return math.ceil(smallest_effect(1, alpha, actors) ** 2 / effect**2)


def judge(
    suspect: str,
    answers: Sequence[Sequence[int]],
    marks: Sequence[Mark],
    settings: Settings,
    *,
    prompts: Sequence[Sequence[int]] = (),
    reference: Sequence[Sequence[int]] | None = None,
    served: Sequence[Sequence[int]] | None = None,
    protocol: Signed | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Judged:
    """Test every actor's key on the suspect's answers.

    reference: text of an unmarked model, for `Choice.OVERUSED`. served: marked answers as they were served,
    all actors' together; they tell a suspect that passes questions on from one that learnt.
    Raises: RadioactivityError.
    """
    _usable(marks, settings, reference)
    counted = pairs_in(answers, settings.window)
    left_out = contexts_in(prompts, settings.window)
    against = None if reference is None else pairs_in(reference, settings.window)
    pairs = scored_pairs(counted, against if settings.choice is Choice.OVERUSED else None, left_out)
    if len(pairs) < FEWEST:
        raise RadioactivityError(
            f"{suspect}: {len(pairs)} tokens can be scored; at least {FEWEST:,} are needed, and "
            f"{tokens_needed(settings.effect, settings.alpha, len(marks)):,} to find an effect of "
            f"{settings.effect:g}: ask more, or for longer answers"
        )
    rows = []
    for i, mark in enumerate(marks):
        tell(f"key {i + 1} of {len(marks)}: {mark.actor}")
        rows.append(_row(mark, pairs))
    adjusted = exact.holm([row.p_value or 1.0 for row in rows])
    rows = [_with(row, p) for row, p in zip(rows, adjusted, strict=True)]
    small = smallest_effect(len(pairs), settings.alpha, len(marks))
    known = set(left_out) & {context for context, _ in counted}
    confounds = (
        _repeats(counted, pairs, settings),
        Checked(
            "contexts that the prompts bring with them",
            f"{len(known):,} left out" if prompts else "no prompts came with the answers: not looked at",
            bool(prompts),
        ),
        _random_keys(pairs, tell),
        _passed_on(rows, served, marks, settings),
        _timing(protocol),
    )
    power = (
        f"With {len(pairs):,} scored tokens and {len(marks)} keys, an effect of {small:.3g} {UNIT} is "
        "found with "
        f"a chance of {POWER:.0%}. The effect to be found, {settings.effect:g}, needs "
        f"{tokens_needed(settings.effect, settings.alpha, len(marks)):,}."
    )
    evidence = Evidence(
        grade=Grade.MARK,
        method=METHOD,
        suspect=suspect,
        claim=CLAIM,
        null=NULL,
        alpha=settings.alpha,
        unit=UNIT,
        rows=tuple(sorted(rows, key=lambda row: (row.p_value or 1.0, row.name))),
        p_floor=None,
        power=power,
        confounds=confounds,
        means_not=MEANS_NOT,
        powered=small <= settings.effect,
        protocol_sha256="" if protocol is None else protocol.sha256,
    )
    return Judged(evidence, tuple(pairs))


def _usable(marks: Sequence[Mark], settings: Settings, reference: Sequence[Sequence[int]] | None) -> None:
    if not marks:
        raise RadioactivityError("no actor was named whose key is to be looked for")
    if len({mark.actor for mark in marks}) != len(marks) or len({mark.key for mark in marks}) != len(marks):
        raise RadioactivityError("an actor, or a key, was named twice; each is tested once")
    if any(mark.window != settings.window for mark in marks):
        raise RadioactivityError("a mark's window is not the one under test")
    if (settings.choice is Choice.OVERUSED) != (reference is not None):
        raise RadioactivityError("a reference text belongs to the choice `overused`, and only to it")


def _row(mark: Mark, pairs: Sequence[Pair]) -> Row:
    found = list(scores(mark.key, pairs))
    n, total = len(found), math.fsum(found)
    mean = total / n
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in found) / (n - 1) / n)
    half = NormalDist().inv_cdf(0.975) * spread
    p = exact.gamma_tail(total, n)
    return Row(mark.actor, n, mean - 1, mean - 1 - half, mean - 1 + half, p, None, Counts("gamma", total, n))


def _with(row: Row, adjusted: float) -> Row:
    return Row(
        row.name, row.n, row.effect, row.effect_low, row.effect_high, row.p_value, adjusted, row.counts
    )


def _repeats(counted: Counter[Pair], pairs: Sequence[Pair], settings: Settings) -> Checked:
    kind = "distinct pairs" if settings.choice is Choice.EACH else "contexts"
    return Checked(
        "repetition in the suspect's answers",
        f"{counted.total():,} places, {len(pairs):,} {kind} scored, each once over all answers",
        True,
    )


def _random_keys(pairs: Sequence[Pair], tell: Callable[[str], None]) -> Checked:
    """Score the same pairs under keys that nobody used: the test's own null, on this very text."""
    tell(f"{RANDOM_KEYS} keys that nobody used")
    some = pairs[:: math.ceil(len(pairs) / RANDOM_PAIRS)]
    seed, below = secrets.token_bytes(32), 0
    for i in range(RANDOM_KEYS):
        key = hashlib.sha256(seed + i.to_bytes(4, "little")).digest()
        below += exact.gamma_tail(math.fsum(scores(key, some)), len(some)) <= 0.05
    p = exact.binomial_tail(below, RANDOM_KEYS, 0.05)
    return Checked(
        f"{RANDOM_KEYS} random keys on {len(some):,} of these tokens",
        f"{below} have p at most 0.05; {0.05 * RANDOM_KEYS:.0f} are expected",
        p > 1e-3,
    )


def _passed_on(
    rows: Sequence[Row], served: Sequence[Sequence[int]] | None, marks: Sequence[Mark], settings: Settings
) -> Checked:
    what = "a suspect that passes questions on to the marked model, or repeats its answers"
    if not served:
        return Checked(what, "no served answers were given to compare with: not looked at", False)
    pairs = scored_pairs(pairs_in(served, settings.window))
    if not pairs:
        return Checked(what, "the served answers are too short to be scored: not looked at", False)
    at_full = max(math.fsum(scores(mark.key, pairs)) / len(pairs) - 1 for mark in marks)
    top = max(row.effect for row in rows)
    share = top / at_full if at_full > 0 else float("inf")
    return Checked(
        what,
        f"the largest effect is {share:.0%} of that in served answers ({at_full:.3g})",
        share < 0.5,
    )


def _timing(protocol: Signed | None) -> Checked:
    what = "whether prompts, keys and statistic were fixed before the answers were seen"
    if protocol is None:
        return Checked(what, "no signed protocol", False)
    return Checked(what, f"signed protocol of {protocol.protocol.made_at}, as its signer says", True)
