# ruff: noqa: E501 - each source is one line
"""Texts for the twelfth author's world, from public repositories that no former author used. See twelfth_author.md."""

import csv
import io
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pyarrow as pa

from sixth_author import pieces_of

# fmt: off


def files_of(mirror: Path, project: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Yield name and text of the matching files of the newest commit, by one process."""
    place = ["git", "-C", str(mirror / project.replace("/", "+") / "repo")]
    tree = subprocess.run([*place, "ls-tree", "-r", "-l", "HEAD"], capture_output=True, check=True).stdout.decode("utf-8", "replace")
    names = [name for line in tree.splitlines() for about, name in [line.split("\t", 1)] if re.fullmatch(pattern, name) and about.split()[-1].isdigit()]
    packed = subprocess.run([*place, "cat-file", "--batch"], input="".join(f"HEAD:{name}\n" for name in names).encode(), capture_output=True, check=True).stdout
    at = 0
    for name in names:
        begin = packed.index(b"\n", at) + 1
        at = begin + int(packed[at : begin - 1].split()[-1]) + 1
        yield name, packed[begin : at - 1].decode("utf-8", "replace")


def hearing(text: str) -> Iterator[str]:
    """Yield runs of the turns of an argument, some 700 characters each."""
    run = ""
    for section in (json.loads(text).get("transcript") or {}).get("sections", ()):
        for turn in section["turns"]:
            spoken = " ".join(block["text"] for block in turn["text_blocks"])
            run += f"{((turn['speaker'] or {}).get('last_name') or 'Unknown').upper()}: {spoken}\n"
            if len(run) > 600:
                yield run[:1800].strip()
                run = ""


def exam_item(line: str) -> str:
    item = json.loads(line)
    return "\n".join([part for part in (item["passage"], item["question"]) if part] + list(item["options"] or ()))


def collect_texts(mirror: Path) -> pa.Table:
    """Return pool, key and text of every source that no former author used."""
    rows: list[tuple[str, str, str]] = []
    for name, body in files_of(mirror, "walkerdb/supreme_court_transcripts", r"oyez/cases/201[5-9]\..*-t01\.json"):
        rows += [("court", name, piece) for piece in hearing(body)]
    for project, pattern, column in (("abachaa/MTS-Dialog", r"Main-Dataset/.*\.csv", "dialogue"), ("wyim/aci-bench", r"data/challenge_data/[^/]*(train|valid|test\d)\.csv", "dialogue")):
        for name, body in files_of(mirror, project, pattern):
            rows += [("visits", name, row[column][:2600]) for row in csv.DictReader(io.StringIO(body)) if row[column]]
    for name, body in files_of(mirror, "abachaa/MedQuAD", r"[1-9]_.*\.xml"):
        for pair in ElementTree.fromstring(body).iter("QAPair"):
            ask, answer = pair.findtext("Question") or "", " ".join((pair.findtext("Answer") or "").split())
            rows += [("asks", name, ask.strip())] if len(ask) > 20 else []
            rows += [("health", name, answer[:1200])] if len(answer) > 200 else []
    for name, body in files_of(mirror, "xliuhw/NLU-Evaluation-Data", r"CrossValidation/.*/testset/annotated/.*\.json"):
        rows += [("utterances", Path(name).parent.name, item["text"]) for items in json.loads(body).values() for item in items]
    for name, body in files_of(mirror, "snipsco/nlu-benchmark", r"2017.*/train_\w+_full\.json"):
        rows += [("commands", Path(name).parent.name, "".join(part["text"] for part in item["data"]).strip()) for items in json.loads(body).values() for item in items]
    for pool, names in (("exam", "lsat-lr|lsat-ar|logiqa-en"), ("sat", "sat-math|lsat-rc"), ("algebra", "aqua-rat"), ("contest", "math"), ("chinese", "gaokao-(biology|chemistry|geography|history|physics)|jec-qa-kd|logiqa-zh")):
        for name, body in files_of(mirror, "ruixiangcui/AGIEval", rf"data/v1/({names})\.jsonl"):
            rows += [(pool, Path(name).stem, exam_item(line)[:2600]) for line in body.splitlines()]
    for pool, pattern in (("exercises", r"Codegen/codegen-instruct\.json"), ("tools", r"Toolformer/toolformer-dedupe-only-dataset\.json")):
        for _, body in files_of(mirror, "teknium1/GPTeacher", pattern):
            rows += [(pool, item["instruction"], f"{item['instruction']}\n{item['input']}".strip()[:1500]) for item in json.loads(body)]
    for name, body in files_of(mirror, "TheOdinProject/curriculum", r"(foundations|javascript|ruby|react|databases|git)/.*\.md"):
        rows += [("lessons", name, piece) for piece in pieces_of(body)]
    for name, body in files_of(mirror, "awesome-selfhosted/awesome-selfhosted-data", r"software/.*\.yml"):
        found = re.search(r"^name: (.+?)$.*^description: (.+?)$.*^tags:\n((?: +- [^\n]*\n)+)", body, re.S | re.M)
        rows += [("listings", name, f"{found[1]}: {found[2]} ({', '.join(tag.strip(' -') for tag in found[3].splitlines())})")] if found else []
    distinct = {(pool, text): key for pool, key, text in rows}
    pools, texts = zip(*distinct, strict=True)
    return pa.table({"pool": pools, "key": list(distinct.values()), "text": texts})
