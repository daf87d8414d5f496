"""Indicators: sent to a partner without disclosing anything, searched for there, answered, and read back."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import stix2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exports_world import alert
from indicators_world import QUESTIONS, Provider, provider
from scan_world import Crowd
from scan_world import sentence as words
from stillwatch.cases.alert import Alert
from stillwatch.cases.exports import ExportError
from stillwatch.cases.exports.marking import IDS, OLD_IDS, Tlp, mark, marking
from stillwatch.cases.exports.objects import EXTENSION, bundle, pattern, read_pattern, timestamp
from stillwatch.cases.exports.stix import campaign_bundle, campaign_id
from stillwatch.cases.exports.sums import describe_leaving
from stillwatch.cases.indicators import DIGITS, Hits, Indicator, IndicatorError, IndicatorKind, Partner
from stillwatch.cases.indicators.gather import DEFAULT, gather
from stillwatch.cases.indicators.keys import IndicatorKey, create, exchange, own_key, read_exchange
from stillwatch.cases.indicators.marks import LogHistory
from stillwatch.cases.indicators.partner import MOST_CAMPAIGNS, read_partners
from stillwatch.cases.indicators.search import search
from stillwatch.cases.indicators.sighting import read_sightings, sentence, sighting_bundle
from stillwatch.exchanges.read import read_accounts
from stillwatch.exchanges.rejects import Rejects
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import sketch_batch
from stillwatch.units import DAY_US

KEY = exchange(b"k" * 32)
OTHER = exchange(b"o" * 32)
START_US = 1_772_409_600_000_000  # 2026-03-02
NOW_US = START_US + 20 * DAY_US
NONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture(scope="module")
def alpha(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("alpha"), "alpha", 1)


@pytest.fixture(scope="module")
def beta(tmp_path_factory: pytest.TempPathFactory) -> Provider:
    return provider(tmp_path_factory.mktemp("beta"), "beta", 2, begin_day=7.0)


@pytest.fixture(scope="module")
def told(alpha: Provider) -> tuple[Indicator, ...]:
    return gather(LogHistory([alpha.log], KEY), alpha.pool)


def case_of(one: Provider, **other: Any) -> Alert:
    """Return an alert about this provider's pool; these tests need no case."""
    return alert(one.pool[0], accounts=one.pool, members=len(one.pool), **other)


def written(
    one: Provider, told: tuple[Indicator, ...], key: IndicatorKey = KEY, now_us: int = NOW_US, **other: Any
) -> bytes:
    asked: dict[str, Any] = {
        "sender": "Alpha Inc.",
        "tlp": Tlp.AMBER,
        "opened_us": START_US,
        "valid_days": 90,
    }
    return campaign_bundle(case_of(one), told, key, now_us=now_us, **asked | other)[0]


@pytest.fixture
def file(tmp_path: Path, alpha: Provider, told: tuple[Indicator, ...]) -> Path:
    path = tmp_path / "alpha.json"
    path.write_bytes(written(alpha, told))
    return path


# --- making them ---


def test_what_only_the_campaign_shares_becomes_an_indicator(
    alpha: Provider, told: tuple[Indicator, ...]
) -> None:
    by_kind = {kind: [one for one in told if one.kind is kind] for kind in IndicatorKind}
    assert len(by_kind[IndicatorKind.SYSTEM]) == 1
    assert len(by_kind[IndicatorKind.OPENING]) >= 1 + len(QUESTIONS)
    assert {one.accounts for one in by_kind[IndicatorKind.SYSTEM]} == {len(alpha.pool)}
    assert all(one.others == 0 and len(one.value) == DIGITS[one.kind] for one in told)
    assert all(START_US + 5 * DAY_US <= one.first_us <= one.last_us for one in told)


def test_accounts_of_a_case_judged_true_hold_nothing_back(alpha: Provider) -> None:
    """One campaign in two cases: neither counts the other's accounts as honest ones with its text."""
    mine, others = alpha.pool[:5], alpha.pool[5:]
    history = LogHistory([alpha.log], KEY)
    alone = {(one.kind, one.value) for one in gather(history, alpha.pool)}
    with pytest.raises(IndicatorError, match="share nothing"):
        gather(history, mine, (IndicatorKind.QUESTION, IndicatorKind.SYSTEM))
    together = gather(history, mine, judged=others)
    assert {(one.kind, one.value) for one in together} <= alone
    assert {one.kind for one in together} >= {IndicatorKind.QUESTION, IndicatorKind.SYSTEM}
    assert all(one.others == 0 for one in together if one.kind is IndicatorKind.QUESTION)


def test_nobody_s_own_text_becomes_an_indicator(alpha: Provider, tmp_path: Path) -> None:
    """Honest people share nothing rare; of a single account, only what it sends 20 times."""
    with pytest.raises(IndicatorError, match="share nothing"):
        gather(
            LogHistory([alpha.log], KEY), alpha.people[:10], (IndicatorKind.QUESTION, IndicatorKind.SYSTEM)
        )
    with pytest.raises(IndicatorError, match="holds no exchange of the 1 accounts"):
        gather(LogHistory([alpha.log], KEY), ["nobody"])
    with pytest.raises(IndicatorError, match="share nothing"):  # others of the pool carry it too
        gather(LogHistory([alpha.log], KEY), alpha.pool[:1])
    lone = provider(tmp_path, "lone", 5, pool=1)
    assert [one.kind for one in gather(LogHistory([lone.log], KEY), lone.pool)] == [IndicatorKind.SYSTEM]


def test_identifiers_are_keyed_hashes(alpha: Provider) -> None:
    table = read_accounts(alpha.accounts, rejects=Rejects())
    kinds = (IndicatorKind.NETWORK, IndicatorKind.PAYMENT, IndicatorKind.DOMAIN)
    found = gather(LogHistory([alpha.log], KEY, accounts=table), alpha.pool, kinds)
    assert {one.kind: one.accounts for one in found if one.kind is not IndicatorKind.PAYMENT} == {
        IndicatorKind.NETWORK: len(alpha.pool), IndicatorKind.DOMAIN: len(alpha.pool),
    }  # fmt: skip
    assert sorted(one.accounts for one in found if one.kind is IndicatorKind.PAYMENT) == [4, 4, 4]
    assert all(len(one.value) == 64 for one in found)


def test_another_key_gives_other_values(alpha: Provider, told: tuple[Indicator, ...]) -> None:
    others = gather(LogHistory([alpha.log], OTHER), alpha.pool)
    whole = [
        one.kind for one in told if one.kind is not IndicatorKind.WORDING
    ]  # the key decides which shingles are kept
    assert [one.kind for one in others if one.kind is not IndicatorKind.WORDING] == whole
    assert {one.value for one in told}.isdisjoint(one.value for one in others)


def test_the_public_key_and_short_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(IndicatorError, match="as good"):
        own_key(b"stillwatch: no sketch leaves this process")
    with pytest.raises(IndicatorError, match="31 bytes"):
        exchange(b"x" * 31)
    path = tmp_path / "partner.key"
    made = create(path)
    assert read_exchange(path).fingerprint == made.fingerprint
    assert oct(path.stat().st_mode & 0o777) == "0o600"
    with pytest.raises(IndicatorError, match="never written over"):
        create(path)
    path.chmod(0o640)
    with pytest.raises(IndicatorError, match="chmod 600"):
        read_exchange(path)
    path.chmod(0o600)
    path.write_text("hunter2")
    with pytest.raises(IndicatorError, match="holds no exchange key") as refused:
        read_exchange(path)
    assert "hunter2" not in str(refused.value)


# --- the file ---


@pytest.mark.slow
def test_the_bundle_is_stix_and_comes_back(alpha: Provider, told: tuple[Indicator, ...]) -> None:
    raw = written(alpha, told, with_accounts=True)
    parsed = stix2.parse(raw.decode(), allow_custom=False)
    kinds = [one["type"] for one in parsed["objects"]]
    assert kinds.count("indicator") == len(told)
    assert {"campaign", "identity", "report", "marking-definition", "attack-pattern", "user-account",
            "observed-data", "extension-definition"} <= set(kinds)  # fmt: skip
    back, sent = parsed.serialize().replace(".000Z", "Z"), raw.decode().replace(".000Z", "Z")
    assert json.loads(back) == json.loads(sent)
    (campaign,) = [one for one in parsed["objects"] if one["type"] == "campaign"]
    assert campaign["id"] == campaign_id("Alpha Inc.", "case-7f3a")
    atlas = {
        one["external_references"][0]["external_id"]
        for one in parsed["objects"]
        if one["type"] == "attack-pattern"
    }
    assert atlas == {"AML.T0024.002", "AML.T0040"}
    ids = {one["id"] for one in parsed["objects"]}
    for one in parsed["objects"]:
        refs = [one[name] for name in ("source_ref", "target_ref", "created_by_ref") if name in one]
        assert ids.issuperset([*refs, *one.get("object_marking_refs", []), *one.get("object_refs", [])])


def test_a_second_export_updates_the_first(alpha: Provider, told: tuple[Indicator, ...]) -> None:
    first, again = written(alpha, told), written(alpha, told)
    later = written(alpha, told[1:], now_us=NOW_US + DAY_US, with_accounts=True)
    assert first == again
    ids = {one["id"]: one for one in json.loads(first)["objects"]}
    new = {one["id"]: one for one in json.loads(later)["objects"]}
    gone, added = ids.keys() - new.keys(), new.keys() - ids.keys()
    assert {id.partition("--")[0] for id in gone} == {"indicator", "relationship"}
    assert {id.partition("--")[0] for id in added} == {"user-account", "observed-data"}
    for id in ids.keys() & new.keys():
        if "modified" in new[id] and new[id] != ids[id]:
            assert ids[id]["modified"] < new[id]["modified"]
            assert ids[id]["created"] == new[id]["created"]


def canaries(*providers: Provider) -> list[bytes]:
    """Return what must not be exported: words of prompts, names, addresses, payments, domains."""
    found: set[str] = set()
    for one in providers:
        for prompt in one.table["prompt"].to_pylist():
            found.update(word for word in prompt.split() if len(word) >= 6)
        found.update(one.pool + one.people)
        found.update(("203.0.113", "shared-card", "drain.example", "lattice", "patient teacher"))
    return sorted(word.encode() for word in found)


@pytest.mark.slow
def test_nothing_that_was_said_and_no_name_is_in_the_file(
    alpha: Provider, told: tuple[Indicator, ...]
) -> None:
    table = read_accounts(alpha.accounts, rejects=Rejects())
    kinds = tuple(kind for kind in IndicatorKind if kind not in DEFAULT)
    more = gather(LogHistory([alpha.log], KEY, accounts=table), alpha.pool, kinds)
    raw = written(alpha, (*told, *more), with_accounts=True).lower()
    spoken = {b"number", b"answer", b"problem", b"reasoning", b"mathematics", b"system"}  # our own words too
    assert len(canaries(alpha)) > 1_000
    assert [word for word in canaries(alpha) if word.lower() in raw and word not in spoken] == []


def test_what_leaves_is_said_before_it_does(alpha: Provider, told: tuple[Indicator, ...]) -> None:
    data, leaving = campaign_bundle(
        case_of(alpha), told, KEY, sender="Alpha Inc.", tlp=Tlp.GREEN, opened_us=START_US, now_us=NOW_US,
        valid_days=30,
    )  # fmt: skip
    lines = describe_leaving(leaving)
    assert f"keyed sketches of wording: {len(told)}" in lines
    assert "prompts, answers and their words: none" in lines
    assert "names of accounts: none" in lines
    assert "marked TLP:GREEN" in lines
    assert f"{len(data):,} bytes" in lines[-1]


def test_what_cannot_go_out_is_refused(alpha: Provider, told: tuple[Indicator, ...]) -> None:
    with pytest.raises(ExportError, match="TLP:RED is for the ears"):
        mark("TLP:RED")
    with pytest.raises(ExportError, match="no mark of TLP"):
        mark("purple")
    for sender in ("", "   ", "x" * 201, "a\u202eb"):
        with pytest.raises(ExportError, match="give --sender"):
            written(alpha, told, sender=sender)
    with pytest.raises(ExportError, match="another key"):
        written(alpha, told, key=OTHER)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from(IndicatorKind), number=st.integers(0), key=st.integers(0, 2**64 - 1))
def test_patterns_come_back_and_are_patterns(kind: IndicatorKind, number: int, key: int) -> None:
    value = f"{number % 16 ** DIGITS[kind]:0{DIGITS[kind]}x}"
    text = pattern(kind, f"{key:016x}", value)
    assert read_pattern(text) == (kind, f"{key:016x}", value)
    stix2.v21.Indicator(pattern=text, pattern_type="stix", valid_from="2026-01-01T00:00:00Z")
    assert read_pattern(text + " ") is None
    assert read_pattern(text.replace("value = '", "value = '0")) is None


# --- the round trip ---


@pytest.mark.slow
def test_a_partner_finds_the_same_hand_in_its_own_log(
    alpha: Provider, beta: Provider, file: Path, tmp_path: Path
) -> None:
    one = read_partners(file, KEY, NOW_US)
    assert (one.sender, one.sealed) == ("Alpha Inc.", True)
    (partner,) = one.partners
    hits = search(LogHistory([beta.log], KEY), partner)
    assert tuple(sorted(c.account for c in hits.accounts)) == beta.pool
    assert hits.exchanges == 20 * len(beta.pool)
    assert hits.searched == beta.table.num_rows
    assert (hits.blind, hits.chance.before) == (0, 0)
    assert hits.chance.collisions < 1e-9
    assert hits.first_us is not None
    assert hits.first_us >= START_US + 7 * DAY_US
    raw, leaving = sighting_bundle(hits, KEY, sender="Beta GmbH", now_us=NOW_US)
    assert stix2.parse(raw.decode(), allow_custom=False)
    assert [word for word in canaries(beta) if word in raw and word not in (b"answer", b"number")] == []
    assert dict(leaving.holds)["accounts, as a number"] == len(beta.pool)
    answer = tmp_path / "answer.json"
    answer.write_bytes(raw)
    (back,) = read_sightings(answer, KEY, NOW_US + DAY_US)
    assert back.of == campaign_id("Alpha Inc.", "case-7f3a")
    assert (back.sender, back.exchanges, back.accounts) == ("Beta GmbH", hits.exchanges, len(beta.pool))
    assert back.first_us is not None
    assert back.last_us is not None
    assert hits.last_us is not None
    assert back.first_us <= hits.first_us
    assert back.last_us >= hits.last_us
    assert back.first_us % 3_600_000_000 == back.last_us % 3_600_000_000 == 0
    assert (
        f"Beta GmbH (TLP:AMBER; under key {KEY.fingerprint}; of 2026-03-22T00:00:00.000Z) has seen this "
        "campaign: 240 exchanges of 12 accounts, from 2026" in sentence(back)
    )


def test_a_campaign_that_was_not_here_is_answered_too(alpha: Provider, file: Path, tmp_path: Path) -> None:
    calm = provider(tmp_path / "calm", "calm", 3, pool=0)
    (partner,) = read_partners(file, KEY, NOW_US).partners
    hits = search(LogHistory([calm.log], KEY), partner)
    assert (hits.exchanges, hits.accounts, hits.first_us) == (0, (), None)
    answer = tmp_path / "answer.json"
    answer.write_bytes(sighting_bundle(hits, KEY, sender="Calm", now_us=NOW_US)[0])
    told = sentence(read_sightings(answer, KEY, NOW_US + DAY_US)[0])
    assert "has looked for this campaign and not seen it" in told
    assert f"It searched {calm.table.num_rows:,} exchanges from 2026-03-02T" in told


def test_since_and_until_bound_the_search(beta: Provider, file: Path) -> None:
    (partner,) = read_partners(file, KEY, NOW_US).partners
    whole = search(LogHistory([beta.log], KEY), partner)
    late = search(LogHistory([beta.log], KEY), partner, since_us=START_US + 9 * DAY_US)
    early = search(LogHistory([beta.log], KEY), partner, until_us=START_US + 9 * DAY_US)
    assert late.exchanges + early.exchanges == whole.exchanges
    assert late.exchanges
    assert late.searched + early.searched == whole.searched


def test_an_exchange_in_two_files_counts_once(beta: Provider, file: Path, tmp_path: Path) -> None:
    (partner,) = read_partners(file, KEY, NOW_US).partners
    again = tmp_path / "again.parquet"
    pq.write_table(beta.table.slice(0, beta.table.num_rows - 1), again)
    assert search(LogHistory([beta.log, again], KEY), partner).exchanges == 20 * len(beta.pool)


def test_two_phrases_must_stand_in_one_prompt(alpha: Provider, beta: Provider) -> None:
    words = gather(LogHistory([alpha.log], KEY), alpha.pool, (IndicatorKind.WORDING,))
    partner = partner_of(words)
    hits = search(LogHistory([beta.log], KEY), partner)
    assert set(beta.pool) >= {c.account for c in hits.accounts}
    assert len(hits.accounts) >= 10
    assert 0 < hits.chance.collisions < 1e-3
    assert search(LogHistory([beta.log], KEY), partner_of(words[:1])).exchanges == 0


def test_one_exchange_among_many_names_nobody(alpha: Provider, tmp_path: Path) -> None:
    """A person who once sent a campaign's text is no part of it; an account that hides it among others is."""
    told = gather(LogHistory([alpha.log], KEY), alpha.pool)
    crowd = Crowd(5)
    for account, marked, rows in (("once", 1, 30), ("lost", 2, 200), ("hides", 6, 200), ("alone", 1, 1)):
        for k in range(rows):
            text = QUESTIONS[0] if k < marked else words(crowd.rng, 14)
            crowd.says(account, 200 + 0.1 * k, text, client_ip="10.0.0.1", status=200)
    log = tmp_path / "log.parquet"
    pq.write_table(crowd.table(), log)
    hits = search(LogHistory([log], KEY), partner_of(told))
    assert [(c.account, c.exchanges, c.rows) for c in hits.accounts] == [("hides", 6, 200)]
    assert (hits.exchanges, hits.unnamed) == (6, 3)
    assert {exchanges for _, exchanges, _, _ in hits.seen} == {6}
    again = tmp_path / "again.parquet"
    pq.write_table(crowd.table(), again)
    twice = search(LogHistory([log, again], KEY), partner_of(told))
    assert [(c.account, c.exchanges) for c in twice.accounts] == [("hides", 6)]


def partner_of(indicators: tuple[Indicator, ...]) -> Partner:
    named = tuple(
        (f"indicator--{k:08d}-0000-4000-8000-000000000000", one) for k, one in enumerate(indicators)
    )
    return Partner("campaign--x", "Alpha", "c", "amber", START_US, START_US, named)


def test_the_base_rate_is_what_was_there_before(beta: Provider, told: tuple[Indicator, ...]) -> None:
    """If the sender's campaign began after ours, our accounts were first: those are no news."""
    later = tuple(replace(one, first_us=START_US + 9 * DAY_US) for one in told)
    hits = search(LogHistory([beta.log], KEY), partner_of(later))
    assert hits.chance.before == len(beta.pool)
    assert all(one.before for one in hits.accounts)
    assert 8.5 < hits.chance.before_days < 9.1
    assert hits.chance.expected is not None
    assert 0 < hits.chance.expected < len(beta.pool)
    first = tuple(replace(one, first_us=START_US) for one in told)
    assert search(LogHistory([beta.log], KEY), partner_of(first)).chance.expected is None


# --- histories that are sketched already ---


def segments(one: Provider, key: bytes, folder: Path, keep_text: bool = False) -> Path:
    """Return the log as a gateway stores it."""
    folder.mkdir()
    (batch,) = one.table.combine_chunks().to_batches()
    made = sketch_batch(batch, Sketcher(key), keep_text)
    pq.write_table(type(one.table).from_batches([made]), folder / "0000000001-0000000001.parquet")
    return folder


def test_segments_are_searched_under_their_own_key(alpha: Provider, beta: Provider, tmp_path: Path) -> None:
    raw = b"one company, two regions, one key"
    mine = own_key(raw)
    told = gather(LogHistory([segments(alpha, raw, tmp_path / "a")], mine), alpha.pool)
    hits = search(LogHistory([segments(beta, raw, tmp_path / "b")], mine), partner_of(told))
    assert tuple(sorted(c.account for c in hits.accounts)) == beta.pool


def test_under_another_key_only_kept_texts_can_be_compared(
    beta: Provider, file: Path, tmp_path: Path
) -> None:
    (partner,) = read_partners(file, KEY, NOW_US).partners
    raw = b"a gateway's own key, never shared"
    bare = segments(beta, raw, tmp_path / "bare")
    hits = search(LogHistory([bare], KEY, Sketcher(raw)), partner)
    assert (hits.exchanges, hits.searched, hits.blind) == (0, 0, beta.table.num_rows)
    texts = segments(beta, raw, tmp_path / "texts", keep_text=True)
    hits = search(LogHistory([texts], KEY, Sketcher(raw)), partner)
    assert (hits.blind, len(hits.accounts)) == (0, len(beta.pool))


# --- bad partners ---


def changed(file: Path, change: Callable[[dict[str, Any]], object], key: IndicatorKey = KEY) -> Path:
    """Return a file that was changed before it was sealed: the sender itself is at fault."""
    objects = json.loads(file.read_bytes())["objects"]
    for one in objects:
        change(one)
    file.write_text(json.dumps(bundle(objects, key.sealing, key.fingerprint)))
    return file


def of(kind: str, **properties: Any) -> Callable[[dict[str, Any]], object]:
    return lambda one: one.update(properties) if one["type"] == kind else None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (of("campaign", revoked=True), "was withdrawn by its sender at 2026-03-22"),
        (of("indicator", revoked=True), "withdrawn; ask the sender"),
        (of("indicator", valid_until="2026-03-03T00:00:00.000Z"), "expired; ask the sender"),
        (of("indicator", pattern="[ipv4-addr:value = '1.1.1.1']"), "of a kind that is not ours"),
        (of("indicator", pattern_type="yara"), "of a kind that is not ours"),
        (of("indicator", valid_from="yesterday"), "valid_from is no time"),
        (of("indicator", valid_from="2026-02-30T00:00:00Z"), "valid_from is no time"),
        (of("indicator", pattern=3), "pattern must be a text"),
        (of("indicator", pattern="x" * 5000), "pattern must be a text"),
        (of("indicator", object_marking_refs=[]), "has no mark"),
        (of("campaign", object_marking_refs="x"), "has no mark"),
        (of("campaign", object_marking_refs=[{}]), "no mark of TLP 2.0"),
        (of("campaign", object_marking_refs=[OLD_IDS[0]]), "TLP 1.0"),
        (of("campaign", object_marking_refs=[IDS[Tlp.RED]]), "the mark is not in the file"),
        (of("marking-definition", extensions={}), "says otherwise"),
        (of("marking-definition", extensions=marking(Tlp.CLEAR)["extensions"]), "says otherwise"),
        (of("campaign", modified="2036-01-01T00:00:00.000Z"), "which is to come"),
        (of("campaign", name=["x"]), "name must be a text"),
        (of("indicator", extensions={EXTENSION: {"accounts": -1}}), "accounts must be a whole number"),
        (of("indicator", extensions={EXTENSION: {"accounts": True}}), "accounts must be a whole number"),
        (of("relationship", source_ref=f"indicator--{NONE}"), "not in the file"),
        (of("relationship", relationship_type="related-to"), "has no indicators"),
        (of("relationship", revoked=True), "has no indicators"),
        (of("campaign", type="x-campaign"), "has the id"),
        (of("campaign", spec_version="2.0"), "of STIX '2.0'"),
        (of("identity", name=None), "name must be a text"),
        (of("campaign", created_by_ref=f"identity--{NONE}"), "identity of its sender"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_words_for_the_partner(
    file: Path, change: Callable[[dict[str, Any]], object], why: str
) -> None:
    with pytest.raises(IndicatorError, match=why):
        read_partners(changed(file, change), KEY, NOW_US)


def test_red_is_refused_on_the_way_in(file: Path) -> None:
    objects = json.loads(file.read_bytes())["objects"]
    for one in objects:
        if one["type"] == "campaign":
            one["object_marking_refs"] = [IDS[Tlp.RED]]
    objects.append(marking(Tlp.RED))
    file.write_text(json.dumps(bundle(objects, KEY.sealing, KEY.fingerprint)))
    with pytest.raises(IndicatorError, match="TLP:RED, for the ears"):
        read_partners(file, KEY, NOW_US)


def test_the_seal_tells_who_wrote_it(file: Path, alpha: Provider) -> None:
    with pytest.raises(IndicatorError, match=f"yours is {OTHER.fingerprint}"):
        read_partners(file, OTHER, NOW_US)
    text = file.read_text()
    file.write_text(text.replace("Training data", "Training dada"))
    with pytest.raises(IndicatorError, match="changed after it was sealed"):
        read_partners(file, KEY, NOW_US)
    assert not read_partners(file, KEY, NOW_US, unsealed=True).sealed
    objects = json.loads(text)["objects"]
    for one in objects:
        if one["type"] == "identity":
            del one["extensions"]
    file.write_text(json.dumps(bundle(objects, None, "")))
    with pytest.raises(IndicatorError, match="has no seal"):
        read_partners(file, KEY, NOW_US)
    with pytest.raises(IndicatorError, match="its indicators are under key"):
        read_partners(file, OTHER, NOW_US, unsealed=True)
    foreign = gather(LogHistory([alpha.log], OTHER), alpha.pool)
    file.write_bytes(written(alpha, foreign, key=OTHER))
    with pytest.raises(IndicatorError, match="is sealed under key"):
        read_partners(file, KEY, NOW_US)


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not JSON"), (b"{}", "no STIX bundle"), (b"[]", "no STIX bundle"),
        (b'{"type": "bundle"}', "holds no objects"),
        (b'{"type": "bundle", "objects": []}', "holds no objects"), (b"\x1f\x8b" + b"x" * 99, "is packed"),
        (b"PK\x03\x04", "is packed"), (b"[" * 1_000_000, "not JSON|nested"), (b"\xff" * 99, "not"),
        (b'{"type": "bundle", "objects": [3]}', "object 1 is not a JSON object"),
        (b'{"a": NaN}', "NaN"), (b"\x00", "NUL"),
        (b'{"type": "bundle", "type": "bundle"}', "appears twice"), (b" " * (9 << 20), "larger than 8 MB"),
        (b'{"type": "bundle", "objects": ' + b"[" * 60 + b"]" * 60 + b"}", "deeper than 32"),
        (b'{"type": "bundle", "objects": [' + b"{}," * 100_001 + b"{}]}", "at most 100,000"),
        (b'{"type": "bundle", "objects": [{"type": "campaign", "id": "campaign--1"}]}', "id 'campaign--1'"),
        (b'{"type": "bundle", "objects": [{"type": "identity", "id": '
         b'"identity--00000000-0000-4000-8000-000000000000"}]}', "has no seal"),
    ],
)  # fmt: skip
def test_a_file_that_is_none_is_refused(tmp_path: Path, raw: bytes, why: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(raw)
    with pytest.raises(IndicatorError, match=why):
        read_partners(path, KEY, NOW_US)


def test_files_that_are_not_there_or_of_the_other_sort(tmp_path: Path, file: Path) -> None:
    with pytest.raises(IndicatorError, match="cannot be read"):
        read_partners(tmp_path / "none.json", KEY, NOW_US)
    with pytest.raises(IndicatorError, match="answers no campaign"):
        read_sightings(file, KEY, NOW_US)


def test_of_two_versions_the_newer_counts_and_twins_are_refused(file: Path) -> None:
    objects = json.loads(file.read_bytes())["objects"]
    (campaign,) = [one for one in objects if one["type"] == "campaign"]
    newer = campaign | {"modified": "2026-03-22T06:00:00.000Z", "name": "newer"}
    file.write_text(json.dumps(bundle([*objects, newer], KEY.sealing, KEY.fingerprint)))
    (partner,) = read_partners(file, KEY, NOW_US + DAY_US).partners
    assert partner.name == "newer"
    file.write_text(json.dumps(bundle([*objects, campaign | {"name": "twin"}], KEY.sealing, KEY.fingerprint)))
    with pytest.raises(IndicatorError, match="stands there twice, and differs"):
        read_partners(file, KEY, NOW_US)


def test_more_campaigns_than_anybody_searches_for_are_refused_before_any_is_read(file: Path) -> None:
    objects = json.loads(file.read_bytes())["objects"]
    campaign = next(one for one in objects if one["type"] == "campaign")
    ties = [one for one in objects if one["type"] == "relationship"]
    for k in range(MOST_CAMPAIGNS):
        twin = f"{k:08x}-0000-4000-8000-000000000000"
        objects.append(campaign | {"id": f"campaign--{twin}"})
        objects.append(ties[0] | {"id": f"relationship--{twin}", "target_ref": f"campaign--{twin}"})
    file.write_text(json.dumps(bundle(objects, KEY.sealing, KEY.fingerprint)))
    with pytest.raises(IndicatorError, match="tells of 101 campaigns"):
        read_partners(file, KEY, NOW_US)
    objects.remove(campaign)
    file.write_text(json.dumps(bundle(objects, KEY.sealing, KEY.fingerprint)))
    told = read_partners(file, KEY, NOW_US).partners
    assert [len(one.indicators) for one in told] == [1] * MOST_CAMPAIGNS


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


def tried(data: st.DataObject, path: Path, objects: list[dict[str, Any]]) -> None:
    """One property of one object is arbitrary: the file is read or refused."""
    one = data.draw(st.sampled_from(objects))
    name = data.draw(st.sampled_from([*one.keys(), "revoked", "modified", "extensions"]))
    one[name] = data.draw(JSON)
    path.write_text(json.dumps({"type": "bundle", "id": "x", "objects": objects}))
    for read in (read_partners, lambda *words: read_sightings(path, KEY, NOW_US, True)):
        with contextlib.suppress(IndicatorError):
            read(path, KEY, NOW_US, True)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_whatever_a_partner_writes_is_read_or_refused(
    data: st.DataObject, tmp_path: Path, alpha: Provider, told: tuple[Indicator, ...]
) -> None:
    tried(data, tmp_path / "odd.json", json.loads(written(alpha, told[:3]))["objects"])


@pytest.mark.slow
@settings(max_examples=4_000, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), answer=st.booleans())
def test_whatever_a_partner_writes_is_read_or_refused_often(
    data: st.DataObject, answer: bool, tmp_path: Path, alpha: Provider, told: tuple[Indicator, ...]
) -> None:
    raw = written(alpha, told[:3])
    if answer:
        hits = search(LogHistory([alpha.log], KEY), partner_of(told[:2])) if not HITS else HITS[0]
        HITS[:] = [hits]
        hits = replace(hits, partner=replace(hits.partner, id=f"campaign--{NONE}"))
        raw = sighting_bundle(hits, KEY, sender="B", now_us=NOW_US)[0]
    tried(data, tmp_path / "odd.json", json.loads(raw)["objects"])


HITS: list[Hits] = []  # one search serves all examples


def test_timestamps_are_exact() -> None:
    assert timestamp(1_772_409_600_123_456) == "2026-03-02T00:00:00.123Z"
