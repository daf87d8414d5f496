"""Reads recorded model outputs: JSON lines, a JSON array, CSV or Parquet; plain, gzip or zstd.

Rows are accepted as people and other programs write them: under several column names, as chat messages, as
replies of an API. A row that cannot be used is reported with its place, and the rest is read.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.exchanges import content, json_text
from stillwatch.exchanges.formats import Refused
from stillwatch.exchanges.unpack import Limits, UnpackedFile
from stillwatch.prove import ProveError

IDS = ("prompt_id", "id", "exchange_id", "custom_id", "question_id")
PROMPTS = ("prompt", "messages", "conversations", "instruction", "question", "input", "query")
ANSWERS = (
    "output", "outputs", "answer", "answers", "response", "responses", "completion", "completions",
    "generation", "generations", "generated_text", "model_output", "model_answer", "prediction", "choices",
    "text", "content",
)  # fmt: skip
MODELS = ("model", "generator", "model_id", "model_name")
KNOWN = (*IDS, *PROMPTS, *ANSWERS, *MODELS)
SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".parquet")
PACKED = (".gz", ".zst")
WITHIN = ("body", "choices", "message", "content", "text", "turns")  # where an API's reply holds its text
SPEAKERS = {"human": "user", "gpt": "assistant"}  # names of the roles in ShareGPT files
LIMITS = Limits(unpacked_bytes=2 << 30)
DEEPEST = 8
DAMAGED = (pa.ArrowException, OSError, UnicodeDecodeError, OverflowError)

Prompt = str | list[dict[str, str]]


@dataclass(frozen=True)
class RecordedAnswers:
    """One row. `answers` are the non-empty ones; `given` counts the empty ones, too."""

    place: str
    id: str  # empty if the row has none
    prompt: Prompt | None
    model: str
    answers: tuple[str, ...]
    given: int
    row: Mapping[str, Any]  # its further columns

    @property
    def asked(self) -> str:
        """The prompt as text; for messages the user's last. Empty if the row has none."""
        if not isinstance(self.prompt, list):
            return self.prompt or ""
        return next((m["content"] for m in reversed(self.prompt) if m["role"] == "user"), "")


@dataclass(frozen=True)
class Unread:
    """A row that cannot be used, with the reason."""

    place: str
    why: str

    def __str__(self) -> str:
        return f"{self.place}: {self.why}"


def is_recording(place: str) -> bool:
    """Return whether a place names a file of outputs, by its ending."""
    path = Path(place)
    ending = path.with_suffix("").suffix if path.suffix.lower() in PACKED else path.suffix
    return not place.startswith(("http://", "https://")) and ending.lower() in SUFFIXES and not path.is_dir()


def read(path: Path, further: Collection[str] = ()) -> Iterator[RecordedAnswers | Unread]:
    """Yield every row of a file, in order. `further`: columns that are wanted besides the known ones.

    Raises: ProveError if the file as a whole cannot be read.
    """
    try:
        for place, row in _rows(path, frozenset((*KNOWN, *further))):
            yield row if isinstance(row, Unread) else _read_answers(row, place)
    except Refused as why:
        raise ProveError(f"{path}: {why}") from None
    except DAMAGED as why:
        problem = (
            why.strerror if isinstance(why, OSError) and why.strerror else (str(why).splitlines() or ["?"])[0]
        )
        raise ProveError(f"{path}: cannot be read: {problem:.160}") from why


def usable(path: Path, unread: Sequence[Unread], rows: int) -> None:
    """Refuse a file most of whose rows cannot be used: it is probably not a file of outputs.

    Raises: ProveError with the first of them.
    """
    if unread and len(unread) * 2 > rows:
        more = f" (and so {len(unread) - 1:,} more of {rows:,} rows)" if len(unread) > 1 else ""
        raise ProveError(f"{unread[0]}{more}")


def _rows(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, Any]]:
    with UnpackedFile(path, LIMITS) as data:
        head = data.peek()
        kind = content.kind_of(head) if head.strip() else "json"
        if kind == "parquet" and not data.packing:
            yield from _parquet(path, wanted)
            return
        if kind in ("parquet", "protobuf"):
            raise Refused("is no file of outputs; give JSON lines, CSV or Parquet")
        if kind == "csv" and ".json" in path.name.lower():
            kind = "json"  # its first line is broken
        items = content.values_of(data, head, kind, LIMITS, _header)
        for item in items:
            place = f"{path}:{item.number}"
            if isinstance(item, json_text.UndecodableValue):
                why = item.reason if kind == "csv" else f"{item.reason}; give one JSON object a line"
                yield place, Unread(place, why)
            elif not isinstance(item.value, dict):
                yield place, Unread(place, "is no JSON object; give prompt or prompt_id, and output")
            else:
                yield place, item.value


def _header(columns: Collection[str]) -> None:
    """Raises: Refused for a first line without any of the wanted columns."""
    if not set(columns) & set(ANSWERS):
        raise Refused(f"has the columns {', '.join(columns)[:120]!r}; one of {_some(ANSWERS)} is needed")


def _parquet(path: Path, wanted: frozenset[str]) -> Iterator[tuple[str, Any]]:
    with pq.ParquetFile(path) as file:
        has = file.schema_arrow.names
        if not set(has) & {*ANSWERS, "messages", "conversations"}:
            raise Refused(f"has the columns {', '.join(has)[:120]!r}; one of {_some(ANSWERS)} is needed")
        row = 0
        for batch in file.iter_batches(batch_size=8192, columns=[name for name in has if name in wanted]):
            for line in batch.to_pylist():
                row += 1
                yield f"{path}: row {row}", line


def _read_answers(row: dict[str, Any], place: str) -> RecordedAnswers | Unread:
    answer = next((name for name in ANSWERS if row.get(name) is not None), None)
    prompt = next((row[name] for name in PROMPTS if _is_given(row.get(name))), None)
    talk = _talk(prompt) if isinstance(prompt, list) else None
    if isinstance(prompt, list) and talk is None:
        return Unread(place, "its messages are no objects with role and content")
    if answer is None and talk and talk[-1]["role"] == "assistant":
        texts: list[str] | None = [talk.pop()["content"]]
    elif answer is None:
        if not any(name in row for name in ANSWERS):
            return Unread(place, f"has {_some(sorted(map(str, row))) or 'no fields'}; output is needed")
        texts = []  # present but null: the caller got nothing
    else:
        texts = _texts(row[answer])
    if texts is None:
        return Unread(
            place, f"{answer} is {str(row[str(answer)])[:40]!r}; an output is text, or a list of texts"
        )
    key = next((row[name] for name in IDS if _is_given(row.get(name))), "")
    model = next((row[name] for name in MODELS if _is_given(row.get(name))), "")
    prompt_or_talk = talk if talk is not None else prompt
    if (
        not isinstance(model, str)
        or not isinstance(prompt_or_talk, str | list | None)
        or not isinstance(key, str | int)
    ):
        return Unread(place, "its prompt, prompt_id or model is no text")
    if key == "" and not prompt_or_talk:
        return Unread(place, "says neither prompt nor prompt_id: nobody can tell what was asked")
    return RecordedAnswers(
        place, str(key), prompt_or_talk, model, tuple(t for t in texts if t.strip()), max(1, len(texts)), row
    )


def _is_given(value: Any) -> bool:
    return value is not None and value != "" and value != []


def _texts(value: Any, depth: int = 0) -> list[str] | None:
    """Return the texts of an answer: a text, several, or an API's reply with them; None for anything else."""
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if depth == DEEPEST:
        return None
    if isinstance(value, list):
        if value and all(isinstance(part, dict) and "type" in part for part in value):  # parts of one message
            return ["".join(str(part.get("text") or "") for part in value)]
        if (talk := _talk(value)) and talk[-1]["role"] == "assistant":
            return [talk[-1]["content"]]
        found = [_texts(item, depth + 1) for item in value]
        return None if None in found else [text for item in found if item is not None for text in item]
    if isinstance(value, dict):
        for name in WITHIN:
            if value.get(name) is not None:
                texts = _texts(value[name], depth + 1)
                return texts[:1] if texts and name == "turns" else texts  # later turns answer other prompts
    return None


def _talk(value: list[Any]) -> list[dict[str, str]] | None:
    """Return messages with role and content; None if it is another kind of list."""
    found = []
    for item in value:
        if not isinstance(item, dict):
            return None
        role = SPEAKERS.get(str(item.get("from")), item.get("role", item.get("from")))
        texts = _texts(item.get("content", item.get("value")), DEEPEST - 2)
        if not isinstance(role, str) or texts is None:
            return None
        found.append({"role": role, "content": "".join(texts)})
    return found


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (" ..." if len(names) > 6 else "")
