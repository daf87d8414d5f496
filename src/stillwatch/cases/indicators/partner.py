"""Reads the campaigns of a partner's file, with the indicators that are valid now."""

from dataclasses import dataclass
from pathlib import Path

from stillwatch.cases import Json
from stillwatch.cases.exports.objects import read_pattern
from stillwatch.cases.indicators import Indicator, IndicatorError, IndicatorKind, Partner
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.cases.indicators.reading import (
    SHOWN,
    SKEW_US,
    IndicatorFile,
    count,
    ours,
    read_file,
    text,
    time_us,
    tlp_of,
)
from stillwatch.report.visible import visible

MOST_CAMPAIGNS = 100  # in one file: each is searched for in the whole history


@dataclass(frozen=True)
class PartnerFile:
    """The content of a partner's file."""

    sender: str
    sealed: bool
    partners: tuple[Partner, ...]


def read_partners(path: Path, key: IndicatorKey, now_us: int, unsealed: bool = False) -> PartnerFile:
    """Read a partner's campaigns.

    Raises: IndicatorError, in words for the partner, if nothing in it can be used now.
    """
    file = read_file(path, key, unsealed)
    campaigns = file.of_type("campaign")
    if not campaigns:
        raise IndicatorError(f"{path}: reports no campaign; an answer to yours is taken in by `sightings`")
    if len(campaigns) > MOST_CAMPAIGNS:
        raise IndicatorError(
            f"{path}: tells of {len(campaigns):,} campaigns, and each is looked for in the whole history; at "
            f"most {MOST_CAMPAIGNS} are taken in one file"
        )
    ties = _ties(file)
    partners = tuple(_partner(file, item, ties.get(item["id"], []), key, now_us) for item in campaigns)
    return PartnerFile(file.sender, file.sealed, partners)


def _partner(
    file: IndicatorFile, campaign: Json, ties: list[Json], key: IndicatorKey, now_us: int
) -> Partner:
    modified_us = time_us(campaign, "modified", file.place)
    if campaign.get("revoked") is True:
        raise file.wrong(campaign, f"was withdrawn by its sender at {campaign['modified']}")
    if modified_us > now_us + SKEW_US:
        raise file.wrong(campaign, f"is dated {campaign['modified']}, which is to come; look at both clocks")
    indicating = _indicating(file, ties)
    indicators: list[tuple[str, Indicator]] = []
    others: set[str] = set()
    expired = foreign = revoked = 0
    for item in indicating:
        pattern = (
            read_pattern(text(item, "pattern", file.place)) if item.get("pattern_type") == "stix" else None
        )
        if pattern is None:
            foreign += 1
        elif item.get("revoked") is True:
            revoked += 1
        elif time_us(item, "valid_until", file.place, default=now_us + 1) <= now_us:
            expired += 1
        elif pattern[1] != key.fingerprint:
            others.add(pattern[1])
        else:
            indicators.append((item["id"], _indicator(file, item, *pattern)))
    if not indicators:
        raise file.wrong(campaign, _nothing(len(indicating), expired, revoked, foreign, others, key))
    used = {id for id, _ in indicators}
    reports = [one for one in file.of_type("report") if _holds(one, campaign["id"])]
    tlp = tlp_of(file, [campaign, *(item for item in indicating if item["id"] in used), *reports])
    return Partner(
        id=campaign["id"],
        sender=file.sender,
        name=visible(text(campaign, "name", file.place, ""), SHOWN),
        tlp=tlp.value,
        created_us=time_us(campaign, "created", file.place),
        modified_us=modified_us,
        indicators=tuple(
            sorted(indicators, key=lambda pair: (pair[1].kind, -pair[1].accounts, pair[1].value))
        ),
        expired=expired + revoked,
        foreign=foreign,
    )


def _holds(report: Json, id: str) -> bool:
    refs = report.get("object_refs")
    return isinstance(refs, list) and id in refs


def _ties(file: IndicatorFile) -> dict[str, list[Json]]:
    """Group the relationships between indicators and campaigns by campaign, in one pass over the file."""
    ties: dict[str, list[Json]] = {}
    for item in file.of_type("relationship"):
        if item.get("relationship_type") == "indicates":
            ties.setdefault(str(item.get("target_ref")), []).append(item)
    return ties


def _indicating(file: IndicatorFile, ties: list[Json]) -> list[Json]:
    """Return the indicators that relationships tie to a campaign."""
    indicating: dict[str, Json] = {}
    for tie in ties:
        source = file.objects.get(str(tie.get("source_ref")))
        if source is None or source["type"] != "indicator":
            raise file.wrong(tie, "ties an indicator to the campaign that is not in the file")
        if tie.get("revoked") is not True:
            indicating[source["id"]] = source
    return list(indicating.values())


def _indicator(file: IndicatorFile, item: Json, kind: IndicatorKind, key: str, value: str) -> Indicator:
    extension, place = ours(item), f"{file.place}: {item['id']}"
    first_us = time_us(item, "valid_from", file.place)
    return Indicator(
        kind=kind,
        value=value,
        key=key,
        accounts=count(extension, "accounts", place, 0),
        others=count(extension, "others", place, 0),
        exchanges=count(extension, "exchanges", place, 0),
        first_us=first_us,
        last_us=max(first_us, time_us(item, "valid_until", file.place, default=first_us)),
    )


def _nothing(
    count_told: int, expired: int, revoked: int, foreign: int, others: set[str], key: IndicatorKey
) -> str:
    """Return why none of a campaign's indicators can be searched for."""
    if not count_told:
        return "has no indicators"
    if others:
        return f"its indicators are under key {', '.join(sorted(others))}, and yours is {key.fingerprint}"
    parts = [(expired, "expired"), (revoked, "withdrawn"), (foreign, "of a kind that is not ours")]
    why_not = ", ".join(f"{many} {label}" for many, label in parts if many)
    return f"none of its {count_told} indicators can be used: {why_not}; ask the sender for a new file"
