"""Volume of the actor as a whole: more exchanges than single accounts have. Coverage is reported, not tested.

Null: the actor is one more account of the population; bits are -log2 of the share of accounts as large.
Blind to: small actors.
Fooled by: every large honest customer; it is therefore stated of alarmed actors only.
Source: docs/field.md, signal 7; Juuti et al. 2019 (PRADA) judges streams, not actors.
"""

from stillwatch.detectors import LEAST_BITS, Population, Statement, Subject, rarity_bits
from stillwatch.signals import BundleEvidence

NAME = "volume_and_coverage"


def state(subject: Subject, population: Population) -> Statement | None:
    """Compare the actor's exchanges, and the share that differ, with the population's 95th percentile."""
    n = float(subject["exchanges"] or 0)
    p95 = population.quantile("exchanges", 0.95)
    if n < p95:
        return None
    distinct = float(subject["distinct_prompt_share"] or 0.0)
    bits = rarity_bits(population, "exchanges", n)
    if bits < LEAST_BITS:
        return None
    return Statement(
        bits,
        f"together {n:,.0f} exchanges, answered or not, {distinct:.0%} of them different prompts; 95 % of "
        f"accounts stay below {p95:,.0f}",
        n,
        population.quantile("exchanges", 0.5),
        p95,
        int(n),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Count the exchanges of a bundle."""
    return {"actual": float(len(evidence.harvest)), "n": len(evidence.harvest)}
