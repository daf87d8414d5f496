"""Runs the tests written in a policy file, with the functions that the gateway uses."""

from dataclasses import dataclass

from stillwatch.terms import Hold, ModelVerdict, Terms, TermsTest
from stillwatch.terms.decide import decide, model_verdict, reply_verdict
from stillwatch.terms.outcome import meets, outcome, reply_outcome
from stillwatch.units import MINUTE_US


@dataclass(frozen=True)
class TermsTestResult:
    """One test and its result."""

    line: int
    what: str  # the request in words
    expect: str
    got: str
    rule: str
    target: str | None
    passed: bool
    why: str  # in words, if it failed; else the reason that the client would read


def run(terms: Terms, now_us: int) -> tuple[TermsTestResult, ...]:
    """Run every test, at its own time or now."""
    return tuple(_run_test(terms, test, now_us) for test in terms.tests)


def _run_test(terms: Terms, test: TermsTest, now_us: int) -> TermsTestResult:
    ask, at_us = test.ask, now_us if test.at_us is None else test.at_us
    verdict: ModelVerdict | None = None
    if ask.model is not None:
        verdict = model_verdict(terms, ask.model, ask.account, at_us, ask.org)
    if test.served is not None:
        reply = reply_verdict(terms, ask.model or "", test.served, ask.account, at_us, ask.org)
        word, rule, message = reply_outcome(reply), reply.rule, reply.reason
    else:
        hold = Hold("test", at_us + MINUTE_US) if test.held else None
        decision = decide(terms, test.standing, ask, verdict, test.spent, at_us, hold)
        word, rule, message = outcome(decision), decision.rule, decision.message or decision.warn or ""
    target = verdict.target if verdict is not None else None
    failures = []
    if not meets(word, test.expect):
        failures.append(f"expected {test.expect}, got {word} from {rule}")
    if test.rule is not None and rule != test.rule:
        failures.append(f"expected the rule {test.rule}, got {rule}")
    if test.resolves_to is not None and target != test.resolves_to:
        failures.append(f"expected {test.resolves_to} as the upstream's model, got {target}")
    why = "; ".join(failures) or message
    return TermsTestResult(test.line, _request_text(test), test.expect, word, rule, target, not failures, why)


def _request_text(test: TermsTest) -> str:
    ask = test.ask
    words = [ask.model or "no model"]
    if ask.account != "somebody":
        words.append(f"by {ask.account}")
    if ask.org:
        words.append(f"of {ask.org}")
    if ask.operation != "chat":
        words.append(f"for {ask.operation}")
    if ask.n > 1:
        words.append(f"{ask.n} answers")
    if ask.logprobs:
        words.append("with log-probabilities")
    if test.standing is not None:
        words.append(f"while {test.standing.step.name.lower()}")
    if test.held:
        words.append("while held")
    if test.served is not None:
        words.append(f"served by {test.served}")
    return " ".join(words)
