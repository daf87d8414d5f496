"""`stillwatch prove questions`: export the questions of a coin test, for another client to ask."""

import json
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.coin.verify import coins, pairs
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.prove.cli.prove import TESTED, NamingSeal, Places, Samples, TestedLedger, app
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.actors import by_account, by_file, by_ledger
from stillwatch.prove.coin.choosing import choose
from stillwatch.prove.coin.leaning import begun_answers
from stillwatch.prove.coin.leans import CONTINUATIONS
from stillwatch.prove.coin.sealed import sealed_puts
from stillwatch.prove.coin.seals import read as read_sealed
from stillwatch.prove.coin.seals import sealed_coins, with_actors_of


@verb(app, "questions")
def questions_command(
    statistic: Annotated[str, typer.Option(help=", ".join((*CONTINUATIONS, "overlap")))] = "continuation",
    at: TestedLedger = TESTED,
    seal: Annotated[
        Path | None, typer.Option(help="Ask as this seal fixed it; it names pairs, places and samples.")
    ] = None,
    naming_seal: NamingSeal = None,
    actors: Annotated[Path | None, typer.Option(help="Accounts to actors, as for `prove coin`.")] = None,
    each_account: Annotated[bool, typer.Option(help="Every account is an actor of its own.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only these actors; may be given again.")] = None,
    most: Annotated[int, typer.Option(min=8, help="Pairs of one actor.")] = 400,
    places: Places = PLACES,
    samples: Samples = 1,
    seed: Annotated[int, typer.Option(help="Of the order of the pairs, as for `prove coin`.")] = 1,
    out: Annotated[Path, typer.Option(help="Where the questions go.")] = Path("questions.jsonl"),
    as_json: AsJson = False,
) -> None:
    """Write the questions that a text-based test asks the suspect, one per line, so that another client can
    ask them.

    The file does not reveal any coin. A continuation's last message is the assistant's, for the suspect to
    continue.

    $ stillwatch prove questions --seal seals/0001.json --statistic continuation --out questions.jsonl
    $ stillwatch prove questions --statistic continuation-by-prompt --actors f.json --places 4 --samples 2

    Ask each line's messages `samples` times, at temperature 1, and write lines with prompt_id and outputs.
    Then: stillwatch prove coin --statistic ... --suspect outputs.jsonl, with the same options.
    """
    if statistic not in (*CONTINUATIONS, "overlap"):
        raise InputError(f"--statistic {statistic}: give one of {', '.join((*CONTINUATIONS, 'overlap'))}")
    place, keys = at.open()
    if seal is not None:
        sealed = read_sealed(seal) if naming_seal is None else with_actors_of(read_sealed(seal), naming_seal)
        puts = sealed_puts(sealed, sealed_coins(sealed, coins(place, keys, at.reading()), place))
        test = sealed.seal["test"]
        places, samples = test.get("places", PLACES), test["samples"]
        if statistic not in test["statistics"]:
            raise InputError(f"--statistic {statistic}: the seal has {', '.join(test['statistics'])}")
    else:
        actor_of = by_file(actors) if actors else by_account if each_account else by_ledger
        puts = list(choose(pairs(place, keys, at.reading()), actor_of, most, seed, tuple(only or ())).puts)
    rows = [(put.id, put.messages) for put in puts]
    if statistic in CONTINUATIONS:
        begun = begun_answers(puts, statistic, places)
        rows = [
            (question.id, question.request_messages())
            for of_pair in begun.values()
            for question in of_pair.values()
        ]
    with refuse_os_errors(InputError, f"{out}: cannot be written"), out.open("w", encoding="ascii") as file:
        for name, messages in rows:
            line = {"prompt_id": name, "messages": list(messages), "samples": samples}
            file.write(json.dumps(line) + "\n")
    document = {"questions": len(rows), "queries": len(rows) * samples, "pairs": len(puts), "out": str(out)}
    if as_json:
        print_json(document)
        return
    print(
        f"{one_line(str(out))}: {len(rows):,} questions on {len(puts):,} pairs, {samples} times each: "
        f"{len(rows) * samples:,} queries"
    )
