"""The files of a run: reads and writes JSON lines, atomically."""

import glob
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from stillwatch import new_file
from stillwatch.distill import DistillError, Example, Prompt, Sample
from stillwatch.errors import InputError, RejectedLine, refuse_os_errors

LONGEST_LINE = 64 << 20  # bytes: a longer one is no prompt or answer

Noun = TypeVar("Noun", Prompt, Sample, Example)


def replace_file(path: Path, parts: Iterable[bytes]) -> None:
    """Write a file atomically. Raises: DistillError if the disk is full."""
    _sweep(path)
    with refuse_os_errors(DistillError, f"{path}: cannot be written", "what was there before is untouched"):
        new_file.replace_file(path, parts, 0o644)


def _sweep(path: Path) -> None:
    """Remove temporary files that killed processes have left beside it."""
    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*"):
        pid = leftover.name.rpartition(".")[2].partition("-")[0]
        if pid.isdecimal() and not Path("/proc", pid).exists():
            leftover.unlink(missing_ok=True)


def line(row: dict[str, Any]) -> bytes:
    """Return one row as a line; an unpaired surrogate is escaped and can be read back."""
    try:
        return json.dumps(row, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:
        return json.dumps(row).encode() + b"\n"


def write_rows(path: Path, rows: Iterable[Prompt | Sample | Example]) -> int:
    """Write rows, atomically; return how many."""
    count = 0

    def lines() -> Iterator[bytes]:
        nonlocal count
        for row in rows:
            count += 1
            yield line(asdict(row))

    replace_file(path, lines())
    return count


def write_json(path: Path, content: dict[str, Any]) -> None:
    replace_file(path, [json.dumps(content, indent=1, ensure_ascii=True).encode() + b"\n"])


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises: InputError."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as why:
        raise InputError(f"{path}: cannot be read: {why.strerror}") from why
    except ValueError as why:
        raise InputError(f"{path}: is no JSON: {why}") from why
    if not isinstance(content, dict):
        raise InputError(f"{path}: holds no JSON object")
    return content


def objects(path: Path, reject: Callable[[RejectedLine], None]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each line's place and object; a bad line goes to `reject`. Raises: InputError: no such file."""
    with refuse_os_errors(InputError, f"{path}: cannot be read"), path.open("rb") as lines:
        number = 0
        while raw := lines.readline(LONGEST_LINE + 1):
            number += 1
            place = f"{path}:{number}"
            if len(raw) > LONGEST_LINE:
                reject(RejectedLine(place, f"is longer than {LONGEST_LINE >> 20} MiB"))
                while raw and not raw.endswith(b"\n"):
                    raw = lines.readline(LONGEST_LINE)
                continue
            if not raw.strip():
                continue
            try:
                row = json.loads(raw)
            except (ValueError, RecursionError) as why:
                reject(RejectedLine(place, f"is no JSON: {why}"))
                continue
            if isinstance(row, dict):
                yield place, row
            else:
                reject(RejectedLine(place, f"holds a {type(row).__name__}, not an object"))


def _refuse(rejected: RejectedLine) -> None:
    raise InputError(f"{rejected}; this file is written by stillwatch: run the step before this one again")


def _read(path: Path, noun: type[Noun]) -> Iterator[Noun]:
    for place, row in objects(path, _refuse):
        try:
            for name in ("messages", "prompt"):
                if name in row:
                    row[name] = tuple(row[name])
            record = noun(**row)
        except TypeError as why:
            raise InputError(f"{place}: {why}; run the step before this one again") from why
        if wrong := _wrong(row):
            raise InputError(f"{place}: {wrong}; run the step before this one again")
        yield record


def _wrong(row: dict[str, Any]) -> str | None:
    """Return which value of a row has the wrong type: the file may be hand-written."""
    for name in ("id", "task", "answer", "slice", "teacher"):
        if not isinstance(row.get(name, ""), str):
            return f'"{name}" is no text'
    for name in ("sample", "tokens"):
        if type(row.get(name, 0)) is not int:
            return f'"{name}" is no whole number'
    for name in ("reasoning", "finish_reason"):
        if not isinstance(row.get(name), str | None):
            return f'"{name}" is neither a text nor null'
    for message in row.get("messages", row.get("prompt", ())):
        if not isinstance(message, dict) or not all(
            isinstance(message.get(part), str) for part in ("role", "content")
        ):
            return 'a message is no {"role": "...", "content": "..."}'
    usage = row.get("usage", {"output_tokens": 0})
    if not isinstance(usage, dict) or type(usage.get("output_tokens")) is not int:
        return '"usage" holds no whole number "output_tokens"'
    return None


def read_prompts(path: Path) -> Iterator[Prompt]:
    return _read(path, Prompt)


def read_samples(path: Path) -> Iterator[Sample]:
    return _read(path, Sample)


def read_examples(path: Path) -> Iterator[Example]:
    return _read(path, Example)
