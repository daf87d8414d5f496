"""A model card -> `ResolvedName`, by the base model and the data sets that the card names.

The fields of Hugging Face's cards (`base_model`, `base_model_relation`, `datasets`, tags) are believed.
Prose, weights and configurations are not read: unrelated families may share an architecture
("DeepseekV3ForCausalLM" is also Kimi K2's).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from stillwatch.lineage import Relation, ResolvedName
from stillwatch.lineage.resolve import resolve
from stillwatch.lineage.skeleton import skeleton
from stillwatch.lineage.table import Dataset, table

# huggingface.co/docs/hub/model-cards, Specifying a base model, 2025
RELATIONS = {
    "finetune": Relation.FINETUNE,
    "adapter": Relation.FINETUNE,
    "quantized": Relation.QUANTIZED,
    "merge": Relation.MERGED,
}
STRONGER = (Relation.DISTILLED, Relation.MERGED, Relation.FINETUNE, Relation.QUANTIZED, Relation.SAME)


def resolve_card(card: Mapping[str, object]) -> ResolvedName:
    """Resolve a model by its card: the metadata block, or the answer of the hub's API for a model.

    The weights are the base model's, as its name resolves. If the card names no base that the table knows,
    the model's own name decides. Fields of an unexpected type count as missing.

    >>> found = resolve_card({"id": "acme/blue-7b", "base_model": "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B"})
    >>> found.family, found.relation.value, found.teachers
    ('qwen', 'distilled', ('deepseek',))
    """
    name = next((text for key in ("id", "modelId", "model_name") for text in _texts(card.get(key))), "")
    resolved = resolve(name)
    meta = card.get("cardData")
    fields = {**meta, **card} if isinstance(meta, Mapping) else dict(card)
    tagged = list(_tagged_bases(fields))
    bases = list(_texts(fields.get("base_model"))) or [base for _, base in tagged]
    relation = _relation(fields, [relation for relation, _ in tagged], len(bases))
    informative = [base for base in map(resolve, bases) if base.family is not None or base.teachers]
    known = _known_datasets(fields)
    return _with_datasets(_with_bases(resolved, informative, relation), known)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (text for text in value if isinstance(text, str))


def _tagged_bases(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the bases in the hub's tags: "base_model:quantized:deepseek-ai/DeepSeek-R1"."""
    for tag in _texts(fields.get("tags")):
        kind, _, rest = tag.partition(":")
        relation, colon, base = rest.partition(":")
        if kind == "base_model" and colon and relation in RELATIONS:
            yield relation, base


def _relation(fields: Mapping[str, object], tagged: list[str], bases: int) -> Relation:
    words = [*_texts(fields.get("base_model_relation")), *tagged]
    relation = next((RELATIONS[word] for word in words if word in RELATIONS), None)
    return relation or (Relation.MERGED if bases > 1 else Relation.FINETUNE)


def _with_bases(name: ResolvedName, bases: list[ResolvedName], relation: Relation) -> ResolvedName:
    if not bases:
        return name
    first = bases[0]
    teachers = tuple(dict.fromkeys(t for name in (name, *bases) for t in name.teachers))
    relations = {relation, name.relation, *(base.relation for base in bases)} - {Relation.UNKNOWN}
    return replace(
        name,
        family=first.family,
        relation=next(relation for relation in STRONGER if relation in relations),
        base=first.base,
        teachers=teachers,
        vendor=name.vendor if name.vendor and name.family == first.family else None,
        evidence=f'Its card names the base model "{first.name}". {first.evidence}',
    )


def _known_datasets(fields: Mapping[str, object]) -> list[Dataset]:
    known = table().datasets
    return [
        known[bones] for dataset in _texts(fields.get("datasets")) if (bones := skeleton(dataset)) in known
    ]


def _with_datasets(name: ResolvedName, datasets: list[Dataset]) -> ResolvedName:
    if not datasets:
        return name
    others = (teacher for dataset in datasets for teacher in dataset.teachers if teacher != name.family)
    teachers = tuple(dict.fromkeys((*name.teachers, *others)))
    sentence = " ".join(
        f'Its card names the data set "{dataset.name}". Source: {dataset.source}.' for dataset in datasets
    )
    merged = name.relation is Relation.MERGED
    return replace(
        name,
        teachers=teachers,
        relation=Relation.MERGED if merged else Relation.DISTILLED if teachers else name.relation,
        evidence=f"{name.evidence} {sentence}".strip(),
    )
