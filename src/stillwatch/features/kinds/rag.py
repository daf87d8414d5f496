"""Answers from retrieved documents (RAG): long inputs, short answers, one fixed instruction.

Evidence: one system text throughout, prompts that hardly repeat, more tokens in than out.
Looks the same: an assistant inside a product; a batch over documents.
Imitated by: padding prompts with documents, which costs the attacker input tokens for every answer.
"""

from stillwatch.features.kinds import SHAPE_CEILING, Sign, Subject
from stillwatch.features.kinds.grades import grade, weakest


def recognise(subject: Subject) -> Sign | None:
    fixed = subject["top_system_share"]
    in_per_out = subject["input_tokens"] / max(subject["output_tokens"], 1)
    fit = weakest(
        grade(subject["exchanges"], 10, 40),
        grade(fixed, 0.5, 0.9),
        grade(subject["distinct_prompt_share"], 0.6, 0.9),
        grade(in_per_out, 0.8, 2),
        grade(subject["log2_output_mean"], 9.5, 8),
        grade(subject["follow_up_share"], 0.6, 0.3),
        grade(subject["tools_share"], 0.5, 0.1),
    )
    if not fit:
        return None
    text = f"one system text in {fixed:.0%}, {in_per_out:.1f} tokens in for each token out"
    return Sign(SHAPE_CEILING * fit, text)
