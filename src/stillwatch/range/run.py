"""A run: every scene with every seed against every defence, into a folder from which it can be resumed.

Each cell (scene, seed, defence, and any attacker that reacts) is one file, written atomically. A run that was
killed plays only the missing cells.
"""

import fcntl
import json
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import msgspec

from stillwatch.errors import Faults, InputError, refuse_os_errors
from stillwatch.range import manifest as made
from stillwatch.range.attackers import registry as attackers
from stillwatch.range.cells import CELLS, LIVE, LOGS, SCENES, Cell, CellResult, play_cells, read_told
from stillwatch.range.contest import Contest, Rules
from stillwatch.range.contests import LOUD, NONE
from stillwatch.range.defences import registry
from stillwatch.range.live import LiveSettings
from stillwatch.range.outcome import SceneOutcome
from stillwatch.range.scenes import Scene
from stillwatch.report.findings import write_atomically
from stillwatch.toml.declared import build

Tell = Callable[[str, int, int | None], None]
LOCK = ".lock"
FIXED = "fixed"  # an attacker that follows its plan
MOST_SEEDS = 100
OWN = {made.FILE, LOCK, CELLS, LOGS, SCENES, LIVE, "students", "range.json", "index.html"}


@dataclass(frozen=True)
class SceneRequest:
    """One scene of a run with its seeds, defences, and attackers that react."""

    scene: Scene
    seeds: tuple[int, ...]
    defences: tuple[str, ...]
    attackers: tuple[str, ...] = ()


@dataclass(frozen=True)
class CellFailure:
    """A cell that could not be played, and why."""

    cell: Cell
    reason: str


@dataclass(frozen=True)
class RangeRun:
    """The result of a run."""

    id: str
    folder: Path
    mode: str
    outcomes: tuple[SceneOutcome, ...]
    contests: tuple[tuple[str, Contest], ...]  # with the scene's name
    live: tuple[dict[str, Any], ...]
    refusals: tuple[CellFailure, ...]
    composed: dict[str, str]  # "scene.seed" -> SHA-256 of its log
    cpu_s: float  # of all cells, whenever they were played
    made_anew: int  # cells that this call played; the others existed


def scene_request(
    scene: Scene,
    seeds: int | tuple[int, ...] | None = None,
    defences: tuple[str, ...] = (),
    reacting: tuple[str, ...] = (),
) -> SceneRequest:
    """Determine a scene's seeds (these, or a number of them, counted from its own), defences and attackers.

    Raises: InputError: a defence or an attacker is unknown, there are no seeds, [contest] or [live] is
        invalid;
            every mistake of the scene with file and line.
    """
    _check(scene, named=not defences, reacting=not reacting)
    declared = scene.seeds
    if isinstance(seeds, tuple):
        is_few = 1 <= len(seeds) <= MOST_SEEDS and len(set(seeds)) == len(seeds)
        if not is_few or not all(0 <= seed < 1 << 63 for seed in seeds):
            raise InputError(f"--seeds is {','.join(map(str, seeds))}; give whole numbers from 0, none twice")
        declared = seeds
    elif seeds is not None:
        if not 1 <= seeds <= MOST_SEEDS:
            raise InputError(f"--seeds is {seeds}; give a number from 1 to {MOST_SEEDS}")
        further = range(max(declared) + 1, max(declared) + 1 + max(0, seeds - len(declared)))
        declared = (*declared, *further)[:seeds]
    folder = scene.path.parent if scene.path and not defences else Path()
    named = tuple(
        str((folder / name).resolve()) if name.endswith(".py") else name
        for name in defences or scene.defences
    )
    wanted = reacting or tuple(dict.fromkeys(c.attacker for c in scene.campaigns if c.attacker != FIXED))
    for name in wanted:
        attackers.attacker(name)
    return SceneRequest(scene, declared, registry.expand_names(named), wanted)


def _check(scene: Scene, *, named: bool, reacting: bool) -> None:
    """Check what a scene's reader does not: names, [contest] and [live]."""
    problems: list[str] = []
    if reacting:
        for n, campaign in enumerate(scene.campaigns):
            if campaign.attacker != FIXED:
                _try(problems, scene.place("campaign", n, "attacker"), attackers.attacker, campaign.attacker)
    folder = scene.path.parent if scene.path else Path()
    for name in scene.defences if named else ():
        where = str((folder / name).resolve()) if name.endswith(".py") else name
        _try(problems, scene.place("defence", "names"), registry.expand_names, (where,))
    for kind, table in ((Rules, scene.table("contest")), (LiveSettings, scene.table("live"))):
        build(kind, table)
        problems += table.notes.sentences()
    if problems:
        raise Faults(problems)


def _try(problems: list[str], place: str, check: Callable[..., object], *what: object) -> None:
    try:
        check(*what)
    except InputError as error:
        problems.append(f"{place}: {error}" if place else str(error))


def run(
    wanted: tuple[SceneRequest, ...],
    out: Path,
    tell: Tell,
    *,
    mode: str = "log",
    keep: bool = False,
    jobs: int = 1,
) -> RangeRun:
    """Play every missing cell, and return all of them in order.

    Raises: InputError: `out` holds another run, another process works in it, or no cell could be played.
    """
    names = [a.scene.name for a in wanted]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(f"two scenes are called {twice}; a run knows its scenes by name")
    facts = facts_of(wanted, mode)
    with _lock_folder(out):
        _settle(out, facts, wanted)
        cells = [(a.scene, cell) for a in wanted for cell in _cells(a, mode)]
        todo = [(scene, cell) for scene, cell in cells if not (out / CELLS / cell.file).exists()]
        done = len(cells) - len(todo)
        tell("cells", done, len(cells))
        refusals = []
        for cell, reason in _play_together(todo, out, jobs, keep, tell):
            done += 1
            if reason is not None:
                refusals.append(CellFailure(cell, reason))
            tell(cell.title, done, len(cells))
        if refusals and len(refusals) == len(cells):
            raise InputError(f"nothing could be played: {refusals[0].cell.title}: {refusals[0].reason}")
        stand = [cell for _, cell in cells if (out / CELLS / cell.file).exists()]
        result = _gather(out, facts, mode, stand, tuple(refusals), len(todo) - len(refusals))
        if not keep:
            shutil.rmtree(out / LOGS, ignore_errors=True)
    return result


def facts_of(wanted: tuple[SceneRequest, ...], mode: str) -> made.Manifest:
    """Record the inputs of a run."""
    return made.manifest(((a.scene, a.seeds, a.defences, a.attackers) for a in wanted), mode)


def _cells(a: SceneRequest, mode: str) -> Iterator[Cell]:
    for seed in a.seeds:
        if mode == LIVE:
            yield Cell(a.scene.name, seed, LIVE)
            continue
        yield from (Cell(a.scene.name, seed, name) for name in a.defences)
        if a.attackers:
            against = dict.fromkeys((NONE, *a.defences))
            yield Cell(a.scene.name, seed, NONE, LOUD)
            for who in a.attackers:
                yield from (
                    Cell(a.scene.name, seed, name, who) for name in against if (name, who) != (NONE, LOUD)
                )


def _gather(
    out: Path,
    facts: made.Manifest,
    mode: str,
    stand: list[Cell],
    refusals: tuple[CellFailure, ...],
    anew: int,
) -> RangeRun:
    results: list[tuple[Cell, CellResult]] = [(cell, read_told(out / CELLS / cell.file)) for cell in stand]
    return RangeRun(
        facts.id,
        out,
        mode,
        tuple(
            msgspec.convert(t.outcome, SceneOutcome)
            for cell, t in results
            if not cell.attacker and mode != LIVE
        ),
        tuple((cell.scene, msgspec.convert(t.outcome, Contest)) for cell, t in results if cell.attacker),
        tuple(t.outcome for _, t in results) if mode == LIVE else (),
        refusals,
        {p.stem: p.read_text().strip() for p in sorted((out / SCENES).glob("*.sha256"))},
        round(sum(t.cpu_s for _, t in results), 1),
        anew,
    )


def _settle(out: Path, facts: made.Manifest, wanted: tuple[SceneRequest, ...]) -> None:
    """Prepare a folder for this run, or check that it is this run's."""
    if (out / made.FILE).exists():
        manifest = made.read_manifest(out)
        if manifest.id != facts.id:
            why = (
                "; ".join(made.list_changes(manifest, facts))
                or "other scenes, seeds or defences were asked for"
            )
            raise InputError(f"{out} holds run {manifest.id}, this is {facts.id} ({why}); name another --out")
    elif any(p.name not in OWN for p in out.iterdir()):
        raise InputError(f"{out} is not empty and no run; name another --out")
    with refuse_os_errors(InputError, f"{out} cannot be written"):
        (out / CELLS).mkdir(exist_ok=True)
        (out / SCENES).mkdir(exist_ok=True)
        for a in wanted:
            if a.scene.path is not None:
                shutil.copyfile(a.scene.path, out / SCENES / f"{a.scene.name}.toml")
        write_atomically(out / made.FILE, json.dumps(facts.as_dict(), indent=1) + "\n")


@contextmanager
def _lock_folder(out: Path) -> Iterator[None]:
    with refuse_os_errors(InputError, f"{out} cannot be written"):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / LOCK).open("a")
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(f"another run is at work in {out}; wait for it, or name another --out") from None
        yield


def _play_together(
    todo: list[tuple[Scene, Cell]], out: Path, jobs: int, keep: bool, tell: Tell
) -> Iterator[tuple[Cell, str | None]]:
    """Play the cells of one log together; yield each with the reason for its failure."""
    by: dict[tuple[str, int], tuple[Scene, list[Cell]]] = {}
    for scene, cell in todo:
        by.setdefault((cell.scene, cell.seed), (scene, []))[1].append(cell)
    if jobs == 1 or len(by) < 2:
        for scene, cells in by.values():
            yield from play_cells(scene, cells, out, keep, tell)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_quiet) as pool:
        waiting: list[Future[list[tuple[Cell, str | None]]]] = [
            pool.submit(_play_cells, scene, cells, out, keep) for scene, cells in by.values()
        ]
        try:
            for future in as_completed(waiting):
                yield from future.result()
        except BrokenProcessPool as error:
            raise InputError(
                "a worker was killed (out of memory?); call again, perhaps with --jobs 1"
            ) from error


def _quiet() -> None:
    """Leave Ctrl-C to the parent: a worker would only print a traceback."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _play_cells(scene: Scene, cells: list[Cell], out: Path, keep: bool) -> list[tuple[Cell, str | None]]:
    return list(play_cells(scene, cells, out, keep, lambda stage, done, total: None))
