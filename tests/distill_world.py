"""A small run of the clock task for the tests of training, evaluation and report, without a teacher."""

from pathlib import Path

from stillwatch.distill import Example, Prompt
from stillwatch.distill.embedded.clock import ClockProblem, problems
from stillwatch.distill.rows import write_json, write_rows


def asked(one: ClockProblem) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": one.prompt},)


def example(one: ClockProblem) -> Example:
    return Example(
        one.id, 0, asked(one), one.trace, one.answer, "clock", one.answer, len(one.trace.split()) + 4
    )


def question(one: ClockProblem) -> Prompt:
    return Prompt(one.id, asked(one), "clock", one.answer, f"{one.steps} steps")


def clock_run(folder: Path, examples: int = 60, questions: int = 20) -> Path:
    """Create a run with curated examples, held-out questions and recorded teacher answers."""
    folder.mkdir(parents=True, exist_ok=True)
    write_rows(folder / "curated.jsonl", [example(p) for p in problems(examples, 1)])
    write_rows(folder / "heldout.jsonl", [question(p) for p in problems(questions, 1, held_out=True)])
    write_json(
        folder / "teacher.json",
        {
            "model": "clock-teacher",
            "base_url": "embedded:clock",
            "licence": "Apache-2.0",
            "i_may": "it is ours",
        },
    )
    return folder
