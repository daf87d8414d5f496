"""`stillwatch pool`: sketch a public set of prompts, so that a scan detects accounts that work through it."""

import json as jsonlib
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cli.options import key_in
from stillwatch.cli.scan import KEY_VARIABLE
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.exchanges.known_pool import KnownPool, sketch_pool, texts_of
from stillwatch.exchanges.sketch import DEFAULT_KEY, Sketcher
from stillwatch.report.amounts import plural


def pool_command(
    texts: Annotated[
        list[Path],
        typer.Argument(
            help="Parquet, JSON lines, JSON, CSV or text files, one prompt a row.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="The file to write.", show_default=False)],
    name: Annotated[
        str | None, typer.Option(help="What reports call it; by default the file's name.", show_default=False)
    ] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="Column of the prompt; of several, the texts are joined.", show_default=False),
    ] = None,
    training: Annotated[
        bool, typer.Option("--training", help="People train on it: its users may become a lead.")
    ] = False,
    key_file: Annotated[
        Path | None, typer.Option(help="Key that the logs are sketched under.", envvar=KEY_VARIABLE)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,
) -> None:
    """Sketch a public set of prompts: a training set or a benchmark that accounts may work through.

    $ stillwatch pool gsm8k-test.jsonl --out gsm8k.pool && stillwatch scan logs/ --known-pool gsm8k.pool
    $ stillwatch pool alpaca_data.json --column instruction --column input --training --out alpaca.pool
    $ stillwatch pool ultrachat/*.parquet --training --out ultrachat.pool --key-file sketch.key

    Leave out --training for benchmarks, because honest companies run them too, and for sets made of users'
    requests, whose authors look like a queue. Use the key that the logs are scanned with.
    """
    called = out.name.partition(".")[0] if name is None else name
    if not called.strip() or not called.isprintable():
        raise InputError(f"--name {called!r} is no name; give a word, such as math-train")
    sketcher = Sketcher(DEFAULT_KEY if key_file is None else key_in(key_file))
    pool = sketch_pool(
        (text for path in texts for text in texts_of(path, column or ())), sketcher, called, training=training
    )
    if not len(pool):
        raise InputError(
            f"{', '.join(map(str, texts))}: no text of six tokens or more, so that there is no item"
        )
    pool.write(out)
    if json:
        print(jsonlib.dumps(_counts(pool) | {"file": str(out), "bytes": out.stat().st_size}))
        return
    print(
        f"{out}: {plural(len(pool), 'item')} of {plural(pool.texts, 'text')} ({pool.short:,} too short, "
        f"{pool.alike:,} like others), {out.stat().st_size / 1e6:.1f} MB"
    )


def _counts(pool: KnownPool) -> dict[str, int | str]:
    return {
        "name": pool.name,
        "items": len(pool),
        "texts": pool.texts,
        "short": pool.short,
        "alike": pool.alike,
    }


def register(app: typer.Typer) -> None:
    """Add this command to the top of the command line."""
    verb(app, "pool")(pool_command)
