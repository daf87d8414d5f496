"""`stillwatch ban probe`: identify the model behind an endpoint and apply the policy to it.

Identification is in `prove.identify`, the policy in `terms`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stillwatch.cli.ban import BANNED, Families, Students, TermsFile, app, terms_of
from stillwatch.cli.folder import AsJson
from stillwatch.cli.main import print_json
from stillwatch.cli.verb import verb
from stillwatch.prove.cli.identify import (
    AS_IT_ANSWERS,
    LIBRARY,
    Alpha,
    AtLibrary,
    EndpointOptions,
    KinFiles,
    Store,
    identify_suspect,
    print_identified,
)
from stillwatch.prove.cli.prove import say_left_out
from stillwatch.prove.identify import IdentificationResult, Identified
from stillwatch.prove.identify.who import ALPHA
from stillwatch.prove.lineage.reading import KinClaim, read_kins
from stillwatch.report.terminal import safe
from stillwatch.terms import Terms
from stillwatch.terms.decide import model_verdict
from stillwatch.units import utc_us


@verb(app, "probe")
def probe_command(
    suspect: Annotated[str, typer.Argument(help="An address, or a file of outputs.")],
    library: AtLibrary = LIBRARY,
    kin_file: KinFiles = None,
    terms_file: TermsFile = None,
    family: Families = None,
    distilled: Annotated[Students, typer.Option(help="With --family: students of it.")] = Students.warn,
    account: Annotated[str, typer.Option(help="The account that asks: exceptions name accounts.")] = "",
    name: Annotated[str, typer.Option(help="The model of a file that holds several.")] = "",
    prompts: Annotated[int, typer.Option(min=20, help="Prompts to ask an endpoint.")] = 50,
    alpha: Alpha = ALPHA,
    endpoint: EndpointOptions = AS_IT_ANSWERS,
    store: Store = Path("identify-answers.sqlite"),
    fail_on_banned: Annotated[bool, typer.Option(help="Exit with 1 when what answers is denied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Identify the model that answers, by its answers, and apply the policy to it.

    $ stillwatch ban probe http://localhost:8000/v1 --model fast-1 --terms terms.toml --library known
    $ stillwatch ban probe outputs.jsonl --family deepseek --library known --fail-on-banned

    A mere resemblance is no finding: it may be a student or a related model. Exit codes: 0 probed; 2 could
    not; 1 only with --fail-on-banned, when the model that was named is denied; 3 probed, and rows of a file
    were left out.
    """
    terms = terms_of(terms_file, family or [], distilled)
    way = endpoint.asking(store)
    kins = read_kins(kin_file or [])
    done = identify_suspect(suspect, name, library, kins, prompts, alpha, way, as_json)
    found = done.found
    judged = _judge_nearest(found, kins, terms, account)
    if as_json:
        print_json(done.document() | {"terms": judged})
    else:
        console = Console()
        print_identified(done, console)
        console.print(safe(_sentence(found, judged), console, 400), soft_wrap=True)
    if (
        fail_on_banned
        and found.answer is IdentificationResult.NAMED
        and judged is not None
        and not judged["allow"]
    ):
        raise typer.Exit(BANNED)
    say_left_out(done.fitted.pool.unread)


def _judge_nearest(
    found: Identified, kins: Mapping[str, KinClaim], terms: Terms | None, account: str
) -> dict[str, Any] | None:
    """Return what the policy says about the nearest reference, by its name and its base in the file."""
    if terms is None or found.answer is IdentificationResult.UNKNOWN:
        return None
    nearest = found.nearest[0].reference
    verdict = model_verdict(terms, nearest, account, utc_us())
    if verdict.allow and nearest in kins and kins[nearest].base:
        by_weights = model_verdict(terms, kins[nearest].base, account, utc_us())
        verdict = by_weights if not by_weights.allow else verdict
    return {"reference": nearest, "allow": verdict.allow, "family": verdict.family, "reason": verdict.reason}


def _sentence(found: Identified, judged: dict[str, Any] | None) -> str:
    if judged is None:
        return (
            "terms: not asked"
            if found.answer is not IdentificationResult.UNKNOWN
            else "terms: nobody was identified"
        )
    says = "allow" if judged["allow"] else f"deny ({judged['reason']})"
    if found.answer is IdentificationResult.RESEMBLES:
        return f"terms on {judged['reference']}: {says}; but it is only resembled, which is no finding"
    return f"terms on {judged['reference']}: {says}"
