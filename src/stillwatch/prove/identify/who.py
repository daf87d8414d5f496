"""Outputs beside a library: named, resembles, or unknown, by thresholds of the library's own strangers.

Each reference is taken as if it were a suspect, with its kin taken out of the library: what it then scores is
what strangers score. Most "strangers" of a library are pupils or cousins of something in it, which makes the
stricter threshold strict.

Null (comparison): the suspect and one reference, chosen beforehand, are strangers. Null (stranger): the
suspect is a stranger to all. Blind to: a model that is not in the library; rewriting that leaves no words.
Fooled by: a library whose kins are labelled wrongly. Source: docs/identify.md; conformal ranks as in
prove.lineage.ranks.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.identify import IdentificationResult, Identified, IdentifyError, Match, Reference
from stillwatch.prove.identify.normal import scores
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.checks import Fit, fit
from stillwatch.prove.pool.likeness import Floats, Likeness, likeness

Places = NDArray[np.int64]

ALPHA = 0.01
FEWEST_KINS = 8
SAFETY = (
    2  # pairs of one kin are alike: at 1 alone a new kin passes 1.2 % for an alpha of 1 % (docs/identify.md)
)
FEWEST_PROMPTS = 20
SHOWN = 8


def identify(
    pool: Pool,
    known: Mapping[str, Reference],
    suspect: str,
    alpha: float = ALPHA,
    told: Callable[[int, int], None] | None = None,
) -> tuple[Identified, Fit]:
    """Say which kin of the library a suspect is, if any. `pool`: the library's answers and the suspect's.

    Raises: PoolError for outputs that cannot be compared, IdentifyError for a library too small.
    """
    fitted = fit(pool, suspect, FEWEST_PROMPTS)
    alike = likeness(fitted.pool, suspect, told)
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
    """Decide on likenesses that are already there; `count` how many strangers would be named."""
    suspect = alike.focus
    row = alike.at(suspect)
    kin = [known[name].kin if name in known and name != suspect else f"\0{name}" for name in alike.models]
    refs = np.array([i for i, name in enumerate(alike.models) if name in known and name != suspect], np.int64)
    mine = scores(alike.mean, row, refs, kin)
    pairs, highest = strangers(alike.mean, refs, kin)
    order = [int(i) for i in np.argsort(-mine, kind="stable") if np.isfinite(mine[i])]
    nearest = tuple(
        Match(alike.models[refs[i]], kin[refs[i]], float(alike.mean[row, refs[i]]), float(mine[i]))
        for i in order[:SHOWN]
    )
    top = nearest[0].score
    p_comparison, p_stranger = _rank(top, pairs), _rank(top, highest)
    named_at = _threshold(highest, alpha)
    resembles_at = comparison_threshold(pairs, alpha)
    answer = (
        IdentificationResult.NAMED
        if top > named_at
        else IdentificationResult.RESEMBLES
        if top > resembles_at
        else IdentificationResult.UNKNOWN
    )
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
        named_falsely=(_named_falsely(alike.mean, refs, kin, alpha) if count else 0, len(highest)),
    )


def strangers(mean: Floats, refs: Places, kin: Sequence[str]) -> tuple[Floats, Floats]:
    """Score each reference as a suspect whose kin is not in the library.

    Returns all its scores, and the highest of each: what one comparison gives, and what the likest gives.
    """
    table = _compare_references(mean, refs, kin)
    highest = _highest(table)
    if not len(highest):
        raise IdentifyError("the library has one kin only; nobody in it is a stranger to another")
    return table[np.isfinite(table)], highest


def _compare_references(mean: Floats, refs: Places, kin: Sequence[str]) -> Floats:
    """(references, references): each as a suspect beside every other that is not its kin; nan elsewhere."""
    kins = np.array(kin)[refs]
    table = np.full((len(refs), len(refs)), np.nan)
    for at, row in enumerate(refs):
        others = kins != kins[at]
        table[at, others] = scores(mean, int(row), refs[others], kin)
    return table


def _highest(table: Floats) -> Floats:
    held = np.where(np.isfinite(table), table, -np.inf).max(axis=1, initial=-np.inf)
    return held[np.isfinite(held)]


def _named_falsely(mean: Floats, refs: Places, kin: Sequence[str], alpha: float) -> int:
    """How many strangers a library without their kin would name.

    A stranger and its likest reference resemble each other: without the one, the other shows less.
    """
    kins = np.array(kin)[refs]
    table = _compare_references(mean, refs, kin)
    named = 0
    for at in range(len(refs)):
        rest = kins != kins[at]
        left, own = _highest(table[np.ix_(rest, rest)]), _highest(table[at : at + 1])
        named += len(left) > 0 and len(own) > 0 and bool(own[0] > _threshold(left, alpha))
    return named


def _rank(value: float, null: Floats) -> float:
    return float((1 + (null >= value).sum()) / (1 + len(null)))


def comparison_threshold(pairs: Floats, alpha: float) -> float:
    """The score that a pair of strangers passes less often than alpha."""
    return _threshold(pairs, alpha / SAFETY)


def _threshold(null: Floats, alpha: float) -> float:
    """The score that a share alpha of strangers passes; where they are too few for that, all they show."""
    passing = (
        int(np.floor(alpha * (len(null) + 1))) - 1
    )  # of the null above it, so that the rank is at most alpha
    return float(np.sort(null)[::-1][max(0, passing)])
