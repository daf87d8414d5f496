"""Do the figures of grade B hold without the data they were found on? `python benchmarks/prove_left_out.py`.

Whole candidate families are removed with all their students; quarters of the prompts are used separately;
each constant of the likeness is chosen on one half of the kins and evaluated on the other. Needs the data of
benchmarks/prove.py; some ten CPU-minutes. docs/provenance.md has the figures.
"""

import argparse
import json
import random
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import prove as bench
from stillwatch.prove.lineage import Lineage, LineageError, Role
from stillwatch.prove.lineage.checkup import Checkup, checkup
from stillwatch.prove.lineage.judge import judge
from stillwatch.prove.lineage.margins import choose_field
from stillwatch.prove.pool import likeness as measure
from stillwatch.prove.pool.likeness import Likeness, likeness

CHOICES = {"RARENESS": (1.0, 1.5, 2.0), "LONGEST": (2, 3, 4), "TOKENS": (50, 100, 200)}
HALVES = 500


def say(what: str, told: Any) -> None:
    print(f"{what}: {json.dumps(told)}", flush=True)


def counted(data: bench.Data, alike: Likeness) -> tuple[dict[str, Any], Checkup]:
    found = checkup(alike, data.lineage, bench.ALPHA)
    labelled = {n: m.teachers for n, m in data.labels.models.items() if m.role is Role.STUDENT}
    strict = [(one, labelled[one.student]) for one in found.tried if one.student in labelled]
    first = sum(one.present.standings[0].family in teachers for one, teachers in strict)
    n = found.count()
    told = {
        "first": bench.share(first, len(strict)),
        "AUC": round(bench._auc(strict), 3) if strict else None,
        "named": bench.share(n["teacher_named"], n["students"]),
        "absent": bench.share(n["absent_accused"], n["teacher_absent"]),
        "innocents": bench.share(n["innocents_accused"], n["innocents"]),
    }
    return told, found


def without(data: bench.Data, gone: Iterable[str]) -> bench.Data:
    """Return the data without some models."""
    away = frozenset(gone)
    kept = [model for model in data.pool.models if model not in away]

    def left(lineage: Lineage) -> Lineage:
        return Lineage({n: m for n, m in lineage.models.items() if n not in away})

    return replace(
        data, pool=data.pool.of(kept), labels=left(data.labels), lineage=left(data.lineage), copies={}
    )


def families_out(data: bench.Data) -> None:
    """Remove each candidate family with its students; then judge its students without it by the rest."""
    versions: dict[str, set[str]] = {}
    for model in data.lineage.candidates():
        if model.name in data.pool.answers:
            versions.setdefault(model.family, set()).add(model.name)
    accused = judged = 0
    for family, gone in sorted(versions.items()):
        pupils = {
            n for n, m in data.lineage.models.items()
            if m.role is Role.STUDENT and family in m.teachers and n in data.pool.answers
        }  # fmt: skip
        rest = without(data, gone | pupils)
        told, _ = counted(rest, likeness(rest.pool, rest.pool.models[0]))
        bare = without(data, gone)
        alike = likeness(bare.pool, bare.pool.models[0])
        named = 0
        tried = 0
        for name in sorted(pupils):
            if bare.lineage.models[name].teachers - {family}:
                continue  # another teacher of it remains
            try:
                where = choose_field(alike, bare.lineage, name)
            except LineageError:
                continue
            tried += 1
            named += bool(judge(alike, where, bare.lineage, name, bench.ALPHA).accused)
        accused, judged = accused + named, judged + tried
        say(
            f"without {family} ({len(gone)} versions, {len(pupils)} students)",
            told | {"its students accused": f"{named}/{tried}"},
        )
    say("students of a family that is nowhere in the pool, accused of another", bench.share(accused, judged))


def prompts_alone(data: bench.Data, parts: int = 4) -> None:
    """Evaluate disjoint parts of the prompts, each separately."""
    for part in range(parts):
        prompts = data.pool.prompts[part::parts]
        some = replace(data, pool=data.pool.of(data.pool.models, prompts))
        told, _ = counted(some, likeness(some.pool, some.pool.models[0]))
        say(f"prompts {part + 1} of {parts} ({len(prompts)})", told)


def constants(data: bench.Data, seed: int) -> None:
    """Choose each constant on half of the kins by how often the teacher ranks first; test on the others."""
    labelled = {n: m.teachers for n, m in data.labels.models.items() if m.role is Role.STUDENT}
    for name, choices in CHOICES.items():
        hits: dict[float, dict[str, bool]] = {}
        usual = getattr(measure, name)
        for choice in choices:
            setattr(measure, name, choice)
            told, found = counted(data, likeness(data.pool, data.pool.models[0]))
            hits[choice] = {
                one.student: one.present.standings[0].family in labelled[one.student]
                for one in found.tried if one.student in labelled
            }  # fmt: skip
            say(f"{name} {choice}", told)
        setattr(measure, name, usual)
        kin = {student: data.lineage.models[student].kin for student in hits[usual]}
        kins = sorted(set(kin.values()))
        draw = random.Random(seed)
        chosen, fixed = [], []
        for _ in range(HALVES):
            half = set(draw.sample(kins, len(kins) // 2))
            best = max(choices, key=lambda c: (sum(hits[c][s] for s in kin if kin[s] in half), c == usual))
            other = [s for s in kin if kin[s] not in half]
            chosen.append(np.mean([hits[best][s] for s in other]))
            fixed.append(np.mean([hits[usual][s] for s in other]))
        say(
            f"{name} chosen on half of {len(kins)} kins, the teacher first on the other half",
            {"chosen": round(float(np.mean(chosen)), 3), f"always {usual}": round(float(np.mean(fixed)), 3)},
        )


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("--data", type=Path, default=bench.SHARED)
    given.add_argument("--seed", type=int, default=1)
    asked = given.parse_args()
    data = bench.load(asked.data)
    say("all", counted(data, likeness(data.pool, data.pool.models[0]))[0])
    prompts_alone(data)
    constants(data, asked.seed)
    families_out(data)


if __name__ == "__main__":
    main()
