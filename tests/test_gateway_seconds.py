"""From an exchange to a changed standing, all in real time, through `stillwatch serve`."""

import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2 as httpx
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from gateway_world import free_port, until
from scan_world import START, sentence
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.gateway import heartbeat
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import Folder, derive, open_folder
from stillwatch.gateway.record import segments
from test_live import with_followers
from upstream import Upstream

BEFORE = timedelta(hours=200)  # the world's history before its followers come
ACTS = 'version = 1\n[ladder]\nmode = "act"\nact_on_group_findings = true\n[[ladder.rule]]\nstep = "block"\n'


def remember(folder: Folder, table: pa.Table) -> int:
    """Put a world into a folder as if it had arrived up to this hour; return the number of rows."""
    this_hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    table = table.filter(pc.less(table["time"], pa.scalar(START + BEFORE, table["time"].type)))
    moved = pc.add(table["time"], pa.scalar(this_hour - START - BEFORE, pa.duration("us")))
    table = table.set_column(table.column_names.index("time"), "time", moved.cast(table["time"].type))
    table = table.sort_by("time").combine_chunks()
    sketcher = Sketcher(derive(folder.secret(), PURPOSE))
    size = -(-len(table) // 12)
    for number in range(12):
        part = table.slice(number * size, size).combine_chunks()
        if len(part):
            batch = sketch_batch(part.to_batches()[0], sketcher)
            segments.write(folder, number + 1, batch, b"", batch.column("time")[0].as_py().astimezone(UTC))
    return len(table)


@pytest.mark.slow
def test_from_an_exchange_to_a_block_takes_seconds(tmp_path: Path) -> None:
    world, (stock,), newcomer = with_followers()
    head, _, tail = stock.partition(" | ")
    for row in world.crowd.rows:  # from few networks: the ladder requires a provider-observed clue
        if row["account"] in world.pools["p"]:
            row["client_ip"] = f"198.51.{world.pools['p'].index(row['account']) // 8}.9"
    table = world.crowd.table()
    folder = open_folder(tmp_path / "serve")
    folder.terms.write_text(ACTS, encoding="utf-8")
    many = remember(folder, table)
    with ControlState(folder.state, folder.secret()) as state:
        now_us = time.time_ns() // 1000
        keys = {name: state.issue(name, now_us=now_us) for name in (newcomer, "honest")}
    port, admin_port = free_port(), free_port()
    with Upstream() as up:
        words = ["serve", "--folder", str(folder.path), "--upstream", up.url]
        words += ["--port", str(port), "--admin-port", str(admin_port)]
        command = [sys.executable, "-c", "from stillwatch.cli.main import run; run()", *words]
        serving = subprocess.Popen(command, env=os.environ, stdout=subprocess.DEVNULL)

        def ask(name: str) -> int:
            asked = {
                "model": "mira-think",
                "temperature": 0.7,
                "max_tokens": 4096,
                "messages": [{"role": "user", "content": f"{head} {sentence(world.crowd.rng, 15)} {tail}"}],
            }
            auth = {"authorization": f"Bearer {keys[name]}"}
            url = f"http://127.0.0.1:{port}/v1/chat/completions"
            return httpx.post(url, json=asked, headers=auth, timeout=30).status_code

        def blocked() -> int:
            with ControlState(folder.state) as state, state.reading() as db:
                return int(db.execute("SELECT count(*) FROM standings").fetchone()[0])

        try:
            says = folder.run / "detector.json"
            until(lambda: heartbeat.read(says).get("exchanges", 0) >= many, 120, "the detector reading")
            until(lambda: blocked() > 0, 120, "the campaign's own accounts blocked")
            assert ask("honest") == 200
            statuses = [ask(newcomer) for _ in range(3)]
            assert statuses == [200] * 3
            since = time.monotonic()
            until(lambda: ask(newcomer) == 403, 60, "the block")
            took_s = time.monotonic() - since
            assert ask("honest") == 200
            print(f"from the third exchange to the block: {took_s:.1f} s, after {many:,} exchanges")
            assert took_s < 30
        finally:
            serving.terminate()
            serving.wait(60)
