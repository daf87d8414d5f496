#!/usr/bin/env python3
"""What ranks, leads and identification find on real models, and whom they accuse wrongly, beside peers.

    python benchmarks/prove.py [--data DIR] [--peers DIR] [--draws 5] [--seed 1] [--json FILE]

DIR holds outputs_dev.parquet, lineage_dev.json and lineage_dev.csv (answers of 89 public models to the same
372 prompts, with their makers' publications about lineage). They are not ours to distribute: without them the
program reports that and exits with 2. Peers are run from a folder that `pip install --target` filled; missing
ones are listed.
"""

import csv
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_1samp

import prove_peers as peers
from arguments import parser_of
from stillwatch.prove.identify import Reference, who
from stillwatch.prove.identify.normal import scores
from stillwatch.prove.identify.version import same_version
from stillwatch.prove.identify.who import comparison_threshold, decide, strangers
from stillwatch.prove.lineage import Lineage, LineageError, Role
from stillwatch.prove.lineage.checkup import Checkup, area, checkup
from stillwatch.prove.lineage.margins import choose_field
from stillwatch.prove.lineage.reading import read_lineage
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.likeness import Likeness, likeness, prompt_likeness, tokens
from stillwatch.prove.pool.reading import read_pool
from stillwatch.stats.intervals import wilson

SHARED = Path(__file__).parents[1].parent / "shared" / "provenance"
ALPHA, BAN_ALPHA = 0.05, 0.01
PROMPTS = 50  # asked of an endpoint
KINDS = ("SAME WEIGHTS, style-prompted", "same weights", "best-of-n", "DPO", "SimPO")

Row = dict[str, Any]


def share(hits: int, of: int) -> str:
    """Format a share with its count and interval."""
    low, high = wilson(hits, of)
    return f"{hits / of:.2f} ({hits}/{of}, {low:.2f}-{high:.2f})" if of else "nothing to count"


@dataclass(frozen=True)
class Data:
    """The pool, its lineage, and which models are copies of which."""

    pool: Pool
    labels: Lineage  # one teacher family each, as the JSON has it
    lineage: Lineage  # all that is published
    copies: dict[str, tuple[str, str]]  # copy -> (original, kind)


def load(folder: Path) -> Data:
    pool = read_pool([folder / "outputs_dev.parquet"])
    names = folder / "lineage_dev.json", folder / "lineage_dev.csv"
    copies = {}
    with names[1].open(newline="") as file:
        for row in csv.DictReader(file):
            method = row["method"]
            said = (
                method.split("same weights as ")[-1].split(",")[0]
                if "same weights as " in method
                else row["base"]
            )
            if row["model"] in pool.answers and said in pool.answers:
                copies[row["model"]] = (said, next((kind for kind in KINDS if kind in method), method))
    return Data(pool, read_lineage(names[:1]), read_lineage(names), copies)


def ranks(data: Data, alike: Likeness) -> Row:
    """Grade B: judge every known student as a stranger, with and without its teachers."""
    found = checkup(alike, data.lineage, ALPHA)
    labelled = {name for name, model in data.labels.models.items() if model.role is Role.STUDENT}
    strict = [
        (one, data.labels.models[one.student].teachers)
        for one in found.tried if one.student in labelled
    ]  # fmt: skip
    first = sum(one.present.standings[0].family in teachers for one, teachers in strict)
    return {
        "students with one labelled teacher": len(strict),
        "teacher family first": share(first, len(strict)),
        "AUC": round(_auc(strict), 3),
        **_counts(found),
    }


def _auc(strict: Sequence[Any]) -> float:
    right: list[float] = []
    wrong: list[float] = []
    for one, teachers in strict:
        likenesses = {s.family: s.likeness for s in one.present.standings}
        for family, value in likenesses.items():
            rest = max(v for f, v in likenesses.items() if f != family)
            (right if family in teachers else wrong).append(float(np.log(value / rest)))
    return area(right, wrong)


def _counts(found: Checkup) -> Row:
    n = found.count()
    return {
        "all known students": n["students"],
        "kins": n["kins"],
        f"teacher named at {ALPHA}": share(n["teacher_named"], n["students"]),
        "another named, teacher present": share(n["other_named"], n["students"]),
        "somebody named, teacher absent": share(n["absent_accused"], n["teacher_absent"]),
        "somebody named for an innocent": share(n["innocents_accused"], n["innocents"]),
    }


def intersection_union(data: Data, alike_of: Callable[[str], Likeness]) -> Row:
    """Run the published test: the closest family closer than *every* control, paired over prompts.

    Our re-implementation of the rule (Nikolic et al. 2502.00706, on same-prompt likeness instead of next
    tokens, which outputs do not have).
    """
    tally = dict.fromkeys(("right", "present", "absent", "absent_of", "innocent", "innocent_of"), 0)
    for name, model in data.lineage.models.items():
        if name not in data.pool.answers or model.role not in (Role.STUDENT, Role.INNOCENT):
            continue
        alike = alike_of(name)
        try:
            where = choose_field(alike, data.lineage, name)
        except LineageError:
            continue
        by_family = {f: _rows_mean(alike.by_prompt[:, list(where.versions[f])]) for f in where.families}
        if model.role is Role.INNOCENT:
            tally["innocent_of"] += 1
            tally["innocent"] += _closest(by_family) is not None
            continue
        if not model.teachers & set(where.families):
            continue
        tally["present"] += 1
        tally["right"] += _closest(by_family) in model.teachers
        rest = {f: v for f, v in by_family.items() if f not in model.teachers}
        if len(rest) > 1:
            tally["absent_of"] += 1
            tally["absent"] += _closest(rest) is not None
    return {
        f"teacher named at {ALPHA}": share(tally["right"], tally["present"]),
        "somebody named, teacher absent": share(tally["absent"], tally["absent_of"]),
        "somebody named for an innocent": share(tally["innocent"], tally["innocent_of"]),
    }


def _rows_mean(values: Any) -> Any:
    held = np.isfinite(values)
    return np.divide(
        np.where(held, values, 0).sum(axis=1), held.sum(axis=1),
        out=np.full(len(values), np.nan), where=held.any(axis=1),
    )  # fmt: skip


def _closest(by_family: dict[str, Any]) -> str | None:
    best = max(by_family, key=lambda f: float(np.nanmean(by_family[f])))
    worst = 0.0
    for family, values in by_family.items():
        if family != best:
            gap = by_family[best] - values
            worst = max(worst, float(ttest_1samp(gap[np.isfinite(gap)], 0, alternative="greater").pvalue))
    return best if worst < ALPHA else None


def mislabelled(kins: dict[str, str], models: Sequence[str], share: float, rng: Any) -> dict[str, str]:
    """Wrong kins for a share of the models that have kin: a kin of their own, or somebody else's."""
    alike = [m for m in models if sum(kins[m] == kins[other] for other in models) > 1]
    wrong = rng.choice(alike, int(share * len(models)), replace=False).tolist()
    others = sorted({kins[m] for m in models})
    return kins | {m: f"wrong {m}" if rng.random() < 0.5 else str(rng.choice(others)) for m in wrong}


def disguises(data: Data, draws: int, seed: int, prompts: int, wrong: float = 0.0) -> Row:
    """Identification: copies of known models, and models whose kin is not in the library.

    `wrong`: a share of the references whose kin is labelled wrongly, different ones in each draw.
    """
    rng = np.random.default_rng(seed)
    true = {m: data.lineage.models[m].kin if m in data.lineage.models else m for m in data.pool.models}
    library = [m for m in data.pool.models if m not in data.copies]
    hit: dict[str, list[bool]] = {}
    tally = dict.fromkeys(("named", "named right", "resembles", "right kin", "n", "false pair", "pairs"), 0)
    strange = {"named": 0, "resembles": 0, "n": 0}
    for _ in range(draws):
        drawn = sorted(
            rng.choice(len(data.pool.prompts), min(prompts, len(data.pool.prompts)), replace=False)
        )
        kins = mislabelled(true, library, wrong, rng) if wrong else true
        known = {m: Reference(m, kins[m], "", 0, "") for m in library}
        part = data.pool.of(data.pool.models, [data.pool.prompts[i] for i in drawn])
        alike = likeness(part, part.models[0])
        table = by_prompt(part)
        kin = [kins[m] for m in alike.models]
        refs = np.array([i for i, m in enumerate(alike.models) if m in known], np.int64)
        for copy, (original, kind) in data.copies.items():
            if original not in known:
                continue
            row, own = alike.at(copy), kins[original]
            others = np.array([r for r in refs if kin[r] != own])
            threshold = comparison_threshold(strangers(alike.mean, others, kin).pairs, BAN_ALPHA)
            score = scores(alike.mean, row, refs, [*kin[:row], f"\0{copy}", *kin[row + 1 :]])
            hit.setdefault(kind, []).append(bool(score[list(refs).index(alike.at(original))] > threshold))
            found = decide(replace(alike, focus=copy, by_prompt=table[:, row]), known, BAN_ALPHA, count=False)
            tally["n"] += 1
            right = true[found.nearest[0].reference] == true[original]
            tally["right kin"] += right
            tally["named"] += found.answer == "named"
            tally["named right"] += found.answer == "named" and right
            tally["resembles"] += found.answer == "resembles"
        false, of = _false_pairs(alike, refs, kin)
        tally["false pair"] += false
        tally["pairs"] += of
        for model in known:
            alone = {m: r for m, r in known.items() if true[m] != true[model]}
            focused = replace(alike, focus=model, by_prompt=table[:, alike.at(model)])
            answer = decide(focused, alone, BAN_ALPHA, count=False).answer
            strange["n"] += 1
            strange["named"] += answer == "named"
            strange["resembles"] += answer == "resembles"
    every = [one for found in hit.values() for one in found]
    n, s = tally["n"], strange["n"]
    return {
        "prompts": prompts,
        "disguises x draws": n,
        "found at 1 % a comparison": f"{np.mean(every):.3f}",
        **{f"  of {kind}": f"{np.mean(found):.2f} of {len(found)}" for kind, found in hit.items()},
        "false alarms a comparison, kin apart": f"{tally['false pair'] / tally['pairs']:.4f}",
        "likest reference is of the right kin": f"{tally['right kin'] / n:.3f}",
        "answer named": f"{tally['named'] / n:.2f}",
        "  of the right kin": f"{tally['named right'] / max(1, tally['named']):.2f}",
        "answer resembles": f"{tally['resembles'] / n:.2f}",
        "kin not in the library: named": f"{strange['named'] / s:.4f} of {s}",
        "kin not in the library: resembles": f"{strange['resembles'] / s:.2f}",
    }


def by_prompt(pool: Pool) -> Any:
    """Return (prompts, models, models): similarities on each prompt; nan if a model did not answer."""
    table = np.full((len(pool.prompts), len(pool.models), len(pool.models)), np.nan)
    for at, prompt in enumerate(pool.prompts):
        who_answered = [i for i, model in enumerate(pool.models) if prompt in pool.answers[model]]
        texts = [tokens(pool.answers[pool.models[i]][prompt][0]) for i in who_answered]
        table[np.ix_([at], who_answered, who_answered)] = prompt_likeness(texts)
    return table


def _false_pairs(alike: Likeness, refs: Any, kin: list[str]) -> tuple[int, int]:
    """Treat each kin in turn as strangers: a threshold from the others, applied to this one's pairs."""
    kins = np.array(kin)[refs]
    table = strangers(alike.mean, refs, kin).table
    false = of = 0
    for own in sorted(set(kins)):
        rest = table[np.ix_(kins != own, kins != own)]
        pairs = table[kins == own]
        pairs = pairs[np.isfinite(pairs)]
        false += int((pairs > comparison_threshold(rest[np.isfinite(rest)], BAN_ALPHA)).sum())
        of += len(pairs)
    return false, of


def versions(data: Data, draws: int, seed: int) -> Iterator[Row]:
    """Test versions: nulls of two models' answers swapped at random, and pairs that differ."""
    rng = np.random.default_rng(seed)
    one, other = _pair(data, ("gpt4_0613", "gpt4"))
    ids = list(data.pool.prompts)
    p = []
    for _ in range(draws * 20):
        drawn = [ids[i] for i in rng.choice(len(ids), PROMPTS, replace=False)]
        flip = rng.random(len(drawn)) < 0.5
        sides = [
            {
                q: data.pool.answers[other if f is side else one][q]
                for q, f in zip(drawn, map(bool, flip), strict=True)
            }
            for side in (True, False)
        ]
        mixed = Pool(tuple(sorted(drawn)), {"a": sides[0], "b": sides[1]}, {}, {})
        p.append(same_version(mixed, "a", "b", swaps=199).p_value)
    yield {
        "pair": "made null", "prompts": PROMPTS,
        "rejected at 0.05": share(sum(x <= 0.05 for x in p), len(p)),
        "at 0.01": share(sum(x <= 0.01 for x in p), len(p)),
    }  # fmt: skip
    for a, b in PAIRS:
        if a not in data.pool.answers or b not in data.pool.answers:
            continue
        whole = same_version(data.pool, a, b)
        row: Row = {
            "pair": f"{a} / {b}",
            "told apart": f"{whole.told_apart:.2f}",
            "p": f"{whole.p_value:.4f}",
        }
        for n in (50, 100, 200):
            hits = 0
            for _ in range(draws):
                drawn = [ids[i] for i in rng.choice(len(ids), n, replace=False)]
                hits += same_version(data.pool.of([a, b], drawn), a, b, swaps=199).p_value <= 0.05
            row[f"power at {n}"] = f"{hits / draws:.2f}"
        yield row


PAIRS = (
    ("vicuna-13b-v1.5-togetherai", "vicuna-13b-v1.5"),
    ("gpt4_0314", "gpt4"),
    ("gpt4_0613", "gpt4"),
    ("claude-2", "claude-2.1"),
    ("zephyr-7b-alpha", "zephyr-7b-beta"),
    ("Llama-3-Instruct-8B-SimPO", "Meta-Llama-3-8B-Instruct"),
    ("alpaca-7b_concise", "alpaca-7b"),
)


def _pair(data: Data, wanted: tuple[str, str]) -> tuple[str, str]:
    if all(name in data.pool.answers for name in wanted):
        return wanted
    return data.pool.models[0], data.pool.models[1]


def main() -> int:
    parser = parser_of(__doc__)
    parser.add_argument("--data", type=Path, default=SHARED)
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, default=None)
    asked = parser.parse_args()
    if not (asked.data / "outputs_dev.parquet").exists():
        print(f"{asked.data}: has no outputs_dev.parquet; give --data", file=sys.stderr)
        return 2
    data = load(asked.data)
    alike = likeness(data.pool, data.pool.models[0])
    sections: dict[str, Any] = {}

    def show(title: str, found: Row | list[Row]) -> None:
        sections[title] = found
        print(f"\n{title}")
        for row in found if isinstance(found, list) else [found]:
            for key, value in row.items():
                print(f"  {key}: {value}")

    rng = np.random.default_rng(asked.seed)
    show("grade B, all prompts", ranks(data, alike))
    for n in (50, 100, 200):
        ids = [data.pool.prompts[i] for i in rng.choice(len(data.pool.prompts), n, replace=False)]
        part = data.pool.of(data.pool.models, ids)
        show(f"grade B, {n} prompts (one draw)", ranks(data, likeness(part, part.models[0])))
    show("closer than every control (re-implemented)", intersection_union(data, peers.focused(data.pool)))
    for n in (25, PROMPTS, 100):
        show(f"identify, {n} prompts, {asked.draws} draws", disguises(data, asked.draws, asked.seed, n))
    wrong = asked.draws, asked.seed, PROMPTS, who.DOUBTED_SHARE
    show("identify, 5 % of the kins are wrong", disguises(data, *wrong))
    who.DOUBTED_SHARE = 0.0
    show("the same, no reference is set aside", disguises(data, *wrong))
    show("same version", list(versions(data, asked.draws, asked.seed)))
    for title, found in peers.run(data, asked.peers, asked.seed, PAIRS):
        show(title, found)
    if asked.json is not None:
        asked.json.write_text(
            json.dumps({"seed": asked.seed, "draws": asked.draws, **sections}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
