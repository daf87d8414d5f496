"""Kinds of use: each has its example, its look-alike, and its page in the docs."""

import ast
import pathlib
from datetime import UTC, datetime

import pyarrow as pa
import pytest

import stillwatch.features.kinds as room
from stillwatch.features.compute import SCHEMA
from stillwatch.features.kinds.grades import grade, weakest
from stillwatch.features.kinds.recognise import KINDS, LEAST, UNKNOWN, kind_of_use

FOLDER = pathlib.Path(room.__file__).parent
DAY = 86_400_000_000
START = 1_770_000_000_000_000
CALM = {
    "exchanges": 300, "answered": 300, "input_tokens": 60_000, "output_tokens": 60_000, "active_days": 10,
    "active_hours": 100, "peak_day": 40, "peak_hour": 8, "quiet_6h_share": 0.05, "follow_up_share": 0.0,
    "heads": 250, "top_head_share": 0.02, "distinct_prompt_share": 1.0, "models": 1, "log2_output_mean": 7.6,
    "first_us": START, "last_us": START + 10 * DAY, "stream_share": 0.0, "tools_share": 0.0,
}  # fmt: skip
SHAPES = {
    "load_test": {"distinct_prompt_share": 0.01, "peak_day": 290, "active_days": 2, "exchanges": 600},
    "drift_monitor": {"distinct_prompt_share": 0.1, "active_hours": 12, "exchanges": 120, "active_days": 10},
    "evaluation": {"temperature_zero_share": 1.0, "active_hours": 4, "active_days": 1},
    "llm_judge": {"rubric_grading_share": 0.9, "top_head_share": 0.9},
    "batch": {"top_head_share": 0.95, "log2_output_mean": 4.0},
    "rag": {"top_system_share": 1.0, "input_tokens": 400_000, "log2_output_mean": 7.0},
    "agent": {"tools_share": 1.0, "tool_call_share": 0.6, "active_days": 2, "peak_day": 200},
    "coding": {"tools_share": 1.0, "tool_call_share": 0.5, "stream_share": 1.0, "follow_up_share": 0.7},
    "application": {"end_user_share": 1.0, "end_users": 80},
    "gateway": {
        "exchanges": 900, "heads": 800, "models": 4, "stream_share": 0.5, "follow_up_share": 0.5,
        "quiet_6h_share": 0.15,
    },
    "chat": {"exchanges": 20, "heads": 18, "stream_share": 1.0, "active_days": 5, "quiet_6h_share": 0.0},
    "red_team": {"refusal_share": 0.5, "hidden_prompt_extraction_share": 0.3, "quiet_6h_share": 0.2},
}  # fmt: skip


def features(*shapes):
    rows = []
    for code, shape in enumerate(shapes):
        blank = {name: None if name == "exchanges_per_conversation" else 0 for name in SCHEMA.names}
        rows.append(blank | CALM | shape | {"account": code})
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def accounts(*rows):
    blank = {
        "account": "", "org": None, "created": None, "tier": "payg", "country": None, "email_domain": None,
        "payment": None, "declared_use": None, "permissions": [],
    }  # fmt: skip
    schema = pa.schema(
        [
            ("account_code", pa.int32()),
            *[(name, pa.string()) for name in ("account", "org")],
            ("created", pa.timestamp("us", tz="UTC")),
            *[(name, pa.string()) for name in ("tier", "country", "email_domain", "payment", "declared_use")],
            ("permissions", pa.list_(pa.string())),
        ]
    )
    table = [blank | {"account_code": code, "account": f"a{code}"} | row for code, row in enumerate(rows)]
    return pa.Table.from_pylist(table, schema=schema)


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_each_shape_is_recognised_and_excuses_nothing(kind):
    (found,) = kind_of_use(features(SHAPES[kind]))
    assert (found.account_code, found.kind, found.excuses) == (0, kind, "nothing")
    assert LEAST <= found.confidence <= room.SHAPE_CEILING
    assert any(letter.isdigit() for letter in found.evidence)


def test_what_fits_nothing_is_unknown():
    (found,) = kind_of_use(
        features({"log2_output_mean": 12.0, "top_head_share": 1.0, "quiet_6h_share": 0.25})
    )
    assert (found.kind, found.confidence, found.excuses) == (UNKNOWN, 0.0, "nothing")


def test_long_answers_are_no_batch_and_no_judge():
    for kind in ("batch", "llm_judge"):
        (found,) = kind_of_use(features(SHAPES[kind] | {"log2_output_mean": 12.0}))
        assert found.kind not in ("batch", "llm_judge")


def test_new_prompts_are_no_drift_monitor_and_no_load_test():
    for kind in ("drift_monitor", "load_test"):
        (found,) = kind_of_use(features(SHAPES[kind] | {"distinct_prompt_share": 1.0}))
        assert found.kind not in ("drift_monitor", "load_test")


def test_only_a_permission_excuses_a_case():
    table = accounts(
        {"permissions": ["synthetic_data"]},
        {"permissions": ["red_team"]},
        {"declared_use": "synthetic data generation (agreed)"},
        {"declared_use": "red teaming, with permission"},
    )
    shapes = [SHAPES["batch"], SHAPES["red_team"], SHAPES["batch"], SHAPES["red_team"]]
    found = [(k.kind, k.excuses) for k in kind_of_use(features(*shapes), table)]
    assert found == [
        ("permitted_synthetic", "case"),
        ("red_team", "case"),
        ("batch", "nothing"),
        ("red_team", "nothing"),
    ]


def test_one_payment_makes_a_company_and_many_do_not_excuse():
    one = [{"org": "o1", "payment": "p1"}] * 3
    many = [{"org": "o2", "payment": p} for p in ("p2", "p3", None)]
    alone = [{"org": "o3", "payment": "p4"}]
    rows = one + many + alone
    found = kind_of_use(features(*[{}] * len(rows)), accounts(*rows))
    assert [k.excuses for k in found] == ["sharing"] * 3 + ["nothing"] * 4
    assert [k.kind for k in found[:6]] == ["one_company"] * 6
    assert found[6].kind != "one_company"
    assert "3 instruments" in found[3].evidence


def test_no_organisation_is_not_an_organisation():
    found = kind_of_use(features({}, {}, {}), accounts(*[{"org": None, "payment": None}] * 3))
    assert all(k.kind != "one_company" for k in found)


def test_a_class_is_excused_by_its_tier_only():
    small = {"exchanges": 20, "peak_day": 8, "repeats_across_accounts": 0.9}
    pupil = {"tier": "edu", "email_domain": "uni.edu", "payment": "p", "declared_use": "education"}
    claims = {"tier": "free", "email_domain": "school.example", "declared_use": "education"}
    lone = {"tier": "free", "email_domain": "mail.example", "declared_use": "education"}
    rows = [pupil] * 5 + [claims] * 5 + [lone]
    found = kind_of_use(features(*[small] * 11), accounts(*rows))
    assert [(k.kind, k.excuses) for k in found[:10]] == [("classroom", "sharing")] * 5 + [
        ("classroom", "nothing")
    ] * 5
    assert found[10].excuses == "nothing"


def test_a_migration_needs_a_fresh_account_and_is_never_sure():
    steady = {"active_hours": 200, "peak_day": 35, "top_system_share": 0.4, "quiet_6h_share": 0.24}
    fresh = {"created": datetime.fromtimestamp(START / 1e6 - 3600, UTC)}
    aged = {"created": datetime.fromtimestamp(START / 1e6 - 90 * 86_400, UTC)}
    young, old = kind_of_use(features(steady, steady), accounts(fresh, aged))
    assert young.kind == "migration"
    assert young.confidence < 0.5
    assert old.kind != "migration"


def test_silent_columns_do_not_break_a_rule():
    nulls = {f.name: None for f in SCHEMA if f.name not in CALM} | {"stream_share": None, "tools_share": None}
    nulls |= {"follow_up_share": None, "log2_output_mean": None, "account": 0}
    (found,) = kind_of_use(features(nulls))
    assert 0 <= found.confidence < 1


def test_one_exchange_and_no_account():
    one = {"exchanges": 1, "active_days": 1, "active_hours": 1, "peak_day": 1, "peak_hour": 1, "heads": 1}
    (found,) = kind_of_use(features(CALM | one | {"output_tokens": 0, "last_us": START}))
    assert found.kind in (*KINDS, UNKNOWN)
    assert kind_of_use(features().slice(0, 0)) == []


def test_accounts_table_may_lack_an_account():
    assert len(kind_of_use(features({}, {}), accounts({}))) == 2


def test_grades_stay_within_bounds():
    assert [grade(x, 10, 5) for x in (20, 7.5, 1)] == [0, 0.5, 1]
    assert weakest(0.2, 1.0) == 0.2


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_what_looks_the_same_and_how_it_is_imitated(kind):
    docstring = ast.get_docstring(ast.parse((FOLDER / f"{kind}.py").read_text()))
    for part in ("Evidence:", "Looks the same:", "Imitated by:"):
        assert part in docstring
    page = (pathlib.Path(__file__).parents[1] / "docs" / "kinds.md").read_text()
    assert f"| `{kind}` |" in page


def test_every_file_is_a_registered_kind():
    files = {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "grades", "recognise"}
    assert files == set(KINDS)
