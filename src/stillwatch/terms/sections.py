"""The sections of a terms file, one function each: a table of TOML -> its part of `Terms`.

They say what is wrong inside one table. What is wrong between two is `contradictions`.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Any

from stillwatch.terms import (
    Ask,
    Ban,
    Capture,
    Identity,
    Ladder,
    Limits,
    Messages,
    ModelException,
    Models,
    Permission,
    Retention,
    Rung,
    Spent,
    Standing,
    Step,
    TermsTest,
)
from stillwatch.terms.outcome import OUTCOMES
from stillwatch.terms.reading import Table, shown

MOST = 10**15  # more tokens or requests than any limit can mean
MAX_BODY_BYTES = 1 << 30
DAY_S = 86_400
SENSITIVE = {"authorization", "x-api-key", "api-key", "cookie", "host", "content-length", "transfer-encoding"}
COUNTS = (
    "requests_per_minute",
    "output_tokens_per_minute",
    "output_tokens_per_hour",
    "output_tokens_per_day",
    "max_n",
)
STEPS = [step.name.lower() for step in Step]
OPERATIONS = ["chat", "responses", "completions", "embeddings", "messages", "models", "other"]
APPROVED = 'name who approved it, as in approved_by = "ciso@example.com"'
EXPIRES = "say when it ends, as in expires = 2027-01-31"


def identity(table: Table) -> Identity:
    header = table.name("end_user_header")
    if header is not None:
        header = header.lower()
        if header in SENSITIVE or not (
            header.isascii() and header.replace("-", "").replace("_", "").isalnum()
        ):
            table.wrong(
                "end_user_header", f'{shown(header)} cannot carry an end user; give one like "x-end-user"'
            )
            header = None
    known = Identity(
        keys=table.choice("keys", "issued", ("issued", "upstream")),
        end_user_header=header,
        trusted_proxies=_networks(table, "trusted_proxies"),
    )
    table.done()
    return known


def _networks(table: Table, key: str) -> tuple[IPv4Network | IPv6Network, ...]:
    found = []
    for number, text in enumerate(table.names(key)):
        try:
            found.append(ip_network(text))
        except ValueError as error:
            right = 'give a network, as in "10.0.0.0/8"'
            table.notes.wrong((*table.path, key, number), f"{shown(text)}: {error}; {right}")
    return tuple(found)


def capture(table: Table) -> Capture:
    kept = Capture(
        on_failure=table.choice("on_failure", "serve", ("serve", "refuse")),
        ask_usage=table.flag("ask_usage", False),
        max_body_bytes=table.whole("max_body_bytes", Capture.max_body_bytes, 1024, MAX_BODY_BYTES),
    )
    table.done()
    return kept


def retention(table: Table) -> Retention:
    kept = Retention(
        text_days=table.whole("text_days", Retention.text_days, 0, 3650),
        sketch_days=table.whole("sketch_days", Retention.sketch_days, 1, 3650),
    )
    if kept.text_days > kept.sketch_days:
        table.wrong(
            "text_days",
            f"{kept.text_days} days for texts, but only {kept.sketch_days} for sketches; texts go with the "
            "sketches: raise sketch_days or lower text_days",
        )
    table.done()
    return kept


def limits(table: Table) -> Limits:
    general = {key: table.whole(key, None, 1, MOST) for key in COUNTS}
    logprobs = table.flag("logprobs", True)
    _grow(table, general)
    accounts, orgs = (
        {name: _override(below.table(name)) for name in below.content if below.fits(name, name)}
        for below in (table.table("account"), table.table("org"))
    )
    table.done()
    return Limits(**general, logprobs=logprobs, accounts=accounts, orgs=orgs)


def _override(table: Table) -> dict[str, int | bool | None]:
    """What differs for one account or organisation. "none" lifts a limit."""
    differs: dict[str, int | bool | None] = {}
    for key in COUNTS:
        if table.content.get(key) == "none":
            table.asked.append(key)
            differs[key] = None
        elif (value := table.whole(key, None, 1, MOST)) is not None:
            differs[key] = value
    if table.has("logprobs"):
        differs["logprobs"] = table.flag("logprobs", True)
    _grow(table, differs)
    if not table.content:
        table.wrong("", "holds nothing; give a limit that differs, or leave the table out")
    table.done()
    return differs


def _grow(table: Table, given: dict[str, Any]) -> None:
    """A longer span must not allow less than a shorter one: the shorter limit could never bite."""
    spans = [key for key in COUNTS if key.startswith("output_tokens") and given.get(key) is not None]
    for short, long in pairwise(spans):
        if given[short] > given[long]:
            table.wrong(
                short,
                f"{given[short]:,} is more than {long} allows ({given[long]:,}); lower it or raise {long}",
            )


def ladder(table: Table) -> Ladder:
    act = table.choice("mode", "propose", ("propose", "act")) == "act"
    alter = table.flag("alter_replies", False)
    rungs = tuple(
        rung(below, number, act, alter) for number, below in enumerate(table.tables("rule"), start=1)
    )
    messages = table.table("messages")
    built = Ladder(
        rungs=rungs or Ladder.rungs,
        dry_run=table.flag("dry_run", False),
        delay_s=table.whole("delay_s", 0, 0, 30 * DAY_S),
        jitter_s=table.whole("jitter_s", 0, 0, 30 * DAY_S),
        max_accounts=table.whole("max_accounts", Ladder.max_accounts, 0, 1_000_000),
        throttle_output_tokens_per_hour=table.whole(
            "throttle_output_tokens_per_hour", Ladder.throttle_output_tokens_per_hour, 0, MOST
        ),
        messages=Messages(
            **{
                key: messages.text(key, getattr(Messages, key))
                for key in ("block", "verify", "throttle", "strip")
            }
        ),
    )
    messages.done()
    table.done()
    return built


def rung(table: Table, number: int, act: bool, alter: bool) -> Rung:
    table.need("step", 'say what to do, as in step = "throttle"')
    built = Rung(
        step=Step[table.choice("step", "watch", STEPS[1:]).upper()],
        act=table.choice("mode", "act" if act else "propose", ("propose", "act")) == "act",
        name=f"ladder.rule {number}",
        p_value_at_most=table.share("p_value_at_most", 1.0),
        age_at_least_s=table.whole("age_at_least_s", 0, 0, 365 * DAY_S),
        exchanges_at_least=table.whole("exchanges_at_least", 0, 0, MOST),
        output_tokens_at_least=table.whole("output_tokens_at_least", 0, 0, MOST),
    )
    if built.act and built.step in (Step.STRIP, Step.MARK) and not alter:
        table.wrong(
            "step",
            f'"{built.step.name.lower()}" alters replies without a person; '
            'set alter_replies = true in [ladder], or mode = "propose" here',
        )
    table.done()
    return built


def models(table: Table) -> Models:
    aliases, fallbacks = table.table("aliases"), table.table("fallbacks")
    built = Models(
        unknown=table.choice("unknown", "allow", ("allow", "deny")),
        default=table.name("default"),
        aliases={
            name: target
            for name in aliases.content
            if aliases.fits(name, name) and (target := aliases.name(name)) is not None
        },
        fallbacks={name: fallbacks.names(name) for name in fallbacks.content if fallbacks.fits(name, name)},
        allow=table.names("allow"),
        hide_banned=table.flag("hide_banned", True),
    )
    table.done()
    return built


def ban(table: Table) -> Ban:
    if table.need("family", 'name the family, as in family = "deepseek"'):
        family = table.name("family", "")
    else:
        family = ""
    includes = table.table("includes")
    built = Ban(
        family=family,
        **{key: includes.flag(key, True) for key in ("hosted_by_others", "finetune", "quantized", "merged")},
        distilled=includes.choice("distilled", Ban.distilled, ("allow", "warn", "deny")),
        hosts=_hosts(table, "hosts"),
        models=table.names("models"),
        prevent=table.choice("mode", "prevent", ("prevent", "prohibit")) == "prevent",
        message=table.text("message", Ban.message),
    )
    rest = built.message.replace("{reason}", "").replace("{model}", "")
    if "{" in rest or "}" in rest:
        table.wrong("message", "holds a brace that is no {reason} or {model}; leave it out")
    includes.done()
    table.done()
    return built


def _hosts(table: Table, key: str) -> tuple[str, ...]:
    found = []
    for number, host in enumerate(table.names(key)):
        labels = host.removeprefix("*.").lower().split(".")
        if len(labels) < 2 or not all(_is_label(label) for label in labels):
            right = 'give a host name, as in "api.example.com" or "*.example.com"'
            table.notes.wrong((*table.path, key, number), f"{shown(host)} is no host name; {right}")
        else:
            found.append(host.lower())
    return tuple(found)


def _is_label(text: str) -> bool:
    return (
        0 < len(text) < 64 and text.isascii() and text.replace("-", "").isalnum() and text.strip("-") == text
    )


def _who(table: Table, everybody: bool) -> tuple[str | None, str | None]:
    account, org = table.name("account"), table.name("org")
    if table.has("account") == table.has("org"):
        what = "both `account` and `org`" if account else "`account` or `org` is missing"
        table.wrong("", f"{what}; name one account or one organisation")
    if account == "*" and not everybody:
        table.wrong("account", 'nobody can permit everybody; name one account, or use org = "..."')
    return account, org


def _approval(table: Table, what: str) -> dict[str, Any]:
    table.need("approved_by", APPROVED)
    table.need("expires", f"{EXPIRES}: no {what} is for ever")
    return {"approved_by": table.name("approved_by", ""), "expires_us": table.moment("expires", 0)}


def exception(table: Table) -> ModelException:
    account, org = _who(table, everybody=True)
    table.need("reason", 'say why, as in reason = "security testing"')
    built = ModelException(
        account=account,
        org=org,
        models=table.names("models"),
        family=table.name("family"),
        reason=table.text("reason", ""),
        **_approval(table, "exception"),
    )
    if not built.models and not table.has("family"):
        table.wrong("", "names neither `models` nor `family`; say what is excepted")
    table.done()
    return built


def permission(table: Table) -> Permission:
    account, org = _who(table, everybody=False)
    table.need("kind", 'say for what, as in kind = "synthetic-data"')
    built = Permission(
        account=account, org=org, kind=table.name("kind", ""), **_approval(table, "permission")
    )
    table.name("reason")
    table.done()
    return built


def test(table: Table) -> TermsTest:
    table.need("request", 'give one, as in request = { model = "gpt-4o" }')
    table.need("expect", 'say what must come of it, as in expect = "deny"')
    built = TermsTest(
        ask=_ask(table.table("request")),
        expect=table.choice("expect", "allow", OUTCOMES),
        line=table.notes.line(table.path),
        standing=_standing(table),
        spent=_spent(table.table("spent")),
        served=table.name("served"),
        resolves_to=table.name("resolves_to"),
        rule=table.name("rule"),
        at_us=table.moment("at"),
    )
    table.text("because", "")
    table.done()
    return built


def _ask(table: Table) -> Ask:
    built = Ask(
        account=table.name("account", "somebody"),
        org=table.name("org"),
        end_user=table.name("end_user"),
        operation=table.choice("operation", "chat", OPERATIONS),
        model=table.name("model"),
        stream=table.flag("stream", False),
        n=table.whole("n", 1, 1, MOST),
        logprobs=table.flag("logprobs", False),
        body_bytes=table.whole("body_bytes", 0, 0, MOST),
    )
    table.done()
    return built


def _standing(table: Table) -> Standing | None:
    """A step by its name, or a table with a step in it."""
    if not table.has("standing"):
        table.asked.append("standing")
        return None
    if type(table.content["standing"]) is str:
        return Standing(step=Step[table.choice("standing", "clear", STEPS).upper()], since_us=0)
    below = table.table("standing")
    built = Standing(
        step=Step[below.choice("step", "clear", STEPS).upper()],
        since_us=0,
        output_tokens_per_hour=below.whole("output_tokens_per_hour", None, 0, MOST),
        mark=below.name("mark"),
        until_us=below.moment("until"),
    )
    below.done()
    return built


def _spent(table: Table) -> Spent:
    keys = ("requests_minute", "output_tokens_minute", "output_tokens_hour", "output_tokens_day")
    built = Spent(**{key: table.whole(key, 0, 0, MOST) for key in keys})
    table.done()
    return built
