"""Finds texts that share a run of words with the evaluation set. It uses word n-grams, as GPT-3's authors
did.

Null: unrelated texts share no run of 13 words.
Blind to: paraphrases and translations of a held-out question; a short one without punctuation around it.
Fooled by: wording that some questions share, of which few are held out.
Source: Brown et al. 2020, arXiv 2005.14165, appendix C (13-grams).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise

from stillwatch.distill.curate.words import INVISIBLE, in_words, words

SHORTEST = 10  # words: a shorter held-out question must match a whole text or whole sentences
LEAST = 3  # words of a question that is searched among the sentences of a text
TEMPLATE = 5  # words of a run that belongs to a template if many held-out questions have it
COMMON = 0.05  # of the held-out questions, and at least three: a run in more is a template's
SENTENCE_END = re.compile(r"[.!?:;](?=\s|[\"'”’)\]]|$)|[。！？：；…؟।]|\n")


class HeldOut:
    """The evaluation set, indexed for search."""

    def __init__(self, texts: Sequence[str], run: int) -> None:
        """`run` words in a row are a match; 0 looks for whole texts only."""
        all_said = [words(text) for text in texts]
        most = max(2, int(COMMON * len(texts)))
        self._whole = set(all_said)
        self._short = (
            {phrase for phrase in self._whole if LEAST <= in_words(phrase) < SHORTEST} if run else set()
        )
        self._template = _Runs(most, rare=False)
        self._runs = _Runs(most, rare=True)
        if not run:
            return
        self._template.take(all_said, TEMPLATE)
        own = [self._own_words(example) for example in all_said if in_words(example) >= SHORTEST]
        self._runs.take([example for example in own if in_words(example) >= TEMPLATE], run)

    def shares(self, text: str) -> str | None:
        """Return the run of words that a text shares with a held-out question; None if there is none."""
        spoken = words(text)
        if spoken in self._whole:
            return " ".join(spoken)
        for at, length in self._runs.places(own := self._own_words(spoken)):
            return " ".join(own[at : at + length])
        if self._short:
            sentences = [
                sentence for sentence in map(words, SENTENCE_END.split(INVISIBLE.sub("", text))) if sentence
            ]
            for sentence in (*sentences, *(a + b for a, b in pairwise(sentences))):
                if sentence in self._short:
                    return " ".join(sentence)
        return None

    def _own_words(self, spoken: tuple[str, ...]) -> tuple[str, ...]:
        """Return a text without the wording that many held-out questions have: its names and numbers stay."""
        common = {at + k for at, length in self._template.places(spoken) for k in range(length)}
        return tuple(word for at, word in enumerate(spoken) if at not in common) if common else spoken


class _Runs:
    """Runs of words that many held-out questions have, or (`rare`) that few have."""

    def __init__(self, most: int, rare: bool) -> None:
        self._most, self._rare = most, rare
        self._found: set[tuple[str, ...]] = set()
        self._lengths: list[int] = []

    def take(self, texts: Sequence[tuple[str, ...]], run: int) -> None:
        """Count the runs of this length; in scripts without spaces, of a corresponding number of letters."""
        found: Counter[tuple[str, ...]] = Counter()
        for spoken in texts:
            if spoken:
                length = min(len(spoken), round(run * len(spoken) / in_words(spoken)))
                found.update({spoken[at : at + length] for at in range(len(spoken) - length + 1)})
        self._found = {phrase for phrase, count in found.items() if (count <= self._most) == self._rare}
        self._lengths = sorted({len(phrase) for phrase in self._found})

    def places(self, spoken: tuple[str, ...]) -> Iterator[tuple[int, int]]:
        """Yield where one of the runs begins in a text, and its length."""
        for length in self._lengths:
            for at in range(len(spoken) - length + 1):
                if spoken[at : at + length] in self._found:
                    yield at, length


def user_text(messages: Iterable[dict[str, str]]) -> str:
    """Return all that the user says in a prompt."""
    return "\n".join(message["content"] for message in messages if message["role"] == "user")
