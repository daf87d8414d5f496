"""Similarity of models' answers to the same prompts: word n-grams of the first 100 tokens, by rarity.

Per prompt: what two answers share, weighted by IDF over the models' answers to that prompt and scaled as a
cosine; then the mean over prompts. It has no threshold and no p-value: prompts are not independent trials,
and more of them make a wrong accusation only more certain.

Null: none. Blind to: paraphrase; a teacher that is not compared. Fooled by: a shared base, style or length
beyond 100 tokens, models that many others were trained on. Source: shared prompts and IDF as measured in
docs/provenance.md; IDF: Sparck Jones 1972, J. Documentation 28.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stillwatch.prove.pool import Pool
from stillwatch.stats.dealing import begins
from stillwatch.stats.sparse_rows import row_products

TOKENS = 100  # removes most of the effect of length
LONGEST = 3  # words of an n-gram
LONG = 400  # words
COHORT = 20  # nearest unrelated models; 10 and 30 work as well, within noise
RARENESS = 1.5  # a shared n-gram adds its IDF to this power; 1 and 2 work as well (docs/lab.md)
# One token: a word in an alphabet, one character of a script without spaces, or one punctuation mark.
_TOKEN = re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+|[^\w\s]")
_ABOUT = 40 * TOKENS  # characters that certainly hold the first tokens of any text

Floats = NDArray[np.float64]
Told = Callable[[int, int], None]  # prompts done, of how many


@dataclass(frozen=True)
class Likeness:
    """Similarities between all models of a pool, and per prompt for the one in focus."""

    models: tuple[str, ...]
    mean: Floats  # (models, models): the mean over the prompts that both answered; nan if none
    shared: NDArray[np.int64]  # (models, models) prompts
    focus: str
    by_prompt: Floats  # (prompts, models): the focus compared with each; nan if one did not answer
    length: Floats  # (models,): mean log of the words of an answer

    def at(self, model: str) -> int:
        """Return the index of a model."""
        return self.models.index(model)


def tokens(text: str) -> list[str]:
    """The first tokens of a text, in lower case.

    >>> tokens("It's 42, 東京!")
    ['it', "'", 's', '42', ',', '東', '京', '!']
    """
    found = []
    for match in _TOKEN.finditer(text[:_ABOUT].lower()):
        found.append(match.group())
        if len(found) == TOKENS:
            break
    return found


def likeness(pool: Pool, focus: str, tell: Told | None = None) -> Likeness:
    """Compare every model with every other, on every prompt of the pool."""
    models = pool.models
    place = {model: i for i, model in enumerate(models)}
    n = len(models)
    total, shared = np.zeros((n, n)), np.zeros((n, n), np.int64)
    by_prompt = np.full((len(pool.prompts), n), np.nan)
    for at, prompt in enumerate(pool.prompts):
        who = [model for model in models if prompt in pool.answers[model]]
        alike = prompt_likeness([tokens(pool.answers[model][prompt][0]) for model in who])
        rows = np.array([place[model] for model in who])
        total[np.ix_(rows, rows)] += alike
        shared[np.ix_(rows, rows)] += 1
        if focus in who:
            by_prompt[at, rows] = alike[who.index(focus)]
        if tell is not None:
            tell(at + 1, len(pool.prompts))
    mean = np.divide(total, shared, out=np.full((n, n), np.nan), where=shared > 0)
    length = np.array([_length(pool.answers[model].values()) for model in models])
    return Likeness(models, mean, shared, focus, by_prompt, length)


def too_little_shared(
    alike: Likeness, references: NDArray[np.int64], kins: NDArray[np.str_], kin: str
) -> str:
    """Return why the focus resembles no reference; "" if it does. kin: of its nearest one.

    This is so if it shares less with its nearest unrelated models than half of what any reference does.
    """

    def mean_beside(one: int, own: str) -> float:
        unrelated = alike.mean[one, references[(kins != own) & (references != one)]]
        return float(np.sort(unrelated[np.isfinite(unrelated)])[-COHORT:].mean())

    mine = mean_beside(alike.at(alike.focus), kin)
    least = min(mean_beside(int(one), own) for one, own in zip(references, kins, strict=True))
    return (
        ""
        if mine >= least / 2
        else f"its answers share with unrelated models ({mine:.4f}) less than half of what references do "
        f"({least:.4f}): noise, another language or refusals, where one rare word counts for much"
    )


def _length(texts: Collection[Sequence[str]]) -> float:
    """Return the mean log of words, of at most `LONG`: one essay among one-liners is no other style."""
    return float(np.mean([np.log1p(min(LONG, len(answers[0].split()))) for answers in texts]))


def prompt_likeness(answers: Sequence[Sequence[str]]) -> Floats:
    """Compare the answers to one prompt: (answers, answers), from 0 to 1.

    What two answers share, weighted by rarity, over the geometric mean of what each could share.
    """
    n = len(answers)
    words: dict[str, int] = {}
    coded = [np.array([words.setdefault(w, len(words) + 1) for w in answer], np.int64) for answer in answers]
    size = len(words) + 1
    grams, owners = [], []
    for i, code in enumerate(coded):
        held = [code]
        longer = code
        for length in range(2, LONGEST + 1):
            longer = longer[:-1] * size + code[length - 1 :] if len(longer) > 1 else longer[:0]
            held.append(longer)
        # a shorter n-gram's code is below size, a longer one's above
        unique = np.unique(np.concatenate(held))
        grams.append(unique)
        owners.append(np.full(len(unique), i))
    _, column = np.unique(np.concatenate(grams), return_inverse=True)
    row = np.concatenate(owners)
    if not len(column):
        return np.zeros((n, n))
    frequency = np.bincount(column)
    weight = (np.log(n / frequency) ** (RARENESS / 2))[column]
    norm = np.sqrt(np.bincount(row, weight**2, minlength=n))
    weight /= np.where(norm > 0, norm, 1)[row]
    return row_products(begins(np.bincount(row, minlength=n)), column, weight)
