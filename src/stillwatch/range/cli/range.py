"""`stillwatch range`: scenes with known truth; `score` is here, the rest in `run`."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli.main import print_json
from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.range.cli import run
from stillwatch.range.score import score

app = group("Benchmark defences in worlds of known truth.")
run.attach(app)


def _content(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text; a findings.json is wanted") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} holds no JSON object; a findings.json is wanted")
    return content


@verb(app, "score")
def score_command(
    findings: Annotated[
        Path, typer.Argument(metavar="FINDINGS", help="findings.json, or the folder that holds it.")
    ],
    truth: Annotated[
        Path, typer.Argument(metavar="TRUTH", help="A scene: truth.parquet, truth_exchanges.parquet.")
    ],
    exchanges: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The scene's log, if it is not in TRUTH.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(metavar="FILE", help="evidence.json; by default the one beside FINDINGS.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print every figure as JSON.")] = False,
) -> None:
    """Score findings against a scene: campaigns exposed, harvest before the alarm, honest accounts named.

    $ stillwatch range score stillwatch-report/findings.json scenes/dev-a
    $ stillwatch range score stillwatch-report scenes/dev-a --json
    $ stillwatch range score findings.json truth/ --exchanges logs.parquet
    """
    file = findings / "findings.json" if findings.is_dir() else findings
    evidence_file = file.with_name("evidence.json")
    evidence_path = evidence or (evidence_file if evidence_file.is_file() else None)
    if not truth.is_dir():
        raise InputError(f"{truth} is no folder; a scene is a folder with truth.parquet")
    result = score(
        _content(file), truth, exchanges, None if evidence_path is None else _content(evidence_path)
    )
    if as_json:
        rows = [asdict(row) for row in result.rows]
        print_json({**result.as_dict(), "beyond": result.beyond(), "rows": rows})
    else:
        print(result.table(), end="")
