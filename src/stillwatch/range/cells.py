"""Cells of a run: one defence with one seed of one scene, played and written to a file."""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.errors import InputError, StillwatchError, refuse_os_errors
from stillwatch.plugins import describe_error
from stillwatch.range.attackers import registry as attackers
from stillwatch.range.compose import calibration_log, compose_scene, scored_people_of
from stillwatch.range.contest import Rules, contest
from stillwatch.range.contests import thin_history
from stillwatch.range.defences import CalibrationLog, LogJudgement, LogToJudge
from stillwatch.range.defences.registry import defence, has_threshold
from stillwatch.range.honest_background import HonestBackground, field_of
from stillwatch.range.ledger import TruthLedger, read_ledger
from stillwatch.range.measure import measure
from stillwatch.range.scenes import Scene
from stillwatch.report.findings import write_atomically
from stillwatch.units import DAY_US

CELLS, LOGS, SCENES = "cells", "logs", "scenes"
LIVE = "live"
Tell = Callable[[str, int, int | None], None]


@dataclass(frozen=True)
class Cell:
    """One defence against one composed log, or against an attacker that reacts."""

    scene: str
    seed: int
    defence: str
    attacker: str = ""

    @property
    def file(self) -> str:
        safe = hashlib.sha256(self.defence.encode()).hexdigest()[:6] if self.defence.endswith(".py") else ""
        name = Path(self.defence).stem if safe else self.defence.replace("/", "~").replace(":", "=")
        attacker = self.attacker.replace(":", "~")
        return ".".join(x for x in (self.scene, str(self.seed), name, safe, attacker, "json") if x)

    @property
    def title(self) -> str:
        against = f", {self.attacker} attacker" if self.attacker else ""
        return f"{self.scene}, seed {self.seed}, {self.defence}{against}"


@dataclass(frozen=True)
class CellResult:
    """The content of a cell's file."""

    outcome: dict[str, Any]
    cpu_s: float


def play_cells(
    scene: Scene, cells: list[Cell], out: Path, keep: bool, tell: Tell
) -> Iterator[tuple[Cell, str | None]]:
    """Play cells of one scene and seed; yield each with the reason for its failure, or None."""
    fixed = [c for c in cells if not c.attacker and c.defence != LIVE]
    reacting = [c for c in cells if c.attacker]
    if fixed:
        yield from _judge_defences(scene, fixed, out, keep)
    if reacting:
        yield from _play_contests(scene, reacting, out)
    for cell in cells:
        if cell.defence == LIVE:
            yield cell, _make_cell(cell, out, partial(_play_live, scene, cell.seed, out, tell))


def _judge_defences(
    scene: Scene, cells: list[Cell], out: Path, keep: bool
) -> Iterator[tuple[Cell, str | None]]:
    try:
        folder = compose_log(scene, cells[0].seed, out)
        ledger = read_ledger(folder)
    except StillwatchError as error:
        yield from ((cell, str(error)) for cell in cells)
        return
    log = pq.read_table(folder / "exchanges.parquet"), pq.read_table(folder / "accounts.parquet")
    others = cache(partial(calibration_log, scene, cells[0].seed))  # drawn only if a defence needs them
    for cell in cells:
        yield (
            cell,
            _make_cell(cell, out, partial(judge, scene, cell.seed, cell.defence, ledger, *log, others)),
        )
    if not keep:
        shutil.rmtree(folder, ignore_errors=True)


def _play_contests(scene: Scene, cells: list[Cell], out: Path) -> Iterator[tuple[Cell, str | None]]:
    try:
        field = field_of(scene, cells[0].seed)
    except StillwatchError as error:
        yield from ((cell, str(error)) for cell in cells)
        return
    for cell in cells:
        yield cell, _make_cell(cell, out, partial(fight, scene, cell, field))


def _make_cell(cell: Cell, out: Path, make: Callable[[], dict[str, Any]]) -> str | None:
    """Play one cell and write its file; return the reason for a failure."""
    began = time.process_time()
    try:
        document = {"outcome": make(), "cpu_s": round(time.process_time() - began, 2)}
    except StillwatchError as error:
        return str(error)
    except Exception as error:  # a third party's file may raise anything, which is reported with its name
        if not cell.defence.endswith(".py"):
            raise
        return describe_error(error, cell.defence)  # the title has the file's name
    with refuse_os_errors(InputError, f"{out} cannot be written", "what stands stays"):
        write_atomically(out / CELLS / cell.file, json.dumps(document, allow_nan=False) + "\n")
    return None


def compose_log(scene: Scene, seed: int, out: Path) -> Path:
    """Return the folder of a scene's log, composed if it is not complete; its hash is stored beside it."""
    log_folder = out / LOGS / f"{scene.name}-{seed}"
    if not log_folder.exists():
        making = out / LOGS / f".making-{scene.name}-{seed}"
        shutil.rmtree(making, ignore_errors=True)
        try:
            making.mkdir(parents=True)
            compose_scene(scene, seed, making).rename(log_folder)
        except OSError as error:
            raise InputError(f"{making} cannot be written: {error.strerror or error}") from error
        finally:
            shutil.rmtree(making, ignore_errors=True)
    with (log_folder / "exchanges.parquet").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    write_atomically(out / SCENES / f"{scene.name}.{seed}.sha256", f"{digest}\n")
    return log_folder


def judge(
    scene: Scene,
    seed: int,
    name: str,
    ledger: TruthLedger,
    exchanges: pa.Table,
    accounts: pa.Table,
    others: Callable[[], CalibrationLog] | None = None,
) -> dict[str, Any]:
    """Run one defence on one composed log; its thresholds are set on the clean days of `others`."""
    clean_until_us = ledger.begin_us + scene.clean_days * DAY_US
    bound = defence(name, scene.false_cases_per_10k_account_days)
    calibration = others() if others is not None and has_threshold(name) else None
    judged = bound.judge(LogToJudge(exchanges, accounts, clean_until_us, seed, calibration))
    _check(judged, ledger)
    outcome = measure(
        ledger,
        judged,
        scene.budget,
        scene.clean_days,
        scene=scene.name,
        seed=seed,
        defence=name,
        people=scored_people_of(scene, seed),
    )
    return asdict(outcome)


def _check(judged: LogJudgement, ledger: TruthLedger) -> None:
    """Reject a case outside the log's time: one given in seconds would precede everything."""
    end = int(ledger.time_us[-1]) + DAY_US if len(ledger.time_us) else ledger.begin_us
    for case in judged.cases:
        if not ledger.begin_us <= case.at_us <= end:
            raise InputError(
                f"case {case.case!r} is said at {case.at_us}; in UTC microseconds the log is from "
                f"{ledger.begin_us} to {end}"
            )


def fight(scene: Scene, cell: Cell, field: HonestBackground) -> dict[str, Any]:
    """Let an attacker that reacts try one defence."""
    bound = defence(cell.defence, scene.false_cases_per_10k_account_days)
    return thin_history(
        contest(
            field,
            bound,
            attackers.attacker(cell.attacker),
            cell.seed,
            Rules.of(scene.table("contest")),
            scene.budget,
        )
    )


def _play_live(scene: Scene, seed: int, out: Path, tell: Tell) -> dict[str, Any]:
    from stillwatch.range.live.run import run_live  # the extra `train`, imported only when needed

    outcome = run_live(scene, seed, out / LIVE / f"{scene.name}-{seed}", lambda stage: tell(stage, 0, None))
    return {k: v for k, v in asdict(outcome).items() if k not in ("folder", "took")}


def read_told(path: Path) -> CellResult:
    """Read one cell back.

    Raises: InputError if a run did not write it.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        return CellResult(document["outcome"], float(document["cpu_s"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no cell of a run ({error}); delete it, and it is made again") from error
