"""The settings of a policy file, one function each: a TOML table -> its part of `Terms`.

Problems within one table are reported here, those between two in `contradictions`.
"""

from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import pairwise
from typing import Any

from stillwatch.terms import (
    AccountLimits,
    Address,
    Capture,
    Coin,
    Holds,
    IdentitySettings,
    Ladder,
    Messages,
    ModelSet,
    Retention,
    Rung,
    Step,
)
from stillwatch.toml.reading import TableReader, show_value

MOST = 10**15  # more tokens or requests than any limit can mean
MAX_BODY_BYTES = 1 << 30
DAY_S = 86_400
SENSITIVE = {
    "authorization",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "cookie",
    "host",
    "content-length",
    "transfer-encoding",
}
COUNTS = (
    "requests_per_minute", "output_tokens_per_minute", "output_tokens_per_hour", "output_tokens_per_day",
    "batch_output_tokens_per_day", "max_n",
)  # fmt: skip
MOST_SETS = 8  # of models that are counted separately
STEPS = [step.name.lower() for step in Step]


def identity(table: TableReader) -> IdentitySettings:
    header = table.name("end_user_header")
    if header is not None:
        header = header.lower()
        if header in SENSITIVE or not (
            header.isascii() and header.replace("-", "").replace("_", "").isalnum()
        ):
            table.wrong(
                "end_user_header",
                f'the header {show_value(header)} cannot name an end user; give one like "x-end-user"',
            )
            header = None
    built = IdentitySettings(
        keys=table.choice("keys", "issued", ("issued", "upstream")),
        end_user_header=header,
        trusted_proxies=_networks(table, "trusted_proxies"),
    )
    return table.checked(built)


def _networks(table: TableReader, key: str) -> tuple[IPv4Network | IPv6Network, ...]:
    networks = []
    for number, text in enumerate(table.names(key)):
        try:
            networks.append(ip_network(text))
        except ValueError as error:
            hint = 'give a network, as in "10.0.0.0/8"'
            table.notes.wrong((*table.path, key, number), f"{show_value(text)}: {error}; {hint}")
    return tuple(networks)


def capture(table: TableReader) -> Capture:
    built = Capture(
        on_failure=table.choice("on_failure", "serve", ("serve", "refuse")),
        ask_usage=table.flag("ask_usage", False),
        max_body_bytes=table.whole("max_body_bytes", Capture.max_body_bytes, 1024, MAX_BODY_BYTES),
        unknown_paths=table.choice("unknown_paths", Capture.unknown_paths, ("refuse", "pass")),
        links=table.choice("links", Capture.links, ("pass", "pictures", "refuse")),
    )
    return table.checked(built)


def address(table: TableReader) -> Address:
    built = Address(
        connections=table.whole("connections", Address.connections, 1, 1_000_000),
        body_bytes=table.whole("body_bytes", Address.body_bytes, 1 << 20, 1 << 40),
    )
    return table.checked(built)


def retention(table: TableReader) -> Retention:
    built = Retention(
        text_days=table.whole("text_days", Retention.text_days, 0, 3650),
        sketch_days=table.whole("sketch_days", Retention.sketch_days, 1, 3650),
        sketch_answers=table.flag("sketch_answers", Retention.sketch_answers),
    )
    if built.text_days > built.sketch_days:
        table.wrong(
            "text_days",
            f"text_days = {built.text_days} is more than sketch_days = {built.sketch_days}, but texts are "
            "deleted with their sketches: raise sketch_days or lower text_days",
        )
    return table.checked(built)


def coin(table: TableReader) -> Coin:
    built = Coin(
        share=table.share("share", Coin.share),
        chosen_share=table.share("chosen_share", Coin.chosen_share),
        accounts=table.names("accounts"),
        orgs=table.names("orgs"),
        campaigns=table.names("campaigns"),
        watched=table.flag("watched", False),
        sealed=table.choice("texts", "sealed", ("sealed", "plain")) == "sealed",
        output_tokens_per_day=table.whole("output_tokens_per_day", None, 1, MOST),
    )
    if table.has("chosen_share") and not (built.accounts or built.orgs or built.campaigns or built.watched):
        table.wrong(
            "chosen_share", "no account is chosen; name accounts, orgs or campaigns, or set watched = true"
        )
    return table.checked(built)


def holds(table: TableReader) -> Holds:
    one_block_in = table.whole("one_block_in", Holds.one_block_in, 16, 96)
    if (before := table.whole("blocks_per_window", None, 4, 48)) is not None:  # its name in version 0.1
        if table.has("one_block_in"):
            table.wrong("blocks_per_window", "one_block_in replaces this key; remove it")
        one_block_in = max(16, 2 * before)  # one block of each window, of half of the accounts
    built = Holds(
        mode=table.choice("mode", Holds.mode, ("off", "dry_run", "on")),
        days=table.whole("days", Holds.days, 1, 14),
        days_at_most=table.whole("days_at_most", Holds.days_at_most, 1, 56),
        block_minutes=table.whole("block_minutes", Holds.block_minutes, 5, 60),
        one_block_in=one_block_in,
        one_block_in_once_moved=table.whole("one_block_in_once_moved", Holds.one_block_in_once_moved, 4, 96),
        refused_minutes_per_day=table.whole("refused_minutes_per_day", Holds.refused_minutes_per_day, 1, 60),
        refused_share_at_most=table.share("refused_share_at_most", Holds.refused_share_at_most),
        accounts_at_least=table.whole("accounts_at_least", Holds.accounts_at_least, 2, 10_000),
        accounts_at_most=table.whole("accounts_at_most", Holds.accounts_at_most, 2, 10_000),
        candidates_at_once=table.whole("candidates_at_once", Holds.candidates_at_once, 1, 100),
        p_value_at_most=table.share("p_value_at_most", Holds.p_value_at_most),
        exempt_accounts=table.names("exempt_accounts"),
        exempt_orgs=table.names("exempt_orgs"),
        message=table.text("message", Holds.message),
    )
    if built.accounts_at_least > built.accounts_at_most:
        most = f"{built.accounts_at_most:,}"
        what = (
            f"{built.accounts_at_least:,} is more than accounts_at_most ({most}), so no account would be held"
        )
        table.wrong("accounts_at_least", f"{what}; lower it")
    if built.days_at_most < built.days:
        table.wrong("days_at_most", f"{built.days_at_most} is less than days ({built.days}); raise it")
    return table.checked(built)


def limits(table: TableReader) -> AccountLimits:
    counts = {key: table.whole(key, None, 1, MOST) for key in COUNTS}
    logprobs = table.flag("logprobs", True)
    answer_tokens = table.whole("answer_tokens", AccountLimits.answer_tokens, 1, MOST)
    day = table.choice("day", AccountLimits.day, ("calendar", "sliding"))
    _check_spans(table, counts)
    sets = tuple(_model_set(inner) for inner in table.tables("models"))
    if len(sets) > MOST_SETS:
        table.wrong("models", f"{len(sets)} sets of models; give at most {MOST_SETS}")
    of_address = address(table.table("address"))
    accounts, orgs = (
        {name: _override(inner.table(name)) for name in inner.content if inner.fits(name, name)}
        for inner in (table.table("account"), table.table("org"))
    )
    table.check_unknown_keys()
    return AccountLimits(
        **counts,
        logprobs=logprobs,
        accounts=accounts,
        orgs=orgs,
        answer_tokens=answer_tokens,
        models=sets,
        address=of_address,
        day=day,
    )


def _model_set(table: TableReader) -> ModelSet:
    table.need("models", 'name the models, as in models = ["mira-think"]')
    accounts = table.table("account")
    built = ModelSet(
        models=table.names("models"),
        output_tokens_per_day=table.whole("output_tokens_per_day", None, 1, MOST),
        accounts={
            name: inner.whole("output_tokens_per_day", None, 1, MOST)
            for name in accounts.content
            if accounts.fits(name, name) and (inner := accounts.table(name)) is not None
        },
    )
    accounts.check_unknown_keys()
    return table.checked(built)


def _override(table: TableReader) -> dict[str, int | bool | None]:
    """Read what differs for one account or organisation. "none" lifts a limit."""
    overrides: dict[str, int | bool | None] = {}
    for key in COUNTS:
        if table.content.get(key) == "none":
            table.asked.append(key)
            overrides[key] = None
        elif (value := table.whole(key, None, 1, MOST, ', or "none"')) is not None:
            overrides[key] = value
    if table.has("logprobs"):
        overrides["logprobs"] = table.flag("logprobs", True)
    _check_spans(table, overrides)
    if not table.content:
        table.wrong("", "is empty; give a limit that differs, or remove the table")
    return table.checked(overrides)


def _check_spans(table: TableReader, limits: dict[str, Any]) -> None:
    """Require that a longer span allows no less than a shorter one: the shorter limit could never apply."""
    spans = [key for key in COUNTS if key.startswith("output_tokens") and limits.get(key) is not None]
    for short, long in pairwise(spans):
        if limits[short] > limits[long]:
            table.wrong(
                short,
                f"{limits[short]:,} is more than {long} allows ({limits[long]:,}); lower it or raise {long}",
            )


def ladder(table: TableReader) -> Ladder:
    acts = table.choice("mode", "propose", ("propose", "act")) == "act"
    may_alter = table.flag("alter_replies", False)
    rungs = tuple(
        rung(inner, number, acts, may_alter) for number, inner in enumerate(table.tables("rule"), start=1)
    )
    messages = table.table("messages")
    built = Ladder(
        rungs=rungs or Ladder.rungs,
        act_on_group_findings=table.flag("act_on_group_findings", False),
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
    messages.check_unknown_keys()
    return table.checked(built)


def rung(table: TableReader, number: int, act: bool, alter: bool) -> Rung:
    table.need("step", 'give the step, as in step = "throttle"')
    lone = table.flag("lone", False)
    built = Rung(
        step=Step[table.choice("step", "watch", STEPS[1:]).upper()],
        act=table.choice("mode", "act" if act else "propose", ("propose", "act")) == "act",
        name=f"ladder.rule {number}",
        p_value_at_most=table.share("p_value_at_most", 1.0),
        age_at_least_s=table.whole("age_at_least_s", 0, 0, 365 * DAY_S),
        exchanges_at_least=table.whole("exchanges_at_least", 0, 0, MOST),
        output_tokens_at_least=table.whole("output_tokens_at_least", 0, 0, MOST),
        lone=lone if table.has("lone") else None,
    )
    if built.act and built.step in (Step.STRIP, Step.MARK) and not alter:
        table.wrong(
            "step",
            f'"{built.step.name.lower()}" changes replies without a person\'s approval; set alter_replies ='
            ' true in [ladder], or mode = "propose" here',
        )
    return table.checked(built)
