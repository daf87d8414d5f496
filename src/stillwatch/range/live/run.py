"""`run_live`: one scene and seed played through real processes, once in every arm, and the students made.

The arms share one past: everything before the first campaign is played once, and the gateway's folder copied.
It neither decides nor scores; it does not know how a finding comes about.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillwatch.distill.embedded.clock import problems
from stillwatch.distill.rows import line, read_json, replace_file, write_json
from stillwatch.distill.train.extra import need
from stillwatch.range.compose import compose_scene
from stillwatch.range.identity import Identity, identities
from stillwatch.range.live import Arm, Learnt, LiveError, LiveOutcome, Mark, Settings, Share, Taken, Tell
from stillwatch.range.live.attack import Attacker
from stillwatch.range.live.clients import Clients
from stillwatch.range.live.house import House, copied, found_house
from stillwatch.range.live.picture import picture
from stillwatch.range.live.play import DAY_US, HOUR_US, Line, Play
from stillwatch.range.live.provider import READY, problem_in
from stillwatch.range.live.settings import live_settings
from stillwatch.range.live.students import (
    DRILLED,
    TEACHER,
    UNTRAINED,
    Spec,
    drill,
    examples,
    share,
    study,
)
from stillwatch.range.population import donors_of, read_population
from stillwatch.range.scenes import Scene
from stillwatch.terms import Step

ARM, TAKEN, OUTCOME, MANIFEST = "arm.json", "taken.jsonl", "live.json", "manifest.json"
PICTURE = "live.svg"
FELT = (Step.VERIFY, Step.THROTTLE, Step.STRIP, Step.BLOCK)
TERMS = """version = {version}
owner = "the range"

[identity]
keys = "issued"
trusted_proxies = ["127.0.0.0/8"]

[ladder]
mode = "act"
max_accounts = 10_000
alter_replies = {alters}

[[ladder.rule]]
step = "watch"
mode = "act"
"""
RULE = '\n[[ladder.rule]]\nstep = "{step}"\nmode = "act"\n'


def terms_of(arm: str, version: int) -> str:
    """The terms that a house of one arm goes by."""
    step = {"block": "block", "replace": "block", "strip": "strip"}.get(arm)
    text = TERMS.format(version=version, alters=str(step == "strip").lower())
    return text if step is None else text + RULE.format(step=step)


@dataclass(frozen=True)
class Stage:
    """A composed scene, ready to be played."""

    folder: Path
    begin_us: int
    campaign_us: int  # the first covert request; everything before is past
    end_us: int
    lines: list[Line]
    honest: frozenset[str]
    campaign: frozenset[str]
    sha256: str

    def day(self, at_us: int) -> float:
        return (at_us - self.begin_us) / DAY_US


def staged(scene: Scene, seed: int, settings: Settings, out: Path) -> Stage:
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
    spare = (p.prompt for p in problems(len(covert), seed))  # for questions that stand for one
    lines = []
    for row in table.to_pylist():
        at_us = int(row["time"].timestamp() * 1e6)
        asks = row["exchange_id"] in covert
        if asks:
            row["problem"] = problem_in(row["prompt"] or "") or next(spare)
        lines.append(Line(at_us, row, asks, row["account"] not in campaign))
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


@contextmanager
def provider(teacher: str, folder: Path, tell: Tell) -> Iterator[str]:
    """The teacher behind its API, in a process of its own; gives its address."""
    words = [sys.executable, "-m", "stillwatch.range.live.provider", str(os.getpid()), teacher]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with open(folder / "provider.log", "ab") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
    try:
        assert process.stdout is not None
        for said in process.stdout:
            word, _, rest = said.strip().partition(" ")
            if word == READY:
                yield f"http://127.0.0.1:{int(rest)}"
                return
            tell(said.strip())
        raise LiveError(f"the provider did not start; see {folder / 'provider.log'}")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def run_live(scene: Scene, seed: int, out: Path, tell: Tell) -> LiveOutcome:
    """Play a scene with one seed; everything it leaves lies in `out`. What stands there is not made anew.

    Raises: InputError for a scene that cannot be played; DistillError without the extra `train`; LiveError.
    """
    settings = live_settings(scene)
    need("openai")
    if settings.teacher == "embedded" or settings.steps:
        need("torch")
    began, cpu = time.monotonic(), _cpu_s()
    out.mkdir(parents=True, exist_ok=True)
    stage = staged(scene, seed, settings, out)
    marker = {
        "scene": scene.name,
        "seed": str(seed),
        "log_sha256": stage.sha256,
        "settings": json.dumps(asdict(settings)),
    }
    if (out / MANIFEST).exists() and read_json(out / MANIFEST).get("of") != marker:
        raise LiveError(f"{out}: holds another run; give another folder, or remove it")
    write_json(out / MANIFEST, {"of": marker})
    arms = _arms(scene, seed, settings, stage, out, tell)
    learnt: list[Learnt] = []
    shares: dict[str, Share] = {}
    if settings.steps:
        lessons = {name: examples(_taken(out / name)) for name in settings.arms}
        lessons = {f"student-{name}": rows for name, rows in lessons.items()}
        lessons |= {TEACHER: [], UNTRAINED: [], DRILLED: drill(seed)}
        spec = Spec("", settings.steps, settings.held_out, seed)
        study(out / "students", lessons, spec, 2, tell)
        places = {name: out / "students" / name for name in lessons}
        shares = {name: share(places[name]) for name in (TEACHER, UNTRAINED, DRILLED)}
        for name in settings.arms:
            place = places[f"student-{name}"]
            learnt.append(Learnt(name, len(lessons[f"student-{name}"]), share(place)))
    outcome = LiveOutcome(
        scene.name, seed, tuple(arms), shares.get(TEACHER), shares.get(UNTRAINED), shares.get(DRILLED),
        tuple(learnt), out, marker, {"wall_s": time.monotonic() - began, "cpu_s": _cpu_s() - cpu},
    )  # fmt: skip
    write_json(out / OUTCOME, as_json(outcome))
    (out / PICTURE).write_text(picture([outcome]), encoding="utf-8")
    return outcome


def _cpu_s() -> float:
    """Of this process and of all that it started and that have ended."""
    return sum(os.times()[:4])


def as_json(outcome: LiveOutcome) -> dict[str, object]:
    """Everything measured, for a file."""
    return asdict(outcome) | {"folder": str(outcome.folder)}


def _arms(scene: Scene, seed: int, settings: Settings, stage: Stage, out: Path, tell: Tell) -> list[Arm]:
    if all((out / name / ARM).exists() for name in settings.arms):
        return [_read_arm(out / name) for name in settings.arms]
    with provider(settings.teacher, out, tell) as upstream:
        past, keys = _past(stage, seed, upstream, out, tell)
        with ThreadPoolExecutor(len(settings.arms)) as pool:
            plays = [
                pool.submit(_arm, name, scene, seed, settings, stage, past, keys, out, tell)
                for name in settings.arms
            ]
            arms = [play.result() for play in plays]
    shutil.rmtree(past.path)
    return arms


def _past(stage: Stage, seed: int, upstream: str, out: Path, tell: Tell) -> tuple[House, dict[str, str]]:
    """Play everything before the campaign, once for all arms."""
    place = out / "past"
    shutil.rmtree(place, ignore_errors=True)
    secret = hashlib.sha256(f"stillwatch range live {seed}".encode()).digest()
    house = found_house(place, upstream, stage.begin_us, secret)
    house.start(terms_of("off", 1))
    try:
        keys = house.issue(sorted({one.row["account"] for one in stage.lines}))
        clients = Clients(house.url, keys)
        play = Play(house, clients, None, lambda: DAY_US, lambda at: tell(f"past: day {stage.day(at):.0f}"))
        play.run([x for x in stage.lines if x.at_us < stage.campaign_us], stage.begin_us, stage.campaign_us)
        clients.close()
    finally:
        house.stop()
    return house, keys


def _fresh(stage: Stage, seed: int) -> Iterator[Identity]:
    """Accounts that can be had: aged ones with an honest person's traits, as the campaign's own."""
    rng = np.random.default_rng([seed, 7])
    people = read_population(stage.folder)
    donors = [d for d in donors_of(people) if d.max_tokens is None or d.max_tokens >= 8192]
    start = datetime.fromtimestamp(stage.campaign_us / 1e6, UTC)
    while True:
        yield from identities(2, 64, people.begin, start, donors, rng)


def _arm(
    name: str, scene: Scene, seed: int, settings: Settings, stage: Stage, past: House, keys: dict[str, str],
    out: Path, tell: Tell,
) -> Arm:  # fmt: skip
    """Play one arm, unless it stands."""
    place = out / name
    if (place / ARM).exists():
        return _read_arm(place)
    house = copied(past, place)
    attacker = Attacker(settings, name == "replace", np.random.default_rng([seed, 11]), _fresh(stage, seed))
    house.start(terms_of(name, 2))
    try:
        clients = Clients(house.url, keys)

        def look_us() -> int:
            """Within an hour only who joins an open case is named: without one, nothing is lost."""
            acts = name != "off" and attacker.lives(stage.campaign) and _named(house)
            return int(settings.look_s * 1e6) if acts else HOUR_US

        def told(at_us: int) -> None:
            tell(f"{name}: day {stage.day(at_us):.0f}, {len(attacker.taken)} examples out")

        play = Play(house, clients, attacker, look_us, told)
        play.run([x for x in stage.lines if x.at_us >= stage.campaign_us], stage.campaign_us, stage.end_us)
        clients.close()
        arm = _measured(name, stage, house, attacker, play)
    finally:
        house.stop()
    replace_file(place / TAKEN, [line(asdict(one)) for one in attacker.taken])
    write_json(place / ARM, asdict(arm))
    return arm


def _named(house: House) -> set[str]:
    """Accounts in open cases."""
    return {account for campaign in house.found().campaigns() for account in campaign.accounts}


def _measured(name: str, stage: Stage, house: House, attacker: Attacker, play: Play) -> Arm:
    mine = stage.campaign | attacker.used
    cases = [c for c in house.found().campaigns() if mine & set(c.accounts)]
    named = _named(house)
    stands = house.standings()
    felt = {a: s for a, s in stands.items() if s.step in FELT}
    stopped = {a: s for a, s in felt.items() if a in mine}
    alarm_us = min((int(c.alarm_at.timestamp() * 1e6) for c in cases), default=None)
    contained_us = max((s.since_us for s in stopped.values()), default=None)
    rows = house.rows()
    left = sum(
        1
        for account, outcome, at in zip(
            rows["account"].to_pylist(), rows["outcome"].to_pylist(), rows["time"].to_pylist(), strict=True
        )
        if outcome == "client_left" and account in mine and int(at.timestamp() * 1e6) >= stage.campaign_us
    )
    taken = attacker.taken
    marks = [Mark(stage.day(t.at_us), n) for n, t in enumerate(taken, 1)]
    digest = hashlib.sha256(json.dumps([asdict(t) for t in taken]).encode()).hexdigest()
    fresh = {who.account for who, _ in attacker.replaced.values()}
    return Arm(
        name=name,
        asked=attacker.asked,
        out=len(taken),
        out_tokens=sum(t.tokens for t in taken),
        left=attacker.left,
        left_recorded=left,
        refused=attacker.refused,
        unsent=attacker.unsent,
        stripped=attacker.stripped,
        accounts=len(mine & (attacker.used | stage.campaign)),
        fresh=len(fresh),
        named=len(named & mine),
        blocked=len(stopped),
        alarm_day=None if alarm_us is None else stage.day(alarm_us),
        out_before_alarm=len(taken) if alarm_us is None else sum(t.at_us < alarm_us for t in taken),
        contained_day=None if contained_us is None else stage.day(contained_us),
        last_out_day=stage.day(taken[-1].at_us) if taken else None,
        honest_accounts=len(stage.honest),
        honest_exchanges=play.honest.sent,
        honest_named=len(named & stage.honest),
        honest_touched=len((set(felt) & stage.honest) | play.honest.turned_away),
        honest_refused=play.honest.refused,
        marks=tuple(marks),
        examples_sha256=digest,
    )


def _taken(place: Path) -> list[Taken]:
    return [Taken(**json.loads(row)) for row in (place / TAKEN).read_bytes().splitlines()]


def _read_arm(place: Path) -> Arm:
    found = read_json(place / ARM)
    found["marks"] = tuple(Mark(**m) for m in found["marks"])
    return Arm(**found)
