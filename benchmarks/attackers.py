#!/usr/bin/env python3
"""The yield of each shipped attacker: undefended, with detection, with limits, with both. One table.

    python benchmarks/attackers.py --out build/attackers.jsonl --page docs/figures/range-attackers.md
    python benchmarks/attackers.py --base sample --seeds 1 --goals 1000 --attackers loud,chorus
    python benchmarks/attackers.py --base software-quiet --goals 1000 --attackers copied_client,cells
    python benchmarks/attackers.py --attackers naive:queue=next --defences allowance+stillwatch/holds

Every seed has other honest people; levels and limits are set on people outside the contest. A contest ends
with its goal, with the money ($5 per answer wanted), or after --days. A goal of 100,000 is not replayed: see
`extended`. Each contest is written to --out at once; a second run adds the missing ones. Answers per dollar
and answers per day are shown together, as the value of an attacker's time is unknown.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from other_worlds import code_here
from pages import around, put
from stillwatch.errors import InputError
from stillwatch.range.attackers.registry import attacker, names
from stillwatch.range.compose import honest_side
from stillwatch.range.contest import Rules, contest
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences.registry import defence
from stillwatch.range.honest_background import HonestBackground, field_of
from stillwatch.range.interval import over_seeds
from stillwatch.range.scenes import Scene, read_scene, shipped_scenes

ROOT = Path(__file__).resolve().parents[1]
USUAL = "dev-a"  # the default honest population
DEFENCES = ("none", "stillwatch", "ceiling", "allowance", "stillwatch+allowance")
LARGER = {"chorus": "chorus:accounts=60:per_account_day=200"}  # the attacker's choice from 10,000 on
ENOUGH = 3_000  # up to this goal the scene's own questions suffice
USD_AN_ANSWER = 5.0  # large enough that the account market, not the money, is the limit
HEADS = (
    "attacker", "wants", "defence", "got", "days", "dollars", "accounts", "stopped",
    "honest requests refused", "honest accounts stopped",
)  # fmt: skip
NOTES = (
    "Over seeds: both values of two, the mean of more with Student's 95 % interval. * the goal was not",
    "reached on some seed. *Accounts*: bought or stolen in all. *Stopped*: those of them that detection",
    "stopped. Undefended rows are the attacker's price. A row that is not there was not fought.",
)


def scene_of(base: str) -> Scene:
    """Return the shipped scene of a name, else the scene `calm` among the people of a base."""
    scene = read_scene(shipped_scenes().get(base, shipped_scenes()["calm"]))
    return scene if scene.name == base else replace(scene, people=replace(scene.people, base=base))


def marks(base: str, part: str) -> tuple[str, str]:
    """Return the marks around the tables of a base in a page, or of a part of them."""
    name = " ".join(filter(None, ("attackers", "" if base == USUAL else base, part)))
    return f"<!-- {name} -->", f"<!-- /{name} -->"


def field_for(scene: Scene, seed: int, goal: int) -> HonestBackground:
    """Draw a seed's honest side, with enough questions for a goal: those of every available pipeline."""
    if goal <= ENOUGH:
        return field_of(scene, seed)
    scene = replace(scene, stock=os.environ["STILLWATCH_RANGE"])
    field, side = field_of(scene, seed), honest_side(scene, seed)
    items = sorted({item.question for many in side.corpora.pipelines.values() for item in many})
    return replace(field, items=tuple(items[i] for i in side.rng.permutation(len(items))))


class LogKeeper:
    """No defence: it only stores the log."""

    NAME = "none"

    def open_watch(self, accounts: pa.Table | None, clean_until_us: int, seed: int) -> "LogKeeper":
        self.pieces: list[pa.Table] = []
        self.enrol(accounts)
        return self

    def enrol(self, accounts: pa.Table | None) -> None:
        self.accounts = accounts

    def step(self, exchanges: pa.Table, until_us: int) -> tuple[()]:
        self.pieces.append(exchanges)
        return ()

    def refuses(self, account: str, at_us: int, model: str | None = None) -> bool:
        return False

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.concat_tables(self.pieces), folder / "exchanges.parquet")
        pq.write_table(self.accounts, folder / "accounts.parquet")


def write_logs(asked: argparse.Namespace, who: list[str]) -> None:
    """Write the log of each undefended contest, for a scan."""
    for seed in map(int, asked.seeds.split(",")):
        for goal in map(int, asked.goals.split(",")):
            field = field_for(scene_of(asked.base), seed, goal)
            for name in who:
                keeper, prices = LogKeeper(), AttackPrices(usd=USD_AN_ANSWER * goal)
                contest(field, keeper, attacker(name), seed, Rules(goal=goal, max_days=asked.days), prices)
                keeper.write(folder := asked.logs / f"{name.replace(':', '-')}-{goal}-{seed}")
                print(f"{folder}: exchanges.parquet and accounts.parquet, for `stillwatch scan`", flush=True)


def fought(
    field: HonestBackground, base: str, seed: int, goal: int, days: float, who: str, against: str
) -> dict:
    """Run one contest; return its line."""
    begun = time.process_time()
    name = LARGER.get(who, who) if goal > ENOUGH else who
    rules, prices = Rules(goal=goal, max_days=days), AttackPrices(usd=USD_AN_ANSWER * goal)
    told = asdict(contest(field, defence(against), attacker(name), seed, rules, prices))
    told.pop("history")
    return told | {
        "base": base,
        "asked": who,
        "max_days": days,
        "cpu_s": round(time.process_time() - begun, 1),
    }


def number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 99.5 else f"{x:.2g}"


def range_text(values: list[float]) -> str:
    """Format one value, two as they are, or the mean of more with Student's interval."""
    if len({number(value) for value in values}) == 1:
        return number(values[0])
    if len(values) == 2:
        return " to ".join(number(value) for value in sorted(values))
    told = over_seeds(values, least=0)
    return f"{number(told.mean)} [{number(told.low or 0)}, {number(told.high or 0)}]" if told else "-"


def row(lines: list[dict]) -> tuple[str, ...]:
    """Format the seeds of one attacker against one defence as a row of the table."""
    first = lines[0]
    mark = "" if all(t["reached"] for t in lines) else " *"
    refused = [100 * t["honest_refused"] / max(1, t["honest_requests"]) for t in lines]
    if silent := first["cannot_fire"]:
        return (
            first["attacker"],
            f"{first['goal']:,}",
            first["defence"],
            f"cannot fire: {silent}",
            *[""] * (len(HEADS) - 4),
        )
    return (
        first["attacker"],
        f"{first['goal']:,}",
        first["defence"],
        range_text([t["out"] for t in lines]) + mark,
        range_text([t["days"] for t in lines]),
        range_text([t["usd"] for t in lines]),
        range_text([t["accounts"] for t in lines]),
        range_text([t["stopped"] for t in lines]),
        range_text(refused) + " %",
        range_text([t["honest_stopped"] for t in lines]),
    )


def extended(lines: list[dict], goal: int) -> str:
    """Estimate a larger goal as parallel copies of a fought contest.

    Against limits this is exact, as they are rates per account. Against detection it holds for copies that
    have nothing in common.
    """
    got = [t for t in lines if t["out"] > 0 and not t["cannot_fire"]]
    if not got:
        return "nothing gets out"
    accounts, usd = (sum(t[name] / t["out"] for t in got) / len(got) * goal for name in ("accounts", "usd"))
    days = sum(t["days"] for t in got) / len(got)
    return f"{number(accounts)} accounts, {number(max(days, 1 / 24))} days, ${number(usd)}"


def grouped(lines: list[dict]) -> dict[tuple[str, int, str], list[dict]]:
    """Return the seeds of each attacker, goal and defence."""
    groups: dict[tuple[str, int, str], list[dict]] = defaultdict(list)
    for told in lines:
        groups[told["asked"], told["goal"], told["defence"]].append(told)
    return groups


def table(lines: list[dict]) -> list[str]:
    """Format the contests, a row for each attacker, goal and defence."""
    rows = [HEADS, ("---",) * len(HEADS), *(row(some) for some in grouped(lines).values())]
    return ["| " + " | ".join(cells) + " |" for cells in rows]


def extended_table(lines: list[dict], most: int, defences: list[str]) -> list[str]:
    """Format the costs of a goal that is not replayed, from the largest fought one."""
    groups = grouped(lines)
    out = [
        f"**{most:,} answers**, not replayed: copies, side by side, of the largest goal that was fought.",
        "Against limits that is exact, as they are a rate for each account; against detection it holds for",
        "copies that have nothing in common.",
        "",
        "| attacker | " + " | ".join(defences) + " |",
        "| " + " | ".join(["---"] * (1 + len(defences))) + " |",
    ]
    for who in dict.fromkeys(told["asked"] for told in lines):
        cells = []
        for against in defences:
            fought_for = [goal for name, goal, other in groups if (name, other) == (who, against)]
            cells.append(extended(groups[who, max(fought_for), against], most) if fought_for else "-")
        out.append(f"| {who} | " + " | ".join(cells) + " |")
    return out


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    top.add_argument(
        "--base",
        default=USUAL,
        help="whose people: sample, a world of $STILLWATCH_RANGE, or a shipped scene",
    )
    top.add_argument("--seeds", default="1,2,3")
    top.add_argument("--goals", default="1000,10000")
    top.add_argument("--extended", type=int, default=100_000, help="a goal that is not replayed")
    top.add_argument("--days", type=float, default=14.0)
    top.add_argument("--defences", default=",".join(DEFENCES))
    top.add_argument("--attackers", default="", help="else all that ship")
    top.add_argument("--out", type=Path, help="a line for each contest; those there are kept")
    top.add_argument("--print", action="store_true", help="print what --out holds; fight nothing")
    top.add_argument("--logs", type=Path, help="fight nothing; write each undefended contest's log there")
    top.add_argument("--page", type=Path, help="put the contests there, between the marks of the base")
    top.add_argument("--part", default="", help="which of the base's tables: `holds` has marks of its own")
    return top


def main() -> None:
    """Run missing contests, print the tables, write them to a page."""
    asked = parser().parse_args()
    os.environ.setdefault("STILLWATCH_RANGE", str(ROOT.parent / "shared" / "range"))
    if asked.page:
        around(asked.page, *marks(asked.base, asked.part))
    who = asked.attackers.split(",") if asked.attackers else list(names())
    if asked.logs:
        write_logs(asked, who)
        return
    if not asked.out:
        raise SystemExit("give --out FILE, or --logs FOLDER")
    done = [json.loads(text) for text in asked.out.read_text().splitlines()] if asked.out.exists() else []

    def key(told: dict) -> tuple:
        return (
            told["base"],
            told["asked"],
            told["goal"],
            told["defence"],
            told["seed"],
            told["max_days"],
        )

    known = {key(told): told for told in done}
    lines = []
    scene = scene_of(asked.base)
    for seed in map(int, asked.seeds.split(",")):
        for goal in map(int, asked.goals.split(",")):
            field: HonestBackground | None = None
            for against in asked.defences.split(","):
                for name in who:
                    at = (asked.base, name, goal, against, seed, asked.days)
                    if at not in known and asked.print:
                        continue
                    if at not in known:
                        field = field or field_for(scene, seed, goal)
                        try:
                            known[at] = fought(field, asked.base, seed, goal, asked.days, name, against)
                        except InputError as why:  # this attacker has none
                            print(f"seed {seed}: {name}: {why}", flush=True)
                            continue
                        with asked.out.open("a") as file:
                            file.write(json.dumps(known[at]) + "\n")
                        told = known[at]
                        print(
                            f"seed {seed}: {name} for {goal:,} against {against}: {told['out']:,} in "
                            f"{told['days']:.2f} days by {told['accounts']} accounts, "
                            f"{told['stopped']} stopped, ${told['usd']:,.0f}, {told['cpu_s']} CPU-s",
                            flush=True,
                        )
                    lines.append(known[at])
    order = {name: n for n, name in enumerate(who)}
    rank = {name: n for n, name in enumerate(asked.defences.split(","))}
    lines.sort(key=lambda told: (order[told["asked"]], told["goal"], rank[told["defence"]], told["seed"]))
    code = code_here()
    text = [
        *table(lines),
        "",
        f"Measured at commit {code.commit}{'' if code.tree else ' with changes'}: scene `{scene.name}` among "
        f"the people of {asked.base}, seeds {asked.seeds}, {asked.days:g} days at most: "
        "`python benchmarks/attackers.py`.",
    ]
    larger = extended_table(lines, asked.extended, asked.defences.split(","))
    print("\n".join([*text, "", *NOTES, "", *larger]))
    if asked.page:
        put(asked.page, *marks(asked.base, asked.part), text)


if __name__ == "__main__":
    main()
