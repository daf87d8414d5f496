"""Recordings -> `Pool`. A file without a model column holds one model, named after the file or by the caller.

Whether the answers are usable is judged by `checks`.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from stillwatch.prove.pool import Pool, PoolError, prompt_id
from stillwatch.prove.recording import SUFFIXES, RecordedAnswers, Unread, is_recording, read, usable

TOKENS = "prompt_tokens"
LONGEST = 1 << 20  # characters of one answer; the rest is cut, since similarity reads only the beginning
FEWEST = 8  # prompts of a model; fewer indicate an error in the file


def read_pool(paths: Sequence[Path], name: str = "", models: Sequence[str] = ()) -> Pool:
    """Read files, or folders of them, into one pool.

    `name` is the model of files without a model column; `models`, where given, are the only ones kept.

    Raises: ProveError with the file and line of what cannot be used.
    """
    answers: dict[str, dict[str, Counter[str]]] = {}
    texts: dict[str, str] = {}
    usage: dict[str, dict[str, int]] = {}
    unread: list[str] = []
    only = frozenset(models)
    for path in _files(paths):
        rows = 0
        mine: list[Unread] = []
        for row in read(path, (TOKENS,)):
            rows += 1
            if isinstance(row, Unread):
                mine.append(row)
                continue
            model = row.model or name or path.name.split(".")[0]
            if not only or model in only:
                _take(row, answers.setdefault(model, {}), texts, usage.setdefault(model, {}))
        usable(path, mine, rows)
        if not rows and not only:
            raise PoolError(f"{path}: holds no answers; a line is model, prompt_id or prompt, and output")
        unread += map(str, mine)
    if not answers:
        raise PoolError(f"{_list_paths(paths)}: no answers" + (f" of {sorted(only)[0]!r}" if only else ""))
    held = {m: {p: _order_answers(a) for p, a in sorted(by.items()) if a} for m, by in answers.items()}
    if missing := sorted(only - held.keys()):
        raise PoolError(f"no answers of {missing[0]!r} in {_list_paths(paths)}")
    few = {m: _too_few(m, len(by), _list_paths(paths)) for m, by in sorted(held.items()) if len(by) < FEWEST}
    if len(few) == len(held) or only & few.keys():
        raise PoolError(next(why for m, why in few.items() if not only or m in only))
    held = {m: by for m, by in held.items() if m not in few}
    ids = tuple(sorted({p for by in held.values() for p in by}))
    counted = {m: by for m, by in usage.items() if by and m in held}
    return Pool(ids, held, {p: texts[p] for p in ids if p in texts}, counted, (*unread, *few.values()))


def _take(
    row: RecordedAnswers, by_prompt: dict[str, Counter[str]], texts: dict[str, str], usage: dict[str, int]
) -> None:
    prompt = row.asked
    key = row.id or prompt_id(prompt)
    if prompt and prompt_id(texts.setdefault(key, prompt)) != prompt_id(prompt):
        raise PoolError(
            f"{row.place}: {key!r} names {prompt!r:.60} here and {texts[key]!r:.60} before: ids have to tell "
            "prompts apart. Without ids, prompts are told apart by their words"
        )
    held = by_prompt.setdefault(key, Counter())
    for answer in row.answers:
        output = without_reasoning(answer)[:LONGEST]
        if output:
            held[output] += 1
    tokens = row.row.get(TOKENS)
    if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
        usage[key] = tokens


def _too_few(model: str, prompts: int, where: str) -> str:
    if not prompts:
        return f"{model!r}: every answer is empty in {where}"
    return f"{model!r} answers {prompts} prompts in {where}; fewer than {FEWEST} compare nothing"


def _order_answers(answers: Mapping[str, int]) -> tuple[str, ...]:
    """Order several answers to one prompt independently of the file: the first of them is compared.

    An answer given nine times in ten comes first nine times in ten. Otherwise a model asked ten times would
    seem to differ from the same model asked once.
    """

    def place(text: str) -> bytes:
        raw = text.encode(errors="replace")
        return min(hashlib.sha256(b"%d\n" % number + raw).digest() for number in range(answers[text]))

    return tuple(sorted(answers, key=place))


def without_reasoning(text: str) -> str:
    """Return an answer without the reasoning that some models write before it.

    >>> without_reasoning("<think>Let me see.</think> Four.")
    'Four.'
    """
    if text.lstrip().startswith("<think>") and "</think>" in text:
        text = text.split("</think>", 1)[1]
    return text.strip()


def _list_paths(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths[:3]) + (" ..." if len(paths) > 3 else "")


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            found = sorted(file for file in path.iterdir() if is_recording(str(file)))
            if not found:
                raise PoolError(f"{path}: has no file that ends in {', '.join(SUFFIXES)}")
            yield from found
        elif not path.exists():
            raise PoolError(f"{path}: no such file")
        elif not is_recording(str(path)):
            raise PoolError(f"{path}: ends in {path.suffix or 'nothing'}; give {', '.join(SUFFIXES)}")
        else:
            yield path
