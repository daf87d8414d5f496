"""Notifications of the gateway to systemd (`Type=notify`): ready, alive, stopping. Optional."""

import os
import socket
import time
from contextlib import suppress

SOCKET = "NOTIFY_SOCKET"


def notify(state: str) -> None:
    """Send one state, as `sd_notify(3)` does, without waiting."""
    path = os.environ.get(SOCKET)
    if not path or path[0] not in "/@":
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to:
        to.setblocking(False)
        to.sendto(state.encode(), address)


def ready() -> None:
    notify(f"READY=1\nMAINPID={os.getpid()}")


def alive() -> None:
    """Report that the supervisor's loop runs; systemd ends a service that does not (`WatchdogSec`)."""
    notify("WATCHDOG=1")


def reloading() -> None:
    """Report that another gateway follows in this process; that one reports when it is ready."""
    notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")


def stopping() -> None:
    notify("STOPPING=1\nSTATUS=open streams have 30 s")
