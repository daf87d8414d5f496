#!/usr/bin/env python3
"""What a scan finds, and whom it accuses, on worlds by other authors, in one table.

    python benchmarks/other_worlds.py [WORLD ...] [--fourth FOLDER] [--fifth FOLDER] [--sixth FOLDER]
                                      [--seventh FOLDER] [--eighth FOLDER] [--ninth FOLDER] [--tenth FOLDER]
                                      [--eleventh FOLDER] [--twelfth FOLDER] [--thirteenth FOLDER]
                                      [--fourteenth FOLDER] [--fifteenth FOLDER] [--sixteenth FOLDER]
                                      [--seventeenth FOLDER] [--eighteenth FOLDER] [--nineteenth FOLDER]
                                      [--people FOLDER]
    python benchmarks/other_worlds.py --page docs/figures/worlds.md
    python benchmarks/other_worlds.py --against 671234a --against-worlds dev-c dev-d   # older code beside it

Each world is scanned by a process of its own, one after the other, at the default dial; the package's scorer
judges (`stillwatch.range.score`). dev-a and dev-b are the first author's; dev-c-quiet, dev-c and dev-d are
the second author's. They are in $STILLWATCH_RANGE, else in ../shared/range. The fourth author's two are in
--fourth, or are composed by `fourth_author.py` from --fourth-people. The fifth author's two are in --fifth,
where `fifth_author.py` wrote them, the sixth author's in --sixth, and so on. --people is a folder of variants
by `selves.py`.
"""

import argparse
import hashlib
import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from pages import around, put
from stillwatch.range.figures import BIG, Score
from stillwatch.range.score import LIFE_DAYS, PERMITTED, score

ROOT = Path(__file__).resolve().parents[1]
BEGIN, END = "<!-- other-worlds -->", "<!-- /other-worlds -->"
AUTHORS = {
    "dev-c-quiet": "second",
    "dev-c": "second",
    "dev-d": "second",
    "fourth": "fourth",
    "fourth-quiet": "fourth",
    "fifth": "fifth",
    "fifth-quiet": "fifth",
    "sixth": "sixth",
    "sixth-quiet": "sixth",
    "seventh": "seventh",
    "seventh-quiet": "seventh",
    "eighth": "eighth",
    "eighth-quiet": "eighth",
    "ninth": "ninth",
    "ninth-quiet": "ninth",
    "tenth": "tenth",
    "tenth-quiet": "tenth",
    "eleventh": "eleventh",
    "eleventh-quiet": "eleventh",
    "twelfth": "twelfth",
    "twelfth-quiet": "twelfth",
    "thirteenth": "thirteenth",
    "thirteenth-quiet": "thirteenth",
    "fourteenth": "fourteenth",
    "fourteenth-quiet": "fourteenth",
    "fifteenth": "fifteenth",
    "fifteenth-quiet": "fifteenth",
    "sixteenth": "sixteenth",
    "sixteenth-quiet": "sixteenth",
    "seventeenth": "seventeenth",
    "seventeenth-quiet": "seventeenth",
    "eighteenth": "eighteenth",
    "eighteenth-quiet": "eighteenth",
    "nineteenth": "nineteenth",
    "nineteenth-quiet": "nineteenth",
    "dev-a": "first",
    "dev-b": "first",
}
# authors whose worlds are written by a script
COMPOSED = (
    *("fourth", "fifth", "sixth", "seventh", "eighth", "ninth"),
    *("tenth", "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    "eighteenth",
    "nineteenth",
)
DEVELOPMENT = "dev-"  # prefix of the names of worlds that were examined during the detector's development
SCANNED = (0, 3, 4)  # exit codes of a completed scan: see docs/cli.md
CLI = "from stillwatch.cli.main import run; run()"
HEADS = (
    "world", "author", "campaigns exposed", f"of ≥ {BIG:,} exchanges",
    "false cases (per 10,000 account-days)", "honest accounts named", "false cases by kind",
    "leads (accounts)", "B-cubed F1", "harvest before the alarm, median", "lost",
)  # fmt: skip
NOTES = (
    "A finding is true if at least half of its accounts are a campaign's. A campaign is exposed if true",
    "findings name at least half of its accounts. Account-days are honest accounts × the days of the log",
    f"({LIFE_DAYS}). A false case counts for the kind of honest use that most of its honest accounts have.",
    "Leads accuse nobody; older code has none. The harvest is what was answered before the first true",
    "finding, or all of it without one. Lost is what leaves although named accounts are stopped at their",
    "alarm. Accounts with a permission for synthetic data are not counted among honest accounts named, nor",
    "among all. Worlds called dev-… were looked at while the detector was made: their rows are development",
    "figures, whoever the author is.",
)


@dataclass(frozen=True)
class World:
    """A log with known truth, and its author."""

    name: str
    author: str
    folder: Path


@dataclass(frozen=True)
class Code:
    """A checkout whose `src` scans. `tree` identifies the content of `src`; empty if it has changes."""

    checkout: Path
    commit: str
    tree: str


@dataclass(frozen=True)
class Outcome:
    """A world, scanned and scored."""

    world: World
    score: Score
    honest: int  # accounts of no campaign, without those permitted to make synthetic data
    leads: tuple[int, ...] | None  # number of accounts of each; None if the code has no leads
    label: str = ""  # identifies the code, if other than the checkout's


def base_of(name: str) -> str | None:
    """Return the world that a variant was made from: the longest name that it begins with.

    >>> base_of("dev-c-quiet-people"), base_of("dev-c-sticky5"), base_of("elsewhere")
    ('dev-c-quiet', 'dev-c', None)
    """
    bases = [base for base in AUTHORS if name.startswith(f"{base}-")]
    return max(bases, key=len, default=None)


def worlds_in(shared: Path, places: Mapping[str, Path | None], people: Path | None = None) -> list[World]:
    """List the available worlds: the plain ones in the order of AUTHORS, then variants.

    places: author -> folder of his worlds; those of others are in `shared`.
    """
    found = []
    for name, author in AUTHORS.items():
        place = places.get(author) if author in COMPOSED else shared
        if place is not None and (place / name / "truth.parquet").exists():
            found.append(World(name, author, place / name))
    if people is not None:
        order = list(AUTHORS)
        variants = [
            (order.index(base), path.parent)
            for path in people.glob("*/truth.parquet")
            if path.parent.name not in AUTHORS and (base := base_of(path.parent.name)) is not None
        ]
        found += [World(path.name, AUTHORS[order[at]], path) for at, path in sorted(variants)]
    return found


def chosen(found: Sequence[World], names: Sequence[str]) -> list[World]:
    """Return the worlds of these names in this order; without names, all. Raises: SystemExit for others."""
    by_name = {world.name: world for world in found}
    if unknown := [name for name in names if name not in by_name]:
        raise SystemExit(
            f"{', '.join(unknown)}: no such world here; there are {', '.join(by_name) or 'none'}"
        )
    return [by_name[name] for name in names] or list(found)


def open_cases(findings: dict) -> dict:
    """Return the findings as the scorer takes them: without cases that a permission suppresses."""
    cases = [case for case in findings["campaigns"] if case["suppressed_by"] is None]
    return {**findings, "campaigns": [{**case, "score": case["score_bits"]} for case in cases]}


def outcome(world: World, findings: dict, label: str = "") -> Outcome:
    """Score the findings of a world."""
    truth = pq.read_table(world.folder / "truth.parquet", columns=["kind", "campaign"]).to_pylist()
    honest = sum(row["campaign"] is None and row["kind"] != PERMITTED for row in truth)
    leads = findings.get("leads")
    scored = score(open_cases(findings), world.folder)
    sizes = None if leads is None else tuple(len(lead["accounts"]) for lead in leads)
    return Outcome(world, scored, honest, sizes, label)


def row(one: Outcome) -> tuple[str, ...]:
    """Format an outcome as one line of the table."""
    s = one.score
    seen = one.world.name.startswith(DEVELOPMENT)
    return (
        f"{one.world.name}, {one.label}" if one.label else one.world.name,
        f"{one.world.author}{', development' if seen else ''}",
        f"{s.half_named} of {s.campaigns}" if s.campaigns else "none in it",
        f"{s.exposed_big} of {s.big}" if s.campaigns else "",
        f"{s.false_cases} ({s.false_per_10k_account_days_of_existence:.2f})",
        f"{s.benign_named:,} of {one.honest:,} ({s.benign_named / max(1, one.honest):.2%})",
        ", ".join(f"{kind} {of.cases}" for kind, of in s.false_by_kind.items()),
        "-" if one.leads is None else f"{len(one.leads)} ({sum(one.leads):,})",
        "" if not s.campaigns or s.bcubed_f1 is None else f"{s.bcubed_f1:.2f}",
        "" if s.harvest_exchanges_all is None else f"{s.harvest_exchanges_all.median:,.0f}",
        "" if s.lost_if_named_accounts_are_stopped is None else f"{s.lost_if_named_accounts_are_stopped:.0%}",
    )


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """Return the lines of the markdown table; rows of one world stand together, the checkout's code first."""
    first: dict[str, int] = {}
    for one in outcomes:
        first.setdefault(one.world.name, len(first))
    ordered = sorted(outcomes, key=lambda one: (first[one.world.name], bool(one.label)))
    rows = [HEADS, ("---",) * len(HEADS), *map(row, ordered)]
    return ["| " + " | ".join(cells) + " |" for cells in rows]


def code_here() -> Code:
    """Identify the code of this checkout. Raises: SystemExit outside of git."""
    changed = _git("status", "--porcelain", "--", "src")
    tree = "" if changed else _git("rev-parse", "--short=12", "HEAD:src")
    return Code(ROOT, _git("rev-parse", "--short=7", "HEAD"), tree)


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"git {' '.join(words)} in {ROOT}: {done.stderr.strip()}")
    return done.stdout.strip()


def code_at(commit: str, folder: Path) -> Code:
    """Unpack the `src` of a commit into a folder. Raises: SystemExit if the commit does not exist."""
    short = _git("rev-parse", "--short=7", f"{commit}^{{commit}}")
    place = folder / f"at-{short}"
    place.mkdir()
    packed = subprocess.run(
        ["git", "-C", str(ROOT), "archive", short, "src"], check=True, capture_output=True
    )
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(place, filter="data")
    return Code(place, short, _git("rev-parse", "--short=12", f"{short}:src"))


def digest_of(world: World) -> str:
    """Return a digest of a scan's input: another world of the same name has another digest."""
    digest = hashlib.sha256()
    for name in ("exchanges.parquet", "accounts.parquet"):
        digest.update((world.folder / name).read_bytes())
    return digest.hexdigest()[:8]


def scanned(code: Code, world: World, reports: Path) -> dict:
    """Return findings.json of a world by some code."""
    return json.loads((report_of(code, world, reports) / "findings.json").read_text("utf-8"))


def report_of(code: Code, world: World, reports: Path) -> Path:
    """Return the folder of a world's report by some code, scanning only if it is missing."""
    out = reports / (code.tree or "changed") / f"{world.name}-{digest_of(world)}"
    findings = out / "findings.json"
    if not code.tree or not findings.exists():
        command = [sys.executable, "-c", CLI, "scan", str((world.folder / "exchanges.parquet").resolve())]
        accounts = world.folder / "accounts.parquet"
        command += ["--accounts", str(accounts.resolve()), "--out", str(out.resolve())]
        environment = {**os.environ, "PYTHONPATH": str(code.checkout / "src")}
        done = subprocess.run(
            command, env=environment, cwd=reports, capture_output=True, text=True, check=False
        )
        if done.returncode not in SCANNED:
            raise SystemExit(f"{world.name}: the scan gave {done.returncode}: {done.stderr.strip()[-500:]}")
    return out


def compose_fourth(people: Path, shared: Path, out: Path) -> Path:
    """Compose the fourth author's worlds from the texts of `selves.py collect`."""
    script = str(ROOT / "benchmarks" / "fourth_author.py")
    command = [sys.executable, script, "--range", str(shared / "corpora"), "--people", str(people)]
    subprocess.run([*command, "--out", str(out)], check=True, stdout=sys.stderr)
    return out


def world_options(about: str | None) -> argparse.ArgumentParser:
    """Return a parser with the options that select worlds and their folders."""
    top = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    shared = Path(os.environ.get("STILLWATCH_RANGE", ROOT.parent / "shared" / "range"))
    top.add_argument("worlds", nargs="*", metavar="WORLD", help="names, in the order of rows; else all")
    top.add_argument("--shared", type=Path, default=shared, help="where dev-a to dev-d lie")
    for author in COMPOSED:
        about = f"where {author} and {author}-quiet lie"
        top.add_argument(f"--{author}", type=Path, metavar="FOLDER", help=about)
    return top


def places_of(options: argparse.Namespace) -> dict[str, Path | None]:
    """Return the folders of the composed worlds, by author."""
    return {author: getattr(options, author) for author in COMPOSED}


def parser() -> argparse.ArgumentParser:
    top = world_options(__doc__)
    top.add_argument("--fourth-people", type=Path, metavar="FILE", help="compose them from these people")
    top.add_argument("--people", type=Path, metavar="FOLDER", help="variants of worlds by selves.py")
    top.add_argument("--against", metavar="COMMIT", help="scan with the code of this commit as well")
    top.add_argument("--against-worlds", nargs="+", metavar="WORLD", help="only these; else all")
    top.add_argument("--page", type=Path, help=f"put the table there between {BEGIN} and {END}")
    top.add_argument("--reports", type=Path, metavar="FOLDER", help="keep reports; use those that are there")
    return top


def main() -> None:
    """Scan, score, print; write the table to a page."""
    options = parser().parse_args()
    if options.page:
        around(options.page, BEGIN, END)  # a page without marks is refused before hours of scanning
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        reports = (options.reports or folder / "reports").resolve()
        reports.mkdir(parents=True, exist_ok=True)
        if options.fourth is None and options.fourth_people:
            options.fourth = compose_fourth(options.fourth_people, options.shared, folder / "worlds")
        if options.fourth is None:
            print("without the fourth author's worlds: no --fourth, no --fourth-people", file=sys.stderr)
        there = worlds_in(options.shared, places_of(options), options.people)
        worlds = chosen(there, options.worlds)
        code = code_here()
        tasks = [(code, world, "") for world in worlds]
        measured = f"commit {code.commit}" + ("" if code.tree else " with changes")
        if options.against:
            other = code_at(options.against, folder)
            older = chosen(there, options.against_worlds) if options.against_worlds else worlds
            tasks += [(other, world, f"at {other.commit}") for world in older]
        outcomes = []
        for which, world, label in tasks:
            outcomes.append(outcome(world, scanned(which, world, reports), label))
            print("  ".join(row(outcomes[-1])), file=sys.stderr, flush=True)
    lines = [
        *table(outcomes),
        "",
        *NOTES,
        f"Measured at {measured}, default dial: `python benchmarks/other_worlds.py`.",
    ]
    print("\n".join(lines))
    if options.page:
        put(options.page, BEGIN, END, lines)


if __name__ == "__main__":
    main()
