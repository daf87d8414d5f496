"""The results of random interleavings, and the facts that were wrong afterwards."""

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Outcome:
    """Results of a run."""

    interleavings: int = 0
    did: Counter[str] = field(default_factory=Counter)
    not_confirmed: int = 0  # a command or the admin port reported: not in force everywhere yet
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        self.interleavings += other.interleavings
        self.did += other.did
        self.not_confirmed += other.not_confirmed
        self.wrong += other.wrong

    def __str__(self) -> str:
        did = ", ".join(f"{count:,} {what}" for what, count in sorted(self.did.items()))
        bad = Counter(text.partition(":")[0] for text in self.wrong)
        return (
            f"{self.interleavings} interleavings ({did}): {len(self.wrong)} facts wrong"
            f"{' ' + str(dict(bad)) if bad else ''}; {self.not_confirmed} answers said: not in force yet"
        )
