"""Curating as a step of a run: collected.jsonl -> curated.jsonl, and curation.json with each filter's count.

The filters run in a fixed order; an answer is counted by the first filter that drops it. The same files give
the same result.
"""

import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from stillwatch.distill import AnswerVerdict, DistillError, DistillRun, Example, Prompt, Sample
from stillwatch.distill.changes import find_change
from stillwatch.distill.collect.questions import question_of
from stillwatch.distill.curate.contamination import HeldOut, user_text
from stillwatch.distill.curate.duplicates import exact, near
from stillwatch.distill.curate.stock import StockAnswers, stock_answers
from stillwatch.distill.curate.wording import FILTERS
from stillwatch.distill.plan import CurationRules, DistillPlan
from stillwatch.distill.rows import read_json, read_prompts, read_samples, write_json, write_rows
from stillwatch.distill.sandbox import ProgramLimits, confinement
from stillwatch.distill.tasks.code import NAME as CODE
from stillwatch.distill.tasks.code import judge_within
from stillwatch.distill.tasks.registry import task

Tell = Callable[[str, int, int | None], None]
EXAMPLES = 5  # dropped answers listed for each filter


class _Curation:
    """The answers that remain, and a record of the others."""

    def __init__(self, samples: list[Sample]) -> None:
        self.kept = samples
        self.filters: list[dict[str, Any]] = []

    def drop(self, name: str, drops: str, dropped: Iterable[tuple[Sample, str]]) -> None:
        """Remove answers and record why."""
        out = {(sample.id, sample.sample): why for sample, why in dropped}
        self.kept = [sample for sample in self.kept if (sample.id, sample.sample) not in out]
        first = islice(out.items(), EXAMPLES)
        examples = [{"id": id_, "sample": number, "reason": why} for (id_, number), why in first]
        self.filters.append({"name": name, "reason": drops, "dropped": len(out), "examples": examples})


def curate_run(run: DistillRun, plan: DistillPlan, tell: Tell) -> dict[str, Any]:
    """Filter the collected answers; return curation.json. Raises: DistillError if nothing is left."""
    settings = plan.curate
    prompts = {prompt.id: prompt for prompt in read_prompts(run.prompts)}
    found = (sample for sample in read_samples(run.collected_file) if sample.id in prompts)
    # not used here, and long
    sieve = _Curation([replace(sample, logprobs=None) for sample in found])
    collected = len(sieve.kept)
    if not collected:
        raise DistillError(f"{run.collected_file} holds no answers: run `stillwatch distill collect` first")
    _drop_other_models(sieve, run, settings)
    repeated = stock_answers(sieve.kept, prompts) if settings.refusals else StockAnswers({}, {})
    for number, filter_ in enumerate(FILTERS):
        tell("wording", number + 1, len(FILTERS))
        reasons = [(sample, filter_.judge(sample, settings)) for sample in sieve.kept]
        if filter_.name == "refusal":
            reasons = [(s, why or repeated.declined.get((s.id, s.sample))) for s, why in reasons]
        sieve.drop(
            filter_.name,
            filter_.drops,
            [(sample, why) for sample, why in reasons if why is not None],
        )
    warnings = [
        f"{count:,} different prompts got the answer {answer[:80]!r}, and their task cannot judge it: "
        "is the teacher declining?"
        for answer, count in repeated.unclear.items()
    ]
    sandbox = _verify(sieve, prompts, plan, warnings, tell)
    heldout = [user_text(prompt.messages) for prompt in read_prompts(run.heldout)]
    fence = HeldOut(heldout, settings.contamination_words)
    _drop_contaminated(sieve, fence)
    _duplicates(sieve, settings, tell)
    _crowd(sieve, settings)
    write_rows(run.curated_file, (_example(sample, prompts[sample.id]) for sample in sieve.kept))
    account = {
        "collected": collected,
        "kept": len(sieve.kept),
        "filters": sieve.filters,
        "sandbox": sandbox,
        "warnings": warnings,
        "paid_output_tokens": sum(sample.usage["output_tokens"] for sample in sieve.kept),
    }
    write_json(run.curation, account)
    if not sieve.kept:
        strictest = max(sieve.filters, key=lambda filter_: filter_["dropped"])
        raise DistillError(
            f"no answer of {collected:,} is left; {strictest['name']} dropped {strictest['dropped']:,} "
            f"({strictest['reason']}): see {run.curation}"
        )
    return account


def _drop_other_models(sieve: _Curation, run: DistillRun, settings: CurationRules) -> None:
    """Keep the answers of the model that answered first, as spent.json names it."""
    first = read_json(run.spent).get("teacher", {}).get("model", "") if run.spent.exists() else ""
    dropped = [
        (sample, f"{sample.teacher} answered, not {first}")
        for sample in sieve.kept
        if settings.one_model and first and sample.teacher != first
    ]
    sieve.drop("other_model", "another model answered than the first time", dropped)


def _verify(
    sieve: _Curation, prompts: dict[str, Prompt], plan: DistillPlan, warnings: list[str], tell: Tell
) -> dict[str, Any] | None:
    settings = plan.curate
    if not settings.verify:
        sieve.drop("wrong", "not asked for: curate.verify is false", [])
        return None
    verdicts, sandbox = verify(sieve.kept, prompts, settings, tell)
    judged = [
        (sample.sample, question_of(plan, prompts[sample.id], sample.sample).key, float(verdict.right))
        for sample, verdict in zip(sieve.kept, verdicts, strict=True)
        if verdict.right is not None
    ]
    in_order = np.array([right for *_, right in sorted(judged)])  # of asking
    if found := find_change("share that is right", in_order, logarithms=False):
        warnings.append(found.sentence)
    dropped = [
        (sample, verdict.why or "the task judges it wrong")
        for sample, verdict in zip(sieve.kept, verdicts, strict=True)
        if verdict.right is False
    ]
    sieve.drop("wrong", "the task judges the answer wrong", dropped)
    return sandbox


def _drop_contaminated(sieve: _Curation, fence: HeldOut) -> None:
    dropped = []
    for sample in sieve.kept:
        for text in (user_text(sample.prompt), f"{sample.reasoning or ''}\n{sample.answer}"):
            if shared := fence.shares(text):
                dropped.append((sample, f'shares "{shared[:120]}" with the held-out set'))
                break
    sieve.drop("contaminated", "shares wording with the evaluation set", dropped)


def _duplicates(sieve: _Curation, settings: CurationRules, tell: Tell) -> None:
    if settings.duplicates:
        tell("duplicates", 0, None)
        found = exact([_whole(sample) for sample in sieve.kept])
        sieve.drop(
            "duplicate", "says what an earlier one says", _as_dropped(sieve.kept, found.items(), "says")
        )
    if settings.near_duplicates:
        tell("near duplicates", 0, None)
        alike = near([_whole(sample) for sample in sieve.kept], settings.near_duplicates)
        pairs = ((at, other) for at, (other, _) in alike.items())
        sieve.drop(
            "near_duplicate",
            f"shares {settings.near_duplicates:.0%} of its word triples with an earlier one",
            _as_dropped(sieve.kept, pairs, "nearly says"),
        )


def _crowd(sieve: _Curation, settings: CurationRules) -> None:
    """Keep a few answers of each prompt: the shortest, which digress least."""
    if not settings.most_per_prompt:
        return
    by_prompt: dict[str, list[Sample]] = defaultdict(list)
    for sample in sieve.kept:
        by_prompt[sample.id].append(sample)
    dropped = [
        (sample, f"{settings.most_per_prompt} shorter ones of its prompt are kept")
        for crowd in by_prompt.values()
        for sample in sorted(crowd, key=lambda s: (len(_whole(s)), s.sample))[settings.most_per_prompt :]
    ]
    sieve.drop("per_prompt", "more answers of one prompt than the plan wants", dropped)


def _as_dropped(
    samples: list[Sample], pairs: Iterable[tuple[int, int]], says: str
) -> list[tuple[Sample, str]]:
    return [
        (samples[at], f"{says} what {samples[other].id} (sample {samples[other].sample}) says")
        for at, other in pairs
    ]


def _whole(sample: Sample) -> str:
    return f"{user_text(sample.prompt)}\n{sample.reasoning or ''}\n{sample.answer}"


def _example(sample: Sample, prompt: Prompt) -> Example:
    return Example(
        sample.id,
        sample.sample,
        sample.prompt,
        sample.reasoning,
        sample.answer,
        prompt.task,
        prompt.expected,
        sample.usage["output_tokens"],
    )


def verify(
    samples: list[Sample], prompts: dict[str, Prompt], settings: CurationRules, tell: Tell
) -> tuple[list[AnswerVerdict], dict[str, Any] | None]:
    """Return a verdict for each sample, and how programs were confined (None if there were none)."""
    limits = ProgramLimits(settings.code_seconds, settings.code_mib)
    runs_code = any(prompts[sample.id].task == CODE for sample in samples)
    sandbox = confinement() if runs_code else None

    def judge(sample: Sample) -> AnswerVerdict:
        prompt = prompts[sample.id]
        if prompt.task == CODE:
            return judge_within(prompt.expected, sample.answer, limits)
        return task(prompt.task).judge(prompt.expected, sample.answer)

    verdicts: list[AnswerVerdict] = []
    with ThreadPoolExecutor(max(1, (os.cpu_count() or 1) if runs_code else 1)) as pool:
        for verdict in pool.map(judge, samples):
            verdicts.append(verdict)
            tell("verify", len(verdicts), len(samples))
    return verdicts, sandbox
