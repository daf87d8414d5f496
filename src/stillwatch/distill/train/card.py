"""The student's card: its sources, and their terms.

Terms follow a model's outputs: some licences (Gemma's, Llama's) call models trained on them derivatives. The
teacher's licence and terms are therefore written where the student's user looks first.
"""

import json
from pathlib import Path

from stillwatch.distill import DistillRun
from stillwatch.distill.rows import read_json
from stillwatch.distill.train import TrainingResult

UNKNOWN = "not stated"


def write_card(folder: Path, run: DistillRun, trained: TrainingResult) -> None:
    """Write README.md (with the metadata block that model hubs read) into a student's folder."""
    teacher = read_json(run.teacher) if run.teacher.exists() else {}

    def fact(name: str) -> str:
        value = teacher.get(name)
        return " ".join(str(value).split()) if value not in (None, "", []) else UNKNOWN

    lines = [
        "---",
        "tags: [distilled, stillwatch]",
        f"license: {json.dumps('other')}",
        f"license_name: {json.dumps('that of the teacher: ' + fact('licence'), ensure_ascii=True)}",
        f"base_model: {json.dumps(_public_name(trained.student))}",
        "---",
        "",
        "# A distilled student",
        "",
        f"Trained by Stillwatch on what another model said. Teacher: {_quote(fact('model'))}.",
        "",
        "| | |",
        "|---|---|",
        *(
            f"| {name} | {_quote(value)} |"
            for name, value in (
                ("teacher's licence", fact("licence")),
                ("its text", fact("licence_url")),
                ("teacher's terms", fact("terms_url")),
                ("training on its outputs", fact("training")),
                ("what its terms say", fact("quote")),
                ("by whose leave", fact("i_may")),
                ("student before training", _public_name(trained.student)),
                ("method", f"{trained.method}, learning {trained.learn}"),
                ("examples", f"{trained.examples:,} ({trained.learnt_tokens:,} tokens)"),
                ("steps, seed", f"{trained.steps:,}, {trained.seed}"),
            )
        ),
        "",
        "Whoever passes this student on passes these terms on with it.",
        "",
    ]
    (folder / "README.md").write_text("\n".join(lines), encoding="utf-8", errors="backslashreplace")


def _public_name(place: str) -> str:
    """
    >>> _public_name("/home/ada/models/acme-7b"), _public_name("acme/acme-7b")
    ('acme-7b', 'acme/acme-7b')
    """
    return Path(place).name if place.startswith(("/", ".", "~")) else place  # the card goes where it goes


def _quote(text: str) -> str:
    """Escape a text for a Markdown table: no row break, HTML or link."""
    for special in "\\`*_[]<>|":
        text = text.replace(special, f"&#{ord(special)};")
    return text
