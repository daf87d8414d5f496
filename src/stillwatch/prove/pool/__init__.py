"""Answers of several models to the same prompts: the data on which similarity is measured.

Prompts are identified by the file's own `prompt_id`, or by a hash of their text.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stillwatch.prove import Checked, ProveError


class PoolError(ProveError):
    """Outputs that cannot be compared."""


def prompt_id(text: str) -> str:
    """Return an id from a prompt's text; the amount of white space does not matter.

    >>> prompt_id(" What  is it?") == prompt_id("What is it?")
    True
    """
    return hashlib.sha256(" ".join(text.split()).encode(errors="replace")).hexdigest()[:16]


@dataclass(frozen=True)
class Pool:
    """Answers by model and prompt, in a fixed order. Missing answers are absent."""

    prompts: tuple[str, ...]  # ids, sorted
    answers: Mapping[str, Mapping[str, tuple[str, ...]]]  # model -> prompt id -> its answers, never empty
    texts: Mapping[str, str]  # prompt id -> the prompt, where the files give it
    prompt_tokens: Mapping[str, Mapping[str, int]]  # model -> prompt id -> usage.prompt_tokens, where given
    unread: tuple[str, ...] = ()  # rows of the files that could not be used: place and reason
    checked: tuple[Checked, ...] = ()  # checks made when the answers were fetched

    @property
    def models(self) -> tuple[str, ...]:
        """The models, sorted."""
        return tuple(sorted(self.answers))

    def of(self, models: Iterable[str], prompts: Iterable[str] | None = None) -> "Pool":
        """Return the same with fewer models, or fewer prompts."""
        kept = {model: self.answers[model] for model in models}
        if prompts is not None:
            wanted = frozenset(prompts)
            kept = {m: {p: a for p, a in by.items() if p in wanted} for m, by in kept.items()}
        ids = tuple(sorted({p for by in kept.values() for p in by}))
        usage = {model: self.prompt_tokens[model] for model in kept if model in self.prompt_tokens}
        return Pool(
            ids, kept, {p: self.texts[p] for p in ids if p in self.texts}, usage, self.unread, self.checked
        )

    def joined(self, other: "Pool") -> "Pool":
        """Return both together. Prompts are the same where their texts are, whatever ids the files gave them.

        Raises: PoolError for a model that is in both.
        """
        if both := sorted(self.answers.keys() & other.answers.keys()):
            raise PoolError(f"{both[0]!r} is in both; give the suspect a name that the pool does not have")
        other = other._named_as(self)
        return Pool(
            tuple(sorted({*self.prompts, *other.prompts})),
            {**self.answers, **other.answers},
            {**self.texts, **other.texts},
            {**self.prompt_tokens, **other.prompt_tokens},
            (*self.unread, *other.unread),
            (*self.checked, *other.checked),
        )

    def _named_as(self, other: "Pool") -> "Pool":
        """Rename the other's prompts to the ids used here, by their texts: row numbers identify nothing."""
        theirs = {prompt_id(text): key for key, text in other.texts.items()}
        name = {}
        for key, text in self.texts.items() if theirs else ():
            mine = prompt_id(text)
            held = other.texts.get(key)
            if held is not None and prompt_id(held) == mine:
                name[key] = key
            else:
                name[key] = theirs.get(mine, key if held is None else mine)
        if all(key == named for key, named in name.items()):
            return self
        return Pool(
            tuple(sorted({name.get(p, p) for p in self.prompts})),
            {m: {name.get(p, p): a for p, a in by.items()} for m, by in self.answers.items()},
            {name[p]: text for p, text in self.texts.items()},
            {m: {name.get(p, p): n for p, n in by.items()} for m, by in self.prompt_tokens.items()},
            self.unread,
            self.checked,
        )
