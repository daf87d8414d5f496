"""Computes the claims of an evidence bundle again, and checks its audit trail. Standard library only.

`verify.py` loads this file from its own folder, after the files that it names below. `check` returns what is
wrong, a sentence on the audit trail, and every claim with its result. The content of the events is the
sender's word; this file checks that the claims follow from it. `contradictions.py` compares the files.
"""

from __future__ import annotations

import math
import statistics  # noqa: F401 - what signals compute again uses it
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from .audit_records import check_audit
from .bundle_events import SETTINGS, OpenedBundle, told_aside, told_draws, us
from .file_shapes import find_misfits
from .harvest_numbers import (
    REACTION,
    Ties,
    alarm_test,
    brief,
    conduct,
    count_harvest,
    impossible,
    links,
    markers,
    reactions,
    totals,
)
from .held_blocks import draws_doubt, held_here
from .senders_word import list_places
from .set_aside_facts import FACTS, rules_broken, set_aside, together

CANNOT = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)
Recompute = Callable[[OpenedBundle], Mapping[str, float]]
# What each signal's own file recomputes. `documents.checker` writes it into the copy in a bundle.
RECOMPUTE: dict[str, Recompute] = {}
TIES: dict[str, Ties] = {}
# the detectors whose p-value becomes the finding's
RAISING = ("coordinated_harvest", "new_settings", "failover", "lone_harvest", "holds")
WHY_NOT = {
    "finding": "the finding does not keep what the alarm's test counted; see the claims `conduct`",
    "tested": "those who carried the wording at that hour, and what all others did then, are not in the "
    "bundle: it is taken as stated, and the p-value is computed from it",
    "links": "which of its accounts are tied by this clue needs the whole log",
    "coordinated_harvest": "it is of the last look, at the whole log",
    "new_settings": "who had used these settings before needs the whole log",
    "failover": "what other texts do needs the whole log; see moved_here and refused_here, and `reaction`",
    "reaction": "what all others asked, or who else was in the tested group, needs the whole log; see "
    "holds_here or moved_here",
    "set_aside": "whose a network is, how many others send from it, mail domains, permissions, other "
    "findings and who had a wording first are not in the events",
    "lone_harvest": "its rank needs all other payers' events",
    "holds": "what all others asked needs the whole log; see holds_here, where the draw was fixed before",
}


def computed(
    bundle: Any, recompute: Mapping[str, Recompute] = RECOMPUTE, ties: Mapping[str, Ties] = TIES
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return all numbers that can be recomputed, by name, and the prefixes of those that cannot, with the
    reason.

    recompute, ties: what each signal computes.
    """
    e = OpenedBundle(bundle)
    if not e.more.get("since"):
        return {}, {}
    parts: list[tuple[str, Callable[[], Mapping[str, Any]]]] = [
        ("harvest.", lambda: count_harvest(e)),
        ("total.", lambda: totals(bundle)),
    ]
    if e.harvest:
        parts += [
            ("conduct.", lambda: conduct(e)),
            ("", lambda: alarm_test(e)),
            ("markers.", lambda: markers(e)),
            ("links.", lambda: links(e, ties)),
            ("reaction.", lambda: reactions(e)),
            ("set_aside.", lambda: set_aside(e)),
            ("", lambda: held_here(e)),
        ]
        for name in dict.fromkeys(reason["detector"] for reason, _ in e.reasons()):
            if name in recompute:
                parts.append((f"reason.{name}.", partial(recompute[name], e)))
    out: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for begin, again in parts:
        try:
            out |= {f"{begin}{name}": value for name, value in again().items()}
        except CANNOT as why:
            failed[begin or "finding."] = f"{type(why).__name__}: {why}"
    return out, failed


def stated_numbers(finding: Mapping[str, Any], aside: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the finding's own numbers under the same names. aside: the accounts that were set aside."""
    stated, evidence = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    out: dict[str, Any] = {"finding.p_value": stated["p_value"], "harvest.accounts": len(stated["accounts"])}
    for name in ("exchanges", "output_tokens"):
        out[f"harvest.{name}"] = stated["harvest"][name]
        out[f"harvest.{name}_at_alarm"] = stated["harvest_at_alarm"][name]
    for name in ("value_tokens", "unique_prompts", "value_tokens_at_alarm", "unique_prompts_at_alarm"):
        if evidence.get(name) is not None:
            out[f"harvest.{name}"] = evidence[name]
    out["harvest.timeline"] = [[us(hour), n, tokens] for hour, n, tokens in evidence["timeline"]]
    for reason, numbers in zip(stated["reasons"], evidence["reasons"]):
        for name in ("actual", "baseline", "n"):
            if numbers[name] is not None:
                out[f"reason.{reason['detector']}.{name}"] = numbers[name]
        out[f"reason.{reason['detector']}.bits"] = reason["bits"]
    for item in evidence.get("tested", []):
        for name in ("value", "count", "of", "share", "tries", "correlation"):
            out[f"tested.{item['setting']}.{name}"] = item[name]
    for k, reaction in enumerate(
        evidence["own_reactions"][name] for name in sorted(evidence.get("own_reactions", {}))
    ):
        out |= {f"reaction.{k}.{number}": value for number, value in zip(REACTION, reaction)}
    tied: dict[str, list[float]] = defaultdict(list)
    for _, _, clue, bits, *_ in evidence["links"]:
        tied[clue].append(bits)
    for clue, all_bits in tied.items():
        out[f"links.{clue}.accounts"], out[f"links.{clue}.most_bits"] = len(all_bits), max(all_bits)
        out[f"links.{clue}.total_bits"] = round(sum(all_bits), 3)
    for number, item in enumerate([] if aside is None else aside["accounts"]):
        for name in FACTS:
            if name in item:
                out[f"set_aside.{number}.{name}"] = (
                    us(item[name]) if name in ("first", "last") else item[name]
                )
    return out


def same(a: Any, b: Any) -> bool:
    """Return whether two values are the same: numbers to 9 digits with rounding, others exactly."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if not (isinstance(a, (int, float)) and isinstance(b, (int, float))):
        return bool(a == b)
    if isinstance(a, int) and isinstance(b, int):
        return a == b
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=6e-4 if abs(a) >= 1 else 1e-9)


def same_chance(a: float, b: float) -> bool:
    """Return whether two p-values are the same, however small. Near 1e-10 an arc tangent has fewer digits."""
    return math.isclose(a, b, rel_tol=2e-8, abs_tol=4e-16 if min(a, b) > 1e-11 else 0.0)


def same_claim(name: str, a: Any, b: Any) -> bool:
    """Return whether two values of a claim are the same."""
    numbers = all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
    return same_chance(a, b) if numbers and name.rpartition(".")[2].startswith("p_") else same(a, b)


def check_claims(bundle: Any) -> tuple[list[str], list[dict[str, Any]]]:
    """Compute every claim again; return what differs, and each claim with its result."""
    wrong: list[str] = []
    rows: list[dict[str, Any]] = []
    claims = bundle.lines("claims.ndjson")
    have_events = "events.ndjson" in bundle.names
    again, failed = computed(bundle) if have_events else ({}, {})
    wrong += [
        f"claims {begin}*: cannot be computed, as the events, or what is said of others, cannot be so ({why})"
        for begin, why in failed.items()
    ]
    finding = bundle.json("finding.json")
    stated = stated_numbers(finding, told_aside(bundle))
    for claim in claims:
        name, row = claim["name"], dict(claim)
        if name in stated and not same_claim(name, claim["stated"], stated[name]):
            wrong.append(
                f"claim {name}: is {claim['stated']} in claims.ndjson and {stated[name]} in finding.json"
            )
        if claim["by"] != ("finding" if name in stated else "export"):
            wrong.append(f"claim {name}: is not by the {claim['by']}")
        if name not in stated and name not in again:
            wrong.append(f"claim {name}: neither the finding nor the events say anything of it")
        if claim["why_not"] is not None and name in again and same_claim(name, claim["stated"], again[name]):
            wrong.append(f"claim {name}: is said not to be computable ({claim['why_not']}), and is")
        if claim["why_not"] is not None and name not in again:
            row["result"] = "not computed"
        elif name not in again:
            row["result"] = "differs"
            wrong.append(f"claim {name}: can no longer be computed from the events")
        else:
            row["again"] = again[name]
            row["result"] = "same" if same_claim(name, claim["stated"], again[name]) else "differs"
            if row["result"] == "differs":
                wrong.append(f"claim {name}: stated {brief(claim['stated'])}, computed {brief(again[name])}")
        rows.append(row)
    claim_names = {claim["name"] for claim in claims}
    wrong += [
        f"claim {name}: the finding states it and claims.ndjson leaves it out"
        for name in sorted(stated.keys() - claim_names)
    ]
    wrong += [
        f"claim {name}: comes out of the events and claims.ndjson leaves it out"
        for name in sorted(again.keys() - claim_names)
    ]
    wrong += _alert_differs(bundle.json("alert.json"), finding)
    if have_events:
        tested = finding["campaign"]["evidence"].get("tested", [])
        wrong += impossible(tested, bundle.json("population.json")["accounts"])
        wrong += _out_of_order(bundle.lines("events.ndjson"))
        wrong += _accounts_differ(bundle.lines("accounts.ndjson"), finding)
        wrong += rules_broken(OpenedBundle(bundle))
    bits = sum(reason["bits"] for reason in finding["campaign"]["finding"]["reasons"])
    if not math.isclose(bits, finding["campaign"]["finding"]["score_bits"], abs_tol=0.01):
        wrong.append(f"finding.json: its reasons come to {bits:.3f} bits, its score says otherwise")
    return wrong, rows


def _alert_differs(alert: Mapping[str, Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between the alert and its finding."""
    stated, evidence = finding["campaign"]["finding"], finding["campaign"]["evidence"]
    if (alert["finding"], alert["campaign"]) != (finding["id"], stated["id"]):
        yield "alert.json: is about another finding"
    if not same_chance(alert["p_value"], stated["p_value"]):
        yield f"alert.json: its p-value is {alert['p_value']}, the finding's {stated['p_value']}"
    reasons = {claim["detector"]: claim for claim in alert["why"]}
    for reason, numbers in zip(stated["reasons"], evidence["reasons"]):
        claim = reasons.get(reason["detector"])
        if claim is None:
            yield f"alert.json: leaves out {reason['detector']}"
            continue
        if reason["detector"] in RAISING and not same_chance(claim["p_value"], stated["p_value"]):
            name, p_value = reason["detector"], claim["p_value"]
            yield f"alert.json: {name}: p is {p_value}, the finding's {stated['p_value']}"
        for name, value in (
            ("bits", reason["bits"]),
            *((k, numbers[k]) for k in ("actual", "baseline", "n")),
        ):
            if not same(claim[name], value):
                yield f"alert.json: {reason['detector']}: {name} is {claim[name]}, in the finding {value}"


def _out_of_order(events: list[Any]) -> Iterator[str]:
    """Yield events that are not in the log's order, which the counts depend on."""
    late = [k for k in range(1, len(events)) if events[k]["t"] < events[k - 1]["t"]]
    if late:
        yield f"events.ndjson: {len(late)} lines are earlier than the one before, the first is {late[0] + 1}"


def _accounts_differ(accounts: list[Any], finding: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between the list of accounts and the finding."""
    stated, since = finding["campaign"]["finding"], finding["campaign"]["evidence"].get("since", {})
    listed = {row["account"] for row in accounts if row["in_finding"]}
    if listed != set(stated["accounts"]) or len({row["account"] for row in accounts}) != len(accounts):
        yield "accounts.ndjson: does not list the finding's accounts"
    for row in accounts:
        begin = us(since[row["account"]]) if row["account"] in since else None
        if row["since_us"] != begin:
            yield f"accounts.ndjson: {row['account']!a} counts from another time than in the finding"
        named = finding["campaign"]["evidence"].get("named_at", {}).get(row["account"])
        if row["named_us"] != (None if named is None else us(named)):
            yield f"accounts.ndjson: {row['account']!a} was named at another time than in the finding"


def check(
    bundle: Any, is_signed: Callable[[bytes, bytes, bytes], bool], contradictions: Callable[[], list[str]]
) -> dict[str, Any]:
    """Check the trail, compute every claim again, and add the contradictions between the files.

    If files have the wrong shape, nothing else is checked.
    """
    audit, rows = "", list[Any]()
    try:
        wrong = find_misfits(bundle)
    except CANNOT as why:
        wrong = [f"files: cannot be read ({type(why).__name__}: {why})"]
    if not wrong:
        try:
            problems, audit = check_audit(bundle, is_signed)
            wrong += problems
        except CANNOT as why:
            wrong.append(f"audit: cannot be checked ({type(why).__name__}: {why})")
        try:
            problems, rows = check_claims(bundle)
            wrong += problems
        except CANNOT as why:
            wrong.append(f"claims: cannot be checked ({type(why).__name__}: {why})")
        try:
            wrong += contradictions()
        except CANNOT as why:
            wrong.append(f"files: cannot be held against each other ({type(why).__name__}: {why})")
    notes: list[str] = []
    try:
        notes += _lines(audit, rows)
    except CANNOT as why:
        wrong.append(f"claims.ndjson: leaves out what belongs together ({type(why).__name__}: {why})")
    counts = Counter(row["result"] for row in rows)
    same_n, differ_n, not_n = (counts[word] for word in ("same", "differs", "not computed"))
    if not same_n:
        wrong.append("claims: none could be computed: every number is the sender's word")
    summary = f"{same_n} claims computed and the same, {differ_n} differ, {not_n} are the sender's word; "
    summary += f"{len(wrong)} contradictions" if wrong else "no file contradicts another"
    places, told_lines = list_places(bundle.names)
    return {
        "wrong": wrong,
        "summary": summary,
        "senders_word": places,
        "audit": audit,
        "claims": rows,
        "lines": [*notes, *_tell_set_aside(bundle), *told_lines],
    }


def _tell_set_aside(bundle: Any) -> Iterator[str]:
    """Yield notes on the accounts that the finding set aside, and on what is the sender's word there."""
    try:
        alert, aside = bundle.json("alert.json"), told_aside(bundle)
        counts = alert["set_aside"]
        if counts is None:
            yield "whom the finding set aside was not kept when it was made"
        elif counts:
            by_rule = ", ".join(f"{n} {rule}" for rule, n in sorted(counts.items()))
            where_named = "set_aside.json names them"
            if aside is None:
                where_named = "who they are is not in the bundle; the audit trail has a digest of the list"
            yield f"{sum(counts.values())} accounts that look alike were set aside ({by_rule}): {where_named}"
        set_aside_names = {row["account"] for row in ([] if aside is None else aside["accounts"])}
        if in_both := len(set_aside_names & set(alert["accounts"])):
            yield f"{in_both} of them are accounts of the case, by an earlier finding or by hand"
        if "events.ndjson" in bundle.names and (sentence := together(OpenedBundle(bundle))):
            yield sentence
        yield from _tell_draws(bundle)
    except CANNOT:
        return  # `check` reports what is wrong with these files


def _tell_draws(bundle: Any) -> Iterator[str]:
    """Yield whether the draws of holds were committed beforehand, or rest on the sender's word."""
    detectors = {claim["detector"] for claim in bundle.json("alert.json")["why"]}
    drawn = told_draws(bundle)
    if "holds" not in detectors:
        return
    doubt = "the schedule is not in the bundle" if drawn is None else draws_doubt(drawn)
    if doubt:
        yield f"what randomised holds drew is the sender's word: {doubt}"
    else:
        yield "what randomised holds drew was fixed on the audit trail before, and every block is drawn again"
        if held := held_here(OpenedBundle(bundle)):
            n = {name.partition(".")[2]: value for name, value in held.items()}
            yield (
                f"of {n['held']} first questions in drawn blocks {n['held_answered_429']} were answered 429, "
                f"of {n['not_held']} in others {n['not_held_answered_429']}; a schedule not in force "
                "would have as large a share of both"
            )


def _lines(audit: str, rows: list[Any]) -> Iterator[str]:
    """Yield the notes that a reader needs besides the three answers."""
    if audit:
        yield audit
    reasons: dict[str, list[str]] = defaultdict(list)
    for row in rows:
        if row["result"] == "not computed":
            reasons[row["why_not"]].append(f"{row['name']} = {brief(row['stated'])}")
    for why_not, names in reasons.items():
        yield f"  not computed, as {why_not}:"
        yield from (f"    {name}" for name in names)
    again = {row["name"]: row["stated"] for row in rows if row["result"] == "same"}
    yield from _tell_test(rows, again)
    for scope, words in (("at_alarm", "before the alarm"), ("harvest", "in the whole harvest")):
        low = again.get(f"conduct.{scope}.p_least_correlation")
        if low is not None:
            high = again[f"conduct.{scope}.p_most_correlation"]
            yield f"alike in model, limit and temperature {words}: p {low:.1e} to {high:.1e}, computed here"


def _tell_test(claims: list[Any], again: Mapping[str, Any]) -> Iterator[str]:
    """Describe the alarm's test: what is stated, what was recomputed, and which part the events show."""
    if "finding.p_value" not in again:
        return
    stated = {row["name"]: row["stated"] for row in claims}
    p = again["finding.p_value"]
    yield f"the alarm's own p {p:.1e}: computed here from what the finding says was counted"
    for name in SETTINGS:
        count, of, share, granted, count_here, of_here = (
            stated.get(f"tested.{name}.{word}")
            for word in ("count", "of", "share", "correlation", "count_here", "of_here")
        )
        if count is not None:
            yield (
                f"  {name}: {brief(count)} of {brief(of)} had one value that a share of {brief(share)} of "
                f"all have, correlation {brief(granted)}: as stated. Counted here, of the accounts in the "
                f"bundle: {brief(count_here)} of {brief(of_here)}"
            )
