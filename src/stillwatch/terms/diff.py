"""What changes between two versions of the policy, in sentences. Comments in the file do not count."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import timedelta
from operator import attrgetter
from typing import Any

from stillwatch.terms import Ban, ModelException, Permission, Rung, Terms
from stillwatch.terms.limiter import most_of_set
from stillwatch.terms.sections import COUNTS
from stillwatch.units import DAY_US, time_of

STRICTER, LOOSER, OTHER = "stricter", "looser", "other"
OPPOSITE = {STRICTER: LOOSER, LOOSER: STRICTER, OTHER: OTHER}
LADDER_NUMBERS = {  # what an increase of each means
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


@dataclass(frozen=True)
class TermsDifference:
    """One difference."""

    direction: str  # "stricter", "looser" or "other", for the accounts affected
    where: str  # "limits.max_n"
    text: str


def difference(old: Terms, new: Terms, now_us: int) -> tuple[TermsDifference, ...]:
    """Return every change in effect, and the exceptions that have ended or will within 14 days."""
    parts = (
        _general_changes, _limits_changes, _model_set_changes, _ladder_changes, _holds_changes,
        _models_changes, _bans_changes, _grant_changes, _operation_changes,
    )  # fmt: skip
    return (*(change for part in parts for change in part(old, new)), *_ending_soon(new, now_us))


def _general_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    if old.version != new.version:
        yield TermsDifference(OTHER, "version", f"version {old.version} becomes {new.version}")
    if new.version < old.version or (new.version == old.version and new != old):
        text = f"version {new.version} is refused where {old.version} is in force"
        yield TermsDifference(OTHER, "version", text)
    for where in ("identity", "capture", "retention", "coin", "limits.address"):
        before, after = attrgetter(where)(old), attrgetter(where)(new)
        for field in fields(before):
            if (a := getattr(before, field.name)) != (b := getattr(after, field.name)):
                yield TermsDifference(
                    OTHER, f"{where}.{field.name}", f"{field.name} {_value_text(a)} becomes {_value_text(b)}"
                )
    if old.owner != new.owner:
        yield TermsDifference(OTHER, "owner", f"owner {old.owner!r} becomes {new.owner!r}")


def _limits_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    if old.limits.day != new.limits.day:
        text = (
            f"a day is {'the last 20 to 24 hours' if new.limits.slides else 'from midnight to midnight, UTC'}"
        )
        yield TermsDifference(STRICTER if new.limits.slides else LOOSER, "limits.day", text)
    yield from _limit_changes("limits", "everybody", _own_limits(old), _own_limits(new))
    for kind, before, after in (
        ("account", old.limits.accounts, new.limits.accounts),
        ("org", old.limits.orgs, new.limits.orgs),
    ):
        for name in sorted({*before, *after}):
            own_before, own_after = before.get(name, {}), after.get(name, {})
            keys = [key for key in _own_limits(old) if key in own_before or key in own_after]
            yield from _limit_changes(
                f"limits.{kind}.{name}",
                f"the {'account' if kind == 'account' else 'organisation'} {name}",
                {key: own_before.get(key, _own_limits(old)[key]) for key in keys},
                {key: own_after.get(key, _own_limits(new)[key]) for key in keys},
            )


def _model_set_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = (
        {model_set.models: model_set for model_set in terms.limits.models} for terms in (old, new)
    )
    for models in sorted({*before, *after}):
        a, b = before.get(models), after.get(models)
        for who in sorted({*(a.accounts if a else ()), *(b.accounts if b else ()), ""}):
            x, y = (None if model_set is None else most_of_set(model_set, who) for model_set in (a, b))
            if x != y:
                stricter = y is not None and (x is None or y < x)
                text = f"output tokens per day of {who or 'everybody'} for {', '.join(models)}"
                text += f": {_limit_text(x)} becomes {_limit_text(y)}"
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
            text = f"{who} may {'' if b else 'no longer '}request log-probabilities"
            yield TermsDifference(LOOSER if b else STRICTER, f"{where}.{key}", text)
            continue
        stricter = b is not None and (a is None or b < a)
        text = f"{WORDS.get(key, key.replace('_', ' '))} of {who}: {_limit_text(a)} becomes {_limit_text(b)}"
        yield TermsDifference(STRICTER if stricter else LOOSER, f"{where}.{key}", text)


def _limit_text(value: int | None) -> str:
    return "no limit" if value is None else f"{value:,}"


def _ladder_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.ladder, new.ladder
    for rung in b.rungs:
        if all(_is_same_rule(rung, other) is False for other in a.rungs):
            yield TermsDifference(STRICTER, "ladder.rule", f"comes: {_rule_text(rung)}")
    for rung in a.rungs:
        if all(_is_same_rule(rung, other) is False for other in b.rungs):
            yield TermsDifference(LOOSER, "ladder.rule", f"goes: {_rule_text(rung)}")
    if a.dry_run != b.dry_run:
        text = "steps are only recorded, not taken" if b.dry_run else "steps are taken"
        yield TermsDifference(LOOSER if b.dry_run else STRICTER, "ladder.dry_run", text)
    if a.act_on_group_findings != b.act_on_group_findings:
        who = "taken without a person" if b.act_on_group_findings else "only proposed"
        direction = STRICTER if b.act_on_group_findings else LOOSER
        yield TermsDifference(direction, "ladder.act_on_group_findings", f"steps on group findings are {who}")
    yield from _number_changes("ladder", "", a, b, LADDER_NUMBERS)
    for field in fields(a.messages):
        if getattr(a.messages, field.name) != (text := getattr(b.messages, field.name)):
            yield TermsDifference(OTHER, f"ladder.messages.{field.name}", f"clients read: {text!r}")


def _number_changes(
    section: str, noun: str, old: object, new: object, keys: Mapping[str, str]
) -> Iterator[TermsDifference]:
    """Yield numbers that differ. keys: whether an increase of each is STRICTER, LOOSER or OTHER."""
    for key, more_is in keys.items():
        x, y = getattr(old, key), getattr(new, key)
        if x != y:
            direction = more_is if y > x else OPPOSITE[more_is]
            yield TermsDifference(direction, f"{section}.{key}", f"{key}{noun} {x:,} becomes {y:,}")


def _holds_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.holds, new.holds
    if a.mode != b.mode:
        direction = STRICTER if HOLD_MODES.index(b.mode) > HOLD_MODES.index(a.mode) else LOOSER
        yield TermsDifference(direction, "holds.mode", f"mode of randomised holds: {a.mode} becomes {b.mode}")
    yield from _number_changes("holds", " of randomised holds:", a, b, HOLDS_NUMBERS)
    for key in ("exempt_accounts", "exempt_orgs"):
        for name in sorted({*getattr(a, key)} ^ {*getattr(b, key)}):
            comes = name in getattr(b, key)
            text = f"{name} {'is never held' if comes else 'may be held'}"
            yield TermsDifference(LOOSER if comes else STRICTER, f"holds.{key}", text)
    if a.message != b.message:
        yield TermsDifference(OTHER, "holds.message", f"clients read: {b.message!r}")


def _is_same_rule(rung: Rung, other: Rung) -> bool:
    return all(getattr(rung, f.name) == getattr(other, f.name) for f in fields(rung) if f.name != "name")


def _rule_text(rung: Rung) -> str:
    conditions = [
        {None: "", True: "one payer alone", False: "several payers"}[rung.lone],
        f"p at most {rung.p_value_at_most:g}" if rung.p_value_at_most < 1 else "",
        f"{rung.age_at_least_s:,} s after the alarm" if rung.age_at_least_s else "",
        f"{rung.exchanges_at_least:,} exchanges" if rung.exchanges_at_least else "",
        f"{rung.output_tokens_at_least:,} output tokens" if rung.output_tokens_at_least else "",
    ]
    when = ", ".join(filter(None, conditions)) or "any finding"
    return f"{rung.step.name.lower()} is {'taken' if rung.act else 'proposed'} at {when}"


def _models_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    a, b = old.models, new.models
    if a.unknown != b.unknown:
        deny = b.unknown == "deny"
        text = f"models that the lineage table does not know are {'refused' if deny else 'allowed'}"
        yield TermsDifference(STRICTER if deny else LOOSER, "models.unknown", text)
    if a.default != b.default:
        text = f"the model of a request that names none is taken to be {b.default or 'nothing'} instead of "
        yield TermsDifference(OTHER, "models.default", text + (a.default or "nothing"))
    if a.hide_banned != b.hide_banned:
        text = f"banned models are {'hidden' if b.hide_banned else 'shown'} in /v1/models"
        yield TermsDifference(OTHER, "models.hide_banned", text)
    if bool(a.allow) != bool(b.allow):
        text = "only listed models may be used" if b.allow else "models outside the list may be used"
        yield TermsDifference(STRICTER if b.allow else LOOSER, "models.allow", text)
    if a.allow and b.allow:
        for name in sorted({*a.allow} ^ {*b.allow}):
            text = f"{name} {'joins' if name in b.allow else 'leaves'} the list"
            yield TermsDifference(LOOSER if name in b.allow else STRICTER, "models.allow", text)
    for name in sorted({*a.aliases} | {*b.aliases}):
        if (x := a.aliases.get(name)) != (y := b.aliases.get(name)):
            text = f"{name} is an alias of {y or 'itself'} instead of {x or 'itself'}"
            yield TermsDifference(OTHER, f"models.aliases.{name}", text)
    for name in sorted({*a.fallbacks} | {*b.fallbacks}):
        if (hops := b.fallbacks.get(name, ())) != a.fallbacks.get(name, ()):
            text = f"the fallback of {name} is {' or '.join(hops) or 'nothing'}"
            yield TermsDifference(OTHER, f"models.fallbacks.{name}", text)


def _bans_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({ban.family: ban for ban in terms.bans} for terms in (old, new))
    for family in sorted(after.keys() - before.keys()):
        word = "banned" if after[family].prevent else "prohibited, with only a warning"
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
        ("hosted_by_others", "copies hosted by others"),
        ("finetune", "fine-tunes"),
        ("quantized", "quantized copies"),
        ("merged", "merges"),
    ):
        if getattr(a, key) != (covered := getattr(b, key)):
            text = f"the ban on {a.family} {'covers' if covered else 'no longer covers'} {what}"
            yield TermsDifference(STRICTER if covered else LOOSER, f"{where}.includes.{key}", text)
    if a.distilled != b.distilled:
        text = f"models trained on answers of {a.family}: {a.distilled} becomes {b.distilled}"
        stricter = SEVERITY[b.distilled] > SEVERITY[a.distilled]
        yield TermsDifference(STRICTER if stricter else LOOSER, f"{where}.includes.distilled", text)
    for key in ("hosts", "models"):
        for name in sorted({*getattr(a, key)} ^ {*getattr(b, key)}):
            comes = name in getattr(b, key)
            text = f"{name} is {'banned' if comes else 'no longer banned'} with {a.family}"
            yield TermsDifference(STRICTER if comes else LOOSER, f"{where}.{key}", text)
    if a.message != b.message:
        yield TermsDifference(OTHER, f"{where}.message", f"clients read: {b.message!r}")


def _grant_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    """Yield exceptions and permissions that are added, removed, or end at another time."""
    for section in ("exception", "permission"):
        before, after = ({_grant_key(e): e for e in getattr(terms, f"{section}s")} for terms in (old, new))
        for key, entry in after.items():
            held = f"the {section} of {_who(entry)} for {_use_of(entry)}"
            until = _until_text(entry.expires_us)
            reason = f": {entry.reason}" if section == "exception" else ""
            if (previous := before.get(key)) is None:
                text = f"{_may(entry, 'may')} {until}, approved by {entry.approved_by}{reason}"
                yield TermsDifference(LOOSER, section, text)
            elif entry.expires_us != previous.expires_us:
                direction = LOOSER if entry.expires_us > previous.expires_us else STRICTER
                text = f"{held} is valid {until}, not {_until_text(previous.expires_us)}"
                yield TermsDifference(direction, section, text)
            elif section == "exception" and entry != previous:
                yield TermsDifference(OTHER, section, f"{held}: {entry.approved_by}, {entry.reason}")
        for key in [key for key in before if key not in after]:
            yield TermsDifference(STRICTER, section, _may(before[key], "may no longer"))


def _operation_changes(old: Terms, new: Terms) -> Iterator[TermsDifference]:
    before, after = ({(o.method, o.path): o.does for o in terms.operations} for terms in (old, new))
    for method, path in sorted({*before, *after}):
        a, b = before.get((method, path)), after.get((method, path))
        if a != b:
            text = f"{method} {path}: {a or 'what the table says'} becomes {b or 'what the table says'}"
            yield TermsDifference(OTHER, "operation", text)


def _ending_soon(new: Terms, now_us: int) -> Iterator[TermsDifference]:
    for entry in new.exceptions:
        held = f"the exception of {_who(entry)} for {_use_of(entry)}"
        if entry.expires_us <= now_us:
            yield TermsDifference(OTHER, "exception", f"{held} has expired")
        elif entry.expires_us <= now_us + 14 * DAY_US:
            yield TermsDifference(OTHER, "exception", f"{held} is valid {_until_text(entry.expires_us)}")


def _grant_key(entry: ModelException | Permission) -> tuple[object, ...]:
    if isinstance(entry, Permission):
        return entry.account, entry.org, entry.kind
    return entry.account, entry.org, frozenset(entry.models), entry.family


def _may(entry: ModelException | Permission, verb: str) -> str:
    return f"{_who(entry)} {verb} {'use' if isinstance(entry, ModelException) else 'do'} {_use_of(entry)}"


def _who(entry: ModelException | Permission) -> str:
    if entry.account == "*":
        return "everybody"
    return f"the account {entry.account}" if entry.account else f"the organisation {entry.org}"


def _use_of(entry: ModelException | Permission) -> str:
    if isinstance(entry, Permission):
        return entry.kind
    return ", ".join([*([f"the family {entry.family}"] if entry.family else []), *entry.models])


def _until_text(us: int) -> str:
    """Return how long something is valid; the end of a day is written as that day.

    >>> _until_text(86_400_000_000)
    'through 1970-01-01'
    """
    end = time_of(us)
    if us % DAY_US == 0:
        return f"through {(end - timedelta(days=1)).date().isoformat()}"
    return f"until {end:%Y-%m-%dT%H:%M}Z"


def _value_text(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "nothing"
    return "nothing" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
