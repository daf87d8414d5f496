"""`stillwatch coin seal`, `coin witness` and `coin exclude`: what commits an owner before a test."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from stillwatch.cases.audit.signing import open_signer
from stillwatch.cases.stamping import Stamp, stamp
from stillwatch.cli.coin import OWN_LEDGER, LedgerOptions, app
from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import StampCa, StampUrl, named_authority
from stillwatch.cli.verb import verb
from stillwatch.coin import openings
from stillwatch.coin.verify import coins, pairs, verify
from stillwatch.errors import InputError, refuse_os_errors
from stillwatch.prove.cli.prove import Places, Samples
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.actors import accounts_in, by_account, by_file, by_ledger
from stillwatch.prove.coin.leans import STATISTICS
from stillwatch.prove.coin.seals import (
    LATEST_US,
    STAMP,
    TRAINING,
    Sealed,
    SealedTest,
    TrainingStatement,
    hashes_of,
    last_lines,
    make,
    whole_until_us,
    witness,
)
from stillwatch.prove.planner import EFFECTS
from stillwatch.prove.proof import when
from stillwatch.prove.suspect.named import fixed_name
from stillwatch.units import iso, utc_us


@verb(app, "seal")
def seal_command(
    at: LedgerOptions = OWN_LEDGER,
    actors: Annotated[
        Path | None,
        typer.Option(help="Accounts to actors, as for `prove coin`; else the campaigns in the ledger."),
    ] = None,
    each_account: Annotated[bool, typer.Option(help="Every account is an actor of its own.")] = False,
    statistic: Annotated[
        list[str] | None, typer.Option(help=f"{', '.join(STATISTICS)}; may be given again; each counts.")
    ] = None,
    base: Annotated[
        str, typer.Option(help="The base that will be taken off, sealed with its files' SHA-256; or none.")
    ] = "none",
    alpha: Annotated[float, typer.Option(help="The chance of any false finding, over all seals.")] = 1e-5,
    effect: Annotated[
        float | None, typer.Option(help="What is looked for, in standard deviations; else by statistic.")
    ] = None,
    most: Annotated[int, typer.Option(min=8, help="Pairs of one actor.")] = 400,
    ends: Annotated[
        int,
        typer.Option(
            min=1,
            help="Places where an actor's coins may end; each counts. 1: at --most, and nowhere else.",
        ),
    ] = openings.ENDS,
    samples: Samples = 1,
    places: Places = PLACES,
    own_training: Annotated[
        str, typer.Option(help=f"Coined answers in your own training: {', '.join(TRAINING)}.")
    ] = "not said",
    excluded: Annotated[
        Path | None, typer.Option(help="The list that your training leaves out, of `coin exclude`.")
    ] = None,
    signing_key: Annotated[Path, typer.Option(help="The key that signs seals and bundles.")] = Path(
        "prove.key"
    ),
    coins_from: Annotated[
        str | None,
        typer.Option(help="From when on coins of these actors count, ISO; else in an hour."),
    ] = None,
    out: Annotated[Path, typer.Option(help="The folder of all your seals.")] = Path("seals"),
    stamp_url: StampUrl = None,
    stamp_ca: StampCa = None,
    as_json: AsJson = False,
) -> None:
    r"""Name actors and test before their coins are thrown, and close the coins of those that earlier seals
    named.

    Seal when an actor is found, and again when enough of its coins have been thrown, before a suspect is
    released. A third party dates the seal: a time stamp, or a witness (`coin witness seals/0001.json`). The
    seal can be published: it reveals no account and no answer. Keep the .private.json beside it secret.

    $ stillwatch coin seal --reading-key reading.key --own-training none \
        --stamp https://freetsa.org/tsr --stamp-ca tsa.pem
    $ stillwatch coin seal --actors findings.json --statistic likelihood --statistic overlap \
        --own-training excluded --excluded hashes.txt
    """
    if own_training not in TRAINING:
        raise InputError(f"--own-training {own_training}: give one of {', '.join(TRAINING)}")
    if (own_training == "excluded") != (excluded is not None):
        raise InputError(
            "--own-training excluded and --excluded FILE go together; `coin exclude` writes the file"
        )
    authority = named_authority(stamp_url, stamp_ca)
    (place, keys), reading = at.open(), at.reading()
    statistics = tuple(statistic or ("overlap",))
    usual = [EFFECTS[name] for name in statistics if name in EFFECTS]
    if effect is None and not usual:
        raise InputError(f"--effect: none was measured by {', '.join(statistics)}; give the one you look for")
    test = SealedTest(statistics, fixed_name(base), alpha, effect or min(usual), samples, most, places, ends)
    sealed = make(
        out, place, verify(place, keys), [{"epoch": k.epoch, "commitment": c} for c, k in keys.items()],
        coins(place, keys, reading), by_file(actors) if actors else by_account if each_account else by_ledger,
        test, _training(own_training, excluded, pairs(place, keys, reading)), open_signer(signing_key),
        iso(utc_us(), "microseconds"), key=max(keys.values(), key=lambda one: (one.made, one.epoch)),
        accounts_named=accounts_in(actors) if actors else None, coins_from=_moment(coins_from),
    )  # fmt: skip
    stamped = None
    if authority is not None:
        stamped = stamp(openings.seal_bytes(sealed.seal), authority)
        sealed.path.with_suffix(STAMP).write_bytes(stamped.answer)
    document = {
        "seal": str(sealed.path), "sha256": sealed.digest, "number": sealed.seal["number"],
        "actors": len(sealed.actors), "tests": openings.number_of_tests(sealed.chain, None),
        "coins_from": sealed.seal["coins_from"], "open_ledgers": openings.open_ledgers(sealed.seal),
        "coins_until": _coins_until(sealed, place),
        "pairs": sum(len(actor["pairs"]) for actor in sealed.actors),
        "stamped_at": stamped.at.isoformat() if stamped else None, "own_training": own_training,
    }  # fmt: skip
    print_json(document) if as_json else _tell_seal(document, stamped)


def _tell_seal(document: Mapping[str, Any], stamped: Stamp | None) -> None:
    print(f"{one_line(document['seal'])}: seal {document['number']}, sha256 {document['sha256']}")
    print(
        f"  {document['actors']:,} actors, {document['tests']:,} tests, {document['pairs']:,} pairs; all "
        f"tests count later"
    )
    if stamped is None:
        print(
            "  no third party's clock yet: --stamp, or `stillwatch coin witness`; without one it "
            "is your own word"
        )
    else:
        print(f"  stamped at {document['stamped_at']} by {one_line(stamped.authority)}")
    print(
        f"  coins of these actors from {one_line(document['coins_from'])} on, up to a later seal, can prove: "
        "have this seal dated before"
    )
    print(
        f"  only coins in ledgers that are open now count: {', '.join(document['open_ledgers'])}; a gateway "
        "that starts again begins others"
    )
    if document["coins_until"]:
        print(
            f"  coins of the actors of seal {document['number'] - 1} count before {document['coins_until']}"
        )
    if document["own_training"] == "not said":
        print(
            "  nothing is said of your own training (--own-training): *trained* cannot be said by this seal"
        )


def _coins_until(sealed: Sealed, place: Path) -> str | None:
    """Return when the previous seal's actors' coins stop counting; None: they all count."""
    if sealed.seal["number"] == 1:
        return None
    lines = last_lines(replace(sealed, naming=sealed.seal["number"] - 1), place)
    until_us = min(whole_until_us(json.loads(line.leaf)) for line in lines)
    return None if until_us == LATEST_US else iso(until_us, "microseconds")


def _moment(text: str | None) -> str | None:
    """Check an ISO time. Raises: InputError."""
    try:
        return None if text is None else when(text).isoformat()
    except ValueError:
        raise InputError(
            f"--coins-from {text}: give a day, as in 2026-12-02, or an ISO time with Z"
        ) from None


def _training(word: str, listed: Path | None, found: object) -> TrainingStatement:
    if listed is None:
        return TrainingStatement(word)
    import hashlib

    with refuse_os_errors(InputError, f"{listed}: cannot be read"):
        data = listed.read_bytes()
    have = set(data.decode("ascii", "replace").split())
    missing = [hash_ for hash_ in hashes_of(found) if hash_ not in have]  # type: ignore[arg-type]
    if missing:
        raise InputError(
            f"{listed}: {len(missing):,} coined answers are not in it; run `stillwatch coin exclude`"
        )
    return TrainingStatement(word, hashlib.sha256(data).hexdigest(), len(have))


@verb(app, "exclude")
def exclude_command(
    at: LedgerOptions = OWN_LEDGER,
    out: Annotated[Path, typer.Option(help="Where the list goes.")] = Path("coined-answers.txt"),
) -> None:
    """Write the SHA-256 of every paired answer, served or not, so that your own training can leave them out.

    Otherwise your next model leans to what was served, and innocent models trained on it are accused.

    $ stillwatch coin exclude --reading-key reading.key --out hashes.txt

    Leave out of your own training every text whose SHA-256 (runs of white space as one space) is in the list.
    """
    place, keys = at.open()
    found = hashes_of(pairs(place, keys, at.reading()))
    with refuse_os_errors(InputError, f"{out}: cannot be written"):
        out.write_text("".join(f"{line}\n" for line in found), "ascii")
    print(
        f"{one_line(str(out))}: {len(found):,} answers; leave them out of your training, and seal that you do"
    )


@verb(app, "witness")
def witness_command(
    seal: Annotated[Path, typer.Argument(help="Another's seal.")],
    signing_key: Annotated[Path, typer.Option(help="The witness's key; made at first use.")] = Path(
        "witness.key"
    ),
    kept: Annotated[Path, typer.Option(help="Where the seals that were shown are kept.")] = Path(
        "seals-seen"
    ),
    out: Annotated[Path | None, typer.Option(help="Write it there instead of to standard output.")] = None,
) -> None:
    """Sign that you were shown a seal, and when. A second seal of one number by one owner is refused.

    $ stillwatch coin witness 0001.json --signing-key witness.key --out 0001.witness.json
    $ stillwatch coin witness 0002.json --kept /srv/seals-that-we-saw
    """
    word = witness(seal, kept, open_signer(signing_key), iso(utc_us(), "microseconds"))
    text = json.dumps(word, indent=1) + "\n"
    if out is None:
        print(text, end="")
        return
    with refuse_os_errors(InputError, f"{out}: cannot be written"):
        out.write_text(text, "ascii")
    print(f"{one_line(str(out))}: give it to the owner; your public key, for checkers: {word['witness']}")
