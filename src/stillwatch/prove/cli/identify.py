"""`stillwatch identify`: which known model answers at an endpoint or in a file, and the library for it.

Similarity and thresholds are in `prove.identify`.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.prove.cli.prove import say_left_out
from stillwatch.prove.identify import IdentificationResult, Identified
from stillwatch.prove.identify.asking import AskingOptions, answers_of, as_lines, choose_prompts, probes
from stillwatch.prove.identify.library import add, read_library, references
from stillwatch.prove.identify.tokens import Shape, shapes
from stillwatch.prove.identify.version import SameVersion, same_version
from stillwatch.prove.identify.who import ALPHA, identify
from stillwatch.prove.lineage import Role
from stillwatch.prove.lineage.lines import family_of
from stillwatch.prove.lineage.reading import KinClaim, read_kins, read_lineage
from stillwatch.prove.pool import Pool, PoolError
from stillwatch.prove.pool.checks import Fit
from stillwatch.prove.pool.reading import read_pool
from stillwatch.prove.recording import is_recording
from stillwatch.prove.suspect.endpoint import Manners
from stillwatch.report.terminal import plain_table, progress, safe

LIBRARY = Path("identify-library")
VERSIONS = 3  # references of the kin that was found, each tested for being the same version

WHO_EXAMPLES = """
Examples:

  stillwatch identify outputs.jsonl

  stillwatch identify http://localhost:8000/v1 --model fast-1 --library known

  stillwatch identify https://api.example/v1 --model fast-1 --consent "our contract, section 4" --json

Answers: named (this kin, or a copy of it in disguise), resembles (or a pupil or cousin of it), unknown.
Exit codes: 0 answered; 2 could not; 3 answered, and rows of a file were left out.
"""


class WhoOrVerb(TyperGroup):
    """Makes `identify X` mean `identify who X`, unless X is a verb of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("--help", "-h"):
            args = ["who", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    help="Which known model answers at an endpoint, or wrote a file? Options: identify SUSPECT --help.",
    cls=WhoOrVerb,
    no_args_is_help=True,
    add_completion=False,
    subcommand_metavar="SUSPECT | COMMAND [ARGS]...",
    epilog=WHO_EXAMPLES,
)
AtLibrary = Annotated[Path, typer.Option("--library", metavar="FOLDER", help="The references.")]
Store = Annotated[Path, typer.Option(help="Where an endpoint's answers are kept; a stopped run goes on.")]
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.5, help="Rate of false alarms.")]
KinFiles = Annotated[
    list[Path] | None,
    typer.Option("--kin-file", metavar="FILE", help="Whose kin references are, as `identify weights` found."),
]


@dataclass(frozen=True)
class EndpointOptions:
    """How to query a suspect behind an address."""

    model: Annotated[str, typer.Option(help="An endpoint's name for the model.")] = ""
    consent: Annotated[
        str | None, typer.Option(help="What gives the right to ask another's endpoint; it is kept.")
    ] = None
    api_key_env: Annotated[str, typer.Option(help="The variable that holds its key.")] = "SUSPECT_API_KEY"
    requests_per_minute: Annotated[int, typer.Option(min=0, help="0: as it comes.")] = 0
    max_requests: Annotated[int | None, typer.Option(min=1, help="Ask no more than that.")] = None

    def asking(self, store: Path) -> AskingOptions:
        """Return the options for asking, with the folder that stores answers."""
        manners = Manners(
            self.model,
            self.api_key_env,
            requests_per_minute=self.requests_per_minute,
            most_requests=self.max_requests,
        )
        return AskingOptions(manners, store, self.consent)


AS_IT_ANSWERS = EndpointOptions()


@verb(app, "who", epilog=WHO_EXAMPLES, hidden=True)
def who_command(
    suspect: Annotated[str, typer.Argument(help="A file of outputs, an address, or weights.")],
    library: AtLibrary = LIBRARY,
    kin_file: KinFiles = None,
    name: Annotated[str, typer.Option(help="The model of a file that holds several.")] = "",
    prompts: Annotated[int, typer.Option(min=20, help="Prompts to ask an endpoint.")] = 50,
    alpha: Alpha = ALPHA,
    endpoint: EndpointOptions = AS_IT_ANSWERS,
    store: Store = Path("identify-answers.sqlite"),
    as_json: AsJson = False,
) -> None:
    """Report which kin of the library answers, or unknown, and whether it is exactly one of its versions."""
    way = endpoint.asking(store)
    done = identify_suspect(suspect, name, library, read_kins(kin_file or []), prompts, alpha, way, as_json)
    print_json(done.document()) if as_json else print_identified(done, Console())
    say_left_out(done.fitted.pool.unread)


@dataclass(frozen=True)
class Identification:
    """The result of an identification, and its basis."""

    found: Identified
    fitted: Fit
    versions: tuple[SameVersion, ...]
    tokenizers: tuple[Shape, ...]
    kins_by: dict[str, int]  # references by the source of their kin: a file, `add`, or their name

    def document(self) -> dict[str, Any]:
        return {
            "kind": "stillwatch identification 1",
            **asdict(self.found),
            "versions": [asdict(version) for version in self.versions],
            "tokenizers": [asdict(tokenizer) | {"same": tokenizer.same} for tokenizer in self.tokenizers],
            "checked": [asdict(note) for note in self.fitted.notes],
            "left_out": list(self.fitted.left_out),
            "kins_by": self.kins_by,
        }


def identify_suspect(
    suspect: str, name: str, library: Path, kins: Mapping[str, KinClaim], prompts: int, alpha: float,
    way: AskingOptions, quiet: bool,
) -> Identification:  # fmt: skip
    """Collect a suspect's answers and identify it. `kins`: overrides the library's kins of references."""
    known, pool = read_library(library)
    named = sum(fingerprint.kin == family_of(ref)[1] for ref, fingerprint in known.items() if ref not in kins)
    by_file = sum(ref in kins for ref in known)
    kins_by = {"file": by_file, "given": len(known) - by_file - named, "name": named}
    known = {
        ref: replace(fingerprint, kin=kins[ref].kin if ref in kins else fingerprint.kin)
        for ref, fingerprint in known.items()
    }
    called = name or "the suspect"
    with progress(Console(stderr=True), quiet) as tell:
        chosen = {} if is_recording(suspect) else choose_prompts(pool, pool.models, prompts)
        own = answers_of(suspect, called, chosen, way, lambda done, of: tell("asking", done, of))
        if called in pool.answers:  # the suspect is itself in the library: test whether it is unchanged
            called = f"{called} (now)"
            own = _rename_model(own, called)
        together = pool.joined(own)
        found, fitted = identify(
            together, known, called, alpha, lambda done, of: tell("comparing answers", done, of)
        )
        versions = _versions(fitted.pool, found)
    tokenizers = shapes(own.prompt_tokens.get(called, {}), pool.prompt_tokens)
    return Identification(found, fitted, versions, tokenizers, kins_by)


@verb(app, "add")
def add_command(
    name: Annotated[str, typer.Argument(help="What the reference is called.")],
    source: Annotated[str, typer.Argument(metavar="FILE", help="Its outputs; or an address, or weights.")],
    library: AtLibrary = LIBRARY,
    kin: Annotated[str, typer.Option(help="Its family; else by its name.")] = "",
    note: Annotated[str, typer.Option(help="Where the answers are from, and their licence.")] = "",
    prompts: Annotated[int, typer.Option(min=20, help="Prompts to ask an endpoint.")] = 60,
    endpoint: EndpointOptions = AS_IT_ANSWERS,
    store: Store = Path("identify-answers.sqlite"),
    as_json: AsJson = False,
) -> None:
    """Add a reference to the library, or replace its answers.

    $ stillwatch identify add qwen3-8b answers.jsonl --kin qwen --note "own run, Apache-2.0 weights"
    $ stillwatch identify add house-model http://localhost:8000/v1 --model house-1

    An endpoint or weights are asked the library's prompts, or the shipped probes if the library is empty.
    """
    chosen: dict[str, str] = {}
    if not is_recording(source):
        known = references(library)
        chosen = choose_prompts(read_library(library)[1], tuple(known), prompts) if known else probes()
    with progress(Console(stderr=True), as_json) as tell:
        own = answers_of(source, name, chosen, endpoint.asking(store), lambda d, of: tell("asking", d, of))
    _say_added(add(library, own, {name: kin or family_of(name)[1]}, note), library, as_json)
    say_left_out(own.unread)


@verb(app, "add-all")
def add_all_command(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="Outputs of many models.")],
    library: AtLibrary = LIBRARY,
    lineage: Annotated[
        list[Path] | None, typer.Option(metavar="FILE", help="Whose kin each is; else by name.")
    ] = None,
    kin_file: KinFiles = None,
    note: Annotated[str, typer.Option(help="Where the answers are from, and their licence.")] = "",
    as_json: AsJson = False,
) -> None:
    """Add every model of a file of outputs.

    $ stillwatch identify add-all pool.parquet --lineage lineage.toml

    Models that the lineage calls copies are left out, so that a copy is found by its original.
    """
    pool = read_pool([source])
    models = read_lineage(lineage, candidates=False).models if lineage else {}
    kept = [m for m in pool.models if m not in models or models[m].role is not Role.COPY]
    if not kept:
        raise PoolError(f"{source}: the lineage calls every model in it a copy")
    by_weights = read_kins(kin_file or [])
    kins = {m: models[m].kin if m in models else family_of(m)[1] for m in kept}
    kins |= {m: by_weights[m].kin for m in kept if m in by_weights}
    _say_added(add(library, pool.of(kept), kins, note), library, as_json)
    say_left_out(pool.unread)


@app.command("list")
def list_command(library: AtLibrary = LIBRARY, as_json: AsJson = False) -> None:
    """List the references.

    Example: stillwatch identify list --json
    """
    known = references(library)
    if as_json:
        print_json([asdict(fingerprint) for fingerprint in known.values()])
        return
    console = Console()
    shown = plain_table(console, ("reference", "kin", "prompts", "SHA-256", "note"), right=("prompts",))
    for fingerprint in known.values():
        cells = (
            safe(fingerprint.name, console, 40),
            safe(fingerprint.kin, console, 20),
            str(fingerprint.prompts),
        )
        shown.add_row(*cells, fingerprint.sha256[:16], safe(fingerprint.note, console, 60))
    console.print(shown)
    kin_count = len({fingerprint.kin for fingerprint in known.values()})
    print(f"{len(known)} references of {kin_count} kins in {library}")


@app.command("probes")
def probes_command(library: AtLibrary = LIBRARY) -> None:
    """Print prompts as JSONL for a model that only other programs can ask: the library's, or those that ship.

    Example: stillwatch identify probes > to-answer.jsonl
    """
    pool: Pool | None = read_library(library)[1] if references(library) else None
    print(as_lines(pool.texts if pool is not None and pool.texts else probes()), end="")


def _rename_model(pool: Pool, name: str) -> Pool:
    (model,) = pool.models
    usage = {name: pool.prompt_tokens[model]} if model in pool.prompt_tokens else {}
    return Pool(pool.prompts, {name: pool.answers[model]}, pool.texts, usage, pool.unread, pool.checked)


def _versions(pool: Pool, found: Identified) -> tuple[SameVersion, ...]:
    """Test the nearest references of the kin that was found."""
    of_kin = [m.reference for m in found.nearest if m.kin == found.kin][:VERSIONS]
    return tuple(same_version(pool, found.suspect, reference) for reference in of_kin)


def _say_added(added: tuple[Any, ...], library: Path, as_json: bool) -> None:
    if as_json:
        print_json([asdict(fingerprint) for fingerprint in added])
        return
    for fingerprint in added[:10]:
        print(
            one_line(
                f"{fingerprint.name}: kin {fingerprint.kin}, {fingerprint.prompts} prompts, "
                f"SHA-256 {fingerprint.sha256[:16]}"
            )
        )
    print(f"{len(added)} added to {library}; it holds {len(references(library))}")


def print_identified(done: Identification, console: Console) -> None:
    """Print the answer, the nearest references, and what the answer stands on."""
    found, fitted, versions, tokenizers = done.found, done.fitted, done.versions, done.tokenizers
    says = {
        IdentificationResult.NAMED: f"{found.kin} answers here, or a close copy of it",
        IdentificationResult.RESEMBLES: f"resembles {found.kin}: a copy of it, a pupil, or a cousin",
        IdentificationResult.UNKNOWN: "cannot say" if found.reservations else "unknown",
    }[found.answer]
    console.print(safe(f"{found.suspect}: {says}", console))
    shown = plain_table(console, ("nearest", "kin", "likeness", "score"), right=("likeness", "score"))
    for neighbour in found.nearest:
        name, kin = safe(neighbour.reference, console, 40), safe(neighbour.kin, console, 20)
        shown.add_row(name, kin, f"{neighbour.likeness:.3f}", f"{neighbour.score:+.2f}")
    console.print(shown)
    sentences = [
        f"{found.prompts} prompts. A stranger does as well beside one reference chosen beforehand: "
        f"{found.p_comparison:.4f} (floor {found.floor_comparison:.4f}); beside the likest of all: "
        f"{found.p_stranger:.3f} (floor {found.floor_stranger:.3f}).",
        f"Of {found.named_falsely[1]} references with their kin taken out of the library, "
        f"{found.named_falsely[0]} would be named and "
        f"{max(0, found.false_alarms[0] - found.named_falsely[0])} more resemble somebody (alpha "
        f"{found.alpha:g}); most of those are pupils or cousins of another.",
    ]
    pair = found.set_by
    sentences.append(
        f"A name needs more than {found.named_at:+.2f}: {pair.reference} ({pair.kin}) beside {pair.other} "
        f"({pair.other_kin}). If one was made from the other, they are one kin, and the threshold falls: "
        "see `stillwatch identify weights`."
    )
    sentences += [
        f"mind  kin in doubt: {doubt.reference} ({doubt.kin}) is as like {doubt.other} ({doubt.other_kin}, "
        f"{doubt.score:+.2f}) as copies are; it was left out of the thresholds"
        for doubt in found.doubted
    ]
    sentences += [f"mind  {reservation}" for reservation in found.reservations]
    by = done.kins_by
    sentences.append(
        f"Kin of references: {by['file']} from --kin-file, {by['given']} as given when they were added, "
        f"{by['name']} as their names say, which nobody checked."
    )
    if found.floor_stranger > found.alpha:
        sentences.append(
            f"The library is too small for {found.alpha:g} beside the likest of all: a name needs more than "
            f"any stranger in it shows, which is a rate of up to {found.floor_stranger:.3f}."
        )
    for test in versions:
        verdict = "not told apart from" if test.p_value > 0.05 else "is not exactly"
        sentences.append(
            f"{verdict} {test.reference}: p {test.p_value:.4f}, told apart on {test.told_apart:.0%} of "
            f"{test.prompts} prompts (same weights, prompt and settings would be 50 %)"
        )
    sentences += [
        f"tokens: {tokenizer.agree} of {tokenizer.prompts} prompts as {tokenizer.reference} counts them, "
        f"overhead {tokenizer.overhead:+d}; a host can write any number there"
        for tokenizer in tokenizers[:3]
    ]
    sentences += [f"{'fine ' if note.clear else 'mind '} {note.what}: {note.found}" for note in fitted.notes]
    for sentence in sentences:
        console.print(safe(sentence, console, 600), soft_wrap=True)
