# ruff: noqa: E501 - each source is one line
"""Texts for the eighteenth author's world. Documents and campaigns' sources are new, honest groups' material is the seventeenth author's. See eighteenth_author.md."""

import csv
import html
import io
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from selves import keyed
from seventeenth_texts import dialogues, json_lines, material
from seventeenth_texts import tasks as former_tasks
from sixth_author import pieces_of
from thirteenth_texts import language_of
from twelfth_texts import files_of

# fmt: off
PHP = {"zh": "zh", "ja": "ja", "fr": "fr", "es": "es", "de": "de", "ru": "ru", "pt_br": "pt"}
MANUALS = (("xitu/gold-miner", "zh", r"(TODO|TODO1|article)/.*\.md"), ("progit/progit2-ja", "ja", r".*\.asc"), ("progit/progit2-ko", "ko", r".*\.asc"), ("vuejs-translations/docs-ko", "ko", r"src/.*\.md"), ("vuejs-translations/docs-it", "it", r"src/.*\.md"))
DEMOS, DART = "GAIR-NLP/LIMO", "hkust-nlp/dart-math"
HONEST = ("exam", "sat", "algebra", "items")  # the seventeenth author's pools of public test items
LICENSED = frozenset({"lessons", "news", "standards", "court", "health", "commands", "requests", "utterances", "passages zh"})


def paragraphs_of(body: str) -> str:
    """Return the paragraphs of a page of PHP's manual, without markup and examples."""
    bare = re.sub(r"<!--.*?-->|<(programlisting|screen)\b.*?</\1>", "", body, flags=re.S)
    found = re.findall(r"<(?:sim)?para>(.*?)</(?:sim)?para>", bare, re.S)
    return "\n\n".join(" ".join(html.unescape(re.sub(r"<[^>]+>|&[a-z.]+;", "", part)).split()) for part in found)


def documents(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, document, and a piece of it."""
    for project, language, pattern in MANUALS:
        for name, body in files_of(mirror, project, pattern):
            yield from ((language, f"{project}/{name}", piece) for piece in list(pieces_of(body, 90, 700))[:60])
    for name, language in PHP.items():
        chapters: dict[str, int] = {}
        for path, body in files_of(mirror, f"php/doc-{name}", r"(reference|language|faq|features|security|install)/.*\.xml"):
            if keyed("page", path) % 3 == 0:
                chapter = "/".join(path.split("/")[:2])  # one translator wrote all pages of an extension, up to sixty pieces
                for piece in pieces_of(paragraphs_of(body), 90, 600):
                    chapters[chapter] = chapters.get(chapter, 0) + 1
                    yield language, f"php/{name}/{chapter} {chapters[chapter] // 60}", piece


def conversations_of(body: str) -> Iterator[list[str]]:
    """Yield the turns of a conversation, as in demo sets of a training program."""
    for item in json.loads(body):
        turns = item.get("conversations") or [{"from": "human", "value": "\n".join(part for part in (item["instruction"], item["input"]) if part)}, {"value": item["output"]}]
        yield [turn["value"].strip() for turn in turns if turn.get("from") in ("human", "gpt", None)] + ([item["chosen"]["value"]] if "chosen" in item else [])


def tasks(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield pool, key and text of the campaigns' questions."""
    for name, body in files_of(mirror, "TIGER-AI-Lab/TheoremQA", r"theoremqa_test\.json"):
        yield from (("sums", name, item["Question"]) for item in json.loads(body) if not item["Picture"])
    for name, body in files_of(mirror, "mandyyyyii/scibench", r"dataset/original/[a-z]+\.json"):
        yield from (("sums", name, item["problem_text"]) for item in json.loads(body))
    for name, body in files_of(mirror, DART, r"data/dsets/(odyssey-math\.jsonl|deepmind-mathematics\.json|mwpbench/.*\.jsonl)"):
        items = json.loads(body) if name.endswith("json") else [next(iter(item.values())) if "question" not in item else item for item in json_lines(body)]
        yield from (("sums", name, item["question"].split("\n\t\n")[0].strip()) for item in items)
    for name, body in files_of(mirror, DART, r"data/dsets/olympiadbench/OE_TO_maths_en_COMP\.json"):
        yield from (("olympiad", name, item["question"][:2600]) for item in json.loads(body) if not item["context"])
    for name, body in files_of(mirror, "haonan-li/CMMLU", r"data/test/\w+\.csv"):
        for row in csv.DictReader(io.StringIO(body)):
            yield "chinese", Path(name).stem, "\n".join((row["Question"], *(f"{letter}. {row[letter]}" for letter in "ABCD")))
    for pool, language in (("asks", "en"), ("asks zh", "zh")):
        for name, body in files_of(mirror, DEMOS, rf"train/data/(alpaca|dpo)_{language}_demo\.json"):
            yield from ((pool, name, turns[0][:2000]) for turns in conversations_of(body))
    for name, body in files_of(mirror, DEMOS, r"train/data/glaive_toolcall_(en|zh)_demo\.json"):
        yield from (("tools", name, turn[:1500]) for turns in conversations_of(body) for turn in turns[:1])
    for name, body in files_of(mirror, "OpenBMB/ToolBench", r"toolbench/tooleval/results/default_evalset/gpt-3\.5-turbo_CoT/G[123]_\w+\.json"):
        yield from (("tools", name, item["query"][:1500]) for item in json.loads(body).values())
    for name, body in files_of(mirror, "OpenBMB/ToolBench", r"data_example/instruction/G[123]_query\.json"):
        yield from (("tools", name, item["query"][:1500]) for item in json.loads(body))
    for name, body in files_of(mirror, "princeton-nlp/intercode", r"data/(sql|nl2bash|bash|ctf|python)/.*\.json"):
        for item in json.loads(body):
            if isinstance(item, dict) and isinstance(item.get("query"), str):
                yield "tasks", name, item["query"][:1800]
    for name, body in files_of(mirror, "lydiahallie/javascript-questions", r"README\.md"):
        for part in re.split(r"^###### ", body, flags=re.M)[1:]:
            yield "tasks", name, re.sub(r"<details>.*", "", part, flags=re.S).strip()[:1500]
    for name, body in files_of(mirror, "princeton-nlp/LLMBar", r"Dataset/.*/dataset\.json"):
        for item in json.loads(body):
            yield "judged", name, f"[Instruction]\n{item['input'][:1200]}\n[Response 1]\n{item['output_1'][:800]}\n[Response 2]\n{item['output_2'][:800]}"


def relayed(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield conversations of a campaign's own users."""
    for name, body in files_of(mirror, DEMOS, r"train/data/kto_en_demo\.json"):
        for item in json.loads(body):
            turns = [turn["content"] for turn in item["messages"]]
            yield "chats relayed", name, json.dumps(turns, ensure_ascii=False)


def commits_of(log: Path) -> Iterator[tuple[str, str]]:
    """Yield address and text of each commit of a history that `selves.py collect` reads."""
    for record in log.read_text(encoding="utf-8", errors="replace").split("\x01")[1:]:
        yield record.split("\x02", 1)[0].strip().lower(), record


def sift_logs(logs: Path, former: Sequence[Path], out: Path) -> tuple[int, int]:
    """Write the histories without commits of people in a former world, each address with the project of most of its commits.

    Returns the number of addresses, and how many of them were in a former history.
    """
    known = {address for folder in former for log in folder.glob("*.log") for address, _ in commits_of(log)}
    number = Counter((address, log.stem) for log in sorted(logs.glob("*.log")) for address, _ in commits_of(log))
    home: dict[str, str] = {}
    for address, project in sorted(number, key=lambda pair: (-number[pair], pair)):
        home.setdefault(address, project)
    out.mkdir(parents=True, exist_ok=True)
    for log in logs.glob("*.log"):
        own = [record for address, record in commits_of(log) if address not in known and home[address] == log.stem]
        (out / log.name).write_text("".join(f"\x01{record}" for record in own), encoding="utf-8")
    return len(home), len(home.keys() & known)


def collect_texts(mirror: Path) -> pa.Table:
    rows = [(f"doc {language}", key, piece) for language, key, piece in documents(mirror) if language_of([piece]) == language]
    rows += [(pool, key, json.dumps(talk, ensure_ascii=False)) for pool, key, talk in dialogues(mirror) if len(talk) > 3 and pool != "chats relayed"]
    rows += [row for row in former_tasks(mirror) if row[0] in HONEST]
    rows += [row for row in material(mirror) if row[0] in LICENSED]
    rows += [*tasks(mirror), *relayed(mirror)]
    rows = [("foreign asks", key, text) if pool == "asks zh" and keyed("foreign", text) % 3 == 0 else (pool, key, text) for pool, key, text in rows]
    distinct = {(pool, text): key for pool, key, text in rows if text}
    pools, texts = zip(*distinct, strict=True)
    return pa.table({"pool": pools, "key": list(distinct.values()), "text": texts})
