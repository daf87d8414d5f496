"""A run's page: complete with all content and with almost none, escaped, without script."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from range_run_world import write_scene
from stillwatch.range.cells import Cell
from stillwatch.range.contest import Contest, ContestHour
from stillwatch.range.contests import sum_up_contests
from stillwatch.range.costs import AttackPrices
from stillwatch.range.defences import Accusation, LogJudgement
from stillwatch.range.ledger import read_ledger
from stillwatch.range.live import Arm, LeakPoint, LiveOutcome, StudentResult, StudentScore
from stillwatch.range.live.outcome_json import as_dict
from stillwatch.range.measure import measure
from stillwatch.range.outcome import SceneOutcome
from stillwatch.range.page import pictures
from stillwatch.range.page.page import render, write_page
from stillwatch.range.run import CellFailure, RangeRun
from stillwatch.range.table import lines

EVIL = '<script>stolen=1</script>"onload=x'


def outcomes(tmp_path: Path, scene: str, pools: tuple[int, ...] = (4, 3, 1)) -> list[SceneOutcome]:
    told = []
    for defence in ("none", "prefix", "stillwatch", "stillwatch/without:wording"):
        for seed in (1, 2, 3):
            ledger = read_ledger(write_scene(tmp_path / f"{scene}{seed}", seed, pools=pools))
            late = 9 if defence == "prefix" else 8
            at = ledger.begin_us + late * 86_400_000_000
            hurt = "h" if defence == "prefix" else "c"
            who = [a for a in ledger.accounts if defence != "none" and a[0] in ("c", hurt)]
            judged = LogJudgement((Accusation("one", at, dict.fromkeys(who, at)),))
            told.append(measure(ledger, judged, AttackPrices(), 7, scene=scene, seed=seed, defence=defence))
    return told


def contests() -> list[tuple[str, Contest]]:
    told = []
    blank: dict[str, Any] = {f.name: 0 for f in fields(Contest)}
    for attacker, defence, usd, reached in (
        ("loud", "none", 100.0, True),
        ("naive", "none", 300.0, True),
        ("naive", "stillwatch", 5000.0, False),
    ):
        for seed in (1, 2):
            history = tuple(ContestHour(h, min(1000, h * 50), usd, 10, 0) for h in range(1, 25))
            says = {"attacker": attacker, "defence": defence, "seed": seed, "goal": 1000, "reached": reached}
            cost = {"out": 1000 if reached else 700, "accounts": 10, "usd": usd, "days": 1.0}
            told.append(("a", Contest(**blank | says | cost | {"ended": "goal", "history": history})))
    return told


def played_live() -> dict[str, Any]:
    blank: dict[str, Any] = {f.name: 0 for f in fields(Arm)}
    marks = tuple(LeakPoint(8.0 + k / 10, 90 * k) for k in range(11))
    says = {"name": "off", "out": 900, "out_tokens": 23_000, "out_before_alarm": 200, "alarm_day": 8.1}
    days = {"contained_day": None, "last_out_day": 9.0, "accounts": 40, "named": 40, "marks": marks}
    arm = Arm(**blank | says | days | {"examples_sha256": ""})
    got, none = StudentScore(990, 1000, 0.98, 0.995), StudentScore(0, 1000, 0.0, 0.004)
    learnt = StudentResult(
        **{f.name: 0 for f in fields(StudentResult)} | {"arm": "off", "examples": 900, "share": got}
    )
    told = LiveOutcome("live-clock", 1, (arm,), got, none, None, (learnt,), Path())
    return {k: v for k, v in json.loads(json.dumps(as_dict(told))).items() if k not in ("folder", "took")}


LIVE = played_live()


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> RangeRun:
    tmp = tmp_path_factory.mktemp("worlds")
    told = outcomes(tmp, "a") + outcomes(tmp, "calm", ())
    told = [replace(o, scene=EVIL) if o.scene == "a" else o for o in told]
    refusal = CellFailure(Cell("a", 1, "x"), f"because {EVIL}")
    return RangeRun("abc123", tmp, "log", tuple(told), tuple(contests()), (LIVE,), (refusal,), {}, 1.0, 3)


def page_of(run: RangeRun) -> str:
    fights = tuple(
        x
        for name in {s for s, _ in run.contests}
        for x in sum_up_contests(name, [c for _, c in run.contests])
    )
    return render(run, lines(run.outcomes), fights, False)


@pytest.mark.slow
def test_the_page_has_everything_and_runs_nothing(full: RangeRun) -> None:
    page = page_of(full)
    assert "<script" not in page
    assert "onload" not in re.sub(r"&#34;onload", "", page)
    assert "without:wording" in page
    assert ">= " in page or "&gt;= " in page  # a goal that was not reached is a lower bound
    for part in ("table", "harvest", "bought", "honest", "cost", "contests", "live", "limits"):
        assert f'id="{part}"' in page
        assert f'href="#{part}"' in page
    assert not re.search(r"(src|href)=\"(?!#|data:)", page)
    assert "NaN" not in page
    assert "None" not in page.replace("nothing", "")


@pytest.mark.slow
def test_a_run_without_campaigns_and_a_live_one_have_pages_too(full: RangeRun) -> None:
    calm = replace(full, outcomes=tuple(o for o in full.outcomes if o.scene == "calm"), contests=(), live=())
    page = page_of(calm)
    assert "Nobody distils here" in page
    assert 'id="harvest"' not in page
    live = replace(full, outcomes=(), contests=())
    assert 'id="live"' in page_of(live)
    assert page_of(replace(full, outcomes=(), contests=(), live=()))


def test_one_seed_has_no_bounds_and_says_so(full: RangeRun) -> None:
    one = replace(full, outcomes=tuple(o for o in full.outcomes if o.seed == 1), contests=(), live=())
    assert "1 seed" in page_of(one)


def test_the_same_run_gives_the_same_page(full: RangeRun, tmp_path: Path) -> None:
    first = write_page(full, lines(full.outcomes), (), False, tmp_path).read_bytes()
    assert write_page(full, lines(full.outcomes), (), False, tmp_path).read_bytes() == first


def test_bars_stay_inside_their_picture(full: RangeRun) -> None:
    for scene in {o.scene for o in full.outcomes}:
        some = [x for x in lines(full.outcomes) if x.scene == scene]
        for p in (pictures.harvests(some), pictures.costs(some)):
            for b in p.bars if p else ():
                assert 0 <= b.width <= 100
                assert all(0 <= x <= 100 for x in (b.low, b.high, b.tick) if x is not None)
        spots = pictures.place_on_curve(some)
        for d in spots.dots if spots else ():
            assert pictures.LEFT <= d.x <= pictures.RIGHT
            assert all(0 <= y <= pictures.HIGH for y in (d.y, d.low, d.high))


def test_defences_that_stand_on_one_spot_share_a_label(full: RangeRun) -> None:
    some = [x for x in lines(full.outcomes) if x.scene == EVIL]
    spots = pictures.place_on_curve(some)
    assert spots is not None
    assert 0 < len(spots.dots) < len(some)
    assert "stillwatch" in " ".join(d.label for d in spots.dots)  # never among the "more"
