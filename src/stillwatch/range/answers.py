"""Answers for composed scenes that need them: where another account of a campaign cleans its answers.

All of it is made up. It is words of no language at Zipf's frequencies, with a model's stock phrases between
them, so that answers share only what a model says to everybody.
"""

import hashlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

WORDS = 6_000
PHRASES = 200
LEAST, MOST = 30, 400  # words of an answer
WORDS_PER_TOKEN = 0.75
_MADE = np.random.default_rng(20_261_127)
_SYLLABLES = np.array([a + b for a in "bdfgklmnprstvz" for b in "aeiou"])
_WORDS = ["".join(_SYLLABLES[_MADE.integers(len(_SYLLABLES), size=3)]) for _ in range(WORDS)]
_CHANCE = np.cumsum(1.0 / np.arange(1, WORDS + 1))


def _prose(words_wanted: int, rng: np.random.Generator) -> str:
    return " ".join(_WORDS[k] for k in np.searchsorted(_CHANCE, rng.random(words_wanted) * _CHANCE[-1]))


_PHRASES = [_prose(int(_MADE.integers(6, 15)), _MADE) for _ in range(PHRASES)]


def answer(tokens: float, rng: np.random.Generator) -> str:
    """Make an answer of about this many tokens, within bounds."""
    words_left = int(np.clip(tokens * WORDS_PER_TOKEN, LEAST, MOST))
    parts = []
    while words_left > 0:
        parts += [_prose(min(words_left, int(rng.integers(20, 60))), rng), _PHRASES[rng.integers(PHRASES)]]
        words_left -= len(parts[-2].split())
    return " ".join(parts)


def with_answers(exchanges: pa.Table) -> pa.Table:
    """Give every answered exchange without a completion one; the same exchange always gets the same."""
    texts = exchanges["completion"].to_pylist()
    shown = pc.subtract(
        exchanges["output_tokens"], pc.fill_null(exchanges["reasoning_tokens"], 0)
    ).to_pylist()
    names, status = exchanges["exchange_id"].to_pylist(), exchanges["status"].to_pylist()
    for k, (name, tokens) in enumerate(zip(names, shown, strict=True)):
        if texts[k] is None and status[k] == 200:
            digest = hashlib.blake2b(name.encode(), digest_size=8, person=b"stillwatch.said").digest()
            texts[k] = answer(tokens or 0, np.random.default_rng(int.from_bytes(digest)))
    at = exchanges.schema.get_field_index("completion")
    return exchanges.set_column(at, "completion", pa.array(texts, pa.string()))
