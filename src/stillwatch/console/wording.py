"""Finds wording that prompts of several accounts share and other accounts' do not, with masks.

Null: none; it shows a person what the detectors weighed, and proves nothing.
Blind to: wording that is paraphrased for each prompt, and scripts written without spaces.
Fooled by: a common program's own prompt that the sample of others happens to lack.
"""

import re
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass

RUN = 6  # words: as long as an indicator's opening
LEAST_WORDS = 4  # in a run: signs of maths or code alone mean nothing
MOST = 5  # templates
EXAMPLES = 3  # prompts of each
LONGEST = 60  # words of a template
Run = tuple[str, ...]  # consecutive words
Place = tuple[Sequence[str], int]  # the words of a text, and a position in them
_WORD = re.compile(r"https?://\S+|\w+(?:['’]\w+)*|([^\w\s])\1*")
_GOES_ON = 0.8  # share of its prompts in which a template's next word must occur


@dataclass(frozen=True)
class WordingTemplate:
    """Words that several accounts send; numbers, links and long ids are masked."""

    text: str
    accounts: int
    prompts: int  # of the sample
    sample: int  # size of the sample
    elsewhere: int  # other accounts in whose sample it occurs
    examples: tuple[tuple[str, str], ...] = ()  # (account, prompt) with it, each of another account


def mask(prompt: str) -> list[str]:
    """Return a prompt's words with variable parts masked.

    >>> mask("Solve task 17 at https://a.example/x: go")
    ['Solve', 'task', '<number>', 'at', '<link>', 'go']
    """
    return [
        "<link>" if "://" in word
        else "<number>" if word[0].isdigit()
        else "<blob>" if len(word) > 40
        else word
        for word in (matched[0] for matched in _WORD.finditer(prompt))
    ]  # fmt: skip


def templates(
    ours: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]
) -> tuple[WordingTemplate, ...]:
    """Return the templates of (account, prompt) pairs, those of most accounts first."""
    texts = [(account, mask(prompt)) for account, prompt in ours]
    least_accounts = min(2, len({account for account, _ in texts}))
    accounts_of_run = _accounts_of_runs(texts, least_accounts)
    beside = _accounts_of_runs([(account, mask(prompt)) for account, prompt in others], 1, accounts_of_run)
    usable = {
        run: who
        for run, who in accounts_of_run.items()
        if len(who) > 2 * len(beside.get(run, ())) and sum(word.isalpha() for word in run) >= LEAST_WORDS
    }
    places = _places_of_runs(texts, usable)
    whole = {id(words): pair for (_, words), pair in zip(texts, ours, strict=True)}
    templates_found: list[WordingTemplate] = []
    covered: set[Run] = set()
    for run in sorted(usable, key=lambda run: (-len(usable[run]), run)):
        if run in covered:
            continue
        wording = _extend_run(run, places[run])
        runs = set(_runs_of(wording))
        if not runs & covered:
            elsewhere, count = len(beside.get(run, ())), len(places[run])
            templates_found.append(
                WordingTemplate(
                    _join_words(wording),
                    len(usable[run]),
                    count,
                    len(texts),
                    elsewhere,
                    tuple(dict(whole[id(words)] for words, _ in reversed(places[run])).items())[-EXAMPLES:],
                )
            )
        covered |= runs
        if len(templates_found) == MOST:
            break
    return tuple(templates_found)


def _runs_of(words: Sequence[str]) -> Iterator[Run]:
    return zip(*(words[k:] for k in range(RUN)), strict=False)


def _accounts_of_runs(
    texts: Sequence[tuple[str, list[str]]], least: int, among: Container[Run] | None = None
) -> dict[Run, set[str]]:
    """Return the senders of each run with at least this many (1 or 2)."""
    first: dict[Run, str] = {}  # most runs have one account: they get no set
    accounts_by_run: dict[Run, set[str]] = {}
    for account, words in texts:
        for run in _runs_of(words):
            if among is not None and run not in among:
                continue
            first_account = first.setdefault(run, account)
            if first_account != account or least < 2:
                accounts_by_run.setdefault(run, {first_account}).add(account)
    return accounts_by_run


def _places_of_runs(texts: Sequence[tuple[str, list[str]]], runs: Container[Run]) -> dict[Run, list[Place]]:
    """Return the texts that contain each run, with its first position in each."""
    places_by_run: dict[Run, list[Place]] = {}
    for _, words in texts:
        for position, run in enumerate(_runs_of(words)):
            if run in runs and (
                (places_here := places_by_run.setdefault(run, [])) == [] or places_here[-1][0] is not words
            ):
                places_here.append((words, position))
    return places_by_run


def _extend_run(run: Run, places: Sequence[Place]) -> tuple[str, ...]:
    """Extend a run in both directions while most of its prompts continue with the same word."""
    extended = list(run)
    for step in (1, -1):
        reach = RUN if step == 1 else -1
        while len(extended) < LONGEST:
            ahead = Counter(
                words[position + reach] for words, position in places if 0 <= position + reach < len(words)
            ).most_common(1)
            if not ahead or ahead[0][1] < _GOES_ON * len(places):
                break
            extended.insert(len(extended) if step == 1 else 0, ahead[0][0])
            reach += step
    return tuple(extended)


def _join_words(words: Sequence[str]) -> str:
    return re.sub(r" ([.,;:!?)\]}'])", r"\1", re.sub(r"([(\[{]) ", r"\1", " ".join(words)))
