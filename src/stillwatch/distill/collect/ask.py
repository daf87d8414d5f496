"""Collecting as a step of a run: opens its ledger, asks, and writes the files for the next step."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stillwatch.distill import BudgetReached, DistillError, DistillRun, Prompt, Sample
from stillwatch.distill.collect import CollectionResult
from stillwatch.distill.collect.gather import Tell, collect
from stillwatch.distill.collect.questions import bound_tokens, likely_tokens, questions
from stillwatch.distill.collect.stored import samples, write_spent, write_stored
from stillwatch.distill.embedded import EMBEDDED
from stillwatch.distill.ledger import RunLedger, read_only
from stillwatch.distill.plan import DistillPlan, Teacher, load
from stillwatch.distill.prices import price_of, usd
from stillwatch.distill.rows import read_prompts

Say = Callable[[str], None]
NO_KEY = "none"  # sent to a server without keys


def collect_run(run: DistillRun, plan: DistillPlan, tell: Tell, say: Say) -> CollectionResult:
    """Ask for every sample that is missing; write collected.jsonl and spent.json from the ledger.

    Raises: DistillError. Stored answers stay, and the files are written in that case too.
    """
    prompts = list(read_prompts(run.prompts))
    with RunLedger(run.ledger) as ledger:
        try:
            return collect(plan, prompts, ledger, lambda: reach_teacher(plan.teacher, say), tell)
        finally:
            write_stored(run, plan)


def answers(path: Path, prompts: list[Prompt], say: Say = lambda words: None) -> list[Sample]:
    """Get one greedy answer to each prompt, for evaluation: same ledger and budget, separate in spent.json.

    Raises: BudgetReached, or DistillError when it had to stop for another reason, before all were asked;
    stored answers stay.
    """
    run = DistillRun(path)
    plan = load(run.path, {})
    plan = replace(plan, collect=replace(plan.collect, samples=1, temperature=0.0, top_p=None, logprobs=0))
    with RunLedger(run.ledger) as ledger:
        try:
            collected = collect(
                plan,
                prompts,
                ledger,
                lambda: reach_teacher(plan.teacher, say),
                lambda progress: None,
                purpose="evaluate",
            )
        finally:
            write_spent(run, plan)
        if collected.stopped:
            raise (BudgetReached if collected.by_budget else DistillError)(
                f"the teacher was asked {collected.answers:,} of {collected.wanted:,} held-out prompts: "
                f"{collected.stopped}"
            )
        with closing(read_only(run.ledger)) as db:
            return list(samples(plan, prompts, db))


@contextmanager
def reach_teacher(teacher: Teacher, say: Say) -> Iterator[tuple[Teacher, str]]:
    """Yield the teacher with a working address, and its key; an embedded teacher is served meanwhile.

    A header value that begins with $ is read from that variable here, so that no secret is in the plan.
    """
    headers = {name: _from_variable(name, value) for name, value in teacher.headers.items()}
    teacher = replace(teacher, headers=headers)
    key = os.environ.get(teacher.api_key_env, "").strip() or NO_KEY
    if not teacher.base_url.startswith(EMBEDDED):
        yield teacher, key
        return
    from stillwatch.distill.embedded.serve.run import start_server

    with start_server(teacher.base_url.removeprefix(EMBEDDED), say=say) as base_url:
        yield replace(teacher, base_url=base_url), key


def estimate(plan: DistillPlan, prompts: list[Prompt]) -> dict[str, Any]:
    """Estimate a whole run: its maximum cost, with every answer at its limit, and its prompts' tokens."""
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


def _from_variable(name: str, value: str) -> str:
    if not value.startswith("$"):
        return value
    if (found := os.environ.get(value[1:])) is None:
        raise DistillError(f"teacher.headers.{name}: the variable {value[1:]} is not set")
    return found
