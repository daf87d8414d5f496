# ruff: noqa: E501 - each source is one line
"""Texts for the seventeenth author's world, from public repositories that no former author took texts from. See seventeenth_author.md."""

import csv
import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from selves import keyed
from sixth_author import pieces_of
from thirteenth_texts import language_of, runs_of, sentences_of
from twelfth_texts import files_of

# fmt: off
MATH = "QwenLM/Qwen2.5-Math"
REACT = {"zh-hans": "zh", "ja": "ja", "fr": "fr", "es": "es", "ko": "ko", "pt-br": "pt"}
TREEBANKS = {"zh": "Chinese-GSDSimp", "it": "Italian-VIT", "ko": "Korean-GSD", "ru": "Russian-SynTagRus", "fr": "French-Sequoia", "es": "Spanish-AnCora", "pt": "Portuguese-GSD"}
NEWS = {"zh_cn": "zh", "ja": "ja", "ko": "ko", "fr": "fr", "es": "es", "de": "de", "ru": "ru", "pt": "pt", "it": "it"}
CMRC = "ymcui/cmrc2018"


def json_lines(body: str) -> list[dict]:
    return [json.loads(line) for line in body.split("\n") if line.strip()]


def paragraphs(body: str) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield title, context, and questions with answers, of a set in SQuAD's form."""
    for group in json.loads(body)["data"]:
        for part in group["paragraphs"]:
            pairs = [(pair["question"], (pair.get("answers") or [{"text": ""}])[0]["text"]) for pair in part["qas"]]
            yield group.get("title") or part.get("id", ""), part["context"], pairs


def documents(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, document, and a piece of it."""
    manuals = [(f"reactjs/{name}.react.dev", language, r"src/content/.*\.md") for name, language in REACT.items()]
    manuals += [(f"javascript-tutorial/{language}.javascript.info", language, r".*/article\.md") for language in ("zh", "ja")]
    manuals += [("vuejs-translations/docs-zh-cn", "zh", r"src/.*\.md"), ("vuejs-translations/docs-ru", "ru", r"src/.*\.md")]
    manuals += [(f"progit/progit2-{language}", language, r"book/.*\.asc") for language in ("zh", "ru", "es", "fr")]
    manuals += [("ruby/www.ruby-lang.org", language, rf"{name}/(news/_posts|documentation)/.*\.md") for name, language in NEWS.items()]
    for project, language, pattern in manuals:
        for name, body in files_of(mirror, project, pattern):
            yield from ((language, f"{project}/{name}", piece) for piece in pieces_of(body, 90, 700))
    for name, body in files_of(mirror, "bundestag/gesetze", r"[a-z]/[^/]+/index\.md"):
        if keyed("law", name) % 12 == 1:  # the thirteenth author took some of those whose key is divisible by four
            yield from (("de", name, piece) for piece in list(pieces_of(body, 150, 700))[:60])
    for language, bank in TREEBANKS.items():
        for _, body in files_of(mirror, f"UniversalDependencies/UD_{bank}", r"[a-z_]+-ud-(dev|test)\.conllu"):
            yield from ((language, f"{bank} {at // 12}", piece) for at, piece in enumerate(runs_of(sentences_of(body), 2)))
    for _, body in files_of(mirror, "SkelterLabsInc/JaQuAD", r"data/train/.*1\.json"):
        yield from (("ja", title, context[:700]) for title, context, _ in paragraphs(body))


def problem_of(body: str) -> str:
    """Return the description of a coding problem, without markup."""
    found = re.search(r"<!-- description:start -->(.*?)<!-- description:end -->", body, re.S)
    text = html.unescape(re.sub(r"<[^>]+>", "", found[1])) if found else ""
    return re.sub(r"\s*\n\s*", "\n", text).strip()[:1800]


def exam_items(body: str) -> Iterator[str]:
    """Yield LogiQA's items: a blank line, the answer, passage, question and four options each."""
    lines = body.split("\n")
    for at in range(0, len(lines) - 7, 8):
        yield "\n".join(lines[at + 2 : at + 8])


def dialogues(mirror: Path) -> Iterator[tuple[str, str, list[str]]]:
    for name, body in files_of(mirror, "cylnlp/dialogsum", r"DialogSum_Data/dialogsum\.(dev|test)\.jsonl"):
        yield from (("talks", name, re.split(r"\n?#Person\d#: ", item["dialogue"])[1:]) for item in json_lines(body))
    for name, body in files_of(mirror, "google-research-datasets/simulated-dialogue", r"sim-[MR]/(train|dev|test)\.json"):
        for talk in json.loads(body):
            yield "talks", name, [turn[side]["text"] for turn in talk["turns"] for side in ("system_utterance", "user_utterance") if side in turn]
    for language, project, pattern in (("zh", CMRC, r"squad-style-data/cmrc2018_dev\.json"), ("ja", "SkelterLabsInc/JaQuAD", r"data/dev/.*\.json")):
        for name, body in files_of(mirror, project, pattern):
            for title, _, pairs in paragraphs(body):
                relayed = language == "zh" and keyed("relayed", title) % 4 == 0  # kept for a campaign
                yield "chats relayed" if relayed else f"chats {language}", name, [line for pair in pairs for line in pair]


def tasks(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield pool, key and text of the sources of training sets, and of public test items."""
    for pool, names, join in (("sums", "college_math|math|mawps", ("question", "problem", "input")), ("sums", "asdiv|svamp", ("body", "Body", "question", "Question")), ("contest", "olympiadbench", ("question",)), ("chinese", "cmath|cn_middle_school", ("question",)), ("sat", "mmlu_stem", ("question", "choices"))):
        for name, body in files_of(mirror, MATH, rf"evaluation/data/({names})/test\.jsonl"):
            for item in json_lines(body):
                parts = ["\n".join(item[key]) if isinstance(item[key], list) else str(item[key]) for key in join if item.get(key)]
                yield pool, Path(name).parts[-2], "\n".join(parts)[:2600]
    for name, body in files_of(mirror, "OpenLMLab/GAOKAO-Bench", r"Data/(Subjective|Objective)_Questions/(?!.*English).*\.json"):
        yield from (("chinese", Path(name).stem, item["question"].strip()[:1800]) for item in json.loads(body)["example"])
    for name, body in files_of(mirror, "google-deepmind/bbeh", r"bbeh/benchmark_tasks/.*/task\.json"):
        yield from (("items", Path(name).parts[-2], item["input"]) for item in json.loads(body)["examples"] if len(item["input"]) < 2400)
    for name, body in files_of(mirror, "doocs/leetcode", r"solution/.*/README_EN\.md"):
        if problem := problem_of(body):
            yield "tasks", name, problem
    for name, body in files_of(mirror, "zorazrw/odex", r"data/en_test\.jsonl"):
        yield from (("exercises", name, f"{item['intent']}\n{item['prompt']}".strip()) for item in json_lines(body))
    for name, body in files_of(mirror, "exercism/problem-specifications", r"exercises/.*/description\.md"):
        yield "exercises", name, body[:1500].strip()
    for name, body in files_of(mirror, "lmarena/arena-hard-auto", r"data/arena-hard-v[02]\.[01]/question\.jsonl"):
        yield from (("asks", name, item["prompt"][:2000]) for item in json_lines(body))
    for name, body in files_of(mirror, "google-research-datasets/natural-questions", r"nq_open/NQ-open\.dev\.jsonl"):
        yield from (("asks", name, f"{item['question'].capitalize()}?") for item in json_lines(body))
    for name, body in files_of(mirror, "ShishirPatil/gorilla", r"gorilla/eval/eval-data/questions/.*/questions_\w+_0_shot\.jsonl"):
        yield from (("tools", name, item["text"].replace("\\n", " ").strip()) for item in json_lines(body))
    for project, pattern in (("google-deepmind/xquad", r"xquad\.(hi|th|zh)\.json"), ("SkelterLabsInc/JaQuAD", r"data/train/.*0\.json"), (CMRC, r"squad-style-data/cmrc2018_trial\.json")):
        for name, body in files_of(mirror, project, pattern):
            yield from (("foreign asks", f"{name} {title}", ask) for title, _, pairs in paragraphs(body) for ask, _ in pairs if len(ask) > 12)
    for name, body in files_of(mirror, "lgw863/LogiQA-dataset", r"Eval\.txt"):
        yield from (("exam", name, item[:2600]) for item in exam_items(body))
    for name, body in files_of(mirror, "deepmind/AQuA", r"(dev|test)\.json"):
        yield from (("algebra", name, "\n".join((item["question"], *item["options"]))) for item in json_lines(body))


def material(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield pool, key and text of the material that companies and groups work on."""
    for pool, project, pattern in (("news", "golang/website", r"_content/blog/[^/]*\.md"), ("news", "ruby/www.ruby-lang.org", r"en/news/_posts/.*\.md"), ("standards", "bitcoin/bips", r"bip-\d+\.(md|mediawiki)"), ("standards", "OAI/OpenAPI-Specification", r"versions/(2\.0|3\.1\.0)\.md"), ("lessons", "swcarpentry/git-novice", r"episodes/.*\.md"), ("lessons", "swcarpentry/python-novice-inflammation", r"episodes/.*\.md")):
        for name, body in files_of(mirror, project, pattern):
            yield from ((pool, name, piece) for piece in pieces_of(re.sub(r"^:::.*$", "", body, flags=re.M)))
    for _, body in files_of(mirror, "pubmedqa/pubmedqa", r"data/ori_pqal\.json"):
        yield from (("health", key, " ".join(item["CONTEXTS"])[:1200]) for key, item in json.loads(body).items())
    for name, body in files_of(mirror, "UniversalDependencies/UD_English-EWT", r"[a-z_]+-ud-(dev|test)\.conllu"):
        yield from (("court", name, piece) for piece in runs_of(sentences_of(body), 2))
    for name, body in files_of(mirror, "hellohaptik/HINT3", r"dataset/v1/train/\w+(?<!subset)_train\.csv"):
        yield from (("utterances", name, row["sentence"]) for row in csv.DictReader(io.StringIO(body)))
    for name, body in files_of(mirror, "jianguoz/Few-Shot-Intent-Detection", r"Datasets/ATIS/(train|valid|test)/seq\.in"):
        yield from (("commands", name, line) for line in body.splitlines())
    for name, body in files_of(mirror, "awslabs/multi-domain-goal-oriented-dialogues-dataset", r"data/paper_splits/splits_annotated_at_turn_level/\w+/train\.tsv"):
        yield from (("requests", name, row["utterance"]) for row in csv.DictReader(io.StringIO(body), delimiter="\t", quoting=csv.QUOTE_NONE) if len(row["utterance"] or "") > 30)
    for name, body in files_of(mirror, CMRC, r"squad-style-data/cmrc2018_dev\.json"):
        yield from (("passages zh", name, context[:900]) for _, context, _ in paragraphs(body))


def collect_texts(mirror: Path) -> pa.Table:
    rows = [(f"doc {language}", key, piece) for language, key, piece in documents(mirror) if language_of([piece]) == language]
    rows += [(pool, key, json.dumps(talk, ensure_ascii=False)) for pool, key, talk in dialogues(mirror) if len(talk) > 3]
    rows += [*tasks(mirror), *material(mirror)]
    distinct = {(pool, text): key for pool, key, text in rows if text}
    pools, texts = zip(*distinct, strict=True)
    return pa.table({"pool": pools, "key": list(distinct.values()), "text": texts})
