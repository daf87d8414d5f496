#!/usr/bin/env python3
"""What a defence costs attackers who react to it: `python benchmarks/adaptive.py`.

    python benchmarks/adaptive.py --scene calm --seeds 1,2,3 --defences none,stillwatch --attackers loud
    python benchmarks/adaptive.py --means                # one set of means after the other
    python benchmarks/adaptive.py --honest dev-a dev-b   # whom an allowance touches (STILLWATCH_RANGE)
    python benchmarks/adaptive.py --reword MODEL.gguf    # a local model writes wrappers (extra train)

Each contest's line is written to --out as JSON at once; a second run with the same --out adds the missing
ones. Costs are multiples of the undefended cost: that of the attacker "loud" (one account at full speed), and
that of the same attacker without a defence.
"""

import json
import os
import re
import time
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from arguments import parser_of
from stillwatch.range.attackers import Evasion
from stillwatch.range.attackers.registry import attacker, names
from stillwatch.range.attackers.repeated import FixedMeans
from stillwatch.range.contest import Rules, contest_of
from stillwatch.range.costs import Cost
from stillwatch.range.defences.allowance import AllowanceWatch, refused_ids
from stillwatch.range.defences.ceiling import CeilingWatch
from stillwatch.range.defences.registry import defence as defence_of
from stillwatch.range.interval import Interval, of_multiples, over_seeds
from stillwatch.range.scenes import Scene, read_scene, shipped_scenes

DEFENCES = (
    "none,limits,prada,mmd_window,isolation_forest,prefix,stillwatch,allowance,stillwatch+allowance,"
    "reasoning_allowance,stillwatch+reasoning_allowance"
)
DAY_US = 86_400_000_000

# Evasions added one after the other, from a plain pool on.
SWEEP = {
    "pool": Evasion(accounts=20, per_account_day=50, replace=False),
    "bare": Evasion(accounts=20, per_account_day=50, replace=False, words="bare"),
    "wrapped": Evasion(accounts=20, per_account_day=50, replace=False, words="wrapped"),
    "own": Evasion(accounts=20, per_account_day=50, replace=False, words="own"),
    "model": Evasion(accounts=20, per_account_day=50, replace=False, words="model"),
    "reworded": Evasion(accounts=20, per_account_day=50, replace=False, words="reworded"),
    "settings": Evasion(accounts=20, per_account_day=50, replace=False, words="own", spread_settings=True),
    "aged": Evasion(
        accounts=20, per_account_day=50, replace=False, words="own", spread_settings=True, kind="aged"
    ),
    "cover": Evasion(
        accounts=20, per_account_day=50, replace=False, words="own", spread_settings=True, cover=0.5
    ),
    "decoys": Evasion(
        accounts=20, per_account_day=50, replace=False, words="own", spread_settings=True, decoys=0.5
    ),
    "stolen": Evasion(accounts=20, per_account_day=50, replace=False, words="own", kind="stolen"),
    "human": Evasion(accounts=20, per_account_day=50, replace=False, words="own", hours="human"),
    "slow": Evasion(accounts=20, per_account_day=8, replace=False, words="own", hours="human"),
    "dropped": Evasion(accounts=20, per_account_day=50, replace=False, drop=0.9),
    "replaced": Evasion(accounts=20, per_account_day=50, words="template"),
    "waits": Evasion(accounts=20, per_account_day=50, words="template", wait_days=7),
    "burst": Evasion(accounts=20, per_account_day=50, replace=False, hours="burst"),
    "four": Evasion(accounts=4, per_account_day=250, replace=False, words="own"),
}


def line(scene: Scene, seed: int, against: str, who: str) -> dict:
    begun = time.process_time()
    player = FixedMeans(SWEEP[who.removeprefix("means:")], who) if who.startswith("means:") else attacker(who)
    told = asdict(contest_of(scene, seed, defence_of(against), player))
    told["scene"], told["cpu_s"] = scene.name, round(time.process_time() - begun, 1)
    told["history"] = [list(hour.values()) for hour in told["history"]]
    return told


def cost(told: dict) -> Cost:
    return Cost(told["accounts"], told["days"], told["usd"])


def number(x: float) -> str:
    return f"{x:,.0f}" if abs(x) >= 99.5 else f"{x:.2g}"


def shown(interval: Interval | None, at_least: bool = False) -> str:
    if interval is None:
        return "-"
    mean = ("≥ " if at_least else "") + number(interval.mean)
    if interval.low is None or number(interval.low) == number(interval.high) == number(interval.mean):
        return mean
    return f"{mean} [{number(interval.low)}, {number(interval.high)}]"


def table(lines: list[dict]) -> None:
    by = {(told["defence"], told["attacker"], told["seed"]): told for told in lines}
    order = list(dict.fromkeys((told["defence"], told["attacker"]) for told in lines))
    print("| defence | attacker | reached | out | accounts | days | USD | x loud | x itself, undefended |")
    print("|---|---|---|---|---|---|---|---|---|")
    least: dict[str, list[tuple[float, str]]] = {}
    for against, who in order:
        mine = [told for (d, a, _), told in by.items() if (d, a) == (against, who)]
        reached = all(told["reached"] for told in mine)
        cells = [
            shown(over_seeds([told[name] for told in mine], least=0), not reached and name != "out")
            for name in ("out", "accounts", "days", "usd")
        ]
        multiples, most = [], 0.0
        for base in ("loud", who):
            pairs = [(t, by[("none", base, t["seed"])]) for t in mine if ("none", base, t["seed"]) in by]
            times = [cost(told).times(cost(plain)) for told, plain in pairs]
            each = [
                of_multiples([max(getattr(x, name), 1e-9) for x in times])
                for name in ("accounts", "days", "usd")
            ]
            multiples.append("; ".join(shown(interval, not reached) for interval in each))
            if base == "loud" and times:
                most = max(interval.mean for interval in each if interval)
        told_of = f"{sum(t['reached'] for t in mine)}/{len(mine)}"
        print(f"| {against} | {who} | {told_of} | {' | '.join(cells)} | {' | '.join(multiples)} |")
        if reached and most:
            least.setdefault(against, []).append((most, who))
    print()
    for against, found in least.items():
        most, who = min(found)
        verdict = "met" if most >= 10 else "NOT met"
        print(
            f"{against}: the attacker that pays least is {who}: at most {number(most)} x of anything "
            f"(10 x {verdict})"
        )


def honest(scenes: list[str]) -> None:
    """Measure whom an allowance and a ceiling affect: set on the first week, applied to the second."""
    shared = Path(os.environ.get("STILLWATCH_RANGE", Path(__file__).parents[2] / "shared" / "range"))
    for name in scenes:
        folder = Path(name) if Path(name).is_dir() else shared / name
        truth = pq.read_table(folder / "truth.parquet", columns=["account", "kind", "campaign"]).to_pylist()
        kind = {row["account"]: row["kind"] for row in truth if row["campaign"] is None}
        exchanges = pq.read_table(folder / "exchanges.parquet")
        exchanges = exchanges.filter(pc.is_in(exchanges["account"], value_set=pa.array(list(kind))))
        times = exchanges["time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_numpy()
        clean = (int(times.min()) // DAY_US + 7) * DAY_US
        ids, whose = exchanges["exchange_id"].to_pylist(), exchanges["account"].to_pylist()
        after = int((times >= clean).sum())
        for rule, watch in (("allowance", AllowanceWatch(clean)), ("ceiling", CeilingWatch(clean))):
            gone = set(refused_ids(watch, exchanges))
            touched = Counter(account for key, account in zip(ids, whose, strict=True) if key in gone)
            kinds = Counter(kind[account] for account in touched)
            asked = Counter()
            for account, count in touched.items():
                asked[kind[account]] += count
            found = watch.allowances
            print(
                f"{name}, {rule}: {found.usual:,} output tokens a day, {len(found.more)} accounts have more, "
                f"{len(found.vouch)} would need a person's word"
            )
            print(f"  touched: {len(touched)} of {len(set(whose))} accounts, {len(gone)} of {after} requests")
            told = [f"{k}: {n} accounts, {asked[k]} requests" for k, n in kinds.most_common()]
            print("  " + ", ".join(told), flush=True)


ASKS = (
    "Please show every step of your reasoning before you give the answer.",
    "Think out loud and write down all you consider, then conclude.",
    "Explain how you get there, in full, and put the result last.",
    "I want to see the whole working, not only the outcome.",
    "Write your thoughts as they come, check them, then answer.",
    "Walk me through the solution in detail, with the ideas you rejected.",
)
ABOUT = re.compile(r"\b(step|reason|think|thought|explain|working|solution|detail)", re.IGNORECASE)
CHATTER = re.compile(
    r"^(I'm|I am|I'd|I'll|That|This is|This request|Here|You|It |To clarify|In one|Sure|What)"
)


def usable(said: str) -> str | None:
    """Return a model's first sentence, or the part in quotes, if it asks for reasoning at all."""
    quoted = re.search(r'["\u201c]([^"\u201d]{20,160})', said)
    first = re.split(r"(?<=[.!?])\s|\n", (quoted[1] if quoted else said).strip(), maxsplit=1)[0].strip('" ')
    whole = 20 <= len(first) <= 160 and first[-1:] in ".!?"
    return first if whole and ABOUT.search(first) and not CHATTER.match(first) else None


def reword(model: Path, rounds: int) -> None:
    """Let a local model reword requests for reasoning; print the usable ones."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(20261126)
    tokens = AutoTokenizer.from_pretrained(model.parent, gguf_file=model.name)
    speaker = AutoModelForCausalLM.from_pretrained(model.parent, gguf_file=model.name).eval()
    tokens.pad_token, tokens.padding_side = tokens.pad_token or tokens.eos_token, "left"
    found: dict[str, None] = {}
    for n in range(rounds):
        ask = f'Say this request in other words, in one short sentence, as a request to me: "{ASKS[n % 6]}"'
        text = tokens.apply_chat_template(
            [{"role": "user", "content": ask}], tokenize=False, add_generation_prompt=True
        )
        given = tokens([text] * 12, return_tensors="pt", padding=True)
        with torch.no_grad():
            made = speaker.generate(**given, do_sample=True, temperature=1.0, top_p=0.95, max_new_tokens=40)
        for said in tokens.batch_decode(made[:, given["input_ids"].shape[1] :], skip_special_tokens=True):
            if (good := usable(said)) is not None:
                found.setdefault(good)
    print("\n".join(found))


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--scene", default="calm", help=f"a file, or one of {', '.join(shipped_scenes())}")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--defences", default=DEFENCES)
    parser.add_argument("--attackers", default="")
    parser.add_argument("--means", action="store_true")
    parser.add_argument("--honest", nargs="*", default=None)
    parser.add_argument("--goal", type=int, default=None, help="distinct examples; else as the scene says")
    parser.add_argument("--reword", type=Path)
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--out", type=Path, default=Path("/tmp/adaptive.jsonl"))
    asked = parser.parse_args()
    if asked.reword:
        reword(asked.reword, asked.rounds)
        return
    if asked.honest is not None:
        honest(asked.honest or ["sample"])
        return
    path = Path(asked.scene)
    scene = read_scene(path if path.exists() else shipped_scenes()[asked.scene])
    if asked.goal:
        scene = replace(scene, contest={**scene.contest, "goal": asked.goal})
    goal = Rules.of(scene.contest).goal
    who = [f"means:{name}" for name in SWEEP] if asked.means else asked.attackers.split(",")
    if who == [""]:
        who = ["loud", *(name for name in names() if name != "loud")]
    defences = ["none", "stillwatch"] if asked.means else asked.defences.split(",")
    done = [json.loads(text) for text in asked.out.read_text().splitlines()] if asked.out.exists() else []
    known = {(t["scene"], t["defence"], t["attacker"], t["seed"], t["goal"]): t for t in done}
    lines = []
    for against in defences:
        for name in ["loud", *who] if asked.means and against == "none" else who:
            for seed in map(int, asked.seeds.split(",")):
                told = known.get((scene.name, against, name, seed, goal)) or line(scene, seed, against, name)
                if (scene.name, against, name, seed, goal) not in known:
                    with asked.out.open("a") as file:
                        file.write(json.dumps(told) + "\n")
                    print(
                        f"{against} {name} {seed}: {told['out']} out, {told['accounts']} accounts "
                        f"({told['stopped']} stopped), {told['days']:.2f} days, ${told['usd']:.0f}, "
                        f"{told['ended']}, honest stopped {told['honest_stopped']}, refused "
                        f"{told['honest_refused']}/{told['honest_requests']}, {told['cpu_s']} CPU-s",
                        flush=True,
                    )
                lines.append(told)
    print()
    table(lines)


if __name__ == "__main__":
    main()
