#!/usr/bin/env python3
"""Exports, tried on every campaign of the sample and the development scenes.

    python benchmarks/exports.py            # all available scenes
    python benchmarks/exports.py sample

Checks findings against OCSF's official schema, STIX through its reference library, round trips to a partner
and back with each scene cut in two, exports for pieces of prompts and names, and speed. Exits with 1 if
anything is wrong.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from exports_scenes import SCENES, Figures, tried  # noqa: E402 - the tests' own


def main() -> int:
    figures = Figures()
    scenes = [name for name in (sys.argv[1:] or SCENES) if (SCENES[name] / "exchanges.parquet").exists()]
    for name in scenes:
        print(f"{name} ...", file=sys.stderr)
        tried(SCENES[name], figures)
    count = figures.counts
    print(f"scenes: {', '.join(scenes)}")
    rows = [
        ("findings valid against OCSF 1.8.0 (2004 and 2005; create, update, close)", figures.of("OCSF")),
        ("CEF records read back", figures.of("CEF")),
        ("CloudEvents read back", figures.of("CloudEvents")),
        ("STIX bundles through stix2, allow_custom=False, and the same again", figures.of("STIX")),
        ("sightings taken in by who asked", figures.of("sightings")),
        (
            "canaries found in what leaves (pieces of prompts; names, in what goes to partners)",
            f"{count['canaries: found']:,} of "
            f"{count['canaries: pieces of prompts'] + count['canaries: names']:,}",
        ),
        (
            "of each campaign's accounts at B, found by the marks that A told",
            f"{count['other half: found']:,} of {count['other half: accounts']:,}",
        ),
        ("named beside them: accounts of another campaign", f"{count['beside it: planted']:,}"),
        (
            "named beside them: honest accounts",
            f"{count['beside it: honest']:,}; {count['beside it: honest, carried it before']:,} said to have "
            f"carried it before, {count['beside it: honest, one exchange']:,} sent it once",
        ),
    ]
    for what, figure in rows:
        print(f"{what}: {figure}")
    for what in ("alert", "OCSF", "CEF", "CloudEvents", "gather"):
        each_ms = 1000 * figures.seconds[what] / max(figures.seconds[f"{what}: times"], 1)
        print(f"{what}: {each_ms:.1f} ms each")
    print(
        f"search: {count['search: exchanges'] / max(figures.seconds['search'], 1e-9):,.0f} exchanges a second"
    )
    for wrong in figures.wrong[:10]:
        print(f"WRONG {wrong}")
    return 1 if figures.wrong or count["canaries: found"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
