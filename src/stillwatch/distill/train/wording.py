"""Turns a question and an answer into tokens: the same for training, evaluation and on-policy generation.

A model with a chat template gets its template; one without gets plain text.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stillwatch.distill import DistillError

THINK, THOUGHT = "<think>", "</think>"  # as R1-type models write it, and programs that read them expect
_HERE = "\u2402answer\u2402"  # placeholder for the answer while a template is analysed

Messages = Sequence[dict[str, str]]


class TemplateRefuses(DistillError):
    """The chat template rejects these messages: some take no system message, some no two in a row."""


@dataclass(frozen=True)
class Wording:
    """A tokenizer's template around an answer. `ends` are the end tokens."""

    tokenizer: Any
    closing: str  # text after an answer, up to its end token
    ends: frozenset[int]
    notes: tuple[str, ...]

    def prompt_tokens(self, messages: Messages) -> list[int]:
        """Return the tokens of a prompt, up to where the model's turn begins."""
        tokens = self.tokenizer(
            self.asked_text(messages), add_special_tokens=not self.tokenizer.chat_template
        )
        return list(tokens.input_ids)

    def asked_text(self, messages: Messages) -> str:
        if self.tokenizer.chat_template:
            try:
                text: str = self.tokenizer.apply_chat_template(
                    [dict(m) for m in messages], tokenize=False, add_generation_prompt=True
                )
            except Exception as why:  # a template is a program that came with the model
                raise TemplateRefuses(f"the model's chat template refuses it: {str(why)[:200]}") from why
            return text
        return "\n".join(m["content"] for m in messages) + "\n"

    def completion_tokens(self, messages: Messages, reasoning: str | None, answer: str) -> list[int]:
        """Return the tokens of a completion: the reasoning if any, the answer, the end."""
        text = self.said_text(messages, reasoning, answer) + self.closing
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def begun_tokens(self, messages: Messages, text: str) -> list[int]:
        """Return the tokens of a prompt and of the beginning of its answer, for the model to continue."""
        begun = self.said_text(messages, None, text) if text else ""
        return self.prompt_tokens(messages) + list(self.tokenizer(begun, add_special_tokens=False).input_ids)

    def said_text(self, messages: Messages, reasoning: str | None, answer: str) -> str:
        opened = self.opens_reasoning(messages)
        if not reasoning:
            return f"\n{THOUGHT}\n\n{answer}" if opened else answer
        thought = f"{reasoning}\n{THOUGHT}\n\n{answer}"
        return thought if opened else f"{THINK}\n{thought}"

    def opens_reasoning(self, messages: Messages) -> bool:
        """Return whether the template itself opens the reasoning, as R1-type ones do."""
        return self.asked_text(messages).rstrip().endswith(THINK)

    def count_unknown(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens stand for text outside the tokenizer's vocabulary."""
        unknown = self.tokenizer.unk_token_id
        return 0 if unknown is None or unknown in self.ends else sum(1 for t in tokens if t == unknown)


def wording(model: Any, tokenizer: Any) -> Wording:
    """Analyse a tokenizer's chat template and find the end of a turn.

    Raises: DistillError if the template cannot be read or an answer would have no end.
    """
    ends = _ends(model, tokenizer)
    notes: list[str] = []
    if not tokenizer.chat_template:
        notes.append("the tokenizer has no chat template: a prompt is plain text and a line break")
        closing = tokenizer.eos_token
    else:
        closing = _closing(tokenizer)
        within = list(tokenizer(closing, add_special_tokens=False).input_ids)
        end = next((i for i, token in enumerate(within) if token in ends), None)
        if end is None:
            notes.append("the chat template ends no answer: the tokenizer's end of text was added")
            closing += tokenizer.eos_token
        else:
            closing = tokenizer.decode(within[: end + 1], skip_special_tokens=False)
            if list(tokenizer(closing, add_special_tokens=False).input_ids)[-1] not in ends:
                raise DistillError("the chat template's end of a turn does not survive its own tokenizer")
    return Wording(tokenizer, closing, frozenset(ends), tuple(notes))


def _closing(tokenizer: Any) -> str:
    try:
        rendered: str = tokenizer.apply_chat_template(
            [{"role": "user", "content": "?"}, {"role": "assistant", "content": _HERE}], tokenize=False
        )
    except Exception as why:  # a template is a program of the model's maker, and may raise anything
        raise DistillError(f"the model's chat template cannot be used: {why}") from why
    if rendered.count(_HERE) != 1:
        raise DistillError(
            "the model's chat template drops or repeats the assistant's words: it cannot be learnt"
        )
    return rendered.partition(_HERE)[2]


def _ends(model: Any, tokenizer: Any) -> set[int]:
    """Return the tokens at which generation stops."""
    named = model.generation_config.eos_token_id if model.generation_config else None
    ends = set(named if isinstance(named, list) else [] if named is None else [named])
    return ends | {tokenizer.eos_token_id}
