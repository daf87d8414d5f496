"""How long a thread wants to run at a time, said to the kernel. It does not know what runs."""

import ctypes
import os
import struct
import sys

SCHED_SETATTR = {"x86_64": 314, "aarch64": 274}  # its number, by machine: the C library has no function
KEEP_POLICY = 0x08  # linux/sched.h
SHORTEST_NS = 100_000  # that the kernel grants; its own choice is 1 to 3 ms


def ask_for_short_slices() -> None:
    """Have the calling thread, which works for a moment at a time, wait less until it may (Linux 6.12).

    A thread that asks for a short slice goes before those with longer ones that run. Its share of the core
    stays the same. Who works on past its slice is broken off more often: it is nothing for an event loop.
    Older kernels, and machines whose number is not here, leave all as it is.
    """
    number = SCHED_SETATTR.get(os.uname().machine)
    if number is None or not sys.platform.startswith("linux"):
        return
    # struct sched_attr of sched_setattr(2): size, policy, flags, nice, priority, runtime, deadline, period
    niceness = os.getpriority(os.PRIO_PROCESS, 0)
    attributes = struct.pack("=IIQiIQQQ", 48, 0, KEEP_POLICY, niceness, 0, SHORTEST_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)
