"""Measures how the time of a piece of work grows with its input, independently of the machine's load."""

import gc
import time
from collections.abc import Callable


def grows_with_the_text(work: Callable[[str], object], unit: str, repeated: int) -> bool:
    """Return whether ten times the text takes about ten times the work. Quadratic work would take 100 times.

    Time is this thread's own CPU, the least of three, without the garbage collector, which would also scan
    what other tests left behind. Times below 20 ms are not compared.
    """

    def seconds(times: int) -> float:
        text, took = unit * times, []
        for _ in range(3):
            began = time.thread_time()
            work(text)
            took.append(time.thread_time() - began)
        return min(took)

    work(unit)
    gc.collect()
    gc.disable()
    try:
        return seconds(repeated) < 25 * seconds(repeated // 10) + 0.02
    finally:
        gc.enable()
