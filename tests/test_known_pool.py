"""Known pools: exchanges that use an item, whether a set is dealt or chosen from, and a scan's statements."""

import gzip
import json
import random
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

import stillwatch as sw
from scan_world import START, Crowd, habits, sentence, words
from stillwatch.cli.main import app
from stillwatch.errors import InputError
from stillwatch.exchanges.known_pool import KnownPool, read_pool, sketch_pool, texts_of
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.report.findings import load, schema
from stillwatch.stats.cover import cover

SKETCHER = Sketcher()
ITEMS = 400


def items(many: int = ITEMS, seed: int = 3) -> list[str]:
    rng = random.Random(seed)
    return [sentence(rng, rng.randint(12, 30)) for _ in range(many)]


def items_asked(pool: KnownPool, texts: list[str]) -> np.ndarray:
    return pool.items_of(SKETCHER(pa.array(texts, pa.large_string())).phrases)


# --- which exchanges ask an item --------------------------------------------------------------------------


@pytest.mark.slow
def test_an_item_is_found_bare_and_in_any_wrapper() -> None:
    texts = items()
    pool = sketch_pool(texts, SKETCHER, "set")
    assert len(pool) == ITEMS
    bare = items_asked(pool, texts)
    assert sorted(bare.tolist()) == list(range(ITEMS))
    rng = random.Random(1)
    wrapped = [f"{sentence(rng, 9)}:\n\n{text.upper()} -- {sentence(rng, 5)}" for text in texts]
    found = items_asked(pool, wrapped)
    assert (found == bare).mean() > 0.9
    assert set(found[found != bare]) <= {-1}  # may be missed, never confused


def test_other_texts_ask_nothing_even_in_the_set_s_own_template() -> None:
    lead = sentence(random.Random(8), 14)
    pool = sketch_pool([f"{lead} {text}" for text in items()], SKETCHER, "set")
    others = [f"{lead} {text}" for text in items(2_000, seed=77)]
    assert (items_asked(pool, others) >= 0).sum() == 0
    assert (items_asked(pool, items(2_000, seed=78)) >= 0).sum() == 0


def test_items_that_differ_in_numbers_are_one_and_short_texts_are_none() -> None:
    texts = [f"a train leaves at {k} and takes {k + 2} hours for the way home" for k in range(50)]
    pool = sketch_pool([*texts, "yes", "", "go on"], SKETCHER, "set")
    assert (len(pool), pool.texts, pool.short, pool.alike) == (1, 53, 3, 49)


def test_part_of_an_item_is_another_text() -> None:
    """A text without one of the item's first shingles does not contain the item."""
    texts = items()
    pool = sketch_pool(texts, SKETCHER, "set")
    halves = [" ".join(text.split()[: len(text.split()) // 2]) for text in texts]
    assert (items_asked(pool, halves) >= 0).mean() < 0.15


def test_the_order_of_a_set_changes_nothing() -> None:
    texts = items()
    a, b = sketch_pool(texts, SKETCHER, "set"), sketch_pool(texts[::-1] + texts, SKETCHER, "set")
    assert (a.phrases == b.phrases).all()
    assert (a.rarest == b.rarest).all()
    assert (a.needed == b.needed).all()


def test_an_empty_set_and_an_empty_log() -> None:
    nothing = sketch_pool([], SKETCHER, "none")
    assert items_asked(nothing, ["a b c d e f g h"]).tolist() == [-1]
    assert items_asked(sketch_pool(items(), SKETCHER, "set"), [""]).tolist() == [-1]
    assert cover(np.zeros(0, np.int64), np.zeros(0, np.int64), 10).p_value == 1.0


# --- files ------------------------------------------------------------------------------------------------


def test_a_pool_s_file_is_read_back(tmp_path: Path) -> None:
    pool = sketch_pool(items(), SKETCHER, "sums")
    pool.write(tmp_path / "a.pool")
    back = read_pool(tmp_path / "a.pool", SKETCHER)
    assert (back.name, back.training, len(back), back.texts) == ("sums", False, len(pool), pool.texts)
    assert (items_asked(back, items()) == items_asked(pool, items())).all()


def test_what_is_no_pool_or_has_another_key_is_refused(tmp_path: Path) -> None:
    sketch_pool(items(9), SKETCHER, "sums").write(tmp_path / "a.pool")
    with pytest.raises(InputError, match="another key than this log"):
        read_pool(tmp_path / "a.pool", Sketcher(b"another key of sixteen bytes"))
    with pytest.raises(InputError, match="stillwatch pool TEXTS --out"):
        read_pool(tmp_path / "b.pool", SKETCHER)
    pq.write_table(pa.table({"x": [1]}), tmp_path / "c.pool")
    (tmp_path / "d.pool").write_text("nothing")
    for name in ("c.pool", "d.pool"):
        with pytest.raises(InputError, match="no known pool"):
            read_pool(tmp_path / name, SKETCHER)


_TALKS = (
    '{"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "one two"}]}',
    '{"messages": [{"from": "human", "value": "three four"}, {"from": "gpt", "value": "no"}]}',
)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("a.txt", "one two\nthree four\n"),
        ("a.jsonl", '{"problem": "one two"}\n\n{"problem": "three four"}\n'),
        ("a.json", '[{"instruction": "one two"}, {"instruction": "three four"}]'),
        ("a.json", '["one two", "three four"]'),
        ("a.csv", "label,text\nx,one two\ny,three four\n"),
        ("a.jsonl", f"{_TALKS[0]}\n{_TALKS[1]}\n"),
    ],
)
def test_texts_of_every_kind_of_file(name: str, body: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(body)
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(body.encode()))
    assert list(texts_of(tmp_path / name)) == ["one two", "three four"]
    assert list(texts_of(tmp_path / f"{name}.gz")) == ["one two", "three four"]


def test_texts_of_parquet_and_of_several_columns(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"instruction": ["add", "say"], "input": ["1 and 2", None]}), tmp_path / "a.parquet"
    )
    assert list(texts_of(tmp_path / "a.parquet", ["instruction", "input"])) == ["add\n1 and 2", "say"]


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("a.xlsx", "x", "right would be"),
        ("a.jsonl", '{"q": 1}\n', "has no column 'prompt'; say which"),
        ("a.jsonl", "{]\n", "cannot be read as jsonl"),
        ("a.jsonl", "7\n", "neither a text nor an object"),
        ("a.parquet", "x", "cannot be read as parquet"),
    ],
)
def test_files_that_hold_no_prompts(name: str, body: str, why: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(body)
    with pytest.raises(InputError, match=why):
        list(texts_of(tmp_path / name))


# --- dealt or chosen --------------------------------------------------------------------------------------

SIZE, EACH, PEOPLE = 1_000, 25, 16


def _mixed(draws: list[np.ndarray], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    account = np.repeat(np.arange(len(draws)), [len(one) for one in draws])
    order = rng.permutation(len(account))
    return account[order], np.concatenate(draws)[order]


def evenly(rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.choice(SIZE, EACH, replace=False) for _ in range(PEOPLE)]


def by_popularity(rng: np.random.Generator) -> list[np.ndarray]:
    chance = 1 / np.arange(1, SIZE + 1)
    return [rng.choice(SIZE, EACH, replace=False, p=chance / chance.sum()) for _ in range(PEOPLE)]


def from_the_beginning(rng: np.random.Generator) -> list[np.ndarray]:
    return [np.arange(rng.integers(5, 60)) for _ in range(PEOPLE)]


def a_leaderboard(rng: np.random.Generator) -> list[np.ndarray]:
    """Some run all of it, most a sample."""
    return [rng.choice(SIZE, SIZE if k < 3 else EACH, replace=False) for k in range(PEOPLE)]


@pytest.mark.slow
@pytest.mark.parametrize("crowd", [evenly, by_popularity, from_the_beginning, a_leaderboard])
def test_people_who_choose_by_themselves_are_rarely_a_queue(
    crowd: Callable[[np.random.Generator], list[np.ndarray]],
) -> None:
    rng = np.random.default_rng(5)
    p_values = np.array([cover(*_mixed(crowd(rng), rng), SIZE).p_value for _ in range(400)])
    assert (p_values <= 0.05).mean() <= 0.05
    assert (p_values <= 0.002).sum() <= 2


def test_a_queue_is_one_and_its_account_s_own_repeats_count_for_nothing() -> None:
    rng = np.random.default_rng(6)
    dealt = rng.permutation(SIZE)[: EACH * PEOPLE].reshape(PEOPLE, EACH)
    account, item = _mixed(list(dealt), rng)
    once = cover(account, item, SIZE)
    assert (once.draws, once.covered, once.repeated) == (EACH * PEOPLE, EACH * PEOPLE, 0)
    assert once.p_value < 1e-20
    assert 60 < once.expected < 100
    again = cover(np.repeat(account, 3), np.repeat(item, 3), SIZE)
    assert again.p_value == once.p_value


def test_a_queue_with_a_few_repeats_is_still_one_and_one_with_replacement_is_none() -> None:
    rng = np.random.default_rng(7)
    item = rng.permutation(SIZE)[: EACH * PEOPLE]
    item[rng.choice(len(item), 8, replace=False)] = item[:8]
    account = rng.integers(0, PEOPLE, len(item))
    assert cover(account, item, SIZE).p_value < 1e-6
    drawn = [cover(account, rng.integers(0, SIZE, len(item)), SIZE).p_value for _ in range(50)]
    assert np.median(drawn) > 0.2


def test_people_who_each_keep_to_a_part_of_their_own_look_like_a_queue() -> None:
    """Why a lead needs content that does not depend on its accounts, besides the cover."""
    rng = np.random.default_rng(9)
    parts = np.arange(PEOPLE * 60).reshape(PEOPLE, -1)
    own = [rng.choice(part, EACH, replace=False) for part in parts]
    assert cover(*_mixed(own, rng), PEOPLE * 60).p_value < 1e-6


def test_a_small_part_of_a_large_set_says_nothing() -> None:
    rng = np.random.default_rng(8)
    account, item = rng.integers(0, PEOPLE, 1_000), rng.permutation(1_000_000)[:1_000]
    assert cover(account, item, 1_000_000).p_value > 0.05


# --- in a scan --------------------------------------------------------------------------------------------

USERS, TASKS = 12, 16


def spread_out(rng: random.Random, many: int) -> list[float]:
    return sorted(24 * rng.uniform(0.2, 7.8) for _ in range(many))


def users(
    seed: int,
    choose: Callable[[random.Random], Iterator[list[int]]],
    texts: list[str],
    columns: Callable[[int], dict[str, object]] = lambda _: {},
) -> tuple[Crowd, set[str]]:
    """Strangers, and accounts that send items of a set, with their own habits and wrapper."""
    crowd = Crowd(seed)
    rng = random.Random(seed + 1)
    for _ in range(80):
        crowd.people(f"p{rng.getrandbits(40):010x}", 1, lambda _: spread_out(rng, 8), **habits(rng))
    chosen = choose(rng)
    names = set()
    for k in range(USERS):
        name, mine, lead = f"user-{rng.getrandbits(40):010x}", habits(rng), sentence(rng, 6)
        names.add(name)
        for hour, item in zip(spread_out(rng, TASKS), next(chosen), strict=True):
            crowd.says(name, hour, f"{lead}: {texts[item]}", status=200, output_tokens=800, turn=1, **mine)
        made = START + timedelta(days=rng.uniform(-200, -1))
        crowd.known.append({"account": name, "payment": f"card-{name}", "created": made, **columns(k)})
    return crowd, names


def deal_out(rng: random.Random) -> Iterator[list[int]]:
    queue = rng.sample(range(ITEMS), USERS * TASKS)
    while True:
        yield [queue.pop() for _ in range(TASKS)]


def each_alone(rng: random.Random) -> Iterator[list[int]]:
    while True:
        yield rng.sample(range(ITEMS), TASKS)


def each_its_own_part(rng: random.Random) -> Iterator[list[int]]:
    parts = [list(range(k * ITEMS // USERS, (k + 1) * ITEMS // USERS)) for k in range(USERS)]
    for part in parts:
        yield rng.sample(part, TASKS)


def by_subject(seed: int = 3) -> list[str]:
    """A set whose parts have different words."""
    rng = random.Random(seed)
    return [
        " ".join(rng.choices(words(500 + k * USERS // ITEMS, 40), k=rng.randint(12, 30)))
        for k in range(ITEMS)
    ]


def scan_with(crowd: Crowd, texts: list[str], folder: Path, *, training: bool = True) -> sw.ScanReport:
    path = folder / "set.pool"
    sketch_pool(texts, SKETCHER, "the-set", training=training).write(path)
    return sw.scan(crowd.table(), crowd.accounts(), settings=sw.Settings(known_pools=(str(path),)))


@pytest.mark.slow
def test_a_queue_over_accounts_with_nothing_else_in_common_is_a_lead_and_no_finding(tmp_path: Path) -> None:
    crowd, names = users(1, deal_out, items())
    result = scan_with(crowd, items(), tmp_path)
    (lead,) = [one for one in result.leads if one.pools]
    assert set(lead.accounts) == names
    assert "as one queue dealt over them: one operator, but also one firm" in lead.text
    assert not result.campaigns
    (told,) = result.scan.pools
    assert (told.pool, told.items, told.accounts, told.repeated) == ("the-set", ITEMS, USERS, 0)
    assert lead.pools == (told,)
    assert told.p_value < 1e-4
    assert not any("not the shipped settings" in note for note in result.notes)
    benchmark = scan_with(crowd, items(), tmp_path, training=False)
    assert benchmark.scan.pools == (told,)
    assert not any(names & set(one.accounts) for one in benchmark.leads)
    bare = sw.scan(crowd.table(), crowd.accounts())
    assert not any(names & set(one.accounts) for one in bare.leads)
    assert "known_pools" not in json.loads(bare.to_json())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("choose", "texts", "columns"),
    [
        (each_alone, items, lambda _: {}),
        (each_its_own_part, by_subject, lambda _: {}),
        (deal_out, items, lambda _: {"org": "one-firm"}),
        (deal_out, items, lambda _: {"payment": "one-card"}),
        (deal_out, items, lambda k: {"permissions": ["synthetic_data"]} if k % 2 else {"org": "other"}),
    ],
    ids=["each alone", "own subjects", "one firm", "one card", "permitted"],
)
def test_honest_users_of_a_set_are_no_lead(
    choose: Callable[[random.Random], Iterator[list[int]]],
    texts: Callable[[], list[str]],
    columns: Callable[[int], dict[str, object]],
    tmp_path: Path,
) -> None:
    crowd, names = users(2, choose, texts(), columns)
    result = scan_with(crowd, texts(), tmp_path)
    named = [one.accounts for one in result.leads] + [one.accounts for one in result.campaigns]
    assert not any(names & set(accounts) for accounts in named)


@pytest.mark.slow
def test_a_report_holds_the_pools_and_is_read_back(tmp_path: Path) -> None:
    crowd, _ = users(1, deal_out, items())
    result = scan_with(crowd, items(), tmp_path)
    result.report(tmp_path / "report")
    document = json.loads((tmp_path / "report" / "findings.json").read_text())
    Draft202012Validator(schema()).validate(document)
    assert document["known_pools"][0]["pool"] == "the-set"
    assert [one["known_pools"] for one in document["leads"] if "known_pools" in one] == [
        document["known_pools"]
    ]
    back = load(tmp_path / "report")
    (lead,) = [one for one in back.leads if one.pools]
    assert lead.pools == back.pools
    told = result.explain(lead.id)
    assert "the-set" in told
    assert "exchanges of the set's items" in told
    assert "settings alone" not in told


@pytest.mark.slow
def test_the_verb_and_the_option(tmp_path: Path) -> None:
    crowd, _ = users(1, deal_out, items())
    pq.write_table(crowd.table(), tmp_path / "log.parquet")
    pq.write_table(crowd.accounts(), tmp_path / "accounts.parquet")
    (tmp_path / "set.txt").write_text("\n".join(items()))
    run = CliRunner()
    pool = tmp_path / "set.pool"
    made = run.invoke(app, ["pool", str(tmp_path / "set.txt"), "--out", str(pool), "--json"])
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["items"] == ITEMS
    log, known, out = (str(tmp_path / name) for name in ("log.parquet", "accounts.parquet", "report"))
    told = run.invoke(app, ["scan", log, "--accounts", known, "--known-pool", str(pool), "--out", out])
    assert told.exit_code == 0, told.output
    assert "Known pools, and who uses them" in told.stdout


def test_what_is_no_tuple_of_paths_is_refused() -> None:
    with pytest.raises(sw.InputError, match="give a tuple of paths"):
        sw.Settings(known_pools="a.pool")  # type: ignore[arg-type]


def test_two_pools_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.pool", "b.pool"):
        sketch_pool(items(9), SKETCHER, "sums").write(tmp_path / name)
    paths = (str(tmp_path / "a.pool"), str(tmp_path / "b.pool"))
    crowd, _ = users(1, deal_out, items())
    with pytest.raises(InputError, match="two known pools are called 'sums'"):
        sw.scan(crowd.table(), settings=sw.Settings(known_pools=paths))
