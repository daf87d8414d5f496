"""The entries of a policy file: models, bans, exceptions, permissions, tests. TOML tables -> parts of
`Terms`.

Problems within one entry are reported here, those between two entries in `contradictions`.
"""

from typing import Any

from stillwatch.exchanges.operations import DOES, METHODS, OPERATIONS, Operation, wrong_path
from stillwatch.lineage.skeleton import skeleton
from stillwatch.terms import (
    AccountUsage,
    Ban,
    EnforcementStatus,
    ModelException,
    Models,
    Permission,
    RequestFacts,
    Step,
    TermsTest,
)
from stillwatch.terms.outcome import OUTCOMES
from stillwatch.terms.sections import MOST, STEPS
from stillwatch.toml.reading import TableReader, show_value

NAMES = list(dict.fromkeys(line.name for line in OPERATIONS.lines))
APPROVED = 'name who approved it, as in approved_by = "ciso@example.com"'
EXPIRES = "say when it ends, as in expires = 2027-01-31"


def models(table: TableReader) -> Models:
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
        allow=_model_names(table, "allow"),
        hide_banned=table.flag("hide_banned", True),
    )
    return table.checked(built)


def _model_names(table: TableReader, key: str) -> tuple[str, ...]:
    """Read model names. They are compared without disguise, so something must remain after folding."""
    names = table.names(key)
    for name in names:
        if not skeleton(name):
            table.wrong(key, f"{show_value(name)} has no letters or digits, so it would match nothing")
    return names


def ban(table: TableReader) -> Ban:
    table.need("family", 'name the family, as in family = "deepseek"')
    includes = table.table("includes")
    built = Ban(
        family=table.name("family", ""),
        **{key: includes.flag(key, True) for key in ("hosted_by_others", "finetune", "quantized", "merged")},
        distilled=includes.choice("distilled", Ban.distilled, ("allow", "warn", "deny")),
        hosts=_hosts(table, "hosts"),
        models=_model_names(table, "models"),
        prevent=table.choice("mode", "prevent", ("prevent", "prohibit")) == "prevent",
        message=table.text("message", Ban.message),
    )
    rest = built.message.replace("{reason}", "").replace("{model}", "")
    if "{" in rest or "}" in rest:
        table.wrong("message", "contains a brace outside {reason} and {model}; remove it")
    includes.check_unknown_keys()
    return table.checked(built)


def _hosts(table: TableReader, key: str) -> tuple[str, ...]:
    hosts = []
    for number, host in enumerate(table.names(key)):
        labels = host.removeprefix("*.").lower().split(".")
        if len(labels) < 2 or not all(_is_label(label) for label in labels):
            hint = 'give a host name, as in "api.example.com" or "*.example.com"'
            table.notes.wrong((*table.path, key, number), f"{show_value(host)} is not a host name; {hint}")
        else:
            hosts.append(host.lower())
    return tuple(hosts)


def _is_label(text: str) -> bool:
    return (
        0 < len(text) < 64 and text.isascii() and text.replace("-", "").isalnum() and text.strip("-") == text
    )


def _holder(table: TableReader, everybody: bool) -> tuple[str | None, str | None]:
    account, org = table.name("account"), table.name("org")
    if table.has("account") == table.has("org"):
        problem = "both `account` and `org`" if account else "`account` or `org` is missing"
        table.wrong("", f"{problem}; name one account or one organisation")
    if account == "*" and not everybody:
        table.wrong(
            "account", 'a permission cannot apply to every account; name one account, or use org = "..."'
        )
    return account, org


def _approval(table: TableReader, what: str) -> dict[str, Any]:
    table.need("approved_by", APPROVED)
    table.need("expires", f"{EXPIRES}: every {what} needs an end")
    return {"approved_by": table.name("approved_by", ""), "expires_us": table.moment("expires", 0)}


def exception(table: TableReader) -> ModelException:
    account, org = _holder(table, everybody=True)
    table.need("reason", 'give the reason, as in reason = "security testing"')
    built = ModelException(
        account=account,
        org=org,
        models=_model_names(table, "models"),
        family=table.name("family"),
        reason=table.text("reason", ""),
        **_approval(table, "exception"),
    )
    if not built.models and not table.has("family"):
        table.wrong("", "has neither `models` nor `family`; name the models or the family")
    return table.checked(built)


def permission(table: TableReader) -> Permission:
    account, org = _holder(table, everybody=False)
    table.need("kind", 'give the kind of use, as in kind = "synthetic-data"')
    built = Permission(
        account=account, org=org, kind=table.name("kind", ""), **_approval(table, "permission")
    )
    table.name("reason")
    return table.checked(built)


def test(table: TableReader) -> TermsTest:
    table.need("request", 'give the request, as in request = { model = "gpt-4o" }')
    table.need("expect", 'give the expected decision, as in expect = "deny"')
    built = TermsTest(
        ask=_request(table.table("request")),
        expect=table.choice("expect", "allow", OUTCOMES),
        line=table.notes.line(table.path),
        standing=_standing(table),
        spent=_usage(table.table("spent")),
        served=table.name("served"),
        resolves_to=table.name("resolves_to"),
        rule=table.name("rule"),
        held=table.flag("held", False),
        at_us=table.moment("at"),
    )
    table.text("because", "")
    return table.checked(built)


def operation(table: TableReader) -> Operation:
    table.need("path", 'give the path that clients ask for, as in path = "/v1/audio/{voice}/speech"')
    table.need("does", 'give what it does, as in does = "generates"')
    path = table.name("path", "/")
    if table.has("path") and (why := wrong_path(path)):
        table.wrong("path", f"{show_value(path)}: {why}")
    built = Operation(
        api="owner",
        method=table.choice("method", "POST", METHODS),
        path=path,
        does=table.choice("does", "generates", DOES),
        name=table.name("name", "other"),
        by_owner=True,
    )
    return table.checked(built)


def _request(table: TableReader) -> RequestFacts:
    built = RequestFacts(
        account=table.name("account", "somebody"),
        org=table.name("org"),
        end_user=table.name("end_user"),
        operation=table.choice("operation", "chat", NAMES),
        model=table.name("model"),
        stream=table.flag("stream", False),
        n=table.whole("n", 1, 1, MOST),
        logprobs=table.flag("logprobs", False),
        body_bytes=table.whole("body_bytes", 0, 0, MOST),
    )
    return table.checked(built)


def _standing(table: TableReader) -> EnforcementStatus | None:
    """Read a step given by its name, or a table with a step in it."""
    if not table.has("standing"):
        table.asked.append("standing")
        return None
    if type(table.content["standing"]) is str:
        return EnforcementStatus(step=Step[table.choice("standing", "clear", STEPS).upper()], since_us=0)
    inner = table.table("standing")
    built = EnforcementStatus(
        step=Step[inner.choice("step", "clear", STEPS).upper()],
        since_us=0,
        output_tokens_per_hour=inner.whole("output_tokens_per_hour", None, 0, MOST),
        mark=inner.name("mark"),
        until_us=inner.moment("until"),
    )
    return inner.checked(built)


def _usage(table: TableReader) -> AccountUsage:
    keys = (
        "requests_minute", "output_tokens_minute", "output_tokens_hour", "output_tokens_day",
        "held_minutes_day",
    )  # fmt: skip
    return table.checked(AccountUsage(**{key: table.whole(key, 0, 0, MOST) for key in keys}))
