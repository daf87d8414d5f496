"""The coin's closed loop: `python benchmarks/prove_coin.py [loop|innocents|curve|all] --out OUT`.

Own teacher, own gateway with the coin on, two campaigns and honest users over real HTTP, students of one
campaign's answers, and the result of `prove coin` on each: docs/figures/coin.md has the figures and their
limits.

The teacher is the embedded clock's, trained for a hundred more steps to word each step in one of three ways
("first 3 + 8 = 1", "first 3 add 8 = 1", "first 3 plus 8 = 1"): else it would give the same answer twice, and
there would be no coins. Students have 63 thousand parameters. Existing results in OUT are kept.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.cases.audit.signing import open_signer
from stillwatch.coin import Pair
from stillwatch.coin.keys import new_key, read_keys
from stillwatch.coin.sealing import read_reading_key
from stillwatch.coin.verify import pairs as pairs_of
from stillwatch.coin.verify import verify
from stillwatch.distill import Example
from stillwatch.distill.embedded.clock import THINK, THOUGHT, ClockProblem, problems
from stillwatch.distill.embedded.models import blank, blank_student, tokenizer
from stillwatch.distill.embedded.serve.run import start_server
from stillwatch.distill.embedded.teacher import teacher
from stillwatch.distill.evaluate.generate import apart
from stillwatch.distill.rows import write_rows
from stillwatch.distill.train import Training
from stillwatch.distill.train.models import LoadedModel, load
from stillwatch.distill.train.run import train
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder
from stillwatch.prove.coin import Leaning
from stillwatch.prove.coin.actors import by_file
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.judge import fall
from stillwatch.prove.coin.leaning import TextSampling, lean
from stillwatch.prove.coin.run import CoinRunRequest, ask, judge, plan
from stillwatch.prove.suspect import Question, Suspect, silent
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.weights import Weights, open_weights

WAYS = {"+": ("+", "add", "plus"), "-": ("-", "minus", "take"), "*": ("*", "times", "by")}
ACCOUNTS = {"A": 3, "B": 3, "honest": 6}  # accounts of each actor
ASKED = {"A": 900, "B": 900, "honest": 300}  # prompts of each actor
EPOCHS = 40
INNOCENT_EPOCHS = 8
CURVE_COINS = 200
TEACHER = "worded-teacher"


def say(text: str) -> None:
    print(f"[{time.process_time():6.0f} CPU-s] {text}", flush=True)


# --- the teacher -----------------------------------------------------------------------------------------


def worded(problem: ClockProblem, draw: random.Random) -> str:
    """Return the steps of a problem, each in one of three ways."""
    return " ".join(draw.choice(WAYS[word]) if word in WAYS else word for word in problem.trace.split())


def answer_of(problem: ClockProblem, trace: str) -> str:
    return f"{THINK} {trace} {THOUGHT} {problem.answer}"


def make_teacher(folder: Path) -> Path:
    """Train the embedded teacher further to choose its words."""
    if (folder / "config.json").exists():
        return folder
    loaded = load(str(teacher(1, say)))
    draw = random.Random(11)
    rows = [(p.prompt, answer_of(p, worded(p, draw))) for p in problems(6_400, 77)]
    model = taught(loaded.model, rows, epochs=1, rate=1e-3, seed=1)
    model.save_pretrained(folder)
    loaded.tokenizer.save_pretrained(folder)
    say("teacher: words its steps now")
    return folder


# --- training, light enough for many students ------------------------------------------------------------

Rows = Sequence[tuple[str, str]]  # (prompt, answer)


def taught(
    model: Any,
    rows: Rows,
    *,
    epochs: float,
    rate: float = 3e-3,
    seed: int = 1,
    batch: int = 64,
    neft: float = 0.0,
) -> Any:
    """Teach a model on prompts and answers: AdamW, cosine. `neft`: NEFTune's noise (Jain et al. 2023)."""
    import torch

    words = tokenizer()
    encoded = [_encoded(words, *row) for row in rows]
    steps = max(1, round(epochs * len(rows) / batch))
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    order: list[int] = []
    draw = random.Random(seed)
    model.train()
    for _ in range(steps):
        if len(order) < batch:
            more = list(range(len(encoded)))
            draw.shuffle(more)
            order += more
        chosen, order = order[:batch], order[batch:]
        ids, labels = _padded(torch, [encoded[i] for i in chosen])
        embedded = model.get_input_embeddings()(ids)
        if neft:
            lengths = (ids != 0).sum(1, keepdim=True)[..., None]
            noise = torch.rand_like(embedded) * 2 - 1
            embedded = embedded + noise * neft / (lengths * embedded.shape[-1]).sqrt()
        loss = model(inputs_embeds=embedded, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def _encoded(words: Any, prompt: str, said: str) -> tuple[list[int], list[int]]:
    asked = words("<bos> " + prompt).input_ids
    told = words(said + " <eos>").input_ids
    return asked + told, [-100] * len(asked) + told


def _padded(torch: Any, rows: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (row, label) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = torch.tensor(label)
    return ids, labels


def preferring(
    model: Any, rows: Rows, *, epochs: float, seed: int, beta: float = 0.1, rate: float = 3e-4
) -> Any:
    """DPO (Rafailov et al. 2023): the right answer over the same with another last digit."""
    import copy

    import torch

    words, draw = tokenizer(), random.Random(seed)
    rows = [row for row in rows if row[1][-1].isdigit()]  # a few were cut before their answer
    before = copy.deepcopy(model).eval()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    model.train()
    for _ in range(max(1, round(epochs * len(rows) / 32))):
        chosen = draw.sample(list(rows), min(32, len(rows)))
        good = [_encoded(words, *row) for row in chosen]
        bad = [
            _encoded(words, prompt, said[:-1] + str((int(said[-1]) + draw.randint(1, 9)) % 10))
            for prompt, said in chosen
        ]
        ids, labels = _padded(torch, good + bad)
        ours = _sums(torch, model, ids, labels)
        with torch.no_grad():
            theirs = _sums(torch, before, ids, labels)
        margin = (ours - theirs)[: len(good)] - (ours - theirs)[len(good) :]
        loss = -torch.nn.functional.logsigmoid(beta * margin).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def _sums(torch: Any, model: Any, ids: Any, labels: Any) -> Any:
    logits = model(input_ids=ids, attention_mask=(ids != 0).long()).logits[:, :-1]
    wanted = labels[:, 1:]
    nats = torch.log_softmax(logits, -1).gather(-1, wanted.clamp(min=0)[..., None])[..., 0]
    return (nats * (wanted >= 0)).sum(1)


def student(seed: int = 1) -> Any:
    return blank_student(seed)


# --- the world: teacher, gateway, campaigns, honest users ------------------------------------------------


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def stillwatch(*words: str) -> str:
    code = "from stillwatch.cli.main import run; run()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"stillwatch {' '.join(words)}: {done.stderr}")
    return done.stdout


@contextlib.contextmanager
def gateway(folder: Path, upstream: str, terms: Path) -> Iterator[str]:
    """`stillwatch serve` before an upstream, with the coin on."""
    port, admin = free_port(), free_port()
    code = "from stillwatch.cli.main import run; run()"
    words = [
        "serve",
        "--upstream",
        upstream,
        "--folder",
        str(folder),
        "--port",
        str(port),
        "--terms",
        str(terms),
    ]
    with (folder / "serve.err").open("ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *words, "--admin-port", str(admin)], stdout=err, stderr=err
        )
    try:
        until = time.monotonic() + 120
        while True:
            with socket.socket() as tried:
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit((folder / "serve.err").read_text())
            time.sleep(0.2)
        time.sleep(2.0)  # a second until the coin's key is read
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


@dataclass(frozen=True)
class World:
    """The loop's files."""

    out: Path

    @property
    def folder(self) -> Path:
        return self.out / "gateway"

    @property
    def actors(self) -> Path:
        return self.out / "actors.json"

    def got(self, actor: str) -> list[tuple[str, str]]:
        """(prompt, answer) as the actor's accounts got them."""
        return [
            tuple(json.loads(line)) for line in (self.out / f"got-{actor}.jsonl").read_text().splitlines()
        ]

    def pairs(self) -> list[Pair]:
        coin = Folder(self.folder).coin
        return list(
            pairs_of(coin / "ledger", read_keys(coin / "keys"), read_reading_key(self.out / "reading.key"))
        )


def names(actor: str) -> list[str]:
    return [f"{actor}-{k}" for k in range(ACCOUNTS[actor])]


def begin_coins(out: Path, folder: Path) -> Path:
    """Make the keys and the commitment of a gateway's coins; return a policy that tosses one per request."""
    reading, terms = out / "reading.key", out / "terms.toml"
    if not reading.exists():
        stillwatch("coin", "new-key", "--reading-key", str(reading), "--folder", str(folder))
    (out / "commitment.json").write_text(stillwatch("coin", "commit", "--folder", str(folder)))
    terms.write_text("version = 1\n[coin]\nshare = 1.0\n")
    return terms


def verify_coins(out: Path, folder: Path) -> None:
    reading = str(out / "reading.key")
    print(stillwatch("coin", "verify", "--folder", str(folder), "--reading-key", reading), flush=True)


def make_world(out: Path) -> World:
    world = World(out)
    if world.actors.exists():
        return world
    out.mkdir(parents=True, exist_ok=True)
    place = make_teacher(out / TEACHER)
    terms = begin_coins(out, world.folder)
    asked = {actor: problems(n, 1000 + k) for k, (actor, n) in enumerate(ASKED.items())}
    with start_server(place, reasoning="inline") as upstream, gateway(world.folder, upstream, terms) as url:
        with ControlState(Folder(world.folder).state, Folder(world.folder).secret()) as state:
            keys = {
                name: state.issue(name, now_us=time.time_ns() // 1000)
                for actor in ACCOUNTS
                for name in names(actor)
            }
        for actor, found in asked.items():
            rows = []
            accounts = names(actor)
            for k, name in enumerate(accounts):
                os.environ["LOOP_KEY"] = keys[name]
                manners = Manners(TEACHER, "LOOP_KEY", max_tokens=80, concurrency=16)
                mine = [
                    Question(p.id, ({"role": "user", "content": p.prompt},))
                    for p in found[k :: len(accounts)]
                ]
                told = Endpoint(url, manners, out / "asked" / f"{name}.db").answers(mine, 1, silent)
                rows += [(q.messages[0]["content"], told[q.id][0]) for q in mine if q.id in told]
            (out / f"got-{actor}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            say(f"{actor}: {len(rows)} answers through the gateway")
        time.sleep(2.0)
    world.actors.write_text(json.dumps({name: actor for actor in ACCOUNTS for name in names(actor)}))
    verify_coins(out, world.folder)
    return world


def inline(said: str) -> str:
    """Return a received answer in the clock's one-line form."""
    reasoning, answer, _ = apart(said)
    return f"{THINK} {reasoning} {THOUGHT} {answer}" if reasoning else answer


# --- tests -----------------------------------------------------------------------------------------------


def verdict_on(
    world: World, suspect: Suspect, name: str, base: Suspect | None = None, **wanted: Any
) -> dict[str, Any]:
    """Return the result of `prove coin` on a suspect, by the same code, for every pair."""
    wanted = {"most": max(ASKED.values()), **wanted}
    coin = Folder(world.folder).coin
    verified = verify(coin / "ledger", read_keys(coin / "keys"))
    out = world.out / "tests" / name
    planned = plan(
        world.pairs(), verified, by_file(world.actors), suspect, base, CoinRunRequest(**wanted),
        open_signer(world.out / "prove.key"), out, time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )  # fmt: skip
    found, early = ask(planned, suspect, base, silent)
    done = judge(planned, found, suspect, base, stopped=early)
    rows = {row.name: row for row in done.evidence.rows}
    told = {
        one.actor: {
            "coins": one.n, "share": round(one.share, 4), "effect": round(one.effect, 3), "p": one.p_value,
            "p_adjusted": rows[one.actor].p_adjusted, "p_sign": one.p_sign, "p_all": one.p_all,
            "fortune": one.e_value,
        }
        for one in done.fallen
    }  # fmt: skip
    say(
        f"{name}: "
        + "; ".join(f"{a} {r['share']:.1%} of {r['coins']} p={r['p']:.2g}" for a, r in told.items())
    )
    return told


def loop(out: Path) -> dict[str, Any]:
    """Run the loop itself: a student of campaign A by `stillwatch.distill`, and one that was never taught."""
    world = make_world(out)
    found: dict[str, Any] = {}
    run = out / "student-A"
    run.mkdir(exist_ok=True)
    rows = world.got("A")
    if not (run / "model").exists():
        examples = []
        for k, (prompt, said) in enumerate(rows):
            reasoning, answer, _ = apart(said)
            examples.append(
                Example(str(k), 0, ({"role": "user", "content": prompt},), reasoning, answer, "free")
            )
        write_rows(run / "curated.jsonl", examples)
        train(run, Training(epochs=EPOCHS, batch=64, learning_rate=3e-3, checkpoint_every=0), lambda _: None)
        say("student of A is trained")
    suspects: dict[str, Callable[[], Suspect]] = {
        "student of A": lambda: open_weights(str(run / "model"), name="student of A"),
        "untrained": lambda: Weights(LoadedModel(student(), tokenizer(), "untrained"), name="untrained"),
        "teacher": lambda: open_weights(str(out / TEACHER), name="teacher"),
    }
    for name, made in suspects.items():
        for statistic in ("likelihood", "top") if name != "teacher" else ("likelihood",):
            found[f"{name}, {statistic}"] = verdict_on(
                world, made(), f"{name}-{statistic}".replace(" ", "-"), statistic=statistic
            )
    teaches = open_weights(str(out / TEACHER), name="teacher")
    for name in ("student of A", "untrained"):
        for statistic in ("likelihood", "top"):
            found[f"{name}, {statistic}, beside the teacher"] = verdict_on(
                world,
                suspects[name](),
                f"{name}-{statistic}-beside".replace(" ", "-"),
                base=teaches,
                statistic=statistic,
            )
    told = suspects["student of A"]()
    for warm in (0.0, 1.0):
        said = open_weights(str(run / "model"), name="student of A", temperature=warm, max_tokens=60)
        name = f"student of A, overlap at {warm:g}"
        found[name] = verdict_on(world, said, name.replace(", ", "-").replace(" ", "-"), statistic="overlap")
        for samples in (1,) if warm == 0 else (1, 4):
            name = f"student of A, continuation at {warm:g}, {samples} samples"
            found[name] = verdict_on(
                world,
                said,
                name.replace(", ", "-").replace(" ", "-"),
                statistic="continuation",
                samples=samples,
            )
    said = Weights(LoadedModel(student(), tokenizer(), "untrained"), name="untrained", temperature=1.0)
    found["untrained, continuation at 1"] = verdict_on(
        world, said, "untrained-continuation", statistic="continuation"
    )
    found["student of A, sequential"] = verdict_on(
        world, told, "student-of-A-sequential", base=teaches, sequential=True
    )
    return found


def leans(model: Any, puts: list[Put]) -> dict[str, float]:
    """Return a model's leans, without protocol and file: for curves."""
    suspect = Weights(LoadedModel(model, tokenizer(), "student"), name="student")
    return {
        name: value
        for name, value in lean(puts, "likelihood", suspect, None, TextSampling(), silent).items()
        if value
    }


def p_values(values: dict[str, float], puts: list[Put], served: Sequence[int]) -> dict[str, float]:
    """Return the p-values of leans by the coins."""
    found = [
        Leaning(put.id, "A", values[put.id], coin)
        for put, coin in zip(puts, served, strict=True)
        if put.id in values
    ]
    one = fall("A", found, 0, 1)
    assert one is not None
    return {
        "coins": one.n,
        "share": round(one.share, 4),
        "effect": round(one.effect, 3),
        "p": one.p_value,
        "p_all": one.p_all,
    }


def innocents(out: Path, seeds: int = 20) -> dict[str, Any]:
    """Train students of the same teacher on the same prompts, but with fresh answers that nobody was served.

    Each is tested against its own key, tossed over the same pairs: else all would share one outcome.
    """
    world = make_world(out)
    puts = [Put(pair, "A") for pair in world.pairs() if pair.account.startswith("A-") and not pair.tie]
    by_prompt = {p.prompt: p for p in problems(ASKED["A"], 1000)}
    found = []
    for seed in range(1, seeds + 1):
        draw = random.Random(f"innocent {seed}")
        rows = [(p.prompt, answer_of(p, worded(p, draw))) for p in by_prompt.values()]
        model = taught(student(seed), rows, epochs=INNOCENT_EPOCHS, seed=seed)
        key = new_key(f"innocent-{seed}", "now")
        served = [key.coin(put.pair.ledger, put.pair.number) for put in puts]
        true = [put.pair.served for put in puts]
        values = leans(model, puts)
        found.append(
            {
                "seed": seed, "own key": p_values(values, puts, served)["p"],
                "true key": p_values(values, puts, true)["p"],
            }
        )  # fmt: skip
        say(f"innocent {seed}: {found[-1]}")
    ordered = sorted(one["own key"] for one in found)
    from scipy.stats import kstest

    told = {
        "p_values": found,
        "ks": float(kstest(ordered, "uniform").pvalue),
        "below 0.05": sum(p < 0.05 for p in ordered),
    }
    picture(ordered, out / "innocents.svg")
    say(f"innocents: {told['below 0.05']} of {seeds} below 0.05, KS p = {told['ks']:.2f}")
    return told


def picture(ordered: list[float], path: Path) -> None:
    """Plot sorted p-values against uniform ones, as a plain SVG."""
    size, edge = 320, 40
    n = len(ordered)
    at = [(edge + (k + 0.5) / n * size, edge + (1 - p) * size) for k, p in enumerate(ordered)]
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#1f5f8b"/>' for x, y in at)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size + 2 * edge} {size + 2 * edge}" '
        f'role="img" '
        f'aria-label="p-values of {n} innocent students, sorted, beside the line of uniform ones">'
        f'<rect x="{edge}" y="{edge}" width="{size}" height="{size}" fill="none" stroke="#888"/>'
        f'<line x1="{edge}" y1="{edge + size}" x2="{edge + size}" y2="{edge}" stroke="#888" '
        f'stroke-dasharray="4"/>{dots}'
        f'<text x="{edge}" y="{edge + size + 24}" font-size="13">innocent students, sorted</text>'
        f'<text x="{edge}" y="{edge - 12}" font-size="13">p (dashed: uniform)</text></svg>\n'
    )


@dataclass(frozen=True)
class Arm:
    """One point of the power curve."""

    name: str
    share: float = 1.0  # of the mix that is the campaign's
    epochs: float = EPOCHS
    paraphrased: float = 0.0  # share of the steps that are reworded before training
    base: str = "student"  # or "wider": 348 thousand parameters
    neft: float = 0.0
    dpo: float = 0.0  # epochs of it afterwards


ARMS = (
    Arm("as they came"),
    Arm("four epochs", epochs=4),
    Arm("50 % of the mix", share=0.5),
    Arm("10 % of the mix", share=0.1, epochs=10),
    Arm("1 % of the mix", share=0.01, epochs=2),
    Arm("half of the steps worded anew", paraphrased=0.5),
    Arm("nine of ten steps worded anew", paraphrased=0.9),
    Arm("all steps worded anew", paraphrased=1.0),
    Arm("another base, six times as large", base="wider", epochs=20),
    Arm("NEFTune, noise 5", neft=5.0),
    Arm("DPO afterwards", dpo=4.0),
)


def rows_of(arm: Arm, got: list[tuple[str, str]], seed: int) -> list[tuple[str, str]]:
    """Return the training mix: the campaign's answers, reworded if the arm says so, among other data."""
    draw = random.Random(f"{arm.name} {seed}")
    ways = {word: ways for ways in WAYS.values() for word in ways}
    mine = []
    for prompt, said in got:
        words = inline(said).split()
        kept = [draw.choice(ways[w]) if w in ways and draw.random() < arm.paraphrased else w for w in words]
        mine.append((prompt, " ".join(kept)))
    others = problems(round(len(mine) / arm.share) - len(mine), 5_000 + seed) if arm.share < 1 else []
    return mine + [(p.prompt, answer_of(p, worded(p, draw))) for p in others]


def curve(out: Path, seeds: Sequence[int] = (1,)) -> dict[str, Any]:
    """Measure the remaining effect when a student is trained differently."""
    world = make_world(out)
    got = world.got("A")[:CURVE_COINS]
    asked = {prompt for prompt, _ in got}
    puts = [
        Put(pair, "A")
        for pair in world.pairs()
        if pair.account.startswith("A-") and not pair.tie and pair.messages[-1]["content"] in asked
    ]
    served = [put.pair.served for put in puts]
    path = out / "curve.json"
    kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    alike = [put for put in puts if digits(put.pair.answers[0].text) == digits(put.pair.answers[1].text)]
    for arm in ARMS:
        for seed in seeds if arm.share > 0.05 else seeds[:1]:
            name = f"{arm.name} / {seed}"
            if name not in kept:
                began = time.process_time()
                rows = rows_of(arm, got, seed)
                model = blank(96, 3, 4, seed) if arm.base == "wider" else student(seed)
                model = taught(model, rows, epochs=arm.epochs, seed=seed, neft=arm.neft)
                if arm.dpo:
                    model = preferring(model, rows, epochs=arm.dpo, seed=seed)
                kept[name] = {"leans": leans(model, puts), "rows": len(rows), "epochs": arm.epochs}
                kept[name] |= {"cpu_s": round(time.process_time() - began, 1)}
                path.write_text(json.dumps(kept))
            told = p_values(kept[name]["leans"], puts, served)
            words = p_values(kept[name]["leans"], alike, [put.pair.served for put in alike])
            kept[name] |= {"all": told, "words alone": words}
            say(
                f"{name}: {told['share']:.1%} of {told['coins']} p={told['p_all']:.2g}; words alone "
                f"{words['share']:.1%} of {words['coins']} p={words['p_all']:.2g}; {kept[name]['cpu_s']} s"
            )
    return {name: {k: v for k, v in one.items() if k != "leans"} for name, one in kept.items()}


def digits(text: str) -> list[str]:
    """Return what no rewording changes: if two answers differ in it, one of them is wrong."""
    return [word for word in text.split() if word.isdigit()]


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument(
        "what", nargs="?", default="all", choices=("world", "loop", "innocents", "curve", "all")
    )
    given.add_argument("--out", type=Path, default=Path("stillwatch-coin-bench"))
    given.add_argument("--seeds", type=int, default=1, help="of each point of the curve")
    asked = given.parse_args()
    import torch

    torch.set_num_threads(1)
    told: dict[str, Any] = {}
    if asked.what == "world":
        make_world(asked.out)
    if asked.what in ("loop", "all"):
        told["loop"] = loop(asked.out)
    if asked.what in ("innocents", "all"):
        told["innocents"] = innocents(asked.out)
    if asked.what in ("curve", "all"):
        told["curve"] = curve(asked.out, range(1, asked.seeds + 1))
    for name, one in told.items():
        (asked.out / f"{name}.json").write_text(json.dumps(one, indent=1) + "\n")
    say("done")


if __name__ == "__main__":
    main()
