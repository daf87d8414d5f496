"""The test without a coin: the served answer among fresh samples of the same frozen teacher. Weaker: grade B.

If the log has seeds and the teacher's weights are at hand, both are drawn by seeds. Then the served answers
come out again, which shows an unchanged teacher, and nobody chooses the fresh samples.

Null: the served answer and the samples are exchangeable given the prompt, and the suspect was trained on none
of them; then each had the same chance to be the one that was served. All ways are counted.
Blind to: what the coin test is blind to. Fooled by: a teacher, template, filter or setting that has changed
since the log was written; a log that keeps only some answers; seeds and prompts that were chosen.
Source: permutations within blocks (Fisher; van Elteren 1960, for the sum over blocks), by convolution.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from stillwatch.coin.seeded import seed_of
from stillwatch.prove import Checked, Evidence, Grade, ProveError, Row, exact
from stillwatch.prove.coin import OTHERS
from stillwatch.prove.coin.leaning import UNITS
from stillwatch.prove.coin.leans import block_tail, less_foretold, overlap_of
from stillwatch.prove.proof import CLAIM, FAIR
from stillwatch.prove.recording import Unread, read
from stillwatch.prove.suspect import Messages, Question, Suspect, Tell, Told
from stillwatch.stats.ranks import mean_ranks

NULL = (
    "The served answer and the fresh draws come from the same frozen teacher on the same prompt, and the "
    "suspect was trained on neither: then each of them had the same chance to be the one that was served."
)
STATISTICS = ("likelihood", "top", "overlap")
TAKEN_ON_TRUST = Checked(
    "whether the teacher is frozen",
    "taken on trust: weights, template, filters and settings must be those of the log",
    False,
)
CHOSEN = (
    Checked(
        "who chose prompts and seeds, and when",
        "the log is its owner's: nobody else dates it, and prompts whose answers suit could have been kept",
        False,
    ),
)
FEWEST_AGAIN = 0.9  # share of the served answers that must come out again; another teacher gives almost none
METHOD = "served answer among fresh draws of the frozen teacher"


@dataclass(frozen=True)
class ServedPrompt:
    """One prompt of an old log with what was served for it."""

    id: str
    account: str
    messages: Messages
    answer: str
    seed: int | None = None  # from which the teacher sampled it, if the log has it


@dataclass(frozen=True)
class Block:
    """The suspect's values for the answers to one prompt: the served one first, then the samples."""

    id: str
    actor: str
    values: tuple[float, ...]  # empty if the served answer did not come out again from its seed
    base: tuple[float, ...] = ()  # a base's values for the same answers

    @property
    def place(self) -> float:
        """Rank of the served answer among all, in [0, 1]; ties share their rank."""
        ranks = mean_ranks(self.values)
        return float((ranks[0] - 0.5) / len(ranks))


@runtime_checkable
class SeededTeacher(Protocol):
    """A teacher whose weights are available: it can generate an answer again from its seed."""

    name: str

    def seeded_answers(self, questions: Sequence[tuple[Messages, int]], tell: Tell) -> list[str | None]: ...


def read_log(path: Path) -> list[ServedPrompt]:
    """Read a log of served answers: prompt or messages, output, and account if known.

    Raises: ProveError with the place of what is missing.
    """
    found = []
    for row in read(path, ("account", "seed")):
        if isinstance(row, Unread):  # the log is the accuser's own, so that no row of it is skipped
            raise ProveError(str(row))
        if row.prompt is None or not row.answers:
            raise ProveError(f"{row.place}: a served answer needs its prompt and its output, as text")
        messages = row.prompt if isinstance(row.prompt, list) else [{"role": "user", "content": row.prompt}]
        name = row.id or row.place.rpartition("/")[2]
        seed = row.row.get("seed")
        if seed is not None and (isinstance(seed, bool) or not str(seed).lstrip("-").isdigit()):
            raise ProveError(f"{row.place}: its seed is {seed!r:.60}; a seed is a whole number")
        found.append(
            ServedPrompt(
                name, str(row.row.get("account") or ""), tuple(messages), row.answers[0],
                None if seed is None else int(seed),
            )
        )  # fmt: skip
    if not found:
        raise ProveError(f"{path}: holds no served answers")
    twice, times = Counter(answer.id for answer in found).most_common(1)[0]
    if times > 1:
        raise ProveError(f"{path}: {twice!r} is there twice; each served answer has an id of its own")
    return found


def draws_for(served: Sequence[ServedPrompt], teacher: Suspect, k: int, tell: Tell) -> dict[str, list[str]]:
    """Sample the teacher afresh, by the served answer's id. Raises: ProveError if there are none."""
    found = teacher.answers([Question(answer.id, answer.messages) for answer in served], k, tell)
    if not found:
        raise ProveError(f"{teacher.name}: drew no answers to the prompts of the log")
    return found


def seeded_draws(
    served: Sequence[ServedPrompt], teacher: SeededTeacher, k: int, log_sha256: str, tell: Tell
) -> tuple[dict[str, list[str]], frozenset[str]]:
    """Generate samples from seeds that the log fixes, and the served answers again from their own seeds.

    Anyone with log and weights gets the same. Raises: ProveError.
    """
    origin = bytes.fromhex(log_sha256)
    questions = [(answer.messages, answer.seed) for answer in served if answer.seed is not None]
    questions += [
        (answer.messages, seed_of(origin, answer.id, draw)) for answer in served for draw in range(1, k + 1)
    ]
    drawn_texts = teacher.seeded_answers(questions, tell)
    seeded = [answer for answer in served if answer.seed is not None]
    again = {
        answer.id
        for answer, text in zip(seeded, drawn_texts, strict=False)
        if text is not None and text.strip() == answer.answer.strip()
    }
    fresh = iter(drawn_texts[len(seeded) :])
    drawn = {answer.id: [next(fresh) for _ in range(k)] for answer in served}
    return {name: [t for t in texts if t is not None] for name, texts in drawn.items()}, frozenset(again)


def blocks(
    served: Sequence[ServedPrompt], draws: dict[str, list[str]], actors: dict[str, str], statistic: str,
    suspect: Suspect, samples: int, tell: Tell, again: frozenset[str] | None = None,
    base: Suspect | None = None,
) -> list[Block]:  # fmt: skip
    """Measure the suspect on the answers to each prompt; a prompt whose answers are all the same gives no
    block.

    again: the served answers that came out again, if they were generated again. Any other one counts as the
    worst, since leaving out unwelcome ones would be a choice. base: subtracted as far as it predicts.
    """
    texts = {answer.id: (answer.answer, *draws.get(answer.id, ())) for answer in served}
    values = _values(served, texts, statistic, suspect, samples, tell)
    before = {} if base is None else _values(served, texts, statistic, base, 1, tell)
    if base is not None:
        both = sorted(values.keys() & before.keys())
        left = less_foretold([values[name] for name in both], [before[name] for name in both])
        values = dict(zip(both, left, strict=True))
    found = []
    for answer in served:
        actor, mine = actors.get(answer.account, OTHERS), values.get(answer.id)
        if again is not None and answer.id not in again:
            found.append(Block(answer.id, actor, ()))
        elif mine is not None and len(set(mine)) > 1:
            found.append(Block(answer.id, actor, tuple(mine), tuple(before.get(answer.id, ()))))
    return found


def _values(
    served: Sequence[ServedPrompt], texts: dict[str, tuple[str, ...]], statistic: str, suspect: Suspect,
    samples: int, tell: Tell,
) -> dict[str, list[float]]:  # fmt: skip
    found: dict[str, list[float]] = {}
    if statistic == "overlap":
        answers = suspect.answers([Question(answer.id, answer.messages) for answer in served], samples, tell)
        for answer in served:
            if answer.id in answers:
                found[answer.id] = [overlap_of(text, answers[answer.id]) for text in texts[answer.id]]
        return found
    prompts_answered = [
        Told(f"{answer.id}#{k}", answer.messages, text)
        for answer in served
        for k, text in enumerate(texts[answer.id])
    ]
    weighed = suspect.weigh(prompts_answered, tell)
    for answer in served:
        weights = [weighed.get(f"{answer.id}#{k}") for k in range(len(texts[answer.id]))]
        finite = [w for w in weights if w is not None and math.isfinite(w.nats)]
        if len(finite) < len(weights):
            continue
        values = [w.nats_per_token if statistic == "likelihood" else w.agreed_share for w in finite]
        if None not in values:
            found[answer.id] = [v for v in values if v is not None]
    return found


def evidence(
    found: Sequence[Block],
    statistic: str,
    suspect: str,
    alpha: float,
    sha256: str,
    frozen: Checked = TAKEN_ON_TRUST,
    base: str = "",
) -> Evidence:
    """Evidence of grade B. Raises: ProveError if no prompt is informative."""
    if not any(block.values for block in found):
        raise ProveError("no prompt has two different values to order: nothing can be said")
    draws = max(len(block.values) for block in found) - 1
    tests = []
    for actor in sorted({block.actor for block in found}):
        of_actor = [block for block in found if block.actor == actor]
        measured = [block for block in of_actor if block.values]
        n, p = block_tail([block.values for block in measured], len(of_actor) - len(measured), draws)
        places = [block.place if block.values else 0.0 for block in of_actor]
        mean, half = float(np.mean(places)), 1.96 * float(np.std(places)) / len(places) ** 0.5
        tests.append((actor, n, mean, half, p))
    over = f", less what {base} foretells" if base else ""
    adjusted = exact.holm([test[4] for test in tests])
    rows = tuple(
        Row(actor, n, mean, max(0.0, mean - half), min(1.0, mean + half), p, p_adjusted)
        for (actor, n, mean, half, p), p_adjusted in zip(tests, adjusted, strict=True)
    )
    return Evidence(
        grade=Grade.RANK,
        method=f"{METHOD}, by {statistic} ({UNITS[statistic]}){over}",
        suspect=suspect,
        claim=CLAIM,
        null=NULL,
        alpha=alpha,
        unit="mean place of the served answer among the draws (0.5: no effect, 1: always first)",
        rows=rows,
        confounds=(frozen, *CHOSEN, *([_base_check(found, base)] if base else [])),
        means_not=(
            "It rests on the teacher being what it was; no coin was thrown, so that nothing proves it.",
            "It does not say how the answers came to the suspect's makers.",
        ),
        protocol_sha256=sha256,
    )


def _base_check(found: Sequence[Block], base: str) -> Checked:
    """A base learned nothing that was served: if it leans, prompts were chosen by their answers."""
    prompts_told, p = block_tail([block.base for block in found if block.base])
    return Checked(
        "whether prompts were chosen by what their answers are",
        f"{base} itself leans to the served answers of {prompts_told:,} prompts with p = {p:.2g}",
        p >= FAIR,
    )


def frozen_check(again: int, served: int) -> Checked:
    """Return what the served answers that came out again show about the teacher."""
    return Checked(
        TAKEN_ON_TRUST.what,
        f"{again:,} of {served:,} served answers come out again from their seeds, word for word; each of the "
        "others counts as the worst",
        again >= FEWEST_AGAIN * served,
    )
