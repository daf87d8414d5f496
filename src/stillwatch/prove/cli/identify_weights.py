"""`stillwatch identify weights`: which open weights were made from which.

The comparison is in `lineage.weights`.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import verb
from stillwatch.errors import InputError
from stillwatch.lineage.checkpoint import CheckpointError, ModelCheckpoint, read_checkpoint
from stillwatch.lineage.weights import TURNED_LOOK, WeightsComparison, WeightsVerdict, compare_weights
from stillwatch.prove.cli.identify import app
from stillwatch.prove.lineage.lines import family_of
from stillwatch.report.findings import write_atomically
from stillwatch.report.terminal import plain_table, progress, safe
from stillwatch.report.visible import visible
from stillwatch.toml import document

NOT_JUDGED = 3


@verb(app, "weights")
def weights_command(
    models: Annotated[
        list[str], typer.Argument(metavar="[NAME=]PLACE...", help="Folders or files, originals first.")
    ],
    kin_out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the kin, as a lineage file (TOML).")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Report which open weights were made from which: fine-tuned, merged, pruned, rounded, reordered or not.

    $ stillwatch identify weights Qwen2.5-7B/ suspect-7b/
    $ stillwatch identify weights qwen=base.gguf acme-7b=models/acme r1-distill=models/r1 --kin-out kin.toml
    $ stillwatch identify outputs.jsonl --library known --kin-file kin.toml

    List originals before models that may derive from them: a kin is named after its first model. Folders as
    on Hugging Face (safetensors), single .safetensors files, .gguf files. Needs no torch and runs no code
    from the models. Exit codes: 0 all pairs judged; 2 could not read a model; 3 some pair could not be
    judged.
    """
    read = [_read(place) for place in models]
    names = [checkpoint.name for checkpoint in read]
    if len(read) < 2:
        raise InputError("give at least two models: weights are compared with weights")
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"two models are called {twice!r}; tell them apart: NAME=PLACE")
    pairs = list(itertools.combinations(read, 2))
    found = []
    with progress(Console(stderr=True), as_json) as tell:
        for done, (first_one, other) in enumerate(pairs, 1):
            found.append(compare_weights(first_one, other))
            tell("comparing weights", done, len(pairs))
    kins = _kins(names, found)
    if kin_out is not None:
        write_atomically(kin_out, _kin_file(names, kins, found))
    if as_json:
        written = {"kind": "stillwatch weights 1", "pairs": [asdict(pair) for pair in found], "kins": kins}
        print_json(written)
    else:
        _print(found, Console())
        if kin_out is not None:
            print(f"lineages of more than one model: {len(kins)}, written to {kin_out}")
    if any(pair.verdict is WeightsVerdict.NO_JUDGEMENT for pair in found):
        raise typer.Exit(NOT_JUDGED)


def _read(argument: str) -> ModelCheckpoint:
    name, equals, place = argument.partition("=")
    if not equals or Path(argument).exists():
        name, place = "", argument
    try:
        return read_checkpoint(Path(place), name)
    except CheckpointError as why:
        raise InputError(str(why)) from why


def _kins(names: Sequence[str], found: Sequence[WeightsComparison]) -> dict[str, list[str]]:
    """Return the models of each lineage with more than one model, under the name of the first.

    A match in rotated axes alone is a lead: it makes no kin and supports no ban.
    """
    first = {name: name for name in names}
    for pair in found:
        if pair.verdict is WeightsVerdict.SAME and pair.how != TURNED_LOOK:
            one, other = sorted((first[pair.one], first[pair.other]), key=names.index)
            first = {name: one if held == other else held for name, held in first.items()}
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(first[name], []).append(name)
    return {head: members for head, members in groups.items() if len(members) > 1}


def _kin_file(names: Sequence[str], kins: dict[str, list[str]], found: Sequence[WeightsComparison]) -> str:
    """Return a lineage file that gives each model's kin, with the comparison behind it as a comment."""
    lines = ["# Kin by weights: stillwatch identify weights. A kin is called by its first model.\n"]
    for head, members in kins.items():
        for name in members:
            for pair in found:
                if pair.other == name and pair.one in members and pair.verdict is WeightsVerdict.SAME:
                    lines.append(
                        f"# {visible(pair.other)}: {pair.verdict} as {visible(pair.one)}, {pair.how}, "
                        f"{pair.layers} of {pair.of_layers} layers\n"
                    )
            base = "" if name == head else f"base = {document.quote(head)}\n"
            kin = document.quote(family_of(head)[1])
            lines.append(f"[[model]]\nname = {document.quote(name)}\nkin = {kin}\n{base}\n")
    return "".join(lines)


def _print(found: Sequence[WeightsComparison], console: Console) -> None:
    numbers = ("layers", "alike", "z", "tokens shared", "merges shared")
    shown = plain_table(console, ("model", "beside", "says", *numbers), right=numbers)
    for pair in found:
        shown.add_row(
            safe(pair.one, console, 40), safe(pair.other, console, 40), pair.verdict.value,
            f"{pair.layers} of {pair.of_layers}", f"{pair.effect:.3f}", f"{pair.z:.1f}",
            *("" if s is None else f"{s:.0%}" for s in (pair.vocabulary_shared, pair.merges_shared)),
        )  # fmt: skip
    console.print(shown)
    for pair in found:
        sentences = [f"{pair.one} and {pair.other}: {pair.verdict}{f': {pair.how}' if pair.how else ''}"]
        if pair.shape_differs:
            sentences.append(f"shapes differ: {'; '.join(pair.shape_differs)}")
        console.print(safe(". ".join(sentences), console, 400), soft_wrap=True)
    print(
        "Tokenizer and shape only say what is plausible. The same lineage can also be the same untrained "
        "start, or a third model that both come from. A model taught on the other's answers is not shown. "
        "Of the three looks only 'units in place' has an exact null; 'axes turned' makes no kin."
    )
