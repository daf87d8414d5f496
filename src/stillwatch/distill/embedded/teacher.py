"""The clock's teacher: trained from a seed once, about four CPU-minutes, then kept in the user's cache.

It is not shipped: 1.4 MB of weights that nobody can check are worth less than a recipe that anybody can run.
It does not know who asks it.
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

RECIPE = 1  # raised with every change to what is below, the task or the models: old caches are then not taken
STEPS, BATCH, PROBLEMS = 640, 96, 40_000
PEAK, WARMUP = 4e-3, 30
LICENCE = "Apache-2.0"


def cache() -> Path:
    """Where models made here are kept: $STILLWATCH_CACHE, or the user's cache folder."""
    named = os.environ.get("STILLWATCH_CACHE")
    if named:
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "stillwatch"


def teacher(seed: int = 1, say: Callable[[str], None] = lambda _: None) -> Path:
    """The folder of the clock's teacher; trains it when it is not in the cache yet."""
    folder = cache() / f"clock-teacher-{RECIPE}-{seed}"
    if (folder / "stillwatch.json").exists():
        return folder
    say("Training the clock's teacher (once, about four CPU-minutes)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = folder.with_name(f"{folder.name}.{os.getpid()}.making")
    try:
        make(making, seed, say)
        if not folder.exists():  # two who make the same at once make the same
            making.rename(folder)
    except OSError:
        if not (folder / "stillwatch.json").exists():
            raise
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def make(folder: Path, seed: int, say: Callable[[str], None]) -> None:
    """Train a teacher and write it, its tokenizer and where it is from into a folder."""
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
    for step in range(STEPS):
        chosen = [rows[order[(step * BATCH + i) % len(rows)]] for i in range(BATCH)]
        ids, labels = _pad(torch, chosen)
        loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if (step + 1) % 60 == 0:
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
    asked = words("<bos>" + " " + prompt).input_ids
    said = words(completion + " <eos>").input_ids
    return asked + said, [-100] * len(asked) + said


def _pad(torch: Any, rows: list[tuple[list[int], list[int]]]) -> tuple[Any, Any]:
    longest = max(len(ids) for ids, _ in rows)
    ids = torch.zeros((len(rows), longest), dtype=torch.long)
    labels = torch.full((len(rows), longest), -100)
    for i, (row, label) in enumerate(rows):
        ids[i, : len(row)] = torch.tensor(row)
        labels[i, : len(row)] = torch.tensor(label)
    return ids, labels
