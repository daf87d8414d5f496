"""A scan finds planted pools, names no honest account, uses no later data, and is reproducible."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from scipy.stats import betabinom

from scan_world import (
    MODELS,
    START,
    WORDS,
    Crowd,
    Scene,
    habits,
    honest,
    log_of,
    pool,
    scene,
    sentence,
    stage,
)
from stillwatch.actors import Actor, ActorContext
from stillwatch.errors import InputError
from stillwatch.exchanges import ACCOUNTS, RECORD
from stillwatch.exchanges.rejects import Rejects
from stillwatch.features.compute import SCHEMA
from stillwatch.features.kinds import KindOfUse
from stillwatch.range.score import score
from stillwatch.report.findings import evidence_json, findings_json, to_text
from stillwatch.scan import Campaign, ScanResult
from stillwatch.scan.alternatives import alternatives
from stillwatch.scan.assemble import clues
from stillwatch.scan.harvest import harvest, next_milestone, timeline
from stillwatch.scan.limits import gaps
from stillwatch.scan.pipeline import Options, run, scan_log
from stillwatch.scan.volume import volume_p_values
from stillwatch.stats.groups import combine

SAMPLE = Path(__file__).parent.parent / "sample"
ONE = Options(threads=1)


def scan(table: pa.Table, accounts: pa.Table | None = None, options: Options = ONE) -> ScanResult:
    return scan_log(log_of(table), accounts, options=options)


def texts(result: ScanResult) -> tuple[str, str]:
    """Return both result files, without the duration of the scan."""
    still = replace(result, scanned=replace(result.scanned, seconds=0.0))
    return to_text(findings_json(still)), to_text(evidence_json(still))


def named(result: ScanResult) -> set[str]:
    return {account for c in result.campaigns for account in c.accounts}


def alarms(campaigns: Sequence[Campaign], until: datetime) -> list[tuple[datetime, float]]:
    return sorted((c.alarm_at, c.p_value) for c in campaigns if c.alarm_at <= until)


@pytest.fixture(scope="module")
def world() -> Scene:
    return scene(0, pools=2)


@pytest.fixture(scope="module")
def found(world: Scene) -> ScanResult:
    return scan(world.table, world.accounts)


# --- found, and left alone --------------------------------------------------------------------------------


def members(planted: Scene) -> set[str]:
    return {account for names in planted.pools.values() for account in names}


def check_found(planted: Scene, result: ScanResult, least: int = 36) -> None:
    for name, pool_accounts in planted.pools.items():
        mine = [c for c in result.campaigns if set(c.accounts) & set(pool_accounts)]
        assert mine, f"{name} was not found"
        assert len(named(result) & set(pool_accounts)) >= least, name
        first = min(c.alarm_at for c in mine)
        sent = sum(r["account"] in pool_accounts and r["time"] < first for r in planted.crowd.rows)
        assert 0 < sent < 300
    assert len(named(result) - members(planted)) <= 1


@pytest.mark.slow
def test_planted_pools_are_found_and_nobody_else(world: Scene, found: ScanResult) -> None:
    check_found(world, found)


@pytest.mark.slow
def test_a_desk_whose_answers_are_labels_is_a_lead(world: Scene) -> None:
    """The same groups of accounts, but their answers have thirty tokens instead of two thousand."""
    desk, table = members(world), world.table
    of_desk = pc.is_in(table["account"], pa.array(sorted(desk)))
    short = pc.if_else(of_desk, pa.scalar(30, pa.int32()), table["output_tokens"])
    column = table.schema.get_field_index("output_tokens")
    result = scan(table.set_column(column, "output_tokens", short), world.accounts)
    assert not named(result) & desk
    assert {a for lead in result.leads if "labels" in lead.text for a in lead.accounts} >= desk
    wanted = replace(ONE, short_answer_tokens=0)  # the provider's answers are labels
    found = scan(table.set_column(column, "output_tokens", short), world.accounts, wanted)
    assert len(named(found) & desk) > 0.9 * len(desk)


@pytest.mark.slow
def test_a_planted_pool_is_found_in_another_world() -> None:
    planted = scene(3)
    check_found(planted, scan(planted.table, planted.accounts))


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 18))
def test_a_planted_pool_is_found_in_many_worlds(seed: int) -> None:
    planted = scene(seed)
    check_found(planted, scan(planted.table, planted.accounts), least=20)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_without_a_campaign_there_is_none(seed: int) -> None:
    calm = scene(seed, pools=0)
    assert scan(calm.table, calm.accounts).campaigns == ()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 23))
def test_without_a_campaign_there_is_none_in_many_worlds(seed: int) -> None:
    calm = scene(seed, pools=0)
    assert scan(calm.table, calm.accounts).campaigns == ()


@pytest.mark.slow
@pytest.mark.parametrize(("many", "least"), [(4, 4), (3, 0)])
def test_a_pool_of_four_with_rare_settings_is_found(many: int, least: int) -> None:
    crowd = Crowd(1)
    honest(crowd, 250, days=10.0)
    accounts = pool(crowd, "small", many, each=100)
    for row in crowd.rows:
        if row["account"] in accounts:
            row.update(max_tokens=12_000, temperature=0.8)
    result = scan(crowd.table(), crowd.accounts())
    assert named(result) <= set(accounts)
    assert len(named(result)) >= least


@pytest.mark.slow
def test_a_pool_is_found_where_little_else_is_new() -> None:
    planted = scene(2, novelties=0)
    check_found(planted, scan(planted.table, planted.accounts))


@pytest.mark.slow
def test_only_who_two_classes_of_clue_tie_is_firm() -> None:
    """Half of a pool shares networks. Client-controlled clues make nobody firm; provider-observed ones do."""
    crowd = Crowd(3)
    honest(crowd, 250, days=10.0)
    planted = pool(crowd, "p")
    sharing = set(planted[:20])
    for row in crowd.rows:
        if row["account"] in sharing:
            row["client_ip"] = f"198.51.{planted.index(row['account']) // 4}.9"
    kinds = {clue.NAME: (clue.CLASS, clue.CONTROL) for clue in clues()}
    (c,) = scan(crowd.table(), crowd.accounts()).campaigns
    tied: dict[str, set[tuple[str, str]]] = {}
    for link in c.links:
        few = link.clue == "shared_wording" and link.text.startswith(("carries 1 ", "carries 2 "))
        for account in (link.a, link.b) if not few else ():
            tied.setdefault(account, set()).add(kinds[link.clue])
    two = {a for a in c.accounts if len({name for name, _ in tied.get(a, ())}) > 1}
    assert len(two) > len(c.accounts) / 2
    assert set(c.firm) == {a for a in two if any(control == "provider" for _, control in tied[a])}
    assert set(c.firm) == sharing & set(c.accounts)


@pytest.mark.slow
def test_a_campaign_carries_what_the_contract_promises(world: Scene, found: ScanResult) -> None:
    ids = [c.id for c in found.campaigns]
    assert len(set(ids)) == len(ids)
    for c in found.campaigns:
        assert 0 < c.p_value <= 5e-4
        assert list(c.accounts) == sorted(set(c.accounts))
        assert set(c.named_at) == set(c.accounts)
        assert all(at >= c.alarm_at for at in c.named_at.values())
        assert c.harvest_at_alarm.exchanges <= c.harvest.exchanges
        assert c.harvest.exchanges == sum(h.exchanges for h in c.timeline)
        assert c.score_bits == pytest.approx(sum(r.bits for r in c.reasons), abs=0.01)
        assert c.reasons[0].detector == "coordinated_harvest"
        assert c.benign_alternatives
        assert c.suppressed_by is None
        assert str(len(c.accounts)) in c.title
        assert {k.a for k in c.links} <= set(c.accounts)
        assert {v.campaign for v in found.accounts if v.account in c.accounts} == {c.id}
    assert len(found.accounts) == found.scanned.accounts == len(world.accounts)


def test_an_alarm_keeps_what_its_p_value_is_computed_from(world: Scene, found: ScanResult) -> None:
    for c in found.campaigns:
        tails = []
        for one in c.tested:
            assert 1 <= one.count <= one.of <= len(world.accounts)
            odds = betabinom(one.of, *_beta(one.share, one.correlation))  # computed with SciPy
            p = odds.pmf(np.arange(one.count, one.of + 1)).sum()
            tails.append(min(1.0, one.tries * float(p)))
        assert combine(tails) == pytest.approx(c.p_value, rel=1e-6, abs=0)
        bits = {r.detector: r.bits for r in c.reasons}
        assert bits["same_model"] == pytest.approx(min(40.0, -np.log2(tails[0])), abs=1e-3)
        assert [one.setting for one in c.tested] == ["model", "max_tokens", "temperature_milli"]
        assert c.tested[0].value in set(world.table["model"].to_pylist())
    assert found.campaigns


def _beta(share: float, correlation: float) -> tuple[float, float]:
    strength = 1 / correlation - 1
    return share * strength, (1 - share) * strength


def test_sizes_of_what_was_taken_are_the_pools_own(world: Scene, found: ScanResult) -> None:
    taken = sum(c.harvest.exchanges for c in found.campaigns)
    sent = sum(row["account"] in members(world) for row in world.crowd.rows)
    assert 0.9 * sent <= taken <= sent


# --- nothing later may influence it -----------------------------------------------------------------------


def check_prefixes(
    table: pa.Table, accounts: pa.Table, hours: Sequence[float], whole: ScanResult | None = None
) -> None:
    """Check that the alarms up to each hour are the same whether or not the log continues."""
    whole = whole or scan(table, accounts)
    for hour in hours:
        until = START + timedelta(hours=hour)
        part = scan(table.filter(pc.less(table["time"], pa.scalar(until, table["time"].type))), accounts)
        assert alarms(part.campaigns, until) == alarms(whole.campaigns, until), f"after {hour} hours"


@pytest.mark.slow
def test_an_alarm_depends_on_what_came_before_alone(world: Scene, found: ScanResult) -> None:
    check_prefixes(world.table, world.accounts, [151, 156, 167.5], found)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_an_alarm_depends_on_what_came_before_alone_in_many_worlds(seed: int) -> None:
    planted = scene(seed, pools=2)
    check_prefixes(planted.table, planted.accounts, [100, 148, 152, 156, 160, 168, 192, 216])


@pytest.mark.slow
def test_settings_that_come_later_change_no_earlier_alarm(world: Scene) -> None:
    rng = random.Random(9)
    late = [
        dict(row, exchange_id=f"late-{k}", time=START + timedelta(hours=200 + k / 10), max_tokens=5000 + k)
        for k, row in enumerate(rng.sample(world.crowd.rows, 200))
        if row["account"] not in members(world)
    ]
    table = pa.concat_tables([world.table, pa.Table.from_pylist(late, RECORD)])
    check_prefixes(table, world.accounts, [190])


def lone_then_pooled() -> Scene:
    """One account harvests alone at first, and takes part in a pool days later."""
    crowd = Crowd(4)
    honest(crowd, 300, 10.0)
    rng = crowd.rng
    for k in range(24):  # heavy payers for comparison: sessions, repeats, follow-ups
        mine, asked = habits(rng), [sentence(rng, 7) for _ in range(100)]
        sessions = [rng.uniform(0, 90) for _ in range(15)]
        for j in range(400):
            at = rng.choice(sessions) + rng.expovariate(1.0)
            crowd.says(f"heavy-{k}", at, rng.choice(asked), turn=1 + j % 2, status=200, **mine)
    head, tail = sentence(rng, 9), sentence(rng, 7)
    names = pool(crowd, "p", begin_day=7.0, stock=[f"{head} | {tail}"])
    for j in range(900):
        text = f"{sentence(rng, 7)} with every reasoning step {sentence(rng, 8)}"
        crowd.says("lone", 90 + 60 * j / 900, text, model="mira-think", turn=1, status=200)
    for j in range(300):
        text = f"{head} {sentence(rng, 15)} {tail}"
        crowd.says(
            "lone",
            168 + j / 5,
            text,
            model="mira-think",
            temperature=0.7,
            max_tokens=4096,
            turn=1,
            status=200,
        )
    return Scene(crowd.table(), crowd.accounts(), {"p": (*names, "lone")}, crowd)


@pytest.mark.slow
def test_a_lone_alarm_stands_whatever_the_account_does_later() -> None:
    planted = lone_then_pooled()
    before = START + timedelta(hours=160)
    early = planted.table.filter(pc.less(planted.table["time"], pa.scalar(before)))
    assert [c.accounts for c in scan(early, planted.accounts).campaigns] == [("lone",)], "no alarm"
    check_prefixes(planted.table, planted.accounts, [160])


# --- framing ----------------------------------------------------------------------------------------------


def framed(
    model: str, agent: str | None = None, end_user: str | None = None, template: bool = True
) -> set[str]:
    """Return who is named if a bystander was first to use the pool's template, or its user agent."""
    crowd = Crowd(3)
    honest(crowd, 300, 10.0)
    rng = crowd.rng
    head, tail = sentence(rng, 9), sentence(rng, 7)
    for j in range(60):
        text = f"{head} {sentence(rng, 15)} {tail}" if template else sentence(rng, 15)
        crowd.says(
            "bystander",
            4 * j + rng.random(),
            text,
            model=model,
            temperature=0.3,
            max_tokens=512,
            status=200,
            user_agent=agent,
            end_user=end_user,
        )
    crowd.known.append({"account": "bystander", "payment": "own", "created": START - timedelta(days=300)})
    stock = [f"{head} | {tail}", f"{sentence(rng, 9)} | {sentence(rng, 7)}"]
    names = pool(crowd, "p", stock=stock if template else stock[1:])
    for row in crowd.rows:
        if row["account"] in names:
            row |= {"user_agent": agent, "end_user": end_user}
    result = scan(crowd.table(), crowd.accounts())
    assert len(named(result) & set(names)) >= 20, "the pool itself must be found"
    return named(result)


@pytest.mark.slow
@pytest.mark.parametrize("model", ["mira-small", "mira-think"])
def test_who_had_the_template_first_is_not_named(model: str) -> None:
    assert "bystander" not in framed(model)


@pytest.mark.slow
def test_who_shares_a_user_agent_and_an_end_user_is_not_named() -> None:
    assert "bystander" not in framed("mira-think", "okhttp/4.2", "boss", template=False)


# --- the same to the byte ---------------------------------------------------------------------------------


def files(folder: Path, table: pa.Table, accounts: pa.Table, group: int) -> tuple[Path, Path]:
    log, known = folder / "log.parquet", folder / "accounts.parquet"
    pq.write_table(table, log, row_group_size=group)
    pq.write_table(accounts, known)
    return log, known


@pytest.fixture(scope="module")
def small() -> Scene:
    return scene(1, people=200)


@pytest.mark.slow
def test_order_row_groups_and_threads_change_nothing(tmp_path: Path, small: Scene) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    log, known = files(tmp_path / "a", small.table, small.accounts, 100_000)
    order = np.random.default_rng(2).permutation(len(small.table))
    turned = small.accounts.take(pa.array(np.arange(len(small.accounts))[::-1]))
    log_b, known_b = files(tmp_path / "b", small.table.take(pa.array(order)), turned, 700)
    first = run([log], accounts=known, options=Options(threads=1))
    assert first.campaigns, "nothing to compare"
    assert texts(run([log], accounts=known, options=Options(threads=1))) == texts(first)
    assert texts(run([log_b], accounts=known_b, options=Options(threads=2))) == texts(first)


@pytest.mark.slow
def test_a_log_in_pieces_and_twice_is_the_same_log(tmp_path: Path, small: Scene) -> None:
    log, known = files(tmp_path, small.table, small.accounts, 3000)
    half = len(small.table) // 2
    pq.write_table(small.table.slice(half), tmp_path / "1.parquet")
    pq.write_table(small.table.slice(0, half), tmp_path / "2.parquet")
    once = texts(run([log], accounts=known))
    again = [tmp_path / "1.parquet", tmp_path / "2.parquet", log]
    assert texts(run(again, accounts=known)) == once


@pytest.mark.slow
def test_another_key_finds_the_same_pool(small: Scene, tmp_path: Path) -> None:
    """The output is not identical: the key decides which phrases of a text a sketch keeps."""
    log, known = files(tmp_path, small.table, small.accounts, 100_000)
    found = run([log], accounts=known, options=Options(key=b"another key of this deployment"))
    assert named(found) <= members(small)
    assert len(named(found)) >= 20


# --- short, bare and strange logs -------------------------------------------------------------------------


@pytest.mark.slow
def test_time_account_and_prompt_suffice(world: Scene, tmp_path: Path) -> None:
    bare = world.table.select(["time", "account", "prompt"])
    pq.write_table(bare, tmp_path / "bare.parquet")
    result = run([tmp_path / "bare.parquet"])
    said = " ".join(result.cannot_claim)
    for what in ("names no model", "No accounts table", "no status", "no output tokens"):
        assert what in said
    assert len(named(result) - members(world)) == 0
    assert result.scanned.exchanges == len(world.table)


def rows(many: int, hours: Callable[[int], float], account: Callable[[int], str]) -> pa.Table:
    crowd = Crowd(1)
    for k in range(many):
        crowd.says(account(k), hours(k))
    return crowd.table()


TINY = {
    "one row": rows(1, lambda k: 0, lambda k: "a"),
    "two rows": rows(2, float, lambda k: "a"),
    "one account": rows(400, lambda k: k / 4, lambda k: "a"),
    "one moment": rows(60, lambda k: 0, lambda k: f"a{k % 30}"),
    "many accounts once": rows(300, lambda k: k / 3, lambda k: f"a{k}"),
    "three days of nothing": rows(100, lambda k: k / 10 if k < 50 else 90 + k / 10, lambda k: f"a{k % 7}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("table", TINY.values(), ids=list(TINY))
def test_a_tiny_log_is_scanned_and_accuses_nobody(table: pa.Table) -> None:
    result = scan(table)
    assert result.campaigns == ()
    assert result.cannot_claim
    assert result.scanned.exchanges == len(table)
    texts(result)


@pytest.mark.slow
def test_the_same_prompt_from_everybody_at_once_is_no_campaign() -> None:
    crowd = Crowd(1)
    for k in range(200):
        crowd.says(f"a{k}", 1.0, "the same words from everybody at the same moment today")
    assert scan(crowd.table()).campaigns == ()


@pytest.mark.slow
@pytest.mark.parametrize(("theirs", "said"), [(0, "covers none of"), (2, "only 2 of"), (5, "")])
def test_an_accounts_table_that_names_others_is_said_to(theirs: int, said: str, tmp_path: Path) -> None:
    table = rows(60, float, lambda k: f"a{k % 10}")
    pq.write_table(table, tmp_path / "log.parquet")
    names = [f"a{k}" if k < theirs else f"A{k}" for k in range(10)]
    pq.write_table(pa.table({"account": names, "payment": ["card"] * 10}), tmp_path / "accounts.parquet")
    result = run([tmp_path / "log.parquet"], accounts=tmp_path / "accounts.parquet")
    told = [text for text in result.cannot_claim if "accounts table covers" in text]
    assert len(told) == bool(said)
    assert all(said in text for text in told)


@pytest.mark.slow
def test_where_there_is_too_little_it_says_so() -> None:
    said = " ".join(scan(TINY["one row"]).cannot_claim)
    for what in ("spans 0.0 days", "has 1 account.", "nothing could be grouped"):
        assert what in said


def test_no_exchange_at_all_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"time": "never", "account": "a", "prompt": "b"}\n')
    with pytest.raises(InputError, match=r"bad\.jsonl"):
        run([tmp_path / "bad.jsonl"])


@pytest.mark.slow
def test_a_refused_line_is_counted_and_the_rest_is_scanned(tmp_path: Path) -> None:
    good = [
        json.dumps({"time": f"2026-03-02T10:00:{k:02}Z", "account": "a", "prompt": f"hello {k}"})
        for k in range(30)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join([*good[:10], "{broken", *good[10:]]) + "\n")
    rejects = Rejects()
    result = run([tmp_path / "log.jsonl"], rejects=rejects)
    assert (result.scanned.exchanges, result.scanned.rejected) == (30, 1)
    assert "log.jsonl:11" in result.rejected_examples[0]


# --- permission, alternatives, harvest, limits, volume ----------------------------------------------------


@pytest.mark.slow
def test_a_permission_takes_the_case_away() -> None:
    allowed = scene(0, permissions=["synthetic_data"])
    result = scan(allowed.table, allowed.accounts)
    assert all(c.suppressed_by for c in result.campaigns if set(c.accounts) & members(allowed))
    kinds = {v.kind_of_use for v in result.accounts if v.account in members(allowed)}
    assert kinds == {"permitted_synthetic"}


@pytest.mark.slow
def test_a_permission_for_something_else_takes_nothing_away(world: Scene) -> None:
    held = scene(0, permissions=["zero_retention"])
    result = scan(held.table, held.accounts)
    assert any(set(c.accounts) & members(held) for c in result.campaigns)
    assert all(c.suppressed_by is None for c in result.campaigns)


def case(**columns: Any) -> tuple[Actor, ActorContext]:
    crowd = Crowd(2)
    honest(crowd, 60, 6.0)
    names = pool(crowd, "p", many=6, begin_day=2.0)
    for row in crowd.rows:
        if row["account"] in names:
            row |= {name: v(row) if callable(v) else v for name, v in columns.items()}
    return stage(crowd, names)


def test_end_users_are_counted_whether_or_not_all_are_named() -> None:
    for share, people in ((1.0, 5), (0.5, 5)):
        rng = random.Random(1)
        actor, world = case(
            end_user=lambda row, r=rng, s=share: f"u{r.randrange(5)}" if r.random() < s else None
        )
        told = {a.kind: a.text for a in alternatives(actor, world)}
        assert told["an application with people behind it"].startswith(f"{people} end users")


def test_alternatives_say_what_was_not_checked() -> None:
    actor, world = case()
    told = {a.kind: a.text for a in alternatives(actor, replace(world, known=None))}
    assert "not checked" in told["one organisation"]
    assert len({a.kind for a in alternatives(actor, world)}) == len(alternatives(actor, world)) >= 4


def test_programs_that_bring_defaults_are_looked_for_by_their_names() -> None:
    kind = "one program with its defaults"
    for agent, begins in (
        ("acme-tutor/3", "6 of 6 accounts mostly name acme-tutor as their program"),
        ("python-requests/2.31", "none of the 6 accounts names a product"),
        (None, "not checked: no name of a client's program was given"),
    ):
        actor, world = case(user_agent=agent)
        told = {a.kind: a.text for a in alternatives(replace(actor, p_settings=0.01), world)}
        assert told[kind].startswith(begins), told[kind]
    told = {a.kind: a.text for a in alternatives(replace(actor, p_settings=None), world)}
    assert told[kind].endswith("does not apply")


def _stolen(owners: str | None, thief: str = "192.0.2.1") -> str:
    """Return the check's text on six accounts, with or without an earlier day of their own work."""
    crowd = Crowd(2)
    honest(crowd, 20, 6.0)
    names = pool(crowd, "p", many=6, begin_day=2.0)
    mine = [row for row in crowd.rows if row["account"] in names]
    first = min(row["time"] for row in mine)
    for row in mine:
        row["client_ip"] = thief
    for k, name in enumerate(names if owners else ()):
        for i in range(8):
            row = crowd.rows[8 * k + i] | {"account": name, "exchange_id": f"own-{k}-{i}"}
            crowd.rows.append(row | {"time": first - timedelta(hours=20 - i), "client_ip": owners})
    actor, world = stage(crowd, names)
    since = actor.rows[world.log["ts_us"][actor.rows] >= first.timestamp() * 1e6]
    told = {a.kind: a.text for a in alternatives(replace(actor, rows=since), world)}
    return told["stolen keys of customers"]


@pytest.mark.slow
def test_stolen_keys_are_asked_for_by_what_accounts_did_before_and_from_where() -> None:
    assert _stolen(owners=None).startswith("none of the 6 accounts")
    assert _stolen(owners="198.51.100.7").startswith("6 of the 6 accounts")
    assert "; 6 of these sent" in _stolen(owners="198.51.100.7")
    assert "; 0 of these sent" in _stolen(owners="192.0.2.9")  # the same network


def test_the_harvest_counts_answers_and_what_is_new_in_them() -> None:
    crowd = Crowd(1)
    for k, (prompt, status, finish) in enumerate(
        [("a b c", 200, "stop"), ("a b c", 200, "stop"), ("d e f", 429, None), ("g h i", 200, "length")]
    ):
        crowd.says("x", k, prompt, status=status, finish_reason=finish, output_tokens=100)
    log = crowd.log()
    everything = np.arange(4)
    taken = harvest(log, everything)
    assert (taken.exchanges, taken.output_tokens, taken.value_tokens) == (3, 300, 150.0)
    assert harvest(log, everything, int(log["ts_us"][1])).exchanges == 1
    assert harvest(log, everything[:0]).exchanges == 0
    assert [h.exchanges for h in timeline(log, everything)] == [1, 1, 1]


def test_the_next_milestone_is_told_at_the_pace_of_the_last_day() -> None:
    crowd = Crowd(1)
    for k in range(480):
        crowd.says("x", k / 10, status=200)
    log = crowd.log()
    assert next_milestone(log, np.arange(480), 480) == (
        "1,000 exchanges (s1K) on 2026-03-06 at the pace of its last day"
    )
    crowd.says("y", 200, status=200)
    assert "stopped on 2026-03-03 23:54 UTC, before 1,000 (s1K)" in str(
        next_milestone(crowd.log(), np.arange(480), 480)
    )
    assert next_milestone(crowd.log(), np.arange(480), 900_000) is None


def test_a_hole_in_the_log_is_told() -> None:
    crowd = Crowd(1)
    for hour in range(24 * 6):
        if not 70 <= hour < 74:
            for k in range(40):
                crowd.says(f"a{k}", hour + k / 60, "x")
    ((begin, end, text),) = gaps(crowd.log())
    assert (end - begin) == 4 * 3_600_000_000
    assert begin == int((START + timedelta(hours=70)).timestamp()) * 1_000_000
    assert "160" in text


def test_volume_is_ranked_among_accounts_of_one_kind() -> None:
    table = pa.Table.from_pylist(
        [dict.fromkeys(SCHEMA.names) | {"account": k, "peak_day": k} for k in range(23)], SCHEMA
    )
    kinds = {k: KindOfUse(k, "chat" if k < 20 else "batch", 0.5, "") for k in range(23)}
    p = volume_p_values(table, kinds)
    assert p[19] == pytest.approx(1 / 20)
    assert p[0] == 1.0
    assert p[20:] == pytest.approx([3 / 23, 2 / 23, 1 / 23])  # too few batches: all accounts are the peers
    assert volume_p_values(table.slice(0, 0), {}) == []


# --- the sample that is shipped ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample() -> ScanResult:
    return run([SAMPLE / "exchanges.parquet"], accounts=SAMPLE / "accounts.parquet")


@pytest.mark.slow
def test_the_sample_is_solved(sample: ScanResult) -> None:
    result = score(findings_json(sample), SAMPLE, evidence=evidence_json(sample))
    assert (result.campaigns, result.half_named) == (4, 4)
    assert result.false_cases == 0
    assert result.named_accounts >= 0.5 * result.campaign_accounts
    assert result.honest_in_true_findings <= 0.01 * result.named_accounts


@pytest.mark.slow
def test_in_the_sample_too_an_alarm_depends_on_what_came_before_alone() -> None:
    table = pq.read_table(SAMPLE / "exchanges.parquet")
    given = {f.name: table[f.name].cast(f.type) for f in RECORD if f.name in table.column_names}
    table = pa.table([given.get(f.name, pa.nulls(len(table), f.type)) for f in RECORD], schema=RECORD)
    accounts = pq.read_table(SAMPLE / "accounts.parquet").select(ACCOUNTS.names)
    check_prefixes(table, accounts, [212, 240, 264, 300])


# --- one hand or one client -------------------------------------------------------------------------------


def release(crowd: Crowd, many: int, stick: float, agent: str, own: bool = True, **record: Any) -> set[str]:
    """Unrelated customers of one new program with its wording, limit and temperature, mostly its model."""
    rng = crowd.rng
    lead, names = sentence(rng, 14), set()
    shared = rng.sample(WORDS, 400)
    for k in range(many):
        account = f"customer{k:03}"
        names.add(account)
        model = "mira-large" if rng.random() < stick else rng.choice(MODELS)
        vocabulary = rng.sample(WORDS, 90) if own else shared
        start = 5.5 + rng.expovariate(1 / 1.2)
        for _ in range(max(4, int(rng.lognormvariate(2.6, 0.7)))):
            day = start + rng.expovariate(1 / 2.0)
            if day < 13.9:
                text = " ".join(rng.choice(vocabulary) for _ in range(rng.randint(15, 40)))
                crowd.says(
                    account, 24 * day, f"{lead} {text}", model=model, temperature=0.0, max_tokens=8192,
                    status=200, output_tokens=300, user_agent=agent, client_ip=f"81.2.{k}.7",
                )  # fmt: skip
        created = START - timedelta(days=rng.uniform(20, 500))
        crowd.known.append({"account": account, "payment": f"card{k}", "created": created} | record)
    return names


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["notequiz/1.0", "openai-node/6.2.0", None])
@pytest.mark.parametrize("stick", [0.6, 1.0])
def test_customers_of_one_program_are_not_named(stick: float, agent: str | None) -> None:
    crowd = Crowd(12)
    honest(crowd, 300, 14.0)
    members = set(pool(crowd, "p", begin_day=7.0))
    customers = release(crowd, 60, stick, agent)
    result = scan(crowd.table(), crowd.accounts())
    assert not named(result) & customers
    assert len(named(result) & members) >= 36


@pytest.mark.slow
def test_where_content_cannot_tell_a_shared_program_or_payer_stays_a_lead() -> None:
    """Customers whose texts come from one pool: only provider-observed facts can exonerate them."""
    for agent, record, why in (
        ("notequiz/1.0", {}, "run notequiz, whose defaults"),
        ("openai-node/6.2.0", {"email_domain": "cs.uni.ac.at"}, "teaching institutions"),
        ("openai-node/6.2.0", {"payment": "sponsor"}, "one payment instrument"),
    ):
        crowd = Crowd(13)
        honest(crowd, 300, 14.0)
        customers = release(crowd, 60, 1.0, agent, own=False, **record)
        result = scan(crowd.table(), crowd.accounts())
        assert not named(result) & customers
        (lead,) = [lead for lead in result.leads if set(lead.accounts) & customers]
        assert lead.hands == "one"
        assert why in lead.text
        assert len(lead.accounts) >= 30


def viewers(crowd: Crowd, many: int, coming_back: float) -> set[str]:
    """Viewers of a show try a prompt: two or three times that evening, some on later days as well."""
    rng = crowd.rng
    lead, words = sentence(rng, 14), rng.sample(WORDS, 60)
    names = {f"viewer{k:03}" for k in range(many)}
    for k, name in enumerate(sorted(names)):
        began = 24 * 6.8 + rng.expovariate(1 / 1.2)
        hours = [began + rng.uniform(0, 4) for _ in range(rng.randint(2, 3))]
        if rng.random() < coming_back:
            hours += [began + rng.uniform(16, 100) for _ in range(rng.randint(2, 4))]
        for hour in hours:
            text = " ".join(rng.choice(words) for _ in range(8))
            crowd.says(
                name, hour, f"{lead} {text}", model="mira-large", temperature=0.7, max_tokens=1024,
                status=200, output_tokens=300, user_agent="Mozilla/5.0", client_ip=f"81.2.{k}.7",
            )  # fmt: skip
        signed_up = START + timedelta(hours=began - 1)
        crowd.known.append({"account": name, "payment": f"card{k}", "created": signed_up})
    return names


@pytest.mark.slow
@pytest.mark.parametrize("coming_back", [0.0, 0.1])
def test_viewers_who_try_what_a_show_tells_them_are_not_named(
    coming_back: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd = Crowd(14)
    honest(crowd, 300, 14.0)
    members = set(pool(crowd, "p", begin_day=7.0))
    audience = viewers(crowd, 150, coming_back)
    result = scan(crowd.table(), crowd.accounts())
    assert not named(result) & audience
    assert any("a viral prompt" in lead.text and set(lead.accounts) & audience for lead in result.leads)
    assert len(named(result) & members) >= 36
    monkeypatch.setattr("stillwatch.scan.watch.viral_prompt", lambda *_: "")
    assert named(scan(crowd.table(), crowd.accounts())) & audience, "what else would have spoken for them?"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("days", "record", "tables", "system", "found"),
    [
        (2.5, {"payment": None}, 1, None, False),
        (2.5, {"payment": None}, 12, None, False),
        (6.0, {"payment": None}, 1, None, True),
        (2.5, {}, 1, None, True),
        (2.5, {"payment": None}, 0, None, True),
        (6.0, {}, 3, 3320, False),
        (6.0, {}, 3, 24940, True),
        (6.0, {}, 0, 3320, True),
    ],
    ids=[
        "an event",
        "teams at tables",
        "it goes on",
        "they pay",
        "from many networks",
        "an office",
        "rented servers",
        "homes",
    ],
)
def test_people_who_openly_sit_together_are_a_lead(
    days: float, record: dict[str, Any], tables: int, system: int | None, found: bool
) -> None:
    """A hackathon, an office, and a pool that resembles one until it pays, moves, stays or hides."""
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    members = set(pool(crowd, "hall", begin_day=7.0, days=days, **record))
    table = {name: k % tables for k, name in enumerate(sorted(members)) if tables}
    for row in crowd.rows:
        if row["account"] in members:
            row["asn"] = system
        if row["account"] in table:
            row["client_ip"] = f"198.51.{table[row['account']]}.7"
    result = scan(crowd.table(), crowd.accounts())
    if found:
        assert len(named(result) & members) >= 0.8 * len(members)
    else:
        assert not named(result) & members
        assert any("no hidden pool" in lead.text for lead in result.leads if members & set(lead.accounts))


@pytest.mark.slow
@pytest.mark.parametrize(("in_office", "named_elsewhere"), [(14, True), (26, False)])
def test_a_pool_half_of_which_sits_in_one_office_hides_the_rest(
    in_office: int, named_elsewhere: bool
) -> None:
    """The informed adversary of docs/evidence.md: an office of fewer than half hides only itself."""
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    members = sorted(pool(crowd, "p", begin_day=7.0, days=6.0))
    office, elsewhere = set(members[:in_office]), set(members[in_office:])
    for row in crowd.rows:
        if row["account"] in members:
            row["asn"] = 3320
        if row["account"] in office:
            row["client_ip"] = "198.51.100.7"
    result = scan(crowd.table(), crowd.accounts())
    assert not named(result) & office
    assert (len(named(result) & elsewhere) >= 0.8 * len(elsewhere)) is named_elsewhere
    assert named_elsewhere or any(elsewhere & set(lead.accounts) for lead in result.leads)


@pytest.mark.slow
def test_colleagues_who_share_their_firms_card_are_customers_of_one_program_still() -> None:
    """Six newsrooms of ten accounts with one program and one news agency: six unrelated parties."""
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    customers = release(crowd, 60, 1.0, "notequiz/1.0", own=False)
    for row in crowd.known[-60:]:
        firm = int(row["account"][-3:]) % 6
        row |= {"org": f"newsroom{firm}", "payment": f"newsroom-card{firm}"}
    assert not named(scan(crowd.table(), crowd.accounts())) & customers


@pytest.mark.slow
def test_a_lead_keeps_its_id_while_it_grows() -> None:
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    customers = release(crowd, 60, 1.0, "notequiz/1.0", own=False)
    table, found = crowd.table(), []
    for day in (8.0, 14.0):
        until = pa.scalar(START + timedelta(days=day), RECORD.field("time").type)
        leads = scan(table.filter(pc.less(table["time"], until)), crowd.accounts()).leads
        assert len({lead.id for lead in leads}) == len(leads)
        found += [lead for lead in leads if set(lead.accounts) & customers]
    early, late = found
    assert early.id == late.id
    assert early.id.startswith("lead-")
    assert early.since == late.since
    assert len(early.accounts) < len(late.accounts)


@pytest.mark.slow
@pytest.mark.parametrize("moves", [True, False])
def test_users_of_one_program_are_a_lead_and_a_finding_where_their_refused_work_moves(moves: bool) -> None:
    """What one account is refused, another account sends two minutes later, or the same account does."""
    crowd = Crowd(13)
    honest(crowd, 300, 14.0)
    customers = release(crowd, 60, 1.0, "notequiz/1.0", own=False)
    rng = random.Random(5)
    for row in [row for row in crowd.rows if row["account"] in customers and rng.random() < 0.05]:
        row["status"] = 429
        hour = (row["time"] - START) / timedelta(hours=1) + 2 / 60
        other = rng.choice(sorted(customers - {row["account"]})) if moves else row["account"]
        same = {k: v for k, v in row.items() if k not in ("exchange_id", "time", "account", "prompt")}
        crowd.says(other, hour, row["prompt"], **same | {"status": 200})
    result = scan(crowd.table(), crowd.accounts())
    leads = [lead for lead in result.leads if set(lead.accounts) & customers]
    if moves:
        (case,) = result.campaigns
        assert set(case.accounts) == set(case.own_reactions) <= customers  # only those that took part
        assert len(case.accounts) > len(customers) / 2
        assert not leads
    else:
        assert not named(result) & customers
        (lead,) = leads
        assert "run notequiz, whose defaults" in lead.text
        assert "refused texts" not in lead.text


@pytest.mark.slow
def test_cheap_requests_to_other_models_hide_no_pool() -> None:
    """The commonest model is counted by tokens: 1.3 short requests to others per wanted one are harmless."""
    crowd = Crowd(14)
    honest(crowd, 300, 10.0)
    members = set(pool(crowd, "p"))
    for row in [row for row in crowd.rows if row["account"] in members]:
        for k in range(2 if crowd.rng.random() < 0.3 else 1):
            hour = (row["time"] - START) / timedelta(hours=1) + 0.01 * (k + 1)
            mask = {"model": "mira-mini", "output_tokens": 15}
            copied = {k: v for k, v in row.items() if k not in ("exchange_id", "time", "account", "prompt")}
            crowd.says(row["account"], hour, row["prompt"], **copied | mask)
    assert len(named(scan(crowd.table(), crowd.accounts())) & members) >= 36
