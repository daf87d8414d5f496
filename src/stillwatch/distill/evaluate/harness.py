"""Runs tasks of EleutherAI's evaluation harness, if the package `lm-eval` is installed.

It is not part of the extra, since it brings a large set of packages of its own.
Null, Blind to, Fooled by: the harness's own; its tasks may well be in a model's training data.
"""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.evaluate import Evaluation
from stillwatch.distill.train.models import load_to_run

Say = Callable[[str], None]


def harness(
    places: dict[str, str], seed: int, settings: Evaluation, run: DistillRun, say: Say
) -> dict[str, Any]:
    """Evaluate models on tasks of the harness: {model: {task: {metric: value}}}.

    Raises: DistillError if the package is not installed or does not know a task.
    """
    try:
        lm_eval = import_module("lm_eval")
        wrapped = import_module("lm_eval.models.huggingface")
        tasks = import_module("lm_eval.tasks").TaskManager(include_path=_own_tasks(run))
    except ModuleNotFoundError as why:
        raise DistillError(f"[evaluate] lm_eval needs {why.name}: pip install 'lm-eval[hf]'") from why
    unknown = [name for name in settings.lm_eval if not tasks.match_tasks([name])]
    if unknown:
        raise DistillError(f"[evaluate] lm_eval: the harness knows no task {', '.join(unknown)}")
    by_task = {}
    for name, place in places.items():
        say(f"{name}: {', '.join(settings.lm_eval)} in lm-eval")
        loaded = load_to_run(place, seed)
        model = wrapped.HFLM(
            pretrained=loaded.model, tokenizer=loaded.tokenizer, batch_size=settings.batch, backend="causal"
        )
        result = lm_eval.simple_evaluate(
            model=model,
            tasks=list(settings.lm_eval),
            limit=settings.lm_eval_limit or None,
            task_manager=tasks,
            random_seed=settings.seed,
            verbosity="ERROR",
        )
        by_task[name] = {
            task: {k: v for k, v in scores.items() if isinstance(v, int | float)}
            for task, scores in result["results"].items()
        }
    return by_task


def _own_tasks(run: DistillRun) -> str | None:
    """Return the run's folder `lm-eval`, which holds the user's own tasks in the harness's YAML."""
    folder = run.path / "lm-eval"
    return str(folder) if folder.is_dir() else None
