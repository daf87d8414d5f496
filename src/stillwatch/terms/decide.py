"""What the policy decides on one request and on one reply. Pure: no clock, no files.

Checks run in this order, and the first refusal wins: block -> model (ban, list, unknown) -> verification ->
limits of one request (size, n, log-probabilities) -> usage limits -> the budget of a throttle -> a randomised
hold. Requests with unknown keys are refused earlier.
"""

from dataclasses import replace
from typing import Any

from stillwatch.exchanges.operations import NAMES_A_MODEL, UNCOUNTED, does_of
from stillwatch.terms import (
    AccountLimits,
    AccountUsage,
    Decision,
    EnforcementStatus,
    Hold,
    ModelVerdict,
    RequestFacts,
    Step,
    Terms,
)
from stillwatch.terms.holds import exempt
from stillwatch.terms.hops import hops
from stillwatch.terms.judge import hosts_of, judge, on_host, quote
from stillwatch.terms.limiter import tokens_left, until, until_fits, used_up
from stillwatch.units import DAY_US, HOUR_US


def model_verdict(
    terms: Terms, model: str | None, account: str, now_us: int, org: str | None = None
) -> ModelVerdict:
    """Return whether a model may be used, on every upstream target that may answer under its name.

    The verdict is valid until its `until_us`, or until the policy changes. It may cost 100 µs per target.
    """
    name = model or terms.models.default
    if not name:
        return _unnamed_verdict(terms)
    verdicts = [judge(terms, hop.names, account, org, now_us) for hop in hops(terms.models, name)]
    warning = next((verdict for verdict in verdicts if verdict.warn), None)
    until_us = min((verdict.until_us for verdict in verdicts if verdict.until_us is not None), default=None)
    for number, verdict in enumerate(verdicts):
        if not verdict.allow:
            if number == 0:
                return verdict
            reason = f"{quote(name)} may be answered by another model: {verdict.reason}"
            return ModelVerdict(False, verdict.rule, verdict.target, verdict.family, reason)
    first = verdicts[0]
    if warning is None:
        return ModelVerdict(True, first.rule, first.target, first.family, until_us=until_us)
    return ModelVerdict(
        True, warning.rule, first.target, first.family, warning.reason, warning.warn, until_us
    )


def _unnamed_verdict(terms: Terms) -> ModelVerdict:
    """Refuse a request that names no model under a policy without a default: what would answer is unknown."""
    if terms.models.unknown == "deny" or terms.models.allow or any(ban.prevent for ban in terms.bans):
        return ModelVerdict(
            False, "models.unnamed", None, reason="Name the model: the owner's terms require it."
        )
    return ModelVerdict(True, "models.unnamed", None)


def reply_verdict(
    terms: Terms, wanted: str, served: str, account: str, now_us: int, org: str | None = None
) -> ModelVerdict:
    """Return whether a reply may be delivered, given the model that it names.

    A banned model: no. A model of another family than requested: yes, with a warning. For a reply that was
    not requested by model name (one fetched later) only bans apply.
    """
    if not served:
        return ModelVerdict(True, "reply.unnamed", None)
    wanted = wanted or terms.models.default or ""
    expected = hops(terms.models, wanted) if wanted else ()
    if any(served in hop.names for hop in expected):  # an echo: the name the request was judged by
        return model_verdict(terms, wanted, account, now_us, org)
    verdict = judge(terms, (served,), account, org, now_us)
    if verdict.family is None and served in terms.models.aliases:
        verdict = model_verdict(terms, served, account, now_us, org)
    if not verdict.allow and not verdict.rule.startswith("models."):
        return verdict
    if not verdict.allow and not wanted:
        return ModelVerdict(True, "allowed", served, verdict.family)
    families = {judge(terms, hop.names, account, org, now_us).family for hop in expected} - {None}
    if verdict.allow or not expected:
        return _with_family_check(verdict, families, wanted, served)
    # The list and the policy on unknown names apply to requests: upstreams answer with longer names.
    if verdict.family in families or (verdict.family is None and not families):
        return ModelVerdict(True, "allowed", served, verdict.family)
    return verdict


def _with_family_check(
    verdict: ModelVerdict, families: set[str | None], wanted: str, served: str
) -> ModelVerdict:
    if verdict.family is None or not families or verdict.family in families or verdict.warn:
        return verdict
    sentence = f"{quote(wanted)} was requested, but {quote(served)} of the family {verdict.family} answered."
    return ModelVerdict(True, "reply.mismatch", served, verdict.family, sentence, sentence, verdict.until_us)


def host_verdict(terms: Terms, host: str) -> ModelVerdict:
    """Return whether an upstream's host may be used at all."""
    for ban in terms.bans:
        if on_host(hosts_of(ban), host):
            reason = f"{quote(host)} is a host of the banned family {ban.family}."
            warn = None if ban.prevent else reason
            return ModelVerdict(not ban.prevent, f"ban:{ban.family}", None, ban.family, reason, warn)
    return ModelVerdict(True, "allowed", None)


def limits_for(terms: Terms, account: str, org: str | None) -> AccountLimits:
    """Return the limits of one account: its own, else its organisation's, else everybody's."""
    limits = terms.limits
    if not limits.accounts and not limits.orgs:
        return limits
    overrides: dict[str, Any] = {**limits.orgs.get(org or "", {}), **limits.accounts.get(account, {})}
    if not overrides:
        return limits
    return AccountLimits(
        overrides.get("requests_per_minute", limits.requests_per_minute),
        overrides.get("output_tokens_per_minute", limits.output_tokens_per_minute),
        overrides.get("output_tokens_per_hour", limits.output_tokens_per_hour),
        overrides.get("output_tokens_per_day", limits.output_tokens_per_day),
        overrides.get("batch_output_tokens_per_day", limits.batch_output_tokens_per_day),
        overrides.get("max_n", limits.max_n),
        overrides.get("logprobs", limits.logprobs),
        day=limits.day,
    )


def batch_limit(limits: AccountLimits) -> int | None:
    """Return the output tokens of one day's batches: the stated limit, else a day of the other limits."""
    if limits.batch_output_tokens_per_day is not None:
        return limits.batch_output_tokens_per_day
    minute, hour = limits.output_tokens_per_minute, limits.output_tokens_per_hour
    day_limits = (
        limits.output_tokens_per_day,
        None if hour is None else 24 * hour,
        None if minute is None else 1_440 * minute,
    )
    return min((most for most in day_limits if most is not None), default=None)


def decide(
    terms: Terms,
    standing: EnforcementStatus | None,
    ask: RequestFacts,
    verdict: ModelVerdict | None,
    spent: AccountUsage,
    now_us: int,
    hold: Hold | None = None,
) -> Decision:
    """Decide one request. A verdict that is missing, or rests on an ended exception, is recomputed."""
    step, messages = step_now(standing, now_us), terms.ladder.messages
    if step is Step.BLOCK:
        return Decision(False, "standing.block", 403, "account_blocked", messages.block)
    if verdict is None or (verdict.until_us is not None and now_us >= verdict.until_us):
        verdict = _request_verdict(terms, ask, now_us)
    if verdict is not None and not verdict.allow:
        code = "model_banned" if verdict.rule.startswith("ban:") else "model_not_allowed"
        return Decision(False, verdict.rule, 403, code, verdict.reason)
    if step is Step.VERIFY:
        return Decision(False, "standing.verify", 403, "verification_required", messages.verify)
    limits = limits_for(terms, ask.account, ask.org)
    does = ask.does or does_of(ask.operation)
    together = spent
    if spent.batch_tokens_day and limits.batch_output_tokens_per_day is None and does != "fetches":
        # a day's tokens are for answers and batches together; results already promised can be fetched
        blocks = map(sum, zip(spent.day_blocks, spent.batch_blocks, strict=True))
        used = spent.output_tokens_day + spent.batch_tokens_day
        together = replace(spent, output_tokens_day=used, day_blocks=tuple(blocks))
    refused = _request_refusal(terms, limits, ask) or used_up(limits, does, together, now_us, ask.set_most)
    refused = refused or _batch_refusals(limits, together, ask, now_us)
    if refused is not None:
        return refused
    remaining = tokens_left(limits, together, ask.set_most)
    if step < Step.THROTTLE or standing is None:
        if hold is not None and (refused := _hold_refusal(terms, hold, ask, spent, now_us)) is not None:
            return refused
        if verdict is None:
            return Decision(True, output_tokens_left=remaining)
        return Decision(True, verdict.rule, output_tokens_left=remaining, warn=verdict.warn)
    budget = throttle_budget(terms, standing) - spent.output_tokens_hour
    if budget <= spent.tokens_held and does not in UNCOUNTED:
        wait_s = until(HOUR_US, now_us) if budget <= 0 else spent.settles_s
        return Decision(False, "standing.throttle", 429, "rate_limited", messages.throttle, wait_s)
    if _batch_refusal(max(0, budget), spent.batch_tokens_day, ask, "standing.throttle") is not None:
        wait_s = until_fits(spent.batch_blocks, DAY_US, budget - (ask.batch_tokens or 0), spent, now_us)
        return Decision(False, "standing.throttle", 429, "rate_limited", messages.throttle, wait_s)
    warn = None if verdict is None else verdict.warn
    strip = step >= Step.STRIP
    return Decision(
        True,
        f"standing.{step.name.lower()}",
        strip=strip,
        mark=standing.mark if step >= Step.MARK else None,
        output_tokens_left=max(0, budget if remaining is None else min(remaining, budget)),
        warn=" ".join(filter(None, (warn, messages.strip if strip else ""))) or None,
    )


def _hold_refusal(
    terms: Terms, hold: Hold, ask: RequestFacts, spent: AccountUsage, now_us: int
) -> Decision | None:
    """Refuse for a randomised hold, unless the account is exempt or has been refused enough today."""
    holds = terms.holds
    if (
        holds.mode != "on"
        or now_us >= hold.until_us
        or (ask.does or does_of(ask.operation)) != "generates"
        or (spent.held_minutes_day >= holds.refused_minutes_per_day and not spent.held_this_minute)
        or exempt(holds, ask.account, ask.org, terms.permissions, now_us)
    ):
        return None
    wait_s = -(-(hold.until_us - now_us) // 1_000_000)
    return Decision(False, f"holds:{hold.candidate}", 429, "rate_limited", holds.message, wait_s)


def step_now(standing: EnforcementStatus | None, now_us: int) -> Step:
    """Return the action in force; a status that has ended counts as none."""
    if standing is None or (standing.until_us is not None and now_us >= standing.until_us):
        return Step.CLEAR
    return standing.step


def throttle_budget(terms: Terms, standing: EnforcementStatus) -> int:
    """Return the output tokens an hour under a throttle: the status's own, else the policy's."""
    own = standing.output_tokens_per_hour
    return terms.ladder.throttle_output_tokens_per_hour if own is None else own


def _request_verdict(terms: Terms, ask: RequestFacts, now_us: int) -> ModelVerdict | None:
    if ask.model is None and (ask.does or does_of(ask.operation)) not in NAMES_A_MODEL:
        return None  # the request names no model: a listing, a file
    return model_verdict(terms, ask.model, ask.account, now_us, ask.org)


def _request_refusal(terms: Terms, limits: AccountLimits, ask: RequestFacts) -> Decision | None:
    """Refuse a request that asks for more than one request may."""
    if ask.body_bytes > terms.capture.max_body_bytes:
        most = terms.capture.max_body_bytes
        message = f"The request has {ask.body_bytes:,} bytes; the limit is {most:,}."
        return Decision(False, "capture.max_body_bytes", 413, "body_too_large", message)
    if limits.max_n is not None and ask.n > limits.max_n:
        message = f"The request asks for {ask.n:,} answers; the limit is {limits.max_n:,}."
        return Decision(False, "limits.max_n", 400, "too_many_answers", message)
    if ask.logprobs and not limits.logprobs:
        message = "This account may not request log-probabilities."
        return Decision(False, "limits.logprobs", 403, "logprobs_not_allowed", message)
    return None


def _batch_refusals(
    limits: AccountLimits, together: AccountUsage, ask: RequestFacts, now_us: int
) -> Decision | None:
    """Refuse a batch that may exceed the day's limit of batches, of all answers, or of its models."""
    day = limits.output_tokens_per_day if limits.batch_output_tokens_per_day is None else None
    used_of_set = together.set_tokens_day + together.set_tokens_held
    for most, used, blocks, rule in (
        (
            batch_limit(limits),
            together.batch_tokens_day,
            together.batch_blocks,
            "batch_output_tokens_per_day",
        ),
        (
            day,
            together.output_tokens_day + together.tokens_held,
            together.day_blocks,
            "output_tokens_per_day",
        ),
        (ask.set_most, used_of_set, together.set_blocks, "models.output_tokens_per_day"),
    ):
        if (refused := _batch_refusal(most, used, ask, f"limits.{rule}")) is None:
            continue
        if refused.status == 429:
            wait_s = until_fits(blocks, DAY_US, (most or 0) - (ask.batch_tokens or 0), together, now_us)
            refused = replace(refused, retry_after_s=wait_s)
        return refused
    return None


def _batch_refusal(most: int | None, used: int, ask: RequestFacts, rule: str) -> Decision | None:
    """Refuse a batch that may exceed what is left of one limit of the day."""
    if most is None or ask.batch_tokens == 0:
        return None
    if ask.batch_tokens is None:
        message = (
            "The possible output of this batch is unknown: upload its file through this gateway, with "
            "this account."
        )
        return Decision(False, rule, 403, "batch_unknown", message)
    sentence = f"This batch may produce {ask.batch_tokens:,} output tokens (the sum of its max_tokens)"
    if ask.batch_tokens > most:
        message = f"{sentence}; the limit is {most:,} a day. Lower max_tokens, or send fewer questions."
        return Decision(False, rule, 400, "batch_too_large", message)
    if used + ask.batch_tokens > most:
        message = (
            f"{sentence}, and {used:,} of today's {most:,} are used or reserved. Try again later, or"
            " send fewer questions."
        )
        return Decision(False, rule, 429, "rate_limited", message)
    return None
