"""Real students for each harvest of a run, in place of the measured curve: needs the extra `train`.

For a campaign that took a number of examples, a student is trained on that many of the embedded teacher's
answers, at the run's seed. The campaign's own questions are not used, so it measures a size, not a text.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

from stillwatch.distill import Example
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import read_json, write_rows
from stillwatch.errors import InputError
from stillwatch.range.live.students import SCORE, Spec, study
from stillwatch.range.run import RangeRun
from stillwatch.range.table import Shares

FOLDER, ANSWERS = "students", "teacher.jsonl"
MOST = 2000  # samples: the toy task is saturated long before (docs/distill-training.md)
STEPS, HELD_OUT = 1400, 1000
Tell = Callable[[str, int, int | None], None]


def sizes(result: RangeRun) -> list[tuple[int, int]]:
    """Return each (examples, seed) for which a run needs a student, defended and not."""
    harvests = {
        (_size(n), o.seed)
        for o in result.outcomes
        for f in o.campaigns
        for n in (f.examples, f.examples_undefended)
    }
    return sorted(harvests)


def _size(examples: int) -> int:
    return min(examples, MOST)


def train_students(result: RangeRun, tell: Tell, *, steps: int = STEPS, held_out: int = HELD_OUT) -> Shares:
    """Train and score every missing student; return the look-up of shares right.

    Raises:
        InputError: the extra `train` is not installed.
    """
    if find_spec("torch") is None:
        raise InputError("--students needs the extra: pip install 'stillwatch[train]'")
    folder, wanted = result.folder / FOLDER, sizes(result)
    answers = _answers(folder, max((n for n, _ in wanted), default=0), tell)
    for done, (n, seed) in enumerate(wanted):
        tell(f"student of {n} examples, seed {seed}", done, len(wanted))
        if (folder / _name(n, seed) / SCORE).exists():
            continue
        lessons = {_name(n, seed): answers[:n]}
        study(folder, lessons, Spec("", steps, held_out, seed), 1, lambda _: None)
    scores = {(n, seed): read_json(folder / _name(n, seed) / SCORE) for n, seed in wanted}

    def share(examples: int, seed: int) -> float:
        score = scores[_size(examples), seed]
        return float(score["right"]) / float(score["n"])

    return share


def _name(n: int, seed: int) -> str:
    return f"{n}-examples-seed-{seed}"


def _answers(folder: Path, count: int, tell: Tell) -> list[Example]:
    """Return the teacher's own greedy answers to a number of problems; asked once, then stored."""
    from stillwatch.distill.embedded.teacher import teacher
    from stillwatch.distill.evaluate.generate import write
    from stillwatch.distill.rows import read_examples
    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.wording import wording

    path = folder / ANSWERS
    examples = list(read_examples(path)) if path.exists() else []
    if len(examples) >= count:
        return examples[:count]
    tell("the teacher answers", 0, None)
    loaded = load(str(teacher(1)))
    prompts = [({"role": "user", "content": p.prompt},) for p in problems(count, 1)]
    wrote = write(loaded, wording(loaded.model, loaded.tokenizer), prompts, new_tokens=64, batch=256)
    folder.mkdir(parents=True, exist_ok=True)
    pairs = zip(problems(count, 1), prompts, wrote, strict=True)
    rows: Iterator[Example] = (
        Example(p.id, 0, a, w.reasoning or "", w.answer or "", "clock", p.answer, w.tokens)
        for p, a, w in pairs
    )
    write_rows(path, rows)
    return list(read_examples(path))
