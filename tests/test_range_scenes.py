"""Scene files: their meaning, and that every mistake is refused with its line and never with a traceback."""

import string
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stillwatch.errors import InputError
from stillwatch.range.campaigns.shapes import shapes
from stillwatch.range.costs import AttackPrices
from stillwatch.range.scenes import (
    SHIPPED,
    Scene,
    find_base,
    parse_scene,
    read_scene,
    shipped_scenes,
    stock_digest,
)

WHOLE = """\
name = "mine"
seeds = [4, 5]
clean_days = 6
[population]
base = "sample"
keep_accounts = 0.5
drop_kinds = ["hackathon"]
[[campaign]]
name = "first"
shape = "failover"
accounts = 9
exchanges = 90
start = 6.5
days = 3
bans = [0.25, 0.5]
pipelines = ["orca_flan"]
tradecraft = 1
[[campaign]]
shape = "rubric_grading"
attacker = "adaptive"
[defence]
names = ["none", "stillwatch/only:wording"]
false_cases_per_10k_account_days = 0.5
[budget]
usd = 100
[live]
carrier = "x"
[contest]
goal = 10
"""


def test_a_whole_scene_reads_as_it_is_written() -> None:
    scene = parse_scene(WHOLE, "mine.toml")
    assert (scene.name, scene.seeds, scene.days, scene.clean_days) == ("mine", (4, 5), 14, 6)
    assert (scene.people.base, scene.people.keep_accounts) == ("sample", 0.5)
    first, second = scene.campaigns
    assert (first.plan.name, first.plan.style, first.plan.bans) == ("first", "failover", (0.25, 0.5))
    assert (first.plan.tradecraft, first.attacker) == (1, "fixed")
    assert (second.plan.name, second.plan.style, second.attacker) == ("c2", "rubric_grading", "adaptive")
    assert (second.plan.pipelines, second.plan.model) == (("pairs",), "mira-large")  # the shape's own
    assert scene.defences == ("none", "stillwatch/only:wording")
    assert scene.false_cases_per_10k_account_days == 0.5
    assert scene.budget == AttackPrices(usd=100.0)
    assert (scene.live, scene.contest) == ({"carrier": "x"}, {"goal": 10})
    assert scene.place("campaign", 1, "days") == "mine:18"  # not written: its table is
    assert scene.place("budget", "usd") == "mine:25"
    assert len(scene.digest) == 64


def test_the_smallest_scene_is_a_name() -> None:
    scene = parse_scene('name = "x"')
    assert (scene.campaigns, scene.people.base, scene.people.accounts) == ((), None, 800)


def test_every_scene_that_ships_reads_and_names_what_is_there() -> None:
    assert {"calm", "pool-of-60", "published", "three-labs", "three-labs-16m"} <= set(shipped_scenes())
    for name, path in shipped_scenes().items():
        scene = read_scene(name)
        assert scene.name == name == path.stem
        assert scene == read_scene(path)
        assert scene.digest == read_scene(path).digest
    styles = {plan.style for name in shipped_scenes() for plan in read_scene(name).plans}
    assert styles <= set(shapes())


def test_a_digest_changes_with_the_file_and_with_a_shape_beside_it(tmp_path: Path) -> None:
    shape = tmp_path / "mine.py"
    shape.write_text("def requests(plan, corpora, rng, new_model_day):\n    return []\n")
    file = tmp_path / "scene.toml"
    file.write_text('name = "x"\n[[campaign]]\nshape = "./mine.py"\n')
    one = read_scene(file).digest
    shape.write_text(shape.read_text() + "# changed\n")
    two = read_scene(file).digest
    file.write_text(file.read_text() + "# changed\n")
    assert len({one, two, read_scene(file).digest}) == 3
    assert stock_digest(parse_scene('name = "x"')) != stock_digest(parse_scene(WHOLE))


def test_the_base_is_found_or_its_line_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STILLWATCH_RANGE", raising=False)
    assert (find_base(parse_scene(WHOLE)) / "exchanges.parquet").is_file()
    with pytest.raises(InputError, match=r"x\.toml:3: base 'nowhere' is not at hand"):
        find_base(read_text(tmp_path / "x.toml", 'name = "x"\n[population]\nbase = "nowhere"\n'))


def read_text(file: Path, text: str) -> Scene:
    file.write_text(text)
    return read_scene(file)


def refused(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_scene(text, "s.toml")
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "s.toml:1: `name` is missing"),
        ('name = "a/b"', "s.toml:1: name: 'a/b' cannot be a folder"),
        ('name = "x"\nseed = [1]', "s.toml:2: seed: unknown key; did you mean `seeds`?"),
        ('name = "x"\nseeds = []', "s.toml:2: seeds: this will not do"),
        ('name = "x"\nseeds = [1, 1]', "none twice"),
        ('name = "x"\nseeds = [-1]', "s.toml:2: seeds"),
        ('name = "x"\ndays = 1', "s.toml:2: days: 1 is out of range"),
        ('name = "x"\ndays = 5\nclean_days = 5', "s.toml:3: clean_days: 5 clean days leave none of 5"),
        ('name = "x"\ndays = 20\n[population]\nbase = "sample"', "s.toml:2: days: a base is a fortnight"),
        (
            'name = "x"\n[population]\nbase = "sample"\naccounts = 50',
            "s.toml:4: population.accounts: goes with",
        ),
        (
            'name = "x"\n[population]\nkeep_accounts = 0.5',
            "s.toml:3: population.keep_accounts: goes with a base",
        ),
        ('name = "x"\n[population]\nkinds = { chat = 0.5 }', "the shares add up to 0.5; make it 1"),
        (
            'name = "x"\n[population]\nkinds = { chatt = 1.0 }',
            "s.toml:3: population.kinds.chatt: no such kind",
        ),
        ('name = "x"\n[population]\nkinds = { chat = 1 }\ndrop_kinds = ["chat"]', "no kind of use is left"),
        ('name = "x"\n[population]\naccounts = "many"', "s.toml:3: population.accounts: 'many' is text"),
        (
            'name = "x"\n[[campaign]]\naccounts = 3',
            "s.toml:2: campaign: `shape` is missing; give one of agent_harvest",
        ),
        ('name = "x"\n[[campaign]]\nshape = "wraped"', "s.toml:3: campaign.shape: shape 'wraped' is unknown"),
        ('name = "x"\n[[campaign]]\nshape = "./none.py"', "none.py is no file"),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\nstart = 3',
            "s.toml:4: campaign.start: day 3 is among the clean",
        ),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\nstart = 12\ndays = 4',
            "s.toml:5: campaign.days: 12 + 4 is past",
        ),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\nexchanges = 5\naccounts = 9',
            "5 are too few for 9 accounts",
        ),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\nmodel = "gpt"',
            "s.toml:4: campaign.model: 'gpt' is not known",
        ),
        ('name = "x"\n[[campaign]]\nshape = "drip"\nbans = [0.6, 0.2]', "s.toml:4: campaign.bans"),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\ntradecraft = 3',
            "s.toml:4: campaign.tradecraft: 3 is out of range",
        ),
        (
            'name = "x"\n[[campaign]]\nshape = "drip"\ncover = nan',
            "s.toml:4: campaign.cover: nan is out of range",
        ),
        (
            'name = "x"\n[[campaign]]\nname = "a"\nshape = "drip"\n[[campaign]]\nname = "a"\nshape = "drip"',
            "'a' is taken",
        ),
        ('name = "x"\n[campaign]\nshape = "drip"', "write [[campaign]]"),
        ('name = "x"\ncampaign = [1]', "s.toml:2: campaign: 1 is a whole number; write [[campaign]]"),
        ('name = "x"\n[budget]\nusd = -1', "s.toml:3: budget.usd: -1 is out of range"),
        ('name = "x"\n[budget]\nusdd = 1', "s.toml:3: budget.usdd: unknown key; did you mean `usd`?"),
        ('name = "x"\n[defence]\nnames = "all"', "s.toml:3: defence.names"),
        ('name = "x"\nname = "y"', "s.toml:2: not TOML"),
        ('name = "x', "s.toml:1: not TOML"),
    ],
)
def test_every_mistake_is_refused_with_its_line(text: str, complaint: str) -> None:
    assert complaint in refused(text)


def test_all_mistakes_are_said_at_once_and_many_are_cut_short() -> None:
    said = refused('name = "x"\ndays = 1\nseeds = 3\n')
    assert said.count("\n") == 1
    assert "s.toml:2" in said
    assert "s.toml:3" in said
    many = refused('name = "x"\n' + "\n".join(f"odd{n} = 1" for n in range(300)))
    assert many.endswith("… and 280 more")


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is no scene that ships and no file; scenes that ship: .*calm"):
        read_scene("nothing")
    with pytest.raises(InputError, match=r"missing\.toml: cannot be read: No such file"):
        read_scene(tmp_path / "missing.toml")
    with pytest.raises(InputError, match="cannot be read"):
        read_scene(tmp_path)
    file = tmp_path / "big.toml"
    file.write_bytes(b"#" * 300_000)
    with pytest.raises(InputError, match="a scene is a page"):
        read_scene(file)
    file.write_bytes(b'name = "x"\n# \xff\n')
    with pytest.raises(InputError, match=r"big\.toml:2: is not UTF-8"):
        read_scene(file)


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        ("x = 1\n", "offers no requests; a shape of one.s own is a function `requests"),
        ("def requests(:\n", "cannot be loaded: SyntaxError"),
        ("raise SystemExit\n", "cannot be loaded: line 1: SystemExit"),
        ("import nothing_of_that_name\n", "cannot be loaded: line 1: ModuleNotFoundError"),
    ],
)
def test_a_shape_file_that_is_none_is_refused_with_its_line(
    tmp_path: Path, code: str, complaint: str
) -> None:
    (tmp_path / "mine.py").write_text(code)
    with pytest.raises(InputError, match=complaint) as caught:
        read_text(tmp_path / "s.toml", 'name = "x"\n[[campaign]]\nshape = "./mine.py"\n')
    assert "s.toml:3: campaign.shape" in str(caught.value)


# --- properties

KEYS = st.sampled_from(
    ["name", "seeds", "days", "clean_days", "stock", "contaminated", "accounts", "exchanges", "kinds", "base",
     "shape", "start", "bans", "cover", "model", "names", "usd", "tradecraft", "pipelines", "stolen"]
)  # fmt: skip
VALUES = st.one_of(
    st.integers(-5, 10**20).map(str),
    st.floats().map(repr),
    st.booleans().map(lambda b: str(b).lower()),
    st.text(string.ascii_letters + " ./-é", max_size=12).map(lambda s: f'"{s}"'),
    st.sampled_from(
        ["[]", "[1, 2]", "[0.5]", '["none"]', "{}", "{ chat = 1.0 }", '"drip"', "2026-01-01", "nan"]
    ),
)
LINES = st.one_of(
    st.tuples(KEYS, VALUES).map(lambda kv: f"{kv[0]} = {kv[1]}"),
    st.sampled_from(["[population]", "[[campaign]]", "[defence]", "[budget]", "[live]", "", "# note"]),
)


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(LINES, max_size=14))
def test_any_lines_give_a_scene_or_complaints_with_places(lines: list[str]) -> None:
    text = "\n".join(['name = "x"', *lines])
    try:
        scene = parse_scene(text, "s.toml")
    except InputError as error:
        complaints = str(error).split("\n")
    else:
        complaints = []
        assert all(plan.start + plan.days <= scene.days + 1e-6 for plan in scene.plans)
        assert all(plan.accounts <= plan.exchanges for plan in scene.plans)
    for said in complaints:
        name, line = said.split(": ")[0].rpartition(":")[::2]
        assert said.startswith("…") or (name == "s.toml" and 1 <= int(line) <= len(lines) + 1)


@settings(deadline=None)
@given(st.text(max_size=80))
def test_any_text_gives_a_scene_or_a_complaint(text: str) -> None:
    complaint = "s.toml:"
    try:
        parse_scene(text, "s.toml")
    except InputError as error:
        complaint = str(error)
    assert complaint.startswith("s.toml:")


def test_every_price_can_stand_in_a_scene() -> None:
    text = 'name = "x"\n[budget]\n' + "".join(f"{f.name} = 7\n" for f in fields(AttackPrices))
    assert parse_scene(text).budget == AttackPrices(*(7.0 for _ in fields(AttackPrices)))


def test_a_scene_may_lie_anywhere(tmp_path: Path) -> None:
    copy = tmp_path / "copy.toml"
    copy.write_bytes((SHIPPED / "calm.toml").read_bytes())
    assert read_scene(copy).digest == read_scene("calm").digest
