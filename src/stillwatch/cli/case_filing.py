"""Writes the report of a case to a body through which providers share incidents."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from stillwatch.cases.exports.filing import FilingTerms, prepare_filing
from stillwatch.cases.exports.marking import mark
from stillwatch.cases.exports.sums import describe_leaving
from stillwatch.cases.exports.write import release
from stillwatch.cases.reading import find
from stillwatch.cli.case_changing import CaseId
from stillwatch.cli.case_opening import HERE, CasePlace
from stillwatch.cli.folder import AsJson, whoami
from stillwatch.cli.options import Unjudged, Yes, may_leave
from stillwatch.units import utc_us


def filing_command(
    case: CaseId,
    reporter: Annotated[str, typer.Option(help="Who reports: your organisation and its part.")] = "",
    target: Annotated[str, typer.Option(help="The models and services that were asked.")] = "",
    contact: Annotated[str, typer.Option(help="Who answers questions, and how.")] = "",
    response: Annotated[str, typer.Option(help="What was done, and what is asked of the receiver.")] = "",
    tlp: Annotated[str, typer.Option(help="clear, green, amber or amber+strict.")] = "amber",
    out: Annotated[Path | None, typer.Option(help="Output file; default: standard output.")] = None,
    unjudged: Unjudged = "",
    yes: Yes = False,
    place: CasePlace = HERE,
    as_json: AsJson = False,
) -> None:
    r"""Write a report of a case to a body through which providers share incidents: no account, no prompt.

    $ stillwatch case filing case-7f3a --reporter "Alpha Inc., provider" --target "vesper-3 over its API" \
        --contact abuse@alpha.example --response "blocked on 3 May" --out report.md

    Values not given are left blank. The case must have been judged true, unless --unjudged.
    """
    terms = FilingTerms(reporter.strip(), target.strip(), contact.strip(), response.strip())
    with place.open() as store:
        ready, filing = prepare_filing(
            store, find(store, case), terms, mark(tlp), now_us=utc_us(), unjudged=unjudged, as_json=as_json
        )
        may_leave(describe_leaving(ready.leaving), str(out or "standard output"), yes)
        release(store, ready, out, who=whoami(), now_us=filing.made_us)
    if out is None:
        typer.get_binary_stream("stdout").write(ready.data)
    if filing.blanks:
        missing = " ".join(f"--{name}" for name in filing.blanks)
        print(f"not ready to send: fill in the blanks, or give {missing}", file=sys.stderr)
