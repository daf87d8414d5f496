"""Compares tokenizers by the token counts that an endpoint reports for prompts.

Chat templates add the same number to every prompt, so differences between prompts are compared. An endpoint
can report any number: agreement is only a hint, and so is disagreement.

Blind to: tokenizers that split these prompts in the same way. Fooled by: forged or rounded usage. Source:
llm-provenance-probe 0.41 uses the same numbers; that template overheads cancel was measured for 27 tokenizers
(docs/provenance.md).
"""

from collections.abc import Mapping
from dataclasses import dataclass

FEWEST = 8


@dataclass(frozen=True)
class Shape:
    """The suspect's token counts compared with one reference's."""

    reference: str
    prompts: int
    agree: int  # prompts whose count differs from the reference's by the usual difference
    overhead: int  # the usual difference, in tokens

    @property
    def same(self) -> bool:
        """Whether all of them agree."""
        return self.agree == self.prompts


def shapes(own: Mapping[str, int], others: Mapping[str, Mapping[str, int]]) -> tuple[Shape, ...]:
    """Compare counts with each reference that has enough of them; the best agreement first.

    >>> mine = {str(i): 10 + i for i in range(8)}
    >>> [one.same for one in shapes(mine, {"a": {str(i): 13 + i for i in range(8)}})]
    [True]
    """
    found = []
    for name, counts in others.items():
        differences = [own[p] - counts[p] for p in sorted(own.keys() & counts.keys())]
        if len(differences) < FEWEST:
            continue
        usual = max(set(differences), key=lambda d: (differences.count(d), -abs(d), d))
        found.append(Shape(name, len(differences), differences.count(usual), usual))
    return tuple(sorted(found, key=lambda shape: (-shape.agree / shape.prompts, shape.reference)))
