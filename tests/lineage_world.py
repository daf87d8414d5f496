"""An invented world of models: each line of models has its own phrases, which students partly adopt.

Answers are words from a seeded generator: words that everybody uses, a line's own phrases for each prompt,
and a model's own. Nothing comes from a real model.
"""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.prove.pool import Pool

PROMPTS = 60
COMMON = [f"word{i}" for i in range(80)]


@dataclass(frozen=True)
class Made:
    """One invented model: whose phrases it uses, and how often."""

    name: str
    line: str
    own: float = 0.6  # share of phrases of its line
    teacher: str = ""
    learned: float = 0.0  # share of phrases of its teacher's line


def answers(made: Made, seed: int = 1, prompts: int = PROMPTS) -> dict[str, str]:
    """Return answers by prompt id: 20 phrases of three words each."""
    told = {}
    for number in range(prompts):
        rng = random.Random(f"{seed}/{made.name}/{number}")
        phrases = []
        for place in range(20):
            draw = rng.random()
            if draw < made.learned:
                source = made.teacher
            elif draw < made.learned + made.own:
                source = made.line
            else:
                source = ""
            if source:
                bank = random.Random(f"{source}/{number}/{place}/{rng.randrange(2)}")
                phrases.append(" ".join(f"{source}{bank.randrange(500)}" for _ in range(3)))
            else:
                phrases.append(" ".join(rng.choices(COMMON, k=3)))
        told[f"p{number:03d}"] = " ".join(phrases)
    return told


def pool_of(models: list[Made], seed: int = 1, prompts: int = PROMPTS) -> Pool:
    told = {m.name: {p: (text,) for p, text in answers(m, seed, prompts).items()} for m in models}
    ids = tuple(sorted({p for by in told.values() for p in by}))
    return Pool(ids, told, {}, {})


TEACHERS = [Made(f"{line}-{version}", line) for line in ("ash", "birch", "cedar") for version in (1, 2)]
STRANGERS = [Made(f"s{i:02d}x", f"line{i}x", own=0.5) for i in range(26)]
STUDENTS = [
    Made(f"{name}-7b", f"{name}own", own=0.3, teacher=teacher, learned=0.35)
    for name, teacher in (
        ("ada", "ash"),
        ("bea", "birch"),
        ("cyd", "cedar"),
        ("dot", "ash"),
        ("eve", "birch"),
    )
]
WORLD = TEACHERS + STRANGERS + STUDENTS


def lineage_toml(students: list[Made] = STUDENTS) -> str:
    rows: list[dict[str, Any]] = [
        {"name": m.name, "role": "candidate", "family": m.line, "maker": m.line, "released": "2024-01"}
        for m in TEACHERS
    ]
    rows += [{"name": m.name, "role": "innocent", "kin": m.name} for m in STRANGERS]
    rows += [
        {"name": m.name, "role": "student", "teachers": [m.teacher], "kin": m.name, "released": "2024-06"}
        for m in students
    ]
    return "\n".join(
        "[[model]]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in row.items())
        for row in rows
    )


def write_pool(pool: Pool, path: Path, texts: bool = False) -> Path:
    with path.open("w") as file:
        for model in pool.models:
            for prompt, told in pool.answers[model].items():
                line = {"model": model, "prompt_id": prompt, "output": told[0]}
                file.write(json.dumps(line | ({"prompt": f"Question {prompt}?"} if texts else {})) + "\n")
    return path
