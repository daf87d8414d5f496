"""Check a scene's texts against corpora of known licence: `check_sources.py CORPORA_DIR [SCENE_DIR]`.

Every long line of a prompt or system text is looked up, by fifty of its characters, in the corpora that may
be redistributed and then in those that may not. It cannot tell the composer's own wording from a passage of a
corpus that it was not given: both count as `unknown`.
"""

import collections
import json
import pathlib
import sys

import pyarrow.parquet as pq

FREE_PIPELINES = {"airoboros", "gpteacher_roleplay", "orca_flan", "reasoning_sft_code", "reasoning_sft_math"}
LONG = 80  # shorter lines are too often the same by chance
PROBE = slice(10, 60)


def flat(text: str | None) -> str:
    return " ".join((text or "").split())


def said(messages: str) -> list[str]:
    """The texts of a conversation, whether a content is a string or a list of parts."""
    texts = []
    for message in json.loads(messages):
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content}]
        texts += [part["text"] for part in parts if isinstance(part, dict) and part.get("text")]
    return texts


def corpora(folder: pathlib.Path) -> dict[str, dict[str, str]]:
    """All text of each corpus as one string, under `free` or `not free`."""
    texts: dict[str, dict[str, list[str]]] = {"free": {}, "not free": {}}
    for row in pq.read_table(folder / "benign.parquet").to_pylist():
        side = "free" if row["ship"] == "redistributable" else "not free"
        texts[side].setdefault(row["corpus"], []).extend(map(flat, said(row["messages"])))
    for row in pq.read_table(folder / "distill.parquet").to_pylist():
        side = "free" if row["pipeline"] in FREE_PIPELINES else "not free"
        texts[side].setdefault(row["pipeline"], []).extend((flat(row["prompt"]), flat(row["system"])))
    return {side: {name: "\n".join(rows) for name, rows in named.items()} for side, named in texts.items()}


def source(line: str, known: dict[str, dict[str, str]]) -> tuple[str, str]:
    probe = line[PROBE]
    for side, named in known.items():
        for name, text in named.items():
            if probe in text:
                return side, name
    return "unknown", "-"


def main(folder: pathlib.Path, scene: pathlib.Path) -> None:
    known = corpora(folder)
    table = pq.read_table(scene / "exchanges.parquet", columns=["prompt", "system"])
    texts = {text for column in table.columns for text in column.to_pylist() if text}
    lines = {line for text in texts for line in map(flat, text.split("\n")) if len(line) >= LONG}
    found = {line: source(line, known) for line in sorted(lines)}
    print(f"{len(lines):,} different lines of {LONG} characters or more in {len(texts):,} different texts")
    for (side, name), count in collections.Counter(found.values()).most_common():
        print(f"{count:8,}  {side:9} {name}")
    for line, (side, name) in found.items():
        if side == "not free":
            print(f"not free ({name}): {line[:150]}")


if __name__ == "__main__":
    here = pathlib.Path(__file__).parent
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else here)
