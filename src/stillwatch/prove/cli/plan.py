"""`stillwatch prove plan`: how many coins an effect takes, or which effect a number of coins can find."""

from typing import Annotated

import typer

from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.prove.cli.prove import Places, Samples, app
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.leans import STATISTICS
from stillwatch.prove.planner import EFFECTS, STUDENTS, floor, needed_coins, queries, smallest_effect


@verb(app, "plan")
def plan_command(
    effect: Annotated[
        list[float] | None,
        typer.Option(help="Mean lean to what was served, in standard deviations; may be given again."),
    ] = None,
    coins: Annotated[
        int | None, typer.Option(min=1, help="Instead: what so many coins of one actor can find.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="The chance of any false finding, over all actors.")] = 1e-5,
    power: Annotated[float, typer.Option(help="The chance to find what is there.")] = 0.8,
    actors: Annotated[int, typer.Option(help="How many actors are tested at once.")] = 1,
    share: Annotated[
        float, typer.Option(min=1e-6, max=1.0, help="Share of exchanges that get a coin.")
    ] = 1.0,
    ties: Annotated[
        float, typer.Option(min=0.0, max=0.99, help="Share of pairs with one answer twice.")
    ] = 0.0,
    lost: Annotated[
        float, typer.Option(min=0.0, max=0.5, help="Share of coins without two answers: they count against.")
    ] = 0.0,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Output tokens of one answer, for the cost.")
    ] = None,
    statistic: Annotated[
        str | None, typer.Option(help=f"Its usual effect, and queries: {', '.join(STATISTICS)}.")
    ] = None,
    samples: Samples = 1,
    places: Places = PLACES,
    as_json: AsJson = False,
) -> None:
    """Report how many coins, exchanges and queries of the suspect an effect takes, before any money is spent.

    $ stillwatch prove plan
    $ stillwatch prove plan --effect 0.1 --alpha 1e-6 --actors 5
    $ stillwatch prove plan --coins 2000 --actors 3
    $ stillwatch prove plan --effect 0.48 --lost 0.05
    $ stillwatch prove plan --effect 0.05 --share 0.02 --tokens 350
    $ stillwatch prove plan --statistic continuation --samples 2 --actors 3
    """
    if statistic is not None and statistic not in STATISTICS:
        raise InputError(f"--statistic {statistic}: give one of {', '.join(STATISTICS)}")
    if statistic is not None and statistic not in EFFECTS and not effect:
        raise InputError(f"--statistic {statistic}: its effect was not measured; give --effect as well")
    each = alpha / actors
    if coins is not None:
        document = {
            "coins": coins,
            "alpha_each": each,
            "floor": floor(each),
            "effect": smallest_effect(coins, each, power),
        }
        if as_json:
            print_json(document)
        elif coins < floor(each):
            print(f"{coins:,} coins cannot reach p = {each:.2g} however they fall; {floor(each)} can")
        else:
            print(
                f"{coins:,} coins find an effect of {document['effect']:.2g} with {power:.0%} power "
                f"at {each:.2g}"
            )
        return
    measured = [
        (student, name, size)
        for student, sizes in STUDENTS.items()
        for name, size in sizes.items()
        if statistic in (None, name)
    ]
    rows = []
    for student, name, size in [("-", statistic, e) for e in effect] if effect else measured:
        need = needed_coins(size, alpha, power, actors, lost=lost)
        total_queries = None if name is None else need.coins * actors * queries(name, samples, places)
        rows.append(
            {
                "student": student, "statistic": name, "effect": need.effect, "coins": need.coins,
                "exchanges": round(need.coins / share / (1 - ties)), "queries": total_queries,
                "extra_tokens": None if tokens is None else round(need.coins / (1 - ties)) * tokens,
                "power_simulated": need.simulated, "runs": need.runs,
            }
        )  # fmt: skip
    if as_json:
        print_json({"alpha_each": each, "power": power, "floor": floor(each), "needed": rows})
        return
    heads = (
        "student", "statistic", "effect", "coins of an actor", "exchanges of the actor",
        "queries of the suspect", "power, simulated", *(("extra tokens",) if tokens else ()),
    )  # fmt: skip
    lines = [
        (
            row["student"], row["statistic"] or "-", f"{row['effect']:g}", f"{row['coins']:,}",
            f"{row['exchanges']:,}",
            "by statistic" if row["queries"] is None else f"{row['queries']:,}",
            f"{row['power_simulated']:.2f} of {row['runs']}" if row["runs"] else "by the formula",
            *((f"{row['extra_tokens']:,}",) if tokens else ()),
        )
        for row in rows
    ]  # fmt: skip
    table(heads, lines, "")
    print(f"alpha {each:.2g} for each of {actors}; fewer than {floor(each)} coins can never reach it")
    if not effect:
        print(
            "students were taught on nothing but served answers; a smaller part of them is a smaller effect"
        )
