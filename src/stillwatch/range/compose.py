"""Compose a scene:

honest people, re-drawn or made, with new campaigns among them, in the shipped layout.

It writes exchanges, accounts, truth, truth_exchanges and scene.toml; the same scene and seed give the same
bytes. How real campaigns hide is unknown (see inject.py).
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.answers import with_answers
from stillwatch.range.campaigns import CampaignPlan, accounts_of
from stillwatch.range.defences import CalibrationLog
from stillwatch.range.inject import Injection, Side, inject, victims_of
from stillwatch.range.outcome import ScoredPeople
from stillwatch.range.partition import (
    calibration_part,
    part_of,
    people_in,
    place_of,
    scored_people,
    seed_place,
)
from stillwatch.range.people.customers import customers
from stillwatch.range.people.population_tables import concat_populations, crowd
from stillwatch.range.people.selves import Author, authors
from stillwatch.range.people.supply import spelt
from stillwatch.range.population import (
    DONOR_KINDS,
    HonestPopulation,
    donors_of,
    honest_accounts,
    read_population,
)
from stillwatch.range.prompt_pools import shipped_corpora
from stillwatch.range.scenes import Scene, find_base, stock_folder
from stillwatch.range.sorted_log import Spill
from stillwatch.range.stock import Corpora, read_corpora
from stillwatch.toml import document

LARGE = 600_000  # exchanges: above this a scene is streamed
DIVISION = 100_000  # exchanges of a campaign that are composed at once
FIRST_COVER_EDITION = 900_000_000  # of cover talk; honest people's editions count from 0
Tell = Callable[[str, int, int | None], None]
MARKS = pa.schema([("exchange_id", pa.string()), ("campaign", pa.string())])
# of a plan: written only if set, so that older worlds keep their bytes
NEW_FIELDS = ("stolen", "sticky", "place", "retries", "cleaned")


def compose_scene(scene: Scene, seed: int, out: Path, tell: Tell | None = None) -> Path:
    """Compose the scene with one seed into `out`/name-SEED; return the folder.

    A large scene is made in parts and is never in memory as a whole; `tell` receives the progress.

    Raises: InputError: a base or stock is missing, or too small for the campaigns.
    """
    folder = out / f"{scene.name}-{seed}"
    exchanges = (scene.people.exchanges or 0) + sum(plan.exchanges for plan in scene.plans)
    if exchanges > LARGE and scene.people.base is None:
        if any(plan.cleaned for plan in scene.plans):
            raise InputError(f"{scene.name}: `cleaned` needs answers, for {LARGE:,} exchanges at most")
        return _stream(scene, seed, folder, tell or (lambda phase, done, total: None))
    side = honest_side(scene, seed)
    injections = list(_injections(scene, side))
    return write_scene(side.people, injections, folder, scene_toml(scene, seed, side.people))


def honest_side(scene: Scene, seed: int) -> Side:
    """Make a scene's honest people, and the material for campaigns, before any campaign is added.

    Raises: InputError: a base or stock is missing.
    """
    rng = generator_of(scene.name, seed)
    if scene.people.base is None:
        people = concat_populations(crowd(scene, seed))
        return _scratch(scene, concat_populations([people, *make_crowds(scene, seed, people)]), rng)
    people, spare = _redrawn(scene, seed)
    people = concat_populations([people, *make_crowds(scene, seed, people)])
    corpora = _corpora(scene, set(people.exchanges["prompt"].to_pylist()))
    talks = list(dict.fromkeys([*corpora.talks, *spare]))
    talks = [talks[i] for i in rng.permutation(len(talks))]
    return Side(people, donors_of(people), corpora, talks, victims_of(people, rng), rng)


def _scratch(scene: Scene, people: HonestPopulation, rng: np.random.Generator) -> Side:
    """Return the material for campaigns among people from scratch, from texts that these do not use."""
    corpora = _corpora(
        scene, set() if scene.stock == "shipped" else set(people.exchanges["prompt"].to_pylist())
    )
    wanted = sum(accounts_of(p) + p.exchanges * p.cover / (1 - p.cover) for p in scene.plans)
    talks: list[tuple[str, ...]] = []
    edition = 0
    while corpora.talks and len(talks) < wanted:
        respelt = [tuple(spelt(text, edition) for text in talk) for talk in corpora.talks]
        talks = [respelt[i] for i in rng.permutation(len(respelt))] + talks  # edition 0 is used first
        edition = max(FIRST_COVER_EDITION, edition + 1)
    return Side(people, donors_of(people), corpora, talks, victims_of(people, rng), rng)


def _injections(scene: Scene, side: Side) -> Iterator[Injection]:
    """Yield each campaign; a large one in divisions, each with accounts and items of its own."""
    folder = scene.path.parent if scene.path else None
    for n, plan in enumerate(scene.plans):
        for division in split_plan(plan):
            try:
                yield inject(division, side, float(scene.days), folder)
            except InputError as error:
                raise InputError(f"{scene.place('campaign', n)}: {error}") from error


def split_plan(plan: CampaignPlan) -> list[CampaignPlan]:
    """Split a plan of more than `DIVISION` exchanges into equal ones under the same name.

    >>> plan = CampaignPlan("c", "drip", 100, 250_001, 8.0, 2.0, ("orca_flan",), 2)
    >>> [p.exchanges for p in split_plan(plan)]
    [83334, 83334, 83333]
    """
    parts = min(-(-plan.exchanges // DIVISION), plan.accounts)
    return [
        replace(
            plan,
            accounts=plan.accounts // parts + (n < plan.accounts % parts),
            exchanges=plan.exchanges // parts + (n < plan.exchanges % parts),
        )
        for n in range(parts)
    ]


def _stream(scene: Scene, seed: int, folder: Path, tell: Tell) -> Path:
    """Compose part by part: the first part's people supply traits, conversations and keys to campaigns."""
    parts = crowd(scene, seed)
    first = next(parts)
    side = _scratch(scene, first, generator_of(scene.name, seed))
    folder.mkdir(parents=True, exist_ok=True)
    begin_us = int(first.begin.timestamp()) * 1_000_000
    accounts, truth = [first.accounts], [first.truth]
    total = (scene.people.exchanges or 0) + sum(plan.exchanges for plan in scene.plans)
    with (
        Spill(folder / "spill", first.exchanges.schema, begin_us) as spill,
        pq.ParquetWriter(folder / "truth_exchanges.parquet", MARKS, compression="zstd") as marks,
    ):
        robbed: list[Injection] = []
        for injection in _injections(scene, side):
            spill.add(pa.Table.from_pylist(injection.rows, first.exchanges.schema))
            accounts.append(pa.Table.from_pylist(injection.accounts, first.accounts.schema))
            truth.append(pa.Table.from_pylist(injection.truth, first.truth.schema))
            marks.write_table(pa.Table.from_pylist(injection.marks, MARKS))
            tell("composing", spill.taken, total)
            if injection.stolen:
                robbed.append(replace(injection, rows=[]))
        if robbed:
            sent = {account: n for injection in robbed for account, n in injection.stolen.items()}
            truth[0] = _mark_stolen(truth[0], first.exchanges, robbed, sent)
        spill.add(first.exchanges)
        for part in chain(make_crowds(scene, seed, first), parts):
            spill.add(part.exchanges)
            accounts.append(part.accounts)
            truth.append(part.truth)
            tell("composing", spill.taken, total)
        spill.finish(folder / "exchanges.parquet", lambda rows: tell("writing", rows, spill.taken))
    for name, tables in (("accounts", accounts), ("truth", truth)):
        exchanges = pa.concat_tables(tables).sort_by("account")
        pq.write_table(exchanges, folder / f"{name}.parquet", compression="zstd")
    (folder / "scene.toml").write_text(scene_toml(scene, seed, first))
    return folder


def generator_of(name: str, seed: int) -> np.random.Generator:
    """Return the random generator of a name and a seed."""
    return np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]))


def _corpora(scene: Scene, used: set[str]) -> Corpora:
    return shipped_corpora(used) if scene.stock == "shipped" else read_corpora(stock_folder(scene), used)


def _redrawn(scene: Scene, seed: int) -> tuple[HonestPopulation, list[tuple[str, ...]]]:
    """Return the base's people who stay, and the conversations of those left out."""
    base = find_base(scene)
    population = read_population(base)
    people = people_in(population, part_of(scene, seed, honest_accounts(base)), scene.people.drop_kinds)
    if not len(people.truth):
        raise InputError(
            f"{scene.place('population')}: nobody is left of the base; keep more accounts or kinds"
        )
    return people, _spare_talks(population, people)


def calibration_log(scene: Scene, seed: int) -> CalibrationLog:
    """Return honest people of the scene who are not scored with this seed, for setting thresholds.

    With a base they are its people outside the seed's own; from scratch others are made, at most one part.

    Raises: InputError: a base is missing.
    """
    other = int.from_bytes(hashlib.blake2b(f"calibration {seed}".encode(), digest_size=7).digest())
    if scene.people.base is None:
        people = next(crowd(scene, other))
    else:
        base = find_base(scene)
        part = calibration_part(part_of(scene, seed, honest_accounts(base)))
        people = people_in(read_population(base), part, scene.people.drop_kinds)
    people = concat_populations([people, *make_crowds(scene, other, people, calibrates=True)])
    return CalibrationLog(people.exchanges, people.accounts)


def make_crowds(
    scene: Scene, seed: int, beside: HonestPopulation, *, calibrates: bool = False
) -> list[HonestPopulation]:
    """Make the customers of the scene's programs, on the calendar of the people `beside` them.

    Raises: InputError: real authors' texts are needed and missing.
    """
    real: list[Author] = []
    if any(added.texts == "authors" for added in scene.crowds):
        place, places = seed_place(scene, seed, calibrates)
        real = sorted(authors(), key=lambda author: place_of(author.name))[place::places]
    injections = []
    for added in scene.crowds:
        rng = generator_of(f"{scene.name} crowd {added.name}", seed)
        lent: list[Author] = []
        if added.texts == "authors":
            lent, real = real[: added.accounts], real[added.accounts :]
        injections.append(customers(added, scene.days, beside.begin, beside.new_model_day, rng, lent))
    return injections


def scored_people_of(scene: Scene, seed: int) -> ScoredPeople:
    """Return which honest people are scored with a seed."""
    if scene.people.base is None:
        return scored_people(scene, seed, None)
    return scored_people(scene, seed, part_of(scene, seed, honest_accounts(find_base(scene))))


def _spare_talks(whole: HonestPopulation, people: HonestPopulation) -> list[tuple[str, ...]]:
    """Return conversations of ordinary accounts that were left out, with words that nobody who stayed has."""
    kind = pc.is_in(whole.truth["kind"], value_set=pa.array(DONOR_KINDS))
    dropped = set(whole.truth.filter(kind)["account"].to_pylist()) - set(people.truth["account"].to_pylist())
    rows = whole.exchanges.select(["account", "conversation", "time", "prompt"])
    rows = rows.filter(pc.is_in(rows["account"], value_set=pa.array(sorted(dropped), pa.string()))).sort_by(
        "time"
    )
    used = set(people.exchanges["prompt"].to_pylist())
    talks: dict[tuple[str, str], list[str]] = {}
    for n, row in enumerate(rows.to_pylist()):
        talks.setdefault((row["account"], row["conversation"] or str(n)), []).append(row["prompt"])
    return [tuple(turns) for turns in talks.values() if not used.intersection(turns)]


def write_scene(people: HonestPopulation, made: list[Injection], folder: Path, about: str) -> Path:
    """Write honest people and the campaigns' additions; `about` is scene.toml."""
    exchanges, accounts, truth = people.exchanges, people.accounts, people.truth
    used = any(row["completion"] is not None for m in made for row in m.rows)
    if used and "completion" not in exchanges.column_names:
        exchanges = exchanges.append_column("completion", pa.nulls(len(exchanges), pa.string()))
    if made:
        exchanges = pa.concat_tables(
            [exchanges, pa.Table.from_pylist([r for m in made for r in m.rows], exchanges.schema)]
        )
        accounts = pa.concat_tables(
            [accounts, pa.Table.from_pylist([r for m in made for r in m.accounts], accounts.schema)]
        )
        truth = pa.concat_tables(
            [truth, pa.Table.from_pylist([r for m in made for r in m.truth], truth.schema)]
        )
        truth = _mark_stolen(truth, exchanges, made)
    if used:
        exchanges = with_answers(exchanges)
    folder.mkdir(parents=True, exist_ok=True)
    keys = [("time", "ascending"), ("exchange_id", "ascending")]
    pq.write_table(exchanges.sort_by(keys), folder / "exchanges.parquet", compression="zstd")
    pq.write_table(accounts.sort_by("account"), folder / "accounts.parquet", compression="zstd")
    pq.write_table(truth.sort_by("account"), folder / "truth.parquet", compression="zstd")
    marks = pa.Table.from_pylist([r for m in made for r in m.marks], MARKS)
    pq.write_table(marks, folder / "truth_exchanges.parquet", compression="zstd")
    (folder / "scene.toml").write_text(about)
    return folder


def _mark_stolen(
    truth: pa.Table, exchanges: pa.Table, made: list[Injection], more: dict[str, float] | None = None
) -> pa.Table:
    """Mark accounts whose keys were stolen as the campaign's, with the share that the thief sent.

    `more` is what the thief sent, if that is not among the exchanges.
    """
    by_account = {account: m for m in made for account in m.stolen}
    if not by_account:
        return truth
    counts = exchanges.filter(pc.is_in(exchanges["account"], value_set=pa.array(sorted(by_account))))
    total = {c["values"].as_py(): c["counts"].as_py() for c in counts["account"].value_counts()}
    rows = truth.to_pylist()
    for row in rows:
        account = row["account"]
        if account in by_account:
            like = by_account[account]
            row |= {"kind": "campaign", "campaign": like.campaign, "style": like.shape}
            row["covert_share"] = like.stolen[account] / (total[account] + (more or {}).get(account, 0.0))
    return pa.Table.from_pylist(rows, truth.schema)


def scene_toml(scene: Scene, seed: int, people: HonestPopulation) -> str:
    """Return scene.toml: the shipped scenes' keys first, then the hash of the scene's own file."""
    early = any(plan.start < scene.clean_days for plan in scene.plans)
    lines = [
        f"name = {document.quote(scene.name)}",
        'split = "composed"',
        f"base = {document.quote(scene.people.base or '')}",
    ]
    lines += [f"seed = {seed}", f'begin = "{people.begin:%Y-%m-%d}"', f"contaminated = {str(early).lower()}"]
    lines += [
        f"new_model_day = {people.new_model_day}",
        f"days = {scene.days}",
        f"clean_days = {scene.clean_days}",
    ]
    lines.append(f'scene_sha256 = "{scene.digest}"')
    return "\n".join(lines + plans_toml(scene.plans)) + "\n"


def plans_toml(plans: tuple[CampaignPlan, ...]) -> list[str]:
    """Return the lines of scene.toml that describe the campaigns."""
    lines = []
    for plan in plans:
        lines += ["", "[[campaign]]"]
        for f in fields(plan):
            value = getattr(plan, f.name)
            if f.name not in NEW_FIELDS or value != f.default:
                lines.append(f"{f.name} = {json.dumps(list(value) if isinstance(value, tuple) else value)}")
    return lines
