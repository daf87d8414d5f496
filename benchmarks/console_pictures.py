#!/usr/bin/env python3
"""Takes the picture of the console for the docs: `console_pictures.py ADDRESS NAME PASSWORD OUT_FOLDER`.

The console must run at ADDRESS; NAME may be any user. Needs Debian's chromium and playwright.
"""

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from screenshots import CHROMIUM, FLAGS

WIDTH, HEIGHT = 1280, 900


def enter(page: Page, address: str, name: str, password: str) -> None:
    """Log in."""
    page.goto(f"{address}/")
    page.fill("#name", name)
    page.fill("#password", password)
    page.click("button.main")
    page.wait_for_selector("main h1 >> text=case")


def main() -> None:
    """Take the picture and report its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("address", "name", "password"):
        parser.add_argument(name)
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        enter(page, asked.address.rstrip("/"), asked.name, asked.password)
        page.locator("table.rows tbody tr th a").first.click()
        page.wait_for_selector("#h-why")
        target = asked.out / "console-case.png"
        page.screenshot(path=target)
        print(f"{target} {target.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
