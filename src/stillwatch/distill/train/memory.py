"""Keeps the memory that a training frees within the process.

glibc gives a freed block of some MiB back to the kernel and takes it again for the next tensor, page by page.
For a student of 49 million parameters that was 320,000 page faults and four tenths of the CPU of each step.
"""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # malloc.h
MOST = (1 << 31) - 1  # bytes left at the end of the heap before it shrinks


def keep_freed() -> bool:
    """Make glibc keep freed memory for reuse; return whether there is a glibc."""
    if sys.platform != "linux":
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries may have none
    return bool(mallopt is not None and mallopt(M_MMAP_MAX, 0) and mallopt(M_TRIM_THRESHOLD, MOST))
