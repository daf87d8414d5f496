"""`stillwatch ban`: what model names resolve to, what the policy says of them, and bans for other programs.

`lineage` resolves names, `terms` decides on them; this module parses arguments and prints.
"""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from stillwatch.cli.verb import group, verb
from stillwatch.errors import InputError
from stillwatch.lineage import Relation, ResolvedName
from stillwatch.lineage.exports import litellm_config, rpz_zone
from stillwatch.lineage.parts import parts
from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.table import LineageEntry, table
from stillwatch.report.terminal import plain_table, safe
from stillwatch.terms import ModelVerdict, Terms
from stillwatch.terms.decide import model_verdict
from stillwatch.terms.judge import hosts_of
from stillwatch.terms.load import default_text, load, loads
from stillwatch.units import utc_us

app = group("Bans by lineage: check names, export.")

BANNED = 1
LIMITS = "A name is as good as the table: a model renamed without a trace is unknown here."

Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Model names; - reads them from standard input.")
]
TermsFile = Annotated[Path | None, typer.Option("--terms", metavar="FILE", help="The owner's terms.")]
Families = Annotated[
    list[str] | None, typer.Option("--family", metavar="FAMILY", help="Try a ban of this family.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Students(StrEnum):
    """How a trial ban treats models trained on the family's answers."""

    allow = "allow"
    warn = "warn"
    deny = "deny"


class Program(StrEnum):
    """The program whose format a ban is written in."""

    litellm = "litellm"
    rpz = "rpz"


@verb(app, "check")
def check_command(
    names: Names,
    terms_file: TermsFile = None,
    family: Families = None,
    distilled: Annotated[
        Students, typer.Option(help="With --family: models trained on its answers.")
    ] = Students.warn,
    account: Annotated[str, typer.Option(help="The account that asks: exceptions name accounts.")] = "",
    fail_on_banned: Annotated[bool, typer.Option(help="Exit with 1 when a name is denied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show what model names resolve to, and what the policy says of each.

    $ stillwatch ban check azure_ai/MAI-DS-R1 DEEPSEEK_R1 --family deepseek
    $ stillwatch ban check gpt-4o team-fast --terms terms.toml --account acct-1
    $ curl -s localhost:4000/v1/models | jq -r '.data[].id' | stillwatch ban check - --family deepseek

    Exit codes: 0 checked; 2 could not; 1 only with --fail-on-banned, when a name is denied.
    """
    terms = terms_of(terms_file, family or [], distilled)
    now_us = utc_us()
    resolved = [
        (resolve(name), None if terms is None else model_verdict(terms, name, account, now_us))
        for name in _read_names(names)
    ]
    if as_json:
        print(
            json.dumps(
                [_model_row(resolved_name, verdict) for resolved_name, verdict in resolved],
                indent=1,
                ensure_ascii=False,
            )
        )
    else:
        _print_checked(resolved, Console())
    if fail_on_banned and any(verdict is not None and not verdict.allow for _, verdict in resolved):
        raise typer.Exit(BANNED)


@verb(app, "families")
def families_command(as_json: AsJson = False) -> None:
    """List the families of the lineage table: vendor, its hosts, and models trained on its answers.

    $ stillwatch ban families
    $ stillwatch ban families --json | jq '.[] | select(.id == "deepseek").hosts'
    """
    families = table()
    rows = [
        {
            **asdict(family),
            "derived": sorted({e.id for e in families.entries if e.derived and _weights_of(e, family.id)}),
            "students": sorted({e.id for e in families.entries if family.id in e.teachers}),
        }
        for family in families.families.values()
    ]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    console = Console()
    grid = plain_table(console)
    for head in ("family", "vendor", "derived", "students", "its own hosts"):
        grid.add_column(head, overflow="fold", justify="right" if head in ("derived", "students") else "left")
    for row in rows:
        counts = (str(len(row[key])) if row[key] else "" for key in ("derived", "students"))
        grid.add_row(row["id"], row["vendor"], *counts, ", ".join(row["hosts"]))
    console.print(grid)


@verb(app, "explain")
def explain_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One model name.")], as_json: AsJson = False
) -> None:
    """Show how one name is resolved, the table entry that decided, and the source of that entry.

    $ stillwatch ban explain perplexity/r1-1776
    """
    resolved = resolve(name)
    if as_json:
        print(json.dumps(_model_row(resolved, None), indent=1, ensure_ascii=False))
        return
    console = Console()
    grid = plain_table(console)
    grid.show_header = False
    for key, value in (
        ("name", resolved.name),
        ("read as", " / ".join(part.text for part in parts(name))),
        ("skeleton", resolved.skeleton),
        ("weights", f"{resolved.family or 'unknown'}, {resolved.relation.value}"),
        ("entry", resolved.base or "none"),
        ("trained on answers of", ", ".join(resolved.teachers) or "nobody that the table knows"),
        ("made by", resolved.vendor or "unknown"),
        ("served by", resolved.host or "not said"),
        ("why", resolved.evidence),
    ):
        grid.add_row(key, safe(value, console, 2000))
    console.print(grid)


@verb(app, "export")
def export_command(
    to: Annotated[Program, typer.Option("--to", help="litellm: model_list; rpz: DNS zone.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="For litellm: the names you serve; - for standard input."),
    ] = None,
    terms_file: TermsFile = None,
    family: Families = None,
    distilled: Annotated[
        Students, typer.Option(help="With --family: models trained on its answers.")
    ] = Students.warn,
) -> None:
    """Write the policy's bans for another program: LiteLLM's proxy, or DNS as a response policy zone.

    $ stillwatch ban export --to rpz --family deepseek > rpz.zone
    $ stillwatch ban export --to litellm --terms terms.toml $(cat served-models.txt) > banned.yaml

    DNS blocks the vendor's own hosts, but no copy on another host. LiteLLM compares names literally: list
    every name that your proxy serves.
    """
    terms = terms_of(terms_file, family or [], distilled)
    if terms is None:
        raise InputError(
            "nothing is banned yet: give --terms FILE, or --family to write a ban of that family"
        )
    banned = [ban for ban in terms.bans if ban.prevent]
    families = ", ".join(sorted({ban.family for ban in banned})) or "nothing"
    if to is Program.rpz:
        hosts = [host for ban in banned for host in hosts_of(ban)]
        print(
            rpz_zone(hosts, terms.version, f"{families}: banned by version {terms.version} of the terms"),
            end="",
        )
        return
    served = list(_read_names(names or []))
    if not served:
        raise InputError("give the model names that your LiteLLM proxy serves, or - to read them")
    now_us = utc_us()
    denied = [name for name in served if not model_verdict(terms, name, "", now_us).allow]
    note = f"{families}: {len(denied)} of {len(served)} names, banned by version {terms.version} of the terms"
    print(litellm_config(denied, note), end="")


def terms_of(file: Path | None, families: list[str], distilled: Students) -> Terms | None:
    """Return the policy to check against: the owner's, or the defaults with a trial ban."""
    if file is not None:
        if families:
            raise InputError("--terms and --family exclude each other: put the ban into the file")
        return load(file)
    if not families:
        return None
    if unknown := sorted(set(families) - table().families.keys()):
        raise InputError(f"no family {unknown[0]!r} in the lineage table; see stillwatch ban families")
    bans = (
        f'\n[[ban]]\nfamily = "{family}"\nincludes = {{ distilled = "{distilled.value}" }}\n'
        for family in dict.fromkeys(families)
    )
    return loads(default_text() + "".join(bans), "--family")


def _read_names(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name == "-":
            yield from (line for raw in sys.stdin if (line := raw.strip()))
        else:
            yield name


def _weights_of(entry: LineageEntry, family: str) -> bool:
    return family == entry.family or any(family == sized for _, sized in entry.sizes)


def _model_row(resolved: ResolvedName, verdict: ModelVerdict | None) -> dict[str, Any]:
    row = {**asdict(resolved), "relation": resolved.relation.value}
    return row if verdict is None else {**row, "verdict": asdict(verdict) | {"says": _says(verdict)}}


def _says(verdict: ModelVerdict) -> str:
    return "deny" if not verdict.allow else "warn" if verdict.warn else "allow"


def _kin(resolved: ResolvedName) -> str:
    if resolved.relation is Relation.SAME or resolved.relation is Relation.UNKNOWN:
        return ""
    return resolved.relation.value + (f" from {', '.join(resolved.teachers)}" if resolved.teachers else "")


def _print_checked(checked: list[tuple[ResolvedName, ModelVerdict | None]], console: Console) -> None:
    grid = plain_table(console)
    has_verdicts = any(verdict is not None for _, verdict in checked)
    for head in (*(("says",) if has_verdicts else ()), "name", "weights", "how", "made by", "served by"):
        grid.add_column(head, overflow="fold")
    for resolved, verdict in checked:
        cells = [_says(verdict)] if verdict is not None else []
        texts = (resolved.family or "unknown", _kin(resolved), resolved.vendor or "", resolved.host or "")
        grid.add_row(*cells, safe(resolved.name, console), *texts)
    console.print(grid)
    denied = sum(verdict is not None and not verdict.allow for _, verdict in checked)
    if has_verdicts:
        console.print(f"{denied} of {len(checked)} denied. {LIMITS}")
