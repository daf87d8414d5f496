"""A suspect whose weights we have: a folder of Hugging Face's, a GGUF file, the embedded clock.

Needs the extra `train`. It does not know what the answers that it weighs are for.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any

from stillwatch.distill import DistillError
from stillwatch.distill.evaluate.generate import apart, write
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import Loaded, context, load_to_run
from stillwatch.distill.train.wording import wording
from stillwatch.prove import ProveError
from stillwatch.prove.suspect import Question, Tell, Told, Weighed

BATCH = 16
FLOATS_AT_ONCE = 1 << 26  # of a batch's logits: 256 MiB


class Weights:
    """A model in this process."""

    offers = frozenset({"answers", "likelihood", "top"})

    def __init__(
        self,
        loaded: Loaded,
        name: str = "",
        *,
        max_tokens: int = 256,
        temperature: float = 1.0,
        seed: int = 1,
    ) -> None:
        """Raises: ProveError where its chat template cannot be used."""
        try:
            self._words = wording(loaded.model, loaded.tokenizer)
        except DistillError as why:
            raise ProveError(f"{loaded.place}: {why}") from why
        self.name = name or loaded.place
        self.loaded = loaded
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {question.id: [] for question in questions}
        for sample in range(n):
            told = write(
                self.loaded, self._words, [q.messages for q in questions], new_tokens=self._max_tokens,
                batch=BATCH, temperature=self._temperature, seed=self._seed + sample,
                tell=partial(_told, tell, sample * len(questions), n * len(questions)),
            )  # fmt: skip
            for question, one in zip(questions, told, strict=True):
                text = f"<think>\n{one.reasoning}\n</think>\n\n{one.answer}" if one.reasoning else one.answer
                if text.strip():
                    found[question.id].append(text)
        return {name: texts for name, texts in found.items() if texts}

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, Weighed]:
        torch = need("torch")
        rows = [(one.id, *self._tokens(one)) for one in told]
        limit = context(self.loaded.model) or 1 << 30
        rows = [(name, asked, said) for name, asked, said in rows if said and len(asked) + len(said) <= limit]
        rows.sort(key=lambda row: len(row[1]) + len(row[2]))  # alike in length: less to fill up
        found: dict[str, Weighed] = {}
        words = self.loaded.model.config.vocab_size
        model = self.loaded.model.eval()
        at = 0
        while at < len(rows):
            longest = len(rows[min(at + BATCH, len(rows)) - 1][1]) + len(
                rows[min(at + BATCH, len(rows)) - 1][2]
            )
            size = max(1, min(BATCH, FLOATS_AT_ONCE // (longest * words)))
            batch = rows[at : at + size]
            with torch.inference_mode():
                found |= _weigh(torch, model, batch, self.loaded.tokenizer.pad_token_id or 0)
            at += size
            tell(min(at, len(rows)), len(rows))
        return found

    def _tokens(self, one: Told) -> tuple[list[int], list[int]]:
        reasoning, answer, _ = apart(one.answer)
        return self._words.asked(one.messages), self._words.said(one.messages, reasoning, answer)


def open_weights(
    place: str, name: str = "", *, max_tokens: int = 256, temperature: float = 1.0, seed: int = 1
) -> Weights:
    """Load a model: a folder, a .gguf, `clock`. Raises: ProveError where there is none."""
    try:
        loaded = load_to_run(place, blank=False)
    except DistillError as why:
        raise ProveError(str(why)) from why
    return Weights(loaded, name, max_tokens=max_tokens, temperature=temperature, seed=seed)


def _told(tell: Tell, before: int, of: int, done: int) -> None:
    tell(before + done, of)


def _weigh(
    torch: Any, model: Any, rows: list[tuple[str, list[int], list[int]]], padding: int
) -> dict[str, Weighed]:
    """One batch, filled up on the right: what stands after an answer changes nothing before it."""
    longest = max(len(asked) + len(said) for _, asked, said in rows)
    ids = torch.full((len(rows), longest), padding)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for k, (_, asked, said) in enumerate(rows):
        tokens = [*asked, *said]
        ids[k, : len(tokens)] = torch.tensor(tokens)
        mask[k, : len(tokens)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
    nats = torch.log_softmax(logits, -1).gather(-1, ids[:, 1:, None])[..., 0]
    agreed = logits.argmax(-1) == ids[:, 1:]
    found = {}
    for k, (name, asked, said) in enumerate(rows):
        span = slice(len(asked) - 1, len(asked) - 1 + len(said))
        found[name] = Weighed(float(nats[k, span].double().sum()), len(said), int(agreed[k, span].sum()))
    return found
