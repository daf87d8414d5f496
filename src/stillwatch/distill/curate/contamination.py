"""Does a text share a run of words with the evaluation set? By n-grams of words, as GPT-3's authors did.

Null: texts that have nothing to do with each other share no run of 13 words.
Blind to: paraphrases and translations of a held-out question.
Fooled by: wording that every question has; a run that many held-out questions share is taken for that.
Source: Brown et al. 2020, arXiv 2005.14165, appendix C (13-grams).
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

WORD = re.compile(r"\w+", re.UNICODE)
SHORTEST = 10  # words: a shorter held-out question must be met as a whole text
COMMON = (
    0.05  # a run in more than this share of the held-out questions, and in three at least, is a template's
)


class HeldOut:
    """The evaluation set, ready to be looked for."""

    def __init__(self, texts: Sequence[str], words: int) -> None:
        """`words` in a row are too many; 0 looks for whole texts only."""
        self._whole: set[tuple[str, ...]] = set()
        found: Counter[tuple[str, ...]] = Counter()
        for text in texts:
            said = _words(text)
            self._whole.add(said)
            if words and len(said) >= SHORTEST:
                found.update(set(_runs(said, min(words, len(said)))))
        most = max(2, int(COMMON * len(texts)))
        self._runs = {run for run, count in found.items() if count <= most}
        self._lengths = sorted({len(run) for run in self._runs})

    def shares(self, text: str) -> str | None:
        """The run of words that a text shares with a held-out question; None where it shares none."""
        said = _words(text)
        if said in self._whole:
            return " ".join(said)
        for length in self._lengths:
            for run in _runs(said, length):
                if run in self._runs:
                    return " ".join(run)
        return None


def user_text(messages: Iterable[dict[str, str]]) -> str:
    """What a prompt asks: all that the user says in it."""
    return "\n".join(message["content"] for message in messages if message["role"] == "user")


def _words(text: str) -> tuple[str, ...]:
    return tuple(WORD.findall(text.casefold()))


def _runs(said: tuple[str, ...], length: int) -> Iterator[tuple[str, ...]]:
    return (said[at : at + length] for at in range(len(said) - length + 1))
