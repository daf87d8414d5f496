"""Write what escapes each defence (`distill/economics/escapes.jsonl`), from finished contests.

    python benchmarks/attackers.py --seeds 1,2 --out build/attackers.jsonl
    python benchmarks/escapes.py COMMIT=build/attackers.jsonl [COMMIT=FILE ...]

COMMIT is the commit at which a file's contests were run; every line has it. Only contests for one goal are
kept.
"""

import json
from pathlib import Path

from arguments import parser_of

ROOT = Path(__file__).parent.parent
FILE = ROOT / "src/stillwatch/distill/economics/escapes.jsonl"
KEYS = (
    "defence", "asked", "goal", "seed", "out", "reached", "days", "usd", "accounts_usd", "accounts",
    "stopped", "output_tokens", "cannot_fire", "base", "max_days",
)  # fmt: skip
DEFENCES = ("none", "stillwatch", "allowance", "stillwatch+allowance")


def rows(commit: str, text: str, goal: int) -> list[dict]:
    """Return the contests of a file for one goal, each once."""
    found = {}
    for line in text.splitlines():
        told = json.loads(line)
        if told["goal"] == goal and told["defence"] in DEFENCES:
            at = (DEFENCES.index(told["defence"]), told["asked"], told["seed"])
            found[at] = {key: told[key] for key in KEYS} | {"commit": commit}
    return [found[at] for at in sorted(found)]


def main() -> None:
    """Write the file."""
    parser = parser_of(__doc__)
    parser.add_argument("sources", nargs="+", metavar="COMMIT=FILE")
    parser.add_argument("--goal", type=int, default=1000)
    told = parser.parse_args()
    lines = []
    for source in told.sources:
        commit, _, path = source.partition("=")
        lines += [json.dumps(row) for row in rows(commit, Path(path).read_text(), told.goal)]
    FILE.write_text("\n".join(lines) + "\n")
    print(f"{FILE}: {len(lines)} contests")


if __name__ == "__main__":
    main()
