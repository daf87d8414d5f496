"""How the time of a piece of work grows with its input: a ratio, whatever else the machine does."""

import gc
import time
from collections.abc import Callable


def grows_with_the_text(work: Callable[[str], object], unit: str, repeated: int) -> bool:
    """Whether ten times the text takes some ten times the work. A square would take a hundred times.

    Time is this thread's own CPU, the least of three, with the collector off: it looks at what other
    tests left behind. Below 20 ms nothing is told apart.
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
