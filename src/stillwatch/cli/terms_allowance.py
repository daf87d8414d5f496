"""`stillwatch terms allowance`: limits that do not affect honest use, derived from the owner's own log.

Only campaigns of a given report are excluded: an undetected thief in the log would set its own limit.
"""

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.compute as pc
import typer
from rich.console import Console

from stillwatch.cli.main import print_json
from stillwatch.cli.options import AS_CALLED, LogKey, NameOptions, sketch_key
from stillwatch.cli.reading import tell_rejects
from stillwatch.cli.terms import app
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.exchanges.read import read
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.report.findings import load
from stillwatch.report.terminal import progress
from stillwatch.terms.allowance import (
    CEILING,
    GROWTH,
    LEAST_DAYS,
    USUAL,
    Allowances,
    Spent,
    Use,
    busiest_days,
    days_of,
    least_limit,
)
from stillwatch.terms.window import BLOCK_US


@verb(app, "allowance")
def allowance_command(
    logs: Annotated[list[Path], typer.Argument(metavar="LOG...", help="Logs of quiet days, a week or more.")],
    share: Annotated[
        float, typer.Option(min=0.5, max=1.0, help="Share of accounts never above the limit.")
    ] = USUAL,
    growth: Annotated[
        float, typer.Option(min=1.0, max=100.0, help="Times its own busiest day, for an account above.")
    ] = GROWTH,
    ceiling: Annotated[
        float, typer.Option(min=1.0, max=1e6, help="Most that the log gives anyone, times everybody's.")
    ] = CEILING,
    flat: Annotated[
        bool, typer.Option("--flat", help="One limit for all: 3 times the busiest day of any account.")
    ] = False,
    refuse: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=0.5,
            metavar="SHARE",
            help="The least limit that refuses this share or less.",
        ),
    ] = None,
    report: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A scan's report: accounts it names get no more.")
    ] = None,
    key_file: LogKey = None,
    names: NameOptions = AS_CALLED,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of TOML.")] = False,
) -> None:
    """Print a [limits] part: a daily number of output tokens for everybody, more for heavier accounts.

    $ stillwatch terms allowance logs/*.parquet >> terms.toml
    $ stillwatch terms allowance stillwatch-serve --report stillwatch-report
    $ stillwatch terms allowance logs/*.parquet --flat        # affects hardly anybody; slows one loud account
    $ stillwatch terms allowance logs/*.parquet --refuse .0003  # the smallest limit with so few refusals

    Exit codes: 0 printed; 2 nothing could be read; 3 printed, but lines were rejected.
    """
    if refuse is not None and flat:
        raise InputError("--refuse and --flat each say how large the limit is: give one of them")
    accused = {a.account for a in load(report).accounts if a.campaign is not None} if report else set()
    errors = Console(stderr=True)
    with Rejects() as rejects, progress(errors, quiet=as_json) as tell:
        spent, longest = _add_up(logs, key_file, names.columns, rejects, tell)
    honest = {account: blocks for account, blocks in spent.items() if account not in accused}
    busiest = busiest_days(honest)
    if not any(busiest.values()):
        raise InputError(
            f"{', '.join(map(str, logs))}: no answer with output tokens, which an allowance is read off"
        )
    if flat:
        plan = Allowances.flat(busiest, answer=longest)
        look = "The busiest has set the limit: look at it."
    elif refuse is not None:
        plan, share_refused = _least_limit(logs, honest, refuse, longest)
        look = (
            f"Each day tried with what the days before it set: {share_refused:.3%} of requests refused. "
            f"An account without a day in the log may take {plan.usual:,} tokens, and again 20 hours later."
        )
    else:
        plan = Allowances.of(busiest, share, growth, ceiling=ceiling, answer=longest)
        look = (
            "Look at those: a thief in the log has set its own limit. "
            f"{len(plan.vouch):,} would need more than {ceiling:g} times everybody's: vouch for them or not."
        )
    if as_json:
        print_json(_allowances_as_json(plan))
    else:
        print(plan.terms(), end="")
        errors.print(
            f"{len(busiest):,} accounts, {len(plan.more):,} of them with more, by name. {look}",
            markup=False,
        )
    tell_rejects(rejects, errors)


def _least_limit(logs: list[Path], spent: Spent, refuse: float, longest: int) -> tuple[Allowances, float]:
    days = len(days_of(spent))
    if days < LEAST_DAYS:
        names = ", ".join(map(str, logs))
        raise InputError(f"{names}: {days} days; --refuse needs {LEAST_DAYS}, better a week")
    plan, share = least_limit(spent, refuse, longest)
    if share > refuse:
        raise InputError(
            f"the largest limit tried, {plan.usual:,} tokens a day, would have refused {share:.2%} of "
            "requests: a few accounts change too much from day to day. Raise --refuse, or take --flat"
        )
    return plan, share


def _allowances_as_json(allowances: Allowances) -> dict[str, object]:
    return {
        "output_tokens_per_day": allowances.usual,
        "day": "sliding",
        "answer_tokens": allowances.answer,
        "accounts": allowances.more,
        "vouch": allowances.vouch,
    }


def _add_up(
    logs: list[Path],
    key_file: Path | None,
    mapping: dict[str, str],
    rejects: Rejects,
    tell: Callable[[str, int, int], None],
) -> tuple[dict[str, dict[int, Use]], int]:
    """Return each account's use in each block, and the output tokens of the longest answer."""
    spent: dict[str, dict[int, Use]] = defaultdict(dict)
    longest = 0
    for batch in read(
        logs,
        rejects=rejects,
        keep_text=False,
        sketcher=Sketcher(sketch_key(logs, key_file)),
        progress=lambda done, total: tell("reading", done, total),
        mapping=mapping,
    ):
        _add_blocks(spent, batch)
        longest = max(longest, pc.max(batch["output_tokens"]).as_py() or 0)
    return spent, longest


def _add_blocks(spent: dict[str, dict[int, Use]], batch: pa.RecordBatch) -> None:
    """Add a batch's requests and output tokens to each account's blocks."""
    block = pc.divide(batch["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()), BLOCK_US)
    tokens = pc.fill_null(batch["output_tokens"], 0).cast(pa.int64())
    table = pa.table({"account": batch["account"].cast(pa.string()), "block": block, "tokens": tokens})
    summed = table.group_by(["account", "block"]).aggregate([("tokens", "count"), ("tokens", "sum")])
    for row in summed.to_pylist():
        of = spent[row["account"]]
        so_far = of.get(row["block"], Use(0, 0))
        of[row["block"]] = Use(so_far.requests + row["tokens_count"], so_far.tokens + row["tokens_sum"])
