#!/usr/bin/env python3
"""How fast the console's pages are, and axe's report on them: `benchmarks/console.py [--axe] [--copies N]`.

Two stores are made: one of 500 cases, one with a case of 25,000 accounts. Each page is requested through a
real server on loopback, HTML as a browser gets it; p50 and p95 are of the time until the whole answer has
arrived. The first, uncached request is listed separately. Times are milliseconds; CPU is the client's and the
server's, on average. With --axe each page is opened in Chromium in both schemes. With --copies the store has
so many copies of one case, with --records signed audit records.
"""

import argparse
import dataclasses
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import urlencode

import httpx2 as httpx
import uvicorn
from sqlalchemy import select

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from console_world import PASSWORD, Gateway, csrf_in, fill
from stillwatch.cases import reading, tables
from stillwatch.cases.audit.trail import attach
from stillwatch.cases.store import Store
from stillwatch.console.app import make
from stillwatch.scan import ScanResult
from test_report_world import result

CASES, ACCOUNTS = 500, 25_000
CHROMIUM = "/usr/bin/chromium"


def many(cases: int) -> ScanResult:
    """Make a result of so many campaigns of 40 accounts each."""
    whole = result(400)
    pattern = next(c for c in whole.campaigns if len(c.accounts) == 400)
    found = []
    for k in range(cases):
        accounts = tuple(f"acct_{k:04d}_{i:03d}" for i in range(40))
        old = dict(zip(pattern.accounts, accounts, strict=False))
        links = tuple(
            dataclasses.replace(link, a=old[link.a], b=f"c-{k:05d}")
            for link in pattern.links
            if link.a in old
        )
        named = {new: pattern.named_at[name] for name, new in old.items()}
        found.append(
            dataclasses.replace(
                pattern,
                id=f"c-{k:05d}",
                accounts=accounts,
                links=links,
                named_at=named,
                title=f"{k}: {pattern.title}",
            )
        )
    return dataclasses.replace(whole, campaigns=tuple(found))


COPIED = {  # table -> rows of the case to copy, and the columns that differ between copies
    "cases": (1, {"id": "{id}", "exchanges": "100 + k * 7919 % 100000", "updated_us": "updated_us + k"}),
    "members": (
        5,
        {"case_id": "{id}", "key": "{key}", "account": "{key}", "home": "{key}", "finding": "{f}"},
    ),
    "findings": (1, {"case_id": "{id}", "finding": "{f}"}),
    "evidence": (1, {"case_id": "{id}", "finding": "{f}"}),
    "spoken": (100, {"case_id": "{id}"}),
    "acts": (1, {"case_id": "{id}", "act": "1000000 + k", "text": "{note}"}),
}
NOTE = "called the customer, who says it is their own course and rings back; seen by the night shift, number"
WORDS = {
    "note": f"'{NOTE} ' || k",
    "id": "printf('case-%010x', k)",
    "key": "key || printf('-%07d', k)",
    "f": "1000000 + k",
}


def copy_case(store: Store, copies: int) -> None:
    """Copy the smallest case so often, directly in the tables; every 2,000th with its evidence."""
    numbers = "WITH RECURSIVE n(k) AS (SELECT 0 UNION ALL SELECT k + 1 FROM n WHERE k + 1 < {})"
    with sqlite3.connect(str(store.url.database)) as db:
        case = db.execute("SELECT id FROM cases ORDER BY members LIMIT 1").fetchone()[0]
        for table, (most, changes) in COPIED.items():
            names = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
            wanted = ", ".join(changes.get(name, name).format(**WORDS) for name in names)
            key = "id" if table == "cases" else "case_id"
            rows = f"(SELECT * FROM {table} WHERE {key} = ? LIMIT {most})"
            which = "WHERE k % 2000 = 0" if table == "evidence" else ""
            query = f"{numbers.format(copies)} INSERT INTO {table} SELECT {wanted} FROM {rows}, n {which}"
            db.execute(query, [case])


def add_records(store: Store, records: int, cases: int) -> None:
    """Append so many records to the trail, signed as usual, about the copies in turn."""
    for begin in range(0, records, 5_000):
        with store.writing(1_795_500_000_000_000 + begin) as tx:
            for k in range(begin, min(begin + 5_000, records)):
                tx.audit("anna", "case.note", f"case-{k % cases:010x}", {"act": k, "text": "e3" * 32})


class Served:
    """A console on a port of this machine, with a logged-in user."""

    def __init__(self, folder: Path, found: ScanResult, copies: int = 0, records: int = 0) -> None:
        self.store = Store(f"sqlite:///{folder / 'cases.db'}")
        attach(self.store, folder / "audit.key")
        begun = time.perf_counter()
        fill(self.store, found)
        if copies:
            copy_case(self.store, copies)
            add_records(self.store, records, copies)
        self.fold_s = time.perf_counter() - begun
        now_us = 1_795_600_000_000_000
        app = make(self.store, Gateway(), now_us=lambda: now_us)
        self.server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off", ws="none"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        port = self.server.servers[0].sockets[0].getsockname()[1]
        self.address = f"http://127.0.0.1:{port}"
        self.client = httpx.Client(base_url=self.address, headers={"origin": self.address}, timeout=60)
        csrf = csrf_in(self.client.get("/login").text)
        form = {"name": "paul", "password": PASSWORD, "csrf": csrf, "next": ""}
        assert self.client.post("/login", data=form).status_code == 303
        self.cases = reading.queue(self.store, reading.Filter(), now_us).total
        with self.store.reading() as db:
            largest = select(tables.cases.c.id).order_by(tables.cases.c.members.desc()).limit(1)
            self.case = self.store.case(db.execute(largest).scalar_one(), accounts=False)

    def pages(self) -> dict[str, str]:
        case = f"/case/{self.case.id}"
        account = self.store.case(self.case.id).accounts[0]
        return {
            "queue": "/queue",
            "queue, filtered": "/queue?state=all&suppressed=all&text=accounts",
            "queue, last page": f"/queue?offset={max(0, self.cases - 50)}",
            "queue, no match": "/queue?text=nothing",
            "queue, a note": "/queue?note=shift%2C+number+777",
            "queue, a note of all": "/queue?note=night+shift",
            "queue, no such note": "/queue?note=nothing+of+it",
            "queue, an account": f"/queue?{urlencode({'account': account})}",
            "queue, mine": "/queue?owner=me",
            "case": case,
            "case, accounts": f"{case}/accounts?offset=20",
            "case, links": f"{case}/links",
            "case, alert": f"{case}/alert",
            "case, JSON": f"{case}.json",
            "actor": f"/actor/{self.case.id}",
            "account": f"/account?{urlencode({'name': account})}",
            "approvals": "/approvals",
            "detectors": "/detectors",
            "terms": "/terms",
            "audit": "/audit",
            "audit, a person": "/audit?who=anna",
            "audit, no match": "/audit?who=nobody",
            "audit, a case": f"/audit?subject={self.case.id}",
            "health": "/health",
            "sql": "/sql",
        }

    def ask(self, path: str) -> tuple[float, int]:
        begun = time.perf_counter()
        got = self.client.get(path)
        took_ms = (time.perf_counter() - begun) * 1000
        assert got.status_code == 200, (path, got.status_code)
        return took_ms, len(got.content)

    def sql(self) -> tuple[float, int]:
        csrf = csrf_in(self.client.get("/sql").text)
        begun = time.perf_counter()
        query = "SELECT count(*) FROM members"
        got = self.client.post("/sql", data={"csrf": csrf, "query": query})
        took_ms = (time.perf_counter() - begun) * 1000
        assert "1 row" in got.text
        return took_ms, len(got.content)

    def after_note(self) -> tuple[float, int]:
        """Write a note on a case, and time the next answer of SQL."""
        form = {"csrf": csrf_in(self.client.get("/queue").text), "text": "hello"}
        assert self.client.post(f"/case/{self.case.id}/note", data=form).status_code == 303
        return self.sql()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(10)
        self.store.close()


def cpu_ms() -> float:
    """Return the processor time of this process and of those that it has ended."""
    return sum(os.times()[:4]) * 1000


def measure(served: Served, rounds: int) -> list[dict[str, object]]:
    """Request each page so often; the first time separately."""
    asks: dict[str, Callable[[], tuple[float, int]]] = {
        name: partial(served.ask, path) for name, path in served.pages().items()
    }
    asks |= {"sql, answered": served.sql, "sql, after a note": served.after_note}
    rows: list[dict[str, object]] = []
    for name, ask in asks.items():
        begun = cpu_ms()
        first, size = ask()
        row: dict[str, object] = {"page": name, "kB": size / 1000, "first": first, "cpu": cpu_ms() - begun}
        begun = cpu_ms()
        times = sorted(ask()[0] for _ in range(rounds))
        row["p50"], row["p95"] = statistics.median(times), times[min(rounds - 1, int(0.95 * rounds))]
        row["cpu_later"] = (cpu_ms() - begun) / rounds
        rows.append(row)
    return rows


def axe(served: Served) -> tuple[int, int, float]:
    """Open every page in both schemes; return pages checked, violations, and the slowest load in ms."""
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import sync_playwright

    looked = violations = 0
    slowest = 0.0
    with sync_playwright() as p:
        browser = p.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for scheme in ("light", "dark"):
            page = browser.new_page(color_scheme=scheme)  # type: ignore[arg-type]
            page.goto(f"{served.address}/login")
            violations += Axe().run(page).violations_count
            page.fill("#name", "paul")
            page.fill("#password", PASSWORD)
            page.click("button.main")
            page.wait_for_selector("h1 >> text=case")
            for name, path in served.pages().items():
                if name == "case, JSON":
                    continue
                page.goto(served.address + path)
                load = "performance.getEntriesByType('navigation')[0].loadEventEnd"
                slowest = max(slowest, page.evaluate(load))
                page.evaluate("document.querySelectorAll('main details').forEach(d => { d.open = true })")
                violations += Axe().run(page).violations_count
                looked += 1
            page.close()
        browser.close()
    return looked, violations, slowest


def main() -> None:
    """Make the stores, request the pages, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--axe", action="store_true", help="look at the pages in Chromium too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--copies", type=int, default=0, help="a store of so many copies of one case")
    parser.add_argument("--records", type=int, default=0, help="signed audit records in it")
    asked = parser.parse_args()
    told: dict[str, object] = {}
    stores = [(f"{CASES} cases of 40", many(CASES)), (f"a case of {ACCOUNTS:,}", result(ACCOUNTS))]
    if asked.copies:
        stores = [(f"{asked.records:,} records, {asked.copies:,} cases of 5", many(3))]
    for name, found in stores:
        with tempfile.TemporaryDirectory() as folder:
            served = Served(Path(folder), found, asked.copies, asked.records)
            rows = measure(served, asked.rounds)
            seen = axe(served) if asked.axe else None
            served.close()
        told[name] = {"fold_s": served.fold_s, "pages": rows, "axe": seen}
        if asked.json:
            continue
        print(f"\n{name} accounts (folded in {served.fold_s:.1f} s)\n")
        heads = ("first", "its CPU", "p50", "p95", "CPU ms")
        print(f"{'page':18}{'kB':>6}" + "".join(f"{head:>9}" for head in heads))
        for row in rows:
            cells = [row[name] for name in ("first", "cpu", "p50", "p95", "cpu_later")]
            print(f"{row['page']:18}{row['kB']:>6.0f}" + "".join(f"{cell:>9.0f}" for cell in cells))
        if seen:
            print(f"axe: {seen[1]} violations on {seen[0]} pages; slowest load in Chromium {seen[2]:.0f} ms")
    if asked.json:
        print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
