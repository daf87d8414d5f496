"""A hostile partner, or the partner's server: what it sends accuses nobody, and is read in finite time."""

import hashlib
import json
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scan_world import Crowd
from stillwatch.cases.exchange import matcher
from stillwatch.cases.exports import ExportError, taxii
from stillwatch.cases.exports.marking import EXTENSION as TLP_EXTENSION
from stillwatch.cases.exports.marking import IDS, Tlp, marking
from stillwatch.cases.exports.objects import (
    bundle,
    extension_object,
    identity_id,
    make_object,
    sender_object,
    stix_id,
    timestamp,
)
from stillwatch.cases.exports.post import ReceiverReply
from stillwatch.cases.indicators import Hits, Indicator, IndicatorError, IndicatorKind, Partner
from stillwatch.cases.indicators.collection import files_in
from stillwatch.cases.indicators.keys import exchange
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.cases.indicators.partner import read_partners
from stillwatch.cases.indicators.search import search
from stillwatch.cases.indicators.sighting import read_sightings, sentence
from stillwatch.units import DAY_US

KEY, SECRET = exchange(b"k" * 32), (b"k" * 32).hex()
NOW_US = 1_774_000_000_000_000
TEXT = "Please summarise the attached report in five short sentences for a busy reader"
SENDER = identity_id("Alpha")
CAMPAIGN = stix_id("campaign", SENDER, "case-1")


def campaign_file(now_us: int = NOW_US, name: str = "one", **other: Any) -> list[dict[str, Any]]:
    """Return what `export` writes, with one mark; `other`: the content of the report."""
    campaign = make_object("campaign", CAMPAIGN, SENDER, NOW_US, now_us, Tlp.GREEN, name=name)
    pattern = (
        f"[x-stillwatch-mark:kind = 'opening' AND x-stillwatch-mark:key = '{KEY.fingerprint}' "
        f"AND x-stillwatch-mark:value = '{'a' * 16}']"
    )
    mark = make_object(
        "indicator", stix_id("indicator", SENDER, "a"), SENDER, NOW_US, now_us, Tlp.GREEN, pattern=pattern,
        pattern_type="stix", valid_from=timestamp(NOW_US - DAY_US),
    )  # fmt: skip
    tie = make_object(
        "relationship", stix_id("relationship", SENDER, "a"), SENDER, NOW_US, now_us, Tlp.GREEN,
        relationship_type="indicates", source_ref=mark["id"], target_ref=CAMPAIGN,
    )  # fmt: skip
    report = make_object(
        "report", stix_id("report", SENDER, "1"), SENDER, NOW_US, now_us, Tlp.GREEN, name=name,
        published=timestamp(NOW_US), object_refs=[CAMPAIGN, mark["id"], tie["id"]],
    ) | other  # fmt: skip
    more = [sender_object("Alpha", Tlp.GREEN, NOW_US), extension_object(SENDER), marking(Tlp.GREEN)]
    return [campaign, mark, tie, report, *more]


def sealed(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = bundle(json.loads(json.dumps(objects)), KEY.sealing, KEY.fingerprint)
    return list(found["objects"])


def written(path: Path, objects: list[dict[str, Any]]) -> Path:
    path.write_text(json.dumps(bundle(objects, KEY.sealing, KEY.fingerprint)))
    return path


# --- marks that match everybody ---


def log_of(path: Path, share: float) -> tuple[Path, int]:
    """A log of 60 accounts, a share of which repeats one text."""
    crowd, marked = Crowd(7), round(60 * share)
    for k in range(60):
        for n in range(4):
            text = TEXT if k < marked else f"{k} Tell me about topic {n} of week {k * n} and nothing else now"
            crowd.says(f"=acct-{k}", 200 + n, text, client_ip="10.0.0.1", status=200)
    rows = crowd.table().select(["account", "prompt", "time"]).to_pylist()
    path.write_text("".join(json.dumps(row | {"time": row["time"].isoformat()}) + "\n" for row in rows))
    return path, marked


def partner_of_text(first_us: int) -> Partner:
    """A partner that sends the marks of one text, and a start time for it."""
    found = matcher.marks_of(matcher_keys(), TEXT)
    marks = [
        (f"indicator--{kind}-{value}", indicator_of(kind, value, first_us))
        for kind, values in found.items()
        for value in values
    ]
    return Partner(CAMPAIGN, "Alpha", "wide", "green", first_us, NOW_US, tuple(marks))


def indicator_of(kind: str, value: str, first_us: int) -> Indicator:
    return Indicator(IndicatorKind(kind), value, KEY.fingerprint, 3, 0, 9, first_us, NOW_US)


def matcher_keys() -> tuple[int, int]:
    sketch = hashlib.blake2b(b"k" * 32, digest_size=32, person=b"sw.exch.sketch").digest()
    halves = hashlib.blake2b(sketch, digest_size=16, person=b"stillwatch.key").digest()
    return int.from_bytes(halves[:8], "little"), int.from_bytes(halves[8:], "little")


def found_in(path: Path) -> Hits:
    """Return the matches for a partner whose campaign began before any log: no base rate applies."""
    return search(LogHistory([str(path)], KEY), partner_of_text(0))


@pytest.mark.slow
def test_marks_that_fit_nearly_everybody_accuse_nobody(tmp_path: Path) -> None:
    path, marked = log_of(tmp_path / "wide.jsonl", 0.9)
    hits = found_in(path)
    assert (hits.accounts, hits.exchanges, hits.seen) == ((), 0, ())
    assert (hits.fitting, hits.compared) == (marked, 60)
    path, marked = log_of(tmp_path / "narrow.jsonl", 0.2)
    hits = found_in(path)
    assert (len(hits.accounts), hits.fitting) == (marked, 0)
    own = search(LogHistory([str(tmp_path / "wide.jsonl")], KEY), partner_of_text(0), own=True)
    assert len(own.accounts) == 54


def test_the_matcher_accuses_nobody_by_such_marks_and_writes_no_formula(tmp_path: Path) -> None:
    objects = campaign_file()
    for _, mark in partner_of_text(NOW_US).indicators:
        pattern = objects[1]["pattern"].replace("opening", mark.kind).replace("a" * 16, mark.value)
        objects.append(objects[1] | {"id": stix_id("indicator", SENDER, pattern), "pattern": pattern})
    file = written(tmp_path / "told.json", objects)
    (tmp_path / "key").write_text(SECRET)
    words = [sys.executable, "-I", matcher.__file__, str(file), "", "--key", str(tmp_path / "key")]
    words[4] = str(log_of(tmp_path / "wide.jsonl", 0.9)[0])
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "the marks fit 54 of 60 accounts" in done.stderr
    words[4] = str(log_of(tmp_path / "narrow.jsonl", 0.2)[0])
    done = subprocess.run(words, capture_output=True, text=True)
    named = done.stdout.splitlines()[1:]
    assert len(named) == 12
    assert all(line.startswith("'=acct-") for line in named)


# --- marks of confidentiality ---


@pytest.mark.parametrize(
    "place", ["report", "a property of the campaign", "a property of a mark", "a property of the report"]
)
def test_the_strictest_mark_holds_wherever_it_stands(tmp_path: Path, place: str) -> None:
    objects = campaign_file()
    strict = {"object_marking_refs": [IDS[Tlp.RED]]}
    granular = {"granular_markings": [{"marking_ref": IDS[Tlp.RED], "selectors": ["name"]}]}
    at = {"report": 3, "a property of the campaign": 0, "a property of a mark": 1}.get(place, 3)
    objects[at] |= strict if place == "report" else granular
    red = {"type": "marking-definition", "spec_version": "2.1", "id": IDS[Tlp.RED],
           "created": "2022-10-01T00:00:00.000Z", "name": "TLP:RED",
           "extensions": {TLP_EXTENSION: {"extension_type": "property-extension", "tlp_2_0": "red"}},
           }  # fmt: skip
    with pytest.raises(IndicatorError, match="TLP:RED"):
        read_partners(written(tmp_path / "red.json", [*objects, red]), KEY, NOW_US)
    objects[at] |= {"granular_markings": [{"lang": "en", "selectors": ["name"]}], "object_marking_refs":
                    [IDS[Tlp.GREEN]]}  # fmt: skip
    told = read_partners(written(tmp_path / "green.json", objects), KEY, NOW_US)
    assert told.partners[0].tlp == "green"


# --- a collection to which others write ---


def name_in(file: dict[str, Any]) -> str:
    return str(next(item["name"] for item in file["objects"] if item["id"] == CAMPAIGN))


def test_a_newer_version_by_somebody_without_the_key_hides_none() -> None:
    ours = sealed(campaign_file())
    theirs = campaign_file(NOW_US + DAY_US, name="everything is fine")
    twin = [ours[0] | {"name": "a twin, later"}]
    collection = [*ours, *twin, *theirs]
    files, _ = files_in(collection, KEY)
    assert [{item["id"]: item for item in one["objects"]}[CAMPAIGN]["name"] for one in files.values()] == [
        "one"
    ]
    (newest,) = files_in(collection)[0].values()
    assert {item["id"]: item for item in newest["objects"]}[CAMPAIGN]["name"] == "everything is fine"
    assert files_in(theirs, KEY)[0] == {}


def test_two_reports_on_one_campaign_are_two_files() -> None:
    ours = sealed(campaign_file())
    other = stix_id("report", SENDER, "2")
    report = next(item for item in ours if item["type"] == "report")
    files, _ = files_in([*ours, report | {"id": other, "object_refs": [CAMPAIGN]}])
    assert set(files) == {CAMPAIGN, f"{CAMPAIGN}.{other}"}


# --- an endless answer ---


@pytest.fixture
def collection() -> taxii.TaxiiCollection:
    return taxii.open_collection("https://taxii.example/api1/collections/1/", {})


def test_what_reports_name_is_asked_for_within_bounds(
    collection: taxii.TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def page(_: Any, path: str, body: bytes | None = None) -> tuple[ReceiverReply, dict[str, Any]]:
        asked.append(path)
        return ReceiverReply(200, None), {"objects": []}

    monkeypatch.setattr(taxii, "_request", page)
    names = {f"campaign--{k:08x}-0000-4000-8000-000000000000" for k in range(60_000)}
    with pytest.raises(ExportError, match="gave up after 1,000"):
        taxii.objects_of(collection, names)
    assert len(asked) == taxii.MOST_PAGES


def test_failures_without_end_cost_no_time(
    collection: taxii.TaxiiCollection, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = [{"id": f"indicator--{k}", "modified": "2026"} for k in range(20_000)]
    failures = [{"id": f"indicator--{k}", "message": "no"} for k in range(100_000, 300_000)]
    monkeypatch.setattr(taxii, "objects_of", lambda of, ids: [])
    begun = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(ExportError, match="did not take 200,001 of 20,000"):
        taxii._check_held(collection, [*failures, {"id": ["no id"]}], objects, True)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - begun < 5


# --- answers ---


def answer(now_us: int, **other: Any) -> list[dict[str, Any]]:
    who = identity_id("Beta")
    seen = make_object(
        "sighting", stix_id("sighting", who, CAMPAIGN), who, NOW_US, now_us, Tlp.GREEN,
        sighting_of_ref=CAMPAIGN, where_sighted_refs=[who], count=0, summary=True, **other,
    )  # fmt: skip
    return [seen, sender_object("Beta", Tlp.GREEN, NOW_US), extension_object(who), marking(Tlp.GREEN)]


def test_an_answer_says_its_date_and_its_key_and_is_none_of_tomorrow(tmp_path: Path) -> None:
    """An old file that is sent again reads as an old one; a name is its sender's choice."""
    file = written(tmp_path / "answer.json", answer(NOW_US))
    (back,) = read_sightings(file, KEY, NOW_US + DAY_US)
    assert f"under key {KEY.fingerprint}; of {timestamp(NOW_US)}" in sentence(back)
    with pytest.raises(IndicatorError, match="which is to come"):
        read_sightings(file, KEY, NOW_US - DAY_US)
