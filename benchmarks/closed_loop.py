"""The gateway's effect on an extractor's student: `python benchmarks/closed_loop.py OUT`, ten minutes a seed.

The live scenes are played with their seeds by `stillwatch.range.live`: a real teacher behind real `serve`
processes, real clients, real students. Every run is a permanent folder in OUT: after a kill it continues.
`--table --page docs/figures/range-live.md --picture docs/pictures/range-live.svg` writes the results to the
page.
"""

import json
from functools import partial
from pathlib import Path

from arguments import parser_of
from pages import put
from stillwatch.range.live import LiveOutcome, StudentScore
from stillwatch.range.live.outcome_json import outcome_of
from stillwatch.range.live.picture import SAYS, picture
from stillwatch.range.live.run import OUTCOME, run_live
from stillwatch.range.scenes import read_scene

SCENES = ("live-clock", "live-questions", "live-replaced")
BEGIN, END = "<!-- benchmarks/closed_loop.py -->", "<!-- to here -->"
HEADS = (
    "| scene | seed | arm | asked | got out | before the alarm | alarm after | last account stopped after "
    "| accounts | refused | honest accounts touched | student right |"
)


def percent(one: StudentScore | None) -> str:
    return "" if one is None else f"{one.rate:.1%} ({one.low:.1%} to {one.high:.1%})"


def hours(day: float | None, begin: float) -> str:
    return "never" if day is None else f"{(day - begin) * 24:.1f} h"


def rows(outcome: LiveOutcome) -> list[str]:
    """Return a line for each arm."""
    found = []
    begin = read_scene(outcome.scene).campaigns[0].plan.start
    for arm in outcome.arms:
        student = outcome.student(arm.name)
        fresh = f"{arm.accounts - arm.fresh} and {arm.fresh} fresh" if arm.fresh else f"{arm.accounts}"
        cells = [
            outcome.scene,
            str(outcome.seed),
            SAYS[arm.name],
            f"{arm.asked:,}",
            f"{arm.out:,}",
            f"{arm.out_before_alarm:,}",
            hours(arm.alarm_day, begin),
            hours(arm.contained_day, begin),
            fresh,
            f"{arm.refused:,}",
            f"{arm.honest_touched} of {arm.honest_accounts}",
            percent(None if student is None else student.share),
        ]
        found.append(f"| {' | '.join(cells)} |")
    return found


def table(outcomes: list[LiveOutcome]) -> list[str]:
    """Return the measured table in Markdown, with reference points for the students' scores."""
    lines = [HEADS, "|---|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|---|"]
    for outcome in outcomes:
        lines += rows(outcome)
    lines += ["", "| scene | seed | teacher | drilled in the form alone | untrained | wall s | CPU s |",
              "|---|--:|---|---|---|--:|--:|"]  # fmt: skip
    for o in outcomes:
        took = f"{o.took.get('wall_s', 0):.0f} | {o.took.get('cpu_s', 0):.0f}"
        shares = " | ".join(percent(s) for s in (o.teacher, o.drilled, o.untrained))
        lines.append(f"| {o.scene} | {o.seed} | {shares} | {took} |")
    return lines


def standing(out: Path) -> list[LiveOutcome]:
    """Return the outcomes played so far."""
    found = [json.loads(path.read_bytes()) for path in sorted(out.glob(f"*/{OUTCOME}"))]
    return sorted(map(outcome_of, found), key=lambda o: (SCENES.index(o.scene), o.seed))


def main() -> None:
    """Play, print."""
    parser = parser_of(__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--scenes", default=",".join(SCENES))
    parser.add_argument("--seeds", help="comma between; by default each scene's own")
    parser.add_argument("--table", action="store_true", help="play nothing, only tell what stands")
    parser.add_argument("--picture", type=Path, help="write the first scene's picture as SVG")
    parser.add_argument("--page", type=Path, help="put the table between the marks of a page")
    told = parser.parse_args()
    if not told.table:
        for name in told.scenes.split(","):
            scene = read_scene(name)
            for seed in map(int, told.seeds.split(",")) if told.seeds else scene.seeds:
                run_live(
                    scene, seed, told.out / f"{name}-{seed}", partial(print, f"{name}-{seed}:", flush=True)
                )
    outcomes = standing(told.out)
    if told.picture and outcomes:
        told.picture.write_text(picture([o for o in outcomes if o.scene == outcomes[0].scene]))
    lines = table(outcomes)
    if told.page:
        put(told.page, BEGIN, END, lines)
    print("\n".join(lines))


if __name__ == "__main__":
    main()
