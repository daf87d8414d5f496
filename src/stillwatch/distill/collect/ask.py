"""Collecting as a step of a run: opens its ledger, asks, writes what the next step reads."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stillwatch.distill import DistillError, Prompt, Run, Sample
from stillwatch.distill.collect import Collected
from stillwatch.distill.collect.gather import Tell, collect
from stillwatch.distill.collect.questions import bound_tokens, likely_tokens, questions
from stillwatch.distill.collect.reply import parsed, said, usage
from stillwatch.distill.ledger import Ledger, Spent
from stillwatch.distill.plan import EMBEDDED, Plan, load
from stillwatch.distill.prices import PUSD, price_of, usd
from stillwatch.distill.rows import read_prompts, write_json, write_rows

Say = Callable[[str], None]
NO_KEY = "none"  # what a server without keys is sent


def collect_run(run: Run, plan: Plan, tell: Tell, say: Say) -> Collected:
    """Ask for every sample that is missing; write collected.jsonl and spent.json from the ledger.

    Raises: DistillError. Whatever was stored stays, and the files are written then too.
    """
    prompts = list(read_prompts(run.prompts))
    with Ledger(run.ledger) as ledger, reached(plan, say) as plan:
        try:
            return collect(plan, prompts, ledger, _key(plan), tell)
        finally:
            write_spent(run, plan, ledger)
            write_rows(run.collected, samples(plan, prompts, ledger))


def answers(path: Path, prompts: list[Prompt], say: Say = lambda words: None) -> list[Sample]:
    """Ask one greedy answer to each prompt, for evaluation: same ledger and budget, apart in spent.json.

    Raises: DistillError when it had to stop before all were asked; what was answered stays stored.
    """
    run = Run(path)
    plan = load(run.path, {})
    plan = replace(plan, collect=replace(plan.collect, samples=1, temperature=0.0, top_p=None, logprobs=0))
    with Ledger(run.ledger) as ledger, reached(plan, say) as plan:
        try:
            got = collect(plan, prompts, ledger, _key(plan), lambda progress: None, purpose="evaluate")
        finally:
            write_spent(run, plan, ledger)
        if got.stopped:
            raise DistillError(
                f"the teacher was asked {got.answers:,} of {got.wanted:,} held-out prompts: {got.stopped}"
            )
        return list(samples(plan, prompts, ledger))


@contextmanager
def reached(plan: Plan, say: Say) -> Iterator[Plan]:
    """The plan with an address that answers: an embedded teacher is served while the block runs."""
    if not plan.teacher.base_url.startswith(EMBEDDED):
        yield plan
        return
    from stillwatch.distill.embedded.serve.run import started

    with started(plan.teacher.base_url.removeprefix(EMBEDDED), say=say) as base_url:
        yield replace(plan, teacher=replace(plan.teacher, base_url=base_url))


def estimate(plan: Plan, prompts: list[Prompt]) -> dict[str, Any]:
    """What a whole run may cost: at most (every answer at its limit), and its prompts about."""
    price = price_of(plan.teacher.model, plan.prices)
    requests = most_in = about_in = most_out = 0
    for question in questions(plan, prompts):
        into, out = bound_tokens(question, plan)
        requests += 1
        most_in += into
        most_out += out
        about_in += likely_tokens(question, plan)
    return {
        "requests": requests,
        "most_tokens": most_in + most_out,
        "about_input_tokens": about_in,
        "most_output_tokens": most_out,
        "most_usd": None if price is None else usd(price.cost_pusd(most_in, most_out)),
        "price_source": None if price is None else price.source,
    }


def samples(plan: Plan, prompts: list[Prompt], ledger: Ledger) -> Iterator[Sample]:
    """Every stored answer that the plan asks for, in the order of the prompts and then of the samples."""
    price = price_of(plan.teacher.model, plan.prices)
    asked = sorted(
        ((at, one.sample, one) for at, one in _numbered(plan, prompts)), key=lambda found: found[:2]
    )
    for _, _, question in asked:
        stored = ledger.reply(question.key)
        if stored is None:
            continue
        raw, into, out, pusd = stored
        reply = parsed(raw)
        words, used = said(reply), usage(reply, 0)
        yield Sample(
            question.prompt.id,
            question.sample,
            question.prompt.messages,
            words.reasoning if plan.collect.reasoning else None,
            words.answer,
            "refusal" if words.refusal and not words.answer else words.finish_reason,
            {
                "input_tokens": into,
                "output_tokens": out,
                "reasoning_tokens": used.reasoning_tokens,
                "estimated": not used.told,
                "usd": None if price is None else usd(pusd),
            },
            words.model or plan.teacher.model,
            {key: value for key, value in question.body.items() if key != "messages"},
            words.logprobs,
        )


def write_spent(run: Run, plan: Plan, ledger: Ledger) -> None:
    """Write spent.json: training samples at the top, evaluation apart, and by what prices."""
    price = price_of(plan.teacher.model, plan.prices)
    content = _spent(ledger.spent("train"), price is not None)
    content["evaluation"] = _spent(ledger.spent("evaluate"), price is not None)
    content["price"] = None if price is None else asdict(price) | {"unit": f"1/{PUSD:.0e} US dollar a token"}
    content["written_us"] = time.time_ns() // 1000
    write_json(run.spent, content)


def _spent(spent: Spent, priced: bool) -> dict[str, Any]:
    return {
        "requests": spent.requests,
        "answers": spent.answers,
        "input_tokens": spent.input_tokens,
        "output_tokens": spent.output_tokens,
        "usd": usd(spent.pusd) if priced else None,
        "in_doubt": {
            "requests": spent.doubtful_requests,
            "tokens": spent.doubtful_tokens,
            "usd": usd(spent.doubtful_pusd) if priced else None,
        },
        "waited_s": spent.waited_us / 1e6,
    }


def _numbered(plan: Plan, prompts: list[Prompt]) -> Iterator[tuple[int, Any]]:
    for number, question in enumerate(questions(plan, prompts)):
        yield number % max(1, len(prompts)), question


def _key(plan: Plan) -> str:
    return os.environ.get(plan.teacher.api_key_env, "").strip() or NO_KEY
