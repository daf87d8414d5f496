"""The wording that prompts of several accounts have in common and prompts of others have not: with masks.

Null: none; it shows a person what the detectors weighed, and proves nothing.
Blind to: wording that is paraphrased for each prompt, and scripts written without spaces.
Fooled by: a common program's own prompt, which the sample of others happens not to hold.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

RUN = 6  # words: as long as an indicator's opening
LEAST_WORDS = 4  # of a run: signs of maths or code alone say nothing
MOST = 5  # templates
LONGEST = 60  # words of a template
_WORD = re.compile(r"https?://\S+|\w+(?:['’]\w+)*|([^\w\s])\1*")
_GOES_ON = 0.8  # share of its prompts that a template's next word must be in


@dataclass(frozen=True)
class WordingTemplate:
    """Words that several accounts send; numbers, links and long ids are masked."""

    text: str
    accounts: int
    prompts: int  # of the sample
    sample: int  # how many prompts that is
    elsewhere: int  # accounts of others in whose sample it is


def mask(prompt: str) -> list[str]:
    """Give a prompt's words with what changes masked.

    >>> mask("Solve task 17 at https://a.example/x: go")
    ['Solve', 'task', '<number>', 'at', '<link>', 'go']
    """
    return [
        "<link>" if "://" in word
        else "<number>" if word[0].isdigit()
        else "<blob>" if len(word) > 40
        else word
        for word in (found[0] for found in _WORD.finditer(prompt))
    ]  # fmt: skip


def templates(
    ours: Sequence[tuple[str, str]], others: Sequence[tuple[str, str]]
) -> tuple[WordingTemplate, ...]:
    """Give the templates of (account, prompt) pairs, those of most accounts first."""
    texts = [(account, mask(prompt)) for account, prompt in ours]
    beside = _carriers([(account, mask(prompt)) for account, prompt in others])
    carriers = _carriers(texts)
    least = min(2, len({account for account, _ in texts}))
    usable = {
        run: who
        for run, who in carriers.items()
        if len(who) >= least
        and len(who) > 2 * len(beside.get(run, ()))
        and sum(word.isalpha() for word in run) >= LEAST_WORDS
    }
    found: list[WordingTemplate] = []
    covered: set[tuple[str, ...]] = set()
    for run in sorted(usable, key=lambda run: (-len(usable[run]), run)):
        if run in covered:
            continue
        mine = [words for _, words in texts if _at(words, run) >= 0]
        whole = _extend(run, mine)
        runs = {whole[k : k + RUN] for k in range(len(whole) - RUN + 1)}
        if not runs & covered:
            elsewhere = len(beside.get(run, ()))
            found.append(
                WordingTemplate(_join_words(whole), len(usable[run]), len(mine), len(texts), elsewhere)
            )
        covered |= runs
        if len(found) == MOST:
            break
    return tuple(found)


def _carriers(texts: Sequence[tuple[str, list[str]]]) -> dict[tuple[str, ...], set[str]]:
    found: dict[tuple[str, ...], set[str]] = {}
    for account, words in texts:
        for k in range(len(words) - RUN + 1):
            found.setdefault(tuple(words[k : k + RUN]), set()).add(account)
    return found


def _at(words: Sequence[str], run: tuple[str, ...]) -> int:
    for k in range(len(words) - RUN + 1):
        if tuple(words[k : k + RUN]) == run:
            return k
    return -1


def _extend(run: tuple[str, ...], texts: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Let a run grow both ways as long as most of its prompts go on with one word."""
    places = [(words, _at(words, run)) for words in texts]
    whole = list(run)
    for step in (1, -1):
        reach = RUN if step == 1 else -1
        while len(whole) < LONGEST:
            ahead = Counter(
                words[at + reach] for words, at in places if 0 <= at + reach < len(words)
            ).most_common(1)
            if not ahead or ahead[0][1] < _GOES_ON * len(places):
                break
            whole.insert(len(whole) if step == 1 else 0, ahead[0][0])
            reach += step
    return tuple(whole)


def _join_words(words: Sequence[str]) -> str:
    return re.sub(r" ([.,;:!?)\]}'])", r"\1", re.sub(r"([(\[{]) ", r"\1", " ".join(words)))
