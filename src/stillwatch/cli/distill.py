"""`stillwatch distill`: from a teacher's answers to a measured student. It parses words and prints.

What needs PyTorch is imported when its verb runs.
"""

import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stillwatch.cli.folder import AsJson, table, whoami
from stillwatch.cli.main import one_line
from stillwatch.distill import DistillError, Run
from stillwatch.distill.collect import Collected
from stillwatch.distill.collect import Progress as Asked
from stillwatch.distill.collect.ask import collect_run, estimate
from stillwatch.distill.curate.run import curate_run
from stillwatch.distill.plan import Plan, load
from stillwatch.distill.prepare import Prepared, prepare
from stillwatch.distill.rows import read_json, read_prompts, replace_file
from stillwatch.distill.teachers import warning
from stillwatch.errors import InputError
from stillwatch.report.amounts import counted
from stillwatch.report.terminal import progress as bars

app = typer.Typer(
    help="From a teacher's answers to a measured student.", no_args_is_help=True, add_completion=False
)

PARTLY, SPENT, INTERRUPTED = 3, 4, 130  # exit codes
SHOWN = 5  # rejected lines, failures

EXIT = """
Exit codes: 0 done; 2 could not, what was collected stays; 3 done, but lines were rejected or answers are
missing; 4 stopped at the budget; 130 interrupted.
"""
NEW_EXAMPLES = """
Examples:

  stillwatch distill new clock.toml

  stillwatch distill new - | less
"""
ESTIMATE_EXAMPLES = """
Examples:

  stillwatch distill estimate plan.toml

  stillwatch distill estimate plan.toml --samples 4 --json
"""
COLLECT_EXAMPLES = f"""
Examples:

  stillwatch distill collect plan.toml

  stillwatch distill collect runs/clock --usd 10        the same run, with more to spend

  stillwatch distill collect --base-url http://127.0.0.1:8000/v1 --model acme-7b --prompts p.jsonl \\
    --folder run --requests 500

{EXIT}"""
CURATE_EXAMPLES = """
Examples:

  stillwatch distill curate runs/clock

  stillwatch distill curate plan.toml --set curate.near_duplicates=0.8 --json
"""
STEP_EXAMPLES = """
Examples:

  stillwatch distill {verb} runs/clock

  stillwatch distill {verb} plan.toml --set {key}
"""
RUN_EXAMPLES = f"""
Examples:

  stillwatch distill new clock.toml && stillwatch distill run clock.toml

  stillwatch distill run plan.toml --usd 5 --set train.student=HuggingFaceTB/SmolLM2-135M

{EXIT}"""
TEACH_EXAMPLES = """
Examples:

  stillwatch distill teach

  stillwatch distill teach ./model --port 8000 --reasoning inline
"""

Where = Annotated[
    Path | None,
    typer.Argument(metavar="[PLAN]", help="A plan file, or the folder of a run.", show_default=False),
]
BaseUrl = Annotated[str | None, typer.Option(help="The teacher's OpenAI-compatible address.")]
Model = Annotated[str | None, typer.Option(help="The teacher's name there.")]
PromptsFile = Annotated[Path | None, typer.Option("--prompts", help="File of prompts, JSON lines.")]
HeldoutFile = Annotated[Path | None, typer.Option("--heldout", help="File of held-out prompts, JSON lines.")]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Task that makes the prompts, or judges the file's.")
]
N = Annotated[int | None, typer.Option("-n", "--n", help="How many prompts.")]
SamplesEach = Annotated[int | None, typer.Option("--samples", help="Answers to each prompt.")]
MaxTokens = Annotated[int | None, typer.Option(help="The longest answer, in tokens.")]
Usd = Annotated[float | None, typer.Option(help="Budget: US dollars.")]
Tokens = Annotated[int | None, typer.Option(help="Budget: tokens, in and out.")]
Requests = Annotated[int | None, typer.Option(help="Budget: requests sent.")]
IMay = Annotated[str | None, typer.Option(help="Why you may, where the teacher's terms say you may not.")]
FolderOf = Annotated[Path | None, typer.Option("--folder", help="The run's folder.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any other key of the plan.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]


@app.callback()
def distill_verbs() -> None:
    """From a teacher's answers to a measured student: one plan, and each step also alone."""


@app.command("new", epilog=NEW_EXAMPLES)
def new_command(
    file: Annotated[Path, typer.Argument(help="Where to write it; - for standard output.")],
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Write a plan to start from: it runs as it is, with a teacher of its own."""
    text = files("stillwatch.distill").joinpath("example.toml").read_text(encoding="utf-8")
    if str(file) == "-":
        print(text, end="")
        return
    if file.exists() and not force:
        raise InputError(f"{file}: is there already; --force writes over it")
    replace_file(file, [text.encode()])
    print(f"{file} is written; `stillwatch distill run {file}` does all of it")


@app.command("estimate", epilog=ESTIMATE_EXAMPLES)
def estimate_command(
    where: Where = None,
    base_url: BaseUrl = None,
    model: Model = None,
    prompts: PromptsFile = None,
    heldout: HeldoutFile = None,
    task: TaskName = None,
    n: N = None,
    samples: SamplesEach = None,
    max_tokens: MaxTokens = None,
    i_may: IMay = None,
    folder: FolderOf = None,
    set_: Set = None,
    as_json: AsJson = False,
) -> None:
    """Say what a plan may take at most, before anything is asked. Makes the run's folder; sends nothing."""
    changes = _changes(base_url, model, prompts, heldout, task, n, samples, max_tokens, i_may, folder, set_)
    plan = load(where, {"budget.requests": 0} | changes if where is None else changes)
    if plan.budget.usd is plan.budget.tokens is plan.budget.requests is None:
        plan = replace(plan, budget=replace(plan.budget, requests=0))
    made = _prepared(plan, where)
    found = estimate(plan, list(read_prompts(made.run.prompts)))
    if as_json:
        print(json.dumps(found | {"teacher": made.teacher}, indent=1))
        return
    most = "unknown (give [prices])" if found["most_usd"] is None else f"${found['most_usd']:,.4f}"
    rows = [
        ("requests", f"{found['requests']:,}"),
        ("tokens at most", f"{found['most_tokens']:,}"),
        ("of them in prompts, about", f"{found['about_input_tokens']:,}"),
        ("of them in answers, at most", f"{found['most_output_tokens']:,}"),
        ("US dollars at most", most),
        ("prices from", found["price_source"] or "nowhere"),
        ("licence of the teacher", made.teacher["licence"]),
        ("training on its answers", made.teacher["training"]),
    ]
    table(("what", "how much"), rows, "")


@app.command("collect", epilog=COLLECT_EXAMPLES)
def collect_command(
    where: Where = None,
    base_url: BaseUrl = None,
    model: Model = None,
    prompts: PromptsFile = None,
    heldout: HeldoutFile = None,
    task: TaskName = None,
    n: N = None,
    samples: SamplesEach = None,
    max_tokens: MaxTokens = None,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    i_may: IMay = None,
    folder: FolderOf = None,
    set_: Set = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask the teacher for what is missing. Killed and called again, it asks for nothing that it has."""
    changes = _changes(base_url, model, prompts, heldout, task, n, samples, max_tokens, i_may, folder, set_)
    plan = load(where, changes | _budget(usd, tokens, requests))
    made = _prepared(plan, where)
    got = _collected(made, plan, quiet or as_json)
    if as_json:
        spent = read_json(made.run.spent)
        print(json.dumps(asdict(got) | {"folder": str(made.run.path), "spent": spent}, indent=1))
    else:
        _tell_collected(made.run, got)
    _leave(made, got)


@app.command("curate", epilog=CURATE_EXAMPLES)
def curate_command(
    where: Where = None,
    folder: FolderOf = None,
    set_: Set = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Drop what a student should not see: wrong answers, duplicates, leaks of the evaluation set."""
    run, plan = _opened(where, folder, set_)
    account = _curated(run, plan, quiet or as_json)
    if as_json:
        print(json.dumps(account, indent=1))
    else:
        _tell_curated(run, account)


@app.command("train", epilog=STEP_EXAMPLES.format(verb="train", key="train.steps=400"))
def train_command(
    where: Where = None, folder: FolderOf = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Train the student on what curating left. Killed, it goes on from its last checkpoint."""
    run, plan = _opened(where, folder, set_)
    told = _train(run, plan)
    if as_json:
        print(json.dumps(told, indent=1))


@app.command("evaluate", epilog=STEP_EXAMPLES.format(verb="evaluate", key="evaluate.n=200"))
def evaluate_command(
    where: Where = None, folder: FolderOf = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Measure the student before and after, and the teacher, on the held-out set, with intervals."""
    run, plan = _opened(where, folder, set_)
    told = _evaluate(run, plan)
    if as_json:
        print(json.dumps(told, indent=1))


@app.command("report", epilog=STEP_EXAMPLES.format(verb="report", key="evaluate.n=200"))
def report_command(
    where: Where = None, folder: FolderOf = None, set_: Set = None, as_json: AsJson = False
) -> None:
    """Write the page: what was gained for each teacher token and dollar, and what is still missing."""
    run, _ = _opened(where, folder, set_)
    page = _report(run)
    if as_json:
        print(json.dumps(read_json(page.with_suffix(".json")), indent=1))
    else:
        print(f"Page: {page}")


@app.command("run", epilog=RUN_EXAMPLES)
def run_command(
    where: Where = None,
    base_url: BaseUrl = None,
    model: Model = None,
    prompts: PromptsFile = None,
    heldout: HeldoutFile = None,
    task: TaskName = None,
    n: N = None,
    samples: SamplesEach = None,
    max_tokens: MaxTokens = None,
    usd: Usd = None,
    tokens: Tokens = None,
    requests: Requests = None,
    i_may: IMay = None,
    folder: FolderOf = None,
    set_: Set = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Collect, curate, train, evaluate, report. Killed at any moment and called again, it goes on."""
    changes = _changes(base_url, model, prompts, heldout, task, n, samples, max_tokens, i_may, folder, set_)
    plan = load(where, changes | _budget(usd, tokens, requests))
    made = _prepared(plan, where)
    run = made.run
    hush = quiet or as_json
    got = _collected(made, plan, hush)
    if not as_json:
        _tell_collected(run, got)
    if got.interrupted or (got.stopped and not got.by_budget):
        _leave(made, got)
    account = _curated(run, plan, hush)
    if not as_json:
        _tell_curated(run, account)
    _train(run, plan)
    _evaluate(run, plan)
    page = _report(run)
    if as_json:
        print(json.dumps(read_json(page.with_suffix(".json")), indent=1))
    else:
        print(f"Page: {page}")
    _leave(made, got)


@app.command("teach", epilog=TEACH_EXAMPLES)
def teach_command(
    model: Annotated[
        str, typer.Argument(help="clock (the embedded teacher), a folder, a GGUF file.")
    ] = "clock",
    host: Annotated[str, typer.Option(help="The address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="The port; 0 takes a free one.", min=0, max=65535)] = 8089,
    reasoning: Annotated[
        str, typer.Option(help="Where the trace goes: field, inline (<think>) or hidden.")
    ] = "field",
    seed: Annotated[int, typer.Option(help="Of the embedded teacher's training.")] = 1,
) -> None:
    """Serve a local model as a teacher, OpenAI-compatible, until Ctrl-C."""
    from stillwatch.distill.embedded.serve.run import serve

    serve(model, host=host, port=port, reasoning=reasoning, seed=seed, say=_say)


def _train(run: Run, plan: Plan) -> dict[str, Any]:
    from stillwatch.distill.train.run import train

    train(run.path, plan.train, _say)
    return read_json(run.training)


def _evaluate(run: Run, plan: Plan) -> dict[str, Any]:
    from stillwatch.distill.evaluate.run import evaluate

    return evaluate(run.path, plan.evaluate, _say)


def _report(run: Run) -> Path:
    from stillwatch.distill.report.run import report

    return report(run.path)


def _prepared(plan: Plan, where: Path | None) -> Prepared:
    again = where is None or not where.is_dir()
    made = prepare(plan, whoami(), time.time_ns() // 1000, again)
    if words := warning(made.teacher):
        _say(f"warning: {words}")
    for one in made.rejected[:SHOWN]:
        _say(f"rejected: {one}")
    if len(made.rejected) > SHOWN:
        _say(f"rejected: {len(made.rejected) - SHOWN:,} more, see {made.run.path / 'rejected.jsonl'}")
    if made.duplicates or made.contaminated:
        _say(
            f"left out: {counted(made.duplicates, 'prompt')} asked twice, "
            f"{made.contaminated:,} that the held-out set has too"
        )
    return made


def _opened(where: Path | None, folder: Path | None, set_: list[str] | None) -> tuple[Run, Plan]:
    """A run that was begun, and its plan with changes: nothing is prepared anew."""
    at = folder or where
    if at is None:
        raise InputError("which run? give its folder, or its plan")
    plan = load(at, _sets(set_))
    if not Run(Path(plan.folder)).prompts.exists():
        raise InputError(
            f"{plan.folder}: nothing was collected there yet; `stillwatch distill collect` begins"
        )
    return Run(Path(plan.folder)), plan


def _collected(made: Prepared, plan: Plan, quiet: bool) -> Collected:
    with _watching(quiet) as tell:
        return collect_run(made.run, plan, tell, _say)


def _curated(run: Run, plan: Plan, quiet: bool) -> dict[str, Any]:
    with bars(Console(stderr=True), quiet) as tell:
        account = curate_run(run, plan, tell)
    sandbox = account["sandbox"]
    if sandbox and not (sandbox["network"] and sandbox["files"]):
        _say("warning: this kernel does not confine programs fully: see sandbox in curation.json")
    return account


@contextmanager
def _watching(quiet: bool) -> Iterator[Callable[[Asked], None]]:
    """A bar with what is spent, on a terminal; nothing elsewhere."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda asked: None
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

    def tell(asked: Asked) -> None:
        cost = "" if asked.usd is None else f", ${asked.usd:,.4f}"
        words = f"{asked.tokens:,} tokens{cost}, {asked.requests:,} requests"
        if asked.failed:
            words += f", {asked.failed:,} failed"
        if asked.waits:
            words += f" ({one_line(asked.waits)[:60]})"
        shown.update(bar, completed=asked.done, total=asked.total, description=words)

    with shown:
        yield tell


def _tell_collected(run: Run, got: Collected) -> None:
    spent = read_json(run.spent)
    cost = "" if spent["usd"] is None else f", ${spent['usd']:,.4f}"
    used = spent["input_tokens"] + spent["output_tokens"]
    print(
        f"{got.answers:,} of {got.wanted:,} answers are stored ({got.new:,} new), "
        f"{counted(spent['requests'], 'request')}, {used:,} tokens{cost}"
    )
    doubt = spent["in_doubt"]
    if doubt["requests"]:
        print(
            f"  in doubt: {counted(doubt['requests'], 'request')} whose end was not seen; they count as "
            f"{doubt['tokens']:,} tokens of the budget"
        )
    for count, words in got.failures:
        print(f"  {counted(count, 'answer')} missing: {one_line(words)[:300]}")


def _tell_curated(run: Run, account: dict[str, Any]) -> None:
    rows = [
        (
            one["name"],
            f"{one['dropped']:,}",
            one["reason"],
            one["examples"][0]["reason"] if one["examples"] else "",
        )
        for one in account["filters"]
    ]
    table(("filter", "dropped", "what it drops", "for example"), rows, "")
    print(f"{account['kept']:,} of {account['collected']:,} answers are kept in {run.curated}")


def _leave(made: Prepared, got: Collected) -> None:
    """End with the code that says how complete it is. Raises: DistillError where it had to stop."""
    if got.interrupted:
        raise typer.Exit(INTERRUPTED)
    if got.by_budget:
        _say(f"stopped: {got.stopped}; a larger budget goes on from here")
        raise typer.Exit(SPENT)
    if got.stopped:
        raise DistillError(
            f"{got.stopped}. {got.answers:,} of {got.wanted:,} answers are stored and stay; the same command "
            "goes on"
        )
    if made.rejected or got.answers < got.wanted:
        raise typer.Exit(PARTLY)


def _changes(
    base_url: str | None,
    model: str | None,
    prompts: Path | None,
    heldout: Path | None,
    task: str | None,
    n: int | None,
    samples: int | None,
    max_tokens: int | None,
    i_may: str | None,
    folder: Path | None,
    set_: list[str] | None,
) -> dict[str, Any]:
    given = {
        "teacher.base_url": base_url,
        "teacher.model": model,
        "teacher.i_may": i_may,
        "prompts.file": None if prompts is None else str(prompts),
        "prompts.task": task,
        "prompts.n": n,
        "heldout.file": None if heldout is None else str(heldout),
        "collect.samples": samples,
        "collect.max_tokens": max_tokens,
        "folder": None if folder is None else str(folder),
    }
    return {key: value for key, value in given.items() if value is not None} | _sets(set_)


def _budget(usd: float | None, tokens: int | None, requests: int | None) -> dict[str, Any]:
    given = {"budget.usd": usd, "budget.tokens": tokens, "budget.requests": requests}
    return {key: value for key, value in given.items() if value is not None}


def _sets(pairs: list[str] | None) -> dict[str, Any]:
    """Read KEY=VALUE, the value as TOML where it is some, else as text."""
    found = {}
    for pair in pairs or []:
        key, equals, value = pair.partition("=")
        if not equals or not key.strip():
            raise InputError(f"--set {pair!r}: KEY=VALUE is wanted, as in collect.samples=4")
        try:
            found[key.strip()] = tomllib.loads(f"value = {value}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = value
    return found


def _say(words: str) -> None:
    print(f"stillwatch: {one_line(words)}", file=sys.stderr, flush=True)
