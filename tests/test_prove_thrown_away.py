"""An owner deletes or truncates ledger files between two seals: an innocent is never *trained*.

The owner can inspect the innocent itself, and keeps each worker's suitable files. The kept part leans to the
served answers beyond all chance; only what nobody could select may count.
"""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coin_world import FALLEN_US, KEY, name_actors, pair_in, text, throw_of
from stillwatch.cases.audit.signing import open_signer
from stillwatch.coin.ledger import Ledger
from stillwatch.coin.verify import pairs
from stillwatch.prove import ProveError, checker
from stillwatch.prove.coin import leans, seals
from stillwatch.prove.suspect.outputs import Outputs
from test_prove_seal import KEYS, World, outputs

WORKERS, COINS, SECOND_US = 160, 4, 1_000_000
TEST = seals.SealedTest(("overlap",), "none", 1e-5, 0.3, 1, 640)
ONE_END = seals.SealedTest(("overlap",), "none", 1e-5, 0.3, 1, 480, ends=1)


class Fleet(World):
    """A gateway of many workers that serves one actor; its ledgers are still open when the actor is named."""

    def __init__(
        self, folder: Path, coins: int = COINS, *, closed: bool, test: seals.SealedTest = TEST
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.folder, self.ledger = folder, folder / "ledger"
        self.owner, self.witness = open_signer(folder / "prove.key"), open_signer(folder / "witness.key")
        self.run(coins, closed=closed)
        named = {f"acct-{k}": "crew-0" for k in range(3)}
        self.naming_word = name_actors(folder, named, test, self.owner, self.witness)

    def run(self, coins: int, *, closed: bool, workers: int = WORKERS, after_s: int = 0) -> None:
        """Run the gateway once: a file per worker, with canaries in turn."""
        begun_us = FALLEN_US + after_s * SECOND_US
        for worker in range(workers):
            ledger = Ledger(self.ledger, worker, KEY, None, begun_us)
            draw, account = random.Random(f"{worker} {after_s}"), f"acct-{worker % 3}"
            times = [begun_us + (k * workers + worker + 1) * SECOND_US for k in range(coins)]
            made = [pair_in(ledger, draw, account, at_us=at_us) for at_us in times]
            ledger.add([one for pair in made for one in (throw_of(pair), pair)], begun_us)
            if closed:
                ledger.close(begun_us + (coins + 1) * workers * SECOND_US)
            ledger.abandon()
        self.pairs = list(pairs(self.ledger, KEYS))

    def suspect(self, learned: str = "", name: str = "acme-7b", by: Any = None) -> Outputs:
        """Its answers depend on the prompt alone, or repeat what was served."""
        prompts = [(pair, pair.messages[0]["content"]) for pair in self.pairs]
        said = (pair.answers[pair.served].text if learned else text(random.Random(q)) for pair, q in prompts)
        rows = [{"model": name, "prompt": list(pair.messages)} for pair in self.pairs]
        path = self.folder / f"{name}.jsonl"
        return outputs(path, [row | {"output": one} for row, one in zip(rows, said, strict=True)])

    def path(self, ledger: str) -> Path:
        return self.ledger / f"{ledger}.jsonl"

    def towards(self, model: str = "acme-7b") -> dict[str, list[float]]:
        """Return a model's leans to the served answers, per ledger, in order."""
        lines = map(json.loads, (self.folder / f"{model}.jsonl").read_text().splitlines())
        said = {row["prompt"][0]["content"]: row["output"] for row in lines}
        found: dict[str, list[float]] = {}
        for pair in self.pairs:
            lean = leans.overlap(said[pair.messages[0]["content"]], *(one.text for one in pair.answers))
            found.setdefault(pair.ledger, []).append(lean if pair.served == 0 else -lean)
        return found

    def tested(self, suspect: Any, test: seals.SealedTest = TEST) -> tuple[Any, Any]:
        """Return the test and its proof as read; None and the refusal if there is nothing to test."""
        sealed = self.seal(lambda pair: "crew-0", test=test)
        try:
            came = self.test(sealed, suspect, (self.word(sealed),), ("crew-0",))
        except ProveError as why:
            return None, str(why)
        return came, self.read(came)


def cut(fleet: Fleet, ledger: str, coins: int) -> None:
    """Truncate a file after this many canaries, as a kill leaves it."""
    lines = fleet.path(ledger).read_bytes().splitlines(keepends=True)
    fleet.path(ledger).write_bytes(b"".join(lines[: 1 + 2 * coins]))


def at_its_best(leaning: list[float]) -> int:
    """Return the number of canaries after which they lean most to the served answers."""
    return max(range(len(leaning) + 1), key=lambda k: sum(leaning[:k]))


def throw_files_away(fleet: Fleet) -> list[float]:
    """Keep the suitable files of a later run."""
    fleet.run(COINS, closed=True, after_s=3600)
    fleet.suspect()
    kept: list[float] = []
    for ledger, leaning in fleet.towards().items():
        if ledger.endswith("2") and sum(leaning) <= 0:
            fleet.path(ledger).unlink()
        elif ledger.endswith("2"):
            kept += leaning
    return kept


def run_again(fleet: Fleet) -> list[float]:
    """Run the gateway repeatedly from a copy of its ledger, and keep the suitable run, by worker."""
    best: dict[str, tuple[float, list[float], bytes]] = {}
    for again in range(3):
        fleet.run(COINS, closed=True, after_s=3600 * (again + 1))
        fleet.suspect()
        for ledger, leaning in fleet.towards().items():
            if ledger.endswith("2"):
                this = sum(leaning), leaning, fleet.path(ledger).read_bytes()
                best[ledger] = max(best.get(ledger, this), this, key=lambda one: one[0])
                fleet.path(ledger).unlink()
    for ledger, (_, _, data) in best.items():
        fleet.path(ledger).write_bytes(data)
    return [lean for _, leaning, _ in best.values() for lean in leaning]


def cut_ends_off(fleet: Fleet) -> list[float]:
    """Truncate each worker's file where its canaries lean most, but not before each has two."""
    fleet.suspect()
    kept: list[float] = []
    for ledger, leaning in fleet.towards().items():
        coins = max(2, at_its_best(leaning))
        cut(fleet, ledger, coins)
        kept += leaning[:coins]
    return kept


def leave_workers_out(fleet: Fleet) -> list[float]:
    """Truncate whole workers to the point where the actor was named."""
    fleet.suspect()
    kept: list[float] = []
    for ledger, leaning in fleet.towards().items():
        if sum(leaning) <= 0:
            cut(fleet, ledger, 0)
        else:
            kept += leaning
    return kept


ATTACKS: dict[str, tuple[Callable[[Fleet], list[float]], int, bool]] = {  # canaries at naming; closed
    "files": (throw_files_away, 0, True),
    "copies": (run_again, 0, True),
    "ends": (cut_ends_off, COINS, False),
    "workers": (leave_workers_out, COINS, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_kept_of_a_ledger_convicts_no_innocent(tmp_path: Path, name: str) -> None:
    attack, coins, closed = ATTACKS[name]
    fleet = Fleet(tmp_path, coins, closed=closed)
    kept = attack(fleet)
    assert leans.tail(kept)[2] < 1e-8  # below 1e-5 / 48, which would be *trained*
    fleet.pairs = list(pairs(fleet.ledger, KEYS))
    came, proof = fleet.tested(fleet.suspect())
    if came is None:
        assert "in the ledgers that were open then" in proof
        return
    assert not came.evidence.found()
    assert not [one for one in proof.examined.actors.values() if one["adjusted"] <= 1e-3]


@pytest.mark.slow
def test_a_gateway_that_stopped_or_goes_on_proves_as_before(tmp_path: Path) -> None:
    """A closed file is complete. In an open one, canaries count up to the slowest worker's last record."""
    for name, closed, coins in (("stopped", True, 480), ("running", False, 320)):
        fleet = Fleet(tmp_path / name, 3, closed=closed)
        came, proof = fleet.tested(fleet.suspect("crew-0"))
        assert proof.examined.holds, proof.examined
        assert came.tested[0].pairs == coins
        assert came.evidence.found()
        fleet.run(COINS, closed=True, after_s=3600)  # canaries in later files count for nothing
        came, proof = fleet.tested(fleet.suspect("crew-0"))
        assert (proof.examined.holds, came.tested[0].pairs) == (True, coins)


def drop(told: dict[str, Any]) -> None:
    told["naming"]["last_lines"].pop()


def show_an_earlier_line(told: dict[str, Any]) -> None:
    """Another record of a truncated worker is shown as its last one."""
    throw = next(one for one in told["records"] if json.loads(one["leaf"])["kind"] == "throw")
    lines = [one for one in told["naming"]["last_lines"] if one["ledger"] != throw["ledger"]]
    told["naming"]["last_lines"] = [*lines, {**throw, "opening": ""}]


def say_that_it_is_closed(told: dict[str, Any]) -> None:
    line = told["naming"]["last_lines"][0]
    leaf = json.loads(line["leaf"])
    line["leaf"] = json.dumps(leaf | {"kind": "close"}, sort_keys=True, separators=(",", ":"))


LAST_LINES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "none": lambda told: told["naming"].pop("last_lines"),
    "one less": drop,
    "one twice": lambda told: told["naming"]["last_lines"].append(told["naming"]["last_lines"][0]),
    "an earlier one": show_an_earlier_line,
    "a closed one": say_that_it_is_closed,
    "a note": lambda told: told["naming"]["last_lines"][0].update(note="seen"),
    "an index": lambda told: told["naming"]["last_lines"][0].update(index=0),
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> tuple[Fleet, dict[str, Any]]:
    fleet = Fleet(tmp_path_factory.mktemp("running"), closed=False)
    came, proof = fleet.tested(fleet.suspect("crew-0"))
    assert proof.examined.holds
    return fleet, json.loads(came.proof.read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", LAST_LINES)
def test_last_lines_that_are_not_shown_as_sealed_prove_nothing(
    running: tuple[Fleet, dict[str, Any]], name: str
) -> None:
    fleet, proof = running
    told = copy.deepcopy(proof)
    LAST_LINES[name](told)
    try:
        found = checker.proof.examine(told, fleet.owner.key, fleet.trust(), checker.parts)
    except checker.CANNOT:
        return
    assert found.wrong


@pytest.mark.slow
def test_coins_that_end_at_a_sealed_count(tmp_path: Path) -> None:
    """One end is free in the adjustment, and shows nothing before it is reached."""
    fleet = Fleet(tmp_path, closed=False, test=ONE_END)
    came, proof = fleet.tested(fleet.suspect("crew-0"), ONE_END)
    assert proof.examined.holds, proof.examined
    assert came.tested[0].pairs == 480
    assert came.evidence.rows[0].p_adjusted == came.evidence.rows[0].p_value * 6
    few = Fleet(tmp_path / "few", coins=3, closed=False, test=ONE_END)
    came, refused = few.tested(few.suspect("crew-0"), ONE_END)
    assert came is None
    assert "none of the actors that seal 1 named has 480 coins" in refused


@pytest.mark.slow
def test_an_actor_withdrawn_and_named_again_in_parts_counts_each_time(tmp_path: Path) -> None:
    """Each attempt under another name or with fewer accounts is one more test; no seal can be omitted."""
    fleet = Fleet(tmp_path, closed=True)
    parts = ("crew-9", "luckiest", "half")
    for name in parts:
        fleet.word(
            fleet.seal(lambda pair, name=name: name if pair.account == "acct-1" else "rest", naming=None)
        )
    came, proof = fleet.tested(fleet.suspect("crew-0"))
    assert proof.examined.holds
    assert came.evidence.rows[0].p_adjusted == pytest.approx(
        came.evidence.rows[0].p_value * (1 + 2 * len(parts)) * 8 * 5 * 6
    )
    told = json.loads(came.proof.read_text())
    del told["seals"][2]
    assert checker.proof.examine(told, fleet.owner.key, fleet.trust(), checker.parts).wrong
