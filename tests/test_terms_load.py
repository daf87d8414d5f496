"""Loading a policy: valid ones load, and every problem of an invalid one is reported with its line."""

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.terms import AccountLimits, Capture, Ladder, Models, Retention, Step, Terms, TermsError
from stillwatch.terms.load import LARGEST_BYTES, check, default_text, load, loads

DAY_US = 86_400 * 1_000_000
NEW_YEAR_2027_US = 1_798_761_600 * 1_000_000


def problems(text: str) -> list[str]:
    """Return the problems of a text, without the file's name."""
    return [sentence.removeprefix("t:") for sentence in check(text, "t").problems]


def test_the_default_text_loads_and_changes_nothing() -> None:
    checked = check(default_text('Exämple "Inc." \\'), "t", NEW_YEAR_2027_US)
    assert checked.problems == checked.warnings == ()
    terms = checked.terms
    assert terms is not None
    assert terms.owner == 'Exämple "Inc." \\'
    assert (terms.version, terms.capture, terms.retention) == (1, Capture(), Retention())
    assert (terms.limits, terms.models, terms.bans) == (AccountLimits(), Models(), ())
    # Only the action `watch` needs no person.
    assert [rung.step for rung in terms.ladder.rungs if rung.act] == [Step.WATCH]
    assert [rung.step for rung in Ladder().rungs if rung.act] == [Step.WATCH]


def test_what_the_default_text_shows_in_comments_loads_too() -> None:
    shown = []
    for line in default_text().splitlines():
        bare = line.removeprefix("# ")
        is_entry = bare.startswith(("[", '"')) or " = " in bare
        shown.append(bare if line.startswith("# ") and is_entry and "stillwatch" not in bare else line)
    text = "\n".join(shown)
    assert text.count("[[ban]]") == 1
    checked = check(text, "t", NEW_YEAR_2027_US)
    assert checked.problems == ()
    assert checked.terms is not None
    assert checked.terms.bans[0].hosts == ("deepseek.com", "*.deepseek.com")
    assert checked.terms.limits.orgs == {"example.com": {"output_tokens_per_hour": None}}


def test_the_smallest_terms() -> None:
    assert loads("version = 3") == Terms(version=3)


def test_a_full_file_says_what_it_means() -> None:
    terms = loads(
        """
version = 2
[identity]
keys = "upstream"
end_user_header = "X-End-User"
trusted_proxies = ["10.0.0.0/8", "::1"]
[limits]
max_n = 4
logprobs = false
[limits.account."a.b"]
max_n = "none"
[ladder]
mode = "act"
[[ladder.rule]]
step = "throttle"
p_value_at_most = 1e-3
age_at_least_s = 60
[[ladder.rule]]
step = "block"
mode = "propose"
[models]
unknown = "deny"
aliases = { fast = "openai/gpt-4o-mini" }
fallbacks.fast = ["mistral-small"]
[[ban]]
family = "deepseek"
mode = "prohibit"
includes.distilled = "deny"
hosts = ["*.DeepSeek.com"]
[[exception]]
account = "*"
models = ["deepseek-r1"]
reason = "tests"
approved_by = "cio"
expires = 2026-12-31
[[permission]]
org = "partner"
kind = "synthetic-data"
approved_by = "cio"
expires = 2027-01-01T01:00:00+01:00
"""
    )
    assert terms.identity.keys == "upstream"
    assert terms.identity.end_user_header == "x-end-user"
    assert [str(network) for network in terms.identity.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert terms.limits.accounts == {"a.b": {"max_n": None}}
    assert [(rung.step, rung.act, rung.name) for rung in terms.ladder.rungs] == [
        (Step.THROTTLE, True, "ladder.rule 1"),
        (Step.BLOCK, False, "ladder.rule 2"),
    ]
    assert terms.models.fallbacks == {"fast": ("mistral-small",)}
    (ban,) = terms.bans
    assert (ban.prevent, ban.distilled, ban.finetune, ban.hosts) == (False, "deny", True, ("*.deepseek.com",))
    # A day lasts until it ends; 01:00 at +01:00 is midnight.
    assert terms.exceptions[0].expires_us == terms.permissions[0].expires_us == NEW_YEAR_2027_US


def test_every_problem_is_named_at_once_each_with_its_line() -> None:
    text = """version = 0
colour = "red"
[limits]
requests_per_minute = 1.5
output_tokens_per_minute = 500
output_tokens_per_hour = 400
max_n = true

[models]
unknown = "ask"
aliases = { a = "b", b = "a" }

allow = ["x", 3,
  "x"]
[[ban]]
family = "deepsek"
[[ban]]
famly = "qwen"
[[exception]]
org = "red-team"
family = "deepseek"
expires = 2026-01-01T10:00:00
"""
    assert problems(text) == [
        "1: version: 0 is out of range; give a whole number from 1 to 9,007,199,254,740,991",
        "2: colour: unknown key; known: version, owner, identity, capture, retention, coin, limits, "
        "ladder, holds, models, "
        "ban, exception, permission, operation, test",
        "4: limits.requests_per_minute: 1.5 is a number; give a whole number from 1 to 1,000,000,000,000,000",
        "5: limits.output_tokens_per_minute: 500 is more than output_tokens_per_hour allows (400); "
        "lower it or "
        "raise output_tokens_per_hour",
        "7: limits.max_n: true is a boolean; give a whole number from 1 to 1,000,000,000,000,000",
        '10: models.unknown: \'ask\' is not known; give "allow" or "deny"',
        "13: models.allow: 3 is a whole number; give a name in quotes",
        "14: models.allow: 'x' appears twice; remove one",
        '17: ban: `family` is missing; name the family, as in family = "deepseek"',
        "18: ban.famly: unknown key; did you mean `family`?",
        "19: exception: `approved_by` is missing; name who approved it, as in approved_by = "
        '"ciso@example.com"',
        '19: exception: `reason` is missing; give the reason, as in reason = "security testing"',
        "22: exception.expires: 2026-01-01T10:00:00 has no time zone; give a day, as in 2027-01-31, or a "
        "time with a zone, as in 2027-01-31T12:00:00Z (without quotes)",
    ]
    # Errors between entries are reported as soon as each entry is right.
    between = "version = 1\n[models.aliases]\na = 'b'\nb = 'a'\nc = 'b'\n[[ban]]\nfamily = 'deepsek'\n"
    assert problems(between) == [
        "3: models.aliases.a: leads back to itself (a -> b -> a); name the upstream's model",
        "4: models.aliases.b: leads back to itself (b -> a -> b); name the upstream's model",
        "7: ban.family: 'deepsek' is not a family of the lineage table, so nothing would be banned; did "
        "you mean "
        "'deepseek'? Write model names that the table does not know under `models`",
    ]


EXCEPTION = "[[exception]]\nreason = 'r'\napproved_by = 'x'\nexpires = 2027-01-01\n"
PERMISSION = "[[permission]]\nkind = 'k'\napproved_by = 'x'\nexpires = 2027-01-01\n"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("limits = 3", "2: limits: 3 is a whole number; write [limits]"),
        ("ban = {}", "2: ban: this is a table; write [[ban]]"),
        ("ban = [1]", "2: ban: 1 is a whole number; write [[ban]]"),
        ("[ladder]\nrule = [{}]", "3: ladder.rule: `step` is missing; give the step, as in step = "),
        ("[identity]\nend_user_header = 'Authorization'", "cannot name an end user"),
        ('[identity]\nend_user_header = "x\\r\\ny"', "use printable characters only"),
        ("[identity]\ntrusted_proxies = ['10.0.0.1/8']", "has host bits set; give a network"),
        ("[retention]\ntext_days = 31", "texts are deleted with their sketches"),
        ("[capture]\nmax_body_bytes = 0", "is out of range"),
        ("[limits.account.a]", "2: limits.account.a: is empty"),
        ("[limits.account.'']\nmax_n = 1", "is empty; give a name"),
        ("[limits.org.o]\nmax_n = 'lots'", '1,000,000,000,000,000, or "none"'),
        ("[ladder]\n[[ladder.rule]]\nstep = 'clear'", "'clear' is not known; give \"watch\" or"),
        (
            "[[ladder.rule]]\nstep = 'block'\np_value_at_most = nan",
            "nan is out of range; give a number from 0",
        ),
        ("[[ladder.rule]]\nstep = 'strip'\nmode = 'act'", "set alter_replies = true"),
        ("[models]\naliases.a = 'a'", "leads back to itself (a -> a)"),
        ("[models]\nallow = ['--']", "has no letters or digits"),
        (
            "[[ban]]\nfamily = 'deepseek'\n[[ban]]\nfamily = 'DeepSeek'\nmodels=['x']",
            "bans the same family as line 2",
        ),
        ("[[ban]]\nfamily = 'deepseek'\nhosts = ['https://deepseek.com']", "is not a host name"),
        ("[[ban]]\nfamily = 'deepseek'\nmessage = 'no {why}'", "contains a brace"),
        (EXCEPTION + "account = 'a'", "has neither `models` nor `family`"),
        (EXCEPTION + "models = ['m']", "`account` or `org` is missing"),
        (EXCEPTION + "models = ['m']\naccount = 'a'\norg = 'o'", "both `account` and `org`"),
        (
            EXCEPTION.replace("2027-01-01", "2999-01-01"),
            "2999 is out of range; give a year from 1970 to 2100",
        ),
        (EXCEPTION.replace("2027-01-01", "'2027-01-01'"), "is not a time; give a day"),
        (
            2 * (EXCEPTION + "account = 'a'\nmodels = ['m']\n"),
            "excepts the same models for the same account or organisation as line 2",
        ),
        (PERMISSION + "account = '*'", "a permission cannot apply to every account"),
        (
            2 * (PERMISSION + "org = 'o'\n"),
            "7: permission: permits the same kind of use to the same account or organisation as line 2",
        ),
        ("[[test]]\nexpect = 'allow'", "`request` is missing"),
        (
            "[[test]]\nrequest = {model = 'm', colour = 'red'}\nexpect = 'allow'",
            "request.colour: unknown key",
        ),
        ("[[test]]\nrequest = {}\nexpect = 'maybe'", "'maybe' is not known"),
        ("[[test]]\nrequest = {}\nexpect = 'allow'\nstanding = 'angry'", "'angry' is not known"),
        ("version = 2", "cannot overwrite a value"),
        ("x = [", "not TOML"),
        ("x = " + "[" * 9000, "nested too deeply"),
        ("x = " + "9" * 5000, "a number that is too long"),
        ("limits = 0x" + "f" * 5000, "a number of more than 30 digits is a whole number"),
        ("x" * 30_000 + " = 1", "the line has 30,004 characters"),
        ("x" + ".a" * 8000 + " = 1", "too many dots"),
        ("\x1b[2J = 1", "not TOML"),
    ],
)
def test_one_thing_wrong(body: str, said: str) -> None:
    found = problems(f"version = 1\n{body}\n")
    assert any(said in sentence for sentence in found), found
    assert all(sentence.isprintable() for sentence in found)


def test_chains_of_aliases_end() -> None:
    chain = "".join(f"a{i} = 'a{i + 1}'\n" for i in range(20))
    (first, *_) = problems(f"version = 1\n[models.aliases]\n{chain}")
    assert (
        first == "3: models.aliases.a0: is an alias of an alias, more than 16 deep; name the upstream's model"
    )


def test_what_is_doubtful_is_a_warning_on_the_day() -> None:
    text = (
        "version = 1\n[identity]\ntrusted_proxies = ['0.0.0.0/0']\n[models]\naliases.fast = 'deepseek-chat'\n"
        "[[ban]]\nfamily = 'deepseek'\n[[ban]]\nfamily = 'in-house'\nmodels = ['secret-llm']\n"
        + EXCEPTION
        + "account = 'a'\nfamily = 'qwen'\n"
    )
    checked = check(text, "t", NEW_YEAR_2027_US)
    assert checked.terms is not None
    assert [sentence.split(";")[0] for sentence in checked.warnings] == [
        "t:3: identity.trusted_proxies: the x-forwarded-for header of every client is trusted",
        "t:5: models.aliases.fast: 'fast' is refused nevertheless (ban:deepseek): 'deepseek-chat' is of the "
        "banned family deepseek.",
        "t:9: ban.family: 'in-house' is not in the lineage table: only the models and hosts listed "
        "here, and copies with the same names, are banned",
        "t:14: exception.expires: this exception expires in 1 days",
        "t:16: exception.family: 'qwen' is not banned, so this exception has no effect",
    ]
    late = check(text, "t", NEW_YEAR_2027_US + DAY_US)
    assert any("has expired and has no effect" in sentence for sentence in late.warnings)
    assert check(text, "t").warnings == ()


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "terms.toml"
    file.write_bytes(b"\xef\xbb\xbfversion = 1\r\nowner = '''a\r\nb'''\r\n")
    assert load(file).owner == "a\nb"
    for content, said in (
        (b"version = 1\n\xff\xfe", f"{file}:2: is not UTF-8; save the file as UTF-8"),
        (
            b"x = 1\n" * LARGEST_BYTES,
            f"{file}: larger than 1,048,576 bytes; a terms file is one or two pages long",
        ),
        (os.urandom(3000), f"{file}:"),
    ):
        file.write_bytes(content)
        with pytest.raises(TermsError) as caught:
            load(file)
        assert str(caught.value).startswith(said)
    with pytest.raises(TermsError, match=r"does not exist; `stillwatch terms init .*` creates it"):
        load(tmp_path / "none.toml")
    with pytest.raises(TermsError, match="is not a file"):
        load(tmp_path)


def test_an_error_of_many_problems_is_short_as_one_sentence() -> None:
    with pytest.raises(TermsError) as caught:
        loads("\n".join(f"k{i} = 1" for i in range(50)))
    assert len(caught.value.problems) == 51
    assert str(caught.value).endswith("and 48 more")


WORDS = st.sampled_from(
    [
        *("version", "owner", "limits", "ladder", "rule", "ban", "family", "models", "aliases", "exception"),
        *("test", "request", "expires", "org", "account", "step", "mode", "includes", "message", "messages"),
        *("0", "1", "-1", "1.5", "nan", "true", "2026-01-01", "2026-01-01T00:00:00Z", "'x'", "'deepseek'"),
        *("[", "]", "[[", "]]", "{", "}", "=", ".", ",", "#", "''", *4 * "\n"),
    ]
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.one_of(st.text(), st.lists(WORDS, max_size=30).map(" ".join)))
def test_any_text_loads_or_says_why_not(text: str) -> None:
    checked = check(text, "t", NEW_YEAR_2027_US)
    assert (checked.terms is None) == bool(checked.problems)
    assert all(sentence.startswith("t:") for sentence in checked.problems)


KEYS = st.sampled_from(
    ["version", "limits", "ladder", "models", "ban", "exception", "permission", "test", "identity", "x"]
)
LEAVES = st.one_of(
    st.integers(-5, 10**18), st.booleans(), st.sampled_from(["", "deny", "act", "deepseek", "none", " a "])
)
INNER = st.sampled_from(
    [
        *("family", "includes", "mode", "hosts", "models", "message", "account", "org", "expires", "reason"),
        *("approved_by", "kind", "request", "expect", "standing", "rule", "step", "aliases", "fallbacks"),
        *("allow", "unknown", "messages", "keys", "max_n", "logprobs", "model", "n"),
    ]
)
TREES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(INNER, below, max_size=4),
    max_leaves=12,
)


def toml(value: object) -> str:
    """Return a value as TOML on one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(below)}" for key, below in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else repr(value)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, TREES, max_size=6))
def test_any_shape_loads_or_says_why_not(content: dict[str, object]) -> None:
    text = "\n".join(f"{key} = {toml(value)}" for key, value in content.items())
    checked = check(text, "t", NEW_YEAR_2027_US)
    assert (checked.terms is None) == bool(checked.problems)
    lines = [int(sentence.split(":")[1]) for sentence in checked.problems]
    assert lines == sorted(lines)
    assert all(1 <= line <= len(content) + 1 for line in lines)
