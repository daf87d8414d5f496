#!/usr/bin/env python3
"""Takes the pictures for the README and docs: `screenshots.py REPORT_FOLDER OUT_FOLDER`.

It takes pictures of any page in the folder. Needs Debian's chromium and the `dev` extra's playwright.
"""

import argparse
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",  # the pages are our own and Chromium often runs as root in CI
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SHOTS = (  # name, width, height, colour scheme, what to scroll to
    ("report-dark", 1280, 900, "dark", "#headline"),
    ("campaign-light", 1280, 1000, "light", "#campaign-1"),
)


def shoot(page: Page, address: str, anchor: str, target: Path) -> None:
    """Open the page at an anchor and save the window's content."""
    page.goto(address)
    if page.query_selector(anchor) is not None and anchor != "#headline":
        page.evaluate("a => document.querySelector(a).scrollIntoView({behavior: 'instant'})", anchor)
    page.screenshot(path=target)


def main() -> None:
    """Take every picture and report its size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("report", type=Path, help="folder that `stillwatch scan --out` wrote")
    parser.add_argument("out", type=Path, help="folder for the PNG files")
    asked = parser.parse_args()
    index = asked.report.resolve() / "index.html"
    if not index.is_file():
        parser.error(f"{index}: no such file; run `stillwatch scan LOG... --out {asked.report}` first")
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for name, width, height, scheme, anchor in SHOTS:
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if scheme == "dark" else "light",
            )
            target = asked.out / f"{name}.png"
            shoot(page, index.as_uri(), anchor, target)
            page.close()
            print(f"{target} {target.stat().st_size / 1000:.0f} kB")
        browser.close()


if __name__ == "__main__":
    main()
