"""The page of the story: its figures first, then each act with the command that made it."""

import platform
from pathlib import Path

from jinja2 import FileSystemLoader
from parties import Desk

from stillwatch.report import sheet

HERE = Path(__file__).parent
SHOWN_LINES = 40
MADE_UP = (
    "People, accounts and the operator are simulated. Real are the arrival times, and the texts where "
    "docs/range-scenes.md says so.",
    "Both logs come from this project's own range, and the operator sends one template to both providers. "
    "Other operators give less away: docs/benchmarks.md has how many are missed.",
    "The models count words. They remember more of what they were taught than a language model does, so this "
    "proof needs fewer coins than a real one: docs/coin.md has the figures for neural students.",
    "All of it runs on one machine within minutes. So the seals are seconds older than the coins and the "
    "model, and the cloud's word for their dates comes from the same clock.",
    "The innocent model was taught other answers of the same teacher to the same questions. One innocent "
    "that is not accused measures no error rate.",
)


def write_page(desk: Desk, path: Path) -> None:
    """Write one page that stands alone: no script, no request."""
    environment = sheet.environment("stillwatch.report", FileSystemLoader(HERE))
    style = sheet.file_of("stillwatch.report", "page.css") + (HERE / "story.css").read_text("utf-8")
    told = environment.get_template("story.html.j2").render(
        style=style,
        policy=sheet.policy(style),
        chapters=desk.chapters,
        outcome=desk.outcome,
        limits=desk.limits,
        made_up=MADE_UP,
        lines=SHOWN_LINES,
        machine=platform.platform(terse=True),
    )
    path.write_text(told, "utf-8")
