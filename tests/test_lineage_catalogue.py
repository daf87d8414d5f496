"""A ban of DeepSeek by lineage on LiteLLM's public catalogue, compared with an oracle without a table."""

import pytest

import bans
from stillwatch.lineage.resolve import resolve


@pytest.mark.slow
@pytest.mark.parametrize(("release", "least", "providers"), [("1.108.7", 260, 46), ("1.110.2", 340, 57)])
def test_deepseek_is_banned_its_students_told_apart_and_nobody_else_touched(
    release: str, least: int, providers: int
) -> None:
    result = bans.on_catalogue([one for one in bans.catalogue() if release in one.releases])
    assert result["wrong"] == []
    assert result["of DeepSeek's lineage"] >= least
    assert result["their providers"] == providers
    assert result["  touched by the ban"] == 0


def test_each_exception_is_a_name_of_the_catalogue_with_a_reason() -> None:
    names = {one.name: one for one in bans.catalogue()}
    for row in bans._rows("litellm_models.exceptions.tsv"):
        one = names[row["name"]]
        assert row["expected"] in {"weights", "student", "other"}
        assert row["expected"] != bans.rule(one.name, one.provider), f"{one.name} is no exception"
        assert row["reason"]


@pytest.mark.slow
def test_disguises_are_seen_through_and_near_misses_left_alone() -> None:
    result = bans.on_disguises()
    assert set(result["  missed, by way"]) == {
        "letters swapped",
        "letter dropped",
        "letter doubled",
        "reversed",
        "upside down",
        "v for u-like shapes",
        "abbreviated",
        "renamed",
    }
    assert set(result["  missed, foreign"]) == {"Armenian d", "Deseret"}
    assert result["  touched, near misses"] == []


@pytest.mark.parametrize("vendor", ["anthropic", "xai", "moonshot", "zai", "minimax"])
def test_a_vendors_own_api_serves_its_own_family(vendor: str) -> None:
    """A second opinion on other families: the provider column, which the table does not read."""
    family = {"anthropic": "claude", "xai": "grok", "moonshot": "kimi", "zai": "glm"}.get(vendor, vendor)
    wrong = [
        one.name
        for one in bans.catalogue()
        if one.provider == vendor and resolve(one.name).family not in (family, None)
    ]
    assert wrong == []
