"""Hands out real texts so that nobody gets another's: once a stock is used up, its next edition follows.

Edition 0 is the texts as they are. Every further edition spells all words with a cipher of its own (vowels
for vowels, consonants for consonants): it has the lengths, punctuation and repetitions of real text and
shares no wording with other editions. Word lists and languages are not preserved.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from string import ascii_letters

import numpy as np

from stillwatch.range.prompt_pools import ShippedPrompts, shelf

VOWELS, CONSONANTS = "aeiou", "bcdfghjklmnpqrstvwxyz"


@lru_cache(maxsize=64)
def cipher(edition: int) -> dict[int, str] | None:
    """Return the spelling of an edition, for `str.translate`; None for edition 0."""
    if edition == 0:
        return None
    rng = np.random.default_rng(edition)
    table: dict[int, str] = {}
    for letters in (VOWELS, CONSONANTS):
        step = 1 + int(rng.integers(len(letters) - 1))
        order = rng.permutation(len(letters))
        for n, i in enumerate(order):  # a shift along a random ring: no letter stays the same
            old, new = letters[i], letters[order[(n + step) % len(letters)]]
            table[ord(old)], table[ord(old.upper())] = new, new.upper()
    return table


def spelt(text: str, edition: int) -> str:
    """Return the text in an edition's spelling.

    >>> spelt("Two plus two?", 0), len(spelt("Two plus two?", 5))
    ('Two plus two?', 13)
    """
    table = cipher(edition)
    return text if table is None else text.translate(table)


@cache
def latin(text: str) -> bool:
    """Return whether most of a text is in letters that a cipher can change."""
    letters = sum(c.isalpha() for c in text)
    return sum(c in ascii_letters for c in text) * 2 > letters


@dataclass
class Deck:
    """A stock dealt out in random order, edition after edition."""

    texts: Sequence[tuple[str, ...]]
    rng: np.random.Generator
    first: int = 0
    edition: int = -1
    left: list[tuple[str, ...]] = field(default_factory=list)

    def deal(self) -> tuple[str, ...]:
        """Return the next text, or conversation."""
        if not self.left:
            self.edition = self.first if self.edition < 0 else self.edition + 1
            table = cipher(self.edition)
            whole = self.texts if table is None else [t for t in self.texts if all(map(latin, t))]
            order = (whole[i] for i in self.rng.permutation(len(whole)))
            self.left = [t if table is None else tuple(x.translate(table) for x in t) for t in order]
        return self.left.pop()


class Supply:
    """Every stock of honest use, for one part of a population; `first` keeps parts from sharing editions."""

    def __init__(self, rng: np.random.Generator, first: int = 0) -> None:
        stock: ShippedPrompts = shelf()
        self.first = first
        self.rng = rng
        stems = [self._stem(q) for q in stock.tests["mmlu_sample"][::2]]  # the other half is for evaluation
        talks = [turns for _, turns in stock.talks] + [(q,) for q in dict.fromkeys(stems)]
        self.talks = Deck(talks, rng, first)
        self.questions = Deck([(q,) for q in stock.questions], rng, first)
        self.requests = Deck([(q,) for q in stock.requests], rng, first)
        self.lessons = Deck([(q,) for q in stock.tests["gsm8k_test"][::2]], rng, first)
        self.tests = {
            "gsm8k": stock.tests["gsm8k_test"][1::2],
            "mmlu": stock.tests["mmlu_sample"][1::2],
            "mt_bench": stock.tests["mt_bench"],
        }
        self.runs = stock.agents
        self._passages = stock.passages
        self._owners = first

    @staticmethod
    def _stem(question: str) -> str:
        """Return the question of a multiple-choice item, without its header and options."""
        body = question.split("\n\n", 1)[-1]
        return body.split("\nA", 1)[0].strip() or body

    def documents(self) -> "Documents":
        """Return texts of one organisation's own, always re-spelt, since nobody else has them."""
        self._owners += 1
        return Documents([spelt(text, self._owners) for text in self._passages])


@dataclass
class Documents:
    """The texts on which one organisation works."""

    texts: list[str]

    def slice(self, rng: np.random.Generator, least: int = 150, most: int = 900) -> str:
        """Return a part of one text, from the beginning of a word on."""
        text = self.texts[rng.integers(len(self.texts))]
        at = text.find(" ", int(rng.integers(max(1, len(text) - least)))) + 1
        return text[at : at + int(rng.integers(least, most))]
