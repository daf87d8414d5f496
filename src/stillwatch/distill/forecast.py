"""Estimates what a run will take before it starts: money, time and disk, each as a range with its basis.

There are three bases: bounds that hold whatever the teacher does; answers of this teacher in a ledger (a few
asked first belong to the run and are not paid again); and a few steps of the student on this machine.
Anything else is unknown, and a sentence says what would determine it.

Null: the answers to come are like the stored ones: questions go out in an order drawn by hash, so the first
are a random sample. Blind to: a teacher that gets slower under load, or wordier; a machine that is busier
later.
"""

import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stillwatch.distill import DistillRun, Example, Prompt
from stillwatch.distill.collect.questions import TEMPLATE_TOKENS, bound_tokens, questions
from stillwatch.distill.embedded import has_weights
from stillwatch.distill.ledger import answered_costs, read_only, spent
from stillwatch.distill.plan import DistillPlan
from stillwatch.distill.prices import PUSD, price_of
from stillwatch.distill.rows import read_examples, read_json
from stillwatch.errors import StillwatchError
from stillwatch.stats.intervals import further_sum

if TYPE_CHECKING:
    from stillwatch.distill.train.probe import WritingPace

ENOUGH = 10  # stored answers needed for a prediction
WORDS_BYTES = 8  # of text per token at most, on average: no tokenizer in use has longer words
ROW_BYTES = 700  # of a ledger's row and the two JSON lines, without the texts
COPIES = 3  # of each text: ledger, collected.jsonl, curated.jsonl
ADAM_BYTES, WEIGHT_BYTES = 12, 4  # of a checkpoint and of a saved student, per weight, in 32 bits
CHECKPOINTS = 3  # at once: two are kept while a third is written
EXAMPLES_FOR = 8  # steps; then they are repeated
SECONDS_AN_HOUR = 3600


@dataclass(frozen=True)
class Amount:
    """An amount as a range; None if unknown, and `rests_on` says what would determine it."""

    what: str
    unit: str  # "US dollars", "seconds", "bytes", "tokens", "FLOPs"
    low: float | None
    high: float | None
    rests_on: str

    @classmethod
    def between(cls, what: str, unit: str, bounds: Sequence[float], rests_on: str) -> "Amount":
        return cls(what, unit, bounds[0], bounds[1], rests_on)

    @classmethod
    def without(cls, what: str, unit: str, rests_on: str, least: float | None = None) -> "Amount":
        return cls(what, unit, least, None, rests_on)


@dataclass(frozen=True)
class AnswerCosts:
    """The cost of stored answers: input tokens, output tokens, seconds, bytes; and requests per answer."""

    rows: tuple[tuple[int, int, float, int], ...]
    requests_an_answer: float
    source: str

    def further(self, column: int, more: int) -> tuple[float, float]:
        return further_sum([float(row[column]) for row in self.rows], more)


def answer_costs(run: DistillRun) -> AnswerCosts | None:
    """Return the cost of the answers in a run's ledger; None if there are too few."""
    if not run.ledger.exists():
        return None
    with closing(read_only(run.ledger)) as db:
        rows = [(into, out, us / 1e6, size) for into, out, us, size in answered_costs(db)]
        cost = spent(db)
    if len(rows) < ENOUGH:
        return None
    return AnswerCosts(
        tuple(rows), max(1.0, cost.requests / len(rows)), f"{len(rows):,} answers in {run.ledger}"
    )


def forecast(
    plan: DistillPlan,
    prompts: list[Prompt],
    like: DistillRun | None,
    probe: bool,
    say: Callable[[str], None] = lambda words: None,
) -> list[Amount]:
    """Estimate every amount that the rest of a run will take. `like`: a run with a similar teacher and
    questions.

    `probe`: train and generate a few steps to measure the speed. Raises: DistillError.
    """
    run = DistillRun(Path(plan.folder))
    seen = answer_costs(run) or (None if like is None else answer_costs(like))
    stored = _stored_keys(run)
    missing = [question for question in questions(plan, prompts) if question.key not in stored]
    asks_teacher = plan.evaluate.teacher == "ask" and not has_weights(plan.teacher.base_url)
    tested = _held_out(run, plan) if asks_teacher else 0
    found = _collecting(plan, [bound_tokens(question, plan) for question in missing], tested, seen)
    found += _computing(plan, run, prompts, seen, probe, say)
    return found


def disk_warning(amounts: Sequence[Amount], folder: Path) -> str | None:
    """Return a warning if the disk may be too small."""
    most = sum(amount.high or 0 for amount in amounts if amount.unit == "bytes")
    existing = next((place for place in (folder, *folder.parents) if place.exists()), Path("/"))
    free = shutil.disk_usage(existing).free
    if most <= free:
        return None
    return f"up to {most / 1e9:,.1f} GB may be written, and {free / 1e9:,.1f} GB are free at {existing}"


def _collecting(
    plan: DistillPlan, bounds: list[tuple[int, int]], tested: int, seen: AnswerCosts | None
) -> list[Amount]:
    n = len(bounds) + tested
    mean_in = sum(into for into, _ in bounds) / len(bounds) if bounds else 0.0
    if not n:
        into = out = took = size = (0.0, 0.0)
        ground = "everything is stored already"
    elif seen is None:
        into = (n * max(1.0, (mean_in - TEMPLATE_TOKENS) / WORDS_BYTES / 2), n * mean_in)
        out = (float(n), float(n * plan.collect.max_tokens))
        took = None
        size = (n * ROW_BYTES, n * ROW_BYTES + COPIES * WORDS_BYTES * (into[1] / WORDS_BYTES + out[1]))
        ground = "bounds: a token to max_tokens for each answer"
    else:
        requests = math.ceil(n * seen.requests_an_answer)
        into, out, took = (seen.further(column, requests) for column in (0, 1, 2))
        stored = seen.further(3, n)
        size = (n * ROW_BYTES + stored[0], n * ROW_BYTES + COPIES * 3 * stored[1])  # compressed to a third
        ground = f"95 %, from {seen.source}"
    price = price_of(plan.teacher.model, plan.prices)
    usd = None
    if price is not None:
        usd = [(a * price.input + b * price.output) / PUSD for a, b in zip(into, out, strict=True)]
    amounts = [
        Amount.between("tokens in prompts", "tokens", into, ground),
        Amount.between("tokens in answers", "tokens", out, ground),
        Amount.between("the teacher's bill", "US dollars", usd, f"{ground}; {price.source}")
        if price is not None and usd is not None
        else Amount.without("the teacher's bill", "US dollars", "no price is known: give [prices]"),
    ]
    asking = plan.collect
    least = 0.0
    if asking.requests_per_minute:
        least = max(least, 60 * (n / asking.requests_per_minute - 1))
    if asking.tokens_per_minute:
        least = max(least, 60 * ((into[0] + out[0]) / asking.tokens_per_minute - 1))
    if took is None:
        first = "unknown: ask a few first, they belong to the run (`distill collect PLAN --requests 20`)"
        amounts.append(Amount.without("collecting", "seconds", first, least or None))
    else:
        seconds = [max(least, s / asking.concurrency) for s in took]
        amounts.append(
            Amount.between("collecting", "seconds", seconds, f"{ground}; {asking.concurrency} at once")
        )
    return [*amounts, Amount.between("answers on disk", "bytes", size, ground)]


def _computing(
    plan: DistillPlan,
    run: DistillRun,
    prompts: list[Prompt],
    seen: AnswerCosts | None,
    probe: bool,
    say: Callable[[str], None],
) -> list[Amount]:
    """Estimate training and evaluation on this machine."""
    names = (
        ("training", "seconds"),
        ("training", "CPU-seconds"),
        ("training", "FLOPs"),
        ("training", "US dollars"),
        ("evaluation", "seconds"),
        ("students on disk", "bytes"),
    )
    if not probe:
        return [Amount.without(*name, "unknown: no step was tried (--no-probe)") for name in names]
    from stillwatch.distill.train.probe import training_pace, writing_pace

    settings = plan.train
    say(f"a few steps of {settings.student} are tried here (--no-probe leaves that out)")
    examples = _kept_examples(run) or len(prompts) * plan.collect.samples
    try:
        paces = [training_pace(settings, rows) for rows in examples_alike(plan, run, prompts, seen)]
        held_out = [prompt.messages for prompt in prompts]
        writing = writing_pace(plan.evaluate, settings, held_out)
    except StillwatchError as why:
        return [Amount.without(*name, f"unknown: {why}") for name in names]
    students = [min(n, examples) for n in settings.curve] + [examples]
    a_step = settings.batch * settings.accumulate * settings.processes
    steps = sum(settings.steps or math.ceil(settings.epochs * n / a_step) for n in students)
    seconds = _hull([further_sum(pace.step_s, steps) for pace in paces])
    cpu_s = _hull([further_sum(pace.step_cpu_s, steps) for pace in paces])
    flops = sorted(6 * pace.parameters * pace.tokens_a_step * steps * settings.processes for pace in paces)
    weights = paces[0].parameters
    ground = f"95 %, from {len(paces[0].step_s)} steps of {weights / 1e6:,.3g} M weights on {paces[0].device}"
    if not _kept_examples(run):
        ground += "; if curating keeps every answer" if not settings.steps else ""
    checkpoints = CHECKPOINTS * ADAM_BYTES * paces[0].trained_parameters if settings.checkpoint_every else 0
    hour = settings.usd_per_hour / SECONDS_AN_HOUR
    return [
        Amount.between("training", "seconds", seconds, f"{ground}, as busy as it is now"),
        Amount.between("training", "CPU-seconds", cpu_s, ground),
        Amount("training", "FLOPs", flops[0], flops[-1], "6 for each weight and token"),
        Amount.between("training", "US dollars", [s * hour for s in seconds], "train.usd_per_hour")
        if hour
        else Amount.without("training", "US dollars", "unknown: give train.usd_per_hour"),
        _evaluation(plan, run, seen, writing, len(students) + plan.evaluate.before),
        Amount(
            "students on disk",
            "bytes",
            len(students) * WEIGHT_BYTES * weights,
            len(students) * WEIGHT_BYTES * weights + checkpoints,
            "to: with the checkpoints of one training",
        ),
    ]


def _evaluation(
    plan: DistillPlan, run: DistillRun, seen: AnswerCosts | None, writing: "WritingPace", models: int
) -> Amount:
    """Return the seconds that a number of models take to answer the held-out questions here."""
    questions = _held_out(run, plan)
    batches = math.ceil(questions / plan.evaluate.batch)
    written = [1.0, float(plan.evaluate.new_tokens)]
    if seen is not None:
        mean = sum(row[1] for row in seen.rows) / len(seen.rows)
        written[0] = min(written[1], mean / 2)  # a student may write less than its teacher
    return Amount.between(
        "evaluation",
        "seconds",
        [models * batches * (writing.read_s + writing.token_s * tokens) for tokens in written],
        f"{models} models, {questions:,} questions, {written[0]:,.0f} to {written[1]:,.0f} tokens each, "
        "at the pace of two batches here; without the teacher",
    )


def examples_alike(
    plan: DistillPlan, run: DistillRun, prompts: list[Prompt], seen: AnswerCosts | None
) -> list[list[Example]]:
    """Return examples for timing: the run's own, else its prompts with made-up answers, short and long."""
    most = EXAMPLES_FOR * plan.train.batch * plan.train.accumulate
    if run.curated_file.exists():
        return [list(read_examples(run.curated_file))[:most]]
    lengths = [1, plan.collect.max_tokens]
    if seen is not None:
        lengths = [round(sum(row[1] for row in seen.rows) / len(seen.rows))]
    found = []
    for length in lengths:
        rows = []
        for at in range(most):
            prompt = prompts[at % len(prompts)]
            words = prompt.messages[-1]["content"].split() or ["?"]
            # 4 tokens: 3 words
            text = " ".join((words * (length // len(words) + 1))[: max(1, length * 3 // 4)])
            rows.append(Example(prompt.id, at, prompt.messages, text, words[0], prompt.task))
        found.append(rows)
    return found


def _hull(bounds: Sequence[tuple[float, float]]) -> tuple[float, float]:
    return min(low for low, _ in bounds), max(high for _, high in bounds)


def _stored_keys(run: DistillRun) -> set[str]:
    if not run.ledger.exists():
        return set()
    with closing(read_only(run.ledger)) as db:
        return {key for (key,) in db.execute("SELECT key FROM answer")}


def _kept_examples(run: DistillRun) -> int:
    return int(read_json(run.curation)["kept"]) if run.curation.exists() else 0


def _held_out(run: DistillRun, plan: DistillPlan) -> int:
    with run.heldout.open("rb") as lines:
        count = sum(1 for _ in lines)
    return min(plan.evaluate.n or count, count)


def as_rows(amounts: Sequence[Amount]) -> list[tuple[str, str, str, str]]:
    """Return rows for a terminal: name, from, to, basis."""
    return [
        (amount.what, _words(amount.low, amount.unit), _words(amount.high, amount.unit), amount.rests_on)
        for amount in amounts
    ]


def _words(value: float | None, unit: str) -> str:
    """
    >>> _words(5400, "seconds"), _words(2.5e9, "bytes"), _words(0.0123, "US dollars"), _words(None, "tokens")
    ('1.5 h', '2.5 GB', '$0.0123', '?')
    """
    if value is None:
        return "?"
    scales: dict[str, Any] = {
        "seconds": ((86400, "days"), (3600, "h"), (60, "min"), (1, "s")),
        "bytes": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "bytes")),
    }
    if unit == "US dollars":
        return f"${value:,.2f}" if value >= 100 else f"${value:,.4f}"
    if unit in scales:
        size, name = next(((s, n) for s, n in scales[unit] if value >= s), scales[unit][-1])
        return f"{value / size:,.3g} {name}"
    return f"{value:.2e} {unit}" if unit == "FLOPs" else f"{value:,.0f} {unit}"
