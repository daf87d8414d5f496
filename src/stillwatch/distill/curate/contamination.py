"""Does a text share a run of words with the evaluation set? By n-grams of words, as GPT-3's authors did.

Null: texts that have nothing to do with each other share no run of 13 words.
Blind to: paraphrases and translations of a held-out question; a short one without a mark before or after it.
Fooled by: wording that every question has; a run that many held-out questions share is taken for that.
Source: Brown et al. 2020, arXiv 2005.14165, appendix C (13-grams).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from stillwatch.distill.curate.words import INVISIBLE, in_words, words

SHORTEST = 10  # words: a shorter held-out question must be met as a whole text or as whole sentences
LEAST = 3  # words of a question that is looked for among the sentences of a text
COMMON = (
    0.05  # a run in more than this share of the held-out questions, and in three at least, is a template's
)
SENTENCE_END = re.compile(r"[.!?:;](?=\s|[\"'”’)\]]|$)|[。！？：；…؟।]|\n")


class HeldOut:
    """The evaluation set, ready to be looked for."""

    def __init__(self, texts: Sequence[str], run: int) -> None:
        """`run` words in a row are too many; 0 looks for whole texts only."""
        self._whole: set[tuple[str, ...]] = set()
        found: Counter[tuple[str, ...]] = Counter()
        for text in texts:
            said = words(text)
            self._whole.add(said)
            amount = in_words(said)
            if run and amount >= SHORTEST:  # as many tokens as make so many words in this script
                length = min(len(said), round(run * len(said) / amount))
                found.update(set(_runs(said, length)))
        most = max(2, int(COMMON * len(texts)))
        self._runs = {one for one, count in found.items() if count <= most}
        self._lengths = sorted({len(one) for one in self._runs})
        self._short = {one for one in self._whole if LEAST <= in_words(one) < SHORTEST} if run else set()

    def shares(self, text: str) -> str | None:
        """The run of words that a text shares with a held-out question; None where it shares none."""
        said = words(text)
        if said in self._whole:
            return " ".join(said)
        for length in self._lengths:
            for run in _runs(said, length):
                if run in self._runs:
                    return " ".join(run)
        if self._short:
            sentences = [one for one in map(words, SENTENCE_END.split(INVISIBLE.sub("", text))) if one]
            for one in (*sentences, *(a + b for a, b in pairwise(sentences))):
                if one in self._short:
                    return " ".join(one)
        return None


def user_text(messages: Iterable[dict[str, str]]) -> str:
    """What a prompt asks: all that the user says in it."""
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _runs(said: tuple[str, ...], length: int) -> Iterator[tuple[str, ...]]:
    return (said[at : at + length] for at in range(len(said) - length + 1))
