"""Compares a suspect's outputs with a library of known models. The answer is *named*, *resembles* or
*unknown*; the thresholds come from how similar unrelated models in the library are to each other.

Each reference is taken as if it were a suspect, with its kin removed from the library: its scores are those
of an unrelated model ("stranger"). Most strangers in a library are students or relatives of a model in it, so
the stricter threshold is strict.

A wrong kin turns two copies into strangers, and one such pair can set the threshold for all. References that
are as similar to another kin as only the closest members of one kin are to each other are therefore left out
of the strangers, at most one in twenty, and listed.

A suspect that answers with noise, in another language or with refusals shares so little with all models that
one rare word in common gives a high score. The thresholds do not hold for it, since no reference is like
that: no verdict is given for a suspect that shares less than half as much with others as any reference does
with unrelated models. A suspect that is closer to the nearest reference than to three quarters of unrelated
models on only half of the prompts or fewer may resemble it, but is not named. A router to many models looks
like that, and so does a small model whose answers vary much.

Null (comparison): the suspect and one reference, chosen beforehand, are unrelated. Null (stranger): the
suspect is unrelated to all references. Blind to: a model that is not in the library; rewriting that changes
all words.
Fooled by: a library with the wrong kin for more than one kin in twenty; a suspect that answers most prompts
by asking a reference. Source: docs/identify.md; conformal ranks as in prove.lineage.ranks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.identify import (
    IdentificationResult,
    Identified,
    IdentifyError,
    LikeStrangers,
    Match,
    Reference,
)
from stillwatch.prove.identify.normal import scores
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.checks import Fit, fit
from stillwatch.prove.pool.likeness import Floats, Likeness, likeness, too_little_shared

Places = NDArray[np.int64]

ALPHA = 0.01
FEWEST_KINS = 8
# pairs of one kin are alike: at 1 alone a new kin passes 1.2 % for an alpha of 1 % (docs/identify.md)
SAFETY = 2
FEWEST_PROMPTS = 20
SHOWN = 8
DOUBTED_SHARE = 0.05  # of the references may be left out because their kin is doubted
DOUBTED_FROM = 0.8  # quantile of the scores of references with the nearest of their own kin (docs/lab.md)
FENCE = 1.5  # or so many times from the median to the 99th percentile of all pairs beyond the latter
BREADTH = 0.75  # share of unrelated models to beat on most prompts; copies do on .31 to .90 (docs/lab.md)
FEWEST_TWINS = 8  # references with another of their kin: fewer do not show how similar kin are


def identify(
    pool: Pool,
    known: Mapping[str, Reference],
    suspect: str,
    alpha: float = ALPHA,
    tell: Callable[[int, int], None] | None = None,
) -> tuple[Identified, Fit]:
    """Return which kin of the library a suspect is, if any. `pool`: the library's answers and the suspect's.

    Raises: PoolError for outputs that cannot be compared, IdentifyError for a library too small.
    """
    fitted = fit(pool, suspect, FEWEST_PROMPTS)
    alike = likeness(fitted.pool, suspect, tell)
    kins = {known[name].kin for name in alike.models if name in known and name != suspect}
    if len(kins) < FEWEST_KINS:
        raise IdentifyError(
            f"the library has {len(kins)} kins with answers to these prompts; at least {FEWEST_KINS} are "
            f"needed to know what strangers show, and {round(1 / alpha) - 1} models for a rate of {alpha:g}"
        )
    return decide(alike, known, alpha), fitted


def decide(
    alike: Likeness, known: Mapping[str, Reference], alpha: float, *, count: bool = True
) -> Identified:
    """Decide on given similarities; `count` also counts how many strangers would be named."""
    suspect = alike.focus
    row = alike.at(suspect)
    kin = [known[name].kin if name in known and name != suspect else f"\0{name}" for name in alike.models]
    refs = np.array([i for i, name in enumerate(alike.models) if name in known and name != suspect], np.int64)
    mine = scores(alike.mean, row, refs, kin)
    null = strangers(alike.mean, refs, kin)
    pairs, highest = null.pairs, null.highest
    order = [int(i) for i in np.argsort(-mine, kind="stable") if np.isfinite(mine[i])]
    nearest = tuple(
        Match(alike.models[refs[i]], kin[refs[i]], float(alike.mean[row, refs[i]]), float(mine[i]))
        for i in order[:SHOWN]
    )
    top = nearest[0].score
    p_comparison, p_stranger = _rank(top, pairs), _rank(top, highest)
    named_at = _threshold(highest, alpha)
    resembles_at = comparison_threshold(pairs, alpha)

    def like(one: int, table: Floats) -> LikeStrangers:
        other = int(np.nanargmax(table[one]))
        names = [alike.models[refs[place]] for place in (one, other)]
        return LikeStrangers(names[0], kin[refs[one]], names[1], kin[refs[other]], float(table[one, other]))

    sets_it = int(null.rows[np.flatnonzero(highest == named_at)[0]])
    trusted = null.table.copy()
    trusted[:, list(null.doubted)] = np.nan
    unlike_all = too_little_shared(alike, refs, np.array(kin)[refs], nearest[0].kin)
    narrow = _like_on_few_prompts(alike, refs, np.array(kin)[refs], nearest[0])
    answer = IdentificationResult.RESEMBLES
    if unlike_all or top <= resembles_at:
        answer = IdentificationResult.UNKNOWN
    elif top > named_at and not narrow:
        answer = IdentificationResult.NAMED
    return Identified(
        suspect=suspect,
        answer=answer,
        kin="" if answer is IdentificationResult.UNKNOWN else nearest[0].kin,
        nearest=nearest,
        prompts=int(np.isfinite(alike.by_prompt).any(axis=1).sum()),
        p_comparison=p_comparison,
        p_stranger=p_stranger,
        floor_comparison=1 / (len(pairs) + 1),
        floor_stranger=1 / (len(highest) + 1),
        alpha=alpha,
        false_alarms=(int((highest > resembles_at).sum()), len(highest)),
        named_falsely=(_named_falsely(null, np.array(kin)[refs], alpha) if count else 0, len(highest)),
        named_at=named_at,
        set_by=like(sets_it, trusted),
        doubted=tuple(like(one, null.table) for one in null.doubted),
        reservations=tuple(why for why in (unlike_all, narrow) if why and top > resembles_at),
    )


def _like_on_few_prompts(alike: Likeness, refs: Places, kins: NDArray[np.str_], nearest: Match) -> str:
    """Return why a suspect's score does not make it a copy of its nearest reference; "" if it may be one."""
    beside = alike.by_prompt[:, alike.at(nearest.reference)]
    asked = np.isfinite(beside)
    unrelated = alike.by_prompt[np.ix_(asked, refs[kins != nearest.kin])]
    more, whole = int((beside[asked] > np.nanquantile(unrelated, BREADTH, axis=1)).sum()), int(asked.sum())
    if 2 * more > whole:
        return ""
    return (
        f"it is more like {nearest.reference} than like three quarters of unrelated models on {more} of "
        f"{whole} prompts alone: answers that vary much, several models, or a few answers in common"
    )


@dataclass(frozen=True)
class StrangerScores:
    """Scores of references with other kins: the null of every threshold."""

    table: Floats  # (references, references): each as a suspect against every other kin; nan elsewhere
    kindred: Floats  # (references,): its score with the nearest of its own kin; nan if it has none
    pairs: Floats  # all scores of the table, without those of doubted references
    highest: Floats  # the highest score of each reference that is not doubted
    rows: Places  # the references of `highest`
    doubted: tuple[int, ...]  # references whose kin is doubted, most similar first


def strangers(mean: Floats, refs: Places, kin: Sequence[str]) -> StrangerScores:
    """Score each reference as a suspect whose kin is not in the library.

    Raises: IdentifyError if all references are of one kin.
    """
    kins = np.array(kin)[refs]
    table = np.full((len(refs), len(refs)), np.nan)
    kindred = np.full(len(refs), np.nan)
    for at, row in enumerate(refs):
        others = kins != kins[at]
        table[at, others] = scores(mean, int(row), refs[others], kin)
        own = scores(mean, int(row), refs, kin)[~others]
        kindred[at] = own[np.isfinite(own)].max() if np.isfinite(own).any() else np.nan
    found = _null(table, kindred)
    if not len(found.highest):
        raise IdentifyError("the library has one kin only; nobody in it is a stranger to another")
    return found


def _null(table: Floats, kindred: Floats) -> StrangerScores:
    doubted = doubted_kins(table, kindred)
    kept = np.setdiff1d(np.arange(len(table)), doubted)
    left = table[np.ix_(kept, kept)]
    some = np.isfinite(left).any(axis=1)
    return StrangerScores(table, kindred, left[np.isfinite(left)], _highest(left), kept[some], doubted)


def doubted_kins(table: Floats, kindred: Floats) -> tuple[int, ...]:
    """Return references as similar to another kin as the closest members of one kin: the kin may be wrong.

    Those far beyond all other pairs are returned as well. At most `DOUBTED_SHARE`, the most similar pairs
    first; of each pair the one with more such pairs.
    """
    if not np.isfinite(table).any():
        return ()
    middle, high = np.nanquantile(table, [0.5, 0.99])
    level = float(high + FENCE * (high - middle))
    shown = kindred[np.isfinite(kindred)]
    if len(shown) >= FEWEST_TWINS:
        level = min(level, float(np.quantile(shown, DOUBTED_FROM)))
    left = np.where(np.isfinite(table), table, -np.inf)
    found: list[int] = []
    while len(found) < int(DOUBTED_SHARE * len(table)) and (left >= level).any():
        pair = np.unravel_index(left.argmax(), left.shape)
        hot = (left >= level).sum(axis=0) + (left >= level).sum(axis=1)
        worst = int(max(pair, key=lambda one: (hot[one], np.isnan(kindred[one]))))
        found.append(worst)
        left[worst], left[:, worst] = -np.inf, -np.inf
    return tuple(found)


def _highest(table: Floats) -> Floats:
    held = np.where(np.isfinite(table), table, -np.inf).max(axis=1, initial=-np.inf)
    return held[np.isfinite(held)]


def _named_falsely(null: StrangerScores, kins: NDArray[np.str_], alpha: float) -> int:
    """Count the strangers that a library without their kin would name.

    A stranger and its most similar reference resemble each other: without the one, the other shows less.
    """
    named = 0
    for at in null.rows:
        rest = kins != kins[at]
        left = _null(null.table[np.ix_(rest, rest)], null.kindred[rest]).highest
        own = _highest(null.table[at : at + 1])
        named += len(left) > 0 and bool(own[0] > _threshold(left, alpha))
    return named


def _rank(value: float, null: Floats) -> float:
    return float((1 + (null >= value).sum()) / (1 + len(null)))


def comparison_threshold(pairs: Floats, alpha: float) -> float:
    """Return the score that a pair of strangers exceeds less often than alpha."""
    return _threshold(pairs, alpha / SAFETY)


def _threshold(null: Floats, alpha: float) -> float:
    """Return the score that a share alpha of strangers exceeds; their highest if there are too few."""
    # of the null above it, so that the rank is at most alpha
    passing = int(np.floor(alpha * (len(null) + 1))) - 1
    return float(np.sort(null)[::-1][max(0, passing)])
