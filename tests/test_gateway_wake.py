"""What a signal handler may set while its own thread waits for it."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from stillwatch.gateway.wake import Wake

STORM = """
import os, signal, sys, threading, time
from stillwatch.gateway.wake import Wake
wake = Wake()
signal.signal(signal.SIGCHLD, lambda *_: wake.set())
def storm():
    for _ in range(20_000):
        os.kill(os.getpid(), signal.SIGCHLD)
threads = [threading.Thread(target=storm) for _ in range(2)]
for one in threads:
    one.start()
while any(one.is_alive() for one in threads):
    wake.wait(0)
    wake.set()
    wake.clear()
print("done")
"""


@pytest.mark.slow
def test_a_storm_of_signals_stops_nobody() -> None:
    """With `threading.Event` it would hang."""
    done = subprocess.run(
        [sys.executable, "-c", STORM], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout == "done\n", done.stderr


def test_it_waits_until_it_is_set_and_no_longer() -> None:
    wake = Wake()
    begun = time.monotonic()
    assert not wake.wait(0.05)
    assert time.monotonic() - begun >= 0.04
    threading.Timer(0.05, wake.set).start()
    assert wake.wait(30)
    assert time.monotonic() - begun < 20
    assert wake.is_set()
    assert wake.wait(30)  # stays set
    wake.clear()
    assert not wake.is_set()
    assert not wake.wait(0)


def test_a_signal_ends_the_wait_and_many_of_them_do_no_harm() -> None:
    wake = Wake()
    before = signal.signal(signal.SIGUSR1, lambda *_: wake.set())
    try:
        for _ in range(70_000):  # more than a pipe holds
            wake.set()
        wake.clear()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        assert wake.wait(30)
    finally:
        signal.signal(signal.SIGUSR1, before)
