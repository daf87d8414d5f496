"""Long answers, hardly ever truncated: outputs sized for a training set.

Null: an account's mean output length (in logarithms) is drawn from the population's.
Blind to: harvests of labels and short answers.
Fooled by: writers of long texts, reasoning models used for hard questions.
Source: docs/field.md, signal 9; a reasoning trace is 3,000 to 8,000 tokens.
"""

import math

from stillwatch.detectors import LEAST_BITS, Population, Statement, Subject, rarity_bits
from stillwatch.signals import BundleEvidence, Signal

NAME = "long_outputs"
SIGNAL = Signal(capability="long answers", order=80)
FEATURE = "log2_output_mean"


def state(subject: Subject, population: Population) -> Statement | None:
    """Compare mean log2 output tokens with the population's 95th percentile."""
    actual = subject[FEATURE]
    if actual is None:
        return None
    p95 = population.quantile(FEATURE, 0.95)
    if actual < p95:
        return None
    bits = rarity_bits(population, FEATURE, float(actual))
    if bits < LEAST_BITS:
        return None
    return Statement(
        bits,
        f"answers are {2**actual - 1:,.0f} tokens long in the (geometric) mean; 95 % of accounts stay below "
        f"{2**p95 - 1:,.0f}",
        float(actual),
        population.quantile(FEATURE, 0.5),
        p95,
        int(subject["exchanges"] or 0),
    )


def recompute(evidence: BundleEvidence) -> dict[str, float]:
    """Compute the mean again from a bundle, in the fixed point of the feature table."""
    token_counts = [exchange["o"] for exchange in evidence.answered if exchange["o"] is not None]
    fixed_point_sum = sum(math.floor(math.log2(o + 1) * 2**26 + 0.5) for o in token_counts)
    return {"actual": fixed_point_sum / len(token_counts) / 2**26} if token_counts else {}
