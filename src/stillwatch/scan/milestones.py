"""Sizes of published training sets that were enough for a student."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Milestone:
    exchanges: int
    name: str


# Sizes of published training sets that were enough for a student (docs/field.md, "How much is damage").
S1K = Milestone(1_000, "s1K")  # arXiv 2501.19393; LIMO, arXiv 2502.03387, had 817
SKY_T1 = Milestone(17_000, "Sky-T1")  # NovaSky, January 2025
ALPACA = Milestone(52_000, "Alpaca")  # Stanford, March 2023
OPEN_THOUGHTS = Milestone(114_000, "OpenThoughts")  # OpenThoughts-114k, January 2025
R1_STUDENTS = Milestone(800_000, "R1 students")  # DeepSeek-R1, arXiv 2501.12948, section 2.4
MILESTONES = (S1K, SKY_T1, ALPACA, OPEN_THOUGHTS, R1_STUDENTS)
