"""Real object stores for tests and benchmarks: one node each, in a folder of its own.

    python tests/object_stores.py radosgw    # Ceph's
    python tests/object_stores.py swift      # OpenStack's

Prints the address and runs until it is interrupted. Ceph keeps its objects in memory, Swift in the folder.
Swift's servers read /etc/swift/swift.conf, which comes with Debian's package. On Debian:

    apt-get install --no-install-recommends radosgw ceph-mon ceph-osd
    apt-get install --no-install-recommends swift-{proxy,account,container,object} memcached libisal2
"""

import getpass
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError

from gateway_world import free_port

KEY, SECRET = "AKIATESTKEY", "a-secret-key-that-nobody-may-see"
PROGRAMS = {
    "radosgw": ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph"),
    "swift": (
        "swift-proxy-server",
        "swift-account-server",
        "swift-container-server",
        "swift-object-server",
        "swift-object-updater",
        "swift-ring-builder",
        "memcached",
    ),
}
STARTS_S = 120.0

CEPH = """
[global]
fsid = {fsid}
mon_host = {addresses}
mon_initial_members = a
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
mon_allow_pool_size_one = true
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
osd_objectstore = memstore
memstore_device_bytes = 4294967296
public_addr = 127.0.0.1
run_dir = {at}
admin_socket = {at}/$name.asok
log_file = {at}/$name.log
crash_dir = {at}
mon_data = {at}/mon
osd_data = {at}/osd
mon_data_avail_crit = 1
"""

SWIFT_PART = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {at}
devices = {at}/devices
mount_check = false
disable_fallocate = true
workers = 1
log_level = WARNING
recon_cache_path = {at}
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[object-updater]
interval = 5
"""

SWIFT_PROXY = """
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
user = {user}
swift_dir = {at}
workers = 1
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes
    symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_fleet_fleet = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{cache}
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""


@dataclass(frozen=True)
class RunningStore:
    """The address of a store, and its credentials."""

    endpoint: str
    key: str
    secret: str


class Missing(Exception):
    """This machine lacks a store's programs."""


@contextmanager
def running(name: str) -> Iterator[RunningStore]:
    """Run a store. Raises: Missing."""
    absent = [one for one in PROGRAMS[name] if shutil.which(one) is None]
    if absent:
        raise Missing(f"{name}: no {', '.join(absent)} on this machine; see {__file__}")
    at = Path(tempfile.mkdtemp(prefix=f"stillwatch-{name}-"))
    processes: list[subprocess.Popen[bytes]] = []
    try:
        yield {"radosgw": _ceph, "swift": _swift}[name](at, processes)
    finally:
        for one in reversed(processes):
            one.terminate()
        for one in reversed(processes):
            try:
                one.wait(10)
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait(10)
        shutil.rmtree(at, ignore_errors=True)


def _ceph(at: Path, processes: list[subprocess.Popen[bytes]]) -> RunningStore:
    """Run a monitor, one OSD in memory, and a gateway for the S3 API."""
    fsid, port = str(uuid.uuid4()), free_port()
    conf = at / "ceph.conf"
    addresses = f"[v2:127.0.0.1:{free_port()},v1:127.0.0.1:{free_port()}]"
    conf.write_text(CEPH.format(fsid=fsid, at=at, addresses=addresses))
    with_conf = ["-c", str(conf)]
    (at / "mon").mkdir()
    (at / "osd").mkdir()
    _run("monmaptool", "--create", "--addv", "a", addresses, "--fsid", fsid, str(at / "monmap"))
    _run("ceph-mon", *with_conf, "--mkfs", "-i", "a", "--monmap", str(at / "monmap"))
    _start(processes, at, "ceph-mon", *with_conf, "-f", "-i", "a")
    osd = str(uuid.uuid4())
    _run("ceph", *with_conf, "osd", "new", osd)
    _run("ceph-osd", *with_conf, "-i", "0", "--mkfs", "--osd-uuid", osd)
    _start(processes, at, "ceph-osd", *with_conf, "-f", "-i", "0")
    admin = ["radosgw-admin", *with_conf, "user", "create", "--uid", "fleet", "--display-name", "fleet"]
    _run(*admin, "--access-key", KEY, "--secret-key", SECRET)
    front = f"beast endpoint=127.0.0.1:{port}"
    _start(
        processes,
        at,
        "radosgw",
        *with_conf,
        "-f",
        "-n",
        "client.admin",
        "--ms-mon-client-mode",
        "crc",
        "--rgw-frontends",
        front,
    )
    return RunningStore(_answers(f"http://127.0.0.1:{port}", at, processes), KEY, SECRET)


def _run(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=STARTS_S)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr[-2_000:]}")


def _start(processes: list[subprocess.Popen[bytes]], at: Path, *words: str) -> None:
    with open(at / f"{words[0]}.out", "ab") as out:  # Debian's ceph-osd finds its classes from / alone
        processes.append(subprocess.Popen(words, cwd="/", stdin=subprocess.DEVNULL, stdout=out, stderr=out))


def _answers(endpoint: str, at: Path, processes: list[subprocess.Popen[bytes]]) -> str:
    """Wait until a store answers in any way, even with a refusal."""
    end = time.monotonic() + STARTS_S
    while True:
        try:
            urllib.request.urlopen(endpoint, timeout=5).close()
            return endpoint
        except HTTPError:
            return endpoint
        except OSError as why:
            if time.monotonic() > end or any(one.poll() is not None for one in processes):
                outputs = "\n".join(one.read_text(errors="replace")[-500:] for one in at.glob("*.out"))
                raise RuntimeError(f"{endpoint} does not answer:\n{outputs}") from why
            time.sleep(0.2)


def _swift(at: Path, processes: list[subprocess.Popen[bytes]]) -> RunningStore:
    """Run one server of each kind with one copy of all objects, and the S3 API in front."""
    user = getpass.getuser()
    (at / "devices" / "d").mkdir(parents=True)
    for kind in ("account", "container", "object"):
        port, builder = free_port(), str(at / f"{kind}.builder")
        _run("swift-ring-builder", builder, "create", "4", "1", "1")
        _run("swift-ring-builder", builder, "add", f"r1z1-127.0.0.1:{port}/d", "1")
        _run("swift-ring-builder", builder, "rebalance")
        conf = at / f"{kind}.conf"
        conf.write_text(SWIFT_PART.format(at=at, port=port, kind=kind, user=user))
        _start(processes, at, f"swift-{kind}-server", str(conf), "-v")
    _start(processes, at, "swift-object-updater", str(at / "object.conf"))
    port, cache, conf = free_port(), free_port(), at / "proxy.conf"
    _start(processes, at, "memcached", "-l", "127.0.0.1", "-p", str(cache), "-u", user)
    conf.write_text(SWIFT_PROXY.format(at=at, port=port, cache=cache, user=user, secret=SECRET))
    _start(processes, at, "swift-proxy-server", str(conf), "-v")
    return RunningStore(_answers(f"http://127.0.0.1:{port}", at, processes), "fleet:fleet", SECRET)


def main() -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    with running(sys.argv[1]) as store:
        print(
            f"export AWS_ACCESS_KEY_ID={store.key} AWS_SECRET_ACCESS_KEY={store.secret}"
            f" STILLWATCH_TEST_S3={store.endpoint}",
            flush=True,
        )
        signal.pause()


if __name__ == "__main__":
    main()
