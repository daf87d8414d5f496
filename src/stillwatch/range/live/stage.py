"""A composed scene cut to what is played live, and the new accounts available in it."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillwatch.distill.embedded.clock import problems
from stillwatch.range.compose import compose_scene
from stillwatch.range.identity import AccountIdentity, identities
from stillwatch.range.live import LiveSettings
from stillwatch.range.live.play import LogRow
from stillwatch.range.live.provider import problem_in
from stillwatch.range.population import donors_of, read_population
from stillwatch.range.scenes import Scene
from stillwatch.units import DAY_US, HOUR_US, time_of, us


@dataclass(frozen=True)
class Stage:
    """A composed scene, ready to be played."""

    folder: Path
    begin_us: int
    campaign_us: int  # the first covert request; everything before is history
    end_us: int
    lines: list[LogRow]
    honest: frozenset[str]
    campaign: frozenset[str]
    sha256: str

    @property
    def accounts(self) -> list[str]:
        """All accounts that send something."""
        return sorted({x.row["account"] for x in self.lines})

    def day(self, at_us: int) -> float:
        return (at_us - self.begin_us) / DAY_US


def make_stage(scene: Scene, seed: int, settings: LiveSettings, out: Path) -> Stage:
    """Compose a scene and cut it to what is played."""
    folder = compose_scene(scene, seed, out)
    table = pq.read_table(folder / "exchanges.parquet").sort_by(
        [("time", "ascending"), ("exchange_id", "ascending")]
    )
    covert = set(pq.read_table(folder / "truth_exchanges.parquet")["exchange_id"].to_pylist())
    truth = pq.read_table(folder / "truth.parquet").to_pylist()
    campaign = frozenset(r["account"] for r in truth if r["campaign"] is not None)
    people = read_population(folder)
    begin_us = int(people.begin.timestamp()) * 1_000_000
    spare = (p.prompt for p in problems(len(covert), seed))  # for questions that represent one
    lines = []
    for row in table.to_pylist():
        at_us = us(row["time"])
        asks = row["exchange_id"] in covert
        if asks:
            row["problem"] = problem_in(row["prompt"] or "") or next(spare)
        lines.append(LogRow(at_us, row, asks, row["account"] not in campaign))
    first = min(x.at_us for x in lines if x.covert)
    last = max(x.at_us for x in lines if x.covert)
    end = min(last + int(settings.tail_days * DAY_US), begin_us + scene.days * DAY_US)
    end = -(-end // HOUR_US) * HOUR_US
    honest = frozenset(x.row["account"] for x in lines if x.honest)
    digest = hashlib.sha256((folder / "exchanges.parquet").read_bytes()).hexdigest()
    return Stage(
        folder, begin_us, first // HOUR_US * HOUR_US, end, [x for x in lines if x.at_us < end], honest,
        campaign, digest,
    )  # fmt: skip


def fresh_accounts(stage: Stage, seed: int) -> Iterator[AccountIdentity]:
    """Yield new accounts: aged ones with an honest person's traits, like the campaign's own."""
    rng = np.random.default_rng([seed, 7])
    people = read_population(stage.folder)
    donors = [d for d in donors_of(people) if d.max_tokens is None or d.max_tokens >= 8192]
    start = time_of(stage.campaign_us)
    while True:
        yield from identities(2, 64, people.begin, start, donors, rng)
