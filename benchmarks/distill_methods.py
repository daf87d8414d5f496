"""Does the teacher's distribution teach more than its words? `python benchmarks/distill_methods.py OUT`.

Students of the clock task at equal teacher tokens and equal steps: taught with the teacher's words, with its
whole distribution at each of them (forward, reverse, Jensen-Shannon), and then, starting from the student of
words, with more of the words or with its distribution on the student's own texts. Two seeds. Every student is
a permanent folder in OUT: the command can be killed and run again.

It measures a mechanism on a toy, and only with this teacher, which is nearly certain of each token.
"""

import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path

from arguments import parser_of
from pages import put
from stillwatch.distill import Example
from stillwatch.distill.embedded.clock import ClockProblem, problems
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.evaluate.generate import GeneratedAnswer, write
from stillwatch.distill.rows import read_json, write_json, write_rows
from stillwatch.distill.train import Training
from stillwatch.distill.train.models import load
from stillwatch.distill.train.run import train
from stillwatch.distill.train.wording import wording
from stillwatch.stats.intervals import wilson

SEEDS = (1, 2)
SAMPLES, STEPS, MORE, BATCH = 500, 800, 150, 48
RATE, LOWER_RATE = 5e-3, 1e-3  # from scratch; from an earlier student
HELD_OUT = 1000
BEGIN, END = "<!-- benchmarks/distill_methods.py -->", "<!-- to here, methods -->"


@dataclass(frozen=True)
class Arm:
    """One way of teaching; `after` names the arm whose student it starts from."""

    name: str
    says: str
    method: str
    divergence: str = "forward"
    after: str = ""

    def settings(self, out: Path, seed: int) -> Training:
        return Training(
            student=str(out / f"{self.after}_{seed}" / "model") if self.after else "clock",
            method=self.method,
            teacher=None if self.method == "text" else str(teacher(1)),
            divergence=self.divergence,
            new_tokens=48,
            steps=MORE if self.after else STEPS,
            batch=BATCH,
            learning_rate=LOWER_RATE if self.after else RATE,
            seed=seed,
            device="cpu",
        )


ARMS = (
    Arm("text", "its words", "text"),
    Arm("forward", "its distribution at its words, forward KL", "logits", "forward"),
    Arm("reverse", "the same, reverse KL", "logits", "reverse"),
    Arm("js", "the same, Jensen-Shannon", "logits", "js"),
    Arm("more-text", "its words, then its words again", "text", after="text"),
    Arm(
        "on-policy",
        "its words, then its distribution at the student's, reverse KL",
        "on-policy",
        "reverse",
        after="text",
    ),
)


def asked(one: ClockProblem) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": one.prompt},)


def answers(place: str, some: list[ClockProblem]) -> list[GeneratedAnswer]:
    loaded = load(place)
    words = wording(loaded.model, loaded.tokenizer)
    return write(loaded, words, [asked(p) for p in some], new_tokens=64, batch=256)


def collect(out: Path) -> None:
    """Query the teacher once for all that the students learn from."""
    if (out / "curated.jsonl").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    taught = problems(SAMPLES, 1)
    pairs = zip(taught, answers(str(teacher(1, print)), taught), strict=True)
    rows = [
        Example(p.id, 0, asked(p), w.reasoning or "", w.answer, "clock", p.answer, w.tokens) for p, w in pairs
    ]
    write_rows(out / "curated.jsonl", rows)


def student(out: Path, arm: Arm, seed: int) -> None:
    """Train and score one student, unless that was done."""
    folder = out / f"{arm.name}_{seed}"
    if (folder / "score.json").exists():
        return
    folder.mkdir(exist_ok=True)
    shutil.copy(out / "curated.jsonl", folder / "curated.jsonl")
    trained = train(folder, arm.settings(out, seed), lambda words: None)
    tested = problems(HELD_OUT, 1, held_out=True)
    wrote = answers(str(trained.model), tested)
    right = sum(w.answer == p.answer for p, w in zip(tested, wrote, strict=True))
    told = {"arm": arm.name, "seed": seed, "right": right, "n": HELD_OUT}
    write_json(folder / "score.json", told | {"cpu_s": trained.cpu_s, "steps": trained.steps})
    print(f"{arm.name}, seed {seed}: {right / HELD_OUT:.1%}, {trained.cpu_s:.0f} CPU-s", flush=True)


def table(out: Path) -> list[str]:
    """Return the measured table in Markdown."""
    tokens = sum(json.loads(row)["tokens"] for row in (out / "curated.jsonl").read_text().splitlines())
    lines = [
        f"{SAMPLES} samples, {tokens:,} teacher tokens; {STEPS} steps of {BATCH}, {MORE} more in two.",
        "",
        "| taught with | steps | right, each seed (95 %) | mean | CPU-s each |",
        "|---|--:|---|--:|--:|",
    ]
    for arm in ARMS:
        some = [
            read_json(file) for seed in SEEDS if (file := out / f"{arm.name}_{seed}" / "score.json").exists()
        ]
        if not some:
            continue
        bounds = [wilson(one["right"], one["n"]) for one in some]
        each = " / ".join(
            f"{100 * one['right'] / one['n']:.1f} ({100 * low:.0f} to {100 * high:.0f})"
            for one, (low, high) in zip(some, bounds, strict=True)
        )
        mean = statistics.mean(100 * one["right"] / one["n"] for one in some)
        cpu_s = statistics.mean(one["cpu_s"] for one in some)
        lines.append(f"| {arm.says} | {some[0]['steps']:,} | {each} | {mean:.1f} % | {cpu_s:.0f} |")
    return lines


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--table", action="store_true", help="only print what stands")
    parser.add_argument("--page", type=Path, help="put the table between the marks of a page")
    told = parser.parse_args()
    if not told.table:
        collect(told.out)
        for seed in SEEDS:
            for arm in ARMS:
                student(told.out, arm, seed)
    lines = table(told.out)
    if told.page:
        put(told.page, BEGIN, END, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
