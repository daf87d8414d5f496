"""Students of the answers taken: trained by `stillwatch.distill`, each in a process of its own, and scored.

Also scored are the teacher, the untrained student, and one trained only on the form (real problems, random
answers), since a student that has never seen an answer cannot even guess one.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stillwatch.distill import Example
from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import read_json, write_json, write_rows
from stillwatch.range.live import LiveError, ReceivedAnswer, StudentScore, Tell
from stillwatch.stats.intervals import wilson

SPEC, SCORE = "student.json", "score.json"
TEACHER, UNTRAINED, DRILLED = "teacher", "untrained", "drilled"
DRILL = 250  # as many as a defended campaign may get
BATCH, LEARNING_RATE = 48, 5e-3  # docs/distill-training.md


@dataclass(frozen=True)
class Spec:
    """One student to train and score."""

    name: str
    steps: int
    held_out: int
    seed: int


def examples(answers: Sequence[ReceivedAnswer]) -> list[Example]:
    """Return the examples that a student can learn from: each problem once, with its steps."""
    found: dict[str, Example] = {}
    for answer in answers:
        if answer.reasoning and answer.problem not in found:
            messages = ({"role": "user", "content": answer.problem},)
            found[answer.problem] = Example(
                f"out-{len(found)}",
                0,
                messages,
                answer.reasoning,
                answer.answer,
                "clock",
                None,
                answer.tokens,
            )
    return list(found.values())


def drill(seed: int) -> list[Example]:
    """Return problems with random answers, in the form of a teacher's."""
    draw = random.Random(f"drill/{seed}")
    rows = []
    for p in problems(DRILL, seed):
        answer, messages = str(draw.randrange(10)), ({"role": "user", "content": p.prompt},)
        rows.append(Example(p.id, 0, messages, "", answer, "clock", p.answer, 2))
    return rows


def study(folder: Path, lessons: dict[str, list[Example]], spec: Spec, at_once: int, tell: Tell) -> None:
    """Train and score all students, some in parallel. Finished ones are not repeated."""
    todo = []
    for name, rows in lessons.items():
        student_folder = folder / name
        student_folder.mkdir(parents=True, exist_ok=True)
        if rows:
            write_rows(student_folder / "curated.jsonl", rows)
        write_json(student_folder / SPEC, asdict(spec) | {"name": name})
        todo.append(student_folder)
    with ThreadPoolExecutor(at_once) as pool:
        for student_folder in pool.map(_apart, todo):
            score = read_json(student_folder / SCORE)
            n, right, learnt = score["n"], score["right"], score["examples"]
            tell(f"{student_folder.name}: {right} of {n} right after {learnt} examples")


def _apart(folder: Path) -> Path:
    """Train one student in a process of its own, with one thread, so that sums are in a fixed order."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    words = [sys.executable, "-m", "stillwatch.range.live.students", str(folder)]
    with open(folder / "log", "ab") as log:
        ended = subprocess.run(words, env=env, stdout=log, stderr=log, check=False)
    if ended.returncode or not (folder / SCORE).exists():
        raise LiveError(
            f"{folder.name}: the student could not be trained ({ended.returncode}); see {folder}/log"
        )
    return folder


def share(folder: Path) -> StudentScore:
    """Return a student's score."""
    score = read_json(folder / SCORE)
    low, high = wilson(score["right"], score["n"])
    return StudentScore(score["right"], score["n"], low, high)


def make(folder: Path) -> None:
    """Train and score the student that a folder describes, unless it is finished."""
    from stillwatch.distill.embedded.teacher import teacher
    from stillwatch.distill.evaluate.generate import write
    from stillwatch.distill.train import CLOCK, Training
    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.run import train
    from stillwatch.distill.train.wording import wording

    spec = json.loads((folder / SPEC).read_bytes())
    print_of = _print_of(folder)
    if (folder / SCORE).exists() and read_json(folder / SCORE)["of"] == print_of:
        return
    cost, count = 0.0, 0
    if spec["name"] == TEACHER:
        loaded = load(str(teacher(1)))
    elif not (folder / "curated.jsonl").exists():
        loaded = load(CLOCK, spec["seed"])
    else:
        count = len((folder / "curated.jsonl").read_bytes().splitlines())
        learn = "answers" if spec["name"] == DRILLED else "traces"
        settings = Training(
            learn=learn, steps=spec["steps"], batch=BATCH, learning_rate=LEARNING_RATE,
            checkpoint_every=200, seed=spec["seed"], device="cpu",
        )  # fmt: skip
        trained = train(folder, settings, lambda _: None)
        loaded, cost = load(str(trained.model)), trained.cpu_s
    tested = problems(spec["held_out"], 1, held_out=True)
    prompts = [({"role": "user", "content": p.prompt},) for p in tested]
    wrote = write(loaded, wording(loaded.model, loaded.tokenizer), prompts, new_tokens=64, batch=256)
    right = sum(w.answer.strip() == p.answer for p, w in zip(tested, wrote, strict=True))
    score: dict[str, Any] = {
        "of": print_of,
        "right": right,
        "n": len(tested),
        "examples": count,
        "cpu_s": cost,
    }
    write_json(folder / SCORE, score)


def _print_of(folder: Path) -> str:
    """Return a fingerprint of what determines a student."""
    import hashlib

    lessons = folder / "curated.jsonl"
    made_of = (folder / SPEC).read_bytes() + (lessons.read_bytes() if lessons.exists() else b"")
    return hashlib.sha256(made_of).hexdigest()


if __name__ == "__main__":
    make(Path(sys.argv[1]))
