"""Files of outputs -> `Pool`: JSONL or Parquet with the columns model, prompt_id or prompt, and output.

A file without a model column holds one model, which is named after the file or by the caller. It does not
judge what the answers are good for; `checks` does.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.prove.pool import Pool, PoolError

OUTPUT = ("output", "answer", "response", "completion")
PROMPT_ID = ("prompt_id", "id")
PROMPT = ("prompt", "instruction", "question")
MODEL = ("model", "generator")
TOKENS = ("prompt_tokens",)
KNOWN = (OUTPUT, PROMPT_ID, PROMPT, MODEL, TOKENS)
SUFFIXES = (".jsonl", ".ndjson", ".parquet")
LONGEST = 1 << 20  # characters of one answer: what is longer is cut, likeness reads the beginning only
FEWEST = 8  # prompts of a model at all: less is a slip of the file

Line = dict[str, Any]


def prompt_id(text: str) -> str:
    """Name a prompt by its text; spaces at the ends and their number do not count.

    >>> prompt_id(" What  is it?") == prompt_id("What is it?")
    True
    """
    return hashlib.sha256(" ".join(text.split()).encode()).hexdigest()[:16]


def read_pool(paths: Sequence[Path], name: str = "", models: Sequence[str] = ()) -> Pool:
    """Read files, or folders of them, into one pool.

    `name` is the model of files without a model column; `models`, where given, are the only ones kept.

    Raises: PoolError with the file and line of what cannot be used.
    """
    answers: dict[str, dict[str, list[str]]] = {}
    texts: dict[str, str] = {}
    usage: dict[str, dict[str, int]] = {}
    only = frozenset(models)
    for path in _files(paths):
        named = 0
        for place, line in _lines(path):
            model = _text(line, MODEL, place) or name or path.name.split(".")[0]
            if only and model not in only:
                continue
            key, prompt = _text(line, PROMPT_ID, place), _text(line, PROMPT, place)
            if not key and not prompt:
                raise PoolError(f"{place}: has neither prompt_id nor prompt; answers are compared by prompt")
            key = key or prompt_id(prompt)
            output = spoken(_text(line, OUTPUT, place, needed=True))
            named += 1
            if prompt:
                texts[key] = prompt
            by_prompt = answers.setdefault(model, {})
            if output and output not in by_prompt.setdefault(key, []):
                by_prompt[key].append(output[:LONGEST])
            tokens = next((line[column] for column in TOKENS if line.get(column) is not None), None)
            if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
                usage.setdefault(model, {})[key] = tokens
        if not named and not only:
            raise PoolError(f"{path}: holds no answers; a line is model, prompt_id or prompt, and output")
    held = {m: {p: _ordered(a) for p, a in sorted(by.items()) if a} for m, by in answers.items()}
    if missing := sorted(only - held.keys()):
        raise PoolError(f"no answers of {missing[0]!r} in {_listed(paths)}")
    if empty := sorted(model for model, by in held.items() if not by):
        raise PoolError(f"{empty[0]!r}: every answer is empty in {_listed(paths)}")
    if few := sorted(model for model, by in held.items() if len(by) < FEWEST):
        raise PoolError(
            f"{few[0]!r} answers {len(held[few[0]])} prompts in {_listed(paths)}; "
            f"fewer than {FEWEST} compare nothing"
        )
    ids = tuple(sorted({p for by in held.values() for p in by}))
    return Pool(ids, held, {p: texts[p] for p in ids if p in texts}, usage)


def _ordered(answers: list[str]) -> tuple[str, ...]:
    """Several answers to one prompt in an order that is not the file's: the first of them is compared."""
    return tuple(sorted(answers, key=lambda text: hashlib.sha256(text.encode(errors="replace")).digest()))


def spoken(text: str) -> str:
    """An answer without the reasoning that some models write before it.

    >>> spoken("<think>Let me see.</think> Four.")
    'Four.'
    """
    if text.lstrip().startswith("<think>") and "</think>" in text:
        text = text.split("</think>", 1)[1]
    return text.strip()


def _listed(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths[:3]) + (" ..." if len(paths) > 3 else "")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES)
            if not found:
                raise PoolError(f"{path}: has no file that ends in {', '.join(SUFFIXES)}")
            yield from found
        elif not path.exists():
            raise PoolError(f"{path}: no such file")
        elif path.suffix not in SUFFIXES:
            raise PoolError(f"{path}: ends in {path.suffix or 'nothing'}; give {', '.join(SUFFIXES)}")
        else:
            yield path


def _lines(path: Path) -> Iterator[tuple[str, Line]]:
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    try:
        with path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if not raw.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    line = json.loads(raw)
                except (ValueError, RecursionError):
                    raise PoolError(f"{place}: is no JSON object; one answer a line") from None
                if not isinstance(line, dict):
                    raise PoolError(f"{place}: is no JSON object; one answer a line")
                yield place, line
    except OSError as why:
        raise PoolError(f"{path}: cannot be read: {why.strerror}") from why


def _parquet(path: Path) -> Iterator[tuple[str, Line]]:
    try:
        file = pq.ParquetFile(path)
        has = file.schema_arrow.names
        if not any(column in has for column in OUTPUT):
            raise PoolError(f"{path}: has the columns {', '.join(has)[:200]}; an output column is needed")
        wanted = [column for group in KNOWN for column in group if column in has]
        row = 0
        for batch in file.iter_batches(batch_size=8192, columns=wanted):
            for line in batch.to_pylist():
                row += 1
                yield f"{path}: row {row}", line
    except (OSError, pa.ArrowException) as why:
        raise PoolError(f"{path}: cannot be read as Parquet: {str(why).splitlines()[0]:.120}") from why


def _text(line: Line, columns: Sequence[str], place: str, needed: bool = False) -> str:
    for column in columns:
        if column not in line:
            continue
        value = line[column]
        if value is None:
            return ""
        if isinstance(value, int) and not isinstance(value, bool) and column in PROMPT_ID:
            return str(value)
        if not isinstance(value, str):
            raise PoolError(f"{place}: {column} is {json.dumps(value, default=str)[:60]}; it has to be text")
        return value
    if needed:
        raise PoolError(
            f"{place}: has {', '.join(sorted(map(str, line)))[:120] or 'no fields'}; output is needed"
        )
    return ""
