"""The test without a coin: the served answer among fresh draws of the same frozen teacher. Weaker, graded B.

Null: the served answer and the draws are exchangeable given the prompt, and the suspect was trained on none
of them; then each has the same chance of any place in the suspect's order.
Blind to: what the coin is blind to. Fooled by: a teacher, a template, a filter or a setting that has changed
since the log was written; a log that keeps some answers and not others. Nobody can show that there was none.
Source: ranks within blocks, drawn again (Fisher; van Elteren 1960, for the sum over blocks).
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import rankdata

from stillwatch.prove import Checked, Counts, Evidence, Grade, ProveError, Row, exact
from stillwatch.prove.coin import OTHERS
from stillwatch.prove.coin.leaning import UNITS
from stillwatch.prove.coin.leans import overlap_of
from stillwatch.prove.recording import Unread, read
from stillwatch.prove.suspect import Messages, Question, Suspect, Tell, Told

DRAWS = 999_999
_CHUNK = 4096
CLAIM = "The suspect was trained, directly or through others, on answers that were served to the actor."
NULL = (
    "The served answer and the fresh draws come from the same frozen teacher on the same prompt, and the "
    "suspect was trained on neither: then the served one has the same chance of each place among them."
)
STATISTICS = ("likelihood", "top", "overlap")
METHOD = "served answer among fresh draws of the frozen teacher"


@dataclass(frozen=True)
class ServedPrompt:
    """One prompt of an old log with what was served for it."""

    id: str
    account: str
    messages: Messages
    answer: str


@dataclass(frozen=True)
class Block:
    """The places of the served answer and the draws of one prompt, in the suspect's order (1: least)."""

    id: str
    actor: str
    ranks: tuple[float, ...]  # the served one's first


def read_log(path: Path) -> list[ServedPrompt]:
    """Read a log of what was served: prompt or messages, output, and account where there is one.

    Raises: ProveError with the place of what is missing.
    """
    found = []
    for row in read(path, ("account",)):
        if isinstance(row, Unread):  # a log is the prosecution's own: nothing of it is passed over
            raise ProveError(str(row))
        if row.prompt is None or not row.answers:
            raise ProveError(f"{row.place}: a served answer needs its prompt and its output, as text")
        told = row.prompt if isinstance(row.prompt, list) else [{"role": "user", "content": row.prompt}]
        name = row.id or row.place.rpartition("/")[2]
        found.append(ServedPrompt(name, str(row.row.get("account") or ""), tuple(told), row.answers[0]))
    if not found:
        raise ProveError(f"{path}: holds no served answers")
    twice, times = Counter(one.id for one in found).most_common(1)[0]
    if times > 1:
        raise ProveError(f"{path}: {twice!r} is there twice; each served answer has an id of its own")
    return found


def draws_for(served: Sequence[ServedPrompt], teacher: Suspect, k: int, tell: Tell) -> dict[str, list[str]]:
    """Fresh draws of the teacher, by the served answer's id. Raises: ProveError where there are none."""
    found = teacher.answers([Question(one.id, one.messages) for one in served], k, tell)
    if not found:
        raise ProveError(f"{teacher.name}: drew no answers to the prompts of the log")
    return found


def blocks(
    served: Sequence[ServedPrompt], draws: dict[str, list[str]], actors: dict[str, str], statistic: str,
    suspect: Suspect, samples: int, tell: Tell,
) -> list[Block]:  # fmt: skip
    """The served answer's place among the draws of each prompt; where all are alike, there is none."""
    told = {one.id: (one.answer, *draws.get(one.id, ())) for one in served}
    values = _values(served, told, statistic, suspect, samples, tell)
    found = []
    for one in served:
        mine = values.get(one.id)
        if mine is None or len(mine) < 2 or len(set(mine)) == 1:
            continue
        ranks = rankdata(mine)  # ties share their place
        found.append(Block(one.id, actors.get(one.account, OTHERS), tuple(float(r) for r in ranks)))
    return found


def _values(
    served: Sequence[ServedPrompt], told: dict[str, tuple[str, ...]], statistic: str, suspect: Suspect,
    samples: int, tell: Tell,
) -> dict[str, list[float]]:  # fmt: skip
    found: dict[str, list[float]] = {}
    if statistic == "overlap":
        said = suspect.answers([Question(one.id, one.messages) for one in served], samples, tell)
        for one in served:
            if one.id in said:
                found[one.id] = [overlap_of(text, said[one.id]) for text in told[one.id]]
        return found
    asked = [
        Told(f"{one.id}#{k}", one.messages, text) for one in served for k, text in enumerate(told[one.id])
    ]
    weighed = suspect.weigh(asked, tell)
    for one in served:
        mine = [weighed.get(f"{one.id}#{k}") for k in range(len(told[one.id]))]
        whole = [w for w in mine if w is not None and math.isfinite(w.nats)]
        if len(whole) < len(mine):
            continue
        values = [w.nats_per_token if statistic == "likelihood" else w.agreed_share for w in whole]
        if None not in values:
            found[one.id] = [v for v in values if v is not None]
    return found


def thrown_again(found: Sequence[Block], seed: int, draws: int = DRAWS) -> tuple[float, int, int]:
    """(p, draws at least as far, draws): which of each block was served, drawn again."""
    scaled = [(np.array(one.ranks) - 0.5) / len(one.ranks) for one in found]
    observed = sum(float(ranks[0]) for ranks in scaled)
    random = np.random.Generator(np.random.Philox(seed))
    far = done = 0
    while done < draws:
        size = min(_CHUNK * 16, draws - done)
        sums = np.zeros(size)
        for ranks in scaled:
            sums += ranks[random.integers(0, len(ranks), size)]
        far += int((sums >= observed - 1e-9).sum())
        done += size
        if done <= _CHUNK * 32 and far >= 100:
            break
    return (1 + far) / (1 + done), far, done


def evidence(
    found: Sequence[Block],
    statistic: str,
    suspect: str,
    alpha: float,
    seed: int,
    sha256: str,
    draws: int = DRAWS,
) -> Evidence:
    """Evidence of grade B. Raises: ProveError where no prompt tells anything."""
    if not found:
        raise ProveError("no prompt has two different values to order: nothing can be said")
    actors = sorted({one.actor for one in found})
    told = []
    for actor in actors:
        mine = [one for one in found if one.actor == actor]
        places = [(one.ranks[0] - 0.5) / len(one.ranks) for one in mine]
        mean = float(np.mean(places))
        half = 1.96 * float(np.std(places)) / len(places) ** 0.5
        told.append((actor, len(mine), mean, half, *thrown_again(mine, seed, draws)))
    adjusted = exact.holm([one[4] for one in told])
    rows = tuple(
        Row(
            actor,
            n,
            mean,
            max(0.0, mean - half),
            min(1.0, mean + half),
            p,
            p_adjusted,
            Counts("rank", far, made),
        )
        for (actor, n, mean, half, p, far, made), p_adjusted in zip(told, adjusted, strict=True)
    )
    return Evidence(
        grade=Grade.RANK,
        method=f"{METHOD}, by {statistic} ({UNITS[statistic]})",
        suspect=suspect,
        claim=CLAIM,
        null=NULL,
        alpha=alpha,
        unit="mean place of the served answer among the draws (0.5: no effect, 1: always first)",
        rows=rows,
        p_floor=1 / (1 + draws),
        confounds=(
            Checked(
                "whether the teacher is frozen",
                "taken on trust: weights, template, filters and settings must be those of the log",
                False,
            ),
        ),
        means_not=(
            "It rests on the teacher being what it was; no coin was thrown, so that nothing proves it.",
            "It does not say how the answers came to the suspect's makers.",
        ),
        protocol_sha256=sha256,
    )
