"""How far a suspect leans to one of two answers: by likelihood, by its own first tokens, or by free text.

Every statistic changes its sign when the two answers change places; none is told which was served.
Fooled by: nothing here can make a p-value small. A statistic that misses what a student took on only makes
the test weaker.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stillwatch.prove import ProveError
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leans import foretold as foretold
from stillwatch.prove.coin.leans import overlap as overlap
from stillwatch.prove.suspect import AnswerLikelihood, Question, Suspect, Tell, Told

NEEDS = {"likelihood": "likelihood", "top": "top", "overlap": "answers"}
UNITS = {
    "likelihood": "nats a token",
    "top": "share of the tokens",
    "overlap": "share of the words in a row that only one answer has",
}


def statistic_for(wanted: str | None, suspect: Suspect, base: Suspect | None) -> str:
    """The statistic that is asked for, else the strongest that the suspect offers.

    Raises: ProveError where it does not offer what is asked for.
    """
    offers = suspect.offers if base is None else suspect.offers & base.offers
    for name, need in NEEDS.items():
        if wanted in (None, name) and need in offers:
            return name
    raise ProveError(
        f"{suspect.name}: offers no {NEEDS.get(wanted or '', 'answers')}; "
        + (
            f"it can be tested by {', '.join(n for n, need in NEEDS.items() if need in offers)}"
            if offers
            else ""
        )
    )


class Kept:
    """Leans that were measured already, a JSON line each, so that a run that was stopped goes on."""

    def __init__(self, path: Path, marks: dict[str, str]) -> None:
        """`marks`: what the leans hang on. Raises: ProveError where the file is of something else."""
        self.path = path
        self.values: dict[str, Any] = {}
        head = json.dumps(marks, sort_keys=True)
        try:
            self._open(path, head)
        except OSError as why:
            raise ProveError(f"{path}: cannot be used: {why.strerror}") from why

    def _open(self, path: Path, head: str) -> None:
        if path.exists():
            lines = path.read_text("utf-8", "replace").split("\n")
            if lines[0] != head:
                raise ProveError(
                    f"{path}: holds what another suspect, base or statistic said; name another --out"
                )
            for at, line in enumerate(lines[1:-1], 2):  # what a kill left torn stands last
                try:
                    name, value = json.loads(line)
                except (ValueError, TypeError):
                    raise ProveError(
                        f"{path}:{at}: is no lean; take the line out, it is measured anew"
                    ) from None
                self.values[str(name)] = value
            path.write_text("\n".join(lines[:-1]) + "\n", "utf-8")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(head + "\n", "utf-8")

    def add(self, values: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.writelines(json.dumps([name, value]) + "\n" for name, value in values.items())
                file.flush()
                os.fsync(file.fileno())
        except OSError as why:
            raise ProveError(f"{self.path}: cannot be written: {why.strerror}; what is there stays") from why
        self.values |= values


def measure_pairs(
    puts: Sequence[Put], statistic: str, suspect: Suspect, samples: int, tell: Tell
) -> dict[str, Any]:
    """What a suspect makes of each pair: its texts for `overlap`, else a value of each answer.

    None where it says nothing of the pair.
    """
    if statistic == "overlap":
        asked = {json.dumps(put.messages): Question(put.id, put.messages) for put in puts}  # each prompt once
        said = suspect.answers(list(asked.values()), samples, tell)
        return {put.id: said.get(asked[json.dumps(put.messages)].id) or None for put in puts}
    weighed = _values(puts, statistic, suspect, tell)
    return {put.id: weighed.get(put.id) for put in puts}


def lean(
    puts: Sequence[Put], statistic: str, suspect: Suspect, base: Suspect | None, samples: int, tell: Tell
) -> dict[str, float | None]:
    """The lean to the first answer over the second of each pair; None where the suspect says nothing of it.

    `base`: what leans as the suspect did before it was taught, or as its teacher does. Its lean is taken off
    as far as it foretells the suspect's in these pairs.
    """
    if statistic == "overlap":
        mine = _overlaps(puts, suspect, samples, tell)
        before = {} if base is None else _overlaps(puts, base, samples, tell)
    else:
        mine = _weigh_answers(puts, statistic, suspect, tell)
        before = {} if base is None else _weigh_answers(puts, statistic, base, tell)
    if base is None:
        return {put.id: mine.get(put.id) for put in puts}
    share = foretold([(mine[name], before[name]) for name in mine if name in before])
    return {
        put.id: mine[put.id] - share * before[put.id] if put.id in mine and put.id in before else None
        for put in puts
    }


def _weigh_answers(puts: Sequence[Put], statistic: str, suspect: Suspect, tell: Tell) -> dict[str, float]:
    return {name: one - other for name, (one, other) in _values(puts, statistic, suspect, tell).items()}


def _values(
    puts: Sequence[Put], statistic: str, suspect: Suspect, tell: Tell
) -> dict[str, tuple[float, float]]:
    told = [
        Told(f"{put.id}#{slot}", put.messages, put.pair.answers[slot].text) for put in puts for slot in (0, 1)
    ]
    weighed = suspect.weigh(told, tell)
    found: dict[str, tuple[float, float]] = {}
    for put in puts:
        one, other = (_value(weighed.get(f"{put.id}#{slot}"), statistic) for slot in (0, 1))
        if one is not None and other is not None:
            found[put.id] = (one, other)
    return found


def _value(weighed: AnswerLikelihood | None, statistic: str) -> float | None:
    if weighed is None or not math.isfinite(weighed.nats):  # half floats overflow: no number, no lean
        return None
    return weighed.nats_per_token if statistic == "likelihood" else weighed.agreed_share


def _overlaps(puts: Sequence[Put], suspect: Suspect, samples: int, tell: Tell) -> dict[str, float]:
    asked = {json.dumps(put.messages): Question(put.id, put.messages) for put in puts}  # each prompt once
    said = suspect.answers(list(asked.values()), samples, tell)
    found: dict[str, float] = {}
    for put in puts:
        texts = said.get(asked[json.dumps(put.messages)].id)
        if texts:
            one, other = (answer.text for answer in put.pair.answers)
            found[put.id] = sum(overlap(text, one, other) for text in texts) / len(texts)
    return found


def in_batches(puts: Sequence[Put], size: int) -> Iterator[Sequence[Put]]:
    for at in range(0, len(puts), size):
        yield puts[at : at + size]
