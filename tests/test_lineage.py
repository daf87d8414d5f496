"""Names are resolved by their words, disguises are recognised, innocents left alone; the table is valid."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.lineage import Relation
from stillwatch.lineage.card import resolve_card
from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.skeleton import LOOK_ALIKES, fold_name, skeleton
from stillwatch.lineage.table import table

SAME, FINETUNE, QUANTIZED = Relation.SAME, Relation.FINETUNE, Relation.QUANTIZED
MERGED, DISTILLED, UNKNOWN = Relation.MERGED, Relation.DISTILLED, Relation.UNKNOWN


@pytest.mark.parametrize(
    ("name", "family", "relation", "teachers"),
    [
        ("deepseek-chat", "deepseek", SAME, ()),
        ("DEEPSEEK_R1", "deepseek", SAME, ()),
        ("deep\u200bseek-r1", "deepseek", SAME, ()),
        ("dеерseek-v3", "deepseek", SAME, ()),
        ("us.deepseek.r1-v1:0", "deepseek", SAME, ()),
        ("azure_ai/MAI-DS-R1", "deepseek", FINETUNE, ()),
        ("perplexity/r1-1776", "deepseek", FINETUNE, ()),
        ("r1-distill-llama-70b", "llama", DISTILLED, ("deepseek",)),
        ("groq/R1_Distill_Qwen_32B-AWQ", "qwen", DISTILLED, ("deepseek",)),
        ("r1-0528-qwen3-8b", "qwen", DISTILLED, ("deepseek",)),
        ("ollama/r1:70b", "llama", DISTILLED, ("deepseek",)),
        ("R1-671B", "deepseek", SAME, ()),
        ("v3-0324", "deepseek", SAME, ()),
        ("coder-v2-lite-instruct", "deepseek", SAME, ()),
        ("r1-1776-distill-llama-70b", "llama", DISTILLED, ("deepseek",)),
        ("tngtech/DeepSeek-TNG-R1T2-Chimera", "deepseek", MERGED, ()),
        ("unsloth/DeepSeek-V3.1-GGUF:Q4_K_M", "deepseek", QUANTIZED, ()),
        ("models\\deepseek-r1-0528-UD-IQ2_XXS.gguf", "deepseek", QUANTIZED, ()),
        ("deepseek-r1:671b", "deepseek", SAME, ()),
        ("deepseek-r1:32b-qwen-distill-q4_K_M", "qwen", DISTILLED, ("deepseek",)),
        ("ollama/deepseek-r1:70b", "llama", DISTILLED, ("deepseek",)),
        ("DeepSeek-R1-0528-Qwen3-8B", "qwen", DISTILLED, ("deepseek",)),
        ("deepseek-r1-distill-qwen-32b", "qwen", DISTILLED, ("deepseek",)),
        ("@cf/deepseek-ai/deepseek-r1-distill-qwen-32b", "qwen", DISTILLED, ("deepseek",)),
        ("deepseek-r1-distill", None, DISTILLED, ("deepseek",)),
        ("DeepSeek-V3-llama.cpp", "deepseek", SAME, ()),
        ("DeepSeek-R1-abliterated", "deepseek", FINETUNE, ()),
        ("deepseek/search", "deepseek", SAME, ()),
        ("https://api.deepseek.com/v1", "deepseek", SAME, ()),
        ("d33ps33k-r1", "deepseek", SAME, ()),
        ("mydeepseek", "deepseek", SAME, ()),
        ("novita/deepseek/deepseek-r1/community", "deepseek", SAME, ()),
        ("accounts/fireworks/models/deepseek-v3p1", "deepseek", SAME, ()),
        ("nousresearch/deephermes-3-llama-3-8b-preview:free", "llama", DISTILLED, ("deepseek",)),
        ("DeepHermes-3-Mistral-24B-Preview", "mistral", DISTILLED, ("deepseek",)),
        ("open-thoughts/OpenThinker-32B", "qwen", DISTILLED, ("deepseek",)),
        ("OpenThinker3-7B", "qwen", DISTILLED, ("qwen",)),
        ("simplescaling/s1-32B", "qwen", DISTILLED, ("gemini",)),
        ("s1", "qwen", DISTILLED, ("gemini",)),
        ("simplescaling/s1.1-32B", "qwen", DISTILLED, ("deepseek",)),
        ("NovaSky-AI/Sky-T1-32B-Preview", "qwen", DISTILLED, ("qwen",)),
        ("bespokelabs/Bespoke-Stratos-32B", "qwen", DISTILLED, ("deepseek",)),
        ("microsoft/Phi-4-mini-reasoning", "phi", DISTILLED, ("deepseek",)),
        ("deepcogito/cogito-671b-v2.1", "deepseek", FINETUNE, ()),
        ("cogito-v1-preview-qwen-14b", "qwen", FINETUNE, ()),
        ("TeichAI/gpt-oss-20b-claude-4.5-sonnet-high-reasoning-distill", "gpt", DISTILLED, ("claude",)),
        ("Jackrong/Qwen3.5-9B-DeepSeek-V4-Flash", "qwen", DISTILLED, ("deepseek",)),
        ("ft:gpt-4o-mini-2024-07-18:acme::9abc", "gpt", FINETUNE, ()),
        ("ft:o4-mini-2025-04-16", "gpt", FINETUNE, ()),
        ("openai/o3-mini", "gpt", SAME, ()),
        ("meta-llama/Llama-3.3-70B-Instruct", "llama", SAME, ()),
        ("ollama/gemma3:4b", "gemma", SAME, ()),
        ("bedrock/us.anthropic.claude-sonnet-4-20250514-v1:0", "claude", SAME, ()),
        ("amazon.nova-lite-v1:0", "nova", SAME, ()),
        ("moonshotai/Kimi-K2-Instruct", "kimi", SAME, ()),
        ("moonshotai/Kimi-Dev-72B", "qwen", FINETUNE, ()),
        ("通义千问-max", "qwen", SAME, ()),
    ],
)
def test_names_resolve(name: str, family: str | None, relation: Relation, teachers: tuple[str, ...]) -> None:
    found = resolve(name)
    assert (found.family, found.relation, found.teachers) == (family, relation, teachers), found.evidence
    assert "Source: " in found.evidence or "API of" in found.evidence


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "deepthink-translator",
        "deep-seeker-travel",
        "deepseeker",
        "deepspeed-chat",
        "deepgram/nova-3",
        "acme-ds-v3",
        "r1",
        "s1-embedding",
        "skywork/r1v4-lite",
        "text-embedding-ada-002",
        "team-fast",
    ],
)
def test_what_the_table_does_not_know_is_unknown(name: str) -> None:
    found = resolve(name)
    assert (found.family, found.relation, found.teachers, found.base) == (None, UNKNOWN, (), None)


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("azure_ai/MAI-DS-R1", "azure_ai"),
        ("bedrock/us-east-1/deepseek.v3.2", "bedrock"),
        ("arn:aws:bedrock:us-east-1::foundation-model/deepseek.r1-v1:0", "bedrock"),
        ("hf:deepseek-ai/DeepSeek-R1", "huggingface"),
        ("accounts/fireworks/models/deepseek-r1", "fireworks_ai"),
        ("projects/p/locations/us/publishers/deepseek-ai/models/deepseek-r1-0528-maas", "vertex_ai"),
        ("deepseek-chat", None),
    ],
)
def test_the_host_is_told_where_the_name_says_it(name: str, host: str | None) -> None:
    found = resolve(name)
    assert (found.family, found.host) == ("deepseek", host)


@pytest.mark.slow
@given(st.text(max_size=200))
def test_any_text_resolves_to_something_the_table_has(name: str) -> None:
    found = resolve(name)
    assert found.name == name
    assert found.family is None or found.family in table().families
    assert set(found.teachers) <= table().families.keys()
    assert (found.relation is UNKNOWN) == (found.base is None)
    assert resolve(name) == found


@given(st.text(max_size=200))
def test_a_skeleton_is_its_own_skeleton(name: str) -> None:
    bones = skeleton(name)
    assert skeleton(bones) == bones
    assert all(c.isalnum() for c in bones)


@given(st.text(string.ascii_letters + string.digits + "-_./: ", max_size=60))
def test_ascii_is_only_lowered(name: str) -> None:
    assert fold_name(name) == name.lower()
    assert skeleton(name) == re.sub("[^a-z0-9]", "", name.lower())


@pytest.mark.parametrize("letter", sorted(LOOK_ALIKES))
def test_every_look_alike_folds_to_its_letter(letter: str) -> None:
    assert {skeleton(like) for like in LOOK_ALIKES[letter]} == {letter}


def test_scripts_that_look_like_nothing_of_ours_keep_names_apart() -> None:
    assert skeleton("模型-千问") == "模型千问" != skeleton("模型-混元")


@pytest.mark.slow
def test_a_long_name_costs_no_more_than_its_length() -> None:
    for filler in ("deepseek", "d-", "Aa", "3", "deepseeker-", "/", "е"):
        assert resolve(filler * 20_000).name  # a quadratic step here would take minutes


@pytest.mark.parametrize(
    ("card", "family", "relation", "teachers"),
    [
        ({"base_model": "deepseek-ai/DeepSeek-R1"}, "deepseek", FINETUNE, ()),
        (
            {"base_model": ["deepseek-ai/DeepSeek-V3"], "base_model_relation": "quantized"},
            "deepseek",
            QUANTIZED,
            (),
        ),
        (
            {"tags": ["gguf", "base_model:quantized:deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"]},
            "qwen",
            DISTILLED,
            ("deepseek",),
        ),
        ({"base_model": ["deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3"]}, "deepseek", MERGED, ()),
        (
            {
                "cardData": {
                    "base_model": "Qwen/Qwen2.5-7B",
                    "datasets": ["open-thoughts/OpenThoughts-114k"],
                }
            },
            "qwen",
            DISTILLED,
            ("deepseek",),
        ),
        ({"id": "acme/DeepSeek-R1-finetune", "base_model": "acme/unknown"}, "deepseek", FINETUNE, ()),
        ({"base_model": 7, "tags": "x", "datasets": {"a": 1}, "cardData": []}, None, UNKNOWN, ()),
    ],
)
def test_cards_resolve(
    card: dict[str, object], family: str | None, relation: Relation, teachers: tuple[str, ...]
) -> None:
    found = resolve_card({"id": "acme/blue", **card})
    assert (found.family, found.relation, found.teachers) == (family, relation, teachers), found.evidence


def test_every_entry_has_a_dated_source() -> None:
    known = table()
    sources = {family.id: family.source for family in known.families.values()}
    sources |= {f"{entry.id}: {entry.names[0]}": entry.source for entry in known.entries if entry.family}
    sources |= {one.name: one.source for one in known.datasets.values()}
    undated = [key for key, source in sources.items() if not re.search(r"20\d\d|Morph's dsv4flash", source)]
    assert not undated


def test_entries_name_only_families_of_the_table_and_never_themselves_by_mistake() -> None:
    known = table()
    for entry in known.entries:
        for one in (*entry.teachers, *(family for _, family in entry.sizes)):
            assert one in known.families, entry.id
    for dataset in known.datasets.values():
        assert set(dataset.teachers) <= known.families.keys(), dataset.name
    assert set(known.decide.values()) <= known.families.keys()


def test_every_name_of_the_table_finds_its_entry() -> None:
    named = [
        (entry.id, resolve(name.replace(" ", "-")))
        for entry in table().entries
        if entry.family is not None and not entry.under
        for name in entry.names
    ]
    assert len(named) > 300
    assert not [found for entry, found in named if found.base != entry and found.family is None]
