"""`stillwatch economics`: the value of distillation, and what a defence makes it cost.

PyTorch is imported only by the verbs that need it.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import AsJson, table, whoami
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import group, verb
from stillwatch.distill.cli.run import PARTLY, say, write_starter
from stillwatch.distill.economics import EconomicsCell, Experiment, cells
from stillwatch.distill.economics.declare import EDITIONS, edition_text, read_experiment
from stillwatch.distill.economics.figures import EconomicsFigures, percent
from stillwatch.errors import InputError
from stillwatch.units import utc_us

app = group("What distillation is worth, and what a defence makes it cost.")

File = Annotated[
    Path | None,
    typer.Argument(metavar="[EXPERIMENT]", help="A declared experiment, TOML.", show_default=False),
]
Edition = Annotated[
    str | None, typer.Option(help=f"One that ships in the place of a file: {', '.join(EDITIONS)}.")
]
FolderOf = Annotated[Path | None, typer.Option("--folder", help="Where its data, cells and page lie.")]
TaskName = Annotated[str | None, typer.Option("--task", help="This task alone.")]
Seeds = Annotated[str | None, typer.Option("--seeds", help="These of the declared seeds, as in 1,2.")]


@dataclass(frozen=True)
class WhichExperiment:
    """The options that select an experiment."""

    file: File = None
    edition: Edition = None
    folder: FolderOf = None

    def read(self) -> Experiment:
        """Read the experiment. Raises: InputError."""
        if (self.file is None) == (self.edition is None):
            raise InputError(f"name one experiment: a file, or --edition {EDITIONS[0]}")
        return read_experiment(self.file, self.edition or "", self.folder)


@dataclass(frozen=True)
class WhichCells(WhichExperiment):
    """The options that select cells of an experiment."""

    task: TaskName = None
    seeds: Seeds = None


EXPERIMENT, CELLS = WhichExperiment(), WhichCells()


@verb(app, "new")
def new_command(
    file: Annotated[Path, typer.Argument(help="Where to write it; - for standard output.")],
    edition: Annotated[str, typer.Option(help=f"Which one: {', '.join(EDITIONS)}.")] = EDITIONS[0],
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Write a declared experiment to start from.

    $ stillwatch economics new mine.toml
    $ stillwatch economics new - | less
    """
    next_step = f"`stillwatch economics estimate {file}` says what it takes"
    write_starter(file, edition_text(edition), force, next_step)


@verb(app, "estimate")
def estimate_command(
    which: WhichCells = CELLS,
    probe: Annotated[
        bool, typer.Option(help="Try a few steps of each student here, for the time that training takes.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Report what remains to be trained, with its cost in money and time. Asks no teacher and trains nothing.

    $ stillwatch economics estimate --edition cpu
    $ stillwatch economics estimate mine.toml --task dial --no-probe --json
    """
    from stillwatch.distill.economics.estimate import estimate
    from stillwatch.distill.economics.grid import finished_cells, minutes

    experiment = which.read()
    wanted = _wanted_cells(experiment, which.task, which.seeds)
    rows = estimate(experiment, wanted, finished_cells(experiment), whoami(), utc_us(), probe, say)
    if as_json:
        print_json([asdict(row) for row in rows])
        return
    table(
        ("task", "learns", "to train", "of", "processor time", "rests on"),
        [
            (r.task, r.arm, f"{r.left:,}", f"{r.wanted:,}", minutes(r.cpu_s), r.rests_on)
            for r in rows
            if r.arm
        ],
        "",
    )
    for row in rows:
        if not row.arm:
            bill = "unknown: give plan.prices" if row.usd is None else f"${row.usd:,.2f} at most"
            print(f"{row.task}: {row.left:,} answers of the teacher to collect, {bill}")
    costs = [row.cpu_s for row in rows if row.arm]
    if None not in costs:
        total = sum(amount or 0.0 for amount in costs)
        print(f"In all {minutes(total)} of one idle core, {minutes(total / 2)} with --jobs 2 on two.")


@verb(app, "run")
def run_command(
    which: WhichCells = CELLS,
    jobs: Annotated[int, typer.Option(help="Students trained at once, each on one core.", min=1, max=64)] = 1,
    at_most: Annotated[
        float | None, typer.Option("--minutes", help="Begin no further student after so many minutes.", min=0)
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Collect, train what is missing, write the page. A killed run continues when called again.

    $ stillwatch economics run --edition cpu --jobs 2              meant for an hour on two idle cores
    $ stillwatch economics run --edition cpu --task dial --seeds 1,2 --minutes 20
    $ stillwatch economics run mine.toml                           goes on where it was stopped or killed

    Exit codes: 0 all requested students are finished; 2 could not; 3 some are missing; 130 interrupted.
    """
    from stillwatch.distill.economics.grid import gather, run

    experiment = which.read()
    wanted = _wanted_cells(experiment, which.task, which.seeds)
    _check_students(experiment, wanted)
    tell = (lambda words: None) if quiet or as_json else say
    try:
        for declared in experiment.task:
            if any(cell.task == declared.name for cell in wanted):
                gather(experiment, declared, whoami(), utc_us(), tell)
        stand = run(experiment, wanted, jobs, None if at_most is None else 60 * at_most, tell)
    except KeyboardInterrupt as stopped:
        say("interrupted: finished students stay, the same command goes on")
        raise typer.Exit(130) from stopped
    _page(experiment, as_json)
    if stand < len(wanted):
        say(f"{len(wanted) - stand:,} of {len(wanted):,} students are missing; the same command goes on")
        raise typer.Exit(PARTLY)


@verb(app, "page")
def page_command(which: WhichExperiment = EXPERIMENT, as_json: AsJson = False) -> None:
    """Write the page again from the finished students. Needs no PyTorch.

    $ stillwatch economics page mine.toml
    $ stillwatch economics page --edition cpu --json | jq '.tasks[].prices'
    """
    _page(which.read(), as_json)


def _wanted_cells(experiment: Experiment, task: str | None, seeds: str | None) -> list[EconomicsCell]:
    names = [task.name for task in experiment.task]
    if task is not None and task not in names:
        raise InputError(f"--task {task}: the experiment has {', '.join(names)}")
    chosen = set(experiment.seeds)
    if seeds is not None:
        texts = [seed.strip() for seed in seeds.split(",")]
        wrong = [seed for seed in texts if not seed.isdecimal() or int(seed) not in chosen]
        if wrong:
            raise InputError(
                f"--seeds {', '.join(wrong)}: declared are {', '.join(map(str, experiment.seeds))}; another "
                "seed has to be declared first"
            )
        chosen = {int(seed) for seed in texts}
    every = [cell for cell in cells(experiment) if task in (None, cell.task)]
    return [cell for cell in every if cell.seed in chosen or cell.spot or not cell.size]


def _check_students(experiment: Experiment, wanted: list[EconomicsCell]) -> None:
    """Refuse a missing student file before anything is paid for. Raises: InputError."""
    tasks = [task for task in experiment.task if any(cell.task == task.name for cell in wanted)]
    students = {arm.train.student for task in tasks for arm in task.arm}
    for student in students:
        if student.endswith(".gguf") and not Path(student).exists():
            raise InputError(
                f"{student} is not here: put it beside the experiment (a comment says where it is from), or "
                "take another task with --task"
            )


def _page(experiment: Experiment, as_json: bool) -> None:
    from stillwatch.distill.economics.page import write_page

    figures = write_page(experiment)
    folder = Path(experiment.folder)
    if as_json:
        print((folder / "economics.json").read_text(encoding="utf-8"), end="")
        return
    for line in figures.headline:
        print(line)
    _print_curves(figures)
    print(
        f"{figures.run:,} of {figures.declared:,} declared students were trained. "
        f"Page: {folder / 'economics.html'}"
    )


def _print_curves(figures: EconomicsFigures) -> None:
    rows = [
        (
            task.name,
            arm.arm,
            f"{size.size:,}",
            " / ".join(f"{100 * share:.1f}" for share in size.shares),
            percent(arm.curve.at(size.size)) if arm.curve else "-",
        )
        for task in figures.tasks
        for arm in task.arms
        for size in arm.sizes
    ]
    table(("task", "learns", "examples", "right, each seed, %", "curve (95 %)"), rows, "")
