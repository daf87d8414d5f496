"""`stillwatch prove mark` and its helpers: look for watermarks in a suspect's answers."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.audit.signing import open_signer
from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.prove import Evidence, evidence_json
from stillwatch.prove import protocol as protocols
from stillwatch.prove.cli.prove import AS_IT_IS, SuspectEndpoint, app
from stillwatch.prove.radioactivity import (
    ALPHA,
    EFFECT,
    RadioactivityError,
    RadioactivitySettings,
    TokenSelection,
)
from stillwatch.prove.radioactivity.judge import judge
from stillwatch.prove.radioactivity.plan import asked_as_planned, fixed_by, held_to, protocol, reveal
from stillwatch.prove.radioactivity.statistic import tokens_needed
from stillwatch.prove.radioactivity.texts import (
    Tokenize,
    ask,
    prompt_tokens,
    read_prompts,
    read_texts,
    tokenizer,
    tokens_of,
)
from stillwatch.prove.suspect.named import suspect as open_suspect
from stillwatch.prove.verdict import write_verdict
from stillwatch.report.amounts import iso, p_value
from stillwatch.watermark import MOST_KEYS, WINDOW, Mark
from stillwatch.watermark.formula import commitment
from stillwatch.watermark.keys import Owner, make_owner_key, read_owner_key

Suspect = Annotated[str, typer.Option(help="The suspect's name, as it is to stand in the verdict.")]
KeyFile = Annotated[Path, typer.Option("--mark-key", help="The owner's key.")]
Actor = Annotated[list[str] | None, typer.Option(help="An actor whose key is tested; may be given again.")]
Actors = Annotated[Path | None, typer.Option(help="A file of actors, one a line.")]
Window = Annotated[int, typer.Option(help="Tokens before the one that is marked.", min=1, max=8)]
Alpha = Annotated[float, typer.Option(help="Chance of accusing anybody wrongly, over all actors.")]
Keys = Annotated[
    int, typer.Option(help="Keys of an actor, one an answer, as they were served.", min=1, max=MOST_KEYS)
]
Effect = Annotated[float, typer.Option(help="The effect to be found, in nats per scored token.")]
SigningKey = Annotated[Path, typer.Option(help="The key that signs; made at first use, public half beside.")]


@verb(app, "mark-key")
def mark_key_command(
    key_file: Annotated[Path, typer.Argument(help="Where the owner's key is, or is to be made.")],
    actor: Actor = None,
    actors: Actors = None,
    keys: Keys = 1,
    as_json: AsJson = False,
) -> None:
    """Create the owner's key if there is none; print the commitments to publish for it and for actors' keys.

    $ stillwatch prove mark-key mark.key
    $ stillwatch prove mark-key mark.key --actor acct_17 --actor acct_23 --json
    """
    if not key_file.exists():
        make_owner_key(key_file)
    owner = Owner(read_owner_key(key_file), keys=keys)
    document: dict[str, object] = {"owner": commitment(owner.key)}
    names = [] if actor is None and actors is None else _names(actor, actors)
    if names:
        each = {name: [commitment(key) for key in owner.mark(name).keys] for name in names}
        document["actors"] = {name: all_of[0] if keys == 1 else all_of for name, all_of in each.items()}
    if as_json:
        print_json(document)
        return
    print(f"commitment to the owner's key: {document['owner']}")
    for name in names:
        print(f"  {one_line(name)}: {' '.join(each[name])}")
    print("publish these before the first answer is marked; the key itself stays with its owner")


@verb(app, "mark-protocol")
def mark_protocol_command(
    prompts: Annotated[
        Path, typer.Argument(help="What the suspect will be asked: lines, or rows with `prompt`.")
    ],
    suspect: Suspect,
    key_file: KeyFile,
    actor: Actor = None,
    actors: Actors = None,
    tokenizer_name: Annotated[
        str, typer.Option("--tokenizer", help="The teacher's, as `prove mark` takes it.")
    ] = "",
    window: Window = WINDOW,
    keys: Keys = 1,
    choice: Annotated[TokenSelection, typer.Option(help="Which tokens are scored.")] = TokenSelection.EACH,
    alpha: Alpha = ALPHA,
    effect: Effect = EFFECT,
    out: Annotated[Path, typer.Option(help="Where the signed protocol goes.")] = Path("protocol.dsse.json"),
    signing_key: SigningKey = Path("prove.key"),
) -> None:
    r"""Fix the test and sign it, before the suspect is asked.

    $ stillwatch prove mark-protocol prompts.txt --suspect acme-7b --mark-key mark.key --actor acct_17 \
        --tokenizer ./teacher
    """
    settings = RadioactivitySettings(window, choice, alpha, effect, keys)
    marks = _marks(key_file, actor, actors, settings)
    fixed = protocol(suspect, marks, read_prompts(prompts), settings, tokenizer_name, iso(datetime.now(UTC)))
    signed = protocols.sign(fixed, open_signer(signing_key))
    protocols.write(signed, out)
    needed = keys * tokens_needed(effect, alpha, len(marks))
    print(f"{one_line(str(out))}: {len(marks)} actors, {fixed.prompts:,} prompts, alpha {alpha:g}")
    print(f"  an effect of {effect:g} needs {needed:,} scored tokens (80 % chance)")
    print(f"  give this to somebody else before the suspect is asked: {signed.sha256}")


@verb(app, "mark-ask")
def mark_ask_command(
    suspect: Annotated[
        str, typer.Argument(help="An endpoint's address, a folder of weights, a .gguf, clock.")
    ],
    prompts: Annotated[Path, typer.Argument(help="What it is asked: lines, or rows with `prompt`.")],
    protocol_file: Annotated[
        Path | None,
        typer.Option("--protocol", help="The signed protocol: nothing else is asked than it says."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers to each prompt.")] = 1,
    asking: SuspectEndpoint = AS_IT_IS,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one answer.")] = 512,
    temperature: Annotated[float, typer.Option(help="At which it is asked.", min=0.0, max=2.0)] = 1.0,
    out: Annotated[Path, typer.Option(help="Where the answers go.")] = Path("answers.jsonl"),
) -> None:
    r"""Ask the suspect the prompts. A repeated call asks an endpoint only for missing answers.

    $ stillwatch prove mark-ask ./suspect-weights prompts.txt --protocol protocol.dsse.json
    $ stillwatch prove mark-ask https://api.example.com/v1 prompts.txt --model acme-7b --most-requests 5000 \
        --consent "contract of 3 May, clause 4"
    """
    prompt_rows = read_prompts(prompts)
    if protocol_file is not None:
        asked_as_planned(protocols.read(protocol_file), prompt_rows)
    store = out.with_name(f"{out.name}.asked")
    opened = open_suspect(
        suspect, asking.manners(max_tokens, temperature), store, asking.consent, weighs=False
    )
    answers, silent = ask(
        opened, prompt_rows, samples, out, lambda done, of: _tell(f"{done:,} of {of:,} asked")
    )
    print(
        f"{one_line(str(out))}: {answers:,} answers of {one_line(opened.name)}; "
        f"{silent:,} prompts without one"
    )


@verb(app, "mark")
def mark_command(
    answers: Annotated[
        list[Path], typer.Argument(help="The suspect's answers: JSONL or Parquet with `output`.")
    ],
    suspect: Suspect,
    key_file: KeyFile,
    actor: Actor = None,
    actors: Actors = None,
    tokenizer_name: Annotated[
        str, typer.Option("--tokenizer", help="The teacher's: clock, a folder, a tokenizer.json, a name.")
    ] = "",
    reference: Annotated[
        list[Path] | None,
        typer.Option(help="Unmarked text of what the suspect would be otherwise, as of its base."),
    ] = None,
    teacher: Annotated[
        list[Path] | None, typer.Option(help="Unmarked answers of the teacher; goes with --reference.")
    ] = None,
    served: Annotated[
        list[Path] | None, typer.Option(help="Marked answers as served: tells relaying from learning.")
    ] = None,
    protocol_file: Annotated[
        Path | None, typer.Option("--protocol", help="The signed protocol; window and alpha are its own.")
    ] = None,
    window: Window = WINDOW,
    keys: Keys = 1,
    alpha: Alpha = ALPHA,
    effect: Effect = EFFECT,
    out: Annotated[Path, typer.Option(help="The folder for evidence, page and verdict.")] = Path("mark"),
    reveal_actor: Annotated[
        str | None,
        typer.Option("--reveal", help="Write this actor's key and the scored pairs, for a bundle."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    r"""Test whether the suspect was trained on watermarked answers, and on whose. Every actor's key is tried
    on the suspect's answers.

    Exit codes: 0 tested, whatever was found; 2 could not.

    $ stillwatch prove mark answers.jsonl --suspect acme-7b --mark-key mark.key --actor acct_17 \
        --tokenizer ./teacher --protocol protocol.dsse.json
    $ stillwatch prove mark answers.jsonl --suspect acme-7b --mark-key mark.key --actors actors.txt \
        --tokenizer ./teacher --reference base.jsonl --teacher unmarked.jsonl --served served.jsonl
    """
    choice = TokenSelection.EACH if reference is None else TokenSelection.MATCHED
    settings = RadioactivitySettings(window, choice, alpha, effect, keys)
    marks = _marks(key_file, actor, actors, settings)
    signed = None if protocol_file is None else protocols.read(protocol_file)
    texts = read_texts(answers)
    if signed is not None:
        marks = _marks(key_file, actor, actors, fixed_by(signed))
        settings = held_to(signed, suspect, marks, tokenizer_name)
        asked_as_planned(signed, [text.prompt for text in texts])
    tokenize = tokenizer(tokenizer_name) if tokenizer_name else None
    judged = judge(
        suspect,
        tokens_of(texts, tokenize),
        marks,
        settings,
        prompts=prompt_tokens(texts, tokenize),
        reference=_tokens(reference, tokenize),
        teacher=_tokens(teacher, tokenize),
        served=_tokens(served, tokenize),
        protocol=signed,
        tell=_tell if not as_json else _quiet,
    )
    evidence_json.write(judged.evidence, out / "evidence.json")
    page = write_verdict((judged.evidence,), out, signed)
    if reveal_actor is not None:
        mark = next((mark_ for mark_ in marks if mark_.actor == reveal_actor), None)
        if mark is None:
            raise RadioactivityError(f"--reveal {reveal_actor}: is none of the actors under test")
        reveal(judged, mark, out / f"scored-{marks.index(mark) + 1}.json")
    print_json(evidence_json.as_json(judged.evidence)) if as_json else _print(judged.evidence, page)


def _print(evidence: Evidence, page: Path) -> None:
    rows = [
        (
            row.name,
            f"{row.n:,}",
            f"{row.effect:+.4f}",
            p_value(row.p_value, plain=True),
            p_value(row.p_adjusted, plain=True),
            "found" if row in evidence.found() else "",
        )
        for row in evidence.rows[:40]
    ]
    table(("actor", "scored tokens", "effect", "p", "p, adjusted", ""), rows, "no actor")
    print(evidence.power)
    for confound in evidence.confounds:
        print(f"  {'clear' if confound.clear else 'NOT clear'}: {confound.what}: {one_line(confound.found)}")
    print(f"page: {one_line(str(page))}")


def _tokens(paths: list[Path] | None, tokenize: Tokenize | None) -> list[tuple[int, ...]] | None:
    return None if paths is None else tokens_of(read_texts(paths), tokenize)


def _marks(
    key_file: Path, actor: list[str] | None, actors: Path | None, settings: RadioactivitySettings
) -> list[Mark]:
    owner = Owner(read_owner_key(key_file), settings.window, keys=settings.keys)
    return [owner.mark(name) for name in _names(actor, actors)]


def _names(actor: list[str] | None, actors: Path | None) -> list[str]:
    names = list(actor or [])
    if actors is not None:
        try:
            names += [line.strip() for line in actors.read_text("utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as why:
            raise RadioactivityError(f"{actors}: cannot be read as a list of actors ({why})") from None
    if not names:
        raise RadioactivityError("no actor was named: --actor NAME, or --actors with a file of them")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RadioactivityError(f"{one_line(twice[0])}: is named twice")
    return names


def _tell(words: str) -> None:
    typer.echo(f"  {one_line(words)}", err=True)


_quiet: Callable[[str], None] = lambda _: None  # noqa: E731 - one that says nothing
