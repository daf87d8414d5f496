"""What stored answers show about the teacher: another model, an excessive bill, a change during collection.

A model's name and its bill are the teacher's own claims. They are compared with what it does not control: the
limit in the request, the bytes received (no token is shorter than a byte), and the order of the questions.

Blind to: a bill that is too high but within limit and bytes; reasoning that is billed and not shown.
"""

import sqlite3
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from stillwatch.distill import Prompt
from stillwatch.distill.changes import find_change
from stillwatch.distill.collect.questions import bound_tokens, questions
from stillwatch.distill.collect.reply import parse_answer, parse_reply, usage
from stillwatch.distill.ledger import replies
from stillwatch.distill.plan import DistillPlan

CONTROL_TOKENS = 8  # that end a text without a byte in it
MOST = 0.5  # share of answers that are cut or empty, or of tokens not shown, above which it is reported
LEAST = 10  # answers needed for that


@dataclass
class _Bills:
    """Irregularities of the answers and their bills."""

    answers: int = 0
    billed: int = 0  # output tokens
    hidden: int = 0  # of these, reasoning that was not shown
    cut: int = 0  # answers
    empty: int = 0
    beyond_limit: list[int] = field(default_factory=list)  # billed tokens
    beyond_text: list[int] = field(default_factory=list)  # billed tokens beyond the answer's bytes
    beyond_prompt: list[int] = field(default_factory=list)
    miscounted: list[int] = field(default_factory=list)


def signs(plan: DistillPlan, prompts: list[Prompt], db: sqlite3.Connection) -> dict[str, Any]:
    """Return the report on the teacher for the plan's answers, with `warnings` in sentences."""
    most_in = {question.key: bound_tokens(question, plan)[0] for question in questions(plan, prompts)}
    models: Counter[str] = Counter()
    fingerprints: Counter[str] = Counter()
    bills = _Bills()
    lengths, bytes_a_token = [], []
    for key, raw, into, out in replies(db):
        if key not in most_in:
            continue
        reply = parse_reply(raw)
        answer, used = parse_answer(reply), usage(reply, 0)
        models[answer.model or plan.teacher.model] += 1
        fingerprints[str(reply.get("system_fingerprint") or "")] += 1
        shown = _bytes(reply["choices"][0]["message"])
        lengths.append(float(np.log1p(shown)))
        bills.cut += answer.finish_reason in ("length", "max_tokens")
        bills.empty += not answer.answer.strip()
        if not used.told:
            continue
        unseen = 0 if answer.reasoning else min(used.reasoning_tokens or 0, out)
        bills.hidden += unseen
        bills.billed += out
        if shown:
            bytes_a_token.append(float(np.log((shown + 1) / (out - unseen + 1))))
        if out > plan.collect.max_tokens:
            bills.beyond_limit.append(out)
        elif out - unseen > shown + CONTROL_TOKENS:
            bills.beyond_text.append(out - unseen - shown)
        if into > most_in[key]:
            bills.beyond_prompt.append(into)
        if answer.logprobs and abs(len(answer.logprobs) - (out - unseen)) > CONTROL_TOKENS:
            bills.miscounted.append(out)
    bills.answers = len(lengths)
    changes = [
        found
        for what, values in (("bytes of an answer", lengths), ("bytes a billed token", bytes_a_token))
        if (found := find_change(what, np.array(values), 2)) is not None
    ]
    first = next(iter(models), plan.teacher.model)
    warnings = [
        f"{count:,} of {bills.answers:,} answers are by {name}, not by {first}"
        for name, count in models.items()
        if name != first
    ]
    warnings += _bill_warnings(bills, plan.collect.max_tokens)
    warnings += [change.sentence for change in changes]
    return {
        "model": first,
        "models": dict(models),
        "fingerprints": {name: count for name, count in fingerprints.items() if name},
        "hidden_reasoning_tokens": bills.hidden,
        "changes": [asdict(change) for change in changes],
        "warnings": warnings,
    }


def _bill_warnings(bills: _Bills, max_tokens: int) -> list[str]:
    """Describe irregular bills."""
    n, warnings = bills.answers, []
    if bills.beyond_limit:
        warnings.append(
            f"{len(bills.beyond_limit):,} of {n:,} answers were billed beyond max_tokens ({max_tokens:,}), "
            f"the worst with {max(bills.beyond_limit):,} tokens; what was billed counts as spent"
        )
    if bills.beyond_text:
        warnings.append(
            f"{len(bills.beyond_text):,} of {n:,} answers were billed more tokens than they have bytes, "
            f"{sum(bills.beyond_text):,} tokens in all"
        )
    if bills.beyond_prompt:
        warnings.append(
            f"{len(bills.beyond_prompt):,} of {n:,} prompts were billed more tokens than they have bytes, "
            f"the worst with {max(bills.beyond_prompt):,}"
        )
    if bills.hidden > MOST * bills.billed:
        warnings.append(
            f"{bills.hidden:,} of {bills.billed:,} billed output tokens are reasoning that was not shown: "
            "nobody can count them"
        )
    if bills.miscounted:
        warnings.append(
            f"{len(bills.miscounted):,} bills differ from the tokens whose log-probabilities came"
        )
    for share, what in (
        (bills.cut, f"were cut off at max_tokens ({max_tokens:,})"),
        (bills.empty, "are empty"),
    ):
        if n >= LEAST and share > MOST * n:
            warnings.append(f"{share:,} of {n:,} answers {what}")
    return warnings


def _bytes(value: Any) -> int:
    """Return the bytes of all texts in a message: answer, reasoning and the marks around it."""
    if isinstance(value, str):
        return len(value.encode(errors="replace"))
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return sum(map(_bytes, inner))
