"""The cost of a chat request in a worker's Python: calls, bytecodes, CPU. Of any version's src.

Calls and bytecodes are equal in every run, so an added step per request shows at once, even on a busy
machine. There are no sockets, no disk and no second thread: `gateway.py` measures those.

    PYTHONPATH=OLD/src python benchmarks/request_steps.py --headers 20
"""

import asyncio
import cProfile
import gc
import os
import socket
import sys
import time
from pathlib import Path
from pstats import Stats
from tempfile import TemporaryDirectory
from types import FrameType
from typing import Any

import uvloop

import stillwatch
from arguments import parser_of
from gateway_bench.load import request
from gateway_bench.mock import KINDS, WHOLE
from stillwatch.gateway.control.owners import Owners
from stillwatch.gateway.control.state import ControlState
from stillwatch.gateway.folder import open_folder
from stillwatch.gateway.path.caller import knows
from stillwatch.gateway.path.exchange import Exchange
from stillwatch.gateway.path.server import Client, Door
from stillwatch.gateway.path.upstream import Connection
from stillwatch.gateway.path.worker import Worker
from stillwatch.gateway.settings import GatewaySettings
from stillwatch.terms.load import default_text

COUNTED, TIMED = 50, 400  # requests whose steps are counted; requests of a timed run


class Wire:
    """A transport that goes nowhere, and remembers the last write."""

    last: Any = b""

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self.last = data

    def writelines(self, data: Any) -> None:
        self.last = data[0]

    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return 0


class InstantLog:
    """A log whose disk writes instantly."""

    commit_us = waiting_bytes = 0

    def __init__(self, boot: int) -> None:
        self.boot = boot

    def append(self, data: bytes, token: Any = None) -> None:
        if token is not None:
            token.on_durable()

    def flush(self) -> None: ...


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), default="small")
    parser.add_argument("--headers", type=int, default=0, help="further ones of the upstream's reply")
    parser.add_argument("--runs", type=int, default=25, help="that are timed")
    given = parser.parse_args()
    with TemporaryDirectory(prefix="stillwatch-") as made:
        folder = open_folder(Path(made) / "folder")
        folder.terms.write_text(default_text(), encoding="utf-8")
        GatewaySettings(upstream="http://127.0.0.1:9", port=9, admin_port=10, workers=1).save(folder.settings)
        with ControlState(folder.state, folder.secret()) as state:
            key = state.issue("bench", now_us=time.time_ns() // 1000)
        with Owners(folder.objects):
            pass
        loop = uvloop.new_event_loop()
        asyncio.set_event_loop(loop)
        gate: Any = Worker(folder, 0, loop).gate
        gate.log = InstantLog(gate.log.boot)
        measure(gate, request(given.kind, key), WHOLE[given.kind], given.headers, given.runs)
        sys.stdout.flush()
    os._exit(0)  # else the worker's threads would wait


def measure(gate: Any, asked: bytes, answer: bytes, headers: int, runs: int) -> None:
    door = socket.socket()
    door.bind(("127.0.0.1", 0))
    door.setblocking(False)
    Door(gate, door, lambda: Client(gate, Exchange, knows), 1_000)
    client, upstream = Client(gate, Exchange, knows), Connection(gate.pool)
    wire: Any = Wire()
    upstream_wire: Any = Wire()
    client.connection_made(wire)
    upstream.connection_made(upstream_wire)
    gate.pool.take_back(upstream)
    head, body = answer.split(b"\r\n\r\n", 1)
    more = b"".join(b"\r\nx-header-%d: value" % k for k in range(headers))
    answer = b"%b%b\r\n\r\n%b" % (head, more, body)

    def answered(requests: int) -> None:
        for _ in range(requests):
            client.data_received(asked)
            upstream.data_received(answer)

    answered(TIMED)
    assert wire.last.startswith(b"HTTP/1.1 200"), wire.last
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)
    times = []
    for _ in range(runs):
        began = time.process_time()
        answered(TIMED)
        times.append((time.process_time() - began) / TIMED * 1e6)
    profile = cProfile.Profile()
    profile.enable()
    answered(COUNTED)
    profile.disable()
    bytecodes = 0

    def count(frame: FrameType, event: str, _: object) -> Any:
        nonlocal bytecodes
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        bytecodes += event == "opcode"
        return count

    sys.settrace(count)
    answered(COUNTED)
    sys.settrace(None)
    stats: Any = Stats(profile)  # its counts are missing in the stub
    times.sort()
    print(
        f"{Path(stillwatch.__file__).parent}: a request takes {stats.total_calls / COUNTED:.0f} calls, "
        f"{bytecodes / COUNTED:,.0f} bytecodes, {times[0]:.0f} µs of CPU in the least of {runs} runs, "
        f"{times[runs // 2]:.0f} in the median"
    )


if __name__ == "__main__":
    main()
