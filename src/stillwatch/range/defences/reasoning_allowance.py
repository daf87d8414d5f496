"""An allowance for reasoning models only: a daily number of their output tokens; other models are unlimited.

A harvest of reasoning traces takes only these, and most honest heavy use takes few of them: such an allowance
can be half as large without refusing more. A model counts as reasoning if it gave reasoning tokens on a clean
day, or appeared later. In the policy it is `[[limits.models]]`.

Null: as `allowance`, of reasoning models' tokens.
Blind to: as `allowance`; and everything taken from models that do not reason.
Fooled by: as `allowance`; a log without reasoning tokens, where every model of the clean days is unlimited.
Source: own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from stillwatch.range.defences import Accusation
from stillwatch.range.defences.allowance import AllowanceWatch, judge
from stillwatch.range.defences.hours import before, record
from stillwatch.terms import window

__all__ = ["NAME", "ReasoningAllowanceWatch", "judge", "open_watch"]

NAME = "reasoning_allowance"
# of the accounts seen in the clean days have no busier day: a tighter share than in `allowance`
USUAL = 0.98


@dataclass
class ReasoningAllowanceWatch(AllowanceWatch):
    """A running allowance that counts only some models."""

    share: float = USUAL
    _known: set[str | None] = field(default_factory=set)  # models of the clean days
    _reason: set[str | None] = field(default_factory=set)
    _taken: dict[tuple[str, int, str | None], int] = field(default_factory=dict)  # account, block, model

    def step(self, exchanges: pa.Table, until_us: int) -> Sequence[Accusation]:
        """Learn from the clean days; accuses nobody."""
        clean = before(exchanges, self.clean_until_us)
        if clean.num_rows:
            table = record(clean)
            names = ("time", "account", "model", "output_tokens", "reasoning_tokens")
            columns = (table[name].cast(pa.int64()) if name == "time" else table[name] for name in names)
            rows = zip(*(c.to_pylist() for c in columns), strict=True)
            for at_us, account, model, tokens, reasoning in rows:
                self._known.add(model)
                if reasoning:
                    self._reason.add(model)
                if reasoning:
                    self._longest = max(self._longest, tokens or 0)
                at = account, at_us // window.BLOCK_US, model
                self._taken[at] = self._taken.get(at, 0) + (tokens or 0)
        return ()

    def counts(self, model: str | None) -> bool:
        """Return whether the allowance applies to this model."""
        return model in self._reason or model not in self._known

    def answered(self, account: str, at_us: int, output_tokens: int, model: str | None = None) -> None:
        """Count an answer's tokens, if its model reasons. Clean days are learned in `step`."""
        if at_us >= self.clean_until_us and self.counts(model):
            super().answered(account, at_us, output_tokens)

    def refused_until_us(self, account: str, at_us: int, model: str | None = None) -> int | None:
        """Return until when, if the allowance applies to the model."""
        return super().refused_until_us(account, at_us) if self.counts(model) else None

    def busiest(self) -> dict[str, int]:
        """Each account's busiest clean day, in output tokens of models that reason."""
        for (account, block, model), tokens in self._taken.items():
            blocks = self._clean.setdefault(account, {})
            blocks[block] = blocks.get(block, 0) + tokens * (model in self._reason)
        self._taken.clear()
        return super().busiest()


def open_watch(
    accounts: pa.Table | None, clean_until_us: int, seed: int, dial: float
) -> ReasoningAllowanceWatch:
    """Start a watch. The false-positive budget does not matter, since it makes no case."""
    return ReasoningAllowanceWatch(clean_until_us)
