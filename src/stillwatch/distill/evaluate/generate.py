"""Generates a model's answers to questions, in batches."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stillwatch.distill.train.extra import need
from stillwatch.distill.train.memory import keep_freed
from stillwatch.distill.train.models import LoadedModel, context
from stillwatch.distill.train.wording import THINK, THOUGHT, Messages, Wording


@dataclass(frozen=True)
class GeneratedAnswer:
    """A model's answer to one question. `finished`: it ended by itself, and so did its reasoning."""

    reasoning: str | None
    answer: str
    finished: bool
    tokens: int


def write(
    loaded: LoadedModel,
    words: Wording,
    prompts: Sequence[Messages],
    *,
    new_tokens: int,
    batch: int,
    temperature: float = 0.0,
    seed: int = 1,
    tell: Callable[[int], None] = lambda _: None,
) -> list[GeneratedAnswer]:
    """Answer questions, in their order. Greedy at temperature 0, else sampled from the seed."""
    tokens = [words.prompt_tokens(messages) for messages in prompts]
    written = write_tokens(
        loaded,
        words,
        tokens,
        new_tokens=new_tokens,
        batch=batch,
        temperature=temperature,
        seed=seed,
        tell=tell,
    )
    return [
        _parse_tokens(loaded, words, text, messages) if text else GeneratedAnswer(None, "", False, 0)
        for text, messages in zip(written, prompts, strict=True)
    ]


def write_tokens(
    loaded: LoadedModel,
    words: Wording,
    tokens: Sequence[Sequence[int]],
    *,
    new_tokens: int,
    batch: int,
    temperature: float = 0.0,
    seed: int = 1,
    tell: Callable[[int], None] = lambda _: None,
) -> list[list[int]]:
    """Continue from tokens: return the new ones, in order; none if the context is full."""
    torch = need("torch")
    model = loaded.model.eval()
    if model.device.type == "cpu":
        keep_freed()
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i]))  # sorted by length: less padding
    found: list[list[int]] = [[] for _ in tokens]
    limit = context(model) or 1 << 30
    torch.manual_seed(seed)
    ends = sorted(words.ends)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        longest = max(len(tokens[i]) for i in chosen)
        room = min(new_tokens, limit - longest)
        if room < 1:  # the question alone fills the context
            continue
        padding = loaded.tokenizer.pad_token_id
        ids = torch.full((len(chosen), longest), padding)
        mask = torch.zeros((len(chosen), longest), dtype=torch.long)
        for row, i in enumerate(chosen):
            ids[row, longest - len(tokens[i]) :] = torch.tensor(tokens[i])
            mask[row, longest - len(tokens[i]) :] = 1
        sampled = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0}
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids.to(model.device),
                attention_mask=mask.to(model.device),
                max_new_tokens=room,
                eos_token_id=ends,
                pad_token_id=padding,
                **(sampled if temperature else {"do_sample": False}),
            )
        for row, i in enumerate(chosen):
            found[i] = out[row, longest:].tolist()
        tell(min(start + batch, len(order)))
    return found


def _parse_tokens(
    loaded: LoadedModel, words: Wording, tokens: list[int], messages: Messages
) -> GeneratedAnswer:
    end = next((k for k, token in enumerate(tokens) if token in words.ends), None)
    text = loaded.tokenizer.decode(tokens[:end], skip_special_tokens=True)
    reasoning, answer, closed = apart(text, words.opens_reasoning(messages))
    return GeneratedAnswer(
        reasoning, answer, end is not None and closed, len(tokens) if end is None else end + 1
    )


def apart(text: str, opened: bool = False) -> tuple[str | None, str, bool]:
    """Split reasoning and answer; the third value is whether the reasoning, if any, was closed.

    >>> apart("<think>\\n1 + 1 = 2\\n</think>\\n\\n2")
    ('1 + 1 = 2', '2', True)
    >>> apart("<think> 1 + 1"), apart("2")
    (('1 + 1', '', False), (None, '2', True))
    """
    before, mark, after = text.partition(THOUGHT)
    if mark:
        return before.replace(THINK, "", 1).strip(), after.strip(), True
    if opened or text.lstrip().startswith(THINK):
        return text.replace(THINK, "", 1).strip(), "", False
    return None, text.strip(), True
