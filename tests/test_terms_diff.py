"""Differences by meaning: what becomes stricter, what becomes looser."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.terms import Ban, ModelException, Models, Terms
from stillwatch.terms.diff import difference
from stillwatch.terms.load import loads

NOW_US = 1_796_000_000_000_000  # 2026-11-30
OPPOSITE = {"stricter": "looser", "looser": "stricter", "other": "other"}


def changes(before: str, after: str) -> list[tuple[str, str]]:
    """Return the changes between two bodies, without the version."""
    old, new = loads(f"version = 1\n{before}"), loads(f"version = 2\n{after}")
    found = difference(old, new, NOW_US)
    assert (found[0].where, found[0].text) == ("version", "version 1 becomes 2")
    return [(change.direction, change.text) for change in found[1:]]


EXCEPTION = (
    "[[exception]]\norg = 'lab'\nfamily = 'deepseek'\nreason = 'tests'\napproved_by = 'cio'\nexpires = "
)
PERMISSION = "[[permission]]\naccount = 'a'\nkind = 'synthetic-data'\napproved_by = 'cio'\nexpires = "
BAN = "[[ban]]\nfamily = 'deepseek'\n"


@pytest.mark.parametrize(
    ("before", "after", "direction", "said"),
    [
        (
            "[limits]",
            "[limits]\nmax_n = 4",
            "stricter",
            "answers per request of everybody: no limit becomes 4",
        ),
        (
            "[limits]\nrequests_per_minute = 600",
            "[limits]\nrequests_per_minute = 60",
            "stricter",
            "requests per minute of everybody: 600 becomes 60",
        ),
        ("", "limits.logprobs = false", "stricter", "everybody may no longer request log-probabilities"),
        (
            "[limits]\nmax_n = 2",
            "[limits]\nmax_n = 2\n[limits.org.lab]\nmax_n = 'none'",
            "looser",
            "answers per request of the organisation lab: 2 becomes no limit",
        ),
        (
            "",
            "models.unknown = 'deny'",
            "stricter",
            "models that the lineage table does not know are refused",
        ),
        ("", "models.allow = ['a']", "stricter", "only listed models may be used"),
        ("models.allow = ['a']", "models.allow = ['a', 'b']", "looser", "b joins the list"),
        ("", "models.aliases.fast = 'gpt-4o'", "other", "fast is an alias of gpt-4o instead of itself"),
        ("", "models.fallbacks.fast = ['a', 'b']", "other", "the fallback of fast is a or b"),
        (
            "",
            "models.default = 'a'",
            "other",
            "the model of a request that names none is taken to be a instead of nothing",
        ),
        ("", BAN, "stricter", "deepseek is banned"),
        (BAN, BAN + "mode = 'prohibit'", "looser", "deepseek is only warned of"),
        (BAN, BAN + "includes.merged = false", "looser", "the ban on deepseek no longer covers merges"),
        (
            BAN,
            BAN + "includes.distilled = 'deny'",
            "stricter",
            "models trained on answers of deepseek: warn becomes deny",
        ),
        (BAN, BAN + "hosts = ['a.example']", "stricter", "a.example is banned with deepseek"),
        (BAN, BAN + "message = 'No.'", "other", "clients read: 'No.'"),
        (
            BAN,
            BAN + EXCEPTION + "2027-03-01",
            "looser",
            "the organisation lab may use the family deepseek through 2027-03-01, approved by cio: tests",
        ),
        (
            BAN + EXCEPTION + "2027-03-01",
            BAN + EXCEPTION + "2027-02-01T06:00:00Z",
            "stricter",
            "the exception of the organisation lab for the family deepseek is valid "
            "until 2027-02-01T06:00Z, not through 2027-03-01",
        ),
        (
            "",
            PERMISSION + "2027-03-01",
            "looser",
            "the account a may do synthetic-data through 2027-03-01, approved by cio",
        ),
        ("", "[ladder]\nmax_accounts = 100", "stricter", "max_accounts 50 becomes 100"),
        ("", "[ladder]\ndelay_s = 60", "looser", "delay_s 0 becomes 60"),
        (
            "",
            "[ladder]\nact_on_group_findings = true",
            "stricter",
            "steps on group findings are taken without a person",
        ),
        ("", "[ladder]\ndry_run = true", "looser", "steps are only recorded, not taken"),
        ("", "[ladder.messages]\nblock = 'No.'", "other", "clients read: 'No.'"),
        ("", "identity.keys = 'upstream'", "other", "keys issued becomes upstream"),
        ("", "[limits.address]\nconnections = 9", "other", "connections 1000 becomes 9"),
        ("", "owner = 'Example'", "other", "owner '' becomes 'Example'"),
    ],
)
def test_one_change_in_both_directions(before: str, after: str, direction: str, said: str) -> None:
    assert changes(before, after) == [(direction, said)]
    ((back, _),) = changes(after, before)
    assert back == OPPOSITE[direction]


def test_rules_of_the_ladder_come_and_go() -> None:
    watch = "[[ladder.rule]]\nstep = 'watch'\nmode = 'act'\n"
    block = "[[ladder.rule]]\nstep = 'block'\np_value_at_most = 1e-6\nexchanges_at_least = 1000\n"
    assert changes(watch, watch + block) == [
        ("stricter", "comes: block is proposed at p at most 1e-06, 1,000 exchanges")
    ]
    assert changes("", block + watch) == [
        ("stricter", "comes: block is proposed at p at most 1e-06, 1,000 exchanges")
    ]
    assert changes(watch + block, block + watch) == []


def test_comments_and_order_do_not_count() -> None:
    two = BAN + "[[ban]]\nfamily = 'qwen'\n"
    assert changes(two, "# hello\n[[ban]]\nfamily = 'qwen'\n" + BAN) == []


def test_a_version_that_will_not_be_taken() -> None:
    texts = [change.text for change in difference(Terms(version=3), Terms(version=2), NOW_US)]
    assert texts == ["version 3 becomes 2", "version 2 is refused where 3 is in force"]
    same = difference(Terms(version=3), Terms(version=3, owner="x"), NOW_US)
    assert same[0].text == "version 3 is refused where 3 is in force"
    assert difference(Terms(version=3), Terms(version=3), NOW_US) == ()


def test_what_ends_soon() -> None:
    terms = loads(f"version = 1\n{BAN}{EXCEPTION}2026-12-05")
    soon = difference(terms, terms, NOW_US)
    assert [change.text for change in soon] == [
        "the exception of the organisation lab for the family deepseek is valid through 2026-12-05"
    ]
    (ended,) = difference(terms, terms, NOW_US + 10**13)
    assert ended.text == "the exception of the organisation lab for the family deepseek has expired"


BANS = st.lists(
    st.builds(
        Ban,
        st.sampled_from(["deepseek", "qwen"]),
        st.booleans(),
        distilled=st.sampled_from(["allow", "warn", "deny"]),
        prevent=st.booleans(),
    ),
    max_size=2,
    unique_by=lambda ban: ban.family,
).map(tuple)
EXCEPTIONS = st.lists(
    st.builds(ModelException, st.just("cio"), st.just("r"), st.integers(0, 10**15), st.just("acct")),
    max_size=1,
).map(tuple)
TERMS = st.builds(
    Terms,
    st.just(1),
    bans=BANS,
    exceptions=EXCEPTIONS,
    models=st.builds(Models, st.sampled_from(["allow", "deny"])),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(TERMS, TERMS)
def test_every_change_is_said_and_the_way_back_says_the_opposite(old: Terms, new: Terms) -> None:
    def said(a: Terms, b: Terms) -> list[tuple[str, str]]:
        without = [
            c for c in difference(a, replace(b, version=2), NOW_US) if not c.text.endswith("has expired")
        ]
        return sorted((c.where, c.direction) for c in without if c.where != "version")

    there, back = said(old, new), said(new, old)
    # An exception changes both who may and for how long, but is one entry; order does not count.
    assert bool(there) == (
        {ban.family: ban for ban in old.bans} != {ban.family: ban for ban in new.bans}
        or old.exceptions != new.exceptions
        or old.models != new.models
    )
    assert sorted((where, OPPOSITE[direction]) for where, direction in back) == there
