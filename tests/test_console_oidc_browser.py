"""Log-in at a real identity provider with a real browser: the behaviour of cookies and pages."""

import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn

from console_world import World, settle, world
from gateway_world import free_port
from identity_provider import PASSWORD, RealProvider, real_provider
from stillwatch.console.app import make
from stillwatch.console.openid import load_provider
from stillwatch.console.pages.identity_login import BACK

pytestmark = pytest.mark.browser
pytest.importorskip("playwright")

from playwright.sync_api import Browser, expect  # noqa: E402


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str, RealProvider]]:
    """A console at 127.0.0.1, and a provider at localhost: for a browser these are two sites."""
    folder, port = tmp_path_factory.mktemp("console"), free_port()
    address = f"http://127.0.0.1:{port}"
    with real_provider(tmp_path_factory.mktemp("provider"), free_port(), address + BACK) as provider:
        provider.settings(folder)
        made = world(folder)
        app = make(made.store, made.gateway, provider=load_provider(folder))
        config = uvicorn.Config(app, port=port, log_config=None, lifespan="off", ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        yield made, address, provider
        server.should_exit = True
        thread.join(10)
        settle()
        made.store.close()


@pytest.mark.parametrize("scripts", [True, False])
def test_a_person_logs_in_at_the_provider_and_out_again(
    browser: Browser, served: tuple[World, str, RealProvider], scripts: bool
) -> None:
    _, address, provider = served
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe() if scripts else None
    context = browser.new_context(java_script_enabled=scripts, viewport={"width": 390, "height": 844})
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if address in str(m.location) else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.goto(f"{address}/terms")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    if axe:
        assert axe.run(page).violations_count == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.get_by_role("link", name="Log in with Example ID").click()
    page.wait_for_url(f"{provider.issuer.removesuffix('/o')}/**")
    page.fill("#id_username", "olga")
    page.fill("#id_password", PASSWORD)
    page.get_by_role("button", name="Enter").click()
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url(f"{address}/terms")  # the intermediate page makes the browser send the Strict cookie
    expect(page.get_by_text("olga").first).to_be_visible()
    cookies = {one["name"]: one["sameSite"] for one in context.cookies(address)}
    port = address.rpartition(":")[2]
    assert cookies[f"stillwatch-{port}"] == "Strict"
    assert f"stillwatch-oidc-{port}" not in cookies

    page.get_by_role("button", name="Log out").click()
    left = page.get_by_role("link", name="Log out of Example ID as well")
    expect(left).to_be_visible()
    if axe:
        assert axe.run(page).violations_count == 0
    left.click()
    page.wait_for_url(f"{provider.issuer}/logout/**")
    page.goto(f"{address}/queue")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    assert complaints == []
    context.close()
