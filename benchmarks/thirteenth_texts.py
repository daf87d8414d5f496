# ruff: noqa: E501 - each source is one line
"""Texts for the thirteenth author's world, from public repositories that no former author used. See thirteenth_author.md."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from selves import Person, keyed
from sixth_author import pieces_of
from twelfth_texts import files_of

# fmt: off
TREEBANKS = {"de": "German-GSD", "es": "Spanish-GSD", "fr": "French-GSD", "it": "Italian-ISDT", "ja": "Japanese-GSD", "ko": "Korean-Kaist", "ru": "Russian-Taiga", "pl": "Polish-PDB", "pt": "Portuguese-Bosque"}
SCRIPTS = (("ja", r"[\u3040-\u30ff]"), ("ko", r"[\uac00-\ud7af]"), ("zh", r"[\u4e00-\u9fff]"), ("ru", r"[\u0400-\u04ff]"))
COMMON = {"de": "der die das und nicht für mit auf ist wird bei", "fr": "le la les des du une pour dans sur avec et est", "es": "el la los las del para con una en se y que", "pt": "o os da do das dos para com uma não em e que", "it": "il lo gli della del per con una non di e che", "en": "the a to of for in and with is from fix add remove update use test tests version docs not when"}


def language_of(texts: Sequence[str]) -> str:
    """Return the language that most of these texts are in, by script or by common words."""
    text = "\n".join(texts)[:6000]
    for language, pattern in SCRIPTS:
        if len(re.findall(pattern, text)) > 0.06 * len(text):
            return language
    words = Counter(re.findall(r"[a-zà-ÿ]+", text.lower()))
    scores = {language: sum(words[word] for word in set(common.split())) for language, common in COMMON.items()}
    best = max(scores, key=lambda language: scores[language])
    return best if scores[best] else "en"


def runs_of(sentences: Sequence[str], size: int) -> Iterator[str]:
    """Yield so many sentences in a row, joined."""
    for at in range(0, len(sentences) - size + 1, size):
        yield " ".join(sentences[at : at + size])


def sentences_of(body: str) -> list[str]:
    return re.findall(r"^# text = (.+)$", body, re.M)


def documents(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, document or translator, and a piece of it."""
    for name, body in files_of(mirror, "LCTT/TranslateProject", r"published/20.*\.md"):
        found = re.search(r"译者[：:]\s*\[([^\]]+)\]", body)
        for piece in pieces_of(body.split("------")[0], 120, 700) if found else ():
            if len(re.findall(r"[\u4e00-\u9fff]", piece)) > 40 and "linux.cn" not in piece:
                yield "zh", found[1].lower() if found else name, piece
    for name, body in files_of(mirror, "betagouv/beta.gouv.fr", r"content/(_startups|_organisations|_fasts)/.*\.md"):
        yield from (("fr", name, piece) for piece in pieces_of(body, 120, 700))
    for name, body in files_of(mirror, "UniversalDependencies/UD_Portuguese-Bosque", r"not-to-release/documents/.*\.conllu"):
        yield from (("pt", name, piece) for piece in runs_of(sentences_of(body), 2))
    for name, body in files_of(mirror, "bundestag/gesetze", r"[a-z]/[^/]+/index\.md"):
        if keyed("law", name) % 4 == 0:
            yield from (("de", name, piece) for piece in list(pieces_of(body, 150, 700))[:120])
    for language in ("es", "ru"):
        for name, body in files_of(mirror, f"javascript-tutorial/{language}.javascript.info", r".*/article\.md"):
            yield from ((language, name, piece) for piece in pieces_of(body, 120, 600))
    for name, body in files_of(mirror, "progit/progit2-de", r"book/.*\.asc"):
        yield from (("de", name, piece) for piece in pieces_of(body, 150, 700))
    for language, bank in TREEBANKS.items():
        for _, body in files_of(mirror, f"UniversalDependencies/UD_{bank}", r"[a-z_]+-ud-dev\.conllu"):
            for at, piece in enumerate(runs_of(sentences_of(body), 2)):
                yield language, f"{bank} {at // 12}", piece


def dialogues(mirror: Path) -> Iterator[tuple[str, str, str]]:
    """Yield language, source and dialogue as a list of lines."""
    for name, body in files_of(mirror, "thu-coai/KdConv", r"data/(film|music|travel)/(dev|test|train)\.json"):
        for talk in json.loads(body):
            yield "zh", name, json.dumps([line["message"] for line in talk["messages"]], ensure_ascii=False)
    for name, body in files_of(mirror, "HLTCHKUST/Xpersona", r"dataset/(Fr|It|Jp|Ko|Zh)_persona_split_.*\.json"):
        language = Path(name).stem[:2].lower().replace("jp", "ja")
        for talk in json.loads(body):
            yield language, name, json.dumps([line for pair in talk["dialogue"] for line in pair], ensure_ascii=False)


def collect_texts(mirror: Path) -> pa.Table:
    """Return pool, key and text of every source that no former author used."""
    rows = [(f"doc {language}", key, piece) for language, key, piece in documents(mirror)]
    rows += [(f"chats {language}", key, talk) for language, key, talk in dialogues(mirror)]
    for language, bank in TREEBANKS.items():
        for _, body in files_of(mirror, f"UniversalDependencies/UD_{bank}", r"[a-z_]+-ud-test\.conllu"):
            rows += [(f"passages {language}", bank, piece) for piece in runs_of(sentences_of(body), 3)]
    for name, body in files_of(mirror, "ymcui/cmrc2018", r"data/cmrc2018_(dev|trial)\.json"):
        rows += [("passages zh", name, item["context_text"][:900]) for item in json.loads(body)]
    for name, body in files_of(mirror, "google-deepmind/xquad", r"xquad\.(de|es|ru|tr|vi|ar|el|ro)\.json"):
        asks = [(group["title"], pair["question"]) for group in json.loads(body)["data"] for part in group["paragraphs"] for pair in part["qas"]]
        rows += [("foreign asks", f"{name} {title}", ask) for title, ask in asks if len(ask) > 25]
    distinct = {(pool, text): key for pool, key, text in rows}
    pools, texts = zip(*distinct, strict=True)
    return pa.table({"pool": pools, "key": list(distinct.values()), "text": texts})


def documents_as_people(texts: pa.Table) -> list[Person]:
    """Return a document, or all of a translator's, as a person: one author, one subject."""
    people: dict[str, Person] = defaultdict(lambda: Person("", ""))
    for row in texts.to_pylist():
        if row["pool"].startswith("doc ") and row["pool"] != "doc pl":
            one = people[f"{row['pool']} {row['key']}"]
            one.person, one.source, one.files = f"doc_{keyed(row['pool'], row['key']):016x}"[:16], row["pool"], [row["key"].split("/")[-1][:60]]
            one.texts += [row["text"]] if len(one.texts) < 400 else []
    return list(people.values())
