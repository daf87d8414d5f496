"""Write what samples buy: `scan/curve.toml`, from students that benchmarks/distill.py trained.

    python benchmarks/distill.py OUT          # about 40 CPU-minutes
    python benchmarks/curve.py OUT            # from its scores
    python benchmarks/curve.py --page         # from the table it left in docs/distill-training.md

Only students of the greedy teacher that learned traces count, and only sizes that all the seeds have.
`--page` also writes `scan/real_student.toml`, from the table of SmolLM2 in docs/figures/distill-training.md.
"""

import json
import re
import sys
from collections import defaultdict
from pathlib import Path

from arguments import parser_of

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "distill-training.md"
FILE = ROOT / "src" / "stillwatch" / "scan" / "curve.toml"
HELD_OUT = 1000
ROW = re.compile(r"^\| greedy \| traces \| ([\d,]+) \| ([\d,]+) \| ([\d. /]+) \|")
REAL_PAGE = ROOT / "docs" / "figures" / "distill-training.md"
REAL_FILE = FILE.with_name("real_student.toml")
REAL_HEAD = re.compile(r"^\| samples \| teacher tokens \| right of ([\d,]+) held out \|")
REAL_ROW = re.compile(r"^\| ([\d,]+) \| [\d,]+ \| ([\d.]+) % \(")
TEACHER = re.compile(r"^Teacher: ([\d.]+)%")

Found = dict[int, tuple[int, tuple[int, ...]]]  # samples -> tokens, right of HELD_OUT for each seed


def of_page(text: str) -> tuple[int, Found]:
    """Parse the table of benchmarks/distill.py: the teacher's right answers, then each size."""
    teacher, found = 0, {}
    for line in text.splitlines():
        if told := TEACHER.match(line):
            teacher = round(float(told[1]) / 100 * HELD_OUT)
        if row := ROW.match(line):
            right = tuple(round(float(share) / 100 * HELD_OUT) for share in row[3].split("/"))
            found[int(row[1].replace(",", ""))] = (int(row[2].replace(",", "")), right)
    return teacher, found


def of_scores(out: Path) -> tuple[int, Found]:
    """Read the scores in a folder of benchmarks/distill.py."""
    each: dict[int, dict[int, dict]] = defaultdict(dict)
    for path in out.glob("greedy_traces_*/score.json"):
        score = json.loads(path.read_text())
        each[score["samples"]][score["seed"]] = score
    seeds = max((len(by_seed) for by_seed in each.values()), default=0)
    found = {
        n: (by_seed[min(by_seed)]["tokens"], tuple(by_seed[s]["right"] for s in sorted(by_seed)))
        for n, by_seed in each.items()
        if len(by_seed) == seeds
    }
    return json.loads((out / "teacher.json").read_text())["right"], found


def written(teacher: int, found: Found) -> str:
    """Return the file."""
    seeds = len(next(iter(found.values()))[1])
    lines = [
        "# What samples of a teacher bought a student, as measured. Written by benchmarks/curve.py.",
        "# Source: docs/distill-training.md (benchmarks/distill.py): greedy teacher, traces learnt.",
        "# A toy: 63 thousand parameters on the arithmetic of a dial. It is no forecast for a large model.",
        'task = "clock"',
        "student_parameters = 63_000",
        "guessing = 0.1 # a dial of ten",
        f"held_out = {HELD_OUT:_}",
        f"teacher_right = {teacher:_}",
        f"seeds = {list(range(1, seeds + 1))}",
    ]
    for n, (tokens, right) in sorted(found.items()):
        lines += ["", "[[point]]", f"samples = {n:_}", f"tokens = {tokens:_}", f"right = {list(right)}"]
    return "\n".join(lines) + "\n"


def real(text: str) -> str:
    """Return the file of the real student from its table."""
    lines = text.splitlines()
    head = next(n for n, line in enumerate(lines) if REAL_HEAD.match(line))
    of = int(REAL_HEAD.match(lines[head])[1].replace(",", ""))
    rows = [row for line in lines[head + 1 :] if (row := REAL_ROW.match(line))]
    found = {int(row[1].replace(",", "")): round(float(row[2]) / 100 * of) for row in rows}
    told = [
        "# What samples of a teacher bought a real model, as measured. Written by benchmarks/curve.py.",
        "# Source: docs/figures/distill-training.md: all weights learn, one seed, one student a size.",
        "# The task is a toy: arithmetic on a dial. It is no forecast for a large model.",
        'model = "SmolLM2-135M"',
        f"held_out = {of}",
        f"before = {found.pop(0)}",
    ]
    for n, right in sorted(found.items()):
        told += ["", "[[point]]", f"samples = {n:_}", f"right = {right}"]
    return "\n".join(told) + "\n"


def main() -> None:
    """Write the file, or report that its sources are missing."""
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--page", action="store_true", help="from the table in docs/distill-training.md")
    told = parser.parse_args()
    if told.page == (told.out is not None):
        parser.error("name the folder of benchmarks/distill.py, or --page")
    teacher, found = of_page(PAGE.read_text()) if told.page else of_scores(told.out)
    if not found:
        sys.exit("no student of the greedy teacher that learnt traces is there")
    FILE.write_text(written(teacher, found))
    if told.page:
        REAL_FILE.write_text(real(REAL_PAGE.read_text()))
    print(f"{FILE}: {len(found)} sizes, {', '.join(f'{n:,}' for n in sorted(found))}")


if __name__ == "__main__":
    main()
