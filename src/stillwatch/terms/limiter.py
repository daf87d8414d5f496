"""What an account may still use: one rule for limits, for the gateway and for simulations that measure it.

From its request until it has arrived and is counted, an answer reserves the most that it may produce
(`most`). Reservations count as used, so simultaneous requests together exceed a limit by at most one answer.

Gateways of a fleet learn of each other's counts with a delay. What is left when all counts agree is divided
among them: each may spend its part, plus one answer, until the others have counted that.
"""

from functools import cache
from pathlib import Path

from stillwatch.exchanges.operations import UNCOUNTED
from stillwatch.lineage.skeleton import skeleton
from stillwatch.terms import AccountLimits, AccountUsage, Decision, FleetUsage, Models, ModelSet
from stillwatch.terms.hops import hops
from stillwatch.terms.window import until_room
from stillwatch.units import DAY_US, HOUR_US, MINUTE_US

FLEET_WAIT_S = 1  # until gateways have counted what each of them admitted
_ALONE = FleetUsage(1)


def used_up(
    limits: AccountLimits, does: str, spent: AccountUsage, now_us: int, set_most: int | None = None
) -> Decision | None:
    """Return the limit that is used up, the one with the longest wait. `set_most`: of the model's set."""
    fleet = spent.unknown_elsewhere or _ALONE
    if does not in UNCOUNTED:
        for used, held, uncounted, most, span_us, blocks, name in (
            (spent.set_tokens_day, spent.set_tokens_held, fleet.set_tokens_day + fleet.set_tokens_held,
             set_most, DAY_US, spent.set_blocks, "models.output_tokens_per_day"),
            (spent.output_tokens_day, spent.tokens_held, fleet.output_tokens_day + fleet.tokens_held,
             limits.output_tokens_per_day, DAY_US, spent.day_blocks, "output_tokens_per_day"),
            (spent.output_tokens_hour, spent.tokens_held, fleet.output_tokens_hour + fleet.tokens_held,
             limits.output_tokens_per_hour, HOUR_US, (), "output_tokens_per_hour"),
            (spent.output_tokens_minute, spent.tokens_held, fleet.output_tokens_minute + fleet.tokens_held,
             limits.output_tokens_per_minute, MINUTE_US, (), "output_tokens_per_minute"),
        ):  # fmt: skip
            if most is not None and used + held >= most:
                wait_s = until_fits(blocks, span_us, most - 1, spent, now_us)
                return _wait_decision(name, most, used, wait_s, spent)
            if most is not None and _spends_others_part(fleet.gateways, uncounted, most - used - held):
                return _others_decision(name, most)
    most, uncounted = limits.requests_per_minute, fleet.requests_minute
    if most is not None and spent.requests_minute >= most:
        return _wait_decision("requests_per_minute", most, most, until(MINUTE_US, now_us), spent)
    if most is not None and _spends_others_part(fleet.gateways, uncounted, most - spent.requests_minute):
        return _others_decision("requests_per_minute", most)
    return None


def _spends_others_part(gateways: int, new: int, left: int) -> bool:
    """Return whether new use here exceeds this gateway's part of what was left when all counts agreed."""
    return gateways > 1 and new > 0 and new * gateways >= left + new


def _others_decision(name: str, most: int) -> Decision:
    message = (
        f"The limit of {_limit_text(name, most)} is nearly used up, and other gateways hold the rest. "
        "Try again."
    )
    return Decision(False, f"limits.{name}", 429, "rate_limited", message, FLEET_WAIT_S)


def _wait_decision(name: str, most: int, used: int, wait_s: int, spent: AccountUsage) -> Decision:
    limit = f"The limit of {_limit_text(name, most)}"
    if used >= most:
        return Decision(False, f"limits.{name}", 429, "rate_limited", f"{limit} is used up.", wait_s)
    message = (
        f"{limit} is used or reserved: {used:,} are used, and answers in progress may use the rest. "
        "Try again when one has ended, or lower max_tokens."
    )
    return Decision(False, f"limits.{name}", 429, "rate_limited", message, min(spent.settles_s, wait_s))


def _limit_text(name: str, most: int) -> str:
    noun, _, span = name.removeprefix("models.").rpartition("_per_")
    suffix = " for these models" if name.startswith("models.") else ""
    return f"{most:,} {noun.replace('_', ' ')} a {span}{suffix}"


def until(span_us: int, now_us: int) -> int:
    """Return whole seconds until the running minute, hour or day (UTC) ends."""
    return -(-(span_us - now_us % span_us) // 1_000_000)


def until_fits(blocks: tuple[int, ...], span_us: int, room: int, spent: AccountUsage, now_us: int) -> int:
    """Return whole seconds until so few tokens are used: of a sliding day's blocks, else when the span ends.

    If use is that low already, unfinished answers reserve the rest.
    """
    wait_s = until_room(blocks, room, now_us) if blocks else None
    if wait_s is None:
        return until(span_us, now_us)
    return wait_s or spent.settles_s


def tokens_left(limits: AccountLimits, spent: AccountUsage, set_most: int | None = None) -> int | None:
    """Return the output tokens that the narrowest limit leaves; reservations are not subtracted."""
    lefts = [
        most - used
        for used, most in (
            (spent.output_tokens_minute, limits.output_tokens_per_minute),
            (spent.output_tokens_hour, limits.output_tokens_per_hour),
            (spent.output_tokens_day, limits.output_tokens_per_day),
            (spent.set_tokens_day, set_most),
        )
        if most is not None
    ]
    return max(0, min(lefts)) if lefts else None


# --- sets of models --------------------------------------------------------------------------------------


def set_of(sets: tuple[ModelSet, ...], models: Models, name: str | None) -> int | None:
    """Return the set a request's model counts towards, by its names after aliases, else the last."""
    if not sets:
        return None
    model = name or models.default
    names = (
        {skeleton(model_set) for hop in hops(models, model) for model_set in hop.names} if model else set()
    )
    return next(
        (k for k, model_set in enumerate(sets) if not names.isdisjoint(map(skeleton, model_set.models))),
        len(sets) - 1,
    )


def most_of_set(model_set: ModelSet, account: str) -> int | None:
    """Return a set's output tokens per day for one account."""
    return model_set.accounts.get(account, model_set.output_tokens_per_day)


# --- what an answer may produce --------------------------------------------------------------------------


def longest(model: str | None, default: int) -> int:
    """Return the most output tokens of one answer of a model, or `default` if it is not documented.

    >>> longest("openai/gpt-4o", 7), longest("azure/gpt-4o:latest", 7), longest("team-fast", 7)
    (16384, 16384, 7)
    """
    tokens_of = _longest()
    last = (model or "").rpartition("/")[2].strip().lower()
    return (
        tokens_of.get(last)
        or tokens_of.get(last.partition(":")[0])
        or tokens_of.get(last.partition("@")[0])
        or default
    )


@cache
def _longest() -> dict[str, int]:
    lines = Path(__file__).with_name("answers.tsv").read_text(encoding="utf-8").splitlines()
    pairs = (line.split("\t") for line in lines if not line.startswith("#"))
    return {name: int(tokens) for name, tokens in pairs}
