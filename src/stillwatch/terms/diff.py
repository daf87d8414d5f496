"""What changes between two terms, in sentences by meaning. It compares rules: comments do not count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Any

from stillwatch.terms import Ban, ModelException, Permission, Rung, Terms
from stillwatch.terms.limiter import most_of_set
from stillwatch.terms.sections import COUNTS
from stillwatch.units import DAY_US

STRICTER, LOOSER, OTHER = "stricter", "looser", "other"
OPPOSITE = {STRICTER: LOOSER, LOOSER: STRICTER, OTHER: OTHER}
LADDER_NUMBERS = {  # what more of each means
    "delay_s": LOOSER,
    "jitter_s": LOOSER,
    "max_accounts": STRICTER,
    "throttle_output_tokens_per_hour": LOOSER,
}
HOLDS_NUMBERS = {
    "days": STRICTER,
    "days_at_most": STRICTER,
    "block_minutes": OTHER,
    "one_block_in": LOOSER,
    "one_block_in_once_moved": LOOSER,
    "refused_minutes_per_day": STRICTER,
    "refused_share_at_most": STRICTER,
    "accounts_at_least": LOOSER,
    "accounts_at_most": STRICTER,
    "candidates_at_once": STRICTER,
    "p_value_at_most": STRICTER,
}
WORDS = {"max_n": "answers per request"}
HOLD_MODES = ("off", "dry_run", "on")
SEVERITY = {"allow": 0, "warn": 1, "deny": 2}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class TermsDifference:
    """One difference."""

    direction: str  # "stricter", "looser" or "other", for those the terms are about
    where: str  # "limits.max_n"
    text: str


def difference(old: Terms, new: Terms, now_us: int) -> tuple[TermsDifference, ...]:
    """Every difference in what is done, and the exceptions that have ended or will within 14 days."""
    return tuple(
        change
        for part in (
            _general,
            _limits,
            _model_sets,
            _ladder,
            _holds,
            _models,
            _bans,
            _exceptions,
            _permissions,
            _operations,
        )
        for change in part(old, new)
    ) + tuple(_ending(new, now_us))


def _general(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    if old.version != new.version:
        yield TermsDifference(OTHER, "version", f"version {old.version} becomes {new.version}")
    if new.version < old.version or (new.version == old.version and new != old):
        text = f"version {new.version} will not be taken where {old.version} is in force"
        yield TermsDifference(OTHER, "version", text)
    for where in ("identity", "capture", "retention", "coin", "limits.address"):
        before, after = attrgetter(where)(old), attrgetter(where)(new)
        for field in fields(before):
            if (a := getattr(before, field.name)) != (b := getattr(after, field.name)):
                yield TermsDifference(
                    OTHER, f"{where}.{field.name}", f"{field.name} {_show(a)} becomes {_show(b)}"
                )
    if old.owner != new.owner:
        yield TermsDifference(OTHER, "owner", f"the owner {old.owner!r} becomes {new.owner!r}")


def _limits(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    yield from _limit_changes("limits", "everybody", _own_limits(old), _own_limits(new))
    for kind, before, after in (
        ("account", old.limits.accounts, new.limits.accounts),
        ("org", old.limits.orgs, new.limits.orgs),
    ):
        for name in sorted({*before, *after}):
            own_before, own_after = before.get(name, {}), after.get(name, {})
            named = [key for key in _own_limits(old) if key in own_before or key in own_after]
            yield from _limit_changes(
                f"limits.{kind}.{name}",
                f"the {'account' if kind == 'account' else 'organisation'} {name}",
                {key: own_before.get(key, _own_limits(old)[key]) for key in named},
                {key: own_after.get(key, _own_limits(new)[key]) for key in named},
            )


def _model_sets(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({one.models: one for one in terms.limits.models} for terms in (old, new))
    for models in sorted({*before, *after}):
        a, b = before.get(models), after.get(models)
        for who in sorted({*(a.accounts if a else ()), *(b.accounts if b else ()), ""}):
            x, y = (None if one is None else most_of_set(one, who) for one in (a, b))
            if x != y:
                stricter = y is not None and (x is None or y < x)
                text = f"output tokens per day of {who or 'everybody'} of {', '.join(models)}"
                text += f": {_limit(x)} becomes {_limit(y)}"
                yield TermsDifference(STRICTER if stricter else LOOSER, "limits.models", text)


def _own_limits(terms: Terms) -> dict[str, Any]:
    return {key: getattr(terms.limits, key) for key in (*COUNTS, "logprobs")}


def _limit_changes(
    where: str, who: str, before: Mapping[str, Any], after: Mapping[str, Any]
) -> Iterator[TermsDifference]:
    for key in before:
        a, b = before[key], after[key]
        if a == b:
            continue
        if key == "logprobs":
            text = f"log-probabilities are {'' if b else 'no longer '}given to {who}"
            yield TermsDifference(LOOSER if b else STRICTER, f"{where}.{key}", text)
            continue
        stricter = b is not None and (a is None or b < a)
        text = f"{WORDS.get(key, key.replace('_', ' '))} of {who}: {_limit(a)} becomes {_limit(b)}"
        yield TermsDifference(STRICTER if stricter else LOOSER, f"{where}.{key}", text)


def _limit(value: int | None) -> str:
    return "no limit" if value is None else f"{value:,}"


def _ladder(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.ladder, new.ladder
    for rung in b.rungs:
        if all(_same(rung, other) is False for other in a.rungs):
            yield TermsDifference(STRICTER, "ladder.rule", f"comes: {_rule(rung)}")
    for rung in a.rungs:
        if all(_same(rung, other) is False for other in b.rungs):
            yield TermsDifference(LOOSER, "ladder.rule", f"goes: {_rule(rung)}")
    if a.dry_run != b.dry_run:
        text = "steps are only named, not taken" if b.dry_run else "steps are taken"
        yield TermsDifference(LOOSER if b.dry_run else STRICTER, "ladder.dry_run", text)
    if a.act_on_group_findings != b.act_on_group_findings:
        who = "taken without a person" if b.act_on_group_findings else "only proposed"
        direction = STRICTER if b.act_on_group_findings else LOOSER
        yield TermsDifference(direction, "ladder.act_on_group_findings", f"steps on group findings are {who}")
    yield from _numbers("ladder", "", a, b, LADDER_NUMBERS)
    for field in fields(a.messages):
        if getattr(a.messages, field.name) != (text := getattr(b.messages, field.name)):
            yield TermsDifference(OTHER, f"ladder.messages.{field.name}", f"clients read: {text!r}")


def _numbers(
    section: str, of: str, old: object, new: object, keys: Mapping[str, str]
) -> Iterator[TermsDifference]:
    """Numbers that differ. keys: what more of each means, STRICTER, LOOSER or OTHER."""
    for key, more_is in keys.items():
        x, y = getattr(old, key), getattr(new, key)
        if x != y:
            direction = more_is if y > x else OPPOSITE[more_is]
            yield TermsDifference(direction, f"{section}.{key}", f"{key}{of} {x:,} becomes {y:,}")


def _holds(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.holds, new.holds
    if a.mode != b.mode:
        direction = STRICTER if HOLD_MODES.index(b.mode) > HOLD_MODES.index(a.mode) else LOOSER
        yield TermsDifference(direction, "holds.mode", f"randomised holds: {a.mode} becomes {b.mode}")
    yield from _numbers("holds", " of randomised holds:", a, b, HOLDS_NUMBERS)
    for key in ("exempt_accounts", "exempt_orgs"):
        for name in sorted({*getattr(a, key)} ^ {*getattr(b, key)}):
            comes = name in getattr(b, key)
            text = f"{name} {'is never held' if comes else 'may be held'}"
            yield TermsDifference(LOOSER if comes else STRICTER, f"holds.{key}", text)
    if a.message != b.message:
        yield TermsDifference(OTHER, "holds.message", f"clients read: {b.message!r}")


def _same(one: Rung, other: Rung) -> bool:
    return all(getattr(one, f.name) == getattr(other, f.name) for f in fields(one) if f.name != "name")


def _rule(rung: Rung) -> str:
    conditions = [
        {None: "", True: "one payer alone", False: "several payers"}[rung.lone],
        f"p at most {rung.p_value_at_most:g}" if rung.p_value_at_most < 1 else "",
        f"{rung.age_at_least_s:,} s after the alarm" if rung.age_at_least_s else "",
        f"{rung.exchanges_at_least:,} exchanges" if rung.exchanges_at_least else "",
        f"{rung.output_tokens_at_least:,} output tokens" if rung.output_tokens_at_least else "",
    ]
    when = ", ".join(filter(None, conditions)) or "any finding"
    return f"{rung.step.name.lower()} is {'taken' if rung.act else 'proposed'} at {when}"


def _models(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.models, new.models
    if a.unknown != b.unknown:
        deny = b.unknown == "deny"
        text = f"models that the lineage table does not know are {'refused' if deny else 'allowed'}"
        yield TermsDifference(STRICTER if deny else LOOSER, "models.unknown", text)
    if a.default != b.default:
        text = f"a request that names no model is taken to mean {b.default or 'nothing'} instead of "
        yield TermsDifference(OTHER, "models.default", text + (a.default or "nothing"))
    if a.hide_banned != b.hide_banned:
        text = f"banned models are {'hidden' if b.hide_banned else 'shown'} in /v1/models"
        yield TermsDifference(OTHER, "models.hide_banned", text)
    if bool(a.allow) != bool(b.allow):
        text = "only listed models may be used" if b.allow else "models need no longer be listed"
        yield TermsDifference(STRICTER if b.allow else LOOSER, "models.allow", text)
    if a.allow and b.allow:
        for name in sorted({*a.allow} ^ {*b.allow}):
            text = f"{name} {'joins' if name in b.allow else 'leaves'} the list"
            yield TermsDifference(LOOSER if name in b.allow else STRICTER, "models.allow", text)
    for name in sorted({*a.aliases} | {*b.aliases}):
        if (x := a.aliases.get(name)) != (y := b.aliases.get(name)):
            text = f"{name} stands for {y or 'itself'} instead of {x or 'itself'}"
            yield TermsDifference(OTHER, f"models.aliases.{name}", text)
    for name in sorted({*a.fallbacks} | {*b.fallbacks}):
        if (hops := b.fallbacks.get(name, ())) != a.fallbacks.get(name, ()):
            text = f"instead of {name} {' or '.join(hops) or 'nothing else'} may answer"
            yield TermsDifference(OTHER, f"models.fallbacks.{name}", text)


def _bans(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({ban.family: ban for ban in terms.bans} for terms in (old, new))
    for family in sorted(after.keys() - before.keys()):
        word = "banned" if after[family].prevent else "prohibited, with a warning only"
        yield TermsDifference(STRICTER, f"ban.{family}", f"{family} is {word}")
    for family in sorted(before.keys() - after.keys()):
        yield TermsDifference(LOOSER, f"ban.{family}", f"{family} is no longer banned")
    for family in sorted(before.keys() & after.keys()):
        yield from _ban_changes(before[family], after[family])


def _ban_changes(a: Ban, b: Ban) -> Iterator[TermsDifference]:
    where = f"ban.{a.family}"
    if a.prevent != b.prevent:
        text = f"{a.family} is {'refused' if b.prevent else 'only warned of'}"
        yield TermsDifference(STRICTER if b.prevent else LOOSER, f"{where}.mode", text)
    for key, what in (
        ("hosted_by_others", "copies that others host"),
        ("finetune", "fine-tunes"),
        ("quantized", "quantized copies"),
        ("merged", "merges"),
    ):
        if getattr(a, key) != (covered := getattr(b, key)):
            text = f"the ban on {a.family} {'covers' if covered else 'no longer covers'} {what}"
            yield TermsDifference(STRICTER if covered else LOOSER, f"{where}.includes.{key}", text)
    if a.distilled != b.distilled:
        text = f"students of {a.family}: {a.distilled} becomes {b.distilled}"
        stricter = SEVERITY[b.distilled] > SEVERITY[a.distilled]
        yield TermsDifference(STRICTER if stricter else LOOSER, f"{where}.includes.distilled", text)
    for key in ("hosts", "models"):
        for name in sorted({*getattr(a, key)} ^ {*getattr(b, key)}):
            comes = name in getattr(b, key)
            text = f"{name} is {'banned' if comes else 'no longer banned'} with {a.family}"
            yield TermsDifference(STRICTER if comes else LOOSER, f"{where}.{key}", text)
    if a.message != b.message:
        yield TermsDifference(OTHER, f"{where}.message", f"clients read: {b.message!r}")


def _exceptions(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({_key(one): one for one in terms.exceptions} for terms in (old, new))
    for key, one in after.items():
        if key not in before:
            text = f"{_scope(one)} may use {_models_of(one)} {_until(one.expires_us)}"
            yield TermsDifference(LOOSER, "exception", f"{text}, approved by {one.approved_by}: {one.reason}")
        elif one.expires_us != before[key].expires_us:
            text = f"the exception of {_scope(one)} for {_models_of(one)} holds {_until(one.expires_us)}"
            looser = one.expires_us > before[key].expires_us
            yield TermsDifference(
                LOOSER if looser else STRICTER, "exception", f"{text}, not {_until(before[key].expires_us)}"
            )
        elif one != before[key]:
            text = f"the exception of {_scope(one)} for {_models_of(one)}: {one.approved_by}, {one.reason}"
            yield TermsDifference(OTHER, "exception", text)
    for key, one in before.items():
        if key not in after:
            yield TermsDifference(STRICTER, "exception", f"{_scope(one)} may no longer use {_models_of(one)}")


def _permissions(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({(p.account, p.org, p.kind): p for p in terms.permissions} for terms in (old, new))
    for key, one in after.items():
        if key not in before:
            text = f"{_scope(one)} may do {one.kind} {_until(one.expires_us)}"
            yield TermsDifference(LOOSER, "permission", f"{text}, approved by {one.approved_by}")
        elif one.expires_us != before[key].expires_us:
            looser = one.expires_us > before[key].expires_us
            text = f"the permission of {_scope(one)} for {one.kind} holds {_until(one.expires_us)}"
            yield TermsDifference(
                LOOSER if looser else STRICTER, "permission", f"{text}, not {_until(before[key].expires_us)}"
            )
    for key, one in before.items():
        if key not in after:
            yield TermsDifference(STRICTER, "permission", f"{_scope(one)} may no longer do {one.kind}")


def _operations(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({(o.method, o.path): o.does for o in terms.operations} for terms in (old, new))
    for method, path in sorted({*before, *after}):
        a, b = before.get((method, path)), after.get((method, path))
        if a != b:
            text = f"{method} {path}: {a or 'what the table says'} becomes {b or 'what the table says'}"
            yield TermsDifference(OTHER, "operation", text)


def _ending(new: Terms, now_us: int) -> Iterator[TermsDifference]:
    for one in new.exceptions:
        if one.expires_us <= now_us:
            text = f"the exception of {_scope(one)} for {_models_of(one)} has ended"
            yield TermsDifference(OTHER, "exception", text)
        elif one.expires_us <= now_us + 14 * DAY_US:
            text = f"the exception of {_scope(one)} for {_models_of(one)} holds {_until(one.expires_us)}"
            yield TermsDifference(OTHER, "exception", text)


def _key(one: ModelException) -> tuple[object, ...]:
    return (one.account, one.org, frozenset(one.models), one.family)


def _scope(one: ModelException | Permission) -> str:
    if one.account == "*":
        return "everybody"
    return f"the account {one.account}" if one.account else f"the organisation {one.org}"


def _models_of(one: ModelException) -> str:
    return ", ".join([*([f"the family {one.family}"] if one.family else []), *one.models])


def _until(us: int) -> str:
    """How long something holds: a time that is the end of a day is said as that day.

    >>> _until(86_400_000_000)
    'through 1970-01-01'
    """
    end = _EPOCH + timedelta(microseconds=us)
    if us % DAY_US == 0:
        return f"through {(end - timedelta(days=1)).date().isoformat()}"
    return f"until {end:%Y-%m-%dT%H:%M}Z"


def _show(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
