"""Shared by distill's verbs: options that override a plan, opening a run, progress, messages."""

import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillwatch.cli.folder import table, whoami
from stillwatch.cli.main import one_line
from stillwatch.distill import DistillError, DistillRun
from stillwatch.distill.collect import CollectionResult
from stillwatch.distill.collect import Progress as Asked
from stillwatch.distill.collect.ask import collect_run
from stillwatch.distill.collect.stored import is_stale, write_stored
from stillwatch.distill.curate.run import curate_run
from stillwatch.distill.plan import DistillPlan, load, text
from stillwatch.distill.prepare import PreparedRun, prepare
from stillwatch.distill.rows import read_json, replace_file
from stillwatch.distill.teachers import warning
from stillwatch.errors import InputError
from stillwatch.report.amounts import plural
from stillwatch.report.terminal import progress as bars
from stillwatch.units import utc_us

PARTLY, SPENT, INTERRUPTED = 3, 4, 130  # exit codes
LINE_EVERY_S = 60.0
SHOWN = 5  # rejected lines, failures


Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the plan.")
]
FolderOf = Annotated[Path | None, typer.Option("--folder", help="The run's folder.")]


def write_starter(file: Path, content: str, force: bool, what_next: str) -> None:
    """Write a file to start from, or print it for `-`. Raises: InputError if the file exists."""
    if str(file) == "-":
        print(content, end="")
        return
    if file.exists() and not force:
        raise InputError(f"{file}: is there already; --force writes over it")
    replace_file(file, [content.encode()])
    print(f"{file} is written; {what_next}")


@dataclass(frozen=True)
class PlanOptions:
    """The options that override a plan; each stands for one of its keys."""

    base_url: Annotated[str | None, typer.Option(help="The teacher's OpenAI-compatible address.")] = None
    model: Annotated[str | None, typer.Option(help="The teacher's name there.")] = None
    prompts: Annotated[Path | None, typer.Option("--prompts", help="File of prompts, JSON lines.")] = None
    heldout: Annotated[
        Path | None, typer.Option("--heldout", help="File of held-out prompts, JSON lines.")
    ] = None
    task: Annotated[
        str | None, typer.Option("--task", help="Task that makes the prompts, or judges the file's.")
    ] = None
    n: Annotated[int | None, typer.Option("-n", "--n", help="How many prompts.")] = None
    samples: Annotated[int | None, typer.Option("--samples", help="Answers to each prompt.")] = None
    max_tokens: Annotated[int | None, typer.Option(help="The longest answer, in tokens.")] = None
    i_may: Annotated[
        str | None, typer.Option(help="Why you may, where the teacher's terms say you may not.")
    ] = None
    folder: FolderOf = None
    set_: Set = None

    @property
    def as_plan(self) -> dict[str, Any]:
        """The given options, by the plan's keys."""
        given = {
            "teacher.base_url": self.base_url,
            "teacher.model": self.model,
            "teacher.i_may": self.i_may,
            "prompts.file": None if self.prompts is None else str(self.prompts),
            "prompts.task": self.task,
            "prompts.n": self.n,
            "heldout.file": None if self.heldout is None else str(self.heldout),
            "collect.samples": self.samples,
            "collect.max_tokens": self.max_tokens,
            "folder": None if self.folder is None else str(self.folder),
        }
        return {key: value for key, value in given.items() if value is not None} | sets(self.set_)


@dataclass(frozen=True)
class BudgetOptions:
    """The options that limit spending."""

    usd: Annotated[float | None, typer.Option(help="Budget: US dollars.")] = None
    tokens: Annotated[int | None, typer.Option(help="Budget: tokens, in and out.")] = None
    requests: Annotated[int | None, typer.Option(help="Budget: requests sent.")] = None

    @property
    def as_plan(self) -> dict[str, Any]:
        """The given options, by the plan's keys."""
        return {f"budget.{name}": value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True)
class StepOptions:
    """The options of a step of an existing run."""

    folder: FolderOf = None
    set_: Set = None

    def open(self, where: Path | None) -> tuple[DistillRun, DistillPlan]:
        """Open an existing run, and its plan with changes; nothing is prepared again."""
        at = where or self.folder
        if at is None:
            raise InputError("which run? give its folder, or its plan")
        elsewhere = {"folder": str(self.folder)} if self.folder is not None and where is not None else {}
        declared = load(at, sets(self.set_) | elsewhere)
        run = DistillRun(Path(declared.folder))
        if not run.prompts.exists():
            raise InputError(
                f"{run.path}: nothing was collected there yet; `stillwatch distill collect` begins"
            )
        collected_plan = load(run.path, {})  # with the options used for collecting
        plan = replace(
            collected_plan, curate=declared.curate, train=declared.train, evaluate=declared.evaluate
        )
        if plan != collected_plan:  # otherwise the run's own plan would train another student next time
            replace_file(run.plan, [text(plan).encode()])
        if is_stale(run):
            write_stored(run, plan)
        return run, plan


NO_OPTIONS, NO_BUDGET, AS_PLANNED = PlanOptions(), BudgetOptions(), StepOptions()


def begun(plan: DistillPlan, where: Path | None, given: dict[str, Any]) -> PreparedRun:
    """Create a run's folder, or open it, and report anything unusual about it."""
    new_prompts = any(key.partition(".")[0] in ("prompts", "heldout") for key in given)
    compose_anew = where is None or not where.is_dir() or new_prompts
    prepared = prepare(plan, whoami(), utc_us(), compose_anew)
    if words := warning(prepared.teacher):
        say(f"warning: {words}")
    for row in prepared.rejected[:SHOWN]:
        say(f"rejected: {row}")
    if len(prepared.rejected) > SHOWN:
        say(f"rejected: {len(prepared.rejected) - SHOWN:,} more, see {prepared.run.path / 'rejected.jsonl'}")
    if prepared.duplicates or prepared.contaminated:
        say(
            f"left out: {plural(prepared.duplicates, 'prompt')} asked twice, "
            f"{prepared.contaminated:,} that the held-out set has too"
        )
    return prepared


def collect(prepared: PreparedRun, plan: DistillPlan, quiet: bool) -> CollectionResult:
    """Collect, with a progress bar on a terminal."""
    with watching(quiet) as tell:
        return collect_run(prepared.run, plan, tell, say)


def curate(run: DistillRun, plan: DistillPlan, quiet: bool) -> dict[str, Any]:
    """Curate, with progress bars, and report if programs were not confined."""
    with bars(Console(stderr=True), quiet) as tell:
        account = curate_run(run, plan, tell)
    for words in account["warnings"]:
        say(f"warning: {words}")
    sandbox = account["sandbox"]
    if sandbox and not (sandbox["network"] and sandbox["files"]):
        say("warning: this kernel does not confine programs fully: see sandbox in curation.json")
    return account


@contextmanager
def watching(quiet: bool) -> Iterator[Callable[[Asked], None]]:
    """Show a bar with the spending on a terminal; elsewhere print a line every minute."""
    console = Console(stderr=True)
    if quiet:
        yield lambda asked: None
        return
    if not console.is_terminal:
        yield _lines()
        return
    shown = Progress(
        TextColumn("collect"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.description}", markup=False),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    bar = shown.add_task("", total=None)

    def tell(progress_now: Asked) -> None:
        shown.update(
            bar, completed=progress_now.done, total=progress_now.total, description=_words(progress_now)
        )

    with shown:
        yield tell


def _lines() -> Callable[[Asked], None]:
    last = time.monotonic()

    def tell(progress_now: Asked) -> None:
        nonlocal last
        if time.monotonic() - last >= LINE_EVERY_S:
            last = time.monotonic()
            say(f"{progress_now.done:,} of {progress_now.total:,} answers, {_words(progress_now)}")

    return tell


def _words(progress_now: Asked) -> str:
    cost = "" if progress_now.usd is None else f", ${progress_now.usd:,.4f}"
    words = f"{progress_now.tokens:,} tokens{cost}, {progress_now.requests:,} requests"
    if progress_now.failed:
        words += f", {progress_now.failed:,} failed"
    if progress_now.waits:
        words += f" ({one_line(progress_now.waits)[:60]})"
    return words


def tell_collected(run: DistillRun, collected: CollectionResult) -> None:
    """Print what is stored and what it cost."""
    spent = read_json(run.spent)
    cost = "" if spent["usd"] is None else f", ${spent['usd']:,.4f}"
    used = spent["input_tokens"] + spent["output_tokens"]
    print(
        f"{collected.answers:,} of {collected.wanted:,} answers are stored ({collected.new:,} new), "
        f"{plural(spent['requests'], 'request')}, {used:,} tokens{cost}"
    )
    doubt = spent["in_doubt"]
    if doubt["requests"]:
        print(
            f"  in doubt: {plural(doubt['requests'], 'request')} whose end was not seen; they count as "
            f"{doubt['tokens']:,} tokens of the budget"
        )
    for words in spent["teacher"]["warnings"]:
        say(f"warning: {words}")
    for count, words in collected.failures:
        print(f"  {plural(count, 'answer')} missing: {one_line(words)[:300]}")


def tell_curated(run: DistillRun, account: dict[str, Any]) -> None:
    """Print what each filter dropped."""
    rows = [
        (
            filter_["name"],
            f"{filter_['dropped']:,}",
            filter_["reason"],
            filter_["examples"][0]["reason"] if filter_["examples"] else "",
        )
        for filter_ in account["filters"]
    ]
    table(("filter", "dropped", "what it drops", "for example"), rows, "")
    print(f"{account['kept']:,} of {account['collected']:,} answers are kept in {run.curated_file}")


def leave(prepared: PreparedRun, collected: CollectionResult) -> None:
    """Exit with the code for how complete the collection is. Raises: DistillError if it had to stop."""
    if collected.interrupted:
        raise typer.Exit(INTERRUPTED)
    if collected.by_budget:
        say(f"stopped: {collected.stopped}; a larger budget goes on from here")
        raise typer.Exit(SPENT)
    if collected.stopped:
        raise DistillError(
            f"{collected.stopped}. {collected.answers:,} of {collected.wanted:,} answers are stored and "
            "stay; the same command goes on"
        )
    if prepared.rejected or collected.answers < collected.wanted:
        raise typer.Exit(PARTLY)


def sets(pairs: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE pairs; the value is TOML if it parses, else text."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: KEY=VALUE is wanted, as in collect.samples=4")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            found[key.strip()] = value
    return found


def say(words: str) -> None:
    """Print a line for a person, on stderr."""
    print(f"stillwatch: {one_line(words)}", file=sys.stderr, flush=True)
