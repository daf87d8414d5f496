"""A logits processor for `generate` of transformers that marks what a model writes.

    model.generate(..., do_sample=True, logits_processor=[MarkingProcessor(mark, temperature=0.8)])

`generate` applies its own temperature and cuts afterwards, so they are given here, too: the key chooses among
what they leave. It needs torch, which every caller of `generate` has.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from stillwatch.watermark import Mark, MarkError
from stillwatch.watermark.choosing import choose_token


def remaining_probabilities(
    logits: npt.NDArray[np.float64], temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0
) -> npt.NDArray[np.float64]:
    """Return the probabilities after temperature and cuts, as samplers do; they need not sum to one.

    logits: (vocabulary,). Raises: MarkError for settings that leave no token.
    """
    if temperature <= 0:
        raise MarkError(f"temperature is {temperature}: where the likeliest is taken, no mark can be put in")
    if not 0 < top_p <= 1 or top_k < 0:
        raise MarkError(
            f"top_p is {top_p} and top_k is {top_k}; top_p lies above 0 and up to 1, top_k from 0"
        )
    scaled = logits / temperature
    p = np.exp(scaled - scaled.max())
    if 0 < top_k < len(p):
        p[p < np.partition(p, -top_k)[-top_k]] = 0
    p /= p.sum()
    if top_p < 1:
        order = np.argsort(-p, kind="stable")
        before = np.cumsum(p[order]) - p[order]
        p[order[1:][before[1:] >= top_p]] = 0
    return p


class MarkingProcessor:
    """Leaves the token that the key chooses, or all if the sampler chooses. Create one per call of
    `generate`.

    marks: one for all rows, or one per row; a row with None is not marked. With several keys each row draws
    one.
    Raises: MarkError for beam search and the like, which reorder rows, and for settings as
    `remaining_probabilities` does.
    """

    def __init__(
        self,
        marks: Mark | Sequence[Mark | None],
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        chance: Callable[[], float] = random.random,
    ) -> None:
        remaining_probabilities(np.zeros(2), temperature, top_k, top_p)
        self._marks = marks
        self._cuts = (temperature, top_k, top_p)
        self._chance = chance
        self._of_rows: list[Mark | None] | None = None
        self._asked: Any = None  # the ids of the first call: the prompts

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        """input_ids: (rows, tokens so far); scores: (rows, vocabulary)."""
        if self._asked is None:
            self._asked = input_ids
        start = self._asked.shape[1]
        if len(input_ids) != len(self._asked) or input_ids.shape[1] < start:
            raise MarkError("one processor is for one call of generate; make another for the next")
        if not bool((input_ids[:, :start] == self._asked).all()):
            raise MarkError("the rows have changed places: a mark needs sampling, not beam search")
        if self._of_rows is None:
            marks = [self._marks] * len(input_ids) if isinstance(self._marks, Mark) else list(self._marks)
            self._of_rows = [mark and mark.of_answer(self._chance) for mark in marks]
        marks = self._of_rows
        if len(marks) != len(input_ids):
            raise MarkError(f"{len(marks)} marks for {len(input_ids)} rows")
        plain = scores.detach().double().cpu().numpy()
        out = scores.clone()
        for row, mark in enumerate(marks):
            if mark is None:
                continue
            token = choose_token(
                mark,
                remaining_probabilities(plain[row], *self._cuts),
                input_ids[row, start:].tolist(),
                self._chance,
            )
            if token is not None:
                out[row] = float("-inf")
                out[row, token] = 0.0
        return out
