"""Honest crowds that follow software: what its vendor fixes, how it spreads, and people's own style."""

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from stillwatch.errors import InputError
from stillwatch.range import compose
from stillwatch.range.compose import calibration_log, compose_scene, honest_side, make_crowds
from stillwatch.range.people.customers import NEW_MODEL, customers
from stillwatch.range.people.selves import OwnTexts
from stillwatch.range.people.software import CROWD_KINDS, DEFAULTS, Software, releases
from stillwatch.range.population import HonestPopulation
from stillwatch.range.scenes import Scene, parse_scene, read_scene, stock_digest

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
SCENE = """
name = "small"
seeds = [1, 2]
[population]
accounts = 40
exchanges = 400
[[crowd]]
name = "Treadle"
kind = "coding_agent"
accounts = 12
[[crowd]]
name = "Notewright"
kind = "plugin"
accounts = 15
"""


@cache
def made(software: Software, seed: int = 1) -> HonestPopulation:
    return customers(software, 14, BEGIN, 9.4, np.random.default_rng(seed))


def program(kind: str, **changes: object) -> Software:
    return replace(DEFAULTS[kind], **{"name": "Thing", "accounts": 80, **changes})


def day_of(row: dict) -> float:
    return (row["time"] - BEGIN).total_seconds() / 86400


def rows(people: HonestPopulation) -> list[dict]:
    return people.exchanges.to_pylist()


def by_account(people: HonestPopulation) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for row in rows(people):
        found.setdefault(row["account"], []).append(row)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", CROWD_KINDS)
def test_so_many_customers_keep_each_default(kind: str) -> None:
    software = program(kind, accounts=400, exchanges=4.0, new_model=0.0)
    first = [some[0] for some in by_account(made(software)).values()]
    n = len(first)
    for column, default, share in (
        ("model", software.model, software.keep_model),
        ("max_tokens", software.max_tokens, software.keep_max_tokens),
        ("temperature", software.temperature, software.keep_temperature),
    ):
        kept = sum(row[column] == pytest.approx(default) for row in first)
        assert abs(kept / n - share) < 4 * (share * (1 - share) / n) ** 0.5 + 0.01, column


def test_the_defaults_are_those_of_public_clients() -> None:
    agent, plugin, harness = (DEFAULTS[k] for k in ("coding_agent", "plugin", "evaluation"))
    assert (agent.temperature, agent.max_tokens) == (0.0, 8192)
    assert (plugin.temperature, plugin.max_tokens) == (0.7, 1000)
    assert (harness.temperature, harness.max_tokens) == (0.0, 256)
    for kind, software in DEFAULTS.items():
        if kind != "reseller":  # its buyers are people who choose
            assert 0.6 <= software.keep_model <= 0.98


@pytest.mark.slow
def test_a_release_spreads_over_its_customers_within_days() -> None:
    software = program("plugin", released=6.0, adoption_days=2.0, exchanges=30.0)
    first = sorted(min(map(day_of, some)) for some in by_account(made(software)).values())
    assert first[0] >= 6.0
    assert 6.5 < np.median(first) < 9.5  # installed, and then used
    assert len(first) > 65


@pytest.mark.slow
def test_a_long_installed_base_is_there_from_the_first_day_with_accounts_from_before() -> None:
    software = program("coding_agent", growth=0.0)
    people = made(software)
    first = sorted(min(map(day_of, some)) for some in by_account(people).values())
    assert first[len(first) // 4] < 2.0
    assert all(row["created"] < BEGIN for row in people.accounts.to_pylist())
    grown = made(program("coding_agent", growth=1.0))
    late = [min(map(day_of, some)) for some in by_account(grown).values()]
    assert np.median(late) > 5


@pytest.mark.slow
def test_an_update_reaches_most_within_days_and_changes_the_text() -> None:
    software = program("coding_agent", updates=(5.0,), update_days=1.0)
    old, new = (release.system for release in releases(software))
    assert old != new
    people = rows(made(software))
    assert {row["system"] for row in people if day_of(row) < 5.0} == {old}
    late = Counter(row["system"] for row in people if day_of(row) > 10.0)
    assert set(late) == {old, new}  # some users never update
    assert late[new] > 5 * late[old]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plugin", "coding_agent", "class", "evaluation"])
def test_customers_have_nothing_else_in_common(kind: str) -> None:
    people = made(program(kind))
    about = people.accounts.to_pylist()
    cards = [row["payment"] for row in about if row["payment"]]
    assert len(set(cards)) == len(cards)
    orgs = [row["org"] for row in about if row["org"]]
    assert len(set(orgs)) == len(orgs)
    assert not any(row["permissions"] for row in about)
    if kind == "class":
        assert len({row["email_domain"] for row in about}) == 1
        created = [row["created"] for row in about]
        assert (max(created) - min(created)).days <= 5
    else:
        networks = Counter(row["client_ip"] for row in {r["account"]: r for r in rows(people)}.values())
        assert max(networks.values()) <= 2


def shingles(text: str, wide: int = 6) -> set[tuple[str, ...]]:
    words = text.split()
    return {tuple(words[i : i + wide]) for i in range(len(words) - wide + 1)}


@pytest.mark.slow
def test_what_customers_share_is_the_programs_wording_alone() -> None:
    software = program("plugin", accounts=40, exchanges=20.0)
    wording = releases(software)[0].wording.replace("{q}", "")
    own = {
        account: set().union(*(shingles(row["prompt"].removeprefix(wording)) for row in some))
        for account, some in by_account(made(software)).items()
    }
    sizes = [len(a & b) / max(1, min(len(a), len(b))) for a, b in combinations(own.values(), 2)]
    assert np.mean(sizes) < 0.001
    assert all(row["prompt"].startswith(wording) for row in rows(made(software)))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plugin", "coding_agent"])
def test_people_have_a_self(kind: str) -> None:
    """Requests of one account have more words in common than requests of two accounts."""
    people = by_account(made(program(kind, accounts=40, exchanges=20.0)))
    texts = {
        account: [set(re.findall(r"[a-z]{4,}", row["prompt"])) for row in some]
        for account, some in people.items()
        if len(some) >= 4
    }
    users = Counter(word for some in texts.values() for word in set().union(*some))
    fixed = {word for word, n in users.items() if n > 0.2 * len(texts)}
    texts = {account: [words - fixed for words in some] for account, some in texts.items()}

    def alike(a: set[str], b: set[str]) -> float:
        return len(a & b) / max(1, min(len(a), len(b)))

    own = [alike(some[0], some[-1]) for some in texts.values()]
    names = sorted(texts)
    other = [alike(texts[a][0], texts[b][-1]) for a, b in pairwise(names)]
    assert np.mean(own) > 2 * np.mean(other)


@pytest.mark.slow
def test_a_class_has_one_assignment_at_a_time() -> None:
    software = program("class", accounts=60, exchanges=20.0, released=0.0, updates=(7.0,))
    people = rows(made(software))
    lines = Counter(line for row in people if day_of(row) < 7 for line in row["prompt"].split("\n")[:3])
    shared = [line for line, n in lines.items() if n > 10]
    assert 3 <= len(shared) <= 4
    later = {line for row in people if day_of(row) >= 7 for line in row["prompt"].split("\n")[:3]}
    assert not set(shared) & later


@pytest.mark.slow
def test_most_harnesses_try_the_new_model_when_it_comes_out() -> None:
    people = by_account(made(program("evaluation", accounts=120, growth=0.0)))
    tried = [some for some in people.values() if any(row["model"] == NEW_MODEL for row in some)]
    assert 0.6 < len(tried) / len(people) < 0.9
    first = [min(day_of(row) for row in some if row["model"] == NEW_MODEL) for some in tried]
    assert min(first) >= 9.4
    assert np.median(first) < 10.4


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["agency", "annotation", "saas"])
def test_teams_are_one_organisation_on_one_card(kind: str) -> None:
    people = made(program(kind, accounts=20))
    about = people.accounts.to_pylist()
    assert len({row["org"] for row in about}) == 1
    assert len({row["payment"] for row in about}) == 1
    addresses = {row["client_ip"] for row in rows(people)}
    assert (len(addresses) <= 2) == (kind != "annotation")


@pytest.mark.slow
def test_a_resellers_customers_are_dealt_over_accounts_on_one_card() -> None:
    people = made(program("reseller", accounts=20))
    about = people.accounts.to_pylist()
    assert {row["org"] for row in about} == {None}
    assert len({row["payment"] for row in about}) == 1
    assert len({row["email_domain"] for row in about}) > 1
    assert len({row["system"] for row in rows(people)}) == 1
    models = [len({row["model"] for row in some}) for some in by_account(people).values()]
    assert np.median(models) >= 3  # the customers choose


@pytest.mark.slow
def test_a_product_names_its_many_end_users() -> None:
    people = made(program("saas", accounts=4, exchanges=300.0))
    assert len({row["org"] for row in people.accounts.to_pylist()}) == 1
    for some in by_account(people).values():
        users = Counter(row["end_user"] for row in some)
        assert None not in users
        assert 20 <= len(users) <= 60


def test_annotators_share_one_queue_and_no_item() -> None:
    people = rows(made(program("annotation", accounts=20)))
    assert len({row["system"] for row in people}) == 1
    items = Counter(row["prompt"] for row in people)
    assert items.most_common(1)[0][1] <= 2  # a stock contains a sentence twice now and then
    assert len({row["account"] for row in people}) == 20
    assert min(map(day_of, people)) >= 7.8


@pytest.mark.slow
def test_a_coding_agents_sessions_are_conversations_with_tools() -> None:
    people = made(program("coding_agent", accounts=20))
    talks: dict[str, list[dict]] = {}
    for row in rows(people):
        talks.setdefault(row["conversation"], []).append(row)
    assert max(map(len, talks.values())) > 4
    for talk in talks.values():
        turns = sorted(row["turn"] for row in talk)
        assert turns == list(range(1, len(turns) + 1))
        assert len({row["account"] for row in talk}) == 1
    assert {row["tools"] for row in rows(people)} == {8}


@pytest.mark.slow
def test_crowds_are_the_same_again_and_strangers_with_another_seed() -> None:
    scene = parse_scene(SCENE)
    one, again = (honest_side(scene, 1).people for _ in range(2))
    assert one.exchanges.equals(again.exchanges)
    assert one.accounts.equals(again.accounts)
    other = honest_side(scene, 2).people
    names = [set(p.truth["account"].to_pylist()) for p in (one, other)]
    assert not names[0] & names[1]
    kinds = Counter(one.truth["kind"].to_pylist())
    assert kinds["coding_agent"] == 12
    assert 10 <= kinds["plugin"] <= 15


@pytest.mark.slow
def test_thresholds_are_set_on_other_customers_of_the_same_programs() -> None:
    scene = parse_scene(SCENE)
    scored = honest_side(scene, 1).people
    other = calibration_log(scene, 1)
    assert not set(scored.truth["account"].to_pylist()) & set(other.accounts["account"].to_pylist())
    systems = [set(t["system"].to_pylist()) for t in (scored.exchanges, other.exchanges)]
    (treadle,) = (crowd for crowd in scene.crowds if crowd.name == "Treadle")
    assert all({release.system for release in releases(treadle)} & some for some in systems)


@pytest.mark.slow
def test_crowds_stand_beside_redrawn_people_on_their_calendar(tmp_path: Path) -> None:
    text = SCENE.replace("accounts = 40\nexchanges = 400", 'base = "sample"')
    folder = compose_scene(parse_scene(text), 1, tmp_path)
    log = pq.read_table(folder / "exchanges.parquet")
    truth = {row["account"]: row["kind"] for row in pq.read_table(folder / "truth.parquet").to_pylist()}
    assert {"plugin", "coding_agent", "chat"} <= set(truth.values())
    days = {str(moment)[:10] for moment in log["time"].to_pylist()}
    assert len(days) == 14
    assert len(set(log["exchange_id"].to_pylist())) == len(log)


AUTHORS = pa.table(
    {
        "project": ["p"] * 60,
        "author": [f"a{n // 10}" for n in range(60)],
        "time": [datetime(2020, 1, 1 + n // 10, n % 10, tzinfo=UTC) for n in range(60)],
        "text": [f"author {n // 10} wrote the remarkable line {n}" for n in range(60)],
        "files": [[f"src/a{n // 10}.py"] for n in range(60)],
        "licence": ["MIT"] * 60,
    }
)


@pytest.mark.slow
def test_real_peoples_texts_are_for_local_use_and_disjoint_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = parse_scene(SCENE.replace('kind = "plugin"', 'kind = "plugin"\ntexts = "authors"'))
    monkeypatch.delenv("STILLWATCH_RANGE", raising=False)
    with pytest.raises(InputError, match=r"set STILLWATCH_RANGE.*local use"):
        honest_side(scene, 1)
    (tmp_path / "corpora").mkdir()
    pq.write_table(AUTHORS, tmp_path / "corpora" / "authors.parquet")
    monkeypatch.setenv("STILLWATCH_RANGE", str(tmp_path))
    before = stock_digest(scene)

    def whose(seed: int, *, calibrates: bool = False) -> set[str]:
        beside = honest_side(parse_scene(SCENE), 1).people
        prompts = make_crowds(scene, seed, beside, calibrates=calibrates)[1].exchanges["prompt"].to_pylist()
        return {f"a{n}" for n in range(6) for prompt in prompts if f"author {n} wrote" in prompt}

    one, two, three = whose(1), whose(2), whose(9, calibrates=True)
    assert one
    assert two
    assert not one & two
    assert not (one | two) & three
    pq.write_table(AUTHORS.slice(10), tmp_path / "corpora" / "authors.parquet")
    assert stock_digest(scene) != before


def test_a_person_of_words_alone_repeats_themselves_and_nobody_else() -> None:
    texts = [OwnTexts(np.random.default_rng(seed)) for seed in (1, 2)]
    words = [set(" ".join(one.request() for _ in range(60)).lower().split()) for one in texts]
    assert len(words[0] & words[1]) < 0.35 * min(map(len, words))
    assert not set(texts[0].files) & set(texts[1].files)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('kind = "plug"', "s.toml:8: crowd.kind: 'plug'"),
        ("keep_model = 1.2", "s.toml:9: crowd.keep_model"),
        ("temperature = -0.5", "s.toml:9: crowd.temperature: -0.5 is no temperature"),
        ('wording = "no place"', "s.toml:9: crowd.wording: has no place for the customer's text"),
        ("updates = [5, 3]", "s.toml:9: crowd.updates: "),
        ("updates = [50]", "s.toml:9: crowd.updates: "),
        ("acounts = 3", "s.toml:9: crowd.acounts: unknown key"),
        ('texts = "borrowed"', "s.toml:9: crowd.texts"),
        ("released = 99", "s.toml:9: crowd.released"),
        ('[[crowd]]\nname = "x"\nkind = "plugin"', "'x' is taken; give each crowd its own"),
    ],
)
def test_a_crowd_that_will_not_do_is_refused_with_its_line(line: str, says: str) -> None:
    start = 'name = "s"\n\n[population]\naccounts = 20\n\n[[crowd]]\nname = "x"\n'
    text = start + (line if line.startswith("kind") else f'kind = "plugin"\n{line}') + "\n"
    with pytest.raises(InputError) as refused:
        parse_scene(text, "s.toml")
    assert says in str(refused.value)


def test_settings_of_a_crowd_that_are_not_sent() -> None:
    scene = parse_scene(
        'name = "s"\n[[crowd]]\nname = "x"\nkind = "plugin"\nmax_tokens = 0\ntemperature = -1\n'
    )
    assert (scene.crowds[0].max_tokens, scene.crowds[0].temperature) == (None, None)
    assert (
        parse_scene('name = "s"\n[[crowd]]\nname = "x"\nkind = "plugin"\ntemperature = 0\n')
        .crowds[0]
        .temperature
        == 0.0
    )


def test_software_pool_is_software_quiet_with_a_pool() -> None:
    quiet, pool = read_scene("software-quiet"), read_scene("software-pool")
    assert quiet.crowds == pool.crowds
    assert quiet.people == pool.people
    assert {crowd.kind for crowd in quiet.crowds} == {"plugin", "coding_agent", "class", "evaluation"}
    assert isinstance(quiet, Scene)
    assert quiet.campaigns == ()
    assert [plan.accounts for plan in pool.plans] == [60]


@pytest.mark.slow
def test_a_streamed_scene_has_the_same_crowds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = parse_scene(SCENE)
    whole = compose_scene(scene, 1, tmp_path / "whole")
    monkeypatch.setattr(compose, "LARGE", 100)
    streamed = compose_scene(scene, 1, tmp_path / "streamed")
    for name in ("exchanges", "accounts", "truth"):
        one, other = (pq.read_table(folder / f"{name}.parquet") for folder in (whole, streamed))
        assert one.equals(other), name
