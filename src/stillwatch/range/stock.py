"""What a campaign asks: prompts of published pipelines, and pipelines of our own over real texts.

Prompts already in a scene are left out, so that a composed campaign never repeats the scene's own.
"""

import json
from collections.abc import Set
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from stillwatch.errors import InputError
from stillwatch.range.endless import ENDLESS
from stillwatch.range.wording import MAKERS

MOST_ROUNDS = 20  # attempts at making items when many are taken
# Fixed first words that a published pipeline puts before every question: a campaign that hides drops them.
PREFIXES = (
    "Return your final response within \\boxed{}. ",
    "Generate an executable Python function generated from the given prompt. Return the function body "
    "without invoking it at the final solution.",
)


@dataclass(frozen=True, slots=True)
class Item:
    """One item to ask; `answer` is an existing answer to it, if the source has one."""

    question: str
    answer: str = ""
    system: str | None = None


@dataclass(frozen=True)
class Corpora:
    """Prompts to compose from, without those already in the scene."""

    pipelines: dict[str, tuple[Item, ...]]
    pairs: tuple[Item, ...]  # real questions with real answers
    passages: tuple[Item, ...]  # real texts to work on, as answers without a question
    tools: tuple[Item, ...]  # real requests, tool definitions as answer
    talks: tuple[tuple[str, ...], ...]  # the user's turns of honest conversations, for cover

    taken: set[str] = field(default_factory=set)  # items already drawn: no two campaigns share one

    def draw(self, pipelines: tuple[str, ...], count: int, rng: np.random.Generator) -> list[Item]:
        """Draw `count` distinct items from the named pipelines, in random order, and mark them taken.

        Raises: InputError: a pipeline is unknown, or together they have too few.
        """
        pool: dict[str, Item] = {}
        for name in pipelines:
            if name in ENDLESS:
                pool.update(self._endless(name, count, rng))
                continue
            pool.update((key, item) for key, item in self._stock(name) if key not in self.taken)
        if len(pool) < count:
            raise InputError(f"{'+'.join(pipelines)} hold {len(pool)} unused prompts, {count} were asked for")
        keys = list(pool)
        chosen = [keys[i] for i in rng.permutation(len(keys))[:count]]
        self.taken.update(chosen)
        return [pool[key] for key in chosen]

    def _endless(self, name: str, count: int, rng: np.random.Generator) -> dict[str, Item]:
        """Make items until `count` of them are not taken."""
        fresh: dict[str, Item] = {}
        for _ in range(MOST_ROUNDS):
            for text in ENDLESS[name](count, rng):
                if text not in self.taken:
                    fresh[text] = Item(text)
            if len(fresh) >= count:
                break
        return dict(list(fresh.items())[:count])

    def _stock(self, name: str) -> list[tuple[str, Item]]:
        if name == "pairs":
            return [(x.answer[:150], x) for x in self.pairs]
        if name == "seeds":
            return [(x.question[:150], Item(x.question)) for x in self.pairs]
        if name in self.pipelines:
            return [(x.question, x) for x in self.pipelines[name]]
        if name not in MAKERS:
            known = ", ".join(sorted([*self.pipelines, *MAKERS, *ENDLESS, "pairs", "seeds"]))
            raise InputError(f"pipeline {name!r} is unknown; known are {known}")
        source = {"tool_calls": self.tools, "passage_qa": self.passages, "digest": self.passages}.get(
            name, self.pairs
        )
        form = MAKERS[name]
        items = (Item(form.format(q=x.question, a=x.answer)) for x in source)
        keys = (x.question[:150] if name in ("evolve", "tool_calls") else x.answer[:150] for x in source)
        return list(zip(keys, items, strict=True))


def read_corpora(folder: Path, used: Set[str]) -> Corpora:
    """Read both corpora of `folder` (benign.parquet, distill.parquet), leaving out the prompts in `used`."""
    pipelines: dict[str, list[Item]] = {}
    seen: set[str] = set()
    rows = pq.read_table(folder / "distill.parquet", columns=["pipeline", "system", "prompt"]).to_pylist()
    for row in rows:
        prompt = row["prompt"]
        for prefix in PREFIXES:
            prompt = prompt.removeprefix(prefix)
        if prompt in used or prompt in seen:
            continue
        seen.add(prompt)
        pipelines.setdefault(row["pipeline"], []).append(Item(prompt, "", row["system"] or None))
    pairs: list[Item] = []
    passages: list[Item] = []
    tools: list[Item] = []
    talks: list[tuple[str, ...]] = []
    rows = pq.read_table(folder / "benign.parquet", columns=["kind", "messages", "tools"]).to_pylist()
    for row in rows:
        turns = [(m["role"], m["content"]) for m in json.loads(row["messages"])]
        user_texts = tuple(text for role, text in turns if role == "user")
        if row["kind"] == "tool_use" and row["tools"] and user_texts[0] not in used:
            tools.append(Item(user_texts[0], row["tools"][:3000]))
        if row["kind"] != "chat":
            continue
        for role, text in turns:
            if role == "assistant" and len(text) >= 400:
                passages += [Item("", text[i : i + 1400]) for i in range(0, min(len(text) - 399, 4200), 1400)]
        for (role, question), (next_role, answer) in pairwise(turns):
            if (
                (role, next_role) == ("user", "assistant")
                and question not in used
                and min(len(question) - 25, len(answer) - 200) >= 0
            ):
                pairs.append(Item(question[:1500], answer[:2500]))
        if not any(text in used for text in user_texts):
            talks.append(user_texts)
    texts = tuple(dict.fromkeys(passages))
    stocks = {name: tuple(items) for name, items in pipelines.items()}
    return Corpora(stocks, tuple(pairs), texts, tuple(tools), tuple(talks))
