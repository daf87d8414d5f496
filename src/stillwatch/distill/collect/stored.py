"""Writes the ledger's content as files for the next steps: collected.jsonl and spent.json.

Both can be written from the ledger at any time, also after a kill.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from typing import Any

from stillwatch.distill import DistillError, DistillRun, Prompt, Sample
from stillwatch.distill.collect.questions import question_of
from stillwatch.distill.collect.reply import parse_answer, parse_reply, usage
from stillwatch.distill.collect.signs import signs
from stillwatch.distill.ledger import RunCost, read_only, reply, spent
from stillwatch.distill.plan import DistillPlan
from stillwatch.distill.prices import PUSD, price_of, usd
from stillwatch.distill.rows import read_json, read_prompts, write_json, write_rows
from stillwatch.units import utc_us


def write_stored(run: DistillRun, plan: DistillPlan) -> None:
    """Write both files again. Raises: DistillError."""
    prompts = list(read_prompts(run.prompts))
    with closing(read_only(run.ledger)) as db:
        try:
            write_rows(run.collected_file, samples(plan, prompts, db))
            _write_spent(run, plan, db, prompts)  # last: it marks the other file as complete
        except DistillError as why:
            raise DistillError(
                f"{why}; every answer is in {run.ledger.name}, and the same command goes on from there"
            ) from why


def write_spent(run: DistillRun, plan: DistillPlan) -> None:
    """Write spent.json again."""
    with closing(read_only(run.ledger)) as db:
        _write_spent(run, plan, db, list(read_prompts(run.prompts)))


def is_stale(run: DistillRun) -> bool:
    """Return whether the ledger has more than the files: a process was killed before it wrote them."""
    if not run.ledger.exists():
        return False
    if not run.collected_file.exists() or not run.spent.exists():
        return True
    spent_then = read_json(run.spent)
    with closing(read_only(run.ledger)) as db:
        return bool(spent(db, "train").requests != spent_then.get("requests"))


def samples(plan: DistillPlan, prompts: list[Prompt], db: sqlite3.Connection) -> Iterator[Sample]:
    """Yield every stored answer that the plan asks for, by prompt and then by sample."""
    priced = price_of(plan.teacher.model, plan.prices) is not None
    for prompt in prompts:
        for number in range(plan.collect.samples):
            question = question_of(plan, prompt, number)
            stored = reply(db, question.key)
            if stored is None:
                continue
            raw, into, out, pusd = stored
            answer = parse_reply(raw)
            words, used = parse_answer(answer), usage(answer, 0)
            yield Sample(
                prompt.id,
                number,
                prompt.messages,
                words.reasoning if plan.collect.reasoning else None,
                words.answer,
                "refusal" if words.refusal and not words.answer else words.finish_reason,
                {
                    "input_tokens": into,
                    "output_tokens": out,
                    "reasoning_tokens": used.reasoning_tokens,
                    "estimated": not used.told,
                    "usd": usd(pusd) if priced else None,
                },
                words.model or plan.teacher.model,
                {key: value for key, value in question.body.items() if key != "messages"},
                words.logprobs,
            )


def _write_spent(run: DistillRun, plan: DistillPlan, db: sqlite3.Connection, prompts: list[Prompt]) -> None:
    """Training samples at the top, evaluation apart, the prices used, and warnings about the teacher."""
    price = price_of(plan.teacher.model, plan.prices)
    content = _spent(spent(db, "train"), price is not None)
    content["evaluation"] = _spent(spent(db, "evaluate"), price is not None)
    content["price"] = None if price is None else asdict(price) | {"unit": f"1/{PUSD:.0e} US dollar a token"}
    content["teacher"] = signs(plan, prompts, db)
    content["written_us"] = utc_us()
    write_json(run.spent, content)


def _spent(cost: RunCost, priced: bool) -> dict[str, Any]:
    return {
        "requests": cost.requests,
        "answers": cost.answers,
        "input_tokens": cost.input_tokens,
        "output_tokens": cost.output_tokens,
        "usd": usd(cost.pusd) if priced else None,
        "in_doubt": {
            "requests": cost.doubtful_requests,
            "tokens": cost.doubtful_tokens,
            "usd": usd(cost.doubtful_pusd) if priced else None,
        },
        "waited_s": cost.waited_us / 1e6,
    }
