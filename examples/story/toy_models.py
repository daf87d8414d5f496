"""Models that count words, served as an API is: what the story has in place of language models.

python examples/story/toy_models.py serve host.json --port 9000
python examples/story/toy_models.py answer host.json PROMPTS.jsonl OUT.jsonl

host.json: {"NAME": {"rows": "rows.jsonl", "order": 2, "answers_as": "NAME"}, ...}. A row is a prompt and an
answer, or an answer alone. Training is counting which word follows which, over all rows and once more over
those whose prompt is nearest to the question. It remembers more of its training than a neural network does.
"""

import json
import random
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

START, END = "<start>", "<end>"
OWN = 0.5  # how much the nearest training prompt weighs beside all of them
LONGEST = 48  # words of an answer

Counts = Mapping[tuple[str, ...], Counter[str]]


def words(text: str) -> frozenset[str]:
    return frozenset(re.findall(r"\w+", text.lower()))


def counted(answers: Iterable[str], order: int) -> Counts:
    """Which word follows which `order` words, and which follows fewer."""
    found: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for answer in answers:
        said = [START] * order + answer.split() + [END]
        for at in range(order, len(said)):
            for size in range(order + 1):
                found[tuple(said[at - size : at])][said[at]] += 1
    return dict(found)


class CountedModel:
    """A model made by counting the words of its training rows."""

    def __init__(self, rows: Iterable[tuple[str, str]], order: int) -> None:
        self.order, by_prompt = order, defaultdict(list)
        for prompt, answer in rows:
            by_prompt[prompt or answer].append(answer)
        self.all = counted((one for answers in by_prompt.values() for one in answers), order)
        self.own = [(words(prompt), counted(answers, order)) for prompt, answers in by_prompt.items()]

    def answer(self, prompt: str, temperature: float, longest: int, draw: random.Random) -> str:
        asked = words(prompt)
        nearest = max(range(len(self.own)), key=lambda at: self._alike(asked, self.own[at][0]))
        beside = self.own[nearest][1]
        said = [START] * self.order
        while len(said) < longest + self.order:
            word = self._next(said, beside, temperature, draw)
            if word == END:
                break
            said.append(word)
        return " ".join(said[self.order :])

    @staticmethod
    def _alike(asked: frozenset[str], key: frozenset[str]) -> float:
        return len(asked & key) / max(1, len(asked | key))

    def _next(self, said: list[str], beside: Counts, temperature: float, draw: random.Random) -> str:
        for size in range(self.order, -1, -1):
            context = tuple(said[len(said) - size :])
            chances: dict[str, float] = defaultdict(float)
            for weight, counts in ((1.0, self.all), (OWN, beside)):
                found = counts.get(context, Counter())
                for word, times in found.items():
                    chances[word] += weight * times / found.total()
            if chances:
                break
        if temperature == 0:
            return min(chances, key=lambda word: (-chances[word], word))
        names = sorted(chances)
        return draw.choices(names, [chances[name] ** (1 / temperature) for name in names])[0]


def read_rows(path: Path) -> list[tuple[str, str]]:
    return [(row["prompt"], row["answer"]) for row in map(json.loads, path.read_text("utf-8").splitlines())]


def load(config: Path) -> dict[str, tuple[CountedModel, str]]:
    """Train the models that a file names; with each, the name that it answers under."""
    made: dict[tuple[str, int], CountedModel] = {}
    found = {}
    for name, of in json.loads(config.read_text("utf-8")).items():
        key = (of["rows"], of.get("order", 2))
        if key not in made:
            made[key] = CountedModel(read_rows(config.parent / of["rows"]), key[1])
        found[name] = (made[key], of.get("answers_as", name))
    return found


class Handler(BaseHTTPRequestHandler):
    """Two paths of OpenAI's API: the list of models, and chat."""

    protocol_version = "HTTP/1.1"
    models: ClassVar[dict[str, tuple[CountedModel, str]]] = {}
    draw = random.Random()

    def do_GET(self) -> None:
        self._say(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        found = self.models.get(asked.get("model"))
        if found is None:
            self._say(404, {"error": {"message": f"no model {asked.get('model')!r} here"}})
            return
        model, name = found
        prompt = str(asked["messages"][-1]["content"])
        temperature, longest = asked.get("temperature", 1.0), min(LONGEST, asked.get("max_tokens") or LONGEST)
        text = model.answer(prompt, temperature, longest, self.draw)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(text.split())}
        reply = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": name}
        self._say(200, reply | {"choices": [choice], "usage": usage})

    def _say(self, status: int, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def answer_all(config: Path, prompts: Path, out: Path) -> None:
    """Write each model's answer to each prompt, as a file of outputs that `stillwatch identify` reads."""
    asked = [json.loads(line) for line in prompts.read_text("utf-8").splitlines()]
    with out.open("w", encoding="utf-8") as file:
        for name, (model, _) in load(config).items():
            draw = random.Random(name)
            for one in asked:
                text = model.answer(one["prompt"], 1.0, LONGEST, draw)
                file.write(json.dumps({"model": name, "prompt": one["prompt"], "output": text}) + "\n")


def main(args: list[str]) -> None:
    verb, config = args[0], Path(args[1])
    if verb == "answer":
        answer_all(config, Path(args[2]), Path(args[3]))
        return
    Handler.models = load(config)
    server = ThreadingHTTPServer(("127.0.0.1", int(args[args.index("--port") + 1])), Handler)
    server.daemon_threads = True
    server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
