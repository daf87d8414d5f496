"""`stillwatch ban`: what model names resolve to, what the terms say of them, and bans for other programs.

It parses words and prints. What a name means is `lineage`, what to do about it is `terms`.
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
    """What a ban that is only tried says of models trained on the family's answers."""

    allow = "allow"
    warn = "warn"
    deny = "deny"


class Program(StrEnum):
    """Whose words a ban is written in."""

    litellm = "litellm"
    rpz = "rpz"


@verb(app, "check")
def check_command(
    names: Names,
    terms_file: TermsFile = None,
    family: Families = None,
    distilled: Annotated[Students, typer.Option(help="With --family: students of it.")] = Students.warn,
    account: Annotated[str, typer.Option(help="Who asks: exceptions are for somebody.")] = "",
    fail_on_banned: Annotated[bool, typer.Option(help="Exit with 1 when a name is denied.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what model names resolve to, and what the terms say of each.

    $ stillwatch ban check azure_ai/MAI-DS-R1 DEEPSEEK_R1 --family deepseek
    $ stillwatch ban check gpt-4o team-fast --terms terms.toml --account acct-1
    $ curl -s localhost:4000/v1/models | jq -r '.data[].id' | stillwatch ban check - --family deepseek

    Exit codes: 0 checked; 2 could not; 1 only with --fail-on-banned, when a name is denied.
    """
    terms = terms_of(terms_file, family or [], distilled)
    now_us = utc_us()
    found = [
        (resolve(name), None if terms is None else model_verdict(terms, name, account, now_us))
        for name in _read_names(names)
    ]
    if as_json:
        print(json.dumps([_row(one, verdict) for one, verdict in found], indent=1, ensure_ascii=False))
    else:
        _print_checked(found, Console())
    if fail_on_banned and any(verdict is not None and not verdict.allow for _, verdict in found):
        raise typer.Exit(BANNED)


@verb(app, "families")
def families_command(as_json: AsJson = False) -> None:
    """List the families of the lineage table: vendor, its own hosts, who was trained on its answers.

    $ stillwatch ban families
    $ stillwatch ban families --json | jq '.[] | select(.id == "deepseek").hosts'
    """
    known = table()
    rows = [
        {
            **asdict(family),
            "derived": sorted({e.id for e in known.entries if e.derived and _weights_of(e, family.id)}),
            "students": sorted({e.id for e in known.entries if family.id in e.teachers}),
        }
        for family in known.families.values()
    ]
    if as_json:
        print(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    console = Console()
    shown = plain_table(console)
    for head in ("family", "vendor", "derived", "students", "its own hosts"):
        shown.add_column(
            head, overflow="fold", justify="right" if head in ("derived", "students") else "left"
        )
    for row in rows:
        counts = (str(len(row[key])) if row[key] else "" for key in ("derived", "students"))
        shown.add_row(row["id"], row["vendor"], *counts, ", ".join(row["hosts"]))
    console.print(shown)


@verb(app, "explain")
def explain_command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="One model name.")], as_json: AsJson = False
) -> None:
    """Show how one name is read, which entry of the table decided, and the source of that entry.

    $ stillwatch ban explain perplexity/r1-1776
    """
    found = resolve(name)
    if as_json:
        print(json.dumps(_row(found, None), indent=1, ensure_ascii=False))
        return
    console = Console()
    shown = plain_table(console)
    shown.show_header = False
    for key, value in (
        ("name", found.name),
        ("read as", " / ".join(part.text for part in parts(name))),
        ("skeleton", found.skeleton),
        ("weights", f"{found.family or 'unknown'}, {found.relation.value}"),
        ("entry", found.base or "none"),
        ("trained on answers of", ", ".join(found.teachers) or "nobody that the table knows"),
        ("made by", found.vendor or "unknown"),
        ("served by", found.host or "not said"),
        ("why", found.evidence),
    ):
        shown.add_row(key, safe(value, console, 2000))
    console.print(shown)


@verb(app, "export")
def export_command(
    to: Annotated[Program, typer.Option("--to", help="litellm: model_list; rpz: DNS zone.")],
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME...]", help="For litellm: the names you serve; - for standard input."),
    ] = None,
    terms_file: TermsFile = None,
    family: Families = None,
    distilled: Annotated[Students, typer.Option(help="With --family: students of it.")] = Students.warn,
) -> None:
    """Write the bans of the terms for another program: LiteLLM's proxy, or DNS as a response policy zone.

    $ stillwatch ban export --to rpz --family deepseek > rpz.zone
    $ stillwatch ban export --to litellm --terms terms.toml $(cat served-models.txt) > banned.yaml

    DNS blocks the vendor's own hosts and nothing that somebody else hosts. LiteLLM compares names as they are
    written: give it every name that your proxy serves.
    """
    terms = terms_of(terms_file, family or [], distilled)
    if terms is None:
        raise InputError(
            "nothing is banned yet: give --terms FILE, or --family to write a ban of that family"
        )
    banned = [ban for ban in terms.bans if ban.prevent]
    what = ", ".join(sorted({ban.family for ban in banned})) or "nothing"
    if to is Program.rpz:
        hosts = [host for ban in banned for host in hosts_of(ban)]
        print(
            rpz_zone(hosts, terms.version, f"{what}: banned by version {terms.version} of the terms"), end=""
        )
        return
    served = list(_read_names(names or []))
    if not served:
        raise InputError("give the model names that your LiteLLM proxy serves, or - to read them")
    now_us = utc_us()
    denied = [name for name in served if not model_verdict(terms, name, "", now_us).allow]
    note = f"{what}: {len(denied)} of {len(served)} names, banned by version {terms.version} of the terms"
    print(litellm_config(denied, note), end="")


def terms_of(file: Path | None, families: list[str], distilled: Students) -> Terms | None:
    """The terms to ask: the owner's, or the defaults with a ban that is only tried."""
    if file is not None:
        if families:
            raise InputError("--terms and --family exclude each other: put the ban into the file")
        return load(file)
    if not families:
        return None
    if unknown := sorted(set(families) - table().families.keys()):
        raise InputError(f"no family {unknown[0]!r} in the lineage table; see stillwatch ban families")
    bans = (
        f'\n[[ban]]\nfamily = "{one}"\nincludes = {{ distilled = "{distilled.value}" }}\n'
        for one in dict.fromkeys(families)
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


def _row(found: ResolvedName, verdict: ModelVerdict | None) -> dict[str, Any]:
    row = {**asdict(found), "relation": found.relation.value}
    return row if verdict is None else {**row, "verdict": asdict(verdict) | {"says": _says(verdict)}}


def _says(verdict: ModelVerdict) -> str:
    return "deny" if not verdict.allow else "warn" if verdict.warn else "allow"


def _kin(found: ResolvedName) -> str:
    if found.relation is Relation.SAME or found.relation is Relation.UNKNOWN:
        return ""
    return found.relation.value + (f" from {', '.join(found.teachers)}" if found.teachers else "")


def _print_checked(found: list[tuple[ResolvedName, ModelVerdict | None]], console: Console) -> None:
    shown = plain_table(console)
    has_verdicts = any(verdict is not None for _, verdict in found)
    for head in (*(("says",) if has_verdicts else ()), "name", "weights", "how", "made by", "served by"):
        shown.add_column(head, overflow="fold")
    for one, verdict in found:
        cells = [_says(verdict)] if verdict is not None else []
        texts = (one.family or "unknown", _kin(one), one.vendor or "", one.host or "")
        shown.add_row(*cells, safe(one.name, console), *texts)
    console.print(shown)
    denied = sum(verdict is not None and not verdict.allow for _, verdict in found)
    if has_verdicts:
        console.print(f"{denied} of {len(found)} denied. {LIMITS}")
