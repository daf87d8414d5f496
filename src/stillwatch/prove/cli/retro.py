"""`stillwatch prove retro`: an old log and fresh samples of the frozen teacher in, grade B evidence out."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cases.audit.signing import open_signer
from stillwatch.cli.folder import AsJson, table
from stillwatch.cli.main import one_line, print_json
from stillwatch.cli.verb import verb
from stillwatch.coin.seeded import SAMPLER
from stillwatch.prove import ProveError, evidence_json, outcome, protocol
from stillwatch.prove.cli.prove import AS_IT_IS, SuspectEndpoint, app
from stillwatch.prove.coin import OTHERS
from stillwatch.prove.coin import retro as test
from stillwatch.prove.coin.actors import accounts_in
from stillwatch.prove.coin.leaning import statistic_for
from stillwatch.prove.coin.run import EVIDENCE, PROTOCOL, STATISTICS_IN_WORDS
from stillwatch.prove.proof import CLAIM
from stillwatch.prove.suspect.named import suspect as opened
from stillwatch.prove.verdict import write_verdict
from stillwatch.report.terminal import progress
from stillwatch.units import iso, utc_us


@verb(app, "retro")
def retro_command(
    log: Annotated[Path, typer.Argument(help="What was served: prompt, output and account a line.")],
    suspect: Annotated[str, typer.Option(help="Outputs, an address, a folder of weights or a .gguf.")],
    draws: Annotated[
        str | None, typer.Option(help="Fresh draws as a file: prompt or prompt_id, and outputs.")
    ] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Or the frozen teacher to draw from: weights or an address.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="What foretells the suspect, best the teacher itself: less noise.")
    ] = None,
    draws_per_prompt: Annotated[int, typer.Option(min=1, help="Fresh draws of each prompt.")] = 4,
    actors: Annotated[Path | None, typer.Option(help="Accounts to actors, as for `prove coin`.")] = None,
    statistic: Annotated[
        str | None, typer.Option(help=f"{', '.join(test.STATISTICS)}; else the strongest that is offered.")
    ] = None,
    alpha: Annotated[float, typer.Option(help="The chance of any false finding, over all actors.")] = 1e-3,
    samples: Annotated[int, typer.Option(min=1, help="For overlap: the suspect's answers to a prompt.")] = 1,
    asking: SuspectEndpoint = AS_IT_IS,
    max_tokens: Annotated[int, typer.Option(min=1, help="Of one answer.")] = 512,
    temperature: Annotated[float, typer.Option(help="At which the teacher answered.")] = 1.0,
    signing_key: Annotated[Path, typer.Option(help="The key that signs; made at first use.")] = Path(
        "prove.key"
    ),
    out: Annotated[Path, typer.Option(help="The test's folder.")] = Path("retro-test"),
    as_json: AsJson = False,
) -> None:
    """Test without coins: does a suspect lean to what was served, among fresh samples of the same frozen
    teacher?

    Weaker than the coin test, and graded B. If the log has the seeds of its answers and --teacher names
    weights, the served answers are generated again, which shows that the teacher has not changed.

    Exit codes: 0 tested; 2 could not.

    $ stillwatch prove retro served.jsonl --draws fresh.jsonl --suspect models/acme-7b
    $ stillwatch prove retro served.jsonl --teacher models/ours --draws-per-prompt 4 --suspect outputs.jsonl
    """
    if (draws is None) == (teacher is None):
        raise ProveError(
            "give either --draws FILE or --teacher MODEL: what the served answers are held against"
        )
    served = test.read_log(log)
    manners = asking.manners(max_tokens, temperature)
    at_zero = replace(manners, temperature=0.0)  # the suspect's most likely answer shows most
    weighs = statistic in ("likelihood", "top")
    tested = opened(suspect, at_zero, out / "answers.db", asking.consent, weighs=weighs)
    source = opened(str(draws or teacher), manners, out / "draws.db", asking.consent)
    log_sha256 = hashlib.sha256(log.read_bytes()).hexdigest()
    drawer = source if isinstance(source, test.SeededTeacher) else None
    seeded = drawer is not None and any(answer.seed is not None for answer in served)
    before = opened(base, at_zero, out / "base.db", asking.consent, weighs=weighs) if base else None
    chosen = statistic_for(statistic, tested, before, test.STATISTICS)
    by_account = (
        accounts_in(actors)
        if actors
        else {answer.account: answer.account for answer in served if answer.account}
    )
    signed = protocol.sign(
        protocol.Protocol(
            method=test.METHOD,
            suspect=tested.name,
            claim=CLAIM,
            statistic=f"place of the served answer, by {STATISTICS_IN_WORDS[chosen]}; summed over prompts",
            null=test.NULL,
            alpha=alpha,
            units=tuple(sorted({by_account.get(answer.account, OTHERS) for answer in served})),
            prompts=len(served),
            prompts_sha256=protocol.prompts_digest(
                [json.dumps([answer.id, list(answer.messages)]) for answer in served]
            ),
            made_at=iso(utc_us(), "microseconds"),
            settings=(
                ("draws a prompt", str(draws_per_prompt)),
                ("draws from", source.name),
                ("base", base or "none"),
                *(
                    (("seeds of the draws", f"by {SAMPLER} and the log's SHA-256 {log_sha256}"),)
                    if seeded
                    else ()
                ),
            ),
        ),
        open_signer(signing_key),
    )
    path = out / PROTOCOL
    if path.exists():
        signed = protocol.taken_up(path, signed.protocol)
    else:
        protocol.write(signed, path)
    with progress(Console(stderr=True), as_json) as tell:
        again = None
        if drawer is not None and seeded:
            fresh, again = test.seeded_draws(
                served, drawer, draws_per_prompt, log_sha256, lambda done, of: tell("draws", done, of)
            )
        else:
            fresh = test.draws_for(served, source, draws_per_prompt, lambda done, of: tell("draws", done, of))
        found = test.blocks(
            served, fresh, by_account, chosen, tested, samples,
            lambda done, of: tell("suspect", done, of), again, before,
        )  # fmt: skip
    frozen = test.TAKEN_ON_TRUST if again is None else test.frozen_check(len(again), len(served))
    evidence = test.evidence(found, chosen, tested.name, alpha, signed.sha256, frozen, base or "")
    evidence_json.write(evidence, out / EVIDENCE)
    page = write_verdict((evidence,), out, signed)
    if as_json:
        rows = [vars(row) | {"counts": vars(row.counts) if row.counts else None} for row in evidence.rows]
        print_json({"outcome": outcome((evidence,)).value, "rows": rows, "evidence": str(out / EVIDENCE)})
        return
    table(
        ("actor", "prompts", "mean place", "p", "p adjusted"),
        [
            (r.name, f"{r.n:,}", f"{r.effect:.3f}", f"{r.p_value:.2g}", f"{r.p_adjusted:.2g}")
            for r in evidence.rows
        ],
        "nobody was tested",
    )
    print(f"{outcome((evidence,)).value}; grade B")
    for check in evidence.confounds:
        print(f"  {'ok   ' if check.clear else 'look '}{one_line(check.what)}: {one_line(check.found)}")
    print(f"page: {one_line(str(page))}; evidence: {one_line(str(out / EVIDENCE))}")
