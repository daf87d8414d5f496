"""`stillwatch prove leads`: what a suspect shares with one model alone, and which model it claims to be.

The scores are made in `prove.leads`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import verb
from stillwatch.prove import Evidence, evidence_json
from stillwatch.prove.cli.identify import AS_IT_ANSWERS, EndpointOptions, Store
from stillwatch.prove.cli.lineage import PoolFiles, Prompts, Suspect, print_evidence, with_suspect
from stillwatch.prove.cli.prove import app, say_left_out
from stillwatch.prove.leads.evidence import claims_lead, rare_lead
from stillwatch.prove.pool.reading import read_pool
from stillwatch.report.terminal import safe


@verb(app, "leads")
def leads_command(
    suspect: Suspect,
    pool_files: PoolFiles,
    name: Annotated[str, typer.Option(help="What to call the suspect of a file.")] = "",
    out: Annotated[Path | None, typer.Option(help="A folder for the evidence.")] = None,
    prompts: Prompts = 200,
    endpoint: EndpointOptions = AS_IT_ANSWERS,
    store: Store = Path("suspect-answers.sqlite"),
    as_json: AsJson = False,
) -> None:
    """Find leads (grade C): scores, never p-values.

    $ stillwatch prove leads acme-7b.jsonl --pool pool.parquet
    $ stillwatch prove leads acme-7b --pool pool.parquet --out leads --json

    With --out, rare.json and claims.json are written for `prove verdict`, which shows them and does not count
    them.
    """
    way = endpoint.asking(store)
    pool, called = with_suspect(read_pool(pool_files), suspect, name, way, prompts, as_json)
    rare, shared = rare_lead(pool, called)
    claimed, claiming = claims_lead(pool, called)
    if out is not None:
        evidence_json.write(rare, out / "rare.json")
        evidence_json.write(claimed, out / "claims.json")
    examples = {lead.model: lead.examples for lead in shared[: len(rare.rows)]} | {
        f"claims {claim.family}": claim.examples for claim in claiming
    }
    if as_json:
        leads = [evidence_json.as_json(rare), evidence_json.as_json(claimed)]
        print_json({"leads": leads, "examples": examples})
    else:
        _print(rare, claimed, examples)
    say_left_out(pool.unread)


def _print(rare: Evidence, claimed: Evidence, examples: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    console = Console()
    print_evidence(rare, console)
    if claimed.rows:
        print_evidence(claimed, console)
    for model, found in examples.items():
        for prompt, words in found[:1]:
            console.print(safe(f"{model} ({prompt}): {words}", console, 300), soft_wrap=True)
