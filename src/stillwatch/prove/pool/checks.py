"""Counts what makes a suspect's answers less comparable: refusals, scripts, copies, overlap.

What cannot be compared at all is refused.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from stillwatch.prove import Checked
from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.likeness import tokens

FEWEST = 30  # prompts in common; below, ranks are noise (AUC .83 at 10 and .90 at 50, docs/provenance.md)
WANTED = 100  # prompts from which the figures of docs/provenance.md hold
MANY_REFUSED = 0.3
OTHER_SCRIPT = 0.2
VOICES = 15  # models asked for the usual script of a prompt
COPY_SHARE = 0.9  # of prompts with identical answers: one model under two names
LONG_ENOUGH = 20  # characters; an equal "Yes." does not make a copy

# The openings of refusals in English. No such list is complete, so a share is reported, not a verdict.
_REFUSAL = re.compile(
    r"^\W*(?:i(?:'|’)?m (?:really |very )?sorry|i am (?:really |very )?sorry|sorry,|i apologi[sz]e|"
    r"i can(?:no|'|’)t |i(?:'m| am|’m) (?:unable|not able)|as an ai|unfortunately, i (?:can|am)|"
    r"i must decline|i won't )"
    r".{0,160}?(?:can(?:no|')t|can’t|unable|not able|not appropriate|decline|against|do not have|don't have|"
    r"won't|cannot)",
    re.IGNORECASE | re.DOTALL,
)
_SCRIPTS = {
    "latin": re.compile(r"[A-Za-z\u00c0-\u024f]"),
    "cyrillic": re.compile(r"[\u0400-\u04ff]"),
    "chinese": re.compile(r"[\u4e00-\u9fff]"),
    "kana": re.compile(r"[\u3040-\u30ff]"),
    "hangul": re.compile(r"[\uac00-\ud7af]"),
    "arabic": re.compile(r"[\u0600-\u06ff]"),
    "devanagari": re.compile(r"[\u0900-\u097f]"),
}


def is_refusal(text: str) -> bool:
    """Return whether a text opens like a refusal.

    >>> is_refusal("I'm sorry, but I can't help with that."), is_refusal("Sorry is a noun and an adjective.")
    (True, False)
    """
    return _REFUSAL.match(text[:300]) is not None


def script(text: str) -> str:
    """Return the script of most letters; "none" without letters.

    >>> script("3 + 4"), script("Привет, Bob"), script("Hello")
    ('none', 'cyrillic', 'latin')
    """
    counts = {name: len(pattern.findall(text[:2000])) for name, pattern in _SCRIPTS.items()}
    best = max(counts, key=lambda name: counts[name])
    return best if counts[best] else "none"


@dataclass(frozen=True)
class Fit:
    """A suspect that can be compared: its pool, and the checks made."""

    pool: Pool  # the suspect and everybody else, on the prompts that the suspect answered
    notes: tuple[Checked, ...]
    left_out: tuple[str, ...]  # models with too few of these prompts


def fit(pool: Pool, suspect: str, fewest: int = FEWEST) -> Fit:
    """Keep what can be compared with a suspect: prompts it answered, models that share enough of them.

    Refused prompts are left out, because unrelated models refuse in the same words.

    Raises: PoolError for too few prompts, no model to compare with, or empty answers.
    """
    mine = pool.answers[suspect]
    others = [model for model in pool.models if model != suspect]
    if not others:
        raise PoolError(f"{suspect}: there is no other model to compare with")
    known = {p for model in others for p in pool.answers[model]}
    common = [p for p in mine if p in known]
    if not common:
        raise PoolError(
            f"{suspect} answers {len(mine)} prompts and none of the pool's {len(known)} "
            f"(its first is {next(iter(mine))!r:.40}): outputs have to be on the same prompts"
        )
    refused = {p for p in common if is_refusal(mine[p][0])}
    kept = [p for p in common if p not in refused]
    if len(kept) < fewest:
        raise PoolError(
            f"{suspect} answers {len(kept)} of the pool's prompts ({len(refused)} more are refusals); "
            f"at least {fewest} are needed, {WANTED} are wanted"
        )
    if len({tuple(tokens(mine[p][0])) for p in kept}) <= max(1, len(kept) // 10):
        raise PoolError(f"{suspect}: says the same to most prompts ({mine[kept[0]][0]!r:.40})")
    enough = [m for m in others if sum(p in pool.answers[m] for p in kept) >= max(fewest, len(kept) // 2)]
    if not enough:
        raise PoolError(
            f"no model of the pool answers at least {fewest} of the prompts that {suspect} answers"
        )
    fitted = pool.of([suspect, *enough], kept)
    left_out = tuple(sorted(set(others) - set(enough)))
    notes = (
        *_unread(pool.unread),
        *pool.checked,
        _size(len(kept), len(pool.prompts)),
        _refusals(len(refused), len(common)),
        _languages(fitted, suspect, enough),
        _copies(fitted, suspect, enough),
    )
    return Fit(fitted, notes, left_out)


def same_answers(pool: Pool, first: str, second: str) -> float:
    """Return the share of common prompts where two models give identical texts, short texts left out."""
    a, b = pool.answers[first], pool.answers[second]
    both = [p for p in a if p in b and len(a[p][0]) >= LONG_ENOUGH]
    return sum(a[p][0] == b[p][0] for p in both) / len(both) if both else 0.0


def _unread(rows: Sequence[str]) -> tuple[Checked, ...]:
    """Report rows that were skipped, if any."""
    return (Checked("rows left out", f"{len(rows)}; the first: {rows[0]}", False),) if rows else ()


def _size(kept: int, of: int) -> Checked:
    found = f"{kept} prompts answered of the pool's {of}"
    return Checked("enough prompts", f"{found}; {WANTED} are wanted", kept >= WANTED)


def _refusals(refused: int, common: int) -> Checked:
    share = refused / common
    return Checked("refusals", f"{refused} of {common} left out ({share:.0%})", share < MANY_REFUSED)


def _languages(pool: Pool, suspect: str, others: Sequence[str]) -> Checked:
    others = others[:VOICES]
    usual = {
        p: Counter(script(pool.answers[m][p][0]) for m in others if p in pool.answers[m])
        for p in pool.prompts
    }
    mine = {p: script(pool.answers[suspect][p][0]) for p in pool.answers[suspect]}
    other = sum(
        bool(usual[p]) and s != "none" and s != usual[p].most_common(1)[0][0] for p, s in mine.items()
    )
    scripts = Counter(mine.values())
    shown = ", ".join(f"{name} {n}" for name, n in scripts.most_common(3))
    share = other / max(1, len(mine))
    return Checked(
        "language", f"{shown}; another script than most models' on {share:.0%}", share < OTHER_SCRIPT
    )


def _copies(pool: Pool, suspect: str, others: Sequence[str]) -> Checked:
    copies = [model for model in others if same_answers(pool, suspect, model) >= COPY_SHARE]
    if not copies:
        return Checked("copies", "no model of the pool gives the suspect's very answers", True)
    listed = ", ".join(copies[:4])
    return Checked(
        "copies", f"the suspect's very answers are those of {listed}: one model under two names", False
    )
