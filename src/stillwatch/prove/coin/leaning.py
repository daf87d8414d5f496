"""Measures how far a suspect leans to one of two answers: by likelihood, own first tokens, or own text.

Every statistic changes its sign when the two answers change places; none of them knows which was served.
Fooled by: nothing here can make a p-value small. A statistic that misses what a student learned only makes
the test weaker.
"""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stillwatch.errors import refuse_os_errors
from stillwatch.prove import ProveError
from stillwatch.prove.coin import PLACES
from stillwatch.prove.coin.choosing import Put
from stillwatch.prove.coin.leans import CONTINUATIONS, RATIO, STATISTICS, cuts, leans, valued
from stillwatch.prove.coin.leans import foretold as foretold
from stillwatch.prove.coin.leans import overlap as overlap
from stillwatch.prove.suspect import AnswerLikelihood, BegunAnswer, Question, Suspect, Tell, Told

NEEDS = {
    "likelihood": "likelihood", "top": "top", "continuation": "continuations", "overlap": "answers",
    "continuation-by-prompt": "answers", RATIO: "continuations",
}  # fmt: skip
NO_PREFILL = (
    "nothing says that it takes the beginning of an answer to go on from. At an endpoint that does, name "
    "how: --prefill; a file needs the outputs to `stillwatch prove questions`; else --statistic "
    "continuation-by-prompt"
)
UNITS = {
    "likelihood": "nats a token",
    "top": "share of the tokens",
    **dict.fromkeys(CONTINUATIONS, "words of an answer that are said next, in a row"),
    RATIO: "nats for having learned an answer, of the words that are said next",
    "overlap": "share of the words in a row that only one answer has",
}


def statistic_for(
    wanted: str | None, suspect: Suspect, base: Suspect | None, among: Sequence[str] = STATISTICS
) -> str:
    """Return the requested statistic, or the strongest that the suspect offers.

    Raises: ProveError if the suspect does not offer the requested one.
    """
    offers = suspect.offers if base is None else suspect.offers & base.offers
    could = [name for name, need in NEEDS.items() if need in offers and name in among and name != RATIO]
    if RATIO in among and base is not None and "chances" in base.offers and NEEDS[RATIO] in suspect.offers:
        could.append(RATIO)
    for name in could:
        if wanted in (None, name):
            return name
    if wanted == "continuation" and "answers" in offers:
        raise ProveError(f"{suspect.name}: {NO_PREFILL}")
    raise ProveError(
        f"{suspect.name}: offers no {NEEDS.get(wanted or '', 'answers')}; "
        + (f"it can be tested by {', '.join(could)}" if could else "")
    )


class Kept:
    """Leans measured earlier, one JSON line each, so that a stopped run can continue."""

    def __init__(self, path: Path, marks: dict[str, str]) -> None:
        """`marks`: what the leans depend on. Raises: ProveError if the file belongs to another test."""
        self.path = path
        self.values: dict[str, Any] = {}
        head = json.dumps(marks, sort_keys=True)
        with refuse_os_errors(ProveError, f"{path}: cannot be used"):
            self._open(path, head)

    def _open(self, path: Path, head: str) -> None:
        if path.exists():
            lines = path.read_text("utf-8", "replace").split("\n")
            if lines[0] != head:
                raise ProveError(
                    f"{path}: holds what another suspect, base or statistic said; name another --out"
                )
            for at, line in enumerate(lines[1:-1], 2):  # a line torn by a kill is the last one
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
        refused = refuse_os_errors(ProveError, f"{self.path}: cannot be written", "what is there stays")
        with refused, self.path.open("a", encoding="utf-8") as file:
            file.writelines(json.dumps([name, value]) + "\n" for name, value in values.items())
            file.flush()
            os.fsync(file.fileno())
        self.values |= values


@dataclass(frozen=True)
class TextSampling:
    """How much text a statistic of texts reads."""

    samples: int = 1  # of each question
    places: int = PLACES  # in each answer


def measure_pairs(
    puts: Sequence[Put],
    statistic: str,
    suspect: Suspect,
    reading: TextSampling,
    tell: Tell,
    *,
    as_base: bool = False,
) -> dict[str, Any]:
    """Measure what a suspect does with each pair, in the form that `leans.valued` reads. None without data.

    Its texts for `overlap`; its text after each cut for a continuation; otherwise a value of each answer.
    """
    if statistic == RATIO and as_base:
        return _chances(puts, suspect, tell)
    if statistic == "overlap":
        # each prompt once
        questions = {json.dumps(put.messages): Question(put.id, put.messages) for put in puts}
        answers = suspect.answers(list(questions.values()), reading.samples, tell)
        return {put.id: answers.get(questions[json.dumps(put.messages)].id) or None for put in puts}
    if statistic in CONTINUATIONS:
        begun = begun_answers(puts, statistic, reading.places)
        every = [answer for of_pair in begun.values() for answer in of_pair.values()]
        heard = suspect.continuations(every, reading.samples, tell)
        found = {
            pair: {name: heard[answer.id] for name, answer in of_pair.items() if answer.id in heard}
            for pair, of_pair in begun.items()
        }
        return {pair: answers if answers or not begun[pair] else None for pair, answers in found.items()}
    weighed = _values(puts, statistic, suspect, tell)
    return {put.id: weighed.get(put.id) for put in puts}


def _chances(puts: Sequence[Put], base: Suspect, tell: Tell) -> dict[str, Any]:
    """Return how likely each token of both answers is to a base; None if it cannot weigh one of them."""
    rows = [
        Told(f"{put.id}#{slot}", put.messages, put.pair.answers[slot].text) for put in puts for slot in (0, 1)
    ]
    found: dict[str, Any] = base.token_chances(rows, tell)  # type: ignore[attr-defined]  # it offers "chances"
    both = {put.id: [found.get(f"{put.id}#{slot}") for slot in (0, 1)] for put in puts}
    return {pair: None if None in two else two for pair, two in both.items()}


def begun_answers(puts: Sequence[Put], statistic: str, places: int) -> dict[str, dict[str, BegunAnswer]]:
    """Return, by pair and cut, the beginnings that the suspect is asked to continue. Coins are not used."""
    prompted = statistic == "continuation-by-prompt"
    return {
        put.id: {
            cut.name: BegunAnswer(f"{put.id}@{cut.name}", put.messages, cut.begun, prompted)
            for cut in cuts([answer.text for answer in put.pair.answers], places)
        }
        for put in puts
    }


def lean(
    puts: Sequence[Put],
    statistic: str,
    suspect: Suspect,
    base: Suspect | None,
    reading: TextSampling,
    tell: Tell,
) -> dict[str, float | None]:
    """Return each pair's lean to the first answer over the second; None if the suspect gives nothing for it.

    `base`: a model that leans as the suspect did before training, or as its teacher does. Its lean is
    subtracted as far as it predicts the suspect's in these pairs.
    """

    texts = {put.id: [answer.text for answer in put.pair.answers] for put in puts}
    by_base: dict[str, Any] = {}
    if base is not None:
        by_base = measure_pairs(puts, statistic, base, reading, tell, as_base=True)

    def values(readings: dict[str, Any], beside: dict[str, Any]) -> dict[str, tuple[float, float]]:
        found = {
            name: valued(statistic, reading_, texts[name], reading.samples, reading.places, beside.get(name))
            for name, reading_ in readings.items()
        }
        return {name: two for name, two in found.items() if two is not None}

    by_suspect = values(measure_pairs(puts, statistic, suspect, reading, tell), by_base)
    found = leans(by_suspect, None if base is None else values(by_base, {}))
    return {put.id: found.get(put.id) for put in puts}


def _values(
    puts: Sequence[Put], statistic: str, suspect: Suspect, tell: Tell
) -> dict[str, tuple[float, float]]:
    rows = [
        Told(f"{put.id}#{slot}", put.messages, put.pair.answers[slot].text) for put in puts for slot in (0, 1)
    ]
    weighed = suspect.weigh(rows, tell)
    found: dict[str, tuple[float, float]] = {}
    for put in puts:
        first, second = (_value(weighed.get(f"{put.id}#{slot}"), statistic) for slot in (0, 1))
        if first is not None and second is not None:
            found[put.id] = (first, second)
    return found


def _value(weighed: AnswerLikelihood | None, statistic: str) -> float | None:
    if weighed is None or not math.isfinite(weighed.nats):  # half floats overflow: no number, no lean
        return None
    return weighed.nats_per_token if statistic == "likelihood" else weighed.agreed_share


def in_batches(puts: Sequence[Put], size: int) -> Iterator[Sequence[Put]]:
    for at in range(0, len(puts), size):
        yield puts[at : at + size]
