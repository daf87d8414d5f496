"""A suspect with local weights: a Hugging Face folder, a GGUF file, the embedded clock.

Needs the extra `train`.
"""

import inspect
import queue
from collections.abc import Sequence
from functools import partial
from typing import Any

from stillwatch.distill import DistillError
from stillwatch.distill.embedded.serve import GenerationRequest
from stillwatch.distill.evaluate.generate import apart, write, write_tokens
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import LoadedModel, context, load_to_run
from stillwatch.distill.train.wording import wording
from stillwatch.prove import ProveError
from stillwatch.prove.suspect import AnswerLikelihood, BegunAnswer, Messages, Question, Tell, Told

BATCH = 16
CONTINUATION_TOKENS = 16
FLOATS_AT_ONCE = 1 << 26  # of a batch's logits: 256 MiB


class Weights:
    """A model in this process."""

    offers = frozenset({"answers", "continuations", "likelihood", "top", "chances"})

    def __init__(
        self,
        loaded: LoadedModel,
        name: str = "",
        *,
        max_tokens: int = 256,
        temperature: float = 1.0,
        seed: int = 1,
    ) -> None:
        """Raises: ProveError if its chat template cannot be used."""
        try:
            self._words = wording(loaded.model, loaded.tokenizer)
        except DistillError as why:
            raise ProveError(f"{loaded.place}: {why}") from why
        self.name = name or loaded.place
        self.loaded = loaded
        self._max_tokens, self._temperature, self._seed = max_tokens, temperature, seed
        self.trouble = ""  # why something could last not be asked or weighed

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        worded = [(q, fitted) for q in questions if (fitted := self._fit_template(q.messages)) is not None]
        questions, messages = [q for q, _ in worded], [fitted for _, fitted in worded]
        found: dict[str, list[str]] = {question.id: [] for question in questions}
        for sample in range(n):
            answers = write(
                self.loaded, self._words, messages, new_tokens=self._max_tokens,
                batch=BATCH, temperature=self._temperature, seed=self._seed + sample,
                tell=partial(_report_progress, tell, sample * len(questions), n * len(questions)),
            )  # fmt: skip
            for question, answer in zip(questions, answers, strict=True):
                text = (
                    f"<think>\n{answer.reasoning}\n</think>\n\n{answer.answer}"
                    if answer.reasoning
                    else answer.answer
                )
                if text.strip():
                    found[question.id].append(text)
        return {name: texts for name, texts in found.items() if texts}

    def seeded_answers(self, questions: Sequence[tuple[Messages, int]], tell: Tell) -> list[str | None]:
        """Return the answer of each seed, as `stillwatch distill teach` serves it; None if it gives none.

        Raises: ProveError if the model fails midway.
        """
        from stillwatch.distill.embedded.serve.engine import GenerationEngine, Job

        engine, found, done = GenerationEngine(self.loaded), [""] * len(questions), queue.Queue[Any]()
        worded = [self._fit_template(messages) for messages, _ in questions]
        try:
            under_way = 0
            for k, ((_, seed), messages) in enumerate(zip(questions, worded, strict=True)):
                if messages is not None:
                    prompt = tuple(self._words.begun_tokens(messages, ""))
                    order = GenerationRequest(
                        prompt, self._max_tokens, self._temperature, 1.0, (), seed, None, True
                    )
                    engine.submit(Job(order, partial(_put, done, k)))
                    under_way += 1
                if under_way >= BATCH or k == len(questions) - 1:
                    while under_way:
                        at, piece = done.get()
                        if isinstance(piece, Exception):
                            raise ProveError(f"{self.name}: cannot write: {piece}") from piece
                        if piece.finish:
                            found[at], under_way = apart(piece.text)[1], under_way - 1
                    tell(k + 1, len(questions))
        finally:
            engine.close()
        return [text if messages else None for text, messages in zip(found, worded, strict=True)]

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        rows = [(answer.id, tokens) for answer in begun if (tokens := self._begun_tokens(answer)) is not None]
        found: dict[str, list[Any]] = {name: [] for name, _ in rows}
        draws = n if self._temperature else 1  # at temperature 0 all samples are the same
        for sample in range(draws):
            written = write_tokens(
                self.loaded, self._words, [tokens for _, tokens in rows], new_tokens=CONTINUATION_TOKENS,
                batch=BATCH, temperature=self._temperature, seed=self._seed + sample,
                tell=partial(_report_progress, tell, sample * len(rows), draws * len(rows)),
            )  # fmt: skip
            for (name, _), new in zip(rows, written, strict=True):
                found[name].append(self.loaded.tokenizer.decode(new, skip_special_tokens=True))
        return {name: texts * (n // draws) for name, texts in found.items()}

    def _begun_tokens(self, answer: BegunAnswer) -> list[int] | None:
        """Return a prompt's tokens and those of the beginning that is given as the suspect's own."""
        messages = self._fit_template(answer.request_messages() if answer.prompted else answer.messages)
        if messages is None:
            return None
        try:
            return self._words.begun_tokens(messages, "" if answer.prompted else answer.text)
        except (UnicodeError, TypeError):
            self.trouble = "an answer is no Unicode"
            return None

    def weigh(self, answers: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        torch = need("torch")
        rows = [(answer.id, *tokens) for answer in answers if (tokens := self._tokens(answer)) is not None]
        limit = context(self.loaded.model) or 1 << 30
        rows = [row for row in rows if row[1] and row[2] and len(row[1]) + len(row[2]) <= limit]
        if answers and not rows:
            self.trouble = self.trouble or f"its context of {limit:,} tokens does not hold them"
        rows.sort(key=lambda row: len(row[1]) + len(row[2]))  # sorted by length: less padding
        found: dict[str, AnswerLikelihood] = {}
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

    def token_chances(self, answers: Sequence[Told], tell: Tell) -> dict[str, list[tuple[int, float]]]:
        """Return where each token of an answer ends in the text, and its log-likelihood at temperature 1."""
        torch, model, tokenizer = need("torch"), self.loaded.model.eval(), self.loaded.tokenizer
        limit, special = context(model) or 1 << 30, set(tokenizer.all_special_ids)
        found: dict[str, list[tuple[int, float]]] = {}
        for k, answer in enumerate(answers):
            before = self._begun_tokens(BegunAnswer(answer.id, answer.messages, ""))
            tokens = self._begun_tokens(BegunAnswer(answer.id, answer.messages, answer.answer))
            tell(k + 1, len(answers))
            if before is None or tokens is None or len(tokens) > limit:
                continue
            answered = tokens[len(before) :]
            kept = {"logits_to_keep": len(answered) + 1} if _keeps(model) else {}
            with torch.inference_mode():
                logits = (
                    model(input_ids=torch.tensor([tokens], device=model.device), **kept).logits[0].float()
                )
            logs = logits[-len(answered) - 1 : -1].log_softmax(-1)
            nats = logs.gather(-1, torch.tensor(answered, device=logs.device)[:, None])[:, 0].tolist()
            left = len(answer.answer) - len(tokenizer.decode(answered, skip_special_tokens=True))
            ends = [
                left + len(tokenizer.decode(answered[: at + 1], skip_special_tokens=True))
                for at in range(len(answered))
            ]
            found[answer.id] = [
                (end, n) for end, n, token in zip(ends, nats, answered, strict=True) if token not in special
            ]
        return found

    def _tokens(self, one: Told) -> tuple[list[int], list[int]] | None:
        """Return a prompt's and an answer's tokens; None if template or tokenizer cannot take them."""
        messages = self._fit_template(one.messages)
        if messages is None:
            return None
        reasoning, answer, _ = apart(one.answer)
        try:
            return self._words.prompt_tokens(messages), self._words.completion_tokens(
                messages, reasoning, answer
            )
        except (UnicodeError, TypeError):  # an unpaired surrogate
            self.trouble = "an answer is no Unicode"
            return None

    def _fit_template(self, messages: Messages) -> Messages | None:
        """Return messages as its chat template takes them: some, as Gemma's, have no system message."""
        for tried in (messages, fold_system(messages)):
            try:
                self._words.prompt_tokens(tried)
            except (UnicodeError, TypeError):
                self.trouble = "a prompt is no Unicode"
            except DistillError as why:  # its chat template refuses them
                self.trouble = str(why)
            else:
                return tried
        return None


def fold_system(messages: Messages) -> Messages:
    """Move the system message into the first user message, for templates without a system role.

    >>> fold_system(({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}))
    ({'role': 'user', 'content': 'Be brief.\\n\\nWhy?'},)
    """
    system = "\n\n".join(m["content"] for m in messages if m["role"] == "system")
    rest = [m for m in messages if m["role"] != "system"]
    if not system or not rest:
        return messages
    return ({"role": rest[0]["role"], "content": f"{system}\n\n{rest[0]['content']}"}, *rest[1:])


def open_weights(
    place: str, name: str = "", *, max_tokens: int = 256, temperature: float = 1.0, seed: int = 1
) -> Weights:
    """Load a model: a folder, a .gguf, `clock`. Raises: ProveError if there is none."""
    try:
        loaded = load_to_run(place, blank=False)
    except DistillError as why:
        raise ProveError(str(why)) from why
    return Weights(loaded, name, max_tokens=max_tokens, temperature=temperature, seed=seed)


def _put(done: "queue.Queue[Any]", place: int, piece: Any) -> None:
    done.put((place, piece))


def _report_progress(tell: Tell, before: int, of: int, done: int) -> None:
    tell(before + done, of)


def _weigh(
    torch: Any, model: Any, rows: list[tuple[str, list[int], list[int]]], padding: int
) -> dict[str, AnswerLikelihood]:
    """Weigh one batch, padded on the right: what follows an answer does not change what precedes it."""
    longest = max(len(prompt_tokens) + len(answer_tokens) for _, prompt_tokens, answer_tokens in rows)
    ids = torch.full((len(rows), longest), padding)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for k, (_, prompt_tokens, answer_tokens) in enumerate(rows):
        tokens = [*prompt_tokens, *answer_tokens]
        ids[k, : len(tokens)] = torch.tensor(tokens)
        mask[k, : len(tokens)] = 1
    ids, mask = ids.to(model.device), mask.to(model.device)
    # predictions within the prompt are not needed
    first = min(len(prompt_tokens) for _, prompt_tokens, _ in rows) - 1
    kept = {"logits_to_keep": torch.arange(first, longest, device=ids.device)} if _keeps(model) else {}
    logits = model(input_ids=ids, attention_mask=mask, **kept).logits[:, (0 if kept else first) : -1].float()
    wanted = ids[:, first + 1 :]
    nats = logits.gather(-1, wanted[..., None])[..., 0] - logits.logsumexp(-1)
    agreed = logits.argmax(-1) == wanted
    found = {}
    for k, (name, prompt_tokens, answer_tokens) in enumerate(rows):
        span = slice(len(prompt_tokens) - 1 - first, len(prompt_tokens) - 1 - first + len(answer_tokens))
        found[name] = AnswerLikelihood(
            float(nats[k, span].double().sum()), len(answer_tokens), int(agreed[k, span].sum())
        )
    return found


def _keeps(model: Any) -> bool:
    """Return whether a model can compute logits at some places only, which are the costly part."""
    return "logits_to_keep" in inspect.signature(model.forward).parameters
