"""Leads as evidence of grade C: scores and examples. They do not change a verdict."""

from stillwatch.prove import Checked, Evidence, Grade, Row
from stillwatch.prove.leads.claims import SelfIdentification, claims
from stillwatch.prove.leads.rare import Shared, rare_phrases
from stillwatch.prove.pool import Pool
from stillwatch.prove.pool.checks import fit

SHOWN = 10
MEANS_NOT = (
    "A score is no probability. Measured on real models, thresholds on similarity accused between a quarter "
    "and all of the models that had nothing to do with the accused (docs/provenance.md).",
    "A lead says where to look. It supports no accusation, and no verdict rises above indeterminate by it.",
)


def rare_lead(pool: Pool, suspect: str) -> tuple[Evidence, tuple[Shared, ...]]:
    """Return phrases that one model alone shares with the suspect. Raises: PoolError."""
    fitted = fit(pool, suspect)
    found = rare_phrases(fitted.pool, suspect)
    rows = tuple(Row(lead.model, lead.prompts, lead.share, None, None, None, None) for lead in found[:SHOWN])
    evidence = Evidence(
        grade=Grade.LEAD,
        method="rare phrases on the same prompts",
        suspect=suspect,
        claim=f"{suspect} says things that one model says and no other of the pool.",
        null="",
        alpha=0.05,
        unit="share of prompts with a phrase of 5 words that only these two say",
        rows=rows,
        confounds=fitted.notes,
        means_not=MEANS_NOT,
    )
    return evidence, found


def claims_lead(pool: Pool, suspect: str) -> tuple[Evidence, tuple[SelfIdentification, ...]]:
    """Return which model the suspect claims to be. Raises: PoolError."""
    found = claims(pool, suspect)
    n = len(pool.answers[suspect])
    evidence = Evidence(
        grade=Grade.LEAD,
        method="identity claims",
        suspect=suspect,
        claim=f"{suspect} calls itself by a name that is somebody else's.",
        null="",
        alpha=0.05,
        unit="share of answers that claim it",
        rows=tuple(
            Row(claim.family, n, claim.prompts / n, None, None, None, None) for claim in found[:SHOWN]
        ),
        confounds=(
            Checked("who can make it say so", "anybody who writes its prompt or its training data", False),
        ),
        means_not=MEANS_NOT,
    )
    return evidence, found
