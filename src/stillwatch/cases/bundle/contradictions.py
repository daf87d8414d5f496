"""Compares the files of an evidence bundle with each other, and with the code of this release.

`verify.py` loads this file from its own folder. Whether the claimed numbers follow from the events is checked
in `recompute.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any

from .alert_fields import claims_said_otherwise, fields_differ, finding_differs
from .bundle_events import EPOCH, us
from .file_shapes import SHAPES

HOUR_US = 3_600_000_000
BURST_US = 48 * 3_600_000_000  # sign-ups within it are counted together
# What a release of the checker knows: `documents.checker` writes it into the copy in a bundle.
RELEASE: dict[str, Any] | None = None
CANNOT = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)

KEYS = {  # the allowed keys of each file
    "alert.json": "format case title state verdict owner campaign finding found_us alarm_us p_value "
    "score_bits members victims cleared accounts accounts_sha256 why benign set_aside links "
    "links_total shared independent_classes seen_by_provider exposure confidence detectors gaps "
    "cannot_claim atlas inputs scanned source stillwatch merged_into",
    "case.json": "case state verdict owner records hours acts",
    "finding.json": "id digest campaign",
    "settings.json": "settings inputs scanned gaps source",
    "environment.json": "python platform packages exported_us clock",
    "set_aside.json": "salt accounts products",
    "holds.json": "key begin_us start_us end_us days block_minutes one_block_in denser_one_block_in "
    "denser_from_us records",
    "population.json": "exchanges accounts first_us last_us mostly prompts networks markers signups payments",
    "confidence": "sentence measured_on right judged low high calibration",
    "exposure": "exchanges output_tokens value_tokens unique_prompts exchanges_at_alarm "
    "output_tokens_at_alarm first_us last_us capabilities next_milestone cost_to_us_usd cost_to_them_usd "
    "victims_exchanges cleared_exchanges",
}
FILES = {*SHAPES, "queries.sql", "README.txt", "certificate.txt", "manifest.dsse.json", "manifest.tsr"}
FACETS: dict[str, Any] = {"state": "new", "verdict": None, "owner": None}
VICTIMS = "AML.T0012"  # added to the scan's techniques if customers' keys were used
JOINED = ("merge", "split")  # acts by which a case receives hours of another one
CLEARED = ("false", "permitted")
TOO_FEW = re.compile(
    r"(\d+) such alarms were judged here so far, too few to say; p = (\S+) under the detector's "
    r"null, not the "
    r"chance of innocence\.$"
)
MARKER = "-- What makes each claim again from the log:"


def canonical(value: Any) -> bytes:
    """Return a value as canonical JSON, the form that is hashed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def sha256_of(value: Any) -> str:
    return hashlib.sha256(canonical(value)).hexdigest()


def context_digest(context: Mapping[str, Any]) -> str:
    """Return the digest of a finding's context. The trail records it when the case gets the finding."""
    # derived from the rest, and the salt of the trail's digest of the accounts that were set aside
    left_out = ("picture", "milestones", "set_aside_salt")
    return sha256_of({k: v for k, v in context.items() if k not in left_out})


def finding_digest(campaign: Mapping[str, Any]) -> str:
    """Return the trail's digest of a finding: of its title, accounts, reasons, hours and p-value."""
    stated, evidence = campaign["finding"], campaign["evidence"]
    hashed = hashlib.sha256()

    def add(text: str, end: bytes) -> None:
        hashed.update(text.encode("utf-8", "surrogatepass") + end)

    def when(text: str) -> str:
        return (EPOCH + timedelta(microseconds=us(text))).isoformat()

    names = sorted(set(stated["accounts"]))
    p = f"{stated['p_value']:.6g}"
    for word in (
        stated["id"],
        evidence["title"],
        p,
        when(stated["alarm_at"]),
        stated["suppressed_by"] or "",
        *names,
    ):
        add(word, b"\0")
    for account in sorted(set(evidence["firm"])):
        add(account, b"\1")
    for reason in sorted(f"{r['detector']}\0{r['text']}\0{r['bits']:.6g}" for r in stated["reasons"]):
        add(reason, b"\0")
    for begin, n, tokens in sorted(evidence["timeline"], key=lambda hour: us(hour[0])):
        add(f"{when(begin)} {n} {tokens}", b"\0")
    return hashed.hexdigest()


def statement_differs(b: Mapping[str, Any], predicate: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between the signed manifest and the files."""
    alert, environment = b["alert.json"], b["environment.json"]
    exported_at = (
        datetime.fromtimestamp(environment["exported_us"] // 1_000_000, timezone.utc)
        .isoformat()
        .replace("+00:00", "Z")
    )
    for name, value, place in (
        ("title", alert["title"], "alert.json"),
        ("case", alert["case"], "alert.json"),
        ("case", b["case.json"]["case"], "case.json"),
        ("finding", b["finding.json"]["id"], "finding.json"),
        ("exported_at", exported_at, "environment.json"),
        ("stillwatch", environment["packages"]["stillwatch"], "environment.json"),
    ):
        if predicate.get(name) != value:
            yield f"manifest: its {name} is {_short(predicate.get(name))}, in {place} it is {_short(value)}"


def trail_differs(b: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between the signed audit trail and the case, the finding and the alert."""
    case, alert, finding = b["case.json"], b["alert.json"], b["finding.json"]
    rows = [dict(row, detail=json.loads(row["detail"])) for row in b["audit.ndjson"]]
    if case["records"] != len(rows):
        yield f"audit.ndjson: holds {len(rows)} records, the case has {case['records']}"
    if any(row["subject"] != case["case"] for row in rows):
        yield "audit.ndjson: holds records of another case"
    by_act = {row["detail"]["act"]: row for row in rows if "act" in row["detail"]}
    acts = {act["act"]: act for act in case["acts"]}
    yield from _acts_differ(case["acts"], acts, by_act)
    facets, counts = dict(FACETS), Counter[str]()
    for _, act in sorted(acts.items()):
        if act["in_force"]:
            facets.update({k: v for k, v in (act["sets"] or act["facets"]).items() if k in FACETS})
            counts.update(by_act.get(act["act"], {"detail": {}})["detail"].get("accounts", {}))
    for name, value in facets.items():
        for place, document in (("case.json", case), ("alert.json", alert)):
            if document[name] != value:
                yield f"{place}: {name} is {_short(document[name])}; the acts come to {_short(value)}"
    listed = Counter(
        account["verdict"] for account in b.get("accounts.ndjson", ()) if account["verdict"] is not None
    )
    for verdict, n in sorted(listed.items()):
        if n > counts[verdict]:
            yield f"accounts.ndjson: {n} are judged {verdict}; the acts in force judge {counts[verdict]} so"
    for name, verdicts in (("victims", ("victim",)), ("cleared", CLEARED)):
        if not sum(listed[v] for v in verdicts) <= alert[name] <= sum(counts[v] for v in verdicts):
            yield f"alert.json: {alert[name]} {name}, which neither the acts nor the accounts bear out"
    yield from _finding_differs(rows, case, finding, alert, b["settings.json"])


def _acts_differ(stated: list[Any], acts: Mapping[int, Any], by_act: Mapping[int, Any]) -> Iterator[str]:
    """Yield differences between a case's acts and the trail's. by_act: the trail's records of acts."""
    if [act["act"] for act in stated] != sorted(acts):
        yield "case.json: its acts are not one after another"
    for number in sorted(by_act.keys() ^ acts.keys()):
        yield f"act {number}: is {'in case.json alone' if number in acts else 'in the audit trail alone'}"
    for number in sorted(by_act.keys() & acts.keys()):
        act, row = acts[number], by_act[number]
        act_fields = (act["who"], act["at_us"], f"case.{act['verb']}", act["text_sha256"], act["sets_sha256"])
        if act_fields != (
            row["who"],
            row["at_us"],
            row["what"],
            row["detail"]["text"],
            row["detail"]["sets"],
        ):
            yield f"act {number}: is another in case.json than in the audit trail"
        if act["sets"] is not None:  # no text that a person wrote
            if (
                hashlib.sha256(json.dumps(act["sets"], sort_keys=True).encode()).hexdigest()
                != act["sets_sha256"]
            ):
                yield f"act {number}: sets other things in case.json than in the audit trail"
            if act["facets"] != act["sets"]:
                yield f"act {number}: its facets are not what it sets"
        elif any(act["facets"].get(k) != v for k, v in row["detail"].items() if k in ("state", "verdict")):
            yield f"act {number}: sets another state or verdict in case.json than in the audit trail"
    undone: set[int] = set()
    for number in sorted(acts, reverse=True):
        if number not in undone and "undoes" in by_act.get(number, {"detail": {}})["detail"]:
            undone.add(by_act[number]["detail"]["undoes"])
        if not acts[number]["in_force"] and number not in undone:
            yield f"act {number}: is said to be taken back, and no act took it back"
        if acts[number]["in_force"] and number in undone:
            yield f"act {number}: is said to count, and was taken back"


def _finding_differs(
    rows: list[Any],
    case: Mapping[str, Any],
    finding: Mapping[str, Any],
    alert: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Iterator[str]:
    digest = finding_digest(finding["campaign"])
    if digest != finding["digest"]:
        yield "finding.json: its title, accounts, reasons, hours or p-value are not those of its digest"
    records_made = [
        row for row in rows if row["what"] == "case.finding" and row["detail"]["finding"] == finding["id"]
    ]
    details = [row["detail"] for row in records_made]
    hours = [[us(begin), n, tokens] for begin, n, tokens in finding["campaign"]["evidence"]["timeline"]]
    joined = any(act["verb"] in JOINED for act in case["acts"])
    if case["hours"] != hours and not joined and sum(row["what"] == "case.finding" for row in rows) == 1:
        yield "case.json: has other hours than its one finding"
    if any(row["at_us"] != alert["found_us"] for row in records_made):
        yield "alert.json: was found at another time than the audit trail says"
    if [(item["kind"], item["check"]) for item in alert["benign"]] != [
        (item["kind"], item["text"]) for item in finding["campaign"]["finding"]["benign_alternatives"]
    ]:
        yield "alert.json: names other honest explanations than the finding"
    if any(item["version"] != alert["stillwatch"] for item in alert["detectors"]):
        yield "alert.json: a detector is of another version than the scan"
    if not details or details[-1]["digest"] != digest:
        yield "finding.json: the audit trail has no record of this finding"
    elif not {"context", "evidence"} <= details[-1].keys():
        yield "alert.json: the trail's record is of an older version and does not bind its words; scan again"
    elif details[-1]["evidence"] != sha256_of(finding["campaign"]):
        yield "finding.json: is not what the audit trail recorded when the finding was made"
    elif details[-1]["context"] != context_digest(context_of(alert, finding, settings)):
        yield "alert.json, settings.json: are not what the audit trail recorded when the finding was made"


def context_of(
    alert: Mapping[str, Any], finding: Mapping[str, Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the scan's context of the finding, collected from its places in the bundle."""
    exposed = (
        "value_tokens",
        "unique_prompts",
        "exchanges_at_alarm",
        "output_tokens_at_alarm",
        "next_milestone",
    )
    same_name = ("why", "benign", "links", "links_total", "shared", "seen_by_provider", "cannot_claim")
    return {
        **{name: settings[name] for name in ("settings", "inputs", "scanned", "gaps", "source")},
        **{name: alert[name] for name in same_name},
        **{name: alert["exposure"][name] for name in (*exposed, "capabilities")},
        "stillwatch": alert["stillwatch"],
        "accounts": len(set(finding["campaign"]["finding"]["accounts"])),
        "classes": alert["independent_classes"],
        "detectors": [{k: v for k, v in item.items() if k != "version"} for item in alert["detectors"]],
        "atlas": [item for item in alert["atlas"] if not (alert["victims"] and item["id"] == VICTIMS)],
        # earlier versions did not record the accounts that a finding set aside
        **({} if alert["set_aside"] is None else {"set_aside": alert["set_aside"]}),
    }


def alert_differs(b: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between the alert and the case and settings."""
    alert, case, finding, settings = (
        b[name] for name in ("alert.json", "case.json", "finding.json", "settings.json")
    )
    for name in ("inputs", "scanned", "gaps", "source"):
        if alert[name] != settings[name]:
            yield f"alert.json: {name} is another than in settings.json"
    stated, exposure = finding["campaign"]["finding"], alert["exposure"]
    hours = case["hours"]
    sums = {
        "exchanges": sum(n for _, n, _ in hours),
        "output_tokens": sum(tokens for _, _, tokens in hours),
        "first_us": min((hour for hour, _, _ in hours), default=None),
        "last_us": max((hour for hour, _, _ in hours), default=None),
        "exchanges_at_alarm": stated["harvest_at_alarm"]["exchanges"],
        "output_tokens_at_alarm": stated["harvest_at_alarm"]["output_tokens"],
    }
    for name, value in sums.items():
        if exposure[name] != value:
            yield (
                f"alert.json: exposure: {name} is {_short(exposure[name])}, its hours come to {_short(value)}"
            )
    by_hour = {hour: (n, tokens) for hour, n, tokens in hours}
    if [hour for hour, _, _ in hours] != sorted(by_hour) or any(hour % HOUR_US for hour in by_hour):
        yield "case.json: its hours are not hours, one after another"
    for begin, n, tokens in finding["campaign"]["evidence"]["timeline"]:
        had = by_hour.get(us(begin), (0, 0))
        if had[0] < n or had[1] < tokens:
            yield f"case.json: the hour {begin} holds less than the finding says"
    if (not alert["victims"] and exposure["victims_exchanges"]) or (
        not alert["cleared"] and exposure["cleared_exchanges"]
    ):
        yield "alert.json: exposure: counts exchanges of victims or cleared accounts, and there are none"
    if alert["title"] != title_of(alert, finding):
        yield f"alert.json: its title is not the finding's: {_short(title_of(alert, finding))}"
    said = [[item[name] for name in ("detector", "text", "bits")] for item in alert["why"]]
    reasons = [[item[name] for name in ("detector", "text", "bits")] for item in stated["reasons"]]
    if sorted(said) != sorted(reasons):
        yield "alert.json: says another thing than the finding's reasons"
    ties, named = (finding["campaign"]["evidence"].get(name, {}) for name in ("own_ties", "named_at"))
    if {*ties, *named} - set(stated["accounts"]) or any(t[0] > t[1] or t[3] > t[4] for t in ties.values()):
        yield "finding.json: ties or names accounts that it does not accuse, or by more than there is"
    if not _is_title(str(finding["campaign"]["evidence"]["title"]), stated):
        yield "finding.json: its title is not the sentence that its accounts and answers make"
    if alert["members"] <= 1000:
        listed = "\n".join(alert["accounts"]).encode("utf-8", "surrogatepass")
        if alert["members"] != len(set(alert["accounts"])):
            yield f"alert.json: {alert['members']} members, {len(set(alert['accounts']))} accounts"
        if hashlib.sha256(listed).hexdigest() != alert["accounts_sha256"]:
            yield "alert.json: accounts_sha256 is not that of its accounts"
    if not math.isclose(alert["score_bits"], stated["score_bits"], abs_tol=1e-3):
        yield "alert.json: its score is not the finding's"
    if alert["alarm_us"] != us(stated["alarm_at"]):
        yield "alert.json: the alarm is at another time than in the finding"
    yield from _confidence_differs(alert["confidence"], alert["p_value"])


def said_otherwise(b: Mapping[str, Any]) -> Iterator[str]:
    """Yield statements of the alert and the finding that this release does not derive from the finding."""
    if RELEASE is None:
        return  # `code_differs` reports it
    models = {row["m"] for row in b.get("events.ndjson", ()) if row["m"]}
    yield from finding_differs(b["finding.json"], models, RELEASE)
    yield from fields_differ(b["alert.json"], b["finding.json"], b["settings.json"], RELEASE)
    yield from claims_said_otherwise(b["claims.ndjson"], RELEASE)


def title_of(alert: Mapping[str, Any], finding: Mapping[str, Any]) -> str:
    """Return the finding's sentence, with the case's totals if they exceed the finding's."""
    stated, title = finding["campaign"]["finding"], str(finding["campaign"]["evidence"]["title"])
    members, victims, cleared = (alert[name] for name in ("members", "victims", "cleared"))
    title = title or f"{len(stated['accounts']):,} accounts took {stated['harvest']['exchanges']:,} answers."
    if members <= len(set(stated["accounts"])) and not victims and not cleared:
        return title

    def counted(number: int, noun: str) -> str:
        return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"

    sizes = f"{counted(members, 'account')} and {counted(alert['exposure']['exchanges'], 'exchange')}"
    sizes += " over all findings"
    sizes += f", {counted(victims, 'victim')} beside them" if victims else ""
    sizes += f", {cleared:,} cleared" if cleared else ""
    return f"{title.rstrip('.')} ({sizes})."


def _is_title(title: str, stated: Mapping[str, Any]) -> bool:
    """Return whether a finding's title has the right counts, and otherwise only text that a scan writes."""
    n, release = len(set(stated["accounts"])), RELEASE or {}
    begin = f"{n:,} account{'s' if n != 1 else ''} took {stated['harvest']['exchanges']:,} answers"
    known = title.endswith(tuple(f", {manner}." for manner in release.get("manners", ())))
    rest = title[len(begin) :]
    return not title or (
        title.startswith(begin) and title.isprintable() and rest.startswith((", ", " of ")) and known
    )


def _confidence_differs(confidence: Mapping[str, Any], p_value: float) -> Iterator[str]:
    numbers = [confidence[name] for name in ("right", "judged", "low", "high")]
    if any(number is not None for number in numbers):
        right, judged, low, high = numbers
        sentence = f"{right} of {judged} such alarms were right here ({low:.0%} to {high:.0%}); p = "
        if not (
            judged >= 20
            and 0 <= low <= right / judged <= high <= 1
            and confidence["sentence"].startswith(sentence)
        ):
            yield "alert.json: confidence: its numbers do not go together"
        return
    matched = TOO_FEW.match(confidence["sentence"])
    if matched is None or int(matched[1]) >= 20:
        yield "alert.json: confidence: its sentence is not one that alerts have"
    elif not math.isclose(float(matched[2]), p_value, rel_tol=0.06):
        yield "alert.json: confidence: its p-value is not the alert's"
    if RELEASE is not None and confidence["measured_on"] != RELEASE["measured_on"]:
        yield "alert.json: confidence: says another thing of where it was measured than this release"


def log_differs(b: Mapping[str, Any]) -> Iterator[str]:
    """Yield counts of the log, the events and the accounts that cannot be true together."""
    scanned, others = b["settings.json"]["scanned"], b["population.json"]
    for name, value in (
        ("exchanges", scanned["exchanges"]),
        ("accounts", scanned["accounts"]),
        ("first_us", us(scanned["first"])),
        ("last_us", us(scanned["last"])),
    ):
        if others[name] != value:
            yield f"population.json: {name} is {_short(others[name])}, the scan's is {_short(value)}"
    accounts, events = b["accounts.ndjson"], b["events.ndjson"]
    inside = sum(row["in_finding"] for row in accounts)
    for name, counts in others["mostly"].items():
        if sum(n for _, n in counts) != others["accounts"] - inside:
            yield f"population.json: {name} counts another number of accounts than are outside"
    if (
        others["signups"]["others"] > others["accounts"]
        or others["signups"]["inside"] > others["signups"]["others"]
    ):
        yield "population.json: more accounts signed up than there are"
    created = sorted(row["created_us"] for row in accounts if row["in_finding"] and row["created_us"])
    within = [sum(begin <= created_us <= begin + BURST_US for created_us in created) for begin in created]
    begin_us = created[within.index(max(within))] if created else None
    if others["signups"]["begin_us"] != begin_us:
        yield "accounts.ndjson: were not created in the two days of which population.json tells"
    customers: dict[str, int] = {}
    for k, row in enumerate(accounts):
        first = row["customer"]
        if type(first) is not int or not 0 <= first <= k or accounts[first]["customer"] != first:
            yield f"accounts.ndjson: {row['account']!a} is of a customer that is no account before it"
        elif row["org"] is not None and customers.setdefault(row["org"], first) != first:
            yield f"accounts.ndjson: {row['account']!a} is of another customer than its organisation"
    cards = {row["payment"] for row in accounts}
    if not set(others["payments"]) <= cards:
        yield "population.json: reports payment that no account of accounts.ndjson has"
    for name, column in (("prompts", "q"), ("networks", "n")):
        if not set(others[name]) <= {row[column] for row in events}:
            yield f"population.json: {name}: reports what no event has"
    times: dict[int, set[int]] = defaultdict(set)
    for row in events:
        times[row["a"]].add(row["t"])
        if not others["first_us"] <= row["t"] <= others["last_us"]:
            yield "events.ndjson: an event lies outside the time that was scanned"
            break
    for k, row in enumerate(accounts):
        if row["since_us"] is not None and row["since_us"] not in times[k]:
            yield f"accounts.ndjson: {row['account']!a} counts from a time at which it sent nothing"


def words_differ(bundle: Any, b: Mapping[str, Any], predicate: Mapping[str, Any]) -> Iterator[str]:
    """Yield contradictions between queries, README.txt or the draft certificate and the files."""
    alert, settings, environment = b["alert.json"], b["settings.json"], b["environment.json"]
    queries = bundle.read("queries.sql").decode("utf-8", "backslashreplace")
    definitions, _, commands = queries.partition(MARKER)
    expected = "".join(f"\n--   {item['detector']}: {plain(item['query'])}" for item in alert["why"]) + "\n"
    if commands != expected:
        yield "queries.sql: its commands are not those of alert.json"
    if RELEASE is not None:
        if hashlib.sha256(definitions.encode()).hexdigest() != RELEASE["definitions"]:
            yield "queries.sql: its definitions are not those of this release"
        names = {"case": alert["case"], "title": alert["title"], "version": predicate["stillwatch"]}
        readme = RELEASE["readme"].format(**{k: plain(str(v)) for k, v in names.items()})
        if bundle.read("README.txt") != readme.encode("utf-8", "backslashreplace"):
            yield "README.txt: is not this release's"
    if "certificate.txt" not in bundle.names:
        return
    text = " ".join(bundle.read("certificate.txt").decode("utf-8", "replace").split())
    time, by, version = (plain(str(predicate[name])) for name in ("exported_at", "exported_by", "stillwatch"))
    facts = [
        f"{time} by Stillwatch {version} at the command of {by}",
        f"exporting machine: {clock_words(environment['clock'])}.",
        f'"{plain(alert["title"])}"',
        *(plain(f"{item['sha256']} {item['bytes']:,} bytes {item['name']}") for item in settings["inputs"]),
        *(plain(f"{item['start']} to {item['end']}: {item['text']}") for item in settings["gaps"]),
    ]
    for fact in facts:
        if " ".join(fact.split()) not in text:
            yield f"certificate.txt: does not say what the files say: {fact}"
    for words in ("exporting machine:", "at the command of"):
        if text.count(words) != 1:
            yield f"certificate.txt: says {words!r} {text.count(words)} times"
    if len(re.findall(r"\b[0-9a-f]{64} +[\d,]+ bytes ", text)) != len(settings["inputs"]):
        yield "certificate.txt: names other files than were scanned"


def clock_words(found: Mapping[str, Any]) -> str:
    """Describe what the kernel knew about its clock."""
    if found["synchronised"] is None:
        return "its state is not known to the system"
    state = "kept right by a time service" if found["synchronised"] else "NOT kept right by any time service"
    return f"{state}, off by at most {found['largest_error_us'] / 1e6:.3f} s as the kernel has it"


def plain(text: str) -> str:
    """Return text as one line of printable characters."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def set_aside_differs(b: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors in the accounts set aside: they are not the trail's list, or one of them is accused."""
    set_aside, finding = b["set_aside.json"], b["finding.json"]
    listed = [item["account"] for item in set_aside["accounts"]]
    rows = [row for row in b["audit.ndjson"] if row["what"] == "case.finding"]
    details = [json.loads(row["detail"]) for row in rows]
    digests = [item.get("set_aside") for item in details if item["finding"] == finding["id"]]
    if not digests or digests[-1] != sha256_of([set_aside["salt"], set_aside["accounts"]]):
        yield "set_aside.json: is not what the audit trail recorded when the finding was made"
    counts = dict(sorted(Counter(item["rule"] for item in set_aside["accounts"]).items()))
    if counts != b["alert.json"]["set_aside"]:
        yield f"set_aside.json: comes to {counts}, the alert says {b['alert.json']['set_aside']}"
    for name in sorted(set(listed) & set(finding["campaign"]["finding"]["accounts"])):
        yield f"set_aside.json: {name!a} was set aside, and the finding accuses it"
    if len(set(listed)) < len(listed):
        yield "set_aside.json: names an account twice"


def code_differs(bundle: Any, b: Mapping[str, Any], predicate: Mapping[str, Any]) -> Iterator[str]:
    """Yield code in the bundle that is not the code that made the finding, or not this release's."""
    if RELEASE is None:
        yield "code: this recompute.py is a bare source file and knows no release; take the one of a bundle"
        return
    if predicate["stillwatch"] != RELEASE["version"]:
        yield (
            f"code: is of release {predicate['stillwatch']}, this checker of {RELEASE['version']}: "
            "take that one's"
        )
        return
    settings = json.dumps(b["settings.json"]["settings"], sort_keys=True).encode()
    spoke = [item["id"] for item in b["alert.json"]["detectors"]]
    expected = {name for item in spoke for name in RELEASE["spoke"][item]}
    have = {name for name in bundle.names if name.startswith("code/")}
    for name in sorted(expected ^ have):
        yield f"{name}: {'is missing' if name in expected else 'is code of nothing that spoke'}"
    for name in sorted(expected & have):
        if hashlib.sha256(bundle.read(name)).hexdigest() != RELEASE["code"][name]:
            yield f"{name}: is not this release's"
    for item in b["alert.json"]["detectors"]:
        source = b"".join(bundle.read(name) for name in RELEASE["hashed"][item["id"]] if name in have)
        if hashlib.sha256(source + settings).hexdigest() != item["config_sha256"]:
            yield f"alert.json: {item['id']}: spoke by other code or settings than those that are here"


def contradictions(bundle: Any, predicate: Mapping[str, Any]) -> list[str]:
    """Compare every file with the others; return the contradictions."""
    known = FILES | set(RELEASE["checker"] if RELEASE else ())
    wrong = [
        f"{name}: is no part of a case's bundle, so that nothing in it was checked"
        for name in bundle.names
        if name not in known and not name.startswith("code/")  # each of these is compared with the release
    ]
    b: dict[str, Any] = {}
    optional = [name for name in ("set_aside.json", "holds.json") if name in bundle.names]
    for name in ("alert.json", "case.json", "finding.json", "settings.json", "environment.json", *optional):
        b[name] = bundle.json(name)
    b |= {name: bundle.lines(name) for name in ("audit.ndjson", "claims.ndjson")}
    groups: dict[str, Callable[[], Iterator[str]]] = {
        "the manifest": lambda: statement_differs(b, predicate),
        "audit.ndjson, case.json": lambda: trail_differs(b),
        "alert.json": lambda: alert_differs(b),
        "alert.json, finding.json": lambda: said_otherwise(b),
        "settings.json, queries.sql, README.txt, certificate.txt": lambda: words_differ(bundle, b, predicate),
        "code": lambda: code_differs(bundle, b, predicate),
    }
    if "set_aside.json" in optional:
        groups["set_aside.json"] = lambda: set_aside_differs(b)
    if "events.ndjson" in bundle.names:
        b["population.json"] = bundle.json("population.json")
        b |= {name: bundle.lines(name) for name in ("accounts.ndjson", "events.ndjson")}
        groups["events.ndjson, population.json"] = lambda: log_differs(b)
    elif {"accounts.ndjson", "population.json"} & set(bundle.names):
        wrong.append("events.ndjson: is missing, although other files describe the events")
    parts = [(name, b[name]) for name in KEYS if name in b]
    parts += [(name, b["alert.json"][name]) for name in ("confidence", "exposure")]
    for name, document in parts:
        if set(document) != set(KEYS[name].split()):
            wrong.append(
                f"{name}: holds other things than it has to: "
                f"{sorted(set(document) ^ set(KEYS[name].split()))}"
            )
    for name, group in groups.items():
        try:
            wrong += group()
        except CANNOT as why:
            wrong.append(f"{name}: cannot be held against the rest ({type(why).__name__}: {why})")
    return wrong


def _short(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else json.dumps(value)[:60]
