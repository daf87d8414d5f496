"""Days of traffic through the detector in minutes: `python benchmarks/soak_detector.py --hours 30`.

The detector holds exchanges up to a bound (`detector_memory_mb` in serve.json), so its memory grows until the
bound is reached and must be constant afterwards. Here the bound is reached early: each hour of event time has
many exchanges, each with its own user agent, written as segments like the recorder's; the real detector
reads, evaluates and saves. A line is fitted to the hours after the bound.
"""

import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy import stats

from arguments import parser_of
from stillwatch.exchanges.formats import Row
from stillwatch.exchanges.sketch import Sketcher
from stillwatch.exchanges.sketched import PURPOSE, sketch_batch
from stillwatch.gateway import heartbeat
from stillwatch.gateway.detector import FolderScan, exchanges_in
from stillwatch.gateway.folder import derive, open_folder
from stillwatch.gateway.record import rows, segments
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.gateway.setup_check import place_terms
from stillwatch.units import time_of

HOUR_US = 3_600_000_000
BEGIN_US = 1_790_000_000_000_000 // HOUR_US * HOUR_US
PARTS = 6  # segments an hour
ACCOUNTS = 300
MEMORY_MB = 512


def traffic(dice: random.Random, hour: int, count: int) -> Iterator[Row]:
    """Yield an hour's exchanges: each account has its own wording, each exchange its own user agent."""
    for k in range(count):
        account = dice.randrange(ACCOUNTS)
        yield {
            "exchange_id": f"{hour}.{k}",
            "time": BEGIN_US + hour * HOUR_US + k * (HOUR_US // count),
            "account": f"acct_{account}",
            "user_agent": f"soak/{hour}.{k}",
            "client_ip": f"10.0.{account // 250}.{account % 250}",
            "operation": "chat",
            "model": dice.choice(("mira", "mira-mini")),
            "status": 200,
            "input_tokens": 40,
            "output_tokens": 60,
            "prompt": " ".join(f"w{dice.randrange(account, account + 5000)}" for _ in range(30)),
            "outcome": "complete",
            "worker": 0,
            "sequence": k,
        }


def run(folder_path: Path, hours: int, count: int) -> tuple[list[int], list[int]]:
    """Return (exchanges held, bytes of memory held) at the end of each hour."""
    folder = open_folder(folder_path)
    place_terms(folder, None)
    sketcher = Sketcher(derive(folder.secret(), PURPOSE))
    settings = GatewaySettings(upstream="http://127.0.0.1:1", detector_memory_mb=MEMORY_MB)
    now = [BEGIN_US]
    detector = FolderScan(folder, settings, lambda: now[0])
    dice, number = random.Random(1), 0
    kept, held = [], []
    for hour in range(hours):
        said = list(traffic(dice, hour, count))
        for part in range(PARTS):
            number += 1
            batch = sketch_batch(rows.batch(said[part::PARTS]), sketcher)
            at = time_of(BEGIN_US + hour * HOUR_US)
            segments.write(folder, number, batch, b"", at)
        now[0] = BEGIN_US + (hour + 1) * HOUR_US + 60_000_000
        detector.step()
        kept.append(int(detector.says()["exchanges"]))
        held.append(heartbeat.held_bytes(os.getpid()))
        print(f"hour {hour + 1}: {kept[-1]:,} kept, {held[-1] / 1e6:,.0f} MB", file=sys.stderr, flush=True)
    return kept, held


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--hours", type=int, default=30)
    parser.add_argument("--an-hour", type=int, default=24_000, help="exchanges")
    parser.add_argument("--out", type=Path, default=Path("gateway-bench"), help="folder of the results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="stillwatch-soak-", dir="/var/tmp") as made:
        kept, held = run(Path(made) / "serve", given.hours, given.an_hour)
    bound = exchanges_in(MEMORY_MB)
    full = next((k for k, n in enumerate(kept) if n + given.an_hour > bound), len(kept))
    after = np.array(held[full + 2 :]) / 1e6  # memory still settles in the first evaluations of so many
    line = stats.linregress(np.arange(len(after)), after)
    reach = float(stats.t.ppf(0.975, len(after) - 2)) * line.stderr
    mb = [f"{value / 1e6:,.0f} MB" for value in (held[0], held[full], held[-1])]
    page = (
        f"{given.hours * given.an_hour:,} exchanges in {given.hours} hours of event time; at most "
        f"{max(kept):,} kept (bound {bound:,} and the hour that runs). Memory {mb[0]} after the first hour, "
        f"{mb[1]} when the bound was reached (hour {full + 1}), {mb[2]} at the end. After the bound: "
        f"{line.slope:+.2f} MB an hour of event time, {given.an_hour:,} exchanges each "
        f"(95 %: {line.slope - reach:+.2f} to {line.slope + reach:+.2f}).\n"
    )
    given.out.mkdir(parents=True, exist_ok=True)
    (given.out / "soak-detector.json").write_text(json.dumps({"kept": kept, "held": held}) + "\n")
    (given.out / "soak-detector.md").write_text(page)
    print(page)


if __name__ == "__main__":
    main()
