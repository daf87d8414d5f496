"""Reads a suspect's answers and turns them into the teacher's tokens.

JSONL or Parquet; a row has `output` (or `text`), maybe `prompt`, maybe `tokens` (the teacher's; then no
tokenizer is needed).
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from stillwatch.distill.train.extra import need
from stillwatch.errors import refuse_os_errors
from stillwatch.prove.radioactivity import RadioactivityError, Text
from stillwatch.prove.suspect import Question, Suspect, Tell
from stillwatch.report.findings import write_atomically

OUTPUT, PROMPT, TOKENS = ("output", "text", "completion", "answer", "response"), ("prompt",), "tokens"
LONGEST = 1 << 20  # characters of one answer
CLOCK = "clock"
Tokenize = Callable[[str], list[int]]


def read_texts(paths: Sequence[Path]) -> list[Text]:
    """Read answers. Raises: RadioactivityError with file and line of what is wrong."""
    found = [_text(row, place) for path in paths for place, row in _rows(path)]
    if not found:
        raise RadioactivityError(f"{', '.join(map(str, paths))}: no answers; a row has `output`")
    if not any(text.output.strip() or text.tokens for text in found):
        raise RadioactivityError(f"{', '.join(map(str, paths))}: every answer is empty")
    return found


def read_prompts(path: Path) -> list[str]:
    """Read the prompts that a suspect is to be asked: rows with `prompt`, or lines of text.

    Raises: RadioactivityError.
    """
    if path.suffix in (".jsonl", ".ndjson", ".parquet"):
        prompts = []
        for place, row in _rows(path):
            if not isinstance(row.get("prompt"), str):
                raise RadioactivityError(f"{place}: has no `prompt`")
            prompts.append(row["prompt"])
    else:
        prompts = [line for line in _read(path).splitlines() if line.strip()]
    if not prompts:
        raise RadioactivityError(f"{path}: holds no prompts")
    if len(set(prompts)) < len(prompts):
        raise RadioactivityError(f"{path}: a prompt stands there twice; each is asked once")
    return prompts


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    if path.suffix == ".parquet":
        try:
            table = pq.read_table(path)
        except (OSError, pa.ArrowException) as why:
            raise RadioactivityError(f"{path}: cannot be read as Parquet ({why})") from None
        for i, row in enumerate(table.to_pylist(), 1):
            yield f"{path}: row {i}", row
        return
    for i, line in enumerate(_read(path).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as why:
            raise RadioactivityError(f"{path}:{i}: is no JSON ({why}); one answer a line") from None
        if not isinstance(row, dict):
            raise RadioactivityError(f"{path}:{i}: is no object")
        yield f"{path}:{i}", row


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError as why:
        raise RadioactivityError(f"{path}: cannot be read: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise RadioactivityError(f"{path}: is not UTF-8 ({why})") from None


def _text(row: dict[str, Any], place: str) -> Text:
    output = next((row[name] for name in OUTPUT if row.get(name) is not None), "")
    prompt = row.get("prompt") or ""
    tokens = row.get(TOKENS)
    if not isinstance(output, str) or not isinstance(prompt, str):
        raise RadioactivityError(f"{place}: output and prompt are text")
    if len(output) > LONGEST:
        raise RadioactivityError(f"{place}: an answer of more than {LONGEST:,} characters")
    if tokens is not None:
        good = isinstance(tokens, list) and all(_is_token(token) for token in tokens)
        if not good:
            raise RadioactivityError(f"{place}: tokens is no list of token numbers")
        return Text(place, prompt, output, tuple(tokens))
    if not any(row.get(name) is not None for name in OUTPUT):
        raise RadioactivityError(f"{place}: has no `output`")
    return Text(place, prompt, output)


def _is_token(token: Any) -> bool:
    return isinstance(token, int) and not isinstance(token, bool) and 0 <= token < 1 << 32


def tokenizer(name: str) -> Tokenize:
    """Load the teacher's tokenizer: `clock`, a folder, a `tokenizer.json`, or a name on a hub.

    Raises: RadioactivityError; InputError without the extra `train`.
    """
    if name == CLOCK:
        from stillwatch.distill.embedded.models import tokenizer as clock

        words = clock()
        return lambda text: list(words(text, add_special_tokens=False).input_ids)
    if name.endswith(".json"):
        tokenizers = need("tokenizers")
        try:
            made = tokenizers.Tokenizer.from_file(name)
        except Exception as why:  # noqa: BLE001 - the library raises Exception itself, whatever is wrong
            raise RadioactivityError(f"{name}: is no tokenizer ({why})") from None
        return lambda text: list(made.encode(text, add_special_tokens=False).ids)
    transformers = need("transformers")
    try:
        loaded = transformers.AutoTokenizer.from_pretrained(name)
    except (OSError, ValueError, KeyError) as why:
        first = (str(why).strip().splitlines() or [type(why).__name__])[0]
        raise RadioactivityError(f"{name}: no tokenizer can be loaded from there: {first}") from None
    return lambda text: list(loaded(text, add_special_tokens=False).input_ids)


def tokens_of(texts: Sequence[Text], tokenize: Tokenize | None) -> list[tuple[int, ...]]:
    """Return each answer's tokens. Raises: RadioactivityError for a text without a tokenizer."""
    found = []
    for text in texts:
        if text.tokens is None and tokenize is None:
            raise RadioactivityError(f"{text.place}: has text and no tokens; name the teacher's --tokenizer")
        found.append(
            text.tokens if text.tokens is not None else tuple(_tokenize(text, text.output, tokenize))
        )
    return found


def prompt_tokens(texts: Sequence[Text], tokenize: Tokenize | None) -> list[tuple[int, ...]]:
    """Return the tokens of each answer's prompt; nothing if they are unknown."""
    if tokenize is None or not any(text.prompt for text in texts):
        return []
    return [tuple(_tokenize(text, text.prompt, tokenize)) for text in texts]


def _tokenize(row: Text, text: str, tokenize: Tokenize | None) -> list[int]:
    assert tokenize is not None
    try:
        return tokenize(text)
    except (UnicodeError, TypeError) as why:
        raise RadioactivityError(f"{row.place}: is no Unicode ({why})") from None


def ask(suspect: Suspect, prompts: Sequence[str], samples: int, out: Path, tell: Tell) -> tuple[int, int]:
    """Write a row for each answer, in the prompts' order; return how many, and prompts without one.

    A prompt without an answer has a row with an empty one: the prompts asked are part of the test.
    Raises: RadioactivityError if nothing was answered or the file cannot be written; ProveError.
    """
    questions = [Question(str(i), ({"role": "user", "content": prompt},)) for i, prompt in enumerate(prompts)]
    answers = suspect.answers(questions, samples, tell)
    if not any(answers.values()):
        raise RadioactivityError(f"{suspect.name}: answered none of {len(prompts):,} prompts")
    rows = [
        {"prompt": prompt, "output": output}
        for i, prompt in enumerate(prompts)
        for output in answers.get(str(i)) or [""]
    ]
    with refuse_os_errors(RadioactivityError, f"{out}: cannot be written"):
        write_atomically(out, "".join(json.dumps(row) + "\n" for row in rows))
    silent = sum(not answers.get(str(i)) for i in range(len(prompts)))
    return sum(map(len, answers.values())), silent
