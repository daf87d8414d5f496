# ruff: noqa: E501 - each source is one line
"""Texts for the nineteenth author's world. Documents are new, campaigns' sources new and the eighteenth author's, honest groups' material is the seventeenth author's. See nineteenth_author.md."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from eighteenth_texts import HONEST, LICENSED, relayed
from eighteenth_texts import tasks as former_tasks
from selves import keyed
from seventeenth_texts import dialogues, json_lines, material
from seventeenth_texts import tasks as honest_tasks
from sixth_author import pieces_of
from thirteenth_texts import language_of
from twelfth_texts import files_of

# fmt: off
FASTAPI, ASTRO, TELEMETRY = ("de", "es", "fr", "ja", "ko", "pt", "ru", "zh"), {"de": "de", "es": "es", "fr": "fr", "it": "it", "ja": "ja", "ko": "ko", "pt-br": "pt", "ru": "ru", "zh-cn": "zh"}, ("zh", "ja", "pt", "es", "fr")
BOOKS = (
    ("Snailclimb/JavaGuide", "zh", r"docs/.*\.md"), ("sunface/rust-course", "zh", r"src/.*\.md"), ("ruanyf/es6tutorial", "zh", r"docs/.*\.md"), ("KaiserY/trpl-zh-cn", "zh", r"src/.*\.md"), ("Anduin2017/HowToCook", "zh", r"(dishes|tips)/.*\.md"),
    ("rust-lang-ja/book-ja", "ja", r"src/.*\.md"), ("vuejs-translations/docs-ja", "ja", r"src/.*\.md"), ("vuejs-translations/docs-fr", "fr", r"src/.*\.md"), ("javascript-tutorial/fr.javascript.info", "fr", r".*/article\.md"),
    ("javascript-tutorial/ko.javascript.info", "ko", r".*/article\.md"), ("javascript-tutorial/it.javascript.info", "it", r".*/article\.md"), ("reactjs/ru.react.dev", "ru", r"src/content/.*\.md"), ("progit/progit2-pt-br", "pt", r"book/.*\.asc"),
)
PYTHON_DOCS = {"ja": "ja", "pt-br": "pt", "ko": "ko"}
MBXP = ("mbgp_release_v1.1", "mbjp_release_v1.2", "mbtsp_release_v1.2", "mbkp_release_v1.2", "mbcpp_release_v1.2", "mbphp_release_v1.2")


def translations_of(body: str) -> str:
    """Return the translated paragraphs of a gettext catalogue, without roles and links."""
    found = re.findall(r'^msgstr (""\n(?:".*"\n?)+|".+")', body, re.M)
    texts = ["".join(ast.literal_eval(line) for line in part.strip().split("\n")) for part in found[1:]]  # the first is the catalogue's head
    return "\n\n".join(re.sub(r"(?::[a-z:]+:)?`[!~]?([^`<]*?)(?:\s*<[^`]*>)?`_*", r"\1", text) for text in texts)


def documents(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, document, and a piece of it."""
    manuals = [*BOOKS, *(("fastapi/fastapi", name, rf"docs/{name}/docs/.*\.md") for name in FASTAPI), *(("withastro/docs", language, rf"src/content/docs/{name}/.*\.mdx") for name, language in ASTRO.items())]
    manuals += [("open-telemetry/opentelemetry.io", name, rf"content/{name}/.*\.md") for name in TELEMETRY]
    for project, language, pattern in manuals:
        for name, body in files_of(mirror, project, pattern):
            yield from ((language, f"{project}/{name}", piece) for piece in list(pieces_of(re.sub(r"^import .*$|\s*\{ ?#[\w-]+ ?\}", "", body, flags=re.M), 90, 700))[:60])
    for name, language in PYTHON_DOCS.items():
        for path, body in files_of(mirror, f"python/python-docs-{name}", r"(library|howto|tutorial|reference|faq|using|whatsnew)/.*\.po"):
            yield from ((language, f"python/{name}/{path} {at // 60}", piece) for at, piece in enumerate(pieces_of(translations_of(body), 90, 600)))
    for path, body in files_of(mirror, "mdn/translated-content-de", r"files/de/(learn_web_development|mozilla|games|glossary|web/(css|html|javascript))/.*\.md"):
        chapter = "/".join(path.split("/")[2:6])
        if keyed("page", path) % 4 == 0:
            yield from (("de", f"mdn/{chapter}", piece) for piece in list(pieces_of(body, 90, 600))[:20])


def problem_of(prompt: str) -> str:
    """Return MathQA's question, without the function around it and the numbers after it."""
    return re.sub(r"(\s+n\d+ = [\d.]+)+$", "", prompt.split('"""')[1].strip())


def tasks(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield pool, key and text of campaigns' questions that no former campaign asked."""
    for name, body in files_of(mirror, "amazon-science/mxeval", r"data/multilingual_mathqa/mathqa-test-python_v1\.jsonl"):
        yield from (("sums", name, problem_of(item["prompt"])) for item in json_lines(body))
    for at, release in enumerate(MBXP):  # each problem in one language
        for name, body in files_of(mirror, "amazon-science/mxeval", rf"data/mbxp/{re.escape(release)}\.jsonl"):
            yield from (("tasks", name, f"Complete this:\n{item['prompt'][:1800]}") for item in json_lines(body) if int(item["task_id"].split("/")[1]) % len(MBXP) == at)
    for name, body in files_of(mirror, "THUDM/NaturalCodeBench", r"problems/ncb_(python|java)_en\.jsonl"):
        yield from (("tasks", name, re.split(r"one code block is allowed: ?", item["prompt"])[-1].strip()[:1800]) for item in json_lines(body))
    for name, body in files_of(mirror, "FudanSELab/ClassEval", r"data/ClassEval_data\.json"):
        yield from (("tasks", name, item["skeleton"][:2200]) for item in json.loads(body))
    for name, body in files_of(mirror, "Aider-AI/polyglot-benchmark", r"(cpp|go|java|javascript|python|rust)/exercises/practice/[^/]+/\.docs/instructions\.md"):
        yield "tasks", name, f"In {name.split('/')[0]}: {body.strip()[:1800]}"
    for name, body in files_of(mirror, "THUDM/AgentBench", r"data/os_interaction/(train_0317/training|scripts/6/collected|data/7/bootstrap)\.json"):
        yield from (("missions", name, item["description"].strip()[:1500]) for item in json.loads(body) if len(item.get("description") or "") > 30)
    for name, body in files_of(mirror, "THUDM/AgentBench", r"data/dbbench/(standard|dev)\.jsonl"):
        yield from (("missions", name, f"{item['description']}\nTable {item['table']['table_name']}: {', '.join(column['name'] for column in item['table']['table_info']['columns'])}") for item in json_lines(body))
    for name, body in files_of(mirror, "sierra-research/tau-bench", r"tau_bench/envs/(retail|airline)/tasks_(train|test)\.py"):
        yield from (("missions", name, ast.literal_eval(found)) for found in re.findall(r'instruction=("(?:[^"\\]|\\.)*")', body))
    for name, body in files_of(mirror, "deepseek-ai/DeepSeek-Math", r"evaluation/datasets/(ocw/test|minif2f/(test|validation))\.jsonl"):
        yield from (("olympiad", name, (item.get("problem") or item["informal_statement"])[:2400]) for item in json_lines(body))
    for name, body in files_of(mirror, "deepseek-ai/DeepSeek-Math", r"evaluation/datasets/agieval/gaokao-math\w+\.jsonl"):
        yield from (("chinese", name, "\n".join((item["question"].strip("\\\n "), *(item["options"] or ())))) for item in json_lines(body))
    for name, body in files_of(mirror, "LianjiaTech/BELLE", r"eval/eval_set\.json"):
        yield from (("asks zh", name, item["question"][:1500]) for item in json_lines(body))
    for name, body in files_of(mirror, "nlpxucan/WizardLM", r"WizardLM/data/WizardLM_testset\.jsonl"):
        yield from (("asks", name, item["Instruction"][:2000]) for item in json_lines(body))


def bookings(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield customers' dialogues in addition to the seventeenth author's, which do not suffice."""
    for name, body in files_of(mirror, "google-research-datasets/dstc8-schema-guided-dialogue", r"test/dialogues_0(0.|10)\.json"):
        yield from (("talks", name, json.dumps([turn["utterance"] for turn in talk["turns"]])) for talk in json.loads(body))


def collect_texts(mirror: Path) -> pa.Table:
    rows = [(f"doc {language}", key, piece) for language, key, piece in documents(mirror) if language_of([piece]) == language]
    rows += [(pool, key, json.dumps(talk, ensure_ascii=False)) for pool, key, talk in dialogues(mirror) if len(talk) > 3 and pool != "chats relayed"]
    rows += [row for row in honest_tasks(mirror) if row[0] in HONEST]
    rows += [row for row in material(mirror) if row[0] in LICENSED]
    rows += [*bookings(mirror), *tasks(mirror), *former_tasks(mirror), *relayed(mirror)]
    rows = [("foreign asks", key, text) if pool == "asks zh" and keyed("foreign", text) % 3 == 0 else (pool, key, text) for pool, key, text in rows]
    distinct = {(pool, text): key for pool, key, text in rows if text}
    pools, texts = zip(*distinct, strict=True)
    return pa.table({"pool": pools, "key": list(distinct.values()), "text": texts})
