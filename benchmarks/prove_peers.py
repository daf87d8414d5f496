"""Runs the peers' own code on the same answers; what cannot be run reports why. Used by `prove.py`."""

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from stillwatch.prove.lineage import LineageError, Role
from stillwatch.prove.lineage.checkup import area
from stillwatch.prove.lineage.margins import choose_field
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.likeness import Likeness, likeness, prompt_likeness, tokens

DLI_PROMPTS = 100
MET_PROMPTS, MET_SHUFFLES, MET_CHARACTERS = 100, 100, 500


def focused(pool: Pool) -> Callable[[str], Likeness]:
    """Return similarities with any model in focus, every prompt compared once."""
    models = pool.models
    whole = likeness(pool, models[0])
    every = np.full((len(pool.prompts), len(models), len(models)), np.nan, np.float32)
    for at, prompt in enumerate(pool.prompts):
        rows = np.array([i for i, m in enumerate(models) if prompt in pool.answers[m]])
        alike = prompt_likeness([tokens(pool.answers[models[i]][prompt][0]) for i in rows])
        every[at][np.ix_(rows, rows)] = alike
    return lambda name: replace(whole, focus=name, by_prompt=every[:, models.index(name)].astype(float))


def run(
    data: Any, folder: Path | None, seed: int, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[str, Any]]:
    """Run each available peer."""
    if folder is not None:
        sys.path.append(str(folder))
    try:
        from modelaudit.methods.dli import _compute_behavior_similarity, _extract_behavior_signature
    except ImportError as why:
        yield "knowlyr-modelaudit", {"not run": f"{why}; pip install --target DIR knowlyr-modelaudit"}
    else:
        yield (
            "knowlyr-modelaudit 0.4.1, DLI",
            _dli(data, _extract_behavior_signature, _compute_behavior_similarity),
        )
    try:
        from model_equality_testing.algorithm import run_two_sample_test
        from model_equality_testing.distribution import CompletionSample
    except ImportError as why:
        yield "model-equality-testing", {"not run": f"{why}; pip install --target DIR model-equality-testing"}
    else:
        yield (
            "model-equality-testing 0.0.2, MMD, Hamming (wants two answers a prompt, has one)",
            list(_equality(data.pool, pairs, run_two_sample_test, CompletionSample, seed)),
        )
    for name in ("llm-dna 1.0.1", "llm-fingerprinter 0.4.2"):
        yield (
            name,
            {"not run": "compares sentence embeddings, whose weights it fetches from a hub; none here"},
        )


def _dli(data: Any, sign: Callable[[list[str]], Any], compare: Callable[[Any, Any], float]) -> dict[str, Any]:
    prompts = data.pool.prompts[:DLI_PROMPTS]
    signed = {
        m: sign([data.pool.answers[m][p][0] for p in prompts if p in data.pool.answers[m]])
        for m in data.pool.models
    }
    models = data.pool.models
    called = [compare(signed[a], signed[b]) >= 0.80 for i, a in enumerate(models) for b in models[i + 1 :]]
    blank = likeness(data.pool.of(models, data.pool.prompts[:1]), models[0])
    right: list[float] = []
    wrong: list[float] = []
    first = of = 0
    for name, model in data.labels.models.items():
        if model.role is not Role.STUDENT or name not in data.pool.answers:
            continue
        try:
            where = choose_field(blank, data.lineage, name)
        except LineageError:
            continue
        likest = {
            f: max(compare(signed[name], signed[models[r]]) for r in where.versions[f])
            for f in where.families
        }
        of += 1
        first += max(likest, key=lambda f: likest[f]) in model.teachers
        for family, value in likest.items():
            (right if family in model.teachers else wrong).append(value)
    return {
        "prompts": len(prompts),
        "pairs of all models called derived": f"{np.mean(called):.2f} of {len(called)}",
        "teacher families called derived": f"{np.mean([x >= 0.8 for x in right]):.2f} of {len(right)}",
        "other families called derived": f"{np.mean([x >= 0.8 for x in wrong]):.2f} of {len(wrong)}",
        "teacher family first": f"{first / of:.2f} ({first}/{of})",
        "AUC": round(area(right, wrong), 3),
    }


def _equality(
    pool: Pool, pairs: Sequence[tuple[str, str]], test: Any, sample: Any, seed: int
) -> Iterator[dict[str, Any]]:
    import torch

    torch.manual_seed(seed)
    for a, b in pairs:
        if a not in pool.answers or b not in pool.answers:
            continue
        ids = [p for p in pool.prompts if p in pool.answers[a] and p in pool.answers[b]][:MET_PROMPTS]
        samples = [_characters([pool.answers[m][p][0] for p in ids], sample) for m in (a, b)]
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            p_value, statistic = test(
                *samples, pvalue_type="permutation_pvalue", stat_type="mmd_hamming", b=MET_SHUFFLES
            )
        yield {
            "pair": f"{a} / {b}",
            "prompts": len(ids),
            "statistic": f"{statistic:.3f}",
            "p": f"{p_value:.3f}",
        }


def _characters(answers: list[str], sample: Any) -> Any:
    codes = np.full((len(answers), MET_CHARACTERS), -1)
    for row, answer in enumerate(answers):
        cut = [ord(c) for c in answer[:MET_CHARACTERS]]
        codes[row, : len(cut)] = cut
    return sample(prompts=np.arange(len(answers)), completions=codes, m=len(answers))
