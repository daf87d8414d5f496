"""How much a student learns from its samples: `python benchmarks/distill.py OUT` (about 40 CPU-minutes).

Students of the clock task, trained by `stillwatch.distill.train` on the teacher's answers, with and without
its steps, three seeds each; and a noisy teacher's, with all answers and with only the right ones. Every
student is a permanent folder in OUT: the command can be killed and rerun; two can share it (`--part 1/2`).

It measures a mechanism on a toy: 63 thousand parameters do not show how many samples a large model needs.
"""

import json
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from arguments import parser_of
from pages import put
from stillwatch.distill import Example
from stillwatch.distill.embedded.clock import ClockProblem, problems
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.evaluate.generate import GeneratedAnswer, write
from stillwatch.distill.rows import read_json, replace_file, write_json, write_rows
from stillwatch.distill.train import Training
from stillwatch.distill.train.models import load
from stillwatch.distill.train.run import train
from stillwatch.distill.train.wording import wording
from stillwatch.stats.intervals import wilson

SAMPLES = (125, 250, 500, 1000, 2000)
STEEP = (250, 500, 1000)  # where the curve rises
SEEDS = (1, 2, 3)
HELD_OUT = 1000
NOISY = 1000  # paid answers of the noisy teacher
BEGIN, END = "<!-- benchmarks/distill.py -->", "<!-- to here -->"
NOISE = 1.9  # its temperature


@dataclass(frozen=True)
class Arm:
    """One student: its teacher, its number of samples, and its seed."""

    teacher: str  # "greedy", "noisy, all", "noisy, right only"
    learn: str
    samples: int  # paid for
    seed: int

    @property
    def folder(self) -> str:
        return f"{self.teacher.replace(', ', '-').replace(' ', '-')}_{self.learn}_{self.samples}_{self.seed}"


def arms() -> list[Arm]:
    """Return all students, most informative first: the steep part of the curve, then its ends, then noise."""
    curve = [
        Arm("greedy", learn, n, seed) for n in SAMPLES for seed in SEEDS for learn in ("traces", "answers")
    ]
    steep = [arm for arm in curve if arm.samples in STEEP]
    noisy = [
        Arm(kept, "traces", NOISY, seed) for seed in SEEDS for kept in ("noisy, all", "noisy, right only")
    ]
    steep.sort(key=lambda arm: arm.seed)
    return (
        steep
        + [arm for arm in curve if arm.samples < STEEP[0]]
        + noisy
        + [arm for arm in curve if arm.samples > STEEP[-1]]
    )


def asked(one: ClockProblem) -> tuple[dict[str, str], ...]:
    return ({"role": "user", "content": one.prompt},)


def collect(out: Path) -> None:
    """Query the teacher once, greedily and noisily, and score it on the held-out problems."""
    if (out / "teacher.json").exists():
        return
    out.mkdir(parents=True, exist_ok=True)
    loaded = load(str(teacher(1, print)))
    words = wording(loaded.model, loaded.tokenizer)

    def answers(some: list[ClockProblem], temperature: float) -> list[GeneratedAnswer]:
        return write(
            loaded, words, [asked(p) for p in some], new_tokens=64, batch=256, temperature=temperature, seed=1
        )

    told: dict[str, object] = {}
    began = time.process_time()
    for name, count, temperature in (("greedy", max(SAMPLES), 0.0), ("noisy", NOISY, NOISE)):
        taught = problems(count, 1)
        wrote = answers(taught, temperature)
        # the second folder of a pair holds the answers that a verifier would accept
        write_rows(out / f"{name}.jsonl", [_example(p, w) for p, w in zip(taught, wrote, strict=True)])
        right = sum(w.answer == p.answer for p, w in zip(taught, wrote, strict=True))
        told[name] = {"asked": count, "right": right, "tokens": sum(w.tokens for w in wrote)}
    told["sampling_cpu_s"] = round(time.process_time() - began, 1)
    tested = problems(HELD_OUT, 1, held_out=True)
    told["right"] = sum(w.answer == p.answer for p, w in zip(tested, answers(tested, 0.0), strict=True))
    told["about"] = read_json(teacher(1) / "stillwatch.json")
    write_json(out / "teacher.json", told)


def _example(one: ClockProblem, wrote: GeneratedAnswer) -> Example:
    return Example(
        one.id, 0, asked(one), wrote.reasoning or "", wrote.answer or "", "clock", one.answer, wrote.tokens
    )


def student(out: Path, arm: Arm) -> None:
    """Train and score one student, unless that was done."""
    folder = out / arm.folder
    if (folder / "score.json").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    source = out / ("greedy.jsonl" if arm.teacher == "greedy" else "noisy.jsonl")
    rows = [json.loads(line) for line in source.read_text().splitlines()][: arm.samples]
    kept = [
        Example(**row)
        for row in rows
        if row["answer"]
        and row["reasoning"]
        and ("right" not in arm.teacher or row["answer"] == row["expected"])
    ]
    write_rows(folder / "curated.jsonl", kept)
    trained = train(
        folder,
        Training(
            learn=arm.learn,
            steps=1400,
            batch=48,
            learning_rate=5e-3,
            checkpoint_every=200,
            seed=arm.seed,
            device="cpu",
        ),
        lambda _: None,
    )
    loaded = load(str(trained.model))
    tested = problems(HELD_OUT, 1, held_out=True)
    wrote = write(
        loaded,
        wording(loaded.model, loaded.tokenizer),
        [asked(p) for p in tested],
        new_tokens=64,
        batch=256,
    )
    right = sum(w.answer == p.answer for p, w in zip(tested, wrote, strict=True))
    paid = sum(row["tokens"] for row in rows) if arm.learn == "traces" else sum(2 for _ in rows)
    score = asdict(arm) | {
        "kept": len(kept),
        "tokens": paid,
        "right": right,
        "n": HELD_OUT,
        "train_cpu_s": trained.cpu_s,
        "loss": trained.loss[-1].loss,
    }
    replace_file(folder / "score.json", [json.dumps(score).encode() + b"\n"])
    print(f"{arm.folder}: {right / HELD_OUT:.1%}, {trained.cpu_s:.0f} CPU-s", flush=True)


def table(out: Path) -> list[str]:
    """Return the measured table in Markdown: seeds side by side, their mean, and what it cost."""
    scores = [json.loads(path.read_text()) for path in sorted(out.glob("*/score.json"))]
    teach = read_json(out / "teacher.json")
    low, high = wilson(teach["right"], HELD_OUT)
    lines = [
        f"Teacher: {teach['right'] / HELD_OUT:.1%} ({low:.1%} to {high:.1%}) of {HELD_OUT:,} held out; "
        f"trained in {teach['about']['cpu_s']:.0f} CPU-s.",
        f"Noisy teacher (temperature {NOISE}): {teach['noisy']['right'] / NOISY:.1%} of {NOISY:,} right.",
        "",
        "| teacher | learnt | samples | tokens | right, each seed | mean | CPU-s each |",
        "|---|---|--:|--:|---|--:|--:|",
    ]
    keys = sorted(
        {(s["teacher"], s["learn"], s["samples"]) for s in scores},
        key=lambda k: (k[0] != "greedy", k[1] == "answers", k),
    )
    for key in keys:
        some = sorted(
            (s for s in scores if (s["teacher"], s["learn"], s["samples"]) == key), key=lambda s: s["seed"]
        )
        shares = [s["right"] / s["n"] for s in some]
        seeds = " / ".join(f"{100 * x:.1f}" for x in shares)
        cpu_s = statistics.mean(s["train_cpu_s"] for s in some)
        lines.append(
            f"| {key[0]} | {key[1]} | {key[2]:,} | {some[0]['tokens']:,} | {seeds} | "
            f"{100 * statistics.mean(shares):.1f} % | {cpu_s:.0f} |"
        )
    return lines


def picture(out: Path) -> str:
    """Draw the curve as a small SVG: share right by samples (log), a dot per seed, a line for the mean."""
    scores = [json.loads(path.read_text()) for path in sorted(out.glob("greedy_*/score.json"))]
    wide, high, left, top = 520, 220, 46, 14
    across = {n: left + 30 + i * (wide - 60) / (len(SAMPLES) - 1) for i, n in enumerate(SAMPLES)}
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide + left + 90} {high + 60}" role="img" '
        'font-family="sans-serif" font-size="12" aria-label="Share of held-out problems solved, by '
        "number of the teacher's samples\">",
        f'<rect width="{wide + left + 90}" height="{high + 60}" fill="#fffefc"/>',
    ]
    for percent in (0, 25, 50, 75, 100):
        y = top + high * (1 - percent / 100)
        parts.append(f'<path d="M{left} {y:.1f}h{wide}" stroke="#e3ddd2"/>')
        parts.append(
            f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end" fill="#625b51">{percent} %</text>'
        )
    chance = top + high * 0.9
    parts.append(f'<path d="M{left} {chance:.1f}h{wide}" stroke="#625b51" stroke-dasharray="2 4"/>')
    for n, x in across.items():
        parts.append(
            f'<text x="{x:.1f}" y="{top + high + 18}" text-anchor="middle" fill="#625b51">{n:,}</text>'
        )
    parts.append(
        f'<text x="{left + wide / 2}" y="{top + high + 38}" text-anchor="middle" fill="#625b51">'
        "samples of the teacher</text>"
    )
    for learn, colour, name in (
        ("traces", "#c4682e", "steps and answer"),
        ("answers", "#235a78", "answer only"),
    ):
        means = []
        for n, x in across.items():
            shares = [s["right"] / s["n"] for s in scores if s["learn"] == learn and s["samples"] == n]
            if not shares:
                continue
            means.append((x, top + high * (1 - statistics.mean(shares))))
            parts += [
                f'<circle cx="{x:.1f}" cy="{top + high * (1 - s):.1f}" r="3" fill="{colour}" opacity="0.5"/>'
                for s in shares
            ]
        if not means:
            continue
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y in means)
        parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{means[-1][0] + 8:.1f}" y="{means[-1][1] + 4:.1f}" fill="{colour}">{name}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--part", default="1/1", help="which part of the students, as 2/3")
    parser.add_argument("--table", action="store_true", help="only print what stands")
    parser.add_argument("--picture", type=Path, help="write the curve as SVG")
    parser.add_argument("--page", type=Path, help="put the table between the marks of a page")
    told = parser.parse_args()
    if not told.table:
        collect(told.out)
        part, parts = (int(x) for x in told.part.split("/"))
        for place, arm in enumerate(arms()):
            if place // 2 % parts == part - 1:
                student(told.out, arm)
    if told.picture:
        told.picture.write_text(picture(told.out))
    lines = table(told.out)
    if told.page:
        put(told.page, BEGIN, END, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
