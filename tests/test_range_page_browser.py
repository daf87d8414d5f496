"""A run's page in a real browser: no request, no error, nothing wider than the window, no axe problem."""

import pytest

from stillwatch.range.page.page import write_page
from stillwatch.range.run import RangeRun
from stillwatch.range.table import lines
from test_range_page import LIVE, contests, outcomes, sum_up_contests

pytestmark = pytest.mark.browser
pytest.importorskip("playwright")

from axe_playwright_python.sync_playwright import Axe  # noqa: E402
from playwright.sync_api import Browser  # noqa: E402


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    tmp = tmp_path_factory.mktemp("page")
    told = (*outcomes(tmp, "a"), *outcomes(tmp, "calm", ()))
    run = RangeRun("abc123", tmp, "log", told, tuple(contests()), (LIVE,), (), {}, 1.0, 3)
    return write_page(
        run, lines(told), sum_up_contests("a", [c for _, c in run.contests]), False, tmp
    ).as_uri()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_asks_nobody_and_axe_finds_nothing(browser: Browser, address: str, scheme: str) -> None:
    page = browser.new_page(color_scheme="dark" if scheme == "dark" else "light")
    requests, complaints = [], []
    page.on("request", lambda r: requests.append(r.url))
    page.on("console", lambda m: complaints.append(m.text))
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert [url for url in requests if url not in (address, "data:,")] == []
    assert complaints == []
    page.close()
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light", bypass_csp=True)
    page = context.new_page()  # axe is a script, which the page's own policy would block
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    context.close()


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_nothing_is_wider_than_the_window(browser: Browser, address: str, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.goto(address)
    page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true })")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
