"""A decision in one word, as used in tests in a policy file and in the log."""

from stillwatch.terms import Decision, ModelVerdict

# The outcome of a decision. "deny" stands for every refusal; the words after it say which one.
OUTCOMES = ("allow", "warn", "throttle", "strip", "mark", "deny", "ban", "verify", "limit", "hold", "block")
_REFUSALS = {
    "model_banned": "ban",
    "model_not_allowed": "ban",
    "verification_required": "verify",
    "account_blocked": "block",
}  # every other code: "limit"


def outcome(decision: Decision) -> str:
    """Return the most specific word for a decision; never "deny", which says less."""
    if not decision.allow and decision.rule.startswith("holds:"):
        return "hold"
    if not decision.allow:
        return _REFUSALS.get(decision.code, "limit")
    if decision.mark is not None:
        return "mark"
    if decision.strip:
        return "strip"
    if decision.rule == "standing.throttle":
        return "throttle"
    return "warn" if decision.warn else "allow"


def reply_outcome(verdict: ModelVerdict) -> str:
    """Return the same for a reply's model."""
    return "ban" if not verdict.allow else "warn" if verdict.warn else "allow"


def meets(word: str, expected: str) -> bool:
    """Return whether an outcome matches an expectation: "deny" expects any refusal."""
    refused = OUTCOMES.index(word) > OUTCOMES.index("deny")
    return word == expected or (expected == "deny" and refused)
