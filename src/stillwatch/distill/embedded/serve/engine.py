"""Generates several texts at once, each with its own sampling, and hands on each token as it comes.

Requests that arrive while a batch is generated go into the next batch together.
"""

import inspect
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from stillwatch.coin.seeded import seeded_token
from stillwatch.distill.embedded.serve import GenerationRequest, Piece, RequestRefused, Token
from stillwatch.distill.train.extra import need
from stillwatch.distill.train.models import LoadedModel, context
from stillwatch.distill.train.wording import Wording, wording
from stillwatch.watermark import Mark
from stillwatch.watermark.choosing import choose_token
from stillwatch.watermark.keys import Owner

TOGETHER = 32  # texts in one batch
COLD = 1e-4  # below it, sampling means the most likely token
WAITING = 1024  # more are refused, as a busy API does
BROKEN = "\ufffd"  # a decoder's placeholder for a character whose last bytes are missing


def held_back(text: str, stops: tuple[str, ...]) -> str:
    """Cut off an ending that may be the beginning of a stop string.

    >>> held_back("four END", ("END.", "\\n")), held_back("four", ("END",))
    ('four ', 'four')
    """
    sizes = (n for stop in stops for n in range(1, len(stop)) if text.endswith(stop[:n]))
    return text[: len(text) - max(sizes, default=0)]


def rows_to_read(prompts: Sequence[tuple[int, ...]]) -> dict[tuple[int, ...], tuple[int, ...]]:
    """Return for each prompt the longest one that it begins: the model's cache of that serves both.

    >>> rows_to_read([(1, 2), (1, 2, 3), (4,)])
    {(4,): (4,), (1, 2, 3): (1, 2, 3), (1, 2): (1, 2, 3)}
    """
    found: dict[tuple[int, ...], tuple[int, ...]] = {}
    longest: tuple[int, ...] = ()
    for prompt in sorted(prompts, reverse=True):  # a prefix is sorted right before what it begins
        if longest[: len(prompt)] != prompt:
            longest = prompt
        found[prompt] = longest
    return found


@dataclass(eq=False)
class Job:
    """One text being generated. The engine's thread calls `hand` with each piece, or with the error."""

    ask: GenerationRequest
    hand: Callable[[Piece | Exception], None]
    cancelled: bool = False
    written: list[int] = field(default_factory=list)
    told: list[Token] = field(default_factory=list)
    text: str = ""
    finish: str | None = None
    draw: Any = None
    mark: Mark | None = None  # the key of this answer


class GenerationEngine:
    """A model with one thread that generates. With an owner, it can watermark answers."""

    def __init__(self, loaded: LoadedModel, owner: Owner | None = None) -> None:
        self._owner = owner
        self._torch = need("torch")
        self.words: Wording = wording(loaded.model, loaded.tokenizer)
        self.context = context(loaded.model)
        self._model = loaded.model.eval()
        self._tokenizer = loaded.tokenizer
        self._jobs: queue.Queue[Job | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._work, name="stillwatch-serve", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a text. Raises: Refused (429) if the queue is full."""
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise RequestRefused("too many requests wait; try again", 429, "rate_limit_exceeded") from None

    def close(self) -> None:
        self._jobs.put(None)
        self._thread.join(timeout=30)

    def _work(self) -> None:
        while True:
            jobs: list[Job] = []
            first = self._jobs.get()
            if first is None:
                return
            jobs.append(first)
            ended = False
            while len(jobs) < TOGETHER:
                try:
                    further = self._jobs.get_nowait()
                except queue.Empty:
                    break
                if further is None:
                    ended = True
                    break
                jobs.append(further)
            live = [job for job in jobs if not job.cancelled]
            if live:
                try:
                    self._write(live)
                except Exception as why:  # noqa: BLE001 - the thread's edge: whoever asked is told, it goes on
                    for job in live:
                        if job.finish is None:
                            job.hand(why)
            if ended:
                return

    def _write(self, jobs: list[Job]) -> None:
        torch, padding = self._torch, self._tokenizer.pad_token_id
        longest = max(len(job.ask.prompt) for job in jobs)
        ids = torch.full((len(jobs), longest), padding)
        mask = torch.zeros((len(jobs), longest), dtype=torch.long)
        shared = self._read_beginnings([job.ask.prompt for job in jobs], longest)
        for row, job in enumerate(jobs):
            prompt = torch.tensor(job.ask.prompt)
            start = 0 if shared else longest - len(prompt)
            for line, tokens in ((ids, prompt), (mask, torch.ones_like(prompt))):
                line[row, start : start + len(prompt) - 1] = tokens[:-1]
                line[row, -1] = tokens[-1]
            job.draw = torch.Generator()
            if job.ask.seed is not None:
                job.draw.manual_seed(job.ask.seed % (1 << 63))
            else:
                job.draw.seed()
            job.mark = self._mark_of(job)

        def choose(_: Any, scores: Any) -> Any:
            return self._choose_tokens(jobs, scores)

        def stop_finished(sequences: Any, _: Any, **__: Any) -> Any:
            for row, job in enumerate(jobs):
                if job.finish is None:
                    self._take_token(job, int(sequences[row, -1]))
            return torch.tensor([job.finish is not None for job in jobs], device=sequences.device)

        with torch.inference_mode():
            self._model.generate(
                input_ids=ids.to(self._model.device),
                attention_mask=mask.to(self._model.device),
                **shared,
                max_new_tokens=max(job.ask.most for job in jobs),
                do_sample=False,  # `choose` leaves one token possible
                eos_token_id=sorted(self.words.ends),
                pad_token_id=padding,
                logits_processor=[choose],
                stopping_criteria=[stop_finished],
            )

    def _read_beginnings(self, prompts: list[tuple[int, ...]], longest: int) -> dict[str, Any]:
        """Return the model's cache of all but each prompt's last token, padded on the right, as its argument.

        A prompt that begins another shares its cache. Empty if none does, or if the model caches something
        other than all keys and values.
        """
        torch, row_of = self._torch, rows_to_read(prompts)
        rows = sorted(set(row_of.values()))
        cache = need("transformers").DynamicCache(config=self._model.config)
        if len(rows) == len(prompts) or longest < 2 or any(layer.is_sliding for layer in cache.layers):
            return {}
        ids = torch.full((len(rows), longest - 1), self._tokenizer.pad_token_id)
        for row, prompt in enumerate(rows):
            ids[row, : len(prompt) - 1] = torch.tensor(prompt[:-1])
        newer = "cache" in inspect.signature(self._model.forward).parameters  # since transformers 5.24
        argument = {"cache" if newer else "past_key_values": cache}
        with torch.inference_mode():
            self._model.base_model(input_ids=ids.to(self._model.device), **argument)
        cache.batch_select_indices(torch.tensor([rows.index(row_of[prompt]) for prompt in prompts]))
        return argument

    def _mark_of(self, job: Job) -> Mark | None:
        if job.ask.mark is None or self._owner is None:
            return None
        mark = self._owner.mark(job.ask.mark)
        return mark.of_answer(lambda: float(self._torch.rand((), generator=job.draw)))

    def _choose_tokens(self, jobs: list[Job], scores: Any) -> Any:
        """Sample for each text by its own settings; other tokens get probability zero. (texts, vocabulary)"""
        torch = self._torch
        plain = torch.log_softmax(scores.float(), dim=-1)
        only = torch.full_like(scores, float("-inf"))
        for row, job in enumerate(jobs):
            token = self._sample_token(job, plain[row])
            only[row, token] = 0.0
            if job.finish is None and job.ask.logprobs is not None:
                job.told.append(self._token(token, plain[row], job.ask.logprobs))
        return only

    def _sample_token(self, job: Job, logprobs: Any) -> int:
        torch, ask = self._torch, job.ask
        if ask.temperature < COLD or job.finish is not None:
            return int(logprobs.argmax())
        p = torch.softmax(logprobs / ask.temperature, dim=-1)
        if ask.top_p < 1:
            order = p.argsort(descending=True)
            before = p[order].cumsum(0) - p[order]
            p[order[1:][before[1:] >= ask.top_p]] = 0
        if job.mark is not None:
            marked = choose_token(
                job.mark,
                p.double().cpu().numpy(),
                job.written,
                lambda: float(torch.rand((), generator=job.draw)),
            )
            if marked is not None:
                return marked
        elif ask.seed is not None:  # by random numbers that any program can reproduce
            scores = logprobs.double().cpu().numpy()
            return seeded_token(scores, ask.temperature, ask.seed, len(job.written), ask.top_p)
        return int(torch.multinomial(p.cpu(), 1, generator=job.draw))

    def _token(self, token: int, logprobs: Any, likeliest: int) -> Token:
        top: tuple[tuple[str, bytes, float], ...] = ()
        if likeliest:
            values, tokens = logprobs.topk(min(likeliest, len(logprobs)))
            top = tuple((*self._spelt(int(t)), float(v)) for v, t in zip(values, tokens, strict=True))
        text, raw = self._spelt(token)
        return Token(text, raw, float(logprobs[token]), top)

    def _spelt(self, token: int) -> tuple[str, bytes]:
        text = self._tokenizer.decode([token], skip_special_tokens=False)
        return text, text.encode("utf-8", "backslashreplace")

    def _take_token(self, job: Job, token: int) -> None:
        """Append a new token to a text and hand the piece on."""
        ask = job.ask
        last = job.told[-1] if ask.logprobs is not None and job.told else None
        if job.cancelled:
            job.finish = "stop"
            return
        job.written.append(token)
        if token in self.words.ends:
            job.finish = "stop"
        else:
            text = self._tokenizer.decode(job.written, skip_special_tokens=True)
            if len(job.written) >= ask.most:
                job.finish = "length"
            for stop in ask.stop:
                if stop in text:
                    text, job.finish = text.partition(stop)[0], "stop"
            if job.finish:
                job.text = text
            elif not text.endswith(BROKEN):
                job.text = held_back(text, ask.stop)
        job.hand(Piece(job.text, last, len(job.written), job.finish))
