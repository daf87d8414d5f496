"""Watermarks in transformers and the interface for vLLM. NumPy is the oracle; torch needs the extra."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.watermark import Mark, MarkError, vllm_plugin
from stillwatch.watermark.choosing import choose_token
from stillwatch.watermark.keys import Owner, make_owner_key, mark_of
from stillwatch.watermark.processor import MarkingProcessor, remaining_probabilities
from stillwatch.watermark.vllm_plugin import MarkingLogitsProcessor, owner_of, request_marker

OWNER = bytes(range(32))
LOGITS = np.array([2.0, 1.0, 0.5, -1.0, 2.5])


@pytest.mark.slow
@given(st.lists(st.floats(-9, 9), min_size=2, max_size=9), st.floats(0.05, 1), st.integers(0, 9))
def test_what_cuts_leave_by_hand(logits: list[float], top_p: float, top_k: int) -> None:
    got = remaining_probabilities(np.array(logits), 0.7, top_k, top_p)
    p = np.exp(np.array(logits) / 0.7 - max(logits) / 0.7)
    if top_k:
        p[p < sorted(p)[-min(top_k, len(p))]] = 0
    p /= p.sum()
    kept, total = [], 0.0
    for i in sorted(range(len(p)), key=lambda i: (-p[i], i)):
        if kept and total >= top_p:
            break
        kept.append(i)
        total += p[i]
    assert (got[[i for i in range(len(p)) if i not in kept]] == 0).all()
    assert got[kept] == pytest.approx(p[kept])


@pytest.mark.parametrize("cuts", [(0.0, 0, 1.0), (1.0, 0, 0.0), (1.0, -1, 1.0), (1.0, 0, 1.5)])
def test_settings_that_leave_nothing(cuts: tuple[float, int, float]) -> None:
    with pytest.raises(MarkError):
        remaining_probabilities(LOGITS, *cuts)
    with pytest.raises(MarkError):
        MarkingProcessor(mark_of(OWNER, "a"), temperature=cuts[0], top_k=cuts[1], top_p=cuts[2])


def asked(**other: Any) -> SimpleNamespace:
    told = {"extra_args": {"stillwatch_mark": "a"}, "temperature": 1.0, "top_k": -1, "top_p": 1.0, "seed": 7}
    return SimpleNamespace(**(told | other))


def test_which_requests_are_marked() -> None:
    owner = Owner(OWNER)
    assert request_marker(owner, asked(extra_args=None)) is None
    assert request_marker(owner, asked(extra_args={})) is None
    assert request_marker(owner, asked(temperature=0.0)) is None
    assert request_marker(owner, asked()) is not None
    for actor in (7, "", ["a"]):
        with pytest.raises(ValueError, match="actor's name"):
            MarkingLogitsProcessor.validate_params(asked(extra_args={"stillwatch_mark": actor}))
    MarkingLogitsProcessor.validate_params(asked())


def test_the_plugin_says_what_it_lacks(tmp_path: Path) -> None:
    if vllm_plugin._Adapter is object:
        with pytest.raises(MarkError, match="not installed"):
            MarkingLogitsProcessor(None, None, False)
    with pytest.raises(MarkError, match="additional-config"):
        owner_of(SimpleNamespace(additional_config={}))
    make_owner_key(tmp_path / "k")
    told = SimpleNamespace(additional_config={"stillwatch_mark_key": str(tmp_path / "k")})
    assert owner_of(told).mark("a").actor == "a"


@pytest.mark.train
def test_the_seam_marks_as_the_choice_says() -> None:
    import torch

    marked = request_marker(Owner(OWNER), asked(temperature=0.8, top_p=0.9))
    assert marked is not None
    row = marked([3, 4], torch.tensor(LOGITS))
    token = choose_token(
        mark_of(OWNER, "a"), remaining_probabilities(LOGITS, 0.8, 0, 0.9), [3, 4], lambda: 0.0
    )
    assert int(row.argmax()) == token
    assert int(torch.isfinite(row).sum()) == 1
    assert torch.equal(marked([3], torch.tensor(LOGITS)), torch.tensor(LOGITS))


@pytest.mark.train
def test_rows_have_their_own_marks_and_prompts_do_not_count() -> None:
    import torch

    a = mark_of(OWNER, "a")
    processor = MarkingProcessor([a, None, mark_of(OWNER, "b")])
    prompts, scores = torch.tensor([[7, 7, 7]] * 3), torch.tensor(np.stack([LOGITS] * 3))
    assert torch.equal(processor(prompts, scores), scores)  # the prompt is no context
    later = torch.cat([prompts, torch.tensor([[1, 2]] * 3)], dim=1)
    got = processor(later, scores)
    assert int(got[0].argmax()) == choose_token(a, remaining_probabilities(LOGITS), [1, 2], lambda: 0.0)
    assert torch.equal(got[1], scores[1])
    with pytest.raises(MarkError, match="changed places"):
        processor(torch.tensor([[8, 7, 7, 1]] * 3), scores)
    with pytest.raises(MarkError, match="one call"):
        processor(later[:2], scores[:2])
    with pytest.raises(MarkError, match="2 marks for 3 rows"):
        MarkingProcessor([a, a])(prompts, scores)


@pytest.mark.train
def test_each_row_draws_one_of_its_actors_keys() -> None:
    import torch

    draws = iter([0.0, 0.9])
    two = mark_of(OWNER, "a", keys=2)
    processor = MarkingProcessor(two, chance=lambda: next(draws))
    prompts, scores = torch.tensor([[7, 7, 7]] * 2), torch.tensor(np.stack([LOGITS] * 2))
    processor(prompts, scores)
    got = processor(torch.cat([prompts, torch.tensor([[1, 2]] * 2)], dim=1), scores)
    for found, key in zip(got, two.keys, strict=True):
        p = remaining_probabilities(LOGITS)
        assert int(found.argmax()) == choose_token(Mark("a", key), p, [1, 2], lambda: 0.0)


@pytest.mark.train
def test_generate_marks_what_is_found_again() -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from stillwatch.prove.exact import gamma_tail
    from stillwatch.watermark.reading import pairs_in, scored_pairs, scores

    torch.manual_seed(1)
    model = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=64, n_positions=64, n_embd=16, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=63
        )
    )
    mark = mark_of(OWNER, "a")
    asked_ids = torch.ones((8, 3), dtype=torch.long)
    out = model.generate(
        input_ids=asked_ids,
        attention_mask=torch.ones_like(asked_ids),
        do_sample=True,
        temperature=0.9,
        top_k=0,
        max_new_tokens=40,
        pad_token_id=63,
        logits_processor=[MarkingProcessor(mark, temperature=0.9)],
    )
    texts = [[t for t in row[3:].tolist() if t != 63] for row in out]
    pairs = scored_pairs(pairs_in(texts, mark.window))
    assert gamma_tail(sum(scores(mark.key, pairs)), len(pairs)) < 1e-30
    other = mark_of(OWNER, "b").key
    assert gamma_tail(sum(scores(other, pairs)), len(pairs)) > 1e-3


@pytest.mark.slow  # trains the clock's teacher if it is not in the cache yet
@pytest.mark.train
def test_the_embedded_server_marks_who_is_named_and_nobody_without_a_key() -> None:
    import json
    from urllib.request import Request, urlopen

    from stillwatch.distill.embedded.serve.run import start_server

    def asked_for(url: str, mark: str | None) -> str:
        body = {
            "prompt": "<bos> start 3 first minus 8 ?",
            "max_tokens": 24,
            "temperature": 2,
            "seed": 3,
            "n": 8,
        }
        head = {"content-type": "application/json"} | ({} if mark is None else {"x-stillwatch-mark": mark})
        with urlopen(Request(f"{url}/completions", json.dumps(body).encode(), head)) as reply:
            return json.dumps([one["text"] for one in json.loads(reply.read())["choices"]])

    with start_server("clock", owner=Owner(OWNER)) as url:
        plain, a, again, b = (asked_for(url, mark) for mark in (None, "a", "a", "b"))
    assert a == again
    assert len({plain, a, b}) == 3
    with start_server("clock") as url:
        assert asked_for(url, "a") == plain
