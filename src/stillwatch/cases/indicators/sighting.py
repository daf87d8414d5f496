"""The reply to a partner: whether its campaign was seen here, how often, first and last. It names nobody.

Times are rounded outwards to whole hours: the minute would reveal which exchange it was. A count of zero is a
reply too. Source: STIX 2.1 (OASIS, 2021), section 5.2: count 0 says "not seen".
"""

from pathlib import Path
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.exports import Form, Leaving
from stillwatch.cases.exports.marking import Tlp, marking
from stillwatch.cases.exports.objects import (
    bundle,
    extension_object,
    extensions,
    identity_id,
    make_object,
    sender_object,
    stix_id,
    timestamp,
)
from stillwatch.cases.exports.plain import to_bytes
from stillwatch.cases.exports.stix import checked_sender
from stillwatch.cases.exports.sums import leaving
from stillwatch.cases.indicators import Hits, IndicatorError, PartnerSighting
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.cases.indicators.reading import SKEW_US, count, ours, read_file, text, time_us, tlp_of
from stillwatch.units import HOUR_US

MOST = 999_999_999  # STIX 2.1, section 5.2: count


def sighting_bundle(hits: Hits, key: IndicatorKey, *, sender: str, now_us: int) -> tuple[bytes, Leaving]:
    """Write the reply, under the mark of the original file; a later reply updates it."""
    name = checked_sender(sender)
    who, tlp = identity_id(name), Tlp(hits.partner.tlp)
    whole = (hits.partner.id, hits.exchanges, hits.first_us, hits.last_us)
    sightings = [_sighting(hits, who, tlp, now_us, *whole, **_search_facts(hits))]
    sightings += [_sighting(hits, who, tlp, now_us, *seen) for seen in hits.seen]
    objects = [*sightings, sender_object(name, tlp, now_us), extension_object(who), marking(tlp)]
    data = to_bytes(bundle(objects, key.sealing, key.fingerprint), indent=1) + b"\n"
    holds = {
        "sightings": len(sightings),
        "exchanges, as a number": hits.exchanges,
        "accounts, as a number": len(hits.accounts),
    }
    return data, leaving(Form.STIX, data, holds, tlp)


def _search_facts(hits: Hits) -> Json:
    return {
        "description": f"Searched {hits.searched:,} exchanges; {hits.exchanges:,} of {len(hits.accounts):,} "
        f"accounts carry at least one of the {len(hits.partner.indicators):,} marks.",
        "extensions": extensions(
            accounts=len(hits.accounts), searched=hits.searched, **_span_properties(hits)
        ),
    }


def _sighting(
    hits: Hits,
    who: str,
    tlp: Tlp,
    now_us: int,
    of: str,
    exchanges: int,
    first_us: int | None,
    last_us: int | None,
    **more: Any,
) -> Json:
    return make_object(
        "sighting",
        stix_id("sighting", who, of),
        who,
        hits.partner.created_us,  # the same in every reply, as versions of one object require
        now_us,
        tlp,
        sighting_of_ref=of,
        where_sighted_refs=[who],
        count=min(exchanges, MOST),
        summary=True,
        **_hours(first_us, last_us),
        **more,
    )


def _hours(first_us: int | None, last_us: int | None) -> dict[str, str]:
    """Return first and last, rounded outwards to whole hours."""
    if first_us is None or last_us is None:
        return {}
    return {
        "first_seen": timestamp(first_us // HOUR_US * HOUR_US),
        "last_seen": timestamp(-(-last_us // HOUR_US) * HOUR_US),
    }


def _span_properties(hits: Hits) -> dict[str, str]:
    """Return the searched span by the hour: "not seen" is valid only for it."""
    hours = _hours(hits.first_searched_us, hits.last_searched_us)
    return {f"searched_{name}": hour for name, hour in zip(("from", "to"), hours.values(), strict=False)}


def read_sightings(
    path: Path, key: IndicatorKey, now_us: int, unsealed: bool = False
) -> tuple[PartnerSighting, ...]:
    """Read a partner's reply: one sighting of each of our campaigns in it.

    Raises: IndicatorError if it is not a reply, or is contradictory.
    """
    file = read_file(path, key, unsealed)
    sightings = []
    for item in file.of_type("sighting"):
        of = text(item, "sighting_of_ref", file.place)
        if not of.startswith("campaign--") or item.get("revoked") is True:
            continue
        modified_us = time_us(item, "modified", file.place)
        if modified_us > now_us + SKEW_US:
            raise file.wrong(item, f"is dated {item['modified']}, which is to come; look at both clocks")
        first_us = last_us = None
        if "first_seen" in item or "last_seen" in item:
            first_us = time_us(item, "first_seen", file.place)
            last_us = time_us(item, "last_seen", file.place)
            if last_us < first_us:
                raise file.wrong(item, "was last seen before it was first seen")
        extension, place = ours(item), f"{file.place}: {item['id']}"
        sightings.append(
            PartnerSighting(
                id=item["id"],
                of=of,
                sender=file.sender,
                tlp=tlp_of(file, [item]).value,
                exchanges=count(item, "count", place, 1),
                accounts=count(extension, "accounts", place, 0),
                searched=count(extension, "searched", place, 0),
                searched_us=_read_span(extension | {"id": item["id"]}, file.place),
                first_us=first_us,
                last_us=last_us,
                modified_us=modified_us,
                sealed=file.sealed,
                key=key.fingerprint,
            )
        )
    if not sightings:
        raise IndicatorError(
            f"{path}: answers no campaign; a partner's own campaigns are taken in by `import`"
        )
    return tuple(sightings)


def _read_span(extension: Json, place: str) -> tuple[int, int] | None:
    if "searched_from" not in extension and "searched_to" not in extension:
        return None
    return time_us(extension, "searched_from", place), time_us(extension, "searched_to", place)


def sentence(echo: PartnerSighting) -> str:
    """Return a sighting as a sentence, for the note that it becomes."""
    claim = f"under key {echo.key}" if echo.sealed else "unsealed, a mere claim"
    who = f"{echo.sender} (TLP:{echo.tlp.upper()}; {claim}; of {timestamp(echo.modified_us)})"
    when = "" if echo.searched_us is None else " from {} to {}".format(*map(timestamp, echo.searched_us))
    searched = f" It searched {echo.searched:,} exchanges{when}." if echo.searched else ""
    if not echo.exchanges:
        return f"{who} has looked for this campaign and not seen it.{searched}"
    times = ""
    if echo.first_us is not None and echo.last_us is not None:
        times = f", from {timestamp(echo.first_us)} to {timestamp(echo.last_us)} by the hour"
    accounts = f" of {echo.accounts:,} accounts" if echo.accounts else ""
    return f"{who} has seen this campaign: {echo.exchanges:,} exchanges{accounts}{times}.{searched}"
