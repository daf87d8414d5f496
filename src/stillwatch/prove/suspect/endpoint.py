"""A suspect behind an OpenAI-compatible endpoint: asked at its pace, within a budget, and only with consent.

Answers are stored as they come, so that a stopped run continues where it was. Given answers can be weighed if
the endpoint gives log-probabilities of a prompt (`prompt_logprobs`, as vLLM does); most hosted ones do not.
"""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from stillwatch.distill import DistillError, Prompt
from stillwatch.distill.collect import Progress
from stillwatch.distill.collect.ask import reach_teacher
from stillwatch.distill.collect.gather import collect
from stillwatch.distill.collect.questions import question_of
from stillwatch.distill.collect.stored import samples
from stillwatch.distill.ledger import RunLedger, read_only, reply
from stillwatch.distill.plan import Asking, Budget, DistillPlan, Teacher, TeacherPrices
from stillwatch.prove import Checked, ProveError
from stillwatch.prove.suspect import AnswerLikelihood, BegunAnswer, Question, Tell, Told

CONSENT = (
    "asking another's endpoint needs the right to do so: its terms, a contract, a court's order. "
    "Give --consent 'what gives it', and it is written into the protocol"
)
PREFILLS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {  # changes to request and last message
    "last": ({}, {}),
    "vllm": ({"continue_final_message": True, "add_generation_prompt": False}, {}),
    "prefix": ({}, {"prefix": True}),
}


@dataclass(frozen=True)
class Manners:
    """How to query an endpoint."""

    model: str
    api_key_env: str = "SUSPECT_API_KEY"
    max_tokens: int = 512
    temperature: float = 1.0
    concurrency: int = 4
    requests_per_minute: int = 0
    most_requests: int | None = None
    most_tokens: int | None = None
    most_usd: float | None = None
    prices: TeacherPrices = field(default_factory=TeacherPrices)
    patience_s: float = 300.0
    continuation_tokens: int = 16
    prefill: str = ""  # how its API takes the beginning of an answer, one of PREFILLS; empty: it does not
    top_logprobs: int = 0  # most likely tokens to ask for with a continuation


class Endpoint:
    """A model behind an address. `store` holds its answers."""

    def __init__(
        self, base_url: str, manners: Manners, store: Path, *, consent: str | None = None, weighs: bool = True
    ) -> None:
        """Raises: ProveError for an invalid address, and for a third party's without consent."""
        parts = urlsplit(base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ProveError(f"{base_url!r} is no address of an endpoint, as in https://host/v1")
        if not consent and not loopback(parts.hostname):
            raise ProveError(f"{parts.hostname}: {CONSENT}")
        if not manners.model:
            raise ProveError(f"{base_url}: name the model that is to be asked, with --model")
        self.name = f"{manners.model} at {parts.hostname}"
        if manners.prefill and manners.prefill not in PREFILLS:
            raise ProveError(f"--prefill {manners.prefill}: give one of {', '.join(PREFILLS)}")
        could = {"answers"} | ({"likelihood", "top"} if weighs else set())
        self.offers = frozenset(could | ({"continuations"} if manners.prefill else set()))
        self.consent = consent or "loopback"
        self.called: dict[str, int] = {}  # model names in the answers that were read
        self._url, self._manners, self._store = base_url, manners, store

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        """Raises: ProveError with the progress made; answers so far are kept."""
        plan = self._plan(samples=n, max_tokens=self._manners.max_tokens)
        prompts = [Prompt(q.id, q.messages, "free") for q in questions]
        found: dict[str, list[str]] = {}
        self._collect(plan, prompts, tell)
        with closing(read_only(self._store)) as db:
            self.called = {}
            for sample in samples(plan, prompts, db):
                self.called[sample.teacher] = self.called.get(sample.teacher, 0) + 1
                text = sample.answer
                if sample.reasoning:
                    text = f"<think>\n{sample.reasoning}\n</think>\n\n{sample.answer}"
                if text.strip():
                    found.setdefault(sample.id, []).append(text)
        return found

    def continuations(self, begun: Sequence[BegunAnswer], n: int, tell: Tell) -> dict[str, list[Any]]:
        """Raises: ProveError with the progress made; answers so far are kept and never asked again."""
        top = self._manners.top_logprobs
        plan = self._plan(
            samples=1 if top else n, max_tokens=self._manners.continuation_tokens, logprobs=top
        )  # fmt: skip
        body, last = PREFILLS.get(self._manners.prefill, ({}, {}))
        prefilled = replace(plan, collect=replace(plan.collect, extra=body))
        # each question once
        one_of = {json.dumps(question.request_messages()): question for question in begun}
        id_of = {question.id: one_of[json.dumps(question.request_messages())].id for question in begun}
        prompted = [question for question in one_of.values() if question.prompted or not question.text]
        rest = [question for question in one_of.values() if question.text and not question.prompted]
        heard: dict[str, list[Any]] = {}
        done = 0
        self.called = {}
        for how, group in ((plan, prompted), (prefilled, rest)):
            prompts = [Prompt(question.id, self._begun(question, last), "free") for question in group]
            self._collect(how, prompts, lambda now, of, before=done: tell(before + now, len(begun) * n))  # type: ignore[misc]
            done += len(group) * how.collect.samples
            with closing(read_only(self._store)) as db:
                for sample in samples(how, prompts, db):
                    self.called[sample.teacher] = self.called.get(sample.teacher, 0) + 1
                    heard.setdefault(sample.id, []).append(_likeliest(sample.logprobs) or sample.answer)
        return {name: heard[same] for name, same in id_of.items() if same in heard}

    @staticmethod
    def _begun(question: BegunAnswer, last: dict[str, Any]) -> tuple[dict[str, Any], ...]:
        messages = question.request_messages()
        return (*messages[:-1], messages[-1] | last) if question.text and not question.prompted else messages

    def checked(self) -> tuple[Checked, ...]:
        """Report the model name in its answers, if it differs from the requested one."""
        names = sorted(self.called, key=lambda name: (-self.called[name], name))
        if not names or names == [self._manners.model]:
            return ()
        listed = ", ".join(f"{name} ({self.called[name]:,})" for name in names[:4])
        sentence = f"asked for {self._manners.model}; the answers say they are of {listed}"
        return (Checked("the endpoint's model", sentence, len(names) == 1),)

    def prompt_tokens(self, questions: Sequence[Question]) -> dict[str, int]:
        """Return the endpoint's token count of each prompt, if stored answers have it."""
        plan = self._plan(samples=1, max_tokens=self._manners.max_tokens)
        found: dict[str, int] = {}
        if not self._store.exists():
            return found
        with closing(read_only(self._store)) as db:
            for question in questions:
                stored = reply(db, question_of(plan, Prompt(question.id, question.messages, "free"), 0).key)
                counted = None if stored is None else _prompt_tokens(stored[0])
                if counted is not None:
                    found[question.id] = counted
        return found

    def weigh(self, answers: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        """Raises: ProveError if the endpoint gives no log-probabilities of a prompt."""
        if "likelihood" not in self.offers:
            raise ProveError(f"{self.name}: weighs no answers; test by overlap")
        extra = {"prompt_logprobs": 0, "add_generation_prompt": False}
        plan = self._plan(samples=1, max_tokens=1, temperature=None, extra=extra)
        bare = replace(plan, collect=replace(plan.collect, extra=extra | {"add_generation_prompt": True}))
        answered = [
            Prompt(answer.id, (*answer.messages, {"role": "assistant", "content": answer.answer}), "free")
            for answer in answers
        ]
        alone = {
            json.dumps(answer.messages): Prompt(f"{answer.id}?", answer.messages, "free")
            for answer in answers
        }
        self._collect(bare, list(alone.values()), lambda done, of: tell(done, of + len(answers)))
        self._collect(plan, answered, lambda done, of: tell(len(alone) + done, of + len(alone)))
        found: dict[str, AnswerLikelihood] = {}
        with closing(read_only(self._store)) as db:
            starts = {key: len(_tokens(db, bare, prompt)) for key, prompt in alone.items()}
            for answer, prompt in zip(answers, answered, strict=True):
                tokens = _tokens(db, plan, prompt)[starts[json.dumps(answer.messages)] :]
                if tokens:
                    ranks = [rank for _, rank in tokens]
                    agreed = None if None in ranks else sum(rank == 1 for rank in ranks)
                    found[answer.id] = AnswerLikelihood(sum(nats for nats, _ in tokens), len(tokens), agreed)
        if not found:
            raise ProveError(
                f"{self.name}: gives no prompt_logprobs, so that it cannot weigh answers; test by overlap"
            )
        return found

    def _plan(self, *, samples: int, max_tokens: int, **asking: Any) -> DistillPlan:
        manners = self._manners
        options: dict[str, Any] = {"temperature": manners.temperature} | asking
        return DistillPlan(
            teacher=Teacher(base_url=self._url, model=manners.model, api_key_env=manners.api_key_env),
            collect=Asking(
                samples=samples, max_tokens=max_tokens, concurrency=manners.concurrency,
                requests_per_minute=manners.requests_per_minute, patience_s=manners.patience_s, **options,
            ),
            budget=Budget(usd=manners.most_usd, tokens=manners.most_tokens, requests=manners.most_requests),
            prices=manners.prices,
        )  # fmt: skip

    def _collect(self, plan: DistillPlan, prompts: list[Prompt], tell: Tell) -> None:
        def progress(now: Progress) -> None:
            tell(now.done, now.total)

        try:
            self._store.parent.mkdir(parents=True, exist_ok=True)
            with RunLedger(self._store) as ledger:
                collected = collect(
                    plan, prompts, ledger, lambda: reach_teacher(plan.teacher, _silent), progress
                )
        except (DistillError, OSError) as why:
            raise ProveError(f"{self.name}: {why}") from why
        if collected.interrupted:
            raise KeyboardInterrupt
        if collected.stopped:
            raise ProveError(
                f"{self.name}: {collected.answers:,} of {collected.wanted:,} answers are there, then: "
                f"{collected.stopped}. They are kept; the same command goes on from there"
            )


def _likeliest(positions: list[Any] | None) -> list[list[Any]]:
    """Return the most likely first tokens with their log-probabilities, if an answer has them."""
    return (
        [[token, nats] for token, nats in positions[0][2] if token and nats is not None] if positions else []
    )


def _silent(words: str) -> None:
    """Report nothing."""


def _prompt_tokens(raw: bytes) -> int | None:
    """Return `usage.prompt_tokens` of a stored reply, if it is a count."""
    try:
        counted = json.loads(raw)["usage"]["prompt_tokens"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return counted if isinstance(counted, int) and not isinstance(counted, bool) else None


def _tokens(db: Any, plan: DistillPlan, prompt: Prompt) -> list[tuple[float, int | None]]:
    """(log-probability, rank) of each token of a prompt, as vLLM reports them; the first has none."""
    stored = reply(db, question_of(plan, prompt, 0).key)
    if stored is None:
        return []
    try:
        answer = json.loads(stored[0])
        listed = answer.get("prompt_logprobs") or answer["choices"][0].get("prompt_logprobs") or []
        return [_token(token) for token in listed if token]
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return []


def _token(token: dict[str, Any]) -> tuple[float, int | None]:
    """The token itself comes first; a more likely one, if reported, comes after it."""
    first = next(iter(token.values()))
    return float(first["logprob"]), first.get("rank")


def loopback(host: str) -> bool:
    """Return whether an address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
