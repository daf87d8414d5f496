"""Asks the teacher for every sample that a plan wants and the ledger does not have yet.

At most `concurrency` requests are under way at any time. Each is durable in the ledger before it is sent, and
its answer is durable before another request takes its place. A kill therefore leaves at most `concurrency`
requests that may have been paid for without an answer. They count as paid in full, and carry an
Idempotency-Key, so that a teacher that supports it does not bill them twice.
"""

import asyncio
import random
import signal
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from typing import Any

from stillwatch.distill import EXTRA, BudgetReached, DistillError, Prompt
from stillwatch.distill.collect import CollectionResult, Progress, SampleRequest
from stillwatch.distill.collect.bounded import bounded_client_class
from stillwatch.distill.collect.pace import WINDOW_S, Pace
from stillwatch.distill.collect.questions import bound_tokens, question_of, questions
from stillwatch.distill.collect.reply import parse_answer, parse_reply, usage
from stillwatch.distill.collect.run_budget import Reservation, RunBudget
from stillwatch.distill.collect.trouble import Remedy, TeacherError, trouble
from stillwatch.distill.ledger import AttemptOutcome, RunLedger
from stillwatch.distill.plan import DistillPlan, Teacher
from stillwatch.distill.prices import PUSD, Price, price_of
from stillwatch.units import utc_us

Tell = Callable[[Progress], None]
UNREACHED = 4  # failed connections in a row before the first answer
DRIP_S = 0.5  # beyond the client's own timeout, whose message is better
UNREADABLE = 3, 5  # replies in a row that are no chat completion, before the first answer and later
REFUSED = 3  # requests in a row refused for good, before the first answer


def collect(
    plan: DistillPlan,
    prompts: list[Prompt],
    ledger: RunLedger,
    reach: Callable[[], AbstractContextManager[tuple[Teacher, str]]],
    tell: Tell,
    purpose: str = "train",
) -> CollectionResult:
    """Ask for all missing samples. Stored answers stay, however this ends.

    `reach` gives the teacher's address and key; it is entered only when something is missing.
    Raises: DistillError if nothing can be asked at all (no client, a budget too small for one request).
    """
    price = price_of(plan.teacher.model, plan.prices)
    gathering = _Gathering(plan, prompts, ledger, price, tell, purpose)
    if not gathering.missing:
        return gathering.result()
    try:
        import openai  # noqa: F401
    except ImportError as why:
        raise DistillError(f"asking a teacher needs the openai client: {EXTRA}") from why
    if plan.budget.usd is not None and price is None:
        raise DistillError(
            f"budget.usd is set and nothing is known of the price of {plan.teacher.model}: give [prices] "
            "input and output in the plan (US dollars a million tokens), or a budget in tokens or requests"
        )
    gathering.refuse_a_budget_too_small()
    with reach() as (teacher, api_key):
        return asyncio.run(gathering.all(teacher, api_key))


class _Gathering:
    """One call of collect."""

    def __init__(
        self,
        plan: DistillPlan,
        prompts: list[Prompt],
        ledger: RunLedger,
        price: Price | None,
        tell: Tell,
        purpose: str,
    ) -> None:
        self.plan, self.ledger, self.price, self.tell, self.purpose = plan, ledger, price, tell, purpose
        answered, refused = ledger.answered_keys(), ledger.given_up()
        doubtful = ledger.doubtful() if plan.collect.in_doubt == "leave" else set()
        missing: list[tuple[int, str, Prompt]] = []
        self.wanted = self.had = self.failed = 0
        for question in questions(plan, prompts):
            self.wanted += 1
            if question.key in answered:
                self.had += 1
            elif question.key in refused or question.key in doubtful:
                self.failed += 1
            else:
                missing.append((question.sample, question.key, question.prompt))
        # in an order drawn by hash: a change during collection is then due to the teacher, not the questions
        missing.sort(key=lambda question: question[:2])
        self.missing = deque((prompt, sample) for sample, _, prompt in missing)  # made only at their turn
        first = ledger.first_reply()
        self.model = "" if first is None else parse_answer(parse_reply(first)).model
        self.other_model = ""
        self.without_logprobs = False
        self.new = self.requests = 0
        self.spent = ledger.spent()
        self.budget = RunBudget(plan.budget, price, self.spent, ledger.excess())
        self.stop = asyncio.Event()
        self.settled = asyncio.Condition()
        self.why = ""
        self.by_budget = self.interrupted = False
        self.pace = Pace(
            plan.collect.requests_per_minute,
            plan.collect.tokens_per_minute,
            plan.collect.concurrency,
            plan.collect.longest_wait_s,
            time.monotonic,
            random.Random(),
            self.stop,
        )
        now_us, now = utc_us(), time.monotonic()
        since = now_us - int(WINDOW_S * 1e6)
        self.pace.went_before((now - max(0, now_us - at) / 1e6, took) for at, took in ledger.recent(since))
        self.last_answer = now
        self.unreached = self.refused = self.unreadable = 0

    async def all(self, teacher: Teacher, api_key: str) -> CollectionResult:
        import openai

        asking = self.plan.collect
        self.last_answer = time.monotonic()
        self.client = openai.AsyncOpenAI(
            base_url=teacher.base_url,
            api_key=api_key,
            default_headers=dict(teacher.headers) or None,
            max_retries=0,
            timeout=asking.timeout_s,
            http_client=bounded_client_class()(),
        )
        loop = asyncio.get_running_loop()
        for sign in (signal.SIGINT, signal.SIGTERM):
            with suppress(ValueError, RuntimeError):  # not in the main thread: the caller stops it
                loop.add_signal_handler(sign, self._interrupt)
        self._tell()
        try:
            while self.missing and not self.new and not self.stop.is_set():
                await self._next()  # a single one first: does anything answer, and what does it bill
            workers = [self._work() for _ in range(min(asking.concurrency, len(self.missing)))]
            await asyncio.gather(*workers)
        finally:
            await self.client.close()
        return self.result()

    def result(self) -> CollectionResult:
        return CollectionResult(
            self.had + self.new,
            self.wanted,
            self.new,
            self.failed,
            self.requests,
            self.ledger.left_in_doubt,
            self.why,
            self.by_budget,
            self.interrupted,
            tuple(self.ledger.failures(5)),
        )

    async def _work(self) -> None:
        while self.missing and not self.stop.is_set():
            await self._next()

    async def _next(self) -> None:
        await self._sample(question_of(self.plan, *self.missing.popleft()))

    async def _sample(self, question: SampleRequest) -> None:
        """Ask until it is answered or given up. Nothing else ends a sample."""
        tries = 0
        try:
            while not self.stop.is_set():
                met = await self._ask(question)
                if met is None:
                    return
                if (
                    "logprob" in met.text.lower()
                    and met.means is Remedy.GIVE_UP
                    and not self.without_logprobs
                ):
                    self.without_logprobs = True  # it offers none: its answers are useful all the same
                    continue
                self._judge(met)
                if met.means is Remedy.PAUSE:
                    self.pace.pause(met.wait_s)
                    continue
                tries += 1
                if met.means is Remedy.GIVE_UP or (tries >= self.plan.collect.tries and not met.unreached):
                    await self._give_up(question, met)
                    return
                wait_s = self.pace.backoff_s(tries) if met.wait_s is None else met.wait_s
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.stop.wait(), wait_s)
        except DistillError as why:
            self._stop(str(why), by_budget=isinstance(why, BudgetReached))

    async def _ask(self, question: SampleRequest) -> TeacherError | None:
        """Send one request and store what came of it; None when it is answered (or nothing was sent)."""
        had = await self._set_aside(question)
        if had is None:
            return None
        turn = await self.pace.turn(had.tokens)
        if turn is None:
            self.budget.give_back(had)
            return None
        try:
            now_us = utc_us()
            attempt, written = self.ledger.sent(
                question.key, self.purpose, had.bound, had.tokens, had.pusd, now_us
            )
            try:
                await asyncio.wrap_future(written)
            except DistillError:
                self.budget.give_back(had)
                raise
            self.requests += 1
            self._tell()
            outcome, met = await self._send(question, attempt)
            doubt = outcome.state == "in_doubt"
            tokens = had.tokens if doubt else outcome.input_tokens + outcome.output_tokens
            await asyncio.wrap_future(self.ledger.record_end(question.key, attempt, outcome))
            self.budget.settle(had, tokens, had.pusd if doubt else outcome.pusd)
            self.pace.correct_tokens(turn, tokens)
        finally:
            self.pace.back()
        async with self.settled:
            self.settled.notify_all()
        if met is None:
            self.new += 1
            self.unreadable = 0
            self.last_answer = time.monotonic()
            self.pace.count_answer()
            self._tell()
            if self.other_model and self.plan.collect.models == "one":
                raise DistillError(
                    f"{self.other_model} answers at {self.plan.teacher.base_url}, {self.model} did before. "
                    'collect.models = "any" asks on all the same'
                )
        if self.ledger.full:
            raise DistillError(f"the disk is full ({self.ledger.full}); what came is stored")
        return met

    async def _send(
        self, question: SampleRequest, attempt: int
    ) -> tuple[AttemptOutcome, TeacherError | None]:
        apart = ("model", "messages", *(("logprobs", "top_logprobs") if self.without_logprobs else ()))
        body = {key: value for key, value in question.body.items() if key not in apart}
        began = time.monotonic()
        try:
            # the client's timeout applies between two bytes, so a slow trickle of bytes would never meet it
            async with asyncio.timeout(self.plan.collect.timeout_s + DRIP_S):
                answer: Any = await self.client.chat.completions.with_raw_response.create(
                    model=question.body["model"],
                    messages=question.body["messages"],
                    extra_body=body,
                    extra_headers={"Idempotency-Key": question.key},
                )
            raw: bytes = answer.content
            reply = parse_reply(raw)
        except Exception as error:  # noqa: BLE001 - the client raises many kinds; `trouble` reads all of them
            met = trouble(error, self.plan.teacher.api_key_env, self.plan.teacher.base_url)
            state = "in_doubt" if met.means is Remedy.DOUBT else "unpaid"
            took = int((time.monotonic() - began) * 1e6)
            return AttemptOutcome(state, latency_us=took, status=met.status, error=met.text), met
        took = int((time.monotonic() - began) * 1e6)
        name = parse_answer(reply).model
        self.model = self.model or name
        if name and name != self.model:
            self.other_model = name
        used = usage(reply, bound_tokens(question, self.plan)[0])
        pusd = 0
        if self.price is not None:
            pusd = self.price.cost_pusd(used.input_tokens, used.output_tokens, used.cached_tokens)
        return AttemptOutcome(
            "stored", used.input_tokens, used.output_tokens, pusd, took, answer.status_code, None, raw
        ), None

    async def _set_aside(self, question: SampleRequest) -> Reservation | None:
        """Reserve a request's worst case; wait for those under way if the budget is short."""
        while not self.stop.is_set():
            wanted = self.budget.wants(*bound_tokens(question, self.plan))
            lack = self.budget.lacks(wanted)
            if lack is None:
                self.budget.set_aside(wanted)
                return wanted
            if self.budget.under_way == 0:
                raise BudgetReached(f"the budget is reached: {lack}")
            async with self.settled:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self.settled.wait(), 1.0)
        return None

    async def _give_up(self, question: SampleRequest, met: TeacherError) -> None:
        self.failed += 1
        await asyncio.wrap_future(
            self.ledger.record_failure(question.key, met.text, final=met.means is Remedy.GIVE_UP)
        )
        self._tell()

    def _judge(self, met: TeacherError) -> None:
        """Decide whether to continue. Raises: DistillError if not."""
        name = f"{self.plan.teacher.model} at {self.plan.teacher.base_url}"
        if met.means is Remedy.STOP:
            raise DistillError(f"{name}: {met.text}")
        self.unreached = self.unreached + 1 if met.unreached else 0
        # that error is about its prompt
        every = met.means is Remedy.GIVE_UP and "content_filter" not in met.text
        self.refused = self.refused + 1 if every else 0
        self.unreadable = self.unreadable + 1 if met.unreadable else 0
        if self.unreadable >= UNREADABLE[self.new > 0]:
            raise DistillError(
                f"{name}: {self.unreadable} replies in a row were no chat completion; each may be billed. "
                f"Does that address have an OpenAI-compatible API? The last: {met.text}"
            )
        silent_s = time.monotonic() - self.last_answer
        if not self.new and (self.unreached >= UNREACHED or self.refused >= REFUSED):
            raise DistillError(f"{name}: {met.text}")
        patience_s = self.plan.collect.patience_s
        if met.means is not Remedy.PAUSE:
            patience_s += self.plan.collect.timeout_s  # the longest that an answer may take
        if met.means is not Remedy.GIVE_UP and silent_s + (met.wait_s or 0) > patience_s:
            asks = f" and asks to wait {met.wait_s:.0f} s" if met.wait_s else ""
            raise DistillError(
                f"{name} has answered nothing for {silent_s:.0f} s{asks} (collect.patience_s is "
                f"{self.plan.collect.patience_s:.0f}): {met.text}"
            )

    def refuse_a_budget_too_small(self) -> None:
        """Raises: DistillError if not even the first request fits."""
        into, out = bound_tokens(question_of(self.plan, *self.missing[0]), self.plan)
        lack = self.budget.lacks(self.budget.wants(into, out))
        if lack is not None and self.spent.requests == 0:
            raise DistillError(
                f"the budget is too small for a single request: {lack} (its prompt may have {into:,} tokens, "
                f"its answer {out:,}); raise it, or lower collect.max_tokens"
            )

    def _interrupt(self) -> None:
        """On the first signal, let requests under way finish and be stored; on the second, stop at once."""
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True
        self._stop("interrupted")

    def _stop(self, why: str, by_budget: bool = False) -> None:
        self.why = self.why or why
        self.by_budget = self.by_budget or by_budget
        self.stop.set()
        self._tell()

    def _tell(self) -> None:
        dollars = None if self.price is None else self.budget.pusd / PUSD
        progress = Progress(
            self.had + self.new,
            self.wanted,
            self.failed,
            self.budget.under_way,
            self.budget.requests,
            self.budget.tokens,
            dollars,
        )
        self.tell(replace(progress, waits=self.why or self.pace.waits))
