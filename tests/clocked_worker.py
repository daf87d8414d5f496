"""A gateway's worker whose clock a test sets: `python clocked_worker.py FOLDER NUMBER CLOCK`.

CLOCK is a file with one int64, UTC microseconds. Nothing else is changed; if NUMBER is `hooks`, the hooks
process runs.
"""

import mmap
import sys

from stillwatch.gateway.hooks import serve
from stillwatch.gateway.path import worker
from stillwatch.gateway.path.gate import Gate

with open(sys.argv[3], "r+b") as file:
    CLOCK = memoryview(mmap.mmap(file.fileno(), 8)).cast("q")

Gate.now_us = lambda self: CLOCK[0]  # type: ignore[method-assign]
if sys.argv[2] == "hooks":
    serve.main(sys.argv[1])
else:
    worker.main(sys.argv[1], int(sys.argv[2]))
