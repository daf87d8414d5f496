"""Texts typical of a person: own words, files and habits, or the texts of a real author.

A made person has a vocabulary drawn from the shipped real texts, a project with folders and files, preferred
patterns, and sometimes a language of its own (a cipher of the spelling, see supply.py). A real author (commit
messages and touched files, `corpora/authors.parquet` of the range's data) is for local use only.
"""

import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.people import product_words as w
from stillwatch.range.people.supply import spelt
from stillwatch.range.prompt_pools import shelf

WORD = re.compile(r"\b[a-z]{4,11}\b")
COMMONEST, RAREST = 150, 6000  # ranks of the words that a vocabulary is drawn from
LANGUAGES = (900_000_001, 900_000_002, 900_000_003, 900_000_004)  # editions of the spelling
LEAST_TEXTS = 6  # of an author used as a customer


@dataclass(frozen=True)
class Author:
    """A real person's texts, in order of time, with the files touched."""

    name: str
    texts: tuple[str, ...]
    files: tuple[str, ...]


@cache
def words() -> tuple[str, ...]:
    """Return words of the shipped texts, without the most common and the rarest."""
    stock = shelf()
    count = Counter(
        word
        for text in (*stock.passages, *stock.questions, *stock.requests)
        for word in WORD.findall(text.lower())
    )
    ranked = sorted(count, key=lambda word: (-count[word], word))
    return tuple(ranked[COMMONEST:RAREST])


def authors_file() -> Path:
    """Return the file of the real authors' texts.

    Raises: InputError if it is missing; they are for local use and not shipped.
    """
    folder = os.environ.get("STILLWATCH_RANGE")
    path = Path(folder or "") / "corpora" / "authors.parquet"
    if folder is None or not path.is_file():
        raise InputError(
            'texts = "authors": set STILLWATCH_RANGE to a folder with corpora/authors.parquet, which is for '
            'local use and does not ship; or say texts = "made"'
        )
    return path


@cache
def _authors(path: Path) -> tuple[Author, ...]:
    by: dict[str, list[dict[str, object]]] = {}
    for row in pq.read_table(path, columns=["author", "time", "text", "files"]).sort_by("time").to_pylist():
        by.setdefault(row["author"], []).append(row)
    donors = []
    for name in sorted(by):
        rows = by[name]
        texts = tuple(dict.fromkeys(str(row["text"]) for row in rows))
        files = tuple(dict.fromkeys(file for row in rows for file in (row["files"] or ())))  # type: ignore[attr-defined]
        if len(texts) >= LEAST_TEXTS and files:
            donors.append(Author(name, texts, files))
    return tuple(donors)


def authors() -> tuple[Author, ...]:
    """Return real authors with enough texts to be a customer."""
    return _authors(authors_file())


class OwnTexts:
    """The texts of one person."""

    def __init__(self, rng: np.random.Generator, author: Author | None = None) -> None:
        self._rng = rng
        self._author = author
        every = words()
        self._words = [every[i] for i in rng.choice(len(every), 90, replace=False)]
        weight = np.cumsum(1.0 / np.arange(2, 92))  # by Zipf's law, with the most frequent reduced
        self._below = weight / weight[-1]
        self._patterns = [w.PATTERNS[i] for i in rng.choice(len(w.PATTERNS), 9, replace=False)]
        self._openers = [w.OPENERS[i] for i in rng.choice(len(w.OPENERS), 3, replace=False)]
        self._lower, self._stop = bool(rng.random() < 0.55), ("", ".", ".", "!")[rng.integers(4)]
        self._length = 1.0 + float(rng.gamma(2.0, 0.7))  # sentences of a request
        self._language = int(LANGUAGES[rng.integers(len(LANGUAGES))]) if rng.random() < 0.3 else 0
        ending = w.ENDINGS[rng.integers(len(w.ENDINGS))]
        folders = [f"{w.FOLDERS[rng.integers(len(w.FOLDERS))]}/{self._draw_word()}" for _ in range(4)]
        composed = [
            f"{folders[rng.integers(4)]}/{self._draw_word()}_{self._draw_word()}.{ending}" for _ in range(14)
        ]
        self.files = list(author.files) if author else composed
        self.folder = f"/{('home', 'Users', 'work')[rng.integers(3)]}/{self._draw_word()}/{self._draw_word()}"
        self._next = int(rng.integers(len(author.texts))) if author else 0

    def _draw_word(self) -> str:
        return self._words[int(np.searchsorted(self._below, self._rng.random(), side="right"))]

    def file(self) -> str:
        return self.files[int(self._rng.integers(len(self.files)))]

    def request(self) -> str:
        if self._author is not None:
            text = self._author.texts[self._next % len(self._author.texts)]
            self._next += 1
            return text
        length = max(1, int(self._rng.poisson(self._length)))
        sentences = " ".join(self._sentence() for _ in range(length))
        return self._openers[int(self._rng.integers(3))] + sentences

    def _sentence(self) -> str:
        pattern = self._patterns[int(self._rng.integers(len(self._patterns)))]
        text = re.sub(r"\{([wf])\}", lambda m: self._draw_word() if m[1] == "w" else self.file(), pattern)
        text = spelt(text, self._language)
        return (text if self._lower else text[:1].upper() + text[1:]) + self._stop

    def passage(self, least: int, most: int) -> str:
        """Return an own text to work on, of a number of words."""
        count = int(self._rng.integers(least, most))
        if self._author is not None:
            pieces: list[str] = []
            while sum(map(len, pieces)) < 6 * count:
                pieces.append(self.request())
            return "\n".join(pieces)
        lines: list[str] = []
        while sum(len(line.split()) for line in lines) < count:
            lines.append(self._sentence())
        return "\n".join(lines)

    def code(self, lines: int) -> str:
        """Some lines of a file."""
        return "\n".join(
            f"{int(self._rng.integers(1, 400))} | {' ' * 4 * int(self._rng.integers(4))}"
            f"{self._draw_word()}_{self._draw_word()}({self._draw_word()}, "
            f"{self._draw_word()}={int(self._rng.integers(100))})"
            for _ in range(lines)
        )
