"""Reasoning traces on demand: the actor asks for the reasoning itself, not only for answers.

Null: an account's share of such requests is drawn from the population's.
Blind to: elicitation in other languages or words than the class lists, and traces given without asking.
Fooled by: "think step by step" in homework and tutoring. It is stated of alarmed actors only.
Source: docs/field.md, signals 2, 3 and 6 (Google 2026-02: over 100,000 prompts for reasoning traces).
"""

from collections.abc import Mapping

from stillwatch.detectors import Population, Statement, unusual_share

NAME = "trace_elicitation"


def state(subject: Mapping[str, float | int | None], population: Population) -> Statement | None:
    """Share of exchanges in the trace-elicitation class."""
    return unusual_share(
        subject,
        population,
        "trace_elicitation_share",
        0.15,
        "{actual} of {n} exchanges ask for the reasoning itself; 95 % of accounts stay below {p95}",
    )
