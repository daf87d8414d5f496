"""Grades how far a number meets a condition, without a sharp threshold."""


def grade(value: float, nothing_at: float, full_at: float) -> float:
    """Rise from 0 at `nothing_at` to 1 at `full_at`; the second may be the smaller one.

    >>> grade(0.9, 0.5, 1.0), grade(3, 10, 5), grade(20, 10, 5)
    (0.8, 1.0, 0.0)
    """
    return min(1.0, max(0.0, (value - nothing_at) / (full_at - nothing_at)))


def weakest(*grades: float) -> float:
    """Combine conditions that are all needed: the result is the weakest.

    >>> weakest(0.9, 0.4, 1.0)
    0.4
    """
    return min(grades)
