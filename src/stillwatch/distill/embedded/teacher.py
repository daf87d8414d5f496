"""The clock's teacher: trained once from a seed, in about four CPU-minutes, then kept in the user's cache.

It is not shipped: a recipe that anybody can run is worth more than 1.4 MB of weights that nobody can check.
"""

import json
import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from stillwatch.distill.embedded.clock import THINK, THOUGHT, problems
from stillwatch.distill.embedded.models import blank_teacher, tokenizer
from stillwatch.distill.train.extra import need

RECIPE = 1  # increase with every change below, to the task or to the models: older caches are then ignored
STEPS, BATCH, PROBLEMS = 640, 96, 40_000
PEAK, WARMUP = 4e-3, 30
CHECKPOINT_STEPS = 60  # a killed training continues from the last multiple
LICENCE = "Apache-2.0"


def cache() -> Path:
    """Return the folder of models made here: $STILLWATCH_CACHE, or the user's cache folder."""
    named = os.environ.get("STILLWATCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stillwatch"


def teacher(seed: int = 1, say: Callable[[str], None] = lambda _: None) -> Path:
    """Return the folder of the clock's teacher, training it if it is not in the cache."""
    folder = cache() / f"clock-teacher-{RECIPE}-{seed}"
    if (folder / "stillwatch.json").exists():
        return folder
    say("Training the clock's teacher (once, about four CPU-minutes)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = folder.with_name(f"{folder.name}.{os.getpid()}.making")
    checkpoint = folder.with_name(f"{folder.name}.checkpoint")
    try:
        make(making, seed, say, checkpoint)
        if not folder.exists():  # two processes that make it at once make the same
            making.rename(folder)
        checkpoint.unlink(missing_ok=True)
    except OSError:
        if not (folder / "stillwatch.json").exists():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def make(folder: Path, seed: int, say: Callable[[str], None], checkpoint: Path | None = None) -> None:
    """Train a teacher and write it, its tokenizer and its origin into a folder.

    A killed training continues with the same `checkpoint`, and gives the same weights.
    """
    torch = need("torch")
    began = time.process_time()
    words = tokenizer()
    model = blank_teacher(seed)
    rows = [
        _encode(words, p.prompt, f"{THINK} {p.trace} {THOUGHT} {p.answer}") for p in problems(PROBLEMS, seed)
    ]
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, _cosine)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    loss = torch.zeros(())
    first = 0
    if checkpoint is not None and checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        for name, part in (("model", model), ("optimizer", optimizer), ("schedule", schedule)):
            part.load_state_dict(state[name])
        first, loss, began = state["step"], state["loss"], began - state["cpu_s"]
        torch.set_rng_state(state["random"])
        say(f"teacher: going on from step {first} of {STEPS}")
    for step in range(first, STEPS):
        chosen = [rows[order[(step * BATCH + i) % len(rows)]] for i in range(BATCH)]
        ids, labels = _pad(torch, chosen)
        loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % CHECKPOINT_STEPS == 0:
            if checkpoint is not None:
                state = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
                state |= {"schedule": schedule.state_dict(), "step": step + 1, "loss": loss.detach()}
                state |= {"cpu_s": time.process_time() - began, "random": torch.get_rng_state()}
                temporary = checkpoint.with_name(f"{checkpoint.name}.{os.getpid()}")
                torch.save(state, temporary)
                temporary.replace(checkpoint)
            say(f"teacher: step {step + 1} of {STEPS}, loss {loss.item():.3f}")
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    about = {
        "name": "clock-teacher",
        "licence": LICENCE,
        "terms": "Made by Stillwatch from a seed; do with it as you like.",
        "seed": seed,
        "recipe": RECIPE,
        "loss": loss.item(),
        "cpu_s": round(time.process_time() - began, 1),
    }
    (folder / "stillwatch.json").write_text(json.dumps(about, indent=1) + "\n")


def _cosine(step: int) -> float:
    if step < WARMUP:
        return (step + 1) / WARMUP
    return 0.5 * (1 + math.cos(math.pi * (step - WARMUP) / (STEPS - WARMUP)))


def _encode(words: Any, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    prompt_tokens = words("<bos>" + " " + prompt).input_ids
    answer = words(completion + " <eos>").input_ids
    return prompt_tokens + answer, [-100] * len(prompt_tokens) + answer


def _pad(torch: Any, rows: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (row, label) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = torch.tensor(label)
    return ids, labels
