"""A bundle of a finding by holds: the checker repeats the draws with a key that the trail fixed."""

import json
import random
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from holds_world import START_US, names, queue
from scan_world import Crowd, sentence
from stillwatch.cases.bundle.claimed import claims
from stillwatch.cases.bundle.export import prepare, release
from stillwatch.cases.bundle.gather import ScannedLog, ndjson
from stillwatch.cases.fold import fold
from stillwatch.cases.reading import Filter
from stillwatch.cases.reading import queue as open_cases
from stillwatch.gateway.control.case_sync import Casework
from stillwatch.gateway.control.holds import all_held, follow, schedules_in
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, open_folder
from stillwatch.scan.pipeline import Options, run
from stillwatch.terms import Holds, Terms
from stillwatch.terms.holds import HoldCandidate, HoldSchedule
from stillwatch.units import DAY_US, HOUR_US
from test_bundle import alone, check, document, each, lines, resigned

pytestmark = pytest.mark.slow
MANY, BEGAN = 16, 12  # accounts of the pool, and those in its first schedule
OVER_US = START_US + 20 * DAY_US
TERMS = Terms(1, holds=Holds(mode="on"))


@dataclass(frozen=True)
class World:
    folder: Folder
    log: Path
    drawn: HoldSchedule
    key: str

    def bundle(self, out: Path, held: HoldSchedule, now_us: int = OVER_US) -> Path:
        """Export the case; the sentences for the sender state that the key is disclosed."""
        with ControlState(self.folder.state) as state:
            casework = Casework(self.folder, None, state, lambda _: None)
            with casework.store(now_us) as store:
                case = open_cases(store, Filter(), now_us).cases[0].id
                log = ScannedLog([self.log], held=(held,))
                ready = prepare(store, case, who="ann", now_us=now_us, log=log)
                says = any("the key by which holds" in sentence for sentence in ready.leaving)
                assert says is (held.end_us <= now_us)
                release(store, ready, out, who="ann", now_us=now_us)
        return out


def play(path: Path, copied_after_us: int = 1_000_000) -> World:
    """A pool is held for a week, found by that, and becomes a case. Its schedule grows, and draws more often.

    copied_after_us: the delay with which the audit trail recorded each act of the holds.
    """
    folder = open_folder(path)
    acts = (
        (START_US, HoldCandidate("lead-1", 1e-6, tuple(names(BEGAN)), 1e-3)),
        (START_US + HOUR_US, HoldCandidate("lead-1", 1e-6, tuple(names(MANY)), 1e-3)),
        (START_US + DAY_US, HoldCandidate("lead-1", 1e-6, tuple(names(MANY)), 1e-3, moved_p=1e-2)),
    )
    with ControlState(folder.state) as state:
        casework = Casework(folder, None, state, lambda _: None)
        for now_us, candidate in acts:
            follow(state, TERMS, [candidate], {}, now_us=now_us, tell=lambda _: None)
            casework.copy_events(now_us + copied_after_us)
        (one,) = all_held(state)
        drawn = one.schedule
        assert (len(drawn.accounts), drawn.denser_one_block_in) == (MANY, 4)
        door = queue(drawn, np.random.default_rng(5), 25.0)
        log = path / "log.parquet"
        pq.write_table(crowd_of(door.rows).table(), log)
        result = run([log], options=Options(threads=1, held=(drawn,)))
        store = casework.store(OVER_US)
        fold(store, result, OVER_US, "scan")
        key = store.trail.signer.key  # type: ignore[union-attr]
        store.close()
    return World(folder, log, drawn, key)


def crowd_of(rows: list[tuple[int, str, int, int]]) -> Crowd:
    crowd, epoch = Crowd(3), datetime(1970, 1, 1, tzinfo=UTC)
    for number, (at_us, account, status, text) in enumerate(sorted(rows)):
        crowd.rows.append(
            {
                "exchange_id": f"x{number}",
                "time": epoch + timedelta(microseconds=at_us),
                "account": account,
                "prompt": sentence(random.Random(text)),
                "status": status,
                "model": "mira",
            }
        )
    return crowd


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return play(tmp_path_factory.mktemp("holds") / "serve")


@pytest.fixture(scope="module")
def bundle(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    (held,) = schedules_in(world.folder.state)
    return world.bundle(tmp_path_factory.mktemp("bundle") / "out", held)


def doubt(bundle: Path) -> str:
    """Return why the draws rest on the sender's word; "" if the checker repeated them."""
    told = [line for line in check(bundle)["lines"] if "randomised holds drew" in line]
    return told[0].partition("word: ")[2]


def test_every_block_is_drawn_again_and_what_each_account_was_refused_is_counted(
    world: World, bundle: Path
) -> None:
    done = alone(bundle, "--key", world.key)
    assert done.returncode == 0, done.stdout
    assert "was fixed on the audit trail before, and every block is drawn again" in done.stdout
    stated = {row["name"]: row for row in lines(bundle, "claims.ndjson")}
    refused = {name: row for name, row in stated.items() if name.endswith(".refused")}
    assert len(refused) >= MANY // 2
    assert all(row["why_not"] is None for row in refused.values()), refused
    here = {name.partition(".")[2]: row["stated"] for name, row in stated.items() if "holds_here" in name}
    assert here["held"] == sum(row["stated"] for row in refused.values())
    assert here["moved_held"] > 10 > here["moved_not_held"]
    answered = here["held_answered_429"]  # not all: holds cost an account six minutes a day at most
    assert 0.8 * here["held"] < answered < here["held"]
    assert here["not_held_answered_429"] == 0
    assert f"of {here['held']} first questions in drawn blocks {answered} were" in done.stdout
    assert here["p_here"] < 1e-6
    assert stated["reason.holds.n"]["why_not"]  # the requests of others are still the sender's word


def test_a_copy_names_accused_accounts_alone_and_never_the_folders_secret(world: World, bundle: Path) -> None:
    told = json.loads((bundle / "holds.json").read_text())
    finding = json.loads((bundle / "finding.json").read_text())["campaign"]["finding"]
    assert set(told["begin_us"]) <= set(finding["accounts"])
    assert told["key"] == world.drawn.key.hex()
    assert world.folder.secret().hex() not in (bundle / "holds.json").read_text()


# --- a dishonest sender, who has every key ---


def test_whoever_draws_again_after_looking_has_no_commitment_of_before(world: World, tmp_path: Path) -> None:
    """A sender takes the most suitable of a thousand keys, but the trail's record fixed another one."""
    kinder = replace(world.drawn, key=bytes(32))
    assert "no commitment to the draw" in doubt(world.bundle(tmp_path / "out", kinder))
    told = {row["name"]: row for row in lines(tmp_path / "out", "claims.ndjson")}
    assert not [name for name in told if "holds_here" in name]
    assert all(row["why_not"] for name, row in told.items() if name.startswith("reaction."))


def test_a_commitment_that_came_to_the_trail_after_the_first_block_is_none(tmp_path: Path) -> None:
    late = play(tmp_path / "serve", copied_after_us=HOUR_US)
    assert "no commitment to the draw" in doubt(late.bundle(tmp_path / "out", late.drawn))


def test_a_key_is_not_shown_while_its_schedule_runs(world: World, tmp_path: Path) -> None:
    running = replace(world.drawn, days=30)
    out = world.bundle(tmp_path / "out", running)
    assert json.loads((out / "holds.json").read_text())["key"] is None
    assert "had not ended" in doubt(out)


LIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "rarer draws": (lambda d: d.update(one_block_in=64), "no commitment to the draw"),
    "longer blocks": (lambda d: d.update(block_minutes=15), "no commitment to the draw"),
    "joined when it suits": (
        lambda d: d["begin_us"].update({max(d["begin_us"]): d["start_us"] + 5 * DAY_US}),
        "an account joined",
    ),
    "denser before it was said": (lambda d: d.update(denser_from_us=d["start_us"]), "draws more often"),
    "longer than was said": (lambda d: d.update(days=28), "goes on for so many days"),
    "no records": (lambda d: d.update(records=[]), "no commitment to the draw"),
}


@pytest.mark.parametrize("late_us", [None, 0], ids=["in time", "after its days"])
def test_that_it_goes_on_counts_where_the_trail_has_it_from_before(
    world: World, tmp_path: Path, late_us: int | None
) -> None:
    """Otherwise a sender could first look at further days, and then extend the suitable schedules."""
    copy = Path(shutil.copytree(world.folder.path, tmp_path / "serve"))
    folder, week_us = open_folder(copy), world.drawn.start_us + 7 * DAY_US
    at_us = week_us - HOUR_US if late_us is None else week_us + late_us
    with ControlState(folder.state) as state:
        state.event("stillwatch", "holds longer", "1", {"days": 14, "from_us": week_us}, now_us=at_us)
        Casework(folder, None, state, lambda _: None).copy_events(at_us)
    longer = replace(world, folder=folder)
    told = doubt(longer.bundle(tmp_path / "out", replace(world.drawn, days=14)))
    assert ("goes on for so many days" in told) == (late_us is not None), told


@pytest.mark.parametrize("name", LIES)
def test_what_was_not_fixed_before_is_the_senders_word(bundle: Path, tmp_path: Path, name: str) -> None:
    change, expected = LIES[name]
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))

    def edit(files: dict[str, bytes]) -> None:
        document("holds.json", change)(files)
        files["claims.ndjson"] = ndjson(claims(files))

    resigned(copy, edit)
    assert expected in doubt(copy)


def test_a_schedule_that_was_committed_to_and_not_in_force_is_betrayed_by_the_answers(
    bundle: Path, tmp_path: Path
) -> None:
    """A sender commits to many schedules, holds by none, and shows the one that drew most of what moved."""
    copy = Path(shutil.copytree(bundle, tmp_path / "copy"))
    resigned(copy, each("events.ndjson", lambda row: {"s": 429 if row["t"] % 16 == 0 else 200}))
    (told,) = (line for line in check(copy)["lines"] if "first questions in drawn blocks" in line)
    drawn, refused, others, elsewhere = map(int, re.findall(r"\d+", told.replace("answered 429", "")))
    assert refused / drawn < 2 * elsewhere / others


def test_a_record_that_was_changed_and_events_that_were_are_named(bundle: Path, tmp_path: Path) -> None:
    def earlier(told: Any) -> None:
        told["records"][0]["at_us"] -= 1

    copy = Path(shutil.copytree(bundle, tmp_path / "record"))
    found = resigned(copy, document("holds.json", earlier))
    assert any(s.startswith("holds.json: record") and "not what was hashed" in s for s in found), found
    copy = Path(shutil.copytree(bundle, tmp_path / "events"))
    found = resigned(copy, each("events.ndjson", lambda row: {"q": None} if row["t"] % 3 == 0 else {}))
    assert any(s.startswith("claim holds_here.") for s in found), found
