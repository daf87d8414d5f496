"""Between two full evaluations a loud account is named alone; the next full evaluation decides."""

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from scan_world import START, Crowd, habits, sentence
from stillwatch.range.defences.stillwatch import defences
from stillwatch.scan import ScanResult
from stillwatch.scan.live import HOUR_US, LiveScan
from stillwatch.scan.parts import LONE_HARVEST, PARTS
from stillwatch.scan.pipeline import Options, scan_log

START_US = int(START.timestamp()) * 1_000_000
HOUR = 100  # of the loud account
PIECE_US = HOUR_US // 12


def loud(**honest: Any) -> Crowd:
    """Heavy payers for comparison, and one account that sends 900 exchanges in an hour."""
    crowd = Crowd(4)
    rng = crowd.rng
    for k in range(14):
        mine, asked = habits(rng), [sentence(rng, 7) for _ in range(40)]
        for j in range(330):
            crowd.says(f"heavy-{k}", rng.uniform(2, 99), rng.choice(asked), turn=1 + j % 2, **mine)
        crowd.known.append({"account": f"heavy-{k}", "payment": f"card-{k}"})
    for j in range(900):
        text = f"{sentence(rng, 7)} with every reasoning step {sentence(rng, 8)}"
        crowd.says("loud", HOUR + 0.05 + 0.9 * j / 900, text, **({"model": "mira-think", "turn": 1} | honest))
    crowd.known.append({"account": "loud", "payment": "card-x"})
    return crowd


def replayed(crowd: Crowd, parts: frozenset[str] = PARTS) -> list[ScanResult]:
    """Return the results for the hour before, for each twelfth of the hour, and for its end."""
    live = LiveScan(Options(threads=1, parts=parts), accounts=crowd.accounts())
    table = crowd.table().sort_by("time")
    times = table["time"].cast(pa.int64()).to_numpy()
    results, lo = [], 0
    for k in range(13):
        until = START_US + HOUR * HOUR_US + k * PIECE_US
        hi = int(np.searchsorted(times, until))
        live.add(table.slice(lo, hi - lo))
        results.append(live.tick(until, until))
        lo = hi
    return results


@pytest.mark.slow
def test_a_loud_account_is_named_within_the_hour_and_the_full_hour_agrees() -> None:
    crowd = loud()
    results = replayed(crowd)
    first = next(k for k, result in enumerate(results) if result.alone)
    (lone,) = results[first].alone
    assert lone.account == "loud"
    assert lone.named_at == START + timedelta(hours=HOUR, microseconds=first * PIECE_US)
    assert sum(r["account"] == "loud" and r["time"] < lone.named_at for r in crowd.rows) < 500
    assert all(result.alone == (lone,) for result in results[first:12])
    assert all(result.campaigns == () for result in results[:12])
    assert results[12].alone == ()
    assert [c.accounts for c in results[12].campaigns] == [("loud",)]
    once = scan_log(crowd.log(), crowd.accounts(), options=Options(threads=1))
    assert [c.accounts for c in once.campaigns] == [("loud",)]
    assert once.alone == ()


@pytest.mark.slow
@pytest.mark.parametrize("honest", [{"tools": 3}, {"end_user": "u"}, {"temperature": 0.0}])
def test_a_loud_honest_account_is_not_named(honest: dict[str, Any]) -> None:
    assert not any(result.alone or result.campaigns for result in replayed(loud(**honest)))


@pytest.mark.slow
def test_an_account_with_a_permission_or_an_organisation_waits_for_the_full_hour() -> None:
    for record in ({"permissions": ["evaluation"]}, {"org": "o"}):
        crowd = loud()
        crowd.known[-1] |= record
        assert not any(result.alone for result in replayed(crowd))


@pytest.mark.slow
def test_without_the_part_nobody_is_named_alone() -> None:
    assert not any(r.alone or r.campaigns for r in replayed(loud(), PARTS - {LONE_HARVEST}))


@pytest.mark.slow
def test_as_a_defence_it_is_one_case_before_and_after_the_full_hour() -> None:
    crowd = loud()
    table = crowd.table().sort_by("time")
    times = table["time"].cast(pa.int64()).to_numpy()
    watch = defences(1.0)["stillwatch"].open_watch(crowd.accounts(), 0, 1)
    told, lo = [], 0
    for k in range(14):
        until = START_US + HOUR * HOUR_US + k * PIECE_US
        hi = int(np.searchsorted(times, until))
        told += watch.step(table.slice(lo, hi - lo), until)
        lo = hi
    (case,) = told
    assert set(case.named_at_us) == {"loud"}
    assert START_US + HOUR * HOUR_US < case.at_us < START_US + (HOUR + 1) * HOUR_US
