"""A suspect that is a file of what it has said: JSON lines or Parquet. It can be asked nothing new."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.prove import ProveError
from stillwatch.prove.suspect import Question, Tell, Told, Weighed

IDS = ("prompt_id", "id", "exchange_id")
PROMPTS = ("prompt", "messages", "instruction", "question", "input")
OUTPUTS = ("output", "outputs", "answer", "answers", "completion", "completions", "response", "generation")
SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet")
LARGEST_BYTES = 2 << 30


class Outputs:
    """Answers in a file. Rows are found by a prompt's id or its text; several rows are several samples."""

    offers = frozenset({"answers"})

    def __init__(self, path: Path, name: str = "") -> None:
        """Raises: ProveError with the place where the file cannot be used."""
        self.name = name or path.name
        self._path = path
        self._by_id: dict[str, list[str]] = {}
        self._by_text: dict[str, list[str]] = {}
        self.rows = self.empty = 0
        for place, row in rows_of(path):
            self._take(row, place)
        if not self.rows:
            raise ProveError(f"{path}: holds no rows; give lines with prompt or prompt_id, and output")
        if not self._by_id and not self._by_text:
            raise ProveError(f"{path}: all {self.rows:,} outputs are empty: there is nothing to test")

    def _take(self, row: Any, place: str) -> None:
        if not isinstance(row, dict):
            raise ProveError(f"{place}: is no object; give prompt or prompt_id, and output")
        self.rows += 1
        said = next((row[name] for name in OUTPUTS if row.get(name) is not None), None)
        if said is None:
            raise ProveError(f"{place}: has no output; one of {', '.join(OUTPUTS)} holds it")
        texts = said if isinstance(said, list) else [said]
        if not all(isinstance(text, str) for text in texts):
            raise ProveError(f"{place}: an output is text, or a list of texts")
        kept = [text for text in texts if text.strip()]
        self.empty += len(texts) - len(kept)
        asked = next((row[name] for name in IDS if row.get(name) is not None), None)
        prompt = next((row[name] for name in PROMPTS if row.get(name) is not None), None)
        if asked is None and prompt is None:
            raise ProveError(f"{place}: says neither prompt nor prompt_id: nobody can tell what was asked")
        if not kept:
            return
        if asked is not None:
            self._by_id.setdefault(str(asked), []).extend(kept)
        if prompt is not None:
            self._by_text.setdefault(text_key(prompt), []).extend(kept)

    def answers(self, questions: Sequence[Question], n: int, tell: Tell) -> dict[str, list[str]]:
        """What the file has. Raises: ProveError where it holds answers to other prompts."""
        found = {}
        for question in questions:
            said = self._by_id.get(question.id) or self._by_text.get(text_key(list(question.messages)))
            if said:
                found[question.id] = said[:n]
        if not found:
            some = next(iter(self._by_text or self._by_id))
            raise ProveError(
                f"{self._path}: answers none of the {len(questions):,} prompts under test (its first is "
                f"{some[:60]!r}); the suspect must be asked the same prompts, by id or word for word"
            )
        tell(len(found), len(questions))
        return found

    def weigh(self, told: Sequence[Told], tell: Tell) -> dict[str, Weighed]:
        raise ProveError(
            f"{self._path}: a file of outputs cannot weigh answers; test by overlap, or name a model or "
            "an endpoint"
        )


def text_key(prompt: object) -> str:
    """A prompt as it is compared: the words of its last user message, white space apart."""
    if isinstance(prompt, list):
        users = [m.get("content") for m in prompt if isinstance(m, dict) and m.get("role") == "user"]
        prompt = users[-1] if users else ""
    return " ".join(str(prompt).split())


def rows_of(path: Path) -> Iterator[tuple[str, Any]]:
    """Every row of a file with its place. Raises: ProveError."""
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise ProveError(
                f"{path}: is larger than {LARGEST_BYTES >> 30} GiB; give the prompts under test alone"
            )
        if path.suffix == ".parquet":
            table = pq.read_table(path)
            wanted = [name for name in (*IDS, *PROMPTS, *OUTPUTS) if name in table.column_names]
            for at, row in enumerate(table.select(wanted).to_pylist()):
                yield f"{path}: row {at}", row
            return
        if path.suffix == ".json" and (listed := _listed(path)) is not None:
            for at, row in enumerate(listed):
                yield f"{path}: row {at}", row
            return
        with path.open("rb") as file:
            for at, line in enumerate(file, 1):
                if line.strip():
                    yield f"{path}:{at}", _parsed(line, f"{path}:{at}")
    except (OSError, pa.ArrowInvalid) as why:
        told = why.strerror if isinstance(why, OSError) and why.strerror else str(why).splitlines()[0]
        raise ProveError(f"{path}: the suspect's outputs cannot be read: {told}") from why


def _listed(path: Path) -> list[Any] | None:
    """A file that is one JSON array; None for one of lines."""
    raw = path.read_bytes()
    if raw.lstrip()[:1] != b"[":
        return None
    return list(_parsed(raw, str(path)))


def _parsed(line: bytes, place: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as why:
        raise ProveError(f"{place}: is no JSON: {why}; give one object a line") from None
