"""Outputs beside a library: named, resembles, or unknown, by thresholds of the library's own strangers.

Each reference is taken as if it were a suspect, with its kin taken out of the library: what it then scores is
what strangers score. Most "strangers" of a library are pupils or cousins of something in it, which makes the
stricter threshold strict.

Null (comparison): the suspect and one reference, chosen beforehand, are strangers. Null (stranger): the
suspect is a stranger to all. Blind to: a model that is not in the library; rewriting that leaves no words.
Fooled by: a library whose kins are labelled wrongly. Source: docs/identify.md; conformal ranks as in
prove.lineage.ranks.
"""

from collections.abc import Callable, Mapping

import numpy as np

from stillwatch.prove.identify import Answer, Identified, IdentifyError, Match, Reference
from stillwatch.prove.identify.normal import scores
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.checks import Fit, fit
from stillwatch.prove.pool.likeness import Floats, Likeness, likeness

ALPHA = 0.01
FEWEST_KINS = 8
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


def decide(alike: Likeness, known: Mapping[str, Reference], alpha: float) -> Identified:
    """Decide on likenesses that are already there."""
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
    resembles_at = _threshold(pairs, alpha)
    answer = Answer.NAMED if top > named_at else Answer.RESEMBLES if top > resembles_at else Answer.UNKNOWN
    return Identified(
        suspect=suspect,
        answer=answer,
        kin="" if answer is Answer.UNKNOWN else nearest[0].kin,
        nearest=nearest,
        prompts=int(np.isfinite(alike.by_prompt).any(axis=1).sum()),
        p_comparison=p_comparison,
        p_stranger=p_stranger,
        floor_comparison=1 / (len(pairs) + 1),
        floor_stranger=1 / (len(highest) + 1),
        alpha=alpha,
        false_alarms=(int((highest > resembles_at).sum()), len(highest)),
        named_falsely=(int((_left_out(highest, alpha)).sum()), len(highest)),
    )


def strangers(mean: Floats, refs: np.typing.NDArray[np.int64], kin: list[str]) -> tuple[Floats, Floats]:
    """Score each reference as a suspect whose kin is not in the library.

    Returns all its scores, and the highest score of each: what one comparison gives, and what the likest
    gives.
    """
    kins = np.array(kin)
    pairs, highest = [], []
    for row in refs:
        others = refs[kins[refs] != kins[row]]
        found = scores(mean, int(row), others, kin)
        found = found[np.isfinite(found)]
        if len(found):
            pairs.append(found)
            highest.append(found.max())
    if not pairs:
        raise IdentifyError("the library has one kin only; nobody in it is a stranger to another")
    return np.concatenate(pairs), np.array(highest)


def _rank(value: float, null: Floats) -> float:
    return float((1 + (null >= value).sum()) / (1 + len(null)))


def _threshold(null: Floats, alpha: float) -> float:
    """The score that a share alpha of strangers passes; where they are too few for that, all they show."""
    passing = (
        int(np.floor(alpha * (len(null) + 1))) - 1
    )  # of the null above it, so that the rank is at most alpha
    return float(np.sort(null)[::-1][max(0, passing)])


def _left_out(null: Floats, alpha: float) -> np.typing.NDArray[np.bool_]:
    """Who of the strangers would be named by a threshold that the others set."""
    return np.array([one > _threshold(np.delete(null, i), alpha) for i, one in enumerate(null)])
