"""The prompts shipped with the package, split by source item between honest use and campaigns.

Texts and licences are listed in data/SOURCES.md. Answers to questions, if a campaign needs some, are
generated here, because no free corpus at hand has any.
"""

import hashlib
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from stillwatch.range.stock import PREFIXES, Corpora, Item
from stillwatch.range.wording import ANSWER_ENDS, ANSWER_MIDDLES, ANSWER_STARTS, TOOLS

DATA = Path(__file__).with_name("data")
PASSAGE = 1400  # characters of a text to work on
SPARE = 4  # one honest conversation in this many is reserved for campaigns' cover


@dataclass(frozen=True)
class ShippedPrompts:
    """The shipped prompts, by use. No source item is in two of them."""

    talks: tuple[tuple[str, tuple[str, ...]], ...]  # a user's id (or none) and the turns of one conversation
    spare_talks: tuple[tuple[str, ...], ...]  # for cover
    questions: tuple[str, ...]  # short texts of customers: for applications and classification
    requests: tuple[str, ...]  # requests to an assistant with tools
    tests: dict[str, tuple[str, ...]]  # public test sets, in their order
    agents: tuple[tuple[str | None, tuple[str, ...]], ...]  # system text and turns of agents' runs
    passages: tuple[str, ...]  # texts to work on, for honest use
    campaign: Corpora  # for campaigns


def part_of(text: str, parts: int) -> int:
    """Return the part of a text or user: by a property of its own, so that no seed can change it."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest()) % parts


@cache
def _rows() -> tuple[dict[str, Any], ...]:
    return tuple(pq.read_table(DATA / "prompts.parquet").to_pylist())


def _cut(text: str, length: int = PASSAGE) -> list[str]:
    return [text[i : i + length] for i in range(0, max(1, len(text) - 399), length)]


def weak_answer(question: str) -> str:
    """Return what a weak model might have answered. It only repeats the question's words."""
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest()))
    words = question.split()
    bits = []
    for form in (ANSWER_STARTS, ANSWER_MIDDLES, ANSWER_MIDDLES, ANSWER_ENDS):
        at = int(rng.integers(max(1, len(words) - 6)))
        excerpt = " ".join(words[at : at + 5 + int(rng.integers(6))]).strip(" .,:;?")
        bits.append(form[rng.integers(len(form))].replace("{w}", excerpt))
    return " ".join(bits)


def tool_list(question: str) -> str:
    """Return definitions of two to four made-up tools for a request."""
    rng = np.random.default_rng(int.from_bytes(hashlib.blake2b(question.encode(), digest_size=8).digest()))
    chosen = [TOOLS[i] for i in rng.permutation(len(TOOLS))[: 2 + int(rng.integers(3))]]
    return "[" + ", ".join(f'{{"name": "{n}", "arguments": {{{a}}}}}' for n, a in chosen) + "]"


@cache
def shelf() -> ShippedPrompts:
    """Read the shipped prompts."""
    talks: list[tuple[str, tuple[str, ...]]] = []
    spare: list[tuple[str, ...]] = []
    firsts: set[str] = set()
    tests: dict[str, list[str]] = {}
    pipelines: dict[str, dict[str, Item]] = {}
    questions, asks, passages = [], [], []
    pairs, campaign_passages, tools = [], [], []
    agents: list[tuple[str | None, tuple[str, ...]]] = []
    for row in _rows():
        name, turns = row["corpus"], tuple(row["turns"])
        # by its text, so that duplicates are in one use
        sixth = part_of(turns[0].strip('"'), 6)
        if name in ("chatbot_arena_1k", "user_oriented_252"):
            if turns[0] in firsts:
                continue
            firsts.add(turns[0])
            key = row["user"] or f"{name}/{row['item']}"
            if part_of(key, SPARE):
                talks.append((key, turns))
            else:
                spare.append(turns)
        elif name in ("mt_bench", "gsm8k_test", "mmlu_sample"):
            tests.setdefault(name, []).append(turns[0])
        elif name == "banking77":
            questions.append(turns[0])
        elif name == "swe_agent_traj":
            agents.append((row["system"], turns))
        elif name == "bfcl_v4":
            first = turns[0].strip('"')
            if sixth < 2:
                asks.append(first)
            elif sixth < 4:
                spare.append((first,))
            elif len(first) >= 25:
                tools.append(Item(first, tool_list(first)))
                pairs.append(Item(first, weak_answer(first)))
        elif name == "orca_flan" and sixth > 2:
            long = len(turns[0]) >= 400
            if long and sixth == 3:
                passages += _cut(turns[0])
            elif long:
                campaign_passages += [Item("", text) for text in _cut(turns[0])]
            elif len(turns[0]) >= 25:
                pairs.append(Item(turns[0], weak_answer(turns[0])))
        else:
            prompt = turns[0]
            for prefix in PREFIXES:
                prompt = prompt.removeprefix(prefix)
            pipelines.setdefault(name, {}).setdefault(prompt, Item(prompt, "", row["system"]))
    harvested = {question for items in pipelines.values() for question in items}
    talks = [talk for talk in talks if harvested.isdisjoint(talk[1])]
    spare = [talk for talk in spare if harvested.isdisjoint(talk)]
    worked_on = {item.answer for item in campaign_passages}  # P3 has an article under several prompts
    passages = [text for text in passages if text not in worked_on]
    corpora = Corpora(
        {name: tuple(items.values()) for name, items in pipelines.items()},
        tuple(dict.fromkeys(pairs)),
        tuple(dict.fromkeys(campaign_passages)),
        tuple(dict.fromkeys(tools)),
        tuple(dict.fromkeys(spare)),
    )
    return ShippedPrompts(
        tuple(talks), corpora.talks, tuple(dict.fromkeys(questions)), tuple(dict.fromkeys(asks)),
        {name: tuple(dict.fromkeys(items)) for name, items in tests.items()}, tuple(agents),
        tuple(dict.fromkeys(passages)), corpora,
    )  # fmt: skip


def shipped_corpora(used: Set[str]) -> Corpora:
    """Return what campaigns may ask, without the prompts in `used`; nothing is taken yet."""
    pool = shelf().campaign
    return Corpora(
        {n: tuple(x for x in items if x.question not in used) for n, items in pool.pipelines.items()},
        tuple(x for x in pool.pairs if x.question not in used),
        pool.passages,
        pool.tools,
        tuple(t for t in pool.talks if used.isdisjoint(t)),
    )
