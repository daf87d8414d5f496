"""`stillwatch prove lineage` and `prove lineage-check`: ranks among audited models, and how reliable.

The ranks are made in `prove.lineage`.
"""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.prove import Evidence, evidence_json, outcome
from stillwatch.prove.cli.identify import AS_IT_ANSWERS, EndpointOptions, Store
from stillwatch.prove.cli.prove import app, say_left_out
from stillwatch.prove.identify.asking import AskingOptions, answers_of, choose_prompts
from stillwatch.prove.lineage import LineageError
from stillwatch.prove.lineage.checkup import Checkup, checkup
from stillwatch.prove.lineage.evidence import ALPHA, ALPHA_NONE, trace
from stillwatch.prove.lineage.reading import month, read_lineage
from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.likeness import likeness
from stillwatch.prove.pool.reading import read_pool
from stillwatch.prove.recording import is_recording
from stillwatch.report.terminal import plain_table, progress, safe
from stillwatch.stats.intervals import wilson

PoolFiles = Annotated[
    list[Path], typer.Option("--pool", metavar="FILE", help="Outputs of models; may be given again.")
]
LineageFiles = Annotated[
    list[Path],
    typer.Option(
        "--lineage", metavar="FILE", help="Who came from whom: TOML, CSV or JSON; may be given again."
    ),
]
Suspect = Annotated[
    str, typer.Argument(help="A file of outputs, an address, weights, or a model of the pool.")
]
Prompts = Annotated[int, typer.Option(min=30, help="Prompts to ask an endpoint, of the pool's.")]
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.5, help="Chance of a false accusation, over all.")]


@verb(app, "lineage")
def lineage_command(
    suspect: Suspect,
    pool_files: PoolFiles,
    lineage_files: LineageFiles,
    name: Annotated[str, typer.Option(help="What to call the suspect of a file.")] = "",
    released: Annotated[
        str, typer.Option(help="When the suspect came out: 2026-03. Later ones are left out.")
    ] = "",
    base: Annotated[str, typer.Option(help="The family its weights start from; it is no candidate.")] = "",
    alpha: Alpha = ALPHA,
    alpha_none: Annotated[
        float, typer.Option(min=0.0001, max=0.5, help="Chance that a student is said to be of nobody.")
    ] = ALPHA_NONE,
    out: Annotated[Path | None, typer.Option(help="Write the evidence there, for `prove verdict`.")] = None,
    prompts: Prompts = 200,
    endpoint: EndpointOptions = AS_IT_ANSWERS,
    store: Store = Path("suspect-answers.sqlite"),
    as_json: AsJson = False,
) -> None:
    """Rank the candidates for a suspect among audited models (grade B).

    $ stillwatch prove lineage acme-7b.jsonl --pool pool.parquet --lineage lineage.toml --released 2026-03
    $ stillwatch prove lineage acme-7b --pool pool.parquet --lineage lineage.toml --out acme.json
    $ stillwatch prove verdict acme.json coin.json
    $ stillwatch prove lineage http://localhost:8000/v1 --model f-1 --pool pool.jsonl --lineage lineage.toml

    The pool holds the candidates and the audited models on the same prompts. Exit codes: 0 ranked; 2 nothing
    can be compared; 3 ranked, and rows of a file were left out.
    """
    when = month(released, "--released") if released else ""
    lineage = read_lineage(lineage_files)
    way = endpoint.asking(store)
    pool, called = with_suspect(read_pool(pool_files), suspect, name, way, prompts, as_json)
    with progress(Console(stderr=True), as_json) as tell:
        traced = trace(
            pool, lineage, called, released=when, base=base, alpha=alpha, alpha_none=alpha_none, tell=tell
        )
    if out is not None:
        evidence_json.write(traced.evidence, out)
    if as_json:
        print_json(evidence_json.as_json(traced.evidence) | {"outcome": _outcome(traced.evidence)})
    else:
        print_evidence(traced.evidence, Console())
        if traced.left_out:
            print(f"{len(traced.left_out)} models left out: they answer too few of these prompts")
    say_left_out(pool.unread)


@verb(app, "lineage-check")
def lineage_check_command(
    pool_files: PoolFiles,
    lineage_files: LineageFiles,
    alpha: Alpha = ALPHA,
    prompts: Annotated[int, typer.Option(min=30, help="Use only so many prompts, the first by id.")] = 1
    << 20,
    as_json: AsJson = False,
) -> None:
    """Judge every known student of a pool as an unknown suspect, with and without its teachers.

    $ stillwatch prove lineage-check --pool pool.parquet --lineage lineage.toml
    $ stillwatch prove lineage-check --pool pool.parquet --lineage lineage.toml --alpha 0.1 --json

    Run it before testing a suspect: it shows how reliable an accusation by this pool is.
    """
    lineage = read_lineage(lineage_files)
    pool = read_pool(pool_files)
    pool = pool.of(pool.models, pool.prompts[:prompts])
    with progress(Console(stderr=True), as_json) as tell:
        alike = likeness(pool, pool.models[0], lambda done, of: tell("comparing answers", done, of))
    found = checkup(alike, lineage, alpha)
    if not found.tried:
        raise LineageError("no model of the pool is a student with a teacher among its candidates")
    if as_json:
        print_json(_check_document(found, len(pool.prompts), alpha))
    else:
        _print_check(found, len(pool.prompts), alpha, Console())
    say_left_out(pool.unread)


def with_suspect(
    pool: Pool, suspect: str, name: str, way: AskingOptions, prompts: int, quiet: bool
) -> tuple[Pool, str]:
    """Find a suspect in the pool, read its file, or ask it the pool's prompts. Raises: ProveError."""
    if suspect in pool.answers and not name:
        return pool, suspect
    path = Path(suspect)
    if not is_recording(suspect):
        if "://" not in suspect and not path.exists():
            raise PoolError(f"{suspect}: neither a file, nor an address, nor a model of the pool")
        called = name or way.manners.model or path.stem
        chosen = choose_prompts(pool, pool.models, prompts)
        with progress(Console(stderr=True), quiet) as tell:
            own = answers_of(suspect, called, chosen, way, lambda done, of: tell("asking", done, of))
        return pool.joined(own), called
    if not path.exists():
        raise PoolError(f"{suspect}: no such file, and no model of the pool")
    own = read_pool([path], name=name)
    if len(own.models) > 1 and not name:
        raise PoolError(f"{path}: holds {len(own.models)} models; say which with --name")
    called = name or own.models[0]
    if called not in own.answers:
        raise PoolError(f"{path}: has no answers of {called!r}")
    return pool.joined(own.of([called])), called


def print_evidence(evidence: Evidence, console: Console) -> None:
    """Print rows, checks, and what the result does not mean."""
    console.print(safe(f"{evidence.suspect}: grade {evidence.grade}, {evidence.method}", console))
    graded = any(row.p_value is not None for row in evidence.rows)
    numbers = ("prompts", "effect", *(("95 %", "p", "adjusted") if graded else ()))
    shown = plain_table(console, ("candidate", *numbers), right=numbers)
    for row in evidence.rows:
        cells: list[RenderableType] = [
            safe(row.name, console, 40),
            str(row.n),
            f"{row.effect:+.3f}" if graded else f"{row.effect:.3f}",
        ]
        if graded and row.effect_low is not None and row.effect_high is not None:
            cells.append(f"{row.effect_low:+.2f} to {row.effect_high:+.2f}")
        if row.p_value is not None and row.p_adjusted is not None:
            cells += [f"{row.p_value:.3f}", f"{row.p_adjusted:.3f}"]
        shown.add_row(*cells)
    console.print(shown)
    sentences = [f"effect: {evidence.unit}"]
    if graded:
        sentences += [
            f"null: {evidence.null}",
            f"alpha {evidence.alpha:g}, floor {evidence.p_floor:.3f}. {evidence.power}",
        ]
    sentences.append(f"outcome: {_outcome(evidence)}")
    sentences += [
        f"{'fine ' if confound.clear else 'mind '} {confound.what}: {confound.found}"
        for confound in evidence.confounds
    ]
    for sentence in (*sentences, *evidence.means_not):
        console.print(safe(sentence, console, 600), soft_wrap=True)


def _outcome(evidence: Evidence) -> str:
    found = evidence.found()
    named = f": {found[0].name}" if found else ""
    return f"{outcome((evidence,))}{named}"


def _check_document(found: Checkup, prompts: int, alpha: float) -> dict[str, Any]:
    return {
        "prompts": prompts,
        "alpha": alpha,
        **found.count(),
        "auc": found.auc(),
        "skipped": list(found.skipped),
        "students_each": [
            {
                "student": trial.student,
                "kin": trial.kin,
                "teachers": sorted(trial.teachers),
                "first": trial.present.standings[0].family,
                "p_adjusted": trial.present.standings[0].p_adjusted,
                "accused": trial.present.accused,
                "accused_with_teacher_absent": trial.absent.accused if trial.absent else None,
            }
            for trial in found.tried
        ],
        "innocents_each": [{"model": model, "accused": whom} for model, whom in found.innocents],
    }


def _print_check(found: Checkup, prompts: int, alpha: float, console: Console) -> None:
    heads = ("student", "taught by", "likest", "adjusted p", "accused", "without its teachers")
    shown = plain_table(console, heads, right=("adjusted p",))
    for trial in found.tried:
        first = trial.present.standings[0]
        without = "" if trial.absent is None else trial.absent.accused or "nobody"
        shown.add_row(
            safe(trial.student, console, 40), safe(", ".join(sorted(trial.teachers)), console, 40),
            safe(first.family, console, 24), f"{first.p_adjusted:.3f}",
            safe(trial.present.accused or "nobody", console, 24), safe(without, console, 24),
        )  # fmt: skip
    console.print(shown)
    n = found.count()
    for what, count, of in (
        ("a teacher is the likest candidate", n["teacher_first"], n["students"]),
        (f"a teacher is named at {alpha:g}", n["teacher_named"], n["students"]),
        ("another family is named", n["other_named"], n["students"]),
        ("somebody is named although the teachers are absent", n["absent_accused"], n["teacher_absent"]),
        ("somebody is named for an innocent", n["innocents_accused"], n["innocents"]),
    ):
        low, high = wilson(count, of)
        print(f"{what}: {count} of {of} (95 %: {low:.0%} to {high:.0%})")
    print(
        f"AUC {found.auc():.3f} over all pairs of student and candidate; {prompts} prompts, {n['kins']} kins"
    )
    if found.skipped:
        print(one_line(f"no teacher among the candidates of: {', '.join(found.skipped)}"))
