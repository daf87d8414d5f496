"""One pure decision: the order of reasons, bans by lineage, and what no policy can cause."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.terms import (
    AccountLimits,
    AccountUsage,
    Ban,
    Capture,
    Decision,
    EnforcementStatus,
    Ladder,
    ModelException,
    Models,
    ModelVerdict,
    RequestFacts,
    Step,
    Terms,
)
from stillwatch.terms.decide import (
    batch_limit,
    decide,
    host_verdict,
    limits_for,
    model_verdict,
    reply_verdict,
)
from stillwatch.terms.load import loads
from stillwatch.terms.outcome import OUTCOMES, meets, outcome

NOW_US = 1_790_000_030_000_000  # half a minute into a minute
HOUR_US = 3_600_000_000
PLAIN = Terms(version=1)
UNSPENT = AccountUsage()
BANNED = Terms(version=1, bans=(Ban("deepseek"),))


def ask(model: str | None = "gpt-4o", **more: object) -> RequestFacts:
    return replace(RequestFacts("acct", None, "chat", model), **more)  # type: ignore[arg-type]


def decided(
    terms: Terms,
    request: RequestFacts,
    step: Step = Step.CLEAR,
    spent: AccountUsage = UNSPENT,
    **more: object,
) -> Decision:
    standing = EnforcementStatus(step, 0, **more)  # type: ignore[arg-type]
    return decide(terms, standing, request, None, spent, NOW_US)


def may(terms: Terms, model: str | None, account: str = "acct", org: str | None = None) -> ModelVerdict:
    return model_verdict(terms, model, account, NOW_US, org)


def excepted(**who: str) -> ModelException:
    return ModelException("cio", "tests", NOW_US + HOUR_US, models=("deepseek-r1",), **who)  # type: ignore[arg-type]


def test_without_rules_everything_goes() -> None:
    assert decide(PLAIN, None, ask(), None, AccountUsage(), NOW_US) == Decision(True)


def test_the_order_of_reasons() -> None:
    terms = replace(
        BANNED,
        capture=Capture(max_body_bytes=100),
        limits=AccountLimits(requests_per_minute=1, output_tokens_per_hour=10, max_n=1, logprobs=False),
    )
    worst = ask("deepseek-chat", n=2, logprobs=True, body_bytes=101)
    used = AccountUsage(
        requests_minute=1, output_tokens_minute=10, output_tokens_hour=10, output_tokens_day=10
    )
    steps = [
        (worst, Step.BLOCK, used, (403, "account_blocked", "standing.block")),
        (worst, Step.VERIFY, used, (403, "model_banned", "ban:deepseek")),
        (
            replace(worst, model="gpt-4o"),
            Step.VERIFY,
            used,
            (403, "verification_required", "standing.verify"),
        ),
        (
            replace(worst, model="gpt-4o"),
            Step.THROTTLE,
            used,
            (413, "body_too_large", "capture.max_body_bytes"),
        ),
        (ask(n=2, logprobs=True), Step.THROTTLE, used, (400, "too_many_answers", "limits.max_n")),
        (ask(logprobs=True), Step.THROTTLE, used, (403, "logprobs_not_allowed", "limits.logprobs")),
        (ask(), Step.THROTTLE, used, (429, "rate_limited", "limits.output_tokens_per_hour")),
        (
            ask(),
            Step.THROTTLE,
            AccountUsage(requests_minute=1),
            (429, "rate_limited", "limits.requests_per_minute"),
        ),
    ]
    for request, step, spent, (status, code, rule) in steps:
        got = decided(terms, request, step, spent, output_tokens_per_hour=5)
        assert (got.allow, got.status, got.code, got.rule) == (False, status, code, rule)
        assert got.message
    throttled = decided(
        terms, ask(), Step.THROTTLE, AccountUsage(output_tokens_hour=6), output_tokens_per_hour=5
    )
    assert (throttled.status, throttled.rule) == (429, "standing.throttle")
    just = decided(terms, ask(), Step.THROTTLE, AccountUsage(output_tokens_hour=5), output_tokens_per_hour=5)
    assert just.status == 429


def test_how_long_to_wait() -> None:
    limits = AccountLimits(requests_per_minute=5, output_tokens_per_minute=9, output_tokens_per_day=99)
    terms = replace(PLAIN, limits=limits)
    waits = {
        AccountUsage(requests_minute=5): 60 - NOW_US // 1_000_000 % 60,
        AccountUsage(output_tokens_minute=9): 60 - NOW_US // 1_000_000 % 60,
        AccountUsage(output_tokens_day=99, requests_minute=5): 86_400 - NOW_US // 1_000_000 % 86_400,
    }
    for spent, wait_s in waits.items():
        assert decided(terms, ask(), spent=spent).retry_after_s == wait_s
    assert decided(terms, ask(), Step.THROTTLE, AccountUsage(output_tokens_hour=10**9)).retry_after_s == (
        3600 - NOW_US // 1_000_000 % 3600
    )


def test_what_is_left_is_what_the_narrowest_leaves() -> None:
    terms = replace(PLAIN, limits=AccountLimits(output_tokens_per_hour=1000, output_tokens_per_day=5000))
    assert decided(PLAIN, ask()).output_tokens_left is None
    assert decided(terms, ask(), spent=AccountUsage(output_tokens_hour=100)).output_tokens_left == 900
    assert decided(terms, ask(), spent=AccountUsage(output_tokens_day=4900)).output_tokens_left == 100
    for step in (Step.THROTTLE, Step.STRIP, Step.MARK):
        spent = AccountUsage(output_tokens_hour=30)
        assert decided(terms, ask(), step, spent, output_tokens_per_hour=50).output_tokens_left == 20
        assert decided(PLAIN, ask(), step, spent).output_tokens_left == 20_000 - 30


def test_what_each_step_does() -> None:
    watched, throttled, stripped, marked = (
        decided(PLAIN, ask(), step, mark="m") for step in (Step.WATCH, Step.THROTTLE, Step.STRIP, Step.MARK)
    )
    assert watched == decided(PLAIN, ask())  # it has no noticeable effect
    assert (throttled.strip, throttled.mark, throttled.warn) == (False, None, None)
    assert (stripped.strip, stripped.mark) == (True, None)
    assert stripped.warn == "Log-probabilities and reasoning are withheld from this account."
    assert (marked.strip, marked.mark) == (True, "m")


def test_a_standing_ends_by_itself() -> None:
    ended = EnforcementStatus(Step.BLOCK, 0, until_us=NOW_US)
    assert decide(PLAIN, ended, ask(), None, AccountUsage(), NOW_US).allow
    assert not decide(PLAIN, ended, ask(), None, AccountUsage(), NOW_US - 1).allow


def test_operations_without_answers_are_not_held_to_budgets_of_answers() -> None:
    terms = replace(PLAIN, limits=AccountLimits(output_tokens_per_hour=1, requests_per_minute=5))
    full = AccountUsage(output_tokens_hour=10**9)
    for operation in ("models", "embeddings"):
        request = ask(operation=operation)
        assert decided(terms, request, Step.THROTTLE, full).allow
        assert not decided(terms, request, Step.THROTTLE, AccountUsage(requests_minute=5)).allow
    assert not decided(terms, ask(operation="other"), Step.THROTTLE, full).allow


def test_own_limits_go_before_the_organisations_before_everybodys() -> None:
    limits = AccountLimits(
        requests_per_minute=10,
        max_n=2,
        orgs={"org": {"requests_per_minute": 20, "max_n": 8}},
        accounts={"acct": {"requests_per_minute": None}},
    )
    terms = replace(PLAIN, limits=limits)
    assert limits_for(terms, "other", None) is limits
    assert limits_for(terms, "other", "org").requests_per_minute == 20
    own = limits_for(terms, "acct", "org")
    assert (own.requests_per_minute, own.max_n) == (None, 8)


@pytest.mark.parametrize(
    ("model", "allow"),
    [
        ("deepseek-chat", False),
        ("DEEPSEEK_R1", False),
        ("azure_ai/MAI-DS-R1", False),
        ("openrouter/deepseek/deepseek-r1:free", False),
        ("d\u0435\u0435pseek-v3", False),  # Cyrillic letters
        ("https://api.deepseek.com/v1", False),
        ("deepthink-translator", True),
        ("gpt-4o", True),
        ("x" * 513, False),
    ],
)
def test_a_ban_is_on_lineage(model: str, allow: bool) -> None:
    verdict = may(BANNED, model)
    assert verdict.allow is allow
    assert verdict.reason.isascii()
    assert verdict.reason.isprintable()
    assert decided(BANNED, ask(model)).allow is allow


@pytest.mark.parametrize(
    ("switch", "model"),
    [
        ("finetune", "azure_ai/MAI-DS-R1"),
        ("quantized", "deepseek-v3-awq"),
        ("merged", "qwen-deepseek-merge"),
        ("hosted_by_others", "deepinfra/deepseek-chat"),
    ],
)
def test_how_far_a_ban_reaches(switch: str, model: str) -> None:
    assert not may(BANNED, model).allow
    narrow = replace(PLAIN, bans=(replace(Ban("deepseek"), **{switch: False}),))  # type: ignore[arg-type]
    assert may(narrow, model).allow
    assert not may(narrow, "deepseek/deepseek-chat").allow  # the maker's own, on the maker's own service


def test_students_have_their_own_switch() -> None:
    student = "deepseek-r1-distill-qwen-32b"
    for word, outcome_ in (("allow", "allow"), ("warn", "warn"), ("deny", "ban")):
        terms = replace(PLAIN, bans=(Ban("deepseek", distilled=word),))
        assert outcome(decided(terms, ask(student))) == outcome_
    # They are a fine-tune of the weights that they were made from.
    assert not may(replace(PLAIN, bans=(Ban("qwen"),)), student).allow
    assert may(replace(PLAIN, bans=(Ban("qwen", finetune=False),)), student).allow


def test_prohibited_is_allowed_with_a_warning() -> None:
    terms = replace(PLAIN, bans=(Ban("deepseek", prevent=False, message="No {model}: {reason}"),))
    got = decided(terms, ask("deepseek-chat"))
    assert (got.allow, got.rule) == (True, "ban:deepseek")
    assert got.warn == "No deepseek-chat: 'deepseek-chat' is of the banned family deepseek."


def test_the_name_of_a_model_cannot_speak_for_the_owner() -> None:
    terms = replace(PLAIN, bans=(Ban("deepseek", message="{model}: {reason}"),))
    verdict = may(terms, "deepseek\r\nset-cookie: x\u202e" + "y" * 300)
    assert verdict.reason.isascii()
    assert verdict.reason.isprintable()
    assert len(verdict.reason) < 400


def test_extra_names_and_hosts() -> None:
    terms = replace(PLAIN, bans=(Ban("in-house", models=("Secret LLM",), hosts=("*.evil.example",)),))
    for model in ("secret-llm", "router/secret_llm:free", "https://api.evil.example:8000/v1/gpt-4o"):
        assert may(terms, model).rule == "ban:in-house"
    assert may(terms, "secret-llm-2").allow
    assert not host_verdict(terms, "API.evil.example.").allow
    assert host_verdict(terms, "evil.example").allow
    assert not host_verdict(BANNED, "api.deepseek.com").allow  # the vendor's own, without being listed
    assert host_verdict(BANNED, "deepseek.com.example").allow


@pytest.mark.parametrize(
    ("model", "switch"),
    [
        ("nimbus/Acme-7B-Instruct-GGUF", "quantized"),
        ("acme-7b-q4_k_m.gguf", "quantized"),
        ("hf.co/nimbus/ACME_7B:Q8_0", None),  # the name itself, and a tag: its own at any switch
        ("ft-acme7b-lora", "finetune"),
        ("router/acme-7b-slerp:free", "merged"),
        ("acme-7b-chat", None),
        ("acme-7b-distill", "distilled"),
        ("acme-7b-mini", "another"),  # a separate model
        ("acme-70b", "another"),
        ("acme-7b-v2", "another"),
        ("pacme-7b", "another"),
        ("gpt-4o", "another"),
    ],
)
def test_a_ban_on_a_model_that_the_table_does_not_know_reaches_its_copies(
    model: str, switch: str | None
) -> None:
    ban = Ban("acme", models=("Acme 7B",), distilled="deny")
    assert may(replace(PLAIN, bans=(ban,)), model).allow is (switch == "another")
    if switch not in (None, "another"):
        off = replace(ban, **{switch: "allow" if switch == "distilled" else False})  # type: ignore[arg-type]
        assert may(replace(PLAIN, bans=(off,)), model).allow


def test_the_upstreams_model_is_what_counts() -> None:
    aliases = {"fast": "quick", "quick": "deepseek/deepseek-chat", "deepseek-old": "gpt-4o"}
    terms = replace(BANNED, models=Models(aliases=aliases, fallbacks={"gpt-4o": ("mistral-small", "fast")}))
    verdict = may(terms, "fast")
    assert (verdict.allow, verdict.target) == (False, "deepseek/deepseek-chat")
    assert not may(terms, "FAST").allow  # the upstream may fold spellings
    assert not may(terms, "gpt-4o").allow  # the possible fallback is decided on, too
    assert "may be answered by another model" in may(terms, "gpt-4o").reason
    moved = replace(terms, models=replace(terms.models, fallbacks={}))
    assert may(moved, "deepseek-old") == ModelVerdict(True, "allowed", "gpt-4o", "gpt")
    assert not may(moved, "DeepSeek-Old").allow  # but the upstream may not fold them


@pytest.mark.parametrize(
    "name", ["llama3,deepseek-chat", "qwen3-32b, deepseek-chat", "deepseek-chat,llama3", ",fast,"]
)
def test_of_a_list_of_models_each_may_answer(name: str) -> None:
    """LiteLLM requests all of "a,b"; as one name it would be a student of b on the weights of a."""
    terms = replace(BANNED, models=Models(aliases={"fast": "deepseek-chat"}))
    assert not model_verdict(terms, name, "acct", NOW_US).allow
    assert model_verdict(terms, "llama3,gpt-4o", "acct", NOW_US).allow
    assert not model_verdict(terms, "a," * 300, "acct", NOW_US).allow  # too long for a name
    if "fast" not in name:
        assert not model_verdict(BANNED, name, "acct", NOW_US).allow


def test_fallbacks_may_lead_in_circles() -> None:
    fallbacks = {"gpt-4o": ("claude-sonnet-4",), "claude-sonnet-4": ("gpt-4o", "mistral-small")}
    terms = replace(BANNED, models=Models(fallbacks=fallbacks))
    assert may(terms, "gpt-4o").allow
    fallbacks["mistral-small"] = ("deepseek-chat",)
    assert not may(terms, "gpt-4o").allow


def test_unknown_models_by_policy() -> None:
    strict = replace(PLAIN, models=Models(unknown="deny"))
    assert may(PLAIN, "our-own-llm").allow
    assert may(strict, "our-own-llm").rule == "models.unknown"
    assert may(strict, "gpt-4o").allow
    listed = replace(strict, models=Models(unknown="deny", allow=("our-own-llm",)))
    assert may(listed, "our-own-llm").allow
    assert may(listed, "gpt-4o").rule == "models.allow"
    assert decided(listed, ask("gpt-4o")).code == "model_not_allowed"


def test_a_list_does_not_lift_a_ban_and_a_warning_does_not_lift_a_list() -> None:
    listed = Models(allow=("deepseek-chat",))
    assert may(replace(BANNED, models=listed), "deepseek-chat").rule == "ban:deepseek"
    prohibited = replace(PLAIN, models=listed, bans=(Ban("qwen", prevent=False),))
    assert may(prohibited, "qwen-max").rule == "models.allow"


def test_a_request_that_names_no_model() -> None:
    assert decided(PLAIN, ask(None)).allow
    for unnamed in (None, ""):  # the upstream's default may be banned
        got = decided(BANNED, ask(unnamed))
        assert (got.allow, got.rule) == (False, "models.unnamed")
    assert decided(BANNED, ask(None, operation="models")).allow
    assert decided(BANNED, ask(None, operation="other")).allow
    assert not decided(BANNED, ask("deepseek-chat", operation="other")).allow
    default = replace(BANNED, models=Models(default="gpt-4o"))
    assert decided(default, ask(None)).allow
    assert not decided(replace(BANNED, models=Models(default="deepseek-chat")), ask(None)).allow


def test_exceptions_are_for_whom_and_what_and_how_long_they_say() -> None:
    terms = replace(BANNED, exceptions=(excepted(org="red-team"), excepted(account="lab")))
    got = may(terms, "deepseek-r1", org="red-team")
    assert (got.allow, got.rule, got.until_us) == (True, "exception:red-team", NOW_US + HOUR_US)
    assert may(terms, "DeepSeek_R1", "lab").allow
    assert not may(terms, "deepseek-r1", "red-team").allow  # an account of that name is not an organisation
    assert not may(terms, "deepseek-chat", "lab").allow
    assert not model_verdict(terms, "deepseek-r1", "lab", NOW_US + HOUR_US).allow
    everybody = replace(BANNED, exceptions=(excepted(account="*"),))
    assert may(everybody, "deepseek-r1", "anybody").allow
    family = replace(
        BANNED, exceptions=(ModelException("cio", "r", NOW_US + 1, account="lab", family="deepseek"),)
    )
    assert may(family, "azure_ai/MAI-DS-R1", "lab").allow


def test_one_exception_does_not_lift_another_ban() -> None:
    bans = (Ban("deepseek", distilled="deny"), Ban("qwen"))
    lifted = ModelException("cio", "r", NOW_US + 1, account="lab", family="deepseek")
    terms = replace(PLAIN, bans=bans, exceptions=(lifted,))
    assert may(terms, "deepseek-r1-distill-qwen-32b", "lab").rule == "ban:qwen"


def test_a_cached_verdict_does_not_outlive_the_exception_it_rests_on() -> None:
    terms = replace(BANNED, exceptions=(excepted(account="acct"),))
    verdict = may(terms, "deepseek-r1")
    assert decide(terms, None, ask("deepseek-r1"), verdict, AccountUsage(), NOW_US).allow
    late = decide(terms, None, ask("deepseek-r1"), verdict, AccountUsage(), NOW_US + HOUR_US)
    assert (late.status, late.code) == (403, "model_banned")


@pytest.mark.parametrize(
    ("asked", "served", "word", "rule"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06", "allow", "allowed"),
        ("gpt-4o", "deepseek-chat", "ban", "ban:deepseek"),
        ("gpt-4o", "claude-sonnet-4", "warn", "reply.mismatch"),
        ("gpt-4o", "", "allow", "reply.unnamed"),
        ("gpt-4o", "deployment-7", "allow", "allowed"),
        ("our-own", "gpt-4o", "allow", "allowed"),
        ("fast", "gpt-4o-mini", "allow", "allowed"),
        ("fast", "fast", "allow", "allowed"),
        ("gpt-4o", "fast", "allow", "allowed"),
        ("gpt-4o", "slow", "warn", "reply.mismatch"),
        ("", "deepseek-chat", "ban", "ban:deepseek"),
        ("slow", "mistral-small", "allow", "allowed"),
    ],
)
def test_the_replys_model(asked: str, served: str, word: str, rule: str) -> None:
    models = Models(
        aliases={"fast": "openai/gpt-4o-mini", "slow": "claude-opus-4"},
        fallbacks={"slow": ("mistral-small",)},
    )
    verdict = reply_verdict(replace(BANNED, models=models), asked, served, "acct", NOW_US)
    got = "ban" if not verdict.allow else "warn" if verdict.warn else "allow"
    assert (got, verdict.rule) == (word, rule)


def test_replies_under_a_list() -> None:
    terms = replace(PLAIN, models=Models(unknown="deny", allow=("gpt-4o", "our-own")))
    for asked, served, allow in (
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("gpt-4o", "claude-sonnet-4", False),
        ("gpt-4o", "deployment-7", False),
        ("our-own", "our-own-2026-01", True),
    ):
        assert reply_verdict(terms, asked, served, "acct", NOW_US).allow is allow


def test_an_upstreams_model_that_only_its_alias_lists_may_answer() -> None:
    models = Models(unknown="deny", allow=("fast",), aliases={"fast": "in-house-7"})
    terms = replace(PLAIN, models=models)
    assert reply_verdict(terms, "fast", "in-house-7", "acct", NOW_US).allow
    lifted = replace(excepted(account="acct"), models=("quick",))
    banned = replace(BANNED, models=Models(aliases={"quick": "deepseek-chat"}), exceptions=(lifted,))
    assert reply_verdict(banned, "quick", "deepseek-chat", "acct", NOW_US).allow
    assert not reply_verdict(banned, "gpt-4o", "deepseek-chat", "acct", NOW_US).allow
    assert not model_verdict(terms, "in-house-7", "acct", NOW_US).allow


NAMES = st.sampled_from(
    [
        *(
            "gpt-4o",
            "deepseek-chat",
            "DEEPSEEK_R1",
            "azure_ai/MAI-DS-R1",
            "qwen-max",
            "our-own",
            "fast",
            "Fast",
        ),
        *("deepseek-r1-distill-qwen-32b", "claude-sonnet-4", "--", "x" * 600, "a\u0000b", "\ud800", "slow"),
    ]
)
COUNT = st.none() | st.integers(1, 50)
LIMITS = st.builds(AccountLimits, COUNT, COUNT, COUNT, COUNT, COUNT, st.booleans())
BANS = st.builds(
    Ban,
    st.sampled_from(["deepseek", "qwen", "in-house"]),
    *4 * (st.booleans(),),
    st.sampled_from(["allow", "warn", "deny"]),
    st.just(()),
    st.lists(NAMES, max_size=1).map(tuple),
    st.booleans(),
)
EXCEPTIONS = st.builds(
    ModelException,
    st.just("cio"),
    st.just("r"),
    st.integers(NOW_US - 2, NOW_US + 2),
    account=st.sampled_from(["*", "acct", "lab"]),
    models=st.lists(NAMES, max_size=2).map(tuple),
    family=st.none() | st.just("deepseek"),
)
MODELS = st.builds(
    Models,
    st.sampled_from(["allow", "deny"]),
    st.none() | NAMES,
    st.dictionaries(st.sampled_from(["fast", "slow", "our-own"]), NAMES, max_size=2),
    st.dictionaries(NAMES, st.lists(NAMES, max_size=2).map(tuple), max_size=2),
    st.lists(NAMES, max_size=2).map(tuple),
)
TERMS = st.builds(
    Terms,
    st.just(1),
    capture=st.builds(Capture, max_body_bytes=st.integers(10, 100)),
    limits=LIMITS,
    ladder=st.builds(Ladder, throttle_output_tokens_per_hour=st.integers(0, 50)),
    models=MODELS,
    bans=st.lists(BANS, max_size=2).map(tuple),
    exceptions=st.lists(EXCEPTIONS, max_size=2).map(tuple),
)
ASKS = st.builds(
    RequestFacts,
    st.sampled_from(["acct", "lab", ""]),
    st.none(),
    st.sampled_from(["chat", "responses", "embeddings", "messages", "models", "other", "new"]),
    st.none() | NAMES | st.text(max_size=20),
    st.booleans(),
    st.integers(0, 20),
    st.booleans(),
    st.integers(0, 120),
)
SPENT = st.builds(AccountUsage, *4 * (st.integers(0, 60),))
BUDGET = st.none() | st.integers(0, 60)
# VERIFY refuses all, as BLOCK does, until a person has decided: it is not ordered between the others.
HARDER = [Step.CLEAR, Step.WATCH, Step.THROTTLE, Step.STRIP, Step.MARK, Step.BLOCK]


def tokens(decision: Decision) -> float:
    """Return the largest possible size of an answer."""
    if not decision.allow:
        return 0
    return float("inf") if decision.output_tokens_left is None else decision.output_tokens_left


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(TERMS, ASKS, SPENT, BUDGET, st.none() | st.text(max_size=3))
def test_decide_is_total_and_a_stricter_standing_never_allows_more(
    terms: Terms, request: RequestFacts, spent: AccountUsage, budget: int | None, mark: str | None
) -> None:
    def with_step(step: Step) -> Decision:
        standing = EnforcementStatus(step, 0, output_tokens_per_hour=budget, mark=mark)
        return decide(terms, standing, request, None, spent, NOW_US)

    ladder = [with_step(step) for step in HARDER]
    assert ladder[0] == ladder[1] == decide(terms, None, request, None, spent, NOW_US)
    for milder, harder in pairwise(ladder):
        assert harder.allow <= milder.allow
        assert tokens(harder) <= tokens(milder)
        assert harder.strip >= milder.strip or not harder.allow
    assert not with_step(Step.VERIFY).allow
    for decision in (*ladder, with_step(Step.VERIFY)):
        assert outcome(decision) in OUTCOMES
        if decision.allow:
            assert (decision.status, decision.code, decision.message) == (200, "", "")
        else:
            assert decision.status in (400, 403, 413, 429)
            assert decision.code
            assert decision.message
            assert (decision.retry_after_s is not None) == (decision.status == 429)
            assert meets(outcome(decision), "deny")


@pytest.mark.slow
@settings(max_examples=250, deadline=None)
@given(TERMS, NAMES | st.text(max_size=12), BANS, LIMITS, st.integers(0, 2))
def test_a_refusal_is_lifted_by_nothing_but_an_exception(
    terms: Terms, model: str, another: Ban, limits: AccountLimits, where: int
) -> None:
    before = model_verdict(terms, model, "acct", NOW_US)
    more_bans = (*terms.bans[:where], another, *terms.bans[where:])
    more = [
        replace(terms, bans=more_bans),
        replace(terms, limits=limits),
        replace(terms, ladder=Ladder(rungs=())),
        replace(terms, exceptions=(*terms.exceptions, replace(excepted(account="other"), family="deepseek"))),
    ]
    if before.rule.startswith("ban:"):
        more.append(replace(terms, models=replace(terms.models, allow=(model,))))
        more.append(replace(terms, models=replace(terms.models, unknown="allow")))
    for terms_after in more:
        after = model_verdict(terms_after, model, "acct", NOW_US)
        assert before.allow or not after.allow
    # A ban that is stricter in every way refuses at least as much.
    hard = tuple(
        replace(
            ban,
            hosted_by_others=True,
            finetune=True,
            quantized=True,
            merged=True,
            distilled="deny",
            prevent=True,
        )
        for ban in terms.bans
    )
    after = model_verdict(replace(terms, bans=hard), model, "acct", NOW_US)
    assert before.allow or not after.allow


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.sampled_from("abcde"), st.sampled_from([*"abcde", "deepseek-chat"]), max_size=5))
def test_aliases_end_or_are_refused(aliases: dict[str, str]) -> None:
    def leads(name: str) -> str | None:
        for _ in range(len(aliases) + 1):
            if name not in aliases:
                return name
            name = aliases[name]
        return None

    text = "version = 1\n[[ban]]\nfamily = 'deepseek'\n[models.aliases]\n"
    text += "".join(f"{name} = '{target}'\n" for name, target in aliases.items())
    if any(leads(name) is None for name in aliases):
        with pytest.raises(Exception, match="leads back to itself"):
            loads(text)
        return
    terms = loads(text)
    for name in aliases:
        verdict = model_verdict(terms, name, "acct", NOW_US)
        assert verdict.target == leads(name)
        assert verdict.allow is (verdict.target != "deepseek-chat")


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(TERMS, NAMES, NAMES | st.text(max_size=12))
def test_a_banned_model_is_banned_in_replies_too(terms: Terms, asked: str, served: str) -> None:
    verdict = reply_verdict(terms, asked, served, "acct", NOW_US)
    plain = model_verdict(replace(terms, models=Models()), served, "acct", NOW_US)
    echo = served == asked or served in terms.models.aliases.values()
    if plain.rule.startswith("ban:") and not plain.allow and not echo:
        assert not verdict.allow


def test_a_day_of_batches_is_a_day_of_the_narrowest_limit() -> None:
    assert batch_limit(AccountLimits(requests_per_minute=5)) is None
    assert batch_limit(AccountLimits(output_tokens_per_minute=1, output_tokens_per_hour=50)) == 1_200
    assert batch_limit(AccountLimits(output_tokens_per_hour=50, batch_output_tokens_per_day=7)) == 7


def test_a_batch_is_refused_that_may_bring_too_much_or_nobody_knows_what() -> None:
    terms = replace(PLAIN, limits=AccountLimits(output_tokens_per_day=100))
    batch = ask(operation="other", batch_tokens=60)

    def rule(asked: RequestFacts, spent: AccountUsage = UNSPENT, step: Step = Step.CLEAR) -> tuple[int, str]:
        found = decided(terms, asked, step, spent, output_tokens_per_hour=50)
        return found.status, found.code

    assert rule(batch) == (200, "")
    assert rule(replace(batch, batch_tokens=101)) == (400, "batch_too_large")
    assert rule(batch, AccountUsage(batch_tokens_day=41)) == (429, "rate_limited")
    assert rule(replace(batch, batch_tokens=None)) == (403, "batch_unknown")
    assert rule(batch, step=Step.THROTTLE) == (429, "rate_limited")  # no more than its hour has left
    assert rule(replace(batch, batch_tokens=50), step=Step.THROTTLE) == (200, "")
    # a day's tokens are for answers and batches together, except for what was promised and is fetched
    assert rule(batch, AccountUsage(output_tokens_day=30, tokens_held=11)) == (429, "rate_limited")
    assert rule(ask(), AccountUsage(batch_tokens_day=99)) == (200, "")
    assert rule(ask(), AccountUsage(batch_tokens_day=100)) == (429, "rate_limited")
    assert rule(ask(does="fetches"), AccountUsage(batch_tokens_day=100)) == (200, "")
    apart = AccountLimits(output_tokens_per_day=100, batch_output_tokens_per_day=80)
    terms = replace(PLAIN, limits=apart)
    assert rule(ask(), AccountUsage(batch_tokens_day=100)) == (200, "")
    assert rule(batch, AccountUsage(output_tokens_day=50, batch_tokens_day=20)) == (200, "")
    assert rule(batch, AccountUsage(batch_tokens_day=21)) == (429, "rate_limited")
