"""What the console shows of recorded exchanges: observables of a reason, an account's days, others' use."""

import random
import re
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from console_world import BANG, COOKIE, HERE, NOW, USERS, Visitor, World, world
from stillwatch.cases import Verdict, handling, leads
from stillwatch.cases.audit.reading import read
from stillwatch.console import ConsoleError, User, sessions
from stillwatch.console.app import make
from stillwatch.console.folder import LoggedFolder
from stillwatch.console.recorded import Recorded
from stillwatch.console.wording import mask, templates
from stillwatch.exchanges import ACCOUNTS, RECORD

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
WRAPPER = "You are grader {k} of 9. Score the text below from 0 to 10 and answer in JSON only. Text: {s}"


@dataclass
class Desk:
    world: World
    visitor: Visitor
    case: str
    ours: list[str]
    log: Path


def write_log(path: Path, rows: list[dict[str, object]]) -> Path:
    names = {name for row in rows for name in row}
    schema = pa.schema([RECORD.field(f.name) for f in RECORD if f.name in names])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)
    return path


def exchange(account: str, k: int, ip: str, prompt: str, **more: object) -> dict[str, object]:
    return {
        "exchange_id": f"x-{account}-{k}", "time": START + timedelta(hours=7 * k), "account": account,
        "client_ip": ip, "asn": 64_500, "user_agent": "python-requests/2.31", "model": f"mira-{k % 2}",
        "prompt": prompt, "output_tokens": 10 * k, "status": 429 if k == 3 else 200, **more,
    }  # fmt: skip


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Three accounts of a hostile case on one network, and two others, one of which shares it."""
    made = world(tmp_path)
    case = next(c for c in made.cases.values() if BANG in made.store.case(c, accounts=False).title)
    ours = [a for a in made.store.case(case).accounts if a.isprintable()][:3]
    rows = [
        exchange(a, k, f"203.0.113.{i}", WRAPPER.format(k=k, s=f"sentence{i}{k} about thing{k}"))
        for i, a in enumerate(ours)
        for k in range(5)
    ]
    rows += [exchange("acct-other", k, "203.0.113.200", f"how do I bake bread number{k}") for k in range(4)]
    rows += [exchange("acct-far", 1, "198.51.100.1", "what is the weather in the mountains today please")]
    log = write_log(tmp_path / "log.parquet", rows)
    told = [{"account": a, "payment": f"tok-{a == ours[2]}", "created": START, "org": "o"} for a in ours]
    told += [{"account": "acct-far", "payment": "tok-False", "created": START - timedelta(days=90)}]
    known = pa.Table.from_pylist(told, schema=ACCOUNTS)
    app = make(made.store, LoggedFolder(tmp_path, made.store, [log], known), now_us=lambda: NOW)
    visitor = Visitor(app)
    cookie = sessions.begin(made.store, User("anna", USERS["anna"], NOW), NOW)
    visitor.cookies.set(COOKIE, cookie, domain="127.0.0.1")
    yield Desk(made, visitor, case, ours, log)
    made.store.close()


@pytest.mark.slow
def test_an_analyst_sees_what_accounts_share_and_who_else_has_it(desk: Desk) -> None:
    recorded = Recorded([desk.log], pa.table({f.name: pa.nulls(0, f.type) for f in ACCOUNTS}))
    found = {(v.kind, v.value): v for v in recorded.observables(desk.ours).values}
    network = found["network", "203.0.113.0/24"]
    assert (network.inside, network.exchanges, network.outside, network.others) == (3, 15, 1, ("acct-other",))
    assert found["asn", "64500"].others == ("acct-far", "acct-other")
    assert not [kind for kind, _ in found if kind in ("payment", "sign-up day")]
    status, page = desk.visitor.submit(f"/case/{desk.case}/observables", why="second look at the card")
    assert status == 200
    for told in ("203.0.113.0/24", "64500", "tok-False", "2026-03-01", "python-requests/2.31", "acct-far"):
        assert told in page, told
    text = re.sub("<[^>]+>", "", page)
    assert "Score the text below from &lt;number&gt; to &lt;number&gt; and answer in JSON only" in text
    assert "how do I bake bread" not in text  # another account's words
    heads = [text.index(head) for head in ("Wording that others", "Networks", "Autonomous systems")]
    assert heads == sorted(heads)
    assert "<script>" not in page.replace('<script src="', "")


@pytest.mark.slow
def test_a_lead_shows_what_its_accounts_share_without_a_case(desk: Desk) -> None:
    lead = leads.find_lead(desk.world.store, "lead-0000").lead
    write_log(desk.log, [exchange(a, k, "203.0.113.9", f"task {k}") for a in lead.accounts for k in range(2)])
    assert desk.visitor.submit(f"/lead/{lead.id}/observables", f"/lead/{lead.id}", why="short")[0] == 409
    status, page = desk.visitor.submit(
        f"/lead/{lead.id}/observables", f"/lead/{lead.id}", why="is it a class?"
    )
    assert status == 200
    assert "At first sight" in page
    assert "203.0.113.0/24" in page
    with desk.world.store.reading() as db:
        newest = read(db, limit=1)[0]
    assert (newest.who, newest.what, newest.subject) == ("anna", "observables looked at", lead.id)
    assert leads.find_lead(desk.world.store, lead.id).case is None
    page = desk.visitor.get(f"/lead/{lead.id}").text
    assert f'/account?name={lead.accounts[0]}"' not in page  # it is in no case, so it has no page


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1440])
def test_the_first_look_is_sound_at_both_widths(browser: "Browser", desk: Desk, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def answer(route: "Route") -> None:
        asked = route.request
        kind = asked.headers.get("content-type", "text/html")
        got = desk.visitor.request(
            asked.method, asked.url, content=asked.post_data_buffer, headers={"content-type": kind}
        )
        route.fulfill(status=got.status_code, headers=dict(got.headers), body=got.content)

    context = browser.new_context(viewport={"width": width, "height": 900})
    context.route("**/*", answer)
    page = context.new_page()
    for path in (f"/case/{desk.case}", "/lead/lead-0000"):
        page.goto(HERE + path)
        page.fill("#why-values", "is it a class?")
        page.click("text=Show what they share")
        page.wait_for_selector("text=On record: anna looked at this")
        page.evaluate("document.querySelectorAll('main details').forEach(d => { d.open = true })")
        found = axe.run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


@pytest.mark.slow
def test_a_first_look_tells_a_class_from_a_pool(tmp_path: Path) -> None:
    """A class: one program, card and day, with common tasks. A pool: only its settings are shared."""
    rows, known = [], []

    def add(account: str, client: str, tasks: list[str], day: int, card: str, **more: object) -> None:
        rows.extend(
            exchange(account, k, f"10.{day}.0.1", t, user_agent=client, **more) for k, t in enumerate(tasks)
        )
        known.append({"account": account, "created": START + timedelta(days=day), "payment": card})

    pupils, pool = [f"pupil{i}" for i in range(6)], [f"pool{i}" for i in range(6)]
    mixed = [f"mixed{i}" for i in range(6)]
    for i, name in enumerate(mixed):
        add(name, "lib1/1" if i < 4 else "rare/1", [f"mine {i}"], 60 + i, f"m{i}", max_tokens=100)
    for i in range(6):
        tasks, items = [f"task {k}" for k in range(6)], [f"item {i}{k}" for k in range(6)]
        add(pupils[i], "classkit/1", tasks, 1, "school", max_tokens=500, output_tokens=40)
        add(pool[i], f"client{i}/2", items, 10 + i, f"c{i}", max_tokens=9_000, output_tokens=800)
    for i in range(300):
        add(f"x{i}", f"lib{i % 9}/1", ["task 1", f"own {i}"], 20 + i % 40, f"d{i}", max_tokens=(i % 5) * 100)
    log = write_log(tmp_path / "log.parquet", rows)
    recorded = Recorded([log], pa.Table.from_pylist(known, schema=ACCOUNTS))
    told = {}
    for group in (pupils, pool):
        found = recorded.observables(group)
        told[group[0][:3]] = {fact.question: (fact.here, fact.reading) for fact in found.facts}
        assert [row.exchanges for row in found.rows] == [6] * 6
    what = next(fact for fact in recorded.observables(mixed).facts if fact.question == "What software?")
    assert what.here.startswith("4 of 6 (67 %) mostly use lib1; 2 different"), (
        "and not what is rare elsewhere"
    )
    school, pool_facts = told["pup"], told["poo"]
    assert school["What software?"][0] == "all 6 use classkit"
    assert school["Who pays?"][1].startswith("one payer")
    assert school["When did they sign up?"][1].startswith("together")
    assert school["What do they ask?"][1].startswith("others ask the same")
    assert school["How long are the answers?"][0].startswith("100% of 1,440 tokens")
    assert school["How long are the answers?"][1].startswith("labels")
    assert pool_facts["How long are the answers?"][1].startswith("long enough")
    assert "another program" in pool_facts["What software?"][0]
    assert "each with an instrument of its own" in pool_facts["Who pays?"][0]
    assert "6 of 6 (100 %) have used output limit 9000" in pool_facts["Which settings?"][0]
    assert "no program brings them" in pool_facts["Which settings?"][1]
    common = recorded.observables(pupils).prompts[0]
    assert (common.accounts, common.exchanges) == (6, 6)
    assert {p.elsewhere for p in recorded.observables(pupils).prompts} == {0, 300}


@pytest.mark.slow
def test_a_case_shows_what_all_share_whom_its_claims_are_about_wherever_they_belong(desk: Desk) -> None:
    store = desk.world.store

    def count() -> str | None:
        page = desk.visitor.submit(f"/case/{desk.case}/observables", why="second look at the card")[1]
        text = re.sub("<[^>]+>", " ", page)
        found = re.search(r"203\.0\.113\.0/24\s+(\d+)", text)
        return found and found[1]

    assert count() == "3"
    split = handling.split(store, desk.case, [desk.ours[2]], who="anna", why="another hand", now_us=NOW)
    assert count() == "2"  # a person moved it to another case
    bare = f"/case/{split.id}"  # no finding names it directly, as for a case from a lead
    assert "Show what they share" in desk.visitor.get(bare).text
    assert "203.0.113.0/24" in desk.visitor.submit(f"{bare}/observables", bare, why="a second look")[1]
    other = next(c for c in desk.world.cases.values() if c not in (desk.case, split.id))
    handling.merge(store, desk.case, into=other, who="anna", why="the same hand", now_us=NOW)
    assert count() == "2"


@pytest.mark.slow
def test_nothing_is_shown_before_who_and_why_are_on_record(desk: Desk) -> None:
    account = desk.ours[0]
    for path, form in (
        (f"/case/{desk.case}/observables", {}),
        ("/account/observables", {"account": account}),
    ):
        for why in ("", "short"):
            status, said = desk.visitor.submit(path, why=why, **form)
            assert status == 409
            assert "203.0.113" not in said
        status, said = desk.visitor.submit(path, why="an appeal came in", **form)
        assert (status, "203.0.113.0/24" in said) == (200, True)
        with desk.world.store.reading() as db:
            newest = read(db, limit=1, opened=True)[0]
        assert (newest.who, newest.what, newest.subject) == ("anna", "observables looked at", desk.case)
        assert newest.personal[0]["why"] == "an appeal came in"
        assert "appeal" not in str(newest.detail)
    assert desk.visitor.submit("/account/observables", account="acct-far", why="curious about it")[0] == 404
    desk.visitor.cookies.set(
        COOKIE, sessions.begin(desk.world.store, User("rita", USERS["rita"], NOW), NOW), domain="127.0.0.1"
    )
    for path in (f"/case/{desk.case}/observables", "/account/observables"):
        assert desk.visitor.submit(path, account=account, why="curious about it")[0] == 403
    page = desk.visitor.get(f"/case/{desk.case}").text + desk.visitor.get(f"/account?name={account}").text
    assert "203.0.113" not in page


def test_the_log_that_is_named_shows_an_accounts_newest_texts(desk: Desk) -> None:
    status, page = desk.visitor.submit("/prompts", account=desk.ours[1], why="an appeal came in")
    assert status == 200
    assert page.index("sentence14") < page.index("sentence10")
    assert "sentence00" not in page


@pytest.mark.slow
def test_an_accounts_days_stand_beside_its_groups_and_what_happened_to_it(desk: Desk) -> None:
    account, said = desk.ours[0], {"who": "anna", "why": "w", "now_us": NOW}
    handling.judge_accounts(desk.world.store, desk.case, [account], Verdict.VICTIM, **said)  # type: ignore[arg-type]
    told = desk.visitor.get("/account/days.json", params={"name": account}).json()
    days = {d["day"]: d for d in told["days"]}
    assert sum(d["exchanges"] for d in days.values()) == 5
    assert sum(d["refused"] for d in days.values()) == 1
    assert days["2026-03-01"]["models"] == ["mira-0", "mira-1"]
    assert days["2026-03-01"]["group"] == 4  # of the two others
    assert [e["what"].split()[0] for e in told["events"]] == ["judged", "named", "signed"]
    assert "203.0.113" not in str(told)
    page = desk.visitor.get("/account/days", params={"name": account})
    assert page.status_code == 200
    assert desk.visitor.get("/account/days", params={"name": "acct-far"}).status_code == 404


@pytest.mark.slow
def test_a_console_without_a_log_says_what_to_add(tmp_path: Path) -> None:
    made = world(tmp_path)
    anna, case = made.client("anna"), next(iter(made.cases.values()))
    status, page = anna.submit(f"/case/{case}/observables", why="a second look")
    assert status == 200
    assert "no --log holds it" in page
    account = made.store.case(case).accounts[0]
    assert "--log FILE" in anna.get("/account/days", params={"name": account}).text
    made.store.close()


@pytest.mark.slow
def test_files_that_lack_columns_are_read_and_damaged_ones_are_named(tmp_path: Path) -> None:
    whole = write_log(
        tmp_path / "a.parquet", [exchange("a", 1, "2001:db8:1:2::9", "one two three four five six")]
    )
    lacking = write_log(tmp_path / "it's b.parquet", [{"time": START, "account": "a", "model": "m"}])
    found = Recorded([whole, lacking, tmp_path / "gone.parquet"]).observables(["a"])
    assert ("network", "2001:db8:1::/48") in {(v.kind, v.value) for v in found.values}
    assert len(Recorded([lacking]).observables(["a"]).missing) == 6
    damaged = tmp_path / "damaged.parquet"
    damaged.write_bytes(whole.read_bytes()[:-20])
    with pytest.raises(ConsoleError, match="cannot be read"):
        Recorded([damaged]).texts("a", 5)


def test_templates_mask_what_changes_and_leave_out_what_others_write_too() -> None:
    assert mask("task 17: see https://a.example/x") == ["task", "<number>", ":", "see", "<link>"]
    common = "Please answer the following question as well as you can thank you"
    ours = [
        (f"a{i}", f"{common}. Rate item {k} of list {i} by rule seven only")
        for i in range(4)
        for k in range(5)
    ]
    others = [(f"b{i}", f"{common}. What is the capital of country{i}") for i in range(6)]
    (found,) = templates(ours, others)
    assert "Rate item <number> of list <number> by rule seven only" in found.text
    assert (found.accounts, found.prompts, found.sample, found.elsewhere) == (4, 20, 20, 0)
    assert templates(ours, ours) == ()


@pytest.mark.slow
def test_long_prompts_of_strangers_do_not_fill_the_memory() -> None:
    draw = random.Random(3)

    def text(words: int) -> str:
        return " ".join("".join(draw.choices("abcdefghij", k=5)) for _ in range(words))

    shared = text(60)
    ours = [(f"a{k % 9}", f"{text(300)} {shared} {text(300)}") for k in range(100)]
    others = [(f"x{k % 9}", text(660)) for k in range(100)]
    tracemalloc.start()
    found = templates(ours, others)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(one.text, one.accounts, one.prompts, one.elsewhere) for one in found] == [(shared, 9, 100, 0)]
    assert peak < 25e6  # a set for each run of words took 51 MB


@pytest.mark.slow
def test_hostile_texts_of_a_log_are_shown_and_do_nothing(desk: Desk) -> None:
    bad = "<script>alert(1)</script> ![x](//evil) \x1b[31m\x00 \u202e{{ 7*7 }} "
    rows = [
        exchange(a, k, bad, bad + "grade the answer below from one to ten " + "x" * 1_000_000, user_agent=bad)
        for a in desk.ours
        for k in range(2)
    ]
    write_log(desk.log, rows)
    status, page = desk.visitor.submit(f"/case/{desk.case}/observables", why="second look at the card")
    assert status == 200
    assert "grade the answer below" in re.sub("<[^>]+>", "", page)
    assert "<script>" not in page.replace('<script src="', "")
    assert not re.search("[\x00\x1b\u202e]", page)
    assert "49" not in re.findall(r"\{\{ *\d.*", page)
    assert len(page) < 200_000
    for path in (f"/case/{desk.case}/observables", "/account/observables"):
        assert desk.visitor.get(path, params={"why": "second look at it"}).status_code in (404, 405)
        assert desk.visitor.post(path, data={"why": "second look at it"}).status_code == 403  # no token
    desk.log.write_bytes(b"PAR1 no parquet")
    assert desk.visitor.submit(f"/case/{desk.case}/observables", why="second look at the card")[0] in (
        409,
        503,
    )
