"""Filters that judge one answer alone: its ending, its length, its wording. Each gives a reason, or None.

Null: an answer to learn from is complete, has content, and repeats itself no more than prose does.
Blind to: a wrong answer in good words; a refusal in a language that `refusals.tsv` lacks (`run.py` looks for
answers that many questions get); a cut that the teacher neither reports nor bills.
Fooled by: an answer that quotes a refusal at its start; verse and tables that repeat by nature.
Source: repetition of n-grams as in Rae et al. 2021 (Gopher), arXiv 2112.11446, appendix A.1.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from stillwatch.distill import Sample
from stillwatch.distill.plan import CurationRules

Filter = Callable[[Sample, CurationRules], str | None]

LEFTOVER = re.compile(r"</?(?:think|thinking)>|<\|(?:im_start|im_end|endoftext|eot_id|assistant)[^>]{0,40}>")
GAP = r"[^.!?。！？।\n]{0,60}?"
SENTENCE_END = re.compile(r"[.!?](?=\s|$)|[。！？।؟۔]|\n")
OPENING = 400  # characters of an answer in which a refusal is looked for
WORDS_TO_JUDGE = 100  # fewer words repeat by chance
GRAM = 4
BROKEN = 0.01  # share of undecodable characters


@dataclass(frozen=True)
class NamedFilter:
    """A filter with its name in the counts and a description of what it drops."""

    name: str
    drops: str
    judge: Filter


def _empty(sample: Sample, sieve: CurationRules) -> str | None:
    return None if sample.answer.strip() else "there is no answer"


def _refusal(sample: Sample, sieve: CurationRules) -> str | None:
    if not sieve.refusals:
        return None
    if sample.finish_reason in ("content_filter", "refusal"):
        return f"the teacher's {sample.finish_reason} ended it"
    return declines(sample.answer)


def declines(answer: str) -> str | None:
    """Return why an answer's first two sentences read as a refusal; None if they do not.

    >>> declines("Lo siento, no puedo ayudar con eso.")
    "says 'lo siento, no puedo'"
    >>> declines("I'm sorry to hear that. Here is what helps.")
    """
    opening = unicodedata.normalize("NFKC", answer[:OPENING]).casefold().replace("’", "'")
    ends = [end.end() for end in SENTENCE_END.finditer(opening.strip())][1:2]
    found = _refusals().search(opening.strip()[: ends[0] if ends else None])
    return f"says {found[0].strip()[:60]!r}" if found else None


@lru_cache(maxsize=1)
def _refusals() -> re.Pattern[str]:
    """Compile the refusals of all languages in the table."""
    lines = files("stillwatch.distill.curate").joinpath("refusals.tsv").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in lines.splitlines() if not line.startswith("#")]
    return re.compile("|".join(f"(?:{row[1].replace('GAP', GAP)})" for row in rows))


def _why_truncated(sample: Sample, sieve: CurationRules) -> str | None:
    if not sieve.truncated:
        return None
    if sample.finish_reason in ("length", "max_tokens"):
        return "cut off at max_tokens"
    limit = sample.params.get("max_tokens", sample.params.get("max_completion_tokens"))
    used = sample.usage.get("output_tokens")
    if isinstance(limit, int) and used == limit and not sample.usage.get("estimated"):
        return f"took all {limit:,} tokens of max_tokens, whatever the teacher says"
    return None


def _no_reasoning(sample: Sample, sieve: CurationRules) -> str | None:
    return "has no reasoning" if sieve.need_reasoning and not sample.reasoning else None


def _length(sample: Sample, sieve: CurationRules) -> str | None:
    long = len(sample.answer.strip())
    if long < sieve.least_answer_chars:
        return f"{long} characters, fewer than {sieve.least_answer_chars}"
    if sieve.most_answer_chars and long > sieve.most_answer_chars:
        return f"{long} characters, more than {sieve.most_answer_chars}"
    thought = len(sample.reasoning or "")
    if sieve.most_reasoning_chars and thought > sieve.most_reasoning_chars:
        return f"{thought} characters of reasoning, more than {sieve.most_reasoning_chars}"
    return None


def _why_broken(sample: Sample, sieve: CurationRules) -> str | None:
    text = sample.answer + (sample.reasoning or "")
    if found := LEFTOVER.search(sample.answer):
        return f"a mark was left in it: {found[0]}"
    bad = sum(c == "\ufffd" or "\ud800" <= c <= "\udfff" or (c < " " and c not in "\t\n\r") for c in text)
    return f"{bad} characters are no text" if bad > BROKEN * len(text) else None


def _repeats(sample: Sample, sieve: CurationRules) -> str | None:
    if not sieve.repetition:
        return None
    for name, text in (("answer", sample.answer), ("reasoning", sample.reasoning or "")):
        words = text.split()
        if len(words) >= WORDS_TO_JUDGE:
            grams = [tuple(words[at : at + GRAM]) for at in range(len(words) - GRAM + 1)]
            share = 1 - len(set(grams)) / len(grams)
            if share > sieve.repetition:
                return f"{share:.0%} of the {name}'s runs of {GRAM} words are repeats"
    return None


FILTERS = (
    NamedFilter("refusal", "the teacher declined", _refusal),
    NamedFilter("truncated", "cut off at max_tokens", _why_truncated),
    NamedFilter("empty", "no answer", _empty),
    NamedFilter("no_reasoning", "no reasoning, where the plan needs it", _no_reasoning),
    NamedFilter("length", "shorter or longer than the plan allows", _length),
    NamedFilter("broken", "marks of a template or characters that are no text", _why_broken),
    NamedFilter("repetition", "goes in circles", _repeats),
)
