"""`stillwatch distill`: from a teacher's answers to a measured student.

PyTorch is imported only by the verbs that need it.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import group, verb
from stillwatch.distill import DistillRun
from stillwatch.distill.cli.run import (
    AS_PLANNED,
    NO_BUDGET,
    NO_OPTIONS,
    BudgetOptions,
    PlanOptions,
    StepOptions,
    begun,
    collect,
    curate,
    leave,
    say,
    tell_collected,
    tell_curated,
    write_starter,
)
from stillwatch.distill.collect.ask import estimate
from stillwatch.distill.embedded import has_weights
from stillwatch.distill.forecast import as_rows, disk_warning, forecast
from stillwatch.distill.plan import DistillPlan, load
from stillwatch.distill.rows import read_json, read_prompts
from stillwatch.watermark import MOST_KEYS, WINDOW
from stillwatch.watermark.keys import Owner, read_owner_key

app = group("From a teacher's answers to a measured student.")

EXIT = """
Exit codes: 0 done; 2 could not, what was collected stays; 3 done, but lines were rejected or answers are
missing; 4 stopped at the budget; 130 interrupted.
"""
COLLECT_EXAMPLES = f"""
Examples:

  stillwatch distill collect plan.toml

  stillwatch distill collect runs/clock --usd 10        the same run, with more to spend

  stillwatch distill collect --base-url http://127.0.0.1:8000/v1 --model acme-7b --prompts p.jsonl \\
    --folder run --requests 500

{EXIT}"""
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

Where = Annotated[
    Path | None,
    typer.Argument(metavar="[PLAN]", help="A plan file, or the folder of a run.", show_default=False),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress.")]


@verb(app, "new")
def new_command(
    file: Annotated[Path, typer.Argument(help="Where to write it; - for standard output.")],
    force: Annotated[bool, typer.Option(help="Write over a file that is there.")] = False,
) -> None:
    """Write a plan to start from: it runs as it is, with an embedded teacher.

    $ stillwatch distill new clock.toml
    $ stillwatch distill new - | less
    """
    text = files("stillwatch.distill").joinpath("example.toml").read_text(encoding="utf-8")
    write_starter(file, text, force, f"`stillwatch distill run {file}` does all of it")


@verb(app, "estimate")
def estimate_command(
    where: Where = None,
    options: PlanOptions = NO_OPTIONS,
    like: Annotated[
        Path | None, typer.Option(help="A run with like questions and teacher, to foretell from its answers.")
    ] = None,
    probe: Annotated[
        bool, typer.Option(help="Try a few steps of the student here, for the time that training takes.")
    ] = True,
    as_json: AsJson = False,
) -> None:
    """Report what the rest of a plan will take: money, time and disk, each as a range. Sends nothing.

    $ stillwatch distill estimate plan.toml
    $ stillwatch distill estimate plan.toml --samples 4 --json
    $ stillwatch distill collect plan.toml --requests 20 && stillwatch distill estimate plan.toml
    $ stillwatch distill estimate plan.toml --like runs/last-month --no-probe
    """
    plan = load(where, options.as_plan)
    if plan.budget.usd is plan.budget.tokens is plan.budget.requests is None:
        plan = replace(plan, budget=replace(plan.budget, requests=0))
    prepared = begun(plan, where, options.as_plan)
    prompts = list(read_prompts(prepared.run.prompts))
    found = estimate(plan, prompts)
    amounts = forecast(
        replace(plan, folder=str(prepared.run.path)),
        prompts,
        None if like is None else DistillRun(like),
        probe,
        say,
    )
    warning = disk_warning(amounts, prepared.run.path)
    if as_json:
        document = {
            "amounts": [asdict(amount) for amount in amounts],
            "disk_warning": warning,
            "teacher": prepared.teacher,
        }
        print_json(found | document)
        return
    cost = "unknown (give [prices])" if found["most_usd"] is None else f"${found['most_usd']:,.4f}"
    rows = [
        ("requests", f"{found['requests']:,}"),
        ("tokens at most", f"{found['most_tokens']:,}"),
        ("of them in prompts, about", f"{found['about_input_tokens']:,}"),
        ("of them in answers, at most", f"{found['most_output_tokens']:,}"),
        ("US dollars at most", cost),
        ("prices from", found["price_source"] or "nowhere"),
        ("licence of the teacher", prepared.teacher["licence"]),
        ("training on its answers", prepared.teacher["training"]),
    ]
    table(("at most, whatever the teacher does", "how much"), rows, "")
    print("\nStill to come:")
    table(("what", "from", "to", "rests on"), as_rows(amounts), "")
    if warning:
        say(f"warning: {warning}")


@verb(app, "collect", epilog=COLLECT_EXAMPLES)
def collect_command(
    where: Where = None,
    options: PlanOptions = NO_OPTIONS,
    limits: BudgetOptions = NO_BUDGET,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Ask the teacher for missing answers. After a kill, call it again: it asks for nothing twice."""
    plan = load(where, options.as_plan | limits.as_plan)
    prepared = begun(plan, where, options.as_plan)
    collected = collect(prepared, plan, quiet or as_json)
    if as_json:
        spent = read_json(prepared.run.spent)
        print_json(asdict(collected) | {"folder": str(prepared.run.path), "spent": spent})
    else:
        tell_collected(prepared.run, collected)
    leave(prepared, collected)


@verb(app, "curate")
def curate_command(
    where: Where = None, options: StepOptions = AS_PLANNED, quiet: Quiet = False, as_json: AsJson = False
) -> None:
    """Drop what a student should not see: wrong answers, duplicates, leaks of the evaluation set.

    $ stillwatch distill curate runs/clock
    $ stillwatch distill curate plan.toml --set curate.near_duplicates=0.8 --json
    """
    run, plan = options.open(where)
    account = curate(run, plan, quiet or as_json)
    print_json(account) if as_json else tell_curated(run, account)


@verb(app, "train", epilog=STEP_EXAMPLES.format(verb="train", key="train.steps=400"))
def train_command(where: Where = None, options: StepOptions = AS_PLANNED, as_json: AsJson = False) -> None:
    """Train the student on what curating left. A killed run continues from its last checkpoint."""
    run, plan = options.open(where)
    outcome = _train(run, plan)
    if as_json:
        print_json(outcome)


@verb(app, "evaluate", epilog=STEP_EXAMPLES.format(verb="evaluate", key="evaluate.n=200"))
def evaluate_command(where: Where = None, options: StepOptions = AS_PLANNED, as_json: AsJson = False) -> None:
    """Measure the student before and after, and the teacher, on the held-out set, with intervals."""
    run, plan = options.open(where)
    outcome = _evaluate(run, plan)
    if as_json:
        print_json(outcome)


@verb(app, "report", epilog=STEP_EXAMPLES.format(verb="report", key="evaluate.n=200"))
def report_command(where: Where = None, options: StepOptions = AS_PLANNED, as_json: AsJson = False) -> None:
    """Write the report: the gain for each teacher token and dollar, and what is still missing."""
    run, _ = options.open(where)
    page = _report(run)
    print_json(read_json(page.with_suffix(".json"))) if as_json else print(f"Page: {page}")


@verb(app, "run", epilog=RUN_EXAMPLES)
def run_command(
    where: Where = None,
    options: PlanOptions = NO_OPTIONS,
    limits: BudgetOptions = NO_BUDGET,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Collect, curate, train, evaluate, report. Continues when called again after a kill."""
    plan = load(where, options.as_plan | limits.as_plan)
    prepared = begun(plan, where, options.as_plan)
    run = prepared.run
    hush = quiet or as_json
    collected = collect(prepared, plan, hush)
    if not as_json:
        tell_collected(run, collected)
    if collected.interrupted or (collected.stopped and not collected.by_budget):
        leave(prepared, collected)
    account = curate(run, plan, hush)
    if not as_json:
        tell_curated(run, account)
    tell: Callable[[str], None] = (lambda words: None) if quiet else say
    _train(run, plan, tell)
    if collected.by_budget and plan.evaluate.teacher == "ask" and not has_weights(plan.teacher.base_url):
        say("the teacher is not asked the held-out prompts: the budget is spent")
        plan = replace(plan, evaluate=replace(plan.evaluate, teacher="skip"))
    _evaluate(run, plan, tell)
    page = _report(run)
    print_json(read_json(page.with_suffix(".json"))) if as_json else print(f"Page: {page}")
    leave(prepared, collected)


@verb(app, "teach")
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
    mark_key: Annotated[
        Path | None, typer.Option(help="Owner's key: answer requests with x-stillwatch-mark marked.")
    ] = None,
    mark_window: Annotated[int, typer.Option(help="Tokens before the marked one.", min=1, max=8)] = WINDOW,
    mark_keys: Annotated[
        int, typer.Option(help="Keys of an actor, one an answer: more variety.", min=1, max=MOST_KEYS)
    ] = 1,
) -> None:
    """Serve a local model as a teacher, OpenAI-compatible, until Ctrl-C.

    $ stillwatch distill teach
    $ stillwatch distill teach ./model --port 8000 --reasoning inline --mark-key mark.key
    """
    from stillwatch.distill.embedded.serve.run import serve

    owner = None if mark_key is None else Owner(read_owner_key(mark_key), mark_window, keys=mark_keys)
    serve(model, host=host, port=port, reasoning=reasoning, seed=seed, say=say, owner=owner)


def _train(run: DistillRun, plan: DistillPlan, tell: Callable[[str], None] = say) -> dict[str, Any]:
    from stillwatch.distill.train.run import train

    train(run.path, plan.train, tell)
    return read_json(run.training)


def _evaluate(run: DistillRun, plan: DistillPlan, tell: Callable[[str], None] = say) -> dict[str, Any]:
    from stillwatch.distill.evaluate.run import evaluate

    return evaluate(run.path, plan.evaluate, tell)


def _report(run: DistillRun) -> Path:
    from stillwatch.distill.report.page import report

    return report(run.path)
