"""Write a run's table to docs/figures/range.md, and take its picture: `range_page.py RUN_FOLDER`.

`stillwatch range run` does the run; this only copies figures from its range.json. The picture needs Debian's
chromium and the `dev` extra's playwright; without them only the table is written.
"""

import argparse
import json
import textwrap
from pathlib import Path

import msgspec

from stillwatch.range import words
from stillwatch.range.outcome import SceneOutcome
from stillwatch.range.table import ALL, ResultRow, lines

ROOT = Path(__file__).parent.parent
PAGE, PICTURE = ROOT / "docs" / "figures" / "range.md", ROOT / "docs" / "pictures" / "range-run.png"
BEGIN, END = "<!-- run: begin -->", "<!-- run: end -->"
PARTS_BEGIN, PARTS_END = "<!-- parts: begin -->", "<!-- parts: end -->"
END_OF_LINE = " \\"
CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT = 1180, 960


def table(told: list[ResultRow], scene: str) -> list[str]:
    """Format one scene's table in Markdown, bounds in brackets."""
    some = [words.row(x) for x in told if x.scene == scene]
    out = ["| " + " | ".join(words.HEADS) + " |", "|---" + "|--:" * (len(words.HEADS) - 1) + "|"]
    for row in some:
        out.append("| " + " | ".join(f"{a} ({b})" if b and b != a else a for a, b in row) + " |")
    return out


def part_by_part(told: list[ResultRow], scene: str) -> list[str]:
    """Summarise the ablations of one scene."""
    kept = (
        "defence",
        "campaigns caught",
        "false cases per 10k account-days",
        "harvest before alarm",
        "linkage, B-cubed F1",
    )
    keep = [k for k, head in enumerate(words.HEADS) if head in kept]
    out = ["| " + " | ".join(words.HEADS[k] for k in keep) + " |", "|---" + "|--:" * (len(keep) - 1) + "|"]
    for x in told:
        if x.scene == scene:
            row = words.row(x)
            out.append(
                "| "
                + " | ".join(f"{a} ({b})" if b and b != a else a for a, b in (row[k] for k in keep))
                + " |"
            )
    return out


def by_scene(told: list[ResultRow], defence: str) -> list[str]:
    """Summarise one defence over the scenes."""
    heads = (
        "scene",
        "caught",
        "false cases per 10k",
        "before alarm",
        "before containment",
        "of all",
        "student",
        "undefended",
        "cost",
        "honest accounts named",
        "of all",
    )
    out = ["| " + " | ".join(heads) + " |"]
    out.append("|---" + "|--:" * (len(heads) - 1) + "|")
    for x in told:
        if x.defence == defence and x.scene != ALL:
            row = dict(zip(words.HEADS, words.row(x), strict=True))
            share = words.cell(x.out_share, words.percent)
            free = words.cell(x.student_undefended, words.percent)
            cells = (
                *(row[h] for h in words.HEADS[1:5]), share, row["student"], free, row["cost multiple"],
                row["honest accounts named"], row["of all honest accounts"],
            )  # fmt: skip
            out.append(
                f"| {x.scene} | " + " | ".join(f"{a} ({b})" if b and b != a else a for a, b in cells) + " |"
            )
    return out


def wrapped(command: str) -> list[str]:
    """Break a long command into shell lines."""
    lines = textwrap.wrap(command, 100, break_long_words=False, break_on_hyphens=False)
    return [f"{'  ' * (n > 0)}{line}{END_OF_LINE * (n < len(lines) - 1)}" for n, line in enumerate(lines)]


def shoot(run: Path, target: Path) -> None:
    """Take a picture of the harvest and its results."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto((run.resolve() / "index.html").as_uri())
        page.evaluate("document.querySelector('#harvest').scrollIntoView({behavior: 'instant'})")
        page.screenshot(path=target)
        browser.close()


def _silent(told: list[ResultRow], scene: str, parts: bool) -> list[str]:
    """Return what could not fire, and why."""
    return [] if parts else [note for x in told if x.scene == scene and (note := words.silent(x))]


def main() -> None:
    """Write the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--command", default="", help="the command that made the run, for the page")
    parser.add_argument(
        "--parts", action="store_true", help="it is a run of ablations: write only their table"
    )
    parser.add_argument("--note", default="", help="a sentence below the table")
    asked = parser.parse_args()
    document = json.loads((asked.run / "range.json").read_text())
    manifest = json.loads((asked.run / "manifest.json").read_text())
    told = list(lines([msgspec.convert(o, SceneOutcome) for o in document["outcomes"]]))
    scenes = list(dict.fromkeys(x.scene for x in told))
    chief = ALL if ALL in scenes else scenes[0]
    first = next(x for x in told if x.scene == chief)
    seeds = sorted({s for scene in manifest["scenes"] for s in scene["seeds"]})
    where = (PARTS_BEGIN, PARTS_END) if asked.parts else (BEGIN, END)
    text = [
        *([] if asked.parts else ["## Measured"]),
        "```",
        *wrapped(asked.command or f"stillwatch range run {' '.join(s for s in scenes if s != ALL)}"),
        "```",
        f"Run `{document['id']}`: {len(scenes) - (chief == ALL)} scenes, seeds {', '.join(map(str, seeds))}, "
        f"{first.campaigns} campaigns over all seeds, all scenes together.",
        "",
        *(part_by_part(told, chief) if asked.parts else table(told, chief)),
        "",
        *([] if asked.parts else ["Stillwatch, scene by scene:", "", *by_scene(told, "stillwatch"), ""]),
        *(f"- {note}" for note in _silent(told, chief, asked.parts)),
        "",
        *([asked.note, ""] if asked.note else []),
    ]
    if CHROMIUM.exists() and not asked.parts:
        shoot(asked.run, PICTURE)
        text += [
            "![What got out before containment, and what it bought a student](../pictures/range-run.png)",
            "",
        ]
    before, _, rest = PAGE.read_text().partition(where[0])
    PAGE.write_text(before + where[0] + "\n" + "\n".join(text) + where[1] + rest.partition(where[1])[2])
    print("\n".join(text))


if __name__ == "__main__":
    main()
