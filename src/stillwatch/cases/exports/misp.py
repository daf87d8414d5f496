"""A case for MISP's own converter (misp-stix): one event, with an object `stillwatch-mark` for each
indicator.

MISP stores our patterns as opaque text. Its converter turns a report's content into objects if it has the
converter's own label, which marks the dialect and claims nothing about the author. The matcher reads the
other form.
Source: misp-stix 2026.10, InternalSTIX2toMISPParser; MISP object templates, definition.json.
"""

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from json import loads
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.exports.marking import Tlp, marking
from stillwatch.cases.exports.objects import bundle, make_object, stix_id, timestamp
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.indicators import Indicator
from stillwatch.cases.indicators.plain_values import PlainIndicator, PlainKind

DIALECT = ["Threat-Report", 'misp:tool="MISP-STIX-Converter"']
ATTRIBUTES = {  # MISP's type and category of plain-text indicators
    PlainKind.NETWORK: ("ip-src", "Network activity"),
    PlainKind.SYSTEM: ("AS", "Network activity"),
    PlainKind.DOMAIN: ("domain", "Network activity"),
    PlainKind.ACCOUNT: ("target-user", "Targeting data"),
}


@cache
def template() -> Json:
    """Return the object template, as MISP's administrators install it."""
    text = files("stillwatch.cases.exchange").joinpath("misp-object.json").read_text("utf-8")
    document: Json = loads(text)
    return document


def misp_objects(
    campaign: Json,
    indicators: Sequence[Indicator],
    plain: Sequence[PlainIndicator],
    sender: Json,
    *,
    opened_us: int,
    now_us: int,
    tlp: Tlp,
) -> bytes:
    """Return the bundle. campaign, sender: the STIX objects."""
    who = sender["id"]

    def new(kind: str, *of: str, **more: Any) -> Json:
        return make_object(kind, stix_id(kind, who, campaign["id"], *of), who, opened_us, now_us, tlp, **more)

    attributes = [_mark_object(new, indicator) for indicator in indicators]
    attributes += [_plain_attribute(new, indicator) for indicator in plain]
    report = new(
        "report",
        "misp",
        name=campaign["name"],
        description=campaign["description"],
        published=timestamp(now_us),
        report_types=["campaign", "indicator"],
        object_refs=sorted(indicator["id"] for indicator in attributes),
        labels=DIALECT,
    )
    return to_bytes(bundle([*attributes, report, sender, marking(tlp)], None, ""), indent=1) + b"\n"


def _plain_attribute(new: Any, indicator: PlainIndicator) -> Json:
    kind, category = ATTRIBUTES[indicator.kind]
    attribute: Json = new(
        "x-misp-attribute",
        kind,
        indicator.value,
        labels=[f'misp:type="{kind}"', f'misp:category="{category}"', 'misp:to_ids="False"'],
        x_misp_type=kind,
        x_misp_category=category,
        x_misp_value=indicator.value,
    )
    return attribute


def _mark_object(new: Any, indicator: Indicator) -> Json:
    values = {
        "kind": str(indicator.kind), "key": indicator.key, "value": indicator.value,
        "accounts": indicator.accounts,
        "others": indicator.others, "exchanges": indicator.exchanges,
    }  # fmt: skip
    name, category, attribute_names = (template()[of] for of in ("name", "meta-category", "attributes"))
    return dict(
        new(
            "x-misp-object",
            str(indicator.kind),
            indicator.value,
            indicator.key,
            labels=[f'misp:name="{name}"', f'misp:meta-category="{category}"'],
            x_misp_name=name,
            x_misp_meta_category=category,
            x_misp_attributes=[
                {"type": attribute_names[name]["misp-attribute"], "object_relation": name, "value": value,
                 "category": "Other"}
                for name, value in values.items()
            ],
        )
    )  # fmt: skip
