"""STIX 2.1: a case for another provider. Numbers, keyed indicators and ATLAS ids; no prompts, no account
names.

A partner with the key can search its own log for the indicators. A match is not proof of guilt, since wording
can be copied. Source: STIX 2.1 (OASIS, 2021), sections 4.3, 4.7, 4.14, 4.16, 5.1, 6.18.
"""

import json
from collections.abc import Sequence
from typing import Any

from stillwatch.cases import Json
from stillwatch.cases.alert import Alert
from stillwatch.cases.exports import ExportError, Form, Leaving
from stillwatch.cases.exports.atlas import Technique, technique
from stillwatch.cases.exports.marking import IDS, Tlp, marking
from stillwatch.cases.exports.misp import misp_objects
from stillwatch.cases.exports.objects import (
    BORN,
    bundle,
    extension_object,
    extensions,
    identity_id,
    make_object,
    observable_id,
    pattern,
    sender_object,
    stix_id,
    timestamp,
)
from stillwatch.cases.exports.plain import to_bytes, whole
from stillwatch.cases.exports.sums import leaving
from stillwatch.cases.indicators import SKETCHED, Indicator, IndicatorKind
from stillwatch.cases.indicators.keys import IndicatorKey
from stillwatch.cases.indicators.plain_values import PlainIndicator, PlainKind
from stillwatch.units import DAY_US, HOUR_US

MOST_OBSERVED = 999_999_999  # STIX 2.1, section 4.14: number_observed
NAMES = {
    IndicatorKind.QUESTION: "the same question",
    IndicatorKind.OPENING: "the same opening words of a prompt",
    IndicatorKind.ENDING: "the same closing words of a prompt",
    IndicatorKind.SYSTEM: "the same system text",
    IndicatorKind.WORDING: "one of several phrases that stand in one prompt",
    IndicatorKind.NETWORK: "the same network",
    IndicatorKind.PAYMENT: "the same payment instrument",
    IndicatorKind.DOMAIN: "the same e-mail domain",
}
PLAIN = {
    PlainKind.NETWORK: "networks",
    PlainKind.SYSTEM: "autonomous systems",
    PlainKind.DOMAIN: "e-mail domains",
    PlainKind.ACCOUNT: "names of accounts",
}
LONGEST_NAME = 200


def campaign_id(sender: str, case: str) -> str:
    """Return the STIX id of a case's campaign; a partner's sighting refers to it.

    `sender`: the sender's own name.
    """
    return stix_id("campaign", identity_id(checked_sender(sender)), case)


def checked_sender(name: str) -> str:
    """Return the sender's name in exported form. Raises: ExportError if it is invalid."""
    name = whole(" ".join(name.split()))
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ExportError(
            f"give --sender, your organisation's name in 1 to {LONGEST_NAME} letters that can be printed"
        )
    return name


def campaign_bundle(
    alert: Alert,
    indicators: Sequence[Indicator],
    key: IndicatorKey,
    *,
    sender: str,
    tlp: Tlp,
    opened_us: int,
    now_us: int,
    valid_days: int,
    with_accounts: bool = False,
    plain: Sequence[PlainIndicator] = (),
    misp: bool = False,
) -> tuple[bytes, Leaving]:
    """Return a case as a sealed bundle, with a summary of what leaves.

    opened_us: when the case was opened, which never changes; with_accounts: also keyed hashes of the names in
    the alert, which let a partner test guesses; plain: values in plain text, which identify somebody;
    misp: in the dialect of MISP's converter. Raises: ExportError if an indicator is under another key
    than the bundle, or plain values would leave under a mark that allows passing them on.
    """
    if any(item.key != key.fingerprint for item in indicators):
        raise ExportError("an indicator was made under another key than the one that seals the file")
    _check_mark(plain, tlp)
    who = identity_id(checked_sender(sender))

    def new(kind: str, *of: str, **more: Any) -> Json:
        return make_object(kind, stix_id(kind, who, alert.case, *of), who, opened_us, now_us, tlp, **more)

    campaign = _campaign(alert, campaign_id(sender, alert.case), who, opened_us, now_us, tlp)
    objects = [campaign]
    for item in alert.atlas:
        used = _attack_pattern(technique(item["id"]), tlp)
        objects += [used, _relationship(new, campaign, "uses", used)]
    for indicator in indicators:
        indicator_object = _indicator(new, indicator, max(now_us, indicator.last_us) + valid_days * DAY_US)
        objects += [indicator_object, _relationship(new, indicator_object, "indicates", campaign)]
    from_whom = sender_object(checked_sender(sender), tlp, now_us)
    if misp:
        data = misp_objects(
            campaign, indicators, plain, from_whom, opened_us=opened_us, now_us=now_us, tlp=tlp
        )
        written = json.loads(data)["objects"]
        return data, leaving(
            Form.STIX, data, _counts(written, indicators, plain), tlp, _names_somebody(plain)
        )
    objects += _plain_objects(new, plain, campaign, tlp, now_us, valid_days)
    if with_accounts:
        objects += _observed_data(new, alert, key, tlp)
    report = {k: campaign[k] for k in ("name", "description")} | {
        "report_types": ["campaign", "indicator"],
        "published": timestamp(now_us),
        "object_refs": sorted(item["id"] for item in objects),
    }
    objects.append(new("report", **report))
    everything = [*objects, from_whom, extension_object(who), marking(tlp)]
    data = to_bytes(bundle(everything, key.sealing, key.fingerprint), indent=1) + b"\n"
    counts = _counts(everything, indicators, plain)
    return data, leaving(Form.STIX, data, counts, tlp, _names_somebody(plain))


def _names_somebody(plain: Sequence[PlainIndicator]) -> bool:
    return any(indicator.kind is PlainKind.ACCOUNT for indicator in plain)


def _plain_objects(
    new: Any, plain: Sequence[PlainIndicator], campaign: Json, tlp: Tlp, now_us: int, valid_days: int
) -> list[Json]:
    """Return for each value its indicator and its observable, tied to each other and to the campaign."""
    objects: list[Json] = []
    for value in plain:
        indicator_object = _plain_indicator(new, value, max(now_us, value.last_us) + valid_days * DAY_US)
        observed = _observed_value(new, value, tlp)
        objects += [indicator_object, *observed, _relationship(new, indicator_object, "indicates", campaign)]
        objects.append(_relationship(new, indicator_object, "based-on", observed[-1]))
    return objects


def _observed_value(new: Any, indicator: PlainIndicator, tlp: Tlp) -> list[Json]:
    """Return a value as a STIX observable, and when it was seen."""
    number = indicator.kind is PlainKind.SYSTEM
    name = {PlainKind.SYSTEM: "number", PlainKind.ACCOUNT: "user_id"}.get(indicator.kind, "value")
    value: Any = int(indicator.value) if number else indicator.value
    observable = {
        "type": _observable(indicator),
        "spec_version": "2.1",
        "id": observable_id(_observable(indicator), {name: value}),
        name: value,
        "object_marking_refs": [IDS[tlp]],
    }
    observed = new(
        "observed-data",
        f"plain {indicator.kind}",
        indicator.value,
        # by the hour, as in the indicator
        first_observed=timestamp(indicator.first_us // HOUR_US * HOUR_US),
        last_observed=timestamp((indicator.last_us // HOUR_US + 1) * HOUR_US),
        number_observed=min(max(indicator.exchanges, 1), MOST_OBSERVED),
        object_refs=[observable["id"]],
    )
    return [observable, observed]


def _observable(indicator: PlainIndicator) -> str:
    if indicator.kind is PlainKind.NETWORK:
        return "ipv6-addr" if ":" in indicator.value else "ipv4-addr"
    return {
        PlainKind.SYSTEM: "autonomous-system",
        PlainKind.DOMAIN: "domain-name",
        PlainKind.ACCOUNT: "user-account",
    }[indicator.kind]


def _check_mark(plain: Sequence[PlainIndicator], tlp: Tlp) -> None:
    """Refuse plain values under a mark that allows passing them on. Raises: ExportError."""
    if plain and tlp not in (Tlp.AMBER, Tlp.STRICT):
        raise ExportError(f"TLP:{tlp.upper()} lets plain values go further; give --tlp amber or amber+strict")
    if tlp is not Tlp.STRICT and any(indicator.kind is PlainKind.ACCOUNT for indicator in plain):
        raise ExportError("names of accounts stay with the one partner: give --tlp amber+strict")


def _counts(
    objects: list[Json], indicators: Sequence[Indicator], plain: Sequence[PlainIndicator]
) -> dict[str, int]:
    kinds = [item["type"] for item in objects]
    sketches = sum(item.kind in SKETCHED for item in indicators)
    return {
        **{f"IN PLAIN, {PLAIN[kind]}": sum(item.kind is kind for item in plain) for kind in PLAIN},
        "keyed sketches of wording": sketches,
        "keyed identifiers (network, payment, e-mail domain)": len(indicators) - sketches,
        "keyed hashes of account names": kinds.count("user-account")
        - sum(item.kind is PlainKind.ACCOUNT for item in plain) * (kinds.count("x-misp-object") == 0),
        "ATLAS techniques": kinds.count("attack-pattern"),
        "objects in all": len(objects),
    }


def _campaign(alert: Alert, id: str, who: str, opened_us: int, now_us: int, tlp: Tlp) -> Json:
    """Return a campaign in numbers only, since the alert's sentences may quote names of accounts."""
    exposure = alert.exposure
    description = (
        f"{alert.members:,} accounts have taken {exposure.exchanges:,} exchanges and "
        f"{exposure.output_tokens:,} output tokens. p {alert.p_value:.2g}, {alert.score_bits:.0f} bits. "
        f"Verdict of the sender: {alert.verdict or 'none yet'}. {exposure.milestones}"
    )
    return make_object(
        "campaign",
        id,
        who,
        opened_us,
        now_us,
        tlp,
        name=f"Distillation campaign {id.removeprefix('campaign--')[:8]}",
        description=description.strip(),
        objective="Training data for a model",
        first_seen=None if exposure.first_us is None else timestamp(exposure.first_us),
        last_seen=None
        if exposure.last_us is None
        else timestamp(max(exposure.last_us, exposure.first_us or 0)),
        extensions=extensions(
            accounts=alert.members,
            exchanges=exposure.exchanges,
            output_tokens=exposure.output_tokens,
            p_value=alert.p_value,
        ),
    )


def _attack_pattern(known: Technique, tlp: Tlp) -> Json:
    """Return an ATLAS technique: the same object in all bundles, so it has no sender."""
    return {
        "type": "attack-pattern",
        "spec_version": "2.1",
        "id": stix_id("attack-pattern", "", known.id),
        "created": BORN,
        "modified": BORN,
        "name": f"{known.of}: {known.name}" if known.of else known.name,
        "external_references": [{"source_name": "mitre-atlas", "external_id": known.id, "url": known.url}],
        "kill_chain_phases": [
            {
                "kill_chain_name": "mitre-atlas",
                "phase_name": known.tactic.lower().replace(" ", "-") or "unknown",
            }
        ],
    }


def _indicator(new: Any, sketch: Indicator, until_us: int) -> Json:
    about = f"Carried by {sketch.accounts:,} of the campaign's accounts and {sketch.others:,} others."
    written = pattern(sketch.kind, sketch.key, sketch.value)
    of = (sketch.kind, sketch.value, sketch.key)
    return _new_indicator(new, of, sketch, until_us, f"Keyed mark of {NAMES[sketch.kind]}", about, written)


def _plain_indicator(new: Any, plain: PlainIndicator, until_us: int) -> Json:
    about = (
        f"Of {plain.accounts:,} of the campaign's accounts and {plain.others:,} others. Whoever comes from "
        "there is not thereby one of them."
    )
    written = plain_pattern(plain.kind, plain.value)
    name = f"{PLAIN[plain.kind]}: {plain.value}"
    return _new_indicator(new, (f"plain {plain.kind}", plain.value), plain, until_us, name, about, written)


def _new_indicator(
    new: Any, of: tuple[str, ...], one: Indicator | PlainIndicator, until_us: int, name: str, about: str,
    written: str,
) -> Json:  # fmt: skip
    indicator: Json = new(
        "indicator",
        *of,
        name=name,
        description=about,
        indicator_types=["anomalous-activity"],
        pattern=written,
        pattern_type="stix",
        pattern_version="2.1",
        # by the hour: the millisecond would identify one customer's exchange
        valid_from=timestamp(one.first_us // HOUR_US * HOUR_US),
        valid_until=timestamp(until_us),
        confidence=round(100 * one.accounts / max(one.accounts + one.others, 1)),
        extensions=extensions(accounts=one.accounts, others=one.others, exchanges=one.exchanges),
    )
    return indicator


def plain_pattern(kind: PlainKind, value: str) -> str:
    """Return a pattern of standard STIX, which any tool can search for.

    >>> plain_pattern(PlainKind.NETWORK, "192.0.2.0/24")
    "[ipv4-addr:value = '192.0.2.0/24']"
    """
    if kind is PlainKind.SYSTEM:
        return f"[autonomous-system:number = {int(value)}]"
    if kind is PlainKind.ACCOUNT:
        return f"[user-account:user_id = '{_escape_quotes(value)}']"
    object_type = "domain-name" if kind is PlainKind.DOMAIN else "ipv6-addr" if ":" in value else "ipv4-addr"
    return f"[{object_type}:value = '{_escape_quotes(value)}']"


def _escape_quotes(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _relationship(new: Any, source: Json, how: str, target: Json) -> Json:
    return dict(
        new(
            "relationship",
            source["id"],
            how,
            target["id"],
            relationship_type=how,
            source_ref=source["id"],
            target_ref=target["id"],
        )
    )


def _observed_data(new: Any, alert: Alert, key: IndicatorKey, tlp: Tlp) -> list[Json]:
    accounts: list[Json] = []
    for name in alert.accounts:
        hashed = key.identify("account", name)
        accounts.append(
            {
                "type": "user-account",
                "spec_version": "2.1",
                "id": observable_id("user-account", {"user_id": hashed}),
                "user_id": hashed,
                "object_marking_refs": [IDS[tlp]],
            }
        )
    if not accounts or alert.exposure.first_us is None or alert.exposure.last_us is None:
        return []
    observed = new(
        "observed-data",
        first_observed=timestamp(alert.exposure.first_us),
        last_observed=timestamp(alert.exposure.last_us),
        number_observed=min(max(alert.exposure.exchanges, 1), MOST_OBSERVED),
        object_refs=sorted(account_object["id"] for account_object in accounts),
    )
    return [*accounts, observed]
