"""The page of a report: any text of an attacker is shown, and has no effect."""

import base64
import dataclasses
import hashlib
import html.parser
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stillwatch.report.folded import MARKS, SHARED, fold
from stillwatch.report.meter import meter
from stillwatch.report.page import FULL, LEADS, ROWS, headline, render, write_page
from stillwatch.report.timeline import BARS, timeline
from stillwatch.report.visible import visible
from stillwatch.scan import Harvest, Link
from stillwatch.scan.milestones import MILESTONES
from test_report_world import HOSTILE, START, campaign, empty, hours, leads, result

BIDI = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200b\u200e\u200f\ufeff"


class Reader(html.parser.HTMLParser):
    """Return what a browser would act on, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.texts.append(data)


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    reader.close()
    return reader


@pytest.fixture(scope="module")
def page() -> str:
    return render(result())


@pytest.fixture(scope="module")
def text(page: str) -> str:
    return "".join(read(page).texts)


@pytest.mark.slow
def test_nothing_an_attacker_wrote_becomes_markup(page: str) -> None:
    tags = read(page).tags
    names = {tag for tag, _ in tags}
    assert not names & {"img", "iframe", "object", "embed", "base", "form", "audio", "video", "template"}
    assert [tag for tag, _ in tags].count("script") == [tag for tag, _ in tags].count("style") == 1
    attributes = {name for _, attrs in tags for name in attrs}
    assert not {name for name in attributes if name.startswith("on")}
    assert "style" not in attributes
    links = {attrs["href"] for _, attrs in tags if "href" in attrs}
    assert {link for link in links if link and not link.startswith("#")} == {"data:,"}
    assert "srcset" not in attributes
    assert "src" not in attributes
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.slow
def test_control_and_format_characters_are_shown_not_sent(page: str) -> None:
    assert not set(page) & set(BIDI)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", page)
    assert "\\u202e" in page
    assert "\\x1b" in page
    assert "\\n" in page
    assert "\\ud800" in page
    page.encode("utf-8")


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_readable_on_the_page(name: str, text: str) -> None:
    assert (visible(name, 80) or "(empty)") in text


def test_the_policy_allows_this_style_and_this_script_only(page: str) -> None:
    policy = next(
        a["content"] for t, a in read(page).tags if a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    for tag in ("style", "script"):
        text = page.split(f"<{tag}>", 1)[1].split(f"</{tag}>", 1)[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_the_page_stays_small_and_says_what_is_left_out(page: str) -> None:
    assert len(page.encode()) < 500_000
    assert "24,800 more in findings.json, campaigns[0].accounts" in page


@pytest.mark.slow
def test_a_thousand_campaigns_still_make_a_small_page() -> None:
    base = campaign(
        "c", tuple(f"a{i}" for i in range(60)), hours(30, 300, 5000, 9), 40, 1e-6,
        tuple((f"clue{i}", 0.5, 4.0, f"sentence {i}", "client") for i in range(12)), (), 3, "A title.",
    )  # fmt: skip
    many = tuple(dataclasses.replace(base, id=f"c{i:04d}") for i in range(1000))
    made = render(dataclasses.replace(result(300), campaigns=many))
    assert len(made.encode()) < 3_000_000
    assert made.count('<article class="card"') == FULL
    assert f"{1000 - ROWS} more campaigns" in made


def test_parts_stand_in_the_order_a_person_needs(page: str) -> None:
    wanted = [
        'id="headline"', "25,000 accounts drew", ">Harvest<", ">Timeline<", ">Why<",
        "What links the accounts",
        'class="graph"', "What would make it honest", "The 25,000 accounts", 'id="campaign-2"',
        "Suppressed campaigns", "Accounts by kind of use", "Heaviest accounts", "Rejected lines", ">Gaps<",
        "What this scan cannot claim</h2>",
    ]  # fmt: skip
    places, at = [], 0
    for words in wanted:
        at = page.index(words, at)
        places.append(at)
    assert places == sorted(places)


def test_the_headline_counts_open_campaigns_only() -> None:
    said = headline(result()).replace("\u00a0", " ")
    assert said == (
        "3 campaigns over 25,041 accounts have taken 227,932 exchanges (146 M output tokens) "
        "since 2 March 2026."
    )
    assert headline(empty()) == "No campaign found in 0 exchanges of 0 accounts."
    assert "no proof that there is none" in render(empty())


def test_leads_stand_apart_and_are_no_accusation() -> None:
    found = replace(result(300), leads=leads(LEADS + 2))
    page = render(found)
    section = page[page.index('<section id="leads"') : page.index('<section id="accounts"')]
    assert 'href="#leads"' in page
    assert "accuses nobody" in section
    assert section.count('<tr><th scope="row"') == LEADS
    assert "2 more leads in findings.json" in section
    assert "<script" not in section
    assert headline(found) == headline(result(300))
    assert headline(replace(empty(), leads=leads(2))) == (
        "No campaign found in 0 exchanges of 0 accounts. 2 leads (they accuse nobody)."
    )
    assert 'id="leads"' not in render(result(300))


def test_the_page_is_the_same_whatever_order_its_parts_came_in(tmp_path: Path) -> None:
    made = result(300)
    turned = dataclasses.replace(made, campaigns=made.campaigns[::-1], accounts=made.accounts[::-1])
    assert render(made) == render(turned)
    path = write_page(made, tmp_path / "out")
    assert path.name == "index.html"
    assert [p.name for p in path.parent.iterdir()] == ["index.html"]


def test_a_campaign_with_next_to_nothing_is_shown() -> None:
    bare = dataclasses.replace(
        result(300).campaigns[0], accounts=("one",), links=(), timeline=(), reasons=(), named_at={},
        benign_alternatives=(), title="", next_milestone=None,
        harvest=Harvest(0, 0), harvest_at_alarm=Harvest(0, 0),
    )  # fmt: skip
    made = render(dataclasses.replace(empty(), campaigns=(bare,)))
    assert "1 account took 0 exchanges." in made
    assert "there is nothing to link" in made


# --- pictures


@pytest.mark.parametrize("size", [1, 40, 999, 1000, 52_000, 800_000, 16_000_000])
def test_the_meter_keeps_order_and_bounds(size: int) -> None:
    m = meter(size, size // 3)
    places = [t.x for t in m.ticks]
    assert places == sorted(places)
    assert min(places) >= 0
    assert max(places) <= 100
    assert 0 <= m.alarm_x <= m.total_x <= 100
    assert [t.passed for t in m.ticks] == [size >= m.exchanges for m in MILESTONES]
    assert all((t.x <= m.total_x) == t.passed for t in m.ticks)


@pytest.mark.slow
def test_the_folded_picture_is_small_whatever_the_campaign() -> None:
    big = max(result().campaigns, key=lambda c: len(c.accounts))
    wild = dataclasses.replace(
        big,
        accounts=big.accounts[:2000],
        links=tuple(
            Link(
                big.accounts[i],
                big.accounts[(i * 7) % 2000],
                f"clue{i % 23}",
                3.0 + i % 5,
                f"text {i}",
                "client",
            )
            for i in range(2000)
        ),
    )
    for c in (big, wild):
        f = fold(c)
        assert len(f.shared) <= SHARED
        assert len(f.shared) + len(f.groups) + len(f.lines) <= MARKS
        assert sum(g.accounts for g in f.groups) + f.unlinked == len(c.accounts)
        assert sum(s.links for s in f.shared) == len(c.links)
        assert [s.total_bits for s in f.shared] == sorted((s.total_bits for s in f.shared), reverse=True)
        assert fold(dataclasses.replace(c, links=c.links[::-1], accounts=c.accounts[::-1])) == f


def test_an_account_counts_for_what_it_shares_once() -> None:
    c = dataclasses.replace(
        result(300).campaigns[0],
        accounts=("a", "b", "c"),
        links=(
            Link("a", "b", "payment", 9.0, "one card", "provider"),
            Link("b", "a", "payment", 7.0, "one card", "provider"),
            Link("c", "campaign", "network", 2.0, "one net", "provider"),
        ),
    )
    f = fold(c)
    assert [(s.clue, s.accounts, s.links, s.bits) for s in f.shared] == [
        ("payment", 2, 2, 8.0),
        ("network", 1, 1, 2.0),
    ]
    assert [(g.accounts, g.letters) for g in f.groups] == [(2, ("A",)), (1, ("B",))]


@pytest.mark.parametrize("many", [1, 30, 336, 24 * 90, 24 * 800])
def test_the_timeline_has_few_bars_and_loses_no_hour(many: int) -> None:
    made = result(300)
    line = hours(0, many, many * 20, 1)
    c = dataclasses.replace(
        made.campaigns[0], timeline=line, alarm_at=START + timedelta(hours=many // 2, minutes=7)
    )
    scanned = dataclasses.replace(made.scanned, last=START + timedelta(hours=many, seconds=-1))
    t = timeline(c, scanned, made.gaps)
    assert t.bars <= BARS
    assert 0 <= t.alarm.x <= 100
    assert sum(d.exchanges for d in t.table) + t.table_left_out * 480 >= many * 20 * 0.5
    if many <= 336:
        assert (t.before + t.after).count("M") == len(line)
        assert not t.table_left_out
        assert sum(d.exchanges for d in t.table) == many * 20
    assert all(0 <= g.x <= 100 and g.width >= 0 for g in t.gaps)


# --- text that an attacker chose


@given(st.text(alphabet=st.characters(), max_size=60))
def test_shown_text_is_one_harmless_line(text: str) -> None:
    shown = visible(text)
    assert not set(shown) & set(BIDI)
    assert shown.isprintable()
    assert visible(text, ascii_only=True).isascii()


@given(
    st.text(alphabet="\\nx1b\n\x1b\u202eu0", max_size=12),
    st.text(alphabet="\\nx1b\n\x1b\u202eu0", max_size=12),
)
def test_two_names_never_look_the_same(a: str, b: str) -> None:
    assert (visible(a) == visible(b)) == (a == b)
