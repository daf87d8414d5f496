"""`stillwatch prove coin`: a ledger and a suspect in, evidence of grade A out."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cases.audit.signing import open_signer
from stillwatch.cli.coin import published_before
from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.options import StampCa
from stillwatch.cli.verb import verb
from stillwatch.coin.verify import against, coins, pairs, verify
from stillwatch.errors import InputError
from stillwatch.prove import outcome
from stillwatch.prove.cli.prove import (
    AS_IT_IS,
    TESTED,
    NamingSeal,
    Places,
    Samples,
    SuspectEndpoint,
    TestedLedger,
    Witness,
    app,
    say_left_out,
)
from stillwatch.prove.coin import PLACES, Leaning
from stillwatch.prove.coin.actors import by_account, by_file, by_ledger
from stillwatch.prove.coin.leans import STATISTICS
from stillwatch.prove.coin.randomise import DRAWS
from stillwatch.prove.coin.run import (
    EVIDENCE,
    PROTOCOL,
    CoinRunRequest,
    CoinRunResult,
    Planned,
    ask,
    judge,
    plan,
    published_checks,
)
from stillwatch.prove.coin.sealed import SealedTestOutcome, run
from stillwatch.prove.coin.seals import read as read_sealed
from stillwatch.prove.coin.seals import read_word, with_actors_of
from stillwatch.prove.proof import FIXED
from stillwatch.prove.proven import Proof, trust
from stillwatch.prove.proven import read as read_proof
from stillwatch.prove.suspect import Suspect
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.named import fixed_name
from stillwatch.prove.suspect.named import suspect as opened
from stillwatch.prove.suspect.outputs import Outputs
from stillwatch.prove.verdict import as_document, write_verdict
from stillwatch.report.terminal import progress
from stillwatch.units import iso, utc_us


@verb(app, "coin")
def coin_command(
    suspect: Annotated[
        str, typer.Option(help="Outputs (.jsonl, .parquet), an address, a folder of weights or a .gguf.")
    ],
    base: Annotated[
        str | None,
        typer.Option(
            help="What the suspect was made from, or the teacher itself, as weights or outputs: less noise."
        ),
    ] = None,
    at: TestedLedger = TESTED,
    published: Annotated[
        list[Path] | None, typer.Option(help="What `coin commit` printed before the suspect was there.")
    ] = None,
    actors: Annotated[
        Path | None,
        typer.Option(help="Accounts to actors: a scan's findings.json, an object, or CSV account,actor."),
    ] = None,
    each_account: Annotated[bool, typer.Option(help="Test every account by itself.")] = False,
    only: Annotated[list[str] | None, typer.Option(help="Only these actors; may be given again.")] = None,
    statistic: Annotated[
        str | None, typer.Option(help=f"{', '.join(STATISTICS)}; else the strongest that is offered.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="The chance of any false finding, over all actors.")] = 1e-5,
    effect: Annotated[
        float | None, typer.Option(help="What is looked for, in standard deviations; else by statistic.")
    ] = None,
    most: Annotated[int, typer.Option(min=8, help="Pairs of one actor.")] = 400,
    samples: Samples = 1,
    places: Places = PLACES,
    prefill: Annotated[
        str,
        typer.Option(
            help="How the endpoint takes the beginning of an answer: last (as the last message), prefix "
            "(DeepSeek, Mistral), vllm (vLLM, SGLang)."
        ),
    ] = "",
    top_logprobs: Annotated[
        int, typer.Option(min=0, max=20, help="With a continuation: ask for so many likeliest tokens.")
    ] = 0,
    sequential: Annotated[
        bool, typer.Option(help="Look every 64 pairs and stop when it is decided.")
    ] = False,
    draws: Annotated[
        int, typer.Option(min=999, help="How often the coins are thrown again; p is 1 in so many at least.")
    ] = DRAWS,
    seed: Annotated[int, typer.Option(help="Of the order of the pairs.")] = 1,
    asking: SuspectEndpoint = AS_IT_IS,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Of one answer (else 512), or continuation (else 16).")
    ] = None,
    temperature: Annotated[
        float, typer.Option(min=0.0, help="At which it is asked; 0, its likeliest answer, shows most.")
    ] = 0.0,
    seal: Annotated[
        Path | None,
        typer.Option(help="Test as `coin seal` fixed it; with --naming-seal it can end in *trained*."),
    ] = None,
    naming_seal: NamingSeal = None,
    released: Annotated[str, typer.Option(help="With --seal: the day the suspect came out.")] = "",
    witness_word: Annotated[
        list[Path] | None, typer.Option(help="With --seal: what a witness signed; may be given again.")
    ] = None,
    stamp_ca: StampCa = None,
    witness: Witness = None,
    disclose: Annotated[
        list[str] | None, typer.Option(help="With --seal: actors to show in the proof; else those found.")
    ] = None,
    only_protocol: Annotated[
        bool, typer.Option("--only-protocol", help="Write and sign the protocol, and ask nothing.")
    ] = False,
    signing_key: Annotated[Path, typer.Option(help="The key that signs; made at first use.")] = Path(
        "prove.key"
    ),
    out: Annotated[Path, typer.Option(help="The test's folder; a stopped test goes on there.")] = Path(
        "coin-test"
    ),
    as_json: AsJson = False,
) -> None:
    r"""Test whether a suspect leans towards the answers that were served, over those that were not. The test
    is exact, for each actor.

    The protocol is signed before anything is asked. Exit codes: 0 tested; 2 could not;
    3 tested, and rows of the suspect's file were left out.

    $ stillwatch prove coin --suspect outputs.jsonl --reading-key reading.key
    $ stillwatch prove coin --suspect models/acme-7b --base models/base-7b --actors findings.json
    $ stillwatch prove coin --suspect https://api.acme.example/v1 --model acme-7b --consent "contract 2026-14"
    $ stillwatch prove coin --suspect https://api.acme.example/v1 --model acme-7b \
        --consent "contract 2026-14" --statistic continuation --prefill last --places 8 --samples 2
    $ stillwatch prove coin --ledger ledger/ --key keys/ --suspect student.gguf --only-protocol
    """
    (place, keys), reading = at.open(), at.reading()
    if not place.exists():
        raise InputError(f"{place}: there is no ledger; give --ledger, or --folder of the gateway")
    verified = verify(place, keys)
    given = published_before(published or [])
    against(verified.heads, given.heads, place)
    manners = asking.manners(
        max_tokens or Manners.max_tokens,
        temperature,
        continuation_tokens=max_tokens or Manners.continuation_tokens,
        prefill=prefill,
        top_logprobs=top_logprobs,
    )
    weighs = statistic in ("likelihood", "top")  # few endpoints offer these; the user who names one knows
    tested = opened(suspect, manners, out / "answers.db", asking.consent, weighs=weighs, seed=seed)
    likeliest = replace(manners, temperature=0.0)  # of the base: sampled text would add noise
    sealed = None if seal is None else read_sealed(seal)
    if sealed is not None and naming_seal is not None:
        sealed = with_actors_of(sealed, naming_seal)
    name = fixed_name(base) if base and sealed and FIXED in sealed.seal["test"]["base"] else ""
    before = (
        opened(base, likeliest, out / "base.db", asking.consent, weighs=weighs, seed=seed, name=name)
        if base
        else None
    )
    wanted = CoinRunRequest(
        statistic, alpha, effect, most, samples, places, seed, sequential, tuple(only or ()), draws,
    )  # fmt: skip
    if sealed is not None:
        if actors or each_account or only or sequential or only_protocol:
            raise InputError(
                "--seal fixes actors and test: leave --actors, --each-account, --only, --sequential out"
            )
        signer, given_trust = open_signer(signing_key), trust(stamp_ca, witness or [], released or None)
        with progress(Console(stderr=True), as_json) as telling:
            came = run(
                sealed,
                place,
                coins(place, keys, reading),
                tested,
                before,
                out,
                statistic=statistic,
                released=released,
                witnesses=[read_word(path) for path in witness_word or []],
                disclose=tuple(disclose or ()),
                tell=lambda done, of: telling("pairs", done, of),
            )
        proof = None if came.proof is None else read_proof(came.proof, signer.key, given_trust)
        page = write_verdict((came.evidence,), out, None, proof)
        _tell_sealed(came, proof, out, page, as_json)
        say_left_out(tested.unread if isinstance(tested, Outputs) else ())
        return
    actor_of = by_file(actors) if actors else by_account if each_account else by_ledger
    beside = {"suspect as given": suspect, **({"consent": asking.consent} if asking.consent else {})}
    planned = plan(
        pairs(place, keys, reading), verified, actor_of, tested, before, wanted,
        open_signer(signing_key), out, iso(utc_us(), "microseconds"), beside,
    )  # fmt: skip
    _say(f"protocol {planned.signed.sha256} signed: {one_line(str(out / PROTOCOL))}", as_json)
    if only_protocol:
        _protocol(planned, as_json)
        return
    found, early = _ask(planned, tested, before, quiet=as_json)
    seen = tested.checked() if isinstance(tested, Endpoint) else ()
    checks = (*published_checks(given.heads, given.commitments, verified), *seen)
    done = judge(planned, found, tested, before, stopped=early, checks=checks)
    page = write_verdict((done.evidence,), out, planned.signed)
    _tell(done, out, page, as_json)
    say_left_out(tested.unread if isinstance(tested, Outputs) else ())


def _tell_sealed(came: SealedTestOutcome, proof: Proof | None, out: Path, page: Path, as_json: bool) -> None:
    document = as_document((came.evidence,), None, proof)
    if as_json:
        keys = ("outcome", "headline", "missing", "sealed")
        shown_fields = {name: document[name] for name in keys} | {
            "actors": [vars(actor) for actor in came.tested]
        }
        print_json(shown_fields | {"evidence": str(came.path), "page": str(page)})
        return
    lines = [
        (actor.name, f"{actor.n:,} of {actor.pairs:,}", f"{actor.hits / actor.n:.1%}" if actor.n else "-",
         f"{actor.p_value:.2g}", f"{actor.p_adjusted:.2g}")
        for actor in came.tested
    ]  # fmt: skip
    table(("sealed actor", "lean", "to the served one", "p", "p, over all sealed tests"), lines, "nobody")
    print(one_line(document["headline"]))
    if not came.evidence.found():
        print(f"  power: {one_line(came.evidence.power)}")
    for sentence in document["missing"]:
        print(f"  missing: {one_line(sentence)}")
    shown = (
        f"; proof: {one_line(str(came.proof))}" if came.proof else "; nobody was found, nothing is disclosed"
    )
    print(f"page: {one_line(str(page))}; evidence: {one_line(str(came.path))}{shown}")


def _ask(
    planned: Planned, tested: Suspect, before: Suspect | None, *, quiet: bool
) -> tuple[list[Leaning], bool]:
    with progress(Console(stderr=True), quiet) as progress_of:
        return ask(planned, tested, before, lambda done, of: progress_of("pairs", done, of))


def _protocol(planned: Planned, as_json: bool) -> None:
    chosen = planned.chosen
    document = {
        "protocol": planned.signed.sha256, "pairs": len(chosen.puts), "actors": list(chosen.actors),
        "statistic": planned.statistic, "ties": chosen.ties, "too_few": chosen.too_few,
    }  # fmt: skip
    if as_json:
        print_json(document)
        return
    print(f"{len(chosen.puts):,} pairs of {len(chosen.actors)}, by {planned.statistic}; nothing was asked")
    print("give the protocol's SHA-256 to somebody who can say later when he had it; then run this again")


def _tell(done: CoinRunResult, out: Path, page: Path, as_json: bool) -> None:
    evidence = done.evidence
    rows = {row.name: row for row in evidence.rows}
    if as_json:
        document = {
            "outcome": outcome((evidence,)).value, "power": evidence.power, "alpha": evidence.alpha,
            "evidence": str(out / EVIDENCE),
            "page": str(page), "pairs": done.asked, "stopped_early": done.stopped_early,
            "actors": [
                vars(fall) | {"p_value": rows[fall.actor].p_value, "p_adjusted": rows[fall.actor].p_adjusted}
                for fall in done.fallen
            ],
        }  # fmt: skip
        print_json(document)
        return
    heads = (
        "actor", "coins", "to the served one", "95 % interval", "p", "p adjusted", "sign test", "fortune",
    )  # fmt: skip
    lines = [
        (
            fall.actor, f"{fall.n:,}", f"{fall.share:.1%}", f"{fall.share_low:.1%} to {fall.share_high:.1%}",
            f"{rows[fall.actor].p_value:.2g}", f"{rows[fall.actor].p_adjusted:.2g}", f"{fall.p_sign:.2g}",
            f"{fall.e_value:.3g}",
        )
        for fall in done.fallen
    ]  # fmt: skip
    table(heads, lines, "nobody was tested")
    print(f"{outcome((evidence,)).value}, at alpha {evidence.alpha:g} over all actors")
    if not evidence.found():
        print(f"  power: {evidence.power}")
    print(f"  null: {evidence.null}")
    for check in evidence.confounds:
        print(f"  {'ok   ' if check.clear else 'look '}{one_line(check.what)}: {one_line(check.found)}")
    print(f"page: {one_line(str(page))}; evidence: {one_line(str(out / EVIDENCE))}")


def _say(text: str, as_json: bool) -> None:
    print(text, file=sys.stderr if as_json else sys.stdout)
