"""Everything that can be used is documented: verbs, detectors, clues; and links lead to a target."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

import stillwatch
from stillwatch.cli.main import app
from stillwatch.scan.milestones import MILESTONES, OPEN_THOUGHTS, S1K, SKY_T1

ROOT = Path(__file__).parent.parent
PACKAGE = Path(stillwatch.__file__).parent
PARTS = ("Null:", "Blind to:", "Fooled by:", "Source:")
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "sample" / "README.md",
    *(ROOT / "docs").rglob("*.md"),
]


def verbs(command: Any, name: str) -> Iterator[str]:
    """Yield every command below `command`, as it is typed."""
    for word in command.list_commands(None):
        below = command.get_command(None, word)
        if hasattr(below, "commands"):
            yield from verbs(below, f"{name} {word}")
        else:
            yield f"{name} {word}"


def implementations(folder: str) -> list[Path]:
    """Return the files in a folder of the package that each implement one thing."""
    return sorted(path for path in (PACKAGE / folder).glob("*.py") if not path.name.startswith("_"))


DETECTORS = implementations("detectors")
CLUES = implementations("actors/clues")


@pytest.mark.slow
def test_every_verb_is_documented() -> None:
    text = "\n".join(page.read_text() for page in PAGES)
    missing = [verb for verb in verbs(typer.main.get_command(app), "stillwatch") if verb not in text]
    assert not missing, f"in neither README.md nor docs/: {missing}"


@pytest.mark.slow
def test_the_first_help_shows_twelve_verbs_and_names_the_others() -> None:
    told = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "80"}).output
    shown = re.findall(r"^│ ([a-z]+)  ", told, re.MULTILINE)
    others = re.findall(r"[a-z]+", told.partition("each with --help:")[2])
    assert 0 < len(shown) <= 12
    assert sorted(shown + others) == sorted(typer.main.get_command(app).list_commands(None))
    assert "…" not in told


@pytest.mark.slow
def test_no_help_cuts_an_option_s_name_at_eighty_columns() -> None:
    helps = {
        verb: CliRunner().invoke(app, [*verb.split()[1:], "--help"], env={"COLUMNS": "80"}).output
        for verb in verbs(typer.main.get_command(app), "stillwatch")
    }
    cut = {verb: re.findall(r"^│ [* ] ?(?:.* )?-\S*…", text, re.MULTILINE) for verb, text in helps.items()}
    assert "--fail-on-campaign" in helps["stillwatch scan"]
    assert not {verb: lines for verb, lines in cut.items() if lines}


def test_a_flag_that_is_off_anyway_can_be_turned_off() -> None:
    told = CliRunner().invoke(app, ["scan", "nothing.jsonl", "--no-fail-on-campaign"])
    assert "No such option" not in told.output


@pytest.mark.parametrize(
    ("words", "shown"),
    [(("terms", "allowance"), "Print a [limits] part"), (("scan",), "(needs stillwatch[spark]")],
)
def test_help_shows_words_in_brackets(words: tuple[str, ...], shown: str) -> None:
    told = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "120"}).output
    assert shown in " ".join(told.split())


@pytest.mark.parametrize(
    ("path", "page"),
    [(path, "docs/detectors.md") for path in DETECTORS] + [(path, "docs/actors.md") for path in CLUES],
    ids=lambda value: value.stem if isinstance(value, Path) else value,
)
def test_every_detector_and_clue_is_documented(path: Path, page: str) -> None:
    assert re.search(rf"\b{path.stem}\b", (ROOT / page).read_text()), f"{path.stem} is not in {page}"


@pytest.mark.parametrize("path", DETECTORS + CLUES, ids=lambda path: path.stem)
def test_every_detector_and_clue_says_what_it_assumes(path: Path) -> None:
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    missing = [part for part in PARTS if not re.search(rf"^\s*{part}\s*\S", docstring, re.MULTILINE)]
    assert not missing, f"{path.relative_to(ROOT)}: the module docstring lacks {missing}"


def test_no_merge_is_left_half_done() -> None:
    marks = ("<<<<<<< ", "=======", ">>>>>>> ")
    assert not [
        (page, line)
        for page in PAGES
        for line in page.read_text("utf-8").splitlines()
        if line.startswith(marks)
    ]


def test_links_lead_somewhere() -> None:
    missing = []
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        targets = re.findall(r"\]\(([^)#\s]+)[^)]*\)|<img[^>]+src=\"([^\"]+)\"", prose)
        local = [link or image for link, image in targets if ":" not in (link or image)]
        missing += [(page, target) for target in local if not (page.parent / target).exists()]
    assert not missing, f"links to nothing: {missing}"


def test_the_sizes_that_sufficed_are_those_of_the_meter() -> None:
    sizes = [f"{m.exchanges:,}" for m in MILESTONES]
    assert f"{', '.join(sizes[:-1])} and {sizes[-1]} examples" in (ROOT / "docs/harvest.md").read_text()
    steps = "medium from {:,} exchanges, high from {:,}, critical from {:,}"
    sized = steps.format(*(m.exchanges for m in (S1K, SKY_T1, OPEN_THOUGHTS)))
    assert sized in (ROOT / "docs/exports.md").read_text()
    assert f"those of {SKY_T1.exchanges:,} exchanges" in (ROOT / "docs/cases.md").read_text()
