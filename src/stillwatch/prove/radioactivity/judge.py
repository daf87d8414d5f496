"""Turns the suspect's tokens under each actor's key into evidence of grade A'.

Null: what is scored does not depend on the actor's key: the suspect was not trained on answers marked with
it, nor on text made from them. `statistic` states what then holds, whatever the suspect's base, style and
repetitions.
Blind to: answers reworded before training, sampling at temperature 0, low entropy (only one way to say it),
too few tokens, another tokenizer's splits.
Fooled by: a suspect that passes questions on to the watermarked model, or repeats its answers from a store;
anyone who has the key. Both are checked where possible.
Source: Sander et al. 2024, arXiv:2402.14904; Holm 1979.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from stillwatch.prove import Checked, Evidence, Grade, Row, exact
from stillwatch.prove.protocol import Signed
from stillwatch.prove.radioactivity import FEWEST, RadioactivityError, RadioactivitySettings, TokenSelection
from stillwatch.prove.radioactivity.statistic import POWER, Each, Statistic, Weighed, tokens_needed
from stillwatch.watermark import Mark
from stillwatch.watermark.reading import pairs_in, scored_pairs, weighted_pairs

METHOD = "watermark radioactivity, Gumbel-max"
CLAIM = "What the suspect writes carries the key that marked the answers served to this actor."
MEANS_NOT = (
    "It does not say how the answers came to whoever trained the suspect.",
    "It does not say how large a part of the training they were: the effect depends on that and on how they "
    "were used.",
    "A key that is not found clears nobody: rewording, a low temperature or a small share removes the mark.",
)
RANDOM_KEYS = 100
Texts = Sequence[Sequence[int]]


@dataclass(frozen=True)
class RadioactivityResult:
    """The evidence, and its statistic: anyone with an actor's key can recompute it."""

    evidence: Evidence
    statistic: Statistic


def judge(
    suspect: str,
    answers: Texts,
    marks: Sequence[Mark],
    settings: RadioactivitySettings,
    *,
    prompts: Texts = (),
    reference: Texts | None = None,
    teacher: Texts | None = None,
    served: Texts | None = None,
    protocol: Signed | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> RadioactivityResult:
    """Test every actor's key on the suspect's answers.

    prompts: those of the answers. reference, teacher: unmarked text for `Choice.MATCHED`, of the suspect as
    it would be without the marked answers, and of the teacher. served: marked answers as served; they
    distinguish a suspect that passes questions on from one that learned.
    Raises: RadioactivityError.
    """
    _usable(marks, settings, reference, teacher)
    whole = pairs_in(answers, settings.window)
    counted = pairs_in(answers, settings.window, prompts or None)
    pairs = scored_pairs(counted)
    if len(pairs) < FEWEST:
        raise RadioactivityError(
            f"{suspect}: {len(pairs)} tokens can be scored; at least {FEWEST:,} are needed, and some "
            f"{tokens_needed(settings.effect, settings.alpha, len(marks)):,} to find an effect of "
            f"{settings.effect:g} nats: ask more, or for longer answers"
        )
    statistic: Statistic = Each(pairs)
    if settings.choice is TokenSelection.MATCHED:
        base, own = pairs_in(reference or (), settings.window), pairs_in(teacher or (), settings.window)
        weighted = weighted_pairs(counted, base, own)
        if len(weighted) < FEWEST:
            raise RadioactivityError(
                f"{suspect}: {len(weighted)} pairs have a context that the reference has, too; give more "
                "reference text, of the same prompts if it can be"
            )
        statistic = Weighed(weighted)
    rows = []
    for i, mark in enumerate(marks):
        tell(f"key {i + 1} of {len(marks)}: {mark.actor}")
        rows.append(statistic.row(mark))
    adjusted = exact.holm([row.p_value or 1.0 for row in rows])
    rows = [replace(row, p_adjusted=p) for row, p in zip(rows, adjusted, strict=True)]
    small = statistic.smallest_effect(settings.alpha, len(marks), settings.keys)
    evidence = Evidence(
        grade=Grade.MARK,
        method=METHOD,
        suspect=suspect,
        claim=CLAIM,
        null=statistic.null,
        alpha=settings.alpha,
        unit=statistic.unit,
        rows=tuple(sorted(rows, key=lambda row: (row.p_value or 1.0, row.name))),
        p_floor=None,
        power=f"With {statistic.n:,} scored pairs and {len(marks)} keys, an effect of {small:.3g} "
        f"({statistic.unit}) is found with a chance of {POWER:.0%}; {settings.effect:g} was to be found.",
        confounds=(
            Checked(
                "repetition in the suspect's answers",
                f"{whole.total():,} places, {statistic.n:,} distinct pairs, each scored once",
                True,
            ),
            Checked(
                "contexts that the prompts bring with them",
                f"{whole.total() - counted.total():,} places of {whole.total():,} left out"
                if prompts
                else "no prompts came with the answers: not looked at",
                bool(prompts),
            ),
            _random_keys(statistic, tell),
            _passed_on(answers, served, marks, rows, settings.window),
            _timing(protocol),
        ),
        means_not=MEANS_NOT,
        powered=small <= settings.effect,
        protocol_sha256="" if protocol is None else protocol.sha256,
    )
    return RadioactivityResult(evidence, statistic)


def _usable(marks: Sequence[Mark], settings: RadioactivitySettings, *texts: Texts | None) -> None:
    if not marks:
        raise RadioactivityError("no actor was named whose key is to be looked for")
    keys = [key for mark in marks for key in mark.keys]
    if len({mark.actor for mark in marks}) != len(marks) or len(set(keys)) != len(keys):
        raise RadioactivityError("an actor, or a key, was named twice; each is tested once")
    if any(len(mark.keys) != settings.keys for mark in marks):
        raise RadioactivityError(f"a mark has not the number of keys under test, which is {settings.keys}")
    if any(mark.window != settings.window for mark in marks):
        raise RadioactivityError("a mark's window is not the one under test")
    for text in texts:
        if (settings.choice is TokenSelection.MATCHED) != (text is not None):
            raise RadioactivityError(
                "the choice `matched` needs a reference text and the teacher's own, both unmarked, and only "
                "it takes them"
            )


def _random_keys(statistic: Statistic, tell: Callable[[str], None]) -> Checked:
    """Score the same pairs under unused keys: the test's own null, on this very text."""
    tell(f"{RANDOM_KEYS} keys that nobody used")
    seed, some = secrets.token_bytes(32), statistic.some()
    keys = [hashlib.sha256(seed + i.to_bytes(4, "little")).digest() for i in range(RANDOM_KEYS)]
    below = sum(some.p_value(key) <= 0.05 for key in keys)
    return Checked(
        f"{RANDOM_KEYS} random keys on {some.n:,} of these pairs",
        f"{below} have p at most 0.05; up to {0.05 * RANDOM_KEYS:.0f} are expected",
        exact.binomial_tail(below, RANDOM_KEYS, 0.05) > 1e-3,
    )


def _passed_on(
    answers: Texts, served: Texts | None, marks: Sequence[Mark], rows: Sequence[Row], window: int
) -> Checked:
    """Compare the watermark's strength in the suspect's text with that in served answers."""
    what = "a suspect that passes questions on to the marked model, or repeats its answers"
    if not served:
        return Checked(what, "no served answers were given to compare with: not looked at", False)
    best = min(zip(rows, marks, strict=True), key=lambda pair: pair[0].p_value or 1.0)[1]
    full = max(Each.by_place(served, mark, window) for mark in marks)
    if full <= 0:
        return Checked(what, "no mark is in the served answers that were given: not looked at", False)
    share = Each.by_place(answers, best, window) / full
    return Checked(what, f"at {share:.0%} of the strength in served answers ({full:.3g} nats)", share < 0.5)


def _timing(protocol: Signed | None) -> Checked:
    what = "whether prompts, keys and statistic were fixed before the answers were seen"
    if protocol is None:
        return Checked(what, "no signed protocol", False)
    return Checked(what, f"signed protocol of {protocol.protocol.made_at}, as its signer says", True)
