"""Which of a teacher's answers a student should see: filters that each say how many they dropped, and why."""

from dataclasses import dataclass


@dataclass(frozen=True)
class DroppedAnswer:
    """One answer that a filter dropped."""

    id: str
    sample: int
    reason: str
