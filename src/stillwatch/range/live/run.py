"""`run_live`: plays one scene and seed through real processes, once in every arm, and trains the students.

The arms share one history: everything before the first campaign is played once, and the gateway's folder
copied.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import Event

import msgspec
import numpy as np

from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.rows import line, read_json, replace_file, write_json
from stillwatch.distill.train.extra import need
from stillwatch.errors import Faults, InputError, refuse_os_errors
from stillwatch.range.live import (
    Arm,
    LiveError,
    LiveOutcome,
    LiveSettings,
    ReceivedAnswer,
    StudentResult,
    StudentScore,
    Tell,
)
from stillwatch.range.live.attack import LiveAttacker
from stillwatch.range.live.clients import LiveClients
from stillwatch.range.live.defender import RangeGateway, copy_gateway, new_gateway
from stillwatch.range.live.measure import measure_arm, named_accounts
from stillwatch.range.live.outcome_json import as_dict
from stillwatch.range.live.picture import picture
from stillwatch.range.live.play import LivePlayback
from stillwatch.range.live.provider import READY
from stillwatch.range.live.stage import Stage, fresh_accounts, make_stage
from stillwatch.range.live.students import DRILLED, TEACHER, UNTRAINED, Spec, drill, examples, share, study
from stillwatch.range.scenes import Scene
from stillwatch.toml.declared import build
from stillwatch.units import DAY_US, HOUR_US

ARM, TAKEN, OUTCOME, MANIFEST = "arm.json", "taken.jsonl", "live.json", "manifest.json"
PICTURE, WEIGHTS, DONE = "live.svg", "model.safetensors", "done"
TERMS = """version = {version}
owner = "the range"

[identity]
keys = "issued"
trusted_proxies = ["127.0.0.0/8"]

[ladder]
mode = "act"
act_on_group_findings = true
max_accounts = 10_000
alter_replies = {alters}

[[ladder.rule]]
step = "watch"
mode = "act"
"""
RULE = '\n[[ladder.rule]]\nstep = "{step}"\nmode = "act"\n'


def terms_of(arm: str, version: int) -> str:
    """Return the terms of one arm's gateway."""
    step = {"block": "block", "replace": "block", "strip": "strip"}.get(arm)
    text = TERMS.format(version=version, alters=str(step == "strip").lower())
    return text if step is None else text + RULE.format(step=step)


@contextmanager
def provider(teacher: str, folder: Path, tell: Tell) -> Iterator[str]:
    """Run the teacher behind its API, in a process of its own; yield its address."""
    words = [sys.executable, "-m", "stillwatch.range.live.provider", str(os.getpid()), teacher]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    with open(folder / "provider.log", "ab") as log:
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=log, env=env, text=True)
    try:
        assert process.stdout is not None
        for heard in process.stdout:
            word, _, argument = heard.strip().partition(" ")
            if word == READY:
                yield f"http://127.0.0.1:{int(argument)}"
                return
            tell(heard.strip())
        raise LiveError(f"the provider did not start; see {folder / 'provider.log'}")
    finally:
        if process.stdout is not None:
            process.stdout.close()
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def run_live(scene: Scene, seed: int, out: Path, tell: Tell) -> LiveOutcome:
    """Play a scene with one seed; all results are in `out`. Finished parts are not repeated.

    Raises: InputError for a scene that cannot be played; DistillError without the extra `train`; LiveError.
    """
    settings = live_settings(scene)
    need("openai")
    if settings.teacher == "embedded" or settings.steps:
        need("torch")
    began, cpu = time.monotonic(), _cpu_s()
    with refuse_os_errors(LiveError, f"{out}: cannot be made", "give another folder"):
        out.mkdir(parents=True, exist_ok=True)
    stage = make_stage(scene, seed, settings, out)
    marker = {
        "scene": scene.name,
        "seed": str(seed),
        "log_sha256": stage.sha256,
        "settings": json.dumps(asdict(settings)),
    }
    if (out / MANIFEST).exists() and read_json(out / MANIFEST).get("of") != marker:
        raise LiveError(f"{out}: holds another run; give another folder, or remove it")
    write_json(out / MANIFEST, {"of": marker})
    arms = _arms(seed, settings, stage, out, tell)
    learnt: list[StudentResult] = []
    shares: dict[str, StudentScore] = {}
    if settings.steps:
        lessons = {name: examples(_read_taken(out / name)) for name in settings.arms}
        lessons = {f"student-{name}": rows for name, rows in lessons.items()}
        lessons |= {TEACHER: [], UNTRAINED: [], DRILLED: drill(seed)}
        spec = Spec("", settings.steps, settings.held_out, seed)
        study(out / "students", lessons, spec, 2, tell)
        places = {name: out / "students" / name for name in lessons}
        shares = {name: share(places[name]) for name in (TEACHER, UNTRAINED, DRILLED)}
        for name in settings.arms:
            place = places[f"student-{name}"]
            learnt.append(StudentResult(name, len(lessons[f"student-{name}"]), share(place)))
    manifest = marker | {f"examples_{arm.name}_sha256": arm.examples_sha256 for arm in arms}
    if settings.teacher == "embedded":
        manifest["teacher_sha256"] = hashlib.sha256((teacher(1) / WEIGHTS).read_bytes()).hexdigest()
    outcome = LiveOutcome(
        scene.name, seed, tuple(arms), shares.get(TEACHER), shares.get(UNTRAINED), shares.get(DRILLED),
        tuple(learnt), out, manifest, {"wall_s": time.monotonic() - began, "cpu_s": _cpu_s() - cpu},
    )  # fmt: skip
    write_json(out / MANIFEST, {"of": marker, "made": manifest})
    write_json(out / OUTCOME, as_dict(outcome))
    (out / PICTURE).write_text(picture([outcome]), encoding="utf-8")
    return outcome


def _cpu_s() -> float:
    """Return the CPU time of this process and of its finished children."""
    return sum(os.times()[:4])


def _arms(seed: int, settings: LiveSettings, stage: Stage, out: Path, tell: Tell) -> list[Arm]:
    if all((out / name / ARM).exists() for name in settings.arms):
        return [msgspec.convert(read_json(out / name / ARM), Arm) for name in settings.arms]
    with provider(settings.teacher, out, tell) as upstream:
        past = _past(stage, seed, upstream, out, tell)
        halt = Event()
        with ThreadPoolExecutor(len(settings.arms)) as pool:
            plays = [
                pool.submit(_arm, name, seed, settings, stage, past, upstream, out, halt, tell)
                for name in settings.arms
            ]
            try:
                wait(plays, return_when=FIRST_EXCEPTION)
                arms = [play.result() for play in plays if play.done()]
            finally:
                halt.set()  # for whatever still plays: one arm has failed, or the user has interrupted
    shutil.rmtree(past.path)
    return arms


def _past(stage: Stage, seed: int, upstream: str, out: Path, tell: Tell) -> RangeGateway:
    """Play everything before the campaign, once for all arms, unless it is finished."""
    past_folder = out / "past"
    if not (past_folder / DONE).exists():
        shutil.rmtree(past_folder, ignore_errors=True)
    secret = hashlib.sha256(f"stillwatch range live {seed}".encode()).digest()
    gateway = new_gateway(past_folder, upstream, stage.begin_us, secret)
    if (past_folder / DONE).exists():
        gateway.hand[0] = int((past_folder / DONE).read_text(encoding="ascii"))
        return gateway
    try:
        gateway.start(terms_of("off", 1))
        clients = LiveClients(gateway.url, gateway.issue(stage.accounts))
        play = LivePlayback(
            gateway, clients, None, lambda: DAY_US, lambda at: tell(f"past: day {stage.day(at):.0f}")
        )
        play.run([x for x in stage.lines if x.at_us < stage.campaign_us], stage.begin_us, stage.campaign_us)
        clients.close()
    finally:
        gateway.stop()
    (past_folder / DONE).write_text(str(gateway.now_us), encoding="ascii")
    return gateway


def _arm(
    name: str, seed: int, settings: LiveSettings, stage: Stage, past: RangeGateway, upstream: str, out: Path,
    halt: Event, tell: Tell,
) -> Arm:  # fmt: skip
    """Play one arm, unless it is finished."""
    arm_folder = out / name
    if (arm_folder / ARM).exists():
        return msgspec.convert(read_json(arm_folder / ARM), Arm)
    gateway = copy_gateway(past, arm_folder, upstream)
    gateway.halt = halt
    rng = np.random.default_rng([seed, 11])
    attacker = LiveAttacker(settings, name == "replace", rng, fresh_accounts(stage, seed))
    try:
        gateway.start(terms_of(name, 2))
        clients = LiveClients(gateway.url, gateway.issue(stage.accounts))

        def look_us() -> int:
            """Return the time between evaluations: without an open case nothing is named within an hour."""
            acts = name != "off" and attacker.lives(stage.campaign) and named_accounts(gateway)
            return int(settings.look_s * 1e6) if acts else HOUR_US

        def tell_day(at_us: int) -> None:
            tell(f"{name}: day {stage.day(at_us):.0f}, {len(attacker.taken)} examples out")

        play = LivePlayback(gateway, clients, attacker, look_us, tell_day)
        play.run([x for x in stage.lines if x.at_us >= stage.campaign_us], stage.campaign_us, stage.end_us)
        clients.close()
        arm = measure_arm(name, stage, gateway, attacker, play)
    finally:
        gateway.stop()
    replace_file(arm_folder / TAKEN, [line(asdict(answer)) for answer in attacker.taken])
    write_json(arm_folder / ARM, asdict(arm))
    return arm


def _read_taken(folder: Path) -> list[ReceivedAnswer]:
    return [ReceivedAnswer(**json.loads(row)) for row in (folder / TAKEN).read_bytes().splitlines()]


def live_settings(scene: Scene) -> LiveSettings:
    """Read a scene's settings for live play.

    Raises: InputError with file and line, for a key or a campaign that cannot be played live.
    """
    table = scene.table("live")
    settings = build(LiveSettings, table)
    if settings is None:
        raise Faults(table.notes.sentences())
    if not scene.campaigns:
        raise InputError(f"{scene.place()}: no campaign; a live run needs one to take what the teacher says")
    for n, campaign in enumerate(scene.campaigns):
        if campaign.attacker != "fixed":
            raise InputError(
                f"{scene.place('campaign', n, 'attacker')}: {campaign.attacker!r} is not played live; leave "
                'it out, and give arms = [..., "replace"] under [live] for an attacker that goes on'
            )
    return settings
