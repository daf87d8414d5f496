"""Turns a suspect, a pool and a lineage into evidence of grade B, and claims only what was measured."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stillwatch.prove import Checked, Evidence, Grade, Row
from stillwatch.prove.lineage import Lineage, LineageError
from stillwatch.prove.lineage.checkup import Checkup, checkup
from stillwatch.prove.lineage.judge import LineageJudgement, judge
from stillwatch.prove.lineage.margins import Field, choose_field, list_names
from stillwatch.prove.lineage.suspicions import doubtful, hubs, nearer_pupils, relatives
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.checks import fit
from stillwatch.prove.pool.likeness import Floats, Likeness, likeness, too_little_shared
from stillwatch.stats.intervals import wilson

METHOD = "conformal rank among audited models"
UNIT = "log of likeness to the candidate over its mean likeness to the other candidates"
ALPHA = 0.05
ALPHA_NONE = 0.1
FEWEST_KINS = 10  # below, no rank is meaningful
HUB = 2.0  # times its expected share, from which a family that innocents resemble is called a hub
RESAMPLES = 400

MEANS_NOT = (
    "It does not say how the suspect came by anything: a common data set, a common ancestor or a pupil of "
    "the candidate explains likeness as well as training on its answers does.",
    "It does not prove. The p-value holds as far as the suspect resembles the audited models in everything "
    "but its teacher; no count of prompts can show that. Only evidence of grade A rests on randomness of "
    "one's own.",
    "That no candidate is named does not clear the suspect: this test misses most students.",
    "It is about the candidates given. A teacher that is not among them cannot be found.",
)

Told = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Traced:
    """The evidence, with the data behind it."""

    evidence: Evidence
    judged: LineageJudgement
    checkup: Checkup
    left_out: tuple[str, ...]


def trace(
    pool: Pool,
    lineage: Lineage,
    suspect: str,
    *,
    released: str = "",
    base: str = "",
    alpha: float = ALPHA,
    alpha_none: float = ALPHA_NONE,
    tell: Told | None = None,
) -> Traced:
    """Rank a suspect's candidates among audited models.

    Null: the suspect is exchangeable, kin by kin, with the audited models, towards families that taught
    neither. Blind to: a teacher that is no candidate; anything below the floor. Fooled by: wrong labels; a
    suspect unlike every audited model in some unmeasured respect. Source: docs/provenance.md, grade B.

    Raises: PoolError, LineageError.
    """
    if suspect not in pool.answers:
        raise LineageError(f"no answers of {suspect!r} in the pool; it has {list_names(pool.models)}")
    fitted = fit(pool, suspect)
    alike = likeness(fitted.pool, suspect, _step(tell, "comparing answers"))
    where = choose_field(alike, lineage, suspect, released, base)
    kins = len({kin for kin, judges in zip(where.kin, where.judges, strict=True) if judges})
    if kins < FEWEST_KINS:
        raise LineageError(
            f"the pool has {kins} kins of audited models on these prompts (roles candidate, student, "
            f"innocent); at least {FEWEST_KINS} are needed, {round(1 / alpha) - 1} for a p-value of {alpha:g}"
        )
    judged = judge(alike, where, lineage, suspect, alpha)
    if not judged.standings:
        raise LineageError(
            f"{suspect} shares no words with any candidate on {len(fitted.pool.prompts)} prompts; "
            "are its answers in another language, or to other prompts under the same ids?"
        )
    if judged.accused and (why := _unlike_all(alike, where, judged.accused)):
        raise LineageError(f"{suspect}: cannot say whether {judged.accused} taught it: {why}")
    known = checkup(alike, lineage, alpha)
    none = not judged.accused and judged.as_student is not None and judged.as_student.p_value <= alpha_none
    evidence = Evidence(
        grade=Grade.RANK,
        method=METHOD,
        suspect=suspect,
        claim=f"One of the {len(where.families)} candidate families taught {suspect} by its answers.",
        null=(
            f"Towards families that did not teach it, {suspect} stands out no more than the {kins} kins of "
            "audited models do towards families that did not teach them. Adjusted p: the same over all "
            "candidates together."
        ),
        alpha=alpha,
        unit=UNIT,
        rows=_rows(judged, alike, where, fitted.pool),
        p_floor=1 / (kins + 1),
        power=power(known),
        confounds=(*fitted.notes, *_list_checks(judged, alike, where, lineage, suspect, known)),
        means_not=MEANS_NOT,
        none_of_them=none,
    )
    return Traced(evidence, judged, known, fitted.left_out)


def _unlike_all(alike: Likeness, where: Field, accused: str) -> str:
    """Return why a suspect resembles no audited model, so that no rank has a meaning; "" if it does."""
    rows = np.flatnonzero(where.judges)
    nearest = max(
        where.versions[accused], key=lambda one: float(np.nan_to_num(alike.mean[one, alike.at(alike.focus)]))
    )
    return too_little_shared(alike, rows, np.array(where.kin)[rows], where.kin[nearest])


def power(known: Checkup) -> str:
    """Describe in a sentence how many of the pool's known students the procedure finds."""
    n = known.count()
    if not n["students"]:
        return "Not known: the pool has no student with a known teacher among its candidates."
    return (
        f"Of {n['students']} known students ({n['kins']} kins), each judged as a stranger, the likest "
        f"candidate is a teacher for {n['teacher_first']}; a teacher is named for {n['teacher_named']}, "
        f"another family for {n['other_named']}."
    )


def _rows(judged: LineageJudgement, alike: Likeness, where: Field, pool: Pool) -> tuple[Row, ...]:
    spread = _bootstrap(alike, where)
    return tuple(
        Row(
            name=standing.family,
            n=len(pool.answers[alike.focus]),
            effect=standing.margin,
            effect_low=spread[standing.family][0],
            effect_high=spread[standing.family][1],
            p_value=standing.own.p_value,
            p_adjusted=standing.p_adjusted,
            counts=standing.own.counts(),
        )
        for standing in judged.standings
    )


def _bootstrap(alike: Likeness, where: Field) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of margins, by resampling prompts: they cover prompts, not models."""
    rows = alike.by_prompt
    draws = np.random.default_rng(1).multinomial(len(rows), np.full(len(rows), 1 / len(rows)), RESAMPLES)
    held = np.isfinite(rows)
    sums, weights = draws @ np.where(held, rows, 0.0), draws @ held.astype(float)
    means: Floats = np.divide(sums, weights, out=np.zeros_like(sums), where=weights > 0)
    own = alike.at(alike.focus)
    families = np.stack(
        [means[:, [r for r in where.versions[f] if r != own]].max(axis=1) for f in where.families], axis=1
    )
    families = np.maximum(families, 1e-12)
    rest = (families.sum(axis=1, keepdims=True) - families) / (len(where.families) - 1)
    low, high = np.quantile(np.log(families / rest), [0.025, 0.975], axis=0)
    return {f: (float(low[c]), float(high[c])) for c, f in enumerate(where.families)}


def _list_checks(
    judged: LineageJudgement, alike: Likeness, where: Field, lineage: Lineage, suspect: str, known: Checkup
) -> tuple[Checked, ...]:
    first = judged.standings[0].family
    n = known.count()
    low, high = wilson(n["absent_accused"], n["teacher_absent"])
    pupils = nearer_pupils(alike, where, lineage, suspect, first)
    related = relatives(lineage, where, first)
    doubts = [doubt for doubt in doubtful(alike, where, lineage, suspect) if doubt.family in where.families]
    share = {hub.family: (hub.likest, hub.of) for hub in hubs(alike, where, suspect)}
    likest, of = share[first]
    usual = HUB / len(where.families)
    flagged = list_names([f"{doubt.model} ({doubt.family})" for doubt in doubts])
    return (
        Checked(
            "false accusations with the teacher absent",
            f"{n['absent_accused']} of {n['teacher_absent']} known students accused of a family that did not "
            f"teach them, once those that did were taken away (95 %: {low:.0%} to {high:.0%})",
            n["teacher_absent"] > 0 and low <= 0.05,
        ),
        Checked(
            "innocents accused",
            f"{n['innocents_accused']} of {n['innocents']} models that no candidate is known to have taught",
            wilson(n["innocents_accused"], n["innocents"])[0] <= 0.05,
        ),
        Checked(
            "chronology",
            f"released {where.released or 'at a time not known'}; left out because they came later: "
            f"{list_names(where.too_late)}; without a date: {list_names(where.undated)}",
            bool(where.released) and not where.undated,
        ),
        Checked(
            "own base", f"its weights are said to start from {where.own_base}, which is no candidate", True
        )
        if where.own_base
        else Checked("own base", "not known to be a candidate's: a shared base looks like a teacher", False),
        Checked(
            "hub", f"{first} is the likest candidate of {likest} of {of} models that it did not teach",
            of == 0 or likest / of < usual,
        ),
        Checked(
            "relatives",
            f"{list_names(related)}: of the same maker as {first}; the rank is not made to tell them apart"
            if related else f"no other candidate is of the maker of {first}",
            not related,
        ),
        Checked(
            "grandparent",
            f"it is liker to {list_names(pupils)}, taught by {first}: they may be the source"
            if pupils else f"no known student of {first} is liker to the suspect than {first} is",
            not pupils,
        ),
        Checked(
            "contaminated null",
            f"called innocent, and standing out as known students do: {flagged}. They stay in the null, "
            "which makes p larger and no accusation easier"
            if doubts else "no innocent stands out as the known students do",
            not doubts,
        ),
    )  # fmt: skip


def _step(tell: Told | None, what: str) -> Callable[[int, int], None] | None:
    if tell is None:
        return None
    return lambda done, of: tell(what, done, of)
