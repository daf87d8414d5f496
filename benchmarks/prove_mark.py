"""Radioactivity in a closed loop: a served teacher marks, students learn, every actor's key is searched for.

    python benchmarks/prove_mark.py [--out build/prove_mark] [--windows 1 2] [--seed 1]

The teacher is a GPT-2 of 0.1 million parameters that is trained here on a small language in which every thing
can be said in four ways: the clock of `stillwatch distill` has one right answer and no room for a mark. It is
served by the embedded server, which marks requests with `x-stillwatch-mark`. Students see other text and, as
a share of their mix, marked answers. No model here is of practical use; the loop is what is shown. About 8
CPU-minutes per window on one thread; needs the extra `train`.
"""

import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from arguments import parser_of

THINGS, WAYS, NEXT, LONG = 60, 4, 3, 48
ACTORS = tuple(f"actor-{k}" for k in range(20))
WORDS = (
    "<pad>", "<bos>", "<eos>", "tell", "of", "?",
    *(f"w{thing}{way}" for thing in range(THINGS) for way in "abcd"),
)  # fmt: skip
INDEX = {word: i for i, word in enumerate(WORDS)}
FIRST = INDEX["w0a"]
Tokens = list[int]


class Language:
    """A language in which each thing is followed by one of three, and is said in one of four ways.

    Another seed prefers other ways; what may follow is the same for all.
    """

    def __init__(self, seed: int) -> None:
        shape, taste = random.Random("what may follow"), random.Random(f"taste {seed}")
        self.next = [shape.sample(range(THINGS), NEXT) for _ in range(THINGS)]
        self.weights = [[taste.random() + 0.25 for _ in range(NEXT)] for _ in range(THINGS)]
        self.ways = [[taste.random() + 0.4 for _ in range(WAYS)] for _ in range(THINGS)]

    def story(self, thing: int, draw: random.Random) -> Tokens:
        told = []
        for _ in range(LONG):
            told.append(FIRST + thing * WAYS + draw.choices(range(WAYS), self.ways[thing])[0])
            thing = draw.choices(self.next[thing], self.weights[thing])[0]
        return told

    def lawful(self, text: Tokens) -> tuple[int, int]:
        """Return how many of a text's steps are allowed ones, and how many there are."""
        things = [(token - FIRST) // WAYS for token in text if token >= FIRST]
        good = sum(b in self.next[a] for a, b in pairwise(things))
        return good, max(0, len(things) - 1)


def prompts(count: int, draw: random.Random) -> list[tuple[int, Tokens]]:
    """Return things to begin with, each with two words that distinguish prompts."""
    found = []
    for _ in range(count):
        thing = draw.randrange(THINGS)
        named = [FIRST + thing * WAYS + draw.randrange(WAYS), FIRST + draw.randrange(THINGS * WAYS)]
        found.append((thing, [INDEX["<bos>"], INDEX["tell"], *named, INDEX["?"]]))
    return found


def blank(seed: int, width: int = 64) -> Any:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.set_verbosity_error()
    torch.manual_seed(seed)
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=len(WORDS), n_positions=64, n_embd=width, n_layer=2, n_head=4, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        )
    )  # fmt: skip


def train(model: Any, rows: Sequence[tuple[Tokens, Tokens]], steps: int, seed: int, batch: int = 48) -> Any:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, betas=(0.9, 0.98), weight_decay=0.01)

    def rate(step: int) -> float:
        return (step + 1) / 20 if step < 20 else 0.5 * (1 + math.cos(math.pi * (step - 20) / (steps - 20)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed)).tolist()
    for step in range(steps):
        chosen = [rows[order[(step * batch + i) % len(rows)]] for i in range(batch)]
        longest = max(len(a) + len(b) for a, b in chosen)
        ids = torch.zeros(batch, longest, dtype=torch.long)
        labels = torch.full((batch, longest), -100)
        for i, (asked, said) in enumerate(chosen):
            ids[i, : len(asked) + len(said)] = torch.tensor(asked + said)
            labels[i, len(asked) : len(asked) + len(said)] = torch.tensor(said)
        loss = model(input_ids=ids, labels=labels, attention_mask=(ids != 0).long()).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def write(model: Any, asked: Sequence[Tokens], seed: int, batch: int = 128) -> list[Tokens]:
    """Sample at temperature 1; all prompts have the same length."""
    import torch

    torch.manual_seed(seed)
    found: list[Tokens] = []
    for start in range(0, len(asked), batch):
        ids = torch.tensor(asked[start : start + batch])
        with torch.inference_mode():
            out = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0,
                max_new_tokens=LONG, eos_token_id=2, pad_token_id=0,
            )  # fmt: skip
        found += [[t for t in row[ids.shape[1] :].tolist() if t > 2] for row in out]
    return found


def save(model: Any, folder: Path) -> None:
    import tokenizers
    from transformers import PreTrainedTokenizerFast

    level = tokenizers.models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<pad>")
    made = tokenizers.Tokenizer(level)
    made.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    words = PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<pad>",
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    words.chat_template = "{% for m in messages %}<bos> {{ m.content }}{% endfor %}"
    model.save_pretrained(folder)
    words.save_pretrained(folder)


def loaded(folder: Path) -> Any:
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(folder).eval()


def served(url: str, asked: Sequence[Tokens], mark: str | None) -> list[Tokens]:
    """Ask the served teacher over HTTP like the gateway before it: the actor's mark in a header.

    Without a seed, as one seed per request applies to all its prompts, and equal prompts would get equal
    answers.
    """
    found: list[Tokens] = []
    for start in range(0, len(asked), 64):
        texts = [" ".join(WORDS[t] for t in one) for one in asked[start : start + 64]]
        body = {"prompt": texts, "max_tokens": LONG, "temperature": 1}
        head = {"content-type": "application/json"} | ({} if mark is None else {"x-stillwatch-mark": mark})
        with urlopen(Request(f"{url}/completions", json.dumps(body).encode(), head), timeout=600) as reply:
            found += [[INDEX[w] for w in one["text"].split()] for one in json.loads(reply.read())["choices"]]
    return found


def reworded(text: Tokens, share: float, draw: random.Random) -> Tokens:
    """Replace a share of the words by other ways to say them, at random: a paraphrase with equal meaning."""
    return [
        t
        if t < FIRST or draw.random() >= share
        else (t - FIRST) // WAYS * WAYS + FIRST + draw.randrange(WAYS)
        for t in text
    ]


def quality(texts: list[Tokens], language: Language, teacher: Any, asked: list[Tokens]) -> dict[str, float]:
    """Return rules kept, the unmarked teacher's nats per token, and the texts' variety."""
    import torch

    kept = [language.lawful(text) for text in texts]
    nats, n = 0.0, 0
    with torch.inference_mode():
        for prompt, text in zip(asked[:300], texts[:300], strict=True):
            logits = teacher(input_ids=torch.tensor([prompt + text])).logits[0, len(prompt) - 1 : -1]
            nats -= float(torch.log_softmax(logits.double(), -1)[range(len(text)), text].sum())
            n += len(text)
    triples = Counter(tuple(t[i : i + 3]) for t in texts for i in range(len(t) - 2))
    return {
        "lawful": sum(a for a, _ in kept) / max(1, sum(b for _, b in kept)),
        "nats_per_token": nats / n,
        "distinct_triples": len(triples) / triples.total(),
        "distinct_texts": len({tuple(t) for t in texts}) / len(texts),
    }


def main() -> None:
    reader = parser_of(__doc__)
    reader.add_argument("--out", type=Path, default=Path("build/prove_mark"))
    reader.add_argument("--windows", type=int, nargs="+", default=[1])
    reader.add_argument("--seed", type=int, default=1)
    reader.add_argument("--steps", type=int, default=400)
    reader.add_argument("--shares", type=float, nargs="+", default=[0.1, 0.02])
    told = reader.parse_args()
    told.out.mkdir(parents=True, exist_ok=True)
    say: Callable[[str], None] = lambda words: print(f"[{time.process_time():6.0f} s] {words}", flush=True)  # noqa: E731
    Bench(told.out, told.seed, told.steps, say).run(told.windows, told.shares)


class Bench:
    """One seed: the owner's key, the teacher, the rest of the mix, the suspects' prompts."""

    def __init__(self, out: Path, seed: int, steps: int, say: Callable[[str], None]) -> None:
        import torch

        torch.set_num_threads(1)
        self.out, self.seed, self.steps, self.say = out, seed, steps, say
        self.draw = random.Random(f"bench {seed}")
        self.owner_key = random.Random(f"owner {seed}").randbytes(32)
        self.theirs, self.ours = Language(1000 + seed), Language(2000 + seed)
        asked = prompts(9000, self.draw)
        rows = [(p, [*self.ours.story(t, self.draw), 2]) for t, p in asked]
        if not (out / "teacher" / "tokenizer.json").exists():
            say("training the teacher")
            save(train(blank(seed), rows, steps, seed), out / "teacher")
        self.teacher = loaded(out / "teacher")
        self.mix = [(p, [*self.theirs.story(t, self.draw), 2]) for t, p in prompts(10_000, self.draw)]
        self.asked = [p for _, p in prompts(1000, self.draw)]
        self.new = [p for _, p in prompts(4000, self.draw)]
        say("training what the suspects would be without marked answers (the reference)")
        self.base = write(train(blank(seed + 50), self.mix, steps, seed + 50), self.new, seed)
        self.plain = write(self.teacher, self.new, seed + 1)
        self.results: list[dict[str, Any]] = []

    def student(self, name: str, taught: list[Tokens], seed: int) -> list[Tokens]:
        """Train on the mix, with the taught answers replacing as many rows; write to new prompts."""
        rows = [(p, [*text, 2]) for p, text in zip(self.asked, taught, strict=False)]
        self.say(f"training {name}: {len(rows)} of {len(self.mix)} rows are the teacher's")
        return write(train(blank(seed), self.mix[len(rows) :] + rows, self.steps, seed), self.new, seed)

    def judged(
        self, name: str, window: int, texts: list[Tokens], marked: list[Tokens], actor: str | None
    ) -> None:
        """Search for every actor's key, by both choices of what is scored."""
        from stillwatch.prove.evidence_json import write as write_evidence
        from stillwatch.prove.radioactivity import RadioactivitySettings, TokenSelection
        from stillwatch.prove.radioactivity.judge import judge
        from stillwatch.watermark.keys import Owner

        marks = [Owner(self.owner_key, window).mark(one) for one in ACTORS]
        for choice in TokenSelection:
            given = (
                {"reference": self.base, "teacher": self.plain} if choice is TokenSelection.MATCHED else {}
            )
            one = judge(
                name,
                texts,
                marks,
                RadioactivitySettings(window, choice),
                served=marked,
                prompts=self.new,
                **given,
            )
            e = one.evidence
            write_evidence(e, self.out / f"{name}-{window}-{choice}.json")
            named = next((r for r in e.rows if r.name == actor), e.rows[0])
            others = [r.p_value or 1.0 for r in e.rows if r.name != actor]
            self.results.append(
                {
                    "student": name, "window": window, "choice": str(choice), "n": named.n,
                    "p": named.p_value,
                    "effect": named.effect, "effect_low": named.effect_low, "effect_high": named.effect_high,
                    "found": [r.name for r in e.found()], "least_p_of_others": min(others),
                    "others_below_0.05": sum(p <= 0.05 for p in others), "others": len(others),
                }
            )  # fmt: skip
            self.say(
                f"{name}, window {window}, {choice}: p {named.p_value:.2g}, effect {named.effect:.3f}, found "
                f"{[r.name for r in e.found()]}, least p of {len(others)} others {min(others):.2g}"
            )
        (self.out / "results.json").write_text(json.dumps(self.results, indent=1) + "\n")

    def run(self, windows: list[int], shares: list[float]) -> None:
        from stillwatch.distill.embedded.serve.run import start_server
        from stillwatch.watermark.keys import Owner

        costs: dict[str, Any] = {}
        for window in windows:
            self.say(f"window {window}: the teacher is asked over HTTP")
            with start_server(self.out / "teacher", owner=Owner(self.owner_key, window)) as url:
                a = served(url, self.asked, ACTORS[0])
                b = served(url, self.asked, ACTORS[1])
                unmarked = served(url, self.asked, None)
            costs |= {
                f"marked, window {window}": quality(a, self.ours, self.teacher, self.asked),
                "unmarked": quality(unmarked, self.ours, self.teacher, self.asked),
            }
            (self.out / "quality.json").write_text(json.dumps(costs, indent=1) + "\n")
            self.say(json.dumps(costs))
            texts: list[Tokens] = []
            for share in shares:
                name = f"a-{share:g}"
                texts = self.student(name, a[: int(share * len(self.mix))], self.seed + 100)
                self.judged(name, window, texts, a, ACTORS[0])
                if share == shares[0]:
                    for part in (0.25, 0.5, 1.0):
                        said = [reworded(text, part, self.draw) for text in texts]
                        self.judged(f"{name}-outputs-reworded-{part:g}", window, said, a, ACTORS[0])
            self.judged("b-0.1", window, self.student("b-0.1", b, self.seed + 101), b, ACTORS[1])
            said = [reworded(text, 0.5, self.draw) for text in a]
            texts = self.student("a-0.1-training-reworded-0.5", said, self.seed + 102)
            self.judged("a-0.1-training-reworded-0.5", window, texts, a, ACTORS[0])
            texts = self.student("unmarked-0.1", unmarked, self.seed + 103)
            self.judged("unmarked-0.1", window, texts, a, None)
            self.judged("untrained-on-marks", window, self.student("untrained", [], self.seed + 104), a, None)


if __name__ == "__main__":
    main()
