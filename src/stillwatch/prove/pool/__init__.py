"""Answers of several models to the same prompts: what similarity is measured on. It knows no lineage.

Questions are told apart by an id: the file's own `prompt_id`, or a hash of the prompt's text.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from stillwatch.prove import ProveError


class PoolError(ProveError):
    """Outputs that nothing can be compared on."""


@dataclass(frozen=True)
class Pool:
    """Answers by model and prompt, in a fixed order. What a model did not answer is not there."""

    prompts: tuple[str, ...]  # ids, sorted
    answers: Mapping[str, Mapping[str, tuple[str, ...]]]  # model -> prompt id -> its answers, never empty
    texts: Mapping[str, str]  # prompt id -> the prompt, where the files give it
    prompt_tokens: Mapping[str, Mapping[str, int]]  # model -> prompt id -> usage.prompt_tokens, where given

    @property
    def models(self) -> tuple[str, ...]:
        """The models, sorted."""
        return tuple(sorted(self.answers))

    def of(self, models: Iterable[str], prompts: Iterable[str] | None = None) -> "Pool":
        """The same with fewer models, or fewer prompts."""
        kept = {model: self.answers[model] for model in models}
        if prompts is not None:
            wanted = frozenset(prompts)
            kept = {m: {p: a for p, a in by.items() if p in wanted} for m, by in kept.items()}
        ids = tuple(sorted({p for by in kept.values() for p in by}))
        usage = {model: self.prompt_tokens[model] for model in kept if model in self.prompt_tokens}
        return Pool(ids, kept, {p: self.texts[p] for p in ids if p in self.texts}, usage)

    def joined(self, other: "Pool") -> "Pool":
        """Both together. Raises: PoolError for a model that is in both."""
        if both := sorted(self.answers.keys() & other.answers.keys()):
            raise PoolError(f"{both[0]!r} is in both; give the suspect a name that the pool does not have")
        return Pool(
            tuple(sorted({*self.prompts, *other.prompts})),
            {**self.answers, **other.answers},
            {**self.texts, **other.texts},
            {**self.prompt_tokens, **other.prompt_tokens},
        )
